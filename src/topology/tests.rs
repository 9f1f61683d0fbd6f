//! Names, copies and remarks, on chains told by hand.

use std::sync::Arc;

use super::*;
use crate::testing::Script;

const MS: i64 = 1_000_000;

/// Five requests from one address to another, from `start` on, each answered after `takes`.
fn ask(script: &mut Script, client: &str, server: &str, start: i64, takes: i64) {
    let conn = script.connection(start, client, server, 100);
    for n in 0..5 {
        let at = start + MS + n * 10 * MS + (8 * MS - takes) / 2;
        script.request(conn, at, "GET", &format!("/item/{n}"), &[], "");
        script.response(conn, at + takes, 200, 20);
    }
}

const USER: &str = "10.0.1.1:3000";
const EDGE: &str = "10.0.1.2:80";
const EDGE_OUT: &str = "10.0.2.1:4000";
const APP: &str = "10.0.2.2:8000";

/// What is captured at a proxy: both of its links.
fn at_proxy(name: &str) -> Arc<CaptureFacts> {
    let mut script = Script::new(name);
    ask(&mut script, USER, EDGE, 0, 6 * MS);
    ask(&mut script, EDGE_OUT, APP, 0, 4 * MS);
    script.finish()
}

fn names(captures: &[Arc<CaptureFacts>]) -> Vec<String> {
    build(captures, &Overrides::default()).lanes.into_iter().map(|lane| lane.name).collect()
}

#[test]
fn a_cut_copy_neither_names_a_lane_nor_gives_evidence_and_is_said_to_be_one() {
    // By its name it would come first, and what it holds touches the user's and the proxy's lane only.
    let mut cut = Script::new("a/api.pcap");
    ask(&mut cut, USER, EDGE, 0, 6 * MS);
    let captures = [cut.finish(), at_proxy("b/ingress.pcap")];
    for order in [[0, 1], [1, 0]] {
        let captures = order.map(|at| Arc::clone(&captures[at]));
        let topology = build(&captures, &Overrides::default());
        let names: Vec<&str> = topology.lanes.iter().map(|lane| lane.name.as_str()).collect();
        assert_eq!(names, ["user", "ingress", "app"]);
        let best = |c: &Connection| captures[c.sightings[0].capture.index()].info.path.clone();
        assert!(topology.connections.iter().all(|c| best(c).ends_with("ingress.pcap")));
        let [remark] = &topology.remarks[..] else { panic!("{:?}", topology.remarks) };
        assert_eq!(remark.kind, RemarkKind::CopiedCapture);
        assert!(remark.detail.starts_with("a/api.pcap holds 13 of the 26 packets of b/ingress.pcap"));
    }
}

#[test]
fn a_capture_of_a_part_of_the_time_finds_the_same_lanes() {
    const INGRESS: &str = "10.0.2.2:8080";
    let of_round = |script: &mut Script, round: i64, links: &[(&str, &str, i64)]| {
        for &(client, server, takes) in links {
            ask(script, &format!("{client}:{}", 4000 + round), server, round * 100 * MS, takes);
        }
    };
    let (user, edge, ingress) =
        (("10.0.1.1", EDGE, 7 * MS), ("10.0.2.1", INGRESS, 5 * MS), ("10.0.3.1", "10.0.3.2:9000", 3 * MS));
    for seen_at_the_edge in [0..2, 4..6, 0..6] {
        let (mut front, mut inner) = (Script::new("front.pcap"), Script::new("inner.pcap"));
        for round in 0..6 {
            of_round(&mut inner, round, &[edge, ingress]);
            if seen_at_the_edge.contains(&round) {
                of_round(&mut front, round, &[user, edge]);
            }
        }
        let topology = build(&[front.finish(), inner.finish()], &Overrides::default());
        let lanes: Vec<Vec<String>> = topology
            .lanes
            .iter()
            .map(|lane| lane.addresses.iter().map(ToString::to_string).collect())
            .collect();
        let expected =
            [vec!["10.0.1.1"], vec!["10.0.1.2", "10.0.2.1"], vec!["10.0.2.2", "10.0.3.1"], vec!["10.0.3.2"]];
        assert_eq!(lanes, expected, "{seen_at_the_edge:?}");
    }
}

