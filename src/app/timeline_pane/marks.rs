//! Crosses, stripes and badges: what no zoom may hide.

use egui::{FontId, Painter, Pos2, Rect, Shape, Stroke};

use super::bars::{Layers, RowView, TEXT_ROW, TEXTS};
use super::fills::mix;
use super::{Frame, labels, shapes};
use crate::capture::SessionTime;
use crate::timeline::{Mark, MarkKind};

/// A mark of a lane's band.
pub(super) fn small_mark(layers: &mut Layers, frame: &Frame<'_>, mark: &Mark, y: f32) {
    let palette = &frame.palette;
    match mark.kind {
        MarkKind::Rejected => {
            shapes::cross(&mut layers.marks, Pos2::new(mark.x, y), 3.2, palette.failed, palette.raised);
        }
        MarkKind::Failed => {
            let rect = Rect::from_center_size(Pos2::new(mark.x, y - 2.0), egui::vec2(2.5, 8.0));
            layers.under.push(Shape::rect_filled(rect, 0.0, palette.failed));
        }
        MarkKind::FirstAttempt => {}
        MarkKind::Retry(_) => {
            let stroke = Stroke::new(1.6, palette.attention);
            layers.under.push(Shape::circle_stroke(Pos2::new(mark.x, y + 4.0), 2.5, stroke));
        }
    }
}

/// Crosses, stripes and numbered badges, at a fixed size whatever the zoom.
pub(super) fn paint_mark(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    view: &RowView<'_>,
    mark: &Mark,
    next: Option<&Mark>,
) {
    let (palette, y) = (&frame.palette, view.middle());
    let dim = !frame.lit.is_empty() && !frame.is_lit(mark.exchange);
    match mark.kind {
        MarkKind::Failed => {
            let half = (view.placed.height / 2.0 - 1.0).max(2.0);
            let rect = Rect::from_center_size(Pos2::new(mark.x, y), egui::vec2(2.5, half * 2.0));
            layers.fills.add_colored_rect(rect, palette.failed);
        }
        MarkKind::Rejected => {
            // Behind its bar; where the next bar is too near, on its own.
            let beside = if !mark.beside_bar {
                0.0
            } else if free_after(frame, layers, view, mark) > 18.0 {
                10.0
            } else {
                -5.0
            };
            let centre = Pos2::new(mark.x + beside, y);
            let radius = (view.placed.height / 4.5).clamp(3.4, 5.0);
            shapes::cross(&mut layers.marks, centre, radius, palette.failed, palette.panel);
            if view.placed.height >= TEXT_ROW && mark.count == 1 {
                rejection_text(painter, frame, layers, view, mark, (centre.x + 10.0, y));
            }
        }
        MarkKind::FirstAttempt | MarkKind::Retry(_) => {
            let number = match mark.kind {
                MarkKind::Retry(number) if number < 10 => number.to_string(),
                MarkKind::Retry(_) => "+".to_owned(),
                _ => "1".to_owned(),
            };
            let crossed = next.is_some_and(|n| n.kind == MarkKind::Rejected && n.x - mark.x < 12.0);
            let room = free_after(frame, layers, view, mark);
            let beside = match () {
                () if !mark.beside_bar => 0.0,
                () if crossed && room > 32.0 => 24.0,
                () if crossed => -18.0,
                () if room > 17.0 => 8.0,
                () => -7.0,
            };
            let fill = if dim { mix(palette.panel, palette.attention, 0.7) } else { palette.attention };
            if view.placed.height >= TEXT_ROW {
                shapes::badge(
                    painter,
                    &mut layers.marks,
                    Pos2::new(mark.x + beside, y),
                    &number,
                    fill,
                    palette.on_bar,
                );
            } else if matches!(mark.kind, MarkKind::Retry(_)) {
                layers.marks.push(Shape::circle_stroke(Pos2::new(mark.x, y), 2.8, Stroke::new(1.6, fill)));
            }
        }
    }
}

/// `RST · POST → 502` behind the cross, where nothing else stands.
fn rejection_text(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    view: &RowView<'_>,
    mark: &Mark,
    (x, y): (f32, f32),
) {
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
            return;
        }
    }
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
