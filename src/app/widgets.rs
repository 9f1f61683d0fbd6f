//! What several panes draw alike: cards, marks, rows that can be clicked, and buttons of commands.

use egui::{
    Align, Color32, CornerRadius, Frame, Layout, Margin, Response, RichText, Sense, Stroke, Ui, WidgetInfo,
};

use super::Palette;
use super::command::Command;
use super::format::grouped;
use super::state::Action;
use crate::analysis::ExchangeView;
use crate::diagnose::{Outcome, Severity};

/// The frame of a pane.
pub fn card_frame(palette: &Palette) -> Frame {
    Frame::new()
        .fill(palette.panel)
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(CornerRadius::same(6))
        .inner_margin(Margin::symmetric(10, 8))
}

/// Space between the rows of a pane.
const ROW_SPACING: f32 = 5.0;

/// A pane with a title at the left and a note at the right.
pub fn card<R>(
    ui: &mut Ui,
    palette: &Palette,
    title: &str,
    note: &str,
    contents: impl FnOnce(&mut Ui) -> R,
) -> R {
    card_frame(palette)
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = ROW_SPACING;
            ui.set_width(ui.available_width());
            title_row(ui, palette, title, note);
            contents(ui)
        })
        .inner
}

/// The title row of a pane: the note gives way first.
pub fn title_row(ui: &mut Ui, palette: &Palette, title: &str, note: &str) {
    let font = egui::FontId::proportional(14.0);
    let width = ui.painter().layout_no_wrap(title.to_owned(), font, palette.text).size().x;
    ui.horizontal(|ui| {
        let room = ui.available_width();
        // A title longer than the pane (a request target, say) still leaves the note a quarter of it.
        let least = if note.is_empty() { 0.0 } else { room / 4.0 };
        let title_room = width.min(room - least - 8.0).max(0.0);
        ui.scope(|ui| {
            ui.set_max_width(title_room + 1.0);
            ui.add(egui::Label::new(RichText::new(title).strong().size(14.0)).truncate());
        });
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add(egui::Label::new(RichText::new(note).small().color(palette.muted)).truncate());
        });
    });
    ui.add_space(2.0);
}

/// The mark and colour of a severity.
pub fn severity_mark(palette: &Palette, severity: Severity) -> (&'static str, Color32) {
    match severity {
        Severity::Error => ("✖", palette.failed),
        Severity::Warning => ("⚠", palette.attention),
        Severity::Note => ("ℹ", palette.note),
    }
}

/// The colour of a status.
pub fn status_color(palette: &Palette, status: Option<u16>) -> Color32 {
    match status {
        None => palette.muted,
        Some(0..400) => palette.answered_text,
        Some(400..500) => palette.attention,
        Some(_) => palette.failed,
    }
}

/// Mark, words and colour of how an exchange ended.
pub fn outcome_words(palette: &Palette, exchange: &ExchangeView<'_>) -> (String, Color32) {
    let outcome = exchange.outcome();
    match outcome {
        Outcome::Complete => match exchange.status() {
            // Complete as a message, and a failure all the same: what users see is the status.
            Some(status @ 500..) => (format!("✖ answered {status}"), palette.failed),
            _ => (outcome_name(outcome), palette.text),
        },
        Outcome::Unknown => (format!("? {}", outcome_name(outcome)), palette.muted),
        _ => (format!("✖ {}", outcome_name(outcome)), palette.failed),
    }
}

/// An outcome as users read it: `no response`. A message that came whole is an answer.
pub fn outcome_name(outcome: Outcome) -> String {
    match outcome {
        Outcome::Complete => "answered".to_owned(),
        other => other.name().replace('-', " "),
    }
}

/// A command's button, with its keys in the tooltip.
pub fn command_button(ui: &mut Ui, command: Command, label: &str, out: &mut Vec<Action>) -> Response {
    let tooltip = command.tooltip(ui.ctx());
    let response = ui.button(label).on_hover_text(tooltip);
    if response.clicked() {
        out.push(Action::Run(command));
    }
    response
}

/// A row that can be clicked and reached by keyboard; `label` names it for screen readers.
pub fn clickable_row<R>(
    ui: &mut Ui,
    palette: &Palette,
    selected: bool,
    label: &str,
    contents: impl FnOnce(&mut Ui) -> R,
) -> Response {
    padded_row(ui, palette, selected, label, 5, contents)
}

