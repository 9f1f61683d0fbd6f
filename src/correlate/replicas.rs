//! Which replica of a hop sent a request, where each asks from the address that it is asked at.

use hashbrown::HashMap;

use super::candidates::candidates;
use super::node::Node;

/// So many of a hundred requests that a replica got it must have passed on.
const PASSED_ON_PERCENT: usize = 90;
/// Fewer requests of a replica show no such thing.
const FEWEST: usize = 8;
/// Requests that are looked at for whether their own replica was asked for them.
const SAMPLE: usize = 2_048;
/// Of so many in a hundred it must have been, else the addresses are of one process that takes either.
const OWN_PERCENT: usize = 90;

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
        let found = Self(hosts);
        if found.holds_of(above, below) { found } else { Self::default() }
    }

    /// Whether requests come from where one was asked that holds them, and not only from where none was.
    fn holds_of(&self, above: &[Node], below: &[Node]) -> bool {
        let step = below.len().div_ceil(SAMPLE).max(1) as u32;
        let all =
            candidates(above, below, &Self::default(), |node| node.key, |child| child.is_multiple_of(step));
        let (mut own, mut told) = (0, 0);
        for (row, &child) in all.rows.iter().enumerate() {
            let (child, fitting) = (&below[child as usize], all.fitting.of(row));
            if !self.is_stranger(child) && fitting.len() == all.fits[row] as usize {
                told += 1;
                own += usize::from(fitting.iter().any(|one| above[one.parent as usize].host == child.host));
            }
        }
        own * 100 >= told * OWN_PERCENT
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

#[cfg(test)]
mod tests {
    use crate::analysis::analyse;
    use crate::testing::Script;
    use crate::topology::Overrides;

    const MS: i64 = 1_000_000;

    /// How many requests that a hop makes have the right parent, a wrong one that is called sure, and how many there are.
    /// It is asked at two addresses and asks from `from` of the number of the request.
    fn parents(from: impl Fn(i64) -> i64) -> (usize, usize, usize) {
        let mut script = Script::new("any.pcap");
        let mut truth = Vec::new();
        for n in 0..200 {
            let at = n * 4 * MS;
            let asked = format!("10.0.0.{}:80", 2 + n % 2);
            let user = script.connection(at, &format!("10.0.0.1:{}", 2_000 + n), &asked, 100);
            let client = format!("10.0.0.{}:{}", 2 + from(n), 2_000 + n);
            let asks = script.connection(at + MS, &client, "10.0.0.5:8000", 100);
            script.request(user, at + MS / 2, "GET", "/", &[], "");
            script.request(asks, at + MS + MS / 2, "GET", "/", &[], "");
            script.response(asks, at + 8 * MS + n * 37 % 5 * MS, 200, 20);
            script.response(user, at + 9 * MS + n * 37 % 5 * MS, 200, 20);
            truth.push((client, format!("10.0.0.1:{}", 2_000 + n)));
        }
        let analysis = analyse(vec![script.finish()], &Overrides::default());
        let (mut right, mut wrong, mut all) = (0, 0, 0);
        for exchange in analysis.exchanges() {
            let connection = |id| analysis.exchange(id).connection().inner.client.to_string();
            let Some((_, user)) = truth.iter().find(|(client, _)| *client == connection(exchange.id)) else {
                continue;
            };
            all += 1;
            if let Some(parentage) = analysis.trees.parent(exchange.id) {
                let is_right = connection(parentage.parent) == *user;
                right += usize::from(is_right);
                wrong +=
                    usize::from(!is_right && parentage.confidence != crate::correlate::Confidence::Ambiguous);
            }
        }
        (right, wrong, all)
    }

    #[test]
    fn two_addresses_of_one_process_are_no_replicas() {
        // It takes the one that the server's name gives it, whoever asked.
        let (right, wrong, all) = parents(|n| n / 2 % 2);
        assert!(right * 10 >= all * 9 && wrong * 20 < all, "{right} {wrong} {all}");
        // Replicas ask from their own.
        let (right, wrong, all) = parents(|n| n % 2);
        assert!(right * 10 >= all * 9 && wrong * 20 < all, "{right} {wrong} {all}");
    }
}
