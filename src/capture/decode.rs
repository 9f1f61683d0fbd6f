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

use super::{LinkType, Packet, ProblemKind, Problems, Segment, TcpFlags, icmp, options};

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

/// What an IP header says of its packet. `A` is the type of its addresses, so that each IP version gets code of
/// its own.
struct Ip<'a, A> {
    src: A,
    dst: A,
    protocol: IpNumber,
    /// What follows the IP headers, as captured, without the padding of short Ethernet frames.
    payload: &'a [u8],
    /// Length of the payload on the wire.
    wire_len: usize,
    fragment: Fragment,
    /// IPv4 identification; 0 for IPv6.
    id: u16,
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
        let (kind, data) = match network_layer(packet) {
            Ok(found) => found,
            Err(reason) => return refuse(packet, &reason, problems),
        };
        match kind {
            ether_type::IPV4 => ipv4(packet, data, problems),
            ether_type::IPV6 => ipv6(packet, data, problems),
            _ => None,
        }
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
fn ipv4<'a>(packet: &Packet<'a>, data: &'a [u8], problems: &mut impl Problems) -> Option<Segment<'a>> {
    const BROKEN: NoSegment = NoSegment::Broken("has a broken or cut IPv4 header");
    let Ok(header) = Ipv4HeaderSlice::from_slice(data) else { return refuse(packet, &BROKEN, problems) };
    let header_len = header.slice().len();
    let wire_len = match usize::from(header.total_len()) {
        // The network card was to fill it in (segmentation offload): the packet ends where the capture of it does.
        0 => data.len() - header_len,
        total if total < header_len => return refuse(packet, &BROKEN, problems),
        total => total - header_len,
    };
    let held = &data[header_len..];
    let ip = Ip {
        src: header.source_addr(),
        dst: header.destination_addr(),
        protocol: header.protocol(),
        payload: &held[..wire_len.min(held.len())],
        wire_len,
        fragment: fragment(header.fragments_offset(), header.more_fragments()),
        id: header.identification(),
    };
    transport(packet, ip, problems)
}

#[inline]
fn ipv6<'a>(packet: &Packet<'a>, data: &'a [u8], problems: &mut impl Problems) -> Option<Segment<'a>> {
    let Ok(header) = Ipv6HeaderSlice::from_slice(data) else {
        return refuse(packet, &NoSegment::Broken("has a broken or cut IPv6 header"), problems);
    };
    let held = &data[IPV6_HEADER..];
    let wire_len = match usize::from(header.payload_length()) {
        // Offload as above, or a jumbogram, whose length stands elsewhere.
        0 => held.len(),
        len => len,
    };
    let ip = Ip {
        src: header.source_addr(),
        dst: header.destination_addr(),
        protocol: header.next_header(),
        payload: &held[..wire_len.min(held.len())],
        wire_len,
        fragment: Fragment::Whole,
        id: 0,
    };
    transport(packet, ip, problems)
}

impl<A> Ip<'_, A> {
    /// Passes the extension headers in front of the payload, as far as they are there.
    ///
    /// One by one, because etherparse's iterator over all of them (0.21) reads past the end of a packet that
    /// was cut between two.
    fn past_extensions(mut self) -> Self {
        while self.fragment != Fragment::Later {
            let (len, next) = match self.protocol {
                ip_number::IPV6_HOP_BY_HOP | ip_number::IPV6_ROUTE | ip_number::IPV6_DEST_OPTIONS => {
                    let Ok(header) = Ipv6RawExtHeaderSlice::from_slice(self.payload) else { break };
                    (header.slice().len(), header.next_header())
                }
                ip_number::AUTH => {
                    let Ok(header) = IpAuthHeaderSlice::from_slice(self.payload) else { break };
                    (header.slice().len(), header.next_header())
                }
                ip_number::IPV6_FRAG => {
                    let Ok(header) = Ipv6FragmentHeaderSlice::from_slice(self.payload) else { break };
                    self.fragment = fragment(header.fragment_offset(), header.more_fragments());
                    (header.slice().len(), header.next_header())
                }
                _ => break,
            };
            let Some(rest) = self.payload.get(len..).filter(|_| len > 0) else { break };
            (self.protocol, self.payload) = (next, rest);
            self.wire_len = self.wire_len.saturating_sub(len);
        }
        self
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

/// Decodes what follows IP. The usual case stays apart from the others, or the compiler keeps all of [`Ip`] in
/// memory for them.
#[inline]
fn transport<'a, A: Into<IpAddr> + Copy>(
    packet: &Packet<'a>,
    ip: Ip<'a, A>,
    problems: &mut impl Problems,
) -> Option<Segment<'a>> {
    if ip.protocol == ip_number::TCP && ip.fragment == Fragment::Whole {
        return tcp(packet, &ip, problems);
    }
    unusual_transport(packet, ip, problems)
}

