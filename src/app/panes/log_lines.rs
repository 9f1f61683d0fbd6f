//! The lines of the servers' logs that the selected finding explains.

use egui::text::LayoutJob;
use egui::{Align, FontFamily, FontId, Label, Layout, RichText, Ui};

use super::{Actions, Pane};
use crate::app::Palette;
use crate::app::command::Command;
use crate::app::widgets::{card, command_button};
use crate::logs::LogLine;

/// Lines in the card; the window of reasons has all.
const SHOWN: usize = 2;
/// Rows of each: a line begins with its time, and what happened comes after it.
const ROWS: usize = 4;
/// Rows of the only line, where there is no room for two.
const LEAST_ROWS: usize = 2;
/// Height of a row, of the place above a line with the space around it, and of the card's title and margins.
const ROW: f32 = 14.0;
const PLACE: f32 = 24.0;
const AROUND: f32 = 56.0;
const FONT: FontId = FontId { size: 11.0, family: FontFamily::Monospace };

/// How many lines are shown in a card of that height, and of how many rows each. A line that is cut at the window's edge
/// tells less than one that ends in `…` with a button beside it.
fn fitting(room: f32, lines: usize) -> (usize, usize) {
    let rows = |lines: usize| ((room - AROUND) / lines as f32 - PLACE) / ROW;
    let most = lines.min(SHOWN);
    let fits = (1..=most).rev().find(|&lines| rows(lines) >= LEAST_ROWS as f32 + 1.0).unwrap_or(1);
    (fits, (rows(fits) as usize).clamp(LEAST_ROWS, ROWS))
}

/// Draws as many of the first lines as `room` has place for; nothing without logs, or where the finding explains none of
/// theirs. Returns how much more room it would fill.
pub fn log_lines_ui(ui: &mut Ui, pane: &Pane<'_>, room: f32, out: &mut Actions) -> f32 {
    let Some(at) = pane.session.selection.finding else { return 0.0 };
    let lines = pane.analysis.log_lines(at);
    if lines.is_empty() {
        return 0.0;
    }
    let (shown, rows) = fitting(room, lines.len());
    card(ui, &pane.palette, "In the logs", &pane.analysis.log_lines_words(at), |ui| {
        for (at, line) in lines.iter().take(shown).enumerate() {
            ui.horizontal(|ui| {
                ui.spacing_mut().button_padding.y = 0.0;
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if at == 0 && lines.len() > shown {
                        command_button(ui, Command::WhySure, "All of them (W)", out);
                    }
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        ui.add(Label::new(place(&pane.palette, line)).truncate());
                    });
                });
            });
            let color = ui.visuals().text_color();
            let words = match gist(&line.text).filter(|_| rows < ROWS) {
                Some(gist) => format!("… {gist}"),
                None => line.text.clone(),
            };
            let mut cut = LayoutJob::simple(words, FONT, color, ui.available_width());
            cut.wrap.max_rows = rows;
            ui.add(Label::new(cut)).on_hover_text(&line.text);
        }
    });
    let height = |lines: usize, rows: usize| lines as f32 * (PLACE + rows as f32 * ROW);
    height(lines.len().min(SHOWN), ROWS) - height(shown, rows)
}

/// What a line of nginx's error log tells behind time, severity and process: in two rows there would be no room for it.
fn gist(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("] ")?;
    let (process, gist) = rest.split_once(": ")?;
    process.bytes().all(|byte| byte.is_ascii_digit() || byte == b'#').then_some(gist)
}

/// One line whole, below the place where it stands.
pub fn line_ui(ui: &mut Ui, palette: &Palette, line: &LogLine) {
    ui.label(place(palette, line));
    ui.add(Label::new(RichText::new(&line.text).font(FONT)).wrap());
}

fn place(palette: &Palette, line: &LogLine) -> RichText {
    RichText::new(format!("{}:{}", line.file, line.line)).small().color(palette.muted)
}

#[cfg(test)]
mod tests {
    use super::{fitting, gist};

    #[test]
    fn the_gist_of_an_error_log_line_is_what_happened() {
        let line = "2026/11/24 04:19:11 [error] 9649#9649: *6 upstream prematurely closed connection: x";
        assert_eq!(gist(line), Some("*6 upstream prematurely closed connection: x"));
        assert_eq!(gist("10.88.1.1 - - [24/Nov/2026:04:19:11 +0000] \"GET /a HTTP/1.1: b\" 200"), None);
    }

    #[test]
    fn less_room_shows_fewer_lines_and_rows() {
        let all = [300.0, 200.0, 180.0, 130.0, 90.0, 20.0].map(|room| fitting(room, 34));
        assert_eq!(all, [(2, 4), (2, 3), (1, 4), (1, 3), (1, 2), (1, 2)]);
        assert_eq!(fitting(300.0, 1), (1, 4));
    }
}
