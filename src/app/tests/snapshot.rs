//! Snapshots in the window: saved, opened again, with their captures and without.

use super::*;

#[test]
fn what_is_drawn_of_a_part_is_said_to_be_a_part_and_the_captures_keep_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let (captures, path) = (folder.path().join("captures"), folder.path().join("night.ron"));
    std::fs::create_dir(&captures).unwrap();
    let is_file = |file: &std::fs::DirEntry| file.path().is_file();
    for file in std::fs::read_dir(sample()).unwrap().flatten().filter(is_file) {
        std::fs::copy(file.path(), captures.join(file.file_name())).unwrap();
    }
    let mut window = window_with(None, None);
    window.state_mut().open(vec![captures.clone()], false);
    window.run_steps(4);
    let taken = |window: &Window| window.state().document.as_ref().unwrap().taken_at.clone();
    let before = taken(&window);
    assert!(before.iter().all(Option::is_some));
    click(&mut window, "Statistics");
    assert!(window.query_by_label_contains("The plots draw only").is_none());
    window.state_mut().apply(&egui::Context::default(), vec![Action::SaveTo(path.clone())]);
    window.run_steps(3);
    std::fs::remove_dir_all(&captures).unwrap();
    window.state_mut().open(vec![path], false);
    window.run_steps(4);
    assert!(window.state().document.as_ref().unwrap().held.is_some());
    assert_eq!(taken(&window), before);
    assert!(window.query_by_label_contains("figures above are those of the whole captures").is_some());
    let gone = format!(", looked for at {}", captures.join("nginx.pcap").display());
    assert!(window.query_by_label_contains(&gone).is_some());
    press(&mut window, Key::L);
    assert!(window.query_by_label_contains("no capture of its own").is_none() || before.len() < 4);
}

#[test]
fn a_reopened_snapshot_shows_its_step_and_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.ron");
    let mut window = window_of([1280.0, 800.0], None, Some(Document::new(fixture::with_requests(400))));
    for _ in 0..20 {
        window.state_mut().apply(&egui::Context::default(), vec![Action::Run(Command::NextFailure)]);
    }
    window.run_steps(3);
    window.state_mut().apply(&egui::Context::default(), vec![Action::SaveTo(path.clone())]);
    window.run_steps(3);
    let mut window = window_of([1280.0, 800.0], None, None);
    window.state_mut().open(vec![path], false);
    window.run_steps(4);
    window.get_by_label(&current_step(&window));
    let id = window.state().session().selection.exchange.unwrap();
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let exchange = analysis.exchange(id);
    window.get_by_label(&format!("{} {} row {}", exchange.method(), exchange.target(), id.0));
}

#[test]
fn a_snapshot_is_saved_and_opened_again_without_its_captures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evening.ron");
    let mut window = window_with(Some(vec![path.clone()]), Some(Document::new(fixture::analysis())));
    click(&mut window, FINDING);
    press(&mut window, Key::N);
    window.get_by_role_and_label(Role::TextInput, "Your words").type_text("ticket 4411");
    window.run_steps(3);
    click(&mut window, "Save note");
    let noted = window.state().session().annotations.clone();
    click(&mut window, "Save snapshot…");
    assert!(path.exists(), "{:?}", window.state().notice);
    click(&mut window, "Open…");
    let document = window.state().document.clone().unwrap();
    assert!(document.held.is_some());
    window.get_by_label("Showing what the snapshot holds");
    assert!(window.query_all_by_label_contains("chain.pcap").count() > 0);
    assert_eq!(window.state().session().annotations[0].text, noted[0].text);
    let exchange = window.state().session().selection.exchange.unwrap();
    assert_eq!(document.analysis.exchange(exchange).outcome(), crate::diagnose::Outcome::Rejected);
    window.get_by_label(FINDING);
}

/// The main job on the recorded chain: open, finding, RST, note, export, reopen.
#[test]
fn the_recorded_chain_is_opened_explained_noted_saved_and_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("night.ron");
    let mut window = window_with(None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    let document = window.state().document.clone().expect("the samples are open");
    let finding = &document.analysis.diagnosis.findings[0];
    assert_eq!(finding.kind, "rejected-reused-request");
    window.get_by_label_contains(&finding.summary);
    click(&mut window, &format!("Finding: Rejected reused request, {} times", finding.count));
    press(&mut window, Key::Home);
    for _ in 0..40 {
        let step = window.state().session().selection.step.unwrap();
        if window.state().story.steps()[step].title.contains("RST") {
            break;
        }
        press(&mut window, Key::CloseBracket);
    }
    let selection = window.state().session().selection;
    let step = &window.state().story.steps()[selection.step.unwrap()];
    assert!(step.proof && step.title.contains("RST"), "{}", step.title);
    assert!(!step.why.is_empty());
    press(&mut window, Key::N);
    window.get_by_role_and_label(Role::TextInput, "Your words").type_text("the one the shop reported");
    window.run_steps(3);
    click(&mut window, "Save note");
    window.state_mut().apply(&egui::Context::default(), vec![Action::SaveTo(path.clone())]);
    window.run_steps(3);
    assert!(path.exists(), "{:?}", window.state().notice);
    let before = window.state().session().clone();
    window.state_mut().open(vec![path], false);
    window.run_steps(4);
    let after = window.state().session();
    assert_eq!(
        (&after.annotations, after.selection.exchange),
        (&before.annotations, before.selection.exchange)
    );
    assert!(window.state().document.as_ref().is_some_and(|document| document.held.is_none()));
}
