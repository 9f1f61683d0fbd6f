//! pcapng: sections of blocks, each with its length in front and behind.
//!
//! The blocks are walked here and not by pcap-file, because its parser (2.0) makes a list of options for every
//! packet and drops whole interfaces over details that real files have: options without an end mark, a time zone
//! option, a name that is not UTF-8. An interface lost that way shifts the numbers of all that follow.
//! Format: draft-ietf-opsawg-pcapng, section 4.

use super::buffer::Buffer;
use super::reader::{LARGEST_PACKET, Record};
use super::{CaptureError, CaptureTime, LinkType, ProblemKind, Problems};

/// The type of a section header block, the same in both byte orders.
pub(super) const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
const INTERFACE_DESCRIPTION: u32 = 1;
/// Obsolete since 2004, still found in files of old tools.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type and length in front of a block's body.
const BLOCK_HEADER: usize = 8;
/// Type, length, and the length again behind the body.
const SMALLEST_BLOCK: u32 = 12;
/// Longest block that is read, with room for options around the longest packet.
const LARGEST_BLOCK: u32 = LARGEST_PACKET + 64 * 1024;
/// Interfaces of one section. A file that has more is broken or made to harm.
const MOST_INTERFACES: usize = 65_536;

/// The state of a walk over a pcapng file.
pub(super) struct PcapNg {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Link types of all interfaces, in order of appearance.
    link_types: Vec<LinkType>,
    /// Time of the packet before, which simple packets borrow.
    last: CaptureTime,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: LinkType,
    snap_len: u32,
    unit: Unit,
    offset_ns: i64,
}

/// What one unit of an interface's timestamps is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// This many nanoseconds.
    Nanos(u64),
    /// This part of a nanosecond.
    PerNano(u64),
    /// 2^-n seconds.
    PowerOfTwo(u8),
}

/// Where a packet lies in its block, and what the block says of it.
struct Body {
    interface: usize,
    ticks: Option<u64>,
    /// Position of the data behind the start of the block.
    data_at: usize,
    captured: u32,
    original: u32,
}

impl PcapNg {
    /// Checks that a section header comes first; the walk itself reads it.
    pub(super) fn open(buffer: &mut Buffer) -> Result<Self, CaptureError> {
        if !buffer.ensure(SMALLEST_BLOCK as usize) {
            return Err(CaptureError::CutHeader { bytes: buffer.unread().len() });
        }
        let mut walk =
            Self { big_endian: false, interfaces: Vec::new(), link_types: Vec::new(), last: CaptureTime(0) };
        walk.begin_section(buffer.unread()).ok_or(CaptureError::BadByteOrder)?;
        Ok(walk)
    }

    pub(super) fn link_types(&self) -> &[LinkType] {
        &self.link_types
    }

    /// The next packet; `frame` is its number. `None` at the end, be it sound or not.
    #[inline]
    pub(super) fn next(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        problems: &mut impl Problems,
    ) -> Option<Record> {
        loop {
            let (block_type, total) = self.block_header(buffer, frame, problems)?;
            // The format wants lengths in steps of four; writers that forget still pad.
            let padded = u64::from(total).next_multiple_of(4);
            let has_packet = matches!(block_type, ENHANCED_PACKET | SIMPLE_PACKET | PACKET);
            let is_read = has_packet || block_type == INTERFACE_DESCRIPTION;
            let place = buffer.position();
            if is_read && total > LARGEST_BLOCK {
                bad_block(problems, frame, place, "has a length beyond reason", "left out");
            } else if is_read {
                if !buffer.ensure(padded as usize) {
                    truncated(problems, frame, place, if has_packet { "" } else { "a block before " });
                    return None;
                }
                let record = self.block(buffer, block_type, total as usize, frame, problems);
                buffer.consume(padded as usize);
                if record.is_some() {
                    return record;
                }
                continue;
            }
            if !buffer.skip(padded) {
                truncated(problems, frame, place, "a block before ");
                return None;
            }
        }
    }

