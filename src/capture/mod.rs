//! Files to packets: containers, link types, timestamps, and what was lost on the way.

mod blocks;
mod buffer;
mod compress;
mod decode;
mod extents;
mod fragments;
mod guess;
mod icmp;
mod ids;
mod interface;
mod link;
mod link_type;
mod naming;
mod notes;
mod options;
mod order;
mod parts;
mod pcap;
mod pcapng;
mod problems;
mod reader;
mod spool;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
mod tunnel;
#[doc(hidden)]
pub mod wrapping;

pub use decode::Decoder;
pub use extents::{Backing, Excerpt, ExtentError, ExtentReader, fingerprint};
pub use ids::{CaptureId, CaptureTime, Frame, SessionTime};
pub use link_type::LinkType;
pub use naming::short_name;
pub use notes::{Comments, InterfaceInfo, SectionInfo};
pub use order::InOrder;
pub use parts::Part;
pub use problems::{Problem, ProblemKind, ProblemLog, Problems, grouped};
pub use reader::{Bodies, CaptureError, Packet, Reader};

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// The path that stands for standard input.
pub const STDIN: &str = "-";

/// What is known of one capture file, apart from the connections in it.
#[derive(Clone, Debug, Default)]
pub struct CaptureInfo {
    /// The path as the user gave it; of several [`CaptureInfo::parts`] that of the first.
    pub path: PathBuf,
    /// `pcap` or `pcapng`, with `+gzip` or `+zstd` where the file is compressed; empty when it is no capture.
    pub format: String,
    /// Names of the link types met, as tcpdump's `-L` prints them (`EN10MB`, `LINUX_SLL2`, …), in order of appearance.
    pub link_types: Vec<String>,
    /// Packets read, whatever their protocol.
    pub packets: u64,
    /// Size of the file, or of all its parts, in bytes.
    pub bytes: u64,
    /// Timestamp of the earliest packet; `None` when there was none.
    pub first: Option<CaptureTime>,
    /// Timestamp of the latest packet.
    pub last: Option<CaptureTime>,
    /// Its packets were taken in the order of their times, for in the file they stood otherwise.
    pub by_time: bool,
    /// What went wrong while reading, each kind once with its count.
    pub problems: Vec<Problem>,
    /// Where the bytes of its packets can be read again.
    pub backing: Backing,
    /// What was noted of packets, by people or by the capturing program.
    pub comments: Arc<Comments>,
    /// Names of addresses by the file's own table, sorted by address; an address may have several.
    pub host_names: Vec<(IpAddr, String)>,
    /// How the capture was made: one entry for each section of a pcapng file.
    pub sections: Vec<SectionInfo>,
    /// The interfaces of a pcapng file, those of all sections.
    pub interfaces: Vec<InterfaceInfo>,
}

impl CaptureInfo {
    /// Whether it holds packets and none is of a link type that can be read.
    pub fn is_of_unknown_link_types(&self) -> bool {
        let unknown = self.problems.iter().find(|p| p.kind == ProblemKind::UnsupportedLinkType);
        self.packets > 0 && unknown.is_some_and(|problem| problem.count >= self.packets)
    }
}

/// TCP flags, as the low bits of the header's flag byte (RFC 9293, section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// The sender has finished sending.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers: the first segment of each side.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 0x10;

    /// Whether the sender finishes sending with this segment.
    #[inline]
    pub fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }
    /// Whether this segment opens the sender's side.
    #[inline]
    pub fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }
    /// Whether this segment resets the connection.
    #[inline]
    pub fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }
    /// Whether the acknowledgement number of this segment counts.
    #[inline]
    pub fn ack(self) -> bool {
        self.0 & Self::ACK != 0
    }
}

/// Which way packets passed the machine that captured them, as far as the capture says so.
///
/// Cooked captures do (the packet type of [LINUX_SLL](https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html) and
/// LINUX_SLL2). What is forwarded comes in at one interface and leaves by another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage(u8);

impl Passage {
    /// The capture does not say.
    pub const UNKNOWN: Self = Self(0);
    /// From elsewhere.
    pub const IN: Self = Self(1);
    /// Sent by the machine, be it for somebody else.
    pub const OUT: Self = Self(2);

    /// Both this way and that.
    #[inline]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One TCP segment of a capture, its payload still in the reader's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Number of the packet in its file, from 1.
    pub frame: u32,
    /// Timestamp by the capture's clock.
    pub at: CaptureTime,
    /// Sender.
    pub src: SocketAddr,
    /// Receiver.
    pub dst: SocketAddr,
    /// Sequence number of the first payload byte (of the SYN, where it is set).
    pub seq: u32,
    /// Acknowledgement number; meaningless without the ACK flag.
    pub ack: u32,
    /// Flags.
    pub flags: TcpFlags,
    /// Receive window as sent, not scaled.
    pub window: u16,
    /// The IPv4 identification, which tells a packet sent again from a second copy of one; 0 for IPv6.
    pub ip_id: u16,
    /// The sender's clock (TSval, RFC 7323, section 3); 0 where the segment carries none.
    pub tsval: u32,
    /// The shift of the sender's window that its SYN announces (RFC 7323, section 2).
    pub window_scale: Option<u8>,
    /// Which way the packet passed.
    pub passage: Passage,
    /// The packet is an ICMP error: addresses and `seq` are those of the segment that it quotes, `ack` is type × 256 +
    /// code, `wire_len` the MTU of the next hop where the packet was too big for it, else 0.
    pub is_icmp_error: bool,
    /// The payload as captured.
    pub payload: &'a [u8],
    /// Payload length by the IP header: longer than `payload` where the snap length cut the packet.
    pub wire_len: u32,
    /// Position of `payload` in the (uncompressed) file, in bytes.
    pub file_offset: u64,
}

/// Where a run of a message's bytes lies in its capture file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Packet number, from 1.
    pub frame: u32,
    /// Byte position in the (uncompressed) file.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
}
