//! Files read a second time: by the order of their packets' times, or some connections of a capture, with segments that
//! other captures hold and this one does not.

use std::fmt;
use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::capture::{
    CaptureId, CaptureInfo, CaptureTime, Decoder, Frame, InOrder, Packet, Passage, ProblemKind, ProblemLog,
    Problems, Reader, Segment, TcpFlags,
};
use crate::tcp::{Chunk, Event, EventKind, Flow, FlowId, Handler, Hole, Side, Tracker, seq_diff};

use super::conversation::Conversation;
use super::facts::LENT_OFFSET;
use super::load::{Context, ReadOnce};
use super::{CaptureFacts, LentBytes};

/// Hears no problems. What is wrong with a file was said when it was first read.
struct Unheard;

impl Problems for Unheard {
    fn report(&mut self, _kind: ProblemKind, _detail: fmt::Arguments<'_>) {}
}

/// Hears of problems as the log in it does. A type of its own for the same reason as [`Again`].
struct Heard<'a>(&'a mut ProblemLog);

impl Problems for Heard<'_> {
    fn report(&mut self, kind: ProblemKind, detail: fmt::Arguments<'_>) {
        self.0.report(kind, detail);
    }
    fn report_many(&mut self, kind: ProblemKind, count: u64, detail: fmt::Arguments<'_>) {
        self.0.report_many(kind, count, detail);
    }
}

/// A conversation that is read again. A type of its own, and so are [`Unheard`]'s callers, because the code that
/// reads files for the first time is inlined into its one caller, and gets slower when there are two.
#[derive(Default)]
struct Again<const PATIENT: bool>(Conversation);

impl<const PATIENT: bool> Handler for Again<PATIENT> {
    const PATIENT: bool = PATIENT;
    type Context = Context;

    fn sender_of(payload: &[u8]) -> Option<Side> {
        Conversation::sender_of(payload)
    }
    fn data(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        self.0.data(from, chunk, context);
    }
    fn hole(&mut self, from: Side, hole: Hole, context: &mut Context) {
        self.0.hole(from, hole, context);
    }
    fn repeated(&mut self, from: Side, chunk: Chunk<'_>, is_copy: bool, context: &mut Context) {
        self.0.repeated(from, chunk, is_copy, context);
    }
    fn swap_sides(&mut self) {
        self.0.swap_sides();
    }
    fn fin(&mut self, from: Side, at: CaptureTime, frame: u32, context: &mut Context) {
        self.0.fin(from, at, frame, context);
    }
    fn close(self, flow: Flow, events: &[Event], context: &mut Context) {
        self.0.close(flow, events, context);
    }
}

/// How often reading says how far it is and asks whether to stop, in packets.
const STRIDE: u64 = 4096;

/// The packets of a file, by the order of their times or by that of the file.
enum Packets {
    AsTheyStand(Reader),
    ByTime(InOrder),
}

impl Packets {
    fn of(reader: Reader, by_time: bool) -> Self {
        if by_time { Self::ByTime(InOrder::new(reader)) } else { Self::AsTheyStand(reader) }
    }

    fn next(&mut self, problems: &mut impl Problems) -> Option<Packet<'_>> {
        match self {
            Self::AsTheyStand(reader) => reader.next_packet(problems),
            Self::ByTime(packets) => packets.next_packet(problems),
        }
    }
}

/// Reads a file by the order of its packets' times; `None` where it cannot be read again.
#[cold]
pub(super) fn read_in_order(info: &CaptureInfo, go_on: &mut dyn FnMut(u64) -> bool) -> Option<ReadOnce> {
    let mut packets = InOrder::new(Reader::open_again(info).ok()?);
    let mut read_once = ReadOnce::default();
    let context = &mut read_once.context;
    let (mut decoder, mut tracker) = (Decoder::default(), Tracker::<Again<true>>::default());
    for count in 1_u64.. {
        let Some(packet) = packets.next_packet(&mut Heard(&mut context.problems)) else { break };
        if let Some(segment) = decoder.segment(&packet, &mut Heard(&mut context.problems)) {
            tracker.push(&segment, context);
        } else {
            while let Some(piece) = decoder.piece() {
                tracker.push(&piece, context);
            }
        }
        if count.is_multiple_of(STRIDE) && !go_on(packets.reader().position()) {
            break;
        }
    }
    decoder.finish(&mut Heard(&mut context.problems));
    read_once.disordered = tracker.finish(context);
    read_once.info = CaptureInfo { by_time: true, ..packets.reader().info() };
    Some(read_once)
}

/// Where the packets of a connection lie in its capture: from the first to the last, in the order they were taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    first: (CaptureTime, u32),
    last: (CaptureTime, u32),
    by_time: bool,
}

