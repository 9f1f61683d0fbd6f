//! Where heads begin and end in a stream, whole, cut or of another kind of bytes altogether.

use memchr::memchr;

use crate::capture::{ProblemKind, Problems};
use crate::tcp::{Chunk, Side, seq_diff};

use super::Http1;
use super::pairing::is_interim;
use crate::http::head::{self, RequestHead};
use crate::http::load::Context;
use crate::http::oddity::{Oddities, Oddity};
use crate::http::stream::{MAX_HEAD, Stage};
use crate::http::{ExchangeFlags, Framing, Method, Version, familiar, sniff};

impl Http1 {
    /// Between messages: skips empty lines, then a message starts, or nonsense.
    pub(super) fn start(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) -> usize {
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
                sniff::may_become_response(chunk.data)
                    || self.gateway && chunk.data[0].is_ascii_alphabetic() && self.awaits_response(chunk)
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

    /// Whether the server owes a response when it sends this, or owed none yet; the head of one through a gateway looks
    /// like any text.
    fn awaits_response(&self, chunk: &Chunk<'_>) -> bool {
        let is_asked = match self.exchanges.get(self.answered) {
            Some(waiting) => seq_diff(chunk.ack, waiting.request.seq) > 0,
            // A request that stands behind its answer in the file, or is missing; one number may be that of a FIN.
            None => self.requests.next_seq.is_none_or(|next| seq_diff(chunk.ack, next) > 1),
        };
        is_asked || self.answered == 0 || self.lost[Side::Client as usize]
    }

    /// Takes a whole head as nearly all are.
    #[inline]
    pub(super) fn usual_head(
        &mut self,
        from: Side,
        chunk: &Chunk<'_>,
        context: &mut Context,
    ) -> Option<usize> {
        if from == Side::Client {
            let (head, len) = familiar::request(chunk.data, chunk.frame, context)?;
            self.requests.begin_with_head(from, chunk, len);
            self.on_request(&head, context);
            return Some(len);
        }
        if self.gateway {
            return None;
        }
        let (head, len) = familiar::response(chunk.data, chunk.frame, context)?;
        self.responses.begin_with_head(from, chunk, len);
        self.on_response(&head, context);
        Some(len)
    }

    pub(super) fn continue_head(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) -> usize {
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

    pub(super) fn carry_head(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) -> usize {
        let stream = self.stream(from);
        stream.account(chunk, chunk.data.len());
        stream.carry.extend_from_slice(chunk.data);
        if from == Side::Client && self.exchanges.is_empty() && sniff::is_simple_request(&self.requests.carry)
        {
            let line = std::mem::take(&mut self.requests.carry);
            self.requests.note_head(from, &line);
            let head = head::simple_request(&line, context);
            self.simple = true;
            self.on_request(&head, context);
            return chunk.data.len();
        }
        if from == Side::Client
            && let Some(end) = memchr(b'\n', &self.requests.carry)
            && !sniff::resembles_request_line(&self.requests.carry[..end])
            && !sniff::is_bare_method(&self.requests.carry[..end])
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

    #[cold]
    pub(super) fn note_oddities(&mut self, from: Side, context: &mut Context) {
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

    /// The bytes start no message.
    pub(super) fn on_foreign_bytes(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        if from == Side::Server && !self.lost[Side::Server as usize] {
            self.on_foreign_response(chunk, context);
        } else {
            self.lost[from as usize] = true;
            self.stream(from).stage = Stage::Lost;
        }
    }

    /// The server sends what starts no response: behind one that is complete, or in place of one.
    #[cold]
    pub(super) fn on_foreign_response(&mut self, chunk: &Chunk<'_>, context: &mut Context) {
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
            // A body that it should not have had belongs to it also where the next request was faster.
            Some(before)
                if before.response.is_complete()
                    && (!awaited || self.unwanted_body || before.response.last_frame == chunk.frame) =>
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

    pub(super) fn on_head(&mut self, from: Side, bytes: &[u8], crlf: bool, context: &mut Context) {
        let stream = self.stream(from);
        stream.note_head(from, bytes);
        let frame = stream.message.first_frame;
        if from == Side::Client {
            // With an empty line behind it, which some clients add.
            if self.exchanges.is_empty() && sniff::is_simple_request(bytes) {
                let head = head::simple_request(bytes, context);
                self.simple = true;
                return self.on_request(&head, context);
            }
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
    pub(super) fn on_no_request(&mut self) {
        self.requests.discard();
        self.lost[Side::Client as usize] = true;
        self.requests.stage = Stage::Lost;
    }

    /// A head that starts like a response and has no status line.
    #[cold]
    pub(super) fn on_broken_response(&mut self, context: &mut Context) {
        let index = self.exchange_for_response();
        self.responses.exchange = index;
        self.exchanges[index].flags.set(ExchangeFlags::NOT_HTTP_RESPONSE);
        self.exchanges[index].response = self.responses.message;
        let progress = self.responses.start_body(Framing::UntilClose);
        self.after(Side::Server, progress, context);
    }

    /// A head whose end never came: the exchange it belongs to.
    pub(super) fn flush_head(&mut self, from: Side, context: &mut Context) {
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

    pub(super) fn place_cut_request(&mut self, head: &RequestHead) {
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
