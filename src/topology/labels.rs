//! Names of lanes that people gave when they captured: file names, folders, comments of sections and interfaces.
//!
//! Most files are called `capture`, `dump` or after a day. So a label names a lane only where the capture was taken at
//! that lane, and only when it holds a word for a hop, or when several captures have labels that tell them apart.

use std::collections::{BTreeMap, BTreeSet};

use super::Role;
use super::lanes::{Chain, Seen};
use super::products::is_product;

/// Words for hops, beside the products of [`is_product`]. Numbers behind them are those of replicas.
const ROLES: [&str; 47] = [
    "alb",
    "api",
    "app",
    "application",
    "apps",
    "apiserver",
    "auth",
    "back",
    "backend",
    "balancer",
    "bff",
    "cache",
    "cdn",
    "edge",
    "elb",
    "front",
    "frontend",
    "gateway",
    "gw",
    "ingress",
    "ingresscontroller",
    "lb",
    "loadbalancer",
    "mesh",
    "middle",
    "nlb",
    "oauth",
    "origin",
    "portal",
    "proxy",
    "rails",
    "reverseproxy",
    "router",
    "rproxy",
    "shop",
    "sidecar",
    "site",
    "spring",
    "sso",
    "upstream",
    "waf",
    "web",
    "webapp",
    "webserver",
    "worker",
    "www",
    "wsgi",
];

/// Words for who asks: a capture taken there names no lane that answers.
const CLIENTS: [&str; 11] =
    ["browser", "client", "clients", "curl", "laptop", "loadgen", "tester", "user", "users", "wget", "wrk"];

/// Words that name no hop, however often they name a capture file.
const GENERIC: [&str; 50] = [
    "all",
    "any",
    "at",
    "bad",
    "broken",
    "bug",
    "cap",
    "capture",
    "captured",
    "captures",
    "case",
    "copy",
    "debug",
    "dump",
    "error",
    "example",
    "file",
    "final",
    "fixed",
    "full",
    "good",
    "host",
    "http",
    "issue",
    "lo",
    "log",
    "merged",
    "ip",
    "localhost",
    "net",
    "network",
    "new",
    "of",
    "old",
    "on",
    "out",
    "output",
    "packet",
    "packets",
    "pcap",
    "prod",
    "repro",
    "sample",
    "server",
    "staging",
    "tcp",
    "tcpdump",
    "test",
    "tmp",
    "trace",
];

/// Words that make of a label a sentence about hops, not the name of one.
const SENTENCE: [&str; 17] = [
    "after", "and", "before", "behind", "between", "for", "from", "into", "near", "no", "non", "not", "off",
    "to", "via", "with", "without",
];

/// Interface names, followed by a number.
const INTERFACES: [&str; 18] = [
    "bond", "br", "cali", "cni", "docker", "en", "eno", "enp", "ens", "eth", "flannel", "lo", "tap", "team",
    "tun", "veth", "vlan", "wlan",
];

/// What a label says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Label {
    /// All its words that may say something.
    whole: String,
    /// Those of them that are words for hops, without the numbers of replicas.
    known: String,
    /// It was taken at who asks.
    client: bool,
}

impl Label {
    /// Reads a label; `None` when it says nothing.
    pub(super) fn of(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|w| speaks(w)).collect();
        let is_sentence = words.iter().any(|word| SENTENCE.contains(word)) || words.len() > 4;
        let is_client = |word: &&&str| CLIENTS.contains(&letters(word));
        let client = words.iter().any(|word| is_client(&word));
        let known: Vec<&str> = words.iter().map(|word| letters(word)).filter(|w| is_known(w)).collect();
        let label = Self { whole: words.join("-"), known: known.join("-"), client };
        (!words.is_empty() && !is_sentence).then_some(label)
    }

    /// All its words.
    pub(super) fn into_whole(self) -> String {
        self.whole
    }

    /// What it says beside numbers, by which captures are told apart.
    fn letters(&self) -> String {
        self.whole.chars().filter(|c| !c.is_ascii_digit()).collect()
    }
}

