//! Paths to facts: opens what the user named, reads each file on a thread of its own, and says how far it is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::CaptureFacts;

/// How far a load is; shared between the loading threads and whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
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
    /// Asks the loading threads to stop; what was read so far is kept.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
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

/// Endings of the files in a folder that are taken for captures.
const CAPTURE_ENDINGS: [&str; 5] = ["pcap", "pcapng", "cap", "dmp", "ntar"];

/// The capture files that a list of paths stands for: files as they are, folders as the capture files in
/// them (not below them), sorted by name. A path that does not exist stays in the list, and so does a folder
/// without a capture, so that its error is reported. Each file is taken once.
pub fn expand(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    for path in paths {
        let found = captures_in(path).filter(|files| !files.is_empty());
        for file in found.unwrap_or_else(|| vec![path.clone()]) {
            if !all.contains(&file) {
                all.push(file);
            }
        }
    }
    all
}

/// The capture files in a folder; `None` when the path is no folder.
fn captures_in(folder: &Path) -> Option<Vec<PathBuf>> {
    if !folder.is_dir() {
        return None;
    }
    let is_capture = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        CAPTURE_ENDINGS.contains(&ending.as_str()) && path.is_file()
    };
    let entries = folder.read_dir().ok()?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_capture).collect();
    files.sort();
    Some(files)
}

/// Most captures of one session; [`crate::capture::CaptureId`] has 16 bits.
pub const MAX_CAPTURES: usize = 4096;

/// Reads all files, several at once. Each gives facts, also one that is no capture: its problems then say so.
/// Files beyond [`MAX_CAPTURES`] are not read.
pub fn load(paths: &[PathBuf], progress: &Progress) -> Vec<Arc<CaptureFacts>> {
    let paths = &paths[..paths.len().min(MAX_CAPTURES)];
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
            let facts = Arc::new(load_one(path, progress));
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
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
}

fn load_one(path: &Path, progress: &Progress) -> CaptureFacts {
    let mut told = 0;
    let mut go_on = |read: u64| {
        progress.add_done(read - told);
        told = read;
        !progress.is_cancelled()
    };
    let facts = crate::http::load_file(path, &mut go_on);
    progress.add_done(facts.info.bytes.saturating_sub(told));
    facts
}

#[cfg(test)]
mod tests {
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
}
