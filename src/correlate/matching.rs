//! Children to parents on one lane: by ids where there are any, else by what fits best in time.
//!
//! A parent's children are attempts, one after the other: a child is put where it leaves the smallest gaps.
//!
//! ```text
//!   parent  |-------------------------------------|
//!   child      |-- failed --| |--- answered ---|
//!           gap              gap                gap
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;

use super::node::Node;
use super::{Confidence, Evidence, Parentage};

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Parents in flight that a child is compared with.
const MOST_OPEN: usize = 512;
/// Parents kept for each child.
const MOST_CHOICES: usize = 8;
/// Children of one parent on one link.
const MOST_ATTEMPTS: usize = 64;
/// What a child that is longer or shorter than its parent's answer costs, in nanoseconds.
const OTHER_LENGTH_NS: i64 = 20_000_000;
/// What a child costs that failed although its parent, which has no other child, was answered well.
const LOST_ANSWER_NS: i64 = 20_000_000;
/// What a child costs that names another client than its parent's.
const OTHER_CLIENT_NS: i64 = 2_000_000;
/// A wait before a retry counts up to this, so that an earlier failed attempt does not outweigh the end.
const MOST_WAIT_NS: i64 = 5_000_000;

/// How the children of one link hang below the parents of one lane.
pub(super) struct Matching<'a> {
    parents: &'a [Node],
    children: &'a [Node],
    /// By child.
    found: Vec<Option<Found>>,
    /// By parent: its children in time order.
    attempts: FixedMap<u32, Vec<u32>>,
    typical: Typical,
    /// By child: how many parents with its key hold it in time, whatever else hangs below them.
    fits: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Found {
    parent: u32,
    confidence: Confidence,
    by_id: bool,
}

/// What a forward takes on this lane, in nanoseconds, learnt from pairs that leave no choice.
#[derive(Clone, Copy, Debug, Default)]
struct Typical {
    before: i64,
    after: i64,
    spread: i64,
}

/// A child and a parent that may have caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Choice {
    cost: i64,
    child: u32,
    parent: u32,
}

/// Whether a parent may have caused a child, by time.
fn holds(parent: &Node, child: &Node) -> bool {
    let slack = parent.tolerance.saturating_add(child.tolerance);
    parent.start <= child.start.saturating_add(slack)
        && child.start <= parent.settled.saturating_add(slack)
        && (!child.answered || child.settled <= parent.limit.saturating_add(slack))
}

impl<'a> Matching<'a> {
    pub(super) fn new(parents: &'a [Node], children: &'a [Node]) -> Self {
        Self {
            parents,
            children,
            found: vec![None; children.len()],
            attempts: FixedMap::default(),
            typical: Typical::default(),
            fits: vec![0; children.len()],
        }
    }

    /// Matches everything; `shared_ids` when parents and children carry the same request ids.
    pub(super) fn solve(mut self, shared_ids: bool) -> Vec<(Parentage, u32)> {
        if shared_ids {
            self.by_ids();
        }
        self.by_time(|node| node.key, Confidence::Certain);
        let left = self.found.iter().filter(|found| found.is_none()).count();
        // Orphans are normal (health checks); where they are the rule, the targets must have been rewritten.
        if left * 2 > self.children.len() {
            self.by_time(|node| node.suffix, Confidence::Likely);
        }
        self.parentages()
    }

    fn insert(&mut self, child: u32, parent: u32, confidence: Confidence, by_id: bool) {
        self.found[child as usize] = Some(Found { parent, confidence, by_id });
        let list = self.attempts.entry(parent).or_default();
        let start = self.children[child as usize].start;
        let at = list.partition_point(|&other| self.children[other as usize].start <= start);
        list.insert(at, child);
    }

