//! What went wrong while a file was read: said once a kind, with the first place and a count.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// A kind of problem; its kebab-case name is stable and appears in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// The file could not be opened or read.
    Unreadable,
    /// The file holds no byte.
    EmptyFile,
    /// The first bytes are those of no capture format.
    NotACapture,
    /// The file ends inside a record.
    TruncatedFile,
    /// A record or block cannot be right (a length beyond reason, a block with bad framing).
    BadRecord,
    /// Several pcap files in one, put behind each other.
    JoinedFiles,
    /// A version of the container that is not known; it was read as the known one.
    UnknownVersion,
    /// Packets whose link type is not known.
    UnsupportedLinkType,
    /// Packets that claim to be IP or TCP and cannot be decoded.
    UndecodablePacket,
    /// Packets cut by the snap length inside the TCP payload.
    CutPacket,
    /// Timestamps that run backwards within the file.
    TimeBackwards,
    /// Packets without a time of their own.
    TimeMissing,
    /// Packets that the capturing program says it lost.
    DroppedPackets,
    /// A named limit was reached and data left unread for it.
    LimitReached,
    /// A named limit was reached on a second look or on what stands beside the traffic: nothing of this is missing.
    LookLimited,
    /// Bytes that the receivers had and the capture does not hold.
    CaptureLoss,
    /// Segments that repeat bytes of a stream with other contents; the first ones were taken.
    ConflictingBytes,
    /// An HTTP message that strays from RFC 9112 and was read leniently.
    LenientHttp,
    /// An HTTP message whose end two readers may find in different places: a shape that request smuggling uses.
    AmbiguousFraming,
}

impl ProblemKind {
    /// The stable name, as reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::EmptyFile => "empty-file",
            Self::NotACapture => "not-a-capture",
            Self::TruncatedFile => "truncated-file",
            Self::BadRecord => "bad-record",
            Self::JoinedFiles => "joined-files",
            Self::UnknownVersion => "unknown-version",
            Self::UnsupportedLinkType => "unsupported-link-type",
            Self::UndecodablePacket => "undecodable-packet",
            Self::CutPacket => "cut-packet",
            Self::TimeBackwards => "time-backwards",
            Self::TimeMissing => "time-missing",
            Self::DroppedPackets => "dropped-packets",
            Self::LimitReached => "limit-reached",
            Self::LookLimited => "look-limited",
            Self::CaptureLoss => "capture-loss",
            Self::ConflictingBytes => "conflicting-bytes",
            Self::LenientHttp => "lenient-http",
            Self::AmbiguousFraming => "ambiguous-framing",
        }
    }
}

impl Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A kind of problem of one file, with its first place in words and how often it was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// The first one in words, with its place (packet number or byte position).
    pub detail: String,
    /// How many there were.
    pub count: u64,
}

impl Problem {
    /// How many there were, where the first one is not the only one: ` (182 packets in all)`.
    pub fn in_all(&self) -> String {
        let unit = match self.kind {
            ProblemKind::TimeBackwards
            | ProblemKind::TimeMissing
            | ProblemKind::CutPacket
            | ProblemKind::DroppedPackets
            | ProblemKind::UndecodablePacket
            | ProblemKind::UnsupportedLinkType
            | ProblemKind::ConflictingBytes => "packets",
            ProblemKind::CaptureLoss => "connections",
            ProblemKind::LenientHttp | ProblemKind::AmbiguousFraming => "messages",
            _ => "places",
        };
        if self.count > 1 { format!(" ({} {unit} in all)", grouped(self.count)) } else { String::new() }
    }
}

/// `11,543`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Where lenient readers say what they met.
pub trait Problems {
    /// Notes a problem; `detail` is only formatted for the first one of its kind.
    fn report(&mut self, kind: ProblemKind, detail: fmt::Arguments<'_>);

    /// Notes a problem that was met `count` times.
    fn report_many(&mut self, kind: ProblemKind, count: u64, detail: fmt::Arguments<'_>) {
        if count > 0 {
            self.report(kind, detail);
        }
    }
}

/// Keeps the first problem of each kind and counts the others.
#[derive(Clone, Debug, Default)]
pub struct ProblemLog {
    seen: Vec<Problem>,
}

impl ProblemLog {
    /// The problems by kind, in the order of [`ProblemKind`].
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.seen.sort_by_key(|p| p.kind);
        self.seen
    }
}

impl Problems for ProblemLog {
    fn report(&mut self, kind: ProblemKind, detail: fmt::Arguments<'_>) {
        self.report_many(kind, 1, detail);
    }

    fn report_many(&mut self, kind: ProblemKind, count: u64, detail: fmt::Arguments<'_>) {
        match self.seen.iter_mut().find(|p| p.kind == kind) {
            Some(known) => known.count = known.count.saturating_add(count),
            None if count > 0 => self.seen.push(Problem { kind, detail: detail.to_string(), count }),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_first_of_each_kind_and_counts_the_rest() {
        let mut log = ProblemLog::default();
        log.report(ProblemKind::TimeBackwards, format_args!("packet 3"));
        log.report(ProblemKind::TruncatedFile, format_args!("inside packet 9"));
        log.report(ProblemKind::TimeBackwards, format_args!("packet 7"));
        let problems = log.into_problems();
        assert_eq!(problems.len(), 2);
        assert_eq!((problems[1].detail.as_str(), problems[1].count), ("packet 3", 2));
        assert_eq!(
            (problems[0].in_all(), problems[1].in_all()),
            (String::new(), " (2 packets in all)".to_owned())
        );
        let many = Problem { kind: ProblemKind::CaptureLoss, count: 1_234_567, detail: String::new() };
        assert_eq!(many.in_all(), " (1,234,567 connections in all)");
    }
}
