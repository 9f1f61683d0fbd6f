//! Asks the rules about single exchanges, and makes one finding of each link's cases of one kind.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;

use crate::analysis::{Analysis, ExchangeView};
use crate::correlate::Orphan;
use crate::http::ExchangeFlags;
use crate::tcp::EventKind;
use crate::topology::{ExchangeId, LinkId};

use super::burst::{self, Burst};
use super::case::{Around, Case, Figures, Rule};
use super::draft::{Draft, ProofList, statuses};
use super::life::Life;
use super::origins::{fails, is_cut_unnoticed, is_refusable};
use super::reuse::CASES;
use super::sight;
use super::texts::Words;
use super::words::{count, counted, duration, grouped, listed, printable, times};
use super::{Certainty, Diagnosis, Finding, Outcome, Severity, request, response};

/// What happened to an exchange, the most telling rule first: of these at most one counts for an exchange.
const RULES: [&[Rule]; 4] = [request::SHAPES, response::SHAPES, request::ENDINGS, response::ENDINGS];

/// Flags that make a rule look at an exchange that is otherwise as it should be.
const ODD: u32 = ExchangeFlags::EARLY_RESPONSE
    | ExchangeFlags::CONFLICTING_FRAMING
    | ExchangeFlags::UNSOLICITED
    | ExchangeFlags::EXTRA_BYTES
    | ExchangeFlags::NOT_HTTP_RESPONSE
    | ExchangeFlags::INVALID_HEADER
    | ExchangeFlags::REQUEST_INVALID
    | ExchangeFlags::UNASKED_INTERIM
    | ExchangeFlags::RESPONSE_CONFLICTING_FRAMING
    | ExchangeFlags::EXPECTS_CONTINUE
    | ExchangeFlags::UNFRAMED;

/// So many different requests are named in a finding's words, with so many characters of their paths.
const MOST_NAMED: usize = 3;
const LONGEST_PATH: usize = 40;

/// Trees are as deep as there are hops; the bound only guards against a cycle.
const MOST_HOPS: usize = 64;

/// The exchanges that other findings are about already.
type Claimed = HashSet<ExchangeId, foldhash::fast::FixedState>;

/// A rule that holds for an exchange.
struct Hit {
    exchange: ExchangeId,
    rule: &'static Rule,
    certainty: Certainty,
}

/// One finding for each link and kind; `known` are the findings of other families, whose exchanges are left alone.
pub(super) fn findings(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    known: &[Finding],
    bursts: &[Vec<Burst>],
) -> Vec<Finding> {
    let around = Around::new(analysis, diagnosis, bursts);
    let claimed: Claimed = known.iter().flat_map(|finding| finding.exchanges.iter().copied()).collect();
    let (mut hits, mut extras) = (Vec::new(), Vec::new());
    for exchange in analysis.exchanges() {
        let outcome = diagnosis.outcomes[exchange.id.0 as usize];
        if is_plain(exchange, outcome) || diagnosis.explained.contains_key(&exchange.id) {
            continue;
        }
        let life = Life::of(exchange.connection());
        let case = Case { analysis, exchange, raw: exchange.raw, outcome, life, around: &around };
        extras.extend(first_hit(&case, response::EXTRAS));
        // The consequences of a fault below are no faults of their own.
        let began_here = diagnosis.origins[exchange.id.0 as usize].is_none_or(|began| began == exchange.id);
        if began_here && outcome != Outcome::Rejected && !is_claimed(analysis, &claimed, exchange.id) {
            hits.extend(RULES.iter().find_map(|rules| first_hit(&case, rules)));
        }
    }
    keep_deepest(analysis, &mut hits);
    keep_deepest(analysis, &mut extras);
    hits.append(&mut extras);
    // What is not in the captures may be among what they are known to lack.
    let asked_nobody = |hit: &Hit| {
        let lane = analysis.link(analysis.exchange(hit.exchange).link_id()).to;
        (hit.rule.figures == Figures::Passing).then_some(lane)
    };
    sight::drop_lost(analysis, &mut hits, asked_nobody);
    let groups = by_link(analysis, hits).into_iter();
    groups.map(|group| finding(analysis, diagnosis, &around, group)).collect()
}

/// Whether no rule can hold: most exchanges are whole, and as they should be.
#[inline]
fn is_plain(exchange: ExchangeView<'_>, outcome: Outcome) -> bool {
    outcome == Outcome::Complete
        && exchange.raw.flags.0 & ODD == 0
        && exchange.status().is_some_and(|status| status < 400)
        && !is_refusable(exchange.raw)
}

