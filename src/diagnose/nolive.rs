//! Gateways that answer 502 or 503 at once because they hold no upstream for alive (C5), and gateway errors that a
//! failed connection explains.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{Analysis, ExchangeView};
use crate::capture::{CaptureId, SessionTime};
use crate::correlate::{Confidence, Orphan, Parentage};
use crate::http::MessageState;
use crate::tcp::{Closing, Opening, Side};
use crate::topology::keys::text_hash;
use crate::topology::{ClockMethod, ConnectionId, ExchangeId, LaneId, LinkId};

use super::connect::{Attempt, Failed};
use super::draft::{Draft, ProofList, statuses};
use super::mismatch::Mismatch;
use super::reuse::CASES;
use super::sight;
use super::words::duration;
use super::{Certainty, Diagnosis, Finding, Outcome, texts};

/// A gateway that asks nobody answers within this time.
const AT_ONCE_NS: i64 = 50_000_000;

/// nginx holds a failed address for dead for 10 s by default; after so long a failure is no reason any more.
const DEAD_NS: i64 = 60_000_000_000;

/// A gateway that reaches an upstream for the same host so shortly before or after has a live one.
const NEAR_NS: i64 = 1_000_000_000;

/// So few errors more than attempts prove nothing without a common clock.
const FEWEST: usize = 3;

/// How far apart packets of one event may lie on one clock.
const SLACK_NS: i64 = 1_000_000;

