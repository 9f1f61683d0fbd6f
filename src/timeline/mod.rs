//! Exchanges and a view to lanes, rows and items in screen space, by pure functions.
//!
//! [`Model`] is made once per analysis. Each frame a [`Scale`] (time to pixels) and [`layout_row`] turn the
//! visible part of a row into few [`Item`]s and [`Mark`]s, however many exchanges there are; [`Axis`] and
//! [`Minimap`] do the same for the time axis and the overview.

mod axis;
mod facts;
mod layout;
mod minimap;
mod model;
mod pack;
mod row;
#[cfg(test)]
pub(crate) mod sample;
mod scale;
mod summary;
mod times;

pub use axis::{Axis, Tick, Zone, duration, long_duration};
pub use facts::LaneFact;
pub use layout::{Item, Mark, MarkKind, RowLayout, hit, layout_marks, layout_row};
pub use minimap::{Bucket, Minimap};
pub use model::{LaneBand, LinkRows, Model, Place};
pub use row::{ConnectionSpan, Look, Row, Span, SpanFlags, Tick as EventTick, TickKind};
pub use scale::{Limits, Scale};
