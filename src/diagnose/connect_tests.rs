//! Connections that never came about, protocols that clash and what the transport did: each rule, and a near miss.

use super::testkit::{Chain, Conn, MS};
use super::*;
use crate::http::FirstBytes::{self, *};
use crate::http::Method::Get;
use crate::tcp::EventKind;
use crate::tcp::Side::{Client, Server};

const S: i64 = 1_000 * MS;

fn told(chain: Chain) -> Vec<String> {
    let diagnosis = chain.analyse().diagnosis;
    let one = |f: &Finding| {
        let words = [&f.summary, &f.explanation, &f.doubt];
        assert!(words.iter().all(|text| !text.contains(['{', '}'])), "{words:?}");
        assert!(!f.evidence.is_empty(), "{}", f.kind);
        format!("{}/{} {:?} {:?} ×{}", f.kind, f.cause, f.severity, f.confidence, f.count)
    };
    diagnosis.findings.iter().map(one).collect()
}

/// Two lanes, with a connection that works at the start and at the end.
fn around(then: impl FnOnce(&mut Chain)) -> Vec<String> {
    let mut chain = Chain::new(&["nginx", "app"]);
    for start in [0, 60 * S] {
        let at = chain.open(0, start);
        chain.conns[at]
            .request(Get, "/", start + MS)
            .response(200, start + 2 * MS)
            .fin(Client, start + 3 * MS);
    }
    then(&mut chain);
    told(chain)
}

#[test]
fn c1_needs_a_reset_that_answers_the_syn() {
    assert_eq!(around(|chain| chain.refused(0, S)), ["connection-refused/ Error Certain ×1"]);
    // The capture lost the handshake and all that followed; the reset acknowledges more than the SYN.
    let lossy = around(|chain| {
        chain.refused(0, S);
        let rst = chain.conns[2].events.last_mut().unwrap();
        rst.ack = rst.ack.wrapping_add(400);
    });
    assert!(lossy.is_empty(), "{lossy:?}");
    // A server that is still starting has refused nobody's request.
    let mut chain = Chain::new(&["user", "app"]);
    chain.refused(0, 0);
    let at = chain.open(0, S);
    chain.conns[at].request(Get, "/", S + MS).response(200, S + 2 * MS);
    assert_eq!(told(chain), ["connection-refused/ Warning Certain ×1"]);
}

#[test]
fn a_server_that_is_asked_before_it_listens_fails_users_all_the_same() {
    let starting = |status: u16| {
        let mut chain = Chain::new(&["user", "nginx", "app"]);
        let user = chain.open(0, 0);
        chain.conns[user].request(Get, "/", MS);
        chain.refused(1, 2 * MS);
        chain.conns[user].response(status, 4 * MS);
        let late = 5 * S;
        chain.conns[user].request(Get, "/", late).response(200, late + 9 * MS);
        let app = chain.open(1, late + MS);
        chain.conns[app].request(Get, "/", late + 2 * MS).response(200, late + 8 * MS);
        chain.parent((app, 0), (user, 1), 1);
        told(chain)
    };
    assert_eq!(starting(502), ["connection-refused/ Error Certain ×1"]);
    // Answered from elsewhere.
    assert_eq!(starting(200), ["connection-refused/ Warning Certain ×1"]);
}

