//! What logs tell where no capture shows a request, or none why it failed: behind which proxy the fault lies, or why the
//! logs cannot tell.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::analysis::Analysis;
use crate::logs::{LogFile, LogKind, LoggedAttempt, LoggedRequest};

use super::draft::{Draft, ProofList};
use super::texts::{self, Words};
use super::with_logs::request_hash;
use super::words::{count, counted, grouped, listed};
use super::{Certainty, Diagnosis, Finding};

/// The requests of a log, by what two logs tell the same request by.
type Known<'a> = HashMap<u64, &'a LoggedRequest, foldhash::fast::FixedState>;

/// What two logs tell the same request by: its id, else what was asked.
fn join_key(request: &LoggedRequest) -> u64 {
    if request.id.is_empty() {
        return request_hash(&request.method, &request.target);
    }
    request_hash("", &request.id)
}

/// One finding for each access log that tells of failures and behind which no other one stands.
pub(super) fn findings(analysis: &Analysis, diagnosis: &Diagnosis) -> Vec<Finding> {
    let alone = analysis.topology.exchanges.is_empty();
    if !alone && diagnosis.failures.visible.is_empty() {
        return Vec::new();
    }
    let access = analysis.logs.iter().enumerate().filter(|(_, log)| log.kind == LogKind::Access);
    let logs: Vec<(usize, &LogFile)> = access.map(|(at, log)| (at, &**log)).collect();
    let known: Vec<Known<'_>> =
        logs.iter().map(|(_, log)| log.requests.iter().map(|r| (join_key(r), r)).collect()).collect();
    let finding = |at: usize| {
        let (file, log) = logs[at];
        let names_servers = log.requests.iter().any(|request| !request.attempts.is_empty());
        let failed: Vec<&LoggedRequest> = if names_servers {
            log.requests.iter().filter(|request| is_passed_on(request)).collect()
        } else {
            log.requests.iter().filter(|request| request.status >= 500).collect()
        };
        // Another log that saw the same requests fail, and earlier, stands behind this one. Where the stamps do not
        // tell: behind a proxy that retries there are more lines than before it.
        let stands_behind = |other: usize| {
            let shared: Vec<_> =
                failed.iter().filter_map(|r| Some((*r, *known[other].get(&join_key(r))?))).collect();
            let all_failed = shared.iter().all(|(_, its)| its.status >= 500);
            if other == at || shared.len() * 2 <= failed.len() || !all_failed {
                return false;
            }
            let lead =
                |(mine, its): &(&LoggedRequest, &LoggedRequest)| Some(mine.at_ns?.saturating_sub(its.at_ns?));
            let earlier_ns = shared.iter().filter_map(lead).fold(0i64, i64::saturating_add);
            (earlier_ns, logs[other].1.requests.len(), other) > (0, log.requests.len(), at)
        };
        // Beside captures, a log that names no servers tells nothing that they do not.
        let silent = !names_servers && !alone;
        if failed.is_empty() || silent || (0..logs.len()).any(stands_behind) {
            return None;
        }
        let words = match () {
            () if names_servers => &texts::FAULT_BEHIND,
            () if log.is_last => &texts::APPLICATION_LOGGED,
            () => &texts::UPSTREAM_NOT_LOGGED,
        };
        Some(told(analysis, diagnosis, words, file, &failed))
    };
    (0..logs.len()).filter_map(finding).collect()
}

/// Whether the last server that was asked had failed, and the failure was passed on.
fn is_passed_on(request: &LoggedRequest) -> bool {
    request.status >= 500 && request.attempts.last().is_some_and(LoggedAttempt::failed)
}

