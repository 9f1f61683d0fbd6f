//! Verdicts on chains made by hand: each wire form by its own packets, and the benign closes that look alike.

use super::testkit::{Chain, Conn, MS, paas};
use super::*;
use crate::http::Method;
use crate::tcp::Side::{Client, Server};

const S: i64 = 1_000 * MS;

/// Two lanes and one connection, on which the first request was answered.
fn after_one_answer(then: impl FnOnce(&mut Conn)) -> Diagnosis {
    let mut chain = Chain::new(&["nginx", "app"]);
    let at = chain.open(0, 0);
    let conn = &mut chain.conns[at];
    conn.request(Method::Get, "/1", MS).response(200, 2 * MS);
    then(conn);
    chain.analyse().diagnosis
}

fn form(then: impl FnOnce(&mut Conn)) -> Option<RejectForm> {
    let diagnosis = after_one_answer(then);
    let form = diagnosis.rejections.first().map(|r| r.form);
    assert_eq!(form.is_some(), diagnosis.outcomes.last() == Some(&Outcome::Rejected));
    form
}

#[test]
fn each_wire_form_of_a_rejected_request_has_its_name() {
    use RejectForm::*;
    let post = |conn: &mut Conn, at: i64| {
        conn.request(Method::Post, "/2", at);
    };
    assert_eq!(
        form(|c| {
            c.fin(Server, 3 * MS).fin_acked(Client, 3 * MS);
            post(c, 4 * MS);
            c.rst(Server, 5 * MS, false);
        }),
        Some(StalePick)
    );
    // The client closes as soon as it reads the end of the stream: that is no abort of its own.
    assert_eq!(
        form(|c| {
            c.fin(Server, 3 * MS).fin_acked(Client, 3 * MS);
            post(c, 4 * MS);
            c.fin(Client, 5 * MS);
        }),
        Some(StalePick)
    );
    let crossed = |c: &mut Conn| {
        c.fin(Server, 3 * MS);
        post(c, 3 * MS);
        c.rst(Server, 4 * MS, false);
    };
    assert_eq!(form(crossed), Some(FinInFlight));
    // Captured at the client, the same race shows the request before the FIN.
    let mirrored = |c: &mut Conn| {
        crossed(c);
        c.events.iter_mut().for_each(|e| e.frame += 100);
    };
    assert_eq!(form(mirrored), Some(FinInFlight));
    assert_eq!(
        form(|c| {
            post(c, 3 * MS);
            c.sync().rst(Server, 4 * MS, true);
        }),
        Some(QueuedReset)
    );
    assert_eq!(
        form(|c| {
            post(c, 3 * MS);
            c.sync().fin(Server, 4 * MS);
        }),
        Some(Swallowed)
    );
    assert_eq!(
        form(|c| {
            post(c, 900_000 * MS);
            c.sync().rst(Server, 900_001 * MS, true);
        }),
        Some(IdleReset)
    );
    assert_eq!(
        form(|c| {
            c.rst(Server, 3 * MS, true);
            post(c, 3 * MS);
        }),
        Some(WriteToDead)
    );
    assert_eq!(
        form(|c| {
            post(c, 3 * MS);
            c.retransmitted().fin(Client, 60_000 * MS);
        }),
        Some(BlackHole)
    );
}

#[test]
fn pipelined_requests_behind_a_close_are_all_swallowed() {
    let diagnosis = after_one_answer(|c| {
        c.request(Method::Get, "/2", 3 * MS).request(Method::Get, "/3", 3 * MS);
        c.sync().fin(Server, 4 * MS);
    });
    assert_eq!(diagnosis.rejections.iter().map(|r| r.form).collect::<Vec<_>>(), [RejectForm::Swallowed; 2]);
}

