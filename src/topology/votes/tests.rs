//! Who is put above whom.

use std::net::SocketAddr;

use crate::tcp::Side;
use crate::testing::Script;
use crate::topology::{Overrides, build};

const MS: i64 = 1_000_000;

fn lanes(script: Script) -> Vec<usize> {
    let lanes = build(&[script.finish()], &Overrides::default()).lanes;
    lanes.iter().map(|lane| lane.addresses.len()).collect()
}

/// A request that the client leaves, and what the proxy asks for it, which is left at the same time.
fn left(script: &mut Script, at: i64, proxy: &str) {
    let user = script.connection(at, "10.0.1.1:3000", "10.0.1.2:80", 100);
    script.request(user, at + MS, "GET", "/slow", &[], "");
    let asked = script.connection(at + MS, proxy, "10.0.2.2:8000", 100);
    script.request(asked, at + 2 * MS, "GET", "/slow", &[], "");
    script.fin(user, at + 50 * MS, Side::Client);
    script.fin(asked, at + 51 * MS, Side::Client);
}

#[test]
fn of_requests_that_nobody_answered_the_first_is_above() {
    let mut script = Script::new("a.pcap");
    left(&mut script, 0, "10.0.2.1:4000");
    assert_eq!(lanes(script), [1, 2, 1]);
    // What one client asks of two is no chain.
    let mut script = Script::new("a.pcap");
    left(&mut script, 0, "10.0.1.1:4000");
    assert_eq!(lanes(script), [1, 1, 1]);
}

#[test]
fn health_checks_do_not_outvote_the_few_requests_of_users() {
    let mut script = Script::new("a.pcap");
    let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
    let asked = script.connection(0, "10.0.2.1:4000", "10.0.2.2:8000", 100);
    for n in 1..20 {
        let at = n * 100 * MS;
        script.request(asked, at, "GET", "/health", &[], "");
        script.response(asked, at + MS, 200, 2);
        if n % 8 == 0 {
            script.request(user, at + 10 * MS, "GET", &format!("/{n}"), &[], "");
            script.request(asked, at + 11 * MS, "GET", &format!("/{n}"), &[], "");
            script.response(asked, at + 12 * MS, 200, 20);
            script.response(user, at + 13 * MS, 200, 20);
        }
    }
    assert_eq!(lanes(script), [1, 2, 1]);
}

#[test]
fn of_two_that_one_client_asks_none_is_above_the_other_though_requests_lie_inside_by_chance() {
    let mut script = Script::new("any.pcap");
    for n in 0..240i64 {
        // The second one is the faster.
        let at = n * MS + n * 37 % 11 * MS / 10;
        let takes = if n % 2 == 0 { 12 } else { 4 } * MS + n * 31 % 7 * MS / 2;
        let gate = ["10.0.1.1", "10.0.1.2"][n as usize % 2];
        let user = script.connection(at, &format!("10.0.0.1:{}", 2_000 + n), &format!("{gate}:80"), 100);
        let asks = script.connection(at, &format!("{gate}:{}", 2_000 + n), "10.0.2.1:8000", 100);
        script.request(user, at, "GET", "/", &[], "");
        script.request(asks, at + MS / 4, "GET", "/", &[], "");
        script.response(asks, at + takes - MS / 4, 200, 20);
        script.response(user, at + takes, 200, 20);
    }
    let topology = build(&[script.finish()], &Overrides::default());
    let served: Vec<(u16, usize)> =
        topology.lanes.iter().map(|lane| (lane.depth, lane.serves.len())).collect();
    assert_eq!(served, [(0, 0), (1, 2), (2, 1)]);
}

