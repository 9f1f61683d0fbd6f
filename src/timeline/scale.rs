//! Between time and pixels: transforms, zoom, pan and their limits.

use crate::capture::SessionTime;
use crate::session::TimeView;

/// Shortest view, in nanoseconds: below it captures have no more detail.
const MIN_SPAN_NS: i64 = 1_000;

/// The part of a view, one in this many, that always shows some of the time in which something is drawn: beside it one
/// would look at an empty screen.
const LEAST_SHARE: i64 = 8;

/// What a view may show: the whole session and a margin on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    start: i64,
    end: i64,
    /// From the first thing that is drawn to the last.
    drawn: (i64, i64),
}

impl Limits {
    /// The limits for a session from `first` to `last`: 2 % margin, at least a microsecond.
    pub fn new(first: SessionTime, last: SessionTime) -> Self {
        let span = last.0.saturating_sub(first.0).max(0);
        let margin = (span / 50).max(MIN_SPAN_NS);
        let (start, end) = (first.0.saturating_sub(margin), last.0.saturating_add(margin));
        Self { start, end, drawn: (first.0, last.0.max(first.0)) }
    }

    /// The same, with something drawn from `first` to `last` only: views keep some of that in sight.
    pub fn drawn(self, first: SessionTime, last: SessionTime) -> Self {
        let drawn = (first.0.clamp(self.start, self.end), last.0.clamp(self.start, self.end));
        Self { drawn: (drawn.0, drawn.1.max(drawn.0)), ..self }
    }

    /// The view of everything.
    pub fn fit(self) -> TimeView {
        TimeView { start: SessionTime(self.start), end: SessionTime(self.end) }
    }

    /// Length of everything, in nanoseconds.
    pub fn span_ns(self) -> i64 {
        self.end.saturating_sub(self.start).max(MIN_SPAN_NS)
    }

    /// The nearest view that is neither too short nor reaches past the limits, nor past what is drawn.
    pub fn clamp(self, view: TimeView) -> TimeView {
        let span = view.end.0.saturating_sub(view.start.0).clamp(MIN_SPAN_NS, self.span_ns());
        let latest = self.end.saturating_sub(span).max(self.start);
        let share = span / LEAST_SHARE;
        let (first, last) = self.drawn;
        let earliest = first.saturating_sub(span.saturating_sub(share)).clamp(self.start, latest);
        let latest = last.saturating_sub(share).clamp(earliest, latest);
        let start = view.start.0.clamp(earliest, latest);
        TimeView { start: SessionTime(start), end: SessionTime(start.saturating_add(span)) }
    }

    /// A view around `start..end` with a quarter of its length free on both sides, at least 50 µs long.
    pub fn around(self, start: SessionTime, end: SessionTime) -> TimeView {
        let span = end.since_ns(start).max(0);
        let margin = (span / 4).max(25_000);
        let view = TimeView {
            start: SessionTime(start.0.saturating_sub(margin)),
            end: SessionTime(end.0.saturating_add(margin)),
        };
        self.clamp(view)
    }
}

/// A view on a strip of the screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// What is shown.
    pub view: TimeView,
    /// Pixel of the view's start.
    pub left: f32,
    /// Width in pixels; at least 1.
    pub width: f32,
}

impl Scale {
    /// A view on the strip from `left`, `width` pixels wide.
    pub fn new(view: TimeView, left: f32, width: f32) -> Self {
        Self { view, left, width: width.max(1.0) }
    }

    /// Length of the view in nanoseconds.
    pub fn span_ns(&self) -> i64 {
        self.view.end.since_ns(self.view.start).max(1)
    }

    /// Nanoseconds of one pixel.
    pub fn ns_per_px(&self) -> f64 {
        self.span_ns() as f64 / f64::from(self.width)
    }

    /// The pixel of a time. Times are subtracted as integers first: f32 times would jitter when zoomed in.
    #[inline]
    pub fn x_from_time(&self, at: SessionTime) -> f32 {
        self.x_from_ns(at.0)
    }

    /// As [`Self::x_from_time`], of bare nanoseconds; far outside the view it stays within what painters bear.
    #[inline]
    pub(crate) fn x_from_ns(&self, at: i64) -> f32 {
        let offset = at.saturating_sub(self.view.start.0) as f64 / self.ns_per_px();
        self.left + offset.clamp(-1e6, 1e6) as f32
    }

    /// The time at a pixel.
    pub fn time_from_x(&self, x: f32) -> SessionTime {
        let offset = f64::from(x - self.left) * self.ns_per_px();
        SessionTime(self.view.start.0.saturating_add(offset.round() as i64))
    }

    /// The view after zooming in by `factor` (below 1: out) that keeps the time under pixel `x` where it is.
    pub fn zoomed(&self, x: f32, factor: f64, limits: Limits) -> TimeView {
        let factor = if factor.is_finite() { factor.clamp(1e-6, 1e6) } else { 1.0 };
        let span = (self.span_ns() as f64 / factor).clamp(MIN_SPAN_NS as f64, limits.span_ns() as f64);
        let share = f64::from((x - self.left) / self.width).clamp(0.0, 1.0);
        let start = self.time_from_x(x).0.saturating_sub((span * share).round() as i64);
        let end = start.saturating_add(span.round() as i64);
        limits.clamp(TimeView { start: SessionTime(start), end: SessionTime(end) })
    }

