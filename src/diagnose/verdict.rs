//! Each exchange to its outcome, from the packets of its own connection.

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::http::{Exchange, ExchangeFlags, Framing, Message, MessageState, Version};
use crate::tcp::{Event, EventKind, Opening, Side};
use crate::topology::{ExchangeId, LinkId};

use super::dropped::{self, Dropped};
use super::life::{Life, went_unheard};
use super::reject::reject_form;
use super::{Outcome, RejectForm, Rejection};

/// A silence shorter than this is no timeout that anybody configures: a second, and what timers of whole milliseconds are
/// early by.
pub(super) const SHORTEST_TIMEOUT_NS: i64 = 1_000_000_000 - EARLY_NS;

/// A timer counts from when its process last looked at the clock, which may be some milliseconds before the byte that it
/// waits behind.
const EARLY_NS: i64 = 5_000_000;

/// nginx leaves a running timer alone where a new one would end less than 300 ms later (`NGX_TIMER_LAZY_DELAY`): between
/// the parts of an answer it may count from an earlier part.
const LAZY_NS: i64 = 300_000_000;

/// Timers that are only looked at once a second fire up to this much late (uwsgi's router).
pub(super) const COARSE_TIMER_NS: i64 = 1_200_000_000;

/// A server that closes this long after the last byte of an unfinished request had been waiting for the rest of it.
pub(super) const SHORTEST_UNFINISHED_NS: i64 = 900_000_000;

/// Timeouts that people configure, in seconds.
const USUAL_TIMEOUTS_S: [i64; 19] = [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, 45, 60, 75, 90, 120, 180, 300];

/// How many exchanges of one link must have waited equally long for a timeout nobody would guess.
const CLUSTER: usize = 3;

/// An exchange whose client closed before the response was whole.
pub(super) struct GaveUp {
    pub(super) link: LinkId,
    pub(super) silence_ns: i64,
    pub(super) exchange: ExchangeId,
    /// Whether the server's kernel had the whole request, so that only the server can be waited for.
    waiting: bool,
    /// How much earlier than the silence its timer may have begun.
    early_ns: i64,
}

/// What the packets of one connection say about one exchange.
enum Ending {
    Known(Outcome),
    Rejected(RejectForm),
    GaveUp { silence_ns: i64, waiting: bool, early_ns: i64 },
}

/// The outcome of every exchange, the rejected ones ordered by exchange, and what hops dropped when they went away.
pub(super) fn judge(analysis: &Analysis) -> (Vec<Outcome>, Vec<Rejection>, Dropped) {
    let mut outcomes = vec![Outcome::Unknown; analysis.topology.exchanges.len()];
    let (mut rejections, mut gave_up) = (Vec::new(), Vec::new());
    for connection in analysis.connections() {
        if !connection.inner.exchanges.is_empty() {
            judge_connection(connection, &mut outcomes, &mut rejections, &mut gave_up);
        }
    }
    // The status tells of a timer, whatever its length: httpd, h2o and Go say 502, Varnish 503, where others say 504.
    for one in &gave_up {
        let parent = analysis.trees.parent(one.exchange).map(|p| analysis.exchange(p.parent));
        let told = parent.and_then(|parent| parent.status());
        let waited = one.waiting && one.silence_ns >= SHORTEST_TIMEOUT_NS;
        if told == Some(504) || waited && matches!(told, Some(502 | 503)) {
            outcomes[one.exchange.0 as usize] = Outcome::TimedOut;
        }
    }
    let left_streams: Vec<ExchangeId> = left_streams(analysis, &gave_up);
    let dropped = dropped::find(analysis, &outcomes, &gave_up);
    gave_up.retain(|one| !dropped.exchanges.contains(&one.exchange));
    for exchange in settle_silences(analysis, &outcomes, gave_up) {
        outcomes[exchange.0 as usize] = Outcome::TimedOut;
    }
    for exchange in left_streams {
        outcomes[exchange.0 as usize] = Outcome::Complete;
    }
    rejections.sort_unstable_by_key(|r| r.exchange);
    (outcomes, rejections, dropped)
}

