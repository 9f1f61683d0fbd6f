//! Replicas of which only the far side was captured: who asks the same server as a hop that was captured.
//!
//! ```text
//!   user ── edge ── ingress 1 ── app        captured
//!             └──── ingress 2 ─── ┘         only what it asks of the application
//! ```
//!
//! Its requests lie inside those that the edge was asked, as they would if the edge asked the application itself. But the
//! edge has an address to ask from, and this is another one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::cause::Causes;

/// Puts such legs below the replica that was captured, where no id says whose requests they are.
pub(super) fn follow(causes: &mut Causes) {
    let served: BTreeSet<IpAddr> = causes.endpoints.iter().map(|endpoint| endpoint.host).collect();
    let may_be = |at: &usize| {
        let leg = &causes.legs[*at];
        let is_told = leg.parents.is_empty() || leg.is_told_by_id;
        !is_told && !leg.client.is_loopback() && !served.contains(&leg.host)
    };
    let open: Vec<usize> = (0..causes.legs.len()).filter(may_be).collect();
    if open.is_empty() {
        return;
    }
    let asking = causes.legs.iter().filter(|leg| leg.exchanges > 0).map(|leg| (leg.host, leg.endpoint));
    let asking: BTreeSet<(IpAddr, usize)> = asking.collect();
    let asks = |host: IpAddr, endpoint: usize| asking.contains(&(host, endpoint));
    let beside = |at: usize| {
        let leg = &causes.legs[at];
        let &(upper, votes) = leg.parents.first()?;
        let edge = causes.endpoints[upper].host;
        // What the edge asks from the address that it is asked at, and what asks on there.
        let between = causes.legs.iter().filter(|other| {
            let hop = causes.endpoints[other.endpoint].host;
            other.exchanges > 0
                && other.host == edge
                && hop != edge
                && other.endpoint != leg.endpoint
                && asks(hop, leg.endpoint)
        });
        let replica = between.max_by_key(|other| (other.exchanges, std::cmp::Reverse(other.endpoint)))?;
        (!asks(edge, leg.endpoint)).then_some((at, replica.endpoint, votes))
    };
    let found: Vec<(usize, usize, usize)> = open.into_iter().filter_map(beside).collect();
    for (at, replica, votes) in found {
        causes.legs[at].parents = vec![(replica, votes)];
    }
}

#[cfg(test)]
mod tests {
    use crate::analysis::{Analysis, analyse};
    use crate::correlate::Orphan;
    use crate::testing::Script;
    use crate::topology::Overrides;

    const MS: i64 = 1_000_000;

    /// `user → edge → two proxies in turn → app`, of which what the second proxy was asked was not captured.
    fn chain(target: impl Fn(i64) -> String, ids: bool) -> Analysis {
        let mut script = Script::new("any.pcap");
        let asks = script.connection(0, "10.0.0.1:3000", "10.0.0.2:80", 100);
        let first = script.connection(0, "10.0.0.2:4000", "10.0.0.3:8080", 200);
        let on = script.connection(0, "10.0.0.3:5000", "10.0.0.5:8000", 300);
        let other = script.connection(0, "10.0.0.4:5000", "10.0.0.5:8000", 400);
        for n in 0..80 {
            let (at, target, id) = (MS + n * 10 * MS, target(n), format!("id-{n}"));
            let ids: &[(&str, &str)] = if ids { &[("x-request-id", &id)] } else { &[] };
            let takes = 2 * MS + n * 37 % 11 * MS / 3;
            let chain =
                if n % 2 == 0 { vec![(asks, 0), (first, 1), (on, 2)] } else { vec![(asks, 0), (other, 2)] };
            for (conn, depth) in chain {
                script.request(conn, at + depth * MS / 10, "GET", &target, ids, "");
                script.response(conn, at + takes + (9 - depth) * MS / 10, 200, 20);
            }
        }
        analyse(vec![script.finish()], &Overrides::default())
    }

    #[test]
    fn requests_of_a_replica_that_was_not_captured_are_not_given_to_its_neighbours() {
        for target in [|_| "/".to_owned(), |n: i64| format!("/item/{n}")] {
            let analysis = chain(target, false);
            let lanes: Vec<usize> = analysis.topology.lanes.iter().map(|lane| lane.addresses.len()).collect();
            assert_eq!(lanes, [1, 1, 2, 1]);
            let client = |x: &crate::analysis::ExchangeView<'_>| x.connection().inner.client.to_string();
            let mut count = 0;
            for x in analysis.exchanges().filter(|x| client(x) == "10.0.0.4:5000") {
                assert!(analysis.trees.parent(x.id).is_none());
                assert_eq!(analysis.trees.orphan(x.id), Some(Orphan::NotCaptured));
                count += 1;
            }
            assert_eq!(count, 40);
            let known = analysis.exchanges().filter(|x| client(x) == "10.0.0.3:5000");
            assert!(known.into_iter().all(|x| analysis.trees.parent(x.id).is_some()));
        }
        // What ids tie stays together.
        let tied = chain(|_| "/".to_owned(), true);
        let given = tied.exchanges().filter(|x| tied.trees.parent(x.id).is_some()).count();
        assert_eq!(given, 120);
    }
}
