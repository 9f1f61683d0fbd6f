//! Connections one by one with their steps, for who asks for them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::names::CaptureNames;
use super::report::rfc3339;
use super::text::{heading, one_line, paragraph};
use crate::analysis::{Analysis, ConnectionView};
use crate::diagnose::words::{counted, grouped};
use crate::diagnose::{Step, Stories};
use crate::http::{HandOver, ProxyHeader, SaidAside, TlsFacts};
use crate::tcp::{Closing, Opening, Side};
use crate::topology::{ConnectionId, LaneId};

/// Most connections whose steps the text report tells; JSON has them all.
const MOST_TOLD: usize = 1000;

/// Which connections are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of them.
    All,
    /// Those with this end, at any port where none is given.
    With(IpAddr, Option<u16>),
}

impl Wanted {
    fn holds(self, connection: ConnectionView<'_>) -> bool {
        let Self::With(ip, port) = self else { return true };
        let is = |end: SocketAddr| end.ip() == ip && port.is_none_or(|port| end.port() == port);
        is(connection.inner.client) || is(connection.inner.server)
    }
}

fn wanted(analysis: &Analysis, which: Wanted) -> impl Iterator<Item = ConnectionView<'_>> {
    analysis.connections().filter(move |connection| which.holds(*connection))
}

/// The connections with their steps as text, ending with a line break.
pub fn connections_text(analysis: &Analysis, which: Wanted) -> String {
    let (mut out, names) = (String::new(), CaptureNames::short(analysis));
    let count = wanted(analysis, which).count();
    heading(&mut out, &format!("Connections ({})", grouped(count as u64)));
    let mut stories = Stories::new(analysis);
    for connection in wanted(analysis, which).take(MOST_TOLD) {
        let inner = connection.inner;
        let head = format!("  {}  ", analysis.link_name(inner.link));
        let flow = connection.flow();
        let ends = format!("{} → {}, {}", inner.client, inner.server, flow.protocol.name());
        paragraph(&mut out, &head, &ends);
        let steps = stories.steps(connection.id);
        let places: Vec<String> = steps.iter().map(|step| place(analysis, step, &names)).collect();
        let width = places.iter().map(|place| place.chars().count()).max().unwrap_or_default();
        for (step, place) in steps.iter().zip(&places) {
            let since = step.at.since_ns(inner.first) as f64 / 1e6;
            step_text(&mut out, &format!("  {since:>12.3} ms  {place:<width$}  "), step);
        }
    }
    if count > MOST_TOLD {
        let more = counted((count - MOST_TOLD) as u64, "more connection");
        paragraph(
            &mut out,
            "  ",
            &format!("… and {more}: ask for one by an address of it, or read the JSON report."),
        );
    }
    out
}

/// `frame 4`, and of which capture where there are several.
fn place(analysis: &Analysis, step: &Step, names: &CaptureNames<'_>) -> String {
    step.frame.map_or(String::new(), |frame| match analysis.captures.len() {
        1 if analysis.captures[0].info.parts().is_empty() => format!("frame {}", frame.number),
        _ => names.words(frame),
    })
}

fn step_text(out: &mut String, head: &str, step: &Step) {
    let hint = if step.hint.is_empty() { String::new() } else { format!(" ({})", step.hint) };
    paragraph(out, head, &one_line(&format!("{}{hint}", step.title)));
    let indent = " ".repeat(head.chars().count());
    paragraph(out, &indent, &step.why);
    for comment in &step.comments {
        paragraph(out, &indent, &format!("The capture says: {}", one_line(comment)));
    }
}

