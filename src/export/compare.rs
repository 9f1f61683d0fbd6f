//! Two sessions side by side, before and after a change: the figures of each, and whether they got better.

use std::collections::BTreeMap;

use crate::analysis::Analysis;
use crate::diagnose::words::{counted, duration, grouped};
use crate::diagnose::{Finding, LinkFigures, Severity};
use crate::topology::LinkId;

use super::text::{heading, paragraph, table};

/// A figure of one session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// How many.
    Count(u64),
    /// How many of how many: loads differ, so that only shares compare.
    Share(u64, u64),
    /// Nanoseconds.
    Time(i64),
}

impl Value {
    /// As text: `17 of 449 (3.8 %)`.
    pub fn words(self) -> String {
        match self {
            Self::Count(count) => grouped(count),
            Self::Share(part, whole) => {
                format!("{} of {}{}", grouped(part), grouped(whole), percent(part, whole))
            }
            Self::Time(ns) => duration(ns),
        }
    }

    fn amount(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Share(part, whole) => part as f64 / (whole as f64).max(1.0),
            Self::Time(ns) => ns as f64,
        }
    }
}

fn percent(part: u64, whole: u64) -> String {
    match part {
        0 => String::new(),
        _ => format!(" ({:.1} %)", part as f64 * 100.0 / (whole as f64).max(1.0)),
    }
}

/// What became of a figure of which less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There were some, and there are none.
    Gone,
    /// There were some, and there are none among so few that there need not be any.
    Few,
    /// Clearly less.
    Better,
    /// The same, or nearly.
    Same,
    /// Clearly more.
    Worse,
    /// There were none, and there are some.
    New,
    /// Only one of the sessions has the figure, or more is no worse than less.
    Plain,
}

impl Change {
    /// Its word; empty for a figure that is not judged.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Few => "too few to tell",
            Self::Better => "less",
            Self::Same => "same",
            Self::Worse => "more",
            Self::New => "new",
            Self::Plain => "",
        }
    }
}

/// One figure of both sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it counts.
    pub name: String,
    /// In the first session and in the second; `None` where there is no such thing.
    pub values: [Option<Value>; 2],
    /// What became of it.
    pub change: Change,
}

impl Row {
    fn judged(name: impl Into<String>, values: [Option<Value>; 2]) -> Self {
        Self { name: name.into(), values, change: change(values) }
    }

    fn plain(name: impl Into<String>, values: [Option<Value>; 2]) -> Self {
        Self { name: name.into(), values, change: Change::Plain }
    }

    /// The difference in words: `−17`, `−3.8 points`, `+1.2 ms`; empty where one side is missing.
    pub fn difference(&self) -> String {
        let sign = |negative| if negative { "−" } else { "+" };
        match self.values {
            [Some(a), Some(b)] if a.amount() == b.amount() => "0".to_owned(),
            [Some(Value::Count(a)), Some(Value::Count(b))] => {
                format!("{}{}", sign(b < a), grouped(a.abs_diff(b)))
            }
            [Some(a @ Value::Share(..)), Some(b @ Value::Share(..))] => {
                let points = (b.amount() - a.amount()) * 100.0;
                format!("{}{:.1} points", sign(points < 0.0), points.abs())
            }
            [Some(Value::Time(a)), Some(Value::Time(b))] => {
                format!("{}{}", sign(b < a), duration(b.saturating_sub(a).saturating_abs()))
            }
            _ => String::new(),
        }
    }
}

/// Where fewer cases than this were to be expected, none at all may be chance: with three, one run in twenty has none.
const FEWEST_EXPECTED: f64 = 3.0;

/// How many cases the second session should hold if nothing had changed.
fn expected(part: u64, whole: u64, after: u64) -> f64 {
    part as f64 * after as f64 / (whole as f64).max(1.0)
}

/// What a session holds that might have failed as the cases of a finding did: requests that were answered on the link of
/// that name, or connections. A change that ends reuse leaves no reused requests, so these are no measure.
fn chances(analysis: &Analysis, link: &str, connections: bool) -> u64 {
    let links = (0..analysis.topology.links.len()).map(|at| LinkId(at as u16));
    let same = links.zip(&analysis.diagnosis.board.links).filter(|(id, _)| analysis.link_name(*id) == link);
    same.map(|(_, figures)| if connections { figures.connections } else { figures.responses }).sum()
}

