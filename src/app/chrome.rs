//! The window's frame: top bar, messages, and where each pane sits.

use egui::{
    Align, Align2, Area, CentralPanel, Frame, Layout, Margin, Panel, RichText, ScrollArea, TextEdit, Ui,
};

use super::Palette;
use super::command::{self, Command};
use super::filter;
use super::format::{bytes, counted, grouped};
use super::loader::Stage;
use super::panes::compare::Compared;
use super::panes::{self, Actions, Pane};
use super::problems;
use super::rows::Rows;
use super::state::{Action, AppState, DetailTab, Modal, Tab};
use super::timeline_pane::{TimelineAction, TimelineInput, TimelineState, timeline_ui};
use super::widgets::{card_frame, command_button, tabs, title_row};
use crate::session::{Target, TimeView};

/// Free space between two panes, in points.
const GAP: f32 = 8.0;

/// Names the filter's field.
const FILTER: &str = "filter";

/// Height of the table's pane with a handful of rows, in points.
const TABLE: f32 = 212.0;

/// Draws the whole window and carries out what it was asked for.
pub fn root_ui(ui: &mut Ui, state: &mut AppState) {
    let mut out = Actions::new();
    keyboard(ui, state, &mut out);
    refresh(state);
    // Under a dialog no pane sees the pointer: a tooltip that is open as the dialog opens would stay, above it.
    let covered = state.ui.modal.is_some();
    let pointer = covered.then(|| ui.input_mut(|i| std::mem::take(&mut i.pointer)));
    Panel::top("bar")
        .frame(bar_frame(ui))
        .show_separator_line(false)
        .show(ui, |ui| bar_ui(ui, state, &mut out));
    messages_ui(ui, state, &mut out);
    if state.document.is_some() {
        document_ui(ui, state, &mut out);
    } else {
        let recent = std::mem::take(&mut state.ui.recent);
        CentralPanel::default_margins().show(ui, |ui| {
            if state.loader.progress().is_none() {
                match state.told_by_logs.as_str() {
                    "" => panes::welcome::welcome_ui(ui, &recent, &state.unread, &mut out),
                    told => panes::welcome::logs_ui(ui, told, &mut out),
                }
            }
        });
        state.ui.recent = recent;
    }
    if let Some(pointer) = pointer {
        ui.input_mut(|i| i.pointer = pointer);
    }
    passing_ui(ui, state);
    modal_ui(ui, state, &mut out);
    panes::dropping::dropping_ui(ui, state.document.is_some());
    state.apply(ui.ctx(), out);
}

fn keyboard(ui: &Ui, state: &AppState, out: &mut Actions) {
    let typing = ui.ctx().text_edit_focused();
    // A list that is open, and a field that has the keyboard until this very key, take it for themselves.
    let is_free = state.ui.modal.is_none()
        && !egui::Popup::is_any_open(ui.ctx())
        && !ui.memory(|memory| memory.had_focus_last_frame(egui::Id::unique(FILTER)));
    let cancels = is_free && state.loader.progress().is_some_and(|stage| stage.is_slow);
    if cancels && ui.input_mut(|i| i.consume_key(egui::Modifiers::NONE, egui::Key::Escape)) {
        out.push(Action::Run(Command::CancelLoad));
    }
    match &state.ui.modal {
        None => out.extend(command::pressed(ui.ctx(), typing).into_iter().map(Action::Run)),
        // The editor of the chain stays open while its edits are taken back.
        Some(Modal::Chain(_)) if !typing => {
            let all = command::pressed(ui.ctx(), false).into_iter();
            let back = |command: &Command| matches!(command, Command::Undo | Command::Redo);
            out.extend(all.filter(back).map(Action::Run));
        }
        // The keys that open these close them too, and the list of commands takes their place.
        Some(modal @ (Modal::WhySure(_) | Modal::Compare { .. } | Modal::Palette { .. })) => {
            for command in command::pressed(ui.ctx(), typing) {
                let opens = match modal {
                    Modal::WhySure(_) => Command::WhySure,
                    Modal::Compare { .. } => Command::ShowComparison,
                    _ => Command::Palette,
                };
                match command {
                    command if command == opens => out.push(Action::CloseModal),
                    Command::Palette => out.push(Action::Run(command)),
                    _ => {}
                }
            }
        }
        Some(_) => {}
    }
}

