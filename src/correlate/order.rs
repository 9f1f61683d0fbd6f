//! Whether a proxy passes messages on in the order in which they came: learnt, as the cost of being out of line.
//!
//! An event loop answers first who came first, even where a burst makes every gap long. So a pair is compared
//! with the pairs found before and after it: of their parents as many should be earlier as later.

/// Pairs compared with on each side.
const SIDE: usize = 6;
/// Pairs that learning needs at least.
const LEAST_PAIRS: usize = 24;
/// The share of pairs that may not follow what was learnt.
const STRAY: f64 = 0.03;
/// Places that a pair which is out of line by [`SIDE`] may be at, roughly.
const FAR: f64 = 4.0;

/// Places of the parents of the pairs around one pair, sorted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Around {
    places: [u32; 2 * SIDE],
    count: u8,
}

impl Around {
    /// How far a parent's place is from the middle; `None` where too little is around.
    fn off(&self, place: u32) -> Option<usize> {
        let places = &self.places[..usize::from(self.count)];
        let earlier = places.iter().filter(|&&other| other < place).count();
        (places.len() >= SIDE).then(|| (2 * earlier).abs_diff(places.len()).div_ceil(2).min(SIDE))
    }
}

/// Costs by how far a pair is out of line, in thousandths of a natural logarithm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order([i64; SIDE + 1]);

impl Order {
    /// Learns from pairs with what is around them.
    pub(super) fn learn(pairs: impl Iterator<Item = (Around, u32)>) -> Self {
        let mut counts = [0.0; SIDE + 1];
        let mut total = 0.0;
        for off in pairs.filter_map(|(around, place)| around.off(place)) {
            counts[off] += 1.0;
            total += 1.0;
        }
        let mut costs = Self::default();
        if total < LEAST_PAIRS as f64 {
            return costs;
        }
        for (off, cost) in costs.0.iter_mut().enumerate() {
            let places = if off == 0 {
                1.0
            } else if off == SIDE {
                FAR
            } else {
                2.0
            };
            let share = (1.0 - STRAY) * counts[off] / (total * places) + STRAY / (2.0 * SIDE as f64 + FAR);
            *cost = (-1_000.0 * share.ln()).round() as i64;
        }
        costs
    }

    /// The cost of a parent's place.
    pub(super) fn cost(&self, around: &Around, place: u32) -> i64 {
        around.off(place).map_or(0, |off| self.0[off])
    }
}

/// What is around each of `pairs`: its time, the place of its parent where it has one. In the order given.
pub(super) fn around(pairs: &[(i64, Option<u32>)]) -> Vec<Around> {
    let mut order: Vec<u32> = (0..pairs.len() as u32).collect();
    order.sort_by_key(|&at| pairs[at as usize].0);
    let line: Vec<(u32, u32)> = order.iter().filter_map(|&at| Some((at, pairs[at as usize].1?))).collect();
    let mut all = vec![Around::default(); pairs.len()];
    let mut next = 0;
    for &at in &order {
        let own = usize::from(line.get(next).is_some_and(|pair| pair.0 == at));
        let before = &line[next.saturating_sub(SIDE)..next];
        let after = line[next + own..].iter().take(SIDE);
        let around = &mut all[at as usize];
        for (_, place) in before.iter().chain(after) {
            around.places[usize::from(around.count)] = *place;
            around.count += 1;
        }
        next += own;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_keeps_the_order_makes_others_dear() {
        let pairs: Vec<(i64, Option<u32>)> = (0..100).map(|n| (i64::from(n), Some(2 * n))).collect();
        let near = around(&pairs);
        let order = Order::learn(near.iter().copied().zip((0..100).map(|n| 2 * n)));
        assert!(order.cost(&near[50], 100) + 2_000 < order.cost(&near[50], 105));
        assert_eq!(order.cost(&near[50], 100), order.cost(&near[50], 101));
    }

    #[test]
    fn where_nothing_is_in_order_nothing_is_dear() {
        let scattered: Vec<(i64, Option<u32>)> = (0..200).map(|n| (n, Some((n as u32 * 73) % 199))).collect();
        let near = around(&scattered);
        let order = Order::learn(near.iter().copied().zip(scattered.iter().filter_map(|pair| pair.1)));
        let costs: Vec<i64> = [0, 30, 60, 90].map(|place| order.cost(&near[100], place)).to_vec();
        let spread = costs.iter().max().unwrap() - costs.iter().min().unwrap();
        assert!(spread < 1_500, "{costs:?}");
    }
}
