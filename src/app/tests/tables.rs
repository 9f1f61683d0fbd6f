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
    window.get_by_label_contains("Below: the rows of “rejected”, the last that could be read.");
    assert_eq!(window.state().rows.list().len(), 4);
    // As it is typed the word before the colon is a filter that leaves nothing.
    filter(&mut window, "rejected foo");
    window.get_by_label_contains("No exchange matches the filter “rejected foo”");
    filter(&mut window, "rejected foo:bar");
    assert!(window.query_by_label_contains("No exchange matches").is_none());
    assert_eq!(window.state().rows.list().len(), 4);
    window.get_by_label_contains("the rows of “rejected”, the last that could be read.");
    click(&mut window, "Connections");
    window.get_by_label_contains("the rows of “rejected”, the last that could be read.");
    filter(&mut window, "");
    assert!(window.query_by_label_contains("not understood").is_none());
}

/// The connections' rows from top to bottom, as they are called.
fn connections(window: &Window) -> Vec<String> {
    let rows = window.query_all_by_label_contains("Connection ");
    rows.filter_map(|node| node.accesskit_node().label().map(|label| label.as_str().to_owned())).collect()
}

#[test]
fn the_heads_of_the_connections_sort_them_and_show_which_way() {
    let mut window = window();
    click(&mut window, "Connections");
    let by_time = connections(&window);
    assert!(is_painted(&window, "opened", "▲"));
    click(&mut window, "Sort by requests");
    assert!(is_painted(&window, "requests ▲", "") && !is_painted(&window, "opened", "▲"));
    click(&mut window, "Sort by requests");
    assert!(is_painted(&window, "requests ▼", ""));
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let carried = |id: &crate::topology::ConnectionId| analysis.connection(*id).inner.exchanges.len();
    let first = window.state().rows.connections()[0];
    let most = analysis.topology.connections.iter().map(|one| one.exchanges.len()).max();
    assert_eq!(Some(carried(&first)), most);
    assert_ne!(connections(&window), by_time, "what is seen is sorted");
    // The other table keeps its own order.
    click(&mut window, "Exchanges");
    assert!(is_painted(&window, "time", "▲"));
    click(&mut window, "Connections");
    assert!(is_painted(&window, "requests ▼", ""));
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
