//! The outward forms of an analysis.

pub mod report;
mod text;

pub use report::Report;
pub use text::text;
