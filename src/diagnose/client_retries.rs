//! What clients sent again by themselves after it had failed: no retries of a proxy, and counted apart from them.

use std::collections::BTreeMap;

use crate::analysis::Analysis;
use crate::topology::LaneId;

use super::Retries;
use super::words::count;

impl Analysis {
    /// For each lane whose requests are nobody else's what it sent again; `saved` where the last one got a good answer.
    pub fn client_retries(&self) -> Vec<Retries> {
        let mut lanes: BTreeMap<LaneId, Retries> = BTreeMap::new();
        // Each request is counted at the last one sent.
        let is_last = |id| self.trees.again_of.binary_search_by_key(&id, |pair| pair.0).is_err();
        for again in self.trees.again.iter().filter(|again| is_last(again.id)) {
            let last = self.exchange(again.id);
            let lane = self.link(last.link_id()).from;
            let entry =
                lanes.entry(lane).or_insert_with(|| Retries { lane: Some(lane), ..Retries::default() });
            count(&mut entry.retried, last.method());
            entry.attempts += u64::from(again.attempt);
            count(if last.is_failure() { &mut entry.failed } else { &mut entry.saved }, last.method());
        }
        lanes.into_values().collect()
    }
}
