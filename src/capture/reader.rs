//! One capture file, packet by packet, whatever its container.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::buffer::Buffer;
use super::guess::guess;
use super::pcap::Pcap;
use super::pcapng::{PcapNg, SECTION_HEADER};
use super::{CaptureInfo, CaptureTime, LinkType, ProblemKind, Problems};

/// Packets up to this length are never taken for broken records, whatever the file's snap length says
/// (libpcap's own limit for Ethernet).
pub(super) const USUAL_PACKET: u32 = 262_144;
/// The longest packet that is believed; the buffer grows no further. Segmentation offload makes 64 KiB, IPv6
/// jumbograms of current kernels 512 KiB.
pub(super) const LARGEST_PACKET: u32 = 16 * 1024 * 1024;

/// Why a file gives no packet at all. Messages name no path: whoever knows it appends it.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened or its first bytes not be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file holds no byte.
    #[error("the file is empty")]
    Empty,
    /// The first bytes are those of no capture format.
    #[error("no pcap or pcapng file: it starts like {looks_like}")]
    NotACapture {
        /// What the first bytes look like.
        looks_like: String,
    },
    /// The file ends inside its header.
    #[error("the file ends inside its header, after {bytes} bytes")]
    CutHeader {
        /// Length of the file.
        bytes: usize,
    },
    /// The magic number is right and the rest of the header is not.
    #[error("the pcap header is broken: {0}")]
    BadHeader(#[source] pcap_file::PcapError),
    /// A pcapng section header whose byte-order mark is neither of the two.
    #[error("the pcapng header is broken: its byte-order mark is neither of the two")]
    BadByteOrder,
}

impl CaptureError {
    /// The kind under which reports list it.
    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::Unreadable(_) => ProblemKind::Unreadable,
            Self::Empty => ProblemKind::EmptyFile,
            Self::NotACapture { .. } => ProblemKind::NotACapture,
            Self::CutHeader { .. } => ProblemKind::TruncatedFile,
            Self::BadHeader(_) | Self::BadByteOrder => ProblemKind::BadRecord,
        }
    }
}

/// A packet in the reader's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Its number in the file, from 1.
    pub frame: u32,
    /// When it was captured, by the capture's clock.
    pub at: CaptureTime,
    /// What its first bytes are.
    pub link_type: LinkType,
    /// The bytes captured.
    pub data: &'a [u8],
    /// Its length on the wire in bytes, at least that of `data`.
    pub wire_len: u32,
    /// Position of `data` in the (uncompressed) file, in bytes.
    pub file_offset: u64,
}

/// A packet by its place in the buffer.
pub(super) struct Record {
    pub(super) index: usize,
    pub(super) len: usize,
    pub(super) offset: u64,
    pub(super) at: CaptureTime,
    pub(super) link_type: LinkType,
    pub(super) wire_len: u32,
}

enum Container {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// Reads a capture file from front to end, through a buffer of fixed size.
pub struct Reader {
    buffer: Buffer,
    container: Container,
    path: PathBuf,
    len: Option<u64>,
    packets: u32,
    first: CaptureTime,
    last: CaptureTime,
    previous: CaptureTime,
    done: bool,
}

impl Reader {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let len = metadata.is_file().then_some(metadata.len());
        let mut reader = Self::new(file, len)?;
        reader.path = path.to_path_buf();
        Ok(reader)
    }

    /// Reads from any source; `len` is its length in bytes where that is known.
    pub fn new(source: impl Read + Send + 'static, len: Option<u64>) -> Result<Self, CaptureError> {
        let mut buffer = Buffer::new(Box::new(source));
        buffer.ensure(4);
        if let Some(error) = buffer.take_error() {
            return Err(error.into());
        }
        let magic = match buffer.unread() {
            [] => return Err(CaptureError::Empty),
            [a, b, c, d, ..] => [*a, *b, *c, *d],
            short => return Err(CaptureError::NotACapture { looks_like: guess(short) }),
        };
        let container = match u32::from_be_bytes(magic) {
            0xA1B2_C3D4 | 0xD4C3_B2A1 | 0xA1B2_3C4D | 0x4D3C_B2A1 => {
                Container::Pcap(Pcap::open(&mut buffer)?)
            }
            SECTION_HEADER => Container::PcapNg(PcapNg::open(&mut buffer)?),
            _ => return Err(CaptureError::NotACapture { looks_like: guess(buffer.unread()) }),
        };
        Ok(Self {
            buffer,
            container,
            path: PathBuf::new(),
            len,
            packets: 0,
            first: CaptureTime(i64::MAX),
            last: CaptureTime(i64::MIN),
            previous: CaptureTime(i64::MIN),
            done: false,
        })
    }

    /// The next packet, or `None` at the end or where nothing more can be read; `problems` then says why.
    #[inline]
    pub fn next_packet(&mut self, problems: &mut impl Problems) -> Option<Packet<'_>> {
        if self.done {
            return None;
        }
        let Some(frame) = self.packets.checked_add(1) else {
            self.done = true;
            problems.report(
                ProblemKind::LimitReached,
                format_args!("packets beyond number {} were not read", u32::MAX),
            );
            return None;
        };
        let record = match &mut self.container {
            Container::Pcap(walk) => walk.next(&mut self.buffer, frame, problems),
            Container::PcapNg(walk) => walk.next(&mut self.buffer, frame, problems),
        };
        let Some(record) = record else {
            self.end(problems);
            return None;
        };
        self.packets = frame;
        if record.at < self.previous {
            report_backwards(problems, frame, self.previous, record.at);
        }
        self.previous = record.at;
        self.first = self.first.min(record.at);
        self.last = self.last.max(record.at);
        Some(Packet {
            frame,
            at: record.at,
            link_type: record.link_type,
            data: self.buffer.behind(record.index, record.len),
            wire_len: record.wire_len,
            file_offset: record.offset,
        })
    }

    #[cold]
    fn end(&mut self, problems: &mut impl Problems) {
        self.done = true;
        if let Some(error) = self.buffer.take_error() {
            let (packets, place) = (self.packets, self.buffer.position());
            problems.report(
                ProblemKind::Unreadable,
                format_args!("reading failed behind packet {packets} (byte {place}): {error}"),
            );
        }
    }

    /// Bytes of the file passed so far.
    pub fn position(&self) -> u64 {
        self.buffer.position()
    }

    /// Length of the source in bytes, where it is known.
    pub fn len_hint(&self) -> Option<u64> {
        self.len
    }

    /// What was learnt of the file so far. Its problems are those of the caller's log, and not in here.
    pub fn info(&self) -> CaptureInfo {
        let (format, link_types) = match &self.container {
            Container::Pcap(walk) => ("pcap", vec![walk.link_type().to_string()]),
            Container::PcapNg(walk) => {
                let mut names: Vec<String> = Vec::new();
                for name in walk.link_types().iter().map(ToString::to_string) {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                ("pcapng", names)
            }
        };
        CaptureInfo {
            path: self.path.clone(),
            format: format.to_owned(),
            link_types,
            packets: u64::from(self.packets),
            bytes: self.len.unwrap_or_else(|| self.position()),
            first: (self.packets > 0).then_some(self.first),
            last: (self.packets > 0).then_some(self.last),
            problems: Vec::new(),
        }
    }
}

#[cold]
fn report_backwards(problems: &mut impl Problems, frame: u32, before: CaptureTime, at: CaptureTime) {
    let back = before.0.saturating_sub(at.0);
    problems.report(
        ProblemKind::TimeBackwards,
        format_args!("packet {frame} is {back} ns earlier than the one before it"),
    );
}
