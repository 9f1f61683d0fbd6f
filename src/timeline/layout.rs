//! One row in a view: few items and marks to paint, however many exchanges there are.

use super::Scale;
use super::model::LinkRows;
use super::row::{Look, Row};
use super::summary::RunLimits;
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

    /// The index after its last span.
    fn end(&self) -> usize {
        self.first + self.count as usize
    }

    fn add_count(&mut self, kind: MarkKind, count: u32) {
        match kind {
            MarkKind::Rejected => self.rejected += count,
            MarkKind::Failed => self.failed += count,
            MarkKind::Retry(_) => self.retries += count,
            MarkKind::FirstAttempt => {}
        }
    }
}

/// What a mark says. Marks are painted at a fixed size on top of the bars: no zoom hides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Lays out the spans of a row. `grain` is 1 for a row high enough to aim at its bars; a larger one merges across wider
/// gaps, for rows so low that nobody could tell bars apart. `matching` holds, for each span and the end, how many spans
/// before it pass the filter; without a filter all do.
///
/// The result holds at most one item for two pixels and one mark of each kind for seven, and making it costs time by
/// these, not by spans.
pub fn layout_row(row: &Row, scale: &Scale, grain: f32, matching: Option<&[u32]>) -> RowLayout {
    let spans = &row.spans[..];
    let (low, high) = (scale.left - 8.0, scale.left + scale.width + 8.0);
    let pixels = |px: f32| (f64::from(px) * scale.ns_per_px()).ceil() as i64;
    let limits = RunLimits { length: pixels(MERGE_WIDTH * grain), gap: pixels(MERGE_GAP * grain) };
    let mut at = spans.partition_point(|s| s.end < scale.view.start.0);
    let to = spans.partition_point(|s| s.start <= scale.view.end.0);
    let mut out = RowLayout::default();
    while at < to {
        let (next, worst) = row.summary().run(spans, at, to, limits);
        // Clipping moves painted edges only: the spans keep their times.
        let x0 = scale.x_from_ns(spans[at].start).clamp(low, high);
        let x1 = scale.x_from_ns(spans[next - 1].end).clamp(low, high).max(x0);
        let count = (next - at) as u32;
        let matching = matching.map_or(count, |sums| sums_between(sums, at, next));
        out.items.push(Item {
            x0,
            x1,
            first: at,
            count,
            worst,
            rejected: 0,
            failed: 0,
            retries: 0,
            matching,
        });
        at = next;
    }
    widen(&mut out.items);
    let x_of = |index: u32| scale.x_from_ns(spans[index as usize].end).clamp(low, high);
    let exchange_of = |index: u32| spans[index as usize].exchange;
    let from = out.items.first().map_or(to, |item| item.first);
    for (kind, mut list) in row.summary().marks().between(from, to) {
        let mut marks = Vec::new();
        for item in &mut out.items {
            let (own, rest) = list.split_at(list.partition_point(|&at| (at as usize) < item.end()));
            list = rest;
            let merged = !item.is_single();
            item.add_count(kind, own.len() as u32);
            // A failed exchange with a bar of its own is seen by that.
            if merged || kind != MarkKind::Failed {
                add_marks(&mut marks, kind, own, merged, &x_of, &exchange_of);
            }
            if rest.is_empty() {
                break;
            }
        }
        out.marks.append(&mut marks);
    }
    sort(&mut out.marks);
    out
}

fn sums_between(sums: &[u32], from: usize, to: usize) -> u32 {
    let at = |index: usize| sums.get(index).copied().unwrap_or(0);
    at(to).saturating_sub(at(from))
}

/// Gives every item its least width, but never into its neighbour.
fn widen(items: &mut [Item]) {
    let mut limit = f32::INFINITY;
    for item in items.iter_mut().rev() {
        item.x1 = item.x1.max((item.x0 + MIN_WIDTH).min(limit));
        limit = item.x0;
    }
}

