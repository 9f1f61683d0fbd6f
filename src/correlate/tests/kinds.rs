//! Requests of a hop that are no plain passing on: loops, hedges, refreshes.

use super::*;
use crate::http::ExchangeFlags;

fn below<'a>(analysis: &'a Analysis) -> impl Iterator<Item = ExchangeView<'a>> {
    analysis.exchanges().filter(|x| analysis.lane(analysis.link(x.link_id()).from).depth > 0)
}

#[test]
fn what_a_hop_asks_several_times_for_one_request_has_one_cause_and_is_no_retry() {
    for fails in [false, true] {
        let mut script = Script::new("any.pcap");
        for n in 0..20 {
            let at = n * 100 * MS;
            let user = script.connection(at, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100);
            let app = script.connection(at + MS, &format!("10.0.1.2:{}", 4_000 + n), "10.0.1.3:9000", 500);
            script.request(user, at + MS / 2, "GET", &format!("/order/{n}"), &[], "");
            for part in 0..3 {
                let at = at + 2 * MS + part * 10 * MS;
                script.request(app, at, "GET", "/price", &[], "");
                script.response(app, at + 4 * MS, if fails && part == 1 { 500 } else { 200 }, 1);
            }
            script.response(user, at + 40 * MS, 200, 3);
        }
        let analysis = analyse(vec![script.finish()]);
        let mut count = 0;
        for child in below(&analysis) {
            let parentage = analysis.trees.parent(child.id).unwrap();
            assert_eq!((parentage.confidence, child.attempts()), (Confidence::Likely, 1));
            assert_eq!(analysis.trees.children(parentage.parent).len(), 3);
            count += 1;
        }
        assert_eq!(count, 60);
        assert!(crate::diagnose::build(&analysis).retries.is_empty());
    }
}

#[test]
fn a_second_try_beside_one_that_still_waits_is_told_from_a_retry_and_from_a_copy() {
    for late in [MS / 100, 3 * MS] {
        let mut script = Script::new("any.pcap");
        for n in 0..12 {
            let (at, target) = (n * 100 * MS, format!("/item/{n}"));
            let user = script.connection(at, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100);
            let mut ask = |port: i64, server: &str, at: i64| {
                let conn = script.connection(at, &format!("10.0.1.2:{port}"), server, 500);
                script.request(conn, at + MS / 4, "GET", &target, &[], "");
                conn
            };
            let first = ask(4_000 + n, "10.0.1.3:9000", at + 2 * MS);
            let second = ask(5_000 + n, "10.0.1.4:9000", at + 2 * MS + late);
            script.request(user, at + MS, "GET", &target, &[], "");
            script.response(first, at + 9 * MS, 200, 3);
            script.response(user, at + 10 * MS, 200, 3);
            script.rst(second, at + 10 * MS + MS / 10, Side::Client);
        }
        let analysis = analyse(vec![script.finish()]);
        let hedges = below(&analysis).filter(|x| {
            analysis.trees.parent(x.id).is_some_and(|parent| parent.evidence.names().contains(&"hedge"))
        });
        let hedges: Vec<_> = hedges.map(|x| (x.connection().inner.server.to_string(), x.attempt())).collect();
        let expected = if late > MS { vec![("10.0.1.4:9000".to_owned(), 1); 12] } else { Vec::new() };
        assert_eq!(hedges, expected, "{late}");
        assert!(Evidence(Evidence::HEDGE).names() == ["hedge"]);
    }
}

