//! Workers all taken: the kernel accepts connections and acknowledges requests, and no worker is left to serve them.
//!
//! Servers that give each kept connection a worker (uwsgi's http11-socket, Apache's prefork, single-threaded ones)
//! serve as many connections as they have workers. All others wait until one of those closes, however idle it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::SessionTime;
use crate::tcp::Opening;
use crate::topology::{ExchangeId, LinkId};

use super::draft::{Draft, ProofList};
use super::life::Life;
use super::reuse::CASES;
use super::words::{counted, duration};
use super::{Certainty, Diagnosis, Finding, Outcome, Severity, texts};

/// A request that waits for less than this, or for less than so many usual answers take, is not starved.
pub(super) const STARVED_NS: i64 = 500_000_000;
pub(super) const STARVED_TIMES: i64 = 20;

/// Fewer starved requests are no proof.
const FEWEST: usize = 2;

/// A waiting connection is served this soon once another one has closed.
const HANDOVER_NS: i64 = 250_000_000;

/// A server address with all its workers taken.
pub(super) struct Exhaustion {
    link: LinkId,
    server: SocketAddr,
    workers: u64,
    /// Starved requests without an answer, or with one that came when their clients had left.
    unanswered: Vec<ExchangeId>,
    /// Starved requests that were answered after all.
    late: Vec<ExchangeId>,
    /// How many of those were answered right after a served connection had closed.
    handovers: u64,
    usual_ns: i64,
    longest_ns: i64,
    certainty: Certainty,
}

/// A connection's first request that waits for a worker.
struct Wait {
    exchange: ExchangeId,
    from: i64,
    to: i64,
    answered: bool,
    /// Whether its client still waited then.
    heard: bool,
}

/// What the connections of one server address show.
#[derive(Default)]
struct Server {
    /// From the first answer to the close.
    served: Vec<(i64, i64)>,
    firsts: Vec<Wait>,
    /// How long the later requests of served connections waited, where they were answered.
    later: Vec<i64>,
    /// Later requests that were never answered.
    later_unanswered: Vec<i64>,
    /// The later requests of served connections that were answered.
    later_answered: Vec<ExchangeId>,
}

/// The servers with all workers taken, by link and address.
pub(super) fn find(analysis: &Analysis) -> Vec<Exhaustion> {
    let mut all = Vec::new();
    for at in 0..analysis.topology.links.len() {
        let link = LinkId(at as u16);
        let connections = &analysis.link(link).connections;
        let waits = connections.iter().filter(|&&id| first_waits(analysis.connection(id)));
        if waits.take(FEWEST).count() < FEWEST {
            continue;
        }
        let mut servers: BTreeMap<SocketAddr, Server> = BTreeMap::new();
        for &id in connections {
            let connection = analysis.connection(id);
            if may_starve(connection) {
                servers.entry(connection.inner.server).or_default().add(connection);
            }
        }
        all.extend(servers.into_iter().filter_map(|(address, server)| server.judge(analysis, link, address)));
    }
    all
}

fn may_starve(connection: ConnectionView<'_>) -> bool {
    let flow = connection.flow();
    let whole = !flow.is_lossy() && flow.directions.iter().all(|d| d.packets > 0);
    whole && !connection.inner.exchanges.is_empty()
}

/// Whether the connection's first request waited long enough to be a starved one: what is quickly told of each.
fn first_waits(connection: ConnectionView<'_>) -> bool {
    connection.exchanges().next().is_some_and(|first| {
        let (request, response) = (&first.raw.request, &first.raw.response);
        let wait_ns = response.start.0.saturating_sub(request.end.0);
        request.is_present() && (!response.is_present() || wait_ns >= STARVED_NS)
    })
}

/// Method and target without digits: requests alike in kind have the same.
pub(super) fn shape(exchange: ExchangeView<'_>) -> String {
    let target = exchange.target();
    let path = target.split('?').next().unwrap_or_default();
    format!("{} {}", exchange.method(), path.replace(|c: char| c.is_ascii_digit(), ""))
}

