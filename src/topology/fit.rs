//! What bounds say about one clock against another: an offset, a drift, a step.
//!
//! Each packet or exchange that two captures saw bounds the difference δ of their clocks from one side:
//!
//! ```text
//!   t_B − t_A   ·   ·     ·  ·        from A to B: δ plus a delay, so δ lies below
//!                 ───────────────     δ: constant, a line, or pieces with steps between
//!                ·    ·    ·   ·      from B to A: δ minus a delay, so δ lies above
//! ```

mod jumps;

/// No statement about clocks is finer than the timestamps of most captures.
pub(super) const LEAST_BAND_NS: i64 = 1_000;
/// What a one-way delay in a data centre stays under, where only one direction was seen.
const ONE_WAY_NS: i64 = 1_000_000;
/// Stretches of time that the tightest bounds are kept of.
const STRETCHES: usize = 512;
/// A clock that runs faster or slower than another by more than this is none (a crystal: 100 ppm).
const MOST_DRIFT: f64 = 1e-3;
/// By so much two clocks may differ in pace though no drift is seen (two crystals of 50 ppm).
const COMMON_DRIFT: f64 = 1e-4;
/// A line or a step is only told from bounds in so many stretches of time.
const LEAST_STRETCHES: usize = 12;
/// Steps told of one clock.
pub(super) const MOST_STEPS: usize = 4;

/// A packet or exchange that two captures saw, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bound {
    /// A's time.
    pub at: i64,
    /// B's time minus that.
    pub by: i64,
    /// Its packets in A and in B: the order of things where a clock was set back.
    pub frames: [u32; 2],
}

impl Bound {
    /// The time by one of the two clocks, A's being the first.
    pub(super) fn time(&self, side: usize) -> i64 {
        if side == 0 { self.at } else { self.at.saturating_add(self.by) }
    }
}

/// Bounds on δ at a time by A's clock, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    /// Of what went to the server.
    pub to_server: Vec<Bound>,
    /// Of what came back.
    pub to_client: Vec<Bound>,
}

/// Where δ changes at once: somewhere between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// By how much δ grows.
    pub by: i64,
    /// The last bound that is only true before.
    pub before: Bound,
    /// The first that is only true after.
    pub after: Bound,
}

/// δ as far as bounds tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    /// The bound at whose time δ is `delta_ns`: the first one where δ jumps.
    pub pivot: Bound,
    pub delta_ns: i64,
    /// Nanoseconds by which δ grows in a second of A's.
    pub drift: f64,
    /// Half-width of what the bounds allow.
    pub band_ns: i64,
    /// The jumps, in order.
    pub jumps: Vec<Jump>,
    /// Bounds that were compared.
    pub weight: usize,
    /// Whether all bounds agree with it.
    pub is_exact: bool,
}

impl Fit {
    /// Whether the difference stays what it is.
    pub(super) fn is_steady(&self) -> bool {
        self.drift == 0.0 && self.jumps.is_empty()
    }
}

impl Bounds {
    pub(super) fn len(&self) -> usize {
        self.to_server.len() + self.to_client.len()
    }

