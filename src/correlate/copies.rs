//! Copies of requests that a hop sends aside (mirroring): the same request to a second backend, whose answer nobody waits
//! for, so that it may come after that to the request itself.
//!
//! ```text
//!   parent  |-------------------|
//!   child     |-------------|         what the hop answers with
//!   copy      |------------------------|
//! ```
//!
//! Such a copy lies in no request, or only by chance in a longer one that is not its own. It is looked for where many
//! requests of a link have no cause while each request of the hop led to another one that it can have answered with.

use hashbrown::HashSet;

use super::candidates::{Candidates, candidates};
use super::ids::set_ids;
use super::matching::Matching;
use super::node::Node;
use super::replicas::Replicas;
use super::{Confidence, Parentage, habits::Habits};
use crate::analysis::Analysis;
use crate::topology::ExchangeId;

/// Fewer requests without a cause show no habit.
const FEWEST: usize = 8;
/// So many of a hundred of a link's requests must be left without a cause.
const LEFT_PERCENT: usize = 10;
/// So many of a hundred requests of the hop must have led to another one.
const ORIGINAL_PERCENT: usize = 90;
/// So many of a hundred copies must begin inside a request for the same.
const BEGUN_PERCENT: usize = 95;

/// Moves in tenths of a usual request.
const MOVES: [i64; 5] = [-29, -17, -11, 13, 23];
/// Half of the copies begin as near to an original as only one in so many would by chance.
const TOGETHER: usize = 4;

pub(super) type Ids = HashSet<ExchangeId, foldhash::fast::FixedState>;

/// Gives copies the requests that they are of, as `parents`. `pools` are the requests that the hop made, by what takes turns.
pub(super) fn find(
    analysis: &Analysis,
    above: &[Node],
    pools: &[Vec<Node>],
    strangers: &Ids,
    parents: &mut [Option<Parentage>],
) {
    let is_left = |parents: &[Option<Parentage>], node: &Node| {
        parents[node.id.0 as usize].is_none() && !strangers.contains(&node.id)
    };
    let are_many = |left: usize, below: &[Node]| left >= FEWEST && left * 100 >= below.len() * LEFT_PERCENT;
    let has_copies: Vec<bool> = pools
        .iter()
        .map(|below| {
            let left: Vec<Node> = below.iter().filter(|node| is_left(parents, node)).copied().collect();
            // Of others the capture lacks what they were asked for.
            are_many(left.len(), below) && are_many(begun(&endless(above), &left).rows.len(), below)
        })
        .collect();
    if !has_copies.contains(&true) {
        return;
    }
    let causes = |below: &Vec<Node>| -> Ids {
        below.iter().filter_map(|node| Some(parents[node.id.0 as usize]?.parent)).collect()
    };
    let causes: Vec<Ids> = pools.iter().map(causes).collect();
    for at in (0..pools.len()).filter(|&at| has_copies[at]) {
        let others = (0..pools.len()).filter(|&other| !has_copies[other]).flat_map(|other| &causes[other]);
        let others: Ids = others.copied().collect();
        // Of requests on links of their own all are copies; beside others, on the same links, only those that are left.
        let is_apart = covers(&others, above);
        let copies: Vec<Node> = if is_apart {
            pools[at].iter().filter(|node| !strangers.contains(&node.id)).copied().collect()
        } else if covers(&causes[at], above) {
            pools[at].iter().filter(|node| is_left(parents, node)).copied().collect()
        } else {
            continue;
        };
        let is_original = |pool: usize| if is_apart { !has_copies[pool] } else { pool == at };
        let originals = (0..pools.len()).filter(|&pool| is_original(pool)).flat_map(|pool| &pools[pool]);
        let originals: Vec<Node> =
            originals.filter(|node| parents[node.id.0 as usize].is_some()).copied().collect();
        for (parentage, child) in of(analysis, above, copies, &originals, is_apart) {
            parents[child as usize] = Some(parentage);
        }
    }
}

