//! Spans of time, and whether one of many holds at a moment.

/// Spans of time by their starts, each with the latest end of it and of those before it.
#[derive(Default)]
pub(super) struct Spans(Vec<(i64, i64)>);

impl FromIterator<(i64, i64)> for Spans {
    fn from_iter<T: IntoIterator<Item = (i64, i64)>>(spans: T) -> Self {
        let mut spans = Self(spans.into_iter().collect());
        spans.settle();
        spans
    }
}

impl Spans {
    pub(super) fn push(&mut self, span: (i64, i64)) {
        self.0.push(span);
    }

    /// To be called once all are there, before one asks.
    pub(super) fn settle(&mut self) {
        self.0.sort_unstable();
        let mut latest = i64::MIN;
        for (_, end) in &mut self.0 {
            latest = latest.max(*end);
            *end = latest;
        }
    }

    /// Whether one of them holds at any moment from the one to the other.
    pub(super) fn meet(&self, from: i64, to: i64) -> bool {
        let begun = self.0.partition_point(|&(start, _)| start <= to);
        begun > 0 && self.0[begun - 1].1 >= from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_span_holds_behind_short_ones_that_began_later() {
        let spans: Spans = [(5, 6), (0, 10), (20, 21)].into_iter().collect();
        assert!(spans.meet(8, 9) && spans.meet(21, 30) && spans.meet(-5, 0));
        assert!(!spans.meet(11, 19) && !spans.meet(22, 30) && !spans.meet(-5, -1));
    }
}
