//! What the clock of each log is off against the captures': a time zone, or a clock that was not set.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::analysis::ExchangeView;
use crate::logs::{LogFile, LogKind};
use crate::topology::LaneId;

use super::draft::{Draft, ProofList};
use super::texts::{self, Words};
use super::with_logs::{LogIndex, TOLERANCE_NS, ZONE_STEP_S, request_hash};
use super::words::{counted, duration, listed};
use super::{Certainty, Diagnosis, Finding};

const SECOND_NS: i64 = 1_000_000_000;

/// Fewer requests that are told by their line alone tell nothing of a clock.
const FEWEST: usize = 4;

/// What lines of one clock are off may differ by this much: most have whole seconds, and some are written late.
const ALIKE_S: i64 = 2;

/// Requests that ended so far apart stand in the log in the order in which they ended.
const APART_NS: i64 = 5_000_000;

/// No zone lies farther from UTC.
const FARTHEST_ZONE_S: i64 = 14 * 3_600;

/// From one time to another, in nanoseconds since the Unix epoch.
type Span = (i64, i64);

/// What is known of one log's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogClock {
    /// What to add to its local times to get the captures', in seconds.
    pub(super) add_s: i64,
    /// How much of that is no time zone.
    shifted_s: i64,
    /// Requests that show this.
    pairs: usize,
    /// Whether any line was found to belong to a request.
    joined: bool,
}

/// What the lines of a log are off against their exchanges.
#[derive(Default)]
struct Pairs {
    /// By time zone, those that fit one.
    zones: BTreeMap<i64, u64>,
    /// The same, in seconds, of requests that occur once in the log and once on the wire.
    single: Vec<i64>,
    /// When those ended on the wire, and where they stand in the log.
    places: Vec<Place>,
}

/// When a request ended on the wire, in nanoseconds, and which line of its log it is.
type Place = (i64, u32);

fn zone_of(off_s: i64) -> i64 {
    off_s.saturating_add(ZONE_STEP_S / 2).div_euclid(ZONE_STEP_S).saturating_mul(ZONE_STEP_S)
}

impl Pairs {
    fn add(&mut self, off_s: i64, single: Option<Place>) {
        let zone = zone_of(off_s);
        if off_s.saturating_sub(zone).saturating_abs() <= TOLERANCE_NS / SECOND_NS {
            *self.zones.entry(zone).or_default() += 1;
        }
        if let Some(place) = single {
            self.single.push(off_s);
            self.places.push(place);
        }
    }

    /// Whether the requests stand in the log in the order in which they ended on the wire. In the log of another run of the
    /// same load they are as many and as far apart, but overtake each other elsewhere.
    fn is_in_sequence(&mut self) -> bool {
        self.places.sort_unstable();
        let pairs = || self.places.windows(2).filter(|pair| pair[1].0.saturating_sub(pair[0].0) >= APART_NS);
        let turned = pairs().filter(|pair| pair[1].1 < pair[0].1).count();
        turned * 10 <= pairs().count()
    }

    /// The time zone in which most of the lines meet their exchanges; else what nearly all single ones agree on.
    fn clock(mut self) -> LogClock {
        let best = self.zones.iter().max_by_key(|(zone, n)| (**n, -zone.abs())).map(|(zone, n)| (*zone, *n));
        self.single.sort_unstable();
        let all = self.single.len();
        let middle = self.single.get(all / 2).copied().unwrap_or_default();
        let alike = self.single.iter().filter(|off| off.abs_diff(middle) <= ALIKE_S.unsigned_abs()).count();
        let zone = zone_of(middle);
        let shifted_s = middle.saturating_sub(zone);
        let shifted = shifted_s.saturating_abs() > TOLERANCE_NS / SECOND_NS;
        let agreed = alike >= FEWEST && alike * 5 >= all * 4 && best.is_none_or(|(_, n)| n < alike as u64);
        if shifted && agreed && self.is_in_sequence() {
            return LogClock { add_s: middle, shifted_s, pairs: alike, joined: true };
        }
        LogClock { add_s: best.map_or(0, |best| best.0), joined: best.is_some(), ..LogClock::default() }
    }
}

