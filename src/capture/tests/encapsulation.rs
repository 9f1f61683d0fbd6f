//! The same segments in every wrapping, and nothing out of what only looks like one.

use proptest::prelude::*;

use crate::capture::testing::ip_packet;
use crate::capture::wrapping::{Wrap, ethernet, ipv4, ipv6, udp};

use super::*;

fn tcp_packet(v6: bool, payload: &[u8]) -> Vec<u8> {
    let ends = if v6 { ("[fd00::1]:40000", "[fd00::2]:80") } else { ("10.0.0.1:40000", "10.0.0.2:80") };
    ip_packet(ends.0.parse().unwrap(), ends.1.parse().unwrap(), (7, 9), TcpFlags::ACK, payload)
}

fn read_frame(link: LinkType, frame: &[u8]) -> (Vec<Seen>, CaptureInfo) {
    let file = PcapBuilder::new().link_type(link).packet(AT, frame).build();
    let (seen, info) = read(&file);
    // A header cut in its options has no payload, and no place for it.
    for segment in seen.iter().filter(|segment| !segment.4.is_empty()) {
        assert_eq!(&file[segment.6 as usize..][..segment.4.len()], segment.4);
    }
    (seen, info)
}

/// Addresses, sequence number, payload and its length on the wire: what must not depend on the wrapping.
fn essence(seen: &[Seen]) -> Vec<(SocketAddr, u32, Vec<u8>, u32)> {
    seen.iter().map(|s| (s.2, s.3, s.4.clone(), s.5)).collect()
}

#[test]
fn every_wrapping_gives_the_segment_and_its_place() {
    for v6 in [false, true] {
        let packet = tcp_packet(v6, GET);
        let (bare, _) = read_frame(LinkType::RAW, &packet);
        assert_eq!(bare.len(), 1);
        for wrap in Wrap::ALL {
            let frame = wrap.frame(&packet);
            let (seen, info) = read_frame(LinkType::EN10MB, &frame);
            assert_eq!(essence(&seen), essence(&bare), "{wrap:?} {v6} {:?}", info.problems);
            assert_eq!(info.problems, []);
            // Cut inside the payload by the snap length.
            let mut cut = PcapBuilder::new().snap_len(frame.len() - 5);
            let (seen, info) = read(&cut.packet(AT, &frame).build());
            assert_eq!(kinds(&info), [(ProblemKind::CutPacket, 1)], "{wrap:?}");
            assert_eq!((seen[0].4.len(), seen[0].5 as usize), (GET.len() - 5, GET.len()), "{wrap:?}");
        }
    }
}

