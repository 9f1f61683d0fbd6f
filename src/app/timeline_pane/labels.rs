//! The words on bars, rows and nodes.

use crate::analysis::{Analysis, ExchangeView};
use crate::app::widgets::outcome_name;
use crate::diagnose::Outcome;
use crate::timeline::{Item, LaneBand, Look, Mark, MarkKind, Span, SpanFlags, duration};
use crate::topology::ExchangeId;

/// `GET 200`, `POST 502`, `GET 200 aborted`, `GET`.
pub(super) fn short(exchange: &ExchangeView<'_>) -> String {
    match exchange.status() {
        // Red without a word it would read as a contradiction.
        Some(status) if status < 500 && exchange.outcome().is_failure() => {
            format!("{} {status} {}", exchange.method(), outcome_name(exchange.outcome()))
        }
        Some(status) => format!("{} {status}", exchange.method()),
        None => exchange.method().to_owned(),
    }
}

/// A target of at most `limit` characters, shortened in the middle of nothing: the end is cut with `…`.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(limit.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// What a single bar is called: `ingress → uwsgi request 2 GET /api/item/77 rejected`.
pub(super) fn node(analysis: &Analysis, span: &Span) -> String {
    let exchange = analysis.exchange(span.exchange);
    let link = analysis.link_name(exchange.link_id());
    let target = cut(&exchange.target(), 80);
    let outcome = match (span.look, exchange.status()) {
        (Look::Failed, Some(status)) if status < 500 => {
            format!("{status} {}", outcome_name(exchange.outcome()))
        }
        (Look::Answered | Look::Failed, Some(status)) => status.to_string(),
        (look, _) => look.word().to_owned(),
    };
    let attempt = match attempt(span) {
        Some(number) => format!(", attempt {number}"),
        None => String::new(),
    };
    format!("{link} request {} {} {target} {outcome}{attempt}", span.ordinal, exchange.method())
}

/// What a merged run is called: `37 requests, 2 rejected, zoom in`.
pub(super) fn run(item: &Item) -> String {
    let mut text = format!("{} requests", item.count);
    for (count, word) in [(item.rejected, "rejected"), (item.failed, "failed"), (item.retries, "retried")] {
        if count > 0 {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    text.push_str(", zoom in");
    text
}

/// What a mark stands for: `rejected request`, `3 failures`.
pub(super) fn marked(mark: &Mark) -> String {
    let thing = match mark.kind {
        MarkKind::Rejected => "rejected request",
        MarkKind::Failed => "failure",
        MarkKind::FirstAttempt => "first attempt",
        MarkKind::Retry(_) => "retry",
    };
    match mark.count {
        1 => thing.to_owned(),
        _ if matches!(mark.kind, MarkKind::Retry(_)) => format!("{} retries", mark.count),
        count => format!("{count} {thing}s"),
    }
}

/// What a mark is called: `Mark: rejected request, ingress → uwsgi request 2 GET /api/item/77 rejected`.
pub(super) fn mark(analysis: &Analysis, mark: &Mark, first: &Span) -> String {
    format!("Mark: {}, {}", marked(mark), node(analysis, first))
}

/// The attempt's number, when its request had several attempts.
pub(super) fn attempt(span: &Span) -> Option<u16> {
    let several = span.flags.has(SpanFlags::RETRY) || span.flags.has(SpanFlags::RETRIED);
    several.then_some(span.attempt)
}

/// What stands behind a rejected bar: `RST`, `FIN` or `silence`, and what became of the request.
pub(super) fn rejection(analysis: &Analysis, id: ExchangeId) -> String {
    let exchange = analysis.exchange(id);
    let how = match exchange.rejection() {
        Some(r) if r.rst.is_some() => "RST",
        Some(r) if r.fin.is_some() => "FIN",
        Some(_) => "silence",
        None => "",
    };
    let parent = analysis.trees.parent(id).map(|p| analysis.exchange(p.parent));
    match parent.and_then(|p| p.status()).filter(|&s| s >= 500) {
        Some(status) => format!("{how} · {} → {status}", exchange.method()),
        None => how.to_owned(),
    }
}

/// Addresses in a lane's tooltip, at most.
const ADDRESSES: usize = 24;

/// The lines of a lane's tooltip: its name, what is worth knowing, and all its addresses.
pub(super) fn lane(analysis: &Analysis, band: &LaneBand) -> Vec<String> {
    let lane = analysis.lane(band.lane);
    let mut lines = vec![lane.name.clone()];
    lines.extend(Some(band.fact.text.clone()).filter(|text| !text.is_empty()));
    let serves = lane.serves.iter().map(|at| format!("listens on {at}"));
    let all: Vec<String> = serves.chain(lane.addresses.iter().map(|at| format!("is {at}"))).collect();
    lines.extend(all.iter().take(ADDRESSES).cloned());
    if all.len() > ADDRESSES {
        lines.push(format!("and {} more addresses", all.len() - ADDRESSES));
    }
    lines
}

/// How an exchange ended: a whole answer is no success when its status says otherwise.
fn ending(exchange: &ExchangeView<'_>) -> String {
    match (exchange.outcome(), exchange.status()) {
        (Outcome::Complete, Some(status @ 500..)) => format!("failed: answered with {status}"),
        (Outcome::Complete, Some(status)) => format!("answered with {status}"),
        (Outcome::Complete, None) => "answered".to_owned(),
        (other, Some(status)) => format!("{}, status {status}", outcome_name(other)),
        (other, None) => outcome_name(other),
    }
}

/// The lines of a bar's tooltip.
pub(super) fn tooltip(analysis: &Analysis, span: &Span) -> Vec<String> {
    let exchange = analysis.exchange(span.exchange);
    let connection = exchange.connection();
    let mut lines = vec![
        format!("{} {}", short(&exchange), cut(&exchange.target(), 100)),
        analysis.link_name(exchange.link_id()),
        format!("{} → {}", connection.inner.client, connection.inner.server),
        format!("request {} of {} on this connection", span.ordinal, connection.inner.exchanges.len()),
    ];
    let took = exchange.latency_ns().map_or_else(String::new, |ns| format!(", {}", duration(ns)));
    lines.push(format!("{}{took}", ending(&exchange)));
    if let Some(number) = attempt(span) {
        lines.push(format!("attempt {number} of {}", exchange.attempts()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_targets_are_cut_at_a_character() {
        assert_eq!(cut("/häuser/und/gärten", 8), "/häuser…");
        assert_eq!(cut("/a", 8), "/a");
    }

    #[test]
    fn a_whole_answer_of_502_is_no_success() {
        let analysis = crate::app::fixture::analysis();
        let words = |status| {
            let one = analysis.exchanges().find(|x| x.status() == Some(status)).unwrap();
            ending(&one)
        };
        assert_eq!(words(502), "failed: answered with 502");
        assert_eq!(words(200), "answered with 200");
    }
}
