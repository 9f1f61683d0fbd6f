//! The windows over the window: command list, paths to type, notes, and the reasons of a finding.

use std::path::PathBuf;

use egui::{Align, Id, Key, Layout, Modal as Overlay, RichText, ScrollArea, TextEdit, Ui};

use super::annotations::target_words;
use super::compare::{self, Compared};
use super::findings::{form_name, form_words, title_of};
use super::{Actions, Pane, dropping, lanes, log_lines};
use crate::app::Palette;
use crate::app::command::Command;
use crate::app::state::{Action, Leave, Modal};
use crate::app::widgets::{clickable_row, severity_mark};
use crate::diagnose::{Finding, RejectForm};
use crate::logs::LogFormat;
use crate::session::Target;

/// Names the field for the format of logs.
const LOG_FORMAT: &str = "log_format of access logs among them, where hopscope does not know it by itself";

/// Draws the modal that is open. `focus` gives its field the keyboard, once; `problem` is what failed last.
pub fn modal_ui(
    ctx: &egui::Context,
    modal: &mut Modal,
    focus: bool,
    pane: Option<&Pane<'_>>,
    problem: Option<&str>,
    compared: &Compared<'_>,
    out: &mut Actions,
) {
    let wide = matches!(modal, Modal::Chain(_) | Modal::Compare { .. });
    let width = (ctx.content_rect().width() - 80.0).min(if wide { 1080.0 } else { 620.0 });
    let frame = egui::Frame::popup(&ctx.global_style()).inner_margin(16.0);
    let response = Overlay::new(Id::unique("modal")).frame(frame).show(ctx, |ui| {
        ui.set_width(width);
        match modal {
            Modal::Palette { query, chosen, idle } => palette_ui(ui, query, chosen, *idle, focus, out),
            Modal::OpenPath { text, format, add, hint } => {
                open_path_ui(ui, (text, format), *add, hint, focus, out);
            }
            Modal::SavePath { text, hint } => save_path_ui(ui, text, hint, focus, out),
            Modal::Note { index, target, choices, text } => {
                let chosen = pane.is_some_and(|pane| target_ui(ui, pane, target, choices));
                note_ui(ui, text, focus || chosen, |text| {
                    out.push(Action::SaveNote { index: *index, target: *target, text });
                });
            }
            Modal::WhySure(index) => {
                let finding = pane.and_then(|pane| pane.analysis.diagnosis.findings.get(*index));
                match pane.zip(finding) {
                    Some((pane, finding)) => why_ui(ui, pane, (*index, finding), out),
                    None => drop(ui.label("There is no finding to explain.")),
                }
            }
            Modal::Unsaved(leave) => unsaved_ui(ui, leave, out),
            Modal::Dropped(paths) => dropping::dropped_ui(ui, paths, focus, out),
            Modal::Compare { text } => compare::compare_ui(ui, compared, text, focus, out),
            Modal::ComparePath { text, hint } => {
                title_ui(ui, "Compare with another session", hint);
                let paths = path_field_ui(ui, text, "Compare", focus, |_| false);
                out.extend(paths.map(Action::CompareWith));
            }
            Modal::Chain(draft) => match pane {
                Some(pane) => lanes::lanes_ui(ui, pane, draft, problem, out),
                None => drop(ui.label("Open captures first: their lanes and clocks can be edited here.")),
            },
        }
        ui.add_space(6.0);
        let close = if matches!(modal, Modal::Unsaved(_)) { "Stay here" } else { "Close" };
        if ui.button(close).on_hover_text("Close without doing anything (Esc)").clicked() {
            out.push(Action::CloseModal);
        }
    });
    if response.should_close() {
        out.push(Action::CloseModal);
    }
}

fn field(ui: &mut Ui, text: &mut String, name: &str, focus: bool) -> bool {
    let edit = edit_ui(ui, text, name, focus);
    is_entered(ui, &edit)
}

fn is_entered(ui: &Ui, edit: &egui::Response) -> bool {
    edit.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter))
}

