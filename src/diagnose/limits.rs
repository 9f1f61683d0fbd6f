//! What retries hid from users, and what the captures do not tell.

use std::collections::BTreeMap;

use crate::analysis::{Analysis, ConnectionView};
use crate::capture::CaptureId;
use crate::tcp::DirectionFacts;
use crate::topology::{ConnectionId, ExchangeId, LinkId};

use super::draft::{Draft, ProofList};
use super::life::Life;
use super::origins::{Retried, fails};
use super::reuse::CASES;
use super::texts::{self, Words};
use super::words::{at_least, count, counted, grouped, listed, methods};
use super::{ByMethod, Diagnosis, Finding, Outcome};

/// Failures that retries hid: one finding for each link on which the failed attempts were made.
pub(super) fn masked(analysis: &Analysis, diagnosis: &Diagnosis, retried: &[Retried]) -> Vec<Finding> {
    let mut by_link: BTreeMap<LinkId, Vec<&Retried>> = BTreeMap::new();
    for one in retried.iter().filter(|one| one.saved && one.any_failed) {
        by_link.entry(one.link).or_default().push(one);
    }
    let finding = |(link, mut requests): (LinkId, Vec<&Retried>)| {
        requests.sort_unstable_by_key(|one| (analysis.exchange(one.parent).started(), one.parent));
        let mut by_method = ByMethod::new();
        let mut proofs = ProofList::new(analysis);
        for one in &requests {
            count(&mut by_method, analysis.exchange(one.parent).method());
        }
        for &id in requests.iter().take(CASES).flat_map(|one| &one.attempts) {
            let attempt = analysis.exchange(id);
            let end = attempt.status().map_or("no response".to_owned(), |status| status.to_string());
            let note = format!("attempt {}: {end}", attempt.attempt());
            proofs.add(attempt, attempt.raw.request.first_frame, note);
        }
        let mut draft = Draft::new(analysis, diagnosis, &texts::MASKED_FAILURES, link);
        let unsure = diagnosis.board.links[usize::from(link.0)].unsure;
        draft.values.push(("methods", format!("{}{}", at_least(unsure), methods(&by_method))));
        draft.values.push(("counted", counted_how(unsure)));
        draft.values.push(("never", never_retried(analysis, diagnosis, link, &by_method)));
        draft.finish(requests.iter().map(|one| one.parent).collect(), proofs)
    };
    by_link.into_iter().map(finding).collect()
}

/// What the numbers of retries rest on.
fn counted_how(unsure: u64) -> String {
    match unsure {
        0 => "None: this is counted, not inferred.".to_owned(),
        _ => format!(
            "Nothing tells what came of {}, as equal requests ran at the same time: up to so many more may have been \
             hidden.",
            counted(unsure, "more failed attempt")
        ),
    }
}

/// `It never retried POST: 8 POSTs failed for the user.`
fn never_retried(analysis: &Analysis, diagnosis: &Diagnosis, link: LinkId, retried: &ByMethod) -> String {
    let mut single = ByMethod::new();
    for &id in &analysis.link(link).connections {
        for exchange in analysis.connection(id).exchanges() {
            let failed = fails(analysis, &diagnosis.outcomes, exchange.id);
            if failed && exchange.attempts() == 1 && !retried.contains_key(exchange.method()) {
                count(&mut single, exchange.method());
            }
        }
    }
    if single.is_empty() {
        return String::new();
    }
    let names: Vec<String> = single.keys().cloned().collect();
    format!("It never retried {}: {} failed.", listed(&names), methods(&single))
}

/// Connections that were not judged because the captures do not hold all of them (T7, T8), or not all of their packets.
pub(super) fn not_judged(analysis: &Analysis, diagnosis: &Diagnosis) -> Vec<Finding> {
    let (mut lossy, mut cut, mut partial) = (Vec::new(), Vec::new(), Vec::new());
    for connection in analysis.connections() {
        let unknown = |c: ConnectionView<'_>| {
            let mut exchanges = c.inner.exchanges.clone();
            exchanges.any(|at| {
                diagnosis.outcomes[at as usize] == Outcome::Unknown
                    && !diagnosis.explained.contains_key(&ExchangeId(at))
            })
        };
        if connection.flow().is_lossy() {
            lossy.push(connection.id);
        } else if unknown(connection) || connection.is_cut_off() {
            let life = Life::of(connection);
            let whole = life.only_cut() && life.seen_from_start();
            if whole { &mut cut } else { &mut partial }.push(connection.id);
        }
    }
    [(&texts::CAPTURE_LOSS, lossy), (&texts::SNAP_LENGTH, cut), (&texts::PARTIAL_CAPTURE, partial)]
        .into_iter()
        .filter(|(_, connections)| !connections.is_empty())
        .map(|(words, connections)| note(analysis, diagnosis, words, connections))
        .collect()
}

