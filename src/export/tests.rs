//! The outward forms of a chain made by hand, against goldens that a reader can judge.

use std::path::Path;

use super::{Report, Wanted, connections_text, text};
use crate::capture::testing::{Conversation, PcapBuilder, ip_packet};
use crate::capture::{Reader, TcpFlags};
use crate::diagnose::testkit::paas;

/// Compares with a golden; `UPDATE_GOLDEN=1` writes it anew, for the diff to be read.
fn check(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(made, golden, "{name} differs; if that is meant, run with UPDATE_GOLDEN=1 and read the diff");
}

#[test]
fn the_text_report_reads_as_its_golden_and_fits_the_width() {
    let made = text(&paas().analyse());
    check("report.txt", &made);
    assert!(made.lines().all(|line| line.chars().count() <= 100));
    assert_eq!(made, text(&paas().analyse()));
}

#[test]
fn the_json_report_has_the_names_of_the_contract() {
    let analysis = paas().analyse();
    let made = serde_json::to_string_pretty(&Report::new(&analysis, true)).unwrap();
    check("report.json", &(made + "\n"));
    let without = serde_json::to_value(Report::new(&analysis, false)).unwrap();
    assert!(without.get("exchanges").is_none());
    assert_eq!(without["schema"], "hopscope/report/1");
    assert_eq!(without["captures"][0]["clock_band_ns"], serde_json::Value::Null);
}

#[test]
fn clocks_are_told_with_band_method_drift_and_steps() {
    use crate::capture::CaptureTime;
    use crate::topology::{ClockMethod, ClockStep};
    let mut analysis = paas().analyse();
    assert!(!text(&analysis).contains("\nClocks"), "one clock, and nothing to say of it");
    let first = analysis.captures[1].info.first.unwrap();
    let clock = &mut analysis.topology.clocks[1];
    (clock.computed_ns, clock.manual_ns) = (-86_400_000_000_532, 1_000_000);
    clock.offset_ns = clock.computed_ns + clock.manual_ns;
    (clock.band_ns, clock.method, clock.compared) = (Some(2_731), ClockMethod::SameSegment, 812);
    clock.compared_in = None;
    (clock.drift_ppb, clock.outside_ppb, clock.pivot) = (50_200, 1_300, first);
    let step = CaptureTime(analysis.captures[1].info.last.unwrap().0 - 1_000);
    clock.steps[0] = Some(ClockStep { at: step, by_ns: -5_000_000, ..ClockStep::default() });
    analysis.topology.clocks[2].method = ClockMethod::None;
    let made = text(&analysis).replace("\n  ", " ");
    for words in [
        "hop2.pcap −86,399.999000532 s … −86,400.003985021 s ± 2.74 µs same segments: 812 packets that both captures hold",
        "hop3.pcap 0 band not known none: nothing ties this clock to the others",
        "hop2.pcap: −86,400.000000532 s computed and +1 ms by hand.",
        "its clock loses 50.2 ± 1.3 µs a second and was set by +5 ms at ",
        " What is added goes from −86,399.999000532 s to ",
        "One number for the whole file, −86,399.99900 s, is good to ± 4.99 ms.",
    ] {
        let squeezed = made.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(words.trim()), "{words}\n{made}");
    }
}

#[test]
fn the_text_says_how_many_requests_of_each_link_are_ambiguous() {
    let mut analysis = paas().analyse();
    assert!(!text(&analysis).contains("mbiguous"));
    let children = analysis.trees.parents.iter_mut().flatten();
    children.take(2).for_each(|parent| parent.confidence = crate::correlate::Confidence::Ambiguous);
    analysis.diagnosis = crate::diagnose::build(&analysis);
    let made = text(&analysis);
    let number: u64 = analysis.diagnosis.board.links.iter().map(|figures| figures.ambiguous).sum();
    assert_eq!(number, 2);
    assert!(made.contains(" retried  ambiguous  "), "{made}");
    assert!(made.contains("  Ambiguous: equal requests ran at the same time"), "{made}");
}

