//! A session file to an analysis of what it holds, for when the captures are gone.

use std::num::NonZeroU16;
use std::sync::Arc;

use super::file::{File, FileConnection, FileDirection, FileExchange, FileFinding, FileMessage, FileTarget};
use super::{Annotation, Selection, Session, Target, TimeView};
use crate::analysis::Analysis;
use crate::capture::{CaptureId, CaptureInfo, CaptureTime, Frame, Problem, SessionTime};
use crate::correlate::{Confidence, Evidence, Parentage, Trees};
use crate::diagnose::{Diagnosis, Failures, Finding, LoggedRetries, Proof, Rejection, Retries};
use crate::http::{CaptureFacts, Exchange, ExchangeFlags, Message, Method, Protocol};
use crate::tcp::{DirectionFacts, Event, Flow, FlowId};
use crate::topology::{
    Clock, Connection, ConnectionId, ExchangeId, ExchangeKey, Lane, LaneId, Link, LinkId, MOST_CLOCK_STEPS,
    Sighting, Topology,
};

/// The analysis and the session that a checked file holds.
pub(super) fn analysis(file: &File) -> (Analysis, Session) {
    let mut facts: Vec<CaptureFacts> = file
        .captures
        .iter()
        .map(|capture| {
            let mut facts = CaptureFacts::default();
            facts.info = info(capture);
            facts
        })
        .collect();
    let mut topology = topology(file);
    for connection in &file.connections {
        add_connection(connection, &mut facts, &mut topology);
    }
    for (link, id) in topology.links.iter_mut().zip(0..) {
        let ours = |(c, at): (&Connection, u32)| (c.link == LinkId(id)).then_some(ConnectionId(at));
        link.connections = topology.connections.iter().zip(0..).filter_map(ours).collect();
    }
    let mut analysis = Analysis {
        captures: facts.into_iter().map(Arc::new).collect(),
        topology,
        diagnosis: diagnosis(file),
        ..Analysis::default()
    };
    let trees = Trees::new(exchanges(file).map(parentage).collect(), |id| analysis.exchange(id).started().0);
    analysis.trees = trees;
    (analysis, session(file))
}

fn exchanges(file: &File) -> impl Iterator<Item = &FileExchange> {
    file.connections.iter().flat_map(|connection| &connection.exchanges)
}

fn info(capture: &super::file::FileCapture) -> CaptureInfo {
    let problem =
        |p: &super::file::FileProblem| Problem { kind: p.kind, detail: p.detail.clone(), count: p.count };
    CaptureInfo {
        path: (&capture.path).into(),
        format: capture.format.clone(),
        link_types: capture.link_types.clone(),
        packets: capture.packets,
        bytes: capture.size,
        first: capture.first.map(CaptureTime),
        last: capture.last.map(CaptureTime),
        problems: capture.problems.iter().map(problem).collect(),
        ..CaptureInfo::default()
    }
}