    /// The simplest δ that the bounds allow, with at least so many bounds in each piece of it; `None` without any.
    pub(super) fn fit(&self, least: usize) -> Option<Fit> {
        let weight = self.len();
        let (mut to_server, mut to_client) = (self.to_server.clone(), self.to_client.clone());
        to_server.sort_unstable();
        to_client.sort_unstable();
        match (to_server.as_slice(), to_client.as_slice()) {
            ([], []) => return None,
            (one, []) | ([], one) => return Some(one_sided(one, weight)),
            _ => {}
        }
        // To the server it takes a delay longer, in the eyes of the capture nearer the client.
        let (above, below) = if is_nearer_client(&to_server, &to_client) {
            (to_server, to_client)
        } else {
            (to_client, to_server)
        };
        let pivot = middle_bound(&above, &below);
        let fit = |delta_ns, drift, band_ns: i64, pivot, jumps| Fit {
            pivot,
            delta_ns,
            drift,
            // Timestamps are cut to microseconds in most captures, and taken a little off the wire in all.
            band_ns: band_ns.saturating_add(2 * LEAST_BAND_NS),
            jumps,
            weight,
            is_exact: true,
        };
        let lines = Lines { upper: tightest(&above, false), lower: tightest(&below, true), pivot: pivot.at };
        if let Some((delta, band)) = constant(&above, &below) {
            // A drift too small to be seen moves the ends all the same.
            let band = band.max(lines.furthest(delta, 0.0, COMMON_DRIFT));
            return Some(fit(delta, 0.0, band, pivot, Vec::new()));
        }
        if let Some((delta, drift, band)) = lines.best() {
            return Some(fit(delta, drift, band, pivot, Vec::new()));
        }
        if let Some(found) = jumps::pieces(&above, &below, least) {
            return Some(fit(found.delta, 0.0, found.band, found.first, found.jumps));
        }
        Some(Fit { is_exact: false, ..robust(&above, &below, fit(0, 0.0, 0, pivot, Vec::new())) })
    }
}

/// Whether A is nearer the client. By what neighbours in time say: a clock that was set or drifts moves both alike.
fn is_nearer_client(to_server: &[Bound], to_client: &[Bound]) -> bool {
    let (mut next, mut votes) = (0, 0i64);
    for bound in to_server {
        while to_client.get(next + 1).is_some_and(|other| other.at <= bound.at) {
            next += 1;
        }
        votes += bound.by.cmp(&to_client[next].by) as i64;
    }
    votes >= 0
}

/// The bound in the middle of the time that all of them span.
fn middle_bound(above: &[Bound], below: &[Bound]) -> Bound {
    let (first, last) =
        (above[0].at.min(below[0].at), above[above.len() - 1].at.max(below[below.len() - 1].at));
    let middle = middle(first, last);
    let near =
        |bounds: &[Bound]| bounds[bounds.partition_point(|bound| bound.at < middle).min(bounds.len() - 1)];
    let (one, other) = (near(above), near(below));
    if (one.at.abs_diff(middle), one) <= (other.at.abs_diff(middle), other) { one } else { other }
}

fn middle(low: i64, high: i64) -> i64 {
    low.saturating_add(high.saturating_sub(low) / 2)
}

fn one_sided(bounds: &[Bound], weight: usize) -> Fit {
    let mut all: Vec<i64> = bounds.iter().map(|bound| bound.by).collect();
    all.sort_unstable();
    let width = all[all.len() - 1].saturating_sub(all[0]);
    Fit {
        pivot: bounds[bounds.len() / 2],
        delta_ns: all[all.len() / 2],
        drift: 0.0,
        band_ns: width.saturating_add(ONE_WAY_NS),
        jumps: Vec::new(),
        weight,
        is_exact: false,
    }
}

/// Midpoint and half-width of a δ that stays the same.
fn constant(above: &[Bound], below: &[Bound]) -> Option<(i64, i64)> {
    let high = above.iter().map(|bound| bound.by).min()?;
    let low = below.iter().map(|bound| bound.by).max()?;
    // Captures stamp packets at different points of a stack: bounds may cross by a little.
    (low.saturating_sub(high) <= 2 * LEAST_BAND_NS)
        .then(|| (middle(low, high), high.saturating_sub(low).saturating_abs() / 2))
}

/// In each stretch of time the bound that says most.
fn tightest(bounds: &[Bound], highest: bool) -> Vec<Bound> {
    let (first, last) = (bounds[0].at, bounds[bounds.len() - 1].at);
    let width = (last.saturating_sub(first) / STRETCHES as i64).max(1);
    let mut kept: Vec<(i64, Bound)> = Vec::new();
    for &own in bounds {
        let stretch = own.at.saturating_sub(first) / width;
        match kept.last_mut().filter(|last| last.0 == stretch) {
            Some((_, bound)) if (own.by > bound.by) == highest && own.by != bound.by => *bound = own,
            Some(_) => {}
            None => kept.push((stretch, own)),
        }
    }
    kept.into_iter().map(|(_, bound)| bound).collect()
}

