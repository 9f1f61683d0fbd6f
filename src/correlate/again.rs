//! Requests that a client sends again because they got no good answer: its own retries, apart from those of a proxy.
//!
//! ```text
//!   user  |--- 503 ---|   wait   |--- 200 ---|
//!   proxy   |- 503 -|              |- 200 -|      to it each is a request of its own
//! ```
//!
//! The bytes alone do not say so: who asks for the same all the time does it after failures too. How often and how soon a
//! client asks again for what it got well tells what chance makes, and only what goes well beyond that is named.

mod chance;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use hashbrown::HashMap;

use super::Confidence;
use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::http::{ExchangeFlags, NameId};
use crate::topology::keys::{IdNames, request_key, text_hash};
use crate::topology::{ConnectionId, ExchangeId, LinkId};
use chance::Chances;

/// Between a failure and the next try, in nanoseconds, at the most: clients that back off double their wait.
const LONGEST_WAIT_NS: i64 = 60_000_000_000;
/// A client that gives up waiting may ask again before its last packet of the old connection is seen.
const EARLIEST_NS: i64 = 2_000_000;
/// Who sends the same more often than that asks in a loop.
const MOST_SENT: usize = 8;
/// Failures that may still be sent again, of one client and key.
const MOST_OPEN: usize = 64;
/// Of a client with so few requests nothing tells how often it asks for the same anyway.
const FEW: usize = 16;
/// Within this time, in nanoseconds, a client with few requests asks again because of the failure.
const AT_ONCE_NS: i64 = 100_000_000;

/// Headers that tell clients of one address apart.
const TELL_CLIENTS: [&str; 3] = ["user-agent", "x-forwarded-for", "x-real-ip"];

/// A request that its client sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// The later one.
    pub id: ExchangeId,
    /// The one before it, which failed.
    pub of: ExchangeId,
    /// How sure.
    pub confidence: Confidence,
    /// 2, 3, … among those that the client sent of the same request.
    pub attempt: u16,
}

/// What a client got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Good,
    Failed,
    Unknown,
}

/// A request as its client sees it.
#[derive(Clone, Copy, Debug)]
struct Ask {
    /// Client and what is asked for.
    who: u64,
    key: u64,
    start: i64,
    id: ExchangeId,
    settled: i64,
    is_answered: bool,
    fate: Fate,
    connection: ConnectionId,
    ordinal: u32,
    /// The request id that the client gave it; 0 for none.
    name: u64,
}

impl Ask {
    /// When the next one may be sent for its failure.
    fn earliest(&self) -> i64 {
        if self.is_answered { self.settled } else { self.settled.saturating_sub(EARLIEST_NS) }
    }

    /// Whether it came on the same connection right after the other.
    fn is_next_of(&self, other: &Self) -> bool {
        self.connection == other.connection
            && self.ordinal == other.ordinal.wrapping_add(1)
            && (other.earliest()..=other.settled.saturating_add(LONGEST_WAIT_NS)).contains(&self.start)
    }
}

/// A later request and the failed one that it may repeat, as places in the list.
#[derive(Clone, Copy, Debug)]
struct Pair {
    later: usize,
    failed: usize,
}

impl Pair {
    fn wait(self, asks: &[Ask]) -> i64 {
        asks[self.later].start.saturating_sub(asks[self.failed].settled).max(0)
    }

    /// The time in which it could have come by chance.
    fn window(self, asks: &[Ask]) -> i64 {
        asks[self.later].start.saturating_sub(asks[self.failed].earliest()).max(1)
    }
}

/// All that clients sent again, in the order of their ids.
pub(super) fn find(analysis: &Analysis) -> Vec<Again> {
    let links = &analysis.topology.links;
    let mut all = Vec::new();
    // Who is asked itself may pass on what others send again.
    let outer = (0..links.len()).filter(|&at| links.iter().all(|other| other.to != links[at].from));
    for link in outer {
        let link = LinkId(link as u16);
        let clients = failing(analysis, link);
        if !clients.is_empty() {
            of_link(&gather(analysis, link, &clients), &mut all);
        }
    }
    all.sort_unstable_by_key(|again| again.id);
    all
}

