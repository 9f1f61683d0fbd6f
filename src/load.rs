//! Paths to facts: opens what the user named, reads each file on a thread of its own, and says how far it is.

mod series;

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::capture::{Bodies, CaptureError, CaptureInfo, Part, Problem, ProblemKind, Reader, STDIN};
use crate::http::{self, CaptureFacts};
use crate::logs::{LogFile, LogFormat, is_log, logs_in, read_log};

/// How far a load is; shared between the loading threads and whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
    analysing: AtomicBool,
    given_up: AtomicBool,
}

impl Progress {
    /// Bytes read so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
    /// Bytes to read in all; 0 while not known.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
    /// Asks the loading threads to stop; what was read so far is kept. An analysis of it, once begun, is given up.
    pub fn cancel(&self) {
        let asked = if self.is_analysing() { &self.given_up } else { &self.cancelled };
        asked.store(true, Ordering::Relaxed);
    }
    /// Asks all of it to stop: nobody waits for what was read.
    pub fn give_up(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.given_up.store(true, Ordering::Relaxed);
    }
    /// Whether somebody asked to stop reading.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
    /// Whether nobody waits for the analysis any more.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }
    /// Whether all is read, and what was read is being analysed.
    pub fn is_analysing(&self) -> bool {
        self.analysing.load(Ordering::Relaxed)
    }
    /// Says that all is read.
    pub fn begin_analysis(&self) {
        self.analysing.store(true, Ordering::Relaxed);
    }
    /// Adds to the bytes read.
    pub fn add_done(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
    /// Adds to the bytes to read.
    pub fn add_total(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Endings of files that are meant to be captures, so that one that is none is reported, and not passed by as a
/// README is. What is a capture is otherwise told by its content.
const CAPTURE_ENDINGS: [&str; 5] = ["pcap", "pcapng", "cap", "dmp", "ntar"];
/// Endings of compressed files, behind one of those.
const PACKED_ENDINGS: [&str; 8] = ["gz", "zst", "zstd", "xz", "bz2", "lz4", "z", "zip"];
/// How many folders below one that holds no capture itself are looked into.
const FOLDER_DEPTH: usize = 4;
/// Most files of a folder that are looked into.
const MAX_FOLDER_FILES: usize = 65_536;

/// The capture files that a list of paths stands for: files as they are, `-` (standard input) too, and folders as the
/// captures in them, found by content and sorted by name, with those that cannot be read, so that it is said why. A
/// folder that holds none stands for those in the folders below it (a folder a hop); folders below one that holds some
/// are left out, as they may be of another day. A path that does not exist stays in the list, and so does a folder
/// without a capture, so that its error is reported. Each file is taken once.
pub fn expand(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    let mut known = HashSet::new();
    for path in paths {
        let found = captures_in(path, FOLDER_DEPTH).filter(|files| !files.is_empty());
        for file in found.unwrap_or_else(|| vec![path.clone()]) {
            // One file may be named in several ways.
            if known.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
                all.push(file);
            }
        }
    }
    all
}

/// What paths stand for: captures and logs.
#[derive(Debug, Default)]
pub struct Given {
    /// The capture files, yet to be read.
    pub captures: Vec<PathBuf>,
    /// The logs, read.
    pub logs: Vec<Arc<LogFile>>,
    /// Logs that could not be read to their end, and why.
    pub unread: Vec<(PathBuf, io::Error)>,
}

/// Captures and logs among the paths, told apart by their content. A folder gives both.
pub fn sort_out(paths: &[PathBuf], format: Option<&LogFormat>) -> Given {
    let (mut captures, mut logs) = (Vec::new(), Vec::new());
    for path in paths {
        let found = if path.is_dir() { logs_in(path, format) } else { Vec::new() };
        let holds_captures = expand(std::slice::from_ref(path)) != [path.clone()];
        if path.is_file() && is_log(path, format) {
            logs.push(path.clone());
        } else if found.is_empty() || holds_captures {
            captures.push(path.clone());
        }
        logs.extend(found);
    }
    // A folder and the logs in it may both be named.
    let mut known = BTreeSet::new();
    logs.retain(|path| known.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    let mut given = Given { captures: expand(&captures), ..Given::default() };
    for path in logs {
        match read_log(&path, format) {
            Ok(log) => given.logs.push(Arc::new(log)),
            Err(error) => given.unread.push((path, error)),
        }
    }
    given
}

/// The captures in a folder, or else below it; `None` when the path is no folder.
fn captures_in(folder: &Path, depth: usize) -> Option<Vec<PathBuf>> {
    if !folder.is_dir() {
        return None;
    }
    let is_hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let entries = folder.read_dir().ok()?.flatten().map(|entry| entry.path());
    let mut entries: Vec<PathBuf> = entries.filter(|path| !is_hidden(path)).take(MAX_FOLDER_FILES).collect();
    entries.sort();
    // Files only: a named pipe would wait for its writer.
    let (mut found, mut broken) = (Vec::new(), Vec::new());
    for path in entries.iter().filter(|path| path.is_file()) {
        match is_wanted(path) {
            Wanted::Yes => found.push(path.clone()),
            Wanted::ToBeReported => broken.push(path.clone()),
            Wanted::No => {}
        }
    }
    if found.is_empty() && depth > 0 {
        let below = entries.iter().filter(|path| !path.is_symlink());
        found.extend(below.filter_map(|path| captures_in(path, depth - 1)).flatten());
    }
    found.extend(broken);
    found.sort();
    Some(found)
}

/// What a file of a folder is to a reader of captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// A capture, or meant to be one by its name.
    Yes,
    /// What cannot be read of a capture, or may well be one: it is said why it is not read.
    ToBeReported,
    /// Something else.
    No,
}

fn is_wanted(path: &Path) -> Wanted {
    let ending = |path: &Path| path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let packed = PACKED_ENDINGS.contains(&ending(path).as_str());
    let unpacked = if packed { ending(&path.with_extension("")) } else { ending(path) };
    if CAPTURE_ENDINGS.contains(&unpacked.as_str()) {
        return Wanted::Yes;
    }
    // Also files of the kernel, of which some never end and some wait.
    if path.metadata().is_ok_and(|file| file.len() == 0) {
        return Wanted::No;
    }
    let Some(error) = Reader::open(path).err() else { return Wanted::Yes };
    // Compressed logs, tables and sources have their ending behind that of the compression, and perhaps a number
    // between; captures often have none.
    let mut bare = path.with_extension("");
    while bare
        .extension()
        .is_some_and(|ending| !ending.as_encoded_bytes().iter().any(u8::is_ascii_alphabetic))
    {
        bare = bare.with_extension("");
    }
    let ending = ending(&bare);
    let may_be_one = packed && (ending.is_empty() || CAPTURE_ENDINGS.contains(&ending.as_str()));
    match error.is_of_a_capture().unwrap_or(may_be_one) {
        true => Wanted::ToBeReported,
        false => Wanted::No,
    }
}

/// Most captures of one session; [`crate::capture::CaptureId`] has 16 bits.
pub const MAX_CAPTURES: usize = 4096;

/// Reads all files, several at once. Each gives facts, also one that is no capture: its problems then say so.
/// Files beyond [`MAX_CAPTURES`] are not read, and stand as one whose problem says so.
pub fn load(paths: &[PathBuf], progress: &Progress) -> Vec<Arc<CaptureFacts>> {
    load_for(paths, Bodies::Kept, progress)
}

/// Reads all files as [`load`] does; `bodies` tells whether those of standard input will be looked at.
///
/// Files that one recording was written to one after the other are read as one capture, with the path of the first.
pub fn load_for(paths: &[PathBuf], bodies: Bodies, progress: &Progress) -> Vec<Arc<CaptureFacts>> {
    let (paths, beyond) = paths.split_at(paths.len().min(MAX_CAPTURES));
    let mut captures = load_each(paths, bodies, progress);
    join_parts(&mut captures, progress);
    captures.extend(left_out(beyond));
    captures
}

/// Reads what is one recording in several files as one capture, in the place of its first file.
fn join_parts(captures: &mut Vec<Arc<CaptureFacts>>, progress: &Progress) {
    let mut taken = BTreeSet::new();
    for places in series::find(captures) {
        if progress.is_cancelled() {
            break;
        }
        let mut packets = 0;
        let parts: Vec<Part> = places
            .iter()
            .map(|&at| {
                let part = Part::of(&captures[at].info, packets);
                packets += captures[at].info.packets;
                part
            })
            .collect();
        progress.add_total(parts.iter().map(|part| part.bytes).sum());
        let joined = load_parts(parts, progress);
        // A file that is gone by now would take all behind it along.
        if joined.info.packets == packets {
            taken.extend(places[1..].iter().copied());
            captures[places[0]] = Arc::new(joined);
        }
    }
    let mut at = 0..;
    captures.retain(|_| at.next().is_none_or(|at| !taken.contains(&at)));
}

fn load_parts(parts: Vec<Part>, progress: &Progress) -> CaptureFacts {
    let Some(first) = parts.first().map(|part| part.path.clone()) else { return CaptureFacts::default() };
    let count = parts.len();
    let last = parts[count - 1].path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut facts = load_from(Reader::open_parts(parts), &first, progress);
    facts.info.problems.retain(|problem| problem.kind != ProblemKind::JoinedFiles);
    let detail = format!("{count} files, the last of them {last}, go on in each other and were read as one");
    facts.info.problems.push(Problem { kind: ProblemKind::JoinedFiles, detail, count: count as u64 });
    facts.info.problems.sort_by_key(|problem| problem.kind);
    facts
}

fn load_each(paths: &[PathBuf], bodies: Bodies, progress: &Progress) -> Vec<Arc<CaptureFacts>> {
    for path in paths {
        progress.add_total(path.metadata().map_or(0, |meta| meta.len()));
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Arc<CaptureFacts>>>> = Mutex::new(vec![None; paths.len()]);
    let work = || {
        while let Some((index, path)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            paths.get(index).map(|path| (index, path))
        } {
            let facts = Arc::new(load_one(path, bodies, progress));
            if let Ok(mut done) = done.lock() {
                done[index] = Some(facts);
            }
        }
    };
    // One thread a file: a second one for the same file buys little (see the speed notes in ARCHITECTURE.md).
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(paths.len());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_iter().flatten().collect()
}

/// Reads anew the captures that others completed: with further captures beside them more may be completed, and what was
/// lent to them before must be lent again.
pub fn read_completed_again(captures: &mut [Arc<CaptureFacts>], progress: &Progress) {
    let completed = |facts: &CaptureFacts| !facts.lent.is_empty() && facts.info.path != Path::new(STDIN);
    let places: Vec<usize> = (0..captures.len()).filter(|&at| completed(&captures[at])).collect();
    let (whole, in_parts): (Vec<usize>, Vec<usize>) =
        places.into_iter().partition(|&at| captures[at].info.parts().is_empty());
    let paths: Vec<PathBuf> = whole.iter().map(|&at| captures[at].info.path.clone()).collect();
    let again = load_each(&paths, Bodies::Kept, progress);
    let parts = |&at: &usize| Arc::new(load_parts(captures[at].info.parts().to_vec(), progress));
    let again: Vec<_> = again.into_iter().chain(in_parts.iter().map(parts)).collect();
    for (at, again) in whole.into_iter().chain(in_parts).zip(again) {
        // A file that is gone or half read tells less than what is known of it.
        if !progress.is_cancelled() && again.info.packets >= captures[at].info.packets {
            captures[at] = again;
        }
    }
}

/// The facts that say that files were not read, where there are some.
fn left_out(paths: &[PathBuf]) -> Option<Arc<CaptureFacts>> {
    let count = paths.len() as u64;
    let problem = Problem {
        kind: ProblemKind::LimitReached,
        detail: format!(
            "more than {MAX_CAPTURES} captures were given; this one and all after it were not read"
        ),
        count,
    };
    let info =
        CaptureInfo { path: paths.first()?.clone(), problems: vec![problem], ..CaptureInfo::default() };
    let mut facts = CaptureFacts::default();
    facts.info = info;
    Some(Arc::new(facts))
}

fn load_one(path: &Path, bodies: Bodies, progress: &Progress) -> CaptureFacts {
    load_from(Reader::open_for(path, bodies), path, progress)
}

fn load_from(reader: Result<Reader, CaptureError>, path: &Path, progress: &Progress) -> CaptureFacts {
    let mut told = 0;
    let mut go_on = |read: u64| {
        progress.add_done(read.saturating_sub(told));
        if path == Path::new(STDIN) {
            // Its length is not known: what was read is all there is so far.
            progress.add_total(read.saturating_sub(told));
        }
        // A second pass over the file is no further progress.
        told = told.max(read);
        !progress.is_cancelled()
    };
    let facts = http::load_from(reader, path, &mut go_on);
    progress.add_done(facts.info.bytes.saturating_sub(told));
    facts
}

#[cfg(test)]
mod tests {
    use crate::capture::testing::PcapBuilder;

    use super::*;

    #[test]
    fn a_folder_stands_for_its_captures_and_a_wrong_path_stays() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.pcap", "a.PCAPNG", "notes.txt"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let gone = folder.path().join("gone.pcap");
        let paths = [folder.path().to_owned(), gone.clone(), folder.path().join("b.pcap")];
        let expected = [folder.path().join("a.PCAPNG"), folder.path().join("b.pcap"), gone];
        assert_eq!(expand(&paths), expected);
    }

    #[test]
    fn captures_in_a_folder_are_found_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let capture = PcapBuilder::new().build();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let found = || -> Vec<String> {
            let relative = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
            expand(&[folder.path().to_owned()]).into_iter().map(relative).collect()
        };
        write("nginx/trace", &capture);
        write("nginx/access.log", b"10.0.0.1 - - GET / 502");
        write("app/logs/deep.bin", &capture);
        write(".git/objects", &capture);
        assert_eq!(found(), ["app/logs/deep.bin", "nginx/trace"]);
        write("README.md", b"# Captures");
        write("trace.1", &capture);
        write("empty.pcap.gz", b"");
        assert_eq!(found(), ["empty.pcap.gz", "trace.1"], "folders below are left out now");
        let same = [folder.path().join("trace.1"), folder.path().join("nginx/../trace.1")];
        assert_eq!(expand(&same), same[..1]);
        assert_eq!(expand(&["-".into(), "-".into()]), [PathBuf::from("-")]);
    }

    #[test]
    fn what_a_folder_has_of_captures_that_cannot_be_read_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let capture = PcapBuilder::new().packet(1_000, &[7; 60]).build();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("trace", &capture);
        write("cut-header", &capture[..20]);
        write("broken-section", b"\x0A\x0D\x0D\x0A\x1C\0\0\0XXXX\x01\0\0\0\0\0\0\0\0\0\0\0\x1C\0\0\0");
        let xz = b"\xFD7zXZ\0\0\x04";
        for name in ["night.pcap.xz", "trace.1.xz", "trace2.xz"] {
            write(name, xz);
        }
        write("old.bz2", b"BZh91AY&SY");
        write("cut.gz", b"\x1F\x8B\x08\0\0\0");
        write("sun", b"snoop\0\0\0\0\0\0\x02");
        // Plainly something else.
        for (name, bytes) in [
            ("access.log.1.xz", &xz[..]),
            ("access.log.xz", xz),
            ("site.tar.bz2", b"BZh91AY&SY"),
            ("error.log.gz", b"\x1F\x8B\x08\0\0\0"),
            ("README.md", b"# Captures"),
            ("night.ron", b"(schema: \"hopscope/session/1\")"),
            ("empty", b""),
            ("a.png", b"\x89PNG\r\n"),
        ] {
            write(name, bytes);
        }
        let found = |folder: &Path| -> Vec<String> {
            let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            expand(&[folder.to_owned()]).into_iter().map(name).collect()
        };
        let broken = [
            "broken-section",
            "cut-header",
            "cut.gz",
            "night.pcap.xz",
            "old.bz2",
            "sun",
            "trace",
            "trace.1.xz",
            "trace2.xz",
        ];
        assert_eq!(found(folder.path()), broken);
        // What cannot be read does not hide the captures in the folders below.
        std::fs::remove_file(folder.path().join("trace")).unwrap();
        std::fs::remove_file(folder.path().join("night.pcap.xz")).unwrap();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        write("below/deep", &capture);
        let found = found(folder.path());
        assert!(found.contains(&"deep".to_owned()) && found.contains(&"sun".to_owned()), "{found:?}");
        let facts = load(&expand(&[folder.path().join("trace2.xz")]), &Progress::default());
        assert_eq!(facts[0].info.problems[0].detail, "xz-compressed: decompress it first (unxz)");
    }

    #[test]
    fn files_beyond_the_limit_are_said_to_be_left_out() {
        let facts = left_out(&["x.pcap".into(), "y.pcap".into()]).unwrap();
        assert_eq!(
            (facts.info.problems[0].kind, facts.info.problems[0].count),
            (ProblemKind::LimitReached, 2)
        );
        assert!(left_out(&[]).is_none());
    }
}
