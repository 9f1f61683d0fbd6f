//! The text filter of both tables: plain words and `field:value`, `or` between alternatives, `-` to exclude.

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::correlate::Confidence;
use crate::diagnose::Outcome;
use crate::tcp::Opening;
use crate::topology::{ConnectionId, LinkId};

/// A filter that cannot be read, in words for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The value of a field is not of its kind.
    #[error("`{field}:` takes {wanted}, not `{value}`")]
    Value {
        /// The field.
        field: &'static str,
        /// What it takes.
        wanted: &'static str,
        /// What it was given.
        value: String,
    },
    /// There is no such field.
    #[error("no field `{field}`; fields are {FIELDS}. For the text itself: \"{word}\", in quotes")]
    Field {
        /// What stands before the colon.
        field: String,
        /// The whole word.
        word: String,
    },
}

/// The fields, as an error names them.
const FIELDS: &str =
    "status, method, target, host, link, conn, outcome, ordinal, attempt, latency, confidence, is";

/// A parsed filter: alternatives, each a list of conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    any: Vec<Vec<Term>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    negated: bool,
    test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Is,
    Below,
    Above,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    /// Anywhere in what the row shows.
    Word(String),
    Method(String),
    Target(String),
    Host(String),
    Link(String),
    Connection(String),
    Outcome(String),
    /// First and last status that fit.
    Status(u16, u16),
    NoStatus,
    Ordinal(Order, i64),
    Attempt(Order, i64),
    LatencyNs(Order, i64),
    /// How sure the request's cause is; `None` where it was not found.
    Confidence(Option<Confidence>),
    Retry,
    Reused,
    Failed,
}

/// What the filter understands, for the help text under the field.
pub const HELP: &str = "Plain words look in method, target, host, status, outcome, link and addresses.\n\
    Fields: status:502 status:5xx status:none  method:post  target:/api  host:shop  link:ingress\n\
    conn:48520  outcome:rejected  ordinal:2  ordinal:>1  attempt:2  latency:>100ms\n\
    confidence:ambiguous, :likely, :certain or :none (how sure it is which request caused it)\n\
    Also: retry (attempts of a retried request), reused (not first on its connection), failed, ambiguous.\n\
    `a b` needs both, `a or b` needs one, `-a` excludes, \"a:b\" in quotes is text.\n\
    The table of connections shows those with an exchange that passes; one without any, by its link and ends.";

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// When a field's value is not of its kind.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let mut any = vec![Vec::new()];
        for word in text.split_whitespace() {
            if word.eq_ignore_ascii_case("or") {
                any.push(Vec::new());
                continue;
            }
            if word.eq_ignore_ascii_case("and") {
                continue;
            }
            let (negated, word) = match word.strip_prefix('-') {
                Some(rest) if !rest.is_empty() => (true, rest),
                _ => (false, word),
            };
            let lower = word.to_lowercase();
            let quoted = lower.strip_prefix('"').map(|rest| rest.strip_suffix('"').unwrap_or(rest));
            let test = quoted.map_or_else(|| parse_test(&lower), |text| Ok(Test::Word(text.to_owned())))?;
            if let Some(all) = any.last_mut() {
                all.push(Term { negated, test });
            }
        }
        any.retain(|all| !all.is_empty());
        Ok(Self { any })
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty()
    }

    /// The exchanges that it lets through, in the order of the analysis.
    pub fn apply(&self, analysis: &Analysis) -> Vec<u32> {
        if self.is_empty() {
            return (0..analysis.topology.exchanges.len() as u32).collect();
        }
        let links = link_names(analysis);
        let mut rows = Vec::new();
        for connection in analysis.connections() {
            let place = Place::of(&connection, &links);
            for exchange in connection.exchanges() {
                if self.any.iter().any(|all| all.iter().all(|term| term.holds(&exchange, &place))) {
                    rows.push(exchange.id.0);
                }
            }
        }
        rows
    }

    /// The connections of which `passes` lets an exchange through, and those without exchanges that pass by
    /// themselves.
    pub fn connections(&self, analysis: &Analysis, passes: &[bool]) -> Vec<ConnectionId> {
        let links = link_names(analysis);
        let shown = |connection: &ConnectionView<'_>| {
            let exchanges = &connection.inner.exchanges;
            if exchanges.is_empty() {
                let place = Place::of(connection, &links);
                return self.any.iter().any(|all| all.iter().all(|term| term.holds_bare(connection, &place)));
            }
            passes[exchanges.start as usize..exchanges.end as usize].contains(&true)
        };
        analysis.connections().filter(shown).map(|connection| connection.id).collect()
    }
}

