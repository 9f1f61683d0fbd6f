//! Classic pcap: a file header, then records of sixteen header bytes and the packet.

use pcap_file::pcap::PcapParser;
use pcap_file::{Endianness, PcapError, TsResolution};

use super::buffer::Buffer;
use super::reader::{LARGEST_PACKET, Record, USUAL_PACKET};
use super::{CaptureError, CaptureTime, LinkType, ProblemKind, Problems};

/// Length of the file header.
pub(super) const FILE_HEADER: usize = 24;
/// Length of a record's header.
const RECORD_HEADER: usize = 16;
/// How far behind a broken record the next good one is looked for.
const RESYNC_WINDOW: usize = 1024 * 1024;
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
        let (_, parser) = PcapParser::new(buffer.unread()).map_err(CaptureError::BadHeader)?;
        let header = parser.header();
        buffer.consume(FILE_HEADER);
        Ok(Self {
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
        })
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
            // The raw form of a packet: pcap-file's checked form refuses packets longer than the snap length on
            // the wire, which is what a snap length is for.
            let header = match self.parser.next_raw_packet(buffer.unread()) {
                Ok((_, raw)) if raw.incl_len <= self.largest => Header {
                    second: raw.ts_sec,
                    fraction: raw.ts_frac,
                    captured: raw.incl_len,
                    original: raw.orig_len,
                },
                // Either not all of the record is in the buffer, or its length is beyond reason.
                Ok(_) | Err(PcapError::IncompleteBuffer) => {
                    self.complete(buffer, frame, problems)?;
                    continue;
                }
                Err(_) => return None,
            };
            self.last_second = Some(header.second);
            let index = buffer.index() + RECORD_HEADER;
            let offset = buffer.position() + RECORD_HEADER as u64;
            buffer.consume(RECORD_HEADER + header.captured as usize);
            return Some(Record {
                index,
                len: header.captured as usize,
                offset,
                at: self.time(header),
                link_type: self.link_type,
                wire_len: header.original.max(header.captured),
            });
        }
    }

    #[inline]
    fn time(&self, header: Header) -> CaptureTime {
        // Cannot overflow: 2^32 seconds are 4.3e18 ns, half of what an i64 holds.
        CaptureTime(i64::from(header.second) * 1_000_000_000 + i64::from(header.fraction) * self.fraction_ns)
    }

    /// Reads on until the record at hand is whole, or finds the next good one. `None` ends the walk.
    #[cold]
    fn complete(&mut self, buffer: &mut Buffer, frame: u32, problems: &mut impl Problems) -> Option<()> {
        let place = buffer.position();
        if !buffer.ensure(RECORD_HEADER) {
            let rest = buffer.unread().len();
            if rest > 0 {
                problems.report(
                    ProblemKind::TruncatedFile,
                    format_args!("ends inside the record header of packet {frame} (record at byte {place})"),
                );
            }
            return None;
        }
        let captured = self.header(buffer.unread())?.captured;
        if captured > self.largest {
            return self.resynchronise(buffer, frame, captured, problems);
        }
        if !buffer.ensure(RECORD_HEADER + captured as usize) {
            let held = buffer.unread().len() - RECORD_HEADER;
            problems.report(
                ProblemKind::TruncatedFile,
                format_args!(
                    "ends inside packet {frame} (record at byte {place}, {held} of {captured} bytes)"
                ),
            );
            return None;
        }
        Some(())
    }

    /// Looks for the next credible record behind one with a length beyond reason.
    fn resynchronise(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        length: u32,
        problems: &mut impl Problems,
    ) -> Option<()> {
        let place = buffer.position();
        buffer.ensure(RESYNC_WINDOW);
        let data = buffer.unread();
        let window = data.len().min(RESYNC_WINDOW);
        match (1..window).find(|&skipped| self.is_credible(&data[skipped..])) {
            Some(skipped) => {
                problems.report(
                    ProblemKind::BadRecord,
                    format_args!(
                        "packet {frame} (record at byte {place}) claims {length} bytes; \
                         read on {skipped} bytes behind it"
                    ),
                );
                buffer.consume(skipped);
                Some(())
            }
            None => {
                problems.report(
                    ProblemKind::BadRecord,
                    format_args!(
                        "packet {frame} (record at byte {place}) claims {length} bytes, and no sound record \
                         follows within {window} bytes; reading stopped there"
                    ),
                );
                None
            }
        }
    }

    /// Whether several sound records in a row, or sound ones up to the end, start here.
    fn is_credible(&self, mut data: &[u8]) -> bool {
        let mut last_second = self.last_second;
        for sound in 0..RESYNC_RECORDS {
            let Some(header) = self.header(data) else { return sound > 0 && data.is_empty() };
            let near = last_second.is_none_or(|last| header.second.abs_diff(last) <= RESYNC_SECONDS);
            let fraction_ok = i64::from(header.fraction) * self.fraction_ns < 1_000_000_000;
            let length_ok =
                (1..=self.largest).contains(&header.captured) && header.captured <= header.original;
            if !(near && fraction_ok && length_ok) {
                return false;
            }
            last_second = Some(header.second);
            match data.get(RECORD_HEADER + header.captured as usize..) {
                Some(rest) => data = rest,
                None => return sound > 0,
            }
        }
        true
    }

    fn header(&self, data: &[u8]) -> Option<Header> {
        let field = |at: usize| -> Option<u32> {
            let bytes = data.get(at..at + 4)?.first_chunk::<4>()?;
            Some(match self.parser.header().endianness {
                Endianness::Big => u32::from_be_bytes(*bytes),
                Endianness::Little => u32::from_le_bytes(*bytes),
            })
        };
        Some(Header { second: field(0)?, fraction: field(4)?, captured: field(8)?, original: field(12)? })
    }
}
