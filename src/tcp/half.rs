//! One direction of a connection: segments in any order to bytes in order, each once.
//!
//! In-order payload goes through without a copy; only segments that came ahead of a gap are kept. A gap is
//! given up, and reported as a hole, once the receiver is known to have had its bytes (so that nobody will
//! send them again) or a limit is reached.

mod gaps;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::capture::{CaptureTime, Segment};

use super::DirectionFacts;
use super::copies::SendOrder;
use super::held::Held;
use super::seq::seq_diff;

/// Most bytes kept ahead of a gap, per direction.
pub(super) const MAX_HELD_BYTES: usize = 8 << 20;
/// Most segments kept ahead of a gap, per direction.
pub(super) const MAX_HELD_SEGMENTS: usize = 8192;
/// How many segments of a connection without SYN are kept before its start is chosen.
const START_PATIENCE: usize = 4;
/// Bytes that come so many packets behind the one that showed them missing stood out of order. Later ones were sent again.
const NEAR_IN_FILE: u32 = 64;
/// How far behind a SYN the first bytes lie at most that stand before it in the file.
const NEAR_START: i32 = 1 << 20;

/// Payload in stream order.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Time of the packet.
    pub at: CaptureTime,
    /// Number of the packet.
    pub frame: u32,
    /// Absolute sequence number of the first byte.
    pub seq: u32,
    /// Acknowledgement number of the packet.
    pub ack: u32,
    /// Position of the bytes in the file.
    pub file_offset: u64,
}

impl<'a> Chunk<'a> {
    fn of(segment: &Segment<'a>) -> Self {
        let Segment { at, frame, seq, ack, file_offset, payload: data, .. } = *segment;
        Chunk { data, at, frame, seq, ack, file_offset }
    }

    /// The chunk without its first `len` bytes.
    #[inline]
    pub fn behind(&self, len: usize) -> Chunk<'a> {
        Chunk {
            data: &self.data[len..],
            seq: self.seq.wrapping_add(len as u32),
            file_offset: self.file_offset + len as u64,
            ..*self
        }
    }
}

/// Bytes of a stream that the capture does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Absolute sequence number of the first missing byte.
    pub seq: u32,
    /// How many.
    pub len: u32,
    /// Time of the packet that showed it.
    pub at: CaptureTime,
    /// Number of that packet.
    pub frame: u32,
    /// The snap length cut these bytes off: their packet was captured.
    pub cut: bool,
}

/// A hole of which it is not known whether the peer had its bytes.
#[derive(Clone, Copy, Debug)]
struct OpenHole {
    seq: u32,
    len: u32,
    /// The packet that showed it.
    frame: u32,
}

/// What a direction hands on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    Data(Chunk<'a>),
    Hole(Hole),
    /// Bytes that were handed on before, or lay in a gap that was given up; whether they seem to be of a second copy of
    /// one packet.
    Again(Chunk<'a>, bool),
    /// One number of the sequence space is missing at the very end: the FIN, if it is no byte.
    LostEnd(Hole),
}

/// What a segment was to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It brought bytes, all in order.
    New,
    /// It is kept, for bytes before it have not come.
    Held,
    /// It is kept, and the gap before it was given up, for a limit is reached.
    Full,
    /// It repeats bytes only.
    Repeat,
    /// It is a second copy of a packet seen before.
    Copy,
    /// It repeats the last byte at most, to make the peer speak.
    Probe,
}

