//! Loading on a thread: paths to facts, analysis and what the panes precompute, with progress and cancel.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::background::{Background, Progressing, Task};
use super::document::Document;
use crate::analysis;
use crate::capture::{Bodies, CaptureInfo};
use crate::export;
use crate::http::CaptureFacts;
use crate::load::{self, Given, Progress};
use crate::logs::{LogFile, LogFormat};
use crate::session::{self, Chosen, Opened, Session, Snapshot, SnapshotError};
use crate::stop::{Stop, Stopped};
use crate::topology::{self, LaneOverride, Overrides};

/// What to read, and what to keep.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Files and folders to read; a sound session snapshot among them is opened, and then nothing else is.
    pub paths: Vec<PathBuf>,
    /// Captures already read that stay.
    pub keep: Vec<Arc<CaptureFacts>>,
    /// Logs already read that stay.
    pub keep_logs: Vec<Arc<LogFile>>,
    /// What the user said about the chain.
    pub overrides: Overrides,
    /// Lanes that a snapshot takes for its own: those of the command line.
    pub lanes: Vec<LaneOverride>,
    /// The format of access logs that are not known by their lines.
    pub log_format: Option<LogFormat>,
}

/// What came of a request.
pub struct Loaded {
    /// The document.
    pub document: Document,
    /// The session to go on with.
    pub session: Session,
    /// Whether the user stopped it: not all that was asked for is there.
    pub cancelled: bool,
    /// Whether captures shown before are among them.
    pub added: bool,
    /// Whether it is a new analysis of what was shown, nothing having been read.
    pub again: bool,
    /// Whether it comes from a snapshot: selection and view are then those of the time.
    pub restored: bool,
    /// What the user had said about the chain when it was analysed.
    pub overrides: Overrides,
    /// What to tell the user; empty when all is well.
    pub words: String,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The loading thread ended without a result.
    #[error("loading stopped unexpectedly; what was open before is still shown")]
    Lost,
    /// The snapshot cannot be opened.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// No file held a packet.
    #[error("{}", listed(.0))]
    Nothing(Vec<Unread>),
    /// Logs, and no capture that they could tell of; with what they tell alone, as a report says it.
    #[error("these are logs: add them to the captures of the same time")]
    OnlyLogs(String),
    /// All of it is shown.
    #[error("these captures are open already")]
    OpenAlready,
    /// The user stopped it before the first packet.
    #[error("loading was cancelled before anything was read")]
    Cancelled,
    /// The user stopped the analysis of what was read.
    #[error("loading was cancelled before the requests were followed across the hops")]
    GivenUp(#[from] Stopped),
    /// The user stopped the analysis that edits of lanes or clocks had asked for.
    #[error("the analysis was cancelled: lanes and clocks are again as it knows them, until you undo that")]
    EditGivenUp,
}

/// A file that gave no packet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The file.
    pub path: PathBuf,
    /// Why, in words.
    pub why: String,
}

impl Unread {
    fn of(info: &CaptureInfo) -> Self {
        let why = match info.problems.first() {
            _ if info.path.is_dir() => "no capture is in this folder or below it".to_owned(),
            Some(problem) => problem.detail.clone(),
            None => format!("a {} file without a packet", info.format),
        };
        Self { path: info.path.clone(), why }
    }
}

fn listed(files: &[Unread]) -> String {
    match files {
        [] => "no file was named".to_owned(),
        [one] => format!("{}: {}", one.why, one.path.display()),
        [first, rest @ ..] => {
            format!("{}: {} (and {} more files)", first.why, first.path.display(), rest.len())
        }
    }
}

struct Job {
    progress: Arc<Progress>,
    task: Task<Result<Loaded, LoadError>>,
    what: String,
    began: Instant,
}

/// How far a load has come.
pub struct Stage<'a> {
    /// Bytes read.
    pub done: u64,
    /// Bytes in all; 0 while not known.
    pub total: u64,
    /// What is being read; empty when captures read before are only analysed anew.
    pub what: &'a str,
    /// Whether all is read, and what was read is being analysed.
    pub is_analysing: bool,
    /// Whether it takes long enough that the user should know: a bar that comes and goes within a blink disturbs.
    pub is_slow: bool,
}

