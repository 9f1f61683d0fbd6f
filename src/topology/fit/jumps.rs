//! Pieces of time in which δ is constant, with jumps between: a clock that was set.
//!
//! Bounds are taken in the order of the packets in a file, which a clock that was set back does not disturb; in that of
//! time where a file is in no such order.

use super::{Bound, Held, Jump, LEAST_BAND_NS, Lines, MOST_STEPS, middle};

/// δ as pieces.
pub(super) struct Pieces {
    pub first: Bound,
    /// δ in the first piece.
    pub delta: i64,
    /// How far δ may be off in any piece.
    pub held: Held,
    pub jumps: Vec<Jump>,
}

/// What bounds are put in order by.
type Order = fn(&(Bound, bool)) -> i64;

/// The pieces between a few jumps, with at least so many bounds in each; `None` when that does not hold.
pub(super) fn pieces(above: &[Bound], below: &[Bound], least: usize) -> Option<Pieces> {
    let all = above.iter().map(|&bound| (bound, true)).chain(below.iter().map(|&bound| (bound, false)));
    let mut all: Vec<(Bound, bool)> = all.collect();
    let orders: [Order; 4] = [
        |own| i64::from(own.0.frames[0]),
        |own| i64::from(own.0.frames[1]),
        |own| own.0.time(0),
        |own| own.0.time(1),
    ];
    orders.into_iter().find_map(|order| {
        all.sort_unstable_by_key(|own| (order(own), *own));
        let found = split(&all, least)?;
        let jumps = found.windows(2).map(|pair| jump(&all, &pair[0], &pair[1])).collect();
        let ends = found.iter().skip(1).map(|piece| piece.start).chain([all.len()]);
        let held = found.iter().zip(ends).map(|(piece, end)| piece.held(&all[piece.start..end]));
        let held = held.reduce(Held::both)?;
        Some(Pieces { first: all[0].0, delta: found[0].delta(), held, jumps })
    })
}

/// A piece: its first bound by its place, and what its bounds leave of δ.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    low: i64,
    high: i64,
}

impl Piece {
    fn new(start: usize) -> Self {
        Self { start, low: i64::MIN, high: i64::MAX }
    }

    fn with(self, bound: &(Bound, bool)) -> Self {
        let by = bound.0.by;
        let (low, high) = if bound.1 { (self.low, self.high.min(by)) } else { (self.low.max(by), self.high) };
        Self { low, high, ..self }
    }

    fn is_whole(&self) -> bool {
        self.low != i64::MIN && self.high != i64::MAX
    }

    /// Whether no δ is left. Captures stamp packets at different points of a stack: bounds may cross by a little.
    fn is_none(&self) -> bool {
        self.is_whole() && self.low.saturating_sub(self.high) > 2 * LEAST_BAND_NS
    }

    fn delta(&self) -> i64 {
        middle(self.low, self.high)
    }

    /// How far δ may be off in this piece, of which these are the bounds.
    fn held(&self, own: &[(Bound, bool)]) -> Held {
        let side = |is_above: bool| {
            let mut bounds: Vec<Bound> =
                own.iter().filter(|one| one.1 == is_above).map(|one| one.0).collect();
            bounds.sort_unstable();
            bounds
        };
        let band = self.high.saturating_sub(self.low).max(0) / 2;
        Lines::new(&side(true), &side(false), own[own.len() / 2].0.at).constant(self.delta(), band)
    }
}

/// Each piece goes on as long as one δ will do.
fn split(all: &[(Bound, bool)], least: usize) -> Option<Vec<Piece>> {
    let mut found = Vec::new();
    let mut open = Piece::new(0);
    for (at, bound) in all.iter().enumerate() {
        let next = open.with(bound);
        if next.is_none() {
            if !open.is_whole() || at - open.start < least || found.len() == MOST_STEPS {
                return None;
            }
            found.push(open);
            open = Piece::new(at).with(bound);
        } else {
            open = next;
        }
    }
    let is_whole = open.is_whole() && all.len() - open.start >= least;
    found.push(open);
    (is_whole && found.len() > 1).then_some(found)
}

/// The jump between two pieces. The last bounds of the earlier one may be as true of the later.
fn jump(all: &[(Bound, bool)], earlier: &Piece, later: &Piece) -> Jump {
    let own = &all[earlier.start..later.start];
    let before = own.iter().rfind(|bound| later.with(bound).is_none()).unwrap_or(&own[0]);
    Jump { by: later.delta().saturating_sub(earlier.delta()), before: before.0, after: all[later.start].0 }
}