    /// Children whose id exactly one parent around them has.
    fn by_ids(&mut self) {
        let mut index: Vec<(u64, u32)> = (0..self.parents.len() as u32)
            .map(|at| (self.parents[at as usize].request_id, at))
            .filter(|(id, _)| *id != 0)
            .collect();
        index.sort_unstable();
        for (at, child) in self.children.iter().enumerate().filter(|(_, child)| child.request_id != 0) {
            let from = index.partition_point(|(id, _)| *id < child.request_id);
            let same = index[from..].iter().take_while(|(id, _)| *id == child.request_id).take(MOST_OPEN);
            let fits = |parent: &Node| parent.method == child.method && holds(parent, child);
            let mut fitting = same.filter(|(_, at)| fits(&self.parents[*at as usize]));
            if let (Some(&(_, parent)), None) = (fitting.next(), fitting.next()) {
                self.insert(at as u32, parent, Confidence::Certain, true);
            }
        }
    }

    /// Children without a parent yet, among parents with the same key that are in flight when they start.
    fn by_time(&mut self, key: fn(&Node) -> u64, most: Confidence) {
        let choices = self.choices(key, |parent, child| {
            child.answered && (parent.status == child.status || !parent.answered)
        });
        self.learn(&choices);
        self.assign_answers(&choices, most);
        let choices = self.choices(key, |_, _| true);
        self.assign_attempts(choices, most);
        self.follow_siblings();
    }

    /// For each child without a parent the parents that may have caused it, the cheapest first.
    fn choices(&mut self, key: fn(&Node) -> u64, may: impl Fn(&Node, &Node) -> bool) -> Vec<Vec<Choice>> {
        let mut parents: Vec<(u64, u32)> =
            (0..).zip(self.parents).map(|(at, node)| (key(node), at)).collect();
        let mut children: Vec<(u64, u32)> = (0..)
            .zip(self.children)
            .filter(|(at, _)| self.found[*at as usize].is_none())
            .map(|(at, node)| (key(node), at))
            .collect();
        // Both lists are in time order already, so that sorting by key and index keeps it within a key.
        parents.sort_unstable();
        children.sort_unstable();
        let mut all = Vec::with_capacity(children.len());
        let (mut next, mut open, mut open_key) = (0, Vec::<u32>::new(), None);
        for (key, at) in children {
            let child = &self.children[at as usize];
            if open_key != Some(key) {
                open.clear();
                open_key = Some(key);
                next += parents[next..].partition_point(|(other, _)| *other < key);
            }
            while let Some(&(_, parent)) = parents.get(next).filter(|(other, _)| *other == key) {
                let node = &self.parents[parent as usize];
                if node.start > child.start.saturating_add(node.tolerance + child.tolerance) {
                    break;
                }
                open.push(parent);
                next += 1;
            }
            open.retain(|&parent| {
                let node = &self.parents[parent as usize];
                child.start <= node.settled.saturating_add(node.tolerance + child.tolerance)
            });
            if open.len() > MOST_OPEN {
                open.drain(..open.len() - MOST_OPEN);
            }
            let fitting = open.iter().copied().filter(|&parent| {
                let node = &self.parents[parent as usize];
                let ids_agree = node.request_id == 0 || node.request_id == child.request_id;
                ids_agree && holds(node, child)
            });
            let fitting: Vec<u32> = fitting.collect();
            self.fits[at as usize] = fitting.len() as u32;
            let mut choices: Vec<Choice> = fitting
                .into_iter()
                .filter(|&parent| may(&self.parents[parent as usize], child))
                .filter_map(|parent| Some(Choice { cost: self.cost(parent, at)?, child: at, parent }))
                .collect();
            choices.sort_unstable();
            choices.truncate(MOST_CHOICES);
            if !choices.is_empty() {
                all.push(choices);
            }
        }
        all
    }

