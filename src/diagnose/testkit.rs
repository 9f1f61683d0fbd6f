//! Chains made by hand, packet for packet, so that tests of verdicts need no capture files.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::analysis::Analysis;
use crate::capture::{CaptureId, CaptureTime, SessionTime};
use crate::correlate::{Confidence, Evidence, Parentage, Trees};
use crate::http::{
    CaptureFacts, Exchange, ExchangeFlags, FirstBytes, Framing, Message, MessageState, Method, Protocol,
};
use crate::logs::LogFile;
use crate::tcp::{Closing, DirectionFacts, Event, EventKind, Flow, FlowId, Opening, Side};
use crate::topology::{
    Clock, ClockMethod, Connection, ConnectionId, ExchangeId, ExchangeKey, Lane, LaneId, Link, LinkId, Role,
    Sighting, Topology,
};

/// One millisecond, for times in tests.
pub(crate) const MS: i64 = 1_000_000;

/// An exchange of a chain under construction: connection and place on it.
pub(crate) type Key = (usize, usize);

/// A connection under construction; times are in nanoseconds from the capture's start.
pub(crate) struct Conn {
    link: u16,
    pub(crate) flow: Flow,
    pub(crate) events: Vec<Event>,
    pub(crate) exchanges: Vec<Exchange>,
    targets: Vec<&'static str>,
    frame: u32,
    /// Next sequence number of client and server.
    seq: [u32; 2],
    /// What each side has received: the acknowledgement number that it sends.
    known: [u32; 2],
}

impl Conn {
    fn next_frame(&mut self) -> u32 {
        self.frame += 1;
        self.frame
    }

    fn event(&mut self, kind: EventKind, from: Side, at: i64, has_ack: bool) {
        let frame = self.next_frame();
        let (seq, ack) = (self.seq[from as usize], self.known[from as usize]);
        let at = CaptureTime(at);
        self.events.push(Event { at, frame, kind, from, has_ack, seq, ack, len: 0, quiet_us: 0 });
        self.flow.last = (at, frame);
        self.flow.directions[from as usize].packets += 1;
    }

    /// Both sides have what the other has sent so far.
    pub(crate) fn sync(&mut self) -> &mut Self {
        self.known = [self.seq[1], self.seq[0]];
        self.flow.directions[0].acked = Some(self.known[0]);
        self.flow.directions[1].acked = Some(self.known[1]);
        self
    }

    fn message(&mut self, from: Side, at: (i64, i64), bytes: u32) -> Message {
        let first_frame = self.next_frame();
        let seq = self.seq[from as usize];
        self.seq[from as usize] = seq.wrapping_add(bytes);
        self.flow.last = (CaptureTime(at.1), first_frame);
        self.flow.directions[from as usize].packets += 1;
        Message {
            start: CaptureTime(at.0),
            end: CaptureTime(at.1),
            first_frame,
            last_frame: first_frame,
            seq,
            ack: self.known[from as usize],
            state: MessageState::Complete,
            framing: Framing::Length(0),
            wire_bytes: bytes.into(),
            ..Message::default()
        }
    }

    /// Sends a request of 100 bytes; the server does not have it before [`Conn::sync`].
    pub(crate) fn request(&mut self, method: Method, target: &'static str, at: i64) -> &mut Self {
        let request = self.message(Side::Client, (at, at), 100);
        self.exchanges.push(Exchange {
            flow: FlowId(0),
            ordinal: self.exchanges.len() as u32 + 1,
            method,
            status: None,
            flags: ExchangeFlags::default(),
            target: Default::default(),
            host: None,
            headers: 0,
            header_count: 0,
            request,
            response: Message::default(),
        });
        self.targets.push(target);
        self
    }

    /// Answers the last request with 200 bytes.
    pub(crate) fn response(&mut self, status: u16, at: i64) -> &mut Self {
        self.sync();
        let response = self.message(Side::Server, (at, at), 200);
        let last = self.exchanges.last_mut().unwrap();
        last.response = response;
        last.status = NonZeroU16::new(status);
        self.sync()
    }

