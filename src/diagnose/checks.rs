//! Whether anybody was hurt by connections that failed: a proxy connects for the requests that it has in hand, and also,
//! at a fixed pace, to see whether a server lives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use hashbrown::HashSet;

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::{CaptureId, SessionTime};
use crate::topology::{ConnectionId, LaneId, SLACK_NS, tolerance_ns};

use super::Outcome;
use super::connect::{Attempt, Failed};
use super::origins::fails;
use super::spans::Spans;

/// Fewer attempts show no pace.
const FEWEST: usize = 3;
/// The pauses of a checker differ by this much of their median at most, in percent.
const STEADY_PERCENT: i64 = 25;

/// When a lane had requests in hand, by what became of them.
#[derive(Default)]
struct Busy {
    /// All requests.
    all: Spans,
    /// Those that failed.
    failed: Spans,
    /// It answered 502 to 504 without asking anybody, as it does when it holds all servers for dead.
    gave_up: bool,
    /// The captures that hold its requests.
    captures: BTreeSet<CaptureId>,
}

impl Busy {
    /// Whether the captures would show a request that it had in hand at the time of this attempt.
    fn is_known_at(&self, connection: ConnectionView<'_>) -> bool {
        let analysis = connection.analysis;
        let group = |id: CaptureId| analysis.topology.clocks[id.index()].group;
        let at = connection.inner.first;
        self.captures.iter().any(|&id| {
            let held = analysis.capture_span(id).is_some_and(|(first, last)| first <= at && at <= last);
            held && group(id) == group(connection.capture())
        })
    }
}

/// Marks the refused attempts that nobody's request made, and those that cost nobody an answer.
pub(super) fn mark(analysis: &Analysis, outcomes: &[Outcome], attempts: &mut [Attempt]) {
    let lanes: HashSet<LaneId, foldhash::fast::FixedState> =
        attempts.iter().map(|attempt| analysis.link(attempt.link).from).collect();
    if lanes.is_empty() {
        return;
    }
    let mut busy: BTreeMap<LaneId, Busy> = BTreeMap::new();
    for exchange in analysis.exchanges().filter(|x| x.raw.request.is_present()) {
        let lane = analysis.link(exchange.link_id()).to;
        if lanes.contains(&lane) {
            let own = busy.entry(lane).or_default();
            own.captures.insert(exchange.capture);
            let outcome = outcomes[exchange.id.0 as usize];
            let failed = fails(analysis, outcomes, exchange.id) || outcome == Outcome::Unknown;
            let asked_nobody = analysis.trees.children(exchange.id).is_empty();
            own.gave_up |= asked_nobody && matches!(exchange.status(), Some(502..=504));
            for span in between_children(exchange) {
                own.all.push(span);
                if failed {
                    own.failed.push(span);
                }
            }
        }
    }
    for own in busy.values_mut() {
        own.all.settle();
        own.failed.settle();
    }
    let mut servers: BTreeMap<(LaneId, SocketAddr), Vec<usize>> = BTreeMap::new();
    for (at, attempt) in attempts.iter().enumerate().filter(|(_, attempt)| attempt.lost) {
        let server = analysis.connection(attempt.connection).inner.server;
        servers.entry((analysis.link(attempt.link).from, server)).or_default().push(at);
    }
    let used = used_servers(analysis);
    for ((lane, server), cases) in servers {
        // Of a lane whose own requests are not in the captures nobody knows whom it serves.
        let Some(own) = busy.get(&lane) else { continue };
        let is_known = |at: &&usize| own.is_known_at(analysis.connection(attempts[**at].connection));
        let known: Vec<usize> = cases.iter().filter(is_known).copied().collect();
        // A capture in which nothing happens any more seems to end early.
        if known.is_empty() || known.len() * 2 < cases.len() {
            continue;
        }
        let meets = |spans: &Spans, at: usize| {
            let (from, to) = span(analysis.connection(attempts[at].connection));
            spans.meet(from, to)
        };
        let hurt = known.iter().any(|&at| meets(&own.failed, at));
        let idle = known.iter().filter(|&&at| !meets(&own.all, at)).count();
        let refused = cases.iter().all(|&at| attempts[at].how == Failed::Refused);
        let connections: Vec<ConnectionId> = cases.iter().map(|&at| attempts[at].connection).collect();
        let unasked = !hurt || idle * 2 >= known.len();
        let checks = refused
            && unasked
            && idle > 0
            && is_steady(analysis, &connections)
            && used.get(&lane).is_some_and(|used| !used.contains(&server));
        for at in cases {
            attempts[at].harmless = !hurt && !own.gave_up;
            attempts[at].hurt = hurt;
            if checks {
                attempts[at].how = Failed::Checked;
            }
        }
    }
}

/// When the lane may have connected for a request: not while it waited for an answer from behind.
fn between_children(exchange: ExchangeView<'_>) -> Vec<(i64, i64)> {
    let mut from = exchange.started().0;
    let mut spans = Vec::new();
    for &child in exchange.analysis.trees.children(exchange.id) {
        let child = exchange.analysis.exchange(child);
        spans.push((from, child.started().0.max(from)));
        from = from.max(child.settled().0);
    }
    spans.push((from, exchange.settled().0.max(from)));
    spans
}

/// From the first packet of an attempt to its last, with what the clocks leave open.
pub(super) fn span(connection: ConnectionView<'_>) -> (i64, i64) {
    let clock = &connection.analysis.topology.clocks[connection.capture().index()];
    let slack = SLACK_NS.max(tolerance_ns(clock)).saturating_add(1_000_000);
    let (first, last) = (connection.inner.first.0, connection.inner.last.0);
    (first.saturating_sub(slack), last.saturating_add(slack))
}

/// Whether the attempts came at one pace.
fn is_steady(analysis: &Analysis, connections: &[ConnectionId]) -> bool {
    if connections.len() < FEWEST {
        return false;
    }
    let mut times: Vec<SessionTime> =
        connections.iter().map(|&id| analysis.connection(id).inner.first).collect();
    times.sort_unstable();
    let mut pauses: Vec<i64> = times.windows(2).map(|pair| pair[1].since_ns(pair[0])).collect();
    pauses.sort_unstable();
    let median = pauses[pauses.len() / 2];
    let steady =
        pauses.iter().filter(|pause| (*pause - median).saturating_abs() * 100 <= median * STEADY_PERCENT);
    // One pause may be longer, where a check was missed.
    median > 0 && steady.count() * 5 >= pauses.len() * 4
}

/// The servers that got a request, by the lane that sent it.
fn used_servers(analysis: &Analysis) -> BTreeMap<LaneId, BTreeSet<SocketAddr>> {
    let mut used: BTreeMap<LaneId, BTreeSet<SocketAddr>> = BTreeMap::new();
    for connection in analysis.connections().filter(|connection| !connection.inner.exchanges.is_empty()) {
        let lane = analysis.link(connection.inner.link).from;
        used.entry(lane).or_default().insert(connection.inner.server);
    }
    used
}
