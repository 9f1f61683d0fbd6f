//! Whatever way a stream's segments take to the file, the same messages and events come out of it; and what one
//! capture lost another one gives back.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::Cursor;
use std::net::SocketAddr;
use std::path::Path;

use hopscope::analysis::{Analysis, analyse};
use hopscope::capture::testing::{PcapBuilder, ip_packet};
use hopscope::capture::{Reader, TcpFlags};
use hopscope::http::{CaptureFacts, load_from};
use hopscope::load::{Progress, load};
use hopscope::tcp::{EventKind, Side};
use hopscope::topology::{Overrides, heal};
use proptest::prelude::*;

const ACK: u8 = TcpFlags::ACK;
const SYN: u8 = TcpFlags::SYN;
const FIN: u8 = TcpFlags::FIN | TcpFlags::ACK;
const MS: i64 = 1_000_000;

/// A segment of a conversation, before it is written anywhere.
#[derive(Clone, Debug)]
struct Piece {
    at: i64,
    from_client: bool,
    numbers: (u32, u32),
    flags: u8,
    payload: Vec<u8>,
}

/// A conversation in turns; each turn is one side's bytes, which the other acknowledges with its own.
struct Talk {
    isn: [u32; 2],
    turns: Vec<Vec<u8>>,
}

impl Talk {
    /// Requests and answers of some lengths, every other answer chunked.
    fn new(isn: [u32; 2], bodies: &[usize]) -> Self {
        let mut turns = Vec::new();
        for (at, &len) in bodies.iter().enumerate() {
            let body = "b".repeat(len);
            turns.push(format!(
                "POST /item/{at} HTTP/1.1\r\nHost: shop\r\nContent-Length: {len}\r\n\r\n{body}"
            ));
            turns.push(if at % 2 == 0 {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{body}")
            } else {
                let half = len / 2;
                let chunk = |text: &str| {
                    if text.is_empty() { String::new() } else { format!("{:x}\r\n{text}\r\n", text.len()) }
                };
                let chunks = [chunk(&body[..half]), chunk(&body[half..])].concat();
                format!("HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
            });
        }
        Self { isn, turns: turns.into_iter().map(String::into_bytes).collect() }
    }

    /// The segments: `cut` says where those of a turn lie, as (start, length); none: one segment a turn.
    fn pieces(&self, mut cut: impl FnMut(usize, usize) -> Vec<(usize, usize)>) -> Vec<Piece> {
        let mut next = self.isn.map(|isn| isn.wrapping_add(1));
        let [c, s] = self.isn;
        let mut pieces = Vec::new();
        let mut at = 0;
        let mut send = |from_client, numbers, flags, payload: &[u8], pieces: &mut Vec<Piece>| {
            at += 10 * MS;
            pieces.push(Piece { at, from_client, numbers, flags, payload: payload.to_vec() });
        };
        send(true, (c, 0), SYN, b"", &mut pieces);
        send(false, (s, next[0]), SYN | ACK, b"", &mut pieces);
        send(true, (next[0], next[1]), ACK, b"", &mut pieces);
        for (turn, bytes) in self.turns.iter().enumerate() {
            let (side, peer) = (turn % 2, 1 - turn % 2);
            for (start, len) in cut(turn, bytes.len()) {
                let numbers = (next[side].wrapping_add(start as u32), next[peer]);
                send(side == 0, numbers, ACK, &bytes[start..start + len], &mut pieces);
            }
            next[side] = next[side].wrapping_add(bytes.len() as u32);
        }
        send(false, (next[1], next[0]), FIN, b"", &mut pieces);
        send(true, (next[0], next[1].wrapping_add(1)), FIN, b"", &mut pieces);
        send(false, (next[1].wrapping_add(1), next[0].wrapping_add(1)), ACK, b"", &mut pieces);
        pieces
    }
}

fn ends() -> (SocketAddr, SocketAddr) {
    (([10, 0, 0, 1], 40_000).into(), ([10, 0, 0, 2], 80).into())
}

fn file<'a>(ends: (SocketAddr, SocketAddr), pieces: impl Iterator<Item = &'a Piece>) -> Vec<u8> {
    let mut file = PcapBuilder::new().nanos();
    for piece in pieces {
        let (from, to) = if piece.from_client { ends } else { (ends.1, ends.0) };
        file.segment(piece.at, from, to, piece.numbers, piece.flags, &piece.payload);
    }
    file.build()
}

fn read(bytes: Vec<u8>) -> CaptureFacts {
    load_from(Reader::new(Cursor::new(bytes), None), Path::new("test.pcap"), &mut |_| true)
}

