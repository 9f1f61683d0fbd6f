//! pcap as old and odd tools wrote it, and data that are broken in the middle.

use super::*;

/// A little-endian pcap of any magic number and version, with records of the given fields.
fn pcap(magic: u32, version: (u16, u16), link: u32, extra: &[u8], records: &[(Vec<u32>, &[u8])]) -> Vec<u8> {
    let mut file = magic.to_le_bytes().to_vec();
    file.extend_from_slice(&version.0.to_le_bytes());
    file.extend_from_slice(&version.1.to_le_bytes());
    for field in [0, 0, 65_535, link] {
        file.extend_from_slice(&field.to_le_bytes());
    }
    file.extend_from_slice(extra);
    for (fields, data) in records {
        file.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
        file.extend_from_slice(data);
    }
    file
}

/// Time, link type and bytes of a packet.
type Found = (i64, u16, Vec<u8>);

fn packets(file: &[u8]) -> (Vec<Found>, Vec<Problem>) {
    let mut reader = Reader::new(Cursor::new(file.to_vec()), None).unwrap();
    let mut log = ProblemLog::default();
    let mut all = Vec::new();
    while let Some(packet) = reader.next_packet(&mut log) {
        assert_eq!(&file[packet.file_offset as usize..][..packet.data.len()], packet.data);
        all.push((packet.at.0, packet.link_type.0, packet.data.to_vec()));
    }
    (all, log.into_problems())
}

#[test]
fn variants_of_pcap_are_told_apart() {
    const SECOND: u32 = 1_700_000_000;
    /// Magic number, version, link type; what is behind the file header; fields behind those of a record;
    /// nanoseconds a unit; whether the lengths are in the old order.
    type Case = (u32, (u16, u16), u32, &'static [u8], usize, i64, bool);
    let cases: [Case; 9] = [
        (0xA1B2_C3D4, (2, 4), 1, &[], 0, 1_000, false),
        (0xA1B2_CD34, (2, 4), 1, &[], 2, 1_000, false),
        (0xA1B2_CD34, (2, 4), 1, &[], 3, 1_000, false),
        (0xA1B2_C3D4, (2, 4), 1, &[], 2, 1_000, false),
        (0xA1B2_C3D4, (2, 4), 1, &[], 1, 1_000, false),
        (0x1C00_01AC, (2, 4), 1, &[9; 4], 0, 1, false),
        (0x1C00_01AB, (2, 4), 1, &[9; 4], 0, 1_000, false),
        (0xA1B2_C3D4, (2, 1), 1, &[], 0, 1_000, true),
        (0xA1B2_C3D4, (2, 2), 6, &[], 0, 1, false),
    ];
    for (magic, version, link, extra, more, unit, swapped) in cases {
        let record = |i: u32| {
            let lengths = if swapped { [90, 60] } else { [60, 90] };
            let mut fields = vec![SECOND + i, 500 + i, lengths[0], lengths[1]];
            fields.extend(std::iter::repeat_n(0x0008_0002, more));
            (fields, [i as u8; 60])
        };
        let records: Vec<_> = (1..6).map(record).collect();
        let records: Vec<(Vec<u32>, &[u8])> = records.iter().map(|(f, d)| (f.clone(), &d[..])).collect();
        let (all, problems) = packets(&pcap(magic, version, link, extra, &records));
        let expected: Vec<_> = (1..6_i64)
            .map(|i| ((i64::from(SECOND) + i) * 1_000_000_000 + (500 + i) * unit, 1, vec![i as u8; 60]))
            .collect();
        assert_eq!((all, problems.as_slice()), (expected, &[][..]), "{magic:x} {version:?} {more}");
    }
}

/// The whole packets of a sound file.
fn sound(base: PcapBuilder) -> PcapBuilder {
    let mut file = base;
    fill(&mut file, false);
    file
}

#[test]
fn zero_bytes_in_the_middle_are_passed_however_many() {
    for zeros in [64, 5_000, 3 << 20] {
        let mut file = sound(PcapBuilder::new().nanos());
        let at = file.build().len();
        file.raw(&vec![0; zeros]);
        let file = sound(file);
        let (seen, info) = read(&file.build());
        assert_eq!(kinds(&info)[0], (ProblemKind::BadRecord, 1), "{:?}", info.problems);
        assert!(info.problems[0].detail.contains(&format!("record at byte {at}) is all zero")));
        // The end of the zeros may be taken for the start of a record.
        assert!(seen.len() >= 7, "{zeros}: {}", seen.len());
    }
    let mut ends = sound(PcapBuilder::new());
    ends.raw(&vec![0; 3 << 20]);
    let (seen, info) = read(&ends.build());
    assert_eq!((seen.len(), kinds(&info)), (4, vec![(ProblemKind::BadRecord, 1)]));
}

#[test]
fn a_length_beyond_the_end_costs_one_packet_at_most() {
    let base = sound(PcapBuilder::new()).build().len();
    let mut file = sound(sound(PcapBuilder::new())).build();
    file[base + 8..base + 12].copy_from_slice(&200_000_u32.to_le_bytes());
    let (seen, info) = read(&file);
    assert_eq!(seen.len(), 8);
    let words = "claims 200000 bytes, more than the file has; taken for 54, as sound records go on 70 bytes";
    assert!(info.problems[0].detail.contains(words), "{:?}", info.problems);

    let mut file = sound(sound(PcapBuilder::new().pcapng())).build();
    let base = sound(PcapBuilder::new().pcapng()).build().len();
    file[base + 4..base + 8].copy_from_slice(&200_000_u32.to_le_bytes());
    let (seen, info) = read(&file);
    assert_eq!((seen.len(), info.problems[0].kind), (7, ProblemKind::BadRecord));
    assert!(info.problems[0].detail.contains(&format!("block at byte {base}")), "{:?}", info.problems);
}

#[test]
fn nonsense_between_blocks_is_passed() {
    for nonsense in [vec![0; 400], vec![0xEE; 401], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()] {
        let mut file = sound(PcapBuilder::new().pcapng());
        let file = sound(file.raw(&nonsense).clone());
        let (seen, info) = read(&file.build());
        assert_eq!(seen.len(), 8, "{:?}", info.problems);
        assert_eq!(kinds(&info)[0], (ProblemKind::BadRecord, 1));
        let words = format!("read on {} bytes behind its start", nonsense.len());
        assert!(info.problems[0].detail.contains(&words), "{:?}", info.problems);
    }
}

#[test]
fn packets_without_a_time_take_that_of_the_packet_before() {
    let mut file = PcapBuilder::new();
    for at in [0, AT, 0, AT + 1_000] {
        file.packet(at, b"x");
    }
    // Empty packets are packets.
    file.packet(AT + 2_000, b"");
    let (all, problems) = packets(&file.build());
    assert_eq!(all.iter().map(|p| p.0).collect::<Vec<_>>(), [0, AT, AT, AT + 1_000, AT + 2_000]);
    assert_eq!((problems.len(), problems[0].kind, problems[0].count), (1, ProblemKind::TimeMissing, 2));
    let (_, info) = read(&file.build());
    assert_eq!((info.first, info.last), (Some(CaptureTime(AT)), Some(CaptureTime(AT + 2_000))));
    let (_, info) = read(&PcapBuilder::new().packet(0, b"x").build());
    assert_eq!((info.packets, info.first, info.last), (1, None, None));
}
