//! FastCGI, as between nginx (`fastcgi_pass`) and php-fpm: records of many requests on one connection (FastCGI
//! Specification, version 1, sections 3 and 5).
//!
//! ```text
//! version 1 (1) │ type (1) │ id (2) │ content length (2) │ padding length (1) │ 0 (1) │ content │ padding
//! client: BEGIN_REQUEST, PARAMS … empty, STDIN … empty        server: STDOUT …, STDERR …, END_REQUEST
//! ```

mod format;

use crate::capture::{CaptureTime, ProblemKind, Problems};
use crate::tcp::{Chunk, Flow, Hole, Side};

pub(super) use format::{HEADER, Pairs, kind, starts_record};

use super::head;
use super::http1::empty_exchange;
use super::load::Context;
use super::protocols::Wire;
use super::stream::{MAX_HEAD, Stage, Stream};
use super::{Exchange, ExchangeFlags, Framing, MessageState, Protocol, SaidAside, vars};

/// Most requests open at once on one connection.
const MAX_OPEN: usize = 1024;
/// Most bytes of variables kept of one request.
const MAX_PARAMS: usize = MAX_HEAD;
/// Most bytes kept of what the application writes to STDERR about one request.
const MAX_ASIDE: usize = 4 << 10;
/// Bytes of an END_REQUEST's content: 4 of the application's status, 1 of the protocol's, 3 reserved (section 5.5).
const END_BYTES: usize = 8;

/// The reader of a FastCGI connection.
#[derive(Debug, Default)]
pub(super) struct FastCgi {
    records: [Records; 2],
    open: Vec<Request>,
    exchanges: Vec<Exchange>,
    aside: Vec<SaidAside>,
}

/// One direction, record by record.
#[derive(Debug, Default)]
struct Records {
    header: [u8; HEADER],
    /// The pieces that the header came in, to account for them once it is known whose it is.
    pieces: Vec<Piece>,
    header_len: usize,
    /// Bytes of content and of padding to come.
    content: usize,
    padding: usize,
    lost: bool,
}

/// Where a piece of a header lay.
#[derive(Clone, Copy, Debug)]
struct Piece {
    len: usize,
    at: CaptureTime,
    frame: u32,
    seq: u32,
    ack: u32,
    file_offset: u64,
}

impl Piece {
    fn chunk(&self) -> Chunk<'static> {
        let Self { at, frame, seq, ack, file_offset, .. } = *self;
        Chunk { data: &[], at, frame, seq, ack, file_offset }
    }
}

/// A request that has not ended.
#[derive(Debug)]
struct Request {
    id: u16,
    exchange: usize,
    request: Stream,
    response: Stream,
    params: Vec<u8>,
    /// The variables are over.
    told: bool,
    /// The response's head is over.
    answered: bool,
    /// What was written to STDERR: when it began, in which packet, as much as is kept, and its length.
    aside: Option<(CaptureTime, u32, Vec<u8>, u64)>,
    /// The content of its END_REQUEST, as far as it came.
    end: Vec<u8>,
}

impl FastCgi {
    fn find(&mut self, id: u16) -> Option<usize> {
        self.open.iter().position(|request| request.id == id)
    }

    /// The request of the record under way, opened by its first record.
    fn request_of(&mut self, from: Side, context: &mut Context) -> Option<usize> {
        let [_, kind, high, low, ..] = self.records[from as usize].header;
        let id = u16::from_be_bytes([high, low]);
        let known = self.find(id);
        if kind == kind::BEGIN_REQUEST {
            if let Some(before) = known {
                self.finish(before, context);
            }
        } else if known.is_some() || id == 0 || from == Side::Server && kind != kind::STDOUT {
            return known;
        }
        if self.open.len() >= MAX_OPEN {
            let frame = self.records[from as usize].pieces.first().map_or(0, |piece| piece.frame);
            context.report(
                ProblemKind::LimitReached,
                format_args!("packet {frame}: more than {MAX_OPEN} FastCGI requests open on a connection; the rest was skipped"),
            );
            return None;
        }
        let mut exchange = empty_exchange();
        if from == Side::Client && kind == kind::BEGIN_REQUEST {
            if !self.open.is_empty() {
                exchange.flags.set(ExchangeFlags::PIPELINED);
            }
        } else {
            exchange.flags.set(ExchangeFlags::NEAR_HOLE);
        }
        self.exchanges.push(exchange);
        let (mut request, response) = (Stream::default(), Stream::default());
        request.digests_body = true;
        let exchange = self.exchanges.len() - 1;
        self.open.push(Request {
            id,
            exchange,
            request,
            response,
            params: Vec::new(),
            told: false,
            answered: false,
            aside: None,
            end: Vec::new(),
        });
        Some(self.open.len() - 1)
    }

