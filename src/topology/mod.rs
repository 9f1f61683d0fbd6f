//! Connections to lanes and links: which process sits where in the chain, and how the captures' clocks agree.

mod asked_for;
mod between;
mod by_hash;
mod by_time;
mod cause;
mod clocks;
mod closer;
mod copies;
mod edits;
mod fit;
mod forwarding;
mod gateways;
mod heal;
mod hosts;
pub(crate) mod inside;
pub(crate) mod keys;
mod labels;
mod lanes;
mod merge;
mod model;
mod names;
mod nat;
mod orders;
mod products;
mod recordings;
mod redirected;
mod remark;
mod replicas;
mod rewriting;
mod taken;
#[cfg(test)]
mod tests;
mod told;
mod votes;

pub use heal::heal;
pub use model::{
    Clock, ClockMethod, ClockStep, Connection, ConnectionId, ExchangeId, ExchangeKey, Lane, LaneId,
    LaneOverride, Link, LinkId, MOST_CLOCK_STEPS, Overrides, Role, Sighting, Topology,
};
pub use remark::{Remark, RemarkKind};

pub(crate) use lanes::{SLACK_NS, tolerance_ns};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::capture::SessionTime;
use crate::http::CaptureFacts;
use crate::stop::{Stop, Stopped};

/// Finds the chain: clocks, connections counted once, lanes, links.
pub fn build(captures: &[Arc<CaptureFacts>], overrides: &Overrides) -> Topology {
    build_unless(captures, overrides, Stop::NEVER).unwrap_or_default()
}

/// As [`build`], until it is stopped.
///
/// # Errors
/// When it was stopped.
pub fn build_unless(
    captures: &[Arc<CaptureFacts>],
    overrides: &Overrides,
    stop: Stop<'_>,
) -> Result<Topology, Stopped> {
    let (mut sightings, originals) = merge::sightings(captures);
    stop.check()?;
    let ids = keys::IdHeaders::learn(captures);
    stop.check()?;
    let clocks = clocks::align(captures, &sightings, &ids, overrides);
    stop.check()?;
    let flow = |all: &[Sighting]| captures[all[0].capture.index()].flow(all[0].flow);
    sightings.sort_by_cached_key(|all| {
        let (flow, best) = (flow(all), all[0]);
        (
            clocks[best.capture.index()].session(flow.first.0, flow.first.1),
            flow.client,
            flow.server,
            best.capture,
            best.flow,
        )
    });
    stop.check()?;
    let ends = nat::ends(captures, &sightings);
    let hosts = hosts::Hosts::find(captures);
    stop.check()?;
    let seen = lanes::Seen {
        captures,
        hosts: &hosts,
        originals: &originals,
        clocks: &clocks,
        connections: &sightings,
        ends: &ends.of,
        services: &ends.services,
    };
    let told_apart = redirected::ends(&seen);
    let seen = lanes::Seen { ends: &told_apart, ..seen };
    let apart = recordings::Apart::find(&seen);
    stop.check()?;
    let causes = cause::find(&seen, &ids, &apart);
    stop.check()?;
    let recordings = recordings::find(&seen, &causes, &apart);
    let remarks = recordings::remark(&seen, &recordings, &apart);
    let recording_of = recordings::of_legs(&seen, &causes, &recordings);
    let mut chain = lanes::arrange(&causes, &overrides.lanes, &recording_of);
    let names = names::names(&seen, &mut chain, &causes.leg_of, overrides);
    let (chain, names) = edits::apply(chain, names, overrides);
    stop.check()?;
    let mut topology = Topology { lanes: make_lanes(&chain, names), ..Topology::default() };
    let link_ids = make_links(&mut topology, &chain, &causes);
    for (at, all) in sightings.iter().enumerate() {
        let (flow, clock) = (flow(all), &clocks[all[0].capture.index()]);
        let id = ConnectionId(at as u32);
        let link = link_ids[&chain.ends[causes.leg_of[at]]];
        let first = topology.exchanges.len() as u32;
        let capture = all[0].capture;
        topology.exchanges.extend(flow.exchanges.clone().map(|index| ExchangeKey { capture, index }));
        topology.connection_of.resize(topology.exchanges.len(), id);
        topology.links[usize::from(link.0)].connections.push(id);
        topology.connections.push(Connection {
            sightings: all.clone(),
            client: ends.of[at].0,
            server: ends.of[at].1,
            link,
            exchanges: first..topology.exchanges.len() as u32,
            first: clock.session(flow.first.0, flow.first.1),
            last: clock.session(flow.last.0, flow.last.1),
        });
    }
    stop.check()?;
    topology.mark_uncaptured(captures.len(), &overrides.taken_at);
    topology.remarks.extend(remarks);
    topology.remarks.extend(copies::remarks(captures, &originals));
    topology.remarks.extend(told::remarks(&topology, captures, overrides));
    topology.spans = spans(captures, &clocks);
    topology.clocks = clocks;
    topology.id_headers = ids;
    topology.hosts = hosts;
    Ok(topology)
}

/// First and last moment of each capture whose clock was set: they are not at its least and its latest time.
fn spans(captures: &[Arc<CaptureFacts>], clocks: &[Clock]) -> Vec<Option<(SessionTime, SessionTime)>> {
    let span = |(facts, clock): (&Arc<CaptureFacts>, &Clock)| {
        clock.steps[0]?;
        let ends =
            facts.flows.iter().map(|flow| [flow.first, flow.last].map(|end| clock.session(end.0, end.1)));
        ends.map(|ends| (ends[0], ends[1])).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    };
    captures.iter().zip(clocks).map(span).collect()
}

fn make_lanes(chain: &lanes::Chain, names: Vec<String>) -> Vec<Lane> {
    let hops = chain.hops.iter().zip(names).zip(chain.roles());
    hops.map(|((hop, name), role)| Lane {
        name,
        role,
        addresses: hop.addresses.iter().copied().collect(),
        serves: hop.serves.iter().copied().collect(),
        depth: hop.depth,
        found: hop.found.clone(),
        named_by: hop.named_by.clone(),
        inferred: hop.inferred,
        users: hop.users,
    })
    .collect()
}

/// Makes a link of each pair of lanes that talk, without its connections, and tells its id.
fn make_links(
    topology: &mut Topology,
    chain: &lanes::Chain,
    causes: &cause::Causes,
) -> BTreeMap<(usize, usize), LinkId> {
    let mut servers: BTreeMap<(usize, usize), Vec<std::net::SocketAddr>> = BTreeMap::new();
    for (leg, &ends) in causes.legs.iter().zip(&chain.ends) {
        servers.entry(ends).or_default().push(causes.endpoints[leg.endpoint].address);
    }
    let mut ids = BTreeMap::new();
    for (ends, mut servers) in servers {
        servers.sort_unstable();
        servers.dedup();
        ids.insert(ends, LinkId(topology.links.len() as u16));
        let (from, to) = (LaneId(ends.0 as u16), LaneId(ends.1 as u16));
        topology.links.push(Link { from, to, servers, connections: Vec::new() });
    }
    ids
}
