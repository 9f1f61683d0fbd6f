//! All of it to findings: what failed, where it began, how sure, and what to change.

mod model;

pub use model::{
    Board, ByMethod, Certainty, Diagnosis, Failures, Finding, Fix, LinkFigures, Outcome, Proof, RejectForm,
    Rejection, Retries, Severity,
};

use crate::analysis::Analysis;

/// Judges every exchange and finds the faults; reads the facts, the topology and the trees of `analysis`.
pub fn build(_analysis: &Analysis) -> Diagnosis {
    Diagnosis::default()
}
