//! What the user changed about whole lanes: which are one hop, and in which order they stand.

use std::collections::BTreeMap;

use super::Overrides;
use super::lanes::{Chain, reaches};

/// Merges and reorders the lanes as the user said, by the names that they show. A wish that does not fit these
/// captures (a lane that is not there, two lanes of which one calls the other) changes nothing.
pub(super) fn apply(mut chain: Chain, mut names: Vec<String>, overrides: &Overrides) -> (Chain, Vec<String>) {
    for (name, into) in &overrides.merged {
        let at = |name: &String| names.iter().position(|known| known == name);
        if let (Some(from), Some(into)) = (at(name), at(into))
            && from != into
            && !calls(&chain, from, into)
            && !calls(&chain, into, from)
        {
            merge(&mut chain, from, into);
            names.remove(from);
        }
    }
    let order = order(&names, &overrides.order);
    let place: BTreeMap<usize, usize> = order.iter().enumerate().map(|(new, &old)| (old, new)).collect();
    for (from, to) in &mut chain.ends {
        (*from, *to) = (place[from], place[to]);
    }
    chain.hops = order.iter().map(|&old| std::mem::take(&mut chain.hops[old])).collect();
    names = order.iter().map(|&old| std::mem::take(&mut names[old])).collect();
    (chain, names)
}

/// Whether requests of one hop lead to the other, over however many hops: as one hop they would call themselves.
fn calls(chain: &Chain, from: usize, to: usize) -> bool {
    reaches(from, to, |hop| chain.ends.iter().filter(move |ends| ends.0 == hop).map(|ends| ends.1))
}

fn merge(chain: &mut Chain, from: usize, into: usize) {
    let gone = chain.hops.remove(from);
    let now = |hop: usize| {
        let hop = if hop == from { into } else { hop };
        if hop > from { hop - 1 } else { hop }
    };
    for (a, b) in &mut chain.ends {
        (*a, *b) = (now(*a), now(*b));
    }
    let hop = &mut chain.hops[now(into)];
    hop.serves.extend(gone.serves);
    hop.addresses.extend(gone.addresses);
    hop.hosts.extend(gone.hosts);
    hop.depth = hop.depth.max(gone.depth);
    hop.exchanges += gone.exchanges;
}

/// The hops in the order wanted. Those not named follow the one that they follow now.
fn order(names: &[String], wanted: &[String]) -> Vec<usize> {
    let rank = |at: usize| wanted.iter().position(|name| *name == names[at]);
    let mut named: Vec<usize> = (0..names.len()).filter(|&at| rank(at).is_some()).collect();
    if named.is_empty() {
        return (0..names.len()).collect();
    }
    named.sort_by_key(|&at| rank(at));
    for at in (0..names.len()).filter(|&at| rank(at).is_none()) {
        let before = at.checked_sub(1).and_then(|before| named.iter().position(|&other| other == before));
        named.insert(before.map_or(0, |place| place + 1), at);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::lanes::Hop;

    fn chain(ends: &[(usize, usize)]) -> (Chain, Vec<String>) {
        let count = ends.iter().map(|&(a, b)| a.max(b) + 1).max().unwrap_or(0);
        let hops = (0..count).map(|at| Hop { exchanges: at, ..Hop::default() }).collect();
        (Chain { hops, ends: ends.to_vec() }, (0..count).map(|at| format!("lane {at}")).collect())
    }

    fn lanes(text: &str) -> Vec<String> {
        text.split(' ').map(|number| format!("lane {number}")).collect()
    }

    #[test]
    fn replicas_become_one_lane_and_callers_do_not() {
        let merged = [("2", "1"), ("1", "0")].map(|(a, b)| (format!("lane {a}"), format!("lane {b}")));
        let overrides = Overrides { merged: merged.to_vec(), ..Overrides::default() };
        let (chain, names) = chain(&[(0, 1), (0, 2), (1, 3), (2, 3)]);
        let (chain, names) = apply(chain, names, &overrides);
        assert_eq!(names, lanes("0 1 3"));
        assert_eq!(chain.ends, [(0, 1), (0, 1), (1, 2), (1, 2)]);
        assert_eq!(chain.hops[1].exchanges, 3);
    }

    #[test]
    fn lanes_stand_as_wished_and_new_ones_where_they_belong() {
        let overrides = Overrides { order: lanes("3 1 9 0"), ..Overrides::default() };
        let (chain, names) = chain(&[(0, 1), (1, 2), (2, 3)]);
        let (chain, names) = apply(chain, names, &overrides);
        assert_eq!(names, lanes("3 1 2 0"));
        assert_eq!(chain.ends, [(3, 1), (1, 2), (2, 0)]);
        assert_eq!(chain.hops.iter().map(|hop| hop.exchanges).collect::<Vec<_>>(), [3, 1, 2, 0]);
    }
}
