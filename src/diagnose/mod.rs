//! All of it to findings: what failed, where it began, how sure, and what to change.

mod board;
mod burst;
mod case;
mod causes;
mod draft;
mod exhaustion;
mod faults;
mod habits;
mod life;
mod limits;
mod model;
mod origins;
mod reject;
mod request;
mod response;
mod reuse;
#[cfg(test)]
mod rule_tests;
mod steps;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
mod texts;
mod verdict;
#[cfg(test)]
pub(crate) mod wirekit;
pub mod words;

pub use model::{
    Board, ByMethod, Certainty, Diagnosis, Failures, Finding, Fix, IDLE_BOUNDS_NS, LinkFigures, Outcome,
    Proof, RejectForm, Rejection, Retries, ServerFigures, Severity,
};
pub use steps::{Step, StepKind, steps};

use crate::analysis::Analysis;

/// Judges every exchange and finds the faults; reads the facts, the topology and the trees of `analysis`.
pub fn build(analysis: &Analysis) -> Diagnosis {
    let (mut outcomes, rejections) = verdict::judge(analysis);
    let exhausted = exhaustion::find(analysis);
    exhaustion::settle(analysis, &exhausted, &mut outcomes);
    let explained = exhaustion::explained(&exhausted).collect();
    let mut diagnosis = Diagnosis { outcomes, rejections, explained, ..Diagnosis::default() };
    diagnosis.origins = origins::origins(analysis, &diagnosis.outcomes);
    let retried = origins::retried(analysis, &diagnosis.outcomes);
    diagnosis.retries = origins::by_lane(analysis, &retried);
    diagnosis.failures = origins::failures(analysis, &diagnosis, &retried);
    diagnosis.board = board::board(analysis, &diagnosis, &retried);
    let mut findings = reuse::findings(analysis, &diagnosis);
    findings.extend(exhaustion::findings(analysis, &diagnosis, exhausted));
    let known = std::mem::take(&mut findings);
    findings.extend(faults::findings(analysis, &diagnosis, &known));
    findings.extend(known);
    findings.extend(burst::findings(analysis, &diagnosis));
    findings.extend(limits::masked(analysis, &diagnosis, &retried));
    findings.extend(limits::not_judged(analysis, &diagnosis));
    findings.sort_by(|a, b| {
        let rank = |f: &Finding| (std::cmp::Reverse(f.severity), std::cmp::Reverse(f.count), f.link);
        rank(a).cmp(&rank(b)).then_with(|| (&a.kind, &a.cause).cmp(&(&b.kind, &b.cause)))
    });
    diagnosis.findings = findings;
    diagnosis
}
