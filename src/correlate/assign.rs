//! The cheapest way to give each child one parent and each parent one child, and what the next best would cost.
//!
//! Shortest augmenting paths over the pairs that may be (Jonker and Volgenant 1987, for sparse problems): the
//! sum is the least there is. A child may stay alone, at a price above that of any pair.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Parents looked at to place one more child; a child for which that is not enough stays alone.
const MOST_SCANNED: usize = 4_096;
/// Parents looked at to find what the next best arrangement costs.
const MOST_COMPARED: usize = 192;
/// Nobody asks how much further apart arrangements are.
pub(super) const MOST_MARGIN: i64 = 12_000;
/// What a child without a parent costs.
const ALONE: i64 = 200_000;
const NONE: u32 = u32::MAX;

/// A parent that may be, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Choice {
    pub cost: i64,
    pub parent: u32,
}

/// The choices of each child (a row), one after the other.
#[derive(Debug, Default)]
pub(super) struct Choices {
    starts: Vec<u32>,
    all: Vec<Choice>,
}

/// The parent of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    pub parent: u32,
    /// What the next best arrangement costs more, up to [`MOST_MARGIN`]; `None` when there is no other.
    pub margin: Option<i64>,
    /// The parent that the row would have in the next best arrangement.
    pub runner_up: Option<u32>,
}

impl Choices {
    /// Adds a row.
    pub(super) fn push(&mut self, choices: &[Choice]) {
        self.all.extend_from_slice(choices);
        self.starts.push(self.all.len() as u32);
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn of(&self, row: usize) -> &[Choice] {
        let start = row.checked_sub(1).map_or(0, |before| self.starts[before]);
        &self.all[start as usize..self.starts[row] as usize]
    }

    pub(super) fn of_mut(&mut self, row: usize) -> &mut [Choice] {
        let start = row.checked_sub(1).map_or(0, |before| self.starts[before]);
        &mut self.all[start as usize..self.starts[row] as usize]
    }

    fn cost(&self, row: u32, parent: u32) -> i64 {
        let found = self.of(row as usize).iter().find(|choice| choice.parent == parent);
        found.map_or(ALONE, |choice| choice.cost)
    }
}

/// Assigns the rows to parents, of which there are `parents`; `None` for rows that stay alone.
pub(super) fn cheapest(choices: &Choices, parents: usize) -> Vec<Option<Assigned>> {
    let mut claims = vec![0u32; parents];
    for choice in &choices.all {
        claims[choice.parent as usize] += 1;
    }
    let is_sole = |row: usize| matches!(choices.of(row), [only] if claims[only.parent as usize] == 1);
    let mut solver = Solver {
        choices,
        price: vec![0; parents],
        row_of: vec![NONE; parents],
        parent_of: vec![NONE; choices.len()],
        reached: vec![Reached::default(); parents],
        round: 0,
    };
    for row in 0..choices.len() {
        match choices.of(row) {
            [only] if is_sole(row) => {
                solver.parent_of[row] = only.parent;
                solver.row_of[only.parent as usize] = row as u32;
            }
            [] => {}
            _ => solver.place(row as u32),
        }
    }
    let rivals = solver.rivals();
    (0..choices.len())
        .map(|row| {
            let parent = solver.parent_of[row];
            if parent == NONE {
                return None;
            }
            if is_sole(row) {
                return Some(Assigned { parent, margin: None, runner_up: None });
            }
            let (margin, runner_up) = solver.margin(row as u32, parent);
            Some(Assigned { parent, margin: Some(margin.min(rivals[parent as usize])), runner_up })
        })
        .collect()
}

/// How a parent was reached in one search.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    round: u32,
    scanned: bool,
    distance: i64,
    /// The row that wants it.
    from: u32,
    /// The first parent on the way.
    first: u32,
}

struct Solver<'a> {
    choices: &'a Choices,
    /// Dual price of each parent; zero while it is free, never above.
    price: Vec<i64>,
    row_of: Vec<u32>,
    parent_of: Vec<u32>,
    reached: Vec<Reached>,
    round: u32,
}

