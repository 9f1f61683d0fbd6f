//! Packets to TCP segments: link, IP and TCP headers.
//!
//! Each header is read by etherparse's slice of that layer. Its `SlicedPacket`, which reads all layers in one
//! call, cost 30 ns a packet more (it carries every layer it might meet), and needs a second, lax reading for
//! packets that the snap length cut; here cut and whole packets take the same way.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, IpAuthHeaderSlice, IpFragOffset, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice,
    Ipv6HeaderSlice, Ipv6RawExtHeaderSlice, TcpHeaderSlice, ether_type, ip_number,
};

use super::{LinkType, Packet, ProblemKind, Problems, Segment, TcpFlags};

const ETHERNET_HEADER: usize = 14;
const LINUX_SLL_HEADER: usize = 16;
const LINUX_SLL2_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// Length of a TCP header without options.
const TCP_HEADER: usize = 20;
/// Nested VLAN tags that are followed; networks use two.
const MOST_VLAN_TAGS: usize = 4;

/// Decodes the packets of one capture.
#[derive(Clone, Debug, Default)]
pub struct Decoder {}

/// What an IP header says of its packet.
struct Ip<'a> {
    src: IpAddr,
    dst: IpAddr,
    protocol: IpNumber,
    /// What follows the IP headers, as captured, without the padding of short Ethernet frames.
    payload: &'a [u8],
    /// Length of the payload on the wire.
    wire_len: usize,
    fragment: Fragment,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fragment {
    Whole,
    First,
    Later,
}

/// Why a packet is no segment.
enum NoSegment {
    /// It is of another protocol.
    Other,
    /// It should be one, and this is wrong with it.
    Broken(&'static str),
    UnknownLinkType,
}

impl Decoder {
    /// The TCP segment in a packet. `None` for other protocols, and, with a problem, for what cannot be decoded.
    #[inline]
    pub fn segment<'a>(&mut self, packet: &Packet<'a>, problems: &mut impl Problems) -> Option<Segment<'a>> {
        match decode(packet) {
            Ok(segment) => {
                if segment.payload.len() < segment.wire_len as usize {
                    report_cut(&segment, problems);
                }
                Some(segment)
            }
            Err(NoSegment::Other) => None,
            Err(reason) => {
                report(packet, &reason, problems);
                None
            }
        }
    }
}

#[inline]
fn decode<'a>(packet: &Packet<'a>) -> Result<Segment<'a>, NoSegment> {
    let (kind, data) = network_layer(packet)?;
    let ip = match kind {
        ether_type::IPV4 => ipv4(data)?,
        ether_type::IPV6 => ipv6(data)?,
        _ => return Err(NoSegment::Other),
    };
    if ip.protocol != ip_number::TCP {
        return Err(NoSegment::Other);
    }
    match ip.fragment {
        Fragment::Whole => tcp(packet, &ip),
        Fragment::First => {
            Err(NoSegment::Broken("is the first of several IP fragments, which are not joined"))
        }
        // It holds no TCP header, and its first fragment was reported.
        Fragment::Later => Err(NoSegment::Other),
    }
}

/// Passes the link header: what follows, and its bytes.
#[inline]
fn network_layer<'a>(packet: &Packet<'a>) -> Result<(EtherType, &'a [u8]), NoSegment> {
    let data = packet.data;
    let (kind, data) = match packet.link_type {
        LinkType::EN10MB => tagged(data, ETHERNET_HEADER - 2, ETHERNET_HEADER)?,
        // Read here because etherparse's cooked slice refuses interfaces of a hardware type that it does not
        // know; the protocol field alone says what follows.
        LinkType::LINUX_SLL => tagged(data, LINUX_SLL_HEADER - 2, LINUX_SLL_HEADER)?,
        LinkType::LINUX_SLL2 => tagged(data, 0, LINUX_SLL2_HEADER)?,
        LinkType::RAW | LinkType::DLT_RAW | LinkType::DLT_RAW_OPENBSD | LinkType::IPV4 | LinkType::IPV6 => {
            return raw_ip(data);
        }
        LinkType::NULL | LinkType::LOOP => {
            let (family, data) = data.split_first_chunk().ok_or(SHORT_LINK_HEADER)?;
            (loopback_protocol(*family)?, data)
        }
        _ => return Err(NoSegment::UnknownLinkType),
    };
    let is_tag = matches!(
        kind,
        ether_type::VLAN_TAGGED_FRAME | ether_type::PROVIDER_BRIDGING | ether_type::VLAN_DOUBLE_TAGGED_FRAME
    );
    if is_tag { vlan(data) } else { Ok((kind, data)) }
}

