//! Packets of every link type and header, whole, cut and broken.

use crate::capture::testing::ip_packet;

use super::*;

#[test]
fn decodes_every_link_type() {
    let both = [
        LinkType::EN10MB,
        LinkType::LINUX_SLL,
        LinkType::LINUX_SLL2,
        LinkType::RAW,
        LinkType::DLT_RAW,
        LinkType::DLT_RAW_OPENBSD,
        LinkType::NULL,
        LinkType::LOOP,
    ];
    let cases = both.iter().flat_map(|link| [(*link, false), (*link, true)]);
    for (link, v6) in cases.chain([(LinkType::IPV4, false), (LinkType::IPV6, true)]) {
        for base in [PcapBuilder::new(), PcapBuilder::new().big_endian()] {
            let mut file = base.link_type(link);
            fill(&mut file, v6);
            let bytes = file.build();
            let (seen, info) = read(&bytes);
            assert_eq!((info.problems.as_slice(), seen.len()), (&[][..], 4), "{link} v6: {v6}");
            let (.., payload, _, offset) = &seen[3];
            assert_eq!(payload, GET);
            assert_eq!(&bytes[*offset as usize..][..GET.len()], GET);
            assert_eq!(info.link_types, [link.to_string()]);
        }
    }
}

#[test]
fn packets_of_another_link_type_than_the_file_says_are_named() {
    let ends = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    let ip = ip_packet(ends.0, ends.1, (1, 1), TcpFlags::ACK, GET);
    let ethernet = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &ip].concat();
    let cooked = [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..], &ip].concat();
    for (says, packet, like) in [
        (LinkType::IEEE802_11, &ethernet, "Ethernet frames"),
        (LinkType(147), &ethernet, "Ethernet frames"),
        (LinkType::NULL, &ethernet, "Ethernet frames"),
        (LinkType::EN10MB, &cooked, "Linux's cooked packets"),
        (LinkType::EN10MB, &ip, "bare IP packets"),
    ] {
        let (seen, info) = read(&PcapBuilder::new().link_type(says).packet(AT, packet).build());
        assert_eq!(seen, []);
        assert_eq!(kinds(&info), [(ProblemKind::UnsupportedLinkType, 1)], "{says}");
        assert!(info.problems[0].detail.contains(&format!("look like {like}, ")), "{:?}", info.problems);
    }
    let arp = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6][..], &[0; 46]].concat();
    assert_eq!(read(&PcapBuilder::new().packet(AT, &arp).build()).1.problems, []);
}

#[test]
fn a_vlan_tag_or_two_are_passed() {
    let ends = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    let ip = ip_packet(ends.0, ends.1, (1, 1), TcpFlags::ACK, GET);
    let macs = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    let tags: [&[u8]; 3] = [
        &[0x81, 0x00, 0x00, 0x05],
        &[0x88, 0xA8, 0x00, 0x07, 0x81, 0x00, 0x00, 0x05],
        &[0x91, 0x00, 0x00, 0x07, 0x81, 0x00, 0x00, 0x05],
    ];
    for tag in tags {
        let frame = [&macs, tag, &[0x08, 0x00], &ip].concat();
        let bytes = PcapBuilder::new().packet(AT, &frame).build();
        let (seen, info) = read(&bytes);
        assert_eq!((info.problems.as_slice(), seen.len()), (&[][..], 1), "{tag:02x?}");
        assert_eq!(&bytes[seen[0].6 as usize..], GET);
    }
    let endless = [&macs[..], &[0x81, 0x00, 0x00, 0x05].repeat(40), &[0x08, 0x00], &ip].concat();
    assert_eq!(read(&PcapBuilder::new().packet(AT, &endless).build()).0, []);
}

/// A file of one raw IP packet.
fn raw_ip(packet: &[u8]) -> (Vec<Seen>, CaptureInfo) {
    read(&PcapBuilder::new().link_type(LinkType::RAW).packet(AT, packet).build())
}

