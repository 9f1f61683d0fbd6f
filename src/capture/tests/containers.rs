//! Sound files of every container.

use std::io::{self, Read};

use super::*;

#[test]
fn reads_every_container_and_byte_order() {
    let base = PcapBuilder::new;
    let all = [
        (base(), "pcap"),
        (base().big_endian(), "pcap"),
        (base().nanos(), "pcap"),
        (base().nanos().big_endian(), "pcap"),
        (base().pcapng(), "pcapng"),
        (base().pcapng().big_endian(), "pcapng"),
        (base().pcapng().nanos(), "pcapng"),
        (base().pcapng().nanos().big_endian(), "pcapng"),
    ];
    for (mut file, format) in all {
        fill(&mut file, false);
        let bytes = file.build();
        let (seen, info) = read(&bytes);
        assert_eq!(info.problems, [], "{file:?}");
        assert_eq!(
            (info.format.as_str(), info.packets, info.link_types.as_slice()),
            (format, 4, &["EN10MB".to_owned()][..])
        );
        assert_eq!((info.first, info.last), (Some(CaptureTime(AT)), Some(CaptureTime(AT + 5_000))));
        assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let (_, at, src, seq, payload, wire_len, offset) = &seen[3];
        assert_eq!((*at, src.to_string(), *seq), (AT + 5_000, "10.0.0.1:40000".to_owned(), 1_001));
        assert_eq!((payload.as_slice(), *wire_len as usize), (GET, GET.len()));
        assert_eq!(&bytes[*offset as usize..][..GET.len()], GET);
    }
}

/// A pcapng block body of little-endian numbers and bytes.
fn body(fields: &[u32], rest: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    body.extend_from_slice(rest);
    body.resize(body.len().next_multiple_of(4), 0);
    body
}

/// The body of an interface description: link type, and options by code and value.
fn interface(link_type: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut all = Vec::new();
    for (code, value) in options {
        all.extend_from_slice(&code.to_le_bytes());
        all.extend_from_slice(&(value.len() as u16).to_le_bytes());
        all.extend_from_slice(value);
        all.resize(all.len().next_multiple_of(4), 0);
    }
    body(&[link_type, 0], &all)
}

fn times(file: &PcapBuilder) -> Vec<i64> {
    let mut reader = Reader::new(Cursor::new(file.build()), None).unwrap();
    let mut log = ProblemLog::default();
    let mut times = Vec::new();
    while let Some(packet) = reader.next_packet(&mut log) {
        times.push(packet.at.0);
    }
    // Some of the times are zero.
    assert!(log.into_problems().iter().all(|problem| problem.kind == ProblemKind::TimeMissing));
    times
}

