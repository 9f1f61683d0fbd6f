//! The requests that vote: read once, with what they have in common with others.

use crate::capture::CaptureTime;
use crate::http::{CaptureFacts, Exchange, ExchangeFlags};
use crate::tcp::{EventKind, Flow};
use crate::topology::by_hash::sort_by_hash;
use crate::topology::keys::{IdHeaders, IdNames, shape_key, target_keys};
use crate::topology::lanes::Seen;

use super::{Alone, Causes, Common, Electorate, Request};

/// Requests looked at in all; captures with more are sampled by time, so that parents and children stay together.
const SAMPLE: usize = 40_000;
/// Stretches of time that the sample is taken from.
const WINDOWS: i64 = 16;
/// Requests with one id at one endpoint; more of them have nothing but that in common.
const MOST_OF_AN_ID: usize = 16;
/// Who opens a connection for a request sends it within this time, in nanoseconds: three times a SYN is sent again.
const SOON_NS: i64 = 8_000_000_000;
/// Requests of each endpoint that are looked at for what kinds of resources there are.
const MOST_SHAPES: usize = 512;
/// Requests that vote for each leg.
const VOTERS: usize = 1_024;

/// The stretches of time that votes come from.
pub(in crate::topology) struct Sample {
    first: i64,
    period: i64,
    width: i64,
    spans: Vec<(u16, i64, i64)>,
}

impl Sample {
    pub(super) fn of(seen: &Seen<'_>) -> Self {
        let total: usize = (0..seen.len()).map(|at| seen.flow(at).exchanges.len()).sum();
        let first = (0..seen.len()).map(|at| seen.first(at)).min().unwrap_or_default();
        let last = (0..seen.len()).map(|at| seen.last(at)).max().unwrap_or_default();
        let period = (last.saturating_sub(first).max(0) / WINDOWS).saturating_add(1);
        let width = if total <= SAMPLE {
            period
        } else {
            (i128::from(period) * SAMPLE as i128 / total as i128) as i64
        };
        Self { first, period, width, spans: spans(seen) }
    }

    pub(in crate::topology) fn holds(&self, at: i64) -> bool {
        at.saturating_sub(self.first).rem_euclid(self.period) <= self.width
    }

    /// The requests of the sample.
    pub(super) fn all(&self, seen: &Seen<'_>, causes: &Causes) -> Vec<Sampled> {
        let total: usize = causes.legs.iter().map(|leg| leg.exchanges).sum();
        let mut all = Vec::with_capacity(total.min(2 * SAMPLE));
        for at in 0..seen.len() {
            let (facts, flow) = (seen.facts(at), seen.flow(at));
            let leg = causes.leg_of[at] as u32;
            let endpoint = causes.legs[leg as usize].endpoint as u32;
            let is_opened = facts.events_of(flow).first().is_some_and(|event| event.kind == EventKind::Syn);
            let opened = is_opened.then(|| seen.first(at));
            for (exchange, index) in facts.exchanges_of(flow).iter().zip(flow.exchanges.start..) {
                let start = seen.time(at, exchange.request.start, exchange.request.first_frame);
                if !exchange.request.is_present() || !self.holds(start) {
                    continue;
                }
                let (end, over) = ends(facts, flow, exchange);
                let time = |moment: Moment| seen.time(at, moment.0, moment.1);
                let until = match (end, over) {
                    (Some(end), _) => Until::Answered(time(end)),
                    (None, Some(over)) => Until::GivenUp(time(over)),
                    (None, None) => Until::Unknown,
                };
                let opened =
                    opened.filter(|at| exchange.ordinal == 1 && start.saturating_sub(*at) <= SOON_NS);
                all.push(Sampled {
                    start,
                    begun: opened.map_or(start, |at| at.min(start)),
                    until,
                    is_error: exchange.status.is_some_and(|status| status.get() >= 500),
                    body_crc: exchange.request.body_crc,
                    leg,
                    endpoint,
                    connection: at as u32,
                    exchange: index,
                });
            }
        }
        all
    }

