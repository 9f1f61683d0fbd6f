//! pcapng: sections of blocks, each with its length in front and behind.
//!
//! The blocks are walked here and not by pcap-file, because its parser (2.0) makes a list of options for every
//! packet and drops whole interfaces over details that real files have: options without an end mark, a time zone
//! option, a name that is not UTF-8. An interface lost that way shifts the numbers of all that follow.
//! Format: draft-ietf-opsawg-pcapng, section 4.

use super::blocks::Order;
use super::buffer::Buffer;
use super::interface::{Interface, Unit};
use super::notes::Notes;
use super::pcap::is_pcap;
use super::reader::{LARGEST_PACKET, RESYNC_WINDOW, Record};
use super::{CaptureError, CaptureTime, LinkType, ProblemKind, Problems};

/// The type of a section header block, the same in both byte orders.
pub(super) const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
const INTERFACE_DESCRIPTION: u32 = 1;
/// Obsolete since 2004, still found in files of old tools.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAME_RESOLUTION: u32 = 4;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
/// Blocks that hold no packet, and that Wireshark numbers among the packets: entries of systemd's journal, custom blocks,
/// system calls as sysdig writes them.
const NUMBERED: [u32; 9] = [9, 0x0BAD, 0x4000_0BAD, 0x204, 0x208, 0x216, 0x217, 0x221, 0x222];
/// Decryption secrets. As the blocks above they are passed, and tell where sound data go on.
const SECRETS: u32 = 10;

/// Type and length in front of a block's body.
const BLOCK_HEADER: usize = 8;
/// Type, length, and the length again behind the body.
const SMALLEST_BLOCK: u32 = 12;
/// Longest block that is read, with room for options around the longest packet.
const LARGEST_BLOCK: u32 = LARGEST_PACKET + 64 * 1024;
/// Interfaces of one section. A file that has more is broken or made to harm.
const MOST_INTERFACES: usize = 65_536;
/// Length of a section header before its options.
const SECTION_FIELDS: usize = 24;
/// Sound blocks in a row that make a place in broken data credible.
const RESYNC_BLOCKS: usize = 2;
/// How far behind a place the blocks are looked at that make it credible, in bytes.
const LOOK_AHEAD: usize = 256 * 1024;

/// The state of a walk over a pcapng file.
pub(super) struct PcapNg {
    order: Order,
    interfaces: Vec<Interface>,
    /// How many interfaces the sections before this one had.
    earlier_interfaces: usize,
    /// Link types of all interfaces, in order of appearance.
    link_types: Vec<LinkType>,
    notes: Notes,
    /// How many blocks without a packet have a number.
    numbered: u32,
    /// Up to where sound blocks were looked for in vain, so that no byte is searched twice.
    searched: u64,
}

