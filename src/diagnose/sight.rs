//! How much the captures show of what a lane sends: what is not in them need not have been sent by nobody, and what was
//! sent may be in them later only.

use std::collections::BTreeMap;

use crate::analysis::{Analysis, ConnectionView};
use crate::topology::LaneId;

use super::board::handshake_ns;

/// Requests for which nothing was found count as such when there are more than so many times the number that was lost.
const TIMES: f64 = 3.0;

/// Drops claims that a lane sent nothing for a request, of lanes of which the captures lack so much that all of these may
/// be among it. `lane` is `None` for what claims no such thing.
pub(super) fn drop_lost<T>(analysis: &Analysis, claims: &mut Vec<T>, lane: impl Fn(&T) -> Option<LaneId>) {
    let mut lanes: BTreeMap<LaneId, usize> = BTreeMap::new();
    claims.iter().filter_map(&lane).for_each(|lane| *lanes.entry(lane).or_default() += 1);
    lanes.retain(|&lane, requests| may_have_lost(analysis, lane, *requests));
    claims.retain(|claim| lane(claim).is_none_or(|lane| !lanes.contains_key(&lane)));
}

/// Whether the captures lack enough of what a lane sent that so many of its requests may be among it.
///
/// Of the bytes on the links behind it a share is missing that their receivers had; of the requests, the same share.
fn may_have_lost(analysis: &Analysis, lane: LaneId, requests: usize) -> bool {
    let (mut lost, mut held, mut seen) = (0_u64, 0_u64, 0_u64);
    for connection in sent_by(analysis, lane) {
        seen += connection.inner.exchanges.len() as u64;
        for direction in &connection.flow().directions {
            lost = lost.saturating_add(direction.uncaptured_bytes);
            held = held.saturating_add(direction.bytes);
        }
    }
    if lost == 0 {
        return false;
    }
    let share = lost as f64 / lost.saturating_add(held) as f64;
    requests as f64 <= TIMES * share * seen as f64
}

/// How long what a lane sends may be under way, in nanoseconds, before it passes where it was captured: as long as the
/// slowest handshake behind it took. An answer that did not wait for it may go before it.
pub(super) fn under_way_ns(analysis: &Analysis, lane: LaneId) -> i64 {
    let handshakes = sent_by(analysis, lane).filter_map(|connection| handshake_ns(connection.events()));
    handshakes.max().unwrap_or_default()
}

fn sent_by(analysis: &Analysis, lane: LaneId) -> impl Iterator<Item = ConnectionView<'_>> {
    let links = analysis.topology.links.iter().filter(move |link| link.from == lane);
    links.flat_map(|link| &link.connections).map(|&id| analysis.connection(id))
}
