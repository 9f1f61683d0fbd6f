//! What a pcap file header says of the records behind it, with the variants of old tools.

use pcap_file::pcap::PcapParser;
use pcap_file::{Endianness, TsResolution};

use crate::capture::buffer::Buffer;
use crate::capture::reader::{LARGEST_PACKET, USUAL_PACKET};
use crate::capture::{CaptureError, CaptureTime, LinkType};

/// Length of the file header.
pub(super) const FILE_HEADER: usize = 24;
/// Length of a record's header.
pub(super) const RECORD_HEADER: usize = 16;
/// Lengths of a record's header under the standard magic number: that of libpcap, of patches of 1999 to it, of Nokia.
/// Nothing in the file tells them apart but whether the records make sense.
const STANDARD_HEADERS: [usize; 3] = [RECORD_HEADER, 24, 20];
/// The same under the magic number of Alexey Kuznetzov's patched libpcap: two versions of it.
const MODIFIED_HEADERS: [usize; 2] = [24, 28];
/// How much of a file is looked at for that.
const VARIANT_WINDOW: usize = 64 * 1024;

/// How records are written behind one file header.
pub(super) struct Form {
    order: Endianness,
    version: (u16, u16),
    pub(super) link_type: LinkType,
    /// Nanoseconds in a unit of the fractional part of timestamps.
    fraction_ns: i64,
    /// The units of a second: a fractional part is less.
    pub(super) fractions: u32,
    /// Packets longer than this are taken for broken records.
    pub(super) largest: u32,
    /// The longest that packets were captured, as the header says; it may be 0 or nonsense.
    pub(super) snap_len: u32,
    /// Length of a record's header.
    pub(super) record_header: usize,
    /// Whether the two lengths of a record stand in the order of before 1997.
    swapped: Swapped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swapped {
    Never,
    /// Where the packet would otherwise be longer in the file than on the wire.
    WhenLonger,
    Always,
}

/// What a magic number says, of those that are pcap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magic {
    Standard,
    Modified,
    /// Ixia's two: a length of all records follows the file header.
    Ixia,
}

/// The magic numbers by which a pcap file is known, in the byte order in which they stand in a big-endian file.
/// pcap-file knows the first two.
const MAGICS: [(u32, Magic, u32); 5] = [
    (0xA1B2_C3D4, Magic::Standard, 0xA1B2_C3D4),
    (0xA1B2_3C4D, Magic::Standard, 0xA1B2_3C4D),
    (0xA1B2_CD34, Magic::Modified, 0xA1B2_C3D4),
    (0x1C00_01AC, Magic::Ixia, 0xA1B2_3C4D),
    (0x1C00_01AB, Magic::Ixia, 0xA1B2_C3D4),
];

/// Whether a file that starts so is a pcap file.
pub(in crate::capture) fn is_pcap(magic: u32) -> bool {
    find_magic(magic).is_some()
}

/// The kind of a magic number, and the one that pcap-file knows for the same timestamps and byte order.
fn find_magic(magic: u32) -> Option<(Magic, u32)> {
    MAGICS.iter().find_map(|&(known, kind, like)| match magic {
        _ if magic == known => Some((kind, like)),
        _ if magic == known.swap_bytes() => Some((kind, like.swap_bytes())),
        _ => None,
    })
}

/// What a record's header says.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) second: u32,
    pub(super) fraction: u32,
    pub(super) captured: u32,
    pub(super) original: u32,
}

impl Header {
    /// Whether its time is zero, as scrubbed files have it.
    pub(super) fn has_no_time(self) -> bool {
        self.second | self.fraction == 0
    }

    pub(super) fn is_zero(self) -> bool {
        self.second | self.fraction | self.captured | self.original == 0
    }
}

impl Form {
    /// Reads the file header.
    pub(super) fn read(buffer: &mut Buffer) -> Result<Self, CaptureError> {
        if !buffer.ensure(FILE_HEADER) {
            return Err(CaptureError::CutHeader { bytes: buffer.unread().len() });
        }
        let (kind, mut form) = Self::parse(buffer.unread())?;
        buffer.consume(FILE_HEADER);
        match kind {
            Magic::Standard => form.choose_header(buffer, &STANDARD_HEADERS),
            Magic::Modified => form.choose_header(buffer, &MODIFIED_HEADERS),
            Magic::Ixia => {
                buffer.skip(4);
            }
        }
        Ok(form)
    }

