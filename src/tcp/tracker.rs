//! The table of live connections: finds each segment's connection, keeps its life's events, and lets go of
//! it when it is over.

mod aside;

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use hashbrown::HashTable;

use crate::capture::{CaptureTime, ProblemKind, Problems, Segment};

use super::half::{Chunk, Hole};
use super::held::Stray;
use super::live::{Live, Taken};
use super::{Event, Flow, Side};
use aside::Aside;

/// Most connections open at once; beyond it the longest idle ones are let go.
const MAX_LIVE: usize = 400_000;
/// How long a closed connection stays known for its late packets.
const QUARANTINE_NS: i64 = 2_000_000_000;
/// How long one stays known whose FIN nobody acknowledged: its sender sends it, and the data before it, again and again.
const UNACKED_QUARANTINE_NS: i64 = 120_000_000_000;
/// Most closed connections that stay known for either time.
const MAX_QUARANTINE: usize = 32_768;
/// Most bytes kept ahead of gaps by all connections together.
const MAX_HELD_IN_ALL: usize = 256 << 20;

/// Reads the streams of one connection. `tcp` knows nothing of what they carry.
pub trait Handler: Default {
    /// Whether gaps are waited for although later packets prove them: the file is known to hold packets out of order.
    const PATIENT: bool = false;
    /// What all connections of a capture share.
    type Context: Problems;

    /// Which side sends a stream that has these bytes at the start of a segment, where they tell.
    fn sender_of(payload: &[u8]) -> Option<Side>;
    /// Takes payload in stream order.
    fn data(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Self::Context);
    /// Takes note of bytes that the capture does not hold.
    fn hole(&mut self, from: Side, hole: Hole, context: &mut Self::Context);
    /// Takes note of bytes that came again; the first ones were handed over. A second copy of a packet is told.
    fn repeated(&mut self, _from: Side, _chunk: Chunk<'_>, _is_copy: bool, _context: &mut Self::Context) {}
    /// What came from the client until now came from the server, and the other way round: the bytes that follow tell.
    fn swap_sides(&mut self);
    /// All bytes before this side's FIN were handed over.
    fn fin(&mut self, from: Side, at: CaptureTime, frame: u32, context: &mut Self::Context);
    /// The connection is over, or the capture is.
    fn close(self, flow: Flow, events: &[Event], context: &mut Self::Context);
}

/// Both ends of a connection, the lower one first, so that both directions have one key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    low: u128,
    high: u128,
    ports: u32,
}

impl Key {
    /// The key, and whether the segment's sender is the lower end.
    #[inline]
    fn of(src: SocketAddr, dst: SocketAddr) -> (Self, bool) {
        if let (SocketAddr::V4(src), SocketAddr::V4(dst)) = (src, dst) {
            // As below, with an address and its port in one number.
            let number = |end: SocketAddrV4| u64::from(u32::from(*end.ip())) << 16 | u64::from(end.port());
            let (from, to) = (number(src), number(dst));
            let (low, high) = (from.min(to), from.max(to));
            let ports = (low as u32) << 16 | high as u32 & 0xffff;
            return (Self { low: (low >> 16).into(), high: (high >> 16).into(), ports }, from <= to);
        }
        let number = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u128::from(u32::from(ip)),
            IpAddr::V6(ip) => u128::from(ip),
        };
        let (from, to) = ((number(src.ip()), src.port()), (number(dst.ip()), dst.port()));
        let src_is_low = from <= to;
        let (low, high) = if src_is_low { (from, to) } else { (to, from) };
        (Self { low: low.0, high: high.0, ports: u32::from(low.1) << 16 | u32::from(high.1) }, src_is_low)
    }

    #[inline]
    fn hash(&self) -> u64 {
        // The ports and the addresses of IPv4 stand beside each other in one number, and those of IPv6 overlap.
        let both = self.low ^ self.high.rotate_left(32) ^ u128::from(self.ports) << 64;
        foldhash::fast::FixedState::default().hash_one(both)
    }
}

/// A connection that closed.
#[derive(Clone, Copy)]
struct Closed {
    at: CaptureTime,
    slot: u32,
    first_frame: u32,
}

impl Closed {
    /// Whether it is this one: its slot may have been used again since.
    fn is<H: Handler>(self, live: &Live<H>) -> bool {
        live.quarantined && live.first.1 == self.first_frame
    }
}

fn report_too_many(closed: usize, context: &mut impl Problems) {
    if closed > MAX_QUARANTINE {
        context.report(
            ProblemKind::LimitReached,
            format_args!(
                "more than {MAX_QUARANTINE} connections closed shortly after each other: late packets of the first ones \
                 may stand as connections of their own"
            ),
        );
    }
}

