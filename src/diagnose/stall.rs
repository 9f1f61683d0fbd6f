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
    /// Requests whose clients gave up meanwhile.
    pub(super) starved: Vec<ExchangeId>,
    /// How long answers to such requests take otherwise.
    usual_ns: i64,
    longest_ns: i64,
    /// How long nobody was answered.
    span_ns: i64,
}

/// A request that the server's kernel had.
struct Ask {
    id: ExchangeId,
    from: i64,
    /// When its answer began, however late.
    answered: Option<i64>,
    /// When its client left without one.
    left: Option<i64>,
    kind: u64,
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
        all.extend(servers.into_iter().filter_map(|(server, asks)| judge(link, server, asks)));
    }
    all
}

fn ask(exchange: ExchangeView<'_>, outcomes: &[Outcome]) -> Ask {
    let (connection, raw) = (exchange.connection(), exchange.raw);
    let answered = raw.response.is_present();
    Ask {
        id: exchange.id,
        from: connection.time(raw.request.end, raw.request.last_frame).0,
        answered: answered.then(|| connection.time(raw.response.start, raw.response.first_frame).0),
        left: gave_up(&exchange, outcomes).then(|| exchange.settled().0),
        kind: super::decided::kind_of(exchange),
    }
}

fn judge(link: LinkId, server: SocketAddr, mut asks: Vec<Ask>) -> Option<Stall> {
    asks.sort_unstable_by_key(|ask| (ask.from, ask.id));
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
    let &(from, until) = spans.iter().max_by_key(|span| span.1.saturating_sub(span.0))?;
    let starved: Vec<&Ask> =
        asks.iter().filter(|ask| (from..=until).contains(&ask.from)).filter(starves).collect();
    let in_hand = |ask: &&Ask| ask.from < from && ask.answered.is_none_or(|at| at >= until);
    let in_hand: Vec<&Ask> = asks.iter().filter(in_hand).collect();
    // Who is answered at once otherwise holds nobody up, but is held up: then the whole server stood still.
    let quick = in_hand.iter().any(|ask| starves(ask) || ask.left.is_none() && usual(ask).is_some());
    if starved.len() < FEWEST || in_hand.is_empty() || quick {
        return None;
    }
    let mut usual_ns: Vec<i64> = starved.iter().filter_map(|ask| usual(ask)).collect();
    usual_ns.sort_unstable();
    let waits = starved.iter().filter_map(|ask| Some(ask.left?.saturating_sub(ask.from)));
    Some(Stall {
        link,
        server,
        longest_ns: waits.max()?,
        usual_ns: usual_ns[usual_ns.len() / 2],
        holders: in_hand.iter().map(|ask| ask.id).collect(),
        starved: starved.iter().map(|ask| ask.id).collect(),
        span_ns: until.saturating_sub(from),
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
    let mut draft = Draft::new(analysis, diagnosis, &texts::WORKERS_HELD, one.link);
    draft.certainty = Certainty::Likely;
    let held = one.holders.len();
    draft.values.push(("server", one.server.to_string()));
    draft.values.push(("held", counted(held as u64, "request")));
    draft.values.push(("n", held.to_string()));
    draft.values.push(("more", (held * 4).to_string()));
    draft.values.push(("which", super::faults::which(analysis, &one.holders)));
    draft.values.push(("usual", duration(one.usual_ns)));
    draft.values.push(("longest", duration(one.longest_ns)));
    draft.values.push(("span", duration(one.span_ns)));
    let mut proofs = ProofList::new(analysis);
    for &id in one.holders.iter().take(CASES) {
        let exchange = analysis.exchange(id);
        proofs.add(exchange, exchange.raw.request.first_frame, "sent, and in hand all the time");
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
    use crate::tcp::Side::Client;

    const S: i64 = 1_000 * MS;

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
