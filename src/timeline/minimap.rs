//! The overview: how much went on when, and where it failed, however small the failure.

use super::Model;
use super::row::Look;

/// A pixel column of the overview.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Exchanges that started here.
    pub count: u32,
    /// Of those, failed ones (without the rejected).
    pub failed: u32,
    /// Of those, rejected ones.
    pub rejected: u32,
}

/// Exchanges by start over the whole session, in equal buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minimap {
    /// The buckets from left to right.
    pub buckets: Vec<Bucket>,
    /// The largest count; at least 1.
    pub peak: u32,
}

/// Buckets of the overview that is made with the model: finer than any screen is wide.
const FINE: usize = 16_384;

impl Minimap {
    /// The overview of a model in `width` buckets over the time that has exchanges.
    pub fn new(model: &Model, width: usize) -> Self {
        let mut buckets = vec![Bucket::default(); width.clamp(1, FINE)];
        let count = buckets.len();
        for (at, fine) in model.overview.buckets.iter().enumerate() {
            let bucket = &mut buckets[at * count / model.overview.buckets.len()];
            bucket.count += fine.count;
            bucket.failed += fine.failed;
            bucket.rejected += fine.rejected;
        }
        Self::of(buckets)
    }

    /// The finest overview. Reads every span: it is made once, with the model.
    pub(super) fn finest(model: &Model) -> Self {
        let mut buckets = vec![Bucket::default(); FINE];
        let fit = model.fit();
        let per_ns = FINE as f64 / fit.end.since_ns(fit.start).max(1) as f64;
        for span in model.links.iter().flat_map(|l| &l.rows).flat_map(|r| &r.spans) {
            let at = (span.start.saturating_sub(fit.start.0) as f64 * per_ns) as usize;
            let bucket = &mut buckets[at.min(FINE - 1)];
            bucket.count += 1;
            match span.look {
                Look::Rejected => bucket.rejected += 1,
                Look::Failed | Look::NoResponse => bucket.failed += 1,
                Look::Answered | Look::Unknown => {}
            }
        }
        Self::of(buckets)
    }

    fn of(buckets: Vec<Bucket>) -> Self {
        let peak = buckets.iter().map(|b| b.count).max().unwrap_or(0).max(1);
        Self { buckets, peak }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::sample;

    #[test]
    fn every_exchange_is_counted_and_every_failure_kept() {
        let model = Model::new(&sample::analysis(60, 10));
        let map = Minimap::new(&model, 40);
        let all: u32 = map.buckets.iter().map(|b| b.count).sum();
        let rejected: u32 = map.buckets.iter().map(|b| b.rejected).sum();
        let spans = model.links.iter().flat_map(|l| &l.rows).map(|r| r.spans.len()).sum::<usize>();
        assert_eq!(all as usize, spans);
        assert_eq!(rejected, model.links.iter().map(|l| l.rejected).sum::<u32>());
        assert!(rejected > 0);
    }

    #[test]
    fn a_session_without_exchanges_has_an_overview() {
        let map = Minimap::new(&Model::default(), 10);
        assert_eq!((map.buckets.len(), map.peak), (10, 1));
    }
}
