//! The pane driven as a user would: by what bars and marks are called.

use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};

use super::*;
use crate::timeline::sample;

struct Stage {
    analysis: Analysis,
    model: Model,
    view: Option<TimeView>,
    selection: Selection,
    filter: Option<Vec<bool>>,
    state: TimelineState,
    actions: Vec<TimelineAction>,
}

fn stage(requests: usize, every: usize) -> Stage {
    let analysis = sample::analysis(requests, every);
    let model = Model::new(&analysis);
    let (view, selection, state) = (None, Selection::default(), TimelineState::default());
    Stage { analysis, model, view, selection, filter: None, state, actions: vec![] }
}

fn harness(stage: Stage) -> Harness<'static, Stage> {
    harness_of([900.0, 600.0], stage)
}

fn harness_of(size: [f32; 2], stage: Stage) -> Harness<'static, Stage> {
    Harness::builder()
        .with_size(size)
        .with_context_setup(|ctx| {
            let mut fonts = egui::FontDefinitions::default();
            fonts.families.get_mut(&egui::FontFamily::Proportional).unwrap().push("Hack".into());
            ctx.set_fonts(fonts);
        })
        .build_ui_state(
            |ui, stage: &mut Stage| {
                let input = TimelineInput {
                    generation: 1,
                    analysis: &stage.analysis,
                    model: &stage.model,
                    view: stage.view,
                    selection: &stage.selection,
                    filter: stage.filter.as_deref(),
                    filter_generation: 0,
                    annotations: &[],
                    zone: Zone { zone: &jiff::tz::TimeZone::UTC, name: "UTC" },
                };
                for action in timeline_ui(ui, input, &mut stage.state) {
                    match action {
                        TimelineAction::View(view) => stage.view = Some(view),
                        TimelineAction::Select(id) => stage.selection.exchange = Some(id),
                        _ => {}
                    }
                    stage.actions.push(action);
                }
            },
            stage,
        )
}

fn labels(harness: &Harness<'_, Stage>) -> Vec<String> {
    let nodes = harness.root().children_recursive();
    nodes.filter_map(|n| n.accesskit_node().label()).map(|l| l.as_str().to_owned()).collect()
}

/// The view of the first rejected exchange.
fn near_rejection(stage: &Stage) -> (ExchangeId, TimeView) {
    let id = stage.analysis.diagnosis.rejections[0].exchange;
    let at = stage.analysis.exchange(id).started().0;
    (id, TimeView { start: SessionTime(at - 10_000_000), end: SessionTime(at + 10_000_000) })
}

#[test]
fn a_click_on_a_bar_selects_its_exchange() {
    let mut stage = stage(40, 10);
    let (id, view) = near_rejection(&stage);
    stage.view = Some(view);
    let mut harness = harness(stage);
    harness.run_steps(2);
    let words = labels(&harness).into_iter().find(|l| l.ends_with("rejected")).expect("a rejected bar");
    assert!(words.starts_with("ingress → uwsgi request 2"), "{words}");
    harness.get_by_label(&words).click();
    harness.run_steps(2);
    assert_eq!(harness.state().actions.first(), Some(&TimelineAction::Select(id)));
}

#[test]
fn a_rejected_request_is_named_however_far_the_view_is_zoomed_out() {
    let mut harness = harness(stage(4_000, 1_000));
    harness.run_steps(2);
    let named = labels(&harness).iter().filter(|l| l.contains("rejected")).count();
    assert!(named > 0, "{:?}", labels(&harness));
}

#[test]
fn a_selected_request_out_of_view_is_brought_into_view() {
    let mut stage = stage(200, 50);
    let (id, view) = near_rejection(&stage);
    stage.view = Some(TimeView {
        start: SessionTime(view.end.0 + 100_000_000),
        end: SessionTime(view.end.0 + 120_000_000),
    });
    stage.selection.exchange = Some(id);
    let mut harness = harness(stage);
    harness.run_steps(3);
    let shown = harness.state().view.unwrap();
    let at = harness.state().analysis.exchange(id).started();
    assert!(shown.start <= at && at <= shown.end);
}

