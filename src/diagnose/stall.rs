//! Servers whose workers are all held by a few slow requests: whoever comes next waits in the kernel's queue until its
//! client gives up, though such requests are answered at once otherwise.
//!
//! ```text
//!   worker 1   |--------------- /report ---------------|
//!   worker 2     |--------------- /report ---------------|
//!                     /item ──> acknowledged, not read          GIVEN UP
//!                           /item ──> acknowledged, not read          GIVEN UP
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::analysis::{Analysis, ExchangeView};
use crate::topology::{ExchangeId, LinkId, Role};

use super::draft::{Draft, ProofList};
use super::exhaustion::{STARVED_NS, STARVED_TIMES, prove_unread};
use super::queue::gave_up;
use super::reuse::CASES;
use super::words::{counted, duration};
use super::{Certainty, Diagnosis, Finding, Outcome, texts};

/// Fewer requests that got no worker are no proof, and fewer answers show nothing usual.
const FEWEST: usize = 3;

/// A server that answered nobody while these were in hand.
pub(super) struct Stall {
    link: LinkId,
    pub(super) server: SocketAddr,
    /// Slow requests that were in hand when others began to wait.
    holders: Vec<ExchangeId>,
    workers: usize,
    /// How long such requests take at least, where others were answered between them.
    slow_ns: Option<i64>,
    /// Requests whose clients gave up meanwhile.
    pub(super) starved: Vec<ExchangeId>,
    /// How long answers to such requests take otherwise.
    usual_ns: i64,
    longest_ns: i64,
    /// How long nobody was answered.
    span_ns: i64,
}

/// A request that the server's kernel had.
pub(super) struct Ask {
    pub(super) id: ExchangeId,
    pub(super) from: i64,
    /// When its answer began, however late.
    pub(super) answered: Option<i64>,
    /// When its client left without one.
    pub(super) left: Option<i64>,
    /// From when on the server cannot be at work on it any more.
    pub(super) over: i64,
    pub(super) kind: u64,
}

/// The servers with stalls, one for each.
pub(super) fn find(analysis: &Analysis, outcomes: &[Outcome]) -> Vec<Stall> {
    let mut all = Vec::new();
    for at in 0..analysis.topology.links.len() {
        let link = LinkId(at as u16);
        if analysis.lane(analysis.link(link).to).role != Role::Server {
            continue;
        }
        let connections = || analysis.link(link).connections.iter().map(|&id| analysis.connection(id));
        let left = connections().flat_map(|c| c.exchanges()).filter(|x| gave_up(x, outcomes));
        if left.take(FEWEST).count() < FEWEST {
            continue;
        }
        let mut servers: BTreeMap<SocketAddr, Vec<Ask>> = BTreeMap::new();
        for connection in connections().filter(|c| !c.flow().is_lossy()) {
            let asks = connection.exchanges().filter(|x| x.raw.request.is_complete());
            let asks = asks.map(|x| ask(x, outcomes));
            servers.entry(connection.inner.server).or_default().extend(asks);
        }
        all.extend(servers.into_iter().filter_map(|(server, mut asks)| {
            asks.sort_unstable_by_key(|ask| (ask.from, ask.id));
            judge(link, server, &asks).or_else(|| busy(link, server, &asks))
        }));
    }
    all
}

/// A time in which nobody was answered.
struct Stood<'a> {
    starved: Vec<&'a Ask>,
    holders: Vec<&'a Ask>,
    span_ns: i64,
}

fn ask(exchange: ExchangeView<'_>, outcomes: &[Outcome]) -> Ask {
    let (connection, raw) = (exchange.connection(), exchange.raw);
    let present = raw.response.is_present();
    let answered = present.then(|| connection.time(raw.response.start, raw.response.first_frame).0);
    let left = gave_up(&exchange, outcomes).then(|| exchange.settled().0);
    // Of a request that its client gave up the server does not know that.
    let unknown = left.map_or_else(|| exchange.settled().0, |_| i64::MAX);
    Ask {
        id: exchange.id,
        from: connection.time(raw.request.end, raw.request.last_frame).0,
        answered,
        left,
        over: answered.unwrap_or(unknown),
        kind: super::decided::kind_of(exchange),
    }
}

fn busy(link: LinkId, server: SocketAddr, asks: &[Ask]) -> Option<Stall> {
    super::busy::judge(asks).map(|busy| Stall {
        link,
        server,
        holders: busy.holders,
        workers: busy.workers,
        slow_ns: Some(busy.slow_ns),
        starved: busy.starved,
        usual_ns: busy.usual_ns,
        longest_ns: busy.longest_ns,
        span_ns: 0,
    })
}