#[test]
fn captures_of_one_name_are_told_apart_in_short_for_people_and_by_path_for_scripts() {
    let mut analysis = paas().analyse();
    assert!(analysis.captures.len() > 1);
    for (at, capture) in analysis.captures.iter_mut().enumerate() {
        let facts = std::sync::Arc::make_mut(capture);
        facts.info.path = format!("/caps/run-{at}/hop.pcap").into();
    }
    let made = text(&analysis);
    assert!(made.contains("\n  run-0/hop.pcap  ") && made.contains(" run-1/hop.pcap frame "), "{made}");
    assert!(!made.contains("/caps/run"), "{made}");
    let report = serde_json::to_value(Report::new(&analysis, false)).unwrap();
    let capture = report["findings"][0]["evidence"][0]["capture"].as_str().unwrap();
    let paths: Vec<_> = report["captures"].as_array().unwrap().iter().map(|c| c["path"].clone()).collect();
    assert!(paths.iter().any(|path| path == capture), "{capture}");
}

#[test]
fn logs_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let line = "10.0.0.9 - - [24/Nov/2026:04:19:11 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"-\"\n";
    let logs = ["nginx", "ingress"].map(|hop| {
        let path = folder.path().join(hop).join("access.log");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, line).unwrap();
        crate::logs::read_log(&path, None).unwrap().into()
    });
    let made = text(&crate::analysis::analyse_with_logs(vec![], logs.to_vec(), &Default::default()));
    assert!(made.contains("  nginx/access.log  1 line") && made.contains("  ingress/access.log  "), "{made}");
}

#[test]
fn notes_of_a_session_are_told_with_what_they_are_about_and_when() {
    use crate::session::{Annotation, Session, Snapshot, Target};
    let analysis = paas().analyse();
    let rejected = analysis.diagnosis.rejections[0].exchange;
    let exchange = analysis.exchange(rejected);
    let note = |target, text: &str| Annotation { target, text: text.to_owned() };
    let session = Session {
        annotations: vec![
            note(Target::Exchange(rejected), "ticket 4411\n\u{1b}[31mred"),
            note(Target::Connection(exchange.connection_id()), "kept for the vendor"),
            note(Target::Moment(exchange.started()), "deploy"),
        ],
        ..Session::default()
    };
    let started = super::report::rfc3339(exchange.started().0).unwrap();
    // Of the session file as a program reads it back.
    let text_of_file = Snapshot::of(&analysis, &session, &[]).to_ron().unwrap();
    let (held, session) = Snapshot::from_ron(&text_of_file).unwrap().into_analysis();
    let made = super::text_with_notes(&held, &session.annotations);
    assert!(made.contains("\nNotes (3)\n  1. ticket 4411; \u{fffd}[31mred\n     "), "{made}");
    assert!(made.contains(&format!("a moment, {started}")) && made.contains(", rejected, "), "{made}");
    assert!(made.lines().all(|line| line.chars().count() <= 100), "{made}");
    assert_eq!(text(&held), super::text_with_notes(&held, &[]));
    let report = Report::new(&held, false).with_notes(&held, &session.annotations);
    let report = serde_json::to_value(report).unwrap();
    let notes = report["notes"].as_array().unwrap();
    let about: Vec<_> = notes.iter().map(|note| note["about"].as_str().unwrap()).collect();
    assert_eq!(about, ["exchange", "connection", "moment"]);
    assert_eq!((&notes[0]["at"], &notes[0]["text"]), (&started.into(), &"ticket 4411\n\u{1b}[31mred".into()));
    assert_eq!(notes[0]["client"], exchange.connection().inner.client.to_string());
    assert!(notes[0]["frame"].is_u64() && notes[2].get("frame").is_none());
    assert!(serde_json::to_value(Report::new(&held, false)).unwrap().get("notes").is_none());
}

#[test]
fn times_are_rfc_3339_in_utc_with_nanoseconds() {
    assert_eq!(
        super::report::rfc3339(1_795_493_951_039_000_001).as_deref(),
        Some("2026-11-24T04:19:11.039000001Z")
    );
    assert_eq!(super::report::rfc3339(0).as_deref(), Some("1970-01-01T00:00:00.000000000Z"));
}

#[test]
fn users_are_named_only_where_users_ask() {
    let mut analysis = paas().analyse();
    assert!(text(&analysis).contains("Users saw 502"));
    let lane = &mut analysis.topology.lanes[0];
    (lane.name, lane.users) = ("proxy".to_owned(), false);
    analysis.diagnosis = crate::diagnose::build(&analysis);
    let made = text(&analysis);
    let address = analysis.topology.lanes[0].addresses[0];
    assert!(made.contains(&format!("proxy ({address}) got 502 for")), "{made}");
    assert!(made.contains("What users themselves saw is not known"));
    assert!(!made.contains("Users saw") && !made.contains("users saw 502"), "{made}");
}