/// Brings rows and steps up to date with the session.
fn refresh(state: &mut AppState) {
    let Some(document) = &state.document else { return };
    let session = state.edits.session();
    let generation = document.generation;
    state.rows.update(&document.analysis, generation, &session.filter, state.ui.orders, &state.background);
    state.story.update(&document.analysis, generation, session.selection.connection);
    let looked_at = matches!(state.ui.detail, DetailTab::Headers | DetailTab::Body);
    let exchange = session.selection.exchange.filter(|_| looked_at);
    state.contents.update(document, exchange, &state.background);
}

fn bar_frame(ui: &Ui) -> Frame {
    Frame::new().fill(Palette::of(ui.ctx()).panel).inner_margin(Margin::symmetric(10, 6))
}

fn bar_ui(ui: &mut Ui, state: &mut AppState, out: &mut Actions) {
    let room = ui.available_width();
    let wide = room > 1100.0;
    ui.horizontal(|ui| {
        // The filter needs the room more than the name, which the title bar has as well.
        if room > 1300.0 {
            ui.label(RichText::new("hopscope").strong().size(15.0));
            ui.add_space(4.0);
        }
        if room > 1000.0 {
            command_button(ui, Command::Open, "Open…", out);
            command_button(ui, Command::OpenFolder, "Folder…", out);
            command_button(ui, Command::Add, "Add…", out);
            command_button(ui, Command::OpenPath, "Path…", out);
        } else {
            open_menu_ui(ui, out);
        }
        command_button(ui, Command::Save, if room > 1300.0 { "Save snapshot…" } else { "Save…" }, out);
        if state.document.is_some() {
            ui.add_space(4.0);
            command_button(ui, Command::EditChain, if wide { "Lanes & clocks…" } else { "Lanes…" }, out);
            command_button(ui, Command::ShowComparison, "Compare…", out);
        }
        ui.add_space(4.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            command_button(ui, Command::Palette, if wide { "Commands  Ctrl+K" } else { "?" }, out)
                .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Commands"));
            let dark = ui.ctx().theme() == egui::Theme::Dark;
            command_button(ui, Command::ToggleTheme, if dark { "☀" } else { "🌙" }, out)
                .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Theme"));
            command_button(ui, Command::ToggleZone, state.ui.clock.name(), out)
                .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Time zone"));
            problems::button_ui(ui, state, out);
            filter_ui(ui, state, out);
        });
    });
}

/// The ways to open something, where there is no room for a button of each.
fn open_menu_ui(ui: &mut Ui, out: &mut Actions) {
    ui.menu_button("Open ▾", |ui| {
        let all = [
            Command::Open,
            Command::OpenFolder,
            Command::OpenPath,
            Command::Add,
            Command::AddFolder,
            Command::AddPath,
        ];
        for command in all {
            if command_button(ui, command, command.info().name, out).clicked() {
                ui.close();
            }
        }
    });
}

/// How many rows pass the filter, of how many, and of what: those of the table that is open.
fn counted_rows(state: &AppState) -> (usize, usize, &'static str) {
    let Some(topology) = state.document.as_ref().map(|document| &document.analysis.topology) else {
        return (0, 0, "exchange");
    };
    if state.ui.tab == Tab::Connections {
        return (state.rows.connections().len(), topology.connections.len(), "connection");
    }
    (state.rows.list().len(), topology.exchanges.len(), "exchange")
}

