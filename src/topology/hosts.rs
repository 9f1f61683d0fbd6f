//! Addresses of one machine, by what passed the machine that captured: what only ever leaves it begins there, and what
//! speaks with its loopback address is there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::capture::{CaptureId, Passage};
use crate::http::CaptureFacts;

/// Which addresses are of one machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    /// For each address that is known to share its machine with others the first of them.
    first: BTreeMap<IpAddr, IpAddr>,
    /// What stands for the machine that made each capture, where that is known.
    captured_at: Vec<Option<IpAddr>>,
}

impl Hosts {
    /// Takes together the addresses of each machine that captured.
    pub(super) fn find(captures: &[Arc<CaptureFacts>]) -> Self {
        let mut machines: Vec<BTreeSet<IpAddr>> = Vec::new();
        let all_own: Vec<BTreeSet<IpAddr>> = captures.iter().map(|facts| own_addresses(facts)).collect();
        for own in all_own.iter().filter(|own| own.len() > 1) {
            // A container bridge has the same address on every machine: what only overlaps is not one machine.
            match machines.iter_mut().find(|known| known.is_subset(own) || own.is_subset(known)) {
                Some(known) => known.extend(own),
                None => machines.push(own.clone()),
            }
        }
        let shared = |address: &IpAddr| machines.iter().filter(|other| other.contains(address)).count() > 1;
        let mut first: BTreeMap<IpAddr, IpAddr> = BTreeMap::new();
        for machine in &machines {
            let own: Vec<IpAddr> = machine.iter().copied().filter(|address| !shared(address)).collect();
            first.extend(own.iter().map(|&address| (address, own[0])));
        }
        let home = |own: &BTreeSet<IpAddr>| {
            let address = own.iter().copied().find(|address| !shared(address))?;
            Some(first.get(&address).copied().unwrap_or(address))
        };
        let captured_at = all_own.iter().map(home).collect();
        Self { first, captured_at }
    }

    /// What stands for the machine of an address.
    pub(super) fn of(&self, address: IpAddr) -> IpAddr {
        self.first.get(&address).copied().unwrap_or(address)
    }

    /// The same of an address in a capture: the loopback's is of the machine that captured it, where that is known.
    pub(crate) fn in_capture(&self, address: IpAddr, capture: CaptureId) -> IpAddr {
        let home = || self.captured_at.get(capture.index()).copied().flatten();
        if address.is_loopback() { home().unwrap_or(address) } else { self.of(address) }
    }
}

/// Addresses of the machine that captured.
fn own_addresses(facts: &CaptureFacts) -> BTreeSet<IpAddr> {
    let leaving = leaving(facts);
    let mut own = if leaving.is_empty() { touching_all(facts) } else { leaving };
    own.extend(beside_loopback(facts));
    own
}

/// Addresses that speak with a loopback address: no packet of that kind leaves its machine (RFC 1122, section 3.2.1.3).
fn beside_loopback(facts: &CaptureFacts) -> impl Iterator<Item = IpAddr> {
    let ends = facts.flows.iter().map(|flow| [flow.client.ip(), flow.server.ip()]);
    let mixed = ends.filter(|ends| ends[0].is_loopback() != ends[1].is_loopback());
    mixed.flatten().filter(|address| !address.is_loopback())
}

/// By IPv4 and by IPv6 the address that all connections touch, of one that is asked and asks: a proxy captures its own.
fn touching_all(facts: &CaptureFacts) -> BTreeSet<IpAddr> {
    let of_family = |is_v4: bool| {
        let flows = || {
            facts
                .flows
                .iter()
                .filter(|flow| flow.client.is_ipv4() == is_v4 && !flow.server.ip().is_loopback())
        };
        let first = flows().next()?;
        let is_common = |ip: &IpAddr| flows().all(|flow| flow.client.ip() == *ip || flow.server.ip() == *ip);
        let mut common = [first.client.ip(), first.server.ip()].into_iter().filter(is_common);
        let only = common.next().filter(|_| common.next().is_none())?;
        let asks = flows().any(|flow| flow.client.ip() == only);
        (asks && flows().any(|flow| flow.server.ip() == only)).then_some(only)
    };
    [true, false].into_iter().filter_map(of_family).collect()
}

