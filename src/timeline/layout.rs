//! One row in a view: few items and marks to paint, however many exchanges there are.

use super::Scale;
use super::row::{Look, Span, SpanFlags};
use crate::topology::ExchangeId;

/// Spans narrower than this many pixels may merge with their neighbours.
const MERGE_WIDTH: f32 = 4.0;
/// Spans merge across a gap narrower than this many pixels.
const MERGE_GAP: f32 = 1.0;
/// No item is painted narrower than this many pixels, so that each can be seen.
const MIN_WIDTH: f32 = 2.0;
/// Marks of one kind nearer than this many pixels become one with a count.
const MARK_GAP: f32 = 7.0;

/// A bar to paint: one exchange, or a run of neighbours too narrow to tell apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// Left edge in pixels, clipped to a little outside the view.
    pub x0: f32,
    /// Right edge.
    pub x1: f32,
    /// Its first span, as an index into the row's spans.
    pub first: usize,
    /// How many spans it stands for; 1 for a single exchange.
    pub count: u32,
    /// The worst look among them.
    pub worst: Look,
    /// The flags of any of them.
    pub flags: SpanFlags,
    /// How many were rejected.
    pub rejected: u32,
    /// How many failed otherwise.
    pub failed: u32,
    /// How many were second or later attempts.
    pub retries: u32,
    /// How many match the filter; as `count` without one.
    pub matching: u32,
}

impl Item {
    /// Whether it stands for one exchange.
    pub fn is_single(&self) -> bool {
        self.count == 1
    }

    /// Width in pixels.
    pub fn width(&self) -> f32 {
        self.x1 - self.x0
    }
}

/// What a mark says. Marks are painted at a fixed size on top of the bars: no zoom hides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    /// A rejected request: a cross.
    Rejected,
    /// A failed exchange inside a merged run: a stripe of full height.
    Failed,
    /// The first of several attempts.
    FirstAttempt,
    /// A second or later attempt, with its number.
    Retry(u16),
}

/// A mark at its exchange's end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Where its bar ends, in pixels.
    pub x: f32,
    /// What it says.
    pub kind: MarkKind,
    /// How many of this kind it stands for.
    pub count: u32,
    /// The first of them.
    pub exchange: ExchangeId,
    /// Whether its exchange has a bar of its own, so that the mark goes behind it rather than onto it.
    pub beside_bar: bool,
}

/// What to paint of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowLayout {
    /// Bars from left to right.
    pub items: Vec<Item>,
    /// Marks by place.
    pub marks: Vec<Mark>,
}

/// Lays out the spans of a row (sorted, not overlapping). `matches` says which exchanges pass the filter.
///
/// The result holds at most one item for four pixels and one mark of each kind for seven.
pub fn layout_row(spans: &[Span], scale: &Scale, matches: &dyn Fn(ExchangeId) -> bool) -> RowLayout {
    let (low, high) = (scale.left - 8.0, scale.left + scale.width + 8.0);
    let from = spans.partition_point(|s| s.end < scale.view.start.0);
    let mut out = RowLayout::default();
    for (index, span) in spans.iter().enumerate().skip(from) {
        if span.start > scale.view.end.0 {
            break;
        }
        // Clipping moves painted edges only: the spans keep their times.
        let x0 = scale.x_from_ns(span.start).clamp(low, high);
        let x1 = scale.x_from_ns(span.end).clamp(low, high).max(x0);
        push_item(&mut out.items, span, index, (x0, x1), matches(span.exchange));
    }
    widen(&mut out.items);
    let narrow: Vec<(usize, usize)> =
        out.items.iter().filter(|i| !i.is_single()).map(|i| (i.first, i.first + i.count as usize)).collect();
    let to = from + out.items.iter().map(|i| i.count as usize).sum::<usize>();
    let mut run = narrow.iter().peekable();
    for (index, span) in spans.iter().enumerate().take(to).skip(from) {
        while run.next_if(|r| r.1 <= index).is_some() {}
        let merged = run.peek().is_some_and(|r| r.0 <= index);
        add_marks(&mut out.marks, span, scale.x_from_ns(span.end).clamp(low, high), merged);
    }
    out
}

fn push_item(items: &mut Vec<Item>, span: &Span, index: usize, (x0, x1): (f32, f32), matches: bool) {
    let item = Item {
        x0,
        x1,
        first: index,
        count: 1,
        worst: span.look,
        flags: span.flags,
        rejected: u32::from(span.look == Look::Rejected),
        failed: u32::from(matches!(span.look, Look::Failed | Look::NoResponse)),
        retries: u32::from(span.flags.has(SpanFlags::RETRY)),
        matching: u32::from(matches),
    };
    if let Some(last) = items.last_mut() {
        let last_narrow = !last.is_single() || last.width() < MERGE_WIDTH;
        if last_narrow && item.width() < MERGE_WIDTH && item.x0 - last.x1 < MERGE_GAP {
            last.x1 = last.x1.max(item.x1);
            last.count += 1;
            last.worst = last.worst.max(item.worst);
            last.flags.set(item.flags.0);
            last.rejected += item.rejected;
            last.failed += item.failed;
            last.retries += item.retries;
            last.matching += item.matching;
            return;
        }
    }
    items.push(item);
}

