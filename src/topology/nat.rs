//! One connection under several addresses: before and after a translator (a service address, masquerading), in one
//! capture or in several.
//!
//! A translator changes addresses and ports and leaves sequence numbers alone: two initial sequence numbers are 62
//! random bits that two connections do not share. Where it draws new numbers nothing is provable, and the two stay
//! apart.

mod ends;

use std::net::SocketAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::http::CaptureFacts;
use crate::tcp::{Flow, Opening, Side};

use super::Sighting;

pub(super) use ends::ends;

/// Numbers below this are those of a generator of captures, or counted from 0: they identify nothing.
const LEAST_RANDOM: u32 = 1 << 16;
/// How many exchanges of a connection without a handshake are looked for elsewhere.
const SAMPLED_EXCHANGES: usize = 4;
/// More groups than this with the same numbers are no translations of one connection.
const MOST_TRANSLATIONS: usize = 8;
/// A packet passes a translator on one host within this time, in nanoseconds.
const PASSING_NS: i64 = 1_000_000_000;

/// What two sightings of one connection have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// The initial sequence numbers of client and server.
    Numbers(u32, u32),
    /// Where a request and its response begin, and the CRC of the request's head.
    Messages(u32, u32, u32),
    /// A client and the number of its SYN that nobody accepted.
    Refused(SocketAddr, u32),
}

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// The groups that have something in common, in order. Nearly always it is one, for which nothing is allocated.
struct Holders {
    first: u32,
    others: Vec<u32>,
}

impl Holders {
    fn of(first: u32) -> Self {
        Self { first, others: Vec::new() }
    }

    fn has(&self, group: u32) -> bool {
        self.first == group || self.others.contains(&group)
    }

    /// All of them, where they are several and not too many to be translations of one connection.
    fn shared(self) -> Option<Vec<u32>> {
        let Self { first, mut others } = self;
        others.insert(0, first);
        (2..=MOST_TRANSLATIONS).contains(&others.len()).then_some(others)
    }
}

/// Who holds each key. Those of messages are apart: few connections have some, and all exchanges are looked for there.
#[derive(Default)]
struct Index {
    starts: FixedMap<Key, Holders>,
    messages: FixedMap<Key, Holders>,
}

impl Index {
    fn note(&mut self, key: Key, group: u32) {
        let keys = if matches!(key, Key::Messages(..)) { &mut self.messages } else { &mut self.starts };
        let known = keys.entry(key).or_insert_with(|| Holders::of(group));
        if known.others.last().unwrap_or(&known.first) != &group {
            known.others.push(group);
        }
    }
}

/// Joins groups of sightings that are one connection under several addresses. The order of groups stays that of
/// their first members.
pub(super) fn join(captures: &[Arc<CaptureFacts>], groups: Vec<Vec<Sighting>>) -> Vec<Vec<Sighting>> {
    let mut index = Index::default();
    index.starts.reserve(groups.len());
    for (at, group) in groups.iter().enumerate() {
        for sighting in group {
            own_keys(captures, *sighting, |key| index.note(key, at as u32));
        }
    }
    add_later_messages(captures, &groups, &mut index);
    let holders = index.starts.into_values().chain(index.messages.into_values());
    let mut root: Vec<u32> = (0..groups.len() as u32).collect();
    let mut members: Vec<Vec<Sighting>> = groups;
    let several = holders.filter(|holders| !holders.others.is_empty());
    let mut shared: Vec<Vec<u32>> = several.filter_map(Holders::shared).collect();
    // No order of a hash map may choose what is joined first.
    shared.sort_unstable();
    for all in shared {
        for pair in all.windows(2) {
            let (a, b) = (find(&root, pair[0]), find(&root, pair[1]));
            let (low, high) = (a.min(b) as usize, a.max(b) as usize);
            if low != high && are_one(captures, &members[low], &members[high]) {
                let moved = std::mem::take(&mut members[high]);
                members[low].extend(moved);
                root[high] = low as u32;
            }
        }
    }
    members.retain(|group| !group.is_empty());
    members
}

