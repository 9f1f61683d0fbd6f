//! One exchange under judgement, and what the rules about single exchanges ask of it.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use crate::analysis::{Analysis, ExchangeView};
use crate::capture::SessionTime;
use crate::correlate::Orphan;
use crate::http::{Exchange, ExchangeFlags, Framing, MessageState, Method};
use crate::tcp::{Event, EventKind, Opening, Side};
use crate::topology::{ExchangeId, LaneId, LinkId, Role};

use super::burst::{self, Burst};
use super::decided::Decided;
use super::life::{Life, at_least};
use super::origins::{is_inherited_end, is_user_link};
use super::sent_on::{Sending, SentOn};
use super::strangers::Strangers;
use super::texts::Words;
use super::{Certainty, Diagnosis, Outcome};

/// So many answers of an unknown request are looked at when one that may be passed on is judged.
const MOST_REFUSALS: usize = 4096;

/// A rule about single exchanges.
pub(super) struct Rule {
    /// Its id in the fault catalogue.
    pub(super) id: &'static str,
    /// Its words; rules with the same words make one finding.
    pub(super) words: &'static Words,
    /// How its cases differ from those of other rules with the same words; `{forms}` lists them.
    pub(super) form: &'static str,
    /// Whether an exchange shows the fault, and how sure that is.
    pub(super) holds: fn(&Case<'_>) -> Option<Certainty>,
    /// What its words tell besides waits and sizes.
    pub(super) figures: Figures,
}

/// Figures that only the words of some rules hold; rules with the same words have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figures {
    /// Waits, sizes, and how connections ended: every finding has these.
    Usual,
    /// What the server answered meanwhile.
    Deciding,
    /// How many of its connections the server closed.
    Restart,
    /// What the hop passes on.
    Passing,
    /// Whom the request had got to.
    Waiting,
}

impl Rule {
    pub(super) const fn new(
        id: &'static str,
        words: &'static Words,
        form: &'static str,
        holds: fn(&Case<'_>) -> Option<Certainty>,
    ) -> Self {
        Self { id, words, form, holds, figures: Figures::Usual }
    }

    /// The same, with figures of its own.
    pub(super) const fn with(self, figures: Figures) -> Self {
        Self { figures, ..self }
    }
}

/// An exchange under judgement.
pub(super) struct Case<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) exchange: ExchangeView<'a>,
    pub(super) raw: &'a Exchange,
    pub(super) outcome: Outcome,
    pub(super) life: Life<'a>,
    pub(super) around: &'a Around<'a>,
}

impl<'a> Case<'a> {
    pub(super) fn has(&self, flag: u32) -> bool {
        self.raw.flags.has(flag)
    }

    /// Whether the captures hold all of the connection, so that silence means silence.
    pub(super) fn is_whole(&self) -> bool {
        let flow = self.life.flow;
        !flow.is_lossy() && flow.directions.iter().all(|direction| direction.packets > 0)
    }

    /// Whether this is the first request of a connection whose start was captured.
    pub(super) fn is_first(&self) -> bool {
        self.raw.ordinal == 1 && self.life.flow.opening == Opening::Handshake
    }

    /// Whether this was a later request of its connection, and the server had it, or its beginning, when it closed.
    pub(super) fn was_in_hand(&self) -> bool {
        self.raw.ordinal > 1 && self.life.closed_with(&self.raw.request)
    }

