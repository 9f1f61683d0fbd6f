//! Which header names one request on both sides of a lane, and which of its values name several.

use hashbrown::HashMap;

use super::node::Node;
use crate::analysis::Analysis;
use crate::topology::keys::{IdNames, MOST_IDS};

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Children looked at to choose the header.
const SAMPLE: usize = 2_000;
/// What a lane is asked for one request of a client (may it, and then for it) has one id; more than so many have nothing
/// else in common.
const MOST_OF_AN_ID: usize = 8;

/// Sets the request ids of parents and children, by the header of which they share the most values. Returns whether they
/// share one; when not, children may still share ids among themselves.
pub(super) fn set_ids(analysis: &Analysis, parents: &mut [Node], children: &mut [Node]) -> bool {
    let names: Vec<IdNames> =
        analysis.captures.iter().map(|facts| analysis.topology.id_headers.of(facts)).collect();
    let ids = |node: &Node| {
        let exchange = analysis.exchange(node.id);
        names[exchange.capture.index()].ids(exchange.facts, exchange.raw)
    };
    let sample: Vec<[u64; MOST_IDS]> =
        children.iter().step_by(children.len().div_ceil(SAMPLE).max(1)).map(ids).collect();
    // By rank the values of the sample, and whether a parent has each. That many share a header says nothing: it may be the
    // same in all of them.
    let mut known: Vec<Vec<(u64, bool)>> = Vec::with_capacity(MOST_IDS);
    for rank in 0..MOST_IDS {
        let mut values: Vec<u64> = sample.iter().map(|ids| ids[rank]).filter(|id| *id != 0).collect();
        values.sort_unstable();
        values.dedup();
        known.push(values.into_iter().map(|value| (value, false)).collect());
    }
    if known.iter().all(Vec::is_empty) {
        return false;
    }
    for parent in parents.iter() {
        for (known, id) in known.iter_mut().zip(ids(parent)).filter(|(_, id)| *id != 0) {
            if let Ok(at) = known.binary_search_by_key(&id, |value| value.0) {
                known[at].1 = true;
            }
        }
    }
    let carried: Vec<usize> = known.iter().map(Vec::len).collect();
    let shared: Vec<usize> =
        known.iter().map(|values| values.iter().filter(|value| value.1).count()).collect();
    let best = |counts: &[usize]| {
        (0..MOST_IDS).max_by_key(|&rank| (counts[rank], std::cmp::Reverse(rank))).unwrap_or(0)
    };
    let (common, own) = (best(&shared), best(&carried));
    let is_shared = shared[common] > 0 && shared[common] * 10 >= carried[common];
    let rank = if is_shared { common } else { own };
    for child in children.iter_mut() {
        child.request_id = ids(child)[rank];
    }
    if is_shared {
        for parent in parents.iter_mut() {
            parent.request_id = ids(parent)[rank];
        }
    }
    let several = of_several(if is_shared { parents } else { children });
    for node in parents.iter_mut().chain(children) {
        let Some(&more) = several.get(&node.request_id) else { continue };
        node.shared_id = node.request_id;
        if more > MOST_OF_AN_ID {
            node.request_id = 0;
        }
    }
    is_shared
}

/// For ids that several requests have how many those are but one, of nodes in time order: a load generator may give all of
/// its requests one id, or one of a few in turn. The attempts of one request have one as well, each made when the one
/// before it failed.
fn of_several(nodes: &[Node]) -> FixedMap<u64, usize> {
    let mut last: FixedMap<u64, &Node> = FixedMap::default();
    let mut several = FixedMap::default();
    for node in nodes.iter().filter(|node| node.request_id != 0) {
        let Some(before) = last.insert(node.request_id, node) else { continue };
        let is_bare = node.is_parent || node.unmeasured;
        let alike = if is_bare { before.bare == node.bare } else { before.key == node.key };
        if !alike || !(node.follows_failure(before) || node.hedges(before)) {
            *several.entry(node.request_id).or_default() += 1;
        }
    }
    several
}

#[cfg(test)]
mod tests {
    use super::super::Confidence;
    use crate::analysis::{Analysis, analyse};
    use crate::testing::Script;
    use crate::topology::Overrides;

    const MS: i64 = 1_000_000;

    /// `user → nginx → app`, one request at a time; of every fifth what the user asked is not captured, while another
    /// request of his waits. By number the id and the target.
    fn told(id: impl Fn(i64) -> String, target: impl Fn(i64) -> String) -> Analysis {
        let mut script = Script::new("any.pcap");
        let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
        let other = script.connection(0, "10.0.1.1:3001", "10.0.1.2:80", 100);
        let app = script.connection(0, "10.0.1.2:4000", "10.0.1.3:9000", 100);
        for n in 0..60 {
            let (at, id, target) = (MS + n * 20 * MS, id(n), target(n));
            let ids: &[(&str, &str)] = &[("x-request-id", &id)];
            if n % 5 == 4 {
                script.request(other, at, "GET", "/page", &[("x-request-id", "test")], "");
                script.response(other, at + 8 * MS, 200, 20);
            } else {
                script.request(user, at, "GET", &target, ids, "");
                script.response(user, at + 8 * MS, 200, 20);
            }
            script.request(app, at + MS, "GET", &target, ids, "");
            script.response(app, at + 6 * MS, 200, 20);
        }
        analyse(vec![script.finish()], &Overrides::default())
    }

    /// By confidence how many parents ask for the same as their children, and how many for something else.
    fn counts(analysis: &Analysis, confidence: Confidence) -> (usize, usize) {
        let parent = |id| analysis.trees.parent(id).filter(|parentage| parentage.confidence == confidence);
        let pairs = analysis.exchanges().filter_map(|x| Some((analysis.exchange(parent(x.id)?.parent), x)));
        let (right, wrong) =
            pairs.partition::<Vec<_>, _>(|(parent, child)| parent.target() == child.target());
        (right.len(), wrong.len())
    }

    #[test]
    fn an_id_that_all_requests_have_names_none_of_them() {
        let targets = |n: i64| format!("/item/{n}");
        let constant = told(|_| "test".to_owned(), targets);
        assert_eq!(counts(&constant, Confidence::Certain), (48, 0));
        let few = told(|n| format!("id-{}", n % 4), targets);
        assert_eq!(counts(&few, Confidence::Certain), (48, 0));
        let evidence = |all: &Analysis| {
            all.trees.parents.iter().flatten().filter(|p| p.evidence.names().contains(&"request-id")).count()
        };
        assert_eq!((evidence(&constant), evidence(&few)), (0, 0));
        assert_eq!(evidence(&told(|n| format!("id-{n}"), targets)), 48);
    }

    #[test]
    fn who_adds_an_id_of_its_own_behind_is_linked_by_the_one_that_it_was_asked_with() {
        let mut script = Script::new("any.pcap");
        let gate = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
        let app = script.connection(0, "10.0.1.2:4000", "10.0.1.3:9000", 100);
        for n in 0..40 {
            let at = MS + n * 20 * MS;
            // Both hops count alike, each from where it began.
            let (id, own) = (format!("{}", 100 + n), format!("{}", 130 + n));
            script.request(gate, at, "GET", "/", &[("x-request-id", &id)], "");
            script.response(gate, at + 8 * MS, 200, 20);
            script.request(app, at + MS, "GET", "/", &[("x-request-id", &id), ("x-request-id", &own)], "");
            script.response(app, at + 6 * MS, 200, 20);
        }
        let analysis = analyse(vec![script.finish()], &Overrides::default());
        assert_eq!(counts(&analysis, Confidence::Certain), (40, 0));
    }
}
