//! Endpoints to lanes: replicas together, callers before the called, and every connection on a link.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::capture::{CaptureId, CaptureTime};
use crate::http::CaptureFacts;
use crate::tcp::Flow;

use super::cause::{Causes, Endpoint, Leg};
use super::hosts::Hosts;
use super::{Clock, LaneOverride, Role, Sighting};

/// More lanes than a person can read: the endpoints with the least traffic share the last one.
const MOST_LANES: usize = 40;
/// Endpoints behind translated addresses that each of them is compared with.
const MOST_BEHIND: usize = 64;
/// Times that replicas are looked for: those of the hop behind are known by those before it.
const ROUNDS: usize = 6;
/// Endpoints that one leads to through others on its machine.
const MOST_ASKED: usize = 256;
/// Slack of clocks that agree: timestamps of one host are taken at different points of its stack.
pub(crate) const SLACK_NS: i64 = 20_000;
/// Slack of clocks of which nothing is known.
const UNKNOWN_CLOCK_NS: i64 = 50_000_000;
/// A clock band wider than this proves nothing about containment.
const MOST_TOLERANCE_NS: i64 = 100_000_000;

/// The connections, each by its best sighting, with the clocks of the captures.
pub(super) struct Seen<'a> {
    pub captures: &'a [Arc<CaptureFacts>],
    /// Which addresses are of one machine.
    pub hosts: &'a Hosts,
    /// For each capture that is a copy its original.
    pub originals: &'a [Option<CaptureId>],
    pub clocks: &'a [Clock],
    pub connections: &'a [Vec<Sighting>],
    /// Client and server of each connection, without translated addresses.
    pub ends: &'a [(SocketAddr, SocketAddr)],
    /// By server: the addresses by which its clients called it, where those were translated.
    pub services: &'a BTreeMap<SocketAddr, BTreeSet<SocketAddr>>,
}

impl<'a> Seen<'a> {
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn facts(&self, at: usize) -> &'a CaptureFacts {
        &self.captures[self.connections[at][0].capture.index()]
    }

    pub(super) fn flow(&self, at: usize) -> &'a Flow {
        self.facts(at).flow(self.connections[at][0].flow)
    }

    /// The capture of a connection's best sighting.
    pub(super) fn capture(&self, at: usize) -> CaptureId {
        self.connections[at][0].capture
    }

    /// A time of a connection's best sighting in session time, in nanoseconds.
    pub(super) fn time(&self, at: usize, time: CaptureTime, frame: u32) -> i64 {
        self.clocks[self.connections[at][0].capture.index()].session(time, frame).0
    }

    /// The first moment of a connection's best sighting in session time, in nanoseconds.
    pub(super) fn first(&self, at: usize) -> i64 {
        let first = self.flow(at).first;
        self.time(at, first.0, first.1)
    }

    /// The last one.
    pub(super) fn last(&self, at: usize) -> i64 {
        let last = self.flow(at).last;
        self.time(at, last.0, last.1)
    }

    /// By what `key` says of a connection: the first and the last moment of all that share it.
    pub(super) fn spans_by<K: Ord>(&self, key: impl Fn(usize) -> K) -> BTreeMap<K, (i64, i64)> {
        let mut spans = BTreeMap::new();
        for at in 0..self.len() {
            let (first, last) = (self.first(at), self.last(at));
            let span = spans.entry(key(at)).or_insert((first, last));
            *span = (span.0.min(first), span.1.max(last));
        }
        spans
    }

    /// How far the times of a connection may be off, in nanoseconds.
    pub(super) fn tolerance(&self, at: usize) -> i64 {
        tolerance_ns(&self.clocks[self.connections[at][0].capture.index()])
    }
}

/// How far the session times of a capture may be off, in nanoseconds.
pub(crate) fn tolerance_ns(clock: &Clock) -> i64 {
    clock.band_ns.map_or(UNKNOWN_CLOCK_NS, |band| band.saturating_add(SLACK_NS).min(MOST_TOLERANCE_NS))
}

/// A lane in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Hop {
    pub serves: BTreeSet<SocketAddr>,
    pub addresses: BTreeSet<IpAddr>,
    /// The machines of what it serves.
    pub hosts: BTreeSet<IpAddr>,
    pub depth: u16,
    pub exchanges: usize,
    /// The name that the user gave.
    pub given: Option<String>,
    /// What traffic and captures call it.
    pub found: String,
    /// What its name rests on, in words.
    pub named_by: String,
    /// It was not captured itself.
    pub inferred: bool,
    /// Users are here, as far as the traffic tells.
    pub users: bool,
    /// Place in the user's list; lanes found come after.
    pub rank: usize,
}