fn told(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    words: &'static Words,
    file: usize,
    failed: &[&LoggedRequest],
) -> Finding {
    let (mut statuses, mut behind) = (BTreeMap::new(), BTreeMap::new());
    for request in failed {
        count(&mut statuses, &request.status.to_string());
        if let Some(last) = request.attempts.last() {
            count(&mut behind, &last.address);
        }
    }
    let named = |map: &BTreeMap<String, u64>| {
        let all = map.iter().map(|(name, number)| format!("{name} ({})", grouped(*number)));
        listed(&all.collect::<Vec<_>>())
    };
    // HAProxy names a server by its backend and its name there.
    let by_name = |name: &String| name.contains('/') && !name.starts_with("unix:");
    let field = if behind.keys().any(by_name) {
        "its termination state begins with S or s: the server ended it, or let it time out"
    } else {
        "the last entry of $upstream_status"
    };
    let mut draft = Draft::new(analysis, diagnosis, words, None);
    draft.certainty = Certainty::Likely;
    draft.values.push(("file", analysis.log_name(file)));
    draft.values.push(("requests", counted(failed.len() as u64, "request")));
    draft.values.push(("statuses", named(&statuses)));
    draft.values.push(("behind", named(&behind)));
    draft.values.push(("field", field.to_owned()));
    let mut finding = draft.finish(Vec::new(), ProofList::new(analysis));
    finding.count = failed.len() as u64;
    finding
}

#[cfg(test)]
mod tests {
    use crate::analysis::analyse_with_logs;
    use crate::diagnose::testkit::read_logs as logs;
    use crate::topology::Overrides;

    #[test]
    fn logs_alone_say_behind_which_proxy_the_fault_lies() {
        for has_ids in [true, false] {
            let line = |at: &str, status: &str, to: &str, id: &str| {
                let tail = if has_ids { format!(" id=0123456789abcde{id}") } else { String::new() };
                format!(
                    "{at} 10.0.0.1 \"GET /{id} HTTP/1.1\" {status} 4 to=\"{to}\" got=\"{status}\"{tail}\n"
                )
            };
            let edge = ["1", "2"].map(|id| line("1795493951.009", "502", "10.0.1.1:80", id)).concat();
            let inner = ["1", "2"].map(|id| line("1795493951.007", "502", "10.0.2.1:8000", id)).concat();
            let sound = line("1795493951.007", "200", "10.0.2.1:8000", "3");
            let inner = inner + &sound;
            let started = "2026/11/26 19:27:34 [notice] 9#9: start worker processes\n";
            let files = logs(&[("an-error.log", started), ("edge.log", &edge), ("ingress.log", &inner)]);
            let diagnosis = analyse_with_logs(Vec::new(), files, &Overrides::default()).diagnosis;
            let told: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.summary.as_str()).collect();
            let expected =
                "ingress.log: 2 requests failed, and the fault lies behind this proxy: at 10.0.2.1:8000 (2)";
            assert_eq!(told, [expected]);
            let files = logs(&[("ingress.log", &sound)]);
            assert!(
                analyse_with_logs(Vec::new(), files, &Overrides::default()).diagnosis.findings.is_empty()
            );
        }
    }

    #[test]
    fn a_log_without_servers_cannot_tell_and_says_what_to_add() {
        let told = |text: &str| {
            let files = logs(&[("access.log", text)]);
            let findings = analyse_with_logs(Vec::new(), files, &Overrides::default()).diagnosis.findings;
            findings.into_iter().map(|finding| (finding.summary, finding.explanation)).collect::<Vec<_>>()
        };
        let line = |status: u16| {
            format!(
                "10.1.0.7 - - [26/Nov/2026:10:00:00 +0000] \"GET /a HTTP/1.1\" {status} 5 \"-\" \"curl/8\"\n"
            )
        };
        let plain = told(&(line(200) + &line(502)));
        assert!(plain[0].0.contains("1 request failed, and the log does not tell"), "{plain:?}");
        assert!(plain[0].1.contains("no $upstream_addr"), "{plain:?}");
        assert!(told(&line(404)).is_empty());
        let uwsgi = "[pid: 9|app: 0|req: 1/1] 10.0.0.1 () {40 vars in 500 bytes} [Wed Nov 25 14:35:00 2026] GET /a => \
                     generated 5 bytes in 2 msecs (HTTP/1.1 500) 2 headers in 80 bytes (1 switches on core 0)\n";
        assert!(told(uwsgi)[0].0.contains("failed at the application itself, with 500 (1)"));
        let haproxy = "10.0.0.1:3 [25/Nov/2026:14:35:00.655] front back/srv1 1/0/3/-1/9 502 4 - - SH-- 1/1/1/1/0 0/0 \
                       \"POST /order HTTP/1.1\"\n";
        assert!(told(haproxy)[0].1.contains("termination state"), "{:?}", told(haproxy));
    }
}
