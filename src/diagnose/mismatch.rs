//! Connections on which the two sides speak different protocols, told by their first bytes (C6 to C8).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::correlate::Orphan;
use crate::http::{ExchangeFlags, FirstBytes, TlsAlert};
use crate::tcp::{Event, EventKind, Flow, Opening, Side};
use crate::topology::{ConnectionId, ExchangeId, LinkId};

use super::draft::{Draft, ProofList};
use super::life::{Life, at_least};
use super::origins::is_user_link;
use super::reuse::CASES;
use super::strangers::Strangers;
use super::texts::{self, Words};
use super::with_logs::{is_near_in_some_zone, request_hash};
use super::words::{addresses, listed};
use super::{Certainty, Diagnosis, Finding, Severity};

/// An answer to bytes that make no request comes this soon, beyond the round trip: no application was asked.
const PARSED_NS: i64 = 1_000_000;
/// A close that comes this soon after the first bytes, beyond the round trip, is an answer to them.
const PROMPT_NS: i64 = 20_000_000;

/// So many connections, and none answered ever, are no accident.
pub(super) const NEVER_ANSWERED: u64 = 5;

/// A client that leaves sooner than this did not wait for an answer.
const PATIENCE_NS: i64 = 1_000_000_000;

/// Which languages do not fit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Clash {
    TlsToPlain,
    TlsUnanswered,
    /// Both speak TLS, and do not agree.
    TlsRefused,
    PlainToTls,
    ProxyUnexpected,
    ProxyTwice,
    ProxyMissing,
    Http2,
}

/// A connection that began in the wrong language.
pub(super) struct Mismatch {
    pub(super) connection: ConnectionId,
    pub(super) link: LinkId,
    clash: Clash,
    certainty: Certainty,
}

/// What all connections to one server address show of the languages that it speaks.
#[derive(Default)]
struct Speaks {
    tls: bool,
    http: bool,
    /// Connections with a PROXY header that got an answer other than 400.
    proxied: bool,
    /// Connections with any answer.
    answered: u64,
    /// Connections closed at once without an answer.
    turned_away: u64,
    /// All other connections with a request.
    other: u64,
}

/// All mismatches, ordered by connection.
pub(super) fn find(analysis: &Analysis) -> Vec<Mismatch> {
    let mut servers: BTreeMap<SocketAddr, Speaks> = BTreeMap::new();
    for connection in analysis.connections() {
        servers.entry(connection.inner.server).or_default().add(connection);
    }
    let log = HeaderMissing::logged(analysis);
    let mismatch = |connection: ConnectionView<'_>| {
        let (clash, certainty) = clash(connection, servers.get(&connection.inner.server)?, &log)?;
        Some(Mismatch { connection: connection.id, link: connection.inner.link, clash, certainty })
    };
    analysis.connections().filter_map(mismatch).collect()
}

/// The requests of which a log says that a PROXY header should have come before them, with their seconds.
struct HeaderMissing(BTreeMap<u64, Vec<i64>>);

impl HeaderMissing {
    fn logged(analysis: &Analysis) -> Self {
        let mut all: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
        for error in analysis.logs.iter().flat_map(|log| &log.errors) {
            let Some((method, target)) = error.request.as_ref().filter(|_| error.is_broken_header()) else {
                continue;
            };
            all.entry(request_hash(method, target)).or_default().push(error.local_s);
        }
        Self(all)
    }

    /// Whether the log says it of this request. Which time zone the log keeps is not known here.
    fn holds(&self, exchange: ExchangeView<'_>) -> bool {
        let Some(times) = self.0.get(&request_hash(exchange.method(), &exchange.target())) else {
            return false;
        };
        let at = exchange.started().0.div_euclid(1_000_000_000);
        times.iter().any(|second| is_near_in_some_zone(*second, at))
    }
}