#[test]
fn a_second_capture_of_the_same_connections_is_no_copy() {
    let mut far = Script::new("user.pcap");
    ask(&mut far, USER, EDGE, -30_000, 6 * MS);
    assert!(build(&[far.finish(), at_proxy("ingress.pcap")], &Overrides::default()).remarks.is_empty());
}

/// What is captured at the application: its one link.
fn at_app(name: &str) -> Arc<CaptureFacts> {
    let mut script = Script::new(name);
    ask(&mut script, EDGE_OUT, APP, 40_000, 4 * MS);
    script.finish()
}

#[test]
fn a_file_names_a_lane_only_when_its_name_says_something() {
    for silent in ["case7.pcap", "g.pcap", "capture.pcap", "eth0.pcap", "paas.pcap", "no-edge.pcap"] {
        assert_eq!(names(&[at_proxy(silent)]), ["user", "proxy", "app"], "{silent}");
    }
    assert_eq!(names(&[at_proxy("nginx-20261125.pcap")]), ["user", "nginx", "app"]);
    // Words that nobody knows are names where several captures of a chain are called differently.
    assert_eq!(names(&[at_proxy("berlin.pcap"), at_app("checkout.pcap")]), ["user", "berlin", "checkout"]);
    assert_eq!(names(&[at_proxy("hop1.pcap"), at_app("hop2.pcap")]), ["user", "proxy", "app"]);
    assert_eq!(names(&[at_proxy("a.pcap"), at_app("b.pcap")]), ["user", "proxy", "app"]);
    assert_eq!(names(&[at_proxy("edge/c.pcap"), at_app("django/c.pcap")]), ["user", "edge", "django"]);
}

#[test]
fn a_file_does_not_call_the_server_of_its_only_link_a_product_that_this_says_not_to_be() {
    // Of the checks of a proxy, say.
    let capture = |server: Option<&str>| {
        let mut script = Script::new("haproxy.pcap");
        ask(&mut script, EDGE_OUT, APP, 0, 4 * MS);
        server.into_iter().for_each(|server| script.server_header(APP, server));
        script.finish()
    };
    assert_eq!(names(&[capture(Some("gunicorn"))]), ["user", "app"]);
    assert_eq!(names(&[capture(Some("haproxy"))]), ["user", "haproxy"]);
    assert_eq!(names(&[capture(None)]), ["user", "haproxy"]);
    // Where both sides of it were captured, the place is its own.
    let mut script = Script::new("haproxy.pcap");
    ask(&mut script, USER, EDGE, 0, 6 * MS);
    ask(&mut script, EDGE_OUT, APP, 0, 4 * MS);
    script.server_header(EDGE, "shop");
    assert_eq!(names(&[script.finish()]), ["user", "haproxy", "app"]);
}

#[test]
fn who_answers_for_others_as_a_proxy_is_not_called_the_application() {
    let names_of = |server: &str, status: u16| {
        let mut script = Script::new("c.pcap");
        let conn = script.connection(0, EDGE_OUT, APP, 100);
        for (n, status) in (0..).zip([200, status]) {
            script.request(conn, n * 20 * MS, "GET", "/", &[], "");
            script.response(conn, n * 20 * MS + MS, status, 20);
        }
        script.server_header(APP, server);
        names(&[script.finish()])
    };
    assert_eq!(names_of("nginx/1.22.1", 502), ["user", "nginx"]);
    assert_eq!(names_of("nginx/1.22.1", 200), ["user", "app"]);
    assert_eq!(names_of("gunicorn", 502), ["user", "app"]);
}

