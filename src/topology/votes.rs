//! The vote on who causes whom: each request names the lowest endpoint that is above its own ([`super::orders`]).

#[cfg(test)]
mod tests;

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::capture::CaptureId;

use super::cause::{Causes, Common, Electorate, Endpoint, Leg, Request};
use super::orders::{MOST_COMPARED, Orders, SAME_CAPTURE_NS, may_differ};
use super::recordings::Apart;

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Earlier requests with the same key that a vote looks at.
const LOOK_BACK: usize = 512;
/// Later requests with the same key that a vote looks at: those that seem to begin later by the clocks only.
const LOOK_AHEAD: usize = 8;
/// Weight of a vote that leaves no choice: at most one request of each endpoint holds the voter. By chance a
/// request holds others of the same target, more so the more of them are in flight.
pub(super) const CLEAR: usize = 16;
/// Weight of votes from which on a leg needs no support by others.
const STRONG: usize = 6 * CLEAR;
/// Nobody is called an ancestor on fewer than this share of the votes, in percent.
const LEAST_SHARE: usize = 50;
/// What is served on a client's own machine causes its requests where it gets this share of their votes, in percent.
const LEAST_THERE: usize = 25;
/// Captures that nothing ties are of one chain only where their hops share this part of their requests, in percent.
const LEAST_ALIKE: usize = 90;
/// Open requests without an answer hold others for so long.
const PATIENCE_NS: i64 = 60_000_000_000;

/// Lets requests vote for the lowest endpoint above them, and settles the parents of legs that have none.
pub(super) fn vote(
    causes: &mut Causes,
    electorate: &Electorate,
    common: Common,
    orders: &mut Orders,
    apart: &Apart,
) {
    let requests = &electorate.requests;
    orders.learn(requests, causes, matches!(common, Common::Id(_)));
    let one_group = requests.iter().all(|request| request.group == requests[0].group);
    let shares = if one_group { Shares::default() } else { Shares::of(electorate, causes) };
    let served = causes.endpoints.iter().filter(|endpoint| endpoint.exchanges > 0);
    let servers: BTreeSet<IpAddr> = served.map(|endpoint| endpoint.host).collect();
    let mut ballots: FixedMap<(u32, u32), Votes> = FixedMap::default();
    let mut voters: Vec<Voter> = Vec::new();
    // By endpoint: latest start of a request that holds the voter, and how many do.
    let mut above: Vec<(u32, i64, usize)> = Vec::new();
    // Those of which one began before the voter's connection was opened.
    let mut in_time: Vec<u32> = Vec::new();
    let mut reach: Vec<i64> = Vec::new();
    for same in requests.chunk_by(|a, b| a.key == b.key) {
        let mut beyond: Option<Vec<(u32, u16)>> = None;
        let mut repeated: Option<bool> = None;
        reach_of_first(same, &mut reach);
        for (at, request) in same.iter().enumerate().filter(|(_, request)| request.votes) {
            above.clear();
            in_time.clear();
            let leg = &causes.legs[request.leg as usize];
            let is_there = |endpoint: u32| causes.endpoints[endpoint as usize].host == leg.host;
            // From one machine's loopback nothing is asked at another's.
            let are_apart = |endpoint: u32| {
                let [own, upper] = [leg.endpoint, endpoint as usize].map(|at| &causes.endpoints[at]);
                let is_local = |one: &Endpoint| one.address.ip().is_loopback() && !one.host.is_loopback();
                is_local(own) && is_local(upper) && own.host != upper.host
            };
            let later = same[at + 1..].iter().take(LOOK_AHEAD);
            let first_moment = request.end.map_or(request.start, |end| end.min(request.start));
            let earlier = same[..at].iter().zip(&reach).rev().take(LOOK_BACK);
            // Nobody from there on back waits any more.
            let earlier = earlier.take_while(|(_, reach)| **reach >= first_moment).map(|(parent, _)| parent);
            for parent in earlier.chain(later) {
                if parent.endpoint == request.endpoint
                    || !holds(parent, request)
                    || are_apart(parent.endpoint)
                    || orders.of(parent.endpoint, request.endpoint) != Ordering::Greater
                {
                    continue;
                }
                if parent.start <= request.begun.saturating_add(may_differ(parent, request)) {
                    in_time.push(parent.endpoint);
                }
                match above.iter_mut().find(|known| known.0 == parent.endpoint) {
                    Some(known) => (known.1, known.2) = (known.1.max(parent.start), known.2 + 1),
                    None => above.push((parent.endpoint, parent.start, 1)),
                }
            }
            // A hop that opened the connection before another was asked did so for something else: of two that one hop asks
            // at a time, neither is asked for the other.
            if above.len() > 1
                && in_time.len() < above.iter().map(|known| known.2).sum()
                && !in_time.is_empty()
            {
                above.retain(|known| in_time.contains(&known.0));
            }
            // Who asks from a machine where others are served asks for them.
            if !leg.host.is_loopback() && above.iter().any(|known| is_there(known.0)) {
                above.retain(|known| is_there(known.0));
            }
            // What one client asks of two does not stand above the other, be it inside it by chance: only what is asked
            // for once may have come back through an address that others share.
            let asks_both = |endpoint: u32| {
                !leg.client.is_loopback() && causes.is_asked_by(endpoint as usize, leg.client)
            };
            if above.iter().any(|known| asks_both(known.0)) {
                // An id may be given out by the very hop that asks both: what is served on its machine has none then.
                let may_be_siblings = match common {
                    Common::Id(_) => servers.contains(&leg.host),
                    _ => *repeated.get_or_insert_with(|| count_endpoints(same) < same.len()),
                };
                above.retain(|known| !may_be_siblings || is_there(known.0) || !asks_both(known.0));
            }
            let weight = if above.iter().all(|known| known.2 == 1) { CLEAR } else { 1 };
            voters.push(Voter { leg: request.leg, start: request.start, group: request.group, weight });
            if above.is_empty() && !one_group {
                // Nothing ties some captures' clocks: that the same is asked for there, as often, and takes longer,
                // must do.
                let others = beyond.get_or_insert_with(|| endpoints_of(same)).iter();
                let others = others.filter(|other| {
                    other.1 != request.group
                        && !apart.are(other.1, request.group)
                        && !asks_both(other.0)
                        && shares.are_alike(other.0, request.endpoint)
                });
                let longer = others.filter(|other| orders.of(other.0, request.endpoint) == Ordering::Greater);
                above.extend(longer.map(|other| (other.0, 0, 2)));
            }
            if let Some(endpoint) = lowest(&above, orders) {
                let votes = ballots.entry((request.leg, endpoint)).or_default();
                votes.weight += weight;
                votes.count += 1;
            }
        }
    }
    if ballots.is_empty() {
        return;
    }
    let mut ballots: Vec<_> = ballots.into_iter().collect();
    ballots.sort_unstable();
    let ballots = without_chance(&ballots, orders, causes);
    let voters = count(&voters, &ballots, electorate);
    settle(causes, &ballots, &voters);
}

