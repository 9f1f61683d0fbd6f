//! Packets to TCP segments: link, IP and TCP headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{
    EtherType, Ipv6ExtensionSlice, LaxNetSlice, LaxSlicedPacket, NetSlice, SlicedPacket, TransportSlice,
    ether_type, ip_number,
};

use super::{LinkType, Packet, ProblemKind, Problems, Segment, TcpFlags};

/// Length of a TCP header without options.
const TCP_HEADER: usize = 20;

/// Decodes the packets of one capture.
#[derive(Clone, Debug, Default)]
pub struct Decoder {}

/// How a link type's payload begins.
#[derive(Clone, Copy)]
enum Start<'a> {
    Ethernet(&'a [u8]),
    EtherType(EtherType, &'a [u8]),
    Ip(&'a [u8]),
}

impl Decoder {
    /// The TCP segment in a packet. `None` for other protocols, and, with a problem, for what cannot be decoded.
    #[inline]
    pub fn segment<'a>(&mut self, packet: &Packet<'a>, problems: &mut impl Problems) -> Option<Segment<'a>> {
        let start = if packet.link_type == LinkType::EN10MB {
            Start::Ethernet(packet.data)
        } else {
            start_of(packet, problems)?
        };
        let sliced = match start {
            Start::Ethernet(data) => SlicedPacket::from_ethernet(data),
            Start::EtherType(kind, data) => SlicedPacket::from_ether_type(kind, data),
            Start::Ip(data) => SlicedPacket::from_ip(data),
        };
        let Ok(sliced) = sliced else { return lax_segment(packet, start, problems) };
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
            if sliced.is_ip_payload_fragmented() {
                report_fragment(packet, sliced.net.as_ref(), problems);
            }
            return None;
        };
        let (src, dst) = match sliced.net.as_ref()? {
            NetSlice::Ipv4(ip) => v4(ip.header().source(), ip.header().destination()),
            NetSlice::Ipv6(ip) => v6(ip.header().source(), ip.header().destination()),
            NetSlice::Arp(_) => return None,
        };
        let payload = tcp.payload();
        Some(Segment {
            frame: packet.frame,
            at: packet.at,
            src: SocketAddr::new(src, tcp.source_port()),
            dst: SocketAddr::new(dst, tcp.destination_port()),
            seq: tcp.sequence_number(),
            ack: tcp.acknowledgment_number(),
            flags: TcpFlags(tcp.header_slice()[13]),
            window: tcp.window_size(),
            payload,
            wire_len: payload.len() as u32,
            file_offset: packet.file_offset + offset_in(packet.data, payload),
        })
    }
}

/// Finds where IP begins in a packet that is not Ethernet.
fn start_of<'a>(packet: &Packet<'a>, problems: &mut impl Problems) -> Option<Start<'a>> {
    let data = packet.data;
    let start = match packet.link_type {
        // etherparse's own cooked reader refuses packets of interfaces whose hardware type it does not know;
        // the protocol field alone says what follows.
        LinkType::LINUX_SLL => Some(data)
            .filter(|d| d.len() >= 16)
            .map(|d| Start::EtherType(EtherType(u16::from_be_bytes([d[14], d[15]])), &d[16..])),
        LinkType::LINUX_SLL2 => Some(data)
            .filter(|d| d.len() >= 20)
            .map(|d| Start::EtherType(EtherType(u16::from_be_bytes([d[0], d[1]])), &d[20..])),
        LinkType::RAW | LinkType::DLT_RAW | LinkType::DLT_RAW_OPENBSD | LinkType::IPV4 | LinkType::IPV6 => {
            Some(Start::Ip(data))
        }
        LinkType::NULL | LinkType::LOOP => match data.split_first_chunk::<4>() {
            Some((family, ip)) => Some(Start::EtherType(loopback_ether_type(*family)?, ip)),
            None => None,
        },
        other => {
            problems.report(
                ProblemKind::UnsupportedLinkType,
                format_args!("packets of link type {other} are not decoded (first: packet {})", packet.frame),
            );
            return None;
        }
    };
    if start.is_none() {
        undecodable(packet, "is shorter than its link header", problems);
    }
    start
}

/// The protocol of a loopback packet by its address family, in either byte order: the file does not say which.
/// Numbers: 2 is IPv4 everywhere; IPv6 is 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on Darwin, 10 on Linux.
fn loopback_ether_type(family: [u8; 4]) -> Option<EtherType> {
    let number = u32::from_be_bytes(family);
    match number.min(number.swap_bytes()) {
        2 => Some(ether_type::IPV4),
        10 | 24 | 28 | 30 => Some(ether_type::IPV6),
        _ => None,
    }
}

