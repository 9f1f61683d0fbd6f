//! Requests that a proxy answered 502 without a packet: it had picked a connection that the server had just closed. Go's
//! HTTP client (Caddy, Traefik) sees the FIN before it writes, and gives up what it may not repeat: `http: server closed
//! idle connection`.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::SessionTime;
use crate::correlate::Confidence;
use crate::tcp::{Event, EventKind, Side};
use crate::topology::{ClockMethod, ConnectionId, ExchangeId, LaneId, LinkId};

use super::draft::{Draft, ProofList, statuses};
use super::origins::fails;
use super::reuse::CASES;
use super::sight;
use super::{Certainty, Diagnosis, Finding, Outcome, Rejection, texts};

/// A proxy that sends nothing answers within this time after it has let go of the connection, or lets go of it within
/// this time after it has answered: Traffic Server does that, and a busy node takes 3 ms.
const AT_ONCE_NS: i64 = 5_000_000;
const AFTERWARDS_NS: i64 = 1_000_000;
/// How far apart packets of one event may lie on one clock.
const SLACK_NS: i64 = 20_000;
/// Clocks that may be farther apart tell nothing of what was right before what.
const MOST_SLACK_NS: i64 = 1_000_000;

/// A request for which nothing was sent.
pub(super) struct Unsent {
    pub(super) exchange: ExchangeId,
    pub(super) link: LinkId,
    /// The connection that the proxy let go of, where one is known.
    connection: Option<ConnectionId>,
}

/// A kept connection that the server ended, and the proxy after it.
struct LetGo {
    /// When the server ended it, and when the proxy did.
    ended: SessionTime,
    at: SessionTime,
    link: LinkId,
    connection: ConnectionId,
}

/// Looks at the gateway errors that nothing else explains, on lanes whose requests on kept connections are rejected.
/// `no_live` are those at which the proxy seems to hold no server for alive; what belongs here is taken out of it.
pub(super) fn find(
    analysis: &Analysis,
    outcomes: &[Outcome],
    rejections: &[Rejection],
    explained: &BTreeMap<ExchangeId, LinkId>,
    no_live: &mut Vec<ExchangeId>,
) -> Vec<Unsent> {
    let raced: BTreeSet<LinkId> =
        rejections.iter().map(|rejection| analysis.exchange(rejection.exchange).link_id()).collect();
    if raced.is_empty() {
        return Vec::new();
    }
    let words = words_for_dead(analysis, rejections);
    let let_go = let_go(analysis, outcomes, &raced);
    let strays = strays(analysis, outcomes, &raced);
    let is_open = |x: &ExchangeView<'_>| {
        outcomes[x.id.0 as usize] == Outcome::Complete
            && x.status().is_some_and(|status| words.contains(&(analysis.link(x.link_id()).to, status)))
            && x.raw.request.is_present()
            && analysis.trees.children(x.id).is_empty()
            && !explained.contains_key(&x.id)
    };
    let mut errors: Vec<ExchangeView<'_>> = analysis.exchanges().filter(is_open).collect();
    errors.sort_unstable_by_key(|x| (x.settled(), x.id));
    let mut taken: BTreeSet<ConnectionId> = BTreeSet::new();
    let mut unsent = Vec::new();
    let mut lanes: BTreeMap<LaneId, Answers<'_>> = BTreeMap::new();
    for error in errors {
        let lane = analysis.link(error.link_id()).to;
        let Some(all) = let_go.get(&lane) else { continue };
        let near = |at: SessionTime, ns: i64| SessionTime(at.0.saturating_add(ns));
        if strays.get(&lane).is_some_and(|strays| strays.may_hold(error)) {
            continue;
        }
        let answers = lanes.entry(lane).or_default();
        let (since, until) = (near(error.settled(), -AT_ONCE_NS), near(error.settled(), AFTERWARDS_NS));
        let from = all.partition_point(|one| one.at < since.max(error.started()));
        let fitting = all[from..].iter().take_while(|one| one.at <= until).filter(|one| {
            let slack = slack_ns(&error.connection(), &analysis.connection(one.connection));
            slack.is_some_and(|slack| one.ended <= near(error.settled(), slack))
                && !taken.contains(&one.connection)
                && was_captured(analysis, one.connection, error)
        });
        // The last one before the answer, else the first behind it.
        let apart = |one: &&LetGo| (one.at > error.settled(), one.at.since_ns(error.settled()).abs());
        if let Some(one) = fitting.min_by_key(apart) {
            taken.insert(one.connection);
            answers.matched.push(one.link);
            unsent.push(Unsent { exchange: error.id, link: one.link, connection: Some(one.connection) });
        } else if no_live.binary_search(&error.id).is_err() {
            answers.open.push((error, all));
        }
    }
    for answers in lanes.into_values() {
        unsent.extend(answers.slow(&mut taken));
    }
    // Where the captures lack packets, requests may have been sent in those.
    sight::drop_lost(analysis, &mut unsent, |one| Some(analysis.link(one.link).from));
    settle(analysis, &mut unsent, no_live);
    unsent
}

