//! Which endpoint's requests cause those that arrive at another: votes from requests inside requests.
//!
//! ```text
//!   nginx:80      |------------ GET /a ------------|          an ancestor
//!   ingress:8080     |-------- GET /a --------|               the innermost: the parent
//!   uwsgi:8000          |---- GET /a ----|                    the request that votes
//! ```

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use crate::http::CaptureFacts;

use super::keys::{request_key, shape_key, suffix_key};
use super::lanes::Seen;

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Requests looked at in all; captures with more are sampled by time, so that parents and children stay together.
const SAMPLE: usize = 120_000;
/// Stretches of time that the sample is taken from.
const WINDOWS: i64 = 16;
/// Requests that vote for each leg.
const VOTERS: usize = 1_024;
/// Earlier requests of the same method and target that a vote looks at.
const LOOK_BACK: usize = 512;
/// Weight of a vote that leaves no choice: at most one request of each endpoint holds the voter. By chance a
/// request holds others of the same target, more so the more of them are in flight.
const CLEAR: usize = 16;
/// Weight of votes from which on a leg needs no support by others.
const STRONG: usize = 6 * CLEAR;
/// Nobody is called an ancestor on fewer than this share of the votes, in percent.
const LEAST_SHARE: usize = 50;

/// The clients of one address that call one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub client: IpAddr,
    /// Index into [`Causes::endpoints`].
    pub endpoint: usize,
    /// Endpoints whose requests cause this leg's, with the number of votes, most first.
    pub parents: Vec<(usize, usize)>,
    /// Requests that voted.
    pub voters: usize,
    /// Exchanges seen on it.
    pub exchanges: usize,
}

/// An address that accepts connections.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub address: SocketAddr,
    pub exchanges: usize,
    pub connections: usize,
    /// Kinds of resources asked for there, as hashes, sorted.
    pub shapes: Vec<u64>,
}

/// All legs and endpoints, and who causes whom.
#[derive(Debug, Default)]
pub(super) struct Causes {
    pub endpoints: Vec<Endpoint>,
    pub legs: Vec<Leg>,
    /// The leg of each connection, in the order of the input.
    pub leg_of: Vec<usize>,
}

/// A request of the sample.
#[derive(Clone, Copy)]
struct Request {
    key: u64,
    start: i64,
    /// End of the answer; `None` when no whole answer was seen.
    end: Option<i64>,
    leg: u32,
    endpoint: u32,
    tolerance: i64,
    votes: bool,
}

/// Finds legs and endpoints, and lets requests vote for the endpoint whose requests cause them.
pub(super) fn find(seen: &Seen<'_>) -> Causes {
    let mut causes = legs(seen);
    if causes.endpoints.iter().filter(|endpoint| endpoint.exchanges > 0).count() > 1 {
        let sample = Sample::of(seen);
        let exact = sample.requests(seen, &mut causes, request_key);
        vote(&mut causes, &exact);
        // A hop may cut or add a prefix: what is unexplained asks again by the target's end.
        if causes.legs.iter().any(|leg| leg.voters > 0 && leg.parents.is_empty()) {
            let loose = sample.requests(seen, &mut causes, suffix_key);
            vote(&mut causes, &loose);
        }
    }
    causes
}

fn legs(seen: &Seen<'_>) -> Causes {
    let mut addresses: Vec<SocketAddr> = seen.ends.iter().map(|ends| ends.1).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut causes = Causes {
        endpoints: addresses
            .into_iter()
            .map(|address| Endpoint { address, exchanges: 0, connections: 0, shapes: Vec::new() })
            .collect(),
        ..Causes::default()
    };
    let mut known: Vec<(IpAddr, SocketAddr)> =
        seen.ends.iter().map(|(client, server)| (client.ip(), *server)).collect();
    known.sort_unstable();
    known.dedup();
    for &(client, server) in &known {
        let endpoint = causes.endpoints.partition_point(|e| e.address < server);
        causes.legs.push(Leg { client, endpoint, parents: Vec::new(), voters: 0, exchanges: 0 });
    }
    for at in 0..seen.len() {
        let flow = seen.flow(at);
        let (client, server) = seen.ends[at];
        let leg = known.partition_point(|leg| *leg < (client.ip(), server));
        let endpoint = causes.legs[leg].endpoint;
        causes.legs[leg].exchanges += flow.exchanges.len();
        causes.endpoints[endpoint].exchanges += flow.exchanges.len();
        causes.endpoints[endpoint].connections += 1;
        causes.leg_of.push(leg);
    }
    causes
}

