//! Ties from requests that nothing tells apart: however a hop mixes them up, as many have come in as it has passed on.
//!
//! ```text
//!   in    | |  |    |           the third that went on went not before the third that came,
//!   on     |  |  | |            and the third answer that went out not before the third that came back
//! ```
//!
//! So starts are compared with starts and ends with ends, each by its place. A request without a packet in one capture is
//! taken for as early or as late as its connection allows; where one side has more than the other (retries, answers from a
//! cache, losses), places are as far off as that at the most.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use crate::http::{CaptureFacts, Exchange, ExchangeFlags};

use super::super::cause::Moment;
use super::super::fit::Bounds;
use super::super::keys::request_key;
use super::super::{ClockMethod, SLACK_NS};
use super::{LEAST_EXCHANGES, LEAST_IN_ORDER, Tie, bound};

/// Of so many requests in a hundred both must have the same.
const SAME_PERCENT: usize = 90;
/// One side may have so many in a hundred more than the other.
const MORE_PERCENT: usize = 5;
/// Requests of which a capture holds nothing at all, neither question nor answer.
const MOST_LOST: usize = 3;
/// Half-width of an offset told so, in nanoseconds: beyond it the two may have nothing in common.
const MOST_BAND_NS: i64 = 5_000_000;

/// Legs of each capture that are compared, those with the most requests first.
const MOST_LEGS: usize = 256;
/// Of so many requests in a hundred two servers of one client must get the same, to be replicas.
const REPLICA_PERCENT: usize = 50;

/// The requests of one server, or of all replicas that a client asks in turn, as one capture saw them; each list in order.
#[derive(Clone, Debug, Default)]
struct Leg {
    servers: BTreeSet<SocketAddr>,
    clients: BTreeSet<IpAddr>,
    /// Packets are missing.
    is_lossy: bool,
    /// The capture holds what these are asked for: they lie inside nothing else.
    is_explained: bool,
    /// How many there are of each kind.
    keys: HashMap<u64, usize, foldhash::fast::FixedState>,
    count: usize,
    /// The earliest and the latest moments at which each may have begun.
    starts: [Vec<Moment>; 2],
    /// The same for the ends of their answers.
    ends: [Vec<Moment>; 2],
    /// Of those seen whole.
    durations: Vec<i64>,
}

/// The legs of a capture that may be told by order.
pub(super) struct Legs(Vec<Leg>);

impl Legs {
    /// `has_bodies` unless some of the captures lack parts of bodies, so that these cannot be compared.
    pub(super) fn of(facts: &CaptureFacts, has_bodies: bool) -> Self {
        let mut legs: BTreeMap<SocketAddr, Leg> = BTreeMap::new();
        for flow in &facts.flows {
            let exchanges = facts.exchanges_of(flow);
            if exchanges.is_empty() {
                continue;
            }
            let leg = legs.entry(flow.server).or_default();
            leg.servers.insert(flow.server);
            leg.clients.insert(flow.client.ip());
            let mut before = flow.first;
            for (at, exchange) in exchanges.iter().enumerate() {
                let next = exchanges.get(at + 1).and_then(first).unwrap_or(flow.last);
                leg.add(facts, exchange, [before, next], has_bodies);
                before = last(exchange).unwrap_or(before);
            }
        }
        let mut merged: Vec<Leg> = Vec::new();
        for leg in legs.into_values() {
            match merged.iter_mut().find(|known| known.is_replica_of(&leg)) {
                Some(known) => known.join(leg),
                None => merged.push(leg),
            }
        }
        let served: BTreeSet<IpAddr> =
            merged.iter().flat_map(|leg| &leg.servers).map(SocketAddr::ip).collect();
        let is_machine = served.iter().any(|server| !server.is_loopback());
        merged.retain(|leg| leg.count >= LEAST_IN_ORDER);
        // All pairs are compared. In the order of their servers, so that of equal ones always the same stay.
        merged.sort_by_key(|leg| Reverse(leg.count));
        merged.truncate(MOST_LEGS);
        for leg in &mut merged {
            leg.starts.iter_mut().chain(&mut leg.ends).for_each(|list| list.sort_unstable());
            leg.durations.sort_unstable();
            // Who is asked here asks here, be it on the loopback of a machine that is asked from elsewhere.
            let is_own =
                |client: &IpAddr| if client.is_loopback() { is_machine } else { served.contains(client) };
            leg.is_explained = leg.clients.iter().any(is_own);
        }
        let inside = |leg: &Leg| {
            merged.iter().any(|other| other.takes() > leg.takes() + SLACK_NS && other.is_like(leg))
        };
        let explained: Vec<bool> = merged.iter().map(|leg| leg.is_explained || inside(leg)).collect();
        merged.iter_mut().zip(explained).for_each(|(leg, is_explained)| leg.is_explained = is_explained);
        Self(merged)
    }
}

