//! Crosses, stripes and badges: what no zoom may hide.

use egui::{FontId, Id, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo};

use super::bars::{Layers, NODES, RowView, Shown, TEXT_ROW, TEXTS, focus_ring};
use super::fills::mix;
use super::{Frame, TimelineAction, labels, shapes};
use crate::capture::SessionTime;
use crate::timeline::{Mark, MarkKind};

/// A mark that can be pointed at.
pub(super) struct MarkNode {
    rect: Rect,
    mark: Mark,
    /// Whether it stands in a lane's band: its row has it as well.
    in_band: bool,
}

/// The nodes of all marks, those of failures above all: a mark has the tooltip and the click of its own exchange. Returns
/// what shows where the keyboard is.
pub(super) fn mark_nodes(
    ui: &Ui,
    frame: &Frame<'_>,
    mut nodes: Vec<&MarkNode>,
    actions: &mut Vec<TimelineAction>,
    shown: &mut Shown,
) -> Option<Shape> {
    let mut ring = None;
    nodes.sort_by_key(|node| matches!(node.mark.kind, MarkKind::Rejected | MarkKind::Failed));
    let body = frame.regions.body;
    let analysis = frame.input.analysis;
    for node in nodes.iter().skip(nodes.len().saturating_sub(NODES)) {
        let (mark, rect) = (&node.mark, node.rect.intersect(body));
        if !rect.is_positive() {
            continue;
        }
        let id = Id::unique("timeline mark").with((node.in_band, mark.kind, mark.exchange));
        let response = ui.interact(rect, id, Sense::click());
        if response.has_focus() {
            ring = Some(focus_ring(frame, rect));
        }
        let span = || Some(frame.input.model.place_of(analysis, mark.exchange)?.1);
        let selected = frame.input.selection.exchange == Some(mark.exchange);
        response.widget_info(|| {
            let words = span().map_or_else(String::new, |span| labels::mark(analysis, mark, &span));
            WidgetInfo::selected(Role::Button, true, selected, words)
        });
        if response.double_clicked()
            && let Some(span) = span()
        {
            let started = analysis.exchange(span.exchange).started();
            let view = frame.input.model.limits().around(started, SessionTime(span.end));
            actions.push(TimelineAction::View(view));
        } else if response.clicked() {
            actions.push(TimelineAction::Select(mark.exchange));
        }
        shown.clicked |= response.clicked();
        if !frame.quiet {
            response.on_hover_ui_at_pointer(|ui| {
                if mark.count > 1 {
                    ui.label(format!(
                        "{} here: zoom in to tell them apart. The first:",
                        labels::marked(mark)
                    ));
                }
                for line in span().map_or_else(Vec::new, |span| labels::tooltip(analysis, &span)) {
                    ui.label(line);
                }
            });
        }
    }
    ring
}

/// A mark of a lane's band.
pub(super) fn small_mark(layers: &mut Layers, frame: &Frame<'_>, mark: &Mark, y: f32, low: bool) {
    let palette = &frame.palette;
    let rect = match mark.kind {
        MarkKind::Rejected => {
            let centre = Pos2::new(mark.x, y);
            shapes::cross(&mut layers.marks, centre, 3.2, palette.failed, palette.raised);
            Rect::from_center_size(centre, Vec2::splat(11.0))
        }
        MarkKind::Failed => {
            let rect = Rect::from_center_size(Pos2::new(mark.x, y - 2.0), egui::vec2(2.5, 8.0));
            layers.under.push(Shape::rect_filled(rect, 0.0, palette.failed));
            rect.expand2(egui::vec2(3.0, 2.0))
        }
        MarkKind::FirstAttempt => return,
        MarkKind::Retry(_) => {
            // On a low band the words stand close below.
            let centre = Pos2::new(mark.x, if low { y } else { y + 4.0 });
            let stroke = Stroke::new(1.6, palette.attention);
            layers.under.push(Shape::circle_stroke(centre, 2.5, stroke));
            Rect::from_center_size(centre, Vec2::splat(9.0))
        }
    };
    layers.mark_nodes.push(MarkNode { rect, mark: *mark, in_band: true });
}

/// Marks nearer than this to each other make room for each other, in points.
const COMPANY: f32 = 12.0;

/// Whether a mark stands where another one of its exchange does: a cross beside the number of its attempt.
fn has_company(marks: &[Mark], at: usize) -> bool {
    let of_rejection = |mark: &Mark| mark.kind == MarkKind::Rejected;
    let own = &marks[at];
    let near = marks[at.saturating_sub(3)..marks.len().min(at + 4)].iter();
    let mut near = near.filter(|mark| mark.kind != MarkKind::Failed && (mark.x - own.x).abs() < COMPANY);
    near.any(|mark| of_rejection(mark) != of_rejection(own))
}