const SHORT_LINK_HEADER: NoSegment = NoSegment::Broken("is shorter than its link header");

/// Reads the protocol field at `field`, and passes `header` bytes.
#[inline]
fn tagged(data: &[u8], field: usize, header: usize) -> Result<(EtherType, &[u8]), NoSegment> {
    let (front, rest) = data.split_at_checked(header).ok_or(SHORT_LINK_HEADER)?;
    Ok((EtherType(u16::from_be_bytes([front[field], front[field + 1]])), rest))
}

/// Passes 802.1Q tags, one or nested: two bytes of tag, two of the protocol that follows.
#[cold]
fn vlan(mut data: &[u8]) -> Result<(EtherType, &[u8]), NoSegment> {
    for _ in 0..MOST_VLAN_TAGS {
        let (kind, rest) = tagged(data, 2, 4)?;
        if !matches!(
            kind,
            ether_type::VLAN_TAGGED_FRAME
                | ether_type::PROVIDER_BRIDGING
                | ether_type::VLAN_DOUBLE_TAGGED_FRAME
        ) {
            return Ok((kind, rest));
        }
        data = rest;
    }
    Err(NoSegment::Other)
}

fn raw_ip(data: &[u8]) -> Result<(EtherType, &[u8]), NoSegment> {
    match data.first().map(|byte| byte >> 4) {
        Some(4) => Ok((ether_type::IPV4, data)),
        Some(6) => Ok((ether_type::IPV6, data)),
        Some(_) => Err(NoSegment::Broken("is of no known IP version")),
        None => Err(SHORT_LINK_HEADER),
    }
}

/// The protocol of a loopback packet by its address family, in either byte order: the file does not say which.
/// 2 is IPv4 everywhere; IPv6 is 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on Darwin, 10 on Linux.
fn loopback_protocol(family: [u8; 4]) -> Result<EtherType, NoSegment> {
    let family = u32::from_be_bytes(family);
    match family.min(family.swap_bytes()) {
        2 => Ok(ether_type::IPV4),
        10 | 24 | 28 | 30 => Ok(ether_type::IPV6),
        _ => Err(NoSegment::Other),
    }
}

#[inline]
fn ipv4(data: &[u8]) -> Result<Ip<'_>, NoSegment> {
    let broken = NoSegment::Broken("has a broken or cut IPv4 header");
    let Ok(header) = Ipv4HeaderSlice::from_slice(data) else { return Err(broken) };
    let header_len = header.slice().len();
    let wire_len = match usize::from(header.total_len()) {
        // The network card was to fill it in (segmentation offload): the packet ends where the capture of it does.
        0 => data.len() - header_len,
        total => total.checked_sub(header_len).ok_or(broken)?,
    };
    let held = &data[header_len..];
    let mut ip = Ip {
        src: IpAddr::V4(header.source_addr()),
        dst: IpAddr::V4(header.destination_addr()),
        protocol: header.protocol(),
        payload: &held[..wire_len.min(held.len())],
        wire_len,
        fragment: fragment(header.fragments_offset(), header.more_fragments()),
    };
    if ip.protocol == ip_number::AUTH {
        ip.pass_extensions();
    }
    Ok(ip)
}

#[inline]
fn ipv6(data: &[u8]) -> Result<Ip<'_>, NoSegment> {
    let Ok(header) = Ipv6HeaderSlice::from_slice(data) else {
        return Err(NoSegment::Broken("has a broken or cut IPv6 header"));
    };
    let held = &data[IPV6_HEADER..];
    let wire_len = match usize::from(header.payload_length()) {
        // Offload as above, or a jumbogram, whose length stands elsewhere.
        0 => held.len(),
        len => len,
    };
    let mut ip = Ip {
        src: IpAddr::V6(header.source_addr()),
        dst: IpAddr::V6(header.destination_addr()),
        protocol: header.next_header(),
        payload: &held[..wire_len.min(held.len())],
        wire_len,
        fragment: Fragment::Whole,
    };
    if ip.protocol != ip_number::TCP {
        ip.pass_extensions();
    }
    Ok(ip)
}

