//! Names of lanes that the traffic itself gives: `Server` and `Via` headers, User-Agents, host names, known ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::capture::CaptureId;

use super::Role;
use super::labels::Label;
use super::lanes::{Chain, Hop, Seen};
use super::rewriting::Signs;

/// Programs that answer HTTP, as they call themselves in headers and as people call files.
const PRODUCTS: [&str; 52] = [
    "aiohttp",
    "akamai",
    "angie",
    "apache",
    "apisix",
    "caddy",
    "cloudflare",
    "cloudfront",
    "cowboy",
    "coyote",
    "daphne",
    "django",
    "envoy",
    "express",
    "fastapi",
    "fastcgi",
    "fastly",
    "flask",
    "fpm",
    "freenginx",
    "gunicorn",
    "haproxy",
    "httpd",
    "hypercorn",
    "iis",
    "istio",
    "jetty",
    "kestrel",
    "kong",
    "lighttpd",
    "litespeed",
    "nghttpx",
    "nginx",
    "nodejs",
    "openresty",
    "passenger",
    "php",
    "puma",
    "squid",
    "tengine",
    "tomcat",
    "tornado",
    "traefik",
    "trafficserver",
    "tyk",
    "undertow",
    "unicorn",
    "uvicorn",
    "uwsgi",
    "varnish",
    "waitress",
    "werkzeug",
];

/// Ports that one kind of server has for its own (IANA's registry, or its documentation), for lanes whose traffic is
/// not HTTP.
const PORTS: [(u16, &str); 16] = [
    (25, "smtp"),
    (53, "dns"),
    (389, "ldap"),
    (1433, "mssql"),
    (1521, "oracle"),
    (2379, "etcd"),
    (3306, "mysql"),
    (4222, "nats"),
    (5432, "postgres"),
    (5672, "amqp"),
    (6379, "redis"),
    (9042, "cassandra"),
    (9092, "kafka"),
    (11211, "memcached"),
    (27017, "mongodb"),
    (50000, "db2"),
];

/// Programs that are made of nginx and write requests as it does.
const NGINX_FAMILY: [&str; 5] = ["angie", "freenginx", "nginx", "openresty", "tengine"];

/// Programs that answer with 502 or 504 for what is behind them, and do little else.
const PROXIES: [&str; 11] = [
    "angie",
    "apisix",
    "envoy",
    "freenginx",
    "haproxy",
    "istio-envoy",
    "kong",
    "nginx",
    "openresty",
    "tengine",
    "traefik",
];

/// Connections of a client lane whose User-Agent is looked at, and requests of each.
const SAMPLED: usize = 64;

/// Whether all of these `Server` headers, of which there are some, are those of proxies.
pub(super) fn are_proxies(servers: &BTreeSet<String>) -> bool {
    !servers.is_empty() && servers.iter().all(|value| PROXIES.binary_search(&&*product(value)).is_ok())
}

/// Whether a word is the name of a program that answers HTTP.
pub(super) fn is_product(word: &str) -> bool {
    PRODUCTS.binary_search(&word).is_ok()
}

/// Lower-case name of the product at the start of a `Server` or `User-Agent` value (RFC 9110, section 10.1.5); empty
/// when there is none.
fn product(value: &str) -> String {
    let token = value.split(['/', ' ', '(']).next().unwrap_or_default();
    let plain = token.len() < 32 && token.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if plain { token.to_lowercase() } else { String::new() }
}

/// The `Server` headers of each lane, as sent; of a lane that only passes on what a deeper one says, none. Not so where
/// its requests are `nginx`'s: nginx writes its own, and where told to pass it on, it is nginx all the same.
pub(super) fn servers(
    seen: &Seen<'_>,
    chain: &Chain,
    below: &[BTreeSet<usize>],
    signs: &[Signs],
) -> Vec<BTreeSet<String>> {
    let values = (0..).map(CaptureId).zip(seen.captures).flat_map(|(id, facts)| {
        let headers = facts.server_headers.iter();
        headers.map(move |(address, name)| (place(seen, *address, id), facts.name(*name).to_owned()))
    });
    let writes = |at: usize, value: &str| signs[at].nginx && NGINX_FAMILY.contains(&&*product(value));
    own_words(chain, below, values, writes)
}

