//! Opening: which of the paths given is opened, and a snapshot with its captures or, when these are gone, without.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{CaptureState, Session, Snapshot, SnapshotError};
use crate::analysis::{self, Analysis};
use crate::capture::{self, Bodies, CaptureInfo, Problem, ProblemKind};
use crate::http::CaptureFacts;
use crate::load::{self, Progress};
use crate::stop::{Stop, Stopped};
use crate::topology::{self, LaneOverride, Remark};

/// Said when lanes were given to a snapshot that cannot be analysed anew.
const LANES_NEED_CAPTURES: &str = "the lanes given have no effect: the captures are not as they were, and a snapshot holds its lanes as they were found";

/// Whether a path names a session snapshot.
pub fn is_snapshot(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("ron"))
}

/// What is opened of the paths given.
#[derive(Debug)]
pub enum Chosen {
    /// A snapshot, which holds a session of its own and is opened alone.
    Snapshot {
        /// It.
        snapshot: Box<Snapshot>,
        /// Its file.
        path: PathBuf,
        /// The other paths, which are not opened.
        left_out: Vec<PathBuf>,
    },
    /// Captures, logs and folders of them.
    Captures {
        /// All that is no snapshot.
        paths: Vec<PathBuf>,
        /// The snapshots among them that cannot be read, each as a capture without packets whose problem says why.
        broken: Vec<Arc<CaptureFacts>>,
    },
}

/// Chooses what to open: the first snapshot that can be read, else all the rest. A snapshot that cannot be read is a
/// problem of its own only; without anything beside it, it is the error.
pub fn choose(paths: &[PathBuf]) -> Result<Chosen, SnapshotError> {
    let mut broken = Vec::new();
    for path in paths.iter().filter(|path| is_snapshot(path)) {
        match Snapshot::open(path) {
            Ok(snapshot) => {
                let left_out = paths.iter().filter(|other| *other != path).cloned().collect();
                return Ok(Chosen::Snapshot { snapshot: Box::new(snapshot), path: path.clone(), left_out });
            }
            Err(error) if paths.len() == 1 => return Err(error),
            Err(error) => broken.push(unread(path, &error)),
        }
    }
    let paths = paths.iter().filter(|path| !is_snapshot(path)).cloned().collect();
    Ok(Chosen::Captures { paths, broken })
}

fn unread(path: &Path, error: &SnapshotError) -> Arc<CaptureFacts> {
    let problem = Problem { kind: ProblemKind::Unreadable, detail: error.reason(), count: 1 };
    let mut facts = CaptureFacts::default();
    facts.info = CaptureInfo { path: path.to_owned(), problems: vec![problem], ..CaptureInfo::default() };
    Arc::new(facts)
}

/// Says that other paths were given and not opened; `None` when there were none.
pub fn left_out_words(snapshot: &Path, left_out: &[PathBuf]) -> Option<String> {
    let names = match left_out {
        [] => return None,
        [one] => one.display().to_string(),
        [first, rest @ ..] => format!("{} and {} more", first.display(), rest.len()),
    };
    Some(format!("A snapshot is opened alone: {} is shown, and {names} left out", snapshot.display()))
}

/// How much of a session its snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Exchanges that the captures held.
    pub exchanges: u64,
    /// Exchanges of them that the snapshot holds.
    pub held: u64,
    /// What became of the captures, one sentence each.
    pub notes: Vec<String>,
}

/// A snapshot that was opened.
pub struct Opened {
    /// Of its captures, loaded again; or what it holds of one.
    pub analysis: Analysis,
    /// What the user had made of it.
    pub session: Session,
    /// What no longer fits, in words.
    pub words: Vec<String>,
    /// Set when its captures are gone or changed, and this is only what it holds.
    pub held: Option<Held>,
    /// What a report says of that.
    pub remark: Option<Remark>,
}

/// Opens a snapshot that lies at `path`: its captures are loaded again where all of them are as they were, and `lanes`,
/// when there are any, take the place of those that it was saved with. Otherwise the analysis is what the snapshot holds.
///
/// # Errors
/// When the analysis was given up.
pub fn open(
    mut snapshot: Snapshot,
    path: &Path,
    lanes: &[LaneOverride],
    bodies: Bodies,
    progress: &Progress,
) -> Result<Opened, Stopped> {
    let base = path.parent().unwrap_or(Path::new(""));
    let fingerprint =
        |file: &Path| -> io::Result<_> { capture::fingerprint(file, || progress.is_cancelled()) };
    let located = snapshot.locate(base, fingerprint);
    if located.iter().any(|capture| capture.state != CaptureState::Present) {
        let (exchanges, held) = snapshot.exchange_counts();
        let notes = located.iter().map(|capture| capture.note.clone()).filter(|note| !note.is_empty());
        let held = Some(Held { exchanges, held, notes: notes.collect() });
        let remark = snapshot.remark(&located);
        let (analysis, session) = snapshot.into_analysis();
        let words = if lanes.is_empty() { Vec::new() } else { vec![LANES_NEED_CAPTURES.to_owned()] };
        return Ok(Opened { analysis, session, words, held, remark });
    }
    snapshot.take_lanes(lanes);
    let files: Vec<PathBuf> =
        located.into_iter().flat_map(|capture| std::iter::once(capture.path).chain(capture.parts)).collect();
    let captures = load::load_for(&files, bodies, progress);
    progress.begin_analysis();
    let (given_up, captures) = (|| progress.is_given_up(), topology::heal(captures));
    let overrides = snapshot.overrides(&captures);
    let (logs, lost) = snapshot.read_logs(base);
    let mut analysis = analysis::analyse_unless(captures, logs, &overrides, Stop::when(&given_up))?;
    snapshot.keep_log_lines(&mut analysis);
    let (session, mut words) = snapshot.restore(&analysis);
    words.extend(lost);
    Ok(Opened { analysis, session, words, held: None, remark: None })
}