/// The reassembly of one direction.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Sequence number of the next byte in order; `None` until the start is known.
    pub(super) next: Option<u32>,
    /// Where the stream begins by what the peer says, until a byte of it is seen: of a side that was not captured at
    /// all, nothing is missing.
    pub(super) start_hint: Option<u32>,
    held: VecDeque<Held>,
    pub(super) held_bytes: usize,
    /// Highest byte that the peer acknowledged, and packets seen since that went beyond `next`.
    covered: Option<(u32, u8)>,
    /// The file is known to hold packets behind their successors: a gap is not given up for what comes first.
    pub(super) patient: bool,
    /// It went beyond `next` in a packet with payload.
    answered: bool,
    /// Bytes came behind those that prove that they had been there before.
    pub(super) disordered: bool,
    order: SendOrder,
    /// End and length of the largest segment not yet acknowledged; length 0 for none.
    largest: (u32, u32),
    /// Holes of which it is not known whether the peer had their bytes.
    open_holes: VecDeque<OpenHole>,
    /// Sequence number and second eight bytes of the last segment, to compare with what repeats it; 0 for none.
    sample: (u32, u64),
    /// The last segment held other bytes than one before it.
    pub(super) conflict: bool,
    /// For how many microseconds no payload had come before the last segment, where it was one sent again.
    pub(super) quiet_us: u32,
    pub(super) facts: DirectionFacts,
}

impl Half {
    /// The stream starts after this SYN.
    pub(super) fn start_at(&mut self, isn: u32) {
        self.facts.isn = Some(isn);
        self.next = Some(isn.wrapping_add(1));
        self.facts.end_seq = self.next;
    }

    /// Whether nothing but a SYN is known of what was sent.
    pub(super) fn is_untouched(&self) -> bool {
        self.facts.segments == 0 && self.facts.missing_bytes == 0
    }

    /// How many numbers of the stream lie behind its start.
    fn seen(&self) -> u32 {
        (self.facts.bytes + self.facts.missing_bytes + self.facts.cut_bytes) as u32
    }

    /// Whether what was seen, if anything, begins right behind this SYN.
    pub(super) fn can_begin_at(&self, isn: u32) -> bool {
        let start = isn.wrapping_add(1);
        match self.next {
            Some(next) => next.wrapping_sub(self.seen()) == start,
            None => self.held.is_empty(),
        }
    }

    /// The stream began behind this SYN, which comes only now.
    pub(super) fn begin_at(&mut self, isn: u32) {
        self.facts.isn = Some(isn);
        if self.next.is_none() {
            self.next = Some(isn.wrapping_add(1));
            self.start_hint = None;
            self.note_end(isn.wrapping_add(1));
        }
    }

