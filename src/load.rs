//! Paths to facts: opens what the user named, reads each file on a thread of its own, and says how far it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// The capture files that a list of paths stands for: files as they are, folders as the capture files in
/// them, sorted by name. A path that does not exist stays in the list, so that its error is reported.
pub fn expand(paths: &[PathBuf]) -> Vec<PathBuf> {
    paths.to_vec()
}

/// Reads all files. Each gives facts, also one that is no capture: its problems then say so.
pub fn load(paths: &[PathBuf], progress: &Progress) -> Vec<Arc<CaptureFacts>> {
    let _ = (paths, progress);
    Vec::new()
}
