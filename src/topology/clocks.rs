//! How the captures' clocks agree: exact bounds from segments that two captures hold, carried along a tree.
//!
//! With δ = clock B − clock A and A nearer the client, a segment to the server gives `t_B − t_A = δ + d`
//! and one to the client `δ − d'`, where d, d' ≥ 0: δ lies between the largest of the latter and the smallest
//! of the former. A child inside its parent gives bounds of the same form.

mod declared;
mod in_order;
mod spread;
mod stamps;

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::http::{CaptureFacts, LentBytes, Message};
use crate::tcp::{EventKind, Side};

use super::cause::Moment;
use super::fit::{Bound, Bounds, Fit};
use super::keys::{IdHeaders, lacks_bodies, request_key};
use super::{Clock, ClockMethod, Overrides, Sighting};

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Connections compared for each pair of captures.
const SAMPLED_CONNECTIONS: usize = 4_096;
/// Exchanges compared for each connection, from its start to its end, where there are many connections.
const SAMPLED_EXCHANGES: usize = 64;
/// Exchanges compared for each pair of captures, where few connections hold them.
const SAMPLED_OF_PAIR: usize = 32_768;
/// Exchanges of a capture whose ids are looked up in others.
const SAMPLED_IDS: usize = 50_000;
/// Servers of a capture at which a request that happens once is seen: one for each hop, and what is asked beside.
const MOST_SERVERS: usize = 32;
/// Pairs of exchanges that containment needs at least.
const LEAST_PAIRS: usize = 3;
/// Half-width of an offset from requests that happen once, where not all of them agree: beyond it they are no pairs.
const MOST_BAND_BY_TEXT_NS: i64 = 5_000_000;
/// Segments that tell of a clock between two times at which it was set; none of them is a wrong pair.
const LEAST_SEGMENTS: usize = 4;
/// The same where they are starts and ends of exchanges.
const LEAST_EXCHANGES: usize = 6;
/// Pairs told by nothing but their order that containment needs at least.
const LEAST_IN_ORDER: usize = 24;

/// Packets that were sent again that are looked at for one that repeats a byte: they start before it.
const NEAR: usize = 16;

/// What two captures say about their clocks.
#[derive(Clone, Debug)]
struct Tie {
    a: usize,
    b: usize,
    /// Clock of B minus clock of A, by A's time.
    fit: Fit,
    /// What that rests on.
    bounds: Bounds,
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
        let apart = components(captures.len(), &ties);
        ties.extend(declared::ties(captures, overrides, &apart));
        let apart = components(captures.len(), &ties);
        ties.extend(stamps::ties(captures, &apart));
        spread::spread(captures, &ties, &mut clocks);
    }
    for &(capture, by_ns) in &overrides.clock_ns {
        if let Some(clock) = clocks.get_mut(usize::from(capture)) {
            clock.manual_ns = clock.manual_ns.saturating_add(by_ns);
            clock.offset_ns = clock.computed_ns.saturating_add(clock.manual_ns);
            for end in clock.compared_in.iter_mut().flatten() {
                end.0 = end.0.saturating_add(by_ns);
            }
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
    let lent: Vec<Lent<'_>> = captures.iter().map(|facts| lent(facts)).collect();
    let mut pairs: Vec<_> = shared.into_iter().collect();
    pairs.sort_by_key(|(pair, _)| *pair);
    pairs
        .into_iter()
        .filter_map(|((a, b), both)| {
            let mut bounds = Bounds::default();
            let most = SAMPLED_EXCHANGES.max(SAMPLED_OF_PAIR / both.len());
            for (one, other) in both.iter().step_by(both.len().div_ceil(SAMPLED_CONNECTIONS)) {
                let sides = [(&*captures[a], &lent[a], *one), (&*captures[b], &lent[b], *other)];
                compare(sides, most, &mut bounds);
            }
            Some(Tie { a, b, fit: bounds.fit(LEAST_SEGMENTS)?, bounds, method: ClockMethod::SameSegment })
        })
        .collect()
}

/// What other captures lent, by client and server.
type Lent<'a> = FixedMap<(SocketAddr, SocketAddr), Vec<&'a LentBytes>>;

fn lent(facts: &CaptureFacts) -> Lent<'_> {
    let mut lent = Lent::default();
    for one in &facts.lent {
        lent.entry((one.client, one.server)).or_default().push(one);
    }
    lent
}

/// One of the captures of a pair, with what others lent it, and where it saw a connection.
type Saw<'a> = (&'a CaptureFacts, &'a Lent<'a>, Sighting);

