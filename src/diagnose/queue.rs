//! Servers that work on a few requests at a time, while others wait unread in the kernel's queue until their clients
//! give up: sync workers (gunicorn, uwsgi, php-fpm) with slow requests.
//!
//! ```text
//!   worker 1  |-- a --||-- c --||-- e --|
//!   worker 2  |-- b --||-- d --|            c waits for a, d for b, e for c
//! ```
//!
//! With the true number of workers each answer takes about as long from when its turn came, though not from when it was
//! asked for. The queue is the kernel's, first in first out, and a worker takes a request whose client has left as well.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::analysis::{Analysis, ExchangeView};
use crate::topology::{ExchangeId, LinkId, Role};

use super::draft::{Draft, ProofList};
use super::exhaustion::prove_unread;
use super::life::Life;
use super::reuse::CASES;
use super::words::{counted, duration};
use super::{Certainty, Diagnosis, Finding, Outcome, texts};

/// Fewer answers that waited for another one are no proof.
const FEWEST: usize = 8;
/// So many answers for each worker, since with many of them some number fits by chance.
const QUEUED_PER_WORKER: usize = 4;
/// Workers that are looked for.
const MOST_WORKERS: usize = 256;
/// Answers of one kind take as long as each other, give or take this part, in percent of the middle one.
const ALIKE_PERCENT: i64 = 20;
/// Who is given up in a queue has waited for so much of an answer's time at least, in percent.
const QUEUED_PERCENT: i64 = 150;
/// Clients that leave within this time may have been ended together.
const AT_ONCE_NS: i64 = 100_000_000;
/// What is over sooner is no work that others would wait for, in nanoseconds.
const LEAST_WORK_NS: i64 = 5_000_000;

/// A server with more requests than it works on.
pub(super) struct Queue {
    link: LinkId,
    server: SocketAddr,
    workers: usize,
    /// How long an answer takes from when its turn has come, in nanoseconds.
    work_ns: i64,
    /// Answers that were seen, and those of them that began only when another one was done.
    answers: usize,
    queued: usize,
    /// The longest time from a request to its fate.
    longest_ns: i64,
    /// Requests whose clients gave up.
    given_up: Vec<ExchangeId>,
}

impl Queue {
    /// Its address.
    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }
}

/// An answered request: when it was there, and when its answer was done.
type Work = (i64, i64);

/// The servers whose clients gave up in a queue.
pub(super) fn find(analysis: &Analysis, outcomes: &[Outcome]) -> Vec<Queue> {
    let mut all = Vec::new();
    for at in 0..analysis.topology.links.len() {
        let link = LinkId(at as u16);
        if analysis.lane(analysis.link(link).to).role != Role::Server {
            continue;
        }
        let mut servers: BTreeMap<SocketAddr, Vec<ExchangeId>> = BTreeMap::new();
        for &id in &analysis.link(link).connections {
            let connection = analysis.connection(id);
            for exchange in connection.exchanges().filter(|x| gave_up(x, outcomes)) {
                servers.entry(connection.inner.server).or_default().push(exchange.id);
            }
        }
        all.extend(
            servers.into_iter().filter_map(|(server, given_up)| judge(analysis, link, server, given_up)),
        );
    }
    all
}

/// Whether the server had the whole request, and its client left before the answer.
pub(super) fn gave_up(exchange: &ExchangeView<'_>, outcomes: &[Outcome]) -> bool {
    let left = matches!(outcomes[exchange.id.0 as usize], Outcome::TimedOut | Outcome::Aborted);
    if !left || !exchange.raw.request.is_complete() {
        return false;
    }
    let life = Life::of(exchange.connection());
    let answered = exchange.raw.response.is_present() && exchange.left_before_response().is_none();
    !answered && !life.flow.is_lossy() && life.has_received(&exchange.raw.request)
}