#[test]
fn answers_from_a_cache_and_what_makes_its_copies_new_are_named() {
    let mut script = Script::new("any.pcap");
    for n in 0..20 {
        let (at, target) = (n * 100 * MS, format!("/img/{}", n % 10));
        let user = script.connection(at, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100);
        script.request(user, at + MS, "GET", &target, &[], "");
        // The first ones are asked for; of the others each tenth of a second one is made new behind the answer.
        let late = if n < 10 { 2 * MS } else { 7 * MS };
        if n < 14 {
            let app = script.connection(at + late, &format!("10.0.1.2:{}", 4_000 + n), "10.0.1.3:9000", 500);
            script.request(app, at + late + MS / 4, "GET", &target, &[], "");
            script.response(app, at + late + 3 * MS, 200, 3);
        }
        script.response(user, at + 6 * MS, 200, 3);
    }
    let mut facts = script.finish();
    let own = Arc::make_mut(&mut facts);
    for exchange in &mut own.exchanges {
        if own.flows[exchange.flow.0 as usize].server.port() == 80 && exchange.request.start.0 > 1_500 * MS {
            exchange.flags.set(ExchangeFlags::FROM_CACHE);
        }
    }
    let analysis = analyse(vec![facts]);
    let count = |why: Orphan| analysis.trees.orphans.iter().filter(|(_, orphan)| *orphan == why).count();
    let kinds = [Orphan::AnsweredHere, Orphan::FromCache, Orphan::BackgroundRefresh, Orphan::Unexplained];
    assert_eq!(kinds.map(count), [5, 5, 4, 0]);
}

#[test]
fn what_lies_inside_a_request_for_the_same_makes_no_copy_new() {
    let mut script = Script::new("any.pcap");
    for n in 0..24 {
        let at = n * 100 * MS;
        let user = script.connection(at, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100);
        let app = script.connection(at, &format!("10.0.1.2:{}", 4_000 + n), "10.0.1.3:9000", 500);
        let (own, other) = (format!("id-{n}"), format!("id-other-{n}"));
        script.request(user, at + MS, "GET", "/", &[("X-Request-ID", &own)], "");
        let id = if n < 20 { &own } else { &other };
        script.request(app, at + 2 * MS, "GET", "/", &[("X-Request-ID", id)], "");
        script.response(app, at + 5 * MS, 200, 3);
        script.response(user, at + 6 * MS, 200, 3);
    }
    let analysis = analyse(vec![script.finish()]);
    let count = |why: Orphan| analysis.trees.orphans.iter().filter(|(_, orphan)| *orphan == why).count();
    let kinds = [Orphan::AnsweredHere, Orphan::BackgroundRefresh, Orphan::Unexplained];
    assert_eq!(kinds.map(count), [4, 0, 4]);
}

#[test]
fn failures_that_no_user_saw_say_so_and_health_checks_are_called_that() {
    for checks in [true, false] {
        let mut script = Script::new("edge.pcap");
        for n in 0..20 {
            let (at, target) = (n * 100 * MS, format!("/item/{n}"));
            let user = script.connection(at, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100);
            let app = script.connection(at, &format!("10.0.1.2:{}", 4_000 + n), "10.0.1.3:9000", 500);
            let fails = !checks && n % 4 == 0;
            script.request(user, at + MS, "GET", &target, &[], "");
            script.request(app, at + 2 * MS, "GET", &target, &[], "");
            script.response(app, at + 4 * MS, if fails { 500 } else { 200 }, 3);
            script.response(user, at + 5 * MS, 200, 3);
            if checks && n % 4 == 0 {
                let at = at + 50 * MS;
                let probe = script.connection(at, &format!("10.0.1.2:{}", 5_000 + n), "10.0.1.4:9000", 500);
                script.request(probe, at + MS, "GET", "/health", &[], "");
                script.response(probe, at + 3 * MS, 503, 3);
            }
        }
        let analysis = crate::analysis::analyse(vec![script.finish()], &Overrides::default());
        let kinds: Vec<&str> = analysis.diagnosis.findings.iter().map(|one| one.kind.as_str()).collect();
        assert_eq!(
            kinds,
            if checks { &["application-error"][..] } else { &["application-error", "masked-failures"] }
        );
        let finding = &analysis.diagnosis.findings[0];
        assert_eq!(finding.summary.ends_with("(health checks)"), checks, "{}", finding.summary);
        let words = if checks {
            "5 health checks that no user waits for."
        } else {
            "5 requests of users, all answered"
        };
        assert!(finding.explanation.contains("No user got an error"), "{}", finding.explanation);
        assert!(finding.explanation.contains(words), "{}", finding.explanation);
    }
}

