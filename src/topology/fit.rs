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
#[cfg(test)]
mod tests;

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
/// Drifts that differ by less are one.
const LEAST_TURN: f64 = 1e-9;
/// Times that bounds which leave no line are taken away, and how many bounds there must be for each.
const MOST_TRIMMED: usize = 32;
const LEAST_FOR_TRIMMED: usize = 64;
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
    /// Half-width of what the bounds allow, while there are any.
    pub band_ns: i64,
    /// By so much a second that grows before the first bound and after the last, as a share: the drift may be another.
    pub pace: f64,
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
        let fit = |delta_ns, drift, held: Held, pivot, jumps| Fit {
            pivot,
            delta_ns,
            drift,
            // Timestamps are cut to microseconds in most captures, and taken a little off the wire in all.
            band_ns: held.band_ns.saturating_add(2 * LEAST_BAND_NS),
            pace: held.pace,
            jumps,
            weight,
            is_exact: true,
        };
        let lines = Lines::new(&above, &below, pivot.at);
        if let Some((delta, band)) = constant(&above, &below) {
            return Some(fit(delta, 0.0, lines.constant(delta, band), pivot, Vec::new()));
        }
        if lines.are_many()
            && let Some((delta, drift, held)) = lines.best(MOST_DRIFT)
        {
            return Some(fit(delta, drift, held, pivot, Vec::new()));
        }
        if let Some(found) = jumps::pieces(&above, &below, least) {
            return Some(fit(found.delta, 0.0, found.held, found.first, found.jumps));
        }
        // Few bounds tell no line from a step that they are too few for; clocks drift more often than they are set.
        if let Some((delta, drift, held)) = lines.best(COMMON_DRIFT) {
            return Some(fit(delta, drift, held, pivot, Vec::new()));
        }
        if let Some((delta, drift, held)) = trimmed(above.clone(), below.clone(), pivot.at) {
            return Some(Fit { is_exact: false, ..fit(delta, drift, held, pivot, Vec::new()) });
        }
        let held = Held { band_ns: 0, pace: COMMON_DRIFT };
        Some(Fit { is_exact: false, ..robust(&above, &below, fit(0, 0.0, held, pivot, Vec::new())) })
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
        pace: COMMON_DRIFT,
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

/// How far a line may be off what it stands for.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// While there are bounds.
    band_ns: i64,
    /// By how much a second more outside that time, as a share.
    pace: f64,
}

impl Held {
    /// What holds of this one and of that.
    fn both(self, other: Self) -> Self {
        Self { band_ns: self.band_ns.max(other.band_ns), pace: self.pace.max(other.pace) }
    }
}

/// The lines through tightest bounds, by their δ at the pivot and their drift.
struct Lines {
    upper: Vec<Bound>,
    lower: Vec<Bound>,
    pivot: i64,
}

impl Lines {
    /// Of bounds in the order of time, some on each side.
    fn new(above: &[Bound], below: &[Bound], pivot: i64) -> Self {
        Self { upper: tightest(above, false), lower: tightest(below, true), pivot }
    }

    /// How far a δ that stays the same may be off, of which no drift was seen: one too small to be seen moves the ends
    /// all the same.
    fn constant(&self, delta: i64, band_ns: i64) -> Held {
        Held { band_ns, pace: 0.0 }.both(self.furthest(delta, 0.0, COMMON_DRIFT))
    }

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

    /// Whether the bounds are enough to tell a line.
    fn are_many(&self) -> bool {
        self.upper.len().min(self.lower.len()) >= LEAST_STRETCHES
    }

    /// The drift of at most so much that leaves the lines most room, be it none.
    fn widest(&self, most_drift: f64) -> f64 {
        // The width is concave in the drift, so that a ternary search finds the widest.
        let (mut from, mut to) = (-most_drift, most_drift);
        for _ in 0..100 {
            let third = (to - from) / 3.0;
            if self.at(from + third).0 < self.at(to - third).0 { from += third } else { to -= third }
        }
        f64::midpoint(from, to)
    }

    /// δ at the pivot and the drift of the line that keeps furthest from all bounds, and how far it may be off; `None`
    /// when no line keeps to them.
    fn best(&self, most_drift: f64) -> Option<(i64, f64, Held)> {
        let drift = self.widest(most_drift);
        let (width, delta) = self.at(drift);
        let inside = Held { band_ns: width.max(0) / 2, pace: 0.0 };
        let held = || inside.both(self.furthest(delta, drift, most_drift));
        (width >= -2 * LEAST_BAND_NS).then(|| (delta, drift, held()))
    }

    /// The bounds that keep the lines with about this drift from having more room.
    fn tight(&self, drift: f64) -> [Option<Bound>; 4] {
        let flat =
            |bound: &Bound, drift: f64| bound.by as f64 - bound.at.saturating_sub(self.pivot) as f64 * drift;
        let least =
            |drift: f64| self.upper.iter().min_by(|a, b| flat(a, drift).total_cmp(&flat(b, drift))).copied();
        let most =
            |drift: f64| self.lower.iter().max_by(|a, b| flat(a, drift).total_cmp(&flat(b, drift))).copied();
        let [less, more] = [drift - LEAST_TURN, drift + LEAST_TURN];
        [least(less), least(more), most(less), most(more)]
    }

    /// How far from this line another one that the bounds allow is off at the ends, and how fast it leaves it behind them,
    /// with a drift of at most so much.
    fn furthest(&self, delta: i64, drift: f64, most_drift: f64) -> Held {
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
        Held { band_ns: furthest, pace: (drift - least).max(most - drift) }
    }
}

/// The line that all bounds but a few allow: what two captures took for one packet or one request may be two.
fn trimmed(mut above: Vec<Bound>, mut below: Vec<Bound>, pivot: i64) -> Option<(i64, f64, Held)> {
    for _ in 0..MOST_TRIMMED.min((above.len() + below.len()) / LEAST_FOR_TRIMMED) {
        // The one that is wrong is among those that leave no line.
        let lines = Lines::new(&above, &below, pivot);
        let tight = lines.tight(lines.widest(MOST_DRIFT));
        above.retain(|bound| !tight[..2].contains(&Some(*bound)));
        below.retain(|bound| !tight[2..].contains(&Some(*bound)));
        if above.is_empty() || below.is_empty() {
            return None;
        }
        let lines = Lines::new(&above, &below, pivot);
        if let Some((delta, band)) = constant(&above, &below) {
            return Some((delta, 0.0, lines.constant(delta, band)));
        }
        let best = if lines.are_many() { lines.best(MOST_DRIFT) } else { None };
        if best.is_some() {
            return best;
        }
    }
    None
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
            let doubt = if share <= 5 { half.saturating_mul(2).min(crossing / 2) } else { crossing };
            let band_ns = half.max(doubt).max(LEAST_BAND_NS);
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
