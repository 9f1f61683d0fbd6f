//! Connections that never came about: refused, unreachable, unanswered, or stuck before a full accept queue (C1 to C4).

mod ended;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView};
use crate::tcp::{Event, EventKind, Opening, Side};
use crate::topology::{ConnectionId, ExchangeId, LinkId};

use super::accept_queue;
use super::blackhole::BlackHoles;
use super::burst::Burst;
use super::draft::{Draft, ProofList};
use super::given_up;
use super::reuse::CASES;
use super::texts::{self, Words};
use super::words::{addresses, counted, duration, grouped, listed};
use super::{Certainty, Diagnosis, Finding, Outcome, Severity};
use ended::Ended;

/// SYNs are sent again after a second (RFC 6298, section 2); what comes sooner is a copy in the capture.
const SYN_AGAIN_NS: i64 = 800_000_000;

/// How a connection attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failed {
    Refused,
    /// The same, by a server that nobody's request was for.
    Checked,
    /// The same, at a port that is nobody's way to the application.
    RefusedStranger,
    Unreachable,
    Unanswered,
    /// The same, at such a port.
    UnansweredStranger,
    Overflow,
}

/// A failed or delayed attempt to connect.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub(super) connection: ConnectionId,
    pub(super) link: LinkId,
    pub(super) how: Failed,
    /// Whether the connection never came about.
    pub(super) lost: bool,
    /// Whether all that its client had in hand meanwhile was answered well, as far as the captures tell.
    pub(super) harmless: bool,
    /// Whether some request that the client had in hand at the time of such an attempt is known to have failed.
    pub(super) hurt: bool,
}

/// What one connection's own packets say of its beginning.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Refused,
    Unreachable,
    /// SYN after SYN and nothing back, or one and its client gave up.
    Unanswered,
    /// The same, but answered in the end.
    AnsweredLate,
    /// The handshake was done for the client and not for the server.
    Ignored,
    /// The same, or its first bytes were lost once.
    IgnoredOnce,
    /// The same, and the server said so by a RST.
    Cut,
}

