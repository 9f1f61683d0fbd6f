//! How the servers of one link treat their connections: the statistics that tell causes apart.

use crate::analysis::Analysis;
use crate::topology::{ConnectionId, LinkId};

use super::life::Life;

/// A close within this time after a response is part of the server's handling of that response.
const AT_ONCE_NS: i64 = 250_000_000;

/// One connection that the server closed after whole responses.
#[derive(Clone, Copy)]
pub(super) struct Close {
    pub(super) connection: ConnectionId,
    /// How many responses it had given.
    pub(super) responses: u32,
    /// From the end of the last one to the FIN or RST.
    pub(super) gap_ns: i64,
}

impl Close {
    pub(super) fn at_once(&self) -> bool {
        self.gap_ns < AT_ONCE_NS
    }
}

/// What all connections of a link show together.
#[derive(Default)]
pub(super) struct Habits {
    /// Closes by the server, ordered by connection.
    pub(super) closes: Vec<Close>,
    /// Connections that gave a response and that the server did not close while the capture ran.
    pub(super) kept: u64,
    /// Reused requests that were answered.
    pub(super) answered_reused: u64,
    /// The most responses on any connection.
    pub(super) most_responses: u32,
}

impl Habits {
    pub(super) fn of(analysis: &Analysis, link: LinkId) -> Self {
        let mut habits = Self::default();
        for &id in &analysis.link(link).connections {
            habits.add(analysis, id);
        }
        habits
    }

    fn add(&mut self, analysis: &Analysis, id: ConnectionId) {
        let connection = analysis.connection(id);
        if connection.inner.exchanges.is_empty() || connection.flow().is_lossy() {
            return;
        }
        let (mut responses, mut last) = (0u32, None);
        for exchange in connection.exchanges().filter(|x| x.raw.response.is_complete()) {
            responses += 1;
            self.answered_reused += u64::from(exchange.raw.ordinal > 1);
            last = Some(exchange.raw.response.end);
        }
        self.most_responses = self.most_responses.max(responses);
        let Some(last) = last else { return };
        let life = Life::of(connection);
        match life.server_ended() {
            Some(close) if life.seen_from_start() => {
                let gap_ns = close.at.0.saturating_sub(last.0);
                self.closes.push(Close { connection: id, responses, gap_ns });
            }
            Some(_) => {}
            None => self.kept += 1,
        }
    }

    /// The close of one connection, where the server made it.
    pub(super) fn close_of(&self, id: ConnectionId) -> Option<&Close> {
        let at = self.closes.binary_search_by_key(&id, |close| close.connection).ok()?;
        self.closes.get(at)
    }

    /// Whether the server closes each connection right after its first response.
    pub(super) fn closes_after_each(&self) -> bool {
        let at_once = self.closes.iter().filter(|c| c.responses == 1 && c.at_once()).count() as u64;
        self.answered_reused == 0 && at_once > 0 && at_once * 10 >= (self.closes.len() as u64 + self.kept) * 9
    }

    /// The idle time after which the server closes: the middle of the closes that came late, and those near it.
    pub(super) fn idle_timeout(&self) -> Option<IdleTimeout> {
        let mut gaps: Vec<i64> = self.closes.iter().filter(|c| !c.at_once()).map(|c| c.gap_ns).collect();
        gaps.sort_unstable();
        let middle = *gaps.get(gaps.len() / 2)?;
        let near: Vec<i64> = gaps.iter().copied().filter(|&gap| is_near(gap, middle)).collect();
        let spread_ns = near.last()? - near.first()?;
        let enough = near.len() >= 2 && near.len() * 2 >= gaps.len();
        (enough || super::verdict::is_usual_timeout(middle)).then_some(IdleTimeout {
            timeout_ns: middle,
            spread_ns,
            samples: near.len() as u64,
        })
    }

    /// The number of requests after which the server closes each connection, and how often it did.
    pub(super) fn request_limit(&self) -> Option<(u32, u64)> {
        let limit = self.most_responses;
        let at_once = self.closes.iter().filter(|close| close.at_once());
        let (exact, other): (Vec<&Close>, Vec<&Close>) = at_once.partition(|close| close.responses == limit);
        (limit >= 2 && exact.len() >= 3 && other.len() * 10 <= exact.len())
            .then_some((limit, exact.len() as u64))
    }
}

/// An idle timeout inferred from when the server closed.
#[derive(Clone, Copy)]
pub(super) struct IdleTimeout {
    pub(super) timeout_ns: i64,
    /// Between the shortest and the longest of the closes that belong to it.
    pub(super) spread_ns: i64,
    /// How many closes belong to it.
    pub(super) samples: u64,
}

/// Whether two idle times are the same timer: within 30 ms or a twelfth.
pub(super) fn is_near(gap_ns: i64, timeout_ns: i64) -> bool {
    (gap_ns - timeout_ns).abs() <= 30_000_000 + timeout_ns / 12
}
