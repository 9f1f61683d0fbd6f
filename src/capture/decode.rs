//! Packets to TCP segments: link, IP and TCP headers.
//!
//! Each header is read by etherparse's slice of that layer. Its `SlicedPacket`, which reads all layers in one
//! call, cost 30 ns a packet more (it carries every layer it might meet), and needs a second, lax reading for
//! packets that the snap length cut; here cut and whole packets take the same way.
//!
//! The usual way (Ethernet or a cooked capture, IP, TCP) is straight and free of state. Everything else leaves it for
//! cold functions: other links and tags (`link`), tunnels (`tunnel`), fragments (`fragments`).

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, IpAuthHeaderSlice, IpFragOffset, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice,
    Ipv6HeaderSlice, Ipv6RawExtHeaderSlice, TcpHeaderSlice, ether_type, ip_number,
};

use super::fragments::{DatagramKey, Fragments, Piece, Ready};
use super::link::{self, Layer, NoSegment, SHORT_LINK_HEADER, tagged};
use super::tunnel::{self, MAX_TUNNELS};
use super::{LinkType, Packet, Passage, ProblemKind, Problems, Segment, TcpFlags, icmp, options};

const ETHERNET_HEADER: usize = 14;
const LINUX_SLL_HEADER: usize = 16;
const LINUX_SLL2_HEADER: usize = 20;
/// The packet type of what the capturing machine sends.
const LINUX_SLL_OUTGOING: u8 = 4;
const IPV6_HEADER: usize = 40;
/// Length of a TCP header without options.
const TCP_HEADER: usize = 20;
/// The protocol field of a cooked capture for IEEE 802.2 frames.
const COOKED_LLC: EtherType = EtherType(4);

/// Decodes the packets of one capture.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    fragments: Fragments,
    /// A segment that came in fragments, all of which are there by now.
    ready: Ready,
}

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

/// Which part of its datagram a packet holds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fragment {
    /// In bytes.
    offset: u32,
    /// Whether another one follows.
    more: bool,
    /// What the parts of a datagram have in common.
    id: u32,
}

impl Fragment {
    const WHOLE: Self = Self { offset: 0, more: false, id: 0 };

    #[inline]
    fn of(offset: IpFragOffset, more: bool, id: u32) -> Self {
        Self { offset: u32::from(offset.value()) * 8, more, id }
    }

    #[inline]
    fn is_whole(self) -> bool {
        self.offset == 0 && !self.more
    }
}

impl Decoder {
    /// The TCP segment in a packet. `None` for other protocols, and, with a problem, for what cannot be decoded.
    ///
    /// A segment that came in IP fragments is ready behind the last of them: ask [`Self::piece`] after each packet.
    #[inline]
    pub fn segment<'a>(&mut self, packet: &Packet<'a>, problems: &mut impl Problems) -> Option<Segment<'a>> {
        match network_layer(packet) {
            Ok((ether_type::IPV4, data)) => self.ipv4(packet, data, 0, problems),
            Ok((ether_type::IPV6, data)) => self.ipv6(packet, data, 0, problems),
            Ok((kind, data)) => {
                let cooked = matches!(packet.link_type, LinkType::LINUX_SLL | LinkType::LINUX_SLL2);
                let layer = if cooked && kind == COOKED_LLC { Layer::Llc } else { Layer::Type(kind) };
                self.layer(packet, layer, data, 0, problems)
            }
            Err(reason) => self.unusual_link(packet, &reason, problems),
        }
    }

    /// The next piece of a segment that the last packet completed, each where it lies in one packet; their time and
    /// frame number are those of the last one. `None` when there is no more, which is nearly always.
    #[inline]
    pub fn piece(&mut self) -> Option<Segment<'_>> {
        if self.ready.is_empty() { None } else { self.ready.next() }
    }

    /// The capture is over: says which fragments still wait for others.
    pub fn finish(&mut self, problems: &mut impl Problems) {
        self.fragments.finish(problems);
    }

    /// Reads a packet of a link type that is not met every day.
    #[cold]
    fn unusual_link<'a>(
        &mut self,
        packet: &Packet<'a>,
        reason: &NoSegment,
        problems: &mut impl Problems,
    ) -> Option<Segment<'a>> {
        if *reason != NoSegment::UnknownLinkType {
            return refuse(packet, reason, problems);
        }
        match link::unusual_link(packet.link_type, packet.data) {
            Ok((layer, data)) => self.layer(packet, layer, data, 0, problems),
            Err(reason) => refuse(packet, &reason, problems),
        }
    }

    /// Reads on from any layer below IP, in `tunnels` of tunnels.
    #[cold]
    #[inline(never)]
    fn layer<'a>(
        &mut self,
        packet: &Packet<'a>,
        layer: Layer,
        data: &'a [u8],
        tunnels: u8,
        problems: &mut impl Problems,
    ) -> Option<Segment<'a>> {
        match link::up_to_ip(layer, data) {
            Ok((ether_type::IPV4, data)) => self.ipv4(packet, data, tunnels, problems),
            Ok((_, data)) => self.ipv6(packet, data, tunnels, problems),
            Err(reason) => refuse(packet, &reason, problems),
        }
    }
}

