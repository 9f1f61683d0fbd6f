//! Restarts: one server address that closes many of its connections at once, outside of its habits (T6).

mod book;
mod odd;
mod runs;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView};
use crate::capture::SessionTime;
use crate::http::ExchangeFlags;
use crate::topology::{ConnectionId, LinkId};

use super::Certainty;
use super::exhaustion::shape;
use super::habits::Habits;
use super::words::{counted, grouped};
use book::{Book, DOWN_NS};
use odd::{Asked, Odd, doubtful_close, odd_close};
use runs::{LONGEST_NS, NEXT_NS, is_cut, lasts_ns, may_be_one_look};
pub(super) use told::{again, findings, told_for, values};

/// So many closed connections on which nobody had asked anything are no answers to requests.
const FEWEST_UNASKED: usize = 2;

/// A server with more bursts than this has one finding for all of them.
const MOST_ALONE: usize = 2;

/// A burst stands out: the server was seen for at least so many times as long as it lasted.
const LEAST_CALM: i64 = 4;

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
    /// How many it closed by FIN: a reset may come from what stands between.
    fins: usize,
    /// How many of the others it let end with an answer that said so, as a server does that leaves in good order.
    told: u64,
    /// Whether it left at that moment what it had asked for the requests in hand: then it may have closed these alone.
    cut: bool,
}

impl Burst {
    /// Whether more than its closes says that the server went away: it refused connections after them, or left what it had
    /// asked for the requests in hand. Timers that fire together look like a burst too.
    pub(super) fn is_end(&self) -> bool {
        self.refused > 0 || self.cut
    }

    /// Whether the server closed a connection in this burst.
    pub(super) fn holds(&self, connection: ConnectionId) -> bool {
        self.closed.binary_search(&connection).is_ok()
    }

    /// Whether a moment lies in the burst or in the time that the server may have been down after it.
    pub(super) fn covers(&self, server: SocketAddr, at: SessionTime) -> bool {
        server == self.server && at >= self.from && at.since_ns(self.to) <= NEXT_NS
    }

    /// How sure it is that the server itself went away.
    pub(super) fn certainty(&self) -> Certainty {
        if self.refused > 0 || self.is_complete() && self.fins > 0 {
            Certainty::Certain
        } else {
            Certainty::Likely
        }
    }

    /// Whether no connection outlived it.
    fn is_complete(&self) -> bool {
        self.ended() >= self.open
    }

    fn ended(&self) -> u64 {
        self.closed.len() as u64 + self.told
    }