/// All failed attempts, ordered by connection.
pub(super) fn attempts(analysis: &Analysis, outcomes: &[Outcome], holes: &BlackHoles) -> Vec<Attempt> {
    let mut silent: Vec<ConnectionView<'_>> = Vec::new();
    let mut starts: Vec<(ConnectionView<'_>, Start)> = Vec::new();
    for connection in analysis.connections() {
        match start(connection) {
            // What is too large for the path is ignored by no server.
            Some(Start::Ignored | Start::IgnoredOnce) if holes.hold_request(connection.id) => {}
            Some(start) => starts.push((connection, start)),
            None if is_silent(connection) => silent.push(connection),
            None => {}
        }
    }
    let given_up = given_up::find(analysis, &silent);
    if !given_up.is_empty() {
        silent.retain(|connection| given_up.contains(&connection.id));
        starts.extend(silent.into_iter().map(|connection| (connection, Start::Unanswered)));
        starts.sort_unstable_by_key(|(connection, _)| connection.id);
    }
    let stuck = accept_queue::full(analysis, &starts);
    let attempt = |(connection, start): &(ConnectionView<'_>, Start)| {
        let full = stuck.contains(&connection.inner.server);
        let how = match start {
            Start::Refused => Failed::Refused,
            Start::Unreachable => Failed::Unreachable,
            Start::Unanswered if !full => Failed::Unanswered,
            _ if full => Failed::Overflow,
            _ => return None,
        };
        let lost = !matches!(start, Start::AnsweredLate | Start::Ignored | Start::IgnoredOnce);
        Some(Attempt {
            connection: connection.id,
            link: connection.inner.link,
            how,
            lost,
            harmless: false,
            hurt: false,
        })
    };
    let mut attempts: Vec<Attempt> = starts.iter().filter_map(attempt).collect();
    super::checks::mark(analysis, outcomes, &mut attempts);
    super::strangers::mark(analysis, &mut attempts);
    attempts
}

fn start(connection: ConnectionView<'_>) -> Option<Start> {
    let flow = connection.flow();
    match flow.opening {
        Opening::Refused => is_refused(connection).then_some(Start::Refused),
        Opening::Unanswered => {
            if connection.events().iter().any(is_unreachable) {
                return Some(Start::Unreachable);
            }
            let silent = is_silent(connection) && sent_again(connection) && waited_long(connection);
            silent.then_some(Start::Unanswered)
        }
        Opening::Handshake if accept_queue::is_cut(connection) => Some(Start::Cut),
        Opening::Handshake if accept_queue::is_ignored(connection) => Some(Start::Ignored),
        Opening::Handshake if sent_again(connection) => Some(Start::AnsweredLate),
        Opening::Handshake => accept_queue::is_unheard(connection).then_some(Start::IgnoredOnce),
        Opening::MidStream => None,
    }
}

/// Whether nothing but the client's SYN was seen. A client that acknowledges or speaks has had an answer: the capture
/// only lacks that direction.
fn is_silent(connection: ConnectionView<'_>) -> bool {
    let flow = connection.flow();
    let client = flow.direction(Side::Client);
    flow.opening == Opening::Unanswered
        && flow.direction(Side::Server).packets == 0
        && client.bytes == 0
        && client.acked.is_none()
        && client.missing_bytes == 0
}

/// Whether the SYN itself was answered by a RST: a later reset in a capture with gaps acknowledges more.
pub(super) fn is_refused(connection: ConnectionView<'_>) -> bool {
    let flow = connection.flow();
    let client = flow.direction(Side::Client);
    let Some(isn) = client.isn else { return false };
    let answers = |e: &&Event| e.kind == EventKind::Rst && e.from == Side::Server;
    let rst = connection.events().iter().find(answers);
    flow.opening == Opening::Refused
        && client.bytes == 0
        && rst.is_some_and(|rst| rst.has_ack && rst.ack == isn.wrapping_add(1))
}

/// An ICMP error that ends an attempt: destination unreachable but not "packet too big" (RFC 792, RFC 4443).
fn is_unreachable(event: &Event) -> bool {
    let fatal = |(kind, code): (u8, u8)| kind == 3 && code != 4 || kind == 1;
    event.from == Side::Client && event.icmp().is_some_and(fatal)
}

/// The client's SYNs.
pub(super) fn syns(connection: ConnectionView<'_>) -> impl Iterator<Item = &Event> {
    connection.events().iter().filter(|e| e.kind == EventKind::Syn && e.from == Side::Client)
}

/// Whether the same SYN was sent again after its timer.
pub(super) fn sent_again(connection: ConnectionView<'_>) -> bool {
    let first = syns(connection).next();
    let last = syns(connection).last();
    matches!((first, last), (Some(a), Some(b)) if a.seq == b.seq && b.at.0.saturating_sub(a.at.0) >= SYN_AGAIN_NS)
}

/// Whether the capture goes on long enough after the last SYN to say that no answer came.
fn waited_long(connection: ConnectionView<'_>) -> bool {
    let end = connection.analysis.capture(connection.capture()).info.last;
    let last = syns(connection).last().map_or(0, |e| e.at.0);
    let enough = syns(connection).count() >= 3;
    enough || end.is_some_and(|end| end.0.saturating_sub(last) >= SYN_AGAIN_NS)
}

/// Requests sent to a server that had not accepted their connection, and never answered.
pub(super) fn unaccepted<'a>(
    analysis: &'a Analysis,
    outcomes: &'a [Outcome],
    attempts: &'a [Attempt],
) -> impl Iterator<Item = (ExchangeId, LinkId)> + 'a {
    let full = attempts.iter().filter(|attempt| attempt.how == Failed::Overflow);
    full.flat_map(move |attempt| {
        let asked = analysis.connection(attempt.connection).exchanges();
        let unanswered = asked.filter(|x| outcomes[x.id.0 as usize] != Outcome::Complete);
        unanswered.map(move |x| (x.id, attempt.link))
    })
}

