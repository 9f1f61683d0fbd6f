//! A capture written in several files, one after the other (`tcpdump -C` and `-G`, `dumpcap -b`), read as one.
//!
//! Its packets are counted on from file to file, and so are positions of bytes; whoever shows a packet asks
//! [`CaptureInfo::place_of`] for the file that holds it and its number there.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::compress::{self, Coding, PlainStream};
use super::spool::Spool;
use super::{Backing, CaptureInfo};

/// One of the files of a capture.
#[derive(Clone, Debug)]
pub struct Part {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// The number that its first packet has in the whole.
    pub first_frame: u32,
    /// Position of its first (uncompressed) byte in the whole; known when all was read.
    pub(super) start: u64,
    pub(super) backing: Backing,
}

impl Part {
    /// The file of a capture that was read alone; `packets` stand in the parts before it.
    pub fn of(info: &CaptureInfo, packets: u64) -> Self {
        Self {
            path: info.path.clone(),
            bytes: info.bytes,
            first_frame: u32::try_from(packets + 1).unwrap_or(u32::MAX),
            start: 0,
            backing: info.backing.clone(),
        }
    }
}

impl CaptureInfo {
    /// The files that it was read from, where these are several.
    pub fn parts(&self) -> &[Part] {
        match &self.backing {
            Backing::Parts(parts) => parts,
            _ => &[],
        }
    }

    /// Size of the file at `path`, in bytes.
    pub fn first_bytes(&self) -> u64 {
        self.parts().first().map_or(self.bytes, |part| part.bytes)
    }

    /// Whether this file is the capture, or a part of it.
    pub fn is_of(&self, path: &Path) -> bool {
        self.path == path || self.parts().iter().any(|part| part.path == path)
    }

    /// The file that holds a packet, and the packet's number there.
    pub fn place_of(&self, frame: u32) -> (&Path, u32) {
        match self.part_with(frame) {
            Some((at, number)) => (&self.parts()[at].path, number),
            None => (&self.path, frame),
        }
    }

    /// Which of the parts holds a packet, and the packet's number there; `None` where there are none.
    pub fn part_with(&self, frame: u32) -> Option<(usize, u32)> {
        let parts = self.parts();
        let at = parts.partition_point(|part| part.first_frame <= frame).checked_sub(1)?;
        Some((at, frame - parts[at].first_frame + 1))
    }
}

/// The parts of a capture that is being read, and where each began.
pub(super) struct Series {
    parts: Vec<Part>,
    starts: Starts,
}

type Starts = Arc<Mutex<Vec<u64>>>;

impl Series {
    /// The plain bytes of all parts behind each other.
    pub(super) fn open(parts: Vec<Part>) -> io::Result<(Self, PlainStream)> {
        let starts = Starts::default();
        let mut rest: VecDeque<PathBuf> = parts.iter().map(|part| part.path.clone()).collect();
        let first = rest.pop_front().ok_or(io::ErrorKind::NotFound)?;
        let PlainStream { stream, coding, passed } = plain(&first)?;
        let stream = Box::new(Joined { stream, rest, passed: 0, starts: Arc::clone(&starts) });
        Ok((Self { parts, starts }, PlainStream { stream, coding, passed }))
    }

    /// Size of all parts in bytes.
    pub(super) fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Where the bytes of the parts are that were read.
    pub(super) fn backing(&self) -> Backing {
        let starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        let starts = std::iter::once(0).chain(starts.iter().copied());
        let placed = self.parts.iter().zip(starts).map(|(part, start)| Part { start, ..part.clone() });
        Backing::Parts(placed.collect())
    }
}

fn plain(path: &Path) -> io::Result<PlainStream> {
    compress::plain(Box::new(File::open(path)?))
}

/// Reads one file after the other.
struct Joined {
    stream: Box<dyn Read + Send>,
    rest: VecDeque<PathBuf>,
    /// Plain bytes read so far.
    passed: u64,
    /// Where each but the first began.
    starts: Starts,
}

impl Read for Joined {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.stream.read(into)?;
            self.passed += read as u64;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(next) = self.rest.pop_front() else { return Ok(0) };
            self.stream = plain(&next)?.stream;
            self.starts.lock().unwrap_or_else(PoisonError::into_inner).push(self.passed);
        }
    }
}

/// Where the bytes of a file with this compression can be read again.
pub(super) fn backing_of(coding: Coding, path: &Path) -> Backing {
    match coding {
        Coding::Plain => Backing::File,
        Coding::Gzip | Coding::Zstd => Backing::Spool(Arc::new(Spool::for_file(path))),
    }
}
