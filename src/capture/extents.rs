//! Bytes of a capture read again on demand, and the fingerprint that tells whether it is still the same file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::compress::Coding;
use super::spool::{Spool, read_from};
use super::{CaptureInfo, Extent, Part};

/// Where the bytes of a capture's packets can be read again.
#[derive(Clone, Debug, Default)]
pub enum Backing {
    /// In the file that was loaded.
    #[default]
    File,
    /// In a copy of the plain bytes: the file is compressed, or was standard input.
    Spool(Arc<Spool>),
    /// In several files, each with its own.
    Parts(Arc<[Part]>),
    /// Nowhere: standard input, read for a report that needs no bodies.
    Nowhere,
}

/// Bytes hashed at a time, and between two questions whether to go on.
const HASH_CHUNK: usize = 1024 * 1024;

/// Why bytes of a capture cannot be read again.
#[derive(Debug, thiserror::Error)]
pub enum ExtentError {
    /// The file is gone or cannot be read.
    #[error("cannot be read again: {source}: {}", path.display())]
    Unreadable {
        /// The capture.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not the one that was loaded.
    #[error("changed since it was loaded ({then} bytes then, {now} now), load it again: {}", path.display())]
    Changed {
        /// The capture.
        path: PathBuf,
        /// Its length in bytes when it was loaded.
        then: u64,
        /// Its length in bytes now.
        now: u64,
    },
    /// It was standard input, and its bytes were not kept.
    #[error("was standard input and not kept, so that its bytes cannot be read again: {}", path.display())]
    NotKept {
        /// The capture.
        path: PathBuf,
    },
}

/// Bytes of a message, as far as they were wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// The bytes of all extents one after the other, up to the limit.
    pub bytes: Vec<u8>,
    /// Whether the limit left bytes unread.
    pub cut: bool,
}

/// Reads pieces of a capture that was loaded before.
#[derive(Debug)]
pub struct ExtentReader {
    source: Source,
    path: PathBuf,
}

#[derive(Debug)]
enum Source {
    File(File),
    Spool(Arc<Spool>),
    /// With the part that was read last.
    Parts(Arc<[Part]>, Option<(usize, Box<ExtentReader>)>),
}

impl ExtentReader {
    /// Opens a capture again, wherever its bytes are.
    pub fn of(info: &CaptureInfo) -> Result<Self, ExtentError> {
        Self::of_file(&info.path, info.bytes, &info.backing)
    }

    fn of_file(path: &Path, len: u64, backing: &Backing) -> Result<Self, ExtentError> {
        let path = path.to_path_buf();
        match backing {
            Backing::File => Self::open(&path, len),
            Backing::Nowhere => Err(ExtentError::NotKept { path }),
            Backing::Spool(spool) => {
                if path != Path::new(super::STDIN) {
                    reopen(&path, len)?;
                }
                Ok(Self { source: Source::Spool(Arc::clone(spool)), path })
            }
            Backing::Parts(parts) => Ok(Self { source: Source::Parts(Arc::clone(parts), None), path }),
        }
    }

    /// Opens a capture file again; `len` is its length in bytes when it was loaded. One that is compressed is
    /// unpacked anew for each reader: prefer [`Self::of`].
    ///
    /// A length that differs is an error, because the bytes shown might then be those of another message.
    pub fn open(path: &Path, len: u64) -> Result<Self, ExtentError> {
        let mut file = reopen(path, len)?;
        let mut first = Vec::new();
        let source = match (&mut file).take(4).read_to_end(&mut first) {
            Ok(_) if Coding::of(&first) == Coding::Plain => Source::File(file),
            Ok(_) => Source::Spool(Arc::new(Spool::for_file(path))),
            Err(source) => return Err(ExtentError::Unreadable { path: path.to_path_buf(), source }),
        };
        Ok(Self { source, path: path.to_path_buf() })
    }

