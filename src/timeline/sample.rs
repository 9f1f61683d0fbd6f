//! A made-up analysis of four lanes for tests: some requests rejected, their GETs retried.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::analysis::Analysis;
use crate::capture::{CaptureId, CaptureTime, Frame, SessionTime};
use crate::correlate::{Confidence, Evidence, Parentage, Trees};
use crate::diagnose::{Outcome, RejectForm, Rejection, Retries};
use crate::http::{CaptureFacts, Exchange, ExchangeFlags, Message, MessageState, Method, Protocol};
use crate::tcp::{Closing, Event, EventKind, Flow, FlowId, Opening, Side};
use crate::topology::{
    Clock, ClockMethod, Connection, ConnectionId, ExchangeId, ExchangeKey, Lane, LaneId, Link, LinkId, Role,
    Sighting,
};

/// 2026-11-24 12:00:00 UTC.
const T0: i64 = 1_795_521_600_000_000_000;
const MS: i64 = 1_000_000;

struct Planned {
    link: usize,
    connection: usize,
    start: i64,
    end: i64,
    status: Option<u16>,
    method: Method,
    target: String,
    /// Index of the planned parent, and the attempt.
    parent: Option<(usize, u16)>,
}

/// `requests` user requests, of which every `every`-th is rejected once at the last hop; every third rejected
/// one is a POST and fails, the GETs are retried.
pub fn analysis(requests: usize, every: usize) -> Analysis {
    build(&plan(requests, every))
}

fn plan(requests: usize, every: usize) -> Vec<Planned> {
    let mut all: Vec<Planned> = Vec::new();
    let mut fresh = 0;
    let mut idle: Vec<(i64, usize)> = Vec::new();
    for i in 0..requests {
        let start = T0 + i as i64 * 4 * MS + (i as i64 * 7919 % 3000) * 1000;
        let fails = i % every == every / 2;
        let post = fails && (i / every).is_multiple_of(3);
        let method = if post { Method::Post } else { Method::Get };
        let target = if post { format!("/api/order/{i}") } else { format!("/api/item/{i}") };
        let length = 5 * MS + (i as i64 * 104_729 % 5_000) * 1000;
        let mut add = |link, connection, start, end, status, parent| {
            let target = target.clone();
            all.push(Planned { link, connection, start, end, status, method, target, parent });
            all.len() - 1
        };
        let end = start + length + if fails && !post { 4 * MS } else { 0 };
        let status = Some(if post { 502 } else { 200 });
        let root = add(0, i % 9, start, end, status, None);
        let first = start + 300_000;
        if fails {
            let attempt = add(1, i % 4, first, first + 3 * MS, Some(502), Some((root, 1)));
            // A connection that has answered and is closed: what is sent on it next is rejected.
            let stale = idle.iter().rposition(|c| c.0 + 200_000 < first);
            let connection = stale.map_or(100_000 + i, |at| idle.remove(at).1);
            add(2, connection, first + 400_000, first + 2 * MS, None, Some((attempt, 1)));
        }
        if !post {
            let from = if fails { first + 3_200_000 } else { first };
            let connection = 4 + i % 4;
            let attempt = add(1, connection, from, end - 300_000, status, Some((root, 1 + u16::from(fails))));
            add(2, fresh, from + 300_000, end - 700_000, status, Some((attempt, 1)));
            idle.push((end - 700_000, fresh));
            fresh += 1;
        }
    }
    all
}

fn message(start: i64, end: i64, frame: u32) -> Message {
    Message {
        start: CaptureTime(start),
        end: CaptureTime(end),
        first_frame: frame,
        last_frame: frame,
        state: MessageState::Complete,
        ..Message::default()
    }
}

fn event(at: i64, frame: u32, kind: EventKind, from: Side) -> Event {
    Event { at: CaptureTime(at), frame, kind, from, has_ack: true, seq: 0, ack: 0, len: 0, quiet_us: 0 }
}

fn server(link: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 88, link as u8 + 1, 2)), [80, 8080, 8000][link])
}

fn build(plan: &[Planned]) -> Analysis {
    let mut facts = CaptureFacts::default();
    let mut analysis = Analysis::default();
    let mut ids = vec![ExchangeId(0); plan.len()];
    let mut keys: Vec<(usize, usize)> = plan.iter().map(|p| (p.link, p.connection)).collect();
    keys.sort_unstable();
    keys.dedup();
    for (link, number) in keys {
        let mut own: Vec<usize> =
            (0..plan.len()).filter(|&i| (plan[i].link, plan[i].connection) == (link, number)).collect();
        own.sort_by_key(|&i| plan[i].start);
        let (flow, first, last) = add_flow(&mut facts, plan, &own, link, number);
        let id = ConnectionId(analysis.topology.connections.len() as u32);
        let from = analysis.topology.exchanges.len() as u32;
        for (&planned, index) in own.iter().zip(facts.flow(flow).exchanges.clone()) {
            ids[planned] = ExchangeId(analysis.topology.exchanges.len() as u32);
            analysis.topology.exchanges.push(ExchangeKey { capture: CaptureId(0), index });
            analysis.topology.connection_of.push(id);
        }
        analysis.topology.connections.push(Connection {
            sightings: vec![Sighting { capture: CaptureId(0), flow }],
            client: facts.flow(flow).client,
            server: server(link),
            link: LinkId(link as u16),
            exchanges: from..analysis.topology.exchanges.len() as u32,
            first: SessionTime(first),
            last: SessionTime(last),
        });
    }
    facts.info.first = analysis.topology.connections.iter().map(|c| CaptureTime(c.first.0)).min();
    facts.info.last = analysis.topology.connections.iter().map(|c| CaptureTime(c.last.0)).max();
    analysis.captures = vec![Arc::new(facts)];
    add_lanes(&mut analysis);
    judge(&mut analysis, plan, &ids);
    analysis
}

