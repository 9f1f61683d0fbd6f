//! Requests that a proxy answered 502 without a packet: it had picked a connection that the server had just closed. Go's
//! HTTP client (Caddy, Traefik) sees the FIN before it writes, and gives up what it may not repeat: `http: server closed
//! idle connection`.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::SessionTime;
use crate::tcp::{Event, EventKind, Side};
use crate::topology::{ClockMethod, ConnectionId, ExchangeId, LaneId, LinkId};

use super::draft::{Draft, ProofList, statuses};
use super::reuse::CASES;
use super::{Certainty, Diagnosis, Finding, Outcome, Rejection, texts};

/// A proxy that sends nothing answers within this time after it has let go of the connection.
const AT_ONCE_NS: i64 = 2_000_000;
/// How far apart packets of one event may lie on one clock.
const SLACK_NS: i64 = 20_000;
/// Clocks that may be farther apart tell nothing of what was right before what.
const MOST_SLACK_NS: i64 = 1_000_000;

/// A request for which nothing was sent.
pub(super) struct Unsent {
    pub(super) exchange: ExchangeId,
    pub(super) link: LinkId,
    /// The connection that the proxy let go of.
    connection: ConnectionId,
}

/// A kept connection that the server ended, and the proxy after it.
struct LetGo {
    at: SessionTime,
    link: LinkId,
    connection: ConnectionId,
}

/// Looks at the gateway errors that nothing else explains, on lanes whose requests on kept connections are rejected.
pub(super) fn find(
    analysis: &Analysis,
    outcomes: &[Outcome],
    rejections: &[Rejection],
    explained: &BTreeMap<ExchangeId, LinkId>,
) -> Vec<Unsent> {
    let raced: BTreeSet<LinkId> =
        rejections.iter().map(|rejection| analysis.exchange(rejection.exchange).link_id()).collect();
    if raced.is_empty() {
        return Vec::new();
    }
    let let_go = let_go(analysis, outcomes, &raced);
    let is_open = |x: &ExchangeView<'_>| {
        outcomes[x.id.0 as usize] == Outcome::Complete
            && x.status() == Some(502)
            && x.raw.request.is_present()
            && analysis.trees.children(x.id).is_empty()
            && !explained.contains_key(&x.id)
    };
    let mut errors: Vec<ExchangeView<'_>> = analysis.exchanges().filter(is_open).collect();
    errors.sort_unstable_by_key(|x| (x.settled(), x.id));
    let mut taken: BTreeSet<ConnectionId> = BTreeSet::new();
    let mut unsent = Vec::new();
    for error in errors {
        let Some(all) = let_go.get(&analysis.link(error.link_id()).to) else { continue };
        let until = |slack: i64| SessionTime(error.settled().0.saturating_add(slack));
        let since = error.started().max(SessionTime(error.settled().0.saturating_sub(AT_ONCE_NS)));
        let from = all.partition_point(|one| one.at < since);
        let near = all[from..].iter().take_while(|one| one.at <= until(MOST_SLACK_NS));
        let mut fitting = near.filter(|one| {
            let slack = slack_ns(&error.connection(), &analysis.connection(one.connection));
            slack.is_some_and(|slack| one.at <= until(slack)) && !taken.contains(&one.connection)
        });
        let found = fitting.next();
        if let Some(one) = found {
            taken.insert(one.connection);
            unsent.push(Unsent { exchange: error.id, link: one.link, connection: one.connection });
        }
    }
    unsent
}

/// How far apart the clocks of two connections may be, in nanoseconds; `None` where that is not known, or too far.
fn slack_ns(one: &ConnectionView<'_>, other: &ConnectionView<'_>) -> Option<i64> {
    let others = &other.inner.sightings;
    if one.inner.sightings.iter().any(|own| others.iter().any(|seen| seen.capture == own.capture)) {
        return Some(SLACK_NS);
    }
    let band = |connection: &ConnectionView<'_>| {
        let clock = &connection.analysis.topology.clocks[connection.capture().index()];
        clock.band_ns.or((clock.method == ClockMethod::SameHost).then_some(0))
    };
    let slack = band(one)?.saturating_add(band(other)?).saturating_add(SLACK_NS);
    (slack <= MOST_SLACK_NS).then_some(slack)
}