    /// The view after its content moved right by `dx` pixels.
    pub fn panned(&self, dx: f32, limits: Limits) -> TimeView {
        let by = (f64::from(dx) * self.ns_per_px()).round() as i64;
        let view = TimeView {
            start: SessionTime(self.view.start.0.saturating_sub(by)),
            end: SessionTime(self.view.end.0.saturating_sub(by)),
        };
        limits.clamp(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { start: 0, end: 10_000_000, drawn: (0, 10_000_000) };

    fn scale(start: i64, end: i64) -> Scale {
        Scale::new(TimeView { start: SessionTime(start), end: SessionTime(end) }, 100.0, 1000.0)
    }

    #[test]
    fn time_and_pixel_turn_into_each_other_even_at_the_epochs_far_end() {
        let t0 = 1_790_000_000_123_456_789;
        let scale = scale(t0, t0 + 1_000_000);
        assert_eq!(scale.x_from_time(SessionTime(t0)), 100.0);
        assert_eq!(scale.x_from_time(SessionTime(t0 + 1_000)), 101.0);
        assert_eq!(scale.time_from_x(600.0), SessionTime(t0 + 500_000));
        assert!(scale.x_from_time(SessionTime(i64::MIN)) < 0.0);
    }

    #[test]
    fn zooming_keeps_the_time_under_the_pointer() {
        let before = scale(2_000_000, 6_000_000);
        let at = before.time_from_x(350.0);
        let after = Scale::new(before.zoomed(350.0, 2.5, LIMITS), 100.0, 1000.0);
        assert!((after.x_from_time(at) - 350.0).abs() < 0.5);
        assert_eq!(after.span_ns(), 1_600_000);
    }

    #[test]
    fn zooming_stops_at_a_microsecond_and_at_everything() {
        let near = scale(5_000_000, 5_002_000).zoomed(600.0, 1e9, LIMITS);
        assert_eq!(near.end.since_ns(near.start), 1_000);
        assert_eq!(scale(2_000_000, 6_000_000).zoomed(600.0, 1e-9, LIMITS), LIMITS.fit());
        assert_eq!(scale(0, 1_000_000).zoomed(600.0, f64::NAN, LIMITS).start, SessionTime(0));
    }

    #[test]
    fn panning_stops_at_the_limits_and_keeps_the_length() {
        let view = scale(2_000_000, 6_000_000).panned(250.0, LIMITS);
        assert_eq!(view.start, SessionTime(1_000_000));
        let view = scale(2_000_000, 6_000_000).panned(-1e9, LIMITS);
        assert_eq!((view.start.0, view.end.0), (6_000_000, 10_000_000));
    }

    #[test]
    fn some_of_what_is_drawn_stays_in_the_view() {
        // A capture that ran long before and after its traffic.
        let limits = LIMITS.drawn(SessionTime(4_000_000), SessionTime(5_000_000));
        let late = scale(4_000_000, 4_800_000).panned(-1e9, limits);
        assert_eq!((late.start.0, late.end.0), (4_900_000, 5_700_000));
        let early = scale(4_000_000, 4_800_000).panned(1e9, limits);
        assert_eq!((early.start.0, early.end.0), (3_300_000, 4_100_000));
        // And in the margin beside it, however near one looks.
        let near = limits.clamp(TimeView { start: SessionTime(9_000_000), end: SessionTime(9_008_000) });
        assert_eq!((near.start.0, near.end.0), (4_999_000, 5_007_000));
        // All of it is all of it, wherever the traffic is.
        for (first, last) in [(0, 10), (9_999_990, 10_000_000), (5, 5), (7, 3)] {
            let limits = LIMITS.drawn(SessionTime(first), SessionTime(last));
            assert_eq!(limits.clamp(LIMITS.fit()), LIMITS.fit());
        }
    }

    #[test]
    fn everything_fits_with_a_margin_and_an_empty_session_has_a_length() {
        let fit = Limits::new(SessionTime(1_000_000), SessionTime(2_000_000)).fit();
        assert_eq!((fit.start.0, fit.end.0), (980_000, 2_020_000));
        let fit = Limits::new(SessionTime(5), SessionTime(5)).fit();
        assert!(fit.end > fit.start);
        let fit = Limits::new(SessionTime(i64::MIN), SessionTime(i64::MAX)).fit();
        assert!(fit.end > fit.start);
    }

    #[test]
    fn the_view_around_an_exchange_shows_it_whole() {
        let view = LIMITS.around(SessionTime(4_000_000), SessionTime(5_000_000));
        assert_eq!((view.start.0, view.end.0), (3_750_000, 5_250_000));
        assert_eq!(LIMITS.around(SessionTime(0), SessionTime(0)).start, SessionTime(0));
    }
}
