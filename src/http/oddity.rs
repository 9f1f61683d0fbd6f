//! Where messages stray from RFC 9112 and are read all the same: each kind is counted and said once, with its place.

use crate::capture::{Problem, ProblemKind};

/// A way to stray from the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    BareLf,
    Folded,
    SpaceBeforeColon,
    NoColon,
    BadName,
    ControlByte,
    RequestLine,
    Method,
    Target,
    Version,
    StatusLine,
    NoReason,
    NoHost,
    Hosts,
    LengthRepeated,
    LengthsDiffer,
    LengthBroken,
    LengthAndCoding,
    CodingNotChunked,
    CodingOdd,
    CodingOld,
    ChunkBareLf,
    ChunkSize,
    ChunkBareCr,
    ManyHeaders,
    EmptyLines,
}

impl Oddity {
    const ALL: [Self; 26] = [
        Self::BareLf,
        Self::Folded,
        Self::SpaceBeforeColon,
        Self::NoColon,
        Self::BadName,
        Self::ControlByte,
        Self::RequestLine,
        Self::Method,
        Self::Target,
        Self::Version,
        Self::StatusLine,
        Self::NoReason,
        Self::NoHost,
        Self::Hosts,
        Self::LengthRepeated,
        Self::LengthsDiffer,
        Self::LengthBroken,
        Self::LengthAndCoding,
        Self::CodingNotChunked,
        Self::CodingOdd,
        Self::CodingOld,
        Self::ChunkBareLf,
        Self::ChunkSize,
        Self::ChunkBareCr,
        Self::ManyHeaders,
        Self::EmptyLines,
    ];

    fn bit(self) -> u32 {
        1 << self as u32
    }

    fn words(self) -> &'static str {
        match self {
            Self::BareLf => "lines of a head end in a bare LF",
            Self::Folded => "a header field goes on in the next line (obsolete folding)",
            Self::SpaceBeforeColon => "whitespace between a header's name and its colon",
            Self::NoColon => "a header line without a colon",
            Self::BadName => "a header name that is no token",
            Self::ControlByte => "a control byte in a header",
            Self::RequestLine => {
                "a request line that is not method, target and version with one space between"
            }
            Self::Method => "a method that is not in upper case",
            Self::Target => "a target with bytes that are not ASCII",
            Self::Version => "a version that is neither HTTP/1.0 nor HTTP/1.1",
            Self::StatusLine => "a status line with more spaces than two",
            Self::NoReason => "a status line that ends behind the status",
            Self::NoHost => "an HTTP/1.1 request without Host",
            Self::Hosts => "a request with more than one Host",
            Self::LengthRepeated => "the same Content-Length more than once",
            Self::LengthsDiffer => "Content-Lengths that differ; the first was taken",
            Self::LengthBroken => "a Content-Length that is no number; it was not heeded",
            Self::LengthAndCoding => "both Content-Length and Transfer-Encoding; the coding was taken",
            Self::CodingNotChunked => "a Transfer-Encoding that does not end in chunked",
            Self::CodingOdd => "a Transfer-Encoding that readers take differently",
            Self::CodingOld => "a Transfer-Encoding in HTTP/1.0",
            Self::ChunkBareLf => "a line of the chunked coding ends in a bare LF",
            Self::ChunkSize => "a chunk size with whitespace or a sign around it",
            Self::ChunkBareCr => "a bare CR within a line of the chunked coding",
            Self::ManyHeaders => "more than the 256 headers that are kept",
            Self::EmptyLines => "empty lines before a request",
        }
    }

    /// Whether two readers may find the message's end in different places: a shape of request smuggling.
    fn is_ambiguous(self) -> bool {
        matches!(
            self,
            Self::SpaceBeforeColon
                | Self::LengthsDiffer
                | Self::LengthBroken
                | Self::LengthAndCoding
                | Self::CodingNotChunked
                | Self::CodingOdd
                | Self::CodingOld
                | Self::ChunkBareLf
                | Self::ChunkSize
                | Self::ChunkBareCr
        )
    }

    fn kind(self) -> ProblemKind {
        match self {
            Self::ManyHeaders => ProblemKind::LimitReached,
            other if other.is_ambiguous() => ProblemKind::AmbiguousFraming,
            _ => ProblemKind::LenientHttp,
        }
    }
}

/// A set of oddities of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Oddities(u32);

impl Oddities {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, oddity: Oddity) {
        self.0 |= oddity.bit();
    }

    /// Whether one is in it.
    #[inline]
    pub fn has(self, oddity: Oddity) -> bool {
        self.0 & oddity.bit() != 0
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one of them makes the message's end doubtful.
    pub fn is_ambiguous(self) -> bool {
        Oddity::ALL.into_iter().any(|oddity| self.has(oddity) && oddity.is_ambiguous())
    }
}

/// How often each was met in a capture, and where first.
#[derive(Debug, Default)]
pub(super) struct OddityLog([(u64, u32); Oddity::ALL.len()]);

impl OddityLog {
    /// Counts the oddities of the message that begins in packet `frame`.
    #[cold]
    pub fn note(&mut self, oddities: Oddities, frame: u32) {
        for oddity in Oddity::ALL.into_iter().filter(|&oddity| oddities.has(oddity)) {
            let (count, first) = &mut self.0[oddity as usize];
            *first = if *count == 0 { frame } else { (*first).min(frame) };
            *count += 1;
        }
    }

    /// A problem for each kind that was met.
    pub fn into_problems(self) -> impl Iterator<Item = Problem> {
        Oddity::ALL.into_iter().zip(self.0).filter(|(_, (count, _))| *count > 0).map(
            |(oddity, (count, first))| Problem {
                kind: oddity.kind(),
                detail: format!("packet {first}: {}", oddity.words()),
                count,
            },
        )
    }
}
