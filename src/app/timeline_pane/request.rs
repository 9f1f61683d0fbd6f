//! The selected request across the hops: lines from parent to child, arrows from attempt to attempt.

use egui::epaint::CubicBezierShape;
use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Shape, Stroke, Ui};

use super::arrange::Arrangement;
use super::bars::half_bar;
use super::{Frame, TimelineInput};
use crate::capture::SessionTime;
use crate::correlate::Confidence;
use crate::timeline::{Look, Place, Span};
use crate::topology::ExchangeId;

/// A tree larger than this is lit in part: nobody follows so many lines.
const LIT: usize = 400;

/// The exchanges of the selected request, sorted.
pub(super) fn lit(input: &TimelineInput<'_>) -> Vec<ExchangeId> {
    let known = |id: &ExchangeId| (id.0 as usize) < input.analysis.topology.exchanges.len();
    let Some(id) = input.selection.exchange.filter(known) else { return Vec::new() };
    let trees = &input.analysis.trees;
    let mut all: Vec<_> = trees.tree(trees.root(id)).into_iter().take(LIT).map(|(id, _)| id).collect();
    all.push(id);
    all.sort_unstable();
    all.dedup();
    all
}

/// Where they lie: link, row and start, sorted.
pub(super) fn starts(input: &TimelineInput<'_>, lit: &[ExchangeId]) -> Vec<(u16, u32, i64)> {
    let places = lit.iter().filter_map(|&id| input.model.place_of(input.analysis, id));
    let mut all: Vec<_> = places.map(|(place, span)| (place.link, place.row, span.start)).collect();
    all.sort_unstable();
    all
}

/// A lit exchange on the screen.
struct Lit {
    x0: f32,
    x1: f32,
    y: f32,
    half: f32,
    span: Span,
    place: Place,
}

/// Paints the connectors of the selected request.
pub(super) fn request_ui(ui: &Ui, frame: &Frame<'_>, scroll: f32, arrangement: &Arrangement) {
    let painter = ui.painter_at(frame.regions.plot(frame.regions.body));
    let analysis = frame.input.analysis;
    let lit: Vec<Lit> = frame.lit.iter().filter_map(|&id| place(frame, scroll, arrangement, id)).collect();
    let of = |id: ExchangeId| lit.iter().find(|l| l.span.exchange == id);
    for child in &lit {
        let Some(parentage) = analysis.trees.parent(child.span.exchange) else { continue };
        let Some(parent) = of(parentage.parent) else { continue };
        match parentage.confidence {
            Confidence::Ambiguous => doubtful_connector(&painter, parent, child, frame.palette.attention),
            Confidence::Likely | Confidence::Certain => {
                connector(&painter, parent, child, frame.palette.path);
            }
        }
        if let Some(before) = analysis.exchange(child.span.exchange).previous_attempt().and_then(of) {
            retry_arrow(&painter, frame, before, child);
        }
    }
}

fn place(frame: &Frame<'_>, scroll: f32, arrangement: &Arrangement, id: ExchangeId) -> Option<Lit> {
    let (place, span) = frame.input.model.place_of(frame.input.analysis, id)?;
    let placed = arrangement.find(place)?;
    let x0 = frame.scale.x_from_time(SessionTime(span.start));
    let x1 = frame.scale.x_from_time(SessionTime(span.end)).max(x0 + 2.0);
    let y = frame.y(placed, scroll) + placed.height / 2.0;
    Some(Lit { x0, x1, y, half: half_bar(placed.height), span, place })
}

/// From the parent's lower edge, where the child begins, down to the child.
fn curve(parent: &Lit, child: &Lit) -> [Pos2; 4] {
    let from = Pos2::new(child.x0.clamp(parent.x0, parent.x1), parent.y + parent.half);
    let to = Pos2::new((child.x0 + 3.0).min(child.x1), child.y - child.half);
    let bend = ((to.y - from.y) / 2.0).max(8.0);
    [from, from + egui::vec2(0.0, bend), to - egui::vec2(0.0, bend), to]
}

