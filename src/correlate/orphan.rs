//! Requests without a cause or without consequences, and why that is as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::analysis::{Analysis, ExchangeView};
use crate::http::ExchangeFlags;
use crate::topology::keys::request_key;
use crate::topology::{ExchangeId, LaneId};

use super::Trees;
use super::copies::Ids;

mod late;
mod unseen;

/// Why a request has no parent, or why the lane that got it did not pass it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Orphan {
    /// The lane answered it well by itself: from a cache, or with content of its own.
    AnsweredHere,
    /// The lane answered it from a cache, as the answer's headers say.
    FromCache,
    /// The lane asked for what it had just answered the same request with: a cache makes its copy new, and nobody waits.
    BackgroundRefresh,
    /// The lane refused it by itself (4xx, such as 413 or 429).
    RefusedHere,
    /// The lane answered 5xx and no attempt to pass it on was captured.
    FailedHere,
    /// The lane made it again after a failure, when who had asked for it had given up.
    LateRetry,
    /// It asks whether a server lives; nobody's request caused it.
    HealthCheck,
    /// It came before the capture of the other link began, or after it had ended.
    OutsideCapture,
    /// What this replica of the lane was asked, or what it asks, was not captured, as that of others was; or the lane was
    /// not captured itself, so that it may talk to others than those that were.
    NotCaptured,
    /// Nothing ties the clocks of the captures of the two links, so that the times do not say what belongs together.
    ClocksApart,
    /// The capture misses packets around it.
    CaptureLoss,
    /// Nothing captured explains it.
    Unexplained,
}

impl Orphan {
    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::AnsweredHere => "answered-here",
            Self::FromCache => "from-cache",
            Self::BackgroundRefresh => "background-refresh",
            Self::RefusedHere => "refused-here",
            Self::FailedHere => "failed-here",
            Self::LateRetry => "late-retry",
            Self::HealthCheck => "health-check",
            Self::OutsideCapture => "outside-capture",
            Self::NotCaptured => "not-captured",
            Self::ClocksApart => "clocks-apart",
            Self::CaptureLoss => "capture-loss",
            Self::Unexplained => "unexplained",
        }
    }

    /// What it says of the request, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::AnsweredHere => "answered without asking on: from a cache, or with content of its own",
            Self::FromCache => "answered from a cache, as the answer's headers say",
            Self::BackgroundRefresh => "asked in the background for what had just been answered from a cache",
            Self::RefusedHere => "refused without asking on",
            Self::FailedHere => "failed without an attempt to ask on that was captured",
            Self::LateRetry => "made again after a failure, when who had asked for it had given up",
            Self::HealthCheck => "a health check: no request caused it",
            Self::OutsideCapture => "the other link was not captured at that time",
            Self::NotCaptured => {
                "this hop was not captured itself, so that its other side may be out of sight"
            }
            Self::ClocksApart => "nothing ties the clocks of the captures that hold the two links",
            Self::CaptureLoss => "the capture misses packets around it",
            Self::Unexplained => "nothing captured explains it",
        }
    }
}

/// Fewer requests at a replica do not show that nothing that it asks was captured.
const FEWEST: usize = 8;
/// So many of a hundred requests at the others must lead to another one.
const PASSED_ON_PERCENT: usize = 90;
/// A cache asks for what is to be made new this soon after it answered, in nanoseconds.
const REFRESH_NS: i64 = 250_000_000;
/// So many requests before one are looked at for what it may have been asked for.
const LOOK_BACK: usize = 64;

/// Parts of a path that ask whether a server lives.
const HEALTH: [&str; 11] = [
    "health",
    "healthz",
    "healthcheck",
    "ping",
    "ready",
    "readyz",
    "livez",
    "live",
    "alive",
    "status",
    "heartbeat",
];

/// All orphans in the order of their ids.
///
/// `strangers` came from replicas of which nobody captured what they were asked.
pub(super) fn find(analysis: &Analysis, trees: &Trees, strangers: &Ids) -> Vec<(ExchangeId, Orphan)> {
    let topology = &analysis.topology;
    let lanes = topology.lanes.len();
    // By lane: from when to when the links into it and out of it were captured.
    let (mut into, mut out) = (vec![None; lanes], vec![None; lanes]);
    for link in &topology.links {
        for &id in &link.connections {
            let connection = analysis.connection(id);
            // A capture of the lane itself goes on while that of the one it asks holds nothing yet.
            for sighting in &connection.inner.sightings {
                let Some((first, last)) = analysis.capture_span(sighting.capture) else { continue };
                let times = (first.0, last.0);
                for (span, lane) in [(&mut into, link.to), (&mut out, link.from)] {
                    let span: &mut Option<(i64, i64)> = &mut span[usize::from(lane.0)];
                    let known = span.unwrap_or(times);
                    *span = Some((known.0.min(times.0), known.1.max(times.1)));
                }
            }
        }
    }
    let mute = mute_replicas(analysis, trees);
    let unseen = unseen::Unseen::find(analysis);
    let mut all = Vec::new();
    for connection in analysis.connections() {
        let link = analysis.link(connection.inner.link);
        let span = |lane: LaneId, spans: &[Option<(i64, i64)>]| spans[usize::from(lane.0)];
        let spans = (span(link.from, &into), span(link.to, &out));
        if spans == (None, None) {
            continue;
        }
        for exchange in connection.exchanges().filter(|x| x.raw.request.is_present()) {
            let orphan = match spans {
                (Some(captured), _) if trees.parent(exchange.id).is_none() => {
                    let why = without_parent(&exchange, captured);
                    let is_stranger = why != Orphan::HealthCheck && strangers.contains(&exchange.id);
                    Some(if is_stranger { Orphan::NotCaptured } else { unseen.of_parent(&exchange, why) })
                }
                (_, Some(_)) if mute.contains(&(link.to, connection.inner.server.ip())) => {
                    Some(Orphan::NotCaptured)
                }
                (_, Some(captured)) if trees.children(exchange.id).is_empty() => {
                    without_children(&exchange, captured).map(|why| unseen.of_children(&exchange, why))
                }
                _ => None,
            };
            all.extend(orphan.map(|orphan| (exchange.id, orphan)));
        }
    }
    name_refreshes(analysis, &mut all);
    late::name(analysis, trees, &mut all);
    all
}

