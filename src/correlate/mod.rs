//! Exchanges of neighbouring links to the tree of each request: who called whom, attempt by attempt, and why.

mod assign;
mod attempts;
mod candidates;
mod chain;
mod gaps;
mod habits;
mod home;
mod ids;
#[cfg(test)]
mod kinds_tests;
mod matching;
mod model;
mod node;
mod order;
mod orphan;
mod pools;
#[cfg(test)]
mod tests;

pub use attempts::attempts;
pub use model::{Confidence, Evidence, Parentage, Trees};
pub use orphan::Orphan;

use crate::analysis::Analysis;
use crate::topology::{LaneId, LinkId};
use node::Node;

/// Follows every request across the hops; reads the facts and the topology of `analysis`.
pub fn build(analysis: &Analysis) -> Trees {
    let topology = &analysis.topology;
    let mut parents = vec![None; topology.exchanges.len()];
    for lane in 0..topology.lanes.len() as u16 {
        let ends = |link: &u16| analysis.link(LinkId(*link));
        let links = 0..topology.links.len() as u16;
        let into: Vec<LinkId> = links.clone().filter(|l| ends(l).to == LaneId(lane)).map(LinkId).collect();
        let outs: Vec<LinkId> = links.filter(|l| ends(l).from == LaneId(lane)).map(LinkId).collect();
        if into.is_empty() || outs.is_empty() {
            continue;
        }
        let home = home::captures(analysis, &into, &outs);
        let mut above = node::gather(analysis, &into, true, &home);
        if above.is_empty() {
            continue;
        }
        let links: Vec<Vec<Node>> =
            outs.iter().map(|&out| node::gather(analysis, &[out], false, &home)).collect();
        for pool in pools::pools(&above, &links) {
            let mut below = pool.iter().flat_map(|&at| &links[at]).copied().collect::<Vec<Node>>();
            below.sort_unstable_by_key(|node| (node.start, node.id));
            let shared = ids::set_ids(analysis, &mut above, &mut below);
            let originals = node::set_originals(analysis, &mut above, &mut below);
            let habits = habits::Habits::learn(analysis, &above, &below);
            if habits.keeps_headers() {
                habits.mark(analysis, &mut above);
                habits.mark(analysis, &mut below);
            }
            for (parentage, child) in matching::Matching::new(&above, &below, habits).solve(shared, originals)
            {
                parents[child as usize] = Some(parentage);
            }
            above.iter_mut().for_each(|node| {
                (node.request_id, node.shared_id, node.kept, node.original) = (0, 0, 0, 0);
            });
        }
    }
    let mut trees = Trees::new(parents, |id| analysis.exchange(id).started().0);
    trees.orphans = orphan::find(analysis, &trees);
    trees
}