#[test]
fn who_checks_several_hops_is_one_client_and_no_user() {
    let clients = |checks: [&str; 2]| {
        let mut script = Script::new("any.pcap");
        ask(&mut script, USER, EDGE, 0, 8 * MS);
        ask(&mut script, "10.0.1.2:4000", "10.0.2.1:8080", 0, 6 * MS);
        ask(&mut script, "10.0.2.1:4000", APP, 0, 4 * MS);
        for (client, (server, at)) in checks.into_iter().zip([("10.0.2.1:8080", 200 * MS), (APP, 300 * MS)]) {
            let conn = script.connection(at, client, server, 100);
            script.request(conn, at + MS, "GET", "/health", &[("User-Agent", "curl/8.1")], "");
            script.response(conn, at + 2 * MS, 200, 2);
        }
        names(&[script.finish()])
    };
    assert_eq!(clients(["10.0.9.1:5000", "10.0.9.1:5001"]), ["user", "curl", "proxy", "proxy 2", "app"]);
    assert_eq!(clients(["10.0.9.1:5000", "10.0.9.2:5001"]).len(), 6);
}

#[test]
fn files_of_unrelated_recordings_name_no_lane() {
    let mut other = Script::new("leak.pcap");
    ask(&mut other, "10.9.1.1:5000", "10.9.1.2:90", 900 * MS, 4 * MS);
    let mut one = Script::new("timeout.pcap");
    ask(&mut one, USER, EDGE, 0, 4 * MS);
    assert!(!names(&[one.finish(), other.finish()]).iter().any(|name| name == "leak" || name == "timeout"));
}

#[test]
fn a_server_header_names_the_deepest_lane_that_sends_it() {
    let chain = |edge: &str, ingress: &str| {
        let mut script = Script::new("any.pcap");
        ask(&mut script, USER, EDGE, 0, 7 * MS);
        ask(&mut script, EDGE_OUT, "10.0.2.2:8080", 0, 5 * MS);
        ask(&mut script, "10.0.3.1:5000", "10.0.3.2:9000", 0, 3 * MS);
        script.server_header(EDGE, edge);
        script.server_header("10.0.2.2:8080", ingress);
        script.server_header("10.0.3.2:9000", "gunicorn");
        names(&[script.finish()])
    };
    assert_eq!(chain("nginx/1.22.1", "gunicorn"), ["user", "nginx", "proxy", "app"]);
    assert_eq!(chain("gunicorn", "gunicorn"), ["user", "proxy", "proxy 2", "app"]);
    assert_eq!(chain("nginx", "nginx"), ["user", "proxy", "nginx", "app"]);
    assert_eq!(chain("nginx/1.27.0", "nginx/1.22.1"), ["user", "nginx", "nginx 2", "app"]);
}

#[test]
fn a_proxy_that_rewrites_requests_as_nginx_does_sends_its_own_server_header() {
    let chain = |edge_adds: &[&str], inner_adds: &[&str], server: &str| {
        let mut script = Script::new("any.pcap");
        let legs: [(&str, &str, &[&str]); 3] = [
            (USER, EDGE, &["Host", "Accept"]),
            (EDGE_OUT, "10.0.2.2:8080", edge_adds),
            ("10.0.3.1:5000", "10.0.3.2:9000", inner_adds),
        ];
        for ((client, server, headers), at) in legs.into_iter().zip(0..) {
            let conn = script.connection(0, client, server, 100);
            let headers: Vec<(&str, &str)> = headers.iter().map(|name| (*name, "x")).collect();
            for n in 0..5 {
                script.request(conn, (10 * n + at) * MS, "GET", &format!("/item/{n}"), &headers, "");
                script.response(conn, (10 * n + 8 - at) * MS, 200, 20);
            }
        }
        script.server_header(EDGE, server);
        script.server_header("10.0.2.2:8080", server);
        names(&[script.finish()])
    };
    let (edge, inner) = (["Host", "X-Real-IP", "Accept"], ["Host", "X-Inner", "X-Real-IP", "Accept"]);
    assert_eq!(chain(&edge, &inner, "nginx"), ["user", "nginx", "nginx 2", "app"]);
    // HAProxy in front appends, and passes on what nginx calls itself; so would a proxy of no known kind.
    let appended = ["Host", "Accept", "X-Real-IP"];
    assert_eq!(chain(&appended, &inner, "nginx"), ["user", "proxy", "nginx", "app"]);
    assert_eq!(chain(&edge, &inner, "gunicorn"), ["user", "proxy", "gunicorn", "app"]);
    let ingress = ["Host", "X-Forwarded-Scheme", "X-Scheme", "X-Real-IP", "Accept"];
    assert_eq!(chain(&edge, &ingress, "nginx"), ["user", "nginx", "ingress", "app"]);
}