fn filter_ui(ui: &mut Ui, state: &mut AppState, out: &mut Actions) {
    let palette = Palette::of(ui.ctx());
    let (shown, all, thing) = counted_rows(state);
    let mut text = state.edits.session().filter.clone();
    let (count, color) = match state.rows.error() {
        Some(_) => ("✖ not understood: rows as before".to_owned(), palette.failed),
        None if state.rows.is_busy() => ("filtering…".to_owned(), palette.muted),
        None if shown == 0 => (format!("no {thing} matches"), palette.attention),
        None => (format!("{} of {}", grouped(shown as u64), counted(all as u64, thing)), palette.muted),
    };
    if all > 0 {
        ui.scope(|ui| {
            ui.set_max_width(ui.available_width() * 0.5);
            ui.add(egui::Label::new(RichText::new(count).small().color(color)).truncate());
        });
    }
    if !text.is_empty() && ui.small_button("×").on_hover_text("Clear the filter").clicked() {
        out.push(Action::Run(Command::ClearFilter));
    }
    let edit = TextEdit::singleline(&mut text)
        // An id of its own: one by place would change as the button before it appears, and lose the focus to it.
        .id(egui::Id::unique(FILTER))
        .hint_text("Filter: rejected or retry, status:502, method:post …")
        .font(egui::TextStyle::Monospace)
        .desired_width(ui.available_width() - 8.0);
    let edit = match state.rows.error() {
        Some(_) => edit.text_color(palette.failed),
        None => edit,
    };
    let response = ui.add(edit);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Filter"));
    if std::mem::take(&mut state.ui.focus_filter) {
        response.request_focus();
    }
    if response.changed() {
        out.push(Action::SetFilter(text));
    }
    match state.rows.error() {
        // Below the field while one types: beside the field there is no room for it.
        Some(error) if response.has_focus() => {
            let id = response.id.with("error");
            let tooltip = egui::Tooltip::always_open(ui.ctx().clone(), response.layer_id, id, &response);
            tooltip.show(|ui| ui.label(RichText::new(error).color(palette.failed)));
        }
        error => {
            response.on_hover_text(error.unwrap_or(filter::HELP));
        }
    }
}

fn messages_ui(ui: &mut Ui, state: &AppState, out: &mut Actions) {
    let palette = Palette::of(ui.ctx());
    let frame = Frame::new().fill(palette.raised).inner_margin(Margin::symmetric(12, 5));
    if let Some(stage) = state.loader.progress().filter(|stage| stage.is_slow) {
        Panel::top("loading").frame(frame).show(ui, |ui| {
            ui.horizontal(|ui| {
                let Stage { done, total, what, .. } = stage;
                let cancel = |ui: &mut Ui, out: &mut Actions| {
                    command_button(ui, Command::CancelLoad, "Cancel", out);
                    ui.label(RichText::new("Esc").small().color(palette.muted));
                };
                if stage.is_analysing || total > 0 && done >= total {
                    ui.spinner();
                    cancel(ui, out);
                    ui.label(match what {
                        "" => "Analysing again with the new lanes and clocks".to_owned(),
                        what => format!("Read {what}; following its requests across the hops"),
                    });
                    return;
                }
                ui.label(format!("Reading {what}"));
                cancel(ui, out);
                let share = if total == 0 { 0.0 } else { done as f32 / total as f32 };
                let words = format!("{} of {}", bytes(done), bytes(total));
                ui.add(
                    egui::ProgressBar::new(share.min(1.0)).text(words).desired_width(ui.available_width()),
                );
            });
        });
    }
    if let Some(notice) = state.notice.as_ref().filter(|notice| !notice.is_passing) {
        Panel::top("notice").frame(frame).show(ui, |ui| {
            ui.horizontal(|ui| {
                if ui.small_button("×").on_hover_text("Close this message").clicked() {
                    out.push(Action::DismissNotice);
                }
                let color = if notice.is_error { palette.failed } else { palette.text };
                ui.add(egui::Label::new(RichText::new(&notice.text).color(color)).truncate());
            });
        });
    }
    held_ui(ui, state, frame);
    problems::problems_ui(ui, state, frame, out);
}

