//! Whole chains told by hand: lanes, clocks, parents and attempts together.

use std::sync::Arc;

use super::*;
use crate::analysis::ExchangeView;
use crate::http::CaptureFacts;
use crate::tcp::Side;
use crate::testing::{Conn, Script};
use crate::topology::{ClockMethod, Overrides, Role};

const US: i64 = 1_000;
const MS: i64 = 1_000_000;
const HOUR: i64 = 3_600_000_000_000;

pub(super) fn analyse(captures: Vec<Arc<CaptureFacts>>) -> Analysis {
    let mut analysis = Analysis { captures, ..Analysis::default() };
    analysis.topology = crate::topology::build(&analysis.captures, &Overrides::default());
    analysis.trees = build(&analysis);
    analysis
}

fn lanes(analysis: &Analysis) -> Vec<&str> {
    analysis.topology.lanes.iter().map(|lane| lane.name.as_str()).collect()
}

/// `user → nginx → app`, ten requests; nginx is `edge`, connects from `near`, the app listens on `app`.
struct Chain {
    edge: &'static str,
    near: &'static str,
    app: &'static str,
    ids: bool,
}

const HOSTS: Chain = Chain { edge: "10.0.1.2:80", near: "10.0.2.1:4000", app: "10.0.2.2:8000", ids: false };

impl Chain {
    /// Tells the two links; `shift` is added to all times.
    fn tell(&self, outer: Option<&mut Script>, inner: Option<&mut Script>, shift: i64) {
        let client = format!("{}:3000", if self.edge.starts_with("127") { "127.0.0.1" } else { "10.0.1.1" });
        if let Some(script) = outer {
            let conn = script.connection(shift, &client, self.edge, 100);
            self.requests(script, conn, shift + MS, 0, 5 * MS);
        }
        if let Some(script) = inner {
            let conn = script.connection(shift, self.near, self.app, 9_000);
            self.requests(script, conn, shift + MS, 100 * US, 4 * MS);
        }
    }

    fn requests(&self, script: &mut Script, conn: Conn, shift: i64, late: i64, takes: i64) {
        for n in 0..10 {
            let start = shift + n * 10 * MS + late;
            let id = format!("id-{n}");
            let headers: &[(&str, &str)] = if self.ids { &[("x-request-id", &id)] } else { &[] };
            script.request(conn, start, "GET", &format!("/item/{n}"), headers, "");
            script.response(conn, start + takes, 200, 20 + n as u32);
        }
    }
}

fn parent_target(child: &ExchangeView<'_>) -> Option<String> {
    let parent = child.analysis.trees.parent(child.id)?.parent;
    Some(child.analysis.exchange(parent).target().into_owned())
}

fn assert_followed(analysis: &Analysis) {
    let children = analysis.exchanges().filter(|x| analysis.link(x.link_id()).from.0 == 1);
    let mut count = 0;
    for child in children {
        assert_eq!(parent_target(&child).as_deref(), Some(&*child.target()));
        assert_eq!(analysis.trees.parent(child.id).unwrap().confidence, Confidence::Certain);
        count += 1;
    }
    assert_eq!(count, 10);
}

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

/// `user → nginx → ingress → app`, sixty requests: what is captured at these legs, by a clock that is set by `step` halfway.
fn stepping(name: &str, held: &[usize], step: i64) -> Arc<CaptureFacts> {
    const LEGS: [(&str, &str); 3] = [
        ("10.0.1.1:3000", "10.0.1.2:80"),
        ("10.0.1.2:3000", "10.0.1.3:8080"),
        ("10.0.1.3:3000", "10.0.1.4:9000"),
    ];
    let mut script = Script::new(name);
    let conns: Vec<(usize, Conn)> =
        held.iter().map(|&leg| (leg, script.connection(0, LEGS[leg].0, LEGS[leg].1, 100))).collect();
    for n in 0..STEPPING {
        let (at, target) =
            (10 * MS + n * 20 * MS + if n < STEPPING / 2 { 0 } else { step }, format!("/item/{n}"));
        for &(leg, conn) in &conns {
            script.request(conn, at + leg as i64 * 100 * US, "GET", &target, &[], "");
        }
        for &(leg, conn) in conns.iter().rev() {
            script.response(conn, at + 5 * MS - leg as i64 * 100 * US, 200, 20);
        }
    }
    script.finish()
}

