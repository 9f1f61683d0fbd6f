//! The time axis: round steps, and labels that do not repeat what all of them share.

use jiff::tz::TimeZone;

use crate::capture::{SessionTime, grouped};

use super::Scale;

/// In which zone times are printed.
#[derive(Clone, Copy, Debug)]
pub struct Zone<'a> {
    /// The zone.
    pub zone: &'a TimeZone,
    /// What it is called: `UTC`, `local`.
    pub name: &'a str,
}

impl Zone<'_> {
    /// Nanoseconds on the zone's own clock, counted as those of UTC are.
    fn wall(self, at: i64) -> i64 {
        at.saturating_add(self.offset_ns(at))
    }

    fn offset_ns(self, at: i64) -> i64 {
        let stamp = jiff::Timestamp::from_second(at.div_euclid(SECOND));
        stamp.map_or(0, |stamp| i64::from(self.zone.to_offset(stamp).seconds()) * SECOND)
    }
}

/// A labelled time on the axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// When.
    pub at: SessionTime,
    /// What differs from the other ticks: `.220`, `:05`, `150 µs`.
    pub label: String,
}

/// The ticks of a view, and what their labels share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// The shared part: `12:00:01 UTC`.
    pub base: String,
    /// The ticks from left to right.
    pub ticks: Vec<Tick>,
    /// Nanoseconds between two ticks.
    pub step_ns: i64,
}

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The smallest round step of at least `least` nanoseconds: 1, 2 or 5 times a power of ten below a minute,
/// then what clocks show.
fn round_step(least: f64) -> i64 {
    let mut power = 1i64;
    while power < 10 * SECOND {
        for step in [power, 2 * power, 5 * power] {
            if step as f64 >= least && step <= 10 * SECOND {
                return step;
            }
        }
        power *= 10;
    }
    const CLOCK: [i64; 12] = [
        10 * SECOND,
        30 * SECOND,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
    ];
    match CLOCK.into_iter().find(|&step| step as f64 >= least) {
        Some(step) => step,
        None => DAY.saturating_mul((least / DAY as f64).ceil().max(1.0) as i64),
    }
}

/// What all labels of a view share, from coarse to fine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    Nothing,
    Day,
    Minute,
    Second,
    Milli,
    Micro,
}

fn shared(first: i64, last: i64, step: i64) -> Shared {
    let same = |unit: i64| first.div_euclid(unit) == last.div_euclid(unit);
    // A part is shared only where the step is finer than it: a tick a second must show its second.
    let all = [
        (Shared::Micro, 1_000),
        (Shared::Milli, 1_000_000),
        (Shared::Second, SECOND),
        (Shared::Minute, MINUTE),
        (Shared::Day, DAY),
    ];
    all.into_iter().find(|&(_, unit)| step < unit && same(unit)).map_or(Shared::Nothing, |(part, _)| part)
}

/// Digits of a second's fraction that tell ticks `step` apart.
fn fraction_digits(step: i64) -> usize {
    let mut digits = 9usize;
    let mut unit = 1;
    while digits > 0 && step % (unit * 10) == 0 {
        unit *= 10;
        digits -= 1;
    }
    // Whole groups of three read better: `.220` beside `.224`, never `.22`.
    digits.div_ceil(3) * 3
}

fn fraction(at: i64, digits: usize) -> String {
    let nanos = format!("{:09}", at.rem_euclid(SECOND));
    nanos.get(..digits).unwrap_or_default().to_owned()
}

/// `12:00:01` of a clock's nanoseconds.
fn clock(at: i64) -> String {
    let second = at.div_euclid(SECOND).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// `2026-11-24` of a clock's nanoseconds.
fn date(at: i64) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(at));
    stamp.map_or_else(|_| String::new(), |t| t.strftime("%Y-%m-%d").to_string())
}

