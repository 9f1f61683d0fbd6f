//! What lies between a packet's first byte and its IP header, beyond plain Ethernet: other links, tags, labels.

use etherparse::{EtherType, ether_type};

use super::{LinkType, Packet};

/// Headers below IP that are followed one after the other: tags, labels, pseudo-wires. Networks use five or so.
const MOST_HEADERS: usize = 16;
/// Labels of one MPLS stack that are followed.
const MOST_LABELS: usize = 16;

/// Link types of packets that begin with their IP header.
const BARE: &[LinkType] =
    &[LinkType::RAW, LinkType::DLT_RAW, LinkType::DLT_RAW_OPENBSD, LinkType::IPV4, LinkType::IPV6];
const ETHERNET_HEADER: usize = 14;
/// Values of the Ethernet type field up to this are lengths (IEEE 802.3, section 3.2.6).
const LONGEST_LLC: u16 = 1500;
const MPLS_UNICAST: EtherType = EtherType(0x8847);
const MPLS_MULTICAST: EtherType = EtherType(0x8848);
const PPPOE_SESSION: EtherType = EtherType(0x8864);
/// Ethernet in GRE, Geneve and others: transparent Ethernet bridging.
pub(super) const BRIDGED_ETHERNET: EtherType = EtherType(0x6558);
/// Network service header (RFC 8300).
const NSH: EtherType = EtherType(0x894F);
/// Cisco's tag for virtual interfaces.
const VN_TAG: EtherType = EtherType(0x8926);

/// What a packet that gave no segment looks like under other link types: TCP over IP stands where these have it.
#[cold]
pub(super) fn of_another_type(packet: &Packet<'_>) -> Option<&'static str> {
    let data = packet.data;
    let kind = |at: usize| data.get(at..at + 2).map(|kind| u16::from_be_bytes([kind[0], kind[1]]));
    let forms: [(&[LinkType], usize, Option<u16>, &str); 4] = [
        (&[LinkType::EN10MB], 14, kind(12), "Ethernet frames"),
        (&[LinkType::LINUX_SLL], 16, kind(14), "Linux's cooked packets"),
        (&[LinkType::LINUX_SLL2], 20, kind(0), "Linux's cooked packets (version 2)"),
        (BARE, 0, Some(0x0800), "bare IP packets"),
    ];
    let fits = |(own, at, kind, _): &(&[LinkType], usize, Option<u16>, &str)| {
        !own.contains(&packet.link_type)
            && matches!(kind, Some(0x0800 | 0x86DD))
            && data.get(*at..).is_some_and(is_tcp)
    };
    forms.iter().find(|form| fits(form)).map(|form| form.3)
}

/// Whether bytes are an IP packet with a TCP segment in it.
fn is_tcp(data: &[u8]) -> bool {
    match *data {
        [0x45, _, high, low, _, _, _, _, _, 6, ..] => {
            let len = usize::from(u16::from_be_bytes([high, low]));
            len >= 40 && data.len() >= 40
        }
        [first, _, _, _, high, low, 6, _, ..] if first >> 4 == 6 => {
            let len = usize::from(u16::from_be_bytes([high, low]));
            len >= 20 && data.len() >= 60
        }
        _ => false,
    }
}

/// Why a packet is no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSegment {
    /// It is of another protocol.
    Other,
    /// It should be one, and this is wrong with it.
    Broken(&'static str),
    UnknownLinkType,
}

pub(super) const SHORT_LINK_HEADER: NoSegment = NoSegment::Broken("is shorter than its link header");

/// What the bytes at hand are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// What an Ethernet type says.
    Type(EtherType),
    /// Ethernet from the addresses on.
    Ethernet,
    /// IP of the version that its first four bits tell.
    Ip,
    /// IEEE 802.2 logical link control.
    Llc,
    /// A wireless LAN's frame (IEEE 802.11), from the frame control on.
    Wlan,
    /// PPP from the protocol or from the HDLC address on (RFC 1661, RFC 1662).
    Ppp,
    /// An MPLS label stack (RFC 3032).
    Mpls,
    /// A network service header (RFC 8300).
    Nsh,
}

