//! IP fragments joined to datagrams, and a segment that lay in several packets cut into pieces that can be read again.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::Range;

use etherparse::{IpNumber, ip_number};
use hashbrown::HashMap;

use super::{CaptureTime, ProblemKind, Problems, Segment, TcpFlags};

/// Most bytes of fragments held at once: the limit of the Linux kernel (`ipfrag_high_thresh`).
const MAX_HELD_BYTES: usize = 4 << 20;
/// Most incomplete datagrams held at once.
const MAX_DATAGRAMS: usize = 4096;
/// Most parts of one datagram: 64 KiB over the smallest MTU that hosts must take (576 bytes) are 120.
const MAX_PARTS: usize = 256;
/// How long a datagram waits for its fragments by the capture's clock; RFC 791, section 3.2, and RFC 8200, section 4.5,
/// let hosts wait a minute at most.
const PATIENCE_NS: i64 = 60_000_000_000;
/// Longest datagram without its header.
const LONGEST: usize = 65_535;
/// What a part costs beside its bytes, for the limit.
const PART_COST: usize = 64;

/// Which datagram a fragment belongs to (RFC 791, section 3.2; RFC 8200, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DatagramKey {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) id: u32,
    pub(super) protocol: IpNumber,
}

/// One fragment, as its packet holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) frame: u32,
    pub(super) at: CaptureTime,
    /// Position in the datagram's payload, in bytes.
    pub(super) offset: usize,
    /// Whether another one follows.
    pub(super) more: bool,
    /// The bytes captured.
    pub(super) data: &'a [u8],
    /// Length on the wire in bytes.
    pub(super) wire_len: usize,
    /// Position of `data` in the file.
    pub(super) file_offset: u64,
}

/// A run of a datagram, each byte from the packet that brought it first.
#[derive(Clone, Debug)]
struct Part {
    range: Range<usize>,
    data: Vec<u8>,
    file_offset: u64,
}

#[derive(Clone, Debug, Default)]
struct Datagram {
    /// By position, without overlaps.
    parts: Vec<Part>,
    /// Length, once the last fragment is there.
    total: Option<usize>,
    first_frame: u32,
    bytes: usize,
    /// It began as nothing but fragments that came again once theirs was whole: the length of that one.
    repeats: Option<usize>,
}

/// A datagram whose fragments are all there.
#[derive(Clone, Debug, Default)]
pub(super) struct Joined {
    /// Its payload, as far as it was captured without a gap.
    pub(super) bytes: Vec<u8>,
    /// Length of the payload on the wire.
    pub(super) wire_len: usize,
    /// Where in `bytes` each part starts, and its place in the file.
    places: Vec<(usize, u64)>,
}

/// The incomplete datagrams of a capture.
#[derive(Clone, Debug, Default)]
pub(super) struct Fragments {
    datagrams: HashMap<DatagramKey, Datagram, foldhash::fast::FixedState>,
    /// When each began, oldest first; those that were completed since are no longer in the table.
    ages: VecDeque<(CaptureTime, u32, DatagramKey)>,
    held: usize,
    /// Lengths of those that were completed lately, the oldest ones first in the list.
    done: HashMap<DatagramKey, usize, foldhash::fast::FixedState>,
    done_order: VecDeque<DatagramKey>,
}

impl Fragments {
    /// Adds a fragment; gives the datagram that it completes.
    pub(super) fn push(
        &mut self,
        key: DatagramKey,
        piece: &Piece<'_>,
        problems: &mut impl Problems,
    ) -> Option<Joined> {
        self.make_room(piece.at, problems);
        let end = piece.offset + piece.wire_len;
        if end > LONGEST || piece.wire_len == 0 {
            let frame = piece.frame;
            let what = "is an IP fragment of impossible length";
            problems.report(ProblemKind::UndecodablePacket, format_args!("packet {frame} {what}"));
            return None;
        }
        let datagram = self.datagrams.entry(key).or_insert_with(|| {
            self.ages.push_back((piece.at, piece.frame, key));
            let repeats = self.done.get(&key).copied();
            Datagram { first_frame: piece.frame, repeats, ..Datagram::default() }
        });
        datagram.repeats = datagram.repeats.filter(|&total| end <= total);
        let before = datagram.bytes;
        let sound = datagram.add(piece, problems);
        self.held += datagram.bytes - before;
        if sound && !datagram.is_complete() {
            return None;
        }
        let datagram = self.remove(&key)?;
        if sound && self.done.insert(key, datagram.total.unwrap_or(0)).is_none() {
            self.done_order.push_back(key);
            if self.done_order.len() > MAX_DATAGRAMS
                && let Some(oldest) = self.done_order.pop_front()
            {
                self.done.remove(&oldest);
            }
        }
        sound.then(|| datagram.join())
    }

