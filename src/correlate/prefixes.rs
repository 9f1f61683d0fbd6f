//! Prefixes that a hop cuts off paths or puts before them: what is left is the same on both sides.
//!
//! ```text
//!   asked    /shop/item/17?page=2
//!   asks     /svc/v2/item/17?page=2      cuts one segment, puts two
//! ```

use std::borrow::Cow;

use hashbrown::HashSet;

use super::node::Node;
use crate::analysis::Analysis;
use crate::topology::keys::text_hash;

/// Segments cut or put at the most.
const MOST_CUT: usize = 3;
/// Children looked at.
const SAMPLE: usize = 2_000;
/// Children whose names are looked for.
const SAMPLED_NAMES: usize = 64;
/// So many of a hundred children must be passed on under their own names for nothing to be cut.
const NAMED_PERCENT: usize = 75;
/// So many of a hundred must be the same behind a prefix.
const ALWAYS: usize = 60;

/// The target without so many segments of its path; `None` where it has no more than these.
fn rest(target: &str, segments: usize) -> Option<&str> {
    let path = &target[..target.find('?').unwrap_or(target.len())];
    let at = if segments == 0 { Some(0) } else { path.match_indices('/').nth(segments).map(|(at, _)| at) };
    at.filter(|_| path.starts_with('/')).map(|at| &target[at..])
}

/// Of a hundred names of children how many parents have.
pub(super) fn named_percent(above: &[Node], below: &[Node], name: fn(&Node) -> u64) -> usize {
    let step = below.len().div_ceil(SAMPLED_NAMES).max(1);
    let mut names: Vec<(u64, bool)> = below.iter().step_by(step).map(|node| (name(node), false)).collect();
    names.sort_unstable();
    names.dedup();
    for parent in above {
        if let Ok(at) = names.binary_search_by_key(&name(parent), |known| known.0) {
            names[at].1 = true;
        }
    }
    names.iter().filter(|known| known.1).count() * 100 / names.len().max(1)
}

/// Sets what is left of targets when the prefixes are cut, where these are known.
pub(super) fn set_rests(analysis: &Analysis, above: &mut [Node], below: &mut [Node]) {
    if named_percent(above, below, |node| node.key) >= NAMED_PERCENT {
        return;
    }
    let target = |node: &Node| -> Cow<'_, str> { analysis.exchange(node.id).target() };
    // Beside what is left the method and the body must be the same.
    let hash = |node: &Node, target: &str, segments: usize| {
        let rest = rest(target, segments)?;
        Some((text_hash(rest) ^ u64::from(node.method) ^ node.key ^ node.bare).max(1))
    };
    let known: [HashSet<u64, foldhash::fast::FixedState>; MOST_CUT + 1] =
        std::array::from_fn(|cut| above.iter().filter_map(|node| hash(node, &target(node), cut)).collect());
    let step = below.len().div_ceil(SAMPLE).max(1);
    let mut same = [[0; MOST_CUT + 1]; MOST_CUT + 1];
    for node in below.iter().step_by(step) {
        let target = target(node);
        let rests = (0..=MOST_CUT).map_while(|put| Some((put, hash(node, &target, put)?)));
        for (put, rest) in rests {
            same.iter_mut()
                .zip(&known)
                .for_each(|(same, known)| same[put] += usize::from(known.contains(&rest)));
        }
    }
    let sampled = below.len().div_ceil(step);
    let all = (0..=MOST_CUT).flat_map(|cut| (0..=MOST_CUT).map(move |put| (cut, put)));
    // Whatever more is cut is the same as well.
    let least = all
        .filter(|&(cut, put)| same[cut][put] * 100 >= sampled * ALWAYS)
        .min_by_key(|&(cut, put)| (cut + put, cut));
    let Some((cut, put)) = least else { return };
    for (nodes, segments) in [(above, cut), (below, put)] {
        for node in nodes {
            node.rest = hash(node, &target(node), segments).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::analysis::analyse;
    use crate::testing::Script;
    use crate::topology::Overrides;

    const MS: i64 = 1_000_000;

    #[test]
    fn behind_a_prefix_a_request_is_of_whom_it_has_the_rest_of_the_path_from() {
        let mut script = Script::new("any.pcap");
        let user =
            [0, 1].map(|n| script.connection(0, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100));
        let app =
            [0, 1].map(|n| script.connection(0, &format!("10.0.1.2:{}", 4_000 + n), "10.0.1.3:90", 300));
        for n in 0..40i64 {
            let at = MS + n * 30 * MS;
            // Two at once that end alike, of which the first one waits; of every fourth pair it was not captured.
            let (a, b) = (format!("/item/{n}/1"), format!("/item/{}/1", n + 1_000));
            if n % 4 > 0 {
                script.request(user[0], at, "GET", &a, &[], "");
            }
            script.request(user[1], at + MS, "GET", &b, &[], "");
            script.request(app[1], at + 2 * MS, "GET", &format!("/svc{b}"), &[], "");
            script.request(app[0], at + 3 * MS, "GET", &format!("/svc{a}"), &[], "");
            for conn in [app[0], app[1], user[1]] {
                script.response(conn, at + 9 * MS, 200, 20);
            }
            if n % 4 > 0 {
                script.response(user[0], at + 9 * MS, 200, 20);
            }
        }
        let analysis = analyse(vec![script.finish()], &Overrides::default());
        let told = analysis.exchanges().filter_map(|x| {
            let parent = analysis.exchange(analysis.trees.parent(x.id)?.parent);
            Some(x.target() == format!("/svc{}", parent.target()))
        });
        let (right, wrong) = told.partition::<Vec<bool>, _>(|is_right| *is_right);
        assert_eq!((right.len(), wrong.len()), (70, 0));
    }
}
