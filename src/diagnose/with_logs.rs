//! The logs join in: which lines belong to which request, and where log and wire disagree.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use crate::analysis::{Analysis, ExchangeView};
use crate::http::{HeaderDigest, MessageState, NameId};
use crate::logs::{LogKind, LoggedError, LoggedRequest};
use crate::topology::keys::{IdNames, text_hash};
use crate::topology::{ExchangeId, LaneId, LinkId, Role};

use super::draft::{Draft, ProofList};
use super::log_clocks::LogClock;
use super::log_writers::Writer;
use super::reuse::CASES;
use super::texts;
use super::words::{count, grouped, listed};
use super::{Diagnosis, Finding, LoggedRetries, Outcome};

/// How far the time of a line and that of a packet may lie apart: logs of errors have whole seconds, and a
/// capture's clock is not the server's.
pub(super) const TOLERANCE_NS: i64 = 2_500_000_000;
/// Time zones lie at multiples of a quarter of an hour.
pub(super) const ZONE_STEP_S: i64 = 900;
/// Lines looked at for one exchange, where many requests are alike.
const MAX_ALIKE: usize = 512;

/// Places in a log: the file and the entry.
pub(super) type Places = HashMap<u64, Vec<(u16, u32)>, foldhash::fast::FixedState>;

/// Where lines are found of attempts whose log names no address and says that no connection came about (HAProxy).
pub(super) const UNCONNECTED: u64 = 1;

/// All logs, found by request.
pub(super) struct LogIndex<'a> {
    pub(super) analysis: &'a Analysis,
    by_id: Places,
    by_request: Places,
    faults: Places,
    /// By the address of the server behind: error lines, and access lines of which an attempt there failed.
    pub(super) behind: [Places; 2],
    /// The lane that wrote each file.
    writers: Vec<Option<Writer>>,
    /// What to add to a log's local times to get the captures', in seconds.
    pub(super) zones: Vec<i64>,
    pub(super) clocks: Vec<LogClock>,
    ids: Vec<IdNames>,
}

/// What requests are told by.
pub(super) fn request_hash(method: &str, target: &str) -> u64 {
    text_hash(method).rotate_left(7) ^ text_hash(target)
}

/// Whether a log's second may be this one, whatever its time zone.
pub(super) fn is_near_in_some_zone(local_s: i64, at_s: i64) -> bool {
    let off = at_s.saturating_sub(local_s);
    let zone = off.saturating_add(ZONE_STEP_S / 2).div_euclid(ZONE_STEP_S).saturating_mul(ZONE_STEP_S);
    off.saturating_sub(zone).saturating_abs() <= TOLERANCE_NS / 1_000_000_000
}

impl<'a> LogIndex<'a> {
    /// `None` without logs.
    pub(super) fn new(analysis: &'a Analysis) -> Option<Self> {
        if analysis.logs.is_empty() {
            return None;
        }
        let (mut by_id, mut by_request, mut faults) =
            (Places::default(), Places::default(), Places::default());
        let mut behind = [Places::default(), Places::default()];
        for (file, log) in analysis.logs.iter().enumerate() {
            for (at, request) in log.requests.iter().enumerate().filter(|(_, request)| !request.id.is_empty())
            {
                let id = HeaderDigest::new(NameId(0), request.id.as_bytes()).value();
                by_id.entry(id).or_default().push((file as u16, at as u32));
            }
            for (at, request) in log.requests.iter().enumerate() {
                for attempt in request.failed_attempts() {
                    let hash = if attempt.unconnected { UNCONNECTED } else { text_hash(&attempt.address) };
                    behind[1].entry(hash).or_default().push((file as u16, at as u32));
                }
                let hash = request_hash(&request.method, &request.target);
                by_request.entry(hash).or_default().push((file as u16, at as u32));
            }
            for (at, error) in log.errors.iter().enumerate() {
                if let Some(upstream) = error.upstream {
                    let hash = text_hash(&upstream.to_string());
                    behind[0].entry(hash).or_default().push((file as u16, at as u32));
                }
                let Some((method, target)) = &error.request else { continue };
                faults.entry(request_hash(method, target)).or_default().push((file as u16, at as u32));
            }
        }
        let writers = super::log_writers::writers(analysis);
        let headers = &analysis.topology.id_headers;
        let ids = analysis.captures.iter().map(|facts| headers.of(facts)).collect();
        let mut index = Self {
            analysis,
            by_id,
            by_request,
            faults,
            behind,
            writers,
            zones: Vec::new(),
            clocks: Vec::new(),
            ids,
        };
        index.clocks = index.find_clocks();
        index.zones = index.clocks.iter().map(|clock| clock.add_s).collect();
        Some(index)
    }