impl Span {
    pub(crate) fn of(facts: &CaptureFacts, flow: &Flow) -> Self {
        Self { first: flow.first, last: flow.last, by_time: facts.info.by_time }
    }

    fn holds(&self, segment: &Segment<'_>) -> bool {
        let (first, last) = (self.first, self.last);
        if self.by_time {
            (first..=last).contains(&(segment.at, segment.frame))
        } else {
            (first.1..=last.1).contains(&segment.frame)
        }
    }
}

/// A connection of which a capture is to lend what another one misses.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Its client and server, as the lender calls them.
    pub ends: (SocketAddr, SocketAddr),
    /// Where its packets lie in the lender.
    pub span: Span,
    /// What is missing: whose bytes, from which sequence number on, how many.
    pub missing: Vec<(Side, u32, u32)>,
}

/// A segment that another capture lends.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    pub from: Side,
    pub frame: Frame,
    /// By the lender's clock, until whoever borrows sets it.
    pub at: CaptureTime,
    flags: TcpFlags,
    seq: u32,
    ack: u32,
    window: u16,
    tsval: u32,
    payload: Box<[u8]>,
    wire_len: u32,
}

/// A connection to read again.
#[derive(Debug)]
pub(crate) struct Rerun {
    pub flow: FlowId,
    /// In the order in which they were sent, as far as the lenders tell.
    pub lent: Vec<Lent>,
}

type ByEnds = HashMap<(SocketAddr, SocketAddr), Vec<usize>, foldhash::fast::FixedState>;

/// Reads a capture file again for the TCP segments of some connections, by the index of each in the list given.
fn segments_of(
    info: &CaptureInfo,
    ends: impl Iterator<Item = (SocketAddr, SocketAddr)>,
    mut take: impl FnMut(usize, &Segment<'_>),
) {
    let mut by_ends = ByEnds::default();
    for (at, (client, server)) in ends.enumerate() {
        by_ends.entry((client, server)).or_default().push(at);
        by_ends.entry((server, client)).or_default().push(at);
    }
    let mut log = Unheard;
    let Ok(reader) = Reader::open_again(info) else { return };
    let mut packets = Packets::of(reader, info.by_time);
    let mut decoder = Decoder::default();
    let mut offer = |segment: &Segment<'_>| {
        for &at in by_ends.get(&(segment.src, segment.dst)).into_iter().flatten() {
            take(at, segment);
        }
    };
    while let Some(packet) = packets.next(&mut log) {
        if let Some(segment) = decoder.segment(&packet, &mut log).filter(|s| !s.is_icmp_error) {
            offer(&segment);
        }
        while let Some(piece) = decoder.piece() {
            offer(&piece);
        }
    }
}

/// What a capture lends for each of the connections wanted. `budget` is the bytes that may still be lent.
pub(crate) fn lend(
    lender: &CaptureFacts,
    id: CaptureId,
    wanted: &[Wanted],
    budget: &mut usize,
) -> Vec<Vec<Lent>> {
    let mut lent: Vec<Vec<Lent>> = vec![Vec::new(); wanted.len()];
    segments_of(&lender.info, wanted.iter().map(|one| one.ends), |at, segment| {
        let one = &wanted[at];
        let from = if segment.src == one.ends.0 { Side::Client } else { Side::Server };
        let flags = segment.flags;
        let control = flags.syn() || flags.fin() || flags.rst();
        let fills = |&(side, seq, len): &(Side, u32, u32)| {
            side == from
                && seq_diff(segment.seq.wrapping_add(segment.wire_len), seq) > 0
                && seq_diff(segment.seq, seq.wrapping_add(len)) < 0
        };
        let within = one.span.holds(segment);
        let needed = control || segment.wire_len > 0 && one.missing.iter().any(fills);
        if !within || !needed || segment.payload.len() > *budget {
            return;
        }
        *budget -= segment.payload.len();
        lent[at].push(Lent {
            from,
            frame: Frame { capture: id, number: segment.frame },
            at: segment.at,
            flags,
            seq: segment.seq,
            ack: segment.ack,
            window: segment.window,
            tsval: segment.tsval,
            payload: segment.payload.into(),
            wire_len: segment.wire_len,
        });
    });
    lent
}

/// A connection that is being read again.
struct Running {
    old: FlowId,
    ends: (SocketAddr, SocketAddr),
    span: Span,
    lent: std::collections::VecDeque<Lent>,
    tracker: Tracker<Again<false>>,
    last: (CaptureTime, u32),
    /// Packets of the connection that are still to come; some left means that the file is not the one read before.
    to_come: u64,
}

