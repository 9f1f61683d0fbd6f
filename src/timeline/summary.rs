//! A row's spans in summary, made once: a frame that shows a million of them looks at some hundred.
//!
//! ```text
//! level 1   [·······64·······][·······64·······]…     longest span, widest gap and worst look
//! level 0   [·8·][·8·][·8·][·8·][·8·][·8·][·8·]…      of the spans below each node
//! spans     ||||||||||||||||||||||||||||||||||||…
//! ```
//!
//! A run of neighbours too narrow to tell apart grows by whole nodes as long as nothing in them would end it, so
//! that the runs are exactly those found span by span. Marks are found in lists of their own, by kind.

use super::layout::MarkKind;
use super::row::{Look, Span, SpanFlags};

/// Spans, or nodes of the level below, that a node stands for, as a power of two.
const FAN_BITS: u32 = 3;
/// Attempts from this one on share a mark: a hostile capture could have thousands.
const LAST_ATTEMPT: u16 = 10;

/// What a run must know of consecutive spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    /// The longest span, in nanoseconds.
    longest: i64,
    /// The widest gap between two of the spans.
    widest_gap: i64,
    /// The worst look.
    worst: Look,
}

/// The spans of a row in summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    levels: Vec<Vec<Node>>,
    marks: MarkLists,
}

/// What ends a run, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunLimits {
    /// A span at least this long stands by itself.
    pub length: i64,
    /// A gap at least this wide is seen.
    pub gap: i64,
}

impl RunLimits {
    fn bear(self, node: &Node) -> bool {
        node.longest < self.length && node.widest_gap < self.gap
    }
}

fn length(span: &Span) -> i64 {
    span.end.saturating_sub(span.start)
}

fn gap(before: &Span, after: &Span) -> i64 {
    after.start.saturating_sub(before.end)
}

impl Summary {
    /// The summary of spans that are sorted and do not overlap.
    pub(super) fn of(spans: &[Span]) -> Self {
        let fan = 1usize << FAN_BITS;
        let mut levels: Vec<Vec<Node>> = Vec::new();
        // The last spans that fill no node are looked at one by one.
        let mut level: Vec<Node> = spans.chunks_exact(fan).map(leaf).collect();
        while !level.is_empty() {
            let width = fan.pow(levels.len() as u32 + 1);
            let joined = level.chunks_exact(fan).enumerate().map(|(at, nodes)| {
                let gaps = (1..fan).map(|child| {
                    let first = at * width * fan + child * width;
                    gap(&spans[first - 1], &spans[first])
                });
                join(nodes, gaps.max().unwrap_or(0))
            });
            let above = joined.collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        Self { levels, marks: MarkLists::of(spans) }
    }

    /// The marks of the spans, by kind.
    pub(super) fn marks(&self) -> &MarkLists {
        &self.marks
    }

    /// Where the run that begins with the span at `from` ends (the index after its last span, at most `to`), and the
    /// worst look in it.
    pub(super) fn run(&self, spans: &[Span], from: usize, to: usize, limits: RunLimits) -> (usize, Look) {
        let mut worst = spans[from].look;
        let mut at = from + 1;
        if length(&spans[from]) >= limits.length {
            return (at, worst);
        }
        while at < to && gap(&spans[at - 1], &spans[at]) < limits.gap {
            let (step, look) = match self.largest_node(at, to, limits) {
                Some((step, node)) => (step, node.worst),
                None if length(&spans[at]) < limits.length => (1, spans[at].look),
                None => break,
            };
            worst = worst.max(look);
            at += step;
        }
        (at, worst)
    }

    /// The node of most spans that begins at `at`, ends before `to` and holds nothing that ends a run.
    fn largest_node(&self, at: usize, to: usize, limits: RunLimits) -> Option<(usize, &Node)> {
        let mut best = None;
        for (level, nodes) in self.levels.iter().enumerate() {
            let bits = FAN_BITS * (level as u32 + 1);
            let width = 1usize << bits;
            if !at.is_multiple_of(width) || at + width > to {
                break;
            }
            match nodes.get(at >> bits).filter(|node| limits.bear(node)) {
                Some(node) => best = Some((width, node)),
                None => break,
            }
        }
        best
    }
}

fn leaf(spans: &[Span]) -> Node {
    let gaps = spans.windows(2).map(|pair| gap(&pair[0], &pair[1]));
    Node {
        longest: spans.iter().map(length).max().unwrap_or(0),
        widest_gap: gaps.max().unwrap_or(0),
        worst: spans.iter().map(|span| span.look).max().unwrap_or(Look::Answered),
    }
}

fn join(nodes: &[Node], between: i64) -> Node {
    Node {
        longest: nodes.iter().map(|node| node.longest).max().unwrap_or(0),
        widest_gap: nodes.iter().map(|node| node.widest_gap).max().unwrap_or(0).max(between),
        worst: nodes.iter().map(|node| node.worst).max().unwrap_or(Look::Answered),
    }
}

/// The indices of spans that have a mark, by the mark's kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkLists(Vec<(MarkKind, Vec<u32>)>);

impl MarkLists {
    /// The marks of spans in their order.
    pub(super) fn of(spans: &[Span]) -> Self {
        let mut lists: Vec<(MarkKind, Vec<u32>)> = Vec::new();
        for (index, span) in spans.iter().enumerate() {
            for kind in outcome_mark(span).into_iter().chain(attempt_mark(span)) {
                match lists.iter_mut().find(|list| list.0 == kind) {
                    Some((_, list)) => list.push(index as u32),
                    None => lists.push((kind, vec![index as u32])),
                }
            }
        }
        lists.sort_unstable_by_key(|list| list.0);
        Self(lists)
    }

