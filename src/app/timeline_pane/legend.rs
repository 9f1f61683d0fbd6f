//! The line below the lanes: what the marks mean, and which rows are shown.

use egui::{Align2, FontId, Id, Pos2, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo};

use super::{Frame, RowMode, TimelineState, shapes};
use crate::correlate::Confidence;

/// The legend, as much of it as fits, and the choice of rows on its right.
pub(super) fn legend_ui(ui: &Ui, frame: &Frame<'_>, state: &mut TimelineState) {
    let (palette, rect) = (&frame.palette, frame.regions.legend);
    let painter = ui.painter_at(rect);
    let y = rect.center().y;
    let right = row_choice(ui, frame, state);
    let font = FontId::proportional(10.5);
    let mut x = rect.left() + 2.0;
    // Only where such a line is to be seen, and then first: there is no room for it beside all the others.
    if has_doubtful(frame) {
        let line = [Pos2::new(x, y), Pos2::new(x + 16.0, y)];
        let stroke = Stroke::new(1.6, palette.attention);
        painter.extend(Shape::dashed_line(&line, stroke, 4.0, 3.0));
        let mark = "? or another's";
        let words = painter.layout_no_wrap(mark.to_owned(), font.clone(), palette.attention);
        let width = words.size().x;
        painter.galley(Pos2::new(x + 18.0, y - words.size().y / 2.0), words, palette.attention);
        x += 18.0 + width + 6.0;
    }
    let swatch = |x: f32| Rect::from_min_max(Pos2::new(x, y - 4.5), Pos2::new(x + 14.0, y + 4.5));
    let sign_width = |at: usize| if matches!(at, 2 | 5) { 30.0 } else { 14.0 };
    let mut galleys =
        ENTRIES.map(|(words, _)| painter.layout_no_wrap(words.to_owned(), font.clone(), palette.muted));
    let needed = |galleys: &[std::sync::Arc<egui::Galley>]| -> f32 {
        galleys.iter().enumerate().map(|(at, galley)| sign_width(at) + SIGN_GAP + galley.size().x).sum()
    };
    for shorter in ["n-th request", "ordinal"] {
        if x + needed(&galleys) + LEAST_GAP * ENTRIES.len() as f32 > right {
            galleys[ENTRIES.len() - 1] =
                painter.layout_no_wrap(shorter.to_owned(), font.clone(), palette.muted);
        }
    }
    let gap = ((right - x - needed(&galleys)) / ENTRIES.len() as f32).clamp(LEAST_GAP, 14.0);
    let whole = Rect::from_min_max(rect.min, Pos2::new(right, rect.bottom()));
    let response = ui.interact(whole, Id::unique("timeline legend"), Sense::hover());
    response.on_hover_ui(|ui| {
        for (words, meaning) in ENTRIES {
            ui.label(format!("{words}: {meaning}"));
        }
        ui.label(CONNECTORS);
        ui.label(TICKS);
    });
    for (at, galley) in galleys.into_iter().enumerate() {
        let mut out = Vec::new();
        let sign = sign_width(at);
        if x + sign + SIGN_GAP + galley.size().x > right {
            break;
        }
        match at {
            0 => out.push(Shape::rect_filled(swatch(x), 0.0, palette.answered)),
            1 => {
                out.push(Shape::rect_filled(swatch(x), 0.0, palette.failed));
                let edge = Rect::from_min_max(Pos2::new(x, y + 2.5), Pos2::new(x + 14.0, y + 4.5));
                out.push(Shape::rect_filled(edge, 0.0, palette.failed_edge));
            }
            2 => {
                shapes::hatch(&mut out, swatch(x), palette.failed);
                shapes::cross(&mut out, Pos2::new(x + 23.0, y), 3.6, palette.failed, palette.panel);
            }
            3 => shapes::outline(&mut out, swatch(x), Stroke::new(1.6, palette.failed)),
            4 => shapes::dashed_outline(&mut out, swatch(x), Stroke::new(1.0, palette.muted)),
            5 => {
                for (i, number) in ["1", "2"].into_iter().enumerate() {
                    let centre = Pos2::new(x + 7.0 + i as f32 * 15.0, y);
                    shapes::badge(
                        &painter,
                        &mut out,
                        centre,
                        number,
                        palette.attention,
                        palette.on_attention,
                    );
                }
            }
            _ => {
                let n = painter.layout_no_wrap("n".to_owned(), FontId::monospace(10.5), palette.text);
                out.push(Shape::galley(Pos2::new(x + 5.0, y - n.size().y / 2.0), n, palette.text));
            }
        }
        painter.extend(out);
        x += sign + SIGN_GAP;
        let size = galley.size();
        painter.galley(Pos2::new(x, y - size.y / 2.0), galley, palette.muted);
        x += size.x + gap;
    }
}

