//! The commands: one list feeds the palette, tooltips and keyboard shortcuts, so that they cannot disagree.

use egui::{Key, KeyboardShortcut, Modifiers};

/// Something the user can tell the window to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "`Command::info` holds each one's words")]
pub enum Command {
    Open,
    OpenFolder,
    OpenPath,
    Add,
    AddFolder,
    AddPath,
    CancelLoad,
    Save,
    SavePath,
    Undo,
    Redo,
    Palette,
    FocusFilter,
    ClearFilter,
    ShowEvidence,
    WhySure,
    CopyFix,
    EditChain,
    Compare,
    CompareFolder,
    ComparePath,
    CancelCompare,
    ShowComparison,
    SwapComparison,
    NextStep,
    PreviousStep,
    FirstStep,
    LastStep,
    CopyWiresharkFilter,
    NextFailure,
    PreviousFailure,
    NextRow,
    PreviousRow,
    Annotate,
    Fit,
    FitAll,
    FitSelection,
    ZoomIn,
    ZoomOut,
    PanLeft,
    PanRight,
    ShowExchanges,
    ShowConnections,
    ShowStatistics,
    ShowFigures,
    NextFinding,
    PreviousFinding,
    ShowTree,
    ShowHeaders,
    ShowBody,
    ShowTiming,
    ShowFrames,
    ToggleZone,
    ToggleTheme,
    Quit,
}

/// A command's words and keys.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// What the palette calls it.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub help: &'static str,
    /// Its keys.
    pub shortcut: Option<KeyboardShortcut>,
}

const PLAIN: Modifiers = Modifiers::NONE;
const SHIFT: Modifiers = Modifiers::SHIFT;
const CTRL: Modifiers = Modifiers::COMMAND;
const CTRL_SHIFT: Modifiers = Modifiers { shift: true, ..Modifiers::COMMAND };

impl Command {
    /// All commands, in the palette's order.
    pub const ALL: [Self; 55] = [
        Self::Open,
        Self::OpenFolder,
        Self::OpenPath,
        Self::Add,
        Self::AddFolder,
        Self::AddPath,
        Self::CancelLoad,
        Self::Save,
        Self::SavePath,
        Self::ShowEvidence,
        Self::WhySure,
        Self::CopyFix,
        Self::EditChain,
        Self::Compare,
        Self::CompareFolder,
        Self::ComparePath,
        Self::CancelCompare,
        Self::ShowComparison,
        Self::SwapComparison,
        Self::NextStep,
        Self::PreviousStep,
        Self::FirstStep,
        Self::LastStep,
        Self::CopyWiresharkFilter,
        Self::NextFailure,
        Self::PreviousFailure,
        Self::Annotate,
        Self::Undo,
        Self::Redo,
        Self::FocusFilter,
        Self::ClearFilter,
        Self::NextRow,
        Self::PreviousRow,
        Self::Fit,
        Self::FitAll,
        Self::FitSelection,
        Self::ZoomIn,
        Self::ZoomOut,
        Self::PanLeft,
        Self::PanRight,
        Self::ShowExchanges,
        Self::ShowConnections,
        Self::ShowStatistics,
        Self::ShowFigures,
        Self::NextFinding,
        Self::PreviousFinding,
        Self::ShowTree,
        Self::ShowHeaders,
        Self::ShowBody,
        Self::ShowTiming,
        Self::ShowFrames,
        Self::ToggleZone,
        Self::ToggleTheme,
        Self::Palette,
        Self::Quit,
    ];