    /// Whether there is a mark of this kind.
    pub(super) fn has(&self, kind: MarkKind) -> bool {
        self.0.iter().any(|list| list.0 == kind)
    }

    /// For each kind the indices in `from..to`.
    pub(super) fn between(&self, from: usize, to: usize) -> impl Iterator<Item = (MarkKind, &[u32])> {
        self.0.iter().filter_map(move |(kind, list)| {
            let first = list.partition_point(|&at| (at as usize) < from);
            let rest = list.get(first..)?;
            let count = rest.partition_point(|&at| (at as usize) < to);
            Some((*kind, rest.get(..count).filter(|found| !found.is_empty())?))
        })
    }
}

fn outcome_mark(span: &Span) -> Option<MarkKind> {
    match span.look {
        Look::Rejected => Some(MarkKind::Rejected),
        Look::Failed | Look::NoResponse => Some(MarkKind::Failed),
        Look::Answered | Look::Unknown => None,
    }
}

fn attempt_mark(span: &Span) -> Option<MarkKind> {
    if span.flags.has(SpanFlags::RETRY) {
        Some(MarkKind::Retry(span.attempt.min(LAST_ATTEMPT)))
    } else {
        span.flags.has(SpanFlags::RETRIED).then_some(MarkKind::FirstAttempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::ExchangeId;

    /// Spans of made-up lengths and gaps; one in forty is long, one in fifty stands apart.
    fn spans(count: u32) -> Vec<Span> {
        let mut seed = 7u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) % below) as i64
        };
        let mut at = 0;
        let make = |id| {
            at += if random(50) == 0 { 500 } else { random(9) };
            let start = at;
            at += if random(40) == 0 { 300 } else { random(30) };
            let look = if random(90) == 0 { Look::Rejected } else { Look::Answered };
            let (exchange, flags) = (ExchangeId(id), SpanFlags::default());
            Span { exchange, ordinal: 1, start, end: at, look, flags, attempt: 1 }
        };
        (0..count).map(make).collect()
    }

    /// The same run, one span after the other.
    fn plain_run(spans: &[Span], from: usize, to: usize, limits: RunLimits) -> (usize, Look) {
        let mut at = from + 1;
        let narrow = |at: usize| length(&spans[at]) < limits.length;
        while at < to && narrow(at - 1) && narrow(at) && gap(&spans[at - 1], &spans[at]) < limits.gap {
            at += 1;
        }
        (at, spans[from..at].iter().map(|span| span.look).max().unwrap())
    }

    #[test]
    fn runs_are_those_found_span_by_span() {
        let spans = spans(3_000);
        let summary = Summary::of(&spans);
        for limits in [(20, 5), (40, 10), (200, 400), (1_000, 10), (1_000, 1_000), (0, 0)] {
            let limits = RunLimits { length: limits.0, gap: limits.1 };
            for from in (0..3_000).step_by(37).chain([2_999]) {
                for to in [from + 1, from + 70, 2_950, 3_000] {
                    if from < to && to <= spans.len() {
                        let plain = plain_run(&spans, from, to, limits);
                        assert_eq!(summary.run(&spans, from, to, limits), plain, "{from} {to} {limits:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn marks_are_listed_by_kind_and_late_attempts_share_one() {
        let mut spans = spans(200);
        for (at, attempt) in [(3, 2), (9, 12), (50, 4_000)] {
            spans[at].flags.set(SpanFlags::RETRY);
            spans[at].attempt = attempt;
        }
        let lists = MarkLists::of(&spans);
        let of = |kind| lists.between(4, 100).find(|list| list.0 == kind).map(|list| list.1.to_vec());
        assert_eq!(of(MarkKind::Retry(2)), None);
        assert_eq!(of(MarkKind::Retry(LAST_ATTEMPT)), Some(vec![9, 50]));
        let rejected = of(MarkKind::Rejected).unwrap_or_default();
        assert!(
            rejected.iter().all(|&at| spans[at as usize].look == Look::Rejected && (4..100).contains(&at))
        );
    }

    #[test]
    fn nothing_has_a_summary_too() {
        assert_eq!(Summary::of(&[]), Summary::default());
    }
}