    /// The requests of the sample that have their key in common with one at another endpoint, sorted by key and
    /// start; the others can tell nothing, and only count.
    pub(super) fn requests(
        &self,
        seen: &Seen<'_>,
        causes: &Causes,
        sampled: &[Sampled],
        common: Common,
        scratch: &mut Scratch,
    ) -> Electorate {
        let Scratch { keys, known, alone } = scratch;
        known.learn(keys);
        let mut electorate = Electorate {
            requests: Vec::new(),
            alone: std::mem::take(alone),
            steps: vec![0; causes.legs.len()],
            spans: self.spans.clone(),
            asked: Vec::new(),
        };
        // Few keys are shared, or seen again: most requests are alone.
        let (mut shared, mut again) = (Vec::new(), Vec::new());
        electorate.alone.clear();
        electorate.alone.reserve_exact(keys.len());
        for (keyed, &Sampled { start, leg, connection, .. }) in
            keys.iter().map(|keyed| (keyed, &sampled[keyed.request as usize]))
        {
            let seen_at = known.of_key(keyed.key);
            if seen_at == SEVERAL {
                shared.push((keyed.key, start, keyed.endpoint, leg, keyed.request));
                continue;
            }
            let group = seen.clocks[seen.capture(connection as usize).index()].group;
            let alone = Alone { leg, key: keyed.key, start, group };
            let list = if seen_at & AGAIN == 0 { &mut electorate.alone } else { &mut again };
            list.push(alone);
        }
        // Sorted before they are made, for what they are made into is large.
        sort_by_hash(&mut shared, |&(key, ..)| key);
        if matches!(common, Common::Id(_)) {
            without_common_ids(&mut shared);
        }
        electorate.requests.reserve_exact(shared.len());
        for (key, start, endpoint, leg, request) in shared {
            let Sampled { begun, until, is_error, connection, .. } = sampled[request as usize];
            let at = connection as usize;
            let capture = seen.capture(at);
            electorate.requests.push(Request {
                key,
                start,
                begun,
                end: until.answered(),
                is_error,
                over: until.given_up(),
                leg,
                endpoint,
                capture,
                group: seen.clocks[capture.index()].group,
                tolerance: seen.tolerance(at),
                votes: causes.legs[leg as usize].parents.is_empty(),
            });
        }
        electorate.thin_out(again);
        electorate
    }
}

/// Drops ids that an endpoint got more often than a request is tried: a load generator gives all of its requests one, or one
/// of a few in turn. `shared` holds keys, starts and endpoints, sorted.
fn without_common_ids(shared: &mut Vec<(u64, i64, u32, u32, u32)>) {
    let mut common: Vec<u64> = Vec::new();
    let mut endpoints: Vec<u32> = Vec::new();
    for same in shared.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > MOST_OF_AN_ID) {
        endpoints.clear();
        endpoints.extend(same.iter().map(|request| request.2));
        endpoints.sort_unstable();
        if endpoints.chunk_by(|a, b| a == b).any(|of_one| of_one.len() > MOST_OF_AN_ID) {
            common.push(same[0].0);
        }
    }
    shared.retain(|request| common.binary_search(&request.0).is_err());
}

/// Notes the kinds of resources that each endpoint is asked for.
pub(super) fn note_shapes(seen: &Seen<'_>, causes: &mut Causes, sampled: &[Sampled]) {
    for one in sampled {
        let shapes = &mut causes.endpoints[one.endpoint as usize].shapes;
        if shapes.len() < MOST_SHAPES {
            let facts = seen.facts(one.connection as usize);
            shapes.push(shape_key(facts, &facts.exchanges[one.exchange as usize]));
        }
    }
}

impl Electorate {
    /// Leaves the vote to evenly spread requests of each leg. To those who have nobody to vote for, whose keys were seen
    /// once only, come the others.
    fn thin_out(&mut self, mut again: Vec<Alone>) {
        let Self { requests, alone, steps, asked, .. } = self;
        let count = |legs: &mut dyn Iterator<Item = u32>, counts: &mut [usize]| {
            legs.for_each(|leg| counts[leg as usize] += 1);
        };
        count(&mut requests.iter().map(|request| request.leg), steps);
        asked.clone_from(steps);
        count(&mut alone.iter().chain(&again).map(|alone| alone.leg), asked);
        again.sort_unstable();
        again.dedup_by_key(|alone| (alone.leg, alone.key));
        alone.append(&mut again);
        count(&mut alone.iter().map(|alone| alone.leg), steps);
        for step in steps.iter_mut() {
            *step = step.div_ceil(VOTERS).max(1);
        }
        let mut next = vec![0usize; steps.len()];
        for request in &mut self.requests {
            let leg = request.leg as usize;
            request.votes &= next[leg].is_multiple_of(steps[leg]);
            next[leg] += 1;
        }
    }
}

/// Time and packet.
pub(in crate::topology) type Moment = (CaptureTime, u32);

/// The end of a whole answer that the client still waited for, and when client or server gave up in place of one. By an
/// answer that comes after a timeout the server would seem to ask its own client: it takes longer than what it was for.
pub(in crate::topology) fn ends(
    facts: &CaptureFacts,
    flow: &Flow,
    exchange: &Exchange,
) -> (Option<Moment>, Option<Moment>) {
    // What is no HTTP ends with its connection, whenever that is.
    let whole = exchange.response.is_complete() && !exchange.flags.has(ExchangeFlags::NOT_HTTP_RESPONSE);
    if whole && facts.left_before_response(flow, exchange).is_none() {
        return (Some((exchange.response.end, exchange.response.last_frame)), None);
    }
    // Behind a small snap length it is known that an answer came, and when at the earliest: waiting ones come later.
    if facts.is_answer_cut(flow, exchange) {
        return (Some((exchange.response.end, exchange.response.last_frame)), None);
    }
    (None, facts.first_end(flow, exchange).map(|event| (event.at, event.frame)))
}