/// Passes the link header: what follows, and its bytes.
#[inline]
fn network_layer<'a>(packet: &Packet<'a>) -> Result<(EtherType, &'a [u8]), NoSegment> {
    let data = packet.data;
    match packet.link_type {
        LinkType::EN10MB => tagged(data, ETHERNET_HEADER - 2, ETHERNET_HEADER),
        // Read here because etherparse's cooked slice refuses interfaces of a hardware type that it does not
        // know; the protocol field alone says what follows.
        LinkType::LINUX_SLL => tagged(data, LINUX_SLL_HEADER - 2, LINUX_SLL_HEADER),
        LinkType::LINUX_SLL2 => tagged(data, 0, LINUX_SLL2_HEADER),
        LinkType::RAW | LinkType::DLT_RAW | LinkType::DLT_RAW_OPENBSD | LinkType::IPV4 | LinkType::IPV6 => {
            link::ip(data)
        }
        LinkType::NULL | LinkType::LOOP => {
            let (family, data) = data.split_first_chunk().ok_or(SHORT_LINK_HEADER)?;
            Ok((loopback_protocol(*family)?, data))
        }
        _ => Err(NoSegment::UnknownLinkType),
    }
}

/// The packet type of a cooked capture: all but outgoing packets came from elsewhere.
#[inline]
fn passage(packet: &Packet<'_>) -> Passage {
    let kind = match packet.link_type {
        LinkType::LINUX_SLL => packet.data.get(1),
        LinkType::LINUX_SLL2 => packet.data.get(10),
        _ => None,
    };
    match kind {
        Some(&LINUX_SLL_OUTGOING) => Passage::OUT,
        Some(_) => Passage::IN,
        None => Passage::UNKNOWN,
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

impl Decoder {
    /// Compiled into the usual path and, again, into the cold one: as a call it costs the usual packet more.
    #[inline(always)]
    fn ipv4<'a>(
        &mut self,
        packet: &Packet<'a>,
        data: &'a [u8],
        tunnels: u8,
        problems: &mut impl Problems,
    ) -> Option<Segment<'a>> {
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
            fragment: Fragment::of(
                header.fragments_offset(),
                header.more_fragments(),
                header.identification().into(),
            ),
            id: header.identification(),
        };
        self.transport(packet, &ip, tunnels, problems)
    }

    #[inline]
    fn ipv6<'a>(
        &mut self,
        packet: &Packet<'a>,
        data: &'a [u8],
        tunnels: u8,
        problems: &mut impl Problems,
    ) -> Option<Segment<'a>> {
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
            fragment: Fragment::WHOLE,
            id: 0,
        };
        self.transport(packet, &ip, tunnels, problems)
    }

    /// Decodes what follows IP. The usual case stays apart from the others, or the compiler keeps all of [`Ip`] in
    /// memory for them.
    #[inline]
    fn transport<'a, A: Into<IpAddr> + Copy>(
        &mut self,
        packet: &Packet<'a>,
        ip: &Ip<'a, A>,
        tunnels: u8,
        problems: &mut impl Problems,
    ) -> Option<Segment<'a>> {
        if ip.protocol == ip_number::TCP && ip.fragment.is_whole() {
            return tcp(packet, ip, problems);
        }
        let ip = Ip {
            src: ip.src.into(),
            dst: ip.dst.into(),
            protocol: ip.protocol,
            payload: ip.payload,
            wire_len: ip.wire_len,
            fragment: ip.fragment,
            id: ip.id,
        };
        self.unusual_transport(packet, ip, tunnels, problems)
    }

    /// Decodes extension headers, fragments, and tunnels.
    #[cold]
    fn unusual_transport<'a>(
        &mut self,
        packet: &Packet<'a>,
        ip: Ip<'a, IpAddr>,
        tunnels: u8,
        problems: &mut impl Problems,
    ) -> Option<Segment<'a>> {
        let ip = ip.past_extensions();
        if !ip.fragment.is_whole() {
            self.fragment(packet, &ip, tunnels, problems);
            return None;
        }
        if ip.protocol == ip_number::TCP {
            return tcp(packet, &ip, problems);
        }
        if matches!(ip.protocol, ip_number::ICMP | ip_number::IPV6_ICMP) {
            return icmp::quoted(packet, ip.protocol, ip.payload);
        }
        let (layer, data) = tunnel::inside(ip.protocol, ip.payload, ip.wire_len)?;
        if tunnels == MAX_TUNNELS {
            problems.report(
                ProblemKind::LimitReached,
                format_args!(
                    "packet {} nests more than {MAX_TUNNELS} tunnels and was not read",
                    packet.frame
                ),
            );
            return None;
        }
        self.layer(packet, layer, data, tunnels + 1, problems)
    }

    /// Keeps a fragment, and decodes the datagram that it completes: its segment waits in `ready`.
    #[cold]
    fn fragment(
        &mut self,
        packet: &Packet<'_>,
        ip: &Ip<'_, IpAddr>,
        tunnels: u8,
        problems: &mut impl Problems,
    ) {
        if !may_carry_tcp(ip.protocol) {
            return;
        }
        let key = DatagramKey { src: ip.src, dst: ip.dst, id: ip.fragment.id, protocol: ip.protocol };
        let piece = Piece {
            frame: packet.frame,
            at: packet.at,
            offset: ip.fragment.offset as usize,
            more: ip.fragment.more,
            data: ip.payload,
            wire_len: ip.wire_len,
            file_offset: packet.file_offset + position_in(packet, ip.payload) as u64,
        };
        let Some(joined) = self.fragments.push(key, &piece, problems) else { return };
        // From here on positions count from the start of the datagram.
        let whole = Packet { data: &joined.bytes, file_offset: 0, ..*packet };
        let ip = Ip { payload: &joined.bytes, wire_len: joined.wire_len, fragment: Fragment::WHOLE, ..*ip };
        let mut inner = Self::default();
        let Some(segment) = inner.unusual_transport(&whole, ip, tunnels, problems) else {
            // A fragment within fragments would have to be looked for in several places at once.
            inner.finish(problems);
            return;
        };
        let ready = Ready::of(&segment, &joined);
        self.ready = ready.with_bytes(joined);
    }
}

