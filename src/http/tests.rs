//! Whole conversations, from packets to exchanges.

use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;

use crate::capture::testing::{Conversation, PcapBuilder};
use crate::capture::{Reader, TcpFlags};

use super::*;

const FIN: u8 = TcpFlags::FIN | TcpFlags::ACK;
const RST: u8 = TcpFlags::RST | TcpFlags::ACK;

/// A capture under construction with one connection in it.
pub(super) struct Script {
    file: PcapBuilder,
    ends: Conversation,
    now: i64,
}

impl Script {
    pub(super) fn new() -> Self {
        let ends = Conversation::new("10.0.0.1:40000", "10.0.0.2:80");
        let mut script = Self { file: PcapBuilder::new().nanos(), ends, now: 0 };
        script.ends.handshake(&mut script.file, 0);
        script
    }

    /// A connection whose start was not captured.
    pub(super) fn midstream(client: &str, server: &str) -> Self {
        Self { file: PcapBuilder::new().nanos(), ends: Conversation::new(client, server), now: 0 }
    }

    pub(super) fn client(&mut self, bytes: &[u8]) -> &mut Self {
        self.now += 10_000;
        self.ends.client(&mut self.file, self.now, bytes);
        self
    }

    pub(super) fn server(&mut self, bytes: &[u8]) -> &mut Self {
        self.now += 10_000;
        self.ends.server(&mut self.file, self.now, bytes);
        self
    }

    pub(super) fn control(&mut self, side: usize, flags: u8) -> &mut Self {
        self.now += 10_000;
        self.ends.send(&mut self.file, self.now, side, flags, b"");
        self
    }

    /// Bytes that were sent and that the capture misses.
    pub(super) fn lost(&mut self, side: usize, len: u32) -> &mut Self {
        self.ends.next_seq[side] += len;
        self
    }

    pub(super) fn facts(&self) -> CaptureFacts {
        let reader = Reader::new(Cursor::new(self.file.build()), None);
        load_from(reader, Path::new("test.pcap"), &mut |_| true)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        lines(&self.facts())
    }
}

/// The exchanges of a capture in words: what a failing test shows.
pub(super) fn lines(facts: &CaptureFacts) -> Vec<String> {
    let line = |x: &Exchange| {
        let status = x.status.map_or_else(|| "-".to_owned(), |s| s.to_string());
        let (method, target) = (facts.method(x.method), facts.text(x.target));
        let (request, response) = (&x.request, &x.response);
        format!(
            "{} {method} {target} {:?} {} -> {status} {:?} {}",
            x.ordinal, request.state, request.body_bytes, response.state, response.body_bytes
        )
    };
    facts.exchanges.iter().map(line).collect()
}

pub(super) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n").into_bytes()
}

pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn chunked_bodies_end_behind_their_trailers() {
    let mut script = Script::new();
    script.client(
        b"POST /up HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nDigest: 1\r\n\r\n",
    );
    script.server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").server(b"0\r\n\r\n");
    script.client(&get("/2")).server(OK);
    assert_eq!(
        script.lines(),
        ["1 POST /up Complete 5 -> 200 Complete 3", "2 GET /2 Complete 0 -> 200 Complete 2"]
    );
}

#[test]
fn behind_a_chunk_size_that_makes_no_sense_the_next_answer_is_found() {
    let mut script = Script::new();
    script.client(&get("/1"));
    script.server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\nmore\r\n");
    script.client(&get("/2")).server(OK);
    let facts = script.facts();
    assert_eq!(
        lines(&facts),
        ["1 GET /1 Complete 0 -> 200 Lossy 3", "2 GET /2 Complete 0 -> 200 Complete 2"]
    );
    assert!(facts.exchanges[0].flags.has(ExchangeFlags::AMBIGUOUS_FRAMING));
}