/// What a packet of a link type that is not read on the usual path starts with, and the bytes behind the link header.
///
/// Formats: tcpdump.org/linktypes.html.
pub(super) fn unusual_link(link_type: LinkType, data: &[u8]) -> Result<(Layer, &[u8]), NoSegment> {
    let behind = |layer: Layer, len: usize| Ok((layer, data.get(len..).ok_or(SHORT_LINK_HEADER)?));
    match link_type {
        LinkType::PPP | LinkType::PPP_SERIAL => Ok((Layer::Ppp, data)),
        // One byte tells the direction.
        LinkType::PPP_PPPD | LinkType::PPP_WITH_DIR => behind(Layer::Ppp, 1),
        LinkType::PPP_ETHER => Ok((Layer::Type(PPPOE_SESSION), data)),
        LinkType::C_HDLC => tagged(data, 2, 4).map(|(kind, rest)| (Layer::Type(kind), rest)),
        LinkType::MPLS => Ok((Layer::Mpls, data)),
        LinkType::IEEE802_11 => Ok((Layer::Wlan, data)),
        LinkType::IEEE802_11_RADIO => behind(Layer::Wlan, radiotap(data)?),
        // Both give their length, the first in the byte order of its host.
        LinkType::PRISM_HEADER => {
            behind(Layer::Wlan, length(data, |b| u32::from_le_bytes(b).min(u32::from_be_bytes(b)))?)
        }
        LinkType::IEEE802_11_RADIO_AVS => behind(Layer::Wlan, length(data, u32::from_be_bytes)?),
        // An address family in host byte order, an SPI, flags.
        LinkType::ENC => behind(Layer::Ip, 12),
        // The first byte is the length of the header without padding.
        LinkType::PFLOG => behind(Layer::Ip, usize::from(*data.first().unwrap_or(&0)).next_multiple_of(4)),
        LinkType::NFLOG => nflog(data).map(|rest| (Layer::Ip, rest)),
        LinkType::PKTAP => nested(data, 0, 4, 8),
        LinkType::PPI => nested(data, 2, 2, 4),
        _ => Err(NoSegment::UnknownLinkType),
    }
}

/// Links within links: a little-endian length of the header, of `width` bytes at `len_at`, and a little-endian link
/// type at `type_at`.
fn nested(data: &[u8], len_at: usize, width: usize, type_at: usize) -> Result<(Layer, &[u8]), NoSegment> {
    let number = |at: usize, width: usize| {
        let bytes = data.get(at..at + width)?;
        Some(bytes.iter().rev().fold(0_u32, |number, &byte| number << 8 | u32::from(byte)))
    };
    let (len, inner) = number(len_at, width).zip(number(type_at, 4)).ok_or(SHORT_LINK_HEADER)?;
    let rest = data.get(len as usize..).filter(|_| len as usize >= type_at + 4).ok_or(SHORT_LINK_HEADER)?;
    match LinkType(u16::try_from(inner).unwrap_or(u16::MAX)) {
        LinkType::EN10MB => Ok((Layer::Ethernet, rest)),
        LinkType::NULL | LinkType::LOOP => {
            let rest = rest.get(4..).ok_or(SHORT_LINK_HEADER)?;
            Ok((Layer::Ip, rest))
        }
        LinkType::RAW | LinkType::DLT_RAW | LinkType::DLT_RAW_OPENBSD | LinkType::IPV4 | LinkType::IPV6 => {
            Ok((Layer::Ip, rest))
        }
        LinkType::PPP => Ok((Layer::Ppp, rest)),
        _ => Err(NoSegment::UnknownLinkType),
    }
}