#[test]
fn who_only_connects_is_nobody_who_asks() {
    let mut script = crate::testing::Script::new("edge.pcap");
    let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
    script.request(user, 1_000_000, "GET", "/", &[], "");
    script.response(user, 2_000_000, 500, 20);
    script.connection(0, "10.0.1.9:4000", "10.0.1.3:3000", 100);
    let overrides = crate::topology::Overrides::default();
    let mut analysis = crate::analysis::analyse(vec![script.finish()], &overrides);
    // The checker on a lane of its own, which stands for no users.
    let topology = &mut analysis.topology;
    let checker = crate::topology::LaneId(topology.lanes.len() as u16);
    topology.lanes.push(crate::topology::Lane { users: false, ..topology.lanes[0].clone() });
    let silent = |link: &&mut crate::topology::Link| link.servers[0].port() == 3000;
    topology.links.iter_mut().find(silent).unwrap().from = checker;
    let made = text(&analysis);
    assert!(made.contains("GET: users saw 500 once") && !made.contains("is not known"), "{made}");
}

#[test]
fn behind_an_encrypted_link_the_first_that_can_be_read_counts() {
    let told = |encrypted_bytes: u64| {
        let mut script = crate::testing::Script::new("edge.pcap");
        let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:443", 100);
        script.flow(user).directions[0].bytes = encrypted_bytes;
        let asked = script.connection(0, "10.0.1.2:4000", "10.0.1.3:80", 100);
        for n in 1..4 {
            script.request(asked, n * 1_000_000, "GET", "/", &[], "");
            script.response(asked, n * 1_000_000 + 500_000, 502, 20);
        }
        text(&crate::analysis::analyse(vec![script.finish()], &crate::topology::Overrides::default()))
    };
    let made = told(900);
    assert!(made.starts_with("Requests failed, and these captures do not show why."), "{made}");
    assert!(made.contains("GET: clients saw 502 3 times."), "{made}");
    assert!(!told(0).contains("clients saw 502"));
}

#[test]
fn clients_that_leave_are_no_fault() {
    let told = |answers: u16| {
        let mut script = crate::testing::Script::new("edge.pcap");
        for n in 0..30 {
            let at = n * 10_000_000;
            let user = script.connection(at, &format!("10.0.1.1:{}", 3000 + n), "10.0.1.2:80", 100);
            script.request(user, at + 1_000_000, "GET", "/", &[], "");
            if n < 29 {
                script.response(user, at + 2_000_000, answers, 20);
            }
            // Sooner than others were answered.
            let end = if n < 29 { 3_000_000 } else { 1_500_000 };
            script.fin(user, at + end, crate::tcp::Side::Client);
        }
        text(&crate::analysis::analyse(vec![script.finish()], &crate::topology::Overrides::default()))
    };
    let made = told(200);
    let first =
        "No fault found: 30 requests from users, 1 given up by their clients before the answer was whole.";
    assert_eq!(made.lines().next(), Some(first), "{made}");
    assert!(!told(500).starts_with("No fault found"));
}

/// A capture whose request is commented, and whose server has a name; the server closes without an answer.
pub(crate) fn commented() -> crate::analysis::Analysis {
    let mut file = PcapBuilder::new().pcapng();
    let mut ends = Conversation::new("10.0.0.1:40000", "10.0.0.2:80");
    file.block(4, b"\x01\0\x0d\0\x0a\0\0\x02app.shop\0\0\0\0\0\0\0\0");
    ends.handshake(&mut file, 1_000_000);
    let get = b"GET /a HTTP/1.1\r\nHost: shop\r\n\r\n";
    let [client, server] = ends.ends;
    let numbers = (ends.next_seq[0], ends.next_seq[1]);
    let ethernet = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    let packet = [&ethernet[..], &ip_packet(client, server, numbers, 0x18, get)].concat();
    ends.next_seq[0] += get.len() as u32;
    let len = packet.len() as u32;
    let mut block: Vec<u8> = [0, 0, 1_100, len, len].iter().flat_map(|n: &u32| n.to_le_bytes()).collect();
    block.extend_from_slice(&packet);
    block.resize(block.len().next_multiple_of(4), 0);
    block.extend_from_slice(b"\x01\0\x12\0PID: 7\nCmd: \x1b[31mx\0\0\0\0\0\0");
    file.block(6, &block);
    ends.send(&mut file, 2_000_000, 1, TcpFlags::FIN | TcpFlags::ACK, b"");
    let reader = Reader::new(std::io::Cursor::new(file.build()), None);
    let facts = crate::http::load_from(reader, Path::new("edge.pcapng"), &mut |_| true);
    crate::analysis::analyse(vec![facts.into()], &crate::topology::Overrides::default())
}

