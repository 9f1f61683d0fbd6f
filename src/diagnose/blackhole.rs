//! Segments too large for the path, of which nobody is told (T3).

use std::collections::BTreeMap;

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::tcp::{Event, EventKind, Opening, Side};
use crate::topology::{ConnectionId, ExchangeId, LinkId};

use super::draft::{Draft, ProofList};
use super::life::{Life, at_least};
use super::reuse::CASES;
use super::texts;
use super::transport::sides;
use super::words::{counted, duration};
use super::{Certainty, Diagnosis, Finding, Outcome, RejectForm, Rejection};

/// A segment sent again so often, and for so long, does not get through.
const STUCK_TIMES: usize = 3;
const STUCK_NS: i64 = 1_000_000_000;

/// Segments smaller than this fit through any path (RFC 8200, section 5: 1,280 bytes with headers).
const SMALL_SEGMENT: u32 = 1_200;

/// What does not get through, by link and sender.
#[derive(Default)]
pub(super) struct BlackHoles {
    /// With the largest segment that got through, in bytes.
    holes: Vec<(LinkId, Side, u32, Vec<Stuck>)>,
    /// The connections of all that may be one, sorted.
    connections: Vec<ConnectionId>,
}

/// Looks for segments that never arrive.
pub(super) fn find(analysis: &Analysis) -> BlackHoles {
    let mut stuck: BTreeMap<(LinkId, Side), Vec<Stuck>> = BTreeMap::new();
    for connection in analysis.connections() {
        let unarrived = connection.flow().directions.iter().any(|d| d.unarrived_bytes > 0);
        if unarrived || connection.events().iter().any(|e| e.kind == EventKind::Retransmission) {
            for side in [Side::Client, Side::Server] {
                if let Some(one) = stuck_segment(connection, side) {
                    stuck.entry((connection.inner.link, side)).or_default().push(one);
                }
            }
        }
    }
    let mut connections: Vec<ConnectionId> = stuck.values().flatten().map(|one| one.connection).collect();
    connections.sort_unstable();
    let hole = |((link, side), cases): ((LinkId, Side), Vec<Stuck>)| {
        let through = largest_through(analysis, link, side, &cases)?;
        Some((link, side, through, cases))
    };
    BlackHoles { holes: stuck.into_iter().filter_map(hole).collect(), connections }
}

impl BlackHoles {
    /// Whether something large got stuck on this connection, for whatever reason.
    pub(super) fn may_hold(&self, connection: ConnectionId) -> bool {
        self.connections.binary_search(&connection).is_ok()
    }

    /// Whether a request on this connection never arrives because it is too large.
    pub(super) fn hold_request(&self, connection: ConnectionId) -> bool {
        let cases = self.holes.iter().filter(|hole| hole.1 == Side::Client).flat_map(|hole| &hole.3);
        self.may_hold(connection) && cases.clone().any(|one| one.connection == connection)
    }

    /// A request that never arrives because it is too large was turned away by nobody.
    pub(super) fn settle(
        &self,
        analysis: &Analysis,
        outcomes: &mut [Outcome],
        rejections: &mut Vec<Rejection>,
    ) {
        let too_large = |rejection: &Rejection| {
            rejection.form == RejectForm::BlackHole
                && self.hold_request(analysis.exchange(rejection.exchange).connection_id())
        };
        rejections.retain(|rejection| {
            let too_large = too_large(rejection);
            if too_large {
                let left = Life::of(analysis.exchange(rejection.exchange).connection()).client_ended();
                let outcome = if left.is_some() { Outcome::Aborted } else { Outcome::Unknown };
                outcomes[rejection.exchange.0 as usize] = outcome;
            }
            !too_large
        });
    }

    /// The exchanges that wait for what never arrives, with their link.
    pub(super) fn explained<'a>(
        &'a self,
        analysis: &'a Analysis,
        outcomes: &'a [Outcome],
    ) -> impl Iterator<Item = (ExchangeId, LinkId)> + 'a {
        let cases =
            self.holes.iter().flat_map(|(link, _, _, cases)| cases.iter().map(move |one| (*link, one)));
        cases.flat_map(move |(link, one)| {
            let waiting = analysis.connection(one.connection).exchanges();
            // Where the server sent its answer it is whole, though nobody ever had it.
            let unheard = |x: &ExchangeView<'_>| {
                let response = &x.raw.response;
                one.unheard.is_some_and(|from| response.is_present() && at_least(response.end_seq(), from))
            };
            let waiting =
                waiting.filter(move |x| outcomes[x.id.0 as usize] != Outcome::Complete || unheard(x));
            waiting.map(move |x| (x.id, link))
        })
    }

    /// One finding for each link and sender.
    pub(super) fn findings(&self, analysis: &Analysis, diagnosis: &Diagnosis) -> Vec<Finding> {
        let finding = |(link, side, through, cases): &(LinkId, Side, u32, Vec<Stuck>)| {
            black_hole(analysis, diagnosis, (*link, *side), *through, cases)
        };
        self.holes.iter().filter_map(finding).collect()
    }
}

