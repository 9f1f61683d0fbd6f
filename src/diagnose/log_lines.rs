//! The lines of the servers' logs that a finding explains.

use std::collections::BTreeSet;

use crate::analysis::{ConnectionView, ExchangeView};
use crate::logs::LogLine;
use crate::topology::keys::text_hash;

use super::reuse::CASES;
use super::texts;
use super::with_logs::{LogIndex, TOLERANCE_NS, UNCONNECTED};
use super::{Finding, Severity};

/// Most lines shown for a finding.
const MAX_LINES: usize = 40;

/// Lines found for a finding. What went wrong says more than what was answered: error lines come first.
#[derive(Default)]
struct Found {
    errors: BTreeSet<(u16, u32)>,
    requests: BTreeSet<(u16, u32)>,
}

/// Of how many cases a finding has the lines at most, where those are not all.
pub(crate) fn log_cases(finding: &Finding) -> Option<usize> {
    (finding.count > CASES as u64).then_some(CASES)
}

impl LogIndex<'_> {
    /// The lines that a finding explains, those of its first cases.
    pub(super) fn lines(&self, finding: &Finding) -> Vec<LogLine> {
        let mut found = Found::default();
        for &id in finding.exchanges.iter().take(CASES) {
            self.add_exchange(finding, self.analysis.exchange(id), &mut found);
        }
        // What was not judged is no fault that a log tells of.
        let told = if finding.severity > Severity::Note { &finding.connections[..] } else { &[] };
        for &id in told.iter().take(CASES) {
            let connection = self.analysis.connection(id);
            match connection.exchanges().last() {
                Some(exchange) => self.add_exchange(finding, exchange, &mut found),
                None => self.add_connection(finding, connection, &mut found),
            }
        }
        let errors = found.errors.into_iter().map(|place| {
            let error = self.error(place);
            (place, error.line, &*error.text)
        });
        let requests = found.requests.into_iter().map(|place| {
            let request = self.request(place);
            (place, request.line, &*request.text)
        });
        let line = |((file, _), line, text): ((u16, u32), u64, &str)| LogLine {
            file: self.analysis.log_name(usize::from(file)),
            line,
            text: text.to_owned(),
        };
        errors.chain(requests).take(MAX_LINES).map(line).collect()
    }

    /// Whether an error line may belong to the finding, and lies within this time.
    fn is_near(&self, finding: &Finding, place: (u16, u32), from: i64, to: i64) -> bool {
        let error = self.error(place);
        let at = self.moment(usize::from(place.0), error);
        // What no capture holds the log may know.
        let unseen = finding.cause == texts::NEXT_HOP_MISSING.cause && error.upstream.is_some();
        (unseen || error.kinds().contains(&finding.kind.as_str())) && within(at, from, to)
    }

    fn add_exchange(&self, finding: &Finding, exchange: ExchangeView<'_>, found: &mut Found) {
        let (from, to) = (exchange.started().0, exchange.settled().0);
        let mut near = self.faults_of(exchange).filter(|&place| self.is_near(finding, place, from, to));
        let line = near.find(|place| !found.errors.contains(place));
        found.errors.extend(line);
        let parent = self.analysis.trees.parent(exchange.id).map(|p| self.analysis.exchange(p.parent));
        let both = [Some(exchange), parent].into_iter().flatten();
        found.requests.extend(both.filter_map(|x| self.access(x)));
    }

    /// A connection that carried no request: the log of who wanted to connect names its server, or at least says that
    /// it got no connection.
    fn add_connection(&self, finding: &Finding, connection: ConnectionView<'_>, found: &mut Found) {
        let lane = Some(self.analysis.link(connection.inner.link).from);
        let (from, last) = (connection.inner.first.0, connection.inner.last.0);
        // Who gives up does so before the next SYN is due, and each waits twice as long as the one before.
        let to = last.saturating_add(last.saturating_sub(from));
        let server = text_hash(&connection.inner.server.to_string());
        let alike = |index: usize, hash: u64| {
            let places = self.behind[index].get(&hash).map(Vec::as_slice).unwrap_or_default();
            places.iter().copied().filter(move |&place| self.writer(place) == lane)
        };
        let mut errors = alike(0, server).filter(|&place| self.is_near(finding, place, from, to));
        let line = errors.find(|place| !found.errors.contains(place));
        found.errors.extend(line);
        let never_connected = [&texts::CONNECTION_REFUSED, &texts::HOST_UNREACHABLE, &texts::CONNECT_TIMEOUT];
        if !never_connected.iter().any(|words| words.kind == finding.kind) {
            return;
        }
        let near = |place: &(u16, u32)| {
            let zone_ns = self.zones[usize::from(place.0)].saturating_mul(1_000_000_000);
            self.request(*place).at_ns.is_some_and(|at| within(at.saturating_add(zone_ns), from, to))
        };
        let mut requests = alike(1, server).chain(alike(1, UNCONNECTED)).filter(near);
        let line = requests.find(|place| !found.requests.contains(place));
        found.requests.extend(line);
    }
}

