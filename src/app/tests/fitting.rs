//! What stands where when there is little room: nothing that one would look for is pushed out of sight.

use super::*;
use crate::topology::ConnectionId;

fn small() -> Window {
    let mut window = window_of([1280.0, 778.0], None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    window
}

#[test]
fn notes_leave_the_lines_of_the_logs_in_sight() {
    let mut window = small();
    for at in 0..4 {
        let target = Target::Connection(ConnectionId(at));
        let text = format!("note {at}");
        let note = Action::SaveNote { index: None, target, text };
        window.state_mut().apply(&egui::Context::default(), vec![note]);
    }
    window.run_steps(4);
    let notes = window.get_by_label("Annotations").rect().top();
    for words in ["In the logs", "ingress-error.log:5"] {
        let bottom = window.get_by_label(words).rect().bottom();
        assert!(bottom < notes, "{words}: {bottom} and {notes}");
    }
    // Of the notes one is there, with what can be done with it.
    window.get_by_label_contains("Note: note 0");
    assert!(window.query_all_by_label("Edit").next().is_some());
}

#[test]
fn the_border_of_the_details_can_be_dragged() {
    let mut window = small();
    let tree = |window: &Window| window.get_by_role_and_label(Role::Tab, "Tree").rect();
    let button = |window: &Window| window.get_by_label("Wireshark filter").rect();
    let before = tree(&window);
    let title = window.query_all_by_label("POST /api/order/9668").map(|node| node.rect().top());
    let from = egui::pos2(before.left() + 60.0, title.fold(f32::INFINITY, f32::min) - 12.0);
    window.hover_at(from);
    window.run_steps(2);
    window.drag_at(from);
    window.run_steps(1);
    for by in [10.0, 30.0, 40.0] {
        window.hover_at(from - egui::vec2(0.0, by));
        window.run_steps(1);
    }
    window.drop_at(from - egui::vec2(0.0, 40.0));
    window.run_steps(2);
    let moved = before.top() - tree(&window).top();
    assert!((moved - 40.0).abs() < 6.0, "moved by {moved}");
    // And what stands below the steps stays above the border.
    assert!(button(&window).bottom() < tree(&window).top() - 30.0);
}

#[test]
fn the_view_of_a_retried_request_holds_all_its_attempts() {
    let mut window = small();
    // Another finding was looked at before, much nearer.
    click(&mut window, FINDING_OF_SAMPLE);
    click(&mut window, "Finding: Masked failures, 9 times");
    let state = window.state();
    let analysis = state.document.as_ref().unwrap().analysis.clone();
    let view = state.session().view.unwrap();
    let root = analysis.trees.root(state.session().selection.exchange.unwrap());
    for (id, _) in analysis.trees.tree(root) {
        let exchange = analysis.exchange(id);
        assert!(view.start <= exchange.started() && exchange.settled() <= view.end, "{id:?}");
    }
}

#[test]
fn the_keys_of_rows_go_through_the_table_that_is_shown() {
    let mut window = small();
    press(&mut window, Key::Num2);
    let rows = window.state().rows.connections().to_vec();
    let at = |window: &Window| {
        let selected = window.state().session().selection.connection.unwrap();
        rows.iter().position(|&row| row == selected).unwrap()
    };
    let before = at(&window);
    press(&mut window, Key::J);
    assert_eq!(at(&window), before + 1);
    press(&mut window, Key::ArrowUp);
    press(&mut window, Key::K);
    assert_eq!(at(&window), before - 1);
    press(&mut window, Key::Num1);
    press(&mut window, Key::J);
    assert!(window.state().session().selection.exchange.is_some());
}

#[test]
fn columns_without_room_are_named_and_the_bar_keeps_all_ways_to_open() {
    let mut window = window_of([900.0, 578.0], None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    window.get_by_label_contains("not shown here: connection, #, ");
    assert!(window.get_by_role_and_label(Role::TextInput, "Filter").rect().width() > 110.0);
    click(&mut window, "Connections");
    window.get_by_label_contains("not shown here: server, protocol, began");
    click(&mut window, "Open ▾");
    for way in ["Open…", "Open folder…", "Open path…", "Add captures…", "Add folder…", "Add path…"]
    {
        window.get_by_label(way);
    }
}

#[test]
fn findings_that_differ_by_their_server_alone_name_it() {
    let mut analysis = fixture::analysis();
    let mut other = analysis.diagnosis.findings[0].clone();
    let servers: Vec<String> =
        analysis.diagnosis.findings[0].evidence.iter().map(|p| p.server.to_string()).collect();
    assert!(!servers.is_empty() && servers.iter().all(|server| *server == servers[0]));
    other.evidence.iter_mut().for_each(|proof| proof.server.set_port(1));
    let second = other.evidence[0].server.to_string();
    analysis.diagnosis.findings.insert(1, other);
    let window = window_with(None, Some(Document::new(analysis)));
    for server in [&servers[0], &second] {
        assert!(window.query_all_by_label_contains(&format!(" · {server} · ")).next().is_some(), "{server}");
    }
    // Of one alone the server stands in its evidence.
    let window = self::window();
    assert!(window.query_all_by_label_contains(&format!(" · {} · ", servers[0])).next().is_none());
}

#[test]
fn every_attempt_of_a_failed_request_is_in_the_timeline_also_where_that_is_low() {
    for (name, height) in [("paas-502", 778.0), ("single-host", 700.0)] {
        let mut window = window_of([1280.0, height], None, None);
        let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-captures");
        window.state_mut().open(vec![samples.join(name)], false);
        window.run_steps(4);
        let document = window.state().document.clone().unwrap();
        let analysis = &document.analysis;
        let retried = document.failures.iter().filter(|(_, id)| analysis.exchange(*id).attempts() > 1);
        for &(_, failed) in retried {
            window.state_mut().apply(&egui::Context::default(), vec![Action::SelectExchange(failed)]);
            window.run_steps(3);
            let body = window.get_by_role_and_label(Role::Canvas, "Timeline").rect();
            for (id, _) in analysis.trees.tree(analysis.trees.root(failed)) {
                let exchange = analysis.exchange(id);
                let link = analysis.link_name(exchange.link_id());
                let (ordinal, method) = (exchange.raw.ordinal, exchange.method());
                let bar = format!("{link} request {ordinal} {method} {}", exchange.target());
                let mut bars = window.query_all_by_label_contains(&bar);
                let inside = |rect: egui::Rect| body.top() <= rect.top() && rect.bottom() <= body.bottom();
                assert!(bars.any(|node| inside(node.rect())), "{name}: {bar}");
            }
        }
    }
}

#[test]
fn both_attempts_of_a_retried_request_are_in_sight_in_its_tree() {
    let mut window = small();
    click(&mut window, "Finding: Masked failures, 9 times");
    let pane = window.get_by_role_and_label(Role::Tab, "Tree").rect();
    let below = window.get_by_role_and_label(Role::Tab, "Exchanges").rect();
    let rows = window.query_all_by_label_contains(" → uwsgi: ");
    let rows: Vec<_> =
        rows.map(|node| node.rect()).filter(|rect| rect.left() >= pane.left() - 30.0).collect();
    assert_eq!(rows.len(), 2, "what each attempt became");
    for row in rows {
        assert!(pane.bottom() < row.top() && row.bottom() < below.top() - 20.0, "{row:?} above {below:?}");
    }
    // Of the selected one it is said all the same why it is linked.
    window.get_by_label_contains("Linked to the request above: ");
    assert!(window.query_by_label_contains("Certain: ").is_some());
}

#[test]
fn the_name_of_a_steps_capture_is_not_cut() {
    let mut window = small();
    click(&mut window, "Finding: Masked failures, 9 times");
    let button = window.get_by_label("Wireshark filter").rect();
    let place = window.get_by_label_contains("frame 1098, ingress.pcap").rect();
    // 24 letters of 6.6 points: where it is cut, its row is narrower.
    assert!(place.width() > 158.0 && place.right() < button.left() && button.right() < 1272.0, "{place:?}");
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
fn why_a_request_is_linked_stands_whole_below_the_tree_in_a_small_window() {
    let mut window = small();
    click(&mut window, FINDING_OF_SAMPLE);
    let pane = |window: &Window| window.get_by_role_and_label(Role::Tab, "Tree").rect();
    let words = window.get_by_label_contains("Linked to the request above: ").rect();
    let table = window.get_by_role_and_label(Role::Tab, "Exchanges").rect();
    assert!(words.top() > pane(&window).bottom() && words.bottom() < table.top() - 16.0, "{words}");
    // And the whole way of the request is above it.
    for link in ["user → nginx: 502", "nginx → ingress: 502", "ingress → uwsgi: ✖ rejected"] {
        let row = window.get_by(|node| node.label().is_some_and(|label| label.starts_with(link))).rect();
        assert!(
            row.top() > pane(&window).bottom() && row.bottom() <= words.top() + 1.0,
            "{link}: {row}, {words}"
        );
    }
}

#[test]
fn of_the_logs_a_line_is_whole_below_the_bar_of_a_snapshot() {
    let window = small();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alone.ron");
    let mut window = window;
    click(&mut window, FINDING_OF_SAMPLE);
    window.state_mut().apply(&egui::Context::default(), vec![Action::SaveTo(path.clone())]);
    window.run_steps(3);
    let gone = std::fs::read_to_string(&path).unwrap().replace("paas-502", "gone");
    std::fs::write(&path, gone).unwrap();
    window.state_mut().open(vec![path], false);
    window.run_steps(6);
    window.get_by_label("Showing what the snapshot holds");
    let notes = window.get_by_label("Annotations").rect().top();
    let line = window.get_by_label_contains("upstream prematurely closed").rect();
    let all = window.get_by_label("All of them (W)").rect();
    assert!(line.bottom() < notes && all.bottom() < notes, "{line}, {all}, {notes}");
}

#[test]
fn of_links_with_long_names_both_lanes_are_told() {
    let mut analysis = recorded().state().document.as_ref().unwrap().analysis.as_ref().clone();
    analysis.topology.lanes[2].name = "the-ingress-controller-of-the-shop-in-cluster-7".to_owned();
    let window = window_of([1280.0, 800.0], None, Some(Document::new(analysis)));
    assert!(is_painted(&window, "the-in…", " → uwsgi"), "on the board");
    assert!(is_painted(&window, "the-in…", " → uwsgi · certain"), "in the list of findings");
}
