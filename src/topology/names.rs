//! Names for lanes, and what each rests on: capture files and folders, protocols, `Server` headers, the place in the chain.

use std::collections::{BTreeMap, BTreeSet};

use super::lanes::{Chain, Seen};
use super::{Overrides, Role};
use crate::capture::CaptureId;

/// Request headers that only a proxy adds.
const FORWARDING: [&str; 5] = ["x-forwarded-for", "x-real-ip", "forwarded", "via", "x-forwarded-proto"];
/// Requests looked at for them on each connection, and connections on each lane.
const SAMPLED: usize = 64;

/// Words that name no hop, however often they name a capture file.
const GENERIC: [&str; 18] = [
    "any", "capture", "captures", "dump", "trace", "tcpdump", "out", "output", "test", "tmp", "file", "lo",
    "pcap", "packets", "client", "server", "merged", "all",
];
/// Interface names, followed by a number.
const INTERFACES: [&str; 10] = ["eth", "ens", "enp", "en", "wlan", "veth", "cni", "bond", "br", "lo"];

/// The name of each lane, in their order; each is different. Notes at each hop what its name rests on.
pub(super) fn names(
    seen: &Seen<'_>,
    chain: &mut Chain,
    leg_of: &[usize],
    overrides: &Overrides,
) -> Vec<String> {
    let roles = chain.roles();
    let files = by_files(seen, chain, &roles, leg_of);
    let protocols = by_protocols(seen, chain, leg_of);
    let products = by_products(seen, chain);
    let forwards = forwards(seen, chain, &roles, leg_of);
    let last = last_server(chain, &roles);
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let mut names = Vec::with_capacity(chain.hops.len());
    for (at, &role) in roles.iter().enumerate() {
        let (found, named_by) = if let Some(name) = &chain.hops[at].given {
            (name.clone(), "given by the user".to_owned())
        } else if role == Role::Client && forwards.contains(&at) {
            let evidence = "its requests carry headers that a proxy adds; who asks it was not captured";
            chain.hops[at].inferred = true;
            ("proxy".to_owned(), evidence.to_owned())
        } else if role == Role::Client {
            ("user".to_owned(), "it only asks".to_owned())
        } else if let Some((name, file)) = files.get(&at) {
            (name.clone(), format!("all connections of {file} touch it"))
        } else if let Some(name) = protocols.get(&at) {
            (name.clone(), format!("it is spoken to in {name}"))
        } else if let Some(product) = products.get(&at).filter(|_| last != Some(at)) {
            (product.clone(), "the Server header of its answers".to_owned())
        } else {
            let (name, evidence) = match role {
                Role::Server if last == Some(at) => ("app", "the deepest that answers and asks nobody"),
                Role::Server => ("server", "it only answers"),
                _ => ("proxy", "it is asked, and asks on"),
            };
            (name.to_owned(), evidence.to_owned())
        };
        chain.hops[at].named_by = named_by;
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

/// Client lanes most of whose requests a proxy must have sent.
fn forwards(seen: &Seen<'_>, chain: &Chain, roles: &[Role], leg_of: &[usize]) -> BTreeSet<usize> {
    let mut counts: BTreeMap<usize, (usize, usize, usize)> = BTreeMap::new();
    for (at, &leg) in leg_of.iter().enumerate() {
        let lane = chain.ends[leg].0;
        if roles[lane] != Role::Client {
            continue;
        }
        let (connections, requests, with) = counts.entry(lane).or_default();
        *connections += 1;
        if *connections > SAMPLED {
            continue;
        }
        let facts = seen.facts(at);
        let names = FORWARDING.map(|name| facts.find_name(name));
        let asked = facts.exchanges_of(seen.flow(at)).iter().filter(|x| x.request.is_present());
        for exchange in asked.take(SAMPLED) {
            *requests += 1;
            *with += usize::from(facts.headers(exchange).iter().any(|h| names.contains(&Some(h.name()))));
        }
    }
    let mostly = |(_, (_, requests, with)): &(usize, (usize, usize, usize))| {
        *requests > 0 && with * 10 >= requests * 9
    };
    counts.into_iter().filter(mostly).map(|(lane, _)| lane).collect()
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

/// The lane that is the application: the deepest one that answers HTTP and asks nobody.
fn last_server(chain: &Chain, roles: &[Role]) -> Option<usize> {
    let servers = (0..chain.hops.len()).filter(|&at| roles[at] == Role::Server);
    servers.max_by_key(|&at| {
        let hop = &chain.hops[at];
        (hop.exchanges > 0, hop.depth, hop.exchanges, std::cmp::Reverse(at))
    })
}

/// Lanes named by the file of the capture that was taken there, with that file: the lane that all its connections
/// touch.
fn by_files(
    seen: &Seen<'_>,
    chain: &Chain,
    roles: &[Role],
    leg_of: &[usize],
) -> BTreeMap<usize, (String, String)> {
    let mut touched: Vec<Option<BTreeSet<usize>>> = vec![None; seen.captures.len()];
    let mut links: Vec<BTreeSet<(usize, usize)>> = vec![BTreeSet::new(); seen.captures.len()];
    for (sightings, &leg) in seen.connections.iter().zip(leg_of) {
        for sighting in sightings {
            links[sighting.capture.index()].insert(chain.ends[leg]);
        }
    }
    for (set, links) in touched.iter_mut().zip(&links) {
        for &(from, to) in links {
            let both = BTreeSet::from([from, to]);
            *set = Some(set.as_ref().map_or(both.clone(), |known| known & &both));
        }
    }
    // The copy of a capture that was taken at a hop says nothing of its own; a part of a merged file does.
    let at_hop: Vec<bool> =
        touched.iter().map(|set| set.as_ref().is_some_and(|set| !set.is_empty())).collect();
    let of_hop = |original: Option<CaptureId>| original.is_some_and(|original| at_hop[original.index()]);
    // A capture of one link touches two lanes: it names the one that is not yet named, the accepting one first.
    let mut names = BTreeMap::new();
    let mut files: Vec<(usize, BTreeSet<usize>, String, String)> = touched
        .into_iter()
        .enumerate()
        .filter(|(at, _)| !of_hop(seen.originals[*at]))
        .filter_map(|(at, lanes)| {
            let file = seen.captures[at].info.path.file_name()?.to_str()?;
            let lanes = lanes?;
            Some((lanes.len(), lanes, speaking(file).or_else(|| folder(seen, at))?, file.to_owned()))
        })
        .collect();
    files.sort();
    // Replicas are captured one by one: what their files' names have in common names the lane.
    for same in files.chunk_by(|a, b| a.1 == b.1) {
        let (_, lanes, stem, file) = &same[0];
        let stem = same[1..].iter().fold(stem.clone(), |common, other| in_common(&common, &other.2));
        let stem = if stem.is_empty() { same[0].2.clone() } else { stem };
        let free = |lane: &&usize| !names.contains_key(*lane) && roles[**lane] != Role::Client;
        if stem != "user"
            && let Some(&lane) = lanes.iter().rev().find(free)
        {
            names.insert(lane, (stem, file.clone()));
        }
    }
    names
}

/// What two names begin with, up to the last whole word.
fn in_common(one: &str, other: &str) -> String {
    let count = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let common = one.get(..count).unwrap_or_default();
    common.trim_end_matches(|c: char| !c.is_alphabetic()).to_owned()
}

/// The name of a capture's folder, where it names something and each capture has a folder of its own.
fn folder(seen: &Seen<'_>, at: usize) -> Option<String> {
    let of = |at: usize| seen.captures[at].info.path.parent()?.file_name()?.to_str();
    let own = of(at)?;
    let is_own = (0..seen.captures.len()).filter(|&other| of(other) == Some(own)).count() == 1;
    if is_own && seen.captures.len() > 1 { speaking(own) } else { None }
}

/// The part of a file name that names a hop; `None` when it names none.
fn speaking(file: &str) -> Option<String> {
    let stem = file.split('.').next()?.to_lowercase();
    let words = stem.split(['-', '_', ' ']).filter(|word| {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = word.chars().all(|c| c.is_ascii_digit() || matches!(c, 't' | 'z' | ':'));
        let interface = INTERFACES.contains(&letters) && letters != *word;
        !(number || interface || GENERIC.contains(&letters))
    });
    let name = words.collect::<Vec<_>>().join("-");
    (!name.is_empty()).then_some(name)
}

/// Lanes named by what their `Server` headers say.
fn by_products(seen: &Seen<'_>, chain: &Chain) -> BTreeMap<usize, String> {
    let mut names = BTreeMap::new();
    for facts in seen.captures {
        for (address, name) in &facts.server_headers {
            let product = facts.name(*name).split(['/', ' ', '(']).next().unwrap_or_default().to_lowercase();
            let lane = chain.hops.iter().position(|hop| hop.serves.contains(address));
            if let (Some(lane), false) = (lane, product.is_empty()) {
                let known = names.entry(lane).or_insert_with(|| product.clone());
                if product < *known {
                    *known = product;
                }
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_speaking_file_names_name_a_lane() {
        let names = [
            "nginx.pcap",
            "any.pcapng",
            "eth0.pcap",
            "ingress-2026-11-24.pcap.gz",
            "capture1.pcap",
            "20261124.pcap",
        ];
        let found: Vec<_> = names.map(|name| speaking(name).unwrap_or_default()).to_vec();
        assert_eq!(found, ["nginx", "", "", "ingress", "", ""]);
    }

    #[test]
    fn replicas_share_what_their_files_begin_with() {
        assert_eq!(in_common("app-2a", "app-2b"), "app");
        assert_eq!(in_common("ingress", "ingress"), "ingress");
        assert_eq!(in_common("red", "blue"), "");
    }
}
