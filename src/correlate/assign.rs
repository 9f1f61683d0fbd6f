//! One parent for each child and one child for each parent, so that the sum of costs is small.

use hashbrown::HashMap;

use super::matching::Choice;

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Rounds in which pairs of pairs are swapped where that lowers the sum.
const ROUNDS: usize = 4;

/// Children moved at most to make room for one more.
const LONGEST_SEARCH: usize = 96;

/// A child with its parent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assigned {
    pub child: u32,
    pub parent: u32,
    /// What the next best arrangement would cost more; `None` when there is no other.
    pub margin: Option<i64>,
}

/// Assigns the cheapest pairs first, then swaps partners where that lowers the sum. Each list holds the
/// choices of one child, the cheapest first.
pub(super) fn cheapest(choices: &[Vec<Choice>]) -> Vec<Assigned> {
    let mut order: Vec<(i64, u32, u32, u32)> = Vec::new();
    for (row, list) in choices.iter().enumerate() {
        order.extend(list.iter().map(|choice| {
            let (cost, child, parent) = choice.parts();
            (cost, child, parent, row as u32)
        }));
    }
    order.sort_unstable();
    let mut row_of: FixedMap<u32, u32> = FixedMap::default();
    let mut parent_of: Vec<Option<(u32, i64)>> = vec![None; choices.len()];
    for (cost, _, parent, row) in order {
        if parent_of[row as usize].is_none() && !row_of.contains_key(&parent) {
            parent_of[row as usize] = Some((parent, cost));
            row_of.insert(parent, row);
        }
    }
    while_improving(choices, &mut parent_of, &mut row_of);
    for row in 0..choices.len() {
        if parent_of[row].is_none() {
            make_room(choices, &mut parent_of, &mut row_of, row as u32);
        }
    }
    while_improving(choices, &mut parent_of, &mut row_of);
    let contested = contested(choices);
    let assigned = parent_of.iter().enumerate().filter_map(|(row, own)| Some((row, (*own)?)));
    assigned
        .map(|(row, (parent, cost))| {
            let margin = margin(choices, &parent_of, &row_of, row, parent, cost);
            let sole = choices[row].len() == 1 && !contested.contains_key(&parent);
            let margin = if sole { None } else { Some(margin.unwrap_or(0)) };
            Assigned { child: choices[row][0].parts().1, parent, margin }
        })
        .collect()
}

/// Parents that are the only choice of two children or more.
fn contested(choices: &[Vec<Choice>]) -> FixedMap<u32, ()> {
    let mut seen: FixedMap<u32, usize> = FixedMap::default();
    for list in choices.iter().filter(|list| list.len() == 1) {
        *seen.entry(list[0].parts().2).or_default() += 1;
    }
    seen.into_iter().filter(|(_, count)| *count > 1).map(|(parent, _)| (parent, ())).collect()
}

fn cost_of(list: &[Choice], parent: u32) -> Option<i64> {
    list.iter().map(|choice| choice.parts()).find(|parts| parts.2 == parent).map(|parts| parts.0)
}

/// What taking another parent would cost more, its own child taking this one's parent if it must.
fn margin(
    choices: &[Vec<Choice>],
    parent_of: &[Option<(u32, i64)>],
    row_of: &FixedMap<u32, u32>,
    row: usize,
    parent: u32,
    cost: i64,
) -> Option<i64> {
    let others = choices[row].iter().map(|choice| choice.parts()).filter(|parts| parts.2 != parent);
    let changes = others.filter_map(|(other_cost, _, other)| {
        let more = other_cost.saturating_sub(cost);
        let Some(&rival) = row_of.get(&other) else { return Some(more) };
        let rival_cost = parent_of[rival as usize]?.1;
        let swapped = cost_of(&choices[rival as usize], parent)?;
        Some(more.saturating_add(swapped.saturating_sub(rival_cost)))
    });
    changes.min()
}

fn while_improving(
    choices: &[Vec<Choice>],
    parent_of: &mut [Option<(u32, i64)>],
    row_of: &mut FixedMap<u32, u32>,
) {
    for _ in 0..ROUNDS {
        if !improve(choices, parent_of, row_of) {
            break;
        }
    }
}

/// Finds a parent for a child that has none by moving others along: the shortest such chain.
fn make_room(
    choices: &[Vec<Choice>],
    parent_of: &mut [Option<(u32, i64)>],
    row_of: &mut FixedMap<u32, u32>,
    start: u32,
) {
    // Rows in the order met, each with the row that wants its parent and that parent.
    let mut met: Vec<(u32, usize, u32)> = vec![(start, 0, 0)];
    let mut at = 0;
    while at < met.len() && met.len() < LONGEST_SEARCH {
        for (_, _, parent) in choices[met[at].0 as usize].iter().map(|choice| choice.parts()) {
            match row_of.get(&parent) {
                Some(holder) if met.iter().any(|(row, ..)| row == holder) => {}
                Some(&holder) => met.push((holder, at, parent)),
                None => {
                    let (mut step, mut free) = (at, parent);
                    loop {
                        let (row, from, wanted) = met[step];
                        let cost = cost_of(&choices[row as usize], free).unwrap_or_default();
                        parent_of[row as usize] = Some((free, cost));
                        row_of.insert(free, row);
                        if step == 0 {
                            return;
                        }
                        (step, free) = (from, wanted);
                    }
                }
            }
        }
        at += 1;
    }
}

/// One round of swaps and moves; whether anything changed.
fn improve(
    choices: &[Vec<Choice>],
    parent_of: &mut [Option<(u32, i64)>],
    row_of: &mut FixedMap<u32, u32>,
) -> bool {
    let mut changed = false;
    for row in 0..choices.len() {
        for (cost, _, wanted) in choices[row].iter().map(|choice| choice.parts()) {
            let own = parent_of[row];
            if own.is_some_and(|(parent, _)| parent == wanted) {
                continue;
            }
            match (own, row_of.get(&wanted).copied()) {
                (Some((parent, old)), None) if cost < old => {
                    row_of.remove(&parent);
                    parent_of[row] = Some((wanted, cost));
                    row_of.insert(wanted, row as u32);
                }
                (Some((parent, old)), Some(rival)) => {
                    let Some((_, rival_old)) = parent_of[rival as usize] else { continue };
                    let Some(rival_new) = cost_of(&choices[rival as usize], parent) else { continue };
                    if cost.saturating_add(rival_new) >= old.saturating_add(rival_old) {
                        continue;
                    }
                    parent_of[row] = Some((wanted, cost));
                    parent_of[rival as usize] = Some((parent, rival_new));
                    row_of.insert(wanted, row as u32);
                    row_of.insert(parent, rival);
                }
                _ => continue,
            }
            changed = true;
        }
    }
    changed
}
