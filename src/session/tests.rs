//! The session file there and back: with its captures, without them, with other ones, and damaged.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Annotation, CaptureState, Session, Snapshot, SnapshotError, Target, TimeView};
use crate::analysis::Analysis;
use crate::capture::{CaptureId, CaptureTime, Frame, SessionTime};
use crate::correlate::{Confidence, Evidence, Parentage, Trees};
use crate::diagnose::{
    Certainty, Finding, Fix, LinkFigures, Outcome, Proof, RejectForm, Rejection, Severity,
};
use crate::http::{
    CaptureFacts, Exchange, ExchangeFlags, Framing, Message, MessageState, Method, Protocol, Version,
};
use crate::logs::LogLine;
use crate::tcp::{Closing, DirectionFacts, Event, EventKind, Flow, FlowId, Opening, Side};
use crate::topology::{
    Clock, ClockMethod, Connection, ConnectionId, ExchangeId, ExchangeKey, Lane, LaneId, Link, LinkId,
    RemarkKind, Role, Sighting, Topology,
};

fn message(frame: u32, seq: u32) -> Message {
    let at = CaptureTime(1_000_000 * i64::from(frame));
    Message {
        start: at,
        end: at,
        first_frame: frame,
        last_frame: frame,
        seq,
        ack: 77,
        state: MessageState::Complete,
        version: Version::Http11,
        framing: Framing::Length(5),
        wire_bytes: 100,
        body_bytes: 5,
        ..Message::default()
    }
}

/// An exchange whose packets begin at `frame`; without a status it has no response.
fn exchange(facts: &mut CaptureFacts, ordinal: u32, frame: u32, method: Method, status: u16) -> Exchange {
    let status = NonZeroU16::new(status);
    Exchange {
        flow: FlowId(0),
        ordinal,
        method,
        status,
        flags: ExchangeFlags(ExchangeFlags::EARLY_RESPONSE),
        target: facts.add_text(b"/api/item?q=\xff"),
        host: Some(facts.intern("shop.example")),
        headers: 0,
        header_count: 0,
        request: message(frame, 1_000 + frame),
        response: if status.is_some() { message(frame + 1, 9) } else { Message::default() },
    }
}

fn add(analysis: &mut Analysis, facts: &mut CaptureFacts, link: u16, exchanges: &[Exchange]) {
    let client: SocketAddr = format!("10.0.0.{}:{}", link + 1, 40_000 + facts.flows.len()).parse().unwrap();
    let server: SocketAddr = format!("10.0.0.{}:80", link + 2).parse().unwrap();
    let frame = exchanges[0].request.first_frame - 1;
    let first = (CaptureTime(1_000_000 * i64::from(frame)), frame);
    let directions = [DirectionFacts { isn: Some(frame), ..DirectionFacts::default() }; 2];
    let rst = Event {
        at: CaptureTime(first.0.0 + 9_000_000),
        frame: frame + 9,
        kind: EventKind::Rst,
        from: Side::Server,
        has_ack: false,
        seq: 5,
        ack: 0,
        len: 0,
        quiet_us: 0,
    };
    let flow = Flow {
        client,
        server,
        meant_for: None,
        opening: Opening::Handshake,
        closing: Closing::Reset,
        protocol: Protocol::Http11,
        wire: Default::default(),
        first,
        last: (rst.at, rst.frame),
        directions,
        events: 0..0,
        exchanges: 0..0,
    };
    let flow = facts.add_flow(flow, &[rst], exchanges);
    let topology = &mut analysis.topology;
    let id = ConnectionId(topology.connections.len() as u32);
    let start = topology.exchanges.len() as u32;
    for index in facts.flow(flow).exchanges.clone() {
        topology.exchanges.push(ExchangeKey { capture: CaptureId(0), index });
        topology.connection_of.push(id);
    }
    let (first, last) = (SessionTime(first.0.0 + 500), SessionTime(rst.at.0 + 500));
    topology.connections.push(Connection {
        sightings: vec![Sighting { capture: CaptureId(0), flow }],
        client,
        server,
        link: LinkId(link),
        exchanges: start..topology.exchanges.len() as u32,
        first,
        last,
    });
    topology.links[usize::from(link)].connections.push(id);
}

