//! What connections carry in place of requests that can be read, for the text report.

use std::collections::BTreeMap;

use super::names::CaptureNames;
use super::text::{FRAMES_SHOWN, heading, one_line, paragraph, table};
use crate::analysis::Analysis;
use crate::diagnose::carried::counts;
use crate::diagnose::words::{counted, grouped};
use crate::diagnose::{Finding, HandOverFigures, TlsFigures};
use crate::topology::{ExchangeId, LinkId};

/// Most names of a kind that are told of a link; JSON has them all.
const NAMES_SHOWN: usize = 4;

/// The longest start of a text of an application that is told, in characters.
const MOST_SAID: usize = 400;

/// What applications wrote beside the answers that a finding lists (FastCGI's STDERR): the start of each.
pub(super) fn write_aside(
    analysis: &Analysis,
    finding: &Finding,
    names: &CaptureNames<'_>,
    out: &mut String,
) {
    let mut shown: Vec<ExchangeId> = Vec::new();
    let mut told = String::new();
    for proof in finding.evidence.iter().take(FRAMES_SHOWN) {
        let Some(id) = proof.exchange.filter(|id| !shown.contains(id)) else { continue };
        shown.push(id);
        let exchange = analysis.exchange(id);
        for said in exchange.aside() {
            let frame = exchange.connection().frame(said.frame);
            let text = one_line(said.text.trim());
            let start: String = text.chars().take(MOST_SAID).collect();
            let more = if start.len() < text.len() { "…" } else { "" };
            let words = format!("{}: {start}{more}", names.words(frame));
            paragraph(&mut told, "       ", &words);
        }
    }
    if !told.is_empty() {
        out.push_str("     The application wrote to STDERR:\n");
        out.push_str(&told);
    }
}

/// The two sections: TLS, and what HTTP/1 was left for.
pub(super) fn write_carried(analysis: &Analysis, out: &mut String) {
    let links = || (0..).map(LinkId).zip(&analysis.diagnosis.board.links);
    if links().any(|(_, figures)| figures.tls.is_some()) {
        heading(out, "Encrypted connections (TLS): no requests can be read in them");
    }
    for (link, figures) in links() {
        if let Some(tls) = &figures.tls {
            write_tls(analysis, link, figures.connections, tls, out);
        }
    }
    if links().any(|(_, figures)| !figures.hand_overs.is_empty()) {
        heading(out, "Connections that carry another protocol than HTTP/1");
    }
    let rows = links().flat_map(|(link, figures)| hand_over_rows(analysis, link, &figures.hand_overs));
    table(out, rows.collect(), &[false, true, false, false]);
}

fn write_tls(analysis: &Analysis, link: LinkId, connections: u64, tls: &TlsFigures, out: &mut String) {
    let ends = analysis.link(link);
    let [from, to] = [ends.from, ends.to].map(|lane| &analysis.lane(lane).name);
    let least = if tls.lossy { "at least " } else { "" };
    let head = format!(
        "{} of {}, {least}{} B encrypted to {to} and {} B back",
        grouped(tls.connections),
        counted(connections, "connection"),
        grouped(tls.client_bytes),
        grouped(tls.server_bytes)
    );
    paragraph(out, &format!("  {}: ", analysis.link_name(link)), &head);
    let unknown = tls.connections.saturating_sub(tls.established).saturating_sub(tls.failed);
    let handshakes = [
        (tls.established, "finished"),
        (tls.failed, "not finished"),
        (unknown, "not captured in full"),
        (tls.resumed, "resumed a session"),
    ];
    let handshakes = handshakes.into_iter().filter(|(count, _)| *count > 0);
    let handshakes: Vec<String> =
        handshakes.map(|(count, words)| format!("{} {words}", grouped(count))).collect();
    let mut alpn = Vec::new();
    for (words, all) in [("offered", &tls.alpn_offered), ("chosen", &tls.alpn_chosen)] {
        if !all.is_empty() {
            alpn.push(format!("{words} {}", counts(all, NAMES_SHOWN)));
        }
    }
    let by_side = |client: &BTreeMap<String, u64>, server: &BTreeMap<String, u64>| {
        let sides = [(from, client), (to, server)].into_iter().filter(|(_, all)| !all.is_empty());
        let sides: Vec<String> =
            sides.map(|(name, all)| format!("by {name} {}", counts(all, NAMES_SHOWN))).collect();
        sides.join("; ")
    };
    let rows = [
        ("handshakes", handshakes.join(", ")),
        ("version", counts(&tls.versions, NAMES_SHOWN)),
        ("cipher suite", counts(&tls.ciphers, NAMES_SHOWN)),
        ("server name", counts(&tls.server_names, NAMES_SHOWN)),
        ("ALPN", alpn.join("; ")),
        ("alerts", by_side(&tls.client_alerts, &tls.server_alerts)),
        ("last word", by_side(&tls.client_ends, &tls.server_ends)),
    ];
    for (name, words) in rows {
        paragraph(out, &format!("    {name:<13}"), &words);
    }
}

fn hand_over_rows(analysis: &Analysis, link: LinkId, all: &[HandOverFigures]) -> Vec<Vec<String>> {
    let to = &analysis.lane(analysis.link(link).to).name;
    let row = |one: &HandOverFigures| {
        vec![
            analysis.link_name(link),
            counted(one.connections, "connection"),
            one.words(),
            format!("{} B to {to}, {} B back", grouped(one.client_bytes), grouped(one.server_bytes)),
        ]
    };
    all.iter().map(row).collect()
}
