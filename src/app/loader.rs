//! Loading on a thread: paths to facts, analysis and what the panes precompute, with progress and cancel.

use std::path::PathBuf;
use std::sync::Arc;

use super::background::{Background, Progressing, Task};
use super::document::Document;
use crate::analysis;
use crate::http::CaptureFacts;
use crate::load::{self, Progress};
use crate::topology::Overrides;

/// What to read, and what to keep.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Files and folders to read.
    pub paths: Vec<PathBuf>,
    /// Captures already read that stay.
    pub keep: Vec<Arc<CaptureFacts>>,
    /// What the user said about the chain.
    pub overrides: Overrides,
}

/// What came of a request.
pub struct Loaded {
    /// The document.
    pub document: Document,
    /// What the user said about the chain.
    pub overrides: Overrides,
    /// Whether captures shown before are among them.
    pub added: bool,
    /// Whether the user stopped it: the document then holds what was read so far.
    pub cancelled: bool,
}

struct Job {
    progress: Arc<Progress>,
    task: Task<Loaded>,
    what: String,
}

/// The one load that may be under way.
#[derive(Default)]
pub struct Loader {
    job: Option<Job>,
}

impl Loader {
    /// Starts a load; one under way is told to stop, and its result is dropped.
    pub fn start(&mut self, request: Request, background: &Background) {
        self.cancel();
        let progress = Arc::new(Progress::default());
        let what = describe(&request.paths);
        let shared = Arc::clone(&progress);
        let task = background.spawn("loader", move || read(request, &shared));
        self.job = Some(Job { progress, task, what });
    }

    /// Asks the load under way to stop and to give what it has.
    pub fn cancel(&self) {
        if let Some(job) = &self.job {
            job.progress.cancel();
        }
    }

    /// The result, once it is there; an error when the loading thread died.
    pub fn poll(&mut self) -> Option<Result<Loaded, LoaderLost>> {
        let result = match self.job.as_ref()?.task.poll() {
            Progressing::Running => return None,
            Progressing::Done(loaded) => Ok(loaded),
            Progressing::Lost => Err(LoaderLost),
        };
        self.job = None;
        Some(result)
    }

    /// Bytes read, bytes in all (0 while not known), and what is being read.
    pub fn progress(&self) -> Option<(u64, u64, &str)> {
        self.job.as_ref().map(|job| (job.progress.done(), job.progress.total(), job.what.as_str()))
    }
}

/// The loading thread ended without a result.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("loading stopped unexpectedly; what was open before is still shown")]
pub struct LoaderLost;

fn read(request: Request, progress: &Progress) -> Loaded {
    let added = !request.keep.is_empty();
    let mut captures = request.keep;
    if !request.paths.is_empty() {
        let mut files = load::expand(&request.paths);
        // What is shown already would count everything in it twice.
        files.retain(|file| captures.iter().all(|capture| capture.info.path != *file));
        captures.extend(load::load(&files, progress));
    }
    let analysis = analysis::analyse(captures, &request.overrides);
    Loaded {
        document: Document::new(analysis),
        overrides: request.overrides,
        added,
        cancelled: progress.is_cancelled(),
    }
}

fn describe(paths: &[PathBuf]) -> String {
    match paths {
        [] => "the analysis".to_owned(),
        [one] => one.display().to_string(),
        [first, rest @ ..] => format!("{} and {} more", first.display(), rest.len()),
    }
}
