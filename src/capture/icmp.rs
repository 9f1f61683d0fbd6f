//! ICMP and ICMPv6 errors: which TCP segment they quote.
//!
//! An error carries the IP header of the packet that caused it and at least eight bytes behind it (RFC 792,
//! RFC 4443, section 3): the ports and the sequence number of a segment.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice, ip_number};

use super::{Packet, Passage, Segment, TcpFlags};

/// Length of the header of an ICMP error, in bytes.
const ICMP_HEADER: usize = 8;
const IPV6_HEADER: usize = 40;

/// The segment that an ICMP message quotes, as far as it is quoted: addresses, ports and sequence number; see
/// [`Segment::is_icmp_error`].
#[cold]
pub(super) fn quoted<'a>(packet: &Packet<'a>, protocol: IpNumber, message: &'a [u8]) -> Option<Segment<'a>> {
    let (header, quote) = message.split_at_checked(ICMP_HEADER)?;
    let v6 = protocol == ip_number::IPV6_ICMP;
    let (kind, code) = (header[0], header[1]);
    // RFC 4443, section 2.1: types below 128 are errors. Of RFC 792 those that say that a packet did not arrive.
    let is_error = if v6 { (1..=4).contains(&kind) } else { matches!(kind, 3 | 11 | 12) };
    if !is_error {
        return None;
    }
    let (from, to, rest) = quoted_ip(quote)?;
    let ports_and_seq: &[u8; 8] = rest.first_chunk()?;
    let [a, b, c, d, e, f, g, h] = *ports_and_seq;
    Some(Segment {
        frame: packet.frame,
        at: packet.at,
        src: SocketAddr::from((from, u16::from_be_bytes([a, b]))),
        dst: SocketAddr::from((to, u16::from_be_bytes([c, d]))),
        seq: u32::from_be_bytes([e, f, g, h]),
        ack: u32::from(kind) << 8 | u32::from(code),
        flags: TcpFlags::default(),
        window: 0,
        ip_id: 0,
        tsval: 0,
        window_scale: None,
        passage: Passage::UNKNOWN,
        is_icmp_error: true,
        payload: &[],
        wire_len: mtu(header, v6),
        file_offset: packet.file_offset,
    })
}

/// The next hop's MTU: RFC 1191, section 4 (0 from routers older than it); RFC 4443, section 3.2.
fn mtu(header: &[u8], v6: bool) -> u32 {
    match (v6, header) {
        (false, [3, 4, _, _, _, _, high, low]) => u32::from(u16::from_be_bytes([*high, *low])),
        (true, [2, _, _, _, a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

/// Sender and receiver of a quoted packet, and what follows its IP header, where that is TCP.
fn quoted_ip(quote: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    if quote.first()? >> 4 == 6 {
        let ip = Ipv6HeaderSlice::from_slice(quote).ok()?;
        let rest = quote.get(IPV6_HEADER..)?;
        return (ip.next_header() == ip_number::TCP)
            .then(|| (ip.source_addr().into(), ip.destination_addr().into(), rest));
    }
    let ip = Ipv4HeaderSlice::from_slice(quote).ok()?;
    let first = ip.fragments_offset().value() == 0;
    let rest = quote.get(ip.slice().len()..)?;
    (ip.protocol() == ip_number::TCP && first)
        .then(|| (ip.source_addr().into(), ip.destination_addr().into(), rest))
}