#[test]
fn benign_closes_stay_silent() {
    let silent = |then: fn(&mut Conn)| {
        let diagnosis = after_one_answer(then);
        assert!(diagnosis.findings.is_empty(), "{:?}", diagnosis.findings);
        assert_eq!(diagnosis.outcomes, [Outcome::Complete]);
    };
    silent(|_| {});
    silent(|c| {
        c.fin(Server, 3 * MS);
    });
    silent(|c| {
        c.fin(Server, 5_000 * MS).fin_acked(Client, 5_001 * MS).fin(Client, 5_002 * MS);
    });
    silent(|c| {
        c.fin(Client, 3 * MS).sync().fin(Server, 4 * MS).rst(Client, 5 * MS, false);
    });
    silent(|c| {
        c.rst(Client, 3 * MS, true);
    });
    silent(|c| {
        c.rst(Server, 3 * MS, true);
    });
}

#[test]
fn loss_and_open_ends_give_no_verdict() {
    let lossy = after_one_answer(|c| {
        c.fin(Server, 3 * MS).fin_acked(Client, 3 * MS).request(Method::Get, "/2", 4 * MS).lossy();
    });
    assert_eq!(lossy.outcomes[1], Outcome::Unknown);
    assert_eq!(lossy.findings.iter().map(|f| f.kind.as_str()).collect::<Vec<_>>(), ["capture-loss"]);
    let open = after_one_answer(|c| {
        c.request(Method::Get, "/2", 4 * MS).sync();
    });
    assert_eq!(open.outcomes[1], Outcome::Unknown);
    assert!(open.findings.iter().all(|f| f.severity == Severity::Note));
}

#[test]
fn who_closed_first_tells_aborts_timeouts_truncation_and_crashes_apart() {
    let outcome = |then: fn(&mut Conn)| after_one_answer(then).outcomes[1];
    let left = |c: &mut Conn| {
        c.request(Method::Get, "/2", 3 * MS).sync().fin(Client, 40 * MS);
    };
    assert_eq!(outcome(left), Outcome::Aborted);
    // The server's FIN answers the client's: still the client that left.
    let answered = |c: &mut Conn| {
        c.request(Method::Get, "/2", 3 * MS).sync().fin(Client, 40 * MS).sync().fin(Server, 41 * MS);
    };
    assert_eq!(outcome(answered), Outcome::Aborted);
    let waited = |c: &mut Conn| {
        c.request(Method::Get, "/2", 3 * MS).sync().fin(Client, 60_003 * MS);
    };
    assert_eq!(outcome(waited), Outcome::TimedOut);
    let odd = |c: &mut Conn| {
        c.request(Method::Get, "/2", 3 * MS).sync().fin(Client, 7_400 * MS);
    };
    assert_eq!(outcome(odd), Outcome::Aborted);
    let cut = |c: &mut Conn| {
        c.request(Method::Get, "/2", 3 * MS).response(200, 4 * MS).cut().fin(Server, 5 * MS);
    };
    assert_eq!(outcome(cut), Outcome::Truncated);

    let mut chain = Chain::new(&["nginx", "app"]);
    let at = chain.open(0, 0);
    chain.conns[at].request(Method::Get, "/1", MS).sync().rst(Server, 5 * MS, true);
    let diagnosis = chain.analyse().diagnosis;
    assert_eq!(diagnosis.outcomes, [Outcome::NoResponse]);
    assert_eq!(
        (diagnosis.findings[0].kind.as_str(), diagnosis.findings[0].rule.as_str()),
        ("closed-before-response", "P1")
    );
}

#[test]
fn what_became_of_a_retry_whose_answer_was_not_captured_is_not_known() {
    let mut chain = paas();
    let user = &mut chain.conns[0];
    user.lossy();
    (user.exchanges[2].status, user.exchanges[2].response) = (None, crate::http::Message::default());
    let diagnosis = chain.analyse().diagnosis;
    let told = &diagnosis.findings[0].explanation;
    assert!(told.contains("Users saw 502 for 1 POST; nginx retried 1 GET."), "{told}");
    let retries = &diagnosis.retries[0];
    assert!(retries.retried["GET"] == 1 && retries.saved.is_empty() && retries.failed.is_empty());
}

