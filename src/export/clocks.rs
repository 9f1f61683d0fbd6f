//! The clocks in the report for people: offset and band of each capture, what they rest on, and how the clock went.

use crate::analysis::Analysis;
use crate::capture::{CaptureId, CaptureInfo};
use crate::diagnose::words::{band, band_beside, drift, listed, offset, offset_to, time_of_day};
use crate::topology::{Clock, ClockMethod};

use super::text::{heading, paragraph, table};

/// By so much, in percent of what it is where the clock was compared, a band outside of that time is worth a word.
const WIDER_PERCENT: i64 = 200;

/// Writes the section, where there is more than one clock, or the user moved one.
pub(super) fn write_clocks(analysis: &Analysis, out: &mut String) {
    let all = || (0..).map(CaptureId).zip(&analysis.topology.clocks);
    let says_something = |clock: &Clock| {
        clock.offset_ns != 0 || clock.method == ClockMethod::None || clock.band_ns.is_some_and(|ns| ns > 0)
    };
    if !all().any(|(_, clock)| says_something(clock)) {
        return;
    }
    heading(out, "Clocks (what is added to the times of a capture)");
    let rows = all().map(|(id, clock)| {
        let basis = format!("{}: {}", method_name(clock.method), clock.basis());
        let added = added(clock, &analysis.capture(id).info);
        vec![analysis.capture_name(id), added, band_words(clock, &analysis.capture(id).info), basis]
    });
    table(out, rows.collect(), &[false, true, true, false]);
    for (id, clock) in all() {
        let name = analysis.capture_name(id);
        if clock.manual_ns != 0 {
            let (computed, manual) = (offset(clock.computed_ns), offset(clock.manual_ns));
            let doubt = contradiction(clock, &analysis.capture(id).info)
                .map_or_else(String::new, |words| format!(" {words}"));
            paragraph(out, "  ", &format!("{name}: {computed} computed and {manual} by hand.{doubt}"));
        }
        if let Some(words) = over_time(clock, &analysis.capture(id).info) {
            paragraph(out, "  ", &format!("{name}: {words}"));
        }
    }
}

/// Says so where the user's part takes a clock out of the band that the traffic allows.
pub fn contradiction(clock: &Clock, info: &CaptureInfo) -> Option<String> {
    let ns = clock.band_ns?;
    // Beside it stands the widest band, which is another number where the clock was not always compared.
    let place = if widest(clock, info) == Some(ns) { "" } else { " where it was compared" };
    let is_computed = !matches!(clock.method, ClockMethod::None | ClockMethod::Declared);
    (is_computed && clock.manual_ns.unsigned_abs() > ns.unsigned_abs()).then(|| {
        format!(
            "{} by hand is outside what the traffic allows ({} {}{place}): requests are shown outside those that caused them.",
            offset(clock.manual_ns),
            offset_to(clock.computed_ns, ns),
            band_beside(clock.computed_ns, ns),
        )
    })
}

/// The name of a method.
pub fn method_name(method: ClockMethod) -> &'static str {
    match method {
        ClockMethod::SameSegment => "same segments",
        ClockMethod::Containment => "containment",
        ClockMethod::Declared => "declared",
        ClockMethod::SameHost => "one clock",
        ClockMethod::None => "none",
    }
}

/// What is added to the times, from the first to the last where that is not the same.
fn added(clock: &Clock, info: &CaptureInfo) -> String {
    let ends =
        [info.first.map(|at| clock.offset_at(at, 1)), info.last.map(|at| clock.offset_at(at, u32::MAX))];
    match ends {
        [Some(first), Some(last)] if clock.steps[0].is_some() && first != last => {
            let words = |ns: i64| digits(ns, clock, info);
            format!("{} … {}", words(first), words(last))
        }
        _ => digits(clock.offset_ns, clock, info),
    }
}

/// A number that is added, with the digits of the capture's band; with all that there are where the user gave a part of it,
/// so that the sum is seen to be one, or nothing tells how good it is.
pub fn digits(ns: i64, clock: &Clock, info: &CaptureInfo) -> String {
    match widest(clock, info).filter(|_| clock.manual_ns == 0) {
        Some(within) => offset_to(ns, within),
        None => offset(ns),
    }
}

/// The widest band of the capture's times, of each moment where the clock did not go evenly.
pub fn band_words(clock: &Clock, info: &CaptureInfo) -> String {
    match widest(clock, info) {
        Some(0) if clock.offset_ns == clock.manual_ns => "reference".to_owned(),
        Some(ns) if clock.manual_ns == 0 => band_beside(clock.offset_ns, ns),
        Some(ns) => band(ns),
        None => "band not known".to_owned(),
    }
}

/// The widest band of the capture's times.
fn widest(clock: &Clock, info: &CaptureInfo) -> Option<i64> {
    match (info.first, info.last) {
        (Some(first), Some(last)) => clock.widest_band_ns(first, last),
        _ => clock.band_ns,
    }
}

/// From when to when the clock was compared, where it is known worse before or after; `None` where it is not.
fn outside(clock: &Clock, info: &CaptureInfo) -> Option<String> {
    let (ns, [from, to]) = (clock.band_ns?, clock.compared_in?);
    let words = || {
        let [from, to] = [from, to].map(|at| time_of_day(at.0));
        format!(
            "Compared from {from} to {to} UTC, where it is good to {}; before and after it may drift.",
            band(ns)
        )
    };
    (from <= to && widest(clock, info)? > ns.saturating_mul(WIDER_PERCENT) / 100).then(words)
}

/// How the offset changed while the capture was recorded, and when it is known worse; `None` where neither is to be said.
pub fn over_time(clock: &Clock, info: &CaptureInfo) -> Option<String> {
    let outside = outside(clock, info);
    if !clock.changes() {
        return outside;
    }
    let mut parts = Vec::new();
    if clock.drifts() {
        parts.push(drift(clock.drift_ppb, clock.outside_ppb));
    }
    for step in clock.steps.iter().flatten() {
        let moment = clock.moment_of(step).0;
        let mut words =
            format!("was set by {} at {} UTC", offset(step.by_ns.saturating_neg()), time_of_day(moment));
        // By its own clock another time stands there.
        if time_of_day(step.at.0) != time_of_day(moment) {
            words.push_str(&format!(" ({} in the file)", time_of_day(step.at.0)));
        }
        if step.is_relative {
            words.push_str(", or the others by the contrary, which nothing tells");
        }
        parts.push(words);
    }
    let mut words = format!("its clock {}.", listed(&parts));
    if let (Some(first), Some(last)) = (info.first, info.last) {
        // Of a clock that was set back they may be the same: its last moment is then not its latest time.
        let ends = [(first, 1), (last, u32::MAX)].map(|(at, frame)| clock.offset_at(at, frame));
        if ends[0] != ends[1] {
            let [first, last] = ends.map(|ns| digits(ns, clock, info));
            words.push_str(&format!(" What is added goes from {first} to {last}."));
        }
        if let Some(whole) = clock.whole_band_ns(first, last) {
            let one = offset_to(clock.offset_ns, whole);
            let good_to = band_beside(clock.offset_ns, whole);
            words.push_str(&format!(" One number for the whole file, {one}, is good to {good_to}."));
        }
    }
    if let Some(outside) = outside {
        words.push_str(&format!(" {outside}"));
    }
    Some(words)
}