    /// Takes a segment with payload. `starts_message` tells that its bytes look like the start of a message,
    /// which settles where a stream without SYN begins.
    pub(super) fn push(
        &mut self,
        segment: &Segment<'_>,
        starts_message: bool,
        out: &mut impl FnMut(Piece<'_>),
    ) -> Pushed {
        let end = segment.seq.wrapping_add(segment.wire_len);
        self.note_end(end);
        self.facts.segments += 1;
        if segment.wire_len > self.largest.1 {
            self.largest = (end, segment.wire_len);
        }
        let Some(next) = self.next else { return self.push_without_start(segment, starts_message, out) };
        let next = match self.covered {
            Some((acked, _)) => self.push_covered(segment, next, acked, out),
            None => next,
        };
        let ahead = seq_diff(segment.seq, next);
        if ahead > 0 {
            return self.push_ahead(segment, out);
        }
        let known = ahead.unsigned_abs();
        if known >= segment.wire_len {
            return self.push_known(segment, known, out);
        }
        self.order.note(segment, self.held.is_empty());
        self.sample = (segment.seq, sample_of(segment));
        if known == 0 && segment.payload.len() == segment.wire_len as usize {
            self.facts.bytes += u64::from(segment.wire_len);
            self.next = Some(end);
            out(Piece::Data(Chunk::of(segment)));
        } else {
            self.emit(segment, known, out);
        }
        if !self.held.is_empty() {
            self.drain(out);
        }
        Pushed::New
    }

    /// Bytes that the peer has acknowledged are missing: what comes now lies behind them or among them. The number of the
    /// next byte then.
    #[cold]
    fn push_covered(
        &mut self,
        segment: &Segment<'_>,
        next: u32,
        acked: u32,
        out: &mut impl FnMut(Piece<'_>),
    ) -> u32 {
        if seq_diff(segment.seq, next) <= 0 {
            let brings = seq_diff(segment.seq.wrapping_add(segment.wire_len), next) > 0;
            self.disordered |= self.answered && brings;
        } else if seq_diff(acked, segment.seq) >= 0 && !self.patient {
            // The sender goes on behind bytes that are acknowledged already: these will not come any more.
            self.give_up_before(segment.seq, segment.at, segment.frame, out);
        }
        self.next.unwrap_or(next)
    }

    /// Whether packets of the stream were seen, or acknowledged, the first of them shortly behind this SYN.
    pub(super) fn begins_behind(&self, isn: u32, acked: Option<u32>) -> bool {
        let first = match (self.next, self.held.front()) {
            (Some(next), _) => Some(next.wrapping_sub(self.seen())),
            (None, Some(first)) => Some(first.seq),
            (None, None) => self.facts.end_seq.or(acked),
        };
        first.is_some_and(|first| (1..=NEAR_START).contains(&seq_diff(first, isn)))
    }

    /// Notes a segment without payload: its sender has sent everything before its sequence number. Whether it is a
    /// keep-alive probe: RFC 9293, section 3.8.4, has it carry the number of the last byte, which the peer has.
    #[inline]
    pub(super) fn push_bare(&mut self, segment: &Segment<'_>, peer_acked: Option<u32>) -> bool {
        self.order.note_bare(segment);
        self.note_end(segment.seq);
        self.next == Some(segment.seq.wrapping_add(1)) && peer_acked == self.next
    }

    /// Keeps the first segment of a stream whose start is not known.
    pub(super) fn push_first(&mut self, segment: &Segment<'_>) {
        self.note_end(segment.seq.wrapping_add(segment.wire_len));
        self.facts.segments += 1;
        self.order.note(segment, true);
        self.hold(segment);
    }

    /// The last segment repeated nothing: it is of another connection.
    pub(super) fn take_back_repeat(&mut self) {
        self.facts.packets -= 1;
        self.facts.segments -= 1;
        self.facts.retransmitted -= 1;
    }

    fn push_without_start(
        &mut self,
        segment: &Segment<'_>,
        starts_message: bool,
        out: &mut impl FnMut(Piece<'_>),
    ) -> Pushed {
        if let Some(start) = self.start_hint.take()
            && seq_diff(segment.seq, start) >= 0
        {
            self.next = Some(start);
            let ahead = seq_diff(segment.seq, start);
            if ahead > 0 {
                return self.push_ahead(segment, out);
            }
        }
        if (starts_message || self.next.is_some()) && self.held.is_empty() {
            self.next = Some(segment.seq);
            self.order.note(segment, true);
            self.sample = (segment.seq, sample_of(segment));
            self.emit(segment, 0, out);
            return Pushed::New;
        }
        if self.hold(segment) {
            return self.repeated(segment);
        }
        self.order.note(segment, true);
        if self.held.len() >= START_PATIENCE {
            self.choose_start(out);
        }
        Pushed::Held
    }

    #[cold]
    fn push_ahead(&mut self, segment: &Segment<'_>, out: &mut impl FnMut(Piece<'_>)) -> Pushed {
        if self.hold(segment) {
            return self.repeated(segment);
        }
        self.facts.out_of_order += 1;
        self.order.note(segment, false);
        if self.held_bytes <= MAX_HELD_BYTES && self.held.len() <= MAX_HELD_SEGMENTS {
            return Pushed::Held;
        }
        self.skip_gap(segment.at, segment.frame, out);
        Pushed::Full
    }

    /// Takes a segment of which all bytes went before; its last one lies `known - wire_len` bytes back.
    #[cold]
    fn push_known(&mut self, segment: &Segment<'_>, known: u32, out: &mut impl FnMut(Piece<'_>)) -> Pushed {
        if segment.wire_len == 1 && known == 1 {
            // A keep-alive probe repeats the last byte at most (RFC 9293, section 3.8.4): no retransmission.
            self.facts.segments -= 1;
            return Pushed::Probe;
        }
        let end = segment.seq.wrapping_add(segment.wire_len);
        let given_up = |hole: &OpenHole| {
            seq_diff(end, hole.seq) > 0
                && seq_diff(segment.seq, hole.seq.wrapping_add(hole.len)) < 0
                && segment.frame.abs_diff(hole.frame) <= NEAR_IN_FILE
        };
        self.disordered |= self.open_holes.iter().any(given_up);
        let (seq, first) = self.sample;
        let again = sample_of(segment);
        let compared = seq == segment.seq && ![first, again].contains(&0);
        self.conflict |= compared && first != again;
        let pushed = self.repeated(segment);
        // A second copy right behind the first one is not looked at again.
        let is_copy = pushed == Pushed::Copy;
        if !(self.conflict || is_copy && compared) {
            out(Piece::Again(Chunk::of(segment), is_copy));
        }
        pushed
    }

    fn repeated(&mut self, segment: &Segment<'_>) -> Pushed {
        if self.order.is_copy(segment) {
            self.facts.segments -= 1;
            self.facts.copies += 1;
            return Pushed::Copy;
        }
        let quiet_us = self.order.quiet_ns(segment) / 1_000;
        self.quiet_us = quiet_us.try_into().unwrap_or(u32::MAX);
        self.order.note_again(segment);
        self.facts.retransmitted += 1;
        Pushed::Repeat
    }

    /// Hands on a segment from its `skip`th byte.
    fn emit(&mut self, segment: &Segment<'_>, skip: u32, out: &mut impl FnMut(Piece<'_>)) {
        if skip > 0 {
            let payload = &segment.payload[..segment.payload.len().min(skip as usize)];
            out(Piece::Again(Chunk::of(&Segment { payload, ..*segment }), false));
        }
        let seq = segment.seq.wrapping_add(skip);
        let data = segment.payload.get(skip as usize..).unwrap_or_default();
        if !data.is_empty() {
            self.facts.bytes += data.len() as u64;
            let file_offset = segment.file_offset + u64::from(skip);
            out(Piece::Data(Chunk {
                data,
                at: segment.at,
                frame: segment.frame,
                seq,
                ack: segment.ack,
                file_offset,
            }));
        }
        self.next = Some(segment.seq.wrapping_add(segment.wire_len));
        let cut = segment.wire_len - skip - data.len() as u32;
        if cut > 0 {
            let seq = seq.wrapping_add(data.len() as u32);
            self.hole(Hole { seq, len: cut, at: segment.at, frame: segment.frame, cut: true }, out);
        }
    }

