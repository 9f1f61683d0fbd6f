//! Segments that are kept: one that came ahead of a gap until the bytes before it are there, one that fits nowhere until
//! another one tells where it belongs.

use std::net::SocketAddr;

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
        mine.zip(other).is_some_and(|(a, b)| {
            let both = a.len().min(b.len());
            a[..both] != b[..both]
        })
    }

    /// The held bytes as the segment they were; addresses and options do not matter any more.
    pub(super) fn segment(&self) -> Segment<'_> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
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

/// A segment that is of no connection known, with what it takes to begin one.
#[derive(Debug)]
pub(super) struct Stray {
    pub(super) src_is_low: bool,
    src: SocketAddr,
    dst: SocketAddr,
    flags: TcpFlags,
    held: Held,
}

impl Stray {
    pub(super) fn new(segment: &Segment<'_>, src_is_low: bool) -> Self {
        let Segment { src, dst, flags, .. } = *segment;
        Self { src_is_low, src, dst, flags, held: Held::new(segment) }
    }

    pub(super) fn seq(&self) -> u32 {
        self.held.seq
    }

    pub(super) fn len(&self) -> usize {
        self.held.data.len()
    }

    /// The segment that it was, without its options.
    pub(super) fn segment(&self) -> Segment<'_> {
        Segment { src: self.src, dst: self.dst, flags: self.flags, ..self.held.segment() }
    }
}
