//! Carries out what panes and threads ask for: the only place that changes the window's state.

use std::path::{Path, PathBuf};
use std::time::Duration;

use egui::Context;

use super::command::Command;
use super::dialogs::{Answer, Pick, Purpose};
use super::loader::{LoadError, Loaded, Request};
use super::navigate;
use super::panes::lanes::Draft;
use super::panes::verdict::leading;
use super::remap::Remap;
use super::state::{Action, AppState, DetailTab, Leave, Modal, Tab};
use crate::diagnose::words::capitalized;
use crate::session::{Annotation, History, Mark, Selection, Target, TimeView};
use crate::topology::Overrides;

/// How long a passing message stays.
const PASSING: Duration = Duration::from_secs(8);

/// How many opened paths the window remembers.
const RECENT: usize = 8;

impl AppState {
    /// Takes what threads and the desktop have for the window. Call it once before each frame.
    pub fn poll(&mut self, ctx: &Context) {
        match self.loader.poll() {
            Some(Ok(loaded)) => self.arrived(loaded),
            Some(Err(error)) => self.not_loaded(error),
            None => {}
        }
        match self.saver.poll() {
            Some(Ok((path, mark))) => self.saved(&path, mark),
            Some(Err(error)) => {
                (self.ui.leaving, self.arrived) = (None, None);
                self.complain(format!("Not saved: {error}"));
            }
            None => {}
        }
        match self.dialogs.poll() {
            Some(Answer::Chosen(purpose, paths)) => self.chosen(purpose, paths),
            Some(Answer::Unavailable(purpose)) => self.ask_for_path(purpose),
            Some(Answer::Cancelled) => (self.ui.leaving, self.arrived) = (None, None),
            None => {}
        }
        if self.ui.quit {
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
        } else if ctx.input(|i| i.viewport().close_requested()) && self.has_unsaved() {
            ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
            self.leave(Leave::Quit);
        }
        self.comparing.update(self.document.as_ref());
        self.let_pass(ctx);
        self.take_dropped(ctx);
        if self.loader.progress().is_some() || self.comparing.reading().is_some() {
            // The bar has to move; nothing else repaints while nobody touches the window.
            ctx.request_repaint_after(Duration::from_millis(50));
        }
    }

    /// Takes a passing message away once it was there long enough to be read.
    fn let_pass(&mut self, ctx: &Context) {
        let Some(notice) = self.notice.as_ref().filter(|notice| notice.is_passing) else { return };
        match PASSING.checked_sub(notice.since.elapsed()) {
            Some(left) => ctx.request_repaint_after(left),
            None => self.notice = None,
        }
    }

    /// Carries out the wishes of one frame, in order.
    pub fn apply(&mut self, ctx: &Context, actions: Vec<Action>) {
        for action in actions {
            if self.notice.as_ref().is_some_and(|notice| notice.is_passing) {
                self.notice = None;
            }
            self.apply_one(ctx, action);
        }
    }

    fn apply_one(&mut self, ctx: &Context, action: Action) {
        match action {
            Action::Run(command) => self.run(ctx, command),
            Action::SelectFinding(index) => navigate::to_finding(self, index),
            Action::ExplainFinding(index) => self.show_modal(Modal::WhySure(index)),
            Action::CopyFixOf(index) => self.copy_fix(ctx, index),
            Action::SelectExchange(id) => navigate::to_exchange(self, id),
            Action::SelectInPlace(id) => navigate::to_exchange_in_place(self, id),
            Action::SelectConnection(id) => navigate::to_connection(self, id, None),
            Action::SelectStep(index) => navigate::to_step(self, index),
            Action::SetCursor(at) => self.edits.look().selection.cursor = Some(at),
            Action::SetView(view) => self.edits.look().view = view,
            Action::SetFilter(text) => self.edits.look().filter = text,
            Action::SortBy(column) => self.ui.orders.exchanges = self.ui.orders.exchanges.clicked(column),
            Action::SortConnectionsBy(column) => {
                self.ui.orders.connections = self.ui.orders.connections.clicked(column);
            }
            Action::ShowTab(tab) => self.show_tab(tab),
            Action::ShowDetail(tab) => self.ui.detail = tab,
            Action::GoTo(target) => navigate::to_target(self, target),
            Action::WriteNote(target) => self.show_note(None, target, String::new()),
            Action::EditNote(index) => {
                if let Some(note) = self.edits.session().annotations.get(index).cloned() {
                    self.show_note(Some(index), note.target, note.text);
                }
            }
            Action::DeleteNote(index) => {
                self.edits.edit(|session| {
                    if index < session.annotations.len() {
                        session.annotations.remove(index);
                    }
                });
                self.hint("Note deleted; Ctrl+Z brings it back");
            }
            Action::SaveNote { index, target, text } => self.save_note(index, target, text.trim()),
            Action::Open { paths, add } => self.open(paths, add),
            Action::NameLogFormat(format) => self.log_format = format,
            Action::EditChain(edit) => self.edit_chain(&edit),
            Action::CompareWith(paths) => self.compare_with(paths),
            Action::ShowFigures(link) => self.ui.figures = Some(link),
            Action::SaveTo(path) => self.save_to(path),
            Action::Copy { text, what } => {
                ctx.copy_text(text);
                self.hint(format!("Copied {what}"));
            }
            Action::CloseModal => {
                self.ui.modal = None;
                self.ui.leaving = None;
                self.arrived = None;
            }
            Action::LeaveNow(leave) => self.leave_now(leave),
            Action::SaveAndLeave(leave) => {
                self.ui.modal = None;
                self.ui.leaving = Some(leave);
                self.run(ctx, Command::Save);
            }
            Action::ShowProblems(shown) => self.ui.problems_shown = Some(shown),
            Action::DismissNotice => self.notice = None,
        }
    }