/// Lanes in their order, and the two lanes of each leg.
pub(super) struct Chain {
    pub hops: Vec<Hop>,
    /// By leg: who connects, who accepts.
    pub ends: Vec<(usize, usize)>,
}

/// Puts endpoints and clients on lanes.
///
/// `recording_of` tells legs of unrelated captures apart: their clients are not the same users.
pub(super) fn arrange(causes: &Causes, given: &[LaneOverride], recording_of: &[usize]) -> Chain {
    let mut hop_of = group(causes, given);
    let served = hop_of.iter().max().map_or(0, |last| last + 1);
    limit(causes, &mut hop_of, given.len());
    let mut ends = callers(causes, &hop_of, served, given, recording_of);
    let count = ends.iter().map(|&(from, to)| from.max(to) + 1).max().unwrap_or(0).max(given.len());
    let mut hops = vec![Hop { rank: usize::MAX, ..Hop::default() }; count];
    for (at, (hop, lane)) in hops.iter_mut().zip(given).enumerate() {
        hop.given = Some(lane.name.clone());
        hop.rank = at;
    }
    // Users are many, and ask the same few endpoints.
    let mut hop_of_endpoint = vec![usize::MAX; causes.endpoints.len()];
    for (leg, &(from, to)) in causes.legs.iter().zip(&ends) {
        if std::mem::replace(&mut hop_of_endpoint[leg.endpoint], to) != to {
            let Endpoint { address: server, host, .. } = causes.endpoints[leg.endpoint];
            hops[to].hosts.insert(host);
            hops[to].addresses.insert(server.ip());
            hops[to].serves.insert(server);
        }
        hops[from].addresses.insert(leg.client);
        hops[to].exchanges += leg.exchanges;
        hops[from].exchanges += usize::from(leg.exchanges > 0);
    }
    for (hop, depth) in hops.iter_mut().zip(depths(count, &ends)) {
        hop.depth = depth;
    }
    order(&mut hops, &mut ends);
    Chain { hops, ends }
}

fn claims(lane: &LaneOverride, address: SocketAddr) -> bool {
    lane.serves.contains(&address)
}