/// Where a packet lies in its block, and what the block says of it.
struct Body {
    interface: usize,
    /// `None` in a simple packet, which has no time.
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
        let mut walk = Self {
            order: Order::default(),
            interfaces: Vec::new(),
            earlier_interfaces: 0,
            link_types: Vec::new(),
            notes: Notes::default(),
            numbered: 0,
            searched: 0,
        };
        walk.begin_section(buffer.unread()).ok_or(CaptureError::BadByteOrder)?;
        Ok(walk)
    }

    pub(super) fn link_types(&self) -> &[LinkType] {
        &self.link_types
    }

    /// What the file says beside its packets.
    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// The next packet, the `packet`th of the file. `None` at the end, be it sound or not.
    #[inline]
    pub(super) fn next(
        &mut self,
        buffer: &mut Buffer,
        packet: u32,
        problems: &mut impl Problems,
    ) -> Option<Record> {
        loop {
            let frame = packet.saturating_add(self.numbered);
            let Some((block_type, total)) = self.block_header(buffer, frame, problems)? else { continue };
            // The format wants lengths in steps of four; writers that forget still pad.
            let padded = (total as usize).next_multiple_of(4);
            if !matches!(block_type, ENHANCED_PACKET | SIMPLE_PACKET | PACKET) {
                self.other_block(buffer, block_type, total, frame, problems)?;
                continue;
            }
            if !buffer.ensure(padded) {
                self.cut_block(buffer, frame, "", problems)?;
                continue;
            }
            let same_length = self.same_length(buffer.unread(), total);
            let step = if same_length { padded } else { self.step_of_two(buffer, padded, frame, problems) };
            let len = if step == padded { total as usize } else { step };
            let record = self.packet(buffer, block_type, len, frame, problems);
            buffer.consume(step);
            if record.is_some() {
                return record;
            }
        }
    }

    /// Whether the length behind a block is the one in front.
    #[inline]
    fn same_length(&self, data: &[u8], total: u32) -> bool {
        self.order.u32(data, total as usize - 4) == Some(total)
    }

    /// How many bytes to pass for a packet whose block has two different lengths, of which the first says `padded`: so
    /// many where a block follows there, else as many as lie before the next credible one.
    #[cold]
    fn step_of_two(
        &mut self,
        buffer: &mut Buffer,
        padded: usize,
        frame: u32,
        problems: &mut impl Problems,
    ) -> usize {
        buffer.ensure(padded + LOOK_AHEAD);
        let first_is_right = buffer.unread().get(padded..).is_some_and(|rest| self.is_credible(rest));
        let other = if first_is_right { None } else { self.next_sound(buffer) };
        let other = other.filter(|&step| step >= SMALLEST_BLOCK as usize);
        let consequence = other
            .map_or("read by the first".to_owned(), |step| format!("read on {step} bytes behind its start"));
        bad_block(problems, frame, buffer.position(), "has two different lengths", &consequence);
        other.unwrap_or(padded)
    }

    /// Type and length of the block at hand; a section header changes the byte order. `Some(None)` when it was
    /// passed because it is broken, `None` ends the walk.
    #[inline]
    fn block_header(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        problems: &mut impl Problems,
    ) -> Option<Option<(u32, u32)>> {
        if !buffer.ensure(SMALLEST_BLOCK as usize) {
            if !buffer.unread().is_empty() {
                truncated(problems, frame, buffer.position(), "the header of a block before ");
            }
            return None;
        }
        let data = buffer.unread();
        let block_type = self.order.u32(data, 0)?;
        if block_type == SECTION_HEADER && self.begin_section(data).is_none() {
            self.resynchronise(buffer, frame, "starts a section of no byte order", problems)?;
            return Some(None);
        }
        let total = self.order.u32(data, 4)?;
        if total < SMALLEST_BLOCK {
            self.resynchronise(buffer, frame, "is shorter than its own header", problems)?;
            return Some(None);
        }
        if total > LARGEST_BLOCK {
            self.resynchronise(buffer, frame, "has a length beyond reason", problems)?;
            return Some(None);
        }
        Some(Some((block_type, total)))
    }

    /// Passes a block that holds no packet, and takes note of what it says. `None` ends the walk.
    #[cold]
    fn other_block(
        &mut self,
        buffer: &mut Buffer,
        block_type: u32,
        total: u32,
        frame: u32,
        problems: &mut impl Problems,
    ) -> Option<()> {
        let padded = (total as usize).next_multiple_of(4);
        if !buffer.ensure(padded) {
            return self.cut_block(buffer, frame, "a block before ", problems);
        }
        let block = buffer.unread().get(..total as usize)?;
        let same_length = self.order.u32(block, total as usize - 4) == Some(total);
        let known = matches!(
            block_type,
            SECTION_HEADER | INTERFACE_DESCRIPTION | NAME_RESOLUTION | INTERFACE_STATISTICS
        );
        if !same_length && !known {
            // Neither its type nor its lengths make it a block.
            return self.resynchronise(buffer, frame, "has two different lengths", problems);
        }
        if !same_length {
            bad_block(problems, frame, buffer.position(), "has two different lengths", "read by the first");
        }
        // From here on offsets count from the start of the block, and `block` ends before the second length.
        let block = &block[..total as usize - 4];
        self.numbered = self.numbered.saturating_add(u32::from(NUMBERED.contains(&block_type)));
        let room = match block_type {
            SECTION_HEADER => {
                self.tell_version(block, frame, problems);
                self.notes.section_options(self.order, block.get(SECTION_FIELDS..).unwrap_or_default());
                true
            }
            INTERFACE_DESCRIPTION => match self.interface(block) {
                Some(room) => room,
                None => {
                    bad_block(problems, frame, buffer.position(), "describes no interface", "left out");
                    true
                }
            },
            NAME_RESOLUTION => self.notes.names(self.order, &block[BLOCK_HEADER..]),
            INTERFACE_STATISTICS => {
                if let (Some(id), Some(options)) = (self.order.u32(block, 8), block.get(20..)) {
                    let place = self.earlier_interfaces + id as usize;
                    self.notes.statistics(place, self.order, options);
                }
                true
            }
            _ => true,
        };
        if !room {
            left_out(problems, frame, "names or interfaces");
        }
        buffer.consume(padded);
        Some(())
    }

    /// The file ends inside the block at hand: or its length is wrong, where sound blocks follow all the same.
    #[cold]
    fn cut_block(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        what: &str,
        problems: &mut impl Problems,
    ) -> Option<()> {
        if is_further_pcap(buffer, frame, problems) {
            return None;
        }
        if let Some(skipped) = self.next_sound(buffer) {
            let (place, claim) = (buffer.position(), "claims to go on behind the end of the file");
            bad_block(problems, frame, place, claim, &format!("read on {skipped} bytes behind its start"));
            buffer.consume(skipped);
            return Some(());
        }
        truncated(problems, frame, buffer.position(), what);
        None
    }

    /// Looks for the next credible block behind one that cannot be right. `None` ends the walk.
    #[cold]
    fn resynchronise(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        what: &str,
        problems: &mut impl Problems,
    ) -> Option<()> {
        if is_further_pcap(buffer, frame, problems) {
            return None;
        }
        let place = buffer.position();
        let Some(skipped) = self.next_sound(buffer) else {
            bad_block(problems, frame, place, what, "no sound block follows, and reading stopped there");
            return None;
        };
        bad_block(problems, frame, place, what, &format!("read on {skipped} bytes behind its start"));
        buffer.consume(skipped);
        Some(())
    }

    /// How many bytes behind the start of the block at hand the next credible one starts, if that is near.
    fn next_sound(&mut self, buffer: &mut Buffer) -> Option<usize> {
        let goes_on = buffer.ensure(RESYNC_WINDOW + LOOK_AHEAD);
        let (data, place) = (buffer.unread(), buffer.position());
        let held = if goes_on { data.len() - LOOK_AHEAD } else { data.len() };
        let end = held.min(RESYNC_WINDOW);
        let from = usize::try_from(self.searched.saturating_sub(place)).unwrap_or(end).max(1);
        let found = (from..end).find(|&skipped| self.is_credible(&data[skipped..]));
        if found.is_none() {
            self.searched = self.searched.max(place + end as u64);
        }
        found
    }

    /// Whether sound blocks in a row, or sound ones up to the end, start here.
    fn is_credible(&self, mut data: &[u8]) -> bool {
        let mut order = self.order;
        for sound in 0..RESYNC_BLOCKS {
            let Some(block_type) = order.u32(data, 0) else { return sound > 0 && data.is_empty() };
            if block_type == SECTION_HEADER
                && let Some(of_section) = byte_order(data)
            {
                order = of_section;
            }
            let known = matches!(block_type, SECTION_HEADER | INTERFACE_DESCRIPTION..=ENHANCED_PACKET)
                || block_type == SECRETS
                || NUMBERED.contains(&block_type);
            if !known {
                return false;
            }
            let Some(total) = order.u32(data, 4) else { return false };
            let len_ok = (SMALLEST_BLOCK..=LARGEST_BLOCK).contains(&total) && total % 4 == 0;
            if !len_ok || order.u32(data, (total - 4) as usize) != Some(total) {
                return false;
            }
            data = &data[total as usize..];
        }
        true
    }

    /// Reads a packet block that is all in the buffer.
    #[inline]
    fn packet(
        &mut self,
        buffer: &Buffer,
        block_type: u32,
        total: usize,
        frame: u32,
        problems: &mut impl Problems,
    ) -> Option<Record> {
        // Offsets count from the start of the block, and `block` ends before the second length.
        let block = buffer.unread().get(..total - 4)?;
        let body = match block_type {
            ENHANCED_PACKET => self.enhanced_packet(block),
            SIMPLE_PACKET => self.simple_packet(block),
            _ => {
                // All bits set: not known.
                let lost = self.order.u16(block, 10).filter(|&lost| lost != u16::MAX);
                self.notes.lost_before = self.notes.lost_before.saturating_add(lost.unwrap_or(0).into());
                self.obsolete_packet(block)
            }
        };
        let with_interface = body.and_then(|body| Some((*self.interfaces.get(body.interface)?, body)));
        let Some((interface, body)) = with_interface else {
            bad_block(problems, frame, buffer.position(), "fits no interface or no length", "left out");
            return None;
        };
        let len = body.captured as usize;
        let Some(end) = body.data_at.checked_add(len).filter(|&end| end <= block.len()) else {
            bad_block(problems, frame, buffer.position(), "claims more data than it holds", "left out");
            return None;
        };
        let options = block.get(end.next_multiple_of(4)..).unwrap_or_default();
        // Four bytes are an end mark alone.
        if options.len() > 4
            && block_type != SIMPLE_PACKET
            && !self.notes.packet_options(frame, self.order, options)
        {
            left_out(problems, frame, "comments of packets");
        }
        Some(Record {
            frame,
            index: buffer.index() + body.data_at,
            len,
            offset: buffer.position() + body.data_at as u64,
            at: body.ticks.map_or(CaptureTime(0), |ticks| interface.time(ticks)),
            link_type: interface.link_type,
            wire_len: body.original.max(body.captured),
        })
    }

    #[inline]
    fn enhanced_packet(&self, block: &[u8]) -> Option<Body> {
        let block = block.get(..BLOCK_HEADER + 20)?;
        Some(Body {
            interface: self.order.u32(block, 8)? as usize,
            ticks: Some(u64::from(self.order.u32(block, 12)?) << 32 | u64::from(self.order.u32(block, 16)?)),
            data_at: BLOCK_HEADER + 20,
            captured: self.order.u32(block, 20)?,
            original: self.order.u32(block, 24)?,
        })
    }

    fn simple_packet(&self, block: &[u8]) -> Option<Body> {
        let original = self.order.u32(block, 8)?;
        let held = u32::try_from(block.len() - BLOCK_HEADER - 4).ok()?;
        // A simple packet does not say how much of it was captured: the snap length of interface 0 does.
        let limit = self.interfaces.first().map_or(0, |interface| interface.snap_len);
        let limit = if limit == 0 { u32::MAX } else { limit };
        let captured = original.min(limit).min(held);
        Some(Body { interface: 0, ticks: None, data_at: BLOCK_HEADER + 4, captured, original })
    }

    fn obsolete_packet(&self, block: &[u8]) -> Option<Body> {
        Some(Body {
            interface: usize::from(self.order.u16(block, 8)?),
            ticks: Some(u64::from(self.order.u32(block, 12)?) << 32 | u64::from(self.order.u32(block, 16)?)),
            data_at: BLOCK_HEADER + 20,
            captured: self.order.u32(block, 20)?,
            original: self.order.u32(block, 24)?,
        })
    }

    /// Says that the version of a section is unknown.
    fn tell_version(&self, block: &[u8], frame: u32, problems: &mut impl Problems) {
        let (major, minor) = (self.order.u16(block, 12), self.order.u16(block, 14));
        if let (Some(major), Some(minor)) = (major, minor)
            && major != 1
        {
            problems.report(
                ProblemKind::UnknownVersion,
                format_args!(
                    "the section before packet {frame} says it is pcapng {major}.{minor}, and was read as 1.0"
                ),
            );
        }
    }

    /// Takes the byte order of a section and forgets the interfaces of the one before.
    fn begin_section(&mut self, block: &[u8]) -> Option<()> {
        self.order = byte_order(block)?;
        self.interfaces.clear();
        self.earlier_interfaces = self.notes.interfaces.len();
        Some(())
    }

    /// Adds an interface: link type, snap length, and its options. Says whether there was room to list it.
    fn interface(&mut self, block: &[u8]) -> Option<bool> {
        let order = self.order;
        let link_type = LinkType(order.u16(block, 8)?);
        let snap_len = order.u32(block, 12)?;
        let mut interface = Interface { link_type, snap_len, unit: Unit::Nanos(1_000), offset_ns: 0 };
        let options = block.get(16..)?;
        for (code, value) in order.options(options) {
            match (code, value) {
                (9, [resolution, ..]) => interface.unit = Unit::from_resolution(*resolution),
                (14, [_, _, _, _, _, _, _, _]) => {
                    let seconds = order.u64(value, 0)? as i64;
                    interface.offset_ns = seconds.saturating_mul(1_000_000_000);
                }
                _ => {}
            }
        }
        if self.interfaces.len() >= MOST_INTERFACES {
            return None;
        }
        self.interfaces.push(interface);
        if !self.link_types.contains(&link_type) {
            self.link_types.push(link_type);
        }
        Some(self.notes.interface_options(order, link_type.to_string(), options))
    }
}