    fn run(&mut self, ctx: &Context, command: Command) {
        match command {
            Command::Open => self.dialogs.ask(Purpose::Replace, Pick::Files, &self.background),
            Command::OpenFolder => self.dialogs.ask(Purpose::Replace, Pick::Folders, &self.background),
            Command::Add => self.dialogs.ask(Purpose::Add, Pick::Files, &self.background),
            Command::AddFolder => self.dialogs.ask(Purpose::Add, Pick::Folders, &self.background),
            Command::Save => self.dialogs.ask(Purpose::Save, Pick::Files, &self.background),
            Command::OpenPath => self.show_open_path(false, ""),
            Command::AddPath => self.show_open_path(true, ""),
            Command::SavePath => self.show_save_path(""),
            Command::CancelLoad => self.loader.cancel(),
            Command::Undo => self.go_back(History::undo, "Nothing to undo"),
            Command::Redo => self.go_back(History::redo, "Nothing to redo"),
            Command::Compare => self.dialogs.ask(Purpose::Compare, Pick::Files, &self.background),
            Command::CompareFolder => self.dialogs.ask(Purpose::Compare, Pick::Folders, &self.background),
            Command::ComparePath => self.show_compare_path(""),
            Command::CancelCompare => self.comparing.cancel(),
            Command::SwapComparison => self.comparing.swap(),
            Command::ShowComparison => self.show_comparison(),
            Command::EditChain => self.show_modal(Modal::Chain(Draft::default())),
            Command::Palette => {
                let idle = [self.loader.progress().is_none(), self.comparing.reading().is_none()];
                self.show_modal(Modal::Palette { query: String::new(), chosen: 0, idle });
            }
            Command::FocusFilter => self.ui.focus_filter = true,
            Command::ClearFilter => self.edits.look().filter.clear(),
            Command::ShowEvidence => navigate::to_finding(self, self.selected_finding()),
            Command::WhySure => self.show_modal(Modal::WhySure(self.selected_finding())),
            Command::CopyFix => self.copy_fix(ctx, self.selected_finding()),
            Command::CopyWiresharkFilter => self.copy_wireshark_filter(ctx),
            Command::NextStep => navigate::step_by(self, 1),
            Command::PreviousStep => navigate::step_by(self, -1),
            Command::FirstStep => navigate::to_step(self, 0),
            Command::LastStep => navigate::to_step(self, usize::MAX),
            Command::NextFailure => navigate::failure_by(self, true),
            Command::PreviousFailure => navigate::failure_by(self, false),
            Command::NextRow => navigate::row_by(self, 1),
            Command::PreviousRow => navigate::row_by(self, -1),
            Command::Annotate => self.annotate(),
            Command::Fit => navigate::fit(self),
            Command::FitAll => self.edits.look().view = None,
            Command::FitSelection => navigate::fit_selection(self),
            Command::ZoomIn => navigate::zoom(self, 0.5),
            Command::ZoomOut => navigate::zoom(self, 2.0),
            Command::PanLeft => navigate::pan(self, -0.25),
            Command::PanRight => navigate::pan(self, 0.25),
            Command::ShowExchanges => self.show_tab(Tab::Exchanges),
            Command::ShowConnections => self.show_tab(Tab::Connections),
            Command::ShowStatistics => self.show_tab(Tab::Statistics),
            Command::ShowFigures => self.show_tab(Tab::Figures),
            Command::NextFinding => navigate::finding_by(self, true),
            Command::PreviousFinding => navigate::finding_by(self, false),
            Command::ShowTree => self.ui.detail = DetailTab::Tree,
            Command::ShowHeaders => self.ui.detail = DetailTab::Headers,
            Command::ShowBody => self.ui.detail = DetailTab::Body,
            Command::ShowTiming => self.ui.detail = DetailTab::Timing,
            Command::ShowFrames => self.ui.detail = DetailTab::Frames,
            Command::ToggleZone => self.ui.clock = super::format::Clock::new(!self.ui.clock.is_local()),
            Command::ToggleTheme => {
                let dark = ctx.theme() == egui::Theme::Dark;
                ctx.set_theme(if dark { egui::Theme::Light } else { egui::Theme::Dark });
            }
            Command::Quit => self.leave(Leave::Quit),
        }
    }

