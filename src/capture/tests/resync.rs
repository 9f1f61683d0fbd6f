//! Lengths that are wrong in the middle of a file, and files put behind each other: what is sound is read.

use super::*;

/// Sizes of the packets of [`many`], cyclically: a reader that stumbles meets all sorts.
const SIZES: [usize; 7] = [60, 1_514, 66, 60, 590, 54, 800];

/// A file of `count` packets that a second apart tell their number by their time, and where their records start.
fn many(base: PcapBuilder, count: usize) -> (Vec<u8>, Vec<usize>) {
    let mut file = base;
    let mut starts = Vec::new();
    for i in 0..count {
        starts.push(file.build().len());
        let data: Vec<u8> = (0..SIZES[i % SIZES.len()]).map(|at| (at * 7 + i) as u8).collect();
        file.packet(AT + i as i64 * 1_000_000_000, &data);
    }
    (file.build(), starts)
}

/// Numbers and lengths of the packets read, by their times, and the problems met.
fn numbers(file: &[u8]) -> (Vec<(i64, usize)>, Vec<Problem>) {
    let mut reader = Reader::new(Cursor::new(file.to_vec()), None).unwrap();
    let mut log = ProblemLog::default();
    let mut all = Vec::new();
    while let Some(packet) = reader.next_packet(&mut log) {
        assert_eq!(&file[packet.file_offset as usize..][..packet.data.len()], packet.data);
        all.push(((packet.at.0 - AT) / 1_000_000_000, packet.data.len()));
    }
    (all, log.into_problems())
}

fn expected(count: usize) -> Vec<(i64, usize)> {
    (0..count).map(|i| (i as i64, SIZES[i % SIZES.len()])).collect()
}

#[test]
fn a_wrong_length_costs_no_packet_beside_its_own() {
    let (sound, starts) = many(PcapBuilder::new().nanos(), 60);
    // As long as several packets, as the rest of the file, as more than there is, and beyond reason.
    // And just as long as the packet and the next one.
    for length in
        [61_u32, 60 + 16 + 1_514, 300, 1_556, 5_000, 20_000, 200_000, 262_144, 262_145, 0x7FFF_FFFF, u32::MAX]
    {
        for at in [0, 1, 20, 57, 58] {
            let mut file = sound.clone();
            file[starts[at] + 8..][..4].copy_from_slice(&length.to_le_bytes());
            let (all, problems) = numbers(&file);
            assert_eq!(all, expected(60), "{length} at {at}: {problems:?}");
            assert_eq!((problems.len(), problems[0].kind, problems[0].count), (1, ProblemKind::BadRecord, 1));
            let place = format!("packet {} (record at byte {})", at + 1, starts[at]);
            assert!(problems[0].detail.starts_with(&place), "{:?}", problems[0]);
        }
    }
    // Too short: as a snap length would cut it, but where sound records tell its length.
    let mut file = sound.clone();
    file[starts[8] + 8..][..4].copy_from_slice(&40_u32.to_le_bytes());
    let (all, problems) = numbers(&file);
    assert_eq!((all, problems[0].count), (expected(60), 1), "{problems:?}");
}

#[test]
fn the_time_of_a_broken_record_is_not_what_later_ones_are_judged_by() {
    let (sound, starts) = many(PcapBuilder::new(), 40);
    let mut file = sound.clone();
    // A record of another century, whose length is wrong as well.
    file[starts[10]..][..4].copy_from_slice(&4_000_000_000_u32.to_le_bytes());
    file[starts[10] + 8..][..4].copy_from_slice(&900_u32.to_le_bytes());
    let (all, problems) = numbers(&file);
    let mut rest = expected(40);
    rest.remove(10);
    assert_eq!((all, problems[0].count), (rest, 1), "{problems:?}");
}

#[test]
fn sound_records_are_found_however_far_behind() {
    let (sound, starts) = many(PcapBuilder::new(), 40);
    let nonsense: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let file = [&sound[..starts[20]], &nonsense, &sound[starts[20]..]].concat();
    let (all, problems) = numbers(&file);
    assert_eq!(all, expected(40));
    assert!(problems[0].detail.contains("read on 3000000 bytes behind it"), "{problems:?}");
}

