//! How the captures' clocks agree: exact bounds from segments that two captures hold, carried along a tree.
//!
//! With δ = clock B − clock A and A nearer the client, a segment to the server gives `t_B − t_A = δ + d`
//! and one to the client `δ − d'`, where d, d' ≥ 0: δ lies between the largest of the latter and the smallest
//! of the former. A child inside its parent gives bounds of the same form.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::capture::{CaptureId, CaptureTime};
use crate::http::CaptureFacts;
use crate::tcp::{EventKind, Flow, Side};

use super::fit::{Bounds, Fit};
use super::keys::{IdHeaders, request_key};
use super::{Clock, ClockMethod, ClockStep, MOST_CLOCK_STEPS, Overrides, Sighting};

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Connections compared for each pair of captures.
const SAMPLED_CONNECTIONS: usize = 4_096;
/// Exchanges compared for each connection.
const SAMPLED_EXCHANGES: usize = 64;
/// Exchanges of a capture whose ids are looked up in others.
const SAMPLED_IDS: usize = 50_000;
/// Pairs of exchanges that containment needs at least.
const LEAST_PAIRS: usize = 3;
/// Half-width of an offset from requests that happen once, where not all of them agree: beyond it they are no pairs.
const MOST_BAND_BY_TEXT_NS: i64 = 5_000_000;
/// Pairs told by nothing but their order that containment needs at least.
const LEAST_IN_ORDER: usize = 24;

/// What two captures say about their clocks.
#[derive(Clone, Debug)]
struct Tie {
    a: usize,
    b: usize,
    /// Clock of B minus clock of A, by A's time.
    fit: Fit,
    method: ClockMethod,
}

/// The clock of every capture against that of the reference capture.
pub(super) fn align(
    captures: &[Arc<CaptureFacts>],
    connections: &[Vec<Sighting>],
    ids: &IdHeaders,
    overrides: &Overrides,
) -> Vec<Clock> {
    let mut clocks = vec![Clock::default(); captures.len()];
    if let [only] = clocks.as_mut_slice() {
        *only = reference();
    } else if clocks.len() > 1 {
        let mut ties = segment_ties(captures, connections);
        let apart = components(captures.len(), &ties);
        if apart.iter().any(|&root| root != apart[0]) {
            ties.extend(containment_ties(captures, ids, &apart));
        }
        spread(captures, &ties, &mut clocks);
    }
    for &(capture, by_ns) in &overrides.clock_ns {
        if let Some(clock) = clocks.get_mut(usize::from(capture)) {
            clock.manual_ns = clock.manual_ns.saturating_add(by_ns);
            clock.offset_ns = clock.computed_ns.saturating_add(clock.manual_ns);
            if clock.method == ClockMethod::None {
                (clock.method, clock.group) = (ClockMethod::Declared, 0);
            }
        }
    }
    clocks
}

/// The clock that the others are compared with.
fn reference() -> Clock {
    Clock { band_ns: Some(0), method: ClockMethod::SameHost, ..Clock::default() }
}

/// Ties from the segments that two captures both hold.
fn segment_ties(captures: &[Arc<CaptureFacts>], connections: &[Vec<Sighting>]) -> Vec<Tie> {
    let mut shared: FixedMap<(usize, usize), Vec<(Sighting, Sighting)>> = FixedMap::default();
    for sightings in connections.iter().filter(|sightings| sightings.len() > 1) {
        for (at, one) in sightings.iter().enumerate() {
            for other in sightings[at + 1..].iter().filter(|other| other.capture != one.capture) {
                let (a, b) = if one.capture < other.capture { (one, other) } else { (other, one) };
                shared.entry((a.capture.index(), b.capture.index())).or_default().push((*a, *b));
            }
        }
    }
    let mut pairs: Vec<_> = shared.into_iter().collect();
    pairs.sort_by_key(|(pair, _)| *pair);
    pairs
        .into_iter()
        .filter_map(|((a, b), both)| {
            let mut bounds = Bounds::default();
            for (one, other) in both.iter().step_by(both.len().div_ceil(SAMPLED_CONNECTIONS)) {
                compare(&captures[a], &captures[b], *one, *other, &mut bounds);
            }
            Some(Tie { a, b, fit: bounds.fit()?, method: ClockMethod::SameSegment })
        })
        .collect()
}

