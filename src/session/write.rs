//! Analysis and session to the structs of the session file.

use std::path::Path;
use std::sync::Arc;

use super::file::{
    File, FileCapture, FileClock, FileConnection, FileDirection, FileEvent, FileExchange, FileFailures,
    FileFinding, FileLane, FileLink, FileMessage, FileNote, FileParent, FilePart, FileProblem, FileProof,
    FileRejection, FileRetries, FileSelection, FileTarget, SCHEMA_PREFIX, SCHEMA_VERSION, Totals,
};
use super::keep::{self, Kept};
use super::wire::FileWire;
use super::{Session, Target};
use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::STDIN;
use crate::diagnose::{Diagnosis, Finding, Retries};
use crate::http::Message;
use crate::logs::{LogFile, LogFormat};
use crate::tcp::{DirectionFacts, Event, Side};
use crate::topology::{Remark, RemarkKind};

/// The file of a session; `fingerprints` are size and SHA-256 by capture, as far as they are known.
pub(super) fn file(analysis: &Analysis, session: &Session, fingerprints: &[(u64, String)]) -> File {
    let kept = Kept::of(analysis, session);
    let mut exchanges = kept.exchanges.iter().peekable();
    let mut connections = Vec::with_capacity(kept.connections.len());
    for &id in &kept.connections {
        let view = analysis.connection(id);
        let mut of_connection = Vec::new();
        while let Some(&next) = exchanges.next_if(|x| view.inner.exchanges.contains(&x.0)) {
            of_connection.push(exchange(analysis.exchange(next), &kept));
        }
        connections.push(connection(view, of_connection));
    }
    let diagnosis = &analysis.diagnosis;
    File {
        schema: format!("{SCHEMA_PREFIX}{SCHEMA_VERSION}"),
        program: format!("hopscope {}", env!("CARGO_PKG_VERSION")),
        captures: captures(analysis, fingerprints),
        logs: analysis.logs.iter().map(|log| lasting(&log.path)).collect(),
        log_formats: log_formats(&analysis.logs),
        totals: Totals {
            connections: analysis.topology.connections.len() as u64,
            exchanges: analysis.topology.exchanges.len() as u64,
        },
        overrides: session.overrides.clone(),
        annotations: notes(analysis, session, &kept),
        view: session.view.map(|view| (view.start.0, view.end.0)),
        selection: selection(session, &kept),
        filter: session.filter.clone(),
        lanes: lanes(analysis),
        links: links(analysis),
        findings: findings(diagnosis, &kept),
        retries: diagnosis.retries.iter().map(retries).collect(),
        failures: FileFailures {
            visible: diagnosis.failures.visible.clone(),
            masked: diagnosis.failures.masked.clone(),
            unsure: diagnosis.failures.unsure,
            origin: diagnosis.failures.origin.iter().map(|&(link, count)| (link.0, count)).collect(),
        },
        board: diagnosis.board.clone(),
        remarks: remarks(analysis),
        connections,
    }
}

/// Puts the user's state into a file whose places are the session's ids. A note on what is not there keeps its words.
pub(super) fn user_state(file: &mut File, session: &Session) {
    let connections = file.connections.len() as u32;
    let exchanges = file.connections.iter().map(|c| c.exchanges.len() as u32).sum();
    let target = |target| match target {
        Target::Exchange(id) => (id.0 < exchanges).then_some(FileTarget::Exchange(id.0)),
        Target::Connection(id) => (id.0 < connections).then_some(FileTarget::Connection(id.0)),
        Target::Moment(at) => Some(FileTarget::Moment(at.0)),
    };
    let note = |note: &super::Annotation| {
        let target = target(note.target).unwrap_or(FileTarget::Moment(0));
        FileNote { target, text: note.text.clone() }
    };
    file.annotations = session.annotations.iter().map(note).collect();
    file.overrides = session.overrides.clone();
    file.view = session.view.map(|view| (view.start.0, view.end.0));
    file.filter.clone_from(&session.filter);
    let selection = &session.selection;
    file.selection = FileSelection {
        finding: selection.finding.filter(|&at| at < file.findings.len()),
        connection: selection.connection.map(|id| id.0).filter(|&at| at < connections),
        exchange: selection.exchange.map(|id| id.0).filter(|&at| at < exchanges),
        step: selection.step,
        cursor: selection.cursor.map(|at| at.0),
    };
}

/// The formats that were given for logs, when there are any.
fn log_formats(logs: &[Arc<LogFile>]) -> Vec<String> {
    if logs.iter().all(|log| log.format.is_none()) {
        return Vec::new();
    }
    let text = |log: &Arc<LogFile>| log.format.as_ref().map_or("", LogFormat::text).to_owned();
    logs.iter().map(text).collect()
}

/// A path that is found from another working directory too.
fn lasting(path: &Path) -> String {
    let whole = match path == Path::new(STDIN) {
        true => path.to_owned(),
        false => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    };
    whole.to_string_lossy().into_owned()
}

