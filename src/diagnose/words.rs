//! Numbers and lists as people write them.

use std::collections::BTreeMap;

use super::{ByMethod, IDLE_BOUNDS_NS};
pub use crate::capture::grouped;

/// `once`, `twice`, `16 times`.
pub fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{} times", grouped(count)),
    }
}

/// The text with a capital letter at its beginning.
pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `1 connection`, `3 connections`, `2 GETs`, `2 OPTIONS`.
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 || noun.ends_with('S') { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// What is to be said of a link's requests whose cause is ambiguous: `12 of 240 requests are ambiguous`.
pub fn ambiguous(ambiguous: u64, requests: u64) -> String {
    let are = if ambiguous == 1 { "is" } else { "are" };
    format!("{} of {} {are} ambiguous", grouped(ambiguous), counted(requests, "request"))
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// Addresses named in a sentence; of more the others are counted.
const MOST_NAMED: usize = 4;

/// Addresses, as in [`listed`]; of many the first ones: `a, b, c and 12 more`.
pub fn addresses(all: &[std::net::SocketAddr]) -> String {
    let shown = if all.len() > MOST_NAMED { MOST_NAMED - 1 } else { all.len() };
    let mut parts: Vec<String> = all[..shown].iter().map(ToString::to_string).collect();
    if shown < all.len() {
        parts.push(format!("{} more", grouped((all.len() - shown) as u64)));
    }
    listed(&parts)
}

/// `6 POSTs and 2 GETs`, the most frequent first.
pub fn methods(by_method: &ByMethod) -> String {
    let mut all: Vec<(&String, u64)> = by_method.iter().map(|(name, &count)| (name, count)).collect();
    all.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    listed(&all.into_iter().map(|(name, count)| counted(count, name)).collect::<Vec<_>>())
}

/// What stands before a number that leaves out so many of which nothing is sure: `at least `.
pub fn at_least(unsure: u64) -> &'static str {
    if unsure > 0 { "at least " } else { "" }
}

/// The same for a cell of a table: `≥ 10`, and `?` where none is sure.
pub fn at_least_short(number: u64, unsure: u64) -> String {
    match (number, unsure) {
        (number, 0) => grouped(number),
        (0, _) => "?".to_owned(),
        (number, _) => format!("≥ {}", grouped(number)),
    }
}

/// A duration to the precision that matters: `13 µs`, `3.4 ms`, `5.00 s`.
pub fn duration(ns: i64) -> String {
    let abs = ns.unsigned_abs() as f64;
    let sign = if ns < 0 { "-" } else { "" };
    match abs {
        _ if abs < 1e3 => format!("{sign}{abs:.0} ns"),
        _ if abs < 999.5e3 => format!("{sign}{:.0} µs", abs / 1e3),
        _ if abs < 1e7 => format!("{sign}{:.1} ms", abs / 1e6),
        _ if abs < 999.5e6 => format!("{sign}{:.0} ms", abs / 1e6),
        _ if abs < 1e10 => format!("{sign}{:.2} s", abs / 1e9),
        _ => format!("{sign}{:.1} s", abs / 1e9),
    }
}

/// A clock offset with every nanosecond, so that a sum of two is seen to be one: `+412.345678 ms`, `−86,400.0003 s`.
pub fn offset(ns: i64) -> String {
    let sign = match ns {
        0 => return "0".to_owned(),
        _ if ns < 0 => "−",
        _ => "+",
    };
    let (digits, unit) = match ns.unsigned_abs() {
        0..1_000_000 => (3, "µs"),
        1_000_000..10_000_000_000 => (6, "ms"),
        _ => (9, "s"),
    };
    format!("{sign}{} {unit}", decimal(ns.unsigned_abs(), digits))
}

/// The finest step that a band of this half-width is told in: that of its third digit.
fn step_of(band_ns: i64) -> u64 {
    let digits = band_ns.unsigned_abs().checked_ilog10().unwrap_or(0);
    10_u64.pow(digits.saturating_sub(2))
}

/// The nearest number that is a multiple of a step.
fn rounded(ns: i64, step: u64) -> i64 {
    let step = i128::from(step);
    let nearest = (i128::from(ns) + step / 2).div_euclid(step) * step;
    i64::try_from(nearest).unwrap_or(ns)
}

/// A clock offset with as many digits as its band has, zeros at its end too: `+412.3457 ms` within 21.4 µs.
pub fn offset_to(ns: i64, band_ns: i64) -> String {
    let step = step_of(band_ns);
    let near = rounded(ns, step);
    let sign = match near {
        0 => return "0".to_owned(),
        _ if near < 0 => "−",
        _ => "+",
    };
    let (digits, unit): (u32, _) = match near.unsigned_abs() {
        0..1_000_000 => (3, "µs"),
        1_000_000..10_000_000_000 => (6, "ms"),
        _ => (9, "s"),
    };
    let shown = digits.saturating_sub(step.ilog10()) as usize;
    let (whole, fraction) =
        (near.unsigned_abs() / 10_u64.pow(digits), near.unsigned_abs() % 10_u64.pow(digits));
    let fraction = format!("{fraction:0width$}", width = digits as usize);
    let point = if shown == 0 { "" } else { "." };
    format!("{sign}{}{point}{} {unit}", grouped(whole), &fraction[..shown])
}

/// The band beside an offset that is told by [`offset_to`]: what the digits left out may be is inside of it.
pub fn band_beside(ns: i64, band_ns: i64) -> String {
    let off = rounded(ns, step_of(band_ns)).abs_diff(ns);
    band(band_ns.saturating_add(i64::try_from(off).unwrap_or(i64::MAX)))
}

/// How a clock goes whose offset grows by so many nanoseconds a second, give or take so many, where it goes at all:
/// `loses 50.2 ± 1.3 µs a second`.
pub fn drift(offset_grows_ppb: i64, give_or_take_ppb: i64) -> String {
    let goes = if offset_grows_ppb > 0 { "loses" } else { "gains" };
    let digits = give_or_take_ppb.unsigned_abs().checked_ilog10().unwrap_or(0);
    let step = 10_u64.pow(digits.saturating_sub(1).min(3));
    let near = rounded(offset_grows_ppb, step);
    let most = give_or_take_ppb.unsigned_abs().saturating_add(near.abs_diff(offset_grows_ppb));
    let shown = if give_or_take_ppb == 0 { 1 } else { 3_usize.saturating_sub(step.ilog10() as usize) };
    let micro = |ppb: u64| format!("{:.shown$}", ppb as f64 / 1e3);
    let about = if give_or_take_ppb == 0 {
        String::new()
    } else {
        format!(" ± {}", micro(most.div_ceil(step).saturating_mul(step)))
    };
    format!("{goes} {}{about} µs a second", micro(near.unsigned_abs()))
}

/// Half of a band, rounded up to three digits: what is said to hold the truth must hold it. `± 21.4 µs`.
pub fn band(ns: i64) -> String {
    let step = step_of(ns);
    let ns = ns.unsigned_abs();
    let up = ns.div_ceil(step).saturating_mul(step);
    let (below, unit) = match up {
        0..1_000 => (0, "ns"),
        1_000..1_000_000 => (3, "µs"),
        1_000_000..1_000_000_000 => (6, "ms"),
        _ => (9, "s"),
    };
    format!("± {} {unit}", decimal(up, below))
}

/// A number of which the last `below` digits stand behind the point, without zeros at its end.
fn decimal(number: u64, below: u32) -> String {
    let unit = 10_u64.pow(below);
    let fraction = format!("{:0width$}", number % unit, width = below as usize);
    let fraction = if below == 0 { "" } else { fraction.trim_end_matches('0') };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", grouped(number / unit))
}

/// `12:00:03.104`, in UTC.
pub fn time_of_day(unix_ns: i64) -> String {
    let ms = unix_ns.div_euclid(1_000_000).rem_euclid(86_400_000);
    let (second, below) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{below:03}", second / 3600, second / 60 % 60, second % 60)
}

/// Adds one to a count by name.
pub(super) fn count(map: &mut BTreeMap<String, u64>, name: &str) {
    // Most names are there already: look before a new String is made.
    match map.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            map.insert(name.to_owned(), 1);
        }
    }
}

