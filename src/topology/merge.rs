//! Sightings to connections: one connection that several captures hold is counted once.
//!
//! Identity rests on sequence numbers and never on time, since the captures' clocks are not aligned yet.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::capture::CaptureId;
use crate::http::{CaptureFacts, ExchangeFlags};
use crate::tcp::{DirectionFacts, Flow, FlowId, Side};

use super::{Sighting, copies, nat};

/// How many connections of the same two addresses a sighting is compared with.
const LOOK_BACK: usize = 32;

/// What identifies a sighting: the addresses in a fixed order, and the sequence numbers of both.
#[derive(Clone, Copy)]
struct Candidate {
    low: SocketAddr,
    high: SocketAddr,
    /// By address: `low` as the sender, `high` as the sender.
    spans: [Span; 2],
    sighting: Sighting,
}

/// The sequence numbers that one side used, as far as a capture tells.
#[derive(Clone, Copy, Default)]
struct Span {
    isn: Option<u32>,
    /// First and last position known; wraps.
    range: Option<(u32, u32)>,
}

impl Span {
    fn of(flow: &Flow, side: Side) -> Self {
        let sent = flow.direction(side);
        let acked = flow.direction(side.peer()).acked;
        let end = sent.end_seq.or(acked);
        let length = (sent.bytes.saturating_add(sent.missing_bytes)).min(u64::from(u32::MAX / 2)) as u32;
        let start = sent.isn.or_else(|| end.map(|end| end.wrapping_sub(length)));
        Self { isn: sent.isn, range: start.zip(end.or(start)) }
    }

    /// `Some(true)`: the same numbers; `Some(false)`: cannot be one connection; `None`: nothing to compare.
    fn agrees(self, other: Self) -> Option<bool> {
        if let (Some(a), Some(b)) = (self.isn, other.isn) {
            return Some(a == b);
        }
        let ((a_start, a_end), (b_start, b_end)) = (self.range?, other.range?);
        let within = |at: u32, start: u32, end: u32| at.wrapping_sub(start) <= end.wrapping_sub(start);
        Some(within(a_start, b_start, b_end) || within(b_start, a_start, a_end))
    }
}

impl Candidate {
    fn new(flow: &Flow, sighting: Sighting) -> Self {
        let (client, server) = (Span::of(flow, Side::Client), Span::of(flow, Side::Server));
        if flow.client <= flow.server {
            Self { low: flow.client, high: flow.server, spans: [client, server], sighting }
        } else {
            Self { low: flow.server, high: flow.client, spans: [server, client], sighting }
        }
    }

    fn start(&self, side: usize) -> Option<u32> {
        self.spans[side].range.map(|range| range.0)
    }

    fn is_same(&self, other: &Self) -> bool {
        if self.sighting.capture == other.sighting.capture {
            return false;
        }
        let agreed = [0, 1].map(|side| self.spans[side].agrees(other.spans[side]));
        agreed.contains(&Some(true)) && !agreed.contains(&Some(false))
    }
}

/// Groups the flows of all captures into connections; of each the best sighting first, then by capture. For each
/// capture that is a copy also its original.
pub(super) fn sightings(captures: &[Arc<CaptureFacts>]) -> (Vec<Vec<Sighting>>, Vec<Option<CaptureId>>) {
    let groups = nat::join(captures, same_addresses(captures));
    let originals = copies::find(captures, &groups);
    (groups.into_iter().map(|group| best_first(captures, &originals, group)).collect(), originals)
}

/// Groups by addresses: across captures, since in one capture each connection is there once.
fn same_addresses(captures: &[Arc<CaptureFacts>]) -> Vec<Vec<Sighting>> {
    if let [only] = captures {
        let id = CaptureId(0);
        return (0..only.flows.len() as u32)
            .map(|flow| vec![Sighting { capture: id, flow: FlowId(flow) }])
            .collect();
    }
    let mut all = Vec::new();
    for (capture, facts) in captures.iter().enumerate() {
        let capture = CaptureId(capture as u16);
        all.extend(
            facts
                .flows
                .iter()
                .enumerate()
                .map(|(flow, facts)| Candidate::new(facts, Sighting { capture, flow: FlowId(flow as u32) })),
        );
    }
    all.sort_by_key(|c| (c.low, c.high, c.start(0), c.start(1), c.sighting.capture.0, c.sighting.flow));
    let mut groups: Vec<Vec<Candidate>> = Vec::with_capacity(all.len());
    let mut same_addresses = 0;
    for candidate in all {
        let fresh = groups.last().is_none_or(|g| (g[0].low, g[0].high) != (candidate.low, candidate.high));
        if fresh {
            same_addresses = groups.len();
        }
        let from = same_addresses.max(groups.len().saturating_sub(LOOK_BACK));
        let known = groups[from..].iter_mut().find(|group| {
            group.iter().any(|member| member.is_same(&candidate))
                && group.iter().all(|member| member.sighting.capture != candidate.sighting.capture)
        });
        match known {
            Some(group) => group.push(candidate),
            None => groups.push(vec![candidate]),
        }
    }
    groups.into_iter().map(|group| group.into_iter().map(|candidate| candidate.sighting).collect()).collect()
}

fn best_first(
    captures: &[Arc<CaptureFacts>],
    originals: &[Option<CaptureId>],
    mut sightings: Vec<Sighting>,
) -> Vec<Sighting> {
    let flow = |sighting: &Sighting| captures[sighting.capture.index()].flow(sighting.flow);
    let sum = |flow: &Flow, of: fn(&DirectionFacts) -> u64| {
        flow.directions.iter().map(of).fold(0, u64::saturating_add)
    };
    // A capture that began late, or ended early, lacks what others hold.
    let sent = |sighting: &Sighting| sum(flow(sighting), DirectionFacts::sent_bytes);
    let most = sightings.iter().map(sent).max().unwrap_or_default();
    let rank = |sighting: &Sighting| {
        let (facts, flow) = (&captures[sighting.capture.index()], flow(sighting));
        let cut = sum(flow, |d| d.cut_bytes);
        // Bodies that the snap length cut off are seldom missed; heads are, as if their packets were lost.
        let exchanges = facts.exchanges_of(flow);
        let lacks_heads = cut > 0
            && (exchanges.is_empty() || exchanges.iter().any(|x| x.flags.has(ExchangeFlags::HEAD_CUT)));
        let missing = sum(flow, |d| d.missing_bytes).saturating_add(if lacks_heads { cut } else { 0 });
        let missed = missing.saturating_add(most.saturating_sub(sent(sighting)));
        let packets = sum(flow, |d| d.packets.into());
        let is_copy = originals[sighting.capture.index()].is_some();
        // Then by name: the order in which files are given must not choose.
        (missed, cut, Reverse(packets), is_copy, &facts.info.path, sighting.capture)
    };
    sightings.sort_by_key(|sighting| (sighting.capture, sighting.flow));
    if let Some(best) = (0..sightings.len()).min_by_key(|&at| rank(&sightings[at])) {
        sightings[..=best].rotate_right(1);
    }
    sightings
}