fn judge(link: LinkId, server: SocketAddr, asks: &[Ask]) -> Option<Stall> {
    let mut kinds: HashMap<u64, Vec<i64>, foldhash::fast::FixedState> = HashMap::default();
    for ask in asks.iter().filter(|ask| ask.left.is_none()) {
        if let Some(at) = ask.answered {
            kinds.entry(ask.kind).or_default().push(at.saturating_sub(ask.from));
        }
    }
    kinds.retain(|_, times| times.len() >= FEWEST);
    kinds.values_mut().for_each(|times| times.sort_unstable());
    let usual = |ask: &Ask| kinds.get(&ask.kind).map(|times| times[times.len() / 2]);
    let starves = |ask: &&Ask| {
        let limit = |usual: i64| STARVED_NS.max(usual.saturating_mul(STARVED_TIMES));
        let waited = ask.left.map(|left| left.saturating_sub(ask.from));
        waited.zip(usual(ask)).is_some_and(|(waited, usual)| waited >= limit(usual))
    };
    let mut answers: Vec<i64> = asks.iter().filter_map(|ask| ask.answered).collect();
    answers.sort_unstable();
    // From the first that starved without anybody being answered, as long as there is such a one.
    let silent = |ask: &&Ask| {
        let until = ask.left.unwrap_or(ask.from);
        answers.partition_point(|&at| at <= ask.from) == answers.partition_point(|&at| at < until)
    };
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for ask in asks.iter().filter(starves).filter(silent) {
        let until = ask.left.unwrap_or(ask.from);
        match spans.last_mut().filter(|last| ask.from <= last.1) {
            Some(last) => last.1 = last.1.max(until),
            None => spans.push((ask.from, until)),
        }
    }
    let stood: Vec<Stood<'_>> = spans
        .iter()
        .filter_map(|&(from, until)| {
            let within = |ask: &&Ask| (from..=until).contains(&ask.from);
            let starved: Vec<&Ask> = asks.iter().filter(within).filter(starves).collect();
            // Who starved before waits behind them, and nobody waits for it any more.
            let in_hand = |ask: &&Ask| ask.from < from && ask.over >= until && !starves(ask);
            let holders: Vec<&Ask> = asks.iter().filter(in_hand).collect();
            // Who is answered at once otherwise holds nobody up, but is held up: then the whole server stood still.
            let quick = holders.iter().any(|ask| ask.left.is_none() && usual(ask).is_some());
            let span_ns = until.saturating_sub(from);
            (!holders.is_empty() && !quick).then_some(Stood { starved, holders, span_ns })
        })
        .collect();
    let mut starved: Vec<&Ask> = stood.iter().flat_map(|one| &one.starved).copied().collect();
    if starved.len() < FEWEST {
        return None;
    }
    starved.sort_unstable_by_key(|ask| (ask.from, ask.id));
    // Some of those in hand may wait themselves: the fewest come nearest to the number of workers.
    let least = stood.iter().min_by_key(|one| (one.holders.len(), -one.span_ns))?;
    let mut usual_ns: Vec<i64> = starved.iter().filter_map(|ask| usual(ask)).collect();
    usual_ns.sort_unstable();
    let waits = starved.iter().filter_map(|ask| Some(ask.left?.saturating_sub(ask.from)));
    Some(Stall {
        link,
        server,
        longest_ns: waits.max()?,
        usual_ns: usual_ns[usual_ns.len() / 2],
        holders: least.holders.iter().map(|ask| ask.id).collect(),
        workers: least.holders.len(),
        slow_ns: None,
        starved: starved.iter().map(|ask| ask.id).collect(),
        span_ns: stood.iter().map(|one| one.span_ns).max()?,
    })
}

/// The requests that got no worker.
pub(super) fn starved(found: &[Stall]) -> impl Iterator<Item = (ExchangeId, LinkId)> + '_ {
    found.iter().flat_map(|one| one.starved.iter().map(|&id| (id, one.link)))
}

/// One finding for each server address.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis, found: Vec<Stall>) -> Vec<Finding> {
    found.into_iter().map(|one| finding(analysis, diagnosis, one)).collect()
}

