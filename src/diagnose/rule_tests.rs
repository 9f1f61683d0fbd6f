//! Each rule about single exchanges on the wire shape that it names, and on a near miss.

use super::Severity;
use super::testkit::{Chain, MS};
use super::wirekit::{FIN, RST, Who, Wire};
use crate::http::Method;
use crate::tcp::Side;

use Who::{App, Down, Up, User};

const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad";
const UNAVAILABLE: &str = "HTTP/1.1 503 Backend fetch failed\r\nContent-Length: 3\r\n\r\nbad";
const TIMEOUT: &str = "HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 3\r\n\r\nbad";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop\r\nX-Request-ID: a1b2c3d4{target}\r\n\r\n")
}

fn post(target: &str, more: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: shop\r\n{more}X-Request-ID: a1b2c3d4{target}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// The request goes up; then what the test says.
fn asked(then: impl FnOnce(&mut Wire)) -> Vec<String> {
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

fn none() -> Vec<String> {
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
fn q1_is_an_answer_before_the_request_was_read() {
    let denied = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    let uploading = |then: fn(&mut Wire)| {
        let mut wire = Wire::new();
        let head = post("/x", "", 3_000);
        wire.say(User, format!("{head}{}", "b".repeat(3_000))).say(Up, &head).say(Up, "b".repeat(1_000));
        then(&mut wire);
        wire.findings()
    };
    let denied_and_reset = uploading(|wire| {
        wire.say(App, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
            .end(App, RST)
            .say(Down, BAD_GATEWAY);
    });
    assert_eq!(denied_and_reset, ["app early-response/reset-while-sending Q1 Certain"]);
    let closed = uploading(|wire| {
        wire.say(App, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").end(App, FIN).end(Up, FIN);
        wire.say(Down, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    });
    assert_eq!(closed, ["app early-response/closed-while-sending Q1 Certain"]);
    let read_all_the_same = uploading(|wire| {
        wire.say(App, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").say(Up, "b".repeat(2_000));
        wire.end(App, FIN).end(Up, FIN).say(Down, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    });
    assert_eq!(read_all_the_same, none());
    // A refusal instead of 100 is what the client asked for.
    let mut expecting = Wire::new();
    let head = post("/x", "Expect: 100-continue\r\n", 3_000);
    expecting.say(User, &head).say(Up, &head).say(App, denied).end(App, FIN).end(Up, FIN);
    expecting.say(Down, denied).end(Down, FIN).end(User, FIN);
    assert_eq!(expecting.findings(), none());
}

#[test]
fn q2_is_a_413_that_the_proxy_gave_by_itself() {
    let refusal = "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    let mut own = Wire::new();
    own.say(User, format!("{}{}", post("/x", "", 5_000), "b".repeat(5_000)))
        .say(Down, refusal)
        .end(Down, FIN);
    assert_eq!(own.findings(), ["user request-too-large Q2 Certain"]);
    let mut apps = Wire::new();
    let whole = format!("{}{}", post("/x", "", 100), "b".repeat(100));
    apps.say(User, &whole).say(Up, &whole).say(App, refusal).end(App, FIN).end(Up, FIN).say(Down, refusal);
    assert_eq!(apps.findings(), none());
}

#[test]
fn a_413_of_the_app_to_a_body_under_way_is_the_apps_also_without_an_id() {
    let refusal = "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 2\r\n\r\nno";
    let head = "POST /up HTTP/1.1\r\nHost: shop\r\nContent-Length: 9000\r\n\r\n";
    let mut wire = Wire::new();
    for n in 0..8 {
        let get = get(&format!("/{n}"));
        wire.say(User, &get).say(Up, &get).say(App, OK).say(Down, OK);
    }
    wire.reconnect();
    wire.say(User, format!("{head}{}", "b".repeat(4_000))).say(Up, format!("{head}{}", "b".repeat(3_000)));
    wire.say(App, refusal).end(Up, FIN).end(App, RST).say(Down, refusal).say(User, "b".repeat(5_000));
    let told = ["app early-response/answered-before-read Q1 Certain"];
    assert_eq!(wire.findings(), told);
    // What is sent behind an answer that came too early is lost, and one connection is no habit.
    wire.end(Down, FIN).say(User, get("/next"));
    let rejected = "user rejected-reused-request/closed-after-early-answer R1 Certain";
    assert_eq!(wire.findings(), [rejected, told[0]]);
    // Nobody can tell for whom it asked what was answered 413 meanwhile.
    let mut other = Wire::new();
    other.say(User, format!("{head}{}", "b".repeat(9_000))).say(Up, get("/else")).say(App, refusal);
    other.say(Down, refusal).end(Down, FIN);
    assert_eq!(other.findings(), none());
}

#[test]
fn q3_is_a_request_that_was_never_finished() {
    let stopped = |bytes: &str, then: fn(&mut Wire)| {
        let mut wire = Wire::new();
        wire.say(User, bytes);
        then(&mut wire);
        wire.findings()
    };
    let head = "GET /slow HTTP/1.1\r\nHost: sh";
    let closes: fn(&mut Wire) = |wire| {
        wire.wait(60_000).end(Down, FIN).end(User, FIN);
    };
    assert_eq!(stopped(head, closes), ["user request-timeout Q3 Certain"]);
    assert_eq!(stopped(&format!("{}abc", post("/x", "", 100)), closes), ["user request-timeout Q3 Certain"]);
    let says = |wire: &mut Wire| {
        let timeout = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        wire.wait(10_000).say(Down, timeout).end(Down, FIN).end(User, FIN);
    };
    assert_eq!(stopped(head, says), ["user request-timeout Q3 Certain"]);
    let short: fn(&mut Wire) = |wire| {
        wire.wait(400).end(Down, FIN).end(User, FIN);
    };
    assert_eq!(stopped(head, short), ["user request-timeout Q3 Likely"]);
    let late_408: fn(&mut Wire) = |wire| {
        let timeout = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";
        wire.wait(1_500).say(Down, timeout).end(Down, FIN).end(User, FIN);
    };
    let body = format!("{}abc", post("/x", "", 100));
    assert_eq!(stopped(&body, late_408), ["user request-timeout Q3 Certain"]);
    let mut told = Wire::new();
    told.say(User, &body);
    late_408(&mut told);
    let summary = &told.analysis().diagnosis.findings[0].summary;
    assert!(summary.contains("closed after 1.50 s"), "{summary}");
    // Envoy leaves the close to the client. Traffic Server passes on what it has, and says 504 when the app is silent.
    let leaves: fn(&mut Wire) = |wire| {
        wire.wait(3_000)
            .say(Down, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            .end(User, FIN);
    };
    assert_eq!(stopped(&body, leaves), ["user request-timeout Q3 Certain"]);
    // Caddy says so too when the client has gone.
    let gone: fn(&mut Wire) = |wire| {
        let timeout = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
        wire.wait(20_000).end(User, FIN).say(Down, timeout).end(User, RST);
    };
    assert_eq!(stopped(&body, gone), ["user client-abort Q5 Certain"]);
    let silent: fn(&mut Wire) = |wire| {
        let part = format!("{}abc", post("/x", "", 100));
        wire.say(Up, part).wait(3_000).say(Down, TIMEOUT).end(Up, FIN).end(Down, FIN).end(User, FIN);
    };
    assert_eq!(stopped(&body, silent), ["user request-timeout Q3 Certain"]);
    let passed_on = |reads: bool| {
        let mut chain = Chain::new(&["user", "proxy", "app"]);
        let (user, app) = (chain.open(0, 0), chain.open(1, 0));
        chain.conns[user].request(Method::Post, "/x", MS).unfinished().sync();
        chain.conns[app].request(Method::Post, "/x", 2 * MS).unfinished().sync();
        if !reads {
            chain.conns[app].window(Side::Server, 3 * MS, false);
        }
        chain.conns[user].response(504, 3_450 * MS).fin(Side::Server, 3_451 * MS);
        chain.conns[app].fin(Side::Client, 3_450 * MS);
        chain.parent((app, 0), (user, 0), 1);
        let findings = chain.analyse().diagnosis.findings.into_iter();
        findings.filter(|f| f.severity > Severity::Note).map(|f| f.kind).collect::<Vec<_>>()
    };
    assert_eq!(passed_on(true), ["request-timeout"]);
    // The app's window is closed: it does not read, so nobody can send the rest.
    assert_eq!(passed_on(false), ["send-stall"]);
    // On a kept connection it is no rejected reuse.
    let mut kept = Wire::new();
    kept.say(User, get("/x")).say(Up, get("/x")).say(App, OK).say(Down, OK).wait(5).say(User, head);
    closes(&mut kept);
    assert_eq!(kept.findings(), ["user request-timeout Q3 Certain"]);
    // Q4: nothing was asked.
    let mut preconnect = Wire::new();
    closes(&mut preconnect);
    assert_eq!(preconnect.findings(), none());
}

#[test]
fn q5_is_a_client_that_left_and_what_followed_is_no_finding() {
    for flags in [FIN, RST] {
        let left = asked(|wire| {
            wire.wait(330).end(User, flags).end(Up, FIN).end(Down, FIN);
        });
        assert_eq!(left, ["user client-abort Q5 Certain"]);
    }
    // After a usual number of seconds too: the client's timer, not the proxy's.
    let timer = asked(|wire| {
        wire.wait(5_000).end(User, FIN).end(Up, FIN).end(Down, FIN).wait(900).say(App, OK).end(Up, RST);
    });
    assert_eq!(timer, ["user client-abort Q5 Certain"]);
    let after_the_answer = asked(|wire| {
        wire.say(App, OK).say(Down, OK).end(User, RST);
    });
    assert_eq!(after_the_answer, none());
}

#[test]
fn who_leaves_a_stream_that_has_no_end_of_its_own_breaks_nothing_off() {
    let left = |media_type: &str, end: &dyn Fn(&mut Wire)| {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let event = "9\r\ndata: 1\n\n\r\n";
        asked(|wire| {
            wire.say(App, &head).say(Down, &head).say(App, event).say(Down, event).wait(5_000);
            end(wire);
        })
    };
    let by_user = |wire: &mut Wire| {
        wire.end(User, FIN).end(Up, FIN).end(Down, FIN);
    };
    assert_eq!(left("text/event-stream; charset=utf-8", &by_user), none());
    assert_eq!(left("text/plain", &by_user), ["user client-abort Q5 Possible"]);
    // The proxy's timer is none of the user's doing.
    let by_proxy = left("text/event-stream", &|wire| {
        wire.end(Up, FIN).end(Down, FIN).end(User, FIN);
    });
    assert_eq!(by_proxy.len(), 1, "{by_proxy:?}");
}

#[test]
fn who_left_is_not_known_where_all_hops_share_an_address_and_heads_are_cut() {
    let told = |cut: bool| {
        let mut chain = Chain::new(&["user", "app"]);
        let at = chain.open(0, 0);
        chain.conns[at].request(Method::Get, "/", MS).fin(Side::Client, 1_200 * MS);
        if cut {
            chain.conns[at].cut_short_on_one_host();
        }
        chain.analyse().diagnosis.findings.iter().map(|one| one.kind.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(false), ["client-abort"]);
    assert_eq!(told(true), none());
}

#[test]
fn a_load_generator_that_ends_its_run_is_no_client_abort() {
    let run = |last_wait: i64| {
        let mut wire = Wire::new();
        for number in 0..12 {
            let ask = get(&format!("/{number}"));
            wire.say(User, &ask).say(Up, &ask).wait(40).say(App, OK).say(Down, OK);
        }
        wire.say(User, get("/last")).say(Up, get("/last")).wait(last_wait).end(User, FIN).end(Up, FIN);
        wire.findings()
    };
    assert_eq!(run(20), none());
    assert_eq!(run(900), ["user client-abort Q5 Certain"]);
    let after_one_download = |last_wait: i64| {
        let mut wire = Wire::new();
        for number in 0..60 {
            let ask = get(&format!("/{number}"));
            let takes = if number == 7 { 41_000 } else { 40 };
            wire.say(User, &ask).say(Up, &ask).wait(takes).say(App, OK).say(Down, OK);
        }
        wire.say(User, get("/last")).say(Up, get("/last")).wait(last_wait).end(User, FIN).end(Up, FIN);
        wire.findings()
    };
    assert_eq!(after_one_download(20), none());
    assert_eq!(after_one_download(900), ["user client-abort Q5 Certain"]);
}

#[test]
fn q6_is_a_fin_right_behind_the_request() {
    let half = asked(|wire| {
        wire.end(User, FIN).end(Down, FIN).end(Up, FIN);
    });
    assert_eq!(half, ["user half-close Q6 Likely"]);
    // Of clients that leave at any time one may do it as quickly.
    let leaving = {
        let mut wire = Wire::new();
        for wait in [0, 9, 4, 7, 2, 12] {
            wire.say(User, get("/")).say(Up, get("/")).wait(wait).end(User, FIN).end(Down, FIN).end(Up, FIN);
            wire.reconnect();
        }
        wire.findings()
    };
    assert_eq!(leaving, none());
    let served = asked(|wire| {
        wire.end(User, FIN).wait(10).say(App, OK).say(Down, OK).end(Down, FIN);
    });
    assert_eq!(served, none());
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
fn q7_is_a_100_that_never_comes_or_that_nobody_asked_for() {
    let head = post("/x", "Expect: 100-continue\r\n", 3);
    let expecting = |then: &dyn Fn(&mut Wire)| {
        let mut wire = Wire::new();
        wire.say(User, &head).say(Up, &head);
        then(&mut wire);
        wire.findings()
    };
    let never = expecting(&|wire| {
        wire.wait(4_000).end(App, FIN).end(Up, FIN).say(Down, BAD_GATEWAY);
    });
    assert_eq!(never, ["app continue-stall Q7 Certain"]);
    let late = expecting(&|wire| {
        wire.wait(1_000).say(User, "abc").say(Up, "abc").say(App, OK).say(Down, OK);
    });
    assert_eq!(late, ["app continue-stall Q7 Likely"]);
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    let asked_for = expecting(&|wire| {
        wire.say(App, go_on)
            .say(Down, go_on)
            .wait(1_500)
            .say(User, "abc")
            .say(Up, "abc")
            .say(App, OK)
            .say(Down, OK);
    });
    assert_eq!(asked_for, none());
    let unasked = asked(|wire| {
        wire.say(App, go_on).say(App, OK).say(Down, OK);
    });
    assert_eq!(unasked, ["app unsolicited-1xx Q7 Certain"]);
    let hints = asked(|wire| {
        wire.say(App, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").say(App, OK).say(Down, OK);
    });
    assert_eq!(hints, none());
}

#[test]
fn q9_needs_a_malformed_request_and_q10_a_large_one() {
    let refusal = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    let refused = |request: &str, status: &str| {
        let mut wire = Wire::new();
        wire.say(User, request).say(Down, refusal.replace("400", status)).end(Down, FIN).end(User, FIN);
        wire.findings()
    };
    let both = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(refused(both, "400"), ["user bad-request Q9 Certain"]);
    assert_eq!(refused("GET /x HTTP/1.1\r\nUser-Agent: a\r\n\r\n", "400"), ["user bad-request Q9 Certain"]);
    assert_eq!(refused(&get("/x"), "400"), none());
    let large = format!("GET /x HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "c".repeat(12_000));
    assert_eq!(refused(&large, "400"), ["user request-header-too-large Q10 Likely"]);
    assert_eq!(refused(&large, "431"), ["user request-header-too-large Q10 Certain"]);
    assert_eq!(
        refused(&get(&format!("/{}", "u".repeat(9_000))), "414"),
        ["user request-header-too-large Q10 Certain"]
    );
    assert_eq!(refused(&large, "404"), none());
}

#[test]
fn q10_at_a_server_that_drops_large_heads_is_told_from_a_crash() {
    let dropped = |head: usize| {
        let large = format!("GET /x HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "c".repeat(head));
        let mut wire = Wire::new();
        wire.say(User, &large).say(Up, &large).end(App, RST).say(Down, BAD_GATEWAY);
        wire.findings()
    };
    assert_eq!(dropped(4_500), ["app request-header-too-large Q10 Likely"]);
    assert_eq!(dropped(1_000), ["app closed-before-response P1 Certain"]);
    // Varnish does so on kept connections too.
    let kept = |head: usize| {
        let large = format!("GET /x HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "c".repeat(head));
        let mut wire = Wire::new();
        for ordinal in [2, 2, 1] {
            if ordinal > 1 {
                let small = get("/small");
                wire.say(User, &small).say(Up, &small).say(App, OK).say(Down, OK).wait(90);
            }
            wire.say(User, &large).say(Up, &large).end(App, RST).say(Down, BAD_GATEWAY).end(Down, FIN);
            wire.end(User, FIN).wait(20).reconnect();
        }
        wire.findings()
    };
    assert_eq!(kept(4_500), ["app request-header-too-large Q10 Likely"]);
    assert_eq!(kept(1_000), ["app closed-before-response/this-request P1 Likely"]);
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
fn q9_is_also_a_method_that_nobody_can_read() {
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    let told = |bytes: &[u8]| {
        let mut wire = Wire::new();
        wire.say(User, bytes).say(Down, refused).end(Down, FIN).end(User, FIN);
        wire.findings()
    };
    assert_eq!(told(b"FOO\x01 / HTTP/1.1\r\nHost: a\r\n\r\n"), ["user bad-request Q9 Likely"]);
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