    /// Whether the server closed none for so long before and after that those are one event.
    fn is_alone(&self, odd: &[Odd]) -> bool {
        let calm = self.window_ns().saturating_mul(LEAST_CALM);
        let begin = SessionTime(self.from.0.saturating_sub(calm));
        let near = odd[odd.partition_point(|one| (one.server, one.at) < (self.server, begin))..].iter();
        let near = near.take_while(|one| one.server == self.server && one.at.since_ns(self.to) <= calm);
        near.filter(|one| !one.usual).all(|one| self.holds(one.connection))
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

    /// `, announced the end of 9 others in their next answers`.
    pub(super) fn others(&self) -> String {
        match self.told {
            0 => String::new(),
            1 => ", announced the end of another in its next answer".to_owned(),
            told => format!(", announced the end of {} others in their next answers", grouped(told)),
        }
    }
}

/// The bursts of every link.
/// `dropped` are connections that servers closed when they went away, as what they left on the links behind shows.
pub(super) fn by_link(
    analysis: &Analysis,
    habits: &[Habits],
    dropped: &BTreeSet<ConnectionId>,
) -> Vec<Vec<Burst>> {
    let links = habits.iter().enumerate();
    links.map(|(at, habits)| bursts(analysis, LinkId(at as u16), habits, dropped)).collect()
}

/// The bursts on one link, by server address and time.
fn bursts(
    analysis: &Analysis,
    link: LinkId,
    habits: &Habits,
    dropped: &BTreeSet<ConnectionId>,
) -> Vec<Burst> {
    let mut odd: Vec<Odd> = Vec::new();
    let mut doubtful: Vec<(SocketAddr, SessionTime)> = Vec::new();
    let mut announced: Vec<Announced> = Vec::new();
    let mut books: BTreeMap<SocketAddr, Book> = BTreeMap::new();
    for &id in &analysis.link(link).connections {
        let connection = analysis.connection(id);
        books.entry(connection.inner.server).or_default().add(connection);
        odd.extend(odd_close(connection, habits).map(|one| Odd { dropped: dropped.contains(&id), ..one }));
        doubtful.extend(doubtful_close(connection).map(|at| (connection.inner.server, at)));
        announced.extend(announced_end(connection));
    }
    for book in books.values_mut() {
        book.sort();
    }
    // Where each connection ends with its answer, only those that got none tell of anything.
    if habits.closes_after_each() {
        odd.retain(|one| one.gap_ns.is_none() && one.asked.is_some());
    }
    odd.sort_unstable_by_key(|one| (one.server, one.at, one.connection));
    runs::doubt_timers(&mut odd);
    let unusual = odd.iter().filter(|one| !one.usual).copied().collect::<Vec<_>>();
    let mut chains = runs::outside_of_habits(&unusual, habits);
    for chain in runs::one_event(&odd, habits) {
        let known =
            |other: &&[Odd]| other.iter().any(|one| chain.iter().any(|x| x.connection == one.connection));
        if !chains.iter().any(known) {
            chains.push(chain);
        }
    }
    chains.sort_unstable_by_key(|chain| (chain[0].server, chain[0].at));
    let bursts_of = |chains: Vec<&[Odd]>| {
        let mut all: Vec<Burst> = Vec::new();
        for chain in chains {
            let Some(burst) = books.get(&chain[0].server).map(|book| burst(chain, book)) else { continue };
            let other = || may_be_one_look(chain) || answers_requests(analysis, link, chain, &burst);
            if burst.refused > 0 || burst.cut || !other() {
                all.push(burst);
            }
        }
        count_told(&mut all, &announced);
        // A server that closes a few of many connections evicts or times out; it was not restarted. On a reload though new
        // workers serve the others already when the old ones cut what they still have in hand (nginx
        // worker_shutdown_timeout).
        all.retain(|burst| burst.cut || burst.ended() * 3 >= burst.open);
        // One that goes away again and again (max-requests) closes all that it has each time, and hardly any between.
        let events: BTreeSet<ConnectionId> = all
            .iter()
            .filter(|burst| burst.is_complete() && burst.is_alone(&odd))
            .flat_map(|burst| burst.closed.iter().copied())
            .collect();
        all.retain(|burst| stands_out(analysis, link, burst, &odd, &doubtful, &events));
        all
    };
    let mut all = bursts_of(chains);
    let ends = runs::before_refusal(&unusual, |one| books.get(&one.server)).into_iter();
    let is_new =
        |chain: &&[Odd]| !chain.iter().any(|one| all.iter().any(|burst| burst.holds(one.connection)));
    all.extend(bursts_of(ends.filter(is_new).collect()));
    all.sort_unstable_by_key(|burst| (burst.server, burst.from));
    all
}

/// A connection that the server let end with an answer that said so.
struct Announced {
    server: SocketAddr,
    begun: SessionTime,
    /// When it said so.
    at: SessionTime,
}

fn announced_end(connection: ConnectionView<'_>) -> Option<Announced> {
    let last = connection.exchanges().last()?;
    let (flags, response) = (last.raw.flags, &last.raw.response);
    let own = flags.has(ExchangeFlags::SERVER_CLOSES) && !flags.has(ExchangeFlags::CLIENT_CLOSES);
    let at = connection.time(response.end, response.last_frame);
    let begun = connection.inner.first;
    (own && response.is_complete()).then_some(Announced { server: connection.inner.server, begun, at })
}

/// Counts what a server that leaves in good order announces while it closes the connections that nobody uses, unless it
/// announces as much at other times. The bursts are ordered by server and time.
fn count_told(bursts: &mut [Burst], announced: &[Announced]) {
    let mut elsewhere: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    let mut told = vec![0u64; bursts.len()];
    for one in announced {
        let before = bursts.partition_point(|burst| (burst.server, burst.from) <= (one.server, one.at));
        let belongs = |burst: &Burst| {
            burst.server == one.server && one.begun <= burst.from && one.at.since_ns(burst.to) <= LONGEST_NS
        };
        match before.checked_sub(1).filter(|&at| belongs(&bursts[at])) {
            Some(at) => told[at] += 1,
            None => *elsewhere.entry(one.server).or_default() += 1,
        }
    }
    let mut within: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    for (burst, told) in bursts.iter().zip(&told) {
        *within.entry(burst.server).or_default() += told;
    }
    for (burst, told) in bursts.iter_mut().zip(told) {
        let habit = elsewhere.get(&burst.server).is_some_and(|number| *number > within[&burst.server]);
        burst.told = if habit { 0 } else { told.min(burst.open - burst.closed.len() as u64) };
    }
}

/// Whether a burst is more than the coming and going of connections: they were open when it began, it was short
/// against the time in which the server was seen, and the server closed few others. Closes of connections of which bytes
/// are missing may have been such; what it closed in `events` like this one was not.
fn stands_out(
    analysis: &Analysis,
    link: LinkId,
    burst: &Burst,
    odd: &[Odd],
    doubtful: &[(SocketAddr, SessionTime)],
    events: &BTreeSet<ConnectionId>,
) -> bool {
    let closed = burst.closed.len();
    let begun = |&&id: &&ConnectionId| analysis.connection(id).inner.first <= burst.from;
    let open = burst.closed.iter().filter(begun).count();
    let own = analysis.link(link).connections.iter().map(|&id| analysis.connection(id).inner);
    let seen = own.filter(|connection| connection.server == burst.server);
    let span = seen.map(|one| (one.first, one.last)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let seen_ns = span.map_or(0, |(first, last)| last.since_ns(first));
    let other = |one: &&Odd| one.server == burst.server && !one.usual && !burst.holds(one.connection);
    let others = odd.iter().filter(other).filter(|one| !events.contains(&one.connection)).count();
    let elsewhere = |&&(server, at): &&(SocketAddr, SessionTime)| {
        server == burst.server && (at < burst.from || at > burst.to)
    };
    open * 3 >= closed * 2
        && seen_ns >= burst.window_ns().saturating_mul(LEAST_CALM)
        && (burst.cut || others + doubtful.iter().filter(elsewhere).count() <= closed)
}

/// Whether the closes may be no more than what the server did with the requests in hand: hardly any hit a connection
/// without one. A server that goes away answers nothing on all its connections at one moment, however old the requests
/// are, and they are of a kind that it had answered.
fn answers_requests(analysis: &Analysis, link: LinkId, chain: &[Odd], burst: &Burst) -> bool {
    let asked: Vec<Asked> = chain.iter().filter_map(|one| one.asked).collect();
    if chain.len() - asked.len() >= FEWEST_UNASKED {
        return false;
    }
    let ages = || asked.iter().map(|asked| asked.age_ns);
    let spread = ages().max().unwrap_or_default().saturating_sub(ages().min().unwrap_or_default());
    let at_one_moment = burst.closed.len() as u64 == burst.open && lasts_ns(chain) / 2 <= spread;
    if !at_one_moment {
        return true;
    }
    let wanted: BTreeSet<String> =
        asked.iter().map(|asked| shape(analysis.exchange(asked.exchange))).collect();
    let mut answered: BTreeSet<String> = BTreeSet::new();
    for &id in &analysis.link(link).connections {
        let connection = analysis.connection(id);
        if answered.len() == wanted.len() {
            break;
        }
        let whole = connection.exchanges().filter(|x| x.raw.response.is_complete());
        let shapes = whole.filter(|_| connection.inner.server == burst.server).map(shape);
        answered.extend(shapes.filter(|shape| wanted.contains(shape)));
    }
    let known = asked.iter().filter(|asked| answered.contains(&shape(analysis.exchange(asked.exchange))));
    known.count() * 2 < asked.len()
}

fn burst(chain: &[Odd], book: &Book) -> Burst {
    let (first, last) = (&chain[0], &chain[chain.len() - 1]);
    let mut closed: Vec<ConnectionId> = chain.iter().map(|one| one.connection).collect();
    closed.sort_unstable();
    let open = (closed.len() as u64).max(book.open_at(first.at));
    let refused = book.refused_in(first.at, SessionTime(last.at.0.saturating_add(DOWN_NS)));
    let fins = chain.iter().filter(|one| one.fin).count();
    let cut = is_cut(chain);
    Burst { server: first.server, from: first.at, to: last.at, closed, open, refused, fins, told: 0, cut }
}
