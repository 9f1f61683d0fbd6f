//! Error logs that tell of faults of the servers behind, where the packets show none: the snap length cut off what would
//! show them, or the capture was taken elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::Analysis;
use crate::logs::{LogKind, LoggedError};

use super::draft::{Draft, ProofList};
use super::texts;
use super::with_logs::{LogIndex, TOLERANCE_NS};
use super::words::{count, grouped, listed};
use super::{Certainty, Diagnosis, Finding};

/// Levels from which on a line tells of a fault.
const GRAVE: [&str; 4] = ["error", "crit", "alert", "emerg"];

/// One finding for each error log whose lines name servers behind, and none that another one tells more of.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis, index: &LogIndex<'_>) -> Vec<Finding> {
    let logs = analysis.logs.iter().enumerate().filter(|(_, log)| log.kind == LogKind::Error);
    let told: Vec<(usize, Vec<&LoggedError>)> = logs
        .map(|(file, log)| {
            let lines = log.errors.iter().filter(|error| tells(error) && index.is_captured(file, error));
            (file, lines.collect::<Vec<_>>())
        })
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    // The proxies that tell of servers behind them: what the one before them says only follows from it.
    let serve = |file: usize| index.writer((file as u16, 0)).map(|lane| &analysis.lane(lane).serves);
    let deeper: BTreeSet<_> = told.iter().filter_map(|(file, _)| serve(*file)).flatten().copied().collect();
    let is_deepest = |(_, lines): &&(usize, Vec<&LoggedError>)| {
        lines.iter().any(|line| line.upstream.is_some_and(|upstream| !deeper.contains(&upstream)))
    };
    told.iter().filter(is_deepest).map(|(file, lines)| finding(analysis, diagnosis, *file, lines)).collect()
}

/// Whether a line is about a fault of a server that it names.
fn tells(error: &LoggedError) -> bool {
    error.upstream.is_some() && !error.kinds().is_empty() && GRAVE.contains(&&*error.level)
}

fn finding(analysis: &Analysis, diagnosis: &Diagnosis, file: usize, lines: &[&LoggedError]) -> Finding {
    let (mut classes, mut behind) = (BTreeMap::new(), BTreeMap::new());
    for line in lines {
        count(&mut classes, &format!("'{}'", line.class()));
        count(&mut behind, &line.upstream.map_or_else(String::new, |upstream| upstream.to_string()));
    }
    let named = |map: &BTreeMap<String, u64>| {
        let all = map.iter().map(|(name, number)| format!("{name} ({})", grouped(*number)));
        listed(&all.collect::<Vec<_>>())
    };
    let mut draft = Draft::new(analysis, diagnosis, &texts::ERRORS_LOGGED, None);
    draft.certainty = Certainty::Likely;
    draft.values.push(("file", analysis.log_name(file)));
    draft.values.push(("faults", super::words::counted(lines.len() as u64, "fault")));
    draft.values.push(("classes", named(&classes)));
    draft.values.push(("behind", named(&behind)));
    let mut finding = draft.finish(Vec::new(), ProofList::new(analysis));
    finding.count = lines.len() as u64;
    finding
}

impl LogIndex<'_> {
    /// Whether a line is of the captures' time; without captures all are.
    fn is_captured(&self, file: usize, error: &LoggedError) -> bool {
        let at = self.moment(file, error);
        let mut spans = self.analysis.capture_spans().peekable();
        let holds = |(from, to): (crate::capture::SessionTime, crate::capture::SessionTime)| {
            (from.0.saturating_sub(TOLERANCE_NS)..=to.0.saturating_add(TOLERANCE_NS)).contains(&at)
        };
        spans.peek().is_none() || spans.any(holds)
    }
}

#[cfg(test)]
mod tests {
    use crate::analysis::analyse_with_logs;
    use crate::diagnose::testkit::read_logs as logs;
    use crate::diagnose::wirekit::{FIN, Who, Wire};
    use crate::topology::Overrides;

    fn line(second: u32, what: &str) -> String {
        format!(
            "1970/01/01 00:00:{second:02} [error] 1#1: *9 {what}, client: 10.0.0.1, server: shop, request: \
             \"GET /cut HTTP/1.1\", upstream: \"http://10.0.0.3:8000/cut\", host: \"shop\"\n"
        )
    }

    const CLOSED: &str = "upstream prematurely closed connection while reading upstream";

    /// An answer that was cut off, in captures with this snap length, and the proxy's error log.
    fn told(snap_len: usize, log: &str) -> Vec<(String, u64)> {
        let mut wire = Wire::cut_to(snap_len);
        let get = "GET /cut HTTP/1.1\r\nHost: shop\r\n\r\n";
        let half = "HTTP/1.1 200 OK\r\nServer: any\r\nContent-Length: 5000\r\n\r\nhalf";
        wire.say(Who::User, get).say(Who::Up, get).say(Who::App, half).say(Who::Down, half);
        wire.wait(50).end(Who::App, FIN).end(Who::Down, FIN);
        let findings = wire.analysis_with(logs(&[("error.log", log)])).diagnosis.findings;
        let told = findings.into_iter().filter(|finding| finding.severity > super::super::Severity::Note);
        told.map(|finding| (format!("{}/{}", finding.kind, finding.cause), finding.count)).collect()
    }

    #[test]
    fn faults_that_the_snap_length_hides_are_told_by_the_error_log() {
        let twice = line(0, CLOSED) + &line(0, CLOSED);
        assert_eq!(told(84, &twice), [("fault-behind-proxy/error-log".to_owned(), 2)]);
        // Where the packets show it, they tell more; and another time is none of theirs.
        let none_behind =
            |told: &[(String, u64)]| told.iter().all(|(kind, _)| !kind.starts_with("fault-behind"));
        let shown = told(1_500, &twice);
        assert!(shown.contains(&("truncated-response/".to_owned(), 1)) && none_behind(&shown), "{shown:?}");
        assert!(none_behind(&told(84, &line(50, CLOSED))));
        let harmless = line(0, "a response is buffered to a temporary file").replace("error", "warn");
        assert!(told(84, &harmless).is_empty());
    }

    #[test]
    fn an_error_log_alone_names_the_server_and_what_it_did() {
        let files = logs(&[("edge-error.log", &line(7, CLOSED))]);
        let findings = analyse_with_logs(Vec::new(), files, &Overrides::default()).diagnosis.findings;
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert!(finding.summary.contains("1 fault of the servers behind this proxy"), "{}", finding.summary);
        assert!(finding.explanation.contains(CLOSED), "{}", finding.explanation);
        assert!(finding.explanation.contains("10.0.0.3:8000 (1)"), "{}", finding.explanation);
    }
}