    /// The last response ends early.
    pub(crate) fn cut(&mut self) -> &mut Self {
        self.exchanges.last_mut().unwrap().response.state = MessageState::Partial;
        self
    }

    /// A side sends FIN; the other does not have it before [`Conn::sync`].
    pub(crate) fn fin(&mut self, from: Side, at: i64) -> &mut Self {
        self.event(EventKind::Fin, from, at, true);
        self.seq[from as usize] = self.seq[from as usize].wrapping_add(1);
        self
    }

    /// A side acknowledges the other's FIN.
    pub(crate) fn fin_acked(&mut self, from: Side, at: i64) -> &mut Self {
        self.known[from as usize] = self.seq[from.peer() as usize];
        self.event(EventKind::FinAcked, from, at, true);
        self
    }

    /// A side resets, with or without an acknowledgement number.
    pub(crate) fn rst(&mut self, from: Side, at: i64, has_ack: bool) -> &mut Self {
        self.event(EventKind::Rst, from, at, has_ack);
        self.flow.closing = Closing::Reset;
        self
    }

    /// The last request was begun, and not finished.
    pub(crate) fn unfinished(&mut self) -> &mut Self {
        let request = &mut self.exchanges.last_mut().unwrap().request;
        (request.state, request.framing) = (MessageState::Partial, Framing::Length(1 << 20));
        self
    }

    /// A side closes its receive window, or opens it again.
    pub(crate) fn window(&mut self, from: Side, at: i64, open: bool) -> &mut Self {
        self.event(if open { EventKind::WindowOpened } else { EventKind::ZeroWindow }, from, at, true);
        self
    }

    /// Any other event, with its sequence number counted from the side's first byte.
    pub(crate) fn note(&mut self, kind: EventKind, from: Side, at: i64, seq: u32, len: u32) -> &mut Self {
        self.event(kind, from, at, true);
        let isn = self.flow.directions[from as usize].isn.unwrap();
        let event = self.events.last_mut().unwrap();
        (event.seq, event.len) = (isn.wrapping_add(1).wrapping_add(seq), len);
        self
    }

    /// A segment sent again after its sender was quiet for so many nanoseconds.
    pub(crate) fn resend(&mut self, from: Side, at: i64, quiet: i64) -> &mut Self {
        self.note(EventKind::Retransmission, from, at, 0, 100);
        self.events.last_mut().unwrap().quiet_us = (quiet / 1_000) as u32;
        self
    }

    /// An ICMP error about a packet of the client's.
    pub(crate) fn icmp(&mut self, kind: u8, code: u8, at: i64) -> &mut Self {
        self.event(EventKind::Unreachable, Side::Client, at, false);
        self.events.last_mut().unwrap().ack = u32::from(kind) << 8 | u32::from(code);
        self
    }

    /// What the sides' first bytes were; a side that sent any has sent a hundred, and they were heard.
    pub(crate) fn speak(&mut self, client: FirstBytes, server: FirstBytes) -> &mut Self {
        self.flow.wire.first_bytes = [client, server];
        for (side, first) in [client, server].into_iter().enumerate() {
            self.flow.directions[side].bytes = if first == FirstBytes::None { 0 } else { 100 };
        }
        if self.exchanges.is_empty() {
            self.seq[0] = self.seq[0].wrapping_add(100);
            self.sync();
        }
        self
    }

    /// Both ends are on one host, and the snap length cut off all but the first lines.
    pub(crate) fn cut_short_on_one_host(&mut self) -> &mut Self {
        self.flow.client.set_ip(self.flow.server.ip());
        self.flow.directions[0].cut_bytes = 100;
        for exchange in &mut self.exchanges {
            exchange.request.head_bytes = 0;
        }
        self
    }

    /// The largest segments of a side that were acknowledged.
    pub(crate) fn largest_acked(&mut self, from: Side, bytes: u32) -> &mut Self {
        self.flow.directions[from as usize].largest_acked = bytes;
        self
    }