/// The addresses of lanes at which no request leads to another one, while at the others nearly every one does.
fn mute_replicas(analysis: &Analysis, trees: &Trees) -> BTreeSet<(LaneId, IpAddr)> {
    let mut counts: BTreeMap<(LaneId, IpAddr), (usize, usize)> = BTreeMap::new();
    for connection in analysis.connections() {
        let place = (analysis.link(connection.inner.link).to, connection.inner.server.ip());
        let counts = counts.entry(place).or_default();
        for exchange in connection.exchanges() {
            counts.0 += 1;
            counts.1 += usize::from(!trees.children(exchange.id).is_empty());
        }
    }
    let mut mute = BTreeSet::new();
    for &place in
        counts.iter().filter(|(_, counts)| counts.0 >= FEWEST && counts.1 == 0).map(|(place, _)| place)
    {
        let lane = counts.range((place.0, IpAddr::V4([0; 4].into()))..).take_while(|(at, _)| at.0 == place.0);
        let mut others = lane.map(|(_, counts)| counts).filter(|counts| counts.1 > 0).peekable();
        let pass_on = others.peek().is_some()
            && others.all(|(asked, passed_on)| passed_on * 100 >= asked * PASSED_ON_PERCENT);
        if pass_on {
            mute.insert(place);
        }
    }
    mute
}

/// When requests that a lane answered by itself came and were answered, by lane, method and target.
type Answered = HashMap<(LaneId, u64), Vec<(i64, i64)>, foldhash::fast::FixedState>;

/// Tells those that a cache makes because of a request that it has answered: for the same, within a moment. What begins and
/// ends inside such a request may be what that was answered with.
fn name_refreshes(analysis: &Analysis, all: &mut [(ExchangeId, Orphan)]) {
    let is_open = |orphan: Orphan| orphan == Orphan::Unexplained;
    if !all.iter().any(|(_, orphan)| is_open(*orphan)) {
        return;
    }
    let mut answered = Answered::default();
    for (id, _) in all.iter().filter(|(_, why)| matches!(why, Orphan::AnsweredHere | Orphan::FromCache)) {
        let exchange = analysis.exchange(*id);
        let key = (analysis.link(exchange.link_id()).to, request_key(exchange.facts, exchange.raw));
        answered.entry(key).or_default().push((exchange.started().0, exchange.ended().0));
    }
    for times in answered.values_mut() {
        times.sort_unstable();
    }
    for (id, orphan) in all.iter_mut().filter(|(_, orphan)| is_open(*orphan)) {
        let exchange = analysis.exchange(*id);
        let key = (analysis.link(exchange.link_id()).from, request_key(exchange.facts, exchange.raw));
        let (at, over) = (exchange.started().0, exchange.settled().0);
        let times = answered.get(&key).map_or(&[][..], Vec::as_slice);
        let before = &times[..times.partition_point(|(start, _)| *start <= at)];
        let is_soon = before.last().is_some_and(|(_, end)| at.saturating_sub(*end) <= REFRESH_NS);
        if is_soon && before.iter().rev().take(LOOK_BACK).all(|(_, end)| *end < over) {
            *orphan = Orphan::BackgroundRefresh;
        }
    }
}

fn without_parent(exchange: &ExchangeView<'_>, captured: (i64, i64)) -> Orphan {
    if asks_for_health(exchange) {
        Orphan::HealthCheck
    } else if is_outside(exchange, captured) {
        Orphan::OutsideCapture
    } else if exchange.raw.flags.has(ExchangeFlags::NEAR_HOLE) {
        Orphan::CaptureLoss
    } else {
        Orphan::Unexplained
    }
}

fn without_children(exchange: &ExchangeView<'_>, captured: (i64, i64)) -> Option<Orphan> {
    if is_outside(exchange, captured) {
        return Some(Orphan::OutsideCapture);
    }
    if exchange.raw.flags.has(ExchangeFlags::NEAR_HOLE) {
        return Some(Orphan::CaptureLoss);
    }
    match exchange.status()? {
        ..400 if exchange.raw.flags.has(ExchangeFlags::FROM_CACHE) => Some(Orphan::FromCache),
        ..400 => Some(Orphan::AnsweredHere),
        400..500 => Some(Orphan::RefusedHere),
        _ => Some(Orphan::FailedHere),
    }
}

fn is_outside(exchange: &ExchangeView<'_>, (first, last): (i64, i64)) -> bool {
    let start = exchange.started().0;
    start < first || start > last
}

fn asks_for_health(exchange: &ExchangeView<'_>) -> bool {
    let target = exchange.target();
    let path = target.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let asks = matches!(exchange.method(), "GET" | "HEAD" | "OPTIONS");
    asks && path.split(['/', '-', '_', '.']).any(|part| HEALTH.contains(&part))
}
