//! Packets to connections: reassembly of both directions, and the events of each connection's life.

mod copies;
mod events;
mod facts;
mod half;
mod held;
mod live;
mod seq;
#[cfg(test)]
mod tests;
mod tracker;

pub(crate) use facts::until_established_ns;
pub use facts::{Closing, DirectionFacts, Event, EventKind, Flow, FlowId, Opening, Side};
pub use half::{Chunk, Hole};
pub use seq::seq_diff;
pub use tracker::{Handler, Tracker};