#[test]
fn the_story_gives_one_finding_with_its_figures_and_no_consequence_of_its_own() {
    let diagnosis = paas().analyse().diagnosis;
    let kinds: Vec<_> =
        diagnosis.findings.iter().map(|f| (f.kind.as_str(), f.cause.as_str(), f.count)).collect();
    assert_eq!(
        kinds,
        [("rejected-reused-request", "server-closes-after-each-response", 2), ("masked-failures", "", 1)]
    );
    let finding = &diagnosis.findings[0];
    assert_eq!(finding.rule, "R1");
    let figures = "First requests 4 of 4, second requests 0 of 2 were answered. Users saw 502 for 1 POST; \
                   nginx retried 1 GET, which hid 1 failure.";
    assert!(finding.explanation.starts_with(figures), "{}", finding.explanation);
    assert!(finding.fixes[0].change.contains("proxy-http-version: \"1.0\""));
    assert_eq!(diagnosis.failures.origin, [(LinkId(2), 2)]);
    assert_eq!(diagnosis.failures.visible["POST"]["502"], 1);
    assert_eq!(diagnosis.failures.masked["GET"], 1);
    assert_eq!(diagnosis.board.boundary, Some(LinkId(1)));
    let figures = &diagnosis.board.links[2];
    assert_eq!(figures.idle_gaps.iter().map(|gap| gap.0).sum::<u64>(), figures.reused_requests);
    assert_eq!(figures.idle_gaps.iter().map(|gap| gap.1).sum::<u64>(), 0);
    let server = figures.servers.values().next().copied().unwrap();
    assert_eq!((server.connections, server.requests, server.failed, server.rejected), (4, 6, 2, 2));
    let retries = &diagnosis.retries[0];
    assert_eq!((retries.retried["GET"], retries.attempts, retries.saved["GET"]), (1, 2, 1));
}

#[test]
fn causes_are_told_apart_by_the_links_statistics() {
    let cause = |make: &dyn Fn(&mut Conn, i64), connections: i64| {
        let mut chain = Chain::new(&["nginx", "app"]);
        for number in 0..connections {
            let start = number * 20_000 * MS;
            let at = chain.open(0, start);
            make(&mut chain.conns[at], start);
        }
        let finding = chain.analyse().diagnosis.findings.swap_remove(0);
        (finding.cause.clone(), finding.explanation.clone(), finding.confidence)
    };
    let idle = |conn: &mut Conn, start: i64| {
        conn.request(Method::Get, "/1", start + MS).response(200, start + 2 * MS);
        conn.request(Method::Get, "/2", start + 3 * MS).response(200, start + 4 * MS);
        let closed = start + 4 * MS + 5_001 * MS + start / 20_000;
        conn.fin(Server, closed).request(Method::Post, "/3", closed).rst(Server, closed + MS, false);
    };
    let (name, words, certainty) = cause(&idle, 4);
    assert_eq!((name.as_str(), certainty), ("idle-timeout-mismatch", Certainty::Certain));
    assert!(words.contains("5.00 s"), "{words}");
    // A server that reads the second request and then resets has not waited for one.
    let reads_and_resets = |conn: &mut Conn, start: i64| {
        conn.request(Method::Get, "/1", start + MS).response(200, start + 2 * MS);
        conn.request(Method::Get, "/2", start + 202 * MS).sync().rst(Server, start + 202 * MS + MS / 5, true);
    };
    assert_ne!(cause(&reads_and_resets, 4).0, "idle-timeout-mismatch");
    let limit = |conn: &mut Conn, start: i64| {
        for number in 1..=3 {
            conn.request(Method::Get, "/", start + number * MS).response(200, start + number * MS + MS / 2);
        }
        conn.fin(Server, start + 4 * MS).fin_acked(Client, start + 4 * MS);
        conn.request(Method::Get, "/4", start + 5 * MS).rst(Server, start + 6 * MS, false);
    };
    assert_eq!(cause(&limit, 3).0, "max-requests-per-connection");
}