/// The lines through tightest bounds, by their δ at the pivot and their drift.
struct Lines {
    upper: Vec<Bound>,
    lower: Vec<Bound>,
    pivot: i64,
}

impl Lines {
    /// Of the lines with this drift that the bounds allow: how far they lie apart, below 0 where there is none, and δ of the
    /// one in the middle.
    fn at(&self, drift: f64) -> (i64, i64) {
        let flat = |bound: &Bound| {
            bound.by.saturating_sub((bound.at.saturating_sub(self.pivot) as f64 * drift) as i64)
        };
        let high = self.upper.iter().map(flat).min().unwrap_or_default();
        let low = self.lower.iter().map(flat).max().unwrap_or_default();
        (high.saturating_sub(low), middle(low, high))
    }

    /// δ at the pivot, its drift and the half-width around the line that keeps furthest from all bounds; `None`
    /// when no line keeps to them.
    fn best(&self) -> Option<(i64, f64, i64)> {
        if self.upper.len() < LEAST_STRETCHES || self.lower.len() < LEAST_STRETCHES {
            return None;
        }
        // The width is concave in the drift, so that a ternary search finds the widest.
        let (mut from, mut to) = (-MOST_DRIFT, MOST_DRIFT);
        for _ in 0..100 {
            let third = (to - from) / 3.0;
            if self.at(from + third).0 < self.at(to - third).0 { from += third } else { to -= third }
        }
        let drift = f64::midpoint(from, to);
        let (width, delta) = self.at(drift);
        let band = || (width.max(0) / 2).max(self.furthest(delta, drift, MOST_DRIFT));
        (width >= -2 * LEAST_BAND_NS).then(|| (delta, drift, band()))
    }

    /// How far from this line another one that the bounds allow is off at the ends, with a drift of at most so much.
    fn furthest(&self, delta: i64, drift: f64, most_drift: f64) -> i64 {
        let [first, last] =
            [&self.upper, &self.lower].map(|bounds| (bounds[0].at, bounds[bounds.len() - 1].at));
        let ends = [first.0.min(last.0), first.1.max(last.1)];
        // Where not even this line keeps to the bounds, it does within their error.
        let least_width = self.at(drift).0.min(0);
        let edge = |mut outside: f64| {
            let mut inside = drift;
            for _ in 0..60 {
                let half = f64::midpoint(inside, outside);
                if self.at(half).0 >= least_width { inside = half } else { outside = half }
            }
            inside
        };
        let (least, most) = (edge(-most_drift), edge(most_drift));
        let mut furthest = 0;
        for part in 0..=16 {
            let other = least + (most - least) * f64::from(part) / 16.0;
            let (width, middle) = self.at(other);
            for end in ends {
                let turned = end.saturating_sub(self.pivot) as f64 * (other - drift);
                let off = (middle.saturating_sub(delta) as f64 + turned).abs() as i64;
                furthest = furthest.max(off.saturating_add(width.max(0) / 2));
            }
        }
        furthest
    }
}

