//! The banner: what it says and what its buttons are about, and what the other panes say of the same.

use super::*;
use crate::testing::Script;

/// The window of what a script tells.
fn window_of_script(script: Script) -> Window {
    let analysis = crate::analysis::analyse(vec![script.finish()], &crate::topology::Overrides::default());
    window_with(None, Some(Document::new(analysis)))
}

#[test]
fn the_banners_buttons_are_about_the_finding_that_it_names() {
    let mut window = recorded();
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let findings = &analysis.diagnosis.findings;
    click(&mut window, &format!("Finding: Masked failures, {} times", findings[1].count));
    assert_eq!(window.state().session().selection.finding, Some(1));
    click(&mut window, "Why so sure?");
    assert_eq!(window.state().ui.modal, Some(Modal::WhySure(0)));
    press(&mut window, Key::Escape);
    click(&mut window, "Copy fix");
    let words = format!("Copied the change for {}", findings[0].fixes[0].product);
    assert_eq!(window.state().notice.as_ref().unwrap().text, words);
    click(&mut window, "Show evidence");
    assert_eq!(window.state().session().selection.finding, Some(0));
    // The keys are about the selected one.
    click(&mut window, &format!("Finding: Masked failures, {} times", findings[1].count));
    press(&mut window, Key::W);
    assert_eq!(window.state().ui.modal, Some(Modal::WhySure(1)));
}

#[test]
fn where_there_is_no_error_a_warning_leads_as_in_the_report() {
    let mut script = Script::new("edge.pcap");
    for n in 0..4 {
        let at = n * 1_000_000_000;
        let user = script.connection(at, &format!("10.0.1.1:{}", 3000 + n), "10.0.1.2:80", 100);
        script.request(user, at + 1_000_000, "GET", "/slow", &[], "");
        script.fin(user, at + 401_000_000, crate::tcp::Side::Client);
    }
    let window = window_of_script(script);
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let first = &analysis.diagnosis.findings[0];
    assert_eq!(first.severity, crate::diagnose::Severity::Warning, "{first:?}");
    assert!(window.query_by_label_contains(&format!("⚠{}", first.summary)).is_some());
    assert!(window.query_by_label_contains("No fault found").is_none());
}

#[test]
fn failures_from_behind_what_was_captured_are_told_in_the_banner_and_by_server_in_the_list() {
    let mut script = Script::new("edge.pcap");
    for server in 0..3 {
        let address = format!("10.0.1.{}:80", 2 + server);
        let user = script.connection(0, &format!("10.0.9.1:{}", 3000 + server), &address, 100);
        for n in 1..4 {
            script.request(user, n * 1_000_000, "GET", "/", &[], "");
            script.response(user, n * 1_000_000 + 500_000, 502, 20);
        }
    }
    let mut window = window_of_script(script);
    let words = "Users got 502 from 3 servers, behind which nothing is captured, 9 times";
    assert!(window.query_by_label_contains(words).is_some());
    assert!(window.query_all_by_label_contains(" answers 502, 3 times").count() == 3);
    assert!(window.query_all_by_label_contains("Partial capture").count() == 0);
    click(&mut window, "Why so sure?");
    assert_eq!(window.state().ui.modal, Some(Modal::WhySure(0)));
}
