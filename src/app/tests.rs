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
mod filtering;
mod fitting;
mod going;
mod logs;
mod moving;
mod noting;
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

fn row_in_sight(window: &Window) -> bool {
    let id = window.state().session().selection.exchange.unwrap();
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let exchange = analysis.exchange(id);
    let label = format!("{} {} row {}", exchange.method(), exchange.target(), id.0);
    window.query_by_label(&label).is_some()
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
