//! Which lane wrote each log: by the servers that it names behind itself, else by the requests that it tells of.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::analysis::Analysis;
use crate::logs::LogFile;
use crate::topology::{LaneId, Role};

use super::with_logs::request_hash;
use super::words::count;

/// Lines of a log that are looked at.
const MOST_LINES: usize = 10_000;
/// Fewer requests in common with a lane tell nothing of a log.
const FEWEST: u64 = 5;
/// A lane and a log that is its own have this much in common of what either tells, in percent.
const ALIKE_PERCENT: u64 = 80;

/// Requests by method, target and status, with how many there are.
type Counts = HashMap<(u64, u16), u64, foldhash::fast::FixedState>;

/// The lane that wrote a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) lane: LaneId,
    /// The log itself names servers behind the lane. By its requests alone it may as well be the log of a hop further
    /// on that no capture shows.
    pub(super) is_sure: bool,
}

/// The lane that wrote each log, where that is known.
pub(super) fn writers(analysis: &Analysis) -> Vec<Option<Writer>> {
    let mut asked: Option<Vec<Counts>> = None;
    let mut lane = |log: &LogFile| {
        by_servers(analysis, log).map(|lane| Writer { lane, is_sure: true }).or_else(|| {
            let asked = asked.get_or_insert_with(|| asked_of(analysis));
            by_requests(analysis, log, asked).map(|lane| Writer { lane, is_sure: false })
        })
    };
    analysis.logs.iter().map(|log| lane(log)).collect()
}

/// The lane that connects to the servers which the log names behind itself.
fn by_servers(analysis: &Analysis, log: &LogFile) -> Option<LaneId> {
    let mut named: BTreeMap<String, u64> = BTreeMap::new();
    for attempt in log.requests.iter().take(MOST_LINES).flat_map(|request| &request.attempts) {
        count(&mut named, &attempt.address);
    }
    for upstream in log.errors.iter().take(MOST_LINES).filter_map(|error| error.upstream) {
        count(&mut named, &upstream.to_string());
    }
    let mut votes: BTreeMap<LaneId, u64> = BTreeMap::new();
    for link in &analysis.topology.links {
        for server in &link.servers {
            if let Some(times) = named.get(&server.to_string()) {
                *votes.entry(link.from).or_default() += times;
            }
        }
    }
    votes.into_iter().max_by_key(|(lane, times)| (*times, std::cmp::Reverse(*lane))).map(|(lane, _)| lane)
}

/// What each lane was asked and how it answered.
fn asked_of(analysis: &Analysis) -> Vec<Counts> {
    let mut all = vec![Counts::default(); analysis.topology.lanes.len()];
    for exchange in analysis.exchanges() {
        let Some(status) = exchange.status().filter(|_| exchange.raw.request.is_present()) else { continue };
        let lane = analysis.link(exchange.link_id()).to;
        let hash = request_hash(exchange.method(), &exchange.target());
        *all[usize::from(lane.0)].entry((hash, status)).or_default() += 1;
    }
    all
}

/// The lane that was asked what the log tells of. Of several that were asked alike it is the one that the file is named
/// after, else the one that answered as the log says most often, else the only one that asks others as the log says it
/// did, or asks nobody.
fn by_requests(analysis: &Analysis, log: &LogFile, asked: &[Counts]) -> Option<LaneId> {
    let mut told = Counts::default();
    for request in log.requests.iter().take(MOST_LINES) {
        *told.entry((request_hash(&request.method, &request.target), request.status)).or_default() += 1;
    }
    let passes_on = log.requests.iter().take(MOST_LINES).any(|request| !request.attempts.is_empty());
    let total: u64 = told.values().sum();
    let common = |lane: LaneId| -> u64 {
        let own = &asked[usize::from(lane.0)];
        told.iter().map(|(key, times)| own.get(key).map_or(0, |others| *times.min(others))).sum()
    };
    let alike = |lane: &LaneId| {
        let common = common(*lane);
        // A log may be longer than the capture, and the capture longer than the log.
        let less = total.min(asked[usize::from(lane.0)].values().sum());
        common >= FEWEST && common * 100 >= less * ALIKE_PERCENT
    };
    let mut lanes = (0..asked.len() as u16).map(LaneId).filter(alike).collect::<Vec<_>>();
    let file = log.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let named = lanes.iter().filter(|lane| file.contains(&analysis.lane(**lane).name.to_lowercase()));
    // `nginx` is part of `ingress-nginx`: the longest name counts.
    if let Some(lane) = named.max_by_key(|lane| analysis.lane(**lane).name.len()) {
        return Some(*lane);
    }
    // A proxy's own 502s are in its log, and not in that of the application.
    let most = lanes.iter().map(|lane| common(*lane)).max();
    lanes.retain(|lane| Some(common(*lane)) == most);
    let role = if passes_on { Role::Proxy } else { Role::Server };
    if let [lane] = lanes[..] {
        return Some(lane);
    }
    let mut fitting = lanes.into_iter().filter(|lane| analysis.lane(*lane).role == role);
    fitting.next().filter(|_| fitting.next().is_none())
}