fn link_names(analysis: &Analysis) -> Vec<String> {
    let ids = (0..analysis.topology.links.len()).map(|at| LinkId(at as u16));
    ids.map(|id| analysis.link_name(id).to_lowercase()).collect()
}

/// What all exchanges of a connection share, made once for them.
struct Place<'a> {
    link: &'a str,
    ends: String,
}

impl<'a> Place<'a> {
    fn of(connection: &ConnectionView<'_>, links: &'a [String]) -> Self {
        let link = links.get(usize::from(connection.inner.link.0)).map_or("", String::as_str);
        Self { link, ends: format!("{} {}", connection.inner.client, connection.inner.server) }
    }
}

impl Term {
    fn holds(&self, exchange: &ExchangeView<'_>, place: &Place<'_>) -> bool {
        self.test.holds(exchange, place) != self.negated
    }

    /// Whether it holds for a connection on which no exchange was seen.
    fn holds_bare(&self, connection: &ConnectionView<'_>, place: &Place<'_>) -> bool {
        let holds = match &self.test {
            Test::Word(part) => place.link.contains(part.as_str()) || place.ends.contains(part.as_str()),
            Test::Link(part) => place.link.contains(part.as_str()),
            Test::Connection(part) => place.ends.contains(part.as_str()),
            Test::Failed => matches!(connection.flow().opening, Opening::Unanswered | Opening::Refused),
            _ => false,
        };
        holds != self.negated
    }
}

impl Test {
    fn holds(&self, x: &ExchangeView<'_>, place: &Place<'_>) -> bool {
        match self {
            Self::Word(word) => {
                contains(x.facts.text_bytes(x.raw.target), word)
                    || x.method().eq_ignore_ascii_case(word)
                    || x.outcome().name() == word
                    || place.link.contains(word.as_str())
                    || place.ends.contains(word.as_str())
                    || x.host().is_some_and(|host| contains(host.as_bytes(), word))
                    || x.status().is_some_and(|status| word.parse() == Ok(status))
            }
            Self::Method(name) => x.method().eq_ignore_ascii_case(name),
            Self::Target(part) => contains(x.facts.text_bytes(x.raw.target), part),
            Self::Host(part) => x.host().is_some_and(|host| contains(host.as_bytes(), part)),
            Self::Link(part) => place.link.contains(part.as_str()),
            Self::Connection(part) => place.ends.contains(part.as_str()),
            Self::Outcome(name) => is_called(x.outcome(), name),
            Self::Status(from, to) => x.status().is_some_and(|status| (*from..=*to).contains(&status)),
            Self::NoStatus => x.status().is_none(),
            Self::Ordinal(order, value) => order.holds(i64::from(x.raw.ordinal), *value),
            Self::Attempt(order, value) => order.holds(i64::from(x.attempt()), *value),
            Self::LatencyNs(order, value) => x.latency_ns().is_some_and(|ns| order.holds(ns, *value)),
            Self::Confidence(wanted) => x.parentage().map(|parentage| parentage.confidence) == *wanted,
            Self::Retry => x.attempt() > 1 || x.attempts() > 1,
            Self::Reused => x.raw.ordinal > 1,
            Self::Failed => x.is_failure(),
        }
    }
}

impl Order {
    fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Is => left == right,
            Self::Below => left < right,
            Self::Above => left > right,
        }
    }
}