fn judge(
    analysis: &Analysis,
    link: LinkId,
    server: SocketAddr,
    mut given_up: Vec<ExchangeId>,
) -> Option<Queue> {
    let connections = analysis.link(link).connections.iter().map(|&id| analysis.connection(id));
    let mut works: Vec<Work> = Vec::new();
    for connection in connections.filter(|connection| connection.inner.server == server) {
        let whole = !connection.flow().is_lossy();
        for exchange in connection.exchanges().filter(|x| whole && x.raw.request.is_present()) {
            // Of an answer to a client that has left the first packet is all that is sent.
            let late = exchange.raw.response.is_present() && exchange.left_before_response().is_some();
            if exchange.raw.response.is_complete() || late {
                let [asked, done] = [&exchange.raw.request, &exchange.raw.response]
                    .map(|message| connection.time(message.end, message.last_frame).0);
                works.push((asked, done));
            }
        }
    }
    if left_together(analysis, &given_up) {
        return None;
    }
    let (workers, work_ns, queued) = workers(&mut works)?;
    let waited = |id: &ExchangeId| {
        let exchange = analysis.exchange(*id);
        exchange.settled().since_ns(exchange.started())
    };
    given_up.retain(|id| waited(id).saturating_mul(100) >= work_ns.saturating_mul(QUEUED_PERCENT));
    let longest_ns = given_up.iter().map(waited).max()?;
    Some(Queue { link, server, workers, work_ns, answers: works.len(), queued, longest_ns, given_up })
}

/// Whether the clients left at one moment, however long each had waited: a load test that ends, and nobody's patience.
fn left_together(analysis: &Analysis, given_up: &[ExchangeId]) -> bool {
    let waits = given_up.iter().filter_map(|&id| {
        let exchange = analysis.exchange(id);
        let connection = exchange.connection();
        let end = Life::of(connection).client_ended()?;
        let left = connection.time(end.at, end.frame);
        Some((left.0, left.since_ns(exchange.started())))
    });
    left_at_once(&waits.collect::<Vec<_>>())
}

/// Of when each left and how long it had waited: whether they left much closer together than their waits are alike.
fn left_at_once(waits: &[(i64, i64)]) -> bool {
    let spread = |of: fn(&(i64, i64)) -> i64| {
        let all = || waits.iter().map(of);
        all().max().unwrap_or_default().saturating_sub(all().min().unwrap_or_default())
    };
    waits.len() >= 2
        && spread(|wait| wait.0) <= AT_ONCE_NS
        && spread(|wait| wait.0) * 2 < spread(|wait| wait.1)
}

/// How many requests are worked on at a time, how long each takes, and how many waited for that; `None` where no number
/// makes the answers alike. Sorts the works by when they were done.
fn workers(works: &mut [Work]) -> Option<(usize, i64, usize)> {
    works.sort_unstable_by_key(|work| (work.1, work.0));
    (1..=MOST_WORKERS.min(works.len() / 2)).find_map(|count| {
        let (mut queued, mut at_once) = (Vec::with_capacity(works.len()), Vec::new());
        for (at, &(asked, done)) in works.iter().enumerate() {
            let turn = at.checked_sub(count).map_or(i64::MIN, |before| works[before].1);
            let list = if turn > asked { &mut queued } else { &mut at_once };
            list.push(done.saturating_sub(turn.max(asked)));
        }
        if queued.len() < FEWEST.max(QUEUED_PER_WORKER * count) || queued.len() < at_once.len() {
            return None;
        }
        queued.sort_unstable();
        let at = |percent: usize| queued[(queued.len() - 1) * percent / 100];
        let (low, middle, high) = (at(10), at(50), at(90));
        let alike = high.saturating_sub(low).saturating_mul(100) <= middle.saturating_mul(ALIKE_PERCENT);
        // Who asks an idle server waits for nobody. Where that takes longer there was no queue: many are worked on at a
        // time, and as many are done as are asked for.
        at_once.sort_unstable();
        let idle = at_once.get(at_once.len() / 2).is_some_and(|&work| work <= middle.saturating_mul(2));
        (middle >= LEAST_WORK_NS && alike && idle).then_some((count, middle, queued.len()))
    })
}