fn within(at: i64, from: i64, to: i64) -> bool {
    (from.saturating_sub(TOLERANCE_NS)..=to.saturating_add(TOLERANCE_NS)).contains(&at)
}

#[cfg(test)]
mod tests {
    use crate::analysis::Analysis;
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;
    use crate::tcp::Side;

    const S: i64 = 1_000 * MS;

    /// A proxy that is refused once, and once gets no answer; beside it a connection that works.
    fn failed(logs: &[(&str, &str)]) -> Analysis {
        let mut chain = Chain::new(&["nginx", "app"]);
        let works = chain.open(0, 0);
        for n in 0..6 {
            let at = n * 100 * MS + MS;
            chain.conns[works].request(Get, "/", at).response(200, at + MS);
        }
        chain.refused(0, 20 * S);
        chain.unanswered(0, &[40 * S, 41 * S]);
        let late = chain.open(0, 100 * S);
        chain.conns[late].request(Get, "/", 100 * S + MS).response(200, 100 * S + 2 * MS);
        chain.analyse_with(logs)
    }

    fn lines(analysis: &Analysis, kind: &str) -> Vec<(String, u64)> {
        let at = analysis.diagnosis.findings.iter().position(|finding| finding.kind == kind).unwrap();
        analysis.log_lines(at).iter().map(|line| (line.file.clone(), line.line)).collect()
    }

    #[test]
    fn attempts_that_never_connected_have_the_lines_that_name_their_server() {
        let error = |second: u32, what: &str, server: &str| {
            format!(
                "1970/01/01 00:00:{second:02} [error] 1#1: *9 {what} while connecting to upstream, client: 10.9.9.9, server: \
                 shop, request: \"GET /x HTTP/1.1\", upstream: \"http://{server}/x\", host: \"shop\"\n"
            )
        };
        let server = failed(&[]).connections().next().unwrap().inner.server.to_string();
        let refused = "connect() failed (111: Connection refused)";
        let text = [
            error(5, refused, &server),
            error(20, refused, &server),
            error(20, refused, "10.8.8.8:80"),
            error(43, "upstream timed out (110: Connection timed out)", &server),
        ];
        let access = format!(
            "0000000020.000 10.9.9.9 \"GET /x HTTP/1.1\" 502 4 to=\"{server}\" got=\"502\" id=00112233445566778899\n"
        );
        let analysis = failed(&[("error.log", &text.concat()), ("access.log", &access)]);
        let own = |number: u64| ("error.log".to_owned(), number);
        assert_eq!(lines(&analysis, "connection-refused"), [own(2), ("access.log".to_owned(), 1)]);
        assert_eq!(lines(&analysis, "connect-timeout"), [own(4)]);
    }

    #[test]
    fn haproxy_names_no_address_but_says_that_it_did_not_connect() {
        let line = |begun: &str, timers: &str, status: u16, state: &str| {
            format!(
                "10.9.9.9:3 [{begun}] front back/srv1 {timers} {status} 20 - - {state} 1/1/1/1/0 0/0 \"GET / HTTP/1.1\"\n"
            )
        };
        let mut log: Vec<String> =
            (0..7).map(|_| line("01/Jan/1970:00:00:00.001", "0/0/0/1/1", 200, "----")).collect();
        log.push(line("01/Jan/1970:00:00:20.000", "0/0/-1/-1/1", 503, "SC--"));
        log.push(line("01/Jan/1970:00:00:20.000", "0/0/0/-1/1", 502, "SH--"));
        let mut chain = Chain::new(&["user", "haproxy", "app"]);
        let (outer, inner) = (chain.open(0, 0), chain.open(1, 0));
        for n in 0..7 {
            let at = MS + n * 10 * MS;
            chain.conns[outer].request(Get, "/", at);
            chain.conns[inner].request(Get, "/", at + MS).response(200, at + 2 * MS);
            chain.conns[outer].response(200, at + 3 * MS);
            chain.parent((inner, n as usize), (outer, n as usize), 1);
        }
        chain.conns[outer].fin(Side::Client, S);
        chain.refused(1, 20 * S);
        let analysis = chain.analyse_with(&[("haproxy.log", &log.concat())]);
        assert_eq!(lines(&analysis, "connection-refused"), [("haproxy.log".to_owned(), 8)]);
    }

    #[test]
    fn lines_of_the_first_cases_say_of_how_many() {
        let told = |cases: i64| {
            let mut chain = Chain::new(&["user", "app"]);
            let mut log = String::new();
            for n in 0..cases {
                let (at, begun) = (chain.open(0, n * 10 * S), n * 10 * S + MS);
                chain.conns[at].request(Get, "/", begun).response(500, begun + MS);
                log += &format!("{:010}.002 10.9.9.9 \"GET / HTTP/1.1\" 500 4\n", n * 10);
            }
            let analysis = chain.analyse_with(&[("app.log", &log)]);
            (analysis.log_cases(0), analysis.log_lines_words(0))
        };
        assert_eq!(told(20).0, None);
        assert_eq!(told(21).0, Some(20));
        assert!(told(21).1.ends_with(", 20 of 21 cases"), "{}", told(21).1);
    }
}
