//! Connections that came about late (T5): the first SYN got no answer, and a later one did.
//!
//! Nobody can tell from the packets whether the path lost the SYN or the server's kernel dropped it, as it does where the
//! queue of connections is full (where more shows of that, it is told as C4). What waited for the connection waited all
//! the same, a second at least, and no log of the server shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView};
use crate::tcp::{Event, EventKind, Opening};
use crate::topology::{ConnectionId, LinkId};

use super::connect::{Attempt, delay_ns, prove_opening, sent_again, syns};
use super::draft::{Draft, ProofList};
use super::reuse::CASES;
use super::spans::Spans;
use super::texts;
use super::words::{addresses, counted, duration, grouped};
use super::{Diagnosis, Finding, Outcome, Severity};

/// A request sent this soon after the handshake had been waiting for it.
const AT_ONCE_NS: i64 = 100_000_000;

/// One finding for each link, beside the `attempts` that are told of already.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis, attempts: &[Attempt]) -> Vec<Finding> {
    let told: BTreeSet<ConnectionId> = attempts.iter().map(|attempt| attempt.connection).collect();
    let mut links: BTreeMap<LinkId, Vec<ConnectionView<'_>>> = BTreeMap::new();
    for connection in analysis.connections() {
        if connection.flow().opening == Opening::Handshake
            && sent_again(connection)
            && !told.contains(&connection.id)
        {
            links.entry(connection.inner.link).or_default().push(connection);
        }
    }
    links.into_iter().map(|(link, late)| finding(analysis, diagnosis, link, &late)).collect()
}

fn finding(analysis: &Analysis, diagnosis: &Diagnosis, link: LinkId, late: &[ConnectionView<'_>]) -> Finding {
    let mut draft = Draft::new(analysis, diagnosis, &texts::CONNECT_DELAY, link);
    let mut waits: Vec<i64> = late.iter().map(|&connection| took_ns(connection)).collect();
    waits.sort_unstable();
    let waited = || late.iter().filter_map(|&connection| gave_up(diagnosis, connection));
    let given_up = waited().filter(|&left| left).count() as u64;
    if given_up > 0 {
        draft.severity = Severity::Error;
    }
    let mut servers: Vec<SocketAddr> = late.iter().map(|connection| connection.inner.server).collect();
    servers.sort_unstable();
    servers.dedup();
    draft.values.push(("servers", addresses(&servers)));
    draft.values.push(("wait", duration(waits[waits.len() / 2])));
    draft.values.push(("longest", duration(waits[waits.len() - 1])));
    draft.values.push(("waiting", waiting(waited().count() as u64, given_up)));
    draft.values.push(("meanwhile", meanwhile(analysis, link, late)));
    let mut proofs = ProofList::new(analysis);
    for connection in late.iter().take(CASES) {
        let answered = |event: &Event| (event.kind == EventKind::SynAck).then_some("answered by SYN,ACK");
        prove_opening(*connection, &mut proofs, answered);
    }
    draft.connections = late.iter().map(|connection| connection.id).collect();
    draft.finish(Vec::new(), proofs)
}

/// From the first SYN until the connection was there for its client.
fn took_ns(connection: ConnectionView<'_>) -> i64 {
    let done = connection.events().iter().find(|event| event.kind == EventKind::Established);
    let begun = syns(connection).next();
    let took = done.zip(begun).map(|(done, begun)| done.at.0.saturating_sub(begun.at.0));
    took.unwrap_or_else(|| delay_ns(connection))
}

/// Whether who asked for the request that waited for a connection gave up; `None` where none waited.
fn gave_up(diagnosis: &Diagnosis, connection: ConnectionView<'_>) -> Option<bool> {
    let first = connection.exchanges().next().filter(|x| x.raw.request.is_present())?;
    let begun = syns(connection).next()?.at.0.saturating_add(took_ns(connection));
    if first.raw.request.start.0.saturating_sub(begun) > AT_ONCE_NS {
        return None;
    }
    let root = connection.analysis.trees.root(first.id);
    let left = |outcome: Outcome| matches!(outcome, Outcome::Aborted | Outcome::TimedOut);
    Some(root != first.id && left(diagnosis.outcomes[root.0 as usize]))
}

/// What became of the requests that waited for these connections.
fn waiting(requests: u64, given_up: u64) -> String {
    match (requests, given_up) {
        (0, _) => "No request is known to have waited for them.".to_owned(),
        (_, 0) => format!("{} waited for that.", counted(requests, "request")),
        _ => {
            let requests = counted(requests, "request");
            format!("{requests} waited for that; of {} the user left before the answer.", grouped(given_up))
        }
    }
}

/// Whether the servers took other connections at the same time.
fn meanwhile(analysis: &Analysis, link: LinkId, late: &[ConnectionView<'_>]) -> String {
    let mut waits: BTreeMap<SocketAddr, Spans> = BTreeMap::new();
    for &connection in late {
        let from = connection.inner.first.0;
        waits
            .entry(connection.inner.server)
            .or_default()
            .push((from, from.saturating_add(took_ns(connection))));
    }
    waits.values_mut().for_each(Spans::settle);
    let all = analysis.link(link).connections.iter().map(|&id| analysis.connection(id));
    let taken = all.filter(|other| {
        let at = other.inner.first.0;
        let waiting = || waits.get(&other.inner.server).is_some_and(|spans| spans.meet(at, at));
        other.flow().opening == Opening::Handshake && !sent_again(*other) && waiting()
    });
    match taken.count() as u64 {
        0 => "No other connection was opened there meanwhile".to_owned(),
        number => format!("It took {} meanwhile", counted(number, "other connection")),
    }
}