/// A message that goes with the next action lies over the panes: they would move for it, and back.
fn passing_ui(ui: &Ui, state: &AppState) {
    let Some(notice) = state.notice.as_ref().filter(|notice| notice.is_passing) else { return };
    let area = Area::new(egui::Id::unique("passing notice")).order(egui::Order::Foreground);
    area.anchor(Align2::CENTER_BOTTOM, [0.0, -28.0]).interactable(false).show(ui.ctx(), |ui| {
        let palette = Palette::of(ui.ctx());
        let frame = Frame::new().fill(palette.raised).stroke(egui::Stroke::new(1.0, palette.path));
        frame.corner_radius(6).inner_margin(Margin::symmetric(14, 8)).show(ui, |ui| {
            ui.add(egui::Label::new(RichText::new(&notice.text).color(palette.text)).extend());
        });
    });
}

/// Says that only a snapshot is shown, and what became of its captures.
fn held_ui(ui: &mut Ui, state: &AppState, frame: Frame) {
    let Some(held) = state.document.as_ref().and_then(|document| document.held.as_ref()) else { return };
    let palette = Palette::of(ui.ctx());
    Panel::top("held").frame(frame).show(ui, |ui| {
        // One line: the verdict below is what the window is for. The tooltip has each file by itself.
        ui.horizontal(|ui| {
            ui.label(RichText::new("ℹ").color(palette.note));
            ui.strong("Showing what the snapshot holds");
            let count = format!("{} of {}", grouped(held.held), counted(held.exchanges, "exchange"));
            let words = format!("({count}); figures and findings are those of the whole captures.");
            ui.add(egui::Label::new(words).truncate());
            let notes = RichText::new(held.notes.join(" · ")).small().color(palette.muted);
            ui.add(egui::Label::new(notes).truncate()).on_hover_text(held.notes.join("\n"));
        });
    });
}