/// The first moment of an exchange that was seen.
fn first(exchange: &Exchange) -> Option<Moment> {
    let message = [&exchange.request, &exchange.response].into_iter().find(|message| message.is_seen())?;
    Some((message.start, message.first_frame))
}

/// The last moment of an exchange that was seen.
fn last(exchange: &Exchange) -> Option<Moment> {
    let message = [&exchange.response, &exchange.request].into_iter().find(|message| message.is_seen())?;
    Some((message.end, message.last_frame))
}

impl Leg {
    /// Adds an exchange between the last moment before it and the first after it.
    fn add(
        &mut self,
        facts: &CaptureFacts,
        exchange: &Exchange,
        [before, next]: [Moment; 2],
        has_bodies: bool,
    ) {
        let (request, response) = (&exchange.request, &exchange.response);
        let (asked, answered) = (request.is_seen(), response.is_complete());
        if !asked && !response.is_seen() {
            return;
        }
        let start = (request.start, request.first_frame);
        let starts = if asked { [start, start] } else { [before, (response.start, response.first_frame)] };
        let end = (response.end, response.last_frame);
        let ends =
            if answered { [end, end] } else { [last(exchange).unwrap_or(starts[1]), next.max(starts[1])] };
        for side in 0..2 {
            self.starts[side].push(starts[side]);
            self.ends[side].push(ends[side]);
        }
        self.count += 1;
        self.is_lossy |= exchange.flags.has(ExchangeFlags::NEAR_HOLE);
        if asked {
            let body = if has_bodies { u64::from(request.body_crc) } else { 0 };
            let key = request_key(facts, exchange) ^ body;
            *self.keys.entry(key).or_default() += 1;
        }
        if asked && answered {
            self.durations.push(end.0.0.saturating_sub(start.0.0));
        }
    }

    /// Whether a client asks this server and that one for the same: what one of them gets says nothing by its number.
    fn is_replica_of(&self, other: &Self) -> bool {
        if self.clients.is_disjoint(&other.clients) {
            return false;
        }
        // As parts of all, times both numbers.
        let both = |(key, count): (&u64, &usize)| {
            let others = other.keys.get(key).copied().unwrap_or_default();
            (count * other.count).min(others * self.count)
        };
        let same: usize = self.keys.iter().map(both).sum();
        same * 100 >= self.count * other.count * REPLICA_PERCENT
    }

    fn join(&mut self, other: Self) {
        self.servers.extend(other.servers);
        self.clients.extend(other.clients);
        self.is_lossy |= other.is_lossy;
        self.count += other.count;
        other.keys.into_iter().for_each(|(key, count)| *self.keys.entry(key).or_default() += count);
        let lists = self.starts.iter_mut().chain(&mut self.ends);
        lists.zip(other.starts.into_iter().chain(other.ends)).for_each(|(own, more)| own.extend(more));
        self.durations.extend(other.durations);
    }

    /// Sum of the quartiles of the durations.
    fn takes(&self) -> i64 {
        let last = self.durations.len().saturating_sub(1);
        let at = |quarter: usize| self.durations.get(last * quarter / 4).copied().unwrap_or_default();
        at(1).saturating_add(at(2)).saturating_add(at(3))
    }

    /// Whether both sides have the same requests, but for a few.
    fn is_like(&self, other: &Self) -> bool {
        let (least, most) = (self.count.min(other.count), self.count.max(other.count));
        let same: usize =
            self.keys.iter().map(|(key, count)| other.keys.get(key).map_or(0, |own| *own.min(count))).sum();
        (most - least) * 100 <= most * MORE_PERCENT && same * 100 >= most * SAME_PERCENT
    }

