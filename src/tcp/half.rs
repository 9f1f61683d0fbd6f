//! One direction of a connection: segments in any order to bytes in order, each once.
//!
//! In-order payload goes through without a copy; only segments that came ahead of a gap are kept. A gap is
//! given up, and reported as a hole, once the receiver is known to have had its bytes (so that nobody will
//! send them again) or a limit is reached.

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
/// How many packets may follow an acknowledgement of unseen bytes before these count as not captured:
/// captures put packets of the two directions out of order by a few.
const HOLE_PATIENCE: u8 = 8;
/// An acknowledgement further ahead than this is not believed.
const MAX_PLAUSIBLE_HOLE: i32 = 1 << 30;
/// Bytes that come so many packets behind the one that showed them missing stood out of order. Later ones were sent again.
const NEAR_IN_FILE: u32 = 64;
/// How far behind a SYN the first bytes lie at most that stand before it in the file.
const NEAR_START: i32 = 1 << 20;
/// Most holes of which it is open whether their bytes arrived; those before them count as arrived.
const MAX_OPEN_HOLES: usize = 64;

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
        self.emit(segment, known, out);
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
        self.conflict |= seq == segment.seq && first != 0 && ![0, first].contains(&sample_of(segment));
        let pushed = self.repeated(segment);
        // A second copy right behind the first one was compared by now.
        let is_copy = pushed == Pushed::Copy;
        if !(self.conflict || is_copy && seq == segment.seq) {
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

    /// The peer acknowledged everything before `ack` in a packet; `speaks` tells that the packet carries
    /// payload too. What is missing before `ack` was received and is only not in the capture.
    #[inline(always)]
    pub(super) fn acknowledged(
        &mut self,
        ack: u32,
        speaks: bool,
        at: CaptureTime,
        frame: u32,
        out: &mut impl FnMut(Piece<'_>),
    ) {
        if self.largest.1 > 0 && seq_diff(ack, self.largest.0) >= 0 {
            self.facts.largest_acked = self.facts.largest_acked.max(self.largest.1);
            self.largest.1 = 0;
        }
        // Nearly always of bytes that were seen.
        if self.covered.is_some() || self.next.is_none_or(|next| seq_diff(ack, next) > 0) {
            self.acknowledged_unseen(ack, speaks, at, frame, out);
        }
    }

    #[inline(never)]
    fn acknowledged_unseen(
        &mut self,
        ack: u32,
        speaks: bool,
        at: CaptureTime,
        frame: u32,
        out: &mut impl FnMut(Piece<'_>),
    ) {
        let Some(next) = self.next else {
            if speaks && !self.held.is_empty() {
                self.choose_start(out);
            }
            return;
        };
        let beyond = seq_diff(ack, next);
        if beyond <= 0 {
            // An acknowledgement that came late takes nothing back of one that went further.
            self.covered = self.covered.filter(|&(known, _)| seq_diff(known, next) > 0);
            return;
        }
        if beyond > MAX_PLAUSIBLE_HOLE {
            return;
        }
        self.answered = speaks || self.answered && self.covered.is_some();
        let waited = self.covered.map_or(0, |(_, packets)| packets.saturating_add(1));
        let furthest =
            self.covered.map_or(ack, |(known, _)| if seq_diff(ack, known) > 0 { ack } else { known });
        self.covered = Some((furthest, waited));
        // With nothing behind the gap, the missing bytes may only be a packet late in the file.
        if speaks && !self.held.is_empty() && !self.patient || waited >= HOLE_PATIENCE {
            self.give_up_before(furthest, at, frame, out);
        }
    }

    /// The connection is over: hands on what is still held, with the holes between. `acked` is what the peer
    /// acknowledged at last, `end` where the sender's bytes end, as far as that is known.
    pub(super) fn finish(
        &mut self,
        (acked, end): (Option<u32>, Option<u32>),
        at: CaptureTime,
        frame: u32,
        out: &mut impl FnMut(Piece<'_>),
    ) {
        if self.next.is_none() {
            self.choose_start(out);
        }
        // Of a side of which packets were captured, none with payload: what its numbers or the peer's say it sent is
        // missing.
        if self.next.is_none() && self.facts.packets > 0 {
            self.next = self.start_hint.take();
            if let Some(acked) = acked.filter(|_| self.next.is_some()) {
                self.note_end(acked);
            }
        }
        while !self.held.is_empty() {
            self.skip_gap(at, frame, out);
        }
        self.finish_end(end, at, frame, out);
        while let Some(OpenHole { seq, len, .. }) = self.open_holes.pop_front() {
            let had = acked.map_or(0, |acked| seq_diff(acked, seq).clamp(0, len as i32)) as u32;
            self.facts.uncaptured_bytes += u64::from(had);
            self.facts.unarrived_bytes += u64::from(len - had);
        }
        self.facts.largest_unacked = self.largest.1;
    }

    /// What is missing at the end, by a FIN, or by what was acknowledged and by the numbers of later packets.
    fn finish_end(&mut self, end: Option<u32>, at: CaptureTime, frame: u32, out: &mut impl FnMut(Piece<'_>)) {
        let Some(next) = self.next else { return };
        let shown = [self.covered.map(|(ack, _)| ack), self.facts.end_seq].into_iter().flatten();
        let missing = match end {
            Some(end) => seq_diff(end, next),
            None => shown.map(|end| seq_diff(end, next)).max().unwrap_or(0),
        };
        if missing == 1 && end.is_none() {
            self.lose(Hole { seq: next, len: 1, at, frame, cut: false });
            out(Piece::LostEnd(Hole { seq: next, len: 1, at, frame, cut: false }));
        } else if missing > 0 && missing <= MAX_PLAUSIBLE_HOLE {
            self.hole(Hole { seq: next, len: missing as u32, at, frame, cut: false }, out);
        }
    }

    /// Gives up all gaps before `ack`.
    fn give_up_before(&mut self, ack: u32, at: CaptureTime, frame: u32, out: &mut impl FnMut(Piece<'_>)) {
        self.covered = None;
        while self.held.front().is_some_and(|first| seq_diff(ack, first.seq) >= 0) {
            self.skip_gap(at, frame, out);
        }
        let Some(next) = self.next else { return };
        let missing = seq_diff(ack, next);
        if missing > 0 {
            self.hole(Hole { seq: next, len: missing as u32, at, frame, cut: false }, out);
        }
    }

    /// Gives up the gap before the first held segment.
    pub(super) fn skip_gap(&mut self, at: CaptureTime, frame: u32, out: &mut impl FnMut(Piece<'_>)) {
        if let (Some(next), Some(first)) = (self.next, self.held.front()) {
            let missing = seq_diff(first.seq, next);
            if missing > 0 {
                self.hole(Hole { seq: next, len: missing as u32, at, frame, cut: false }, out);
            }
        }
        self.drain(out);
    }

    fn choose_start(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        self.next = self.held.front().map(|first| first.seq);
        self.drain(out);
    }

    #[cold]
    fn hole(&mut self, hole: Hole, out: &mut impl FnMut(Piece<'_>)) {
        self.next = Some(hole.seq.wrapping_add(hole.len));
        self.note_end(hole.seq.wrapping_add(hole.len));
        if hole.cut {
            self.facts.cut_bytes += u64::from(hole.len);
        } else {
            self.lose(hole);
        }
        out(Piece::Hole(hole));
    }

    fn lose(&mut self, hole: Hole) {
        self.facts.missing_bytes += u64::from(hole.len);
        if self.open_holes.len() == MAX_OPEN_HOLES
            && let Some(first) = self.open_holes.pop_front()
        {
            self.facts.uncaptured_bytes += u64::from(first.len);
        }
        let Hole { seq, len, frame, .. } = hole;
        self.open_holes.push_back(OpenHole { seq, len, frame });
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

/// A few bytes of a segment that differ where two messages do: the first eight are `HTTP/1.1` in most responses.
#[inline]
fn sample_of(segment: &Segment<'_>) -> u64 {
    match segment.payload.first_chunk::<16>() {
        Some([.., a, b, c, d, e, f, g, h]) => u64::from_ne_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(seq: u32, payload: &[u8]) -> Segment<'_> {
        let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        Segment {
            frame: 1,
            at: CaptureTime(0),
            src: nowhere,
            dst: nowhere,
            seq,
            ack: 0,
            flags: crate::capture::TcpFlags::default(),
            window: 0,
            ip_id: 0,
            tsval: 0,
            window_scale: None,
            passage: crate::capture::Passage::UNKNOWN,
            is_icmp_error: false,
            payload,
            wire_len: payload.len() as u32,
            file_offset: u64::from(seq),
        }
    }

    /// Collects pieces as text: bytes as they are, a hole as `[n]`.
    #[derive(Default)]
    struct Text(Vec<u8>);

    impl Text {
        fn take(&mut self, piece: Piece<'_>) {
            match piece {
                Piece::Again(..) => {}
                Piece::Data(chunk) => self.0.extend_from_slice(chunk.data),
                Piece::Hole(hole) | Piece::LostEnd(hole) => {
                    self.0.extend_from_slice(format!("[{}]", hole.len).as_bytes());
                }
            }
        }
    }

    fn run(isn: Option<u32>, segments: &[(u32, &[u8])]) -> (String, DirectionFacts) {
        let (mut half, mut text) = (Half::default(), Text::default());
        if let Some(isn) = isn {
            half.start_at(isn);
        }
        for (at, &(seq, payload)) in segments.iter().enumerate() {
            // Far enough apart to be no copies of one packet.
            let at = CaptureTime(at as i64 * 10_000_000);
            half.push(&Segment { at, ..segment(seq, payload) }, false, &mut |piece| text.take(piece));
        }
        half.finish((None, None), CaptureTime(0), 1, &mut |piece| text.take(piece));
        (String::from_utf8(text.0).unwrap(), half.facts)
    }

    #[test]
    fn orders_overlaps_and_repeats() {
        let (text, facts) =
            run(Some(99), &[(100, b"ab"), (104, b"ef"), (102, b"cd"), (101, b"bcdefg"), (100, b"ab")]);
        assert_eq!(text, "abcdefg");
        assert_eq!((facts.out_of_order, facts.retransmitted, facts.missing_bytes), (1, 1, 0));
    }

    #[test]
    fn wraps_at_the_end_of_the_number_space() {
        let (text, _) = run(Some(u32::MAX - 2), &[(1, b"cd"), (u32::MAX - 1, b"ab\0")]);
        assert_eq!(text.replace('\0', "_"), "ab_cd");
    }

    #[test]
    fn a_stream_without_syn_starts_at_its_lowest_held_byte() {
        let (text, facts) = run(None, &[(1002, b"cd"), (1000, b"ab"), (1004, b"ef"), (1006, b"gh")]);
        assert_eq!(text, "abcdefgh");
        assert_eq!(facts.missing_bytes, 0);
    }

    #[test]
    fn a_gap_becomes_a_hole_when_the_peer_answers_beyond_it() {
        let (mut half, mut text) = (Half::default(), Text::default());
        half.start_at(0);
        half.push(&segment(1, b"ab"), false, &mut |piece| text.take(piece));
        half.push(&segment(13, b"yz"), false, &mut |piece| text.take(piece));
        half.acknowledged(15, false, CaptureTime(0), 3, &mut |piece| text.take(piece));
        assert_eq!(text.0, b"ab", "a pure acknowledgement may have overtaken the data in the file");
        half.acknowledged(15, true, CaptureTime(0), 4, &mut |piece| text.take(piece));
        assert_eq!(text.0, b"ab[10]yz");
        assert_eq!(half.facts.missing_bytes, 10);
    }

    #[test]
    fn an_acknowledged_tail_that_was_never_seen_is_a_hole_at_the_end() {
        let (mut half, mut text) = (Half::default(), Text::default());
        half.start_at(0);
        half.push(&segment(1, b"ab"), false, &mut |piece| text.take(piece));
        half.acknowledged(8, false, CaptureTime(0), 2, &mut |piece| text.take(piece));
        half.finish((None, None), CaptureTime(0), 9, &mut |piece| text.take(piece));
        assert_eq!(text.0, b"ab[5]");
    }

    #[test]
    fn a_cut_packet_leaves_a_hole_of_the_rest() {
        let (mut half, mut text) = (Half::default(), Text::default());
        half.start_at(0);
        half.push(&Segment { wire_len: 10, ..segment(1, b"abc") }, false, &mut |piece| text.take(piece));
        half.push(&segment(11, b"d"), false, &mut |piece| text.take(piece));
        assert_eq!(text.0, b"abc[7]d");
    }

    proptest! {
        /// Any cut, order, duplication and overlap of a stream gives the stream.
        #[test]
        fn any_segmentation_gives_the_same_bytes(
            stream in prop::collection::vec(any::<u8>().prop_map(|b| b % 26 + b'a'), 1..200),
            cuts in prop::collection::vec((0usize..200, 1usize..40), 0..60),
            isn: u32,
        ) {
            let start = isn.wrapping_add(1);
            let mut pieces: Vec<(u32, &[u8])> = cuts
                .iter()
                .filter(|(at, _)| *at < stream.len())
                .map(|&(at, len)| (start.wrapping_add(at as u32), &stream[at..stream.len().min(at + len)]))
                .collect();
            pieces.push((start, &stream));
            let (text, facts) = run(Some(isn), &pieces);
            prop_assert_eq!(text.as_bytes(), &stream[..]);
            prop_assert_eq!(facts.missing_bytes, 0);
        }
    }
}
