//! What one side sent and the other never had, or had too late, and what the snap length hides of it.

use super::testkit::{Chain, MS};
use super::wirekit::{FIN, RST, Who, Wire};
use crate::http::Method::{Get, Post};
use crate::http::{Framing, MessageState};
use crate::tcp::{EventKind, Side};

use Who::{App, Down, Up, User};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const TIMEOUT: &str = "HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 3\r\n\r\nbad";
const S: i64 = 1_000 * MS;

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n")
}

/// A chain whose clocks are known from what went well before.
fn known(snap_len: usize) -> Wire {
    let mut wire = Wire::cut_to(snap_len);
    for n in 0..6 {
        let get = get(&format!("/{n}"));
        wire.say(User, &get).say(Up, &get).say(App, OK).say(Down, OK).wait(20);
    }
    wire
}

/// Whether the last request on the app's side has a parent.
fn has_parent(wire: &Wire) -> bool {
    let analysis = wire.analysis();
    let child = analysis.exchanges().filter(|x| x.connection().inner.server.port() == 8000).last();
    analysis.trees.parent(child.unwrap().id).is_some()
}

#[test]
fn a_request_whose_rest_comes_after_the_close_was_waited_for() {
    let half = ["POST /x HTTP/1.1\r\nHost: shop\r\nContent-", "Length: 2\r\n\r\nhi"];
    let told = |reused: bool, snap_len: usize, parts: [&str; 2]| {
        let mut wire = Wire::cut_to(snap_len);
        if reused {
            wire.say(User, get("/a")).say(Up, get("/a")).say(App, OK).say(Down, OK).wait(20);
        }
        wire.say(User, parts[0]).wait(1_000).end(Down, FIN);
        if !parts[1].is_empty() {
            wire.wait(1_500).say(User, parts[1]).end(Down, RST);
        }
        wire.findings()
    };
    assert_eq!(told(false, 1_500, half), ["user request-timeout Q3 Certain"]);
    assert_eq!(told(true, 1_500, half), ["user request-timeout Q3 Certain"]);
    let whole = [&half.concat()[..], ""];
    assert_eq!(told(false, 1_500, whole), ["user closed-before-response P1 Certain"]);
    // The end of the head cannot be seen, and the proxy passed nothing on.
    assert_eq!(told(false, 84, half), ["user request-timeout Q3 Possible"]);
}

#[test]
fn a_close_with_a_request_in_parts_on_its_way_is_no_timeout() {
    let mut wire = Wire::new();
    wire.say(User, get("/a")).say(Up, get("/a")).say(App, OK).say(Up, "POST /x HTTP/1.1\r\nHost: a\r\n");
    wire.end(App, FIN).say(Up, "Content-Length: 2\r\n\r\nhi").end(App, RST);
    assert!(wire.findings().iter().all(|told| told.starts_with("app rejected-reused-request")));
}

#[test]
fn a_body_that_the_snap_length_cut_in_one_capture_alone_hides_no_parent() {
    let mut wire = known(170);
    let head = "POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 200\r\n\r\n";
    let part = "p".repeat(50);
    wire.say(User, head);
    for _ in 0..4 {
        wire.say(User, &part);
    }
    wire.say(Up, format!("{head}{}", part.repeat(4))).say(App, OK).say(Down, OK);
    assert!(has_parent(&wire));
}

#[test]
fn bodies_of_another_length_are_told_apart_where_they_are_cut() {
    let mut wire = known(170);
    let post = |length: usize| {
        format!("POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: {length}\r\n\r\n{}", "p".repeat(length))
    };
    wire.say(User, post(20)).say(Up, post(200)).say(App, OK).say(Down, OK);
    assert!(!has_parent(&wire));
}

#[test]
fn a_timer_is_known_behind_a_504_of_which_the_snap_length_left_the_status() {
    let mut wire = known(150);
    let long =
        TIMEOUT.replace("bad", "").replace("Content", &format!("X-Pad: {}\r\nContent", "p".repeat(90)));
    wire.say(User, get("/slow")).say(Up, get("/slow")).wait(1_370).end(Up, FIN).say(Down, long);
    assert_eq!(wire.findings(), ["app response-timeout P2 Certain"]);
}