type Heap = BinaryHeap<Reverse<(i64, u32)>>;

impl Solver<'_> {
    /// Notes the parents that a row can go to, at `base` and more.
    fn reach(&mut self, heap: &mut Heap, row: u32, base: i64, first: u32, but: u32) {
        let round = self.round;
        for choice in self.choices.of(row as usize).iter().filter(|choice| choice.parent != but) {
            let at = choice.parent as usize;
            let distance = base + choice.cost - self.price[at];
            let known = &mut self.reached[at];
            if known.round != round || (!known.scanned && distance < known.distance) {
                let first = if first == NONE { choice.parent } else { first };
                *known = Reached { round, scanned: false, distance, from: row, first };
                heap.push(Reverse((distance, choice.parent)));
            }
        }
    }

    /// The next nearest parent of a search, marked as scanned.
    fn next(&mut self, heap: &mut Heap) -> Option<(i64, u32)> {
        while let Some(Reverse((distance, parent))) = heap.pop() {
            let known = &mut self.reached[parent as usize];
            if !known.scanned && known.distance == distance {
                known.scanned = true;
                return Some((distance, parent));
            }
        }
        None
    }

    /// Finds the cheapest way to place a row, moving others along.
    fn place(&mut self, row: u32) {
        self.round += 1;
        let mut heap = Heap::new();
        // The cheapest way that ends with a row alone: its length, and that row.
        let mut alone = (ALONE, row);
        let mut scanned: Vec<u32> = Vec::new();
        self.reach(&mut heap, row, 0, NONE, NONE);
        let (shortest, mut target) = loop {
            let Some((distance, parent)) = self.next(&mut heap).filter(|next| next.0 < alone.0) else {
                break (alone.0, NONE);
            };
            let holder = self.row_of[parent as usize];
            if holder == NONE {
                break (distance, parent);
            }
            if scanned.len() >= MOST_SCANNED {
                return;
            }
            scanned.push(parent);
            let base = distance - (self.choices.cost(holder, parent) - self.price[parent as usize]);
            alone = alone.min((base + ALONE, holder));
            self.reach(&mut heap, holder, base, NONE, NONE);
        };
        for &parent in &scanned {
            let known = self.reached[parent as usize];
            self.price[parent as usize] += (known.distance - shortest).min(0);
        }
        if target == NONE {
            target = std::mem::replace(&mut self.parent_of[alone.1 as usize], NONE);
        }
        while target != NONE {
            let taker = self.reached[target as usize].from;
            let before = std::mem::replace(&mut self.parent_of[taker as usize], target);
            self.row_of[target as usize] = taker;
            target = if taker == row { NONE } else { before };
        }
    }

    /// What the next best arrangement without this pair costs more, and the row's parent in it.
    fn margin(&mut self, row: u32, own: u32) -> (i64, Option<u32>) {
        self.round += 1;
        let mut heap = Heap::new();
        let freed = self.price[own as usize].saturating_neg();
        let base = self.price[own as usize] - self.choices.cost(row, own);
        let mut best = (MOST_MARGIN, None);
        self.reach(&mut heap, row, base, NONE, own);
        let mut count = 0;
        while let Some((distance, parent)) = self.next(&mut heap) {
            let first = self.reached[parent as usize].first;
            if distance >= best.0 {
                break;
            }
            count += 1;
            if count > MOST_COMPARED {
                // Whatever is still to come costs at least so much.
                return (distance, best.1.or(Some(first)));
            }
            let holder = self.row_of[parent as usize];
            if parent == own || holder == NONE {
                let more = if parent == own { distance } else { distance + freed };
                if more < best.0 {
                    best = (more, Some(first));
                }
                continue;
            }
            let on = distance - (self.choices.cost(holder, parent) - self.price[parent as usize]);
            self.reach(&mut heap, holder, on, first, NONE);
        }
        best
    }

    /// For each parent what it would cost more if a child that stayed alone had it.
    fn rivals(&self) -> Vec<i64> {
        let mut more = vec![MOST_MARGIN; self.price.len()];
        for row in (0..self.choices.len()).filter(|&row| self.parent_of[row] == NONE) {
            for choice in self.choices.of(row) {
                let holder = self.row_of[choice.parent as usize];
                if holder != NONE {
                    let by = choice.cost - self.choices.cost(holder, choice.parent);
                    let known = &mut more[choice.parent as usize];
                    *known = by.max(0).min(*known);
                }
            }
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(rows: &[&[(i64, u32)]]) -> Choices {
        let mut choices = Choices::default();
        for row in rows {
            choices.push(&row.iter().map(|&(cost, parent)| Choice { cost, parent }).collect::<Vec<_>>());
        }
        choices
    }

    fn parents(rows: &[&[(i64, u32)]], count: usize) -> Vec<Option<u32>> {
        cheapest(&problem(rows), count).iter().map(|a| a.map(|a| a.parent)).collect()
    }

    #[test]
    fn the_sum_counts_and_not_the_cheapest_pair() {
        // Greedy takes (0, 0) for 1 and pays 100 for the other; 2 + 3 is less.
        assert_eq!(parents(&[&[(1, 0), (2, 1)], &[(3, 0), (100, 1)]], 2), [Some(1), Some(0)]);
        // Three rows in a ring.
        let ring: [&[(i64, u32)]; 3] = [&[(1, 0), (2, 1)], &[(1, 1), (2, 2)], &[(5, 0), (90, 2)]];
        assert_eq!(parents(&ring, 3), [Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn who_finds_no_parent_stays_alone_and_the_worst_fit_does() {
        assert_eq!(parents(&[&[(5, 0)], &[(3, 0)], &[]], 1), [None, Some(0), None]);
        let assigned = cheapest(&problem(&[&[(5, 0)], &[(3, 0)]]), 1);
        assert_eq!(assigned[1].unwrap().margin, Some(2));
    }

    #[test]
    fn the_margin_is_that_of_the_next_best_arrangement() {
        let rows: [&[(i64, u32)]; 2] = [&[(10, 0), (14, 1)], &[(13, 0), (10, 1)]];
        let assigned = cheapest(&problem(&rows), 2);
        let margins: Vec<_> = assigned.iter().map(|a| (a.unwrap().margin, a.unwrap().runner_up)).collect();
        assert_eq!(margins, [(Some(7), Some(1)), (Some(7), Some(0))]);
        // A free parent makes the alternative cheaper than the swap.
        let rows: [&[(i64, u32)]; 2] = [&[(10, 0), (14, 1), (11, 2)], &[(13, 0), (10, 1)]];
        assert_eq!(cheapest(&problem(&rows), 3)[0].unwrap().margin, Some(1));
        let sole = cheapest(&problem(&[&[(10, 0)]]), 1);
        assert_eq!(sole[0].unwrap().margin, None);
    }

    #[test]
    fn sums_are_the_least_there_are() {
        // All permutations of six against the solver, for costs without a pattern.
        let mut state = 7u64;
        for _ in 0..40 {
            let mut costs = [[0i64; 6]; 6];
            for cost in costs.iter_mut().flatten() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *cost = (state >> 40) as i64 % 1_000;
            }
            let rows: Vec<Vec<(i64, u32)>> =
                costs.iter().map(|row| row.iter().copied().zip(0u32..).collect()).collect();
            let rows: Vec<&[(i64, u32)]> = rows.iter().map(Vec::as_slice).collect();
            let found = parents(&rows, 6);
            let sum: i64 = found.iter().enumerate().map(|(row, p)| costs[row][p.unwrap() as usize]).sum();
            assert_eq!(sum, least(&costs, 0, &mut [false; 6]));
        }
    }

    fn least(costs: &[[i64; 6]; 6], row: usize, taken: &mut [bool; 6]) -> i64 {
        if row == 6 {
            return 0;
        }
        let mut best = i64::MAX;
        for parent in 0..6 {
            if !taken[parent] {
                taken[parent] = true;
                best = best.min(costs[row][parent] + least(costs, row + 1, taken));
                taken[parent] = false;
            }
        }
        best
    }
}