/// What takes longer than this is shown as a bar.
const SLOW: Duration = Duration::from_millis(250);

/// The one load that may be under way.
#[derive(Default)]
pub struct Loader {
    job: Option<Job>,
}

/// Gives the result of a load that waits for it.
#[cfg(test)]
type End = std::sync::mpsc::Sender<Result<Loaded, LoadError>>;

impl Loader {
    /// A load that has been under way for a while, and goes on until the test lets it end.
    #[cfg(test)]
    pub fn waiting(what: &str) -> (Self, Arc<Progress>, End) {
        let (task, end) = Task::to_come();
        let progress = Arc::new(Progress::default());
        let began = Instant::now().checked_sub(SLOW).unwrap_or_else(Instant::now);
        let job = Job { progress: Arc::clone(&progress), task, what: what.to_owned(), began };
        (Self { job: Some(job) }, progress, end)
    }

    /// Starts a load; one under way is told to stop, and its result is dropped.
    pub fn start(&mut self, request: Request, background: &Background) {
        if let Some(job) = &self.job {
            job.progress.give_up();
        }
        let progress = Arc::new(Progress::default());
        let what = describe(&request.paths);
        let shared = Arc::clone(&progress);
        let task = background.spawn("loader", move || read(request, &shared));
        self.job = Some(Job { progress, task, what, began: Instant::now() });
    }

    /// Asks the load under way to stop and to give what it has read; an analysis has nothing to give before its end.
    pub fn cancel(&self) {
        if let Some(job) = &self.job {
            job.progress.cancel();
        }
    }

    /// Whether files are being read, and not only captures read before analysed anew.
    pub fn is_reading(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.what.is_empty())
    }

    /// The result, once it is there.
    pub fn poll(&mut self) -> Option<Result<Loaded, LoadError>> {
        let result = match self.job.as_ref()?.task.poll() {
            Progressing::Running => return None,
            Progressing::Done(result) => result,
            Progressing::Lost => Err(LoadError::Lost),
        };
        self.job = None;
        Some(result)
    }

    /// How far the load under way has come.
    pub fn progress(&self) -> Option<Stage<'_>> {
        self.job.as_ref().map(|job| Stage {
            done: job.progress.done(),
            total: job.progress.total(),
            what: &job.what,
            is_analysing: job.progress.is_analysing(),
            is_slow: job.began.elapsed() >= SLOW,
        })
    }
}

fn read(mut request: Request, progress: &Progress) -> Result<Loaded, LoadError> {
    match session::choose(&request.paths)? {
        Chosen::Snapshot { snapshot, path, left_out } => {
            read_snapshot(*snapshot, &path, &left_out, &request.lanes, progress)
        }
        Chosen::Captures { paths, broken } => {
            request.paths = paths;
            read_captures(request, broken, progress)
        }
    }
}