#[test]
fn timestamps_follow_the_resolution_and_offset_of_their_interface() {
    type Options<'a> = &'a [(u16, &'a [u8])];
    let cases: [(Options<'_>, u64, i64); 9] = [
        (&[], 1_500_000, 1_500_000_000),
        (&[(9, &[9])], 1_500_000, 1_500_000),
        (&[(9, &[0])], 7, 7_000_000_000),
        (&[(9, &[12])], 1_500_000, 1_500),
        (&[(9, &[100])], 5, 0),
        (&[(9, &[0x80 | 10])], 1_536, 1_500_000_000),
        (&[(9, &[0x80 | 32])], 3 << 31, 1_500_000_000),
        (&[(9, &[0xFF])], u64::MAX, 0),
        (&[(9, &[3]), (14, &(-2_i64).to_le_bytes())], 5_000, 3_000_000_000),
    ];
    for (options, ticks, expected) in cases {
        // Options that pcap-file refuses come first: a time zone of four bytes, a name that is not UTF-8.
        let options = [&[(10, &[0, 0, 0, 0][..]), (2, &[0xFF, 0xFE])], options].concat();
        let mut file = PcapBuilder::new().pcapng();
        file.block(1, &interface(1, &options));
        file.block(6, &body(&[1, (ticks >> 32) as u32, ticks as u32, 2, 2], b"ab"));
        assert_eq!(times(&file), [expected], "{options:02x?}");
    }
}

#[test]
fn all_kinds_of_packet_blocks_are_read_and_other_blocks_passed() {
    let mut file = PcapBuilder::new().pcapng();
    file.packet(2_000, b"first");
    file.block(0x0BAD, &[0; 64]).block(5, &[0; 12]).block(4, &[0; 4]);
    file.block(3, &body(&[7], b"simple!"));
    file.block(2, &body(&[0x0003_0000, 0, 9, 4, 90], b"older"));
    file.block(0x0BAD, &vec![0; 700_000]);
    file.packet(11_000, b"last");
    let bytes = file.build();
    let mut reader = Reader::new(Cursor::new(bytes.clone()), None).unwrap();
    let mut log = ProblemLog::default();
    let mut seen = Vec::new();
    while let Some(packet) = reader.next_packet(&mut log) {
        let offset = packet.file_offset as usize;
        assert_eq!(&bytes[offset..offset + packet.data.len()], packet.data);
        seen.push((packet.frame, packet.at.0, packet.data.to_vec(), packet.wire_len));
    }
    // A simple packet has no time of its own, and takes that of the packet before. Custom blocks have numbers too.
    let expected: [(u32, i64, &[u8], u32); 4] = [
        (1, 2_000, b"first", 5),
        (3, 2_000, b"simple!", 7),
        (4, 9_000, b"olde", 90),
        (6, 11_000, b"last", 4),
    ];
    assert_eq!(seen, expected.map(|(frame, at, data, len)| (frame, at, data.to_vec(), len)));
    let problems = log.into_problems();
    let found: Vec<_> = problems.iter().map(|problem| (problem.kind, problem.count)).collect();
    assert_eq!(found, [(ProblemKind::TimeMissing, 1), (ProblemKind::DroppedPackets, 3)]);
    assert_eq!(reader.position(), bytes.len() as u64);
}

#[test]
fn sections_have_interfaces_and_a_byte_order_of_their_own() {
    let mut file = PcapBuilder::new().pcapng();
    fill(&mut file, false);
    let mut second = PcapBuilder::new().pcapng().big_endian().nanos().link_type(LinkType::LINUX_SLL2);
    fill(&mut second, true);
    file.raw(&second.build());
    let (seen, info) = read(&file.build());
    assert_eq!(
        (info.link_types.as_slice(), seen.len()),
        (&["EN10MB".to_owned(), "LINUX_SLL2".to_owned()][..], 8)
    );
    assert_eq!((seen[7].1, seen[7].4.as_slice()), (AT + 5_000, GET));
    assert_eq!(kinds(&info), [(ProblemKind::TimeBackwards, 1)]);
}

/// Gives a byte or a few at a time, as a pipe may.
struct Drip(Cursor<Vec<u8>>);

impl Read for Drip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let few = into.len().min(1 + self.0.position() as usize % 7);
        self.0.read(&mut into[..few])
    }
}

#[test]
fn packets_across_the_ends_of_reads_stay_whole() {
    for base in [PcapBuilder::new(), PcapBuilder::new().pcapng()] {
        let mut file = base.link_type(LinkType::RAW);
        let mut talk = Conversation::new("10.0.0.1:40000", "10.0.0.2:80");
        let payload: Vec<u8> = (0..60_000_u32).map(|i| (i % 251) as u8).collect();
        for i in 0..40 {
            talk.client(&mut file, AT + i, &payload[..1_000 + 1_401 * i as usize]);
        }
        let bytes = file.build();
        let (seen, info) = read(&bytes);
        assert_eq!((seen.len(), kinds(&info)), (40, vec![]));
        for (i, (.., data, _, offset)) in seen.iter().enumerate() {
            assert_eq!(data, &payload[..1_000 + 1_401 * i]);
            assert_eq!(data, &bytes[*offset as usize..][..data.len()]);
        }
        let mut slow = Reader::new(Drip(Cursor::new(bytes)), None).unwrap();
        let mut log = ProblemLog::default();
        let mut count = 0;
        while let Some(packet) = slow.next_packet(&mut log) {
            assert_eq!(packet.file_offset + 40, seen[count].6);
            count += 1;
        }
        assert_eq!((count, log.into_problems()), (40, vec![]));
    }
}

#[test]
fn a_packet_larger_than_the_buffer_is_read_whole() {
    let large: Vec<u8> = (0..900_000_u32).map(|i| (i % 253) as u8).collect();
    for base in [PcapBuilder::new().snap_len(1 << 20), PcapBuilder::new().pcapng().snap_len(1 << 20)] {
        let mut file = base;
        file.packet(1_000, b"small").packet(2_000, &large).packet(3_000, b"small again");
        let mut reader = Reader::new(Cursor::new(file.build()), None).unwrap();
        let mut log = ProblemLog::default();
        let mut lengths = Vec::new();
        while let Some(packet) = reader.next_packet(&mut log) {
            lengths.push(packet.data.len());
            assert!(packet.data.len() < 100 || packet.data == large);
        }
        assert_eq!((lengths, log.into_problems()), (vec![5, 900_000, 11], vec![]));
    }
}

/// pcap-file's own writer as a second opinion on the format.
#[test]
fn reads_what_pcap_file_writes() {
    use pcap_file::pcapng::PcapNgWriter;
    use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
    use pcap_file::pcapng::blocks::interface_description::{
        InterfaceDescriptionBlock, InterfaceDescriptionOption,
    };
    let mut writer = PcapNgWriter::new(Vec::new()).unwrap();
    let mut interface = InterfaceDescriptionBlock::new(pcap_file::DataLink::LINUX_SLL2, 65_535);
    interface.options.push(InterfaceDescriptionOption::IfName("any".into()));
    interface.options.push(InterfaceDescriptionOption::IfTsResol(9));
    writer.write_pcapng_block(interface).unwrap();
    for i in 0..5_u8 {
        let packet = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: std::time::Duration::from_nanos(1_000 + u64::from(i)),
            original_len: 100,
            data: vec![i; usize::from(i)].into(),
            options: vec![EnhancedPacketOption::Comment("note".into())],
        };
        writer.write_pcapng_block(packet).unwrap();
    }
    let mut reader = Reader::new(Cursor::new(writer.into_inner()), None).unwrap();
    let mut log = ProblemLog::default();
    let mut count = 0_u8;
    while let Some(packet) = reader.next_packet(&mut log) {
        assert_eq!(packet.data, vec![count; usize::from(count)]);
        assert_eq!((packet.at.0, packet.wire_len), (1_000 + i64::from(count), 100));
        count += 1;
    }
    assert_eq!((count, reader.info().link_types), (5, vec!["LINUX_SLL2".to_owned()]));
    assert_eq!(log.into_problems(), []);
}
