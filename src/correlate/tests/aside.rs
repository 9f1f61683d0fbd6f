//! What a hop asks beside what it passes on: copies, permissions, health checks.

use super::*;

#[test]
fn a_mirrored_copy_and_a_question_of_the_proxys_own_are_no_attempts() {
    let mut script = Script::new("any.pcap");
    let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
    let app = |n: u16| (format!("10.0.1.2:{}", 4_000 + n), "10.0.1.3:9000");
    let pool: Vec<Conn> =
        (0..3).map(|n| script.connection(0, &app(n).0, app(n).1, 100 + u32::from(n))).collect();
    for n in 0..6 {
        let (at, id, target) = (MS + n * 20 * MS, format!("id-{n}"), format!("/item/{n}"));
        let ids: &[(&str, &str)] = &[("x-request-id", &id)];
        script.request(user, at, "GET", &target, ids, "");
        // May it? Then the request, and a copy of it for another use.
        script.request(pool[0], at + MS, "GET", "/may", ids, "");
        script.response(pool[0], at + 2 * MS, 204, 0);
        script.request(pool[1], at + 3 * MS, "GET", &target, ids, "");
        script.request(pool[2], at + 3 * MS + 10 * US, "GET", &target, ids, "");
        script.response(pool[1], at + 6 * MS, 200, 20);
        script.response(pool[2], at + 7 * MS, 200, 20);
        script.response(user, at + 8 * MS, 200, 20);
    }
    let analysis = analyse(vec![script.finish()]);
    let asked: Vec<_> = analysis.exchanges().filter(|x| analysis.trees.parent(x.id).is_some()).collect();
    assert_eq!(asked.len(), 18);
    assert!(asked.iter().all(|x| (x.attempt(), x.attempts()) == (1, 1)));
    assert!(crate::diagnose::build(&analysis).retries.is_empty());
}

#[test]
fn what_a_proxy_asks_with_another_method_is_found_by_the_id() {
    let mut script = Script::new("any.pcap");
    let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
    let app = script.connection(0, "10.0.1.2:4000", "10.0.1.3:9000", 100);
    let auth = script.connection(0, "10.0.1.2:4001", "10.0.1.4:9001", 100);
    for n in 0..6 {
        let (at, id, target) = (MS + n * 20 * MS, format!("id-{n}"), format!("/item/{n}"));
        let ids: &[(&str, &str)] = &[("x-request-id", &id)];
        script.request(user, at, "POST", &target, ids, "body");
        script.request(auth, at + MS, "GET", "/auth", ids, "");
        script.response(auth, at + 2 * MS, 204, 0);
        script.request(app, at + 3 * MS, "POST", &target, ids, "body");
        script.response(app, at + 6 * MS, 200, 20);
        script.response(user, at + 8 * MS, 200, 20);
    }
    let analysis = analyse(vec![script.finish()]);
    let asked: Vec<_> = analysis.exchanges().filter(|x| x.target() == "/auth").collect();
    assert_eq!(asked.len(), 6);
    for (n, one) in asked.iter().enumerate() {
        let parentage = analysis.trees.parent(one.id).unwrap();
        assert_eq!(analysis.exchange(parentage.parent).target(), format!("/item/{n}"));
        assert_eq!((parentage.confidence, one.attempts()), (Confidence::Certain, 1));
    }
}

#[test]
fn what_a_proxy_asks_on_the_loopback_is_its_own_though_nothing_but_the_time_says_so() {
    let mut script = Script::new("any.pcap");
    let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
    let app = script.connection(0, "10.0.1.2:4000", "10.0.1.3:9000", 100);
    let auth = script.connection(0, "127.0.0.1:4001", "127.0.0.1:4180", 100);
    for n in 0..12 {
        let (at, target) = (MS + n * 20 * MS, format!("/item/{n}"));
        script.request(user, at, "POST", &target, &[], "body");
        script.request(auth, at + MS, "GET", "/oauth2/auth", &[], "");
        script.response(auth, at + 2 * MS, 202, 0);
        script.request(app, at + 3 * MS, "POST", &target, &[], "body");
        script.response(app, at + 6 * MS, 200, 20);
        script.response(user, at + 8 * MS, 200, 20);
    }
    let analysis = analyse(vec![script.finish()]);
    let asked: Vec<_> = analysis.exchanges().filter(|x| x.target() == "/oauth2/auth").collect();
    let link = analysis.link(asked[0].link_id());
    assert!(analysis.lane(link.from).serves.iter().any(|s| s.port() == 80), "{:?}", lanes(&analysis));
    for (n, one) in asked.iter().enumerate() {
        let parentage = analysis.trees.parent(one.id).unwrap();
        assert_eq!(analysis.exchange(parentage.parent).target(), format!("/item/{n}"));
        assert_eq!((parentage.confidence, one.attempts()), (Confidence::Likely, 1));
    }
}

#[test]
fn health_checks_past_the_proxy_come_from_a_client_lane_of_their_own() {
    let mut script = Script::new("any.pcap");
    HOSTS.tell(Some(&mut script), None, 0);
    let mut other = Script::new("app.pcap");
    HOSTS.tell(None, Some(&mut other), 0);
    let probe = other.connection(0, "10.0.9.9:5000", "10.0.2.2:8000", 77);
    for n in 0..5 {
        other.request(probe, n * 30 * MS, "GET", "/healthz", &[], "");
        other.response(probe, n * 30 * MS + MS, 200, 2);
    }
    let analysis = analyse(vec![script.finish(), other.finish()]);
    let depths: Vec<u16> = analysis.topology.lanes.iter().map(|lane| lane.depth).collect();
    assert_eq!(depths, [0, 0, 1, 2]);
    let mut checks = analysis.exchanges().filter(|x| x.target() == "/healthz");
    assert!(checks.all(|x| analysis.trees.parent(x.id).is_none()));
}

#[test]
fn a_subrequest_that_names_the_original_target_hangs_below_it() {
    let mut script = Script::new("any.pcap");
    let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 1);
    let auth = script.connection(0, "10.0.1.2:4000", "10.0.1.2:9000", 500);
    let app = script.connection(0, "10.0.2.1:4000", "10.0.2.2:8000", 900);
    for n in 0..10 {
        let (t, target) = (MS + n * 20 * MS, format!("/item/{n}"));
        script.request(user, t, "GET", &target, &[], "");
        script.request(auth, t + 50 * US, "GET", "/auth", &[("x-original-uri", &target)], "");
        script.response(auth, t + MS, 204, 0);
        script.request(app, t + 1_100 * US, "GET", &target, &[], "");
        script.response(app, t + 4 * MS, 200, 9);
        script.response(user, t + 5 * MS, 200, 9);
    }
    let analysis = analyse(vec![script.finish()]);
    assert_eq!(analysis.topology.lanes.len(), 4, "{:?}", lanes(&analysis));
    for child in analysis.exchanges().filter(|x| x.target() == "/auth") {
        let parent = analysis.exchange(analysis.trees.parent(child.id).unwrap().parent);
        assert_eq!(Some(child.started().since_ns(parent.started())), Some(50 * US));
    }
}
