//! Bytes that are missing: until when they are waited for, and what tells that nobody will send them again.

use crate::capture::CaptureTime;

use super::{Half, Hole, OpenHole, Piece};
use crate::tcp::seq::seq_diff;

/// How many packets may follow an acknowledgement of unseen bytes before these count as not captured:
/// captures put packets of the two directions out of order by a few.
const HOLE_PATIENCE: u8 = 8;
/// An acknowledgement further ahead than this is not believed.
const MAX_PLAUSIBLE_HOLE: i32 = 1 << 30;
/// Most holes of which it is open whether their bytes arrived; those before them count as arrived.
const MAX_OPEN_HOLES: usize = 64;

impl Half {
    /// The peer acknowledged everything before `ack` in a packet; `speaks` tells that the packet carries
    /// payload too. What is missing before `ack` was received and is only not in the capture.
    #[inline(always)]
    pub(in crate::tcp) fn acknowledged(
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
    pub(in crate::tcp) fn finish(
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
    pub(super) fn give_up_before(
        &mut self,
        ack: u32,
        at: CaptureTime,
        frame: u32,
        out: &mut impl FnMut(Piece<'_>),
    ) {
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
    pub(in crate::tcp) fn skip_gap(&mut self, at: CaptureTime, frame: u32, out: &mut impl FnMut(Piece<'_>)) {
        if let (Some(next), Some(first)) = (self.next, self.held.front()) {
            let missing = seq_diff(first.seq, next);
            if missing > 0 {
                self.hole(Hole { seq: next, len: missing as u32, at, frame, cut: false }, out);
            }
        }
        self.drain(out);
    }

    pub(super) fn choose_start(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        self.next = self.held.front().map(|first| first.seq);
        self.drain(out);
    }

    #[cold]
    pub(super) fn hole(&mut self, hole: Hole, out: &mut impl FnMut(Piece<'_>)) {
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
}
