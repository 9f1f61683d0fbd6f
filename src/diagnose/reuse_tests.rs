//! Causes of rejected reuse, and taken workers: each where it holds, and where something only looks like it.

use super::testkit::{Chain, Conn, MS};
use super::*;
use crate::http::Method::{Get, Post};
use crate::tcp::Side::{Client, Server};

pub(super) const S: i64 = 1_000 * MS;

/// `kind/cause rule certainty ×count` of every finding.
pub(super) fn told(diagnosis: &Diagnosis) -> Vec<String> {
    let one = |f: &Finding| format!("{}/{} {} {:?} ×{}", f.kind, f.cause, f.rule, f.confidence, f.count);
    diagnosis.findings.iter().map(one).collect()
}

/// Two lanes with connections that open at these times.
pub(super) fn link(starts: &[i64], mut make: impl FnMut(&mut Conn, usize, i64)) -> Diagnosis {
    let mut chain = Chain::new(&["nginx", "app"]);
    for (number, &start) in starts.iter().enumerate() {
        let at = chain.open(0, start);
        make(&mut chain.conns[at], number, start);
    }
    let diagnosis = chain.analyse().diagnosis;
    for finding in &diagnosis.findings {
        let words = [&finding.summary, &finding.explanation, &finding.doubt];
        assert!(words.iter().all(|text| !text.contains(['{', '}'])), "{words:?}");
    }
    diagnosis
}

pub(super) fn twice(conn: &mut Conn, start: i64) {
    conn.request(Get, "/1", start + MS).response(200, start + 2 * MS);
    conn.request(Get, "/2", start + 3 * MS).response(200, start + 4 * MS);
}

#[test]
fn who_was_told_of_a_close_is_told_from_who_could_not_know() {
    use crate::http::ExchangeFlags;
    // Most connections carry several requests, so nothing is closed after each.
    let starts: Vec<i64> = (0..8).map(|n| n * S).collect();
    let second = |knows: bool, reset: bool| {
        let diagnosis = link(&starts, |conn, number, start| {
            if number != 3 {
                return twice(conn, start);
            }
            conn.request(Get, "/1", start + MS).response(200, start + 2 * MS);
            conn.exchanges[0].flags.set(ExchangeFlags::SERVER_CLOSES);
            conn.request(Get, "/2", start + 3 * MS);
            if !knows {
                conn.exchanges[1].request.ack = conn.exchanges[0].response.seq;
            }
            if reset {
                conn.rst(Server, start + 40 * MS, false)
            } else {
                conn.fin(Server, start + 40 * MS)
            };
        });
        told(&diagnosis)
    };
    let ignored = |rule| [format!("rejected-reused-request/announced-close-ignored {rule} Certain ×1")];
    assert_eq!(second(true, false), ignored("R2"));
    assert_eq!(second(true, true), ignored("R5"));
    assert_eq!(second(false, false), ["rejected-reused-request/sent-ahead-of-a-close R2 Certain ×1"]);
}

#[test]
fn an_idle_timeout_is_given_with_its_spread_and_how_long_the_proxy_keeps() {
    let starts: Vec<i64> = (0..6).map(|n| n * 20 * S).collect();
    let closes = |number: usize| 1_150 * MS + (number as i64 - 3) * 3 * MS;
    let diagnosis = link(&starts, |conn, number, start| {
        twice(conn, start);
        let closed = start + 4 * MS + closes(number);
        conn.fin(Server, closed);
        if number > 3 {
            conn.request(Post, "/3", closed + MS / 2).rst(Server, closed + MS, false);
        }
    });
    assert_eq!(told(&diagnosis)[0], "rejected-reused-request/idle-timeout-mismatch R2 Certain ×2");
    let words = &diagnosis.findings[0].explanation;
    let figures =
        "idle for 1.15 s ± 7.5 ms (seen on 6 connections); nginx keeps idle connections for at least 1.16 s";
    assert!(words.contains(figures), "{words}");
    // Nobody sent anything: those closes are as they should be.
    let silent = link(&starts, |conn, number, start| {
        twice(conn, start);
        conn.fin(Server, start + 4 * MS + closes(number))
            .fin_acked(Client, start + 5 * S)
            .fin(Client, start + 5 * S);
    });
    assert!(silent.findings.is_empty(), "{:?}", told(&silent));
}

