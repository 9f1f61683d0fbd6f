//! Restarts: where a server went away with its connections, and where closes only look like it.

use super::reuse_tests::{S, link, told, twice};
use super::testkit::{Chain, MS};
use super::*;
use crate::http::Method::{Get, Post};
use crate::tcp::Side::{Client, Server};

#[test]
fn a_proxy_that_closes_because_its_server_did_was_not_restarted() {
    // Five users each have a request in hand when the app dies; HAProxy then closes their connections. Or the app lives,
    // and it is the proxy that dies with them.
    let restarted = |app_dies: bool| {
        let mut chain = Chain::new(&["user", "haproxy", "app"]);
        for n in 0..5 {
            let (user, app) = (chain.open(0, n * MS), chain.open(1, n * MS));
            for (round, target) in [(0, "/1"), (1, "/2")] {
                let start = (100 + round * 400 + n * 37) * MS;
                chain.conns[user].request(Get, target, start);
                chain.conns[app].request(Get, target, start + MS).response(200, start + 2 * MS);
                chain.conns[user].response(200, start + 3 * MS);
                chain.parent((app, round as usize), (user, round as usize), 1);
            }
            let start = (3_000 - n * 30) * MS;
            chain.conns[user].request(Get, "/2", start).sync();
            chain.conns[app].request(Get, "/2", start + MS).sync();
            chain.parent((app, 2), (user, 2), 1);
            let at = 3_005 * MS + n * MS / 10;
            if app_dies {
                chain.conns[app].rst(Server, at, true);
            } else {
                chain.conns[app].rst(Client, at, true);
            }
            chain.conns[user].fin(Server, at + MS / 20);
        }
        let findings = chain.analyse().diagnosis.findings.into_iter().filter(|f| f.kind == "restart-burst");
        findings.map(|f| f.link.map(|link| link.0)).collect::<Vec<_>>()
    };
    assert_eq!(restarted(true), [Some(1)]);
    assert_eq!(restarted(false), [Some(0)]);
}

#[test]
fn a_server_that_dies_again_and_again_has_no_short_timer() {
    // Twice five connections, idle for 120 ms and more: all die at one moment, or each after its own 120 ms.
    let starts: Vec<i64> = (0..10).map(|n| n / 5 * 20 * S + n % 5 * 10 * MS).collect();
    let cause = |at_once: bool| {
        let diagnosis = link(&starts, |conn, number, start| {
            twice(conn, start);
            let first = starts[number / 5 * 5];
            let closed = if at_once { first + 170 * MS + number as i64 * MS / 20 } else { start + 125 * MS };
            conn.fin(Server, closed);
            if number % 5 == 2 {
                conn.request(Get, "/3", closed).rst(Server, closed + MS, false);
            }
        });
        diagnosis.findings.iter().any(|f| f.cause == "idle-timeout-mismatch")
    };
    assert!(!cause(true));
    assert!(cause(false));
}

#[test]
fn a_burst_without_a_lost_request_is_a_note_and_the_end_of_a_load_is_none() {
    let starts: Vec<i64> = (0..6).map(|n| n * 300 * MS).collect();
    let graceful = link(&starts, |conn, number, start| {
        twice(conn, start);
        conn.fin(Server, 10 * S + number as i64 * MS)
            .fin_acked(Client, 10 * S + 20 * MS)
            .fin(Client, 10 * S + 20 * MS);
    });
    assert_eq!(told(&graceful), ["restart-burst/ T6 Certain ×6"]);
    assert_eq!(graceful.findings[0].severity, Severity::Note);
    // All were idle for five seconds, and the server looks once a second or two.
    let swept = link(&starts, |conn, number, start| {
        twice(conn, start);
        let at = 6_510 * MS + number as i64 * MS / 50;
        conn.fin(Server, at).fin_acked(Client, at + 20 * MS).fin(Client, at + 20 * MS);
    });
    assert!(swept.findings.is_empty(), "{:?}", told(&swept));
    // The same, announced: that is how a server should end.
    let announced = link(&starts, |conn, number, start| {
        twice(conn, start);
        conn.says_close().fin(Server, 10 * S + number as i64 * MS);
    });
    assert!(announced.findings.is_empty(), "{:?}", told(&announced));
    // All were last used at the same time, and are closed by their timer.
    let ended = link(&starts, |conn, number, start| {
        twice(conn, start);
        let last = 3 * S + number as i64 * MS;
        conn.request(Get, "/last", last).response(200, last + MS);
        conn.fin(Server, last + MS + 5 * S).fin_acked(Client, last + 5 * S + 2 * MS);
    });
    assert!(ended.findings.is_empty(), "{:?}", told(&ended));
}