#[test]
fn who_waits_for_an_answer_that_is_too_large_for_the_path_waits_for_no_slow_server() {
    let mut chain = Chain::new(&["user", "edge", "ingress", "app"]);
    let (user, edge, app) = (chain.open(0, 0), chain.open(1, 0), chain.open(2, 0));
    chain.conns[user].request(Post, "/", MS).response(504, 2_003 * MS);
    chain.conns[edge].request(Post, "/", 2 * MS).sync().fin(Side::Client, 2_002 * MS);
    let conn = &mut chain.conns[app];
    conn.request(Post, "/", 3 * MS).response(200, 5 * MS);
    // The app's capture shows the answer whole.
    let seq = conn.exchanges[0].response.seq;
    conn.flow.directions[0].acked = Some(seq);
    for again in 0..4 {
        conn.note(EventKind::Retransmission, Side::Server, (1 + again) * S, 0, 1448);
    }
    chain.parent((edge, 0), (user, 0), 1);
    chain.parent((app, 0), (edge, 0), 1);
    let findings = chain.analyse().diagnosis.findings;
    let kinds: Vec<&str> = findings.iter().map(|finding| finding.kind.as_str()).collect();
    assert_eq!(kinds, ["mtu-black-hole"]);
}

#[test]
fn a_hop_that_drops_what_it_asked_and_who_asked_it_has_died_itself() {
    let mut wire = known(1_500);
    wire.reconnect().say(User, get("/x")).say(Up, get("/x")).wait(30);
    wire.end(Up, RST).end(Down, RST).say(App, OK);
    assert_eq!(wire.findings(), ["user closed-before-response P1 Certain"]);
}

#[test]
fn a_chunk_size_that_is_none_is_the_servers_fault() {
    let broken = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz not a size\r\n";
    let mut wire = known(1_500);
    wire.say(User, get("/x")).say(Up, get("/x")).say(App, broken).end(Up, FIN).end(Down, FIN);
    assert_eq!(wire.findings(), ["app truncated-response/invalid-chunk P6 Certain"]);
}

#[test]
fn requests_that_are_too_large_for_the_path_wait_in_no_queue() {
    let mut chain = Chain::new(&["nginx", "app"]);
    let works = chain.open(0, 0);
    for n in 0..20 {
        chain.conns[works].request(Post, "/small", n * 300 * MS + MS).response(200, n * 300 * MS + 2 * MS);
    }
    for start in [S, 2 * S, 3 * S] {
        let at = chain.open(0, start);
        let conn = &mut chain.conns[at];
        conn.request(Post, "/large", start + MS);
        conn.flow.directions[1].acked = Some(conn.exchanges[0].request.seq);
        for again in 0..4 {
            conn.note(EventKind::Retransmission, Side::Client, start + (1 << again) * 300 * MS, 0, 1448);
            conn.events.last_mut().unwrap().quiet_us = 300_000;
        }
        conn.fin(Side::Client, start + 4 * S);
    }
    let findings = chain.analyse().diagnosis.findings;
    let kinds: Vec<&str> = findings.iter().map(|finding| finding.kind.as_str()).collect();
    assert_eq!(kinds, ["mtu-black-hole"]);
}

#[test]
fn a_413_is_seen_though_the_snap_length_cut_what_the_request_announced() {
    let refused = "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 2\r\n\r\nno";
    let post = "POST /up HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\ntoo large";
    let mut own = Wire::cut_to(84);
    own.say(User, post).say(Down, refused).end(Down, FIN);
    assert_eq!(own.findings(), ["user request-too-large Q2 Possible"]);
    let mut passed_on = Wire::cut_to(84);
    passed_on.say(User, post).say(Up, post).say(App, refused).say(Down, refused);
    assert!(passed_on.findings().is_empty(), "{:?}", passed_on.findings());
}

