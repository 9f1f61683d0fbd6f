//! How servers treat their connections, and how their clients do: the statistics that tell causes apart.

use std::net::SocketAddr;

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::SessionTime;
use crate::http::ExchangeFlags;
use crate::tcp::EventKind;
use crate::topology::{ConnectionId, LinkId};

use super::life::Life;

/// A close within this time after a response is part of the server's handling of that response.
const AT_ONCE_NS: i64 = 100_000_000;

/// A request that lay at the server for longer than this before the close did not merely cross it.
const QUEUED_NS: i64 = 60_000_000;

/// Timers that are only looked at once a second close up to this much late (gunicorn's threads, Apache).
const COARSE_TIMER_NS: i64 = 1_200_000_000;

/// Closes that follow each other within this time may be one event.
const ONE_MOMENT_NS: i64 = 10_000_000;

/// What a server did once may have had its own reason: a habit shows on so many connections at least.
const FEWEST_ALIKE: u64 = 2;

/// One connection that the server closed after whole responses.
#[derive(Clone, Copy)]
pub(super) struct Close {
    pub(super) connection: ConnectionId,
    /// How many responses it had given.
    pub(super) responses: u32,
    /// From the end of the last one to the FIN or RST.
    pub(super) gap_ns: i64,
    pub(super) at: SessionTime,
    /// Whether the last response said `Connection: close`.
    pub(super) announced: bool,
    /// Whether it was no close of an idle connection: a request had lain unread for longer than one needs that merely
    /// crossed the close, or the server knew the connection no more.
    pub(super) queued: bool,
    /// Whether a request had been sent before it: it may be the answer to that.
    pub(super) crossed: bool,
    /// Whether the snap length cut off what the responses say of it.
    pub(super) cut: bool,
}

impl Close {
    pub(super) fn at_once(&self) -> bool {
        self.gap_ns < AT_ONCE_NS
    }
}

/// What some connections of a link show together.
#[derive(Clone, Default)]
pub(super) struct Habits {
    /// Closes by the server, ordered by connection.
    pub(super) closes: Vec<Close>,
    /// Connections that gave a response and that the server did not close while the capture ran.
    pub(super) kept: u64,
    /// Reused requests that were answered, but for those below.
    pub(super) answered_reused: u64,
    /// Reused requests that got an answer of which the snap length cut the head.
    cut_reused: u64,
    /// The most responses on any connection.
    pub(super) most_responses: u32,
    /// The idle time after which the server closes, where its late closes agree on one.
    pub(super) idle: Option<IdleTimeout>,
    /// The idle time after which the client closes, where its closes agree on one.
    pub(super) client_idle: Option<IdleTimeout>,
    /// The number of requests after which the server closes each connection, and how often it did.
    pub(super) limit: Option<(u32, u64)>,
    /// Idle times after which the client closed.
    client_gaps: Vec<i64>,
    /// The longest idle time for which the client left a connection open.
    pub(super) client_kept_ns: i64,
    /// The longest idle time after which a request was answered.
    pub(super) longest_answered_ns: i64,
}

impl Habits {
    /// The habits of every link.
    pub(super) fn by_link(analysis: &Analysis) -> Vec<Self> {
        (0..analysis.topology.links.len()).map(|at| Self::of(analysis, LinkId(at as u16))).collect()
    }

    /// The habits on all connections of a link.
    pub(super) fn of(analysis: &Analysis, link: LinkId) -> Self {
        Self::where_server(analysis, link, |_| true)
    }

    /// The habits on those connections of a link whose server address is wanted.
    pub(super) fn where_server(
        analysis: &Analysis,
        link: LinkId,
        wanted: impl Fn(SocketAddr) -> bool,
    ) -> Self {
        let mut habits = Self::default();
        for &id in &analysis.link(link).connections {
            let connection = analysis.connection(id);
            if wanted(connection.inner.server) {
                habits.add(connection);
            }
        }
        habits.settle();
        habits
    }

