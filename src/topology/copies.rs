//! Captures all of whose packets another one holds as well: copies, cut or filtered ones among them.
//!
//! Two places never stamp all packets alike, so equal times of every packet compared tell a copy from a second
//! capture of the same connections.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::capture::CaptureId;
use crate::http::CaptureFacts;
use crate::tcp::{Flow, Side};

use super::{Remark, RemarkKind, Sighting};

/// Packets of a capture that must have been compared.
const LEAST_COMPARED: usize = 4;
/// Exchanges compared of each connection.
const SAMPLED_EXCHANGES: usize = 16;
/// Captures of one connection that are compared with each other.
const MOST_SIGHTINGS: usize = 32;

/// For each capture the one that holds all its packets too; `None` for originals.
pub(super) fn find(captures: &[Arc<CaptureFacts>], groups: &[Vec<Sighting>]) -> Vec<Option<CaptureId>> {
    let count = captures.len();
    let mut original = vec![None; count];
    if count < 2 {
        return original;
    }
    // By capture and possible original: connections that are the same there, and packets compared.
    let mut same: BTreeMap<(usize, usize), (usize, usize)> = BTreeMap::new();
    for group in groups.iter().filter(|group| group.len() > 1) {
        for one in group.iter().take(MOST_SIGHTINGS) {
            for other in group.iter().take(MOST_SIGHTINGS).filter(|other| other.capture != one.capture) {
                if let Some(compared) = equal_times(captures, *one, *other) {
                    let pair = same.entry((one.capture.index(), other.capture.index())).or_default();
                    *pair = (pair.0 + 1, pair.1 + compared);
                }
            }
        }
    }
    same.retain(|&(copy, _), &mut (connections, compared)| {
        connections >= captures[copy].flows.len() && compared >= LEAST_COMPARED
    });
    // The fullest file is the original; of equal ones the plainest name, whatever the order they are given in.
    let rank = |at: usize| {
        let info = &captures[at].info;
        (Reverse(info.packets), info.path.as_os_str().len(), &info.path, at)
    };
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| rank(a).cmp(&rank(b)));
    for copy in order {
        let wholes = same.range((copy, 0)..(copy + 1, 0)).map(|((_, whole), _)| *whole);
        let fuller = wholes.filter(|&whole| rank(whole) < rank(copy) && original[whole].is_none());
        original[copy] = fuller.min_by(|&a, &b| rank(a).cmp(&rank(b))).map(|at| CaptureId(at as u16));
    }
    original
}

/// How many packets of a connection two captures stamped alike; `None` when they differ in one.
fn equal_times(captures: &[Arc<CaptureFacts>], one: Sighting, other: Sighting) -> Option<usize> {
    let (facts, others) = (&captures[one.capture.index()], &captures[other.capture.index()]);
    let (flow, whole) = (facts.flow(one.flow), others.flow(other.flow));
    let packets = |flow: &Flow| [Side::Client, Side::Server].map(|side| flow.direction(side).packets);
    let ([asked, answered], [asked_all, answered_all]) = (packets(flow), packets(whole));
    if (flow.client, flow.server, flow.first.0) != (whole.client, whole.server, whole.first.0)
        || asked > asked_all
        || answered > answered_all
    {
        return None;
    }
    let mut compared = 1;
    for (event, same) in facts.events_of(flow).iter().zip(others.events_of(whole)) {
        // After what a cut capture lacks the events are others.
        if (event.kind, event.from, event.seq) != (same.kind, same.from, same.seq) {
            break;
        }
        if event.at != same.at {
            return None;
        }
        compared += 1;
    }
    let exchanges = facts.exchanges_of(flow).iter().zip(others.exchanges_of(whole));
    for (exchange, same) in exchanges.take(SAMPLED_EXCHANGES) {
        for (message, same) in [(&exchange.request, &same.request), (&exchange.response, &same.response)] {
            if message.is_present() {
                if message.seq != same.seq || message.start != same.start {
                    return None;
                }
                compared += 1;
            }
        }
    }
    Some(compared)
}

/// Says of each copy what it is one of.
pub(super) fn remarks(captures: &[Arc<CaptureFacts>], originals: &[Option<CaptureId>]) -> Vec<Remark> {
    let path = |id: CaptureId| captures[id.index()].info.path.display().to_string();
    let copies = (0..).map(CaptureId).zip(originals);
    copies
        .filter_map(|(copy, original)| original.map(|original| (copy, original)))
        .map(|(copy, original)| {
            let packets = |id: CaptureId| captures[id.index()].info.packets;
            let share = match packets(copy) == packets(original) {
                true => "the same packets as".to_owned(),
                false => format!("{} of the {} packets of", packets(copy), packets(original)),
            };
            let detail = format!(
                "{} holds {share} {}: it is a copy, and adds nothing to this report.",
                path(copy),
                path(original)
            );
            Remark {
                kind: RemarkKind::CopiedCapture,
                detail,
                captures: vec![copy.min(original), copy.max(original)],
            }
        })
        .collect()
}
