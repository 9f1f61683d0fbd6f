//! What logs say, as data.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::LogFormat;

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    /// A line for each request.
    Access,
    /// A line for each fault.
    Error,
}

/// A log file that was read.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// As the user gave it.
    pub path: PathBuf,
    /// The format that was given for it and the others.
    pub format: Option<LogFormat>,
    /// What it holds.
    pub kind: LogKind,
    /// Lines in it.
    pub lines: u64,
    /// Lines that say nothing about a request or a fault.
    pub unread: u64,
    /// Requests or faults that were counted and not kept, for there were too many.
    pub dropped: u64,
    /// The requests of an access log, in the order of the file.
    pub requests: Vec<LoggedRequest>,
    /// The faults of an error log, in the order of the file.
    pub errors: Vec<LoggedError>,
    /// Counts over all of it.
    pub figures: LogFigures,
    /// It is that of an application server (uwsgi's own), which asks nobody.
    pub is_last: bool,
}

/// A line of a log, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The file's name, with as much of its path as tells it from the others.
    pub file: String,
    /// From 1.
    pub line: u64,
    /// What it says.
    pub text: String,
}

/// One attempt of a request at a server behind the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedAttempt {
    /// Where; empty when the log does not say.
    pub address: Box<str>,
    /// What came back; `None` for `-`.
    pub status: Option<u16>,
    /// The log says that no connection came about (HAProxy: `SC`, `sC`).
    pub unconnected: bool,
}

impl LoggedAttempt {
    /// Whether it failed: no status at all, or 500 and above.
    pub fn failed(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }
}

/// A line of an access log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedRequest {
    /// Line number from 1.
    pub line: u64,
    /// When the request ended, in nanoseconds since the Unix epoch; most formats stamp whole seconds.
    pub at_ns: Option<i64>,
    /// The method.
    pub method: Box<str>,
    /// The target as the client sent it.
    pub target: Box<str>,
    /// The status that the log gives; 0 where it says that none was sent (HAProxy: -1).
    pub status: u16,
    /// Bytes of the body sent.
    pub bytes: Option<u64>,
    /// The attempts behind it, in order (nginx: `$upstream_addr`, `$upstream_status`).
    pub attempts: Vec<LoggedAttempt>,
    /// The request id; empty for none.
    pub id: Box<str>,
    /// The line itself.
    pub text: Box<str>,
}

impl LoggedRequest {
    /// The status for people: `200`, or that it ended before one was sent.
    pub fn status_name(&self) -> String {
        if self.status == 0 { "aborted".to_owned() } else { format!("{:03}", self.status) }
    }

    /// The attempts that failed. When the client left first, the one under way did not.
    pub fn failed_attempts(&self) -> impl Iterator<Item = &LoggedAttempt> {
        let left = |attempt: &LoggedAttempt| self.status == 499 && matches!(attempt.status, None | Some(499));
        self.attempts.iter().filter(move |attempt| attempt.failed() && !left(attempt))
    }
}

/// A line of an error log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedError {
    /// Line number from 1.
    pub line: u64,
    /// When, in whole seconds of the server's local time as if it were UTC.
    pub local_s: i64,
    /// `error`, `info`, …
    pub level: Box<str>,
    /// What happened, without what it happened to.
    pub message: Box<str>,
    /// Method and target of the request, where the line names one.
    pub request: Option<(Box<str>, Box<str>)>,
    /// The server behind the proxy, where the line names one by its address.
    pub upstream: Option<SocketAddr>,
    /// The line itself.
    pub text: Box<str>,
}

/// Counts over a whole log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogFigures {
    /// Requests by method and status.
    pub status: BTreeMap<String, BTreeMap<String, u64>>,
    /// Requests with two attempts or more, by method.
    pub retried: BTreeMap<String, u64>,
    /// Of those, answered with a status below 500.
    pub saved: BTreeMap<String, u64>,
    /// Attempts in all.
    pub attempts: u64,
    /// Failed attempts by the address behind.
    pub failed_behind: BTreeMap<String, u64>,
    /// Requests answered with 502, 503 or 504 although no attempt was made; 0 where the log names no attempt at all, so
    /// that it cannot tell.
    pub failed_without_attempt: u64,
    /// Faults of an error log by what they are.
    pub faults: BTreeMap<String, u64>,
}

/// Most different names in one of the counts; all others share one.
pub(crate) const MAX_NAMES: usize = 256;

/// What all further ones are counted as.
pub(crate) const OTHERS: &str = "(others)";

/// Adds one to a count by name; with too many names, to that of all others.
pub(crate) fn count(map: &mut BTreeMap<String, u64>, name: &str) {
    let name = if map.len() < MAX_NAMES || map.contains_key(name) { name } else { OTHERS };
    *map.entry(name.to_owned()).or_default() += 1;
}

impl LogFigures {
    pub(super) fn add_request(&mut self, request: &LoggedRequest) {
        let known = self.status.len() < MAX_NAMES || self.status.contains_key(&*request.method);
        let method = if known { &request.method } else { OTHERS };
        count(self.status.entry(method.to_owned()).or_default(), &request.status_name());
        self.attempts += request.attempts.len() as u64;
        if request.attempts.len() > 1 {
            count(&mut self.retried, method);
            if (1..500).contains(&request.status) {
                count(&mut self.saved, method);
            }
        }
        for attempt in request.failed_attempts() {
            count(&mut self.failed_behind, &attempt.address);
        }
        let gateway = matches!(request.status, 502..=504) && request.attempts.is_empty();
        self.failed_without_attempt += u64::from(gateway);
    }

    /// To be called once all requests are added.
    pub(super) fn settle(&mut self) {
        if self.attempts == 0 {
            self.failed_without_attempt = 0;
        }
    }
}
