//! The lane editor: drag to reorder and to assign, rename, merge, split; and below it the clock table.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use egui::{
    Align, Button, Color32, Frame, Id, Layout, Margin, Rect, RichText, ScrollArea, Sense, Stroke, TextEdit,
    Ui,
};

use super::{Actions, Pane, clocks};
use crate::app::chain::{ChainEdit, Place, places, why_not_merged};
use crate::app::command::Command;
use crate::app::format::counted;
use crate::app::state::Action;
use crate::app::widgets::command_button;
use crate::topology::{Lane, LaneId, Role};

/// What is being typed in the editor, until Enter or until the field is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Lane names, by lane.
    pub names: BTreeMap<u16, String>,
    /// Manual offsets, by capture.
    pub offsets: BTreeMap<u16, String>,
    /// Why the last offset was not taken.
    pub refused: Option<String>,
}

/// A lane's places beyond these are only counted: a thousand client addresses are no help to the eye.
const PLACES: usize = 12;
const NAME: f32 = 150.0;

/// Draws the editor. `problem` is why the last edit was not made.
pub fn lanes_ui(ui: &mut Ui, pane: &Pane<'_>, draft: &mut Draft, problem: Option<&str>, out: &mut Actions) {
    let palette = pane.palette;
    let editable = pane.document.held.is_none();
    ui.horizontal(|ui| {
        ui.heading("Lanes and clocks");
        if pane.pending.is_some() {
            ui.spinner();
            ui.label(RichText::new("analysing again with this").small().color(palette.muted));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add_enabled_ui(editable, |ui| {
                if ui
                    .button("Reset all")
                    .on_hover_text("Back to what the traffic says; undo brings it back")
                    .clicked()
                {
                    out.push(Action::EditChain(ChainEdit::Reset));
                }
                let (undo, redo) = pane.can_go;
                ui.add_enabled_ui(redo, |ui| command_button(ui, Command::Redo, "Redo", out));
                ui.add_enabled_ui(undo, |ui| command_button(ui, Command::Undo, "Undo", out));
            });
        });
    });
    let hint = if editable {
        "From the user's side to the application's. Drag a lane by its handle to reorder, an address onto another \
         lane to assign it there. Edits can be undone, and a snapshot keeps them."
    } else {
        "Only what the snapshot holds is shown: without its captures nothing can be found anew, so lanes and clocks \
         stay as they were saved."
    };
    ui.add(egui::Label::new(RichText::new(hint).small().color(palette.muted)).wrap());
    if let Some(problem) = problem {
        ui.label(RichText::new(format!("✖ {problem}")).color(palette.failed));
    }
    ui.add_space(4.0);
    let room = ui.ctx().content_rect().height() - 210.0;
    ScrollArea::vertical()
        .id_salt("chain")
        .max_height(room)
        .min_scrolled_height(room)
        .auto_shrink([false, true])
        .show(ui, |ui| {
            ui.add_enabled_ui(editable, |ui| {
                for at in 0..pane.chain().lanes.len() {
                    lane_row(ui, pane, LaneId(at as u16), draft, out);
                }
                clocks::clocks_ui(ui, pane, draft, out);
            });
        });
}

fn lane_row(ui: &mut Ui, pane: &Pane<'_>, id: LaneId, draft: &mut Draft, out: &mut Actions) {
    let palette = pane.palette;
    let lane = &pane.chain().lanes[usize::from(id.0)];
    let frame = Frame::new()
        .fill(palette.raised)
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(5)
        .inner_margin(Margin::symmetric(8, 5));
    let response = frame
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                handle_ui(ui, pane, id, lane);
                name_ui(ui, id, lane, draft, out);
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    menu_ui(ui, pane, id, lane, out);
                    ui.label(RichText::new(captures_words(pane, id, lane)).small().color(palette.muted));
                    ui.with_layout(Layout::left_to_right(Align::Center).with_main_wrap(true), |ui| {
                        ui.label(RichText::new(role_words(lane.role)).small().color(palette.muted));
                        places_ui(ui, pane, lane);
                    });
                });
            });
        })
        .response;
    drop_ui(ui, pane, id, response.rect, out);
}

/// What is dragged.
#[derive(Clone, Copy, Debug)]
enum Carried {
    Lane(LaneId),
    Place(Place, LaneId),
}