/// The stretches of time that votes come from.
struct Sample {
    first: i64,
    period: i64,
    width: i64,
}

impl Sample {
    fn of(seen: &Seen<'_>) -> Self {
        let total: usize = (0..seen.len()).map(|at| seen.flow(at).exchanges.len()).sum();
        let first = (0..seen.len()).map(|at| seen.time(at, seen.flow(at).first.0)).min().unwrap_or_default();
        let last = (0..seen.len()).map(|at| seen.time(at, seen.flow(at).last.0)).max().unwrap_or_default();
        let period = (last.saturating_sub(first).max(0) / WINDOWS).saturating_add(1);
        let width = if total <= SAMPLE {
            period
        } else {
            (i128::from(period) * SAMPLE as i128 / total as i128) as i64
        };
        Self { first, period, width }
    }

    fn holds(&self, at: i64) -> bool {
        at.saturating_sub(self.first).rem_euclid(self.period) <= self.width
    }

    /// The requests of the sample, sorted by key and start.
    fn requests(
        &self,
        seen: &Seen<'_>,
        causes: &mut Causes,
        key: fn(&CaptureFacts, &crate::http::Exchange) -> u64,
    ) -> Vec<Request> {
        let mut all = Vec::new();
        for at in 0..seen.len() {
            let (facts, flow) = (seen.facts(at), seen.flow(at));
            let leg = causes.leg_of[at];
            let endpoint = causes.legs[leg].endpoint;
            let tolerance = seen.tolerance(at);
            for exchange in facts.exchanges_of(flow).iter().filter(|x| x.request.is_present()) {
                let start = seen.time(at, exchange.request.start);
                if !self.holds(start) {
                    continue;
                }
                let shapes = &mut causes.endpoints[endpoint].shapes;
                if shapes.len() < 512 {
                    shapes.push(shape_key(facts, exchange));
                }
                all.push(Request {
                    key: key(facts, exchange) ^ u64::from(exchange.request.body_crc),
                    start,
                    end: exchange.response.is_complete().then(|| seen.time(at, exchange.response.end)),
                    leg: leg as u32,
                    endpoint: endpoint as u32,
                    tolerance,
                    votes: causes.legs[leg].parents.is_empty(),
                });
            }
        }
        for endpoint in &mut causes.endpoints {
            endpoint.shapes.sort_unstable();
            endpoint.shapes.dedup();
        }
        all.sort_unstable_by_key(|r| (r.key, r.start, r.endpoint, r.leg));
        thin_out(&mut all, causes.legs.len());
        all
    }
}

/// Leaves the vote to evenly spread requests of each leg.
fn thin_out(requests: &mut [Request], legs: usize) {
    let mut of_leg = vec![0usize; legs];
    for request in requests.iter() {
        of_leg[request.leg as usize] += 1;
    }
    let steps: Vec<usize> = of_leg.iter().map(|count| count.div_ceil(VOTERS).max(1)).collect();
    let mut next = vec![0usize; legs];
    for request in requests {
        let leg = request.leg as usize;
        request.votes &= next[leg].is_multiple_of(steps[leg]);
        next[leg] += 1;
    }
}