/// The requests given up in these queues.
pub(super) fn given_up(found: &[Queue]) -> impl Iterator<Item = (ExchangeId, LinkId)> + '_ {
    found.iter().flat_map(|one| one.given_up.iter().map(|&id| (id, one.link)))
}

/// One finding for each server address.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis, found: Vec<Queue>) -> Vec<Finding> {
    found.into_iter().map(|one| finding(analysis, diagnosis, one)).collect()
}

fn finding(analysis: &Analysis, diagnosis: &Diagnosis, one: Queue) -> Finding {
    let mut draft = Draft::new(analysis, diagnosis, &texts::WORKER_QUEUE, one.link);
    draft.certainty = Certainty::Likely;
    draft.values.push(("server", one.server.to_string()));
    draft.values.push(("at_once", counted(one.workers as u64, "request")));
    draft.values.push(("n", one.workers.to_string()));
    draft.values.push(("more", (one.workers * 4).to_string()));
    draft.values.push(("usual", duration(one.work_ns)));
    draft.values.push(("longest", duration(one.longest_ns)));
    draft.values.push(("answers", counted(one.answers as u64, "answer")));
    draft.values.push(("queued", one.queued.to_string()));
    let mut exchanges = one.given_up;
    exchanges.sort_unstable_by_key(|&id| (analysis.exchange(id).started(), id));
    let mut proofs = ProofList::new(analysis);
    for &id in exchanges.iter().take(CASES) {
        let exchange = analysis.exchange(id);
        prove_unread(exchange, &mut proofs);
        let late = exchange.raw.response.first_frame;
        proofs.add(exchange, late, "its turn has come: answered, when nobody waits any more");
    }
    draft.finish(exchanges, proofs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn the_number_of_workers_makes_all_answers_take_as_long() {
        for count in [1_usize, 2, 5] {
            let mut free = vec![0; count];
            let mut works: Vec<Work> = (0..60)
                .map(|n: i64| {
                    let asked = n * 3 * MS;
                    let worker = (0..count).min_by_key(|&at| free[at]).unwrap();
                    free[worker] = free[worker].max(asked) + 100 * MS + n % 7 * MS;
                    (asked, free[worker])
                })
                .collect();
            let (workers, work, queued) = workers(&mut works).unwrap();
            assert_eq!((workers, work / MS / 10, queued), (count, 10, 60 - count));
        }
    }

    #[test]
    fn who_leaves_at_one_moment_after_different_waits_lost_no_patience() {
        assert!(left_at_once(&[(900 * MS, 371 * MS), (901 * MS, 330 * MS), (902 * MS, 120 * MS)]));
        // Each after its own second, one by one or all together; and one alone.
        assert!(!left_at_once(&[(1_000 * MS, 1_000 * MS), (1_200 * MS, 1_001 * MS)]));
        assert!(!left_at_once(&[(1_000 * MS, 1_000 * MS), (1_010 * MS, 1_001 * MS)]));
        assert!(!left_at_once(&[(900 * MS, 371 * MS)]));
    }

    #[test]
    fn where_nobody_waits_for_another_there_is_no_queue() {
        // All at once, each as long as the other, or each as long as it likes.
        let mut equal: Vec<Work> = (0..60).map(|n| (n * 3 * MS, n * 3 * MS + 100 * MS)).collect();
        assert_eq!(workers(&mut equal), None);
        let mut lengths: Vec<Work> =
            (0..60).map(|n| (n * 3 * MS, n * 3 * MS + (20 + n * 7_919 % 200) * MS)).collect();
        assert_eq!(workers(&mut lengths), None);
        // In rounds: everybody asks at one time and is answered at one time.
        let mut rounds: Vec<Work> =
            (0..60).map(|n| (n / 12 * 150 * MS, n / 12 * 150 * MS + 100 * MS)).collect();
        assert_eq!(workers(&mut rounds), None);
    }
}
