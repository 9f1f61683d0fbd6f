//! Ties between captures whose stamps alone show that one machine took them, at two of its interfaces: what is asked in
//! one always lies inside what is asked in the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::super::ClockMethod;
use super::super::cause::{Moment, ends};
use super::super::fit::Bounds;
use super::super::inside::{
    FEWEST_OF_STRANGERS, LUCK_OF_STRANGERS, holders, is_steady, lie_inside, may_lie_inside,
};
use super::{LEAST_EXCHANGES, Tie, bound};
use crate::http::CaptureFacts;

/// Servers of each capture that are looked at, those with the most requests first.
const MOST_SERVERS: usize = 8;
/// Requests of each server that are looked at.
const MOST_REQUESTS: usize = 20_000;

/// The answered requests of one server, by the stamps of its capture, sorted: start and end.
struct Asked {
    server: SocketAddr,
    requests: Vec<(Moment, Moment)>,
    spans: Vec<(i64, i64)>,
}

/// Ties of captures that nothing else ties, by the time alone.
pub(super) fn ties(captures: &[Arc<CaptureFacts>], apart: &[usize]) -> Vec<Tie> {
    if apart.iter().all(|&root| root == apart[0]) {
        return Vec::new();
    }
    let asked: Vec<Vec<Asked>> = captures.iter().map(|facts| asked(facts)).collect();
    let mut ties = Vec::new();
    for a in 0..captures.len() {
        for b in a + 1..captures.len() {
            if apart[a] != apart[b] {
                ties.extend(tie(&asked[a], &asked[b], a, b));
            }
        }
    }
    ties
}

fn asked(facts: &CaptureFacts) -> Vec<Asked> {
    let mut servers: BTreeMap<SocketAddr, Vec<(Moment, Moment)>> = BTreeMap::new();
    for exchange in facts.exchanges.iter().filter(|x| x.request.is_present()) {
        let flow = facts.flow(exchange.flow);
        let requests = servers.entry(flow.server).or_default();
        if let Some(end) = ends(facts, flow, exchange).0.filter(|_| requests.len() < MOST_REQUESTS) {
            requests.push(((exchange.request.start, exchange.request.first_frame), end));
        }
    }
    let mut all: Vec<_> =
        servers.into_iter().filter(|(_, requests)| requests.len() >= FEWEST_OF_STRANGERS).collect();
    all.sort_by_key(|(_, requests)| std::cmp::Reverse(requests.len()));
    all.truncate(MOST_SERVERS);
    all.into_iter()
        .map(|(server, mut requests)| {
            requests.sort_unstable();
            let spans = requests.iter().map(|(start, end)| (start.0.0, end.0.0)).collect();
            Asked { server, requests, spans }
        })
        .collect()
}

fn tie(one: &[Asked], other: &[Asked], a: usize, b: usize) -> Option<Tie> {
    let mut best: Option<(f64, Bounds)> = None;
    for own in one {
        for others in other.iter().filter(|others| others.server != own.server) {
            for (outer, inner, is_a_outer) in [(own, others, true), (others, own, false)] {
                if is_steady(&inner.spans) || !may_lie_inside(&inner.spans, &outer.spans) {
                    continue;
                }
                let luck = lie_inside(&inner.spans, &outer.spans).filter(|luck| *luck >= LUCK_OF_STRANGERS);
                if let Some(luck) = luck.filter(|luck| best.as_ref().is_none_or(|best| *luck > best.0)) {
                    best = Some((luck, bounds(outer, inner, is_a_outer)));
                }
            }
        }
    }
    let (_, bounds) = best?;
    let fit =
        bounds.fit(LEAST_EXCHANGES).filter(|fit| fit.is_exact && bounds.len() >= 2 * LEAST_EXCHANGES)?;
    Some(Tie { a, b, fit, bounds, method: ClockMethod::Containment })
}

/// What the requests say that lie in only one of the others: in which of several the clock would decide.
fn bounds(outer: &Asked, inner: &Asked, is_a_outer: bool) -> Bounds {
    let mut bounds = Bounds::default();
    for (child, span) in inner.requests.iter().zip(&inner.spans) {
        let mut holding = holders(*span, &outer.spans);
        let (Some(sole), None) = (holding.next(), holding.next()) else { continue };
        let at = outer.spans.partition_point(|span| span < sole);
        let parent = &outer.requests[at];
        let [start, end] = [(parent.0, child.0), (parent.1, child.1)]
            .map(|(parent, child)| if is_a_outer { bound(parent, child) } else { bound(child, parent) });
        bounds.to_server.push(start);
        bounds.to_client.push(end);
    }
    bounds
}

#[cfg(test)]
mod tests {
    use crate::testing::Script;
    use crate::topology::{ClockMethod, Overrides, build};

    const MS: i64 = 1_000_000;

    /// How the clock of the second of two captures was found: of one machine, whose edge rewrites every request, but for
    /// what the second clock is late.
    fn method(late: i64) -> ClockMethod {
        let mut scripts = [Script::new("in.pcap"), Script::new("out.pcap")];
        let user = scripts[0].connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
        let app = scripts[1].connection(0, "10.0.2.1:4000", "10.0.2.2:8000", 100);
        for n in 1..=40 {
            let at = (n * 100 + n * n % 7 * 40) * MS;
            scripts[0].request(user, at, "GET", &format!("/shop/{n}"), &[], "");
            scripts[0].response(user, at + 5 * MS, 200, 20);
            scripts[1].request(app, at + late + MS, "GET", &format!("/index.php?id={n}"), &[], "");
            scripts[1].response(app, at + late + 4 * MS, 200, 20);
        }
        build(&scripts.map(Script::finish), &Overrides::default()).clocks[1].method
    }

    #[test]
    fn two_captures_of_one_machine_are_tied_by_their_stamps_alone() {
        assert_eq!(method(0), ClockMethod::Containment);
        assert_eq!(method(30 * MS), ClockMethod::None);
    }
}
