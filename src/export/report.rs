//! The report as data: the names and nesting that scripts rely on (schema `hopscope/report/1`).
//!
//! Add fields freely; never rename or drop one without raising the schema.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::connections::{ConnectionReport, SaidReport, Wanted, connection_reports};
use super::links::{LinkReport, link_report, parent_counts};
use super::names::CaptureNames;
use super::notes::{NoteReport, notes};
use super::retries::{ClientRetryReport, RetryReport, client_retry, retries};
use crate::analysis::{Analysis, ExchangeView};
use crate::capture::{CaptureId, Frame, InterfaceInfo, Problem, SectionInfo};
use crate::correlate::Orphan;
use crate::diagnose::{ByMethod, Certainty, Severity};
use crate::http::Message;
use crate::logs::{LogFigures, LogFile, LogKind, LogLine};
use crate::session::Annotation;
use crate::topology::{ClockMethod, ClockStep, ConnectionId, ExchangeId, LaneId, Remark, RemarkKind, Role};

/// The schema that this program writes.
pub const SCHEMA: &str = "hopscope/report/1";

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The captures in the order given.
    pub captures: Vec<CaptureReport>,
    /// From the user's side to the application's side.
    pub lanes: Vec<LaneReport>,
    /// What has to be said of the captures as a set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<RemarkReport>,
    /// One for each pair of neighbouring lanes that talk.
    pub links: Vec<LinkReport>,
    /// One for each lane that retried.
    pub retries: Vec<RetryReport>,
    /// One for each lane that sent its own requests again after they had failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub client_retries: Vec<RetryReport>,
    /// What users got, and where it began.
    pub failures: FailureReport,
    /// Worst first.
    pub findings: Vec<FindingReport>,
    /// The servers' logs, where some were given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogReport>,
    /// The user's notes, of a session that has some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NoteReport>,
    /// Only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<Vec<ConnectionReport>>,
    /// Only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<Vec<ExchangeReport>>,
}

/// A capture file.
#[derive(Clone, Debug, Serialize)]
pub struct CaptureReport {
    /// As the user gave it.
    pub path: String,
    /// The files that it was written to one after the other, where these are several; `path` is the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// `pcap` or `pcapng`, with `+gzip` or `+zstd`.
    pub format: String,
    /// Link types in order of appearance.
    pub link_types: Vec<String>,
    /// Packets read.
    pub packets: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Earliest packet by the capture's own clock, RFC 3339.
    pub first: Option<String>,
    /// Latest packet by the capture's own clock.
    pub last: Option<String>,
    /// Nanoseconds to add to its timestamps to get session time.
    pub clock_offset_ns: i64,
    /// Half-width of what the evidence allows.
    pub clock_band_ns: Option<i64>,
    /// How the offset was found.
    pub clock_method: ClockMethod,
    /// What it rests on, in words.
    pub clock_evidence: String,
    /// Nanoseconds by which the offset grows in a second; 0 where no drift was found.
    pub clock_drift_ppb: i64,
    /// By so much the drift may be another; more than the drift where it may as well be none.
    pub clock_drift_band_ppb: i64,
    /// The offset at the capture's last packet, drift and steps included.
    pub clock_offset_at_end_ns: i64,
    /// Half-width around the offset once drift and steps are reckoned with, at whatever time of the capture.
    pub clock_fine_band_ns: Option<i64>,
    /// When the clock was compared with others, and how well it is known there; absent where that makes no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_compared: Option<ComparedReport>,
    /// Where the clock was set while it recorded.
    pub clock_steps: Vec<ClockStepReport>,
    /// What the file says of how it was made, one for each section that says something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<SectionReport>,
    /// The interfaces that it names or counts packets of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceReport>,
    /// How many comments its packets have.
    #[serde(skip_serializing_if = "is_zero")]
    pub comments: u64,
    /// What went wrong while reading.
    pub problems: Vec<Problem>,
}

/// What a section of a capture says of its making; empty where it says nothing.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of SectionInfo")]
pub struct SectionReport {
    pub hardware: String,
    pub os: String,
    pub application: String,
    pub comment: String,
}

