//! Failed attempts: what is a retry, whose, and at which time it counts.

use super::*;

#[test]
fn a_retry_on_another_replica_is_the_second_attempt() {
    let mut script = Script::new("any.pcap");
    let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 1);
    let first = script.connection(0, "10.0.2.1:4000", "10.0.2.2:8080", 1_000);
    let second = script.connection(0, "10.0.2.1:4001", "10.0.2.2:8081", 2_000);
    for n in 0..6 {
        let (t, target) = (n * 20 * MS, format!("/item/{n}"));
        script.request(user, t, "GET", &target, &[], "");
        script.request(first, t + 100 * US, "GET", &target, &[("host", "up")], "");
        script.response(first, t + MS, if n == 3 { 502 } else { 200 }, 10);
        if n == 3 {
            script.request(second, t + 1_100 * US, "GET", &target, &[("host", "up")], "");
            script.response(second, t + 2 * MS, 200, 10);
        }
        script.response(user, t + 3 * MS, 200, 10);
    }
    let analysis = analyse(vec![script.finish()]);
    assert_eq!(analysis.topology.lanes.len(), 3);
    let retried = analysis.exchanges().find(|x| x.attempt() == 2).unwrap();
    let parentage = analysis.trees.parent(retried.id).unwrap();
    assert!(parentage.evidence.names().contains(&"retry"));
    assert_eq!(analysis.trees.children(parentage.parent).len(), 2);
    assert_eq!(retried.status(), Some(200));
}

#[test]
fn a_request_without_an_answer_leaves_the_retry_to_its_sibling() {
    let mut script = Script::new("any.pcap");
    let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 1);
    let stale = script.connection(0, "10.0.2.1:4000", "10.0.2.2:8000", 1_000);
    for n in 0..4 {
        let (t, target) = (n * 20 * MS, format!("/item/{n}"));
        script.request(user, t, "GET", &target, &[], "");
        script.request(stale, t + 100 * US, "GET", &target, &[], "");
        if n == 3 {
            script.rst(stale, t + 300 * US, Side::Server);
            let fresh = script.connection(t + 350 * US, "10.0.2.1:4001", "10.0.2.2:8000", 5_000);
            script.request(fresh, t + 400 * US, "GET", &target, &[], "");
            script.response(fresh, t + 2 * MS, 200, 10);
        } else {
            script.response(stale, t + 2 * MS, 200, 10);
        }
        script.response(user, t + 3 * MS, 200, 10);
    }
    let analysis = analyse(vec![script.finish()]);
    let failed = analysis.exchanges().find(|x| x.status().is_none()).unwrap();
    assert_eq!((failed.attempt(), failed.attempts()), (1, 2));
}

/// The application is 3 ms away and its capture the better one; the proxy gives up on a request before that is there. Its
/// own capture may lack the connection.
fn given_up_under_way(is_seen_near: bool) -> Analysis {
    let (mut near, mut far) = (Script::new("proxy.pcap"), Script::new("app.pcap"));
    let user = near.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 1);
    let tell = |script: &mut Script, delay: i64, far: bool| {
        let fresh = script.connection(delay + US, "10.0.2.1:4001", "10.0.2.2:8000", 90_000);
        let stale = (far || is_seen_near)
            .then(|| script.connection(delay + 2 * US, "10.0.2.1:4000", "10.0.2.2:8000", 50));
        for conn in [Some(fresh), stale].into_iter().flatten().filter(|_| far) {
            script.round_trip(conn, 6 * MS);
        }
        for n in 0..6 {
            let t = 10 * MS + n * 40 * MS;
            let back = if far { 0 } else { 6 * MS };
            script.request(fresh, t + 100 * US + delay, "GET", &format!("/{n}"), &[], "");
            script.response(fresh, t + 4 * MS + back, 200, 10);
        }
        let t = 300 * MS;
        if let Some(stale) = stale {
            // It waits in a queue on the way.
            let there = t + 100 * US + if far { 8 * MS } else { 0 };
            script.request(stale, there, "GET", "/x", &[], "");
            script.rst(stale, t + if far { 8_110 * US } else { 11 * MS }, Side::Server);
        }
        script.request(fresh, t + 1_100 * US + delay, "GET", "/x", &[], "");
        script.response(fresh, t + 8 * MS + if far { 0 } else { 3 * MS }, 200, 10);
    };
    tell(&mut near, 0, false);
    tell(&mut far, 3 * MS, true);
    for n in 0..6 {
        near.request(user, 10 * MS + n * 40 * MS, "GET", &format!("/{n}"), &[], "");
        near.response(user, 10 * MS + n * 40 * MS + 11 * MS, 200, 10);
    }
    let t = 300 * MS;
    near.request(user, t, "GET", "/x", &[], "");
    near.response(user, t + 300 * US, 502, 10);
    near.request(user, t + MS, "GET", "/x", &[], "");
    near.response(user, t + 12 * MS, 200, 10);
    analyse(vec![near.finish(), far.finish()])
}

