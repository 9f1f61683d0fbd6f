//! Whether requests lie closer inside those at another endpoint than chance would have it, by one clock.
//!
//! How long requests take tells who waits for whom only where both endpoints got the same ones. Of two replicas each
//! gets other requests, and a server behind both gets others again.

/// Requests that are looked at for one that holds another closest.
const LOOK_BACK: usize = 64;
/// Requests of each endpoint that are compared for one key.
const MOST_TRIED: usize = 512;
/// Fewer comparisons that tell something do not show that there is nothing to be told.
const FEWEST: i64 = 20;
/// Moves in tenths of a usual request: what is held closely by chance is so as well when it is moved.
const MOVES: [i64; 4] = [-17, -7, 13, 23];
/// Times that may be off by more than this part of a usual request show no nesting.
const LOOSE_PART: i64 = 4;
/// How much larger than its spread an excess must be: three times (squared).
const SURE_SQUARED: i64 = 9;

/// Start and end in session time, nanoseconds.
type Span = (i64, i64);

/// What comparisons of two endpoints have found so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Closeness {
    /// How closely requests of the second lie inside those of the first, and the other way round.
    held: [Excess; 2],
    /// Requests that were compared.
    tried: usize,
}

/// How much more often requests are held closer as they are than when they are moved.
#[derive(Clone, Copy, Debug, Default)]
struct Excess {
    sum: i64,
    squares: i64,
    /// Requests that tell something.
    count: i64,
}

impl Closeness {
    /// Compares the requests of one key, each list sorted; `slack` is how far their times may be off. Returns whether
    /// that can tell anything.
    pub(super) fn add(&mut self, first: &[Span], second: &[Span], slack: i64) -> bool {
        let usual = usual(first).min(usual(second));
        if first.len().min(second.len()) < 2 || slack.saturating_mul(LOOSE_PART) > usual {
            return false;
        }
        if self.tried < 4 * MOST_TRIED {
            self.held[0].add(second, first, slack, usual);
            self.held[1].add(first, second, slack, usual);
            self.tried += first.len().min(MOST_TRIED) + second.len().min(MOST_TRIED);
        }
        true
    }

    /// By how many requests the first is above the second, if that is no chance; negative the other way round.
    pub(super) fn verdict(self) -> Option<i64> {
        let [first, second] = self.held;
        let both = Excess {
            sum: first.sum - second.sum,
            squares: first.squares + second.squares,
            count: first.count + second.count,
        };
        let is_told = match (first.is_sure(), second.is_sure()) {
            (true, true) => both.sum * both.sum > SURE_SQUARED * both.squares,
            (true, false) => both.sum > 0,
            (false, true) => both.sum < 0,
            (false, false) => false,
        };
        is_told.then_some(both.sum / MOVES.len() as i64)
    }

    /// Whether enough was compared that a relation would show.
    pub(super) fn is_enough(self) -> bool {
        self.held[0].count.min(self.held[1].count) >= FEWEST
    }
}

impl Excess {
    fn add(&mut self, inner: &[Span], outer: &[Span], slack: i64, usual: i64) {
        let step = inner.len().div_ceil(MOST_TRIED);
        let outer = &Outer::of(outer, slack);
        for &span in inner.iter().step_by(step) {
            let own = outer.closest(span);
            let mut more = 0;
            for tenths in MOVES {
                let by = usual.saturating_mul(tenths) / 10;
                let moved = outer.closest((span.0.saturating_add(by), span.1.saturating_add(by)));
                more += i64::from(own < moved) - i64::from(own > moved);
            }
            self.sum += more;
            self.squares += more * more;
            self.count += i64::from(more != 0);
        }
    }

    fn is_sure(&self) -> bool {
        self.sum > 0 && self.sum * self.sum > SURE_SQUARED * self.squares
    }
}

/// How long requests take: the median.
fn usual(spans: &[Span]) -> i64 {
    let mut lengths: Vec<i64> = spans.iter().map(|(start, end)| end.saturating_sub(*start)).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or_default()
}