#[cold]
fn unusual_transport<'a, A: Into<IpAddr> + Copy>(
    packet: &Packet<'a>,
    ip: Ip<'a, A>,
    problems: &mut impl Problems,
) -> Option<Segment<'a>> {
    let ip = ip.past_extensions();
    if matches!(ip.protocol, ip_number::ICMP | ip_number::IPV6_ICMP) && ip.fragment == Fragment::Whole {
        return icmp::quoted(packet, ip.protocol, ip.payload);
    }
    if ip.protocol != ip_number::TCP {
        return None;
    }
    match ip.fragment {
        Fragment::Whole => tcp(packet, &ip, problems),
        Fragment::First => {
            let reason = "is the first of several IP fragments, which are not joined";
            refuse(packet, &NoSegment::Broken(reason), problems)
        }
        // It holds no TCP header, and its first fragment was reported.
        Fragment::Later => None,
    }
}

/// Reads the TCP header. Kept out of line: merged into the caller's loop, the segment went through memory twice
/// and cost 14 ns more a packet.
#[inline(never)]
fn tcp<'a, A: Into<IpAddr> + Copy>(
    packet: &Packet<'a>,
    ip: &Ip<'a, A>,
    problems: &mut impl Problems,
) -> Option<Segment<'a>> {
    let found = match TcpHeaderSlice::from_slice(ip.payload) {
        Ok(header) => segment(packet, ip, &header, header.slice().len()),
        Err(_) => tcp_cut_in_options(packet, ip),
    };
    match &found {
        Some(segment) if segment.payload.len() < segment.wire_len as usize => report_cut(segment, problems),
        Some(_) => {}
        None => return refuse(packet, &NoSegment::Broken("has a broken or cut TCP header"), problems),
    }
    found
}

/// Reads a TCP header of which the snap length left the fixed part only: enough for the connection's events.
#[cold]
fn tcp_cut_in_options<'a, A: Into<IpAddr> + Copy>(
    packet: &Packet<'a>,
    ip: &Ip<'a, A>,
) -> Option<Segment<'a>> {
    let mut fixed = *ip.payload.first_chunk::<TCP_HEADER>()?;
    let header_len = usize::from(fixed[12] >> 4) * 4;
    // Without options, so that the fixed part is a whole header.
    fixed[12] = (TCP_HEADER as u8 / 4) << 4;
    let header = TcpHeaderSlice::from_slice(&fixed).ok()?;
    segment(packet, ip, &header, header_len)
}

/// The segment of a header; `None` where the header claims to be shorter than it can be, or longer than its packet.
#[inline]
fn segment<'a, A: Into<IpAddr> + Copy>(
    packet: &Packet<'a>,
    ip: &Ip<'a, A>,
    header: &TcpHeaderSlice<'_>,
    header_len: usize,
) -> Option<Segment<'a>> {
    if header_len < TCP_HEADER || header_len > ip.wire_len {
        return None;
    }
    // How far the IP payload, a part of the packet, lies behind its start.
    let before = ip.payload.as_ptr().addr().wrapping_sub(packet.data.as_ptr().addr());
    let flags = TcpFlags(header.slice()[13]);
    Some(Segment {
        frame: packet.frame,
        at: packet.at,
        src: SocketAddr::from((ip.src, header.source_port())),
        dst: SocketAddr::from((ip.dst, header.destination_port())),
        seq: header.sequence_number(),
        ack: header.acknowledgment_number(),
        flags,
        window: header.window_size(),
        ip_id: ip.id,
        tsval: options::tsval(header.slice()),
        window_scale: if flags.syn() { options::window_scale(header.slice()) } else { None },
        is_icmp_error: false,
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

/// Says why a packet gives no segment, where that is a problem.
#[cold]
fn refuse<'a>(packet: &Packet<'_>, reason: &NoSegment, problems: &mut impl Problems) -> Option<Segment<'a>> {
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
    None
}
