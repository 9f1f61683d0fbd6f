//! The outward forms of an analysis.

pub mod compare;
pub mod report;
#[cfg(test)]
mod tests;
mod text;

pub use compare::Comparison;
pub use report::Report;
pub use text::text;
