//! What the user made of the captures: annotations, names, offsets, view; and the versioned file of it.

mod model;

pub use model::{Annotation, Selection, Session, Target, TimeView};
