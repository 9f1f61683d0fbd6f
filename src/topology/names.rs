//! Names for lanes, and what each rests on: the user, labels of captures, protocols, headers, the place in the chain.

use std::collections::{BTreeMap, BTreeSet};

use super::lanes::{Chain, Seen};
use super::{Overrides, Role, asked_for, forwarding, labels, products, recordings, rewriting};
use crate::http::Exchange;

/// What names a lane, in words for [`super::lanes::Hop::named_by`].
type Named = (String, String);

/// The name of each lane, in their order; each is different. Notes at each hop what its name rests on.
pub(super) fn names(
    seen: &Seen<'_>,
    chain: &mut Chain,
    leg_of: &[usize],
    overrides: &Overrides,
) -> Vec<String> {
    let roles = chain.roles();
    let forwards = forwarding::find(seen, chain, &roles, leg_of);
    let beside = beside(chain, &roles);
    for (at, hop) in chain.hops.iter_mut().enumerate() {
        hop.inferred = forwards.contains_key(&at);
        hop.users = roles[at] == Role::Client && !hop.inferred && !beside.contains(&at);
    }
    let below = chain.below();
    let signs = rewriting::find(seen, chain, &roles, leg_of);
    let servers = products::servers(seen, chain, &below, &signs);
    let found = Finder {
        seen,
        chain,
        roles: &roles,
        gateways: gateways(seen, chain, leg_of, &servers),
        last: last_servers(chain, &roles),
        vias: products::vias(seen, chain, &below),
        callers: products::callers(seen, chain, leg_of, &roles),
        labels: labels::names(seen, chain, &roles, leg_of, &forwards, (&below, &servers)),
        servers,
        signs,
        forwards,
        protocols: by_protocols(seen, chain, leg_of),
    };
    // Servers that only their place would name, all the same: the host that they are asked for says more.
    let placed: Vec<usize> = (0..roles.len()).filter(|&at| found.is_placed(at)).collect();
    let mut hosts = asked_for::names(seen, found.chain, leg_of, &placed);
    let by_host = |name| (name, "the host that it is asked for".to_owned());
    let found: Vec<Named> =
        (0..roles.len()).map(|at| hosts.remove(&at).map_or_else(|| found.name(at), by_host)).collect();
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let mut names = Vec::with_capacity(chain.hops.len());
    for (at, (found, named_by)) in found.into_iter().enumerate() {
        let hop = &mut chain.hops[at];
        hop.named_by = named_by;
        hop.found.clone_from(&found);
        // Two that the user gave one name are told apart by a number as well.
        let found = match &hop.given {
            Some(name) => {
                "given by the user".clone_into(&mut hop.named_by);
                name.clone()
            }
            None => found,
        };
        let count = used.entry(found.clone()).or_default();
        *count += 1;
        let name = if *count == 1 { found } else { format!("{found} {count}") };
        let renamed = overrides.renamed.iter().rev().find(|(old, _)| *old == name);
        if renamed.is_some() {
            chain.hops[at].named_by = format!("renamed by the user; found as {name}");
        }
        names.push(renamed.map_or(name, |(_, new)| new.clone()));
    }
    names
}

/// All that may name a lane.
struct Finder<'a> {
    seen: &'a Seen<'a>,
    chain: &'a Chain,
    roles: &'a [Role],
    /// The applications' lanes.
    last: BTreeSet<usize>,
    /// Lanes that only answer, and with gateway errors of their own: proxies, whatever is behind them.
    gateways: BTreeSet<usize>,
    servers: Vec<BTreeSet<String>>,
    signs: Vec<rewriting::Signs>,
    vias: Vec<BTreeSet<String>>,
    callers: BTreeMap<usize, products::Callers>,
    labels: Vec<Option<Named>>,
    forwards: BTreeMap<usize, &'static str>,
    protocols: BTreeMap<usize, String>,
}

