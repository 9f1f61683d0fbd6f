//! Attempts of one request: what follows a failure, byte for byte the same.
//!
//! Each request of a lane was started either by a request that came in or by an attempt that failed. Which of
//! them it was is one assignment of causes to starts, so that a request that merely starts at the time of
//! another's failure keeps its own cause. A failure that the lane answers has a cause too, nearly always an attempt
//! that failed: an attempt that is needed there was not made up for by another one.

use std::collections::BTreeMap;

use super::Confidence;
use super::assign::{Assigned, Choice, Choices, cheapest};
use super::candidates::{Candidates, MOST_CHOICES};
use super::gaps::Gaps;
use super::matching::Matching;
use super::node::Node;
use super::order::{Order, around};

/// A retry comes this long after the failure at the latest, in nanoseconds; load balancers wait a second.
const LONGEST_WAIT_NS: i64 = 3_000_000_000;
/// A retry may be sent before the failed connection's end is seen: the proxy that gives up closes it itself.
const EARLIEST_NS: i64 = 2_000_000;
/// A hop that closes a failed connection after it opened the next one does so within this time, in nanoseconds.
const CLOSING_NS: i64 = 100_000;
/// Starts after a failure that may be its retry.
const MOST_FOLLOWERS: usize = 8;
/// Rounds in which the order is learnt from the last assignment.
const ROUNDS: usize = 3;
/// What it costs to be a retry: most requests are not.
const RETRY: i64 = 1_000;
/// What it costs where the lane passed on as many failures as it got: then it seems to retry nothing.
const UNLIKELY_RETRY: i64 = 7_000;
/// What it costs that a lane answers with a failure of its own accord, on top of the time that it took: a limit, a rule,
/// nobody left to ask.
const OF_ITS_OWN_ACCORD: i64 = 2_000;
/// The same where as many attempts failed as requests, or more: a busy hop's times say little beside that.
const WITHOUT_CAUSE: i64 = 20_000;
/// A lane that passes on this part of the failures it gets, in percent, retries next to none.
const SHARE: usize = 90;
/// The same where packets are missing.
const LOSSY_SHARE: usize = 80;
/// Odds from which on a retry is a likely one: e to the power of this, in thousandths.
const LIKELY: i64 = 3_500;

/// Attempts of one request, in time order; most have one.
#[derive(Debug)]
pub(super) struct Unit {
    /// Indices of the children.
    pub children: Vec<u32>,
    /// Their rows among the candidates.
    pub rows: Vec<u32>,
    /// How sure it is that they belong together.
    pub confidence: Confidence,
}

impl Unit {
    /// The first and the last child.
    pub(super) fn ends(&self) -> (u32, u32) {
        let at = |child: Option<&u32>| child.copied().unwrap_or_default();
        (at(self.children.first()), at(self.children.last()))
    }
}

/// How long after a failure what may be its retry began, in nanoseconds. The hop opens the connection of the retry when
/// it closes that of the failure, or writes to one that it has when it sees the failure.
pub(super) fn wait(failed: &Node, retry: &Node) -> i64 {
    let from =
        if failed.left <= retry.begun.saturating_add(CLOSING_NS) { failed.left } else { failed.settled };
    retry.begun.max(failed.settled.min(retry.start)).saturating_sub(from).saturating_abs()
}

/// Whether a proxy may have tried again after this.
fn may_be_retried(child: &Node) -> bool {
    !child.has_answer() || child.status >= 500 || matches!(child.status, 403 | 404 | 429)
}

/// Joins the candidates to units.
pub(super) fn units(matching: &Matching<'_>, candidates: &Candidates, failures: &Failures) -> Vec<Unit> {
    let mut units = Vec::with_capacity(candidates.rows.len());
    let mut from = 0;
    for same in candidates.keys.chunk_by(|a, b| a == b) {
        let rows = from..from + same.len();
        from = rows.end;
        let rows_of = &candidates.rows[rows.clone()];
        let is_passed_on =
            rows_of.iter().any(|&row| failures.are_passed_on(matching.children[row as usize].method));
        let group = Group { matching, candidates, first: rows.start, rows: rows_of, failures };
        // With packets missing the request that a start belongs to may be one that nobody saw.
        let follows = if is_passed_on && matching.is_lossy { Vec::new() } else { group.follows() };
        if follows.is_empty() {
            units.extend(rows.map(|row| Unit {
                children: vec![candidates.rows[row]],
                rows: vec![row as u32],
                confidence: Confidence::Certain,
            }));
        } else {
            group.join(&follows, &mut units);
        }
    }
    units
}

/// Failures that one may stand for another of: those of servers and proxies, else those with one status.
fn kind_of_failure(node: &Node) -> u16 {
    if !node.has_answer() || node.status >= 500 { 500 } else { node.status }
}

/// How many requests of a lane failed, and how many of its attempts, by method and kind of failure.
pub(super) struct Failures {
    counts: BTreeMap<(u32, u16), (usize, usize)>,
    is_lossy: bool,
}