/// An interface of a capture; `null` where the file does not tell.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of InterfaceInfo")]
pub struct InterfaceReport {
    pub name: String,
    pub description: String,
    pub comment: String,
    pub received: Option<u64>,
    pub dropped: u64,
}

/// What a capture says of a packet.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct CommentReport {
    pub capture: String,
    pub frame: u32,
    pub text: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// When a clock was compared with others.
#[derive(Clone, Debug, Serialize)]
pub struct ComparedReport {
    /// From then on, by the clock that all captures are told by, RFC 3339.
    pub from: String,
    /// Until then.
    pub to: String,
    /// Half-width around the offset in that time; outside of it the clock may have drifted.
    pub band_ns: i64,
}

/// Where a capture's clock was set while it recorded.
#[derive(Clone, Debug, Serialize)]
pub struct ClockStepReport {
    /// When, by the capture's own clock, RFC 3339.
    pub at: Option<String>,
    /// The same moment by the clock that all captures are told by.
    pub moment: Option<String>,
    /// The first packet after it, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
    /// Nanoseconds that the offset grows by.
    pub by_ns: i64,
    /// Nothing tells whether this clock was set, or the others by the contrary.
    pub relative: bool,
}

/// A lane.
#[derive(Clone, Debug, Serialize)]
pub struct LaneReport {
    /// Its id.
    pub id: LaneId,
    /// Its name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The host names that captures give these.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub host_names: BTreeMap<IpAddr, Vec<String>>,
    /// Where it listens.
    pub serves: Vec<SocketAddr>,
    /// What its name rests on.
    pub named_by: String,
    /// It was not captured itself.
    pub inferred: bool,
    /// Users are here, as far as the traffic tells.
    pub users: bool,
}

/// A remark on several captures.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of Remark")]
pub struct RemarkReport {
    pub kind: RemarkKind,
    pub detail: String,
    pub captures: Vec<String>,
}

/// What users got, and where it began.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of Failures")]
pub struct FailureReport {
    pub visible: BTreeMap<String, BTreeMap<String, u64>>,
    pub masked: ByMethod,
    /// Failed attempts of which nothing tells whether a retry hid them: not among the masked ones.
    pub unsure_attempts: u64,
    pub origin: Vec<OriginReport>,
}

/// Failed attempts by the link where they began.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct OriginReport {
    pub from: LaneId,
    pub to: LaneId,
    pub count: u64,
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of Finding")]
pub struct FindingReport {
    pub kind: String,
    pub rule: String,
    pub cause: String,
    pub severity: Severity,
    pub confidence: Certainty,
    pub from: Option<LaneId>,
    pub to: Option<LaneId>,
    pub count: u64,
    pub summary: String,
    pub explanation: String,
    pub fixes: Vec<FixReport>,
    pub log_line: String,
    pub doubt: String,
    pub evidence: Vec<ProofReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log_lines: Vec<LogLine>,
    /// How many cases `log_lines` tells of, where those are not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_cases: Option<usize>,
}

/// A log.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of LogFile and LogFigures")]
pub struct LogReport {
    pub path: String,
    pub kind: LogKind,
    pub lines: u64,
    pub unread: u64,
    pub dropped: u64,
    #[serde(flatten)]
    pub figures: LogFigures,
}

/// A change that mends a fault.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of Fix")]
pub struct FixReport {
    pub product: String,
    pub change: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A packet that proves a part of a finding.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of Proof")]
pub struct ProofReport {
    pub capture: String,
    pub frame: u32,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub note: String,
    /// What the capture says of the packet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<String>,
}

/// First and last packet of a message.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct FramesReport {
    pub capture: String,
    pub first: u32,
    pub last: u32,
}

