//! What bounds say about one clock against another: an offset, a drift, a step.
//!
//! Each packet or exchange that two captures saw bounds the difference δ of their clocks from one side:
//!
//! ```text
//!   t_B − t_A   ·   ·     ·  ·        from A to B: δ plus a delay, so δ lies below
//!                 ───────────────     δ: constant, a line, or pieces with steps between
//!                ·    ·    ·   ·      from B to A: δ minus a delay, so δ lies above
//! ```

/// No statement about clocks is finer than the timestamps of most captures.
pub(super) const LEAST_BAND_NS: i64 = 1_000;
/// What a one-way delay in a data centre stays under, where only one direction was seen.
const ONE_WAY_NS: i64 = 1_000_000;
/// Stretches of time that the tightest bounds are kept of.
const STRETCHES: usize = 512;
/// A clock that runs faster or slower than another by more than this is none (a crystal: 100 ppm).
const MOST_DRIFT: f64 = 1e-3;
/// A line or a step is only told from bounds in so many stretches of time.
const LEAST_STRETCHES: usize = 12;
/// Bounds that each piece between two steps has at least.
const LEAST_PIECE: usize = 6;
/// Steps told of one clock.
pub(super) const MOST_STEPS: usize = 4;

/// Bounds on δ at a time by A's clock, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    /// Of what went to the server.
    pub to_server: Vec<(i64, i64)>,
    /// Of what came back.
    pub to_client: Vec<(i64, i64)>,
}

/// δ as far as bounds tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    /// A's time that `delta_ns` is for.
    pub pivot: i64,
    pub delta_ns: i64,
    /// Nanoseconds by which δ grows in a second of A's.
    pub drift: f64,
    /// Half-width of what the bounds allow.
    pub band_ns: i64,
    /// A's time of each step and by how much δ grows there.
    pub steps: Vec<(i64, i64)>,
    /// Bounds that were compared.
    pub weight: usize,
    /// Whether all bounds agree with it.
    pub is_exact: bool,
}

impl Fit {
    /// Whether the difference stays what it is.
    pub(super) fn is_steady(&self) -> bool {
        self.drift == 0.0 && self.steps.is_empty()
    }

    /// The steps by B's time. Where B was set forward it shows none of the times between: any of them will do.
    pub(super) fn steps_by_b(&self) -> Vec<(i64, i64)> {
        let passed = |until: i64| -> i64 {
            let steps = self.steps.iter().filter(|step| step.0 <= until);
            steps.fold(0, |sum, step| sum.saturating_add(step.1))
        };
        let steps = self.steps.iter().map(|&(at, by)| {
            let after = self.delta_ns.saturating_sub(passed(self.pivot)).saturating_add(passed(at));
            (at.saturating_add(after).saturating_sub(by.max(0) / 2), by)
        });
        steps.collect()
    }
}

/// The tightest bounds of one stretch of time.
#[derive(Clone, Copy, Debug)]
struct Bound {
    at: i64,
    by: i64,
}

impl Bounds {
    pub(super) fn len(&self) -> usize {
        self.to_server.len() + self.to_client.len()
    }

    /// The simplest δ that the bounds allow; `None` without any.
    pub(super) fn fit(mut self) -> Option<Fit> {
        let weight = self.len();
        self.to_server.sort_unstable();
        self.to_client.sort_unstable();
        let pivot = match (self.to_server.as_slice(), self.to_client.as_slice()) {
            ([], []) => return None,
            (one, []) | ([], one) => return Some(one_sided(one, weight)),
            (one, other) => {
                middle(one[0].0.min(other[0].0), one[one.len() - 1].0.max(other[other.len() - 1].0))
            }
        };
        // To the server it takes a delay longer, in the eyes of the capture nearer the client.
        let a_is_nearer = median(&self.to_server) >= median(&self.to_client);
        let (above, below) =
            if a_is_nearer { (self.to_server, self.to_client) } else { (self.to_client, self.to_server) };
        let fit = |delta_ns, drift, band_ns: i64, steps| Fit {
            pivot,
            delta_ns,
            drift,
            // Timestamps are cut to microseconds in most captures, and taken a little off the wire in all.
            band_ns: band_ns.saturating_add(2 * LEAST_BAND_NS),
            steps,
            weight,
            is_exact: true,
        };
        if let Some((delta, band)) = constant(&above, &below) {
            return Some(fit(delta, 0.0, band, Vec::new()));
        }
        let (upper, lower) = (tightest(&above, false), tightest(&below, true));
        if let Some((delta, drift, band)) = line(&upper, &lower, pivot) {
            return Some(fit(delta, drift, band, Vec::new()));
        }
        // A clock that was set back shows some times twice: then the other clock has to tell the order.
        let found = pieces(&upper, &lower).or_else(|| {
            let turned = |bounds: &[(i64, i64)], highest| {
                let mut turned: Vec<(i64, i64)> =
                    bounds.iter().map(|&(at, by)| (at.saturating_add(by), by.saturating_neg())).collect();
                turned.sort_unstable();
                tightest(&turned, highest)
            };
            let pieces = pieces(&turned(&below, false), &turned(&above, true))?;
            Some(turned_back(&pieces))
        });
        if let Some((delta, band, steps)) = found.and_then(|pieces| stepwise(&pieces, pivot)) {
            return Some(fit(delta, 0.0, band, steps));
        }
        Some(Fit { is_exact: false, ..robust(above, below, fit(0, 0.0, 0, Vec::new())) })
    }
}

