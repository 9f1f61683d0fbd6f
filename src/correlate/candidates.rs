//! Which parents may have caused a child, by its key and by time.

use super::assign::{Choice, Choices};
use super::gaps::Gaps;
use super::node::Node;
use super::replicas::Replicas;

/// Parents in flight that a child is compared with.
pub(super) const MOST_OPEN: usize = 512;
/// Parents kept for each child.
pub(super) const MOST_CHOICES: usize = 32;

/// Children without a parent, in order of key and time, each with the parents that may have caused it.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// The children.
    pub rows: Vec<u32>,
    /// Their keys.
    pub keys: Vec<u64>,
    /// By row the parents, the best first; the cost is that of the gaps when nothing is known.
    pub fitting: Choices,
    /// By row how many fit in all.
    pub fits: Vec<u32>,
    /// By row whether other requests of the lane have the same key, at whatever time.
    pub repeated: Vec<bool>,
}

/// Whether a parent may have caused a child, by time.
pub(super) fn holds(parent: &Node, child: &Node) -> bool {
    let slack = parent.slack(child);
    // Of cut answers only the beginning is compared: a hop begins to answer after it began to get one.
    let limit = match (child.answered, child.cut_answer) {
        (false, false) => i64::MAX,
        (false, true) if parent.cut_answer => parent.settled,
        _ => parent.limit,
    };
    parent.group == child.group
        && parent.start <= child.start.saturating_add(slack)
        && child.start <= parent.settled.saturating_add(slack.saturating_add(child.travel))
        && (limit == i64::MAX || child.settled <= limit.saturating_add(slack))
}

/// Whether the child has the id that the parent has, where it has one.
fn ids_agree(parent: &Node, child: &Node) -> bool {
    let agrees = |own: u64, other: u64| own == 0 || own == other;
    agrees(parent.request_id, child.request_id) && agrees(parent.shared_id, child.shared_id)
}

/// Children that `wants` and the parents with the same key that hold them.
pub(super) fn candidates(
    above: &[Node],
    below: &[Node],
    replicas: &Replicas,
    key: fn(&Node) -> u64,
    wants: impl Fn(u32) -> bool,
) -> Candidates {
    let mut parents: Vec<(u64, u32)> = (0..).zip(above).map(|(at, node)| (key(node), at)).collect();
    let mut children: Vec<(u64, u32)> =
        (0..).zip(below).filter(|(at, _)| wants(*at)).map(|(at, node)| (key(node), at)).collect();
    parents.retain(|(key, _)| *key != 0);
    children.retain(|(key, _)| *key != 0);
    // Both lists are in time order already, so that sorting by key and index keeps it within a key.
    parents.sort_unstable();
    children.sort_unstable();
    let travel = below.iter().map(|child| child.travel).max().unwrap_or_default();
    let mut all = Candidates::default();
    let (before, after) = (Gaps::default(), Gaps::default());
    let (mut next, mut open, mut open_key, mut same) = (0, Vec::<u32>::new(), None, 0);
    let mut fitting: Vec<Choice> = Vec::new();
    for (key, at) in children {
        let child = &below[at as usize];
        if open_key != Some(key) {
            open.clear();
            open_key = Some(key);
            next += parents[next..].partition_point(|(other, _)| *other < key);
            same = parents[next..].iter().take(2).take_while(|(other, _)| *other == key).count();
        }
        while let Some(&(_, parent)) = parents.get(next).filter(|(other, _)| *other == key) {
            let node = &above[parent as usize];
            if node.start > child.start.saturating_add(node.slack(child)) {
                break;
            }
            open.push(parent);
            next += 1;
        }
        open.retain(|&parent| {
            let node = &above[parent as usize];
            child.start <= node.settled.saturating_add(node.slack(child).saturating_add(travel))
        });
        if open.len() > MOST_OPEN {
            open.drain(..open.len() - MOST_OPEN);
        }
        fitting.clear();
        fitting.extend(open.iter().filter_map(|&parent| {
            let node = &above[parent as usize];
            (replicas.agree(node, child) && ids_agree(node, child) && holds(node, child)).then(|| {
                let late = before.cost(child.start.saturating_sub(node.start));
                let rest = if child.has_answer() && node.has_answer() {
                    after.cost(node.settled.saturating_sub(child.settled))
                } else {
                    0
                };
                Choice { cost: late + rest, parent }
            })
        }));
        if fitting.is_empty() {
            continue;
        }
        all.fits.push(fitting.len() as u32);
        all.repeated.push(same > 1);
        fitting.sort_unstable();
        fitting.truncate(MOST_CHOICES);
        all.rows.push(at);
        all.keys.push(key);
        all.fitting.push(&fitting);
    }
    all
}
