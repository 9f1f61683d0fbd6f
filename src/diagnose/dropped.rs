//! Requests that a hop drops at one moment, towards who asked and towards whom it asked, whatever their age: it went away,
//! and no timer of its own ran out.
//!
//! ```text
//!   timers      req ──── 2 s ────|FIN            each request is given up at the same age
//!                    req ──── 2 s ────|FIN
//!   went away   req ────── 2.4 s ──────|FIN      all are given up at the same moment
//!                       req ── 0.9 s ──|FIN
//! ```

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::analysis::{Analysis, ExchangeView};
use crate::capture::SessionTime;
use crate::tcp::Opening;
use crate::topology::{ConnectionId, ExchangeId, LinkId};

use super::Outcome;
use super::life::Life;
use super::verdict::{COARSE_TIMER_NS, GaveUp, is_usual_timeout, may_be_coarse_timer, slack};

/// One moment: the closes of a process that ends follow each other within this time, and so do those of the two sides.
const NEXT_NS: i64 = 50_000_000;

/// Fewer requests prove no event, and fewer connections no generation of them.
const FEWEST: usize = 3;

/// Ages that differ by less than this may come from one timer.
const LEAST_SPREAD_NS: i64 = 300_000_000;

/// What hops dropped when they went away.
#[derive(Default)]
pub(super) struct Dropped {
    /// The exchanges that they left.
    pub(super) exchanges: BTreeSet<ExchangeId>,
    /// The connections to them on which those had been asked for, which they closed.
    pub(super) connections: BTreeSet<ConnectionId>,
}

/// An exchange that a hop left when it closed to who had asked for it.
struct Left {
    link: LinkId,
    server: SocketAddr,
    at: SessionTime,
    age_ns: i64,
    exchange: ExchangeId,
    /// The connection to the hop, and whether it had answered on it before.
    asked_on: ConnectionId,
    reused: bool,
}

/// Of the exchanges that their client side left, those that a hop left because it went away itself.
pub(super) fn find(analysis: &Analysis, outcomes: &[Outcome], gave_up: &[GaveUp]) -> Dropped {
    let mut all: Vec<Left> = gave_up.iter().filter_map(|one| left(analysis, outcomes, one)).collect();
    all.sort_unstable_by_key(|one| (one.link, one.server, one.at, one.exchange));
    let mut dropped = Dropped::default();
    let next =
        |a: &Left, b: &Left| (a.link, a.server) == (b.link, b.server) && b.at.since_ns(a.at) <= NEXT_NS;
    for group in all.chunk_by(next) {
        if group.len() >= FEWEST
            && (are_of_all_ages(analysis, outcomes, group) || are_a_generation(analysis, group))
        {
            dropped.exchanges.extend(group.iter().map(|one| one.exchange));
            dropped.connections.extend(group.iter().map(|one| one.asked_on));
        }
    }
    dropped
}

fn left(analysis: &Analysis, outcomes: &[Outcome], one: &GaveUp) -> Option<Left> {
    let parent = analysis.exchange(analysis.trees.parent(one.exchange)?.parent);
    let outcome = outcomes[parent.id.0 as usize];
    if !matches!(outcome, Outcome::NoResponse | Outcome::Truncated | Outcome::Rejected) {
        return None;
    }
    let asked_on = parent.connection();
    let end = Life::of(asked_on).server_ended()?;
    let connection = analysis.exchange(one.exchange).connection();
    let own = Life::of(connection).client_ended()?;
    let at = connection.time(own.at, own.frame);
    let together = asked_on.time(end.at, end.frame).since_ns(at).abs() <= NEXT_NS;
    together.then_some(Left {
        link: parent.link_id(),
        server: asked_on.inner.server,
        at,
        age_ns: one.silence_ns,
        exchange: one.exchange,
        asked_on: asked_on.id,
        reused: parent.raw.ordinal > 1,
    })
}

