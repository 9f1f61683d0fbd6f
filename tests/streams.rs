//! Whatever way a stream's segments take to the file, the same messages and events come out of it; and what one
//! capture lost another one gives back.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::Cursor;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hopscope::analysis::{Analysis, analyse};
use hopscope::capture::testing::{PcapBuilder, ip_packet};
use hopscope::capture::{ProblemKind, Reader, TcpFlags};
use hopscope::http::{CaptureFacts, Exchange, ExchangeFlags, Message, load_from};
use hopscope::load::{Progress, load, read_completed_again};
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

    /// Sequence number of the first byte of a turn.
    fn turn_start(&self, turn: usize) -> u32 {
        let before = (turn % 2..turn).step_by(2).map(|turn| self.turns[turn].len() as u32);
        self.isn[turn % 2].wrapping_add(1).wrapping_add(before.sum())
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
            let message =
                |m: &Message| (m.state, m.seq, m.ack, m.head_bytes, m.head_crc, m.wire_bytes, m.body_bytes);
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

/// What one request and its response are to be: method, whether the response has a body, and how each is framed.
#[derive(Clone, Copy, Debug)]
struct Planned {
    method: usize,
    status: usize,
    request: (usize, bool),
    response: (usize, bool),
    interim: bool,
    /// Sent together with the request before it.
    pipelined: bool,
}

const METHODS: [&str; 4] = ["GET", "POST", "HEAD", "PURGE"];
const STATUSES: [u16; 5] = [200, 204, 304, 404, 502];

fn planned() -> impl Strategy<Value = Planned> {
    let body = || (0usize..200, any::<bool>());
    (0..METHODS.len(), 0..STATUSES.len(), body(), body(), any::<bool>(), prop::bool::weighted(0.3)).prop_map(
        |(method, status, request, response, interim, pipelined)| Planned {
            method,
            status,
            request,
            response,
            interim,
            pipelined,
        },
    )
}

/// A body under its framing: by its length, or in chunks with an extension and a trailer.
fn framed((len, chunked): (usize, bool)) -> String {
    let body = "b".repeat(len);
    if !chunked {
        return format!("Content-Length: {len}\r\n\r\n{body}");
    }
    let (first, second) = body.split_at(len / 3);
    let chunk = |text: &str| {
        if text.is_empty() { String::new() } else { format!("{:x};x=y\r\n{text}\r\n", text.len()) }
    };
    let chunks = [chunk(first), chunk(second)].concat();
    format!("Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\nDigest: x\r\n\r\n")
}

impl Planned {
    fn request(&self, at: usize) -> String {
        let line = format!("{} /item/{at} HTTP/1.1\r\nHost: shop\r\n", METHODS[self.method]);
        if METHODS[self.method] == "POST" { line + &framed(self.request) } else { line + "\r\n" }
    }

    /// The response names the request that it answers, in a header as long as any other.
    fn response(&self, at: usize) -> String {
        let status = STATUSES[self.status];
        let interim = if self.interim { "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" } else { "" };
        let head = format!("{interim}HTTP/1.1 {status} Word\r\nX-Answers: {at}\r\n");
        match (METHODS[self.method], status) {
            ("HEAD", _) | (_, 304) => head + "Content-Length: 5\r\n\r\n",
            (_, 204) => head + "\r\n",
            _ => head + &framed(self.response),
        }
    }
}

/// All messages as turns, and the turn of each request: requests that are pipelined share one, and so do their responses.
fn talk_of(plan: &[Planned], isn: [u32; 2]) -> (Talk, Vec<usize>) {
    let (mut turns, mut turn_of): (Vec<Vec<u8>>, Vec<usize>) = Default::default();
    for (at, one) in plan.iter().enumerate() {
        let (request, response) = (one.request(at).into_bytes(), one.response(at).into_bytes());
        match &mut turns[..] {
            [.., requests, responses] if one.pipelined => {
                requests.extend(request);
                responses.extend(response);
            }
            _ => turns.extend([request, response]),
        }
        turn_of.push(turns.len() - 2);
    }
    (Talk { isn, turns }, turn_of)
}

/// The number in the target of an exchange's request; `None` where the request was not read.
fn number(facts: &CaptureFacts, exchange: &Exchange) -> Option<usize> {
    facts.text(exchange.target).strip_prefix("/item/")?.parse().ok()
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

#[test]
fn an_answer_without_a_head_that_stands_before_its_request_is_its_answer() {
    let talk = Talk { isn: [100, 900], turns: vec![b"GET /old\r\n".to_vec(), b"<html>old</html>".to_vec()] };
    let mut pieces = talk.pieces(whole);
    pieces.swap(3, 4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swapped.pcap");
    std::fs::write(&path, file(ends(), pieces.iter())).unwrap();
    let facts = load_from(Reader::open(&path), &path, &mut |_| true);
    let [exchange] = &facts.exchanges[..] else { panic!("{} exchanges", facts.exchanges.len()) };
    assert_eq!((&*facts.text(exchange.target), exchange.response.body_bytes), ("/old", 16));
    assert!(!exchange.flags.has(ExchangeFlags::NOT_HTTP_RESPONSE));
    assert!(facts.info.problems[0].detail.ends_with("were taken in the order of their times"));
}

#[test]
fn other_bytes_in_the_copy_of_a_segment_of_two_are_reported() {
    let talk = Talk::new([700, 100], &[77]);
    let mut pieces = talk.pieces(|_, len| vec![(0, len - 2), (len - 2, 2)]);
    let last = pieces.iter().rposition(|piece| !piece.payload.is_empty()).unwrap();
    let mut copy = pieces[last].clone();
    copy.payload = b"??".to_vec();
    pieces.insert(last + 1, copy);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.pcap");
    std::fs::write(&path, file(ends(), pieces.iter())).unwrap();
    let problems = load_from(Reader::open(&path), &path, &mut |_| true).info.problems;
    assert!(problems.iter().any(|one| one.kind == ProblemKind::ConflictingBytes), "{problems:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

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

    /// Packets that stand in the file a few places from where their times put them are taken in the order of these.
    #[test]
    fn the_places_of_packets_do_not_matter_where_their_times_tell(
        isn: [u32; 2],
        bodies in prop::collection::vec(0usize..300, 1..5),
        step in 20usize..200,
        places in prop::collection::vec(0usize..6, 1..60),
    ) {
        let cut = |_, len| (0..len).step_by(step).map(|at| (at, step.min(len - at))).collect();
        let plain = Talk::new(isn, &bodies).pieces(cut);
        let mut mixed: Vec<(usize, &Piece)> =
            plain.iter().enumerate().map(|(at, piece)| (at + places[at % places.len()], piece)).collect();
        mixed.sort_by_key(|&(place, _)| place);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mixed.pcap");
        std::fs::write(&path, file(ends(), mixed.into_iter().map(|(_, piece)| piece))).unwrap();
        let facts = load_from(Reader::open(&path), &path, &mut |_| true);
        let messages = |facts: &CaptureFacts| -> Vec<String> {
            let lines = essence(facts).into_iter();
            lines.filter(|line| !line.starts_with(|c: char| c.is_alphabetic()) || line.contains("isn")).collect()
        };
        let expected = read(file(ends(), plain.iter()));
        prop_assert_eq!(messages(&facts), messages(&expected));
        prop_assert_eq!(facts.flows.len(), 1);
        prop_assert_eq!(facts.flows[0].directions.map(|side| side.missing_bytes), [0, 0]);
    }

    /// Where their times do not tell, packets a few places from where they were sent are found not to be lost.
    #[test]
    fn packets_out_of_order_are_not_lost_where_no_time_tells(
        isn: [u32; 2],
        bodies in prop::collection::vec(0usize..300, 1..5),
        step in 20usize..200,
        places in prop::collection::vec(0usize..4, 1..60),
    ) {
        let cut = |_, len| (0..len).step_by(step).map(|at| (at, step.min(len - at))).collect();
        let plain = Talk::new(isn, &bodies).pieces(cut);
        let mut mixed: Vec<(usize, &Piece)> =
            plain.iter().enumerate().map(|(at, piece)| (at + places[at % places.len()], piece)).collect();
        mixed.sort_by_key(|&(place, _)| place);
        let stamped: Vec<Piece> =
            mixed.iter().zip(&plain).map(|((_, piece), before)| Piece { at: before.at, ..(*piece).clone() }).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mixed.pcap");
        std::fs::write(&path, file(ends(), stamped.iter())).unwrap();
        let facts = load_from(Reader::open(&path), &path, &mut |_| true);
        let requests = facts.exchanges.iter().filter(|x| x.request.is_complete()).count();
        prop_assert_eq!(requests, bodies.len());
        prop_assert_eq!(facts.flows.iter().map(|flow| flow.directions[0].missing_bytes).sum::<u64>(), 0);
    }

    /// Bytes that come again are compared with those taken, wherever they lie, and only other ones are reported.
    #[test]
    fn other_bytes_in_any_overlap_are_reported(
        bodies in prop::collection::vec(0usize..300, 1..4),
        step in 20usize..200,
        turn: prop::sample::Index,
        span in (any::<prop::sample::Index>(), 2usize..250),
        behind in 1usize..6,
        differs: bool,
        delay in 0..10 * MS,
    ) {
        let talk = Talk::new([700, 100], &bodies);
        let cut = |_, len| (0..len).step_by(step).map(|at| (at, step.min(len - at))).collect();
        let mut pieces = talk.pieces(cut);
        let (start, len) = (span.0.index(talk.turns[0].len()), span.1);
        let turn = turn.index(talk.turns.len());
        let bytes = &talk.turns[turn];
        let start = start.min(bytes.len() - 2);
        let mut again = bytes[start..bytes.len().min(start + len)].to_vec();
        if differs {
            again.iter_mut().for_each(|byte| *byte ^= 1);
        }
        let seq = talk.turn_start(turn).wrapping_add(start as u32);
        let last = pieces.iter().rposition(|piece| piece.from_client == (turn % 2 == 0)
            && !piece.payload.is_empty() && piece.numbers.0.wrapping_sub(talk.turn_start(turn)) < bytes.len() as u32);
        let place = (last.unwrap() + behind).min(pieces.len() - 4) .max(last.unwrap() + 1);
        let before = &pieces[place - 1];
        let ack = pieces[last.unwrap()].numbers.1;
        let piece = Piece { at: before.at + delay, from_client: turn % 2 == 0, numbers: (seq, ack), flags: ACK, payload: again };
        pieces.insert(place, piece);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("again.pcap");
        std::fs::write(&path, file(ends(), pieces.iter())).unwrap();
        let facts = load_from(Reader::open(&path), &path, &mut |_| true);
        let reported = facts.info.problems.iter().any(|one| one.kind == ProblemKind::ConflictingBytes);
        prop_assert_eq!(reported, differs);
        prop_assert_eq!(facts.exchanges.len(), bodies.len());
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

    /// Whatever is sent, however it is cut and repeated, and whatever the capture lost of it: no response is given to
    /// another request, and messages of which nothing was lost are read as if nothing had been.
    #[test]
    fn holes_never_shift_pairs(
        isn: [u32; 2],
        plan in prop::collection::vec(planned(), 1..8),
        // Short of a start line's first words nobody knows a message again.
        step in 12usize..160,
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        twice in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let (talk, turn_of) = talk_of(&plan, isn);
        let pieces = talk.pieces(|_, len| (0..len).step_by(step).map(|at| (at, step.min(len - at))).collect());
        // Of messages sent together nobody can say how many a hole in them holds.
        let together = plan.iter().any(|one| one.pipelined);
        let lost = lost.iter().map(|index| index.index(pieces.len())).filter(|_| !together);
        let lost: Vec<usize> = lost.collect();
        let twice: Vec<usize> = twice.iter().map(|index| index.index(pieces.len())).collect();
        let sent = (0..pieces.len()).filter(|at| !lost.contains(at));
        let sent = sent.flat_map(|at| std::iter::repeat_n(&pieces[at], 1 + usize::from(twice.contains(&at))));
        let facts = read(file(ends(), sent));
        let expected = read(file(ends(), talk.pieces(whole).iter()));
        prop_assert_eq!(expected.exchanges.len(), plan.len());
        let seqs = |side: Side| -> Vec<u32> {
            let messages = expected.exchanges.iter();
            messages.map(|x| if side == Side::Client { x.request.seq } else { x.response.seq }).collect()
        };
        let (requests, responses) = (seqs(Side::Client), seqs(Side::Server));
        for x in &facts.exchanges {
            let asked = requests.iter().position(|&seq| x.request.is_present() && seq == x.request.seq);
            let answered = responses.iter().position(|&seq| x.status.is_some() && seq == x.response.seq);
            if let (Some(asked), Some(answered)) = (asked, answered) {
                prop_assert_eq!(asked, answered, "a pair was shifted");
            }
            if let (Some(named), Some(asked)) = (number(&facts, x), asked) {
                prop_assert_eq!(named, asked);
            }
        }
        // What follows a hole in the same turn may be out of step; each turn is found again.
        let intact = |side: Side, at: usize, message: &Message| {
            let start = talk.turn_start(turn_of[at] + side as usize);
            let len = message.seq.wrapping_sub(start) + message.wire_bytes as u32;
            let lost_here = |&at: &usize| {
                let piece = &pieces[at];
                let first = piece.numbers.0.wrapping_sub(start).cast_signed();
                let end = first.saturating_add_unsigned(piece.payload.len() as u32);
                piece.from_client == (side == Side::Client) && end > 0 && i64::from(first) < i64::from(len)
            };
            !lost.iter().any(lost_here)
        };
        let key = |m: &Message| (m.state, m.head_crc, m.wire_bytes, m.body_bytes);
        for (at, whole) in expected.exchanges.iter().enumerate() {
            if intact(Side::Client, at, &whole.request) {
                let same = |x: &&Exchange| x.request.is_present() && x.request.seq == requests[at];
                let found = facts.exchanges.iter().find(same);
                prop_assert_eq!(found.map(|x| key(&x.request)), Some(key(&whole.request)), "request {}", at);
            }
            if intact(Side::Server, at, &whole.response) {
                let same = |x: &&Exchange| x.response.is_present() && x.response.seq == responses[at];
                let found = facts.exchanges.iter().find(same);
                prop_assert_eq!(found.and_then(|x| x.status), whole.status, "response {}", at);
            }
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
fn captures_that_come_later_complete_those_that_are_shown() {
    let talk = Talk::new([0x9000_0000, 0xF000_0000], &[20, 200, 30, 40]);
    let pieces = talk.pieces(|_, len| vec![(0, len / 2), (len / 2, len - len / 2)]);
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, lost: &[usize]| {
        let path = folder.path().join(name);
        std::fs::write(&path, file(ends(), without(&pieces, lost))).unwrap();
        load(&[path], &Progress::default()).remove(0)
    };
    let missing = |facts: &CaptureFacts| -> u64 {
        facts.flows.iter().flat_map(|flow| &flow.directions).map(|side| side.missing_bytes).sum()
    };
    // Each loses a part of one message that the others have.
    let shown = read("a.pcap", &[4, 6, 9]);
    let before = missing(&shown);
    let mut all = heal(vec![Arc::clone(&shown), read("b.pcap", &[6, 9, 12])]);
    assert_eq!(missing(&shown), before, "what is shown stays as it is");
    assert!((1..before).contains(&missing(&all[0])), "one of two gaps is filled");
    read_completed_again(&mut all, &Progress::default());
    assert_eq!(missing(&all[0]), before);
    all.push(read("c.pcap", &[4]));
    let analysis = analyse(heal(all), &Overrides::default());
    assert!(analysis.connections().all(|connection| !connection.flow().is_lossy()));
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