/// What each lane answers where the connection that it picked was dead: 502, and whatever else it said of requests that were
/// sent on such a one (Varnish: 503).
fn words_for_dead(analysis: &Analysis, rejections: &[Rejection]) -> BTreeSet<(LaneId, u16)> {
    let said = rejections.iter().flat_map(|rejection| {
        let exchange = analysis.exchange(rejection.exchange);
        let lane = analysis.link(exchange.link_id()).from;
        let parent = analysis.trees.parent(rejection.exchange).map(|p| analysis.exchange(p.parent));
        let last = exchange.next_attempt().is_none();
        let status = parent.and_then(|parent| parent.status()).filter(|&status| last && status > 502);
        [Some((lane, 502)), status.map(|status| (lane, status))].into_iter().flatten()
    });
    said.collect()
}

/// The errors that one lane answered without sending anything.
#[derive(Default)]
struct Answers<'a> {
    /// The links of the connections that it let go of right then.
    matched: Vec<LinkId>,
    /// Those right before which it let go of none, and what it let go of at any time.
    open: Vec<(ExchangeView<'a>, &'a [LetGo])>,
}

impl Answers<'_> {
    /// Of a lane most of whose errors came right after it had let go of a connection, those too for which it let go of one
    /// earlier in the request: a process that waits for its turn on the processor answers late.
    fn slow(self, taken: &mut BTreeSet<ConnectionId>) -> Vec<Unsent> {
        if self.matched.len() <= self.open.len() {
            return Vec::new();
        }
        let picked = |(error, all): (ExchangeView<'_>, &[LetGo])| {
            let until = SessionTime(error.settled().0.saturating_add(AFTERWARDS_NS));
            let from = all.partition_point(|one| one.at < error.started());
            let within = all[from..].iter().take_while(|one| one.at <= until);
            let one = within.filter(|one| !taken.contains(&one.connection)).last()?;
            taken.insert(one.connection);
            Some(Unsent { exchange: error.id, link: one.link, connection: Some(one.connection) })
        };
        self.open.into_iter().filter_map(picked).collect()
    }
}

/// What one lane sent for requests that are not known.
#[derive(Default)]
struct Strays {
    /// When, sorted.
    at: Vec<SessionTime>,
    /// How long it may have been under way then.
    under_way_ns: i64,
}

impl Strays {
    /// Whether one of them may have been sent for a request that was answered before it came to where it was captured.
    fn may_hold(&self, error: ExchangeView<'_>) -> bool {
        let until = error.settled().0.saturating_add(self.under_way_ns).saturating_add(SLACK_NS);
        let first = self.at.partition_point(|at| *at < error.started());
        self.at.get(first).is_some_and(|at| at.0 <= until)
    }
}

fn strays(analysis: &Analysis, outcomes: &[Outcome], links: &BTreeSet<LinkId>) -> BTreeMap<LaneId, Strays> {
    let mut all: BTreeMap<LaneId, Strays> = BTreeMap::new();
    for &id in links {
        let link = analysis.link(id);
        let sent = link.connections.iter().flat_map(|&id| analysis.connection(id).exchanges());
        let unknown =
            sent.filter(|x| x.raw.request.is_present() && may_be_for_another(analysis, outcomes, x.id));
        all.entry(link.from).or_default().at.extend(unknown.map(|x| x.started()));
    }
    for (&lane, strays) in &mut all {
        strays.at.sort_unstable();
        strays.under_way_ns = sight::under_way_ns(analysis, lane);
    }
    all
}

/// Whether nothing tells what this was sent for, or it failed and went by a guess to a request that did not: of requests
/// that are all alike, one that failed may be its own.
fn may_be_for_another(analysis: &Analysis, outcomes: &[Outcome], id: ExchangeId) -> bool {
    let Some(parentage) = analysis.trees.parent(id) else { return true };
    let guessed = |sibling: &ExchangeId| {
        analysis.trees.parent(*sibling).is_some_and(|own| own.confidence == Confidence::Ambiguous)
    };
    fails(analysis, outcomes, id)
        && !fails(analysis, outcomes, parentage.parent)
        && analysis.trees.children(parentage.parent).iter().any(guessed)
}

