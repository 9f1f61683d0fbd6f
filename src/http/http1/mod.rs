//! HTTP/1: both streams of one connection to exchanges.

mod heads;
mod pairing;

use crate::capture::{CaptureTime, ProblemKind, Problems};
use crate::tcp::{Chunk, Flow, Hole, Side, seq_diff};

use super::load::Context;
use super::protocols::Wire;
use super::sniff;
use super::stream::{HoleFate, Progress, Stage, Stream};
use super::tls::Tls;
use super::{Exchange, ExchangeFlags, Framing, HandOver, Method, NameId, Protocol, Version};

pub(super) use pairing::empty_exchange;

/// Exchanges of a usual connection.
const USUAL_EXCHANGES: usize = 64;
/// A close this long after the last byte of a body is no part of sending it.
const LATE_CLOSE_NS: i64 = 1_000_000_000;
/// A server that closes this long after the last byte of a request had been waiting for the rest: no path is that slow.
const UNFINISHED_NS: i64 = 500_000_000;

/// The exchanges of one connection in the making.
#[derive(Debug, Default)]
pub(super) struct Http1 {
    pub requests: Stream,
    responses: Stream,
    exchanges: Vec<Exchange>,
    /// How many of the exchanges have had their response (or have lost it).
    answered: usize,
    /// How many of them have had their request: those behind are responses that were read ahead of theirs.
    asked: usize,
    server: Option<NameId>,
    /// The first `Via` of its answers.
    via: Option<NameId>,
    /// Start of the first and end of the last hole in the responses, until a response is paired again.
    response_hole: Option<(u32, u32)>,
    /// What the connection carries since a CONNECT or an upgrade succeeded: no HTTP/1 any more.
    hand_over: Option<Box<HandOver>>,
    /// The request is one of HTTP/0.9: the answer has no head.
    simple: bool,
    /// What TLS shows inside a tunnel.
    tunnelled: Option<Box<Tls>>,
    /// Whether responses may be those of a gateway interface: header fields and no status line.
    pub gateway: bool,
    /// The last response announced a body that it cannot have (RFC 9112, section 6.3: HEAD, 204, 304).
    unwanted_body: bool,
    /// Which side's bytes the capture misses some of.
    lost: [bool; 2],
}

impl Wire for Http1 {
    #[inline]
    fn data(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        if !self.stream(from).continue_body(chunk) {
            self.messages(from, chunk, context);
        }
        if from == Side::Server
            && let [only] = &mut self.exchanges[..]
            && only.status.is_some_and(|status| status.get() == 400)
        {
            note_plain_to_tls(only, chunk.data);
        }
    }

    fn hole(&mut self, from: Side, hole: &Hole, context: &mut Context) {
        if self.stream(from).stage == Stage::Closed {
            if let Some(tls) = &mut self.tunnelled {
                tls.hole(from, hole, context);
            }
            return;
        }
        match self.stream(from).hole(hole) {
            HoleFate::Inside => {
                self.mark_body_hole(from);
                return;
            }
            HoleFate::Ends => {
                self.mark_body_hole(from);
                self.end_message(from, true, Some(hole.at), context);
                return;
            }
            HoleFate::Breaks => {}
        }
        self.lost[from as usize] = true;
        self.flag_near_hole();
        if self.stream(from).in_message() {
            self.flush(from, context);
        }
        // Behind the response that the hole cut, which began before it.
        if from == Side::Server {
            let start = self.response_hole.map_or(hole.seq, |(start, _)| start);
            self.response_hole = Some((start, hole.seq.wrapping_add(hole.len)));
        }
        self.stream(from).stage = Stage::Lost;
    }

    fn fin(&mut self, from: Side, at: CaptureTime, context: &mut Context) {
        if self.stream(from).stage == Stage::UntilClose {
            self.note_late_close(from, at);
            self.end_message(from, true, Some(at), context);
        }
        if from == Side::Server && self.is_left_unfinished(at) {
            self.flush(Side::Client, context);
            self.requests.stage = Stage::Lost;
        }
    }

    fn close(&mut self, flow: &mut Flow, context: &mut Context) -> Vec<Exchange> {
        for side in [Side::Client, Side::Server] {
            self.flush(side, context);
        }
        self.settle_start(flow);
        flow.protocol = self.protocol(flow);
        if let Some(name) = self.server {
            context.note_server(flow.server, name);
        }
        if let Some(name) = self.via {
            context.note_via(flow.server, name);
        }
        if let Some(tls) = self.tunnelled.take() {
            flow.wire.tls = tls.into_facts(flow, true, context);
        }
        flow.wire.hand_over = self.hand_over.take();
        if let Some(hand_over) = &mut flow.wire.hand_over {
            let asked = self.exchanges.iter().rposition(|x| x.flags.has(ExchangeFlags::TUNNEL));
            hand_over.ordinal = asked.map_or(0, |at| at as u32 + 1);
        }
        std::mem::take(&mut self.exchanges)
    }
}