fn compare(a: &CaptureFacts, b: &CaptureFacts, one: Sighting, other: Sighting, out: &mut Bounds) {
    let (flow_a, flow_b) = (a.flow(one.flow), b.flow(other.flow));
    // Without a handshake the two may disagree on who asks; translated addresses are no disagreement.
    if flow_a.client == flow_b.server {
        return;
    }
    let marks = marks(b, flow_b);
    for (key, at_a) in self::marks(a, flow_a) {
        let Ok(found) = marks.binary_search_by_key(&key, |mark| mark.0) else { continue };
        let difference = marks[found].1.0.saturating_sub(at_a.0);
        match key.0 {
            Side::Client => out.to_server.push((at_a.0, difference)),
            Side::Server => out.to_client.push((at_a.0, difference)),
        }
    }
}

/// Sender, kind, sequence number and acknowledgement: what names a segment.
type Mark = ((Side, u8, u32, u32), CaptureTime);

/// The segments of a connection that facts keep the time of, each named once; those sent twice are left out.
fn marks(facts: &CaptureFacts, flow: &Flow) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    for event in facts.events_of(flow) {
        let kind = match event.kind {
            EventKind::Syn => 0,
            EventKind::SynAck => 1,
            EventKind::Fin => 2,
            EventKind::Rst => 3,
            _ => continue,
        };
        marks.push(((event.from, kind, event.seq, event.ack), event.at));
    }
    for exchange in facts.exchanges_of(flow).iter().take(SAMPLED_EXCHANGES) {
        for (side, message) in [(Side::Client, &exchange.request), (Side::Server, &exchange.response)] {
            // A first packet that was sent twice may be the other copy in the other capture.
            if message.is_present() && flow.direction(side).retransmitted == 0 {
                marks.push(((side, 4, message.seq, 0), message.start));
            }
        }
    }
    marks.sort_by_key(|mark| mark.0);
    let alone = |at: usize, marks: &[Mark]| {
        let same = |other: Option<&Mark>| other.is_some_and(|other| other.0 == marks[at].0);
        !same(at.checked_sub(1).and_then(|before| marks.get(before))) && !same(marks.get(at + 1))
    };
    (0..marks.len()).filter(|&at| alone(at, &marks)).map(|at| marks[at]).collect()
}

/// Ties from children inside their parents, where no segment ties two groups of captures: by ids, else by
/// requests that happen once, else by equal requests in their order, where both captures hold as many.
fn containment_ties(captures: &[Arc<CaptureFacts>], ids: &IdHeaders, apart: &[usize]) -> Vec<Tie> {
    let by_id: Vec<Occurrences> = captures.iter().map(|facts| occurrences(facts, Some(ids))).collect();
    let by_text: Vec<Occurrences> = captures.iter().map(|facts| occurrences(facts, None)).collect();
    let mut ties = Vec::new();
    for a in 0..captures.len() {
        for b in a + 1..captures.len() {
            if apart[a] == apart[b] {
                continue;
            }
            let tie = contained(&by_id[a], &by_id[b], a, b, Told::ById)
                .or_else(|| contained(&by_text[a], &by_text[b], a, b, Told::ByText))
                .or_else(|| contained(&by_text[a], &by_text[b], a, b, Told::InOrder));
            ties.extend(tie);
        }
    }
    ties
}

/// When requests with one key were made and answered at each server, by the clock of their capture.
type Occurrences = FixedMap<u64, Vec<(SocketAddr, Vec<(i64, i64)>)>>;

fn occurrences(facts: &CaptureFacts, ids: Option<&IdHeaders>) -> Occurrences {
    let names = ids.map(|ids| ids.of(facts));
    let step = facts.exchanges.len().div_ceil(SAMPLED_IDS).max(1) as u64;
    let mut all = Occurrences::default();
    for exchange in &facts.exchanges {
        if !exchange.request.is_present() || !exchange.response.is_complete() {
            continue;
        }
        let key = if let Some(names) = &names {
            let Some((rank, id)) = names.best(facts, exchange) else { continue };
            id ^ ((rank as u64) << 56)
        } else {
            request_key(facts, exchange) ^ u64::from(exchange.request.body_crc)
        };
        // By the key and not by the place: the other captures must choose the same requests.
        if !key.is_multiple_of(step) {
            continue;
        }
        let server = facts.flow(exchange.flow).server;
        let times = (exchange.request.start.0, exchange.response.end.0);
        let servers = all.entry(key).or_default();
        match servers.iter().position(|known| known.0 == server) {
            Some(known) => servers[known].1.push(times),
            None => servers.push((server, vec![times])),
        }
    }
    for (_, times) in all.values_mut().flatten() {
        times.sort_unstable();
    }
    all
}