/// Requests that come every so often, are answered out of order, and that a proxy passes on under one name.
fn renamed(every: i64, body: impl Fn(i64) -> String) -> Analysis {
    let mut script = Script::new("any.pcap");
    for n in 0..60 {
        let (at, takes) = (n * every, (20 + n * 37 % 23) * MS);
        let user = script.connection(at, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100);
        let app = script.connection(0, &format!("10.0.1.2:{}", 4_000 + n), "10.0.1.3:9000", 500);
        script.request(user, at, "POST", &format!("/order/{n}"), &[], &body(n));
        script.request(app, at + n * 13 % 7 * MS + MS, "POST", "/index.php", &[], &body(n));
        script.response(app, at + takes, 200, 5);
        script.response(user, at + takes + n * 17 % 11 * MS, 200, 5);
    }
    analyse(vec![script.finish()])
}

#[test]
fn what_is_passed_on_under_another_name_is_known_by_its_body_and_never_without_a_cause() {
    let own = renamed(2 * MS, |n| format!("item {n}"));
    for child in below(&own) {
        let parentage = own.trees.parent(child.id).unwrap();
        assert_eq!(parentage.confidence, Confidence::Likely);
        assert!(parentage.evidence.0 & Evidence::BODY != 0);
        let user = own.exchange(parentage.parent).connection().inner.client.port();
        assert_eq!(user + 1_000, child.connection().inner.client.port());
    }
    let equal = renamed(MS / 5, |_| String::new());
    assert!(below(&equal).count() == 60 && below(&equal).all(|child| equal.trees.parent(child.id).is_some()));
}

#[test]
fn what_a_hop_starts_in_an_order_of_its_own_under_another_name_is_likely_only_where_it_is_right() {
    for spread in [20_000, 250_000] {
        let mut script = Script::new("any.pcap");
        for round in 0..6 {
            for n in 0..60 {
                let at = round * 700 * MS + n * spread;
                let place = (n * 37 + round * 11) % 60;
                let starts = round * 700 * MS + 60 * spread + place * spread / 2;
                let ends = starts + 3 * MS + (n * 7_919 + round * 31) % 97 * MS / 4;
                let port = round * 60 + n;
                let user = script.connection(at, &format!("10.0.1.1:{}", 3_000 + port), "10.0.1.2:80", 100);
                let app = script.connection(0, &format!("10.0.1.2:{}", 13_000 + port), "10.0.1.3:9000", 500);
                script.request(user, at, "GET", "/", &[], "");
                script.request(app, starts, "GET", "/index.php", &[], "");
                script.response(app, ends, 200, 5);
                script.response(user, ends + MS / 4, 200, 5);
            }
        }
        let analysis = analyse(vec![script.finish()]);
        let (mut right, mut all) = (0, 0);
        for child in below(&analysis) {
            let Some(parentage) = analysis.trees.parent(child.id) else { continue };
            let user = analysis.exchange(parentage.parent).connection().inner.client.port();
            all += usize::from(parentage.confidence > Confidence::Ambiguous);
            right += usize::from(
                parentage.confidence > Confidence::Ambiguous
                    && user + 10_000 == child.connection().inner.client.port(),
            );
        }
        assert!(right * 100 >= all * 95, "{spread}: {right} of {all}");
    }
}

