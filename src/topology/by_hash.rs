//! Sorting by hashes, which spread evenly.

/// Sorts what begins with a hash: dealt out by its first bits, hardly anything is left to be sorted.
pub(super) fn sort_by_hash<T: Copy + Ord>(list: &mut Vec<T>, hash: impl Fn(&T) -> u64) {
    let largest = list.iter().map(&hash).max().unwrap_or_default();
    let bits = list.len().max(2).ilog2();
    let shift = (u64::BITS - largest.leading_zeros()).saturating_sub(bits);
    let place = |one: &T| (hash(one) >> shift) as usize;
    // Where those of each place begin.
    let mut starts = vec![0u32; (1 << bits) + 1];
    list.iter().for_each(|one| starts[place(one) + 1] += 1);
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut dealt = list.clone();
    for &one in &*list {
        let start = &mut starts[place(&one)];
        dealt[*start as usize] = one;
        *start += 1;
    }
    dealt.chunk_by_mut(|a, b| place(a) == place(b)).for_each(<[T]>::sort_unstable);
    *list = dealt;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_by_hashes_is_sorting() {
        let mix = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for (count, shift) in [(0, 0), (1, 0), (2, 63), (1000, 0), (1000, 16), (1000, 60), (5, 64 - 1)] {
            let mut list: Vec<(u64, u64)> = (0..count).map(|n| (mix(n) >> shift, mix(n + 7))).collect();
            let mut sorted = list.clone();
            sorted.sort_unstable();
            sort_by_hash(&mut list, |one| one.0);
            assert_eq!(list, sorted, "{count} {shift}");
        }
    }
}