    pub(super) fn parent(&self) -> Option<ExchangeView<'a>> {
        self.analysis.trees.parent(self.exchange.id).map(|p| self.analysis.exchange(p.parent))
    }

    /// Whether the server side asked nobody else, as far as the captures show.
    pub(super) fn answered_itself(&self) -> bool {
        self.analysis.trees.children(self.exchange.id).is_empty()
    }

    pub(super) fn server_role(&self) -> Role {
        self.analysis.lane(self.analysis.link(self.exchange.link_id()).to).role
    }

    pub(super) fn on_user_link(&self) -> bool {
        is_user_link(self.analysis, self.exchange.link_id())
    }

    /// Whether the client side only left because its own client had.
    pub(super) fn is_inherited(&self) -> bool {
        is_inherited_end(self.analysis, self.around.outcomes, self.exchange.id)
    }

    /// The end that came first: the server's own FIN or RST, else the client's.
    pub(super) fn end(&self) -> Option<&'a Event> {
        self.life.server_ended().or_else(|| self.life.client_ended())
    }

    /// Whether a byte of the response came before this event: what came after an end was heard by nobody.
    pub(super) fn is_heard_before(&self, event: &Event) -> bool {
        self.raw.response.is_present() && self.raw.response.first_frame < event.frame
    }

    /// From the last byte of the exchange to this event.
    pub(super) fn silence_before(&self, event: &Event) -> i64 {
        let (request, response) = (&self.raw.request, &self.raw.response);
        let last = match self.is_heard_before(event) {
            true if response.end <= event.at => response.end,
            // How much of the answer came before is not kept.
            true => response.start,
            false => request.end,
        };
        event.at.0.saturating_sub(last.0)
    }

    /// From the last byte of the exchange to its connection's end; from where a request breaks off to what the server
    /// said of it, where it did.
    pub(super) fn silence_ns(&self) -> Option<i64> {
        let (request, response) = (&self.raw.request, &self.raw.response);
        let unfinished =
            request.state == MessageState::Partial || self.status() == Some(408) && self.head_is_cut();
        if unfinished && response.is_present() {
            return Some(response.start.0.saturating_sub(request.end.0));
        }
        self.end().map(|end| self.silence_before(end))
    }

    /// From the first byte of the request to the last of the response, or to the connection's end without one.
    pub(super) fn took_ns(&self) -> Option<i64> {
        let answered = self.outcome == Outcome::Complete && self.raw.response.is_present();
        let end = if answered { self.raw.response.end } else { self.end()?.at };
        self.raw.request.is_present().then(|| end.0.saturating_sub(self.raw.request.start.0))
    }

    /// Whether the server's kernel has acknowledged all that the client sent of the request.
    pub(super) fn request_arrived(&self) -> bool {
        self.life.has_received(&self.raw.request)
    }

    /// Whether the server sent bytes behind the request that nobody could read as a response.
    pub(super) fn has_unread_answer(&self) -> bool {
        let Some(end) = self.life.flow.direction(Side::Server).end_seq else { return false };
        let fin = u32::from(self.life.server_fin.is_some());
        let sent = end.wrapping_sub(fin).wrapping_sub(self.raw.request.ack) as i32;
        !self.raw.response.is_present() && !self.has(ExchangeFlags::PIPELINED) && sent > 0
    }

    /// Bytes that the server sent from the response's start to the connection's end.
    pub(super) fn answer_sent(&self) -> u64 {
        let end = self.life.flow.direction(Side::Server).end_seq;
        let sent = end.map(|end| end.wrapping_sub(self.raw.response.seq) as i32);
        sent.filter(|_| self.raw.response.is_present()).map_or(0, |sent| sent.max(0).unsigned_abs().into())
    }

    /// Whether the method is one that everybody knows: a word of another protocol is none.
    pub(super) fn has_known_method(&self) -> bool {
        !matches!(self.raw.method, Method::Other(_) | Method::Missing)
    }

    /// Whether the request announces a body.
    pub(super) fn request_has_body(&self) -> bool {
        matches!(self.raw.request.framing, Framing::Chunked | Framing::Length(1..))
    }

    /// Bytes of the request's head, also of one whose end never came.
    pub(super) fn request_head(&self) -> u64 {
        request_head(self.exchange)
    }

    /// Whether the snap length cut off the request's head, and with it whether the request was whole.
    pub(super) fn head_is_cut(&self) -> bool {
        self.raw.request.is_present() && self.raw.request.head_bytes == 0 && self.life.only_cut()
    }

    /// The same of one that may announce a body.
    pub(super) fn may_lack_body(&self) -> bool {
        self.head_is_cut() && !is_bodyless(self.raw.method)
    }

    /// Bytes of the response's head, also of one whose end never came.
    pub(super) fn response_head(&self) -> u64 {
        head_bytes(&self.raw.response)
    }

    /// The same; of one that the snap length cut off all that was sent, as it cannot be more.
    pub(super) fn most_response_head(&self) -> u64 {
        let cut = self.raw.response.head_bytes == 0 && self.life.only_cut();
        if cut { self.answer_sent() } else { self.response_head() }
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.exchange.status()
    }
}

