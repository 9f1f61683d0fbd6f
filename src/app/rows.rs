//! The rows of both tables: which exchanges, in which order, and which connections; made on change only, and off the
//! UI thread when many.

mod connections;

use std::sync::Arc;

pub use self::connections::{ConnectionColumn, protocol};

use self::connections::ConnectionRows;
use super::background::{Background, Progressing, Task};
use super::filter::Filter;
use crate::analysis::{Analysis, ExchangeView};
use crate::topology::{ConnectionId, ExchangeId};

/// A column of the exchange table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// Start of the request.
    #[default]
    Time,
    /// Link.
    Link,
    /// Client and server address.
    Connection,
    /// Ordinal on the connection.
    Ordinal,
    /// Method.
    Method,
    /// Target.
    Target,
    /// Status.
    Status,
    /// Outcome.
    Outcome,
    /// Latency.
    Latency,
    /// Attempt number.
    Attempt,
    /// Why it is linked to its parent.
    Reason,
}

impl Column {
    /// All columns, left to right.
    pub const ALL: [Self; 11] = [
        Self::Time,
        Self::Link,
        Self::Connection,
        Self::Ordinal,
        Self::Method,
        Self::Target,
        Self::Status,
        Self::Outcome,
        Self::Latency,
        Self::Attempt,
        Self::Reason,
    ];

    /// The column's head.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Link => "link",
            Self::Connection => "connection",
            Self::Ordinal => "#",
            Self::Method => "method",
            Self::Target => "target",
            Self::Status => "status",
            Self::Outcome => "outcome",
            Self::Latency => "latency",
            Self::Attempt => "attempt",
            Self::Reason => "linked by",
        }
    }
}

/// How the rows of a table are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sort<C = Column> {
    /// By what.
    pub column: C,
    /// Largest first.
    pub descending: bool,
}

impl<C: Copy + PartialEq> Sort<C> {
    /// The order after a click on a column's head: that column's, or the other way round where it is that already.
    pub fn clicked(self, column: C) -> Self {
        Self { column, descending: self.column == column && !self.descending }
    }

    /// Which way a column is sorted; `None` where the rows stand in another one's order.
    pub fn descends(self, column: C) -> Option<bool> {
        (self.column == column).then_some(self.descending)
    }
}

/// The orders of both tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Of the exchanges.
    pub exchanges: Sort,
    /// Of the connections.
    pub connections: Sort<ConnectionColumn>,
}

/// What the rows depend on; when it is the same, they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Key {
    generation: u64,
    filter: String,
    sort: Sort,
}

/// Up to this many exchanges are filtered and sorted at once; more go to a thread.
const INLINE_ROWS: usize = 20_000;

/// Rows as they were made.
#[derive(Default)]
struct Made {
    /// Of which analysis they are.
    generation: u64,
    /// The filter that they pass.
    filter: String,
    /// In the table's order.
    list: Vec<ExchangeId>,
    /// Whether each exchange is among them; `None` when all are.
    mask: Option<Vec<bool>>,
    /// The connections that pass, by id; `None` when all do.
    passing: Option<Arc<Vec<ConnectionId>>>,
}

/// The rows that the table shows, and the ones being made.
#[derive(Default)]
pub struct Rows {
    key: Option<Key>,
    made: Made,
    count: u64,
    task: Option<Task<Made>>,
    connections: ConnectionRows,
    error: Option<String>,
    /// The last filter that could be read: the rows are those of it.
    applied: String,
}

impl Rows {
    /// Brings the rows of both tables up to date with filter and sort orders; starts threads where there are many.
    pub fn update(
        &mut self,
        analysis: &Arc<Analysis>,
        generation: u64,
        filter: &str,
        orders: Orders,
        background: &Background,
    ) {
        self.update_exchanges(analysis, generation, filter, orders.exchanges, background);
        if self.made.generation == generation {
            let passing = (self.made.filter.as_str(), &self.made.passing);
            self.connections.update(analysis, generation, passing, orders.connections, background);
        } else {
            // The filter is still at work: what stands there is of another analysis.
            self.connections = ConnectionRows::default();
        }
    }

