//! Connections as lines from open to close, with their ports and the FINs and RSTs on them.

use egui::{Align2, FontId, Painter, Pos2, Shape, Stroke, vec2};

use super::Frame;
use super::bars::{Layers, RowView, TEXT_ROW, TEXTS};
use crate::capture::SessionTime;
use crate::tcp::Side;
use crate::timeline::{ConnectionSpan, EventTick, MarkKind, TickKind};

/// On lower rows the lines of connections would run into one grey field.
const LEAST_ROW: f32 = 3.0;

/// The connections of a row: a line from open to close, a circle where the SYN was seen, ticks for FIN and RST.
pub(super) fn tracks(painter: &Painter, frame: &Frame<'_>, layers: &mut Layers, view: &RowView<'_>) {
    if view.placed.height < LEAST_ROW {
        // That of the selected connection is never so low.
        return;
    }
    let (palette, scale, y) = (&frame.palette, &frame.scale, view.middle());
    let shown = scale.view;
    let (left, right) = (scale.left, scale.left + scale.width);
    let small = view.placed.height < TEXT_ROW;
    let connections = view.row.connections_in(shown.start.0, shown.end.0);
    let line = Stroke::new(
        if small { 1.0 } else { 1.4 },
        palette.muted.gamma_multiply(if view.placed.height < 6.0 { 0.25 } else { 0.55 }),
    );
    let mut reached = f32::NEG_INFINITY;
    layers.port_labels.clear();
    for connection in view.row.connections_apart(shown.start.0, shown.end.0, scale.ns_per_px() as i64) {
        let x0 = scale.x_from_time(SessionTime(connection.start)).clamp(left, right);
        let x1 = scale.x_from_time(SessionTime(connection.end)).clamp(left, right);
        // Lines closer than this would run into one grey field.
        // Of a selected exchange the bar tells it, and a bar without a filling would be struck through.
        let selection = frame.input.selection;
        let is_selected = selection.exchange.is_none() && selection.connection == Some(connection.id);
        if is_selected {
            layers.under.push(Shape::hline(x0..=x1.max(x0 + 1.0), y, Stroke::new(2.0, palette.selection)));
        } else {
            layers.under.push(Shape::hline(x0..=x1.max(x0 + 1.0), y, line));
        }
        if !small && x1 - x0 > WORD_ROOM {
            word_on_line(painter, frame, layers, connection, Pos2::new(x0.midpoint(x1), y));
        }
        let visible = connection.start >= shown.start.0;
        if connection.opened && visible && x1 - x0 > 12.0 && x0 - reached > 4.0 && !small {
            layers.under.push(Shape::circle_stroke(
                Pos2::new(x0 - 3.5, y),
                3.0,
                Stroke::new(1.4, palette.muted),
            ));
            let reached = reached.max(marks_reach(view, x0));
            port_label(painter, frame, layers, connection, connections.len(), (reached, x0 - 9.0, y));
        }
        reached = x1;
    }
    if !small {
        for tick in view.row.ticks_in(shown.start.0, shown.end.0).iter().take(400) {
            paint_tick(frame, layers, tick, y);
        }
        fin_words(painter, frame, layers, view, connections, y);
        row_label(painter, frame, layers, connections, y);
    }
}

/// The least length of a line that says what it carries.
const WORD_ROOM: f32 = 90.0;

/// What a connection carries in place of exchanges, in the middle of its line.
fn word_on_line(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    connection: &ConnectionSpan,
    at: Pos2,
) {
    let Some(word) = connection.carries.filter(|_| layers.texts < TEXTS) else { return };
    layers.texts += 1;
    let galley = painter.layout_no_wrap(word.to_owned(), FontId::proportional(10.0), frame.palette.muted);
    let rect = Align2::CENTER_CENTER.anchor_size(at, galley.size());
    layers.under.push(Shape::rect_filled(rect.expand2(vec2(4.0, 0.0)), 0.0, frame.palette.panel));
    layers.under.push(Shape::galley(rect.min, galley, frame.palette.muted));
}

/// How far the marks before a pixel, with the shortest words behind a cross, take the row's room.
fn marks_reach(view: &RowView<'_>, x: f32) -> f32 {
    let marks = &view.layout.marks;
    let before = marks.partition_point(|mark| mark.x <= x);
    let last = marks.get(before.saturating_sub(3)..before).unwrap_or_default();
    let reach = last.iter().map(|mark| mark.x + if mark.kind == MarkKind::Rejected { 46.0 } else { 17.0 });
    reach.fold(f32::NEG_INFINITY, f32::max)
}

