//! Requests rejected on reused connections, by the cause that the whole link's behaviour shows (R1 to R7).

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::Analysis;
use crate::tcp::{EventKind, Opening, Side};
use crate::topology::{ConnectionId, ExchangeId, LinkId};

use super::burst::Burst;
use super::causes::{Cause, by_cause};
use super::draft::{Draft, ProofList};
use super::habits::Habits;
use super::mismatch::Mismatch;
use super::origins::fails;
use super::words::grouped;
use super::{Diagnosis, Finding, Outcome, RejectForm, Rejection};

/// For how many cases a finding carries its packets.
pub(super) const CASES: usize = 20;

/// A proxy that closes without an answer because what it asked failed (HAProxy does so when a kept server connection
/// dies) had the request and worked on it: that is a consequence, and no rejection. Nor is what follows on a connection
/// whose ends speak two languages.
pub(super) fn drop_consequences(
    analysis: &Analysis,
    mismatches: &[Mismatch],
    outcomes: &mut [Outcome],
    rejections: &mut Vec<Rejection>,
) {
    // What was taken for the first request was another language, and its answer a refusal of that.
    let clashing: BTreeSet<ConnectionId> = mismatches.iter().map(|mismatch| mismatch.connection).collect();
    let had_it = |form: RejectForm| matches!(form, RejectForm::Swallowed | RejectForm::QueuedReset);
    rejections.retain(|rejection| {
        let failed = |child: &ExchangeId| fails(analysis, outcomes, *child);
        let passed_on = analysis.trees.children(rejection.exchange).iter().any(failed);
        let connection = analysis.exchange(rejection.exchange).connection().id;
        let had_it = had_it(rejection.form);
        let consequence = had_it && (passed_on || fails_anew(analysis, outcomes, rejection.exchange))
            || clashing.contains(&connection);
        if consequence {
            outcomes[rejection.exchange.0 as usize] = Outcome::NoResponse;
            return false;
        }
        // Where the captures hide what came of what the proxy asked, they hide why it closed.
        let unknown = |child: &ExchangeId| outcomes[child.0 as usize] == Outcome::Unknown;
        if had_it && analysis.trees.children(rejection.exchange).iter().any(unknown) {
            outcomes[rejection.exchange.0 as usize] = Outcome::Unknown;
            return false;
        }
        true
    });
}

/// Whether another attempt of the same request was closed on as the first on a new connection: it is the request that its
/// server does not survive, and not the connection that is stale.
fn fails_anew(analysis: &Analysis, outcomes: &[Outcome], id: ExchangeId) -> bool {
    let Some(parent) = analysis.trees.parent(id) else { return false };
    let link = analysis.exchange(id).link_id();
    analysis.trees.children(parent.parent).iter().filter(|&&other| other != id).any(|&other| {
        let attempt = analysis.exchange(other);
        let is_new = attempt.raw.ordinal == 1 && attempt.connection().flow().opening == Opening::Handshake;
        is_new && attempt.link_id() == link && outcomes[other.0 as usize] == Outcome::NoResponse
    })
}

/// One finding for each link and cause.
pub(super) fn findings(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    habits: &[Habits],
    bursts: &[Vec<Burst>],
) -> Vec<Finding> {
    let mut by_link: BTreeMap<LinkId, Vec<&Rejection>> = BTreeMap::new();
    for rejection in &diagnosis.rejections {
        by_link.entry(analysis.exchange(rejection.exchange).link_id()).or_default().push(rejection);
    }
    let mut findings = Vec::new();
    for (link, rejections) in by_link {
        let at = usize::from(link.0);
        for (cause, cases) in by_cause(analysis, link, rejections, &habits[at], &bursts[at]) {
            findings.push(finding(analysis, diagnosis, link, &cause, &cases));
        }
    }
    findings
}

fn finding(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    link: LinkId,
    cause: &Cause,
    cases: &[&Rejection],
) -> Finding {
    let mut cases = cases.to_vec();
    cases.sort_unstable_by_key(|r| (analysis.exchange(r.exchange).started(), r.exchange));
    let exchanges: Vec<ExchangeId> = cases.iter().map(|r| r.exchange).collect();
    let mut draft = Draft::new(analysis, diagnosis, cause.words, link);
    draft.values.extend(cause.values.iter().cloned());
    draft.values.push(("ordinals", ordinals(diagnosis, link)));
    draft.certainty = cause.certainty;
    let forms = RejectForm::ALL.into_iter().filter(|form| cases.iter().any(|case| case.form == *form));
    let forms: Vec<RejectForm> = forms.collect();
    draft.rule = rules(&forms);
    draft.values.push(("logged", logged(&forms)));
    let mut proofs = ProofList::new(analysis);
    for case in cases.iter().take(CASES) {
        prove(analysis, case, &mut proofs);
    }
    draft.finish(exchanges, proofs)
}

