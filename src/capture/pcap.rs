//! Classic pcap: a file header, then records of sixteen header bytes and the packet, with the variants of old tools.

use pcap_file::pcap::PcapParser;
use pcap_file::{Endianness, TsResolution};

use super::buffer::Buffer;
use super::reader::{LARGEST_PACKET, RESYNC_WINDOW, Record, USUAL_PACKET};
use super::{CaptureError, CaptureTime, LinkType, ProblemKind, Problems};

/// Length of the file header.
pub(super) const FILE_HEADER: usize = 24;
/// Length of a record's header.
const RECORD_HEADER: usize = 16;
/// Lengths of a record's header under the standard magic number: that of libpcap, of patches of 1999 to it, of Nokia.
/// Nothing in the file tells them apart but whether the records make sense.
const STANDARD_HEADERS: [usize; 3] = [RECORD_HEADER, 24, 20];
/// The same under the magic number of Alexey Kuznetzov's patched libpcap: two versions of it.
const MODIFIED_HEADERS: [usize; 2] = [24, 28];
/// How much of a file is looked at for that.
const VARIANT_WINDOW: usize = 64 * 1024;
/// Good records in a row that make a place in broken data credible.
const RESYNC_RECORDS: usize = 3;
/// How far two neighbouring packets of broken data may lie apart in time. Sound data has no such limit.
const RESYNC_SECONDS: u32 = 24 * 60 * 60;