const STEPPING: i64 = 60;

#[test]
fn a_clock_that_was_set_is_told_of_its_own_capture_and_not_of_those_that_agree() {
    for step in [3 * MS, -3 * MS, 500 * MS, -500 * MS, HOUR, -HOUR, -20 * HOUR] {
        for set in 0..3 {
            let by = |at: usize| if at == set { step } else { 0 };
            let analysis = analyse(vec![
                stepping("ingress.pcap", &[1, 2], by(0)),
                stepping("nginx.pcap", &[0, 1], by(1)),
                stepping("app.pcap", &[2], by(2)),
            ]);
            let steps = |at: usize| analysis.topology.clocks[at].steps.into_iter().flatten();
            for at in 0..3 {
                assert_eq!(steps(at).count(), usize::from(at == set), "{step} {set} {at}");
            }
            let own = steps(set).next().unwrap();
            let band = analysis.topology.clocks[set].band_ns.unwrap().max(2 * US);
            assert!((own.by_ns + step).abs() <= 2 * band && !own.is_relative, "{step} {set} {own:?}");
            let followed =
                analysis.exchanges().filter(|x| parent_target(x).as_deref() == Some(&*x.target())).count();
            assert_eq!((followed as i64, analysis.trees.orphans.len()), (2 * STEPPING, 0), "{step} {set}");
        }
    }
}

#[test]
fn of_two_clocks_the_one_was_set_whose_own_times_show_it_and_else_either() {
    // A step of 3 ms is no longer than a pause between two packets; nobody can tell it from one back of the other.
    for (step, is_relative) in [(HOUR, false), (-HOUR, false), (-500 * MS, false), (3 * MS, true)] {
        for set in 0..2 {
            let by = |at: usize| if at == set { step } else { 0 };
            let analysis =
                analyse(vec![stepping("nginx.pcap", &[0, 1], by(0)), stepping("app.pcap", &[1, 2], by(1))]);
            let steps: Vec<_> = (0..2)
                .flat_map(|at| {
                    analysis.topology.clocks[at].steps.iter().flatten().map(move |step| (at, step))
                })
                .collect();
            let [(at, own)] = steps[..] else { panic!("{step} {set} {steps:?}") };
            assert_eq!(own.is_relative, is_relative, "{step} {set}");
            assert!(
                is_relative || (at == set && own.by_ns.signum() == -step.signum()),
                "{step} {set} {own:?}"
            );
        }
    }
}

#[test]
fn what_still_waits_when_the_capture_ends_is_followed_too() {
    let mut script = Script::new("any.pcap");
    let legs = [("10.0.1.1", "10.0.1.2:80"), ("10.0.1.2", "10.0.1.3:8080"), ("10.0.1.3", "10.0.1.4:9000")];
    for (depth, (client, server)) in (0..).zip(legs) {
        let answered = script.connection(0, &format!("{client}:3000"), server, 100);
        script.request(answered, MS + depth * 100 * US, "GET", "/first", &[], "");
        script.response(answered, 9 * MS - depth * 100 * US, 200, 20);
        let waits = script.connection(20 * MS, &format!("{client}:3001"), server, 100);
        script.request(waits, 21 * MS + depth * 100 * US, "GET", "/waits", &[], "");
    }
    let analysis = analyse(vec![script.finish()]);
    let waiting: Vec<_> = analysis.exchanges().filter(|x| x.target() == "/waits").collect();
    let end = analysis.captures[0].info.last.unwrap();
    assert!(waiting.iter().all(|x| x.settled().0 == end.0));
    let waiting = waiting.into_iter();
    let parents: Vec<Option<String>> = waiting.map(|x| parent_target(&x)).collect();
    let found = parents.iter().flatten().filter(|target| *target == "/waits").count();
    assert_eq!((parents.len(), found), (3, 2), "{parents:?}");
}

