//! Each rule about the answers of single exchanges on the wire shape that it names, and on a near miss.

use super::Severity;
use super::testkit::{Chain, MS};
use super::wirekit::{FIN, RST, Who, Wire};
use crate::http::Method;
use crate::tcp::Side;

use Who::{App, Down, Up, User};

pub(super) const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad";
const UNAVAILABLE: &str = "HTTP/1.1 503 Backend fetch failed\r\nContent-Length: 3\r\n\r\nbad";
pub(super) const TIMEOUT: &str = "HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 3\r\n\r\nbad";
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

pub(super) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop\r\nX-Request-ID: a1b2c3d4{target}\r\n\r\n")
}

pub(super) fn post(target: &str, more: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: shop\r\n{more}X-Request-ID: a1b2c3d4{target}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// The request goes up; then what the test says.
pub(super) fn asked(then: impl FnOnce(&mut Wire)) -> Vec<String> {
    let mut wire = Wire::new();
    wire.say(User, get("/x")).say(Up, get("/x"));
    then(&mut wire);
    wire.findings()
}

/// The app's answer, the proxy's answer.
fn answered(app: &str, proxy: &str) -> Vec<String> {
    asked(|wire| {
        wire.say(App, app).end(Up, RST).say(Down, proxy);
    })
}

pub(super) fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn p1_is_a_close_without_an_answer_on_a_new_connection() {
    let closed = |flags| {
        asked(move |wire| {
            wire.end(App, flags).end(Up, FIN).say(Down, BAD_GATEWAY);
        })
    };
    assert_eq!(closed(FIN), ["app closed-before-response P1 Certain"]);
    assert_eq!(closed(RST), ["app closed-before-response P1 Certain"]);
    let whole = asked(|wire| {
        wire.say(App, OK).end(App, FIN).end(Up, FIN).say(Down, OK);
    });
    assert_eq!(whole, none());
}

#[test]
fn p2_is_a_silence_that_the_proxy_ended() {
    let silent = asked(|wire| {
        wire.wait(2_300).end(Up, FIN).say(Down, TIMEOUT);
    });
    assert_eq!(silent, ["app response-timeout P2 Certain"]);
    // Whatever the proxy calls it; but not before a timer could be.
    let told = |ms, status: &'static str| {
        asked(move |wire| {
            wire.wait(ms).end(Up, FIN).say(Down, status);
        })
    };
    assert_eq!(told(2_300, BAD_GATEWAY), ["app response-timeout P2 Likely"]);
    assert_eq!(told(2_300, UNAVAILABLE), ["app response-timeout P2 Likely"]);
    assert_eq!(told(300, UNAVAILABLE), none());
    // The app answers when nobody is there any more.
    let late = asked(|wire| {
        wire.wait(2_300).end(Up, FIN).say(Down, TIMEOUT).wait(900).say(App, OK).end(Up, RST);
    });
    assert_eq!(late, ["app response-timeout P2 Certain"]);
    let stopped = asked(|wire| {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhalf";
        wire.say(App, half).say(Down, half).wait(5_000).end(Up, FIN).end(Down, FIN);
    });
    assert_eq!(stopped, ["app response-timeout P2 Likely"]);
    let slow = asked(|wire| {
        wire.wait(9_000).say(App, OK).say(Down, OK);
    });
    assert_eq!(slow, none());
}