fn first_hit(case: &Case<'_>, rules: &'static [Rule]) -> Option<Hit> {
    rules.iter().find_map(|rule| {
        let certainty = (rule.holds)(case)?;
        Some(Hit { exchange: case.exchange.id, rule, certainty })
    })
}

/// Whether another finding is about this exchange, or about one that it led to.
fn is_claimed(analysis: &Analysis, claimed: &Claimed, id: ExchangeId) -> bool {
    !claimed.is_empty() && analysis.trees.tree(id).iter().any(|(below, _)| claimed.contains(below))
}

/// Leaves out what a hop only passed on: of one kind of fault in a tree, the deepest counts.
fn keep_deepest(analysis: &Analysis, hits: &mut Vec<Hit>) {
    let all: HashSet<(ExchangeId, &str), foldhash::fast::FixedState> =
        hits.iter().map(|hit| (hit.exchange, hit.rule.words.kind)).collect();
    let passed_on = |hit: &Hit| {
        let mut below = analysis.trees.children(hit.exchange).iter();
        below.any(|&child| all.contains(&(child, hit.rule.words.kind)))
    };
    hits.retain(|hit| !passed_on(hit));
}

/// The cases of one kind on one link.
struct Group {
    link: LinkId,
    words: &'static Words,
    hits: Vec<Hit>,
}

impl Group {
    fn figures(&self) -> Figures {
        self.hits.first().map_or(Figures::Usual, |hit| hit.rule.figures)
    }
}

fn by_link(analysis: &Analysis, hits: Vec<Hit>) -> Vec<Group> {
    let mut groups: BTreeMap<(LinkId, &str, &str), Group> = BTreeMap::new();
    for hit in hits {
        let (link, words) = (analysis.exchange(hit.exchange).link_id(), hit.rule.words);
        let group = groups.entry((link, words.kind, words.cause));
        group.or_insert_with(|| Group { link, words, hits: Vec::new() }).hits.push(hit);
    }
    groups.into_values().collect()
}

fn finding(analysis: &Analysis, diagnosis: &Diagnosis, around: &Around<'_>, mut group: Group) -> Finding {
    group.hits.sort_unstable_by_key(|hit| (analysis.exchange(hit.exchange).started(), hit.exchange));
    let exchanges: Vec<ExchangeId> = group.hits.iter().map(|hit| hit.exchange).collect();
    let mut draft = Draft::new(analysis, diagnosis, group.words, group.link);
    let rules: BTreeSet<&str> = group.hits.iter().map(|hit| hit.rule.id).collect();
    draft.rule = rules.into_iter().collect::<Vec<_>>().join(", ");
    // The finding is as sure as most of its cases.
    let mut certainties: Vec<Certainty> = group.hits.iter().map(|hit| hit.certainty).collect();
    certainties.sort_unstable();
    draft.certainty = certainties[certainties.len() / 2];
    // A check that fails is there to fail: what matters is whether users were sent there all the same.
    let is = |id: &ExchangeId, orphan: Orphan| analysis.trees.orphan(*id) == Some(orphan);
    let only_checks = exchanges.iter().all(|id| is(id, Orphan::HealthCheck));
    let harmless = |id: &ExchangeId| {
        is(id, Orphan::HealthCheck)
            || is(id, Orphan::BackgroundRefresh)
            || is_masked(analysis, &diagnosis.outcomes, *id)
    };
    if exchanges.iter().all(harmless) {
        draft.severity = draft.severity.min(Severity::Warning);
    }
    draft.values.push(("forms", forms(&group.hits)));
    draft.values.push(("statuses", statuses(analysis, &exchanges)));
    draft.values.push(("which", which(analysis, &exchanges)));
    own_figures(around, &group, &exchanges, &mut draft);
    let cases = exchanges.iter().map(|&id| {
        let exchange = analysis.exchange(id);
        let (outcome, life) = (diagnosis.outcomes[id.0 as usize], Life::of(exchange.connection()));
        Case { analysis, exchange, raw: exchange.raw, outcome, life, around }
    });
    figures(cases, &mut draft);
    let mut proofs = ProofList::new(analysis);
    for &id in exchanges.iter().take(CASES) {
        prove(analysis.exchange(id), &mut proofs);
    }
    let mut finding = draft.finish(exchanges, proofs);
    if only_checks {
        finding.summary.push_str(if finding.count == 1 { " (a health check)" } else { " (health checks)" });
    }
    finding
}

