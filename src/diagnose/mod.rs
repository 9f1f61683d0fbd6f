//! All of it to findings: what failed, where it began, how sure, and what to change.

mod accept_queue;
mod answers;
pub mod beyond;
mod blackhole;
mod board;
mod burst;
mod busy;
pub(crate) mod carried;
mod case;
mod causes;
mod checks;
mod client_retries;
mod connect;
#[cfg(test)]
mod connect_tests;
pub(crate) mod coverage;
mod decided;
mod draft;
mod dropped;
mod exhaustion;
mod fallbacks;
#[cfg(test)]
mod fastcgi_tests;
mod faults;
mod given_up;
mod habits;
mod late;
#[cfg(test)]
mod late_tests;
mod life;
mod limits;
mod log_clocks;
mod log_lines;
mod log_writers;
mod logged_errors;
mod logs_alone;
mod mismatch;
mod model;
mod never;
mod nolive;
mod origins;
mod queue;
mod reject;
mod request;
#[cfg(test)]
mod request_tests;
mod response;
#[cfg(test)]
mod restart_tests;
mod reuse;
#[cfg(test)]
mod reuse_tests;
#[cfg(test)]
mod rule_tests;
mod sent_on;
mod sight;
mod spans;
mod stall;
mod step_words;
mod steps;
mod strangers;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
mod texts;
#[cfg(test)]
mod time_tests;
mod transport;
#[cfg(test)]
mod unheard_tests;
mod unsent;
mod verdict;
mod wire_steps;
#[cfg(test)]
pub(crate) mod wirekit;
mod with_logs;
pub mod words;

pub use carried::{HandOverFigures, TlsFigures};
pub(crate) use log_lines::log_cases;
pub use model::{
    Board, ByMethod, Certainty, Coverage, Diagnosis, Failures, Finding, Fix, IDLE_BOUNDS_NS, LinkFigures,
    LoggedRetries, Outcome, Proof, RejectForm, Rejection, Retries, ServerFigures, Severity,
};
pub use steps::{Step, StepKind, Stories, steps};

use std::collections::BTreeMap;

use crate::analysis::Analysis;
use crate::stop::{Stop, Stopped};
use crate::topology::{ExchangeId, LinkId};

/// Judges every exchange and finds the faults; reads the facts, the topology and the trees of `analysis`.
pub fn build(analysis: &Analysis) -> Diagnosis {
    build_unless(analysis, Stop::NEVER).unwrap_or_default()
}

/// As [`build`], until it is stopped.
///
/// # Errors
/// When it was stopped.
pub fn build_unless(analysis: &Analysis, stop: Stop<'_>) -> Result<Diagnosis, Stopped> {
    let (mut outcomes, mut rejections, dropped) = verdict::judge(analysis);
    stop.check()?;
    let mismatches = mismatch::find(analysis);
    reuse::drop_consequences(analysis, &mismatches, &mut outcomes, &mut rejections);
    stop.check()?;
    let habits = habits::Habits::by_link(analysis);
    let bursts = burst::by_link(analysis, &habits, &dropped.connections);
    stop.check()?;
    answers::settle(analysis, &habits, &bursts, &mut outcomes, &mut rejections);
    stop.check()?;
    let holes = blackhole::find(analysis);
    holes.settle(analysis, &mut outcomes, &mut rejections);
    stop.check()?;
    let exhausted = exhaustion::find(analysis);
    stop.check()?;
    let mut queues = queue::find(analysis, &outcomes);
    queues.retain(|queue| !exhaustion::holds(&exhausted, queue.server()));
    stop.check()?;
    let mut stalls = stall::find(analysis, &outcomes);
    stalls.retain(|stall| {
        let known = queues.iter().any(|queue| queue.server() == stall.server);
        !known && !exhaustion::holds(&exhausted, stall.server)
    });
    let starved = exhaustion::explained(&exhausted).chain(queue::given_up(&queues));
    let starved: Vec<(ExchangeId, LinkId)> = starved.chain(stall::starved(&stalls)).collect();
    exhaustion::settle(analysis, &starved, &mut outcomes);
    stop.check()?;
    let attempts = connect::attempts(analysis, &outcomes, &holes);
    let unaccepted: Vec<(ExchangeId, LinkId)> = connect::unaccepted(analysis, &outcomes, &attempts).collect();
    exhaustion::settle(analysis, &unaccepted, &mut outcomes);
    stop.check()?;
    let mut gateways = nolive::find(analysis, &outcomes, &attempts, &mismatches);
    let mut explained: BTreeMap<ExchangeId, LinkId> = starved.into_iter().collect();
    explained.extend(unaccepted);
    explained.extend(gateways.explained.iter().copied());
    explained.extend(mismatch::explained(analysis, &mismatches));
    explained.extend(response::spoiled(analysis));
    explained.extend(holes.explained(analysis, &outcomes));
    stop.check()?;
    let unsent = unsent::find(analysis, &outcomes, &rejections, &explained, &mut gateways.no_live);
    explained.extend(unsent.iter().map(|one| (one.exchange, one.link)));
    explained.extend(gateways.no_live.iter().map(|&id| (id, analysis.exchange(id).link_id())));
    let mut diagnosis = Diagnosis { outcomes, rejections, explained, ..Diagnosis::default() };
    stop.check()?;
    diagnosis.origins = origins::origins(analysis, &diagnosis.outcomes, &diagnosis.explained);
    let retried = origins::retried(analysis, &diagnosis.outcomes);
    stop.check()?;
    diagnosis.retried = retried.iter().map(|one| one.parent).collect();
    let unsure = origins::unsure(analysis, &diagnosis.outcomes, &retried);
    diagnosis.retries = origins::by_lane(analysis, &diagnosis.outcomes, &retried, &unsure);
    let hidden = fallbacks::find(analysis, &diagnosis.outcomes, &retried);
    stop.check()?;
    diagnosis.failures = origins::failures(analysis, &diagnosis, &retried, &hidden);
    diagnosis.failures.unsure = unsure.values().sum();
    stop.check()?;
    diagnosis.board = board::board(analysis, &diagnosis, &retried);
    for (link, number) in unsure {
        diagnosis.board.links[usize::from(link.0)].unsure = number;
    }
    stop.check()?;
    let mut findings = reuse::findings(analysis, &diagnosis, &habits, &bursts);
    findings.extend(exhaustion::findings(analysis, &diagnosis, exhausted));
    findings.extend(queue::findings(analysis, &diagnosis, queues));
    findings.extend(stall::findings(analysis, &diagnosis, stalls));
    stop.check()?;
    findings.extend(connect::findings(analysis, &diagnosis, &attempts, &bursts));
    findings.extend(mismatch::findings(analysis, &diagnosis, &mismatches));
    stop.check()?;
    findings.extend(nolive::findings(analysis, &diagnosis, &gateways));
    findings.extend(unsent::findings(analysis, &diagnosis, &unsent));
    stop.check()?;
    let known = std::mem::take(&mut findings);
    findings.extend(faults::findings(analysis, &diagnosis, &known, &bursts));
    findings.extend(known);
    stop.check()?;
    let transport = transport::findings(analysis, &diagnosis, &attempts, &holes, &findings);
    findings.extend(transport);
    findings.extend(late::findings(analysis, &diagnosis, &attempts));
    stop.check()?;
    findings.extend(burst::findings(analysis, &diagnosis, &bursts));
    findings.extend(limits::masked(analysis, &diagnosis, &retried));
    findings.extend(fallbacks::findings(analysis, &diagnosis, &hidden));
    findings.extend(limits::not_judged(analysis, &diagnosis));
    stop.check()?;
    let logs = with_logs::LogIndex::new(analysis);
    if let Some(logs) = &logs {
        logs.tell_of_retries(&mut diagnosis);
        findings.extend(logs.disagreements(&diagnosis));
        // Where packets show the fault, they tell more.
        if findings.iter().all(|finding| finding.severity < Severity::Warning) {
            let alone = logs_alone::findings(analysis, &diagnosis);
            let errors = || logged_errors::findings(analysis, &diagnosis, logs);
            findings.extend(if alone.is_empty() { errors() } else { alone });
        }
        findings.extend(logs.clock_findings(&diagnosis));
    }
    rank(analysis, &mut findings);
    if let Some(logs) = &logs {
        diagnosis.log_lines = findings.iter().map(|finding| logs.lines(finding)).collect();
    }
    diagnosis.findings = findings;
    Ok(diagnosis)
}