impl Running {
    fn new(facts: &CaptureFacts, rerun: Rerun) -> Self {
        let flow = facts.flow(rerun.flow);
        let events = facts.events_of(flow);
        let lent = rerun.lent.into_iter().filter(|lent| !lent.is_among(events)).collect();
        Self {
            old: rerun.flow,
            ends: (flow.client, flow.server),
            span: Span::of(facts, flow),
            lent,
            tracker: Tracker::default(),
            last: flow.first,
            to_come: flow.directions.iter().map(|side| u64::from(side.packets)).sum(),
        }
    }

    fn push(&mut self, segment: &Segment<'_>, context: &mut Context) {
        if !self.span.holds(segment) {
            return;
        }
        let from = if segment.src == self.ends.0 { Side::Client } else { Side::Server };
        while let Some(place) = self.lent.iter().position(|lent| lent.comes_before(segment, from)) {
            if let Some(lent) = self.lent.remove(place) {
                self.insert(&lent, segment.at, context);
            }
        }
        self.last = (segment.at, segment.frame);
        self.to_come = self.to_come.saturating_sub(1);
        self.tracker.push(segment, context);
    }

    /// Puts a lent segment behind the last one, in time not after `before`.
    fn insert(&mut self, lent: &Lent, before: CaptureTime, context: &mut Context) {
        let (client, server) = self.ends;
        let (src, dst) = if lent.from == Side::Client { (client, server) } else { (server, client) };
        let at = lent.at.max(self.last.0).min(before);
        self.tracker.push(
            &Segment {
                frame: self.last.1,
                at,
                src,
                dst,
                seq: lent.seq,
                ack: lent.ack,
                flags: lent.flags,
                window: lent.window,
                ip_id: 0,
                tsval: lent.tsval,
                window_scale: None,
                passage: Passage::UNKNOWN,
                is_icmp_error: false,
                payload: &lent.payload,
                wire_len: lent.wire_len,
                file_offset: LENT_OFFSET,
            },
            context,
        );
        self.last.0 = at;
        context.facts.lent.push(LentBytes {
            client,
            server,
            from: lent.from,
            seq: lent.seq,
            len: lent.wire_len,
            frame: lent.frame,
        });
    }

    /// The connection read again, as the index of its new flow, where it came out as one.
    fn finish(mut self, context: &mut Context) -> Option<usize> {
        while let Some(lent) = self.lent.pop_front() {
            let end = CaptureTime(lent.at.0.max(self.last.0.0));
            self.insert(&lent, end, context);
        }
        let before = context.facts.flows.len();
        self.tracker.finish(context);
        (context.facts.flows.len() == before + 1 && self.to_come == 0).then_some(before)
    }
}

impl Lent {
    /// Whether the borrower has this FIN, RST or SYN itself.
    fn is_among(&self, events: &[Event]) -> bool {
        let kind = match (self.flags.rst(), self.flags.syn(), self.flags.fin()) {
            (true, ..) => EventKind::Rst,
            (_, true, _) if self.flags.ack() => EventKind::SynAck,
            (_, true, _) => EventKind::Syn,
            (.., true) => EventKind::Fin,
            _ => return false,
        };
        let seq = self.seq.wrapping_add(if kind == EventKind::Fin { self.wire_len } else { 0 });
        self.wire_len == 0 && events.iter().any(|e| e.kind == kind && e.from == self.from && e.seq == seq)
    }

    /// Whether a segment proves that this one was sent before it: it lies behind it, or acknowledges it.
    fn comes_before(&self, segment: &Segment<'_>, from: Side) -> bool {
        if self.flags.rst() {
            return false;
        }
        if from == self.from {
            return seq_diff(segment.seq, self.seq) > 0;
        }
        segment.flags.ack() && seq_diff(segment.ack, self.seq) > 0
    }
}

/// Reads some connections of a capture again, with what others lend, and puts them in the place of the old ones.
pub(crate) fn rerun(facts: CaptureFacts, reruns: Vec<Rerun>) -> CaptureFacts {
    let mut running: Vec<Running> = reruns.into_iter().map(|rerun| Running::new(&facts, rerun)).collect();
    let ends: Vec<_> = running.iter().map(|one| one.ends).collect();
    let info = facts.info.clone();
    let old_flows = facts.flows.len();
    let mut context = Context::of(facts);
    segments_of(&info, ends.into_iter(), |at, segment| running[at].push(segment, &mut context));
    let mut keep = vec![true; old_flows];
    for one in running {
        let (old, first_new) = (one.old.0 as usize, context.facts.flows.len());
        let new = one.finish(&mut context);
        keep[old] = new.is_none();
        keep.resize(first_new, false);
        keep.resize(context.facts.flows.len(), new.is_some());
    }
    context.into_facts(&keep)
}
