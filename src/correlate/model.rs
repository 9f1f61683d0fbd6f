//! The trees of all requests as data.

use crate::topology::ExchangeId;

use super::{Again, Orphan};

/// How sure a link between two exchanges is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Other candidates fit as well.
    Ambiguous,
    /// Other candidates fit worse.
    Likely,
    /// Nothing else fits, or an id says so.
    Certain,
}

impl Confidence {
    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

/// What speaks for a link between two exchanges: a set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence(pub u16);

impl Evidence {
    /// The same unique request id header in both.
    pub const REQUEST_ID: u16 = 1;
    /// The same method and target.
    pub const TARGET: u16 = 1 << 1;
    /// The same `Host`.
    pub const HOST: u16 = 1 << 2;
    /// The same body digest and length (of a body that is not empty).
    pub const BODY: u16 = 1 << 3;
    /// The child lies inside the parent in time.
    pub const CONTAINMENT: u16 = 1 << 4;
    /// The same response status.
    pub const STATUS: u16 = 1 << 5;
    /// The parent's header values are all in the child.
    pub const HEADERS: u16 = 1 << 6;
    /// Byte-identical to an attempt that failed just before, on another connection.
    pub const RETRY: u16 = 1 << 7;
    /// The child names the parent's client address (`X-Forwarded-For`, `X-Real-IP`).
    pub const FORWARDED_FOR: u16 = 1 << 8;
    /// The child's connection opens with a PROXY header that names the parent's.
    pub const PROXY_HEADER: u16 = 1 << 9;
    /// Byte-identical to one that still waited for its answer, on another connection of the link: the hop takes the
    /// answer that comes first.
    pub const HEDGE: u16 = 1 << 10;
    /// Sent aside when the parent came, and answered whenever: the parent's answer is that to another one.
    pub const COPY: u16 = 1 << 11;

    /// The names that reports use, in a fixed order.
    pub fn names(self) -> Vec<&'static str> {
        const NAMES: [(u16, &str); 12] = [
            (Evidence::REQUEST_ID, "request-id"),
            (Evidence::TARGET, "target"),
            (Evidence::HOST, "host"),
            (Evidence::BODY, "body"),
            (Evidence::CONTAINMENT, "containment"),
            (Evidence::STATUS, "status"),
            (Evidence::HEADERS, "headers"),
            (Evidence::RETRY, "retry"),
            (Evidence::FORWARDED_FOR, "forwarded-for"),
            (Evidence::PROXY_HEADER, "proxy-header"),
            (Evidence::HEDGE, "hedge"),
            (Evidence::COPY, "copy"),
        ];
        NAMES.iter().filter(|(bit, _)| self.0 & bit != 0).map(|&(_, name)| name).collect()
    }
}

/// Which exchange caused this one.
#[derive(Clone, Copy, Debug)]
pub struct Parentage {
    /// The exchange on the link before it.
    pub parent: ExchangeId,
    /// How sure.
    pub confidence: Confidence,
    /// Why.
    pub evidence: Evidence,
    /// The parent that fits next best, where another one fits at all.
    pub runner_up: Option<ExchangeId>,
    /// 1, 2, … among the attempts that the parent's lane made of the same request, in time order.
    pub attempt: u16,
}

/// The tree of every request, by exchange.
#[derive(Clone, Debug, Default)]
pub struct Trees {
    /// The parent of each exchange; `None` for the first link's and for orphans. As long as the exchange list.
    pub parents: Vec<Option<Parentage>>,
    /// Children of all exchanges, grouped by parent in time order; see [`Trees::children`].
    pub child_list: Vec<ExchangeId>,
    /// Where each exchange's children start in `child_list`: one more entry than exchanges.
    pub child_start: Vec<u32>,
    /// Requests without a cause or without consequences, and why, in the order of their ids.
    pub orphans: Vec<(ExchangeId, Orphan)>,
    /// Requests that their clients sent again after they failed, in the order of their ids.
    pub again: Vec<Again>,
    /// The same as pairs of the failed one and the later one, in order.
    pub again_of: Vec<(ExchangeId, ExchangeId)>,
}