/// The requests that these are copies of; none where they need not be copies.
///
/// `is_apart` where they are all on links of their own.
fn of(
    analysis: &Analysis,
    above: &[Node],
    mut copies: Vec<Node>,
    originals: &[Node],
    is_apart: bool,
) -> Vec<(Parentage, u32)> {
    if copies.len() > above.len() * 2 {
        return Vec::new();
    }
    let mut open = endless(above);
    let none = Replicas::default();
    let begun = begun(&open, &copies);
    if begun.rows.len() * 100 < copies.len() * BEGUN_PERCENT {
        return Vec::new();
    }
    // What others asked begins inside equal requests as well, but not together with what was asked for those.
    let told = begun.fits.iter().filter(|fits| **fits == 1).count() * 2 >= copies.len();
    if !told && !begin_together(&copies, originals) {
        return Vec::new();
    }
    let shared = set_ids(analysis, &mut open, &mut copies);
    let habits = Habits::learn(analysis, &open, &copies, &none);
    if habits.keeps_headers() {
        habits.mark(analysis, &mut open);
        habits.mark(analysis, &mut copies);
    }
    // Beside equal requests on the same links nothing tells which of them is the copy.
    let most = if told || is_apart { Confidence::Likely } else { Confidence::Ambiguous };
    Matching::new(&open, &copies, habits, &none).aside(most).solve(shared, false)
}

/// Requests that what they led to may outlast.
fn endless(above: &[Node]) -> Vec<Node> {
    above.iter().map(|node| Node { limit: i64::MAX, cut_answer: false, ..*node }).collect()
}

/// Those that begin inside a request for the same.
fn begun(open: &[Node], below: &[Node]) -> Candidates {
    candidates(open, below, &Replicas::default(), |node| node.key, |_| true)
}

/// Whether copies begin nearer to originals than chance would have it: than they would do if they were moved.
fn begin_together(copies: &[Node], originals: &[Node]) -> bool {
    let mut starts: Vec<i64> = originals.iter().map(|node| node.start).collect();
    let mut lengths: Vec<i64> =
        originals.iter().map(|node| node.settled.saturating_sub(node.start)).collect();
    starts.sort_unstable();
    lengths.sort_unstable();
    let Some(&usual) = lengths.get(lengths.len() / 2) else { return false };
    let nearest = |at: i64| {
        let next = starts.partition_point(|start| *start < at);
        let around = starts[next.saturating_sub(1)..].iter().take(2);
        around.map(|start| start.saturating_sub(at).saturating_abs()).min().unwrap_or(i64::MAX)
    };
    let mut apart: Vec<i64> = copies.iter().map(|node| nearest(node.start)).collect();
    apart.sort_unstable();
    let Some(&near) = apart.get(apart.len() / 2) else { return false };
    let count =
        |moved: i64| copies.iter().filter(|node| nearest(node.start.saturating_add(moved)) <= near).count();
    // Half of them are as near as that.
    let mut chances = MOVES.map(|tenths| count(usual.max(1).saturating_mul(tenths) / 10));
    chances.sort_unstable();
    chances[MOVES.len() / 2] * TOGETHER <= copies.len()
}

/// Whether nearly all requests of the hop are among these.
fn covers(ids: &Ids, above: &[Node]) -> bool {
    let count = above.iter().filter(|node| ids.contains(&node.id)).count();
    count * 100 >= above.len() * ORIGINAL_PERCENT
}

#[cfg(test)]
mod tests {
    use super::super::{Evidence, Orphan};
    use crate::analysis::analyse;
    use crate::testing::Script;
    use crate::topology::Overrides;

    const MS: i64 = 1_000_000;

    /// How many copies that outlast their requests have their own as a parent, and how many none, where nginx sends them to
    /// this address.
    fn copies(to: &str, target: impl Fn(i64) -> String) -> (usize, usize) {
        copies_beside(0, to, target)
    }