#[test]
fn scanners_that_find_a_port_closed_break_nothing() {
    // Another machine tries a port that serves nobody, beside users that are served.
    let scanned = |silent: bool| {
        let mut chain = Chain::new(&["user", "app"]);
        let at = chain.open(0, 0);
        for n in 0..12 {
            chain.conns[at].request(Get, "/", (3 * n + 1) * MS).response(200, (3 * n + 2) * MS);
        }
        let tried = chain.conns.len();
        if silent {
            chain.unanswered(0, &[S, 2 * S, 4 * S]);
        } else {
            chain.refused(0, S);
        }
        chain.conns[tried].flow.client = "198.51.100.7:5000".parse().unwrap();
        chain.conns[tried].flow.server.set_port(3389);
        told(chain)
    };
    assert_eq!(scanned(false), ["connection-refused/unserved-port Note Certain ×1"]);
    assert_eq!(scanned(true), ["connect-timeout/unserved-port Note Certain ×1"]);
    // Others speak what the port does not.
    let spoke = |client: &str| {
        let mut chain = Chain::new(&["user", "app"]);
        let at = chain.open(0, 0);
        for n in 0..24 {
            chain.conns[at].request(Get, "/", (3 * n + 1) * MS).response(200, (3 * n + 2) * MS);
        }
        let tls = chain.open(0, S);
        chain.conns[tls].speak(TlsHandshake, HttpResponse).fin(Server, S + MS);
        let broken = chain.open(0, 2 * S);
        chain.conns[broken].request(Get, "/", 2 * S + MS).response(400, 2 * S + 2 * MS);
        let request = &mut chain.conns[broken].exchanges[0];
        request.flags.set(crate::http::ExchangeFlags::REQUEST_INVALID);
        request.request.head_bytes = 20;
        for conn in &mut chain.conns[1..] {
            conn.flow.client = (client.parse::<std::net::IpAddr>().unwrap(), 5_000).into();
        }
        told(chain)
    };
    assert_eq!(
        spoke("198.51.100.7"),
        ["tls-plain-mismatch/tls-to-plain Note Certain ×1", "bad-request/stranger Note Certain ×1"]
    );
    // The same by a client that is served has another reason.
    assert_eq!(
        spoke("10.0.0.1"),
        ["tls-plain-mismatch/tls-to-plain Error Certain ×1", "bad-request/ Error Certain ×1"]
    );
    // A user who is served may have been sent to the other port.
    let mut chain = Chain::new(&["user", "app"]);
    let at = chain.open(0, 0);
    chain.conns[at].request(Get, "/", MS).response(301, 2 * MS);
    let client = chain.conns[at].flow.client;
    chain.refused(0, S);
    chain.conns[1].flow.client = (client.ip(), 7_000).into();
    chain.conns[1].flow.server.set_port(443);
    assert_eq!(told(chain), ["connection-refused/ Error Certain ×1"]);
}

#[test]
fn c2_is_an_icmp_error_that_ends_the_attempt() {
    let icmp = |kind, code| {
        around(|chain| {
            let at = chain.unanswered(0, &[S]);
            chain.conns[at].icmp(kind, code, S + MS);
        })
    };
    assert_eq!(icmp(3, 1), ["host-unreachable/ Error Certain ×1"]);
    assert_eq!(icmp(1, 3), ["host-unreachable/ Error Certain ×1"]);
    // "Fragmentation needed" only says that packets must be smaller.
    assert!(icmp(3, 4).is_empty());
}

#[test]
fn c3_needs_the_same_syn_again_and_silence_long_after() {
    let syns = |times: &'static [i64]| {
        around(|chain| {
            chain.unanswered(0, times);
        })
    };
    assert_eq!(syns(&[S, 2 * S, 4 * S]), ["connect-timeout/ Error Likely ×1"]);
    assert!(syns(&[S]).is_empty(), "one SYN may be the capture's last");
    assert!(syns(&[S, S + 50 * MS]).is_empty(), "a copy is no second try");
    assert!(syns(&[59 * S + 500 * MS, 60 * S + 500 * MS]).is_empty(), "the capture ends too soon");
}

#[test]
fn who_closes_in_place_of_an_answer_while_it_reaches_nobody_is_not_the_one_that_fails() {
    let closed = |tried: &[i64]| {
        let mut chain = Chain::new(&["user", "haproxy", "app"]);
        let works = chain.open(1, 0);
        chain.conns[works].request(Get, "/", MS).response(200, 2 * MS).fin(Client, 3 * MS);
        let user = chain.open(0, 0);
        let user = &mut chain.conns[user];
        user.request(Get, "/1", MS).response(200, 2 * MS);
        user.request(Get, "/2", 10 * S).sync().fin(Server, 12 * S);
        chain.unanswered(1, tried);
        let later = chain.open(1, 59 * S);
        chain.conns[later].request(Get, "/", 59 * S + MS).response(200, 59 * S + 2 * MS);
        told(chain)
    };
    assert_eq!(closed(&[10 * S + MS, 11 * S + MS]), ["connect-timeout/ Error Likely ×1"]);
    let before = closed(&[5 * S, 6 * S]);
    assert!(before.iter().any(|one| one.starts_with("closed-before-response")), "{before:?}");
}

