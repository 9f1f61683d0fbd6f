//! The figures of each link, and the boundary between those that show the failure and those that do not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::analysis::Analysis;
use crate::capture::CaptureId;
use crate::correlate::Confidence;
use crate::http::{CaptureFacts, Method};
use crate::tcp::{Event, EventKind, Opening, Side, until_established_ns};
use crate::topology::LinkId;

use super::carried::Carried;
use super::origins::Retried;
use super::words::count;
use super::{Board, Diagnosis, IDLE_BOUNDS_NS, LinkFigures, Outcome, ServerFigures};

/// Counts by method and status while they are made. What a method's number means depends on the capture.
type Statuses = HashMap<(CaptureId, Method, Option<NonZeroU16>), u64, foldhash::fast::FixedState>;

/// The figures of all links.
pub(super) fn board(analysis: &Analysis, diagnosis: &Diagnosis, retried: &[Retried]) -> Board {
    let mut links: Vec<LinkFigures> = Vec::with_capacity(analysis.topology.links.len());
    // By capture: whether it lacks packets that arrived.
    let lacks = |facts: &Arc<CaptureFacts>| {
        facts.flows.iter().any(|flow| flow.directions.iter().any(|direction| direction.uncaptured_bytes > 0))
    };
    let lossy: Vec<bool> = analysis.captures.iter().map(lacks).collect();
    for at in 0..analysis.topology.links.len() {
        links.push(link_figures(analysis, diagnosis, LinkId(at as u16), &lossy));
    }
    for one in retried {
        count(&mut links[usize::from(one.link.0)].retried, analysis.exchange(one.parent).method());
    }
    for rejection in &diagnosis.rejections {
        let exchange = analysis.exchange(rejection.exchange);
        let figures = &mut links[usize::from(exchange.link_id().0)];
        count(&mut figures.rejected_by_method, exchange.method());
        count(&mut figures.rejected_by_form, rejection.form.name());
    }
    for (figures, coverage) in links.iter_mut().zip(super::coverage::by_link(analysis)) {
        figures.coverage = coverage;
    }
    let status = worst_status(diagnosis, &links);
    let boundary = status.as_deref().and_then(|status| boundary(analysis, &links, status));
    Board { links, status, boundary }
}

fn link_figures(analysis: &Analysis, diagnosis: &Diagnosis, link: LinkId, lossy: &[bool]) -> LinkFigures {
    let mut figures = LinkFigures::default();
    let mut statuses = Statuses::default();
    let (mut latencies, mut handshakes) = (Vec::<i64>::new(), Vec::<i64>::new());
    let mut servers: BTreeMap<SocketAddr, ServerFigures> = BTreeMap::new();
    let mut carried = Carried::default();
    for &id in &analysis.link(link).connections {
        let connection = analysis.connection(id);
        let flow = connection.flow();
        figures.connections += 1;
        figures.refused_connections += u64::from(super::connect::is_refused(connection));
        count(&mut figures.protocols, flow.protocol.name());
        carried.add(connection);
        // An acknowledgement that the capture lacks makes the next one look late.
        if !lossy[connection.capture().index()] {
            handshakes.extend(handshake_ns(connection.events()));
        }
        let server = servers.entry(connection.inner.server).or_default();
        server.connections += 1;
        let (mut requests, mut answers) = (0, 0);
        let mut idle_since = None;
        for exchange in connection.exchanges() {
            let (asked, answered) = (exchange.raw.request.is_present(), exchange.raw.response.is_present());
            figures.responses += u64::from(answered);
            figures.unasked += u64::from(answered && !asked);
            answers += u32::from(answered);
            *statuses.entry((exchange.capture, exchange.raw.method, exchange.raw.status)).or_default() += 1;
            latencies.extend(exchange.latency_ns());
            let idle_from = idle_since.replace(exchange.raw.response.end).filter(|_| asked);
            if !answered {
                idle_since = None;
            }
            if !asked {
                continue;
            }
            requests += 1;
            let parentage = analysis.trees.parent(exchange.id);
            figures.ambiguous += u64::from(parentage.is_some_and(|p| p.confidence == Confidence::Ambiguous));
            let outcome = diagnosis.outcomes[exchange.id.0 as usize];
            server.requests += 1;
            let is_5xx = exchange.status().is_some_and(|status| status >= 500);
            server.failed += u64::from(outcome.is_failure() || is_5xx);
            server.rejected += u64::from(outcome == Outcome::Rejected);
            figures.reused_requests += u64::from(exchange.raw.ordinal > 1);
            if let Some(from) = idle_from.filter(|_| outcome != Outcome::Unknown) {
                let idle_ns = exchange.raw.request.start.0.saturating_sub(from.0);
                let class = IDLE_BOUNDS_NS.partition_point(|&bound| bound < idle_ns);
                figures.idle_gaps[class].0 += 1;
                figures.idle_gaps[class].1 += u64::from(answered);
            }
            if outcome != Outcome::Unknown && flow.opening == Opening::Handshake {
                let place = exchange.raw.ordinal.clamp(1, 3) as usize - 1;
                figures.ordinals[place].0 += 1;
                figures.ordinals[place].1 += u64::from(answered);
            }
        }
        figures.closed_after_one += u64::from(answers == 1 && connection.is_closed_by_server());
        figures.requests += requests;
        figures.cut_off += u64::from(connection.is_cut_off());
        figures.reused_connections += u64::from(requests > 1);
    }
    for ((capture, method, status), number) in statuses {
        let method = analysis.capture(capture).method(method);
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        *figures.status.entry(method.to_owned()).or_default().entry(status).or_default() += number;
    }
    (figures.tls, figures.hand_overs) = carried.finish();
    figures.latency_ns = percentiles(&mut latencies);
    figures.handshake_ns = percentiles(&mut handshakes);
    figures.servers = servers.into_iter().map(|(address, figures)| (address.to_string(), figures)).collect();
    figures
}