/// The packet in what the firewall's log target hands to a program: a list of values in the byte order of the host.
fn nflog(data: &[u8]) -> Result<&[u8], NoSegment> {
    const PAYLOAD: u16 = 9;
    let mut rest = data.get(4..).ok_or(SHORT_LINK_HEADER)?;
    while let Some([a, b, c, d]) = rest.first_chunk() {
        // Lengths are far below 2^15 in the right byte order, save that of a large payload, which comes last.
        let little = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
        let big = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        let (len, kind) = if little.1 & 0x7FFF < 0x100 { little } else { big };
        let len = usize::from(len);
        if len < 4 {
            break;
        }
        if kind & 0x7FFF == PAYLOAD {
            return Ok(&rest[4..rest.len().min(len)]);
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Err(NoSegment::Other)
}

/// Passes headers up to IP: its version as an Ethernet type, and the bytes from its header on.
pub(super) fn up_to_ip(mut layer: Layer, mut data: &[u8]) -> Result<(EtherType, &[u8]), NoSegment> {
    for _ in 0..MOST_HEADERS {
        (layer, data) = match layer {
            Layer::Ip => return ip(data),
            Layer::Type(kind @ (ether_type::IPV4 | ether_type::IPV6)) => return Ok((kind, data)),
            Layer::Type(kind) => typed(kind, data)?,
            Layer::Ethernet => {
                let (kind, rest) = tagged(data, ETHERNET_HEADER - 2, ETHERNET_HEADER)?;
                (Layer::Type(kind), rest)
            }
            Layer::Llc => llc(data)?,
            Layer::Wlan => wlan(data)?,
            Layer::Ppp => ppp(data)?,
            Layer::Mpls => mpls(data)?,
            Layer::Nsh => nsh(data)?,
        };
    }
    Err(NoSegment::Broken("has more headers in front of IP than are followed"))
}

/// What follows an Ethernet type other than IP.
fn typed(kind: EtherType, data: &[u8]) -> Result<(Layer, &[u8]), NoSegment> {
    match kind {
        // Two bytes of tag, two of the type that follows. The last two are Cisco's of before 802.1ad.
        ether_type::VLAN_TAGGED_FRAME
        | ether_type::PROVIDER_BRIDGING
        | ether_type::VLAN_DOUBLE_TAGGED_FRAME
        | EtherType(0x9200 | 0x9300) => tagged(data, 2, 4).map(|(kind, rest)| (Layer::Type(kind), rest)),
        VN_TAG => tagged(data, 4, 6).map(|(kind, rest)| (Layer::Type(kind), rest)),
        MPLS_UNICAST | MPLS_MULTICAST => Ok((Layer::Mpls, data)),
        PPPOE_SESSION => pppoe(data),
        BRIDGED_ETHERNET => Ok((Layer::Ethernet, data)),
        NSH => Ok((Layer::Nsh, data)),
        EtherType(len) if len <= LONGEST_LLC => Ok((Layer::Llc, &data[..data.len().min(usize::from(len))])),
        _ => Err(NoSegment::Other),
    }
}

/// Reads the type field at `field`, and passes `header` bytes.
#[inline]
pub(super) fn tagged(data: &[u8], field: usize, header: usize) -> Result<(EtherType, &[u8]), NoSegment> {
    let (front, rest) = data.split_at_checked(header).ok_or(SHORT_LINK_HEADER)?;
    Ok((EtherType(u16::from_be_bytes([front[field], front[field + 1]])), rest))
}

/// IP of either version by its first four bits.
pub(super) fn ip(data: &[u8]) -> Result<(EtherType, &[u8]), NoSegment> {
    match data.first().map(|byte| byte >> 4) {
        Some(4) => Ok((ether_type::IPV4, data)),
        Some(6) => Ok((ether_type::IPV6, data)),
        Some(_) => Err(NoSegment::Broken("is of no known IP version")),
        None => Err(SHORT_LINK_HEADER),
    }
}

/// SNAP with an Ethernet type (RFC 1042; 0x0000F8 is that of 802.1H), or IP's own service access point.
fn llc(data: &[u8]) -> Result<(Layer, &[u8]), NoSegment> {
    match data {
        [0xAA, 0xAA, 3, 0, 0, 0 | 0xF8, high, low, rest @ ..] => {
            let kind = u16::from_be_bytes([*high, *low]);
            // A length here would be read as another LLC header.
            if kind <= LONGEST_LLC { Err(NoSegment::Other) } else { Ok((Layer::Type(EtherType(kind)), rest)) }
        }
        [6, 6, 3, rest @ ..] => Ok((Layer::Ip, rest)),
        _ => Err(NoSegment::Other),
    }
}

/// Length of a radiotap header: a little-endian number behind two bytes (radiotap.org).
fn radiotap(data: &[u8]) -> Result<usize, NoSegment> {
    let [_, _, low, high] = data.first_chunk().ok_or(SHORT_LINK_HEADER)?;
    Ok(usize::from(u16::from_le_bytes([*low, *high])))
}

/// A length in the four bytes behind the first four.
fn length(data: &[u8], number: fn([u8; 4]) -> u32) -> Result<usize, NoSegment> {
    let bytes = data.get(4..8).and_then(|bytes| bytes.first_chunk()).ok_or(SHORT_LINK_HEADER)?;
    usize::try_from(number(*bytes)).map_err(|_| SHORT_LINK_HEADER)
}

/// IEEE 802.11, section 9.3.2: data frames that are neither empty, nor encrypted, nor several in one.
fn wlan(data: &[u8]) -> Result<(Layer, &[u8]), NoSegment> {
    const DATA: u8 = 2;
    let [control, flags] = *data.first_chunk().ok_or(SHORT_LINK_HEADER)?;
    let (kind, subtype) = (control >> 2 & 3, control >> 4);
    let (is_empty, is_encrypted) = (subtype & 4 != 0, flags & 0x40 != 0);
    if control & 3 != 0 || kind != DATA || is_empty || is_encrypted {
        return Err(NoSegment::Other);
    }
    // A fourth address where both ends are access points, then quality of service with more control behind it.
    let four = if flags & 3 == 3 { 6 } else { 0 };
    let (service, more) = if subtype & 8 != 0 { (2, if flags & 0x80 != 0 { 4 } else { 0 }) } else { (0, 0) };
    let several = service > 0 && data.get(24 + four).is_some_and(|low| low & 0x80 != 0);
    let header = 24 + four + service + more;
    let rest = data.get(header..).filter(|_| !several).ok_or(NoSegment::Other)?;
    // Some receivers pad the header to whole words.
    let padded = header % 4 == 2 && rest.starts_with(&[0, 0, 0xAA, 0xAA, 3]);
    Ok((Layer::Llc, if padded { &rest[2..] } else { rest }))
}

/// RFC 2516, section 4: version and type 1, code 0 for data, session, length.
fn pppoe(data: &[u8]) -> Result<(Layer, &[u8]), NoSegment> {
    match data {
        [0x11, 0, _, _, high, low, rest @ ..] => {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            Ok((Layer::Ppp, &rest[..rest.len().min(len)]))
        }
        _ => Err(NoSegment::Other),
    }
}

fn ppp(data: &[u8]) -> Result<(Layer, &[u8]), NoSegment> {
    // Cisco's HDLC is told by its address.
    if let [0x0F | 0x8F, 0, high, low, rest @ ..] = data {
        return Ok((Layer::Type(EtherType(u16::from_be_bytes([*high, *low]))), rest));
    }
    let data = data.strip_prefix(&[0xFF, 3]).unwrap_or(data);
    // The first byte of a protocol number is even, save where it was left out (RFC 1661, section 6.5).
    let (protocol, rest) = match data {
        [low, rest @ ..] if low & 1 == 1 => (u16::from(*low), rest),
        [high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]), rest),
        _ => return Err(SHORT_LINK_HEADER),
    };
    match protocol {
        0x0021 => Ok((Layer::Type(ether_type::IPV4), rest)),
        0x0057 => Ok((Layer::Type(ether_type::IPV6), rest)),
        0x0281 | 0x0283 => Ok((Layer::Mpls, rest)),
        _ => Err(NoSegment::Other),
    }
}

