//! A small made-up chain for tests: user → nginx → ingress → uwsgi, with rejected second requests and retried GETs.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::analysis::Analysis;
use crate::capture::{CaptureId, CaptureInfo, CaptureTime, Frame, SessionTime};
use crate::correlate::{Confidence, Evidence, Parentage, Trees};
use crate::diagnose::{
    Board, Certainty, Diagnosis, Finding, Fix, LinkFigures, Outcome, Proof, RejectForm, Rejection, Severity,
};
use crate::http::{CaptureFacts, Exchange, ExchangeFlags, Message, MessageState, Method, Protocol};
use crate::tcp::{Closing, DirectionFacts, Event, EventKind, Flow, FlowId, Opening, Side};
use crate::topology::{
    Clock, ClockMethod, Connection, ConnectionId, ExchangeId, ExchangeKey, Lane, LaneId, Link, LinkId, Role,
    Sighting, Topology,
};

/// 2026-01-01 12:00:00 UTC.
const BASE: i64 = 1_767_268_800_000_000_000;
const MS: i64 = 1_000_000;

#[derive(Clone)]
struct Planned {
    start: i64,
    end: i64,
    method: Method,
    target: String,
    status: u16,
    parent: Option<(usize, usize)>,
    attempt: u16,
}

struct Line {
    link: u16,
    client: String,
    server: &'static str,
    exchanges: Vec<Planned>,
}

/// The chain with 40 requests of the user.
pub fn analysis() -> Analysis {
    with_requests(40)
}

/// The chain with this many requests of the user; every tenth hits a closed connection of the application.
pub fn with_requests(count: usize) -> Analysis {
    let lines = plan(count);
    let mut facts = CaptureFacts::default();
    facts.info = CaptureInfo {
        path: "chain.pcap".into(),
        format: "pcap".into(),
        first: Some(CaptureTime(BASE)),
        last: Some(CaptureTime(BASE + (count as i64 + 2) * 4 * MS)),
        packets: count as u64 * 12,
        ..CaptureInfo::default()
    };
    let mut topology = topology();
    let (mut parents, mut outcomes, mut rejections, mut ids) = (vec![], vec![], vec![], vec![]);
    let mut frame = 1;
    for (at, line) in lines.iter().enumerate() {
        let first = ids.len() as u32;
        let start = line.exchanges[0].start - MS / 2;
        let (mut events, mut raws) = (handshake(start, &mut frame), vec![]);
        for (index, plan) in line.exchanges.iter().enumerate() {
            let rejected = plan.status == 0;
            let raw = exchange(&mut facts, plan, index as u32 + 1, &mut frame);
            if line.link == 2 && index == 0 {
                events.push(event(plan.end + MS / 10, &mut frame, EventKind::Fin, Side::Server));
            }
            if rejected {
                let reset = event(plan.end, &mut frame, EventKind::Rst, Side::Server);
                let rst = Some(Frame { capture: CaptureId(0), number: reset.frame });
                let exchange = ExchangeId(ids.len() as u32);
                rejections.push(Rejection {
                    exchange,
                    form: RejectForm::StalePick,
                    fin: None,
                    rst,
                    idle_ns: MS,
                });
                events.push(reset);
            }
            raws.push(raw);
            outcomes.push(if rejected { Outcome::Rejected } else { Outcome::Complete });
            ids.push((at, index));
            parents.push((plan.parent, plan.attempt));
        }
        let (client, server) = (line.client.parse().unwrap(), line.server.parse().unwrap());
        let last = line.exchanges.last().unwrap().end + MS / 5;
        let flow = flow(client, server, start, last, frame);
        let flow = facts.add_flow(flow, &events, &raws);
        let id = ConnectionId(topology.connections.len() as u32);
        topology.links[usize::from(line.link)].connections.push(id);
        topology.connections.push(Connection {
            sightings: vec![Sighting { capture: CaptureId(0), flow }],
            client,
            server,
            link: LinkId(line.link),
            exchanges: first..ids.len() as u32,
            first: SessionTime(BASE + start),
            last: SessionTime(BASE + last),
        });
        topology.connection_of.extend(std::iter::repeat_n(id, line.exchanges.len()));
    }
    topology.exchanges =
        (0..ids.len() as u32).map(|index| ExchangeKey { capture: CaptureId(0), index }).collect();
    let position: std::collections::HashMap<_, _> =
        ids.iter().enumerate().map(|(id, key)| (*key, id)).collect();
    let parents = parents
        .into_iter()
        .map(|(parent, attempt)| {
            parent.map(|key| Parentage {
                parent: ExchangeId(position[&key] as u32),
                confidence: Confidence::Certain,
                evidence: Evidence(Evidence::REQUEST_ID | Evidence::TARGET | Evidence::CONTAINMENT),
                runner_up: None,
                attempt,
            })
        })
        .collect();
    let starts: Vec<_> = facts.exchanges.iter().map(|x| x.request.start.0).collect();
    let trees = Trees::new(parents, |id| starts[id.0 as usize]);
    let diagnosis = diagnosis(&facts, &topology, outcomes, rejections);
    Analysis { captures: vec![Arc::new(facts)], topology, trees, diagnosis, ..Analysis::default() }
}

