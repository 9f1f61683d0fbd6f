//! What is a request, and what is another protocol.

use super::*;

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
