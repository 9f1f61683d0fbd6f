//! Numbers and lists as people write them.

use std::collections::BTreeMap;

use super::ByMethod;

/// `11,543`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

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

/// `a`, `a and b`, `a, b and c`.
pub fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
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
        _ if abs < 1e6 => format!("{sign}{:.0} µs", abs / 1e3),
        _ if abs < 1e7 => format!("{sign}{:.1} ms", abs / 1e6),
        _ if abs < 1e9 => format!("{sign}{:.0} ms", abs / 1e6),
        _ if abs < 1e10 => format!("{sign}{:.2} s", abs / 1e9),
        _ => format!("{sign}{:.1} s", abs / 1e9),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
