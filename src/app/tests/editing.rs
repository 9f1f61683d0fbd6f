//! Lanes edited faster than they are analysed, and while files are read.

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
