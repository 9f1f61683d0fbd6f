//! The clock table, and what is ambiguous, in the window.

use super::*;
use crate::capture::{CaptureId, CaptureTime};
use crate::correlate::Confidence;
use crate::topology::{ClockMethod, ClockStep, ExchangeId};

fn type_offset(window: &mut Window, text: &str) {
    let name = "Manual offset of nginx.pcap";
    window.get_by_role_and_label(Role::TextInput, name).focus();
    window.run_steps(2);
    window.get_by_role_and_label(Role::TextInput, name).type_text(text);
    window.run_steps(2);
    press(window, Key::Enter);
    window.run_steps(3);
}

#[test]
fn a_manual_clock_offset_is_added_and_shown() {
    let mut window = recorded();
    let offset =
        |window: &Window| window.state().document.as_ref().unwrap().analysis.topology.clocks[1].offset_ns;
    let before = offset(&window);
    press(&mut window, Key::L);
    window.get_by_role_and_label(Role::TextInput, "Manual offset of nginx.pcap").focus();
    window.run_steps(2);
    window.get_by_role_and_label(Role::TextInput, "Manual offset of nginx.pcap").type_text("1.5 s");
    window.run_steps(2);
    press(&mut window, Key::Enter);
    window.run_steps(3);
    assert_eq!(offset(&window), before + 1_500_000_000);
    press(&mut window, Key::Escape);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.run_steps(4);
    assert_eq!(offset(&window), before);
}

#[test]
fn what_is_no_offset_is_refused_with_words_and_the_old_one_kept() {
    let mut window = recorded();
    press(&mut window, Key::L);
    type_offset(&mut window, "abc");
    window.get_by_label_contains("\"abc\" is no offset of nginx.pcap; kept: none.");
    assert_eq!(window.state().session().overrides.clock_ns, []);
    type_offset(&mut window, "2 s");
    assert!(window.query_by_label_contains("is no offset").is_none());
    assert_eq!(window.state().session().overrides.clock_ns, [(1, 2_000_000_000)]);
    type_offset(&mut window, "x");
    window.get_by_label_contains("kept: +2,000 ms");
    assert_eq!(window.state().session().overrides.clock_ns, [(1, 2_000_000_000)]);
}

#[test]
fn computed_manual_and_total_are_shown_to_the_nanosecond_with_band_drift_and_step() {
    let mut analysis = recorded().state().document.as_ref().unwrap().analysis.as_ref().clone();
    let first = analysis.capture(CaptureId(1)).info.first.unwrap();
    let clock = &mut analysis.topology.clocks[1];
    (clock.computed_ns, clock.manual_ns) = (-86_400_000_000_532, 1);
    clock.offset_ns = clock.computed_ns + clock.manual_ns;
    (clock.band_ns, clock.method, clock.compared) = (Some(2_731), ClockMethod::SameSegment, 812);
    (clock.compared_in, clock.drift_ppb, clock.outside_ppb) = (None, 50_200, 1_300);
    clock.pivot = first;
    clock.steps[0] =
        Some(ClockStep { at: CaptureTime(first.0 + 1_000_000), by_ns: -5_000_000, ..ClockStep::default() });
    let mut window = window_with(None, Some(Document::new(analysis)));
    window.state_mut().edits.edit(|session| session.overrides.clock_ns = vec![(1, 1)]);
    press(&mut window, Key::L);
    for words in ["−86,400.000000532 s", "−86,400.000000531 s", "± 2.74 µs", "same segments"] {
        assert!(window.query_all_by_label(words).count() > 0, "{words}");
    }
    for words in ["loses 50.2 ± 1.3 µs a second", "set by +5 ms", " as one number"] {
        assert!(window.query_by_label_contains(words).is_some(), "{words}");
    }
    assert!(window.query_all_by_label("steady").count() > 0);
}

#[test]
fn the_board_says_how_many_requests_are_ambiguous_and_leads_to_them() {
    let mut analysis = fixture::analysis();
    let ids = (0..analysis.topology.exchanges.len() as u32).map(ExchangeId);
    let child = ids.into_iter().find(|&id| analysis.trees.parent(id).is_some()).unwrap();
    analysis.trees.parents[child.0 as usize].as_mut().unwrap().confidence = Confidence::Ambiguous;
    let link = analysis.exchange(child).link_id();
    analysis.diagnosis = crate::diagnose::build(&analysis);
    let requests = analysis.diagnosis.board.links[usize::from(link.0)].requests;
    let name = analysis.link_name(link);
    let mut window = window_with(None, Some(Document::new(analysis)));
    click(&mut window, &format!("{name}: 1 of {requests} requests is ambiguous"));
    let filter = window.state().session().filter.clone();
    assert!(filter.ends_with(" confidence:ambiguous"), "{filter}");
    let analysis = &window.state().document.as_ref().unwrap().analysis;
    assert_eq!(crate::app::filter::Filter::parse(&filter).unwrap().apply(analysis), [child.0]);
}