    /// Shows a tab of the bottom pane; of a table the selected row is then in sight.
    fn show_tab(&mut self, tab: Tab) {
        self.ui.tab = tab;
        self.ui.scroll_to_row = true;
    }

    pub(super) fn show_modal(&mut self, modal: Modal) {
        self.ui.modal = Some(modal);
        self.ui.focus_modal = true;
    }

    fn show_open_path(&mut self, add: bool, hint: &'static str) {
        let format = self.log_format.as_ref().map_or_else(String::new, |format| format.text().to_owned());
        self.show_modal(Modal::OpenPath { text: String::new(), format, add, hint });
    }

    fn show_save_path(&mut self, hint: &'static str) {
        self.show_modal(Modal::SavePath { text: "hopscope.ron".to_owned(), hint });
    }

    fn show_compare_path(&mut self, hint: &'static str) {
        self.show_modal(Modal::ComparePath { text: String::new(), hint });
    }

    fn compare_with(&mut self, paths: Vec<PathBuf>) {
        if paths.is_empty() {
            return;
        }
        let overrides = for_other_captures(&self.edits.session().overrides);
        self.comparing.start(paths, overrides, self.log_format.clone(), &self.background);
        self.show_comparison();
    }

    fn show_comparison(&mut self) {
        self.show_modal(Modal::Compare { text: String::new() });
    }

    fn ask_for_path(&mut self, purpose: Purpose) {
        const HINT: &str = "The desktop offered no file dialog, so type the path here.";
        match purpose {
            Purpose::Replace => self.show_open_path(false, HINT),
            Purpose::Add => self.show_open_path(true, HINT),
            Purpose::Compare => self.show_compare_path(HINT),
            Purpose::Save => self.show_save_path(HINT),
        }
    }

    fn chosen(&mut self, purpose: Purpose, mut paths: Vec<PathBuf>) {
        match purpose {
            Purpose::Replace => self.open(paths, false),
            Purpose::Add => self.open(paths, true),
            Purpose::Compare => self.compare_with(paths),
            Purpose::Save => {
                if let Some(path) = paths.pop() {
                    self.save_to(path);
                }
            }
        }
    }

    /// Opens paths in place of, or beside, what is shown.
    pub fn open(&mut self, paths: Vec<PathBuf>, add: bool) {
        // What only a snapshot holds cannot be analysed together with captures.
        let whole = self.document.as_ref().filter(|document| add && document.held.is_none());
        let ours = &self.edits.session().overrides;
        let request = match whole.map(|document| &document.analysis) {
            Some(shown) => Request {
                paths,
                keep: shown.captures.clone(),
                keep_logs: shown.logs.clone(),
                overrides: ours.clone(),
                ..Request::default()
            },
            None => Request { paths, overrides: for_other_captures(ours), ..Request::default() },
        };
        self.start(request);
    }

    /// Opens paths in place of what is shown, with what the user said about the chain.
    pub fn open_with(&mut self, paths: Vec<PathBuf>, overrides: Overrides) {
        self.start(Request { paths, lanes: overrides.lanes.clone(), overrides, ..Request::default() });
    }