impl Speaks {
    fn add(&mut self, connection: ConnectionView<'_>) {
        let (asked, answered) = first_bytes(connection);
        self.tls |= answered == FirstBytes::TlsHandshake;
        self.http |= answered == FirstBytes::HttpResponse;
        if !matches!(answered, FirstBytes::None | FirstBytes::Missing) {
            self.answered += 1;
        } else if is_turned_away(connection) {
            self.turned_away += 1;
        } else if asked != FirstBytes::None {
            self.other += 1;
        }
        self.proxied |= is_proxy(asked) && status(connection).is_some_and(|status| status != 400);
    }
}

fn first_bytes(connection: ConnectionView<'_>) -> (FirstBytes, FirstBytes) {
    let wire = &connection.flow().wire;
    (wire.first(Side::Client), wire.first(Side::Server))
}

fn is_proxy(bytes: FirstBytes) -> bool {
    matches!(bytes, FirstBytes::ProxyV1 | FirstBytes::ProxyV2)
}

/// Whether a second PROXY header stands where the server awaits the first byte of HTTP.
fn is_proxy_twice(connection: ConnectionView<'_>, asked: FirstBytes) -> bool {
    is_proxy(asked) && connection.flow().wire.proxy.as_ref().is_some_and(|first| !first.further.is_empty())
}

/// The status of the first response.
fn status(connection: ConnectionView<'_>) -> Option<u16> {
    connection.exchanges().next()?.status()
}

/// Whether the server had the first bytes, sent none, and closed.
fn is_closed_unanswered(connection: ConnectionView<'_>) -> bool {
    let flow = connection.flow();
    flow.opening == Opening::Handshake
        && !flow.is_lossy()
        && flow.direction(Side::Client).bytes > 0
        && flow.direction(Side::Server).bytes == 0
        && is_heard(flow)
        && Life::of(connection).server_ended().is_some()
}

/// Whether the server acknowledged a byte of the client's.
fn is_heard(flow: &Flow) -> bool {
    let (client, server) = (flow.direction(Side::Client), flow.direction(Side::Server));
    client.isn.zip(server.acked).is_some_and(|(isn, ack)| at_least(ack, isn.wrapping_add(2)))
}

/// Whether it closed so soon that nothing but the first bytes can be the reason.
pub(super) fn is_turned_away(connection: ConnectionView<'_>) -> bool {
    let life = Life::of(connection);
    let Some(end) = life.server_ended().filter(|_| is_closed_unanswered(connection)) else { return false };
    let Some(first) = connection.exchanges().next() else { return false };
    let late = end.at.0.saturating_sub(first.raw.request.end.0);
    late <= round_trip_ns(connection).saturating_mul(2).saturating_add(PROMPT_NS)
}

/// What the handshake took, in nanoseconds.
fn round_trip_ns(connection: ConnectionView<'_>) -> i64 {
    let syn = connection.events().iter().find(|e| e.kind == EventKind::Syn);
    let done = connection.events().iter().find(|e| e.kind == EventKind::Established);
    syn.zip(done).map_or(0, |(a, b)| b.at.0.saturating_sub(a.at.0))
}

/// Whether the server answered as soon as it had the request, and closed without being asked to.
fn is_hung_up_on(exchange: ExchangeView<'_>) -> bool {
    let (connection, life) = (exchange.connection(), Life::of(exchange.connection()));
    let took_ns = exchange.raw.response.start.0.saturating_sub(exchange.raw.request.end.0);
    let closed =
        life.server_ended().is_some_and(|end| life.client_ended().is_none_or(|left| end.frame < left.frame));
    took_ns <= round_trip_ns(connection).saturating_mul(2).saturating_add(PARSED_NS) && closed
}

