//! Attempts that a hop makes after who asked it has given up: nobody waits for them, though the work is done again.
//!
//! ```text
//!   parent   |--------- 504
//!   attempt    |-------- given up
//!   late                          |--- 200 ---|
//! ```

use hashbrown::HashMap;

use super::Orphan;
use crate::analysis::{Analysis, ExchangeView};
use crate::correlate::Trees;
use crate::topology::keys::request_key;
use crate::topology::{ExchangeId, LaneId};

/// A retry comes this long after the failure at the latest, in nanoseconds.
const LONGEST_WAIT_NS: i64 = 3_000_000_000;
/// It may be sent before the failed connection's end is seen.
const EARLIEST_NS: i64 = 2_000_000;

/// Who asks, and what, byte for byte.
type Key = (LaneId, u64, u32);
/// When attempts had failed, and when those that they were made for had.
type Failed = HashMap<Key, Vec<(i64, i64)>, foldhash::fast::FixedState>;

fn key(exchange: &ExchangeView<'_>) -> Key {
    let raw = exchange.raw;
    let body = u64::from(raw.request.body_crc).wrapping_add(raw.request.body_bytes << 32);
    let from = exchange.analysis.link(exchange.link_id()).from;
    (from, request_key(exchange.facts, raw) ^ body.rotate_left(9), raw.request.head_crc)
}

/// Names them among those that nothing explains.
pub(super) fn name(analysis: &Analysis, trees: &Trees, all: &mut [(ExchangeId, Orphan)]) {
    let is_open = |why: Orphan| why == Orphan::Unexplained;
    if !all.iter().any(|(_, why)| is_open(*why)) {
        return;
    }
    let failed = failed(analysis, trees);
    for (id, why) in all.iter_mut().filter(|(_, why)| is_open(*why)) {
        let exchange = analysis.exchange(*id);
        let at = exchange.started().0;
        let Some(times) = failed.get(&key(&exchange)) else { continue };
        let next = times.partition_point(|(end, _)| *end <= at.saturating_add(EARLIEST_NS));
        let soon = |end: &i64| at.saturating_sub(*end) <= LONGEST_WAIT_NS;
        let mut before = times[..next].iter().rev().take_while(|(end, _)| soon(end));
        if before.any(|(_, over)| *over <= at.saturating_add(EARLIEST_NS)) {
            *why = Orphan::LateRetry;
        }
    }
}

fn failed(analysis: &Analysis, trees: &Trees) -> Failed {
    let went_badly = |exchange: &ExchangeView<'_>| {
        !exchange.raw.response.is_complete() || exchange.status().is_some_and(|status| status >= 500)
    };
    let mut failed = Failed::default();
    for exchange in analysis.exchanges().filter(went_badly) {
        let parent = trees.parent(exchange.id).map(|parentage| analysis.exchange(parentage.parent));
        if let Some(parent) = parent.filter(went_badly) {
            failed.entry(key(&exchange)).or_default().push((exchange.settled().0, parent.settled().0));
        }
    }
    failed.values_mut().for_each(|times| times.sort_unstable());
    failed
}

#[cfg(test)]
mod tests {
    use super::Orphan;
    use crate::analysis::analyse;
    use crate::tcp::Side;
    use crate::testing::Script;
    use crate::topology::Overrides;

    const MS: i64 = 1_000_000;

    #[test]
    fn what_is_tried_again_when_nobody_waits_any_more_is_named() {
        let mut script = Script::new("any.pcap");
        for n in 0..30 {
            let (at, target) = (n * 3_000 * MS, format!("/item/{n}"));
            let hangs = n % 5 == 0;
            let user = script.connection(at, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100);
            let app = script.connection(at, &format!("10.0.1.2:{}", 4_000 + n), "10.0.1.3:9000", 500);
            script.request(user, at + MS, "GET", &target, &[], "");
            script.request(app, at + 2 * MS, "GET", &target, &[], "");
            if !hangs {
                script.response(app, at + 8 * MS, 200, 20);
                script.response(user, at + 9 * MS, 200, 20);
                continue;
            }
            script.fin(user, at + 1_001 * MS, Side::Client);
            script.fin(app, at + 1_003 * MS, Side::Client);
            let again =
                script.connection(at + 1_003 * MS, &format!("10.0.1.2:{}", 5_000 + n), "10.0.1.3:9000", 900);
            script.request(again, at + 1_004 * MS, "GET", &target, &[], "");
            script.response(again, at + 1_009 * MS, 200, 20);
        }
        // Nothing like it failed.
        let other = script.connection(0, "10.0.1.2:6000", "10.0.1.3:9000", 900);
        script.request(other, 1_500 * MS, "GET", "/other", &[], "");
        script.response(other, 1_510 * MS, 200, 20);
        let analysis = analyse(vec![script.finish()], &Overrides::default());
        let count = |why: Orphan| analysis.trees.orphans.iter().filter(|(_, own)| *own == why).count();
        assert_eq!((count(Orphan::LateRetry), count(Orphan::Unexplained)), (6, 1));
    }
}