/// The same with this much free space above and below, in points.
pub fn padded_row<R>(
    ui: &mut Ui,
    palette: &Palette,
    selected: bool,
    label: &str,
    padding: i8,
    contents: impl FnOnce(&mut Ui) -> R,
) -> Response {
    // The background is known only after the contents: reserve its place in the paint list.
    let background = ui.painter().add(egui::Shape::Noop);
    let inner = Frame::new().inner_margin(Margin::symmetric(8, padding)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        contents(ui);
    });
    let response = ui.interact(inner.response.rect, inner.response.id.with(label), Sense::click());
    let name = label.to_owned();
    response.widget_info(move || WidgetInfo::selected(egui::Role::Button, true, selected, &name));
    let stroke = if selected {
        Stroke::new(1.0, palette.selection)
    } else if response.has_focus() {
        Stroke::new(1.0, palette.path)
    } else {
        Stroke::NONE
    };
    let fill = if selected || response.hovered() { palette.raised } else { Color32::TRANSPARENT };
    let shape = egui::epaint::RectShape::new(
        response.rect,
        CornerRadius::same(4),
        fill,
        stroke,
        egui::StrokeKind::Inside,
    );
    ui.painter().set(background, shape);
    response.on_hover_cursor(egui::CursorIcon::PointingHand)
}

/// Tabs as words in a row; the one shown is underlined by its colour.
pub fn tabs<T: Copy + PartialEq>(
    ui: &mut Ui,
    palette: &Palette,
    shown: T,
    all: &[(T, &str)],
    mut choose: impl FnMut(T),
) {
    ui.spacing_mut().button_padding.x = 6.0;
    for &(tab, name) in all {
        let color = if tab == shown { palette.path } else { palette.muted };
        let text = RichText::new(name).color(color);
        let text = if tab == shown { text.strong() } else { text };
        let response = ui.add(egui::Button::selectable(false, text));
        response.widget_info(|| WidgetInfo::selected(egui::Role::Tab, true, tab == shown, name));
        if tab == shown {
            let rect = response.rect;
            ui.painter().hline(rect.x_range().shrink(4.0), rect.bottom(), Stroke::new(2.0, palette.path));
        }
        if response.clicked() {
            choose(tab);
        }
    }
}

/// Whether the room of a list is another one than in the frame before: its current row may then be out of sight.
pub fn is_resized(ui: &Ui, list: &str, height: f32) -> bool {
    let id = egui::Id::unique(("room of", list));
    let now = height.round() as i32;
    ui.data_mut(|data| {
        let before: Option<i32> = data.get_temp(id);
        data.insert_temp(id, now);
        before.is_some_and(|before| before != now)
    })
}

/// Whether a list was made anew since the frame before: what was in sight may then be anywhere.
pub fn is_remade(ui: &Ui, list: &str, count: u64) -> bool {
    let id = egui::Id::unique(("making of", list));
    ui.data_mut(|data| {
        let before: Option<u64> = data.get_temp(id);
        data.insert_temp(id, count);
        before.is_some_and(|before| before != count)
    })
}

/// A row of a share: its name, a bar of what was answered (the rest failed), and both numbers.
pub fn share_row(ui: &mut Ui, palette: &Palette, name: &str, name_width: f32, answered: u64, requests: u64) {
    if requests == 0 {
        return;
    }
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), 17.0), Sense::hover());
    let words = format!("{} of {}", grouped(answered), grouped(requests));
    let label = format!("{name}: answered {words}");
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, &label));
    let mono = egui::FontId::monospace(11.5);
    let small = egui::FontId::proportional(11.5);
    ui.painter().text(rect.left_center(), egui::Align2::LEFT_CENTER, name, small, palette.muted);
    let at = rect.right_center();
    let color = if answered < requests { palette.failed } else { palette.text };
    let text = ui.painter().text(at, egui::Align2::RIGHT_CENTER, words, mono, color);
    let track = egui::Rect::from_min_max(
        egui::pos2(rect.left() + name_width, rect.center().y - 4.0),
        egui::pos2(text.left().min(rect.right() - 104.0) - 8.0, rect.center().y + 4.0),
    );
    if track.width() < 8.0 {
        return;
    }
    // Filled with what failed; what was answered covers its share from the left. One failure in a thousand must
    // still be seen: it is never thinner than two points.
    ui.painter().rect_filled(track, 2.0, palette.failed);
    let mut width = track.width() * (answered as f32 / requests as f32);
    if answered < requests {
        width = width.min(track.width() - 2.0);
    }
    let fine = egui::Rect::from_min_size(track.min, egui::vec2(width, track.height()));
    ui.painter().rect_filled(fine, 2.0, palette.answered);
}

/// The number of an attempt in a circle. Painted, because the fonts have no circled digits.
pub fn attempt_badge(ui: &mut Ui, palette: &Palette, attempt: u16) {
    let text = attempt.to_string();
    let width = 15.0 + 6.0 * (text.len() as f32 - 1.0);
    let (rect, response) = ui.allocate_exact_size(egui::vec2(width, 15.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, format!("attempt {attempt}")));
    ui.painter().rect_stroke(rect, 7.5, Stroke::new(1.2, palette.attention), egui::StrokeKind::Inside);
    let font = egui::FontId::monospace(10.5);
    ui.painter().text(rect.center(), egui::Align2::CENTER_CENTER, text, font, palette.attention);
}
