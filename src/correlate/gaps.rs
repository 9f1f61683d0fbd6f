//! How long a proxy takes to pass a message on: learnt from the pairs at hand, as the cost of a gap.
//!
//! Costs are thousandths of a natural logarithm of the odds, so that they add up along an arrangement. They must
//! not be linear in the gap: the sum of all gaps is the same however equal requests are paired.

/// Steps for each doubling of the gap.
const STEPS: f64 = 3.0;
/// Gaps from 1 µs to some minutes.
const BINS: usize = 84;
/// What a gap is measured from, in nanoseconds; shorter ones say no more.
const UNIT_NS: f64 = 1_000.0;
/// Gaps below this are about as likely as each other when nothing is known, in units.
const QUICK: f64 = 20.0;
/// The share of pairs that may not follow what was learnt.
const STRAY: f64 = 0.03;
/// Pairs that learning needs at least.
const LEAST_PAIRS: usize = 16;

/// The cost of a gap, by its length.
#[derive(Clone, Debug)]
pub(super) struct Gaps([i64; BINS]);

fn bin(gap_ns: i64) -> usize {
    let units = gap_ns.max(0) as f64 / UNIT_NS;
    ((STEPS * (1.0 + units).log2()) as usize).min(BINS - 1)
}

/// Where a bin starts, in units.
fn start(bin: usize) -> f64 {
    (bin as f64 / STEPS).exp2() - 1.0
}

/// The density of a gap when nothing is known: the longer the less likely, over all magnitudes.
fn unlearnt(bin: usize) -> f64 {
    let middle = f64::midpoint(start(bin), start(bin + 1));
    1.0 / (16.0 * (middle + QUICK))
}

impl Default for Gaps {
    fn default() -> Self {
        Self::from_density(unlearnt)
    }
}

impl Gaps {
    fn from_density(density: impl Fn(usize) -> f64) -> Self {
        let mut costs = [0; BINS];
        for (at, cost) in costs.iter_mut().enumerate() {
            *cost = (-1_000.0 * density(at).ln()).round() as i64;
        }
        Self(costs)
    }

    /// Learns from the gaps of pairs that are known; `None` when they are too few.
    pub(super) fn learn(gaps: &[i64]) -> Option<Self> {
        if gaps.len() < LEAST_PAIRS {
            return None;
        }
        let mut counts = [0.0; BINS];
        for &gap in gaps {
            counts[bin(gap)] += 1.0;
        }
        let count = |at: usize| counts.get(at).copied().unwrap_or_default();
        let total = gaps.len() as f64;
        // Few pairs say less about the bins that they do not fall into.
        let stray = STRAY.max(4.0 / total).min(0.5);
        Some(Self::from_density(|at| {
            let below = at.checked_sub(1).map_or_else(|| count(at), count);
            let smooth = (below + 2.0 * count(at) + count(at + 1)) / 4.0;
            (1.0 - stray) * smooth / (total * (start(at + 1) - start(at))) + stray * unlearnt(at)
        }))
    }

    /// The cost of a gap in nanoseconds. Below zero it costs what zero does: the clocks' bands allow it.
    pub(super) fn cost(&self, gap_ns: i64) -> i64 {
        self.0[bin(gap_ns)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_gap_is_cheaper_than_others_once_learnt() {
        let unlearnt = Gaps::default();
        assert!(unlearnt.cost(10_000) < unlearnt.cost(1_000_000));
        assert!(unlearnt.cost(i64::MAX) > unlearnt.cost(1_000_000_000));
        let gaps: Vec<i64> = (0..200).map(|n| 300_000 + n * 1_000).collect();
        let learnt = Gaps::learn(&gaps).unwrap();
        assert!(learnt.cost(400_000) + 3_000 < learnt.cost(20_000));
        assert!(learnt.cost(400_000) + 3_000 < learnt.cost(4_000_000));
        assert!(Gaps::learn(&gaps[..3]).is_none());
    }
}