/// Puts the gravest first, then those that cost most; what clients sent wrongly stands behind what the chain did wrong.
/// What one link does in several ways counts together, the surest first. What made a gateway hold its servers for dead
/// weighs as much as what followed from it, and stands before it.
fn rank(analysis: &Analysis, findings: &mut [Finding]) {
    use std::cmp::Reverse;
    let mut sums: BTreeMap<(Option<LinkId>, String), u64> = BTreeMap::new();
    for finding in findings.iter() {
        *sums.entry((finding.link, finding.kind.clone())).or_default() += finding.count;
    }
    for dead in findings.iter().filter(|finding| finding.kind == texts::NO_LIVE_UPSTREAM.kind) {
        let weight = dead.count.saturating_add(1);
        let gateway = dead.link.map(|link| analysis.link(link).to);
        let causes = findings.iter().filter(|finding| {
            let behind = finding.link.map(|link| analysis.link(link).from);
            let answered = finding.kind == texts::APPLICATION_ERROR.kind;
            finding.severity == Severity::Error && behind.is_some() && behind == gateway && !answered
        });
        for cause in causes {
            let sum = sums.entry((cause.link, cause.kind.clone())).or_default();
            *sum = weight.max(*sum);
        }
    }
    // What was lost when a server went away is one story, whose end is that nobody accepts.
    let restarted = |f: &Finding| f.cause == texts::REFUSED_BY_RESTART.cause;
    let mut stories: BTreeMap<Option<LinkId>, u64> = BTreeMap::new();
    for refused in findings.iter().filter(|f| restarted(f) && f.kind == texts::REFUSED_BY_RESTART.kind) {
        let own = findings.iter().filter(|f| restarted(f) && f.link == refused.link);
        let sums = own.filter_map(|f| sums.get(&(f.link, f.kind.clone())));
        stories.insert(refused.link, sums.copied().max().unwrap_or_default());
    }
    findings.sort_by_cached_key(|f| {
        let sum = sums.get(&(f.link, f.kind.clone())).copied().unwrap_or_default();
        let story = stories.get(&f.link).copied().filter(|_| restarted(f));
        let end = story.is_some() && f.kind == texts::REFUSED_BY_RESTART.kind;
        let within = (Reverse(f.confidence), Reverse(f.count), f.cause.clone());
        let by_client = f.kind == texts::BAD_REQUEST.kind;
        let weight = (Reverse(story.unwrap_or(sum)), f.link, story.is_none(), end);
        (Reverse(f.severity), by_client, weight, f.kind.clone(), within)
    });
}