/// How many of the bytes that the captures lack their receivers had, in a sentence.
fn arrival(analysis: &Analysis, connections: &[ConnectionId]) -> String {
    let sum = |of: fn(&DirectionFacts) -> u64| -> u64 {
        let flows = connections.iter().map(|&id| analysis.connection(id).flow());
        flows.flat_map(|flow| &flow.directions).map(of).fold(0, u64::saturating_add)
    };
    let (had, never) = (sum(|side| side.uncaptured_bytes), sum(|side| side.unarrived_bytes));
    match (had, never) {
        (0, 0) => String::new(),
        (had, 0) => {
            format!("The receivers had all of them ({}): only the captures lack them.", counted(had, "byte"))
        }
        (0, never) => format!(
            "No receiver acknowledged them ({}): as far as the captures show they never arrived.",
            counted(never, "byte")
        ),
        (had, never) => format!(
            "Of these bytes the receivers had {}, which only the captures lack; {} never arrived, as far as the captures \
             show.",
            grouped(had),
            grouped(never)
        ),
    }
}

fn note(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    words: &'static Words,
    connections: Vec<ConnectionId>,
) -> Finding {
    let mut places: BTreeMap<(CaptureId, LinkId), u64> = BTreeMap::new();
    let mut proofs = ProofList::new(analysis);
    for (at, &id) in connections.iter().enumerate() {
        let connection = analysis.connection(id);
        *places.entry((connection.capture(), connection.inner.link)).or_default() += 1;
        if at < CASES {
            proofs.add_packet(id, connection.flow().first.1, "first packet of the connection");
        }
    }
    let places: Vec<String> = places
        .into_iter()
        .map(|((capture, link), number)| {
            let (name, link) = (analysis.capture_name(capture), analysis.link_name(link));
            format!("{name}: {} of {link}", counted(number, "connection"))
        })
        .collect();
    let mut draft = Draft::new(analysis, diagnosis, words, None);
    draft.values.push(("count", counted(connections.len() as u64, "connection")));
    draft.values.push(("places", listed(&places)));
    draft.values.push(("arrival", arrival(analysis, &connections)));
    draft.connections = connections;
    draft.finish(Vec::new(), proofs)
}

#[cfg(test)]
mod tests {
    use crate::analysis::Analysis;
    use crate::correlate::Confidence;
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;

    /// Three requests that the edge asked for again after a 502; of the last failed attempt nothing tells whose it was.
    fn told(access: &str) -> Analysis {
        let mut chain = Chain::new(&["user", "edge", "app"]);
        let conns = [chain.open(0, 0), chain.open(1, 0), chain.open(1, 0)];
        for n in 0..3 {
            let at = (n as i64 + 1) * 100 * MS;
            chain.conns[conns[0]].request(Get, "/", at);
            chain.conns[conns[1]].request(Get, "/", at + MS).response(502, at + 2 * MS);
            chain.conns[conns[2]].request(Get, "/", at + 3 * MS).response(200, at + 5 * MS);
            chain.conns[conns[0]].response(200, at + 6 * MS);
            chain.parent((conns[1], n), (conns[0], n), 1);
            chain.parent((conns[2], n), (conns[0], n), 2);
        }
        let mut analysis = chain.analyse_with(&[("edge.log", access)]);
        let failed = analysis.exchanges().filter(|x| x.status() == Some(502)).last().unwrap().id;
        analysis.trees.parents[failed.0 as usize].as_mut().unwrap().confidence = Confidence::Ambiguous;
        analysis.diagnosis = crate::diagnose::build(&analysis);
        analysis
    }

    #[test]
    fn numbers_of_retries_say_that_some_attempts_are_nobodys_for_sure_and_what_the_log_says() {
        let line = "0000000000.500 10.0.0.1 \"GET / HTTP/1.1\" 200 4 to=\"10.0.2.1:8000, 10.0.2.1:8000\" got=\"502, 200\"\n";
        let analysis = told(&line.repeat(3));
        let diagnosis = &analysis.diagnosis;
        let retries = &diagnosis.retries[0];
        assert_eq!((retries.retried["GET"], retries.unsure, diagnosis.failures.unsure), (2, 1, 1));
        let masked = diagnosis.findings.iter().find(|finding| finding.kind == "masked-failures").unwrap();
        assert!(masked.summary.ends_with("hid failures of at least 2 GETs"), "{}", masked.summary);
        assert!(
            masked.doubt.starts_with("Nothing tells what came of 1 more failed attempt,"),
            "{}",
            masked.doubt
        );
        let text = crate::export::text(&analysis).split_whitespace().collect::<Vec<_>>().join(" ");
        for words in [
            "edge retried at least 2 GETs in 4 attempts; saved at least 2 GETs. Its log edge.log says: retried 3",
            "never saw: at least 2 GETs.",
            " ≥ 2 ",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
        // A log of other requests is no witness.
        assert!(told(line).diagnosis.retries[0].logged.is_none());
    }
}