fn plan(count: usize) -> Vec<Line> {
    let line = |link, client: String, server| Line { link, client, server, exchanges: vec![] };
    let mut lines: Vec<_> =
        (0..4).map(|n| line(0, format!("10.0.0.9:{}", 51_000 + n), "10.0.1.2:80")).collect();
    lines.extend((0..4).map(|n| line(1, format!("10.0.1.2:{}", 40_000 + n), "10.0.2.2:8080")));
    let mut app = 0;
    for i in 0..count {
        let (start, user, edge) = (i as i64 * 4 * MS + MS, i % 4, 4 + i % 4);
        let method = if i % 3 == 2 { Method::Post } else { Method::Get };
        let target = if method == Method::Get { format!("/api/item/{i}") } else { format!("/api/order/{i}") };
        let rejected = i % 10 == 7 && app > 0;
        let retried = rejected && method == Method::Get;
        let status = if rejected && !retried { 502 } else { 200 };
        let plan = |start, end, status, parent, attempt| {
            let target = target.clone();
            Planned { start, end, method, target, status, parent, attempt }
        };
        let root = (user, lines[user].exchanges.len());
        lines[user].exchanges.push(plan(start, start + 3 * MS, status, None, 1));
        let first = (edge, lines[edge].exchanges.len());
        let first_end = if retried { start + MS } else { start + 2 * MS };
        let first_status = if rejected { 502 } else { 200 };
        lines[edge].exchanges.push(plan(start + MS / 5, first_end, first_status, Some(root), 1));
        if rejected {
            // A second request on the application's connection, after its FIN.
            let stale = lines.len() - 1;
            lines[stale].exchanges.push(plan(start + MS / 3, start + MS / 2, 0, Some(first), 1));
        }
        let mut below = first;
        if retried {
            let other = 4 + (i + 1) % 4;
            below = (other, lines[other].exchanges.len());
            lines[other].exchanges.push(plan(start + MS + MS / 4, start + 2 * MS, 200, Some(root), 2));
        }
        if !rejected || retried {
            let begin = start + if retried { MS + MS / 3 } else { MS / 3 };
            let mut fresh =
                line(2, format!("10.{}.2.2:{}", app / 17_000, 48_000 + app % 17_000), "10.0.3.2:8000");
            fresh.exchanges.push(plan(begin, begin + MS / 2, 200, Some(below), 1));
            lines.push(fresh);
            app += 1;
        }
    }
    lines
}

fn handshake(start: i64, frame: &mut u32) -> Vec<Event> {
    vec![
        event(start, frame, EventKind::Syn, Side::Client),
        event(start + 10_000, frame, EventKind::SynAck, Side::Server),
        event(start + 20_000, frame, EventKind::Established, Side::Client),
    ]
}

fn event(at: i64, frame: &mut u32, kind: EventKind, from: Side) -> Event {
    *frame += 1;
    Event {
        at: CaptureTime(BASE + at),
        frame: *frame,
        kind,
        from,
        has_ack: true,
        seq: 1,
        ack: 1,
        len: 0,
        quiet_us: 0,
    }
}

fn message(start: i64, end: i64, frame: &mut u32) -> Message {
    *frame += 1;
    Message {
        start: CaptureTime(BASE + start),
        end: CaptureTime(BASE + end),
        first_frame: *frame,
        last_frame: *frame,
        state: MessageState::Complete,
        head_bytes: 120,
        wire_bytes: 144,
        body_bytes: 24,
        ..Message::default()
    }
}

fn exchange(facts: &mut CaptureFacts, plan: &Planned, ordinal: u32, frame: &mut u32) -> Exchange {
    let request = message(plan.start, plan.start + 20_000, frame);
    let response =
        if plan.status == 0 { Message::default() } else { message(plan.end - 20_000, plan.end, frame) };
    Exchange {
        flow: FlowId(0),
        ordinal,
        method: plan.method,
        status: NonZeroU16::new(plan.status),
        flags: ExchangeFlags::default(),
        target: facts.add_text(plan.target.as_bytes()),
        host: Some(facts.intern("shop.example")),
        headers: 0,
        header_count: 0,
        request,
        response,
    }
}

