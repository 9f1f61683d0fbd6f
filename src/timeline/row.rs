//! What lies on one row: connections from open to close, exchanges as spans, events as ticks.

use super::layout::MarkKind;
use super::summary::Summary;
use crate::tcp::Side;
use crate::topology::{ConnectionId, ExchangeId};

/// How a span is drawn: each differs in form, not by hue alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Look {
    /// A whole answer with a status below 500.
    Answered,
    /// The capture does not tell.
    Unknown,
    /// No answer byte came, and it is no rejected reuse.
    NoResponse,
    /// A status of 500 and above, or an answer that broke off.
    Failed,
    /// The server turned away a request on a reused connection.
    Rejected,
}

impl Look {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Unknown => "unknown",
            Self::NoResponse => "no response",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
        }
    }
}

/// Facts of a span that are yes or no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanFlags(pub u8);

impl SpanFlags {
    /// A second or later attempt of its parent.
    pub const RETRY: u8 = 1;
    /// The first of several attempts.
    pub const RETRIED: u8 = 1 << 1;
    /// Part of a finding that is an error.
    pub const FINDING: u8 = 1 << 2;
    /// Not the first request on its connection.
    pub const REUSED: u8 = 1 << 3;

    /// Whether the flag is set.
    #[inline]
    pub fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Sets the flag.
    #[inline]
    pub fn set(&mut self, flag: u8) {
        self.0 |= flag;
    }
}

/// An exchange on its row. The edges are for painting: where pipelined requests overlap, the later one is
/// painted from the end of the one before. True times come from the analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Its number on its connection, from 1.
    pub ordinal: u32,
    /// Painted from, in nanoseconds of session time.
    pub start: i64,
    /// Painted to; not before `start`, and not after the next span's `start`.
    pub end: i64,
    /// How it is drawn.
    pub look: Look,
    /// More about it.
    pub flags: SpanFlags,
    /// Its number among its parent's attempts, from 1.
    pub attempt: u16,
}

/// A connection on its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSpan {
    /// The connection.
    pub id: ConnectionId,
    /// First packet, in nanoseconds of session time.
    pub start: i64,
    /// Last packet.
    pub end: i64,
    /// The client's port.
    pub port: u16,
    /// Whether its SYN was seen.
    pub opened: bool,
    /// Whether a FIN or RST was seen.
    pub closed: bool,
    /// Whether its SYN was answered by a RST.
    pub refused: bool,
    /// What it carries in place of exchanges, in a word.
    pub carries: Option<&'static str>,
}

/// What a tick shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TickKind {
    /// A side finishes sending.
    Fin(Side),
    /// A side resets.
    Rst(Side),
}

/// A FIN or RST on the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// When, in nanoseconds of session time.
    pub at: i64,
    /// What.
    pub kind: TickKind,
}

/// One row of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its connections, one after the other.
    pub connections: Vec<ConnectionSpan>,
    /// Its exchanges by start, none overlapping.
    pub spans: Vec<Span>,
    /// Its FINs and RSTs by time.
    pub ticks: Vec<Tick>,
    summary: Summary,
}

impl Row {
    /// A row of connections one after the other, and of spans and ticks in any order.
    pub fn new(connections: Vec<ConnectionSpan>, spans: Vec<Span>, ticks: Vec<Tick>) -> Self {
        let mut row = Self { connections, spans, ticks, summary: Summary::default() };
        row.settle();
        row
    }

    /// Its spans in summary.
    pub(super) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Whether a request was rejected in `start..=end`.
    pub fn has_rejected_in(&self, start: i64, end: i64) -> bool {
        if !self.summary.marks().has(MarkKind::Rejected) {
            return false;
        }
        let from = self.spans.partition_point(|s| s.end < start);
        let to = self.spans.partition_point(|s| s.start <= end);
        self.summary.marks().between(from, to).any(|(kind, _)| kind == MarkKind::Rejected)
    }