/// Gives every item its least width, but never into its neighbour.
fn widen(items: &mut [Item]) {
    let mut limit = f32::INFINITY;
    for item in items.iter_mut().rev() {
        item.x1 = item.x1.max((item.x0 + MIN_WIDTH).min(limit));
        limit = item.x0;
    }
}

fn add_marks(marks: &mut Vec<Mark>, span: &Span, x: f32, merged: bool) {
    let attempt = if span.flags.has(SpanFlags::RETRY) {
        Some(MarkKind::Retry(span.attempt))
    } else {
        span.flags.has(SpanFlags::RETRIED).then_some(MarkKind::FirstAttempt)
    };
    let outcome = match span.look {
        Look::Rejected => Some(MarkKind::Rejected),
        Look::Failed | Look::NoResponse if merged => Some(MarkKind::Failed),
        _ => None,
    };
    for kind in outcome.into_iter().chain(attempt) {
        let near = marks.iter_mut().rev().take(6).find(|m| m.kind == kind && x - m.x < MARK_GAP);
        match near {
            Some(mark) => {
                mark.count += 1;
                mark.beside_bar = false;
            }
            None => marks.push(Mark { x, kind, count: 1, exchange: span.exchange, beside_bar: !merged }),
        }
    }
}

/// Marks of a whole link for its lane's band: notable spans of all rows, by time, as in [`layout_row`].
pub fn layout_marks(notable: &[Span], scale: &Scale) -> Vec<Mark> {
    let from = notable.partition_point(|s| s.start < scale.view.start.0);
    let to = notable.partition_point(|s| s.start <= scale.view.end.0);
    let mut marks = Vec::new();
    for span in notable.get(from..to).unwrap_or_default() {
        add_marks(&mut marks, span, scale.x_from_ns(span.start), true);
    }
    marks
}

