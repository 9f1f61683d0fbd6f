//! Writes the inputs that fuzzing starts from, `corpus/TARGET/…` in this folder: small captures of every form, made
//! by the builders of the tests, the captures of the tests, and the starts of the sample captures; for the targets of
//! the wire protocols what their connections say, and for the session file a session about each.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hopscope::analysis::analyse;
use hopscope::capture::testing::{Conversation, PcapBuilder};
use hopscope::capture::{Decoder, LinkType, ProblemLog, Reader, TcpFlags};
use hopscope::http::load_from;
use hopscope::session::{Annotation, Session, Snapshot, Target, TimeView};
use hopscope::topology::{ConnectionId, ExchangeId, Overrides};

const AT: i64 = 1_700_000_000_123_456_000;
/// How much of a sample capture is taken: mutation works best on small inputs.
const SAMPLE_BYTES: usize = 24 * 1024;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let captures = captures()?;
    for (name, bytes) in &captures {
        write("capture", name, bytes)?;
        write("load", name, bytes)?;
        if let Some(packets) = packets(bytes) {
            write("decode", name, &packets)?;
        }
        if let Some(turns) = turns(bytes) {
            for target in ["http", "uwsgi", "fastcgi"] {
                write(target, name, &turns)?;
            }
        }
        if let Some(session) = session(name, bytes) {
            write("session", name, session.as_bytes())?;
        }
    }
    println!("{} captures written below {}", captures.len(), corpus("").display());
    Ok(())
}

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn write(target: &str, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let folder = corpus(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), bytes)?)
}

/// All captures, with the names of their files.
fn captures() -> Result<Vec<(String, Vec<u8>)>, Error> {
    let containers: [(&str, fn(PcapBuilder) -> PcapBuilder); 5] = [
        ("us", |file| file),
        ("ns-be", |file| file.nanos().big_endian()),
        ("ng", PcapBuilder::pcapng),
        ("ng-be", |file| file.pcapng().big_endian().nanos()),
        ("cut", |file| file.snap_len(90)),
    ];
    let mut all = Vec::new();
    for link in [LinkType::EN10MB, LinkType::LINUX_SLL, LinkType::LINUX_SLL2, LinkType::RAW, LinkType::NULL] {
        for (name, container) in containers {
            for v6 in [false, true] {
                let mut file = container(PcapBuilder::new()).link_type(link);
                exchange(&mut file, v6);
                all.push((format!("{link}-{name}-{}", if v6 { 6 } else { 4 }), file.build()));
            }
        }
    }
    for folder in ["../tests/captures", "../sample-captures"] {
        samples(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut all)?;
    }
    Ok(all)
}

/// A connection of two requests, the second of which is rejected.
fn exchange(file: &mut PcapBuilder, v6: bool) {
    let (client, server) =
        if v6 { ("[fd00::1]:40000", "[fd00::2]:80") } else { ("10.0.0.1:40000", "10.0.0.2:80") };
    let mut talk = Conversation::new(client, server);
    talk.handshake(file, AT);
    talk.client(file, AT + 5_000, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    talk.server(
        file,
        AT + 9_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    talk.client(file, AT + 20_000, b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    talk.send(file, AT + 21_000, 1, TcpFlags::FIN | TcpFlags::ACK, b"");
    talk.send(file, AT + 22_000, 1, TcpFlags::RST, b"");
}

/// The starts of the captures in a folder and below it.
fn samples(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) -> Result<(), Error> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<Result<_, Error>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            samples(&path, all)?;
        } else if path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng") {
            let bytes = fs::read(&path)?;
            let name =
                path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("-");
            all.push((name, bytes[..bytes.len().min(SAMPLE_BYTES)].to_vec()));
        }
    }
    Ok(())
}

/// The packets of a capture in the form that the target `decode` takes.
fn packets(file: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(std::io::Cursor::new(file.to_vec()), None).ok()?;
    let mut log = ProblemLog::default();
    let mut out = Vec::new();
    while let Some(packet) = reader.next_packet(&mut log).filter(|_| out.len() < SAMPLE_BYTES) {
        if out.is_empty() {
            out.extend_from_slice(&packet.link_type.0.to_be_bytes());
        }
        let len = u16::try_from(packet.data.len()).ok()?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(packet.data);
    }
    (!out.is_empty()).then_some(out)
}

/// The payloads of a capture in the form that `turns.rs` takes.
fn turns(file: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(Cursor::new(file.to_vec()), None).ok()?;
    let (mut log, mut decoder) = (ProblemLog::default(), Decoder::default());
    let (mut out, mut client) = (Vec::new(), None);
    while let Some(packet) = reader.next_packet(&mut log).filter(|_| out.len() < SAMPLE_BYTES / 4) {
        let Some(segment) = decoder.segment(&packet, &mut log).filter(|s| !s.payload.is_empty()) else {
            continue;
        };
        let client = *client.get_or_insert(segment.src);
        for part in segment.payload.chunks(255) {
            out.extend([u8::from(segment.src != client), part.len() as u8]);
            out.extend_from_slice(part);
        }
    }
    (!out.is_empty()).then_some(out)
}

/// A session about a capture, with one of everything that a user makes.
fn session(name: &str, file: &[u8]) -> Option<String> {
    let reader = Reader::new(Cursor::new(file.to_vec()), None);
    let facts = load_from(reader, Path::new(name), &mut |_| true);
    let analysis = analyse(vec![Arc::new(facts)], &Overrides::default());
    let (connection, exchange) = (analysis.connections().next()?.inner, analysis.exchanges().next()?);
    let mut session = Session { filter: "status:5xx".to_owned(), ..Session::default() };
    session.annotations = [
        (Target::Connection(ConnectionId(0)), "this one"),
        (Target::Exchange(ExchangeId(0)), "\"ticket\" 4411"),
        (Target::Moment(connection.first), "deploy"),
    ]
    .map(|(target, text)| Annotation { target, text: text.to_owned() })
    .to_vec();
    session.view =
        Some(TimeView { start: connection.first, end: connection.last }).filter(|view| view.start < view.end);
    session.overrides.clock_ns = vec![(0, -3)];
    session.selection.exchange = Some(exchange.id);
    session.selection.cursor = Some(exchange.started());
    Snapshot::of(&analysis, &session, &[]).to_ron().ok()
}
