//! From what users saw down to where each failure began, and what retries hid.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::Analysis;
use crate::correlate::Confidence;
use crate::http::{Exchange, ExchangeFlags};
use crate::topology::{ExchangeId, LaneId, LinkId};

use super::case::is_refused;
use super::life::{Life, went_unheard};
use super::words::count;
use super::{Diagnosis, Failures, Outcome, Retries};

/// Trees are as deep as there are hops; the bound only guards against a cycle.
const DEPTH_LIMIT: usize = 64;

/// A head above this many bytes is more than some proxies take.
const REFUSED_HEAD: u64 = 4096;

/// Exchanges whose failure a finding of its own explains, with the link of that finding.
type Explained = BTreeMap<ExchangeId, LinkId>;

/// Whether an exchange failed: no whole answer, a status of 500 and above, or an answer that the proxy refused.
pub(super) fn fails(analysis: &Analysis, outcomes: &[Outcome], id: ExchangeId) -> bool {
    let exchange = analysis.exchange(id);
    outcomes[id.0 as usize].is_failure()
        || exchange.status().is_some_and(|s| s >= 500)
        || is_refusable(exchange.raw) && is_refused(analysis, id)
}

/// Whether a response has a shape for which proxies refuse it.
#[inline]
pub(super) fn is_refusable(exchange: &Exchange) -> bool {
    const SHAPES: u32 = ExchangeFlags::RESPONSE_CONFLICTING_FRAMING
        | ExchangeFlags::INVALID_HEADER
        | ExchangeFlags::EARLY_RESPONSE;
    let response = &exchange.response;
    let unfinished = response.head_bytes == 0 && response.wire_bytes > REFUSED_HEAD;
    exchange.flags.0 & SHAPES != 0 || u64::from(response.head_bytes) > REFUSED_HEAD || unfinished
}

/// Whether the client side of this exchange only left because the client of the request that caused it had, or had never
/// finished that request: that one got no answer, and no later attempt was made.
pub(super) fn is_inherited_end(analysis: &Analysis, outcomes: &[Outcome], id: ExchangeId) -> bool {
    let left = |id: ExchangeId| matches!(outcomes[id.0 as usize], Outcome::Aborted | Outcome::TimedOut);
    let Some(parentage) = analysis.trees.parent(id).filter(|_| left(id)) else { return false };
    let stopped = |id: ExchangeId| {
        let exchange = analysis.exchange(id);
        let connection = exchange.connection();
        Life::of(connection).never_finished(connection, &exchange.raw.request)
    };
    (left(parentage.parent) || stopped(id) && stopped(parentage.parent))
        && analysis.exchange(id).next_attempt().is_none()
}

/// Whether the proxies passed a cut answer on as if it were whole: who asked first has what there was of it, and a good
/// status.
pub(super) fn is_cut_unnoticed(analysis: &Analysis, outcomes: &[Outcome], id: ExchangeId) -> bool {
    let (exchange, root) = (analysis.exchange(id), analysis.trees.root(id));
    root != id
        && outcomes[id.0 as usize] == Outcome::Truncated
        && outcomes[root.0 as usize] == Outcome::Complete
        && exchange.status().is_some()
        && exchange.status() == analysis.exchange(root).status()
        && exchange.next_attempt().is_none()
}

/// Whether the hop between dropped this child unanswered together with the request that caused it, which it closed
/// without an answer as well: then it is the hop that died.
fn is_dropped_with(analysis: &Analysis, outcomes: &[Outcome], child: ExchangeId, parent: ExchangeId) -> bool {
    let exchange = analysis.exchange(child);
    let unheard = !exchange.raw.response.is_present() || exchange.left_before_response().is_some();
    let [dropped, closed] = [child, parent].map(|id| outcomes[id.0 as usize]);
    let connection = exchange.connection();
    let lost = || {
        Life::of(connection)
            .client_ended()
            .is_some_and(|end| went_unheard(connection, &exchange.raw.request, end))
    };
    dropped == Outcome::Aborted && closed == Outcome::NoResponse && unheard && !lost()
}

/// The exchange where each failure began: itself, or the deepest failed one below it. Of those `explained` the reason
/// is known, so that who waited for them did not leave of its own accord.
pub(super) fn origins(
    analysis: &Analysis,
    outcomes: &[Outcome],
    explained: &Explained,
) -> Vec<Option<ExchangeId>> {
    let mut reasons: BTreeSet<ExchangeId> = BTreeSet::new();
    for &id in explained.keys() {
        let above = |id: &ExchangeId| analysis.trees.parent(*id).map(|parentage| parentage.parent);
        reasons.extend(std::iter::successors(Some(id), above).take(DEPTH_LIMIT));
    }
    let failed = |id| fails(analysis, outcomes, id) || explained.contains_key(&id);
    let ids = (0..outcomes.len() as u32).map(ExchangeId);
    ids.map(|id| failed(id).then(|| origin(analysis, outcomes, &reasons, id))).collect()
}

