//! What a hop asks beside what it passes on. Both may have an id that the hop gave them. And an authorisation is answered
//! before the request goes further, so that of two in flight the one that outlasts the beginning of what was passed on
//! for a request is not that request's.
//!
//! ```text
//!   request       |---------------------------------|
//!   may it?          |-------|
//!   passed on                 |------------------|
//! ```

use hashbrown::HashMap;

use super::candidates::candidates;
use super::node::Node;
use super::prefixes::named_percent;
use super::replicas::Replicas;
use super::{Confidence, Parentage};
use crate::topology::ExchangeId;

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Requests that must be in turn at least.
const LEAST: usize = 16;
/// Of a hundred names of what is passed on the lane is asked for more than so many.
const NAMED_PERCENT: usize = 50;
/// So many of a hundred must be.
const ALWAYS: usize = 98;

/// What was passed on, as far as its parents are known.
#[derive(Debug, Default)]
pub(super) struct PassedOn {
    /// By parent the first request that was passed on for it.
    first: FixedMap<ExchangeId, Node>,
    /// By the id of what was passed on its parent; `None` where it has several.
    by_id: FixedMap<u64, Option<(ExchangeId, Confidence)>>,
}

impl PassedOn {
    /// Notes what was found on one pool of links.
    pub(super) fn note(&mut self, below: &[Node], found: &[(Parentage, u32)]) {
        let nodes: FixedMap<u32, &Node> = below.iter().map(|node| (node.id.0, node)).collect();
        for (parentage, child) in found.iter().filter(|(own, _)| own.confidence != Confidence::Ambiguous) {
            let Some(&node) = nodes.get(child) else { continue };
            let first = self.first.entry(parentage.parent).or_insert(*node);
            if node.start < first.start {
                *first = *node;
            }
            if node.request_id != 0 && node.shared_id == 0 {
                let known = self.by_id.entry(node.request_id);
                let known = known.or_insert(Some((parentage.parent, parentage.confidence)));
                *known = known.filter(|known| known.0 == parentage.parent);
            }
        }
    }

    /// The parent of what was passed on under this id.
    pub(super) fn of_id(&self, id: u64) -> Option<(ExchangeId, Confidence)> {
        if id == 0 { None } else { self.by_id.get(&id).copied().flatten() }
    }

    /// The parents as those see them that are asked before: each is over when its request is passed on; `None` where
    /// these are not asked before.
    pub(super) fn before(&self, above: &[Node], below: &[Node], replicas: &Replicas) -> Option<Vec<Node>> {
        if self.first.is_empty() {
            return None;
        }
        let sample = candidates(above, below, replicas, |_| 1, |_| true);
        let (mut in_turn, mut beside) = (0, 0);
        for (row, &child) in sample.rows.iter().enumerate() {
            let ([only], 1) = (sample.fitting.of(row), sample.fits[row]) else { continue };
            let (parent, child) = (&above[only.parent as usize], &below[child as usize]);
            if let (true, Some(next)) = (child.answered, self.first.get(&parent.id)) {
                let is_over = child.settled <= next.start.saturating_add(next.slack(child));
                *(if is_over { &mut in_turn } else { &mut beside }) += 1;
            }
        }
        if in_turn < LEAST || in_turn * 100 < (in_turn + beside) * ALWAYS {
            return None;
        }
        let mut above = above.to_vec();
        for parent in &mut above {
            if let Some(next) = self.first.get(&parent.id) {
                let slack = if next.capture == parent.capture { 0 } else { next.slack(parent) };
                let end = next.start.saturating_add(slack).min(parent.settled);
                (parent.settled, parent.limit) = (end, end.min(parent.limit));
            }
        }
        Some(above)
    }
}

/// Pools in the order in which they are matched: first those whose requests have the names of the lane's own, be it behind
/// another prefix.
pub(super) fn order(above: &[Node], pools: &[Vec<Node>]) -> Vec<(usize, bool)> {
    let is_named = |pool: &[Node]| {
        let names: [fn(&Node) -> u64; 2] = [|node| node.key, |node| node.suffix];
        pools.len() > 1 && names.into_iter().any(|name| named_percent(above, pool, name) > NAMED_PERCENT)
    };
    let mut order: Vec<(usize, bool)> = (0..).zip(pools.iter().map(|pool| is_named(pool))).collect();
    order.sort_by_key(|&(at, is_named)| (!is_named, at));
    order
}

