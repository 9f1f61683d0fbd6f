//! HTTP/1: both streams of one connection to exchanges, and which response answers which request.
//!
//! HTTP/1 answers in order (RFC 9112, section 9.3), so the next response belongs to the oldest request that
//! has none. Where the capture lost bytes this count would slip; acknowledgement numbers hold it: a server
//! cannot answer a request of which it has not acknowledged a byte, and a client that does not pipeline
//! sends its next request only once it has the answer.

use memchr::memchr;

use crate::capture::{CaptureTime, ProblemKind, Problems};
use crate::tcp::{Chunk, Flow, Hole, Opening, Side, seq_diff};

use super::familiar;
use super::head::{self, RequestHead, ResponseHead};
use super::load::Context;
use super::oddity::{Oddities, Oddity};
use super::protocols::Wire;
use super::sniff;
use super::stream::{HoleFate, MAX_HEAD, Progress, Stage, Stream};
use super::tls::Tls;
use super::{
    Exchange, ExchangeFlags, Framing, Message, MessageState, Method, NameId, Protocol, Text, Version,
};

/// Most requests that may wait for their response on one connection.
const MAX_PENDING: usize = 10_000;

/// Bytes of the shortest response: `HTTP/1.1 200` and two line ends.
const SHORTEST_RESPONSE: i32 = 16;