fn rules(forms: &[RejectForm]) -> String {
    forms.iter().map(|form| form.rule()).collect::<Vec<_>>().join(", ")
}

/// What nginx logs of these forms, and of which where they differ.
fn logged(forms: &[RejectForm]) -> String {
    let mut texts: Vec<(&str, Vec<RejectForm>)> = Vec::new();
    for &form in forms {
        match texts.iter_mut().find(|(text, _)| *text == form.logged()) {
            Some((_, same)) => same.push(form),
            None => texts.push((form.logged(), vec![form])),
        }
    }
    if let [(text, _)] = texts[..] {
        return text.to_owned();
    }
    let parts: Vec<String> = texts.iter().map(|(text, same)| format!("{text} ({})", rules(same))).collect();
    parts.join(", or: ")
}

/// `First requests 2,871 of 2,871 answered, second requests 0 of 16.`
fn ordinals(diagnosis: &Diagnosis, link: LinkId) -> String {
    let Some(figures) = diagnosis.board.links.get(usize::from(link.0)) else { return String::new() };
    let names = ["first requests", "second requests", "later requests"];
    let parts: Vec<String> = names
        .iter()
        .zip(figures.ordinals)
        .filter(|(_, (asked, _))| *asked > 0)
        .map(|(name, (asked, answered))| format!("{name} {} of {}", grouped(answered), grouped(asked)))
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    let text = format!("{} were answered.", parts.join(", "));
    // Whichever comes first begins the sentence; all names begin with an ASCII letter.
    let (head, tail) = text.split_at(1);
    head.to_ascii_uppercase() + tail
}

/// The packets of one case, in the order of the story.
fn prove(analysis: &Analysis, case: &Rejection, proofs: &mut ProofList<'_>) {
    let exchange = analysis.exchange(case.exchange);
    let connection = exchange.connection();
    let link = analysis.link(connection.inner.link);
    let (from, to) = (&analysis.lane(link.from).name, &analysis.lane(link.to).name);
    let number = exchange.raw.ordinal;
    let before = connection
        .exchanges()
        .take_while(|x| x.id < case.exchange)
        .filter(|x| x.raw.response.is_complete())
        .last();
    if let Some(before) = before {
        let status = before.status().unwrap_or_default();
        let note = format!("response {} ends: {status}", before.raw.ordinal);
        proofs.add(before, before.raw.response.last_frame, note);
    }
    let event = |kind, from| connection.events().iter().find(move |e| e.kind == kind && e.from == from);
    if let Some(fin) = event(EventKind::Fin, Side::Server) {
        proofs.add(exchange, fin.frame, format!("{to} sends FIN"));
        if let Some(acked) = event(EventKind::FinAcked, Side::Client) {
            proofs.add(exchange, acked.frame, format!("{from} acknowledges the FIN"));
        }
    }
    let sent = match case.form {
        RejectForm::StalePick => format!("request {number} sent, after {from}'s kernel had the FIN"),
        RejectForm::FinInFlight => format!("request {number} sent, while the FIN was on its way"),
        _ => format!("request {number} sent"),
    };
    proofs.add(exchange, exchange.raw.request.first_frame, sent);
    if let Some(rst) = event(EventKind::Rst, Side::Server) {
        proofs.add(exchange, rst.frame, format!("{to} answers request {number} with RST"));
    }
    let Some(parentage) = analysis.trees.parent(case.exchange) else { return };
    let parent = analysis.exchange(parentage.parent);
    if let Some(retry) = exchange.next_attempt().map(|id| analysis.exchange(id)) {
        proofs.add(
            retry,
            retry.raw.request.first_frame,
            format!("{from} tries again: attempt {}", retry.attempt()),
        );
    } else if let Some(status) = parent.status().filter(|&status| status >= 500) {
        let above = &analysis.lane(analysis.link(parent.link_id()).from).name;
        proofs.add(parent, parent.raw.response.first_frame, format!("{from} answers {above}: {status}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_line_names_the_rules_of_the_finding_and_no_other() {
        let told = logged(&[RejectForm::StalePick, RejectForm::FinInFlight, RejectForm::QueuedReset]);
        assert!(told.contains("from upstream (R1, R2), or: recv() failed (104"), "{told}");
        assert!(told.ends_with("(R3)"), "{told}");
        let alone = logged(&[RejectForm::StalePick, RejectForm::Swallowed]);
        assert_eq!(alone, RejectForm::Swallowed.logged());
    }
}