/// Decodes a packet that is not all there, or whose IP length was left to the network card.
#[cold]
fn lax_segment<'a>(
    packet: &Packet<'a>,
    start: Start<'a>,
    problems: &mut impl Problems,
) -> Option<Segment<'a>> {
    let sliced = match start {
        Start::Ethernet(data) => LaxSlicedPacket::from_ethernet(data).ok(),
        Start::EtherType(kind, data) => Some(LaxSlicedPacket::from_ether_type(kind, data)),
        Start::Ip(data) => LaxSlicedPacket::from_ip(data).ok(),
    };
    let Some(LaxSlicedPacket { net: Some(net), .. }) = &sliced else {
        let is_ip = sliced.is_none_or(|s| s.stop_err.is_some());
        if is_ip {
            undecodable(packet, "has a broken or cut IP header", problems);
        }
        return None;
    };
    // What the IP header claims to follow it, where it claims anything.
    let (src, dst, claimed) = match net {
        LaxNetSlice::Ipv4(ip) => {
            let (src, dst) = v4(ip.header().source(), ip.header().destination());
            let total = usize::from(ip.header().total_len());
            (src, dst, total.checked_sub(ip.header().slice().len()))
        }
        LaxNetSlice::Ipv6(ip) => {
            let (src, dst) = v6(ip.header().source(), ip.header().destination());
            let len = usize::from(ip.header().payload_length());
            (src, dst, (len > 0).then(|| len.saturating_sub(ip.extensions().slice().len())))
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let ip_payload = net.ip_payload_ref()?;
    if ip_payload.ip_number != ip_number::TCP {
        return None;
    }
    if ip_payload.fragmented {
        undecodable(packet, "is an IP fragment", problems);
        return None;
    }
    let data = ip_payload.payload;
    let on_wire = claimed.unwrap_or(data.len());
    let header_len = data.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    if data.len() < TCP_HEADER || header_len < TCP_HEADER || header_len > on_wire {
        undecodable(packet, "has a broken or cut TCP header", problems);
        return None;
    }
    let field = |at: usize| u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
    let port = |at: usize| u16::from_be_bytes([data[at], data[at + 1]]);
    // The options may be cut; the payload is then empty and lies behind them.
    let payload = data.get(header_len..).unwrap_or_default();
    let wire_len = on_wire.saturating_sub(header_len).max(payload.len());
    if payload.len() < wire_len {
        problems.report(
            ProblemKind::CutPacket,
            format_args!("packet {} holds {} of {wire_len} payload bytes", packet.frame, payload.len()),
        );
    }
    Some(Segment {
        frame: packet.frame,
        at: packet.at,
        src: SocketAddr::new(src, port(0)),
        dst: SocketAddr::new(dst, port(2)),
        seq: field(4),
        ack: field(8),
        flags: TcpFlags(data[13]),
        window: port(14),
        payload,
        wire_len: wire_len as u32,
        file_offset: packet.file_offset + offset_in(packet.data, data) + header_len as u64,
    })
}

#[cold]
fn report_fragment(packet: &Packet<'_>, net: Option<&NetSlice<'_>>, problems: &mut impl Problems) {
    let Some(net) = net else { return };
    let is_tcp = net.ip_payload_ref().is_some_and(|payload| payload.ip_number == ip_number::TCP);
    let is_first = match net {
        NetSlice::Ipv4(ip) => ip.header().fragments_offset().value() == 0,
        NetSlice::Ipv6(ip) => ip.extensions().clone().into_iter().any(
            |ext| matches!(ext, Ipv6ExtensionSlice::Fragment(header) if header.fragment_offset().value() == 0),
        ),
        NetSlice::Arp(_) => false,
    };
    // The fragments after the first carry no TCP header: one problem a packet, not one a fragment.
    if is_tcp && is_first {
        undecodable(packet, "is the first of several IP fragments, which are not put together", problems);
    }
}

#[cold]
fn undecodable(packet: &Packet<'_>, what: &str, problems: &mut impl Problems) {
    problems.report(ProblemKind::UndecodablePacket, format_args!("packet {} {what}", packet.frame));
}

#[inline]
fn v4(src: [u8; 4], dst: [u8; 4]) -> (IpAddr, IpAddr) {
    (IpAddr::V4(Ipv4Addr::from(src)), IpAddr::V4(Ipv4Addr::from(dst)))
}

#[inline]
fn v6(src: [u8; 16], dst: [u8; 16]) -> (IpAddr, IpAddr) {
    (IpAddr::V6(Ipv6Addr::from(src)), IpAddr::V6(Ipv6Addr::from(dst)))
}

/// How far `part` lies behind the start of `whole`, of which it is a part.
#[inline]
fn offset_in(whole: &[u8], part: &[u8]) -> u64 {
    (part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr())) as u64
}