#[test]
fn a_413_of_a_cut_request_that_holds_another_413_may_be_passed_on() {
    // Who asked for the other one nobody can tell: the hop between shows nothing of it.
    let told = |deeper: i64| {
        let mut chain = Chain::new(&["user", "nginx", "ingress", "app"]);
        let (user, app) = (chain.open(0, 0), chain.open(2, 0));
        chain.conns[user].request(Post, "", 10 * MS).response(413, 20 * MS).cut_short_on_one_host();
        chain.conns[app].request(Post, "", deeper).response(413, deeper + 2 * MS).cut_short_on_one_host();
        let findings = chain.analyse().diagnosis.findings.into_iter();
        findings.map(|finding| finding.kind).filter(|kind| kind == "request-too-large").count()
    };
    assert_eq!(told(12 * MS), 0);
    assert_eq!(told(30 * MS), 1);
}

/// What is told where packets are cut behind some 30 bytes of payload, or kept whole.
fn cut_and_whole(then: impl Fn(&mut Wire)) -> [Vec<String>; 2] {
    cut_to_and_whole(84, then)
}

fn cut_to_and_whole(snap_len: usize, then: impl Fn(&mut Wire)) -> [Vec<String>; 2] {
    [snap_len, 262_144].map(|snap_len| {
        let mut wire = known(snap_len);
        then(&mut wire);
        wire.findings()
    })
}

const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad";

#[test]
fn what_times_and_sequence_numbers_tell_is_told_of_cut_packets_too() {
    let left = cut_and_whole(|wire| {
        wire.say(User, get("/slow")).wait(400).end(User, FIN);
    });
    assert_eq!(left, [["user client-abort Q5 Certain"], ["user client-abort Q5 Certain"]]);
    let body = "POST /up HTTP/1.1\r\nHost: shop\r\nContent-Length: 90\r\n\r\nhalf";
    let unfinished = cut_and_whole(|wire| {
        let told = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
        wire.say(User, body).wait(3_000).say(Down, told).end(User, FIN);
    });
    assert_eq!(unfinished, [["user request-timeout Q3 Certain"], ["user request-timeout Q3 Certain"]]);
    let large = format!("GET /x HTTP/1.1\r\nHost: shop\r\nCookie: {}\r\n\r\n", "c".repeat(70_000));
    let request = cut_and_whole(|wire| {
        let told = "HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n";
        wire.say(User, &large).say(Down, told).end(Down, FIN).end(User, FIN);
    });
    let too_large = ["user request-header-too-large Q10 Certain"];
    assert_eq!(request, [too_large, too_large]);
    let head = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\nContent-Length: 2\r\n\r\nhi", "c".repeat(70_000));
    // Long enough to know which request is which.
    let ask = format!("GET /a HTTP/1.1\r\nX-Request-ID: a1b2c3d4e5\r\nCookie: {}\r\n\r\n", "c".repeat(90));
    let response = cut_to_and_whole(150, |wire| {
        wire.say(User, &ask).say(Up, &ask).say(App, &head).end(Up, FIN).say(Down, BAD_GATEWAY);
    });
    let refused = |sure: &str| vec![format!("app response-header-too-large P4 {sure}")];
    assert_eq!(response, [refused("Possible"), refused("Certain")]);
    // A proxy that left in the middle of an answer: what came then was reset.
    let stopped = cut_and_whole(|wire| {
        let part = format!("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{}", "x".repeat(3_000));
        wire.say(User, get("/a")).say(Up, get("/a")).say(App, &part).say(Down, &part).wait(3_000);
        wire.end(Up, FIN).end(Down, RST).wait(900).say(App, "y".repeat(6_000)).end(Up, RST);
    });
    assert_eq!(stopped, [["app response-timeout P2 Likely"], ["app response-timeout P2 Likely"]]);
    // A known head and the connection's end tell how much of the body is missing.
    let short = cut_to_and_whole(110, |wire| {
        let part = format!("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{}", "x".repeat(3_000));
        wire.say(User, get("/a"))
            .say(Up, get("/a"))
            .say(App, &part)
            .end(App, FIN)
            .say(Down, &part)
            .end(Down, FIN);
    });
    assert_eq!(short, [["app truncated-response P5 Certain"], ["app truncated-response P5 Certain"]]);
}

