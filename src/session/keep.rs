//! Which connections and exchanges a snapshot keeps: what findings and notes cite, with its surroundings.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::Analysis;
use crate::session::{Session, Target};
use crate::tcp::Event;
use crate::topology::{ConnectionId, ExchangeId};

/// Cited exchanges and their request trees; the most important come first, the others are left out.
pub(super) const MAX_CITED: usize = 10_000;
/// Connections that are cited without an exchange.
const MAX_CITED_CONNECTIONS: usize = 2_000;
/// A connection with no more exchanges than this is kept whole.
const WHOLE: u32 = 32;
/// Of a longer one, this many exchanges before and after each cited one.
const AROUND: u32 = 8;
/// Events of one connection; of a longer list its two ends are kept.
const MAX_EVENTS: usize = 400;

/// What is kept, in the order of the analysis, with the place of each in the snapshot.
pub(super) struct Kept {
    /// Connections by their place in the snapshot.
    pub connections: Vec<ConnectionId>,
    /// Exchanges by their place in the snapshot: grouped by connection.
    pub exchanges: Vec<ExchangeId>,
    place_of: BTreeMap<ExchangeId, u32>,
}

impl Kept {
    /// Chooses.
    pub fn of(analysis: &Analysis, session: &Session) -> Self {
        let mut cited = BTreeSet::new();
        for id in cited_exchanges(analysis, session) {
            if cited.len() >= MAX_CITED {
                break;
            }
            add_tree(analysis, id, &mut cited);
        }
        let mut chosen: BTreeMap<ConnectionId, BTreeSet<u32>> = BTreeMap::new();
        for &id in &cited {
            chosen.entry(analysis.exchange(id).connection_id()).or_default().insert(id.0);
        }
        for id in cited_connections(analysis, session).take(MAX_CITED_CONNECTIONS) {
            chosen.entry(id).or_default();
        }
        let mut exchanges = Vec::new();
        for (&id, of_connection) in &chosen {
            let range = analysis.connection(id).inner.exchanges.clone();
            exchanges.extend(surroundings(range, of_connection).into_iter().map(ExchangeId));
        }
        let place_of = exchanges.iter().zip(0..).map(|(&id, place)| (id, place)).collect();
        Self { connections: chosen.into_keys().collect(), exchanges, place_of }
    }

    /// The place of a connection in the snapshot.
    pub fn connection(&self, id: ConnectionId) -> Option<u32> {
        self.connections.binary_search(&id).ok().map(|at| at as u32)
    }

    /// The place of an exchange in the snapshot.
    pub fn exchange(&self, id: ExchangeId) -> Option<u32> {
        self.place_of.get(&id).copied()
    }
}

/// All that is cited, most important first: notes, selection, evidence of every finding, then their cases.
fn cited_exchanges<'a>(
    analysis: &'a Analysis,
    session: &'a Session,
) -> impl Iterator<Item = ExchangeId> + 'a {
    let noted = session.annotations.iter().filter_map(|note| match note.target {
        Target::Exchange(id) => Some(id),
        Target::Connection(_) | Target::Moment(_) => None,
    });
    let findings = &analysis.diagnosis.findings;
    let proven = findings.iter().flat_map(|f| &f.evidence).filter_map(|proof| proof.exchange);
    let cases = findings.iter().flat_map(|f| f.exchanges.iter().copied());
    let known = analysis.topology.exchanges.len();
    noted
        .chain(session.selection.exchange)
        .chain(proven)
        .chain(cases)
        .filter(move |id| (id.0 as usize) < known)
}

fn cited_connections<'a>(
    analysis: &'a Analysis,
    session: &'a Session,
) -> impl Iterator<Item = ConnectionId> + 'a {
    let noted = session.annotations.iter().filter_map(|note| match note.target {
        Target::Connection(id) => Some(id),
        Target::Exchange(_) | Target::Moment(_) => None,
    });
    let findings = &analysis.diagnosis.findings;
    let proven = findings.iter().flat_map(|f| &f.evidence).filter_map(|proof| proof.connection);
    let cases = findings.iter().flat_map(|f| f.connections.iter().copied());
    let known = analysis.topology.connections.len();
    noted
        .chain(session.selection.connection)
        .chain(proven)
        .chain(cases)
        .filter(move |id| (id.0 as usize) < known)
}

fn add_tree(analysis: &Analysis, id: ExchangeId, into: &mut BTreeSet<ExchangeId>) {
    if into.contains(&id) {
        return;
    }
    // The exchange and those that caused it first: a tree larger than what is left loses siblings, not these.
    let mut at = id;
    for _ in 0..64 {
        into.insert(at);
        match analysis.trees.parent(at) {
            Some(parent) => at = parent.parent,
            None => break,
        }
    }
    for (member, _) in analysis.trees.tree(at) {
        if into.len() >= MAX_CITED {
            break;
        }
        into.insert(member);
    }
}

/// The exchanges of a connection that are kept: all of a short one, else those near the cited ones (near its
/// start, when none is cited).
fn surroundings(range: std::ops::Range<u32>, cited: &BTreeSet<u32>) -> BTreeSet<u32> {
    if range.len() as u32 <= WHOLE {
        return range.collect();
    }
    let mut kept = BTreeSet::new();
    if cited.is_empty() {
        kept.extend(range.start..range.start + WHOLE);
    }
    for &id in cited {
        let start = id.saturating_sub(AROUND).max(range.start);
        let end = id.saturating_add(AROUND + 1).min(range.end);
        kept.extend(start..end);
    }
    kept
}

/// The events of a connection that are kept.
pub(super) fn events(all: &[Event]) -> impl Iterator<Item = &Event> {
    let cut = if all.len() > MAX_EVENTS { MAX_EVENTS / 2 } else { all.len() };
    let tail = if all.len() > MAX_EVENTS { all.len() - MAX_EVENTS / 2 } else { all.len() };
    all[..cut].iter().chain(&all[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_connection_keeps_what_is_near_the_cited_exchanges() {
        let cited = BTreeSet::from([1_003, 1_500]);
        let kept = surroundings(1_000..2_000, &cited);
        assert!(kept.contains(&1_000) && kept.contains(&1_011) && !kept.contains(&1_012));
        assert_eq!(kept.len(), 12 + 17);
        assert_eq!(surroundings(5..20, &BTreeSet::new()).len(), 15);
        assert_eq!(surroundings(5..2_000, &BTreeSet::new()).len(), 32);
    }
}