#[test]
fn refused_connections_and_own_errors_are_said_where_they_are() {
    let mut chain = Chain::new(&["user", "nginx", "app"]);
    let user = chain.open(0, 0);
    chain.conns[user].request(Method::Get, "/1", MS).response(500, 9 * MS);
    let app = chain.open(1, 0);
    chain.conns[app].request(Method::Get, "/1", 2 * MS).response(500, 8 * MS);
    chain.parent((app, 0), (user, 0), 1);
    chain.refused(1, 20 * MS);
    let analysis = chain.analyse();
    let diagnosis = &analysis.diagnosis;
    let found: Vec<_> =
        diagnosis.findings.iter().map(|f| (f.kind.as_str(), f.link.map(|l| l.0), f.count)).collect();
    assert_eq!(found, [("application-error", Some(1), 1), ("connection-refused", Some(1), 1)]);
    let report = crate::export::text(&analysis);
    let row =
        |head: &str| report.lines().find(|line| line.trim_start().starts_with(head)).unwrap().to_owned();
    assert_eq!(row("link").split_whitespace().nth(3), Some("refused"), "{report}");
    assert_eq!(row("nginx → app").split_whitespace().nth(5), Some("1"), "{report}");
    let behind = analysis.topology.links[0].to;
    assert_eq!(analysis.refused_behind(behind).as_deref(), Some("Behind nginx 1 connection was refused."));
    assert_eq!(analysis.refused_behind(analysis.topology.links[1].to), None);
}

#[test]
fn a_rejected_connection_reads_as_a_story() {
    let analysis = paas().analyse();
    let rejected = analysis.exchange(analysis.diagnosis.rejections[1].exchange);
    let story: Vec<String> = steps(&analysis, rejected.connection_id())
        .iter()
        .map(|step| format!("{}{} | {}", if step.proof { "! " } else { "" }, step.title, step.hint))
        .collect();
    assert_eq!(
        story,
        [
            "SYN, SYN-ACK, ACK | 3-way handshake, 200 µs",
            "request 1 GET /api/0 | frame 20",
            "response 1: 200, 200 B | complete",
            "uwsgi sends FIN | it keeps no connections",
            "ingress acknowledges the FIN | its kernel knows",
            "! request 2 GET /api/c | frame 24",
            "! uwsgi answers RST | request 2 is rejected",
            "ingress → nginx: 502 | consequence",
            "nginx retries | attempt 2 on :40001",
        ]
    );
    let all = steps(&analysis, rejected.connection_id());
    assert!(all.iter().all(|step| step.plain.ends_with('.')), "{all:?}");
    let why = steps(&analysis, rejected.connection_id()).into_iter().find(|step| step.proof).unwrap().why;
    assert!(why.starts_with("Request 2 acknowledges FIN+1 (ack 202): ingress had the FIN"), "{why}");
}

/// A user asks an edge, that a router, and that a worker, which is killed after two seconds. The router tells nobody, and
/// the user leaves much later. `worker` is whether the last link was captured.
fn killed_unnoticed(worker: bool) -> Diagnosis {
    let lanes = ["user", "edge", "router", "worker"];
    let mut chain = Chain::new(if worker { &lanes } else { &lanes[..3] });
    let legs: Vec<usize> = (0..if worker { 3 } else { 2 }).map(|link| chain.open(link, 0)).collect();
    for (&leg, depth) in legs.iter().zip(0..) {
        chain.conns[leg].request(Method::Get, "/slow", (10 + depth) * MS).sync();
        if depth > 0 {
            chain.parent((leg, 0), (leg - 1, 0), 1);
        }
    }
    if worker {
        chain.conns[legs[2]].fin(Server, 2_013 * MS);
    }
    for (&leg, depth) in legs.iter().take(2).zip(0..) {
        chain.conns[leg].fin(Client, (23_400 + depth) * MS);
    }
    chain.analyse().diagnosis
}