/// One finding for each link and way to fail.
pub(super) fn findings(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    attempts: &[Attempt],
    bursts: &[Vec<Burst>],
) -> Vec<Finding> {
    let mut groups: BTreeMap<(LinkId, Failed), Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        groups.entry((attempt.link, attempt.how)).or_default().push(attempt);
    }
    let told = |((link, how), cases): ((LinkId, Failed), Vec<&Attempt>)| {
        let bursts = &bursts[usize::from(link.0)];
        let ended = if how == Failed::Refused { ended::find(analysis, link, bursts, &cases) } else { None };
        finding(analysis, diagnosis, (link, how, ended), &cases)
    };
    groups.into_iter().map(told).collect()
}

fn words(how: Failed) -> &'static Words {
    match how {
        Failed::Refused => &texts::CONNECTION_REFUSED,
        Failed::Checked => &texts::CHECK_REFUSED,
        Failed::RefusedStranger => &texts::STRANGER_REFUSED,
        Failed::Unreachable => &texts::HOST_UNREACHABLE,
        Failed::Unanswered => &texts::CONNECT_TIMEOUT,
        Failed::UnansweredStranger => &texts::STRANGER_UNANSWERED,
        Failed::Overflow => &texts::ACCEPT_QUEUE_OVERFLOW,
    }
}

fn finding(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    (link, how, ended): (LinkId, Failed, Option<Ended>),
    cases: &[&Attempt],
) -> Finding {
    let words = if ended.is_some() { &texts::REFUSED_BY_RESTART } else { words(how) };
    let mut draft = Draft::new(analysis, diagnosis, words, link);
    draft.values.extend(ended.into_iter().flat_map(|ended| ended.values));
    let views: Vec<ConnectionView<'_>> = cases.iter().map(|a| analysis.connection(a.connection)).collect();
    let mut servers: Vec<SocketAddr> = views.iter().map(|c| c.inner.server).collect();
    servers.sort_unstable();
    servers.dedup();
    draft.values.push(("servers", addresses(&servers)));
    let harmless = cases.iter().all(|case| case.harmless);
    draft.values.push(("hurt", hurt(analysis, link, harmless)));
    draft.values.push(("asker", asker(analysis, link)));
    if harmless {
        draft.severity = draft.severity.min(Severity::Warning);
    }
    match how {
        Failed::Checked | Failed::RefusedStranger | Failed::UnansweredStranger => {}
        Failed::Refused => {
            if let Some(why) = is_harmless(analysis, link, &views) {
                // Also a server that is still starting is asked for users where it is announced too early.
                if !cases.iter().any(|case| case.hurt) {
                    draft.severity = Severity::Warning;
                }
                draft.values.push(("meaning", why));
            } else {
                draft.values.push(("meaning", String::new()));
            }
        }
        Failed::Unreachable => draft.values.push(("codes", listed(&codes(&views)))),
        Failed::Unanswered => {
            draft.certainty = Certainty::Likely;
            let syns = views.iter().map(|c| syns(*c).count() as u64).max().unwrap_or_default();
            let words = if syns > 1 { format!("up to {syns} SYNs") } else { "one SYN".to_owned() };
            draft.values.push(("syns", words));
            draft.values.push(("alive", alive(analysis, link, &servers)));
        }
        Failed::Overflow => {
            draft.certainty = Certainty::Likely;
            let lost = cases.iter().filter(|a| a.lost || failed(diagnosis, analysis, a.connection)).count();
            if lost == 0 {
                draft.severity = Severity::Warning;
            }
            let delay = views.iter().map(|c| delay_ns(*c)).max().unwrap_or_default();
            draft.values.push(("lost", counted(lost as u64, "connection")));
            draft.values.push(("delay", duration(delay)));
            draft.values.push(("seen", left_waiting(&views)));
            draft.values.push(("meanwhile", meanwhile(analysis, link, &views)));
        }
    }
    let mut proofs = ProofList::new(analysis);
    for connection in views.iter().take(CASES) {
        prove(*connection, how, &mut proofs);
    }
    draft.connections = cases.iter().map(|a| a.connection).collect();
    draft.finish(Vec::new(), proofs)
}