fn clash(connection: ConnectionView<'_>, speaks: &Speaks, log: &HeaderMissing) -> Option<(Clash, Certainty)> {
    use FirstBytes::{
        Http2Frames, Http2Preface, HttpRequest, HttpResponse, None as Nothing, Other, TlsAlert, TlsHandshake,
    };
    // What a connection carries now may not be what it began with.
    if connection.flow().opening == Opening::MidStream {
        return None;
    }
    // A proxy passes the answer on: the fault is on the link where it was given.
    if connection.exchanges().any(|x| !connection.analysis.trees.children(x.id).is_empty()) {
        return None;
    }
    let flag = |flag| connection.exchanges().next().is_some_and(|x| x.raw.flags.has(flag));
    let bad_request = || status(connection) == Some(400);
    let closed = || is_closed_unanswered(connection);
    Some(match first_bytes(connection) {
        (TlsHandshake, TlsHandshake | TlsAlert | Nothing) if refusal(connection).is_some() => {
            (Clash::TlsRefused, Certainty::Certain)
        }
        (TlsHandshake, HttpResponse) => (Clash::TlsToPlain, Certainty::Certain),
        (TlsHandshake, Nothing) if !speaks.tls && speaks.http && closed() => {
            (Clash::TlsToPlain, Certainty::Likely)
        }
        (TlsHandshake, Nothing) if is_never_answered(connection, speaks) => {
            let always = speaks.turned_away + speaks.other >= NEVER_ANSWERED;
            (Clash::TlsUnanswered, if always { Certainty::Likely } else { Certainty::Possible })
        }
        (TlsHandshake, Other) if !speaks.tls => (Clash::TlsToPlain, Certainty::Likely),
        (HttpRequest | Http2Preface, TlsAlert | TlsHandshake) => (Clash::PlainToTls, Certainty::Certain),
        (HttpRequest, HttpResponse) if flag(ExchangeFlags::PLAIN_TO_TLS) => {
            (Clash::PlainToTls, Certainty::Certain)
        }
        (HttpRequest, Nothing) if speaks.tls && closed() => (Clash::PlainToTls, Certainty::Likely),
        (asked, HttpResponse) if is_proxy_twice(connection, asked) && bad_request() => {
            (Clash::ProxyTwice, Certainty::Likely)
        }
        (asked, Nothing) if is_proxy_twice(connection, asked) && closed() => {
            (Clash::ProxyTwice, Certainty::Likely)
        }
        (asked, HttpResponse) if is_proxy(asked) && !speaks.proxied && bad_request() => {
            // A 400 to the request behind the header may be the application's.
            let first = connection.exchanges().next()?;
            match first.raw.request.is_present() {
                false => (Clash::ProxyUnexpected, Certainty::Certain),
                true if is_hung_up_on(first) => (Clash::ProxyUnexpected, Certainty::Likely),
                true => return None,
            }
        }
        (asked, Nothing) if is_proxy(asked) && !speaks.proxied && closed() => {
            (Clash::ProxyUnexpected, Certainty::Likely)
        }
        (HttpRequest, Nothing) if speaks.proxied && is_turned_away(connection) => {
            (Clash::ProxyMissing, Certainty::Certain)
        }
        // A server that crashes on each request closes just so: without its log it is not known why.
        (HttpRequest, Nothing)
            if is_turned_away(connection) && connection.exchanges().next().is_some_and(|x| log.holds(x)) =>
        {
            (Clash::ProxyMissing, Certainty::Certain)
        }
        (Http2Preface, HttpResponse) | (HttpRequest, Http2Frames) => (Clash::Http2, Certainty::Certain),
        (Http2Preface, Nothing) if speaks.http && closed() => (Clash::Http2, Certainty::Likely),
        _ => return None,
    })
}

/// The alert that ended a TLS handshake between hops. Whoever scans a public server ends many a one like this.
fn refusal(connection: ConnectionView<'_>) -> Option<&TlsAlert> {
    if is_user_link(connection.analysis, connection.inner.link) {
        return None;
    }
    let tls = connection.flow().wire.tls.as_deref().filter(|tls| tls.is_established() == Some(false))?;
    tls.alerts.iter().find(|alert| alert.is_fatal())
}

