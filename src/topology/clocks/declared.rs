//! Ties between captures that the user says were taken at one hop: one host has one clock.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::http::CaptureFacts;

use super::super::fit::{Bound, Bounds, Fit, LEAST_BAND_NS};
use super::super::{ClockMethod, Overrides};
use super::Tie;

/// Ties of captures in different groups. A hop may have replicas on several hosts: captures with addresses of their own
/// must share one, and those of a loopback interface are of the only host there is.
pub(super) fn ties(captures: &[Arc<CaptureFacts>], overrides: &Overrides, apart: &[usize]) -> Vec<Tie> {
    let mut ties = Vec::new();
    for (place, (one, lane)) in overrides.taken_at.iter().enumerate() {
        for (other, _) in overrides.taken_at[place + 1..].iter().filter(|(_, name)| name == lane) {
            let (a, b) = (usize::from(*one.min(other)), usize::from(*one.max(other)));
            let is_apart = apart.get(a).zip(apart.get(b)).is_some_and(|(a, b)| a != b);
            let hosts = || overrides.taken_at.iter().filter(|(_, name)| name == lane).map(|(at, _)| *at);
            if is_apart && are_of_one_host(captures, a, b, hosts().map(usize::from)) {
                ties.extend(tie(captures, a, b));
            }
        }
    }
    ties
}

fn tie(captures: &[Arc<CaptureFacts>], a: usize, b: usize) -> Option<Tie> {
    let (first, _) = (captures[a].info.first?, captures[b].info.first?);
    let fit = Fit {
        pivot: Bound { at: first.0, by: 0, frames: [1, 1] },
        delta_ns: 0,
        drift: 0.0,
        band_ns: 2 * LEAST_BAND_NS,
        pace: 0.0,
        jumps: Vec::new(),
        weight: 0,
        is_exact: true,
    };
    Some(Tie { a, b, fit, bounds: Bounds::default(), method: ClockMethod::SameHost })
}

fn are_of_one_host(
    captures: &[Arc<CaptureFacts>],
    a: usize,
    b: usize,
    taken: impl Iterator<Item = usize>,
) -> bool {
    let [one, other] = [a, b].map(|at| homes(&captures[at]));
    match (one, other) {
        (Some(one), Some(other)) => !one.is_disjoint(&other),
        // Of all others that were taken there, each with addresses shares one with each.
        _ => {
            let known: Vec<BTreeSet<IpAddr>> =
                taken.filter_map(|at| captures.get(at).and_then(|facts| homes(facts))).collect();
            known.iter().all(|one| known.iter().all(|other| !one.is_disjoint(other)))
        }
    }
}

/// The addresses that all connections of a capture have at one end; `None` where there is nothing but loopback.
fn homes(facts: &CaptureFacts) -> Option<BTreeSet<IpAddr>> {
    let ends = facts.flows.iter().map(|flow| BTreeSet::from([flow.client.ip(), flow.server.ip()]));
    let outside = ends.filter(|ends| ends.iter().any(|ip| !ip.is_loopback()));
    outside.reduce(|all, ends| all.intersection(&ends).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Script;
    use crate::topology::build;

    const MS: i64 = 1_000_000;

    fn one(name: &str, client: &str, server: &str, target: &str) -> Arc<CaptureFacts> {
        let mut script = Script::new(name);
        let conn = script.connection(0, client, server, 100);
        script.request(conn, MS, "GET", target, &[], "");
        script.response(conn, 2 * MS, 200, 5);
        script.finish()
    }

    #[test]
    fn captures_that_the_user_says_were_taken_at_one_hop_have_one_clock_unless_they_are_of_two_hosts() {
        let captures = [
            one("a.pcap", "10.0.0.1:3000", "10.0.0.2:80", "/a"),
            one("b.pcap", "127.0.0.1:3000", "127.0.0.1:8000", "/b"),
            one("c.pcap", "10.0.9.1:3000", "10.0.9.2:80", "/c"),
        ];
        let methods = |taken: &[u16]| {
            let taken_at = taken.iter().map(|at| (*at, "proxy".to_owned())).collect();
            let topology = build(&captures, &Overrides { taken_at, ..Overrides::default() });
            topology.clocks.iter().map(|clock| clock.method == ClockMethod::SameHost).collect::<Vec<bool>>()
        };
        assert_eq!(methods(&[]), [false; 3]);
        assert_eq!(methods(&[0, 1]), [true, true, false]);
        assert_eq!(methods(&[0, 2]), [false; 3]);
        assert_eq!(methods(&[0, 1, 2]), [false; 3]);
    }
}
