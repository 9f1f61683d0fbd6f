//! Scanners: whoever stands on the Internet meets clients that try closed ports, speak TLS or anything else to a port for
//! HTTP, and send broken requests on purpose. They say nothing of how users fare.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hashbrown::HashSet;

use crate::analysis::{Analysis, ConnectionView};
use crate::tcp::Opening;

use super::connect::{Attempt, Failed};
use super::origins::is_user_link;

/// A client that tries so many ports of one machine, none of which ever accepted, looks for open ones.
const MANY_PORTS: usize = 8;
/// A client with more connections that came to nothing goes on trying: a program that is set up wrongly, and no scanner.
const MOST_TRIES: u64 = 8;
/// So many times as much as it tried, others were served meanwhile.
const OTHERS_SERVED: u64 = 10;

/// Clients of users' links that are nobody's users, by the machine that they came to.
#[derive(Default)]
pub(super) struct Strangers {
    /// Machine and client.
    known: HashSet<(IpAddr, IpAddr), foldhash::fast::FixedState>,
    /// By machine: the ports that accepted somebody.
    accepts: BTreeMap<IpAddr, BTreeSet<u16>>,
}

/// What one client did at one machine.
#[derive(Default)]
struct Visit {
    /// Requests answered, and not with a refusal of their form.
    served: u64,
    /// Connections without such a request.
    vain: u64,
    /// Ports at which it was not accepted.
    ports: BTreeSet<u16>,
}

impl Strangers {
    pub(super) fn find(analysis: &Analysis) -> Self {
        let mut visits: BTreeMap<IpAddr, BTreeMap<IpAddr, Visit>> = BTreeMap::new();
        let mut strangers = Self::default();
        for connection in analysis.connections() {
            let server = connection.inner.server;
            let accepted = matches!(connection.flow().opening, Opening::Handshake | Opening::MidStream);
            if accepted {
                strangers.accepts.entry(server.ip()).or_default().insert(server.port());
            }
            if !is_by_user(connection) {
                continue;
            }
            let by_client = visits.entry(server.ip()).or_default();
            let visit = by_client.entry(connection.inner.client.ip()).or_default();
            let served = connection.exchanges().filter(|x| {
                let status = x.status();
                x.raw.response.is_complete() && status.is_some_and(|status| status < 500 && status != 400)
            });
            let served = served.count() as u64;
            visit.served += served;
            visit.vain += u64::from(served == 0);
            if !accepted {
                visit.ports.insert(server.port());
            }
        }
        for (machine, clients) in visits {
            let all: u64 = clients.values().map(|visit| visit.served).sum();
            let accepts = strangers.accepts.get(&machine);
            for (client, visit) in clients {
                let closed =
                    visit.ports.iter().filter(|port| accepts.is_none_or(|known| !known.contains(*port)));
                let scans = closed.count() >= MANY_PORTS;
                let tries = visit.vain.max(visit.served);
                let few = visit.vain <= MOST_TRIES && visit.served <= 2 * visit.vain;
                if scans || few && all - visit.served >= OTHERS_SERVED * tries {
                    strangers.known.insert((machine, client));
                }
            }
        }
        strangers
    }

    /// Whether the client of a connection is one.
    pub(super) fn made(&self, connection: ConnectionView<'_>) -> bool {
        let (client, server) = (connection.inner.client.ip(), connection.inner.server.ip());
        is_by_user(connection) && self.known.contains(&(server, client))
    }

    /// Whether a server's port accepted nobody.
    fn is_closed(&self, connection: ConnectionView<'_>) -> bool {
        let server = connection.inner.server;
        self.accepts.get(&server.ip()).is_none_or(|ports| !ports.contains(&server.port()))
    }
}

fn is_by_user(connection: ConnectionView<'_>) -> bool {
    let (analysis, link) = (connection.analysis, connection.inner.link);
    is_user_link(analysis, link) && analysis.lane(analysis.link(link).from).users
}

/// Marks attempts of strangers at ports that served nobody. A user who is served and then refused may have been sent to
/// that port.
pub(super) fn mark(analysis: &Analysis, attempts: &mut [Attempt]) {
    let is_one = |attempt: &Attempt| matches!(attempt.how, Failed::Refused | Failed::Unanswered);
    if !attempts.iter().any(|one| is_one(one) && is_by_user(analysis.connection(one.connection))) {
        return;
    }
    let strangers = Strangers::find(analysis);
    for attempt in attempts.iter_mut().filter(|attempt| is_one(attempt)) {
        let connection = analysis.connection(attempt.connection);
        if strangers.made(connection) && strangers.is_closed(connection) {
            attempt.how = match attempt.how {
                Failed::Refused => Failed::RefusedStranger,
                _ => Failed::UnansweredStranger,
            };
        }
    }
}