/// The state of a walk over a pcap file.
pub(super) struct Pcap {
    parser: PcapParser,
    link_type: LinkType,
    /// Nanoseconds in a unit of the fractional part of timestamps.
    fraction_ns: i64,
    /// Packets longer than this are taken for broken records.
    largest: u32,
    /// Seconds of the packet before.
    last_second: Option<u32>,
    /// Length of a record's header.
    record_header: usize,
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
pub(super) fn is_pcap(magic: u32) -> bool {
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
struct Header {
    second: u32,
    fraction: u32,
    captured: u32,
    original: u32,
}

impl Pcap {
    /// Reads the file header.
    pub(super) fn open(buffer: &mut Buffer) -> Result<Self, CaptureError> {
        if !buffer.ensure(FILE_HEADER) {
            return Err(CaptureError::CutHeader { bytes: buffer.unread().len() });
        }
        let mut start = [0; FILE_HEADER];
        start.copy_from_slice(&buffer.unread()[..FILE_HEADER]);
        let magic = u32::from_be_bytes([start[0], start[1], start[2], start[3]]);
        let (kind, like) = find_magic(magic).unwrap_or((Magic::Standard, magic));
        // pcap-file (2.0) refuses the magic numbers of variants, whose file headers are otherwise alike.
        start[..4].copy_from_slice(&like.to_be_bytes());
        let (_, parser) = PcapParser::new(&start).map_err(CaptureError::BadHeader)?;
        let header = parser.header();
        buffer.consume(FILE_HEADER);
        let mut walk = Self {
            parser,
            // The upper half holds the length of a frame check sequence, which no reader here needs: the
            // length of the payload comes from the IP header.
            link_type: LinkType(u32::from(header.datalink) as u16),
            fraction_ns: match header.ts_resolution {
                TsResolution::MicroSecond => 1_000,
                TsResolution::NanoSecond => 1,
            },
            largest: header.snaplen.clamp(USUAL_PACKET, LARGEST_PACKET),
            last_second: None,
            record_header: RECORD_HEADER,
            // Version 2.3 turned the lengths round, and some files of that version have the old order all the same;
            // 543.0 is that of DG/UX.
            swapped: match (header.version_major, header.version_minor) {
                (2, ..=2) | (543, _) => Swapped::Always,
                (2, 3) => Swapped::WhenLonger,
                _ => Swapped::Never,
            },
        };
        walk.take_aix(header.version_major, header.version_minor);
        match kind {
            Magic::Standard => walk.choose_header(buffer, &STANDARD_HEADERS),
            Magic::Modified => walk.choose_header(buffer, &MODIFIED_HEADERS),
            Magic::Ixia => {
                buffer.skip(4);
            }
        }
        Ok(walk)
    }

    /// AIX writes version 2.2 with the new order of lengths, nanoseconds, and interface types of RFC 1573 for
    /// link types: 6 is Ethernet, 24 loopback.
    fn take_aix(&mut self, major: u16, minor: u16) {
        let link_type = match self.link_type.0 {
            6 => LinkType::EN10MB,
            24 => LinkType::NULL,
            _ => return,
        };
        if (major, minor) == (2, 2) {
            self.link_type = link_type;
            self.fraction_ns = 1;
            self.swapped = Swapped::Never;
        }
    }

    /// Takes the length of record headers with which the first records make sense; the first one, where none does.
    fn choose_header(&mut self, buffer: &mut Buffer, lengths: &[usize]) {
        buffer.ensure(VARIANT_WINDOW);
        let data = buffer.unread();
        let fits = lengths.iter().find(|&&len| {
            self.record_header = len;
            self.is_credible(data, true)
        });
        self.record_header = fits.or(lengths.first()).copied().unwrap_or(RECORD_HEADER);
    }

    pub(super) fn link_type(&self) -> LinkType {
        self.link_type
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
            let header = match self.usual_header(buffer) {
                Some(header) => header,
                // Not all of the record is in the buffer, or there is something odd with it.
                None => match self.unusual_header(buffer, frame, problems)? {
                    Some(header) => header,
                    None => continue,
                },
            };
            self.last_second = Some(header.second);
            let index = buffer.index() + self.record_header;
            let offset = buffer.position() + self.record_header as u64;
            buffer.consume(self.record_header + header.captured as usize);
            return Some(Record {
                frame,
                index,
                len: header.captured as usize,
                offset,
                at: self.time(header),
                link_type: self.link_type,
                wire_len: header.original.max(header.captured),
            });
        }
    }

    /// The header of a usual record that is all in the buffer.
    #[inline]
    fn usual_header(&self, buffer: &Buffer) -> Option<Header> {
        if self.record_header != RECORD_HEADER || self.swapped != Swapped::Never {
            return None;
        }
        let data = buffer.unread();
        let header = self.header(data)?;
        // Empty packets are odd too.
        let usual = (1..=self.largest).contains(&header.captured)
            && header.captured as usize <= data.len() - RECORD_HEADER;
        usual.then_some(header)
    }

    #[inline]
    fn time(&self, header: Header) -> CaptureTime {
        // Cannot overflow: 2^32 seconds are 4.3e18 ns, half of what an i64 holds.
        CaptureTime(i64::from(header.second) * 1_000_000_000 + i64::from(header.fraction) * self.fraction_ns)
    }

    /// Reads on until the record at hand is whole and gives its header, or finds the next good one (`Some(None)`).
    /// `None` ends the walk.
    #[cold]
    fn unusual_header(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        problems: &mut impl Problems,
    ) -> Option<Option<Header>> {
        let place = buffer.position();
        if !buffer.ensure(self.record_header) {
            let rest = buffer.unread().len();
            if rest > 0 {
                problems.report(
                    ProblemKind::TruncatedFile,
                    format_args!("ends inside the record header of packet {frame} (record at byte {place})"),
                );
            }
            return None;
        }
        let header = self.header(buffer.unread())?;
        let captured = header.captured;
        if captured > self.largest {
            return self.resynchronise(buffer, frame, format_args!("claims {captured} bytes"), problems);
        }
        if header.is_zero() {
            // A disk that was full, or a file that was given its size before its bytes.
            return self.resynchronise(buffer, frame, format_args!("is all zero"), problems);
        }
        if buffer.ensure(self.record_header + captured as usize) {
            return Some(Some(header));
        }
        // The file ends here; or the length is wrong, and sound records follow all the same.
        if let Some(skipped) = self.next_sound(buffer) {
            report_bad(
                problems,
                (frame, place),
                format_args!("claims {captured} bytes, more than the file has"),
                format_args!("read on {skipped} bytes behind it"),
            );
            buffer.consume(skipped);
            return Some(None);
        }
        let held = buffer.unread().len() - self.record_header;
        problems.report(
            ProblemKind::TruncatedFile,
            format_args!("ends inside packet {frame} (record at byte {place}, {held} of {captured} bytes)"),
        );
        None
    }

    /// Looks for the next credible record behind one that cannot be right.
    fn resynchronise(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        what: std::fmt::Arguments<'_>,
        problems: &mut impl Problems,
    ) -> Option<Option<Header>> {
        let place = buffer.position();
        // Zeros are passed however many they are.
        while buffer.ensure(self.record_header) && buffer.unread().iter().all(|&byte| byte == 0) {
            buffer.consume(buffer.unread().len());
        }
        buffer.ensure(RESYNC_WINDOW);
        let zeros = buffer.position() - place;
        let window = zeros + buffer.unread().len().min(RESYNC_WINDOW) as u64;
        match self.next_sound(buffer) {
            Some(skipped) => {
                buffer.consume(skipped);
                let skipped = zeros + skipped as u64;
                report_bad(problems, (frame, place), what, format_args!("read on {skipped} bytes behind it"));
                Some(None)
            }
            None => {
                report_bad(
                    problems,
                    (frame, place),
                    what,
                    format_args!("no sound record follows within {window} bytes, and reading stopped there"),
                );
                None
            }
        }
    }

    /// How many bytes behind the record at hand the next credible one starts, of what is in the buffer.
    fn next_sound(&self, buffer: &Buffer) -> Option<usize> {
        let data = buffer.unread();
        (1..data.len().min(RESYNC_WINDOW)).find(|&skipped| self.is_credible(&data[skipped..], false))
    }

    /// Whether several sound records in a row, or sound ones up to the end, start here. `may_be_cut` tells whether the
    /// end may lie within a record's header.
    fn is_credible(&self, mut data: &[u8], may_be_cut: bool) -> bool {
        let mut last_second = self.last_second;
        for sound in 0..RESYNC_RECORDS {
            let Some(header) = self.header(data) else {
                return sound > 0 && (data.is_empty() || may_be_cut);
            };
            let near = last_second.is_none_or(|last| header.second.abs_diff(last) <= RESYNC_SECONDS);
            let fraction_ok = i64::from(header.fraction) * self.fraction_ns < 1_000_000_000;
            let length_ok =
                (1..=self.largest).contains(&header.captured) && header.captured <= header.original;
            if !(near && fraction_ok && length_ok) {
                return false;
            }
            last_second = Some(header.second);
            match data.get(self.record_header + header.captured as usize..) {
                Some(rest) => data = rest,
                None => return sound > 0,
            }
        }
        true
    }

    #[inline]
    fn header(&self, data: &[u8]) -> Option<Header> {
        let record = data.first_chunk::<RECORD_HEADER>()?;
        let field = |at: usize| {
            let bytes = [record[at], record[at + 1], record[at + 2], record[at + 3]];
            match self.parser.header().endianness {
                Endianness::Big => u32::from_be_bytes(bytes),
                Endianness::Little => u32::from_le_bytes(bytes),
            }
        };
        let (first, second) = (field(8), field(12));
        let swap = match self.swapped {
            Swapped::Never => false,
            Swapped::WhenLonger => first > second,
            Swapped::Always => true,
        };
        let (captured, original) = if swap { (second, first) } else { (first, second) };
        Some(Header { second: field(0), fraction: field(4), captured, original })
    }
}

impl Header {
    fn is_zero(self) -> bool {
        self.second | self.fraction | self.captured | self.original == 0
    }
}

/// Says what is wrong with the record of a packet at a place, and what follows from it.
#[cold]
fn report_bad(
    problems: &mut impl Problems,
    (frame, place): (u32, u64),
    what: std::fmt::Arguments<'_>,
    consequence: std::fmt::Arguments<'_>,
) {
    problems.report(
        ProblemKind::BadRecord,
        format_args!("packet {frame} (record at byte {place}) {what}; {consequence}"),
    );
}