/// user → nginx → app: 0 is a connection that nobody cites, 1 the user's, 2 nginx' with a rejected second request.
/// `shift` moves all frame numbers, as when packets were cut off the start of the file.
fn chain(path: &Path, shift: u32) -> Analysis {
    let mut analysis = Analysis::default();
    let lane = |name: &str, role| Lane {
        name: name.into(),
        role,
        addresses: vec!["10.0.0.1".parse().unwrap()],
        serves: vec!["10.0.0.2:80".parse().unwrap()],
        depth: 0,
        found: name.to_owned(),
        named_by: String::new(),
        inferred: false,
        users: role == Role::Client,
    };
    let link =
        |from, to| Link { from: LaneId(from), to: LaneId(to), servers: Vec::new(), connections: Vec::new() };
    analysis.topology = Topology {
        clocks: vec![Clock {
            offset_ns: 500,
            computed_ns: 500,
            band_ns: Some(9),
            method: ClockMethod::Containment,
            ..Clock::default()
        }],
        lanes: vec![lane("user", Role::Client), lane("nginx", Role::Proxy), lane("app", Role::Server)],
        links: vec![link(0, 1), link(1, 2)],
        ..Topology::default()
    };
    let mut facts = CaptureFacts::default();
    facts.info.path = path.into();
    facts.info.bytes = 4;
    facts.info.packets = 90;
    (facts.info.first, facts.info.last) = (Some(CaptureTime(1)), Some(CaptureTime(90_000_000)));
    let uncited = exchange(&mut facts, 1, 2, Method::Get, 200);
    add(&mut analysis, &mut facts, 0, &[uncited]);
    let user = exchange(&mut facts, 1, 20, Method::Post, 502);
    add(&mut analysis, &mut facts, 0, &[user]);
    let other = Method::Other(facts.intern("PURGE"));
    let pair = [exchange(&mut facts, 1, 30, other, 200), exchange(&mut facts, 2, 33, Method::Post, 0)];
    add(&mut analysis, &mut facts, 1, &pair);
    for exchange in &mut facts.exchanges {
        exchange.request.first_frame += shift;
    }
    analysis.captures = vec![Arc::new(facts)];
    let parent = Parentage {
        parent: ExchangeId(1),
        confidence: Confidence::Likely,
        evidence: Evidence(Evidence::REQUEST_ID | Evidence::BODY),
        runner_up: None,
        attempt: 1,
    };
    analysis.trees = Trees::new(vec![None, None, None, Some(parent)], |id| i64::from(id.0));
    judge(&mut analysis);
    analysis
}

fn judge(analysis: &mut Analysis) {
    let frame = Frame { capture: CaptureId(0), number: 39 };
    let diagnosis = &mut analysis.diagnosis;
    diagnosis.outcomes = vec![Outcome::Complete, Outcome::Complete, Outcome::Complete, Outcome::Rejected];
    diagnosis.origins = vec![None, Some(ExchangeId(3)), None, Some(ExchangeId(3))];
    diagnosis.rejections = vec![Rejection {
        exchange: ExchangeId(3),
        form: RejectForm::QueuedReset,
        fin: None,
        rst: Some(frame),
        idle_ns: 17,
    }];
    diagnosis.failures.origin = vec![(LinkId(1), 1)];
    diagnosis.board.links = vec![LinkFigures { requests: 2, ..LinkFigures::default() }; 2];
    diagnosis.board.boundary = Some(LinkId(0));
    diagnosis.findings = vec![Finding {
        kind: "rejected-reused-request".into(),
        rule: "R3".into(),
        cause: "unknown".into(),
        severity: Severity::Error,
        confidence: Certainty::Certain,
        link: Some(LinkId(1)),
        count: 1,
        summary: "app rejects the \"second\" request".into(),
        explanation: "two\nlines".into(),
        fixes: vec![Fix { product: "uwsgi".into(), change: "x".into(), note: String::new() }],
        log_line: String::new(),
        doubt: String::new(),
        evidence: vec![Proof {
            frame,
            client: "10.0.0.2:40002".parse().unwrap(),
            server: "10.0.0.3:80".parse().unwrap(),
            note: "RST".into(),
            exchange: Some(ExchangeId(3)),
            connection: Some(ConnectionId(2)),
        }],
        exchanges: vec![ExchangeId(3)],
        connections: Vec::new(),
    }];
}