#[test]
fn connections_left_idle_together_show_no_timer_where_all_are_closed_at_once() {
    let starts: Vec<i64> = (0..10).map(|n| n * 700 * MS).collect();
    let killed = link(&starts, |conn, number, start| {
        twice(conn, start);
        let closed = 10 * S + number as i64 * MS / 10;
        if number % 2 == 0 {
            conn.request(Post, "/3", closed - 2 * MS).sync().rst(Server, closed, true);
            return;
        }
        conn.request(Get, "/3", closed - 188 * MS).response(200, closed - 187 * MS).fin(Server, closed);
        if number == 5 {
            conn.request(Post, "/4", closed + MS / 2).rst(Server, closed + MS, false);
        }
    });
    assert!(told(&killed).iter().all(|one| !one.contains("idle-timeout")), "{:?}", told(&killed));
    assert!(told(&killed).iter().any(|one| one.contains("server-restarted")), "{:?}", told(&killed));
}

#[test]
fn two_reloads_are_no_timer_though_two_connections_had_gone_idle_together() {
    // The first closes three after different times; the second two whose answers had come at one moment.
    let starts: Vec<i64> = (0..5).map(|n| n * 100 * MS).collect();
    let reloaded = link(&starts, |conn, number, start| {
        conn.request(Get, "/1", start + MS).response(200, start + 2 * MS);
        let moment = if number < 3 { 520 * MS } else { 1_520 * MS };
        let idle = [338, 312, 20, 321, 321][number] * MS;
        let closed = moment + number as i64 * MS / 10;
        conn.request(Get, "/2", closed - idle - MS).response(200, closed - idle).fin(Server, closed);
        conn.request(Post, "/3", closed + 40 * MS).rst(Server, closed + 41 * MS, false);
    });
    assert!(told(&reloaded).iter().all(|one| !one.contains("idle-timeout")), "{:?}", told(&reloaded));
}

#[test]
fn a_server_that_may_have_closed_as_many_others_was_not_restarted() {
    // Of those that it closed before, bytes are missing: what these closes were nobody can tell.
    let seen = |before: i64| {
        let starts: Vec<i64> = (0..6 + before).map(|n| n * 300 * MS).collect();
        link(&starts, |conn, number, start| {
            twice(conn, start);
            let closed = if number < 6 { 20 * S } else { start + 300 * MS } + number as i64 * MS;
            conn.fin(Server, closed).fin_acked(Client, closed + MS).fin(Client, closed + MS);
            if number >= 6 {
                conn.lossy();
            }
        })
    };
    let bursts =
        |diagnosis: &Diagnosis| told(diagnosis).iter().filter(|one| one.starts_with("restart")).count();
    assert_eq!(bursts(&seen(3)), 1);
    assert_eq!(bursts(&seen(7)), 0);
}

#[test]
fn closes_that_each_answer_a_request_are_no_restart() {
    // The same page crashes on six kept connections within a few milliseconds: who closed each had its request.
    let starts: Vec<i64> = (0..6).map(|n| n * 3 * MS).collect();
    let crashed = link(&starts, |conn, _, start| {
        twice(conn, start);
        conn.request(Get, "/crash", start + 2_013 * MS).sync().fin(Server, start + 2_013 * MS + MS / 2);
    });
    assert_eq!(told(&crashed), ["rejected-reused-request/unknown R4 Likely ×6"]);
    // Nobody closes, and a host that does not know the connections resets them when they are used together.
    let reset = link(&starts, |conn, _, start| {
        twice(conn, start);
        conn.request(Get, "/1", start + 5_300 * MS).rst(Server, start + 5_300 * MS + MS / 9, false);
    });
    assert_eq!(told(&reset), ["rejected-reused-request/middlebox-dropped R5 Likely ×6"]);
    // Clients that stop in the middle of a request, all at once.
    let unfinished = link(&starts, |conn, _, start| {
        twice(conn, start);
        conn.request(Post, "/1", start + 10 * MS).unfinished().sync().fin(Server, start + 3_010 * MS);
    });
    assert!(unfinished.findings.iter().all(|f| f.kind != "restart-burst"), "{:?}", told(&unfinished));
}

