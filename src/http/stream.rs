//! One direction of an HTTP/1 connection: where its messages begin and end (RFC 9112, section 6).
//!
//! ```text
//! Idle ── head ──┬─ Body(n) ───────────────┐
//!   ▲            ├─ ChunkSize ⇄ ChunkData ─┤ → Trailers
//!   │            ├─ UntilClose             │
//!   └────────────┴──── message ends ◀──────┘        a hole or nonsense: Lost, until a message starts again
//! ```

use memchr::memchr;

use crate::capture::{CaptureTime, Extent};
use crate::tcp::{Chunk, Hole, Side};

use super::extents;
use super::oddity::{Oddities, Oddity};
use super::{CaptureFacts, Framing, Message, MessageState};

/// The longest head kept while its end is awaited, in bytes; nginx's default limit is 32 KiB.
pub(super) const MAX_HEAD: usize = 256 << 10;
/// The longest line of a chunk size or a trailer.
const MAX_LINE: usize = 16 << 10;

/// Room for the coded extents of most messages, in bytes.
const USUAL_EXTENTS: usize = 64;

/// Room for any coded extent, in bytes.
const LONGEST_EXTENT: usize = 32;

/// Where in its message a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Between messages.
    #[default]
    Idle,
    /// In a head whose end has not come.
    Head,
    /// In a body of known length: bytes to come.
    Body(u64),
    /// In the line that gives a chunk's size.
    ChunkSize,
    /// In a chunk: bytes to come.
    ChunkData(u64),
    /// In the line end after a chunk.
    ChunkEnd,
    /// In the trailer section.
    Trailers,
    /// In a body that ends with the connection.
    UntilClose,
    /// Out of step: waits for the start of a message.
    Lost,
    /// No HTTP/1 (any more).
    Closed,
}

/// What became of the message after some bytes of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come.
    More,
    /// The message ended by its framing.
    Ended,
    /// The framing makes no sense: the message is cut here.
    Nonsense,
}

/// What missing bytes do to the message under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoleFate {
    /// They lie inside its body; it goes on behind them.
    Inside,
    /// They are the rest of its body.
    Ends,
    /// They go beyond what is known of it, or there is none.
    Breaks,
}

/// A direction's state.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub stage: Stage,
    /// The message under way.
    pub message: Message,
    /// The exchange that the message under way belongs to.
    pub exchange: usize,
    /// Bytes of a head, a chunk size or a trailer whose end has not come.
    pub carry: Vec<u8>,
    /// Sequence number of the first byte handed over.
    pub first_seq: Option<u32>,
    /// Sequence number after the last byte handed over.
    pub next_seq: Option<u32>,
    /// What was odd about the chunked coding of the message under way.
    pub oddities: Oddities,
    /// Whether to digest bodies.
    pub digests_body: bool,
    /// Bytes are missing where they may have held its end.
    pub lossy: bool,
    /// Bytes inside the body are missing, with the framing intact.
    holed: bool,
    extents: Vec<u8>,
    open: Option<Extent>,
    /// The extent coded last, all zero before the first.
    coded: Extent,
}

impl Stream {
    /// Whether a message is under way.
    pub fn in_message(&self) -> bool {
        !matches!(self.stage, Stage::Idle | Stage::Lost | Stage::Closed)
    }

    /// A message starts with this chunk, and nothing that came before belongs to it.
    pub fn begin(&mut self, chunk: &Chunk<'_>) {
        self.forget_bytes();
        self.stage = Stage::Head;
        self.lossy = false;
        self.message = Message {
            start: chunk.at,
            end: chunk.at,
            first_frame: chunk.frame,
            last_frame: chunk.frame,
            seq: chunk.seq,
            ack: chunk.ack,
            state: MessageState::Partial,
            ..Message::default()
        };
    }

    /// A message starts with this chunk, which holds its whole head: `len` bytes.
    pub fn begin_with_head(&mut self, from: Side, chunk: &Chunk<'_>, len: usize) {
        self.begin(chunk);
        self.account(chunk, len);
        self.note_head(from, &chunk.data[..len]);
    }

    /// The head of the message under way is whole. Only those of requests are compared.
    pub fn note_head(&mut self, from: Side, bytes: &[u8]) {
        self.message.head_bytes = bytes.len() as u32;
        if from == Side::Client {
            self.message.head_crc = crc32fast::hash(bytes);
        }
    }

