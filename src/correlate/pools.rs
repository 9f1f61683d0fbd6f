//! Which links of a lane take each other's place: a backup, a second backend for the same requests. An attempt on one
//! of them may follow a failure on another, so their requests are matched together. A link that gets copies of
//! requests (mirroring), or others (an authorisation), is matched for itself.

use hashbrown::{HashMap, HashSet};

use super::candidates::holds;
use super::node::Node;

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Parents of a key that are looked at.
const MOST_OF_A_KEY: usize = 64;
/// So many answers may be more than the requests, in percent: some of the requests were not captured.
const SPARE_PERCENT: usize = 5;

/// The requests of each link, as groups of places among `links`, in order; each link is in one.
pub(super) fn pools(above: &[Node], links: &[Vec<Node>]) -> Vec<Vec<usize>> {
    let mut pools: Vec<Vec<usize>> = Vec::new();
    if links.len() < 2 {
        return (0..links.len()).map(|at| vec![at]).collect();
    }
    let mut parents: FixedMap<u64, Vec<usize>> = FixedMap::default();
    for (at, node) in above.iter().enumerate() {
        parents.entry(node.key).or_default().push(at);
    }
    let by_key: Vec<FixedMap<u64, Vec<&Node>>> = links
        .iter()
        .map(|nodes| {
            let mut map: FixedMap<u64, Vec<&Node>> = FixedMap::default();
            for node in nodes.iter().filter(|node| parents.contains_key(&node.key)) {
                map.entry(node.key).or_default().push(node);
            }
            map
        })
        .collect();
    for at in 0..links.len() {
        let alternative = |pool: &&mut Vec<usize>| {
            pool.iter().all(|&other| alternate(above, &parents, [&by_key[other], &by_key[at]]))
        };
        match pools.iter_mut().find(alternative) {
            Some(pool) => pool.push(at),
            None => pools.push(vec![at]),
        }
    }
    pools
}

/// Whether two links serve the same requests, each request but once.
fn alternate(
    above: &[Node],
    parents: &FixedMap<u64, Vec<usize>>,
    links: [&FixedMap<u64, Vec<&Node>>; 2],
) -> bool {
    let shared: HashSet<u64, foldhash::fast::FixedState> =
        links[0].keys().filter(|key| links[1].contains_key(*key)).copied().collect();
    let (mut in_turn, mut beside) = (0, 0);
    let (mut asked, mut answered) = (0, 0);
    for key in &shared {
        let of_key = &parents[key];
        asked += of_key.len();
        answered += links.iter().flat_map(|link| &link[key]).filter(|node| node.went_well()).count();
        for &at in of_key.iter().take(MOST_OF_A_KEY) {
            let parent = &above[at];
            let is_sole =
                of_key.iter().take(MOST_OF_A_KEY).all(|&other| other == at || apart(parent, &above[other]));
            if !is_sole {
                continue;
            }
            let own = |link: usize| links[link][key].iter().find(|child| holds(parent, child));
            if let (Some(a), Some(b)) = (own(0), own(1)) {
                let (first, second) = if a.start <= b.start { (a, b) } else { (b, a) };
                *(if second.follows_failure(first) { &mut in_turn } else { &mut beside }) += 1;
            }
        }
    }
    if in_turn + beside > 0 {
        return in_turn > beside;
    }
    !shared.is_empty() && answered * 100 <= asked * (100 + SPARE_PERCENT)
}

fn apart(a: &Node, b: &Node) -> bool {
    a.group == b.group && (a.settled < b.start || b.settled < a.start)
}

#[cfg(test)]
mod tests {
    use crate::analysis::{Analysis, analyse};
    use crate::testing::Script;
    use crate::topology::{LaneOverride, Overrides};

    const MS: i64 = 1_000_000;

    /// `user → nginx → app`, beside it another server that nginx asks as `ask` tells: from when on (after the first
    /// attempt began), and whether the first attempt failed.
    fn chain(ask: impl Fn(i64) -> (i64, u16, u16)) -> Analysis {
        let mut script = Script::new("any.pcap");
        let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
        let app = script.connection(0, "10.0.1.2:4000", "10.0.1.3:9000", 100);
        let other = script.connection(0, "10.0.1.2:4001", "10.0.1.4:9900", 100);
        for n in 0..12 {
            let (at, target) = (MS + n * 30 * MS, format!("/item/{n}"));
            let (late, first, second) = ask(n);
            script.request(user, at, "GET", &target, &[], "");
            script.request(app, at + MS, "GET", &target, &[], "");
            script.response(app, at + 3 * MS, first, 20);
            if second > 0 {
                script.request(other, at + MS + late, "GET", &target, &[], "");
                script.response(other, at + MS + late + 3 * MS, second, 20);
            }
            let last = if first < 400 || second == 0 { first } else { second };
            script.response(user, at + 15 * MS, last, 20);
        }
        let lane = |name: &str, serves: &str| LaneOverride {
            name: name.to_owned(),
            addresses: Vec::new(),
            serves: vec![serves.parse().unwrap()],
        };
        let lanes = vec![lane("app", "10.0.1.3:9000"), lane("other", "10.0.1.4:9900")];
        let overrides = Overrides { lanes, ..Overrides::default() };
        analyse(vec![script.finish()], &overrides)
    }

    fn attempts(analysis: &Analysis) -> Vec<(u16, usize)> {
        let asked = analysis.exchanges().filter(|x| analysis.trees.parent(x.id).is_some());
        asked.map(|x| (x.attempt(), x.attempts())).collect()
    }

    #[test]
    fn a_backup_with_a_lane_of_its_own_gets_second_attempts() {
        let analysis = chain(|n| if n % 3 == 0 { (2 * MS + MS / 2, 502, 200) } else { (0, 200, 0) });
        assert_eq!(analysis.topology.lanes.len(), 4);
        let attempts = attempts(&analysis);
        assert_eq!(attempts.iter().filter(|a| **a == (1, 2)).count(), 4);
        assert_eq!(attempts.iter().filter(|a| **a == (2, 2)).count(), 4);
        assert_eq!(attempts.iter().filter(|a| **a == (1, 1)).count(), 8);
        let failures = &analysis.diagnosis.failures;
        assert_eq!(failures.masked.values().sum::<u64>(), 4);
        assert_eq!(analysis.diagnosis.retries.len(), 1);
        assert_eq!(analysis.diagnosis.retries[0].attempts, 8);
    }

    #[test]
    fn copies_are_no_attempts_even_where_they_fail() {
        for (first, copy) in [(200, 200), (200, 502), (502, 200)] {
            let analysis = chain(|_| (MS / 100, first, copy));
            assert_eq!(attempts(&analysis), [(1, 1); 24], "{first} {copy}");
            assert!(analysis.diagnosis.retries.is_empty());
        }
    }
}
