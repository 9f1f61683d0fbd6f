//! Attempts of one request: which children of an exchange ask for the same, one after the other.

use crate::analysis::{Analysis, ExchangeView};
use crate::topology::ExchangeId;

/// The children of an exchange as groups of attempts: in each group in time order, the groups by their first.
pub fn attempts(analysis: &Analysis, parent: ExchangeId) -> Vec<Vec<ExchangeId>> {
    let mut groups: Vec<Vec<ExchangeId>> = Vec::new();
    for child in analysis.trees.children(parent).iter().map(|&id| analysis.exchange(id)) {
        match before(analysis, &groups, &child) {
            Some(at) => groups[at].push(child.id),
            None => groups.push(vec![child.id]),
        }
    }
    groups
}

/// The group that a later attempt goes on with: on its own link, where there is one (another group may be that of
/// copies).
fn before(analysis: &Analysis, groups: &[Vec<ExchangeId>], child: &ExchangeView<'_>) -> Option<usize> {
    if child.attempt() == 1 {
        return None;
    }
    let fits = |group: &[ExchangeId]| {
        let last = analysis.exchange(*group.last()?);
        let alike = last.method() == child.method() && last.target() == child.target();
        (alike && last.attempt() < child.attempt())
            .then(|| (last.link_id() == child.link_id(), last.attempt()))
    };
    let fitting = groups.iter().enumerate().filter_map(|(at, group)| Some((fits(group)?, at)));
    fitting.max().map(|(_, at)| at)
}

impl ExchangeView<'_> {
    /// Attempt number among those that its parent's lane made of the same request; 1 when it has no parent.
    pub fn attempt(&self) -> u16 {
        self.analysis.trees.parent(self.id).map_or(1, |parentage| parentage.attempt)
    }

    /// How many attempts its parent's lane made of the same request; 1 when it has no parent.
    pub fn attempts(&self) -> usize {
        self.siblings().map_or(1, |(group, _)| group.len())
    }

    /// The attempt before this one.
    pub fn previous_attempt(&self) -> Option<ExchangeId> {
        let (group, at) = self.siblings()?;
        group.get(at.checked_sub(1)?).copied()
    }

    /// The attempt after this one.
    pub fn next_attempt(&self) -> Option<ExchangeId> {
        let (group, at) = self.siblings()?;
        group.get(at + 1).copied()
    }

    /// The attempts of its request, and its place among them; `None` where it is the only child or none.
    fn siblings(&self) -> Option<(Vec<ExchangeId>, usize)> {
        let parent = self.analysis.trees.parent(self.id)?.parent;
        if self.analysis.trees.children(parent).len() < 2 {
            return None;
        }
        attempts(self.analysis, parent).into_iter().find_map(|group| {
            let at = group.iter().position(|&id| id == self.id)?;
            Some((group, at))
        })
    }
}