/// Requests that may hold others, sorted.
struct Outer<'a> {
    spans: &'a [Span],
    /// For each the latest end of it and those before it.
    reach: Vec<i64>,
    slack: i64,
}

impl<'a> Outer<'a> {
    fn of(spans: &'a [Span], slack: i64) -> Self {
        let mut latest = i64::MIN;
        let reach = spans.iter().map(|span| {
            latest = latest.max(span.1);
            latest
        });
        Self { spans, reach: reach.collect(), slack }
    }

    /// How much longer the one is that holds this request closest; `i64::MAX` where none does.
    fn closest(&self, (start, end): Span) -> i64 {
        let begun = self.spans.partition_point(|span| span.0 <= start.saturating_add(self.slack));
        let length = end.saturating_sub(start);
        let mut least = i64::MAX;
        let first = begun.saturating_sub(LOOK_BACK);
        // A plain loop: this is most of what the comparison costs.
        for (span, &reach) in self.spans[first..begun].iter().zip(&self.reach[first..begun]).rev() {
            if end > reach.saturating_add(self.slack) {
                break;
            }
            let takes = span.1.saturating_sub(span.0);
            if end <= span.1.saturating_add(self.slack) && takes >= length {
                least = least.min(takes.saturating_sub(length));
            }
        }
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number without a pattern.
    fn any(n: i64) -> i64 {
        (n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33) & 0xffff
    }

    /// Requests of any length so many at a time; `late` after they came and before they end.
    fn requests(which: impl Fn(i64) -> bool, late: i64, at_once: i64) -> Vec<Span> {
        let request = |n: i64| {
            let start = n * 100_000 / at_once + any(n) / at_once;
            (start + late, start + 20_000 + any(n + 7_777) - late)
        };
        (0..400).filter(|n| which(*n)).map(request).collect()
    }

    fn verdict(first: &[Span], second: &[Span]) -> Option<i64> {
        let mut closeness = Closeness::default();
        assert!(closeness.add(first, second, 100));
        closeness.verdict()
    }

    #[test]
    fn what_is_behind_some_of_the_requests_is_told_from_what_is_beside() {
        for at_once in [1, 4, 16] {
            // Of two replicas each asks either of two servers.
            let upper = requests(|n| n % 2 == 0, 0, at_once);
            let beside = requests(|n| n % 2 == 1, 0, at_once);
            let lower = requests(|n| n % 4 < 2, 500, at_once);
            assert!(verdict(&upper, &lower).is_some_and(|excess| excess > 0), "{at_once}");
            assert!(verdict(&lower, &upper).is_some_and(|excess| excess < 0), "{at_once}");
            assert_eq!(verdict(&upper, &beside), None, "{at_once}");
        }
    }

    #[test]
    fn who_holds_a_request_is_found_without_a_look_at_those_that_are_over() {
        for at_once in [1, 4, 16, 400] {
            let (outer, inner) = (requests(|_| true, 0, at_once), requests(|_| true, 500, at_once));
            let holds = |(start, end): Span, span: &Span| {
                span.0 <= start + 100 && end <= span.1 + 100 && span.1 - span.0 >= end - start
            };
            for (at, &one) in inner.iter().enumerate() {
                let begun = outer.partition_point(|span| span.0 <= one.0 + 100);
                let last = &outer[begun.saturating_sub(LOOK_BACK)..begun];
                let all = last.iter().filter(|span| holds(one, span));
                let least = all.map(|span| span.1 - span.0 - (one.1 - one.0)).min().unwrap_or(i64::MAX);
                assert_eq!(Outer::of(&outer, 100).closest(one), least, "{at_once}, {at}");
            }
        }
    }

    #[test]
    fn clocks_that_may_be_off_by_a_request_tell_nothing() {
        let (upper, lower) = (requests(|_| true, 0, 1), requests(|_| true, 500, 1));
        assert!(!Closeness::default().add(&upper, &lower, 50_000));
    }
}
