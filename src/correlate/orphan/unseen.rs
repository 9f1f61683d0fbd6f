//! Hops that were not captured themselves, and links whose clocks nothing ties: what is missing there proves nothing.
//!
//! ```text
//!   edge ──► gate 1 ──► app 1      captured at the edge, at gate 1 and at app 1: what gate 2 asks of app 2 is seen
//!       └──► gate 2 ──► app 2      nowhere, though some of its requests are, at app 1
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Orphan;
use crate::analysis::{Analysis, ExchangeView};
use crate::topology::{Connection, LaneId};

/// Where orphans say little.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    /// Addresses of lanes at which no capture was taken.
    places: BTreeSet<(LaneId, IpAddr)>,
    /// By lane the groups of clocks of the links into it, and of those out of it.
    into: BTreeMap<LaneId, BTreeSet<u16>>,
    out: BTreeMap<LaneId, BTreeSet<u16>>,
}

impl Unseen {
    pub(super) fn find(analysis: &Analysis) -> Self {
        let topology = &analysis.topology;
        let mut unseen = Self { places: places(analysis), ..Self::default() };
        for connection in &topology.connections {
            let link = analysis.link(connection.link);
            let groups = || captures(connection).map(|at| topology.clocks[at].group);
            unseen.into.entry(link.to).or_default().extend(groups());
            unseen.out.entry(link.from).or_default().extend(groups());
        }
        unseen
    }

    /// Why a request has no parent, where `why` is what its own link tells.
    pub(super) fn of_parent(&self, exchange: &ExchangeView<'_>, why: Orphan) -> Orphan {
        let from = exchange.analysis.link(exchange.link_id()).from;
        let client = exchange.connection().inner.client.ip();
        let is_open = matches!(why, Orphan::Unexplained | Orphan::OutsideCapture);
        match why {
            _ if is_open && self.is_apart(exchange, self.into.get(&from)) => Orphan::ClocksApart,
            _ if is_open && self.is_unseen(exchange.analysis, from, client) => Orphan::NotCaptured,
            why => why,
        }
    }

    /// Why a request was not passed on. What a cache says of itself and a failure stay what they are.
    pub(super) fn of_children(&self, exchange: &ExchangeView<'_>, why: Orphan) -> Orphan {
        let to = exchange.analysis.link(exchange.link_id()).to;
        let server = exchange.connection().inner.server.ip();
        let is_open = matches!(
            why,
            Orphan::AnsweredHere | Orphan::RefusedHere | Orphan::FailedHere | Orphan::OutsideCapture
        );
        match why {
            _ if is_open && self.is_apart(exchange, self.out.get(&to)) => Orphan::ClocksApart,
            _ if is_open && self.is_unseen(exchange.analysis, to, server) => Orphan::NotCaptured,
            why => why,
        }
    }

    fn is_unseen(&self, analysis: &Analysis, lane: LaneId, address: IpAddr) -> bool {
        analysis.lane(lane).inferred || self.places.contains(&(lane, address))
    }

    /// Whether none of the captures of the other link has a clock that is tied to that of this request.
    fn is_apart(&self, exchange: &ExchangeView<'_>, others: Option<&BTreeSet<u16>>) -> bool {
        let clocks = &exchange.analysis.topology.clocks;
        let mut own = captures(exchange.connection().inner).map(|at| clocks[at].group);
        others.is_some_and(|others| !others.is_empty() && own.all(|group| !others.contains(&group)))
    }
}

fn captures(connection: &Connection) -> impl Iterator<Item = usize> + '_ {
    connection.sightings.iter().map(|sighting| sighting.capture.index())
}

/// The addresses of lanes with captures of both sides of which none holds both sides of this address.
fn places(analysis: &Analysis) -> BTreeSet<(LaneId, IpAddr)> {
    let mut asked: BTreeMap<(LaneId, IpAddr), BTreeSet<usize>> = BTreeMap::new();
    for connection in &analysis.topology.connections {
        let to = analysis.link(connection.link).to;
        asked.entry((to, connection.server.ip())).or_default().extend(captures(connection));
    }
    // By capture the lanes whose own requests it holds, with the addresses that these come from; users, who are most, are
    // not asked.
    let is_asked: BTreeSet<LaneId> = asked.keys().map(|(lane, _)| *lane).collect();
    let mut asks: BTreeSet<(usize, LaneId, IpAddr)> = BTreeSet::new();
    for connection in &analysis.topology.connections {
        let from = analysis.link(connection.link).from;
        if is_asked.contains(&from) {
            asks.extend(captures(connection).map(|at| (at, from, connection.client.ip())));
        }
    }
    let least = IpAddr::V4([0; 4].into());
    let holds_both = |(lane, own): (LaneId, IpAddr), capture: usize| {
        let lanes =
            asks.range((capture, lane, least)..).take_while(|(at, from, _)| (*at, *from) == (capture, lane));
        // A hop may ask from another address than that at which it is asked, but not from that of another replica.
        lanes.into_iter().any(|(_, _, client)| *client == own || !asked.contains_key(&(lane, *client)))
    };
    let seen: BTreeMap<(LaneId, IpAddr), bool> = asked
        .iter()
        .map(|(&place, captures)| (place, captures.iter().any(|&capture| holds_both(place, capture))))
        .collect();
    let has_seen = |lane: LaneId| seen.iter().any(|(place, is)| place.0 == lane && *is);
    seen.iter().filter(|(place, is)| !**is && has_seen(place.0)).map(|(place, _)| *place).collect()
}

#[cfg(test)]
mod tests {
    use super::Orphan;
    use crate::analysis::{Analysis, analyse};
    use crate::capture::CaptureTime;
    use crate::testing::Script;
    use crate::topology::Overrides;

