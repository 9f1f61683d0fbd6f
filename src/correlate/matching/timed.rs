//! By what fits best in time: one assignment of the units of attempts to the requests of the lane.
//!
//! The gaps that the hop takes, and whether it keeps an order, are learnt from the pairs found; the assignment is then
//! made anew with them.

use super::super::assign::{Assigned, Choice, Choices, cheapest};
use super::super::candidates::{Candidates, MOST_CHOICES, candidates, holds};
use super::super::chain::{Failures, Unit, units, wait};
use super::super::gaps::Gaps;
use super::super::node::Node;
use super::super::order::{Around, Order, around};
use super::{Confidence, Ends, Found, MOST_ATTEMPTS, Matching};

/// Rounds in which the gaps are learnt from the last assignment.
const ROUNDS: usize = 6;
/// Pairs from which on a round of learning counts are taken from no more than this many.
const MOST_LEARNT: usize = 50_000;
/// Odds from which on a parent is called likely: e to the power of this, in thousandths.
const LIKELY: i64 = 3_500;
/// Beyond this, in nanoseconds, clocks do not tell equal requests apart.
const LOOSE_NS: i64 = 500_000;
/// The same where packets are missing: behind one that was missed all seem to follow their neighbours'.
const LOOSE_AND_LOSSY_NS: i64 = 150_000;
/// What it costs when parent and child do not agree on what they usually agree on.
const DISAGREES: i64 = 8_000;

/// The order in which a lane passes on: what is around each unit, and what being out of line costs.
#[derive(Default)]
struct Lines {
    starts: Vec<Around>,
    ends: Vec<Around>,
    start: Order,
    end: Order,
}

impl Matching<'_> {
    /// Children without a parent yet, among parents with the same key that are in flight when they start.
    pub(super) fn by_time(&mut self, key: fn(&Node) -> u64, most: Confidence) {
        let candidates = self.open(key);
        self.by_time_of(&candidates, most);
    }

    /// The same where a capture misses bytes of a request's body that another one holds: what is left to compare is its
    /// length.
    pub(super) fn by_sizes(&mut self, most: Confidence) {
        let is_open_hole =
            |child: u32| self.found[child as usize].is_none() && self.children[child as usize].holed;
        if self.children.iter().any(|node| node.holed) {
            let cut = candidates(self.parents, self.children, self.replicas, |node| node.sized, is_open_hole);
            self.by_time_of(&cut, most);
        }
        if self.parents.iter().any(|node| node.holed) {
            self.by_time(|node| if node.is_parent && !node.holed { 0 } else { node.sized }, most);
        }
    }

    /// The children without a parent yet, with the parents that may be.
    pub(super) fn open(&self, key: fn(&Node) -> u64) -> Candidates {
        let is_open = |child: u32| self.found[child as usize].is_none();
        candidates(self.parents, self.children, self.replicas, key, is_open)
    }

    /// Gives these children their parents.
    pub(super) fn by_time_of(&mut self, candidates: &Candidates, most: Confidence) {
        if candidates.rows.is_empty() {
            return;
        }
        self.learn(self.known_pairs());
        let failures = Failures::of(self, candidates);
        let mut joined = units(self, candidates, &failures);
        if joined.len() < candidates.rows.len() {
            // What the first round taught of the gaps tells a retry from a request of its own better.
            self.assign(candidates, &joined, None);
            self.learn_waits(&joined);
            joined = units(self, candidates, &failures);
        }
        self.assign(candidates, &joined, Some(most));
        self.assign_attempts(candidates, &failures, most);
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
        let start = if self.counts(Ends::Start) { lines.start.cost(&lines.starts[row], parent) } else { 0 };
        let place = self.end_place[parent as usize];
        start + if self.counts(Ends::End) { lines.end.cost(&lines.ends[row], place) } else { 0 }
    }

    /// Whether these ends of children and parents are compared. Nobody waits for the ends of copies.
    fn counts(&self, ends: Ends) -> bool {
        (self.looks_at == Ends::Both || self.looks_at == ends)
            && (ends == Ends::Start || self.aside.is_none())
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
        let mut cost = if self.counts(Ends::Start) { self.before.cost(late(node, first)) } else { 0 };
        cost += if !self.counts(Ends::End) {
            0
        } else if node.has_answer() {
            self.after.cost(node.settled.saturating_sub(last.settled))
        } else {
            // Its client left: when, says nothing about the child.
            Gaps::default().cost(1_000_000)
        };
        let both = self.aside.is_none() && node.answered && last.answered;
        let lost = self.aside.is_none() && node.answered && node.status < 500 && !last.has_answer();
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
    pub(in super::super) fn before_cost(&self, parent: u32, child: &Node) -> i64 {
        self.before.cost(late(&self.parents[parent as usize], child))
    }

    /// What it costs that a parent was answered so long after a child.
    pub(in super::super) fn after_cost(&self, parent: u32, child: &Node) -> i64 {
        self.after.cost(self.parents[parent as usize].settled.saturating_sub(child.settled))
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
        if self.aside.is_some() {
            return Some((late(node, first), 0));
        }
        let is_told = last.answered && node.answered;
        (last.has_answer() && node.has_answer() && (last.status == node.status || !is_told))
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
        let parent = &self.parents[own.parent as usize];
        let slack = |child: &u32| parent.slack(&self.children[*child as usize]);
        let most_slack = if self.is_lossy { LOOSE_AND_LOSSY_NS } else { LOOSE_NS };
        let loose =
            unit.rows.iter().any(repeated) && unit.children.iter().any(|child| slack(child) > most_slack);
        match own.margin {
            None if !doubt => Confidence::Certain.min(most),
            None => Confidence::Likely.min(most),
            Some(margin) if margin >= LIKELY && !loose => Confidence::Likely.min(most),
            Some(_) => Confidence::Ambiguous,
        }
    }

    /// Puts what is left (earlier attempts, answers that the parent did not pass on) where it fits best.
    fn assign_attempts(&mut self, candidates: &Candidates, failures: &Failures, most: Confidence) {
        for (row, &child) in candidates.rows.iter().enumerate() {
            // The lane does not retry these, but packets are missing: its request may be one that nobody saw.
            let is_unseen = self.is_lossy && failures.are_passed_on(self.children[child as usize].method);
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
    pub(super) fn attempt_cost(&self, parent: u32, child: u32) -> Option<i64> {
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
        let done = |last: &Node| {
            last.has_answer() && last.status < 500 && (last.status == node.status || !node.answered)
        };
        let same = |other: &Node| other.head == own.head;
        if before.is_some_and(|b| done(b) || !same(b)) || after.is_some_and(|a| done(own) || !same(a)) {
            return None;
        }
        let first =
            before.map_or_else(|| self.before.cost(late(node, own)), |b| self.waits.cost(wait(b, own)));
        let rest = after.map_or(node.settled, |a| a.start).saturating_sub(own.settled);
        Some(first + if node.answered || after.is_some() { self.after.cost(rest) } else { 0 })
    }
}

/// How long after its parent a child began, in nanoseconds. A connection that was opened before had another reason.
fn late(parent: &Node, child: &Node) -> i64 {
    let begun = if child.begun >= parent.start { child.begun } else { child.start };
    begun.saturating_sub(parent.start)
}