#[test]
fn a_capture_that_somebody_downloads_is_not_read_for_packets_of_this_one() {
    let (inner, _) = many(PcapBuilder::new(), 12);
    let mut file = PcapBuilder::new();
    let mut starts = Vec::new();
    for i in 0..30_i64 {
        starts.push(file.build().len());
        file.packet(AT + i * 1_000, &inner[..1_400]);
    }
    let mut file = file.build();
    // The record ends a little too early, or too late: what it holds of the other capture are not packets of this one.
    for wrong in [1_390_u32, 1_410] {
        file[starts[15] + 8..][..4].copy_from_slice(&wrong.to_le_bytes());
        let mut reader = Reader::new(Cursor::new(file.clone()), None).unwrap();
        let mut log = ProblemLog::default();
        let mut lengths = Vec::new();
        while let Some(packet) = reader.next_packet(&mut log) {
            lengths.push(packet.data.len());
        }
        assert_eq!(lengths, [1_400; 30], "{wrong}: {:?}", log.into_problems());
    }
}

#[test]
fn files_put_behind_each_other_are_read_each_by_its_own_header() {
    let (first, _) = many(PcapBuilder::new(), 9);
    let mut second = PcapBuilder::new().nanos().big_endian().link_type(LinkType::RAW);
    for i in 0..9_i64 {
        second.packet(AT + (9 + i) * 1_000_000_000, &vec![i as u8; SIZES[(9 + i as usize) % SIZES.len()]]);
    }
    let second = second.build();
    let (all, problems) = numbers(&[&first[..], &second].concat());
    assert_eq!(all, expected(18));
    assert_eq!((problems.len(), problems[0].kind, problems[0].count), (1, ProblemKind::JoinedFiles, 1));
    let words = format!("the header of another file at byte {}, before packet 10; read on", first.len());
    assert!(problems[0].detail.starts_with(&words), "{problems:?}");
    let (_, info) = read(&[&first[..], &second, &first].concat());
    assert_eq!(info.link_types, ["EN10MB", "RAW"]);
    // The first one was cut: its last packet ends where the second file begins.
    for cut in [1, 10, 300, 805] {
        let (all, problems) = numbers(&[&first[..first.len() - cut], &second].concat());
        let kinds: Vec<_> = problems.iter().map(|p| (p.kind, p.count)).collect();
        assert_eq!(kinds, [(ProblemKind::BadRecord, 1), (ProblemKind::JoinedFiles, 1)], "{cut}");
        let last = all.iter().position(|(second, _)| *second == 9).unwrap();
        assert_eq!(&all[last..], &expected(18)[9..], "{cut}");
        assert_eq!(&all[..8], &expected(8));
    }
    // A header and no packet.
    let (all, _) = numbers(&[&PcapBuilder::new().build()[..], &first].concat());
    assert_eq!(all, expected(9));
}

#[test]
fn a_file_of_the_other_format_behind_the_first_is_named() {
    let (pcap, _) = many(PcapBuilder::new(), 9);
    let (pcapng, _) = many(PcapBuilder::new().pcapng(), 9);
    let (long, _) = many(PcapBuilder::new().big_endian(), 700);
    for (first, second) in [(&pcap, &pcapng), (&pcapng, &pcap), (&pcapng, &long)] {
        let (all, problems) = numbers(&[&first[..], second].concat());
        assert_eq!(all, expected(9));
        let detail = &problems[0].detail;
        assert!(detail.contains(&format!("at byte {}", first.len())), "{detail}");
        assert!(detail.ends_with("give it as a file of its own"), "{detail}");
    }
}