fn origin(
    analysis: &Analysis,
    outcomes: &[Outcome],
    reasons: &BTreeSet<ExchangeId>,
    mut id: ExchangeId,
) -> ExchangeId {
    for _ in 0..DEPTH_LIMIT {
        match failed_child(analysis, outcomes, reasons, id) {
            Some(child) => id = child,
            None => break,
        }
    }
    id
}

/// The child that made this exchange fail: the last attempt, and the last one on its link, where that one failed.
fn failed_child(
    analysis: &Analysis,
    outcomes: &[Outcome],
    reasons: &BTreeSet<ExchangeId>,
    id: ExchangeId,
) -> Option<ExchangeId> {
    let children = analysis.trees.children(id);
    let mut served: Vec<LinkId> = Vec::new();
    for &child in children.iter().rev() {
        let exchange = analysis.exchange(child);
        let link = exchange.link_id();
        if served.contains(&link) || exchange.next_attempt().is_some() {
            continue;
        }
        let own = fails(analysis, outcomes, child)
            && !is_inherited_end(analysis, outcomes, child)
            && !is_dropped_with(analysis, outcomes, child, id);
        // Who left a hop that had left nobody, but was closed on by another one before, waited in vain for that reason.
        let below = || {
            let ended = outcomes[child.0 as usize] == Outcome::Aborted
                || outcomes[child.0 as usize] == Outcome::TimedOut;
            ended && failed_child(analysis, outcomes, reasons, child).is_some()
        };
        if own || reasons.contains(&child) || below() {
            return Some(child);
        }
        served.push(link);
    }
    None
}

/// A request of which a lane made two attempts or more.
pub(super) struct Retried {
    /// The request, on the link towards the user.
    pub(super) parent: ExchangeId,
    /// The attempts, in time order.
    pub(super) attempts: Vec<ExchangeId>,
    /// The link of the first attempt that failed; of the first, where none did.
    pub(super) link: LinkId,
    /// Whether one of them failed.
    pub(super) any_failed: bool,
    /// Whether the answer towards the user was no failure.
    pub(super) saved: bool,
}

/// All retried requests in the order of their parents.
pub(super) fn retried(analysis: &Analysis, outcomes: &[Outcome]) -> Vec<Retried> {
    // Who is given one of several parents that fit as well proves no second attempt.
    let is_sure = |id: &ExchangeId| {
        analysis.trees.parent(*id).is_some_and(|parentage| parentage.confidence != Confidence::Ambiguous)
    };
    let (mut all, mut unsure) = (Vec::new(), Vec::new());
    let mut habit: BTreeMap<LaneId, i64> = BTreeMap::new();
    for parent in (0..outcomes.len() as u32).map(ExchangeId) {
        // Most requests lead to one other, and it does not fail.
        let children = analysis.trees.children(parent);
        if children.is_empty() || matches!(children, [only] if !fails(analysis, outcomes, *only)) {
            continue;
        }
        let lane = analysis.link(analysis.exchange(parent).link_id()).to;
        let saved = outcomes[parent.0 as usize] == Outcome::Complete && !fails(analysis, outcomes, parent);
        for attempts in crate::correlate::attempts(analysis, parent) {
            let sure: Vec<ExchangeId> = attempts.iter().copied().filter(is_sure).collect();
            let failed = sure.iter().copied().find(|&id| fails(analysis, outcomes, id));
            let one = |attempts: Vec<ExchangeId>| {
                let link = analysis.exchange(failed.unwrap_or(attempts[0])).link_id();
                Retried { parent, link, any_failed: failed.is_some(), saved, attempts }
            };
            if sure.len() > 1 {
                let one = one(sure);
                *habit.entry(lane).or_default() += i64::from(one.any_failed && saved);
                all.push(one);
            } else if attempts.len() > 1 && saved && failed.is_some() {
                unsure.push(one(attempts));
            } else if saved && failed.is_some() {
                *habit.entry(lane).or_default() -= 1;
            }
        }
    }
    // Where one that is surely its own failed and the answer was good, another was made, whichever of them it was: unless
    // its hop is one that rather falls back on something else.
    unsure.retain(|one| habit.get(&analysis.link(one.link).from).is_none_or(|&habit| habit >= 0));
    all.append(&mut unsure);
    all.sort_by_key(|one| one.parent);
    all
}

