//! Opening: what can be read, what cannot, and edits that would be lost by it.

use super::*;
use crate::session::{Session, Snapshot};

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let mut window = window_with(Some(vec!["no-such-file.pcap".into()]), None);
    click(&mut window, "Open…");
    assert!(window.state().document.is_none(), "an empty timeline would look like an answer");
    window.get_by_label("Nothing could be read");
    assert!(window.query_by_label_contains("no-such-file.pcap").is_some());
}

#[test]
fn files_and_folders_that_hold_nothing_are_named_with_their_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("notes.txt"), "hello").unwrap();
    std::fs::write(path("empty.pcap"), "").unwrap();
    std::fs::write(path("header.pcap"), crate::capture::testing::PcapBuilder::new().build()).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    let all = ["notes.txt", "empty.pcap", "header.pcap", "folder"];
    let mut window = window_with(Some(all.map(path).to_vec()), None);
    click(&mut window, "Open…");
    assert!(window.state().document.is_none());
    for (name, why) in all.iter().zip(["no pcap", "is empty", "without a packet", "no capture is in"]) {
        let found = window.query_all_by_label_contains(&format!("{name}: ")).count();
        assert!(found > 0 && window.query_by_label_contains(why).is_some(), "{name}");
    }
    // The buttons to go on with are there.
    window.get_by_label("Open captures…");
}

#[test]
fn a_path_without_a_capture_leaves_the_session_as_it_is() {
    let mut window = window();
    note(&mut window, "ticket 4411");
    let (session, generation) =
        (window.state().session().clone(), window.state().document.as_ref().unwrap().generation);
    for add in [false, true] {
        window.state_mut().open(vec!["no-such-file.pcap".into()], add);
        window.run_steps(3);
        assert_eq!(window.state().session(), &session);
        assert_eq!(window.state().document.as_ref().unwrap().generation, generation);
        let notice = window.state().notice.clone().expect("a message");
        assert!(notice.is_error && notice.text.contains("no-such-file.pcap"), "{}", notice.text);
    }
}

#[test]
fn edits_that_would_be_lost_are_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let (path, sample) = (folder.path().join("mine.ron"), sample());
    let mut window = window_with(Some(vec![path.clone()]), Some(Document::new(fixture::analysis())));
    note(&mut window, "ticket 4411");
    window.state_mut().open(vec![sample.clone()], false);
    window.run_steps(3);
    click(&mut window, "Stay here");
    assert_eq!(window.state().session().annotations.len(), 1);
    window.state_mut().open(vec![sample.clone()], false);
    window.run_steps(3);
    click(&mut window, "Save snapshot, then open…");
    window.run_steps(3);
    assert!(path.exists() && window.state().session().annotations.is_empty());
    assert_eq!(window.state().document.as_ref().unwrap().analysis.captures.len(), 3);
    // Without edits there is nothing to ask.
    window.state_mut().open(vec![sample], false);
    window.run_steps(3);
    assert!(window.state().ui.modal.is_none());
    window.state_mut().apply(&egui::Context::default(), vec![Action::Run(Command::Quit)]);
    assert!(window.state().ui.quit);
}

#[test]
fn quitting_with_unsaved_edits_asks() {
    let mut window = window();
    note(&mut window, "ticket 4411");
    window.key_press_modifiers(Modifiers::COMMAND, Key::Q);
    window.run_steps(3);
    assert!(!window.state().ui.quit);
    click(&mut window, "Discard and quit");
    assert!(window.state().ui.quit);
}

#[test]
fn errors_and_remarks_on_files_are_counted_apart_and_all_listed() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = vec![sample()];
    for at in 0..9 {
        paths.push(folder.path().join(format!("gone-{at}.pcap")));
    }
    let mut window = window_with(None, None);
    window.state_mut().open(paths, false);
    window.run_steps(4);
    assert!(window.query_by_label_contains("9 errors and 2 remarks on 11 files").is_some());
    // One line at first: the verdict is what the window is for.
    assert_eq!(window.query_all_by_label_contains("gone-").count(), 1);
    click(&mut window, "Show all");
    for at in 0..9 {
        assert!(window.query_by_label_contains(&format!("gone-{at}.pcap: unreadable")).is_some());
    }
    click(&mut window, "Remarks on files");
    assert!(window.query_by_label_contains("9 errors and 2 remarks").is_none());
}