/// The hop of each endpoint: first the user's lanes, then replicas together.
fn group(causes: &Causes, given: &[LaneOverride]) -> Vec<usize> {
    let count = causes.endpoints.len();
    let fixed: Vec<Option<usize>> = causes
        .endpoints
        .iter()
        .map(|e| {
            given
                .iter()
                .position(|lane| claims(lane, e.address))
                .or_else(|| given.iter().position(|lane| lane.addresses.contains(&e.address.ip())))
        })
        .collect();
    let mut parents: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
    for leg in &causes.legs {
        parents[leg.endpoint].extend(leg.parents.iter().map(|parent| parent.0));
    }
    let above = ancestors(&parents);
    // Sorted, as the legs are.
    let mut callers: Vec<Vec<IpAddr>> = vec![Vec::new(); count];
    for leg in &causes.legs {
        callers[leg.endpoint].push(leg.client);
    }
    let mut asking: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (at, leg) in causes.legs.iter().enumerate().filter(|(_, leg)| !leg.host.is_loopback()) {
        leg.parents.iter().for_each(|parent| asking[parent.0].push(at));
    }
    // One port of one machine is one process, whatever it is called over (IPv4 and IPv6), and so is what one address asks
    // the same for.
    let is_one_port = |a: usize, b: usize| {
        let [one, other] = [a, b].map(|at| &causes.endpoints[at]);
        let asks_for_both = || asking[a].iter().any(|leg| asking[b].binary_search(leg).is_ok());
        let is_local = |one: &Endpoint| one.address.ip().is_loopback();
        one.address.port() == other.address.port()
            && is_local(one) == is_local(other)
            && (one.host == other.host || asks_for_both())
            && share_work(one, other)
    };
    // By endpoint those that its requests lead to next.
    let mut next: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
    for leg in &causes.legs {
        leg.parents.iter().for_each(|parent| _ = next[parent.0].insert(leg.endpoint));
    }
    let share_callers =
        |a: usize, b: usize| callers[a].iter().any(|client| callers[b].binary_search(client).is_ok());
    // Of those that users ask nothing above tells that they are replicas, but that they ask on at one place, be it through
    // what stands beside each on its machine. On the loopback all have one address, and a port each.
    let is_beside = |at: usize| causes.endpoints[at].address.ip().is_loopback();
    let asks_on = |at: usize| -> BTreeSet<usize> {
        let mut found = next[at].clone();
        let mut open: Vec<usize> = if is_beside(at) { Vec::new() } else { found.iter().copied().collect() };
        while let Some(beside) = open.pop().filter(|_| found.len() < MOST_ASKED) {
            let more = next[beside].iter().copied().filter(|_| is_beside(beside));
            open.extend(more.filter(|&more| found.insert(more)));
        }
        found
    };
    let are_first = |a: usize, b: usize| {
        let [one, other] = [a, b].map(|at| &causes.endpoints[at]);
        let is_local = |at: &Endpoint| at.address.ip().is_loopback();
        let may_be = if is_local(one) {
            is_local(other) && one.host == other.host
        } else {
            one.address.port() == other.address.port()
        };
        may_be
            && parents[a].is_empty()
            && parents[b].is_empty()
            && !next[a].is_empty()
            && !next[b].is_empty()
            && share_callers(a, b)
            && share_work(one, other)
            && asks_on(a).intersection(&asks_on(b)).next().is_some()
    };
    // Endpoints are few against requests, and are only compared with those of the same address or port.
    let mut root: Vec<usize> = (0..count).collect();
    for round in 0..ROUNDS {
        let before = root.clone();
        for (a, b) in neighbours(&causes.endpoints) {
            let (first, second) = (find_root(&mut root, a), find_root(&mut root, b));
            if first == second {
                continue;
            }
            if fixed[a].is_some() || fixed[b].is_some() || above[a].contains(&b) || above[b].contains(&a) {
                continue;
            }
            let lanes = |at: usize| -> BTreeSet<usize> { parents[at].iter().map(|&p| before[p]).collect() };
            // Who is called by the host itself stands behind who is called from elsewhere (an auth service).
            let place = |at: usize| (causes.endpoints[at].address.ip(), causes.endpoints[at].host);
            if place(a) == place(b) && !share_callers(a, b) {
                continue;
            }
            if is_one_port(a, b)
                || are_first(a, b)
                || are_replicas(&causes.endpoints[a], &causes.endpoints[b], &lanes(a), &lanes(b))
            {
                root[first.max(second)] = first.min(second);
            }
        }
        // Each lies below what it stands for.
        for at in 0..count {
            root[at] = root[root[at]];
        }
        if round > 0 && before == root {
            break;
        }
    }
    // What never answered is of the service beside it only where there is but one.
    let mut services: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
    for at in (0..count).filter(|&at| fixed[at].is_none() && talks(&causes.endpoints[at])) {
        services.entry(causes.endpoints[at].address.ip()).or_default().push(at);
    }
    for at in (0..count).filter(|&at| fixed[at].is_none() && !talks(&causes.endpoints[at])) {
        let ip = causes.endpoints[at].address.ip();
        let Some(beside) = services.get(&ip).filter(|_| !ip.is_loopback()) else { continue };
        let is_one = beside.iter().all(|&other| root[other] == root[beside[0]]);
        if is_one && beside.iter().any(|&other| share_callers(at, other)) {
            root[at] = root[beside[0]];
        }
    }
    let mut numbers = BTreeMap::new();
    (0..count)
        .map(|at| match fixed[at] {
            Some(lane) => lane,
            None => {
                let next = given.len() + numbers.len();
                *numbers.entry(root[at]).or_insert(next)
            }
        })
        .collect()
}

/// What stands for an endpoint's hop, with the way there made shorter: a scan of all ports leaves tens of thousands.
fn find_root(root: &mut [usize], mut at: usize) -> usize {
    while root[at] != at {
        root[at] = root[root[at]];
        at = root[at];
    }
    at
}

