//! The session snapshot: an annotated session in a versioned `.ron` file that can be opened without its captures.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::file::{File, SCHEMA_PREFIX, SCHEMA_VERSION, SchemaOnly};
use super::{Session, check, reduced, write};
use crate::analysis::Analysis;

/// The largest session file that is written or read, in bytes.
pub const MAX_SNAPSHOT_BYTES: u64 = 64 << 20;

/// Why a session file could not be written or read. The path, where there is one, comes last.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The operating system refused.
    #[error("{doing} failed: {source}: {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// A file of a later program.
    #[error("this session file is of version {found}; this hopscope reads versions up to {SCHEMA_VERSION}")]
    Newer {
        /// The file's version.
        found: u32,
    },
    /// No session file at all: its `schema` field says something else.
    #[error(
        "this is no hopscope session file: its schema is {found:?}, not \"{SCHEMA_PREFIX}{SCHEMA_VERSION}\""
    )]
    OtherSchema {
        /// What the field says, cut to a readable length.
        found: String,
    },
    /// The text is damaged.
    #[error("the session file cannot be read at line {line}, column {column}: {reason}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The text is well-formed and its content cannot be right.
    #[error("the session file contradicts itself: {0}")]
    Content(String),
    /// Larger than [`MAX_SNAPSHOT_BYTES`].
    #[error("the session is larger than {} MiB", MAX_SNAPSHOT_BYTES >> 20)]
    TooLarge,
    /// The session could not be put into words.
    #[error("the session could not be written: {0}")]
    Unwritable(ron::Error),
    /// Any of the above, of a file.
    #[error("{source}: {}", path.display())]
    InFile {
        /// What is wrong.
        source: Box<SnapshotError>,
        /// The file.
        path: PathBuf,
    },
}

/// A session as it was exported: what the user made, the findings, and the exchanges that they cite.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub(super) file: File,
}

impl Snapshot {
    /// Takes a snapshot. `fingerprints` are size in bytes and SHA-256 (lower-case hex) of the captures, in their
    /// order, as `capture::fingerprint` gives them; missing ones are written as unknown.
    pub fn of(analysis: &Analysis, session: &Session, fingerprints: &[(u64, String)]) -> Self {
        Self { file: write::file(analysis, session, fingerprints) }
    }

    /// The same snapshot with what the user made of it since it was opened without its captures: `session` belongs
    /// to the analysis of [`Snapshot::into_analysis`]. Hashes and totals stay those of the captures, which a
    /// snapshot of that analysis could no longer know.
    pub fn with_session(mut self, session: &Session) -> Self {
        write::user_state(&mut self.file, session);
        self
    }

    /// The text of the file: the same session gives the same text.
    pub fn to_ron(&self) -> Result<String, SnapshotError> {
        // What would not be read again must not look saved.
        check::file(&self.file)?;
        // Deeper than this, a value stays on its line: an event or a message reads as one.
        let style = ron::ser::PrettyConfig::new().depth_limit(4).indentor("  ");
        let mut text = ron::ser::to_string_pretty(&self.file, style).map_err(SnapshotError::Unwritable)?;
        text.push('\n');
        if text.len() as u64 > MAX_SNAPSHOT_BYTES {
            return Err(SnapshotError::TooLarge);
        }
        Ok(text)
    }

    /// Reads the text of a file: first its schema, then all of it; then checks that it makes sense.
    pub fn from_ron(text: &str) -> Result<Self, SnapshotError> {
        if text.len() as u64 > MAX_SNAPSHOT_BYTES {
            return Err(SnapshotError::TooLarge);
        }
        let SchemaOnly { schema } = ron::from_str(text).map_err(|error| syntax(&error))?;
        match schema.strip_prefix(SCHEMA_PREFIX).map(str::parse) {
            Some(Ok(SCHEMA_VERSION)) => {}
            Some(Ok(found)) if found > SCHEMA_VERSION => return Err(SnapshotError::Newer { found }),
            _ => return Err(SnapshotError::OtherSchema { found: schema.chars().take(80).collect() }),
        }
        let file: File = ron::from_str(text).map_err(|error| syntax(&error))?;
        check::file(&file)?;
        Ok(Self { file })
    }

    /// Writes the file: whole or not at all, so that a full disk leaves the older version as it was.
    pub fn save(&self, path: &Path) -> Result<(), SnapshotError> {
        let text = self.to_ron().map_err(|error| error.of(path))?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.tmp", std::process::id()));
        let beside = PathBuf::from(beside);
        let written = write_synced(&beside, text.as_bytes()).and_then(|()| fs::rename(&beside, path));
        written.map_err(|source| {
            // The half-written file is ours; that it cannot be removed either is no further news.
            let _ = fs::remove_file(&beside);
            SnapshotError::Io { doing: "writing the session", source, path: path.to_owned() }
        })
    }

    /// Reads a file.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let io = |source| SnapshotError::Io { doing: "reading the session", source, path: path.to_owned() };
        let mut bytes = Vec::new();
        fs::File::open(path)
            .and_then(|file| file.take(MAX_SNAPSHOT_BYTES + 1).read_to_end(&mut bytes))
            .map_err(io)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| no_text(&bytes, error).of(path))?;
        Self::from_ron(text).map_err(|error| error.of(path))
    }

    /// The paths of the captures as they were given, in their order.
    pub fn capture_paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.file.captures.iter().map(|capture| Path::new(&capture.path))
    }

    /// How many exchanges the captures held, and how many of them this snapshot holds.
    pub fn exchange_counts(&self) -> (u64, u64) {
        let held = self.file.connections.iter().map(|c| c.exchanges.len() as u64).sum();
        (self.file.totals.exchanges.max(held), held)
    }

    /// Rebuilds what the snapshot holds, for when the captures are gone: every query works on it. It is not to be
    /// analysed anew: findings and figures are those of the whole captures and could not be found again here.
    pub fn into_analysis(self) -> (Analysis, Session) {
        reduced::analysis(&self.file)
    }
}

impl SnapshotError {
    /// What is wrong, without the file's name.
    pub fn reason(&self) -> String {
        match self {
            Self::InFile { source, .. } => source.reason(),
            Self::Io { doing, source, .. } => format!("{doing} failed: {source}"),
            other => other.to_string(),
        }
    }

    fn of(self, path: &Path) -> Self {
        Self::InFile { source: Box::new(self), path: path.to_owned() }
    }
}

fn syntax(error: &ron::error::SpannedError) -> SnapshotError {
    let at = error.span.start;
    SnapshotError::Syntax { line: at.line, column: at.col, reason: error.code.to_string() }
}

fn no_text(bytes: &[u8], error: std::str::Utf8Error) -> SnapshotError {
    let before = &bytes[..error.valid_up_to()];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    SnapshotError::Syntax {
        line: memchr::memchr_iter(b'\n', before).count() + 1,
        column: before.len() - line_start + 1,
        reason: "a byte here is no UTF-8 text".into(),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
