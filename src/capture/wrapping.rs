//! Puts packets into other packets: tunnels, tags and fragments, for tests and for the seeds of fuzzing.

use std::net::IpAddr;

/// A form in which networks carry packets. Each is made from an IP packet or from an Ethernet frame around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Wrap {
    Vlan,
    QinQ,
    Snap,
    Pppoe,
    Mpls,
    MplsPseudoWire,
    VnTag,
    IpInIp,
    IpInIp6,
    Gre,
    GreKeyed,
    GreEthernet,
    Erspan1,
    Erspan2,
    Erspan3,
    EtherIp,
    MplsInIp,
    Vxlan,
    VxlanAnyPort,
    VxlanGpe,
    Nsh,
    Geneve,
    Gtp,
    GtpExtended,
    GreInUdp,
    MplsInUdp,
}

impl Wrap {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::Vlan,
        Self::QinQ,
        Self::Snap,
        Self::Pppoe,
        Self::Mpls,
        Self::MplsPseudoWire,
        Self::VnTag,
        Self::IpInIp,
        Self::IpInIp6,
        Self::Gre,
        Self::GreKeyed,
        Self::GreEthernet,
        Self::Erspan1,
        Self::Erspan2,
        Self::Erspan3,
        Self::EtherIp,
        Self::MplsInIp,
        Self::Vxlan,
        Self::VxlanAnyPort,
        Self::VxlanGpe,
        Self::Nsh,
        Self::Geneve,
        Self::Gtp,
        Self::GtpExtended,
        Self::GreInUdp,
        Self::MplsInUdp,
    ];

    /// An Ethernet frame that carries an IP packet in this form.
    pub fn frame(self, packet: &[u8]) -> Vec<u8> {
        let kind: [u8; 2] = if is_v6(packet) { [0x86, 0xDD] } else { [0x08, 0x00] };
        let label = [0, 0x01, 0x01, 64];
        let inner = || ethernet(kind, &[packet]);
        let ip = |protocol: u8, parts: &[&[u8]]| ethernet([0x08, 0x00], &[&ipv4(protocol, parts)]);
        let udp_ip = |port: u16, parts: &[&[u8]]| ip(17, &[&udp(port, parts)]);
        match self {
            Self::Vlan => ethernet([0x81, 0x00], &[&[0, 5], &kind, packet]),
            Self::QinQ => ethernet([0x88, 0xA8], &[&[0, 7, 0x81, 0x00, 0, 5], &kind, packet]),
            Self::Snap => {
                let len = (packet.len() + 8) as u16;
                ethernet(len.to_be_bytes(), &[&[0xAA, 0xAA, 3, 0, 0, 0], &kind, packet])
            }
            Self::Pppoe => {
                let protocol = if is_v6(packet) { [0x00, 0x57] } else { [0x00, 0x21] };
                let len = (packet.len() as u16 + 2).to_be_bytes();
                ethernet([0x88, 0x64], &[&[0x11, 0, 0, 1], &len, &protocol, packet])
            }
            Self::Mpls => ethernet([0x88, 0x47], &[&[0, 1, 0, 64], &label, packet]),
            Self::MplsPseudoWire => ethernet([0x88, 0x47], &[&label, &[0; 4], &inner()]),
            Self::VnTag => ethernet([0x89, 0x26], &[&[0; 4], &kind, packet]),
            Self::IpInIp => ip(if is_v6(packet) { 41 } else { 4 }, &[packet]),
            Self::IpInIp6 => {
                let outer = ipv6(if is_v6(packet) { 41 } else { 4 }, &[packet]);
                ethernet([0x86, 0xDD], &[&outer])
            }
            Self::Gre => ip(47, &[&[0, 0], &kind, packet]),
            Self::GreKeyed => ip(47, &[&[0xB0, 0], &kind, &[0; 4], &[0, 0, 0, 9, 0, 0, 0, 1], packet]),
            Self::GreEthernet => ip(47, &[&[0, 0, 0x65, 0x58], &inner()]),
            Self::Erspan1 => ip(47, &[&[0, 0, 0x88, 0xBE], &inner()]),
            Self::Erspan2 => {
                ip(47, &[&[0x10, 0, 0x88, 0xBE, 0, 0, 0, 1], &[0x10, 0, 0, 0, 0, 0, 0, 0], &inner()])
            }
            Self::Erspan3 => ip(
                47,
                &[
                    &[0x10, 0, 0x22, 0xEB, 0, 0, 0, 1],
                    &[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                    &[0; 8],
                    &inner(),
                ],
            ),
            Self::EtherIp => ip(97, &[&[0x30, 0], &inner()]),
            Self::MplsInIp => ip(137, &[&label, packet]),
            Self::Vxlan => udp_ip(4789, &[&[0x08, 0, 0, 0, 0, 0, 7, 0], &inner()]),
            Self::VxlanAnyPort => udp_ip(14_789, &[&[0x08, 0, 0, 0, 0, 0, 7, 0], &inner()]),
            Self::VxlanGpe => {
                let next = if is_v6(packet) { 2 } else { 1 };
                udp_ip(4790, &[&[0x0C, 0, 0, next, 0, 0, 7, 0], packet])
            }
            Self::Nsh => {
                let next = if is_v6(packet) { 2 } else { 1 };
                udp_ip(4790, &[&[0x0C, 0, 0, 4, 0, 0, 7, 0], &[0, 6, 1, next], &[0; 20], packet])
            }
            Self::Geneve => udp_ip(6081, &[&[2, 0, 0x65, 0x58, 0, 0, 7, 0], &[0; 8], &inner()]),
            Self::Gtp => {
                let len = (packet.len() as u16).to_be_bytes();
                udp_ip(2152, &[&[0x30, 255], &len, &[0, 0, 0, 1], packet])
            }
            Self::GtpExtended => {
                let len = (packet.len() as u16 + 8).to_be_bytes();
                udp_ip(2152, &[&[0x34, 255], &len, &[0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 9, 0], packet])
            }
            Self::GreInUdp => udp_ip(4754, &[&[0, 0], &kind, packet]),
            Self::MplsInUdp => udp_ip(6635, &[&label, packet]),
        }
    }
}