/// Passes the labels. Nothing says what follows but its first four bits (RFC 4928): an IP version, or 0 for the control
/// word of a pseudo-wire (RFC 4385); a pseudo-wire without one is known by an Ethernet type and IP header that fit.
fn mpls(mut data: &[u8]) -> Result<(Layer, &[u8]), NoSegment> {
    for _ in 0..MOST_LABELS {
        let ([_, _, bottom, _], rest) = data.split_first_chunk().ok_or(SHORT_LINK_HEADER)?;
        data = rest;
        if bottom & 1 == 0 {
            continue;
        }
        return match data.first().map(|byte| byte >> 4) {
            Some(4 | 6) if is_ip(data, usize::MAX) => Ok((Layer::Ip, data)),
            Some(0) if is_ethernet_with_ip(data.get(4..).unwrap_or_default(), usize::MAX) => {
                Ok((Layer::Ethernet, &data[4..]))
            }
            _ if is_ethernet_with_ip(data, usize::MAX) => Ok((Layer::Ethernet, data)),
            _ => Err(NoSegment::Other),
        };
    }
    Err(NoSegment::Other)
}

/// RFC 8300, section 2: version and length in words, then what follows.
fn nsh(data: &[u8]) -> Result<(Layer, &[u8]), NoSegment> {
    let [first, len, _, next] = data.first_chunk().ok_or(SHORT_LINK_HEADER)?;
    let len = usize::from(len & 0x3F) * 4;
    if first >> 6 != 0 || len < 8 {
        return Err(NoSegment::Other);
    }
    let rest = data.get(len..).ok_or(SHORT_LINK_HEADER)?;
    generic_next(*next).map(|layer| (layer, rest)).ok_or(NoSegment::Other)
}

