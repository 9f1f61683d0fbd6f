//! What a hop keeps of a request when it passes it on: learnt by comparing children with the parents around them.
//!
//! A header is kept if nearly every child finds its value among the parents that hold it, and if the parent
//! that fits best in time has it more often than the others do.

use std::collections::BTreeMap;

use crate::analysis::Analysis;
use crate::http::NameId;

use super::candidates::{Candidates, candidates};
use super::node::Node;
use super::replicas::Replicas;

/// Children looked at.
const SAMPLE: usize = 2_000;
/// Children that a habit must at least be seen at.
const LEAST: usize = 8;
/// Headers compared.
const MOST_NAMES: usize = 48;
/// Of a hundred children so many must agree with a parent around them.
const ALWAYS: usize = 98;
/// Headers that belong to one connection or that every hop writes anew (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
    "host",
];

/// What children and parents on one link have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Habits {
    /// Request headers that are passed on and that tell parents apart.
    kept: Vec<String>,
    /// The body of the response has the same length.
    pub same_length: bool,
    /// The child names the address of the parent's client.
    pub names_client: bool,
    /// By the address that children come from the replica that sends from there.
    hosts: Vec<(u64, u64)>,
}

/// How often children agree with the parents that hold them.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    children: usize,
    /// Children that agree with at least one.
    any: usize,
    /// Children that agree with the one that fits best in time, where there are others.
    nearest: usize,
    /// Parents of those, and how many of them agree.
    parents: usize,
    agree: usize,
    /// Children with several parents.
    choosing: usize,
}

impl Tally {
    /// Notes whether each parent of one child agrees, the one that fits best first.
    fn note(&mut self, agrees: impl Iterator<Item = bool>) {
        let (mut count, mut agree, mut nearest) = (0, 0, false);
        for (at, is) in agrees.enumerate() {
            count += 1;
            agree += usize::from(is);
            nearest |= at == 0 && is;
        }
        if count == 0 {
            return;
        }
        self.children += 1;
        self.any += usize::from(agree > 0);
        if count > 1 {
            self.choosing += 1;
            self.nearest += usize::from(nearest);
            self.parents += count;
            self.agree += agree;
        }
    }

    /// Whether it is a habit that tells parents apart.
    fn is_habit(&self) -> bool {
        if self.children < LEAST || self.any * 100 < self.children * ALWAYS || self.agree == self.parents {
            return false;
        }
        // The nearest parent agrees at least a third of the way from chance to always.
        let chance = self.agree as f64 / self.parents as f64;
        let nearest = self.nearest as f64 / self.choosing as f64;
        nearest - chance >= (1.0 - chance) / 3.0
    }
}

impl Habits {
    /// Learns what a link's children keep of their parents.
    pub(super) fn learn(analysis: &Analysis, above: &[Node], below: &[Node], replicas: &Replicas) -> Self {
        let step = below.len().div_ceil(SAMPLE).max(1) as u32;
        let sample = candidates(above, below, replicas, |node| node.key, |child| child.is_multiple_of(step));
        if (0..sample.rows.len()).all(|row| sample.fitting.of(row).len() < 2) {
            return Self::default();
        }
        let (mut length, mut client) = (Tally::default(), Tally::default());
        for (row, &child) in sample.rows.iter().enumerate() {
            let own = &below[child as usize];
            let parents = || sample.fitting.of(row).iter().map(|choice| &above[choice.parent as usize]);
            if own.answered {
                let answered = parents().filter(|node| node.answered && node.status == own.status);
                length.note(answered.map(|node| node.response_bytes == own.response_bytes));
            }
            if own.client != 0 {
                client.note(parents().map(|node| node.client == own.client));
            }
        }
        Self {
            kept: kept_headers(analysis, above, below, &sample),
            same_length: length.is_habit(),
            names_client: client.is_habit(),
            hosts: hosts(above, below, &sample),
        }
    }