/// What one lane sent out on the links behind it.
#[derive(Default)]
struct Outgoing {
    /// Starts of exchanges and of connections, with what they belong to.
    starts: Vec<(SessionTime, Start)>,
    /// Failed connections, sorted by time.
    failed: Vec<(SessionTime, LinkId)>,
    /// When attempts had failed, sorted.
    gave_up: Vec<SessionTime>,
    /// From when to when connections were open whose bytes show no requests (TLS), sorted, each end no earlier than those
    /// before it: what they carried may have been any request.
    unread: Vec<(SessionTime, SessionTime)>,
    /// Failed health checks, sorted by time: they explain no error of a request, but why there is no server.
    checks: Vec<SessionTime>,
    captures: Vec<CaptureId>,
    /// How long what it sends may be under way to where it was captured.
    under_way_ns: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Start {
    Exchange(ExchangeId),
    /// A connection that carried no exchange.
    Bare(ConnectionId),
}

/// Gateway errors by what explains them.
#[derive(Default)]
pub(super) struct Gateways {
    /// Errors that a failed connection behind the gateway explains, with its link.
    pub(super) explained: Vec<(ExchangeId, LinkId)>,
    /// Errors without any attempt.
    pub(super) no_live: Vec<ExchangeId>,
    /// Those of them that failures on the links behind went before.
    after_failures: usize,
}

/// A gateway error for which nothing was found behind the gateway.
struct Candidate {
    exchange: ExchangeId,
    /// Whether the captures behind the gateway hold its time on a clock that is tied to the gateway's.
    proven: bool,
    after_failure: bool,
    /// Whether another request for the same host got through at about this time: one group of servers may be dead while
    /// another one lives, and each worker process of a proxy holds its own for dead.
    contested: bool,
}

/// Looks at every gateway error that no attempt explains.
pub(super) fn find(
    analysis: &Analysis,
    outcomes: &[Outcome],
    attempts: &[Attempt],
    mismatches: &[Mismatch],
) -> Gateways {
    let mut gateways = Gateways::default();
    let errors: Vec<ExchangeView<'_>> =
        analysis.exchanges().filter(|x| is_childless_error(analysis, outcomes, *x)).collect();
    if errors.is_empty() {
        return gateways;
    }
    let lanes = outgoing(analysis, outcomes, attempts, mismatches);
    let mut candidates: BTreeMap<LaneId, Vec<Candidate>> = BTreeMap::new();
    for error in errors {
        let lane = analysis.link(error.link_id()).to;
        let Some(out) = lanes.get(&lane) else { continue };
        let tied = out.slack_ns(analysis, error.capture);
        let slack = tied.unwrap_or(SLACK_NS);
        let from = SessionTime(error.started().0.saturating_sub(slack));
        let to = SessionTime(error.settled().0.saturating_add(slack));
        if let Some(link) = out.failed_in(from, to) {
            gateways.explained.push((error.id, link));
        } else if outcomes[error.id.0 as usize] != Outcome::NoResponse
            && out.asked_nobody(analysis, error, from, to)
        {
            let since = SessionTime(from.0.saturating_sub(DEAD_NS));
            let after_failure = out.last_given_up(from).is_some() || out.checked_in(since, to);
            let proven = tied.is_some() && out.holds(analysis, from, to);
            let contested = out.serves_host(analysis, error, from, to);
            let one = Candidate { exchange: error.id, proven, after_failure, contested };
            candidates.entry(lane).or_default().push(one);
        }
    }
    let contested = candidates.values().flatten().any(|one| one.contested);
    let passed_on = if contested { passed_on(analysis) } else { BTreeSet::new() };
    for (lane, mut found) in candidates {
        // Then only what is passed on otherwise, right after failures and more than once, is no answer of its own.
        let like = |one: &Candidate| {
            let error = analysis.exchange(one.exchange);
            one.proven
                && one.after_failure
                && error.status() == Some(502)
                && passed_on.contains(&(lane, place_of(error)))
        };
        let alone = found.iter().filter(|one| !one.contested || like(one)).count() < 2;
        found.retain(|one| !one.contested || !alone && like(one));
        // Without a common clock the count alone tells: more errors than there are attempts they could belong to.
        let unclaimed = lanes.get(&lane).map_or(0, |out| out.unclaimed(analysis));
        sight::drop_lost(analysis, &mut found, |_| Some(lane));
        if found.iter().any(|one| one.proven) || found.len() > 2 * unclaimed + FEWEST {
            gateways.after_failures += found.iter().filter(|one| one.after_failure).count();
            gateways.no_live.extend(found.iter().map(|one| one.exchange));
        }
    }
    gateways
}

/// What a gateway chooses its servers by, as far as one can see: host and first part of the path.
fn place_of(exchange: ExchangeView<'_>) -> u64 {
    let target = exchange.target();
    let path = target.split('?').next().unwrap_or_default();
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    text_hash(exchange.host().unwrap_or_default()).rotate_left(7) ^ text_hash(first)
}

/// The places for which each lane asked others, at any time.
fn passed_on(analysis: &Analysis) -> BTreeSet<(LaneId, u64)> {
    let asked = analysis.exchanges().filter(|x| !analysis.trees.children(x.id).is_empty());
    asked.map(|x| (analysis.link(x.link_id()).to, place_of(x))).collect()
}

/// A gateway's own error, or a request that its client gave up on, or that the gateway closed on in place of an answer (as
/// HAProxy does when it cannot pass on what came on a kept connection), where nothing is known behind the gateway.
fn is_childless_error(analysis: &Analysis, outcomes: &[Outcome], exchange: ExchangeView<'_>) -> bool {
    let outcome = outcomes[exchange.id.0 as usize];
    let own = outcome == Outcome::Complete && matches!(exchange.status(), Some(502..=504));
    // What has no whole head can be passed on to nobody.
    let request = &exchange.raw.request;
    let begun = request.state == MessageState::Partial && request.head_bytes == 0;
    let closed = || outcome == Outcome::NoResponse && exchange.connection().is_closed_by_server() && !begun;
    (own || matches!(outcome, Outcome::TimedOut | Outcome::Aborted) || closed())
        && exchange.raw.request.is_present()
        && analysis.trees.children(exchange.id).is_empty()
}

fn outgoing(
    analysis: &Analysis,
    outcomes: &[Outcome],
    attempts: &[Attempt],
    mismatches: &[Mismatch],
) -> BTreeMap<LaneId, Outgoing> {
    let mut lanes: BTreeMap<LaneId, Outgoing> = BTreeMap::new();
    for connection in analysis.connections() {
        let link = connection.inner.link;
        let out = lanes.entry(analysis.link(link).from).or_default();
        if connection.inner.exchanges.is_empty() {
            out.starts.push((connection.inner.first, Start::Bare(connection.id)));
        }
        if connection.carries_unread() {
            out.unread.push(connection.open_span());
        }
        for exchange in connection.exchanges() {
            out.starts.push((exchange.started(), Start::Exchange(exchange.id)));
            if outcomes[exchange.id.0 as usize].is_failure() {
                // What is known to have been tried for another request explains nothing here.
                let parent = analysis.trees.parent(exchange.id);
                if parent.is_none_or(|parent| parent.confidence == Confidence::Ambiguous) {
                    out.failed.push((exchange.started(), link));
                }
                out.gave_up.push(exchange.settled());
            } else if exchange.status().is_some_and(|status| status >= 500) {
                // What nginx's proxy_next_upstream and HAProxy's observe layer7 count as well.
                out.gave_up.push(exchange.settled());
            }
        }
        if !out.captures.contains(&connection.capture()) {
            out.captures.push(connection.capture());
        }
    }
    let (checks, attempts): (Vec<&Attempt>, Vec<&Attempt>) =
        attempts.iter().partition(|attempt| attempt.how == Failed::Checked);
    for check in checks {
        if let Some(out) = lanes.get_mut(&analysis.link(check.link).from) {
            out.checks.push(analysis.connection(check.connection).inner.first);
        }
    }
    let connections = attempts.iter().map(|a| (a.connection, a.link));
    for (id, link) in connections.chain(mismatches.iter().map(|m| (m.connection, m.link))) {
        if let Some(out) = lanes.get_mut(&analysis.link(link).from) {
            out.failed.push((analysis.connection(id).inner.first, link));
            out.gave_up.push(analysis.connection(id).inner.last);
        }
    }
    for (&lane, out) in &mut lanes {
        out.under_way_ns = sight::under_way_ns(analysis, lane);
        out.starts.sort_unstable();
        out.failed.sort_unstable();
        out.gave_up.sort_unstable();
        out.checks.sort_unstable();
        out.unread.sort_unstable();
        let mut last = SessionTime(i64::MIN);
        for (_, end) in &mut out.unread {
            last = last.max(*end);
            *end = last;
        }
    }
    lanes
}

impl Outgoing {
    /// How far the clocks of a capture and of those behind the lane may be apart; `None` when nothing ties them.
    fn slack_ns(&self, analysis: &Analysis, capture: CaptureId) -> Option<i64> {
        let clock = |id: CaptureId| analysis.topology.clocks[id.index()];
        let others = self.captures.iter().filter(|&&id| id != capture);
        let mut slack = SLACK_NS;
        for &other in others {
            for clock in [clock(capture), clock(other)] {
                if clock.method == ClockMethod::None {
                    return None;
                }
                slack = slack.saturating_add(clock.band_ns.unwrap_or(0));
            }
        }
        Some(slack)
    }

