//! A finding in the making: words and figures from the table, the users' share, and the packets that prove it.

use std::collections::BTreeMap;

use crate::analysis::{Analysis, ExchangeView};
use crate::capture::Frame;
use crate::correlate::Orphan;
use crate::topology::{ConnectionId, ExchangeId, LaneId, LinkId};

use super::origins::{fails, failure_name, is_cut_unnoticed};
use super::texts::{Words, fill, is_proxy_product, kind_name, names_product};
use super::words::{at_least, count, counted, grouped, listed, methods, times};
use super::{ByMethod, Certainty, Diagnosis, Finding, Outcome, Proof, Severity};

/// The packets that prove a finding, with a note for each.
pub(super) struct ProofList<'a> {
    analysis: &'a Analysis,
    list: Vec<Proof>,
}

impl<'a> ProofList<'a> {
    pub(super) fn new(analysis: &'a Analysis) -> Self {
        Self { analysis, list: Vec::new() }
    }

    /// Adds a packet of an exchange's connection; number 0 means that there is none.
    pub(super) fn add(&mut self, exchange: ExchangeView<'_>, number: u32, note: impl Into<String>) {
        self.push(exchange.connection_id(), number, note.into(), Some(exchange.id));
    }

    /// Adds a packet of a connection that belongs to no exchange.
    pub(super) fn add_packet(&mut self, connection: ConnectionId, number: u32, note: impl Into<String>) {
        self.push(connection, number, note.into(), None);
    }

    fn push(&mut self, id: ConnectionId, number: u32, note: String, exchange: Option<ExchangeId>) {
        if number == 0 {
            return;
        }
        let connection = self.analysis.connection(id);
        let frame = Frame { capture: connection.capture(), number };
        let (client, server) = (connection.inner.client, connection.inner.server);
        self.list.push(Proof { frame, client, server, note, exchange, connection: Some(id) });
    }
}

/// A finding before its figures are filled in.
pub(super) struct Draft<'a> {
    analysis: &'a Analysis,
    diagnosis: &'a Diagnosis,
    words: &'static Words,
    link: Option<LinkId>,
    pub(super) values: Vec<(&'static str, String)>,
    pub(super) rule: String,
    pub(super) severity: Severity,
    pub(super) certainty: Certainty,
    pub(super) connections: Vec<ConnectionId>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        analysis: &'a Analysis,
        diagnosis: &'a Diagnosis,
        words: &'static Words,
        link: impl Into<Option<LinkId>>,
    ) -> Self {
        Self {
            analysis,
            diagnosis,
            words,
            link: link.into(),
            values: Vec::new(),
            rule: words.rule.to_owned(),
            severity: words.severity,
            certainty: Certainty::Certain,
            connections: Vec::new(),
        }
    }

    /// Fills the words; the count is that of the exchanges, or of the connections where there are none.
    pub(super) fn finish(mut self, exchanges: Vec<ExchangeId>, proofs: ProofList<'_>) -> Finding {
        let number = if exchanges.is_empty() { self.connections.len() } else { exchanges.len() } as u64;
        self.values.push(("times", times(number)));
        self.values.push(("users", users(self.analysis, self.diagnosis, &exchanges)));
        let (mut kinds, mut passes_on) = ((String::new(), String::new()), false);
        if let Some(id) = self.link {
            let link = self.analysis.link(id);
            let (from, to) = (self.analysis.lane(link.from), self.analysis.lane(link.to));
            kinds = (product_of(self.analysis, link.from), product_of(self.analysis, link.to));
            passes_on = self::passes_on(self.analysis, link.to);
            self.values.push(("link", self.analysis.link_name(id)));
            self.values.push(("from", from.name.clone()));
            self.values.push(("to", to.name.clone()));
        }
        let values = &self.values;
        Finding {
            kind: self.words.kind.to_owned(),
            rule: self.rule,
            cause: self.words.cause.to_owned(),
            severity: self.severity,
            confidence: self.certainty,
            link: self.link,
            count: number,
            summary: fill(self.words.summary, values),
            explanation: fill(self.words.explanation, values),
            fixes: self.words.fixes_for((&kinds.0, &kinds.1), passes_on, values),
            log_line: fill(self.words.log_line, values),
            doubt: fill(self.words.doubt, values),
            evidence: proofs.list,
            exchanges,
            connections: self.connections,
        }
    }
}

