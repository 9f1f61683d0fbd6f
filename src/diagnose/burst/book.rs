//! When the connections of one server address began and ended, and whom it refused.

use crate::analysis::ConnectionView;
use crate::capture::SessionTime;
use crate::tcp::Opening;

use super::odd::Odd;
use crate::diagnose::life::Life;

/// How long after its last close a restarting server may still refuse connections.
pub(super) const DOWN_NS: i64 = 10_000_000_000;

/// When the connections of one server address began and ended, each list sorted.
#[derive(Default)]
pub(super) struct Book {
    begun: Vec<SessionTime>,
    ended: Vec<SessionTime>,
    refused: Vec<SessionTime>,
}

impl Book {
    pub(super) fn add(&mut self, connection: ConnectionView<'_>) {
        let begins = connection.inner.first;
        match connection.flow().opening {
            Opening::Refused => self.refused.push(begins),
            Opening::Unanswered => {}
            Opening::Handshake | Opening::MidStream => {
                self.begun.push(begins);
                self.ended.extend(closes_at(connection));
            }
        }
    }

    pub(super) fn sort(&mut self) {
        for list in [&mut self.begun, &mut self.ended, &mut self.refused] {
            list.sort_unstable();
        }
    }

    /// How many connections were open just before a moment.
    pub(super) fn open_at(&self, at: SessionTime) -> u64 {
        let begun = self.begun.partition_point(|&begins| begins <= at);
        begun.saturating_sub(self.ended.partition_point(|&ends| ends < at)) as u64
    }

    /// Whether the next to connect behind these closes was refused, and nobody had been for a while before: the server was
    /// gone, whatever it had answered on those connections.
    pub(super) fn ends_behind(&self, chain: &[Odd]) -> bool {
        let (first, last) = (chain[0].at, chain[chain.len() - 1].at);
        let next = |list: &[SessionTime]| list.get(list.partition_point(|&at| at <= last)).copied();
        let refused = next(&self.refused).filter(|at| at.since_ns(last) <= DOWN_NS);
        let accepted = next(&self.begun);
        refused.is_some_and(|at| accepted.is_none_or(|begun| at < begun))
            && self.refused_in(SessionTime(first.0.saturating_sub(DOWN_NS)), first) == 0
    }

    /// How many connections were refused between two moments.
    pub(super) fn refused_in(&self, from: SessionTime, to: SessionTime) -> u64 {
        let before = |at: SessionTime| self.refused.partition_point(|&refused| refused < at);
        before(to).saturating_sub(before(from)) as u64
    }
}

/// When either side began to close.
fn closes_at(connection: ConnectionView<'_>) -> Option<SessionTime> {
    let life = Life::of(connection);
    let ends = [life.server_ended(), life.client_ended()];
    ends.into_iter().flatten().map(|end| connection.time(end.at, end.frame)).min()
}