/// What B holds of the chances to show A's finding, where those are too few for its absence to tell anything.
fn too_few(both: [&Analysis; 2], finding: &Finding) -> Option<String> {
    let link = both[0].link_name(finding.link?);
    let of_connections = finding.exchanges.is_empty();
    let [before, after] = both.map(|analysis| chances(analysis, &link, of_connections));
    let what = if of_connections { "connection" } else { "answered request" };
    let expected = expected(finding.count, before.max(finding.count), after);
    (expected < FEWEST_EXPECTED).then(|| match after {
        0 => format!("B holds no {what} on {link}"),
        _ => {
            let held = counted(after, what);
            format!("B holds {held} on {link}, where {expected:.1} failures as in A were to be expected")
        }
    })
}

/// Less than a tenth either way is the noise of two runs.
fn change(values: [Option<Value>; 2]) -> Change {
    let [Some(a), Some(b)] = values.map(|value| value.map(Value::amount)) else { return Change::Plain };
    let few = match values {
        [Some(Value::Share(part, whole)), Some(Value::Share(0, after))] => {
            expected(part, whole, after) < FEWEST_EXPECTED
        }
        _ => false,
    };
    match () {
        () if a == b => Change::Same,
        () if b == 0.0 && few => Change::Few,
        () if b == 0.0 => Change::Gone,
        () if a == 0.0 => Change::New,
        () if b < a * 0.9 => Change::Better,
        () if b > a * 1.1 => Change::Worse,
        () => Change::Same,
    }
}

/// Figures under one heading.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// The figures.
    pub rows: Vec<Row>,
}

/// Two sessions side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What the sessions are called.
    pub names: [String; 2],
    /// What changed, in a sentence.
    pub verdict: String,
    /// Whether the second session is without a finding of severity error.
    pub is_clean: bool,
    /// Whether the second session holds too little to tell that the first one's fault is gone.
    pub is_open: bool,
    /// The figures.
    pub sections: Vec<Section>,
}

impl Comparison {
    /// Compares two analyses. Links are matched by the names of their lanes.
    pub fn new(names: [String; 2], both: [&Analysis; 2]) -> Self {
        let mut sections = vec![users(both), findings(both)];
        sections.extend(links(both));
        sections.retain(|section| !section.rows.is_empty());
        let is_clean = worst(both[1]).is_none();
        let is_open = is_clean && worst(both[0]).is_some_and(|fault| too_few(both, fault).is_some());
        Self { names, verdict: verdict(both), is_clean, is_open, sections }
    }

    /// As text for a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        paragraph(&mut out, "", &self.verdict);
        paragraph(&mut out, "A: ", &self.names[0]);
        paragraph(&mut out, "B: ", &self.names[1]);
        for section in &self.sections {
            heading(&mut out, &section.title);
            let head = ["", "A", "B", "difference", ""].map(str::to_owned).to_vec();
            let rows = section.rows.iter().map(|row| {
                let [a, b] = row.values.map(|value| value.map_or_else(|| "–".to_owned(), Value::words));
                vec![row.name.clone(), a, b, row.difference(), row.change.word().to_owned()]
            });
            table(&mut out, [head].into_iter().chain(rows).collect(), &[false, true, true, true, false]);
        }
        out
    }
}

fn worst(analysis: &Analysis) -> Option<&Finding> {
    analysis.diagnosis.findings.iter().find(|finding| finding.severity == Severity::Error)
}

fn visible(analysis: &Analysis) -> u64 {
    analysis.diagnosis.failures.visible.values().flatten().map(|(_, count)| count).sum()
}

fn verdict(both: [&Analysis; 2]) -> String {
    let [a, b] = both.map(worst);
    let shares = both.map(|analysis| Value::Share(visible(analysis), analysis.outermost_requests()).words());
    let users = format!("{}' failures {} before, {} after", askers(both), shares[0], shares[1]);
    match (a, b) {
        (None, None) => format!("Neither session holds a fault; {users}."),
        (Some(a), None) => {
            let counts = format!("{} ({}) in A, none in B", title(a), grouped(a.count));
            match too_few(both, a) {
                Some(few) => {
                    format!("Too few to tell whether the fault is gone: {counts}, and {few}; {users}.")
                }
                None => format!("The fault is gone: {counts}; {users}."),
            }
        }
        (None, Some(b)) => {
            format!("B holds a fault that A has not: {} ({}); {users}.", title(b), grouped(b.count))
        }
        (Some(a), Some(b)) if a.kind == b.kind => {
            format!(
                "The fault is still there: {}, {} in A, {} in B; {users}.",
                title(a),
                grouped(a.count),
                grouped(b.count)
            )
        }
        (Some(a), Some(b)) => {
            format!("Another fault leads now: {} in A, {} in B; {users}.", title(a), title(b))
        }
    }
}