/// Whether a lane asks others.
fn passes_on(analysis: &Analysis, id: LaneId) -> bool {
    analysis.topology.links.iter().any(|link| link.from == id)
}

/// The name of a lane that tells the product there, else what its answers say (`Server`). Of a lane that passes on what
/// others answer that says something only where it is a proxy's name.
fn product_of(analysis: &Analysis, id: LaneId) -> String {
    let lane = analysis.lane(id);
    let name = kind_name(lane);
    if names_product(name) {
        return name.to_owned();
    }
    let passes_on = passes_on(analysis, id);
    let headers = analysis.captures.iter().flat_map(|facts| {
        let own = facts.server_headers.iter().filter(|(server, _)| lane.serves.contains(server));
        own.map(|(_, header)| facts.name(*header).to_ascii_lowercase())
    });
    let mut named =
        headers.filter(|header| names_product(header) && (!passes_on || is_proxy_product(header)));
    named.next().unwrap_or_else(|| name.to_owned())
}

/// `Users saw 502 for 6 POSTs and 2 GETs; nginx retried 8 GETs, which hid 6 failures.`
fn users(analysis: &Analysis, diagnosis: &Diagnosis, exchanges: &[ExchangeId]) -> String {
    let outcomes = &diagnosis.outcomes;
    let mut roots: Vec<ExchangeId> = Vec::new();
    let mut retried: Vec<(LaneId, ExchangeId)> = Vec::new();
    for &exchange in exchanges {
        let mut id = exchange;
        // Bounded like every walk up a tree, against a cycle.
        for _ in 0..64 {
            let Some(parentage) = analysis.trees.parent(id) else { break };
            let view = analysis.exchange(id);
            if view.attempts() > 1 && diagnosis.retried.binary_search(&parentage.parent).is_ok() {
                retried.push((analysis.link(view.link_id()).from, parentage.parent));
            }
            id = parentage.parent;
        }
        if id != exchange {
            roots.push(id);
        }
    }
    roots.sort_unstable();
    roots.dedup();
    retried.sort_unstable();
    retried.dedup();
    let mut parts: Vec<String> = seen_by_users(analysis, outcomes, &roots);
    if parts.is_empty() {
        parts.extend(nobody_saw(analysis, outcomes, exchanges, &roots));
    }
    let mut by_lane: BTreeMap<LaneId, (ByMethod, u64)> = BTreeMap::new();
    for &(lane, parent) in &retried {
        let entry = by_lane.entry(lane).or_default();
        count(&mut entry.0, analysis.exchange(parent).method());
        // What became of one whose answer was not captured is not known.
        let is_known = outcomes[parent.0 as usize] == Outcome::Complete;
        entry.1 += u64::from(is_known && !fails(analysis, outcomes, parent));
    }
    for (lane, (by_method, hidden)) in by_lane {
        let own = diagnosis.retries.iter().find(|retries| retries.lane == Some(lane));
        let about = at_least(own.map_or(0, |own| own.unsure));
        let hid = match hidden {
            0 => String::new(),
            _ => format!(", which hid {about}{}", counted(hidden, "failure")),
        };
        parts.push(format!("{} retried {about}{}{hid}", analysis.lane(lane).name, methods(&by_method)));
    }
    let text = parts.join("; ");
    if text.is_empty() { text } else { text + "." }
}