/// Whether requests of this method hardly ever have a body.
fn is_bodyless(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head | Method::Options)
}

/// Bytes of a request's head. Where the snap length cut that off, all that its server had of one that has no body, when it
/// answered or closed.
fn request_head(exchange: ExchangeView<'_>) -> u64 {
    let (request, response) = (&exchange.raw.request, &exchange.raw.response);
    let lost = request.head_bytes == 0 && request.state == MessageState::Lossy;
    if !lost || !is_bodyless(exchange.raw.method) || exchange.raw.flags.has(ExchangeFlags::PIPELINED) {
        return head_bytes(request);
    }
    let life = Life::of(exchange.connection());
    let closed = || life.server_ended().filter(|end| end.has_ack).map(|end| end.ack);
    let had = if response.is_present() { Some(response.ack) } else { closed() };
    let had = had.filter(|&ack| life.only_cut() && at_least(ack, request.seq));
    had.map_or(0, |ack| ack.wrapping_sub(request.seq).into())
}

fn head_bytes(message: &crate::http::Message) -> u64 {
    match message.head_bytes {
        0 if message.state == MessageState::Partial => message.wire_bytes,
        known => known.into(),
    }
}

/// A FIN this soon after the request was sent with it, and not because of how long the answer took.
pub(super) const RIGHT_BEHIND_NS: i64 = 1_000_000;

/// How long after its request the client closed its sending side, in nanoseconds.
pub(super) fn closed_after_ns(exchange: ExchangeView<'_>) -> Option<i64> {
    let (connection, request) = (exchange.connection(), &exchange.raw.request);
    let is_close = |event: &&Event| {
        event.kind == EventKind::Fin && event.from == Side::Client && event.frame >= request.last_frame
    };
    let fin = connection.events().iter().find(is_close)?;
    Some(fin.at.0.saturating_sub(request.end.0))
}

/// What the rules compare an exchange with; made when a rule first asks.
pub(super) struct Around<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) outcomes: &'a [Outcome],
    bursts: &'a [Vec<Burst>],
    links: OnceCell<Vec<LinkAround>>,
    refusals: OnceCell<Vec<Refusal>>,
    /// Who asked, and when, where nothing tells for which request.
    decided: OnceCell<Decided>,
    unclaimed: OnceCell<Vec<(LaneId, SessionTime)>>,
    sending: OnceCell<Sending>,
    strangers: OnceCell<Strangers>,
    never: OnceCell<BTreeSet<(LinkId, SocketAddr)>>,
}

/// An answer 413 to a lane, of which nothing tells for which request it asked.
struct Refusal {
    asked: LaneId,
    from: SessionTime,
    to: SessionTime,
}

/// What one link shows besides its faults.
#[derive(Default)]
pub(super) struct LinkAround {
    /// The largest request head that got a response other than a refusal of its size, in bytes.
    pub(super) served_head: u64,
    /// The smallest request head that was turned away without a response, in bytes.
    pub(super) dropped_head: Option<u64>,
    /// How long whole answers took, in nanoseconds, the quickest first.
    pub(super) latencies: Vec<i64>,
    /// Requests whose client closed its sending side before a byte of the answer: all, and those of which it did so at
    /// once.
    pub(super) closed_waiting: (u64, u64),
    /// By client address: when its last request began, and how many of its requests were answered.
    pub(super) clients: HashMap<IpAddr, (SessionTime, u64), foldhash::fast::FixedState>,
}

