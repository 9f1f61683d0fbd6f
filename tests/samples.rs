//! The report on the sample captures, against what the servers' own logs say.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hopscope::analysis::{Analysis, analyse};
use hopscope::diagnose::Severity;
use hopscope::export::text;
use hopscope::load::{Progress, expand, load};
use hopscope::topology::{LaneOverride, Overrides};

type ByMethod = BTreeMap<String, u64>;
type Statuses = BTreeMap<String, ByMethod>;

fn folder(scenario: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-captures").join(scenario)
}

fn analysis(scenario: &str) -> Analysis {
    analyse(load(&expand(&[folder(scenario)]), &Progress::default()), &Overrides::default())
}

/// What one proxy's logs say.
#[derive(Default)]
struct Log {
    requests: u64,
    status: Statuses,
    attempts: u64,
    retried: ByMethod,
    saved: ByMethod,
    /// Lines of the error log about upstreams that closed or reset.
    rejected: u64,
}

/// Reads `… "METHOD target HTTP/1.1" STATUS … got="502, 200" …` lines, and the error log beside them.
fn log(scenario: &str, hop: &str) -> Log {
    let read = |name: String| std::fs::read_to_string(folder(scenario).join("logs").join(name)).unwrap();
    let mut log = Log::default();
    for line in read(format!("{hop}-access.log")).lines() {
        let mut quoted = line.split('"');
        let request = quoted.nth(1).unwrap();
        let status = quoted.next().unwrap().split_whitespace().next().unwrap();
        let method = request.split(' ').next().unwrap();
        let got = line.split("got=\"").nth(1).unwrap().split('"').next().unwrap();
        let attempts = if got == "-" { 0 } else { got.split(", ").count() as u64 };
        log.requests += 1;
        log.attempts += attempts;
        *log.status.entry(method.to_owned()).or_default().entry(status.to_owned()).or_default() += 1;
        if attempts > 1 {
            *log.retried.entry(method.to_owned()).or_default() += 1;
            if !status.starts_with('5') {
                *log.saved.entry(method.to_owned()).or_default() += 1;
            }
        }
    }
    let rejected = |line: &&str| {
        line.contains("upstream prematurely closed connection while reading response header")
            || line.contains("recv() failed (104")
    };
    log.rejected = read(format!("{hop}-error.log")).lines().filter(rejected).count() as u64;
    log
}

/// The figures of the three links equal the logs of the two proxies.
fn equals_the_logs(scenario: &str) -> Analysis {
    let analysis = analysis(scenario);
    let (edge, ingress) = (log(scenario, "nginx"), log(scenario, "ingress"));
    let board = &analysis.diagnosis.board;
    let [user, middle, app] = &board.links[..] else { panic!("{} links", board.links.len()) };
    assert_eq!((user.requests, &user.status), (edge.requests, &edge.status), "user → nginx");
    assert_eq!((middle.requests, &middle.status), (ingress.requests, &ingress.status), "nginx → ingress");
    assert_eq!((middle.requests, app.requests), (edge.attempts, ingress.attempts), "attempts");
    assert_eq!((&middle.retried, &app.retried), (&edge.retried, &ingress.retried), "retried");
    let rejected = |at: usize| board.links[at].rejected_by_method.values().sum::<u64>();
    assert_eq!([rejected(0), rejected(1), rejected(2)], [0, edge.rejected, ingress.rejected], "rejected");
    let saved = analysis.diagnosis.retries.first().map(|retries| retries.saved.clone()).unwrap_or_default();
    assert_eq!(saved, edge.saved, "saved");
    analysis
}

#[test]
fn paas_502_counts_what_the_servers_logged_and_says_why() {
    let analysis = equals_the_logs("paas-502");
    let finding = &analysis.diagnosis.findings[0];
    assert_eq!(finding.kind, "rejected-reused-request");
    assert_eq!(finding.cause, "server-closes-after-each-response");
    assert_eq!(analysis.link_name(finding.link.unwrap()), "ingress → uwsgi");
    let errors = analysis.diagnosis.findings.iter().filter(|f| f.severity == Severity::Error).count();
    assert_eq!(errors, 1, "consequences are no findings of their own");
}