    /// The link of a failed attempt in this time.
    fn failed_in(&self, from: SessionTime, to: SessionTime) -> Option<LinkId> {
        let at = self.failed.partition_point(|&(at, _)| at < from);
        self.failed.get(at).filter(|&&(at, _)| at <= to).map(|&(_, link)| link)
    }

    /// When the last attempt had failed for which servers may be held for dead at this time.
    fn last_given_up(&self, by: SessionTime) -> Option<SessionTime> {
        let at = self.gave_up.partition_point(|&at| at <= by).checked_sub(1)?;
        Some(self.gave_up[at]).filter(|last| by.since_ns(*last) <= DEAD_NS)
    }

    /// Whether a health check failed in this time.
    fn checked_in(&self, from: SessionTime, to: SessionTime) -> bool {
        let at = self.checks.partition_point(|&at| at < from);
        self.checks.get(at).is_some_and(|&at| at <= to)
    }

    /// Whether the lane sent nothing for this request: the answer came at once, and all that went out meanwhile belongs
    /// to other requests for sure.
    fn asked_nobody(
        &self,
        analysis: &Analysis,
        error: ExchangeView<'_>,
        from: SessionTime,
        to: SessionTime,
    ) -> bool {
        let to = SessionTime(to.0.saturating_add(self.under_way_ns));
        let prompt = error.latency_ns().is_some_and(|ns| ns <= AT_ONCE_NS);
        prompt
            && matches!(error.status(), Some(502 | 503))
            && self.between(from, to).iter().all(|(_, start)| belongs_elsewhere(analysis, *start))
            && !self.carries_unread(from, to)
    }

    /// Whether a connection was open in this time of which no requests can be read.
    fn carries_unread(&self, from: SessionTime, to: SessionTime) -> bool {
        let begun = self.unread.partition_point(|&(first, _)| first <= to);
        begun.checked_sub(1).is_some_and(|at| self.unread[at].1 >= from)
    }