impl Ip<'_> {
    /// Passes the extension headers in front of the payload, as far as they are there.
    ///
    /// One by one, because etherparse's iterator over all of them (0.21) reads past the end of a packet that
    /// was cut between two.
    #[cold]
    fn pass_extensions(&mut self) {
        while self.fragment != Fragment::Later {
            let (len, next) = match self.protocol {
                ip_number::IPV6_HOP_BY_HOP | ip_number::IPV6_ROUTE | ip_number::IPV6_DEST_OPTIONS => {
                    let Ok(header) = Ipv6RawExtHeaderSlice::from_slice(self.payload) else { return };
                    (header.slice().len(), header.next_header())
                }
                ip_number::AUTH => {
                    let Ok(header) = IpAuthHeaderSlice::from_slice(self.payload) else { return };
                    (header.slice().len(), header.next_header())
                }
                ip_number::IPV6_FRAG => {
                    let Ok(header) = Ipv6FragmentHeaderSlice::from_slice(self.payload) else { return };
                    self.fragment = fragment(header.fragment_offset(), header.more_fragments());
                    (header.slice().len(), header.next_header())
                }
                _ => return,
            };
            let Some(rest) = self.payload.get(len..).filter(|_| len > 0) else { return };
            (self.protocol, self.payload) = (next, rest);
            self.wire_len = self.wire_len.saturating_sub(len);
        }
    }
}

#[inline]
fn fragment(offset: IpFragOffset, more: bool) -> Fragment {
    match (offset.value(), more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    }
}

#[inline]
fn tcp<'a>(packet: &Packet<'a>, ip: &Ip<'a>) -> Result<Segment<'a>, NoSegment> {
    match TcpHeaderSlice::from_slice(ip.payload) {
        Ok(header) => segment(packet, ip, &header, header.slice().len()),
        Err(_) => tcp_cut_in_options(packet, ip),
    }
}

/// Reads a TCP header of which the snap length left the fixed part only: enough for the connection's events.
#[cold]
fn tcp_cut_in_options<'a>(packet: &Packet<'a>, ip: &Ip<'a>) -> Result<Segment<'a>, NoSegment> {
    let broken = NoSegment::Broken("has a broken or cut TCP header");
    let Some(mut fixed) = ip.payload.first_chunk::<TCP_HEADER>().copied() else { return Err(broken) };
    let header_len = usize::from(fixed[12] >> 4) * 4;
    if header_len > ip.wire_len {
        return Err(broken);
    }
    // Without options, so that the fixed part is a whole header.
    fixed[12] = (TCP_HEADER as u8 / 4) << 4;
    let Ok(header) = TcpHeaderSlice::from_slice(&fixed) else { return Err(broken) };
    segment(packet, ip, &header, header_len)
}

#[inline]
fn segment<'a>(
    packet: &Packet<'a>,
    ip: &Ip<'a>,
    header: &TcpHeaderSlice<'_>,
    header_len: usize,
) -> Result<Segment<'a>, NoSegment> {
    if header_len < TCP_HEADER || header_len > ip.wire_len {
        return Err(NoSegment::Broken("has a TCP header longer than its packet"));
    }
    // How far the IP payload, a part of the packet, lies behind its start.
    let before = ip.payload.as_ptr().addr().wrapping_sub(packet.data.as_ptr().addr());
    Ok(Segment {
        frame: packet.frame,
        at: packet.at,
        src: SocketAddr::new(ip.src, header.source_port()),
        dst: SocketAddr::new(ip.dst, header.destination_port()),
        seq: header.sequence_number(),
        ack: header.acknowledgment_number(),
        flags: TcpFlags(header.slice()[13]),
        window: header.window_size(),
        payload: ip.payload.get(header_len..).unwrap_or_default(),
        wire_len: (ip.wire_len - header_len) as u32,
        file_offset: packet.file_offset + (before + header_len) as u64,
    })
}

#[cold]
fn report_cut(segment: &Segment<'_>, problems: &mut impl Problems) {
    let (held, whole) = (segment.payload.len(), segment.wire_len);
    problems.report(
        ProblemKind::CutPacket,
        format_args!("packet {} holds {held} of {whole} payload bytes", segment.frame),
    );
}

#[cold]
fn report(packet: &Packet<'_>, reason: &NoSegment, problems: &mut impl Problems) {
    let frame = packet.frame;
    match reason {
        NoSegment::Other => {}
        NoSegment::Broken(what) => {
            problems.report(ProblemKind::UndecodablePacket, format_args!("packet {frame} {what}"));
        }
        NoSegment::UnknownLinkType => {
            let link_type = packet.link_type;
            problems.report(
                ProblemKind::UnsupportedLinkType,
                format_args!("packets of link type {link_type} are not decoded (first: packet {frame})"),
            );
        }
    }
}