/// Streams without an end of their own that users left, which is how such a stream ends: at each hop, since a hop closes
/// what it had opened for who has left.
fn left_streams(analysis: &Analysis, gave_up: &[GaveUp]) -> Vec<ExchangeId> {
    let is_stream = |id: ExchangeId| {
        let exchange = analysis.exchange(id).raw;
        exchange.flags.has(ExchangeFlags::ENDLESS) && exchange.response.head_bytes > 0
    };
    let mut streams: Vec<ExchangeId> =
        gave_up.iter().map(|one| one.exchange).filter(|&id| is_stream(id)).collect();
    streams.sort_unstable();
    let is_left_by_user = |&id: &ExchangeId| {
        let mut at = id;
        while let Some(parent) = analysis.trees.parent(at) {
            if streams.binary_search(&parent.parent).is_err() {
                return false;
            }
            at = parent.parent;
        }
        let asks = analysis.link(analysis.exchange(at).link_id()).from;
        analysis.lane(asks).users
    };
    streams.iter().copied().filter(is_left_by_user).collect()
}

fn judge_connection(
    connection: ConnectionView<'_>,
    outcomes: &mut [Outcome],
    rejections: &mut Vec<Rejection>,
    gave_up: &mut Vec<GaveUp>,
) {
    let life = Life::of(connection);
    let mut last_complete: Option<&Exchange> = None;
    let mut previous_served = false;
    for view in connection.exchanges() {
        let at = view.id.0 as usize;
        let idle_ns =
            last_complete.map_or(0, |before| view.raw.request.start.0.saturating_sub(before.response.end.0));
        let ending = judge_exchange(&life, view, previous_served, idle_ns);
        match ending {
            Ending::Known(outcome) => outcomes[at] = outcome,
            Ending::Rejected(form) => {
                outcomes[at] = Outcome::Rejected;
                let frame = |event: Option<&Event>| event.map(|e| connection.frame(e.frame));
                let (fin, rst) = (frame(life.server_fin), frame(life.server_rst));
                rejections.push(Rejection { exchange: view.id, form, fin, rst, idle_ns });
            }
            Ending::GaveUp { silence_ns, waiting, early_ns } => {
                let link = connection.inner.link;
                outcomes[at] = Outcome::Aborted;
                gave_up.push(GaveUp { link, silence_ns, exchange: view.id, waiting, early_ns });
            }
        }
        // A goodbye that nobody had asked for serves nothing.
        let unasked = view.raw.flags.has(ExchangeFlags::UNSOLICITED);
        let served = outcomes[at] == Outcome::Complete && !unasked;
        if served {
            last_complete = Some(view.raw);
        }
        // Behind a rejected request in a pipeline the next one is rejected for the same reason.
        previous_served = served || (previous_served && outcomes[at] == Outcome::Rejected);
    }
}

/// Whether a message with bytes cut off by the snap length came to its end: its length says so.
fn is_whole_though_cut(message: &Message) -> bool {
    match message.framing {
        Framing::Length(length) => message.wire_bytes >= u64::from(message.head_bytes).saturating_add(length),
        Framing::None => message.head_bytes > 0,
        _ => false,
    }
}

/// Whether less came behind a known head until the end of the connection than that announced, by sequence numbers.
fn is_short(life: &Life<'_>, response: &Message) -> bool {
    let (Framing::Length(length), Some(end)) = (response.framing, life.flow.direction(Side::Server).end_seq)
    else {
        return false;
    };
    let fin = u32::from(life.server_fin.is_some());
    let sent = end.wrapping_sub(fin).wrapping_sub(response.seq);
    let announced = u64::from(response.head_bytes).saturating_add(length);
    response.head_bytes > 0 && life.only_cut() && u64::from(sent) < announced && announced < 1 << 31
}

