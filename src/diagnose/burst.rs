//! Restarts: one server address that closes many of its connections at once, outside of its habits (T6).

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::SessionTime;
use crate::http::ExchangeFlags;
use crate::tcp::{EventKind, Opening};
use crate::topology::{ConnectionId, ExchangeId, LinkId};

use super::Certainty;
use super::exhaustion::shape;
use super::habits::Habits;
use super::life::{Life, at_least};
use super::verdict::{SHORTEST_UNFINISHED_NS, is_usual_timeout, may_be_coarse_timer};
use super::words::{counted, grouped};
pub(super) use told::{again, findings, told_for, values};

/// Closes that follow each other within this time belong together.
const NEXT_NS: i64 = 300_000_000;

/// Those of a server that ends follow each other within this time.
const MOMENT_NS: i64 = 50_000_000;

/// A server whose unexpected closes go on for longer than this is faulty, not restarted.
const LONGEST_NS: i64 = 3_000_000_000;

/// Idle times that differ by less than this may come from one timer.
const ONE_EVENT_NS: i64 = 300_000_000;

/// How long after its last close a restarting server may still refuse connections.
const DOWN_NS: i64 = 10_000_000_000;

/// Fewer closes are no burst.
const FEWEST: usize = 3;

/// So many closed connections must have been of use, where nothing else shows that the server went away.
const FEWEST_SERVED: usize = 2;

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

/// A close by the server that was not announced.
#[derive(Clone, Copy)]
struct Odd {
    server: SocketAddr,
    at: SessionTime,
    connection: ConnectionId,
    /// From the last response to the close; `None` when there was no response.
    gap_ns: Option<i64>,
    /// Whether the server's timer or limit explains it.
    usual: bool,
    /// The request that the server had in hand: the close may be its answer.
    asked: Option<Asked>,
    /// Whether it closed by FIN.
    fin: bool,
    /// Whether it left what it had asked for that request at the same moment, and so it was with others.
    dropped: bool,
}

