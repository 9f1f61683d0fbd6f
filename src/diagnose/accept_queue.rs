//! Servers whose accept queue is full (C4): nobody takes the connections that the kernel has completed.
//!
//! What Linux does then (`tcp_conn_request`, `tcp_v4_syn_recv_sock`, `tcp_check_req`), seen on the wire:
//!
//! ```text
//!   SYN ──▶  dropped, and sent again after 1, 3, 7 s … by the client
//!   SYN ──▶ ◀── SYN,ACK   ACK ──▶  dropped: for the client the connection is complete, and its request is sent again
//!                                  and again without an acknowledgement; SYN,ACK is repeated, unless it held a cookie
//!   the same with tcp_abort_on_overflow, or with a cookie that has expired:  ◀── RST without an acknowledgement number
//! ```
//!
//! A path that loses packets shows some of this too, but spares neither answers nor later requests; one that drops SYNs
//! alone, as a limit for new connections does, leaves no requests waiting.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView};
use crate::capture::SessionTime;
use crate::tcp::{Event, EventKind, Opening, Side};

use super::connect::{Start, delay_ns, syns};
use super::life::{Life, at_least};
use super::spans::Spans;

/// A SYN,ACK sent again this long after the client has acknowledged the first one was not lost: it is a refusal to
/// believe the acknowledgement.
const IGNORED_NS: i64 = 400_000_000;

/// Bytes sent again sooner than this were not sent for a timer's sake (Linux: 200 ms at least).
const TIMER_US: u32 = 150_000;

/// Fewer connections are no proof: each may be the victim of a loss.
const FEWEST: usize = 2;

/// Connections whose first bytes alone were sent again: so many, and so many for each that lost other bytes. A path loses
/// answers as well.
const MANY_UNHEARD: usize = 8;
const UNHEARD_FOR_ONE_LOST: usize = 8;
/// So many for each SYN that went unheard. A path loses as many of the one as of the other, and a full queue drops both.
const UNHEARD_FOR_ONE_SYN: usize = 3;
/// Any path carries packets of this size in bytes (RFC 8200, section 5): larger ones may be lost for their size.
const PASSES_ANYWHERE: u32 = 1_280;

/// Who waits for so many usual answers at least has others before it.
const QUEUED_TIMES: i64 = 2;

/// What shows of one server with attempts that were left waiting.
#[derive(Default)]
struct Server<'a> {
    suspects: Vec<(ConnectionView<'a>, Start)>,
    /// Connections whose first bytes were sent again once, and of which nothing else shows why.
    unheard: usize,
    /// When it began to answer requests, sorted.
    answers: Vec<SessionTime>,
    /// First requests of connections that the kernel acknowledged, by their start: until when they had no answer, and
    /// whether one came.
    waits: Vec<(i64, i64, bool)>,
    /// Connections that were complete for their clients, whose first bytes were ignored, or answered by RST.
    ignored: usize,
    /// Connections whose first bytes were sent again once: a loss, or a queue that was full for a moment.
    once: usize,
    /// Connections on which bytes had to be sent again that no full queue drops.
    lossy: usize,
}

