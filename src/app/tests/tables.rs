//! The tables: what they say where they have no rows, or other rows than the filter asks for.

use super::*;

fn filter(window: &mut Window, text: &str) {
    window.state_mut().apply(&egui::Context::default(), vec![Action::SetFilter(text.to_owned())]);
    window.run_steps(3);
}

#[test]
fn a_filter_that_is_not_understood_is_not_said_to_leave_nothing() {
    let mut window = window();
    filter(&mut window, "rejected");
    filter(&mut window, "foo:bar");
    window.get_by_label_contains("Filter not understood. ");
    window.get_by_label_contains("Below: the rows of the last filter that could be read, “rejected”.");
    assert_eq!(window.state().rows.list().len(), 4);
    // As it is typed the word before the colon is a filter that leaves nothing.
    filter(&mut window, "foo");
    filter(&mut window, "foo:bar");
    assert!(window.query_by_label_contains("No exchange matches the filter “foo:bar”").is_none());
    window.get_by_label_contains("the last filter that could be read, “foo”.");
    click(&mut window, "Connections");
    window.get_by_label_contains("the last filter that could be read, “foo”.");
    filter(&mut window, "");
    assert!(window.query_by_label_contains("not understood").is_none());
}