/// Clocks, lanes and links; connections and exchanges are added one by one.
fn topology(file: &File) -> Topology {
    let clock = |capture: &super::file::FileCapture| match &capture.clock {
        Some(clock) => {
            let mut steps = [None; MOST_CLOCK_STEPS];
            for (slot, step) in steps.iter_mut().zip(&clock.steps) {
                *slot = Some(*step);
            }
            Clock {
                offset_ns: clock.offset_ns,
                computed_ns: clock.offset_ns.saturating_sub(clock.manual_ns),
                manual_ns: clock.manual_ns,
                band_ns: clock.band_ns,
                compared_in: clock.compared_in.map(|ends| ends.map(SessionTime)),
                outside_ppb: clock.outside_ppb,
                method: clock.method,
                pivot: CaptureTime(clock.pivot),
                drift_ppb: clock.drift_ppb,
                steps,
                ..Clock::default()
            }
        }
        None => Clock::default(),
    };
    let lane = |lane: &super::file::FileLane| Lane {
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
    let link = |link: &super::file::FileLink| Link {
        from: LaneId(link.from),
        to: LaneId(link.to),
        servers: link.servers.clone(),
        connections: Vec::new(),
    };
    Topology {
        clocks: file.captures.iter().map(clock).collect(),
        lanes: file.lanes.iter().map(lane).collect(),
        links: file.links.iter().map(link).collect(),
        remarks: file.remarks.clone(),
        held_links: file.captures.iter().map(|capture| capture.links.clone()).collect(),
        ..Topology::default()
    }
}

fn add_connection(connection: &FileConnection, facts: &mut [CaptureFacts], topology: &mut Topology) {
    let capture = CaptureId(connection.capture);
    let clock = topology.clocks[capture.index()];
    let facts = &mut facts[capture.index()];
    let first_index = facts.exchanges.len() as u32;
    let exchanges: Vec<Exchange> = connection.exchanges.iter().map(|x| exchange(x, facts)).collect();
    let events: Vec<Event> = connection.events.iter().map(event).collect();
    let flow = Flow {
        client: connection.client,
        server: connection.server,
        meant_for: None,
        opening: connection.opening,
        closing: connection.closing,
        protocol: Protocol::named(&connection.protocol),
        wire: connection.wire.as_ref().map(super::wire::FileWire::facts).unwrap_or_default(),
        first: (CaptureTime(connection.first.0), connection.first.1),
        last: (CaptureTime(connection.last.0), connection.last.1),
        directions: [direction(&connection.from_client), direction(&connection.from_server)],
        events: 0..0,
        exchanges: 0..0,
    };
    let flow = facts.add_flow(flow, &events, &exchanges);
    let id = ConnectionId(topology.connections.len() as u32);
    let start = topology.exchanges.len() as u32;
    let count = exchanges.len() as u32;
    topology.exchanges.extend((0..count).map(|i| ExchangeKey { capture, index: first_index + i }));
    topology.connection_of.extend((0..count).map(|_| id));
    topology.connections.push(Connection {
        sightings: vec![Sighting { capture, flow }],
        client: connection.client,
        server: connection.server,
        link: LinkId(connection.link),
        exchanges: start..start + count,
        first: clock.session(CaptureTime(connection.first.0), connection.first.1),
        last: clock.session(CaptureTime(connection.last.0), connection.last.1),
    });
}

fn direction(direction: &FileDirection) -> DirectionFacts {
    DirectionFacts {
        isn: direction.isn,
        packets: direction.packets,
        passage: crate::capture::Passage::UNKNOWN,
        bytes: direction.bytes,
        retransmitted: direction.retransmitted,
        out_of_order: direction.out_of_order,
        missing_bytes: direction.missing_bytes,
        uncaptured_bytes: direction.uncaptured_bytes,
        unarrived_bytes: direction.unarrived_bytes,
        cut_bytes: direction.cut_bytes,
        segments: direction.segments,
        copies: direction.copies,
        largest_acked: direction.largest_acked,
        largest_unacked: direction.largest_unacked,
        window_scale: direction.window_scale,
        acked: direction.acked,
        end_seq: direction.end_seq,
    }
}

fn event(event: &super::file::FileEvent) -> Event {
    Event {
        at: CaptureTime(event.at),
        frame: event.frame,
        kind: event.kind,
        from: event.from,
        has_ack: event.ack.is_some(),
        seq: event.seq,
        ack: event.ack.unwrap_or(0),
        len: event.len,
        quiet_us: event.quiet_us,
    }
}

fn exchange(exchange: &FileExchange, facts: &mut CaptureFacts) -> Exchange {
    Exchange {
        flow: FlowId(0), // set by `add_flow`
        ordinal: exchange.ordinal,
        method: method(&exchange.method, facts),
        status: exchange.status.and_then(NonZeroU16::new),
        flags: ExchangeFlags(exchange.flags),
        target: facts.add_text(exchange.target.as_bytes()),
        host: exchange.host.as_deref().map(|host| facts.intern(host)),
        headers: 0,
        header_count: 0,
        request: message(exchange.request.as_ref()),
        response: message(exchange.response.as_ref()),
    }
}

fn method(name: &str, facts: &mut CaptureFacts) -> Method {
    const KNOWN: [Method; 10] = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Delete,
        Method::Connect,
        Method::Options,
        Method::Trace,
        Method::Patch,
        Method::Missing,
    ];
    let known = KNOWN.into_iter().find(|&method| facts.method(method) == name);
    known.unwrap_or_else(|| Method::Other(facts.intern(name)))
}

fn message(message: Option<&FileMessage>) -> Message {
    let Some(message) = message else { return Message::default() };
    Message {
        start: CaptureTime(message.start),
        end: CaptureTime(message.end),
        first_frame: message.frames.0,
        last_frame: message.frames.1,
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
        ..Message::default()
    }
}

