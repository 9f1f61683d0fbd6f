//! A lane's own view of its exchanges: the times at which it got and sent them, where a capture shows that.
//!
//! The capture that holds most of a connection may be the one at its far end, where a request arrives after its
//! delay. A proxy that has long given an attempt up would then seem to have sent it too late for its parent.

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::{CaptureId, SessionTime};
use crate::http::{CaptureFacts, Exchange};
use crate::tcp::{Event, EventKind, Flow, Side, until_established_ns};
use crate::topology::{LinkId, Sighting, tolerance_ns};

use super::node::Node;

/// How far the index of an exchange in one capture may be from that in another that misses packets.
const NEAR: usize = 64;
/// No path takes longer than this, in nanoseconds: what seems to, waited for something else.
const LONGEST_TRAVEL_NS: i64 = 1_000_000_000;

/// The captures that hold connections of both sides of a lane, by capture: they were taken there.
pub(super) fn captures(analysis: &Analysis, into: &[LinkId], outs: &[LinkId]) -> Vec<bool> {
    let held = |links: &[LinkId]| {
        let mut held = vec![false; analysis.captures.len()];
        let connections = links.iter().flat_map(|&link| &analysis.link(link).connections);
        for sighting in connections.flat_map(|&id| &analysis.connection(id).inner.sightings) {
            held[sighting.capture.index()] = true;
        }
        held
    };
    held(into).into_iter().zip(held(outs)).map(|(one, other)| one && other).collect()
}

/// The sighting of a connection that shows the lane's own times, where it is not the best one.
pub(super) fn sighting(connection: &ConnectionView<'_>, home: &[bool]) -> Option<Sighting> {
    let all = &connection.inner.sightings;
    let own = all.iter().position(|sighting| home[sighting.capture.index()])?;
    (own > 0).then(|| all[own])
}

/// Sets a node's times to those of another sighting, where that holds the exchange.
pub(super) fn set_times(analysis: &Analysis, node: &mut Node, exchange: &ExchangeView<'_>, at: Sighting) {
    let facts = analysis.capture(at.capture);
    let flow = facts.flow(at.flow);
    let index = (exchange.raw.ordinal as usize).saturating_sub(1);
    let Some(twin) = twin(facts.exchanges_of(flow), exchange.raw, index) else { return };
    let time = |time, frame| analysis.session_time(at.capture, time, frame).0;
    node.start = time(twin.request.start, twin.request.first_frame);
    if exchange.left_before_response().is_none() {
        if twin.response.is_complete() {
            node.settled = time(twin.response.end, twin.response.last_frame);
        } else if node.cut_answer {
            node.settled = time(twin.response.start, twin.response.first_frame).max(node.start);
        } else if !node.answered && exchange.waits_until().is_none() {
            node.settled = given_up(analysis, facts, flow, twin, at.capture).0;
        }
    }
    if node.answered {
        node.limit = node.settled;
    }
    node.capture = at.capture;
    node.tolerance = tolerance_ns(&analysis.topology.clocks[at.capture.index()]);
}

/// Sets when the hop opened the connection for this request, and when it closed it after, where a sighting shows that.
pub(super) fn set_edges(
    analysis: &Analysis,
    node: &mut Node,
    exchange: &ExchangeView<'_>,
    at: Option<Sighting>,
) {
    let connection = exchange.connection();
    let last = exchange.id.0 + 1 == connection.inner.exchanges.end;
    if exchange.raw.ordinal > 1 && !last {
        return;
    }
    let at = at.unwrap_or(connection.inner.sightings[0]);
    let facts = analysis.capture(at.capture);
    let events = facts.events_of(facts.flow(at.flow));
    let time = |event: &Event| analysis.session_time(at.capture, event.at, event.frame).0;
    let by_client = |event: &&Event| event.from == Side::Client;
    if exchange.raw.ordinal == 1 {
        let syn = events.iter().filter(by_client).find(|event| event.kind == EventKind::Syn);
        node.begun = syn.map_or(node.start, |syn| time(syn).min(node.start));
    }
    if last {
        let end = events
            .iter()
            .filter(by_client)
            .find(|event| matches!(event.kind, EventKind::Fin | EventKind::Rst) && time(event) >= node.start);
        let news = events.iter().find(|event| {
            event.from == Side::Server && matches!(event.kind, EventKind::Fin | EventKind::Rst)
        });
        if let Some(news) = news.filter(|_| !node.answered) {
            node.news = time(news);
        }
        node.left = end.map_or(node.settled, time);
        node.dropped =
            !node.answered && end.is_some_and(|end| news.is_none_or(|news| end.frame < news.frame));
    }
}

/// Sets how long those of a link's requests that got no answer may have been under way, where their times are from a
/// capture behind the lane: no longer than a packet of theirs went there and back, on this connection or on most.
pub(super) fn set_travels(analysis: &Analysis, link: LinkId, nodes: &mut [Node], home: &[bool]) {
    let travels = |node: &Node| !node.has_answer() && !home[node.capture.index()];
    if !nodes.iter().any(travels) {
        return;
    }
    let connections = &analysis.link(link).connections;
    let mut all: Vec<i64> =
        connections.iter().filter_map(|&id| round_trip_ns(analysis.connection(id).events())).collect();
    if all.is_empty() {
        return;
    }
    let middle = all.len() / 2;
    let usual = *all.select_nth_unstable(middle).1;
    for node in nodes.iter_mut().filter(|node| travels(node)) {
        let own = round_trip_ns(analysis.connection(node.connection).events()).unwrap_or_default();
        node.travel = own.max(usual).min(LONGEST_TRAVEL_NS);
    }
}

/// From the only answer to a SYN to the acknowledgement of it: how long a packet goes from where it was captured to the
/// client and back.
fn round_trip_ns(events: &[Event]) -> Option<i64> {
    until_established_ns(events, |event| event.kind == EventKind::SynAck)
}

/// The same exchange in another capture of its connection.
fn twin<'a>(all: &'a [Exchange], own: &Exchange, index: usize) -> Option<&'a Exchange> {
    let is_same = |other: &&Exchange| other.request.is_present() && other.request.seq == own.request.seq;
    if let Some(found) = all.get(index).filter(is_same) {
        return Some(found);
    }
    let from = index.saturating_sub(NEAR);
    all.iter().skip(from).take(2 * NEAR).find(is_same)
}

/// When an exchange without an answer was known to have none: at once when its connection was closed before.
fn given_up(
    analysis: &Analysis,
    facts: &CaptureFacts,
    flow: &Flow,
    exchange: &Exchange,
    capture: CaptureId,
) -> SessionTime {
    let ends = |kind: EventKind| matches!(kind, EventKind::Rst | EventKind::Fin);
    let events = facts.events_of(flow);
    let was_closed = events.iter().any(|event| {
        ends(event.kind) && event.from == Side::Server && event.frame < exchange.request.first_frame
    });
    let after = events.iter().find(|event| ends(event.kind) && event.frame > exchange.request.last_frame);
    let end = (exchange.request.end, exchange.request.last_frame);
    let (at, frame) = after.filter(|_| !was_closed).map_or(end, |event| (event.at, event.frame));
    analysis.session_time(capture, at, frame)
}
