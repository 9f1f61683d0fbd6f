//! One connection that is open, or closed so lately that packets may still come: its life's events, and the
//! reassembly of both directions.

mod belongs;
mod closing;
mod doubt;
mod opening;

use std::net::SocketAddr;

use crate::capture::{CaptureTime, ProblemKind, Problems, Segment};

use super::events::EventLog;
use super::half::{Half, Piece, Pushed};
use super::held::Stray;
use super::seq::seq_diff;
use super::tracker::{Handler, Key};
use super::{Closing, Event, EventKind, Opening, Side};
use doubt::Doubt;

/// Numbers further apart than this are not of one stream, unless the other direction says so: more bytes than a
/// window holds, and than captures lose in a burst.
const STREAM_REACH: u32 = 1 << 26;
/// A RST further than this from what its receiver awaits lies outside of the window of any usual system.
const RST_REACH: i32 = 1 << 24;
/// An acknowledgement further ahead of the one before is not believed.
const MAX_ACK_STEP: u32 = 1 << 30;

/// A FIN that was seen.
#[derive(Clone, Copy, Debug)]
struct Fin {
    seq: u32,
    at: CaptureTime,
    frame: u32,
    acked: bool,
    delivered: bool,
}

/// What a segment was to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It belongs to it.
    Here,
    /// It belongs to it, and some of its bytes are kept for later.
    Held,
    /// Its numbers are of another connection between the same two ends.
    Elsewhere,
}

/// The connection. What each packet asks for lies together at the front, in as few cache lines as may be.
#[repr(C)]
pub(super) struct Live<H> {
    pub(super) key: Key,
    client_is_low: bool,
    roles_known: bool,
    opening: Opening,
    closing: Closing,
    /// The handshake is complete, or nothing of it was seen.
    settled: bool,
    pub(super) quarantined: bool,
    window_closed: [bool; 2],
    fins: [Option<Fin>; 2],
    pub(super) last: (CaptureTime, u32),
    halves: [Half; 2],
    handler: H,
    client: SocketAddr,
    server: SocketAddr,
    pub(super) first: (CaptureTime, u32),
    events: EventLog,
    /// The last segment that fits nowhere: a second one beside it begins another connection.
    pub(super) stray: Option<Box<Stray>>,
    /// Its first packets stand in the file behind later ones.
    disordered: bool,
    /// The number of the other SYN,ACK, where the server's were two with different ones.
    other_isn: Option<u32>,
    /// Where its answers come from, if not from `server`.
    pub(super) meant_for: Option<SocketAddr>,
    /// A RST that may not have been heeded.
    doubt: Option<Box<Doubt>>,
    /// Bytes that the tracker counts as held by this connection.
    pub(super) held_counted: usize,
}

impl<H: Handler> Live<H> {
    pub(super) fn new(key: Key, segment: &Segment<'_>, src_is_low: bool) -> Self {
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
        let mut halves: [Half; 2] = Default::default();
        for half in &mut halves {
            half.patient = H::PATIENT;
        }
        let opening = match (flags.syn(), flags.ack()) {
            (true, false) => Opening::Unanswered,
            // The SYN before it was not captured; the answer tells its number.
            (true, true) => {
                halves[Side::Client as usize].start_at(segment.ack.wrapping_sub(1));
                Opening::Handshake
            }
            (false, _) => Opening::MidStream,
        };
        Self {
            key,
            client,
            server,
            client_is_low: src_is_client == src_is_low,
            roles_known: sender.is_some(),
            opening,
            closing: Closing::Open,
            settled: opening == Opening::MidStream,
            first: (segment.at, segment.frame),
            last: (segment.at, segment.frame),
            halves,
            fins: [None; 2],
            window_closed: [false; 2],
            events: EventLog::default(),
            stray: None,
            other_isn: None,
            meant_for: None,
            doubt: None,
            disordered: false,
            quarantined: false,
            held_counted: 0,
            handler: H::default(),
        }
    }

    /// Whether packets stand in the file behind those that were sent after them, so far that it tells of loss, or of
    /// another order of messages, where there is none.
    pub(super) fn is_disordered(&self) -> bool {
        self.disordered || self.halves.iter().any(|half| half.disordered)
    }

    pub(super) fn is_over(&self) -> bool {
        self.closing == Closing::Reset || self.fins.iter().all(Option::is_some)
    }

    /// Whether packets may still come although it is over: a side will send its FIN again, or a RST was not heeded.
    pub(super) fn awaits_more(&self) -> bool {
        self.doubt.is_some()
            || self.closing != Closing::Reset && self.fins.iter().flatten().any(|fin| !fin.acked)
    }

    /// Bytes kept ahead of gaps, in both directions, and those of a segment that fits nowhere.
    pub(super) fn held_bytes(&self) -> usize {
        let stray = self.stray.as_ref().map_or(0, |stray| stray.len());
        self.halves.iter().map(|half| half.held_bytes).sum::<usize>() + stray
    }