/// By link the failed attempts of which nothing tells whose they were, where they are in no count of retries and their lane
/// answered some of its failures well.
pub(super) fn unsure(
    analysis: &Analysis,
    outcomes: &[Outcome],
    retried: &[Retried],
) -> BTreeMap<LinkId, u64> {
    let counted: BTreeSet<ExchangeId> = retried.iter().flat_map(|one| one.attempts.iter().copied()).collect();
    let mut unsure: BTreeMap<LinkId, u64> = BTreeMap::new();
    // By lane: failures that it got, and that it gave.
    let mut failures: BTreeMap<LaneId, (u64, u64)> = BTreeMap::new();
    for id in (0..outcomes.len() as u32).map(ExchangeId).filter(|&id| fails(analysis, outcomes, id)) {
        let link = analysis.exchange(id).link_id();
        failures.entry(analysis.link(link).from).or_default().0 += 1;
        failures.entry(analysis.link(link).to).or_default().1 += 1;
        let parentage = analysis.trees.parent(id);
        if parentage.is_some_and(|p| p.confidence == Confidence::Ambiguous) && !counted.contains(&id) {
            *unsure.entry(link).or_default() += 1;
        }
    }
    unsure.retain(|link, _| failures.get(&analysis.link(*link).from).is_some_and(|(got, gave)| got > gave));
    unsure
}

/// The retries by the lane that made them; `unsure` by link.
pub(super) fn by_lane(
    analysis: &Analysis,
    outcomes: &[Outcome],
    retried: &[Retried],
    unsure: &BTreeMap<LinkId, u64>,
) -> Vec<Retries> {
    let mut lanes: BTreeMap<LaneId, Retries> = BTreeMap::new();
    for one in retried {
        let lane = analysis.link(one.link).from;
        let entry = lanes.entry(lane).or_insert_with(|| Retries { lane: Some(lane), ..Retries::default() });
        let parent = analysis.exchange(one.parent);
        count(&mut entry.retried, parent.method());
        entry.attempts += one.attempts.len() as u64;
        if one.saved {
            count(&mut entry.saved, parent.method());
        } else if outcomes[one.parent.0 as usize] != Outcome::Unknown {
            count(&mut entry.failed, parent.method());
        }
    }
    for (link, number) in unsure {
        if let Some(retries) = lanes.get_mut(&analysis.link(*link).from) {
            retries.unsure += number;
        }
    }
    lanes.into_values().collect()
}

/// Whether a link is one that users connect on: nobody calls the lane that connects.
pub(super) fn is_user_link(analysis: &Analysis, link: LinkId) -> bool {
    analysis.lane(analysis.link(link).from).depth == 0
}

/// What users saw, what retries and fallbacks hid from them (`hidden` are the failures that the latter did), and on which
/// link the failures began.
pub(super) fn failures(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    retried: &[Retried],
    hidden: &[ExchangeId],
) -> Failures {
    let outcomes = &diagnosis.outcomes;
    let mut failures = Failures::default();
    let mut origin: BTreeMap<LinkId, u64> = BTreeMap::new();
    let outermost = analysis.outermost_links();
    for (at, began) in diagnosis.origins.iter().enumerate() {
        let id = ExchangeId(at as u32);
        let Some(began) = began else { continue };
        let exchange = analysis.exchange(id);
        if outermost[usize::from(exchange.link_id().0)] && fails(analysis, outcomes, id) {
            let by_status = failures.visible.entry(exchange.method().to_owned()).or_default();
            count(by_status, &failure_name(outcomes[at], exchange.status()));
        }
        let explained = diagnosis.explained.get(&id).copied();
        let inherited = || {
            let parent = analysis.trees.parent(id).map(|parentage| parentage.parent);
            is_inherited_end(analysis, outcomes, id)
                || parent.is_some_and(|parent| is_dropped_with(analysis, outcomes, id, parent))
        };
        if *began == id
            && (explained.is_some() || !inherited() && !is_left_after_head(analysis, outcomes, id))
        {
            *origin.entry(explained.unwrap_or_else(|| exchange.link_id())).or_default() += 1;
        }
    }
    failures.origin = origin.into_iter().collect();
    let saved = retried.iter().filter(|one| one.saved && one.any_failed).map(|one| one.parent);
    let mut roots: Vec<ExchangeId> = saved
        .chain(hidden.iter().filter_map(|&id| analysis.trees.parent(id)).map(|p| p.parent))
        .map(|parent| analysis.trees.root(parent))
        .filter(|&root| !fails(analysis, outcomes, root))
        .collect();
    roots.sort_unstable();
    roots.dedup();
    for root in roots {
        count(&mut failures.masked, analysis.exchange(root).method());
    }
    failures
}

/// Whether a hop left a good answer whose body it had no use for, as nginx does with that of an authorization.
fn is_left_after_head(analysis: &Analysis, outcomes: &[Outcome], id: ExchangeId) -> bool {
    let exchange = analysis.exchange(id);
    let failed = |parent: ExchangeId| fails(analysis, outcomes, parent);
    outcomes[id.0 as usize] == Outcome::Aborted
        && exchange.raw.response.head_bytes > 0
        && exchange.status().is_some_and(|status| status < 400)
        && !is_user_link(analysis, exchange.link_id())
        && !analysis.trees.parent(id).is_some_and(|parent| failed(parent.parent))
}

/// `502`, or the outcome's name where there was no whole answer.
pub(super) fn failure_name(outcome: Outcome, status: Option<u16>) -> String {
    match status {
        Some(status) if status >= 500 => status.to_string(),
        _ => outcome.name().to_owned(),
    }
}