/// A request on a connection when its server closed.
#[derive(Clone, Copy)]
struct Asked {
    exchange: ExchangeId,
    /// From its end to the close.
    age_ns: i64,
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
    let ended = |chain: &[Odd]| books.get(&chain[0].server).is_some_and(|book| book.ends_behind(chain));
    odd.sort_unstable_by_key(|one| (one.server, one.at, one.connection));
    doubt_timers(&mut odd);
    let unusual = odd.iter().filter(|one| !one.usual).copied().collect::<Vec<_>>();
    let mut chains = chains(&unusual, NEXT_NS, |chain| {
        let event = were_served(chain) && !is_coarse_timer(chain) && !is_late_timer(chain, habits);
        event || is_cut(chain)
    });
    // At the end of a load all timers fire together, as far apart as the last answers were. Closes that come closer
    // together than that are one event, whatever their idle times look like.
    for chain in self::chains(&odd, NEXT_NS, |chain| {
        let event = is_one_event(chain) && !is_coarse_timer(chain) && !is_late_timer(chain, habits);
        event && were_served(chain) || is_cut(chain)
    }) {
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
    // Who is refused next shows the end of a server whatever went before, and that it came at one moment.
    let ends = self::chains(&unusual, MOMENT_NS, ended).into_iter();
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

/// A timer that shows nowhere but amid a burst of closes is none: those connections had been left idle together.
fn doubt_timers(odd: &mut [Odd]) {
    let unusual: Vec<Odd> = odd.iter().filter(|one| !one.usual).copied().collect();
    let ends = |chain: &[Odd]| (chain[0].server, chain[0].at, chain[chain.len() - 1].at);
    let bursts: Vec<_> = chains(&unusual, NEXT_NS, |chain| were_served(chain) || is_cut(chain))
        .into_iter()
        .map(ends)
        .collect();
    let amid = |one: &Odd| {
        let within = |&(server, from, to): &_| one.server == server && (from..=to).contains(&one.at);
        one.usual && bursts.iter().any(within)
    };
    if odd.iter().filter(|one| one.usual && !amid(one)).count() < FEWEST_UNASKED {
        odd.iter_mut().filter(|one| amid(one)).for_each(|one| one.usual = false);
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

/// The runs of closes of one server that may be a restart.
fn chains(odd: &[Odd], next_ns: i64, fits: impl Fn(&[Odd]) -> bool) -> Vec<&[Odd]> {
    let together = |a: &Odd, b: &Odd| a.server == b.server && b.at.since_ns(a.at) <= next_ns;
    let chains = odd
        .chunk_by(together)
        .filter(|chain| chain.len() >= FEWEST && lasts_ns(chain) <= LONGEST_NS && fits(chain));
    chains.collect()
}

/// Whether the server had answered on some of these connections before.
fn were_served(chain: &[Odd]) -> bool {
    chain.iter().filter(|one| one.gap_ns.is_some()).count() >= FEWEST_SERVED
}

fn lasts_ns(chain: &[Odd]) -> i64 {
    chain[chain.len() - 1].at.since_ns(chain[0].at)
}

/// Whether a timer that is looked at once a second (uwsgi's router) may have found all these at one look, most of them with
/// a request in hand.
fn may_be_one_look(chain: &[Odd]) -> bool {
    let asked = chain.iter().filter(|one| one.asked.is_some()).count();
    let waits = || chain.iter().filter_map(|one| one.asked.map(|asked| asked.age_ns).or(one.gap_ns));
    let (shortest, longest) = (waits().min().unwrap_or_default(), waits().max().unwrap_or_default());
    asked * 2 >= chain.len() && may_be_coarse_timer(shortest, longest)
}

/// Whether the server went away with most of these in hand: it left what it had asked for them at the same moment.
fn is_cut(chain: &[Odd]) -> bool {
    chain.iter().filter(|one| one.dropped).count() * 2 > chain.len()
}

/// Whether the closes lie much closer together than the idle times before them.
fn is_one_event(chain: &[Odd]) -> bool {
    let gaps = || chain.iter().filter_map(|one| one.gap_ns);
    let spread = gaps().max().unwrap_or_default().saturating_sub(gaps().min().unwrap_or_default());
    spread >= ONE_EVENT_NS && spread / 10 >= lasts_ns(chain)
}

/// Whether a timer that looks around now and then may have closed all these: each was idle for a usual timeout, and none
/// for much longer. (lighttpd closes together what went idle within a second or two.)
fn is_coarse_timer(chain: &[Odd]) -> bool {
    let gaps = chain.iter().map(|one| one.gap_ns.unwrap_or_default());
    let (shortest, longest) = gaps.fold((i64::MAX, 0), |(low, high), gap| (low.min(gap), high.max(gap)));
    is_usual_timeout(shortest) && longest < shortest.saturating_mul(2)
}

/// Whether a server's known timer may have closed all these, each up to a look around late.
fn is_late_timer(chain: &[Odd], habits: &Habits) -> bool {
    chain.iter().all(|one| one.gap_ns.is_some_and(|gap| habits.by_late_timer(gap)))
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

/// When the connections of one server address began and ended, each list sorted.
#[derive(Default)]
struct Book {
    begun: Vec<SessionTime>,
    ended: Vec<SessionTime>,
    refused: Vec<SessionTime>,
}

impl Book {
    fn add(&mut self, connection: ConnectionView<'_>) {
        let begins = connection.inner.first;
        match connection.flow().opening {
            Opening::Refused => self.refused.push(begins),
            Opening::Unanswered => {}
            Opening::Handshake | Opening::MidStream => {
                self.begun.push(begins);
                self.ended.extend(closes_at(connection));
            }
        }
    }

    fn sort(&mut self) {
        for list in [&mut self.begun, &mut self.ended, &mut self.refused] {
            list.sort_unstable();
        }
    }

    /// How many connections were open just before a moment.
    fn open_at(&self, at: SessionTime) -> u64 {
        let begun = self.begun.partition_point(|&begins| begins <= at);
        begun.saturating_sub(self.ended.partition_point(|&ends| ends < at)) as u64
    }

    /// Whether the next to connect behind these closes was refused, and nobody had been for a while before: the server was
    /// gone, whatever it had answered on those connections.
    fn ends_behind(&self, chain: &[Odd]) -> bool {
        let (first, last) = (chain[0].at, chain[chain.len() - 1].at);
        let next = |list: &[SessionTime]| list.get(list.partition_point(|&at| at <= last)).copied();
        let refused = next(&self.refused).filter(|at| at.since_ns(last) <= DOWN_NS);
        let accepted = next(&self.begun);
        refused.is_some_and(|at| accepted.is_none_or(|begun| at < begun))
            && self.refused_in(SessionTime(first.0.saturating_sub(DOWN_NS)), first) == 0
    }

    /// How many connections were refused between two moments.
    fn refused_in(&self, from: SessionTime, to: SessionTime) -> u64 {
        let before = |at: SessionTime| self.refused.partition_point(|&refused| refused < at);
        before(to).saturating_sub(before(from)) as u64
    }
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

/// When either side began to close.
fn closes_at(connection: ConnectionView<'_>) -> Option<SessionTime> {
    let life = Life::of(connection);
    let ends = [life.server_ended(), life.client_ended()];
    ends.into_iter().flatten().map(|end| connection.time(end.at, end.frame)).min()
}

/// When the server closed a connection of which the capture lost bytes: whether as usual, nobody can tell.
fn doubtful_close(connection: ConnectionView<'_>) -> Option<SessionTime> {
    if connection.inner.exchanges.is_empty() || !connection.flow().is_lossy() {
        return None;
    }
    let end = Life::of(connection).server_ended()?;
    Some(connection.time(end.at, end.frame))
}

fn odd_close(connection: ConnectionView<'_>, habits: &Habits) -> Option<Odd> {
    if connection.inner.exchanges.is_empty() || connection.flow().is_lossy() {
        return None;
    }
    let end = Life::of(connection).server_ended()?;
    let fin = end.kind == EventKind::Fin;
    let pending = connection
        .exchanges()
        .find(|x| !x.raw.response.is_complete() && x.raw.request.is_present())
        .filter(|x| x.raw.request.start <= end.at);
    // A bare RST is the answer of a host that knows no such connection: when that was closed it does not tell.
    if pending.is_some() && !fin && !end.has_ack {
        return None;
    }
    // What is no HTTP ends with its connection. A proxy whose server closed on what it had asked closes as well (HAProxy).
    let analysis = connection.analysis;
    let lost = |child: &ExchangeId| {
        let child = analysis.exchange(*child);
        !child.raw.response.is_complete() && Life::of(child.connection()).server_ended().is_some()
    };
    let passes_on = |x: ExchangeView<'_>| analysis.trees.children(x.id).iter().any(lost);
    let not_http = connection.exchanges().any(|x| x.raw.flags.has(ExchangeFlags::NOT_HTTP_RESPONSE));
    if not_http || pending.is_some_and(passes_on) {
        return None;
    }
    // A server that waited in vain for the rest of a request closes by a timer.
    let waited =
        |x: &ExchangeView<'_>| end.at.0.saturating_sub(x.raw.request.end.0) >= SHORTEST_UNFINISHED_NS;
    if pending.is_some_and(|x| !x.raw.request.is_complete() && waited(&x)) {
        return None;
    }
    // Who answers before it has read the request (408, 413) has to close behind that.
    let early = |x: ExchangeView<'_>| {
        x.raw.response.is_complete()
            && (x.raw.flags.has(ExchangeFlags::EARLY_RESPONSE) || !x.raw.request.is_complete())
    };
    if connection.exchanges().last().is_some_and(early) {
        return None;
    }
    let reached = |x: &ExchangeView<'_>| at_least(end.ack, x.raw.request.seq.wrapping_add(1));
    let asked = pending
        .filter(reached)
        .map(|x| Asked { exchange: x.id, age_ns: end.at.0.saturating_sub(x.raw.request.end.0) });
    let one = |gap_ns, usual| Odd {
        server: connection.inner.server,
        at: connection.time(end.at, end.frame),
        connection: connection.id,
        gap_ns,
        usual,
        asked,
        fin,
        dropped: false,
    };
    let Some(close) = habits.close_of(connection.id) else { return Some(one(None, false)) };
    let said = connection
        .exchanges()
        .last()
        .is_some_and(|x| x.raw.flags.has(ExchangeFlags::SERVER_CLOSES | ExchangeFlags::CLIENT_CLOSES));
    if said || habits.by_limit(close) || habits.may_be_by_limit(close) {
        return None;
    }
    // A single close proves no timer.
    let timer = habits.idle.is_some_and(|idle| idle.samples >= 2) && habits.by_timer(close);
    Some(one(Some(close.gap_ns), timer))
}