fn document_ui(ui: &mut Ui, state: &mut AppState, out: &mut Actions) {
    let Some(document) = state.document.clone() else { return };
    // Rows that are still being made have no place to scroll to.
    let scroll_row = !state.rows.is_busy() && std::mem::take(&mut state.ui.scroll_to_row);
    let scroll_step = std::mem::take(&mut state.ui.scroll_to_step);
    let pane = Pane {
        document: &document,
        analysis: &document.analysis,
        pending: state.pending.as_ref(),
        session: state.edits.session(),
        can_go: (state.edits.can_undo(), state.edits.can_redo()),
        clock: &state.ui.clock,
        palette: Palette::of(ui.ctx()),
    };
    Panel::top("verdict").frame(pane_gap(&pane)).show_separator_line(false).show(ui, |ui| {
        panes::verdict::verdict_ui(ui, &pane, out);
    });
    let (width, height) = (ui.available_width(), ui.available_height());
    // Sizes that the user drags are kept for windows of about the same size: in a much smaller one they would
    // leave no room for the rest.
    let about = ((width / 200.0) as u32, (height / 100.0) as u32);
    let gap = pane_gap(&pane);
    let side = |share: f32, least: f32| (width * share).clamp(least, 400.0);
    Panel::left(("left", about))
        .frame(gap)
        .show_separator_line(false)
        .default_size(side(0.195, 272.0))
        .size_range(220.0..=460.0)
        .show(ui, |ui| {
            // A bar that takes room would cut the names of links as soon as the cards grow longer than the window.
            ui.spacing_mut().scroll = egui::style::ScrollStyle::floating();
            // The notes get what the cards above leave over: with the log lines out of sight one would not look for them.
            let id = egui::Id::unique("height of the left cards");
            let needed: Option<f32> = ui.data(|data| data.get_temp(id));
            let rest = ui.available_height() - needed.unwrap_or(0.0) - panes::annotations::AROUND - GAP;
            let notes_room =
                rest.clamp(panes::annotations::ONE_NOTE, (height * 0.3).max(panes::annotations::ONE_NOTE));
            // Below the others it stood under the window's edge as soon as a finding had lines in the logs.
            Panel::bottom(("notes", about))
                .frame(Frame::new())
                .show_separator_line(false)
                .resizable(false)
                .show(ui, |ui| {
                    ui.add_space(GAP);
                    panes::annotations::annotations_ui(ui, &pane, notes_room, out);
                });
            let room = ui.available_height();
            let above = ScrollArea::vertical().id_salt("left").auto_shrink(false).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = GAP;
                let top = ui.cursor().top();
                panes::findings::findings_ui(ui, &pane, out);
                panes::board::board_ui(ui, &pane, out);
                let used = ui.cursor().top() - top;
                panes::log_lines::log_lines_ui(ui, &pane, room - used, out)
            });
            let now = above.content_size.y + above.inner;
            if needed != Some(now) {
                ui.data_mut(|data| data.insert_temp(id, now));
                ui.ctx().request_repaint();
            }
        });
    // As high for plots as for rows: the timeline above stays where it is as the tab changes.
    let least = (height * 0.295).max(TABLE.min(height * 0.32));
    Panel::bottom(("bottom", about))
        .frame(gap)
        .show_separator_line(false)
        .resizable(true)
        .default_size(least)
        .size_range(110.0..=(height * 0.4).max(120.0))
        .show(ui, |ui| {
            card_frame(&pane.palette).show(ui, |ui| {
                ui.set_min_size(ui.available_size());
                bottom_ui(ui, &pane, state, scroll_row, out);
            });
        });
    Panel::right(("right", about))
        .frame(gap)
        .show_separator_line(false)
        .default_size(side(0.245, 330.0))
        .size_range(260.0..=560.0)
        .show(ui, |ui| {
            let room = ui.available_height();
            // The border is dragged by its middle: half of the gap belongs to each side.
            let half = (GAP / 2.0) as i8;
            Panel::bottom(("detail", about))
                .frame(Frame::new().inner_margin(Margin { top: half, ..Margin::ZERO }))
                .show_separator_line(false)
                .resizable(true)
                // In a low window the tree of a request over three hops still has to fit.
                .default_size(room * if (380.0..500.0).contains(&room) { 0.47 } else { 0.42 })
                .size_range(110.0..=(room * 0.6).max(120.0))
                .show(ui, |ui| {
                    card_frame(&pane.palette).show(ui, |ui| {
                        ui.set_min_size(ui.available_size());
                        panes::detail::detail_ui(ui, &pane, state.ui.detail, &state.contents, out);
                    });
                });
            let above = Frame::new().inner_margin(Margin { bottom: half, ..Margin::ZERO });
            CentralPanel::no_frame().frame(above).show(ui, |ui| {
                card_frame(&pane.palette).show(ui, |ui| {
                    ui.set_min_size(ui.available_size());
                    panes::steps::steps_ui(ui, &pane, &state.story, scroll_step, out);
                });
            });
        });
    CentralPanel::no_frame().frame(gap).show(ui, |ui| {
        card_frame(&pane.palette).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            timeline_pane_ui(ui, &pane, &state.rows, &mut state.timeline, out);
        });
    });
}

fn pane_gap(pane: &Pane<'_>) -> Frame {
    Frame::new().fill(pane.palette.background).inner_margin(Margin::symmetric(8, 4))
}

/// The day of what the timeline shows, or the first and the last.
fn days(pane: &Pane<'_>, view: TimeView) -> String {
    let day = |at| pane.clock.date_time(at).chars().take(10).collect::<String>();
    let (first, last) = (day(view.start), day(view.end));
    if first == last { first } else { format!("{first} – {last}") }
}