#[test]
fn via_headers_host_names_and_user_agents_name_lanes() {
    let mut script = Script::new("any.pcap");
    ask(&mut script, USER, EDGE, 0, 6 * MS);
    ask(&mut script, EDGE_OUT, APP, 0, 4 * MS);
    let probe = script.connection(0, "10.0.2.9:7000", APP, 100);
    script.request(probe, 3 * MS, "GET", "/healthz", &[("User-Agent", "kube-probe/1.31")], "");
    script.response(probe, 4 * MS, 200, 0);
    script.info().host_names = vec![("10.0.1.2".parse().unwrap(), "ingress-7d8f9c.default.svc".to_owned())];
    assert_eq!(names(&[script.finish()]), ["user", "kube-probe", "ingress", "app"]);

    let mut script = Script::new("any.pcap");
    let conn = script.connection(0, USER, EDGE, 100);
    script.request(conn, MS, "GET", "/", &[("Via", "1.1 varnish")], "");
    script.response(conn, 2 * MS, 200, 0);
    let topology = build(&[script.finish()], &Overrides::default());
    let lane = &topology.lanes[0];
    assert_eq!((lane.name.as_str(), lane.inferred, lane.users), ("varnish", true, false));
}

#[test]
fn the_capture_of_one_link_behind_a_proxy_names_who_asks_there() {
    let mut script = Script::new("nginx.pcap");
    let conn = script.connection(0, EDGE_OUT, APP, 100);
    script.request(conn, MS, "GET", "/", &[("X-Forwarded-For", "10.0.1.1")], "");
    script.response(conn, 2 * MS, 200, 0);
    script.server_header(APP, "gunicorn");
    assert_eq!(names(&[script.finish()]), ["nginx", "app"]);
}

/// The client's lane of a capture of one link, asked once a list of headers; in HTTP/1.0 on request.
fn client_of(requests: &[&[(&str, &str)]], http10: bool) -> Lane {
    let mut script = Script::new("any.pcap");
    let conn = script.connection(0, EDGE_OUT, APP, 100);
    for (headers, at) in requests.iter().zip(1..) {
        script.request(conn, at * MS, "GET", "/", headers, "");
        if http10 {
            script.in_http10(conn);
        }
        script.response(conn, at * MS + MS / 2, 200, 0);
    }
    build(&[script.finish()], &Overrides::default()).lanes.swap_remove(0)
}

#[test]
fn a_client_whose_requests_show_a_proxy_is_no_user() {
    let [curl, wget] = ["curl/8.5", "Wget/1.21"].map(|agent| [("Host", "a"), ("User-Agent", agent)]);
    assert_eq!(client_of(&[&curl, &wget], false).name, "user", "load generators send several User-Agents");
    let lane = client_of(&[&curl, &curl], false);
    assert_eq!((lane.name.as_str(), lane.users), ("user", true));
    assert_eq!(lane.named_by, "it only asks, as curl");

    let passed_on = [("Host", "up"), ("Connection", "close"), ("User-Agent", "curl/8.5"), ("Accept", "*/*")];
    assert_eq!(client_of(&[&passed_on], true).name, "proxy");
    assert_eq!(client_of(&[&passed_on], false).name, "user", "a browser may begin so in HTTP/1.1");
}

