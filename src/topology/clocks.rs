//! How the captures' clocks agree: exact bounds from segments that two captures hold, carried along a tree.
//!
//! With δ = clock B − clock A and A nearer the client, a segment to the server gives `t_B − t_A = δ + d`
//! and one to the client `δ − d'`, where d, d' ≥ 0: δ lies between the largest of the latter and the smallest
//! of the former. A child inside its parent gives bounds of the same form.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::capture::CaptureTime;
use crate::http::CaptureFacts;
use crate::tcp::{EventKind, Flow, Side};

use super::keys::{IdNames, request_key};
use super::{Clock, ClockMethod, Overrides, Sighting};

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Connections compared for each pair of captures.
const SAMPLED_CONNECTIONS: usize = 4_096;
/// Exchanges compared for each connection.
const SAMPLED_EXCHANGES: usize = 64;
/// Exchanges of a capture whose ids are looked up in others.
const SAMPLED_IDS: usize = 50_000;
/// Pairs of exchanges that containment needs at least.
const LEAST_PAIRS: usize = 3;
/// No statement about clocks is finer than the timestamps of most captures.
const LEAST_BAND_NS: i64 = 1_000;
/// What a one-way delay in a data centre stays under, where only one direction was seen.
const ONE_WAY_NS: i64 = 1_000_000;

/// Differences `t_B − t_A` of what both captures saw, by the direction in which it went.
#[derive(Clone, Debug, Default)]
struct Differences {
    to_server: Vec<i64>,
    to_client: Vec<i64>,
}

/// What two captures say about their clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tie {
    a: usize,
    b: usize,
    /// Clock of B minus clock of A.
    delta_ns: i64,
    band_ns: i64,
    weight: usize,
    method: ClockMethod,
}

/// The clock of every capture against that of the reference capture.
pub(super) fn align(
    captures: &[Arc<CaptureFacts>],
    connections: &[Vec<Sighting>],
    overrides: &Overrides,
) -> Vec<Clock> {
    let unknown = Clock { offset_ns: 0, band_ns: None, method: ClockMethod::None };
    let mut clocks = vec![unknown; captures.len()];
    if let [only] = clocks.as_mut_slice() {
        *only = Clock { offset_ns: 0, band_ns: Some(0), method: ClockMethod::SameHost };
    } else if clocks.len() > 1 {
        let mut ties = segment_ties(captures, connections);
        let apart = components(captures.len(), &ties);
        if apart.iter().any(|&root| root != apart[0]) {
            ties.extend(containment_ties(captures, &apart));
        }
        spread(captures, &ties, &mut clocks);
    }
    for &(capture, by_ns) in &overrides.clock_ns {
        if let Some(clock) = clocks.get_mut(usize::from(capture)) {
            clock.offset_ns = clock.offset_ns.saturating_add(by_ns);
            if clock.method == ClockMethod::None {
                clock.method = ClockMethod::Declared;
            }
        }
    }
    clocks
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
            let mut differences = Differences::default();
            for (one, other) in both.iter().step_by(both.len().div_ceil(SAMPLED_CONNECTIONS)) {
                compare(&captures[a], &captures[b], *one, *other, &mut differences);
            }
            differences.tie(a, b, ClockMethod::SameSegment)
        })
        .collect()
}