/// A request that was asked for its vote.
#[derive(Clone, Copy)]
struct Voter {
    leg: u32,
    start: i64,
    group: u16,
    weight: usize,
}

/// By leg: the weight of all who could vote for one of the endpoints that the leg's ballots name. Who asked when no
/// capture of these ran could not: that nothing was seen above it then tells nothing.
fn count(voters: &[Voter], ballots: &[((u32, u32), usize)], electorate: &Electorate) -> Vec<usize> {
    let mut captures: Vec<Vec<CaptureId>> = Vec::new();
    for request in &electorate.requests {
        let endpoint = request.endpoint as usize;
        if captures.len() <= endpoint {
            captures.resize(endpoint + 1, Vec::new());
        }
        if !captures[endpoint].contains(&request.capture) {
            captures[endpoint].push(request.capture);
        }
    }
    let mut named: Vec<Vec<(u16, i64, i64)>> = vec![Vec::new(); electorate.steps.len()];
    for &((leg, upper), _) in ballots {
        let spans = captures[upper as usize].iter().map(|capture| electorate.spans[capture.index()]);
        named[leg as usize].extend(spans);
    }
    let could_vote = |leg: u32, start: i64, group: u16| {
        let named = &named[leg as usize];
        // Times of two groups cannot be compared.
        let ran = |&(other, first, last): &(u16, i64, i64)| other != group || (first..=last).contains(&start);
        named.is_empty() || named.iter().any(ran)
    };
    let mut counts = vec![0; electorate.steps.len()];
    for alone in &electorate.alone {
        counts[alone.leg as usize] += usize::from(could_vote(alone.leg, alone.start, alone.group));
    }
    for (count, step) in counts.iter_mut().zip(&electorate.steps) {
        *count = *count / step * CLEAR;
    }
    for voter in voters.iter().filter(|voter| could_vote(voter.leg, voter.start, voter.group)) {
        counts[voter.leg as usize] += voter.weight;
    }
    counts
}