/// Whether the ages lie much farther apart than the moments, and no timer makes them, not even one that is looked at now
/// and then: such a one would not have waited longer for others.
fn are_of_all_ages(analysis: &Analysis, outcomes: &[Outcome], group: &[Left]) -> bool {
    let ages = || group.iter().map(|one| one.age_ns);
    let (youngest, oldest) = (ages().min().unwrap_or_default(), ages().max().unwrap_or_default());
    let spread = oldest.saturating_sub(youngest);
    let lasts = group[group.len() - 1].at.since_ns(group[0].at);
    let timers = ages().filter(|&age| is_usual_timeout(age)).count();
    spread >= LEAST_SPREAD_NS
        && spread / 10 >= lasts
        && timers * 2 <= group.len()
        && (!may_be_coarse_timer(youngest, oldest) || has_waited_longer(analysis, outcomes, group, youngest))
}

/// Whether the hop has waited for another answer, and got it, when any timer that has run out for the youngest would have
/// been looked at.
fn has_waited_longer(analysis: &Analysis, outcomes: &[Outcome], group: &[Left], youngest_ns: i64) -> bool {
    let behind = analysis.exchange(group[0].exchange).link_id();
    let limit = youngest_ns.saturating_add(COARSE_TIMER_NS);
    let is_heard = |x: ExchangeView<'_>| {
        outcomes[x.id.0 as usize] == Outcome::Complete && x.left_before_response().is_none()
    };
    let waited = |x: ExchangeView<'_>| x.raw.response.start.0.saturating_sub(x.raw.request.end.0);
    analysis.link(behind).connections.iter().any(|&id| {
        let mut all = analysis.connection(id).exchanges();
        all.any(|x| x.raw.request.is_complete() && is_heard(x) && waited(x) > limit)
    })
}

/// Whether all connections that live on are younger than those that were closed, and served: on a reload new workers do that,
/// and the old ones go with what they have. A timer knows nothing of when kept connections began. Where all that were open
/// waited in vain the younger ones wait as well.
fn are_a_generation(analysis: &Analysis, group: &[Left]) -> bool {
    let ages = || group.iter().map(|one| one.age_ns);
    let (youngest, oldest) = (ages().min().unwrap_or_default(), ages().max().unwrap_or_default());
    // Of one age they are what any timer finds.
    if oldest.saturating_sub(youngest) <= slack(youngest)
        || group.iter().filter(|one| one.reused).count() * 2 <= group.len()
    {
        return false;
    }
    let begun = group.iter().map(|one| analysis.connection(one.asked_on).inner.first).max();
    let over = SessionTime(group[group.len() - 1].at.0.saturating_add(NEXT_NS));
    let others = analysis.link(group[0].link).connections.iter().map(|&id| analysis.connection(id));
    let mut younger = 0;
    for other in others.filter(|other| other.inner.server == group[0].server) {
        let is_open = matches!(other.flow().opening, Opening::Handshake | Opening::MidStream)
            && other.inner.first <= group[0].at;
        let life = Life::of(other);
        let ends = [life.server_ended(), life.client_ended()].into_iter().flatten();
        let end = ends.map(|end| other.time(end.at, end.frame)).min();
        if !is_open || end.is_some_and(|end| end <= over) {
            continue;
        }
        if Some(other.inner.first) <= begun {
            return false;
        }
        let answered = |x: ExchangeView<'_>| x.raw.response.is_complete() && x.settled() < group[0].at;
        younger += usize::from(other.exchanges().any(answered));
    }
    younger >= FEWEST
}

#[cfg(test)]
mod tests {
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;
    use crate::tcp::Side::{Client, Server};

    /// What is told of requests that a gate holds for an app when it closes both sides. Each is told by when it came and
    /// when it was closed on, in milliseconds; each connection had an answer before. `others` are connections to the gate
    /// that live on, by when they began.
    fn told(held: &[(i64, i64)], others: &[i64]) -> Vec<String> {
        told_of(held, others, &[])
    }