/// Pairs of endpoints that might be replicas: neighbours by address, by port, and on one machine.
fn neighbours(endpoints: &[Endpoint]) -> Vec<(usize, usize)> {
    fn pairs<K: Ord>(endpoints: &[Endpoint], key: impl Fn(&Endpoint) -> K, out: &mut Vec<(usize, usize)>) {
        let mut list: Vec<usize> = (0..endpoints.len()).collect();
        list.sort_by_key(|&at| key(&endpoints[at]));
        for (at, &one) in list.iter().enumerate() {
            for &other in list[at + 1..].iter().take(16) {
                if key(&endpoints[one]) == key(&endpoints[other]) {
                    out.push((one.min(other), one.max(other)));
                }
            }
        }
    }
    let mut all = Vec::new();
    pairs(endpoints, |endpoint| endpoint.address.ip(), &mut all);
    pairs(endpoints, |endpoint| endpoint.address.port(), &mut all);
    pairs(endpoints, |endpoint| endpoint.host, &mut all);
    // Translated addresses are few, and what stands behind one may be anywhere.
    let behind: Vec<usize> = (0..endpoints.len()).filter(|&at| !endpoints[at].services.is_empty()).collect();
    let places: BTreeMap<SocketAddr, usize> = if behind.is_empty() {
        BTreeMap::new()
    } else {
        endpoints.iter().map(|one| one.address).zip(0..).collect()
    };
    for (at, &one) in behind.iter().enumerate() {
        let fronts = endpoints[one].services.iter().filter_map(|service| places.get(service));
        all.extend(fronts.map(|&other| (one.min(other), one.max(other))));
        all.extend(behind[at + 1..].iter().take(MOST_BEHIND).map(|&other| (one, other)));
    }
    all
}

fn talks(endpoint: &Endpoint) -> bool {
    endpoint.exchanges > 0
}

fn are_replicas(a: &Endpoint, b: &Endpoint, over_a: &BTreeSet<usize>, over_b: &BTreeSet<usize>) -> bool {
    // Of some connections nobody saw whom the service chose.
    let stands_for = |a: &Endpoint, b: &Endpoint| a.services.contains(&b.address);
    if a.services.intersection(&b.services).next().is_some() || stands_for(a, b) || stands_for(b, a) {
        return true;
    }
    let siblings = !over_a.is_empty() && over_a.intersection(over_b).next().is_some();
    let same_host = a.address.ip() == b.address.ip() && !a.address.ip().is_loopback();
    let roots = over_a.is_empty() && over_b.is_empty();
    if same_host && (roots && talks(a) == talks(b) || !talks(a) && !talks(b)) {
        return true;
    }
    // Several services on one host, each asked for other things, are no replicas.
    siblings && share_work(a, b)
}

/// Whether two endpoints are asked for the same kinds of things.
fn share_work(a: &Endpoint, b: &Endpoint) -> bool {
    let common = a.shapes.iter().filter(|shape| b.shapes.binary_search(shape).is_ok()).count();
    common * 2 >= a.shapes.len().min(b.shapes.len()).max(1)
}

/// All endpoints above each endpoint.
fn ancestors(parents: &[BTreeSet<usize>]) -> Vec<BTreeSet<usize>> {
    let mut above = parents.to_vec();
    for _ in 0..8 {
        let last = above.clone();
        for set in &mut above {
            let more: Vec<usize> = set.iter().flat_map(|&p| last[p].iter().copied()).collect();
            set.extend(more);
        }
        if above == last {
            break;
        }
    }
    above
}

/// Merges the hops with the least traffic into one where there are too many to show.
fn limit(causes: &Causes, hop_of: &mut [usize], given: usize) {
    let mut traffic: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for (endpoint, &hop) in causes.endpoints.iter().zip(hop_of.iter()) {
        let sums = traffic.entry(hop).or_default();
        sums.0 += endpoint.exchanges;
        sums.1 += endpoint.connections;
    }
    let calls: BTreeSet<usize> =
        causes.legs.iter().flat_map(|leg| leg.parents.iter().map(|p| hop_of[p.0])).collect();
    let mut small: Vec<_> =
        traffic.into_iter().filter(|(hop, _)| *hop >= given && !calls.contains(hop)).collect();
    if small.len() <= MOST_LANES {
        return;
    }
    small.sort_by_key(|&(hop, sums)| (std::cmp::Reverse(sums), hop));
    let rest: BTreeSet<usize> = small[MOST_LANES..].iter().map(|(hop, _)| *hop).collect();
    let Some(&into) = rest.first() else { return };
    hop_of.iter_mut().filter(|hop| rest.contains(hop)).for_each(|hop| *hop = into);
}