/// The addresses whose requests failed: nobody else has a reason to send one again.
fn failing(analysis: &Analysis, link: LinkId) -> BTreeSet<IpAddr> {
    let connections = analysis.link(link).connections.iter().map(|&id| analysis.connection(id));
    let fails = |connection: &ConnectionView<'_>| {
        let mut asked = connection.exchanges().filter(|exchange| exchange.raw.request.is_present());
        asked.any(|exchange| fate(&exchange) == Fate::Failed)
    };
    connections.filter(fails).map(|connection| connection.inner.client.ip()).collect()
}

/// What tells clients and requests apart, as one capture numbers it.
struct Names {
    ids: IdNames,
    clients: [Option<NameId>; 3],
}

/// The requests of these addresses on a link, by client, key and time.
fn gather(analysis: &Analysis, link: LinkId, clients: &BTreeSet<IpAddr>) -> Vec<Ask> {
    let names = analysis.captures.iter().map(|facts| Names {
        ids: analysis.topology.id_headers.of(facts),
        clients: TELL_CLIENTS.map(|name| facts.find_name(name)),
    });
    let names: Vec<Names> = names.collect();
    let mut asks: Vec<Ask> = Vec::new();
    for &id in &analysis.link(link).connections {
        let connection = analysis.connection(id);
        if !clients.contains(&connection.inner.client.ip()) {
            continue;
        }
        let client = text_hash(&connection.inner.client.ip().to_string());
        let exchanges = connection.exchanges().filter(|exchange| exchange.raw.request.is_present());
        asks.extend(exchanges.map(|exchange| ask(&exchange, client, &names[exchange.capture.index()])));
    }
    asks.sort_unstable_by_key(|ask| (ask.who, ask.key, ask.start, ask.id));
    asks
}

fn ask(exchange: &ExchangeView<'_>, client: u64, names: &Names) -> Ask {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let (facts, raw) = (exchange.facts, exchange.raw);
    let value = |name: &Option<NameId>| {
        let digest = exchange.headers().iter().find(|digest| Some(digest.name()) == *name);
        digest.map_or(0, |digest| digest.value())
    };
    let mix = |known: u64, name| (known.rotate_left(17) ^ value(name)).wrapping_mul(MIX);
    let body = u64::from(raw.request.body_crc).wrapping_add(raw.request.body_bytes << 32);
    let host = exchange.host().map_or(0, text_hash);
    Ask {
        who: names.clients.iter().fold(client, mix),
        key: request_key(facts, raw) ^ body.wrapping_mul(MIX) ^ host.rotate_left(31),
        start: exchange.started().0,
        id: exchange.id,
        settled: exchange.settled().0,
        is_answered: raw.response.is_complete(),
        fate: fate(exchange),
        connection: exchange.connection_id(),
        ordinal: raw.ordinal,
        name: names.ids.best(facts, raw).map_or(0, |(rank, id)| id ^ ((rank as u64) << 56)),
    }
}

fn fate(exchange: &ExchangeView<'_>) -> Fate {
    let raw = exchange.raw;
    if exchange.left_before_response().is_some() {
        return Fate::Failed;
    }
    if raw.response.is_complete() {
        // 408, 425 and 429 ask to come back (RFC 9110, RFC 8470, RFC 6585).
        let failed =
            exchange.status().is_some_and(|status| status >= 500 || matches!(status, 408 | 425 | 429));
        return if failed { Fate::Failed } else { Fate::Good };
    }
    let is_open = raw.flags.has(ExchangeFlags::NEAR_HOLE) || exchange.waits_until().is_some();
    if is_open { Fate::Unknown } else { Fate::Failed }
}