#[test]
fn an_attempt_that_the_server_closed_is_no_second_try_beside_another_request() {
    let mut script = Script::new("any.pcap");
    for n in 0..40 {
        let at = n * 100 * MS;
        // Two equal requests at a time: the server closes one attempt for the first, which is made again.
        let mut user = |port: i64, at: i64| {
            let conn = script.connection(at, &format!("10.0.1.1:{port}"), "10.0.1.2:80", 100);
            script.request(conn, at, "GET", "/", &[], "");
            conn
        };
        let users = [user(3_000 + n, at), user(4_000 + n, at + 3 * MS)];
        let mut ask = |port: i64, at: i64| {
            let conn = script.connection(at - MS / 20, &format!("10.0.1.2:{port}"), "10.0.1.3:9000", 500);
            script.request(conn, at, "GET", "/", &[], "");
            conn
        };
        let failed = ask(5_000 + n, at + MS / 10);
        let other = ask(6_000 + n, at + 3 * MS + MS / 10);
        let again = ask(7_000 + n, at + 6 * MS + MS / 10);
        script.fin(failed, at + 6 * MS, Side::Server);
        script.fin(failed, at + 6 * MS + MS / 50, Side::Client);
        script.response(other, at + 8 * MS, 200, 3);
        script.response(users[1], at + 8 * MS + MS / 10, 200, 3);
        script.response(again, at + 11 * MS, 200, 3);
        script.response(users[0], at + 11 * MS + MS / 10, 200, 3);
    }
    let analysis = analyse(vec![script.finish()]);
    let port = |x: &ExchangeView<'_>| x.connection().inner.client.port();
    for child in below(&analysis) {
        let parentage = analysis.trees.parent(child.id).unwrap();
        assert!(!parentage.evidence.names().contains(&"hedge"), "{}", port(&child));
        let parent = port(&analysis.exchange(parentage.parent));
        assert_eq!(parent / 1_000 == 4, port(&child) / 1_000 == 6, "{} {parent}", port(&child));
    }
}

/// Four users at a time who order the same; behind the proxy `cut` is done to each request and its answer.
fn orders(cut: impl Fn(&mut Script, Conn)) -> (usize, usize) {
    let mut script = Script::new("any.pcap");
    let users =
        [0, 1, 2, 3].map(|n| script.connection(0, &format!("10.0.1.1:{}", 3_000 + n), "10.0.1.2:80", 100));
    let asks =
        [0, 1, 2, 3].map(|n| script.connection(0, &format!("10.0.2.1:{}", 3_000 + n), "10.0.2.2:8000", 100));
    for n in 0..60i64 {
        let (at, who) = (MS + n * 2 * MS + n * 37 % 11 * MS / 20, n as usize % 4);
        let takes = 4 * MS + n * 31 % 7 * MS / 4;
        script.request(users[who], at, "POST", "/order", &[], "a cup");
        script.request(asks[who], at + MS / 10, "POST", "/order", &[], "a cup");
        script.response(asks[who], at + takes, 200, 20);
        cut(&mut script, asks[who]);
        script.response(users[who], at + takes + MS / 10, 200, 20);
    }
    let analysis = analyse(vec![script.finish()]);
    let client = |x: &ExchangeView<'_>| x.connection().inner.client.port();
    let parents: Vec<bool> = below(&analysis)
        .filter_map(|x| {
            Some((client(&x), x.raw.ordinal, analysis.exchange(analysis.trees.parent(x.id)?.parent)))
        })
        .map(|(port, ordinal, parent)| client(&parent) == port && parent.raw.ordinal == ordinal)
        .collect();
    (parents.iter().filter(|is| **is).count(), parents.len())
}

#[test]
fn what_the_snap_length_cut_of_a_request_or_an_answer_takes_nobody_its_place() {
    assert_eq!(orders(|_, _| ()), (60, 60));
    assert_eq!(orders(Script::cut_head), (60, 60));
    assert_eq!(orders(Script::cut_answer), (60, 60));
}

#[test]
fn an_answer_that_was_cut_is_no_failure_that_makes_the_next_request_a_retry() {
    let mut script = Script::new("any.pcap");
    let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
    let asks = [0, 1].map(|n| script.connection(0, &format!("10.0.2.1:{}", 3_000 + n), "10.0.2.2:8000", 100));
    for n in 0..20i64 {
        let at = MS + n * 20 * MS;
        script.request(user, at, "GET", "/", &[], "");
        // Whether it may, and then what it asks for: of both nothing but the method was kept.
        for (asks, after) in asks.into_iter().zip([1, 5]) {
            script.request(asks, at + after * MS, "GET", "/", &[], "");
            script.response(asks, at + (after + 3) * MS, 200, 20);
            script.cut_answer(asks);
        }
        script.response(user, at + 9 * MS, 200, 20);
    }
    let analysis = analyse(vec![script.finish()]);
    assert!(below(&analysis).all(|x| x.attempt() == 1));
}
