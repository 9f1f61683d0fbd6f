//! By which addresses the two ends of a translated connection are called.
//!
//! A packet to the server reaches a place nearer to it later, and its answer earlier: the difference of the two, taken
//! between two sightings, needs no common clock. One connection may be too quick to tell, or have lost its SYN; but of
//! two addresses the same one is nearer to the server in all connections, so all of them are asked.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::http::CaptureFacts;
use crate::tcp::{EventKind, Flow, Opening};

use super::{flow, messages};
use crate::topology::Sighting;

/// How the two ends of connections are called.
pub(in crate::topology) struct Ends {
    /// Of each connection: the client as those nearest to it call it, and the server as those nearest to it do.
    pub of: Vec<(SocketAddr, SocketAddr)>,
    /// By such a server: the other addresses by which it was called (a service's, that of a load balancer).
    pub services: BTreeMap<SocketAddr, BTreeSet<SocketAddr>>,
}

/// Finds the ends of all connections.
pub(in crate::topology) fn ends(captures: &[Arc<CaptureFacts>], connections: &[Vec<Sighting>]) -> Ends {
    let (mut clients, mut servers) = (Places::<IpAddr>::default(), Places::<SocketAddr>::default());
    for sightings in connections.iter().filter(|sightings| sightings.len() > 1) {
        for (at, &one) in sightings.iter().enumerate() {
            for &other in &sightings[at + 1..] {
                let (a, b) = (flow(captures, one), flow(captures, other));
                // Who is called client differs where neither a SYN nor a request was seen.
                if (a.client, a.server) == (b.client, b.server) || a.client == b.server {
                    continue;
                }
                let farther = farther_by(captures, one, other).signum();
                clients.note(a.client.ip(), b.client.ip(), farther);
                servers.note(a.server, b.server, farther);
            }
        }
    }
    let ends_of = |sightings: &Vec<Sighting>| {
        let best = flow(captures, sightings[0]);
        let (mut client, mut server) = (best.client, best.server);
        for &sighting in &sightings[1..] {
            let other = flow(captures, sighting);
            if other.client == best.server {
                continue;
            }
            // An address that stands for several stands between them and the other end.
            if clients.order(other.client.ip(), client.ip(), Ordering::Greater) == Ordering::Less {
                client = other.client;
            }
            if servers.order(other.server, server, Ordering::Less) == Ordering::Greater {
                server = other.server;
            }
        }
        (client, server)
    };
    let of: Vec<_> = connections.iter().map(ends_of).collect();
    let mut services = BTreeMap::<_, BTreeSet<_>>::new();
    for (sightings, &(client, server)) in connections.iter().zip(&of).filter(|(all, _)| all.len() > 1) {
        let names = sightings.iter().map(|&sighting| flow(captures, sighting).server);
        for name in names.filter(|name| ![client, server].contains(name)) {
            services.entry(server).or_default().insert(name);
        }
    }
    Ends { of, services }
}

/// Which of two addresses of one end are farther from the client.
#[derive(Debug)]
struct Places<A> {
    /// By two addresses, the lower first: in how many connections more the second was farther.
    farther: BTreeMap<(A, A), i64>,
    /// The addresses that each stands for, or that stand for it.
    others: BTreeMap<A, BTreeSet<A>>,
}

impl<A> Default for Places<A> {
    fn default() -> Self {
        Self { farther: BTreeMap::new(), others: BTreeMap::new() }
    }
}

impl<A: Copy + Ord> Places<A> {
    /// `farther` is 1 where the second is farther from the client, -1 where it is nearer.
    fn note(&mut self, one: A, other: A, farther: i64) {
        if one == other {
            return;
        }
        let (pair, farther) = if one < other { ((one, other), farther) } else { ((other, one), -farther) };
        *self.farther.entry(pair).or_default() += farther;
        self.others.entry(one).or_default().insert(other);
        self.others.entry(other).or_default().insert(one);
    }

