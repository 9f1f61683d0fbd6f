//! Names of servers that nothing but the host they are asked for tells apart: the `Host` header, or TLS's server name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::capture::CaptureId;
use crate::http::NameId;

use super::lanes::{Chain, Seen};
use super::products::is_product;

/// So many of a hundred requests ask for the host that names a lane.
const MOST_PERCENT: usize = 90;
/// The longest name, in bytes.
const MAX_NAME: usize = 40;

/// Names that lanes have by their place in the chain.
const PLACES: [&str; 5] = ["user", "client", "proxy", "app", "server"];

/// Names for these lanes, where each has one host and no two the same; lanes that are asked by address have none.
pub(super) fn names(
    seen: &Seen<'_>,
    chain: &Chain,
    leg_of: &[usize],
    lanes: &[usize],
) -> BTreeMap<usize, String> {
    if lanes.len() < 2 {
        return BTreeMap::new();
    }
    let mut asked: BTreeMap<usize, BTreeMap<String, usize>> = BTreeMap::new();
    // As each capture calls them first, since there are few of them and many requests.
    let mut counts: HashMap<(usize, CaptureId, Option<NameId>), usize, foldhash::fast::FixedState> =
        HashMap::default();
    for (at, &leg) in leg_of.iter().enumerate() {
        let lane = chain.ends[leg].1;
        if !lanes.contains(&lane) {
            continue;
        }
        let (facts, flow) = (seen.facts(at), seen.flow(at));
        let hosts = asked.entry(lane).or_default();
        for exchange in facts.exchanges_of(flow).iter().filter(|exchange| exchange.request.is_present()) {
            *counts.entry((lane, seen.capture(at), exchange.host)).or_default() += 1;
        }
        if let Some(name) = flow.wire.tls.as_ref().and_then(|tls| tls.server_name.as_deref()) {
            *hosts.entry(plain(name)).or_default() += 1;
        }
    }
    for ((lane, capture, host), count) in counts {
        let host = host.map_or("", |name| seen.captures[capture.index()].name(name));
        *asked.entry(lane).or_default().entry(plain(host)).or_default() += count;
    }
    let hosts: BTreeMap<usize, String> = asked
        .into_iter()
        .filter_map(|(lane, hosts)| {
            let all: usize = hosts.values().sum();
            let (host, count) = hosts.into_iter().max_by_key(|(_, count)| *count)?;
            (count * 100 >= all * MOST_PERCENT && says_something(&host)).then_some((lane, host))
        })
        .collect();
    let is_shared = |host: &String| hosts.values().filter(|other| *other == host).count() > 1;
    if hosts.len() < 2 || hosts.values().any(is_shared) {
        return BTreeMap::new();
    }
    let common = common_labels(&hosts.values().map(String::as_str).collect::<Vec<&str>>());
    let short = |host: String| {
        let labels: Vec<&str> = host.split('.').collect();
        let short = labels[..labels.len() - common].join(".");
        if PLACES.contains(&short.as_str()) { host } else { short }
    };
    let named = hosts.into_iter().map(|(lane, host)| (lane, short(host)));
    let is_clear = |name: &str| !is_product(name) && !PLACES.contains(&name);
    named.filter(|(_, name)| name.len() <= MAX_NAME && is_clear(name)).collect()
}

/// A host without its port, in lower case.
fn plain(host: &str) -> String {
    let host = host.trim();
    let without = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    without.trim_matches(['[', ']', '.']).to_ascii_lowercase()
}

/// Whether it is a name, and not that of every machine.
fn says_something(host: &str) -> bool {
    let is_name = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    is_name && !host.is_empty() && host != "localhost" && host.parse::<IpAddr>().is_err()
}

/// How many labels at the end all of them have in common, at least one apart that is not.
fn common_labels(hosts: &[&str]) -> usize {
    let labels = |host: &str| host.rsplit('.').map(str::to_owned).collect::<Vec<String>>();
    let hosts: Vec<Vec<String>> = hosts.iter().map(|host| labels(host)).collect();
    let least = hosts.iter().map(Vec::len).min().unwrap_or(1);
    let mut common = 0;
    while common + 1 < least {
        if hosts.iter().any(|labels| labels[common] != hosts[0][common]) {
            break;
        }
        common += 1;
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_without_its_port_and_what_all_have_in_common() {
        assert_eq!(plain("Cart.Shop.svc:8080"), "cart.shop.svc");
        assert!(!says_something(&plain("[fe80::1]:80")) && !says_something(&plain("10.0.0.1:9000")));
        assert!(!says_something("localhost") && !says_something("") && says_something("user_service"));
        let common = common_labels;
        assert_eq!(common(&["cart.shop.svc", "pay.shop.svc"]), 2);
        assert_eq!(common(&["shop.example", "api.shop.example"]), 1);
        assert_eq!(common(&["svc0", "svc1"]), 0);
    }
}