#[test]
fn a_chain_is_found_with_and_without_ids_and_on_one_host() {
    let single = Chain { edge: "127.0.0.1:80", near: "127.0.0.1:4000", app: "127.0.0.1:8000", ids: false };
    for chain in [HOSTS, Chain { ids: true, ..HOSTS }, single] {
        let (mut outer, mut script) = (Script::new("nginx.pcap"), Script::new("any.pcap"));
        chain.tell(Some(&mut outer), Some(&mut script), 0);
        let analysis = analyse(vec![outer.finish(), script.finish()]);
        assert_eq!(lanes(&analysis), ["user", "nginx", "app"], "{}", chain.edge);
        let roles: Vec<Role> = analysis.topology.lanes.iter().map(|lane| lane.role).collect();
        assert_eq!(roles, [Role::Client, Role::Proxy, Role::Server]);
        assert_followed(&analysis);
    }
}

#[test]
fn a_connection_in_two_captures_counts_once_and_aligns_clocks_hours_apart() {
    let (mut one, mut other) = (Script::new("nginx.pcap"), Script::new("app.pcap"));
    HOSTS.tell(Some(&mut one), None, HOUR);
    HOSTS.tell(None, Some(&mut one), HOUR);
    HOSTS.tell(None, Some(&mut other), -7 * HOUR);
    let captures = [one.finish(), other.finish()];
    for order in [[0, 1], [1, 0]] {
        let analysis = analyse(order.map(|at| Arc::clone(&captures[at])).to_vec());
        assert_eq!(analysis.topology.connections.len(), 2);
        assert_eq!(analysis.topology.exchanges.len(), 20);
        assert_eq!(lanes(&analysis), ["user", "nginx", "app"]);
        let clocks = &analysis.topology.clocks;
        let app = clocks[order[1]].offset_ns - clocks[order[0]].offset_ns;
        assert!((app - 8 * HOUR).abs() <= 2 * US, "{clocks:?}");
        assert!(clocks.iter().all(|clock| clock.method == ClockMethod::SameSegment));
        assert_followed(&analysis);
    }
}

#[test]
fn captures_that_share_no_packet_are_aligned_by_containment() {
    let chain = Chain { ids: true, ..HOSTS };
    let (mut one, mut other) = (Script::new("nginx.pcap"), Script::new("app.pcap"));
    chain.tell(Some(&mut one), None, 0);
    chain.tell(None, Some(&mut other), 3 * HOUR);
    let analysis = analyse(vec![one.finish(), other.finish()]);
    let clocks = &analysis.topology.clocks;
    assert_eq!(clocks[1].method, ClockMethod::Containment);
    let off = clocks[1].offset_ns - clocks[0].offset_ns + 3 * HOUR;
    assert!(off.abs() <= clocks[0].band_ns.unwrap() + clocks[1].band_ns.unwrap(), "{clocks:?}");
    assert_followed(&analysis);
}

