//! Connections that one capture holds with gaps, made whole from the other captures that saw them.
//!
//! Only those connections are read again, in a second pass over the files concerned; without loss nothing is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::capture::{CaptureId, CaptureTime, Problem, ProblemKind};
use crate::http::CaptureFacts;
use crate::http::reload::{self, Rerun, Span, Wanted};
use crate::tcp::{EventKind, FlowId, Side};

use super::{Sighting, merge};

/// Most connections that are made whole.
const MAX_HEALED: usize = 20_000;
/// Most payload bytes that captures lend each other.
const MAX_LENT_BYTES: usize = 128 << 20;

/// A connection with gaps in its best sighting, and who may fill them.
struct Patient {
    best: Sighting,
    lender: Sighting,
    missing: Vec<(Side, u32, u32)>,
}

/// Fills the gaps of connections that several captures hold, where one has what the other lost.
pub fn heal(mut captures: Vec<Arc<CaptureFacts>>) -> Vec<Arc<CaptureFacts>> {
    let lossy = |facts: &Arc<CaptureFacts>| facts.flows.iter().any(crate::tcp::Flow::is_lossy);
    if captures.len() < 2 || !captures.iter().any(lossy) {
        return captures;
    }
    let (patients, beyond) = find_patients(&captures);
    let mut budget = MAX_LENT_BYTES;
    let mut reruns = borrow(&captures, &patients, &mut budget);
    for (at, slot) in captures.iter_mut().enumerate() {
        let Some(own) = reruns.remove(&at) else { continue };
        // Facts that somebody shows already stay as they are: a copy is made whole.
        let facts = Arc::make_mut(slot);
        let mut healed = reload::rerun(std::mem::take(facts), own);
        if beyond || budget == 0 {
            report_limit(&mut healed);
        }
        *facts = healed;
    }
    captures
}

fn report_limit(facts: &mut CaptureFacts) {
    let detail = format!(
        "of connections with gaps, {MAX_HEALED} and {MAX_LENT_BYTES} bytes at most are completed from other captures"
    );
    facts.info.problems.push(Problem { kind: ProblemKind::LookLimited, detail, count: 1 });
    facts.info.problems.sort_by_key(|problem| problem.kind);
}

/// The connections to heal, one entry for each sighting that may lend, and whether there are more than the limit.
fn find_patients(captures: &[Arc<CaptureFacts>]) -> (Vec<Patient>, bool) {
    let mut patients = Vec::new();
    let mut count = 0;
    for sightings in merge::sightings(captures).0 {
        let [best, others @ ..] = &sightings[..] else { continue };
        let facts = &captures[best.capture.index()];
        let flow = facts.flow(best.flow);
        if others.is_empty() || !flow.is_lossy() {
            continue;
        }
        if count == MAX_HEALED {
            return (patients, true);
        }
        count += 1;
        let holes = facts.events_of(flow).iter().filter(|event| event.kind == EventKind::Hole);
        let missing: Vec<_> = holes.map(|hole| (hole.from, hole.seq, hole.len)).collect();
        patients.extend(
            others.iter().filter(|lender| lender.capture != best.capture).map(|&lender| Patient {
                best: *best,
                lender,
                missing: missing.clone(),
            }),
        );
    }
    (patients, false)
}

/// Reads the lenders' files, and gathers what each capture is to read again.
fn borrow(
    captures: &[Arc<CaptureFacts>],
    patients: &[Patient],
    budget: &mut usize,
) -> BTreeMap<usize, Vec<Rerun>> {
    let mut reruns: BTreeMap<(usize, FlowId), Rerun> = BTreeMap::new();
    for (at, lender) in captures.iter().enumerate() {
        let own: Vec<&Patient> = patients.iter().filter(|one| one.lender.capture.index() == at).collect();
        if own.is_empty() {
            continue;
        }
        let wanted: Vec<Wanted> = own
            .iter()
            .map(|one| {
                let flow = lender.flow(one.lender.flow);
                Wanted {
                    ends: (flow.client, flow.server),
                    span: Span::of(lender, flow),
                    missing: one.missing.clone(),
                }
            })
            .collect();
        let lent = reload::lend(lender, CaptureId(at as u16), &wanted, budget);
        for (one, mut lent) in own.iter().zip(lent).filter(|(_, lent)| !lent.is_empty()) {
            let offset_ns = offset_ns(captures, one.best, one.lender);
            for segment in &mut lent {
                segment.at = CaptureTime(segment.at.0.saturating_add(offset_ns));
            }
            let key = (one.best.capture.index(), one.best.flow);
            let rerun = reruns.entry(key).or_insert(Rerun { flow: one.best.flow, lent: Vec::new() });
            rerun.lent.append(&mut lent);
        }
    }
    let mut by_capture: BTreeMap<usize, Vec<Rerun>> = BTreeMap::new();
    for ((capture, _), mut rerun) in reruns {
        rerun.lent.sort_by_key(|lent| (lent.at, lent.frame));
        by_capture.entry(capture).or_default().push(rerun);
    }
    by_capture
}

/// What to add to the lender's times to get those of the borrower: the median over what both hold of the connection.
fn offset_ns(captures: &[Arc<CaptureFacts>], borrower: Sighting, lender: Sighting) -> i64 {
    let times = |sighting: Sighting| {
        let facts = &captures[sighting.capture.index()];
        let flow = facts.flow(sighting.flow);
        let events = facts.events_of(flow).iter().filter(|event| {
            matches!(event.kind, EventKind::Syn | EventKind::SynAck | EventKind::Fin | EventKind::Rst)
        });
        let events = events.map(|event| ((event.kind as u8, event.from, event.seq), event.at.0));
        let messages = facts.exchanges_of(flow).iter().flat_map(|exchange| {
            [(Side::Client, &exchange.request), (Side::Server, &exchange.response)]
                .into_iter()
                .filter(|(_, message)| message.is_present())
                .map(|(side, message)| ((u8::MAX, side, message.seq), message.start.0))
        });
        let mut all: Vec<_> = events.chain(messages).collect();
        all.sort_unstable();
        all.dedup_by_key(|mark| mark.0);
        all
    };
    let (own, others) = (times(borrower), times(lender));
    let mut differences: Vec<i64> = own
        .iter()
        .filter_map(|(key, at)| {
            let found = others.binary_search_by_key(key, |mark| mark.0).ok()?;
            Some(at.saturating_sub(others[found].1))
        })
        .collect();
    differences.sort_unstable();
    differences.get(differences.len() / 2).copied().unwrap_or_default()
}