impl Failures {
    pub(super) fn of(matching: &Matching<'_>, candidates: &Candidates) -> Self {
        let failed = |node: &Node| may_be_retried(node) && (node.has_answer() || !node.near_hole);
        let key = |node: &Node| (node.method, kind_of_failure(node));
        let mut counts: BTreeMap<(u32, u16), (usize, usize)> = BTreeMap::new();
        for &child in &candidates.rows {
            let node = &matching.children[child as usize];
            if failed(node) {
                counts.entry(key(node)).or_default().1 += 1;
            }
        }
        let mut asked: Vec<u32> = (0..candidates.rows.len())
            .flat_map(|row| candidates.fitting.of(row).iter().map(|choice| choice.parent))
            .collect();
        asked.sort_unstable();
        asked.dedup();
        for parent in asked {
            let node = &matching.parents[parent as usize];
            if failed(node) {
                counts.entry(key(node)).or_default().0 += 1;
            }
        }
        Self { counts, is_lossy: matching.is_lossy }
    }

    /// Whether requests failed so about as often as attempts: the lane retried next to none of them.
    fn is_passed_on(&self, method: u32, kind: u16) -> bool {
        let share = if self.is_lossy { LOSSY_SHARE } else { SHARE };
        let known = self.counts.get(&(method, kind));
        known.is_some_and(|&(above, below)| above > 0 && above * 100 >= below * share)
    }

    /// The same of the failures of servers and proxies.
    pub(super) fn are_passed_on(&self, method: u32) -> bool {
        self.is_passed_on(method, 500)
    }

    /// What it costs to be a retry after this one.
    fn retry_cost(&self, failed: &Node) -> i64 {
        let is_unlikely = self.is_passed_on(failed.method, kind_of_failure(failed));
        if is_unlikely { UNLIKELY_RETRY } else { RETRY }
    }

    /// Whether there are attempts that failed so for all requests that did: then each has its own, nearly always.
    fn have_causes(&self, node: &Node) -> bool {
        let known = self.counts.get(&(node.method, kind_of_failure(node)));
        !self.is_lossy && known.is_some_and(|&(above, below)| above <= below)
    }
}

/// The candidates of one key.
struct Group<'a> {
    matching: &'a Matching<'a>,
    candidates: &'a Candidates,
    /// The first row.
    first: usize,
    /// The children, in time order.
    rows: &'a [u32],
    failures: &'a Failures,
}