    /// The capture is over: says what is left.
    pub(super) fn finish(&mut self, problems: &mut impl Problems) {
        while let Some((_, frame, key)) = self.ages.pop_front() {
            self.give_up(frame, key, problems);
        }
    }

    fn remove(&mut self, key: &DatagramKey) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.held -= datagram.bytes;
        Some(datagram)
    }

    /// Lets go of datagrams that waited too long, and of the oldest where there are too many.
    fn make_room(&mut self, now: CaptureTime, problems: &mut impl Problems) {
        while let Some(&(at, frame, key)) = self.ages.front() {
            let full = self.held > MAX_HELD_BYTES || self.ages.len() > MAX_DATAGRAMS;
            if !full && now.0.saturating_sub(at.0) <= PATIENCE_NS {
                return;
            }
            self.ages.pop_front();
            if full && self.datagrams.contains_key(&key) {
                problems.report(
                    ProblemKind::LimitReached,
                    format_args!(
                        "too many IP fragments wait for others; those from packet {frame} on were dropped"
                    ),
                );
            }
            self.give_up(frame, key, problems);
        }
    }

    fn give_up(&mut self, frame: u32, key: DatagramKey, problems: &mut impl Problems) {
        // Another datagram may have taken the same key since.
        let Some(repeats) =
            self.datagrams.get(&key).filter(|known| known.first_frame == frame).map(|known| known.repeats)
        else {
            return;
        };
        self.remove(&key);
        // What UDP would have carried is mostly no tunnel, and then nothing is missing here.
        if key.protocol != ip_number::UDP && repeats.is_none() {
            problems.report(
                ProblemKind::UndecodablePacket,
                format_args!(
                    "packet {frame} is an IP fragment, and the others of its datagram were not captured"
                ),
            );
        }
    }
}

impl Datagram {
    /// Takes what is new in a fragment: of bytes that came twice, the first ones stay. False where the datagram makes
    /// no sense any more.
    fn add(&mut self, piece: &Piece<'_>, problems: &mut impl Problems) -> bool {
        let end = piece.offset + piece.wire_len;
        let known_end = self.parts.last().map_or(0, |part| part.range.end);
        let sound = match (self.total, piece.more) {
            (Some(total), true) => end <= total,
            (Some(total), false) => end == total,
            (None, true) => true,
            (None, false) => known_end <= end,
        };
        if !sound || self.parts.len() >= MAX_PARTS {
            problems.report(
                ProblemKind::UndecodablePacket,
                format_args!(
                    "packet {} is an IP fragment that contradicts others, or one of too many",
                    piece.frame
                ),
            );
            return false;
        }
        if !piece.more {
            self.total = Some(end);
        }
        let mut from = piece.offset;
        let mut place = self.parts.partition_point(|part| part.range.end <= from);
        while from < end {
            let next = self.parts.get(place).map_or(end, |part| part.range.start.clamp(from, end));
            if from < next {
                self.parts.insert(place, piece.part(from..next));
                self.bytes += PART_COST + self.parts[place].data.len();
                place += 1;
            }
            from = self.parts.get(place).map_or(end, |part| part.range.end.max(next));
            place += 1;
        }
        true
    }

    fn is_complete(&self) -> bool {
        let mut next = 0;
        for part in &self.parts {
            if part.range.start != next {
                return false;
            }
            next = part.range.end;
        }
        self.total == Some(next)
    }

