//! Closes by a server that nothing had announced: what bursts are made of.

use std::net::SocketAddr;

use crate::analysis::{ConnectionView, ExchangeView};
use crate::capture::SessionTime;
use crate::http::ExchangeFlags;
use crate::tcp::EventKind;
use crate::topology::{ConnectionId, ExchangeId};

use crate::diagnose::habits::Habits;
use crate::diagnose::life::{Life, at_least};
use crate::diagnose::verdict::SHORTEST_UNFINISHED_NS;

/// A close by the server that was not announced.
#[derive(Clone, Copy)]
pub(super) struct Odd {
    pub(super) server: SocketAddr,
    pub(super) at: SessionTime,
    pub(super) connection: ConnectionId,
    /// From the last response to the close; `None` when there was no response.
    pub(super) gap_ns: Option<i64>,
    /// Whether the server's timer or limit explains it.
    pub(super) usual: bool,
    /// The request that the server had in hand: the close may be its answer.
    pub(super) asked: Option<Asked>,
    /// Whether it closed by FIN.
    pub(super) fin: bool,
    /// Whether it left what it had asked for that request at the same moment, and so it was with others.
    pub(super) dropped: bool,
}

/// A request on a connection when its server closed.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) exchange: ExchangeId,
    /// From its end to the close.
    pub(super) age_ns: i64,
}

/// When the server closed a connection of which the capture lost bytes: whether as usual, nobody can tell.
pub(super) fn doubtful_close(connection: ConnectionView<'_>) -> Option<SessionTime> {
    if connection.inner.exchanges.is_empty() || !connection.flow().is_lossy() {
        return None;
    }
    let end = Life::of(connection).server_ended()?;
    Some(connection.time(end.at, end.frame))
}

pub(super) fn odd_close(connection: ConnectionView<'_>, habits: &Habits) -> Option<Odd> {
    if connection.inner.exchanges.is_empty() || connection.flow().is_lossy() {
        return None;
    }
    let end = Life::of(connection).server_ended()?;
    let fin = end.kind == EventKind::Fin;
    let pending = connection
        .exchanges()
        .find(|x| !x.raw.response.is_complete() && x.raw.request.is_present())
        .filter(|x| x.raw.request.start <= end.at);
    // A bare RST is the answer of a host that knows no such connection: when that was closed it does not tell.
    if pending.is_some() && !fin && !end.has_ack {
        return None;
    }
    // What is no HTTP ends with its connection. A proxy whose server closed on what it had asked closes as well (HAProxy).
    let analysis = connection.analysis;
    let lost = |child: &ExchangeId| {
        let child = analysis.exchange(*child);
        !child.raw.response.is_complete() && Life::of(child.connection()).server_ended().is_some()
    };
    let passes_on = |x: ExchangeView<'_>| analysis.trees.children(x.id).iter().any(lost);
    let not_http = connection.exchanges().any(|x| x.raw.flags.has(ExchangeFlags::NOT_HTTP_RESPONSE));
    if not_http || pending.is_some_and(passes_on) {
        return None;
    }
    // A server that waited in vain for the rest of a request closes by a timer.
    let waited =
        |x: &ExchangeView<'_>| end.at.0.saturating_sub(x.raw.request.end.0) >= SHORTEST_UNFINISHED_NS;
    if pending.is_some_and(|x| !x.raw.request.is_complete() && waited(&x)) {
        return None;
    }
    // Who answers before it has read the request (408, 413) has to close behind that.
    let early = |x: ExchangeView<'_>| {
        x.raw.response.is_complete()
            && (x.raw.flags.has(ExchangeFlags::EARLY_RESPONSE) || !x.raw.request.is_complete())
    };
    if connection.exchanges().last().is_some_and(early) {
        return None;
    }
    let reached = |x: &ExchangeView<'_>| at_least(end.ack, x.raw.request.seq.wrapping_add(1));
    let asked = pending
        .filter(reached)
        .map(|x| Asked { exchange: x.id, age_ns: end.at.0.saturating_sub(x.raw.request.end.0) });
    let one = |gap_ns, usual| Odd {
        server: connection.inner.server,
        at: connection.time(end.at, end.frame),
        connection: connection.id,
        gap_ns,
        usual,
        asked,
        fin,
        dropped: false,
    };
    let Some(close) = habits.close_of(connection.id) else { return Some(one(None, false)) };
    let said = connection
        .exchanges()
        .last()
        .is_some_and(|x| x.raw.flags.has(ExchangeFlags::SERVER_CLOSES | ExchangeFlags::CLIENT_CLOSES));
    if said || habits.by_limit(close) || habits.may_be_by_limit(close) {
        return None;
    }
    // A single close proves no timer.
    let timer = habits.idle.is_some_and(|idle| idle.samples >= 2) && habits.by_timer(close);
    Some(one(Some(close.gap_ns), timer))
}