    /// What it costs to put a child among the attempts of a parent; `None` when it overlaps one of them.
    fn cost(&self, parent: u32, child: u32) -> Option<i64> {
        let (node, own) = (&self.parents[parent as usize], &self.children[child as usize]);
        let empty = Vec::new();
        let others = self.attempts.get(&parent).unwrap_or(&empty);
        let at = others.partition_point(|&other| self.children[other as usize].start <= own.start);
        let before = at.checked_sub(1).map(|at| &self.children[others[at] as usize]);
        let after = others.get(at).map(|&other| &self.children[other as usize]);
        let slack = own.tolerance;
        if before.is_some_and(|b| b.settled > own.start.saturating_add(slack))
            || after.is_some_and(|a| a.start < own.settled.saturating_sub(slack))
            || others.len() >= MOST_ATTEMPTS
        {
            return None;
        }
        let same = |other: &Node| other.head == own.head;
        // What went well was passed on: nothing comes after it.
        let done = |last: &Node| last.answered && last.status < 500 && last.status == node.status;
        if before.is_some_and(done) || (after.is_some() && done(own)) {
            return None;
        }
        if before.is_some_and(|b| !same(b)) || after.is_some_and(|a| !same(a)) {
            return None;
        }
        let wait = own.start.saturating_sub(before.map_or(node.start, |b| b.settled));
        let expected = if before.is_some() { 0 } else { self.typical.before };
        let mut cost = wait.saturating_sub(expected).saturating_abs();
        if node.answered || after.is_some() {
            let rest = after.map_or(node.settled, |a| a.start).saturating_sub(own.settled);
            let expected = if after.is_some() { 0 } else { self.typical.after };
            let rest = rest.saturating_sub(expected).saturating_abs();
            cost = cost.min(MOST_WAIT_NS).saturating_add(rest.saturating_mul(2));
        }
        if own.answered
            && node.answered
            && own.status == node.status
            && own.response_bytes != node.response_bytes
        {
            cost = cost.saturating_add(OTHER_LENGTH_NS);
        }
        if others.is_empty() && node.answered && node.status < 500 && !own.answered {
            cost = cost.saturating_add(LOST_ANSWER_NS);
        }
        if own.client != 0 && own.client != node.client {
            cost = cost.saturating_add(OTHER_CLIENT_NS);
        }
        Some(cost)
    }

    /// Learns what forwarding takes from the children that have one parent to choose from.
    fn learn(&mut self, choices: &[Vec<Choice>]) {
        let by_id = self.found.iter().enumerate().filter_map(|(c, f)| Some((f.as_ref()?.parent, c as u32)));
        let alone = choices.iter().filter(|c| c.len() == 1).map(|c| (c[0].parent, c[0].child));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (parent, child) in by_id.chain(alone).take(20_000) {
            let (parent, child) = (&self.parents[parent as usize], &self.children[child as usize]);
            if child.answered && parent.answered && child.status == parent.status {
                before.push(child.start.saturating_sub(parent.start));
                after.push(parent.settled.saturating_sub(child.settled));
            }
        }
        let median = |list: &mut Vec<i64>| {
            list.sort_unstable();
            list.get(list.len() / 2).copied().unwrap_or_default()
        };
        let (middle_before, middle_after) = (median(&mut before), median(&mut after));
        let mut off: Vec<i64> = (before.iter().map(|gap| gap.saturating_sub(middle_before).saturating_abs()))
            .chain(after.iter().map(|gap| gap.saturating_sub(middle_after).saturating_abs()))
            .collect();
        self.typical = Typical { before: middle_before, after: middle_after, spread: median(&mut off) };
    }

    /// Gives each parent the child that answered it: the cheapest pairs first, then swaps that lower the sum.
    fn assign_answers(&mut self, choices: &[Vec<Choice>], most: Confidence) {
        let answers = super::assign::cheapest(choices);
        for answer in answers {
            let confidence = self.confidence(&answer, most);
            self.insert(answer.child, answer.parent, confidence, false);
        }
    }

    fn confidence(&self, answer: &super::assign::Assigned, most: Confidence) -> Confidence {
        let (parent, child) = (&self.parents[answer.parent as usize], &self.children[answer.child as usize]);
        let doubt = parent.near_hole || child.near_hole;
        let wide = self.typical.spread.saturating_mul(2).saturating_add(50_000);
        match answer.margin {
            None if !doubt => Confidence::Certain.min(most),
            None => Confidence::Likely,
            Some(margin) if margin >= wide => Confidence::Likely,
            Some(_) => Confidence::Ambiguous,
        }
    }