#[test]
fn p3_is_a_window_that_stays_closed() {
    let stalled = |opened: bool| {
        let mut chain = Chain::new(&["nginx", "app"]);
        let at = chain.open(0, 0);
        let conn = &mut chain.conns[at];
        conn.request(Method::Post, "/upload", MS).unfinished().sync();
        conn.window(Side::Server, 2 * MS, false);
        if opened {
            conn.window(Side::Server, 3 * MS, true);
        }
        conn.fin(Side::Client, 2_500 * MS);
        let kinds = chain.analyse().diagnosis.findings;
        kinds.into_iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert_eq!(stalled(false), ["send-stall"]);
    assert_eq!(stalled(true), ["client-abort"]);
}

#[test]
fn p4_is_a_large_head_that_the_proxy_refused() {
    let large =
        format!("HTTP/1.1 200 OK\r\nSet-Cookie: {}\r\nContent-Length: 2\r\n\r\nhi", "c".repeat(5_000));
    assert_eq!(answered(&large, BAD_GATEWAY), ["app response-header-too-large P4 Certain"]);
    assert_eq!(answered(&large, OK), none());
    // Varnish says so, and Envoy does before it has all of it.
    assert_eq!(answered(&large, UNAVAILABLE), ["app response-header-too-large P4 Certain"]);
    let mut ahead = Wire::new();
    let (plain, (first, rest)) = ("GET /x HTTP/1.1\r\nHost: shop\r\n\r\n", large.split_at(4_200));
    ahead.say(User, plain).say(Up, plain).say(App, first).say(Down, BAD_GATEWAY).end(Up, FIN);
    ahead.wait(50).say(App, rest).end(Up, RST);
    assert_eq!(ahead.findings(), ["app response-header-too-large P4 Certain"]);
    let small =
        format!("HTTP/1.1 200 OK\r\nSet-Cookie: {}\r\nContent-Length: 2\r\n\r\nhi", "c".repeat(3_000));
    assert_eq!(answered(&small, BAD_GATEWAY), none());
}

#[test]
fn p5_and_p6_are_responses_that_end_before_their_end() {
    let cut = |bytes: &'static str, flags| {
        asked(move |wire| {
            wire.say(App, bytes).say(Down, bytes).wait(50).end(App, flags).end(Down, FIN);
        })
    };
    let counted = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhalf";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    assert_eq!(cut(counted, FIN), ["app truncated-response P5 Certain"]);
    assert_eq!(cut(counted, RST), ["app truncated-response P5 Certain"]);
    assert_eq!(cut(chunked, FIN), ["app truncated-response P6 Certain"]);
    assert_eq!(
        cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n", FIN),
        none()
    );
    assert_eq!(cut("HTTP/1.0 200 OK\r\n\r\nhalf", FIN), none());
    assert_eq!(cut("HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n", FIN), none());
}