#[test]
fn c3_is_also_what_the_proxy_answers_for_before_the_syn_is_due_again() {
    let given_up_after = |wait, status, requests: &[i64], syns: &[i64]| {
        let mut chain = Chain::new(&["user", "nginx", "app"]);
        let works = chain.open(1, 0);
        chain.conns[works].request(Get, "/", MS).response(200, 2 * MS).fin(Client, 3 * MS);
        for &at in requests {
            let user = chain.open(0, at);
            chain.conns[user].request(Get, "/a", at + MS).response(status, at + wait);
        }
        for &at in syns {
            chain.unanswered(1, &[at + 2 * MS]);
        }
        let told = told(chain);
        told.into_iter().filter(|one| one.starts_with("connect-timeout")).collect::<Vec<_>>()
    };
    let given_up = |status, requests: &[i64], syns: &[i64]| given_up_after(S, status, requests, syns);
    let requests = [10 * S, 20 * S, 30 * S];
    assert_eq!(given_up(504, &requests, &requests), ["connect-timeout/ Error Likely ×3"]);
    let at_once = given_up_after(4 * MS, 502, &requests, &requests);
    assert!(at_once.is_empty(), "the RST is one of the packets that the capture lacks: {at_once:?}");
    assert!(given_up(200, &requests, &requests).is_empty(), "they were answered after all");
    assert!(given_up(504, &requests, &requests[..1]).is_empty(), "of one the capture may lack the answer");
    assert!(given_up(504, &requests, &[12 * S, 22 * S]).is_empty(), "nobody was waiting for them");
}

/// User, nginx and app; requests that nginx answers 502 at once, between two that reach the app.
fn gateway(then: impl FnOnce(&mut Chain)) -> Vec<String> {
    let mut chain = Chain::new(&["user", "nginx", "app"]);
    for (number, start) in [0, 100 * S].into_iter().enumerate() {
        let (user, app) = (chain.open(0, start), chain.open(1, start));
        chain.conns[app]
            .request(Get, "/", start + 2 * MS)
            .response(200, start + 3 * MS)
            .fin(Client, start + S);
        chain.conns[user].request(Get, "/", start + MS).response(200, start + 4 * MS).fin(Client, start + S);
        chain.parent((app, 0), (user, 0), 1);
        assert_eq!((user, app), (2 * number, 2 * number + 1));
    }
    then(&mut chain);
    told(chain)
}

fn bad_gateway(chain: &mut Chain, at: i64) {
    let user = chain.open(0, at);
    chain.conns[user].request(Get, "/", at + MS).response(502, at + 3 * MS).fin(Client, at + 4 * MS);
}

