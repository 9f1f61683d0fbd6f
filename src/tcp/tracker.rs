//! The table of live connections: finds each segment's connection, keeps its life's events, and lets go of
//! it when it is over.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use crate::capture::{CaptureTime, ProblemKind, Problems, Segment};

use super::half::{Chunk, Half, Hole, Piece};
use super::seq::seq_diff;
use super::{Closing, Event, EventKind, Flow, Opening, Side};

/// Most connections open at once; beyond it the longest idle ones are let go.
const MAX_LIVE: usize = 400_000;
/// How long a closed connection stays known for its late packets.
const QUARANTINE_NS: i64 = 2_000_000_000;
/// Most closed connections that stay known.
const MAX_QUARANTINE: usize = 8192;
/// Most events kept of one connection.
const MAX_EVENTS: usize = 4096;
/// The same control segment again within this time is a second copy of one packet (`-i any` records a packet
/// on each interface it passes), not a retransmission, whose timers start at 200 ms.
const COPY_NS: i64 = 1_000_000;

/// Reads the streams of one connection. `tcp` knows nothing of what they carry.
pub trait Handler: Default {
    /// What all connections of a capture share.
    type Context: Problems;

    /// Which side sends a stream that has these bytes at the start of a segment, where they tell.
    fn sender_of(payload: &[u8]) -> Option<Side>;
    /// Takes payload in stream order.
    fn data(&mut self, from: Side, chunk: Chunk<'_>, context: &mut Self::Context);
    /// Takes note of bytes that the capture does not hold.
    fn hole(&mut self, from: Side, hole: Hole, context: &mut Self::Context);
    /// All bytes before this side's FIN were handed over.
    fn fin(&mut self, from: Side, at: CaptureTime, frame: u32, context: &mut Self::Context);
    /// The connection is over, or the capture is.
    fn close(self, flow: Flow, events: &[Event], context: &mut Self::Context);
}

/// Both ends of a connection, the lower one first, so that both directions have one key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    low: u128,
    high: u128,
    ports: u32,
}

impl Key {
    /// The key, and whether the segment's sender is the lower end.
    #[inline]
    fn of(src: SocketAddr, dst: SocketAddr) -> (Self, bool) {
        let number = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u128::from(u32::from(ip)),
            IpAddr::V6(ip) => u128::from(ip),
        };
        let (from, to) = ((number(src.ip()), src.port()), (number(dst.ip()), dst.port()));
        let src_is_low = from <= to;
        let (low, high) = if src_is_low { (from, to) } else { (to, from) };
        (Self { low: low.0, high: high.0, ports: u32::from(low.1) << 16 | u32::from(high.1) }, src_is_low)
    }
}

/// A FIN that was seen.
#[derive(Clone, Copy, Debug)]
struct Fin {
    seq: u32,
    at: CaptureTime,
    frame: u32,
    acked: bool,
    delivered: bool,
}

/// A connection that is open, or closed so lately that packets may still come.
struct Live<H> {
    key: Key,
    client: SocketAddr,
    server: SocketAddr,
    client_is_low: bool,
    roles_known: bool,
    opening: Opening,
    closing: Closing,
    established: bool,
    first: (CaptureTime, u32),
    last: (CaptureTime, u32),
    halves: [Half; 2],
    fins: [Option<Fin>; 2],
    window_closed: [bool; 2],
    events: Vec<Event>,
    quarantined: bool,
    handler: H,
}

/// All connections of one capture.
pub struct Tracker<H: Handler> {
    index: HashMap<Key, u32, foldhash::fast::FixedState>,
    slots: Vec<Option<Live<H>>>,
    free: Vec<u32>,
    closed: VecDeque<(CaptureTime, u32, u32)>,
}

impl<H: Handler> Default for Tracker<H> {
    fn default() -> Self {
        Self { index: HashMap::default(), slots: Vec::new(), free: Vec::new(), closed: VecDeque::new() }
    }
}

