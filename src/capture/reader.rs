//! One capture file, packet by packet, whatever its container.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::buffer::Buffer;
use super::compress::{self, Coding, PlainStream};
use super::guess;
use super::parts::{Part, Series, backing_of};
use super::pcap::{Pcap, is_pcap};
use super::pcapng::{PcapNg, SECTION_HEADER};
use super::spool::{Keeping, Spool};
use super::{Backing, CaptureInfo, CaptureTime, LinkType, ProblemKind, Problems, STDIN};

/// Packets up to this length are never taken for broken records, whatever the file's snap length says
/// (libpcap's own limit for Ethernet).
pub(super) const USUAL_PACKET: u32 = 262_144;
/// The longest packet that is believed; the buffer grows no further. Segmentation offload makes 64 KiB, IPv6
/// jumbograms of current kernels 512 KiB.
pub(super) const LARGEST_PACKET: u32 = 16 * 1024 * 1024;
/// How far behind a broken record or block the next good one is looked for, in bytes.
pub(super) const RESYNC_WINDOW: usize = 1024 * 1024;

/// Why a file gives no packet at all. Messages name no path: whoever knows it appends it.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened or its first bytes not be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A folder in which no capture was found.
    #[error("a folder that holds no capture, and no log in a known format: --log-format names one")]
    Folder,
    /// The file holds no byte.
    #[error("the file is empty")]
    Empty,
    /// The first bytes are those of no capture format.
    #[error("no pcap or pcapng file: it starts like {looks_like}{packing}{}", log_hint(looks_like))]
    NotACapture {
        /// What the first bytes look like.
        looks_like: String,
        /// How these are packed, in words; empty where they are not.
        packing: String,
    },
    /// A file compressed in a way that is not read.
    #[error("{format}-compressed: decompress it first ({tool})")]
    Packed {
        /// The name of the compression.
        format: &'static str,
        /// What takes it off.
        tool: &'static str,
    },
    /// A capture in a format that is not read.
    #[error("a {format} capture: convert it first (editcap -F pcap)")]
    Foreign {
        /// The name of the format.
        format: &'static str,
    },
    /// Compressed data that end before anything could be unpacked.
    #[error("the {format} data end before anything could be unpacked")]
    CutPacking {
        /// The name of the compression.
        format: &'static str,
    },
    /// Standard input was asked for, and is a keyboard.
    #[error("standard input is a terminal; give it a capture, as in: tcpdump -w - … | hopscope report -")]
    Terminal,
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

/// Who gives a log that is not known as one looks for the way to say what it is.
fn log_hint(looks_like: &str) -> &'static str {
    if looks_like == "text" { ", and is no log in a known format: --log-format names one" } else { "" }
}

impl CaptureError {
    /// The kind under which reports list it.
    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::Unreadable(_) | Self::Terminal => ProblemKind::Unreadable,
            Self::Empty => ProblemKind::EmptyFile,
            Self::NotACapture { .. } | Self::Packed { .. } | Self::Foreign { .. } | Self::Folder => {
                ProblemKind::NotACapture
            }
            Self::CutHeader { .. } | Self::CutPacking { .. } => ProblemKind::TruncatedFile,
            Self::BadHeader(_) | Self::BadByteOrder => ProblemKind::BadRecord,
        }
    }

    /// Whether the file is, or may well be, a capture that should have been read: `None` where its name has to tell.
    pub fn is_of_a_capture(&self) -> Option<bool> {
        match self {
            Self::CutHeader { .. } | Self::BadHeader(_) | Self::BadByteOrder | Self::Foreign { .. } => {
                Some(true)
            }
            Self::Packed { .. } | Self::CutPacking { .. } | Self::Unreadable(_) => None,
            Self::NotACapture { .. } | Self::Empty | Self::Folder | Self::Terminal => Some(false),
        }
    }
}

/// A packet in the reader's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Its number in the file, from 1, as Wireshark counts.
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
    /// Its number in the file, which counts other blocks too.
    pub(super) frame: u32,
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

/// Whether somebody may want to see bodies, so that the bytes of standard input must be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bodies {
    /// They may be looked at: standard input is copied to a temporary file.
    #[default]
    Kept,
    /// Nobody will ask for them.
    NotNeeded,
}

/// Reads a capture file from front to end, through a buffer of fixed size.
pub struct Reader {
    buffer: Buffer,
    container: Container,
    coding: Coding,
    path: PathBuf,
    backing: Backing,
    /// The files that are read one after the other, where these are several.
    series: Option<Series>,
    len: Option<u64>,
    /// Bytes of the compressed file read so far.
    passed: Option<Arc<AtomicU64>>,
    packets: u32,
    first: CaptureTime,
    last: CaptureTime,
    /// Time of the packet before: the largest there is, before the first packet that has one.
    previous: CaptureTime,
    done: bool,
}

