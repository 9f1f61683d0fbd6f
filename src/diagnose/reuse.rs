//! Requests rejected on reused connections, by the cause that the whole link's behaviour shows (R1 to R7).

use std::collections::BTreeMap;

use crate::analysis::Analysis;
use crate::tcp::{EventKind, Side};
use crate::topology::{ExchangeId, LinkId};

use super::draft::{Draft, ProofList};
use super::habits::{Habits, is_near};
use super::texts::{self, Words};
use super::words::{counted, duration, grouped};
use super::{Certainty, Diagnosis, Finding, RejectForm, Rejection};

/// Rejections of one server within this time, while the capture is much longer, are a restart.
const BURST_NS: i64 = 2_000_000_000;

/// For how many cases a finding carries its packets.
pub(super) const CASES: usize = 20;

/// One finding for each link and cause.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis) -> Vec<Finding> {
    let mut by_link: BTreeMap<LinkId, Vec<&Rejection>> = BTreeMap::new();
    for rejection in &diagnosis.rejections {
        by_link.entry(analysis.exchange(rejection.exchange).link_id()).or_default().push(rejection);
    }
    let mut findings = Vec::new();
    for (link, rejections) in by_link {
        for (cause, cases) in by_cause(analysis, link, rejections) {
            findings.push(finding(analysis, diagnosis, link, &cause, &cases));
        }
    }
    findings
}