/// What makes a pair of two requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// An id that each capture holds once.
    ById,
    /// A target and body that each capture holds once. Recordings of other chains, or of other times, may share some.
    ByText,
    /// Their order among equal ones.
    InOrder,
}

impl Told {
    /// Whether the pairs agree on the clocks so well that they are pairs.
    fn is_proven(self, fit: &Fit) -> bool {
        match self {
            Self::ById => true,
            // A wrong pair among right ones costs no more than the delay of a proxy.
            Self::ByText => fit.is_exact || fit.band_ns <= MOST_BAND_BY_TEXT_NS,
            // Pairs told by order only count when every one of them fits.
            Self::InOrder => fit.is_exact,
        }
    }
}

fn contained(one: &Occurrences, other: &Occurrences, a: usize, b: usize, told: Told) -> Option<Tie> {
    let unique = told != Told::InOrder;
    let mut by_legs: FixedMap<(SocketAddr, SocketAddr), Bounds> = FixedMap::default();
    for (key, servers) in one {
        let Some(others) = other.get(key) else { continue };
        for (server_a, times_a) in servers {
            for (server_b, times_b) in others {
                if server_a == server_b || times_a.len() != times_b.len() || (unique && times_a.len() > 1) {
                    continue;
                }
                let bounds = by_legs.entry((*server_a, *server_b)).or_default();
                for (at_a, at_b) in times_a.iter().zip(times_b) {
                    bounds.to_server.push((at_a.0, at_b.0.saturating_sub(at_a.0)));
                    bounds.to_client.push((at_a.1, at_b.1.saturating_sub(at_a.1)));
                }
            }
        }
    }
    let least = if unique { LEAST_PAIRS } else { LEAST_IN_ORDER };
    let mut legs: Vec<_> = by_legs.into_iter().filter(|(_, d)| d.to_server.len() >= least).collect();
    legs.sort_by_key(|(leg, _)| *leg);
    let most = legs.iter().map(|(_, d)| d.to_server.len()).max()?;
    legs.into_iter()
        .filter(|(_, d)| d.to_server.len() * 2 >= most)
        .filter_map(|(_, d)| d.fit())
        .filter(|fit| told.is_proven(fit))
        .min_by_key(|fit| fit.band_ns)
        .map(|fit| Tie { a, b, fit, method: ClockMethod::Containment })
}

/// For each capture the lowest one that ties lead to.
fn components(count: usize, ties: &[Tie]) -> Vec<usize> {
    let mut root: Vec<usize> = (0..count).collect();
    for _ in 0..count {
        for tie in ties {
            let low = root[tie.a].min(root[tie.b]);
            (root[tie.a], root[tie.b]) = (low, low);
        }
    }
    root
}

/// Carries the offsets from a reference along the narrowest ties, one tree for each group of captures.
fn spread(captures: &[Arc<CaptureFacts>], ties: &[Tie], clocks: &mut [Clock]) {
    let weight =
        |at: usize| -> usize { ties.iter().filter(|t| t.a == at || t.b == at).map(|t| t.fit.weight).sum() };
    // A clock that was set, or that runs at a pace of its own, differs so from each that it is compared with.
    let unsteady = |at: usize| ties.iter().filter(|t| (t.a == at || t.b == at) && !t.fit.is_steady()).count();
    let name = |at: usize| (captures[at].info.first, &captures[at].info.path);
    let mut order: Vec<usize> = (0..captures.len()).collect();
    // Not by index: the order in which files are given must not choose the clock.
    order.sort_by(|&a, &b| {
        let rank = |at: usize| (unsteady(at), Reverse(weight(at)));
        rank(a).cmp(&rank(b)).then_with(|| name(a).cmp(&name(b))).then(a.cmp(&b))
    });
    let mut done = vec![false; captures.len()];
    let mut group = 0;
    for start in order {
        if done[start] {
            continue;
        }
        let mut members = vec![start];
        done[start] = true;
        clocks[start] = reference();
        loop {
            let edge = ties.iter().filter(|tie| done[tie.a] != done[tie.b]).min_by(|x, y| {
                let far = |tie: &Tie| if done[tie.a] { tie.b } else { tie.a };
                (x.fit.band_ns).cmp(&y.fit.band_ns).then_with(|| name(far(x)).cmp(&name(far(y))))
            });
            let Some(tie) = edge else { break };
            let (from, to) = if done[tie.a] { (tie.a, tie.b) } else { (tie.b, tie.a) };
            done[to] = true;
            members.push(to);
            clocks[to] = carry(&clocks[from], tie, from == tie.a);
            clocks[to].against = Some(CaptureId(from as u16));
            if clocks[from].method == ClockMethod::SameHost {
                (clocks[from].method, clocks[from].compared) = (tie.method, clocks[to].compared);
                clocks[from].against = Some(CaptureId(to as u16));
            }
        }
        for &at in &members {
            clocks[at].group = group;
            // Captures tied among themselves only: they agree with each other, and with the others by chance.
            if group > 0 || (members.len() == 1 && captures.len() > 1) {
                (clocks[at].band_ns, clocks[at].method) = (None, ClockMethod::None);
            }
        }
        group += 1;
    }
}