/// Where a dragged lane or place is let go.
fn drop_ui(ui: &Ui, pane: &Pane<'_>, id: LaneId, rect: Rect, out: &mut Actions) {
    let palette = pane.palette;
    let zone = ui.interact(rect, Id::unique(("lane drop", id.0)), Sense::hover());
    let pointer = ui.input(|i| i.pointer.hover_pos()).unwrap_or_default();
    let below = pointer.y > rect.center().y;
    match zone.dnd_hover_payload::<Carried>().as_deref() {
        Some(Carried::Lane(_)) => {
            let y = if below { rect.bottom() + 2.5 } else { rect.top() - 2.5 };
            ui.painter().hline(rect.x_range(), y, Stroke::new(2.5, palette.path));
        }
        Some(&Carried::Place(_, from)) if from != id => {
            let stroke = Stroke::new(2.0, palette.path);
            ui.painter().rect_stroke(rect, 5.0, stroke, egui::StrokeKind::Outside);
        }
        Some(Carried::Place(..)) | None => {}
    }
    match zone.dnd_release_payload::<Carried>().as_deref() {
        Some(&Carried::Lane(lane)) => {
            let to = usize::from(id.0) + usize::from(below);
            out.push(Action::EditChain(ChainEdit::Move { lane, to }));
        }
        Some(&Carried::Place(place, from)) if from != id => {
            out.push(Action::EditChain(ChainEdit::Assign { place, to: id }));
        }
        Some(Carried::Place(..)) | None => {}
    }
}

fn handle_ui(ui: &mut Ui, pane: &Pane<'_>, id: LaneId, lane: &Lane) {
    let (rect, response) = ui.allocate_exact_size(egui::vec2(16.0, 20.0), Sense::drag());
    let color = if response.hovered() { pane.palette.text } else { pane.palette.muted };
    for row in -1..=1 {
        let y = rect.center().y + row as f32 * 4.5;
        ui.painter().hline(rect.x_range().shrink(2.0), y, Stroke::new(1.5, color));
    }
    let name = format!("Drag lane {}", lane.name);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &name));
    response.dnd_set_drag_payload(Carried::Lane(id));
    carried_ui(ui, pane, &response, &lane.name);
    response.on_hover_cursor(egui::CursorIcon::Grab).on_hover_text("Drag to move this lane up or down");
}

/// The name of what is dragged, at the pointer.
fn carried_ui(ui: &Ui, pane: &Pane<'_>, response: &egui::Response, words: &str) {
    if let Some(at) = ui.input(|i| i.pointer.interact_pos()).filter(|_| response.dragged()) {
        let painter = ui.ctx().layer_painter(egui::LayerId::new(egui::Order::Tooltip, Id::unique("carried")));
        let font = egui::FontId::proportional(13.0);
        let galley = painter.layout_no_wrap(words.to_owned(), font, pane.palette.text);
        let rect =
            Rect::from_min_size(at + egui::vec2(10.0, -10.0), galley.size()).expand2(egui::vec2(8.0, 4.0));
        painter.rect(
            rect,
            4.0,
            pane.palette.line,
            Stroke::new(1.0, pane.palette.path),
            egui::StrokeKind::Inside,
        );
        painter.galley(rect.min + egui::vec2(8.0, 4.0), galley, pane.palette.text);
    }
}

fn name_ui(ui: &mut Ui, id: LaneId, lane: &Lane, draft: &mut Draft, out: &mut Actions) {
    let mut text = draft.names.get(&id.0).unwrap_or(&lane.name).clone();
    let edit = ui.add(TextEdit::singleline(&mut text).desired_width(NAME));
    edit.widget_info(|| {
        egui::WidgetInfo::labeled(egui::Role::TextInput, true, format!("Name of lane {}", id.0 + 1))
    });
    if edit.changed() {
        draft.names.insert(id.0, text);
    }
    if edit.lost_focus()
        && let Some(name) = draft.names.remove(&id.0)
        && !ui.input(|i| i.key_pressed(egui::Key::Escape))
    {
        out.push(Action::EditChain(ChainEdit::Rename { lane: id, name }));
    }
}

