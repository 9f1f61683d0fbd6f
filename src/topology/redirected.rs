//! Transparent proxies on the machine of those they stand before, such as the sidecars of a service mesh.
//!
//! What comes for an application's port is redirected to the sidecar behind the place where captures are taken (the
//! `REDIRECT` target of iptables, as Istio and Linkerd set it up), and the sidecar asks the application at that same
//! address, from a loopback address (Istio: 127.0.0.6) or from the address itself (Linkerd):
//!
//! ```text
//!   10.0.0.1  → 10.0.1.1:8080   |------- GET /a -------|     taken by the sidecar
//!   127.0.0.6 → 10.0.1.1:8080     |----- GET /a -----|       the application's own
//! ```
//!
//! Between sidecars the outer one may be TLS, of which no requests can be read: then that the application is asked without
//! it tells the two apart. So one address stands for two processes. The inner one goes by its machine's loopback address,
//! which nobody else can reach.
//!
//! What the application asks others is redirected to the sidecar too, which then asks them: its connections there are
//! known by the address that the redirected ones were meant for ([`crate::tcp::Flow::meant_for`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::http::Protocol;

use super::cause::Causes;
use super::keys::request_key;
use super::lanes::Seen;

/// Requests of each side that are compared.
const MOST_COMPARED: usize = 4_096;
/// Of a hundred requests that a machine sends to itself so many lie inside equal ones from elsewhere: a health check, or
/// an application that calls itself, does so by chance only.
const INSIDE_PERCENT: usize = 90;

/// Client and server of a connection.
type Ends = (SocketAddr, SocketAddr);

/// The ends of all connections, where a transparent proxy stands before a server on its machine those of what it asks there:
/// from the machine's address, at its loopback address.
pub(super) fn ends<'a>(seen: &Seen<'a>) -> Cow<'a, [Ends]> {
    let servers: BTreeSet<SocketAddr> =
        seen.ends.iter().filter(|ends| is_own(ends)).map(|ends| ends.1).collect();
    if servers.is_empty() {
        return Cow::Borrowed(seen.ends);
    }
    let mut asked: BTreeMap<SocketAddr, [Vec<usize>; 2]> = BTreeMap::new();
    for (at, ends) in seen.ends.iter().enumerate().filter(|(_, ends)| servers.contains(&ends.1)) {
        asked.entry(ends.1).or_default()[usize::from(is_own(ends))].push(at);
    }
    let mut all = seen.ends.to_vec();
    for (server, [outer, own]) in asked {
        if is_unpacked(seen, &own, &outer) || are_inside(seen, &own, &outer) {
            for at in own {
                let client = SocketAddr::new(server.ip(), all[at].0.port());
                all[at] = (client, SocketAddr::new(loopback(server.ip()), server.port()));
            }
        }
    }
    Cow::Owned(all)
}

/// Puts what a machine asks at an address below the process there that takes what is meant for that address, where no
/// requests tell it: the connection may be encrypted.
pub(super) fn follow(seen: &Seen<'_>, causes: &mut Causes) {
    let mut takers: BTreeMap<(IpAddr, SocketAddr), BTreeMap<usize, usize>> = BTreeMap::new();
    for at in 0..seen.len() {
        if let Some(meant) = seen.flow(at).meant_for {
            let leg = &causes.legs[causes.leg_of[at]];
            *takers.entry((leg.host, meant)).or_default().entry(leg.endpoint).or_default() += 1;
        }
    }
    if takers.is_empty() {
        return;
    }
    let Causes { legs, endpoints, .. } = causes;
    for leg in legs.iter_mut().filter(|leg| leg.parents.is_empty()) {
        if let Some(takers) = takers.get(&(leg.host, endpoints[leg.endpoint].address)) {
            leg.parents = takers.iter().map(|(&taker, &count)| (taker, count)).collect();
            leg.parents.sort_by_key(|parent| std::cmp::Reverse(parent.1));
        }
    }
}

/// Whether a machine asks itself, at an address that others can ask as well.
fn is_own((client, server): &Ends) -> bool {
    !server.ip().is_loopback() && (client.ip().is_loopback() || client.ip() == server.ip())
}