/// Who connects on each leg: the hop whose requests cause it, else the hop of that address, else clients.
fn callers(
    causes: &Causes,
    hop_of: &[usize],
    served: usize,
    given: &[LaneOverride],
    recording_of: &[usize],
) -> Vec<(usize, usize)> {
    let mut edges: Vec<(usize, usize, usize, usize)> = Vec::new();
    let mut by_host: BTreeMap<IpAddr, BTreeSet<usize>> = BTreeMap::new();
    for (endpoint, &hop) in causes.endpoints.iter().zip(hop_of) {
        // What is served on the loopback stands behind what is served to others.
        if !endpoint.address.ip().is_loopback() {
            by_host.entry(endpoint.host).or_default().insert(hop);
        }
    }
    let voted: Vec<Option<usize>> = causes.legs.iter().map(|leg| voted(leg, hop_of)).collect();
    let mut asking: BTreeMap<IpAddr, BTreeSet<usize>> = BTreeMap::new();
    for (leg, hop) in causes.legs.iter().zip(&voted).filter(|(leg, _)| !leg.client.is_loopback()) {
        // Of most legs none is known.
        if let Some(hop) = hop {
            asking.entry(leg.host).or_default().insert(*hop);
        }
    }
    for (at, leg) in causes.legs.iter().enumerate() {
        let to = hop_of[leg.endpoint];
        let named = given.iter().position(|lane| lane.addresses.contains(&leg.client));
        let hosts = by_host.get(&leg.host).filter(|_| !leg.client.is_loopback());
        let neighbour = hosts.and_then(|hops| hops.iter().copied().find(|&hop| hop != to));
        // Who asks one from its address asks others from it too.
        let alone = asking.get(&leg.host).filter(|hops| hops.len() == 1).and_then(BTreeSet::first).copied();
        // Stronger statements first, so that a weak one never shuts out a strong one by making a circle.
        match (named, voted[at], neighbour.or(alone)) {
            (Some(hop), _, _) if hop != to => edges.push((0, at, hop, to)),
            (_, Some(hop), _) if hop != to => edges.push((1, at, hop, to)),
            (_, _, Some(hop)) if hop != to => edges.push((2, at, hop, to)),
            _ => edges.push((3, at, usize::MAX, to)),
        }
    }
    edges.sort_unstable();
    let mut below: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut ends = vec![(usize::MAX, 0); causes.legs.len()];
    for (_, leg, from, to) in edges {
        ends[leg].1 = to;
        if from != usize::MAX && !reaches(to, from, |hop| below.get(&hop).into_iter().flatten().copied()) {
            below.entry(from).or_default().insert(to);
            ends[leg].0 = from;
        }
    }
    add_clients(&mut ends, causes, &below, served.max(given.len()), recording_of);
    ends
}

/// The hop that most of a leg's requests name as the one they are asked for.
fn voted(leg: &Leg, hop_of: &[usize]) -> Option<usize> {
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    for &(parent, count) in &leg.parents {
        *votes.entry(hop_of[parent]).or_default() += count;
    }
    votes.into_iter().max_by_key(|&(hop, count)| (count, std::cmp::Reverse(hop))).map(|(hop, _)| hop)
}

/// Whether steps lead from one place to another, over however many; `next` gives the places one step away.
pub(super) fn reaches<T: Copy + Ord, I: IntoIterator<Item = T>>(
    from: T,
    to: T,
    next: impl Fn(T) -> I,
) -> bool {
    let (mut stack, mut met) = (vec![from], BTreeSet::new());
    while let Some(place) = stack.pop() {
        if place == to {
            return true;
        }
        if met.insert(place) {
            stack.extend(next(place));
        }
    }
    false
}

/// Gives the legs that nobody explains their clients: one lane for the first hops of each recording, and one for those who
/// also call hops deeper in the chain from outside (health checks), be it several of them.
fn add_clients(
    ends: &mut [(usize, usize)],
    causes: &Causes,
    below: &BTreeMap<usize, BTreeSet<usize>>,
    mut next: usize,
    recording_of: &[usize],
) {
    let called: BTreeSet<usize> = below.values().flatten().copied().collect();
    let deeper = |hop: usize| called.contains(&hop).then_some(hop);
    let open: Vec<usize> = (0..ends.len()).filter(|&leg| ends[leg].0 == usize::MAX).collect();
    let mut clients: BTreeMap<(Option<usize>, usize), BTreeSet<IpAddr>> = BTreeMap::new();
    for &leg in &open {
        let group = clients.entry((deeper(ends[leg].1), recording_of[leg])).or_default();
        group.insert(causes.legs[leg].client);
    }
    // On the loopback everybody has one address.
    let who = |group: &(Option<usize>, usize)| {
        let clients = &clients[group];
        let is_told = group.0.is_some() && clients.iter().all(|client| !client.is_loopback());
        (is_told.then_some(clients), group.0.filter(|_| !is_told), group.1)
    };
    let mut lanes = BTreeMap::new();
    for leg in open {
        let group = (deeper(ends[leg].1), recording_of[leg]);
        ends[leg].0 = *lanes.entry(who(&group)).or_insert_with(|| {
            next += 1;
            next - 1
        });
    }
}

