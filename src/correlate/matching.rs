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

use hashbrown::HashMap;

use super::assign::{Assigned, Choice, Choices, cheapest};
use super::candidates::{Candidates, MOST_CHOICES, MOST_OPEN, candidates, holds};
use super::chain::{Unit, passed_on, units, wait};
use super::gaps::Gaps;
use super::habits::Habits;
use super::node::Node;
use super::order::{Around, Order, around};
use super::{Confidence, Evidence, Parentage};
use crate::topology::inside::lie_inside;

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Children of one parent on one link.
const MOST_ATTEMPTS: usize = 64;
/// Rounds in which the gaps are learnt from the last assignment.
const ROUNDS: usize = 6;
/// Pairs from which on a round of learning counts are taken from no more than this many.
const MOST_LEARNT: usize = 50_000;
/// Odds from which on a parent is called likely: e to the power of this, in thousandths.
const LIKELY: i64 = 3_500;
/// Clocks that agree so well move nothing that could be seen, in nanoseconds.
const TOLD_NS: i64 = 100_000;
/// Fewer requests do not show that a lane passes them on.
const FEWEST_PASSED_ON: usize = 20;
/// So many of a hundred of them must lie inside one of those it is asked.
const PASSED_ON_PERCENT: usize = 95;
/// What it costs when parent and child do not agree on what they usually agree on.
const DISAGREES: i64 = 8_000;

/// How the children of one link hang below the parents of one lane.
pub(super) struct Matching<'a> {
    pub(super) parents: &'a [Node],
    pub(super) children: &'a [Node],
    /// By child.
    found: Vec<Option<Found>>,
    /// By parent: its children in time order.
    attempts: FixedMap<u32, Vec<u32>>,
    pub(super) habits: Habits,
    before: Gaps,
    after: Gaps,
    /// From a failure to its retry.
    pub(super) waits: Gaps,
    /// By parent: its place in the order of answers.
    end_place: Vec<u32>,
    /// Some requests of the lane may be missing.
    pub(super) is_lossy: bool,
}

/// The order in which a lane passes on: what is around each unit, and what being out of line costs.
#[derive(Default)]
struct Lines {
    starts: Vec<Around>,
    ends: Vec<Around>,
    start: Order,
    end: Order,
}

#[derive(Clone, Copy)]
struct Found {
    parent: u32,
    confidence: Confidence,
    by_id: bool,
    runner_up: Option<u32>,
}

/// Whether a child lies inside its parent by the times that are told: what clocks allow proves nothing, and nobody is to
/// be shown a child outside its parent as if it did.
fn is_inside(parent: &Node, child: &Node) -> bool {
    let told = |node: &Node| Node { tolerance: node.tolerance.min(TOLD_NS), ..*node };
    holds(&told(parent), &told(child))
}

impl<'a> Matching<'a> {
    pub(super) fn new(parents: &'a [Node], children: &'a [Node], habits: Habits) -> Self {
        Self {
            parents,
            children,
            found: vec![None; children.len()],
            attempts: FixedMap::default(),
            habits,
            before: Gaps::default(),
            after: Gaps::default(),
            waits: Gaps::default(),
            end_place: end_places(parents),
            is_lossy: parents.iter().chain(children).any(|node| node.near_hole),
        }
    }