/// The `Via` headers of the answers of each lane, in the same way.
pub(super) fn vias(seen: &Seen<'_>, chain: &Chain, below: &[BTreeSet<usize>]) -> Vec<BTreeSet<String>> {
    let values = (0..).map(CaptureId).zip(seen.captures).flat_map(|(id, facts)| {
        let headers = facts.via_headers.iter();
        headers
            .map(move |(address, name)| (place(seen, *address, id), last_via(facts.name(*name)).to_owned()))
    });
    own_words(chain, below, values, |_, _| false)
}

/// The last entry of a `Via` header: who sent the message (RFC 9110, section 7.6.3).
fn last_via(value: &str) -> &str {
    value.rsplit(',').next().unwrap_or_default().trim()
}

/// What an entry of a `Via` header calls its sender: the product of its comment, else what it received by.
fn via_name(entry: &str) -> Option<String> {
    let mut words = entry.split_whitespace();
    let received_by = words.nth(1)?;
    let comment = entry.split_once('(').map(|(_, comment)| product(comment.trim_end_matches(')')));
    comment
        .filter(|name| !name.is_empty())
        .or_else(|| Label::of(received_by.split(['.', ':']).next()?).map(Label::into_whole))
}

/// The name that the `Via` headers of a lane's answers give it.
pub(super) fn by_vias(vias: &BTreeSet<String>) -> Option<String> {
    vias.iter().find_map(|entry| via_name(entry))
}

/// What the requests of a client lane say of who sends them.
#[derive(Debug, Default)]
pub(super) struct Callers {
    agents: BTreeSet<String>,
    vias: BTreeSet<String>,
}

impl Callers {
    /// The product of all its User-Agents, where there is only one.
    pub(super) fn agent(&self) -> Option<String> {
        let mut products: BTreeSet<String> = self.agents.iter().map(|value| product(value)).collect();
        products.pop_first().filter(|first| !first.is_empty() && products.is_empty())
    }

    /// What all its Via headers call the last sender, where they agree.
    pub(super) fn via(&self) -> Option<String> {
        let mut names: BTreeSet<Option<String>> = self.vias.iter().map(|entry| via_name(entry)).collect();
        names.pop_first().flatten().filter(|_| names.is_empty())
    }
}

/// Who the client lanes say they are.
pub(super) fn callers(
    seen: &Seen<'_>,
    chain: &Chain,
    leg_of: &[usize],
    roles: &[Role],
) -> BTreeMap<usize, Callers> {
    let mut all: BTreeMap<usize, (usize, Callers)> = BTreeMap::new();
    for (at, &leg) in leg_of.iter().enumerate() {
        let lane = chain.ends[leg].0;
        if roles[lane] != Role::Client {
            continue;
        }
        let (connections, callers) = all.entry(lane).or_default();
        *connections += 1;
        if *connections > SAMPLED {
            continue;
        }
        let facts = seen.facts(at);
        let [agent, via] = ["user-agent", "via"].map(|name| facts.find_name(name));
        for exchange in facts.exchanges_of(seen.flow(at)).iter().take(SAMPLED) {
            for digest in facts.headers(exchange) {
                let name = Some(digest.name());
                if name != agent && name != via {
                    continue;
                }
                let Some(value) = facts.caller(*digest) else { continue };
                if name == agent {
                    callers.agents.insert(value.to_owned());
                } else {
                    callers.vias.insert(last_via(value).to_owned());
                }
            }
        }
    }
    all.into_iter().map(|(lane, (_, callers))| (lane, callers)).collect()
}

/// An address, and what stands for its machine.
type Place = (SocketAddr, IpAddr);

