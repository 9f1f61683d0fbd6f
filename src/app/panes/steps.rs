//! Step through a connection: its life as sentences with times and frames, and why a step proves the finding.

use egui::{Align, Layout, RichText, ScrollArea, Ui};

use super::{Actions, Pane};
use crate::app::command::Command;
use crate::app::state::Action;
use crate::app::story::Story;
use crate::app::widgets::{command_button, is_resized, padded_row, title_row};
use crate::diagnose::{Step, StepKind};

/// Height of a step: a connection of ten thousand requests must scroll as one of two.
const ROW: f32 = 23.0;
/// The same where few have room.
const LOW_ROW: f32 = 20.0;

/// Draws the steps; `scroll` brings the current one into sight.
pub fn steps_ui(ui: &mut Ui, pane: &Pane<'_>, story: &Story, scroll: bool, out: &mut Actions) {
    let steps = story.steps();
    let Some(connection) = pane.session.selection.connection.filter(|_| !steps.is_empty()) else {
        title_row(ui, &pane.palette, "Step through a connection", "");
        ui.weak("Select a finding, an exchange or a connection: its steps appear here, in plain words.");
        return;
    };
    let ends = pane.analysis.connection(connection).inner;
    let current = pane.session.selection.step;
    let whole = format!("Steps of :{} → :{}", ends.client.port(), ends.server.port());
    let title = if ui.available_width() > 335.0 {
        whole.clone()
    } else {
        format!("Steps of :{}", ends.client.port())
    };
    let place = current
        .map_or_else(|| format!("{} steps", steps.len()), |at| format!("{} of {}", at + 1, steps.len()));
    head_ui(ui, pane, (&title, &whole), &place, out);
    // In a very low pane the steps come first; their tooltips have the same words.
    let fits = |step: &&Step| ui.available_height() >= why_height(ui, step) + 2.0 * LOW_ROW;
    let why = current.and_then(|at| steps.get(at)).filter(fits);
    let below = why.map_or(0.0, |step| why_height(ui, step));
    let (row, height) = rows_within((ui.available_height() - below).max(2.0 * LOW_ROW), steps.len());
    let scroll = is_resized(ui, "steps", height) || scroll;
    let mut area = ScrollArea::vertical()
        .id_salt("steps")
        .max_height(height)
        // Its own least height is more than two rows: the words below would be pushed under the edge.
        .min_scrolled_height(height)
        .auto_shrink([false, true]);
    if let Some(at) = current.filter(|_| scroll) {
        // The step after it and those before it stay in sight: what it means shows only among them.
        area = area.vertical_scroll_offset(((at as f32 + 2.0) * row - height).max(0.0));
    }
    ui.spacing_mut().item_spacing.y = 0.0;
    area.show_rows(ui, row, steps.len(), |ui, shown| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for index in shown {
            step_row(ui, pane, row, (index, &steps[index]), current == Some(index), out);
        }
    });
    ui.spacing_mut().item_spacing.y = 5.0;
    if let Some(step) = why {
        why_ui(ui, pane, step, out);
    }
}

/// Height of a row and of the list. Whole rows only: half a line at the edge would look like the last one; where some
/// scroll away the rows share what is left over.
fn rows_within(room: f32, steps: usize) -> (f32, f32) {
    let least = if room < 9.0 * ROW { LOW_ROW } else { ROW };
    let shown = (room / least).floor().max(1.0);
    let row =
        if steps as f32 > shown { room / shown } else { (room / steps.max(1) as f32).clamp(least, ROW) };
    (row, row * shown.min(steps as f32))
}

/// Title, buttons and place in one row: each row spared here shows a step more.
fn head_ui(ui: &mut Ui, pane: &Pane<'_>, (title, whole): (&str, &str), place: &str, out: &mut Actions) {
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(place).small().color(pane.palette.muted));
            // From right to left.
            let buttons = [
                (Command::LastStep, "▶|", "Last step"),
                (Command::NextStep, "▶", "Next step"),
                (Command::PreviousStep, "◀", "Previous step"),
                (Command::FirstStep, "|◀", "First step"),
            ];
            ui.scope(|ui| {
                ui.spacing_mut().item_spacing.x = 3.0;
                ui.spacing_mut().button_padding.x = 5.0;
                for (command, glyph, name) in buttons {
                    let button = command_button(ui, command, glyph, out);
                    button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name));
                }
            });
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(egui::Label::new(RichText::new(title).strong().size(14.0)).truncate())
                    .on_hover_text(whole);
            });
        });
    });
    ui.add_space(2.0);
}