#[test]
fn captures_of_other_chains_and_other_times_are_said_to_be_unrelated_and_not_linked() {
    let mut other = Script::new("other.pcap");
    // The same targets, longer under way: by them it might be above the first chain.
    let conn = other.connection(0, "10.9.1.1:3000", "10.9.1.2:80", 100);
    for n in 0..7 {
        other.request(conn, MS + n * 15 * MS, "GET", &format!("/item/{}", n % 3), &[], "");
        other.response(conn, 10 * MS + n * 15 * MS, 200, 20);
    }
    let captures = [at_proxy("ingress.pcap"), other.finish()];
    let topology = build(&captures, &Overrides::default());
    let [remark] = &topology.remarks[..] else { panic!("{:?}", topology.remarks) };
    assert_eq!(remark.kind, RemarkKind::UnrelatedCaptures);
    assert!(remark.detail.contains("The recordings: ingress.pcap | other.pcap."), "{}", remark.detail);
    let names: Vec<&str> = topology.lanes.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(names, ["user", "user 2", "app", "ingress", "app 2"]);

    // The same servers a minute later; the requests take turns that no clock explains.
    let mut later = Script::new("later.pcap");
    let conn = later.connection(60_000 * MS, USER, EDGE, 900);
    for n in [3, 0, 4, 1, 2] {
        let at = 60_000 * MS + [2, 7, 1, 9, 4][n] * 11 * MS;
        later.request(conn, at, "GET", &format!("/item/{n}"), &[], "");
        later.response(conn, at + 6 * MS, 200, 20);
    }
    let topology = build(&[at_proxy("ingress.pcap"), later.finish()], &Overrides::default());
    assert_eq!(topology.remarks.len(), 1);
    assert_eq!(topology.lanes.len(), 3, "the hops are the same");
}

#[test]
fn files_cut_one_after_the_other_and_halves_of_a_chain_are_one_recording() {
    let mut next = Script::new("ingress.pcap1");
    ask(&mut next, "10.0.1.1:3001", EDGE, 60 * MS, 6 * MS);
    assert!(build(&[at_proxy("ingress.pcap0"), next.finish()], &Overrides::default()).remarks.is_empty());
    let mut edge = Script::new("edge.pcap");
    ask(&mut edge, USER, EDGE, 0, 6 * MS);
    let mut inner = Script::new("app.pcap");
    ask(&mut inner, "10.0.1.2:4000", APP, 7_200_000 * MS, 4 * MS);
    assert!(build(&[edge.finish(), inner.finish()], &Overrides::default()).remarks.is_empty());
}

/// The addresses that each lane listens on, from the user's side on.
fn served(captures: &[Arc<CaptureFacts>]) -> Vec<String> {
    let lanes = build(captures, &Overrides::default()).lanes;
    let serves = |lane: Lane| lane.serves.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    lanes.into_iter().map(serves).collect()
}

#[test]
fn answers_that_come_after_a_timeout_do_not_turn_the_chain_round() {
    // The ingress waits 200 ms; the app needs 500 ms, and answers nobody.
    let mut script = Script::new("any.pcap");
    for n in 0..6 {
        let (at, port, target) = (n * 37 * MS, 4000 + n, format!("/slow/{n}"));
        let user = script.connection(at, &format!("127.0.0.1:{port}"), "127.0.0.1:80", 100);
        script.request(user, at + MS, "GET", &target, &[], "");
        let edge = script.connection(at + MS, &format!("127.0.0.1:{}", port + 100), "127.0.0.1:8080", 100);
        script.request(edge, at + 2 * MS, "GET", &target, &[], "");
        let app = script.connection(at + 2 * MS, &format!("127.0.0.1:{}", port + 200), "127.0.0.1:9000", 100);
        script.request(app, at + 3 * MS, "GET", &target, &[], "");
        script.fin(app, at + 203 * MS, crate::tcp::Side::Client);
        script.response(edge, at + 204 * MS, 504, 20);
        script.response(user, at + 205 * MS, 504, 20);
        script.response(app, at + 503 * MS, 200, 20);
        script.rst(app, at + 504 * MS, crate::tcp::Side::Client);
    }
    assert_eq!(served(&[script.finish()]), ["", "127.0.0.1:80", "127.0.0.1:8080", "127.0.0.1:9000"]);
}

