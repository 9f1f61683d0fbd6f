//! Restarts: one server address that closes many of its connections at once, outside of its habits (T6).

use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView};
use crate::capture::SessionTime;
use crate::http::ExchangeFlags;
use crate::tcp::Opening;
use crate::topology::{ConnectionId, LinkId};

use super::draft::{Draft, ProofList};
use super::habits::Habits;
use super::life::Life;
use super::reuse::CASES;
use super::words::{counted, duration};
use super::{Certainty, Diagnosis, Finding, Severity, texts};

/// Closes that follow each other within this time belong together.
const NEXT_NS: i64 = 300_000_000;

/// A server whose unexpected closes go on for longer than this is faulty, not restarted.
const LONGEST_NS: i64 = 3_000_000_000;

/// How long after its last close a restarting server may still refuse connections.
const DOWN_NS: i64 = 10_000_000_000;

/// Fewer closes are no burst.
const FEWEST: usize = 3;

/// Many closes of one server address at once.
pub(super) struct Burst {
    pub(super) server: SocketAddr,
    pub(super) from: SessionTime,
    pub(super) to: SessionTime,
    /// The connections that it closed.
    pub(super) closed: Vec<ConnectionId>,
    /// How many connections it had.
    pub(super) open: u64,
    /// How many connections it refused soon after.
    pub(super) refused: u64,
}

impl Burst {
    /// Whether the server closed a connection in this burst.
    pub(super) fn holds(&self, connection: ConnectionId) -> bool {
        self.closed.contains(&connection)
    }

    /// Whether a moment lies in the burst or in the time that the server may have been down after it.
    pub(super) fn covers(&self, server: SocketAddr, at: SessionTime) -> bool {
        server == self.server && at >= self.from && at.since_ns(self.to) <= NEXT_NS
    }

    pub(super) fn window_ns(&self) -> i64 {
        self.to.since_ns(self.from)
    }

    /// `all of its 30 connections`, `16 of its 30 connections`.
    pub(super) fn share(&self) -> String {
        let closed = self.closed.len() as u64;
        let open = counted(self.open, "connection");
        if closed == self.open { format!("all of its {open}") } else { format!("{closed} of its {open}") }
    }
}

/// A close by the server that none of its habits explains.
struct Odd {
    server: SocketAddr,
    at: SessionTime,
    connection: ConnectionId,
    served: bool,
}

/// The bursts on one link, by server address and time.
pub(super) fn bursts(analysis: &Analysis, link: LinkId, habits: &Habits) -> Vec<Burst> {
    if habits.closes_after_each() {
        return Vec::new();
    }
    let connections = || analysis.link(link).connections.iter().map(|&id| analysis.connection(id));
    let mut odd: Vec<Odd> = connections().filter_map(|c| odd_close(c, habits)).collect();
    odd.sort_unstable_by_key(|one| (one.server, one.at, one.connection));
    let together = |a: &Odd, b: &Odd| a.server == b.server && b.at.since_ns(a.at) <= NEXT_NS;
    let chains = odd.chunk_by(together).filter(|chain| {
        let lasts = chain[chain.len() - 1].at.since_ns(chain[0].at);
        chain.len() >= FEWEST && lasts <= LONGEST_NS && chain.iter().filter(|one| one.served).count() >= 2
    });
    let mut all: Vec<Burst> = chains.map(|chain| burst(chain, connections())).collect();
    // A server that closes a few of many connections evicts or times out; it was not restarted.
    all.retain(|burst| burst.closed.len() as u64 * 3 >= burst.open);
    all
}

