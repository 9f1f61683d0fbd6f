//! Tells a segment sent again from a second copy of one packet: `-i any`, bridges, mirror ports and overlays show a
//! packet wherever it passes.
//!
//! A sender gives each packet it sends, also a retransmission, the next IP identification and its clock's reading as
//! TSval (RFC 7323, section 3). A copy carries the old ones. Where a stack gives neither, time must do: a copy follows
//! at once, a retransmission waits at least for a round trip.

use crate::capture::{CaptureTime, Segment};

use super::seq_diff;

/// Copies that nothing but time tells follow within this time.
const COPY_NS: i64 = 2_000_000;
/// How far the identification of two packets in a row may differ: offloaded packets count as many as they become.
const MAX_ID_STEP: u16 = 1024;
/// Identifications count when the last ones, a bit each, rose as a counter does.
const STEADY: u8 = 0b111;

/// What the newest packet of a sender carried.
#[derive(Debug, Default)]
pub(super) struct SendOrder {
    id: u16,
    /// A bit for each of the last identifications: whether it rose as a counter does.
    steady: u8,
    /// 0 for none.
    tsval: u32,
    at: CaptureTime,
}

impl SendOrder {
    /// Notes a segment with bytes not seen before. `in_order` tells that it was sent after all those seen.
    #[inline]
    pub(super) fn note(&mut self, segment: &Segment<'_>, in_order: bool) {
        self.at = segment.at;
        if in_order {
            let rose = segment.ip_id.wrapping_sub(self.id).wrapping_sub(1) < MAX_ID_STEP;
            self.steady = self.steady << 1 | u8::from(rose);
            self.id = segment.ip_id;
            self.tsval = segment.tsval;
        } else {
            self.note_later(segment);
        }
    }

    /// The segments before this one have not come yet.
    #[cold]
    fn note_later(&mut self, segment: &Segment<'_>) {
        if segment.tsval != 0 && (self.tsval == 0 || seq_diff(segment.tsval, self.tsval) > 0) {
            self.tsval = segment.tsval;
        }
    }

    /// Notes a segment without payload: its identification goes on counting.
    #[inline]
    pub(super) fn note_bare(&mut self, segment: &Segment<'_>) {
        let step = segment.ip_id.wrapping_sub(self.id);
        if step <= MAX_ID_STEP {
            self.id = segment.ip_id;
        }
    }

    /// Whether a segment, of which all bytes were seen, is a copy of a packet seen rather than sent again.
    #[cold]
    pub(super) fn is_copy(&self, segment: &Segment<'_>) -> bool {
        let recent = segment.at.0.saturating_sub(self.at.0) <= COPY_NS;
        let counts = self.steady & STEADY == STEADY && segment.ip_id != 0;
        if counts && segment.ip_id.wrapping_sub(self.id).cast_signed() <= 0 {
            return true;
        }
        if segment.tsval == 0 || self.tsval == 0 {
            return recent && !counts;
        }
        match seq_diff(segment.tsval, self.tsval) {
            ..0 => true,
            // The clock's tick is too coarse to tell.
            0 => recent,
            1.. => false,
        }
    }

    /// How long before this segment the last one with payload was sent, in nanoseconds.
    pub(super) fn quiet_ns(&self, segment: &Segment<'_>) -> u64 {
        segment.at.0.saturating_sub(self.at.0).max(0).unsigned_abs()
    }

    /// Notes a segment sent again.
    pub(super) fn note_again(&mut self, segment: &Segment<'_>) {
        if segment.ip_id.wrapping_sub(self.id) <= MAX_ID_STEP {
            self.id = segment.ip_id;
        }
        self.note_later(segment);
        self.at = segment.at;
    }
}
