//! A segment that came ahead of a gap, kept until the bytes before it are there.

use crate::capture::{CaptureTime, Passage, Segment, TcpFlags};

use super::seq::seq_diff;

/// What is kept of the segment.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) data: Box<[u8]>,
    pub(super) wire_len: u32,
    pub(super) seq: u32,
    ack: u32,
    frame: u32,
    at: CaptureTime,
    file_offset: u64,
}

impl Held {
    pub(super) fn new(segment: &Segment<'_>) -> Self {
        Self {
            data: segment.payload.into(),
            wire_len: segment.wire_len,
            seq: segment.seq,
            ack: segment.ack,
            frame: segment.frame,
            at: segment.at,
            file_offset: segment.file_offset,
        }
    }

    /// Whether all bytes of a segment are among these.
    pub(super) fn covers(&self, segment: &Segment<'_>) -> bool {
        let from = seq_diff(segment.seq, self.seq);
        from >= 0 && i64::from(from) + i64::from(segment.wire_len) <= i64::from(self.wire_len)
    }

    /// Whether a segment has other bytes than these in the same place.
    pub(super) fn conflicts_with(&self, segment: &Segment<'_>) -> bool {
        let shift = seq_diff(segment.seq, self.seq);
        let (mine, other) = if shift >= 0 {
            (self.data.get(shift as usize..), Some(segment.payload))
        } else {
            (Some(&self.data[..]), segment.payload.get(shift.unsigned_abs() as usize..))
        };
        mine.zip(other).is_some_and(|(a, b)| a.iter().zip(b).any(|(a, b)| a != b))
    }

    /// The held bytes as the segment they were; addresses and options do not matter any more.
    pub(super) fn segment(&self) -> Segment<'_> {
        let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        Segment {
            frame: self.frame,
            at: self.at,
            src: nowhere,
            dst: nowhere,
            seq: self.seq,
            ack: self.ack,
            flags: TcpFlags::default(),
            window: 0,
            ip_id: 0,
            tsval: 0,
            window_scale: None,
            passage: Passage::UNKNOWN,
            is_icmp_error: false,
            payload: &self.data,
            wire_len: self.wire_len,
            file_offset: self.file_offset,
        }
    }
}
