//! The report for a person at a terminal: the verdict first, then where it starts, then the proof.

use std::fmt::Write;
use std::net::IpAddr;

use crate::analysis::Analysis;
use crate::capture::CaptureId;
use crate::diagnose::beyond;
use crate::diagnose::carried::unread;
use crate::diagnose::words::{at_least, counted, grouped, listed, methods, printable};
use crate::diagnose::{ByMethod, Finding, LoggedRetries, Retries, Severity};
use crate::session::Annotation;
use crate::topology::{Remark, RemarkKind, Role};

use super::board::write_board;
use super::carried::{write_aside, write_carried};
use super::clocks::write_clocks;
use super::names::CaptureNames;
use super::notes::write_notes;

/// No line is wider, unless a single word (a path, a change to type) is.
pub(super) const WIDTH: usize = 100;

/// How many packets of a finding are listed; JSON has them all.
pub(super) const FRAMES_SHOWN: usize = 12;

/// How many files that are no captures are named in the verdict; the list of captures has them all.
const FILES_NAMED: usize = 3;

/// How many addresses of a lane are listed, and how many of them on one line; JSON has them all.
const ADDRESSES_SHOWN: usize = 8;
const ADDRESSES_ON_A_LINE: usize = 3;

/// How many log lines of a finding are listed.
const LINES_SHOWN: usize = 6;

/// The whole report as text, ending with a line break.
pub fn text(analysis: &Analysis) -> String {
    text_with_notes(analysis, &[])
}

/// The same with the notes of a session.
pub fn text_with_notes(analysis: &Analysis, notes: &[Annotation]) -> String {
    let mut out = String::new();
    remarks(analysis, &mut out);
    verdict(analysis, &mut out);
    lanes(analysis, &mut out);
    write_board(analysis, &mut out);
    write_carried(analysis, &mut out);
    retries(analysis, &mut out);
    findings(analysis, &mut out);
    write_notes(analysis, notes, &mut out);
    captures(analysis, &mut out);
    write_clocks(analysis, &mut out);
    logs(analysis, &mut out);
    out
}

/// What the reader must know before the verdict; that a capture is a copy stands beside the captures.
fn remarks(analysis: &Analysis, out: &mut String) {
    let first = |remark: &&Remark| remark.kind != RemarkKind::CopiedCapture;
    for remark in analysis.topology.remarks.iter().filter(first) {
        paragraph(out, "[remark] ", &remark.detail);
    }
    if !out.is_empty() {
        out.push('\n');
    }
}

fn verdict(analysis: &Analysis, out: &mut String) {
    let worst = analysis.diagnosis.findings.first().filter(|finding| finding.severity >= Severity::Warning);
    if let Some(beyond) = worst.and_then(|_| beyond::leading(analysis)) {
        let text = match beyond::seen(analysis) {
            seen if seen.is_empty() || beyond.is_outermost => beyond.summary,
            seen => format!("{seen}, and these captures do not show why: {}", beyond.summary),
        };
        let text = format!("{text}.");
        paragraph(out, "", &text);
        paragraph(out, "  ", &beyond.explanation);
        if let Some(fix) = analysis.diagnosis.findings[beyond.finding].fixes.first() {
            paragraph(out, "  Change: ", &format!("{}{}", product(&fix.product), fix.change));
        }
        return;
    }
    let Some(finding) = worst else {
        let requests = analysis.outermost_requests();
        let text = if analysis.captures.is_empty() && !analysis.logs.is_empty() {
            "No failure in these logs that they tell the place of.".to_owned()
        } else if let Some(text) = nothing_read(analysis) {
            text
        } else if let (0, Some(unread)) = (analysis.diagnosis.board.requests(), unread(analysis)) {
            format!("No HTTP request can be read in these captures: {unread}.")
        } else if analysis.topology.exchanges.is_empty() {
            "No HTTP exchange in these captures.".to_owned()
        } else if let Some(left) = analysis.diagnosis.failures.only_left() {
            // What was not read was not judged either.
            let unread = unread(analysis).map_or(String::new(), |unread| format!(" Not read: {unread}."));
            let failures = match left {
                0 => "no failure".to_owned(),
                left => format!("{} given up by their clients before the answer was whole", grouped(left)),
            };
            format!(
                "No fault found: {} from {}, {failures}.{unread}",
                counted(requests, "request"),
                analysis.askers()
            )
        } else {
            let beyond =
                beyond::beyond(analysis).map_or(String::new(), |beyond| format!(" {}.", beyond.summary));
            format!("Requests failed, and these captures do not show why.{beyond}")
        };
        paragraph(out, "", &text);
        return;
    };
    paragraph(out, &format!("{} ", mark(finding.severity)), &finding.summary);
    paragraph(out, "  ", &finding.explanation);
    if let Some(fix) = finding.fixes.first() {
        paragraph(out, "  Change: ", &format!("{}{}", product(&fix.product), fix.change));
    }
}