/// From the only SYN to the acknowledgement of its answer: wherever it was captured, a packet went there and back.
pub(super) fn handshake_ns(events: &[Event]) -> Option<i64> {
    until_established_ns(events, |event| event.kind == EventKind::Syn && event.from == Side::Client)
}

/// Median, 95th and 99th percentile (nearest rank) and maximum.
fn percentiles(values: &mut [i64]) -> Option<[i64; 4]> {
    let last = values.len().checked_sub(1)?;
    let mut at = |percent: usize| {
        let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
        *values.select_nth_unstable(rank.min(last)).1
    };
    Some([at(50), at(95), at(99), at(100)])
}

/// The failure status that users saw most; where retries hid all of them, the one seen most on any link.
fn worst_status(diagnosis: &Diagnosis, links: &[LinkFigures]) -> Option<String> {
    let visible = &diagnosis.failures.visible;
    let all: Vec<&BTreeMap<String, u64>> = if visible.is_empty() {
        links.iter().flat_map(|link| link.status.values()).collect()
    } else {
        visible.values().collect()
    };
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for (status, number) in all.into_iter().flatten() {
        if status.parse::<u16>().is_ok_and(|status| status >= 500) {
            *seen.entry(status).or_default() += number;
        }
    }
    // The larger count wins, and of equal ones the smaller status.
    seen.into_iter().rev().max_by_key(|&(_, number)| number).map(|(status, _)| status.to_owned())
}

/// The deepest link that shows the status while those behind it show it no more. What cannot be read shows none whatever it
/// carries.
fn boundary(analysis: &Analysis, links: &[LinkFigures], status: &str) -> Option<LinkId> {
    let shows = |at: usize| links[at].with_status(status) > 0;
    let all = &analysis.topology.links;
    let next = |at: usize| {
        let to = all[at].to;
        (0..all.len()).filter(move |&other| all[other].from == to)
    };
    (0..all.len())
        .filter(|&at| shows(at) && next(at).next().is_some())
        .filter(|&at| !next(at).any(|behind| shows(behind) || links[behind].is_unread()))
        .max_by_key(|&at| (analysis.lane(all[at].from).depth, std::cmp::Reverse(at)))
        .map(|at| LinkId(at as u16))
}

#[cfg(test)]
mod tests {
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;

    #[test]
    fn handshakes_are_timed_from_the_only_syn_to_the_acknowledgement() {
        let mut chain = Chain::new(&["user", "app"]);
        let at = chain.open(0, 0);
        chain.conns[at].request(Get, "/", MS).response(200, 2 * MS);
        // A SYN that was sent again measures a timer and not the path.
        let again = chain.open(0, 10 * MS);
        let syn = chain.conns[again].events[0];
        chain.conns[again].events.insert(1, syn);
        chain.refused(0, 20 * MS);
        let analysis = chain.analyse();
        assert_eq!(analysis.diagnosis.board.links[0].handshake_ns, Some([MS / 5; 4]));
    }
}