    /// Type and length of the block at hand; a section header changes the byte order. `None` ends the walk.
    #[inline]
    fn block_header(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        problems: &mut impl Problems,
    ) -> Option<(u32, u32)> {
        if !buffer.ensure(SMALLEST_BLOCK as usize) {
            if !buffer.unread().is_empty() {
                truncated(problems, frame, buffer.position(), "the header of a block before ");
            }
            return None;
        }
        let (data, place) = (buffer.unread(), buffer.position());
        let block_type = self.u32(data, 0)?;
        if block_type == SECTION_HEADER && self.begin_section(data).is_none() {
            bad_block(problems, frame, place, "starts a section of no byte order", "reading stopped there");
            return None;
        }
        let total = self.u32(data, 4)?;
        if total < SMALLEST_BLOCK {
            bad_block(problems, frame, place, "is shorter than its own header", "reading stopped there");
            return None;
        }
        Some((block_type, total))
    }

    /// Reads a block that is all in the buffer; gives its packet, if it holds one.
    #[inline]
    fn block(
        &mut self,
        buffer: &Buffer,
        block_type: u32,
        total: usize,
        frame: u32,
        problems: &mut impl Problems,
    ) -> Option<Record> {
        let block = buffer.unread().get(..total)?;
        if self.u32(block, total - 4) != self.u32(block, 4) {
            bad_block(problems, frame, buffer.position(), "has two different lengths", "read by the first");
        }
        // From here on offsets count from the start of the block, and `block` ends before the second length.
        let block = &block[..total - 4];
        let body = match block_type {
            ENHANCED_PACKET => self.enhanced_packet(block),
            SIMPLE_PACKET => self.simple_packet(block),
            PACKET => self.obsolete_packet(block),
            INTERFACE_DESCRIPTION => {
                if self.interface(block).is_none() {
                    bad_block(problems, frame, buffer.position(), "describes no interface", "left out");
                }
                return None;
            }
            _ => return None,
        };
        let with_interface = body.and_then(|body| Some((*self.interfaces.get(body.interface)?, body)));
        let Some((interface, body)) = with_interface else {
            bad_block(problems, frame, buffer.position(), "fits no interface or no length", "left out");
            return None;
        };
        let len = body.captured as usize;
        if body.data_at.checked_add(len).is_none_or(|end| end > block.len()) {
            bad_block(problems, frame, buffer.position(), "claims more data than it holds", "left out");
            return None;
        }
        let at = body.ticks.map_or(self.last, |ticks| interface.time(ticks));
        self.last = at;
        Some(Record {
            index: buffer.index() + body.data_at,
            len,
            offset: buffer.position() + body.data_at as u64,
            at,
            link_type: interface.link_type,
            wire_len: body.original.max(body.captured),
        })
    }

    #[inline]
    fn enhanced_packet(&self, block: &[u8]) -> Option<Body> {
        let block = block.get(..BLOCK_HEADER + 20)?;
        Some(Body {
            interface: self.u32(block, 8)? as usize,
            ticks: Some(u64::from(self.u32(block, 12)?) << 32 | u64::from(self.u32(block, 16)?)),
            data_at: BLOCK_HEADER + 20,
            captured: self.u32(block, 20)?,
            original: self.u32(block, 24)?,
        })
    }

    fn simple_packet(&self, block: &[u8]) -> Option<Body> {
        let original = self.u32(block, 8)?;
        let held = u32::try_from(block.len() - BLOCK_HEADER - 4).ok()?;
        // A simple packet does not say how much of it was captured: the snap length of interface 0 does.
        let limit = self.interfaces.first().map_or(0, |interface| interface.snap_len);
        let limit = if limit == 0 { u32::MAX } else { limit };
        let captured = original.min(limit).min(held);
        Some(Body { interface: 0, ticks: None, data_at: BLOCK_HEADER + 4, captured, original })
    }

    fn obsolete_packet(&self, block: &[u8]) -> Option<Body> {
        Some(Body {
            interface: usize::from(self.u16(block, 8)?),
            ticks: Some(u64::from(self.u32(block, 12)?) << 32 | u64::from(self.u32(block, 16)?)),
            data_at: BLOCK_HEADER + 20,
            captured: self.u32(block, 20)?,
            original: self.u32(block, 24)?,
        })
    }

