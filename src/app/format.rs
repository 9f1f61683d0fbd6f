//! Numbers, durations and times as the window prints them: grouped, with units, with the digits they need.

use std::net::SocketAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::capture::SessionTime;
pub use crate::capture::grouped;
use crate::timeline::{Zone, long_duration};

/// Prints times in one zone, UTC or the machine's own.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: TimeZone,
    local: bool,
}

impl Default for Clock {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, local: false }
    }
}

impl Clock {
    /// The clock of UTC, or of the machine's zone.
    pub fn new(local: bool) -> Self {
        Self { zone: if local { TimeZone::system() } else { TimeZone::UTC }, local }
    }

    /// Whether it prints local time.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// `UTC` or `local`, for the button and the column head.
    pub fn name(&self) -> &'static str {
        if self.local { "local" } else { "UTC" }
    }

    /// The zone, for the timeline.
    pub fn zone(&self) -> Zone<'_> {
        Zone { zone: &self.zone, name: self.name() }
    }

    /// `12:00:01.244710`: the time of day with microseconds, and nanoseconds where there are any.
    pub fn time(&self, at: SessionTime) -> String {
        let Some(civil) = self.civil(at) else { return format!("{} ns", at.0) };
        let below = at.0.rem_euclid(1_000_000_000);
        let second = format!("{:02}:{:02}:{:02}", civil.hour(), civil.minute(), civil.second());
        if below % 1000 == 0 {
            format!("{second}.{:06}", below / 1000)
        } else {
            format!("{second}.{below:09}")
        }
    }

    /// `2026-11-24 12:00:01.244710`.
    pub fn date_time(&self, at: SessionTime) -> String {
        match self.civil(at) {
            Some(day) => format!("{:04}-{:02}-{:02} {}", day.year(), day.month(), day.day(), self.time(at)),
            None => self.time(at),
        }
    }

    fn civil(&self, at: SessionTime) -> Option<jiff::civil::DateTime> {
        // Whole seconds, rounded down: the part below them is printed apart.
        let stamp = Timestamp::from_second(at.0.div_euclid(1_000_000_000)).ok()?;
        Some(self.zone.to_datetime(stamp))
    }
}

/// `740 ns`, `12.3 µs`, `3.42 ms`, `1.204 s`, `2 min 05 s`, `3 h 20 min`: three digits are enough to compare by eye.
pub fn duration(ns: i64) -> String {
    let sign = if ns < 0 { "−" } else { "" };
    let ns = ns.unsigned_abs();
    let value = ns as f64;
    let text = match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", value / 1e3),
        1_000_000..100_000_000 => format!("{:.2} ms", value / 1e6),
        100_000_000..1_000_000_000 => format!("{:.0} ms", value / 1e6),
        1_000_000_000..60_000_000_000 => format!("{:.3} s", value / 1e9),
        _ => long_duration(ns),
    };
    format!("{sign}{text}")
}

/// `512 B`, `3.4 kB`, `12.1 MB`.
pub fn bytes(count: u64) -> String {
    let value = count as f64;
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

/// `1 exchange`, `2 exchanges`.
pub fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// A name of at most `limit` characters, of which a part before its end is left out: names of one kind differ there.
pub fn cut_middle(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let (head, tail) = (limit / 3, limit.saturating_sub(limit / 3 + 1));
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

/// A Wireshark display filter for the packets of one connection.
pub fn wireshark_filter(client: SocketAddr, server: SocketAddr) -> String {
    let field = if client.is_ipv6() { "ipv6" } else { "ip" };
    format!(
        "{field}.addr == {} && {field}.addr == {} && tcp.port == {} && tcp.port == {}",
        client.ip(),
        server.ip(),
        client.port(),
        server.port()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_threes() {
        let all: Vec<_> = [0, 7, 999, 1000, 11_543, 1_000_000].into_iter().map(grouped).collect();
        assert_eq!(all, ["0", "7", "999", "1,000", "11,543", "1,000,000"]);
    }

    #[test]
    fn durations_carry_the_unit_that_keeps_three_digits() {
        let all: Vec<_> = [740, 12_340, 3_421_000, 244_000_000, 1_204_000_000, 125_000_000_000, -1_500]
            .into_iter()
            .map(duration)
            .collect();
        assert_eq!(all, ["740 ns", "12.3 µs", "3.42 ms", "244 ms", "1.204 s", "2 min 05 s", "−1.5 µs"]);
    }

    #[test]
    fn times_show_nanoseconds_only_where_there_are_some() {
        let clock = Clock::default();
        assert_eq!(clock.time(SessionTime(1_700_000_000_244_710_000)), "22:13:20.244710");
        assert_eq!(clock.time(SessionTime(1_700_000_000_244_710_001)), "22:13:20.244710001");
        assert_eq!(clock.date_time(SessionTime(0)), "1970-01-01 00:00:00.000000");
        assert!(!clock.time(SessionTime(i64::MIN)).is_empty());
    }

    #[test]
    fn long_names_are_cut_in_the_middle() {
        assert_eq!(cut_middle("my very long ingress 2", 12), "my v…gress 2");
        assert_eq!(cut_middle("ingress", 11), "ingress");
    }

    #[test]
    fn a_wireshark_filter_names_both_ends() {
        let text = wireshark_filter("[fe80::1]:4000".parse().unwrap(), "[fe80::2]:80".parse().unwrap());
        assert_eq!(
            text,
            "ipv6.addr == fe80::1 && ipv6.addr == fe80::2 && tcp.port == 4000 && tcp.port == 80"
        );
    }
}
