//! Packets within packets: what an IP packet of a tunnel's protocol carries.
//!
//! ```text
//! IP ─┬─ IPIP, 6in4, 4in6 ── IP          UDP ─┬─ VXLAN, by port or content ── Ethernet
//!     ├─ EtherIP ── Ethernet                  ├─ VXLAN-GPE, Geneve ── Ethernet, IP, NSH, MPLS
//!     ├─ MPLS ── IP, Ethernet                 ├─ GTP-U ── IP
//!     └─ GRE ── IP, Ethernet, MPLS, ERSPAN    └─ GRE, MPLS
//! ```
//!
//! Over UDP a tunnel is believed only where its header and the IP header within fit the packet, so that no other
//! payload becomes a segment.

use etherparse::{EtherType, IpNumber, ether_type, ip_number};

use super::link::{BRIDGED_ETHERNET, Layer, generic_next, is_ethernet_with_ip, is_ip};

/// Tunnels within tunnels that are followed. Overlay in overlay in a mirrored port makes three.
pub(super) const MAX_TUNNELS: u8 = 8;

const UDP_HEADER: usize = 8;
const VXLAN_HEADER: usize = 8;
/// Ports by which tunnels are known (IANA; 8472 is Linux's of before there was one).
const VXLAN_PORTS: [u16; 2] = [4789, 8472];
const VXLAN_GPE_PORT: u16 = 4790;
const GENEVE_PORT: u16 = 6081;
const GTP_USER_PORT: u16 = 2152;
const GRE_PORT: u16 = 4754;
const MPLS_PORT: u16 = 6635;

const MPLS_IN_IP: IpNumber = IpNumber(137);
/// What PPTP carries (RFC 2637, section 4.1).
const GRE_PPP: u16 = 0x880B;
const GRE_ERSPAN_1_2: u16 = 0x88BE;
const GRE_ERSPAN_3: u16 = 0x22EB;
/// Access points of Aruba send the frames of their radios.
const GRE_ARUBA: std::ops::RangeInclusive<u16> = 0x8200..=0x8210;
/// Web caches' redirection (WCCP).
const GRE_WCCP: u16 = 0x883E;

/// What a packet carries whose IP protocol is a tunnel's, and the bytes of that; `wire_len` is the length of `data` on
/// the wire. `None` for all else.
pub(super) fn inside(protocol: IpNumber, data: &[u8], wire_len: usize) -> Option<(Layer, &[u8])> {
    match protocol {
        ip_number::IPV4 => Some((Layer::Type(ether_type::IPV4), data)),
        ip_number::IPV6 => Some((Layer::Type(ether_type::IPV6), data)),
        ip_number::GRE => gre(data),
        ip_number::UDP => udp(data, wire_len),
        // RFC 3378: version 3, the rest zero.
        ip_number::ETHER_IP => data.strip_prefix(&[0x30, 0]).map(|rest| (Layer::Ethernet, rest)),
        MPLS_IN_IP => Some((Layer::Mpls, data)),
        _ => None,
    }
}

/// RFC 2784 and 2890; RFC 2637 for version 1, which carries PPP.
fn gre(data: &[u8]) -> Option<(Layer, &[u8])> {
    let [flags, version, high, low] = *data.first_chunk()?;
    let has = |flag: u8| usize::from(flags & flag != 0);
    let (checksum, routing, key, sequence) = (has(0x80), has(0x40), has(0x20), has(0x10));
    let kind = u16::from_be_bytes([high, low]);
    match version & 7 {
        // The routing of RFC 1701 is of a length of its own, and died out.
        0 if routing == 0 => {
            let rest = data.get(4 + 4 * (checksum + key + sequence)..)?;
            gre_payload(kind, sequence == 1, rest)
        }
        1 if kind == GRE_PPP && key == 1 => {
            let acknowledgement = usize::from(version >> 7);
            Some((Layer::Ppp, data.get(8 + 4 * (sequence + acknowledgement)..)?))
        }
        _ => None,
    }
}

fn gre_payload(kind: u16, has_sequence: bool, rest: &[u8]) -> Option<(Layer, &[u8])> {
    match kind {
        // Type I has no header of its own, and no sequence number in GRE's (draft-foschiano-erspan, section 4).
        GRE_ERSPAN_1_2 if has_sequence => Some((Layer::Ethernet, rest.get(8..)?)),
        GRE_ERSPAN_1_2 => Some((Layer::Ethernet, rest)),
        GRE_ERSPAN_3 => {
            let header = rest.first_chunk::<12>()?;
            // The last bit tells of a sub-header, five bits in front of the flags what was mirrored.
            let sub_header = if header[11] & 1 == 1 { 8 } else { 0 };
            let layer = if header[10] >> 2 & 0x1F == 2 { Layer::Ip } else { Layer::Ethernet };
            Some((layer, rest.get(12 + sub_header..)?))
        }
        kind if GRE_ARUBA.contains(&kind) => Some((Layer::Wlan, rest)),
        GRE_WCCP => {
            // Version 2 puts four bytes in front that do not look like IP.
            let is_ip = rest.first()? >> 4 == 4;
            Some((Layer::Ip, if is_ip { rest } else { rest.get(4..)? }))
        }
        _ => Some((Layer::Type(EtherType(kind)), rest)).filter(|_| kind > 1500),
    }
}