    /// Bytes of the server's that never came.
    pub(crate) fn unarrived(&mut self, bytes: u64) -> &mut Self {
        let direction = &mut self.flow.directions[1];
        (direction.missing_bytes, direction.unarrived_bytes) = (bytes, bytes);
        self
    }

    /// The last response came in two parts, this long apart.
    pub(crate) fn in_parts(&mut self, apart_ns: i64) -> &mut Self {
        let response = &mut self.exchanges.last_mut().unwrap().response;
        response.extent_count = 2;
        response.start = CaptureTime(response.end.0 - apart_ns);
        self
    }

    /// The last response said `Connection: close`.
    pub(crate) fn says_close(&mut self) -> &mut Self {
        self.exchanges.last_mut().unwrap().flags.set(ExchangeFlags::SERVER_CLOSES);
        self
    }

    /// The capture misses bytes of this connection.
    pub(crate) fn lossy(&mut self) -> &mut Self {
        self.flow.directions[1].missing_bytes = 100;
        self
    }

    /// The capture misses bytes of the server's that the client had, beside so many that it holds.
    pub(crate) fn uncaptured(&mut self, missing: u64, held: u64) -> &mut Self {
        let direction = &mut self.flow.directions[1];
        (direction.missing_bytes, direction.uncaptured_bytes, direction.bytes) = (missing, missing, held);
        self
    }

    /// Segments of the client were sent again.
    pub(crate) fn retransmitted(&mut self) -> &mut Self {
        self.flow.directions[0].retransmitted = 3;
        self
    }
}

/// A chain of lanes in a row, one capture for each link.
pub(crate) struct Chain {
    lanes: Vec<&'static str>,
    pub(crate) conns: Vec<Conn>,
    parents: Vec<(Key, Key, u16, Confidence)>,
}

fn address(lane: u16, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, lane as u8, 1], port))
}