/// What nginx, Apache httpd and Go's server say in a 400 when a plain HTTP request comes to a TLS port.
const WANTS_TLS: [&[u8]; 3] = [
    b"plain HTTP request was sent to HTTPS port",
    b"speaking plain HTTP to an SSL-enabled server port",
    b"sent an HTTP request to an HTTPS server",
];

/// Looks for these words in a part of the first response, which is a 400.
#[cold]
fn note_plain_to_tls(exchange: &mut Exchange, bytes: &[u8]) {
    if WANTS_TLS.iter().any(|words| memchr::memmem::find(bytes, words).is_some()) {
        exchange.flags.set(ExchangeFlags::PLAIN_TO_TLS);
    }
}

impl Http1 {
    /// Forgets everything but the room of its lists; whether that is no more than usual connections need.
    pub fn renew(&mut self, mut exchanges: Vec<Exchange>) -> bool {
        exchanges.clear();
        let (requests, responses) = (self.requests.renewed(), self.responses.renewed());
        let is_small = exchanges.capacity() <= USUAL_EXCHANGES;
        *self = Self { requests, responses, exchanges, ..Self::default() };
        is_small
    }

    /// Takes bytes in which messages begin or end. Apart from the usual way, so that this need not save what it uses.
    #[inline(never)]
    fn messages(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        let mut rest = *chunk;
        self.stream(from).first_seq.get_or_insert(chunk.seq);
        while !rest.data.is_empty() {
            let used = self.step(from, &rest, context).clamp(1, rest.data.len());
            rest = rest.behind(used);
        }
        self.stream(from).next_seq = Some(rest.seq);
    }

    /// The sides were taken one for the other. No message was read until now, or its start had told them apart.
    #[cold]
    pub fn swap_sides(&mut self) {
        if self.exchanges.is_empty() {
            std::mem::swap(&mut self.requests, &mut self.responses);
            self.lost.swap(0, 1);
            for stream in [&mut self.requests, &mut self.responses] {
                if stream.in_message() {
                    stream.discard();
                    stream.stage = Stage::Lost;
                }
            }
        }
    }

    /// Whether the server agreed to go on in another protocol.
    pub fn is_handed_over(&self) -> bool {
        self.hand_over.is_some()
    }

    /// A body that ends with the connection: whether the close came long after its last byte.
    fn note_late_close(&mut self, from: Side, at: CaptureTime) {
        let late = at.0.saturating_sub(self.responses.message.end.0) >= LATE_CLOSE_NS;
        if from == Side::Server
            && late
            && let Some(exchange) = self.exchanges.get_mut(self.responses.exchange)
            && exchange.flags.has(ExchangeFlags::UNFRAMED)
        {
            exchange.flags.set(ExchangeFlags::LATE_CLOSE);
        }
    }

    /// Whether the server closes at this time without an answer to a request that stopped in the middle: what the client
    /// sends of it later is read by nobody. With the rest it would seem whole, and turned away.
    fn is_left_unfinished(&self, at: CaptureTime) -> bool {
        let requests = &self.requests;
        let unanswered = match requests.stage {
            Stage::Head => self.answered == self.exchanges.len(),
            _ => requests.in_message() && requests.exchange >= self.answered,
        };
        let silent = at.0.saturating_sub(requests.message.end.0) >= UNFINISHED_NS;
        unanswered && silent && !self.responses.in_message()
    }

    fn mark_body_hole(&mut self, from: Side) {
        let index = self.stream(from).exchange;
        if let Some(exchange) = self.exchanges.get_mut(index) {
            exchange.flags.set(ExchangeFlags::BODY_HOLE);
        }
    }