#[test]
fn recordings_that_have_nothing_to_do_with_each_other_are_said_to_be_several() {
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-captures");
    let mut window = window_with(None, None);
    window.state_mut().open(["paas-502", "single-host"].map(|name| samples.join(name)).into(), false);
    window.run_steps(4);
    assert!(window.query_by_label_contains("2 separate recordings: the figures").is_some());
    assert!(window.query_by_label_contains("each number is a sum").is_some(), "beside the figures");
}

#[test]
fn of_recordings_days_apart_one_is_fitted_at_first() {
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-captures");
    let mut window = window_with(None, None);
    window.state_mut().open(["paas-502", "paas-fixed"].map(|name| samples.join(name)).into(), false);
    window.run_steps(4);
    press(&mut window, Key::F);
    let document = window.state().document.clone().unwrap();
    let at = document.analysis.exchange(window.state().session().selection.exchange.unwrap()).started();
    let whole = document.model.fit();
    let view = window.state().session().view.expect("a part of it");
    assert!((view.start..view.end).contains(&at));
    assert!(view.end.since_ns(view.start) * 2 < whole.end.since_ns(whole.start), "{view:?} of {whole:?}");
    press(&mut window, Key::F);
    assert_eq!(window.state().session().view, None, "pressed again");
    press(&mut window, Key::F);
    window.key_press_modifiers(Modifiers::SHIFT, Key::F);
    window.run_steps(3);
    assert_eq!(window.state().session().view, None);
    // A recording in which nothing failed opens on itself, and alone it is fitted whole.
    window.state_mut().open(vec![samples.join("paas-fixed")], false);
    window.run_steps(4);
    press(&mut window, Key::F);
    assert_eq!(window.state().session().view, None);
}

#[test]
fn captures_of_one_name_are_told_apart_by_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for at in ["one", "two"] {
        let path = folder.path().join(at).join("nginx.pcap");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::copy(sample().join("nginx.pcap"), &path).unwrap();
        paths.push(path);
    }
    // Cut in the middle: something is to be said of it.
    let bytes = std::fs::read(&paths[1]).unwrap();
    std::fs::write(&paths[1], &bytes[..bytes.len() - 7]).unwrap();
    let mut window = window_with(None, None);
    window.state_mut().open(paths, false);
    window.run_steps(4);
    assert!(window.query_by_label_contains("two/nginx.pcap: truncated file").is_some());
    assert!(window.query_by_label_contains(", one/nginx.pcap").is_some(), "beside the frame of the step");
    press(&mut window, Key::W);
    assert!(window.query_all_by_label_contains("one/nginx.pcap frame ").next().is_some());
    press(&mut window, Key::Escape);
    press(&mut window, Key::L);
    window.get_by_label("Manual offset of one/nginx.pcap");
}

#[test]
fn without_a_dialog_the_path_can_be_typed() {
    let mut window = window_with(None, None);
    click(&mut window, "Open…");
    assert!(matches!(window.state().ui.modal, Some(Modal::OpenPath { add: false, .. })));
    let field = "File or folder; several separated by blanks or in quotes";
    window.get_by_role_and_label(Role::TextInput, field).type_text("missing.pcap");
    window.run_steps(3);
    click(&mut window, "Open");
    assert!(window.query_by_label_contains("missing.pcap").is_some());
}

