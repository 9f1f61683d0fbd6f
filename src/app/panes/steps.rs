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
    let height = (ui.available_height() - below).max(80.0);
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
            let time = pane.clock.time(step.at);
            // The minute is in the title of the timeline; seconds and below tell the steps apart.
            let time = time.get(6..).unwrap_or(&time).to_owned();
            ui.label(RichText::new(time).monospace().color(palette.muted));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let frame = step.frame.map_or(String::new(), |frame| format!("#{}", frame.number));
                ui.label(RichText::new(frame).small().monospace().color(palette.muted));
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    ui.add(
                        egui::Label::new(RichText::new(format!("{mark}{}", step.title)).color(color))
                            .truncate(),
                    );
                });
            });
        });
        if !step.hint.is_empty() {
            let hint = RichText::new(&step.hint).small().color(palette.muted);
            ui.add(egui::Label::new(hint).truncate());
        }
    });
    if current && scroll {
        row.scroll_to_me(Some(Align::Center));
    }
    if row.clicked() {
        out.push(Action::SelectStep(index));
    }
}

fn why_height(ui: &Ui, step: &Step) -> f32 {
    let per_line = (ui.available_width() / 6.2).max(20.0);
    let lines = (step.why.chars().count() as f32 / per_line).ceil();
    lines * 16.0 + 60.0
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