#[test]
fn c5_needs_silence_behind_the_gateway() {
    let none = gateway(|chain| {
        chain.refused(1, 49 * S);
        bad_gateway(chain, 50 * S);
    });
    assert_eq!(none, ["connection-refused/ Error Certain ×1", "no-live-upstream/ Error Likely ×1"]);
    // However many followed from the one.
    let many = gateway(|chain| {
        chain.refused(1, 49 * S);
        (0..9).for_each(|n| bad_gateway(chain, 50 * S + n * 100 * MS));
    });
    assert_eq!(many, ["connection-refused/ Error Certain ×1", "no-live-upstream/ Error Likely ×9"]);
    // The only server was held for dead within the second in which it still answered.
    let just_died = gateway(|chain| {
        let app = chain.open(1, 50 * S);
        chain.conns[app].request(Get, "/z", 50 * S + MS).response(200, 50 * S + 2 * MS).fin(Client, 51 * S);
        chain.refused(1, 50 * S + 100 * MS);
        bad_gateway(chain, 50 * S + 300 * MS);
    });
    assert_eq!(just_died, ["connection-refused/ Error Certain ×1", "no-live-upstream/ Error Likely ×1"]);
    let alive_again = gateway(|chain| {
        chain.refused(1, 50 * S);
        let app = chain.open(1, 50 * S + 100 * MS);
        chain.conns[app]
            .request(Get, "/z", 50 * S + 101 * MS)
            .response(200, 50 * S + 102 * MS)
            .fin(Client, 51 * S);
        bad_gateway(chain, 50 * S + 300 * MS);
    });
    assert!(alive_again.iter().all(|finding| !finding.starts_with("no-live")), "{alive_again:?}");
    // What was asked on an encrypted connection does not show.
    for (open, ends, silent) in [(40 * S, 60 * S, true), (40 * S, 49 * S, false)] {
        let sealed = gateway(|chain| {
            let tls = chain.open(1, open);
            chain.conns[tls].speak(TlsHandshake, TlsHandshake).fin(Client, ends);
            (0..9).for_each(|n| bad_gateway(chain, 50 * S + n * 100 * MS));
        });
        assert_eq!(sealed.iter().any(|one| one.starts_with("no-live")), !silent, "{sealed:?}");
    }
    // One that passes its capture only after the answer: a handshake takes 200 µs here, and 1 ms is taken for one moment.
    for (behind, silent) in [(MS + MS / 10, true), (50 * MS, false)] {
        let under_way = gateway(|chain| {
            bad_gateway(chain, 50 * S);
            let app = chain.open(1, 40 * S);
            let late = 50 * S + 3 * MS + behind;
            chain.conns[app].request(Get, "/y", late).rst(Server, late + MS / 10, false);
        });
        assert_eq!(under_way.iter().any(|one| one.starts_with("no-live")), !silent, "{under_way:?}");
    }
    // A refused attempt explains its 502, and nothing else is to be said.
    let refused = gateway(|chain| {
        bad_gateway(chain, 50 * S);
        chain.refused(1, 50 * S + MS);
    });
    assert_eq!(refused, ["connection-refused/ Error Certain ×1"]);
    // An attempt of which nobody knows whose it is: correlation may have failed.
    let orphan = gateway(|chain| {
        bad_gateway(chain, 50 * S);
        let app = chain.open(1, 50 * S + MS);
        chain.conns[app].request(Get, "/y", 50 * S + 2 * MS).response(200, 50 * S + 3 * MS);
    });
    assert!(orphan.iter().all(|finding| !finding.starts_with("no-live")), "{orphan:?}");
}

#[test]
fn c5_is_found_while_another_group_of_servers_lives() {
    let refused_then = |target: &'static str, refused: bool| {
        let told = gateway(|chain| {
            if refused {
                chain.refused(1, 49 * S);
            }
            for at in [50 * S, 52 * S] {
                let user = chain.open(0, at);
                let conn = &mut chain.conns[user];
                conn.request(Get, target, at + MS).response(502, at + 3 * MS).fin(Client, at + 4 * MS);
            }
            let (user, app) = (chain.open(0, 51 * S), chain.open(1, 51 * S));
            let conn = &mut chain.conns[app];
            conn.request(Get, "/s/1", 51 * S + 2 * MS).response(200, 51 * S + 3 * MS).fin(Client, 52 * S);
            let conn = &mut chain.conns[user];
            conn.request(Get, "/s/1", 51 * S + MS).response(200, 51 * S + 4 * MS).fin(Client, 52 * S);
            chain.parent((app, 0), (user, 0), 1);
        });
        told.into_iter().filter(|one| one.starts_with("no-live")).collect::<Vec<_>>()
    };
    assert_eq!(refused_then("/", true), ["no-live-upstream/ Error Likely ×2"]);
    // What it never passes on it may answer by itself: then only the one before which nothing got through counts.
    assert_eq!(refused_then("/blocked", true), ["no-live-upstream/ Error Likely ×1"]);
    assert!(refused_then("/", false).is_empty());
}