#[test]
fn a_folder_can_be_chosen_to_open_to_add_and_to_compare_with() {
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-captures");
    // A dialog for folders gives no file.
    let choice = vec![sample(), samples.join("README.md")];
    let mut window = window_with(Some(choice), None);
    click(&mut window, "Open a folder…");
    window.run_steps(3);
    let captures = |window: &Window| window.state().document.as_ref().map(|one| one.analysis.captures.len());
    assert_eq!(captures(&window), Some(3));
    assert_eq!(window.state().ui.recent[0], [sample()]);
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::D);
    window.run_steps(3);
    assert_eq!(captures(&window), Some(3), "the same files are not taken twice");
    click(&mut window, "Compare…");
    click(&mut window, "Choose a folder…");
    window.run_steps(3);
    window.get_by_label_contains("B (after): ");
    // From the bar, in place of what is open.
    press(&mut window, Key::Escape);
    let before = window.state().document.as_ref().unwrap().generation;
    click(&mut window, "Folder…");
    window.run_steps(3);
    assert_ne!(window.state().document.as_ref().unwrap().generation, before);
}

#[test]
fn without_a_dialog_for_folders_the_path_can_be_typed() {
    let mut window = window_with(None, None);
    click(&mut window, "Open a folder…");
    assert!(matches!(window.state().ui.modal, Some(Modal::OpenPath { add: false, .. })));
}

#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &std::path::Path {
        &self.0
    }
    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("not needed".to_owned())
    }
}

#[test]
fn files_can_be_dropped() {
    let mut window = window_with(None, None);
    window.input_mut().dropped_files.push(Arc::new(Dropped("dropped.pcap".into())));
    window.run_steps(4);
    assert!(window.query_by_label_contains("dropped.pcap").is_some());
}

#[test]
fn files_dragged_over_the_window_show_what_letting_go_does() {
    let hover = |window: &mut Window| {
        window.input_mut().hovered_files = vec![egui::HoveredFile::default()];
        window.run_steps(2);
    };
    let mut empty = window_with(None, None);
    assert!(empty.query_by_label_contains("Let go").is_none());
    hover(&mut empty);
    assert!(empty.query_by_label("Let go to open it").is_some());
    let mut window = window();
    hover(&mut window);
    assert!(window.query_by_label("Let go to open or to add it").is_some());
}

#[test]
fn files_dropped_over_what_is_open_are_added_to_it_or_opened_instead() {
    for (button, captures) in [("Add to what is open", 3), ("Open instead", 1), ("Close", 2)] {
        let mut window = window_with(None, None);
        let [nginx, ingress, uwsgi] =
            ["nginx.pcap", "ingress.pcap", "uwsgi.pcap"].map(|name| sample().join(name));
        window.state_mut().open(vec![nginx, ingress], false);
        window.run_steps(4);
        window.input_mut().dropped_files.push(Arc::new(Dropped(uwsgi)));
        window.run_steps(3);
        click(&mut window, button);
        window.run_steps(4);
        assert!(window.state().ui.modal.is_none());
        let open = window.state().document.as_ref().unwrap().analysis.captures.len();
        assert_eq!(open, captures, "{button}");
    }
}

#[test]
fn files_dropped_over_unsaved_edits_ask_first() {
    let mut window = window();
    note(&mut window, "ticket 4411");
    window.input_mut().dropped_files.push(Arc::new(Dropped(sample())));
    window.run_steps(4);
    click(&mut window, "Open instead");
    window.run_steps(4);
    assert_eq!(window.state().session().annotations.len(), 1);
    click(&mut window, "Discard and open");
    assert!(window.state().session().annotations.is_empty());
    assert_eq!(window.state().document.as_ref().unwrap().analysis.captures.len(), 3);
}

/// Asks the window to close, as a window manager does, and returns what it asks of the window manager.
fn close(window: &mut Window) -> Vec<egui::ViewportCommand> {
    let viewport = window.input_mut().viewports.entry(egui::ViewportId::ROOT).or_default();
    viewport.events.push(egui::ViewportEvent::Close);
    window.step();
    window.output().viewport_output.values().flat_map(|output| output.commands.clone()).collect()
}