/// All that does not depend on how the bytes were cut: connections, messages, events.
fn essence(facts: &CaptureFacts) -> Vec<String> {
    let mut lines = Vec::new();
    for flow in &facts.flows {
        let sent = flow.directions.map(|side| (side.isn, side.bytes, side.missing_bytes, side.end_seq));
        lines.push(format!("{:?} {:?} {:?} {sent:?}", flow.opening, flow.closing, flow.protocol));
        for x in facts.exchanges_of(flow) {
            let message = |m: &hopscope::http::Message| {
                (m.state, m.seq, m.ack, m.head_bytes, m.head_crc, m.wire_bytes, m.body_bytes)
            };
            lines.push(format!(
                "{} {} {} {:?} {:?} {:?} {:?} {}",
                x.ordinal,
                facts.method(x.method),
                facts.text(x.target),
                x.status,
                x.flags,
                message(&x.request),
                message(&x.response),
                x.request.body_crc
            ));
        }
        let lasting = |kind| !matches!(kind, EventKind::Retransmission | EventKind::KeepAlive);
        for event in facts.events_of(flow).iter().filter(|event| lasting(event.kind)) {
            // `Established` is whatever packet comes first, the same segment with more or fewer bytes.
            let len = if event.kind == EventKind::Established { 0 } else { event.len };
            lines.push(format!("{:?} {:?} {} {} {len}", event.kind, event.from, event.seq, event.ack));
        }
    }
    lines
}

fn whole(_turn: usize, len: usize) -> Vec<(usize, usize)> {
    vec![(0, len)]
}

/// An order of `0..count` by random keys.
fn shuffled(count: usize, keys: &[u32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&at| keys[at % keys.len()].rotate_left(at as u32));
    order
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any cut, order, duplication and overlap of a turn's segments gives the same messages and events.
    #[test]
    fn the_way_of_segments_does_not_matter(
        isn: [u32; 2],
        bodies in prop::collection::vec(0usize..300, 1..5),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 1usize..120), 0..30),
        keys in prop::collection::vec(any::<u32>(), 1..40),
    ) {
        let talk = Talk::new(isn, &bodies);
        let plain = talk.pieces(whole);
        let mut used = 0;
        let mixed = talk.pieces(|turn, len| {
            // Every byte at least once, by consecutive segments, and any others between.
            let step = 1 + keys[turn % keys.len()] as usize % len;
            let mut list: Vec<(usize, usize)> =
                (0..len).step_by(step).map(|start| (start, step.min(len - start))).collect();
            for (index, more) in cuts.iter().skip(used).take(6) {
                let start = index.index(len);
                list.push((start, (*more).min(len - start)));
            }
            used += 6;
            shuffled(list.len(), &keys).into_iter().map(|at| list[at]).collect()
        });
        let expected = essence(&read(file(ends(), plain.iter())));
        prop_assert_eq!(essence(&read(file(ends(), mixed.iter()))), expected);
    }

    /// A packet that a capture shows on several interfaces is one packet.
    #[test]
    fn copies_change_nothing(
        isn: [u32; 2],
        bodies in prop::collection::vec(0usize..300, 1..5),
        times in prop::collection::vec(0usize..4, 1..20),
        delay in 0i64..400_000,
    ) {
        let plain = Talk::new(isn, &bodies).pieces(whole);
        let mut copied = Vec::new();
        for (piece, count) in plain.iter().zip(times.iter().cycle()) {
            for copy in 0..=*count as i64 {
                copied.push(Piece { at: piece.at + copy * delay, ..piece.clone() });
            }
        }
        let expected = read(file(ends(), plain.iter()));
        let facts = read(file(ends(), copied.iter()));
        prop_assert_eq!(essence(&facts), essence(&expected));
        for side in facts.flows[0].directions {
            prop_assert_eq!(side.retransmitted, 0);
        }
    }

    /// Segments that make no sense at all are read to their end, and what is kept of them is bounded.
    #[test]
    fn nonsense_is_survived(
        segments in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u32>(), any::<u32>(), 0usize..80), 0..300),
    ) {
        let mut out = PcapBuilder::new().nanos();
        let (client, server) = ends();
        for (at, (who, flags, seq, ack, len)) in segments.iter().enumerate() {
            let (from, to) = if who & 1 == 0 { (client, server) } else { (server, client) };
            let near = |number: u32| if who & 2 == 0 { number % 200 } else { number };
            let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1";
            let data = ip_packet(from, to, (near(*seq), near(*ack)), *flags, &text[..*len]);
            out.packet(at as i64 * MS, &[&[0u8; 12][..], &[8, 0], &data].concat());
        }
        let facts = read(out.build());
        prop_assert!(facts.flows.len() <= segments.len());
        prop_assert!(facts.events.len() <= 3 * segments.len());
        let kept: u64 = facts.flows.iter().flat_map(|flow| flow.directions).map(|side| side.bytes).sum();
        let sent: usize = segments.iter().map(|segment| segment.4).sum();
        prop_assert!(kept <= sent as u64);
    }
}