fn judge_exchange(life: &Life<'_>, view: ExchangeView<'_>, previous_served: bool, idle_ns: i64) -> Ending {
    let exchange = view.raw;
    let (request, response) = (&exchange.request, &exchange.response);
    let lossy = exchange.flags.has(ExchangeFlags::NEAR_HOLE)
        || request.state == MessageState::Lossy
        || response.state == MessageState::Lossy;
    // Nobody can read such a response to its end, where all of it is there.
    if life.breaks_chunks(exchange) {
        return Ending::Known(Outcome::Truncated);
    }
    // Where only the snap length cut bytes off, every packet is there: what was sent and when is known.
    if lossy && !life.only_cut() {
        return Ending::Known(Outcome::Unknown);
    }
    if exchange.flags.has(ExchangeFlags::NOT_HTTP_RESPONSE) {
        return Ending::Known(Outcome::NoResponse);
    }
    if exchange.flags.has(ExchangeFlags::NO_OUTPUT) {
        let aborted = exchange.flags.has(ExchangeFlags::ABORT_ASKED) && exchange.flags.refusal().is_none();
        return Ending::Known(if aborted { Outcome::Aborted } else { Outcome::NoResponse });
    }
    // What nobody had asked for nobody was waiting for, nor misses its end: HAProxy says 400 to who leaves without a word.
    if !request.is_present() && exchange.flags.has(ExchangeFlags::UNSOLICITED) {
        return Ending::Known(Outcome::Complete);
    }
    let tunnel = exchange.flags.has(ExchangeFlags::TUNNEL) && response.is_present();
    // What the server's side got too late was lost on the way: neither its silence nor its late answer tells of it.
    if let Some(end) = life.client_ended()
        && !tunnel
        && (!response.is_present() || view.left_unheard().is_some())
        && went_unheard(view.connection(), request, end)
    {
        let silence_ns = end.at.0.saturating_sub(request.end.0);
        let lost = Ending::GaveUp { silence_ns, waiting: false, early_ns: 0 };
        return if previous_served { Ending::Rejected(RejectForm::BlackHole) } else { lost };
    }
    if let Some(end) = view.left_unheard().filter(|_| !tunnel) {
        return gave_up(life, exchange, end.at.0);
    }
    if response.is_complete() || tunnel {
        return Ending::Known(Outcome::Complete);
    }
    // A client that resets what comes behind its own close has not heard the end.
    let followed = view.id.0 + 1 < view.connection().inner.exchanges.end;
    let reset = || life.client_fin.filter(|fin| life.client_rst.is_some_and(|rst| rst.frame > fin.frame));
    if lossy
        && response.is_present()
        && !followed
        && life.server_ended().is_none()
        && let Some(end) = reset()
    {
        return gave_up(life, exchange, end.at.0);
    }
    if lossy && !followed && is_short(life, response) {
        match (life.server_ended(), life.client_ended()) {
            (Some(_), _) => return Ending::Known(Outcome::Truncated),
            (None, Some(end)) => return gave_up(life, exchange, end.at.0),
            (None, None) => {}
        }
    }
    if lossy && response.is_present() {
        let whole = is_whole_though_cut(response) || followed;
        return Ending::Known(if whole { Outcome::Complete } else { Outcome::Unknown });
    }
    // From here on silence must mean silence: a capture that misses packets proves nothing.
    if life.flow.is_lossy() || life.flow.directions.iter().any(|d| d.packets == 0) || !request.is_present() {
        return Ending::Known(Outcome::Unknown);
    }
    if response.is_present() {
        return match (life.server_ended(), life.client_ended()) {
            (Some(_), _) => Ending::Known(Outcome::Truncated),
            (None, Some(end)) => gave_up(life, exchange, end.at.0),
            (None, None) => Ending::Known(Outcome::Unknown),
        };
    }
    // An answer of HTTP/0.9 is what comes until the close (RFC 1945, section 6), and that may be nothing.
    let closed = life.server_ended().is_some_and(|end| end.kind == EventKind::Fin);
    if request.version == Version::Http09 && closed {
        return Ending::Known(Outcome::Complete);
    }
    // A server that waited for the rest of a request turned nothing away.
    let waited = request.state == MessageState::Partial
        && life
            .server_ended()
            .is_some_and(|end| end.at.0.saturating_sub(request.end.0) >= SHORTEST_UNFINISHED_NS);
    if previous_served
        && !waited
        && let Some(form) = reject_form(life, exchange, idle_ns)
    {
        return Ending::Rejected(form);
    }
    let first_unseen = life.flow.opening == Opening::MidStream && !previous_served;
    match (life.server_ended(), life.client_ended()) {
        // What went before on this connection is not known, so neither is what was turned away.
        (Some(_), _) if first_unseen => Ending::Known(Outcome::Unknown),
        (Some(_), _) => Ending::Known(Outcome::NoResponse),
        (None, Some(end)) => gave_up(life, exchange, end.at.0),
        (None, None) => Ending::Known(Outcome::Unknown),
    }
}