fn finding(analysis: &Analysis, diagnosis: &Diagnosis, one: Stall) -> Finding {
    let words = if one.slow_ns.is_some() { &texts::WORKERS_BUSY } else { &texts::WORKERS_HELD };
    let mut draft = Draft::new(analysis, diagnosis, words, one.link);
    draft.certainty = Certainty::Likely;
    let held = one.workers;
    draft.values.push(("server", one.server.to_string()));
    draft.values.push(("held", counted(held as u64, "request")));
    draft.values.push(("slow", duration(one.slow_ns.unwrap_or_default())));
    draft.values.push(("n", held.to_string()));
    draft.values.push(("more", (held * 4).to_string()));
    draft.values.push(("which", super::faults::which(analysis, &one.holders)));
    draft.values.push(("usual", duration(one.usual_ns)));
    draft.values.push(("longest", duration(one.longest_ns)));
    draft.values.push(("span", duration(one.span_ns)));
    let mut proofs = ProofList::new(analysis);
    for &id in one.holders.iter().take(CASES) {
        let exchange = analysis.exchange(id);
        let note = if one.slow_ns.is_some() { "a slow one" } else { "sent, and in hand all the time" };
        proofs.add(exchange, exchange.raw.request.first_frame, note);
    }
    for &id in one.starved.iter().take(CASES) {
        prove_unread(analysis.exchange(id), &mut proofs);
    }
    draft.finish(one.starved, proofs)
}

#[cfg(test)]
mod tests {
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;
    use crate::tcp::Side::{Client, Server};

    const S: i64 = 1_000 * MS;

    /// Slow requests that hold all workers, and quick ones that leave in two waves; `rejected` ones before them.
    fn waves(rejected: bool) -> Vec<String> {
        let mut chain = Chain::new(&["nginx", "app"]);
        let mut ask = |target, from: i64, answer: Option<i64>, left: i64| {
            let at = chain.open(0, from);
            let conn = &mut chain.conns[at];
            conn.request(Get, target, from + MS).sync();
            if answer.is_none_or(|after| after > left) {
                conn.fin(Client, from + left);
            }
            if let Some(after) = answer {
                conn.response(200, from + MS + after).rst(Client, from + 2 * MS + after, false);
            }
        };
        for n in 0..6 {
            ask("/item/1", n * 100 * MS, Some(10 * MS), S);
        }
        ask("/slow", S, Some(6 * S), 9 * S);
        ask("/slow", S + MS, Some(6 * S), 9 * S);
        for n in 0..6 {
            ask("/item/2", S + 50 * MS + n * MS, Some(6 * S), 1_500 * MS);
            ask("/item/3", S + 1_700 * MS + n * MS, Some(5 * S), 1_500 * MS);
        }
        if rejected {
            let at = chain.open(0, 700 * MS);
            let conn = &mut chain.conns[at];
            conn.request(Get, "/item/4", 701 * MS).response(200, 705 * MS).fin(Server, 706 * MS);
            conn.request(Get, "/item/5", 707 * MS).rst(Server, 708 * MS, false);
        }
        let findings = chain.analyse().diagnosis.findings;
        findings.iter().map(|f| format!("{}/{} ×{}: {}", f.kind, f.cause, f.count, f.summary)).collect()
    }

    #[test]
    fn who_left_the_queue_before_holds_no_worker() {
        for rejected in [false, true] {
            let held = waves(rejected);
            let all = held.iter().find(|one| one.starts_with("worker-exhaustion/held ×12: "));
            assert!(all.is_some_and(|one| one.contains("2 requests hold all workers")), "{held:?}");
        }
    }

    /// Four quick answers; then slow requests, and quick ones of which nobody, or one, is answered meanwhile.
    fn told(slow: &'static str, one_answered: bool) -> Vec<String> {
        let mut chain = Chain::new(&["nginx", "app"]);
        let mut ask = |target, from: i64, answer: Option<i64>| {
            let at = chain.open(0, from);
            let conn = &mut chain.conns[at];
            conn.request(Get, target, from + MS).sync();
            match answer {
                Some(after) => conn.response(200, from + MS + after).fin(Client, from + 2 * MS + after),
                None => conn.fin(Client, from + 5 * S),
            };
        };
        for n in 0..4 {
            ask("/item/1", n * 100 * MS, Some(10 * MS));
        }
        ask(slow, S, None);
        ask(slow, S + MS, None);
        for n in 0..5 {
            ask("/item/2", 2 * S + n * 300 * MS, None);
        }
        if one_answered {
            for n in 0..7 {
                ask("/item/3", 2 * S + n * 1_000 * MS, Some(10 * MS));
            }
        }
        let findings = chain.analyse().diagnosis.findings;
        findings.iter().map(|f| format!("{}/{} ×{}", f.kind, f.cause, f.count)).collect()
    }

    #[test]
    fn quick_requests_wait_behind_slow_ones_that_hold_all_workers() {
        let held = told("/report", false);
        assert!(held.contains(&"worker-exhaustion/held ×5".to_owned()), "{held:?}");
        // Others were served meanwhile; or those in hand are quick otherwise, so that all stood still.
        for other in [told("/report", true), told("/item/9", false)] {
            assert!(other.iter().all(|one| !one.starts_with("worker-exhaustion")), "{other:?}");
        }
    }
}