/// An exchange.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of the exchange")]
pub struct ExchangeReport {
    pub id: ExchangeId,
    pub connection: ConnectionId,
    pub from: LaneId,
    pub to: LaneId,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub ordinal: u32,
    pub method: String,
    pub target: String,
    pub host: Option<String>,
    pub version: &'static str,
    pub status: Option<u16>,
    pub outcome: &'static str,
    pub started: Option<String>,
    pub ended: Option<String>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub parent: Option<ExchangeId>,
    pub parent_confidence: Option<&'static str>,
    pub parent_evidence: Vec<&'static str>,
    pub parent_runner_up: Option<ExchangeId>,
    pub orphan: Option<&'static str>,
    pub attempt: u16,
    /// The failed request that its client sent again with this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_retry: Option<ClientRetryReport>,
    pub request_frames: Vec<FramesReport>,
    pub response_frames: Vec<FramesReport>,
    /// What the capture says of its packets, each text once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<CommentReport>,
    /// What the application wrote to FastCGI's STDERR beside its answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<SaidReport>,
}

impl Report {
    /// The report of an analysis; with every exchange when `with_exchanges`.
    pub fn new(analysis: &Analysis, with_exchanges: bool) -> Self {
        let names = CaptureNames::new(analysis);
        let topology = &analysis.topology;
        let lane = |(at, lane): (usize, &crate::topology::Lane)| LaneReport {
            id: LaneId(at as u16),
            name: lane.name.clone(),
            role: lane.role,
            addresses: lane.addresses.clone(),
            host_names: host_names(analysis, &lane.addresses),
            serves: lane.serves.clone(),
            named_by: lane.named_by.clone(),
            inferred: lane.inferred,
            users: lane.users,
        };
        let figures = &analysis.diagnosis.board.links;
        Self {
            schema: SCHEMA,
            captures: (0..analysis.captures.len())
                .map(|at| capture(analysis, CaptureId(at as u16)))
                .collect(),
            lanes: topology.lanes.iter().enumerate().map(lane).collect(),
            remarks: topology.remarks.iter().map(|remark| remark_report(analysis, remark)).collect(),
            links: topology
                .links
                .iter()
                .zip(figures)
                .zip(parent_counts(analysis))
                .map(|((link, figures), parents)| link_report(analysis, link, figures, parents))
                .collect(),
            retries: retries(&analysis.diagnosis.retries),
            client_retries: retries(&analysis.client_retries()),
            failures: failures(analysis),
            findings: (0..analysis.diagnosis.findings.len())
                .map(|at| finding(analysis, &names, at))
                .collect(),
            logs: analysis.logs.iter().map(|log| log_report(log)).collect(),
            notes: Vec::new(),
            connections: None,
            exchanges: with_exchanges
                .then(|| analysis.exchanges().map(|exchange| exchange_report(exchange, &names)).collect()),
        }
    }

    /// The same with the notes of a session of this analysis.
    pub fn with_notes(self, analysis: &Analysis, all: &[Annotation]) -> Self {
        Self { notes: notes(analysis, all), ..self }
    }

    /// The same with these connections, one by one.
    pub fn with_connections(self, analysis: &Analysis, which: Wanted) -> Self {
        let connections = connection_reports(analysis, which, &CaptureNames::new(analysis));
        Self { connections: Some(connections), ..self }
    }

    /// Whether it holds a finding of severity error.
    pub fn has_error(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

fn remark_report(analysis: &Analysis, remark: &Remark) -> RemarkReport {
    let path = |id: &CaptureId| analysis.capture(*id).info.path.to_string_lossy().into_owned();
    let captures = remark.captures.iter().map(path).collect();
    RemarkReport { kind: remark.kind, detail: remark.detail.clone(), captures }
}

/// RFC 3339 with nanoseconds, in UTC.
pub fn rfc3339(unix_ns: i64) -> Option<String> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(unix_ns)).ok()?;
    Some(format!("{time:.9}"))
}