fn row_label(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    connections: &[ConnectionSpan],
    y: f32,
) {
    let words = match connections {
        [] => return,
        [one] => format!(":{}", one.port),
        many => format!("{} conn.", many.len()),
    };
    let at = Pos2::new(frame.scale.left - 8.0, y);
    let font = FontId::monospace(10.0);
    let galley = painter.layout_no_wrap(words, font, frame.palette.muted);
    let rect = Align2::RIGHT_CENTER.anchor_size(at, galley.size());
    layers.under.push(Shape::galley(rect.min, galley, frame.palette.muted));
}

/// The client's port left of the circle, where a row holds several connections and there is room.
fn port_label(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    connection: &ConnectionSpan,
    count: usize,
    (reached, right, y): (f32, f32, f32),
) {
    let free = right - reached.max(frame.scale.left);
    if count > 1 && free > 44.0 && layers.texts < TEXTS {
        layers.texts += 1;
        let words = format!(":{}", connection.port);
        let galley = painter.layout_no_wrap(words, FontId::monospace(9.0), frame.palette.muted);
        let rect = Align2::RIGHT_CENTER.anchor_size(Pos2::new(right, y), galley.size());
        layers.port_labels.push(rect.left());
        layers.under.push(Shape::galley(rect.min, galley, frame.palette.muted));
    }
}

/// `FIN` beside the ticks of the selected request's connections, where nothing else stands: that a connection was being
/// closed as it was used again is what a rejection is about.
fn fin_words(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    view: &RowView<'_>,
    connections: &[ConnectionSpan],
    y: f32,
) {
    let row = (view.place.link, view.place.row);
    if !frame.lit_starts.iter().any(|&(link, lit, _)| (link, lit) == row) {
        return;
    }
    let of = &frame.input.analysis.topology.connection_of;
    let mut lit: Vec<_> = frame.lit.iter().filter_map(|id| of.get(id.0 as usize)).collect();
    lit.sort_unstable();
    lit.dedup();
    let shown = frame.scale.view;
    let galley = painter.layout_no_wrap("FIN".to_owned(), FontId::proportional(9.5), frame.palette.muted);
    let need = galley.size().x + 9.0;
    let x_of = |tick: &EventTick| frame.scale.x_from_time(SessionTime(tick.at));
    for connection in lit.iter().filter_map(|own| connections.iter().find(|c| c.id == **own)) {
        let ticks = view.row.ticks_in(connection.start.max(shown.start.0), connection.end.min(shown.end.0));
        for tick in ticks.iter().filter(|tick| matches!(tick.kind, TickKind::Fin(_))) {
            let x = x_of(tick);
            let others = || ticks.iter().filter(|other| other.at != tick.at).map(x_of);
            let ends = view.layout.items.iter().map(|item| item.x1).filter(|end| *end <= x + 1.0);
            let begins = view.layout.items.iter().map(|item| item.x0).filter(|begin| *begin >= x - 1.0);
            let before = ends.chain(others().filter(|other| *other < x)).fold(frame.scale.left, f32::max);
            let right = frame.scale.left + frame.scale.width;
            let after = begins.chain(others().filter(|other| *other > x)).fold(right, f32::min);
            let left = match () {
                () if x - before > need => x - need + 4.0,
                () if after - x > need => x + 5.0,
                () => continue,
            };
            let at = Pos2::new(left, y - galley.size().y / 2.0);
            let ground = egui::Rect::from_min_size(at, galley.size()).expand2(vec2(2.0, -1.0));
            layers.under.push(Shape::rect_filled(ground, 0.0, frame.palette.panel));
            layers.under.push(Shape::galley(at, galley.clone(), frame.palette.muted));
        }
    }
}

fn paint_tick(frame: &Frame<'_>, layers: &mut Layers, tick: &EventTick, y: f32) {
    let x = frame.scale.x_from_time(SessionTime(tick.at));
    let (colour, half) = match tick.kind {
        TickKind::Fin(Side::Server) => (frame.palette.muted, 5.5),
        TickKind::Fin(Side::Client) => (frame.palette.muted, 3.5),
        TickKind::Rst(_) => (frame.palette.failed, 6.5),
    };
    layers.under.push(Shape::vline(x, y - half..=y + half, Stroke::new(1.4, colour)));
}