fn part(part: &crate::capture::Part) -> FilePart {
    FilePart { path: lasting(&part.path), size: part.bytes }
}

fn captures(analysis: &Analysis, fingerprints: &[(u64, String)]) -> Vec<FileCapture> {
    let links = analysis.topology.links_of_captures(analysis.captures.len());
    let one = |(at, facts): (usize, &Arc<crate::http::CaptureFacts>)| {
        let info = &facts.info;
        let (size, sha256) = fingerprints.get(at).cloned().unwrap_or((info.first_bytes(), String::new()));
        let problem = |p: &crate::capture::Problem| FileProblem {
            kind: p.kind,
            detail: p.detail.clone(),
            count: p.count,
        };
        FileCapture {
            path: lasting(&info.path),
            size,
            sha256,
            parts: info.parts().iter().skip(1).map(part).collect(),
            format: info.format.clone(),
            link_types: info.link_types.clone(),
            packets: info.packets,
            first: info.first.map(|t| t.0),
            last: info.last.map(|t| t.0),
            clock: analysis.topology.clocks.get(at).map(|clock| FileClock {
                offset_ns: clock.offset_ns,
                manual_ns: clock.manual_ns,
                band_ns: clock.band_ns,
                compared_in: clock.compared_in.map(|ends| ends.map(|at| at.0)),
                outside_ppb: clock.outside_ppb,
                method: clock.method,
                pivot: clock.pivot.0,
                drift_ppb: clock.drift_ppb,
                steps: clock.steps.iter().flatten().copied().collect(),
            }),
            problems: info.problems.iter().map(problem).collect(),
            links: links.get(at).cloned().unwrap_or_default(),
        }
    };
    analysis.captures.iter().enumerate().map(one).collect()
}

/// Whether captures are missing is for the reader to find out.
fn remarks(analysis: &Analysis) -> Vec<Remark> {
    let lasting = |remark: &&Remark| remark.kind != RemarkKind::CapturesMissing;
    analysis.topology.remarks.iter().filter(lasting).cloned().collect()
}

fn lanes(analysis: &Analysis) -> Vec<FileLane> {
    let one = |lane: &crate::topology::Lane| FileLane {
        name: lane.name.clone(),
        role: lane.role,
        addresses: lane.addresses.clone(),
        serves: lane.serves.clone(),
        depth: lane.depth,
        found: lane.found.clone(),
        named_by: lane.named_by.clone(),
        inferred: lane.inferred,
        users: lane.users,
    };
    analysis.topology.lanes.iter().map(one).collect()
}

fn links(analysis: &Analysis) -> Vec<FileLink> {
    let one = |link: &crate::topology::Link| FileLink {
        from: link.from.0,
        to: link.to.0,
        servers: link.servers.clone(),
    };
    analysis.topology.links.iter().map(one).collect()
}

/// Notes with their targets by place. One whose target is not kept (beyond the limits) stays at its moment.
fn notes(analysis: &Analysis, session: &Session, kept: &Kept) -> Vec<FileNote> {
    let target = |target| match target {
        Target::Exchange(id) => match kept.exchange(id) {
            Some(at) => FileTarget::Exchange(at),
            None if (id.0 as usize) < analysis.topology.exchanges.len() => {
                FileTarget::Moment(analysis.exchange(id).started().0)
            }
            None => FileTarget::Moment(0),
        },
        Target::Connection(id) => match kept.connection(id) {
            Some(at) => FileTarget::Connection(at),
            None => {
                FileTarget::Moment(analysis.topology.connections.get(id.0 as usize).map_or(0, |c| c.first.0))
            }
        },
        Target::Moment(at) => FileTarget::Moment(at.0),
    };
    session
        .annotations
        .iter()
        .map(|note| FileNote { target: target(note.target), text: note.text.clone() })
        .collect()
}

fn selection(session: &Session, kept: &Kept) -> FileSelection {
    let selection = &session.selection;
    FileSelection {
        finding: selection.finding,
        connection: selection.connection.and_then(|id| kept.connection(id)),
        exchange: selection.exchange.and_then(|id| kept.exchange(id)),
        step: selection.step,
        cursor: selection.cursor.map(|at| at.0),
    }
}

fn findings(diagnosis: &Diagnosis, kept: &Kept) -> Vec<FileFinding> {
    let with_lines = |(at, found)| FileFinding {
        log_lines: diagnosis.log_lines.get(at).cloned().unwrap_or_default(),
        ..finding(found, kept)
    };
    diagnosis.findings.iter().enumerate().map(with_lines).collect()
}

