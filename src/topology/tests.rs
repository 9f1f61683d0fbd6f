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
fn a_second_capture_of_the_same_connections_is_no_copy() {
    let mut far = Script::new("user.pcap");
    ask(&mut far, USER, EDGE, -30_000, 6 * MS);
    assert!(build(&[far.finish(), at_proxy("ingress.pcap")], &Overrides::default()).remarks.is_empty());
}