/// A cause with the figures that its words need.
struct Cause {
    words: &'static Words,
    values: Vec<(&'static str, String)>,
    certainty: Certainty,
}

fn by_cause<'a>(
    analysis: &Analysis,
    link: LinkId,
    rejections: Vec<&'a Rejection>,
) -> Vec<(Cause, Vec<&'a Rejection>)> {
    let habits = Habits::of(analysis, link);
    let (dropped, mut rest): (Vec<&Rejection>, Vec<&Rejection>) =
        rejections.into_iter().partition(|r| matches!(r.form, RejectForm::IdleReset | RejectForm::BlackHole));
    let mut groups = Vec::new();
    if !dropped.is_empty() {
        let shortest = dropped.iter().map(|r| r.idle_ns).min().unwrap_or_default();
        let values = vec![("idle", format!("{} or more", duration(shortest)))];
        groups.push((Cause { words: &texts::MIDDLEBOX, values, certainty: Certainty::Possible }, dropped));
    }
    if rest.is_empty() {
        return groups;
    }
    if habits.closes_after_each() {
        groups.push((closes_after_each(&habits), rest));
        return groups;
    }
    if let Some(cause) = request_limit(analysis, &habits, &rest) {
        groups.push((cause, rest));
        return groups;
    }
    if let Some(cause) = idle_timeout(&habits) {
        let timeout_ns = habits.idle_timeout().map_or(0, |idle| idle.timeout_ns);
        let fits = |r: &&Rejection| {
            let id = analysis.exchange(r.exchange).connection_id();
            habits.close_of(id).is_some_and(|close| is_near(close.gap_ns, timeout_ns))
        };
        let (fitting, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(fits);
        if !fitting.is_empty() {
            groups.push((cause, fitting));
        }
        rest = others;
    }
    groups.extend(restarts_and_others(analysis, &habits, rest));
    groups
}

fn closes_after_each(habits: &Habits) -> Cause {
    let mut gaps: Vec<i64> = habits.closes.iter().map(|close| close.gap_ns).collect();
    gaps.sort_unstable();
    let median = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
    let closed = counted(gaps.len() as u64, "connection");
    let close_gap = format!(": {closed}, {} after the response (median)", duration(median));
    let certainty = if gaps.len() >= 5 { Certainty::Certain } else { Certainty::Likely };
    Cause { words: &texts::CLOSES_AFTER_EACH, values: vec![("close_gap", close_gap)], certainty }
}

fn request_limit(analysis: &Analysis, habits: &Habits, rejections: &[&Rejection]) -> Option<Cause> {
    let (limit, samples) = habits.request_limit()?;
    let at_limit = |r: &&Rejection| analysis.exchange(r.exchange).raw.ordinal == limit.saturating_add(1);
    rejections.iter().all(at_limit).then(|| Cause {
        words: &texts::MAX_REQUESTS,
        values: vec![
            ("k", grouped(u64::from(limit))),
            ("k1", grouped(u64::from(limit) + 1)),
            ("k_below", (limit.saturating_sub(1)).to_string()),
            ("samples", counted(samples, "connection")),
        ],
        certainty: if rejections.len() >= 3 { Certainty::Certain } else { Certainty::Likely },
    })
}

fn idle_timeout(habits: &Habits) -> Option<Cause> {
    let idle = habits.idle_timeout()?;
    let seconds = (idle.timeout_ns + 500_000_000) / 1_000_000_000;
    let known = texts::KNOWN_IDLE_TIMEOUTS
        .iter()
        .find(|known| known.0 == seconds && is_near(idle.timeout_ns, seconds * 1_000_000_000))
        .map_or(String::new(), |known| format!("; {} s is {}", known.0, known.1));
    let tight = idle.samples >= 3 && idle.spread_ns <= idle.timeout_ns / 20;
    Some(Cause {
        words: &texts::IDLE_TIMEOUT,
        values: vec![
            ("t", duration(idle.timeout_ns)),
            ("below", (((idle.timeout_ns / 1_000_000_000) - 1).max(1)).to_string()),
            ("samples", counted(idle.samples, "connection")),
            ("spread", duration(idle.spread_ns)),
            ("known", known),
        ],
        certainty: if tight { Certainty::Certain } else { Certainty::Likely },
    })
}

/// Bursts on one server are its restart, once reuse is known to work; all else has no known cause.
fn restarts_and_others<'a>(
    analysis: &Analysis,
    habits: &Habits,
    rejections: Vec<&'a Rejection>,
) -> Vec<(Cause, Vec<&'a Rejection>)> {
    let whole_ns = analysis.time_range().map_or(0, |(first, last)| last.since_ns(first));
    let mut by_server: BTreeMap<_, Vec<&Rejection>> = BTreeMap::new();
    for rejection in rejections {
        let server = analysis.exchange(rejection.exchange).connection().inner.server;
        by_server.entry(server).or_default().push(rejection);
    }
    let (mut groups, mut unknown): (_, Vec<&Rejection>) = (Vec::new(), Vec::new());
    for (server, cases) in by_server {
        let times = || cases.iter().map(|r| analysis.exchange(r.exchange).started());
        let first = times().min().unwrap_or_default();
        let window_ns = times().max().unwrap_or_default().since_ns(first);
        let burst = cases.len() >= 3 && window_ns <= BURST_NS && window_ns.saturating_mul(10) <= whole_ns;
        if burst && habits.answered_reused > 0 {
            let values = vec![("window", duration(window_ns)), ("server", server.to_string())];
            groups.push((Cause { words: &texts::RESTARTED, values, certainty: Certainty::Likely }, cases));
        } else {
            unknown.extend(cases);
        }
    }
    if !unknown.is_empty() {
        unknown.sort_unstable_by_key(|r| r.exchange);
        let cause = Cause { words: &texts::UNKNOWN_CAUSE, values: Vec::new(), certainty: Certainty::Likely };
        groups.push((cause, unknown));
    }
    groups
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
    let mut rules: Vec<&str> = Vec::new();
    for form in RejectForm::ALL {
        if cases.iter().any(|r| r.form == form) {
            rules.push(form.rule());
        }
    }
    draft.rule = rules.join(", ");
    let mut proofs = ProofList::new(analysis);
    for case in cases.iter().take(CASES) {
        prove(analysis, case, &mut proofs);
    }
    draft.finish(exchanges, proofs)
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
    let siblings = analysis.trees.children(parentage.parent);
    let mine = siblings.iter().position(|&id| id == case.exchange);
    let next = mine.and_then(|at| siblings.get(at + 1..)).unwrap_or_default();
    let next = next.iter().map(|&id| analysis.exchange(id)).find(|x| x.link_id() == exchange.link_id());
    if let Some(retry) = next {
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