/// A text of a capture without what a terminal would obey.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The name of a class of [`LinkFigures::idle_gaps`](super::LinkFigures::idle_gaps): `1 – 5 s`.
pub fn idle_words(class: usize) -> String {
    let short = |ns: i64| match ns {
        0..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    };
    match (class.checked_sub(1).map(|before| IDLE_BOUNDS_NS[before]), IDLE_BOUNDS_NS.get(class)) {
        (None, Some(&to)) => format!("up to {}", short(to)),
        (Some(from), Some(&to)) => format!("{} – {}", short(from), short(to)),
        (Some(from), None) => format!("over {}", short(from)),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_keep_every_nanosecond_and_bands_are_rounded_up() {
        let all = [0, 412_345_678, -5, 3_600_000_000_001, -86_400_000_300_000].map(offset);
        assert_eq!(all, ["0", "+412.345678 ms", "−0.005 µs", "+3,600.000000001 s", "−86,400.0003 s"]);
        let all = [0, 740, 21_301, 999_500, 3_201_000, 1_000_000_001, i64::MAX].map(band);
        let expected =
            ["± 0 ns", "± 740 ns", "± 21.4 µs", "± 1 ms", "± 3.21 ms", "± 1.01 s", "± 9,230,000,000 s"];
        assert_eq!(all, expected);
    }

    #[test]
    fn offsets_and_drifts_have_the_digits_of_their_bands() {
        let cases = [
            ((412_345_678, 21_301), "+412.3457 ms ± 21.4 µs"),
            ((412_000_004, 21_301), "+412.0000 ms ± 21.4 µs"),
            ((-86_400_000_000_532, 2_731), "−86,400.00000053 s ± 2.74 µs"),
            ((3_712, 850_000), "+4 µs ± 851 µs"),
            ((412, 850_000), "0 ± 851 µs"),
            ((0, 4_567), "0 ± 4.57 µs"),
            ((3_600_123_456_789, 4_500_000_000), "+3,600.12 s ± 4.51 s"),
            ((5, 740), "+0.005 µs ± 740 ns"),
        ];
        for ((ns, within), words) in cases {
            assert_eq!(format!("{} {}", offset_to(ns, within), band_beside(ns, within)), words);
        }
        let cases = [
            ((50_200, 0), "loses 50.2 µs a second"),
            ((-24_612, 5_100), "gains 24.6 ± 5.2 µs a second"),
            ((24_612, 37), "loses 24.612 ± 0.037 µs a second"),
            ((50_200, 12_345), "loses 50 ± 13 µs a second"),
        ];
        for ((grows, within), words) in cases {
            assert_eq!(drift(grows, within), words);
        }
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [0, 999, 1_000, 11_543, 1_000_000].map(grouped),
            ["0", "999", "1,000", "11,543", "1,000,000"]
        );
        assert_eq!(time_of_day(1_795_675_977_946_812_345), "06:52:57.946");
        assert_eq!([1, 2, 1_600].map(times), ["once", "twice", "1,600 times"]);
        assert_eq!(methods(&[("GET".to_owned(), 2), ("POST".to_owned(), 6)].into()), "6 POSTs and 2 GETs");
        assert_eq!(methods(&[("OPTIONS".to_owned(), 2)].into()), "2 OPTIONS");
        assert_eq!(
            [13_400, 3_440_000, 40_000_000, 5_000_400_000].map(duration),
            ["13 µs", "3.4 ms", "40 ms", "5.00 s"]
        );
        assert_eq!([999_600, 999_400_000, 999_600_000].map(duration), ["1.0 ms", "999 ms", "1.00 s"]);
    }

    #[test]
    fn idle_classes_are_named_by_their_bounds() {
        let all: Vec<_> = (0..=IDLE_BOUNDS_NS.len()).map(idle_words).collect();
        assert_eq!(all[0], "up to 1 ms");
        assert_eq!(all[4], "1 s – 5 s");
        assert_eq!(all[7], "over 60 s");
    }
}