/// Whether a server answers no TLS handshake at all, and somebody gave up on this one that it has received.
fn is_never_answered(connection: ConnectionView<'_>, speaks: &Speaks) -> bool {
    let life = Life::of(connection);
    let waited = |end: &Event| end.at.0.saturating_sub(life.flow.first.0.0) >= PATIENCE_NS;
    let ended = life.server_ended().is_some() || life.client_ended().is_some_and(waited);
    let whole = !life.flow.is_lossy() && life.flow.opening == Opening::Handshake;
    whole && ended && speaks.answered == 0 && is_heard(life.flow)
}

/// The exchanges that these findings explain.
pub(super) fn explained<'a>(
    analysis: &'a Analysis,
    all: &'a [Mismatch],
) -> impl Iterator<Item = (ExchangeId, LinkId)> + 'a {
    all.iter().flat_map(|one| analysis.connection(one.connection).exchanges().map(|x| (x.id, one.link)))
}

/// One finding for each link and clash.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis, all: &[Mismatch]) -> Vec<Finding> {
    if all.is_empty() {
        return Vec::new();
    }
    let strangers = Strangers::find(analysis);
    let mut groups: BTreeMap<(LinkId, Clash, bool), Vec<&Mismatch>> = BTreeMap::new();
    for one in all {
        let by_stranger = strangers.made(analysis.connection(one.connection));
        groups.entry((one.link, one.clash, by_stranger)).or_default().push(one);
    }
    groups
        .into_iter()
        .map(|((link, clash, by_strangers), cases)| {
            finding(analysis, diagnosis, (link, clash), by_strangers, &cases)
        })
        .collect()
}

fn words(clash: Clash) -> &'static Words {
    match clash {
        Clash::TlsToPlain => &texts::TLS_TO_PLAIN,
        Clash::TlsUnanswered => &texts::TLS_UNANSWERED,
        Clash::TlsRefused => &texts::TLS_REFUSED,
        Clash::PlainToTls => &texts::PLAIN_TO_TLS,
        Clash::ProxyUnexpected => &texts::PROXY_NOT_EXPECTED,
        Clash::ProxyTwice => &texts::PROXY_TWICE,
        Clash::ProxyMissing => &texts::PROXY_EXPECTED,
        Clash::Http2 => &texts::HTTP2_MISMATCH,
    }
}

fn finding(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    (link, clash): (LinkId, Clash),
    by_strangers: bool,
    cases: &[&Mismatch],
) -> Finding {
    let mut draft = Draft::new(analysis, diagnosis, words(clash), link);
    draft.certainty = cases.iter().map(|one| one.certainty).max().unwrap_or(Certainty::Possible);
    let views: Vec<ConnectionView<'_>> =
        cases.iter().map(|one| analysis.connection(one.connection)).collect();
    let mut servers: Vec<SocketAddr> = views.iter().map(|c| c.inner.server).collect();
    servers.sort_unstable();
    servers.dedup();
    let ends = analysis.link(link);
    let (from, to) = (&analysis.lane(ends.from).name, &analysis.lane(ends.to).name);
    let said = |connection: &ConnectionView<'_>| match refusal(*connection) {
        Some(alert) => {
            let who = if alert.from == Side::Client { from } else { to };
            format!("{who} ends it with the alert {}", alert.name())
        }
        None => answer(*connection, to),
    };
    let mut answers: Vec<String> = views.iter().map(said).collect();
    answers.sort_unstable();
    answers.dedup();
    draft.values.push(("servers", addresses(&servers)));
    let begins = match (clash, views.first().map(|c| first_bytes(*c).0)) {
        (Clash::Http2, Some(asked)) => {
            format!("{} begins with {}, and ", analysis.lane(analysis.link(link).from).name, asked.name())
        }
        _ => String::new(),
    };
    draft.values.push(("answer", format!("{begins}{}", listed(&answers))));
    // What only checks met has cost no user a request.
    let is_check = |x: ExchangeView<'_>| analysis.trees.orphan(x.id) == Some(Orphan::HealthCheck);
    let only_checks = |c: &ConnectionView<'_>| c.exchanges().next().is_some() && c.exchanges().all(is_check);
    if views.iter().all(only_checks) {
        draft.severity = draft.severity.min(Severity::Warning);
    }
    let doubt = if by_strangers {
        draft.severity = Severity::Note;
        "Who did this was answered nothing else, or hardly anything, while others were served: scanners look like this."
    } else {
        doubt(clash, draft.certainty)
    };
    draft.values.push(("doubt", doubt.to_owned()));
    let mut proofs = ProofList::new(analysis);
    for connection in views.iter().take(CASES) {
        prove(*connection, to, &mut proofs);
    }
    draft.connections = cases.iter().map(|one| one.connection).collect();
    draft.finish(Vec::new(), proofs)
}