fn edit_ui(ui: &mut Ui, text: &mut String, name: &str, focus: bool) -> egui::Response {
    let label = ui.label(RichText::new(name).color(Palette::of(ui.ctx()).muted));
    let edit = ui.add(TextEdit::singleline(text).desired_width(f32::INFINITY)).labelled_by(label.id);
    if focus {
        edit.request_focus();
    }
    edit
}

/// Selects all of a field: what is typed takes the place of what was proposed there.
fn select_all(ui: &Ui, id: Id, text: &str) {
    let mut state = egui::text_edit::TextEditState::load(ui.ctx(), id).unwrap_or_default();
    let ends = [0, text.chars().count()].map(egui::text::CCursor::new);
    state.cursor.set_char_range(Some(egui::text_selection::CCursorRange::two(ends[0], ends[1])));
    state.store(ui.ctx(), id);
}

fn palette_ui(
    ui: &mut Ui,
    query: &mut String,
    chosen: &mut usize,
    [idle, alone]: [bool; 2],
    focus: bool,
    out: &mut Actions,
) {
    let palette = Palette::of(ui.ctx());
    ui.heading("Commands");
    let was = *chosen;
    if ui.input_mut(|i| i.consume_key(egui::Modifiers::NONE, Key::ArrowDown)) {
        *chosen = chosen.saturating_add(1);
    }
    if ui.input_mut(|i| i.consume_key(egui::Modifiers::NONE, Key::ArrowUp)) {
        *chosen = chosen.saturating_sub(1);
    }
    let before = query.clone();
    let enter = field(ui, query, "Find a command", focus);
    if *query != before {
        *chosen = 0;
    }
    let wanted = query.to_lowercase();
    let fits = |command: &Command| {
        let info = command.info();
        let text = format!("{} {}", info.name, info.help).to_lowercase();
        let applies = match command {
            Command::Palette => false,
            Command::CancelLoad => !idle,
            Command::CancelCompare => !alone,
            _ => true,
        };
        applies && wanted.split_whitespace().all(|word| text.contains(word))
    };
    let found: Vec<_> = Command::ALL.into_iter().filter(fits).collect();
    *chosen = (*chosen).min(found.len().saturating_sub(1));
    let mut run = found.get(*chosen).copied().filter(|_| enter);
    ui.add_space(4.0);
    ScrollArea::vertical().id_salt("commands").max_height(380.0).auto_shrink([false, false]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (at, command) in found.iter().enumerate() {
            let info = command.info();
            let row = clickable_row(ui, &palette, at == *chosen, info.name, |ui| {
                ui.horizontal(|ui| {
                    ui.label(info.name);
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        let keys = command.keys(ui.ctx());
                        ui.label(RichText::new(keys).monospace().color(palette.path));
                        let help = RichText::new(info.help).small().color(palette.muted);
                        ui.add(egui::Label::new(help).truncate());
                    });
                });
            });
            if at == *chosen && (*query != before || was != *chosen) {
                row.scroll_to_me(None);
            }
            if row.clicked() {
                run = Some(*command);
            }
        }
        if found.is_empty() {
            ui.weak("No command of that name.");
        }
    });
    if let Some(command) = run {
        out.push(Action::CloseModal);
        out.push(Action::Run(command));
    }
}

fn open_path_ui(
    ui: &mut Ui,
    (text, format): (&mut String, &mut String),
    add: bool,
    hint: &str,
    focus: bool,
    out: &mut Actions,
) {
    let title = if add { "Add captures by path" } else { "Open by path" };
    title_ui(ui, title, hint);
    let mut log_format = None;
    let ask_for_format = |ui: &mut Ui| {
        let entered = field(ui, format, LOG_FORMAT, false);
        log_format = LogFormat::new(format);
        if log_format.is_none() && !format.trim().is_empty() {
            warning_ui(ui, LogFormat::NEEDS);
        }
        entered
    };
    let paths = path_field_ui(ui, text, "Open", focus, ask_for_format);
    if let Some(paths) = paths {
        out.push(Action::CloseModal);
        out.push(Action::NameLogFormat(log_format));
        out.push(Action::Open { paths, add });
    }
}

fn title_ui(ui: &mut Ui, title: &str, hint: &str) {
    ui.heading(title);
    if !hint.is_empty() {
        ui.add(egui::Label::new(hint).wrap());
    }
}