/// By the lane that asks, in the order of time: connections whose last request was answered, that the server closed first.
fn let_go(
    analysis: &Analysis,
    outcomes: &[Outcome],
    links: &BTreeSet<LinkId>,
) -> BTreeMap<LaneId, Vec<LetGo>> {
    let mut all: BTreeMap<LaneId, Vec<LetGo>> = BTreeMap::new();
    for connection in analysis.connections().filter(|c| links.contains(&c.inner.link)) {
        let last = connection.exchanges().last();
        if last.is_none_or(|x| outcomes[x.id.0 as usize] != Outcome::Complete) {
            continue;
        }
        let Some((_, at)) = ends(&connection) else { continue };
        let one = LetGo {
            at: connection.time(at.at, at.frame),
            link: connection.inner.link,
            connection: connection.id,
        };
        all.entry(analysis.link(connection.inner.link).from).or_default().push(one);
    }
    all.values_mut().for_each(|list| list.sort_unstable_by_key(|one| (one.at, one.connection)));
    all
}

/// The server's FIN and the client's end after it, where they come in this order.
fn ends<'a>(connection: &ConnectionView<'a>) -> Option<(&'a Event, &'a Event)> {
    let mut ends =
        connection.events().iter().filter(|event| matches!(event.kind, EventKind::Fin | EventKind::Rst));
    let ended = ends.next().filter(|event| event.from == Side::Server && event.kind == EventKind::Fin)?;
    Some((ended, ends.find(|event| event.from == Side::Client)?))
}

/// One finding for each link.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis, unsent: &[Unsent]) -> Vec<Finding> {
    let mut by_link: BTreeMap<LinkId, Vec<&Unsent>> = BTreeMap::new();
    for one in unsent {
        by_link.entry(one.link).or_default().push(one);
    }
    let finding = |(link, cases): (LinkId, Vec<&Unsent>)| {
        let mut draft = Draft::new(analysis, diagnosis, &texts::UNSENT, link);
        draft.certainty = Certainty::Likely;
        let exchanges: Vec<ExchangeId> = cases.iter().map(|one| one.exchange).collect();
        draft.values.push(("statuses", statuses(analysis, &exchanges)));
        let mut proofs = ProofList::new(analysis);
        for one in cases.iter().take(CASES) {
            let (exchange, connection) =
                (analysis.exchange(one.exchange), analysis.connection(one.connection));
            proofs.add(exchange, exchange.raw.request.first_frame, "request that was not passed on");
            if let Some((ended, at)) = ends(&connection) {
                proofs.add_packet(one.connection, ended.frame, "the server closes a kept connection");
                proofs.add_packet(one.connection, at.frame, "the proxy lets go of it");
            }
            proofs.add(
                exchange,
                exchange.raw.response.first_frame,
                "answered 502, and nothing was sent for it",
            );
        }
        draft.finish(exchanges, proofs)
    };
    by_link.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method;
    use crate::tcp::Side::{Client, Server};

    /// Two links: a request on a kept connection is rejected; then the proxy answers one 502 so long after it closed a
    /// connection that the server had closed.
    fn found(after: i64) -> Vec<(String, u64)> {
        let mut chain = Chain::new(&["user", "caddy", "app"]);
        let user = chain.open(0, 0);
        let raced = chain.open(1, MS);
        let picked = chain.open(1, MS);
        chain.conns[user].request(Method::Get, "/1", 2 * MS).response(502, 12 * MS);
        let conn = &mut chain.conns[raced];
        conn.request(Method::Get, "/0", 2 * MS).response(200, 3 * MS);
        conn.request(Method::Get, "/1", 9 * MS).sync().rst(Server, 10 * MS, false);
        chain.conns[picked].request(Method::Get, "/0", 2 * MS).response(200, 3 * MS);
        chain.conns[picked].fin(Server, 20 * MS).fin(Client, 30 * MS);
        chain.conns[user].request(Method::Post, "/2", 25 * MS).response(502, 30 * MS + after);
        let findings = chain.analyse().diagnosis.findings;
        let mine = findings.into_iter().filter(|finding| finding.cause == "closed-before-it-was-sent");
        mine.map(|finding| (finding.summary, finding.count)).collect()
    }

    #[test]
    fn a_502_right_after_a_dead_connection_was_let_go_is_told_apart() {
        let summary = "caddy → app: caddy picked kept connections that app had just closed, once";
        assert_eq!(found(MS / 10), [(summary.to_owned(), 1)]);
        assert_eq!(found(50 * MS), []);
    }
}
