//! What the transport did to requests: loss, closed windows, sizes that do not get through, delayed acknowledgements
//! (T1 to T4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::CaptureTime;
use crate::http::Message;
use crate::tcp::{Event, EventKind, Side};
use crate::topology::{ConnectionId, ExchangeId, LinkId};

use super::blackhole::BlackHoles;
use super::connect::{Attempt, Failed};
use super::draft::{Draft, ProofList};
use super::life::at_least;
use super::reuse::CASES;
use super::texts;
use super::words::{counted, duration, listed};
use super::{Certainty, Diagnosis, Finding, Outcome};

/// The shortest retransmission timer is 200 ms (Linux); what costs less was mended without it.
const NOTICEABLE_NS: i64 = 150_000_000;

/// A window closed for less than this delays nobody.
const CLOSED_NS: i64 = 200_000_000;

/// Linux delays an acknowledgement by 40 ms; timers fire a little late.
const DELAYED_ACK_NS: std::ops::RangeInclusive<i64> = 39_000_000..=45_000_000;

/// Times around it that a peak at 40 ms must stand out from.
const AROUND_NS: std::ops::RangeInclusive<i64> = 15_000_000..=90_000_000;

/// A message of this size is a few small writes.
const FEW_WRITES_BYTES: u64 = 6_000;

/// Fewer messages make no peak.
const FEWEST_STEPS: usize = 6;

/// All findings about the transport, beside those `known` already.
pub(super) fn findings(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    attempts: &[Attempt],
    holes: &BlackHoles,
    known: &[Finding],
) -> Vec<Finding> {
    // A window that stayed closed until somebody gave up is a stalled request, which says more.
    let stalls = known.iter().filter(|finding| finding.kind == texts::SEND_STALL.kind);
    let stalls = stalls.flat_map(|finding| &finding.exchanges);
    let stalled: BTreeSet<ConnectionId> = stalls.map(|&id| analysis.exchange(id).connection_id()).collect();
    let mut waits: BTreeMap<LinkId, Vec<Wait>> = BTreeMap::new();
    let mut closed: BTreeMap<(LinkId, Side), Vec<Closed>> = BTreeMap::new();
    for connection in analysis.connections() {
        let link = connection.inner.link;
        if connection.events().iter().any(|e| e.kind == EventKind::Retransmission) {
            waits.entry(link).or_default().extend(loss_waits(connection, diagnosis));
        }
        for (event, until) in closed_windows(connection) {
            let ns = until.0.saturating_sub(event.at.0);
            if ns >= CLOSED_NS && !stalled.contains(&connection.id) {
                let one = Closed { connection: connection.id, frame: event.frame, ns };
                closed.entry((link, event.from)).or_default().push(one);
            }
        }
    }
    // What a full accept queue ignored was not lost, and what never gets through has a finding of its own.
    let full = overflowing(analysis, attempts);
    let delayed = |wait: &Wait| {
        let connection = analysis.exchange(wait.exchange).connection();
        !holes.may_hold(connection.id) && !full.contains(&connection.inner.server)
    };
    let mut findings = holes.findings(analysis, diagnosis);
    for (link, mut cases) in waits {
        cases.retain(delayed);
        if !cases.is_empty() {
            findings.push(loss(analysis, diagnosis, link, cases));
        }
    }
    for ((link, side), cases) in closed {
        findings.push(zero_window(analysis, diagnosis, link, side, cases));
    }
    findings.extend(delayed_acks(analysis, diagnosis));
    findings
}

/// The servers whose accept queue was full.
fn overflowing(analysis: &Analysis, attempts: &[Attempt]) -> BTreeSet<SocketAddr> {
    let full = attempts.iter().filter(|attempt| attempt.how == Failed::Overflow);
    full.map(|attempt| analysis.connection(attempt.connection).inner.server).collect()
}

/// An exchange that waited for segments to be sent again (T1).
struct Wait {
    exchange: ExchangeId,
    wait_ns: i64,
    from: Side,
    frame: u32,
}

fn loss_waits(connection: ConnectionView<'_>, diagnosis: &Diagnosis) -> Vec<Wait> {
    let resent = connection.events().iter().filter(|e| e.kind == EventKind::Retransmission);
    // A closed window drops what is sent into it, and that is no loss on the way.
    let dropped_at_end = |again: &&Event| {
        let since = again.at.0.saturating_sub(i64::from(again.quiet_us) * 1_000);
        closed_windows(connection).any(|(closed, until)| {
            closed.from == again.from.peer() && closed.at <= again.at && until.0 >= since
        })
    };
    let resent: Vec<&Event> = resent.filter(|again| !dropped_at_end(again)).collect();
    let wait = |exchange: ExchangeView<'_>| {
        if diagnosis.outcomes[exchange.id.0 as usize] == Outcome::Rejected {
            return None;
        }
        let raw = exchange.raw;
        let request = repeated(&resent, Side::Client, &raw.request);
        let response = repeated(&resent, Side::Server, &raw.response);
        let (wait_ns, from, event) = [request, response].into_iter().flatten().max_by_key(|one| one.0)?;
        let both = request.map_or(0, |one| one.0) + response.map_or(0, |one| one.0);
        let wait_ns = both.max(wait_ns);
        (wait_ns >= NOTICEABLE_NS).then_some(Wait {
            exchange: exchange.id,
            wait_ns,
            from,
            frame: event.frame,
        })
    };
    connection.exchanges().filter_map(wait).collect()
}