#[test]
fn the_same_addresses_used_again_make_another_connection() {
    let (mut one, mut other) = (Script::new("a.pcap"), Script::new("b.pcap"));
    for (t, isn) in [(0, 100), (MS, 90_000_000)] {
        one.connection(t, "10.0.0.1:3000", "10.0.0.2:80", isn);
    }
    other.connection(0, "10.0.0.1:3000", "10.0.0.2:80", 90_000_000);
    let analysis = analyse(vec![one.finish(), other.finish()]);
    let mut sightings: Vec<usize> = analysis.connections().map(|c| c.inner.sightings.len()).collect();
    sightings.sort_unstable();
    assert_eq!(sightings, [1, 2]);
}

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
fn equal_requests_in_flight_together_are_never_certain_and_wrong() {
    let mut script = Script::new("any.pcap");
    let mut truth = Vec::new();
    for client in 0..8 {
        let user = script.connection(0, &format!("10.0.1.1:{}", 3000 + client), "10.0.1.2:80", client as u32);
        let up = script.connection(0, &format!("10.0.2.1:{}", 4000 + client), "10.0.2.2:8000", client as u32);
        truth.push((3000 + client, 4000 + client));
        for n in 0..20 {
            let (t, takes) = (n * 9 * MS + client * 370 * US, 3 * MS + (client * 7 + n * 13) % 5 * MS / 2);
            script.request(user, t, "GET", "/", &[], "");
            script.request(up, t + 90 * US + n * US, "GET", "/", &[], "");
            script.response(up, t + takes, 200, 10);
            script.response(user, t + takes + 80 * US, 200, 10);
        }
    }
    let analysis = analyse(vec![script.finish()]);
    assert_eq!(analysis.topology.lanes.len(), 3);
    let (mut right, mut all) = (0, 0);
    for child in analysis.exchanges().filter(|x| analysis.link(x.link_id()).from.0 == 1) {
        let parentage = analysis.trees.parent(child.id).unwrap();
        let parent = analysis.exchange(parentage.parent);
        let pair = (parent.connection().inner.client.port(), child.connection().inner.client.port());
        let is_right = truth.contains(&(i64::from(pair.0), i64::from(pair.1)));
        assert!(is_right || parentage.confidence != Confidence::Certain);
        right += usize::from(is_right);
        all += 1;
    }
    assert!(right * 100 >= all * 95, "{right} of {all}");
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

/// Two users whose equal requests cross on their way through the proxy; only a header tells them apart.
fn crossing(header: &str, value: impl Fn(i64, i64) -> String) -> Analysis {
    let mut script = Script::new("any.pcap");
    let users = [3_000, 3_001].map(|p| script.connection(0, &format!("10.0.1.1:{p}"), "10.0.1.2:80", p));
    let ups = [4_000, 4_001].map(|p| script.connection(0, &format!("10.0.2.1:{p}"), "10.0.2.2:8000", p));
    for n in 0..40 {
        let t = MS + n * 20 * MS;
        let values = [0, 1].map(|user| value(n, user));
        // The second user's request overtakes the first one's in every fourth round.
        let late = if n % 4 == 3 { [300 * US, 150 * US] } else { [100 * US, 200 * US] };
        for (user, value) in values.iter().enumerate() {
            script.request(users[user], t + user as i64 * 50 * US, "GET", "/", &[(header, value)], "");
        }
        for (user, value) in values.iter().enumerate() {
            script.request(ups[user], t + late[user], "GET", "/", &[(header, value)], "");
        }
        for user in [0, 1] {
            let end = t + 5 * MS + late[user] + user as i64 * 170 * US;
            script.response(ups[user], end, 200, 10);
            script.response(users[user], end + 100 * US, 200, 10);
        }
    }
    analyse(vec![script.finish()])
}

fn assert_same_user(analysis: &Analysis) -> Vec<Confidence> {
    let children = analysis.exchanges().filter(|x| analysis.link(x.link_id()).from.0 == 1);
    let check = |child: ExchangeView<'_>| {
        let parentage = analysis.trees.parent(child.id).unwrap();
        let parent = analysis.exchange(parentage.parent);
        let ports = [parent, child].map(|x| x.connection().inner.client.port());
        assert_eq!(ports[0] + 1_000, ports[1], "{:?}", parentage.evidence.names());
        parentage.confidence
    };
    children.map(check).collect()
}

#[test]
fn an_id_header_that_nobody_knows_is_learnt_and_certain() {
    let all = assert_same_user(&crossing("x-shop-ref", |n, user| format!("{n}-{user}-{}", n * 31 + user)));
    assert!(all.iter().all(|confidence| *confidence == Confidence::Certain));
}