impl Axis {
    /// The axis of a view with ticks at least `spacing` pixels apart.
    pub fn new(scale: &Scale, spacing: f32, zone: Zone<'_>) -> Self {
        let step_ns = round_step(scale.ns_per_px() * f64::from(spacing.max(8.0)));
        let (start, end) = (scale.view.start.0, scale.view.end.0);
        // Round on the zone's clock: its hours may begin at half past of another.
        let offset = zone.offset_ns(start);
        let first =
            start.saturating_add(offset).div_euclid(step_ns).saturating_mul(step_ns).saturating_sub(offset);
        let first = if first < start { first.saturating_add(step_ns) } else { first };
        let count = (end.saturating_sub(first) / step_ns).clamp(0, 500);
        let last = first.saturating_add(count.saturating_mul(step_ns));
        let shared = shared(zone.wall(first), zone.wall(last), step_ns);
        let ticks = (0..=count)
            .map(|i| first.saturating_add(i.saturating_mul(step_ns)))
            .filter(|&at| at <= end)
            .map(|at| Tick { at: SessionTime(at), label: label(zone.wall(at), step_ns, shared) })
            .collect();
        Self { base: base(zone.wall(first), shared, zone.name), ticks, step_ns }
    }
}

fn base(at: i64, shared: Shared, zone: &str) -> String {
    match shared {
        Shared::Nothing => zone.to_owned(),
        Shared::Day => format!("{} {zone}", date(at)),
        Shared::Minute => format!("{} {zone}", clock(at).get(..5).unwrap_or_default()),
        Shared::Second => format!("{} {zone}", clock(at)),
        Shared::Milli => format!("{}.{} {zone}", clock(at), fraction(at, 3)),
        Shared::Micro => format!("{}.{} {zone}", clock(at), fraction(at, 6)),
    }
}

fn label(at: i64, step: i64, shared: Shared) -> String {
    let digits = fraction_digits(step);
    let rest = if digits > 0 { format!(".{}", fraction(at, digits)) } else { String::new() };
    match shared {
        Shared::Nothing if step >= DAY => date(at),
        Shared::Nothing | Shared::Day if step >= MINUTE => clock(at).get(..5).unwrap_or_default().to_owned(),
        Shared::Nothing | Shared::Day => format!("{}{rest}", clock(at)),
        Shared::Minute => format!("{}{rest}", clock(at).get(5..).unwrap_or_default()),
        Shared::Second => rest,
        Shared::Milli => {
            let (micros, nanos) = (at.rem_euclid(1_000_000) / 1000, at.rem_euclid(1000));
            if step % 1000 == 0 { format!("{micros} µs") } else { format!("{micros}.{nanos:03} µs") }
        }
        Shared::Micro => format!("{} ns", at.rem_euclid(1000)),
    }
}

/// `12:00:01.244710`: a moment for the cursor's label, with as many digits as a pixel of the view deserves.
pub(super) fn moment(at: SessionTime, ns_per_px: f64, zone: Zone<'_>) -> String {
    let digits = match ns_per_px {
        n if n < 1_000.0 => 9,
        n if n < 1_000_000.0 => 6,
        _ => 3,
    };
    format!("{}.{}", clock(zone.wall(at.0)), fraction(at.0, digits))
}

impl Scale {
    /// A moment in words, as exact as a pixel of this view deserves: `12:00:01.244710`.
    pub fn moment(&self, at: SessionTime, zone: Zone<'_>) -> String {
        moment(at, self.ns_per_px(), zone)
    }
}