    /// A record's header is whole: its bytes belong to its request's message.
    fn on_header(&mut self, from: Side, context: &mut Context) {
        let records = &mut self.records[from as usize];
        let [version, kind, .., high, low, padding, _] = records.header;
        if version != 1 || !(1..=kind::LAST).contains(&kind) {
            records.pieces.clear();
            return self.lose(from);
        }
        records.content = usize::from(u16::from_be_bytes([high, low]));
        records.padding = usize::from(padding);
        let at = self.request_of(from, context);
        let records = &mut self.records[from as usize];
        let pieces = std::mem::take(&mut records.pieces);
        let empty = records.content == 0;
        // It may come behind the end of what is sent, too.
        if let Some(at) = at.filter(|_| kind == kind::ABORT_REQUEST) {
            self.exchanges[self.open[at].exchange].flags.set(ExchangeFlags::ABORT_ASKED);
        }
        if let Some(at) = at
            && let Some(stream) = self.open[at].stream_of(kind)
        {
            for piece in pieces {
                if stream.stage == Stage::Idle {
                    stream.begin(&piece.chunk());
                }
                stream.account(&piece.chunk(), piece.len);
            }
            if stream.stage == Stage::Head && kind != kind::END_REQUEST {
                self.show(at, kind);
            }
            if empty {
                self.on_end_of_stream(at, kind, context);
            }
        }
    }

    /// Makes the message that began visible in its exchange.
    fn show(&mut self, at: usize, kind: u8) {
        let open = &self.open[at];
        let exchange = &mut self.exchanges[open.exchange];
        match kind {
            kind::STDOUT if !exchange.response.is_present() => {
                exchange.response = open.response.message;
                // Where the capture misses its end it may have come.
                if open.request.in_message() && !open.request.lossy {
                    exchange.flags.set(ExchangeFlags::EARLY_RESPONSE);
                }
            }
            kind::BEGIN_REQUEST => exchange.request = open.request.message,
            _ => {}
        }
    }

    fn on_content(&mut self, from: Side, chunk: &Chunk<'_>, len: usize, context: &mut Context) {
        let records = &mut self.records[from as usize];
        let first =
            records.content == usize::from(u16::from_be_bytes([records.header[4], records.header[5]]));
        records.content -= len;
        let (ends, kind) = (records.content == 0, records.header[1]);
        let id = u16::from_be_bytes([records.header[2], records.header[3]]);
        let Some(at) = self.find(id) else { return };
        let bytes = &chunk.data[..len];
        let open = &mut self.open[at];
        match kind {
            kind::BEGIN_REQUEST => {
                open.request.account(chunk, len);
                // Bit 0 of the flags, the third byte, asks to keep the connection.
                let keeps = bytes.get(2).is_some_and(|flags| flags & 1 != 0);
                if first && len > 2 && !keeps {
                    self.exchanges[open.exchange].flags.set(ExchangeFlags::CLIENT_CLOSES);
                }
            }
            kind::PARAMS => {
                open.request.account(chunk, len);
                if open.params.len() + len > MAX_PARAMS {
                    context.report(
                        ProblemKind::LimitReached,
                        format_args!(
                            "packet {}: more than {MAX_PARAMS} bytes of variables; the rest was skipped",
                            chunk.frame
                        ),
                    );
                } else {
                    open.params.extend_from_slice(bytes);
                }
            }
            kind::STDIN => open.request.take_body(chunk, len),
            kind::STDOUT => self.on_output(at, chunk, len, context),
            kind::STDERR => open.hear(chunk, bytes),
            kind::END_REQUEST => {
                open.response.account(chunk, len);
                open.end.extend_from_slice(&bytes[..len.min(END_BYTES - open.end.len())]);
                if ends {
                    self.on_end(at, context);
                }
            }
            _ => {}
        }
    }

