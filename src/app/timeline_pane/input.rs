//! Wheel, drag and clicks on the timeline's body.

use egui::{Id, PointerButton, Pos2, Rect, Response, Role, Sense, Ui, WidgetInfo};

use super::arrange::{Arrangement, Entry};
use super::bars::Shown;
use super::{Frame, TimelineAction, TimelineState};

/// Wheel travel, in points, that doubles or halves the view.
const POINTS_PER_DOUBLING: f64 = 160.0;

/// The body's own response, below those of the bars; applies wheel and drag.
pub(super) fn canvas(
    ui: &Ui,
    frame: &Frame<'_>,
    state: &mut TimelineState,
    arrangement: &Arrangement,
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
        let before = arrangement.at(pointer.y - frame.regions.body.top() + state.scroll);
        if before.is_some_and(|e| !matches!(e.entry, Entry::Row(_))) {
            // Bands keep their order; only rows come and go with the view.
        }
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
    actions: &mut Vec<TimelineAction>,
) {
    let Some(at) = response.interact_pointer_pos().filter(|_| !shown.clicked) else { return };
    let time = frame.scale.time_from_x(at.x);
    if response.double_clicked() {
        actions.push(TimelineAction::Fit);
    } else if response.clicked() && at.x >= frame.scale.left {
        actions.push(TimelineAction::Cursor(time));
    }
    if response.secondary_clicked() && at.x >= frame.scale.left {
        actions.push(TimelineAction::AnnotateMoment(time));
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