impl Group<'_> {
    fn child(&self, at: usize) -> &Node {
        &self.matching.children[self.rows[at] as usize]
    }

    /// Pairs of a failed child and one that may be its retry, as places in the group, by the latter.
    fn follows(&self) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for failed in (0..self.rows.len()).filter(|&at| may_be_retried(self.child(at))) {
            let node = self.child(failed);
            let earliest = node.settled.saturating_sub(EARLIEST_NS).max(node.start.saturating_add(1));
            let from =
                self.rows.partition_point(|&row| self.matching.children[row as usize].start < earliest);
            let same = (from..self.rows.len())
                .take_while(|&at| self.child(at).start <= node.settled.saturating_add(LONGEST_WAIT_NS))
                .filter(|&at| at != failed && self.child(at).head == node.head)
                .take(MOST_FOLLOWERS);
            pairs.extend(same.map(|at| (at, failed)));
        }
        pairs.sort_unstable();
        pairs
    }

    /// The cheapest causes; then again, with what being out of line costs. An event loop takes requests that come in and
    /// news of failures in the order in which they came, however long it takes to get to them.
    ///
    /// The rows of `choices` are the starts, then the failures that the lane answered.
    fn settle(&self, mut choices: Choices, parents: &[u32]) -> Vec<Option<Assigned>> {
        let starts = self.rows.len();
        let of_parents = parents.iter().map(|&parent| self.matching.parents[parent as usize].start);
        let of_failures = (0..self.rows.len()).map(|at| self.child(at).news);
        let reasons: Vec<i64> = of_parents.chain(of_failures).collect();
        let mut order: Vec<usize> = (0..reasons.len()).collect();
        order.sort_by_key(|&at| reasons[at]);
        let mut places = vec![0; reasons.len()];
        for (place, at) in (0..).zip(order) {
            places[at] = place;
        }
        let plain: Vec<Vec<i64>> =
            (0..starts).map(|row| choices.of(row).iter().map(|choice| choice.cost).collect()).collect();
        // Each failure that was answered may have no cause but itself.
        let columns = reasons.len() + parents.len();
        let mut causes = cheapest(&choices, columns);
        for _ in 0..ROUNDS {
            let place = |row: usize| causes[row].map(|cause| places[cause.parent as usize]);
            let pairs: Vec<(i64, Option<u32>)> =
                (0..starts).map(|row| (self.child(row).begun, place(row))).collect();
            let near = around(&pairs);
            let line =
                Order::learn(near.iter().zip(&pairs).filter_map(|(near, pair)| Some((*near, pair.1?))));
            for row in 0..starts {
                for (choice, plain) in choices.of_mut(row).iter_mut().zip(&plain[row]) {
                    choice.cost = plain + line.cost(&near[row], places[choice.parent as usize]);
                }
            }
            causes = cheapest(&choices, columns);
        }
        causes.truncate(starts);
        causes
    }

    /// What may have made the lane answer its requests with failures, by request (a place in `parents`): an attempt that
    /// failed (its place in the group), or, behind those, nothing that was seen.
    fn reasons_of_failures(&self, parents: &[u32]) -> Vec<Vec<(i64, Option<usize>)>> {
        let answered = |parent: u32| {
            let node = &self.matching.parents[parent as usize];
            (node.answered && may_be_retried(node)).then_some(node)
        };
        let mut all = vec![Vec::new(); parents.len()];
        for at in (0..self.rows.len()).filter(|&at| may_be_retried(self.child(at))) {
            let fitting = self.candidates.fitting.of(self.first + at).iter();
            let kind = kind_of_failure(self.child(at));
            let is_told = |parent: &u32| answered(*parent).is_some_and(|node| kind_of_failure(node) == kind);
            for parent in fitting.map(|choice| choice.parent).filter(is_told) {
                let cost = self.matching.after_cost(parent, self.child(at));
                all[parents.partition_point(|&other| other < parent)].push((cost, Some(at)));
            }
        }
        for (reasons, &parent) in all.iter_mut().zip(parents) {
            let Some(node) = answered(parent) else { continue };
            reasons.sort_unstable();
            reasons.truncate(MOST_CHOICES);
            let alone = Gaps::default().cost(node.settled.saturating_sub(node.start));
            let unlikely = if self.failures.have_causes(node) { WITHOUT_CAUSE } else { OF_ITS_OWN_ACCORD };
            reasons.push((unlikely + alone, None));
        }
        all
    }

    /// Finds what caused each start, a request above or a failure beside, and joins along the failures.
    fn join(&self, follows: &[(usize, usize)], units: &mut Vec<Unit>) {
        let fitting = |at: usize| self.candidates.fitting.of(self.first + at);
        let mut parents: Vec<u32> =
            (0..self.rows.len()).flat_map(|at| fitting(at).iter().map(|c| c.parent)).collect();
        parents.sort_unstable();
        parents.dedup();
        let column = |parent: u32| parents.partition_point(|&other| other < parent) as u32;
        let mut choices = Choices::default();
        let mut next = follows;
        for at in 0..self.rows.len() {
            let mut own: Vec<Choice> = fitting(at)
                .iter()
                .map(|choice| {
                    let cost = self.matching.before_cost(choice.parent, self.child(at));
                    Choice { cost, parent: column(choice.parent) }
                })
                .collect();
            while let Some((&(_, failed), rest)) = next.split_first().filter(|(pair, _)| pair.0 == at) {
                let cost = self.failures.retry_cost(self.child(failed))
                    + self.matching.waits.cost(wait(self.child(failed), self.child(at)));
                own.push(Choice { cost, parent: (parents.len() + failed) as u32 });
                next = rest;
            }
            choices.push(&own);
        }
        // A failure of the lane's own is a row as well, so that no attempt is both its cause and that of a retry.
        for (nth, reasons) in self.reasons_of_failures(&parents).into_iter().enumerate() {
            if reasons.is_empty() {
                continue;
            }
            let column = |reason: Option<usize>| parents.len() + reason.unwrap_or(self.rows.len() + nth);
            let own = reasons.into_iter().map(|(cost, at)| Choice { cost, parent: column(at) as u32 });
            choices.push(&own.collect::<Vec<_>>());
        }
        let causes = self.settle(choices, &parents);
        let mut retry_of = vec![None; self.rows.len()];
        for (at, cause) in causes.iter().enumerate() {
            let failed = cause.and_then(|cause| (cause.parent as usize).checked_sub(parents.len()));
            if let (Some(failed), Some(cause)) = (failed, cause) {
                let is_likely = cause.margin.is_none_or(|margin| margin >= LIKELY);
                let confidence = if is_likely { Confidence::Certain } else { Confidence::Ambiguous };
                retry_of[failed] = Some((at, confidence));
            }
        }
        let is_retry = |at: usize| causes[at].is_some_and(|cause| cause.parent as usize >= parents.len());
        for first in (0..self.rows.len()).filter(|&at| !is_retry(at)) {
            let mut unit = Unit { children: Vec::new(), rows: Vec::new(), confidence: Confidence::Certain };
            let mut at = Some((first, Confidence::Certain));
            while let Some((place, confidence)) = at {
                unit.children.push(self.rows[place]);
                unit.rows.push((self.first + place) as u32);
                unit.confidence = unit.confidence.min(confidence);
                at = retry_of[place];
            }
            units.push(unit);
        }
    }
}
