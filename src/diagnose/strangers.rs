//! Scanners: whoever stands on the Internet gets connection attempts to ports that it never served. They are nobody's
//! way to the application.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::analysis::Analysis;
use crate::tcp::Opening;
use crate::topology::LinkId;

use super::connect::{Attempt, Failed};

/// A client that tries so many ports of one machine, none of which ever accepted, looks for open ones.
const MANY_PORTS: usize = 8;

/// What is known of a machine and those who come to it.
#[derive(Default)]
struct Machine {
    /// Its ports that accepted somebody.
    accepts: BTreeSet<u16>,
    /// Clients that it answered.
    served: BTreeSet<IpAddr>,
    /// By client: the ports that never accepted anybody.
    tried: BTreeMap<IpAddr, BTreeSet<u16>>,
}

/// Marks attempts of users' machines at ports that served nobody, on a machine that serves others: by who got no answer
/// there, or tried one port after the other. A user who is served and then refused may have been sent to that port.
pub(super) fn mark(analysis: &Analysis, attempts: &mut [Attempt]) {
    let is_by_user = |link: LinkId| analysis.lane(analysis.link(link).from).users;
    if !attempts.iter().any(|attempt| is_by_user(attempt.link)) {
        return;
    }
    let mut machines: BTreeMap<IpAddr, Machine> = BTreeMap::new();
    for connection in analysis.connections() {
        let (client, server) = (connection.inner.client.ip(), connection.inner.server);
        let machine = machines.entry(server.ip()).or_default();
        if matches!(connection.flow().opening, Opening::Handshake | Opening::MidStream) {
            machine.accepts.insert(server.port());
        } else {
            machine.tried.entry(client).or_default().insert(server.port());
        }
        if connection.exchanges().any(|exchange| exchange.raw.response.is_present()) {
            machine.served.insert(client);
        }
    }
    for machine in machines.values_mut() {
        for ports in machine.tried.values_mut() {
            ports.retain(|port| !machine.accepts.contains(port));
        }
    }
    let is_stranger = |client: IpAddr, server: SocketAddr| {
        let Some(machine) = machines.get(&server.ip()) else { return false };
        let scans = machine.tried.get(&client).is_some_and(|ports| ports.len() >= MANY_PORTS);
        !machine.accepts.contains(&server.port())
            && (scans || !machine.served.is_empty() && !machine.served.contains(&client))
    };
    for attempt in attempts.iter_mut().filter(|attempt| is_by_user(attempt.link)) {
        let connection = &analysis.connection(attempt.connection).inner;
        let how = match attempt.how {
            Failed::Refused => Failed::RefusedStranger,
            Failed::Unanswered => Failed::UnansweredStranger,
            _ => continue,
        };
        if is_stranger(connection.client.ip(), connection.server) {
            attempt.how = how;
        }
    }
}