#[test]
fn comments_and_host_names_of_a_capture_are_told() {
    let analysis = commented();
    let made = text(&analysis);
    assert!(made.contains("10.0.0.2 (app.shop)"), "{made}");
    let told =
        "     The capture says of these packets:\n       edge.pcapng frame 4: PID: 7; Cmd: \u{fffd}[31mx\n";
    assert!(made.contains(told), "{made}");
    let report = serde_json::to_value(Report::new(&analysis, true)).unwrap();
    assert_eq!(report["captures"][0]["comments"], 1);
    let comment = &report["exchanges"][0]["comments"][0];
    assert_eq!((&comment["frame"], &comment["text"]), (&4.into(), &"PID: 7\nCmd: \u{1b}[31mx".into()));
    assert_eq!(report["lanes"][1]["host_names"]["10.0.0.2"][0], "app.shop");
    let evidence = report["findings"][0]["evidence"].as_array().unwrap();
    assert!(evidence.iter().any(|proof| proof["comments"][0] == "PID: 7\nCmd: \u{1b}[31mx"), "{evidence:?}");
}

fn read(name: &str) -> crate::analysis::Analysis {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name);
    let facts = crate::load::load(&[path], &crate::load::Progress::default());
    crate::analysis::analyse(facts, &Default::default())
}

#[test]
fn a_link_with_tls_is_encrypted_and_tells_what_can_be_seen() {
    let analysis = read("recorded-tls.pcap");
    let made = text(&analysis);
    assert!(made.starts_with(
        "No HTTP request can be read in these captures: 3 connections are encrypted (TLS) and 2 connections\nbegan TLS"
    ));
    for line in [
        "  user → app  encrypted       -         -        -    -    -\n",
        "  user → app: 5 of 5 connections, 285 B encrypted to app and 12,149 B back\n",
        "    handshakes   3 finished, 2 not finished, 1 resumed a session\n",
        "    version      TLS 1.2 × 2, TLS 1.3 × 2\n",
        "    server name  shop.example × 5\n",
        "    ALPN         offered h2,http/1.1 × 5; chosen http/1.1 × 2\n",
        "    alerts       by user encrypted alert × 2, unknown_ca × 1; by app encrypted alert × 2,\n",
    ] {
        assert!(made.contains(line), "{line}{made}");
    }
    let report = serde_json::to_value(Report::new(&analysis, true).with_connections(&analysis, Wanted::All));
    let report = report.unwrap();
    let link = &report["links"][0]["tls"];
    assert_eq!(
        (&link["connections"], &link["failed"], &link["lossy"]),
        (&5.into(), &2.into(), &false.into())
    );
    assert_eq!(link["ciphers"]["TLS_AES_256_GCM_SHA384"], 2);
    let connection = &report["connections"][3];
    assert_eq!((&connection["encrypted"], &connection["exchanges"]), (&true.into(), &0.into()));
    assert_eq!(connection["tls"]["alerts"][0]["name"], "unknown_ca");
    assert_eq!(
        (&connection["tls"]["client_end"], &connection["tls"]["version"]),
        (&"fatal alert".into(), &"TLS 1.3".into())
    );
    assert_eq!(connection["tls"]["alpn_offered"][1], "http/1.1");
    assert_eq!(connection["steps"][1]["frame"], 59);
}