/// What the files are, where none of them is a capture.
fn nothing_read(analysis: &Analysis) -> Option<String> {
    let infos = || analysis.captures.iter().map(|capture| &capture.info);
    // Of a capture the format is known, however little of it could be read.
    if infos().any(|info| !info.format.is_empty()) {
        return None;
    }
    let mut parts: Vec<String> = infos()
        .take(FILES_NAMED)
        .filter_map(|info| Some(format!("{} ({})", info.path.display(), info.problems.first()?.detail)))
        .collect();
    let more = analysis.captures.len().saturating_sub(FILES_NAMED);
    if more > 0 {
        parts.push(format!("{} more", grouped(more as u64)));
    }
    (!parts.is_empty()).then(|| format!("Nothing could be read: no capture in {}.", listed(&parts)))
}

fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "[error]",
        Severity::Warning => "[warning]",
        Severity::Note => "[note]",
    }
}

fn product(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("{name}: ") }
}

fn lanes(analysis: &Analysis, out: &mut String) {
    if analysis.topology.lanes.is_empty() {
        return;
    }
    heading(out, "Lanes");
    let mut rows = Vec::new();
    for lane in &analysis.topology.lanes {
        let role = match lane.role {
            Role::Client => "client",
            Role::Proxy => "proxy",
            Role::Server => "server",
        };
        let mut notes = in_lines(&lane.serves);
        if let Some(first) = notes.first_mut() {
            first.insert_str(0, "listens on ");
        }
        if lane.inferred {
            let note = "not captured itself";
            match notes.last_mut() {
                Some(last) => last.push_str(&format!("; {note}")),
                None => notes.push(note.to_owned()),
            }
        }
        let addresses: Vec<String> = lane.addresses.iter().map(|&ip| with_host(analysis, ip)).collect();
        let addresses = in_lines(&addresses);
        for line in 0..addresses.len().max(notes.len()).max(1) {
            let [name, role] = if line == 0 { [lane.name.as_str(), role] } else { [""; 2] };
            let of = |cells: &[String]| cells.get(line).cloned().unwrap_or_default();
            rows.push(vec![name.to_owned(), role.to_owned(), of(&addresses), of(&notes)]);
        }
    }
    table(out, rows, &[false; 4]);
}

/// The addresses of a lane, a few on a line, and how many more there are.
fn in_lines(items: &[impl ToString]) -> Vec<String> {
    let mut parts: Vec<String> = items.iter().take(ADDRESSES_SHOWN).map(ToString::to_string).collect();
    if items.len() > parts.len() {
        parts.push(format!("{} more", grouped((items.len() - parts.len()) as u64)));
    }
    let lines = parts.chunks(ADDRESSES_ON_A_LINE);
    let mut lines: Vec<String> = lines.map(|line| line.join(", ") + ",").collect();
    if let Some(last) = lines.last_mut() {
        last.pop();
    }
    lines
}

/// An address with the first host name that captures give it.
fn with_host(analysis: &Analysis, address: IpAddr) -> String {
    match analysis.host_names(address).first() {
        Some(name) => format!("{address} ({})", one_line(name)),
        None => address.to_string(),
    }
}

/// A text of a capture on one line, without what a terminal would obey.
pub(super) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    printable(&lines.collect::<Vec<_>>().join("; "))
}

/// The first few of a list, and how many more there are.
fn some_of(items: &[impl ToString]) -> String {
    let mut parts: Vec<String> = items.iter().take(3).map(ToString::to_string).collect();
    if items.len() > parts.len() {
        parts.push(format!("{} more", grouped((items.len() - parts.len()) as u64)));
    }
    parts.join(", ")
}