#[test]
fn of_two_that_one_client_asks_none_is_above_the_other_where_nothing_ties_their_clocks() {
    let capture = |name: &str, server: &str, shift: i64, takes: i64, pace: i64| {
        let mut script = Script::new(name);
        let asked = script.connection(shift, "10.0.0.2:4000", server, 100);
        for n in 0..40 {
            let at = shift + n * n % pace * MS + n * 20 * MS;
            script.request(asked, at, "GET", "/", &[], "");
            script.response(asked, at + takes, 200, 20);
        }
        script.finish()
    };
    let captures = [
        capture("one.pcap", "10.0.0.3:8080", 0, 5 * MS, 17),
        capture("other.pcap", "10.0.0.4:8080", 3_700 * MS, 3 * MS, 13),
    ];
    let topology = build(&captures, &Overrides::default());
    assert!(
        topology.lanes.iter().all(|lane| lane.role != crate::topology::Role::Proxy),
        "{:?}",
        topology.lanes
    );
}

#[test]
fn who_asks_from_a_machine_asks_for_what_is_asked_there_though_a_copy_holds_what_was_missed_of_it() {
    let mut script = Script::new("any.pcap");
    for lane in 0..24i64 {
        let mut open = |client: &str, server: &str| {
            script.connection(0, &format!("{client}:{}", 3_000 + lane), server, 100 + lane as u32)
        };
        let user = open("10.0.0.1", "10.0.1.1:80");
        let copy = open("10.0.1.1", "10.0.4.1:9000");
        let passed_on = open("10.0.1.1", "10.0.2.1:8080");
        let asked = open("10.0.2.1", "10.0.3.1:8000");
        for n in 0..40i64 {
            let at = MS + n * 40 * MS + lane * MS + n * n * lane % 7 * MS / 3;
            let took = 8 * MS + (n * 7 + lane * 5) % 29 * MS;
            // The last ones of the hop were not captured.
            let chain = [Some(user), Some(copy), (n < 26).then_some(passed_on), Some(asked)];
            for (depth, conn) in (0..).zip(chain) {
                if let Some(conn) = conn {
                    script.request(conn, at + depth * MS / 4, "GET", "/", &[], "");
                    script.response(conn, at + took - depth * MS / 2, 200, 20);
                }
            }
        }
    }
    let topology = build(&[script.finish()], &Overrides::default());
    let app = topology.lanes.iter().position(|lane| lane.serves.iter().any(|at| at.port() == 8000));
    let link = topology.links.iter().find(|link| Some(link.to.0 as usize) == app).unwrap();
    let served: Vec<String> =
        topology.lanes[link.from.0 as usize].serves.iter().map(ToString::to_string).collect();
    assert_eq!(served, ["10.0.2.1:8080"]);
}

#[test]
fn a_copy_that_the_hop_asks_which_gives_out_the_ids_is_its_own_and_not_of_the_next_hop() {
    let mut script = Script::new("any.pcap");
    let user = script.connection(0, "10.0.0.1:3000", "10.0.1.1:80", 100);
    let asked = script.connection(0, "10.0.1.1:3000", "10.0.2.1:8080", 100);
    let copy = script.connection(0, "10.0.1.1:3001", "10.0.4.1:9000", 100);
    let last = script.connection(0, "10.0.2.1:3000", "10.0.3.1:8000", 100);
    for n in 0..40i64 {
        let (at, target, id) = (n * 40 * MS + MS, format!("/{n}"), format!("id-of-{n}"));
        let ids: &[(&str, &str)] = &[("x-request-id", &id)];
        // The copy lies inside of what the next hop was asked.
        for (conn, after, took, headers) in
            [(user, 0, 30, &[][..]), (asked, 1, 28, ids), (copy, 2, 9, ids), (last, 3, 20, ids)]
        {
            script.request(conn, at + after * MS, "GET", &target, headers, "");
            script.response(conn, at + (after + took) * MS, 200, 20);
        }
    }
    let topology = build(&[script.finish()], &Overrides::default());
    let asks = |port: u16| {
        let to = topology.lanes.iter().position(|lane| lane.serves.iter().any(|at| at.port() == port));
        let link = topology.links.iter().find(|link| Some(usize::from(link.to.0)) == to).unwrap();
        topology.lanes[usize::from(link.from.0)].serves.iter().map(SocketAddr::port).collect::<Vec<_>>()
    };
    assert_eq!([8080, 9000, 8000].map(asks), [vec![80], vec![80], vec![8080]]);
}