fn udp(data: &[u8], wire_len: usize) -> Option<(Layer, &[u8])> {
    let header = data.first_chunk::<UDP_HEADER>()?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (source, target, len) = (field(0), field(2), usize::from(field(4)));
    // 0 where the network card was to fill it in.
    let room = if len == 0 { wire_len } else { len.min(wire_len) }.checked_sub(UDP_HEADER)?;
    let rest = &data[UDP_HEADER..];
    let rest = &rest[..rest.len().min(room)];
    let known = |port: u16| target == port || source == port;
    let by_port = match () {
        () if VXLAN_PORTS.into_iter().any(known) => vxlan(rest, room),
        () if known(VXLAN_GPE_PORT) => vxlan_gpe(rest, room),
        () if known(GENEVE_PORT) => geneve(rest, room),
        () if known(GTP_USER_PORT) => gtp(rest, room),
        () if known(GRE_PORT) => gre(rest).filter(|(layer, inner)| fits(*layer, inner, room)),
        () if known(MPLS_PORT) => Some((Layer::Mpls, rest)),
        () => None,
    };
    by_port.or_else(|| vxlan_by_content(rest, room))
}

/// Whether an IP packet is where a tunnel's header says, and fits into `room` bytes.
fn fits(layer: Layer, inner: &[u8], room: usize) -> bool {
    match layer {
        Layer::Ethernet | Layer::Type(BRIDGED_ETHERNET) => is_ethernet_with_ip(inner, room),
        Layer::Type(ether_type::IPV4 | ether_type::IPV6) | Layer::Ip => is_ip(inner, room),
        // Label stacks and service headers are checked when they are read.
        Layer::Mpls | Layer::Nsh => true,
        Layer::Type(_) | Layer::Llc | Layer::Wlan | Layer::Ppp => false,
    }
}

/// RFC 7348, section 5: the I flag, and a network's number; the policy group extension uses further bits.
fn vxlan(data: &[u8], room: usize) -> Option<(Layer, &[u8])> {
    let rest = data.get(VXLAN_HEADER..).filter(|_| data[0] & 0x08 != 0)?;
    is_ethernet_with_ip(rest, room - VXLAN_HEADER).then_some((Layer::Ethernet, rest))
}

/// VXLAN on any port: all reserved bits zero, and within it IP that fills the datagram to the last byte and whose
/// checksum is right.
fn vxlan_by_content(data: &[u8], room: usize) -> Option<(Layer, &[u8])> {
    let ([0x08, 0, 0, 0, _, _, _, 0], frame) = data.split_first_chunk::<VXLAN_HEADER>()? else { return None };
    let room = room - VXLAN_HEADER;
    if !is_ethernet_with_ip(frame, room) {
        return None;
    }
    let kind = u16::from_be_bytes([frame[12], frame[13]]);
    let packet = &frame[14..];
    let exact = match (EtherType(kind), packet) {
        (ether_type::IPV4, [first, _, high, low, ..]) => {
            let header = packet.get(..usize::from(first & 0xF) * 4)?;
            let total = usize::from(u16::from_be_bytes([*high, *low]));
            checksum(header) == 0xFFFF && 14 + total == room
        }
        (ether_type::IPV6, [_, _, _, _, high, low, ..]) => {
            14 + 40 + usize::from(u16::from_be_bytes([*high, *low])) == room
        }
        _ => false,
    };
    exact.then_some((Layer::Ethernet, frame))
}

/// The sum of RFC 1071; all ones over a header with the right checksum.
fn checksum(header: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in header.chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xFFFF {
        sum = (sum >> 16) + (sum & 0xFFFF);
    }
    sum as u16
}

/// draft-ietf-nvo3-vxlan-gpe, section 3: version 0, the P flag, what follows.
fn vxlan_gpe(data: &[u8], room: usize) -> Option<(Layer, &[u8])> {
    let ([flags, 0, 0, next, ..], rest) = data.split_first_chunk::<VXLAN_HEADER>()? else { return None };
    if flags & 0x30 != 0 || flags & 0x0C != 0x0C {
        return None;
    }
    let layer = generic_next(*next)?;
    fits(layer, rest, room - VXLAN_HEADER).then_some((layer, rest))
}

/// RFC 8926, section 3.4: version 0, length of the options in words, what follows, a network's number, zero.
fn geneve(data: &[u8], room: usize) -> Option<(Layer, &[u8])> {
    let ([first, flags, high, low, _, _, _, 0], _) = data.split_first_chunk::<8>()? else { return None };
    let header = 8 + usize::from(first & 0x3F) * 4;
    if first >> 6 != 0 || flags & 0x3F != 0 {
        return None;
    }
    let layer = Layer::Type(EtherType(u16::from_be_bytes([*high, *low])));
    let rest = data.get(header..)?;
    fits(layer, rest, room.checked_sub(header)?).then_some((layer, rest))
}

/// 3GPP TS 29.281, section 5.1: version 1 of GTP, a packet of a user's (255), its length; a sequence number and
/// extension headers where flags say so.
fn gtp(data: &[u8], room: usize) -> Option<(Layer, &[u8])> {
    let ([flags, 255, high, low, ..], _) = data.split_first_chunk::<8>()? else { return None };
    if flags & 0xF0 != 0x30 || usize::from(u16::from_be_bytes([*high, *low])) + 8 != room {
        return None;
    }
    let mut header = 8;
    if flags & 7 != 0 {
        let mut next = *data.get(11)?;
        header = 12;
        if flags & 4 == 0 {
            next = 0;
        }
        while next != 0 {
            let len = usize::from(*data.get(header)?) * 4;
            next = *data.get((header + len).checked_sub(1).filter(|_| len > 0)?)?;
            header += len;
        }
    }
    let rest = data.get(header..)?;
    is_ip(rest, room - header).then_some((Layer::Ip, rest))
}