impl Reader {
    /// Opens a file, or standard input for the path `-`, and reads its header.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Self::open_for(path, Bodies::Kept)
    }

    /// Opens a file, or standard input for the path `-`.
    pub fn open_for(path: &Path, bodies: Bodies) -> Result<Self, CaptureError> {
        if path == Path::new(STDIN) {
            if io::stdin().is_terminal() {
                return Err(CaptureError::Terminal);
            }
            let spool = (bodies == Bodies::Kept).then(|| Arc::new(Spool::for_stream()));
            let mut reader = Self::start(compress::plain(Box::new(io::stdin()))?, None, spool)?;
            reader.path = path.to_path_buf();
            return Ok(reader);
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(CaptureError::Folder);
        }
        let len = metadata.is_file().then_some(metadata.len());
        let mut reader = Self::start(compress::plain(Box::new(file))?, len, None)?;
        reader.path = path.to_path_buf();
        reader.backing = match len {
            // What is no file, such as a pipe of the shell's, cannot be opened a second time.
            None => Backing::Nowhere,
            Some(_) => backing_of(reader.coding, path),
        };
        Ok(reader)
    }

    /// Opens a capture that was written in several files, in their order.
    pub fn open_parts(parts: Vec<Part>) -> Result<Self, CaptureError> {
        let (series, plain) = Series::open(parts)?;
        let mut reader = Self::start(plain, Some(series.len()), None)?;
        reader.series = Some(series);
        Ok(reader)
    }

    /// Opens a capture again that was read before.
    pub fn open_again(info: &CaptureInfo) -> Result<Self, CaptureError> {
        match info.parts() {
            [] => Self::open(&info.path),
            parts => Self::open_parts(parts.to_vec()),
        }
    }

    /// Reads from any source; `len` is its length in bytes where that is known.
    pub fn new(source: impl Read + Send + 'static, len: Option<u64>) -> Result<Self, CaptureError> {
        Self::start(compress::plain(Box::new(source))?, len, None)
    }

    fn start(plain: PlainStream, len: Option<u64>, spool: Option<Arc<Spool>>) -> Result<Self, CaptureError> {
        let PlainStream { mut stream, coding, passed } = plain;
        let backing = spool.clone().map_or(Backing::Nowhere, Backing::Spool);
        if let Some(spool) = spool {
            stream = Box::new(Keeping { stream, spool });
        }
        let mut buffer = Buffer::new(stream);
        let container = open_container(&mut buffer, coding)?;
        Ok(Self {
            buffer,
            container,
            coding,
            path: PathBuf::new(),
            backing,
            series: None,
            len,
            passed,
            packets: 0,
            first: CaptureTime(i64::MAX),
            last: CaptureTime(i64::MIN),
            previous: CaptureTime(i64::MAX),
            done: false,
        })
    }

    /// The next packet, or `None` at the end or where nothing more can be read; `problems` then says why.
    #[inline]
    pub fn next_packet(&mut self, problems: &mut impl Problems) -> Option<Packet<'_>> {
        if self.done {
            return None;
        }
        let Some(packet) = self.packets.checked_add(1) else {
            self.done = true;
            problems.report(
                ProblemKind::LimitReached,
                format_args!("packets beyond number {} were not read", u32::MAX),
            );
            return None;
        };
        let record = match &mut self.container {
            Container::Pcap(walk) => walk.next(&mut self.buffer, packet, problems),
            Container::PcapNg(walk) => walk.next(&mut self.buffer, packet, problems),
        };
        let Some(mut record) = record else {
            self.end(problems);
            return None;
        };
        self.packets = packet;
        let frame = record.frame;
        if record.at < self.previous {
            // The first packet comes this way too.
            record.at = self.unusual_time(frame, record.at, problems);
        } else {
            self.previous = record.at;
            self.last = self.last.max(record.at);
        }
        Some(Packet {
            frame,
            at: record.at,
            link_type: record.link_type,
            data: self.buffer.behind(record.index, record.len),
            wire_len: record.wire_len,
            file_offset: record.offset,
        })
    }

    /// The time to give a packet that seems to be earlier than the one before it.
    #[cold]
    fn unusual_time(&mut self, frame: u32, at: CaptureTime, problems: &mut impl Problems) -> CaptureTime {
        let is_first = self.previous.0 == i64::MAX;
        if at.0 <= 0 {
            // Simple packet blocks have no time, and broken or scrubbed files have zero. That of the packet before is
            // the best there is: with zero, a connection would have taken fifty years.
            problems.report(
                ProblemKind::TimeMissing,
                format_args!("packet {frame} has no time; such packets get that of the packet before them"),
            );
            return if is_first { CaptureTime(0) } else { self.previous };
        }
        if !is_first {
            let back = self.previous.0 - at.0;
            problems.report(
                ProblemKind::TimeBackwards,
                format_args!("packet {frame} is {back} ns earlier than the one before it"),
            );
        }
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        self.previous = at;
        at
    }

    #[cold]
    fn end(&mut self, problems: &mut impl Problems) {
        self.done = true;
        // Whatever was wrong before, reading ended where the last byte came from.
        let packets = self.packets;
        let place = self.buffer.position() + self.buffer.unread().len() as u64;
        if let Some(error) = self.buffer.take_error() {
            let cut = self.coding != Coding::Plain && error.kind() == io::ErrorKind::UnexpectedEof;
            let of = if self.coding == Coding::Plain { "" } else { " of the unpacked data" };
            if !cut {
                problems.report(
                    ProblemKind::Unreadable,
                    format_args!(
                        "reading failed at byte {place}{of}: {error} ({packets} packets were read before it)"
                    ),
                );
            } else if self.buffer.unread().is_empty() {
                // Else the packet that it cuts was reported.
                problems.report(
                    ProblemKind::TruncatedFile,
                    format_args!("the compressed data end early, behind packet {packets}"),
                );
            }
        }
        if let Container::PcapNg(walk) = &self.container {
            report_drops(walk, problems);
        }
        if let Backing::Spool(spool) = &self.backing
            && let Some((kept, why)) = spool.stopped()
        {
            problems.report(
                ProblemKind::LookLimited,
                format_args!("bodies behind byte {kept} of standard input cannot be shown: {why}"),
            );
        }
    }

    /// Bytes of the file passed so far; where it is compressed, of the compressed one.
    pub fn position(&self) -> u64 {
        match &self.passed {
            Some(passed) => passed.load(Ordering::Relaxed),
            None => self.buffer.position(),
        }
    }

    /// Length of the source in bytes, where it is known.
    pub fn len_hint(&self) -> Option<u64> {
        self.len
    }

    /// What was learnt of the file so far. Its problems are those of the caller's log, and not in here.
    pub fn info(&self) -> CaptureInfo {
        let (format, link_types) = match &self.container {
            Container::Pcap(walk) => ("pcap", names(walk.link_types())),
            Container::PcapNg(walk) => ("pcapng", names(walk.link_types())),
        };
        let mut info = CaptureInfo {
            path: self.path.clone(),
            format: format!("{format}{}", self.coding.suffix()),
            link_types,
            packets: u64::from(self.packets),
            bytes: self.len.unwrap_or_else(|| self.position()),
            // Without a packet that has a time the two cross.
            first: (self.first <= self.last).then_some(self.first),
            last: (self.first <= self.last).then_some(self.last),
            backing: self.series.as_ref().map_or_else(|| self.backing.clone(), Series::backing),
            ..CaptureInfo::default()
        };
        if let Container::PcapNg(walk) = &self.container {
            let notes = walk.notes().clone();
            info.comments = Arc::new(notes.comments);
            info.sections = notes.sections;
            info.interfaces = notes.interfaces;
            info.host_names = notes.host_names;
            info.host_names.sort();
            info.host_names.dedup();
        }
        info
    }
}