/// Whether datagrams of this protocol can hold a TCP segment, directly or in a tunnel.
fn may_carry_tcp(protocol: IpNumber) -> bool {
    matches!(
        protocol,
        ip_number::TCP
            | ip_number::UDP
            | ip_number::GRE
            | ip_number::IPV4
            | ip_number::IPV6
            | ip_number::ETHER_IP
            | ip_number::AUTH
            | ip_number::IPV6_HOP_BY_HOP
            | ip_number::IPV6_ROUTE
            | ip_number::IPV6_DEST_OPTIONS
            | IpNumber(137)
    )
}

/// How far bytes of a packet lie behind its start.
#[inline]
fn position_in(packet: &Packet<'_>, part: &[u8]) -> usize {
    part.as_ptr().addr().wrapping_sub(packet.data.as_ptr().addr())
}

impl<A> Ip<'_, A> {
    /// Passes the extension headers in front of the payload, as far as they are there.
    ///
    /// One by one, because etherparse's iterator over all of them (0.21) reads past the end of a packet that
    /// was cut between two.
    fn past_extensions(mut self) -> Self {
        while self.fragment.is_whole() {
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
                    self.fragment = Fragment::of(
                        header.fragment_offset(),
                        header.more_fragments(),
                        header.identification(),
                    );
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

const BROKEN_TCP: NoSegment = NoSegment::Broken("has a broken or cut TCP header");

/// Reads the TCP header. Kept out of line: merged into the caller's loop, the segment went through memory twice
/// and cost 14 ns more a packet.
#[inline(never)]
fn tcp<'a, A: Into<IpAddr> + Copy>(
    packet: &Packet<'a>,
    ip: &Ip<'a, A>,
    problems: &mut impl Problems,
) -> Option<Segment<'a>> {
    match TcpHeaderSlice::from_slice(ip.payload) {
        Ok(header) if header.slice().len() <= ip.wire_len => {
            let header_len = header.slice().len();
            if ip.payload.len() < ip.wire_len {
                report_cut(packet.frame, ip.payload.len() - header_len, ip.wire_len - header_len, problems);
            }
            // Made where it is returned: looked at once more it would be moved there.
            Some(segment(packet, ip, &header, header_len))
        }
        Ok(_) => refuse(packet, &BROKEN_TCP, problems),
        Err(_) => tcp_cut_in_options(packet, ip, problems),
    }
}