fn read_captures(
    request: Request,
    broken: Vec<Arc<CaptureFacts>>,
    progress: &Progress,
) -> Result<Loaded, LoadError> {
    let (added, again) = (!request.keep.is_empty(), request.paths.is_empty() && broken.is_empty());
    let (mut captures, mut logs) = (request.keep, request.keep_logs);
    let Given { captures: mut files, logs: mut more_logs, unread } =
        load::sort_out(&request.paths, request.log_format.as_ref());
    // What is shown already would count everything in it twice.
    files.retain(|file| captures.iter().all(|capture| !capture.info.is_of(file)));
    // A log that was read without the right format is read again with it.
    logs.retain(|known| more_logs.iter().all(|log| log.path != known.path || log.format == known.format));
    more_logs.retain(|log| logs.iter().all(|known| known.path != log.path));
    let mut read = load::load(&files, progress);
    read.extend(broken);
    let logs_only = read.is_empty() && !more_logs.is_empty();
    let needs_packets = !(again || added && logs_only);
    // What was open before must not give way to, or be mixed with, files that hold nothing.
    if needs_packets && read.iter().all(|capture| capture.info.packets == 0) {
        return Err(match progress.is_cancelled() {
            true => LoadError::Cancelled,
            false if logs_only => LoadError::OnlyLogs(told_by(more_logs)),
            false if read.is_empty() => LoadError::OpenAlready,
            false => LoadError::Nothing(read.iter().map(|capture| Unread::of(&capture.info)).collect()),
        });
    }
    let captures_are_new = !read.is_empty();
    if captures_are_new {
        load::read_completed_again(&mut captures, progress);
        captures.extend(read);
    }
    progress.begin_analysis();
    let given_up = || progress.is_given_up();
    let stop = Stop::when(&given_up);
    if captures_are_new {
        stop.check()?;
        captures = topology::heal(captures);
    }
    logs.extend(more_logs);
    let analysis = analysis::analyse_unless(captures, logs, &request.overrides, stop)
        .map_err(|stopped| if again { LoadError::EditGivenUp } else { stopped.into() })?;
    let mut words: Vec<String> =
        unread.iter().map(|(path, error)| format!("{error}: {}", path.display())).collect();
    words.extend(cancelled_words(progress));
    Ok(Loaded {
        document: Document::new(analysis),
        session: Session { overrides: request.overrides.clone(), ..Session::default() },
        overrides: request.overrides,
        cancelled: !again && progress.is_cancelled(),
        added,
        again,
        restored: false,
        words: words.join("; "),
    })
}

/// What logs tell without captures: statuses by hop, and behind which proxy the fault lies.
fn told_by(logs: Vec<Arc<LogFile>>) -> String {
    export::text(&analysis::analyse_with_logs(Vec::new(), logs, &Overrides::default()))
}

fn cancelled_words(progress: &Progress) -> Option<String> {
    let words = "Loading was cancelled: this is what was read until then";
    progress.is_cancelled().then(|| words.to_owned())
}

fn read_snapshot(
    snapshot: Snapshot,
    path: &Path,
    left_out: &[PathBuf],
    lanes: &[LaneOverride],
    progress: &Progress,
) -> Result<Loaded, LoadError> {
    let Opened { analysis, session, mut words, held, .. } =
        session::open(snapshot, path, lanes, Bodies::Kept, progress)?;
    words.splice(..0, session::left_out_words(path, left_out));
    if held.is_none() {
        words.extend(cancelled_words(progress));
    }
    Ok(Loaded {
        document: match held {
            Some(held) => Document::of_snapshot(analysis, held),
            None => Document::new(analysis),
        },
        overrides: session.overrides.clone(),
        session,
        cancelled: progress.is_cancelled(),
        added: false,
        again: false,
        restored: true,
        words: words.join("; "),
    })
}

fn describe(paths: &[PathBuf]) -> String {
    match paths {
        [] => String::new(),
        [one] => one.display().to_string(),
        [first, rest @ ..] => format!("{} and {} more", first.display(), rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Request {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-captures/single-host");
        Request { paths: vec![path], ..Request::default() }
    }

    #[test]
    fn who_cancels_while_files_are_read_gives_up_the_analysis_of_what_was_read_by_cancelling_again() {
        let progress = Progress::default();
        progress.cancel();
        assert!(progress.is_cancelled() && !progress.is_given_up());
        progress.begin_analysis();
        progress.cancel();
        assert!(progress.is_given_up());
    }

    #[test]
    fn an_analysis_that_is_given_up_leaves_nothing() {
        let given_up = Progress::default();
        given_up.begin_analysis();
        given_up.cancel();
        assert!(matches!(read(sample(), &given_up), Err(LoadError::GivenUp(_))));
        let Ok(loaded) = read(sample(), &Progress::default()) else { panic!("it can be read") };
        let keep = loaded.document.analysis.captures.clone();
        let again = || Request { keep: keep.clone(), ..Request::default() };
        assert!(matches!(read(again(), &given_up), Err(LoadError::EditGivenUp)));
        assert!(read(again(), &Progress::default()).is_ok_and(|loaded| loaded.again));
    }
}
