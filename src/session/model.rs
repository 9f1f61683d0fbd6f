//! The user's own state: small, serialisable, undoable.

use serde::{Deserialize, Serialize};

use crate::capture::SessionTime;
use crate::topology::{ConnectionId, ExchangeId, Overrides};

/// What an annotation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// An exchange.
    Exchange(ExchangeId),
    /// A connection.
    Connection(ConnectionId),
    /// A moment.
    Moment(SessionTime),
}

/// A note of the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// What it is about.
    pub target: Target,
    /// The user's words.
    pub text: String,
}

/// The part of the session that the timeline shows: `start` at its left edge, `end` at its right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeView {
    /// Left edge.
    pub start: SessionTime,
    /// Right edge; later than `start`.
    pub end: SessionTime,
}

/// What is selected: all panes show the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The finding, as an index into the list of findings.
    pub finding: Option<usize>,
    /// The connection that is stepped through.
    pub connection: Option<ConnectionId>,
    /// The exchange; its whole request lights up across the hops.
    pub exchange: Option<ExchangeId>,
    /// The step in the connection's story.
    pub step: Option<usize>,
    /// The time cursor.
    pub cursor: Option<SessionTime>,
}

/// Everything that the user can change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Lanes, names and clock offsets that the user gave.
    pub overrides: Overrides,
    /// Notes, in the order they were made.
    pub annotations: Vec<Annotation>,
    /// What the timeline shows; `None` fits everything.
    pub view: Option<TimeView>,
    /// What is selected.
    pub selection: Selection,
    /// The exchange table's text filter.
    pub filter: String,
}