impl<H: Handler> Tracker<H> {
    /// Takes the next segment of the capture.
    pub fn push(&mut self, segment: &Segment<'_>, context: &mut H::Context) {
        self.release_closed(segment.at, context);
        let (key, src_is_low) = Key::of(segment.src, segment.dst);
        let mut slot = self.index.get(&key).copied();
        if let Some(known) = slot
            && let Some(live) = &self.slots[known as usize]
            && live.is_replaced_by(segment, src_is_low)
        {
            self.close_slot(known, context);
            slot = None;
        }
        let slot = slot.unwrap_or_else(|| self.open(key, segment, src_is_low, context));
        let Some(live) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        live.push(segment, src_is_low, context);
        if live.is_over() && !live.quarantined {
            live.quarantined = true;
            self.closed.push_back((segment.at, slot, live.first.1));
        }
    }

    /// The capture is over.
    pub fn finish(mut self, context: &mut H::Context) {
        for slot in 0..self.slots.len() as u32 {
            self.close_slot(slot, context);
        }
    }

    fn open(&mut self, key: Key, segment: &Segment<'_>, src_is_low: bool, context: &mut H::Context) -> u32 {
        if self.index.len() >= MAX_LIVE {
            self.evict(context);
        }
        let live = Live::new(key, segment, src_is_low);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(live);
                slot
            }
            None => {
                self.slots.push(Some(live));
                self.slots.len() as u32 - 1
            }
        };
        self.index.insert(key, slot);
        slot
    }

    fn close_slot(&mut self, slot: u32, context: &mut H::Context) {
        if let Some(live) = self.slots[slot as usize].take() {
            self.index.remove(&live.key);
            self.free.push(slot);
            live.close(context);
        }
    }

    /// Lets go of connections that closed long enough ago.
    #[inline]
    fn release_closed(&mut self, now: CaptureTime, context: &mut H::Context) {
        while let Some(&(at, slot, first_frame)) = self.closed.front() {
            if now.0.saturating_sub(at.0) < QUARANTINE_NS && self.closed.len() <= MAX_QUARANTINE {
                return;
            }
            self.closed.pop_front();
            // The slot may have been used again since.
            let same = |live: &Live<H>| live.quarantined && live.first.1 == first_frame;
            if self.slots[slot as usize].as_ref().is_some_and(same) {
                self.close_slot(slot, context);
            }
        }
    }

    /// Makes room by letting go of the half that has been idle longest.
    fn evict(&mut self, context: &mut H::Context) {
        context.report(
            ProblemKind::LimitReached,
            format_args!("more than {MAX_LIVE} connections open at once: the longest idle ones were let go"),
        );
        let live = self.slots.iter().enumerate();
        let mut by_age: Vec<(u32, u32)> =
            live.filter_map(|(slot, live)| Some((live.as_ref()?.last.1, slot as u32))).collect();
        by_age.sort_unstable();
        for &(_, slot) in &by_age[..by_age.len() / 2] {
            self.close_slot(slot, context);
        }
    }
}

impl<H: Handler> Live<H> {
    fn new(key: Key, segment: &Segment<'_>, src_is_low: bool) -> Self {
        let flags = segment.flags;
        // Without a SYN the bytes may tell who asks; else the higher port is taken for the client's.
        let sender = if flags.syn() {
            Some(if flags.ack() { Side::Server } else { Side::Client })
        } else {
            H::sender_of(segment.payload)
        };
        let src_is_client = match sender {
            Some(side) => side == Side::Client,
            None => segment.src.port() >= segment.dst.port(),
        };
        let (client, server) =
            if src_is_client { (segment.src, segment.dst) } else { (segment.dst, segment.src) };
        Self {
            key,
            client,
            server,
            client_is_low: src_is_client == src_is_low,
            roles_known: sender.is_some(),
            opening: if flags.syn() && !flags.ack() { Opening::Unanswered } else { Opening::MidStream },
            closing: Closing::Open,
            established: false,
            first: (segment.at, segment.frame),
            last: (segment.at, segment.frame),
            halves: Default::default(),
            fins: [None; 2],
            window_closed: [false; 2],
            events: Vec::new(),
            quarantined: false,
            handler: H::default(),
        }
    }

    /// Whether the segment begins another connection between the same two ends.
    fn is_replaced_by(&self, segment: &Segment<'_>, src_is_low: bool) -> bool {
        if !segment.flags.syn() {
            return false;
        }
        let side = self.side(src_is_low);
        match self.halves[side as usize].facts.isn {
            Some(isn) => isn != segment.seq,
            // A SYN from the client of a connection whose start was not captured; a server's SYN,ACK may
            // still belong to it.
            None => !segment.flags.ack() && (side == Side::Client || self.opening == Opening::MidStream),
        }
    }

