//! Which response answers which request, and what holds the count where the capture lost bytes.
//!
//! HTTP/1 answers in order (RFC 9112, section 9.3), so the next response belongs to the oldest request that
//! has none. Behind a hole this count would slip; acknowledgement numbers hold it: a server
//! cannot answer a request of which it has not acknowledged a byte, and a client that does not pipeline
//! sends its next request only once it has the answer.

use crate::capture::{ProblemKind, Problems};
use crate::tcp::{Flow, Opening, Side, seq_diff};

use super::Http1;
use crate::http::head::{self, RequestHead, ResponseHead};
use crate::http::load::Context;
use crate::http::stream::Stage;
use crate::http::{
    Exchange, ExchangeFlags, Framing, HandOver, HandOverWay, Message, MessageState, Method, Protocol, Text,
};

/// Most requests that may wait for their response on one connection.
const MAX_PENDING: usize = 10_000;

/// Bytes of the shortest response: `HTTP/1.1 200` and two line ends.
const SHORTEST_RESPONSE: i32 = 16;

impl Http1 {
    /// Takes back what holds only for a connection of which the start was captured.
    pub(super) fn settle_start(&mut self, flow: &Flow) {
        let asked =
            self.exchanges.iter().position(|x| x.request.is_present()).unwrap_or(self.exchanges.len());
        let client = &flow.directions[0];
        let start = client.isn.map(|isn| isn.wrapping_add(1));
        // The FIN of a client that said nothing counts one.
        let behind_fin = start.filter(|_| client.sent_bytes() == 0).map(|start| start.wrapping_add(1));
        for exchange in &mut self.exchanges[..asked] {
            let ack = Some(exchange.response.ack);
            if start != ack && behind_fin != ack {
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
    pub(super) fn place_for_request(&mut self) -> usize {
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
        // Also a request whose head never ends has been asked.
        self.exchanges[place].flags.clear(ExchangeFlags::UNSOLICITED);
        place
    }

    /// A hole swallowed responses: a client that does not pipeline has had the answers to all its earlier
    /// requests once it acknowledges the hole and asks again.
    pub(super) fn settle_lost_responses(&mut self, context: &mut Context) {
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

    pub(super) fn on_response(&mut self, head: &ResponseHead, context: &mut Context) {
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
        self.unwanted_body =
            framing == Framing::None && !matches!(head.framing, Framing::Length(0) | Framing::UntilClose);
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
        if tunnel {
            self.hand_over(index, head, context);
        }
        self.after(Side::Server, progress, context);
        if tunnel {
            self.requests.stage = Stage::Closed;
            self.responses.stage = Stage::Closed;
        }
    }

    /// The response under way ends HTTP/1 on this connection.
    #[cold]
    fn hand_over(&mut self, index: usize, head: &ResponseHead, context: &Context) {
        let upgrade = head.upgrade.filter(|_| head.status == 101);
        let (way, to) = if head.status == 101 {
            (HandOverWay::Upgrade, head.upgrade_name.map_or("", |id| context.facts.name(id)).into())
        } else {
            (HandOverWay::Connect, context.facts.text(self.exchanges[index].target).into())
        };
        self.hand_over = Some(Box::new(HandOver {
            way,
            protocol: upgrade.unwrap_or(Protocol::Tunnel),
            to,
            ordinal: 0,
            at: self.responses.message.end,
            frame: self.responses.message.last_frame,
            bytes: [0; 2],
        }));
        self.tunnelled = Some(Box::default());
    }

    /// The exchange that a starting response answers; an empty one when its request was not captured.
    pub(super) fn exchange_for_response(&mut self) -> usize {
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
    pub(super) fn unseen_start(&self) -> Option<(u32, u32)> {
        let front = self.exchanges.first().filter(|_| self.answered == 0)?;
        let first = self.responses.first_seq?;
        (front.request.is_present() && seq_diff(first, front.request.ack) > 0)
            .then_some((front.request.ack, first))
    }

    /// Puts an exchange without a request where the next response belongs.
    pub(super) fn insert_unasked(&mut self, unasked: Exchange) {
        self.exchanges.insert(self.answered, unasked);
        self.asked += usize::from(self.answered < self.asked);
        if self.requests.in_message() && self.requests.exchange >= self.answered {
            self.requests.exchange += 1;
        }
    }

    /// Behind a hole that begins at `start`: whether several requests wait that the server had when it answered now, and
    /// the bytes between may have held answers to some. Nobody can tell then whose this one is, and those that follow.
    pub(super) fn skip_ambiguous(&mut self, start: u32, ack: u32) -> bool {
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
    pub(super) fn skip_answered_in_hole(&mut self, hole_end: u32, ack: u32) {
        // In its head it has no place among them yet.
        let in_body = self.requests.in_message() && self.requests.stage != Stage::Head;
        let open = in_body.then_some(self.requests.exchange);
        // Where the one under way will end, if its head told that.
        let open_end = match (self.requests.stage, self.requests.next_seq) {
            (Stage::Body(left), Some(next)) => Some(next.wrapping_add(left as u32)),
            _ => None,
        };
        while let [front, rest @ ..] = &mut self.exchanges[self.answered..]
            && seq_diff(front.request.ack, hole_end) < 0
        {
            let is_open = Some(self.answered) == open;
            let seen = front.request.seq.wrapping_add(front.request.wire_bytes as u32);
            let Some(end) = (if is_open { open_end } else { Some(seen) }) else { return };
            let asked_again = match rest.first() {
                Some(next) if next.request.seq == end => {
                    seq_diff(next.request.ack, hole_end) >= 0 && seq_diff(ack, next.request.seq) > 0
                }
                // The server had bytes of a request that the capture misses; one number may be that of a FIN.
                _ => seq_diff(ack, end) > 1,
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

    pub(super) fn flag_near_hole(&mut self) {
        let from = self.answered.saturating_sub(1);
        for exchange in self.exchanges.iter_mut().skip(from) {
            exchange.flags.set(ExchangeFlags::NEAR_HOLE);
        }
    }
}

/// A response before the one that answers (RFC 9110, section 15.2); 101 is the last of its connection.
pub(super) fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// An exchange of which nothing is known yet.
pub(in crate::http) fn empty_exchange() -> Exchange {
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