    /// The same where so many more requests were passed on before the capture held what was asked.
    fn copies_beside(unseen: i64, to: &str, target: impl Fn(i64) -> String) -> (usize, usize) {
        let mut script = Script::new("any.pcap");
        for n in 0..unseen {
            let (at, target) = ((n - unseen) * 7 * MS, target(n - unseen));
            let app = script.connection(at, &format!("10.0.1.2:{}", 3_500 + n), "10.0.1.3:9000", 500);
            script.request(app, at + MS, "GET", &target, &[], "");
            script.response(app, at + 5 * MS, 200, 20);
        }
        for n in 0..60 {
            let (at, target) = (n * 7 * MS, target(n));
            let takes = 4 * MS + n * 37 % 11 * MS;
            let user = script.connection(at, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100);
            let app = script.connection(at, &format!("10.0.1.2:{}", 4_000 + n), "10.0.1.3:9000", 500);
            let copy = script.connection(at, &format!("10.0.1.2:{}", 5_000 + n), to, 900);
            script.request(user, at + MS, "GET", &target, &[], "");
            script.request(copy, at + MS + MS / 10, "GET", &target, &[], "");
            script.request(app, at + MS + MS / 9, "GET", &target, &[], "");
            script.response(app, at + MS + takes, 200, 20);
            script.response(user, at + MS + takes + MS / 10, 200, 20);
            script.response(copy, at + MS + takes + n * 13 % 7 * 3 * MS, 200, 20);
        }
        let analysis = analyse(vec![script.finish()], &Overrides::default());
        let port = |x: &crate::analysis::ExchangeView<'_>| x.connection().inner.client.port();
        let own = |x: &crate::analysis::ExchangeView<'_>| {
            let parentage = analysis.trees.parent(x.id)?;
            Some(port(&analysis.exchange(parentage.parent)) + 2_000 == port(x))
        };
        let all: Vec<_> = analysis.exchanges().filter(|x| port(x) >= 5_000).collect();
        assert!(all.iter().all(|x| (x.attempt(), x.attempts()) == (1, 1)));
        assert!(all.iter().all(|x| analysis.trees.orphan(x.id) != Some(Orphan::BackgroundRefresh)));
        let marked = |x: &&crate::analysis::ExchangeView<'_>| {
            analysis.trees.parent(x.id).is_some_and(|parent| parent.evidence.0 & Evidence::COPY != 0)
        };
        assert!(to.ends_with("3:9000") || all.iter().all(|x| marked(&x)));
        let found: Vec<Option<bool>> = all.iter().map(own).collect();
        let count = |what| found.iter().filter(|is| **is == what).count();
        (count(Some(true)), count(None))
    }

    #[test]
    fn copies_that_outlast_their_requests_are_found_by_when_they_begin() {
        assert_eq!(copies("10.0.1.4:9900", |n| format!("/item/{n}")), (60, 0));
        assert_eq!(copies("10.0.1.4:9900", |_| "/".to_owned()), (60, 0));
        assert_eq!(copies_beside(12, "10.0.1.4:9900", |n| format!("/item/{n}")), (60, 0));
        // The same server gets both.
        assert_eq!(copies("10.0.1.3:9000", |n| format!("/item/{n}")), (60, 0));
    }

    #[test]
    fn what_another_replica_asks_from_the_same_address_is_no_copy() {
        let mut script = Script::new("any.pcap");
        for n in 0..60 {
            let (at, takes) = (n * 3 * MS, 20 * MS + n * 37 % 11 * MS);
            let user = script.connection(at, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100);
            let app = script.connection(at, &format!("10.0.1.2:{}", 4_000 + n), "10.0.1.3:9000", 500);
            let other =
                script.connection(0, &format!("10.0.1.2:{}", 5_000 + n), "10.0.1.3:9000", 900 + n as u32);
            script.request(user, at + MS, "GET", "/", &[], "");
            script.request(app, at + MS + MS / 9, "GET", "/", &[], "");
            script.response(app, at + MS + takes, 200, 20);
            script.response(user, at + MS + takes + MS / 10, 200, 20);
            // At any time, and at a pace of its own.
            let at = 2 * MS + n * 2_900_000 + n * n % 13 * MS / 7;
            script.request(other, at, "GET", "/", &[], "");
            script.response(other, at + takes, 200, 20);
        }
        let analysis = analyse(vec![script.finish()], &Overrides::default());
        let copies = analysis.trees.parents.iter().flatten().filter(|p| p.evidence.0 & Evidence::COPY != 0);
        assert_eq!(copies.count(), 0);
    }
}
