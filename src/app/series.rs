//! The figures behind the statistics pane: answers by link over time, and the spread of latencies.

use crate::analysis::Analysis;
use crate::capture::SessionTime;

/// Time buckets across the session.
pub const BUCKETS: usize = 120;
/// Latency buckets: ten a decade from 10 µs to 100 s.
pub const LATENCY_BUCKETS: usize = 71;

/// A kind of answer that the plot tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Status below 400.
    Fine,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// No answer: rejected, closed, given up.
    NoAnswer,
}

impl Kind {
    /// All kinds in plotting order.
    pub const ALL: [Self; 4] = [Self::Fine, Self::ClientError, Self::ServerError, Self::NoAnswer];

    /// Whether it is a failure.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::ServerError | Self::NoAnswer)
    }

    /// The name in the legend.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "answered (1xx–3xx)",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::NoAnswer => "no answer",
        }
    }
}

/// The figures of one link.
#[derive(Clone, Debug)]
pub struct LinkSeries {
    /// Exchanges that started in each time bucket, by [`Kind`].
    pub answers: [Vec<u32>; 4],
    /// Exchanges by latency bucket.
    pub latency: Vec<u32>,
}

impl LinkSeries {
    /// How many answers of a kind there are.
    pub fn count(&self, kind: Kind) -> u64 {
        self.answers[kind as usize].iter().copied().map(u64::from).sum()
    }

    /// The time buckets in which requests failed, each with all that it has.
    pub fn failed(&self) -> impl Iterator<Item = (usize, u32)> {
        let sum = |at: usize, counts: fn(Kind) -> bool| -> u32 {
            Kind::ALL
                .into_iter()
                .filter(|&kind| counts(kind))
                .map(|kind| self.answers[kind as usize][at])
                .sum()
        };
        let failed = (0..BUCKETS).filter(move |&at| sum(at, Kind::is_failure) > 0);
        failed.map(move |at| (at, sum(at, |_| true)))
    }
}

/// The figures of all links.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Start of the first time bucket.
    pub start: SessionTime,
    /// Length of a time bucket in nanoseconds; at least 1.
    pub step_ns: i64,
    /// By link, in the order of the topology's links.
    pub links: Vec<LinkSeries>,
}

impl Series {
    /// Counts every exchange once.
    pub fn new(analysis: &Analysis) -> Self {
        // Captures run on before and after the traffic: the plot is for when there were requests.
        let spans = analysis.exchanges().map(|exchange| (exchange.started(), exchange.started()));
        let (start, end) = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or_default();
        let step_ns = (end.since_ns(start) / BUCKETS as i64).saturating_add(1).max(1);
        let empty = LinkSeries {
            answers: std::array::from_fn(|_| vec![0; BUCKETS]),
            latency: vec![0; LATENCY_BUCKETS],
        };
        let mut links = vec![empty; analysis.topology.links.len()];
        for exchange in analysis.exchanges() {
            let link = &mut links[usize::from(exchange.link_id().0)];
            let kind = match exchange.status() {
                None => Kind::NoAnswer,
                Some(0..400) => Kind::Fine,
                Some(400..500) => Kind::ClientError,
                Some(_) => Kind::ServerError,
            };
            let at = exchange.started().since_ns(start) / step_ns;
            link.answers[kind as usize][at.clamp(0, BUCKETS as i64 - 1) as usize] += 1;
            if let Some(ns) = exchange.latency_ns() {
                link.latency[latency_bucket(ns)] += 1;
            }
        }
        Self { start, step_ns, links }
    }
}

/// The bucket of a latency in nanoseconds.
pub fn latency_bucket(ns: i64) -> usize {
    let tenths = ((ns.max(1) as f64).log10() - 4.0) * 10.0;
    tenths.floor().clamp(0.0, LATENCY_BUCKETS as f64 - 1.0) as usize
}

/// Lower edge of a latency bucket, in nanoseconds.
pub fn latency_of(bucket: f64) -> i64 {
    10f64.powf(4.0 + bucket / 10.0).min(i64::MAX as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::fixture;

    #[test]
    fn every_exchange_is_counted_once() {
        let analysis = fixture::analysis();
        let series = Series::new(&analysis);
        let counted: u32 = series.links.iter().flat_map(|l| l.answers.iter().flatten()).sum();
        assert_eq!(counted as usize, analysis.topology.exchanges.len());
        let with_latency = analysis.exchanges().filter(|x| x.latency_ns().is_some()).count();
        assert_eq!(series.links.iter().flat_map(|l| &l.latency).sum::<u32>() as usize, with_latency);
        let failed = |link: &LinkSeries| {
            let counts = |kind: Kind| link.answers[kind as usize].iter().map(|&count| count > 0).collect();
            let [errors, unanswered]: [Vec<bool>; 2] = [counts(Kind::ServerError), counts(Kind::NoAnswer)];
            errors.iter().zip(unanswered).filter(|(a, b)| **a || *b).count()
        };
        assert!(series.links.iter().any(|link| failed(link) > 0));
        assert!(series.links.iter().all(|link| link.failed().count() == failed(link)));
    }

    #[test]
    fn latencies_fall_into_ten_buckets_a_decade() {
        assert_eq!((latency_bucket(0), latency_bucket(10_000), latency_bucket(1_000_001)), (0, 0, 20));
        assert_eq!(latency_bucket(i64::MAX), LATENCY_BUCKETS - 1);
        assert_eq!(latency_of(20.0), 1_000_000);
    }
}