    /// Puts what is left (failed attempts, answers that the parent did not pass on) where it leaves the
    /// smallest gaps.
    fn assign_attempts(&mut self, choices: Vec<Vec<Choice>>, most: Confidence) {
        let mut alternatives: FixedMap<u32, (i64, Option<i64>)> = FixedMap::default();
        for list in &choices {
            alternatives.insert(list[0].child, (list[0].cost, list.get(1).map(|second| second.cost)));
        }
        let mut heap: BinaryHeap<Reverse<Choice>> = choices.into_iter().flatten().map(Reverse).collect();
        while let Some(Reverse(choice)) = heap.pop() {
            if self.found[choice.child as usize].is_some() {
                continue;
            }
            // Another attempt may have come between since the cost was reckoned.
            let Some(cost) = self.cost(choice.parent, choice.child) else { continue };
            if cost > choice.cost {
                heap.push(Reverse(Choice { cost, ..choice }));
                continue;
            }
            let wide = self.typical.spread.saturating_mul(2).saturating_add(50_000);
            let confidence = match alternatives.get(&choice.child) {
                Some((_, None)) if self.fits[choice.child as usize] == 1 => Confidence::Certain.min(most),
                Some((_, None)) => Confidence::Likely,
                Some((best, Some(second))) if second.saturating_sub(*best) >= wide && cost <= *best => {
                    Confidence::Likely
                }
                _ => Confidence::Ambiguous,
            };
            self.insert(choice.child, choice.parent, confidence, false);
        }
    }

    /// Children that share an id which their parents do not carry are attempts of one request: the ones
    /// without a parent follow the one that has it.
    fn follow_siblings(&mut self) {
        let mut leaders: FixedMap<u64, (u32, Confidence)> = FixedMap::default();
        for (child, found) in self.children.iter().zip(&self.found) {
            if let (true, Some(found)) = (child.request_id != 0, found) {
                leaders.entry(child.request_id).or_insert((found.parent, found.confidence));
            }
        }
        for at in 0..self.children.len() as u32 {
            let child = &self.children[at as usize];
            if self.found[at as usize].is_none()
                && let Some(&(parent, confidence)) = leaders.get(&child.request_id)
                && child.request_id != 0
                && holds(&self.parents[parent as usize], child)
                && self.cost(parent, at).is_some()
            {
                self.insert(at, parent, confidence, false);
            }
        }
    }

    fn parentages(self) -> Vec<(Parentage, u32)> {
        let mut all = Vec::new();
        for (&parent, children) in &self.attempts {
            for (at, &child) in children.iter().enumerate() {
                let (node, own) = (&self.parents[parent as usize], &self.children[child as usize]);
                let earlier = children[..at].iter().map(|&other| &self.children[other as usize]);
                let same = earlier.filter(|other| other.key == own.key);
                let (count, repeated) =
                    same.fold((0, false), |(n, same), b| (n + 1, same || b.head == own.head));
                let Some(found) = self.found[child as usize] else { continue };
                let parentage = Parentage {
                    parent: node.id,
                    confidence: found.confidence,
                    evidence: evidence(node, own, found.by_id, repeated),
                    attempt: count + 1,
                };
                all.push((parentage, own.id.0));
            }
        }
        all
    }
}

fn evidence(parent: &Node, child: &Node, by_id: bool, repeated: bool) -> Evidence {
    let same_id = by_id || (child.request_id != 0 && parent.request_id == child.request_id);
    let same_request = parent.key == child.key;
    let bits = [
        (Evidence::REQUEST_ID, same_id),
        (Evidence::TARGET, same_request),
        (Evidence::HOST, child.host != 0 && parent.host == child.host),
        (Evidence::BODY, same_request && child.has_body),
        (Evidence::CONTAINMENT, holds(parent, child)),
        (Evidence::STATUS, child.status != 0 && parent.status == child.status),
        (Evidence::RETRY, repeated),
        (Evidence::FORWARDED_FOR, child.client != 0 && child.client == parent.client),
    ];
    Evidence(bits.iter().filter(|(_, holds)| *holds).map(|(bit, _)| bit).sum())
}

impl Choice {
    pub(super) fn parts(self) -> (i64, u32, u32) {
        (self.cost, self.child, self.parent)
    }
}