#[test]
fn threads_that_look_at_their_timers_once_a_second_were_not_restarted() {
    let starts: Vec<i64> = (0..9).map(|n| n * 10 * S).collect();
    let reaped = link(&starts, |conn, number, start| {
        twice(conn, start);
        if number >= 6 {
            // Idle for different times, and closed together.
            let last = 100 * S + number as i64 * 200 * MS;
            conn.request(Get, "/1", last).response(200, last);
            conn.fin(Server, 102_700 * MS);
        } else {
            conn.fin(Server, start + 4 * MS + 1_005 * MS + number as i64 * MS);
        }
    });
    assert!(reaped.findings.is_empty(), "{:?}", told(&reaped));
}

#[test]
fn the_coming_and_going_of_connections_is_no_burst() {
    // Closes follow each other as closely as in a restart, for as long as the capture runs; the times between
    // answer and close are those of no timer.
    let starts: Vec<i64> = (0..24).map(|n| n * 100 * MS).collect();
    let churn = link(&starts, |conn, number, start| {
        twice(conn, start);
        conn.fin(Server, start + 300 * MS + (number as i64 * 7919 % 11) * 90 * MS);
    });
    assert!(churn.findings.is_empty(), "{:?}", told(&churn));
    // Short-lived connections in a long capture: those closed last did not exist when the first one was.
    let mut starts: Vec<i64> = (0..60).map(|n| 100 * S + n * 20 * MS).collect();
    starts.push(0);
    let wave = link(&starts, |conn, number, start| {
        twice(conn, start);
        if number < 60 {
            conn.fin(Server, start + 260 * MS + (number as i64 * 7919 % 11) * 20 * MS);
        }
    });
    assert!(wave.findings.is_empty(), "{:?}", told(&wave));
}

#[test]
fn workers_that_end_one_at_a_time_are_no_restart() {
    let starts: Vec<i64> = (0..8).map(|n| n * 20 * S).collect();
    let diagnosis = link(&starts, |conn, number, start| {
        twice(conn, start);
        for more in 0..number as i64 {
            conn.request(Get, "/m", start + (10 + more) * MS).response(200, start + (10 + more) * MS);
        }
        if number.is_multiple_of(3) {
            let closed = start + 30 * MS;
            conn.fin(Server, closed).request(Get, "/x", closed).rst(Server, closed + MS, false);
        }
    });
    assert_eq!(told(&diagnosis), ["rejected-reused-request/worker-recycled R2 Possible ×3"]);
}

#[test]
fn a_server_whose_workers_end_together_again_and_again_is_told_of_once() {
    // Three times five connections, used last at different times, die at one moment; or one of them each time lives on.
    let starts: Vec<i64> = (0..15).map(|n| n / 5 * 20 * S + n % 5 * 400 * MS).collect();
    let seen = |one_lives: bool| {
        link(&starts, |conn, number, start| {
            twice(conn, start);
            let closed = starts[number / 5 * 5] + 2 * S + number as i64 * MS / 10;
            match number % 5 {
                1 => {
                    conn.fin(Server, closed).request(Get, "/3", closed).rst(Server, closed + MS, false);
                }
                4 if one_lives => {
                    conn.request(Get, "/3", closed + 5 * S).response(200, closed + 5 * S + MS);
                }
                _ => {
                    conn.fin(Server, closed);
                }
            }
        })
    };
    let restarted = seen(false);
    assert_eq!(
        told(&restarted),
        ["rejected-reused-request/server-restarted R2 Certain ×3", "restart-burst/ T6 Certain ×15"]
    );
    let words = &restarted.findings[0].explanation;
    assert!(
        words.contains("all of its 5 connections within 400 µs, and did the like 2 more times"),
        "{words}"
    );
    // Single workers of several, each with its connections.
    let recycled = told(&seen(true));
    assert!(recycled.iter().all(|one| !one.contains("restart")), "{recycled:?}");
}

