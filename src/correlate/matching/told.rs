//! What is told of each pair: how sure it is, why, and which attempt it is.

use super::super::candidates::holds;
use super::super::node::Node;
use super::super::{Evidence, Parentage};
use super::Matching;

/// Clocks that agree so well move nothing that could be seen, in nanoseconds.
const TOLD_NS: i64 = 100_000;

impl Matching<'_> {
    pub(super) fn parentages(self) -> Vec<(Parentage, u32)> {
        let mut all = Vec::new();
        for (&parent, children) in &self.attempts {
            for (at, &child) in children.iter().enumerate() {
                let (node, own) = (&self.parents[parent as usize], &self.children[child as usize]);
                let earlier = children[..at].iter().map(|&other| &self.children[other as usize]);
                let alike = earlier.filter(|other| other.key == own.key);
                let hedges = alike.clone().any(|other| own.hedges(other));
                // A hop that asks for the same again after it got it has other reasons than a failure.
                let asks_again =
                    alike.clone().any(|b| b.went_well() && b.settled <= own.start && b.link == own.link);
                // Beside one that is still open it is a copy for another purpose (mirroring), and behind one that
                // went well a request of its own.
                let same = alike.filter(|other| !asks_again && own.follows_failure(other));
                let (count, repeated) =
                    same.fold((0, false), |(n, same), b| (n + 1, same || b.head == own.head));
                let Some(found) = self.found[child as usize] else { continue };
                let mut evidence = evidence(node, own, found.by_id, repeated, hedges);
                evidence.0 |= if self.aside.is_some() { Evidence::COPY } else { 0 };
                let parentage = Parentage {
                    parent: node.id,
                    confidence: found.confidence,
                    evidence,
                    runner_up: found.runner_up.map(|other| self.parents[other as usize].id),
                    attempt: count + 1,
                };
                all.push((parentage, own.id.0));
            }
        }
        all
    }
}

/// Whether a child lies inside its parent by the times that are told: what clocks allow proves nothing, and nobody is to
/// be shown a child outside its parent as if it did.
fn is_inside(parent: &Node, child: &Node) -> bool {
    let limit = |node: &Node| if node.answered { node.settled } else { node.limit };
    let told = |node: &Node| Node { tolerance: node.tolerance.min(TOLD_NS), limit: limit(node), ..*node };
    holds(&told(parent), &told(child))
}

fn evidence(parent: &Node, child: &Node, by_id: bool, repeated: bool, hedges: bool) -> Evidence {
    let same_id = by_id || (child.request_id != 0 && parent.request_id == child.request_id);
    let same_request = parent.key == child.key;
    let bits = [
        (Evidence::REQUEST_ID, same_id),
        (Evidence::TARGET, same_request),
        (Evidence::HOST, child.authority != 0 && parent.authority == child.authority),
        (Evidence::BODY, child.body != 0 && parent.body == child.body),
        (Evidence::CONTAINMENT, is_inside(parent, child)),
        (Evidence::STATUS, child.status != 0 && parent.status == child.status),
        (Evidence::HEADERS, child.kept != 0 && parent.kept == child.kept),
        (Evidence::RETRY, repeated),
        (Evidence::HEDGE, hedges),
        (Evidence::PROXY_HEADER, child.socket != 0 && child.socket == parent.socket),
        (Evidence::FORWARDED_FOR, child.client != 0 && child.client == parent.client),
    ];
    Evidence(bits.iter().filter(|(_, holds)| *holds).map(|(bit, _)| bit).sum())
}