fn letters(word: &str) -> &str {
    word.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn is_known(word: &str) -> bool {
    ROLES.contains(&word) || is_product(word)
}

/// Whether a word may name something: no number, day, interface, and nothing that any capture may be called.
fn speaks(word: &str) -> bool {
    let bare = letters(word);
    let number = word.chars().all(|c| c.is_ascii_digit() || matches!(c, 't' | 'z'));
    let interface = INTERFACES.iter().any(|name| {
        let rest = word.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    // A digest, or a word with numbers inside: the end of a pod's name, a container's id.
    let code = bare.chars().any(|c| c.is_ascii_digit());
    !(word.is_empty() || number || interface || code || GENERIC.contains(&bare))
}

/// A label with the lanes that every connection of its capture touches.
struct Tag {
    /// The lanes, in their order.
    lanes: Vec<usize>,
    label: Label,
    /// What carries the label, in words.
    source: String,
    /// Free text: only words for hops count.
    is_note: bool,
}

/// The name of each lane that labels name, with what it rests on.
pub(super) fn names(
    seen: &Seen<'_>,
    chain: &Chain,
    roles: &[Role],
    leg_of: &[usize],
    forwards: &BTreeMap<usize, &'static str>,
    (below, servers): (&[BTreeSet<usize>], &[BTreeSet<String>]),
) -> Vec<Option<(String, String)>> {
    let touched = touched(seen, chain, leg_of);
    let mut tags: Vec<Tag> = (0..seen.captures.len()).filter_map(|at| tag(seen, &touched, at)).collect();
    let key = |tag: &Tag| (tag.lanes.len(), tag.lanes.clone(), tag.label.whole.clone(), tag.source.clone());
    tags.sort_by_cached_key(key);
    let mut names: Vec<Option<(String, String)>> = vec![None; chain.hops.len()];
    for same in tags.chunk_by(|a, b| a.lanes == b.lanes) {
        let at_hop: Vec<&Tag> = same.iter().filter(|tag| !tag.label.client).collect();
        let Some(tag) = at_hop.first() else { continue };
        let Some(name) = common_name(below, &tags, &at_hop) else { continue };
        let free = |lane: &&usize| {
            names[**lane].is_none() && (roles[**lane] != Role::Client || forwards.contains_key(*lane))
        };
        // A capture of one link touches two lanes: it names the one that is not yet named, the accepting one first.
        let lanes: Vec<usize> = tag.lanes.iter().rev().filter(free).copied().collect();
        let fits = lanes.iter().find(|&&lane| !contradicts(&servers[lane], &name));
        // Else, at one link, it was taken at who asks.
        let is_one_link = tag.lanes.len() > 1;
        if let Some(&lane) = fits.or(lanes.first().filter(|_| !is_one_link)) {
            names[lane] = Some((name, format!("all connections of {} touch it", tag.source)));
        }
    }
    names
}

/// What the labels of captures at the same lanes call it. Replicas are captured one by one: what their labels have in
/// common names the lane.
fn common_name(below: &[BTreeSet<usize>], tags: &[Tag], same: &[&Tag]) -> Option<String> {
    let apart = same.iter().all(|tag| tells_apart(below, tags, tag));
    let text = |tag: &Tag| if apart { tag.label.whole.clone() } else { tag.label.known.clone() };
    let name = same.iter().skip(1).fold(text(same[0]), |common, other| in_common(&common, &text(other)));
    (!name.is_empty()).then_some(name)
}

/// The lanes that all connections of each capture touch.
fn touched(seen: &Seen<'_>, chain: &Chain, leg_of: &[usize]) -> Vec<Vec<usize>> {
    let mut links: Vec<BTreeSet<(usize, usize)>> = vec![BTreeSet::new(); seen.captures.len()];
    for (sightings, &leg) in seen.connections.iter().zip(leg_of) {
        for sighting in sightings {
            links[sighting.capture.index()].insert(chain.ends[leg]);
        }
    }
    let in_all = |links: BTreeSet<(usize, usize)>| {
        let ends = links.iter().map(|&(from, to)| BTreeSet::from([from, to]));
        ends.reduce(|known, ends| &known & &ends).unwrap_or_default().into_iter().collect()
    };
    links.into_iter().map(in_all).collect()
}

/// The first of a capture's labels that says something: its file's, its folder's, those inside it.
fn tag(seen: &Seen<'_>, touched: &[Vec<usize>], at: usize) -> Option<Tag> {
    // The copy of a capture that was taken at a hop says nothing of its own; a part of a merged file does.
    let copied = seen.originals[at].is_some_and(|original| !touched[original.index()].is_empty());
    if copied || touched[at].is_empty() {
        return None;
    }
    let info = &seen.captures[at].info;
    let file = info.path.file_name()?.to_str()?;
    let make = |label: Option<Label>, source: String, is_note: bool| {
        let label = label.filter(|label| !is_note || !label.known.is_empty())?;
        Some(Tag { lanes: touched[at].clone(), label, source, is_note })
    };
    let own = make(Label::of(file.split('.').next()?), file.to_owned(), false);
    let folder = || folder(seen, at).and_then(|name| make(Label::of(name), format!("{name}/{file}"), false));
    let notes = || {
        let sections = info.sections.iter().map(|section| &section.comment);
        let interfaces = info.interfaces.iter().flat_map(|one| [&one.comment, &one.description, &one.name]);
        let mut texts = sections.chain(interfaces).filter(|text| text.len() < 256);
        texts.find_map(|text| make(Label::of(text), format!("{file} (its note: {text})"), true))
    };
    // A file called after nothing known may lie in a folder that is.
    let is_known = |tag: &Tag| !tag.label.known.is_empty() || tag.label.client;
    match own {
        Some(own) if is_known(&own) => Some(own),
        own => folder().filter(is_known).or_else(notes).or(own).or_else(folder),
    }
}

/// The name of a capture's folder, where each capture has a folder of its own.
fn folder<'a>(seen: &Seen<'a>, at: usize) -> Option<&'a str> {
    let of = |at: usize| seen.captures[at].info.path.parent()?.file_name()?.to_str();
    let own = of(at)?;
    let is_own = (0..seen.captures.len()).filter(|&other| of(other) == Some(own)).count() == 1;
    (is_own && seen.captures.len() > 1).then_some(own)
}

/// Whether a capture and another one of the same chain were taken at different lanes and are called differently: then
/// their names are those of the places, whatever the words.
fn tells_apart(below: &[BTreeSet<usize>], tags: &[Tag], tag: &Tag) -> bool {
    let own = tag.label.letters();
    !tag.is_note
        && own.len() > 2
        && tags.iter().any(|other| {
            let letters = other.label.letters();
            let (Some(&here), Some(&there)) = (tag.lanes.last(), other.lanes.last()) else { return false };
            !other.is_note
                && other.lanes != tag.lanes
                && letters.len() > 2
                && letters != own
                && (below[here].contains(&there) || below[there].contains(&here))
        })
}

/// Whether the label is the name of a product, and the lane's answers name another one.
fn contradicts(servers: &BTreeSet<String>, name: &str) -> bool {
    let Some(called) = name.split('-').map(letters).find(|word| is_product(word)) else { return false };
    let says = |value: &String| value.to_lowercase().contains(called);
    !servers.is_empty() && !servers.iter().any(says)
}

/// What two names begin with, up to the last whole word.
pub(super) fn in_common(one: &str, other: &str) -> String {
    let count = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let common = one.get(..count).unwrap_or_default();
    common.trim_end_matches(|c: char| !c.is_alphabetic()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(text: &str) -> String {
        Label::of(text).map(|label| label.known).unwrap_or_default()
    }

    #[test]
    fn only_speaking_labels_say_something() {
        let silent = [
            "case7",
            "any",
            "eth0",
            "capture1",
            "20261124",
            "2026-11-24T10",
            "tcpdump",
            "out",
            "test1",
            "dump",
            "ens192",
            "cali12ab34",
            "502-trace",
        ];
        for text in silent {
            assert_eq!(Label::of(text), None, "{text}");
        }
        assert_eq!(known("nginx"), "nginx");
        assert_eq!(known("ingress-2026-11-24"), "ingress");
        assert_eq!(known("app2_eth0"), "app");
        assert_eq!(known("u"), "");
        assert_eq!(known("paas-502"), "");
    }

    #[test]
    fn a_sentence_about_hops_names_none() {
        for text in ["no-edge", "after-nginx-restart", "user-to-nginx", "502 from haproxy"] {
            assert_eq!(Label::of(text), None, "{text}");
        }
    }

    #[test]
    fn replicas_share_what_their_files_begin_with() {
        assert_eq!(in_common("app-2a", "app-2b"), "app");
        assert_eq!(in_common("ingress", "ingress"), "ingress");
        assert_eq!(in_common("red", "blue"), "");
    }
}
