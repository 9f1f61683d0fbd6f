//! One connection in detail: its ends, how it began and ended, and what it carries beside requests.

use egui::{ScrollArea, Ui};

use super::Pane;
use super::connections::{began, carries, ended};
use super::detail::pairs_ui;
use crate::analysis::ConnectionView;
use crate::app::format::{bytes, grouped};
use crate::http::{HandOver, HandOverWay, Protocol, ProxyHeader, TlsFacts};
use crate::tcp::Side;
use crate::topology::ConnectionId;

/// A fact: its name, and its value.
type Row = (&'static str, String);

/// Draws it.
pub fn connection_ui(ui: &mut Ui, pane: &Pane<'_>, id: ConnectionId) {
    let connection = pane.analysis.connection(id);
    ScrollArea::vertical().id_salt("connection").auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().interact_size.y = 16.0;
        pairs_ui(ui, &pane.palette, &rows(pane, connection));
    });
}

/// `127.0.0.1:37378 → app`, and what it carries: the title where no request is selected.
pub fn title(pane: &Pane<'_>, id: ConnectionId) -> (String, String) {
    let connection = pane.analysis.connection(id);
    let (protocol, requests) = carries(&connection);
    let note = if requests == "encrypted" { format!("{protocol}, encrypted") } else { protocol };
    (format!("Connection of :{}", connection.inner.client.port()), note)
}

fn rows(pane: &Pane<'_>, connection: ConnectionView<'_>) -> Vec<Row> {
    let (inner, flow) = (connection.inner, connection.flow());
    let names = names(connection);
    let sent = [Side::Client, Side::Server].map(|side| bytes(flow.direction(side).bytes));
    let (protocol, requests) = carries(&connection);
    // The pane is low: what the connection carries comes before what the table and the steps show too.
    let mut rows = vec![("requests", requests)];
    if flow.protocol != Protocol::Tls {
        rows.insert(0, ("protocol", protocol));
    }
    rows.extend(carried(connection));
    rows.extend([
        ("bytes in all", format!("{} to {}, {} back", sent[0], names[1], sent[1])),
        ("client", format!("{} ({})", inner.client, names[0])),
        ("server", format!("{} ({})", inner.server, names[1])),
        ("began", format!("{}, {}", pane.clock.time(inner.first), began(flow.opening))),
        ("ended", format!("{}, {}", pane.clock.time(inner.last), ended(flow))),
        ("capture", pane.analysis.capture_name(connection.capture())),
    ]);
    let others = inner.sightings.iter().skip(1);
    rows.extend(others.map(|other| ("also seen in", pane.analysis.capture_name(other.capture))));
    rows
}

/// The names of its two lanes.
fn names(connection: ConnectionView<'_>) -> [&str; 2] {
    let link = connection.analysis.link(connection.inner.link);
    [link.from, link.to].map(|lane| connection.analysis.lane(lane).name.as_str())
}

/// What it carries beside requests: a PROXY header, what it became, TLS, and what the application wrote aside.
pub fn carried(connection: ConnectionView<'_>) -> Vec<Row> {
    let (wire, names) = (&connection.flow().wire, names(connection));
    let mut rows = Vec::new();
    let headers = wire.proxy.iter().flat_map(|proxy| std::iter::once(&**proxy).chain(&proxy.further));
    rows.extend(headers.flat_map(proxy_rows));
    rows.extend(wire.hand_over.iter().flat_map(|one| hand_over_rows(one, names)));
    rows.extend(wire.tls.iter().flat_map(|tls| tls_rows(tls, names)));
    let aside = wire.aside.iter();
    rows.extend(aside.map(|said| ("STDERR", format!("request {}: {}", said.ordinal, said.text.trim()))));
    rows
}

fn proxy_rows(proxy: &ProxyHeader) -> Vec<Row> {
    let ends = proxy.addresses.map_or_else(
        || "speaks for itself".to_owned(),
        |(source, destination)| format!("{source} → {destination}"),
    );
    let mut rows =
        vec![("PROXY header", format!("{ends} (version {}, frame {})", proxy.version, proxy.frame))];
    rows.extend(proxy.extras.iter().map(|(name, value)| (*name, value.to_string())));
    rows
}

fn hand_over_rows(one: &HandOver, names: [&str; 2]) -> Vec<Row> {
    let asked = match one.ordinal {
        0 if one.way == HandOverWay::Unseen => "not in the capture".to_owned(),
        0 => format!("{} from its first byte, frame {}", names[0], one.frame),
        number => format!("{} with request {number}; agreed in frame {}", names[0], one.frame),
    };
    let became = format!("{} ({})", one.protocol.name(), one.to);
    let then = format!("{} B to {}, {} B back", grouped(one.bytes[0]), names[1], grouped(one.bytes[1]));
    vec![("became", became), ("asked by", asked), ("bytes from there", then)]
}

fn tls_rows(tls: &TlsFacts, names: [&str; 2]) -> Vec<Row> {
    let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
    let version = match (tls.version_name(), tls.offered_name()) {
        (Some(version), Some(offered)) => format!("{version} ({offered} offered)"),
        (Some(version), None) => version,
        (None, Some(offered)) => format!("none agreed on ({offered} offered)"),
        (None, None) => "not captured".to_owned(),
    };
    let handshake = match tls.is_established() {
        Some(true) if tls.resumed => "finished, a session of before",
        Some(true) => "finished",
        Some(false) => "not finished",
        None => "not captured in full",
    };
    let mut rows = vec![("TLS", version), ("handshake", handshake.to_owned())];
    rows.extend(tls.cipher_name().map(|name| ("cipher suite", name.into_owned())));
    rows.push(("server name", or_none(tls.server_name.as_deref())));
    let chosen = match &tls.alpn {
        None if tls.is_1_3() => "; the choice is encrypted".to_owned(),
        None => String::new(),
        Some(chosen) => format!("; chosen {chosen}"),
    };
    rows.push(("ALPN", format!("offered {}{chosen}", or_none(tls.alpn_offered.as_deref()))));
    rows.extend(tls.alerts.iter().map(|alert| {
        let fatal = if alert.is_fatal() { ", fatal" } else { "" };
        let name = names[alert.from as usize];
        ("alert", format!("{name}: {}{fatal} (frame {})", alert.name(), alert.frame))
    }));
    let least = if tls.lost == [false, false] { "" } else { "at least " };
    let [up, down] = tls.data_bytes.map(grouped);
    rows.push(("encrypted", format!("{least}{up} B to {}, {down} B back", names[1])));
    let end = |side: Side| format!("{}: {}", names[side as usize], tls.end(side).name());
    rows.push(("last word", format!("{}; {}", end(Side::Client), end(Side::Server))));
    rows
}
