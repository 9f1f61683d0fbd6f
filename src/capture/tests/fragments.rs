//! IP fragments in any order, doubled, missing, and too many.

use proptest::prelude::*;

use crate::capture::testing::ip_packet;
use crate::capture::wrapping::{Wrap, fragments};

use super::*;

fn packet(v6: bool, flags: u8, payload: &[u8]) -> Vec<u8> {
    let ends = if v6 { ("[fd00::1]:40000", "[fd00::2]:80") } else { ("10.0.0.1:40000", "10.0.0.2:80") };
    ip_packet(ends.0.parse().unwrap(), ends.1.parse().unwrap(), (7, 9), flags, payload)
}

fn file_of(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = PcapBuilder::new().link_type(LinkType::RAW);
    for (i, packet) in packets.iter().enumerate() {
        file.packet(AT + i as i64 * 1_000, packet);
    }
    file.build()
}

/// Reads the pieces back from their places in the file, and joins them by sequence number.
fn stream(file: &[u8], first_seq: u32) -> (Vec<u8>, CaptureInfo) {
    let (seen, info) = read(file);
    let mut next = first_seq;
    let mut bytes = Vec::new();
    for (_, _, _, seq, payload, wire_len, offset) in &seen {
        assert_eq!(*seq, next);
        assert_eq!(&file[*offset as usize..][..payload.len()], payload);
        bytes.extend_from_slice(payload);
        next = next.wrapping_add(*wire_len);
    }
    (bytes, info)
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * i % 251) as u8).collect()
}

#[test]
fn a_fragmented_segment_is_whole_again_and_named_by_its_last_packet() {
    for v6 in [false, true] {
        let whole = packet(v6, TcpFlags::ACK | TcpFlags::FIN, &text(500));
        // With eight bytes a fragment the TCP header itself is in pieces.
        for step in [8, 64, 256] {
            let parts = fragments(&whole, 5, step);
            let file = file_of(&parts);
            let (bytes, info) = stream(&file, 7);
            assert_eq!((bytes, kinds(&info)), (text(500), vec![]), "{v6} {step}");
            let (seen, _) = read(&file);
            assert!(seen.iter().all(|s| s.0 as usize == parts.len()));
        }
    }
}

#[test]
fn flags_count_once() {
    let flags = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::ACK;
    let file = file_of(&fragments(&packet(false, flags, &text(100)), 5, 40));
    let mut reader = Reader::new(Cursor::new(file), None).unwrap();
    let (mut log, mut decoder, mut seen) = (ProblemLog::default(), Decoder::default(), Vec::new());
    while let Some(packet) = reader.next_packet(&mut log) {
        assert!(decoder.segment(&packet, &mut log).is_none());
        while let Some(piece) = decoder.piece() {
            seen.push((piece.flags.syn(), piece.flags.fin(), piece.seq, piece.payload.len()));
        }
    }
    assert_eq!(seen, [(true, false, 7, 20), (false, false, 28, 40), (false, true, 68, 40)]);
}

#[test]
fn tunnels_in_fragments_are_read() {
    let inner = packet(false, TcpFlags::ACK, &text(900));
    for wrap in [Wrap::Vxlan, Wrap::Gre, Wrap::IpInIp, Wrap::GtpExtended] {
        let outer = wrap.frame(&inner).split_off(14);
        let (bytes, info) = stream(&file_of(&fragments(&outer, 6, 304)), 7);
        assert_eq!((bytes, kinds(&info)), (text(900), vec![]), "{wrap:?}");
    }
}

#[test]
fn of_bytes_that_come_twice_the_first_stay() {
    let parts = fragments(&packet(false, TcpFlags::ACK, &text(100)), 5, 40);
    let forged = fragments(&packet(false, TcpFlags::ACK, &[0; 100]), 5, 48)[0].clone();
    let file = file_of(&[parts[0].clone(), parts[1].clone(), parts[0].clone(), forged, parts[2].clone()]);
    assert_eq!(stream(&file, 7).0, text(100));
}