/// Reads a TCP header of which the snap length left the fixed part only: enough for the connection's events.
#[cold]
fn tcp_cut_in_options<'a, A: Into<IpAddr> + Copy>(
    packet: &Packet<'a>,
    ip: &Ip<'a, A>,
    problems: &mut impl Problems,
) -> Option<Segment<'a>> {
    let Some(&(mut fixed)) = ip.payload.first_chunk::<TCP_HEADER>() else {
        return refuse(packet, &BROKEN_TCP, problems);
    };
    let header_len = usize::from(fixed[12] >> 4) * 4;
    // Without options, so that the fixed part is a whole header.
    fixed[12] = (TCP_HEADER as u8 / 4) << 4;
    match TcpHeaderSlice::from_slice(&fixed) {
        Ok(header) if (TCP_HEADER..=ip.wire_len).contains(&header_len) => {
            if header_len < ip.wire_len {
                report_cut(packet.frame, 0, ip.wire_len - header_len, problems);
            }
            Some(segment(packet, ip, &header, header_len))
        }
        _ => refuse(packet, &BROKEN_TCP, problems),
    }
}

/// The segment of a header that is no longer than its packet.
/// Inlined also where [`tcp`] uses it: as a call it wrote the segment twice.
#[inline(always)]
fn segment<'a, A: Into<IpAddr> + Copy>(
    packet: &Packet<'a>,
    ip: &Ip<'a, A>,
    header: &TcpHeaderSlice<'_>,
    header_len: usize,
) -> Segment<'a> {
    let before = position_in(packet, ip.payload);
    let flags = TcpFlags(header.slice()[13]);
    Segment {
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
        passage: passage(packet),
        is_icmp_error: false,
        payload: ip.payload.get(header_len..).unwrap_or_default(),
        wire_len: (ip.wire_len - header_len) as u32,
        file_offset: packet.file_offset + (before + header_len) as u64,
    }
}

#[cold]
fn report_cut(frame: u32, held: usize, whole: usize, problems: &mut impl Problems) {
    problems
        .report(ProblemKind::CutPacket, format_args!("packet {frame} holds {held} of {whole} payload bytes"));
}

/// Says why a packet gives no segment, where that is a problem.
#[cold]
fn refuse<'a>(packet: &Packet<'_>, reason: &NoSegment, problems: &mut impl Problems) -> Option<Segment<'a>> {
    let frame = packet.frame;
    if let Some(form) = link::of_another_type(packet) {
        let link_type = packet.link_type;
        problems.report(
            ProblemKind::UnsupportedLinkType,
            format_args!(
                "packets that the file says are {link_type} look like {form}, and are not decoded: its link type may be \
                 wrong (first: packet {frame})"
            ),
        );
        return None;
    }
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
