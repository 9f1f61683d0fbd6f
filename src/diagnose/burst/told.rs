//! What is told of bursts: one finding for each, and the figures that the findings of what was lost in them name.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::analysis::Analysis;
use crate::topology::{ConnectionId, LinkId};

use super::{Burst, MOST_ALONE};
use crate::diagnose::draft::{Draft, ProofList};
use crate::diagnose::life::Life;
use crate::diagnose::reuse::CASES;
use crate::diagnose::words::{counted, duration, grouped};
use crate::diagnose::{Diagnosis, Finding, Severity, texts};

/// The burst in whose finding this one is told: of a server with many of them the largest one stands for all.
pub(in crate::diagnose) fn told_for(bursts: &[Burst], at: usize) -> usize {
    let own = || (0..bursts.len()).filter(|&other| bursts[other].server == bursts[at].server);
    let largest = own().max_by_key(|&other| (bursts[other].closed.len(), std::cmp::Reverse(other)));
    largest.filter(|_| own().nth(MOST_ALONE).is_some()).unwrap_or(at)
}

/// `, and did so 7 more times`, where one burst stands for all of a server.
pub(in crate::diagnose) fn again(bursts: &[Burst], server: SocketAddr) -> String {
    match bursts.iter().filter(|burst| burst.server == server).count() {
        number if number > MOST_ALONE => {
            format!(", and did the like {} more times", grouped(number as u64 - 1))
        }
        _ => String::new(),
    }
}

/// The figures of a burst that the words of what was lost in it may hold.
pub(in crate::diagnose) fn values(bursts: &[Burst], at: usize) -> Vec<(&'static str, String)> {
    let burst = &bursts[at];
    let refused = match burst.refused {
        0 => String::new(),
        number => format!(", and then refused {}", counted(number, "connection")),
    };
    vec![
        ("window", duration(burst.window_ns())),
        ("server", burst.server.to_string()),
        ("share", burst.share()),
        ("others", burst.others() + &again(bursts, burst.server)),
        ("refused", refused),
    ]
}

/// One note for each burst, or for all of a server with many: an event worth knowing, whether or not a request was lost
/// in it.
pub(in crate::diagnose) fn findings(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    bursts: &[Vec<Burst>],
) -> Vec<Finding> {
    let mut all = Vec::new();
    for (link, bursts) in bursts.iter().enumerate() {
        let mut told: BTreeMap<usize, Vec<&Burst>> = BTreeMap::new();
        for (at, burst) in bursts.iter().enumerate() {
            told.entry(told_for(bursts, at)).or_default().push(burst);
        }
        let link = LinkId(link as u16);
        all.extend(told.into_iter().map(|(at, same)| {
            let again = again(bursts, bursts[at].server);
            finding(analysis, diagnosis, link, (&bursts[at], &same, again))
        }));
    }
    all
}

/// The finding of one burst, which may stand for several.
fn finding(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    link: LinkId,
    (burst, same, again): (&Burst, &[&Burst], String),
) -> Finding {
    let mut draft = Draft::new(analysis, diagnosis, &texts::RESTART_BURST, link);
    let failed = |id: &ConnectionId| {
        analysis.connection(*id).exchanges().any(|x| diagnosis.outcomes[x.id.0 as usize].is_failure())
    };
    let mut closed: Vec<ConnectionId> = same.iter().flat_map(|burst| burst.closed.iter().copied()).collect();
    closed.sort_unstable();
    let hurt = closed.iter().filter(|id| failed(id)).count() as u64;
    let refused = match same.iter().map(|burst| burst.refused).sum::<u64>() {
        0 => String::new(),
        number => format!("Soon after it refused {}.", counted(number, "connection")),
    };
    let refuses = same.iter().any(|burst| burst.refused > 0);
    draft.severity = if hurt > 0 || refuses { Severity::Warning } else { Severity::Note };
    draft.certainty = burst.certainty();
    draft.values.push(("server", burst.server.to_string()));
    draft.values.push(("share", burst.share()));
    draft.values.push(("window", duration(burst.window_ns())));
    let announced = match burst.told {
        0 => String::new(),
        told => format!("It let {} end with an answer that said so.", counted(told, "other connection")),
    };
    draft.values.push(("announced", announced));
    draft.values.push(("again", again));
    draft.values.push((
        "hurt",
        if hurt == 0 {
            "No request was lost in it.".to_owned()
        } else {
            format!("{} had a request on them that was lost.", counted(hurt, "connection"))
        },
    ));
    draft.values.push(("refused", refused));
    let mut proofs = ProofList::new(analysis);
    for &id in closed.iter().take(CASES) {
        if let Some(end) = Life::of(analysis.connection(id)).server_ended() {
            proofs.add_packet(id, end.frame, "closed by the server");
        }
    }
    draft.connections = closed;
    draft.finish(Vec::new(), proofs)
}
