//! The lines of the servers' logs that the selected finding explains.

use egui::text::LayoutJob;
use egui::{FontFamily, FontId, Label, RichText, Ui};

use super::{Actions, Pane};
use crate::app::Palette;
use crate::app::command::Command;
use crate::app::widgets::{card, command_button};
use crate::logs::LogLine;

/// Lines in the card; the window of reasons has all.
const SHOWN: usize = 2;
/// Rows of each: a line begins with its time, and what happened comes after it.
const ROWS: usize = 4;
const FONT: FontId = FontId { size: 11.0, family: FontFamily::Monospace };

/// Draws the first lines; nothing without logs, or where the finding explains none of theirs.
pub fn log_lines_ui(ui: &mut Ui, pane: &Pane<'_>, out: &mut Actions) {
    let Some(at) = pane.session.selection.finding else { return };
    let lines = pane.analysis.log_lines(at);
    if lines.is_empty() {
        return;
    }
    card(ui, &pane.palette, "In the logs", &pane.analysis.log_lines_words(at), |ui| {
        for line in lines.iter().take(SHOWN) {
            ui.add(Label::new(place(&pane.palette, line)).truncate());
            let color = ui.visuals().text_color();
            let mut cut = LayoutJob::simple(line.text.clone(), FONT, color, ui.available_width());
            cut.wrap.max_rows = ROWS;
            ui.add(Label::new(cut)).on_hover_text(&line.text);
        }
        if lines.len() > SHOWN {
            command_button(ui, Command::WhySure, "All of them (W)", out);
        }
    });
}

/// One line whole, below the place where it stands.
pub fn line_ui(ui: &mut Ui, palette: &Palette, line: &LogLine) {
    ui.label(place(palette, line));
    ui.add(Label::new(RichText::new(&line.text).font(FONT)).wrap());
}

fn place(palette: &Palette, line: &LogLine) -> RichText {
    RichText::new(format!("{}:{}", line.file, line.line)).small().color(palette.muted)
}