fn parentage(exchange: &FileExchange) -> Option<Parentage> {
    let parent = exchange.parent.as_ref()?;
    let confidence = [Confidence::Certain, Confidence::Likely]
        .into_iter()
        .find(|c| c.name() == parent.confidence)
        .unwrap_or(Confidence::Ambiguous);
    let bits = (0..u16::BITS).map(|shift| 1 << shift);
    let named =
        bits.filter(|&bit| Evidence(bit).names().iter().any(|n| parent.evidence.iter().any(|e| e == n)));
    Some(Parentage {
        parent: ExchangeId(parent.exchange),
        confidence,
        evidence: Evidence(named.fold(0, |all, bit| all | bit)),
        runner_up: None,
        attempt: parent.attempt,
    })
}

fn diagnosis(file: &File) -> Diagnosis {
    let mut rejections = Vec::new();
    let captures =
        file.connections.iter().flat_map(|c| c.exchanges.iter().map(move |x| (CaptureId(c.capture), x)));
    for ((capture, exchange), at) in captures.zip(0..) {
        let frame = |number| Frame { capture, number };
        rejections.extend(exchange.rejection.map(|r| Rejection {
            exchange: ExchangeId(at),
            form: r.form,
            fin: r.fin.map(frame),
            rst: r.rst.map(frame),
            idle_ns: r.idle_ns,
        }));
    }
    let retries = |retries: &super::file::FileRetries| Retries {
        lane: retries.lane.map(LaneId),
        retried: retries.retried.clone(),
        attempts: retries.attempts,
        saved: retries.saved.clone(),
        failed: retries.failed.clone(),
        unsure: retries.unsure,
        logged: retries.logged.clone().map(|(log, retried, saved)| LoggedRetries { log, retried, saved }),
    };
    let mut board = file.board.clone();
    board.links.resize_with(file.links.len(), Default::default);
    Diagnosis {
        outcomes: exchanges(file).map(|x| x.outcome).collect(),
        origins: exchanges(file).map(|x| x.origin.map(ExchangeId)).collect(),
        rejections,
        findings: file.findings.iter().map(finding).collect(),
        log_lines: file.findings.iter().map(|finding| finding.log_lines.clone()).collect(),
        retries: file.retries.iter().map(retries).collect(),
        failures: Failures {
            visible: file.failures.visible.clone(),
            masked: file.failures.masked.clone(),
            unsure: file.failures.unsure,
            origin: file.failures.origin.iter().map(|&(link, count)| (LinkId(link), count)).collect(),
        },
        board,
        ..Diagnosis::default()
    }
}

fn finding(finding: &FileFinding) -> Finding {
    let proof = |proof: &super::file::FileProof| Proof {
        frame: Frame { capture: CaptureId(proof.capture), number: proof.frame },
        client: proof.client,
        server: proof.server,
        note: proof.note.clone(),
        exchange: proof.exchange.map(ExchangeId),
        connection: proof.connection.map(ConnectionId),
    };
    Finding {
        kind: finding.kind.clone(),
        rule: finding.rule.clone(),
        cause: finding.cause.clone(),
        severity: finding.severity,
        confidence: finding.confidence,
        link: finding.link.map(LinkId),
        count: finding.count,
        summary: finding.summary.clone(),
        explanation: finding.explanation.clone(),
        fixes: finding.fixes.clone(),
        log_line: finding.log_line.clone(),
        doubt: finding.doubt.clone(),
        evidence: finding.evidence.iter().map(proof).collect(),
        exchanges: finding.exchanges.iter().map(|&at| ExchangeId(at)).collect(),
        connections: finding.connections.iter().map(|&at| ConnectionId(at)).collect(),
    }
}

/// The session as the file holds it: its targets are places in the file, which the reduced analysis shares.
pub(super) fn session(file: &File) -> Session {
    let target = |target| match target {
        FileTarget::Exchange(at) => Target::Exchange(ExchangeId(at)),
        FileTarget::Connection(at) => Target::Connection(ConnectionId(at)),
        FileTarget::Moment(at) => Target::Moment(SessionTime(at)),
    };
    let selection = &file.selection;
    Session {
        overrides: file.overrides.clone(),
        annotations: file
            .annotations
            .iter()
            .map(|note| Annotation { target: target(note.target), text: note.text.clone() })
            .collect(),
        view: file.view.map(|(start, end)| TimeView { start: SessionTime(start), end: SessionTime(end) }),
        selection: Selection {
            finding: selection.finding,
            connection: selection.connection.map(ConnectionId),
            exchange: selection.exchange.map(ExchangeId),
            step: selection.step,
            cursor: selection.cursor.map(SessionTime),
        },
        filter: file.filter.clone(),
    }
}