#[test]
fn a_header_that_is_passed_on_tells_equal_requests_apart_without_being_an_id() {
    assert_same_user(&crossing("user-agent", |_, user| format!("agent {user}")));
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

#[test]
fn requests_without_cause_or_consequence_are_named() {
    let mut script = Script::new("any.pcap");
    HOSTS.tell(Some(&mut script), None, 0);
    HOSTS.tell(None, Some(&mut script), 0);
    let user = script.connection(0, "10.0.1.1:3001", "10.0.1.2:80", 9);
    let probe = script.connection(0, "10.0.2.1:4001", "10.0.2.2:8000", 77);
    for (t, target, status) in [(20, "/cached", 200), (30, "/big", 413)] {
        script.request(user, t * MS, "GET", target, &[], "");
        script.response(user, t * MS + 50 * US, status, 5);
    }
    for (t, target) in [(25, "/healthz"), (35, "/odd")] {
        script.request(probe, t * MS, "GET", target, &[], "");
        script.response(probe, t * MS + 50 * US, 200, 5);
    }
    let analysis = analyse(vec![script.finish()]);
    let why = |target: &str| {
        let found = analysis.exchanges().find(|x| x.target() == target).unwrap();
        analysis.trees.orphan(found.id).unwrap()
    };
    let found = ["/cached", "/big", "/healthz", "/odd"].map(why);
    assert_eq!(found, [Orphan::AnsweredHere, Orphan::RefusedHere, Orphan::HealthCheck, Orphan::Unexplained]);
    assert_eq!(analysis.trees.orphans.len(), 4);
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

#[test]
fn the_order_of_files_changes_nothing() {
    let (mut one, mut other, mut third) =
        (Script::new("nginx.pcap"), Script::new("app.pcap"), Script::new("user.pcap"));
    HOSTS.tell(Some(&mut one), None, HOUR);
    HOSTS.tell(None, Some(&mut one), HOUR);
    HOSTS.tell(None, Some(&mut other), -7 * HOUR);
    HOSTS.tell(Some(&mut third), None, 0);
    let captures = [one.finish(), other.finish(), third.finish()];
    let told = |order: [usize; 3]| {
        let analysis = analyse(order.map(|at| Arc::clone(&captures[at])).to_vec());
        let row = |x: ExchangeView<'_>| {
            let parent = analysis.trees.parent(x.id).map(|p| (p.parent, p.confidence, p.attempt));
            (x.id, x.started(), x.link_id(), x.connection().inner.client, parent)
        };
        let rows: Vec<_> = analysis.exchanges().map(row).collect();
        (rows, lanes(&analysis).join(" "))
    };
    let first = told([0, 1, 2]);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(told(order), first);
    }
}

#[test]
fn equal_requests_and_news_of_failures_are_taken_in_the_order_in_which_they_came() {
    // A and B come in, then, in some rounds, the FIN of the connection that A is to go out on. The event loop is late: it
    // sends A, then B, and only then reads the FIN and sends A again. By their gaps alone B and the retry would change
    // places: who follows the failure sooner seems to be its retry.
    let mut script = Script::new("proxy.pcap");
    let rounds = 60;
    for n in 0..rounds {
        let t = 6 * MS + n * 20 * MS;
        let ask = |script: &mut Script, client: String, server: &str, (open, at, end): (i64, i64, i64)| {
            let conn = script.connection(t + open * US, &client, server, 100);
            script.request(conn, t + at * US, "GET", "/same", &[], "");
            script.response(conn, t + end * US, 200, 20);
            conn
        };
        let port = |base: i64| format!("10.0.2.1:{}", base + n);
        ask(&mut script, format!("10.0.1.1:{}", 3_000 + n), HOSTS.edge, (-900, 0, 1_100));
        ask(&mut script, format!("10.0.1.1:{}", 3_500 + n), HOSTS.edge, (-900, 20, 1_110));
        ask(&mut script, port(5_000), HOSTS.app, (320, 360, 1_010));
        if n % 5 > 0 {
            ask(&mut script, port(4_000), HOSTS.app, (300, 340, 1_000));
            continue;
        }
        let user = format!("10.0.1.1:{}", 3_700 + n);
        ask(&mut script, user, HOSTS.edge, (-5_000, -4_000, -2_000));
        let kept = ask(&mut script, port(4_000), HOSTS.app, (-3_950, -3_900, -2_100));
        script.fin(kept, t + 50 * US, Side::Server);
        script.request(kept, t + 300 * US, "GET", "/same", &[], "");
        script.rst(kept, t + 310 * US, Side::Server);
        ask(&mut script, port(6_000), HOSTS.app, (340, 380, 1_000));
    }
    let analysis = analyse(vec![script.finish()]);
    let client = |x: &ExchangeView<'_>| x.connection().inner.client.port();
    let retries = analysis.exchanges().filter(|x| (6_000..6_100).contains(&client(x)));
    let is_right = |retry: &ExchangeView<'_>| {
        let parent = analysis.trees.parent(retry.id).unwrap();
        parent.attempt == 2 && client(&analysis.exchange(parent.parent)) < 3_500
    };
    // The first of them has too little around it.
    assert!(retries.filter(is_right).count() as i64 >= rounds / 5 - 1);
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

#[test]
fn where_failures_are_passed_on_and_packets_are_missing_nothing_is_a_retry() {
    assert_eq!(failures_passed_on(false), [1, 2]);
    assert_eq!(failures_passed_on(true), [1]);
}
