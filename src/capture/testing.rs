//! Makes small capture files in memory, for the tests of this and of other rooms.
#![allow(
    clippy::unwrap_used,
    reason = "only tests call this, and a test that cannot build its input must stop"
)]

use std::net::{IpAddr, SocketAddr};

use etherparse::{PacketBuilder, TcpHeader};

use super::{LinkType, TcpFlags};

/// The container to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Pcap,
    PcapNg,
}

/// Builds a capture file, packet by packet.
///
/// ```
/// use hopscope::capture::testing::PcapBuilder;
/// use hopscope::capture::TcpFlags;
/// let (client, server) = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
/// let mut file = PcapBuilder::new();
/// file.segment(1_000, client, server, (100, 0), TcpFlags::SYN, b"");
/// let bytes: Vec<u8> = file.build();
/// ```
#[derive(Clone, Debug)]
pub struct PcapBuilder {
    format: Format,
    nanos: bool,
    big_endian: bool,
    link_type: LinkType,
    snap_len: usize,
    packets: Vec<u8>,
}

impl Default for PcapBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl PcapBuilder {
    /// A little-endian pcap with microseconds and Ethernet.
    pub fn new() -> Self {
        Self {
            format: Format::Pcap,
            nanos: false,
            big_endian: false,
            link_type: LinkType::EN10MB,
            snap_len: 262_144,
            packets: Vec::new(),
        }
    }

    /// Writes a pcapng instead. Call it before the first packet, as all the following.
    pub fn pcapng(mut self) -> Self {
        self.format = Format::PcapNg;
        self
    }

    /// Timestamps in nanoseconds instead of microseconds.
    pub fn nanos(mut self) -> Self {
        self.nanos = true;
        self
    }

    /// Numbers in big-endian order.
    pub fn big_endian(mut self) -> Self {
        self.big_endian = true;
        self
    }

    /// Another link type. Packets made by [`Self::segment`] get its header.
    pub fn link_type(mut self, link_type: LinkType) -> Self {
        self.link_type = link_type;
        self
    }

    /// Cuts packets to this many bytes, as `tcpdump -s` does.
    pub fn snap_len(mut self, bytes: usize) -> Self {
        self.snap_len = bytes;
        self
    }

    /// Adds a TCP segment. `seq_ack` are the absolute numbers; `flags` as in [`TcpFlags`].
    pub fn segment(
        &mut self,
        at_ns: i64,
        from: SocketAddr,
        to: SocketAddr,
        seq_ack: (u32, u32),
        flags: u8,
        payload: &[u8],
    ) -> &mut Self {
        let ip = ip_packet(from, to, seq_ack, flags, payload);
        let mut data = self.link_header(from.is_ipv6());
        data.extend_from_slice(&ip);
        self.packet(at_ns, &data)
    }

    /// Adds a packet given from its link header on.
    pub fn packet(&mut self, at_ns: i64, data: &[u8]) -> &mut Self {
        let kept = &data[..data.len().min(self.snap_len)];
        self.cut_packet(at_ns, kept, u32::try_from(data.len()).unwrap())
    }

    /// Adds a packet of which only `kept` was captured, of `wire_len` bytes.
    pub fn cut_packet(&mut self, at_ns: i64, kept: &[u8], wire_len: u32) -> &mut Self {
        let kept_len = u32::try_from(kept.len()).unwrap();
        let units = if self.nanos { at_ns } else { at_ns / 1_000 };
        if self.format == Format::PcapNg {
            let units = units as u64;
            let padding = kept.len().next_multiple_of(4) - kept.len();
            let mut body = Vec::new();
            for field in [0, (units >> 32) as u32, units as u32, kept_len, wire_len] {
                body.extend_from_slice(&self.u32(field));
            }
            body.extend_from_slice(kept);
            body.extend_from_slice(&[0; 3][..padding]);
            self.block(6, &body);
            return self;
        }
        let second = if self.nanos { 1_000_000_000 } else { 1_000_000 };
        for field in [(units / second) as u32, (units % second) as u32, kept_len, wire_len] {
            let field = self.u32(field);
            self.packets.extend_from_slice(&field);
        }
        self.packets.extend_from_slice(kept);
        self
    }

    /// Adds any pcapng block.
    pub fn block(&mut self, block_type: u32, body: &[u8]) -> &mut Self {
        let block = self.block_bytes(block_type, body);
        self.packets.extend_from_slice(&block);
        self
    }