/// Addresses from which packets left the capturing machine, and never came in.
fn leaving(facts: &CaptureFacts) -> BTreeSet<IpAddr> {
    let mut sent: BTreeMap<IpAddr, Passage> = BTreeMap::new();
    for flow in &facts.flows {
        // On the loopback everything leaves and comes in. Most captures do not say at all.
        let told = flow.directions.iter().any(|direction| direction.passage != Passage::UNKNOWN);
        if !told || flow.client.ip() == flow.server.ip() {
            continue;
        }
        for (address, direction) in [flow.client.ip(), flow.server.ip()].into_iter().zip(&flow.directions) {
            let known = sent.entry(address).or_default();
            *known = known.and(direction.passage);
        }
    }
    sent.into_iter()
        .filter(|(address, passage)| *passage == Passage::OUT && !address.is_loopback())
        .map(|(address, _)| address)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::{Opening, Side};
    use crate::testing::Script;
    use crate::topology::{Overrides, build};

    /// A capture of one request that the machine at 10.0.1.2 is asked, and one refused attempt of the one at 10.0.2.1.
    fn capture(asking: Passage) -> Arc<CaptureFacts> {
        let mut script = Script::new("a.pcap");
        let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
        script.request(user, 1_000_000, "GET", "/", &[], "");
        script.response(user, 5_000_000, 503, 20);
        script.flow(user).directions[Side::Client as usize].passage = Passage::IN;
        script.flow(user).directions[Side::Server as usize].passage = Passage::OUT;
        let attempt = script.connection(9_000_000, "10.0.2.1:4000", "10.0.2.2:8000", 100);
        script.flow(attempt).opening = Opening::Refused;
        script.flow(attempt).directions[Side::Client as usize].passage = asking;
        script.flow(attempt).directions[Side::Server as usize].passage = Passage::IN;
        script.finish()
    }

    #[test]
    fn what_only_leaves_a_machine_is_its_own() {
        let lanes = |asking| {
            let lanes = build(&[capture(asking)], &Overrides::default()).lanes;
            lanes.iter().map(|lane| lane.addresses.len()).collect::<Vec<_>>()
        };
        assert_eq!(lanes(Passage::OUT), [1, 2, 1]);
        // What the machine forwards came in before.
        assert_ne!(lanes(Passage::OUT.and(Passage::IN)), [1, 2, 1]);
        assert_ne!(lanes(Passage::UNKNOWN), [1, 2, 1]);
    }

    /// What the machine of this address, if any, captured of requests: for each link its client, its server, and how deep it
    /// is in the chain, of a second chain that takes turns with the first one from 8 on.
    fn captured(name: &str, links: &[(&str, &str, i64)], own: &str) -> Arc<CaptureFacts> {
        let mut script = Script::new(name);
        for n in 0..40i64 {
            for &(client, server, place) in links {
                let depth_here = place % 8;
                let at = n * 40_000_000 + place / 8 * 20_000_000 + depth_here * 1_000_000;
                let isn = (n * 64 + place) as u32 * 10_000;
                let conn =
                    script.connection(at, &format!("{client}:{}", 3_000 + n * 16 + place), server, isn);
                script.request(conn, at + 100_000, "GET", "/", &[], "");
                script.response(conn, at + 16_000_000 - 2 * depth_here * 1_000_000, 200, 20);
                let flow = script.flow(conn);
                if !own.is_empty() {
                    let is_own = |ip: IpAddr| if ip.to_string() == own { Passage::OUT } else { Passage::IN };
                    let passages = [flow.client.ip(), flow.server.ip()].map(is_own);
                    flow.directions
                        .iter_mut()
                        .zip(passages)
                        .for_each(|(side, passage)| side.passage = passage);
                }
            }
        }
        script.finish()
    }

    /// For each lane its place in the chain and what it listens on.
    fn served(captures: &[Arc<CaptureFacts>]) -> Vec<(u16, String)> {
        let lanes = build(captures, &Overrides::default()).lanes;
        let serves = |lane: &crate::topology::Lane| {
            lane.serves.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        lanes.iter().map(|lane| (lane.depth, serves(lane))).collect()
    }

    #[test]
    fn each_machine_has_a_loopback_of_its_own_and_asks_from_it_for_what_it_serves() {
        // Of a service mesh: each pod's application stands between two of its sidecar's ports.
        let first = [
            ("10.0.0.1", "10.0.1.1:15006", 0),
            ("127.0.0.1", "127.0.0.1:8080", 1),
            ("127.0.0.1", "127.0.0.1:15001", 2),
            ("10.0.1.1", "10.0.1.2:15006", 3),
        ];
        let second = [("10.0.1.1", "10.0.1.2:15006", 3), ("127.0.0.1", "127.0.0.1:8080", 4)];
        let captures = [captured("a.pcap", &first, "10.0.1.1"), captured("b.pcap", &second, "10.0.1.2")];
        let expected =
            ["", "10.0.1.1:15006", "127.0.0.1:8080", "127.0.0.1:15001", "10.0.1.2:15006", "127.0.0.1:8080"];
        let expected: Vec<(u16, String)> = (0..).zip(expected.map(String::from)).collect();
        assert_eq!(served(&captures), expected);
        // What one of them calls itself the other is not.
        let mut captures = captures.map(Arc::unwrap_or_clone);
        for (facts, product) in captures.iter_mut().zip(["nginx", "gunicorn"]) {
            let name = facts.intern(product);
            facts.server_headers.push(("127.0.0.1:8080".parse().unwrap(), name));
        }
        let lanes = build(&captures.map(Arc::new), &Overrides::default()).lanes;
        assert_eq!(lanes[2].name, "nginx");
        // Replicas share their place all the same.
        let edge = [
            ("10.0.0.1", "10.0.1.1:80", 0),
            ("10.0.1.1", "10.0.1.2:80", 1),
            ("10.0.0.1", "10.0.1.1:80", 8),
            ("10.0.1.1", "10.0.1.3:80", 9),
        ];
        let pod = |ip: &str, depth| {
            let server = format!("{ip}:80");
            let links = [("10.0.1.1", &*server, depth), ("127.0.0.1", "127.0.0.1:8080", depth + 1)];
            captured(&format!("{ip}.pcap"), &links, ip)
        };
        let captures = [captured("edge.pcap", &edge, "10.0.1.1"), pod("10.0.1.2", 1), pod("10.0.1.3", 9)];
        let lanes: Vec<String> = served(&captures).into_iter().map(|lane| lane.1).collect();
        assert_eq!(lanes, ["", "10.0.1.1:80", "10.0.1.2:80 10.0.1.3:80", "127.0.0.1:8080"]);
    }

    #[test]
    fn a_proxy_that_is_asked_over_ipv4_and_ipv6_is_one_hop() {
        let lanes = |links: &[(&str, &str, i64)]| {
            served(&[captured("edge.pcap", links, "")]).into_iter().map(|lane| lane.1).collect::<Vec<_>>()
        };
        let asked = [("10.0.0.1", "10.0.1.1:80", 0), ("[fd00::1]", "[fd00:1::1]:80", 8)];
        let over_both = [("10.0.1.1", "10.0.2.1:8080", 1), ("[fd00:1::1]", "[fd00:2::1]:8080", 9)];
        // Also where it asks over one of them only, whoever asked it.
        let over_one = [("[fd00:1::1]", "[fd00:2::1]:8080", 1), over_both[1]];
        for asks in [over_both, over_one] {
            let lanes = lanes(&[asked, asks].concat());
            assert_eq!(lanes[..2], ["", "10.0.1.1:80 [fd00:1::1]:80"]);
            assert_eq!(lanes.len(), 3, "{lanes:?}");
        }
        // Two machines that ask one server are two, though for the same, where they are asked at two ports.
        let one = [("10.0.0.1", "10.0.1.1:80", 0), ("10.0.1.1", "10.0.2.1:8080", 1)];
        let other = [("10.0.0.1", "10.0.1.2:81", 8), ("10.0.1.2", "10.0.2.1:8080", 9)];
        assert_eq!(lanes(&[one, other].concat()), ["", "10.0.1.1:80", "10.0.1.2:81", "10.0.2.1:8080"]);
    }

    #[test]
    fn an_address_that_several_machines_have_ties_none_of_them() {
        let mut other = (*capture(Passage::OUT)).clone();
        other.flows[0].server = ([10, 9, 9, 9], 80).into();
        let hosts = Hosts::find(&[capture(Passage::OUT), other.into()]);
        let shared: IpAddr = [10, 0, 2, 1].into();
        assert_eq!(hosts.of(shared), shared);
    }

    #[test]
    fn two_addresses_of_one_machine_that_are_asked_for_the_same_are_one_hop() {
        let lanes = |passage| {
            let mut script = Script::new("any.pcap");
            for n in 0..8 {
                let (at, port) = (n * 10_000_000, 3_000 + n);
                let ends = [
                    (format!("10.0.0.9:{port}"), "10.0.1.9:80"),
                    (format!("10.0.1.9:{port}"), ["10.0.2.1:9100", "10.0.2.2:9101"][n as usize % 2]),
                    (format!("10.0.3.1:{port}"), "10.0.3.9:8000"),
                ];
                let conns = ends.map(|(client, server)| script.connection(at, &client, server, 100));
                for (depth, conn) in (0..).zip(conns) {
                    script.request(conn, at + depth * 100_000, "GET", &format!("/item/{n}"), &[], "");
                    script.response(conn, at + 5_000_000 - depth * 100_000, 200, 20);
                }
                script.flow(conns[1]).directions[Side::Server as usize].passage = passage;
                script.flow(conns[2]).directions[Side::Client as usize].passage = passage;
            }
            build(&[script.finish()], &Overrides::default()).lanes.len()
        };
        assert_eq!(lanes(Passage::OUT), 4);
        assert_ne!(lanes(Passage::UNKNOWN), 4);
    }
}