/// All connections of one capture.
pub struct Tracker<H: Handler> {
    /// Slots by the hash of their keys, which are compared where they lie: in connections, touched anyway.
    index: HashTable<u32>,
    slots: Vec<Option<Live<H>>>,
    free: Vec<u32>,
    /// Slot of the connection that the last segment belongs to: the next one often does too.
    last: u32,
    /// Those that closed lately, and of those before them the ones that stay known for longer.
    closed: VecDeque<Closed>,
    unacked: VecDeque<Closed>,
    /// When the first of `closed` is to be let go of: each packet asks.
    due: i64,
    /// Bytes held by all connections, those counted that were handed on since.
    held: usize,
    /// Connections of which packets stand in the file behind those that were sent after them, see
    /// [`Live::is_disordered`].
    disordered: u32,
    /// Connections whose answers come from another address than the one asked.
    aside: Aside,
}

impl<H: Handler> Default for Tracker<H> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            last: 0,
            closed: VecDeque::new(),
            unacked: VecDeque::new(),
            due: i64::MAX,
            held: 0,
            disordered: 0,
            aside: Aside::default(),
        }
    }
}

impl<H: Handler> Tracker<H> {
    /// Takes the next segment of the capture. Inlined into the loop over packets: as a call it costs 60 instructions more.
    #[inline(always)]
    pub fn push(&mut self, segment: &Segment<'_>, context: &mut H::Context) {
        if segment.at.0 >= self.due {
            self.release_closed(segment.at, context);
        }
        let (key, mut src_is_low) = Key::of(segment.src, segment.dst);
        loop {
            let mut slot = self.slot_of(&key);
            if slot.is_none()
                && self.aside.may_have(segment)
                && let Some((known, server_is_low)) = self.answered_aside(&key, segment)
            {
                (slot, src_is_low) = (Some(known), server_is_low);
            }
            if segment.is_icmp_error {
                return self.push_error(slot, segment, src_is_low);
            }
            if let Some(known) = slot
                && let Some(live) = &self.slots[known as usize]
                && live.is_replaced_by(segment, src_is_low)
            {
                if live.is_begun_late_by(segment, src_is_low) {
                    self.disordered += 1;
                    if self.is_late_syn(known, segment, src_is_low) {
                        return;
                    }
                }
                self.close_slot(known, context);
                slot = None;
            }
            let slot = slot.unwrap_or_else(|| self.open(key, segment, src_is_low, context));
            self.last = slot;
            let Some(live) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return };
            let taken = live.push(segment, src_is_low, context);
            if live.is_over() && !live.quarantined {
                live.quarantined = true;
                self.closed.push_back(Closed { at: segment.at, slot, first_frame: live.first.1 });
                self.set_due();
            }
            if taken == Taken::Here || !self.gives_way(slot, taken, segment, src_is_low, context) {
                return;
            }
        }
    }

    #[cold]
    fn is_late_syn(&mut self, slot: u32, segment: &Segment<'_>, src_is_low: bool) -> bool {
        let live = self.slots.get_mut(slot as usize).and_then(Option::as_mut);
        live.is_some_and(|live| live.takes_late_syn(segment, src_is_low))
    }

    #[inline]
    fn slot_of(&self, key: &Key) -> Option<u32> {
        let is_it = |&slot: &u32| {
            let live = self.slots.get(slot as usize).and_then(Option::as_ref);
            live.is_some_and(|live| live.key == *key)
        };
        if is_it(&self.last) { Some(self.last) } else { self.index.find(key.hash(), is_it).copied() }
    }

    /// An ICMP error is told to the connection that it is about; of others it tells too little.
    #[cold]
    fn push_error(&mut self, slot: Option<u32>, segment: &Segment<'_>, src_is_low: bool) {
        let live = slot.and_then(|slot| self.slots.get_mut(slot as usize)?.as_mut());
        if let Some(live) = live {
            live.on_unreachable(segment, src_is_low);
        }
    }

    /// Keeps the bytes held in bounds, and tells whether a connection was let go of for the segment's own one.
    #[cold]
    fn gives_way(
        &mut self,
        slot: u32,
        taken: Taken,
        segment: &Segment<'_>,
        src_is_low: bool,
        context: &mut H::Context,
    ) -> bool {
        let Some(live) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return false };
        if taken == Taken::Elsewhere && live.gives_way_to(segment, src_is_low) {
            let (key, first) = (live.key, live.stray.take());
            self.close_slot(slot, context);
            if let Some(first) = first {
                self.begin_with(key, &first, context);
            }
            return true;
        }
        let holds = live.held_bytes();
        self.held += holds.saturating_sub(live.held_counted);
        live.held_counted = live.held_counted.max(holds);
        if self.held > MAX_HELD_IN_ALL {
            self.count_held();
            if self.held > MAX_HELD_IN_ALL
                && let Some(live) = self.slots.get_mut(slot as usize).and_then(Option::as_mut)
            {
                live.let_go_of_held(segment, context);
            }
        }
        false
    }

    /// Opens a connection with a segment that was taken for none of the one before.
    #[cold]
    fn begin_with(&mut self, key: Key, first: &Stray, context: &mut H::Context) {
        let segment = first.segment();
        let slot = self.open(key, &segment, first.src_is_low, context);
        if let Some(live) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) {
            live.begin_with(&segment, first.src_is_low);
        }
    }

    /// Counts the bytes held anew, since those handed on are not taken off one by one.
    #[cold]
    fn count_held(&mut self) {
        self.held = 0;
        for live in self.slots.iter_mut().flatten() {
            live.held_counted = live.held_bytes();
            self.held += live.held_counted;
        }
    }

    /// The capture is over: how many connections would come out otherwise if all packets stood in the order in which
    /// they were sent.
    pub fn finish(mut self, context: &mut H::Context) -> u32 {
        for slot in 0..self.slots.len() as u32 {
            self.close_slot(slot, context);
        }
        self.disordered
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
        if segment.flags.syn() && !segment.flags.ack() {
            self.aside.note_syn(slot);
        }
        // Of a slot that is in the index the key is known.
        let hash_of = |&slot: &u32| self.slots[slot as usize].as_ref().map_or(0, |live| live.key.hash());
        self.index.insert_unique(key.hash(), slot, hash_of);
        slot
    }

    fn close_slot(&mut self, slot: u32, context: &mut H::Context) {
        if let Some(live) = self.slots[slot as usize].take() {
            if let Ok(entry) = self.index.find_entry(live.key.hash(), |&known| known == slot) {
                entry.remove();
            }
            self.free.push(slot);
            self.disordered = self.disordered.saturating_add(u32::from(live.is_disordered()));
            live.close(context);
        }
    }

    /// Lets go of connections that closed long enough ago.
    #[cold]
    fn release_closed(&mut self, now: CaptureTime, context: &mut H::Context) {
        while now.0 >= self.due && !self.closed.is_empty() {
            self.release(now, context);
            self.set_due();
        }
    }

    /// Tells when the next connection is to be let go of: the first that closed, or one of too many at once.
    fn set_due(&mut self) {
        self.due = match self.closed.front() {
            None => i64::MAX,
            Some(_) if self.closed.len() > MAX_QUARANTINE => i64::MIN,
            Some(first) => first.at.0.saturating_add(QUARANTINE_NS),
        };
    }

    /// Lets go of the connection that closed first, unless it is to stay known for longer; then looks for those that
    /// stayed long enough.
    fn release(&mut self, now: CaptureTime, context: &mut H::Context) {
        report_too_many(self.closed.len(), context);
        if let Some(first) = self.closed.pop_front() {
            match &self.slots[first.slot as usize] {
                Some(live) if first.is(live) && live.awaits_more() => self.unacked.push_back(first),
                Some(live) if first.is(live) => self.close_slot(first.slot, context),
                _ => {}
            }
        }
        while let Some(&first) = self.unacked.front() {
            if now.0.saturating_sub(first.at.0) < UNACKED_QUARANTINE_NS
                && self.unacked.len() <= MAX_QUARANTINE
            {
                return;
            }
            report_too_many(self.unacked.len(), context);
            self.unacked.pop_front();
            if self.slots[first.slot as usize].as_ref().is_some_and(|live| first.is(live)) {
                self.close_slot(first.slot, context);
            }
        }
    }

    /// Makes room by letting go of the half that has been idle longest.
    fn evict(&mut self, context: &mut H::Context) {
        let live = self.slots.iter().enumerate();
        let mut by_age: Vec<(u32, u32)> =
            live.filter_map(|(slot, live)| Some((live.as_ref()?.last.1, slot as u32))).collect();
        by_age.sort_unstable();
        by_age.truncate(by_age.len() / 2);
        context.report_many(
            ProblemKind::LimitReached,
            by_age.len() as u64,
            format_args!("more than {MAX_LIVE} connections open at once: the longest idle ones were let go"),
        );
        for &(_, slot) in &by_age {
            self.close_slot(slot, context);
        }
    }
}