#[test]
fn what_a_cut_request_hides_is_not_held_against_the_server() {
    let silent = |target: &str, method: &str| {
        let ask = format!("{method} {target} HTTP/1.1\r\nHost: shop\r\nContent-Length: 90\r\n\r\n");
        let told = cut_and_whole(|wire| {
            wire.say(User, &ask).say(Up, &ask).wait(3_000).say(Down, TIMEOUT).end(Up, FIN).end(Down, FIN);
        });
        told[0].clone()
    };
    assert_eq!(silent("/a", "POST"), ["app response-timeout P2 Possible"]);
    assert_eq!(silent("/a", "GET"), ["app response-timeout P2 Certain"]);
}

#[test]
fn who_resets_in_the_middle_of_a_large_head_that_was_cut_met_no_stale_connection() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let large = format!("GET /x HTTP/1.1\r\nHost: shop\r\nCookie: {}\r\n\r\n", "c".repeat(40_000));
    let (begun, rest) = large.split_at(20_000);
    let reset = |times: usize| {
        let [cut, _] = cut_and_whole(|wire| {
            for _ in 0..times {
                wire.say(User, get("/a")).say(Up, get("/a")).say(App, ok).say(Down, ok).wait(20);
                wire.say(User, begun).end(Down, RST).say(User, rest).reconnect();
            }
        });
        cut
    };
    assert_eq!(reset(3), ["user request-header-too-large Q10 Likely"]);
    // Fewer may have been met by a timer.
    assert_eq!(reset(2), ["user rejected-reused-request/unknown R7 Likely"]);
}

#[test]
fn the_snap_length_is_named_where_it_is_why_nothing_is_known() {
    let note = |snap_len| {
        let mut wire = known(snap_len);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{}", "x".repeat(900));
        wire.say(User, get("/a")).say(Up, get("/a")).say(App, &answer).say(Down, &answer);
        let findings = wire.analysis().diagnosis.findings.into_iter();
        findings.map(|f| (f.kind, f.cause, f.severity)).collect::<Vec<_>>()
    };
    let told = ("partial-capture".to_owned(), "snap-length".to_owned(), crate::diagnose::Severity::Note);
    assert_eq!(note(84), [told]);
    assert_eq!(note(1_500), []);
}

#[test]
fn what_arrives_when_its_client_has_left_was_not_waited_for() {
    // Sent again so often; the path heals when the proxy has given up, or after the first of them.
    let told = |again: &[i64]| {
        let mut chain = Chain::new(&["proxy", "app"]);
        let at = chain.open(0, 0);
        let conn = &mut chain.conns[at];
        conn.request(Post, "/a", 10 * MS).response(200, 20 * MS);
        conn.request(Post, "/b", S);
        for &after in again {
            conn.note(EventKind::Retransmission, Side::Client, S + after, 100, 100);
        }
        conn.fin(Side::Client, 4 * S).response(200, 5 * S).rst(Side::Client, 5 * S + MS, false);
        let findings = chain.analyse().diagnosis.findings.into_iter();
        findings.map(|f| if f.cause.is_empty() { f.kind } else { f.cause }).collect::<Vec<_>>()
    };
    let lost = told(&[200 * MS, 600 * MS, 1_400 * MS]);
    assert!(
        lost.contains(&"host-vanished".to_owned()) && !lost.contains(&"response-timeout".to_owned()),
        "{lost:?}"
    );
    assert!(told(&[200 * MS]).contains(&"client-gave-up".to_owned()), "{:?}", told(&[200 * MS]));
}