    /// The first `len` bytes of the chunk belong to the message.
    #[inline]
    pub fn account(&mut self, chunk: &Chunk<'_>, len: usize) {
        let message = &mut self.message;
        message.wire_bytes += len as u64;
        message.end = chunk.at;
        message.last_frame = chunk.frame;
        let next = Extent { frame: chunk.frame, offset: chunk.file_offset, len: len as u32 };
        match &mut self.open {
            Some(open) if open.frame == next.frame && open.offset + u64::from(open.len) == next.offset => {
                open.len += next.len;
            }
            _ => {
                self.close_extent();
                self.open = Some(next);
            }
        }
    }

    fn close_extent(&mut self) {
        if let Some(extent) = self.open.take() {
            if self.extents.capacity() - self.extents.len() < LONGEST_EXTENT {
                // In few steps: each copies what there is.
                self.extents.reserve(USUAL_EXTENTS.max(3 * self.extents.capacity()));
            }
            extents::encode(&mut self.extents, self.coded, extent);
            self.coded = extent;
            self.message.extent_count += 1;
        }
    }

    /// The head ended; the body's framing is known.
    pub fn start_body(&mut self, framing: Framing) -> Progress {
        self.message.framing = framing;
        self.stage = match framing {
            Framing::None | Framing::Length(0) | Framing::Tunnel => {
                self.stage = Stage::Body(0);
                return Progress::Ended;
            }
            Framing::Length(length) => Stage::Body(length),
            Framing::Chunked => Stage::ChunkSize,
            Framing::UntilClose => Stage::UntilClose,
        };
        Progress::More
    }

    /// Takes bytes of the body from the start of the chunk: how many, and what became of the message.
    pub fn body(&mut self, chunk: &Chunk<'_>) -> (usize, Progress) {
        let data = chunk.data;
        match self.stage {
            Stage::Body(left) => {
                let len = left.min(data.len() as u64) as usize;
                self.take_body(chunk, len);
                self.stage = Stage::Body(left - len as u64);
                (len, if left == len as u64 { Progress::Ended } else { Progress::More })
            }
            Stage::UntilClose => {
                self.take_body(chunk, data.len());
                (data.len(), Progress::More)
            }
            Stage::ChunkData(left) => {
                let len = left.min(data.len() as u64) as usize;
                self.take_body(chunk, len);
                self.stage =
                    if left == len as u64 { Stage::ChunkEnd } else { Stage::ChunkData(left - len as u64) };
                (len, Progress::More)
            }
            Stage::ChunkSize | Stage::ChunkEnd | Stage::Trailers => self.line(chunk),
            Stage::Idle | Stage::Head | Stage::Lost | Stage::Closed => (0, Progress::Nonsense),
        }
    }

    /// Takes the whole chunk as body where the body goes on behind it, as it does in most packets; says whether it did.
    /// The first bytes of a body are left to [`Self::body`].
    #[inline]
    pub fn continue_body(&mut self, chunk: &Chunk<'_>) -> bool {
        let len = chunk.data.len() as u64;
        let (Stage::Body(left) | Stage::ChunkData(left)) = &mut self.stage else { return false };
        if *left <= len || self.message.body_bytes == 0 {
            return false;
        }
        *left -= len;
        self.take_body(chunk, chunk.data.len());
        self.next_seq = Some(chunk.seq.wrapping_add(len as u32));
        true
    }

    /// Takes the first `len` bytes of the chunk as body.
    #[inline]
    pub fn take_body(&mut self, chunk: &Chunk<'_>, len: usize) {
        self.account(chunk, len);
        self.message.body_bytes += len as u64;
        if self.digests_body {
            let mut hasher = crc32fast::Hasher::new_with_initial(self.message.body_crc);
            hasher.update(&chunk.data[..len]);
            self.message.body_crc = hasher.finalize();
        }
    }

    /// Takes a line of the chunked coding (RFC 9112, section 7.1), or as much of it as there is.
    fn line(&mut self, chunk: &Chunk<'_>) -> (usize, Progress) {
        let Some(end) = memchr(b'\n', chunk.data) else {
            self.account(chunk, chunk.data.len());
            self.carry.extend_from_slice(chunk.data);
            let too_long = self.carry.len() > MAX_LINE;
            return (chunk.data.len(), if too_long { Progress::Nonsense } else { Progress::More });
        };
        self.account(chunk, end + 1);
        let before = if end > 0 { chunk.data.get(end - 1) } else { self.carry.last() };
        if before != Some(&b'\r') {
            self.oddities.add(Oddity::ChunkBareLf);
        }
        let progress = if self.carry.is_empty() {
            self.on_line(&chunk.data[..end])
        } else {
            let mut line = std::mem::take(&mut self.carry);
            line.extend_from_slice(&chunk.data[..end]);
            self.on_line(&line)
        };
        (end + 1, progress)
    }