    fn stream(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Client => &mut self.requests,
            Side::Server => &mut self.responses,
        }
    }

    /// Takes bytes from the start of the chunk: how many.
    pub fn step(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) -> usize {
        let stage = self.stream(from).stage;
        match stage {
            Stage::Closed => {
                if let Some(tls) = &mut self.tunnelled {
                    tls.data(from, chunk, context);
                }
                if let Some(hand_over) = &mut self.hand_over {
                    hand_over.bytes[from as usize] += chunk.data.len() as u64;
                }
                chunk.data.len()
            }
            Stage::Idle => self.start(from, chunk, context),
            Stage::Head => self.continue_head(from, chunk, context),
            Stage::Lost => {
                let starts = match from {
                    Side::Client => {
                        sniff::starts_request(chunk.data) || sniff::has_method_and_target(chunk.data)
                    }
                    Side::Server => sniff::starts_response(chunk.data),
                };
                if !starts {
                    return chunk.data.len();
                }
                self.stream(from).stage = Stage::Idle;
                self.start(from, chunk, context)
            }
            Stage::Body(_) | Stage::ChunkSize | Stage::UntilClose
                if from == Side::Server
                    && self.responses.message.body_bytes == 0
                    && self.may_have_answered_head(chunk) =>
            {
                self.responses.message.framing = Framing::None;
                self.end_message(from, true, None, context);
                self.start(from, chunk, context)
            }
            Stage::UntilClose if from == Side::Server && self.resumes(chunk) => {
                let is_http = self.exchanges[self.answered].flags.has(ExchangeFlags::INVALID_HEADER);
                self.end_message(from, is_http, None, context);
                self.start(from, chunk, context)
            }
            _ => {
                let (used, progress) = self.stream(from).body(chunk);
                self.after(from, progress, context);
                used
            }
        }
    }

    /// Whether a response starts where the body of one should that answered a HEAD: one whose method was not known when
    /// it began, or is not known at all.
    fn may_have_answered_head(&self, chunk: &Chunk<'_>) -> bool {
        let method = self.exchanges.get(self.responses.exchange).map(|x| x.method);
        matches!(method, Some(Method::Missing | Method::Head)) && sniff::starts_response(chunk.data)
    }

    /// Whether a response starts here, behind bytes that stood in the place of one, or behind one whose length cannot be
    /// read: the client has asked again since, and would not have done so before that answer was over.
    fn resumes(&self, chunk: &Chunk<'_>) -> bool {
        let odd = ExchangeFlags::NOT_HTTP_RESPONSE | ExchangeFlags::INVALID_HEADER;
        let foreign = self.exchanges.get(self.answered).is_some_and(|x| x.flags.has(odd));
        let asked_again =
            self.exchanges.get(self.answered + 1).is_some_and(|x| seq_diff(chunk.ack, x.request.seq) > 0);
        foreign && asked_again && sniff::is_status_line(chunk.data)
    }

    fn after(&mut self, from: Side, progress: Progress, context: &mut Context) {
        if !self.stream(from).oddities.is_empty() {
            self.note_oddities(from, context);
        }
        match progress {
            Progress::More => {}
            Progress::Ended => self.end_message(from, true, None, context),
            Progress::Nonsense => {
                let stream = self.stream(from);
                let frame = stream.message.last_frame;
                context.report(
                    ProblemKind::LenientHttp,
                    format_args!(
                        "packet {frame}: chunked framing that makes no sense; the message was cut there"
                    ),
                );
                // Where it ends nobody can tell; that is not for want of bytes, so no close cut it short.
                let stream = self.stream(from);
                stream.lossy |= from == Side::Server;
                let index = stream.exchange;
                if let Some(exchange) = self.exchanges.get_mut(index) {
                    exchange.flags.set(ExchangeFlags::AMBIGUOUS_FRAMING);
                }
                self.end_message(from, false, None, context);
                self.stream(from).stage = Stage::Lost;
            }
        }
    }

    /// The message under way is over.
    fn end_message(&mut self, from: Side, complete: bool, at: Option<CaptureTime>, context: &mut Context) {
        let stream = self.stream(from);
        let index = stream.exchange;
        let message = stream.end(complete, at, &mut context.facts);
        let Some(exchange) = self.exchanges.get_mut(index) else { return };
        match from {
            Side::Client => exchange.request = message,
            Side::Server => {
                exchange.response = message;
                self.answered = self.answered.max(index + 1);
            }
        }
    }

    /// Keeps what there is of a message that will not go on.
    fn flush(&mut self, from: Side, context: &mut Context) {
        let stream = self.stream(from);
        if !stream.in_message() {
            return;
        }
        if stream.stage == Stage::Head {
            self.flush_head(from, context);
            if !self.stream(from).in_message() {
                return;
            }
        }
        self.end_message(from, false, None, context);
    }

    fn protocol(&self, flow: &Flow) -> Protocol {
        if let Some(hand_over) = &self.hand_over {
            return hand_over.protocol;
        }
        let versions = self
            .exchanges
            .iter()
            .map(|x| if x.request.is_present() { x.request.version } else { x.response.version });
        match versions.max() {
            Some(Version::Http09) => Protocol::Http09,
            Some(Version::Http11) => Protocol::Http11,
            Some(Version::Http10) => Protocol::Http10,
            None if flow.directions.iter().all(|d| d.bytes == 0) => Protocol::Empty,
            None => Protocol::Unknown,
        }
    }
}