/// What came back, in words.
fn answer(connection: ConnectionView<'_>, to: &str) -> String {
    let (_, answered) = first_bytes(connection);
    match (answered, status(connection)) {
        (FirstBytes::HttpResponse, Some(status)) => format!("{to} answers HTTP {status}"),
        (FirstBytes::None, _) if Life::of(connection).server_ended().is_some() => {
            format!("{to} closes without a byte")
        }
        (FirstBytes::None, _) => format!("{to} answers nothing"),
        (other, _) => format!("{to} answers with {}", other.name()),
    }
}

fn doubt(clash: Clash, certainty: Certainty) -> &'static str {
    match (clash, certainty) {
        (Clash::ProxyMissing, Certainty::Certain) => {
            "None: connections with such a header are answered, or the server's log names the header that it missed."
        }
        (Clash::TlsUnanswered, _) => {
            "Nothing shows what the server speaks. One that hangs, is overloaded or crashes on each of these connections, or \
             a device between that drops them, looks the same: look in its log."
        }
        (Clash::ProxyTwice, _) => {
            "That both headers are there is certain; that the server refuses for the second one is not: it may expect \
             none at all. Look in its log."
        }
        (_, Certainty::Certain) => "None: both sides' first bytes show it.",
        _ => "A server that hangs or crashes on each of these connections looks the same: look in its log.",
    }
}

