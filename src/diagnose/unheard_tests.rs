//! What one side sent and the other never had, or had too late, and what the snap length hides of it.

use super::wirekit::{FIN, RST, Who, Wire};

use Who::{App, Down, Up, User};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n")
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