fn capture(analysis: &Analysis, id: CaptureId) -> CaptureReport {
    let info = &analysis.capture(id).info;
    let clock = analysis.topology.clocks.get(id.index()).copied().unwrap_or_default();
    let ends = info.first.zip(info.last);
    let step = |step: &ClockStep| ClockStepReport {
        at: rfc3339(step.at.0),
        moment: rfc3339(clock.moment_of(step).0),
        frame: Some(step.frame).filter(|frame| *frame > 0),
        by_ns: step.by_ns,
        relative: step.is_relative,
    };
    let widest_ns = ends.map_or(clock.band_ns, |(first, last)| clock.widest_band_ns(first, last));
    CaptureReport {
        path: info.path.to_string_lossy().into_owned(),
        parts: info.parts().iter().map(|part| part.path.to_string_lossy().into_owned()).collect(),
        format: info.format.clone(),
        link_types: info.link_types.clone(),
        packets: info.packets,
        bytes: info.bytes,
        first: info.first.and_then(|at| rfc3339(at.0)),
        last: info.last.and_then(|at| rfc3339(at.0)),
        clock_offset_ns: clock.offset_ns,
        // One number for the whole file is only as good as the clock is steady.
        clock_band_ns: ends.map_or(clock.band_ns, |(first, last)| clock.whole_band_ns(first, last)),
        clock_method: clock.method,
        clock_evidence: clock.evidence(),
        clock_drift_ppb: clock.drift_ppb,
        clock_drift_band_ppb: clock.outside_ppb,
        clock_offset_at_end_ns: info.last.map_or(clock.offset_ns, |last| clock.offset_at(last, u32::MAX)),
        clock_fine_band_ns: widest_ns,
        clock_compared: clock.compared_in.filter(|_| widest_ns != clock.band_ns).and_then(|[from, to]| {
            Some(ComparedReport { from: rfc3339(from.0)?, to: rfc3339(to.0)?, band_ns: clock.band_ns? })
        }),
        clock_steps: clock.steps.iter().flatten().map(step).collect(),
        sections: info
            .sections
            .iter()
            .filter(|section| **section != SectionInfo::default())
            .map(section_report)
            .collect(),
        interfaces: info
            .interfaces
            .iter()
            .filter(|one| !one.name.is_empty() || one.received.is_some() || one.dropped() > 0)
            .map(interface_report)
            .collect(),
        comments: info.comments.len() as u64,
        problems: info.problems.clone(),
    }
}

fn section_report(section: &SectionInfo) -> SectionReport {
    SectionReport {
        hardware: section.hardware.clone(),
        os: section.os.clone(),
        application: section.application.clone(),
        comment: section.comment.clone(),
    }
}

fn interface_report(interface: &InterfaceInfo) -> InterfaceReport {
    InterfaceReport {
        name: interface.name.clone(),
        description: interface.description.clone(),
        comment: interface.comment.clone(),
        received: interface.received,
        dropped: interface.dropped(),
    }
}

fn host_names(analysis: &Analysis, addresses: &[IpAddr]) -> BTreeMap<IpAddr, Vec<String>> {
    let named = addresses.iter().map(|&address| {
        (address, analysis.host_names(address).into_iter().map(str::to_owned).collect::<Vec<_>>())
    });
    named.filter(|(_, names)| !names.is_empty()).collect()
}

fn failures(analysis: &Analysis) -> FailureReport {
    let failures = &analysis.diagnosis.failures;
    let origin = failures.origin.iter().map(|&(link, count)| {
        let link = analysis.link(link);
        OriginReport { from: link.from, to: link.to, count }
    });
    FailureReport {
        visible: failures.visible.clone(),
        masked: failures.masked.clone(),
        unsure_attempts: failures.unsure,
        origin: origin.collect(),
    }
}

fn log_report(log: &LogFile) -> LogReport {
    LogReport {
        path: log.path.to_string_lossy().into_owned(),
        kind: log.kind,
        lines: log.lines,
        unread: log.unread,
        dropped: log.dropped,
        figures: log.figures.clone(),
    }
}