    /// Takes bytes of the response: its head until an empty line, then its body.
    fn on_output(&mut self, at: usize, chunk: &Chunk<'_>, len: usize, context: &mut Context) {
        let open = &mut self.open[at];
        if open.answered {
            return open.response.take_body(chunk, len);
        }
        let before = open.response.carry.len();
        open.response.carry.extend_from_slice(&chunk.data[..len]);
        let Some(end) = head::head_end(&open.response.carry) else {
            open.response.account(chunk, len);
            if open.response.carry.len() > MAX_HEAD {
                context.report(
                    ProblemKind::LimitReached,
                    format_args!(
                        "packet {}: a message head of more than {MAX_HEAD} bytes; the rest was skipped",
                        chunk.frame
                    ),
                );
                open.response.carry = Vec::new();
                open.answered = true;
            }
            return;
        };
        let bytes = std::mem::take(&mut open.response.carry);
        open.answered = true;
        let in_head = end.len - before.min(end.len);
        open.response.account(chunk, in_head);
        // Where the head's bytes end on the wire: record headers between them count.
        open.response.message.head_bytes = open.response.message.wire_bytes as u32;
        let exchange = &mut self.exchanges[open.exchange];
        match head::gateway_response(&bytes[..end.len], open.response.message.first_frame, context) {
            Some(head) => {
                exchange.status = head::status(head.status);
                exchange.flags.set(head.flags & !ExchangeFlags::SERVER_CLOSES);
                open.response.message.version = head.version;
                open.response.message.header_lines = head.header_lines;
                open.response.message.framing = head.framing;
            }
            None => exchange.flags.set(ExchangeFlags::NOT_HTTP_RESPONSE),
        }
        open.response.take_body(&chunk.behind(in_head), len - in_head);
    }

    /// An empty record ends the stream of its type (section 3.3).
    fn on_end_of_stream(&mut self, at: usize, kind: u8, context: &mut Context) {
        match kind {
            kind::PARAMS => self.tell(at, context),
            kind::STDIN => self.end_request(at, true, context),
            kind::ABORT_REQUEST => self.end_request(at, false, context),
            kind::END_REQUEST => self.on_end(at, context),
            _ => {}
        }
    }

    /// The variables are over: the exchange is known.
    fn tell(&mut self, at: usize, context: &mut Context) {
        let open = &mut self.open[at];
        if open.told {
            return;
        }
        open.told = true;
        let params = std::mem::take(&mut open.params);
        let head = vars::request(Pairs(&params), context);
        let message = &mut open.request.message;
        message.head_bytes = message.wire_bytes as u32;
        message.head_crc = crc32fast::hash(&params);
        message.version = head.version;
        message.header_lines = head.header_lines;
        message.framing = head.framing;
        let exchange = &mut self.exchanges[open.exchange];
        exchange.method = head.method;
        exchange.target = head.target;
        exchange.host = head.host;
        (exchange.headers, exchange.header_count) = head.headers;
        exchange.flags.set(head.flags);
        exchange.request = open.request.message;
    }

    fn end_request(&mut self, at: usize, complete: bool, context: &mut Context) {
        if !self.open[at].request.in_message() {
            return;
        }
        self.tell(at, context);
        let open = &mut self.open[at];
        self.exchanges[open.exchange].request = open.request.end(complete, None, &mut context.facts);
        // What follows under this id is no part of it.
        open.request.stage = Stage::Closed;
    }

    /// The server ended the request.
    fn on_end(&mut self, at: usize, context: &mut Context) {
        let open = &mut self.open[at];
        let exchange = &mut self.exchanges[open.exchange];
        exchange.flags.set(open.refusal());
        if !open.answered {
            // Without a byte of output there is nothing that could be no HTTP.
            let silent = open.response.carry.is_empty() && !open.response.lossy;
            let flag = if silent { ExchangeFlags::NO_OUTPUT } else { ExchangeFlags::NOT_HTTP_RESPONSE };
            exchange.flags.set(flag);
        }
        let framing = open.response.message.framing;
        let message = open.response.end(true, None, &mut context.facts);
        // The body ends with the record, whatever its headers say, unless they promise more.
        let cut = matches!(framing, Framing::Length(length) if message.body_bytes < length && message.body_bytes > 0);
        exchange.response = message;
        if cut && message.state == MessageState::Complete {
            exchange.response.state = MessageState::Partial;
        }
        self.finish(at, context);
    }

    /// Keeps what there is of a request that will not go on.
    fn finish(&mut self, at: usize, context: &mut Context) {
        self.end_request(at, false, context);
        let mut open = self.open.remove(at);
        if let Some((at, frame, text, bytes)) = open.aside.take()
            && context.has_room_aside(text.len(), frame)
        {
            let text = String::from_utf8_lossy(&text).into();
            self.aside.push(SaidAside { ordinal: open.exchange as u32 + 1, at, frame, text, bytes });
        }
        if open.response.in_message() {
            let exchange = &mut self.exchanges[open.exchange];
            if !open.answered {
                exchange.flags.set(ExchangeFlags::HEAD_CUT);
                exchange.status =
                    head::status_line(&open.response.carry).and_then(|(_, code)| head::status(code));
            }
            exchange.response = open.response.end(false, None, &mut context.facts);
        }
    }

    /// This side is out of step.
    fn lose(&mut self, from: Side) {
        let records = &mut self.records[from as usize];
        records.lost = true;
        records.header_len = 0;
        records.pieces.clear();
        for open in &mut self.open {
            self.exchanges[open.exchange].flags.set(ExchangeFlags::NEAR_HOLE);
            match from {
                Side::Client => open.request.lossy = true,
                Side::Server => open.response.lossy = true,
            }
        }
    }
}

