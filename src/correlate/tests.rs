//! Whole chains told by hand: lanes, clocks, parents and attempts together.

mod alike;
mod aside;
mod clocks;
mod failed;
mod kinds;

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