fn session() -> Session {
    let note = |target, text: &str| Annotation { target, text: text.into() };
    let mut session = Session {
        annotations: vec![
            note(Target::Exchange(ExchangeId(1)), "ticket 4411"),
            note(Target::Connection(ConnectionId(2)), "this one"),
            note(Target::Moment(SessionTime(7)), "deploy"),
        ],
        view: Some(TimeView { start: SessionTime(1), end: SessionTime(2) }),
        filter: "status:502".into(),
        ..Session::default()
    };
    session.overrides.clock_ns = vec![(0, -3)];
    session.selection.finding = Some(0);
    session.selection.exchange = Some(ExchangeId(3));
    session.selection.connection = Some(ConnectionId(2));
    session.selection.step = Some(4);
    session
}

fn snapshot() -> Snapshot {
    let hash = [(4, "ab12".repeat(16))];
    Snapshot::of(&chain(Path::new("traces/nginx.pcap"), 0), &session(), &hash)
}

#[test]
fn the_text_reads_back_to_the_same_and_is_made_the_same_again() {
    let text = snapshot().to_ron().unwrap();
    assert_eq!(Snapshot::from_ron(&text).unwrap(), snapshot());
    assert_eq!(Snapshot::from_ron(&text).unwrap().to_ron().unwrap(), text);
    assert!(text.lines().nth(1).unwrap().contains("schema: \"hopscope/session/1\""), "{text}");
}

#[test]
fn the_log_lines_of_a_finding_are_kept_and_files_without_them_open() {
    let mut analysis = chain(Path::new("nginx.pcap"), 0);
    let line = LogLine { file: "error.log".into(), line: 7, text: "recv() failed \"x\"".into() };
    analysis.diagnosis.log_lines = vec![vec![line.clone()]];
    let text = Snapshot::of(&analysis, &session(), &[]).to_ron().unwrap();
    let snapshot = Snapshot::from_ron(&text).unwrap();
    assert_eq!(snapshot.clone().into_analysis().0.log_lines(0), std::slice::from_ref(&line));
    // Of captures that are loaded again without the logs.
    let mut again = chain(Path::new("nginx.pcap"), 0);
    snapshot.keep_log_lines(&mut again);
    assert_eq!(again.log_lines(0), [line]);
    let older = self::snapshot().to_ron().unwrap();
    assert!(!older.contains("log_lines") && !older.contains("logs:"), "as an older program wrote it");
    assert!(Snapshot::from_ron(&older).unwrap().into_analysis().0.log_lines(0).is_empty());
}

#[test]
fn without_captures_what_was_cited_is_still_there() {
    let before = chain(Path::new("nginx.pcap"), 0);
    let text = snapshot().to_ron().unwrap();
    let (after, session) = Snapshot::from_ron(&text).unwrap().into_analysis();
    assert_eq!(
        (after.connections().len(), after.exchanges().len()),
        (2, 3),
        "the uncited connection is left out"
    );
    let rejected = after.exchange(ExchangeId(2));
    assert_eq!((rejected.method(), rejected.outcome()), ("POST", Outcome::Rejected));
    assert_eq!(rejected.target(), before.exchange(ExchangeId(3)).target());
    assert_eq!(rejected.host(), Some("shop.example"));
    assert_eq!(rejected.started(), before.exchange(ExchangeId(3)).started());
    assert_eq!(rejected.settled(), before.exchange(ExchangeId(3)).settled(), "the RST is kept");
    assert_eq!(rejected.rejection().unwrap().form, RejectForm::QueuedReset);
    assert_eq!(after.exchange(ExchangeId(1)).method(), "PURGE", "its neighbour on the connection");
    let parent = after.trees.parent(ExchangeId(2)).unwrap();
    assert_eq!((parent.parent, parent.confidence), (ExchangeId(0), Confidence::Likely));
    assert_eq!(parent.evidence.names(), ["request-id", "body"]);
    assert_eq!(after.trees.tree(ExchangeId(0)).len(), 2);
    assert_eq!(after.link_name(LinkId(1)), "nginx → app");
    assert_eq!(after.link(LinkId(1)).connections, [ConnectionId(1)]);
    assert_eq!(after.diagnosis.board, before.diagnosis.board);
    let finding = &after.diagnosis.findings[0];
    assert_eq!(finding.exchanges, [ExchangeId(2)]);
    assert_eq!(finding.summary, before.diagnosis.findings[0].summary);
    assert_eq!(session.annotations[0].target, Target::Exchange(ExchangeId(0)));
    assert_eq!(session.annotations[1].target, Target::Connection(ConnectionId(1)));
    assert_eq!(session.selection.exchange, Some(ExchangeId(2)));
}