#[test]
fn the_window_closes_at_once_unless_edits_would_be_lost() {
    let mut window = window();
    assert!(!close(&mut window).contains(&egui::ViewportCommand::CancelClose));
    note(&mut window, "ticket 4411");
    assert!(close(&mut window).contains(&egui::ViewportCommand::CancelClose));
    window.run_steps(3);
    click(&mut window, "Stay here");
    assert!(!window.state().ui.quit);
    close(&mut window);
    window.run_steps(3);
    click(&mut window, "Discard and quit");
    assert!(!close(&mut window).contains(&egui::ViewportCommand::CancelClose), "it was said to be discarded");
}

#[test]
fn a_snapshot_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.ron");
    std::fs::write(&path, "(schema: 7").unwrap();
    let mut window = window_with(Some(vec![path]), Some(Document::new(fixture::analysis())));
    click(&mut window, "Open…");
    assert!(
        window
            .state()
            .notice
            .as_ref()
            .is_some_and(|notice| notice.is_error && notice.text.contains("bad.ron"))
    );
    assert!(window.state().document.is_some(), "what was open stays");
}

#[test]
fn a_broken_snapshot_among_captures_is_named_and_the_captures_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("bad.ron"), "(schema: 7").unwrap();
    std::fs::write(path("notes.pcap"), "hello").unwrap();
    let mut window = window_with(None, None);
    window.state_mut().open(vec![path("notes.pcap"), path("bad.ron"), sample()], false);
    window.run_steps(4);
    assert_eq!(window.state().document.as_ref().unwrap().analysis.captures.len(), 5);
    click(&mut window, "Show all");
    window.get_by_label_contains("notes.pcap: not a capture");
    window.get_by_label_contains("bad.ron: unreadable");
    // With nothing beside them that can be read each is named.
    let mut window = window_with(None, None);
    window.state_mut().open(vec![path("notes.pcap"), path("bad.ron")], false);
    window.run_steps(4);
    assert!(window.state().document.is_none());
    assert!(window.query_all_by_label_contains("bad.ron: ").count() > 0);
    assert!(window.query_all_by_label_contains("notes.pcap: ").count() > 0);
}

#[test]
fn a_snapshot_among_captures_is_shown_alone_and_the_others_are_said_to_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.ron");
    Snapshot::of(&fixture::analysis(), &Session::default(), &[]).save(&path).unwrap();
    let mut window = window_with(None, None);
    window.state_mut().open(vec![sample(), path], false);
    window.run_steps(4);
    assert!(window.state().document.as_ref().unwrap().held.is_some());
    window.get_by_label_contains("paas-502 left out");
}

#[test]
fn a_path_typed_to_save_to_takes_the_place_of_the_one_proposed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("night.ron");
    let mut window = recorded();
    window.key_press_modifiers(Modifiers { shift: true, ..Modifiers::COMMAND }, Key::S);
    window.run_steps(3);
    let field = "Snapshot file (.ron)";
    window.get_by_role_and_label(Role::TextInput, field).type_text(&path.display().to_string());
    window.run_steps(2);
    press(&mut window, Key::Enter);
    window.run_steps(4);
    assert!(path.is_file(), "{:?}", window.state().notice);
}

#[test]
fn paths_are_typed_into_dialogs_at_once() {
    let mut window = recorded();
    let fixed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sample-captures/paas-fixed");
    press(&mut window, Key::C);
    window.event(egui::Event::Text(fixed.display().to_string()));
    window.run_steps(2);
    press(&mut window, Key::Enter);
    window.run_steps(4);
    assert!(window.query_by_label_contains("The fault is gone").is_some());
    press(&mut window, Key::Escape);
    window.key_press_modifiers(Modifiers::COMMAND, Key::L);
    window.run_steps(3);
    window.event(egui::Event::Text("x.pcap".to_owned()));
    window.run_steps(2);
    assert!(matches!(&window.state().ui.modal, Some(Modal::OpenPath { text, .. }) if text == "x.pcap"));
}