fn speak(client: FirstBytes, server: FirstBytes, then: impl Fn(&mut Conn)) -> Vec<String> {
    around(|chain| {
        let at = chain.open(0, S);
        then(&mut chain.conns[at]);
        chain.conns[at].speak(client, server);
        // What the server speaks otherwise.
        chain.conns[0].speak(HttpRequest, HttpResponse);
    })
}

fn bad_request(conn: &mut Conn) {
    conn.request(Get, "/", S + MS).response(400, S + 2 * MS).fin(Server, S + 3 * MS);
}

#[test]
fn c6_to_c8_are_told_by_the_first_bytes_of_both_sides() {
    let nothing = |_: &mut Conn| {};
    assert_eq!(
        speak(TlsHandshake, HttpResponse, nothing),
        ["tls-plain-mismatch/tls-to-plain Error Certain ×1"]
    );
    assert_eq!(speak(HttpRequest, TlsAlert, nothing), ["tls-plain-mismatch/plain-to-tls Error Certain ×1"]);
    assert!(speak(TlsHandshake, TlsHandshake, nothing).is_empty());
    let unheard = |conn: &mut Conn| {
        conn.fin(Client, 3 * S);
    };
    assert!(speak(TlsHandshake, None, unheard).is_empty(), "nobody says that it arrived");
    assert!(
        speak(TlsHandshake, TlsAlert, nothing).is_empty(),
        "both speak TLS and disagree on something else"
    );
    assert_eq!(
        speak(ProxyV1, HttpResponse, bad_request),
        ["proxy-protocol-mismatch/header-not-expected Error Likely ×1"]
    );
    let by_the_application = |conn: &mut Conn| {
        conn.request(Get, "/", S + MS).response(400, S + 5 * MS).fin(Client, S + 6 * MS);
    };
    assert!(speak(ProxyV1, HttpResponse, by_the_application).is_empty());
    let fine = |conn: &mut Conn| {
        conn.request(Get, "/", S + MS).response(200, S + 2 * MS);
    };
    assert!(speak(ProxyV2, HttpResponse, fine).is_empty());
    assert_eq!(speak(Http2Preface, HttpResponse, nothing), ["http2-mismatch/ Error Certain ×1"]);
    assert_eq!(speak(HttpRequest, Http2Frames, nothing), ["http2-mismatch/ Error Certain ×1"]);
    assert!(speak(Http2Preface, Http2Frames, nothing).is_empty());
}

#[test]
fn t1_counts_what_stood_still_for_a_timer() {
    let resent = |after: i64, quiet: i64| {
        around(|chain| {
            let at = chain.open(0, S);
            chain.conns[at].request(Get, "/", S + MS).resend(Client, S + MS + after, quiet);
            chain.conns[at].response(200, S + 2 * MS + after);
        })
    };
    assert_eq!(resent(210 * MS, 210 * MS), ["retransmission-delay/ Warning Likely ×1"]);
    assert!(resent(5 * MS, 5 * MS).is_empty(), "mended without a timer");
    assert!(resent(210 * MS, MS).is_empty(), "other bytes were sent meanwhile");
    let into_a_closed_window = around(|chain| {
        let at = chain.open(0, S);
        chain.conns[at].request(Get, "/", S + MS).note(EventKind::ZeroWindow, Server, S + MS, 0, 0);
        chain.conns[at].note(EventKind::WindowOpened, Server, S + 20 * MS, 0, 0);
        chain.conns[at].resend(Client, S + 211 * MS, 210 * MS).response(200, S + 230 * MS);
    });
    assert!(into_a_closed_window.is_empty(), "{into_a_closed_window:?}");
}

