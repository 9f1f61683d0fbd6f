//! Which endpoint's requests cause those that arrive at another: votes from requests inside requests.
//!
//! ```text
//!   nginx:80      |------------ GET /a ------------|          an ancestor
//!   ingress:8080     |-------- GET /a --------|               the innermost: the parent
//!   uwsgi:8000          |---- GET /a ----|                    the request that votes
//! ```

mod sample;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::capture::CaptureId;
use crate::http::{CaptureFacts, Exchange};

use super::between;
use super::by_time;
use super::gateways;
use super::keys::{IdHeaders, lacks_body};
use super::lanes::Seen;
use super::orders::Orders;
use super::recordings::Apart;
use super::redirected;
use super::replicas;
use super::votes::vote;
use sample::{Columns, Scratch, note_shapes};
pub(super) use sample::{Moment, Sample, ends};

/// The clients of one address that call one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub client: IpAddr,
    /// What stands for the client's machine, as in [`Endpoint::host`].
    pub host: IpAddr,
    /// Index into [`Causes::endpoints`].
    pub endpoint: usize,
    /// Endpoints whose requests cause this leg's, with the number of votes, most first.
    pub parents: Vec<(usize, usize)>,
    /// Ids told the parents.
    pub is_told_by_id: bool,
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
    /// Method and target: a body that broke off, or that one capture holds and another cut, says nothing.
    AnyBody,
}

/// An address that accepts connections.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub address: SocketAddr,
    /// The first address known of its machine; machines have a loopback each.
    pub host: IpAddr,
    pub exchanges: usize,
    pub connections: usize,
    /// Kinds of resources asked for there, as hashes, sorted.
    pub shapes: Vec<u64>,
    /// The addresses by which clients called it, where those were translated.
    pub services: BTreeSet<SocketAddr>,
}

/// All legs and endpoints, and who causes whom.
#[derive(Debug, Default)]
pub(super) struct Causes {
    pub endpoints: Vec<Endpoint>,
    /// By client, then by endpoint.
    pub legs: Vec<Leg>,
    /// The leg of each connection, in the order of the input.
    pub leg_of: Vec<usize>,
}

impl Causes {
    /// Whether clients of this address call an endpoint.
    pub(super) fn is_asked_by(&self, endpoint: usize, client: IpAddr) -> bool {
        self.legs.binary_search_by_key(&(client, endpoint), |leg| (leg.client, leg.endpoint)).is_ok()
    }
}

/// A request of the sample.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub key: u64,
    pub start: i64,
    /// When its client had a reason to ask: it opened the connection for this request, where that is seen; else `start`.
    pub begun: i64,
    /// End of the answer; `None` when no whole answer was seen that the client waited for.
    pub end: Option<i64>,
    /// That answer told of an error of the server's, or of those behind it.
    pub is_error: bool,
    /// Without such an answer: when one of the two gave up the connection.
    pub over: Option<i64>,
    pub leg: u32,
    pub endpoint: u32,
    pub capture: CaptureId,
    /// The group of captures whose clocks agree.
    pub group: u16,
    pub tolerance: i64,
    pub votes: bool,
}

/// A voter that has nobody to vote for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alone {
    pub leg: u32,
    pub key: u64,
    pub start: i64,
    pub group: u16,
}

/// Who takes part in a vote.
pub(super) struct Electorate {
    /// Sorted by key and start.
    pub requests: Vec<Request>,
    /// Voters whose key was seen at no other endpoint, so that they have nobody to vote for, by leg and key. The same
    /// asked again (a health check) tells nothing new: of each key there is one.
    pub alone: Vec<Alone>,
    /// By leg: one request of so many votes.
    pub steps: Vec<usize>,
    /// By capture: the group of its clock, and its first and last time.
    pub spans: Vec<(u16, i64, i64)>,
    /// By leg: all requests of the sample.
    pub asked: Vec<usize>,
}