impl Request {
    /// Keeps the start of what the application writes to STDERR.
    fn hear(&mut self, chunk: &Chunk<'_>, bytes: &[u8]) {
        let (.., kept, all) = self.aside.get_or_insert_with(|| (chunk.at, chunk.frame, Vec::new(), 0));
        kept.extend_from_slice(&bytes[..bytes.len().min(MAX_ASIDE - kept.len())]);
        *all += bytes.len() as u64;
    }

    /// The flag for the protocol status of its END_REQUEST; none where it was served (section 5.5).
    fn refusal(&self) -> u32 {
        match self.end.get(4) {
            None | Some(0) => 0,
            Some(1) => ExchangeFlags::CANNOT_MULTIPLEX,
            Some(2) => ExchangeFlags::OVERLOADED,
            Some(3) => ExchangeFlags::UNKNOWN_ROLE,
            Some(_) => ExchangeFlags::REFUSED_OTHERWISE,
        }
    }

    /// The message that records of this type belong to.
    fn stream_of(&mut self, kind: u8) -> Option<&mut Stream> {
        match kind {
            kind::BEGIN_REQUEST | kind::ABORT_REQUEST | kind::PARAMS | kind::STDIN => {
                (self.request.stage != Stage::Closed).then_some(&mut self.request)
            }
            kind::STDOUT | kind::END_REQUEST => Some(&mut self.response),
            _ => None,
        }
    }
}

impl Wire for FastCgi {
    fn data(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        let mut rest = *chunk;
        let records = &mut self.records[from as usize];
        if records.lost {
            if starts_record(from, rest.data) != Some(true) {
                return;
            }
            (records.lost, records.content, records.padding) = (false, 0, 0);
        }
        while !rest.data.is_empty() && !self.records[from as usize].lost {
            let records = &mut self.records[from as usize];
            let used = if records.header_len < HEADER {
                let len = rest.data.len().min(HEADER - records.header_len);
                records.header[records.header_len..][..len].copy_from_slice(&rest.data[..len]);
                records.header_len += len;
                let Chunk { at, frame, seq, ack, file_offset, .. } = rest;
                records.pieces.push(Piece { len, at, frame, seq, ack, file_offset });
                if records.header_len == HEADER {
                    self.on_header(from, context);
                }
                len
            } else if records.content > 0 {
                let len = rest.data.len().min(records.content);
                self.on_content(from, &rest, len, context);
                len
            } else {
                let len = rest.data.len().min(records.padding);
                records.padding -= len;
                len
            };
            let records = &mut self.records[from as usize];
            if records.header_len == HEADER && records.content == 0 && records.padding == 0 {
                records.header_len = 0;
            }
            rest = rest.behind(used);
        }
    }

    fn hole(&mut self, from: Side, hole: &Hole, _context: &mut Context) {
        let records = &mut self.records[from as usize];
        let len = hole.len as usize;
        if records.lost || records.header_len < HEADER || len > records.content + records.padding {
            return self.lose(from);
        }
        let in_content = len.min(records.content);
        records.content -= in_content;
        records.padding -= len - in_content;
        if records.content == 0 && records.padding == 0 {
            records.header_len = 0;
        }
        let [_, kind, high, low, ..] = records.header;
        let Some(at) = self.find(u16::from_be_bytes([high, low])) else { return };
        let open = &mut self.open[at];
        let flags = &mut self.exchanges[open.exchange].flags;
        match kind {
            kind::STDIN => open.request.skip_body(in_content as u64),
            kind::STDOUT if open.answered => open.response.skip_body(in_content as u64),
            kind::STDERR => return,
            // The variables, the response's head, or how it ended.
            kind::STDOUT | kind::END_REQUEST => {
                open.response.lossy = true;
                flags.set(ExchangeFlags::HEAD_CUT);
                return;
            }
            _ => {
                open.request.lossy = true;
                flags.set(ExchangeFlags::HEAD_CUT);
                return;
            }
        }
        flags.set(ExchangeFlags::BODY_HOLE);
    }

    fn fin(&mut self, _: Side, _: CaptureTime, _: &mut Context) {}

    fn close(&mut self, flow: &mut Flow, context: &mut Context) -> Vec<Exchange> {
        while !self.open.is_empty() {
            self.finish(0, context);
        }
        flow.protocol = Protocol::FastCgi;
        self.aside.sort_by_key(|said| said.ordinal);
        flow.wire.aside = std::mem::take(&mut self.aside).into();
        std::mem::take(&mut self.exchanges)
    }
}