impl Trees {
    /// Makes the trees from each exchange's parent; `started` orders the children of one parent.
    pub fn new(parents: Vec<Option<Parentage>>, started: impl Fn(ExchangeId) -> i64) -> Self {
        let mut pairs: Vec<(u32, i64, u32)> = parents
            .iter()
            .enumerate()
            .filter_map(|(child, p)| p.map(|p| (p.parent.0, started(ExchangeId(child as u32)), child as u32)))
            .collect();
        pairs.sort_unstable();
        let mut child_start = Vec::with_capacity(parents.len() + 1);
        let mut next = 0;
        for parent in 0..=parents.len() as u32 {
            while pairs.get(next).is_some_and(|pair| pair.0 < parent) {
                next += 1;
            }
            child_start.push(next as u32);
        }
        let child_list = pairs.into_iter().map(|pair| ExchangeId(pair.2)).collect();
        Self { parents, child_list, child_start, ..Self::default() }
    }

    /// The exchange that caused this one, with the reasons.
    pub fn parent(&self, id: ExchangeId) -> Option<&Parentage> {
        self.parents.get(id.0 as usize)?.as_ref()
    }

    /// Why a request has no parent, or was not passed on, where that is so.
    pub fn orphan(&self, id: ExchangeId) -> Option<Orphan> {
        let at = self.orphans.binary_search_by_key(&id, |orphan| orphan.0).ok()?;
        Some(self.orphans[at].1)
    }

    /// What a request repeats, where its client sent it again after it failed.
    pub fn again(&self, id: ExchangeId) -> Option<&Again> {
        let at = self.again.binary_search_by_key(&id, |again| again.id).ok()?;
        Some(&self.again[at])
    }

    /// All that a client sent of one request, in time order; this one alone where it was sent once.
    pub fn sent(&self, id: ExchangeId) -> Vec<ExchangeId> {
        let mut all: Vec<ExchangeId> =
            std::iter::successors(Some(id), |id| Some(self.again(*id)?.of)).take(64).collect();
        all.reverse();
        let next = |id: &ExchangeId| {
            let at = self.again_of.binary_search_by_key(id, |pair| pair.0).ok()?;
            Some(self.again_of[at].1)
        };
        all.extend(std::iter::successors(next(&id), next).take(64));
        all
    }

    /// The exchanges that this one caused, in time order.
    pub fn children(&self, id: ExchangeId) -> &[ExchangeId] {
        let at = id.0 as usize;
        match (self.child_start.get(at), self.child_start.get(at + 1)) {
            (Some(&start), Some(&end)) => &self.child_list[start as usize..end as usize],
            _ => &[],
        }
    }

    /// The exchange at the user's end of the tree that this one is in.
    pub fn root(&self, mut id: ExchangeId) -> ExchangeId {
        // Parents lie on links nearer to the user, so this ends; the bound guards against a cycle all the same.
        for _ in 0..64 {
            match self.parent(id) {
                Some(parentage) => id = parentage.parent,
                None => break,
            }
        }
        id
    }

    /// The whole tree from its root: each exchange with its depth, parents before children, in time order.
    pub fn tree(&self, root: ExchangeId) -> Vec<(ExchangeId, usize)> {
        let mut all = Vec::new();
        let mut stack = vec![(root, 0)];
        while let Some((id, depth)) = stack.pop() {
            all.push((id, depth));
            if depth < 64 {
                stack.extend(self.children(id).iter().rev().map(|&child| (child, depth + 1)));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_come_in_time_order_and_the_tree_from_its_root() {
        let of = |parent| {
            Some(Parentage {
                parent: ExchangeId(parent),
                confidence: Confidence::Certain,
                evidence: Evidence::default(),
                runner_up: None,
                attempt: 1,
            })
        };
        // 0 is the root, 2 and 1 are its attempts (2 earlier), 3 hangs below 1.
        let trees = Trees::new(vec![None, of(0), of(0), of(1)], |id| [0, 20, 10, 30][id.0 as usize]);
        assert_eq!(trees.children(ExchangeId(0)), [ExchangeId(2), ExchangeId(1)]);
        assert_eq!(trees.root(ExchangeId(3)), ExchangeId(0));
        let tree: Vec<_> = trees.tree(ExchangeId(0)).into_iter().map(|(id, depth)| (id.0, depth)).collect();
        assert_eq!(tree, [(0, 0), (2, 1), (1, 1), (3, 2)]);
    }
}