fn timeline_pane_ui(
    ui: &mut Ui,
    pane: &Pane<'_>,
    rows: &Rows,
    timeline: &mut TimelineState,
    out: &mut Actions,
) {
    let view = pane.session.view.unwrap_or_else(|| pane.document.model.fit());
    let note = format!("{} · wheel zooms · drag pans · F fits · , and . failures", days(pane, view));
    title_row(ui, &pane.palette, "Timeline", &note);
    let input = TimelineInput {
        generation: pane.document.generation,
        analysis: pane.analysis,
        model: &pane.document.model,
        view: pane.session.view,
        selection: &pane.session.selection,
        filter: rows.mask(),
        filter_generation: rows.count(),
        annotations: &pane.session.annotations,
        zone: pane.clock.zone(),
    };
    out.extend(timeline_ui(ui, input, timeline).into_iter().map(|action| match action {
        TimelineAction::Select(id) => Action::SelectInPlace(id),
        TimelineAction::SelectConnection(id) => Action::SelectConnection(id),
        TimelineAction::Cursor(at) => Action::SetCursor(at),
        TimelineAction::View(view) => Action::SetView(Some(view)),
        TimelineAction::Fit => Action::Run(Command::Fit),
        TimelineAction::AnnotateMoment(at) => Action::WriteNote(Target::Moment(at)),
    }));
}

fn bottom_ui(ui: &mut Ui, pane: &Pane<'_>, state: &AppState, scroll: bool, out: &mut Actions) {
    let room = ui.available_width();
    ui.horizontal(|ui| {
        let all = [
            (Tab::Exchanges, "Exchanges"),
            (Tab::Connections, "Connections"),
            (Tab::Statistics, "Statistics"),
            (Tab::Figures, "Where it starts"),
        ];
        tabs(ui, &pane.palette, state.ui.tab, &all, |tab| out.push(Action::ShowTab(tab)));
        let left_out = match state.ui.tab {
            Tab::Exchanges => panes::table::left_out(room),
            Tab::Connections => panes::connections::left_out(room),
            Tab::Statistics | Tab::Figures => Vec::new(),
        };
        if !left_out.is_empty() {
            let words = format!("not shown here: {}", left_out.join(", "));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let text = RichText::new(words).small().color(pane.palette.muted);
                let help = "A wider window has room for these columns. Point at a row to read them.";
                ui.add(egui::Label::new(text).truncate()).on_hover_text(help);
            });
        }
    });
    if matches!(state.ui.tab, Tab::Exchanges | Tab::Connections) {
        panes::table::not_understood_ui(ui, pane, &state.rows);
    }
    match state.ui.tab {
        Tab::Exchanges => {
            panes::table::table_ui(ui, pane, &state.rows, state.ui.orders.exchanges, scroll, out);
        }
        Tab::Connections => {
            panes::connections::connections_ui(
                ui,
                pane,
                &state.rows,
                state.ui.orders.connections,
                scroll,
                out,
            );
        }
        Tab::Statistics => panes::stats::stats_ui(ui, pane, state.ui.figures, out),
        Tab::Figures => panes::figures::figures_ui(ui, pane, state.ui.figures, out),
    }
}

fn modal_ui(ui: &Ui, state: &mut AppState, out: &mut Actions) {
    let Some(mut modal) = state.ui.modal.take() else { return };
    let focus = std::mem::take(&mut state.ui.focus_modal);
    let document = state.document.clone();
    let pane = document.as_ref().map(|document| Pane {
        document,
        analysis: &document.analysis,
        pending: state.pending.as_ref(),
        session: state.edits.session(),
        can_go: (state.edits.can_undo(), state.edits.can_redo()),
        clock: &state.ui.clock,
        palette: Palette::of(ui.ctx()),
    });
    let problem = state.notice.as_ref().filter(|notice| notice.is_error).map(|notice| notice.text.as_str());
    let compared = match (state.comparing.reading(), state.comparing.made()) {
        (Some(what), _) => Compared::Reading(what),
        (None, Some(made)) if state.comparing.problem().is_none() => Compared::Done(made),
        _ => Compared::Nothing(state.comparing.problem()),
    };
    panes::modals::modal_ui(ui.ctx(), &mut modal, focus, pane.as_ref(), problem, &compared, out);
    state.ui.modal = Some(modal);
}
