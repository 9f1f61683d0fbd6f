//! What has to be said of the captures as a set, beside the problems of each file.

use serde::{Deserialize, Serialize};

use crate::capture::CaptureId;

/// A kind of remark; its kebab-case name is stable and appears in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemarkKind {
    /// Captures of a session file that are not where they were: the report rests on what the file holds of them.
    CapturesMissing,
    /// Captures of several chains or times that have nothing to do with each other.
    UnrelatedCaptures,
    /// A capture all of whose packets another one holds as well.
    CopiedCapture,
    /// Something that the user said of lanes or captures and that nothing in the captures fits.
    UnmatchedOverride,
}

/// A statement about captures, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// What kind.
    pub kind: RemarkKind,
    /// One or two sentences.
    pub detail: String,
    /// The captures that it is about, sorted.
    pub captures: Vec<CaptureId>,
}