#[test]
fn addresses_tell_who_asks_whom_where_equal_requests_take_differently_long() {
    // All ask for the same, all at once; those on one port of the ingress happen to be the slow ones.
    let mut script = Script::new("any.pcap");
    for n in 0..8 {
        let (at, takes) = (n * MS, (n + 1) * 30 * MS);
        let legs = [
            ("10.0.0.1", "10.0.0.2:80"),
            ("10.0.0.2", if n < 4 { "10.0.0.3:8081" } else { "10.0.0.3:8080" }),
            ("10.0.0.3", "10.0.0.4:9000"),
        ];
        for (depth, (client, server)) in (0..).zip(legs) {
            let start = at + depth * 100_000;
            let conn = script.connection(start, &format!("{client}:{}", 4000 + n), server, 100);
            script.request(conn, start + 50_000, "GET", "/same", &[], "");
            script.response(conn, at + takes - depth * 100_000, 200, 20);
        }
    }
    let expected = ["", "10.0.0.2:80", "10.0.0.3:8080 10.0.0.3:8081", "10.0.0.4:9000"];
    assert_eq!(served(&[script.finish()]), expected);
}

#[test]
fn servers_that_only_their_host_tells_apart_are_named_by_it() {
    let tell = |hosts: [&str; 3]| {
        let mut script = Script::new("gw.pcap");
        for n in 0..12 {
            let at = n * 20 * MS;
            let user = script.connection(at, &format!("10.0.0.1:{}", 3_000 + n), "10.0.1.1:80", 1);
            script.request(user, at + MS, "GET", &format!("/page/{n}"), &[("host", "shop.example")], "");
            for (place, host) in (1i64..).zip(hosts) {
                let (client, server) =
                    (format!("10.0.1.1:{}", 4_000 + 10 * n + place), format!("10.0.4.{place}:9000"));
                let conn = script.connection(at + MS, &client, &server, 100);
                let target = format!("/{}/{n}", ["user", "stock", "price"][place as usize - 1]);
                script.request(conn, at + 2 * MS + place * MS / 10, "GET", &target, &[("host", host)], "");
                script.response(conn, at + 4 * MS + place * MS, 200, 5);
            }
            script.response(user, at + 9 * MS, 200, 9);
        }
        let topology = build(&[script.finish()], &Overrides::default());
        let names: Vec<String> = topology.lanes[2..].iter().map(|lane| lane.name.clone()).collect();
        names
    };
    let hosts = ["user.svc.local:9000", "Stock.svc.local", "price.svc.local"];
    assert_eq!(tell(hosts), ["user.svc.local", "stock", "price"]);
    assert_eq!(tell(["10.0.4.1:9000", "10.0.4.2", "10.0.4.3"]), ["app", "server", "server 2"]);
    assert_eq!(tell(["up", "up", "price"]), ["app", "server", "server 2"]);
}

#[test]
fn ports_that_never_answer_are_one_lane_and_services_of_one_host_several() {
    let mut script = Script::new("edge.pcap");
    ask(&mut script, USER, EDGE, 0, 6 * MS);
    for port in 1..400 {
        script.connection(0, "198.51.100.7:40000", &format!("10.0.1.2:{}", 1_000 + port), 100 + port);
    }
    // Of two behind one proxy each is asked for things of its own.
    for (server, path) in [("10.0.2.2:3000", "shop"), ("10.0.2.2:4000", "search")] {
        for n in 0..12 {
            let at = (n + 1) * 100 * MS + i64::from(path == "shop") * 50 * MS;
            let user = script.connection(at, &format!("10.0.1.1:{}", 5_000 + at / MS), EDGE, 100);
            let asked = script.connection(at, &format!("10.0.2.1:{}", 5_000 + at / MS), server, 100);
            script.request(user, at + MS, "GET", &format!("/{path}/{n}"), &[], "");
            script.request(asked, at + 2 * MS, "GET", &format!("/{path}/{n}"), &[], "");
            script.response(asked, at + 3 * MS, 200, 20);
            script.response(user, at + 4 * MS, 200, 20);
        }
    }
    let lanes = build(&[script.finish()], &Overrides::default()).lanes;
    let mut served: Vec<usize> = lanes.iter().map(|lane| lane.serves.len()).collect();
    served.sort_unstable();
    assert_eq!(served.iter().filter(|count| **count > 0).collect::<Vec<_>>(), [&1, &1, &1, &399]);
}