#[test]
fn mixed_causes_on_one_link_are_told_apart_by_request() {
    // Six idle closes at 5 s, one of which a request meets; later five connections die at once with requests on them.
    let mut starts: Vec<i64> = (0..6).map(|n| n * 10 * S).collect();
    starts.extend((0..5).map(|n| 100 * S + n * MS));
    let diagnosis = link(&starts, |conn, number, start| {
        twice(conn, start);
        if number < 6 {
            let closed = start + 4 * MS + 5 * S + number as i64 * MS;
            conn.fin(Server, closed);
            if number == 2 {
                conn.request(Get, "/3", closed).rst(Server, closed + MS, false);
            }
        } else {
            // All at one moment, however old the requests on them are.
            let closed = 101_300 * MS + number as i64 * MS;
            conn.request(Get, "/3", 101_300 * MS - 3 * number as i64 * MS).sync().rst(Server, closed, true);
        }
    });
    assert_eq!(
        told(&diagnosis),
        [
            "rejected-reused-request/idle-timeout-mismatch R2 Certain ×1",
            "rejected-reused-request/server-restarted R3 Likely ×5",
            "restart-burst/ T6 Likely ×5",
        ]
    );
    assert!(diagnosis.findings[1].explanation.contains("all of its 5 connections within 4.0 ms"));
}

#[test]
fn a_server_that_closes_only_where_it_was_asked_answers_so() {
    let starts: Vec<i64> = (0..5).map(|n| n * 10 * S).collect();
    let asked = |reset: bool, idle: fn(usize) -> i64| {
        link(&starts, move |conn, number, start| {
            twice(conn, start);
            conn.request(Get, "/4", start + 200 * MS).response(200, start + 201 * MS);
            let sent = start + 201 * MS + idle(number);
            conn.request(Get, "/5", sent).sync();
            if reset {
                conn.rst(Server, sent + MS, true)
            } else {
                conn.fin(Server, sent + MS)
            };
        })
    };
    for reset in [false, true] {
        let crashed = asked(reset, |number| (20 + number as i64 * 31) * MS);
        assert_eq!(told(&crashed), ["closed-before-response/ P1 Likely ×5"]);
        assert!(crashed.findings[0].summary.contains("in place of answering a request, 5 times"));
    }
    // Each after the same idle time, as for a stale connection; but one was the first of its connection.
    let with_a_first = |swallowed: bool| {
        link(&starts, move |conn, number, start| {
            let at = if number == 0 { start } else { start + 51 * MS };
            if number > 0 {
                twice(conn, start);
            }
            conn.request(Post, ["/a", "/b", "/c", "/d", "/e"][number], at).sync();
            match swallowed || number > 0 {
                true => conn.fin(Server, at + MS),
                false => conn.response(200, at + MS),
            };
        })
    };
    assert_eq!(told(&with_a_first(false)), ["rejected-reused-request/unknown R4 Likely ×4"]);
    assert_eq!(told(&with_a_first(true)), ["closed-before-response/ P1 Likely ×5"]);
    // It closes as often where nobody asked anything: a request in hand then is chance.
    let unasked = link(&starts, |conn, number, start| {
        twice(conn, start);
        if number < 3 {
            conn.fin(Server, start + 6 * MS);
        } else {
            conn.request(Get, "/3", start + 5 * MS).sync().rst(Server, start + 6 * MS, true);
        }
    });
    assert!(unasked.findings.iter().all(|f| f.kind != "closed-before-response"), "{:?}", told(&unasked));
}