    const MS: i64 = 1_000_000;

    fn orphans(analysis: &Analysis) -> Vec<(String, Orphan)> {
        let server = |id| analysis.exchange(id).connection().inner.server.to_string();
        let mut all: Vec<_> = analysis.trees.orphans.iter().map(|&(id, why)| (server(id), why)).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Two gates before two applications, asked in turn; which captures hold each leg.
    fn chain(held: impl Fn(&str, &str) -> Vec<&'static str>) -> Analysis {
        let names = ["edge", "gate1", "app1"];
        let mut scripts = names.map(|name| Script::new(&format!("{name}.pcap")));
        for n in 0..48 {
            let at = n * 20 * MS;
            let (gate, app) = (3 + n % 2, 5 + n / 2 % 2);
            let legs = [(1, 2, 80), (2, gate, 8080), (gate, app, 8000)];
            for (depth, (client, server, port)) in legs.into_iter().enumerate() {
                let (from, to) = (format!("10.0.0.{client}"), format!("10.0.0.{server}"));
                for name in held(&from, &to) {
                    let script = &mut scripts[names.iter().position(|own| *own == name).unwrap()];
                    let late = depth as i64 * MS / 5;
                    let isn = 1_000 + (n * 10 + depth as i64) as u32;
                    let conn = script.connection(
                        at + late,
                        &format!("{from}:{}", 3_000 + n),
                        &format!("{to}:{port}"),
                        isn,
                    );
                    script.request(conn, at + MS + late, "GET", &format!("/item/{n}"), &[], "");
                    script.response(conn, at + 9 * MS - late, 200, 20);
                }
            }
        }
        let scripts = scripts.map(Script::finish).into_iter().filter(|facts| !facts.flows.is_empty());
        analyse(scripts.collect(), &Overrides::default())
    }

    #[test]
    fn what_a_replica_that_was_not_captured_answers_may_come_from_a_server_out_of_sight() {
        let analysis = chain(|from, to| {
            let at = |address: &str| from == address || to == address;
            let mut held = Vec::new();
            held.extend(at("10.0.0.2").then_some("edge"));
            held.extend(at("10.0.0.3").then_some("gate1"));
            held.extend(at("10.0.0.5").then_some("app1"));
            held
        });
        assert_eq!(orphans(&analysis), [("10.0.0.4:8080".to_owned(), Orphan::NotCaptured)]);
        // Neither gate: the lane as a whole was not captured.
        let analysis = chain(|from, to| {
            let at = |address: &str| from == address || to == address;
            let mut held = Vec::new();
            held.extend(at("10.0.0.2").then_some("edge"));
            held.extend(at("10.0.0.5").then_some("app1"));
            held
        });
        let expected = ["10.0.0.3:8080", "10.0.0.4:8080"].map(|at| (at.to_owned(), Orphan::NotCaptured));
        assert_eq!(orphans(&analysis), expected);
    }

    #[test]
    fn where_nothing_ties_the_clocks_nobody_is_said_to_have_answered_by_himself() {
        let (mut edge, mut app) = (Script::new("edge.pcap"), Script::new("app.pcap"));
        for n in 0..20 {
            let at = n * 50 * MS;
            let user = edge.connection(at, &format!("10.0.0.1:{}", 3_000 + n), "10.0.0.2:80", 100);
            let gate = edge.connection(at, &format!("10.0.0.2:{}", 4_000 + n), "10.0.0.3:8080", 100);
            // By a clock that is far off, and nothing that tells which is which.
            let later = 86_400_000 * MS + (n * 37 % 20) * 70 * MS;
            let asked = app.connection(later, &format!("10.0.0.3:{}", 5_000 + n), "10.0.0.4:8000", 100);
            edge.request(user, at + MS, "GET", "/", &[], "");
            edge.request(gate, at + 2 * MS, "GET", "/", &[], "");
            app.request(asked, later + 3 * MS, "GET", "/", &[], "");
            app.response(asked, later + 30 * MS, 200, 20);
            edge.response(gate, at + 9 * MS, 200, 20);
            edge.response(user, at + 10 * MS, 200, 20);
        }
        let analysis = analyse(vec![edge.finish(), app.finish()], &Overrides::default());
        assert_eq!(analysis.capture(crate::capture::CaptureId(0)).info.first, Some(CaptureTime(0)));
        let names: Vec<Orphan> = orphans(&analysis).into_iter().map(|own| own.1).collect();
        assert_eq!(names, [Orphan::ClocksApart; 2]);
    }

    #[test]
    fn a_hop_that_was_captured_itself_is_seen_to_ask_nobody_before_the_one_behind_was_asked() {
        let (mut edge, mut app) = (Script::new("edge.pcap"), Script::new("app.pcap"));
        for n in 0..20 {
            let at = n * 20 * MS;
            let user = edge.connection(at, &format!("10.0.0.1:{}", 3_000 + n), "10.0.0.2:80", 100);
            edge.request(user, at + MS, "GET", &format!("/item/{n}"), &[], "");
            if n < 5 {
                edge.response(user, at + 2 * MS, 503, 20);
                continue;
            }
            for script in [&mut edge, &mut app] {
                let asked =
                    script.connection(at + MS, &format!("10.0.0.2:{}", 4_000 + n), "10.0.0.3:8000", 7);
                script.request(asked, at + 2 * MS, "GET", &format!("/item/{n}"), &[], "");
                script.response(asked, at + 5 * MS, 200, 20);
            }
            edge.response(user, at + 6 * MS, 200, 20);
        }
        let analysis = analyse(vec![edge.finish(), app.finish()], &Overrides::default());
        assert_eq!(orphans(&analysis), [("10.0.0.2:80".to_owned(), Orphan::FailedHere)]);
    }
}