/// What each lane serves where a user asks two addresses in turn, and what is asked there is asked on at one of these.
fn behind_two(first: [&str; 2], next: [&str; 2]) -> Vec<String> {
    let mut script = Script::new("any.pcap");
    for n in 0..40i64 {
        let (at, which, target) = (n * 10 * MS, n as usize % 2, format!("/item/{n}"));
        let user = if first[0].starts_with("127.") { "127.0.0.1" } else { "10.0.0.9" };
        let asked = first[which];
        let from = asked.rsplit_once(':').map_or("", |(ip, _)| ip);
        let port = 4_000 + n;
        let user = script.connection(at, &format!("{user}:{port}"), asked, 100);
        let asks = script.connection(at + MS, &format!("{from}:{}", port + 100), next[which], 500);
        script.request(user, at + MS / 2, "GET", &target, &[], "");
        script.request(asks, at + MS + MS / 2, "GET", &target, &[], "");
        script.response(asks, at + 6 * MS, 200, 20);
        script.response(user, at + 7 * MS, 200, 20);
    }
    served(&[script.finish()])
}

#[test]
fn replicas_that_users_ask_themselves_are_one_lane() {
    let app = ["127.0.0.1:8000", "127.0.0.1:8000"];
    assert_eq!(behind_two(["127.0.0.1:80", "127.0.0.1:81"], app), ["", "127.0.0.1:80 127.0.0.1:81", app[0]]);
    let app = ["10.0.2.1:8000", "10.0.2.1:8000"];
    assert_eq!(behind_two(["10.0.1.1:80", "10.0.1.2:80"], app), ["", "10.0.1.1:80 10.0.1.2:80", app[0]]);
    // Who asks on elsewhere, or is asked at another port, is another service.
    let others = ["10.0.2.1:8000", "10.0.2.2:9000"];
    assert_eq!(behind_two(["10.0.1.1:80", "10.0.1.2:80"], others).len(), 5);
    assert_eq!(behind_two(["10.0.1.1:80", "10.0.1.2:8080"], app).len(), 4);
}

#[test]
fn replicas_that_ask_on_through_a_proxy_on_their_machine_are_one_lane_and_so_are_these() {
    let capture = |machine: i64| {
        let mut script = Script::new(&format!("{machine}.pcap"));
        let ip = format!("10.0.1.{machine}");
        let user = script.connection(0, &format!("10.0.9.1:300{machine}"), &format!("{ip}:80"), 100);
        let beside = script.connection(0, "127.0.0.1:3100", "127.0.0.1:81", 200);
        let app = script.connection(0, &format!("{ip}:3200"), "10.0.2.1:8000", 300);
        for n in 0..30i64 {
            let (at, target) = (MS + n * 20 * MS + machine * 9 * MS, format!("/{machine}/{n}"));
            for (conn, after) in [(user, 0), (beside, MS), (app, 2 * MS)] {
                script.request(conn, at + after, "GET", &target, &[], "");
            }
            for (conn, after) in [(app, 5 * MS), (beside, 6 * MS), (user, 7 * MS)] {
                script.response(conn, at + after, 200, 20);
            }
        }
        script.finish()
    };
    let lanes = served(&[capture(1), capture(2)]);
    assert_eq!(lanes, ["", "10.0.1.1:80 10.0.1.2:80", "127.0.0.1:81", "10.0.2.1:8000"]);
}