#[test]
fn p7_is_bytes_behind_the_end() {
    let surplus = asked(|wire| {
        wire.say(App, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhimore").say(Down, OK);
    });
    assert_eq!(surplus, ["app extra-response-bytes P7 Certain"]);
    let spoilt = |proxy: &'static str| {
        asked(move |wire| {
            wire.say(App, "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n").say(Down, OK);
            wire.say(User, get("/y")).say(Up, get("/y")).say(App, "junk").say(App, OK).end(Up, FIN);
            wire.say(Down, proxy).end(Down, FIN);
        })
    };
    let taken = ["app extra-response-bytes/taken-for-the-next-answer P7 Likely"];
    assert_eq!(spoilt(BAD_GATEWAY), taken);
    assert_eq!(spoilt("junkHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), taken);
    assert_eq!(spoilt(OK), ["app extra-response-bytes P7 Certain"]);
    let blank = asked(|wire| {
        wire.say(App, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\r\n").say(Down, OK);
    });
    assert_eq!(blank, none());
}

#[test]
fn p8_is_a_response_that_nobody_asked_for() {
    let goodbye = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let idle = asked(|wire| {
        wire.say(App, OK).say(Down, OK).wait(700).say(App, goodbye).end(App, FIN).end(Up, FIN);
    });
    assert_eq!(idle, ["app unsolicited-response P8 Certain"]);
    // What crosses a goodbye on a fresh connection is the first request there: nothing was reused.
    let mut crossed = Wire::new();
    crossed.say(User, get("/x")).wait(700).say(App, goodbye).end(App, FIN).say(Up, get("/x")).end(App, RST);
    crossed.say(Down, BAD_GATEWAY);
    assert!(
        crossed.findings().iter().all(|told| !told.contains("rejected-reused")),
        "{:?}",
        crossed.findings()
    );
    // On a connection that nobody has used yet it is a usual goodbye, and a close without one even more so.
    let mut preconnect = Wire::new();
    preconnect.wait(700).say(App, goodbye).end(App, FIN).end(Up, FIN).wait(60_000).end(Down, FIN);
    assert_eq!(preconnect.findings(), none());
}

#[test]
fn a_failing_health_check_alone_is_no_error() {
    const DOWN: &str = "HTTP/1.1 503 Down\r\nContent-Length: 4\r\n\r\ndown";
    let severity = |target: &str| {
        let mut wire = Wire::new();
        let ask = format!("GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n");
        wire.say(Up, &ask).say(App, DOWN).wait(700).say(Up, &ask).say(App, DOWN).end(Up, FIN).end(App, FIN);
        let analysis = wire.analysis();
        analysis.diagnosis.findings.iter().map(|finding| finding.severity).max()
    };
    assert_eq!(severity("/healthz"), Some(Severity::Warning));
    assert_eq!(severity("/item/9"), Some(Severity::Error));
}

#[test]
fn p9_is_an_answer_without_a_status_line() {
    let garbage = asked(|wire| {
        wire.say(App, "+OK this is another protocol\n").end(App, FIN).end(Up, FIN).say(Down, BAD_GATEWAY);
    });
    assert_eq!(garbage, ["app not-http P9 Certain"]);
    // HTTP/0.9 has no status line, and a client of another protocol gets that protocol's answer.
    for request in ["GET /old\r\n", "REGISTER sip:a SIP/2.0\r\nVia: b\r\n\r\n"] {
        let mut wire = Wire::new();
        wire.say(Up, request).say(App, "+OK hello\n").end(App, FIN).end(Up, FIN);
        assert_eq!(wire.findings(), none(), "{request}");
    }
}

#[test]
fn p10_and_p11_are_heads_that_contradict_themselves() {
    let both =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    assert_eq!(answered(both, BAD_GATEWAY), ["app conflicting-framing/refused-by-proxy P10 Certain"]);
    assert_eq!(answered(both, OK), ["app conflicting-framing P10 Certain"]);
    // Passed on as it was: still one fault, where it began.
    assert_eq!(answered(both, both), ["app conflicting-framing P10 Certain"]);
    let bad = "HTTP/1.1 200 OK\r\nX-Bad : 1\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(answered(bad, BAD_GATEWAY), ["app invalid-header/refused-by-proxy P11 Certain"]);
    assert_eq!(answered(bad, OK), ["app invalid-header P11 Likely"]);
}

#[test]
fn p12_is_an_answer_without_an_end_on_a_connection_that_stays_open() {
    let open = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhi";
    let kept = asked(|wire| {
        wire.say(App, open).wait(4_000).end(App, FIN).end(Up, FIN).say(Down, OK);
    });
    assert_eq!(kept, ["app unframed-kept-open P12 Certain"]);
    let closed = asked(|wire| {
        wire.say(App, open).wait(20).end(App, FIN).end(Up, FIN).say(Down, OK);
    });
    assert_eq!(closed, none());
}

#[test]
fn an_answer_of_http_0_9_may_be_empty() {
    let asked = |request: &str, end: u8| {
        let mut wire = Wire::new();
        wire.say(User, request).end(Down, end);
        wire.findings()
    };
    assert_eq!(asked("GET /x\r\n", FIN), none());
    assert_eq!(asked("GET /x\r\n", RST), ["user closed-before-response P1 Certain"]);
    assert_eq!(asked(&get("/x"), FIN), ["user closed-before-response P1 Certain"]);
}

#[test]
fn statuses_that_the_application_means_are_no_faults_and_its_500_is() {
    for status in ["200", "301", "400", "401", "403", "404", "409", "413", "422", "429"] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(answered(&answer, &answer), none(), "{status}");
    }
    let error = "HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(answered(error, error), ["app application-error  Likely"]);
}

#[test]
fn a_failure_that_another_answer_hid_is_a_warning() {
    let severity = |answer: &str| {
        let mut wire = Wire::new();
        wire.say(User, get("/x")).say(Up, get("/x")).end(App, FIN).end(Up, FIN).say(Down, answer);
        let finding = &wire.analysis().diagnosis.findings[0];
        assert_eq!(finding.kind, "closed-before-response");
        (finding.severity, finding.explanation.contains("got an error by it: behind it stand 1 request"))
    };
    assert_eq!(severity(BAD_GATEWAY), (Severity::Error, false));
    // Such as of a cache, or of error_page.
    assert_eq!(severity(OK), (Severity::Warning, true));
}

#[test]
fn a_cut_answer_that_is_passed_on_as_whole_is_no_hidden_failure() {
    let severity = |down: &str| {
        let cut = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let mut wire = Wire::new();
        wire.say(User, get("/x")).say(Up, get("/x")).say(App, cut).end(App, FIN).end(Up, FIN).say(Down, down);
        let finding = &wire.analysis().diagnosis.findings[0];
        assert_eq!(finding.kind, "truncated-response");
        (
            finding.severity,
            finding.explanation.contains("No user could notice it: 1 request got what there was"),
        )
    };
    // lighttpd and h2o write the last chunk themselves.
    let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(severity(whole), (Severity::Error, true));
    assert_eq!(severity("HTTP/1.1 304 Not Modified\r\n\r\n"), (Severity::Warning, false));
}

#[test]
fn a_502_of_the_last_hop_is_its_own_where_it_is_no_proxy() {
    let told = |server: &str| {
        let answer = format!("HTTP/1.1 502 Bad Gateway\r\nServer: {server}\r\nContent-Length: 3\r\n\r\nbad");
        let mut wire = Wire::new();
        wire.say(User, get("/x")).say(Up, get("/x")).say(App, &answer).say(Down, &answer);
        let finding = &wire.analysis().diagnosis.findings[0];
        (finding.kind.clone(), finding.confidence)
    };
    assert_eq!(told("gunicorn"), ("application-error".to_owned(), super::Certainty::Possible));
    assert_eq!(told("nginx/1.22.1"), ("partial-capture".to_owned(), super::Certainty::Certain));
}

#[test]
fn envoys_503_is_about_what_it_asked_and_other_servers_own() {
    let told = |server: &str| {
        let body =
            "upstream connect error or disconnect/reset before headers. reset reason: connection failure";
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nServer: {server}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut wire = Wire::new();
        wire.say(User, get("/x")).say(Up, get("/x")).say(App, &answer).say(Down, &answer);
        let finding = &wire.analysis().diagnosis.findings[0];
        (finding.kind.clone(), finding.fixes.iter().any(|fix| fix.change.contains("RESPONSE_FLAGS")))
    };
    assert_eq!(told("envoy"), ("partial-capture".to_owned(), true));
    assert_eq!(told("gunicorn"), ("application-error".to_owned(), false));
}

#[test]
fn c6_is_also_a_handshake_between_hops_that_an_alert_ends() {
    let hello =
        b"\x16\x03\x01\0\x2f\x01\0\0\x2b\x03\x03aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb\0\0\x02\x13\x01\x01\0\0\0";
    let alert = b"\x15\x03\x03\0\x02\x02\x28";
    let mut wire = Wire::new();
    wire.say(User, get("/x"))
        .say(Up, hello)
        .say(App, alert)
        .end(App, FIN)
        .end(Up, FIN)
        .say(Down, BAD_GATEWAY);
    assert_eq!(wire.findings(), ["app tls-handshake-failed C6 Certain"]);
    let analysis = wire.analysis();
    let words = &analysis.diagnosis.findings[0].explanation;
    assert!(words.contains("app ends it with the alert handshake_failure"), "{words}");
    // A user's may be a scanner's.
    let mut users = Wire::new();
    users.say(User, hello).say(Down, alert).end(Down, FIN).end(User, FIN);
    assert_eq!(users.findings(), none());
}

#[test]
fn who_waits_for_an_app_in_vain_without_a_proxy_has_a_timer_and_no_fault_is_shown() {
    let mut chain = Chain::new(&["user", "app"]);
    let at = chain.open(0, 0);
    chain.conns[at].request(Method::Get, "/slow", MS).sync().fin(Side::Client, 5_001 * MS);
    let finding = &chain.analyse().diagnosis.findings[0];
    let told = (finding.kind.as_str(), finding.cause.as_str(), finding.severity);
    assert_eq!(told, ("response-timeout", "client-gave-up", Severity::Warning));
    assert!(finding.summary.contains("user gave up waiting for app after 5.00 s"), "{}", finding.summary);
}

#[test]
fn a_hop_that_asked_meanwhile_is_not_said_to_have_asked_nobody() {
    // The request behind looks like another one, so that nothing tells for whom it was.
    let kinds = |asks: bool| {
        let mut wire = Wire::new();
        wire.say(User, get("/x"));
        if asks {
            wire.say(Up, "POST /other HTTP/1.1\r\nHost: db\r\nContent-Length: 1\r\n\r\n1").say(App, OK);
        }
        wire.say(Down, BAD_GATEWAY);
        // The capture behind goes on.
        wire.say(User, get("/y")).say(Up, get("/y")).say(App, OK).say(Down, OK);
        let findings = wire.analysis().diagnosis.findings;
        findings.iter().any(|finding| finding.cause == "asked-nobody")
    };
    assert!(kinds(false));
    assert!(!kinds(true));
}

#[test]
fn what_follows_a_proxy_header_that_nobody_expects_is_no_reuse() {
    let mut wire = Wire::new();
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for _ in 0..3 {
        wire.say(User, get("/x")).say(Up, "PROXY TCP4 10.0.0.1 10.0.0.2 40000 80\r\n").say(App, refused);
        wire.end(App, FIN).say(Up, get("/x")).end(App, RST).say(Down, BAD_GATEWAY).wait(50).reconnect();
    }
    assert_eq!(wire.findings(), ["app proxy-protocol-mismatch/header-not-expected C7 Certain"]);
}

#[test]
fn a_proxy_header_that_only_checks_send_costs_no_user_a_request() {
    let severity = |target: &str| {
        let mut wire = Wire::new();
        let asked = format!("PROXY TCP4 10.0.0.2 10.0.0.3 50000 8000\r\nGET {target} HTTP/1.0\r\n\r\n");
        for _ in 0..3 {
            wire.say(Up, &asked).say(App, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            wire.end(App, FIN).end(Up, FIN).wait(300).reconnect();
        }
        let findings = wire.analysis().diagnosis.findings;
        findings.into_iter().find(|one| one.kind == "proxy-protocol-mismatch").map(|one| one.severity)
    };
    assert_eq!(severity("/health"), Some(Severity::Warning));
    assert_eq!(severity("/cart"), Some(Severity::Error));
}