fn middle(low: i64, high: i64) -> i64 {
    low.saturating_add(high.saturating_sub(low) / 2)
}

fn median(bounds: &[(i64, i64)]) -> i64 {
    let mut all: Vec<i64> = bounds.iter().map(|bound| bound.1).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

fn one_sided(bounds: &[(i64, i64)], weight: usize) -> Fit {
    let mut all: Vec<i64> = bounds.iter().map(|bound| bound.1).collect();
    all.sort_unstable();
    let width = all[all.len() - 1].saturating_sub(all[0]);
    Fit {
        pivot: bounds[bounds.len() / 2].0,
        delta_ns: all[all.len() / 2],
        drift: 0.0,
        band_ns: width.saturating_add(ONE_WAY_NS),
        steps: Vec::new(),
        weight,
        is_exact: false,
    }
}

/// Midpoint and half-width of a δ that stays the same.
fn constant(above: &[(i64, i64)], below: &[(i64, i64)]) -> Option<(i64, i64)> {
    let high = above.iter().map(|bound| bound.1).min()?;
    let low = below.iter().map(|bound| bound.1).max()?;
    // Captures stamp packets at different points of a stack: bounds may cross by a little.
    (low.saturating_sub(high) <= 2 * LEAST_BAND_NS)
        .then(|| (middle(low, high), high.saturating_sub(low).saturating_abs() / 2))
}

/// In each stretch of time the bound that says most.
fn tightest(bounds: &[(i64, i64)], highest: bool) -> Vec<Bound> {
    let (first, last) = (bounds[0].0, bounds[bounds.len() - 1].0);
    let width = (last.saturating_sub(first) / STRETCHES as i64).max(1);
    let mut kept: Vec<(i64, Bound)> = Vec::new();
    for &(at, by) in bounds {
        let stretch = at.saturating_sub(first) / width;
        match kept.last_mut().filter(|last| last.0 == stretch) {
            Some((_, bound)) if (by > bound.by) == highest && by != bound.by => *bound = Bound { at, by },
            Some(_) => {}
            None => kept.push((stretch, Bound { at, by })),
        }
    }
    kept.into_iter().map(|(_, bound)| bound).collect()
}

/// δ at the pivot, its drift and the half-width around the line that keeps furthest from all bounds; `None`
/// when no line keeps to them.
fn line(upper: &[Bound], lower: &[Bound], pivot: i64) -> Option<(i64, f64, i64)> {
    if upper.len() < LEAST_STRETCHES || lower.len() < LEAST_STRETCHES {
        return None;
    }
    let at_drift = |drift: f64| {
        let flat =
            |bound: &Bound| bound.by.saturating_sub((bound.at.saturating_sub(pivot) as f64 * drift) as i64);
        let high = upper.iter().map(flat).min().unwrap_or_default();
        let low = lower.iter().map(flat).max().unwrap_or_default();
        (high.saturating_sub(low), middle(low, high))
    };
    // The width is concave in the drift, so that a ternary search finds the widest.
    let (mut from, mut to) = (-MOST_DRIFT, MOST_DRIFT);
    for _ in 0..100 {
        let third = (to - from) / 3.0;
        if at_drift(from + third).0 < at_drift(to - third).0 { from += third } else { to -= third }
    }
    let drift = f64::midpoint(from, to);
    let (width, delta) = at_drift(drift);
    if width < -2 * LEAST_BAND_NS {
        return None;
    }
    // Every line that the bounds allow counts: how far the widest of them is off at the ends.
    let ends = [upper[0].at.min(lower[0].at), upper[upper.len() - 1].at.max(lower[lower.len() - 1].at)];
    let edge = |mut outside: f64| {
        let mut inside = drift;
        for _ in 0..60 {
            let half = f64::midpoint(inside, outside);
            if at_drift(half).0 >= 0 { inside = half } else { outside = half }
        }
        inside
    };
    let (least, most) = (edge(-MOST_DRIFT), edge(MOST_DRIFT));
    let mut band = width.max(0) / 2;
    for part in 0..=16 {
        let other = least + (most - least) * f64::from(part) / 16.0;
        let (width, middle) = at_drift(other);
        for end in ends {
            let turned = end.saturating_sub(pivot) as f64 * (other - drift);
            let off = (middle.saturating_sub(delta) as f64 + turned).abs() as i64;
            band = band.max(off.saturating_add(width.max(0) / 2));
        }
    }
    Some((delta, drift, band))
}

/// A stretch of time in which δ is constant.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// The last bound before it; its own start for the first.
    before: i64,
    /// Its first bound.
    start: i64,
    delta: i64,
    /// Half-width of what the bounds allow.
    band: i64,
}

