//! The user's notes: a click goes to what a note is about.

use egui::{Align, Layout, RichText, ScrollArea, Ui};

use super::{Actions, Pane};
use crate::app::command::Command;
use crate::app::state::Action;
use crate::app::widgets::{card, command_button, padded_row};
use crate::session::Target;

/// Height of all but the list, in points: title, button and margins.
pub const AROUND: f32 = 88.0;
/// Height of one note with a line of words: the list never has less.
pub const ONE_NOTE: f32 = 46.0;

/// Draws the list of notes, at most `most` points high; the rest of it scrolls.
pub fn annotations_ui(ui: &mut Ui, pane: &Pane<'_>, most: f32, out: &mut Actions) {
    let notes = &pane.session.annotations;
    card(ui, &pane.palette, "Annotations", &notes.len().to_string(), |ui| {
        let list = ScrollArea::vertical().id_salt("notes").auto_shrink([false, true]);
        let list = list.max_height(most).min_scrolled_height(most);
        list.show(ui, |ui| notes_ui(ui, pane, out));
        command_button(ui, Command::Annotate, "+ Note on selection (N)", out);
    });
}

/// Of each the words, and on a line below them its place and what can be done with it: pushed down by taller notes,
/// the lines of the logs were out of sight.
fn notes_ui(ui: &mut Ui, pane: &Pane<'_>, out: &mut Actions) {
    ui.spacing_mut().item_spacing.y = 2.0;
    for (index, note) in pane.session.annotations.iter().enumerate() {
        let place = target_words(pane, note.target);
        let label = format!("Note: {} — {place}", note.text);
        let row = padded_row(ui, &pane.palette, false, &label, 2, |ui| {
            ui.add(egui::Label::new(RichText::new(&note.text)).wrap());
        });
        let row = row.on_hover_text(&place);
        if row.clicked() {
            out.push(Action::GoTo(note.target));
        }
        row.context_menu(|ui| note_menu(ui, index, out));
        ui.horizontal(|ui| {
            ui.spacing_mut().button_padding = egui::vec2(5.0, 0.0);
            ui.spacing_mut().item_spacing.x = 4.0;
            ui.add_space(8.0);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                note_menu(ui, index, out);
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let place = RichText::new(&place).small().color(pane.palette.muted);
                    ui.add(egui::Label::new(place).truncate());
                });
            });
        });
    }
}

fn note_menu(ui: &mut Ui, index: usize, out: &mut Actions) {
    if ui.small_button("Delete").on_hover_text("Delete this note; undo brings it back").clicked() {
        out.push(Action::DeleteNote(index));
    }
    if ui.small_button("Edit").on_hover_text("Change the words of this note").clicked() {
        out.push(Action::EditNote(index));
    }
}

/// What a note is about, in words.
pub fn target_words(pane: &Pane<'_>, target: Target) -> String {
    let analysis = pane.analysis;
    match target {
        Target::Exchange(id) if (id.0 as usize) < analysis.topology.exchanges.len() => {
            let exchange = analysis.exchange(id);
            let link = analysis.link_name(exchange.link_id());
            let time = pane.clock.time(exchange.started());
            format!("{time} {link} {} {}", exchange.method(), exchange.target())
        }
        Target::Connection(id) if (id.0 as usize) < analysis.topology.connections.len() => {
            let connection = analysis.connection(id).inner;
            format!("{} → {}", connection.client, connection.server)
        }
        Target::Moment(at) => pane.clock.date_time(at),
        Target::Exchange(_) | Target::Connection(_) => "not in these captures".to_owned(),
    }
}