fn retries(analysis: &Analysis, out: &mut String) {
    let failures = &analysis.diagnosis.failures;
    let nothing = analysis.diagnosis.retries.is_empty() && failures.visible.is_empty();
    if nothing && analysis.trees.again.is_empty() && failures.unsure == 0 {
        return;
    }
    let askers = analysis.askers();
    heading(out, if askers == "users" { "Users and retries" } else { "Clients and retries" });
    for (method, by_status) in &failures.visible {
        let parts: Vec<String> = by_status
            .iter()
            .map(|(status, number)| format!("{status} {}", crate::diagnose::words::times(*number)))
            .collect();
        paragraph(out, "  ", &format!("{method}: {askers} saw {}.", listed(&parts)));
    }
    for retries in &analysis.diagnosis.retries {
        let Some(lane) = retries.lane else { continue };
        let text = format!(
            "{} retried {}{} in {}",
            analysis.lane(lane).name,
            at_least(retries.unsure),
            methods(&retries.retried),
            counted(retries.attempts, "attempt")
        );
        let open = not_known(retries);
        let saved = format!("saved {}", at_least(retries.unsure));
        let ends = [
            (saved.as_str(), &retries.saved),
            ("failed all the same: ", &retries.failed),
            ("answer not captured: ", &open),
        ];
        let mut text = with_ends(text, ends);
        if let Some(logged) = &retries.logged {
            let _ = write!(text, " {}", logged_words(logged));
        }
        paragraph(out, "  ", &text);
    }
    for retries in &analysis.client_retries() {
        let Some(lane) = retries.lane else { continue };
        let text = format!(
            "{} itself sent {} again after a failure, {} in all (a client's retries, no proxy's)",
            analysis.lane(lane).name,
            methods(&retries.retried),
            counted(retries.attempts, "request")
        );
        let ends = [("answered well at last: ", &retries.saved), ("never: ", &retries.failed)];
        paragraph(out, "  ", &with_ends(text, ends));
    }
    if !failures.masked.is_empty() {
        let masked = format!("{}{}", at_least(failures.unsure), methods(&failures.masked));
        paragraph(out, "  ", &format!("Failures that {askers} never saw: {masked}."));
    }
    if failures.unsure > 0 {
        let words = format!(
            "Nothing tells what came of {}: equal requests ran at the same time.",
            counted(
                failures.unsure,
                if failures.masked.is_empty() { "failed attempt" } else { "more failed attempt" }
            )
        );
        paragraph(out, "  ", &words);
    }
    if askers != "users" {
        paragraph(
            out,
            "  ",
            "What users themselves saw is not known: their link is encrypted, or was not captured in full.",
        );
    }
}

/// What the lane's own log says otherwise: `Its log edge.log says: retried 11 GETs, saved 10 GETs.`
fn logged_words(logged: &LoggedRetries) -> String {
    let saved = if logged.saved.is_empty() { "none".to_owned() } else { methods(&logged.saved) };
    let retried = if logged.retried.is_empty() { "none".to_owned() } else { methods(&logged.retried) };
    format!("Its log {} says: retried {retried}, saved {saved}.", logged.log)
}

/// Of the requests that a lane retried, those of which nobody knows how they ended.
fn not_known(retries: &Retries) -> ByMethod {
    let ended = |method: &String| {
        let of = |ends: &ByMethod| ends.get(method).copied().unwrap_or(0);
        of(&retries.saved).saturating_add(of(&retries.failed))
    };
    let open =
        retries.retried.iter().map(|(method, all)| (method.clone(), all.saturating_sub(ended(method))));
    open.filter(|(_, number)| *number > 0).collect()
}

/// A sentence about retries, with how those ended of which there are some.
fn with_ends<const N: usize>(mut text: String, ends: [(&str, &ByMethod); N]) -> String {
    for (words, ended) in ends.into_iter().filter(|(_, ended)| !ended.is_empty()) {
        let _ = write!(text, "; {words}{}", methods(ended));
    }
    text + "."
}