fn find(root: &[u32], mut at: u32) -> u32 {
    while root[at as usize] != at {
        at = root[at as usize];
    }
    at
}

fn flow(captures: &[Arc<CaptureFacts>], sighting: Sighting) -> &Flow {
    captures[sighting.capture.index()].flow(sighting.flow)
}

/// Gives what a sighting may have in common with others.
fn own_keys(captures: &[Arc<CaptureFacts>], sighting: Sighting, mut give: impl FnMut(Key)) {
    let flow = flow(captures, sighting);
    let isn = |side| flow.direction(side).isn.filter(|&isn| isn >= LEAST_RANDOM);
    match (isn(Side::Client), isn(Side::Server)) {
        (Some(client), Some(server)) => give(Key::Numbers(client, server)),
        (Some(client), None) if matches!(flow.opening, Opening::Refused | Opening::Unanswered) => {
            give(Key::Refused(flow.client, client));
        }
        _ => {
            let exchanges = captures[sighting.capture.index()].exchanges_of(flow);
            exchanges.iter().filter_map(messages).take(SAMPLED_EXCHANGES).for_each(give);
        }
    }
}

fn messages(exchange: &crate::http::Exchange) -> Option<Key> {
    let (request, response) = (&exchange.request, &exchange.response);
    let told = request.is_complete() && response.is_present();
    (told && request.seq >= LEAST_RANDOM && response.seq >= LEAST_RANDOM).then_some(Key::Messages(
        request.seq,
        response.seq,
        request.head_crc,
    ))
}

/// A capture that began earlier holds the exchanges of a connection without handshake as later ones.
fn add_later_messages(captures: &[Arc<CaptureFacts>], groups: &[Vec<Sighting>], index: &mut Index) {
    if index.messages.is_empty() {
        return;
    }
    for (at, group) in groups.iter().enumerate() {
        for &sighting in group {
            let exchanges = captures[sighting.capture.index()].exchanges_of(flow(captures, sighting));
            for key in exchanges.iter().filter_map(messages) {
                if let Some(known) = index.messages.get_mut(&key)
                    && !known.has(at as u32)
                    && known.others.len() < MOST_TRANSLATIONS
                {
                    known.others.push(at as u32);
                }
            }
        }
    }
}

/// Whether nothing contradicts that two groups with the same numbers are one connection.
fn are_one(captures: &[Arc<CaptureFacts>], one: &[Sighting], other: &[Sighting]) -> bool {
    one.iter().all(|&a| {
        other.iter().all(|&b| {
            let (flow_a, flow_b) = (flow(captures, a), flow(captures, b));
            if (flow_a.client, flow_a.server) == (flow_b.client, flow_b.server) {
                // The comparison of same addresses left them apart.
                return false;
            }
            if a.capture == b.capture {
                let apart = flow_a.first.0.0.abs_diff(flow_b.first.0.0);
                let overlap = flow_a.first.0 <= flow_b.last.0 && flow_b.first.0 <= flow_a.last.0;
                let from_start = flow_a.opening != Opening::MidStream && flow_b.opening != Opening::MidStream;
                if from_start && apart > PASSING_NS.unsigned_abs() || !from_start && !overlap {
                    return false;
                }
            }
            say_the_same(&captures[a.capture.index()], flow_a, &captures[b.capture.index()], flow_b)
        })
    })
}

/// Whether no request that begins at the same number differs.
fn say_the_same(a: &CaptureFacts, flow_a: &Flow, b: &CaptureFacts, flow_b: &Flow) -> bool {
    let others = b.exchanges_of(flow_b);
    a.exchanges_of(flow_a).iter().filter(|x| x.request.is_complete()).take(SAMPLED_EXCHANGES).all(
        |exchange| {
            let same = others
                .iter()
                .take(4 * SAMPLED_EXCHANGES)
                .find(|other| other.request.seq == exchange.request.seq);
            same.is_none_or(|other| {
                !other.request.is_complete() || other.request.head_crc == exchange.request.head_crc
            })
        },
    )
}
