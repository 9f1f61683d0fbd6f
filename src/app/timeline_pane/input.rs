//! Wheel, drag and clicks on the timeline's body.

use egui::{Id, PointerButton, Pos2, Rect, Response, Role, Sense, Ui, WidgetInfo};

use super::arrange::{Arrangement, Entry};
use super::bars::Shown;
use super::{Frame, TimelineAction, TimelineState};
use crate::capture::SessionTime;
use crate::timeline::{Place, hit};

/// Wheel travel, in points, that doubles or halves the view.
const POINTS_PER_DOUBLING: f64 = 160.0;

/// The body's own response, below those of the bars; applies wheel and drag.
pub(super) fn canvas(
    ui: &Ui,
    frame: &Frame<'_>,
    state: &mut TimelineState,
    actions: &mut Vec<TimelineAction>,
) -> Response {
    let response = ui.interact(frame.regions.body, Id::unique("timeline body"), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::Canvas, true, "Timeline"));
    let limits = frame.input.model.limits();
    if response.dragged_by(PointerButton::Primary) || response.dragged_by(PointerButton::Middle) {
        let delta = response.drag_delta();
        state.scroll -= delta.y;
        if delta.x != 0.0 {
            actions.push(TimelineAction::View(frame.scale.panned(delta.x, limits)));
        }
    }
    let over = frame.regions.body.union(frame.regions.overview);
    let Some(pointer) = ui.input(|i| i.pointer.hover_pos()).filter(|&p| over.contains(p)) else {
        return response;
    };
    if !ui.rect_contains_pointer(over) {
        return response;
    }
    let (scroll, zoom, alt) = ui.input(|i| (i.smooth_scroll_delta(), i.zoom_delta(), i.modifiers.alt));
    if alt || pointer.x < frame.scale.left {
        state.scroll -= scroll.y;
    } else if scroll.y != 0.0 || zoom != 1.0 {
        let factor = f64::from(zoom) * (f64::from(scroll.y) / POINTS_PER_DOUBLING).exp2();
        actions.push(TimelineAction::View(frame.scale.zoomed(pointer.x, factor, limits)));
    }
    if scroll.x != 0.0 {
        actions.push(TimelineAction::View(frame.scale.panned(scroll.x, limits)));
    }
    response
}

/// Clicks beside all bars: the cursor, a connection's label, a note, everything.
pub(super) fn empty_clicks(
    response: &Response,
    frame: &Frame<'_>,
    shown: &Shown,
    state: &TimelineState,
    arrangement: &Arrangement,
    actions: &mut Vec<TimelineAction>,
) {
    let Some(at) = response.interact_pointer_pos().filter(|_| !shown.clicked) else { return };
    let time = frame.scale.time_from_x(at.x);
    let in_plot = at.x >= frame.scale.left;
    if response.double_clicked() {
        actions.push(TimelineAction::Fit);
    } else if response.clicked() {
        let row = arrangement.at(at.y - frame.regions.body.top() + state.scroll).map(|e| e.entry);
        actions.extend(match row {
            Some(Entry::Row(place)) if in_plot => Some(narrow_bar(frame, state, place, at.x, time)),
            Some(Entry::Row(place)) => labelled_connection(frame, place),
            _ => in_plot.then_some(TimelineAction::Cursor(time)),
        });
    }
    if response.secondary_clicked() && at.x >= frame.scale.left {
        actions.push(TimelineAction::AnnotateMoment(time));
    }
}

/// A click near a bar too narrow for a node of its own selects it; on free ground it puts the cursor.
fn narrow_bar(
    frame: &Frame<'_>,
    state: &TimelineState,
    place: Place,
    x: f32,
    time: SessionTime,
) -> TimelineAction {
    // On a low row nobody can aim at a single bar.
    let layout = state.layouts.as_ref().and_then(|(_, rows)| rows.get(&(place.link, place.row, false)));
    let item = layout.and_then(|l| hit(&l.items, x, 3.0)).filter(|i| i.is_single());
    let span = item.and_then(|i| frame.input.model.row(place)?.spans.get(i.first));
    span.map_or(TimelineAction::Cursor(time), |s| TimelineAction::Select(s.exchange))
}

/// A click on a row's label selects its connection, when only one is in view.
fn labelled_connection(frame: &Frame<'_>, place: Place) -> Option<TimelineAction> {
    let view = frame.scale.view;
    let row = frame.input.model.row(place)?;
    match row.connections_in(view.start.0, view.end.0) {
        [one] => Some(TimelineAction::SelectConnection(one.id)),
        _ => None,
    }
}

/// The scroll bar on the right, there only when something lies below or above.
pub(super) fn scroll_bar_ui(
    ui: &Ui,
    frame: &Frame<'_>,
    state: &mut TimelineState,
    arrangement: &Arrangement,
) {
    let (bar, page) = (frame.regions.bar, frame.regions.body.height());
    if arrangement.height <= page + 0.5 {
        return;
    }
    let response = ui.interact(bar, Id::unique("timeline scroll bar"), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::ScrollBar, true, "Scroll the timeline"));
    let per_point = arrangement.height / bar.height();
    let handle_height = (page / per_point).max(24.0);
    let travel = (bar.height() - handle_height).max(1.0);
    let room = arrangement.height - page;
    if response.drag_started() || response.clicked() {
        state.bar_grab = response.interact_pointer_pos().map(|p| p.y);
        if let Some(p) = response.interact_pointer_pos() {
            state.scroll = ((p.y - bar.top() - handle_height / 2.0) / travel * room).clamp(0.0, room);
        }
    } else if response.dragged() {
        state.scroll = (state.scroll + response.drag_delta().y / travel * room).clamp(0.0, room);
    }
    let top = bar.top() + state.scroll / room * travel;
    let handle = Rect::from_min_max(
        Pos2::new(bar.left() + 3.0, top),
        Pos2::new(bar.right() - 1.0, top + handle_height),
    );
    let strong = response.hovered() || response.dragged();
    let colour = if strong { frame.palette.muted } else { frame.palette.line };
    ui.painter().rect_filled(handle, 3.0, colour);
}