fn prove(connection: ConnectionView<'_>, to: &str, proofs: &mut ProofList<'_>) {
    let (asked, _) = first_bytes(connection);
    let exchange = connection.exchanges().next();
    let events = connection.events();
    match exchange {
        Some(exchange) => {
            proofs.add(exchange, exchange.raw.request.first_frame, format!("begins with {}", asked.name()));
            proofs.add(exchange, exchange.raw.response.first_frame, answer(connection, to));
        }
        None => {
            let done = events.iter().find(|e| e.kind == EventKind::Established);
            let note = format!("connected; what follows is {}", asked.name());
            proofs.add_packet(connection.id, done.map_or(connection.flow().first.1, |e| e.frame), note);
        }
    }
    if let Some(alert) = refusal(connection) {
        proofs.add_packet(connection.id, alert.frame, format!("TLS alert: {}", alert.name()));
    }
    if let Some(end) = Life::of(connection).server_ended() {
        proofs.add_packet(connection.id, end.frame, format!("{to} closes"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::analysis::analyse;
    use crate::capture::testing::{Conversation, PcapBuilder};
    use crate::capture::{Reader, TcpFlags};
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;
    use crate::http::load_from;
    use crate::topology::Overrides;

    const S: i64 = 1_000_000_000;

    /// What is said of clients that begin with a TLS handshake, get an acknowledgement at most, and leave.
    fn unanswered(connections: u16, leaves: i64, heard: bool) -> Vec<(String, Certainty)> {
        let mut file = PcapBuilder::new().nanos();
        for number in 0..connections {
            let client = format!("10.0.0.1:{}", 40_000 + number);
            let (mut ends, at) = (Conversation::new(&client, "10.0.0.2:443"), 60 * S * i64::from(number));
            ends.handshake(&mut file, at);
            ends.client(&mut file, at + S / 1_000, b"\x16\x03\x01\0\x2f\x01\0\0\x2b\x03\x03");
            if heard {
                ends.send(&mut file, at + S / 500, 1, TcpFlags::ACK, b"");
            }
            ends.send(&mut file, at + leaves, 0, TcpFlags::FIN | TcpFlags::ACK, b"");
        }
        told(&file)
    }

    fn told(file: &PcapBuilder) -> Vec<(String, Certainty)> {
        let facts =
            load_from(Reader::new(Cursor::new(file.build()), None), Path::new("a.pcap"), &mut |_| true);
        let analysis = analyse(vec![Arc::new(facts)], &Overrides::default());
        let tls = analysis.diagnosis.findings.iter().filter(|finding| finding.rule == "C6");
        tls.map(|finding| (finding.cause.clone(), finding.confidence)).collect()
    }

    #[test]
    fn what_a_connection_carries_when_the_capture_begins_is_not_what_it_began_with() {
        let clash = |whole: bool| {
            let mut file = PcapBuilder::new().nanos();
            let mut ends = Conversation::new("10.0.0.1:40000", "10.0.0.2:3128");
            if whole {
                ends.handshake(&mut file, 0);
            } else {
                ends.server(&mut file, 0, b"HTTP/1.1 200 Connection established\r\n\r\n");
            }
            ends.client(&mut file, S, b"\x16\x03\x01\0\x2f\x01\0\0\x2b\x03\x03");
            ends.server(&mut file, 2 * S, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            told(&file).len()
        };
        assert_eq!((clash(true), clash(false)), (1, 0));
    }

    #[test]
    fn who_closes_every_connection_at_once_may_crash_unless_its_log_misses_a_proxy_header() {
        let told = |log: &str| {
            let mut chain = Chain::new(&["user", "app"]);
            for n in 0..6 {
                let at = chain.open(0, n * S);
                let conn = chain.conns[at].speak(FirstBytes::HttpRequest, FirstBytes::None);
                conn.request(Get, "/x", n * S + MS).sync().fin(Side::Server, n * S + 2 * MS);
            }
            let analysis = chain.analyse_with(&[("error.log", log)]);
            let finding = &analysis.diagnosis.findings[0];
            (finding.kind.clone(), finding.confidence, finding.count, analysis.log_lines(0).len())
        };
        let closed = ("closed-before-response".to_owned(), Certainty::Certain, 6, 0);
        assert_eq!(told("1970/01/01 00:00:00 [notice] 1#1: start\n"), closed);
        let line = |n: i64| {
            format!(
                "1970/01/01 02:00:{n:02} [error] 6#6: *2 broken header: \"GET /x HTTP/1.1\r\nHost: shop\r\n\r\n\" while \
                 reading PROXY protocol, client: 10.0.0.1, server: 0.0.0.0:8000\n"
            )
        };
        let log: String = (0..6).map(line).collect();
        assert_eq!(told(&log), ("proxy-protocol-mismatch".to_owned(), Certainty::Certain, 6, 6));
        let other = log.replace("/x", "/y");
        assert_eq!(told(&other), closed);
    }

    #[test]
    fn a_server_that_never_answers_tls_may_not_speak_it() {
        assert_eq!(unanswered(1, 5 * S, true), [("tls-unanswered".to_owned(), Certainty::Possible)]);
        assert_eq!(unanswered(5, 5 * S, true), [("tls-unanswered".to_owned(), Certainty::Likely)]);
        assert_eq!(unanswered(2, S / 10, true), [], "nobody waited");
        assert_eq!(unanswered(2, 5 * S, false), [], "it may not have got there");
    }
}
