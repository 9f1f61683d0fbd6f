//! The story of one connection as sentences in time order, with what follows from it on other links.

use std::collections::BTreeMap;

use crate::analysis::{Analysis, ConnectionView, ExchangeView, MAX_COMMENTS};
use crate::capture::{Frame, SessionTime};
use crate::http::{ExchangeFlags, MessageState};
use crate::tcp::{Event, EventKind, Opening, Side};
use crate::topology::{ConnectionId, ExchangeId, LinkId};

use super::habits::Habits;
use super::life::{Life, at_least};
use super::step_words;
use super::wire_steps::WireTeller;
use super::words::{counted, duration, grouped};
use super::{Outcome, RejectForm};

/// What a step shows, for its icon and colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepKind {
    /// The connection opens.
    Open,
    /// The connection could not be opened.
    Refused,
    /// A request.
    Request,
    /// A response.
    Response,
    /// A side finishes sending.
    Fin,
    /// A side acknowledges the other's FIN.
    FinAcked,
    /// A side resets.
    Reset,
    /// Something that the transport did.
    #[default]
    Transport,
    /// Bytes that the capture does not hold.
    Loss,
    /// A PROXY header.
    Proxy,
    /// The handshake of TLS, and what is encrypted.
    Encrypted,
    /// The connection becomes another protocol's.
    HandOver,
    /// What the application wrote beside its answer.
    Aside,
    /// What followed on another link.
    Consequence,
    /// Another attempt at the same request.
    Retry,
}

/// One step of the story.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: SessionTime,
    /// The packet.
    pub frame: Option<Frame>,
    /// What happened, in a few words.
    pub title: String,
    /// What to know about it; may be empty.
    pub hint: String,
    /// What it means, as a sentence in plain words; never empty.
    pub plain: String,
    /// What kind of step it is.
    pub kind: StepKind,
    /// The exchange that it is about.
    pub exchange: Option<ExchangeId>,
    /// Whether it is an answer that says itself that the request failed, such as a 502.
    pub failure: bool,
    /// Whether it proves a verdict.
    pub proof: bool,
    /// Why it proves the finding, with sequence numbers counted as Wireshark does; empty where it proves nothing.
    pub why: String,
    /// What the capture says of the packet: its comments.
    pub comments: Vec<String>,
}

/// The story of one connection.
pub fn steps(analysis: &Analysis, id: ConnectionId) -> Vec<Step> {
    Stories::new(analysis).steps(id)
}

/// The stories of many connections: what a story asks of its whole link is found out once.
pub struct Stories<'a> {
    analysis: &'a Analysis,
    closes_after_each: BTreeMap<LinkId, bool>,
}

impl<'a> Stories<'a> {
    /// None is told yet.
    pub fn new(analysis: &'a Analysis) -> Self {
        Self { analysis, closes_after_each: BTreeMap::new() }
    }

    /// The story of one connection.
    pub fn steps(&mut self, id: ConnectionId) -> Vec<Step> {
        let connection = self.analysis.connection(id);
        let teller = self.teller(connection);
        let wire = WireTeller { connection, names: teller.names };
        let mut all: Vec<Step> = teller.opening().into_iter().collect();
        // Steps of one packet stay in this order: a FIN comes behind what its packet carries.
        wire.before(&mut all);
        all.extend(connection.events().iter().filter_map(|event| teller.event(event)));
        for exchange in connection.exchanges() {
            teller.messages(exchange, &mut all);
        }
        wire.behind(&mut all);
        for exchange in connection.exchanges().filter(ExchangeView::is_failure) {
            consequences(exchange, &mut all);
        }
        all.sort_by_key(|step| (step.at, step.frame));
        for step in &mut all {
            let comments = step.frame.into_iter().flat_map(|frame| self.analysis.comments(frame));
            step.comments = comments.take(MAX_COMMENTS).map(str::to_owned).collect();
        }
        all
    }

