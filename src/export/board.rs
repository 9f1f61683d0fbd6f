//! "Where does it start?" as text: statuses by link side by side, the boundary, and which requests fail.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::text::{WIDTH, heading, paragraph, table};
use crate::analysis::Analysis;
use crate::diagnose::words::{at_least_short, duration, grouped, idle_words};
use crate::topology::LinkId;

/// Servers of a link that are listed.
const MOST_SERVERS: usize = 12;

/// "Where does it start?": statuses by link, and the boundary.
pub(super) fn write_board(analysis: &Analysis, out: &mut String) {
    let board = &analysis.diagnosis.board;
    if board.links.is_empty() {
        return;
    }
    heading(out, "Where does it start?");
    let mut columns: Vec<&str> = board
        .links
        .iter()
        .flat_map(|f| f.status.values())
        .flat_map(|s| s.keys())
        .map(String::as_str)
        .collect();
    columns.sort_unstable();
    columns.dedup();
    // Many different statuses do not fit a line: those of failures matter.
    if columns.len() > 6 {
        columns.retain(|status| status.starts_with('5') || *status == "none");
        columns.truncate(6);
    }
    let mut head: Vec<String> = vec!["link".to_owned(), "requests".to_owned()];
    head.extend(columns.iter().map(|status| (*status).to_owned()));
    let some_refused = board.links.iter().any(|figures| figures.refused_connections > 0);
    head.extend(some_refused.then(|| "refused".to_owned()));
    head.extend(["reused", "rejected", "retried"].map(str::to_owned));
    let some_ambiguous = board.links.iter().any(|figures| figures.ambiguous > 0);
    head.extend(some_ambiguous.then(|| "ambiguous".to_owned()));
    head.extend(["p50", "p99"].map(str::to_owned));
    let mut rows = vec![head];
    for (at, figures) in board.links.iter().enumerate() {
        let dash = |number: u64| if number == 0 { "-".to_owned() } else { grouped(number) };
        let mut row = vec![analysis.link_name(LinkId(at as u16)), figures.requests_words()];
        row.extend(columns.iter().map(|status| dash(figures.with_status(status))));
        row.extend(some_refused.then(|| dash(figures.refused_connections)));
        row.push(dash(figures.reused_requests));
        row.push(dash(figures.rejected_by_method.values().sum()));
        row.push(match (figures.retried.values().sum(), figures.unsure) {
            (0, 0) => dash(0),
            (retried, unsure) => at_least_short(retried, unsure),
        });
        row.extend(some_ambiguous.then(|| dash(figures.ambiguous)));
        let latency = |which: usize| figures.latency_ns.map_or("-".to_owned(), |all| duration(all[which]));
        row.extend([latency(0), latency(2)]);
        rows.push(row);
    }
    let mut right = vec![true; rows[0].len()];
    right[0] = false;
    let mut text = String::new();
    table(&mut text, rows, &right);
    for (line, text) in text.lines().enumerate() {
        let _ = writeln!(out, "{text}");
        if board.boundary.is_some_and(|link| usize::from(link.0) + 1 == line) {
            let _ = writeln!(out, "  {}", "- ".repeat(text.chars().count().min(WIDTH) / 2 - 1).trim_end());
        }
    }
    for (at, figures) in board.links.iter().enumerate() {
        if let Some(coverage) = &figures.coverage {
            let words = crate::diagnose::coverage::words(analysis, coverage);
            let name = analysis.link_name(LinkId(at as u16));
            paragraph(out, "  ", &format!("{name} {words}: its figures are of that time."));
        }
    }
    slow_handshakes(analysis, out);
    for (at, figures) in board.links.iter().enumerate() {
        if let Some(words) = figures.unasked_words() {
            let name = analysis.link_name(LinkId(at as u16));
            paragraph(
                out,
                "  ",
                &format!("{name} shows {words}: among the statuses, not among the requests."),
            );
        }
    }
    errors_by_method(analysis, out);
    failures_by_place(analysis, out);
    failures_by_server(analysis, out);
    if some_ambiguous {
        let words = "Ambiguous: equal requests ran at the same time, and nothing tells which of them caused it. \
            Retries and hidden failures are counted without those: there may be more.";
        paragraph(out, "  ", words);
    }
    if let (Some(link), Some(status)) = (board.boundary, &board.status) {
        let link = analysis.link(link);
        let name = &analysis.lane(link.to).name;
        let refused = analysis.refused_behind(link.to).map(|words| format!(" {words}")).unwrap_or_default();
        let begins = format!(
            "{status}s start at {name}: the links behind it show none, so {name} made them.{refused}"
        );
        paragraph(out, "  ", &begins);
    }
    if some_refused {
        paragraph(out, "  ", "Refused: connections whose SYN was answered by RST; they carry no request.");
    }
}

