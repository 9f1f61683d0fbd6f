//! Saving a session snapshot on a thread: the captures' fingerprints take their time on large files.

use std::path::{Path, PathBuf};

use super::background::{Background, Progressing, Task};
use super::document::Document;
use crate::capture;
use crate::session::{History, Mark, Session, Snapshot, SnapshotError};

/// The one save that may be under way.
#[derive(Default)]
pub struct Saver {
    job: Option<Job>,
}

/// A save: where to, which edits, and what comes of it.
struct Job {
    path: PathBuf,
    mark: Mark,
    task: Task<Result<(), SnapshotError>>,
}

impl Saver {
    /// Starts to save; without an ending of its own the path gets `.ron`.
    pub fn start(&mut self, document: &Document, edits: &History, path: PathBuf, background: &Background) {
        let path = if path.extension().is_some() { path } else { path.with_extension("ron") };
        let (document, session, target) = (document.clone(), edits.session().clone(), path.clone());
        let task = background.spawn("saver", move || save(&document, &session, &target));
        self.job = Some(Job { path, mark: edits.mark(), task });
    }

    /// Whether a save is under way.
    pub fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// What came of it, once it is done: the path and which edits it holds, or why not.
    pub fn poll(&mut self) -> Option<Result<(PathBuf, Mark), SaveError>> {
        let result = match self.job.as_ref()?.task.poll() {
            Progressing::Running => return None,
            Progressing::Done(result) => result.map_err(SaveError::Snapshot),
            Progressing::Lost => Err(SaveError::Lost),
        };
        let Job { path, mark, .. } = self.job.take()?;
        Some(result.map(|()| (path, mark)))
    }
}

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The saving thread ended without a result.
    #[error("saving stopped unexpectedly; try again")]
    Lost,
    /// The snapshot could not be written.
    #[error(transparent)]
    Snapshot(SnapshotError),
}

fn save(document: &Document, session: &Session, path: &Path) -> Result<(), SnapshotError> {
    let fingerprint = |info: &capture::CaptureInfo| {
        // A capture that is gone by now is named all the same, by the size it had.
        capture::fingerprint(&info.path, || false).unwrap_or((info.first_bytes(), String::new()))
    };
    let fingerprints: Vec<_> =
        document.analysis.captures.iter().map(|capture| fingerprint(&capture.info)).collect();
    Snapshot::of(&document.analysis, session, &fingerprints).save(path)
}