fn finding(finding: &Finding, kept: &Kept) -> FileFinding {
    let proof = |proof: &crate::diagnose::Proof| FileProof {
        capture: proof.frame.capture.0,
        frame: proof.frame.number,
        client: proof.client,
        server: proof.server,
        note: proof.note.clone(),
        exchange: proof.exchange.and_then(|id| kept.exchange(id)),
        connection: proof.connection.and_then(|id| kept.connection(id)),
    };
    FileFinding {
        kind: finding.kind.clone(),
        rule: finding.rule.clone(),
        cause: finding.cause.clone(),
        severity: finding.severity,
        confidence: finding.confidence,
        link: finding.link.map(|link| link.0),
        count: finding.count,
        summary: finding.summary.clone(),
        explanation: finding.explanation.clone(),
        fixes: finding.fixes.clone(),
        log_line: finding.log_line.clone(),
        doubt: finding.doubt.clone(),
        evidence: finding.evidence.iter().map(proof).collect(),
        exchanges: finding.exchanges.iter().filter_map(|&id| kept.exchange(id)).collect(),
        connections: finding.connections.iter().filter_map(|&id| kept.connection(id)).collect(),
        log_lines: Vec::new(),
    }
}

fn retries(retries: &Retries) -> FileRetries {
    FileRetries {
        lane: retries.lane.map(|lane| lane.0),
        retried: retries.retried.clone(),
        attempts: retries.attempts,
        saved: retries.saved.clone(),
        failed: retries.failed.clone(),
        unsure: retries.unsure,
        logged: retries.logged.clone().map(|logged| (logged.log, logged.retried, logged.saved)),
    }
}

fn connection(view: ConnectionView<'_>, exchanges: Vec<FileExchange>) -> FileConnection {
    let flow = view.flow();
    FileConnection {
        capture: view.capture().0,
        client: view.inner.client,
        server: view.inner.server,
        link: view.inner.link.0,
        protocol: flow.protocol.name().to_owned(),
        opening: flow.opening,
        closing: flow.closing,
        first: (flow.first.0.0, flow.first.1),
        last: (flow.last.0.0, flow.last.1),
        from_client: direction(flow.direction(Side::Client)),
        from_server: direction(flow.direction(Side::Server)),
        events: keep::events(view.events()).map(event).collect(),
        exchanges,
        wire: FileWire::of(&flow.wire),
    }
}

fn direction(facts: &DirectionFacts) -> FileDirection {
    FileDirection {
        isn: facts.isn,
        packets: facts.packets,
        bytes: facts.bytes,
        retransmitted: facts.retransmitted,
        out_of_order: facts.out_of_order,
        missing_bytes: facts.missing_bytes,
        uncaptured_bytes: facts.uncaptured_bytes,
        unarrived_bytes: facts.unarrived_bytes,
        cut_bytes: facts.cut_bytes,
        segments: facts.segments,
        copies: facts.copies,
        largest_acked: facts.largest_acked,
        largest_unacked: facts.largest_unacked,
        window_scale: facts.window_scale,
        acked: facts.acked,
        end_seq: facts.end_seq,
    }
}

fn event(event: &Event) -> FileEvent {
    FileEvent {
        at: event.at.0,
        frame: event.frame,
        kind: event.kind,
        from: event.from,
        seq: event.seq,
        ack: event.has_ack.then_some(event.ack),
        len: event.len,
        quiet_us: event.quiet_us,
    }
}

fn exchange(view: ExchangeView<'_>, kept: &Kept) -> FileExchange {
    let diagnosis = &view.analysis.diagnosis;
    let parent = view.analysis.trees.parent(view.id).and_then(|parentage| {
        Some(FileParent {
            exchange: kept.exchange(parentage.parent)?,
            confidence: parentage.confidence.name().to_owned(),
            evidence: parentage.evidence.names().into_iter().map(str::to_owned).collect(),
            attempt: parentage.attempt,
        })
    });
    FileExchange {
        ordinal: view.raw.ordinal,
        method: view.method().to_owned(),
        target: view.target().into_owned(),
        host: view.host().map(str::to_owned),
        status: view.status(),
        outcome: view.outcome(),
        flags: view.raw.flags.0,
        request: message(&view.raw.request),
        response: message(&view.raw.response),
        parent,
        origin: diagnosis.origins.get(view.id.0 as usize).copied().flatten().and_then(|id| kept.exchange(id)),
        rejection: view.rejection().map(|r| FileRejection {
            form: r.form,
            fin: r.fin.map(|frame| frame.number),
            rst: r.rst.map(|frame| frame.number),
            idle_ns: r.idle_ns,
        }),
    }
}

fn message(message: &Message) -> Option<FileMessage> {
    message.is_present().then_some(FileMessage {
        start: message.start.0,
        end: message.end.0,
        frames: (message.first_frame, message.last_frame),
        seq: message.seq,
        ack: message.ack,
        head_bytes: message.head_bytes,
        head_crc: message.head_crc,
        body_crc: message.body_crc,
        state: message.state,
        version: message.version,
        framing: message.framing,
        wire_bytes: message.wire_bytes,
        body_bytes: message.body_bytes,
    })
}
