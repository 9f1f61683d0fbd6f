//! The rows of the table of connections: those that pass the filter, in the order of a column.

use std::sync::Arc;

use super::{INLINE_ROWS, Sort};
use crate::analysis::{Analysis, ConnectionView};
use crate::app::background::{Background, Progressing, Task};
use crate::http::Protocol;
use crate::tcp::{Closing, Opening};
use crate::topology::ConnectionId;

/// A column of the table of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionColumn {
    /// First packet.
    #[default]
    Opened,
    /// Link.
    Link,
    /// The client's address and port.
    Client,
    /// The server's.
    Server,
    /// What is spoken.
    Protocol,
    /// How many requests it carried.
    Requests,
    /// How it began.
    Began,
    /// How it ended.
    Ended,
    /// From the first packet to the last.
    Lasted,
}

impl ConnectionColumn {
    /// All columns, left to right.
    pub const ALL: [Self; 9] = [
        Self::Opened,
        Self::Link,
        Self::Client,
        Self::Server,
        Self::Protocol,
        Self::Requests,
        Self::Began,
        Self::Ended,
        Self::Lasted,
    ];

    /// The column's head.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Link => "link",
            Self::Client => "client",
            Self::Server => "server",
            Self::Protocol => "protocol",
            Self::Requests => "requests",
            Self::Began => "began",
            Self::Ended => "ended",
            Self::Lasted => "lasted",
        }
    }
}

/// What the rows depend on; when it is the same, they are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    generation: u64,
    filter: String,
    sort: Sort<ConnectionColumn>,
}

/// The rows that the table shows, and the ones being made.
#[derive(Default)]
pub(super) struct ConnectionRows {
    key: Option<Key>,
    pub(super) list: Vec<ConnectionId>,
    pub(super) count: u64,
    task: Option<Task<Vec<ConnectionId>>>,
}

impl ConnectionRows {
    /// Brings the rows up to date with those that pass `filter` (`None`: all do) and the order; starts a thread where
    /// there are many.
    pub(super) fn update(
        &mut self,
        analysis: &Arc<Analysis>,
        generation: u64,
        (filter, passing): (&str, &Option<Arc<Vec<ConnectionId>>>),
        sort: Sort<ConnectionColumn>,
        background: &Background,
    ) {
        match self.task.as_ref().map(Task::poll) {
            Some(Progressing::Done(list)) => self.take(list),
            Some(Progressing::Lost) => self.task = None,
            Some(Progressing::Running) | None => {}
        }
        let known = self.key.as_ref();
        if known
            .is_some_and(|key| (key.generation, key.filter.as_str(), key.sort) == (generation, filter, sort))
        {
            return;
        }
        if known.is_none_or(|known| known.generation != generation) {
            // Ids of another analysis: they may not even exist in this one.
            self.task = None;
            self.list.clear();
        }
        self.key = Some(Key { generation, filter: filter.to_owned(), sort });
        let all = analysis.topology.connections.len();
        let few = passing.as_ref().map_or(all, |passing| passing.len()) <= INLINE_ROWS;
        let (analysis, passing) = (Arc::clone(analysis), passing.clone());
        let work = move || match passing {
            Some(passing) => sorted(&analysis, passing.iter().copied(), sort),
            None => sorted(&analysis, (0..all as u32).map(ConnectionId), sort),
        };
        if few {
            self.take(work());
        } else {
            self.task = Some(background.spawn("connections", work));
        }
    }

    fn take(&mut self, list: Vec<ConnectionId>) {
        self.task = None;
        self.list = list;
        self.count += 1;
    }

    /// Whether a thread is at work on them.
    pub(super) fn is_busy(&self) -> bool {
        self.task.is_some()
    }
}

fn sorted(
    analysis: &Analysis,
    ids: impl Iterator<Item = ConnectionId>,
    sort: Sort<ConnectionColumn>,
) -> Vec<ConnectionId> {
    let view = |id| analysis.connection(id);
    match sort.column {
        ConnectionColumn::Client => by(analysis, ids, sort.descending, |id| view(id).inner.client),
        ConnectionColumn::Server => by(analysis, ids, sort.descending, |id| view(id).inner.server),
        ConnectionColumn::Protocol => by(analysis, ids, sort.descending, |id| protocol(&view(id))),
        column => by(analysis, ids, sort.descending, |id| number(&view(id), column)),
    }
}

