//! The times at which was recorded: captures of other days leave so much free time between that all of it in one view
//! is a row of hairlines.
//!
//! ```text
//!   monday    ▄█▄▄█              one view
//!   tuesday                                             █▄█▄    another
//! ```

use super::row::Row;
use super::scale::Limits;
use crate::analysis::Analysis;
use crate::capture::SessionTime;
use crate::session::TimeView;

/// Captures with less than this between them are of one time: a capturing program that begins a new file leaves none.
const LEAST_GAP_NS: i64 = 10_000_000_000;

/// First and last packet of captures that were taken together or one right after the other, in time order.
fn spells(analysis: &Analysis) -> Vec<(i64, i64)> {
    let mut all: Vec<(i64, i64)> = analysis.capture_spans().map(|(first, last)| (first.0, last.0)).collect();
    all.sort_unstable();
    let mut spells: Vec<(i64, i64)> = Vec::new();
    for (first, last) in all {
        match spells.last_mut() {
            Some(before) if first.saturating_sub(before.1) < LEAST_GAP_NS => before.1 = before.1.max(last),
            _ => spells.push((first, last)),
        }
    }
    spells
}

/// A view of the exchanges of each time, where there are several; without an exchange, of the captures.
pub(super) fn views<'a>(
    analysis: &Analysis,
    rows: impl Iterator<Item = &'a Row>,
    limits: Limits,
) -> Vec<TimeView> {
    let spells = spells(analysis);
    if spells.len() < 2 {
        return Vec::new();
    }
    let mut held: Vec<Option<(i64, i64)>> = vec![None; spells.len()];
    for span in rows.flat_map(|row| &row.spans) {
        let at = spells.partition_point(|spell| spell.1 < span.start).min(spells.len() - 1);
        let known = held[at].get_or_insert((span.start, span.end));
        *known = (known.0.min(span.start), known.1.max(span.end));
    }
    let view = |(spell, held): ((i64, i64), Option<(i64, i64)>)| {
        let (start, end) = held.unwrap_or(spell);
        limits.clamp(Limits::new(SessionTime(start), SessionTime(end)).fit())
    };
    spells.into_iter().zip(held).map(view).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::timeline::{Model, sample};

    const DAY: i64 = 86_400_000_000_000;

    #[test]
    fn captures_of_other_days_have_views_of_their_own() {
        let mut analysis = sample::analysis(30, 10);
        let model = Model::new(&analysis);
        assert_eq!(model.view_at(None), None, "one time: everything is in view");
        let first = analysis.captures[0].clone();
        for (days, shift) in [(1, 0), (1, LEAST_GAP_NS / 2), (0, 0)] {
            let mut facts = (*first).clone();
            let moved = |at: Option<crate::capture::CaptureTime>| {
                at.map(|at| crate::capture::CaptureTime(at.0 + days * DAY + shift))
            };
            (facts.info.first, facts.info.last) = (moved(facts.info.first), moved(facts.info.last));
            analysis.captures.push(Arc::new(facts));
            analysis.topology.clocks.push(analysis.topology.clocks[0]);
        }
        let model = Model::new(&analysis);
        let (monday, tuesday) = (model.view_at(None).unwrap(), {
            let late = analysis.captures[1].info.first.unwrap();
            model.view_at(Some(SessionTime(late.0))).unwrap()
        });
        assert!(analysis.exchanges().all(|x| x.started() >= monday.start && x.ended() <= monday.end));
        assert!(monday.end.since_ns(monday.start) < 1_000_000_000);
        assert!(tuesday.start > monday.end && tuesday.end.since_ns(tuesday.start) < LEAST_GAP_NS);
        assert_eq!(model.view_at(Some(monday.start)), Some(monday));
    }
}