fn parse_test(word: &str) -> Result<Test, FilterError> {
    let Some((field, value)) = word.split_once(':') else {
        return Ok(match word {
            "retry" | "retries" | "retried" => Test::Retry,
            "reused" => Test::Reused,
            "failed" | "failure" => Test::Failed,
            "ambiguous" => Test::Confidence(Some(Confidence::Ambiguous)),
            _ => Test::Word(word.to_owned()),
        });
    };
    let text = value.to_owned();
    Ok(match field {
        "status" => parse_status(value)?,
        "method" => Test::Method(text),
        "target" | "path" | "url" => Test::Target(text),
        "host" => Test::Host(text),
        "link" | "hop" | "lane" => Test::Link(text),
        "conn" | "connection" | "port" | "addr" => Test::Connection(text),
        "outcome" => parse_outcome(text)?,
        "ordinal" | "#" => number("ordinal", value).map(|(order, n)| Test::Ordinal(order, n))?,
        "attempt" => number("attempt", value).map(|(order, n)| Test::Attempt(order, n))?,
        "latency" => latency(value).map(|(order, ns)| Test::LatencyNs(order, ns))?,
        "confidence" => parse_confidence(value).map(Test::Confidence)?,
        "is" => match parse_test(value)? {
            Test::Word(_) if !value.is_empty() => {
                let wanted = "`retry`, `reused`, `failed` or `ambiguous`";
                return Err(FilterError::Value { field: "is", wanted, value: text });
            }
            test => test,
        },
        _ if is_text(field, value) => Test::Word(word.to_owned()),
        _ => return Err(FilterError::Field { field: field.to_owned(), word: word.to_owned() }),
    })
}

/// Whether a word with a colon is text, not a field that does not exist: an address, a target, a URL. A field's name
/// is of letters only.
fn is_text(field: &str, value: &str) -> bool {
    let is_name =
        !field.is_empty() && field.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-' || b == b'_');
    let is_url = value.starts_with("//");
    let is_ipv6 = field.len() <= 4 && field.bytes().all(|b| b.is_ascii_hexdigit()) && value.contains(':');
    !is_name || is_url || is_ipv6 || field == "localhost"
}

/// Whether an outcome's name begins so. The table calls a complete message an answer.
fn is_called(outcome: Outcome, start: &str) -> bool {
    outcome.name().starts_with(start) || (outcome == Outcome::Complete && "answered".starts_with(start))
}

fn parse_confidence(value: &str) -> Result<Option<Confidence>, FilterError> {
    let all = [Confidence::Ambiguous, Confidence::Likely, Confidence::Certain];
    // While it is being typed, the first that begins so.
    if let Some(found) = all.into_iter().find(|confidence| confidence.name().starts_with(value)) {
        return Ok(Some(found));
    }
    if "none".starts_with(value) {
        return Ok(None);
    }
    let wanted = "`ambiguous`, `likely`, `certain` or `none`";
    Err(FilterError::Value { field: "confidence", wanted, value: value.to_owned() })
}

fn parse_outcome(value: String) -> Result<Test, FilterError> {
    if Outcome::ALL.into_iter().any(|outcome| is_called(outcome, &value)) {
        return Ok(Test::Outcome(value));
    }
    let wanted = "`answered`, `rejected`, `no-response`, `truncated`, `aborted`, `timed-out` or `unknown`";
    Err(FilterError::Value { field: "outcome", wanted, value })
}

fn parse_status(value: &str) -> Result<Test, FilterError> {
    if value == "none" {
        return Ok(Test::NoStatus);
    }
    let class = value.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok());
    if let Some(class @ 1..=9) = class {
        return Ok(Test::Status(class * 100, class * 100 + 99));
    }
    let (from, to) = value.split_once('-').unwrap_or((value, value));
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) => Ok(Test::Status(from, to)),
        _ => Err(FilterError::Value {
            field: "status",
            wanted: "a status, a class (5xx), a range (500-504) or `none`",
            value: value.to_owned(),
        }),
    }
}

fn split_order(value: &str) -> (Order, &str) {
    match value.split_at_checked(1) {
        Some((">", rest)) => (Order::Above, rest),
        Some(("<", rest)) => (Order::Below, rest),
        _ => (Order::Is, value),
    }
}