fn loopback(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

/// Whether others than the machine itself speak TLS with the server, and nothing else, while it does not.
fn is_unpacked(seen: &Seen<'_>, own: &[usize], outer: &[usize]) -> bool {
    let speak = |connections: &[usize], is_tls: bool| {
        let all = connections.iter().map(|&at| seen.flow(at).protocol);
        let mut spoken = all.filter(|protocol| *protocol != Protocol::Empty).peekable();
        spoken.peek().is_some() && spoken.all(|protocol| (protocol == Protocol::Tls) == is_tls)
    };
    speak(outer, true) && speak(own, false) && answered(seen, own).next().is_some()
}

/// Whether the requests of some connections lie inside equal ones of others, as far as their clocks tell.
fn are_inside(seen: &Seen<'_>, inner: &[usize], outer: &[usize]) -> bool {
    let mut holding: BTreeMap<u64, Vec<(i64, i64)>> = BTreeMap::new();
    for (at, key, start, end) in answered(seen, outer) {
        let slack = seen.tolerance(at);
        holding.entry(key).or_default().push((start.saturating_sub(slack), end.saturating_add(slack)));
    }
    let (mut all, mut inside) = (0, 0);
    for (_, key, start, end) in answered(seen, inner) {
        let spans = holding.get(&key).map_or(&[][..], Vec::as_slice);
        all += 1;
        inside += usize::from(spans.iter().any(|span| span.0 <= start && end <= span.1));
    }
    all > 0 && inside * 100 >= all * INSIDE_PERCENT
}

/// Connection, key, start and end of requests that were answered.
fn answered(seen: &Seen<'_>, connections: &[usize]) -> impl Iterator<Item = (usize, u64, i64, i64)> {
    let of_connection = move |&at: &usize| {
        let facts = seen.facts(at);
        facts.exchanges_of(seen.flow(at)).iter().filter_map(move |exchange| {
            let (request, response) = (&exchange.request, &exchange.response);
            (request.is_seen() && response.is_complete()).then(|| {
                let start = seen.time(at, request.start, request.first_frame);
                (at, request_key(facts, exchange), start, seen.time(at, response.end, response.last_frame))
            })
        })
    };
    connections.iter().flat_map(of_connection).take(MOST_COMPARED)
}

#[cfg(test)]
mod tests {
    use crate::http::Protocol;
    use crate::testing::Script;
    use crate::topology::{Overrides, build};

    const MS: i64 = 1_000_000;

    /// Where the lanes listen when users ask an application at its address, which is asked there from its own machine too:
    /// so long after the user asked, and for that.
    fn lanes(own: &str, later: i64, target: impl Fn(i64) -> String) -> Vec<String> {
        let mut script = Script::new("pod.pcap");
        for n in 0..20 {
            let at = n * 50 * MS;
            let user = script.connection(at, &format!("10.0.0.1:{}", 3000 + n), "10.0.1.1:8080", 100);
            script.request(user, at + MS, "GET", &format!("/{n}"), &[], "");
            script.response(user, at + 21 * MS, 200, 20);
            let inner = script.connection(at + later, &format!("{own}:{}", 4000 + n), "10.0.1.1:8080", 100);
            script.request(inner, at + later + 2 * MS, "GET", &target(n), &[], "");
            script.response(inner, at + later + 12 * MS, 200, 20);
        }
        let lanes = build(&[script.finish()], &Overrides::default()).lanes;
        let serves = |lane: &crate::topology::Lane| {
            lane.serves.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        lanes.iter().map(serves).collect()
    }

    #[test]
    fn a_sidecar_that_asks_the_application_at_the_address_it_took_over_is_a_hop_of_its_own() {
        for own in ["127.0.0.6", "10.0.1.1"] {
            assert_eq!(
                lanes(own, 2 * MS, |n| format!("/{n}")),
                ["", "10.0.1.1:8080", "127.0.0.1:8080"],
                "{own}"
            );
        }
    }

    #[test]
    fn a_sidecar_that_unpacks_tls_is_a_hop_of_its_own() {
        let mut script = Script::new("pod.pcap");
        for n in 0..4 {
            let at = n * 50 * MS;
            let outer = script.connection(at, &format!("10.0.0.1:{}", 3000 + n), "10.0.1.1:8080", 100);
            script.flow(outer).protocol = Protocol::Tls;
            let inner = script.connection(at + MS, &format!("127.0.0.6:{}", 4000 + n), "10.0.1.1:8080", 100);
            script.request(inner, at + 2 * MS, "GET", "/", &[], "");
            script.response(inner, at + 9 * MS, 200, 20);
        }
        let lanes = build(&[script.finish()], &Overrides::default()).lanes;
        let serves: Vec<usize> = lanes.iter().map(|lane| lane.serves.len()).collect();
        assert_eq!((serves, lanes[2].serves[0].to_string()), (vec![0, 1, 1], "127.0.0.1:8080".to_owned()));
    }

    #[test]
    fn what_a_machine_asks_where_its_requests_were_meant_for_is_asked_by_who_took_them() {
        let mut script = Script::new("pod.pcap");
        for n in 0..4 {
            let at = n * 50 * MS;
            let taken = script.connection(at, &format!("10.0.1.1:{}", 3000 + n), "127.0.0.1:15001", 100);
            script.flow(taken).meant_for = Some("10.0.2.1:80".parse().unwrap());
            script.request(taken, at + MS, "GET", "/", &[], "");
            script.response(taken, at + 9 * MS, 200, 20);
        }
        let sealed = script.connection(MS, "10.0.1.1:5000", "10.0.2.1:80", 100);
        script.flow(sealed).protocol = Protocol::Tls;
        let topology = build(&[script.finish()], &Overrides::default());
        let serves: Vec<usize> = topology.lanes.iter().map(|lane| lane.serves.len()).collect();
        assert_eq!((serves, topology.lanes[1].serves[0].port()), (vec![0, 1, 1], 15001));
        assert!(topology.links.iter().all(|link| link.from.0 + 1 == link.to.0), "{:?}", topology.links);
    }

    #[test]
    fn what_a_machine_asks_itself_beside_its_users_makes_no_second_hop() {
        for own in ["127.0.0.6", "10.0.1.1"] {
            for (later, target) in [(25 * MS, None), (2 * MS, Some("/healthz"))] {
                let lanes = lanes(own, later, |n| target.map_or_else(|| format!("/{n}"), str::to_owned));
                assert!(!lanes.contains(&"127.0.0.1:8080".to_owned()), "{lanes:?}");
            }
        }
    }
}