/// Handshakes that take this long are worth a line: the path is far, or the server slow to accept.
const SLOW_HANDSHAKE_NS: i64 = 20_000_000;

/// For each link whose connections take long to open: from SYN to ACK.
fn slow_handshakes(analysis: &Analysis, out: &mut String) {
    let mut rows = Vec::new();
    for (at, figures) in analysis.diagnosis.board.links.iter().enumerate() {
        if let Some([p50, _, p99, max]) = figures.handshake_ns.filter(|all| all[3] >= SLOW_HANDSHAKE_NS) {
            let [p50, p99, max] = [p50, p99, max].map(duration);
            let words = format!("p50 {p50}, p99 {p99}, max {max}");
            rows.push(vec![analysis.link_name(LinkId(at as u16)), words]);
        }
    }
    if !rows.is_empty() {
        out.push_str("  Handshakes, from SYN to ACK, where some were slow:\n");
        table(out, rows, &[false; 2]);
    }
}

/// For each link that has some, its 5xx and missing answers by method: `user → nginx: 502 POST 17`.
fn errors_by_method(analysis: &Analysis, out: &mut String) {
    let mut rows = Vec::new();
    for (at, figures) in analysis.diagnosis.board.links.iter().enumerate() {
        let mut by_status: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
        for (method, statuses) in &figures.status {
            for (status, &number) in statuses.iter().filter(|(status, _)| is_error(status)) {
                by_status.entry(status).or_default().push((method, number));
            }
        }
        for (status, mut methods) in by_status {
            methods.sort_by_key(|&(method, number)| (std::cmp::Reverse(number), method));
            let all: Vec<String> =
                methods.iter().map(|(method, number)| format!("{method} {}", grouped(*number))).collect();
            rows.push(vec![analysis.link_name(LinkId(at as u16)), status.to_owned(), all.join(", ")]);
        }
    }
    if !rows.is_empty() {
        out.push_str("  By method (none: no answer seen):\n");
        table(out, rows, &[false; 3]);
    }
}

/// Whether a status is one of a server's fault, or `none`: then no answer was seen.
fn is_error(status: &str) -> bool {
    status == "none" || status.starts_with('5')
}

/// For each link where later requests of a connection went unanswered: answered and asked by ordinal and by idle time.
fn failures_by_place(analysis: &Analysis, out: &mut String) {
    let (mut ordinals, mut gaps) = (Vec::new(), Vec::new());
    for (at, figures) in analysis.diagnosis.board.links.iter().enumerate() {
        if figures.ordinals[1..].iter().all(|(requests, answered)| requests == answered) {
            continue;
        }
        let name = analysis.link_name(LinkId(at as u16));
        let share = |words: &str, (requests, answered): (u64, u64)| {
            (requests > 0).then(|| format!("{words} {} of {}", grouped(answered), grouped(requests)))
        };
        let by_ordinal = ["1st", "2nd", "3rd and on"].into_iter().zip(figures.ordinals);
        let by_ordinal: Vec<String> = by_ordinal.filter_map(|(words, all)| share(words, all)).collect();
        ordinals.push(vec![name.clone(), by_ordinal.join(", ")]);
        let by_gap = figures.idle_gaps.into_iter().enumerate();
        let by_gap: Vec<String> = by_gap.filter_map(|(class, all)| share(&idle_words(class), all)).collect();
        gaps.push(vec![name, by_gap.join(", ")]);
    }
    for (head, rows) in [
        ("Answered, by place on the connection:", ordinals),
        ("Answered, by how long the connection had been idle:", gaps),
    ] {
        if !rows.is_empty() {
            let _ = writeln!(out, "  {head}");
            table(out, rows, &[false; 2]);
        }
    }
}

/// For each link with failures and several servers: failed and asked by server.
fn failures_by_server(analysis: &Analysis, out: &mut String) {
    let mut rows = Vec::new();
    for (at, figures) in analysis.diagnosis.board.links.iter().enumerate() {
        if figures.servers.len() < 2 || figures.servers.values().all(|server| server.failed == 0) {
            continue;
        }
        let mut servers: Vec<_> = figures.servers.iter().collect();
        servers.sort_by_key(|(address, server)| (std::cmp::Reverse(server.failed), *address));
        for (address, server) in servers.iter().take(MOST_SERVERS) {
            let share = format!("{} of {}", grouped(server.failed), grouped(server.requests));
            rows.push(vec![analysis.link_name(LinkId(at as u16)), (*address).clone(), share]);
        }
        if let Some(more) = servers.len().checked_sub(MOST_SERVERS).filter(|more| *more > 0) {
            rows.push(vec![String::new(), format!("… and {more} more in the JSON report"), String::new()]);
        }
    }
    if !rows.is_empty() {
        out.push_str("  Failed, by server:\n");
        table(out, rows, &[false; 3]);
    }
}
