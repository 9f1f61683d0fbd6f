//! The whole window without a display: driven by labels, as a screen reader would.

use std::path::PathBuf;
use std::sync::Arc;

use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};

use super::background::Background;
use super::command::Command;
use super::dialogs::tests::FakeDialog;
use super::document::Document;
use super::state::{Action, AppState, Modal, Tab};
use super::{chrome, fixture, theme};
use crate::session::Target;

mod again;
mod clocks;
mod comparing;
mod editing;
mod fitting;
mod going;
mod moving;
mod opening;
mod snapshot;
mod stopping;
mod tables;
mod verdict;
mod wire;

type Window = Harness<'static, AppState>;

fn window_with(dialog: Option<Vec<PathBuf>>, document: Option<Document>) -> Window {
    window_of([1600.0, 1000.0], dialog, document)
}

fn window_of(size: [f32; 2], dialog: Option<Vec<PathBuf>>, document: Option<Document>) -> Window {
    let mut state = AppState::new(Background::inline(), Arc::new(FakeDialog(dialog)));
    state.document = document;
    let mut window = Harness::builder().with_size(size).with_context_setup(theme::install).build_ui_state(
        |ui, state: &mut AppState| {
            state.poll(ui.ctx());
            chrome::root_ui(ui, state);
        },
        state,
    );
    window.run_steps(3);
    window
}

fn window() -> Window {
    window_with(None, Some(Document::new(fixture::analysis())))
}

fn click(window: &mut Window, label: &str) {
    window.get_by_label(label).click();
    window.run_steps(3);
}

fn press(window: &mut Window, key: Key) {
    window.key_press(key);
    window.run_steps(3);
}

const FINDING: &str = "Finding: Rejected reused request, 4 times";

