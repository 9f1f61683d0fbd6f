//! What is told of an exchange beside its messages.

use super::*;

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