#[test]
fn who_left_in_vain_because_a_worker_died_is_a_consequence() {
    let diagnosis = killed_unnoticed(true);
    let told: Vec<_> =
        diagnosis.findings.iter().map(|f| (f.kind.as_str(), f.link.map(|link| link.0))).collect();
    assert_eq!(told, [("closed-before-response", Some(2))]);
    assert_eq!(diagnosis.failures.origin, [(LinkId(2), 1)]);
    // Where the worker is out of sight, all that is known is how far the request had got.
    let diagnosis = killed_unnoticed(false);
    assert_eq!(diagnosis.findings[0].kind, "client-abort");
    let words = &diagnosis.findings[0].explanation;
    assert!(words.contains("had got as far as router, which had not sent a byte"), "{words}");
}

#[test]
fn an_answer_that_its_asker_had_no_more_use_for_is_no_failure() {
    let mut chain = Chain::new(&["user", "edge", "auth"]);
    let (user, auth) = (chain.open(0, 0), chain.open(1, 0));
    chain.conns[user].request(Method::Get, "/", 10 * MS).response(200, 20 * MS);
    chain.conns[auth].request(Method::Get, "/verify", 11 * MS).response(200, 13 * MS).cut();
    chain.conns[auth].exchanges[0].response.head_bytes = 100;
    chain.conns[auth].fin(Client, 14 * MS);
    chain.parent((auth, 0), (user, 0), 1);
    let diagnosis = chain.analyse().diagnosis;
    assert_eq!((diagnosis.failures.origin, diagnosis.findings.len()), (Vec::new(), 0));
}

#[test]
fn a_retry_that_may_have_been_for_another_request_is_no_fallback() {
    let told = |first_is_sure: bool, fallbacks: i64| {
        let mut chain = Chain::new(&["user", "nginx", "app"]);
        for n in 1..=fallbacks {
            let (user, app) = (chain.open(0, 0), chain.open(1, 0));
            chain.conns[user].request(Method::Get, "/f", n * S).response(200, n * S + 5 * MS);
            chain.conns[app].request(Method::Get, "/f", n * S + MS).response(500, n * S + 2 * MS);
            chain.parent((app, 0), (user, 0), 1);
        }
        let (user, stale, fresh) = (chain.open(0, 0), chain.open(1, 0), chain.open(1, 0));
        chain.conns[user].request(Method::Get, "/a", 10 * MS).response(200, 20 * MS);
        let conn = &mut chain.conns[stale];
        conn.request(Method::Get, "/0", MS)
            .response(200, 2 * MS)
            .fin(Server, 3 * MS)
            .fin_acked(Client, 4 * MS);
        conn.request(Method::Get, "/a", 11 * MS).rst(Server, 12 * MS, false);
        chain.conns[fresh].request(Method::Get, "/a", 13 * MS).response(200, 19 * MS);
        if first_is_sure {
            chain.parent((stale, 1), (user, 0), 1);
        } else {
            chain.guess((stale, 1), (user, 0), 1);
        }
        chain.guess((fresh, 0), (user, 0), 2);
        let diagnosis = chain.analyse().diagnosis;
        let masked = diagnosis.findings.iter().filter(|f| f.kind == "masked-failures");
        let masked: Vec<String> = masked.map(|f| format!("{} ×{}", f.cause, f.count)).collect();
        (masked, diagnosis.failures.masked.get("GET").copied())
    };
    assert_eq!(told(true, 0), (vec![" ×1".to_owned()], Some(1)));
    assert_eq!(told(false, 0), (Vec::new(), None));
    // Who falls back otherwise has done so here, and was asked the other one for somebody else.
    assert_eq!(told(true, 2), (vec!["fallback ×3".to_owned()], Some(3)));
}