/// Writes captures to files, and analyses them together.
fn analysis(files: &[(&str, Vec<u8>)]) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = files
        .iter()
        .map(|(name, bytes)| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    analyse(heal(load(&paths, &Progress::default())), &Overrides::default())
}

fn without<'a>(pieces: &'a [Piece], lost: &'a [usize]) -> impl Iterator<Item = &'a Piece> {
    pieces.iter().enumerate().filter(|(at, _)| !lost.contains(at)).map(|(_, piece)| piece)
}

#[test]
fn what_one_capture_lost_another_gives_back() {
    let talk = Talk::new([0x9000_0000, 0xF000_0000], &[20, 200, 30, 40]);
    let pieces = talk.pieces(|_, len| vec![(0, len / 2), (len / 2, len - len / 2)]);
    let expected = essence(&read(file(ends(), pieces.iter())));
    // Parts of heads and bodies of both sides, in neither capture the same.
    let later: Vec<Piece> = pieces.iter().map(|p| Piece { at: p.at + 7_000 * MS, ..p.clone() }).collect();
    let (lost_a, lost_b) = ([3, 6, 9, 13], [4, 5, 12]);
    let a = file(ends(), without(&pieces, &lost_a));
    let b = file(ends(), without(&later, &lost_b));
    assert!(read(a.clone()).flows[0].is_lossy());
    let healed = analysis(&[("a.pcap", a), ("b.pcap", b)]);
    assert_eq!(healed.topology.connections.len(), 1);
    let connection = healed.connections().next().unwrap();
    assert!(!connection.flow().is_lossy());
    let facts = healed.capture(connection.capture());
    let without_states = |lines: Vec<String>| lines.into_iter().skip(1).collect::<Vec<_>>();
    assert_eq!(without_states(essence(facts)), without_states(expected));
    let lent = facts.lent.iter().filter(|lent| lent.from == Side::Client).count();
    assert!(lent > 0 && facts.lent.iter().all(|lent| lent.frame.capture != connection.capture()));
}

#[test]
fn address_translation_makes_no_second_connection() {
    let talk = Talk::new([0x9000_0000, 0xF000_0000], &[20, 30]);
    let pieces = talk.pieces(whole);
    let service: (SocketAddr, SocketAddr) = (ends().0, ([10, 96, 0, 10], 8080).into());
    // In one file, 50 µs apart: before and after the translator.
    let mut both = PcapBuilder::new().nanos();
    for piece in &pieces {
        for (at, (client, server)) in [(0, service), (50_000, ends())] {
            let at = if piece.from_client { at } else { 50_000 - at };
            let (from, to) = if piece.from_client { (client, server) } else { (server, client) };
            both.segment(piece.at + at, from, to, piece.numbers, piece.flags, &piece.payload);
        }
    }
    let one = analysis(&[("any.pcap", both.build())]);
    assert_eq!(one.topology.connections.len(), 1);
    assert_eq!(one.topology.exchanges.len(), 2);
    assert_eq!(one.topology.connections[0].server, ends().1, "the address behind the translator serves");
    // In two files, also masqueraded.
    let node: (SocketAddr, SocketAddr) = (([10, 9, 9, 9], 1024).into(), ends().1);
    let nearer_server: Vec<Piece> = pieces
        .iter()
        .map(|p| Piece { at: p.at + if p.from_client { 100_000 } else { -100_000 }, ..p.clone() })
        .collect();
    let files = [("a.pcap", file(service, pieces.iter())), ("b.pcap", file(node, nearer_server.iter()))];
    let two = analysis(&files);
    assert_eq!(two.topology.connections.len(), 1);
    let connection = &two.topology.connections[0];
    assert_eq!((connection.sightings.len(), connection.client, connection.server), (2, ends().0, ends().1));
}

#[test]
fn equal_small_numbers_are_no_proof_of_one_connection() {
    let pieces = Talk::new([1_000, 5_000], &[20]).pieces(whole);
    let other: (SocketAddr, SocketAddr) = (([10, 0, 0, 7], 50_000).into(), ([10, 0, 0, 8], 80).into());
    let files = [("a.pcap", file(ends(), pieces.iter())), ("b.pcap", file(other, pieces.iter()))];
    assert_eq!(analysis(&files).topology.connections.len(), 2);
}
