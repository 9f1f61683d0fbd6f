//! Where messages end: lengths, chunks, closes, tunnels, and what is missing of them.

use proptest::prelude::*;

use super::*;

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