    /// The same, where the app took so many milliseconds for other requests.
    fn told_of(held: &[(i64, i64)], others: &[i64], took: &[i64]) -> Vec<String> {
        let mut chain = Chain::new(&["edge", "gate", "app"]);
        let opened = 50 * MS;
        for &(asked, closed) in held {
            let (down, up) = (chain.open(0, opened), chain.open(1, opened));
            chain.conns[down].request(Get, "/quick", 60 * MS).response(200, 63 * MS);
            chain.conns[up].request(Get, "/quick", 61 * MS).response(200, 62 * MS);
            chain.conns[down].request(Get, "/slow", asked * MS).sync().fin(Server, closed * MS + MS);
            chain.conns[up].request(Get, "/slow", asked * MS + MS).sync().fin(Client, closed * MS);
            for n in 0..2 {
                chain.parent((up, n), (down, n), 1);
            }
        }
        for &begun in others {
            let at = chain.open(0, begun * MS);
            let conn = &mut chain.conns[at];
            for ms in [10, 12_000] {
                conn.request(Get, "/quick", (begun + ms) * MS).response(200, (begun + ms + 2) * MS);
            }
        }
        for &took in took {
            let (down, up) = (chain.open(0, 12_000 * MS), chain.open(1, 12_000 * MS));
            chain.conns[down].request(Get, "/slow", 12_010 * MS).response(200, (12_020 + took) * MS);
            chain.conns[up].request(Get, "/slow", 12_011 * MS).response(200, (12_011 + took) * MS);
            chain.parent((up, 0), (down, 0), 1);
        }
        let findings = chain.analyse().diagnosis.findings;
        let told = findings.iter().filter(|f| f.kind != "restart-burst");
        told.map(|f| format!("{}/{} {:?} ×{}", f.kind, f.cause, f.link.map(|link| link.0), f.count)).collect()
    }

    const WENT: &str = "closed-before-response/server-restarted Some(0) ×4";
    const TIMER: &str = "response-timeout/ Some(1) ×4";

    #[test]
    fn a_hop_that_drops_requests_of_all_ages_at_one_moment_went_away() {
        let held = [(1_000, 5_430), (3_200, 5_430), (4_800, 5_430), (5_200, 5_430)];
        assert_eq!(told(&held, &[5_000, 5_050, 5_100, 5_150, 5_200, 5_250, 5_260, 5_270, 5_280]), [WENT]);
    }

    #[test]
    fn requests_of_one_age_are_those_of_a_timer_whoever_lives_on() {
        let held = [(1_000, 3_000), (1_200, 3_200), (1_500, 3_500), (1_700, 3_700)];
        assert_eq!(told(&held, &[60, 2_000]), [TIMER]);
    }

    #[test]
    fn who_has_waited_longer_for_another_answer_has_no_timer_that_looks_at_all_at_once() {
        let held = [(1_000, 3_300), (1_320, 3_300), (1_630, 3_300), (1_940, 3_300)];
        let begun = [10, 2_010, 2_020, 2_030];
        assert_eq!(told_of(&held, &begun, &[2_700]), [WENT]);
        let short = told_of(&held, &begun, &[2_400]);
        assert!(
            short.iter().all(|one| !one.contains("restarted")),
            "a look may have come just before: {short:?}"
        );
    }

    #[test]
    fn a_timer_that_is_looked_at_now_and_then_tells_by_who_lives_on() {
        let held = [(1_000, 3_300), (1_320, 3_300), (1_630, 3_300), (1_940, 3_300)];
        assert_eq!(told(&held, &[2_000, 2_010, 2_020, 2_030]), [WENT]);
        let alike = [(1_000, 3_300), (1_001, 3_300), (1_002, 3_300), (1_003, 3_300)];
        let alike = told(&alike, &[2_000, 2_010, 2_020, 2_030]);
        assert!(alike.iter().all(|one| !one.contains("restarted")), "all of one age: {alike:?}");
        let waiting = told(&held, &[3_295, 3_296, 3_297, 3_298]);
        assert!(waiting.iter().all(|one| !one.contains("restarted")), "nobody is served: {waiting:?}");
        let told = told(&held, &[10, 2_010, 2_020, 2_030]);
        assert!(told.iter().all(|one| !one.contains("restarted")), "an older connection lives on: {told:?}");
    }
}