fn v4_packet(payload: &[u8]) -> Vec<u8> {
    let ends = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    ip_packet(ends.0, ends.1, (7, 9), TcpFlags::ACK | TcpFlags::FIN, payload)
}

fn v6_packet(payload: &[u8]) -> Vec<u8> {
    let ends = ("[fd00::1]:40000".parse().unwrap(), "[fd00::2]:80".parse().unwrap());
    ip_packet(ends.0, ends.1, (7, 9), TcpFlags::ACK, payload)
}

/// Puts an extension header between IPv6 and TCP.
fn with_extension(mut packet: Vec<u8>, number: u8, extension: &[u8]) -> Vec<u8> {
    packet[6] = number;
    let len = u16::from_be_bytes([packet[4], packet[5]]) + extension.len() as u16;
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet.splice(40..40, extension.iter().copied());
    packet
}

#[test]
fn ethernet_padding_is_no_payload() {
    let padded = [v4_packet(b"x"), vec![0; 30]].concat();
    let (seen, info) = raw_ip(&padded);
    assert_eq!((seen[0].4.as_slice(), seen[0].5, kinds(&info)), (&b"x"[..], 1, vec![]));
    let padded = [v6_packet(b""), vec![0; 30]].concat();
    assert_eq!((raw_ip(&padded).0[0].4.len(), raw_ip(&padded).0[0].5), (0, 0));
}

#[test]
fn an_ip_length_left_to_the_network_card_ends_with_the_packet() {
    let mut packet = v4_packet(GET);
    packet[2..4].fill(0);
    assert_eq!(raw_ip(&packet).0[0].4, GET);
    let mut packet = v6_packet(GET);
    packet[4..6].fill(0);
    assert_eq!(raw_ip(&packet).0[0].4, GET);
}

#[test]
fn headers_with_options_are_passed() {
    let mut packet = v4_packet(GET);
    packet[0] = 0x46;
    let len = packet.len() as u16 + 4;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet.splice(20..20, [1, 1, 1, 0]);
    assert_eq!(raw_ip(&packet).0[0].4, GET);
    // A destination option of eight bytes, padding only.
    let packet = with_extension(v6_packet(GET), 60, &[6, 0, 1, 4, 0, 0, 0, 0]);
    let (seen, info) = raw_ip(&packet);
    assert_eq!((seen[0].4.as_slice(), seen[0].5 as usize, kinds(&info)), (GET, GET.len(), vec![]));
    // And cut inside the payload behind it.
    let mut file = PcapBuilder::new().link_type(LinkType::RAW).snap_len(40 + 8 + 20 + 5);
    let (seen, info) = read(&file.packet(AT, &packet).build());
    assert_eq!((seen[0].4.as_slice(), seen[0].5 as usize), (&GET[..5], GET.len()));
    assert_eq!(kinds(&info), [(ProblemKind::CutPacket, 1)]);
}

#[test]
fn packets_cut_by_the_snap_length_keep_their_length_on_the_wire() {
    for snap_len in [54, 60] {
        let mut file = PcapBuilder::new().snap_len(snap_len);
        fill(&mut file, false);
        let (seen, info) = read(&file.build());
        assert_eq!((seen.len(), seen[3].4.len(), seen[3].5 as usize), (4, snap_len - 54, GET.len()));
        assert_eq!(kinds(&info), [(ProblemKind::CutPacket, 1)]);
        assert!(info.problems[0].detail.contains("packet 4"), "{:?}", info.problems);
    }
}