    fn update_exchanges(
        &mut self,
        analysis: &Arc<Analysis>,
        generation: u64,
        filter: &str,
        sort: Sort,
        background: &Background,
    ) {
        match self.task.as_ref().map(Task::poll) {
            Some(Progressing::Done(list)) => {
                self.task = None;
                self.made = list;
                self.count += 1;
            }
            Some(Progressing::Lost) => self.task = None,
            Some(Progressing::Running) | None => {}
        }
        let key = Key { generation, filter: filter.to_owned(), sort };
        if self.key.as_ref() == Some(&key) {
            return;
        }
        let is_new = self.key.as_ref().is_none_or(|known| known.generation != generation);
        if is_new {
            // Ids of another analysis: they may not even exist in this one.
            self.task = None;
            self.made = Made::default();
        }
        self.key = Some(key);
        let parsed = Filter::parse(filter);
        self.error = parsed.as_ref().err().map(ToString::to_string);
        match parsed {
            Ok(parsed) => {
                self.applied = filter.trim().to_owned();
                self.make(analysis, generation, parsed, sort, background);
            }
            Err(_) if is_new => {
                self.applied.clear();
                self.make(analysis, generation, Filter::default(), sort, background);
            }
            // The rows of the last filter that could be read stay, while the user types on.
            Err(_) => {
                if let Some(whole) = without_half_word(filter, &self.applied).map(str::to_owned) {
                    let parsed = Filter::parse(&whole).unwrap_or_default();
                    self.applied = whole;
                    self.make(analysis, generation, parsed, sort, background);
                }
            }
        }
    }

    /// Makes those that pass `filter`, the one in `applied`.
    fn make(
        &mut self,
        analysis: &Arc<Analysis>,
        generation: u64,
        filter: Filter,
        sort: Sort,
        background: &Background,
    ) {
        let few = analysis.topology.exchanges.len() <= INLINE_ROWS;
        let (analysis, text) = (Arc::clone(analysis), self.applied.clone());
        let work = move || Made { generation, filter: text, ..rows(&analysis, &filter, sort) };
        if few {
            self.task = None;
            self.made = work();
            self.count += 1;
        } else {
            self.task = Some(background.spawn("rows", work));
        }
    }

    /// The exchanges to show, in order.
    pub fn list(&self) -> &[ExchangeId] {
        &self.made.list
    }

    /// Whether each exchange passes the filter, by id; `None` without a filter.
    pub fn mask(&self) -> Option<&[bool]> {
        self.made.mask.as_deref()
    }

    /// The connections to show, in order.
    pub fn connections(&self) -> &[ConnectionId] {
        &self.connections.list
    }

    /// Counts the lists made; a change means that rows and mask have changed.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The same of the connections.
    pub fn connections_count(&self) -> u64 {
        self.connections.count
    }

    /// What is wrong with the filter's text.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The filter that the rows are those of: the last one that could be read.
    pub fn applied(&self) -> &str {
        &self.applied
    }

    /// Whether a thread is at work on them.
    pub fn is_busy(&self) -> bool {
        self.task.is_some() || self.connections.is_busy()
    }
}

/// What of `applied` are whole words of `text`, where its last one is only the beginning of one: `meho` was a filter of
/// its own for as long as it took to type `mehod:post`, and nobody asked for its rows.
fn without_half_word<'a>(text: &str, applied: &'a str) -> Option<&'a str> {
    let rest = text.trim_start().strip_prefix(applied).filter(|_| !applied.is_empty())?;
    if rest.starts_with(char::is_whitespace) {
        return None;
    }
    Some(applied.rsplit_once(char::is_whitespace).map_or("", |(whole, _)| whole.trim_end()))
}

fn rows(analysis: &Analysis, filter: &Filter, sort: Sort) -> Made {
    let ids = filter.apply(analysis);
    let mut sorted = match sort.column {
        Column::Target => by_text(analysis, &ids, |x| x.facts.text_bytes(x.raw.target)),
        Column::Method => by_text(analysis, &ids, |x| x.method().as_bytes()),
        column => by_number(analysis, &ids, |x| number(x, column)),
    };
    if sort.descending {
        sorted.reverse();
    }
    let mask = (!filter.is_empty()).then(|| {
        let mut mask = vec![false; analysis.topology.exchanges.len()];
        ids.iter().for_each(|&id| mask[id as usize] = true);
        mask
    });
    let passing = mask.as_deref().map(|mask| Arc::new(filter.connections(analysis, mask)));
    Made { list: sorted, mask, passing, ..Made::default() }
}

