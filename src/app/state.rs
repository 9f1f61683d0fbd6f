//! Everything the window holds, and the actions that panes give back to change it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::background::Background;
use super::chain::ChainEdit;
use super::command::Command;
use super::comparing::Comparing;
use super::contents::ContentsCache;
use super::dialogs::{Dialogs, FileDialog};
use super::document::Document;
use super::format::Clock;
use super::loader::{Loaded, Loader, Unread};
use super::panes::lanes::Draft;
use super::pending::Pending;
use super::rows::{Column, ConnectionColumn, Orders, Rows};
use super::saver::Saver;
use super::story::Story;
use super::timeline_pane::TimelineState;
use crate::capture::SessionTime;
use crate::logs::LogFormat;
use crate::session::{History, Session, Target, TimeView};
use crate::topology::{ConnectionId, ExchangeId, LinkId, Overrides};

/// A wish of a pane; all are carried out once a frame, in one place (`update`).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "named by what they do")]
pub enum Action {
    Run(Command),
    SelectFinding(usize),
    /// The reasons of this finding, whichever is selected.
    ExplainFinding(usize),
    /// Copies the first fix of this finding, whichever is selected.
    CopyFixOf(usize),
    SelectExchange(ExchangeId),
    /// The same, for where it is in sight already: the view stays as it is.
    SelectInPlace(ExchangeId),
    SelectConnection(ConnectionId),
    SelectStep(usize),
    SetCursor(SessionTime),
    SetView(Option<TimeView>),
    SetFilter(String),
    SortBy(Column),
    SortConnectionsBy(ConnectionColumn),
    ShowTab(Tab),
    ShowFigures(LinkId),
    ShowDetail(DetailTab),
    GoTo(Target),
    WriteNote(Target),
    EditNote(usize),
    DeleteNote(usize),
    SaveNote {
        index: Option<usize>,
        target: Target,
        text: String,
    },
    Open {
        paths: Vec<PathBuf>,
        add: bool,
    },
    /// Of the access logs that are opened from now on; `None` where their lines tell.
    NameLogFormat(Option<LogFormat>),
    EditChain(ChainEdit),
    SaveTo(PathBuf),
    CompareWith(Vec<PathBuf>),
    Copy {
        text: String,
        what: &'static str,
    },
    CloseModal,
    /// Leaves the session, its edits lost or saved.
    LeaveNow(Leave),
    SaveAndLeave(Leave),
    ShowProblems(bool),
    DismissNotice,
}

/// A tab of the bottom panel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "named by what they show")]
pub enum Tab {
    #[default]
    Exchanges,
    Connections,
    Statistics,
    Figures,
}

/// A tab of the request's pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "named by what they show")]
pub enum DetailTab {
    #[default]
    Tree,
    Headers,
    Body,
    Timing,
    Frames,
}

