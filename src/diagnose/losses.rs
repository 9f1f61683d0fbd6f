//! What is not in the captures need not have been sent by nobody: how much of what a lane sends they are known to lack.

use crate::analysis::Analysis;
use crate::topology::LaneId;

/// Requests for which nothing was found count as such when there are more than so many times the number that was lost.
const TIMES: f64 = 3.0;

/// Whether the captures lack enough of what a lane sent that so many of its requests may be among it.
///
/// Of the bytes on the links behind it a share is missing that their receivers had; of the requests, the same share.
pub(super) fn may_hold(analysis: &Analysis, lane: LaneId, requests: usize) -> bool {
    let (mut lost, mut held, mut seen) = (0_u64, 0_u64, 0_u64);
    for link in analysis.topology.links.iter().filter(|link| link.from == lane) {
        for &id in &link.connections {
            let connection = analysis.connection(id);
            seen += connection.inner.exchanges.len() as u64;
            for direction in &connection.flow().directions {
                lost = lost.saturating_add(direction.uncaptured_bytes);
                held = held.saturating_add(direction.bytes);
            }
        }
    }
    if lost == 0 {
        return false;
    }
    let share = lost as f64 / lost.saturating_add(held) as f64;
    requests as f64 <= TIMES * share * seen as f64
}