/// What at most so many exchanges of a connection, and its events, tell.
fn compare([one, other]: [Saw<'_>; 2], most: usize, out: &mut Bounds) {
    let [flow_a, flow_b] = [one, other].map(|(facts, _, sighting)| facts.flow(sighting.flow));
    // Without a handshake the two may disagree on who asks; translated addresses are no disagreement.
    if flow_a.client == flow_b.server {
        return;
    }
    let step = flow_a.exchanges.len().max(flow_b.exchanges.len()).div_ceil(most).max(1) as u32;
    let marks = marks(other, step);
    for (key, own) in self::marks(one, step) {
        let Ok(found) = marks.binary_search_by_key(&key, |mark| mark.0) else { continue };
        let bound = bound(own, marks[found].1);
        match key.0 {
            Side::Client => out.to_server.push(bound),
            Side::Server => out.to_client.push(bound),
        }
    }
}

fn bound(a: Moment, b: Moment) -> Bound {
    Bound { at: a.0.0, by: b.0.0.saturating_sub(a.0.0), frames: [a.1, b.1] }
}

/// Sender, kind, sequence number and acknowledgement: what names a segment; then where it is.
type Mark = ((Side, u8, u32, u32), Moment);

/// The segments of a connection that facts keep the time of, each named once; those sent twice are left out.
fn marks((facts, lent, sighting): Saw<'_>, step: u32) -> Vec<Mark> {
    let flow = facts.flow(sighting.flow);
    let mut marks: Vec<Mark> = Vec::new();
    // What another capture lent has its time from there.
    let lent = lent.get(&(flow.client, flow.server)).map_or(&[][..], Vec::as_slice);
    let is_lent = |from: Side, seq: u32| {
        lent.iter().any(|one| one.from == from && seq.wrapping_sub(one.seq) <= one.len)
    };
    let mut again: Vec<(Side, u32, u32)> = Vec::new();
    for event in facts.events_of(flow) {
        let kind = match event.kind {
            EventKind::Syn => 0,
            EventKind::SynAck => 1,
            EventKind::Fin => 2,
            EventKind::Rst => 3,
            EventKind::Retransmission | EventKind::KeepAlive | EventKind::WindowProbe => {
                again.push((event.from, event.seq, event.len));
                continue;
            }
            _ => continue,
        };
        if is_lent(event.from, event.seq) {
            continue;
        }
        marks.push(((event.from, kind, event.seq, event.ack), (event.at, event.frame)));
    }
    again.sort_unstable();
    // A packet that was sent twice may be the other copy in the other capture.
    let all_told = |side: Side| {
        let told = again.iter().filter(|one| one.0 == side).count();
        told >= flow.direction(side).retransmitted as usize
    };
    let all_told = [all_told(Side::Client), all_told(Side::Server)];
    let is_again = |side: Side, seq: u32| {
        let is_it = |one: &(Side, u32, u32)| one.0 == side && seq.wrapping_sub(one.1) < one.2;
        let next = again.partition_point(|one| (one.0, one.1) <= (side, seq));
        !all_told[usize::from(side == Side::Server)]
            || again[next.saturating_sub(NEAR)..next].iter().any(is_it)
    };
    // By the bytes and not by the place: the other capture, which may lack some, must choose the same.
    let is_chosen = |seq: u32| (seq.wrapping_mul(0x9e37_79b1) >> 8).is_multiple_of(step);
    for exchange in facts.exchanges_of(flow).iter().filter(|exchange| is_chosen(exchange.request.seq)) {
        for (side, message) in [(Side::Client, &exchange.request), (Side::Server, &exchange.response)] {
            if message.is_seen() && !is_again(side, message.seq) && !is_lent(side, message.seq) {
                marks.push(((side, 4, message.seq, 0), (message.start, message.first_frame)));
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
/// requests that happen once, else by equal requests in their order.
fn containment_ties(captures: &[Arc<CaptureFacts>], ids: &IdHeaders, apart: &[usize]) -> Vec<Tie> {
    let cuts_answers = |facts: &CaptureFacts| {
        facts.flows.iter().any(|flow| facts.exchanges_of(flow).iter().any(|x| facts.is_answer_cut(flow, x)))
    };
    let is_cut = captures.iter().any(|facts| cuts_answers(facts));
    let all = |by: By<'_>| -> Vec<Occurrences> {
        captures.iter().map(|facts| occurrences(facts, by, is_cut)).collect()
    };
    let (by_id, by_text) = (all(By::Id(ids)), all(By::Text));
    // What one capture holds of a body another may have cut.
    let has_bodies = !captures.iter().any(|facts| lacks_bodies(facts));
    let by_target = if has_bodies { Vec::new() } else { all(By::Target) };
    let legs: Vec<OnceCell<in_order::Legs>> = captures.iter().map(|_| OnceCell::new()).collect();
    let legs_of = |at: usize| legs[at].get_or_init(|| in_order::Legs::of(&captures[at], has_bodies));
    let mut ties = Vec::new();
    for a in 0..captures.len() {
        for b in a + 1..captures.len() {
            if apart[a] == apart[b] {
                continue;
            }
            let tie = contained(&by_id[a], &by_id[b], a, b, Told::ById)
                .or_else(|| contained(&by_text[a], &by_text[b], a, b, Told::ByText))
                .or_else(|| contained(by_target.get(a)?, by_target.get(b)?, a, b, Told::ByText))
                .or_else(|| in_order::tie(legs_of(a), legs_of(b), a, b));
            ties.extend(tie);
        }
    }
    ties
}

/// When requests with one key were made and answered at each server, by the clock of their capture, and by whom.
type Occurrences = FixedMap<u64, Vec<(SocketAddr, Vec<(Moment, Moment, IpAddr)>)>>;

/// What a request is looked up by in other captures.
#[derive(Clone, Copy)]
enum By<'a> {
    /// Its id.
    Id(&'a IdHeaders),
    /// Method, target and body.
    Text,
    /// Method and target.
    Target,
}

/// Where `is_cut`, some captures lack the ends of answers: then their beginnings are compared, which come in the same order.
fn occurrences(facts: &CaptureFacts, by: By<'_>, is_cut: bool) -> Occurrences {
    let names = if let By::Id(ids) = by { Some(ids.of(facts)) } else { None };
    let body = |request: &Message| if matches!(by, By::Text) { u64::from(request.body_crc) } else { 0 };
    let step = facts.exchanges.len().div_ceil(SAMPLED_IDS).max(1) as u64;
    let mut all = Occurrences::default();
    for exchange in &facts.exchanges {
        let (request, response) = (&exchange.request, &exchange.response);
        let is_answered = if is_cut { response.is_seen() } else { response.is_complete() };
        if !request.is_present() || !is_answered {
            continue;
        }
        let key = if let Some(names) = &names {
            let Some((rank, id)) = names.best(facts, exchange) else { continue };
            id ^ ((rank as u64) << 56)
        } else {
            request_key(facts, exchange) ^ body(request)
        };
        // By the key and not by the place: the other captures must choose the same requests.
        if !key.is_multiple_of(step) {
            continue;
        }
        let (client, server) = (facts.flow(exchange.flow).client.ip(), facts.flow(exchange.flow).server);
        let end =
            if is_cut { (response.start, response.first_frame) } else { (response.end, response.last_frame) };
        let times = ((request.start, request.first_frame), end, client);
        let servers = all.entry(key).or_default();
        match servers.iter().position(|known| known.0 == server) {
            Some(known) => servers[known].1.push(times),
            None if servers.len() <= MOST_SERVERS => servers.push((server, vec![times])),
            None => {}
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
}

impl Told {
    /// Whether the pairs agree on the clocks so well that they are pairs.
    fn is_proven(self, fit: &Fit) -> bool {
        match self {
            Self::ById => true,
            // A wrong pair among right ones costs no more than the delay of a proxy.
            Self::ByText => fit.is_exact || fit.band_ns <= MOST_BAND_BY_TEXT_NS,
        }
    }
}

fn contained(one: &Occurrences, other: &Occurrences, a: usize, b: usize, told: Told) -> Option<Tie> {
    let mut by_legs: FixedMap<(SocketAddr, SocketAddr), Bounds> = FixedMap::default();
    for (key, servers) in one {
        let Some(others) = other.get(key) else { continue };
        // What is asked at so many servers is no request that happens once, and all pairs of these would be compared.
        if servers.len().max(others.len()) > MOST_SERVERS {
            continue;
        }
        for (server_a, times_a) in servers {
            for (server_b, times_b) in others {
                let ([at_a], [at_b]) = (times_a.as_slice(), times_b.as_slice()) else { continue };
                // Who is asked by the same client stands beside it: a copy sent aside, another attempt.
                let are_siblings = at_a.2 == at_b.2 && !at_a.2.is_loopback();
                if server_a == server_b || are_siblings {
                    continue;
                }
                let bounds = by_legs.entry((*server_a, *server_b)).or_default();
                bounds.to_server.push(bound(at_a.0, at_b.0));
                bounds.to_client.push(bound(at_a.1, at_b.1));
            }
        }
    }
    let mut legs: Vec<_> = by_legs.into_iter().filter(|(_, d)| d.to_server.len() >= LEAST_PAIRS).collect();
    legs.sort_by_key(|(leg, _)| *leg);
    let most = legs.iter().map(|(_, d)| d.to_server.len()).max()?;
    legs.into_iter()
        .filter(|(_, d)| d.to_server.len() * 2 >= most)
        .filter_map(|(_, bounds)| Some((bounds.fit(LEAST_EXCHANGES)?, bounds)))
        .filter(|(fit, _)| told.is_proven(fit))
        .min_by_key(|(fit, _)| fit.band_ns)
        .map(|(fit, bounds)| Tie { a, b, fit, bounds, method: ClockMethod::Containment })
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

#[cfg(test)]
mod tests {
    use crate::testing::Script;
    use crate::topology::{ClockMethod, Overrides, build};

    const MS: i64 = 1_000_000;

    #[test]
    fn what_is_asked_at_many_servers_is_no_request_that_happens_once() {
        let method = |servers: i64| {
            let capture = |net: i64, later: i64, takes: i64| {
                let mut script = Script::new(&format!("{net}.pcap"));
                for server in 1..=servers {
                    let asks = format!("10.{net}.1.{server}:3000");
                    let asked = script.connection(later, &asks, &format!("10.{net}.2.{server}:80"), 100);
                    for n in 0..5 {
                        let at = later + n * 50 * MS + server * 37 % 11 * MS;
                        script.request(asked, at, "GET", &format!("/{n}"), &[], "");
                        script.response(asked, at + takes, 200, 20);
                    }
                }
                script.finish()
            };
            let captures = [capture(1, 0, 8 * MS), capture(2, 9_000 * MS, 4 * MS)];
            build(&captures, &Overrides::default()).clocks[1].method
        };
        assert_eq!(method(1), ClockMethod::Containment);
        assert_eq!(method(40), ClockMethod::None);
    }

    #[test]
    fn what_was_sent_again_says_nothing_and_the_rest_of_its_connection_does() {
        let capture = |hop: i64| {
            let mut script = Script::new(&format!("{hop}.pcap"));
            let delay = hop * MS / 50;
            let conn = script.connection(delay, "10.0.1.1:3000", "10.0.1.2:80", 100);
            for n in 0..100 {
                let at = MS + n * 20 * MS + delay;
                // Of this one the first capture missed the first copy.
                let late = if n == 40 && hop == 0 { 200 * MS } else { 0 };
                script.request(conn, at + late, "GET", &format!("/{n}"), &[], "");
                if n == 40 && hop == 1 {
                    script.again(conn, at + 200 * MS);
                }
                script.response(conn, at + 8 * MS - 2 * delay, 200, 20);
            }
            script.finish()
        };
        let clocks = build(&[capture(0), capture(1)], &Overrides::default()).clocks;
        let clock = clocks.iter().max_by_key(|clock| clock.band_ns).unwrap();
        assert!(clock.compared > 190 && clock.band_ns < Some(MS / 10), "{clocks:?}");
    }

    /// Two captures, each of a server that gets all of 20 requests by one of these clients, the second's clock a second fast.
    fn method([one, other]: [&str; 2]) -> ClockMethod {
        let capture = |client: &str, server: &str, later: i64, takes: i64| {
            let mut script = Script::new(&format!("{server}.pcap"));
            for n in 0..20i64 {
                let at = later + n * 30 * MS;
                let conn = script.connection(at, &format!("{client}:{}", 3_000 + n), server, 100);
                script.request(conn, at, "POST", &format!("/order/{n}"), &[], "");
                script.response(conn, at + takes + n % 3 * MS, 200, 20);
            }
            script.finish()
        };
        let captures = [
            capture(one, "10.0.2.1:8000", 0, 9 * MS),
            capture(other, "10.0.2.2:8000", 1_000 * MS + MS, 5 * MS),
        ];
        let clocks = build(&captures, &Overrides::default()).clocks;
        clocks[usize::from(clocks[0].offset_ns == 0)].method
    }

    #[test]
    fn what_one_client_sends_to_two_lies_not_inside_each_other() {
        assert_eq!(method(["10.0.1.1", "10.0.1.2"]), ClockMethod::Containment);
        assert_eq!(method(["10.0.1.1", "10.0.1.1"]), ClockMethod::None);
    }
}