impl Server {
    fn add(&mut self, connection: ConnectionView<'_>) {
        let life = Life::of(connection);
        let ends = [life.server_ended(), life.client_ended()].into_iter().flatten();
        let capture_end = connection.analysis.capture_span(connection.capture()).map(|span| span.1);
        let ended = ends.map(|event| connection.time(event.at, event.frame)).min();
        let end = ended.or(capture_end).unwrap_or(connection.inner.last).0;
        let mut served_from = (life.flow.opening == Opening::MidStream).then_some(connection.inner.first.0);
        for exchange in connection.exchanges() {
            let raw = exchange.raw;
            if !raw.request.is_present() {
                continue;
            }
            let answer = raw
                .response
                .is_present()
                .then(|| connection.time(raw.response.start, raw.response.first_frame).0);
            let from = connection.time(raw.request.end, raw.request.last_frame).0;
            if served_from.is_none() {
                if raw.ordinal == 1 && raw.request.is_complete() && life.has_received(&raw.request) {
                    let (to, answered) = (answer.unwrap_or(end), answer.is_some());
                    let heard = answered && exchange.left_before_response().is_none();
                    self.firsts.push(Wait { exchange: exchange.id, from, to, answered, heard });
                }
                served_from = answer;
            } else if let Some(answer) = answer {
                self.later.push(answer.saturating_sub(from));
                self.later_answered.push(exchange.id);
            } else {
                self.later_unanswered.push(end.saturating_sub(from));
            }
        }
        if let Some(from) = served_from.filter(|&from| from < end) {
            self.served.push((from, end));
        }
    }

    fn judge(mut self, analysis: &Analysis, link: LinkId, server: SocketAddr) -> Option<Exhaustion> {
        self.later.sort_unstable();
        let usual_ns = *self.later.get(self.later.len() / 2)?;
        let limit = STARVED_NS.max(usual_ns.saturating_mul(STARVED_TIMES));
        let waits = |wait: &Wait| wait.to.saturating_sub(wait.from) >= limit;
        let starved: Vec<&Wait> = self.firsts.iter().filter(|wait| waits(wait)).collect();
        let slow_later = self.later.iter().chain(&self.later_unanswered).filter(|&&ns| ns >= limit).count();
        if starved.len() < FEWEST || slow_later * 4 > starved.len() {
            return None;
        }
        let (workers, share) = self.most_served(&starved);
        let mut ends: Vec<i64> = self.served.iter().map(|served| served.1).collect();
        ends.sort_unstable();
        let handover_ns = usual_ns.saturating_mul(2).saturating_add(HANDOVER_NS);
        let freed = |at: i64| {
            let before = ends.partition_point(|&end| end <= at);
            before > 0 && at.saturating_sub(ends[before - 1]) <= handover_ns
        };
        let late: Vec<&Wait> = starved.iter().copied().filter(|wait| wait.answered).collect();
        let handovers = late.iter().filter(|wait| freed(wait.to)).count();
        // Answered although no worker had come free: there was one all the time.
        if (late.len() - handovers) * 4 > late.len() || share < 0.9 || workers == 0 {
            return None;
        }
        if handovers == 0 && !self.answered_alike(analysis, &starved) {
            return None;
        }
        let longest_ns =
            starved.iter().map(|wait| wait.to.saturating_sub(wait.from)).max().unwrap_or_default();
        let sure = share >= 0.98 && starved.len() >= 5 || handovers >= 3;
        let ids = |heard: bool| {
            let some = starved.iter().filter(move |wait| wait.heard == heard);
            some.map(|wait| wait.exchange).collect::<Vec<_>>()
        };
        Some(Exhaustion {
            link,
            server,
            workers,
            unanswered: ids(false),
            late: ids(true),
            handovers: handovers as u64,
            usual_ns,
            longest_ns,
            certainty: if sure { Certainty::Certain } else { Certainty::Likely },
        })
    }

    /// Whether a request of the kind that starved was answered on a served connection.
    fn answered_alike(&self, analysis: &Analysis, starved: &[&Wait]) -> bool {
        let shapes: BTreeSet<String> =
            starved.iter().map(|wait| shape(analysis.exchange(wait.exchange))).collect();
        self.later_answered.iter().any(|&id| shapes.contains(&shape(analysis.exchange(id))))
    }

    /// The most connections served at once, and for which share of the time that requests starved it was so many.
    fn most_served(&self, starved: &[&Wait]) -> (u64, f64) {
        // A close frees its worker before the next connection is served; waits begin and end last.
        let mut changes: Vec<(i64, u8, i64)> = Vec::new();
        for &(from, to) in &self.served {
            changes.extend([(from, 1, 1), (to, 0, -1)]);
        }
        for wait in starved {
            changes.extend([(wait.from, 2, 1), (wait.to, 2, -1)]);
        }
        changes.sort_unstable();
        let (mut open, mut waiting, mut last) = (0i64, 0i64, 0i64);
        let mut most = 0;
        let mut time_at: BTreeMap<i64, i64> = BTreeMap::new();
        for (at, what, step) in changes {
            if waiting > 0 {
                let time = time_at.entry(open).or_default();
                *time = time.saturating_add(at.saturating_sub(last));
            }
            last = at;
            if what == 2 {
                waiting += step;
            } else {
                open += step;
                most = most.max(open);
            }
        }
        let all = time_at.values().fold(0, |all: i64, time| all.saturating_add(*time));
        let at_most = time_at.get(&most).copied().unwrap_or_default();
        (most as u64, if all > 0 { at_most as f64 / all as f64 } else { 0.0 })
    }
}