    /// Takes the byte order of a section and forgets the interfaces of the one before.
    fn begin_section(&mut self, block: &[u8]) -> Option<()> {
        let magic = block.get(8..12)?.first_chunk::<4>()?;
        self.big_endian = match (u32::from_be_bytes(*magic), u32::from_le_bytes(*magic)) {
            (BYTE_ORDER_MAGIC, _) => true,
            (_, BYTE_ORDER_MAGIC) => false,
            _ => return None,
        };
        self.interfaces.clear();
        Some(())
    }

    /// Adds an interface: link type, snap length, and of its options those that change timestamps.
    fn interface(&mut self, block: &[u8]) -> Option<()> {
        let link_type = LinkType(self.u16(block, 8)?);
        let snap_len = self.u32(block, 12)?;
        let mut interface = Interface { link_type, snap_len, unit: Unit::Nanos(1_000), offset_ns: 0 };
        let mut options = block.get(16..)?;
        while let (Some(code), Some(len)) = (self.u16(options, 0), self.u16(options, 2)) {
            let len = usize::from(len);
            let Some(value) = options.get(4..4 + len) else { break };
            match (code, value) {
                (0, _) => break,
                (9, [resolution, ..]) => interface.unit = Unit::from_resolution(*resolution),
                (14, [_, _, _, _, _, _, _, _]) => {
                    let (first, second) = (self.u32(value, 0)?, self.u32(value, 4)?);
                    let (high, low) = if self.big_endian { (first, second) } else { (second, first) };
                    let seconds = (u64::from(high) << 32 | u64::from(low)) as i64;
                    interface.offset_ns = seconds.saturating_mul(1_000_000_000);
                }
                _ => {}
            }
            options = options.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        }
        if self.interfaces.len() >= MOST_INTERFACES {
            return None;
        }
        self.interfaces.push(interface);
        if !self.link_types.contains(&link_type) {
            self.link_types.push(link_type);
        }
        Some(())
    }

    #[inline]
    fn u32(&self, data: &[u8], at: usize) -> Option<u32> {
        let bytes = *data.get(at..)?.first_chunk::<4>()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    #[inline]
    fn u16(&self, data: &[u8], at: usize) -> Option<u16> {
        let bytes = *data.get(at..)?.first_chunk::<2>()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }
}

impl Interface {
    #[inline]
    fn time(&self, ticks: u64) -> CaptureTime {
        let ns = match self.unit {
            Unit::Nanos(factor) => ticks.saturating_mul(factor),
            Unit::PerNano(divisor) => ticks / divisor,
            Unit::PowerOfTwo(shift) => {
                u64::try_from((u128::from(ticks) * 1_000_000_000) >> shift).unwrap_or(u64::MAX)
            }
        };
        CaptureTime(i64::try_from(ns).unwrap_or(i64::MAX).saturating_add(self.offset_ns))
    }
}

impl Unit {
    /// The option `if_tsresol`: a negative power of ten, or of two where the top bit is set.
    fn from_resolution(resolution: u8) -> Self {
        let exponent = resolution & 0x7F;
        if resolution & 0x80 != 0 {
            return Self::PowerOfTwo(exponent);
        }
        match 9_u32.checked_sub(u32::from(exponent)) {
            Some(digits) => Self::Nanos(10_u64.pow(digits)),
            // Beyond 10^-28 s all that 64 bits hold is less than a nanosecond.
            None => Self::PerNano(10_u64.checked_pow(u32::from(exponent) - 9).unwrap_or(u64::MAX)),
        }
    }
}

#[cold]
fn truncated(problems: &mut impl Problems, frame: u32, place: u64, what: &str) {
    problems.report(
        ProblemKind::TruncatedFile,
        format_args!("ends inside {what}packet {frame} (block at byte {place})"),
    );
}

#[cold]
fn bad_block(problems: &mut impl Problems, frame: u32, place: u64, what: &str, consequence: &str) {
    problems.report(
        ProblemKind::BadRecord,
        format_args!("the block at byte {place}, before packet {frame}, {what}; {consequence}"),
    );
}
