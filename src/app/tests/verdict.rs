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

#[test]
fn the_finding_leads_to_the_step_that_proves_it() {
    let mut window = window();
    click(&mut window, FINDING);
    let selection = window.state().session().selection;
    let exchange = selection.exchange.expect("the rejected exchange is selected");
    let document = window.state().document.clone().unwrap();
    assert_eq!(document.analysis.exchange(exchange).outcome(), crate::diagnose::Outcome::Rejected);
    let step = &window.state().story.steps()[selection.step.unwrap()];
    assert!(step.proof, "{}", step.title);
    assert_eq!(selection.cursor, Some(step.at));
    let view = window.state().session().view.expect("the timeline went there");
    assert!((view.start..view.end).contains(&step.at));
}

#[test]
fn masked_failures_lead_to_the_attempt_that_failed() {
    let mut window = window_with(None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    click(&mut window, "Finding: Masked failures, 9 times");
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let exchange = analysis.exchange(window.state().session().selection.exchange.unwrap());
    let finding = analysis.diagnosis.findings.iter().find(|finding| finding.kind == "masked-failures");
    assert_eq!(Some(exchange.link_id()), finding.unwrap().link);
    assert!(exchange.is_failure() && exchange.attempt() == 1 && exchange.attempts() == 2);
    let step = window.state().session().selection.step.unwrap();
    assert!(window.state().story.steps()[step].failure, "the step is the answer that failed");
    // On that link every request was answered, though with 502: green bars would say that nothing failed there.
    assert!(window.query_by_label("2nd: answered 0 of 17").is_some());
    click(&mut window, "GET: 0 seen, 9 hidden by retries");
    let rows = window.state().rows.list();
    assert!(!rows.is_empty() && rows.iter().all(|&id| analysis.exchange(id).is_failure()));
    assert!(row_in_sight(&window), "the attempt is one of them");
}

#[test]
fn the_statistics_of_every_link_are_a_click_away() {
    let mut window = recorded();
    click(&mut window, "Statistics");
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    for at in 0..analysis.topology.links.len() {
        let id = crate::topology::LinkId(at as u16);
        window.get_by_role_and_label(Role::Button, &analysis.link_name(id)).click();
        window.run_steps(3);
        assert_eq!(window.state().ui.figures, Some(id));
        let requests = analysis.diagnosis.board.links[at].requests;
        assert!(window.query_by_label_contains(&format!("{requests} requests · latency")).is_some());
    }
}

#[test]
fn the_tree_says_why_each_request_is_linked() {
    let mut window = recorded();
    click(&mut window, FINDING_OF_SAMPLE);
    assert!(window.query_all_by_label_contains("certain: request id").count() >= 1);
    assert!(window.query_by_label_contains("Linked to the request above: same request id").is_some());
}

#[test]
fn the_board_shows_ordinals_idle_gaps_methods_and_servers() {
    let mut window = recorded();
    click(&mut window, FINDING_OF_SAMPLE);
    click(&mut window, "Where it starts");
    assert_eq!(window.query_all_by_label("2nd: answered 0 of 17").count(), 2, "in the board, and at length");
    window.get_by_label("up to 1 ms: answered 0 of 17");
    window.get_by_label(
        "Of the failures retries hid 9 of GET: users, and the log of the first hop, see 8 of POST.",
    );
    window.get_by_label("10.88.3.2:8000");
    window.get_by_label("POST: 8 seen, 0 hidden by retries");
    window.get_by_label("GET: 0 seen, 9 hidden by retries");
}

#[test]
fn the_board_tells_of_requests_without_an_answer() {
    let window = recorded();
    window.get_by_label("ingress → uwsgi: 449 requests, 0 failures, 17 without an answer, – retried");
    window.get_by_label("user → nginx: 440 requests, 8 failures, – without an answer, – retried");
}
