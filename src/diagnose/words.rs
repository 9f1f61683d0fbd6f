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

/// `1 connection`, `3 connections`.
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(count)) }
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

/// How a clock goes whose offset grows by so many nanoseconds a second: `loses 50.2 µs a second`.
pub fn drift(offset_grows_ppb: i64) -> String {
    let goes = if offset_grows_ppb > 0 { "loses" } else { "gains" };
    format!("{goes} {:.1} µs a second", offset_grows_ppb.unsigned_abs() as f64 / 1e3)
}

/// Half of a band, rounded up to three digits: what is said to hold the truth must hold it. `± 21.4 µs`.
pub fn band(ns: i64) -> String {
    let ns = ns.unsigned_abs();
    let digits = ns.checked_ilog10().unwrap_or(0);
    let step = 10_u64.pow(digits.saturating_sub(2));
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
        assert_eq!([50_200, -3].map(drift), ["loses 50.2 µs a second", "gains 0.0 µs a second"]);
        let all = [0, 740, 21_301, 999_500, 3_201_000, 1_000_000_001, i64::MAX].map(band);
        let expected =
            ["± 0 ns", "± 740 ns", "± 21.4 µs", "± 1 ms", "± 3.21 ms", "± 1.01 s", "± 9,230,000,000 s"];
        assert_eq!(all, expected);
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
