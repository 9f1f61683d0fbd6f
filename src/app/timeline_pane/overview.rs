//! The strip above the lanes: how much went on when, the window on it, the time axis and the cursor.

use egui::{
    Align2, FontId, Galley, Id, Mesh, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui,
    WidgetInfo,
};

use super::{Frame, TimelineAction, TimelineState, shapes};
use crate::capture::SessionTime;
use crate::session::{Target, TimeView};
use crate::timeline::{Axis, Minimap, Scale, duration};

/// What of the window is being dragged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grab {
    Left,
    Right,
    Whole,
}

/// How near to an edge of the window the pointer takes hold of it, in points.
const EDGE: f32 = 6.0;

/// The overview with its window, which can be dragged whole or by an edge.
pub(super) fn overview_ui(
    ui: &Ui,
    frame: &Frame<'_>,
    state: &mut TimelineState,
    actions: &mut Vec<TimelineAction>,
) {
    let palette = &frame.palette;
    let strip = frame.regions.plot(frame.regions.overview).shrink2(egui::vec2(0.0, 3.0));
    let painter = ui.painter_at(frame.regions.overview);
    // Captures run on before and after the traffic: the strip is for when there was some.
    let whole = frame.input.model.fit();
    let scale = Scale::new(whole, strip.left(), strip.width());
    painter.rect_filled(strip, 2.0, palette.background);
    let key = (frame.input.generation, strip.width() as usize / 2);
    if state.minimap.as_ref().is_none_or(|(known, _)| *known != key) {
        state.minimap = Some((key, Minimap::new(frame.input.model, key.1)));
    }
    if let Some((_, map)) = &state.minimap {
        density(&painter, frame, map, strip);
    }
    let window = Rect::from_x_y_ranges(
        scale.x_from_time(frame.scale.view.start)..=scale.x_from_time(frame.scale.view.end),
        strip.y_range(),
    );
    let window =
        Rect::from_center_size(window.center(), egui::vec2(window.width().max(4.0), window.height()));
    let window = window.translate(egui::vec2(
        (strip.left() - window.left()).max(0.0) - (window.right() - strip.right()).max(0.0),
        0.0,
    ));
    let window = window.intersect(strip.expand(1.0));
    painter.rect_stroke(window, 2.0, Stroke::new(1.6, palette.selection), StrokeKind::Inside);
    drag_window(ui, frame, state, actions, (strip, window, &scale));
    let left = frame.regions.overview.left() + 10.0;
    let span = duration(frame.scale.span_ns());
    let font = FontId::proportional(10.0);
    painter.text(
        Pos2::new(left, strip.top() + 9.0),
        Align2::LEFT_CENTER,
        format!("shows {span}"),
        font.clone(),
        palette.text,
    );
    let all = format!("of {}", duration(whole.end.since_ns(whole.start)));
    painter.text(Pos2::new(left, strip.top() + 22.0), Align2::LEFT_CENTER, all, font, palette.muted);
}

fn density(painter: &Painter, frame: &Frame<'_>, map: &Minimap, strip: Rect) {
    let palette = &frame.palette;
    let width = strip.width() / map.buckets.len() as f32;
    let mut mesh = Mesh::default();
    let mut marks = Vec::new();
    let mut last_cross = f32::NEG_INFINITY;
    let used = map.buckets.iter().filter(|bucket| bucket.count > 0).count();
    let failing = map.buckets.iter().filter(|bucket| bucket.failed + bucket.rejected > 0).count();
    // Where failures are everywhere, full stripes would hide how much went on: they hang from the top then.
    let many = failing * 4 > used;
    for (at, bucket) in map.buckets.iter().enumerate() {
        if bucket.count == 0 {
            continue;
        }
        let x = strip.left() + at as f32 * width;
        // The square root keeps quiet times visible beside busy ones.
        let share = (bucket.count as f32 / map.peak as f32).sqrt();
        let top = strip.bottom() - (strip.height() - 4.0) * share;
        let bar =
            Rect::from_min_max(Pos2::new(x, top), Pos2::new(x + (width - 0.5).max(1.0), strip.bottom()));
        mesh.add_colored_rect(bar, palette.answered.gamma_multiply(0.75));
        if bucket.failed + bucket.rejected > 0 {
            let share = (bucket.failed + bucket.rejected) as f32 / bucket.count as f32;
            let depth = if many { (strip.height() * share).max(7.0) } else { strip.height() };
            let stripe = Rect::from_x_y_ranges(x..=x + width.max(2.0), strip.top()..=strip.top() + depth);
            mesh.add_colored_rect(stripe, palette.failed);
        }
        if bucket.rejected > 0 && x - last_cross > 9.0 {
            last_cross = x;
            shapes::cross(
                &mut marks,
                Pos2::new(x + 1.0, strip.top() + 6.0),
                3.2,
                palette.failed,
                palette.background,
            );
        }
    }
    painter.add(mesh);
    painter.extend(marks);
}