#[test]
fn behind_a_length_that_is_no_number_the_next_answer_is_found() {
    for length in ["+2", "2x"] {
        let mut script = Script::new();
        for n in 1..3 {
            script.client(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            script.server(format!("HTTP/1.1 20{n} OK\r\nContent-Length: {length}\r\n\r\nhi").as_bytes());
        }
        let facts = script.control(0, FIN).control(1, FIN).facts();
        let read: Vec<_> =
            facts.exchanges.iter().map(|x| (x.status.map(u16::from), x.response.body_bytes)).collect();
        assert_eq!(read, [(Some(201), 2), (Some(202), 2)], "{length}");
        assert!(facts.exchanges.iter().all(|x| x.flags.has(ExchangeFlags::INVALID_HEADER)));
    }
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    let mut script = Script::new();
    script.client(b"HEAD /h HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n");
    script.client(&get("/n")).server(b"HTTP/1.1 204 No Content\r\n\r\n");
    script.client(&get("/m")).server(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
    assert_eq!(
        script.lines(),
        [
            "1 HEAD /h Complete 0 -> 200 Complete 0",
            "2 GET /n Complete 0 -> 204 Complete 0",
            "3 GET /m Complete 0 -> 304 Complete 0",
        ]
    );
}

#[test]
fn a_protocol_in_lower_case_and_odd_lines_of_chunks_are_read_and_told() {
    let mut script = Script::new();
    script.client(b"get / http/1.1\r\nHost: a\r\n\r\n").server(OK);
    script.client(&get("/2"));
    script.server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0;a\rb\r\n\r\n");
    let facts = script.facts();
    assert_eq!(
        lines(&facts),
        ["1 get / Complete 0 -> 200 Complete 2", "2 GET /2 Complete 0 -> 200 Complete 3"]
    );
    let told: Vec<_> = facts.info.problems.iter().map(|problem| problem.detail.as_str()).collect();
    for words in ["neither HTTP/1.0 nor", "whitespace or a sign", "a bare CR"] {
        assert!(told.iter().any(|told| told.contains(words)), "{words} in {told:?}");
    }
}

#[test]
fn an_interim_response_answers_nothing() {
    let mut script = Script::new();
    script.client(b"POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    script.server(b"HTTP/1.1 100 Continue\r\n\r\n").client(b"abc").server(OK);
    let facts = script.facts();
    assert_eq!(lines(&facts), ["1 POST /p Complete 3 -> 200 Complete 2"]);
    assert!(facts.exchanges[0].flags.has(ExchangeFlags::INTERIM));
    assert!(facts.exchanges[0].flags.has(ExchangeFlags::EXPECTS_CONTINUE));
}

#[test]
fn a_body_until_close_ends_with_the_fin_and_is_cut_by_a_reset() {
    let head = b"HTTP/1.0 200 OK\r\n\r\nsome";
    let mut script = Script::new();
    script.client(&get("/")).server(head).server(b" more").control(1, FIN);
    assert_eq!(script.lines(), ["1 GET / Complete 0 -> 200 Complete 9"]);
    let mut script = Script::new();
    script.client(&get("/")).server(head).control(1, RST);
    assert_eq!(script.lines(), ["1 GET / Complete 0 -> 200 Partial 4"]);
}

#[test]
fn pipelined_requests_pair_in_order() {
    let mut script = Script::new();
    let both = [get("/1"), get("/2")].concat();
    script.client(&both).server(&[OK, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"].concat());
    let facts = script.facts();
    assert_eq!(
        lines(&facts),
        ["1 GET /1 Complete 0 -> 200 Complete 2", "2 GET /2 Complete 0 -> 404 Complete 0"]
    );
    assert!(facts.exchanges[1].flags.has(ExchangeFlags::PIPELINED));
}

#[test]
fn a_tunnel_hides_what_it_carries() {
    let mut script = Script::new();
    script.client(b"GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    script.server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    script.client(&get("/inside")).server(OK);
    assert_eq!(script.lines(), ["1 GET /chat Complete 0 -> 101 Complete 0"]);
    let mut script = Script::new();
    script
        .client(b"CONNECT a:443 HTTP/1.1\r\n\r\n")
        .server(b"HTTP/1.1 200 OK\r\n\r\n")
        .client(&get("/inside"));
    assert_eq!(script.lines(), ["1 CONNECT a:443 Complete 0 -> 200 Complete 0"]);
}

#[test]
fn a_lost_response_does_not_shift_the_pairs_behind_it() {
    let mut script = Script::new();
    script.client(&get("/1")).server(OK);
    script.client(&get("/2")).lost(1, 300);
    script.client(&get("/3")).server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        script.lines(),
        [
            "1 GET /1 Complete 0 -> 200 Complete 2",
            "2 GET /2 Complete 0 -> - Lossy 0",
            "3 GET /3 Complete 0 -> 404 Complete 0",
        ]
    );
    assert!(script.facts().flows[0].is_lossy());
}

#[test]
fn an_answer_to_more_than_the_request_under_way_is_anothers() {
    let mut script = Script::new();
    script.client(b"POST /6 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").lost(0, 5);
    // Its answer, and another request.
    script.lost(1, 40).lost(0, 30).server(OK).client(&get("/8")).server(OK);
    assert_eq!(
        script.lines(),
        [
            "1 POST /6 Lossy 4 -> - Lossy 0",
            "2 ?  Absent 0 -> 200 Complete 2",
            "3 GET /8 Complete 0 -> 200 Complete 2"
        ]
    );
}

#[test]
fn a_lost_request_leaves_a_response_of_its_own() {
    let mut script = Script::new();
    script.client(&get("/1")).server(OK);
    script.lost(0, 60).server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    script.client(&get("/3")).server(OK);
    assert_eq!(
        script.lines(),
        [
            "1 GET /1 Complete 0 -> 200 Complete 2",
            "2 ?  Absent 0 -> 404 Complete 0",
            "3 GET /3 Complete 0 -> 200 Complete 2",
        ]
    );
}

#[test]
fn a_response_recorded_ahead_of_its_request_still_finds_it() {
    let mut script = Script::new();
    let request = get("/late");
    let mut ahead = script.ends;
    script.ends.next_seq[0] += request.len() as u32;
    script.server(OK);
    ahead.client(&mut script.file, 90_000, &request);
    assert_eq!(script.lines(), ["1 GET /late Complete 0 -> 200 Complete 2"]);
}

#[test]
fn a_hole_inside_a_counted_body_keeps_the_framing() {
    let mut script = Script::new();
    script.client(&get("/big")).server(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    script.lost(1, 900).server(&[b'x'; 100]);
    script.client(&get("/2")).server(OK);
    assert_eq!(
        script.lines(),
        ["1 GET /big Complete 0 -> 200 Lossy 1000", "2 GET /2 Complete 0 -> 200 Complete 2"]
    );
}

#[test]
fn a_capture_that_begins_in_a_body_finds_the_next_message() {
    let mut file = PcapBuilder::new();
    let mut ends = Conversation::new("10.0.0.1:5432", "10.0.0.2:40000");
    for (at, part) in [b"tail of a body".as_slice(), b"still the tail"].into_iter().enumerate() {
        ends.server(&mut file, at as i64 * 1000, part);
    }
    ends.client(&mut file, 5000, &get("/next"));
    ends.server(&mut file, 6000, OK);
    let facts = load_from(Reader::new(Cursor::new(file.build()), None), Path::new("t"), &mut |_| true);
    assert_eq!(lines(&facts), ["1 GET /next Complete 0 -> 200 Complete 2"]);
    assert_eq!(facts.flows[0].client.port(), 5432, "the end that asks is the client, whatever the ports");
}

#[test]
fn a_request_cut_in_its_head_is_kept_as_partial() {
    let mut script = Script::new();
    script.client(b"GET /slow HTTP/1.1\r\nHost: sh").control(0, RST);
    assert_eq!(script.lines(), ["1 GET /slow Partial 0 -> - Absent 0"]);
}

#[test]
fn other_protocols_are_named_and_have_no_exchanges() {
    for (bytes, protocol) in [
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00".as_slice(), Protocol::Tls),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Protocol::Http2),
        (b"\x00\x01\x02 nonsense", Protocol::Unknown),
    ] {
        let mut script = Script::new();
        script.client(bytes).server(b"\x15\x03\x03\x00\x02");
        let facts = script.facts();
        assert_eq!((facts.flows[0].protocol, facts.exchanges.len()), (protocol, 0));
    }
}

#[test]
fn any_token_may_be_a_method_and_text_of_other_protocols_is_no_request() {
    let line = |line: &str| {
        let mut script = Script::new();
        script.client(format!("{line}\r\nHost: shop\r\n\r\n").as_bytes()).server(OK);
        script.lines()
    };
    for method in ["get", "Purge", "M-SEARCH", "A1.b", "X", "BASELINE-CONTROL"] {
        let whole = format!("1 {method} /a Complete 0 -> 200 Complete 2");
        assert_eq!(line(&format!("{method} /a HTTP/1.1")), [whole]);
    }
    // Broken, and a request all the same: the server has to refuse it.
    assert_eq!(line("GET /a HTTP/x"), ["1 GET /a Complete 0 -> 200 Complete 2"]);
    assert_eq!(line("get\t/a\tHTTP/1.1"), ["1 get /a Complete 0 -> 200 Complete 2"]);
    let others = [
        "EHLO mail.example",
        "USER anonymous",
        "RETR /file",
        "a001 LOGIN x y",
        "CONNECT {\"verbose\":false}",
        "{\"GET\": 1}",
        "GET",
    ];
    for other in others {
        let mut script = Script::new();
        script.server(b"220 ready\r\n").client(format!("{other}\r\n").as_bytes()).server(b"250 ok\r\n");
        script.client(b"Some text.\r\nMore: of it\r\n\r\n").control(0, FIN);
        assert_eq!(script.lines(), [""; 0], "{other}");
        let mut script = Script::new();
        let (start, end) = other.split_at(2);
        script.client(start.as_bytes()).client(format!("{end}\r\n\r\n").as_bytes()).server(b"250 ok\r\n");
        assert_eq!(script.lines(), [""; 0], "{other} in two parts");
        let mut script = Script::new();
        script.client(other.as_bytes()).control(0, RST);
        assert_eq!(script.lines(), [""; 0], "{other} without its end");
    }
}

#[test]
fn a_request_line_that_servers_refuse_is_a_request_all_the_same() {
    const REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let told = |request: &[u8], size: usize| {
        let facts = play(&[(0, request.to_vec()), (1, REFUSED.to_vec())], &[size]).facts();
        (lines(&facts).join(", "), flags(&facts, ExchangeFlags::REQUEST_INVALID))
    };
    for size in [9, 999] {
        let (line, flags) = told(b"CCM_POST / HTTP/1.\nHost: shop\n\n", size);
        assert_eq!((&*line, flags.len()), ("1 CCM_POST / Complete 0 -> 400 Complete 0", 1), "{size}");
        assert_ne!(flags[0], 0);
        let (line, flags) = told(b"OPTIONS\r\nHost: shop\r\n\r\n", size);
        assert_eq!((&*line, flags.len()), ("1 OPTIONS  Complete 0 -> 400 Complete 0", 1), "{size}");
        assert_ne!(flags[0], 0);
        // A word of another protocol is none.
        assert_eq!(told(b"LOCK\r\nname: shop\r\n\r\n", size).1, [0], "{size}");
    }
}

#[test]
fn sides_taken_one_for_the_other_are_set_right_by_the_first_message() {
    // A server on a high port: without the start, its side is taken for the client's.
    let mut script = Script::midstream("10.0.0.1:80", "10.0.0.2:40000");
    for _ in 0..6 {
        script.server(b"the middle of a body ");
    }
    script.client(&get("/a")).server(b"and its end").server(OK);
    let facts = script.facts();
    assert_eq!(lines(&facts), ["1 GET /a Complete 0 -> 200 Complete 2"]);
    let blamed = ExchangeFlags::NOT_HTTP_RESPONSE | ExchangeFlags::EXTRA_BYTES | ExchangeFlags::UNSOLICITED;
    assert_eq!(flags(&facts, blamed), [0]);
    let from_server = facts.flows[0].direction(crate::tcp::Side::Server);
    assert_eq!(from_server.bytes, 6 * 21 + 11 + OK.len() as u64);
}

#[test]
fn behind_a_body_whose_head_was_not_captured_the_next_response_is_found() {
    let mut script = Script::midstream("10.0.0.1:40000", "10.0.0.2:80");
    script.client(&get("/1")).server(b"the middle of a body").client(&get("/2")).server(OK);
    script.client(&get("/3")).server(OK);
    let facts = script.facts();
    assert_eq!(
        lines(&facts),
        [
            "1 GET /1 Complete 0 -> - Lossy 20",
            "2 GET /2 Complete 0 -> 200 Complete 2",
            "3 GET /3 Complete 0 -> 200 Complete 2",
        ]
    );
    assert_eq!(flags(&facts, ExchangeFlags::NOT_HTTP_RESPONSE), [0, 0, 0]);
}

#[test]
fn what_follows_a_request_is_another_one_once_it_has_a_target() {
    for (rest, requests) in [("PURGE /cach", 2), ("PAYLOAD", 1), ("PAYLOAD ", 1), ("a body nobody", 1)] {
        let mut script = Script::new();
        script.client(&[&get("/"), rest.as_bytes()].concat()).control(0, RST);
        assert_eq!(script.lines().len(), requests, "{rest}");
    }
}

#[test]
fn extents_lead_back_to_the_bytes() {
    let mut script = Script::new();
    let request = get("/there-and-back");
    script.client(&request[..9]).client(&request[9..]).server(OK);
    let (facts, file) = (script.facts(), script.file.build());
    let mut bytes = Vec::new();
    for extent in facts.extents(&facts.exchanges[0].request) {
        bytes.extend_from_slice(&file[extent.offset as usize..][..extent.len as usize]);
    }
    assert_eq!(bytes, request);
}

/// The flags of all exchanges that are among `watched`.
pub(super) fn flags(facts: &CaptureFacts, watched: u32) -> Vec<u32> {
    facts.exchanges.iter().map(|x| x.flags.0 & watched).collect()
}

#[test]
fn of_two_server_headers_the_first_is_that_of_who_sent_the_answer() {
    let both = b"HTTP/1.1 200 OK\r\nServer: Caddy\r\nServer: gunicorn\r\nContent-Length: 0\r\n\r\n";
    let mut script = Script::new();
    script.client(&get("/1")).server(both);
    let facts = script.facts();
    let names: Vec<&str> = facts.server_headers.iter().map(|(_, name)| facts.name(*name)).collect();
    assert_eq!(names, ["Caddy"]);
}

#[test]
fn a_response_that_nobody_asked_for_is_told_from_one_whose_request_is_missing() {
    let timeout = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    let unsolicited = |script: &Script| flags(&script.facts(), ExchangeFlags::UNSOLICITED);
    let mut script = Script::new();
    script.client(&get("/1")).server(OK).server(timeout);
    assert_eq!(unsolicited(&script), [0, ExchangeFlags::UNSOLICITED]);
    let mut script = Script::new();
    script.server(timeout);
    assert_eq!(unsolicited(&script), [ExchangeFlags::UNSOLICITED]);
    let mut script = Script::new();
    script.client(&get("/1")).server(OK).lost(0, 60).server(OK);
    assert_eq!(unsolicited(&script), [0, 0]);
    let mut script = Script::new();
    script.lost(0, 60).server(OK);
    assert_eq!(unsolicited(&script), [0]);
}

#[test]
fn bytes_behind_a_response_or_in_place_of_one_are_told() {
    let watched = ExchangeFlags::EXTRA_BYTES | ExchangeFlags::NOT_HTTP_RESPONSE;
    let mut script = Script::new();
    script.client(&get("/1")).server(&[OK, b"more"].concat()).client(&get("/2")).server(OK);
    assert_eq!(flags(&script.facts(), watched), [ExchangeFlags::EXTRA_BYTES, 0]);
    let mut script = Script::new();
    script.client(&get("/1")).server(b"\x15\x03\x01\x00\x02\x02\x46").control(1, FIN);
    let facts = script.facts();
    assert_eq!(lines(&facts), ["1 GET /1 Complete 0 -> - Complete 7"]);
    assert_eq!(flags(&facts, watched), [ExchangeFlags::NOT_HTTP_RESPONSE]);
    assert_eq!(facts.flows[0].wire.first_bytes, [FirstBytes::HttpRequest, FirstBytes::TlsAlert]);
}

#[test]
fn interim_responses_and_unframed_bodies_are_told() {
    let watched = ExchangeFlags::CONTINUED | ExchangeFlags::UNASKED_INTERIM | ExchangeFlags::UNFRAMED;
    let mut script = Script::new();
    script.client(&get("/1")).server(b"HTTP/1.1 100 Continue\r\n\r\n").server(OK);
    script.client(&get("/2")).server(b"HTTP/1.1 200 OK\r\n\r\nendless");
    assert_eq!(
        flags(&script.facts(), watched),
        [ExchangeFlags::CONTINUED | ExchangeFlags::UNASKED_INTERIM, ExchangeFlags::UNFRAMED]
    );
}

#[test]
fn what_a_cache_says_of_its_answers_is_told() {
    let said = [
        ("X-Cache: HIT from edge", true),
        ("Age: 3", true),
        ("CF-Cache-Status: STALE", true),
        ("Cache-Status: edge; hit; ttl=30", true),
        ("x-proxy-cache: MISS", false),
        ("Age: 0", false),
        ("X-Cache-Status: EXPIRED", false),
    ];
    let mut script = Script::new();
    for _ in 0..2 {
        for (header, _) in said {
            let answer = format!("HTTP/1.1 200 OK\r\n{header}\r\nContent-Length: 0\r\n\r\n");
            script.client(&get("/1")).server(answer.as_bytes());
        }
    }
    let expected: Vec<u32> =
        said.iter().chain(&said).map(|(_, is)| if *is { ExchangeFlags::FROM_CACHE } else { 0 }).collect();
    assert_eq!(flags(&script.facts(), ExchangeFlags::FROM_CACHE), expected);
}

/// A conversation with every framing, as the two streams of turns.
fn turns() -> Vec<(usize, Vec<u8>)> {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;e=1\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n";
    let post = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world";
    vec![
        (0, get("/1")),
        (1, OK.to_vec()),
        (0, post.to_vec()),
        (1, [b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(), chunked].concat()),
        (0, [get("/3"), get("/4")].concat()),
        (1, [OK, b"HTTP/1.1 204 No Content\r\n\r\n"].concat()),
        (0, b"HEAD /5 HTTP/1.0\r\n\r\n".to_vec()),
        (1, b"HTTP/1.0 200 OK\nContent-Length: 5\n\n".to_vec()),
    ]
}

pub(super) fn play(turns: &[(usize, Vec<u8>)], sizes: &[usize]) -> Script {
    let (mut script, mut sizes) = (Script::new(), sizes.iter().cycle());
    for (side, bytes) in turns {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            if *side == 0 {
                script.client(now)
            } else {
                script.server(now)
            };
            rest = later;
        }
    }
    script
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any split of the bytes into segments gives the same exchanges.
    #[test]
    fn any_split_gives_the_same_framing(sizes in prop::collection::vec(1usize..40, 1..50)) {
        let (mut whole, mut split) = (Script::new(), Script::new());
        let mut sizes = sizes.iter().cycle();
        for (side, bytes) in turns() {
            let mut rest = &bytes[..];
            if side == 0 { whole.client(rest) } else { whole.server(rest) };
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                if side == 0 { split.client(now) } else { split.server(now) };
                rest = later;
            }
        }
        prop_assert_eq!(whole.lines(), split.lines());
        prop_assert_eq!(whole.lines().len(), 5);
    }

    /// Whatever bytes two peers exchange, reading them ends without a panic.
    #[test]
    fn any_bytes_are_survived(
        turns in prop::collection::vec((0usize..2, prop::collection::vec(any::<u8>(), 0..60), 0u32..3), 0..40),
        heads in prop::collection::vec(prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n", "Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n",
            "\r\n", "0\r\n\r\n", "5\r\n", "HTTP/1.1 101 X\r\n\r\n", "CONNECT a HTTP/1.1\r\n\r\n",
        ]), 0..40),
    ) {
        let mut script = Script::new();
        for (index, (side, noise, gap)) in turns.iter().enumerate() {
            let text = heads.get(index).map_or(&b""[..], |head| head.as_bytes());
            let bytes = if index % 3 == 0 { noise } else { text };
            if *side == 0 { script.client(bytes) } else { script.server(bytes) };
            if *gap == 2 { script.lost(*side, 17); }
        }
        let facts = script.facts();
        for exchange in &facts.exchanges {
            facts.extents(&exchange.request);
            facts.extents(&exchange.response);
        }
    }
}

#[test]
fn a_simple_request_may_have_an_empty_line_behind_it() {
    for request in ["GET /old\r\n", "GET /old\r\n\r\n"] {
        let mut script = Script::new();
        script.client(request.as_bytes()).server(b"<html>old</html>").control(1, FIN);
        let facts = script.facts();
        assert_eq!(lines(&facts), ["1 GET /old Complete 0 -> - Complete 16"], "{request:?}");
        let blamed = ExchangeFlags::NOT_HTTP_RESPONSE | ExchangeFlags::REQUEST_INVALID;
        assert_eq!(flags(&facts, blamed), [0]);
    }
}
