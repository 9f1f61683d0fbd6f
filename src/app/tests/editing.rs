//! Lanes edited by hand: by dragging, faster than they are analysed, and while files are read.

use super::*;
use crate::app::chain::ChainEdit;
use crate::app::pending::Pending;
use crate::topology::LaneId;

fn lanes(window: &Window) -> Vec<String> {
    let document = window.state().document.as_ref().unwrap();
    document.analysis.topology.lanes.iter().map(|lane| lane.name.clone()).collect()
}

fn apply(window: &mut Window, actions: Vec<Action>) {
    window.state_mut().apply(&egui::Context::default(), actions);
}

#[test]
fn an_edit_made_before_the_last_one_is_analysed_goes_on_from_it() {
    let mut window = recorded();
    assert_eq!(lanes(&window), ["user", "nginx", "ingress", "uwsgi"]);
    let rename = ChainEdit::Rename { lane: LaneId(3), name: "app".into() };
    let to_the_top = ChainEdit::Move { lane: LaneId(3), to: 0 };
    let second = ChainEdit::Move { lane: LaneId(3), to: 1 };
    apply(&mut window, [rename, to_the_top, second].map(Action::EditChain).into());
    window.run_steps(4);
    assert_eq!(lanes(&window), ["app", "ingress", "user", "nginx"]);
    assert!(window.state().pending.is_none());
}

#[test]
fn a_lane_stands_where_it_was_dropped_while_the_analysis_is_under_way() {
    let mut window = recorded();
    press(&mut window, Key::L);
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    let edit = ChainEdit::Move { lane: LaneId(3), to: 0 };
    let overrides =
        crate::app::chain::edited(&Default::default(), &analysis.topology, &edit).expect("it can be moved");
    window.state_mut().pending = Pending::after(None, &analysis.topology, &edit, &overrides);
    window.run_steps(3);
    window.get_by_label("analysing again with this");
    let top = |name: &str| window.get_by_label(&format!("Drag lane {name}")).rect().top();
    assert!(top("uwsgi") < top("user") && top("user") < top("nginx"));
    // And what goes with a lane goes along.
    let words = window.get_by_label("captured in uwsgi.pcap").rect();
    assert!((words.top() - top("uwsgi")).abs() < 12.0);
}

#[test]
fn an_edit_made_while_files_are_read_does_not_drop_them() {
    let mut window = recorded();
    let before = window.state().document.as_ref().unwrap().analysis.captures.len();
    let more = sample().with_file_name("single-host");
    let rename = ChainEdit::Rename { lane: LaneId(3), name: "app".into() };
    apply(&mut window, vec![Action::Open { paths: vec![more], add: true }, Action::EditChain(rename)]);
    window.run_steps(4);
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    assert_eq!(analysis.captures.len(), before + 1);
    assert!(lanes(&window).contains(&"app".to_owned()), "{:?}", lanes(&window));
}

#[test]
fn an_edit_made_while_nothing_could_be_read_is_made_all_the_same() {
    let mut window = recorded();
    let gone = sample().with_file_name("no-such-folder");
    let rename = ChainEdit::Rename { lane: LaneId(3), name: "app".into() };
    apply(&mut window, vec![Action::Open { paths: vec![gone], add: true }, Action::EditChain(rename)]);
    window.run_steps(4);
    assert_eq!(lanes(&window)[3], "app");
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
fn undo_and_redo_can_be_clicked_only_where_there_is_something_to_undo() {
    let mut window = recorded();
    press(&mut window, Key::L);
    let can = |window: &Window| {
        ["Undo", "Redo"].map(|label| !window.get_by_label(label).accesskit_node().is_disabled())
    };
    assert_eq!(can(&window), [false, false]);
    click(&mut window, "Edit lane ingress");
    click(&mut window, "Move up");
    window.run_steps(3);
    assert_eq!(can(&window), [true, false]);
    click(&mut window, "Undo");
    window.run_steps(3);
    assert_eq!(can(&window), [false, true]);
}

#[test]
fn a_capture_put_at_a_lane_of_which_it_holds_nothing_is_warned_of() {
    let mut window = recorded();
    press(&mut window, Key::L);
    let words = "nginx.pcap is said to have been taken at uwsgi, but holds no connection from or to it";
    assert!(window.query_by_label_contains(words).is_none());
    let edit = ChainEdit::TakenAt { capture: crate::capture::CaptureId(1), lane: Some(LaneId(3)) };
    apply(&mut window, vec![Action::EditChain(edit)]);
    window.run_steps(4);
    let path = sample().join("nginx.pcap");
    window.get_by_label_contains(&format!("⚠ {} is said to have been taken at uwsgi", path.display()));
    // And without the editor, in a line above the panes.
    press(&mut window, Key::Escape);
    assert!(window.query_by_label_contains(words).is_some());
}