impl LogIndex<'_> {
    /// The clock of each log.
    pub(super) fn find_clocks(&self) -> Vec<LogClock> {
        let analysis = self.analysis;
        let mut asked: HashMap<(LaneId, u64), u32, foldhash::fast::FixedState> = HashMap::default();
        let hash = |x: &ExchangeView<'_>| request_hash(x.method(), &x.target());
        for exchange in analysis.exchanges() {
            *asked.entry((analysis.link(exchange.link_id()).to, hash(&exchange))).or_default() += 1;
        }
        let mut pairs: Vec<Pairs> = analysis.logs.iter().map(|_| Pairs::default()).collect();
        for exchange in analysis.exchanges() {
            let lane = analysis.link(exchange.link_id()).to;
            let once = asked.get(&(lane, hash(&exchange))) == Some(&1);
            let ended = exchange.settled().0;
            let settled = ended.div_euclid(SECOND_NS);
            let mut add = |(file, line): (u16, u32), local_s: i64, alone: bool| {
                let single = (once && alone).then_some((ended, line));
                pairs[usize::from(file)].add(settled.saturating_sub(local_s), single);
            };
            let faults: Vec<_> = self.faults_of(exchange).take(8).collect();
            let same =
                |places: &[(u16, u32)], file| places.iter().filter(|place| place.0 == file).count() == 1;
            for &place in &faults {
                add(place, self.error(place).local_s, same(&faults, place.0));
            }
            let lines: Vec<_> = self.alike(exchange).take(8).collect();
            for &place in &lines {
                if let Some(at) = self.request(place).at_ns {
                    add(place, at.div_euclid(SECOND_NS), same(&lines, place.0));
                }
            }
        }
        let mut clocks: Vec<LogClock> = pairs.into_iter().map(Pairs::clock).collect();
        self.share(&mut clocks);
        clocks
    }

    /// Logs that one lane writes go by one clock: those with too few lines to tell take it from the other.
    fn share(&self, clocks: &mut [LogClock]) {
        let known: Vec<(LaneId, LogClock)> = (0..clocks.len())
            .filter(|&at| clocks[at].pairs > 0)
            .filter_map(|at| Some((self.writer((at as u16, 0))?, clocks[at])))
            .collect();
        for (at, clock) in clocks.iter_mut().enumerate() {
            let own = self.writer((at as u16, 0));
            let other = known.iter().find(|(lane, _)| Some(*lane) == own);
            if let Some((_, other)) = other.filter(|_| !clock.joined) {
                *clock = LogClock { pairs: 0, joined: true, ..*other };
            }
        }
    }

    /// What is to be said of logs whose clock is off, those that are off alike together, and of logs of another time.
    pub(super) fn clock_findings(&self, diagnosis: &Diagnosis) -> Vec<Finding> {
        if self.analysis.topology.exchanges.is_empty() {
            return Vec::new();
        }
        let mut off: BTreeMap<i64, (Vec<String>, usize)> = BTreeMap::new();
        let mut apart: Vec<(String, Span)> = Vec::new();
        for (at, clock) in self.clocks.iter().enumerate() {
            let name = self.analysis.log_name(at);
            if clock.pairs > 0 {
                let alike = off.entry(clock.shifted_s).or_default();
                alike.0.push(name);
                alike.1 += clock.pairs;
            } else if !clock.joined
                && let Some(span) = self.apart(&self.analysis.logs[at])
            {
                apart.push((name, span));
            }
        }
        let mut findings: Vec<Finding> = off
            .into_iter()
            .map(|(shifted_s, (files, pairs))| {
                let which = if shifted_s > 0 { "behind" } else { "ahead of" };
                let by = duration(shifted_s.saturating_abs().saturating_mul(SECOND_NS));
                let whose = if files.len() == 1 { "its" } else { "their" };
                let values = vec![("by", by), ("which", which.to_owned()), ("whose", whose.to_owned())];
                self.said(diagnosis, &texts::LOG_CLOCK, &files, pairs, values)
            })
            .collect();
        if let Some((captured, files)) = self.captured().filter(|_| !apart.is_empty()).map(|captured| {
            let names: Vec<String> = apart.iter().map(|(name, _)| name.clone()).collect();
            (captured, names)
        }) {
            let from = apart.iter().map(|(_, span)| span.0).min().unwrap_or_default();
            let to = apart.iter().map(|(_, span)| span.1).max().unwrap_or_default();
            let span = |(from, to): Span| format!("{} to {}", stamp(from), stamp(to));
            let values = vec![("log", span((from, to))), ("captured", span(captured))];
            findings.push(self.said(diagnosis, &texts::LOG_APART, &files, files.len(), values));
        }
        findings
    }

    fn said(
        &self,
        diagnosis: &Diagnosis,
        words: &'static Words,
        files: &[String],
        count: usize,
        values: Vec<(&'static str, String)>,
    ) -> Finding {
        let mut draft = Draft::new(self.analysis, diagnosis, words, None);
        draft.certainty = Certainty::Likely;
        draft.values.push(("file", listed(files)));
        draft.values.push(("lines", counted(count as u64, "line")));
        draft.values.extend(values);
        let mut finding = draft.finish(Vec::new(), ProofList::new(self.analysis));
        finding.count = count as u64;
        finding
    }

    /// The first and the last packet of all captures.
    fn captured(&self) -> Option<Span> {
        let spans: Vec<Span> = self.analysis.capture_spans().map(|(from, to)| (from.0, to.0)).collect();
        Some((spans.iter().map(|span| span.0).min()?, spans.iter().map(|span| span.1).max()?))
    }

    /// The time of a log that no time zone brings together with the captures.
    fn apart(&self, log: &LogFile) -> Option<Span> {
        let times: Vec<i64> = match log.kind {
            LogKind::Access => log.requests.iter().filter_map(|r| r.at_ns).collect(),
            LogKind::Error => log.errors.iter().map(|e| e.local_s.saturating_mul(SECOND_NS)).collect(),
        };
        let (first, last) = (*times.iter().min()?, *times.iter().max()?);
        let captured = self.captured()?;
        let meets = |zone_s: i64| {
            let add = zone_s.saturating_mul(SECOND_NS);
            first.saturating_add(add) <= captured.1.saturating_add(TOLERANCE_NS)
                && last.saturating_add(add) >= captured.0.saturating_sub(TOLERANCE_NS)
        };
        let mut zones = (-FARTHEST_ZONE_S..=FARTHEST_ZONE_S).step_by(ZONE_STEP_S as usize);
        (!zones.any(meets)).then_some((first, last))
    }
}

