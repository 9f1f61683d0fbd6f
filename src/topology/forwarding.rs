//! Client lanes that are proxies: what they send shows that somebody asked them, who was not captured.

use std::collections::BTreeMap;

use crate::http::{CaptureFacts, Exchange, HeaderDigest, NameId, Version};

use super::Role;
use super::lanes::{Chain, Seen};

/// Request headers that only a proxy adds.
const ADDED: [&str; 5] = ["x-forwarded-for", "x-real-ip", "forwarded", "via", "x-forwarded-proto"];
/// Requests looked at on each connection, and connections of each lane.
const SAMPLED: usize = 64;
/// Fewer headers than this are those of a script that writes its requests by hand.
const LEAST_HEADERS: usize = 4;

/// How many requests of a lane were looked at, and how many show each sign.
#[derive(Default)]
struct Signs {
    connections: usize,
    requests: usize,
    added: usize,
    rewritten: usize,
}

impl Signs {
    /// What shows that a proxy sent nearly all of the requests.
    fn evidence(&self) -> Option<&'static str> {
        let nearly_all = |count: usize| self.requests > 0 && count * 10 >= self.requests * 9;
        if nearly_all(self.added) {
            Some("its requests carry headers that a proxy adds")
        } else if nearly_all(self.rewritten) {
            Some(
                "its requests are HTTP/1.0 and begin with Host and Connection: close, as nginx sends them by default",
            )
        } else {
            None
        }
    }
}

/// The lanes, each with what shows it.
pub(super) fn find(
    seen: &Seen<'_>,
    chain: &Chain,
    roles: &[Role],
    leg_of: &[usize],
) -> BTreeMap<usize, &'static str> {
    let mut lanes: BTreeMap<usize, Signs> = BTreeMap::new();
    for (at, &leg) in leg_of.iter().enumerate() {
        let lane = chain.ends[leg].0;
        if roles[lane] != Role::Client {
            continue;
        }
        let signs = lanes.entry(lane).or_default();
        signs.connections += 1;
        if signs.connections > SAMPLED {
            continue;
        }
        let facts = seen.facts(at);
        look_at(facts, facts.exchanges_of(seen.flow(at)), signs);
    }
    lanes.into_iter().filter_map(|(lane, signs)| Some((lane, signs.evidence()?))).collect()
}

/// Looks at the requests of one connection.
fn look_at(facts: &CaptureFacts, exchanges: &[Exchange], signs: &mut Signs) {
    let added = ADDED.map(|name| facts.find_name(name));
    let [host, connection, agent] = ["host", "connection", "user-agent"].map(|name| facts.find_name(name));
    let close = connection.map(|id| HeaderDigest::new(id, b"close"));
    for exchange in exchanges.iter().filter(|x| x.request.is_present()).take(SAMPLED) {
        let headers = facts.headers(exchange);
        let has = |name: Option<NameId>| name.is_some_and(|name| headers.iter().any(|h| h.name() == name));
        signs.requests += 1;
        signs.added += usize::from(added.iter().any(|name| has(*name)));
        // nginx up to 1.29.6 sets these two first, then passes on what the client sent.
        let begins_as_nginx = headers.len() >= LEAST_HEADERS
            && Some(headers[0].name()) == host
            && Some(headers[1]) == close
            && exchange.request.version == Version::Http10;
        signs.rewritten += usize::from(begins_as_nginx && has(agent));
    }
}