/// Those of one key stand in the order of time.
fn by<K: Ord>(
    analysis: &Analysis,
    ids: impl Iterator<Item = ConnectionId>,
    descending: bool,
    key: impl Fn(ConnectionId) -> K,
) -> Vec<ConnectionId> {
    let first = |id: ConnectionId| analysis.connection(id).inner.first;
    let mut keyed: Vec<_> = ids.map(|id| (key(id), first(id), id.0)).collect();
    keyed.sort_unstable();
    if descending {
        keyed.reverse();
    }
    keyed.into_iter().map(|(_, _, id)| ConnectionId(id)).collect()
}

/// The name of what is spoken; of TLS its version.
pub fn protocol(connection: &ConnectionView<'_>) -> String {
    let flow = connection.flow();
    let version = flow.wire.tls.as_ref().filter(|_| flow.protocol == Protocol::Tls);
    version.and_then(|tls| tls.version_name()).unwrap_or_else(|| flow.protocol.name().to_owned())
}

fn number(connection: &ConnectionView<'_>, column: ConnectionColumn) -> i64 {
    let (inner, flow) = (connection.inner, connection.flow());
    match column {
        ConnectionColumn::Link => i64::from(inner.link.0),
        // Of what is encrypted it is not known.
        ConnectionColumn::Requests if flow.wire.tls.is_some() && flow.protocol == Protocol::Tls => -1,
        ConnectionColumn::Requests => inner.exchanges.len() as i64,
        // What went wrong stands together, behind what went well.
        ConnectionColumn::Began => match flow.opening {
            Opening::Handshake => 0,
            Opening::MidStream => 1,
            Opening::Unanswered => 2,
            Opening::Refused => 3,
        },
        ConnectionColumn::Ended => {
            let closing = match flow.closing {
                Closing::Fin => 0,
                Closing::Open => 2,
                Closing::Reset => 4,
            };
            closing + i64::from(flow.is_lossy())
        }
        ConnectionColumn::Lasted => inner.last.since_ns(inner.first),
        ConnectionColumn::Opened
        | ConnectionColumn::Client
        | ConnectionColumn::Server
        | ConnectionColumn::Protocol => inner.first.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::fixture;

    fn rows(column: ConnectionColumn, descending: bool) -> Vec<ConnectionId> {
        let mut rows = ConnectionRows::default();
        let analysis = Arc::new(fixture::analysis());
        let sort = Sort { column, descending };
        rows.update(&analysis, 1, ("", &None), sort, &Background::inline());
        rows.list
    }

    #[test]
    fn connections_are_sorted_by_each_column_and_keep_all_rows() {
        let analysis = fixture::analysis();
        let all = analysis.topology.connections.len();
        let first = |id: &ConnectionId| analysis.connection(*id).inner.first;
        assert!(rows(ConnectionColumn::Opened, false).is_sorted_by_key(first));
        let requests = |id: &ConnectionId| std::cmp::Reverse(analysis.connection(*id).inner.exchanges.len());
        assert!(rows(ConnectionColumn::Requests, true).is_sorted_by_key(requests));
        let client = |id: &ConnectionId| analysis.connection(*id).inner.client;
        assert!(rows(ConnectionColumn::Client, false).is_sorted_by_key(client));
        let lasted = |id: &ConnectionId| {
            let inner = analysis.connection(*id).inner;
            inner.last.since_ns(inner.first)
        };
        assert!(rows(ConnectionColumn::Lasted, false).is_sorted_by_key(lasted));
        let mut one_reset = fixture::analysis();
        Arc::make_mut(&mut one_reset.captures[0]).flows[5].closing = Closing::Reset;
        let by_end = Sort { column: ConnectionColumn::Ended, descending: true };
        let ids = (0..all as u32).map(ConnectionId);
        assert_eq!(one_reset.connection(sorted(&one_reset, ids, by_end)[0]).flow().closing, Closing::Reset);
        for column in ConnectionColumn::ALL {
            let mut ids: Vec<u32> = rows(column, true).iter().map(|id| id.0).collect();
            ids.sort_unstable();
            assert_eq!(ids, (0..all as u32).collect::<Vec<_>>(), "{column:?}");
        }
    }

    #[test]
    fn the_filter_and_another_analysis_make_other_rows() {
        let (analysis, background) = (Arc::new(fixture::analysis()), Background::inline());
        let mut rows = ConnectionRows::default();
        let sort = Sort::default();
        let two = Some(Arc::new(vec![ConnectionId(3), ConnectionId(5)]));
        for _ in 0..2 {
            rows.update(&analysis, 1, ("two", &two), sort, &background);
        }
        assert_eq!((rows.list.len(), rows.count), (2, 1));
        rows.update(&analysis, 1, ("", &None), sort, &background);
        assert_eq!((rows.list.len(), rows.count), (analysis.topology.connections.len(), 2));
    }
}
