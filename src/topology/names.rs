//! Names for lanes: from capture files, `Server` headers and the place in the chain.

use std::collections::{BTreeMap, BTreeSet};

use super::lanes::{Chain, Seen, role};
use super::{Overrides, Role};

/// Words that name no hop, however often they name a capture file.
const GENERIC: [&str; 18] = [
    "any", "capture", "captures", "dump", "trace", "tcpdump", "out", "output", "test", "tmp", "file", "lo",
    "pcap", "packets", "client", "server", "merged", "all",
];
/// Interface names, followed by a number.
const INTERFACES: [&str; 10] = ["eth", "ens", "enp", "en", "wlan", "veth", "cni", "bond", "br", "lo"];

/// The name of each lane, in their order; each is different.
pub(super) fn names(seen: &Seen<'_>, chain: &Chain, leg_of: &[usize], overrides: &Overrides) -> Vec<String> {
    let files = by_files(seen, chain, leg_of);
    let products = by_products(seen, chain);
    let last = last_server(chain);
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    (0..chain.hops.len())
        .map(|at| {
            let role = role(at, &chain.ends);
            let found = match &chain.hops[at].given {
                Some(name) => name.clone(),
                None if role == Role::Client => "user".to_owned(),
                None => files
                    .get(&at)
                    .or_else(|| if last == Some(at) { None } else { products.get(&at) })
                    .cloned()
                    .unwrap_or_else(|| {
                        let word = match role {
                            Role::Server if last == Some(at) => "app",
                            Role::Server => "server",
                            _ => "proxy",
                        };
                        word.to_owned()
                    }),
            };
            let count = used.entry(found.clone()).or_default();
            *count += 1;
            let name = if *count == 1 { found } else { format!("{found} {count}") };
            let renamed = overrides.renamed.iter().rev().find(|(old, _)| *old == name);
            renamed.map_or(name, |(_, new)| new.clone())
        })
        .collect()
}

/// The lane that is the application: the deepest one that answers HTTP and asks nobody.
fn last_server(chain: &Chain) -> Option<usize> {
    let servers = (0..chain.hops.len()).filter(|&at| role(at, &chain.ends) == Role::Server);
    servers.max_by_key(|&at| {
        let hop = &chain.hops[at];
        (hop.exchanges > 0, hop.depth, hop.exchanges, std::cmp::Reverse(at))
    })
}

/// Lanes named by the file of the capture that was taken there: the lane that all its connections touch.
fn by_files(seen: &Seen<'_>, chain: &Chain, leg_of: &[usize]) -> BTreeMap<usize, String> {
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
    // A capture of one link touches two lanes: it names the one that is not yet named, the accepting one first.
    let mut names = BTreeMap::new();
    let mut files: Vec<(usize, BTreeSet<usize>, String)> = touched
        .into_iter()
        .zip(seen.captures)
        .filter_map(|(lanes, facts)| {
            let stem = facts.info.path.file_name()?.to_str()?;
            Some((lanes?, speaking(stem)?))
        })
        .map(|(lanes, stem)| (lanes.len(), lanes, stem))
        .collect();
    files.sort();
    for (_, lanes, stem) in files {
        let free = |lane: &&usize| !names.contains_key(*lane) && role(**lane, &chain.ends) != Role::Client;
        if stem != "user"
            && let Some(&lane) = lanes.iter().rev().find(free)
        {
            names.insert(lane, stem);
        }
    }
    names
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
}
