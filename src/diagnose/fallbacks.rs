//! Failures that nobody asked again for, and that who had asked first never saw: the hop answered well all the same, from
//! another server or with a page of its own (nginx `error_page`, `proxy_intercept_errors`).

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{Analysis, ExchangeView};
use crate::correlate::Confidence;
use crate::topology::{ExchangeId, LinkId};

use super::draft::{Draft, ProofList};
use super::origins::{Retried, fails};
use super::reuse::CASES;
use super::words::{count, methods};
use super::{ByMethod, Diagnosis, Finding, Outcome, texts};

/// The failed exchanges that a fallback hid, those left out that a retry did.
pub(super) fn find(analysis: &Analysis, outcomes: &[Outcome], retried: &[Retried]) -> Vec<ExchangeId> {
    let known: BTreeSet<ExchangeId> = retried.iter().flat_map(|one| one.attempts.iter().copied()).collect();
    let ids = (0..outcomes.len() as u32).map(ExchangeId);
    ids.filter(|id| !known.contains(id) && is_hidden(analysis, outcomes, *id)).collect()
}

fn is_hidden(analysis: &Analysis, outcomes: &[Outcome], id: ExchangeId) -> bool {
    let outcome = |id: ExchangeId| outcomes[id.0 as usize];
    let Some(parentage) = analysis.trees.parent(id).filter(|p| p.confidence != Confidence::Ambiguous) else {
        return false;
    };
    let (exchange, parent) = (analysis.exchange(id), analysis.exchange(parentage.parent));
    // Behind the head of an answer it is too late for another one.
    let failed = match outcome(id) {
        Outcome::Complete => exchange.status().is_some_and(|status| status >= 500),
        Outcome::NoResponse | Outcome::Rejected | Outcome::TimedOut => !exchange.raw.response.is_present(),
        _ => false,
    };
    // What was asked at the same time and answered well is what the answer was made of: this one was sent aside.
    let beside = |sibling: &ExchangeId| {
        let sibling = analysis.exchange(*sibling);
        let overlaps = sibling.started() < exchange.settled() && exchange.started() < sibling.settled();
        sibling.id != id && overlaps && !fails(analysis, outcomes, sibling.id)
    };
    failed
        && outcome(parent.id) == Outcome::Complete
        && parent.status().is_some_and(|status| status < 400)
        && parent.settled() >= exchange.settled()
        && !analysis.trees.children(parent.id).iter().any(beside)
}

/// One finding for each link on which the failures were.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis, hidden: &[ExchangeId]) -> Vec<Finding> {
    let mut links: BTreeMap<LinkId, Vec<ExchangeView<'_>>> = BTreeMap::new();
    for &id in hidden {
        let exchange = analysis.exchange(id);
        links.entry(exchange.link_id()).or_default().push(exchange);
    }
    let finding = |(link, mut failed): (LinkId, Vec<ExchangeView<'_>>)| {
        failed.sort_unstable_by_key(|exchange| (exchange.started(), exchange.id));
        let mut draft = Draft::new(analysis, diagnosis, &texts::MASKED_BY_FALLBACK, link);
        let (mut by_method, mut elsewhere) = (ByMethod::new(), 0u64);
        let mut proofs = ProofList::new(analysis);
        for (at, exchange) in failed.iter().enumerate() {
            count(&mut by_method, exchange.method());
            let Some(parent) = analysis.trees.parent(exchange.id).map(|p| analysis.exchange(p.parent)) else {
                continue;
            };
            let after = analysis.trees.children(parent.id).iter().map(|&child| analysis.exchange(child));
            let other = after.filter(|child| child.started() >= exchange.settled()).last();
            elsewhere += u64::from(other.is_some());
            if at >= CASES {
                continue;
            }
            let end = exchange.status().map_or("no response".to_owned(), |status| status.to_string());
            proofs.add(*exchange, exchange.raw.request.first_frame, format!("asked for: {end}"));
            if let Some(other) = other {
                proofs.add(other, other.raw.request.first_frame, "asked for instead");
            }
            let status = parent.status().map_or(String::new(), |status| status.to_string());
            proofs.add(parent, parent.raw.response.first_frame, format!("answered {status} all the same"));
        }
        let all = failed.len() as u64;
        let instead = match elsewhere {
            0 => {
                "with a page of its own, or with what an attempt brought that nothing tells from those for others"
            }
            _ if elsewhere == all => "with what another request behind it brought",
            _ => "with what another request behind it brought, or with a page of its own",
        };
        draft.values.push(("instead", instead.to_owned()));
        draft.values.push(("methods", methods(&by_method)));
        draft.finish(failed.iter().map(|exchange| exchange.id).collect(), proofs)
    };
    links.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;

    /// The app fails; a moment later, or at the same time, another request goes out, or none, and the user gets a 200.
    fn told(second: Option<i64>, answer: u16) -> (Vec<String>, Option<u64>) {
        let mut chain = Chain::new(&["user", "edge", "app"]);
        let (user, failed) = (chain.open(0, 0), chain.open(1, 0));
        chain.conns[user].request(Get, "/cart", 10 * MS).response(answer, 30 * MS);
        chain.conns[failed].request(Get, "/cart", 11 * MS).response(500, 15 * MS);
        chain.parent((failed, 0), (user, 0), 1);
        if let Some(at) = second {
            let spare = chain.open(1, MS);
            chain.conns[spare].request(Get, "/sorry", at * MS).response(200, (at + 8) * MS);
            chain.parent((spare, 0), (user, 0), 1);
        }
        let diagnosis = chain.analyse().diagnosis;
        let told = diagnosis.findings.iter().filter(|f| f.kind == "masked-failures");
        let words = told.map(|f| format!("{} ×{}: {}", f.cause, f.count, f.explanation)).collect();
        (words, diagnosis.failures.masked.get("GET").copied())
    }

    #[test]
    fn what_another_server_or_a_page_hides_is_counted() {
        let (words, masked) = told(Some(16), 200);
        assert!(
            words[0].starts_with("fallback ×1") && words[0].contains("what another request"),
            "{words:?}"
        );
        assert_eq!((words.len(), masked), (1, Some(1)));
        let (words, masked) = told(None, 200);
        assert!(words[0].contains("a page of its own"), "{words:?}");
        assert_eq!(masked, Some(1));
    }

    #[test]
    fn what_is_sent_aside_or_passed_on_hides_nothing() {
        assert_eq!(told(Some(12), 200), (Vec::new(), None), "a mirror's answer is nobody's");
        assert_eq!(told(Some(16), 500), (Vec::new(), None));
    }
}
