//! Failures of which the reason lies behind what was captured: who got them, from whom, and how often.

use std::collections::{BTreeMap, BTreeSet};

use super::texts::{MASKED_FAILURES, NEXT_HOP_MISSING};
use super::words::{capitalized, counted, grouped, listed, times};
use super::{Finding, Severity};
use crate::analysis::Analysis;
use crate::topology::{LaneId, LinkId};

/// Servers named by their share; of more the others are counted together.
const NAMED: usize = 4;

/// What is known of such failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// `Users got 500 from nginx 2, behind which nothing is captured, 103 times`.
    pub summary: String,
    /// Which server gave how many, and what to capture.
    pub explanation: String,
    /// The first finding about it, by its place.
    pub finding: usize,
    /// Who asked first got these themselves.
    pub is_outermost: bool,
}

/// Such failures in all; `None` where no finding is about them.
pub fn beyond(analysis: &Analysis) -> Option<Beyond> {
    let all = || analysis.diagnosis.findings.iter().enumerate().filter(|(_, one)| is_beyond(one));
    let (finding, first) = all().next()?;
    let mut servers: BTreeMap<LaneId, u64> = BTreeMap::new();
    let mut links: BTreeSet<LinkId> = BTreeSet::new();
    for (_, one) in all() {
        let Some(id) = one.link else { continue };
        *servers.entry(analysis.link(id).to).or_default() += one.count;
        links.insert(id);
    }
    let number: u64 = servers.values().fold(0, |sum, count| sum.saturating_add(*count));
    let mut servers: Vec<(LaneId, u64)> = servers.into_iter().collect();
    servers.sort_by_key(|&(lane, count)| (std::cmp::Reverse(count), lane));
    let name = |lane: LaneId| analysis.lane(lane).name.clone();
    let from = match servers[..] {
        [] => return None,
        [(one, _)] => name(one),
        _ => counted(servers.len() as u64, "server"),
    };
    let statuses = statuses(analysis, all().map(|(_, one)| one));
    let who = who(analysis, &links);
    let summary =
        format!("{who} got {statuses} from {from}, behind which nothing is captured, {}", times(number));
    let explanation = if servers.len() == 1 {
        first.explanation.clone()
    } else {
        let mut parts: Vec<String> = servers
            .iter()
            .take(NAMED)
            .map(|&(lane, count)| format!("{} gave {}", name(lane), grouped(count)))
            .collect();
        let others: u64 = servers.iter().skip(NAMED).map(|(_, count)| count).sum();
        if others > 0 {
            parts.push(format!("{} more gave {}", grouped((servers.len() - NAMED) as u64), grouped(others)));
        }
        format!(
            "{}. A proxy gives such a status for a fault on the connection behind it: capture there to see the fault. \
             Where such a server asks nobody, the error is its own.",
            listed(&parts)
        )
    };
    let outermost = analysis.outermost_links();
    let is_outermost = links.iter().all(|link| outermost[usize::from(link.0)]);
    Some(Beyond { summary, explanation, finding, is_outermost })
}

/// The same, where nothing that was found tells better why requests failed: no finding but notes, or only that retries hid
/// failures, which is what users did not see.
pub fn leading(analysis: &Analysis) -> Option<Beyond> {
    let first = analysis.diagnosis.findings.first();
    let tells_better =
        first.is_some_and(|one| one.severity >= Severity::Warning && one.kind != MASKED_FAILURES.kind);
    let unexplained = analysis.diagnosis.failures.only_left().is_none();
    if tells_better || !unexplained { None } else { beyond(analysis) }
}

/// `Users saw 502 5 times`: what who asked first got; empty where they got no failure.
pub fn seen(analysis: &Analysis) -> String {
    let mut by_status: BTreeMap<&str, u64> = BTreeMap::new();
    for (status, number) in analysis.diagnosis.failures.visible.values().flatten() {
        *by_status.entry(status).or_default() += number;
    }
    let parts: Vec<String> =
        by_status.into_iter().map(|(status, number)| format!("{status} {}", times(number))).collect();
    if parts.is_empty() { String::new() } else { format!("{} saw {}", askers(analysis), listed(&parts)) }
}

/// `Users`, or `Clients`.
fn askers(analysis: &Analysis) -> String {
    capitalized(analysis.askers())
}