/// Pieces of A's clock against B's as such of B's against A's.
fn turned_back(pieces: &[Piece]) -> Vec<Piece> {
    let mut last: Option<&Piece> = None;
    let back = |piece: &'_ Piece, last: Option<&Piece>| Piece {
        before: piece.before.saturating_add(last.unwrap_or(piece).delta),
        start: piece.start.saturating_add(piece.delta),
        delta: piece.delta.saturating_neg(),
        band: piece.band,
    };
    pieces.iter().map(|piece| back(piece, last.replace(piece))).collect()
}

/// The stretches between a few steps in which δ is constant; `None` when that does not hold.
fn pieces(upper: &[Bound], lower: &[Bound]) -> Option<Vec<Piece>> {
    let mut all: Vec<(i64, i64, bool)> = Vec::with_capacity(upper.len() + lower.len());
    all.extend(upper.iter().map(|bound| (bound.at, bound.by, true)));
    all.extend(lower.iter().map(|bound| (bound.at, bound.by, false)));
    all.sort_unstable();
    let mut found: Vec<Piece> = Vec::new();
    let (mut high, mut low, mut count) = (i64::MAX, i64::MIN, 0);
    let (mut start, mut last) = ((all[0].0, all[0].0), all[0].0);
    let mut close = |(before, start): (i64, i64), high: i64, low: i64, count: usize| {
        let is_whole = count >= LEAST_PIECE && high != i64::MAX && low != i64::MIN;
        if is_whole {
            let (delta, band) = (middle(low, high), high.saturating_sub(low).max(0) / 2);
            found.push(Piece { before, start, delta, band });
        }
        is_whole
    };
    for &(at, by, is_upper) in &all {
        let (new_high, new_low) = if is_upper { (high.min(by), low) } else { (high, low.max(by)) };
        let crosses = new_high != i64::MAX
            && new_low != i64::MIN
            && new_low.saturating_sub(new_high) > 2 * LEAST_BAND_NS;
        if crosses {
            if !close(start, high, low, count) {
                return None;
            }
            (high, low, count, start) = (i64::MAX, i64::MIN, 0, (last, at));
            if is_upper { high = by } else { low = by }
        } else {
            (high, low) = (new_high, new_low);
        }
        count += 1;
        last = at;
    }
    let is_whole = close(start, high, low, count);
    (is_whole && (2..=MOST_STEPS + 1).contains(&found.len())).then_some(found)
}

/// δ at the pivot, half-width, and the time and size of each step.
type Steps = (i64, i64, Vec<(i64, i64)>);

/// The steps between pieces.
fn stepwise(found: &[Piece], pivot: i64) -> Option<Steps> {
    let band = found.iter().map(|piece| piece.band).max()?;
    let step = |pair: &[Piece]| {
        let by = pair[1].delta.saturating_sub(pair[0].delta);
        // Where A was set forward, δ shrinks, and A shows none of the times between: any of them will do.
        let at = if by < 0 { middle(pair[1].before, pair[1].start) } else { pair[1].start };
        (at, by)
    };
    let steps: Vec<(i64, i64)> = found.windows(2).map(step).collect();
    let passed = steps.iter().filter(|step| step.0 <= pivot).count();
    Some((found[passed].delta, band, steps))
}