#[test]
fn a_lane_that_cannot_be_merged_says_why() {
    let mut window = recorded();
    press(&mut window, Key::L);
    click(&mut window, "Edit lane nginx");
    window.get_by_label("Merge into uwsgi").hover();
    window.run_steps(8);
    window.get_by_label("requests of nginx lead to uwsgi: they are two hops, and no replicas of one");
}

#[test]
fn an_offset_by_hand_that_the_traffic_rules_out_is_said_to_be() {
    let mut window = recorded();
    press(&mut window, Key::L);
    let words = "nginx.pcap: +2,000 ms by hand is outside what the traffic allows";
    assert!(window.query_by_label_contains(words).is_none());
    type_offset(&mut window, "2 s");
    assert!(window.query_by_label_contains(words).is_some());
    // The band beside it is that of the capture's ends.
    assert!(window.query_by_label_contains("µs where it was compared)").is_some());
    press(&mut window, Key::Escape);
    click(&mut window, FINDING_OF_SAMPLE);
    let analysis = window.state().document.as_ref().unwrap().analysis.clone();
    // Of a request whose bars stand apart by two seconds it is not said that one runs inside the other.
    let moved = |id: &ExchangeId| {
        let parent = analysis.trees.parent(*id).filter(|p| p.evidence.names().contains(&"containment"));
        parent.is_some_and(|p| {
            let start = |id| analysis.exchange(id).started();
            start(*id).since_ns(start(p.parent)).abs() > 1_000_000_000
        })
    };
    let mut all = (0..analysis.topology.exchanges.len() as u32).map(ExchangeId);
    if let Some(id) = all.find(moved) {
        window.state_mut().apply(&egui::Context::default(), vec![Action::SelectExchange(id)]);
        window.run_steps(3);
        window.get_by_label_contains("though not by the offset given by hand");
    }
}

#[test]
fn of_a_clock_that_nothing_was_compared_with_it_is_not_said_that_it_went_evenly() {
    let mut analysis = recorded().state().document.as_ref().unwrap().analysis.as_ref().clone();
    for clock in &mut analysis.topology.clocks {
        *clock = crate::topology::Clock::default();
    }
    let mut window = window_with(None, Some(Document::new(analysis)));
    press(&mut window, Key::L);
    assert_eq!(window.query_all_by_label("steady").count(), 0);
    assert_eq!(window.query_all_by_label("not known").count(), 3);
}

#[test]
fn the_table_marks_what_is_ambiguous() {
    let mut analysis = fixture::analysis();
    let ids = (0..analysis.topology.exchanges.len() as u32).map(ExchangeId);
    let child = ids.into_iter().find(|&id| analysis.trees.parent(id).is_some()).unwrap();
    analysis.trees.parents[child.0 as usize].as_mut().unwrap().confidence = Confidence::Ambiguous;
    let mut window = window_with(None, Some(Document::new(analysis)));
    window.state_mut().apply(&egui::Context::default(), vec![Action::SelectExchange(child)]);
    window.run_steps(3);
    window.get_by_label("ambiguous").hover();
    window.run_steps(8);
    let words = "Ambiguous: another request fits as well, and nothing tells them apart";
    assert!(window.query_all_by_label_contains(words).count() > 1, "in the tree and in the tooltip");
}

#[test]
fn of_replicas_it_is_said_which_one_was_not_captured() {
    let mut analysis = recorded().state().document.as_ref().unwrap().analysis.as_ref().clone();
    let at = analysis.topology.lanes.iter().position(|lane| lane.name == "nginx").unwrap();
    analysis.topology.lanes[at].serves.push("10.88.9.9:80".parse().unwrap());
    let mut window = window_with(None, Some(Document::new(analysis)));
    press(&mut window, Key::L);
    window.get_by_label("captured in nginx.pcap, but not 10.88.9.9");
}

#[test]
fn a_clock_that_is_less_sure_at_its_ends_is_no_warning() {
    let mut window = recorded();
    press(&mut window, Key::L);
    let palette = crate::app::Palette::of(&window.ctx);
    let colours = window.output().shapes.iter().filter_map(|clipped| match &clipped.shape {
        egui::Shape::Text(text) if text.galley.text() == "less sure at its ends" => {
            Some(text.galley.job.sections[0].format.color)
        }
        _ => None,
    });
    assert_eq!(colours.collect::<Vec<_>>(), [palette.muted; 2]);
}

#[test]
fn where_a_capture_was_taken_is_brought_into_the_analysis() {
    let mut window = recorded();
    let generation = |window: &Window| window.state().document.as_ref().unwrap().generation;
    let before = generation(&window);
    let edit = crate::app::chain::ChainEdit::TakenAt {
        capture: CaptureId(0),
        lane: Some(crate::topology::LaneId(0)),
    };
    window.state_mut().apply(&egui::Context::default(), vec![Action::EditChain(edit)]);
    window.run_steps(4);
    assert_ne!(generation(&window), before, "clocks and words about what was captured rest on it");
    let state = window.state();
    assert_eq!((state.analysed.taken_at.len(), &state.analysed), (1, &state.session().overrides));
}