    /// Reads extents one after the other, `limit` bytes at most.
    pub fn read(&mut self, extents: &[Extent], limit: usize) -> Result<Excerpt, ExtentError> {
        let mut excerpt = Excerpt::default();
        for extent in extents {
            let room = limit - excerpt.bytes.len();
            let len = room.min(extent.len as usize);
            excerpt.cut |= len < extent.len as usize;
            if len > 0 {
                self.append(extent.offset, len, &mut excerpt.bytes)?;
            }
        }
        Ok(excerpt)
    }

    /// Reads one extent in place of what `bytes` hold.
    pub fn read_into(&mut self, extent: Extent, bytes: &mut Vec<u8>) -> Result<(), ExtentError> {
        bytes.clear();
        self.append(extent.offset, extent.len as usize, bytes)
    }

    fn append(&mut self, offset: u64, len: usize, bytes: &mut Vec<u8>) -> Result<(), ExtentError> {
        let read = match &mut self.source {
            Source::File(file) => read_from(file, offset, len, bytes),
            Source::Spool(spool) => spool.read(offset, len, bytes),
            Source::Parts(parts, open) => {
                // A packet lies in one part.
                let at = parts.partition_point(|part| part.start <= offset).saturating_sub(1);
                let Part { path, bytes: size, start, backing, .. } = &parts[at];
                if open.as_ref().is_none_or(|(known, _)| *known != at) {
                    *open = Some((at, Box::new(Self::of_file(path, *size, backing)?)));
                }
                let Some((_, reader)) = open else { return Ok(()) };
                return reader.append(offset - start, len, bytes);
            }
        };
        read.map_err(|source| ExtentError::Unreadable { path: self.path.clone(), source })
    }
}

/// Opens a file that must still be as long as it was.
fn reopen(path: &Path, len: u64) -> Result<File, ExtentError> {
    let unreadable = |source| ExtentError::Unreadable { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(unreadable)?;
    let now = file.metadata().map_err(unreadable)?.len();
    if now != len {
        return Err(ExtentError::Changed { path: path.to_path_buf(), then: len, now });
    }
    Ok(file)
}

/// Length in bytes and SHA-256 (lower-case hexadecimal) of a file. `cancelled` is asked once a mebibyte; when it
/// says yes, the error is of the kind [`io::ErrorKind::Interrupted`].
pub fn fingerprint(path: &Path, cancelled: impl Fn() -> bool) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; HASH_CHUNK];
    let (mut hash, mut len) = (Sha256::new(), 0_u64);
    loop {
        if cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "cancelled"));
        }
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&chunk[..read]);
                len += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let hex = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((len, hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(offset: u64, len: u32) -> Extent {
        Extent { frame: 1, offset, len }
    }

    #[test]
    fn reads_extents_in_order_up_to_the_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let mut reader = ExtentReader::open(file.path(), 10).unwrap();
        let extents = [extent(7, 3), extent(0, 4)];
        let whole = reader.read(&extents, 100).unwrap();
        assert_eq!((whole.bytes.as_slice(), whole.cut), (b"7890123".as_slice(), false));
        let part = reader.read(&extents, 5).unwrap();
        assert_eq!((part.bytes.as_slice(), part.cut), (b"78901".as_slice(), true));
        assert!(!reader.read(&extents, 7).unwrap().cut);
        assert!(reader.read(&[extent(8, 3)], 100).is_err());
    }

    #[test]
    fn says_when_the_file_changed_or_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hop.pcap");
        let gone = ExtentReader::open(&path, 10).unwrap_err().to_string();
        assert!(gone.ends_with("hop.pcap"), "{gone}");
        std::fs::write(&path, b"0123456789ab").unwrap();
        let changed = ExtentReader::open(&path, 10).unwrap_err().to_string();
        assert!(changed.contains("10 bytes then, 12 now") && changed.ends_with("hop.pcap"), "{changed}");
    }

    #[test]
    fn fingerprints_and_can_be_cancelled() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        let (len, hash) = fingerprint(file.path(), || false).unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(len, 3);
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let cancelled = fingerprint(file.path(), || true).unwrap_err();
        assert_eq!(cancelled.kind(), io::ErrorKind::Interrupted);
    }
}
