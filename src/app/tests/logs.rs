//! The servers' logs beside the captures, and alone.

use super::*;
use crate::app::chain::ChainEdit;
use crate::logs::LogFormat;
use crate::session::Snapshot;
use crate::topology::LaneId;

#[test]
fn a_finding_shows_the_log_lines_that_it_explains_and_a_snapshot_keeps_them() {
    let mut window = recorded();
    window.get_by_label("In the logs");
    assert!(window.query_all_by_label_contains("upstream prematurely closed connection").count() > 0);
    let analysis = Arc::clone(&window.state().document.as_ref().unwrap().analysis);
    let lines = analysis.log_lines(0).to_vec();
    assert!(lines.len() > 10);
    click(&mut window, "All of them (W)");
    window.get_by_label(&format!("In the logs ({} lines)", lines.len()));
    press(&mut window, Key::Escape);
    // A log that is open already is not counted twice.
    window.state_mut().open(vec![sample().join("logs/ingress-error.log")], true);
    window.run_steps(3);
    assert_eq!(window.state().document.as_ref().unwrap().analysis.logs.len(), analysis.logs.len());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.ron");
    let hashes: Vec<_> = analysis.captures.iter().map(|c| (c.info.bytes, String::new())).collect();
    Snapshot::of(&analysis, window.state().session(), &hashes).save(&path).unwrap();
    window.state_mut().open(vec![path], false);
    window.run_steps(4);
    let document = window.state().document.as_ref().unwrap();
    assert!(document.held.is_none());
    assert_eq!(
        (document.analysis.log_lines(0), document.analysis.logs.len()),
        (&lines[..], analysis.logs.len())
    );
}

#[test]
fn logs_alone_are_told_from_captures_and_may_be_added_to_them() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["nginx.pcap", "ingress.pcap", "uwsgi.pcap"] {
        std::fs::copy(sample().join(name), folder.path().join(name)).unwrap();
    }
    let mut window = window_with(None, None);
    window.state_mut().open(vec![sample().join("logs")], false);
    window.run_steps(3);
    assert!(window.state().document.is_none());
    window.get_by_label("What these logs tell by themselves");
    assert!(window.query_all_by_label_contains("the fault lies behind").count() > 0);
    window.state_mut().open(vec![folder.path().to_owned()], false);
    window.run_steps(4);
    assert!(window.query_by_label("In the logs").is_none());
    window.state_mut().open(vec![sample().join("logs")], true);
    window.run_steps(4);
    window.get_by_label("In the logs");
    assert_eq!(window.state().document.as_ref().unwrap().analysis.captures.len(), 3);
    // Lanes edited are another analysis, which must not lose the logs.
    let logs = window.state().document.as_ref().unwrap().analysis.logs.len();
    let edit = ChainEdit::Rename { lane: LaneId(1), name: "front".into() };
    window.state_mut().apply(&egui::Context::default(), vec![Action::EditChain(edit)]);
    window.run_steps(4);
    assert_eq!(window.state().document.as_ref().unwrap().analysis.logs.len(), logs);
}

#[test]
fn a_log_in_a_format_of_its_own_is_read_by_the_one_typed_and_from_a_snapshot_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("odd.log"), "POST~/api/order/9668~502\nGET~/api/item/160~200\n").unwrap();
    let mut window = recorded();
    let known = window.state().document.as_ref().unwrap().analysis.logs.len();
    let add = |window: &mut Window, format: &str| {
        click(window, "Add…");
        let field = |window: &mut Window, label, text: &str| {
            window.get_by_role_and_label(Role::TextInput, label).focus();
            window.run_steps(2);
            window.get_by_role_and_label(Role::TextInput, label).type_text(text);
            window.run_steps(2);
        };
        let paths = "File or folder; several separated by blanks or in quotes";
        field(window, paths, &path("odd.log").display().to_string());
        field(
            window,
            "log_format of access logs among them, where hopscope does not know it by itself",
            format,
        );
    };
    let logs = |window: &Window| window.state().document.as_ref().unwrap().analysis.logs.clone();
    add(&mut window, "$request_method");
    window.get_by_label(LogFormat::NEEDS);
    press(&mut window, Key::Escape);
    add(&mut window, "$request_method~$request_uri~$status");
    assert!(window.query_by_label(LogFormat::NEEDS).is_none());
    press(&mut window, Key::Enter);
    window.run_steps(4);
    assert_eq!(logs(&window).len(), known + 1, "{:?}", window.state().notice);
    let odd = |window: &Window| logs(window).last().map(|log| log.requests.len());
    assert_eq!(odd(&window), Some(2));
    let analysis = Arc::clone(&window.state().document.as_ref().unwrap().analysis);
    let hashes: Vec<_> = analysis.captures.iter().map(|c| (c.info.bytes, String::new())).collect();
    Snapshot::of(&analysis, window.state().session(), &hashes).save(&path("mine.ron")).unwrap();
    let mut another = window_with(None, None);
    another.state_mut().open(vec![path("mine.ron")], false);
    another.run_steps(4);
    assert_eq!((logs(&another).len(), odd(&another)), (known + 1, Some(2)));
}