#[test]
fn fragments_that_stay_alone_are_reported_once() {
    let parts = fragments(&packet(false, TcpFlags::ACK, &text(100)), 5, 40);
    let (seen, info) = read(&file_of(&parts[..2]));
    assert_eq!((seen.len(), kinds(&info)), (0, vec![(ProblemKind::UndecodablePacket, 1)]));
    // And given up after a minute, so that a new datagram may have the number.
    let mut file = PcapBuilder::new().link_type(LinkType::RAW);
    file.packet(AT, &parts[0]).packet(AT + 61_000_000_000, &parts[1]).packet(AT + 61_000_000_001, &parts[2]);
    let (seen, info) = read(&file.build());
    assert_eq!((seen.len(), kinds(&info)), (0, vec![(ProblemKind::UndecodablePacket, 2)]));
}

#[test]
fn fragments_that_come_again_behind_their_datagram_lack_nothing() {
    let parts = fragments(&packet(false, TcpFlags::ACK, &text(100)), 5, 40);
    let (first, again) = (
        parts.len(),
        [parts[2].clone(), fragments(&packet(false, TcpFlags::ACK, &text(100)), 5, 48)[1].clone()],
    );
    let (seen, info) = read(&file_of(&[&parts[..], &again].concat()));
    assert_eq!((seen.len(), kinds(&info)), (first, vec![]));
    // One that goes further is of another datagram.
    let other = fragments(&packet(false, TcpFlags::ACK, &text(200)), 5, 40)[3].clone();
    let (_, info) = read(&file_of(&[&parts[..], &[other]].concat()));
    assert_eq!(kinds(&info), [(ProblemKind::UndecodablePacket, 1)]);
}

#[test]
fn what_waits_is_bounded() {
    let first = |id: u16| fragments(&packet(false, TcpFlags::ACK, &text(2_000)), id, 1_600)[0].clone();
    let (seen, info) = read(&file_of(&(0..5_000).map(first).collect::<Vec<_>>()));
    assert!(seen.is_empty());
    let limit = info.problems.iter().find(|problem| problem.kind == ProblemKind::LimitReached).unwrap();
    assert!(limit.detail.contains("from packet 1 on"), "{}", limit.detail);
}

#[test]
fn cut_fragments_leave_their_length() {
    let parts = fragments(&packet(false, TcpFlags::ACK, &text(200)), 5, 104);
    let mut file = PcapBuilder::new().link_type(LinkType::RAW).snap_len(70);
    for part in &parts {
        file.packet(AT, part);
    }
    let (seen, info) = read(&file.build());
    assert_eq!((seen.len(), seen[0].4.as_slice(), seen[0].5), (1, &text(200)[..30], 200));
    assert_eq!(kinds(&info), [(ProblemKind::CutPacket, 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_doubling_gives_the_segment(
        v6: bool,
        steps in 1_usize..40,
        len in 0_usize..400,
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let parts = fragments(&packet(v6, TcpFlags::ACK, &text(len)), 5, steps * 8);
        let mut all: Vec<Vec<u8>> = order.iter().map(|at| parts[at.index(parts.len())].clone()).collect();
        // What completes the datagram ends it: more of it would begin another.
        let mut missing = vec![true; parts.len()];
        let mut used = 0;
        for part in &all {
            used += 1;
            missing[parts.iter().position(|p| p == part).unwrap()] = false;
            if missing.iter().all(|m| !m) {
                break;
            }
        }
        all.truncate(used);
        all.extend(parts.iter().zip(&missing).filter(|(_, missing)| **missing).map(|(part, _)| part.clone()));
        let (bytes, info) = stream(&file_of(&all), 7);
        prop_assert_eq!(bytes, text(len));
        prop_assert_eq!(info.problems, []);
    }
}
