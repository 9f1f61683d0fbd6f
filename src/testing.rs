//! Facts made by hand for tests: connections told step by step, with frames and sequence numbers that fit.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::capture::CaptureTime;
use crate::http::{
    CaptureFacts, Exchange, ExchangeFlags, Framing, HeaderDigest, Message, MessageState, Method, Protocol,
    Text,
};
use crate::tcp::{Closing, DirectionFacts, Event, EventKind, Flow, FlowId, Opening, Side};

/// A capture in the making. Times are nanoseconds by its clock; connections may be told interleaved.
#[derive(Debug, Default)]
pub struct Script {
    facts: CaptureFacts,
    connections: Vec<Told>,
    frame: u32,
}

/// A connection of a [`Script`].
#[derive(Clone, Copy, Debug)]
pub struct Conn(usize);

#[derive(Debug)]
struct Told {
    flow: Flow,
    events: Vec<Event>,
    exchanges: Vec<Exchange>,
    next_seq: [u32; 2],
}

impl Script {
    /// A capture of this file name.
    pub fn new(path: &str) -> Self {
        let mut script = Self::default();
        script.facts.info.path = path.into();
        script.facts.info.format = "pcap".into();
        script
    }

    /// A connection seen from the middle on; `isn` sets the numbers of both sides (the server's is 7 higher).
    pub fn midstream(&mut self, t: i64, client: &str, server: &str, isn: u32) -> Conn {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        self.frame += 1;
        let flow = Flow {
            client: address(client),
            server: address(server),
            meant_for: None,
            opening: Opening::MidStream,
            closing: Closing::Open,
            protocol: Protocol::Http11,
            wire: Default::default(),
            first: (CaptureTime(t), self.frame),
            last: (CaptureTime(t), self.frame),
            directions: [DirectionFacts::default(); 2],
            events: 0..0,
            exchanges: 0..0,
        };
        let next_seq = [isn.wrapping_add(1), isn.wrapping_add(8)];
        self.connections.push(Told { flow, events: Vec::new(), exchanges: Vec::new(), next_seq });
        Conn(self.connections.len() - 1)
    }

    /// A connection with its handshake, which takes 20 µs.
    pub fn connection(&mut self, t: i64, client: &str, server: &str, isn: u32) -> Conn {
        let conn = self.midstream(t, client, server, isn);
        let told = &mut self.connections[conn.0];
        told.flow.opening = Opening::Handshake;
        told.flow.directions[0].isn = Some(isn);
        told.flow.directions[1].isn = Some(isn.wrapping_add(7));
        let (one, other) = (isn, isn.wrapping_add(7));
        self.frame -= 1;
        self.event(conn, t, EventKind::Syn, Side::Client, (one, 0));
        self.event(conn, t + 10_000, EventKind::SynAck, Side::Server, (other, one.wrapping_add(1)));
        self.event(
            conn,
            t + 20_000,
            EventKind::Established,
            Side::Client,
            (one.wrapping_add(1), other.wrapping_add(1)),
        );
        conn
    }

    /// The client's packets take so many nanoseconds longer to come after the server's, as at the far end of a path.
    pub fn round_trip(&mut self, conn: Conn, ns: i64) {
        let events = &mut self.connections[conn.0].events;
        for event in events.iter_mut().filter(|event| event.kind == EventKind::Established) {
            event.at.0 += ns;
        }
    }

    fn event(&mut self, conn: Conn, t: i64, kind: EventKind, from: Side, (seq, ack): (u32, u32)) {
        self.frame += 1;
        let (at, frame) = (CaptureTime(t), self.frame);
        let told = &mut self.connections[conn.0];
        told.events.push(Event {
            at,
            frame,
            kind,
            from,
            has_ack: kind != EventKind::Syn,
            seq,
            ack,
            len: 0,
            quiet_us: 0,
        });
        told.touch(t, frame, from);
    }