/// Whether a finding says only that what failed lies behind what was captured.
pub fn is_beyond(finding: &Finding) -> bool {
    finding.cause == NEXT_HOP_MISSING.cause
}

/// `nginx 2 answers 500`: what such a finding is called among others; `None` for all other findings.
pub fn title(analysis: &Analysis, finding: &Finding) -> Option<String> {
    let link = finding.link.filter(|_| is_beyond(finding))?;
    let server = &analysis.lane(analysis.link(link).to).name;
    Some(format!("{server} answers {}", statuses(analysis, std::iter::once(finding))))
}

/// Who got the answers: users, where all links are the first on the way from them, else the only hop that asked.
fn who(analysis: &Analysis, links: &BTreeSet<LinkId>) -> String {
    let outermost = analysis.outermost_links();
    if links.iter().all(|link| outermost[usize::from(link.0)]) {
        return askers(analysis);
    }
    let mut asking: Vec<LaneId> = links.iter().map(|&link| analysis.link(link).from).collect();
    asking.dedup();
    match asking[..] {
        [one] => analysis.lane(one).name.clone(),
        _ => counted(asking.len() as u64, "hop"),
    }
}

/// `500`, `500 and 502`.
fn statuses<'a>(analysis: &Analysis, findings: impl Iterator<Item = &'a Finding>) -> String {
    let ids = findings.flat_map(|finding| &finding.exchanges);
    let all: BTreeSet<u16> = ids.filter_map(|&id| analysis.exchange(id).status()).collect();
    if all.is_empty() {
        // A snapshot may hold none of them.
        return "a failure".to_owned();
    }
    listed(&all.iter().map(ToString::to_string).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Script;

    fn told(servers: usize) -> Beyond {
        let mut script = Script::new("edge.pcap");
        for server in 0..servers {
            let address = format!("10.0.1.{}:80", 2 + server);
            let user = script.connection(0, &format!("10.0.9.1:{}", 3000 + server), &address, 100);
            for n in 1..4 + server as i64 {
                script.request(user, n * 1_000_000, "GET", "/", &[], "");
                script.response(user, n * 1_000_000 + 500_000, 502, 20);
            }
        }
        let analysis =
            crate::analysis::analyse(vec![script.finish()], &crate::topology::Overrides::default());
        beyond(&analysis).expect("a finding about it")
    }

    #[test]
    fn what_users_saw_leads_before_what_retries_hid_from_them() {
        const MS: i64 = 1_000_000;
        let mut script = Script::new("edge.pcap");
        let user = script.connection(0, "10.0.9.1:3000", "10.0.1.2:80", 100);
        let up = [0, 1].map(|n| script.connection(0, &format!("10.0.1.2:{}", 4000 + n), "10.0.1.3:8000", n));
        for (n, failed) in (1..9).map(|n| (n, n > 5)) {
            let (at, target) = (n * 50 * MS, format!("/{n}"));
            script.request(user, at, "GET", &target, &[], "");
            script.request(up[0], at + MS, "GET", &target, &[], "");
            script.response(up[0], at + 2 * MS, if failed { 502 } else { 200 }, 20);
            if n == 8 {
                script.request(up[1], at + 3 * MS, "GET", &target, &[], "");
                script.response(up[1], at + 4 * MS, 200, 20);
            }
            script.response(user, at + 5 * MS, if failed && n != 8 { 502 } else { 200 }, 20);
        }
        let analysis =
            crate::analysis::analyse(vec![script.finish()], &crate::topology::Overrides::default());
        assert_eq!(analysis.diagnosis.findings[0].kind, "masked-failures");
        let text = crate::export::text(&analysis);
        let words = "Users saw 502 twice, and these captures do not show why: ";
        assert!(leading(&analysis).is_some() && text.starts_with(words), "{text}");
    }

    #[test]
    fn who_got_what_from_whom_is_said_in_one_sentence() {
        let one = told(1);
        assert!(one.summary.starts_with("Users got 502 from "), "{}", one.summary);
        assert!(one.summary.ends_with(", behind which nothing is captured, 3 times"), "{}", one.summary);
        let six = told(6);
        assert_eq!(six.summary, "Users got 502 from 6 servers, behind which nothing is captured, 33 times");
        assert!(six.explanation.contains(" and 2 more gave 7. "), "{}", six.explanation);
        assert_eq!(six.finding, 0);
    }
}