#[test]
fn a_middlebox_is_blamed_only_where_shorter_idle_times_worked() {
    let forgotten = |idle: i64| {
        link(&[0, S, 2 * S], move |conn, _, start| {
            twice(conn, start);
            conn.request(Get, "/3", start + 20 * S).response(200, start + 20 * S + MS);
            let sent = start + 20 * S + MS + idle;
            conn.request(Get, "/4", sent).retransmitted();
            conn.note(crate::tcp::EventKind::Retransmission, Client, sent + 200 * MS, 300, 100);
            conn.note(crate::tcp::EventKind::Retransmission, Client, sent + 600 * MS, 300, 100);
            conn.fin(Client, sent + 5 * S);
        })
    };
    assert_eq!(told(&forgotten(300 * S)), ["rejected-reused-request/middlebox-dropped R6 Likely ×3"]);
    assert_eq!(told(&forgotten(3 * S)), ["rejected-reused-request/host-vanished R6 Possible ×3"]);
    // A bare reset shortly after an answer: its sender knows no such connection.
    let bare = link(&[0], |conn, _, start| {
        twice(conn, start);
        conn.request(Get, "/3", start + S).rst(Server, start + S + MS, false);
    });
    assert_eq!(told(&bare), ["rejected-reused-request/host-vanished R5 Possible ×1"]);
    // From a server that ends each connection after one answer it tells that the capture missed a FIN.
    let starts: Vec<i64> = (0..8).map(|n| n * S).collect();
    let missed = link(&starts, |conn, number, start| {
        conn.request(Get, "/1", start).response(200, start + MS);
        if number > 0 {
            conn.fin(Server, start + 2 * MS).fin_acked(Client, start + 2 * MS);
        }
        conn.request(Get, "/2", start + 3 * MS).rst(Server, start + 4 * MS, false);
    });
    assert_eq!(
        told(&missed),
        ["rejected-reused-request/server-closes-after-each-response R1, R5 Certain ×8"]
    );
}

#[test]
fn a_server_that_worked_on_the_request_before_it_closed_has_not_rejected_it() {
    let outcome = |worked: i64| {
        let diagnosis = link(&[0], move |conn, _, start| {
            twice(conn, start);
            conn.request(Get, "/3", start + 10 * MS).sync().fin(Server, start + 10 * MS + worked);
        });
        diagnosis.outcomes[2]
    };
    assert_eq!(outcome(MS), Outcome::Rejected);
    assert_eq!(outcome(2 * S), Outcome::NoResponse);
}

#[test]
fn who_goes_on_with_a_connection_that_was_announced_to_end_is_at_fault() {
    let starts: Vec<i64> = (0..6).map(|n| n * S).collect();
    let rejected = |announces: bool| {
        link(&starts, |conn, _, start| {
            conn.request(Get, "/1", start + MS).response(200, start + 2 * MS);
            if announces {
                conn.says_close();
            }
            conn.fin(Server, start + 2 * MS).request(Get, "/2", start + 3 * MS).rst(
                Server,
                start + 4 * MS,
                false,
            );
        })
    };
    let told_cause = |diagnosis: &Diagnosis| diagnosis.findings[0].cause.clone();
    assert_eq!(told_cause(&rejected(false)), "server-closes-after-each-response");
    let ignored = rejected(true);
    assert_eq!(told_cause(&ignored), "announced-close-ignored");
    assert!(ignored.findings[0].fixes.iter().all(|fix| fix.product != "uwsgi"), "{:?}", ignored.findings[0]);
}

#[test]
fn a_proxy_that_closes_because_its_own_request_was_rejected_is_no_second_fault() {
    let mut chain = Chain::new(&["edge", "haproxy", "app"]);
    let front = chain.open(0, 0);
    chain.conns[front].request(Get, "/1", MS).response(200, 4 * MS);
    chain.conns[front].request(Get, "/2", 9 * MS).sync().fin(Server, 12 * MS);
    let back = chain.open(1, 0);
    chain.conns[back].request(Get, "/1", 2 * MS).response(200, 3 * MS);
    chain.conns[back].fin(Server, 9 * MS).request(Get, "/2", 10 * MS).rst(Server, 11 * MS, false);
    chain.parent((back, 0), (front, 0), 1);
    chain.parent((back, 1), (front, 1), 1);
    let diagnosis = chain.analyse().diagnosis;
    assert_eq!(told(&diagnosis).len(), 1, "{:?}", told(&diagnosis));
    assert_eq!(diagnosis.findings[0].link.map(|link| link.0), Some(1));
}