#[test]
fn no_proxy_is_blamed_for_a_cut_answer_while_what_it_got_is_not_known() {
    let told = |known: bool| {
        let mut chain = Chain::new(&["user", "proxy", "app"]);
        let (user, app) = (chain.open(0, 0), chain.open(1, 0));
        chain.conns[user].request(Post, "/a", MS).response(200, 4 * MS).cut().fin(Side::Server, 5 * MS);
        chain.conns[app].request(Post, "/a", 2 * MS).response(200, 3 * MS);
        if !known {
            let response = &mut chain.conns[app].exchanges[0].response;
            (response.state, response.framing) = (MessageState::Lossy, Framing::Chunked);
            chain.conns[app].flow.directions[1].cut_bytes = 100;
        }
        chain.parent((app, 0), (user, 0), 1);
        let findings = chain.analyse().diagnosis.findings.into_iter();
        findings.filter(|finding| finding.kind == "truncated-response").count()
    };
    assert_eq!(told(true), 1);
    assert_eq!(told(false), 0);
}

/// Requests through a proxy to a server that goes silent; the proxy closes both its sides so much later.
fn given_up(cases: &[Stalled]) -> Vec<String> {
    let mut chain = Chain::new(&["user", "nginx", "app"]);
    for (n, case) in cases.iter().enumerate() {
        let start = n as i64 * 20_000 * MS;
        let (user, app) = (chain.open(0, start), chain.open(1, start));
        chain.conns[user].request(Get, "/slow", start + MS);
        chain.conns[app].request(Get, "/slow", start + 2 * MS).sync();
        let mut last = start + 2 * MS;
        if case.parts_ms > 0 {
            last += (1 + case.parts_ms) * MS;
            chain.conns[app].response(200, last).cut().in_parts(case.parts_ms * MS);
            chain.conns[user].response(200, last + MS).cut();
        }
        let closed = last + case.silent_ms * MS;
        let leaves = if case.user_left { Side::Client } else { Side::Server };
        if case.user_left {
            chain.conns[user].fin(leaves, closed);
        }
        chain.conns[app].fin(Side::Client, closed + MS / 10);
        if !case.user_left {
            chain.conns[user].sync().fin(leaves, closed + MS / 5);
        }
        chain.parent((app, 0), (user, 0), 1);
    }
    let findings = chain.analyse().diagnosis.findings;
    findings.iter().map(|f| format!("{}/{} ×{}", f.kind, f.cause, f.count)).collect()
}

/// One of these: for how long the parts of an answer came, how long nothing came then, and whether it is the user who left.
struct Stalled {
    parts_ms: i64,
    silent_ms: i64,
    user_left: bool,
}

#[test]
fn a_timer_of_a_second_may_count_from_an_earlier_part_of_the_answer() {
    let case = |parts_ms, silent_ms| [Stalled { parts_ms, silent_ms, user_left: false }];
    assert_eq!(given_up(&case(0, 999)), ["response-timeout/ ×1"]);
    assert_eq!(given_up(&case(250, 800)), ["response-timeout/ ×1"]);
    // nginx leaves a timer alone for 300 ms, and no longer than parts came.
    let earlier = given_up(&case(250, 600));
    assert!(earlier.iter().all(|one| !one.contains("timeout")), "{earlier:?}");
    let at_once = given_up(&case(1, 800));
    assert!(at_once.iter().all(|one| !one.contains("timeout")), "{at_once:?}");
    // A user who leaves after that long is followed at once.
    let left = given_up(&[Stalled { parts_ms: 250, silent_ms: 800, user_left: true }]);
    assert_eq!(left, ["client-abort/ ×1"]);
}

#[test]
fn a_timer_that_is_looked_at_once_a_second_fires_late() {
    let all = |odd_ms| {
        let silences = [3_001, 3_002, 3_003, odd_ms];
        silences.map(|silent_ms| Stalled { parts_ms: 0, silent_ms, user_left: false })
    };
    assert_eq!(given_up(&all(3_800)), ["response-timeout/ ×4"]);
    assert!(given_up(&all(4_500)).contains(&"response-timeout/ ×3".to_owned()));
    // Three that waited equally long by chance show no timer for others.
    let chance =
        [2_401, 2_402, 2_403, 2_800].map(|ms| Stalled { parts_ms: 0, silent_ms: ms, user_left: false });
    assert!(given_up(&chance).contains(&"response-timeout/ ×3".to_owned()));
}