    /// A request of one packet.
    pub fn request(
        &mut self,
        conn: Conn,
        t: i64,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) {
        self.frame += 1;
        let digests: Vec<HeaderDigest> = headers
            .iter()
            .map(|(name, value)| {
                let name = name.to_lowercase();
                let digest = HeaderDigest::of(self.facts.intern(&name), &name, value.as_bytes());
                if matches!(&*name, "user-agent" | "via") {
                    self.facts.note_caller(digest, value.as_bytes());
                }
                digest
            })
            .collect();
        let (first, count) = self.facts.add_headers(&digests);
        let host = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = host.map(|(_, value)| self.facts.intern(value));
        let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{method} {target} HTTP/1.1\r\n{head}\r\n");
        let target: Text = self.facts.add_text(target.as_bytes());
        let told = &mut self.connections[conn.0];
        let mut request = told.message(Side::Client, t, self.frame, head.len() + body.len());
        request.head_bytes = head.len() as u32;
        request.head_crc = crc32fast::hash(head.as_bytes());
        request.body_crc = crc32fast::hash(body.as_bytes());
        request.body_bytes = body.len() as u64;
        request.framing = if body.is_empty() { Framing::None } else { Framing::Length(body.len() as u64) };
        told.exchanges.push(Exchange {
            flow: FlowId(0),
            ordinal: told.exchanges.len() as u32 + 1,
            method: match method {
                "GET" => Method::Get,
                "POST" => Method::Post,
                "PUT" => Method::Put,
                "DELETE" => Method::Delete,
                _ => Method::Head,
            },
            status: None,
            flags: ExchangeFlags::default(),
            target,
            host,
            headers: first,
            header_count: count,
            request,
            response: Message::default(),
        });
    }

    /// The last request was in HTTP/1.0.
    pub fn in_http10(&mut self, conn: Conn) {
        if let Some(exchange) = self.connections[conn.0].exchanges.last_mut() {
            exchange.request.version = crate::http::Version::Http10;
        }
    }

    /// The whole answer to the last request, in one packet, with a body of `body` bytes.
    pub fn response(&mut self, conn: Conn, t: i64, status: u16, body: u32) {
        self.frame += 1;
        let told = &mut self.connections[conn.0];
        let mut response = told.message(Side::Server, t, self.frame, 60 + body as usize);
        response.head_bytes = 60;
        response.body_bytes = u64::from(body);
        response.framing = Framing::Length(u64::from(body));
        if let Some(exchange) = told.exchanges.last_mut() {
            exchange.status = NonZeroU16::new(status);
            exchange.response = response;
        }
    }

    /// The snap length cut the last request behind its first line.
    pub fn cut_head(&mut self, conn: Conn) {
        if let Some(exchange) = self.connections[conn.0].exchanges.last_mut() {
            exchange.flags.set(ExchangeFlags::HEAD_CUT);
            let request = &mut exchange.request;
            (request.head_bytes, request.head_crc, request.body_bytes, request.body_crc) = (0, 0, 0, 0);
            request.state = MessageState::Partial;
        }
    }

    /// The snap length cut the last request's body.
    pub fn cut_body(&mut self, conn: Conn) {
        if let Some(exchange) = self.connections[conn.0].exchanges.last_mut() {
            exchange.flags.set(ExchangeFlags::BODY_HOLE);
            exchange.request.body_crc = 0;
        }
    }

    /// The snap length cut the answer to the last request before its status.
    pub fn cut_answer(&mut self, conn: Conn) {
        if let Some(exchange) = self.connections[conn.0].exchanges.last_mut() {
            exchange.flags.set(ExchangeFlags::HEAD_CUT);
            exchange.status = None;
            exchange.response.state = MessageState::Partial;
        }
    }

    /// The whole answer to the last request lies in a hole of the capture.
    pub fn lost_response(&mut self, conn: Conn, bytes: u32) {
        self.hole(conn, Side::Server, bytes);
        if let Some(exchange) = self.connections[conn.0].exchanges.last_mut() {
            exchange.flags.set(ExchangeFlags::NEAR_HOLE);
            exchange.response.state = MessageState::Lossy;
        }
    }