fn title(finding: &Finding) -> String {
    finding.kind.replace('-', " ")
}

/// Who asks in both sessions, as [`Analysis::askers`] says it.
fn askers(both: [&Analysis; 2]) -> &'static str {
    let [a, b] = both.map(Analysis::askers);
    if a == b { a } else { "clients" }
}

fn users(both: [&Analysis; 2]) -> Section {
    let requests = both.map(Analysis::outermost_requests);
    let mut rows = vec![Row::plain("requests", requests.map(|count| Some(Value::Count(count))))];
    rows.push(Row::judged(
        format!("failures that {} saw", askers(both)),
        [0, 1].map(|at| Some(Value::Share(visible(both[at]), requests[at]))),
    ));
    let by_kind = both.map(|analysis| {
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        for (method, statuses) in &analysis.diagnosis.failures.visible {
            for (status, count) in statuses {
                *all.entry(format!("  {method} {status}")).or_default() += count;
            }
        }
        all
    });
    let mut names: Vec<&String> = by_kind.iter().flat_map(BTreeMap::keys).collect();
    names.sort();
    names.dedup();
    for name in names {
        let count = |at: usize| by_kind[at].get(name).copied().unwrap_or(0);
        rows.push(Row::judged(name.clone(), [0, 1].map(|at| Some(Value::Share(count(at), requests[at])))));
    }
    let masked = both.map(|analysis| analysis.diagnosis.failures.masked.values().sum::<u64>());
    rows.push(Row::judged(
        "failures that retries hid",
        [0, 1].map(|at| Some(Value::Share(masked[at], requests[at]))),
    ));
    Section { title: format!("What {} got", askers(both)), rows }
}

fn findings(both: [&Analysis; 2]) -> Section {
    let counts = both.map(|analysis| {
        let mut all: BTreeMap<(std::cmp::Reverse<Severity>, String), u64> = BTreeMap::new();
        for finding in &analysis.diagnosis.findings {
            *all.entry((std::cmp::Reverse(finding.severity), title(finding))).or_default() += finding.count;
        }
        all
    });
    let mut keys: Vec<_> = counts.iter().flat_map(BTreeMap::keys).collect();
    keys.sort();
    keys.dedup();
    let few = |name: &str| {
        let mut same = both[0].diagnosis.findings.iter().filter(|finding| title(finding) == name);
        same.any(|finding| too_few(both, finding).is_some())
    };
    let row = |key: &(std::cmp::Reverse<Severity>, String)| {
        let values = [0, 1].map(|at| Some(Value::Count(counts[at].get(key).copied().unwrap_or(0))));
        let mut row = Row::judged(key.1.clone(), values);
        if row.change == Change::Gone && few(&key.1) {
            row.change = Change::Few;
        }
        row
    };
    Section { title: "Findings".to_owned(), rows: keys.into_iter().map(row).collect() }
}

fn links(both: [&Analysis; 2]) -> Vec<Section> {
    let named = both.map(|analysis| {
        let ids = (0..analysis.topology.links.len()).map(|at| LinkId(at as u16));
        let all = ids.zip(&analysis.diagnosis.board.links);
        all.map(|(id, figures)| (analysis.link_name(id), figures)).collect::<Vec<_>>()
    });
    let mut names: Vec<&String> = named[0].iter().map(|(name, _)| name).collect();
    names.extend(
        named[1].iter().map(|(name, _)| name).filter(|name| !named[0].iter().any(|(n, _)| n == *name)),
    );
    let statuses: Vec<&str> = both.iter().filter_map(|a| a.diagnosis.board.status.as_deref()).collect();
    let status = statuses.first().copied();
    let find = |at: usize, name: &str| {
        named[at].iter().find(|(known, _)| known == name).map(|(_, figures)| *figures)
    };
    let section = |name: &String| {
        let figures = [0, 1].map(|at| find(at, name));
        Section { title: name.clone(), rows: link_rows(figures, status) }
    };
    names.into_iter().map(section).collect()
}

