//! Requests that a hop passes on under another name: by their bodies, else by the time alone.

use std::collections::BTreeSet;

use super::super::Confidence;
use super::super::candidates::{Candidates, candidates};
use super::super::habits::Habits;
use super::super::node::Node;
use super::{Ends, FixedMap, Found, MOST_ATTEMPTS, Matching};
use crate::capture::CaptureId;
use crate::topology::inside::lie_inside;

/// Fewer requests do not show that a lane passes them on.
const FEWEST_PASSED_ON: usize = 20;
/// For so many of a hundred children starts and ends must name the same parent, where only the time tells.
const AGREE_PERCENT: usize = 80;
/// So many of a hundred of them must lie inside one of those it is asked.
const PASSED_ON_PERCENT: usize = 95;

impl Matching<'_> {
    /// Children whose body only one parent has. Of several, a copy that outlasts what it was made of would get another.
    pub(super) fn by_body(&mut self) {
        let candidates = self.open(|node| node.body);
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
    pub(super) fn by_time_alone(&mut self) {
        let open = |child: &u32| self.found[*child as usize].is_none();
        let left: Vec<u32> = (0..self.children.len() as u32).filter(open).collect();
        if left.len() * 4 <= self.children.len() || self.by_time_among(&left, self.children.len()) {
            return;
        }
        // Of what other captures saw before or after the lane's own ran, this one lacks the requests.
        let own: BTreeSet<CaptureId> = self.parents.iter().map(|parent| parent.capture).collect();
        let is_own = |child: &u32| own.contains(&self.children[*child as usize].capture);
        let near: Vec<u32> = left.iter().copied().filter(is_own).collect();
        let of = (0..self.children.len() as u32).filter(is_own).count();
        if near.len() < left.len() && self.by_time_among(&near, of) {
            return;
        }
        let candidates = self.open(|_| 1);
        if is_passed_on(&candidates, left.len(), self.childless().count()) {
            self.by_time_of(&candidates, Confidence::Ambiguous);
        }
    }

    /// The same for these of so many children; whether it could be done.
    fn by_time_among(&mut self, left: &[u32], of: usize) -> bool {
        let span = |node: &Node| (node.start, node.settled);
        let inner: Vec<(i64, i64)> = left.iter().map(|&child| span(&self.children[child as usize])).collect();
        let outer: Vec<(i64, i64)> =
            self.childless().filter(|parent| parent.has_answer()).map(span).collect();
        if left.len() * 10 < of * 9 || lie_inside(&inner, &outer).is_none() {
            return false;
        }
        let wants = |child: u32| left.binary_search(&child).is_ok();
        let candidates = candidates(self.parents, self.children, self.replicas, |_| 1, wants);
        if !self.by_loops(&candidates) {
            let seen = [Ends::Start, Ends::End].map(|ends| self.by_one_end(&candidates, ends));
            self.by_time_of(&candidates, Confidence::Likely);
            self.doubt(&candidates, &seen);
        }
        true
    }

    /// The parents by child if only these ends counted.
    fn by_one_end(&self, candidates: &Candidates, looks_at: Ends) -> Vec<Option<u32>> {
        let new = Matching::new(self.parents, self.children, Habits::default(), self.replicas);
        let mut other = Matching { looks_at, ..new };
        other.by_time_of(candidates, Confidence::Likely);
        other.found.iter().map(|found| Some((*found)?.parent)).collect()
    }

    /// Where a hop starts what waits in an order of its own, that seems to be as regular as any. But then starts and ends
    /// name other parents, while of a hop that keeps to the order in which it was asked they name the same.
    fn doubt(&mut self, candidates: &Candidates, seen: &[Vec<Option<u32>>; 2]) {
        let rows = candidates.rows.iter().zip(&candidates.fits);
        let contested: Vec<u32> = rows.filter(|(_, fits)| **fits > 1).map(|(child, _)| *child).collect();
        let agree = |child: &&u32| seen[0][**child as usize] == seen[1][**child as usize];
        let agreeing = contested.iter().filter(agree).count();
        let is_regular = agreeing * 100 >= contested.len() * AGREE_PERCENT;
        for child in contested {
            let Some(found) = &mut self.found[child as usize] else { continue };
            let own = seen.iter().all(|seen| seen[child as usize] == Some(found.parent));
            if !is_regular || !own {
                found.confidence = Confidence::Ambiguous;
            }
        }
    }

    /// Where a hop asks several times for one request, one after the other, none of them is an attempt that takes
    /// another's place. Returns whether that is so.
    fn by_loops(&mut self, candidates: &Candidates) -> bool {
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
}

/// Whether the children without a parent are about as many as the parents without a child, and hardly one lies outside of
/// all: what a lane is asked, and passes on under another name.
fn is_passed_on(candidates: &Candidates, left: usize, parents: usize) -> bool {
    left >= FEWEST_PASSED_ON
        && left <= 2 * parents
        && parents <= 2 * left
        && candidates.rows.len() * 100 >= left * PASSED_ON_PERCENT
}