#[test]
fn a_request_that_never_got_whole_was_passed_on_to_nobody() {
    // While it waits for the rest, the server behind closes on what another one asked.
    let mut chain = Chain::new(&["user", "nginx", "app"]);
    let (slow, other, app) = (chain.open(0, 0), chain.open(0, 0), chain.open(1, 100 * MS));
    chain.conns[slow].request(Post, "/upload", MS).unfinished().sync();
    chain.conns[other].request(Post, "/b", 100 * MS);
    chain.conns[app].request(Post, "/b", 101 * MS).sync().fin(Side::Server, 200 * MS);
    chain.conns[other].response(502, 201 * MS);
    chain.conns[slow].fin(Side::Server, S + 2 * MS);
    chain.parent((app, 0), (other, 0), 1);
    let findings = chain.analyse().diagnosis.findings;
    let mut told: Vec<String> = findings.iter().map(|f| format!("{} ×{}", f.kind, f.count)).collect();
    told.sort();
    assert_eq!(told, ["closed-before-response ×1", "request-timeout ×1"]);
}

#[test]
fn a_proxy_that_asked_somebody_may_have_got_no_more_than_it_passed_on() {
    // The answer breaks off while nobody knows for whom the proxy asked, or while it asked nobody.
    let cut = |asked: bool| {
        let mut chain = Chain::new(&["user", "nginx", "app"]);
        let (user, app) = (chain.open(0, 0), chain.open(1, 0));
        chain.conns[app].request(Get, "/z", MS).response(200, 2 * MS);
        if asked {
            chain.conns[app].request(Get, "/y", S + 2 * MS).response(200, S + 3 * MS);
        }
        chain.conns[user]
            .request(Get, "/a", S + MS)
            .response(200, S + 4 * MS)
            .cut()
            .fin(Side::Server, S + 5 * MS);
        chain.conns[user].exchanges[0].response.head_bytes = 90;
        chain.conns[user].exchanges[0].response.framing = Framing::Length(9_000);
        let findings = chain.analyse().diagnosis.findings;
        findings.iter().any(|f| f.kind == "truncated-response")
    };
    assert!(cut(false));
    assert!(!cut(true));
}

#[test]
fn a_400_to_who_left_without_a_word_was_given_up_by_nobody() {
    // Where it lasts until the close, the client's kernel resets before that.
    for (length, who, flags) in [("Content-Length: 3\r\n", Down, FIN), ("", User, RST)] {
        let mut wire = Wire::new();
        let bad = format!("HTTP/1.1 400 Bad request\r\nConnection: close\r\n{length}\r\nbad");
        wire.end(User, FIN).say(Down, &bad).end(who, flags);
        let analysis = wire.analysis();
        let failures = &analysis.diagnosis.failures.visible;
        assert!(failures.is_empty() && wire.findings().is_empty(), "{failures:?} {:?}", wire.findings());
    }
}

#[test]
fn a_proxy_that_stops_in_the_middle_of_a_body_is_told_and_not_who_asked_or_was_asked() {
    let bad = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    let head = "POST /upload HTTP/1.1\r\nHost: shop\r\nContent-Length: 3000\r\n\r\n";
    let told = |sent: usize, status: &str| {
        let mut wire = known(1_500);
        wire.say(User, [head, &"x".repeat(sent)].concat());
        wire.say(Up, [head, &"x".repeat(1_000)].concat()).end(Up, FIN).say(App, OK).end(Up, RST);
        if status.is_empty() {
            wire.end(User, FIN).end(Down, FIN);
        } else {
            wire.say(Down, status).end(Down, FIN);
        }
        wire.findings()
    };
    assert_eq!(told(3_000, bad), ["app request-too-large/cut-while-passing-on Q2 Likely"]);
    // All that had come was passed on, or the user left.
    let others = [told(1_000, bad), told(1_000, "")].concat();
    assert!(others.iter().all(|one| !one.contains("cut-while")), "{others:?}");
}