/// The figures that only the words of this rule hold.
fn own_figures(around: &Around<'_>, group: &Group, exchanges: &[ExchangeId], draft: &mut Draft<'_>) {
    let analysis = around.analysis;
    let first = analysis.exchange(exchanges[0]);
    match group.figures() {
        Figures::Usual => {}
        Figures::Deciding => {
            let others = around.decided().answered_others(first);
            draft.values.push(("others", counted(others as u64, "other request")));
            let quickest =
                exchanges.iter().map(|&id| around.decided().quickest_ns(analysis.exchange(id))).min();
            draft.values.push(("quickest", duration(quickest.unwrap_or_default())));
        }
        Figures::Restart => {
            if let Some((bursts, at)) = around.burst(first) {
                draft.values.extend(burst::values(bursts, at));
                draft.certainty = bursts[at].certainty();
            }
        }
        Figures::Passing => {
            let passed_on = around.sent_on(first).passed_on;
            draft.values.push(("passed_on", counted(passed_on, "other request")));
        }
        Figures::Waiting => draft.values.push(("waited_for", waited_for(analysis, exchanges))),
    }
}

/// Who had these requests and had not begun to answer any when their clients left: the deepest hop that was asked.
fn waited_for(analysis: &Analysis, exchanges: &[ExchangeId]) -> String {
    let deepest = |&id: &ExchangeId| {
        let below = |id: &ExchangeId| analysis.trees.children(*id).last().copied();
        let last = std::iter::successors(Some(id), below).take(MOST_HOPS).last().unwrap_or(id);
        let exchange = analysis.exchange(last);
        let silent = last != id && exchange.raw.request.is_complete() && !exchange.raw.response.is_present();
        silent.then(|| analysis.link(exchange.link_id()).to)
    };
    let mut lanes = exchanges.iter().map(deepest);
    let Some(first) = lanes.next().flatten() else { return String::new() };
    if lanes.any(|lane| lane != Some(first)) {
        return String::new();
    }
    let name = &analysis.lane(first).name;
    format!("What they waited for had got as far as {name}, which had not sent a byte of an answer.")
}

/// Whether an exchange failed, and who asked first got a good answer all the same.
fn is_masked(analysis: &Analysis, outcomes: &[Outcome], id: ExchangeId) -> bool {
    let root = analysis.trees.root(id);
    root != id
        && !is_cut_unnoticed(analysis, outcomes, id)
        && fails(analysis, outcomes, id)
        && outcomes[root.0 as usize] == Outcome::Complete
        && analysis.exchange(root).status().is_some_and(|status| status < 400)
}

/// `GET /.env (11 times) and POST /login`: what was asked for, the most frequent first.
pub(super) fn which(analysis: &Analysis, exchanges: &[ExchangeId]) -> String {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for &id in exchanges {
        let exchange = analysis.exchange(id);
        let target = exchange.target();
        let path = target.split('?').next().unwrap_or_default();
        let short: String = path.chars().take(LONGEST_PATH).collect();
        count(&mut all, &format!("{} {}", exchange.method(), printable(&short)));
    }
    let mut all: Vec<(String, u64)> = all.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let named = |(what, number): &(String, u64)| match number {
        1 => what.clone(),
        _ => format!("{what} ({})", times(*number)),
    };
    let mut parts: Vec<String> = all.iter().take(MOST_NAMED).map(named).collect();
    if all.len() > MOST_NAMED {
        parts.push(format!("{} more", grouped((all.len() - MOST_NAMED) as u64)));
    }
    listed(&parts)
}

/// `3 in a body with a Content-Length and 2 in a chunked body`.
fn forms(hits: &[Hit]) -> String {
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for hit in hits.iter().filter(|hit| !hit.rule.form.is_empty()) {
        *all.entry(hit.rule.form).or_default() += 1;
    }
    match all.iter().collect::<Vec<_>>()[..] {
        [(form, _)] => (*form).to_owned(),
        _ => listed(
            &all.iter().map(|(form, number)| format!("{} {form}", grouped(*number))).collect::<Vec<_>>(),
        ),
    }
}