/// Whether one of the selected request may belong to another one as well.
fn has_doubtful(frame: &Frame<'_>) -> bool {
    let trees = &frame.input.analysis.trees;
    let mut parents = frame.lit.iter().filter_map(|&id| trees.parent(id));
    parents.any(|parent| parent.confidence == Confidence::Ambiguous)
}

/// Space between a sign and its words.
const SIGN_GAP: f32 = 4.0;
/// Space between two entries where there is little room.
const LEAST_GAP: f32 = 8.0;

/// The words of the legend, and what they mean at length.
const ENTRIES: [(&str, &str); 7] = [
    ("answered", "a whole answer with a status below 500"),
    ("failed", "a status of 500 and above, or an answer that broke off"),
    ("rejected", "the server turned the request away on a reused connection, without a byte of an answer"),
    ("no response", "no byte of an answer came"),
    ("unknown", "the capture does not tell how it ended"),
    ("attempts", "the same request, sent again: 1 is the first attempt, 2 the retry"),
    ("n-th on its connection", "the number on a bar: 1 is the first request on its connection"),
];

/// What the lines of the selected request mean.
const CONNECTORS: &str = "lines between hops: which request caused which; dashed and with a question mark where another \
    one fits as well";

/// What stands on the lines of connections.
const TICKS: &str = "on the line of a connection: a circle where its SYN was seen, a long tick for the server's FIN, a short one \
    for the client's, a red one for a RST";

/// `rows: in view | all | of the request`; returns the left edge.
fn row_choice(ui: &Ui, frame: &Frame<'_>, state: &mut TimelineState) -> f32 {
    let (palette, rect) = (&frame.palette, frame.regions.legend);
    let painter = ui.painter_at(rect);
    let modes = [
        (RowMode::Request, "request's", "those of the selected request"),
        (RowMode::All, "all", "every connection, at full height"),
        (RowMode::InView, "in view", "connections with something in this part of the time"),
    ];
    let mut x = rect.right() - 8.0;
    for (mode, words, meaning) in modes {
        let chosen = state.rows == mode;
        let galley = painter.layout_no_wrap(words.to_owned(), FontId::proportional(10.5), palette.text);
        let area = Align2::RIGHT_CENTER.anchor_size(Pos2::new(x, rect.center().y), galley.size());
        let button = area.expand2(egui::vec2(5.0, 2.0));
        let response = ui.interact(button, Id::unique("timeline rows").with(words), Sense::click());
        response
            .widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, format!("Rows: {words}")));
        if response.clicked() {
            state.rows = mode;
            // What was in sight stands elsewhere now.
            state.scroll_to_request = true;
        }
        let response = response.on_hover_text(format!("Rows shown: {meaning}"));
        if chosen || response.hovered() {
            painter.rect_filled(button, 3.0, palette.raised);
        }
        let colour = if chosen { palette.text } else { palette.muted };
        painter.galley_with_override_text_color(area.min, galley, colour);
        x = button.left() - 5.0;
    }
    if rect.width() < 620.0 {
        return x;
    }
    let label = painter.text(
        Pos2::new(x, rect.center().y),
        Align2::RIGHT_CENTER,
        "rows",
        FontId::proportional(10.5),
        palette.muted,
    );
    label.left() - 8.0
}
