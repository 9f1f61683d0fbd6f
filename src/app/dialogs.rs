//! The system's file dialogs, behind a trait so that tests can stand in for them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::background::{Background, Progressing, Task};

/// Asks the user for files. `None` means that nothing was chosen, or that no dialog could open.
pub trait FileDialog: Send + Sync {
    /// Files to open.
    fn open(&self) -> Option<Vec<PathBuf>>;
    /// Folders to open: of each what a folder on the command line stands for.
    fn open_folders(&self) -> Option<Vec<PathBuf>>;
    /// A file to write.
    fn save(&self, name: &str) -> Option<PathBuf>;
}

/// Endings of what can be opened: captures, also packed ones, logs and snapshots.
const OPENED: [&str; 9] = ["pcap", "pcapng", "cap", "dmp", "ntar", "gz", "zst", "log", "ron"];

/// The dialog of the desktop.
pub struct SystemDialog;

impl FileDialog for SystemDialog {
    fn open(&self) -> Option<Vec<PathBuf>> {
        rfd::FileDialog::new()
            .set_title("Open captures, logs or a session snapshot")
            .add_filter("Captures, logs and snapshots", &OPENED)
            .add_filter("All files", &["*"])
            .pick_files()
    }

    fn open_folders(&self) -> Option<Vec<PathBuf>> {
        rfd::FileDialog::new().set_title("Open folders of captures and logs").pick_folders()
    }

    fn save(&self, name: &str) -> Option<PathBuf> {
        rfd::FileDialog::new()
            .set_title("Save a session snapshot")
            .add_filter("Session snapshot", &["ron"])
            .set_file_name(name)
            .save_file()
    }
}

/// What a dialog is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Open in place of what is shown.
    Replace,
    /// Open beside what is shown.
    Add,
    /// Compare with what is shown.
    Compare,
    /// Save a snapshot.
    Save,
}

/// What a dialog lets choose: the desktop's dialogs pick either files or folders, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Files.
    Files,
    /// Folders.
    Folders,
}

/// What came of a dialog.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The user chose.
    Chosen(Purpose, Vec<PathBuf>),
    /// The user closed the dialog.
    Cancelled,
    /// No dialog opened: the path has to be typed.
    Unavailable(Purpose),
}

/// A dialog that "was cancelled" faster than a hand can move never opened: rfd does not tell the two apart
/// (without a portal it gives up after about 11 ms).
const QUICKEST_CANCEL: Duration = Duration::from_millis(300);

/// The one dialog that may be open.
pub struct Dialogs {
    dialog: Arc<dyn FileDialog>,
    waiting: Option<(Purpose, Task<Reply>)>,
}

/// What a dialog returned, and how long it was open.
type Reply = (Option<Vec<PathBuf>>, Duration);

impl Dialogs {
    /// Dialogs of this kind.
    pub fn new(dialog: Arc<dyn FileDialog>) -> Self {
        Self { dialog, waiting: None }
    }

    /// Opens a dialog on a thread of its own; one that is open already stays the only one.
    pub fn ask(&mut self, purpose: Purpose, pick: Pick, background: &Background) {
        if self.waiting.is_some() {
            return;
        }
        let dialog = Arc::clone(&self.dialog);
        let task = background.spawn("file dialog", move || {
            let asked = Instant::now();
            let chosen = match (purpose, pick) {
                (Purpose::Save, _) => dialog.save("hopscope.ron").map(|path| vec![path]),
                (_, Pick::Files) => dialog.open(),
                (_, Pick::Folders) => dialog.open_folders(),
            };
            (chosen, asked.elapsed())
        });
        self.waiting = Some((purpose, task));
    }

    /// The answer, once it is there.
    pub fn poll(&mut self) -> Option<Answer> {
        let (purpose, task) = self.waiting.as_ref()?;
        let answer = match task.poll() {
            Progressing::Running => return None,
            Progressing::Done((Some(paths), _)) if !paths.is_empty() => Answer::Chosen(*purpose, paths),
            Progressing::Done((_, took)) if took >= QUICKEST_CANCEL => Answer::Cancelled,
            Progressing::Done(_) | Progressing::Lost => Answer::Unavailable(*purpose),
        };
        self.waiting = None;
        Some(answer)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A dialog that answers at once; of folders only with those of its paths that are some.
    pub struct FakeDialog(pub Option<Vec<PathBuf>>);

    impl FileDialog for FakeDialog {
        fn open(&self) -> Option<Vec<PathBuf>> {
            self.0.clone()
        }
        fn open_folders(&self) -> Option<Vec<PathBuf>> {
            Some(self.0.as_ref()?.iter().filter(|path| path.is_dir()).cloned().collect())
        }
        fn save(&self, _name: &str) -> Option<PathBuf> {
            self.0.as_ref()?.first().cloned()
        }
    }

    #[test]
    fn a_dialog_that_never_opened_asks_for_the_path() {
        let mut dialogs = Dialogs::new(Arc::new(FakeDialog(None)));
        dialogs.ask(Purpose::Add, Pick::Files, &Background::inline());
        assert_eq!(dialogs.poll(), Some(Answer::Unavailable(Purpose::Add)));
        assert_eq!(dialogs.poll(), None);
    }

    #[test]
    fn chosen_files_come_with_their_purpose() {
        let mut dialogs = Dialogs::new(Arc::new(FakeDialog(Some(vec!["a.pcap".into()]))));
        dialogs.ask(Purpose::Replace, Pick::Files, &Background::inline());
        assert_eq!(dialogs.poll(), Some(Answer::Chosen(Purpose::Replace, vec!["a.pcap".into()])));
    }
}