    /// Its words and keys.
    pub fn info(self) -> Info {
        let (name, help, keys) = match self {
            Self::Open => {
                ("Open…", "Choose captures or a snapshot; they replace what is shown", Some((CTRL, Key::O)))
            }
            Self::OpenFolder => (
                "Open folder…",
                "Choose folders; the captures and logs in them replace what is shown",
                Some((CTRL, Key::D)),
            ),
            Self::OpenPath => {
                ("Open path…", "Type a path to open; for when no file dialog can", Some((CTRL, Key::L)))
            }
            Self::Add => {
                ("Add captures…", "Choose captures to load beside those shown", Some((CTRL_SHIFT, Key::O)))
            }
            Self::AddFolder => (
                "Add folder…",
                "Choose folders; the captures and logs in them are loaded beside those shown",
                Some((CTRL_SHIFT, Key::D)),
            ),
            Self::AddPath => {
                ("Add path…", "Type a path to load beside what is shown", Some((CTRL_SHIFT, Key::L)))
            }
            Self::CancelLoad => {
                ("Cancel loading", "Stop reading and keep what was read; stop the analysis of it", None)
            }
            Self::Save => (
                "Save snapshot…",
                "Write names, notes, view and findings to a .ron file",
                Some((CTRL, Key::S)),
            ),
            Self::SavePath => {
                ("Save snapshot to path…", "Type where to write the snapshot", Some((CTRL_SHIFT, Key::S)))
            }
            Self::Undo => ("Undo", "Take the last edit back", Some((CTRL, Key::Z))),
            Self::Redo => ("Redo", "Make the last undone edit again", Some((CTRL_SHIFT, Key::Z))),
            Self::Palette => ("Commands…", "This list: type to find, Enter to run", Some((CTRL, Key::K))),
            Self::FocusFilter => ("Filter the tables", "Go to the filter field", Some((CTRL, Key::F))),
            Self::ClearFilter => ("Clear the filter", "Show all exchanges and connections again", None),
            Self::ShowEvidence => {
                ("Show evidence", "Go to the packet that proves the selected finding", Some((PLAIN, Key::E)))
            }
            Self::WhySure => {
                ("Why so sure?", "The finding's reasons, doubts and fixes", Some((PLAIN, Key::W)))
            }
            Self::CopyFix => ("Copy fix", "Copy the change that mends the finding", None),
            Self::EditChain => (
                "Lanes and clocks…",
                "Order, names and addresses of the hops; the captures' clock offsets",
                Some((PLAIN, Key::L)),
            ),
            Self::Compare => {
                ("Compare with…", "Choose captures or a snapshot of before or after a change", None)
            }
            Self::CompareFolder => {
                ("Compare with folder…", "Choose the folder of captures of before or after a change", None)
            }
            Self::ComparePath => ("Compare with path…", "Type the path of a session to compare with", None),
            Self::CancelCompare => ("Cancel comparing", "Stop reading the other session", None),
            Self::ShowComparison => {
                ("Compare…", "The figures of this session and another side by side", Some((PLAIN, Key::C)))
            }
            Self::SwapComparison => (
                "Swap before and after",
                "Compare the other way round: the other session was recorded before the change",
                None,
            ),
            Self::NextStep => {
                ("Next step", "Go to the next step of the connection", Some((PLAIN, Key::CloseBracket)))
            }
            Self::PreviousStep => ("Previous step", "Go to the step before", Some((PLAIN, Key::OpenBracket))),
            Self::FirstStep => ("First step", "Go to the connection's first step", Some((PLAIN, Key::Home))),
            Self::LastStep => ("Last step", "Go to the connection's last step", Some((PLAIN, Key::End))),
            Self::CopyWiresharkFilter => {
                ("Copy Wireshark filter", "Copy a display filter for the selected connection", None)
            }
            Self::NextFailure => {
                ("Next failure", "Select the next failed exchange in time", Some((PLAIN, Key::Period)))
            }
            Self::PreviousFailure => {
                ("Previous failure", "Select the failed exchange before", Some((PLAIN, Key::Comma)))
            }
            Self::NextRow => {
                ("Next row", "Select the next exchange, or connection, in the table", Some((PLAIN, Key::J)))
            }
            Self::PreviousRow => (
                "Previous row",
                "Select the exchange, or connection, before in the table",
                Some((PLAIN, Key::K)),
            ),
            Self::Annotate => (
                "Note on selection…",
                "Write a note on the selected exchange, connection or moment",
                Some((PLAIN, Key::N)),
            ),
            Self::Fit => (
                "Fit",
                "Show all exchanges; of several recordings the one with the selection, and all when pressed again",
                Some((PLAIN, Key::F)),
            ),
            Self::FitAll => ("Fit all", "Show the whole session in the timeline", Some((SHIFT, Key::F))),
            Self::FitSelection => {
                ("Fit selection", "Zoom the timeline to the selected request", Some((PLAIN, Key::S)))
            }
            Self::ZoomIn => ("Zoom in", "Zoom the timeline in around the cursor", Some((PLAIN, Key::Plus))),
            Self::ZoomOut => {
                ("Zoom out", "Zoom the timeline out around the cursor", Some((PLAIN, Key::Minus)))
            }
            Self::PanLeft => ("Pan left", "Move the timeline to earlier times", Some((PLAIN, Key::A))),
            Self::PanRight => ("Pan right", "Move the timeline to later times", Some((PLAIN, Key::D))),
            Self::ShowExchanges => ("Show exchanges", "The table of all exchanges", Some((PLAIN, Key::Num1))),
            Self::ShowConnections => {
                ("Show connections", "The table of all connections", Some((PLAIN, Key::Num2)))
            }
            Self::ShowStatistics => {
                ("Show statistics", "Answers over time and latencies by link", Some((PLAIN, Key::Num3)))
            }
            Self::ShowFigures => (
                "Show where it starts",
                "Ordinals, idle gaps, attempts and server addresses of a link",
                Some((PLAIN, Key::Num4)),
            ),
            Self::NextFinding => {
                ("Next finding", "Go to the evidence of the next finding", Some((PLAIN, Key::G)))
            }
            Self::PreviousFinding => {
                ("Previous finding", "Go to the evidence of the finding before", Some((SHIFT, Key::G)))
            }
            Self::ShowTree => ("Show tree", "Who called whom, attempt by attempt", Some((PLAIN, Key::R))),
            Self::ShowHeaders => {
                ("Show headers", "The headers of the selected exchange", Some((PLAIN, Key::H)))
            }
            Self::ShowBody => ("Show body", "The bodies of the selected exchange", Some((PLAIN, Key::B))),
            Self::ShowTiming => (
                "Show timing",
                "When the selected exchange did what, and for how long",
                Some((PLAIN, Key::M)),
            ),
            Self::ShowFrames => {
                ("Show frames", "The packets of the selected exchange", Some((PLAIN, Key::P)))
            }
            Self::ToggleZone => ("UTC or local time", "Print times in the other zone", Some((PLAIN, Key::U))),
            Self::ToggleTheme => ("Dark or light", "Change the theme", Some((PLAIN, Key::T))),
            Self::Quit => ("Quit", "Close the window", Some((CTRL, Key::Q))),
        };
        let shortcut = keys.map(|(modifiers, key)| KeyboardShortcut::new(modifiers, key));
        Info { name, help, shortcut }
    }