/// How long a message stood still before bytes of it were sent again, and the last of these segments. While its
/// sender sent other bytes, it did not stand still.
fn repeated<'a>(resent: &[&'a Event], from: Side, message: &Message) -> Option<(i64, Side, &'a Event)> {
    if !message.is_present() {
        return None;
    }
    let inside = |seq: u32| at_least(seq, message.seq) && !at_least(seq, message.end_seq());
    let again = resent.iter().filter(|e| e.from == from && inside(e.seq));
    let last = again.clone().next_back()?;
    let quiet = again.map(|event| {
        let since_start = event.at.0.saturating_sub(message.start.0).max(0);
        (i64::from(event.quiet_us) * 1_000).min(since_start)
    });
    Some((quiet.sum(), from, last))
}

fn loss(analysis: &Analysis, diagnosis: &Diagnosis, link: LinkId, mut cases: Vec<Wait>) -> Finding {
    cases.sort_unstable_by_key(|wait| (analysis.exchange(wait.exchange).started(), wait.exchange));
    let mut draft = Draft::new(analysis, diagnosis, &texts::RETRANSMISSION_DELAY, link);
    let median = |mut values: Vec<i64>| {
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let waits = median(cases.iter().map(|wait| wait.wait_ns).collect());
    let think = |wait: &Wait| {
        Some(analysis.exchange(wait.exchange).latency_ns()?.saturating_sub(wait.wait_ns).max(0))
    };
    let think: Vec<i64> = cases.iter().filter_map(think).collect();
    let think = match think.len() {
        0 => String::new(),
        _ => format!(", and took {} without that: the network waits, not {{to}}", duration(median(think))),
    };
    let longest = cases.iter().map(|wait| wait.wait_ns).max().unwrap_or_default();
    draft.certainty = Certainty::Likely;
    draft.values.push(("wait", duration(waits)));
    draft.values.push(("think", think));
    draft.values.push(("longest", duration(longest)));
    draft.values.push(("failed", ends_of(diagnosis, &cases)));
    let mut proofs = ProofList::new(analysis);
    for wait in cases.iter().take(CASES) {
        let exchange = analysis.exchange(wait.exchange);
        let (message, what) = match wait.from {
            Side::Client => (&exchange.raw.request, "request"),
            Side::Server => (&exchange.raw.response, "response"),
        };
        proofs.add(exchange, message.first_frame, format!("{what} {} sent", exchange.raw.ordinal));
        proofs.add(exchange, wait.frame, format!("sent again; stood still for {}", duration(wait.wait_ns)));
    }
    draft.finish(cases.iter().map(|wait| wait.exchange).collect(), proofs)
}

/// What became of the requests in the end: no end in the captures is none that is known.
fn ends_of(diagnosis: &Diagnosis, cases: &[Wait]) -> String {
    let outcome = |wait: &&Wait| diagnosis.outcomes[wait.exchange.0 as usize];
    let failed = cases.iter().filter(|wait| outcome(wait).is_failure()).count() as u64;
    let answered = cases.iter().filter(|wait| outcome(wait) == Outcome::Complete).count() as u64;
    let unknown = cases.len() as u64 - failed - answered;
    if answered == cases.len() as u64 {
        return "All of them were answered in the end.".to_owned();
    }
    let parts = [(failed, "failed"), (unknown, "had no answer while the captures ran")];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> =
        parts.map(|(number, what)| format!("{} {what}", counted(*number, "request"))).collect();
    format!("Of them {}.", listed(&parts))
}

/// A time during which a side took no more bytes (T2).
struct Closed {
    connection: ConnectionId,
    frame: u32,
    ns: i64,
}

/// Each time that a side closed its window, and when it took bytes again or the connection ended.
fn closed_windows(connection: ConnectionView<'_>) -> impl Iterator<Item = (&Event, CaptureTime)> {
    let events = connection.events();
    let closed = events.iter().enumerate().filter(|(_, e)| e.kind == EventKind::ZeroWindow);
    closed.map(move |(at, event)| {
        let over = |e: &&Event| {
            e.kind == EventKind::WindowOpened && e.from == event.from
                || matches!(e.kind, EventKind::Rst | EventKind::Fin)
        };
        let end = events[at + 1..].iter().find(over);
        (event, end.map_or(connection.flow().last.0, |e| e.at))
    })
}

fn zero_window(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    link: LinkId,
    side: Side,
    mut cases: Vec<Closed>,
) -> Finding {
    cases.sort_unstable_by_key(|one| (one.connection, one.frame));
    let mut draft = Draft::new(analysis, diagnosis, &texts::ZERO_WINDOW, link);
    draft.values.extend(sides(analysis, link, side));
    let longest = cases.iter().map(|one| one.ns).max().unwrap_or_default();
    let all = cases.iter().fold(0, |all: i64, one| all.saturating_add(one.ns));
    draft.values.push(("longest", duration(longest)));
    draft.values.push(("all", duration(all)));
    let mut proofs = ProofList::new(analysis);
    for one in cases.iter().take(CASES) {
        proofs.add_packet(one.connection, one.frame, format!("window 0, for {}", duration(one.ns)));
    }
    draft.connections = cases.iter().map(|one| one.connection).collect();
    draft.connections.dedup();
    draft.finish(Vec::new(), proofs)
}

/// The names of a side (`who`) and of its peer (`peer`).
pub(super) fn sides(analysis: &Analysis, link: LinkId, side: Side) -> [(&'static str, String); 2] {
    let link = analysis.link(link);
    let name = |side| {
        let lane = if side == Side::Client { link.from } else { link.to };
        analysis.lane(lane).name.clone()
    };
    [("who", name(side)), ("peer", name(side.peer()))]
}

/// Small messages that took 40 ms between their first and last packet, far more often than about as long (T4).
fn delayed_acks(analysis: &Analysis, diagnosis: &Diagnosis) -> Vec<Finding> {
    let mut peaks: BTreeMap<(LinkId, Side), Vec<ExchangeId>> = BTreeMap::new();
    for at in 0..analysis.topology.links.len() {
        let link = LinkId(at as u16);
        for (side, steps) in [Side::Client, Side::Server].into_iter().zip(steps_of_40_ms(analysis, link)) {
            if !steps.is_empty() {
                peaks.insert((link, side), steps);
            }
        }
    }
    // A proxy that passes parts on as they come only repeats the pause.
    let all: BTreeSet<ExchangeId> = peaks.values().flatten().copied().collect();
    let began_here = |id: &ExchangeId| !analysis.trees.children(*id).iter().any(|child| all.contains(child));
    for ((_, side), exchanges) in &mut peaks {
        if *side == Side::Server {
            exchanges.retain(began_here);
        }
    }
    peaks.retain(|_, exchanges| exchanges.len() >= FEWEST_STEPS);
    peaks
        .into_iter()
        .map(|((link, side), exchanges)| delayed_ack(analysis, diagnosis, link, side, exchanges))
        .collect()
}

/// The exchanges of a link whose request, and those whose response, took 40 ms, where they stand out; else none.
fn steps_of_40_ms(analysis: &Analysis, link: LinkId) -> [Vec<ExchangeId>; 2] {
    let (mut steps, mut around) = ([Vec::new(), Vec::new()], [0; 2]);
    for &id in &analysis.link(link).connections {
        let connection = analysis.connection(id);
        let wanted =
            [Side::Client, Side::Server].map(|side| connection.flow().direction(side).retransmitted == 0);
        for exchange in connection.exchanges() {
            for (at, message) in [&exchange.raw.request, &exchange.raw.response].into_iter().enumerate() {
                let small = message.extent_count >= 2 && message.wire_bytes <= FEW_WRITES_BYTES;
                if !wanted[at] || !small || !message.is_complete() {
                    continue;
                }
                let took = message.end.0.saturating_sub(message.start.0);
                if DELAYED_ACK_NS.contains(&took) {
                    steps[at].push(exchange.id);
                } else if AROUND_NS.contains(&took) {
                    around[at] += 1;
                }
            }
        }
    }
    for (steps, around) in steps.iter_mut().zip(around) {
        if steps.len() < FEWEST_STEPS.max(2 * around) {
            steps.clear();
        }
    }
    steps
}

/// What a side sent in an exchange.
fn message(exchange: ExchangeView<'_>, side: Side) -> &Message {
    match side {
        Side::Client => &exchange.raw.request,
        Side::Server => &exchange.raw.response,
    }
}

fn delayed_ack(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    link: LinkId,
    side: Side,
    exchanges: Vec<ExchangeId>,
) -> Finding {
    let mut draft = Draft::new(analysis, diagnosis, &texts::DELAYED_ACK, link);
    draft.certainty = Certainty::Possible;
    draft.values.extend(sides(analysis, link, side));
    draft.values.push(("what", if side == Side::Client { "requests" } else { "responses" }.to_owned()));
    let mut proofs = ProofList::new(analysis);
    for &id in exchanges.iter().take(CASES) {
        let exchange = analysis.exchange(id);
        let message = message(exchange, side);
        proofs.add(exchange, message.first_frame, "first part");
        let took = duration(message.end.0.saturating_sub(message.start.0));
        proofs.add(exchange, message.last_frame, format!("last part, {took} later"));
    }
    draft.finish(exchanges, proofs)
}