    fn start(&mut self, mut request: Request) {
        if request.paths.is_empty() {
            return;
        }
        request.log_format.clone_from(&self.log_format);
        self.ui.recent.retain(|known| *known != request.paths);
        self.ui.recent.insert(0, request.paths.clone());
        self.ui.recent.truncate(RECENT);
        self.notice = None;
        self.unread.clear();
        self.told_by_logs.clear();
        self.loader.start(request, &self.background);
    }

    fn has_unsaved(&self) -> bool {
        self.document.is_some() && self.edits.is_unsaved()
    }

    /// Leaves the session that is open; asks first, when edits would be lost.
    fn leave(&mut self, leave: Leave) {
        if self.has_unsaved() {
            self.show_modal(Modal::Unsaved(leave));
        } else {
            self.leave_now(leave);
        }
    }

    fn leave_now(&mut self, leave: Leave) {
        if matches!(self.ui.modal, Some(Modal::Unsaved(_))) {
            self.ui.modal = None;
        }
        match (leave, self.arrived.take()) {
            (Leave::Show(_), Some(loaded)) => self.loaded(loaded),
            (Leave::Show(_), None) => {}
            (Leave::Quit, _) => self.ui.quit = true,
        }
    }

    /// Takes what was loaded. Only now it is known that there is something to take the place of what is open: edits
    /// that would be lost are asked about, and nobody is asked for the sake of a wrong path.
    ///
    /// A load that the user stopped changes nothing of what is open; only an empty window takes what was read of it.
    pub(super) fn arrived(&mut self, loaded: Loaded) {
        if loaded.cancelled && self.document.is_some() {
            self.tell("Loading was cancelled: what was open is still shown");
            return self.catch_up();
        }
        if loaded.added {
            return self.loaded(loaded);
        }
        let first = self.ui.recent.first().and_then(|paths| paths.first());
        let name = first.map_or_else(String::new, |path| path.display().to_string());
        self.arrived = Some(loaded);
        self.leave(Leave::Show(name));
    }

    fn saved(&mut self, path: &Path, mark: Mark) {
        self.edits.keep(mark);
        self.hint(format!("Saved the snapshot: {}", path.display()));
        if let Some(leave) = self.ui.leaving.take() {
            self.leave(leave);
        }
    }

    /// Says why nothing was loaded; what was open stays as it is.
    pub(super) fn not_loaded(&mut self, error: LoadError) {
        let was_sound =
            matches!(error, LoadError::OpenAlready | LoadError::Cancelled | LoadError::GivenUp(_));
        if !was_sound && !matches!(error, LoadError::EditGivenUp) && !self.ui.recent.is_empty() {
            self.ui.recent.remove(0);
        }
        // An analysis that died would die again.
        let is_lost = matches!(error, LoadError::Lost);
        match error {
            LoadError::EditGivenUp => {
                self.pending = None;
                let analysed = self.analysed.clone();
                self.edits.edit(|session| session.overrides = analysed);
                self.tell(capitalized(&error.to_string()));
            }
            LoadError::Nothing(files) if self.document.is_none() => self.unread = files,
            LoadError::OnlyLogs(told) if self.document.is_none() => self.told_by_logs = told,
            // The user knows why.
            LoadError::Cancelled | LoadError::GivenUp(_) if self.document.is_none() => {
                self.tell(capitalized(&error.to_string()));
            }
            error if self.document.is_none() => self.complain(capitalized(&error.to_string())),
            error => self.complain(format!("What was open is still shown: {error}")),
        }
        if is_lost {
            self.pending = None;
        } else {
            self.catch_up();
        }
    }

    fn loaded(&mut self, loaded: Loaded) {
        let mut moved = String::new();
        match self.document.as_ref().filter(|_| loaded.added) {
            Some(old) => {
                let remap = Remap::new(&old.analysis, &loaded.document.analysis);
                self.edits.retarget(|target| remap.target(target));
                let look = self.edits.look();
                look.selection = remap.selection(look.selection);
                // Times may have moved with the clocks; a view that was chosen is kept where the data still is.
                let view = look.view.filter(|_| loaded.again);
                look.view = view
                    .map(|view| TimeView { start: remap.moment(view.start), end: remap.moment(view.end) });
                moved = remap.moved_words();
            }
            None => {
                self.edits.replace(loaded.session);
                self.comparing.forget();
                // Logs that are added to what a snapshot held are likely of its format.
                let format = loaded.document.analysis.logs.iter().rev().find_map(|log| log.format.clone());
                self.log_format = format.or(self.log_format.take());
            }
        }
        let words = [loaded.words, moved].map(|words| (!words.is_empty()).then_some(words));
        if words.iter().any(Option::is_some) {
            self.tell(words.into_iter().flatten().collect::<Vec<_>>().join(" "));
        }
        let leading = leading(&loaded.document.analysis).map(|leading| leading.finding());
        if let Some(old) = self.document.replace(loaded.document) {
            // To free a million exchanges would hold up this frame.
            self.background.spawn("free", move || drop(old));
        }
        self.pending = None;
        self.ui.problems_shown = None;
        (self.ui.scroll_to_row, self.ui.scroll_to_step) = (true, true);
        // The answer first: the window opens on the evidence of what the banner names.
        match leading {
            _ if loaded.restored || loaded.again => {}
            Some(finding) => navigate::to_finding(self, finding),
            None => navigate::fit(self),
        }
        self.analysed = loaded.overrides;
        self.catch_up();
    }