/// Of endpoints in captures that nothing ties: how many requests each has, and how many two of them have in common.
#[derive(Debug, Default)]
struct Shares {
    all: FixedMap<u32, usize>,
    common: FixedMap<(u32, u32), usize>,
}

impl Shares {
    fn of(electorate: &Electorate, causes: &Causes) -> Self {
        let mut shares = Self::default();
        let requests = &electorate.requests;
        for (leg, asked) in causes.legs.iter().zip(&electorate.asked) {
            *shares.all.entry(leg.endpoint as u32).or_default() += asked;
        }
        let mut counts: Vec<((u32, u16), usize)> = Vec::new();
        for same in requests.chunk_by(|a, b| a.key == b.key) {
            counts.clear();
            for request in same {
                let place = (request.endpoint, request.group);
                match counts.iter().position(|known| known.0 == place) {
                    Some(known) => counts[known].1 += 1,
                    None if counts.len() < MOST_COMPARED => counts.push((place, 1)),
                    None => {}
                }
            }
            for (at, &((one, group), count)) in counts.iter().enumerate() {
                for &((other, _), others) in counts[at + 1..].iter().filter(|other| other.0.1 != group) {
                    *shares.common.entry((one.min(other), one.max(other))).or_default() += count.min(others);
                }
            }
        }
        shares
    }

    /// Whether nearly all requests of each may be those of the other: unrelated recordings of one load have the same
    /// targets, and another number of them.
    fn are_alike(&self, one: u32, other: u32) -> bool {
        let [a, b] = [one, other].map(|endpoint| self.all.get(&endpoint).copied().unwrap_or_default());
        let common = self.common.get(&(one.min(other), one.max(other))).copied().unwrap_or_default();
        common * 100 >= a.max(b) * LEAST_ALIKE
    }
}

/// The votes of a leg for one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Votes {
    weight: usize,
    count: usize,
}

impl Votes {
    fn is_clear(self) -> bool {
        self.weight * 2 >= self.count * CLEAR
    }
}

/// Drops endpoints that hold requests of a leg by chance, as a replica beside it does when all requests are
/// equal: then many have no choice but the endpoint above.
fn without_chance(
    ballots: &[((u32, u32), Votes)],
    orders: &Orders,
    causes: &Causes,
) -> Vec<((u32, u32), usize)> {
    let mut kept = Vec::new();
    for same in ballots.chunk_by(|a, b| a.0.0 == b.0.0) {
        let all: usize = same.iter().map(|(_, votes)| votes.weight).sum();
        // Where what is served on the client's machine accounts for enough, the rest are of those that no capture shows
        // there, and lie in what others were asked by chance.
        let leg = &causes.legs[same[0].0.0 as usize];
        let is_there =
            |upper: u32| !leg.host.is_loopback() && causes.endpoints[upper as usize].host == leg.host;
        let there = same.iter().filter(|((_, upper), _)| is_there(*upper));
        let there: usize = there.map(|(_, votes)| votes.weight).sum();
        if there > 0 && there * 100 >= all * LEAST_THERE {
            let told = same.iter().filter(|((_, upper), votes)| is_there(*upper) || votes.is_clear());
            kept.extend(told.map(|&(pair, votes)| (pair, votes.weight)));
            continue;
        }
        for &((leg, upper), votes) in same {
            let is_above = |other: u32| orders.of(other, upper) == Ordering::Greater;
            let passed_by =
                same.iter().filter(|((_, other), _)| is_above(*other)).map(|(_, votes)| votes.weight);
            if votes.is_clear() || passed_by.sum::<usize>() * 10 < all {
                kept.push(((leg, upper), votes.weight));
            }
        }
    }
    // What was taken from one that is there by chance belongs to the one above it.
    let mut sums: FixedMap<u32, usize> = FixedMap::default();
    for &((leg, _), weight) in &kept {
        *sums.entry(leg).or_default() += weight;
    }
    let mut all: FixedMap<u32, usize> = FixedMap::default();
    for &((leg, _), votes) in ballots {
        *all.entry(leg).or_default() += votes.weight;
    }
    for ((leg, _), weight) in &mut kept {
        *weight = *weight * all[leg] / sums[leg].max(1);
    }
    kept
}