/// A connection with what it carries and its steps.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ConnectionReport {
    pub id: ConnectionId,
    pub from: LaneId,
    pub to: LaneId,
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// Those that hold it; frames are those of the first.
    pub captures: Vec<String>,
    pub protocol: &'static str,
    /// `handshake`, `unanswered`, `refused` or `before-capture`.
    pub opening: &'static str,
    /// `open`, `fin` or `reset`.
    pub closing: &'static str,
    pub first: Option<String>,
    pub last: Option<String>,
    pub client_bytes: u64,
    pub server_bytes: u64,
    /// Bytes of the client's that the capture lacks and the server had; absent where there are none.
    #[serde(skip_serializing_if = "super::report::is_zero")]
    pub client_uncaptured_bytes: u64,
    /// Bytes of the client's that never arrived, as far as the capture shows.
    #[serde(skip_serializing_if = "super::report::is_zero")]
    pub client_unarrived_bytes: u64,
    #[serde(skip_serializing_if = "super::report::is_zero")]
    pub server_uncaptured_bytes: u64,
    #[serde(skip_serializing_if = "super::report::is_zero")]
    pub server_unarrived_bytes: u64,
    pub exchanges: u64,
    /// Whether what it carries is encrypted, so that exchanges cannot be read.
    pub encrypted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_header: Option<ProxyReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hand_over: Option<HandOverReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<SaidReport>,
    pub steps: Vec<StepReport>,
}

/// A PROXY header.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of ProxyHeader")]
pub struct ProxyReport {
    pub version: u8,
    pub frame: u32,
    pub own: bool,
    pub source: Option<SocketAddr>,
    pub destination: Option<SocketAddr>,
    /// What version 2 adds: `alpn`, `authority`, `unique_id`, `tls_version`, …
    pub extras: BTreeMap<String, String>,
    /// Headers that follow this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<ProxyReport>,
}

/// What the connection became.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of HandOver")]
pub struct HandOverReport {
    pub way: &'static str,
    pub protocol: &'static str,
    pub to: String,
    /// The request that asked, by its place on the connection; `null` where none did.
    pub request: Option<u32>,
    pub frame: u32,
    pub client_bytes: u64,
    pub server_bytes: u64,
}

/// What TLS leaves to see.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of TlsFacts")]
pub struct TlsReport {
    pub server_name: Option<String>,
    pub alpn_offered: Vec<String>,
    pub alpn: Option<String>,
    pub offered_version: Option<String>,
    pub version: Option<String>,
    pub cipher: Option<String>,
    pub resumed: bool,
    /// `null` where the capture does not tell.
    pub established: Option<bool>,
    pub handshake: Vec<TlsMessageReport>,
    pub alerts: Vec<TlsAlertReport>,
    pub client_bytes: u64,
    pub server_bytes: u64,
    /// The capture misses some of these bytes.
    pub lossy: bool,
    pub client_end: &'static str,
    pub server_end: &'static str,
}

/// A message of the handshake.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct TlsMessageReport {
    /// `client` or `server`.
    pub from: &'static str,
    pub message: &'static str,
    pub frame: u32,
}

/// An alert.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct TlsAlertReport {
    /// `client` or `server`.
    pub from: &'static str,
    /// `warning`, `fatal`, or `null` when it is encrypted.
    pub level: Option<&'static str>,
    pub name: String,
    pub frame: u32,
}

/// What an application wrote to FastCGI's STDERR.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of SaidAside")]
pub struct SaidReport {
    pub request: u32,
    pub frame: u32,
    pub text: String,
    pub bytes: u64,
}

impl SaidReport {
    pub(super) fn of(said: &SaidAside) -> Self {
        Self { request: said.ordinal, frame: said.frame, text: said.text.to_string(), bytes: said.bytes }
    }
}

/// A step.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are those of Step")]
pub struct StepReport {
    pub at: Option<String>,
    pub capture: Option<String>,
    pub frame: Option<u32>,
    pub title: String,
    pub hint: String,
    pub plain: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<String>,
}

/// The connections with their steps as data.
pub(super) fn connection_reports(
    analysis: &Analysis,
    which: Wanted,
    names: &CaptureNames<'_>,
) -> Vec<ConnectionReport> {
    let mut stories = Stories::new(analysis);
    wanted(analysis, which).map(|connection| connection_report(connection, &mut stories, names)).collect()
}