    /// Keeps a segment for later; whether one kept already holds all of it.
    fn hold(&mut self, segment: &Segment<'_>) -> bool {
        let place = self.held.partition_point(|held| seq_diff(held.seq, segment.seq) < 0);
        let near = place.saturating_sub(1)..(place + 1).min(self.held.len());
        self.conflict |= self.held.range(near.clone()).any(|held| held.conflicts_with(segment));
        if self.held.range(near).any(|held| held.covers(segment)) {
            return true;
        }
        self.held_bytes += segment.payload.len();
        self.held.insert(place, Held::new(segment));
        false
    }

    /// Hands on the held segments that are in order now.
    fn drain(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        while let (Some(next), Some(first)) = (self.next, self.held.front()) {
            let ahead = seq_diff(first.seq, next);
            if ahead > 0 {
                return;
            }
            let Some(held) = self.held.pop_front() else { return };
            self.held_bytes -= held.data.len();
            let known = ahead.unsigned_abs();
            if known < held.wire_len {
                self.emit(&held.segment(), known, out);
            }
        }
    }

    #[inline]
    pub(super) fn note_end(&mut self, end: u32) {
        if self.facts.end_seq.is_none_or(|known| seq_diff(end, known) > 0) {
            self.facts.end_seq = Some(end);
        }
    }
}

/// A few bytes of a segment that differ where two messages do: the first eight are `HTTP/1.1` in most responses. 0 where
/// it is too short to have any.
#[inline]
fn sample_of(segment: &Segment<'_>) -> u64 {
    match segment.payload.first_chunk::<16>() {
        Some([.., a, b, c, d, e, f, g, h]) => u64::from_ne_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        None => 0,
    }
}