    fn add(&mut self, connection: ConnectionView<'_>) {
        if connection.inner.exchanges.is_empty() || connection.flow().is_lossy() {
            return;
        }
        // Behind a small snap length it is known that an answer came and when it began; that is enough for what follows at
        // once.
        let facts = connection.analysis.capture(connection.capture());
        let cut = |x: &ExchangeView<'_>| facts.is_answer_cut(connection.flow(), x.raw);
        let answered = |x: &ExchangeView<'_>| x.raw.response.is_complete() || cut(x);
        let is_cut = connection.exchanges().any(|x| cut(&x));
        let (mut responses, mut last) = (0u32, None);
        for exchange in connection.exchanges() {
            if let Some((before, _)) = last
                && !is_cut
            {
                self.note_idle(exchange.raw.request.start.0.saturating_sub(before));
            }
            if !answered(&exchange) {
                continue;
            }
            responses += 1;
            if exchange.raw.ordinal > 1 && exchange.raw.request.is_present() {
                let idle = last.map_or(0, |(before, _)| exchange.raw.request.start.0.saturating_sub(before));
                if is_cut {
                    self.cut_reused += 1;
                } else {
                    self.answered_reused += 1;
                    self.longest_answered_ns = self.longest_answered_ns.max(idle);
                }
            }
            let flags = exchange.raw.flags;
            let announced =
                flags.has(ExchangeFlags::SERVER_CLOSES) || flags.has(ExchangeFlags::CLIENT_CLOSES);
            last = Some((exchange.raw.response.end.0, announced));
        }
        self.most_responses = self.most_responses.max(responses);
        let Some((last, announced)) = last else { return };
        let life = Life::of(connection);
        // Without its beginning the number of responses is not known; the idle time before a close is.
        match life.server_ended() {
            Some(close) => {
                let gap_ns = close.at.0.saturating_sub(last);
                let pending = connection.exchanges().find(|x| !answered(x));
                // In the middle of an answer no habit closes; and where an answer ends that was cut is not known.
                if pending.is_some_and(|x| x.raw.response.is_present()) || is_cut && gap_ns >= AT_ONCE_NS {
                    return;
                }
                if pending.is_none() && !is_cut {
                    self.note_idle(gap_ns);
                }
                let responses = if life.seen_from_start() { responses } else { 0 };
                let waited = pending.map_or(0, |x| close.at.0.saturating_sub(x.raw.request.end.0));
                // A bare RST answers a request on a connection that its sender does not know: no close of an idle one.
                let unknown = close.kind == EventKind::Rst && !close.has_ack;
                let (at, queued) = (connection.time(close.at, close.frame), waited > QUEUED_NS || unknown);
                self.closes.push(Close {
                    connection: connection.id,
                    responses,
                    gap_ns,
                    at,
                    announced,
                    queued,
                    crossed: pending.is_some_and(|x| x.raw.request.start < close.at),
                    cut: is_cut,
                });
            }
            None => {
                self.kept += 1;
                self.add_client_close(&life, connection, last);
            }
        }
    }

    fn note_idle(&mut self, idle_ns: i64) {
        self.client_kept_ns = self.client_kept_ns.max(idle_ns);
    }

    fn add_client_close(&mut self, life: &Life<'_>, connection: ConnectionView<'_>, last: i64) {
        if connection.exchanges().any(|x| !x.raw.response.is_complete()) {
            return;
        }
        match life.client_ended() {
            Some(end) => self.client_gaps.push(end.at.0.saturating_sub(last)),
            None => {
                let capture_end = connection.analysis.capture(connection.capture()).info.last;
                self.note_idle(capture_end.map_or(0, |end| end.0.saturating_sub(last)));
            }
        }
    }

    /// The close of one connection, where the server made it.
    pub(super) fn close_of(&self, id: ConnectionId) -> Option<&Close> {
        let at = self.closes.binary_search_by_key(&id, |close| close.connection).ok()?;
        self.closes.get(at)
    }

    /// Whether the server closes each connection right after its first response.
    pub(super) fn closes_after_each(&self) -> bool {
        let at_once = self.closes.iter().filter(|c| c.responses == 1 && c.at_once());
        // Closes that all came when the next request was there may be its answers.
        let unasked = at_once.clone().any(|close| !close.crossed);
        let at_once = at_once.count() as u64;
        self.answered_reused + self.cut_reused == 0
            && unasked
            && at_once >= FEWEST_ALIKE
            && at_once * 10 >= (self.closes.len() as u64 + self.kept) * 9
    }

    /// Finds the timers and limits behind what was collected.
    fn settle(&mut self) {
        let idle = self.closes.iter().filter(|c| !c.at_once() && !c.queued);
        let undisputed = idle.clone().any(|c| !c.crossed);
        let mut gaps: Vec<i64> = idle.filter(|_| undisputed).map(|c| c.gap_ns).collect();
        gaps.sort_unstable();
        self.limit = self.request_limit();
        self.idle = timer(&gaps).filter(|timer| !self.is_one_event(timer));
        self.client_gaps.sort_unstable();
        let from = self.client_gaps.partition_point(|&gap| gap < AT_ONCE_NS);
        self.client_idle = timer(&self.client_gaps[from..]).filter(|timer| timer.samples >= 2);
    }

    /// Whether the closes behind a short timer came at few moments, at each much closer together, and to others that it
    /// closed then, than their connections had gone idle: the server went away with them. (Timers that look around now and then do so once a second, not more often.)
    fn is_one_event(&self, timer: &IdleTimeout) -> bool {
        if timer.timeout_ns >= COARSE_TIMER_NS / 2 || timer.samples < FEWEST_ALIKE {
            return false;
        }
        let fits = |close: &Close| !close.at_once() && !close.queued && timer.fits(close.gap_ns);
        // What was closed with them tells as well, whatever its idle time, unless it would have been anyway.
        let own = self.closes.iter().filter(|close| !close.announced && !self.by_limit(close));
        let mut own: Vec<&Close> = own.collect();
        own.sort_unstable_by_key(|close| (close.at, close.gap_ns));
        let moments = own.chunk_by(|a, b| b.at.since_ns(a.at) <= ONE_MOMENT_NS);
        let alone = moments.map(|moment| {
            let gaps = || moment.iter().map(|close| close.gap_ns);
            let spread = gaps().max().unwrap_or_default() - gaps().min().unwrap_or_default();
            let lasts = moment[moment.len() - 1].at.since_ns(moment[0].at);
            if lasts.saturating_mul(4) < spread {
                return 0;
            }
            // Connections that went idle together by chance are closed together by whatever closes them.
            let looks = lasts / ONE_MOMENT_NS + 1;
            looks.unsigned_abs().min(moment.iter().filter(|close| fits(close)).count() as u64)
        });
        alone.sum::<u64>() < FEWEST_ALIKE
    }

