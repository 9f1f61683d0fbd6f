//! What the user made of the captures: annotations, names, offsets, view; and the versioned file of it.

mod check;
mod file;
mod history;
mod keep;
mod model;
mod opening;
mod reduced;
mod restore;
mod snapshot;
#[cfg(test)]
mod tests;
mod wire;
mod write;

pub use check::MAX_OFFSET_NS;
pub use history::{History, MAX_UNDO, Mark};
pub use model::{Annotation, Selection, Session, Target, TimeView};
pub use opening::{Chosen, Held, Opened, choose, left_out_words, open};
pub use restore::{CaptureState, Located};
pub use snapshot::{MAX_SNAPSHOT_BYTES, Snapshot, SnapshotError};