#[test]
fn a_tcp_header_cut_in_its_options_still_gives_its_numbers() {
    let mut packet = v4_packet(GET);
    packet[32] = 0x80;
    let len = packet.len() as u16 + 12;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet.splice(40..40, [1; 12]);
    assert_eq!(raw_ip(&packet).0[0].4, GET);
    let mut file = PcapBuilder::new().link_type(LinkType::RAW).snap_len(44);
    let (seen, info) = read(&file.packet(AT, &packet).build());
    assert_eq!((seen[0].3, seen[0].4.len(), seen[0].5 as usize), (7, 0, GET.len()));
    assert_eq!(kinds(&info), [(ProblemKind::CutPacket, 1)]);
}

#[test]
fn an_ipv6_fragment_header_of_a_whole_packet_is_passed() {
    let (seen, info) = raw_ip(&with_extension(v6_packet(GET), 44, &[6, 0, 0, 0, 0, 0, 0, 9]));
    assert_eq!((seen.len(), kinds(&info)), (1, vec![]));
}

#[test]
fn other_protocols_are_passed_in_silence_and_broken_headers_are_not() {
    let mut udp = v4_packet(b"");
    udp[9] = 17;
    let mut bad_offset = v4_packet(b"");
    bad_offset[32] = 0x40;
    let mut long_offset = v4_packet(b"");
    long_offset[32] = 0xF0;
    let mut short_total = v4_packet(b"");
    short_total[3] = 8;
    let mut cases = vec![(udp, 0)];
    cases.extend(
        [bad_offset, long_offset, short_total, vec![0x45; 10], vec![0x00; 60], vec![]].map(|p| (p, 1)),
    );
    for (packet, problems) in cases {
        let (seen, info) = raw_ip(&packet);
        let found: u64 = info.problems.iter().map(|p| p.count).sum();
        assert_eq!((seen.len(), found), (0, problems), "{packet:02x?} {:?}", info.problems);
    }
    let arp = [&[0xFF; 6][..], &[2; 6], &[0x08, 0x06], &[0; 28]].concat();
    let spanning_tree = [&[1, 0x80, 0xC2, 0, 0, 0][..], &[2; 6], &[0, 38], &[0x42; 38]].concat();
    for frame in [arp, spanning_tree] {
        let (seen, info) = read(&PcapBuilder::new().packet(AT, &frame).build());
        assert_eq!((seen.len(), info.problems.len(), info.packets), (0, 0, 1));
    }
}

#[test]
fn an_unknown_link_type_is_said_once_with_its_count() {
    let mut file = PcapBuilder::new().link_type(LinkType(189));
    file.packet(AT, &[0; 40]).packet(AT, &[0; 40]);
    let (seen, info) = read(&file.build());
    assert_eq!((seen.len(), info.link_types.as_slice()), (0, &["USB_LINUX".to_owned()][..]));
    assert_eq!(kinds(&info), [(ProblemKind::UnsupportedLinkType, 2)]);
    assert!(info.problems[0].detail.contains("USB_LINUX"));
}

#[test]
fn a_cooked_packet_tells_whether_its_machine_sent_it() {
    let ends = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    let ip = ip_packet(ends.0, ends.1, (1, 1), TcpFlags::ACK, GET);
    let sll = |kind| [&[0, kind, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], &ip[..]].concat();
    let sll2 = |kind| [&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, kind, 6, 2, 0, 0, 0, 0, 1, 0, 0], &ip[..]].concat();
    let passage = |link_type, data: &[u8]| {
        let packet = Packet {
            frame: 1,
            at: CaptureTime(0),
            link_type,
            data,
            wire_len: data.len() as u32,
            file_offset: 0,
        };
        Decoder::default().segment(&packet, &mut ProblemLog::default()).map(|segment| segment.passage)
    };
    for (kind, expected) in [(0, Passage::IN), (3, Passage::IN), (4, Passage::OUT)] {
        assert_eq!(passage(LinkType::LINUX_SLL, &sll(kind)), Some(expected));
        assert_eq!(passage(LinkType::LINUX_SLL2, &sll2(kind)), Some(expected));
    }
    assert_eq!(passage(LinkType::RAW, &ip), Some(Passage::UNKNOWN));
}