/// By capture: the group of its clock, and its first and last time.
fn spans(seen: &Seen<'_>) -> Vec<(u16, i64, i64)> {
    let captures = seen.captures.iter().zip(seen.clocks);
    let span = captures.map(|(facts, clock)| {
        let first = facts.flows.iter().map(|flow| clock.session(flow.first.0, flow.first.1).0).min();
        let last = facts.flows.iter().map(|flow| clock.session(flow.last.0, flow.last.1).0).max();
        (clock.group, first.unwrap_or(i64::MAX), last.unwrap_or(i64::MIN))
    });
    span.collect()
}

/// A request of the sample: read once, for the rounds look it up out of order.
pub(super) struct Sampled {
    start: i64,
    begun: i64,
    until: Until,
    is_error: bool,
    body_crc: u32,
    leg: u32,
    endpoint: u32,
    /// Index of its connection in the input, and of itself in its capture.
    connection: u32,
    exchange: u32,
}

/// What ended a request.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// A whole answer that the client still waited for.
    Answered(i64),
    /// In place of one, client or server gave up.
    GivenUp(i64),
    Unknown,
}

impl Until {
    fn answered(self) -> Option<i64> {
        if let Self::Answered(at) = self { Some(at) } else { None }
    }

    fn given_up(self) -> Option<i64> {
        if let Self::GivenUp(at) = self { Some(at) } else { None }
    }
}

/// What the votes go by, of each request of the sample: all had from its exchange at once, for exchanges are large, and
/// each look at one far away in memory.
pub(super) struct Columns {
    /// By the rank of an id header.
    ids: Vec<Vec<u64>>,
    /// Of method and target, and of method and the target's end.
    targets: Vec<(u64, u64)>,
}

impl Columns {
    pub(super) fn of(seen: &Seen<'_>, sampled: &[Sampled], ids: &IdHeaders) -> Self {
        let names: Vec<IdNames> = seen.captures.iter().map(|facts| ids.of(facts)).collect();
        let mut columns = Self {
            ids: vec![Vec::with_capacity(sampled.len()); ids.len()],
            targets: Vec::with_capacity(sampled.len()),
        };
        for one in sampled {
            let at = one.connection as usize;
            let facts = seen.facts(at);
            let exchange = &facts.exchanges[one.exchange as usize];
            for (rank, column) in columns.ids.iter_mut().enumerate() {
                column.push(names[seen.capture(at).index()].id(rank, facts, exchange));
            }
            columns.targets.push(target_keys(facts, exchange));
        }
        columns
    }
}

/// Room that the votes use one after the other: had anew for each, it would be memory never touched before each time.
#[derive(Default)]
pub(super) struct Scratch {
    keys: Vec<Keyed>,
    known: KnownKeys,
    pub(super) alone: Vec<Alone>,
}

impl Scratch {
    /// The keys of all requests of the sample that have one.
    pub(super) fn gather_keys(&mut self, sampled: &[Sampled], columns: &Columns, common: Common) {
        let key = |at: usize, one: &Sampled| match common {
            Common::Id(rank) => columns.ids[usize::from(rank)][at],
            Common::Target => columns.targets[at].0 ^ u64::from(one.body_crc),
            Common::TargetEnd => columns.targets[at].1 ^ u64::from(one.body_crc),
            Common::AnyBody => columns.targets[at].0,
        };
        let keyed = |(at, one)| Keyed { key: key(at, one), endpoint: one.endpoint, request: at as u32 };
        self.keys.clear();
        self.keys.extend(sampled.iter().enumerate().map(keyed).filter(|keyed| keyed.key != 0));
    }
}

/// A request of the sample by its key, before it is known whether that tells anything.
struct Keyed {
    key: u64,
    endpoint: u32,
    /// Its place in the sample.
    request: u32,
}

/// Which keys were seen at several endpoints, and which several times; of the others most are known.
#[derive(Default)]
struct KnownKeys {
    /// By the key's last bits: 0, or the only endpoint and 1 with or without [`AGAIN`], or [`SEVERAL`].
    endpoints: Vec<u32>,
}

/// Stands for more than one endpoint.
const SEVERAL: u32 = u32::MAX;
/// Marks an endpoint where a key may have been seen again.
const AGAIN: u32 = 1 << 31;

impl KnownKeys {
    fn learn(&mut self, keys: &[Keyed]) {
        let size = (4 * keys.len()).next_power_of_two();
        self.endpoints.clear();
        self.endpoints.resize(size, 0);
        for Keyed { key, endpoint, .. } in keys {
            let slot = &mut self.endpoints[*key as usize & (size - 1)];
            *slot = match *slot & !AGAIN {
                0 => endpoint + 1,
                known if known == endpoint + 1 => known | AGAIN,
                _ => SEVERAL,
            };
        }
    }

    fn of_key(&self, key: u64) -> u32 {
        self.endpoints[key as usize & (self.endpoints.len() - 1)]
    }
}