fn flow(client: SocketAddr, server: SocketAddr, start: i64, last: i64, frame: u32) -> Flow {
    Flow {
        client,
        server,
        meant_for: None,
        opening: Opening::Handshake,
        closing: Closing::Fin,
        protocol: Protocol::Http11,
        wire: Default::default(),
        first: (CaptureTime(BASE + start), frame),
        last: (CaptureTime(BASE + last), frame),
        directions: [DirectionFacts::default(); 2],
        events: 0..0,
        exchanges: 0..0,
    }
}

fn topology() -> Topology {
    let lane = |name: &str, role, address: &str, serves: &[&str], depth| Lane {
        name: name.to_owned(),
        role,
        addresses: vec![address.parse().unwrap()],
        serves: serves.iter().map(|s| s.parse().unwrap()).collect(),
        depth,
        found: name.to_owned(),
        named_by: String::new(),
        inferred: false,
        users: role == Role::Client,
    };
    let link = |from, to, server: &str| Link {
        from: LaneId(from),
        to: LaneId(to),
        servers: vec![server.parse().unwrap()],
        connections: vec![],
    };
    Topology {
        clocks: vec![Clock { band_ns: Some(0), method: ClockMethod::SameHost, ..Clock::default() }],
        lanes: vec![
            lane("user", Role::Client, "10.0.0.9", &[], 0),
            lane("nginx", Role::Proxy, "10.0.1.2", &["10.0.1.2:80"], 1),
            lane("ingress", Role::Proxy, "10.0.2.2", &["10.0.2.2:8080"], 2),
            lane("uwsgi", Role::Server, "10.0.3.2", &["10.0.3.2:8000"], 3),
        ],
        links: vec![link(0, 1, "10.0.1.2:80"), link(1, 2, "10.0.2.2:8080"), link(2, 3, "10.0.3.2:8000")],
        ..Topology::default()
    }
}

fn diagnosis(
    facts: &CaptureFacts,
    topology: &Topology,
    outcomes: Vec<Outcome>,
    rejections: Vec<Rejection>,
) -> Diagnosis {
    let mut links = vec![LinkFigures::default(); topology.links.len()];
    for (at, raw) in facts.exchanges.iter().enumerate() {
        let connection = &topology.connections[topology.connection_of[at].0 as usize];
        let figures = &mut links[usize::from(connection.link.0)];
        figures.requests += 1;
        let status = raw.status.map_or("none".to_owned(), |status| status.to_string());
        let method = facts.method(raw.method).to_owned();
        *figures.status.entry(method).or_default().entry(status).or_default() += 1;
        let slot = &mut figures.ordinals[(raw.ordinal as usize - 1).min(2)];
        slot.0 += 1;
        slot.1 += u64::from(raw.status.is_some());
        figures.reused_requests += u64::from(raw.ordinal > 1);
    }
    links[1].retried.insert("GET".to_owned(), 1);
    let proof = |rejection: &Rejection| {
        let connection = topology.connection_of[rejection.exchange.0 as usize];
        let ends = &topology.connections[connection.0 as usize];
        Some(Proof {
            frame: rejection.rst?,
            client: ends.client,
            server: ends.server,
            note: "RST".to_owned(),
            exchange: Some(rejection.exchange),
            connection: Some(connection),
        })
    };
    let count = rejections.len() as u64;
    let finding = Finding {
        kind: "rejected-reused-request".to_owned(),
        rule: "R1".to_owned(),
        cause: "server-closes-after-each-response".to_owned(),
        severity: Severity::Error,
        confidence: Certainty::Certain,
        link: Some(LinkId(2)),
        count,
        summary: format!(
            "ingress → uwsgi: uwsgi rejects the second request on a reused connection, {count} times"
        ),
        explanation: format!("First requests are all answered, second requests 0 of {count}."),
        fixes: vec![Fix {
            product: "ingress-nginx".to_owned(),
            change: "nginx.ingress.kubernetes.io/proxy-http-version: \"1.0\"".to_owned(),
            note: String::new(),
        }],
        log_line: "upstream prematurely closed connection while reading response header from upstream"
            .to_owned(),
        doubt: "When the capture lost packets between FIN and request.".to_owned(),
        evidence: rejections.iter().filter_map(proof).collect(),
        exchanges: rejections.iter().map(|r| r.exchange).collect(),
        connections: vec![],
    };
    let masked = Finding {
        kind: "masked-failures".to_owned(),
        severity: Severity::Warning,
        link: Some(LinkId(1)),
        count: 1,
        summary: "nginx hid a failure by retrying a GET".to_owned(),
        evidence: vec![],
        exchanges: vec![],
        ..finding.clone()
    };
    Diagnosis {
        retried: Vec::new(),
        origins: vec![None; outcomes.len()],
        outcomes,
        rejections,
        explained: Default::default(),
        findings: vec![finding, masked],
        log_lines: vec![],
        retries: vec![],
        failures: Default::default(),
        board: Board { links, status: Some("502".to_owned()), boundary: Some(LinkId(1)) },
    }
}