#[test]
fn of_two_that_a_hop_asks_at_a_time_neither_is_asked_for_the_other() {
    let mut script = Script::new("any.pcap");
    for n in 0..40i64 {
        let (at, port) = (n * 20 * MS, 4_000 + n);
        let mut asks = |at: i64, port: i64, server: &str| {
            script.connection(at, &format!("127.0.0.1:{port}"), &format!("127.0.0.1:{server}"), 100)
        };
        let user = asks(at, port, "80");
        // Both connections are opened before anything is asked on them.
        let (app, copy) = (asks(at + MS, port + 100, "8000"), asks(at + MS, port + 200, "9000"));
        for (conn, after, takes) in [(user, MS / 2, 15), (app, MS + MS / 10, 12), (copy, MS + MS / 9, 9)] {
            script.request(conn, at + after, "GET", "/", &[], "");
            script.response(conn, at + after + takes * MS, 200, 20);
        }
    }
    let topology = build(&[script.finish()], &Overrides::default());
    let depths: Vec<u16> = topology.lanes.iter().map(|lane| lane.depth).collect();
    // On one machine, what is asked for the same is one lane.
    assert_eq!(depths, [0, 1, 2]);
}

#[test]
fn what_one_capture_cut_of_a_body_keeps_nobody_from_its_place_nor_a_clock_from_being_found() {
    let day = 86_400_000 * MS;
    let (mut edge, mut app) = (Script::new("edge.pcap"), Script::new("app.pcap"));
    let user = edge.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
    let asked = app.connection(day, "10.0.2.1:4000", "10.0.2.2:8000", 100);
    for n in 0..30i64 {
        let (at, target) = (MS + n * 20 * MS, format!("/order/{n}"));
        edge.request(user, at, "POST", &target, &[], "three items");
        edge.response(user, at + 5 * MS, 200, 20);
        app.request(
            asked,
            at + day + MS / 50,
            "POST",
            &target,
            &[("x-forwarded-for", "10.0.1.1")],
            "three items",
        );
        app.cut_body(asked);
        app.response(asked, at + day + 5 * MS - MS / 50, 200, 20);
    }
    let topology = build(&[edge.finish(), app.finish()], &Overrides::default());
    let served: Vec<usize> = topology.lanes.iter().map(|lane| lane.serves.len()).collect();
    assert_eq!((topology.lanes.len(), served), (3, vec![0, 1, 1]));
    assert!(topology.clocks.iter().all(|clock| clock.band_ns.is_some_and(|band| band < MS / 10)));
}

#[test]
fn clocks_are_told_against_the_one_in_the_middle_of_the_chain() {
    // Captures of five hops, of which the second one shares most with its neighbours.
    let hops: Vec<Arc<CaptureFacts>> = (0..5i64)
        .map(|hop| {
            let mut script = Script::new(&format!("{hop}.pcap"));
            for link in [hop - 1, hop].into_iter().filter(|link| (0..4).contains(link)) {
                let delay = 30_000 * i64::from(link < hop);
                let conn = script.connection(
                    link * MS + delay,
                    &format!("10.0.{link}.1:3000"),
                    &format!("10.0.{}.2:80", link + 1),
                    100 * link as u32,
                );
                for n in 0..20 + (4 - hop) {
                    let at = n * 40 * MS + link * MS + delay;
                    script.request(conn, at + MS, "GET", &format!("/{n}"), &[], "");
                    script.response(conn, at + 21 * MS - 2 * link * MS - 2 * delay, 200, 20);
                }
            }
            script.finish()
        })
        .collect();
    let clocks = build(&hops, &Overrides::default()).clocks;
    let bands: Vec<i64> = clocks.iter().map(|clock| clock.band_ns.unwrap_or(i64::MAX)).collect();
    assert!(bands[2] == 0 && bands.iter().max() < Some(&55_000), "{bands:?}");
}
