//! Two sessions side by side, in the window.

use super::*;

fn fixed() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sample-captures/paas-fixed")
}

#[test]
fn two_sessions_are_compared() {
    let mut window = recorded();
    let fixed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sample-captures/paas-fixed");
    window.state_mut().apply(&egui::Context::default(), vec![Action::CompareWith(vec![fixed])]);
    window.run_steps(4);
    assert!(window.query_by_label_contains("The fault is gone").is_some());
    assert!(window.query_all_by_label_contains("8 of 440 (1.8 %)").count() > 0);
    press(&mut window, Key::Escape);
    press(&mut window, Key::C);
    assert!(window.query_by_label_contains("The fault is gone").is_some(), "it stays for another look");
    let none = window.state().document.clone().unwrap();
    assert!(none.analysis.diagnosis.findings[0].count == 17, "what is open stays open");
}

#[test]
fn before_and_after_can_change_places() {
    let mut window = recorded();
    window.state_mut().apply(&egui::Context::default(), vec![Action::CompareWith(vec![fixed()])]);
    window.run_steps(4);
    click(&mut window, "Swap A and B");
    window.run_steps(3);
    assert!(window.query_by_label_contains("B holds a fault that A has not").is_some());
    assert!(window.query_by_label_contains("0 of 440 before, 8 of 440").is_some());
    let first =
        window.state().document.as_ref().unwrap().analysis.captures[0].info.path.display().to_string();
    window.get_by_label_contains(&format!("B (after): {first} and 2 more, open here"));
    click(&mut window, "Swap A and B");
    window.run_steps(3);
    assert!(window.query_by_label_contains("The fault is gone").is_some());
}

#[test]
fn what_a_session_was_compared_with_is_forgotten_with_it() {
    let mut window = recorded();
    window.state_mut().apply(&egui::Context::default(), vec![Action::CompareWith(vec![fixed()])]);
    window.run_steps(4);
    press(&mut window, Key::Escape);
    window.state_mut().open(vec![sample().with_file_name("single-host")], false);
    window.run_steps(4);
    press(&mut window, Key::C);
    window.get_by_label("Name the captures, or the snapshot, to compare with what is open.");
}