/// That no user got an error, where these failed and each is known to have a root that did not, or nobody to wait for it.
fn nobody_saw(
    analysis: &Analysis,
    outcomes: &[Outcome],
    exchanges: &[ExchangeId],
    roots: &[ExchangeId],
) -> Option<String> {
    let is = |id: &ExchangeId, orphan: Orphan| analysis.trees.orphan(*id) == Some(orphan);
    let number = |what: Orphan| exchanges.iter().filter(|id| is(id, what)).count();
    let (checks, refreshes) = (number(Orphan::HealthCheck), number(Orphan::BackgroundRefresh));
    let asked_for = exchanges.len() - checks - refreshes;
    let known = exchanges.iter().filter(|id| analysis.trees.root(**id) != **id).count() == asked_for;
    if exchanges.is_empty() || !known || !exchanges.iter().all(|id| fails(analysis, outcomes, *id)) {
        return None;
    }
    let asks = |root: &ExchangeId| analysis.lane(analysis.link(analysis.exchange(*root).link_id()).from);
    // What the users behind a first hop that is a proxy got is not known.
    let who = if roots.iter().all(|root| asks(root).users) { "user" } else { "client" };
    let cut = exchanges.iter().filter(|id| is_cut_unnoticed(analysis, outcomes, **id)).count();
    if cut == exchanges.len() {
        let requests = counted(roots.len() as u64, "request");
        return Some(format!("No {who} could notice it: {requests} got what there was as if it were whole"));
    }
    let mut parts = Vec::new();
    if checks > 0 {
        parts.push(format!("{} that no user waits for", counted(checks as u64, "health check")));
    }
    if refreshes > 0 {
        let noun = if refreshes == 1 { "refresh" } else { "refreshes" };
        parts.push(format!("{} background {noun} of a cache", grouped(refreshes as u64)));
    }
    let is_open = |root: &&ExchangeId| outcomes[root.0 as usize] == Outcome::Unknown;
    let open = roots.iter().filter(is_open).count() as u64;
    if !roots.is_empty() {
        let requests = counted(roots.len() as u64, "request");
        let end = match open {
            0 => "all answered without one".to_owned(),
            open if open == roots.len() as u64 => "whose answers were not captured".to_owned(),
            open => format!("answered without one, as far as they were captured (all but {})", grouped(open)),
        };
        parts.push(format!("{requests} of {who}s, {end}"));
    }
    if open > 0 {
        return Some(format!(
            "No {who} is known to have got an error by it: behind it stand {}",
            listed(&parts)
        ));
    }
    Some(format!("No {who} got an error by it: behind it stand {}", listed(&parts)))
}

/// What the first link that holds each request showed of it: to users, or to a hop of which nobody captured who asks.
fn seen_by_users(analysis: &Analysis, outcomes: &[Outcome], roots: &[ExchangeId]) -> Vec<String> {
    let mut seen: BTreeMap<Option<LaneId>, BTreeMap<String, ByMethod>> = BTreeMap::new();
    for &root in roots.iter().filter(|&&root| fails(analysis, outcomes, root)) {
        let exchange = analysis.exchange(root);
        let asks = analysis.link(exchange.link_id()).from;
        let hop = (!analysis.lane(asks).users).then_some(asks);
        let name = failure_name(outcomes[root.0 as usize], exchange.status());
        count(seen.entry(hop).or_default().entry(name).or_default(), exchange.method());
    }
    let words = |(hop, by_status): (Option<LaneId>, BTreeMap<String, ByMethod>)| {
        let lines: Vec<String> = by_status
            .iter()
            .map(|(status, by_method)| format!("{status} for {}", methods(by_method)))
            .collect();
        let Some(lane) = hop.map(|hop| analysis.lane(hop)) else {
            return format!("Users saw {}", listed(&lines));
        };
        match lane.addresses[..] {
            [address] => format!("{} ({address}) got {}", lane.name, listed(&lines)),
            _ => format!("{} got {}", lane.name, listed(&lines)),
        }
    };
    seen.into_iter().map(words).collect()
}

/// `502 (8 POST)`: the statuses of some exchanges with their counts, for a summary.
pub(super) fn statuses(analysis: &Analysis, exchanges: &[ExchangeId]) -> String {
    let mut all: BTreeMap<u16, u64> = BTreeMap::new();
    for &id in exchanges {
        if let Some(status) = analysis.exchange(id).status() {
            *all.entry(status).or_default() += 1;
        }
    }
    if let [(status, _)] = all.iter().collect::<Vec<_>>()[..] {
        return status.to_string();
    }
    listed(&all.iter().map(|(status, number)| format!("{status} ({})", grouped(*number))).collect::<Vec<_>>())
}