/// A window over the window.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "named by what they are for")]
pub enum Modal {
    /// The command list; `idle` tells whether nothing loads, and nothing is read to compare: neither can be cancelled.
    Palette { query: String, chosen: usize, idle: [bool; 2] },
    /// A path to open, and the format of the access logs there; `hint` says why it is asked for.
    OpenPath { text: String, format: String, add: bool, hint: &'static str },
    /// A path to save to.
    SavePath { text: String, hint: &'static str },
    /// A note being written; `choices` are what it may be about.
    Note { index: Option<usize>, target: Target, choices: Vec<Target>, text: String },
    /// The reasons of a finding.
    WhySure(usize),
    /// Lanes and clocks, with what is being typed there.
    Chain(Draft),
    /// This session and another one; `text` is the path being typed where there is none yet.
    Compare { text: String },
    /// A path to compare with.
    ComparePath { text: String, hint: &'static str },
    /// Edits would be lost by what the user is about to do.
    Unsaved(Leave),
    /// Files were let go over what is open.
    Dropped(Vec<PathBuf>),
}

/// What ends the session that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named by what they do")]
pub enum Leave {
    /// What was loaded takes its place: by name.
    Show(String),
    /// The window closes.
    Quit,
}

/// A short message that stays until the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The message.
    pub text: String,
    /// Whether something failed.
    pub is_error: bool,
    /// Whether it goes with the next thing that is done, or by itself after a while.
    pub is_passing: bool,
    /// When it was first said.
    pub since: Instant,
}

/// What the window itself remembers: which tab, which modal, which zone.
#[derive(Default)]
pub struct UiState {
    /// Prints times.
    pub clock: Clock,
    /// Bottom tab.
    pub tab: Tab,
    /// The link whose figures are shown; `None` for the one where failures begin.
    pub figures: Option<LinkId>,
    /// Tab of the request's pane.
    pub detail: DetailTab,
    /// The tables' orders.
    pub orders: Orders,
    /// The modal that is open.
    pub modal: Option<Modal>,
    /// Whether the modal's field still has to get the keyboard.
    pub focus_modal: bool,
    /// Whether the filter field has to get the keyboard.
    pub focus_filter: bool,
    /// Whether the table has to scroll to the selected row.
    pub scroll_to_row: bool,
    /// Whether the steps have to scroll to the current one.
    pub scroll_to_step: bool,
    /// Whether the files' problems are listed; `None` lists them only when one is serious.
    pub problems_shown: Option<bool>,
    /// Paths opened before, latest first.
    pub recent: Vec<Vec<PathBuf>>,
    /// What happens once the edits are saved.
    pub leaving: Option<Leave>,
    /// Whether the window is to close.
    pub quit: bool,
}

/// Everything the window holds.
pub struct AppState {
    /// What is open; `None` before the first load.
    pub(super) document: Option<Document>,
    /// Its lanes as edited since, until the analysis with these edits is there.
    pub(super) pending: Option<Pending>,
    /// What the user had said about the chain when that was analysed.
    pub(super) analysed: Overrides,
    /// The session with undo.
    pub(super) edits: History,
    /// The save under way.
    pub(super) saver: Saver,
    /// The load under way.
    pub(super) loader: Loader,
    /// The comparison with another session.
    pub(super) comparing: Comparing,
    /// The dialog that is open.
    pub(super) dialogs: Dialogs,
    /// Starts threads.
    pub(super) background: Background,
    /// The table's rows.
    pub(super) rows: Rows,
    /// The steps.
    pub(super) story: Story,
    /// What the timeline keeps between frames.
    pub(super) timeline: TimelineState,
    /// Headers and body of the exchange looked at.
    pub(super) contents: ContentsCache,
    /// Tabs, modals.
    pub(super) ui: UiState,
    /// The last message.
    pub(super) notice: Option<Notice>,
    /// What was loaded in place of a session with unsaved edits, until the user has said what becomes of them.
    pub(super) arrived: Option<Loaded>,
    /// The files that were to be opened first, when none of them held anything.
    pub(super) unread: Vec<Unread>,
    /// What logs told that were opened without a capture; empty otherwise.
    pub(super) told_by_logs: String,
    /// The format of access logs that are not known by their lines, as the user gave it.
    pub(super) log_format: Option<LogFormat>,
}

impl AppState {
    /// An empty window.
    pub fn new(background: Background, dialog: Arc<dyn FileDialog>) -> Self {
        Self {
            document: None,
            pending: None,
            analysed: Overrides::default(),
            edits: History::default(),
            saver: Saver::default(),
            loader: Loader::default(),
            comparing: Comparing::default(),
            dialogs: Dialogs::new(dialog),
            background,
            rows: Rows::default(),
            story: Story::default(),
            timeline: TimelineState::default(),
            contents: ContentsCache::default(),
            ui: UiState::default(),
            notice: None,
            arrived: None,
            unread: Vec::new(),
            told_by_logs: String::new(),
            log_format: None,
        }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        self.edits.session()
    }

    /// Shows a message.
    pub(super) fn tell(&mut self, text: impl Into<String>) {
        self.notice =
            Some(Notice { text: text.into(), is_error: false, is_passing: false, since: Instant::now() });
    }

    /// Shows a message about what was just asked for: it goes with the next thing that is done.
    pub(super) fn hint(&mut self, text: impl Into<String>) {
        self.notice =
            Some(Notice { text: text.into(), is_error: false, is_passing: true, since: Instant::now() });
    }

    /// Shows a message about something that failed.
    pub(super) fn complain(&mut self, text: impl Into<String>) {
        self.notice =
            Some(Notice { text: text.into(), is_error: true, is_passing: false, since: Instant::now() });
    }
}