fn vote(causes: &mut Causes, requests: &[Request]) {
    let endpoints = causes.endpoints.len();
    // Per leg: how many votes name an endpoint as an ancestor at all, and as the innermost one.
    let mut inside: FixedMap<(u32, u32), (usize, usize)> = FixedMap::default();
    let mut voters = vec![0usize; causes.legs.len()];
    // By endpoint: latest start of a request that holds the voter, and how many do.
    let mut innermost: Vec<(u32, i64, usize)> = Vec::new();
    for (at, request) in requests.iter().enumerate().filter(|(_, r)| r.votes) {
        innermost.clear();
        let same = requests[at..]
            .iter()
            .take(8)
            .skip(1)
            .take_while(|p| p.start <= request.start.saturating_add(p.tolerance));
        let earlier = requests[..at].iter().rev().take(LOOK_BACK);
        for parent in
            earlier.take_while(|p| p.key == request.key).chain(same.filter(|p| p.key == request.key))
        {
            if parent.endpoint == request.endpoint || !holds(parent, request) {
                continue;
            }
            match innermost.iter_mut().find(|known| known.0 == parent.endpoint) {
                Some(known) => (known.1, known.2) = (known.1.max(parent.start), known.2 + 1),
                None => innermost.push((parent.endpoint, parent.start, 1)),
            }
        }
        let weight = if innermost.iter().all(|known| known.2 == 1) { CLEAR } else { 1 };
        voters[request.leg as usize] += weight;
        for (endpoint, ..) in &innermost {
            inside.entry((request.leg, *endpoint)).or_default().0 += weight;
        }
        if let Some((endpoint, ..)) = innermost.iter().max_by_key(|known| (known.1, known.0)) {
            inside.entry((request.leg, *endpoint)).or_default().1 += weight;
        }
    }
    // Endpoint over endpoint, in percent of the votes of the lower one.
    let mut over: FixedMap<(usize, usize), usize> = FixedMap::default();
    let mut asked = vec![0usize; endpoints];
    for (leg, count) in voters.iter().enumerate() {
        asked[causes.legs[leg].endpoint] += count;
    }
    for (&(leg, upper), &(any, _)) in &inside {
        *over.entry((upper as usize, causes.legs[leg as usize].endpoint)).or_default() += any;
    }
    let share = |upper: usize, lower: usize| {
        over.get(&(upper, lower)).map_or(0, |count| count * 100 / asked[lower].max(1))
    };
    let durations = median_durations(requests, endpoints);
    let mut ballots: Vec<_> = inside.into_iter().collect();
    ballots.sort_unstable();
    for ((leg, upper), (_, votes)) in ballots {
        let lower = causes.legs[leg as usize].endpoint;
        // By chance a slow request below holds a quick one above: the way round that most say counts.
        let upper_share = share(upper as usize, lower);
        let lower_share = share(lower, upper as usize);
        let is_above = if upper_share.abs_diff(lower_share) > 20 {
            upper_share > lower_share
        } else {
            // Who waits for the other takes longer.
            durations[upper as usize] > durations[lower]
        };
        if votes > 0 && is_above {
            causes.legs[leg as usize].parents.push((upper as usize, votes));
        }
    }
    let mut known: FixedMap<(usize, usize), ()> = FixedMap::default();
    for (leg, &count) in causes.legs.iter().zip(&voters) {
        if count >= STRONG {
            let main = leg.parents.iter().filter(|(_, votes)| votes * 100 >= count * LEAST_SHARE);
            known.extend(main.map(|&(upper, _)| ((upper, leg.endpoint), ())));
        }
    }
    for (leg, count) in causes.legs.iter_mut().zip(voters) {
        // One request inside another of the same target may be chance: legs of few requests need support.
        if count > 0 && count < STRONG {
            let lower = leg.endpoint;
            leg.parents
                .retain(|&(upper, _)| known.contains_key(&(upper, lower)) || share(upper, lower) >= 30);
        }
        leg.voters = leg.voters.max(count);
        settle(leg, count);
    }
}

/// The median time to a whole answer at each endpoint, in nanoseconds.
fn median_durations(requests: &[Request], endpoints: usize) -> Vec<i64> {
    let mut all = vec![Vec::new(); endpoints];
    for request in requests {
        if let Some(end) = request.end {
            all[request.endpoint as usize].push(end.saturating_sub(request.start));
        }
    }
    let median = |mut list: Vec<i64>| {
        list.sort_unstable();
        list.get(list.len() / 2).copied().unwrap_or_default()
    };
    all.into_iter().map(median).collect()
}

/// Whether a request may have caused another, by time alone.
fn holds(parent: &Request, child: &Request) -> bool {
    let tolerance = parent.tolerance.saturating_add(child.tolerance);
    let starts = parent.start <= child.start.saturating_add(tolerance);
    let ends = match (parent.end, child.end) {
        (Some(parent), Some(child)) => child <= parent.saturating_add(tolerance),
        (Some(parent), None) => child.start <= parent.saturating_add(tolerance),
        (None, _) => child.start.saturating_sub(parent.start) < 60_000_000_000,
    };
    starts && ends
}

/// Keeps the parents of a leg that enough votes name.
fn settle(leg: &mut Leg, voters: usize) {
    if voters == 0 {
        return;
    }
    let total: usize = leg.parents.iter().map(|parent| parent.1).sum();
    if total * 100 < voters * LEAST_SHARE {
        leg.parents.clear();
        return;
    }
    leg.parents.sort_by_key(|&(endpoint, votes)| (std::cmp::Reverse(votes), endpoint));
    let most = leg.parents.first().map_or(0, |parent| parent.1);
    leg.parents.retain(|parent| parent.1 * 8 >= most);
}