    pub(super) fn client(&self) -> SocketAddr {
        self.client
    }

    pub(super) fn server_is_low(&self) -> bool {
        !self.client_is_low
    }

    #[inline]
    fn side(&self, src_is_low: bool) -> Side {
        if src_is_low == self.client_is_low { Side::Client } else { Side::Server }
    }

    /// Inlined into the one place that matters: the call alone cost as much as the usual segment's way through it.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        segment: &Segment<'_>,
        src_is_low: bool,
        context: &mut H::Context,
    ) -> Taken {
        let flags = segment.flags;
        let mut side = self.side(src_is_low);
        if let Some(next) = self.halves[side as usize].next
            && (segment.seq.wrapping_sub(next).wrapping_add(STREAM_REACH) > 2 * STREAM_REACH
                || self.closing != Closing::Open)
            && self.is_elsewhere(segment, side)
        {
            return Taken::Elsewhere;
        }
        if flags.rst() && self.is_stray_rst(segment, side) {
            self.events.note(segment, EventKind::StrayRst, side);
            return Taken::Here;
        }
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
            if sender != side {
                self.swap_roles();
                side = sender;
            }
        }
        if self.closing == Closing::Reset {
            self.weigh_doubt(segment, side);
        }
        let facts = &mut self.halves[side as usize].facts;
        facts.packets += 1;
        let before = facts.end_seq;
        facts.passage = facts.passage.and(segment.passage);
        if flags.syn() {
            self.on_syn(segment, side);
        } else if !flags.rst() {
            if !self.settled {
                self.on_handshake(segment, side);
            }
            self.on_window(segment, side);
        }
        if flags.ack() && !flags.syn() {
            self.on_ack(segment, side, context);
        }
        let mut taken = Taken::Here;
        if segment.wire_len > 0 {
            taken = if flags.syn() {
                self.on_syn_payload(segment, side, context)
            } else {
                self.on_payload(segment, side, starts.is_some(), context)
            };
        } else if !flags.syn() {
            self.on_bare(segment, side);
        }
        if flags.fin() {
            self.on_fin(segment, side);
        }
        if self.fins[side as usize].is_some() {
            self.deliver_fin(side, context);
        }
        if flags.rst() {
            self.on_rst(segment, side, before);
        }
        taken
    }

    fn swap_roles(&mut self) {
        std::mem::swap(&mut self.client, &mut self.server);
        self.client_is_low = !self.client_is_low;
        self.halves.swap(0, 1);
        self.fins.swap(0, 1);
        self.window_closed.swap(0, 1);
        self.swap_doubt();
        for event in &mut self.events.list {
            event.from = event.from.peer();
        }
        self.handler.swap_sides();
    }

    #[inline]
    fn on_window(&mut self, segment: &Segment<'_>, side: Side) {
        let closed = segment.window == 0;
        if closed != self.window_closed[side as usize] {
            self.on_window_change(segment, side, closed);
        }
    }

    #[cold]
    fn on_window_change(&mut self, segment: &Segment<'_>, side: Side, closed: bool) {
        // A packet that came late says how the window was (RFC 9293, section 3.10.7.4, "SND.WL2").
        let acked = self.halves[side as usize].facts.acked;
        if !segment.flags.ack() || acked.is_some_and(|acked| seq_diff(segment.ack, acked) < 0) {
            return;
        }
        self.window_closed[side as usize] = closed;
        let kind = if closed { EventKind::ZeroWindow } else { EventKind::WindowOpened };
        self.events.note(segment, kind, side);
    }

    #[inline(always)]
    fn on_ack(&mut self, segment: &Segment<'_>, side: Side, context: &mut H::Context) {
        self.note_ack(side, segment.ack);
        let peer = side.peer();
        let mut ack = segment.ack;
        if let Some(fin) = &mut self.fins[peer as usize]
            && seq_diff(ack, fin.seq) > 0
        {
            // The FIN takes a number of the sequence space that no byte has.
            ack = fin.seq;
            if !fin.acked {
                fin.acked = true;
                self.events.note(segment, EventKind::FinAcked, side);
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

    #[inline]
    fn on_bare(&mut self, segment: &Segment<'_>, side: Side) {
        let acked = self.halves[side.peer() as usize].facts.acked;
        let probe = self.halves[side as usize].push_bare(segment, acked);
        if probe && !segment.flags.fin() && !segment.flags.rst() {
            self.on_probe(segment, side);
        }
    }

    #[cold]
    fn on_probe(&mut self, segment: &Segment<'_>, side: Side) {
        let blocked = self.window_closed[side.peer() as usize];
        self.events.note(segment, if blocked { EventKind::WindowProbe } else { EventKind::KeepAlive }, side);
    }

    #[inline(always)]
    fn on_payload(
        &mut self,
        segment: &Segment<'_>,
        side: Side,
        starts: bool,
        context: &mut H::Context,
    ) -> Taken {
        if self.fins[side as usize].is_some_and(|fin| seq_diff(segment.seq, fin.seq) >= 0) {
            self.events.note(segment, EventKind::DataAfterFin, side);
            return Taken::Here;
        }
        let mut sink = Sink { handler: &mut self.handler, events: &mut self.events, from: side, context };
        let pushed = self.halves[side as usize].push(segment, starts, &mut |piece| sink.take(piece));
        if pushed == Pushed::New {
            return Taken::Here;
        }
        self.on_unusual_payload(segment, side, pushed, context)
    }

    #[cold]
    fn on_unusual_payload(
        &mut self,
        segment: &Segment<'_>,
        side: Side,
        pushed: Pushed,
        context: &mut H::Context,
    ) -> Taken {
        let (frame, src, dst) = (segment.frame, segment.src, segment.dst);
        if std::mem::take(&mut self.halves[side as usize].conflict) {
            context.report(
                ProblemKind::ConflictingBytes,
                format_args!(
                    "packet {frame}: bytes of {src} → {dst} differ from those sent first, which were taken"
                ),
            );
        }
        match pushed {
            Pushed::New | Pushed::Copy => Taken::Here,
            Pushed::Held => Taken::Held,
            Pushed::Full => {
                report_full(segment, context);
                Taken::Held
            }
            // What lies before the first byte of both sides repeats nothing.
            Pushed::Repeat if self.is_elsewhere(segment, side) => {
                self.halves[side as usize].take_back_repeat();
                Taken::Elsewhere
            }
            Pushed::Repeat => {
                let quiet_us = self.halves[side as usize].quiet_us;
                self.events.note_after(quiet_us, segment, EventKind::Retransmission, side);
                Taken::Here
            }
            Pushed::Probe => {
                self.on_probe(segment, side);
                Taken::Here
            }
        }
    }

    /// Gives up the first gap of each direction, since all connections together hold too much.
    #[cold]
    pub(super) fn let_go_of_held(&mut self, segment: &Segment<'_>, context: &mut H::Context) {
        report_full(segment, context);
        self.stray = None;
        for side in [Side::Client, Side::Server] {
            let mut sink = Sink { handler: &mut self.handler, events: &mut self.events, from: side, context };
            while self.halves[side as usize].held_bytes > 0 {
                self.halves[side as usize].skip_gap(segment.at, segment.frame, &mut |piece| sink.take(piece));
            }
        }
    }

    /// An ICMP error quotes a segment of this connection.
    #[cold]
    pub(super) fn on_unreachable(&mut self, segment: &Segment<'_>, src_is_low: bool) {
        let side = self.side(src_is_low);
        let far = |next: u32| seq_diff(segment.seq, next).unsigned_abs() > STREAM_REACH;
        if self.halves[side as usize].next.is_some_and(far) {
            return;
        }
        self.events.note(segment, EventKind::Unreachable, side);
    }

    #[inline]
    fn note_ack(&mut self, side: Side, ack: u32) {
        let acked = &mut self.halves[side as usize].facts.acked;
        if acked.is_none_or(|known| ack.wrapping_sub(known).wrapping_sub(1) < MAX_ACK_STEP) {
            *acked = Some(ack);
        }
    }
}

fn report_full(segment: &Segment<'_>, context: &mut impl Problems) {
    context.report(
        ProblemKind::LimitReached,
        format_args!(
            "packet {}: too many bytes wait behind a gap of {} → {}; the gap was given up",
            segment.frame, segment.src, segment.dst
        ),
    );
}

/// Hands the pieces of one direction to the handler, and keeps holes as events.
struct Sink<'a, H: Handler> {
    handler: &'a mut H,
    events: &'a mut EventLog,
    from: Side,
    context: &'a mut H::Context,
}

impl<H: Handler> Sink<'_, H> {
    #[inline(always)]
    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Data(ref chunk) => self.handler.data(self.from, chunk, self.context),
            other => self.take_other(other),
        }
    }

    /// Apart from the usual piece, so that this is not compiled into each place that hands one on.
    #[cold]
    fn take_other(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Data(_) => {}
            Piece::Hole(hole) => {
                // What the snap length cut off was captured as a packet, and is no loss.
                if !hole.cut {
                    self.events.add(hole.event(self.from));
                }
                self.handler.hole(self.from, hole, self.context);
            }
            Piece::Again(chunk, is_copy) => self.handler.repeated(self.from, chunk, is_copy, self.context),
            Piece::LostEnd(hole) => self.events.add(hole.event(self.from)),
        }
    }
}

impl super::Hole {
    fn event(self, from: Side) -> Event {
        let Self { seq, len, at, frame, .. } = self;
        Event { at, frame, kind: EventKind::Hole, from, has_ack: false, seq, ack: 0, len, quiet_us: 0 }
    }
}