fn gave_up(life: &Life<'_>, exchange: &Exchange, closed_at: i64) -> Ending {
    let heard = exchange.response.is_present() && exchange.response.start.0 <= closed_at;
    let last = match (heard, exchange.response.end.0 <= closed_at) {
        (true, true) => exchange.response.end,
        // How much of the answer came before is not kept: its start is the last known to have.
        (true, false) => exchange.response.start,
        _ => exchange.request.end,
    };
    // Of a request whose head the snap length cut off all that was sent is what is known of it.
    let cut = exchange.request.head_bytes == 0 && life.only_cut();
    let waiting = (exchange.request.is_complete() || cut) && life.has_received(&exchange.request);
    let early_ns = last.0.saturating_sub(exchange.request.end.0).clamp(0, LAZY_NS);
    Ending::GaveUp { silence_ns: closed_at.saturating_sub(last.0), waiting, early_ns }
}

/// Tells timeouts from clients that simply left: a timeout is a usual number of seconds, or the same for several. A hop
/// that closes to its own client as well, in place of an answer or in its middle, has not left because that one did: its
/// timer may have begun somewhat earlier, or have been looked at somewhat later than the others on its link.
fn settle_silences(analysis: &Analysis, outcomes: &[Outcome], mut all: Vec<GaveUp>) -> Vec<ExchangeId> {
    let own = |one: &GaveUp| {
        let parent = analysis.trees.parent(one.exchange).map(|p| outcomes[p.parent.0 as usize]);
        matches!(parent, Some(Outcome::Truncated | Outcome::NoResponse))
    };
    let early_ns = |one: &GaveUp| if own(one) { one.early_ns } else { 0 };
    all.retain(|one| one.waiting && one.silence_ns.saturating_add(early_ns(one)) >= SHORTEST_TIMEOUT_NS);
    all.sort_unstable_by_key(|one| (one.link, one.silence_ns, one.exchange));
    let clustered = |at: usize| {
        (at.saturating_sub(CLUSTER - 1)..=at).any(|start| {
            all.get(start..start + CLUSTER).is_some_and(|window| {
                let (first, last) = (&window[0], &window[CLUSTER - 1]);
                first.link == last.link && last.silence_ns - first.silence_ns <= slack(first.silence_ns)
            })
        })
    };
    let same: Vec<bool> = (0..all.len()).map(clustered).collect();
    let is_known = |at: &usize| same[*at] && is_usual_timeout(all[*at].silence_ns);
    let known: Vec<(LinkId, i64)> =
        (0..all.len()).filter(is_known).map(|at| (all[at].link, all[at].silence_ns)).collect();
    let late = |one: &GaveUp| {
        let from = known
            .partition_point(|&known| known < (one.link, one.silence_ns.saturating_sub(COARSE_TIMER_NS)));
        known.get(from).is_some_and(|&known| known <= (one.link, one.silence_ns))
    };
    let timed_out = |at: usize| {
        let one = &all[at];
        same[at] || is_timer(one.silence_ns, early_ns(one)) || own(one) && late(one)
    };
    (0..all.len()).filter(|&at| timed_out(at)).map(|at| all[at].exchange).collect()
}

/// How far two waits for the same timer may lie apart: timers fire late, never early.
pub(super) fn slack(silence_ns: i64) -> i64 {
    20_000_000 + silence_ns / 100
}

/// Whether a silence is one that a timer set to a usual number of seconds makes.
pub(super) fn is_usual_timeout(silence_ns: i64) -> bool {
    is_timer(silence_ns, 0)
}

/// Whether a timer that is looked at once a second makes silences of these lengths: those that it finds at one look differ by
/// no more than that.
pub(super) fn may_be_coarse_timer(shortest_ns: i64, longest_ns: i64) -> bool {
    shortest_ns >= SHORTEST_UNFINISHED_NS && longest_ns.saturating_sub(shortest_ns) <= COARSE_TIMER_NS
}

/// Whether a silence is one that such a timer makes that may have begun earlier.
fn is_timer(silence_ns: i64, early_ns: i64) -> bool {
    USUAL_TIMEOUTS_S.iter().any(|seconds| {
        let late = silence_ns.saturating_sub(seconds * 1_000_000_000);
        (-EARLY_NS - early_ns..=slack(silence_ns)).contains(&late)
    })
}