    fn annotate(&mut self) {
        let first = selected_targets(&self.edits.session().selection).next();
        match first {
            Some(target) => self.show_note(None, target, String::new()),
            None => self.hint("Select an exchange, a connection or a moment first; then write the note"),
        }
    }

    /// Shows the form of a note. What else is selected can be chosen there in place of its target.
    fn show_note(&mut self, index: Option<usize>, target: Target, text: String) {
        let mut choices: Vec<Target> = selected_targets(&self.edits.session().selection).collect();
        let kind = std::mem::discriminant(&target);
        match choices.iter_mut().find(|choice| std::mem::discriminant(*choice) == kind) {
            Some(same) => *same = target,
            None => choices.push(target),
        }
        self.show_modal(Modal::Note { index, target, choices, text });
    }

    fn save_note(&mut self, index: Option<usize>, target: Target, text: &str) {
        self.ui.modal = None;
        if text.is_empty() {
            return;
        }
        self.edits.edit(|session| {
            let note = Annotation { target, text: text.to_owned() };
            match index.and_then(|index| session.annotations.get_mut(index)) {
                Some(known) => *known = note,
                None => session.annotations.push(note),
            }
        });
    }

    /// The finding that keys and commands are about: the selected one, else the first.
    fn selected_finding(&self) -> usize {
        self.edits.session().selection.finding.unwrap_or(0)
    }

    fn copy_fix(&mut self, ctx: &Context, index: usize) {
        let findings = self.document.as_ref().map(|d| &d.analysis.diagnosis.findings);
        let fix = findings.and_then(|all| all.get(index)).and_then(|finding| finding.fixes.first()).cloned();
        match fix {
            Some(fix) => {
                ctx.copy_text(fix.change);
                self.hint(match fix.product.as_str() {
                    "" => "Copied the change".to_owned(),
                    product => format!("Copied the change for {product}"),
                });
            }
            None => self.hint("This finding has no fix to copy"),
        }
    }

    fn copy_wireshark_filter(&mut self, ctx: &Context) {
        let connection = self.edits.session().selection.connection;
        let filter = self.document.as_ref().zip(connection).map(|(document, id)| {
            let connection = document.analysis.connection(id).inner;
            super::format::wireshark_filter(connection.client, connection.server)
        });
        match filter {
            Some(filter) => {
                ctx.copy_text(filter);
                self.hint("Copied the Wireshark display filter of this connection");
            }
            None => self.hint("Select a connection first"),
        }
    }

    fn save_to(&mut self, path: PathBuf) {
        self.ui.modal = None;
        let Some(document) = &self.document else {
            self.tell("There is nothing to save yet: open captures first");
            return;
        };
        if self.saver.is_busy() {
            self.ui.leaving = None;
            self.tell("Still saving; try again in a moment");
            return;
        }
        self.saver.start(document, &self.edits, path, &self.background);
    }
}

/// What the user said about the chain, as far as it holds for other captures of it: the same lanes have the same
/// names; clocks and indices of captures are a session's own.
fn for_other_captures(ours: &Overrides) -> Overrides {
    Overrides { clock_ns: Vec::new(), taken_at: Vec::new(), ..ours.clone() }
}

/// What a note may be about, the most particular first.
fn selected_targets(selection: &Selection) -> impl Iterator<Item = Target> + use<> {
    let exchange = selection.exchange.map(Target::Exchange);
    let connection = selection.connection.map(Target::Connection);
    [exchange, connection, selection.cursor.map(Target::Moment)].into_iter().flatten()
}