/// The endpoints of these requests, each with the group that its clock is of.
fn endpoints_of(requests: &[Request]) -> Vec<(u32, u16)> {
    let mut all: Vec<(u32, u16)> = requests.iter().map(|request| (request.endpoint, request.group)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// At how many endpoints these requests were made.
fn count_endpoints(requests: &[Request]) -> usize {
    let mut all: Vec<u32> = requests.iter().map(|request| request.endpoint).collect();
    all.sort_unstable();
    all.dedup();
    all.len()
}

/// The endpoint that is above none of the others; of several the one whose request began last.
fn lowest(above: &[(u32, i64, usize)], orders: &Orders) -> Option<u32> {
    let is_lowest =
        |one: &&(u32, i64, usize)| !above.iter().any(|other| orders.of(one.0, other.0) == Ordering::Greater);
    let last = |known: &&(u32, i64, usize)| (known.1, Reverse(known.0));
    let found = above.iter().filter(is_lowest).max_by_key(last);
    // A circle of orders leaves none that is lowest.
    found.or_else(|| above.iter().max_by_key(last)).map(|known| known.0)
}

/// For each of these requests the last moment at which it, or one before it, may hold another.
fn reach_of_first(same: &[Request], reach: &mut Vec<i64>) {
    let tolerance = same.iter().map(|request| request.tolerance).max().unwrap_or_default();
    let may_differ = tolerance.saturating_mul(2).max(SAME_CAPTURE_NS);
    let mut furthest = i64::MIN;
    reach.clear();
    reach.extend(same.iter().map(|request| {
        let over = request.end.or(request.over);
        let own = over.unwrap_or_else(|| request.start.saturating_add(PATIENCE_NS));
        furthest = furthest.max(own.saturating_add(may_differ));
        furthest
    }));
}

/// Whether a request may have caused another, by time alone.
fn holds(parent: &Request, child: &Request) -> bool {
    if parent.group != child.group {
        return false;
    }
    let tolerance = may_differ(parent, child);
    let starts = parent.start <= child.start.saturating_add(tolerance);
    let ends = match (parent.end, child.end) {
        (Some(parent), Some(child)) => child <= parent.saturating_add(tolerance),
        (Some(parent), None) => child.start <= parent.saturating_add(tolerance),
        (None, _) => match parent.over {
            Some(over) => child.start <= over.saturating_add(tolerance),
            None => child.start.saturating_sub(parent.start) < PATIENCE_NS,
        },
    };
    starts && ends
}

/// Keeps for each leg the parents that enough votes name.
fn settle(causes: &mut Causes, ballots: &[((u32, u32), usize)], voters: &[usize]) {
    let endpoint_of: Vec<usize> = causes.legs.iter().map(|leg| leg.endpoint).collect();
    // Endpoint under endpoint by the votes of all its legs.
    let mut under: FixedMap<(usize, usize), usize> = FixedMap::default();
    let mut asked: FixedMap<usize, usize> = FixedMap::default();
    for (leg, count) in voters.iter().enumerate() {
        *asked.entry(endpoint_of[leg]).or_default() += count;
    }
    for &((leg, upper), votes) in ballots {
        *under.entry((upper as usize, endpoint_of[leg as usize])).or_default() += votes;
    }
    let strong = |ballot: &&((u32, u32), usize)| {
        let ((leg, _), votes) = **ballot;
        let all = voters[leg as usize];
        all >= STRONG && votes * 100 >= all * LEAST_SHARE
    };
    let known: FixedMap<(usize, usize), ()> = ballots
        .iter()
        .filter(strong)
        .map(|&((leg, upper), _)| ((upper as usize, endpoint_of[leg as usize]), ()))
        .collect();
    let supported = |upper: usize, lower: usize| {
        let votes = under.get(&(upper, lower)).copied().unwrap_or_default();
        known.contains_key(&(upper, lower))
            || votes * 100 >= 30 * asked.get(&lower).copied().unwrap_or_default()
    };
    for same in ballots.chunk_by(|a, b| a.0.0 == b.0.0) {
        let at = same[0].0.0 as usize;
        // One request inside another of the same target may be chance: legs of few requests need support.
        let weak = voters[at] < STRONG;
        let named = same.iter().map(|&((_, upper), votes)| (upper as usize, votes));
        let mut parents: Vec<(usize, usize)> =
            named.filter(|&(upper, _)| !weak || supported(upper, endpoint_of[at])).collect();
        let leg: &mut Leg = &mut causes.legs[at];
        if parents.iter().map(|parent| parent.1).sum::<usize>() * 100 < voters[at] * LEAST_SHARE {
            continue;
        }
        parents.sort_by_key(|&(endpoint, votes)| (Reverse(votes), endpoint));
        let most = parents.first().map_or(0, |parent| parent.1);
        parents.retain(|parent| parent.1 * 8 >= most);
        leg.parents = parents;
    }
}