/// `2026-11-27T06:52:52Z`.
fn stamp(unix_ns: i64) -> String {
    jiff::Timestamp::from_second(unix_ns.div_euclid(SECOND_NS))
        .map_or_else(|_| String::new(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testkit::{Chain, MS, read_logs};
    use crate::http::Method::Get;

    fn clock(offs: &[i64]) -> LogClock {
        let mut pairs = Pairs::default();
        offs.iter()
            .zip(0..)
            .for_each(|(&off, line)| pairs.add(off, Some((i64::from(line) * SECOND_NS, line))));
        pairs.clock()
    }

    #[test]
    fn the_log_of_another_run_is_no_clock_that_is_off() {
        let clock = |lines: [u32; 6]| {
            let mut pairs = Pairs::default();
            let ends = (0..).map(|n| n * 20_000_000);
            lines.into_iter().zip(ends).for_each(|(line, end)| pairs.add(-80_007, Some((end, line))));
            pairs.clock().pairs
        };
        assert_eq!(clock([0, 1, 2, 3, 4, 5]), 6);
        // As many, at the same pace; of those that were under way together others came first.
        assert_eq!(clock([1, 0, 2, 4, 3, 5]), 0);
    }

    #[test]
    fn a_clock_is_off_by_a_zone_or_by_what_single_requests_agree_on() {
        assert_eq!(clock(&[7, 7, 8, 7, 7]), LogClock { add_s: 7, shifted_s: 7, pairs: 5, joined: true });
        let east = clock(&[-7_193, -7_193, -7_192, -7_193]);
        assert_eq!((east.add_s, east.shifted_s, east.pairs), (-7_193, 7, 4));
        assert_eq!(
            clock(&[7_200, 7_201, 7_200, 7_200]),
            LogClock { add_s: 7_200, joined: true, ..LogClock::default() }
        );
        // Too few, or of no one mind.
        assert_eq!(clock(&[7, 7, 7]), LogClock::default());
        assert_eq!(clock(&[7, 19, 33, 50, 71]), LogClock::default());
    }

    /// An application whose last answer is a 500, with its log so many seconds off.
    fn told(off_s: i64) -> (Vec<String>, usize) {
        let targets = ["/a", "/b", "/c", "/d", "/e", "/f"];
        let mut chain = Chain::new(&["nginx", "app"]);
        let (at, mut log) = (chain.open(0, 0), String::new());
        for (n, &target) in targets.iter().enumerate() {
            let (begun, status) = ((100 + n as i64 * 20) * 1_000 * MS, if n == 5 { 500 } else { 200 });
            chain.conns[at].request(Get, target, begun).response(status, begun + MS);
            let second = 100 + n as i64 * 20 + off_s;
            log += &format!("{second:010}.002 10.9.9.9 \"GET {target} HTTP/1.1\" {status} 4\n");
        }
        let mut analysis = chain.analyse();
        analysis.logs = read_logs(&[("app.log", &log)]);
        analysis.diagnosis = crate::diagnose::build(&analysis);
        let findings = &analysis.diagnosis.findings;
        let error = findings.iter().position(|f| f.kind == "application-error").unwrap();
        let told =
            findings.iter().filter(|f| f.kind.starts_with("log-")).map(|f| f.summary.clone()).collect();
        (told, analysis.log_lines(error).len())
    }

    #[test]
    fn lines_are_joined_and_the_offset_is_said() {
        assert_eq!(told(0), (vec![], 1));
        let off = "app.log: its clock is 7.00 s ahead of the captures'; its lines were joined all the same"
            .to_owned();
        assert_eq!(told(7), (vec![off], 1));
        let (apart, lines) = told(40 * 24 * 3_600);
        assert_eq!(lines, 1, "{apart:?}");
    }

    #[test]
    fn a_log_of_another_time_says_so() {
        let mut chain = Chain::new(&["nginx", "app"]);
        let at = chain.open(0, 0);
        chain.conns[at].request(Get, "/", MS).response(200, 2 * MS);
        let line = "1000000000.002 10.9.9.9 \"GET /other HTTP/1.1\" 200 4\n";
        let findings = chain.analyse_with(&[("app.log", line)]).diagnosis.findings;
        let kinds: Vec<&str> = findings.iter().map(|f| f.kind.as_str()).collect();
        assert_eq!(kinds, ["log-not-joined"]);
    }
}