impl Finder<'_> {
    /// The best that is known, from what labels say to what the place in the chain says; the user's own word for it is
    /// not asked.
    fn name(&self, at: usize) -> Named {
        let said = self.labels[at].clone();
        match self.roles[at] {
            Role::Client => said.filter(|_| self.chain.hops[at].inferred).unwrap_or_else(|| self.client(at)),
            _ => said.or_else(|| self.by_traffic(at)).unwrap_or_else(|| self.by_place(at)),
        }
    }

    /// Whether it is a server that nothing names but its place.
    fn is_placed(&self, at: usize) -> bool {
        self.roles[at] == Role::Server && self.labels[at].is_none() && self.by_traffic(at).is_none()
    }

    /// A lane that only asks.
    fn client(&self, at: usize) -> Named {
        let callers = self.callers.get(&at);
        let agent = callers.and_then(products::Callers::agent);
        let hop = &self.chain.hops[at];
        if let Some(sign) = self.forwards.get(&at) {
            let evidence = format!("{sign}; who asks it was not captured");
            let via = callers.and_then(products::Callers::via);
            return via.map_or(("proxy".to_owned(), evidence), |name| {
                (name, "the Via header of its requests; who asks it was not captured".to_owned())
            });
        }
        match agent {
            Some(agent) if hop.users => ("user".to_owned(), format!("it only asks, as {agent}")),
            None if hop.users => ("user".to_owned(), "it only asks".to_owned()),
            Some(agent) => {
                (agent, "the User-Agent of its requests, which pass the hops before it by".to_owned())
            }
            None => ("client".to_owned(), "it only asks, and passes the hops before it by".to_owned()),
        }
    }

    /// A lane that is asked, by what the packets and the files say of it.
    fn by_traffic(&self, at: usize) -> Option<Named> {
        let host = || {
            let name = products::by_hosts(self.seen, self.chain, at)?;
            Some((name, "the host name in the capture".to_owned()))
        };
        let protocol = || {
            let name = self.protocols.get(&at)?;
            Some((name.clone(), format!("it is spoken to in {name}")))
        };
        let header = || {
            // The application is one whatever it runs on.
            if self.last.contains(&at) && !self.gateways.contains(&at) {
                return None;
            }
            let via = products::by_vias(&self.vias[at]).map(|name| (name, "Via"));
            let found = via.or_else(|| Some((products::by_servers(&self.servers[at])?, "Server")));
            let sign =
                if self.gateways.contains(&at) { ", some of which are a gateway's own errors" } else { "" };
            found.map(|(name, header)| (name, format!("the {header} header of its answers{sign}")))
        };
        let rewriting = || {
            let evidence = "its requests carry X-Forwarded-Scheme and X-Scheme, which ingress-nginx adds";
            self.signs[at].ingress.then(|| ("ingress".to_owned(), evidence.to_owned()))
        };
        let port = || {
            let (port, name) = products::by_port(self.chain, at)?;
            Some((name.to_owned(), format!("it listens on port {port}, and speaks no HTTP")))
        };
        host().or_else(protocol).or_else(rewriting).or_else(header).or_else(port)
    }

    fn by_place(&self, at: usize) -> Named {
        let (name, evidence) = match self.roles[at] {
            Role::Server if self.last.contains(&at) => ("app", "the deepest that answers and asks nobody"),
            Role::Server => ("server", "it only answers"),
            _ => ("proxy", "it is asked, and asks on"),
        };
        (name.to_owned(), evidence.to_owned())
    }
}

/// Client lanes that only ask hops which other hops ask too: health checks and the like, no users.
fn beside(chain: &Chain, roles: &[Role]) -> BTreeSet<usize> {
    let inner: BTreeSet<usize> =
        chain.ends.iter().filter(|ends| roles[ends.0] != Role::Client).map(|ends| ends.1).collect();
    let mut beside: BTreeSet<usize> = chain.ends.iter().map(|ends| ends.0).collect();
    for &(from, _) in chain.ends.iter().filter(|ends| !inner.contains(&ends.1)) {
        beside.remove(&from);
    }
    beside.retain(|&at| roles[at] == Role::Client);
    beside
}

/// Lanes named by a protocol that only application servers speak.
fn by_protocols(seen: &Seen<'_>, chain: &Chain, leg_of: &[usize]) -> BTreeMap<usize, String> {
    let mut names = BTreeMap::new();
    for (at, &leg) in leg_of.iter().enumerate() {
        let name = seen.flow(at).protocol.name();
        if matches!(name, "uwsgi" | "fastcgi" | "scgi" | "ajp") {
            names.entry(chain.ends[leg].1).or_insert_with(|| name.to_owned());
        }
    }
    names
}

/// Lanes of which all answers are a proxy's by their `Server` header, and some of them say that it got nothing from who is
/// behind it: an application has nobody to say that of.
fn gateways(
    seen: &Seen<'_>,
    chain: &Chain,
    leg_of: &[usize],
    servers: &[BTreeSet<String>],
) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (at, &leg) in leg_of.iter().enumerate() {
        let lane = chain.ends[leg].1;
        if found.contains(&lane) || !products::are_proxies(&servers[lane]) {
            continue;
        }
        let is_gateways = |x: &Exchange| {
            x.response.is_complete() && x.status.is_some_and(|status| matches!(status.get(), 502 | 504))
        };
        if seen.facts(at).exchanges_of(seen.flow(at)).iter().any(is_gateways) {
            found.insert(lane);
        }
    }
    found
}

/// The lanes that are applications: of the lanes that belong together the deepest one that answers HTTP and asks nobody.
fn last_servers(chain: &Chain, roles: &[Role]) -> BTreeSet<usize> {
    let mut root: Vec<usize> = (0..chain.hops.len()).collect();
    for &(from, to) in &chain.ends {
        recordings::unite(&mut root, from, to);
    }
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    let rank = |at: usize| {
        let hop = &chain.hops[at];
        (hop.exchanges > 0, hop.depth, hop.exchanges, std::cmp::Reverse(at))
    };
    for at in (0..chain.hops.len()).filter(|&at| roles[at] == Role::Server) {
        let known = last.entry(root[at]).or_insert(at);
        *known = if rank(at) > rank(*known) { at } else { *known };
    }
    last.into_values().collect()
}