#[test]
fn what_connections_became_and_for_whom_they_speak_is_told() {
    let made = text(&read("recorded-websocket.pcap"));
    assert!(
        made.contains("nginx → app   1 connection  WebSocket (Upgrade)  47 B to app, 39 B back\n"),
        "{made}"
    );
    let made = text(&read("other-http2-unseen.pcap"));
    let words =
        "user → app  1 connection  HTTP/2 (what asked for it is not in the capture)  33 B to app, 9 B back\n";
    assert!(made.contains(words), "{made}");
    let analysis = read("recorded-proxy-v2.pcap");
    let nginx = analysis.connections().find(|x| x.inner.server.port() == 8002).unwrap();
    let only = Wanted::With(nginx.inner.server.ip(), Some(8002));
    let told = connections_text(&analysis, only);
    assert!(
        told.contains("frame 8   PROXY header: 127.0.0.1:57306 → 127.0.0.1:8012 (version 2)\n"),
        "{told}"
    );
    assert!(told.starts_with("Connections (1)\n"), "{told}");
    let report =
        serde_json::to_value(Report::new(&analysis, false).with_connections(&analysis, only)).unwrap();
    assert_eq!(report["connections"].as_array().unwrap().len(), 1);
    assert_eq!(report["connections"][0]["proxy_header"]["source"], "127.0.0.1:57306");
    let twice = read("other-proxy-twice.pcap");
    let report = Report::new(&twice, false).with_connections(&twice, Wanted::All);
    let report = serde_json::to_value(report).unwrap();
    assert_eq!(report["connections"][0]["proxy_header"]["further"][0]["source"], "192.0.2.1:51234");
    assert_eq!(report["findings"][0]["cause"], "header-twice");
    let made = text(&twice);
    assert!(made.contains("more than one PROXY header"), "{made}");
    let report = serde_json::to_value(Report::new(&read("recorded-fastcgi.pcap"), true)).unwrap();
    let said = |x: &serde_json::Value| x["stderr"][0]["text"] == "a note of the application";
    assert_eq!(report["exchanges"].as_array().unwrap().iter().filter(|x| said(x)).count(), 3);
}

#[test]
fn a_comment_stands_with_the_step_of_its_packet() {
    let told = connections_text(&commented(), Wanted::All);
    let lines: Vec<&str> = told.lines().collect();
    let asked = lines.iter().position(|line| line.contains("request 1 GET")).expect(&told);
    assert!(
        lines[asked + 1].trim_start().starts_with("The capture says: PID: 7; Cmd: \u{fffd}[31mx"),
        "{told}"
    );
}

#[test]
fn of_each_hole_it_is_told_whether_the_receiver_had_its_bytes() {
    let told = |name: &str| {
        let analysis = read(name);
        let steps = connections_text(&analysis, Wanted::All);
        let report = Report::new(&analysis, false).with_connections(&analysis, Wanted::All);
        let report = serde_json::to_value(report).unwrap();
        let bytes = |key: &str| report["connections"][0][key].as_u64();
        (steps, text(&analysis), bytes("server_uncaptured_bytes"), bytes("server_unarrived_bytes"))
    };
    let (steps, findings, uncaptured, unarrived) = told("tcp-hole-acknowledged.pcap");
    assert!(steps.contains("missing (user had them, the capture did not)"), "{steps}");
    assert!(findings.contains("The receivers had all of them ("), "{findings}");
    assert!(uncaptured.is_some() && unarrived.is_none());
    let (steps, findings, uncaptured, unarrived) = told("tcp-hole-open.pcap");
    assert!(steps.contains("missing (user never acknowledged them"), "{steps}");
    assert!(findings.contains("No receiver acknowledged them ("), "{findings}");
    assert!(uncaptured.is_none() && unarrived.is_some());
}

#[test]
fn responses_that_nobody_asked_for_are_counted_apart() {
    let analysis = read("http-unsolicited.pcap");
    let made = text(&analysis);
    assert!(
        made.contains("shows 1 response that no captured request asked for: among the statuses"),
        "{made}"
    );
    let report = serde_json::to_value(Report::new(&analysis, false)).unwrap();
    assert_eq!(report["links"][0]["responses_without_request"], 1);
    assert!(!text(&read("http-pipelined.pcap")).contains("asked for"));
}

#[test]
fn a_response_that_lay_in_a_hole_has_no_step_of_its_own() {
    let told = connections_text(&read("http-lost-response.pcap"), Wanted::All);
    assert!(!told.contains("frame 0 "), "{told}");
    assert!(told.contains("response 3: 200") && !told.contains("response 2: "), "{told}");
}
