//! What one side sent and the other never had, or had too late, and what the snap length hides of it.

use super::wirekit::{FIN, RST, Who, Wire};

use Who::{App, Down, Up, User};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const TIMEOUT: &str = "HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 3\r\n\r\nbad";

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
    assert_eq!(told(false, 84, half), ["user closed-before-response P1 Possible"]);
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