/// The largest segment that the path carried in this direction. `None` where one as large as the stuck ones got through,
/// which a path with such a limit never lets happen, or where too little shows that they never did.
fn largest_through(analysis: &Analysis, link: LinkId, side: Side, cases: &[Stuck]) -> Option<u32> {
    let smallest = cases.iter().map(|one| one.len).min()?;
    let connections = analysis.link(link).connections.iter();
    let carried = connections.map(|&id| analysis.connection(id).flow().direction(side).largest_acked);
    let largest = carried.max().unwrap_or_default();
    let never_seen = cases.iter().all(|one| one.times == 0);
    (largest < smallest && !(never_seen && cases.len() < 2)).then_some(largest)
}

/// A large segment that is sent again and again while small ones get through (T3).
pub(super) struct Stuck {
    connection: ConnectionId,
    /// From where on nobody acknowledged what the server sent.
    unheard: Option<u32>,
    len: u32,
    times: usize,
    lasts_ns: i64,
    first: u32,
    last: u32,
}

fn stuck_segment(connection: ConnectionView<'_>, side: Side) -> Option<Stuck> {
    let flow = connection.flow();
    let (sent, acked) = (flow.direction(side), flow.direction(side.peer()).acked?);
    // Both directions must be there, and the path must have carried something.
    let alive = flow.opening == Opening::Handshake && sent.uncaptured_bytes == 0;
    let mtu_told = |e: &&Event| e.kind == EventKind::Unreachable && e.from == side;
    if !alive || connection.events().iter().any(|e| mtu_told(&e)) {
        return None;
    }
    if sent.unarrived_bytes >= u64::from(SMALL_SEGMENT) {
        return never_arrived(connection, side);
    }
    let here = |e: &&Event| e.kind == EventKind::Retransmission && e.from == side && e.seq == acked;
    let resent: Vec<&Event> = connection.events().iter().filter(here).collect();
    let (first, last) = (resent.first()?, resent.last()?);
    let lasts_ns = last.at.0.saturating_sub(first.at.0);
    let large = first.len >= SMALL_SEGMENT && first.len > sent.largest_acked;
    (large && resent.len() >= STUCK_TIMES && lasts_ns >= STUCK_NS).then_some(Stuck {
        connection: connection.id,
        unheard: (side == Side::Server).then(|| acked.wrapping_add(1)),
        len: first.len,
        times: resent.len(),
        lasts_ns,
        first: first.frame,
        last: last.frame,
    })
}

/// The same seen from the receiver's side: the large parts never pass the place of capture.
fn never_arrived(connection: ConnectionView<'_>, side: Side) -> Option<Stuck> {
    let asked = connection.exchanges().last()?.raw.request;
    let lasts_ns = connection.flow().last.0.0.saturating_sub(asked.end.0);
    let hole = connection.events().iter().find(|e| e.kind == EventKind::Hole && e.from == side)?;
    let large = hole.len >= SMALL_SEGMENT && connection.flow().direction(side).largest_acked < SMALL_SEGMENT;
    (side == Side::Server && large && lasts_ns >= STUCK_NS).then_some(Stuck {
        connection: connection.id,
        unheard: None,
        len: SMALL_SEGMENT,
        times: 0,
        lasts_ns,
        first: asked.last_frame,
        last: hole.frame,
    })
}

fn black_hole(
    analysis: &Analysis,
    diagnosis: &Diagnosis,
    (link, side): (LinkId, Side),
    largest_through: u32,
    cases: &[Stuck],
) -> Option<Finding> {
    let smallest = cases.iter().map(|one| one.len).min()?;
    let never_seen = cases.iter().all(|one| one.times == 0);
    let mut draft = Draft::new(analysis, diagnosis, &texts::MTU_BLACK_HOLE, link);
    draft.certainty = if cases.len() >= 2 && largest_through > 0 && !never_seen {
        Certainty::Certain
    } else {
        Certainty::Likely
    };
    draft.values.extend(sides(analysis, link, side));
    let times = cases.iter().map(|one| one.times as u64).max().unwrap_or_default();
    let longest = duration(cases.iter().map(|one| one.lasts_ns).max().unwrap_or_default());
    let who = &draft.values[0].1;
    let seen = if never_seen {
        format!(
            "Parts of {smallest} bytes and more that {who} sent never came, for {longest}, though later ones did,"
        )
    } else {
        let again = counted(times, "time");
        format!(
            "{who} sent segments of {smallest} bytes up to {again} over {longest} and none was ever acknowledged,"
        )
    };
    draft.values.push(("seen", seen));
    draft.values.push(("through", largest_through.to_string()));
    let mut proofs = ProofList::new(analysis);
    for one in cases.iter().take(CASES) {
        let (first, last) = match one.times {
            0 => (
                "request; its answer never came whole".to_owned(),
                "a part behind one that is missing".to_owned(),
            ),
            times => {
                (format!("{} bytes sent again", one.len), format!("and again, the last of {times} times"))
            }
        };
        proofs.add_packet(one.connection, one.first, first);
        proofs.add_packet(one.connection, one.last, last);
    }
    draft.connections = cases.iter().map(|one| one.connection).collect();
    Some(draft.finish(Vec::new(), proofs))
}