    /// The last request is sent again.
    pub fn again(&mut self, conn: Conn, t: i64) {
        let Some(last) = self.connections[conn.0].exchanges.last() else { return };
        let (seq, len) = (last.request.seq, last.request.wire_bytes as u32);
        self.event(conn, t, EventKind::Retransmission, Side::Client, (seq, 0));
        let told = &mut self.connections[conn.0];
        told.flow.directions[Side::Client as usize].retransmitted += 1;
        if let Some(event) = told.events.last_mut() {
            event.len = len;
        }
    }

    /// A side closes.
    pub fn fin(&mut self, conn: Conn, t: i64, from: Side) {
        let told = &mut self.connections[conn.0];
        let (seq, ack) = (told.next_seq[from as usize], told.next_seq[from.peer() as usize]);
        told.next_seq[from as usize] = seq.wrapping_add(1);
        if told.flow.closing == Closing::Open {
            told.flow.closing = Closing::Fin;
        }
        self.event(conn, t, EventKind::Fin, from, (seq, ack));
    }

    /// A side resets.
    pub fn rst(&mut self, conn: Conn, t: i64, from: Side) {
        let told = &mut self.connections[conn.0];
        let (seq, ack) = (told.next_seq[from as usize], told.next_seq[from.peer() as usize]);
        told.flow.closing = Closing::Reset;
        self.event(conn, t, EventKind::Rst, from, (seq, ack));
    }

    /// The answers of a server name this product.
    pub fn server_header(&mut self, server: &str, value: &str) {
        let (server, name) = (server.parse().unwrap_or(([0, 0, 0, 0], 0).into()), self.facts.intern(value));
        self.facts.server_headers.push((server, name));
    }

    /// What the file says beside its packets.
    pub fn info(&mut self) -> &mut crate::capture::CaptureInfo {
        &mut self.facts.info
    }

    /// What is told of a connection so far.
    pub fn flow(&mut self, conn: Conn) -> &mut Flow {
        &mut self.connections[conn.0].flow
    }

    /// The capture misses bytes of a side.
    pub fn hole(&mut self, conn: Conn, from: Side, bytes: u32) {
        let told = &mut self.connections[conn.0];
        told.flow.directions[from as usize].missing_bytes += u64::from(bytes);
        told.next_seq[from as usize] = told.next_seq[from as usize].wrapping_add(bytes);
    }

    /// The finished capture.
    pub fn finish(mut self) -> Arc<CaptureFacts> {
        self.facts.info.packets = u64::from(self.frame);
        self.facts.info.first = self.connections.iter().map(|told| told.flow.first.0).min();
        self.facts.info.last = self.connections.iter().map(|told| told.flow.last.0).max();
        for told in self.connections {
            self.facts.add_flow(told.flow, &told.events, &told.exchanges);
        }
        Arc::new(self.facts)
    }
}

impl Told {
    fn touch(&mut self, t: i64, frame: u32, from: Side) {
        self.flow.last = (CaptureTime(t), frame);
        let peer_next = self.next_seq[from.peer() as usize];
        let side = &mut self.flow.directions[from as usize];
        side.packets += 1;
        side.end_seq = Some(self.next_seq[from as usize]);
        side.acked = Some(peer_next);
    }

    fn message(&mut self, side: Side, t: i64, frame: u32, bytes: usize) -> Message {
        let (seq, ack) = (self.next_seq[side as usize], self.next_seq[side.peer() as usize]);
        self.next_seq[side as usize] = seq.wrapping_add(bytes as u32);
        self.flow.directions[side as usize].bytes += bytes as u64;
        self.touch(t, frame, side);
        Message {
            start: CaptureTime(t),
            end: CaptureTime(t),
            first_frame: frame,
            last_frame: frame,
            seq,
            ack,
            state: MessageState::Complete,
            wire_bytes: bytes as u64,
            ..Message::default()
        }
    }
}
