//! Going somewhere, and what stays in sight.

use super::*;
use crate::diagnose::testkit::{Chain, MS};
use crate::http::Method;
use crate::session::Annotation;
use crate::tcp::Side;
use crate::topology::ConnectionId;

#[test]
fn a_hint_goes_with_the_next_step_and_moves_no_pane() {
    let mut window = window();
    click(&mut window, FINDING);
    let place = |window: &Window| window.get_by_label("Exchanges").rect();
    let before = place(&window);
    let hint = "No failure before this one";
    for _ in 0..60 {
        press(&mut window, Key::Comma);
        if window.query_by_label(hint).is_some() {
            break;
        }
    }
    window.get_by_label(hint);
    assert_eq!(place(&window), before);
    press(&mut window, Key::Period);
    assert!(window.query_by_label(hint).is_none());
}

#[test]
fn that_a_snapshot_was_saved_is_said_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = window();
    let path = folder.path().join("evening.ron");
    window.state_mut().apply(&egui::Context::default(), vec![Action::SaveTo(path)]);
    window.run_steps(3);
    assert!(window.query_by_label_contains("Saved the snapshot: ").is_some());
    let notice = window.state_mut().notice.as_mut().unwrap();
    notice.since = notice.since.checked_sub(std::time::Duration::from_secs(9)).unwrap();
    window.run_steps(2);
    assert!(window.query_by_label_contains("Saved the snapshot: ").is_none());
}

#[test]
fn a_connection_as_long_as_the_capture_is_shown_without_emptiness_around() {
    let mut window = window();
    let document = window.state().document.clone().unwrap();
    let whole = document.model.fit();
    let length = |id: &ConnectionId| {
        let connection = document.analysis.connection(*id).inner;
        connection.last.since_ns(connection.first)
    };
    let all = (0..document.analysis.topology.connections.len() as u32).map(ConnectionId);
    for id in [all.clone().max_by_key(length).unwrap(), all.clone().min_by_key(length).unwrap()] {
        for _ in 0..8 {
            press(&mut window, Key::Plus);
        }
        window.state_mut().apply(&egui::Context::default(), vec![Action::SelectConnection(id)]);
        window.run_steps(3);
        let view = window.state().session().view.unwrap_or(whole);
        assert!(whole.start <= view.start && view.end <= whole.end, "{view:?} of {whole:?}");
    }
}

#[test]
fn the_first_evidence_is_a_failure_that_a_user_saw_on_a_bar_that_can_be_read() {
    let mut window = window();
    click(&mut window, FINDING);
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let finding = &analysis.diagnosis.findings[0];
    let id = window.state().session().selection.exchange.unwrap();
    assert!(finding.exchanges.contains(&id) && finding.exchanges[0] != id, "the first was retried");
    let root = analysis.exchange(analysis.trees.root(id));
    assert_eq!((root.method(), root.status()), ("POST", Some(502)));
    let exchange = analysis.exchange(id);
    let own = exchange.settled().since_ns(exchange.started());
    let view = window.state().session().view.expect("a part of it");
    assert!(view.end.since_ns(view.start) <= own * 40, "{view:?}");
    assert!(view.start < exchange.started() && exchange.settled() < view.end);
}

#[test]
fn evidence_that_lies_beside_the_request_that_led_to_it_is_shown_with_that() {
    // The proxy answers 502 before its request has reached the application, which is some way off.
    let mut chain = Chain::new(&["user", "proxy", "app"]);
    let user = chain.open(0, 0);
    for n in 0..4 {
        let start = (n as i64 + 1) * 100 * MS;
        let app = chain.open(1, start - 50 * MS);
        chain.conns[user].request(Method::Post, "/order", start).response(502, start + MS);
        let conn = &mut chain.conns[app];
        conn.request(Method::Get, "/", start - 40 * MS).response(200, start - 39 * MS);
        let late = start + 4 * MS;
        conn.fin(Side::Server, late - MS).request(Method::Post, "/order", late);
        conn.rst(Side::Server, late + MS / 20, false);
        chain.parent((app, 1), (user, n), 1);
    }
    let mut window = window_with(None, Some(Document::new(chain.analyse())));
    click(&mut window, "Show evidence");
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let id = window.state().session().selection.exchange.unwrap();
    let (exchange, root) = (analysis.exchange(id), analysis.exchange(analysis.trees.root(id)));
    assert!(root.settled() < exchange.started());
    let view = window.state().session().view.expect("a part of it");
    assert!(view.start < root.started() && exchange.settled() < view.end, "{view:?}");
}

#[test]
fn notes_have_a_flag_in_the_timeline() {
    let mut window = window();
    note(&mut window, "ticket 4411");
    window.get_by_label("Note: ticket 4411");
    let connection = window.state().session().selection.connection.unwrap();
    window.state_mut().edits.edit(|session| {
        session.annotations =
            vec![Annotation { target: Target::Connection(connection), text: "the old pod".into() }];
    });
    window.run_steps(3);
    window.get_by_label("Note: the old pod");
    // That of a moment stands where the cursor's time does not cover it, also where the cursor is.
    let at = window.state().session().selection.cursor.unwrap();
    window.state_mut().edits.edit(|session| {
        session.annotations = vec![Annotation { target: Target::Moment(at), text: "RST seen".into() }];
    });
    window.run_steps(3);
    let flag = window.get_by_label("Note: RST seen").rect();
    let rows = window.get_by_role_and_label(Role::Canvas, "Timeline").rect();
    assert!(rows.top() <= flag.top() && flag.bottom() < rows.bottom(), "{flag} on {rows}");
}

#[test]
fn the_fin_before_a_rejection_is_named_in_the_timeline() {
    let mut window = recorded();
    click(&mut window, FINDING_OF_SAMPLE);
    assert!(is_painted(&window, "FIN", "FIN") && is_painted(&window, "RST · POST", ""));
}

#[test]
fn local_time_is_that_of_the_axis_and_the_cursor_too() {
    let mut window = window();
    click(&mut window, FINDING);
    assert!(is_painted(&window, "12:00:0", " UTC"));
    press(&mut window, Key::U);
    assert!(is_painted(&window, "", " local") && !is_painted(&window, "12:00:0", " UTC"));
}

#[test]
fn all_lanes_are_in_sight_in_a_small_window() {
    for name in ["paas-502", "single-host"] {
        let mut window = window_of([1280.0, 772.0], None, None);
        window.state_mut().open(vec![sample().with_file_name(name)], false);
        window.run_steps(4);
        for _ in 0..2 {
            assert!(window.query_by_label("Scroll the timeline").is_none(), "{name}");
            press(&mut window, Key::F);
        }
    }
}

#[test]
fn the_selected_row_of_the_tree_is_in_sight() {
    let mut window = window_of([1280.0, 620.0], None, None);
    window.state_mut().open(vec![sample()], false);
    window.run_steps(4);
    click(&mut window, FINDING_OF_SAMPLE);
    window.run_steps(4);
    let row = window.get_by_label("ingress → uwsgi: ✖ rejected").rect();
    let (head, below) = (window.get_by_label("Tree").rect(), window.get_by_label("Exchanges").rect());
    assert!(head.bottom() < row.top() && row.bottom() < below.top(), "{row:?} in {head:?} to {below:?}");
}