fn connector(painter: &Painter, parent: &Lit, child: &Lit, colour: Color32) {
    let points = curve(parent, child);
    let stroke = Stroke::new(1.6, colour);
    painter.add(CubicBezierShape::from_points_stroke(points, false, Color32::TRANSPARENT, stroke));
    painter.circle_filled(points[3], 2.2, colour);
}

/// A connector to a parent beside which another one fits as well: dashed, open at its end, and with a question mark,
/// so that neither colour nor the dashes of the time cursor have to tell it.
fn doubtful_connector(painter: &Painter, parent: &Lit, child: &Lit, colour: Color32) {
    let points = curve(parent, child);
    let stroke = Stroke::new(1.6, colour);
    let shape = CubicBezierShape::from_points_stroke(points, false, Color32::TRANSPARENT, Stroke::NONE);
    painter.extend(Shape::dashed_line(&shape.flatten(Some(0.5)), stroke, 5.0, 4.0));
    painter.circle_stroke(points[3], 2.6, stroke);
    let beside = shape.sample(0.5) + egui::vec2(5.0, 0.0);
    painter.text(beside, Align2::LEFT_CENTER, "?", FontId::monospace(13.0), colour);
}

/// A dashed arrow from a failed attempt to the next, with the words for it where there is room.
fn retry_arrow(painter: &Painter, frame: &Frame<'_>, before: &Lit, after: &Lit) {
    let colour = frame.palette.attention;
    let from = Pos2::new(before.x1 + 8.0, before.y + if after.y >= before.y { 6.0 } else { -6.0 });
    let to = Pos2::new(after.x0 - 1.0, after.y);
    let control = if (after.y - before.y).abs() < 1.0 {
        // Along one row: below the cross and the words there.
        let low = before.y + 11.0;
        [from, Pos2::new(from.x, low), Pos2::new(to.x - 6.0, low), to]
    } else {
        [from, Pos2::new(from.x, to.y), Pos2::new(from.x.min(to.x - 6.0), to.y), to]
    };
    let curve = CubicBezierShape::from_points_stroke(control, false, Color32::TRANSPARENT, Stroke::NONE);
    let path = curve.flatten(Some(0.5));
    painter.extend(Shape::dashed_line(&path, Stroke::new(1.6, colour), 4.0, 3.0));
    let head = vec![to, to + egui::vec2(-6.0, -3.5), to + egui::vec2(-6.0, 3.5)];
    painter.add(Shape::convex_polygon(head, colour, Stroke::NONE));
    let link = frame.input.analysis.link(crate::topology::LinkId(after.place.link));
    let who = &frame.input.analysis.lane(link.from).name;
    let method = frame.input.analysis.exchange(after.span.exchange).method();
    let words = format!("{who} retries the {method}");
    let galley = painter.layout_no_wrap(words, FontId::proportional(10.5), colour);
    // Behind either attempt's badge, where its row has room for the words: behind that of a rejected one stands its cross.
    for attempt in [before, after].into_iter().filter(|attempt| attempt.span.look != Look::Rejected) {
        let x = attempt.x1 + 19.0;
        if x > frame.scale.left && x + galley.size().x + 6.0 < free_until(frame, attempt) {
            let at = Pos2::new(x - 2.0, attempt.y - 4.0);
            let under = Rect::from_min_size(at, egui::vec2(galley.size().x + 4.0, 8.0));
            painter.rect_filled(under, 0.0, frame.palette.panel);
            painter.galley(Pos2::new(x, attempt.y - galley.size().y / 2.0), galley, colour);
            return;
        }
    }
}

/// The pixel where the next thing on an exchange's row begins.
fn free_until(frame: &Frame<'_>, lit: &Lit) -> f32 {
    let edge = frame.regions.body.right();
    let Some(row) = frame.input.model.row(lit.place) else { return edge };
    let next = row.spans.get(row.spans.partition_point(|s| s.start <= lit.span.start));
    next.map_or(edge, |s| edge.min(frame.scale.x_from_time(SessionTime(s.start))))
}