/// The figures that words may hold: waits, sizes, and how the connections ended.
fn figures<'a>(cases: impl Iterator<Item = Case<'a>>, draft: &mut Draft<'_>) {
    let (mut silences, mut took, mut sizes) = (Vec::new(), Vec::new(), [0u64; 5]);
    let (mut fins, mut resets) = (0u64, 0u64);
    let (mut firsts, mut reused) = (0u64, 0u64);
    for case in cases {
        *(if case.raw.ordinal > 1 { &mut reused } else { &mut firsts }) += 1;
        silences.extend(case.silence_ns());
        took.extend(case.took_ns());
        let announced = match case.raw.request.framing {
            crate::http::Framing::Length(length) => length,
            _ => case.raw.request.body_bytes,
        };
        let (heads, target) = ([case.request_head(), case.most_response_head()], case.raw.target.len);
        let largest = [heads[0], heads[1], announced, target.into(), case.raw.request.body_bytes];
        for (size, case) in sizes.iter_mut().zip(largest) {
            *size = (*size).max(case);
        }
        match case.end().map(|end| end.kind) {
            Some(EventKind::Rst) => resets += 1,
            Some(_) => fins += 1,
            None => {}
        }
    }
    let silence = middle(&mut silences);
    let names = ["request_head", "response_head", "announced", "target", "sent"];
    draft.values.extend(names.into_iter().zip(sizes.map(|size| counted(size, "byte"))));
    // Buffers are configured in powers of two, and with some room.
    let buffer = (sizes[0].max(sizes[1]) / 1024 + 1).next_power_of_two();
    draft.values.push(("buffer", buffer.to_string()));
    draft.values.push(("buffer_bytes", (buffer * 1024).to_string()));
    draft.values.push(("megabytes", (sizes[2] / (1 << 20) + 1).next_power_of_two().to_string()));
    draft.values.push(("t", duration(silence)));
    draft.values.push(("took", duration(middle(&mut took))));
    draft.values.push(("above", (silence / 500_000_000).max(2).to_string()));
    let ends = match (fins, resets) {
        (_, 0) => "FIN".to_owned(),
        (0, _) => "RST".to_owned(),
        _ => format!("{} by FIN and {} by RST", grouped(fins), grouped(resets)),
    };
    draft.values.push(("ends", ends));
    let (asked, why) = unanswered(firsts, reused);
    draft.values.push(("asked", asked));
    draft.values.push(("why", why));
}

/// What a server closed in place of answering, and why it was no stale connection, by the ordinals of the requests.
fn unanswered(firsts: u64, reused: u64) -> (String, String) {
    if reused == 0 {
        return (
            "closed new connections without answering their first request".to_owned(),
            "The first request on a connection meets no stale pool".to_owned(),
        );
    }
    let both = match firsts {
        0 => String::new(),
        _ => format!(" ({} on new connections, {} on kept ones)", grouped(firsts), grouped(reused)),
    };
    (
        format!("closed connections in place of answering a request{both}"),
        "Each close came with the request in hand, and not after the answer before it: no stale connection is to blame"
            .to_owned(),
    )
}

fn middle(values: &mut [i64]) -> i64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The packets of one case, in the order of the story.
fn prove(exchange: ExchangeView<'_>, proofs: &mut ProofList<'_>) {
    let analysis = exchange.analysis;
    let link = analysis.link(exchange.link_id());
    let (from, to) = (&analysis.lane(link.from).name, &analysis.lane(link.to).name);
    let raw = exchange.raw;
    let state = if raw.request.is_complete() { "sent" } else { "begun, and never finished" };
    proofs.add(exchange, raw.request.first_frame, format!("request {} {state}", raw.ordinal));
    let late = if exchange.left_before_response().is_some() { ", when nobody listens any more" } else { "" };
    let answer = match exchange.status() {
        Some(status) => format!("{to} answers {status}{late}"),
        None if raw.flags.has(ExchangeFlags::NO_OUTPUT) => {
            let status = raw.flags.refusal().map_or(String::new(), |name| format!(" with {name}"));
            format!("{to} ends it{status}, and wrote nothing")
        }
        None => format!("{to} sends bytes that hold no status"),
    };
    proofs.add(exchange, raw.response.first_frame, answer);
    let life = Life::of(exchange.connection());
    let end = life.server_ended().map(|end| (end, to)).or_else(|| life.client_ended().map(|end| (end, from)));
    if let Some((end, who)) = end {
        let how = if end.kind == EventKind::Rst { "resets" } else { "sends FIN" };
        let when =
            if raw.response.is_complete() && late.is_empty() { "" } else { " before the response was whole" };
        proofs.add(exchange, end.frame, format!("{who} {how}{when}"));
    }
    let Some(parentage) = analysis.trees.parent(exchange.id) else { return };
    let parent = analysis.exchange(parentage.parent);
    if let Some(status) = parent.status().filter(|&status| status >= 500) {
        let above = &analysis.lane(analysis.link(parent.link_id()).from).name;
        proofs.add(parent, parent.raw.response.first_frame, format!("{from} answers {above}: {status}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_make_one_finding_have_the_same_figures() {
        let all = || RULES.iter().copied().flatten().chain(response::EXTRAS);
        for rule in all() {
            let same =
                |other: &&Rule| (other.words.kind, other.words.cause) == (rule.words.kind, rule.words.cause);
            assert!(all().filter(same).all(|other| other.figures == rule.figures), "{}", rule.words.kind);
        }
    }
}