    /// The form by the file header in the middle of other data, where one of a usual version stands there.
    pub(super) fn further(data: &[u8]) -> Option<Self> {
        let magic = u32::from_be_bytes(*data.first_chunk()?);
        if data.len() < FILE_HEADER || !is_pcap(magic) {
            return None;
        }
        let (_, form) = Self::parse(data).ok()?;
        matches!(form.version, (2, ..=4)).then_some(form)
    }

    fn parse(data: &[u8]) -> Result<(Magic, Self), CaptureError> {
        let mut start = [0; FILE_HEADER];
        start.copy_from_slice(&data[..FILE_HEADER]);
        let magic = u32::from_be_bytes([start[0], start[1], start[2], start[3]]);
        let (kind, like) = find_magic(magic).unwrap_or((Magic::Standard, magic));
        // pcap-file (2.0) refuses the magic numbers of variants, whose file headers are otherwise alike.
        start[..4].copy_from_slice(&like.to_be_bytes());
        let (_, parser) = PcapParser::new(&start).map_err(CaptureError::BadHeader)?;
        let header = parser.header();
        let (fraction_ns, fractions) = match header.ts_resolution {
            TsResolution::MicroSecond => (1_000, 1_000_000),
            TsResolution::NanoSecond => (1, 1_000_000_000),
        };
        let mut form = Self {
            order: header.endianness,
            version: (header.version_major, header.version_minor),
            // The upper half holds the length of a frame check sequence, which no reader here needs: the
            // length of the payload comes from the IP header.
            link_type: LinkType(u32::from(header.datalink) as u16),
            fraction_ns,
            fractions,
            largest: header.snaplen.clamp(USUAL_PACKET, LARGEST_PACKET),
            snap_len: header.snaplen,
            record_header: RECORD_HEADER,
            // Version 2.3 turned the lengths round, and some files of that version have the old order all the same;
            // 543.0 is that of DG/UX.
            swapped: match (header.version_major, header.version_minor) {
                (2, ..=2) | (543, _) => Swapped::Always,
                (2, 3) => Swapped::WhenLonger,
                _ => Swapped::Never,
            },
        };
        form.take_aix();
        Ok((kind, form))
    }

    /// AIX writes version 2.2 with the new order of lengths, nanoseconds, and interface types of RFC 1573 for
    /// link types: 6 is Ethernet, 24 loopback.
    fn take_aix(&mut self) {
        let link_type = match self.link_type.0 {
            6 => LinkType::EN10MB,
            24 => LinkType::NULL,
            _ => return,
        };
        if self.version == (2, 2) {
            self.link_type = link_type;
            (self.fraction_ns, self.fractions) = (1, 1_000_000_000);
            self.swapped = Swapped::Never;
        }
    }

    /// Takes the length of record headers with which the first records make sense; the first one, where none does.
    fn choose_header(&mut self, buffer: &mut Buffer, lengths: &[usize]) {
        buffer.ensure(VARIANT_WINDOW);
        let data = buffer.unread();
        let fits = lengths.iter().find(|&&len| {
            self.record_header = len;
            self.first_records_fit(data)
        });
        self.record_header = fits.or(lengths.first()).copied().unwrap_or(RECORD_HEADER);
    }

    /// The version, where it is none that is known to have existed.
    pub(super) fn unknown_version(&self) -> Option<(u16, u16)> {
        (!matches!(self.version, (2, _) | (543, 0))).then_some(self.version)
    }

    /// Whether records are written as all tools do today.
    #[inline]
    pub(super) fn is_usual(&self) -> bool {
        self.record_header == RECORD_HEADER && self.swapped == Swapped::Never
    }

    #[inline]
    pub(super) fn time(&self, header: Header) -> CaptureTime {
        // Cannot overflow: 2^32 seconds are 4.3e18 ns, half of what an i64 holds.
        CaptureTime(i64::from(header.second) * 1_000_000_000 + i64::from(header.fraction) * self.fraction_ns)
    }

    #[inline]
    pub(super) fn header(&self, data: &[u8]) -> Option<Header> {
        let (fields, _) = data.first_chunk::<RECORD_HEADER>()?.as_chunks::<4>();
        let mut fields = [fields[0], fields[1], fields[2], fields[3]].map(u32::from_le_bytes);
        if self.order == Endianness::Big {
            fields = fields.map(u32::swap_bytes);
        }
        let [time, fraction, first, second] = fields;
        let swap = match self.swapped {
            Swapped::Never => false,
            Swapped::WhenLonger => first > second,
            Swapped::Always => true,
        };
        let (captured, original) = if swap { (second, first) } else { (first, second) };
        Some(Header { second: time, fraction, captured, original })
    }
}
