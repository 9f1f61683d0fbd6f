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

fn analyse(captures: Vec<Arc<CaptureFacts>>) -> Analysis {
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
    let checks = analysis.exchanges().filter(|x| x.target() == "/healthz");
    assert!(checks.map(|x| analysis.trees.parent(x.id).is_none()).all(|orphan| orphan));
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
