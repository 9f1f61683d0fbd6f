//! The outward forms of an analysis.

mod board;
mod carried;
pub mod clocks;
pub mod compare;
pub mod connections;
pub mod links;
mod names;
mod notes;
pub mod report;
pub mod retries;
#[cfg(test)]
pub(crate) mod tests;
mod text;

pub use compare::Comparison;
pub use connections::{Wanted, connections_text};
pub use notes::{NotePlace, NoteReport};
pub use report::Report;
pub use text::{text, text_with_notes};