/// The δ that most bounds allow; those that cross it widen the band.
fn robust(above: &[Bound], below: &[Bound], fit: Fit) -> Fit {
    let sorted = |bounds: &[Bound]| {
        let mut all: Vec<i64> = bounds.iter().map(|bound| bound.by).collect();
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
            let frames = |n: i64| [n as u32; 2];
            bounds.to_server.push(Bound { at, by: delta(at) + delay, frames: frames(2 * n + 1) });
            let (at, delay) = (at + S / 100, (delay * 31) % (301 * US) + 20 * US);
            bounds.to_client.push(Bound { at, by: delta(at) - delay, frames: frames(2 * n + 2) });
        }
        bounds
    }

    #[test]
    fn a_constant_offset_lies_inside_its_band_whatever_the_delays() {
        for offset in [0, -86_400 * S, 1_000_000, 3 * 3_600 * S] {
            let fit = bounds(200, |_| offset).fit(6).unwrap();
            assert!((fit.delta_ns - offset).abs() <= fit.band_ns && fit.band_ns < 40 * US, "{fit:?}");
            assert!(fit.is_exact && fit.is_steady());
        }
    }

    #[test]
    fn a_drift_is_told_from_an_offset() {
        let truth = |at: i64| 5 * S + at / 20_000;
        let fit = bounds(2_000, truth).fit(6).unwrap();
        for at in [0, 100 * S, 200 * S] {
            let told = fit.delta_ns + ((at - fit.pivot.at) as f64 * fit.drift) as i64;
            assert!((told - truth(at)).abs() <= fit.band_ns.max(40 * US), "{at} {fit:?}");
        }
        assert!((fit.drift - 5e-5).abs() < 1e-6 && fit.band_ns < 60 * US, "{fit:?}");
    }

    #[test]
    fn a_drift_too_small_to_be_seen_lies_inside_the_band_of_an_offset() {
        for drift in [-50, 20, 80] {
            let truth = |at: i64| at * drift / 1_000_000;
            // Within a third of a second the delays hide it.
            let mut bounds = bounds(200, |at| truth(at / 64));
            for bound in bounds.to_server.iter_mut().chain(&mut bounds.to_client) {
                bound.at /= 64;
            }
            let fit = bounds.fit(6).unwrap();
            assert!(fit.is_steady(), "{drift} {fit:?}");
            for at in [0, 20 * S / 64] {
                assert!((fit.delta_ns - truth(at)).abs() <= fit.band_ns, "{drift} {at} {fit:?}");
            }
            assert!(fit.band_ns < 60 * US, "{fit:?}");
        }
    }

    #[test]
    fn a_step_is_told_where_it_is_however_many_come_before_it() {
        for (step_at, by) in
            [(60 * S, 250_000 * US), (100 * S, 2 * S), (20 * S, -2 * S), (190 * S, 3_000 * US)]
        {
            let truth = |at: i64| if at < step_at { 0 } else { by };
            let fit = bounds(2_000, truth).fit(6).unwrap();
            let [jump] = fit.jumps[..] else { panic!("{fit:?}") };
            assert!(jump.before.at < step_at && step_at <= jump.after.at, "{fit:?}");
            assert!(jump.after.at - jump.before.at <= S / 5, "{fit:?}");
            assert!((jump.by - by).abs() <= 2 * fit.band_ns && fit.delta_ns.abs() <= fit.band_ns, "{fit:?}");
            assert!(fit.band_ns < 60 * US, "{fit:?}");
        }
    }

    #[test]
    fn a_step_back_of_the_clock_that_times_are_told_by_is_found_as_well() {
        // A's own times from 60 s on are lower, so that some come twice, or all.
        for back in [S / 4, 50 * S, 120 * S, 7_200 * S] {
            let mut bounds = bounds(2_000, |_| 0);
            for bound in bounds.to_server.iter_mut().chain(&mut bounds.to_client).filter(|b| b.at >= 60 * S) {
                (bound.at, bound.by) = (bound.at - back, bound.by + back);
            }
            let fit = bounds.fit(6).unwrap();
            assert!(fit.is_exact && fit.jumps.len() == 1, "{back} {fit:?}");
            assert!((fit.jumps[0].by - back).abs() <= 2 * fit.band_ns, "{fit:?}");
            assert_eq!(fit.jumps[0].after.frames[0].div_ceil(2), 601, "{fit:?}");
        }
    }

    #[test]
    fn a_wrong_pair_moves_nothing() {
        let mut bounds = bounds(500, |_| 7 * S);
        bounds.to_server[100].by -= 2 * S;
        let fit = bounds.fit(6).unwrap();
        assert!(
            (fit.delta_ns - 7 * S).abs() <= fit.band_ns && fit.band_ns < 400 * US && !fit.is_exact,
            "{fit:?}"
        );
    }
}
