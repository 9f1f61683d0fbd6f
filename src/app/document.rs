//! An analysis with what the panes need made once, on the loading thread: failures in time order and statistics.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::series::Series;
use crate::analysis::{Analysis, ExchangeView};
use crate::capture::{CaptureId, SessionTime};
use crate::session::Held;
use crate::timeline::Model;
use crate::topology::{ExchangeId, LaneId};

/// What is open.
#[derive(Clone)]
pub struct Document {
    /// Facts and verdicts.
    pub analysis: Arc<Analysis>,
    /// Failed exchanges in time order.
    pub failures: Arc<Vec<(SessionTime, ExchangeId)>>,
    /// The figures of the statistics pane.
    pub series: Arc<Series>,
    /// The lane at which each capture seems to have been taken.
    pub taken_at: Arc<Vec<Option<LaneId>>>,
    /// Which captures hold connections of which servers' addresses.
    pub heard: Arc<HashSet<(CaptureId, IpAddr)>>,
    /// The timeline's lanes and rows.
    pub model: Arc<Model>,
    /// Set when this is only what a snapshot holds.
    pub held: Option<Arc<Held>>,
    /// Distinguishes this document from all others of this run.
    pub generation: u64,
}

impl Document {
    /// Makes a document of an analysis.
    pub fn new(analysis: Analysis) -> Self {
        let mut failures: Vec<_> =
            analysis.exchanges().filter(ExchangeView::is_failure).map(|x| (x.settled(), x.id)).collect();
        failures.sort_unstable();
        let series = Arc::new(Series::new(&analysis));
        let model = Arc::new(Model::new(&analysis));
        let taken_at = Arc::new(analysis.topology.taken_at(analysis.captures.len()));
        let heard = Arc::new(heard(&analysis));
        Self {
            analysis: Arc::new(analysis),
            failures: Arc::new(failures),
            series,
            taken_at,
            heard,
            model,
            held: None,
            generation: next_generation(),
        }
    }

    /// Makes a document of what a snapshot holds, its captures being gone or changed.
    pub fn of_snapshot(analysis: Analysis, held: Held) -> Self {
        Self { held: Some(Arc::new(held)), ..Self::new(analysis) }
    }
}

fn heard(analysis: &Analysis) -> HashSet<(CaptureId, IpAddr)> {
    let topology = &analysis.topology;
    let serves = topology.lanes.iter().flat_map(|lane| &lane.serves);
    let servers: HashSet<IpAddr> = serves.map(SocketAddr::ip).collect();
    let mut heard = HashSet::new();
    for connection in &topology.connections {
        let ends = [connection.client.ip(), connection.server.ip()];
        for end in ends.into_iter().filter(|end| servers.contains(end)) {
            heard.extend(connection.sightings.iter().map(|sighting| (sighting.capture, end)));
        }
    }
    heard
}

fn next_generation() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    // The only use of the number is to differ from the others.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