fn findings(analysis: &Analysis, out: &mut String) {
    let findings = &analysis.diagnosis.findings;
    if findings.is_empty() {
        return;
    }
    heading(out, &format!("Findings ({})", findings.len()));
    let names = CaptureNames::short(analysis);
    for (at, finding) in findings.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        one_finding(out, at + 1, finding, &names);
        comments(out, analysis, finding, &names);
        write_aside(analysis, finding, &names, out);
        log_lines(out, analysis, at);
    }
}

fn one_finding(out: &mut String, number: usize, finding: &Finding, names: &CaptureNames<'_>) {
    paragraph(out, &format!("  {number}. {} ", mark(finding.severity)), &finding.summary);
    let certainty = match finding.confidence {
        crate::diagnose::Certainty::Possible => "possible",
        crate::diagnose::Certainty::Likely => "likely",
        crate::diagnose::Certainty::Certain => "certain",
    };
    let labels = [finding.kind.as_str(), finding.cause.as_str(), finding.rule.as_str(), certainty];
    let labels: Vec<&str> = labels.into_iter().filter(|label| !label.is_empty()).collect();
    paragraph(out, "     ", &labels.join(" · "));
    paragraph(out, "     ", &finding.explanation);
    for (at, fix) in finding.fixes.iter().enumerate() {
        let head = if at == 0 { "     Change: " } else { "         or: " };
        paragraph(out, head, &format!("{}{}", product(&fix.product), fix.change));
        if !fix.note.is_empty() {
            paragraph(out, "             ", &fix.note);
        }
    }
    if !finding.log_line.is_empty() {
        paragraph(out, "     In the error log: ", &finding.log_line);
    }
    paragraph(out, "     When not to believe it: ", &finding.doubt);
    if finding.evidence.is_empty() {
        return;
    }
    out.push_str("     Evidence:\n");
    let shown = finding.evidence.iter().take(FRAMES_SHOWN);
    let rows = shown.map(|proof| {
        let place = format!("   {}", names.words(proof.frame));
        vec![place, format!(":{} → {}", proof.client.port(), proof.server), proof.note.clone()]
    });
    table(out, rows.collect(), &[false; 3]);
    let more = finding.evidence.len().saturating_sub(FRAMES_SHOWN);
    if more > 0 {
        let _ = writeln!(out, "     … and {} in the JSON report.", counted(more as u64, "more packet"));
    }
}

/// What the captures say of a finding's packets: each text once, with those of the packets listed that have it.
fn comments(out: &mut String, analysis: &Analysis, finding: &Finding, names: &CaptureNames<'_>) {
    let mut texts: Vec<(&str, Vec<String>)> = Vec::new();
    for proof in finding.evidence.iter().take(FRAMES_SHOWN) {
        let place = names.words(proof.frame);
        for text in analysis.comments(proof.frame) {
            match texts.iter_mut().find(|(known, _)| *known == text) {
                Some((_, places)) if places.contains(&place) => {}
                Some((_, places)) => places.push(place.clone()),
                None => texts.push((text, vec![place.clone()])),
            }
        }
    }
    if !texts.is_empty() {
        out.push_str("     The capture says of these packets:\n");
    }
    for (text, places) in texts {
        paragraph(out, "       ", &format!("{}: {}", some_of(&places), one_line(text)));
    }
}

/// The lines of the servers' logs that a finding explains; JSON has them all.
fn log_lines(out: &mut String, analysis: &Analysis, finding: usize) {
    let lines = analysis.log_lines(finding);
    if lines.is_empty() {
        return;
    }
    let _ = match analysis.log_cases(finding) {
        Some(_) => writeln!(out, "     In the logs ({}):", analysis.log_lines_words(finding)),
        None => writeln!(out, "     In the logs:"),
    };
    for line in lines.iter().take(LINES_SHOWN) {
        paragraph(out, &format!("       {}:{} ", line.file, line.line), &line.text);
    }
    let more = lines.len().saturating_sub(LINES_SHOWN);
    if more > 0 {
        let _ = writeln!(out, "     … and {} in the JSON report.", counted(more as u64, "more line"));
    }
}