    /// Its keys as text; empty when it has none.
    pub fn keys(self, ctx: &egui::Context) -> String {
        let Some(shortcut) = self.info().shortcut else { return String::new() };
        // Keys as they are printed on the keyboard: `]`, not `CloseBracket`.
        let key = shortcut.logical_key.symbol_or_name();
        let whole = ctx.format_shortcut(&shortcut);
        whole.strip_suffix(shortcut.logical_key.name()).map_or(whole.clone(), |rest| format!("{rest}{key}"))
    }

    /// A tooltip: what it does, and its keys.
    pub fn tooltip(self, ctx: &egui::Context) -> String {
        let keys = self.keys(ctx);
        if keys.is_empty() { self.info().help.to_owned() } else { format!("{} ({keys})", self.info().help) }
    }
}

/// Further keys for commands that have their own.
const ALSO: [(Modifiers, Key, Command); 6] = [
    (PLAIN, Key::Questionmark, Command::Palette),
    (PLAIN, Key::Slash, Command::FocusFilter),
    (CTRL, Key::Y, Command::Redo),
    (PLAIN, Key::Equals, Command::ZoomIn),
    (PLAIN, Key::ArrowDown, Command::NextRow),
    (PLAIN, Key::ArrowUp, Command::PreviousRow),
];

/// All keys with their commands; those with more modifiers first, because matching ignores extra shifts.
fn bindings() -> Vec<(KeyboardShortcut, Command)> {
    let own = Command::ALL.iter().filter_map(|&command| Some((command.info().shortcut?, command)));
    let also = ALSO.iter().map(|&(modifiers, key, command)| (KeyboardShortcut::new(modifiers, key), command));
    let mut all: Vec<_> = own.chain(also).collect();
    all.sort_by_key(|(shortcut, _)| !shortcut.modifiers.shift);
    all
}

/// The commands whose keys were pressed this frame. While a text field has the keyboard (`typing`), only
/// those with Ctrl count.
pub fn pressed(ctx: &egui::Context, typing: bool) -> Vec<Command> {
    // Most frames carry no key at all.
    let any =
        ctx.input(|i| i.events.iter().any(|event| matches!(event, egui::Event::Key { pressed: true, .. })));
    if !any {
        return Vec::new();
    }
    let reserved_for_text = [Command::Undo, Command::Redo];
    ctx.input_mut(|input| {
        bindings()
            .into_iter()
            .filter(|(shortcut, command)| {
                !typing || (shortcut.modifiers.command && !reserved_for_text.contains(command))
            })
            .filter_map(|(shortcut, command)| input.consume_shortcut(&shortcut).then_some(command))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_commands_share_their_keys() {
        let all = bindings();
        for (at, (shortcut, command)) in all.iter().enumerate() {
            for (other, rival) in &all[..at] {
                assert!(shortcut != other, "{command:?} and {rival:?} share {shortcut:?}");
            }
        }
    }

    #[test]
    fn every_command_is_listed_once_and_has_words() {
        for (at, command) in Command::ALL.iter().enumerate() {
            assert!(!Command::ALL[..at].contains(command), "{command:?} twice");
            assert!(!command.info().name.is_empty() && !command.info().help.is_empty());
        }
        assert_eq!(Command::ALL.len(), Command::Quit as usize + 1);
    }

    #[test]
    fn keys_with_shift_are_tried_before_those_without() {
        let all = bindings();
        let at = |command| all.iter().position(|&(_, c)| c == command).unwrap();
        assert!(at(Command::Add) < at(Command::Open));
    }
}
