//! The outward forms of a chain made by hand, against goldens that a reader can judge.

use std::path::Path;

use super::{Report, text};
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
    assert!(made.contains("what users saw is not known"));
    assert!(!made.contains("Users saw") && !made.contains("users saw 502"), "{made}");
}
