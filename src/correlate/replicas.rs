//! Which replica of a hop sent a request, where each asks from the address that it is asked at.

use hashbrown::HashMap;

use super::node::Node;

/// So many of a hundred requests that a replica got it must have passed on.
const PASSED_ON_PERCENT: usize = 90;
/// Fewer requests of a replica show no such thing.
const FEWEST: usize = 8;

/// The addresses that replicas are asked at, as far as each asks from its own: nobody else sends what it was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Replicas(Vec<u64>);

impl Replicas {
    pub(super) fn learn(above: &[Node], below: &[Node]) -> Self {
        // By address the requests that it got, and those that it made.
        let mut counts: HashMap<u64, (usize, usize), foldhash::fast::FixedState> = HashMap::default();
        above.iter().for_each(|node| counts.entry(node.host).or_default().0 += 1);
        below.iter().for_each(|node| counts.entry(node.host).or_default().1 += 1);
        let asked = || counts.iter().filter(|(_, (got, _))| *got > 0);
        let passes_on =
            |(_, (got, made)): (_, &(usize, usize))| *got >= FEWEST && made * 100 >= got * PASSED_ON_PERCENT;
        if counts.len() < 2 || !asked().all(passes_on) {
            return Self::default();
        }
        let mut hosts: Vec<u64> = asked().map(|(host, _)| *host).collect();
        hosts.sort_unstable();
        Self(hosts)
    }

    /// Whether a child may be of this parent, by their addresses.
    pub(super) fn agree(&self, parent: &Node, child: &Node) -> bool {
        self.0.is_empty() || parent.host == child.host
    }

    /// Whether a request came from a replica of which nobody captured what it was asked.
    pub(super) fn is_stranger(&self, child: &Node) -> bool {
        !self.0.is_empty() && self.0.binary_search(&child.host).is_err()
    }
}
