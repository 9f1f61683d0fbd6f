//! Moving about by keys: what goes together stays together, and every pane has its keys.

use super::*;
use crate::app::loader::Loaded;
use crate::app::state::DetailTab;
use crate::session::Session;
use crate::topology::Overrides;

#[test]
fn what_is_selected_stays_of_one_connection_at_every_step() {
    let mut window = recorded();
    click(&mut window, FINDING_OF_SAMPLE);
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    for key in [Key::End, Key::Home, Key::CloseBracket, Key::CloseBracket, Key::End, Key::OpenBracket] {
        press(&mut window, key);
        let selection = window.state().session().selection;
        let exchange = analysis.exchange(selection.exchange.unwrap());
        assert_eq!(Some(exchange.connection_id()), selection.connection, "{key:?}");
    }
}

#[test]
fn the_selected_connection_is_in_sight_in_its_table_and_in_the_timeline() {
    let mut window = window_of([1280.0, 800.0], None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let last = analysis.connections().last().unwrap();
    window.state_mut().apply(&egui::Context::default(), vec![Action::SelectConnection(last.id)]);
    window.run_steps(3);
    press(&mut window, Key::Num2);
    window.get_by_label(&format!("Connection {} to {}", last.inner.client, last.inner.server));
    assert!(is_painted(&window, &format!(":{}", last.inner.client.port()), ""), "beside its line");
}

#[test]
fn findings_and_the_requests_tabs_have_keys() {
    let mut window = recorded();
    click(&mut window, FINDING_OF_SAMPLE);
    press(&mut window, Key::G);
    assert_eq!(window.state().session().selection.finding, Some(1));
    window.key_press_modifiers(Modifiers::SHIFT, Key::G);
    window.run_steps(3);
    assert_eq!(window.state().session().selection.finding, Some(0));
    let all = [
        (Key::H, DetailTab::Headers),
        (Key::B, DetailTab::Body),
        (Key::M, DetailTab::Timing),
        (Key::P, DetailTab::Frames),
        (Key::R, DetailTab::Tree),
    ];
    for (key, tab) in all {
        press(&mut window, key);
        assert_eq!(window.state().ui.detail, tab);
    }
}

#[test]
fn the_key_that_opens_a_dialog_closes_it_and_the_commands_take_its_place() {
    let mut window = recorded();
    for key in [Key::W, Key::C] {
        press(&mut window, key);
        assert!(window.state().ui.modal.is_some());
        if key == Key::C {
            // Its field has the keyboard: a letter typed there is no key.
            press(&mut window, Key::Escape);
        } else {
            press(&mut window, key);
        }
        assert!(window.state().ui.modal.is_none(), "{key:?}");
    }
    press(&mut window, Key::W);
    window.key_press_modifiers(Modifiers::COMMAND, Key::K);
    window.run_steps(3);
    assert!(matches!(window.state().ui.modal, Some(Modal::Palette { .. })));
    window.get_by_role_and_label(Role::TextInput, "Find a command").type_text("step");
    window.run_steps(3);
    // As it is printed on the keyboard.
    assert!(window.query_by_label("]").is_some() && window.query_by_label("CloseBracket").is_none());
    window.get_by_role_and_label(Role::TextInput, "Find a command").type_text(" x");
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.get_by_role_and_label(Role::TextInput, "Find a command").type_text("cancel");
    window.run_steps(3);
    assert!(window.query_by_label("Cancel loading").is_none(), "nothing loads");
    window.key_press_modifiers(Modifiers::COMMAND, Key::K);
    window.run_steps(3);
    assert!(window.state().ui.modal.is_none());
}

#[test]
fn the_timeline_stays_where_it_is_as_tabs_change() {
    for size in [[1600.0, 1000.0], [1280.0, 772.0]] {
        let mut window = window_of(size, None, Some(Document::new(fixture::analysis())));
        let place = |window: &Window| window.get_by_role_and_label(Role::Canvas, "Timeline").rect();
        let before = place(&window);
        for tab in ["Statistics", "Where it starts", "Connections", "Exchanges"] {
            click(&mut window, tab);
            assert_eq!(place(&window), before, "{tab}");
        }
    }
}

#[test]
fn no_value_of_a_connection_is_cut() {
    let mut window = window_of([1280.0, 800.0], None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    let first = crate::topology::ConnectionId(0);
    window.state_mut().apply(&egui::Context::default(), vec![Action::SelectConnection(first)]);
    window.run_steps(3);
    for value in [", handshake", "uwsgi.pcap", " back"] {
        for node in window.query_all_by_label_contains(value) {
            assert!(node.rect().right() < 1272.0, "{value}: {:?}", node.rect());
        }
    }
}

#[test]
fn the_window_opens_on_failures_from_behind_what_was_captured() {
    let mut script = crate::testing::Script::new("edge.pcap");
    let user = script.connection(0, "10.0.9.1:3000", "10.0.1.2:80", 100);
    for (n, status) in [200, 502, 200].into_iter().enumerate() {
        let at = (n as i64 + 1) * 1_000_000;
        script.request(user, at, "GET", "/", &[], "");
        script.response(user, at + 500_000, status, 20);
    }
    let analysis = crate::analysis::analyse(vec![script.finish()], &Overrides::default());
    let mut window = window_with(None, None);
    window.state_mut().arrived(Loaded {
        document: Document::new(analysis),
        session: Session::default(),
        cancelled: false,
        added: false,
        again: false,
        restored: false,
        overrides: Overrides::default(),
        words: String::new(),
    });
    window.run_steps(3);
    let id = window.state().session().selection.exchange.expect("the one that failed");
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    assert_eq!(analysis.exchange(id).status(), Some(502));
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