fn add_flow(
    facts: &mut CaptureFacts,
    plan: &[Planned],
    own: &[usize],
    link: usize,
    number: usize,
) -> (FlowId, i64, i64) {
    let rejected = own.iter().find(|&&i| plan[i].status.is_none());
    // The first two connections of each hop are older than the capture.
    let opened = link == 2 || number > 1;
    let first = plan[own[0]].start - MS;
    let mut last = own.iter().map(|&i| plan[i].end).max().unwrap_or(first) + 400_000;
    let mut events = Vec::new();
    if opened {
        events.push(event(first, 1, EventKind::Syn, Side::Client));
    }
    if link == 2 {
        events.push(event(plan[own[0]].end + 150_000, 12, EventKind::Fin, Side::Server));
        if let Some(&i) = rejected {
            events.push(event(plan[i].end, 30, EventKind::Rst, Side::Server));
            last = plan[i].end;
        }
    }
    let mut exchanges = Vec::new();
    for (at, &i) in own.iter().enumerate() {
        let p = &plan[i];
        let frame = 10 + at as u32 * 10;
        let target = facts.add_text(p.target.as_bytes());
        exchanges.push(Exchange {
            flow: FlowId(0),
            ordinal: at as u32 + 1,
            method: p.method,
            status: p.status.and_then(NonZeroU16::new),
            flags: ExchangeFlags::default(),
            target,
            host: None,
            headers: 0,
            header_count: 0,
            request: message(p.start, p.start + 50_000, frame),
            response: p.status.map_or_else(Message::default, |_| message(p.end - 50_000, p.end, frame + 1)),
        });
    }
    let client = SocketAddr::new(
        IpAddr::V4(Ipv4Addr::new(10, 88, link as u8 + 1, 1)),
        [51_234, 40_112, 48_500][link] + (number % 1500) as u16 * 6,
    );
    let flow = Flow {
        client,
        server: server(link),
        meant_for: None,
        opening: if opened { Opening::Handshake } else { Opening::MidStream },
        closing: match (link, rejected) {
            (2, Some(_)) => Closing::Reset,
            (2, None) => Closing::Fin,
            _ => Closing::Open,
        },
        protocol: Protocol::Http11,
        wire: Default::default(),
        first: (CaptureTime(first), 1),
        last: (CaptureTime(last), 99),
        directions: Default::default(),
        events: 0..0,
        exchanges: 0..0,
    };
    (facts.add_flow(flow, &events, &exchanges), first, last)
}

fn add_lanes(analysis: &mut Analysis) {
    let ip = |a, b| IpAddr::V4(Ipv4Addr::new(10, 88, a, b));
    let topology = &mut analysis.topology;
    topology.clocks = vec![Clock { band_ns: Some(0), method: ClockMethod::SameHost, ..Clock::default() }];
    for (at, name) in ["user", "nginx", "ingress", "uwsgi"].into_iter().enumerate() {
        topology.lanes.push(Lane {
            name: name.to_owned(),
            role: [Role::Client, Role::Proxy, Role::Proxy, Role::Server][at],
            addresses: if at == 0 { vec![ip(1, 1)] } else { vec![ip(at as u8, 2), ip(at as u8 + 1, 1)] },
            serves: if at == 0 { vec![] } else { vec![server(at - 1)] },
            depth: at as u16,
            found: name.to_owned(),
            named_by: String::new(),
            inferred: false,
            users: at == 0,
        });
    }
    for link in 0..3u16 {
        let of_link = |c: &(usize, &Connection)| c.1.link == LinkId(link);
        let own = topology.connections.iter().enumerate().filter(of_link);
        let connections = own.map(|(i, _)| ConnectionId(i as u32)).collect();
        let servers = vec![server(usize::from(link))];
        topology.links.push(Link { from: LaneId(link), to: LaneId(link + 1), servers, connections });
    }
}

fn judge(analysis: &mut Analysis, plan: &[Planned], ids: &[ExchangeId]) {
    let mut parents = vec![None; plan.len()];
    let mut outcomes = vec![Outcome::Complete; plan.len()];
    for (p, &id) in plan.iter().zip(ids) {
        let at = id.0 as usize;
        parents[at] = p.parent.map(|(parent, attempt)| Parentage {
            parent: ids[parent],
            confidence: Confidence::Certain,
            evidence: Evidence(Evidence::REQUEST_ID),
            runner_up: None,
            attempt,
        });
        if p.status.is_none() {
            outcomes[at] = Outcome::Rejected;
            let rst = Some(Frame { capture: CaptureId(0), number: 30 });
            analysis.diagnosis.rejections.push(Rejection {
                exchange: id,
                form: RejectForm::StalePick,
                fin: None,
                rst,
                idle_ns: MS,
            });
        }
    }
    analysis.diagnosis.rejections.sort_by_key(|r| r.exchange);
    let mut started = vec![0; plan.len()];
    for (p, &id) in plan.iter().zip(ids) {
        started[id.0 as usize] = p.start;
    }
    analysis.trees = Trees::new(parents, |id| started[id.0 as usize]);
    analysis.diagnosis.outcomes = outcomes;
    let retried = plan.iter().filter(|p| p.parent.is_some_and(|(_, attempt)| attempt > 1)).count() as u64;
    let retries = Retries {
        lane: Some(LaneId(1)),
        retried: [("GET".to_owned(), retried)].into(),
        attempts: retried * 2,
        ..Retries::default()
    };
    analysis.diagnosis.retries = vec![retries];
}
