//! The outward forms of an analysis.

pub mod clocks;
pub mod compare;
mod notes;
pub mod report;
#[cfg(test)]
mod tests;
mod text;

pub use compare::Comparison;
pub use notes::{NotePlace, NoteReport};
pub use report::Report;
pub use text::{text, text_with_notes};
