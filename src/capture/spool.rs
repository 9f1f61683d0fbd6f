//! The plain bytes of a capture that cannot be read again where they came from: a compressed file, or standard input.
//!
//! They lie in a temporary file without a name, which the system removes with the last user, even after a crash. What
//! came from standard input is written while it is read; a compressed file is unpacked when somebody first looks at
//! a body, as far as that body, and no part of it twice.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::compress;

/// Most bytes kept of one capture. Bodies behind them cannot be shown, and reports say so.
pub const MAX_SPOOL_BYTES: u64 = 4 << 30;
/// Bytes unpacked at a time.
const STEP: usize = 256 * 1024;

/// Plain bytes in a temporary file, from the start of the capture on.
pub struct Spool {
    inner: Mutex<Inner>,
}

struct Inner {
    file: Option<File>,
    /// Bytes written so far.
    len: u64,
    rest: Rest,
    /// Why no more is written, in words.
    stopped: Option<String>,
}

/// Where further bytes come from.
enum Rest {
    /// From whoever writes, or from nowhere any more.
    Given,
    /// From a compressed file that nobody looked into yet.
    File(PathBuf),
    /// From a compressed file that is unpacked up to here.
    Stream(Box<dyn Read + Send>),
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spool")
    }
}

impl Spool {
    fn new(rest: Rest) -> Self {
        Self { inner: Mutex::new(Inner { file: None, len: 0, rest, stopped: None }) }
    }

    /// For a stream that is written while it is read.
    pub(super) fn for_stream() -> Self {
        Self::new(Rest::Given)
    }

    /// For a compressed file, which is opened when it is first needed.
    pub(super) fn for_file(path: &Path) -> Self {
        Self::new(Rest::File(path.to_path_buf()))
    }

    /// Appends bytes of the stream. What does not fit, or cannot be written, is left out; reading is not disturbed.
    pub(super) fn write(&self, bytes: &[u8]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.stopped.is_none()
            && let Err(error) = inner.append(bytes)
        {
            inner.stopped = Some(error.to_string());
        }
    }

    /// How many bytes are kept and why no more, where the end was not reached.
    pub(super) fn stopped(&self) -> Option<(u64, String)> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.stopped.clone().map(|why| (inner.len, why))
    }

    /// Appends `len` bytes from `offset` on to `bytes`.
    pub(super) fn read(&self, offset: u64, len: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset.saturating_add(len as u64);
        inner.extend_to(end)?;
        match &mut inner.file {
            Some(file) => read_from(file, offset, len, bytes),
            None if len == 0 => Ok(()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Appends `len` bytes of a file from `offset` on.
pub(super) fn read_from(file: &mut File, offset: u64, len: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    // In one piece: `read_to_end` feels its way with reads of a few bytes.
    let start = bytes.len();
    bytes.resize(start + len, 0);
    let read = file.read_exact(&mut bytes[start..]);
    if read.is_err() {
        bytes.truncate(start);
    }
    read
}

impl Inner {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.len + bytes.len() as u64 > MAX_SPOOL_BYTES {
            return Err(io::Error::other(format!("no more than {} GiB are kept", MAX_SPOOL_BYTES >> 30)));
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        // Somebody may have read in between.
        file.seek(SeekFrom::Start(self.len))?;
        file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Unpacks as far as `end`, where there is something to unpack.
    fn extend_to(&mut self, end: u64) -> io::Result<()> {
        if self.len >= end {
            return Ok(());
        }
        let mut stream = match std::mem::replace(&mut self.rest, Rest::Given) {
            Rest::Given => return Ok(()),
            Rest::File(path) => compress::plain(Box::new(File::open(path)?))?.stream,
            Rest::Stream(stream) => stream,
        };
        let mut step = vec![0; STEP];
        while self.len < end {
            let read = match stream.read(&mut step) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if read == 0 {
                return Ok(());
            }
            self.append(&step[..read])?;
        }
        self.rest = Rest::Stream(stream);
        Ok(())
    }
}

/// Keeps what is read through it.
pub(super) struct Keeping {
    pub(super) stream: Box<dyn Read + Send>,
    pub(super) spool: Arc<Spool>,
}

impl Read for Keeping {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(into)?;
        self.spool.write(&into[..read]);
        Ok(read)
    }
}