/// Who answers for the one that was not reached: what nobody is seen to call may be a client and no proxy.
fn asker(analysis: &Analysis, link: LinkId) -> String {
    let from = analysis.link(link).from;
    let is_called = analysis.topology.links.iter().any(|other| other.to == from);
    if is_called { analysis.lane(from).name.clone() } else { "A proxy".to_owned() }
}

/// What the failed connections cost, where that is known.
fn hurt(analysis: &Analysis, link: LinkId, harmless: bool) -> String {
    let from = &analysis.lane(analysis.link(link).from).name;
    if harmless { format!("No request that {from} had in hand meanwhile failed.") } else { String::new() }
}

/// How connections were left before a full queue.
fn left_waiting(connections: &[ConnectionView<'_>]) -> String {
    let mut numbers = [0; 3];
    for &connection in connections {
        let at = match start(connection) {
            Some(Start::Cut) => 2,
            Some(Start::Ignored | Start::IgnoredOnce) => 1,
            _ => 0,
        };
        numbers[at] += 1;
    }
    let words = [
        "whose SYNs it dropped",
        "that were complete for the client, while the server ignored what it sent on them",
        "that it answered with RST once they were complete for the client",
    ];
    let parts = numbers.into_iter().zip(words).filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, what)| format!("{} {what}", grouped(number))).collect();
    listed(&parts)
}

/// Whether the server answered anybody while connections were left waiting.
fn meanwhile(analysis: &Analysis, link: LinkId, waiting: &[ConnectionView<'_>]) -> String {
    let first = waiting.iter().map(|c| c.inner.first).min();
    let last = waiting.iter().map(|c| c.inner.first.0.saturating_add(delay_ns(*c))).max();
    let mut all = analysis.link(link).connections.iter().flat_map(|&id| analysis.connection(id).exchanges());
    let answered = all.any(|x| {
        let at = x.connection().time(x.raw.response.start, x.raw.response.first_frame);
        let at_one = waiting.iter().any(|c| c.inner.server == x.connection().inner.server);
        x.raw.response.is_present() && Some(at) >= first && Some(at.0) <= last && at_one
    });
    let words = if answered {
        "It went on answering on other connections meanwhile, and the path lost no data"
    } else {
        "It acknowledged requests on connections that came before, and answered none of them meanwhile: it takes no \
            connection any more"
    };
    words.to_owned()
}

fn failed(diagnosis: &Diagnosis, analysis: &Analysis, id: ConnectionId) -> bool {
    analysis.connection(id).exchanges().any(|x| diagnosis.outcomes[x.id.0 as usize].is_failure())
}

/// From the first SYN to the last sign that the connection was not there for both: SYN, SYN,ACK, or first bytes again.
pub(super) fn delay_ns(connection: ConnectionView<'_>) -> i64 {
    let opened = connection.events().iter().filter(|e| matches!(e.kind, EventKind::Syn | EventKind::SynAck));
    let times: Vec<i64> = opened.chain(accept_queue::unheard(connection)).map(|e| e.at.0).collect();
    times.iter().max().zip(times.first()).map_or(0, |(last, first)| last.saturating_sub(*first))
}

/// Refusals that cost nobody a request: all before the server first accepted, or an address that the client passes
/// over for one of the other family (`localhost` as ::1 and 127.0.0.1).
fn is_harmless(analysis: &Analysis, link: LinkId, refused: &[ConnectionView<'_>]) -> Option<String> {
    let all = || analysis.connections().filter(|c| c.flow().opening == Opening::Handshake);
    let last = refused.iter().map(|c| c.inner.first).max()?;
    let server = refused[0].inner.server;
    let same = refused.iter().all(|c| c.inner.server == server);
    let accepted = all().filter(|c| c.inner.server == server).map(|c| c.inner.first).min();
    let asked = |c: &ConnectionView<'_>| !c.inner.exchanges.is_empty() && c.inner.first <= last;
    let before_anything = !analysis.link(link).connections.iter().any(|&id| asked(&analysis.connection(id)));
    if same && before_anything && accepted.is_some_and(|first| first > last) {
        return Some("All of them came before it first accepted: it was still starting.".to_owned());
    }
    let other_family = |c: &ConnectionView<'_>| {
        let other = c.inner.server;
        other.port() == server.port() && other.is_ipv4() != server.is_ipv4()
    };
    let passed_over = |c: &ConnectionView<'_>| {
        let soon = |other: ConnectionView<'_>| {
            other_family(&other) && (0..=1_000_000_000).contains(&other.inner.first.since_ns(c.inner.first))
        };
        server.ip().is_loopback() && all().any(soon)
    };
    (same && accepted.is_none() && refused.iter().take(CASES).all(passed_over))
        .then(|| "The client then used the other address family at once: nothing was lost.".to_owned())
}