#[test]
fn an_empty_window_says_how_to_begin() {
    let window = window_with(None, None);
    window.get_by_label("Open captures…");
    window.get_by_label("hopscope sample-captures/paas-502");
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
fn steps_follow_the_keys_and_the_buttons() {
    let mut window = window();
    click(&mut window, FINDING);
    let proof = window.state().session().selection.step.unwrap();
    press(&mut window, Key::OpenBracket);
    assert_eq!(window.state().session().selection.step, Some(proof - 1));
    click(&mut window, "Next step");
    assert_eq!(window.state().session().selection.step, Some(proof));
    press(&mut window, Key::Home);
    assert_eq!(window.state().session().selection.step, Some(0));
    press(&mut window, Key::OpenBracket);
    assert_eq!(window.state().session().selection.step, Some(0));
    click(&mut window, "Last step");
    let last = window.state().story.steps().len() - 1;
    press(&mut window, Key::CloseBracket);
    assert_eq!(window.state().session().selection.step, Some(last));
}

/// Whether a text is painted that begins and ends like this: what is drawn has no label.
fn is_painted(window: &Window, starts: &str, ends: &str) -> bool {
    window.output().shapes.iter().any(|clipped| match &clipped.shape {
        egui::Shape::Text(text) => {
            text.galley.text().starts_with(starts) && text.galley.text().ends_with(ends)
        }
        _ => false,
    })
}

/// The row of the current step, drawn only when it is in sight.
fn current_step(window: &Window) -> String {
    let step = window.state().session().selection.step.unwrap();
    format!("Step {}: {}", step + 1, window.state().story.steps()[step].title)
}

#[test]
fn the_current_step_stays_in_sight_when_its_pane_shrinks() {
    let mut window = window_of([1280.0, 800.0], None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    window.get_by_label(&current_step(&window));
    click(&mut window, "Statistics");
    window.get_by_label(&current_step(&window));
    click(&mut window, "Exchanges");
    window.get_by_label(&current_step(&window));
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

fn row_in_sight(window: &Window) -> bool {
    let id = window.state().session().selection.exchange.unwrap();
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let exchange = analysis.exchange(id);
    let label = format!("{} {} row {}", exchange.method(), exchange.target(), id.0);
    window.query_by_label(&label).is_some()
}

#[test]
fn a_filtered_table_shows_the_selected_row_or_its_start() {
    let mut window = window_of([1280.0, 800.0], None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    for filter in ["", "outcome:rejected", "", "link:uwsgi", "outcome:answered"] {
        window.state_mut().apply(&egui::Context::default(), vec![Action::SetFilter(filter.to_owned())]);
        window.run_steps(3);
        let (selected, rows) = (window.state().session().selection.exchange.unwrap(), &window.state().rows);
        if rows.list().contains(&selected) {
            assert!(row_in_sight(&window), "{filter:?}");
        } else {
            let first = rows.list()[0];
            let label = format!(" row {}", first.0);
            assert!(window.query_all_by_label_contains(&label).next().is_some(), "{filter:?}");
        }
    }
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
fn the_filter_field_filters_the_table() {
    let mut window = window();
    let all = window.state().rows.list().len();
    window.key_press_modifiers(Modifiers::COMMAND, Key::F);
    window.run_steps(3);
    window.get_by_role_and_label(Role::TextInput, "Filter").type_text("rejected");
    window.run_steps(3);
    assert_eq!(window.state().session().filter, "rejected");
    assert_eq!(window.state().rows.list().len(), 4);
    window.get_by_label(&format!("4 of {all} exchanges"));
}

#[test]
fn the_filter_keeps_the_keyboard_from_its_first_letter_on() {
    let mut window = window();
    window.key_press_modifiers(Modifiers::COMMAND, Key::F);
    window.run_steps(3);
    // The button that clears the filter appears before the field once it holds a letter.
    for letter in ["s", "t", " ", "u"] {
        window.event(egui::Event::Text(letter.to_owned()));
        window.run_steps(2);
    }
    assert_eq!(window.state().session().filter, "st u");
}

#[test]
fn a_filter_that_leaves_nothing_says_so_and_can_be_cleared() {
    let mut window = window();
    let all = window.state().rows.list().len();
    window.state_mut().apply(&egui::Context::default(), vec![Action::SetFilter("status:299".to_owned())]);
    window.run_steps(3);
    window.get_by_label("No exchange matches the filter “status:299”.");
    window.get_by_label("no exchange matches");
    click(&mut window, "Clear the filter");
    assert_eq!(window.state().rows.list().len(), all);
}

#[test]
fn the_filter_reaches_the_connections() {
    let mut window = window();
    click(&mut window, "Connections");
    let all = window.state().document.as_ref().unwrap().analysis.topology.connections.len();
    window.get_by_label(&format!("{all} of {all} connections"));
    window.state_mut().apply(&egui::Context::default(), vec![Action::SetFilter("rejected".to_owned())]);
    window.run_steps(3);
    window.get_by_label(&format!("4 of {all} connections"));
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    for connection in analysis.connections() {
        let label = format!("Connection {} to {}", connection.inner.client, connection.inner.server);
        let rejected = connection.exchanges().any(|x| x.rejection().is_some());
        assert!(rejected || window.query_by_label(&label).is_none(), "{label}");
    }
    window.state_mut().apply(&egui::Context::default(), vec![Action::SetFilter("status:299".to_owned())]);
    window.run_steps(3);
    window.get_by_label("No connection matches the filter “status:299”.");
    click(&mut window, "Clear the filter");
    window.get_by_label(&format!("{all} of {all} connections"));
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
fn in_a_small_window_the_figures_and_the_steps_are_whole() {
    let mut window = window_of([1280.0, 800.0], None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    let steps = window.state().story.steps().to_vec();
    for step in steps.iter().filter(|step| step.hint.len() > 12) {
        assert!(window.query_by_label(&step.hint).is_none(), "no part of a hint: {}", step.hint);
    }
    click(&mut window, "Where it starts");
    let edge = |node: egui_kittest::Node<'_>| node.rect().right();
    let right = window.query_all_by_label("rejected").map(edge).fold(0.0, f32::max);
    assert!(right > 1000.0 && right < 1266.0, "the last column ends at {right}");
    click(&mut window, "Statistics");
    window.get_by_label("requests by latency");
    // Few among many are no bar that could be seen: their number stands there.
    let title = "requests over time, by answer, answered (1xx–3xx) 432, no answer 17";
    window.get_by_label_contains(title);
}

#[test]
fn keys_typed_into_a_field_are_no_commands() {
    let mut window = window();
    window.get_by_role_and_label(Role::TextInput, "Filter").focus();
    window.run_steps(2);
    let dark = window.ctx.theme();
    press(&mut window, Key::T);
    press(&mut window, Key::N);
    assert_eq!(window.ctx.theme(), dark);
    assert!(window.state().ui.modal.is_none());
}

#[test]
fn a_note_is_written_listed_undone_and_redone() {
    let mut window = window();
    click(&mut window, FINDING);
    press(&mut window, Key::N);
    assert!(matches!(window.state().ui.modal, Some(Modal::Note { target: Target::Exchange(_), .. })));
    window.get_by_role_and_label(Role::TextInput, "Your words").type_text("ticket 4411");
    window.run_steps(3);
    click(&mut window, "Save note");
    assert_eq!(window.state().session().annotations.len(), 1);
    assert_eq!(window.state().session().annotations[0].text, "ticket 4411");
    window.get_by_label("ticket 4411");
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.run_steps(3);
    assert!(window.state().session().annotations.is_empty());
    window.key_press_modifiers(Modifiers { shift: true, ..Modifiers::COMMAND }, Key::Z);
    window.run_steps(3);
    assert_eq!(window.state().session().annotations.len(), 1);
}

#[test]
fn a_note_can_be_on_the_exchange_its_connection_or_the_moment() {
    let mut window = window();
    for (kind, count) in [("Exchange: ", 1), ("Connection: ", 2), ("Moment: ", 3)] {
        click(&mut window, FINDING);
        press(&mut window, Key::N);
        window.get_by(|node| node.label().is_some_and(|label| label.as_str().starts_with(kind))).click();
        window.run_steps(2);
        window.get_by_role_and_label(Role::TextInput, "Your words").type_text("x");
        window.run_steps(3);
        click(&mut window, "Save note");
        assert_eq!(window.state().session().annotations.len(), count);
    }
    let cursor = window.state().session().selection.cursor.unwrap();
    let targets: Vec<_> = window.state().session().annotations.iter().map(|note| note.target).collect();
    assert!(
        matches!(targets[..], [Target::Exchange(_), Target::Connection(_), Target::Moment(at)] if at == cursor),
        "{targets:?}"
    );
}

#[test]
fn no_tooltip_stays_above_a_dialog() {
    let mut window = window();
    click(&mut window, FINDING);
    let title = |window: &Window| window.query_by_label_contains("packet that proves").is_some();
    let at = window.get_by_label("Show evidence").rect().center();
    for key in [Key::L, Key::C, Key::N] {
        // Away from the button and back: a click is no reason for a tooltip.
        window.hover_at(at + egui::vec2(0.0, 300.0));
        window.run_steps(3);
        window.hover_at(at);
        window.run_steps(6);
        assert!(title(&window), "the tooltip is there");
        press(&mut window, key);
        assert!(window.state().ui.modal.is_some() && !title(&window), "{key:?}");
        press(&mut window, Key::Escape);
        assert!(window.state().ui.modal.is_none());
    }
}

#[test]
fn the_palette_finds_and_runs_a_command() {
    let mut window = window();
    window.key_press_modifiers(Modifiers::COMMAND, Key::K);
    window.run_steps(3);
    window.get_by_role_and_label(Role::TextInput, "Find a command").type_text("show stat");
    window.run_steps(3);
    press(&mut window, Key::Enter);
    assert_eq!(window.state().ui.tab, Tab::Statistics);
    assert!(window.state().ui.modal.is_none());
}

#[test]
fn every_tab_draws_and_names_its_widgets() {
    let mut window = window();
    click(&mut window, FINDING);
    for tab in ["Connections", "Statistics", "Exchanges", "Headers", "Body", "Timing", "Frames", "Tree"] {
        click(&mut window, tab);
    }
    click(&mut window, "Why so sure?");
    window.get_by_label("What to change");
}

/// Writes a note on what the finding shows.
fn note(window: &mut Window, words: &str) {
    click(window, FINDING);
    press(window, Key::N);
    window.get_by_role_and_label(Role::TextInput, "Your words").type_text(words);
    window.run_steps(3);
    click(window, "Save note");
}

#[test]
fn an_idle_window_does_not_repaint() {
    let mut window = window();
    click(&mut window, FINDING);
    // `run` panics when the window goes on asking for frames.
    window.run();
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

fn sample() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sample-captures/paas-502")
}

/// The recorded chain in the window.
fn recorded() -> Window {
    let mut window = window_with(None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    window
}

fn lane_names(window: &Window) -> Vec<String> {
    let document = window.state().document.as_ref().unwrap();
    document.analysis.topology.lanes.iter().map(|lane| lane.name.clone()).collect()
}

#[test]
fn lanes_are_renamed_reordered_undone_and_saved() {
    let mut window = recorded();
    click(&mut window, FINDING_OF_SAMPLE);
    let before = window.state().session().selection;
    press(&mut window, Key::L);
    let field = window.get_by_role_and_label(Role::TextInput, "Name of lane 3");
    field.focus();
    window.run_steps(2);
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.get_by_role_and_label(Role::TextInput, "Name of lane 3").type_text("edge");
    window.run_steps(2);
    press(&mut window, Key::Enter);
    window.run_steps(3);
    assert_eq!(lane_names(&window), ["user", "nginx", "edge", "uwsgi"]);
    let after = window.state().session().selection;
    assert_eq!(
        (after.exchange, after.connection, after.step),
        (before.exchange, before.connection, before.step)
    );
    click(&mut window, "Edit lane edge");
    click(&mut window, "Move up");
    window.run_steps(3);
    assert_eq!(lane_names(&window), ["user", "edge", "nginx", "uwsgi"]);
    click(&mut window, "Undo");
    window.run_steps(3);
    assert_eq!(lane_names(&window), ["user", "nginx", "edge", "uwsgi"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lanes.ron");
    window.state_mut().apply(&egui::Context::default(), vec![Action::SaveTo(path.clone())]);
    window.run_steps(3);
    window.state_mut().open(vec![path], false);
    window.run_steps(4);
    assert_eq!(lane_names(&window), ["user", "nginx", "edge", "uwsgi"]);
}

#[test]
fn an_address_is_split_off_and_given_back() {
    let mut window = recorded();
    press(&mut window, Key::L);
    let listens = |window: &Window, at: usize| {
        window.state().document.as_ref().unwrap().analysis.topology.lanes[at].serves.clone()
    };
    let (both, one) = (listens(&window, 2), listens(&window, 2)[1]);
    assert_eq!(both.len(), 2, "the ingress listens on two ports");
    click(&mut window, "Edit lane ingress");
    click(&mut window, &format!("Split off {one}"));
    window.run_steps(3);
    assert_eq!(lane_names(&window), ["user", "nginx", "ingress", "ingress 2", "uwsgi"]);
    assert_eq!((listens(&window, 2).len(), listens(&window, 3)), (1, vec![one]));
    click(&mut window, "Edit lane ingress 2");
    click(&mut window, "Merge into ingress");
    window.run_steps(3);
    assert_eq!(lane_names(&window), ["user", "nginx", "ingress", "uwsgi"]);
    assert_eq!(listens(&window, 2), both);
    click(&mut window, "Reset all");
    window.run_steps(3);
    assert!(window.state().session().overrides == crate::topology::Overrides::default());
}

#[test]
fn an_address_is_dragged_onto_another_lane() {
    let mut window = recorded();
    press(&mut window, Key::L);
    let from = window.get_by_label("Drag address 10.88.2.2:8081").rect().center();
    let to = window.get_by_label("Drag lane uwsgi").rect().center();
    window.drag_at(from);
    window.run_steps(2);
    window.hover_at(from + egui::vec2(10.0, 10.0));
    window.run_steps(2);
    window.hover_at(to);
    window.run_steps(2);
    window.drop_at(to);
    window.run_steps(4);
    let given = &window.state().session().overrides.lanes;
    let address: std::net::SocketAddr = "10.88.2.2:8081".parse().unwrap();
    assert!(given.iter().any(|lane| lane.name == "uwsgi" && lane.serves.contains(&address)), "{given:?}");
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

#[test]
fn a_smaller_capture_opened_in_place_of_a_large_one_leaves_no_row_behind() {
    let mut window = window_with(None, Some(Document::new(fixture::with_requests(400))));
    let many = window.state().rows.list().len();
    window.state_mut().document = Some(Document::new(fixture::with_requests(10)));
    window.run_steps(2);
    let exchanges = window.state().document.as_ref().unwrap().analysis.topology.exchanges.len();
    assert!(window.state().rows.list().len() == exchanges && exchanges < many);
}

const FINDING_OF_SAMPLE: &str = "Finding: Rejected reused request, 17 times";

/// The fixture is small, and debug builds are slow: this only catches what grows with the exchanges.
#[test]
fn a_frame_costs_the_same_with_many_exchanges() {
    let frame = |count| {
        let mut window = window_with(None, Some(Document::new(fixture::with_requests(count))));
        click(&mut window, "Show evidence");
        let best = (0..10).map(|_| {
            let began = std::time::Instant::now();
            window.run_steps(1);
            began.elapsed()
        });
        best.min().unwrap_or_default()
    };
    let (few, many) = (frame(100), frame(6_000));
    assert!(many < few * 4, "{few:?} with 100 requests, {many:?} with 6,000");
}