    fn is_over(&self) -> bool {
        self.closing == Closing::Reset || self.fins.iter().all(Option::is_some)
    }

    #[inline]
    fn side(&self, src_is_low: bool) -> Side {
        if src_is_low == self.client_is_low { Side::Client } else { Side::Server }
    }

    fn push(&mut self, segment: &Segment<'_>, src_is_low: bool, context: &mut H::Context) {
        self.last = (segment.at, segment.frame);
        let starts = if segment.wire_len == 0 || self.roles_known && self.opening != Opening::MidStream {
            None
        } else {
            H::sender_of(segment.payload)
        };
        if !self.roles_known
            && let Some(sender) = starts
        {
            self.roles_known = true;
            if sender != self.side(src_is_low) {
                self.swap_roles();
            }
        }
        let side = self.side(src_is_low);
        self.halves[side as usize].facts.packets += 1;
        let flags = segment.flags;
        if flags.syn() {
            self.on_syn(segment, side);
        } else if !flags.rst() {
            self.on_window(segment, side);
        }
        if flags.ack() && !flags.syn() {
            self.on_ack(segment, side, context);
        }
        if segment.wire_len > 0 {
            self.on_payload(segment, side, starts.is_some(), context);
        }
        if flags.fin() {
            self.on_fin(segment, side);
        }
        self.deliver_fin(side, context);
        if flags.rst() {
            self.on_rst(segment, side);
        }
    }

    fn swap_roles(&mut self) {
        std::mem::swap(&mut self.client, &mut self.server);
        self.client_is_low = !self.client_is_low;
        self.halves.swap(0, 1);
        self.fins.swap(0, 1);
        self.window_closed.swap(0, 1);
        for event in &mut self.events {
            event.from = event.from.peer();
        }
    }

    fn on_syn(&mut self, segment: &Segment<'_>, side: Side) {
        let half = &mut self.halves[side as usize];
        if half.next.is_none() {
            half.start_at(segment.seq);
        }
        self.roles_known = true;
        if segment.flags.ack() {
            if self.opening == Opening::Unanswered {
                self.opening = Opening::Handshake;
            }
            self.note_ack(side, segment.ack);
            self.event(segment, EventKind::SynAck, side);
        } else {
            self.event(segment, EventKind::Syn, side);
        }
    }

    fn on_window(&mut self, segment: &Segment<'_>, side: Side) {
        let closed = segment.window == 0;
        if closed && !self.window_closed[side as usize] {
            self.event(segment, EventKind::ZeroWindow, side);
        }
        self.window_closed[side as usize] = closed;
    }

    fn on_ack(&mut self, segment: &Segment<'_>, side: Side, context: &mut H::Context) {
        self.note_ack(side, segment.ack);
        if !self.established
            && side == Side::Client
            && self.opening == Opening::Handshake
            && !segment.flags.rst()
        {
            self.established = true;
            self.event(segment, EventKind::Established, side);
        }
        let peer = side.peer();
        let mut ack = segment.ack;
        if let Some(fin) = &mut self.fins[peer as usize]
            && seq_diff(ack, fin.seq) > 0
        {
            // The FIN takes a number of the sequence space that no byte has.
            ack = fin.seq;
            if !fin.acked {
                fin.acked = true;
                self.event(segment, EventKind::FinAcked, side);
            }
        }
        // A reset may carry any acknowledgement number, so it proves no loss.
        if !segment.flags.rst() {
            let speaks = segment.wire_len > 0;
            let mut sink = Sink { handler: &mut self.handler, events: &mut self.events, from: peer, context };
            self.halves[peer as usize]
                .acknowledged(ack, speaks, segment.at, segment.frame, &mut |piece| sink.take(piece));
        }
    }

    fn on_payload(&mut self, segment: &Segment<'_>, side: Side, starts: bool, context: &mut H::Context) {
        if self.fins[side as usize].is_some_and(|fin| seq_diff(segment.seq, fin.seq) >= 0) {
            self.event(segment, EventKind::DataAfterFin, side);
            return;
        }
        let mut sink = Sink { handler: &mut self.handler, events: &mut self.events, from: side, context };
        let within = self.halves[side as usize].push(segment, starts, &mut |piece| sink.take(piece));
        if !within {
            context.report(
                ProblemKind::LimitReached,
                format_args!(
                    "packet {}: too many bytes wait behind a gap of {} → {}; the gap was given up",
                    segment.frame, segment.src, segment.dst
                ),
            );
        }
    }