/// A close this long after the last byte of a body is no part of sending it.
const LATE_CLOSE_NS: i64 = 1_000_000_000;

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
    handed_over: Option<Protocol>,
    /// The request is one of HTTP/0.9: the answer has no head.
    simple: bool,
    /// What TLS shows inside a tunnel.
    tunnelled: Option<Box<Tls>>,
    /// Whether responses may be those of a gateway interface: header fields and no status line.
    pub gateway: bool,
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
        let stream = self.stream(from);
        if stream.stage == Stage::Closed {
            return;
        }
        match stream.hole(hole) {
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
            flow.wire.tls = tls.into_facts();
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
    /// Takes bytes in which messages begin or end.
    fn messages(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        let mut rest = *chunk;
        self.stream(from).first_seq.get_or_insert(chunk.seq);
        while !rest.data.is_empty() {
            let used = self.step(from, &rest, context).clamp(1, rest.data.len());
            rest = rest.behind(used);
        }
        self.stream(from).next_seq = Some(rest.seq);
    }

    /// Takes back what holds only for a connection of which the start was captured.
    fn settle_start(&mut self, flow: &Flow) {
        let asked =
            self.exchanges.iter().position(|x| x.request.is_present()).unwrap_or(self.exchanges.len());
        let start = flow.directions[0].isn.map(|isn| isn.wrapping_add(1));
        for exchange in &mut self.exchanges[..asked] {
            if start != Some(exchange.response.ack) {
                exchange.flags.clear(ExchangeFlags::UNSOLICITED);
            }
        }
        // Without the start, what looks like the first answer may be the middle of another.
        if flow.opening == Opening::MidStream
            && let Some(first) = self.exchanges.iter_mut().find(|x| x.response.is_present())
            && first.flags.has(ExchangeFlags::NOT_HTTP_RESPONSE)
        {
            first.flags.clear(ExchangeFlags::NOT_HTTP_RESPONSE);
            first.flags.set(ExchangeFlags::NEAR_HOLE);
            first.response.state = MessageState::Lossy;
        }
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
                self.end_message(from, false, None, context);
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

    /// Whether a response starts here, behind bytes that stood in the place of one: the client has asked again since, and
    /// would not have done so before that answer was over.
    fn resumes(&self, chunk: &Chunk<'_>) -> bool {
        let foreign =
            self.exchanges.get(self.answered).is_some_and(|x| x.flags.has(ExchangeFlags::NOT_HTTP_RESPONSE));
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
                self.end_message(from, false, None, context);
                self.stream(from).stage = Stage::Lost;
            }
        }
    }

    /// Between messages: skips empty lines, then a message starts, or nonsense.
    fn start(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) -> usize {
        if let Some(used) = self.usual_head(from, chunk, context) {
            return used;
        }
        let empty = chunk.data.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
        if empty > 0 {
            on_empty_lines(from, chunk.frame, context);
            return empty;
        }
        let plausible = match from {
            Side::Client => sniff::may_become_request(chunk.data) && !sniff::is_http2_preface(chunk.data),
            Side::Server => {
                sniff::may_become_response(chunk.data) || self.gateway && chunk.data[0].is_ascii_alphabetic()
            }
        };
        if !plausible {
            self.on_foreign_bytes(from, chunk, context);
            return chunk.data.len();
        }
        let stream = self.stream(from);
        stream.begin(chunk);
        match head::head_end(chunk.data) {
            Some(end) => {
                stream.account(chunk, end.len);
                self.on_head(from, &chunk.data[..end.len], end.crlf, context);
                end.len
            }
            None => self.carry_head(from, chunk, context),
        }
    }

    /// Takes a whole head as nearly all are.
    #[inline]
    fn usual_head(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) -> Option<usize> {
        if from == Side::Client {
            let (head, len) = familiar::request(chunk.data, chunk.frame, context)?;
            self.requests.begin_with_head(chunk, len);
            self.on_request(&head, context);
            return Some(len);
        }
        if self.gateway {
            return None;
        }
        let (head, len) = familiar::response(chunk.data, chunk.frame, context)?;
        self.responses.begin_with_head(chunk, len);
        self.on_response(&head, context);
        Some(len)
    }

    fn continue_head(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) -> usize {
        let stream = self.stream(from);
        let known = stream.carry.len();
        // Only the few bytes before the seam can be part of the empty line.
        let seam: Vec<u8> = stream.carry[known.saturating_sub(3)..].to_vec();
        let probe: Vec<u8> = seam.iter().chain(chunk.data).copied().collect();
        let Some(end) = head::head_end(&probe) else { return self.carry_head(from, chunk, context) };
        let used = end.len.saturating_sub(seam.len());
        stream.account(chunk, used);
        let mut whole = std::mem::take(&mut stream.carry);
        whole.extend_from_slice(&chunk.data[..used]);
        let crlf = head::head_end(&whole).is_some_and(|end| end.crlf);
        self.on_head(from, &whole, crlf, context);
        used
    }

    #[cold]
    fn note_oddities(&mut self, from: Side, context: &mut Context) {
        let stream = self.stream(from);
        let (odd, index, frame) =
            (std::mem::take(&mut stream.oddities), stream.exchange, stream.message.first_frame);
        context.note(odd, frame);
        if let Some(exchange) = self.exchanges.get_mut(index)
            && odd.is_ambiguous()
        {
            exchange.flags.set(ExchangeFlags::AMBIGUOUS_FRAMING);
        }
    }

    fn carry_head(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) -> usize {
        let stream = self.stream(from);
        stream.account(chunk, chunk.data.len());
        stream.carry.extend_from_slice(chunk.data);
        if from == Side::Client && self.exchanges.is_empty() && sniff::is_simple_request(&self.requests.carry)
        {
            let line = std::mem::take(&mut self.requests.carry);
            self.requests.note_head(&line);
            let head = head::simple_request(&line, context);
            self.simple = true;
            self.on_request(&head, context);
            return chunk.data.len();
        }
        if from == Side::Client
            && let Some(end) = memchr(b'\n', &self.requests.carry)
            && !sniff::resembles_request_line(&self.requests.carry[..end])
        {
            self.on_no_request();
            return chunk.data.len();
        }
        let stream = self.stream(from);
        if stream.carry.len() > MAX_HEAD {
            context.report(
                ProblemKind::LimitReached,
                format_args!(
                    "packet {}: a message head of more than {MAX_HEAD} bytes; the rest was skipped",
                    chunk.frame
                ),
            );
            self.flush(from, context);
            self.stream(from).stage = Stage::Lost;
        }
        chunk.data.len()
    }

    /// The bytes start no message.
    fn on_foreign_bytes(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        if from == Side::Server && !self.lost[Side::Server as usize] {
            self.on_foreign_response(chunk, context);
        } else {
            self.lost[from as usize] = true;
            self.stream(from).stage = Stage::Lost;
        }
    }

    /// The server sends what starts no response: behind one that is complete, or in place of one.
    #[cold]
    fn on_foreign_response(&mut self, chunk: &Chunk<'_>, context: &mut Context) {
        if self.simple {
            self.responses.begin(chunk);
            let index = self.exchange_for_response();
            self.responses.exchange = index;
            self.responses.message.version = Version::Http09;
            self.exchanges[index].response = self.responses.message;
            self.responses.start_body(Framing::UntilClose);
            let (_, progress) = self.responses.body(chunk);
            return self.after(Side::Server, progress, context);
        }
        self.responses.stage = Stage::Lost;
        let awaited =
            self.exchanges.get(self.answered).is_some_and(|x| seq_diff(chunk.ack, x.request.seq) > 0);
        match self.answered.checked_sub(1).and_then(|at| self.exchanges.get_mut(at)) {
            // Of a request that was not captured it is not known which answers have bodies.
            Some(before) if before.method == Method::Missing => {
                self.response_hole = self.response_hole.or(Some((chunk.seq, chunk.seq)));
            }
            Some(before)
                if before.response.is_complete()
                    && (!awaited || before.response.last_frame == chunk.frame) =>
            {
                before.flags.set(ExchangeFlags::EXTRA_BYTES);
            }
            _ if awaited => {
                self.responses.begin(chunk);
                self.responses.exchange = self.answered;
                self.exchanges[self.answered].flags.set(ExchangeFlags::NOT_HTTP_RESPONSE);
                self.exchanges[self.answered].response = self.responses.message;
                self.responses.start_body(Framing::UntilClose);
                let (_, progress) = self.responses.body(chunk);
                self.after(Side::Server, progress, context);
            }
            _ => {}
        }
    }

    fn on_head(&mut self, from: Side, bytes: &[u8], crlf: bool, context: &mut Context) {
        let stream = self.stream(from);
        stream.note_head(bytes);
        let frame = stream.message.first_frame;
        if from == Side::Client {
            match head::request(bytes, crlf, frame, context) {
                Some(head) => self.on_request(&head, context),
                None => self.on_no_request(),
            }
            return;
        }
        let head = if self.gateway {
            head::gateway_response(bytes, frame, context)
        } else {
            head::response(bytes, crlf, frame, context)
        };
        match head {
            Some(head) => self.on_response(&head, context),
            None => self.on_broken_response(context),
        }
    }

    /// What began as a request may begin is none.
    #[cold]
    fn on_no_request(&mut self) {
        self.requests.discard();
        self.lost[Side::Client as usize] = true;
        self.requests.stage = Stage::Lost;
    }

    /// A head that starts like a response and has no status line.
    #[cold]
    fn on_broken_response(&mut self, context: &mut Context) {
        let index = self.exchange_for_response();
        self.responses.exchange = index;
        self.exchanges[index].flags.set(ExchangeFlags::NOT_HTTP_RESPONSE);
        self.exchanges[index].response = self.responses.message;
        let progress = self.responses.start_body(Framing::UntilClose);
        self.after(Side::Server, progress, context);
    }

    pub fn on_request(&mut self, head: &RequestHead, context: &mut Context) {
        if self.exchanges.len() - self.answered >= MAX_PENDING {
            let frame = self.requests.message.first_frame;
            context.report(
                ProblemKind::LimitReached,
                format_args!("packet {frame}: more than {MAX_PENDING} requests wait for a response; the rest was skipped"),
            );
            self.requests.discard();
            self.requests.stage = Stage::Closed;
            return;
        }
        self.settle_lost_responses(context);
        let index = self.place_for_request();
        self.requests.message.version = head.version;
        self.requests.message.header_lines = head.header_lines;
        let pipelined = self.answered < index;
        let exchange = &mut self.exchanges[index];
        exchange.method = head.method;
        exchange.target = head.target;
        exchange.host = head.host;
        (exchange.headers, exchange.header_count) = head.headers;
        exchange.flags.set(head.flags);
        exchange.flags.clear(ExchangeFlags::UNSOLICITED);
        if pipelined {
            exchange.flags.set(ExchangeFlags::PIPELINED);
        }
        exchange.request = self.requests.message;
        self.requests.exchange = index;
        self.requests.digests_body = true;
        let progress = self.requests.start_body(head.framing);
        self.after(Side::Client, progress, context);
    }

    /// The exchange that a starting request belongs to: a new one, or that of a response which was read ahead of its
    /// request, because the capture recorded it so or because it took long to see that bytes of the request are missing.
    fn place_for_request(&mut self) -> usize {
        let seq = self.requests.message.seq;
        let ahead = &self.exchanges[self.asked..];
        // The first that was sent when a byte of this request was there.
        let first = ahead.iter().position(|x| seq_diff(x.response.ack, seq) > 0);
        let place = match first {
            // Several requests were sent together, and the capture misses some: it may be any of these answers.
            Some(first)
                if self.lost[Side::Client as usize]
                    && ahead.get(first + 1).is_some_and(|x| x.response.ack == ahead[first].response.ack) =>
            {
                let mut unknown = empty_exchange();
                unknown.flags.set(ExchangeFlags::NEAR_HOLE);
                unknown.response.state = MessageState::Lossy;
                self.exchanges.push(unknown);
                self.answered = self.exchanges.len();
                self.exchanges.len() - 1
            }
            Some(first) => self.asked + first,
            None => {
                self.exchanges.push(empty_exchange());
                self.exchanges.len() - 1
            }
        };
        self.asked = place + 1;
        place
    }

    /// A hole swallowed responses: a client that does not pipeline has had the answers to all its earlier
    /// requests once it acknowledges the hole and asks again.
    fn settle_lost_responses(&mut self, context: &mut Context) {
        let Some((_, hole_end)) = self.response_hole else { return };
        if self.answered >= self.exchanges.len() || seq_diff(self.requests.message.ack, hole_end) < 0 {
            return;
        }
        if self.responses.in_message() && self.responses.stage != Stage::Head {
            self.flush(Side::Server, context);
            self.responses.stage = Stage::Lost;
        }
        for exchange in &mut self.exchanges[self.answered..] {
            // What was asked behind the hole is answered behind it.
            if exchange.request.is_present() && seq_diff(exchange.request.ack, hole_end) >= 0 {
                break;
            }
            exchange.flags.set(ExchangeFlags::NEAR_HOLE);
            if !exchange.response.is_present() {
                exchange.response.state = MessageState::Lossy;
            }
            self.answered += 1;
        }
        self.response_hole = None;
    }

    fn on_response(&mut self, head: &ResponseHead, context: &mut Context) {
        self.server = self.server.or(head.server);
        self.via = self.via.or(head.via);
        if is_interim(head.status) {
            if let Some(pending) = self.exchanges.get_mut(self.answered) {
                pending.flags.set(ExchangeFlags::INTERIM);
                if head.status == 100 {
                    pending.flags.set(ExchangeFlags::CONTINUED);
                }
                let known = pending.request.head_bytes > 0;
                if known && !pending.flags.has(ExchangeFlags::EXPECTS_CONTINUE) {
                    pending.flags.set(ExchangeFlags::UNASKED_INTERIM);
                }
            }
            self.responses.discard();
            return;
        }
        let index = self.exchange_for_response();
        let request_open = self.requests.in_message() && self.requests.exchange == index;
        let exchange = &mut self.exchanges[index];
        let tunnel =
            head.status == 101 || exchange.method == Method::Connect && (200..300).contains(&head.status);
        let framing = if tunnel {
            Framing::Tunnel
        } else if exchange.method == Method::Head || matches!(head.status, 204 | 304) {
            Framing::None
        } else {
            head.framing
        };
        exchange.status = head::status(head.status);
        exchange.flags.set(head.flags);
        if framing != Framing::UntilClose {
            exchange.flags.clear(ExchangeFlags::UNFRAMED);
        }
        self.responses.message.header_lines = head.header_lines;
        for (flag, set) in [(ExchangeFlags::TUNNEL, tunnel), (ExchangeFlags::EARLY_RESPONSE, request_open)] {
            if set {
                exchange.flags.set(flag);
            }
        }
        self.responses.message.version = head.version;
        exchange.response = self.responses.message;
        self.responses.exchange = index;
        let progress = self.responses.start_body(framing);
        self.after(Side::Server, progress, context);
        if tunnel {
            self.requests.stage = Stage::Closed;
            self.responses.stage = Stage::Closed;
            self.handed_over = Some(head.upgrade.filter(|_| head.status == 101).unwrap_or(Protocol::Tunnel));
            self.tunnelled = Some(Box::default());
        }
    }

    /// The exchange that a starting response answers; an empty one when its request was not captured.
    fn exchange_for_response(&mut self) -> usize {
        let ack = self.responses.message.ack;
        if let Some((start, end)) = self.response_hole.take().or_else(|| self.unseen_start()) {
            self.skip_answered_in_hole(end, ack);
            if self.skip_ambiguous(start, ack) {
                let mut unknown = empty_exchange();
                unknown.flags.set(ExchangeFlags::NEAR_HOLE);
                self.insert_unasked(unknown);
                return self.answered;
            }
        }
        let answers = self.exchanges.get(self.answered).is_some_and(|x| seq_diff(ack, x.request.seq) > 0);
        if !answers {
            let mut unasked = empty_exchange();
            let asked_up_to = self.requests.next_seq;
            if !self.lost[Side::Client as usize] && asked_up_to.is_none_or(|next| seq_diff(ack, next) <= 0) {
                unasked.flags.set(ExchangeFlags::UNSOLICITED);
            }
            self.insert_unasked(unasked);
        }
        self.answered
    }

    /// Bytes that the server sent before the first ones that were captured, when the oldest request had been sent.
    fn unseen_start(&self) -> Option<(u32, u32)> {
        let front = self.exchanges.first().filter(|_| self.answered == 0)?;
        let first = self.responses.first_seq?;
        (front.request.is_present() && seq_diff(first, front.request.ack) > 0)
            .then_some((front.request.ack, first))
    }

    /// Puts an exchange without a request where the next response belongs.
    fn insert_unasked(&mut self, unasked: Exchange) {
        self.exchanges.insert(self.answered, unasked);
        self.asked += usize::from(self.answered < self.asked);
        if self.requests.in_message() && self.requests.exchange >= self.answered {
            self.requests.exchange += 1;
        }
    }

    /// Behind a hole that begins at `start`: whether several requests wait that the server had when it answered now, and
    /// the bytes between may have held answers to some. Nobody can tell then whose this one is, and those that follow.
    fn skip_ambiguous(&mut self, start: u32, ack: u32) -> bool {
        if seq_diff(self.responses.message.seq, start) < SHORTEST_RESPONSE {
            return false;
        }
        let waiting = &mut self.exchanges[self.answered..];
        let count = waiting.iter().take_while(|x| seq_diff(ack, x.request.seq) > 0).count();
        if count < 2 {
            return false;
        }
        for exchange in &mut waiting[..count] {
            exchange.response.state = MessageState::Lossy;
            exchange.flags.set(ExchangeFlags::NEAR_HOLE);
        }
        self.answered += count;
        true
    }

    /// Behind a hole in the responses: requests whose answer lay in it, for they were asked before it. Their client sent
    /// another request after it had the hole's bytes, and the server had that one too when it answered now (with `ack`).
    /// That other request may be missing itself.
    fn skip_answered_in_hole(&mut self, hole_end: u32, ack: u32) {
        // In its head it has no place among them yet.
        let in_body = self.requests.in_message() && self.requests.stage != Stage::Head;
        let open = in_body.then_some(self.requests.exchange);
        while let [front, rest @ ..] = &mut self.exchanges[self.answered..]
            && seq_diff(front.request.ack, hole_end) < 0
        {
            let end = front.request.seq.wrapping_add(front.request.wire_bytes as u32);
            let asked_again = match rest.first() {
                Some(next) if next.request.seq == end => {
                    seq_diff(next.request.ack, hole_end) >= 0 && seq_diff(ack, next.request.seq) > 0
                }
                // The server had bytes of a request that the capture misses; one number may be that of a FIN.
                _ => Some(self.answered) != open && seq_diff(ack, end) > 1,
            };
            if !asked_again {
                return;
            }
            front.response.state = MessageState::Lossy;
            front.flags.set(ExchangeFlags::NEAR_HOLE);
            if let Some(next) = rest.first_mut() {
                next.flags.clear(ExchangeFlags::PIPELINED);
            }
            self.answered += 1;
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

    /// A head whose end never came: the exchange it belongs to.
    fn flush_head(&mut self, from: Side, context: &mut Context) {
        match from {
            Side::Client => {
                let bytes = std::mem::take(&mut self.requests.carry);
                let line = memchr(b'\n', &bytes).map_or(&bytes[..], |end| &bytes[..end]);
                // Behind a request, a method and the start of a target are another one; first on a connection, no.
                let behind = self.exchanges.iter().any(|x| x.request.is_present());
                if !(behind && sniff::has_method_and_target(line) || sniff::resembles_request_line(line)) {
                    return self.on_no_request();
                }
                let head = head::cut_request(&bytes, context);
                self.place_cut_request(&head);
            }
            Side::Server => {
                let bytes = std::mem::take(&mut self.responses.carry);
                let line = head::status_line(&bytes);
                if line.is_some_and(|(_, status)| is_interim(status)) {
                    // It answers nothing, and the answer is still to come.
                    return self.responses.discard();
                }
                let index = self.exchange_for_response();
                self.responses.exchange = index;
                let exchange = &mut self.exchanges[index];
                exchange.flags.set(ExchangeFlags::HEAD_CUT);
                if let Some((version, status)) = line {
                    exchange.status = head::status(status);
                    self.responses.message.version = version;
                }
            }
        }
    }

    /// A request whose head was cut, with what is known of it.
    pub fn cut_request(&mut self, head: &RequestHead, context: &mut Context) {
        self.place_cut_request(head);
        self.end_message(Side::Client, false, None, context);
    }

    fn place_cut_request(&mut self, head: &RequestHead) {
        let index = self.place_for_request();
        self.requests.message.version = head.version;
        self.requests.message.header_lines = head.header_lines;
        self.requests.exchange = index;
        let exchange = &mut self.exchanges[index];
        exchange.method = head.method;
        exchange.target = head.target;
        exchange.host = head.host;
        (exchange.headers, exchange.header_count) = head.headers;
        exchange.flags.set(head.flags | ExchangeFlags::HEAD_CUT);
    }

    fn flag_near_hole(&mut self) {
        let from = self.answered.saturating_sub(1);
        for exchange in self.exchanges.iter_mut().skip(from) {
            exchange.flags.set(ExchangeFlags::NEAR_HOLE);
        }
    }

    fn protocol(&self, flow: &Flow) -> Protocol {
        if let Some(protocol) = self.handed_over {
            return protocol;
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

/// A response before the one that answers (RFC 9110, section 15.2); 101 is the last of its connection.
fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// Empty lines before a message: servers skip them before a request (RFC 9112, section 2.2), and clients that
/// are lenient before a response.
#[cold]
fn on_empty_lines(from: Side, frame: u32, context: &mut Context) {
    if from == Side::Client {
        let mut odd = Oddities::default();
        odd.add(Oddity::EmptyLines);
        context.note(odd, frame);
    }
}

/// An exchange of which nothing is known yet.
pub(super) fn empty_exchange() -> Exchange {
    Exchange {
        flow: crate::tcp::FlowId(0),
        ordinal: 0,
        method: Method::Missing,
        status: None,
        flags: ExchangeFlags::default(),
        target: Text::default(),
        host: None,
        headers: 0,
        header_count: 0,
        request: Message::default(),
        response: Message::default(),
    }
}