/// A length of time in words of three digits: `3.41 ms`.
pub fn duration(ns: i64) -> String {
    let abs = ns.unsigned_abs() as f64;
    let (value, unit) = match abs {
        v if v < 1e3 => return format!("{ns} ns"),
        v if v < 1e6 => (ns as f64 / 1e3, "µs"),
        v if v < 1e9 => (ns as f64 / 1e6, "ms"),
        v if v < 60e9 => (ns as f64 / 1e9, "s"),
        _ => return format!("{}{}", if ns < 0 { "−" } else { "" }, long_duration(ns.unsigned_abs())),
    };
    let digits = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// `2 min 05 s`, `3 h 20 min`, `1,234 d 02 h`: what takes a minute or more.
pub fn long_duration(ns: u64) -> String {
    let minutes = ns / MINUTE.unsigned_abs();
    let (hours, days) = (minutes / 60, minutes / (24 * 60));
    match minutes {
        0..60 => format!("{minutes} min {:02} s", ns / SECOND.unsigned_abs() % 60),
        60..1440 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{} d {:02} h", grouped(days), hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::TimeView;

    /// 2026-11-24 12:00:01 UTC.
    const T: i64 = 1_795_521_601 * SECOND;

    fn axis(start: i64, end: i64) -> Axis {
        axis_in(start, end, Zone { zone: &TimeZone::UTC, name: "UTC" })
    }

    fn axis_in(start: i64, end: i64, zone: Zone<'_>) -> Axis {
        let view = TimeView { start: SessionTime(start), end: SessionTime(end) };
        Axis::new(&Scale::new(view, 0.0, 800.0), 90.0, zone)
    }

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.label.as_str()).collect()
    }

    #[test]
    fn steps_are_one_two_five() {
        for (least, step) in
            [(0.4, 1), (1.5, 2), (3.0, 5), (6.0, 10), (2.1e6, 5_000_000), (1.2e10, 30 * SECOND)]
        {
            assert_eq!(round_step(least), step);
        }
        assert_eq!(round_step(5e12), 2 * HOUR);
        assert_eq!(round_step(1e15), 12 * DAY);
    }

    #[test]
    fn labels_leave_out_the_second_that_all_share() {
        let axis = axis(T + 220_000_000, T + 248_000_000);
        assert_eq!(axis.base, "12:00:01 UTC");
        assert_eq!(axis.step_ns, 5_000_000);
        assert_eq!(labels(&axis), [".220", ".225", ".230", ".235", ".240", ".245"]);
    }

    #[test]
    fn hours_are_those_of_the_zone_and_round_there() {
        let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(-(3 * 3600 + 1800)).unwrap());
        let local = Zone { zone: &zone, name: "local" };
        let seconds = axis_in(T + 220_000_000, T + 248_000_000, local);
        assert_eq!((seconds.base.as_str(), labels(&seconds)[0]), ("08:30:01 local", ".220"));
        let hours = axis_in(T - 5 * HOUR, T + 5 * HOUR, local);
        assert_eq!((hours.base.as_str(), labels(&hours)[0]), ("2026-11-24 local", "04:00"));
        assert_eq!(moment(SessionTime(T), 1.0, local), "08:30:01.000000000");
    }

    #[test]
    fn within_a_millisecond_labels_are_micros_and_then_nanos() {
        let micros = axis(T + 220_100_000, T + 220_300_000);
        assert_eq!(micros.base, "12:00:01.220 UTC");
        assert_eq!(labels(&micros)[0], "100 µs");
        let nanos = axis(T + 220_100_000, T + 220_100_900);
        assert_eq!(nanos.base, "12:00:01.220100 UTC");
        assert_eq!(labels(&nanos)[1], "200 ns");
    }

    #[test]
    fn across_seconds_minutes_and_days_labels_grow() {
        let seconds = axis(T - 800_000_000, T + 1_900_000_000);
        assert_eq!((seconds.base.as_str(), labels(&seconds)[0]), ("12:00 UTC", ":00.500"));
        let minutes = axis(T - 90 * SECOND, T + 90 * SECOND);
        assert_eq!(minutes.base, "2026-11-24 UTC");
        assert_eq!(labels(&minutes)[0], "11:59:00");
        let days = axis(T - 3 * DAY, T + 3 * DAY);
        assert_eq!((days.base.as_str(), labels(&days)[0]), ("UTC", "2026-11-22"));
    }

    #[test]
    fn the_widest_view_there_is_gives_few_ticks() {
        assert!(axis(i64::MIN, i64::MAX).ticks.len() < 20);
    }

    #[test]
    fn long_durations_are_in_the_units_of_people() {
        for (seconds, text) in [
            (60, "1 min 00 s"),
            (3_599, "59 min 59 s"),
            (12_000, "3 h 20 min"),
            (-86_400, "−1 d 00 h"),
            (84_073_924, "973 d 01 h"),
            (200_000_000, "2,314 d 19 h"),
        ] {
            assert_eq!(duration(seconds * SECOND), text);
        }
    }

    #[test]
    fn durations_have_three_digits() {
        for (ns, text) in
            [(999, "999 ns"), (3_412_000, "3.41 ms"), (34_120, "34.1 µs"), (2_000_000_000, "2.00 s")]
        {
            assert_eq!(duration(ns), text);
        }
    }
}