/// The item at pixel `x`, or the nearest within `slack` pixels.
pub fn hit(items: &[Item], x: f32, slack: f32) -> Option<&Item> {
    let at = items.partition_point(|i| i.x1 < x);
    let distance = |item: &Item| (item.x0 - x).max(x - item.x1).max(0.0);
    let near = [at.checked_sub(1), Some(at)];
    let items = near.into_iter().flatten().filter_map(|i| items.get(i));
    items.filter(|i| distance(i) <= slack).min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::SessionTime;
    use crate::session::TimeView;

    fn span(id: u32, start: i64, end: i64) -> Span {
        let (look, flags) = (Look::Answered, SpanFlags::default());
        Span { exchange: ExchangeId(id), ordinal: 1, start, end, look, flags, attempt: 1 }
    }

    fn rejected(id: u32, start: i64, end: i64) -> Span {
        Span { look: Look::Rejected, ..span(id, start, end) }
    }

    fn scale(start: i64, end: i64) -> Scale {
        Scale::new(TimeView { start: SessionTime(start), end: SessionTime(end) }, 0.0, 1000.0)
    }

    fn layout(spans: &[Span], start: i64, end: i64) -> RowLayout {
        layout_row(spans, &scale(start, end), &|_| true)
    }

    fn kinds(layout: &RowLayout) -> Vec<(MarkKind, u32)> {
        layout.marks.iter().map(|m| (m.kind, m.count)).collect()
    }

    #[test]
    fn wide_spans_stay_single() {
        let out = layout(&[span(0, 0, 100), span(1, 200, 300)], 0, 1000);
        assert_eq!(
            out.items.iter().map(|i| (i.x0, i.x1, i.count)).collect::<Vec<_>>(),
            [(0.0, 100.0, 1), (200.0, 300.0, 1)]
        );
        assert!(out.marks.is_empty());
    }

    #[test]
    fn narrow_neighbours_merge_and_a_gap_keeps_them_apart() {
        let out = layout(&[span(0, 0, 2), span(1, 2, 4), span(2, 20, 22)], 0, 1000);
        assert_eq!(out.items.iter().map(|i| i.count).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn a_wide_span_never_joins_a_run() {
        let out = layout(&[span(0, 0, 2), span(1, 2, 50), span(2, 50, 52)], 0, 1000);
        assert_eq!(out.items.iter().map(|i| i.count).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn one_rejected_among_a_hundred_thousand_still_has_its_mark() {
        let spans: Vec<_> = (0..100_000)
            .map(|i| {
                if i == 54_321 {
                    rejected(i, i64::from(i) * 10, i64::from(i) * 10 + 9)
                } else {
                    span(i, i64::from(i) * 10, i64::from(i) * 10 + 9)
                }
            })
            .collect();
        let out = layout(&spans, 0, 1_000_000);
        assert_eq!(out.items.len(), 1);
        assert_eq!(
            (out.items[0].count, out.items[0].rejected, out.items[0].worst),
            (100_000, 1, Look::Rejected)
        );
        assert_eq!(kinds(&out), [(MarkKind::Rejected, 1)]);
        assert_eq!(out.marks[0].exchange, ExchangeId(54_321));
        assert!((out.marks[0].x - 543.2).abs() < 1.0);
    }

    #[test]
    fn a_retry_and_its_first_attempt_have_marks_at_any_zoom() {
        let mut spans = vec![span(0, 10, 20), span(1, 30, 40), span(2, 50, 60)];
        spans[0].flags.set(SpanFlags::RETRIED);
        spans[2].flags.set(SpanFlags::RETRY);
        spans[2].attempt = 2;
        for end in [100, 10_000, 1_000_000_000] {
            let out = layout(&spans, 0, end);
            assert_eq!(kinds(&out), [(MarkKind::FirstAttempt, 1), (MarkKind::Retry(2), 1)], "{end}");
        }
    }

    #[test]
    fn marks_of_one_kind_at_one_place_become_one_with_a_count() {
        let spans: Vec<_> = (0..50).map(|i| rejected(i, i64::from(i), i64::from(i) + 1)).collect();
        assert_eq!(kinds(&layout(&spans, 0, 100_000)), [(MarkKind::Rejected, 50)]);
        assert_eq!(layout(&spans, 0, 50).marks.len(), 50);
    }

    #[test]
    fn a_failed_exchange_in_a_run_keeps_a_stripe_and_alone_needs_none() {
        let failed = Span { look: Look::Failed, ..span(1, 2, 4) };
        assert_eq!(kinds(&layout(&[span(0, 0, 2), failed, span(2, 4, 6)], 0, 1000)), [(MarkKind::Failed, 1)]);
        assert!(layout(&[failed], 0, 10).marks.is_empty());
    }

    #[test]
    fn clipping_moves_painted_edges_and_nothing_else() {
        let spans = [span(0, -1_000_000, 2_000_000)];
        let out = layout(&spans, 0, 1000);
        assert_eq!((out.items[0].x0, out.items[0].x1), (-8.0, 1008.0));
        assert_eq!(spans[0], span(0, -1_000_000, 2_000_000));
    }

    #[test]
    fn what_lies_outside_the_view_is_left_out() {
        let spans = [span(0, 0, 10), rejected(1, 20, 30), span(2, 100, 110)];
        let out = layout(&spans, 50, 90);
        assert!(out.items.is_empty() && out.marks.is_empty());
        let out = layout(&spans, 25, 90);
        assert_eq!((out.items.len(), out.items[0].first), (1, 1));
    }

    #[test]
    fn even_a_span_of_no_length_can_be_seen_but_not_over_its_neighbour() {
        let out = layout(&[span(0, 500, 500)], 0, 1000);
        assert_eq!(out.items[0].width(), 2.0);
        let out = layout(&[span(0, 500, 500), span(1, 501, 600)], 0, 1000);
        assert!(out.items[0].x1 <= out.items[1].x0);
    }

    #[test]
    fn filtered_exchanges_are_counted_in_runs() {
        let spans: Vec<_> = (0..10).map(|i| span(i, i64::from(i), i64::from(i) + 1)).collect();
        let out = layout_row(&spans, &scale(0, 10_000), &|id| id.0 % 2 == 0);
        assert_eq!((out.items[0].count, out.items[0].matching), (10, 5));
    }

    #[test]
    fn items_and_marks_are_bounded_by_the_width() {
        let spans: Vec<_> =
            (0..200_000).map(|i| rejected(i, i64::from(i) * 10, i64::from(i) * 10 + 3)).collect();
        let out = layout(&spans, 0, 2_000_000);
        assert!(out.items.len() <= 500 && out.marks.len() <= 150, "{} {}", out.items.len(), out.marks.len());
    }

    #[test]
    fn hits_are_forgiving() {
        let items = layout(&[span(0, 100, 110), span(1, 300, 310)], 0, 1000).items;
        assert_eq!(hit(&items, 105.0, 3.0).map(|i| i.first), Some(0));
        assert_eq!(hit(&items, 98.0, 3.0).map(|i| i.first), Some(0));
        assert_eq!(hit(&items, 312.0, 3.0).map(|i| i.first), Some(1));
        assert!(hit(&items, 200.0, 3.0).is_none());
        assert!(hit(&[], 1.0, 3.0).is_none());
    }

    #[test]
    fn the_band_of_a_lane_keeps_the_marks_of_all_its_rows() {
        let notable = [rejected(3, 10, 20), Span { look: Look::Failed, ..span(9, 600, 610) }];
        let kinds: Vec<_> = layout_marks(&notable, &scale(0, 1000)).iter().map(|m| m.kind).collect();
        assert_eq!(kinds, [MarkKind::Rejected, MarkKind::Failed]);
    }
}
