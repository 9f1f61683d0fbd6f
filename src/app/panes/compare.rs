//! Two sessions side by side, before and after a fix.

use egui::{Grid, RichText, ScrollArea, Ui};

use super::Actions;
use super::lanes::quiet;
use super::modals::path_field_ui;
use crate::app::Palette;
use crate::app::command::Command;
use crate::app::state::Action;
use crate::app::widgets::command_button;
use crate::export::compare::{Change, Comparison, Row, Value};

/// What there is to show.
pub enum Compared<'a> {
    /// The other session is being read.
    Reading(&'a str),
    /// Both are there.
    Done(&'a Comparison),
    /// It was not read, and why.
    Nothing(Option<&'a str>),
}

/// Draws the comparison; where there is none, a field for the path of the other session, which `focus` gives the
/// keyboard.
pub fn compare_ui(ui: &mut Ui, compared: &Compared<'_>, text: &mut String, focus: bool, out: &mut Actions) {
    let palette = Palette::of(ui.ctx());
    ui.heading("Before and after");
    match compared {
        Compared::Reading(what) => {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.label(format!("Reading {what}"));
                command_button(ui, Command::CancelCompare, "Cancel", out);
            });
        }
        Compared::Nothing(why) => {
            if let Some(why) = why {
                ui.label(RichText::new(format!("✖ {why}")).color(palette.failed));
            }
            ui.label("Name the captures, or the snapshot, to compare with what is open.");
            out.extend(path_field_ui(ui, text, "Compare", focus, |_| false).map(Action::CompareWith));
        }
        Compared::Done(comparison) => done_ui(ui, &palette, comparison),
    }
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        command_button(ui, Command::Compare, "Choose files…", out);
        command_button(ui, Command::CompareFolder, "Choose a folder…", out);
        if !matches!(compared, Compared::Nothing(_)) {
            command_button(ui, Command::ComparePath, "Type a path…", out);
        }
        if matches!(compared, Compared::Done(_)) {
            command_button(ui, Command::SwapComparison, "Swap A and B", out);
        }
    });
}

fn done_ui(ui: &mut Ui, palette: &Palette, comparison: &Comparison) {
    let (mark, color) = match () {
        () if comparison.is_open => ("?", palette.attention),
        () if comparison.is_clean => ("✔", palette.answered_text),
        () => ("✖", palette.failed),
    };
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(mark).size(15.0).color(color));
        ui.add(egui::Label::new(RichText::new(&comparison.verdict).size(14.0)).wrap());
    });
    for (letter, name) in ["A (before)", "B (after)"].iter().zip(&comparison.names) {
        let text = RichText::new(format!("{letter}: {name}")).small().color(palette.muted);
        ui.add(egui::Label::new(text).truncate());
    }
    ui.add_space(4.0);
    let room = ui.ctx().content_rect().height() - 260.0;
    ScrollArea::vertical()
        .id_salt("compare")
        .max_height(room)
        .min_scrolled_height(room)
        .auto_shrink([false, true])
        .show(ui, |ui| {
            Grid::new("compare").num_columns(5).striped(true).spacing([28.0, 4.0]).min_col_width(90.0).show(
                ui,
                |ui| {
                    for section in &comparison.sections {
                        ui.label(RichText::new(&section.title).strong());
                        for head in ["A", "B", "difference", ""] {
                            ui.label(RichText::new(head).small().color(palette.muted));
                        }
                        ui.end_row();
                        for row in &section.rows {
                            row_ui(ui, palette, row);
                        }
                    }
                },
            );
        });
}

fn row_ui(ui: &mut Ui, palette: &Palette, row: &Row) {
    ui.label(&row.name);
    for value in row.values {
        ui.label(quiet(value.map_or_else(|| "–".to_owned(), Value::words), palette.text));
    }
    let (mark, color) = match row.change {
        Change::Gone => ("✔ ", palette.answered_text),
        Change::Better => ("↓ ", palette.answered_text),
        Change::Worse => ("↑ ", palette.failed),
        Change::New => ("✖ ", palette.failed),
        Change::Few | Change::Same | Change::Plain => ("", palette.muted),
    };
    ui.label(quiet(row.difference(), palette.text));
    ui.label(RichText::new(format!("{mark}{}", row.change.word())).color(color));
    ui.end_row();
}