#[test]
fn with_its_captures_the_session_comes_back_as_it_was() {
    let (restored, unresolved) = snapshot().restore(&chain(Path::new("traces/nginx.pcap"), 0));
    assert_eq!((restored, unresolved), (session(), Vec::new()));
}

#[test]
fn notes_find_their_exchange_though_frames_moved() {
    let (restored, unresolved) = snapshot().restore(&chain(Path::new("elsewhere/nginx.pcap"), 5));
    assert_eq!((restored.annotations, unresolved), (session().annotations, Vec::new()));
}

#[test]
fn a_note_whose_target_is_gone_stays_at_its_moment_and_is_said() {
    let mut other = chain(Path::new("traces/nginx.pcap"), 0);
    for connection in &mut other.topology.connections {
        connection.client.set_port(1);
    }
    let (restored, unresolved) = snapshot().restore(&other);
    assert_eq!(restored.annotations[0].target, Target::Moment(SessionTime(20_000_500)));
    assert_eq!(restored.annotations[0].text, "ticket 4411");
    assert_eq!(unresolved.len(), 4, "{unresolved:?}");
    assert!(unresolved[0].contains("ticket 4411") && unresolved[0].contains("frame 20 of nginx.pcap"));
}

#[test]
fn a_snapshot_without_captures_takes_more_notes_and_keeps_the_rest() {
    let (analysis, mut session) = snapshot().into_analysis();
    assert_eq!(snapshot().with_session(&session), snapshot());
    session.annotations.push(Annotation { target: Target::Exchange(ExchangeId(1)), text: "more".into() });
    let again = Snapshot::from_ron(&snapshot().with_session(&session).to_ron().unwrap()).unwrap();
    assert_eq!(again.exchange_counts(), (4, 3));
    assert_eq!(again.into_analysis().1, session);
    assert_eq!(analysis.exchanges().len(), 3);
}

#[test]
fn captures_are_looked_for_beside_the_file_and_changes_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let fingerprint = |_: &Path| Ok((4, "ab12".repeat(16)));
    let one = |snapshot: &Snapshot| snapshot.locate(folder.path(), fingerprint).remove(0);
    let gone = one(&snapshot());
    assert_eq!(gone.state, CaptureState::Missing);
    let note = "nginx.pcap (4 bytes, sha256 ab12ab12ab12…) is gone, looked for at ";
    assert_eq!(gone.note, format!("{note}{}", gone.path.display()));
    assert_eq!(snapshot().missing(&[gone]).last().unwrap(), "showing 3 of 4 exchanges");
    let gone = [one(&snapshot())];
    let remark = snapshot().remark(&gone).unwrap();
    assert_eq!((remark.kind, remark.captures), (RemarkKind::CapturesMissing, vec![CaptureId(0)]));
    let told = &remark.detail;
    assert!(told.contains("ab12…) is gone, looked for at ") && told.contains("; showing 3 of 4"), "{told}");

    let path = folder.path().join("nginx.pcap");
    std::fs::write(&path, "abcd").unwrap();
    let found = one(&snapshot());
    assert_eq!((found.state, &found.path), (CaptureState::Present, &path));
    assert_eq!(snapshot().remark(&[found]), None);
    let other = snapshot().locate(folder.path(), |_| Ok((4, "00".repeat(32)))).remove(0);
    assert_eq!(other.state, CaptureState::Changed);
    std::fs::write(&path, "abcde").unwrap();
    let longer = one(&snapshot());
    assert_eq!(longer.state, CaptureState::Changed);
    assert!(longer.note.starts_with("nginx.pcap was 4 bytes and is now 5 bytes: "), "{}", longer.note);
}

