//! Addresses of one machine, by what passed the machine that captured: what only ever leaves it begins there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::capture::Passage;
use crate::http::CaptureFacts;

/// For each address that is known to share its machine with others the first of them.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<IpAddr, IpAddr>);

impl Hosts {
    /// Takes together the addresses of each machine that captured.
    pub(super) fn find(captures: &[Arc<CaptureFacts>]) -> Self {
        let mut machines: Vec<BTreeSet<IpAddr>> = Vec::new();
        for own in captures.iter().map(|facts| own_addresses(facts)).filter(|own| own.len() > 1) {
            // A container bridge has the same address on every machine: what only overlaps is not one machine.
            match machines.iter_mut().find(|known| known.is_subset(&own) || own.is_subset(known)) {
                Some(known) => known.extend(own),
                None => machines.push(own),
            }
        }
        let mut first = BTreeMap::new();
        for machine in &machines {
            let shared =
                |address: &IpAddr| machines.iter().filter(|other| other.contains(address)).count() > 1;
            let own: Vec<IpAddr> = machine.iter().copied().filter(|address| !shared(address)).collect();
            first.extend(own.iter().map(|&address| (address, own[0])));
        }
        Self(first)
    }

    /// What stands for the machine of an address.
    pub(super) fn of(&self, address: IpAddr) -> IpAddr {
        self.0.get(&address).copied().unwrap_or(address)
    }
}

/// Addresses from which packets left the capturing machine, and never came in.
fn own_addresses(facts: &CaptureFacts) -> BTreeSet<IpAddr> {
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
