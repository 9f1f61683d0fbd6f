//! The filter: its field, and what it leaves of the tables.

use super::*;

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