    fn request_limit(&self) -> Option<(u32, u64)> {
        let limit = self.most_responses;
        let at_once = self.closes.iter().filter(|close| close.at_once() && close.responses > 0);
        let (exact, other): (Vec<&Close>, Vec<&Close>) = at_once.partition(|close| close.responses == limit);
        // As above: closes that all came with a request in hand may be answers.
        let unasked = exact.iter().any(|close| !close.crossed);
        (limit >= 2 && unasked && exact.len() >= 3 && other.len() * 10 <= exact.len())
            .then_some((limit, exact.len() as u64))
    }

    /// Whether the server closed this connection because it had been idle for its timeout.
    pub(super) fn by_timer(&self, close: &Close) -> bool {
        !close.at_once() && !close.queued && self.idle.is_some_and(|idle| idle.fits(close.gap_ns))
    }

    /// Whether a timer that is looked at now and then may have closed a connection that was idle for so long.
    pub(super) fn by_late_timer(&self, gap_ns: i64) -> bool {
        let coarse = |idle: &IdleTimeout| idle.samples >= 2 && idle.timeout_ns >= COARSE_TIMER_NS / 2;
        self.idle.filter(coarse).is_some_and(|idle| {
            let from = idle.range_ns.0.saturating_sub(slack(idle.timeout_ns) / 2);
            (from..=from.saturating_add(COARSE_TIMER_NS)).contains(&gap_ns)
        })
    }

    /// Whether a server that closes after so many requests may have done so here, where the capture does not show how many
    /// there were.
    pub(super) fn may_be_by_limit(&self, close: &Close) -> bool {
        self.limit.is_some() && close.at_once() && close.responses == 0
    }

    /// Whether the server closed this connection because it had carried as many requests as it may.
    pub(super) fn by_limit(&self, close: &Close) -> bool {
        self.limit.is_some_and(|(limit, _)| close.at_once() && close.responses == limit)
    }
}

/// The timer behind some sorted idle times: where most of them lie close together, or all within the second that
/// a coarse timer is late.
fn timer(gaps: &[i64]) -> Option<IdleTimeout> {
    let near = |from: usize| {
        let first = gaps[from];
        &gaps[from..gaps.partition_point(|&gap| gap <= first.saturating_add(slack(first)))]
    };
    let mut best: &[i64] = &[];
    for from in 0..gaps.len() {
        let window = near(from);
        if window.len() > best.len() {
            best = window;
        }
    }
    let (&first, &last) = (gaps.first()?, gaps.last()?);
    let middle = *best.get(best.len() / 2)?;
    let agreed = best.len() >= 3 && best.len() * 2 >= gaps.len();
    if !agreed && gaps.len() >= 4 && last - first <= COARSE_TIMER_NS && first >= COARSE_TIMER_NS / 2 {
        return Some(IdleTimeout::of(gaps, first));
    }
    (agreed || super::verdict::is_usual_timeout(middle)).then(|| IdleTimeout::of(best, middle))
}

/// An idle timeout inferred from when a side closed.
#[derive(Clone, Copy)]
pub(super) struct IdleTimeout {
    pub(super) timeout_ns: i64,
    /// The shortest and the longest idle time that belong to it.
    pub(super) range_ns: (i64, i64),
    /// How many closes belong to it.
    pub(super) samples: u64,
}

impl IdleTimeout {
    fn of(gaps: &[i64], timeout_ns: i64) -> Self {
        let range_ns =
            (gaps.first().copied().unwrap_or(timeout_ns), gaps.last().copied().unwrap_or(timeout_ns));
        Self { timeout_ns, range_ns, samples: gaps.len() as u64 }
    }

    /// From the shortest to the longest.
    pub(super) fn spread_ns(&self) -> i64 {
        self.range_ns.1 - self.range_ns.0
    }

    /// Whether a connection closed after this idle time was closed by this timer.
    pub(super) fn fits(&self, gap_ns: i64) -> bool {
        let margin = slack(self.timeout_ns) / 2;
        (self.range_ns.0.saturating_sub(margin)..=self.range_ns.1.saturating_add(margin)).contains(&gap_ns)
    }
}

/// How far apart two closes by the same timer may lie: 50 ms and 4 %.
fn slack(timeout_ns: i64) -> i64 {
    50_000_000 + timeout_ns / 25
}
