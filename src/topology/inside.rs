//! How surely requests were made because of others that they have nothing in common with but the time: an authorisation
//! of the proxy's own always runs inside the request that it is for.

/// Fewer requests prove nothing.
const LEAST: usize = 7;
/// So many of a hundred must lie inside: some of the others may not have been captured.
const INSIDE_PERCENT: usize = 95;
/// What chance would need luck for: one in e to the power of this.
const LUCK: f64 = 14.0;
/// Of many requests a few that avoid others tell nothing: so many may be near by chance.
const MOST_CHANCE: f64 = 0.6;
/// Moves in tenths of a usual request: what is near by chance is so as well when it is moved.
const MOVES: [i64; 8] = [-29, -23, -17, -11, 11, 17, 23, 29];
/// Requests looked at for one that holds another.
const LOOK_BACK: usize = 64;
/// Who asks on behalf of another does so this soon after that one came, for so many of a hundred.
const SOON_PERCENT: usize = 90;

/// Requests that are looked at before all are.
const TRIED: usize = 16;
/// So many pauses of a hundred differ little where requests come at a pace.
const STEADY_SHARE: usize = 80;
/// How little, in percent of the median.
const STEADY_PERCENT: i64 = 25;

/// Between two addresses, or two captures, of which nothing else tells that they are of one machine: fewer requests prove
/// nothing.
pub(super) const FEWEST_OF_STRANGERS: usize = 20;
/// And so much luck chance would need: one in e to the power of this.
pub(super) const LUCK_OF_STRANGERS: f64 = 40.0;

/// How surely each of `inner` lies inside one of `outer` (start and end, nanoseconds) and begins sooner after it than
/// chance would have it: one in e to the power of this; `None` where it need not be more than chance.
pub(crate) fn lie_inside(inner: &[(i64, i64)], outer: &[(i64, i64)]) -> Option<f64> {
    if inner.len() < LEAST || outer.len() < LEAST {
        return None;
    }
    let mut lengths: Vec<i64> = outer.iter().map(|(start, end)| end.saturating_sub(*start)).collect();
    lengths.sort_unstable();
    let usual = lengths[lengths.len() / 2].max(1);
    let mut outer = outer.to_vec();
    outer.sort_unstable();
    let mut delays: Vec<i64> = inner.iter().filter_map(|&span| delay(span, &outer)).collect();
    if delays.len() * 100 < inner.len() * INSIDE_PERCENT {
        return None;
    }
    delays.sort_unstable();
    let soon = delays[(delays.len() - 1) * SOON_PERCENT / 100];
    let near = |moved: i64| {
        let follows = |(start, _): &&(i64, i64)| {
            let at = start.saturating_add(moved);
            begun(at, &outer).last().is_some_and(|span| at.saturating_sub(span.0) <= soon)
        };
        inner.iter().filter(follows).count()
    };
    let mut chances = MOVES.map(|tenths| near(usual.saturating_mul(tenths) / 10));
    chances.sort_unstable();
    let chance = (chances[MOVES.len() / 2] + 1) as f64 / (inner.len() + 1) as f64;
    let luck = near(0) as f64 * -chance.ln();
    (chance <= MOST_CHANCE && luck >= LUCK).then_some(luck)
}

/// How long after the one of `outer` (sorted) that holds it this one begins, the last that does; `None` where none holds
/// it.
pub(super) fn delay(span: (i64, i64), outer: &[(i64, i64)]) -> Option<i64> {
    holders(span, outer).next().map(|holder| span.0.saturating_sub(holder.0))
}

/// Those of `outer` (sorted) that hold this one, the last first.
pub(super) fn holders((start, end): (i64, i64), outer: &[(i64, i64)]) -> impl Iterator<Item = &(i64, i64)> {
    begun(start, outer).iter().rev().take(LOOK_BACK).filter(move |span| end <= span.1)
}

/// Whether hardly any of `inner` are outside of `outer` (both sorted), by a few of them, spread over all.
pub(super) fn may_lie_inside(inner: &[(i64, i64)], outer: &[(i64, i64)]) -> bool {
    let tried = inner.iter().step_by((inner.len() / TRIED).max(1));
    tried.filter(|span| delay(**span, outer).is_none()).nth(1).is_none()
}

/// Whether requests (sorted) come at one pace: who asks so may do it beside another whose pace is the same.
pub(super) fn is_steady(spans: &[(i64, i64)]) -> bool {
    let mut pauses: Vec<i64> = spans.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).collect();
    pauses.sort_unstable();
    let Some(&median) = pauses.get(pauses.len() / 2) else { return false };
    let usual = |pause: &&i64| {
        let off = pause.saturating_sub(median).saturating_abs();
        off.saturating_mul(100) <= median.saturating_mul(STEADY_PERCENT)
    };
    pauses.iter().filter(usual).count() * 100 >= pauses.len() * STEADY_SHARE
}

/// Those of `outer` (sorted) that have begun by now.
fn begun(at: i64, outer: &[(i64, i64)]) -> &[(i64, i64)] {
    &outer[..outer.partition_point(|span| span.0 <= at)]
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
        assert!(lie_inside(&inner, &requests(0, 8_000, 31_000)).is_some());
        // Also where hardly any time is left outside.
        assert!(lie_inside(&inner, &requests(0, 29_000, 31_000)).is_some());
        assert!(lie_inside(&inner[..5], &requests(0, 8_000, 31_000)).is_none());
    }

    #[test]
    fn what_is_there_by_chance_or_too_long_is_not() {
        // So much is in flight at any time that nothing can be outside.
        let at_random = |n: i64| n * 7_919 % 1_240_000;
        let busy: Vec<(i64, i64)> = (0..600).map(|n| (at_random(n), at_random(n) + 90_000)).collect();
        let inner: Vec<(i64, i64)> = requests(100_500, 2_000, 27_000);
        assert!(lie_inside(&inner, &busy).is_none());
        assert!(lie_inside(&requests(500, 2_000, 31_000), &requests(0, 8_000, 29_000)).is_none());
        assert!(lie_inside(&requests(500, 9_000, 31_000), &requests(0, 8_000, 31_000)).is_none());
    }
}
