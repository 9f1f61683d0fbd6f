//! Step through a connection: its life as sentences with times and frames, and why a step proves the finding.

use egui::{Align, Layout, RichText, ScrollArea, Ui};

use super::{Actions, Pane};
use crate::app::command::Command;
use crate::app::state::Action;
use crate::app::story::Story;
use crate::app::widgets::{clickable_row, command_button, is_resized, title_row};
use crate::diagnose::{Step, StepKind};

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
    let title = format!("Step through :{} → :{}", ends.client.port(), ends.server.port());
    let place = current
        .map_or_else(|| format!("{} steps", steps.len()), |at| format!("step {} of {}", at + 1, steps.len()));
    title_row(ui, &pane.palette, &title, &place);
    ui.horizontal(|ui| {
        let buttons = [
            (Command::FirstStep, "|◀", "First step"),
            (Command::PreviousStep, "◀", "Previous step"),
            (Command::NextStep, "▶", "Next step"),
            (Command::LastStep, "▶|", "Last step"),
        ];
        for (command, glyph, name) in buttons {
            let button = command_button(ui, command, glyph, out);
            button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new("keys [ and ]").small().color(pane.palette.muted));
        });
    });
    ui.add_space(2.0);
    let why = current.and_then(|at| steps.get(at));
    let below = why.map_or(0.0, |step| why_height(ui, step));
    let scroll = is_resized(ui, "steps") || scroll;
    let height = (ui.available_height() - below).max(58.0);
    ScrollArea::vertical().id_salt("steps").max_height(height).auto_shrink([false, true]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (index, step) in steps.iter().enumerate() {
            step_row(ui, pane, index, step, current == Some(index), scroll, out);
        }
    });
    if let Some(step) = why {
        why_ui(ui, pane, step, out);
    }
}

fn step_row(
    ui: &mut Ui,
    pane: &Pane<'_>,
    index: usize,
    step: &Step,
    current: bool,
    scroll: bool,
    out: &mut Actions,
) {
    let palette = pane.palette;
    let label = format!("Step {}: {}", index + 1, step.title);
    let row = clickable_row(ui, &palette, current, &label, |ui| {
        ui.horizontal(|ui| {
            let (mark, color) = match step.kind {
                _ if step.proof => ("✖ ", palette.failed),
                StepKind::Retry => ("⟲ ", palette.attention),
                StepKind::Consequence => ("→ ", palette.attention),
                StepKind::Loss => ("? ", palette.muted),
                _ => ("", palette.text),
            };
            ui.label(RichText::new(short_time(pane, step)).monospace().color(palette.muted));
            let title = RichText::new(format!("{mark}{}", step.title)).color(color);
            ui.add(egui::Label::new(title).truncate());
            // The hint takes what the title leaves; a sliver of it would say nothing.
            if ui.available_width() > 40.0 {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let hint = RichText::new(&step.hint).small().color(palette.muted);
                    ui.add(egui::Label::new(hint).truncate());
                });
            }
        });
    });
    let words = format!("{} {}\n{}", pane.clock.time(step.at), step.title, step.hint);
    let row = row.on_hover_text(words);
    if current && scroll {
        row.scroll_to_me(Some(Align::Center));
    }
    if row.clicked() {
        out.push(Action::SelectStep(index));
    }
}

/// `11.041805`: second and microseconds; the minute is in the timeline, the nanoseconds in the tooltip.
fn short_time(pane: &Pane<'_>, step: &Step) -> String {
    let time = pane.clock.time(step.at);
    time.get(6..15).unwrap_or(&time).to_owned()
}

fn why_height(ui: &Ui, step: &Step) -> f32 {
    let per_line = (ui.available_width() / 6.2).max(20.0);
    let lines = (step.why.chars().count() as f32 / per_line).ceil();
    lines * 16.0 + 48.0
}

fn why_ui(ui: &mut Ui, pane: &Pane<'_>, step: &Step, out: &mut Actions) {
    ui.add_space(4.0);
    if !step.why.is_empty() {
        ui.add(egui::Label::new(&step.why).wrap());
    }
    ui.horizontal_wrapped(|ui| {
        if let Some(frame) = step.frame {
            let place = format!("frame {}, {}", frame.number, pane.analysis.capture_name(frame.capture));
            ui.label(RichText::new(place).monospace().color(pane.palette.muted));
        }
        command_button(ui, Command::CopyWiresharkFilter, "Copy Wireshark filter", out);
    });
}