fn drag_window(
    ui: &Ui,
    frame: &Frame<'_>,
    state: &mut TimelineState,
    actions: &mut Vec<TimelineAction>,
    (strip, window, scale): (Rect, Rect, &Scale),
) {
    let response = ui.interact(
        strip.expand2(egui::vec2(4.0, 0.0)),
        Id::unique("timeline overview"),
        Sense::click_and_drag(),
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Slider, true, "Overview: drag to move the view"));
    let limits = frame.input.model.limits();
    let view = frame.scale.view;
    let near = |x: f32, edge: f32| (x - edge).abs() <= EDGE;
    let Some(pointer) = response.interact_pointer_pos().or(response.hover_pos()) else {
        state.window_grab = None;
        return;
    };
    let on_edge =
        window.width() > 3.0 * EDGE && (near(pointer.x, window.left()) || near(pointer.x, window.right()));
    if on_edge || matches!(state.window_grab, Some(Grab::Left | Grab::Right)) {
        ui.set_cursor_icon(egui::CursorIcon::ResizeHorizontal);
    }
    if response.drag_started() {
        state.window_grab = Some(match () {
            () if on_edge && near(pointer.x, window.left()) => Grab::Left,
            () if on_edge => Grab::Right,
            () => Grab::Whole,
        });
    }
    let centred = |at: SessionTime| {
        let span = frame.scale.span_ns();
        let start = SessionTime(at.0.saturating_sub(span / 2));
        limits.clamp(TimeView { start, end: SessionTime(start.0.saturating_add(span)) })
    };
    let outside = !window.expand(EDGE).contains(pointer);
    let at = scale.time_from_x(pointer.x);
    if (response.clicked() || response.drag_started()) && outside {
        actions.push(TimelineAction::View(centred(at)));
    } else if response.dragged() {
        let least = 1_000;
        let next = match state.window_grab {
            Some(Grab::Left) => TimeView { start: SessionTime(at.0.min(view.end.0 - least)), ..view },
            Some(Grab::Right) => TimeView { end: SessionTime(at.0.max(view.start.0 + least)), ..view },
            _ => scale_moved(view, scale, response.drag_delta().x),
        };
        actions.push(TimelineAction::View(limits.clamp(next)));
    }
}

fn scale_moved(view: TimeView, scale: &Scale, dx: f32) -> TimeView {
    let by = (f64::from(dx) * scale.ns_per_px()) as i64;
    TimeView {
        start: SessionTime(view.start.0.saturating_add(by)),
        end: SessionTime(view.end.0.saturating_add(by)),
    }
}

/// The time axis.
pub(super) fn axis_ui(ui: &Ui, frame: &Frame<'_>) {
    let (palette, rect) = (&frame.palette, frame.regions.axis);
    let painter = ui.painter_at(rect);
    let axis = Axis::new(&frame.scale, 92.0, frame.input.zone);
    let font = FontId::monospace(10.5);
    let y = rect.center().y;
    painter.text(
        Pos2::new(rect.left() + 10.0, y),
        Align2::LEFT_CENTER,
        &axis.base,
        font.clone(),
        palette.text,
    );
    let cursor = cursor_time(&painter, frame);
    for tick in &axis.ticks {
        let x = frame.scale.x_from_time(tick.at).round();
        let label = painter.layout_no_wrap(tick.label.clone(), font.clone(), palette.muted);
        painter.vline(x, rect.bottom() - 8.0..=rect.bottom(), Stroke::new(1.0, palette.muted));
        let place = Rect::from_min_size(Pos2::new(x + 4.0, y - label.size().y / 2.0), label.size());
        // Half a label beside the cursor's would read as another time.
        if place.right() <= rect.right() && !cursor.as_ref().is_some_and(|(c, _)| c.intersects(place)) {
            painter.galley(place.min, label, palette.muted);
        }
    }
    painter.hline(rect.x_range(), rect.bottom() - 0.5, Stroke::new(1.0, palette.line));
}

/// The lines of the cursor and of the notes at moments, whose flags are painted above all else.
pub(super) fn cursor_ui(ui: &Ui, frame: &Frame<'_>) {
    let body = frame.regions.body;
    let area = Rect::from_min_max(frame.regions.axis.min, body.max);
    let painter = ui.painter_at(area);
    let palette = &frame.palette;
    let inside = |x: f32| x >= frame.scale.left - 1.0 && x <= body.right();
    for note in frame.input.annotations {
        let Target::Moment(at) = note.target else { continue };
        let x = frame.scale.x_from_time(at);
        if inside(x) {
            painter.vline(x, area.top()..=body.bottom(), Stroke::new(1.0, palette.note.gamma_multiply(0.6)));
        }
    }
    let Some(at) = frame.input.selection.cursor else { return };
    let x = frame.scale.x_from_time(at);
    if !inside(x) {
        return;
    }
    let line = [Pos2::new(x, body.top()), Pos2::new(x, body.bottom())];
    painter.extend(Shape::dashed_line(&line, Stroke::new(1.2, palette.path), 4.0, 3.0));
}

/// The cursor's time and where it stands: on the axis, as over the rows it would hide bars.
fn cursor_time(painter: &Painter, frame: &Frame<'_>) -> Option<(Rect, std::sync::Arc<Galley>)> {
    let axis = frame.regions.axis;
    let at = frame.input.selection.cursor?;
    let x = frame.scale.x_from_time(at);
    if !(frame.scale.left - 1.0..=axis.right()).contains(&x) {
        return None;
    }
    let label = painter.layout_no_wrap(
        frame.scale.moment(at, frame.input.zone),
        FontId::monospace(10.5),
        frame.palette.path,
    );
    let size = label.size() + egui::vec2(12.0, 5.0);
    let least = frame.scale.left + size.x / 2.0;
    let centre_x = x.clamp(least, (axis.right() - size.x / 2.0).max(least));
    Some((Rect::from_center_size(Pos2::new(centre_x, axis.center().y), size), label))
}

/// Paints the cursor's time.
pub(super) fn cursor_time_ui(ui: &Ui, frame: &Frame<'_>) {
    let palette = &frame.palette;
    let painter = ui.painter_at(frame.regions.axis);
    let Some((rect, label)) = cursor_time(&painter, frame) else { return };
    painter.rect(rect, 2.0, palette.panel, Stroke::new(1.0, palette.path), StrokeKind::Inside);
    painter.galley(rect.min + egui::vec2(6.0, 2.5), label, palette.path);
}
