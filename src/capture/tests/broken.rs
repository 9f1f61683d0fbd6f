//! Files that are cut, damaged, or no captures at all.

use std::io::{self, Read};

use proptest::prelude::*;

use super::*;

fn open_error(file: &[u8]) -> CaptureError {
    match Reader::new(Cursor::new(file.to_vec()), None) {
        Ok(_) => panic!("opened {:02x?}", &file[..file.len().min(16)]),
        Err(error) => error,
    }
}

#[test]
fn says_what_a_file_is_that_is_no_capture() {
    assert_eq!(open_error(b"").kind(), ProblemKind::EmptyFile);
    assert_eq!(open_error(b"\xD4\xC3\xB2\xA1\x02\x00").kind(), ProblemKind::TruncatedFile);
    let no_order = [&b"\x0A\x0D\x0D\x0A"[..], &[7; 28]].concat();
    assert_eq!(open_error(&no_order).kind(), ProblemKind::BadRecord);
    let cases: [(&[u8], &str); 8] = [
        (b"\x7FELF\x02\x01", "a program"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b" \n{\"status\": 502}", "JSON"),
        (b"2026/01/02 03:04:05 [error] upstream prematurely closed", "text"),
        ("tcpdump: \u{fc}".as_bytes(), "tcpdump"),
        (&[0; 100], "zero bytes"),
        (b"\x01\x02\x03\x04\x05\x06\x07\x08\x09", "01 02 03 04 05 06 07 08"),
        (b"ab", "text"),
    ];
    for (file, expected) in cases {
        let error = open_error(file);
        assert_eq!(error.kind(), ProblemKind::NotACapture);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_missing_file_is_unreadable_and_a_folder_no_capture() {
    let dir = tempfile::tempdir().unwrap();
    let kind = |path: &std::path::Path| Reader::open(path).err().unwrap().kind();
    assert_eq!(kind(&dir.path().join("missing.pcap")), ProblemKind::Unreadable);
    assert_eq!(kind(dir.path()), ProblemKind::NotACapture);
}

#[test]
fn a_file_cut_anywhere_keeps_its_whole_packets() {
    for base in [PcapBuilder::new(), PcapBuilder::new().pcapng()] {
        let mut file = base;
        let header = file.build().len();
        let mut ends = Vec::new();
        for i in 1..4_i64 {
            file.packet(i * 1_000, &vec![i as u8; 20 * i as usize + 1]);
            ends.push(file.build().len());
        }
        let bytes = file.build();
        for cut in header..=bytes.len() {
            let (_, info) = read(&bytes[..cut]);
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            let clean = cut == header || ends.contains(&cut);
            let mut info = info;
            info.problems.retain(|p| p.kind != ProblemKind::UndecodablePacket);
            assert_eq!(info.packets, whole as u64);
            assert_eq!(info.problems.len(), usize::from(!clean), "cut at {cut}: {:?}", info.problems);
            if let Some(problem) = info.problems.first() {
                assert_eq!(problem.kind, ProblemKind::TruncatedFile);
                assert!(problem.detail.contains(&format!("packet {}", whole + 1)), "{}", problem.detail);
            }
        }
    }
}

#[test]
fn reading_goes_on_behind_a_record_with_a_length_beyond_reason() {
    for base in [PcapBuilder::new(), PcapBuilder::new().big_endian().nanos()] {
        let mut file = base;
        fill(&mut file, false);
        let broken_at = file.build().len() as u64;
        file.raw(&[0xEE; 100]);
        fill(&mut file, false);
        let (seen, info) = read(&file.build());
        assert_eq!(seen.len(), 8);
        assert_eq!(kinds(&info), [(ProblemKind::BadRecord, 1), (ProblemKind::TimeBackwards, 1)]);
        let detail = &info.problems[0].detail;
        assert!(detail.contains(&format!("packet 5 (record at byte {broken_at})")), "{detail}");
        assert!(detail.contains("100 bytes behind it"), "{detail}");
    }
}

#[test]
fn reading_stops_where_nothing_sound_follows() {
    let mut file = PcapBuilder::new();
    fill(&mut file, false);
    file.raw(&[0xEE; 3_000]);
    let (seen, info) = read(&file.build());
    assert_eq!((seen.len(), kinds(&info)), (4, vec![(ProblemKind::BadRecord, 1)]));
    let mut file = PcapBuilder::new().pcapng();
    fill(&mut file, false);
    file.raw(&[0; 3_000]);
    let (seen, info) = read(&file.build());
    assert_eq!((seen.len(), kinds(&info)), (4, vec![(ProblemKind::BadRecord, 1)]));
}

#[test]
fn broken_blocks_are_left_out_and_the_rest_is_read() {
    let field = |value: u32| value.to_le_bytes();
    let no_interface = [field(9), field(0), field(1), field(2), field(2), *b"ab\0\0"].concat();
    let too_long = [field(0), field(0), field(1), field(200), field(200), *b"ab\0\0"].concat();
    let mut file = PcapBuilder::new().pcapng();
    fill(&mut file, false);
    file.block(6, &no_interface).block(6, &too_long).block(6, b"abcd").block(3, b"").block(1, b"");
    let mut lengths_differ = PcapBuilder::new().pcapng();
    fill(&mut lengths_differ, false);
    let mut tail = lengths_differ.build();
    let len = tail.len();
    tail[len - 4] ^= 0x40;
    file.raw(&tail);
    let (seen, info) = read(&file.build());
    assert_eq!(seen.len(), 8);
    assert_eq!(kinds(&info), [(ProblemKind::BadRecord, 6), (ProblemKind::TimeBackwards, 1)]);
}

#[test]
fn time_running_backwards_is_counted() {
    let mut file = PcapBuilder::new().nanos();
    for at in [AT, AT + 10, AT + 9, AT + 9, AT - 1, AT + 20] {
        file.packet(at, &v4());
    }
    let (_, info) = read(&file.build());
    assert_eq!(kinds(&info), [(ProblemKind::TimeBackwards, 2)]);
    assert_eq!(info.problems[0].detail, "packet 3 is 1 ns earlier than the one before it");
    assert_eq!((info.first, info.last), (Some(CaptureTime(AT - 1)), Some(CaptureTime(AT + 20))));
}

fn v4() -> Vec<u8> {
    let mut file = PcapBuilder::new();
    let header = file.build().len();
    fill(&mut file, false);
    file.build()[header + 16..][..54].to_vec()
}

/// Gives some bytes and then an error.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::Error::other("the disk is gone")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_read_error_ends_the_file_and_keeps_what_was_read() {
    let mut file = PcapBuilder::new();
    fill(&mut file, false);
    let mut reader = Reader::new(Failing(Cursor::new(file.build())), None).unwrap();
    let mut log = ProblemLog::default();
    let mut count = 0;
    while reader.next_packet(&mut log).is_some() {
        count += 1;
    }
    assert!(reader.next_packet(&mut log).is_none());
    let problems = log.into_problems();
    assert_eq!((count, problems.len(), problems[0].kind), (4, 1, ProblemKind::Unreadable));
    assert!(
        problems[0].detail.contains("(4 packets were read before it)")
            && problems[0].detail.contains("the disk is gone")
    );
}

/// A sound file of eight packets.
fn sound(format: usize, link_type: u16, v6: bool) -> Vec<u8> {
    let base = PcapBuilder::new().link_type(LinkType(link_type));
    let base = if format & 1 == 0 { base } else { base.big_endian() };
    let mut file = match format / 2 {
        0 => base,
        1 => base.nanos(),
        2 => base.pcapng(),
        _ => base.pcapng().nanos(),
    };
    fill(&mut file, v6);
    fill(&mut file, v6);
    file.build()
}

/// Reads to the end; whatever is said of payloads must be true of the file.
fn survive(file: &[u8]) {
    let Ok(mut reader) = Reader::new(Cursor::new(file.to_vec()), None) else { return };
    let mut log = ProblemLog::default();
    let mut decoder = Decoder::default();
    let mut frame = 0;
    while let Some(packet) = reader.next_packet(&mut log) {
        // Damage may make a block of a packet that is numbered and holds none.
        assert!(packet.frame > frame);
        frame = packet.frame;
        assert!(packet.wire_len as usize >= packet.data.len());
        assert_eq!(&file[packet.file_offset as usize..][..packet.data.len()], packet.data);
        if let Some(segment) = decoder.segment(&packet, &mut log) {
            assert!(segment.wire_len as usize >= segment.payload.len());
            if !segment.payload.is_empty() {
                assert_eq!(&file[segment.file_offset as usize..][..segment.payload.len()], segment.payload);
            }
        }
    }
    assert!(reader.position() <= file.len() as u64);
    assert!(reader.next_packet(&mut log).is_none());
}

const MAGICS: [&[u8]; 6] = [
    b"\xD4\xC3\xB2\xA1",
    b"\xA1\xB2\xC3\xD4",
    b"\x4D\x3C\xB2\xA1",
    b"\x0A\x0D\x0D\x0A\x1C\0\0\0\x4D\x3C\x2B\x1A",
    b"\x0A\x0D\x0D\x0A\0\0\0\x1C\x1A\x2B\x3C\x4D",
    b"",
];
const LINK_TYPES: [u16; 11] = [0, 1, 12, 14, 101, 108, 113, 228, 229, 276, 105];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_end(magic in 0..MAGICS.len(), bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        survive(&[MAGICS[magic], &bytes].concat());
    }

    #[test]
    fn random_packets_end(
        link_type in 0..LINK_TYPES.len(),
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..20),
    ) {
        let mut file = PcapBuilder::new().link_type(LinkType(LINK_TYPES[link_type]));
        for packet in &packets {
            file.packet(AT, packet);
        }
        survive(&file.build());
    }

    #[test]
    fn damaged_files_end(
        format in 0_usize..8,
        link_type in 0..LINK_TYPES.len(),
        v6 in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
        doubled in any::<prop::sample::Index>(),
    ) {
        let mut file = sound(format, LINK_TYPES[link_type], v6);
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        survive(&file);
        survive(&file[..cut.index(file.len())]);
        let doubled = doubled.index(file.len());
        survive(&[&file[..doubled], &file[doubled / 2..]].concat());
    }
}