#[test]
fn the_wheel_zooms_at_the_pointer() {
    let mut harness = harness(stage(40, 10));
    harness.run_steps(1);
    harness.hover_at(egui::pos2(400.0, 300.0));
    harness.run_steps(1);
    harness.event(egui::Event::MouseWheel {
        unit: egui::MouseWheelUnit::Point,
        delta: egui::vec2(0.0, 160.0),
        phase: egui::TouchPhase::Move,
        source: egui::MouseWheelSource::Wheel,
        modifiers: egui::Modifiers::NONE,
    });
    harness.run_steps(6);
    let fit = harness.state().model.limits().span_ns();
    let view = harness.state().view.expect("the view has changed");
    assert!(view.end.since_ns(view.start) < fit * 3 / 4, "{view:?}");
}

#[test]
fn a_pane_without_captures_or_room_draws_nothing_and_does_not_fail() {
    let mut empty = stage(1, 10);
    empty.analysis = Analysis::default();
    empty.model = Model::default();
    empty.selection.exchange = Some(ExchangeId(7));
    let mut harness = harness(empty);
    harness.run_steps(2);
    harness.set_size(egui::vec2(30.0, 10.0));
    harness.run_steps(2);
}

#[test]
fn rows_of_other_requests_can_be_hidden() {
    let mut stage = stage(40, 10);
    stage.selection.exchange = Some(stage.analysis.diagnosis.rejections[0].exchange);
    let mut harness = harness(stage);
    harness.run_steps(2);
    let before = labels(&harness).len();
    harness.get_by_label("Rows: request's").click();
    harness.run_steps(3);
    assert!(labels(&harness).len() < before);
}

#[test]
fn a_row_that_has_room_for_text_has_a_bar_that_has() {
    for row in [bars::TEXT_ROW, 17.0, 19.0, 21.0, 23.0] {
        let bar = 2.0 * bars::half_bar(row);
        assert!(bar >= fills::TEXT && bar < row, "{bar} on {row}");
    }
}

/// Clicks in the middle of a node, whatever lies there beside it.
fn click_at(harness: &mut Harness<'_, Stage>, at: Pos2) {
    harness.hover_at(at);
    harness.run_steps(1);
    harness.drag_at(at);
    harness.run_steps(1);
    harness.drop_at(at);
    harness.run_steps(2);
}

#[test]
fn every_mark_of_a_failure_selects_its_own_exchange_however_far_the_view_is_zoomed_out() {
    for view in [false, true] {
        let mut stage = stage(200, 20);
        stage.view = view.then(|| near_rejection(&stage).1);
        let mut harness = harness(stage);
        harness.run_steps(2);
        let marks: Vec<Pos2> = harness
            .query_all_by_label_contains("Mark: rejected request")
            .map(|node| node.rect().center())
            .collect();
        assert!(marks.len() > 1, "in the lane's band and on the row");
        for at in marks {
            harness.state_mut().selection = Selection::default();
            harness.state_mut().actions.clear();
            harness.run_steps(2);
            click_at(&mut harness, at);
            let stage = harness.state();
            let Some(TimelineAction::Select(id)) = stage.actions.first() else {
                panic!("{at:?}: {:?}", stage.actions)
            };
            assert!(stage.analysis.exchange(*id).rejection().is_some(), "{at:?}");
        }
    }
}

/// Whether a bar is filled with the full colour of an answer.
fn has_bright_answer(harness: &Harness<'_, Stage>) -> bool {
    let bright = Palette::of(&harness.ctx).answered;
    harness.output().shapes.iter().any(|clipped| match &clipped.shape {
        egui::Shape::Mesh(mesh) => mesh.vertices.iter().any(|vertex| vertex.color == bright),
        _ => false,
    })
}

#[test]
fn a_filter_never_dims_the_selected_request() {
    // Wide enough apart to be single bars, and so near each other that they are merged.
    for (requests, width) in [(10, 900.0), (3_000, 180.0)] {
        let mut stage = stage(requests, 10);
        stage.filter = Some(vec![false; stage.analysis.topology.exchanges.len()]);
        let middle = stage.analysis.topology.exchanges.len() / 2;
        let answered = stage.analysis.exchanges().skip(middle).find(|x| x.status() == Some(200)).unwrap().id;
        let mut harness = harness_of([width, 600.0], stage);
        harness.run_steps(2);
        assert!(!has_bright_answer(&harness), "nothing passes the filter");
        harness.state_mut().selection.exchange = Some(answered);
        harness.run_steps(2);
        assert!(has_bright_answer(&harness), "{requests} requests");
    }
}