fn burst<'a>(chain: &[Odd], connections: impl Iterator<Item = ConnectionView<'a>>) -> Burst {
    let (first, last) = (&chain[0], &chain[chain.len() - 1]);
    let mut closed: Vec<ConnectionId> = chain.iter().map(|one| one.connection).collect();
    closed.sort_unstable();
    let (mut open, mut refused) = (0, 0);
    for connection in connections.filter(|c| c.inner.server == first.server) {
        let flow = connection.flow();
        let alive = !matches!(flow.opening, Opening::Refused | Opening::Unanswered);
        let begins = connection.inner.first;
        if alive && begins <= first.at && closes_at(connection).is_none_or(|end| end >= first.at) {
            open += 1;
        }
        let soon = (0..=DOWN_NS).contains(&begins.since_ns(first.at));
        refused += u64::from(flow.opening == Opening::Refused && soon);
    }
    let open = (closed.len() as u64).max(open);
    Burst { server: first.server, from: first.at, to: last.at, closed, open, refused }
}

/// When either side began to close.
fn closes_at(connection: ConnectionView<'_>) -> Option<SessionTime> {
    let life = Life::of(connection);
    let ends = [life.server_ended(), life.client_ended()];
    ends.into_iter().flatten().map(|end| connection.time(end.at)).min()
}

fn odd_close(connection: ConnectionView<'_>, habits: &Habits) -> Option<Odd> {
    if connection.inner.exchanges.is_empty() || connection.flow().is_lossy() {
        return None;
    }
    let end = Life::of(connection).server_ended()?;
    let one = |served| Odd {
        server: connection.inner.server,
        at: connection.time(end.at),
        connection: connection.id,
        served,
    };
    let Some(close) = habits.close_of(connection.id) else { return Some(one(false)) };
    let said = connection
        .exchanges()
        .last()
        .is_some_and(|x| x.raw.flags.has(ExchangeFlags::SERVER_CLOSES | ExchangeFlags::CLIENT_CLOSES));
    let limit = habits.request_limit().is_some_and(|(limit, _)| close.at_once() && close.responses == limit);
    let timer = habits.idle_timeout().is_some_and(|idle| idle.samples >= 2 && idle.fits(close.gap_ns));
    (!said && !limit && !timer).then(|| one(true))
}

/// One note for each burst: an event worth knowing, whether or not a request was lost in it.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis) -> Vec<Finding> {
    let mut findings = Vec::new();
    for at in 0..analysis.topology.links.len() {
        let link = LinkId(at as u16);
        for burst in bursts(analysis, link, &Habits::of(analysis, link)) {
            findings.push(finding(analysis, diagnosis, link, burst));
        }
    }
    findings
}

fn finding(analysis: &Analysis, diagnosis: &Diagnosis, link: LinkId, burst: Burst) -> Finding {
    let mut draft = Draft::new(analysis, diagnosis, &texts::RESTART_BURST, link);
    let failed = |id: &ConnectionId| {
        analysis.connection(*id).exchanges().any(|x| diagnosis.outcomes[x.id.0 as usize].is_failure())
    };
    let hurt = burst.closed.iter().filter(|id| failed(id)).count() as u64;
    let refused = match burst.refused {
        0 => String::new(),
        number => format!("Soon after it refused {}.", counted(number, "connection")),
    };
    draft.severity = if hurt > 0 || burst.refused > 0 { Severity::Warning } else { Severity::Note };
    draft.certainty = if burst.refused > 0 || burst.closed.len() as u64 == burst.open {
        Certainty::Certain
    } else {
        Certainty::Likely
    };
    draft.values.push(("server", burst.server.to_string()));
    draft.values.push(("share", burst.share()));
    draft.values.push(("window", duration(burst.window_ns())));
    draft.values.push((
        "hurt",
        if hurt == 0 {
            "No request was lost in it.".to_owned()
        } else {
            format!("{} had a request on them that was lost.", counted(hurt, "connection"))
        },
    ));
    draft.values.push(("refused", refused));
    let mut proofs = ProofList::new(analysis);
    for &id in burst.closed.iter().take(CASES) {
        if let Some(end) = Life::of(analysis.connection(id)).server_ended() {
            proofs.add_packet(id, end.frame, "closed by the server");
        }
    }
    draft.connections = burst.closed;
    draft.finish(Vec::new(), proofs)
}
