//! Exchanges of neighbouring links to the tree of each request: who called whom, attempt by attempt, and why.

mod again;
mod assign;
mod attempts;
mod candidates;
mod chain;
mod copies;
mod gaps;
mod habits;
mod home;
mod ids;
mod matching;
mod model;
mod node;
mod order;
mod orphan;
mod pools;
mod prefixes;
mod replicas;
#[cfg(test)]
mod tests;
mod turns;

pub use again::Again;
pub use attempts::attempts;
pub use model::{Confidence, Evidence, Parentage, Trees};
pub use orphan::Orphan;

use crate::analysis::Analysis;
use crate::stop::{Stop, Stopped};
use crate::topology::{LaneId, LinkId};
use node::Node;

/// Follows every request across the hops; reads the facts and the topology of `analysis`.
pub fn build(analysis: &Analysis) -> Trees {
    build_unless(analysis, Stop::NEVER).unwrap_or_default()
}

/// As [`build`], until it is stopped.
///
/// # Errors
/// When it was stopped.
pub fn build_unless(analysis: &Analysis, stop: Stop<'_>) -> Result<Trees, Stopped> {
    let topology = &analysis.topology;
    let mut parents = vec![None; topology.exchanges.len()];
    let mut strangers = copies::Ids::default();
    for lane in 0..topology.lanes.len() as u16 {
        let ends = |link: &u16| analysis.link(LinkId(*link));
        let links = 0..topology.links.len() as u16;
        let into: Vec<LinkId> = links.clone().filter(|l| ends(l).to == LaneId(lane)).map(LinkId).collect();
        let outs: Vec<LinkId> = links.filter(|l| ends(l).from == LaneId(lane)).map(LinkId).collect();
        if into.is_empty() || outs.is_empty() {
            continue;
        }
        stop.check()?;
        let home = home::captures(analysis, &into, &outs);
        let mut above = node::gather(analysis, &into, true, &home);
        if above.is_empty() {
            continue;
        }
        let links: Vec<Vec<Node>> =
            outs.iter().map(|&out| node::gather(analysis, &[out], false, &home)).collect();
        let pools: Vec<Vec<Node>> = pools::pools(&above, &links)
            .into_iter()
            .map(|pool| {
                let mut below = pool.iter().flat_map(|&at| &links[at]).copied().collect::<Vec<Node>>();
                below.sort_unstable_by_key(|node| (node.start, node.id));
                below
            })
            .collect();
        let mut passed_on = turns::PassedOn::default();
        for (at, is_named) in turns::order(&above, &pools) {
            stop.check()?;
            let mut below = pools[at].clone();
            let shared = ids::set_ids(analysis, &mut above, &mut below);
            let originals = node::set_originals(analysis, &mut above, &mut below);
            prefixes::set_rests(analysis, &mut above, &mut below);
            let replicas = replicas::Replicas::learn(&above, &below);
            strangers.extend(below.iter().filter(|node| replicas.is_stranger(node)).map(|node| node.id));
            let habits = habits::Habits::learn(analysis, &above, &below, &replicas);
            if habits.keeps_headers() {
                habits.mark(analysis, &mut above);
                habits.mark(analysis, &mut below);
            }
            stop.check()?;
            let before = if is_named || shared { None } else { passed_on.before(&above, &below, &replicas) };
            let asking = before.as_deref().unwrap_or(&above);
            let mut matching = matching::Matching::new(asking, &below, habits, &replicas);
            if !is_named && !shared {
                matching.follow(&passed_on);
            }
            let found = matching.solve(shared, originals);
            if is_named && pools.len() > 1 {
                passed_on.note(&below, &found);
            }
            for (parentage, child) in found {
                parents[child as usize] = Some(parentage);
            }
            above.iter_mut().for_each(|node| {
                (node.request_id, node.shared_id, node.kept, node.original, node.rest) = (0, 0, 0, 0, 0);
            });
        }
        stop.check()?;
        copies::find(analysis, &above, &pools, &strangers, &mut parents);
    }
    stop.check()?;
    let mut trees = Trees::new(parents, |id| analysis.exchange(id).started().0);
    stop.check()?;
    trees.orphans = orphan::find(analysis, &trees, &strangers);
    stop.check()?;
    trees.again = again::find(analysis);
    trees.again_of = trees.again.iter().map(|again| (again.of, again.id)).collect();
    trees.again_of.sort_unstable();
    Ok(trees)
}
