//! Which captures belong together: those of one chain at one time are a recording, and nothing links two of them.
//!
//! ```text
//!   monday/nginx.pcap  ──same packets── monday/app.pcap        one recording
//!   tuesday/nginx.pcap                                         the same hops at another time: apart from it
//!   other/any.pcap                                             other hops: another recording
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::cause::Causes;
use super::lanes::Seen;
use super::{Remark, RemarkKind};
use crate::capture::{CaptureId, short_name};

/// Captures that nothing ties and that hold the same servers are of different times from this gap on; files that a
/// capturing program cuts one after the other have none, in nanoseconds.
const LEAST_GAP_NS: i64 = 10_000_000_000;
/// Recordings that a remark names, and captures of each.
const NAMED: usize = 4;

/// Pairs of groups of captures (those whose clocks are tied) that hold the same servers at different times.
#[derive(Debug, Default)]
pub(super) struct Apart(BTreeSet<(u16, u16)>);

impl Apart {
    /// Whether nothing may link the two.
    pub(super) fn are(&self, one: u16, other: u16) -> bool {
        !self.0.is_empty() && self.0.contains(&(one.min(other), one.max(other)))
    }

    /// Compares the groups by the servers that they hold and when.
    pub(super) fn find(seen: &Seen<'_>) -> Self {
        let mut apart = Self::default();
        if seen.clocks.iter().all(|clock| clock.group == 0) {
            return apart;
        }
        let mut servers: BTreeMap<SocketAddr, BTreeSet<u16>> = BTreeMap::new();
        let group = |at: usize| seen.clocks[seen.capture(at).index()].group;
        for at in 0..seen.len() {
            servers.entry(seen.ends[at].1).or_default().insert(group(at));
        }
        let spans = seen.spans_by(group);
        for groups in servers.values().filter(|groups| groups.len() > 1) {
            for (&one, a) in groups.iter().map(|group| (group, spans[group])) {
                for (&other, b) in groups.range(one + 1..).map(|group| (group, spans[group])) {
                    let gap = b.0.saturating_sub(a.1).max(a.0.saturating_sub(b.1));
                    if gap >= LEAST_GAP_NS {
                        apart.0.insert((one, other));
                    }
                }
            }
        }
        apart
    }
}

/// The recording of each capture; `None` for captures without a connection.
pub(super) fn find(seen: &Seen<'_>, causes: &Causes, apart: &Apart) -> Vec<Option<usize>> {
    let group_of = |at: usize| usize::from(seen.clocks[seen.capture(at).index()].group);
    let count = seen.clocks.iter().map(|clock| usize::from(clock.group) + 1).max().unwrap_or(0);
    if count <= 1 {
        return vec![Some(0); seen.clocks.len()];
    }
    let mut held = vec![false; count];
    let mut endpoints: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); causes.endpoints.len()];
    for (at, &leg) in causes.leg_of.iter().enumerate() {
        endpoints[causes.legs[leg].endpoint].insert(group_of(at));
        held[group_of(at)] = true;
    }
    let mut by_host: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
    for (endpoint, groups) in causes.endpoints.iter().zip(&endpoints) {
        by_host.entry(endpoint.host).or_default().extend(groups);
    }
    let mut root: Vec<usize> = (0..count).collect();
    for groups in &endpoints {
        join(&mut root, groups, groups, apart);
    }
    for leg in &causes.legs {
        let own = &endpoints[leg.endpoint];
        for parent in &leg.parents {
            join(&mut root, own, &endpoints[parent.0], apart);
        }
        // The host that asks here is asked there.
        if let Some(host) = by_host.get(&leg.host).filter(|_| !leg.client.is_loopback()) {
            join(&mut root, own, host, apart);
        }
    }
    let groups = seen.clocks.iter().map(|clock| usize::from(clock.group));
    groups.map(|group| held[group].then(|| root[group])).collect()
}

/// Puts two members, and all that belong with either, into one set, which its lowest member stands for.
pub(super) fn unite(root: &mut [usize], one: usize, other: usize) {
    let (low, high) = (root[one].min(root[other]), root[one].max(root[other]));
    if low != high {
        root.iter_mut().filter(|r| **r == high).for_each(|r| *r = low);
    }
}

/// Makes one recording of the groups of two sets, but for those that are apart.
fn join(root: &mut [usize], some: &BTreeSet<usize>, others: &BTreeSet<usize>, apart: &Apart) {
    for &a in some {
        for &b in others {
            if !apart.are(a as u16, b as u16) {
                unite(root, a, b);
            }
        }
    }
}

/// Says that the captures are of several recordings, where they are.
pub(super) fn remark(seen: &Seen<'_>, recordings: &[Option<usize>], apart: &Apart) -> Option<Remark> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, recording) in recordings.iter().enumerate() {
        if let Some(recording) = recording {
            members.entry(*recording).or_default().push(at);
        }
    }
    if members.len() < 2 {
        return None;
    }
    let paths = || seen.captures.iter().map(|capture| capture.info.path.as_path());
    let name = |at: usize| short_name(&seen.captures[at].info.path, paths());
    let words = |all: &Vec<usize>| {
        let mut parts: Vec<String> = all.iter().take(NAMED).map(|&at| name(at)).collect();
        if all.len() > NAMED {
            parts.push(format!("{} more", all.len() - NAMED));
        }
        parts.join(", ")
    };
    let mut all: Vec<String> = members.values().map(words).collect();
    all.sort();
    let count = all.len();
    all.truncate(NAMED);
    if count > NAMED {
        all.push(format!("{} more", count - NAMED));
    }
    let why = if apart.0.is_empty() {
        "no packet, no request and no address of a server"
    } else {
        "no packet and no request, and servers only at different times by their clocks"
    };
    // A window shows the first words only: they say what to beware of.
    let detail = format!(
        "{count} separate recordings: the figures of a hop that several hold are sums, and no request is followed from \
         one to another. For a report of one, give only its captures. The recordings: {}. They have in common {why}.",
        all.join(" | ")
    );
    let captures = (0..).map(CaptureId).zip(recordings).filter(|(_, held)| held.is_some()).map(|(id, _)| id);
    Some(Remark { kind: RemarkKind::UnrelatedCaptures, detail, captures: captures.collect() })
}

/// A number for each leg that is the same for legs of one recording, and for all that share a server.
pub(super) fn of_legs(seen: &Seen<'_>, causes: &Causes, recordings: &[Option<usize>]) -> Vec<usize> {
    if recordings.iter().all(|recording| *recording == Some(0)) {
        return vec![0; causes.legs.len()];
    }
    // A server that several recordings hold is one hop, called by one lane of users.
    let count = recordings.iter().flatten().max().map_or(0, |last| last + 1);
    let mut root: Vec<usize> = (0..count).collect();
    let mut holder: Vec<Option<usize>> = vec![None; causes.endpoints.len()];
    for (at, &leg) in causes.leg_of.iter().enumerate() {
        let Some(recording) = recordings[seen.capture(at).index()] else { continue };
        let holder = &mut holder[causes.legs[leg].endpoint];
        unite(&mut root, recording, holder.unwrap_or(recording));
        *holder = Some(recording);
    }
    let of = |leg: &super::cause::Leg| holder[leg.endpoint].map_or(0, |recording| root[recording]);
    causes.legs.iter().map(of).collect()
}
