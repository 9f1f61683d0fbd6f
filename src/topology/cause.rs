//! Which endpoint's requests cause those that arrive at another: votes from requests inside requests.
//!
//! ```text
//!   nginx:80      |------------ GET /a ------------|          an ancestor
//!   ingress:8080     |-------- GET /a --------|               the innermost: the parent
//!   uwsgi:8000          |---- GET /a ----|                    the request that votes
//! ```

use std::net::{IpAddr, SocketAddr};

use crate::capture::CaptureId;

use super::keys::{IdHeaders, IdNames, request_key, shape_key, suffix_key};
use super::lanes::Seen;
use super::recordings::Apart;
use super::votes::{Orders, vote};

/// Requests looked at in all; captures with more are sampled by time, so that parents and children stay together.
const SAMPLE: usize = 120_000;
/// Stretches of time that the sample is taken from.
const WINDOWS: i64 = 16;
/// Requests that vote for each leg.
const VOTERS: usize = 1_024;

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
    /// What its requests have in common with those of the parents.
    pub by: Option<Common>,
    /// Exchanges seen on it.
    pub exchanges: usize,
}

/// What requests of neighbouring hops are told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Common {
    /// An id header, by its rank.
    Id(u8),
    /// Method, target and body.
    Target,
    /// Method, body and the end of the target.
    TargetEnd,
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
pub(super) struct Request {
    pub key: u64,
    pub start: i64,
    /// End of the answer; `None` when no whole answer was seen.
    pub end: Option<i64>,
    pub leg: u32,
    pub endpoint: u32,
    pub capture: CaptureId,
    /// The group of captures whose clocks agree.
    pub group: u16,
    pub tolerance: i64,
    pub votes: bool,
}

/// Finds legs and endpoints, and lets requests vote for the endpoint whose requests cause them: first by ids,
/// then by target, then by the target's end, since a hop may cut or add a prefix.
pub(super) fn find(seen: &Seen<'_>, ids: &IdHeaders, apart: &Apart) -> Causes {
    let mut causes = legs(seen);
    if causes.endpoints.iter().filter(|endpoint| endpoint.exchanges > 0).count() < 2 {
        return causes;
    }
    let sample = Sample::of(seen);
    let mut orders = Orders::default();
    let by_ids = (0..ids.len() as u8).map(Common::Id);
    for common in by_ids.chain([Common::Target, Common::TargetEnd]) {
        let open = |leg: &Leg| leg.exchanges > 0 && leg.parents.is_empty();
        if !causes.legs.iter().any(open) {
            break;
        }
        let requests = sample.requests(seen, &mut causes, ids, common);
        vote(&mut causes, &requests, common, &mut orders, apart);
    }
    for endpoint in &mut causes.endpoints {
        endpoint.shapes.sort_unstable();
        endpoint.shapes.dedup();
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
        causes.legs.push(Leg { client, endpoint, parents: Vec::new(), voters: 0, by: None, exchanges: 0 });
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
        ids: &IdHeaders,
        common: Common,
    ) -> Vec<Request> {
        let names: Vec<IdNames> = seen.captures.iter().map(|facts| ids.of(facts)).collect();
        let mut all = Vec::new();
        for at in 0..seen.len() {
            let (facts, flow, capture) = (seen.facts(at), seen.flow(at), seen.capture(at));
            let leg = causes.leg_of[at];
            let endpoint = causes.legs[leg].endpoint;
            for exchange in facts.exchanges_of(flow).iter().filter(|x| x.request.is_present()) {
                let start = seen.time(at, exchange.request.start);
                if !self.holds(start) {
                    continue;
                }
                let body = u64::from(exchange.request.body_crc);
                let key = match common {
                    Common::Id(rank) => names[capture.index()].ids(facts, exchange)[usize::from(rank)],
                    Common::Target => request_key(facts, exchange) ^ body,
                    Common::TargetEnd => suffix_key(facts, exchange) ^ body,
                };
                let shapes = &mut causes.endpoints[endpoint].shapes;
                if common == Common::Target && shapes.len() < 512 {
                    shapes.push(shape_key(facts, exchange));
                }
                if key == 0 {
                    continue;
                }
                all.push(Request {
                    key,
                    start,
                    end: exchange.response.is_complete().then(|| seen.time(at, exchange.response.end)),
                    leg: leg as u32,
                    endpoint: endpoint as u32,
                    capture,
                    group: seen.clocks[capture.index()].group,
                    tolerance: seen.tolerance(at),
                    votes: causes.legs[leg].parents.is_empty(),
                });
            }
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