    /// Adds bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.packets.extend_from_slice(bytes);
        self
    }

    /// The whole file.
    pub fn build(&self) -> Vec<u8> {
        let mut file = self.file_header();
        file.extend_from_slice(&self.packets);
        file
    }

    /// What comes before the first packet.
    pub fn file_header(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let snap_len = u32::try_from(self.snap_len).unwrap();
        if self.format == Format::Pcap {
            let magic = if self.nanos { 0xA1B2_3C4D } else { 0xA1B2_C3D4 };
            file.extend_from_slice(&self.u32(magic));
            file.extend_from_slice(&self.u16(2));
            file.extend_from_slice(&self.u16(4));
            for field in [0, 0, snap_len, u32::from(self.link_type.0)] {
                file.extend_from_slice(&self.u32(field));
            }
            return file;
        }
        let mut section = self.u32(0x1A2B_3C4D).to_vec();
        section.extend_from_slice(&self.u16(1));
        section.extend_from_slice(&self.u16(0));
        section.extend_from_slice(&[0xFF; 8]);
        file.extend_from_slice(&self.block_bytes(0x0A0D_0D0A, &section));
        let mut interface = self.u16(self.link_type.0).to_vec();
        interface.extend_from_slice(&self.u16(0));
        interface.extend_from_slice(&self.u32(snap_len));
        if self.nanos {
            interface.extend_from_slice(&self.u16(9));
            interface.extend_from_slice(&self.u16(1));
            interface.extend_from_slice(&[9, 0, 0, 0, 0, 0, 0, 0]);
        }
        file.extend_from_slice(&self.block_bytes(1, &interface));
        file
    }

    fn block_bytes(&self, block_type: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(12 + body.len()).unwrap();
        let mut block = self.u32(block_type).to_vec();
        block.extend_from_slice(&self.u32(len));
        block.extend_from_slice(body);
        block.extend_from_slice(&self.u32(len));
        block
    }

    fn link_header(&self, v6: bool) -> Vec<u8> {
        let ether_type: [u8; 2] = if v6 { [0x86, 0xDD] } else { [0x08, 0x00] };
        match self.link_type {
            LinkType::NULL => self.u32(if v6 { 30 } else { 2 }).to_vec(),
            LinkType::LOOP => vec![0, 0, 0, if v6 { 24 } else { 2 }],
            LinkType::EN10MB => {
                let mut header = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
                header.extend_from_slice(&ether_type);
                header
            }
            LinkType::LINUX_SLL => {
                let mut header = vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
                header.extend_from_slice(&ether_type);
                header
            }
            LinkType::LINUX_SLL2 => {
                let mut header = ether_type.to_vec();
                header.extend_from_slice(&[0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
                header
            }
            _ => Vec::new(),
        }
    }

    fn u32(&self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u16(&self, value: u16) -> [u8; 2] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

/// An IP packet (version by the addresses) with a TCP segment; the window is 65,535.
pub fn ip_packet(
    from: SocketAddr,
    to: SocketAddr,
    (seq, ack): (u32, u32),
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut header = TcpHeader::new(from.port(), to.port(), seq, 65_535);
    header.acknowledgment_number = ack;
    let has = |flag: u8| flags & flag != 0;
    (header.fin, header.syn, header.rst) = (has(TcpFlags::FIN), has(TcpFlags::SYN), has(TcpFlags::RST));
    (header.psh, header.ack, header.urg) = (has(0x08), has(TcpFlags::ACK), has(0x20));
    let step = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64),
        mixed => unreachable!("addresses of two IP versions in one packet: {mixed:?}"),
    };
    let mut packet = Vec::new();
    step.tcp_header(header).write(&mut packet, payload).unwrap();
    packet
}

/// One TCP connection that keeps count of its sequence numbers and adds its segments to a [`PcapBuilder`].
///
/// Both sides start at 1,000 and 5,000 and acknowledge at once whatever the other sent.
#[derive(Clone, Copy, Debug)]
pub struct Conversation {
    /// Client and server.
    pub ends: [SocketAddr; 2],
    /// Next sequence number of client and server.
    pub next_seq: [u32; 2],
}

impl Conversation {
    /// A connection of which nothing was sent yet. Panics where an address does not parse.
    pub fn new(client: &str, server: &str) -> Self {
        Self { ends: [client.parse().unwrap(), server.parse().unwrap()], next_seq: [1_000, 5_000] }
    }

    /// SYN, SYN,ACK and ACK, a microsecond apart.
    pub fn handshake(&mut self, file: &mut PcapBuilder, at_ns: i64) {
        let [client, server] = self.ends;
        let [c, s] = self.next_seq;
        file.segment(at_ns, client, server, (c, 0), TcpFlags::SYN, b"");
        file.segment(at_ns + 1_000, server, client, (s, c + 1), TcpFlags::SYN | TcpFlags::ACK, b"");
        file.segment(at_ns + 2_000, client, server, (c + 1, s + 1), TcpFlags::ACK, b"");
        self.next_seq = [c + 1, s + 1];
    }

    /// A segment with payload from the client.
    pub fn client(&mut self, file: &mut PcapBuilder, at_ns: i64, payload: &[u8]) {
        self.send(file, at_ns, 0, TcpFlags::ACK | 0x08, payload);
    }

    /// A segment with payload from the server.
    pub fn server(&mut self, file: &mut PcapBuilder, at_ns: i64, payload: &[u8]) {
        self.send(file, at_ns, 1, TcpFlags::ACK | 0x08, payload);
    }

    /// Any segment from side 0 (client) or 1 (server); SYN and FIN take a sequence number each.
    pub fn send(&mut self, file: &mut PcapBuilder, at_ns: i64, side: usize, flags: u8, payload: &[u8]) {
        let (from, to) = (self.ends[side], self.ends[1 - side]);
        let numbers = (self.next_seq[side], self.next_seq[1 - side]);
        file.segment(at_ns, from, to, numbers, flags, payload);
        let phantom = u32::from(flags & TcpFlags::SYN != 0) + u32::from(flags & TcpFlags::FIN != 0);
        let len = u32::try_from(payload.len()).unwrap();
        self.next_seq[side] = self.next_seq[side].wrapping_add(len).wrapping_add(phantom);
    }
}