/// The protocol numbers that NSH and VXLAN-GPE share (RFC 8300, section 2.2; draft-ietf-nvo3-vxlan-gpe, section 3.3).
pub(super) fn generic_next(number: u8) -> Option<Layer> {
    match number {
        1 => Some(Layer::Type(ether_type::IPV4)),
        2 => Some(Layer::Type(ether_type::IPV6)),
        3 => Some(Layer::Ethernet),
        4 => Some(Layer::Nsh),
        5 => Some(Layer::Mpls),
        _ => None,
    }
}

/// Whether these are the headers of an IP packet that fits into `room` bytes on the wire.
pub(super) fn is_ip(data: &[u8], room: usize) -> bool {
    match data {
        [first, _, high, low, ..] if first >> 4 == 4 => {
            let header = usize::from(first & 0xF) * 4;
            let total = usize::from(u16::from_be_bytes([*high, *low]));
            // 0 where the network card was to fill it in.
            header >= 20 && data.len() >= 20 && (total == 0 || (header..=room).contains(&total))
        }
        [first, _, _, _, high, low, ..] if first >> 4 == 6 => {
            data.len() >= 40 && 40 + usize::from(u16::from_be_bytes([*high, *low])) <= room
        }
        _ => false,
    }
}

/// Whether this is an Ethernet frame that holds IP, tags in front of it included.
pub(super) fn is_ethernet_with_ip(data: &[u8], room: usize) -> bool {
    let Ok((mut kind, mut rest)) = tagged(data, ETHERNET_HEADER - 2, ETHERNET_HEADER) else { return false };
    for _ in 0..2 {
        if matches!(kind, ether_type::VLAN_TAGGED_FRAME | ether_type::PROVIDER_BRIDGING) {
            let Ok(next) = tagged(rest, 2, 4) else { return false };
            (kind, rest) = next;
        }
    }
    let version = rest.first().map(|byte| byte >> 4);
    let fits = matches!((kind, version), (ether_type::IPV4, Some(4)) | (ether_type::IPV6, Some(6)));
    fits && is_ip(rest, room.saturating_sub(data.len() - rest.len()))
}