#[test]
fn a_request_that_its_server_dies_of_on_a_new_connection_too_was_not_rejected_for_reuse() {
    let told_of = |again: bool| {
        let mut chain = Chain::new(&["user", "nginx", "php"]);
        let front = chain.open(0, 0);
        chain.conns[front].request(Get, "/1", MS).response(200, 4 * MS);
        chain.conns[front].request(Get, "/kill", 9 * MS).response(502, 40 * MS);
        let kept = chain.open(1, 0);
        chain.conns[kept].request(Get, "/1", 2 * MS).response(200, 3 * MS);
        chain.conns[kept].request(Get, "/kill", 10 * MS).sync().fin(Server, 12 * MS);
        let new = chain.open(1, 14 * MS);
        chain.conns[new].request(Get, "/kill", 15 * MS);
        if again {
            chain.conns[new].sync().fin(Server, 17 * MS);
        } else {
            chain.conns[new].response(200, 17 * MS);
        }
        chain.parent((kept, 0), (front, 0), 1);
        chain.parent((kept, 1), (front, 1), 1);
        chain.parent((new, 0), (front, 1), 2);
        told(&chain.analyse().diagnosis)
    };
    assert_eq!(told_of(true), ["closed-before-response/ P1 Certain ×2"]);
    assert!(told_of(false)[0].starts_with("rejected-reused-request/"), "{:?}", told_of(false));
}

#[test]
fn a_user_who_waits_for_a_taken_worker_did_not_leave_of_its_own_accord() {
    let mut chain = Chain::new(&["user", "nginx", "app"]);
    for worker in 0..2 {
        let at = chain.open(1, worker * 10 * MS);
        for round in 0..60 {
            let start = (worker * 10 + round * 100) * MS;
            chain.conns[at].request(Get, "/item/7", start + MS).response(200, start + 3 * MS);
        }
        chain.conns[at].fin(Client, 7 * S);
    }
    for waiting in 10..16 {
        let start = waiting * 10 * MS;
        let front = chain.open(0, start);
        chain.conns[front].request(Get, "/item/9", start + MS).sync().fin(Client, start + 3 * S);
        let back = chain.open(1, start + MS);
        chain.conns[back].request(Get, "/item/9", start + 2 * MS).sync().fin(Client, start + 3 * S + MS);
        chain.parent((back, 0), (front, 0), 1);
    }
    let diagnosis = chain.analyse().diagnosis;
    assert_eq!(told(&diagnosis), ["worker-exhaustion/ fact 6 Certain ×6"]);
    assert_eq!(diagnosis.failures.origin, [(LinkId(1), 6)]);
}

#[test]
fn what_is_given_up_in_the_queue_of_few_workers_is_told_as_that() {
    // Each answer takes `work`; `workers` are at it, and after a second nobody waits any more.
    let asked = |workers: usize, work: i64| {
        let mut free = vec![0; workers];
        let starts: Vec<i64> = (0..24).map(|n| n * 10 * MS).collect();
        link(&starts, |conn, number, start| {
            let turn = &mut free[number % workers];
            *turn = (*turn).max(start) + work;
            conn.request(Get, "/slow", start + MS).sync();
            if *turn > start + S {
                conn.fin(Client, start + S).response(200, *turn).rst(Client, *turn, false);
            } else {
                conn.response(200, *turn);
            }
        })
    };
    let queued = asked(2, 300 * MS);
    assert_eq!(told(&queued), ["worker-exhaustion/queue P2 Likely ×18"]);
    assert!(queued.findings[0].summary.contains("works on 2 requests at a time"), "{:?}", queued.findings[0]);
    // As many at a time as are asked for: slow, and no queue.
    let slow = asked(24, 1_200 * MS);
    assert!(slow.findings.iter().all(|f| f.kind != "worker-exhaustion"), "{:?}", told(&slow));
}

/// Two workers, each with a kept connection that is asked again and again; others come and wait.
fn workers(waiting: i64, then: impl Fn(&mut Conn, i64)) -> Diagnosis {
    let starts: Vec<i64> = (0..2).chain(10..10 + waiting).map(|n| n * 10 * MS).collect();
    link(&starts, |conn, number, start| {
        if number < 2 {
            for round in 0..60 {
                let at = start + round * 100 * MS;
                conn.request(Get, "/item/7", at + MS).response(200, at + 3 * MS);
            }
            conn.fin(Client, 7 * S);
        } else {
            then(conn, start);
        }
    })
}