fn warning_ui(ui: &mut Ui, words: &str) {
    ui.label(RichText::new(words).color(Palette::of(ui.ctx()).attention));
}

/// A field for paths, `more` below it, and a button; the paths when the user presses that, or Enter in a field. `more`
/// tells whether that was in one of its own.
pub fn path_field_ui(
    ui: &mut Ui,
    text: &mut String,
    button: &str,
    focus: bool,
    more: impl FnOnce(&mut Ui) -> bool,
) -> Option<Vec<PathBuf>> {
    let mut enter = field(ui, text, "File or folder; several separated by blanks or in quotes", focus);
    let paths = split_paths(text);
    if let Some(path) = paths.iter().find(|path| !path.exists()) {
        warning_ui(ui, &format!("Not found: {}", path.display()));
    }
    enter |= more(ui);
    let open = ui.add_enabled(!paths.is_empty(), egui::Button::new(button)).clicked();
    ((enter || open) && !paths.is_empty()).then_some(paths)
}

/// A path as a shell would take it: `~/` is the user's own folder.
fn typed(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => text.into(),
    }
}

/// Splits at blanks, except inside quotes; a text that names one existing file as a whole stays whole.
fn split_paths(text: &str) -> Vec<PathBuf> {
    let text = text.trim();
    if !text.is_empty() && typed(text).exists() {
        return vec![typed(text)];
    }
    let (mut all, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    all.push(typed(&std::mem::take(&mut word)));
                }
            }
            (c, _) => word.push(c),
        }
    }
    if !word.is_empty() {
        all.push(typed(&word));
    }
    all
}

/// Asks what to do with edits that would be lost.
fn unsaved_ui(ui: &mut Ui, leave: &Leave, out: &mut Actions) {
    ui.heading("Your edits are not saved");
    let words = match leave {
        Leave::Show(name) => {
            format!("{name} takes the place of this session with its notes, lane names and clock offsets.")
        }
        Leave::Quit => "Notes, lane names and clock offsets of this session would be lost.".to_owned(),
    };
    ui.add(egui::Label::new(words).wrap());
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        let go_on = if matches!(leave, Leave::Quit) { "quit" } else { "open" };
        if ui.button(format!("Save snapshot, then {go_on}…")).clicked() {
            out.push(Action::SaveAndLeave(leave.clone()));
        }
        if ui.button(format!("Discard and {go_on}")).clicked() {
            out.push(Action::LeaveNow(leave.clone()));
        }
    });
}

fn save_path_ui(ui: &mut Ui, text: &mut String, hint: &str, focus: bool, out: &mut Actions) {
    ui.heading("Save a session snapshot");
    if !hint.is_empty() {
        ui.add(egui::Label::new(hint).wrap());
    }
    let edit = edit_ui(ui, text, "Snapshot file (.ron)", focus);
    if focus {
        select_all(ui, edit.id, text);
    }
    let enter = is_entered(ui, &edit);
    let path = typed(text.trim());
    if path.is_file() {
        let words = "This file exists and will be replaced.";
        ui.label(RichText::new(words).color(Palette::of(ui.ctx()).attention));
    }
    let save = ui.add_enabled(!text.trim().is_empty(), egui::Button::new("Save")).clicked();
    if (enter || save) && !text.trim().is_empty() {
        out.push(Action::SaveTo(path));
    }
}

/// What the note is on: one of what is selected. Returns whether one was clicked: the field wants the keyboard back then.
fn target_ui(ui: &mut Ui, pane: &Pane<'_>, target: &mut Target, choices: &[Target]) -> bool {
    ui.heading("Note on");
    let mut clicked = false;
    for &choice in choices {
        let kind = match choice {
            Target::Exchange(_) => "Exchange",
            Target::Connection(_) => "Connection",
            Target::Moment(_) => "Moment",
        };
        let words = format!("{kind}: {}", target_words(pane, choice));
        ui.scope(|ui| {
            ui.style_mut().wrap_mode = Some(egui::TextWrapMode::Truncate);
            clicked |= ui.radio_value(target, choice, &words).on_hover_text(&words).clicked();
        });
    }
    ui.add_space(4.0);
    clicked
}

