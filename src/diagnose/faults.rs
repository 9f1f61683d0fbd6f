//! The faults beside rejected reuse, each only where the packets leave no other reading.

use std::collections::BTreeMap;

use crate::analysis::{Analysis, ExchangeView};
use crate::tcp::{EventKind, Opening};
use crate::topology::{ExchangeId, LinkId, Role};

use super::draft::{Draft, ProofList, statuses};
use super::life::Life;
use super::origins::{is_inherited_abort, is_user_link};
use super::reuse::CASES;
use super::texts::{self, Words};
use super::words::duration;
use super::{Certainty, Diagnosis, Finding, Outcome};

/// What a fault of a single exchange is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    ClosedBeforeResponse,
    Timeout,
    Truncated,
    ClientAbort,
    Application,
    NextHopMissing,
}

impl Fault {
    fn words(self) -> &'static Words {
        match self {
            Self::ClosedBeforeResponse => &texts::CLOSED_BEFORE_RESPONSE,
            Self::Timeout => &texts::RESPONSE_TIMEOUT,
            Self::Truncated => &texts::TRUNCATED_RESPONSE,
            Self::ClientAbort => &texts::CLIENT_ABORT,
            Self::Application => &texts::APPLICATION_ERROR,
            Self::NextHopMissing => &texts::NEXT_HOP_MISSING,
        }
    }
}

/// One finding for each link and fault.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis) -> Vec<Finding> {
    let mut groups: BTreeMap<(LinkId, Fault), Vec<ExchangeId>> = BTreeMap::new();
    for exchange in analysis.exchanges() {
        // Consequences of a fault below are no faults of their own.
        let explained = diagnosis.explained.contains_key(&exchange.id);
        if explained || diagnosis.origins[exchange.id.0 as usize] != Some(exchange.id) {
            continue;
        }
        if let Some(fault) = fault(diagnosis, exchange) {
            groups.entry((exchange.link_id(), fault)).or_default().push(exchange.id);
        }
    }
    let mut findings = Vec::new();
    for ((link, fault), exchanges) in groups {
        findings.push(finding(analysis, diagnosis, link, fault, exchanges));
    }
    findings
}

fn fault(diagnosis: &Diagnosis, exchange: ExchangeView<'_>) -> Option<Fault> {
    let analysis = exchange.analysis;
    let first = exchange.raw.ordinal == 1 && exchange.connection().flow().opening == Opening::Handshake;
    match diagnosis.outcomes[exchange.id.0 as usize] {
        Outcome::NoResponse => {
            (first && exchange.raw.request.is_complete()).then_some(Fault::ClosedBeforeResponse)
        }
        Outcome::TimedOut => Some(Fault::Timeout),
        Outcome::Truncated => Some(Fault::Truncated),
        Outcome::Aborted => {
            let user = is_user_link(analysis, exchange.link_id());
            (user && !is_inherited_abort(analysis, &diagnosis.outcomes, exchange.id))
                .then_some(Fault::ClientAbort)
        }
        Outcome::Complete => own_error(exchange),
        Outcome::Rejected | Outcome::Unknown => None,
    }
}

/// A complete 5xx: the server's own, or a gateway's about a link that was not captured.
fn own_error(exchange: ExchangeView<'_>) -> Option<Fault> {
    let analysis = exchange.analysis;
    if !analysis.trees.children(exchange.id).is_empty() {
        return None;
    }
    let last_hop = analysis.lane(analysis.link(exchange.link_id()).to).role == Role::Server;
    match exchange.status()? {
        502 | 504 => Some(Fault::NextHopMissing),
        500.. => Some(if last_hop { Fault::Application } else { Fault::NextHopMissing }),
        _ => None,
    }
}

fn finding(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    link: LinkId,
    fault: Fault,
    mut exchanges: Vec<ExchangeId>,
) -> Finding {
    exchanges.sort_unstable_by_key(|&id| (analysis.exchange(id).started(), id));
    let mut draft = Draft::new(analysis, diagnosis, fault.words(), link);
    let mut silences: Vec<i64> = exchanges.iter().filter_map(|&id| silence(analysis.exchange(id))).collect();
    silences.sort_unstable();
    let median = silences.get(silences.len() / 2).copied().unwrap_or_default();
    draft.values.push(("t", duration(median)));
    draft.values.push(("above", (2 * median / 1_000_000_000).max(2).to_string()));
    draft.values.push(("statuses", statuses(analysis, &exchanges)));
    draft.certainty = match fault {
        Fault::Timeout | Fault::ClientAbort | Fault::Application => Certainty::Likely,
        _ => Certainty::Certain,
    };
    let mut proofs = ProofList::new(analysis);
    for &id in exchanges.iter().take(CASES) {
        prove(analysis.exchange(id), &mut proofs);
    }
    draft.finish(exchanges, proofs)
}

/// From the last byte of an exchange to the client's close.
fn silence(exchange: ExchangeView<'_>) -> Option<i64> {
    let end = Life::of(exchange.connection()).client_ended()?;
    let raw = exchange.raw;
    let last = if raw.response.is_present() { raw.response.end } else { raw.request.end };
    Some(end.at.0.saturating_sub(last.0))
}

fn prove(exchange: ExchangeView<'_>, proofs: &mut ProofList<'_>) {
    let link = exchange.analysis.link(exchange.link_id());
    let (from, to) = (&exchange.analysis.lane(link.from).name, &exchange.analysis.lane(link.to).name);
    let raw = exchange.raw;
    proofs.add(exchange, raw.request.first_frame, format!("request {} sent", raw.ordinal));
    if let Some(status) = exchange.status() {
        proofs.add(exchange, raw.response.first_frame, format!("{to} answers {status}"));
    }
    if raw.response.is_complete() {
        return;
    }
    let life = Life::of(exchange.connection());
    let (end, who) = match (life.server_ended(), life.client_ended()) {
        (Some(end), _) => (end, to),
        (None, Some(end)) => (end, from),
        (None, None) => return,
    };
    let how = if end.kind == EventKind::Rst { "resets" } else { "sends FIN" };
    proofs.add(exchange, end.frame, format!("{who} {how} before the response was whole"));
}
