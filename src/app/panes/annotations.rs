//! The user's notes: a click goes to what a note is about.

use egui::{RichText, ScrollArea, Ui};

use super::{Actions, Pane};
use crate::app::command::Command;
use crate::app::state::Action;
use crate::app::widgets::{card, clickable_row, command_button};
use crate::session::Target;

/// Height of the list against the window's; the rest of it scrolls.
const MOST: f32 = 0.2;

/// Draws the list of notes.
pub fn annotations_ui(ui: &mut Ui, pane: &Pane<'_>, out: &mut Actions) {
    let notes = &pane.session.annotations;
    card(ui, &pane.palette, "Annotations", &notes.len().to_string(), |ui| {
        let most = ui.ctx().content_rect().height() * MOST;
        let list = ScrollArea::vertical().id_salt("notes").auto_shrink([false, true]).max_height(most);
        list.show(ui, |ui| notes_ui(ui, pane, out));
        command_button(ui, Command::Annotate, "+ Note on selection (N)", out);
    });
}

fn notes_ui(ui: &mut Ui, pane: &Pane<'_>, out: &mut Actions) {
    for (index, note) in pane.session.annotations.iter().enumerate() {
        let place = target_words(pane, note.target);
        let label = format!("Note: {} — {place}", note.text);
        let row = clickable_row(ui, &pane.palette, false, &label, |ui| {
            ui.add(egui::Label::new(RichText::new(&note.text)).wrap());
            let place = RichText::new(&place).small().color(pane.palette.muted);
            ui.add(egui::Label::new(place).truncate());
        });
        let row = row.on_hover_text(&place);
        if row.clicked() {
            out.push(Action::GoTo(note.target));
        }
        row.context_menu(|ui| note_menu(ui, index, out));
        ui.horizontal(|ui| {
            ui.spacing_mut().button_padding = egui::vec2(6.0, 1.0);
            note_menu(ui, index, out);
        });
    }
}

fn note_menu(ui: &mut Ui, index: usize, out: &mut Actions) {
    if ui.small_button("Edit").on_hover_text("Change the words of this note").clicked() {
        out.push(Action::EditNote(index));
    }
    if ui.small_button("Delete").on_hover_text("Delete this note; undo brings it back").clicked() {
        out.push(Action::DeleteNote(index));
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
