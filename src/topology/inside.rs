//! Whether requests were made because of others that they have nothing in common with but the time: an authorisation
//! of the proxy's own always runs inside the request that it is for.

/// Fewer requests prove nothing.
const LEAST: usize = 7;
/// So many of a hundred must lie inside: some of the others may not have been captured.
const INSIDE_PERCENT: usize = 95;
/// What chance would need luck for: one in e to the power of this.
const LUCK: f64 = 14.0;
/// Moves in tenths of a usual request: what lies inside by chance does so as well when it is moved.
const MOVES: [i64; 8] = [-29, -23, -17, -11, 11, 17, 23, 29];

/// Whether `starts` lie inside `spans` (start and end, nanoseconds) as they would not by chance.
pub(crate) fn lie_inside(starts: &[i64], mut spans: Vec<(i64, i64)>) -> bool {
    if starts.len() < LEAST || spans.len() < LEAST {
        return false;
    }
    let mut lengths: Vec<i64> = spans.iter().map(|(start, end)| end.saturating_sub(*start)).collect();
    lengths.sort_unstable();
    let usual = lengths[lengths.len() / 2].max(1);
    spans.sort_unstable();
    let mut open: Vec<(i64, i64)> = Vec::new();
    for (start, end) in spans {
        match open.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => open.push((start, end)),
        }
    }
    let inside = |moved: i64| {
        let holds = |start: &&i64| {
            let at = start.saturating_add(moved);
            let next = open.partition_point(|span| span.0 <= at);
            next.checked_sub(1).is_some_and(|last| at <= open[last].1)
        };
        starts.iter().filter(holds).count()
    };
    let hits = inside(0);
    if hits * 100 < starts.len() * INSIDE_PERCENT {
        return false;
    }
    let mut chances = MOVES.map(|tenths| inside(usual.saturating_mul(tenths) / 10));
    chances.sort_unstable();
    let chance = (chances[MOVES.len() / 2] + 1) as f64 / (starts.len() + 1) as f64;
    hits as f64 * -chance.ln() >= LUCK
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests of 8 every `every`, from `first` on.
    fn spans(first: i64, every: i64) -> Vec<(i64, i64)> {
        (0..40).map(|n| (first + n * every, first + n * every + 8_000)).collect()
    }

    #[test]
    fn what_is_always_inside_is_there_for_a_reason() {
        let starts: Vec<i64> = (0..40).map(|n| 500 + n * 31_000).collect();
        assert!(lie_inside(&starts, spans(0, 31_000)));
        assert!(!lie_inside(&starts[..5], spans(0, 31_000)));
    }

    #[test]
    fn what_is_there_by_chance_or_whenever_is_not() {
        // Much is in flight at any time: nothing can be outside.
        let busy =
            [spans(0, 31_000), spans(7_000, 31_000), spans(14_000, 31_000), spans(21_000, 31_000)].concat();
        let starts: Vec<i64> = (0..40).map(|n| 500 + n * 31_000).collect();
        assert!(!lie_inside(&starts, busy));
        let others: Vec<i64> = (0..40).map(|n| 500 + n * 29_000).collect();
        assert!(!lie_inside(&others, spans(0, 31_000)));
    }
}