fn places_ui(ui: &mut Ui, pane: &Pane<'_>, lane: &Lane) {
    let all = places(lane);
    for &place in all.iter().take(PLACES) {
        let words = place_words(place);
        let text = RichText::new(&words).monospace().size(11.0);
        let chip = ui.add(Button::new(text).sense(Sense::drag()).corner_radius(9).fill(pane.palette.panel));
        chip.widget_info(|| {
            egui::WidgetInfo::labeled(egui::Role::Button, true, format!("Drag address {words}"))
        });
        let from = pane.chain().lanes.iter().position(|other| other.name == lane.name).unwrap_or(0);
        chip.dnd_set_drag_payload(Carried::Place(place, LaneId(from as u16)));
        carried_ui(ui, pane, &chip, &words);
        let help = match place {
            Place::Serves(_) => "It listens here. Drag it onto the lane that it belongs to.",
            Place::Address(_) => "It connects from here. Drag it onto the lane that it belongs to.",
        };
        chip.on_hover_cursor(egui::CursorIcon::Grab).on_hover_text(help);
    }
    if all.len() > PLACES {
        ui.label(RichText::new(format!("and {} more", all.len() - PLACES)).small().color(pane.palette.muted));
    }
}

fn place_words(place: Place) -> String {
    match place {
        Place::Serves(_) => place.to_string(),
        Place::Address(IpAddr::V4(_) | IpAddr::V6(_)) => format!("from {place}"),
    }
}

fn menu_ui(ui: &mut Ui, pane: &Pane<'_>, id: LaneId, lane: &Lane, out: &mut Actions) {
    let topology = pane.chain();
    let menu = ui.menu_button("…", |ui| {
        let at = usize::from(id.0);
        let last = topology.lanes.len() - 1;
        let mut item = |ui: &mut Ui, why_not: Option<String>, words: String, edit: ChainEdit| {
            let button = ui.add_enabled(why_not.is_none(), Button::new(words));
            let button = button.on_disabled_hover_text(why_not.unwrap_or_default());
            if button.clicked() {
                out.push(Action::EditChain(edit));
                ui.close();
            }
        };
        let first = (at == 0).then(|| "It is the first one already".to_owned());
        item(ui, first, "Move up".into(), ChainEdit::Move { lane: id, to: at.saturating_sub(1) });
        let lowest = (at == last).then(|| "It is the last one already".to_owned());
        item(ui, lowest, "Move down".into(), ChainEdit::Move { lane: id, to: at + 2 });
        ui.separator();
        for (other, into) in topology.lanes.iter().enumerate().filter(|(other, _)| *other != at) {
            let into_id = LaneId(other as u16);
            let edit = ChainEdit::Merge { lane: id, into: into_id };
            item(ui, why_not_merged(topology, id, into_id), format!("Merge into {}", into.name), edit);
        }
        let all = places(lane);
        if all.len() > 1 {
            ui.separator();
        }
        for &place in all.iter().take(PLACES).filter(|_| all.len() > 1) {
            let words = format!("Split off {}", place_words(place));
            item(ui, None, words, ChainEdit::Split { lane: id, place });
        }
    });
    let name = format!("Edit lane {}", lane.name);
    menu.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &name));
    menu.response.on_hover_text(
        "Move, merge, split. Lanes that talk to each other are two hops and cannot be merged.",
    );
}

/// The captures taken at a lane.
fn captures_words(pane: &Pane<'_>, id: LaneId, lane: &Lane) -> String {
    let captures: Vec<_> = (0..pane.analysis.captures.len())
        .map(|at| crate::capture::CaptureId(at as u16))
        .filter(|&capture| clocks::lane_of(pane, capture) == Some(id))
        .collect();
    let names: Vec<_> = captures.iter().map(|&capture| pane.analysis.capture_name(capture)).collect();
    let words = match &names[..] {
        [] if lane.inferred => "not captured itself".to_owned(),
        [] => "no capture of its own".to_owned(),
        [one] => format!("captured in {one}"),
        many => format!("captured in {}", counted(many.len() as u64, "file")),
    };
    if pane.document.held.is_some() {
        // Which addresses its captures held is not among what a snapshot holds.
        return words;
    }
    // Of replicas some may be captured and others not.
    let hosts: std::collections::BTreeSet<IpAddr> = lane.serves.iter().map(SocketAddr::ip).collect();
    let is_heard =
        |host: &IpAddr| captures.iter().any(|&capture| pane.document.heard.contains(&(capture, *host)));
    let unheard: Vec<_> = hosts.iter().filter(|host| !is_heard(host)).collect();
    match &unheard[..] {
        [one] if !captures.is_empty() => format!("{words}, but not {one}"),
        [_, _, ..] if !captures.is_empty() => {
            format!("{words}, but not {} other addresses", unheard.len())
        }
        _ => words,
    }
}

fn role_words(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Proxy => "proxy",
        Role::Server => "server",
    }
}

/// Text in the colour of what is only found, not chosen.
pub(super) fn quiet(text: impl Into<String>, color: Color32) -> RichText {
    RichText::new(text).monospace().color(color)
}