/// How far each hop is from the hops that nobody calls.
fn depths(count: usize, ends: &[(usize, usize)]) -> Vec<u16> {
    let mut edges: Vec<(usize, usize)> = ends.to_vec();
    edges.sort_unstable();
    edges.dedup();
    let mut depths = vec![0u16; count];
    for _ in 0..count {
        let mut changed = false;
        for &(from, to) in &edges {
            if from != to && depths[to] <= depths[from] {
                depths[to] = depths[from].saturating_add(1);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    depths
}

/// Sorts the hops from the user's side to the application's side and renumbers the legs' ends.
fn order(hops: &mut Vec<Hop>, ends: &mut [(usize, usize)]) {
    let mut order: Vec<usize> = (0..hops.len()).collect();
    order.retain(|&at| hops[at].given.is_some() || !hops[at].addresses.is_empty());
    // Who only asks hops that others ask too stands behind the users.
    let inner: BTreeSet<usize> =
        ends.iter().filter(|ends| !hops[ends.0].serves.is_empty()).map(|ends| ends.1).collect();
    let first: BTreeSet<usize> =
        ends.iter().filter(|ends| !inner.contains(&ends.1)).map(|ends| ends.0).collect();
    order.sort_by(|&a, &b| {
        let is_aside = |at: usize| hops[at].serves.is_empty() && !first.contains(&at);
        let key = |at: usize| {
            let hop = &hops[at];
            (hop.rank, hop.depth, is_aside(at), std::cmp::Reverse(hop.exchanges))
        };
        key(a).cmp(&key(b)).then_with(|| {
            (hops[a].serves.first(), hops[a].addresses.first())
                .cmp(&(hops[b].serves.first(), hops[b].addresses.first()))
        })
    });
    // The user's lanes keep their order; those found go where their depth puts them between them.
    if order.iter().any(|&at| hops[at].given.is_some()) {
        let (given, found): (Vec<usize>, Vec<usize>) =
            order.iter().partition(|&&at| hops[at].given.is_some());
        order = given;
        for at in found {
            let place = order.iter().position(|&other| hops[other].depth > hops[at].depth);
            order.insert(place.unwrap_or(order.len()), at);
        }
    }
    let mut new = vec![0; hops.len()];
    for (at, &old) in order.iter().enumerate() {
        new[old] = at;
    }
    for (from, to) in ends {
        (*from, *to) = (new[*from], new[*to]);
    }
    *hops = order.into_iter().map(|at| std::mem::take(&mut hops[at])).collect();
}

impl Chain {
    /// For each hop those that its requests lead to, over however many.
    pub(super) fn below(&self) -> Vec<BTreeSet<usize>> {
        let mut next: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.hops.len()];
        for &(from, to) in &self.ends {
            next[from].insert(to);
        }
        let all = |hop: usize| {
            let (mut stack, mut met): (Vec<usize>, _) =
                (next[hop].iter().copied().collect(), BTreeSet::new());
            while let Some(hop) = stack.pop() {
                if met.insert(hop) {
                    stack.extend(&next[hop]);
                }
            }
            met
        };
        (0..self.hops.len()).map(all).collect()
    }

    /// The role of each hop.
    pub(super) fn roles(&self) -> Vec<Role> {
        let (mut calls, mut called) = (vec![false; self.hops.len()], vec![false; self.hops.len()]);
        for &(from, to) in &self.ends {
            calls[from] = true;
            called[to] = true;
        }
        let role = |(calls, called)| match (calls, called) {
            (true, true) => Role::Proxy,
            (true, false) => Role::Client,
            (false, _) => Role::Server,
        };
        calls.into_iter().zip(called).map(role).collect()
    }
}