impl Chain {
    pub(crate) fn new(lanes: &[&'static str]) -> Self {
        Self { lanes: lanes.to_vec(), conns: Vec::new(), parents: Vec::new() }
    }

    /// Opens a connection on a link (0 is the user's); gives its place in `conns`.
    pub(crate) fn open(&mut self, link: u16, at: i64) -> usize {
        let frame = self.conns.iter().filter(|c| c.link == link).map(|c| c.frame).max().unwrap_or(0);
        // Sequence numbers wrap inside every test.
        let isn = [u32::MAX - 50, u32::MAX - 120];
        let direction = |side: usize| DirectionFacts { isn: Some(isn[side]), ..DirectionFacts::default() };
        let mut conn = Conn {
            link,
            flow: Flow {
                client: address(link, 40_000 + self.conns.len() as u16),
                server: address(link + 1, 8000),
                meant_for: None,
                opening: Opening::Handshake,
                closing: Closing::Open,
                protocol: Protocol::Http11,
                wire: Default::default(),
                first: (CaptureTime(at), frame + 1),
                last: (CaptureTime(at), frame + 1),
                directions: [direction(0), direction(1)],
                events: 0..0,
                exchanges: 0..0,
            },
            events: Vec::new(),
            exchanges: Vec::new(),
            targets: Vec::new(),
            frame,
            seq: isn,
            known: [0; 2],
        };
        conn.event(EventKind::Syn, Side::Client, at, false);
        conn.event(EventKind::SynAck, Side::Server, at + MS / 10, true);
        conn.seq = isn.map(|isn| isn.wrapping_add(1));
        conn.sync();
        conn.event(EventKind::Established, Side::Client, at + MS / 5, true);
        self.conns.push(conn);
        self.conns.len() - 1
    }

    /// A connection whose SYN is answered by RST.
    pub(crate) fn refused(&mut self, link: u16, at: i64) {
        let conn = self.open(link, at);
        let conn = &mut self.conns[conn];
        conn.events.truncate(1);
        conn.flow.opening = Opening::Refused;
        conn.known[1] = conn.seq[0];
        conn.rst(Side::Server, at + MS, true);
    }

    /// A connection whose SYN is sent at these times and never answered.
    pub(crate) fn unanswered(&mut self, link: u16, times: &[i64]) -> usize {
        let at = self.open(link, times[0]);
        let conn = &mut self.conns[at];
        conn.events.truncate(1);
        let syn = conn.events[0];
        for &again in &times[1..] {
            let frame = conn.next_frame();
            conn.events.push(Event { at: CaptureTime(again), frame, ..syn });
            conn.flow.last = (CaptureTime(again), frame);
        }
        conn.flow.opening = Opening::Unanswered;
        for direction in &mut conn.flow.directions {
            (direction.packets, direction.acked) = (0, None);
        }
        conn.flow.directions[0].packets = times.len() as u32;
        at
    }

    /// Says which exchange caused which.
    pub(crate) fn parent(&mut self, child: Key, parent: Key, attempt: u16) {
        self.parents.push((child, parent, attempt, Confidence::Certain));
    }

    /// Says which exchange may have caused which, as others may that are alike.
    pub(crate) fn guess(&mut self, child: Key, parent: Key, attempt: u16) {
        self.parents.push((child, parent, attempt, Confidence::Ambiguous));
    }

    /// The analysis of it, with verdicts.
    pub(crate) fn analyse(self) -> Analysis {
        self.analyse_with(&[])
    }

    /// With logs, each a file name and its text.
    pub(crate) fn analyse_with(self, logs: &[(&str, &str)]) -> Analysis {
        let mut analysis = self.facts();
        analysis.logs = read_logs(logs);
        analysis.diagnosis = super::build(&analysis);
        analysis
    }

    fn facts(self) -> Analysis {
        let hops = self.lanes.len() as u16;
        let mut captures: Vec<CaptureFacts> = (1..hops)
            .map(|link| {
                let mut facts = CaptureFacts::default();
                facts.info.path = format!("hop{link}.pcap").into();
                facts.info.format = "pcap".to_owned();
                facts
            })
            .collect();
        let mut topology = Topology {
            clocks: vec![Clock { method: ClockMethod::SameHost, ..Clock::default() }; captures.len()],
            lanes: self.lanes.iter().enumerate().map(|(at, name)| lane(at as u16, name, hops)).collect(),
            links: (0..hops - 1).map(link).collect(),
            ..Topology::default()
        };
        let mut ids: Vec<Vec<ExchangeId>> = Vec::new();
        for (at, mut conn) in self.conns.into_iter().enumerate() {
            let facts = &mut captures[usize::from(conn.link)];
            for (exchange, target) in conn.exchanges.iter_mut().zip(&conn.targets) {
                exchange.target = facts.add_text(target.as_bytes());
            }
            let index = facts.exchanges.len() as u32;
            let (first, last) = (SessionTime(conn.flow.first.0.0), SessionTime(conn.flow.last.0.0));
            facts.info.packets = facts.info.packets.max(conn.frame.into());
            facts.info.first.get_or_insert(conn.flow.first.0);
            facts.info.last = facts.info.last.max(Some(conn.flow.last.0));
            let (client, server) = (conn.flow.client, conn.flow.server);
            let flow = facts.add_flow(conn.flow, &conn.events, &conn.exchanges);
            let capture = CaptureId(conn.link);
            let start = topology.exchanges.len() as u32;
            let count = conn.exchanges.len() as u32;
            topology.exchanges.extend((0..count).map(|i| ExchangeKey { capture, index: index + i }));
            topology.connection_of.extend((0..count).map(|_| ConnectionId(at as u32)));
            ids.push((start..start + count).map(ExchangeId).collect());
            topology.connections.push(Connection {
                sightings: vec![Sighting { capture, flow }],
                client,
                server,
                link: LinkId(conn.link),
                exchanges: start..start + count,
                first,
                last,
            });
            topology.links[usize::from(conn.link)].connections.push(ConnectionId(at as u32));
        }
        let mut parents = vec![None; topology.exchanges.len()];
        for (child, parent, attempt, confidence) in self.parents {
            parents[ids[child.0][child.1].0 as usize] = Some(Parentage {
                parent: ids[parent.0][parent.1],
                confidence,
                evidence: Evidence(Evidence::REQUEST_ID),
                runner_up: None,
                attempt,
            });
        }
        let captures = captures.into_iter().map(Arc::new).collect();
        let mut analysis = Analysis { captures, topology, ..Analysis::default() };
        analysis.trees = Trees::new(parents, |id| analysis.exchange(id).started().0);
        analysis
    }
}

/// Logs, each a file name and its text, as they are read from files.
pub(crate) fn read_logs(files: &[(&str, &str)]) -> Vec<Arc<LogFile>> {
    let folder = tempfile::tempdir().unwrap();
    let read = |(name, text): &(&str, &str)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Arc::new(crate::logs::read_log(&path, None).unwrap())
    };
    files.iter().map(read).collect()
}