/// Whether the data start with a section of a pcapng file.
pub(super) fn starts_section(data: &[u8]) -> bool {
    data.starts_with(&SECTION_HEADER.to_be_bytes()) && byte_order(data).is_some()
}

/// The byte order of the section that a block begins; `None` where its mark is neither of the two.
fn byte_order(block: &[u8]) -> Option<Order> {
    let magic = block.get(8..12)?.first_chunk::<4>()?;
    match (u32::from_be_bytes(*magic), u32::from_le_bytes(*magic)) {
        (BYTE_ORDER_MAGIC, _) => Some(Order { big_endian: true }),
        (_, BYTE_ORDER_MAGIC) => Some(Order { big_endian: false }),
        _ => None,
    }
}

/// Whether a pcap file stands where a block should, and says so: files were put behind each other.
fn is_further_pcap(buffer: &Buffer, frame: u32, problems: &mut impl Problems) -> bool {
    let magic = buffer.unread().first_chunk().map(|magic| u32::from_be_bytes(*magic));
    let is_further = magic.is_some_and(is_pcap);
    if is_further {
        bad_block(problems, frame, buffer.position(), "is a pcap file", "give it as a file of its own");
    }
    is_further
}

#[cold]
fn truncated(problems: &mut impl Problems, frame: u32, place: u64, what: &str) {
    problems.report(
        ProblemKind::TruncatedFile,
        format_args!("ends inside {what}packet {frame} (block at byte {place})"),
    );
}

#[cold]
fn left_out(problems: &mut impl Problems, frame: u32, what: &str) {
    problems.report(
        ProblemKind::LimitReached,
        format_args!("more {what} than are kept; those from packet {frame} on were left out"),
    );
}

#[cold]
fn bad_block(problems: &mut impl Problems, frame: u32, place: u64, what: &str, consequence: &str) {
    problems.report(
        ProblemKind::BadRecord,
        format_args!("the block at byte {place}, before packet {frame}, {what}; {consequence}"),
    );
}
