//! Heads read by their lines say the same as heads read whole.

use proptest::prelude::*;

use super::super::head;
use super::*;

/// What a head says, its names and texts as they read.
fn request_says(head: &RequestHead, context: &Context) -> String {
    let facts = &context.facts;
    let digests = context.digests.iter().map(|digest| (facts.name(digest.name()), digest.value()));
    let (method, target) = (facts.method(head.method).to_owned(), facts.text(head.target).into_owned());
    let host = head.host.map(|host| facts.name(host));
    let (lines, version, framing, flags) = (head.header_lines, head.version, head.framing, head.flags);
    let said = (method, target, host, lines, version, framing, flags);
    format!("{said:?} {:?}", digests.collect::<Vec<_>>())
}

fn response_says(head: &ResponseHead, context: &Context) -> String {
    let name = |id: Option<NameId>| id.map(|id| context.facts.name(id));
    let named = (name(head.server), name(head.via));
    format!("{:?} {named:?}", ResponseHead { server: None, via: None, upgrade_name: None, ..*head })
}

/// Reads a head by its lines, where it is usual, and as a whole in a context that knows nothing: both must say
/// the same. Tells whether it was usual.
fn agrees(bytes: &[u8], knows: &mut Context) -> bool {
    let Some(end) = head::head_end(bytes) else {
        let complete = if bytes.starts_with(b"HTTP/") {
            response(bytes, 1, knows).is_some()
        } else {
            request(bytes, 1, knows).is_some()
        };
        assert!(!complete, "a head without an end");
        return false;
    };
    let (whole, mut fresh) = (&bytes[..end.len], Context::default());
    let (by_lines, as_whole) = if bytes.starts_with(b"HTTP/") {
        let read = response(bytes, 1, knows).map(|(head, len)| (response_says(&head, knows), len));
        (read, head::response(whole, end.crlf, 1, &mut fresh).map(|head| response_says(&head, &fresh)))
    } else {
        let read = request(bytes, 1, knows).map(|(head, len)| (request_says(&head, knows), len));
        (read, head::request(whole, end.crlf, 1, &mut fresh).map(|head| request_says(&head, &fresh)))
    };
    let usual = by_lines.is_some();
    if let Some((says, len)) = by_lines {
        assert_eq!((Some(says), len), (as_whole, end.len), "{}", bytes.escape_ascii());
    }
    usual
}

#[test]
fn usual_heads_are_read_by_their_lines() {
    let mut knows = Context::default();
    for n in 0..20 {
        let get = format!("GET /{n} HTTP/1.1\r\nHost: a\r\nUser-Agent: x{n}\r\nAccept:\r\nX-Id: {n}\r\n\r\n");
        assert!(agrees(get.as_bytes(), &mut knows));
        let post = format!(
            "POST / HTTP/1.0\r\nhost: b\r\nContent-Length: {n} \r\nConnection: keep-alive, Close\r\n\r\nbody"
        );
        assert!(agrees(post.as_bytes(), &mut knows));
        let reply =
            format!("HTTP/1.1 20{} OK\r\nServer: s{n}\r\nContent-Length: {n}\r\nX: ä\t{n}\r\n\r\n", n % 7);
        assert!(agrees(reply.as_bytes(), &mut knows));
    }
    assert!(agrees(b"HTTP/1.1 426 \r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", &mut knows));
    assert!(!agrees(b"HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", &mut knows));
    assert!(agrees(
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        &mut knows
    ));
}

#[test]
fn near_misses_are_left_to_the_reading_of_whole_heads() {
    let mut knows = Context::default();
    assert!(agrees(b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n", &mut knows));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(MAX_HEADERS + 1));
    let unusual: [&[u8]; 13] = [
        b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n: nameless\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n",
        many.as_bytes(),
    ];
    for bytes in unusual {
        assert!(!agrees(bytes, &mut knows), "{}", bytes.escape_ascii());
    }
    for bytes in [&b"HTTP/1.1 200\r\nA: b\r\n\r\n"[..], b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/2 200 OK\r\n\r\n"] {
        assert!(!agrees(bytes, &mut knows), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_line_as_long_as_the_last_one_is_two_where_a_line_ends_in_it() {
    for start in ["GET / HTTP/1.1", "HTTP/1.1 200 OK"] {
        let mut knows = Context::default();
        let head = |lines: &str| format!("{start}\r\nHost: a\r\n{lines}\r\n\r\n");
        for n in 10..30 {
            assert!(agrees(head(&format!("X-Id: {n}345678")).as_bytes(), &mut knows));
        }
        assert!(agrees(head("X-Id: 1\r\nY: 67").as_bytes(), &mut knows), "two lines, as long together");
        assert!(!agrees(head("X-Id: 12\nY: 67").as_bytes(), &mut knows), "a bare line feed");
        assert!(!agrees(head("X-Id: 12\r45678").as_bytes(), &mut knows));
    }
}

#[test]
fn knows_a_limited_number_of_names() {
    let mut knows = Context::default();
    for n in 0..2 * MAX_NAMES {
        let usual = agrees(format!("GET / HTTP/1.1\r\nX-{n}: 1\r\n\r\n").as_bytes(), &mut knows);
        assert_eq!(usual, n < MAX_NAMES);
    }
}

fn line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "Host: a",
        "Host: b",
        "host: a",
        "Host:",
        "Content-Length: 3",
        "Content-Length: 3, 3",
        "Content-Length: 4",
        "Content-Length: x",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
        "Connection: close",
        "Connection: keep-alive, Upgrade",
        "connection: x",
        "Upgrade: websocket",
        "Upgrade: h2c",
        "Expect: 100-continue",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Server: x",
        "Via: 1.1 a",
        "Server: y",
        "User-Agent: u",
        "X-Forwarded-For: 1, 2",
        "X-Forwarded-For: 2",
        "X:  a b\t",
        "X:\u{e4}",
        "X: \u{1}",
        "X: a\u{7f}",
        "no colon",
        " folded",
        "X : a",
        "",
        "X\u{e4}: a",
        "Status: 404",
        "Content-Type: text/event-stream; charset=utf-8",
        "Content-type: text/plain",
    ])
}

proptest! {
    #[test]
    fn both_readings_say_the_same(
        heads in prop::collection::vec((0..6_usize, prop::collection::vec((line(), 0..9), 0..6)), 1..8)
    ) {
        let mut knows = Context::default();
        for (start, lines) in heads {
            let starts = [
                "GET / HTTP/1.1", "POST /a HTTP/1.0", "HTTP/1.1 200 OK", "HTTP/1.0 404 Not \u{e4}", "HTTP/1.1 304 ",
                "BREW / HTTP/1.1",
            ];
            let mut bytes = format!("{}\r\n", starts[start]);
            for (line, end) in lines {
                bytes += line;
                bytes += if end == 0 { "\n" } else { "\r\n" };
            }
            agrees(format!("{bytes}\r\n").as_bytes(), &mut knows);
        }
    }
}