#[test]
fn workers_are_counted_where_each_is_bound_to_a_kept_connection() {
    let starved = workers(6, |conn, start| {
        conn.request(Get, "/item/9", start + MS).sync().fin(Client, start + 3 * S);
    });
    assert_eq!(told(&starved), ["worker-exhaustion/ fact 6 Certain ×6"]);
    assert!(starved.findings[0].summary.contains("all 2 workers"), "{}", starved.findings[0].summary);
    assert!(starved.outcomes.iter().filter(|&&o| o == Outcome::TimedOut).count() == 6);
    // What is answered when its client has left is no late answer.
    let too_late = workers(6, |conn, start| {
        conn.request(Get, "/item/9", start + MS).sync().fin(Client, start + 3 * S);
        conn.response(200, 7 * S + 10 * MS).rst(Client, 7 * S + 11 * MS, false);
    });
    assert_eq!(told(&too_late), ["worker-exhaustion/ fact 6 Certain ×6"]);
    assert_eq!(too_late.findings[0].severity, Severity::Error);
    // Slow answers while others are served quickly: there is a worker for them.
    let slow = workers(6, |conn, start| {
        conn.request(Get, "/item/9", start + MS).response(200, start + 3 * S);
    });
    assert!(slow.findings.is_empty(), "{:?}", told(&slow));
    // What hangs is one kind of request, which nobody answers anywhere.
    let hanging = workers(6, |conn, start| {
        conn.request(Get, "/hang", start + MS).sync().fin(Client, start + 3 * S);
    });
    assert!(hanging.findings.iter().all(|f| f.kind != "worker-exhaustion"), "{:?}", told(&hanging));
}

#[test]
fn answers_that_break_off_hide_no_limit_of_requests() {
    // Three requests a connection, the fourth is lost; on others the server breaks off in the second answer, or, where that
    // is no fault of the answer, closes behind the first.
    let starts: Vec<i64> = (0..10).map(|n| n * S).collect();
    let cause = |breaks_off: bool| {
        let diagnosis = link(&starts, |conn, number, start| {
            if number % 2 == 1 {
                conn.request(Get, "/1", start + MS).response(200, start + 2 * MS);
                if breaks_off {
                    conn.request(Get, "/2", start + 3 * MS).response(200, start + 4 * MS).cut();
                }
                conn.fin(Server, start + 5 * MS);
                return;
            }
            twice(conn, start);
            conn.request(Get, "/3", start + 5 * MS).response(200, start + 6 * MS).fin(Server, start + 7 * MS);
            if number == 4 {
                conn.request(Get, "/4", start + 7 * MS).rst(Server, start + 8 * MS, false);
            }
        });
        diagnosis.findings.iter().any(|f| f.cause == "max-requests-per-connection")
    };
    assert!(cause(true));
    assert!(!cause(false));
}

#[test]
fn connections_older_than_the_capture_may_have_reached_the_limit_of_requests_too() {
    use crate::tcp::Opening;
    // Eight that were open before it are closed within a few milliseconds; of later ones each carries three requests.
    let starts: Vec<i64> = (0..14).map(|n| if n < 8 { n * MS } else { n * S }).collect();
    let seen = |limited: bool| {
        link(&starts, |conn, number, start| {
            if number < 8 {
                conn.flow.opening = Opening::MidStream;
                twice(conn, start);
                conn.fin(Server, start + 10 * MS);
                if number == 5 {
                    conn.request(Get, "/3", start + 10 * MS).rst(Server, start + 11 * MS, false);
                }
                return;
            }
            twice(conn, start);
            conn.request(Get, "/3", start + 5 * MS).response(200, start + 6 * MS);
            if limited {
                conn.fin(Server, start + 7 * MS);
            }
        })
    };
    assert_eq!(told(&seen(true)), ["rejected-reused-request/max-requests-per-connection R2 Certain ×1"]);
    assert!(told(&seen(false)).iter().any(|one| one.contains("server-restarted")));
}