    fn teller(&mut self, connection: ConnectionView<'a>) -> Teller<'a> {
        let analysis = self.analysis;
        let link = connection.inner.link;
        let rejected = connection.exchanges().find(|x| x.outcome() == Outcome::Rejected);
        // The statistics of a whole link are only worth their time where they explain something.
        let closes_after_each = rejected.is_some()
            && *self
                .closes_after_each
                .entry(link)
                .or_insert_with(|| Habits::of(analysis, link).closes_after_each());
        let link = analysis.link(link);
        Teller {
            connection,
            life: Life::of(connection),
            names: [&analysis.lane(link.from).name, &analysis.lane(link.to).name],
            rejected,
            closes_after_each,
        }
    }
}

/// Tells one connection in the names of its lanes.
struct Teller<'a> {
    connection: ConnectionView<'a>,
    life: Life<'a>,
    names: [&'a str; 2],
    rejected: Option<ExchangeView<'a>>,
    closes_after_each: bool,
}

impl<'a> Teller<'a> {
    fn name(&self, side: Side) -> &'a str {
        self.names[side as usize]
    }

    fn step(&self, event: &Event, kind: StepKind, title: String, hint: impl Into<String>) -> Step {
        Step {
            at: self.connection.time(event.at, event.frame),
            frame: Some(self.connection.frame(event.frame)),
            title,
            hint: hint.into(),
            plain: step_words::event(
                event.kind,
                event.from,
                self.name(event.from),
                self.name(event.from.peer()),
            ),
            kind,
            ..Step::default()
        }
    }

    /// The handshake as one step.
    fn opening(&self) -> Option<Step> {
        let events = self.connection.events();
        let syn = events.iter().find(|event| event.kind == EventKind::Syn)?;
        let last = events.iter().rfind(|e| matches!(e.kind, EventKind::SynAck | EventKind::Established));
        let took = last.map(|event| duration(event.at.0.saturating_sub(syn.at.0))).unwrap_or_default();
        let (kind, title, hint) = match self.life.flow.opening {
            Opening::Handshake | Opening::MidStream => {
                (StepKind::Open, "SYN, SYN-ACK, ACK".to_owned(), format!("3-way handshake, {took}"))
            }
            Opening::Refused => {
                (StepKind::Refused, "SYN".to_owned(), format!("{} refuses it", self.names[1]))
            }
            Opening::Unanswered => {
                let tries = events.iter().filter(|event| event.kind == EventKind::Syn).count() as u64;
                (StepKind::Refused, "SYN".to_owned(), format!("no answer to {}", counted(tries, "SYN")))
            }
        };
        let plain = step_words::opening(self.life.flow.opening, self.names);
        Some(Step { plain, ..self.step(syn, kind, title, hint) })
    }

    fn event(&self, event: &Event) -> Option<Step> {
        let (name, peer) = (self.name(event.from), self.name(event.from.peer()));
        Some(match event.kind {
            EventKind::Syn | EventKind::SynAck | EventKind::Established => return None,
            EventKind::Fin => self.fin(event),
            EventKind::FinAcked => {
                let knows = event.from == Side::Client && self.life.server_fin.is_some();
                let hint = if knows { "its kernel knows" } else { "" };
                self.step(event, StepKind::FinAcked, format!("{name} acknowledges the FIN"), hint)
            }
            EventKind::Rst => self.reset(event),
            EventKind::DataAfterFin => {
                let title = format!("{name} sends {} after its FIN", counted(event.len.into(), "byte"));
                self.step(event, StepKind::Transport, title, "")
            }
            EventKind::Hole => {
                let title = format!("{} from {name} missing", counted(event.len.into(), "byte"));
                let arrived = self.life.flow.arrived_of(event);
                let hint = step_words::hole(event.len, arrived, peer);
                let plain = step_words::lost(event.len, arrived, [name, peer]);
                Step { plain, ..self.step(event, StepKind::Loss, title, hint) }
            }
            EventKind::ZeroWindow => {
                let title = format!("{name} closes its window");
                self.step(event, StepKind::Transport, title, format!("{peer} must wait"))
            }
            EventKind::WindowOpened => {
                self.step(event, StepKind::Transport, format!("{name} opens its window again"), "")
            }
            EventKind::Retransmission => {
                let title = format!("{name} sends {} again", counted(event.len.into(), "byte"));
                self.step(event, StepKind::Transport, title, "retransmission")
            }
            EventKind::KeepAlive => self.step(
                event,
                StepKind::Transport,
                format!("{name} probes whether {peer} lives"),
                "keep-alive",
            ),
            EventKind::WindowProbe => {
                self.step(event, StepKind::Transport, format!("{name} probes the closed window"), "")
            }
            EventKind::Unreachable => {
                let (kind, code) = event.icmp().unwrap_or_default();
                let title = format!("ICMP error for a packet of {name}");
                self.step(event, StepKind::Transport, title, format!("type {kind}, code {code}"))
            }
            EventKind::StrayRst => {
                let title = format!("RST in the name of {name}, outside of the window");
                self.step(event, StepKind::Transport, title, format!("{peer} ignores it"))
            }
        })
    }