#[test]
fn unusual_links_lead_to_ip() {
    let packet = tcp_packet(false, GET);
    let pktap = [&12_u32.to_le_bytes()[..], &1_u32.to_le_bytes(), &1_u32.to_le_bytes()].concat();
    let nflog = [&[2, 0, 0, 1][..], &[8, 0, 1, 0, 0, 0, 0, 0], &[(packet.len() + 4) as u8, 0, 9, 0]].concat();
    let frame = |control: u8, flags: u8, more: &[u8]| {
        [&[control, flags][..], &[0; 22], more, &[0xAA, 0xAA, 3, 0, 0, 0, 8, 0]].concat()
    };
    let cases: [(LinkType, Vec<u8>); 19] = [
        (LinkType::PPP, vec![0xFF, 3, 0, 0x21]),
        (LinkType::PPP, vec![0x21]),
        (LinkType::PPP_SERIAL, vec![0x0F, 0, 8, 0]),
        (LinkType::PPP_PPPD, vec![1, 0xFF, 3, 0, 0x21]),
        (LinkType::PPP_WITH_DIR, vec![0, 0, 0x21]),
        (
            LinkType::PPP_ETHER,
            [&[0x11, 0, 0, 1][..], &(packet.len() as u16 + 2).to_be_bytes(), &[0, 0x21]].concat(),
        ),
        (LinkType::C_HDLC, vec![0x0F, 0, 8, 0]),
        (LinkType::MPLS, vec![0, 1, 1, 64]),
        (LinkType::ENC, vec![2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (LinkType::PFLOG, [&[61][..], &[0; 63]].concat()),
        (LinkType::NFLOG, nflog),
        (LinkType::PKTAP, [pktap, ethernet([8, 0], &[])].concat()),
        (LinkType::PPI, vec![0, 0, 8, 0, 101, 0, 0, 0]),
        (LinkType::IEEE802_11, frame(0x08, 0x01, &[])),
        // Four addresses, quality of service with more control, a padded header.
        (LinkType::IEEE802_11, frame(0x88, 0x83, &[0; 6 + 2 + 4])),
        (LinkType::IEEE802_11, frame(0x88, 0x02, &[0; 2 + 2])),
        (LinkType::IEEE802_11_RADIO, [&[0, 0, 9, 0, 2, 0, 0, 0, 0][..], &frame(0x08, 0x02, &[])].concat()),
        (
            LinkType::PRISM_HEADER,
            [&[0, 0, 0, 0x44, 12, 0, 0, 0][..], &[0; 4], &frame(0x08, 0x01, &[])].concat(),
        ),
        (
            LinkType::IEEE802_11_RADIO_AVS,
            [&[0x80, 0x21, 0x10, 1, 0, 0, 0, 12][..], &[0; 4], &frame(0x08, 0x01, &[])].concat(),
        ),
    ];
    for (link, header) in cases {
        let (seen, info) = read_frame(link, &[header, packet.clone()].concat());
        assert_eq!(seen.len(), 1, "{link} {:?}", info.problems);
        assert_eq!((seen[0].4.as_slice(), info.problems.len()), (GET, 0), "{link}");
    }
    // A beacon, an encrypted frame, one without content, and several in one.
    for other in
        [frame(0x80, 0, &[]), frame(0x08, 0x41, &[]), frame(0x48, 1, &[]), frame(0x88, 1, &[0x80, 0])]
    {
        let (seen, info) = read_frame(LinkType::IEEE802_11, &[other, packet.clone()].concat());
        assert_eq!((seen.len(), info.problems.len()), (0, 0));
    }
    // A cooked capture of IEEE 802.2.
    let cooked = [&[0; 14][..], &[0, 4], &[0xAA, 0xAA, 3, 0, 0, 0, 8, 0], &packet].concat();
    assert_eq!(read_frame(LinkType::LINUX_SLL, &cooked).0.len(), 1);
}

#[test]
fn nesting_ends_at_a_limit_that_is_reported() {
    let mut packet = tcp_packet(false, GET);
    for depth in 1..=12 {
        packet = if depth % 2 == 0 { ipv4(4, &[&packet]) } else { ipv6(4, &[&packet]) };
        if depth % 2 == 1 {
            packet = ipv4(41, &[&packet]);
        }
        let (seen, info) = read_frame(LinkType::RAW, &packet);
        let layers = depth + (depth + 1) / 2;
        let expected = if layers <= 8 { (1, vec![]) } else { (0, vec![(ProblemKind::LimitReached, 1)]) };
        assert_eq!((seen.len(), kinds(&info)), expected, "{layers}");
    }
}

#[test]
fn udp_that_only_resembles_a_tunnel_gives_nothing() {
    let inner = ethernet([8, 0], &[&tcp_packet(false, GET)]);
    let vxlan = [8, 0, 0, 0, 0, 0, 7, 0];
    let mut bad_checksum = inner.clone();
    bad_checksum[14 + 10] ^= 1;
    let mut other_flags = vxlan;
    other_flags[0] = 0x0A;
    let cases = [
        udp(9_999, &[&other_flags, &inner]),
        udp(9_999, &[&vxlan, &bad_checksum]),
        udp(9_999, &[&vxlan, &inner, b"more"]),
        udp(9_999, &[&inner]),
        udp(53, &[&tcp_packet(false, GET)]),
        udp(2152, &[&[0x30, 255, 0, 99, 0, 0, 0, 1], &tcp_packet(false, GET)]),
        udp(6081, &[&[0, 0, 0x65, 0x58, 0, 0, 7, 1], &inner]),
        udp(4789, &[&vxlan, &[0x55; 60]]),
    ];
    for datagram in cases {
        let (seen, info) = read_frame(LinkType::RAW, &ipv4(17, &[&datagram]));
        assert_eq!((seen.len(), info.problems.len()), (0, 0), "{datagram:02x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Wrapping in wrapping, with Ethernet taken off between them, gives the same segment.
    #[test]
    fn wrappings_nest(
        first in 0..Wrap::ALL.len(),
        second in 7..Wrap::ALL.len(),
        v6: bool,
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let packet = tcp_packet(v6, &payload);
        // From the seventh on the outer packet is IP.
        let within = Wrap::ALL[second].frame(&packet).split_off(14);
        let (bare, _) = read_frame(LinkType::RAW, &packet);
        let (seen, info) = read_frame(LinkType::EN10MB, &Wrap::ALL[first].frame(&within));
        prop_assert_eq!(essence(&seen), essence(&bare));
        prop_assert_eq!(info.problems, []);
    }

    /// Damage never panics, and what is said of payloads stays true of the file.
    #[test]
    fn damaged_wrappings_end(
        wrap in 0..Wrap::ALL.len(),
        v6: bool,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = Wrap::ALL[wrap].frame(&tcp_packet(v6, GET));
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        read_frame(LinkType::EN10MB, &frame);
        read_frame(LinkType::EN10MB, &frame[..cut.index(frame.len())]);
    }
}