/// The clock at the far end of a tie; `to_b` when that is the tie's B.
fn carry(from: &Clock, tie: &Tie, to_b: bool) -> Clock {
    let fit = &tie.fit;
    // Session time minus the far clock's time, where the near clock shows `fit.pivot` or what B shows then.
    let (near_at, far_at, far_slope) = if to_b {
        (fit.pivot, fit.pivot.saturating_add(fit.delta_ns), -fit.drift / (1.0 + fit.drift))
    } else {
        (fit.pivot.saturating_add(fit.delta_ns), fit.pivot, fit.drift)
    };
    let sign = if to_b { -1 } else { 1 };
    let near_session = near_at.saturating_add(from.offset_at(CaptureTime(near_at)));
    let mut offset = near_session.saturating_sub(far_at);
    // Captures of one host, or of hosts in step: times stay as they were recorded.
    let is_plain = fit.is_steady() && from.drift_ppb == 0 && from.steps[0].is_none();
    if is_plain && fit.delta_ns.saturating_abs() <= fit.band_ns {
        offset = from.offset_ns;
    }
    let drift = far_slope + from.drift_ppb as f64 / 1e9 * (1.0 + far_slope);
    // By the near clock, where both are told of the same moment, and by the far one.
    let (own_near, own_far) =
        if to_b { (fit.steps.clone(), fit.steps_by_b()) } else { (fit.steps_by_b(), fit.steps.clone()) };
    let own = own_near.into_iter().zip(own_far).map(|(near, far)| (near.0, far.0, sign * far.1));
    let shift = far_at.saturating_sub(near_at);
    let theirs =
        from.steps.iter().flatten().map(|step| (step.at.0, step.at.0.saturating_add(shift), step.by_ns));
    Clock {
        offset_ns: offset,
        computed_ns: offset,
        band_ns: from.band_ns.map(|band| band.saturating_add(fit.band_ns)),
        method: tie.method,
        pivot: CaptureTime(far_at),
        drift_ppb: (drift * 1e9).round() as i64,
        steps: steps(own.chain(theirs).collect(), fit.band_ns),
        compared: u32::try_from(fit.weight).unwrap_or(u32::MAX),
        ..Clock::default()
    }
}

/// Steps (near clock's time, far clock's time, size) in time order; those that undo each other, since both captures
/// were compared with the one that was set, are none.
fn steps(mut all: Vec<(i64, i64, i64)>, band_ns: i64) -> [Option<ClockStep>; MOST_CLOCK_STEPS] {
    const SAME_MOMENT_NS: i64 = 2_000_000_000;
    all.sort_unstable();
    let mut merged: Vec<(i64, i64, i64)> = Vec::new();
    for step in all {
        match merged.last_mut().filter(|last| step.0.saturating_sub(last.0) <= SAME_MOMENT_NS) {
            Some(last) => last.2 = last.2.saturating_add(step.2),
            None => merged.push(step),
        }
    }
    let mut kept = [None; MOST_CLOCK_STEPS];
    let real = merged.into_iter().filter(|step| step.2.saturating_abs() > 2 * band_ns);
    for (slot, (_, at, by_ns)) in kept.iter_mut().zip(real) {
        *slot = Some(ClockStep { at: CaptureTime(at), by_ns });
    }
    kept
}