#[test]
fn odd_records_of_sound_files_are_left_as_they_are() {
    let day = 24 * 60 * 60 * 1_000_000_000;
    let gap = |steps: &[i64]| {
        let mut file = PcapBuilder::new();
        for &step in steps {
            file.packet(AT + step, b"abcdefghij");
        }
        file.build()
    };
    // Long pauses, a clock that is set, times without order.
    for steps in [
        vec![0, 1_000, 3 * day, 3 * day + 1_000, 9 * day],
        vec![0, 1_000, -20_000 * day / 2, 2_000, 3_000],
        vec![0, 5 * day, 1_000, 9 * day, 2_000, 7 * day, 3_000, 30 * day],
    ] {
        let (all, problems) = numbers(&gap(&steps));
        assert_eq!(all.len(), steps.len(), "{problems:?}");
        assert!(problems.iter().all(|p| p.kind == ProblemKind::TimeBackwards), "{problems:?}");
    }
    // Times that mean nothing: as many packets as there are, but for those whose chain breaks near a time of zero.
    let times: Vec<i64> = (1..400_i64).map(|i| i * 7_919 % 4_000 * 12 * day - AT + day).collect();
    let (all, _) = numbers(&gap(&times));
    assert!(all.len() > 350, "{}", all.len());
    // Lengths on the wire that some tools leave at zero.
    let mut file = PcapBuilder::new();
    for i in 0..20 {
        file.cut_packet(AT + i * 1_000_000_000, &[7; 60], 0);
    }
    let (all, problems) = numbers(&file.build());
    assert_eq!((all.len(), problems.len()), (20, 0), "{problems:?}");
}

#[test]
fn a_wrong_length_of_a_block_costs_no_packet() {
    let (sound, starts) = many(PcapBuilder::new().pcapng().nanos(), 60);
    for length in [44_u32, 200, 5_000, 20_000, 200_000, 0x7FFF_FFFC] {
        let mut file = sound.clone();
        file[starts[20] + 4..][..4].copy_from_slice(&length.to_le_bytes());
        let (all, problems) = numbers(&file);
        assert!(all.len() >= 59, "{length}: {problems:?}");
        assert_eq!((problems.len(), problems[0].kind, problems[0].count), (1, ProblemKind::BadRecord, 1));
    }
}

#[test]
fn blocks_without_number_that_are_all_broken_are_searched_once_and_not_each_up_to_the_end() {
    const BROKEN: usize = 60_000;
    let (mut file, _) = many(PcapBuilder::new().pcapng(), 3);
    // Packets whose second length is never the first: searched anew for each, these are some 60 billion places.
    let block: Vec<u8> = [6_u32, 32, 0, 0, 0, 0, 0, 33].iter().flat_map(|word| word.to_le_bytes()).collect();
    file.extend(block.repeat(BROKEN));
    let (all, problems) = numbers(&file);
    assert_eq!(all[..3], expected(3));
    assert_eq!((all.len(), problems[0].count), (3 + BROKEN, BROKEN as u64), "{problems:?}");
}

#[test]
fn a_version_that_is_not_known_is_said_and_read() {
    let (mut file, _) = many(PcapBuilder::new(), 5);
    file[4..6].copy_from_slice(&9_u16.to_le_bytes());
    let (all, problems) = numbers(&file);
    assert_eq!((all, problems[0].kind), (expected(5), ProblemKind::UnknownVersion));
    assert_eq!(problems[0].detail, "the file says it is pcap 9.4, and was read as 2.4");
    let (mut file, _) = many(PcapBuilder::new().pcapng(), 5);
    file[12..14].copy_from_slice(&2_u16.to_le_bytes());
    let (all, problems) = numbers(&file);
    assert_eq!((all, problems[0].kind), (expected(5), ProblemKind::UnknownVersion));
    assert!(problems[0].detail.ends_with("says it is pcapng 2.0, and was read as 1.0"), "{problems:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::default()
    })]

    /// Any length in any record: every packet but perhaps its own is read, and none that is not there.
    #[test]
    fn any_wrong_length_leaves_the_other_packets(
        nanos: bool,
        at in 0_usize..50,
        length in proptest::prop_oneof![0_u32..2_000, 0_u32..300_000, proptest::num::u32::ANY],
    ) {
        let base = if nanos { PcapBuilder::new().nanos() } else { PcapBuilder::new() };
        let (mut file, starts) = many(base, 50);
        file[starts[at] + 8..][..4].copy_from_slice(&length.to_le_bytes());
        let (all, problems) = numbers(&file);
        let others = |all: &[(i64, usize)]| -> Vec<(i64, usize)> {
            all.iter().filter(|(number, _)| *number != at as i64).copied().collect()
        };
        proptest::prop_assert_eq!(others(&all), others(&expected(50)), "{:?}", problems);
    }
}