fn place(seen: &Seen<'_>, address: SocketAddr, capture: CaptureId) -> Place {
    (address, seen.hosts.in_capture(address.ip(), capture))
}

/// What answers of each lane say, without what they share with a deeper lane: a proxy may pass it on, unless it
/// `writes` such words itself.
fn own_words(
    chain: &Chain,
    below: &[BTreeSet<usize>],
    values: impl Iterator<Item = (Place, String)>,
    writes: impl Fn(usize, &str) -> bool,
) -> Vec<BTreeSet<String>> {
    let mut all: Vec<BTreeSet<String>> = vec![BTreeSet::new(); chain.hops.len()];
    for ((address, host), value) in values {
        let is_there = |hop: &Hop| hop.serves.contains(&address) && hop.hosts.contains(&host);
        if let Some(lane) = chain.hops.iter().position(is_there) {
            all[lane].insert(value);
        }
    }
    let deeper =
        |at: usize, value: &String| below[at].iter().any(|&other| other != at && all[other].contains(value));
    let own =
        |at: usize| all[at].iter().filter(|value| writes(at, value) || !deeper(at, value)).cloned().collect();
    (0..all.len()).map(own).collect()
}

/// The name that the `Server` headers of a lane give it.
pub(super) fn by_servers(servers: &BTreeSet<String>) -> Option<String> {
    servers.iter().map(|value| product(value)).filter(|name| !name.is_empty()).min()
}

/// Names of lanes by the host names that the captures hold of their addresses (pcapng name resolution blocks).
pub(super) fn by_hosts(seen: &Seen<'_>, chain: &Chain, at: usize) -> Option<String> {
    let hop = &chain.hops[at];
    let is_shared = |ip: IpAddr| {
        let serves = |hop: &Hop| hop.serves.iter().any(|server| server.ip() == ip);
        (0..chain.hops.len()).any(|other| other != at && serves(&chain.hops[other]))
    };
    let own: BTreeSet<IpAddr> = hop.serves.iter().map(SocketAddr::ip).collect();
    let mut names: Vec<String> = Vec::new();
    for ip in own.into_iter().filter(|ip| !ip.is_loopback() && !is_shared(*ip)) {
        let known = seen.captures.iter().flat_map(|facts| {
            let hosts = &facts.info.host_names;
            let from = hosts.partition_point(|(address, _)| *address < ip);
            hosts[from..].iter().take_while(move |(address, _)| *address == ip).map(|(_, name)| name)
        });
        names
            .extend(known.filter_map(|name| Label::of(name.split('.').next()?)).map(Label::into_whole).min());
    }
    let first = names.first()?.clone();
    let common = names.iter().fold(first, |common, name| super::labels::in_common(&common, name));
    (!common.is_empty()).then_some(common)
}

/// The name that the port of a lane gives it, where nothing of its traffic is HTTP.
pub(super) fn by_port(chain: &Chain, at: usize) -> Option<(u16, &'static str)> {
    let hop = &chain.hops[at];
    let mut ports = hop.serves.iter().map(SocketAddr::port);
    let port = ports.next().filter(|_| hop.exchanges == 0)?;
    let known = PORTS.iter().find(|(known, _)| *known == port)?;
    ports.all(|other| other == port).then_some(*known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_found_and_headers_read() {
        assert!(PRODUCTS.is_sorted() && PROXIES.is_sorted());
        assert_eq!(product("nginx/1.22.1 (Debian)"), "nginx");
        assert_eq!(product("<script>"), "");
        assert_eq!(via_name("1.1 edge-7.example.com:80").as_deref(), Some("edge"));
        assert_eq!(via_name("1.1 proxy.example (squid/5.7)").as_deref(), Some("squid"));
        assert_eq!(via_name("1.1 varnish").as_deref(), Some("varnish"));
        assert_eq!(via_name("nonsense"), None);
        assert_eq!(last_via("1.0 fred, 1.1 p.example.net"), "1.1 p.example.net");
    }
}