    fn join(self) -> Joined {
        let mut joined = Joined { wire_len: self.total.unwrap_or(0), ..Joined::default() };
        for part in self.parts {
            joined.places.push((part.range.start, part.file_offset));
            joined.bytes.extend_from_slice(&part.data);
            if part.data.len() < part.range.len() {
                // Cut by the snap length: what lies behind the gap has no place any more.
                break;
            }
        }
        joined
    }
}

impl Piece<'_> {
    /// The part of it that lies in a range of the datagram.
    fn part(&self, range: Range<usize>) -> Part {
        let start = (range.start - self.offset).min(self.data.len());
        let end = (range.end - self.offset).min(self.data.len());
        Part { range, data: self.data[start..end].to_vec(), file_offset: self.file_offset + start as u64 }
    }
}

/// A segment out of a joined datagram, in pieces that each lie in one packet, so that its bytes can be read again.
#[derive(Clone, Debug, Default)]
pub(super) struct Ready {
    bytes: Vec<u8>,
    pieces: VecDeque<ReadyPiece>,
}

/// All of a piece but its bytes, which lie in [`Ready`].
#[derive(Clone, Debug)]
struct ReadyPiece {
    segment: Segment<'static>,
    range: Range<usize>,
}

impl Ready {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Cuts a segment at the borders of the packets that held it. Its payload starts at `start` in the datagram.
    pub(super) fn of(segment: &Segment<'_>, joined: &Joined) -> Self {
        let start = segment.file_offset as usize;
        let end = start + segment.payload.len();
        let cuts =
            joined.places.iter().map(|&(place, _)| place).filter(|&place| place > start && place < end);
        let mut borders: Vec<usize> = std::iter::once(start).chain(cuts).collect();
        borders.push(end);
        let last = borders.len() - 2;
        let mut pieces = VecDeque::new();
        for (i, ends) in borders.windows(2).enumerate() {
            let range = ends[0]..ends[1];
            let behind = (range.start - start) as u32;
            let mut flags = segment.flags.0;
            if i > 0 {
                flags &= !TcpFlags::SYN;
            }
            if i < last {
                flags &= !(TcpFlags::FIN | TcpFlags::RST);
            }
            // The SYN has a sequence number of its own, in front of the bytes.
            let phantom = u32::from(i > 0 && segment.flags.syn());
            let wire_len = if i == last { segment.wire_len - behind } else { range.len() as u32 };
            let segment = detached(segment, joined.file_offset(range.start));
            let seq = segment.seq.wrapping_add(behind).wrapping_add(phantom);
            pieces.push_back(ReadyPiece {
                segment: Segment { seq, flags: TcpFlags(flags), wire_len, ..segment },
                range,
            });
        }
        Self { bytes: Vec::new(), pieces }
    }

    /// Takes over the bytes of the datagram.
    pub(super) fn with_bytes(mut self, joined: Joined) -> Self {
        self.bytes = joined.bytes;
        self
    }

    /// The next piece.
    pub(super) fn next(&mut self) -> Option<Segment<'_>> {
        let piece = self.pieces.pop_front()?;
        Some(Segment { payload: self.bytes.get(piece.range).unwrap_or_default(), ..piece.segment })
    }
}

/// A segment without its bytes, at a place in the file.
fn detached(segment: &Segment<'_>, file_offset: u64) -> Segment<'static> {
    Segment {
        frame: segment.frame,
        at: segment.at,
        src: segment.src,
        dst: segment.dst,
        seq: segment.seq,
        ack: segment.ack,
        flags: segment.flags,
        window: segment.window,
        ip_id: segment.ip_id,
        tsval: segment.tsval,
        window_scale: segment.window_scale,
        passage: segment.passage,
        is_icmp_error: segment.is_icmp_error,
        payload: &[],
        wire_len: segment.wire_len,
        file_offset,
    }
}

impl Joined {
    /// Where in the file a byte of the datagram lies.
    fn file_offset(&self, at: usize) -> u64 {
        let place = self.places.partition_point(|&(start, _)| start <= at);
        match place.checked_sub(1).and_then(|place| self.places.get(place)) {
            Some(&(start, offset)) => offset + (at - start) as u64,
            None => 0,
        }
    }
}
