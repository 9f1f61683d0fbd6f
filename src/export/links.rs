//! The links of a report as data: their figures, and what was captured of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::report::rfc3339;
use crate::analysis::Analysis;
use crate::diagnose::{
    ByMethod, Coverage, HandOverFigures, IDLE_BOUNDS_NS, LinkFigures, RejectForm, ServerFigures, TlsFigures,
};
use crate::topology::{LaneId, Link};

/// A link with its figures.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of LinkFigures")]
pub struct LinkReport {
    pub from: LaneId,
    pub to: LaneId,
    pub servers: Vec<SocketAddr>,
    pub protocols: BTreeMap<String, u64>,
    pub connections: u64,
    pub reused_connections: u64,
    pub refused_connections: u64,
    pub requests: u64,
    pub responses: u64,
    /// Those of them that no captured request asked for.
    #[serde(skip_serializing_if = "super::report::is_zero")]
    pub responses_without_request: u64,
    pub status: BTreeMap<String, BTreeMap<String, u64>>,
    pub reused_requests: u64,
    /// Requests by their place on the connection.
    pub ordinals: Vec<OrdinalReport>,
    /// Later requests of a connection by how long it had been idle; classes without any are left out.
    pub idle_gaps: Vec<IdleReport>,
    /// By the address that accepted the connection.
    pub by_server: BTreeMap<String, ServerFigures>,
    /// Requests whose cause was found, by how sure that is: `certain`, `likely`, `ambiguous`.
    pub parents: BTreeMap<&'static str, u64>,
    pub rejected_reused_requests: RejectedReport,
    /// `null` without a response.
    pub latency_ms: Option<LatencyReport>,
    /// From SYN to the client's ACK, the round trip of the path; left out where no handshake was captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_ms: Option<LatencyReport>,
    /// Where only a part of the link's time was captured: its figures do not compare with those of other links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageReport>,
    /// Connections of which the snap length left no request to read.
    #[serde(skip_serializing_if = "super::report::is_zero")]
    pub cut_off: u64,
    /// What is seen of its connections with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<TlsFigures>>,
    /// What its connections came to carry in place of HTTP/1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hand_overs: Vec<HandOverFigures>,
}

/// First, second, or third and later requests of connections.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OrdinalReport {
    /// 1, 2, or 3 for the third and all later ones.
    pub ordinal: u8,
    /// Requests seen.
    pub requests: u64,
    /// Of those, answered.
    pub answered: u64,
}

/// Requests on a connection that had been idle for a time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IdleReport {
    /// Shorter than this, in milliseconds; `null` for the longest class.
    pub below_ms: Option<f64>,
    /// Requests seen.
    pub requests: u64,
    /// Of those, answered.
    pub answered: u64,
}

/// The part of a link's time that was captured.
#[derive(Clone, Debug, Serialize)]
pub struct CoverageReport {
    /// When captures that hold the link ran, in session time.
    pub spans: Vec<SpanReport>,
    /// Requests of a neighbouring link that came at other times.
    pub requests_outside: u64,
    /// That link's lanes.
    pub beside: BesideReport,
}

/// A span of time, RFC 3339.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SpanReport {
    pub first: Option<String>,
    pub last: Option<String>,
}

/// A link by its lanes.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct BesideReport {
    pub from: LaneId,
    pub to: LaneId,
}

/// Rejected requests on reused connections.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RejectedReport {
    pub total: u64,
    pub by_method: ByMethod,
    pub by_form: BTreeMap<String, u64>,
}

/// From request start to response end, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct LatencyReport {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// For each link, how many of its requests have a parent, by how sure that is.
pub(super) fn parent_counts(analysis: &Analysis) -> Vec<BTreeMap<&'static str, u64>> {
    let mut counts = vec![BTreeMap::new(); analysis.topology.links.len()];
    for exchange in analysis.exchanges() {
        if let Some(parent) = analysis.trees.parent(exchange.id) {
            *counts[usize::from(exchange.link_id().0)].entry(parent.confidence.name()).or_default() += 1;
        }
    }
    counts
}

fn coverage_report(analysis: &Analysis, coverage: &Coverage) -> CoverageReport {
    let span = |&(first, last): &(i64, i64)| SpanReport { first: rfc3339(first), last: rfc3339(last) };
    let beside = analysis.link(coverage.beside);
    CoverageReport {
        spans: coverage.spans.iter().map(span).collect(),
        requests_outside: coverage.outside,
        beside: BesideReport { from: beside.from, to: beside.to },
    }
}

pub(super) fn link_report(
    analysis: &Analysis,
    link: &Link,
    figures: &LinkFigures,
    parents: BTreeMap<&'static str, u64>,
) -> LinkReport {
    let forms = RejectForm::ALL.map(|form| {
        let count = figures.rejected_by_form.get(form.name()).copied().unwrap_or(0);
        (form.name().to_owned(), count)
    });
    LinkReport {
        parents,
        from: link.from,
        to: link.to,
        servers: link.servers.clone(),
        protocols: figures.protocols.clone(),
        connections: figures.connections,
        reused_connections: figures.reused_connections,
        refused_connections: figures.refused_connections,
        requests: figures.requests,
        responses: figures.responses,
        responses_without_request: figures.unasked,
        status: figures.status.clone(),
        reused_requests: figures.reused_requests,
        ordinals: ordinals(figures),
        idle_gaps: idle_gaps(figures),
        by_server: figures.servers.clone(),
        rejected_reused_requests: RejectedReport {
            total: figures.rejected_by_method.values().sum(),
            by_method: figures.rejected_by_method.clone(),
            by_form: forms.into(),
        },
        latency_ms: figures.latency_ns.map(percentiles),
        handshake_ms: figures.handshake_ns.map(percentiles),
        coverage: figures.coverage.as_ref().map(|coverage| coverage_report(analysis, coverage)),
        cut_off: figures.cut_off,
        tls: figures.tls.clone(),
        hand_overs: figures.hand_overs.clone(),
    }
}

fn percentiles([p50, p95, p99, max]: [i64; 4]) -> LatencyReport {
    let ms = |ns: i64| ns as f64 / 1e6;
    LatencyReport { p50: ms(p50), p95: ms(p95), p99: ms(p99), max: ms(max) }
}

fn ordinals(figures: &LinkFigures) -> Vec<OrdinalReport> {
    let all = (1..).zip(figures.ordinals);
    all.map(|(ordinal, (requests, answered))| OrdinalReport { ordinal, requests, answered }).collect()
}

fn idle_gaps(figures: &LinkFigures) -> Vec<IdleReport> {
    let bounds = IDLE_BOUNDS_NS.into_iter().map(|ns| Some(ns as f64 / 1e6)).chain([None]);
    let all = bounds.zip(figures.idle_gaps).filter(|(_, (requests, _))| *requests > 0);
    all.map(|(below_ms, (requests, answered))| IdleReport { below_ms, requests, answered }).collect()
}