    fn on_line(&mut self, line: &[u8]) -> Progress {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.contains(&b'\r') {
            self.oddities.add(Oddity::ChunkBareCr);
        }
        match self.stage {
            Stage::ChunkEnd if line.trim_ascii().is_empty() => self.stage = Stage::ChunkSize,
            Stage::ChunkSize => match chunk_size(line) {
                Some((size, plain)) => {
                    if !plain {
                        self.oddities.add(Oddity::ChunkSize);
                    }
                    self.stage = if size == 0 { Stage::Trailers } else { Stage::ChunkData(size) };
                }
                None => return Progress::Nonsense,
            },
            Stage::Trailers if line.trim_ascii().is_empty() => return Progress::Ended,
            Stage::Trailers => {}
            _ => return Progress::Nonsense,
        }
        Progress::More
    }

    /// Bytes of this stream are missing: what that does to the message under way.
    pub fn hole(&mut self, hole: &Hole) -> HoleFate {
        let len = u64::from(hole.len);
        let (left, in_chunk) = match self.stage {
            Stage::Body(left) => (left, false),
            Stage::ChunkData(left) => (left, true),
            Stage::UntilClose => (u64::MAX, false),
            _ => (0, false),
        };
        if len > left {
            self.lossy = true;
            return HoleFate::Breaks;
        }
        // Missing bytes inside a counted body leave the framing intact.
        self.skip_body(len);
        // Where the snap length cut a body its packets were there, and its end is no guess.
        self.lossy |= !hole.cut;
        self.stage = match self.stage {
            Stage::ChunkData(_) if len == left => Stage::ChunkEnd,
            Stage::ChunkData(_) => Stage::ChunkData(left - len),
            Stage::Body(_) => Stage::Body(left - len),
            other => other,
        };
        if len == left && !in_chunk { HoleFate::Ends } else { HoleFate::Inside }
    }

    /// Bytes of the body are missing whose end is known.
    pub fn skip_body(&mut self, len: u64) {
        self.holed = true;
        self.message.wire_bytes += len;
        self.message.body_bytes += len;
    }

    /// The message is over: its facts, with its extents kept.
    pub fn end(&mut self, complete: bool, at: Option<CaptureTime>, facts: &mut CaptureFacts) -> Message {
        self.close_extent();
        let mut message = self.message;
        message.extents = facts.add_extents(&self.extents);
        if self.holed {
            message.body_crc = 0;
        }
        message.state = match (self.lossy, complete) {
            (true, _) => MessageState::Lossy,
            (false, true) => MessageState::Complete,
            (false, false) => MessageState::Partial,
        };
        if let Some(at) = at {
            message.end = message.end.max(at);
        }
        self.forget_bytes();
        self.carry = Vec::new();
        self.lossy = false;
        self.stage = Stage::Idle;
        message
    }

    /// A stream of which nothing is known, with the room that this one has for extents, if that is usual.
    pub fn renewed(&mut self) -> Self {
        let mut extents = std::mem::take(&mut self.extents);
        extents.clear();
        extents.shrink_to(16 * USUAL_EXTENTS);
        Self { extents, ..Self::default() }
    }

    /// No bytes belong to the message any more.
    #[inline]
    fn forget_bytes(&mut self) {
        self.extents.clear();
        self.open = None;
        self.coded = Extent::default();
        self.holed = false;
    }

    /// Forgets the message under way without a trace (an interim response).
    pub fn discard(&mut self) {
        self.oddities = Oddities::default();
        self.forget_bytes();
        self.carry = Vec::new();
        self.stage = Stage::Idle;
    }
}

/// The size at the start of a chunk-size line, and whether nothing but digits gives it; extensions after `;` are
/// skipped.
fn chunk_size(line: &[u8]) -> Option<(u64, bool)> {
    let field = line.split(|&b| b == b';').next()?;
    let digits = field.trim_ascii();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((size, field.len() == digits.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_chunk_sizes_with_extensions_and_refuses_nonsense() {
        assert_eq!(chunk_size(b"1aF;name=value"), Some((0x1af, true)));
        assert_eq!(chunk_size(b"0"), Some((0, true)));
        for padded in [b"5 ;a".as_slice(), b"5 ", b" 5"] {
            assert_eq!(chunk_size(padded), Some((5, false)));
        }
        for nonsense in [b"".as_slice(), b"xyz", b"+5", b"0x5", b"ffffffffffffffff"] {
            assert_eq!(chunk_size(nonsense), None);
        }
    }
}