    pub(super) fn writer(&self, (file, _): (u16, u32)) -> Option<LaneId> {
        self.writers[usize::from(file)].map(|writer| writer.lane)
    }

    pub(super) fn error(&self, (file, at): (u16, u32)) -> &'a LoggedError {
        &self.analysis.logs[usize::from(file)].errors[at as usize]
    }

    /// When a line of an error log was written, in session time: nanoseconds, to the second.
    pub(super) fn moment(&self, file: usize, error: &LoggedError) -> i64 {
        error.local_s.saturating_add(self.zones[file]).saturating_mul(1_000_000_000)
    }

    pub(super) fn request(&self, (file, at): (u16, u32)) -> &'a LoggedRequest {
        &self.analysis.logs[usize::from(file)].requests[at as usize]
    }

    /// Error lines about a request like this one: of the lane that asked this server, or of the lane that was asked.
    pub(super) fn faults_of(&self, exchange: ExchangeView<'_>) -> impl Iterator<Item = (u16, u32)> {
        let server = exchange.connection().inner.server;
        let asked = Some(self.analysis.link(exchange.link_id()).to);
        let alike = self.faults.get(&request_hash(exchange.method(), &exchange.target()));
        let alike = alike.map(Vec::as_slice).unwrap_or_default().iter().copied().take(MAX_ALIKE);
        alike.filter(move |&place| {
            let own = self.writer(place) == asked;
            own || self.error(place).upstream.is_none_or(|upstream| upstream == server)
        })
    }

    /// Lines of its lane about requests like this one.
    pub(super) fn alike(&self, exchange: ExchangeView<'_>) -> impl Iterator<Item = (u16, u32)> {
        let lane = Some(self.analysis.link(exchange.link_id()).to);
        let alike = self.by_request.get(&request_hash(exchange.method(), &exchange.target()));
        let alike = alike.map(Vec::as_slice).unwrap_or_default().iter().copied().take(MAX_ALIKE);
        alike.filter(move |place| self.writer(*place) == lane)
    }

    /// The line of this lane's access log about this exchange, which the lane answered.
    pub(super) fn access(&self, exchange: ExchangeView<'_>) -> Option<(u16, u32)> {
        // A server logs nothing of what it turned away; another attempt of the same request may be there.
        let lane = self.analysis.link(exchange.link_id()).to;
        if self.analysis.lane(lane).role == Role::Server && !exchange.raw.response.is_present() {
            return None;
        }
        let children = self.analysis.trees.children(exchange.id).iter().map(|&id| self.analysis.exchange(id));
        let same = std::iter::once(exchange).chain(children);
        let ids = same.flat_map(|x| self.ids[x.capture.index()].ids(x.facts, x.raw)).filter(|&id| id != 0);
        let places = ids.filter_map(|id| self.by_id.get(&id)).flatten().copied();
        let ended = exchange.settled().0;
        let away = |place: (u16, u32)| {
            let zone_ns = self.zones[usize::from(place.0)].saturating_mul(1_000_000_000);
            let at = self.request(place).at_ns?.saturating_add(zone_ns);
            let away = at.saturating_sub(ended).saturating_abs();
            (away <= TOLERANCE_NS).then_some(away)
        };
        let fits = |place: &(u16, u32)| {
            let request = self.request(*place);
            self.writer(*place) == Some(lane) && *request.method == *exchange.method()
        };
        // Attempts of one request share its id: the one that ended as this one did is meant, the nearest of several.
        let other = |place: (u16, u32)| Some(self.request(place).status) != exchange.status();
        let nearest = places.filter(fits).filter_map(|place| Some((other(place), away(place)?, place)));
        if let Some((.., place)) = nearest.min() {
            return Some(place);
        }
        // Without an id the request line and the time must do, where they fit one line only.
        let mut alike = self.alike(exchange).filter(fits).filter(|&place| away(place).is_some());
        let only = alike.next()?;
        alike.next().is_none().then_some(only)
    }

    /// What it means for those who count failures by the log.
    fn meaning(&self, exchanges: &[ExchangeId]) -> &'static str {
        let failed = |id: &ExchangeId| {
            let exchange = self.analysis.exchange(*id);
            !exchange.raw.response.is_complete() || exchange.status().is_none_or(|status| status >= 500)
        };
        match exchanges.iter().any(failed) {
            true => "Whoever counts failures by the access log misses these.",
            false => {
                "On the wire the answers are whole and no failures: whoever counts failures by the access log counts \
                 some that no client got."
            }
        }
    }

    /// Puts beside the retries of a lane what its own access log says of them, where that tells of as many requests and says
    /// otherwise: of equal requests nothing may tell here what the proxy itself knew.
    pub(super) fn tell_of_retries(&self, diagnosis: &mut Diagnosis) {
        for retries in &mut diagnosis.retries {
            let Some(lane) = retries.lane else { continue };
            let links = self.analysis.topology.links.iter().zip(&diagnosis.board.links);
            let asked: u64 =
                links.filter(|(link, _)| link.to == lane).map(|(_, figures)| figures.requests).sum();
            let own = self.analysis.logs.iter().enumerate().filter(|(file, log)| {
                let is_own = self.writers[*file].is_some_and(|writer| writer.is_sure && writer.lane == lane);
                is_own && log.kind == LogKind::Access
            });
            let mut own = own.map(|(file, log)| (file, &log.figures));
            // Of several, replicas' or older ones, none tells of all.
            let (Some((file, figures)), None) = (own.next(), own.next()) else { continue };
            let told: u64 = figures.status.values().flat_map(BTreeMap::values).sum();
            let agrees = figures.retried == retries.retried && figures.saved == retries.saved;
            if told == asked && figures.attempts > 0 && !agrees {
                retries.logged = Some(LoggedRetries {
                    log: self.analysis.log_name(file),
                    retried: figures.retried.clone(),
                    saved: figures.saved.clone(),
                });
            }
        }
    }

    /// Requests of which the log says one thing and the wire another: one finding for each link.
    pub(super) fn disagreements(&self, diagnosis: &Diagnosis) -> Vec<Finding> {
        let mut all: BTreeMap<ExchangeId, String> = BTreeMap::new();
        // A server that drops a request may log nothing of it: then the line is that of a later attempt.
        let (mut places, mut agreed) = (BTreeMap::new(), BTreeSet::new());
        for exchange in self.analysis.exchanges() {
            let lane = self.analysis.link(exchange.link_id()).to;
            let known = self.writers.iter().flatten().any(|writer| writer.is_sure && writer.lane == lane);
            let known = known && exchange.raw.request.is_present();
            let outcome = diagnosis.outcomes[exchange.id.0 as usize];
            if !known || outcome == Outcome::Unknown {
                continue;
            }
            let Some(place) = self.access(exchange) else { continue };
            if !self.writers[usize::from(place.0)].is_some_and(|writer| writer.is_sure) {
                continue;
            }
            if let Some(says) = disagreement(self.request(place), exchange, outcome) {
                all.insert(exchange.id, says);
                places.insert(exchange.id, place);
            } else if exchange.status() == Some(self.request(place).status) {
                agreed.insert(place);
            }
        }
        all.retain(|id, _| !agreed.contains(&places[id]));
        let mut by_link: BTreeMap<LinkId, (BTreeMap<String, u64>, Vec<ExchangeId>)> = BTreeMap::new();
        for (&id, says) in &all {
            // What a hop only passed on was said where it began.
            if self.analysis.trees.children(id).iter().any(|child| all.get(child) == Some(says)) {
                continue;
            }
            let entry = by_link.entry(self.analysis.exchange(id).link_id()).or_default();
            count(&mut entry.0, says);
            entry.1.push(id);
        }
        let finding = |(link, (pairs, exchanges)): (LinkId, (BTreeMap<String, u64>, Vec<ExchangeId>))| {
            let mut draft = Draft::new(self.analysis, diagnosis, &texts::LOG_DISAGREEMENT, link);
            let pairs: Vec<String> =
                pairs.iter().map(|(says, number)| format!("{says} ({})", grouped(*number))).collect();
            draft.values.push(("pairs", listed(&pairs)));
            draft.values.push(("meaning", self.meaning(&exchanges).to_owned()));
            let mut proofs = ProofList::new(self.analysis);
            for &id in exchanges.iter().take(CASES) {
                let exchange = self.analysis.exchange(id);
                proofs.add(exchange, exchange.raw.request.first_frame, "request sent");
                proofs.add(exchange, exchange.raw.response.last_frame, "last byte of the answer");
            }
            draft.finish(exchanges, proofs)
        };
        by_link.into_iter().map(finding).collect()
    }
}

