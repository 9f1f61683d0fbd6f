//! Closes that answer a request: the server read it and closed in place of a response, on a kept connection as it would
//! on a new one. That is no stale connection, whatever the ordinal of the request.
//!
//! ```text
//!   stale     resp 1 |--|FIN                    the close follows the response, whatever the client does
//!                       req 2 ──>
//!   answered  resp 1 |------- idle ------- req 2 ──>|--|FIN     the close follows the request
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::analysis::{Analysis, ExchangeView};
use crate::http::ExchangeFlags;
use crate::tcp::Opening;
use crate::topology::{ExchangeId, LinkId};

use super::burst::Burst;
use super::decided::Decided;
use super::habits::{Close, Habits};
use super::life::Life;
use super::{Outcome, RejectForm, Rejection};

/// One close with a request in hand may be chance.
const FEWEST: usize = 2;

/// Closes with a request in hand, for one of a connection that nobody asked: more of these and the server closes of its
/// own accord.
const FOR_ONE_UNASKED: usize = 4;

/// Times between an answer and a close that differ by this factor come from no habit of closing after an answer.
const VARIED: i64 = 3;

/// Takes the rejections that are answers to their requests for requests without a response.
pub(super) fn settle(
    analysis: &Analysis,
    habits: &[Habits],
    bursts: &[Vec<Burst>],
    outcomes: &mut [Outcome],
    rejections: &mut Vec<Rejection>,
) {
    let in_hands = rejections.iter().filter(|rejection| in_hand(analysis, rejection));
    let in_hands: Vec<ExchangeId> = in_hands.map(|rejection| rejection.exchange).collect();
    if in_hands.is_empty() {
        return;
    }
    let decided = Decided::find(analysis, outcomes, in_hands.into_iter());
    let mut answered = vec![false; rejections.len()];
    let mut groups: BTreeMap<(LinkId, SocketAddr), Vec<usize>> = BTreeMap::new();
    let mut all: BTreeMap<(LinkId, SocketAddr), usize> = BTreeMap::new();
    for (at, rejection) in rejections.iter().enumerate() {
        let connection = analysis.exchange(rejection.exchange).connection();
        let link = connection.inner.link;
        *all.entry((link, connection.inner.server)).or_default() += 1;
        let habits = &habits[usize::from(link.0)];
        let own = habits.close_of(connection.id).is_some_and(|c| habits.by_timer(c) || habits.by_limit(c));
        let together = bursts[usize::from(link.0)].iter().any(|burst| burst.holds(connection.id));
        if in_hand(analysis, rejection) && !own && !together {
            answered[at] = decided.also_as_first(analysis.exchange(rejection.exchange));
            groups.entry((link, connection.inner.server)).or_default().push(at);
        }
    }
    for ((link, server), group) in groups {
        let cases: Vec<&Rejection> = group.iter().map(|&at| &rejections[at]).collect();
        if cases.len() < FEWEST {
            continue;
        }
        let habits = Habits::where_server(analysis, link, |other| other == server);
        let others = || others_swallowed(analysis, outcomes, link, server);
        let is_every = cases.len() == all[&(link, server)];
        if is_every && are_all_that_is_known(analysis, &habits, &cases)
            || follow_requests(analysis, &habits, &others(), &cases)
        {
            group.into_iter().for_each(|at| answered[at] = true);
        }
    }
    let mut at = 0;
    rejections.retain(|rejection| {
        let is_answer = answered[at];
        at += 1;
        if is_answer {
            outcomes[rejection.exchange.0 as usize] = Outcome::NoResponse;
        }
        !is_answer
    });
}

/// Whether the server's side had the request, or its beginning, when it closed.
fn in_hand(analysis: &Analysis, rejection: &Rejection) -> bool {
    let exchange = analysis.exchange(rejection.exchange);
    let had = Life::of(exchange.connection()).closed_with(&exchange.raw.request);
    had && matches!(rejection.form, RejectForm::Swallowed | RejectForm::QueuedReset | RejectForm::WriteToDead)
}

/// Whether a server closes only connections on which it was asked, and lets others wait for as long.
fn follow_requests(
    analysis: &Analysis,
    habits: &Habits,
    others: &[ExchangeView<'_>],
    cases: &[&Rejection],
) -> bool {
    let unannounced = habits.closes.iter().filter(|close| !close.announced).count();
    let asked = cases.len() + others.len();
    if unannounced.saturating_sub(asked) * FOR_ONE_UNASKED > asked {
        return false;
    }
    let gap = |case: &&Rejection| {
        habits.close_of(analysis.exchange(case.exchange).connection_id()).map(|close| close.gap_ns)
    };
    let mut gaps: Vec<i64> = cases.iter().filter_map(gap).collect();
    gaps.sort_unstable();
    let (Some(&shortest), Some(&longest)) = (gaps.first(), gaps.last()) else { return false };
    let kept_longer = habits.longest_answered_ns >= gaps[gaps.len() / 2];
    // Who closes with unread bytes resets: where a FIN comes, the request was read.
    let read = cases.iter().all(|case| case.form == RejectForm::Swallowed);
    // On a new connection no other request can be the reason.
    let as_first = || others.iter().any(|exchange| exchange.raw.ordinal == 1);
    kept_longer || read && (longest >= shortest.saturating_mul(VARIED) || as_first())
}

/// Whether nothing is known of what the server does with its connections, for the snap length cut off the heads: that it
/// had each of several requests in hand when it closed is then all there is. Stale connections are met too late as well.
fn are_all_that_is_known(analysis: &Analysis, habits: &Habits, cases: &[&Rejection]) -> bool {
    let is_cut = |case: &&Rejection| analysis.exchange(case.exchange).raw.flags.has(ExchangeFlags::HEAD_CUT);
    let tells = |close: &Close| !close.cut || !close.crossed;
    let known = habits.answered_reused > 0 || habits.closes.iter().any(tells);
    !known && cases.len() > FEWEST && cases.iter().all(is_cut)
}

/// Requests that a server read and closed on, other than the rejected ones.
fn others_swallowed<'a>(
    analysis: &'a Analysis,
    outcomes: &[Outcome],
    link: LinkId,
    server: SocketAddr,
) -> Vec<ExchangeView<'a>> {
    let connections = analysis.link(link).connections.iter().map(|&id| analysis.connection(id));
    let own = connections.filter(|connection| {
        connection.inner.server == server
            && connection.flow().opening == Opening::Handshake
            && connection.is_closed_by_server()
    });
    let last = own.filter_map(|connection| {
        let exchange = connection.exchanges().last()?;
        let read = Life::of(connection).closed_with_all_before(exchange.raw.request.end_seq());
        (read && outcomes[exchange.id.0 as usize] == Outcome::NoResponse).then_some(exchange)
    });
    last.collect()
}