#[cfg(test)]
mod tests {
    use super::Confidence;
    use crate::analysis::{Analysis, analyse};
    use crate::testing::{Conn, Script};
    use crate::topology::Overrides;

    const US: i64 = 1_000;
    const MS: i64 = 1_000_000;

    /// `user → nginx → app`, where nginx asks another server first whether it may: 40 requests one by one, then 20 times
    /// two at once, of which the later one's question goes first. With an id that nginx gives each request, or none.
    fn authorised(has_ids: bool) -> Analysis {
        let mut script = Script::new("any.pcap");
        let mut pair = |client: &str, server: &str, isn: u32| {
            [0, 1].map(|n| script.connection(0, &format!("{client}:{}", 3_000 + n), server, isn + n))
        };
        let user = pair("10.0.1.1", "10.0.1.2:80", 100);
        let may = pair("10.0.1.2", "10.0.1.4:9900", 300);
        let app = pair("10.0.1.2", "10.0.1.3:9000", 500);
        let mut steps: Vec<(i64, Conn, usize, bool, usize)> = Vec::new();
        let mut one = |n: usize, times: [i64; 6]| {
            let links = [user[n % 2], may[n % 2], app[n % 2]];
            let order = [(0, true), (1, true), (1, false), (2, true), (2, false), (0, false)];
            let moments = times.iter().zip(order);
            steps.extend(moments.map(|(&at, (link, asks))| (at, links[link], link, asks, n)));
        };
        for n in 0..40 {
            let at = (1 + 40 * n as i64) * MS;
            let late = (n as i64 * 7_919) % 3_000 * US;
            let over = at + 2 * MS + late;
            one(n, [at, at + 300 * US, over, over + 100 * US, over + 3 * MS, over + 3_200 * US]);
        }
        for n in 0..20 {
            let at = (2_000 + 40 * n as i64) * MS;
            let (a, b) = (at + 10 * MS, at + 6 * MS);
            one(40 + 2 * n, [at, at + 400 * US, a, a + 100 * US, a + 4 * MS, a + 4_200 * US]);
            one(41 + 2 * n, [at + 100 * US, at + 300 * US, b, b + 100 * US, b + 9 * MS, b + 9_200 * US]);
        }
        steps.sort_by_key(|step| step.0);
        for (at, conn, link, asks, n) in steps {
            let (target, id) = (format!("/item/{n}"), format!("id-{n}"));
            let target = if link == 1 { "/may" } else { &target };
            let given = [("x-request-id", id.as_str())];
            let ids = if has_ids && link > 0 { &given[..] } else { &[] };
            if asks {
                script.request(conn, at, "GET", target, ids, "");
            } else {
                script.response(conn, at, 200, if link == 1 { 0 } else { 20 });
            }
        }
        analyse(vec![script.finish()], &Overrides::default())
    }

    /// How many of the questions have a parent that is not ambiguous, and of how many it is another request's.
    fn counts(analysis: &Analysis) -> (usize, usize) {
        let may = analysis.exchanges().filter(|x| x.target() == "/may");
        let told = may.filter_map(|x| {
            let own = analysis.trees.parent(x.id)?;
            (own.confidence != Confidence::Ambiguous)
                .then(|| (x.settled(), analysis.exchange(own.parent).target()))
        });
        let told: Vec<_> = told.collect();
        // What was passed on for a request began 100 µs after its question was answered.
        let passed_on = |target: &str, at: i64| {
            let mut all = analysis.exchanges().filter(|x| x.target() == target);
            all.any(|x| x.started().0 == at)
        };
        let wrong = told.iter().filter(|(over, target)| !passed_on(target, over.0 + 100 * US)).count();
        (told.len(), wrong)
    }

    #[test]
    fn what_is_asked_before_a_request_goes_on_is_over_when_it_does() {
        assert_eq!(counts(&authorised(false)), (80, 0));
    }

    #[test]
    fn what_has_the_id_that_a_hop_gave_what_it_passed_on_is_of_the_same_request() {
        assert_eq!(counts(&authorised(true)), (80, 0));
    }
}