impl LinkAround {
    /// How long whole answers take at most, but for one in fifty: one slow download is no measure for the others.
    pub(super) fn slow_ns(&self) -> i64 {
        let usual = self.latencies.len() - self.latencies.len() / 50;
        usual.checked_sub(1).map_or(0, |at| self.latencies[at])
    }
}

impl<'a> Around<'a> {
    pub(super) fn new(analysis: &'a Analysis, diagnosis: &'a Diagnosis, bursts: &'a [Vec<Burst>]) -> Self {
        Self {
            analysis,
            outcomes: &diagnosis.outcomes,
            bursts,
            links: OnceCell::new(),
            refusals: OnceCell::new(),
            decided: OnceCell::new(),
            unclaimed: OnceCell::new(),
            sending: OnceCell::new(),
            strangers: OnceCell::new(),
            never: OnceCell::new(),
        }
    }

    /// Whether the client of this exchange is nobody's user.
    pub(super) fn is_by_stranger(&self, exchange: ExchangeView<'_>) -> bool {
        self.strangers.get_or_init(|| Strangers::find(self.analysis)).made(exchange.connection())
    }

    /// The bursts of the link of this exchange and among them the one in which its server went away and closed its connection; of a
    /// server with many of them the one that stands for all.
    pub(super) fn burst(&self, exchange: ExchangeView<'_>) -> Option<(&'a [Burst], usize)> {
        let bursts = &self.bursts[usize::from(exchange.link_id().0)];
        let own = |burst: &Burst| burst.is_end() && burst.holds(exchange.connection_id());
        let at = bursts.iter().position(own)?;
        Some((bursts, burst::told_for(bursts, at)))
    }

    /// Whether the server of this exchange closes on everybody at once.
    pub(super) fn answers_nobody(&self, exchange: ExchangeView<'_>) -> bool {
        let connection = exchange.connection().inner;
        let all = self.never.get_or_init(|| super::never::find(self.analysis));
        all.contains(&(connection.link, connection.server))
    }

    /// What the server of this exchange sends on, on the links behind it.
    pub(super) fn sent_on(&self, exchange: ExchangeView<'_>) -> SentOn {
        self.sending.get_or_init(|| Sending::find(self.analysis)).around(self.analysis, exchange)
    }

    /// Whether the server of this exchange asked somebody meanwhile, and nothing tells for which request.
    pub(super) fn may_have_asked(&self, exchange: ExchangeView<'_>) -> bool {
        let lane = self.analysis.link(exchange.link_id()).to;
        let all = self.unclaimed.get_or_init(|| self.unclaimed());
        let from = all.partition_point(|one| *one < (lane, exchange.started()));
        all.get(from).is_some_and(|one| *one <= (lane, exchange.settled()))
    }

