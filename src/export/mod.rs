//! The outward forms of an analysis.