#[test]
fn a_reload_closes_what_is_idle_and_announces_the_end_of_the_rest() {
    let starts: Vec<i64> = (0..10).map(|n| n * 400 * MS).collect();
    let reloaded = |announces: bool| {
        link(&starts, |conn, number, start| {
            twice(conn, start);
            let closed = 20 * S + number as i64 * MS / 10;
            if number < 3 {
                conn.fin(Server, closed);
                if number == 1 {
                    conn.request(Get, "/3", closed).rst(Server, closed + MS, false);
                }
                return;
            }
            let at = closed + number as i64 * 10 * MS;
            conn.request(Get, "/3", at).response(200, at + MS);
            if announces {
                conn.says_close().fin(Server, at + MS);
            }
        })
    };
    let graceful = reloaded(true);
    assert_eq!(
        told(&graceful),
        ["rejected-reused-request/server-restarted R2 Certain ×1", "restart-burst/ T6 Certain ×3"]
    );
    let words = &graceful.findings[0].explanation;
    assert!(
        words.contains("3 of its 10 connections within 200 µs, announced the end of 7 others"),
        "{words}"
    );
    let single = told(&reloaded(false));
    assert!(single.iter().all(|one| !one.contains("restart")), "{single:?}");
}

#[test]
fn a_server_that_closes_behind_refusals_of_unread_requests_was_not_restarted() {
    let starts: Vec<i64> = (0..6).map(|n| n * 400 * MS).collect();
    let bursts = |early: bool| {
        let diagnosis = link(&starts, |conn, number, start| {
            conn.request(Get, "/1", start + MS).response(200, start + 2 * MS);
            let at = 5_500 * MS + number as i64 * MS;
            if early {
                conn.request(Post, "/2", start + 3 * MS).unfinished().response(408, at);
            }
            conn.fin(Server, at + MS / 10);
        });
        diagnosis.findings.iter().filter(|f| f.kind == "restart-burst").count()
    };
    assert_eq!(bursts(true), 0);
    assert_eq!(bursts(false), 1);
}

/// New connections whose first request is in hand when the server goes away, beside others that ended with their answer;
/// the next ones are refused from `refused` on, and one is accepted at `accepted`.
fn killed(held: i64, refused: &[i64], accepted: Option<i64>) -> Vec<String> {
    let mut chain = Chain::new(&["nginx", "app"]);
    for n in 0..20 {
        let at = chain.open(0, n * 100 * MS);
        let conn = &mut chain.conns[at];
        conn.request(Get, "/1", n * 100 * MS + MS).response(200, n * 100 * MS + 20 * MS);
        conn.says_close().fin(Server, n * 100 * MS + 21 * MS);
    }
    for n in 0..held {
        let at = chain.open(0, 2 * S + n * 10 * MS);
        let conn = &mut chain.conns[at];
        conn.request(Get, "/1", 2 * S + n * 10 * MS + MS).sync().rst(Server, 2_100 * MS + n, true);
    }
    for &at in refused {
        chain.refused(0, at);
    }
    if let Some(at) = accepted {
        let conn = chain.open(0, at);
        chain.conns[conn].request(Get, "/1", at + MS).response(200, at + 2 * MS);
    }
    told(&chain.analyse().diagnosis)
}

#[test]
fn a_server_that_refuses_all_behind_its_closes_went_away_whether_or_not_it_keeps_connections() {
    let restarted = |told: &[String]| told.iter().filter(|one| one.contains("server-restarted")).count();
    let refused = [2_110 * MS, 2_150 * MS, 2_200 * MS];
    let gone = killed(4, &refused, Some(6 * S));
    assert!(
        gone[0].starts_with("closed-before-response/server-restarted") && gone[0].ends_with("×4"),
        "{gone:?}"
    );
    assert!(
        gone[1].starts_with("connection-refused/server-restarted") && gone[1].ends_with("×3"),
        "{gone:?}"
    );
    assert_eq!(restarted(&killed(4, &[], None)), 0, "nothing shows that it is gone");
    assert_eq!(restarted(&killed(4, &refused, Some(2_105 * MS))), 0, "it accepts the next one");
    assert_eq!(restarted(&killed(2, &refused, None)), 0, "two may be chance");
    assert_eq!(restarted(&killed(4, &[S, 2_110 * MS], None)), 0, "it had refused others before");
}