fn note_ui(ui: &mut Ui, text: &mut String, focus: bool, save: impl FnOnce(String)) {
    let enter = field(ui, text, "Your words", focus);
    if ui.button("Save note").clicked() || enter {
        save(std::mem::take(text));
    }
}

fn why_ui(ui: &mut Ui, pane: &Pane<'_>, (at, finding): (usize, &Finding), out: &mut Actions) {
    let (palette, lines) = (pane.palette, pane.analysis.log_lines(at));
    let (mark, color) = severity_mark(&palette, finding.severity);
    ui.horizontal(|ui| {
        ui.label(RichText::new(mark).size(16.0).color(color));
        ui.heading(title_of(pane, finding));
    });
    ScrollArea::vertical().id_salt("why").max_height(560.0).min_scrolled_height(560.0).show(ui, |ui| {
        ui.add(egui::Label::new(RichText::new(&finding.summary).strong()).wrap());
        ui.add(egui::Label::new(&finding.explanation).wrap());
        if !finding.doubt.is_empty() {
            section(ui, "When not to believe it");
            ui.add(egui::Label::new(&finding.doubt).wrap());
        }
        if !finding.log_line.is_empty() {
            section(ui, "The proxy's error log says");
            ui.add(egui::Label::new(RichText::new(&finding.log_line).monospace()).wrap());
            forms_ui(ui, &palette, &finding.rule);
        }
        if !finding.fixes.is_empty() {
            let several = format!("What to change (one of {} ways)", finding.fixes.len());
            section(ui, if finding.fixes.len() > 1 { &several } else { "What to change" });
        }
        for fix in &finding.fixes {
            ui.horizontal_wrapped(|ui| {
                // What holds for every product names none.
                let product = if fix.product.is_empty() { "in any case" } else { &fix.product };
                ui.strong(product);
                if ui.small_button("Copy").on_hover_text(format!("Copy the change ({product})")).clicked() {
                    out.push(Action::Copy { text: fix.change.clone(), what: "the change" });
                }
            });
            ui.add(egui::Label::new(RichText::new(&fix.change).monospace().color(palette.path)).wrap());
            if !fix.note.is_empty() {
                ui.add(egui::Label::new(RichText::new(&fix.note).color(palette.muted)).wrap());
            }
        }
        // Behind the change to make, which so many lines would push out of sight.
        if !lines.is_empty() {
            section(ui, &format!("In the logs ({})", pane.analysis.log_lines_words(at)));
        }
        for line in lines {
            log_lines::line_ui(ui, &palette, line);
        }
        if !finding.evidence.is_empty() {
            section(ui, "The packets that prove it");
        }
        for proof in finding.evidence.iter().take(20) {
            let (file, number) = pane.analysis.place_of(proof.frame);
            let text =
                format!("{file} frame {number} · {} → {} · {}", proof.client, proof.server, proof.note);
            ui.add(egui::Label::new(RichText::new(text).monospace().size(11.0)).wrap());
        }
    });
}

/// What the short names of rejections in a text stand for.
fn forms_ui(ui: &mut Ui, palette: &Palette, text: &str) {
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    for form in RejectForm::ALL.into_iter().filter(|form| words.contains(&form.rule())) {
        let line = format!("{}: {} ({})", form.rule(), form_words(form), form_name(form).to_lowercase());
        ui.add(egui::Label::new(RichText::new(line).small().color(palette.muted)).wrap());
    }
}

fn section(ui: &mut Ui, name: &str) {
    ui.add_space(8.0);
    ui.label(RichText::new(name).small().color(Palette::of(ui.ctx()).muted));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_paths_split_at_blanks_outside_quotes() {
        let all = split_paths(r#" a.pcap "b c.pcap" 'd e' "#);
        assert_eq!(all, ["a.pcap", "b c.pcap", "d e"].map(PathBuf::from));
        assert!(split_paths("  ").is_empty());
        if let Some(home) = std::env::home_dir() {
            assert_eq!(split_paths("~/a.pcap b~/c"), [home.join("a.pcap"), "b~/c".into()]);
        }
    }
}
