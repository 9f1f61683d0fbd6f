//! Packets to connections: reassembly of both directions, and the events of each connection's life.

mod facts;

pub use facts::{Closing, DirectionFacts, Event, EventKind, Flow, FlowId, Opening, Side};