#[test]
fn t2_is_a_window_closed_for_long() {
    let closed = |ns: i64| {
        around(|chain| {
            let at = chain.open(0, S);
            chain.conns[at].request(Get, "/", S + MS).response(200, S + 2 * MS);
            chain.conns[at].note(EventKind::ZeroWindow, Client, S + 3 * MS, 0, 0);
            chain.conns[at].note(EventKind::WindowOpened, Client, S + 3 * MS + ns, 0, 0);
        })
    };
    assert_eq!(closed(700 * MS), ["zero-window/ Warning Certain ×1"]);
    assert!(closed(20 * MS).is_empty());
}

#[test]
fn t3_is_a_size_that_never_gets_through() {
    let stuck = |through: u32| {
        around(|chain| {
            for start in [S, 2 * S] {
                let at = chain.open(0, start);
                let conn = &mut chain.conns[at];
                conn.request(Get, "/big", start + MS).sync().largest_acked(Server, 300);
                for again in 0..5 {
                    conn.note(EventKind::Retransmission, Server, start + (1 + again) * S, 0, 1448);
                }
            }
            chain.conns[0].largest_acked(Server, through);
        })
    };
    assert!(stuck(300).contains(&"mtu-black-hole/ Error Certain ×2".to_owned()), "{:?}", stuck(300));
    assert!(stuck(1448).iter().all(|finding| !finding.starts_with("mtu")), "such segments do get through");
}

#[test]
fn t3_shows_at_the_receiver_as_large_parts_that_never_come() {
    let never = |through: u32| {
        around(|chain| {
            for start in [S, 2 * S] {
                let at = chain.open(0, start);
                let conn = &mut chain.conns[at];
                conn.request(Get, "/big", start + MS).sync().largest_acked(Server, 148).unarrived(17_000);
                conn.note(EventKind::Hole, Server, start + 4 * S, 148, 17_000);
            }
            chain.conns[0].largest_acked(Server, through);
        })
    };
    assert!(never(148).contains(&"mtu-black-hole/ Error Likely ×2".to_owned()), "{:?}", never(148));
    assert!(never(1448).iter().all(|finding| !finding.starts_with("mtu")), "such segments do get through");
}

#[test]
fn t4_is_a_peak_at_40_ms() {
    let parts = |apart: &'static [i64]| {
        around(|chain| {
            for (number, &ns) in apart.iter().enumerate() {
                let start = (number as i64 + 1) * S;
                let at = chain.open(0, start);
                chain.conns[at]
                    .request(Get, "/", start + MS)
                    .response(200, start + 90 * MS)
                    .in_parts(ns * MS);
            }
        })
    };
    assert_eq!(parts(&[40, 41, 40, 42, 43, 41, 40]), ["delayed-ack-stall/ Warning Possible ×7"]);
    assert!(parts(&[40, 41, 40, 42, 43, 41, 20, 30, 50, 60]).is_empty(), "no peak");
}

/// A proxy that serves a request each second from one server; another one is refused at these times.
fn serving(fails: bool, refused: &[i64]) -> Vec<String> {
    let mut chain = Chain::new(&["user", "proxy", "app"]);
    let (user, app) = (chain.open(0, 0), chain.open(1, 0));
    for n in 0..8 {
        let at = n * S + MS;
        chain.conns[user].request(Get, "/", at);
        chain.conns[app].request(Get, "/", at + 40 * MS).response(200, at + 45 * MS);
        chain.parent((app, n as usize), (user, n as usize), 1);
        let status = if fails { 502 } else { 200 };
        chain.conns[user].response(status, at + 50 * MS);
    }
    for &at in refused {
        chain.refused(1, at);
        let last = chain.conns.last_mut().unwrap();
        last.flow.server.set_port(9000);
    }
    told(chain)
}

#[test]
fn refused_checks_of_a_server_that_nobody_asks_for_are_no_error() {
    let check = "connection-refused/health-check Warning Certain ×5";
    let steady: Vec<i64> = (0..5).map(|n| n * 1_300 * MS + 300 * MS).collect();
    assert_eq!(serving(false, &steady), [check]);
    // At odd times, and while requests were in hand: attempts for these, which found another server.
    let odd: Vec<i64> = [0, 1, 3, 4, 7].map(|n| n * S + 10 * MS).to_vec();
    assert_eq!(serving(false, &odd), ["connection-refused/ Warning Certain ×5"]);
    assert!(serving(true, &odd).contains(&"connection-refused/ Error Certain ×5".to_owned()));
    // Too few show no pace; and nothing was in hand that could have failed.
    assert_eq!(serving(false, &steady[..2]), ["connection-refused/ Warning Certain ×2"]);
}