#[test]
fn a_request_counts_at_the_time_when_its_proxy_sent_it() {
    for is_seen_near in [true, false] {
        let analysis = given_up_under_way(is_seen_near);
        let failed = analysis.exchanges().find(|x| x.status().is_none()).unwrap();
        let parent = analysis.exchange(analysis.trees.parent(failed.id).unwrap().parent);
        assert_eq!((parent.status(), failed.attempts()), (Some(502), 1), "seen near: {is_seen_near}");
        // The user's second try is a request of its own, and no proxy's retry.
        let good = analysis.exchanges().filter(|x| x.target() == "/x" && x.status() == Some(200));
        assert!(good.into_iter().all(|x| x.attempt() == 1), "seen near: {is_seen_near}");
    }
}

/// A proxy that answers five failed requests with 502, and one whose like failed before its own attempt went well.
fn failures_passed_on(misses_packets: bool) -> Vec<u16> {
    let mut script = Script::new("any.pcap");
    let ask = |script: &mut Script, n: i64, client: &str, server: &str, at: i64, end: (i64, u16)| {
        let conn = script.connection(at - US * 50, &format!("{client}:{}", 4000 + n), server, 100);
        script.request(conn, at, "GET", "/", &[], "");
        match end {
            (at, 0) => script.fin(conn, at, Side::Server),
            (at, status) => script.response(conn, at, status, 20),
        }
    };
    let (edge, app) = (("10.0.1.1", "10.0.1.2:80"), ("10.0.1.2", "10.0.1.3:9000"));
    for n in 0..5 {
        let at = MS + n * 50 * MS;
        ask(&mut script, n, edge.0, edge.1, at, (at + 3 * MS, 502));
        ask(&mut script, n, app.0, app.1, at + MS, (at + 2 * MS, 0));
    }
    let at = 300 * MS;
    ask(&mut script, 7, edge.0, edge.1, at, (at + 9 * MS, 200));
    ask(&mut script, 8, app.0, app.1, at + MS, (at + 2 * MS, 0));
    ask(&mut script, 9, app.0, app.1, at + 2 * MS + 100 * US, (at + 8 * MS, 200));
    let mut facts = (*script.finish()).clone();
    if misses_packets {
        facts.exchanges[0].flags.set(crate::http::ExchangeFlags::NEAR_HOLE);
    }
    let analysis = analyse(vec![facts.into()]);
    let last =
        analysis.exchanges().filter(|x| x.started().0 > 250 * MS && analysis.trees.parent(x.id).is_some());
    last.map(|exchange| exchange.attempt()).collect()
}

/// A busy proxy that retries nothing: a request of the user whose attempt fails late, and one that came meanwhile and waits
/// until the proxy gets to it.
#[test]
fn a_failure_has_the_attempt_that_failed_though_another_request_is_nearer() {
    for status in [502, 404] {
        assert_failure_has_its_attempt(status);
    }
}

fn assert_failure_has_its_attempt(status: u16) {
    let mut script = Script::new("any.pcap");
    let ask = |script: &mut Script, n: i64, at: [i64; 4], failed: bool| {
        let user = script.connection(at[0] - US * 50, &format!("10.0.1.1:{}", 3000 + n), "10.0.1.2:80", 100);
        let up = script.connection(0, &format!("10.0.1.2:{}", 14000 + n), "10.0.1.3:9000", 100);
        script.request(user, at[0], "GET", "/", &[], "");
        script.request(up, at[1], "GET", "/", &[], "");
        let status = if failed { status } else { 200 };
        if status == 502 {
            script.rst(up, at[2], Side::Server);
        } else {
            script.response(up, at[2], status, 20);
        }
        script.response(user, at[3], status, 20);
    };
    for n in 0..60 {
        let at = n * 3 * MS;
        ask(&mut script, n, [at, at + 200 * US + n * US, at + 4 * MS, at + 4_100 * US + n * US], false);
    }
    let at = 1_000 * MS;
    ask(&mut script, 70, [at, at + 7_800 * US, at + 9_300 * US, at + 25_200 * US], true);
    let at = at + 7_500 * US;
    ask(&mut script, 71, [at, at + 18 * MS, at + 38 * MS, at + 38_200 * US], false);
    let analysis = analyse(vec![script.finish()]);
    for child in analysis.exchanges().filter(|x| x.started().0 > 900 * MS) {
        let Some(parentage) = analysis.trees.parent(child.id) else { continue };
        let parent = analysis.exchange(parentage.parent);
        let ports = [parent, child].map(|x| x.connection().inner.client.port());
        assert_eq!(
            (ports[0] + 11_000, child.attempt()),
            (ports[1], 1),
            "{status} {:?}",
            parentage.confidence
        );
    }
}

#[test]
fn where_failures_are_passed_on_and_packets_are_missing_nothing_is_a_retry() {
    assert_eq!(failures_passed_on(false), [1, 2]);
    assert_eq!(failures_passed_on(true), [1]);
}