/// What a line says that the packets do not show; `None` where both agree.
fn disagreement(request: &LoggedRequest, exchange: ExchangeView<'_>, outcome: Outcome) -> Option<String> {
    let said = request.status;
    let left = matches!(outcome, Outcome::Aborted | Outcome::TimedOut);
    match (exchange.status(), outcome) {
        (Some(sent), Outcome::Truncated) if said < 400 && said == sent => {
            Some(format!("{said:03} in the log, a truncated answer on the wire"))
        }
        (Some(sent), Outcome::Complete) if sent != said => {
            Some(format!("{} in the log, {sent} on the wire", request.status_name()))
        }
        // 499 is how nginx logs a client that left, HAProxy says that it sent nothing, and no answer is what both look like.
        (None, _) if left && said == 499 || said == 0 => None,
        // And 408 is what it logs, and does not say, of a request that was never finished.
        (None, _) if said == 408 && exchange.raw.request.state == MessageState::Partial => None,
        (None, outcome) if outcome.is_failure() => {
            Some(format!("{said:03} in the log, no answer on the wire"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testkit::{Chain, MS, read_logs as logs};
    use crate::diagnose::wirekit::{FIN, Who, Wire};
    use crate::http::Method::Get;
    use crate::tcp::Side::Server;

    /// A truncated answer, with both logs of the proxy; the error log's host lives two hours east of Greenwich.
    fn truncated() -> Analysis {
        let mut wire = Wire::new();
        let get = "GET /cut HTTP/1.1\r\nHost: shop\r\nX-Request-ID: 00112233445566778899aabbccddeeff\r\n\r\n";
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhalf";
        wire.say(Who::User, get).say(Who::Up, get).say(Who::App, half).say(Who::Down, half);
        wire.wait(50).end(Who::App, FIN).end(Who::Down, FIN);
        let access = "0000000000.560 10.0.0.1 \"GET /cut HTTP/1.1\" 200 4 to=\"10.0.0.3:8000\" got=\"200\" \
            id=00112233445566778899aabbccddeeff\n0000000000.500 10.0.0.1 \"GET /other HTTP/1.1\" 200 4 \
            to=\"10.0.0.3:8000\" got=\"200\" id=ffeeddccbbaa99887766554433221100\n";
        let error = "1970/01/01 02:00:01 [error] 1#1: *9 upstream prematurely closed connection while reading upstream, \
            client: 10.0.0.1, server: shop, request: \"GET /cut HTTP/1.1\", upstream: \"http://10.0.0.3:8000/cut\", host: \
            \"shop\"\n";
        wire.analysis_with(logs(&[("access.log", access), ("error.log", error)]))
    }

    #[test]
    fn a_finding_shows_its_lines_and_a_200_that_was_cut_off_is_a_disagreement() {
        let diagnosis = truncated().diagnosis;
        let kinds: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.kind.as_str()).collect();
        assert_eq!(kinds, ["truncated-response", "log-disagreement"]);
        let lines: Vec<(&str, u64)> =
            diagnosis.log_lines[0].iter().map(|l| (l.file.as_str(), l.line)).collect();
        assert_eq!(lines, [("error.log", 1), ("access.log", 1)]);
        let words = &diagnosis.findings[1].explanation;
        assert!(words.contains("200 in the log, a truncated answer on the wire (1)"), "{words}");
    }

    #[test]
    fn what_two_logs_disagree_on_is_said_where_it_began() {
        let mut chain = Chain::new(&["user", "edge", "ingress", "app"]);
        for link in 0..3 {
            let at = chain.open(link, 0);
            chain.conns[at].request(Get, "/cut", MS).response(200, 9 * MS).cut().fin(Server, 10 * MS);
        }
        chain.parent((1, 0), (0, 0), 1);
        chain.parent((2, 0), (1, 0), 1);
        let line = |to: u8| {
            format!(
                "0000000000.010 10.9.9.9 \"GET /cut HTTP/1.1\" 200 4 to=\"10.0.{to}.1:8000\" got=\"200\"\n"
            )
        };
        let told = |logs: &[(&str, &str)], chain: Chain| {
            let findings = chain.analyse_with(logs).diagnosis.findings;
            let mine = findings.into_iter().filter(|finding| finding.kind == "log-disagreement");
            mine.map(|finding| (finding.link.unwrap().0, finding.count)).collect::<Vec<_>>()
        };
        let (edge, ingress) = (line(2), line(3));
        assert_eq!(told(&[("e.log", &edge), ("i.log", &ingress)], chain), [(1, 1)]);
    }

    #[test]
    fn a_dropped_attempt_that_its_server_did_not_log_takes_the_line_of_no_other() {
        let mut wire = Wire::new();
        let get = "GET /x HTTP/1.1\r\nHost: shop\r\nX-Request-ID: 00112233445566778899aabbccddeeff\r\n\r\n";
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        wire.say(Who::User, get).end(Who::Down, FIN).end(Who::User, FIN).wait(20).reconnect();
        wire.say(Who::User, get).say(Who::Up, get).say(Who::App, ok).say(Who::Down, ok);
        let line = |at: &str, target: &str, id: &str| {
            format!(
                "0000000000.{at} 10.0.0.1 \"GET {target} HTTP/1.1\" 200 4 to=\"10.0.0.3:8000\" got=\"200\" id={id}\n"
            )
        };
        let access = line("002", "/first", "-")
            + &line("003", "/second", "-")
            + &line("550", "/x", "00112233445566778899aabbccddeeff");
        let findings = wire.analysis_with(logs(&[("access.log", &access)])).diagnosis.findings;
        assert!(findings.iter().all(|finding| finding.kind != "log-disagreement"), "{findings:?}");
    }

    #[test]
    fn the_log_of_a_server_is_joined_by_its_requests_whatever_its_zone() {
        let mut wire = Wire::new();
        let line = |target: &str, status: u16| {
            format!(
                "[pid: 9|app: 0|req: 1/1] 10.0.0.2 () {{40 vars in 500 bytes}} [Thu Jan  1 05:30:00 1970] GET {target} => \
                 generated 5 bytes in 2 msecs (HTTP/1.1 {status}) 2 headers in 80 bytes (1 switches on core 0)\n"
            )
        };
        let mut log = String::new();
        for n in 0..8 {
            let get = format!("GET /item/{n} HTTP/1.1\r\nHost: shop\r\n\r\n");
            let status = if n == 5 { 500 } else { 200 };
            let answer = format!("HTTP/1.1 {status} Any\r\nContent-Length: 2\r\n\r\nhi");
            wire.say(Who::User, &get).say(Who::Up, &get).say(Who::App, &answer).say(Who::Down, &answer);
            log.push_str(&line(&format!("/item/{n}"), status));
        }
        let analysis = wire.analysis_with(logs(&[("out.log", &log)]));
        let writers = crate::diagnose::log_writers::writers(&analysis);
        let names: Vec<&str> = writers.iter().flatten().map(|one| &*analysis.lane(one.lane).name).collect();
        assert_eq!(names, ["app"]);
        let kinds: Vec<&str> = analysis.diagnosis.findings.iter().map(|f| f.kind.as_str()).collect();
        assert_eq!(kinds, ["application-error"]);
        let lines: Vec<u64> = analysis.diagnosis.log_lines[0].iter().map(|line| line.line).collect();
        assert_eq!(lines, [6]);
    }
}