/// What was sent again on one link.
fn of_link(asks: &[Ask], all: &mut Vec<Again>) {
    let pairs = pairs(asks);
    if pairs.is_empty() {
        return;
    }
    let chances = Chances::learn(asks, &pairs);
    let is_named = names_mean_one(asks);
    let has_name = |pair: &Pair| {
        let name = asks[pair.later].name;
        is_named && name != 0 && name == asks[pair.failed].name
    };
    let failed = asks.iter().filter(|ask| ask.fate == Fate::Failed).count();
    let beyond = chances.beyond(asks, &pairs, failed);
    let mut before: HashMap<usize, (usize, Confidence), foldhash::fast::FixedState> = HashMap::default();
    for (pair, is_beyond) in pairs.iter().zip(beyond) {
        let confidence = if has_name(pair) { Confidence::Certain } else { Confidence::Likely };
        if is_beyond || has_name(pair) || chances.is_untold(asks[pair.later].who) {
            before.insert(pair.later, (pair.failed, confidence));
        }
    }
    let is_failed: Vec<bool> = {
        let mut repeated = vec![false; asks.len()];
        before.values().for_each(|&(failed, _)| repeated[failed] = true);
        repeated
    };
    for last in (0..asks.len()).filter(|at| before.contains_key(at) && !is_failed[*at]) {
        let mut sent = vec![last];
        while let Some(&(failed, _)) = before.get(&sent[sent.len() - 1]) {
            sent.push(failed);
        }
        sent.reverse();
        let few = chances.is_untold(asks[last].who);
        let named = sent[1..].iter().all(|at| before[at].1 == Confidence::Certain);
        if sent.len() > MOST_SENT || few && !named && !is_plain(asks, &sent) {
            continue;
        }
        for (number, step) in (2..).zip(sent.windows(2)) {
            let confidence = before[&step[1]].1;
            all.push(Again { id: asks[step[1]].id, of: asks[step[0]].id, confidence, attempt: number });
        }
    }
}

/// Each failed request and the one that may repeat it: the next on its connection, else the next at all.
fn pairs(asks: &[Ask]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut from = 0;
    for same in asks.chunk_by(|a, b| (a.who, a.key) == (b.who, b.key)) {
        if same.len() > 1 {
            pairs_of(asks, from..from + same.len(), &mut pairs);
        }
        from += same.len();
    }
    pairs
}

/// The same of one client and key.
fn pairs_of(asks: &[Ask], same: Range<usize>, pairs: &mut Vec<Pair>) {
    let is_failed = |at: &usize| asks[*at].fate == Fate::Failed;
    let mut places: Vec<usize> = same.clone().collect();
    places.sort_unstable_by_key(|&at| (asks[at].connection, asks[at].ordinal));
    let next = places.windows(2).filter(|two| is_failed(&two[0]) && asks[two[1]].is_next_of(&asks[two[0]]));
    let on_connection: BTreeMap<usize, usize> = next.map(|two| (two[1], two[0])).collect();
    let taken: BTreeSet<usize> = on_connection.values().copied().collect();
    let mut open: Vec<usize> = Vec::new();
    for later in same {
        let own = &asks[later];
        open.retain(|&at| own.start <= asks[at].settled.saturating_add(LONGEST_WAIT_NS));
        let ended = |at: &usize| asks[*at].earliest() <= own.start;
        let nearest = || open.iter().copied().filter(ended).max_by_key(|&at| (asks[at].settled, Reverse(at)));
        if let Some(failed) = on_connection.get(&later).copied().or_else(nearest) {
            open.retain(|&at| at != failed);
            pairs.push(Pair { later, failed });
        }
        if is_failed(&later) && !taken.contains(&later) && open.len() < MOST_OPEN {
            open.push(later);
        }
    }
}

/// Whether no request id is used again after a good answer, so that one that comes again means the same request.
fn names_mean_one(asks: &[Ask]) -> bool {
    let mut named: Vec<&Ask> = asks.iter().filter(|ask| ask.name != 0).collect();
    named.sort_unstable_by_key(|ask| (ask.name, ask.start, ask.id));
    named.windows(2).all(|two| two[0].name != two[1].name || two[0].fate != Fate::Good)
}

/// Whether these, of a client with few requests, look like one request: it stops asking when it gets an answer, or waits
/// longer from try to try, or asks again at once.
fn is_plain(asks: &[Ask], sent: &[usize]) -> bool {
    let wait = |two: &[usize]| Pair { failed: two[0], later: two[1] }.wait(asks);
    let waits: Vec<i64> = sent.windows(2).map(wait).collect();
    let last = sent.last().is_some_and(|&at| asks[at].fate == Fate::Good);
    let grows = waits.len() > 1 && waits.windows(2).all(|two| two[1] >= two[0].saturating_add(two[0] / 2));
    last || grows || waits.iter().all(|wait| *wait <= AT_ONCE_NS)
}

#[cfg(test)]
mod tests;