/// Finds legs and endpoints, and lets requests vote for the endpoint whose requests cause them: first by ids,
/// then by target, then by the target's end, since a hop may cut or add a prefix, then with any body.
pub(super) fn find(seen: &Seen<'_>, ids: &IdHeaders, apart: &Apart) -> Causes {
    let mut causes = legs(seen);
    if causes.endpoints.iter().filter(|endpoint| endpoint.exchanges > 0).count() > 1 {
        follow_requests(seen, ids, apart, &mut causes);
    }
    gateways::follow(seen, &mut causes);
    redirected::follow(seen, &mut causes);
    for endpoint in &mut causes.endpoints {
        endpoint.shapes.sort_unstable();
        endpoint.shapes.dedup();
    }
    causes
}

fn follow_requests(seen: &Seen<'_>, ids: &IdHeaders, apart: &Apart, causes: &mut Causes) {
    let sample = Sample::of(seen);
    let sampled = sample.all(seen, causes);
    let mut orders = Orders::by_address(causes);
    let by_ids = (0..ids.len() as u8).map(Common::Id);
    let cannot_tell =
        |facts: &Arc<CaptureFacts>| facts.exchanges.iter().any(|x| broke_off(x) || lacks_body(x));
    let any_body = seen.captures.iter().any(cannot_tell).then_some(Common::AnyBody);
    let columns = Columns::of(seen, &sampled, ids);
    let mut scratch = Scratch::default();
    for common in by_ids.chain([Common::Target, Common::TargetEnd]).chain(any_body) {
        let open = |leg: &Leg| leg.exchanges > 0 && leg.parents.is_empty();
        if !causes.legs.iter().any(open) {
            break;
        }
        if common == Common::Target {
            note_shapes(seen, causes, &sampled);
        }
        scratch.gather_keys(&sampled, &columns, common);
        let electorate = sample.requests(seen, causes, &sampled, common, &mut scratch);
        vote(causes, &electorate, common, &mut orders, apart);
        scratch.alone = electorate.alone;
        if matches!(common, Common::Id(_)) {
            causes.legs.iter_mut().for_each(|leg| leg.is_told_by_id = !leg.parents.is_empty());
        }
    }
    between::step_in(causes);
    replicas::follow(causes);
    by_time::follow(seen, causes, &sample);
}

/// Whether a request did not come to its end.
fn broke_off(exchange: &Exchange) -> bool {
    exchange.request.is_present() && !exchange.request.is_complete()
}

fn legs(seen: &Seen<'_>) -> Causes {
    // With its place each, so that nobody's leg has to be looked for.
    let mut callers: Vec<(IpAddr, SocketAddr, IpAddr, usize)> = Vec::with_capacity(seen.ends.len());
    for (at, (client, server)) in seen.ends.iter().enumerate() {
        callers.push((client.ip(), *server, seen.hosts.in_capture(server.ip(), seen.capture(at)), at));
    }
    callers.sort_unstable();
    let mut places: Vec<(SocketAddr, IpAddr)> = callers.iter().map(|caller| (caller.1, caller.2)).collect();
    places.sort_unstable();
    places.dedup();
    let endpoint = |(address, host): (SocketAddr, IpAddr)| Endpoint {
        address,
        host,
        exchanges: 0,
        connections: 0,
        shapes: Vec::new(),
        services: seen.services.get(&address).cloned().unwrap_or_default(),
    };
    let mut causes =
        Causes { endpoints: places.iter().copied().map(endpoint).collect(), ..Causes::default() };
    causes.leg_of = vec![0; callers.len()];
    for same in callers.chunk_by(|a, b| (a.0, a.1, a.2) == (b.0, b.1, b.2)) {
        let (client, server, server_host, at) = same[0];
        let endpoint = places.partition_point(|place| *place < (server, server_host));
        let host = seen.hosts.in_capture(client, seen.capture(at));
        same.iter().for_each(|caller| causes.leg_of[caller.3] = causes.legs.len());
        causes.legs.push(Leg {
            client,
            host,
            endpoint,
            parents: Vec::new(),
            is_told_by_id: false,
            exchanges: 0,
        });
    }
    for (at, &leg) in causes.leg_of.iter().enumerate() {
        let exchanges = seen.flow(at).exchanges.len();
        let endpoint = causes.legs[leg].endpoint;
        causes.legs[leg].exchanges += exchanges;
        causes.endpoints[endpoint].exchanges += exchanges;
        causes.endpoints[endpoint].connections += 1;
    }
    causes
}
