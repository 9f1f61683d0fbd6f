//! gzip, zstd and streams: the same packets, and their bytes once more.

use std::io::Write;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn sound() -> Vec<u8> {
    let mut file = PcapBuilder::new().pcapng();
    fill(&mut file, false);
    let mut talk = Conversation::new("10.0.0.1:40001", "10.0.0.2:80");
    for i in 0..300 {
        talk.client(&mut file, AT + 10_000 + i, &vec![i as u8; 1_400]);
    }
    file.build()
}

#[test]
fn compressed_files_hold_the_same_packets() {
    let plain = sound();
    let (expected, info) = read(&plain);
    assert_eq!(info.format, "pcapng");
    let twice = [gzip(&plain[..1_000]), gzip(&plain[1_000..])].concat();
    for (file, format) in
        [(gzip(&plain), "pcapng+gzip"), (twice, "pcapng+gzip"), (zstd(&plain), "pcapng+zstd")]
    {
        let (seen, packed) = read(&file);
        assert!(seen == expected);
        assert_eq!((packed.format.as_str(), packed.bytes), (format, file.len() as u64));
        assert_eq!(packed.problems, []);
        let (seen, cut) = read(&file[..file.len() * 2 / 3]);
        assert!(!seen.is_empty() && seen[..] == expected[..seen.len()]);
        assert_eq!(kinds(&cut), [(ProblemKind::TruncatedFile, 1)], "{:?}", cut.problems);
    }
}

#[test]
fn bodies_of_compressed_files_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let plain = sound();
    for file in [plain.clone(), gzip(&plain), zstd(&plain)] {
        let path = dir.path().join("hop");
        std::fs::write(&path, &file).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        let (mut log, mut extents) = (ProblemLog::default(), Vec::new());
        while let Some(packet) = reader.next_packet(&mut log) {
            extents.push((
                Extent { frame: packet.frame, offset: packet.file_offset, len: packet.data.len() as u32 },
                packet.data.to_vec(),
            ));
        }
        let info = reader.info();
        assert_eq!(info.bytes, file.len() as u64);
        // Backwards, and from two readers by turns.
        let mut readers = [ExtentReader::of(&info).unwrap(), ExtentReader::open(&path, info.bytes).unwrap()];
        for (i, (extent, bytes)) in extents.iter().enumerate().rev() {
            assert_eq!(&readers[i % 2].read(&[*extent], 9_000).unwrap().bytes, bytes);
        }
        let beyond = Extent { frame: 1, offset: plain.len() as u64 - 1, len: 2 };
        assert!(readers[0].read(&[beyond], 9_000).is_err());
        std::fs::write(&path, b"another one").unwrap();
        assert!(matches!(ExtentReader::of(&info), Err(ExtentError::Changed { .. })));
    }
}

#[test]
fn where_a_damaged_file_could_be_read_no_more_is_where_its_last_byte_came_from() {
    let mut file = PcapBuilder::new();
    fill(&mut file, false);
    // A record that cannot be, so that reading goes on to the end, and a checksum that is wrong.
    let plain = [file.build(), vec![0xAA; 500]].concat();
    let mut packed = gzip(&plain);
    let at = packed.len() - 6;
    packed[at] ^= 1;
    let mut reader = Reader::new(Cursor::new(packed), None).unwrap();
    let mut log = ProblemLog::default();
    while reader.next_packet(&mut log).is_some() {}
    let problems = log.into_problems();
    let failed = problems.iter().find(|one| one.kind == ProblemKind::Unreadable).unwrap();
    let start = format!("reading failed at byte {} of the unpacked data: ", plain.len());
    assert!(failed.detail.starts_with(&start), "{}", failed.detail);
    assert!(failed.detail.ends_with(" (4 packets were read before it)"), "{}", failed.detail);
}

#[test]
fn bytes_of_a_source_that_is_no_file_are_kept_only_where_asked() {
    let mut reader = Reader::new(Cursor::new(sound()), None).unwrap();
    let mut log = ProblemLog::default();
    while reader.next_packet(&mut log).is_some() {}
    let error = ExtentReader::of(&CaptureInfo { path: STDIN.into(), ..reader.info() }).unwrap_err();
    assert!(error.to_string().starts_with("was standard input and not kept"), "{error}");
}

#[test]
fn packed_files_that_are_no_captures_say_so() {
    for (file, packing) in [(gzip(b"only text"), "gzip"), (zstd(b"only text"), "zstd")] {
        let error = Reader::new(Cursor::new(file), None).err().unwrap();
        assert_eq!(error.kind(), ProblemKind::NotACapture);
        assert!(error.to_string().contains(&format!("text (packed with {packing}), and")), "{error}");
    }
    let error = Reader::new(Cursor::new(gzip(b"")), None).err().unwrap();
    assert_eq!(error.kind(), ProblemKind::EmptyFile);
    assert!(Reader::open(Path::new("/nowhere/-")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_compressed_files_end(
        zstandard: bool,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut plain = PcapBuilder::new();
        fill(&mut plain, false);
        let mut file = if zstandard { zstd(&plain.build()) } else { gzip(&plain.build()) };
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        if let Ok(mut reader) = Reader::new(Cursor::new(file), None) {
            let mut log = ProblemLog::default();
            while reader.next_packet(&mut log).is_some() {}
        }
    }
}