fn connection_report(
    connection: ConnectionView<'_>,
    stories: &mut Stories<'_>,
    names: &CaptureNames<'_>,
) -> ConnectionReport {
    let (inner, flow) = (connection.inner, connection.flow());
    let link = connection.analysis.link(inner.link);
    let step = |step: Step| StepReport {
        at: rfc3339(step.at.0),
        capture: step.frame.map(|frame| names.place_of(frame).0.to_owned()),
        frame: step.frame.map(|frame| names.place_of(frame).1),
        title: step.title,
        hint: step.hint,
        plain: step.plain,
        why: step.why,
        comments: step.comments,
    };
    ConnectionReport {
        id: connection.id,
        from: link.from,
        to: link.to,
        client: inner.client,
        server: inner.server,
        captures: inner.sightings.iter().map(|one| names.of_capture(one.capture).to_owned()).collect(),
        protocol: flow.protocol.name(),
        opening: opening(flow.opening),
        closing: closing(flow.closing),
        first: rfc3339(inner.first.0),
        last: rfc3339(inner.last.0),
        client_bytes: flow.direction(Side::Client).bytes,
        server_bytes: flow.direction(Side::Server).bytes,
        client_uncaptured_bytes: flow.direction(Side::Client).uncaptured_bytes,
        client_unarrived_bytes: flow.direction(Side::Client).unarrived_bytes,
        server_uncaptured_bytes: flow.direction(Side::Server).uncaptured_bytes,
        server_unarrived_bytes: flow.direction(Side::Server).unarrived_bytes,
        exchanges: inner.exchanges.len() as u64,
        encrypted: flow.wire.tls.is_some(),
        proxy_header: flow.wire.proxy.as_deref().map(proxy_report),
        hand_over: flow.wire.hand_over.as_deref().map(hand_over_report),
        tls: flow.wire.tls.as_deref().map(tls_report),
        stderr: flow.wire.aside.iter().map(SaidReport::of).collect(),
        steps: stories.steps(connection.id).into_iter().map(step).collect(),
    }
}

fn opening(opening: Opening) -> &'static str {
    match opening {
        Opening::Handshake => "handshake",
        Opening::Unanswered => "unanswered",
        Opening::Refused => "refused",
        Opening::MidStream => "before-capture",
    }
}

fn closing(closing: Closing) -> &'static str {
    match closing {
        Closing::Open => "open",
        Closing::Fin => "fin",
        Closing::Reset => "reset",
    }
}

fn proxy_report(proxy: &ProxyHeader) -> ProxyReport {
    ProxyReport {
        version: proxy.version,
        frame: proxy.frame,
        own: proxy.own,
        source: proxy.addresses.map(|(source, _)| source),
        destination: proxy.addresses.map(|(_, destination)| destination),
        extras: proxy
            .extras
            .iter()
            .map(|(name, value)| (name.replace(' ', "_"), value.to_string()))
            .collect(),
        further: proxy.further.iter().map(proxy_report).collect(),
    }
}

fn hand_over_report(one: &HandOver) -> HandOverReport {
    HandOverReport {
        way: one.way.name(),
        protocol: one.protocol.name(),
        to: one.to.to_string(),
        request: (one.ordinal > 0).then_some(one.ordinal),
        frame: one.frame,
        client_bytes: one.bytes[0],
        server_bytes: one.bytes[1],
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

fn tls_report(tls: &TlsFacts) -> TlsReport {
    let level = |level: u8| match level {
        0 => None,
        1 => Some("warning"),
        _ => Some("fatal"),
    };
    let offered = tls.alpn_offered.as_deref().unwrap_or_default();
    TlsReport {
        server_name: tls.server_name.as_deref().map(str::to_owned),
        alpn_offered: offered.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        alpn: tls.alpn.as_deref().map(str::to_owned),
        offered_version: tls.offered_name(),
        version: tls.version_name(),
        cipher: tls.cipher_name().map(Into::into),
        resumed: tls.resumed,
        established: tls.is_established(),
        handshake: tls
            .steps
            .iter()
            .map(|step| TlsMessageReport {
                from: side(step.from),
                message: step.message.name(),
                frame: step.frame,
            })
            .collect(),
        alerts: tls
            .alerts
            .iter()
            .map(|alert| TlsAlertReport {
                from: side(alert.from),
                level: level(alert.level),
                name: alert.name().into(),
                frame: alert.frame,
            })
            .collect(),
        client_bytes: tls.data_bytes[0],
        server_bytes: tls.data_bytes[1],
        lossy: tls.lost != [false, false],
        client_end: tls.end(Side::Client).name(),
        server_end: tls.end(Side::Server).name(),
    }
}