    /// How many spans before each, and before the end, pass a filter.
    pub fn matching(&self, passes: impl Fn(ExchangeId) -> bool) -> Vec<u32> {
        let mut sum = 0;
        let mut sums = Vec::with_capacity(self.spans.len() + 1);
        sums.push(0);
        for span in &self.spans {
            sum += u32::from(passes(span.exchange));
            sums.push(sum);
        }
        sums
    }

    /// The connections that were open at some time in `start..=end`.
    pub fn connections_in(&self, start: i64, end: i64) -> &[ConnectionSpan] {
        let from = self.connections.partition_point(|c| c.end < start);
        let to = self.connections.partition_point(|c| c.start <= end);
        self.connections.get(from..to).unwrap_or_default()
    }

    /// Of the connections in `start..=end` those that end at least `step` nanoseconds after the one before: the others
    /// are too near to be told apart, and are passed over however many they are.
    pub fn connections_apart(
        &self,
        start: i64,
        end: i64,
        step: i64,
    ) -> impl Iterator<Item = &ConnectionSpan> {
        let mut rest = self.connections_in(start, end);
        std::iter::from_fn(move || {
            let (next, after) = rest.split_first()?;
            let reached = next.end.saturating_add(step);
            let skipped = after.partition_point(|c| c.end < reached);
            rest = after.get(skipped..).unwrap_or_default();
            Some(next)
        })
    }

    /// The spans that touch `start..=end`.
    pub fn spans_in(&self, start: i64, end: i64) -> &[Span] {
        let from = self.spans.partition_point(|s| s.end < start);
        let to = self.spans.partition_point(|s| s.start <= end);
        self.spans.get(from..to).unwrap_or_default()
    }

    /// The ticks in `start..=end`.
    pub fn ticks_in(&self, start: i64, end: i64) -> &[Tick] {
        let from = self.ticks.partition_point(|t| t.at < start);
        let to = self.ticks.partition_point(|t| t.at <= end);
        self.ticks.get(from..to).unwrap_or_default()
    }

    /// Sorts spans by start and moves painted edges so that none overlap; the search functions and the summary rest
    /// on it.
    pub(super) fn settle(&mut self) {
        self.spans.sort_by_key(|s| (s.start, s.exchange));
        self.ticks.sort_by_key(|t| t.at);
        let mut reached = i64::MIN;
        for span in &mut self.spans {
            span.start = span.start.max(reached);
            span.end = span.end.max(span.start);
            reached = span.end;
        }
        self.summary = Summary::of(&self.spans);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u32, start: i64, end: i64) -> Span {
        let (look, flags) = (Look::Answered, SpanFlags::default());
        Span { exchange: ExchangeId(id), ordinal: id + 1, start, end, look, flags, attempt: 1 }
    }

    #[test]
    fn pipelined_spans_are_painted_one_after_the_other() {
        let mut row =
            Row { spans: vec![span(1, 15, 30), span(0, 10, 20), span(2, 16, 18)], ..Row::default() };
        row.settle();
        let edges: Vec<_> = row.spans.iter().map(|s| (s.exchange.0, s.start, s.end)).collect();
        assert_eq!(edges, [(0, 10, 20), (1, 20, 30), (2, 30, 30)]);
    }

    #[test]
    fn only_what_touches_the_view_is_found() {
        let row = Row { spans: vec![span(0, 0, 10), span(1, 20, 30), span(2, 40, 50)], ..Row::default() };
        let ids = |start, end| row.spans_in(start, end).iter().map(|s| s.exchange.0).collect::<Vec<_>>();
        assert_eq!(ids(25, 26), [1]);
        assert_eq!(ids(11, 19), Vec::<u32>::new());
        assert_eq!(ids(10, 40), [0, 1, 2]);
        assert_eq!(ids(51, 60), Vec::<u32>::new());
    }
}
