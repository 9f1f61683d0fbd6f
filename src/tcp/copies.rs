//! Tells a segment sent again from a second copy of one packet: `-i any`, bridges, mirror ports and overlays show a
//! packet wherever it passes.
//!
//! A sender gives each packet it sends, also a retransmission, the next IP identification and its clock's reading as
//! TSval (RFC 7323, section 3). A copy carries the old ones. Where a stack gives neither, time must do: a copy follows
//! at once, a retransmission waits at least for a round trip.

use crate::capture::{CaptureTime, Segment};
use crate::tcp::seq_diff;

/// Copies that nothing but time tells follow within this time.
const COPY_NS: i64 = 2_000_000;
/// How far the identification of two packets in a row may differ: offloaded packets count as many as they become.
const MAX_ID_STEP: u16 = 1024;
/// How many steady identifications make them a clock.
const STEADY: u8 = 2;
/// The usual layout of a segment's options: two NOPs, then kind 8 (timestamps) of length 10.
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];

/// What the newest packet of a sender carried.
#[derive(Debug, Default)]
pub(super) struct SendOrder {
    id: u16,
    /// Identifications that rose as a counter's do; 0 again after one that did not.
    steady: u8,
    tsval: Option<u32>,
    at: CaptureTime,
}

impl SendOrder {
    /// Notes a segment with bytes not seen before. `in_order` tells that it was sent after all those seen.
    #[inline]
    pub(super) fn note(&mut self, segment: &Segment<'_>, in_order: bool) {
        self.at = segment.at;
        if in_order {
            let step = segment.ip_id.wrapping_sub(self.id);
            self.steady = if step != 0 && step <= MAX_ID_STEP { self.steady.saturating_add(1) } else { 0 };
            self.id = segment.ip_id;
        }
        if let Some(tsval) = tsval(segment)
            && self.tsval.is_none_or(|known| seq_diff(tsval, known) > 0)
        {
            self.tsval = Some(tsval);
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
        let counts = self.steady >= STEADY && segment.ip_id != 0;
        if counts && segment.ip_id.wrapping_sub(self.id).cast_signed() <= 0 {
            return true;
        }
        match (tsval(segment), self.tsval) {
            // With equal ones the clock's tick is too coarse to tell.
            (Some(tsval), Some(newest)) => match seq_diff(tsval, newest) {
                ..0 => true,
                0 => recent,
                1.. => false,
            },
            _ => recent && !counts,
        }
    }

    /// Notes a segment sent again.
    pub(super) fn note_again(&mut self, segment: &Segment<'_>) {
        if segment.ip_id.wrapping_sub(self.id) <= MAX_ID_STEP {
            self.id = segment.ip_id;
        }
        if let (Some(tsval), Some(newest)) = (tsval(segment), self.tsval)
            && seq_diff(tsval, newest) > 0
        {
            self.tsval = Some(tsval);
        }
        self.at = segment.at;
    }
}

/// The TSval of a segment, where its timestamps stand in their usual place.
#[inline]
fn tsval(segment: &Segment<'_>) -> Option<u32> {
    let (layout, rest) = segment.options.split_first_chunk::<4>()?;
    if *layout != TIMESTAMPS {
        return None;
    }
    Some(u32::from_be_bytes(*rest.first_chunk::<4>()?))
}

/// The shift of a SYN's window scale option (RFC 7323, section 2.2).
pub(super) fn window_scale(options: &[u8]) -> Option<u8> {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    /// RFC 7323, section 2.3: larger shifts count as this one.
    const LARGEST: u8 = 14;
    let mut rest = options;
    loop {
        rest = match rest {
            [] | [END, ..] => return None,
            [NOP, after @ ..] => after,
            [WINDOW_SCALE, 3, shift, ..] => return Some((*shift).min(LARGEST)),
            [_, len, ..] if *len >= 2 => rest.get(usize::from(*len)..)?,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_window_scale_behind_other_options_and_never_runs_past_the_end() {
        let linux = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
        assert_eq!(window_scale(&linux), Some(7));
        assert_eq!(window_scale(&[1, 1, 3, 3, 99]), Some(14));
        for broken in [&[2u8, 0, 3, 3, 7][..], &[3, 3], &[2, 200, 1], &[0, 3, 3, 7], &[]] {
            assert_eq!(window_scale(broken), None);
        }
    }
}
