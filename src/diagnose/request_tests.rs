//! Each rule about the requests of single exchanges on the wire shape that it names, and on a near miss.

use super::Severity;
use super::rule_tests::{BAD_GATEWAY, OK, TIMEOUT, asked, get, none, post};
use super::testkit::{Chain, MS};
use super::wirekit::{FIN, RST, Who, Wire};
use crate::http::Method;
use crate::tcp::Side;

use Who::{App, Down, Up, User};

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
    // HAProxy gives its client no answer then.
    let unanswered = uploading(|wire| {
        wire.say(App, OK).end(App, RST).end(Down, FIN).end(User, FIN);
    });
    assert_eq!(unanswered, ["app early-response/reset-while-sending Q1 Certain"]);
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
fn what_refuses_a_head_before_its_end_was_asked_for() {
    let mut wire = Wire::new();
    wire.say(User, get("/small")).say(Up, get("/small")).say(App, OK).say(Down, OK);
    wire.say(User, format!("GET /x HTTP/1.1\r\nHost: a\r\nCookie: {}", "c".repeat(20_000)));
    wire.say(Down, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .end(Down, FIN);
    wire.end(User, RST);
    assert_eq!(wire.findings(), ["user request-header-too-large Q10 Likely"]);
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
fn q9_is_also_a_method_that_nobody_can_read() {
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    let told = |bytes: &[u8]| {
        let mut wire = Wire::new();
        wire.say(User, bytes).say(Down, refused).end(Down, FIN).end(User, FIN);
        wire.findings()
    };
    assert_eq!(told(b"FOO\x01 / HTTP/1.1\r\nHost: a\r\n\r\n"), ["user bad-request Q9 Likely"]);
}