    /// `Greater` where the first is farther from the client. Where time does not tell, one that stands for more than the
    /// other is `of_many`; where nothing does, any order will do that is the same for all connections.
    fn order(&self, one: A, other: A, of_many: Ordering) -> Ordering {
        let told = match one.cmp(&other) {
            Ordering::Equal => return Ordering::Equal,
            Ordering::Less => self.farther.get(&(one, other)).map_or(0, |farther| -farther),
            Ordering::Greater => self.farther.get(&(other, one)).copied().unwrap_or_default(),
        };
        let stands_for = |address: A| self.others.get(&address).map_or(0, BTreeSet::len);
        let by_number = match stands_for(one).cmp(&stands_for(other)) {
            Ordering::Greater => of_many,
            Ordering::Less => of_many.reverse(),
            Ordering::Equal => Ordering::Equal,
        };
        told.cmp(&0).then(by_number).then(one.cmp(&other))
    }
}

/// How much farther from the client the second sighting was made than the first, in nanoseconds of a round trip.
fn farther_by(captures: &[Arc<CaptureFacts>], one: Sighting, other: Sighting) -> i64 {
    let (a, b) = (&captures[one.capture.index()], &captures[other.capture.index()]);
    let (flow_a, flow_b) = (flow(captures, one), flow(captures, other));
    let event = |facts: &CaptureFacts, flow: &Flow, kind: EventKind| {
        facts.events_of(flow).iter().find(|event| event.kind == kind).map(|event| event.at.0)
    };
    let answer = if flow_a.opening == Opening::Refused { EventKind::Rst } else { EventKind::SynAck };
    let trip = |facts: &CaptureFacts, flow: &Flow| {
        Some(event(facts, flow, answer)?.saturating_sub(event(facts, flow, EventKind::Syn)?))
    };
    if let (Some(trip_a), Some(trip_b)) = (trip(a, flow_a), trip(b, flow_b)) {
        return trip_a.saturating_sub(trip_b);
    }
    let others = b.exchanges_of(flow_b);
    let shared = a.exchanges_of(flow_a).iter().find_map(|x| {
        let key = messages(x)?;
        Some((x, others.iter().find(|other| messages(other) == Some(key))?))
    });
    shared.map_or(0, |(x, y)| {
        let wait = |x: &crate::http::Exchange| x.response.start.0.saturating_sub(x.request.start.0);
        wait(x).saturating_sub(wait(y))
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use crate::tcp::Side;
    use crate::testing::Script;
    use crate::topology::{Overrides, build};

    const MS: i64 = 1_000_000;
    const SERVICE: &str = "10.96.0.7:80";
    const PODS: [&str; 2] = ["10.244.1.5:8080", "10.244.2.6:8080"];

    fn capture(name: &str, server: impl Fn(i64) -> Option<&'static str>, loses: &[i64]) -> Script {
        let mut script = Script::new(name);
        for n in 0..6 {
            let Some(server) = server(n) else { continue };
            let at = n * 100 * MS;
            let isn = 1_000_000 + 7_000 * n as u32;
            let conn = script.connection(at, &format!("10.0.0.1:{}", 30_000 + n), server, isn);
            script.request(conn, at + MS, "GET", &format!("/{n}"), &[], "");
            script.response(conn, at + 2 * MS, 200, 20);
            if loses.contains(&n) {
                script.hole(conn, Side::Server, 100);
            }
        }
        script
    }

    #[test]
    fn a_service_and_what_stands_behind_it_are_one_lane_whatever_packets_are_missing() {
        // Nothing tells by time: all handshakes take as long wherever they are seen. What one capture lacks makes the other
        // the better one, connection by connection.
        for loses in [&[][..], &[1, 4], &[0, 1, 2, 3, 4, 5]] {
            let captures = [
                capture("client.pcap", |_| Some(SERVICE), loses).finish(),
                capture("pod1.pcap", |n| (n % 2 == 0).then_some(PODS[0]), &[0]).finish(),
                capture("pod2.pcap", |n| (n % 2 == 1).then_some(PODS[1]), &[]).finish(),
            ];
            let topology = build(&captures, &Overrides::default());
            let serves: Vec<_> = topology.lanes.iter().map(|lane| lane.serves.clone()).collect();
            let pods: Vec<SocketAddr> = PODS.iter().map(|pod| pod.parse().unwrap()).collect();
            assert_eq!((topology.connections.len(), serves), (6, vec![vec![], pods]), "{loses:?}");
        }
    }
}