fn link_rows(figures: [Option<&LinkFigures>; 2], status: Option<&str>) -> Vec<Row> {
    let of = |value: fn(&LinkFigures) -> Value| figures.map(|f| f.map(value));
    let mut rows = vec![
        Row::plain("requests", of(|f| Value::Count(f.requests))),
        Row::plain("connections", of(|f| Value::Count(f.connections))),
        Row::plain("requests on reused connections", of(|f| Value::Share(f.reused_requests, f.requests))),
    ];
    if let Some(status) = status {
        let share = |f: &LinkFigures| Value::Share(f.with_status(status), f.requests);
        rows.push(Row::judged(format!("answers {status}"), figures.map(|f| f.map(share))));
    }
    rows.extend([
        Row::judged(
            "rejected on reuse",
            of(|f| Value::Share(f.rejected_by_method.values().sum(), f.requests)),
        ),
        Row::judged("refused connections", of(|f| Value::Share(f.refused_connections, f.connections))),
        Row::judged("retried requests", of(|f| Value::Share(f.retried.values().sum(), f.requests))),
    ]);
    for (at, name) in [(0, "latency, median"), (2, "latency, 99th percentile")] {
        let latency = |f: Option<&LinkFigures>| f?.latency_ns.map(|all| Value::Time(all[at]));
        rows.push(Row::judged(name, figures.map(latency)));
    }
    // What neither session ever had says nothing.
    rows.retain(|row| row.values.iter().flatten().any(|value| value.amount() != 0.0));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;

    #[test]
    fn figures_are_compared_by_their_shares() {
        let row = Row::judged("x", [Some(Value::Share(17, 449)), Some(Value::Share(0, 900))]);
        assert_eq!((row.change, row.difference().as_str()), (Change::Gone, "−3.8 points"));
        assert_eq!(row.values[0].unwrap().words(), "17 of 449 (3.8 %)");
        let doubled = Row::judged("x", [Some(Value::Share(10, 100)), Some(Value::Share(21, 200))]);
        assert_eq!(doubled.change, Change::Same, "twice the load, the same share");
        let slower = Row::judged("x", [Some(Value::Time(1_000_000)), Some(Value::Time(2_000_000))]);
        assert_eq!((slower.change, slower.difference().as_str()), (Change::Worse, "+1.0 ms"));
        let new = Row::judged("x", [Some(Value::Count(0)), Some(Value::Count(2))]);
        assert_eq!((new.change, new.difference().as_str()), (Change::New, "+2"));
        assert_eq!(Row::judged("x", [None, Some(Value::Count(2))]).change, Change::Plain);
    }

    #[test]
    fn none_among_a_few_is_not_gone() {
        let few = Row::judged("x", [Some(Value::Share(17, 449)), Some(Value::Share(0, 40))]);
        assert_eq!((few.change, few.change.word()), (Change::Few, "too few to tell"));
        let session = |requests: i64, failing: i64| {
            let mut chain = Chain::new(&["user", "app"]);
            let conn = chain.open(0, 0);
            for n in 0..requests {
                let status = if n < failing { 500 } else { 200 };
                chain.conns[conn].request(Get, "/", n * MS).response(status, n * MS + MS / 2);
            }
            chain.analyse()
        };
        let told = |after: i64| {
            let (a, b) = (session(20, 4), session(after, 0));
            Comparison::new(["a".to_owned(), "b".to_owned()], [&a, &b])
        };
        let two = told(2);
        assert!(two.verdict.starts_with("Too few to tell whether the fault is gone: "), "{}", two.verdict);
        assert!(two.is_clean && two.is_open && !told(20).is_open);
        assert!(
            two.verdict.contains("B holds 2 answered requests on user → app, where 0.4 failures"),
            "{}",
            two.verdict
        );
        let findings = two.sections.iter().find(|section| section.title == "Findings").unwrap();
        assert_eq!(findings.rows[0].change, Change::Few);
        assert!(told(20).verdict.starts_with("The fault is gone: "));
    }

    #[test]
    fn two_empty_sessions_compare() {
        let empty = Analysis::default();
        let comparison = Comparison::new(["a".to_owned(), "b".to_owned()], [&empty, &empty]);
        assert!(comparison.is_clean && comparison.verdict.starts_with("Neither"));
        assert!(comparison.text().contains("failures that users saw"));
    }
}