    fn on_fin(&mut self, segment: &Segment<'_>, side: Side) {
        if self.fins[side as usize].is_some() {
            return;
        }
        let seq = segment.seq.wrapping_add(segment.wire_len);
        self.fins[side as usize] =
            Some(Fin { seq, at: segment.at, frame: segment.frame, acked: false, delivered: false });
        if self.closing == Closing::Open {
            self.closing = Closing::Fin;
        }
        self.event(&Segment { seq, ..*segment }, EventKind::Fin, side);
    }

    /// Tells the handler of a FIN once all bytes before it were handed over.
    fn deliver_fin(&mut self, side: Side, context: &mut H::Context) {
        let next = self.halves[side as usize].next;
        if let Some(fin) = &mut self.fins[side as usize]
            && !fin.delivered
            && next.is_none_or(|next| seq_diff(next, fin.seq) >= 0)
        {
            fin.delivered = true;
            self.handler.fin(side, fin.at, fin.frame, context);
        }
    }

    fn on_rst(&mut self, segment: &Segment<'_>, side: Side) {
        if self.opening == Opening::Unanswered && side == Side::Server {
            self.opening = Opening::Refused;
        }
        self.closing = Closing::Reset;
        self.event(segment, EventKind::Rst, side);
    }

    fn note_ack(&mut self, side: Side, ack: u32) {
        let acked = &mut self.halves[side as usize].facts.acked;
        if acked.is_none_or(|known| seq_diff(ack, known) > 0) {
            *acked = Some(ack);
        }
    }

    fn event(&mut self, segment: &Segment<'_>, kind: EventKind, from: Side) {
        let has_ack = segment.flags.ack();
        let copy = self.events.iter().rev().take(4).any(|e| {
            e.kind == kind
                && e.from == from
                && (e.seq, e.ack, e.has_ack) == (segment.seq, segment.ack, has_ack)
                && segment.at.0.saturating_sub(e.at.0) < COPY_NS
        });
        if copy || self.events.len() >= MAX_EVENTS {
            return;
        }
        let Segment { at, frame, seq, ack, wire_len: len, .. } = *segment;
        self.events.push(Event { at, frame, kind, from, has_ack, seq, ack, len });
    }

    fn close(mut self, context: &mut H::Context) {
        for side in [Side::Client, Side::Server] {
            let mut sink = Sink { handler: &mut self.handler, events: &mut self.events, from: side, context };
            self.halves[side as usize].finish(self.last.0, self.last.1, &mut |piece| sink.take(piece));
            self.deliver_fin(side, context);
        }
        // A packet or two of one side alone are leftovers of a connection that was over, not one of its own.
        let one_sided = self.halves.iter().any(|half| half.facts.packets == 0);
        let silent = self.halves.iter().all(|half| half.facts.bytes == 0);
        if self.opening == Opening::MidStream && one_sided && silent {
            return;
        }
        let flow = Flow {
            client: self.client,
            server: self.server,
            opening: self.opening,
            closing: self.closing,
            protocol: Default::default(),
            wire: Default::default(),
            first: self.first,
            last: self.last,
            directions: [self.halves[0].facts, self.halves[1].facts],
            events: 0..0,
            exchanges: 0..0,
        };
        self.handler.close(flow, &self.events, context);
    }
}

/// Hands the pieces of one direction to the handler, and keeps holes as events.
struct Sink<'a, H: Handler> {
    handler: &'a mut H,
    events: &'a mut Vec<Event>,
    from: Side,
    context: &'a mut H::Context,
}

impl<H: Handler> Sink<'_, H> {
    #[inline]
    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Data(chunk) => self.handler.data(self.from, chunk, self.context),
            Piece::Hole(hole) => {
                if self.events.len() < MAX_EVENTS {
                    let Hole { seq, len, at, frame } = hole;
                    let from = self.from;
                    let kind = EventKind::Hole;
                    self.events.push(Event { at, frame, kind, from, has_ack: false, seq, ack: 0, len });
                }
                self.handler.hole(self.from, hole, self.context);
            }
        }
    }
}