#[test]
fn a_gateway_whose_checks_are_refused_has_no_server_for_what_it_answers_503() {
    let mut chain = Chain::new(&["user", "haproxy", "app"]);
    let (user, app) = (chain.open(0, 0), chain.open(1, 0));
    for n in 0..4 {
        let at = n * S + MS;
        chain.conns[user].request(Get, "/", at).response(503, at + MS / 10);
        // The check of another backend, which lives.
        chain.conns[app].request(Get, "/healthz", at + 500 * MS).response(200, at + 501 * MS);
        chain.refused(1, at + 300 * MS);
        let last = chain.conns.last_mut().unwrap();
        last.flow.server.set_port(9000);
    }
    let mut analysis = chain.analyse();
    analysis.trees = crate::correlate::build(&analysis);
    let diagnosis = build(&analysis);
    let kinds: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.kind.as_str()).collect();
    assert_eq!(kinds, ["no-live-upstream", "connection-refused"]);
}

#[test]
fn what_is_too_large_for_the_path_is_no_dead_connection() {
    let mut chain = Chain::new(&["nginx", "app"]);
    let at = chain.open(0, 0);
    let conn = &mut chain.conns[at];
    conn.request(Get, "/", MS).response(200, 2 * MS).largest_acked(Client, 168).request(Get, "/up", S);
    let seq = conn.exchanges[1].request.seq;
    conn.flow.directions[1].acked = Some(seq);
    for n in 1..5 {
        let first = conn.flow.directions[0].isn.unwrap().wrapping_add(1);
        conn.note(EventKind::Retransmission, Client, S + n * S, seq.wrapping_sub(first), 1448);
        conn.retransmitted();
    }
    conn.fin(Client, 20 * S);
    assert_eq!(told(chain), ["mtu-black-hole/ Error Likely ×1"]);
}

#[test]
fn p8_needs_all_that_the_client_sent() {
    let unasked = |cut_bytes| {
        around(|chain| {
            let at = chain.open(0, S);
            let conn = &mut chain.conns[at];
            conn.request(Get, "/", S + MS).response(200, S + 2 * MS);
            conn.request(Get, "/", S + 3 * MS).response(200, S + 4 * MS).fin(Client, S + 5 * MS);
            conn.exchanges[1].flags.set(crate::http::ExchangeFlags::UNSOLICITED);
            conn.flow.directions[0].cut_bytes = cut_bytes;
        })
    };
    assert_eq!(unasked(0), ["unsolicited-response/ Warning Certain ×1"]);
    assert!(unasked(100).iter().all(|told| !told.starts_with("unsolicited")));
}

#[test]
fn a_refusal_by_icmp_has_nginxs_line_of_a_refusal() {
    let mut chain = Chain::new(&["user", "nginx", "app"]);
    let user = chain.open(0, 50 * S);
    let refused = chain.unanswered(1, &[50 * S + 2 * MS]);
    chain.conns[refused].icmp(3, 3, 50 * S + 3 * MS);
    chain.conns[user].request(Get, "/", 50 * S + MS).response(502, 50 * S + 4 * MS);
    let line = "1970/01/01 00:00:50 [error] 6#6: *2 connect() failed (111: Connection refused) while connecting to \
        upstream, client: 10.0.0.1, server: shop, request: \"GET / HTTP/1.1\", upstream: \"http://10.0.2.1:8000/\", \
        host: \"shop\"\n";
    let diagnosis = chain.analyse_with(&[("error.log", line)]).diagnosis;
    let at = diagnosis.findings.iter().position(|finding| finding.kind == "host-unreachable").unwrap();
    assert_eq!(diagnosis.log_lines[at].len(), 1);
}
