//! What is read from each small capture of `tests/captures`, against the text beside it.
//!
//! `tests/captures/make.py` makes the captures. `UPDATE_GOLDENS=1 cargo test --test captures` renews the texts; read the
//! diff before it is committed.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use hopscope::analysis::{Analysis, ConnectionView, ExchangeView, analyse};
use hopscope::capture::{CaptureTime, Frame};
use hopscope::diagnose::{StepKind, steps};
use hopscope::http::{ExchangeFlags, Message, WireFacts};
use hopscope::load::{Progress, load};
use hopscope::tcp::{Event, Side};
use hopscope::topology::Overrides;

/// Words for the flags of an exchange, in the order that they are printed.
const FLAGS: [(u32, &str); 9] = [
    (ExchangeFlags::CLIENT_CLOSES, "client-closes"),
    (ExchangeFlags::SERVER_CLOSES, "server-closes"),
    (ExchangeFlags::PIPELINED, "pipelined"),
    (ExchangeFlags::EXPECTS_CONTINUE, "expects-continue"),
    (ExchangeFlags::INTERIM, "interim"),
    (ExchangeFlags::TUNNEL, "tunnel"),
    (ExchangeFlags::NEAR_HOLE, "near-hole"),
    (ExchangeFlags::CONFLICTING_FRAMING, "conflicting-framing"),
    (ExchangeFlags::EARLY_RESPONSE, "early-response"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

#[test]
fn each_small_capture_reads_as_its_text_says() {
    let mut captures: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    captures.retain(|path| path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng"));
    captures.sort();
    assert!(captures.len() >= 24, "only {} captures", captures.len());
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut wrong = String::new();
    for path in captures {
        let golden = path.with_extension("txt");
        let got = rendered(&path);
        if update {
            fs::write(&golden, &got).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if got != expected {
            writeln!(wrong, "\n{}", path.file_name().unwrap().to_string_lossy()).unwrap();
            first_difference(&mut wrong, &expected, &got);
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nIf this is meant: UPDATE_GOLDENS=1 cargo test --test captures");
}

#[test]
fn each_text_has_its_capture() {
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "txt") {
            let held = path.with_extension("pcap").exists() || path.with_extension("pcapng").exists();
            assert!(held, "{} has no capture", path.display());
        }
    }
}

/// The first line where two texts part, with what stands before it.
fn first_difference(out: &mut String, expected: &str, got: &str) {
    let (mut old, mut new, mut before) = (expected.lines(), got.lines(), "");
    loop {
        let (a, b) = (old.next(), new.next());
        if a != b {
            let line = |text: Option<&str>| text.unwrap_or("(the end)").to_owned();
            writeln!(out, "  {before}\n- {}\n+ {}", line(a), line(b)).unwrap();
            return;
        }
        let Some(same) = a else { return };
        before = same;
    }
}

/// The capture as a tree: file, connections, their events, exchanges and findings.
fn rendered(path: &Path) -> String {
    let facts = load(&[path.to_owned()], &Progress::default());
    let analysis = analyse(facts, &Overrides::default());
    let mut out = String::new();
    for capture in &analysis.captures {
        let info = &capture.info;
        writeln!(out, "{} {}, {} packets", info.format, info.link_types.join(" "), info.packets).unwrap();
        for problem in &info.problems {
            writeln!(out, "problem: {} ×{}: {}", problem.kind.name(), problem.count, problem.detail).unwrap();
        }
    }
    for connection in analysis.connections() {
        connection_text(&mut out, &analysis, connection);
    }
    for finding in &analysis.diagnosis.findings {
        writeln!(out, "\nfinding: {} ×{}", finding.kind, finding.count).unwrap();
    }
    out
}

fn connection_text(out: &mut String, analysis: &Analysis, connection: ConnectionView<'_>) {
    let flow = connection.flow();
    writeln!(out, "\n{} → {}", flow.client, flow.server).unwrap();
    let (opening, closing) = (format!("{:?}", flow.opening), format!("{:?}", flow.closing));
    let seen = connection.inner.sightings.len();
    writeln!(out, "  {}, opening {opening}, closing {closing}, sightings {seen}", flow.protocol.name())
        .unwrap();
    for (side, direction) in ["client", "server"].iter().zip(&flow.directions) {
        if direction.missing_bytes > 0 {
            writeln!(out, "  {side}: {} bytes missing", direction.missing_bytes).unwrap();
        }
    }
    let start = analysis.capture(connection.capture()).info.first.unwrap_or(flow.first.0);
    for event in connection.events() {
        event_text(out, start, event);
    }
    for exchange in connection.exchanges() {
        exchange_text(out, start, exchange);
    }
    wire_text(out, &flow.wire);
    let told = [StepKind::Proxy, StepKind::Encrypted, StepKind::HandOver, StepKind::Aside];
    for step in steps(analysis, connection.id).iter().filter(|step| told.contains(&step.kind)) {
        let frame = step.frame.map_or(0, |frame| frame.number);
        writeln!(out, "  step in frame {frame}: {} ({})\n    {}", step.title, step.hint, step.plain).unwrap();
    }
}

/// What the connection carries beside its exchanges.
fn wire_text(out: &mut String, wire: &WireFacts) {
    if let Some(proxy) = &wire.proxy {
        let ends = proxy.addresses.map_or("no addresses".to_owned(), |(from, to)| format!("{from} → {to}"));
        writeln!(out, "  proxy header {} in frame {}: {ends}{:?}", proxy.version, proxy.frame, proxy.extras)
            .unwrap();
    }
    if let Some(one) = &wire.hand_over {
        let (way, protocol, [up, down]) = (one.way.name(), one.protocol.name(), one.bytes);
        let (to, frame) = (&one.to, one.frame);
        writeln!(out, "  {way} to {protocol} ({to}) in frame {frame}: {up} bytes up, {down} down").unwrap();
    }
    for said in &wire.aside {
        writeln!(out, "  aside of {} in frame {}: {:?}", said.ordinal, said.frame, said.text).unwrap();
    }
    let Some(tls) = &wire.tls else { return };
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or("-").to_owned();
    let offered = tls.offered_name().unwrap_or_default();
    let (version, cipher) = (tls.version_name().unwrap_or_default(), tls.cipher_name().unwrap_or_default());
    writeln!(
        out,
        "  tls: offers {offered} for {} with {}; {version} {cipher} {}; established {:?}, resumed {}",
        text(&tls.server_name),
        text(&tls.alpn_offered),
        text(&tls.alpn),
        tls.is_established(),
        tls.resumed,
    )
    .unwrap();
    for step in &tls.steps {
        writeln!(out, "    frame {}: {:?} {}", step.frame, step.from, step.message.name()).unwrap();
    }
    for alert in &tls.alerts {
        writeln!(out, "    frame {}: {:?} alert {} {}", alert.frame, alert.from, alert.level, alert.name())
            .unwrap();
    }
    for side in [Side::Client, Side::Server] {
        let (bytes, end) = (tls.data_bytes[side as usize], tls.end(side).name());
        writeln!(out, "    {side:?}: {bytes} bytes of data, ends with {end}").unwrap();
    }
}

/// Milliseconds since the capture began.
fn since(start: CaptureTime, at: CaptureTime) -> String {
    format!("{:.3} ms", (at.0 - start.0) as f64 / 1e6)
}

fn event_text(out: &mut String, start: CaptureTime, event: &Event) {
    let from = format!("{:?}", event.from).to_lowercase();
    write!(
        out,
        "  frame {} {}: {from} {:?} seq {}",
        event.frame,
        since(start, event.at),
        event.kind,
        event.seq
    )
    .unwrap();
    if event.has_ack {
        write!(out, " ack {}", event.ack).unwrap();
    }
    if event.len > 0 {
        write!(out, " len {}", event.len).unwrap();
    }
    out.push('\n');
}

fn exchange_text(out: &mut String, start: CaptureTime, exchange: ExchangeView<'_>) {
    let status = exchange.status().map_or_else(|| "no status".to_owned(), |status| status.to_string());
    let host = exchange.host().map_or_else(String::new, |host| format!(" host {host}"));
    writeln!(
        out,
        "  exchange {}: {} {:?}{host} → {status}, {}",
        exchange.raw.ordinal,
        exchange.method(),
        exchange.target(),
        exchange.outcome().name(),
    )
    .unwrap();
    let set: Vec<&str> =
        FLAGS.iter().filter(|(flag, _)| exchange.raw.flags.has(*flag)).map(|(_, word)| *word).collect();
    if !set.is_empty() {
        writeln!(out, "    {}", set.join(" ")).unwrap();
    }
    for (name, message) in [("request", &exchange.raw.request), ("response", &exchange.raw.response)] {
        if let Some((first, last)) = exchange.frames(message) {
            message_text(out, name, message, start, (first, last));
        }
    }
}

fn message_text(out: &mut String, name: &str, message: &Message, start: CaptureTime, frames: (Frame, Frame)) {
    writeln!(
        out,
        "    {name} {} {:?} {:?}: frames {}–{}, {}–{}, head {} body {} wire {}",
        message.version.name(),
        message.state,
        message.framing,
        frames.0.number,
        frames.1.number,
        since(start, message.start),
        since(start, message.end),
        message.head_bytes,
        message.body_bytes,
        message.wire_bytes,
    )
    .unwrap();
}
