//! Children to parents on one lane: by ids where there are any, else by what fits best in time.
//!
//! ```text
//!   parent  |-------------------------------------|
//!   child      |-- failed --| |--- answered ---|
//!           gap              gap                gap
//! ```
//!
//! Attempts that follow a failure are joined first ([`super::chain`]), so that one assignment gives each request
//! of the lane the unit that answered it. The gaps that proxies take are learnt from the pairs found and the
//! assignment made anew with them. What is left are further attempts; each goes where it fits best.

mod timed;
mod told;
mod unnamed;

use hashbrown::HashMap;

use super::candidates::{MOST_OPEN, holds};
use super::gaps::Gaps;
use super::habits::Habits;
use super::node::Node;
use super::replicas::Replicas;
use super::turns::PassedOn;
use super::{Confidence, Parentage};
use crate::topology::ExchangeId;

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Children of one parent on one link.
const MOST_ATTEMPTS: usize = 64;

/// How the children of one link hang below the parents of one lane.
pub(super) struct Matching<'a> {
    pub(super) parents: &'a [Node],
    pub(super) children: &'a [Node],
    /// By child.
    found: Vec<Option<Found>>,
    /// By parent: its children in time order.
    attempts: FixedMap<u32, Vec<u32>>,
    pub(super) habits: Habits,
    replicas: &'a Replicas,
    before: Gaps,
    after: Gaps,
    /// From a failure to its retry.
    pub(super) waits: Gaps,
    /// By parent: its place in the order of answers.
    end_place: Vec<u32>,
    /// Some requests of the lane may be missing.
    pub(super) is_lossy: bool,
    /// The children are copies sent aside: nobody waits for their ends. How sure their parents are at the most.
    aside: Option<Confidence>,
    /// What of the times counts.
    looks_at: Ends,
}

/// The ends of a child that are compared with those of its parent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Both,
    Start,
    End,
}

#[derive(Clone, Copy)]
struct Found {
    parent: u32,
    confidence: Confidence,
    by_id: bool,
    runner_up: Option<u32>,
}

impl<'a> Matching<'a> {
    pub(super) fn new(
        parents: &'a [Node],
        children: &'a [Node],
        habits: Habits,
        replicas: &'a Replicas,
    ) -> Self {
        Self {
            parents,
            children,
            found: vec![None; children.len()],
            attempts: FixedMap::default(),
            habits,
            replicas,
            before: Gaps::default(),
            after: Gaps::default(),
            waits: Gaps::default(),
            end_place: end_places(parents),
            is_lossy: parents.iter().chain(children).any(|node| node.near_hole),
            aside: None,
            looks_at: Ends::Both,
        }
    }

    /// The same for children that nobody waits for.
    pub(super) fn aside(self, most: Confidence) -> Self {
        Self { aside: Some(most), ..self }
    }

    /// Matches everything; `shared_ids` when parents and children carry the same request ids.
    pub(super) fn solve(mut self, shared_ids: bool, originals: bool) -> Vec<(Parentage, u32)> {
        if shared_ids {
            self.by_ids();
        }
        let most = self.aside.unwrap_or(Confidence::Certain);
        if self.children.iter().any(|child| child.socket != 0) {
            // A PROXY header says which connection it stands for.
            self.by_time(
                |node| if node.socket == 0 { 0 } else { node.key ^ node.socket },
                Confidence::Certain,
            );
        }
        if self.habits.keeps_headers() {
            self.by_time(|node| node.key ^ node.kept, most);
        }
        self.by_time(|node| node.key, most);
        self.by_sizes(most);
        if self.aside.is_some() {
            return self.parentages();
        }
        // A proxy that passes a body on as it comes stops when it is answered before the end.
        // And of some the capture lacks so much that nothing is left to compare.
        if self.children.iter().any(|child| child.unmeasured) {
            self.by_time(
                |node| if node.is_parent || node.unmeasured { node.bare } else { 0 },
                Confidence::Likely,
            );
        }
        if self.parents.iter().any(|parent| parent.unmeasured) {
            self.by_time(
                |node| if !node.is_parent || node.unmeasured { node.bare } else { 0 },
                Confidence::Likely,
            );
        }
        if originals {
            self.by_time(|node| node.original, Confidence::Likely);
        }
        let left = self.found.iter().filter(|found| found.is_none()).count();
        // Orphans are normal (health checks); where they are the rule, the targets must have been rewritten.
        if left * 4 > self.children.len() {
            self.by_body();
            let has_rests = self.parents.iter().any(|parent| parent.rest != 0);
            self.by_time(if has_rests { |node| node.rest } else { |node| node.suffix }, Confidence::Likely);
        }
        self.follow_siblings();
        self.by_time_alone();
        self.parentages()
    }

    fn insert(&mut self, child: u32, found: Found) {
        self.found[child as usize] = Some(found);
        let list = self.attempts.entry(found.parent).or_default();
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
            // Where nothing ties the clocks, an id that only one parent has is enough.
            let fits = |parent: &Node| parent.group != child.group || holds(parent, child);
            let fitting: Vec<u32> =
                same.map(|(_, at)| *at).filter(|at| fits(&self.parents[*at as usize])).collect();
            let alike = |at: &&u32| self.parents[**at as usize].method == child.method;
            // What a proxy asks on its own behalf for a POST (may it?) is often a GET.
            let parent = sole(fitting.iter().filter(alike)).or_else(|| sole(fitting.iter()));
            if let Some(&parent) = parent
                && self.attempts.get(&parent).is_none_or(|list| list.len() < MOST_ATTEMPTS)
            {
                let has_key = |&(id, at): &(u64, u32)| {
                    id == child.request_id && self.parents[at as usize].key == child.key
                };
                let of_key = index[from..].iter().take(MOST_OPEN).filter(|entry| has_key(entry));
                // Where several requests have the id, the target must tell which of them it is.
                let is_told = child.shared_id == 0 || sole(of_key).is_some_and(|&(_, only)| only == parent);
                let confidence = if is_told { Confidence::Certain } else { Confidence::Likely };
                self.insert(at as u32, Found { parent, confidence, by_id: true, runner_up: None });
            }
        }
    }

    /// Children that have the id of what was passed on for a parent, which the hop gave both.
    pub(super) fn follow(&mut self, passed_on: &PassedOn) {
        let told = |child: &Node| passed_on.of_id(child.request_id);
        if self.children.iter().all(|child| told(child).is_none()) {
            return;
        }
        let places: FixedMap<ExchangeId, u32> = self.parents.iter().map(|node| node.id).zip(0..).collect();
        for (at, child) in (0..).zip(self.children) {
            let Some((parent, confidence)) = told(child) else { continue };
            let Some(&parent) = places.get(&parent) else { continue };
            let has_room = self.attempts.get(&parent).is_none_or(|list| list.len() < MOST_ATTEMPTS);
            if has_room && holds(&self.parents[parent as usize], child) {
                self.insert(at, Found { parent, confidence, by_id: false, runner_up: None });
            }
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
                && self.attempt_cost(parent, at).is_some()
            {
                self.insert(at, Found { parent, confidence, by_id: false, runner_up: None });
            }
        }
    }
}

/// The only item, where there is one.
fn sole<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

/// The place of each parent in the order of their ends.
fn end_places(parents: &[Node]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..parents.len() as u32).collect();
    order.sort_by_key(|&at| parents[at as usize].settled);
    let mut places = vec![0; parents.len()];
    for (place, at) in (0..).zip(order) {
        places[at as usize] = place;
    }
    places
}