#[test]
fn paas_fixed_holds_no_fault() {
    let analysis = equals_the_logs("paas-fixed");
    let faults: Vec<_> = analysis.diagnosis.findings.iter().filter(|f| f.severity > Severity::Note).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn single_host_counts_what_the_servers_logged() {
    let analysis = equals_the_logs("single-host");
    assert_eq!(analysis.diagnosis.findings[0].cause, "server-closes-after-each-response");
}

#[test]
fn the_order_of_the_files_changes_no_figure() {
    let mut paths = expand(&[folder("paas-502")]);
    let report =
        |paths: &[PathBuf]| analyse(load(paths, &Progress::default()), &Overrides::default()).diagnosis;
    let figures = |diagnosis: hopscope::diagnose::Diagnosis| {
        // Latencies are those of whichever capture holds a connection best, and may differ by its clock.
        let links: Vec<_> = diagnosis
            .board
            .links
            .into_iter()
            .map(|link| hopscope::diagnose::LinkFigures { latency_ns: None, ..link })
            .collect();
        let findings: Vec<_> = diagnosis.findings.into_iter().map(|f| (f.summary, f.rule, f.cause)).collect();
        (links, diagnosis.failures, findings)
    };
    let forward = figures(report(&paths));
    paths.reverse();
    assert_eq!(forward, figures(report(&paths)));
}

#[test]
fn the_fix_follows_the_product_and_not_what_the_user_calls_the_lane() {
    let fixes = |overrides: &Overrides| -> Vec<(String, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-captures/paas-502");
        let captures = load(&expand(&[folder]), &Progress::default());
        let analysis = analyse(captures, overrides);
        let fixes = analysis.diagnosis.findings[0].fixes.iter();
        fixes.map(|fix| (fix.product.clone(), fix.change.clone())).collect()
    };
    let renamed = |all: &[(&str, &str)]| Overrides {
        renamed: all.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect(),
        ..Overrides::default()
    };
    let found = fixes(&Overrides::default());
    assert_eq!(found[0].0, "ingress-nginx");
    assert_eq!(fixes(&renamed(&[("ingress", "edge"), ("uwsgi", "billing")])), found);
    let given = |name: &str| LaneOverride {
        name: name.to_owned(),
        addresses: Vec::new(),
        serves: vec!["10.88.3.2:8000".parse().unwrap()],
    };
    let lanes = vec![given("billing")];
    assert_eq!(fixes(&Overrides { lanes, ..Overrides::default() }), found);
    // Who names a product knows what runs there.
    let told = fixes(&renamed(&[("uwsgi", "gunicorn workers")]));
    assert!(told.iter().all(|(product, _)| product != "uwsgi"), "{told:?}");
}

/// Copies a capture of the sample as one with this snap length would have been.
fn cut(capture: &Path, into: &Path, snap_len: usize) {
    let whole = std::fs::read(capture).unwrap();
    let (mut cut, mut rest) = (whole[..24].to_vec(), &whole[24..]);
    while let Some((record, behind)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes(record[8..12].try_into().unwrap()) as usize;
        let kept = len.min(snap_len);
        cut.extend_from_slice(&record[..8]);
        cut.extend_from_slice(&(kept as u32).to_le_bytes());
        cut.extend_from_slice(&record[12..16]);
        cut.extend_from_slice(&behind[..kept]);
        rest = &behind[len..];
    }
    std::fs::write(into.join(capture.file_name().unwrap()), cut).unwrap();
}

/// The analysis of `paas-502` when the captures of these hops hold so many bytes of each packet.
fn cut_short(hops: &[&str], snap_len: usize) -> Analysis {
    let into = tempfile::tempdir().unwrap();
    for hop in ["nginx", "ingress", "uwsgi"] {
        let kept = if hops.contains(&hop) { snap_len } else { usize::MAX };
        cut(&folder("paas-502").join(format!("{hop}.pcap")), into.path(), kept);
    }
    analyse(load(&expand(&[into.path().to_owned()]), &Progress::default()), &Overrides::default())
}

#[test]
fn a_capture_of_headers_alone_beside_whole_ones_changes_no_verdict() {
    let summary = |analysis: &Analysis| analysis.diagnosis.findings[0].summary.clone();
    let whole = summary(&analysis("paas-502"));
    for hop in ["ingress", "uwsgi"] {
        assert_eq!(summary(&cut_short(&[hop], 66)), whole, "{hop}");
    }
    // All that goes out behind the ingress is cut off: it cannot be said that it made its errors itself.
    let told = cut_short(&["ingress", "uwsgi"], 66);
    assert!(told.diagnosis.findings.iter().all(|finding| finding.severity < Severity::Error));
    assert_eq!(told.diagnosis.board.boundary, None);
}

#[test]
fn captures_of_headers_alone_say_that_the_snap_length_was_too_small() {
    for snap_len in [54, 66, 68] {
        let told = text(&cut_short(&["nginx", "ingress", "uwsgi"], snap_len));
        let first = told.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        assert!(first.starts_with("No HTTP request can be read in these captures: "), "{told}");
        assert!(
            first.contains("connections were cut by the snap length before their first requests"),
            "{told}"
        );
        assert!(told.contains("snap-length · T8"), "{told}");
    }
}

#[test]
fn captures_of_first_lines_alone_still_show_that_the_server_closes_after_each_response() {
    for snap_len in [96, 128] {
        let told = cut_short(&["nginx", "ingress", "uwsgi"], snap_len);
        let finding = &told.diagnosis.findings[0];
        assert_eq!((&*finding.cause, finding.count), ("server-closes-after-each-response", 17), "{snap_len}");
        // 'Connection: close' may stand in what was cut off.
        let words = "uwsgi closes each connection after one response; whether it says so ('Connection: close') the snap";
        assert!(finding.explanation.contains(words), "{}", finding.explanation);
    }
}
