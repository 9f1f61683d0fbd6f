//! Servers' own logs to what each line says: requests of access logs, faults of error logs.
//!
//! A log is known by its lines, not by its name. No line makes the reading fail: what says nothing is counted.

mod access;
mod error;
mod format;
mod model;
mod products;
mod read;

pub use format::LogFormat;
pub use model::{LogFigures, LogFile, LogKind, LogLine, LoggedAttempt, LoggedError, LoggedRequest};
pub(crate) use model::{MAX_NAMES, OTHERS, count};
pub use read::{is_log, logs_in, read_log};