fn by_number(analysis: &Analysis, ids: &[u32], key: impl Fn(&ExchangeView<'_>) -> i64) -> Vec<ExchangeId> {
    let mut keyed: Vec<_> = ids
        .iter()
        .map(|&id| {
            let exchange = analysis.exchange(ExchangeId(id));
            (key(&exchange), exchange.started().0, id)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, id)| ExchangeId(id)).collect()
}

fn by_text<'a>(
    analysis: &'a Analysis,
    ids: &[u32],
    key: impl Fn(&ExchangeView<'a>) -> &'a [u8],
) -> Vec<ExchangeId> {
    let mut keyed: Vec<_> = ids
        .iter()
        .map(|&id| {
            let exchange = analysis.exchange(ExchangeId(id));
            (key(&exchange), exchange.started().0, id)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, id)| ExchangeId(id)).collect()
}

fn number(exchange: &ExchangeView<'_>, column: Column) -> i64 {
    match column {
        Column::Link => i64::from(exchange.link_id().0),
        Column::Connection => i64::from(exchange.connection_id().0),
        Column::Ordinal => i64::from(exchange.raw.ordinal),
        Column::Status => exchange.status().map_or(0, i64::from),
        Column::Outcome => exchange.outcome() as i64,
        Column::Latency => exchange.latency_ns().unwrap_or(-1),
        Column::Attempt => i64::from(exchange.attempt()),
        Column::Reason => {
            exchange.analysis.trees.parent(exchange.id).map_or(-1, |parent| i64::from(parent.evidence.0))
        }
        Column::Time | Column::Method | Column::Target => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::fixture;

    fn made(filter: &str, exchanges: Sort) -> Rows {
        let mut rows = Rows::default();
        let orders = Orders { exchanges, ..Orders::default() };
        rows.update(&Arc::new(fixture::analysis()), 1, filter, orders, &Background::inline());
        rows
    }

    #[test]
    fn rows_are_in_time_order_unless_sorted_otherwise() {
        let analysis = fixture::analysis();
        let rows = made("", Sort::default());
        assert!(rows.list().is_sorted_by_key(|&id| analysis.exchange(id).started()));
        let rows = made("", Sort { column: Column::Latency, descending: true });
        assert!(rows.list().is_sorted_by_key(|&id| -analysis.exchange(id).latency_ns().unwrap_or(-1)));
        let rows = made("", Sort { column: Column::Target, descending: false });
        assert!(rows.list().is_sorted_by_key(|&id| analysis.exchange(id).target().into_owned()));
    }

    #[test]
    fn rows_are_made_once_for_each_key() {
        let (analysis, background) = (Arc::new(fixture::analysis()), Background::inline());
        let mut rows = Rows::default();
        for _ in 0..3 {
            rows.update(&analysis, 1, "rejected", Orders::default(), &background);
        }
        assert_eq!(rows.count(), 1);
        rows.update(&analysis, 2, "rejected", Orders::default(), &background);
        assert_eq!(rows.count(), 2);
    }

    #[test]
    fn each_table_has_an_order_of_its_own() {
        let (analysis, background) = (Arc::new(fixture::analysis()), Background::inline());
        let mut rows = Rows::default();
        rows.update(&analysis, 1, "rejected", Orders::default(), &background);
        let before = (rows.list().to_vec(), rows.connections().to_vec());
        let longest = Sort { column: ConnectionColumn::Lasted, descending: true };
        let orders = Orders { connections: longest, ..Orders::default() };
        rows.update(&analysis, 1, "rejected", orders, &background);
        assert_eq!((rows.count(), rows.connections_count()), (1, 2));
        assert_eq!(rows.list(), before.0);
        let lasted = |id: &ConnectionId| {
            let inner = analysis.connection(*id).inner;
            std::cmp::Reverse(inner.last.since_ns(inner.first))
        };
        assert!(rows.connections().is_sorted_by_key(lasted));
        let of = |ids: &[ConnectionId]| ids.iter().map(|id| id.0).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(of(rows.connections()), of(&before.1));
        // And the filter holds for both.
        rows.update(&analysis, 1, "", orders, &background);
        assert_eq!(rows.connections().len(), analysis.topology.connections.len());
    }

    #[test]
    fn a_filter_that_cannot_be_read_keeps_the_rows_and_says_why() {
        let (analysis, background) = (Arc::new(fixture::analysis()), Background::inline());
        let mut rows = Rows::default();
        rows.update(&analysis, 1, "status:502", Orders::default(), &background);
        let before = rows.list().to_vec();
        rows.update(&analysis, 1, "status:5x", Orders::default(), &background);
        assert!(rows.error().is_some());
        assert_eq!(rows.list(), before);
        // Of other captures there are none to stay: an empty table would look like an answer.
        rows.update(&analysis, 2, "status:5x", Orders::default(), &background);
        assert!(rows.error().is_some() && rows.mask().is_none());
        assert_eq!(rows.list().len(), analysis.topology.exchanges.len());
    }

    #[test]
    fn half_a_word_is_not_the_last_filter_that_could_be_read() {
        let (analysis, background) = (Arc::new(fixture::analysis()), Background::inline());
        let mut rows = Rows::default();
        let mut type_in = |text: &str| {
            (1..=text.len()).for_each(|end| {
                rows.update(&analysis, 1, &text[..end], Orders::default(), &background);
            });
            (rows.applied().to_owned(), rows.list().len())
        };
        let (_, of_status) = type_in("status:502");
        assert_eq!(type_in("status:502 mehod:post"), ("status:502".to_owned(), of_status));
        assert_eq!(type_in("mehod:post"), (String::new(), analysis.topology.exchanges.len()));
        // A whole word before the one that cannot be read holds, whatever stands before it.
        assert_eq!(type_in("status:502 or rejected foo:bar").0, "status:502 or rejected");
    }
}