/// Crosses, stripes and numbered badges, at a fixed size whatever the zoom.
pub(super) fn paint_mark(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    view: &RowView<'_>,
    at: usize,
) {
    let mark = &view.layout.marks[at];
    let (palette, y) = (&frame.palette, view.middle());
    let dim = !frame.lit.is_empty() && !frame.is_lit(mark.exchange);
    let has_text = view.placed.height >= TEXT_ROW;
    // Where there is text, the number of the attempt stands first, then the cross, then its words.
    let company = has_text && has_company(&view.layout.marks, at);
    let rect = match mark.kind {
        MarkKind::Failed => {
            let half = (view.placed.height / 2.0 - 1.0).max(2.0);
            let rect = Rect::from_center_size(Pos2::new(mark.x, y), egui::vec2(2.5, half * 2.0));
            layers.fills.add_colored_rect(rect, palette.failed);
            rect.expand2(egui::vec2(2.5, 1.0))
        }
        MarkKind::Rejected => {
            // Behind its bar; where the next bar is too near, on its own.
            let room = free_after(frame, layers, view, mark);
            let beside = match () {
                () if !mark.beside_bar => 0.0,
                () if company && room > 34.0 => 24.0,
                () if room > 18.0 => 10.0,
                () => -5.0,
            };
            let centre = Pos2::new(mark.x + beside, y);
            let radius = (view.placed.height / 4.5).clamp(3.4, 5.0);
            shapes::cross(&mut layers.marks, centre, radius, palette.failed, palette.panel);
            let cross = Rect::from_center_size(centre, Vec2::splat(radius * 2.0 + 4.0));
            let words = (has_text && mark.count == 1)
                .then(|| rejection_text(painter, frame, layers, view, mark, (centre.x + 10.0, y)));
            words.flatten().map_or(cross, |words| cross.union(words))
        }
        MarkKind::FirstAttempt | MarkKind::Retry(_) => {
            let number = match mark.kind {
                MarkKind::Retry(number) if number < 10 => number.to_string(),
                MarkKind::Retry(_) => "+".to_owned(),
                _ => "1".to_owned(),
            };
            let room = free_after(frame, layers, view, mark);
            let beside = match () {
                () if company && !mark.beside_bar => -13.0,
                () if !mark.beside_bar => 0.0,
                () if company && room > 34.0 => 9.0,
                () if company && room > 18.0 => -8.0,
                () if company => -18.0,
                () if room > 17.0 => 8.0,
                () => -7.0,
            };
            let fill = if dim { mix(palette.panel, palette.attention, 0.7) } else { palette.attention };
            let centre = Pos2::new(mark.x + beside, y);
            if has_text {
                shapes::badge(painter, &mut layers.marks, centre, &number, fill, palette.on_attention);
                Rect::from_center_size(centre, Vec2::splat(13.0))
            } else if matches!(mark.kind, MarkKind::Retry(_)) {
                let centre = Pos2::new(mark.x, y);
                layers.marks.push(Shape::circle_stroke(centre, 2.8, Stroke::new(1.6, fill)));
                Rect::from_center_size(centre, Vec2::splat(9.0))
            } else {
                return;
            }
        }
    };
    layers.mark_nodes.push(MarkNode { rect, mark: *mark, in_band: false });
}

/// `RST · POST → 502` behind the cross, where nothing else stands; returns where.
fn rejection_text(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    view: &RowView<'_>,
    mark: &Mark,
    (x, y): (f32, f32),
) -> Option<Rect> {
    let words = labels::rejection(frame.input.analysis, mark.exchange);
    let colour = mix(frame.palette.panel, frame.palette.failed, 0.95);
    let limit = mark.x + free_after(frame, layers, view, mark);
    let short = words.split(' ').next().unwrap_or_default().to_owned();
    for words in [words, short] {
        let galley = painter.layout_no_wrap(words, FontId::proportional(10.5), colour);
        if x + galley.size().x + 4.0 < limit && layers.texts < TEXTS {
            layers.texts += 1;
            let at = Rect::from_min_size(Pos2::new(x - 2.0, y - 4.0), egui::vec2(galley.size().x + 4.0, 8.0));
            layers.over.push(Shape::rect_filled(at, 0.0, frame.palette.panel));
            layers.over.push(Shape::galley(Pos2::new(x, y - galley.size().y / 2.0), galley, colour));
            return Some(at.expand2(egui::vec2(0.0, 2.0)));
        }
    }
    None
}

/// Pixels between a mark and the next bar, connection or port label of its row.
fn free_after(frame: &Frame<'_>, layers: &Layers, view: &RowView<'_>, mark: &Mark) -> f32 {
    let next = view.layout.items.partition_point(|i| i.x0 < mark.x + 0.5);
    let next_bar = view.layout.items.get(next).map_or(f32::INFINITY, |i| i.x0);
    let at = frame.scale.time_from_x(mark.x).0;
    let next_open = view.row.connections.get(view.row.connections.partition_point(|c| c.start <= at));
    let open = next_open.map_or(f32::INFINITY, |c| frame.scale.x_from_time(SessionTime(c.start)) - 8.0);
    let label = layers.port_labels.iter().copied().find(|&left| left > mark.x).unwrap_or(f32::INFINITY);
    next_bar.min(open).min(label - 4.0).min(frame.regions.body.right()) - mark.x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::ExchangeId;

    #[test]
    fn a_cross_and_the_number_of_its_attempt_make_room_for_each_other() {
        let mark = |x, kind| Mark { x, kind, count: 1, exchange: ExchangeId(0), beside_bar: true };
        // As they are sorted: by place, then by kind.
        let both = [mark(100.0, MarkKind::Rejected), mark(100.0, MarkKind::FirstAttempt)];
        assert!(has_company(&both, 0) && has_company(&both, 1));
        let apart = [mark(100.0, MarkKind::Rejected), mark(130.0, MarkKind::Retry(2))];
        assert!(!has_company(&apart, 0) && !has_company(&apart, 1));
        let alike = [mark(100.0, MarkKind::Rejected), mark(104.0, MarkKind::Rejected)];
        assert!(!has_company(&alike, 0));
    }
}