    /// Whether the child comes from another replica than the one that got the parent.
    pub(super) fn is_other_host(&self, parent: &Node, child: &Node) -> bool {
        let known = self.hosts.binary_search_by_key(&child.host, |host| host.0);
        known.is_ok_and(|at| self.hosts[at].1 != parent.host)
    }

    /// Whether headers are kept that tell parents apart.
    pub(super) fn keeps_headers(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Sets [`Node::kept`] of all nodes.
    pub(super) fn mark(&self, analysis: &Analysis, nodes: &mut [Node]) {
        let names = numbers(analysis, &self.kept);
        for node in nodes {
            node.kept = 0;
            for (rank, value) in values(analysis, &names, node).into_iter().enumerate() {
                node.kept =
                    (node.kept.rotate_left(17) ^ value ^ rank as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
        }
    }
}

/// Which replica sends from which address, as far as children with one possible parent agree on it.
fn hosts(above: &[Node], below: &[Node], sample: &Candidates) -> Vec<(u64, u64)> {
    let mut pairs: BTreeMap<u64, BTreeMap<u64, usize>> = BTreeMap::new();
    for (row, &child) in sample.rows.iter().enumerate() {
        if let ([only], 1) = (sample.fitting.of(row), sample.fits[row]) {
            let servers = pairs.entry(below[child as usize].host).or_default();
            *servers.entry(above[only.parent as usize].host).or_default() += 1;
        }
    }
    let main = pairs.into_iter().filter_map(|(client, servers)| {
        let all: usize = servers.values().sum();
        let (server, count) = servers.into_iter().max_by_key(|&(server, count)| (count, server))?;
        (all >= LEAST && count * 100 >= all * ALWAYS).then_some((client, server))
    });
    main.collect()
}

/// The names as each capture numbers them.
fn numbers(analysis: &Analysis, names: &[String]) -> Vec<Vec<Option<NameId>>> {
    let of = |facts: &crate::http::CaptureFacts| names.iter().map(|name| facts.find_name(name)).collect();
    analysis.captures.iter().map(|facts| of(facts)).collect()
}

/// The values of the named headers; 0 where a request has none.
fn values(analysis: &Analysis, names: &[Vec<Option<NameId>>], node: &Node) -> Vec<u64> {
    let exchange = analysis.exchange(node.id);
    let names = &names[exchange.capture.index()];
    let mut values = vec![0; names.len()];
    for digest in exchange.headers() {
        for (slot, name) in values.iter_mut().zip(names) {
            if *name == Some(digest.name()) {
                *slot = digest.value().max(1);
            }
        }
    }
    values
}

fn kept_headers(analysis: &Analysis, above: &[Node], below: &[Node], sample: &Candidates) -> Vec<String> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for &child in &sample.rows {
        let exchange = analysis.exchange(below[child as usize].id);
        for digest in exchange.headers() {
            *seen.entry(exchange.facts.name(digest.name())).or_default() += 1;
        }
    }
    let mut common: Vec<(&str, usize)> =
        seen.into_iter().filter(|(name, _)| !HOP_BY_HOP.contains(name)).collect();
    common.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    let mut names: Vec<String> =
        common.into_iter().take(MOST_NAMES).map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    let numbers = numbers(analysis, &names);
    let mut tallies = vec![Tally::default(); names.len()];
    for (row, &child) in sample.rows.iter().enumerate() {
        let own = values(analysis, &numbers, &below[child as usize]);
        let parents = sample.fitting.of(row).iter();
        let theirs: Vec<Vec<u64>> =
            parents.map(|choice| values(analysis, &numbers, &above[choice.parent as usize])).collect();
        for (at, tally) in tallies.iter_mut().enumerate() {
            tally.note(theirs.iter().map(|values| values[at] == own[at]));
        }
    }
    names.into_iter().zip(tallies).filter(|(_, tally)| tally.is_habit()).map(|(name, _)| name).collect()
}