/// Of the servers at which these connections `began` badly, those whose accept queue was full.
pub(super) fn full(analysis: &Analysis, began: &[(ConnectionView<'_>, Start)]) -> Vec<SocketAddr> {
    let mut servers: BTreeMap<SocketAddr, Server<'_>> = BTreeMap::new();
    for &(connection, start) in began {
        let server = servers.entry(connection.inner.server);
        match start {
            Start::Unanswered | Start::AnsweredLate | Start::Ignored => {
                server.or_default().suspects.push((connection, start));
            }
            Start::IgnoredOnce => server.or_default().unheard += 1,
            Start::Refused | Start::Unreachable | Start::Cut => {}
        }
    }
    servers.retain(|_, server| server.suspects.len() >= FEWEST || server.unheard >= MANY_UNHEARD);
    if servers.is_empty() {
        return Vec::new();
    }
    for connection in analysis.connections() {
        if let Some(server) = servers.get_mut(&connection.inner.server) {
            server.add(connection);
        }
    }
    servers.retain(|_, server| server.is_full());
    servers.into_keys().collect()
}

/// The frame of the first answer on a connection.
fn first_answer(connection: ConnectionView<'_>) -> Option<u32> {
    connection.exchanges().map(|x| x.raw.response.first_frame).find(|&frame| frame > 0)
}

/// The first bytes of the client, sent again for a timer's sake before the server sent any, and nothing else was lost.
pub(super) fn unheard(connection: ConnectionView<'_>) -> impl Iterator<Item = &Event> {
    let isn = connection.flow().direction(Side::Client).isn;
    let answered = first_answer(connection);
    connection.events().iter().filter(move |event| {
        event.kind == EventKind::Retransmission
            && event.from == Side::Client
            && event.quiet_us >= TIMER_US
            && isn.is_some_and(|isn| event.seq == isn.wrapping_add(1))
            && answered.is_none_or(|frame| event.frame < frame)
    })
}

/// Whether the first bytes were sent again, and that is all that shows.
pub(super) fn is_unheard(connection: ConnectionView<'_>) -> bool {
    unheard(connection).next().is_some_and(|event| event.len <= PASSES_ANYWHERE)
}

/// Whether the connection was complete for its client, and the server ignored what that sent.
pub(super) fn is_ignored(connection: ConnectionView<'_>) -> bool {
    let mut established = connection.events().iter().filter(|e| e.kind == EventKind::Established);
    let Some(done) = established.next() else { return false };
    let again = |e: &Event| {
        let late = e.at.0.saturating_sub(done.at.0) >= IGNORED_NS;
        e.kind == EventKind::SynAck && late && e.frame > done.frame
    };
    // One lost acknowledgement is mended by the client's data: only where that was ignored too it is no loss. A server
    // that waits for data (TCP_DEFER_ACCEPT) repeats its SYN,ACK as well, until some comes.
    match unheard(connection).take(2).count() {
        0 => false,
        1 => connection.events().iter().any(again),
        _ => true,
    }
}

/// Whether the server's kernel knew nothing of the connection when its client thought it complete: a RST without an
/// acknowledgement number (RFC 9293, section 3.10.7.1), and not a byte was acknowledged.
pub(super) fn is_cut(connection: ConnectionView<'_>) -> bool {
    let flow = connection.flow();
    let [client, server] = [flow.direction(Side::Client), flow.direction(Side::Server)];
    let (Some(from), Some(to)) = (client.isn, server.isn) else { return false };
    let is_rejection = |rst: &Event| !rst.has_ack && rst.seq == to.wrapping_add(1);
    // The events last: this is asked of each connection, and nearly all were answered.
    flow.opening == Opening::Handshake
        && server.bytes == 0
        && server.acked.is_none_or(|acked| acked == from.wrapping_add(1))
        && Life::of(connection).server_rst.is_some_and(is_rejection)
}

/// Whether bytes were sent again that a full queue does not drop: the server's, or the client's once it was answered.
fn lost_data(connection: ConnectionView<'_>) -> bool {
    let answered = first_answer(connection);
    connection.events().iter().any(|event| {
        let behind = answered.is_some_and(|frame| event.frame > frame);
        event.kind == EventKind::Retransmission && (event.from == Side::Server || behind)
    })
}

impl<'a> Server<'a> {
    fn add(&mut self, connection: ConnectionView<'a>) {
        let answered = connection.exchanges().filter(|x| x.raw.response.is_present());
        self.answers
            .extend(answered.map(|x| connection.time(x.raw.response.start, x.raw.response.first_frame)));
        self.lossy += usize::from(lost_data(connection));
        let ignored = is_ignored(connection) || is_cut(connection);
        self.ignored += usize::from(ignored);
        self.once += usize::from(!ignored && unheard(connection).next().is_some());
        self.waits.extend(wait(connection));
    }

    fn is_full(&mut self) -> bool {
        self.answers.sort_unstable();
        self.waits.sort_unstable();
        let waiting: Spans = self.waits.iter().map(|&(from, to, _)| (from, to)).collect();
        let alive = |(connection, _): &&(ConnectionView<'_>, Start)| {
            let from = connection.inner.first;
            let till = SessionTime(from.0.saturating_add(delay_ns(*connection)));
            let answers =
                |by: SessionTime, also: bool| self.answers.partition_point(|&at| at < by || also && at == by);
            answers(from, false) < answers(till, true) || waiting.meet(from.0, till.0)
        };
        if self.spares_all_else() {
            return true;
        }
        let suspects = self.suspects.iter().filter(alive).count();
        if suspects < FEWEST {
            return false;
        }
        // What is lost on the way is lost once far more often than twice in a row, and of each kind alike.
        let ignored = self.ignored >= FEWEST && self.ignored > self.once && self.lossy * 2 <= self.ignored;
        let lossless = (self.lossy + self.once) * 8 <= suspects;
        ignored || lossless && self.is_queued()
    }

    /// Whether nothing but first bytes on new connections went unheard, where a path would have lost as many SYNs, and
    /// answers besides.
    fn spares_all_else(&self) -> bool {
        let by_syn = |start: &Start| matches!(start, Start::Unanswered | Start::AnsweredLate);
        let syns = self.suspects.iter().filter(|(_, start)| by_syn(start)).count();
        let enough = |of_one: usize, lost: usize| lost * of_one <= self.unheard;
        self.unheard >= MANY_UNHEARD
            && enough(UNHEARD_FOR_ONE_SYN, syns)
            && enough(UNHEARD_FOR_ONE_LOST, self.lossy)
    }

    /// Whether requests were waiting in turn, for longer than an answer takes, whenever a SYN was dropped: one at least in
    /// the queue, and one before it.
    fn is_queued(&self) -> bool {
        let mut usual: Vec<i64> =
            self.waits.iter().filter(|wait| wait.2).map(|wait| wait.1.saturating_sub(wait.0)).collect();
        usual.sort_unstable();
        // A server that answers nobody has no usual time: then any wait that outlasts a SYN's timer is long.
        let usual = usual.get(usual.len() / 10).map_or(500_000_000, |&ns| ns.max(1_000_000));
        let is_long =
            |wait: &&(i64, i64, bool)| wait.1.saturating_sub(wait.0) >= usual.saturating_mul(QUEUED_TIMES);
        let long: Spans = self.waits.iter().filter(is_long).map(|&(from, to, _)| (from, to)).collect();
        let mut ends: Vec<i64> = self.waits.iter().map(|wait| wait.1).collect();
        ends.sort_unstable();
        let waiting =
            |at: i64| self.waits.partition_point(|wait| wait.0 <= at) - ends.partition_point(|&end| end < at);
        let dropped: Vec<i64> = self.suspects.iter().flat_map(|&(one, start)| dropped(one, start)).collect();
        let full = dropped.iter().filter(|&&at| waiting(at) >= FEWEST).count();
        let behind_long = dropped.iter().filter(|&&at| long.meet(at, at)).count();
        // Accepted in turn they are answered in turn, more or less.
        let answered: Vec<&(i64, i64, bool)> = self.waits.iter().filter(|wait| wait.2).collect();
        let pairs = || answered.windows(2).filter(|pair| pair[1].0 < pair[0].1);
        let in_turn = pairs().filter(|pair| pair[0].1 <= pair[1].1).count();
        full * 10 >= dropped.len() * 9
            && behind_long * 2 >= dropped.len()
            && in_turn * 3 >= pairs().count() * 2
    }
}

/// When the SYNs came that got no answer.
fn dropped(connection: ConnectionView<'_>, start: Start) -> Vec<i64> {
    let mut times: Vec<i64> =
        syns(connection).map(|event| connection.time(event.at, event.frame).0).collect();
    match start {
        Start::Unanswered => times,
        Start::AnsweredLate => {
            times.pop();
            times
        }
        _ => Vec::new(),
    }
}

/// How long the first request of a connection was without an answer, once the kernel had acknowledged it.
fn wait(connection: ConnectionView<'_>) -> Option<(i64, i64, bool)> {
    let first = connection.exchanges().next()?;
    let request = &first.raw.request;
    let acked = connection.flow().direction(Side::Server).acked?;
    let seen = connection.flow().opening == Opening::Handshake && first.raw.ordinal == 1;
    if !seen || !request.is_present() || !at_least(acked, request.seq.wrapping_add(1)) {
        return None;
    }
    let accepted = unheard(connection).last().map(|event| connection.time(event.at, event.frame));
    let from = accepted.unwrap_or_else(|| first.started());
    let response = &first.raw.response;
    if response.is_present() {
        let to = connection.time(response.start, response.first_frame);
        return Some((from.0, to.0.max(from.0), true));
    }
    // A client that leaves keeps its place in the queue: only the server's end of it shows that it was taken.
    let ends = [EventKind::Fin, EventKind::Rst];
    let mut ended = connection.events().iter().filter(|e| e.from == Side::Server && ends.contains(&e.kind));
    let ended = ended.next().map(|event| connection.time(event.at, event.frame));
    let captured = connection.analysis.capture_span(connection.capture()).map(|span| span.1);
    let to = ended.or(captured).unwrap_or(connection.inner.last);
    Some((from.0, to.0.max(from.0), false))
}

#[cfg(test)]
mod tests {
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;
    use crate::tcp::Side::{Client, Server};

    const S: i64 = 1_000 * MS;

    fn told(then: impl FnOnce(&mut Chain)) -> Vec<String> {
        let mut chain = Chain::new(&["nginx", "app"]);
        for start in [0, 60 * S] {
            served(&mut chain, start, 2 * MS);
        }
        then(&mut chain);
        let findings = chain.analyse().diagnosis.findings;
        findings.iter().map(|f| format!("{}/{} {:?} ×{}", f.kind, f.cause, f.severity, f.count)).collect()
    }

    /// A new connection whose request is answered after so long.
    fn served(chain: &mut Chain, from: i64, after: i64) {
        let at = chain.open(0, from);
        chain.conns[at]
            .request(Get, "/", from + MS)
            .response(200, from + MS + after)
            .fin(Client, from + 2 * MS + after);
    }

    /// A request that is sent again so often before its answer, 200, 600 and 1,400 ms after the first time.
    fn unheard(chain: &mut Chain, from: i64, times: u32) {
        let at = chain.open(0, from);
        chain.conns[at].request(Get, "/", from + MS);
        let mut sent = from + MS;
        for again in 0..times {
            let quiet = (200 * MS) << again;
            sent += quiet;
            chain.conns[at].resend(Client, sent, quiet);
        }
        chain.conns[at].response(200, sent + 5 * MS).fin(Client, sent + 6 * MS);
    }

    #[test]
    fn syns_are_dropped_while_requests_wait_in_turn() {
        let dropped = |answered_after: &[i64]| {
            told(|chain| {
                for (n, &after) in answered_after.iter().enumerate() {
                    served(chain, S + n as i64 * MS, after);
                }
                chain.unanswered(0, &[S + 10 * MS, 2 * S, 4 * S]);
                chain.unanswered(0, &[S + 20 * MS, 2 * S, 4 * S]);
            })
        };
        assert_eq!(dropped(&[2 * S, 4 * S, 6 * S]), ["accept-queue-overflow/ Error ×2"]);
        // Who is served at once waits in no queue: something drops SYNs on the way, such as a limit.
        assert_eq!(dropped(&[2 * MS, 2 * MS, 4 * S]), ["connect-timeout/ Error ×2"]);
    }

    #[test]
    fn a_server_that_accepts_nobody_any_more_leaves_all_waiting() {
        let stuck = told(|chain| {
            for n in 0..2 {
                let at = chain.open(0, S + n * MS);
                chain.conns[at].request(Get, "/", S + 5 * MS).sync().fin(Client, 7 * S);
                chain.unanswered(0, &[S + 20 * MS + n, 2 * S, 4 * S]);
                chain.unanswered(0, &[20 * S + n, 21 * S, 23 * S]);
            }
        });
        assert!(stuck.contains(&"accept-queue-overflow/ Error ×4".to_owned()), "{stuck:?}");
    }

    #[test]
    fn first_bytes_are_ignored_again_and_again() {
        let times = |all: &[u32]| {
            told(|chain| {
                for (n, &times) in all.iter().enumerate() {
                    unheard(chain, (n as i64 + 1) * S, times);
                }
                served(chain, 2 * S, 100 * MS);
            })
        };
        assert_eq!(times(&[2, 3, 3, 1]), ["accept-queue-overflow/ Warning ×4"]);
        // Losses hit once far more often than twice; but a path does not choose first bytes again and again.
        assert_eq!(times(&[1; 9]), ["accept-queue-overflow/ Warning ×9"]);
        // Losses hit bytes that no full queue drops.
        assert_eq!(times(&[1, 1, 2, 1, 2]), ["retransmission-delay/ Warning ×5"]);
        let answers_too = told(|chain| {
            for n in 1..5 {
                unheard(chain, n * S, 1 + (n % 2) as u32 * 2);
                chain.conns.last_mut().unwrap().resend(Server, n * S + 1_700 * MS, 200 * MS);
            }
        });
        assert_eq!(answers_too, ["retransmission-delay/ Warning ×4"]);
    }

    #[test]
    fn a_full_queue_may_answer_the_last_acknowledgement_by_a_reset() {
        let cut = |chain: &mut Chain| {
            for n in 0..3 {
                let at = chain.open(0, S + n * MS);
                chain.conns[at].request(Get, "/", S + 5 * MS).rst(Server, S + 6 * MS, false);
            }
        };
        let full = told(|chain| {
            served(chain, S, 2 * S);
            cut(chain);
            chain.unanswered(0, &[S + 20 * MS, 2 * S, 4 * S]);
            chain.unanswered(0, &[S + 30 * MS, 2 * S, 4 * S]);
        });
        assert_eq!(full, ["accept-queue-overflow/ Error ×5"]);
        assert_eq!(told(cut), ["closed-before-response/ Error ×3"]);
    }
}