fn compare(a: &CaptureFacts, b: &CaptureFacts, one: Sighting, other: Sighting, out: &mut Differences) {
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
            Side::Client => out.to_server.push(difference),
            Side::Server => out.to_client.push(difference),
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

/// Ties from children inside their parents, where no segment ties two groups of captures.
fn containment_ties(captures: &[Arc<CaptureFacts>], apart: &[usize]) -> Vec<Tie> {
    let by_id: Vec<_> = captures.iter().map(|facts| unique_requests(facts, true)).collect();
    let by_text: Vec<_> = captures.iter().map(|facts| unique_requests(facts, false)).collect();
    let mut ties = Vec::new();
    for a in 0..captures.len() {
        for b in a + 1..captures.len() {
            if apart[a] == apart[b] {
                continue;
            }
            let tie =
                contained(&by_id[a], &by_id[b], a, b).or_else(|| contained(&by_text[a], &by_text[b], a, b));
            ties.extend(tie);
        }
    }
    ties
}

/// When a request was made and answered, by the clock of its capture; `None` where a key is not unique.
type Unique = FixedMap<u64, FixedMap<std::net::SocketAddr, Option<(i64, i64)>>>;

fn unique_requests(facts: &CaptureFacts, by_id: bool) -> Unique {
    let names = IdNames::of(facts);
    let step = facts.exchanges.len().div_ceil(SAMPLED_IDS).max(1) as u64;
    let mut all = Unique::default();
    for exchange in &facts.exchanges {
        if !exchange.request.is_present() || !exchange.response.is_complete() {
            continue;
        }
        let key = if by_id {
            let Some((rank, id)) = names.best(facts, exchange) else { continue };
            id ^ ((rank as u64) << 56)
        } else {
            request_key(facts, exchange) ^ u64::from(exchange.request.body_crc)
        };
        // By the key and not by the place: the other captures must choose the same requests.
        if key % step != 0 {
            continue;
        }
        let server = facts.flow(exchange.flow).server;
        let times = (exchange.request.start.0, exchange.response.end.0);
        all.entry(key).or_default().entry(server).and_modify(|known| *known = None).or_insert(Some(times));
    }
    all
}

fn contained(one: &Unique, other: &Unique, a: usize, b: usize) -> Option<Tie> {
    let mut by_legs: FixedMap<_, Differences> = FixedMap::default();
    for (key, servers) in one {
        let Some(others) = other.get(key) else { continue };
        for (server_a, times_a) in servers {
            for (server_b, times_b) in others {
                let (Some(at_a), Some(at_b)) = (times_a, times_b) else { continue };
                if server_a != server_b {
                    let differences = by_legs.entry((*server_a, *server_b)).or_default();
                    differences.to_server.push(at_b.0.saturating_sub(at_a.0));
                    differences.to_client.push(at_b.1.saturating_sub(at_a.1));
                }
            }
        }
    }
    let mut legs: Vec<_> = by_legs.into_iter().filter(|(_, d)| d.to_server.len() >= LEAST_PAIRS).collect();
    legs.sort_by_key(|(leg, _)| *leg);
    let most = legs.iter().map(|(_, d)| d.to_server.len()).max()?;
    legs.into_iter()
        .filter(|(_, d)| d.to_server.len() * 2 >= most)
        .filter_map(|(_, d)| d.tie(a, b, ClockMethod::Containment))
        .min_by_key(|tie| tie.band_ns)
}

impl Differences {
    fn tie(mut self, a: usize, b: usize, method: ClockMethod) -> Option<Tie> {
        let weight = self.to_server.len() + self.to_client.len();
        self.to_server.sort_unstable();
        self.to_client.sort_unstable();
        let (delta_ns, band_ns) = match (self.to_server.as_slice(), self.to_client.as_slice()) {
            ([], []) => return None,
            (one, []) | ([], one) => {
                let (low, high) = (at_share(one, 0), at_share(one, 100));
                (at_share(one, 50), high.saturating_sub(low).saturating_add(ONE_WAY_NS))
            }
            (to_server, to_client) => bounds(to_server, to_client),
        };
        // Captures of one host, or of hosts in step: times stay as they were recorded.
        let delta_ns = if delta_ns.saturating_abs() <= band_ns { 0 } else { delta_ns };
        Some(Tie { a, b, delta_ns, band_ns, weight, method })
    }
}

/// Midpoint and half-width of what the two directions allow. Both slices are sorted and hold something.
fn bounds(to_server: &[i64], to_client: &[i64]) -> (i64, i64) {
    // Segments to the server reach the capture nearer the client first: its differences are the larger ones.
    let a_is_nearer = at_share(to_server, 50) >= at_share(to_client, 50);
    let (above, below) = if a_is_nearer { (to_server, to_client) } else { (to_client, to_server) };
    let crossing = at_share(below, 100).saturating_sub(at_share(above, 0)).max(0);
    for share in [0, 1, 5, 25, 50] {
        let (high, low) = (at_share(above, share), at_share(below, 100 - share));
        if low <= high {
            let half = high.saturating_sub(low) / 2;
            return (low.saturating_add(half), half.max(crossing / 2).max(LEAST_BAND_NS));
        }
    }
    (at_share(above, 50), crossing.max(LEAST_BAND_NS))
}

/// The value below which `percent` of a sorted list lie.
fn at_share(sorted: &[i64], percent: usize) -> i64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or_default()
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
        |at: usize| -> usize { ties.iter().filter(|t| t.a == at || t.b == at).map(|t| t.weight).sum() };
    let name = |at: usize| (captures[at].info.first, &captures[at].info.path);
    let mut order: Vec<usize> = (0..captures.len()).filter(|&at| weight(at) > 0).collect();
    // Not by index: the order in which files are given must not choose the clock.
    order.sort_by(|&a, &b| weight(b).cmp(&weight(a)).then_with(|| name(a).cmp(&name(b))).then(a.cmp(&b)));
    let mut done = vec![false; captures.len()];
    for (group, reference) in order.into_iter().enumerate() {
        if done[reference] {
            continue;
        }
        done[reference] = true;
        let first_of_group = done.clone();
        clocks[reference] = Clock { offset_ns: 0, band_ns: Some(0), method: ClockMethod::SameHost };
        loop {
            let edge = ties.iter().filter(|tie| done[tie.a] != done[tie.b]).min_by(|x, y| {
                let far = |tie: &Tie| if done[tie.a] { tie.b } else { tie.a };
                (x.band_ns).cmp(&y.band_ns).then_with(|| name(far(x)).cmp(&name(far(y))))
            });
            let Some(tie) = edge else { break };
            let (from, to, delta_ns) = if done[tie.a] {
                (tie.a, tie.b, tie.delta_ns)
            } else {
                (tie.b, tie.a, tie.delta_ns.saturating_neg())
            };
            done[to] = true;
            clocks[to] = Clock {
                offset_ns: clocks[from].offset_ns.saturating_sub(delta_ns),
                band_ns: clocks[from].band_ns.map(|band| band.saturating_add(tie.band_ns)),
                method: tie.method,
            };
            if clocks[from].method == ClockMethod::SameHost {
                clocks[from].method = tie.method;
            }
        }
        // Captures tied among themselves only: they agree with each other, and with the others by chance.
        for at in
            (0..clocks.len()).filter(|&at| group > 0 && done[at] && (at == reference || !first_of_group[at]))
        {
            (clocks[at].band_ns, clocks[at].method) = (None, ClockMethod::None);
        }
    }
}