    /// What the order tells of two clocks, where this side waits for the other and each may lack `lost`; `is_swapped` where
    /// it is B.
    fn bounds(&self, below: &Self, is_swapped: bool, lost: usize) -> Bounds {
        let mut bounds = Bounds::default();
        let more = below.count.saturating_sub(self.count) + lost;
        let less = self.count.saturating_sub(below.count) + lost;
        let pair =
            |own: Moment, other: Moment| if is_swapped { bound(other, own) } else { bound(own, other) };
        let starts = self.starts[0].iter().zip(below.starts[1].iter().skip(more));
        bounds.to_server.extend(starts.map(|(own, other)| pair(*own, *other)));
        let ends = self.ends[1].iter().skip(less).zip(&below.ends[0]);
        bounds.to_client.extend(ends.map(|(own, other)| pair(*own, *other)));
        bounds
    }
}

/// The tie between two captures, where the order of their requests tells it.
pub(super) fn tie(one: &Legs, other: &Legs, a: usize, b: usize) -> Option<Tie> {
    let mut best: Option<Tie> = None;
    for own in &one.0 {
        // Who is asked by the same client stands beside it.
        let is_other =
            |leg: &&Leg| own.servers.is_disjoint(&leg.servers) && own.clients.is_disjoint(&leg.clients);
        for others in other.0.iter().filter(is_other).filter(|leg| own.is_like(leg)) {
            let longer = own.takes().saturating_sub(others.takes());
            let lower = if longer > 0 { others } else { own };
            if longer.abs() <= SLACK_NS || lower.is_explained {
                continue;
            }
            let fit = |lost: usize| {
                let bounds =
                    if longer > 0 { own.bounds(others, false, lost) } else { others.bounds(own, true, lost) };
                let fit = bounds.fit(LEAST_EXCHANGES)?;
                (fit.is_exact && fit.jumps.is_empty() && fit.band_ns <= MOST_BAND_NS).then_some((bounds, fit))
            };
            // The least number that fits may be too low by some.
            let least = usize::from(own.is_lossy || others.is_lossy);
            let lost = (least..=MOST_LOST).find(|lost| fit(*lost).is_some());
            let Some((bounds, fit)) = lost.and_then(|lost| fit(2 * lost + usize::from(lost > 0))) else {
                continue;
            };
            if best.as_ref().is_none_or(|known| fit.band_ns < known.fit.band_ns) {
                best = Some(Tie { a, b, fit, bounds, method: ClockMethod::Containment });
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use crate::testing::Script;
    use crate::topology::{ClockMethod, Overrides, build};

    const US: i64 = 1_000;
    const MS: i64 = 1_000 * US;
    const DAY: i64 = 86_400_000 * MS;

    /// The offset of the application's capture and its band, where the hop between it and the edge was not captured, all
    /// requests are alike and overtake each other; `lost` says which requests of the edge and of the application were.
    fn offset(lost: impl Fn(usize, usize) -> bool, extra: usize) -> Option<(i64, i64)> {
        let (mut edge, mut app) = (Script::new("edge.pcap"), Script::new("app.pcap"));
        for user in 0..12usize {
            let gate = edge.connection(0, &format!("10.0.0.2:{}", 3_000 + user), "10.0.0.3:8080", 100);
            let asked = app.connection(-DAY, &format!("10.0.0.4:{}", 4_000 + user), "10.0.0.5:8000", 100);
            let mut at = 10 * MS + user as i64 * 300 * US;
            for n in 0..25usize {
                let wait = |by: usize| (user * 7_919 + n * 104_729 + by * 31) as i64 % 700 * US;
                let (start, took) = (wait(1) + 150 * US, 2 * MS + 6 * wait(2));
                if !lost(0, user * 25 + n) {
                    edge.request(gate, at, "GET", "/", &[], "");
                    edge.response(gate, at + start + took + wait(3) + 100 * US, 200, 20);
                }
                if !lost(1, user * 25 + n) {
                    app.request(asked, at + start - DAY, "GET", "/", &[], "");
                    app.response(asked, at + start + took - DAY, 200, 20);
                }
                at += start + took + 2 * MS + wait(4);
            }
            for n in 0..usize::from(user < extra) {
                let at = at + n as i64 * MS;
                app.request(asked, at - DAY, "GET", "/", &[], "");
                app.response(asked, at + MS - DAY, 200, 20);
            }
        }
        let topology = build(&[edge.finish(), app.finish()], &Overrides::default());
        let clock = topology.clocks.iter().find(|clock| clock.offset_ns != 0)?;
        assert_eq!(clock.method, ClockMethod::Containment);
        let offset = if clock.offset_ns > 0 { clock.offset_ns - DAY } else { clock.offset_ns + DAY };
        Some((offset, clock.band_ns?))
    }

    #[test]
    fn what_one_of_two_replicas_gets_ties_nothing_though_the_numbers_are_the_same() {
        let (mut edge, mut app) = (Script::new("edge.pcap"), Script::new("app.pcap"));
        for n in 0..80i64 {
            let at = MS + n * 4 * MS + n * 37 % 11 * 200 * US;
            let gate = edge.connection(
                at,
                &format!("10.0.0.2:{}", 3_000 + n),
                &format!("10.0.0.{}:80", 3 + n % 2),
                100,
            );
            edge.request(gate, at, "GET", "/", &[], "");
            edge.response(gate, at + 9 * MS, 200, 20);
            // The other application, which was not captured, gets the rest.
            if n / 2 % 2 == 0 {
                let later = at + 300 * US - DAY;
                let asked =
                    app.connection(later, &format!("10.0.0.{}:{}", 3 + n % 2, 4_000 + n), "10.0.0.5:80", 100);
                app.request(asked, later, "GET", "/", &[], "");
                app.response(asked, later + 8 * MS, 200, 20);
            }
        }
        let topology = build(&[edge.finish(), app.finish()], &Overrides::default());
        assert!(
            topology.clocks.iter().any(|clock| clock.method == ClockMethod::None),
            "{:?}",
            topology.clocks
        );
    }

    #[test]
    fn what_one_replica_passes_on_lies_not_inside_what_the_other_is_asked() {
        let capture = |replica: i64, later: i64, asks_from: &str, asks: &str| {
            let mut script = Script::new(&format!("{replica}.pcap"));
            for n in 0..60i64 {
                let at = later + MS + (2 * n + replica) * 3 * MS + n * 37 % 11 * 200 * US;
                let (port, isn) = (3_000 + n, (replica * 1_000_000_000 + n * 100_000) as u32);
                let asked = script.connection(
                    at,
                    &format!("10.0.0.2:{port}"),
                    &format!("10.0.0.{}:80", 3 + replica),
                    isn,
                );
                script.request(asked, at, "GET", "/", &[], "");
                let asks = script.connection(at, &format!("{asks_from}:{port}"), asks, isn);
                script.request(asks, at + 300 * US, "GET", "/", &[], "");
                script.response(asks, at + 5 * MS, 200, 20);
                script.response(asked, at + 6 * MS, 200, 20);
            }
            script.finish()
        };
        for (ours, servers) in [
            (["10.0.0.3", "10.0.0.4"], ["10.0.0.5:8000"; 2]),
            (["127.0.0.1"; 2], ["127.0.0.1:8000"; 2]),
            // A second address of each, that nothing tells to be its own.
            (["10.1.0.3", "10.1.0.4"], ["10.0.0.5:8000", "10.0.0.6:8000"]),
        ] {
            let captures = [capture(0, 0, ours[0], servers[0]), capture(1, DAY, ours[1], servers[1])];
            let clocks = build(&captures, &Overrides::default()).clocks;
            assert!(clocks.iter().any(|clock| clock.method == ClockMethod::None), "{ours:?} {clocks:?}");
        }
    }

    #[test]
    fn equal_requests_that_overtake_each_other_tie_the_clocks_by_their_number() {
        for (number, (lost, extra)) in [
            (Box::new(|_, _| false) as Box<dyn Fn(usize, usize) -> bool>, 0),
            (Box::new(|side, n| n % 97 == 13 + 40 * side), 0),
            (Box::new(|side, n| side == 1 && n % 60 == 7), 0),
            (Box::new(|side, n| side == 0 && n == 150), 1),
        ]
        .into_iter()
        .enumerate()
        {
            let Some((offset, band)) = offset(lost, extra) else { panic!("{number}") };
            assert!(offset.abs() <= band && band < 5 * MS, "{offset} {band}");
        }
        // Too many more on one side: they may be no causes of each other.
        assert_eq!(offset(|side, n| side == 0 && n % 4 == 0, 0), None);
    }
}