    /// Matches everything; `shared_ids` when parents and children carry the same request ids.
    pub(super) fn solve(mut self, shared_ids: bool, originals: bool) -> Vec<(Parentage, u32)> {
        if shared_ids {
            self.by_ids();
        }
        if self.children.iter().any(|child| child.socket != 0) {
            // A PROXY header says which connection it stands for.
            self.by_time(
                |node| if node.socket == 0 { 0 } else { node.key ^ node.socket },
                Confidence::Certain,
            );
        }
        if self.habits.keeps_headers() {
            self.by_time(|node| node.key ^ node.kept, Confidence::Certain);
        }
        self.by_time(|node| node.key, Confidence::Certain);
        // A proxy that passes a body on as it comes stops when it is answered before the end.
        if self.children.iter().any(|child| child.bare != 0) {
            self.by_time(|node| node.bare, Confidence::Likely);
        }
        if originals {
            self.by_time(|node| node.original, Confidence::Likely);
        }
        let left = self.found.iter().filter(|found| found.is_none()).count();
        // Orphans are normal (health checks); where they are the rule, the targets must have been rewritten.
        if left * 4 > self.children.len() {
            self.by_body();
            self.by_time(|node| node.suffix, Confidence::Likely);
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
                let confidence = Confidence::Certain;
                self.insert(at as u32, Found { parent, confidence, by_id: true, runner_up: None });
            }
        }
    }

    /// Children whose body only one parent has. Of several, a copy that outlasts what it was made of would get another.
    fn by_body(&mut self) {
        let open = |child: u32| self.found[child as usize].is_none();
        let candidates = candidates(self.parents, self.children, |node| node.body, open);
        let sole =
            (0..candidates.rows.len()).filter(|&row| candidates.fits[row] == 1 && !candidates.repeated[row]);
        let sole: Vec<(u32, u32)> = sole
            .filter_map(|row| Some((candidates.fitting.of(row).first()?.parent, candidates.rows[row])))
            .collect();
        for (parent, child) in sole {
            if self.attempts.get(&parent).is_none_or(|list| list.len() < MOST_ATTEMPTS) {
                let confidence = Confidence::Likely;
                self.insert(child, Found { parent, confidence, by_id: false, runner_up: None });
            }
        }
    }

    /// The parents without a child.
    fn childless(&self) -> impl Iterator<Item = &Node> {
        let free = (0..).zip(self.parents).filter(|(at, _)| !self.attempts.contains_key(at));
        free.map(|(_, parent)| parent)
    }

    /// Where nearly no request has a parent, and all lie inside one as they would not by chance, the time must do. Where
    /// many have none, and nothing tells whose each is, that is said.
    fn by_time_alone(&mut self) {
        let open = |child: &u32| self.found[*child as usize].is_none();
        let left: Vec<u32> = (0..self.children.len() as u32).filter(open).collect();
        if left.len() * 4 <= self.children.len() {
            return;
        }
        let span = |node: &Node| (node.start, node.settled);
        let inner: Vec<(i64, i64)> = left.iter().map(|&child| span(&self.children[child as usize])).collect();
        let outer: Vec<(i64, i64)> = self.childless().filter(|parent| parent.answered).map(span).collect();
        let parents = self.childless().count();
        let nearly_all = left.len() * 10 >= self.children.len() * 9;
        if nearly_all && lie_inside(&inner, &outer).is_some() {
            if !self.by_loops() {
                self.by_time(|_| 1, Confidence::Likely);
            }
        } else if self.is_passed_on(left.len(), parents) {
            self.by_time(|_| 1, Confidence::Ambiguous);
        }
    }

    /// Whether the children without a parent are about as many as the parents without a child, and hardly one lies
    /// outside of all: what a lane is asked, and passes on under another name.
    fn is_passed_on(&self, left: usize, parents: usize) -> bool {
        if left < FEWEST_PASSED_ON || left > 2 * parents || parents > 2 * left {
            return false;
        }
        let all =
            candidates(self.parents, self.children, |_| 1, |child| self.found[child as usize].is_none());
        all.rows.len() * 100 >= left * PASSED_ON_PERCENT
    }

    /// Where a hop asks several times for one request, one after the other, none of them is an attempt that takes
    /// another's place. Returns whether that is so.
    fn by_loops(&mut self) -> bool {
        let candidates =
            candidates(self.parents, self.children, |_| 1, |child| self.found[child as usize].is_none());
        let rows = || candidates.rows.iter().enumerate();
        let sole: Vec<(u32, u32)> = rows()
            .filter(|(row, _)| candidates.fits[*row] == 1)
            .filter_map(|(row, &child)| Some((candidates.fitting.of(row).first()?.parent, child)))
            .collect();
        let mut count: FixedMap<u32, u32> = FixedMap::default();
        for (parent, child) in &sole {
            // What follows a failure may be another attempt.
            *count.entry(*parent).or_default() += u32::from(self.children[*child as usize].went_well());
        }
        let several = count.values().filter(|count| **count > 1).count();
        if several == 0 || several * 2 < count.len() {
            return false;
        }
        for (parent, child) in sole {
            let confidence = Confidence::Likely;
            self.insert(child, Found { parent, confidence, by_id: false, runner_up: None });
        }
        for (row, &child) in rows().filter(|(row, _)| candidates.fits[*row] > 1) {
            let [best, rest @ ..] = candidates.fitting.of(row) else { continue };
            let runner_up = rest.first().map(|choice| choice.parent);
            let confidence = Confidence::Ambiguous;
            self.insert(child, Found { parent: best.parent, confidence, by_id: false, runner_up });
        }
        true
    }

    /// Children without a parent yet, among parents with the same key that are in flight when they start.
    fn by_time(&mut self, key: fn(&Node) -> u64, most: Confidence) {
        let candidates =
            candidates(self.parents, self.children, key, |child| self.found[child as usize].is_none());
        if candidates.rows.is_empty() {
            return;
        }
        self.learn(self.known_pairs());
        let passed_on = passed_on(self, &candidates);
        let mut joined = units(self, &candidates, &passed_on);
        if joined.len() < candidates.rows.len() {
            // What the first round taught of the gaps tells a retry from a request of its own better.
            self.assign(&candidates, &joined, None);
            self.learn_waits(&joined);
            joined = units(self, &candidates, &passed_on);
        }
        self.assign(&candidates, &joined, Some(most));
        self.assign_attempts(&candidates, &passed_on, most);
    }

    /// Gives each parent without a child the unit that answered it; without a confidence only learns.
    fn assign(&mut self, candidates: &Candidates, units: &[Unit], most: Option<Confidence>) {
        let mut choices = Choices::default();
        for unit in units {
            choices.push(&self.choices_of(candidates, unit));
        }
        let contested = (0..units.len()).any(|row| choices.of(row).len() > 1);
        for round in 1.. {
            let assigned = cheapest(&choices, self.parents.len());
            if round < ROUNDS && contested {
                let own: Vec<Option<u32>> = assigned.iter().map(|own| Some(own.as_ref()?.parent)).collect();
                let pairs =
                    units.iter().zip(&own).filter_map(|(unit, own)| self.gaps_of((*own)?, unit.ends()));
                self.learn(pairs.take(MOST_LEARNT).collect());
                let lines = self.lines(units, &own);
                for (row, unit) in units.iter().enumerate() {
                    for choice in choices.of_mut(row) {
                        choice.cost = self.cost(choice.parent, unit.ends())
                            + self.line_cost(&lines, row, choice.parent);
                    }
                }
                continue;
            }
            let Some(most) = most else { return };
            for (row, (unit, own)) in units.iter().zip(assigned).enumerate() {
                let Some(own) = own else { continue };
                let is_sole = choices.of(row).len() == 1;
                let confidence = self.confidence(candidates, unit, &own, most);
                for (at, &child) in unit.children.iter().enumerate() {
                    // Where attempts were joined by what fits best, the later ones are no surer than that.
                    let confidence = if at > 0 { unit.confidence.min(confidence) } else { confidence };
                    let runner_up = own.runner_up.filter(|_| !is_sole);
                    self.insert(child, Found { parent: own.parent, confidence, by_id: false, runner_up });
                }
            }
            return;
        }
    }

    /// The order of starts and of ends of the units and of what was found before them.
    fn lines(&self, units: &[Unit], own: &[Option<u32>]) -> Lines {
        let known =
            self.found.iter().enumerate().filter_map(|(child, found)| Some((child as u32, (*found)?.parent)));
        let known: Vec<(u32, u32)> = known.collect();
        let line = |time: fn(&Node) -> i64, end: fn(&Unit) -> u32, place: &dyn Fn(u32) -> u32| {
            let of_units = units
                .iter()
                .zip(own)
                .map(|(unit, own)| (time(&self.children[end(unit) as usize]), own.map(place)));
            let of_known = known
                .iter()
                .map(|&(child, parent)| (time(&self.children[child as usize]), Some(place(parent))));
            let pairs: Vec<(i64, Option<u32>)> = of_units.chain(of_known).collect();
            let near = around(&pairs);
            let order =
                Order::learn(near.iter().zip(&pairs).filter_map(|(near, pair)| Some((*near, pair.1?))));
            (near, order)
        };
        let (starts, start) = line(|node| node.start, |unit| unit.ends().0, &|parent| parent);
        let (ends, end) =
            line(|node| node.settled, |unit| unit.ends().1, &|parent| self.end_place[parent as usize]);
        Lines { starts, ends, start, end }
    }

    fn line_cost(&self, lines: &Lines, row: usize, parent: u32) -> i64 {
        lines.start.cost(&lines.starts[row], parent)
            + lines.end.cost(&lines.ends[row], self.end_place[parent as usize])
    }

    fn choices_of(&self, candidates: &Candidates, unit: &Unit) -> Vec<Choice> {
        let (first, last) = unit.ends();
        let mut parents: Vec<u32> = Vec::new();
        for &row in &unit.rows {
            parents.extend(candidates.fitting.of(row as usize).iter().map(|choice| choice.parent));
        }
        parents.sort_unstable();
        parents.dedup();
        let ends = [first, last].map(|child| &self.children[child as usize]);
        let may = |parent: &u32| {
            let node = &self.parents[*parent as usize];
            !self.attempts.contains_key(parent) && ends.iter().all(|child| holds(node, child))
        };
        let with_cost = |parent| Choice { cost: self.cost(parent, unit.ends()), parent };
        let mut choices: Vec<Choice> = parents.into_iter().filter(may).map(with_cost).collect();
        choices.sort_unstable();
        choices.truncate(MOST_CHOICES);
        choices
    }

    /// What it costs to hang a unit of these ends below a parent.
    fn cost(&self, parent: u32, (first, last): (u32, u32)) -> i64 {
        let node = &self.parents[parent as usize];
        let (first, last) = (&self.children[first as usize], &self.children[last as usize]);
        let mut cost = self.before.cost(late(node, first));
        cost += if node.answered {
            self.after.cost(node.settled.saturating_sub(last.settled))
        } else {
            // Its client left: when, says nothing about the child.
            Gaps::default().cost(1_000_000)
        };
        let both = node.answered && last.answered;
        let lost = node.answered && node.status < 500 && !last.answered;
        let disagrees = [
            both && node.status != last.status,
            lost,
            both && self.habits.same_length && node.response_bytes != last.response_bytes,
            self.habits.names_client && first.client != 0 && first.client != node.client,
            self.habits.is_other_host(node, first),
        ];
        cost + DISAGREES * disagrees.iter().filter(|is| **is).count() as i64
    }

    /// What it costs that a child starts so long after its parent.
    pub(super) fn before_cost(&self, parent: u32, child: &Node) -> i64 {
        self.before.cost(late(&self.parents[parent as usize], child))
    }

    fn learn_waits(&mut self, units: &[Unit]) {
        let pairs = units.iter().flat_map(|unit| unit.children.windows(2));
        let node = |child: u32| &self.children[child as usize];
        let waits: Vec<i64> =
            pairs.take(MOST_LEARNT).map(|pair| wait(node(pair[0]), node(pair[1]))).collect();
        self.waits = Gaps::learn(&waits).unwrap_or_default();
    }

    fn gaps_of(&self, parent: u32, (first, last): (u32, u32)) -> Option<(i64, i64)> {
        let node = &self.parents[parent as usize];
        let (first, last) = (&self.children[first as usize], &self.children[last as usize]);
        (last.answered && node.answered && last.status == node.status)
            .then(|| (late(node, first), node.settled.saturating_sub(last.settled)))
    }

    /// The gaps of requests with one child that an id told.
    fn known_pairs(&self) -> Vec<(i64, i64)> {
        let known =
            self.found.iter().enumerate().filter_map(|(child, found)| Some((child as u32, (*found)?.parent)));
        let single =
            known.filter(|(_, parent)| self.attempts.get(parent).is_some_and(|list| list.len() == 1));
        single.take(MOST_LEARNT).filter_map(|(child, parent)| self.gaps_of(parent, (child, child))).collect()
    }

    fn learn(&mut self, gaps: Vec<(i64, i64)>) {
        let (before, after): (Vec<i64>, Vec<i64>) = gaps.into_iter().unzip();
        if let (Some(before), Some(after)) = (Gaps::learn(&before), Gaps::learn(&after)) {
            (self.before, self.after) = (before, after);
        }
    }

    fn confidence(
        &self,
        candidates: &Candidates,
        unit: &Unit,
        own: &Assigned,
        most: Confidence,
    ) -> Confidence {
        let near_hole = |child: &u32| self.children[*child as usize].near_hole;
        let repeated = |row: &u32| candidates.repeated[*row as usize];
        // The real parent may be one that the capture missed, and this one only like it.
        let doubt = self.parents[own.parent as usize].near_hole
            || unit.children.iter().any(near_hole)
            || (self.is_lossy && unit.rows.iter().any(repeated));
        match own.margin {
            None if !doubt => Confidence::Certain.min(most),
            None => Confidence::Likely.min(most),
            Some(margin) if margin >= LIKELY => Confidence::Likely.min(most),
            Some(_) => Confidence::Ambiguous,
        }
    }

    /// Puts what is left (earlier attempts, answers that the parent did not pass on) where it fits best.
    fn assign_attempts(&mut self, candidates: &Candidates, passed_on: &[u32], most: Confidence) {
        for (row, &child) in candidates.rows.iter().enumerate() {
            // The lane does not retry these, but packets are missing: its request may be one that nobody saw.
            let is_unseen = self.is_lossy && passed_on.contains(&self.children[child as usize].method);
            if self.found[child as usize].is_some() || is_unseen {
                continue;
            }
            let costs = candidates
                .fitting
                .of(row)
                .iter()
                .filter_map(|choice| Some((self.attempt_cost(choice.parent, child)?, choice.parent)));
            let mut costs: Vec<(i64, u32)> = costs.collect();
            costs.sort_unstable();
            let Some(&(cost, parent)) = costs.first() else { continue };
            let second = costs.get(1);
            let confidence = match second {
                None if candidates.fits[row] == 1 && !self.is_lossy => Confidence::Certain.min(most),
                None => Confidence::Likely.min(most),
                Some(second) if second.0.saturating_sub(cost) >= LIKELY => Confidence::Likely.min(most),
                Some(_) => Confidence::Ambiguous,
            };
            let runner_up = second.map(|second| second.1);
            self.insert(child, Found { parent, confidence, by_id: false, runner_up });
        }
    }

    /// What it costs to put a child among the attempts of a parent; `None` when it cannot be one of them.
    fn attempt_cost(&self, parent: u32, child: u32) -> Option<i64> {
        let (node, own) = (&self.parents[parent as usize], &self.children[child as usize]);
        let others = self.attempts.get(&parent).map_or(&[][..], |list| list.as_slice());
        let is_hedge = |other: &u32| {
            let other = &self.children[*other as usize];
            other.key == own.key && (own.hedges(other) || other.hedges(own))
        };
        if others.len() < MOST_ATTEMPTS && others.iter().any(is_hedge) {
            return Some(self.before.cost(late(node, own)));
        }
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
        // What went well was passed on: nothing comes after it.
        let done = |last: &Node| last.answered && last.status < 500 && last.status == node.status;
        let same = |other: &Node| other.head == own.head;
        if before.is_some_and(|b| done(b) || !same(b)) || after.is_some_and(|a| done(own) || !same(a)) {
            return None;
        }
        let first =
            before.map_or_else(|| self.before.cost(late(node, own)), |b| self.waits.cost(wait(b, own)));
        let rest = after.map_or(node.settled, |a| a.start).saturating_sub(own.settled);
        Some(first + if node.answered || after.is_some() { self.after.cost(rest) } else { 0 })
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

    fn parentages(self) -> Vec<(Parentage, u32)> {
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
                let parentage = Parentage {
                    parent: node.id,
                    confidence: found.confidence,
                    evidence: evidence(node, own, found.by_id, repeated, hedges),
                    runner_up: found.runner_up.map(|other| self.parents[other as usize].id),
                    attempt: count + 1,
                };
                all.push((parentage, own.id.0));
            }
        }
        all
    }
}

/// The only item, where there is one.
fn sole<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

/// How long after its parent a child began, in nanoseconds. A connection that was opened before had another reason.
fn late(parent: &Node, child: &Node) -> i64 {
    let begun = if child.begun >= parent.start { child.begun } else { child.start };
    begun.saturating_sub(parent.start)
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
