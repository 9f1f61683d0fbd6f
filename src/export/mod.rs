//! The outward forms of an analysis.

pub mod report;
#[cfg(test)]
mod tests;
mod text;

pub use report::Report;
pub use text::text;
