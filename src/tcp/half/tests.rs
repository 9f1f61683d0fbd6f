//! Segments in any order give the same bytes.

use proptest::prelude::*;

use super::*;

fn segment(seq: u32, payload: &[u8]) -> Segment<'_> {
    let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    Segment {
        frame: 1,
        at: CaptureTime(0),
        src: nowhere,
        dst: nowhere,
        seq,
        ack: 0,
        flags: crate::capture::TcpFlags::default(),
        window: 0,
        ip_id: 0,
        tsval: 0,
        window_scale: None,
        passage: crate::capture::Passage::UNKNOWN,
        is_icmp_error: false,
        payload,
        wire_len: payload.len() as u32,
        file_offset: u64::from(seq),
    }
}

/// Collects pieces as text: bytes as they are, a hole as `[n]`.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Again(..) => {}
            Piece::Data(chunk) => self.0.extend_from_slice(chunk.data),
            Piece::Hole(hole) | Piece::LostEnd(hole) => {
                self.0.extend_from_slice(format!("[{}]", hole.len).as_bytes());
            }
        }
    }
}

fn run(isn: Option<u32>, segments: &[(u32, &[u8])]) -> (String, DirectionFacts) {
    let (mut half, mut text) = (Half::default(), Text::default());
    if let Some(isn) = isn {
        half.start_at(isn);
    }
    for (at, &(seq, payload)) in segments.iter().enumerate() {
        // Far enough apart to be no copies of one packet.
        let at = CaptureTime(at as i64 * 10_000_000);
        half.push(&Segment { at, ..segment(seq, payload) }, false, &mut |piece| text.take(piece));
    }
    half.finish((None, None), CaptureTime(0), 1, &mut |piece| text.take(piece));
    (String::from_utf8(text.0).unwrap(), half.facts)
}

#[test]
fn orders_overlaps_and_repeats() {
    let (text, facts) =
        run(Some(99), &[(100, b"ab"), (104, b"ef"), (102, b"cd"), (101, b"bcdefg"), (100, b"ab")]);
    assert_eq!(text, "abcdefg");
    assert_eq!((facts.out_of_order, facts.retransmitted, facts.missing_bytes), (1, 1, 0));
}

#[test]
fn wraps_at_the_end_of_the_number_space() {
    let (text, _) = run(Some(u32::MAX - 2), &[(1, b"cd"), (u32::MAX - 1, b"ab\0")]);
    assert_eq!(text.replace('\0', "_"), "ab_cd");
}

#[test]
fn a_stream_without_syn_starts_at_its_lowest_held_byte() {
    let (text, facts) = run(None, &[(1002, b"cd"), (1000, b"ab"), (1004, b"ef"), (1006, b"gh")]);
    assert_eq!(text, "abcdefgh");
    assert_eq!(facts.missing_bytes, 0);
}

#[test]
fn a_gap_becomes_a_hole_when_the_peer_answers_beyond_it() {
    let (mut half, mut text) = (Half::default(), Text::default());
    half.start_at(0);
    half.push(&segment(1, b"ab"), false, &mut |piece| text.take(piece));
    half.push(&segment(13, b"yz"), false, &mut |piece| text.take(piece));
    half.acknowledged(15, false, CaptureTime(0), 3, &mut |piece| text.take(piece));
    assert_eq!(text.0, b"ab", "a pure acknowledgement may have overtaken the data in the file");
    half.acknowledged(15, true, CaptureTime(0), 4, &mut |piece| text.take(piece));
    assert_eq!(text.0, b"ab[10]yz");
    assert_eq!(half.facts.missing_bytes, 10);
}

#[test]
fn an_acknowledged_tail_that_was_never_seen_is_a_hole_at_the_end() {
    let (mut half, mut text) = (Half::default(), Text::default());
    half.start_at(0);
    half.push(&segment(1, b"ab"), false, &mut |piece| text.take(piece));
    half.acknowledged(8, false, CaptureTime(0), 2, &mut |piece| text.take(piece));
    half.finish((None, None), CaptureTime(0), 9, &mut |piece| text.take(piece));
    assert_eq!(text.0, b"ab[5]");
}

#[test]
fn a_cut_packet_leaves_a_hole_of_the_rest() {
    let (mut half, mut text) = (Half::default(), Text::default());
    half.start_at(0);
    half.push(&Segment { wire_len: 10, ..segment(1, b"abc") }, false, &mut |piece| text.take(piece));
    half.push(&segment(11, b"d"), false, &mut |piece| text.take(piece));
    assert_eq!(text.0, b"abc[7]d");
}

proptest! {
    /// Any cut, order, duplication and overlap of a stream gives the stream.
    #[test]
    fn any_segmentation_gives_the_same_bytes(
        stream in prop::collection::vec(any::<u8>().prop_map(|b| b % 26 + b'a'), 1..200),
        cuts in prop::collection::vec((0usize..200, 1usize..40), 0..60),
        isn: u32,
    ) {
        let start = isn.wrapping_add(1);
        let mut pieces: Vec<(u32, &[u8])> = cuts
            .iter()
            .filter(|(at, _)| *at < stream.len())
            .map(|&(at, len)| (start.wrapping_add(at as u32), &stream[at..stream.len().min(at + len)]))
            .collect();
        pieces.push((start, &stream));
        let (text, facts) = run(Some(isn), &pieces);
        prop_assert_eq!(text.as_bytes(), &stream[..]);
        prop_assert_eq!(facts.missing_bytes, 0);
    }
}