fn is_v6(packet: &[u8]) -> bool {
    packet.first().is_some_and(|byte| byte >> 4 == 6)
}

/// An Ethernet frame of a type.
pub fn ethernet(kind: [u8; 2], parts: &[&[u8]]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &kind, &parts.concat()].concat()
}

/// A UDP datagram to a port.
pub fn udp(port: u16, parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let len = (payload.len() as u16 + 8).to_be_bytes();
    [&[0xC0, 0x01][..], &port.to_be_bytes(), &len, &[0, 0], &payload].concat()
}

/// An IPv4 packet of a protocol between two tunnel ends.
pub fn ipv4(protocol: u8, parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let total = (payload.len() as u16 + 20).to_be_bytes();
    let mut header =
        [0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0, 172, 16, 0, 1, 172, 16, 0, 2];
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let checksum = !((sum & 0xFFFF) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    [&header[..], &payload].concat()
}

/// An IPv6 packet of a protocol between two tunnel ends.
pub fn ipv6(protocol: u8, parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let len = (payload.len() as u16).to_be_bytes();
    let addresses = ["fd00::a", "fd00::b"].map(|text| match text.parse() {
        Ok(IpAddr::V6(ip)) => ip.octets(),
        _ => [0; 16],
    });
    [&[0x60, 0, 0, 0][..], &len, &[protocol, 64], &addresses.concat(), &payload].concat()
}

/// An IP packet in fragments of `step` bytes, a multiple of eight.
pub fn fragments(packet: &[u8], id: u16, step: usize) -> Vec<Vec<u8>> {
    let header_len = if is_v6(packet) { 40 } else { usize::from(packet[0] & 0xF) * 4 };
    let (header, payload) = packet.split_at(header_len);
    let count = payload.chunks(step).count();
    let fragment = |(i, part): (usize, &[u8])| {
        let place = (i * step / 8) as u16;
        let more = i + 1 < count;
        let mut header = header.to_vec();
        if is_v6(packet) {
            let next = std::mem::replace(&mut header[6], 44);
            header[4..6].copy_from_slice(&(part.len() as u16 + 8).to_be_bytes());
            let [high, low] = (place << 3 | u16::from(more)).to_be_bytes();
            header.extend_from_slice(&[next, 0, high, low, 0, 0]);
            header.extend_from_slice(&id.to_be_bytes());
        } else {
            header[2..4].copy_from_slice(&((header_len + part.len()) as u16).to_be_bytes());
            header[4..6].copy_from_slice(&id.to_be_bytes());
            header[6..8].copy_from_slice(&(place | u16::from(more) << 13).to_be_bytes());
        }
        [&header[..], part].concat()
    };
    payload.chunks(step).enumerate().map(fragment).collect()
}