/// What each log says by itself: statuses, retries, and where attempts failed.
fn logs(analysis: &Analysis, out: &mut String) {
    if analysis.logs.is_empty() {
        return;
    }
    heading(out, "Logs");
    for (at, log) in analysis.logs.iter().enumerate() {
        let figures = &log.figures;
        let mut parts = vec![counted(log.lines, "line")];
        for (method, by_status) in &figures.status {
            let all: Vec<String> =
                by_status.iter().map(|(status, number)| format!("{} × {status}", grouped(*number))).collect();
            parts.push(format!("{method} {}", all.join(", ")));
        }
        if !figures.retried.is_empty() {
            let saved = if figures.saved.is_empty() {
                "none of them saved".to_owned()
            } else {
                format!("saved {}", methods(&figures.saved))
            };
            parts.push(format!("retried {} ({saved})", methods(&figures.retried)));
        }
        for (address, number) in &figures.failed_behind {
            parts.push(format!("{} failed at {address}", counted(*number, "attempt")));
        }
        if figures.failed_without_attempt > 0 {
            parts.push(format!("{} without any attempt behind", grouped(figures.failed_without_attempt)));
        }
        parts.extend(figures.faults.iter().map(|(class, number)| format!("{} × {class}", grouped(*number))));
        if log.dropped > 0 {
            parts.push(format!("{} counted only: too many to keep", grouped(log.dropped)));
        }
        paragraph(out, &format!("  {}  ", analysis.log_name(at)), &parts.join("; "));
    }
}

fn captures(analysis: &Analysis, out: &mut String) {
    if analysis.captures.is_empty() {
        return;
    }
    heading(out, "Captures");
    let rows = (0..analysis.captures.len()).map(|at| {
        let info = &analysis.captures[at].info;
        let name = analysis.capture_name(CaptureId(at as u16));
        vec![name, info.format.clone(), info.link_types.join(", "), counted(info.packets, "packet")]
    });
    table(out, rows.collect(), &[false, false, false, true]);
    for (at, capture) in analysis.captures.iter().enumerate() {
        let name = analysis.capture_name(CaptureId(at as u16));
        for problem in &capture.info.problems {
            let more = problem.in_all();
            paragraph(out, "  ", &format!("{name}: {}: {}{more}", problem.kind, problem.detail));
        }
    }
    let remarks = analysis.topology.remarks.iter();
    for remark in remarks.filter(|remark| remark.kind == RemarkKind::CopiedCapture) {
        paragraph(out, "  ", &remark.detail);
    }
}

pub(super) fn heading(out: &mut String, text: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "{text}");
}

/// Writes rows with columns that stand straight; `right` tells which are aligned to the right.
pub(super) fn table(out: &mut String, rows: Vec<Vec<String>>, right: &[bool]) {
    let mut widths = vec![0; right.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let mut line = String::from(" ");
        for ((cell, &width), &right) in row.iter().zip(&widths).zip(right) {
            let _ = if right { write!(line, " {cell:>width$} ") } else { write!(line, " {cell:<width$} ") };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// Writes a text after `head`, wrapped, further lines under the first word.
pub(super) fn paragraph(out: &mut String, head: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    let indent = head.chars().count();
    let (mut line, mut used) = (head.to_owned(), indent);
    for word in text.split(' ') {
        let width = word.chars().count();
        if used > indent && used + 1 + width > WIDTH {
            let _ = writeln!(out, "{}", line.trim_end());
            (line, used) = (" ".repeat(indent), indent);
        }
        if used > indent {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += width;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_a_lane_are_listed_up_to_a_sensible_count() {
        let ports = |count: usize| (0..count).map(|at| 8000 + at).collect::<Vec<usize>>();
        assert!(in_lines(&ports(0)).is_empty());
        assert_eq!(in_lines(&ports(4)), ["8000, 8001, 8002,", "8003"]);
        assert_eq!(in_lines(&ports(10)), ["8000, 8001, 8002,", "8003, 8004, 8005,", "8006, 8007, 2 more"]);
    }

    #[test]
    fn retries_that_neither_saved_nor_failed_ended_unseen() {
        let by = |method: &str, number| ByMethod::from([(method.to_owned(), number)]);
        let retries = Retries { retried: by("GET", 9), saved: by("GET", 8), ..Retries::default() };
        assert_eq!(not_known(&retries), by("GET", 1));
        let retries = Retries { failed: by("GET", 1), ..retries };
        assert!(not_known(&retries).is_empty());
    }
}