#[test]
fn captures_are_found_from_any_folder_and_where_they_were_sent_with_the_file() {
    let text = snapshot().to_ron().unwrap();
    let whole = std::env::current_dir().unwrap().join("traces/nginx.pcap");
    assert!(text.contains(&format!("path: {:?}", whole.display().to_string())), "{text}");
    let fingerprint = |_: &Path| Ok((4, "ab12".repeat(16)));
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes");
    std::fs::create_dir_all(&notes).unwrap();
    let found = |base: &Path| snapshot().locate(base, fingerprint).remove(0);
    // Of several files of one name the one in the folder of the same name is meant, below the file or beside it.
    for below in ["traces", "notes/traces"] {
        let path = folder.path().join(below).join("nginx.pcap");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "abcd").unwrap();
        std::fs::write(notes.join("nginx.pcap"), "another hop's").unwrap();
        let found = found(&notes);
        assert_eq!((found.state, found.path), (CaptureState::Present, path));
    }
    std::fs::remove_dir_all(notes.join("traces")).unwrap();
    std::fs::remove_dir_all(folder.path().join("traces")).unwrap();
    std::fs::write(folder.path().join("nginx.pcap"), "abcd").unwrap();
    assert_eq!(found(&notes).state, CaptureState::Changed, "a name alone, above, is another file");
}

#[test]
fn saving_leaves_one_whole_file_and_errors_name_it_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.ron");
    snapshot().save(&path).unwrap();
    snapshot().save(&path).unwrap();
    assert_eq!(Snapshot::open(&path).unwrap(), snapshot());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no half-written file stays");

    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    let error = Snapshot::open(&path).unwrap_err().to_string();
    assert!(error.contains("at line ") && error.ends_with(&path.display().to_string()), "{error}");
    std::fs::write(&path, b"(\n  schema: \"\xff\"").unwrap();
    let error = Snapshot::open(&path).unwrap_err().to_string();
    assert!(error.contains("line 2, column 12"), "{error}");
    let error = Snapshot::open(&folder.path().join("none.ron")).unwrap_err().to_string();
    assert!(error.starts_with("reading the session failed") && error.ends_with("none.ron"), "{error}");
}

#[test]
fn another_schema_is_told_from_a_newer_one() {
    let text = snapshot().to_ron().unwrap();
    let newer = text.replace("hopscope/session/1", "hopscope/session/2").replace("captures:", "recordings:");
    let error = Snapshot::from_ron(&newer).unwrap_err();
    assert!(matches!(error, SnapshotError::Newer { found: 2 }), "{error}");
    let other = Snapshot::from_ron("(schema: \"waveform\")").unwrap_err();
    assert!(matches!(other, SnapshotError::OtherSchema { .. }), "{other}");
    let more = text.replacen("  totals:", "  new_field: [(a: 1)],\n  totals:", 1);
    assert_eq!(Snapshot::from_ron(&more).unwrap(), snapshot(), "unknown fields are passed over");
}

#[test]
fn places_that_are_not_there_are_refused() {
    let text = snapshot().to_ron().unwrap();
    for (from, to) in [
        ("Exchange(0)", "Exchange(3)"),
        ("link: 1,", "link: 7,"),
        ("capture: 0", "capture: 1"),
        ("parent: Some((exchange: 0", "parent: Some((exchange: 2"),
        ("offset_ns: 500", "offset_ns: 9223372036854775807"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        let error = Snapshot::from_ron(&text.replacen(from, to, 1)).unwrap_err();
        assert!(matches!(error, SnapshotError::Content(_)), "{to}: {error}");
    }
}

proptest! {
    #[test]
    fn damaged_text_is_read_or_refused(at in 0..20_000usize, with in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = snapshot().to_ron().unwrap().into_bytes();
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = with }
        if let Ok(read) = Snapshot::from_ron(&String::from_utf8_lossy(&bytes)) {
            let _ = read.restore(&chain(Path::new("nginx.pcap"), 0));
            let (analysis, _) = read.into_analysis();
            for exchange in analysis.exchanges() {
                let _ = (exchange.settled(), exchange.attempts(), analysis.trees.tree(exchange.id));
            }
        }
    }
}
