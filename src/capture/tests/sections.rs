//! What pcapng files say beside their packets.

use super::*;

/// A pcapng block body of numbers in either byte order, and bytes.
fn body(big: bool, fields: &[u32], rest: &[u8]) -> Vec<u8> {
    let number = |field: &u32| if big { field.to_be_bytes() } else { field.to_le_bytes() };
    let mut body: Vec<u8> = fields.iter().flat_map(number).collect();
    body.extend_from_slice(rest);
    body.resize(body.len().next_multiple_of(4), 0);
    body
}

fn options(big: bool, all: &[(u16, &[u8])]) -> Vec<u8> {
    let number = |field: u16| if big { field.to_be_bytes() } else { field.to_le_bytes() };
    let mut bytes = Vec::new();
    for (code, value) in all {
        bytes.extend_from_slice(&number(*code));
        bytes.extend_from_slice(&number(value.len() as u16));
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn u64_bytes(big: bool, value: u64) -> [u8; 8] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

#[test]
fn comments_names_interfaces_and_drops_are_read() {
    for big in [false, true] {
        let mut file = PcapBuilder::new().pcapng();
        if big {
            file = file.big_endian();
        }
        let counters = |code: u16, value: u64| (code, u64_bytes(big, value));
        let interface =
            options(big, &[(2, b"eth0\0"), (3, b"uplink"), (15, b"virtio"), (1, b"the noisy one")]);
        // A link type and a reserved half.
        let link = if big { 0x0001_0000 } else { 1 };
        file.block(1, &[body(big, &[link, 0], &[]), interface].concat());
        let packet =
            |comments: &[(u16, &[u8])]| [body(big, &[1, 0, 9, 2, 2], b"ab"), options(big, comments)].concat();
        file.block(6, &packet(&[(1, b"PID: 7\nCmd: nginx"), (2, &[0; 4]), (1, b"second"), (0, b"")]));
        let lost = u64_bytes(big, 5);
        file.block(6, &packet(&[(4, &lost), (2988, b"\0\0\x7F\xFFof a vendor"), (9999, b"?")]));
        file.block(6, &packet(&[]));
        let names = options(
            big,
            &[
                (1, b"\x0a\0\0\x02app.shop\0app\0"),
                (2, &[&[0xFD, 0][..], &[0; 13], &[1], b"edge\0"].concat()),
                (1, b"\x0a\0\0\x02app\0"),
                (0, b""),
            ],
        );
        file.block(4, &names);
        for (received, dropped) in [(50_u64, 1_u64), (100, 3)] {
            let counts = [counters(4, received), counters(5, dropped), counters(7, 2), counters(6, 90)];
            let all: Vec<(u16, &[u8])> = counts.iter().map(|(code, value)| (*code, &value[..])).collect();
            file.block(5, &body(big, &[1, 0, 0], &options(big, &all)));
        }
        let (_, info) = read(&file.build());
        assert_eq!(info.packets, 3);
        assert_eq!(info.comments.of(1).collect::<Vec<_>>(), ["PID: 7\nCmd: nginx", "second"]);
        assert_eq!(info.comments.of(2).collect::<Vec<_>>(), ["of a vendor"]);
        assert_eq!(info.comments.of(3).count(), 0);
        let names: Vec<(String, &str)> =
            info.host_names.iter().map(|(address, name)| (address.to_string(), name.as_str())).collect();
        let expected = [("10.0.0.2", "app"), ("10.0.0.2", "app.shop"), ("fd00::1", "edge")];
        assert_eq!(names, expected.map(|(address, name)| (address.to_owned(), name)));
        let eth0 = &info.interfaces[1];
        assert_eq!((eth0.name.as_str(), eth0.description.as_str()), ("eth0", "uplink"));
        assert_eq!((eth0.hardware.as_str(), eth0.comment.as_str()), ("virtio", "the noisy one"));
        assert_eq!((eth0.received, eth0.accepted, eth0.dropped()), (Some(100), Some(90), 5));
        let drops = info.problems.iter().find(|p| p.kind == ProblemKind::DroppedPackets).unwrap();
        assert_eq!(drops.count, 5, "what packets say of the same loss is not added");
        assert_eq!(drops.detail, "interface eth0: 5 of 100 packets were lost while it was captured");
    }
}

#[test]
fn sections_say_how_they_were_made() {
    let mut section = body(false, &[0x1A2B_3C4D, 1, u32::MAX, u32::MAX], &[]);
    section.extend_from_slice(&options(
        false,
        &[(2, b"amd64"), (3, b"Linux 6.1"), (4, b"ptcpdump"), (1, b"x"), (1, b"y")],
    ));
    let mut file = PcapBuilder::new().pcapng();
    fill(&mut file, false);
    // Interface 0 of the second section is its own.
    file.block(0x0A0D_0D0A, &section).block(1, &body(false, &[101, 0], &options(false, &[(2, b"tun0")])));
    file.block(5, &body(false, &[0, 0, 0], &options(false, &[(7, &9_u64.to_le_bytes())])));
    let (_, info) = read(&file.build());
    let second = &info.sections[1];
    assert_eq!((second.hardware.as_str(), second.os.as_str()), ("amd64", "Linux 6.1"));
    assert_eq!((second.application.as_str(), second.comment.as_str()), ("ptcpdump", "x\ny"));
    let dropped: Vec<u64> = info.interfaces.iter().map(InterfaceInfo::dropped).collect();
    assert_eq!((dropped, info.interfaces[1].link_type.as_str()), (vec![0, 9], "RAW"));
    assert_eq!(kinds(&info), [(ProblemKind::DroppedPackets, 9)]);
}

#[test]
fn drops_that_only_packets_tell_of_are_reported() {
    let mut file = PcapBuilder::new().pcapng();
    // The obsolete block has room for sixteen bits; all of them set mean "not known".
    file.block(2, &body(false, &[0x0003_0000, 0, 9, 2, 2], b"ab"));
    file.block(2, &body(false, &[0xFFFF_0000, 0, 9, 2, 2], b"ab"));
    let (_, info) = read(&file.build());
    let drops = info.problems.iter().find(|p| p.kind == ProblemKind::DroppedPackets).unwrap();
    assert_eq!(drops.count, 3);
}

#[test]
fn blocks_that_wireshark_numbers_take_a_number() {
    let mut file = PcapBuilder::new().pcapng();
    file.packet(1_000, b"a").block(0x0BAD, b"\xd9\x7e\0\0abcd").packet(2_000, b"b");
    // A secret, an unknown block and statistics have none; a journal entry, a custom block and a system call do.
    file.block(10, &[0; 8]).block(0x777, b"abcd").block(5, &[0; 12]);
    file.block(9, b"MESSAGE=hello!!\n")
        .block(0x4000_0BAD, b"abcd")
        .block(0x204, &[0; 24])
        .packet(3_000, b"c");
    let mut reader = Reader::new(Cursor::new(file.build()), None).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet(&mut ProblemLog::default()) {
        frames.push(packet.frame);
    }
    assert_eq!((frames, reader.info().packets), (vec![1, 3, 7], 3));
}