    fn fin(&self, event: &Event) -> Step {
        let hint = match event.from {
            Side::Server if self.closes_after_each => "it keeps no connections".to_owned(),
            Side::Server => {
                self.idle_before(event).map_or(String::new(), |idle| format!("after {idle} idle"))
            }
            Side::Client => String::new(),
        };
        let mut step = self.step(event, StepKind::Fin, format!("{} sends FIN", self.name(event.from)), hint);
        if event.from == Side::Server && self.rejected.is_some() {
            step.why = format!(
                "{} closes its side with this FIN (seq {}) and reads no further request.",
                self.names[1],
                self.relative(Side::Server, event.seq)
            );
        }
        step
    }

    /// How long the connection was idle before this event, where it was idle for long.
    fn idle_before(&self, event: &Event) -> Option<String> {
        let last = self.connection.exchanges().filter(|x| x.raw.response.is_complete()).last()?;
        let idle = event.at.0.saturating_sub(last.raw.response.end.0);
        (idle >= 100_000_000).then(|| duration(idle))
    }

    fn reset(&self, event: &Event) -> Step {
        let name = self.name(event.from);
        let answers = event.from == Side::Server
            && (self.rejected.is_some() || self.life.flow.opening == Opening::Refused);
        let title = if answers { format!("{name} answers RST") } else { format!("{name} resets (RST)") };
        let mut step = self.step(event, StepKind::Reset, title, "");
        let Some(rejected) = self.rejected.filter(|_| answers) else { return step };
        let number = rejected.raw.ordinal;
        step.hint = format!("request {number} is rejected");
        step.exchange = Some(rejected.id);
        step.proof = true;
        step.why = self.why_rejected(rejected);
        step
    }

    fn messages(&self, exchange: ExchangeView<'_>, all: &mut Vec<Step>) {
        let raw = exchange.raw;
        let number = raw.ordinal;
        if let Some((first, last)) = exchange.frames(&raw.request) {
            let frames = if first == last {
                format!("frame {}", first.number)
            } else {
                format!("frames {}–{}", first.number, last.number)
            };
            let proof = exchange.outcome() == Outcome::Rejected;
            all.push(Step {
                at: self.connection.time(raw.request.start, raw.request.first_frame),
                frame: Some(first),
                title: format!("request {number} {} {}", exchange.method(), exchange.target()),
                hint: frames,
                plain: step_words::request(&exchange, self.names),
                kind: StepKind::Request,
                exchange: Some(exchange.id),
                proof,
                why: if proof { self.why_rejected(exchange) } else { String::new() },
                ..Step::default()
            });
        }
        if let Some((_, last)) = exchange.frames(&raw.response) {
            let hint = match raw.response.state {
                MessageState::Complete => "complete",
                MessageState::Lossy => "the capture misses bytes",
                MessageState::Partial | MessageState::Absent => "cut short",
            };
            let status = exchange.status().map_or("?".to_owned(), |status| status.to_string());
            let silent = raw.flags.has(ExchangeFlags::NO_OUTPUT);
            let title = match raw.flags.refusal().filter(|_| silent) {
                Some(name) => format!("request {number} is ended: {name}"),
                None if silent => format!("request {number} is ended without an answer"),
                None => format!("response {number}: {status}, {} B", grouped(raw.response.wire_bytes)),
            };
            let hint = if silent { "no output" } else { hint };
            all.push(Step {
                at: self.connection.time(raw.response.end, raw.response.last_frame),
                frame: Some(last),
                title,
                hint: hint.to_owned(),
                plain: step_words::response(&exchange, self.names),
                kind: StepKind::Response,
                exchange: Some(exchange.id),
                failure: silent || exchange.status().is_some_and(|status| status >= 500),
                proof: exchange.outcome() == Outcome::Truncated,
                ..Step::default()
            });
        }
    }