/// The names of link types; some share one.
fn names(link_types: &[LinkType]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in link_types.iter().map(ToString::to_string) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Tells the container by its first bytes.
fn open_container(buffer: &mut Buffer, coding: Coding) -> Result<Container, CaptureError> {
    buffer.ensure(4);
    let magic = buffer.unread().first_chunk::<4>().map(|magic| u32::from_be_bytes(*magic));
    if magic.is_none()
        && let Some(error) = buffer.take_error()
    {
        return Err(match coding.name() {
            Some(format) if error.kind() == io::ErrorKind::UnexpectedEof => {
                CaptureError::CutPacking { format }
            }
            _ => error.into(),
        });
    }
    match magic {
        Some(magic) if is_pcap(magic) => Ok(Container::Pcap(Pcap::open(buffer)?)),
        Some(SECTION_HEADER) => Ok(Container::PcapNg(PcapNg::open(buffer)?)),
        None if buffer.unread().is_empty() => Err(CaptureError::Empty),
        _ => {
            // As much as the guess looks at.
            buffer.ensure(512);
            let first = buffer.unread();
            if let Some((format, tool)) = guess::packed(first) {
                return Err(CaptureError::Packed { format, tool });
            }
            if let Some(format) = guess::foreign(first) {
                return Err(CaptureError::Foreign { format });
            }
            let packing = coding.name().map_or_else(String::new, |name| format!(" (packed with {name})"));
            Err(CaptureError::NotACapture { looks_like: guess::guess(first), packing })
        }
    }
}

/// Says what the capturing program knew to have lost.
fn report_drops(walk: &PcapNg, problems: &mut impl Problems) {
    let notes = walk.notes();
    let mut by_interface = 0_u64;
    for interface in &notes.interfaces {
        let dropped = interface.dropped();
        by_interface = by_interface.saturating_add(dropped);
        let name = if interface.name.is_empty() { "without a name" } else { &interface.name };
        let of = interface.received.map_or(String::new(), |received| format!(" of {received}"));
        problems.report_many(
            ProblemKind::DroppedPackets,
            dropped,
            format_args!("interface {name}: {dropped}{of} packets were lost while it was captured"),
        );
    }
    // The same losses, where the interfaces count theirs.
    let between = notes.lost_before.saturating_sub(by_interface);
    problems.report_many(
        ProblemKind::DroppedPackets,
        between,
        format_args!("{between} packets were lost between those captured, by what these say"),
    );
}
