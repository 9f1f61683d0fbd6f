//! Connection attempts that their proxy gave up before a second SYN was due: what it then told its client shows it.
//!
//! nginx with `proxy_connect_timeout 1s` sends one SYN, and answers 504 when the kernel would send the next (RFC 6298,
//! section 2: after a second).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView};
use crate::topology::{ConnectionId, LaneId};

use super::checks::span;
use super::spans::Spans;

/// One SYN without an answer may be a packet that the capture lacks.
const FEWEST: usize = 2;

/// No proxy gives up sooner: where the error follows at once, the capture lacks what came back, such as a RST.
const SHORTEST_NS: i64 = 100_000_000;

/// Those of `silent` (one SYN each, and nothing came back) that their client answered for with a gateway's error.
pub(super) fn find(analysis: &Analysis, silent: &[ConnectionView<'_>]) -> BTreeSet<ConnectionId> {
    let mut servers: BTreeMap<(LaneId, SocketAddr), Vec<ConnectionView<'_>>> = BTreeMap::new();
    for connection in silent {
        let lane = analysis.link(connection.inner.link).from;
        servers.entry((lane, connection.inner.server)).or_default().push(*connection);
    }
    servers.retain(|_, attempts| attempts.len() >= FEWEST);
    if servers.is_empty() {
        return BTreeSet::new();
    }
    let errors = gateway_errors(analysis);
    let mut given_up = BTreeSet::new();
    for ((lane, _), mut attempts) in servers {
        let Some(errors) = errors.get(&lane) else { continue };
        attempts.retain(|connection| {
            let (from, to) = span(*connection);
            errors.meet(from, to)
        });
        if attempts.len() >= FEWEST {
            given_up.extend(attempts.iter().map(|connection| connection.id));
        }
    }
    given_up
}

/// When each lane had requests in hand that it answered 502 to 504 without an answer from behind, and not at once from there
/// on.
fn gateway_errors(analysis: &Analysis) -> BTreeMap<LaneId, Spans> {
    let mut errors: BTreeMap<LaneId, Spans> = BTreeMap::new();
    for exchange in analysis.exchanges().filter(|x| matches!(x.status(), Some(502..=504))) {
        let asked_nobody = analysis.trees.children(exchange.id).is_empty();
        if asked_nobody && exchange.raw.request.is_present() && exchange.raw.response.is_complete() {
            let lane = analysis.link(exchange.link_id()).to;
            let (from, to) = (exchange.started().0, exchange.settled().0.saturating_sub(SHORTEST_NS));
            if from <= to {
                errors.entry(lane).or_default().push((from, to));
            }
        }
    }
    errors.values_mut().for_each(Spans::settle);
    errors
}