/// A proxy without a live server answers so for seconds, and lets go of connections by chance; one that meets dead
/// connections lets go of one for each such answer. What most of a lane's answers show holds for all of them.
fn settle(analysis: &Analysis, unsent: &mut Vec<Unsent>, no_live: &mut Vec<ExchangeId>) {
    let mut lanes: BTreeMap<LaneId, (Option<LinkId>, usize)> = BTreeMap::new();
    let lane = |id: ExchangeId| analysis.link(analysis.exchange(id).link_id()).to;
    let doubtful: BTreeSet<ExchangeId> = no_live.iter().copied().collect();
    for &id in &doubtful {
        lanes.entry(lane(id)).or_default().1 += 1;
    }
    let mut matched: BTreeMap<LaneId, usize> = BTreeMap::new();
    for one in unsent.iter().filter(|one| doubtful.contains(&one.exchange)) {
        *matched.entry(lane(one.exchange)).or_default() += 1;
        lanes.entry(lane(one.exchange)).or_default().0 = Some(one.link);
    }
    lanes.retain(|lane, (link, all)| link.is_some() && matched.get(lane).is_some_and(|n| n * 2 > *all));
    unsent.retain(|one| !doubtful.contains(&one.exchange) || lanes.contains_key(&lane(one.exchange)));
    let known: BTreeSet<ExchangeId> = unsent.iter().map(|one| one.exchange).collect();
    for &id in no_live.iter().filter(|id| !known.contains(id)) {
        if let Some(&(Some(link), _)) = lanes.get(&lane(id)) {
            unsent.push(Unsent { exchange: id, link, connection: None });
        }
    }
    no_live.retain(|&id| !lanes.contains_key(&lane(id)));
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

/// Whether the capture of a connection ran for as long as a request was open: what it does not hold was not sent then.
fn was_captured(analysis: &Analysis, connection: ConnectionId, request: ExchangeView<'_>) -> bool {
    let span = analysis.capture_span(analysis.connection(connection).capture());
    span.is_some_and(|(first, last)| first <= request.started() && request.settled() <= last)
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
        let Some((ended, at)) = ends(&connection) else { continue };
        let one = LetGo {
            ended: connection.time(ended.at, ended.frame),
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
            let exchange = analysis.exchange(one.exchange);
            proofs.add(exchange, exchange.raw.request.first_frame, "request that was not passed on");
            let let_go = one.connection.and_then(|id| Some((id, ends(&analysis.connection(id))?)));
            if let Some((id, (ended, at))) = let_go {
                proofs.add_packet(id, ended.frame, "the server closes a kept connection");
                proofs.add_packet(id, at.frame, "the proxy lets go of it");
            }
            proofs.add(
                exchange,
                exchange.raw.response.first_frame,
                format!("answered {}, and nothing was sent for it", exchange.status().unwrap_or_default()),
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
        cases(raced_and_captured(after))
    }

    fn raced(after: i64) -> Chain {
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
        chain
    }

    #[test]
    fn a_proxy_that_says_503_of_dead_connections_says_so_also_where_it_sent_nothing() {
        let with = |said: u16| {
            let mut chain = raced_and_captured(MS / 10);
            let user = &mut chain.conns[0];
            let status = |status| std::num::NonZeroU16::new(status);
            user.exchanges[0].status = status(said);
            user.exchanges[1].status = status(503);
            chain.parent((1, 1), (0, 0), 1);
            cases(chain).len()
        };
        assert_eq!([with(502), with(503)], [0, 1]);
    }

    /// As before, and the capture behind the proxy goes on for long enough.
    fn raced_and_captured(after: i64) -> Chain {
        let mut chain = raced(after);
        chain.open(1, 900 * MS);
        chain
    }

    fn cases(chain: Chain) -> Vec<(String, u64)> {
        let findings = chain.analyse().diagnosis.findings;
        let mine = findings.into_iter().filter(|finding| finding.cause == "closed-before-it-was-sent");
        mine.map(|finding| (finding.summary, finding.count)).collect()
    }

    #[test]
    fn what_may_be_among_lost_packets_was_not_left_unsent() {
        let with = |missing: u64| {
            let mut chain = raced_and_captured(MS / 10);
            let other = chain.open(1, MS);
            chain.conns[other]
                .request(Method::Get, "/0", 2 * MS)
                .response(200, 3 * MS)
                .uncaptured(missing, 900);
            cases(chain)
        };
        assert_eq!((with(0).len(), with(1).len(), with(100).len()), (1, 1, 0));
    }

    #[test]
    fn what_may_have_been_under_way_or_came_after_the_capture_was_not_left_unsent() {
        assert_eq!(cases(raced(MS / 10)), []);
        let with = |at: i64| {
            let mut chain = raced_and_captured(MS / 10);
            let late = chain.open(1, MS);
            chain.conns[late].request(Method::Post, "/2", at).response(200, at + MS);
            cases(chain).len()
        };
        // A handshake takes 200 µs here.
        assert_eq!((with(30 * MS + MS / 5), with(31 * MS)), (0, 1));
    }

    #[test]
    fn what_failed_for_one_of_several_alike_may_be_what_was_sent_for_the_502() {
        let with = |guessed: bool| {
            let mut chain = raced_and_captured(MS / 10);
            let (user, failed, good) = (chain.open(0, MS), chain.open(1, MS), chain.open(1, MS));
            chain.conns[user].request(Method::Get, "/2", 24 * MS).response(200, 29 * MS);
            let conn = &mut chain.conns[failed];
            conn.request(Method::Get, "/0", 2 * MS).response(200, 3 * MS);
            conn.request(Method::Get, "/2", 26 * MS).sync().rst(Server, 27 * MS, true);
            chain.conns[good].request(Method::Get, "/2", 27 * MS).response(200, 28 * MS);
            chain.parent((failed, 1), (user, 0), 1);
            if guessed {
                chain.guess((good, 0), (user, 0), 2);
            } else {
                chain.parent((good, 0), (user, 0), 2);
            }
            cases(chain).len()
        };
        assert_eq!((with(false), with(true)), (1, 0));
    }

    #[test]
    fn a_busy_proxy_answers_long_after_it_let_go_of_the_connection() {
        // Three answers come at once, so many others after 70 ms.
        let with = |slow: i64| {
            let mut chain = raced_and_captured(MS / 10);
            let user = chain.open(0, MS);
            for n in 0..2 + slow {
                let at = 100 * MS + n * 100 * MS;
                let picked = chain.open(1, MS);
                let conn = &mut chain.conns[picked];
                conn.request(Method::Get, "/0", 2 * MS).response(200, 3 * MS);
                conn.fin(Server, at + MS / 2).fin(Client, at + MS);
                let late = if n < 2 { MS } else { 70 * MS };
                chain.conns[user].request(Method::Post, "/2", at).response(502, at + MS + late);
            }
            cases(chain).into_iter().map(|(_, number)| number).sum::<u64>()
        };
        assert_eq!([with(0), with(2), with(3)], [3, 5, 3]);
    }

    #[test]
    fn a_502_right_after_a_dead_connection_was_let_go_is_told_apart() {
        let summary = "caddy → app: caddy picked kept connections that app had just closed, once";
        assert_eq!(found(MS / 10), [(summary.to_owned(), 1)]);
        assert_eq!(found(50 * MS), []);
    }

    /// A request on a kept connection is rejected; then ten 502 at once, of which so many come right after or before the
    /// proxy let go of a connection that the server had closed, and the others after nothing.
    fn told(let_go: i64) -> Vec<(String, u64)> {
        let mut chain = Chain::new(&["user", "proxy", "app"]);
        let user = chain.open(0, 0);
        let raced = chain.open(1, MS);
        chain.conns[user].request(Method::Get, "/1", 2 * MS).response(502, 12 * MS);
        let conn = &mut chain.conns[raced];
        conn.request(Method::Get, "/0", 2 * MS).response(200, 3 * MS);
        conn.request(Method::Get, "/1", 9 * MS).sync().rst(Server, 10 * MS, false);
        for n in 0..10 {
            let at = 100 * MS + n * 20 * MS;
            chain.conns[user].request(Method::Post, "/2", at).response(502, at + 2 * MS);
            if n < let_go {
                let picked = chain.open(1, MS);
                let conn = &mut chain.conns[picked];
                conn.request(Method::Get, "/0", 2 * MS).response(200, 3 * MS);
                // Traffic Server answers first.
                let behind = if n % 2 == 0 { -MS } else { MS / 10 };
                conn.fin(Server, at + MS / 2).fin(Client, at + 2 * MS + behind);
            }
        }
        chain.open(1, 900 * MS);
        let findings = chain.analyse().diagnosis.findings.into_iter();
        findings.map(|f| (if f.cause.is_empty() { f.kind } else { f.cause }, f.count)).collect()
    }

    #[test]
    fn dead_connections_are_no_dead_servers() {
        let is = |found: &[(String, u64)], what: &str, number: u64| {
            assert!(found.contains(&(what.to_owned(), number)), "{found:?}");
        };
        let no_live = |found: &[(String, u64)]| found.iter().any(|one| one.0 == "no-live-upstream");
        is(&told(10), "closed-before-it-was-sent", 10);
        // What most show holds for all, either way.
        is(&told(6), "closed-before-it-was-sent", 10);
        assert!(!no_live(&told(10)) && !no_live(&told(6)));
        is(&told(2), "no-live-upstream", 10);
        assert!(told(2).iter().all(|one| one.0 != "closed-before-it-was-sent"));
    }
}