    /// Whether the captures behind the lane go on over this time.
    fn holds(&self, analysis: &Analysis, from: SessionTime, to: SessionTime) -> bool {
        self.captures
            .iter()
            .any(|&id| analysis.capture_span(id).is_some_and(|(first, last)| first <= from && to <= last))
    }

    /// How many of its attempts may belong to a request of which nothing else is known.
    fn unclaimed(&self, analysis: &Analysis) -> usize {
        self.starts.iter().filter(|(_, start)| !belongs_elsewhere(analysis, *start)).count()
    }

    fn between(&self, from: SessionTime, to: SessionTime) -> &[(SessionTime, Start)] {
        let first = self.starts.partition_point(|&(at, _)| at < from);
        let last = self.starts.partition_point(|&(at, _)| at <= to);
        &self.starts[first..last.max(first)]
    }

    /// Whether a request for the same host got through to an upstream at about this time: after the last attempt had
    /// failed, where one did.
    fn serves_host(
        &self,
        analysis: &Analysis,
        error: ExchangeView<'_>,
        from: SessionTime,
        to: SessionTime,
    ) -> bool {
        let near = match self.last_given_up(from) {
            Some(at) => (SessionTime(at.0.saturating_add(SLACK_NS)), to),
            None => (SessionTime(from.0.saturating_sub(NEAR_NS)), SessionTime(to.0.saturating_add(NEAR_NS))),
        };
        self.between(near.0, near.1).iter().any(|&(_, start)| match start {
            Start::Exchange(id) => {
                // Who asks whether a server lives is not served for anybody.
                let check = analysis.trees.orphan(id) == Some(Orphan::HealthCheck);
                let asked = analysis.trees.parent(id).map(|p| analysis.exchange(p.parent));
                !check
                    && analysis.exchange(id).raw.response.is_present()
                    && asked.is_none_or(|asked| asked.host() == error.host())
            }
            Start::Bare(_) => false,
        })
    }
}

fn belongs_elsewhere(analysis: &Analysis, start: Start) -> bool {
    match start {
        Start::Exchange(id) => {
            let sure = |parentage: &Parentage| parentage.confidence != Confidence::Ambiguous;
            analysis.trees.parent(id).is_some_and(sure)
                || analysis.trees.orphan(id) == Some(Orphan::HealthCheck)
        }
        // For a request it would have sent that on it.
        Start::Bare(id) => {
            let flow = analysis.connection(id).flow();
            let unused = flow.opening == Opening::Handshake && flow.direction(Side::Client).bytes == 0;
            unused && !flow.is_lossy() && flow.closing != Closing::Open
        }
    }
}

/// One finding for each link.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis, gateways: &Gateways) -> Vec<Finding> {
    let mut by_link: BTreeMap<LinkId, Vec<ExchangeId>> = BTreeMap::new();
    for &id in &gateways.no_live {
        by_link.entry(analysis.exchange(id).link_id()).or_default().push(id);
    }
    let finding = |(link, mut exchanges): (LinkId, Vec<ExchangeId>)| {
        exchanges.sort_unstable_by_key(|&id| (analysis.exchange(id).started(), id));
        let mut draft = Draft::new(analysis, diagnosis, &texts::NO_LIVE_UPSTREAM, link);
        let failed_before = gateways.after_failures * 2 >= gateways.no_live.len();
        draft.certainty = if failed_before { Certainty::Likely } else { Certainty::Possible };
        let longest = exchanges.iter().filter_map(|&id| analysis.exchange(id).latency_ns()).max();
        draft.values.push(("t", duration(longest.unwrap_or_default())));
        draft.values.push(("statuses", statuses(analysis, &exchanges)));
        let before = "Attempts behind it had failed shortly before, which is why.";
        draft.values.push(("before", if failed_before { before } else { "" }.to_owned()));
        let mut proofs = ProofList::new(analysis);
        for &id in exchanges.iter().take(CASES) {
            let exchange = analysis.exchange(id);
            proofs.add(exchange, exchange.raw.request.first_frame, "request, and nothing behind the gateway");
            let status = exchange.status().unwrap_or_default();
            proofs.add(exchange, exchange.raw.response.first_frame, format!("answered {status} at once"));
        }
        draft.finish(exchanges, proofs)
    };
    by_link.into_iter().map(finding).collect()
}