    /// Why the packets prove that this request was rejected, by their acknowledgement numbers.
    fn why_rejected(&self, exchange: ExchangeView<'_>) -> String {
        let Some(rejection) = exchange.rejection() else { return String::new() };
        let (number, [from, to]) = (exchange.raw.ordinal, self.names);
        let ack = self.relative(Side::Server, exchange.raw.request.ack);
        let idle = duration(rejection.idle_ns);
        match rejection.form {
            RejectForm::StalePick => format!(
                "Request {number} acknowledges FIN+1 (ack {ack}): {from} had the FIN before it sent. A stale pick, \
                 no race on the wire."
            ),
            RejectForm::FinInFlight => format!(
                "Request {number} does not acknowledge the FIN (ack {ack}): FIN and request crossed on the wire. \
                 A true race."
            ),
            RejectForm::QueuedReset => match self.life.server_rst.filter(|rst| rst.has_ack) {
                Some(rst) if at_least(rst.ack, exchange.raw.request.end_seq()) => format!(
                    "The RST acknowledges all of request {number} (ack {}): it lay unread at {to} when {to} closed.",
                    self.relative(Side::Client, rst.ack)
                ),
                _ => format!("{to} reset with request {number} unanswered, and had sent no FIN before."),
            },
            RejectForm::Swallowed => format!(
                "{to} acknowledged request {number} and then closed without a byte of an answer: it read the \
                 request and dropped it."
            ),
            RejectForm::IdleReset => format!(
                "After {idle} idle request {number} was reset, and no side had closed: the connection was forgotten."
            ),
            RejectForm::BlackHole => {
                format!("After {idle} idle request {number} was sent again and again, and nothing came back.")
            }
            RejectForm::WriteToDead => {
                format!("The RST was sent before {to} had request {number}: the connection was dead already.")
            }
        }
    }

    /// A sequence number counted from the side's first one, as Wireshark shows it.
    fn relative(&self, side: Side, number: u32) -> String {
        match self.life.flow.direction(side).isn {
            Some(isn) => number.wrapping_sub(isn).to_string(),
            None => format!("{number} absolute"),
        }
    }
}

/// What the failure of an exchange led to on the links towards the user: another attempt, or an answer.
fn consequences(exchange: ExchangeView<'_>, all: &mut Vec<Step>) {
    let analysis = exchange.analysis;
    let mut failed = exchange;
    // Bounded like every walk up a tree, against a cycle.
    for _ in 0..64 {
        let Some(parentage) = analysis.trees.parent(failed.id) else { return };
        if let Some(retry) = failed.next_attempt().map(|id| analysis.exchange(id)) {
            let lane = &analysis.lane(analysis.link(retry.link_id()).from).name;
            let port = retry.connection().inner.client.port();
            let number = retry.raw.request.first_frame;
            all.push(Step {
                at: retry.started(),
                frame: (number > 0).then(|| retry.connection().frame(number)),
                title: format!("{lane} retries"),
                hint: format!("attempt {} on :{port}", retry.attempt()),
                plain: step_words::retry(lane),
                kind: StepKind::Retry,
                exchange: Some(retry.id),
                ..Step::default()
            });
            return;
        }
        let parent = analysis.exchange(parentage.parent);
        let link = analysis.link(parent.link_id());
        if let Some(status) = parent.status() {
            let number = parent.raw.response.first_frame;
            let (lane, caller) = (&analysis.lane(link.to).name, &analysis.lane(link.from).name);
            all.push(Step {
                at: analysis.session_time(
                    parent.capture,
                    parent.raw.response.start,
                    parent.raw.response.first_frame,
                ),
                frame: (number > 0).then(|| parent.connection().frame(number)),
                title: format!("{lane} → {caller}: {status}"),
                hint: "consequence".to_owned(),
                plain: step_words::consequence(lane, caller, status),
                kind: StepKind::Consequence,
                exchange: Some(parent.id),
                ..Step::default()
            });
        }
        if !parent.is_failure() {
            return;
        }
        failed = parent;
    }
}