fn number(field: &'static str, value: &str) -> Result<(Order, i64), FilterError> {
    let (order, rest) = split_order(value);
    let wrong = |_| FilterError::Value { field, wanted: "a number, `>1` or `<9`", value: value.to_owned() };
    rest.parse().map(|number| (order, number)).map_err(wrong)
}

fn latency(value: &str) -> Result<(Order, i64), FilterError> {
    let (order, rest) = split_order(value);
    let units = [("ms", 1e6), ("us", 1e3), ("µs", 1e3), ("ns", 1.0), ("s", 1e9), ("", 1e6)];
    let read = units.iter().find_map(|&(unit, ns)| Some(rest.strip_suffix(unit)?.parse::<f64>().ok()? * ns));
    // Without an order, "about this long" can only mean "at least".
    let order = if order == Order::Is { Order::Above } else { order };
    read.map(|ns| (order, ns as i64)).ok_or_else(|| FilterError::Value {
        field: "latency",
        wanted: "a duration such as `>100ms` or `<2s`",
        value: value.to_owned(),
    })
}

/// Whether `haystack` holds `needle` (lower-case), case ignored for ASCII.
fn contains(haystack: &[u8], needle: &str) -> bool {
    let needle = needle.as_bytes();
    let Some(&first) = needle.first() else { return true };
    let upper = first.to_ascii_uppercase();
    let last = haystack.len().checked_sub(needle.len());
    let Some(last) = last else { return false };
    memchr::memchr2_iter(first, upper, &haystack[..=last])
        .any(|at| haystack[at..at + needle.len()].eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::fixture;

    fn rows(text: &str) -> Vec<u32> {
        Filter::parse(text).unwrap().apply(&fixture::analysis())
    }

    #[test]
    fn nothing_lets_everything_through() {
        assert_eq!(rows("").len(), fixture::analysis().topology.exchanges.len());
    }

    #[test]
    fn words_fields_and_or_choose_the_rows_they_name() {
        let analysis = fixture::analysis();
        let is = |id: &u32| analysis.exchange(crate::topology::ExchangeId(*id));
        assert!(
            !rows("rejected").is_empty()
                && rows("rejected").iter().all(|id| is(id).outcome().name() == "rejected")
        );
        assert!(
            !rows("status:502").is_empty()
                && rows("status:502").iter().all(|id| is(id).status() == Some(502))
        );
        assert!(!rows("retry").is_empty() && rows("retry").iter().all(|id| is(id).attempts() > 1));
        let (a, b, both) = (rows("rejected"), rows("retry"), rows("rejected or retry"));
        assert!(both.len() >= a.len().max(b.len()) && both.len() <= a.len() + b.len());
        assert_eq!(
            rows("status:5xx method:GET").len() + rows("status:5xx -method:get").len(),
            rows("status:500-599").len()
        );
        assert_eq!(rows("ordinal:2"), rows("ordinal:>1 ordinal:<3"));
        assert!(rows("link:nothing-of-the-kind").is_empty());
    }

    #[test]
    fn confidence_chooses_by_how_sure_the_cause_is() {
        let mut analysis = fixture::analysis();
        let child = (0..analysis.topology.exchanges.len() as u32).map(crate::topology::ExchangeId);
        let child = child.into_iter().find(|&id| analysis.trees.parent(id).is_some()).unwrap();
        analysis.trees.parents[child.0 as usize].as_mut().unwrap().confidence = Confidence::Ambiguous;
        let rows = |text: &str| Filter::parse(text).unwrap().apply(&analysis);
        for text in ["ambiguous", "is:ambiguous", "confidence:ambiguous", "confidence:amb"] {
            assert_eq!(rows(text), [child.0], "{text}");
        }
        let none = rows("confidence:none");
        assert!(none.iter().all(|&id| analysis.trees.parent(crate::topology::ExchangeId(id)).is_none()));
        let sure = rows("confidence:certain or confidence:likely");
        assert_eq!(none.len() + sure.len() + 1, analysis.topology.exchanges.len());
        assert!(Filter::parse("confidence:maybe").unwrap_err().to_string().contains("`ambiguous`"));
        assert!(HELP.contains("confidence:ambiguous"));
    }

    #[test]
    fn a_bad_value_is_named() {
        let error = Filter::parse("status:abc").unwrap_err();
        assert!(error.to_string().contains("`status:`") && error.to_string().contains("`abc`"));
        assert!(Filter::parse("latency:soon").is_err());
        assert!(Filter::parse("outcome:rejectd").unwrap_err().to_string().contains("`rejected`"));
        assert!(["outcome:", "outcome:rej", "outcome:ans"].iter().all(|begun| Filter::parse(begun).is_ok()));
    }

    #[test]
    fn a_field_that_does_not_exist_is_named_and_what_only_looks_like_one_is_text() {
        let error = Filter::parse("foo:1").unwrap_err().to_string();
        assert!(
            error.starts_with("no field `foo`; fields are status, method") && error.contains("\"foo:1\"")
        );
        assert!(Filter::parse("-hots:shop").is_err() && Filter::parse("is:broken").is_err());
        assert!(Filter::parse("is:").is_ok(), "it is being typed");
        for text in [
            "10.0.0.1:80",
            "[fe80::1]:80",
            "fe80::1",
            "dead::beef",
            ":8080",
            "shop.example:443",
            "http://shop/a",
            "/api/v1:batch",
            "localhost:8000",
            "\"shop:80\"",
            "\"shop:80",
        ] {
            let word = text.trim_matches('"').to_owned();
            let wanted = Filter { any: vec![vec![Term { negated: false, test: Test::Word(word) }]] };
            assert_eq!(Filter::parse(text), Ok(wanted), "{text}");
        }
        let connection = fixture::analysis().topology.connections[0].clone();
        assert!(!rows(&connection.server.to_string()).is_empty());
    }

    /// The connections that a filter leaves.
    fn connections(analysis: &Analysis, text: &str) -> Vec<ConnectionId> {
        let filter = Filter::parse(text).unwrap();
        let mut passes = vec![false; analysis.topology.exchanges.len()];
        filter.apply(analysis).iter().for_each(|&id| passes[id as usize] = true);
        filter.connections(analysis, &passes)
    }

    #[test]
    fn connections_pass_by_their_exchanges_and_bare_ones_by_themselves() {
        let mut analysis = fixture::analysis();
        let all = analysis.topology.connections.len();
        for (text, test) in [
            ("rejected", (|x| x.outcome() == Outcome::Rejected) as fn(&ExchangeView<'_>) -> bool),
            ("status:502", |x| x.status() == Some(502)),
        ] {
            let found = connections(&analysis, text);
            assert!(!found.is_empty() && found.len() < all, "{text}");
            let holds = |id| analysis.connection(id).exchanges().any(|x| test(&x));
            assert!((0..all as u32).map(ConnectionId).all(|id| holds(id) == found.contains(&id)), "{text}");
        }
        // One on which no request was seen.
        let last = ConnectionId(all as u32 - 1);
        let bare = &mut analysis.topology.connections[last.0 as usize];
        let count = bare.exchanges.len();
        bare.exchanges = bare.exchanges.end..bare.exchanges.end;
        let (client, server) = (bare.client, bare.server);
        assert!(count > 0 && connections(&analysis, &client.to_string()) == [last]);
        for (text, shown) in [
            (format!("conn::{}", client.port()), true),
            (server.to_string(), true),
            ("uwsgi".to_owned(), true),
            ("link:uwsgi -target:/api".to_owned(), true),
            (format!("-{server}"), false),
            ("status:200".to_owned(), false),
            ("failed".to_owned(), false),
        ] {
            assert_eq!(connections(&analysis, &text).contains(&last), shown, "{text}");
        }
    }

    #[test]
    fn case_is_ignored_and_ends_are_found() {
        assert!(contains(b"/API/Item", "/api"));
        assert!(contains(b"/API/Item", "item"));
        assert!(!contains(b"ite", "item"));
        assert!(contains(b"", ""));
    }
}