fn lane(at: u16, name: &str, hops: u16) -> Lane {
    let role = match at {
        0 => Role::Client,
        _ if at + 1 == hops => Role::Server,
        _ => Role::Proxy,
    };
    let server = address(at, 8000);
    let serves = if at == 0 { Vec::new() } else { vec![server] };
    Lane {
        name: name.to_owned(),
        role,
        addresses: vec![server.ip()],
        serves,
        depth: at,
        found: name.to_owned(),
        named_by: String::new(),
        inferred: false,
        users: at == 0,
    }
}

fn link(at: u16) -> Link {
    Link {
        from: LaneId(at),
        to: LaneId(at + 1),
        servers: vec![address(at + 1, 8000)],
        connections: Vec::new(),
    }
}

/// The story of the samples in small: uwsgi closes after each response, a POST is lost and a GET is retried.
pub(crate) fn paas() -> Chain {
    let mut chain = Chain::new(&["user", "nginx", "ingress", "uwsgi"]);
    let user = chain.open(0, 0);
    let nginx = chain.open(1, 0);
    for (at, (method, target)) in
        [(Method::Get, "/api/a"), (Method::Post, "/api/b"), (Method::Get, "/api/c")].into_iter().enumerate()
    {
        let start = (at as i64 + 1) * 100 * MS;
        let failed = at > 0;
        chain.conns[user].request(method, target, start);
        chain.conns[nginx].request(method, target, start + MS);
        let app = chain.open(2, start - 10 * MS);
        let conn = &mut chain.conns[app];
        if failed {
            conn.request(Method::Get, "/api/0", start - 5 * MS).response(200, start - 3 * MS);
            conn.fin(Side::Server, start - 2 * MS).fin_acked(Side::Client, start - MS);
            conn.request(method, target, start + 2 * MS).rst(Side::Server, start + 3 * MS, false);
            chain.conns[nginx].response(502, start + 4 * MS);
        } else {
            conn.request(method, target, start + 2 * MS).response(200, start + 5 * MS);
            conn.fin(Side::Server, start + 6 * MS).fin_acked(Side::Client, start + 7 * MS);
            chain.conns[nginx].response(200, start + 8 * MS);
        }
        chain.parent((app, usize::from(failed)), (nginx, at), 1);
        chain.parent((nginx, at), (user, at), 1);
        if method == Method::Post {
            chain.conns[user].response(502, start + 5 * MS);
        } else if failed {
            chain.conns[nginx].request(method, target, start + 5 * MS);
            let second = chain.open(2, start + 5 * MS);
            let conn = &mut chain.conns[second];
            conn.request(method, target, start + 6 * MS).response(200, start + 8 * MS);
            conn.fin(Side::Server, start + 9 * MS).fin_acked(Side::Client, start + 10 * MS);
            chain.conns[nginx].response(200, start + 9 * MS);
            chain.parent((second, 0), (nginx, at + 1), 1);
            chain.parent((nginx, at + 1), (user, at), 2);
            chain.conns[user].response(200, start + 10 * MS);
        } else {
            chain.conns[user].response(200, start + 9 * MS);
        }
    }
    chain
}