fn step_row(
    ui: &mut Ui,
    pane: &Pane<'_>,
    height: f32,
    (index, step): (usize, &Step),
    current: bool,
    out: &mut Actions,
) {
    let palette = pane.palette;
    let label = format!("Step {}: {}", index + 1, step.title);
    let row = padded_row(ui, &palette, current, &label, 0, |ui| {
        ui.set_height(height);
        ui.horizontal_centered(|ui| {
            let (mark, color) = match step.kind {
                _ if step.proof || step.failure => ("✖ ", palette.failed),
                StepKind::Retry => ("⟲ ", palette.attention),
                StepKind::Consequence => ("→ ", palette.attention),
                StepKind::Loss => ("? ", palette.muted),
                StepKind::HandOver | StepKind::Aside | StepKind::Encrypted | StepKind::Proxy => {
                    ("", palette.note)
                }
                _ => ("", palette.text),
            };
            ui.label(RichText::new(short_time(pane, step)).monospace().color(palette.muted));
            let title = RichText::new(format!("{mark}{}", step.title)).color(color);
            ui.add(egui::Label::new(title).truncate());
            // The hint takes what the title leaves; a part of it would say nothing, and the tooltip has all.
            let font = egui::TextStyle::Small.resolve(ui.style());
            let hint = ui.painter().layout_no_wrap(step.hint.clone(), font, palette.muted);
            if hint.size().x + 1.0 < ui.available_width() {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(hint));
            }
        });
    });
    let hint = if step.hint.is_empty() { String::new() } else { format!("\n{}", step.hint) };
    let comments: String = step.comments.iter().map(|comment| format!("\n{}", said(comment))).collect();
    let words = format!("{} {}{hint}\n{}{comments}", pane.clock.time(step.at), step.title, words(step));
    let row = row.on_hover_text(words);
    if row.clicked() {
        out.push(Action::SelectStep(index));
    }
}

/// `11.041805`: second and microseconds; the minute is in the timeline, the nanoseconds in the tooltip.
fn short_time(pane: &Pane<'_>, step: &Step) -> String {
    let time = pane.clock.time(step.at);
    time.get(6..15).unwrap_or(&time).to_owned()
}

/// Why the step proves the finding; where it proves nothing, what it means.
fn words(step: &Step) -> &str {
    if step.why.is_empty() { &step.plain } else { &step.why }
}

/// A comment of the packet, as what it is.
fn said(comment: &str) -> String {
    format!("The capture says: {}", comment.lines().collect::<Vec<_>>().join("; "))
}

/// How many comments of a packet stand below the steps, a line each; the tooltip has them all.
const COMMENTS_SHOWN: usize = 2;
/// Height of such a line.
const COMMENT: f32 = 20.0;

/// Height of the words below the steps, the row with frame and button included.
fn why_height(ui: &Ui, step: &Step) -> f32 {
    let font = egui::TextStyle::Body.resolve(ui.style());
    let words =
        || ui.painter().layout(words(step).to_owned(), font, egui::Color32::WHITE, ui.available_width());
    let comments = step.comments.len().min(COMMENTS_SHOWN) as f32 * COMMENT;
    words().size().y + comments + 5.0 + 22.0 + 10.0
}

/// Room of the button beside a step's frame: no more, or the name of the capture is cut.
const WIRESHARK: f32 = 118.0;

fn why_ui(ui: &mut Ui, pane: &Pane<'_>, step: &Step, out: &mut Actions) {
    ui.add_space(6.0);
    ui.add(egui::Label::new(words(step)).wrap());
    for comment in step.comments.iter().take(COMMENTS_SHOWN) {
        let text = said(comment);
        let line = RichText::new(&text).size(11.0).color(pane.palette.muted);
        ui.add(egui::Label::new(line).truncate()).on_hover_text(text);
    }
    ui.horizontal(|ui| {
        if let Some(frame) = step.frame {
            let (file, number) = pane.analysis.place_of(frame);
            let place = format!("frame {number}, {file}");
            let place = RichText::new(place).monospace().size(11.0).color(pane.palette.muted);
            let room = (ui.available_width() - WIRESHARK).max(40.0);
            ui.scope(|ui| {
                ui.set_max_width(room);
                ui.add(egui::Label::new(place).truncate());
            });
        }
        command_button(ui, Command::CopyWiresharkFilter, "Wireshark filter", out);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_steps_fill_their_room_without_half_a_row() {
        for (room, steps) in [(41.0, 9), (118.0, 9), (119.9, 40), (300.0, 40), (300.0, 3), (40.0, 1)] {
            let (row, height) = rows_within(room, steps);
            let shown = height / row;
            assert!((shown - shown.round()).abs() < 1e-3 && height <= room + 1e-3, "{room} {steps}");
            assert!((LOW_ROW..=ROW + 3.0).contains(&row), "{row}");
            assert!(shown.round() as usize == steps || room - height < 1e-3, "{room} {steps} {height}");
        }
    }
}
