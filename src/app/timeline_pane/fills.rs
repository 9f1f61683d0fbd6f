//! One bar: its fill by outcome, its text as far as it fits.

use egui::{Color32, FontId, Painter, Pos2, Rect, Shape, Stroke};

use super::bars::{Layers, RowView, TEXT_ROW, TEXTS};
use super::{Frame, labels, shapes};
use crate::timeline::{Item, Look, Span};

/// One line of pixels that several rows share where there are more rows than pixels: a bar that would change no pixel of
/// it is not painted. A million exchanges of a thousand connections are a picture of some thousand bars.
#[derive(Debug)]
pub(super) struct Covered {
    left: f32,
    /// Upper and lower edge.
    line: egui::Rangef,
    /// What was filled last, by column.
    columns: Vec<Color32>,
}

impl Covered {
    /// Nothing yet, between two edges.
    pub(super) fn within(edges: egui::Rangef) -> Self {
        let columns = vec![Color32::TRANSPARENT; edges.span().max(0.0).ceil() as usize + 1];
        Self { left: edges.min.floor(), line: egui::Rangef::NOTHING, columns }
    }

    /// Whether the bar has been filled with this colour, and with none since; remembers it if not.
    pub(super) fn covers(&mut self, bar: Rect, colour: Color32) -> bool {
        if self.line != bar.y_range() {
            self.line = bar.y_range();
            self.columns.fill(Color32::TRANSPARENT);
        }
        let column = |x: f32| (x - self.left).max(0.0) as usize;
        let (from, to) = (column(bar.left().floor()), column(bar.right().ceil()));
        let Some(columns) = self.columns.get_mut(from..to) else { return false };
        let covered = columns.iter().all(|filled| *filled == colour);
        columns.fill(colour);
        covered
    }
}

/// The fill of a bar by its look; `dim` for what the filter or the selection leaves aside.
pub(super) fn paint_bar(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    view: &RowView<'_>,
    item: &Item,
    span: &Span,
    rect: Rect,
) {
    let palette = &frame.palette;
    let lit = item.is_single() && frame.is_lit(span.exchange);
    let strength = match () {
        () if lit || !item.is_single() && frame.holds_lit(view, item) => 1.0,
        () if item.matching == 0 => 0.22,
        () if frame.lit.is_empty() => 1.0,
        () => 0.62,
    };
    let paint = |colour: Color32| mix(palette.panel, colour, strength);
    let tall = rect.height() >= 8.0;
    let fill_answered = |layers: &mut Layers| {
        let colour = paint(palette.answered);
        if !layers.covered.covers(rect, colour) {
            layers.fills.add_colored_rect(rect, colour);
        }
    };
    if !item.is_single() {
        return fill_answered(layers);
    }
    match span.look {
        Look::Answered => fill_answered(layers),
        Look::Failed => {
            // On a low row it is higher than answered ones: they differ without their colour.
            let whole = if tall { rect } else { rect.expand2(egui::vec2(0.0, 1.0)) };
            layers.covered.covers(rect, paint(palette.failed));
            layers.fills.add_colored_rect(whole, paint(palette.failed));
            if tall {
                // Another lower edge: failed bars differ from answered ones without their colour.
                let edge = Rect::from_min_max(Pos2::new(rect.left(), rect.bottom() - 2.0), rect.max);
                layers.fills.add_colored_rect(edge, paint(palette.failed_edge));
            }
        }
        Look::Rejected => {
            layers.covered.covers(rect, palette.failed);
            layers.fills.add_colored_rect(rect, mix(palette.panel, palette.failed, 0.3 * strength));
            if rect.width() >= 4.0 {
                shapes::hatch(&mut layers.over, rect, paint(palette.failed));
            }
        }
        Look::NoResponse => shapes::outline(&mut layers.over, rect, Stroke::new(1.6, paint(palette.failed))),
        Look::Unknown => {
            shapes::dashed_outline(&mut layers.over, rect, Stroke::new(1.0, paint(palette.muted)));
        }
    }
    if view.placed.height >= TEXT_ROW && rect.height() >= TEXT {
        bar_text(painter, frame, layers, span, rect, strength);
    }
    if frame.input.selection.exchange == Some(span.exchange) {
        layers.marks.push(Shape::rect_stroke(
            rect,
            2.0,
            Stroke::new(2.0, palette.selection),
            egui::StrokeKind::Outside,
        ));
    } else if lit {
        layers.marks.push(Shape::rect_stroke(
            rect,
            2.0,
            Stroke::new(1.2, palette.selection),
            egui::StrokeKind::Outside,
        ));
    }
}

