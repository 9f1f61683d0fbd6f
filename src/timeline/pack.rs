//! Connections to rows: one each while they are few, as many as were ever open at once when they are many.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// Up to so many connections of a link have a row each.
const OWN_ROW: usize = 24;

/// The row of each interval. Intervals are `(start, end)` sorted by start. Each takes the uppermost free row,
/// so the number of rows is the largest number open at once.
pub(crate) fn pack(intervals: &[(i64, i64)]) -> (Vec<usize>, usize) {
    if intervals.len() <= OWN_ROW {
        return ((0..intervals.len()).collect(), intervals.len());
    }
    let mut free = BTreeSet::new();
    let mut busy = BinaryHeap::new();
    let mut count = 0;
    let rows = intervals
        .iter()
        .map(|&(start, end)| {
            while let Some(&Reverse((ends, row))) = busy.peek() {
                if ends >= start {
                    break;
                }
                busy.pop();
                free.insert(row);
            }
            let row = free.pop_first().unwrap_or_else(|| {
                count += 1;
                count - 1
            });
            busy.push(Reverse((end.max(start), row)));
            row
        })
        .collect();
    (rows, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_have_a_row_each() {
        assert_eq!(pack(&[(0, 1), (2, 3), (4, 5)]), (vec![0, 1, 2], 3));
        assert_eq!(pack(&[]), (vec![], 0));
    }

    #[test]
    fn many_short_connections_take_as_many_rows_as_were_open_at_once() {
        let intervals: Vec<_> = (0..3_000).map(|i| (i * 10, i * 10 + 25)).collect();
        let (rows, count) = pack(&intervals);
        assert_eq!(count, 3);
        let mut ends = vec![i64::MIN; count];
        for (&(start, end), &row) in intervals.iter().zip(&rows) {
            assert!(ends[row] < start, "rows hold one connection at a time");
            ends[row] = end;
        }
    }
}