    #[cold]
    fn unclaimed(&self) -> Vec<(LaneId, SessionTime)> {
        let is_check =
            |x: &ExchangeView<'_>| matches!(self.analysis.trees.orphan(x.id), Some(Orphan::HealthCheck));
        let mut serves = vec![false; self.analysis.topology.lanes.len()];
        for link in &self.analysis.topology.links {
            serves[usize::from(link.to.0)] = true;
        }
        if !self.analysis.topology.links.iter().any(|link| serves[usize::from(link.from.0)]) {
            return Vec::new();
        }
        // Nobody asks for those of lanes that are asked nothing themselves, and these are the many of the users.
        let asked = |x: ExchangeView<'_>| {
            let lane = self.analysis.link(x.link_id()).from;
            (serves[usize::from(lane.0)] && !is_check(&x)).then(|| (lane, x.started()))
        };
        let mut all: Vec<_> = self.orphans().filter_map(asked).collect();
        all.sort_unstable();
        all
    }

    /// Whether the server of this exchange may have been told 413 by somebody whom it asked meanwhile.
    pub(super) fn may_pass_on(&self, exchange: ExchangeView<'_>) -> bool {
        let lane = self.analysis.link(exchange.link_id()).to;
        let (from, to) = (exchange.started(), exchange.settled());
        let all = self.refusals.get_or_init(|| self.unclaimed_refusals());
        all.iter().any(|one| one.asked == lane && one.from <= to && from <= one.to)
    }

    /// Whether another 413 came within an exchange, on whatever link: where heads are cut nothing tells who asked for it.
    pub(super) fn may_hold_refusal(&self, exchange: ExchangeView<'_>) -> bool {
        let (from, to) = (exchange.started(), exchange.settled());
        let all = self.refusals.get_or_init(|| self.unclaimed_refusals());
        all.iter().any(|one| from < one.from && one.to < to)
    }

    #[cold]
    fn unclaimed_refusals(&self) -> Vec<Refusal> {
        let refusal = |x: ExchangeView<'_>| Refusal {
            asked: self.analysis.link(x.link_id()).from,
            from: x.started(),
            to: x.settled(),
        };
        self.orphans().filter(|x| x.status() == Some(413)).map(refusal).take(MOST_REFUSALS).collect()
    }

    fn orphans(&self) -> impl Iterator<Item = ExchangeView<'_>> {
        self.analysis.exchanges().filter(|x| self.analysis.trees.parent(x.id).is_none())
    }

    /// The kinds of requests that were closed on without an answer.
    pub(super) fn decided(&self) -> &Decided {
        self.decided.get_or_init(|| Decided::find(self.analysis, self.outcomes, std::iter::empty()))
    }

    pub(super) fn link(&self, link: LinkId) -> &LinkAround {
        &self.links.get_or_init(|| self.all())[usize::from(link.0)]
    }

    #[cold]
    fn all(&self) -> Vec<LinkAround> {
        let analysis = self.analysis;
        let mut links = Vec::new();
        links.resize_with(analysis.topology.links.len(), LinkAround::default);
        for connection in analysis.connections() {
            let around = &mut links[usize::from(connection.inner.link.0)];
            for exchange in connection.exchanges().filter(|x| x.raw.request.is_present()) {
                let outcome = self.outcomes[exchange.id.0 as usize];
                let client = around.clients.entry(connection.inner.client.ip()).or_default();
                client.0 = client.0.max(exchange.started());
                let head = request_head(exchange);
                if outcome == Outcome::NoResponse {
                    around.dropped_head = Some(around.dropped_head.map_or(head, |known| known.min(head)));
                }
                if let Some(after_ns) =
                    closed_after_ns(exchange).filter(|_| !exchange.raw.response.is_present())
                {
                    around.closed_waiting.0 += 1;
                    around.closed_waiting.1 += u64::from(after_ns <= RIGHT_BEHIND_NS);
                }
                if outcome != Outcome::Complete {
                    continue;
                }
                client.1 += 1;
                around.latencies.extend(exchange.latency_ns());
                if !exchange.status().is_some_and(|status| matches!(status, 400 | 414 | 431 | 494)) {
                    around.served_head = around.served_head.max(head);
                }
            }
        }
        for around in &mut links {
            around.latencies.sort_unstable();
        }
        links
    }
}

/// Whether the answer of this attempt was whole, and the proxy refused it all the same: it answered 502 or 503, or closed in
/// place of an answer, as HAProxy does where its server connection ends badly.
pub(super) fn is_refused(analysis: &Analysis, id: ExchangeId) -> bool {
    let exchange = analysis.exchange(id);
    let Some(parentage) = analysis.trees.parent(id) else { return false };
    let parent = analysis.exchange(parentage.parent);
    // Varnish says 503 of whatever it fetches in vain.
    let gateways = matches!(parent.status(), Some(502 | 503));
    let closed =
        || !parent.raw.response.is_present() && Life::of(parent.connection()).server_ended().is_some();
    (gateways && parent.status() != exchange.status() || closed()) && exchange.next_attempt().is_none()
}
