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

/// Whether each of `inner` lies inside one of `outer` (start and end, nanoseconds) as it would not by chance.
pub(crate) fn lie_inside(inner: &[(i64, i64)], outer: &[(i64, i64)]) -> bool {
    if inner.len() < LEAST || outer.len() < LEAST {
        return false;
    }
    let mut lengths: Vec<i64> = outer.iter().map(|(start, end)| end.saturating_sub(*start)).collect();
    lengths.sort_unstable();
    let usual = lengths[lengths.len() / 2].max(1);
    // By start, each with the latest end of those that began until then.
    let mut open = outer.to_vec();
    open.sort_unstable();
    let mut latest = i64::MIN;
    for (_, end) in &mut open {
        latest = latest.max(*end);
        *end = latest;
    }
    let inside = |moved: i64| {
        let holds = |(start, end): &&(i64, i64)| {
            let (start, end) = (start.saturating_add(moved), end.saturating_add(moved));
            let begun = open.partition_point(|span| span.0 <= start);
            begun.checked_sub(1).is_some_and(|last| end <= open[last].1)
        };
        inner.iter().filter(holds).count()
    };
    let hits = inside(0);
    if hits * 100 < inner.len() * INSIDE_PERCENT {
        return false;
    }
    let mut chances = MOVES.map(|tenths| inside(usual.saturating_mul(tenths) / 10));
    chances.sort_unstable();
    let chance = (chances[MOVES.len() / 2] + 1) as f64 / (inner.len() + 1) as f64;
    hits as f64 * -chance.ln() >= LUCK
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests of this length, one every so often, from `first` on.
    fn requests(first: i64, length: i64, every: i64) -> Vec<(i64, i64)> {
        (0..40).map(|n| first + n * every).map(|start| (start, start + length)).collect()
    }

    #[test]
    fn what_is_always_inside_is_there_for_a_reason() {
        let inner = requests(500, 2_000, 31_000);
        assert!(lie_inside(&inner, &requests(0, 8_000, 31_000)));
        assert!(!lie_inside(&inner[..5], &requests(0, 8_000, 31_000)));
    }

    #[test]
    fn what_is_there_by_chance_or_too_long_is_not() {
        let inner = requests(500, 2_000, 31_000);
        // So much is in flight at any time that nothing can be outside.
        let busy = [0, 4_000, 8_000, 12_000, 16_000, 20_000, 24_000, 28_000];
        assert!(!lie_inside(&inner, &busy.map(|first| requests(first, 8_000, 31_000)).concat()));
        assert!(!lie_inside(&inner, &requests(0, 8_000, 29_000)));
        assert!(!lie_inside(&requests(500, 9_000, 31_000), &requests(0, 8_000, 31_000)));
    }
}