/// Whether one of them is about this server.
pub(super) fn holds(found: &[Exhaustion], server: SocketAddr) -> bool {
    found.iter().any(|one| one.server == server)
}

/// Starved requests that their client gave up, and those that caused them, have timed out: not one of those clients
/// left of its own accord.
pub(super) fn settle(analysis: &Analysis, starved: &[(ExchangeId, LinkId)], outcomes: &mut [Outcome]) {
    for &(exchange, _) in starved {
        let mut id = exchange;
        // Bounded like every walk up a tree, against a cycle.
        for _ in 0..64 {
            let outcome = &mut outcomes[id.0 as usize];
            if *outcome != Outcome::Aborted && *outcome != Outcome::TimedOut {
                break;
            }
            *outcome = Outcome::TimedOut;
            match analysis.trees.parent(id) {
                Some(parentage) => id = parentage.parent,
                None => break,
            }
        }
    }
}

/// The exchanges that these findings explain.
pub(super) fn explained(found: &[Exhaustion]) -> impl Iterator<Item = (ExchangeId, LinkId)> + '_ {
    found.iter().flat_map(|one| one.unanswered.iter().map(|&id| (id, one.link)))
}

/// One finding for each server address.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis, found: Vec<Exhaustion>) -> Vec<Finding> {
    found.into_iter().map(|one| finding(analysis, diagnosis, one)).collect()
}

fn finding(analysis: &Analysis, diagnosis: &Diagnosis, one: Exhaustion) -> Finding {
    let mut draft = Draft::new(analysis, diagnosis, &texts::WORKER_EXHAUSTION, one.link);
    draft.certainty = one.certainty;
    if one.unanswered.is_empty() {
        draft.severity = Severity::Warning;
    }
    let late = match one.late.len() as u64 {
        0 => String::new(),
        number => {
            let when = if one.handovers > 0 { ", each once a served connection had closed" } else { "" };
            format!("{} answered late{when}.", were(number))
        }
    };
    draft.values.push(("server", one.server.to_string()));
    draft.values.push(("workers", counted(one.workers, "connection")));
    draft.values.push(("n", one.workers.to_string()));
    draft.values.push(("more", (one.workers * 4).to_string()));
    draft.values.push(("usual", duration(one.usual_ns)));
    draft.values.push(("longest", duration(one.longest_ns)));
    draft.values.push(("unanswered", one.unanswered.len().to_string()));
    draft.values.push(("late", late));
    let mut exchanges = if one.unanswered.is_empty() { one.late } else { one.unanswered };
    exchanges.sort_unstable_by_key(|&id| (analysis.exchange(id).started(), id));
    let mut proofs = ProofList::new(analysis);
    for &id in exchanges.iter().take(CASES) {
        prove(analysis.exchange(id), one.workers, &mut proofs);
    }
    draft.finish(exchanges, proofs)
}

fn were(number: u64) -> String {
    if number == 1 { "1 more was".to_owned() } else { format!("{number} more were") }
}

fn prove(exchange: ExchangeView<'_>, workers: u64, proofs: &mut ProofList<'_>) {
    let raw = exchange.raw;
    let note = format!(
        "request 1 sent and acknowledged, while {} were served",
        counted(workers, "other connection")
    );
    proofs.add(exchange, raw.request.first_frame, note);
    if raw.response.is_present() && exchange.left_before_response().is_none() {
        let waited: SessionTime = exchange.connection().time(raw.response.start, raw.response.first_frame);
        let note = format!("answered after {}", duration(waited.since_ns(exchange.started())));
        proofs.add(exchange, raw.response.first_frame, note);
    } else {
        prove_given_up(exchange, proofs);
    }
}

/// The packets of a request that was acknowledged, and given up before the server read it.
pub(super) fn prove_unread(exchange: ExchangeView<'_>, proofs: &mut ProofList<'_>) {
    proofs.add(exchange, exchange.raw.request.first_frame, "request sent and acknowledged");
    prove_given_up(exchange, proofs);
}

/// The packet with which the client left, and how long it had waited.
fn prove_given_up(exchange: ExchangeView<'_>, proofs: &mut ProofList<'_>) {
    if let Some(end) = Life::of(exchange.connection()).client_ended() {
        let waited = end.at.0.saturating_sub(exchange.raw.request.end.0);
        proofs.add(exchange, end.frame, format!("given up after {}", duration(waited)));
    }
}