/// `network unreachable (ICMP 3/0)`.
fn codes(connections: &[ConnectionView<'_>]) -> Vec<String> {
    let mut all: Vec<(u8, u8)> =
        connections.iter().filter_map(|c| c.events().iter().find(|e| is_unreachable(e))?.icmp()).collect();
    all.sort_unstable();
    all.dedup();
    let name = |&(kind, code): &(u8, u8)| {
        let words = match (kind, code) {
            (1 | 3, 0) => "no route to the network",
            (3, 1) | (1, 3) => "no such host",
            (3, 3) | (1, 4) => "port rejected, as by a firewall",
            (3, 9 | 10 | 13) | (1, 1) => "forbidden by policy",
            _ => "unreachable",
        };
        format!("{words} (ICMP type {kind}, code {code})")
    };
    all.iter().map(name).collect()
}

/// Whether the same addresses answered at other times.
fn alive(analysis: &Analysis, link: LinkId, servers: &[SocketAddr]) -> String {
    let answered = analysis.link(link).connections.iter().any(|&id| {
        let connection = analysis.connection(id);
        connection.flow().opening == Opening::Handshake && servers.contains(&connection.inner.server)
    });
    let words = if answered {
        "It accepted other connections in this capture, so it may also have been overloaded for a while."
    } else {
        "It answered nothing in this capture: wrong address, host down, or a firewall that drops."
    };
    words.to_owned()
}

/// Shows the SYNs of a connection, numbered, and what else `note` has words for.
pub(super) fn prove_opening(
    connection: ConnectionView<'_>,
    proofs: &mut ProofList<'_>,
    note: impl Fn(&Event) -> Option<&'static str>,
) {
    let mut number = 0;
    for event in connection.events() {
        let words = match event.kind {
            EventKind::Syn => {
                number += 1;
                if number == 1 { "SYN".to_owned() } else { format!("the same SYN again ({number})") }
            }
            _ => match note(event) {
                Some(words) => words.to_owned(),
                None => continue,
            },
        };
        proofs.add_packet(connection.id, event.frame, words);
    }
}

fn prove(connection: ConnectionView<'_>, how: Failed, proofs: &mut ProofList<'_>) {
    prove_opening(connection, proofs, |event| {
        Some(match event.kind {
            EventKind::Rst if matches!(how, Failed::Refused | Failed::Checked | Failed::RefusedStranger) => {
                "answered by RST"
            }
            EventKind::Unreachable => "answered by an ICMP error",
            EventKind::SynAck if how == Failed::Overflow => "SYN,ACK",
            EventKind::Established if how == Failed::Overflow => "acknowledged by the client",
            EventKind::Retransmission if how == Failed::Overflow && event.from == Side::Client => {
                "the client's first bytes again"
            }
            EventKind::Rst if how == Failed::Overflow && event.from == Side::Server => {
                "the server knows no such connection"
            }
            _ => return None,
        })
    });
}