/// Bars lower than this are lower than their text.
pub(super) const TEXT: f32 = 11.0;

/// Between two colours.
pub(super) fn mix(from: Color32, to: Color32, share: f32) -> Color32 {
    from.lerp_to_gamma(to, share.clamp(0.0, 1.0))
}

/// Ordinal, then method and status, then the target: as much as fits.
fn bar_text(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    span: &Span,
    rect: Rect,
    strength: f32,
) {
    // What is left of the view's edge cannot be read; text stays within it.
    let seen = rect.intersect(frame.regions.plot(frame.regions.body));
    if seen.width() < 13.0 || layers.texts >= TEXTS {
        return;
    }
    layers.texts += 1;
    let palette = &frame.palette;
    let ink = match span.look {
        Look::Failed if strength > 0.9 => palette.on_failed,
        Look::Answered | Look::Failed => palette.on_bar,
        _ => palette.text,
    };
    let ink = if strength < 0.5 { palette.muted } else { ink };
    let ordinal = painter.layout_no_wrap(span.ordinal.to_string(), FontId::monospace(10.5), ink);
    let y = rect.center().y;
    if ordinal.size().x + 7.0 > seen.width() {
        return;
    }
    let at = Pos2::new(seen.left() + 4.0, y - ordinal.size().y / 2.0);
    let free_from = at.x + ordinal.size().x + 5.0;
    layers.over.push(Shape::galley(at, ordinal, ink));
    let exchange = frame.input.analysis.exchange(span.exchange);
    let short = labels::short(&exchange);
    let room = seen.right() - 4.0 - free_from;
    let letters = (room / 5.0).max(0.0) as usize;
    if letters < short.len() {
        return;
    }
    let words = if letters > short.len() + 10 {
        format!(
            "{short} · {}",
            labels::cut(&exchange.target(), (letters * 9 / 10).saturating_sub(short.len() + 3))
        )
    } else {
        short.clone()
    };
    for words in [words, short] {
        let galley = painter.layout_no_wrap(words, FontId::proportional(10.5), ink);
        if galley.size().x <= room {
            let x = free_from + ((room - galley.size().x) / 2.0).clamp(0.0, 40.0);
            layers.over.push(Shape::galley(Pos2::new(x, y - galley.size().y / 2.0), galley, ink));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_on_pixels_of_its_colour_is_covered_and_one_that_would_change_any_is_not() {
        let mut covered = Covered::within(egui::Rangef::new(10.5, 110.5));
        let bar = |left, right, y: f32| Rect::from_min_max(Pos2::new(left, y), Pos2::new(right, y + 2.0));
        let (green, grey) = (Color32::GREEN, Color32::GRAY);
        assert!(!covered.covers(bar(20.0, 60.0, 5.0), green));
        assert!(covered.covers(bar(20.0, 60.0, 5.0), green));
        assert!(covered.covers(bar(30.0, 32.0, 5.0), green));
        assert!(!covered.covers(bar(58.0, 62.0, 5.0), green), "beyond its end");
        assert!(covered.covers(bar(20.0, 62.0, 5.0), green), "both together");
        // What lies on top of it in another colour is not covered by it, and covers it.
        assert!(!covered.covers(bar(40.0, 50.0, 5.0), grey));
        assert!(!covered.covers(bar(20.0, 60.0, 5.0), green));
        assert!(!covered.covers(bar(20.0, 60.0, 6.0), green), "another line");
        assert!(
            !covered.covers(bar(105.0, 110.5, 6.0), green) && covered.covers(bar(106.0, 110.5, 6.0), green)
        );
        assert!(!covered.covers(bar(300.0, 310.0, 6.0), green), "outside");
    }
}
