//! Which response answers which request.

use super::*;

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
fn what_follows_a_request_is_another_one_once_it_has_a_target() {
    for (rest, requests) in [("PURGE /cach", 2), ("PAYLOAD", 1), ("PAYLOAD ", 1), ("a body nobody", 1)] {
        let mut script = Script::new();
        script.client(&[&get("/"), rest.as_bytes()].concat()).control(0, RST);
        assert_eq!(script.lines().len(), requests, "{rest}");
    }
}