/// Adds marks of one kind to others of it: those nearer than [`MARK_GAP`] to the one before are counted by that one,
/// and passed over by a search, however many they are.
fn add_marks(
    marks: &mut Vec<Mark>,
    kind: MarkKind,
    mut list: &[u32],
    merged: bool,
    x_of: &dyn Fn(u32) -> f32,
    exchange_of: &dyn Fn(u32) -> ExchangeId,
) {
    while let Some(&first) = list.first() {
        let x = x_of(first);
        if marks.last().is_none_or(|mark| x - mark.x >= MARK_GAP) {
            marks.push(Mark { x, kind, count: 0, exchange: exchange_of(first), beside_bar: !merged });
        }
        let Some(mark) = marks.last_mut() else { return };
        let covered = list.partition_point(|&index| x_of(index) - mark.x < MARK_GAP).max(1);
        mark.count += covered as u32;
        mark.beside_bar &= mark.count == 1;
        list = list.get(covered..).unwrap_or_default();
    }
}

fn sort(marks: &mut [Mark]) {
    marks.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.kind.cmp(&b.kind)));
}

/// Marks of a whole link for its lane's band: the notable spans of all rows, by time.
pub fn layout_marks(link: &LinkRows, scale: &Scale) -> Vec<Mark> {
    let notable = &link.notable[..];
    let from = notable.partition_point(|s| s.start < scale.view.start.0);
    let to = notable.partition_point(|s| s.start <= scale.view.end.0);
    let x_of = |index: u32| scale.x_from_ns(notable[index as usize].start);
    let mut marks = Vec::new();
    for (kind, list) in link.notable_marks.between(from, to) {
        let mut own = Vec::new();
        add_marks(&mut own, kind, list, true, &x_of, &|index| notable[index as usize].exchange);
        marks.append(&mut own);
    }
    sort(&mut marks);
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
    use crate::timeline::row::{Span, SpanFlags};

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
        layout_row(&Row::new(vec![], spans.to_vec(), vec![]), &scale(start, end), 1.0, None)
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
        let sums: Vec<u32> = (0..=10).map(|before| before / 2).collect();
        let out = layout_row(&Row::new(vec![], spans, vec![]), &scale(0, 10_000), 1.0, Some(&sums));
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
    fn whatever_the_zoom_every_rejection_and_retry_is_counted_by_a_mark() {
        let spans: Vec<_> = (0..20_000)
            .map(|i| {
                let mut one = span(i, i64::from(i) * 10, i64::from(i) * 10 + i64::from(i % 10));
                match i % 501 {
                    7 => one.look = Look::Rejected,
                    8 => one.flags.set(SpanFlags::RETRIED),
                    9 => {
                        one.flags.set(SpanFlags::RETRY);
                        one.attempt = 2 + (i % 3) as u16;
                    }
                    _ => {}
                }
                one
            })
            .collect();
        for end in [200_000, 2_000_000, 2_000_000_000] {
            let out = layout(&spans, 0, end);
            let counted = |wanted: fn(MarkKind) -> bool| {
                out.marks.iter().filter(|m| wanted(m.kind)).map(|m| m.count).sum::<u32>()
            };
            assert_eq!(counted(|kind| kind == MarkKind::Rejected), 40, "{end}");
            assert_eq!(counted(|kind| kind == MarkKind::FirstAttempt), 40, "{end}");
            assert_eq!(counted(|kind| matches!(kind, MarkKind::Retry(_))), 40, "{end}");
            assert_eq!(out.items.iter().map(|item| item.count).sum::<u32>(), 20_000);
            assert_eq!(out.items.iter().map(|item| item.rejected).sum::<u32>(), 40);
        }
    }

    #[test]
    fn a_coarse_grain_merges_more_and_hides_no_mark() {
        let spans = (0..200)
            .map(|i| (i, i64::from(i) * 5))
            .map(|(i, at)| if i == 99 { rejected(i, at, at + 3) } else { span(i, at, at + 3) });
        let row = Row::new(vec![], spans.collect(), vec![]);
        let of = |grain| layout_row(&row, &scale(0, 1000), grain, None);
        assert_eq!((of(1.0).items.len(), of(4.0).items.len()), (200, 1));
        assert_eq!(kinds(&of(4.0)), [(MarkKind::Rejected, 1)]);
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
        let link = LinkRows::default().with_notable(notable.to_vec());
        let kinds: Vec<_> = layout_marks(&link, &scale(0, 1000)).iter().map(|m| m.kind).collect();
        assert_eq!(kinds, [MarkKind::Rejected, MarkKind::Failed]);
    }
}