fn finding(analysis: &Analysis, names: &CaptureNames<'_>, at: usize) -> FindingReport {
    let finding = &analysis.diagnosis.findings[at];
    let link = finding.link.map(|id| analysis.link(id));
    let fix = |fix: &crate::diagnose::Fix| FixReport {
        product: fix.product.clone(),
        change: fix.change.clone(),
        note: fix.note.clone(),
    };
    let proof = |proof: &crate::diagnose::Proof| {
        let (capture, frame) = names.place_of(proof.frame);
        ProofReport {
            capture: capture.to_owned(),
            frame,
            client: proof.client,
            server: proof.server,
            note: proof.note.clone(),
            comments: analysis.comments(proof.frame).map(str::to_owned).collect(),
        }
    };
    FindingReport {
        kind: finding.kind.clone(),
        rule: finding.rule.clone(),
        cause: finding.cause.clone(),
        severity: finding.severity,
        confidence: finding.confidence,
        from: link.map(|link| link.from),
        to: link.map(|link| link.to),
        count: finding.count,
        summary: finding.summary.clone(),
        explanation: finding.explanation.clone(),
        fixes: finding.fixes.iter().map(fix).collect(),
        log_line: finding.log_line.clone(),
        doubt: finding.doubt.clone(),
        evidence: finding.evidence.iter().map(proof).collect(),
        log_lines: analysis.log_lines(at).to_vec(),
        log_cases: analysis.log_cases(at),
    }
}

impl FramesReport {
    /// The packets of a message, by the files that hold them.
    fn of(names: &CaptureNames<'_>, first: Frame, last: Frame) -> Vec<Self> {
        let parts = names.analysis.capture(first.capture).info.parts();
        let begins = |frame: &u32| (first.number + 1..=last.number).contains(frame);
        let further = parts.iter().map(|part| part.first_frame).filter(begins);
        let starts: Vec<u32> = std::iter::once(first.number).chain(further).collect();
        let ends = starts[1..].iter().map(|next| next - 1).chain([last.number]);
        let report = |(start, end): (&u32, u32)| {
            let place = |number: u32| names.place_of(Frame { number, ..first });
            let (capture, first) = place(*start);
            Self { capture: capture.to_owned(), first, last: place(end).1 }
        };
        starts.iter().zip(ends).map(report).collect()
    }
}

fn exchange_report(exchange: ExchangeView<'_>, names: &CaptureNames<'_>) -> ExchangeReport {
    let connection = exchange.connection();
    let link = exchange.analysis.link(connection.inner.link);
    let parent = exchange.analysis.trees.parent(exchange.id);
    let raw = exchange.raw;
    let version = if raw.request.is_present() { raw.request.version } else { raw.response.version };
    let frames = |message: &Message| {
        exchange.frames(message).map_or_else(Vec::new, |(first, last)| FramesReport::of(names, first, last))
    };
    ExchangeReport {
        id: exchange.id,
        connection: exchange.connection_id(),
        from: link.from,
        to: link.to,
        client: connection.inner.client,
        server: connection.inner.server,
        ordinal: raw.ordinal,
        method: exchange.method().to_owned(),
        target: exchange.target().into_owned(),
        host: exchange.host().map(str::to_owned),
        version: version.name(),
        status: exchange.status(),
        outcome: exchange.outcome().name(),
        started: rfc3339(exchange.started().0),
        ended: rfc3339(exchange.ended().0),
        request_bytes: raw.request.wire_bytes,
        response_bytes: raw.response.wire_bytes,
        parent: parent.map(|parent| parent.parent),
        parent_confidence: parent.map(|parent| parent.confidence.name()),
        parent_evidence: parent.map(|parent| parent.evidence.names()).unwrap_or_default(),
        parent_runner_up: parent.and_then(|parent| parent.runner_up),
        orphan: exchange.analysis.trees.orphan(exchange.id).map(Orphan::name),
        attempt: exchange.attempt(),
        client_retry: client_retry(exchange),
        request_frames: frames(&raw.request),
        response_frames: frames(&raw.response),
        comments: exchange
            .comments()
            .into_iter()
            .map(|(frame, text)| CommentReport {
                capture: names.place_of(frame).0.to_owned(),
                frame: names.place_of(frame).1,
                text: text.to_owned(),
            })
            .collect(),
        stderr: exchange.aside().map(SaidReport::of).collect(),
    }
}