/// The δ that most bounds allow; those that cross it widen the band.
fn robust(above: Vec<(i64, i64)>, below: Vec<(i64, i64)>, fit: Fit) -> Fit {
    let sorted = |bounds: Vec<(i64, i64)>| {
        let mut all: Vec<i64> = bounds.into_iter().map(|bound| bound.1).collect();
        all.sort_unstable();
        all
    };
    let (above, below) = (sorted(above), sorted(below));
    let crossing = at_share(&below, 100).saturating_sub(at_share(&above, 0)).max(0);
    for share in [1, 5, 25, 50] {
        let (high, low) = (at_share(&above, share), at_share(&below, 100 - share));
        if low <= high {
            let half = high.saturating_sub(low) / 2;
            // A few bounds may be wrong pairs; many that cross are the clock.
            let doubt = if share <= 5 { half.saturating_mul(2) } else { crossing / 2 };
            let band_ns = half.max(doubt.min(crossing / 2)).max(LEAST_BAND_NS);
            return Fit { delta_ns: middle(low, high), band_ns, ..fit };
        }
    }
    Fit { delta_ns: at_share(&above, 50), band_ns: crossing.max(LEAST_BAND_NS), ..fit }
}

/// The value below which `percent` of a sorted list lie.
fn at_share(sorted: &[i64], percent: usize) -> i64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: i64 = 1_000;
    const S: i64 = 1_000_000_000;

    /// Bounds around δ(t), with delays between 20 µs and 300 µs that have no pattern.
    fn bounds(count: i64, delta: impl Fn(i64) -> i64) -> Bounds {
        let mut bounds = Bounds::default();
        for n in 0..count {
            let (at, delay) = (n * S / 10, 20 * US + (n * 7_919) % 281 * US);
            bounds.to_server.push((at, delta(at) + delay));
            bounds.to_client.push((at + S / 100, delta(at + S / 100) - (delay * 31) % (301 * US) - 20 * US));
        }
        bounds
    }

    #[test]
    fn a_constant_offset_lies_inside_its_band_whatever_the_delays() {
        for offset in [0, -86_400 * S, 1_000_000, 3 * 3_600 * S] {
            let fit = bounds(200, |_| offset).fit().unwrap();
            assert!((fit.delta_ns - offset).abs() <= fit.band_ns && fit.band_ns < 40 * US, "{fit:?}");
            assert!(fit.is_exact && fit.drift == 0.0 && fit.steps.is_empty());
        }
    }

    #[test]
    fn a_drift_is_told_from_an_offset() {
        let truth = |at: i64| 5 * S + at / 20_000;
        let fit = bounds(2_000, truth).fit().unwrap();
        for at in [0, 100 * S, 200 * S] {
            let told = fit.delta_ns + ((at - fit.pivot) as f64 * fit.drift) as i64;
            assert!((told - truth(at)).abs() <= fit.band_ns.max(40 * US), "{at} {fit:?}");
        }
        assert!((fit.drift - 5e-5).abs() < 1e-6 && fit.band_ns < 60 * US, "{fit:?}");
    }

    #[test]
    fn a_step_is_told_where_it_is() {
        let truth = |at: i64| if at < 60 * S { 0 } else { 250_000 * US };
        let fit = bounds(2_000, truth).fit().unwrap();
        assert_eq!(fit.steps.len(), 1, "{fit:?}");
        let (at, by) = fit.steps[0];
        assert!((at - 60 * S).abs() <= S && (by - 250_000 * US).abs() <= 2 * fit.band_ns, "{fit:?}");
    }

    #[test]
    fn a_step_back_of_the_clock_that_times_are_told_by_is_found_as_well() {
        // A's own times from 60 s on are 250 ms lower, so that some come twice.
        let mut bounds = bounds(2_000, |_| 0);
        for bound in bounds.to_server.iter_mut().chain(&mut bounds.to_client).filter(|b| b.0 >= 60 * S) {
            *bound = (bound.0 - S / 4, bound.1 + S / 4);
        }
        let fit = bounds.fit().unwrap();
        assert!(fit.is_exact && fit.steps.len() == 1, "{fit:?}");
        assert!((fit.steps[0].1 - S / 4).abs() <= 2 * fit.band_ns, "{fit:?}");
    }

    #[test]
    fn a_wrong_pair_moves_nothing() {
        let mut bounds = bounds(500, |_| 7 * S);
        bounds.to_server[100].1 -= 2 * S;
        let fit = bounds.fit().unwrap();
        assert!(
            (fit.delta_ns - 7 * S).abs() <= fit.band_ns && fit.band_ns < 400 * US && !fit.is_exact,
            "{fit:?}"
        );
    }
}
