//! Clocks carried from a reference along the ties, and which of them were set.
//!
//! A tie tells that two clocks jumped apart, not which of them. A clock that was set differs so from all that it is
//! compared with, so the reference is the capture by which the fewest clocks were set.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::capture::{CaptureId, CaptureTime};
use crate::http::CaptureFacts;

use super::super::fit::{self, Bound};
use super::super::{Clock, ClockMethod, ClockStep, MOST_CLOCK_STEPS};
use super::{Tie, reference};

/// Captures tried as the reference.
const MOST_TRIED: usize = 16;
/// Captures up to which the one in their middle is looked for.
const MOST_IN_TREE: usize = 512;
/// Clocks that differ in pace by no more than this, in parts in 10⁹, run at one.
const SAME_PACE_PPB: u64 = 1_000;
/// How much of a jump a capture's own times must show, in percent.
const SHOWN_PERCENT: i64 = 80;
/// Packets on either side of a jump that tell how long pauses are.
const NEAR: u32 = 400;

/// A jump of a clock against the reference, by its own capture: it is before the packet `after`, and behind `before`.
#[derive(Clone, Copy, Debug)]
struct Jump {
    /// By how much the offset grows.
    by: i64,
    /// Time and packet.
    before: (i64, u32),
    after: (i64, u32),
    /// The capture's own times show it.
    is_shown: bool,
}

impl Jump {
    fn meets(&self, other: &Self) -> bool {
        self.before.1 < other.after.1 && other.before.1 < self.after.1
    }
}

/// A clock in the making.
#[derive(Clone, Debug, Default)]
struct Track {
    clock: Clock,
    jumps: Vec<Jump>,
}

impl Track {
    /// What jumps up to this packet add.
    fn jumped(&self, frame: u32) -> i64 {
        let passed = self.jumps.iter().filter(|jump| frame >= jump.after.1);
        passed.fold(0, |sum, jump| sum.saturating_add(jump.by))
    }

    fn offset_at(&self, at: i64, frame: u32) -> i64 {
        self.clock.offset_at(CaptureTime(at), frame).saturating_add(self.jumped(frame))
    }
}

/// One group of captures, by one of them.
struct Tree {
    tracks: Vec<(usize, Track)>,
    /// Clocks set, and how many of these do not show in the capture's own times.
    rank: (usize, usize),
}

/// Carries the offsets from a reference along the narrowest ties, one tree for each group of captures.
pub(super) fn spread(captures: &[Arc<CaptureFacts>], ties: &[Tie], clocks: &mut [Clock]) {
    let weight =
        |at: usize| -> usize { ties.iter().filter(|t| t.a == at || t.b == at).map(|t| t.fit.weight).sum() };
    // A clock that runs at a pace of its own differs so from each that it is compared with.
    let unsteady = |at: usize| ties.iter().filter(|t| (t.a == at || t.b == at) && !t.fit.is_steady()).count();
    let name = |at: usize| (captures[at].info.first, &captures[at].info.path);
    let mut order: Vec<usize> = (0..captures.len()).collect();
    // Not by index: the order in which files are given must not choose the clock.
    order.sort_by(|&a, &b| {
        let rank = |at: usize| (unsteady(at), Reverse(weight(at)));
        rank(a).cmp(&rank(b)).then_with(|| name(a).cmp(&name(b))).then(a.cmp(&b))
    });
    let mut done = vec![false; captures.len()];
    let mut group = 0;
    for &start in &order {
        if done[start] {
            continue;
        }
        let mut tree = grow(captures, ties, start);
        if tree.rank.0 > 0 {
            let is_member = |at: &usize| tree.tracks.iter().any(|(member, _)| member == at);
            let others = order.iter().copied().filter(is_member).take(MOST_TRIED).filter(|&at| at != start);
            let others: Vec<Tree> = others.map(|at| grow(captures, ties, at)).collect();
            tree =
                others.into_iter().fold(tree, |best, next| if next.rank < best.rank { next } else { best });
        } else if let Some(middle) = middle(&tree) {
            tree = grow(captures, ties, middle);
        }
        let is_alone = tree.tracks.len() == 1 && captures.len() > 1;
        for (at, clock) in finish(&tree.tracks, ties) {
            done[at] = true;
            clocks[at] = Clock { group, ..clock };
            // Captures tied among themselves only: they agree with each other, and with the others by chance.
            if group > 0 || is_alone {
                (clocks[at].band_ns, clocks[at].method) = (None, ClockMethod::None);
            }
        }
        group += 1;
    }
}

/// The capture from which the widest band of a tree is narrowest, where that is another than its first: bands add up on the
/// way. Of those that run at the pace of most, else all of them would seem to drift.
fn middle(tree: &Tree) -> Option<usize> {
    let tracks = &tree.tracks;
    if !(3..=MOST_IN_TREE).contains(&tracks.len()) {
        return None;
    }
    let pace = |at: usize| tracks[at].1.clock.drift_ppb;
    let band = |at: usize| tracks[at].1.clock.band_ns.unwrap_or_default();
    let above = |at: usize| {
        let from = tracks[at].1.clock.against?;
        tracks.iter().position(|(capture, _)| *capture == from.index())
    };
    // Those before it in the list are known.
    let mut apart = vec![vec![0i64; tracks.len()]; tracks.len()];
    for at in 0..tracks.len() {
        let Some(from) = above(at) else { continue };
        let more = band(at).saturating_sub(band(from));
        let ways: Vec<i64> = apart[from][..at].iter().map(|way| way.saturating_add(more)).collect();
        ways.iter().zip(&mut apart).for_each(|(&way, others)| others[at] = way);
        apart[at][..at].copy_from_slice(&ways);
    }
    let in_step = |at: usize| {
        let paces = (0..tracks.len()).map(pace);
        paces.filter(|other| pace(at).abs_diff(*other) <= SAME_PACE_PPB).count()
    };
    let most = (0..tracks.len()).map(in_step).max()?;
    let widest = |at: usize| apart[at].iter().copied().max().unwrap_or_default();
    let best = (0..tracks.len()).filter(|&at| in_step(at) == most).min_by_key(|&at| (widest(at), at))?;
    (best != 0).then_some(tracks[best].0)
}

/// The clocks that ties lead to from this capture, against its own.
fn grow(captures: &[Arc<CaptureFacts>], ties: &[Tie], start: usize) -> Tree {
    let name = |at: usize| (captures[at].info.first, &captures[at].info.path);
    let mut known: Vec<Option<Track>> = vec![None; captures.len()];
    known[start] = Some(Track { clock: reference(), ..Track::default() });
    let mut order = vec![start];
    loop {
        let edge =
            ties.iter().filter(|tie| known[tie.a].is_some() != known[tie.b].is_some()).min_by(|x, y| {
                let far = |tie: &Tie| if known[tie.a].is_some() { tie.b } else { tie.a };
                (x.fit.band_ns).cmp(&y.fit.band_ns).then_with(|| name(far(x)).cmp(&name(far(y))))
            });
        let Some(tie) = edge else { break };
        let (from, to, near) = if known[tie.a].is_some() { (tie.a, tie.b, 0) } else { (tie.b, tie.a, 1) };
        let Some(origin) = &known[from] else { break };
        let mut track = carry(origin, tie, near);
        for jump in &mut track.jumps {
            *jump = settle(&captures[to], *jump);
        }
        track.clock.against = Some(CaptureId(from as u16));
        known[to] = Some(track);
        order.push(to);
    }
    let tracks: Vec<(usize, Track)> =
        order.into_iter().filter_map(|at| Some((at, known[at].take()?))).collect();
    let jumps = || tracks.iter().flat_map(|(_, track)| &track.jumps);
    let rank = (jumps().count(), jumps().filter(|jump| !jump.is_shown).count());
    Tree { tracks, rank }
}

/// The clock at the far end of a tie, whose near end is its A (0) or its B (1).
fn carry(from: &Track, tie: &Tie, near: usize) -> Track {
    let (fit, far) = (&tie.fit, 1 - near);
    let [near_frame, far_frame] = [near, far].map(|side| fit.pivot.frames[side]);
    // What the two clocks show at one moment; of the pivot's own times one is later by a delay.
    let shown = [fit.pivot.at, fit.pivot.at.saturating_add(fit.delta_ns)];
    let near_offset = from.offset_at(shown[near], near_frame);
    // Captures of one host, or of hosts in step: times stay as they were recorded.
    let is_plain = fit.drift == 0.0 && fit.delta_ns.saturating_abs() <= fit.band_ns;
    let between = if is_plain { 0 } else { shown[near].saturating_sub(shown[far]) };
    let far_slope = if far == 1 { -fit.drift / (1.0 + fit.drift) } else { fit.drift };
    let drift = far_slope + from.clock.drift_ppb as f64 / 1e9 * (1.0 + far_slope);
    let clock = Clock {
        band_ns: from.clock.band_ns.map(|band| band.saturating_add(fit.band_ns)),
        method: tie.method,
        pivot: CaptureTime(shown[far]),
        drift_ppb: (drift * 1e9).round() as i64,
        compared: u32::try_from(fit.weight).unwrap_or(u32::MAX),
        ..Clock::default()
    };
    let mut track = Track { clock, jumps: jumps(from, tie, near) };
    let offset = near_offset.saturating_add(between).saturating_sub(track.jumped(far_frame));
    (track.clock.offset_ns, track.clock.computed_ns) = (offset, offset);
    track
}

/// The jumps of the far clock: those of the tie, and those of the near clock. Of these, two at one moment undo each other
/// where the near clock was the one that was set.
fn jumps(from: &Track, tie: &Tie, near: usize) -> Vec<Jump> {
    let far = 1 - near;
    let by_side = |jump: &fit::Jump, side: usize, by: i64| {
        let moment = |bound: &Bound| (bound.time(side), bound.frames[side]);
        Jump { by, before: moment(&jump.before), after: moment(&jump.after), is_shown: false }
    };
    let mut theirs = from.jumps.clone();
    let mut all: Vec<Jump> = Vec::new();
    for jump in &tie.fit.jumps {
        // Where B's clock is set forward, δ grows: from its times more is taken away.
        let by = if far == 1 { jump.by.saturating_neg() } else { jump.by };
        let (by_near, mut by_far) = (by_side(jump, near, by), by_side(jump, far, by));
        if let Some(at) = theirs.iter().position(|other| other.meets(&by_near)) {
            by_far.by = by_far.by.saturating_add(theirs.remove(at).by);
        }
        all.push(by_far);
    }
    let band = from.clock.band_ns.unwrap_or_default().saturating_add(tie.fit.band_ns);
    all.retain(|jump| jump.by.saturating_abs() > band.saturating_mul(2));
    all.extend(theirs.into_iter().filter_map(|jump| from_afar(&jump, tie, near)));
    all.sort_by_key(|jump| (jump.after.1, jump.before.1));
    all.truncate(MOST_CLOCK_STEPS);
    all
}

/// A jump of the near clock by the far one, which jumped with it: between the packets that both hold.
fn from_afar(jump: &Jump, tie: &Tie, near: usize) -> Option<Jump> {
    let far = 1 - near;
    let bounds = || tie.bounds.to_server.iter().chain(&tie.bounds.to_client);
    let moment = |bound: &Bound| (bound.time(far), bound.frames[far]);
    // Outside what both hold the two tell nothing of each other: it stays as it was.
    let before = bounds().filter(|b| b.frames[near] <= jump.before.1).max_by_key(|b| b.frames[near])?;
    let after = bounds().filter(|b| b.frames[near] >= jump.after.1).min_by_key(|b| b.frames[near])?;
    Some(Jump { before: moment(before), after: moment(after), is_shown: false, ..*jump })
}

/// Looks for the packets between which the capture's own times jump.
fn settle(facts: &CaptureFacts, jump: Jump) -> Jump {
    let around = moments(facts, jump.before.1.saturating_sub(NEAR), jump.after.1.saturating_add(NEAR));
    let start = around.partition_point(|moment| moment.0 < jump.before.1);
    let end = around.partition_point(|moment| moment.0 <= jump.after.1).max(start);
    // The clock was set by the contrary of what is added to its times from there on.
    let moved = |pair: &[(u32, i64)]| {
        let by = pair[1].1.saturating_sub(pair[0].1);
        if jump.by > 0 { by.saturating_neg() } else { by }
    };
    let Some(most) = around[start..end].windows(2).max_by_key(|pair| moved(pair)) else { return jump };
    let size = jump.by.saturating_abs();
    if moved(most) < size / 100 * SHOWN_PERCENT {
        return jump;
    }
    // No clock goes back by itself. A leap forward may be a pause, where there are others as long.
    let mut others = around.windows(2).filter(|pair| pair[0].0 != most[0].0);
    let is_shown = jump.by > 0 || others.all(|pair| moved(pair) < size / 2);
    Jump { before: (most[0].1, most[0].0), after: (most[1].1, most[1].0), is_shown, ..jump }
}

/// Packets from one to another with their times, in order.
fn moments(facts: &CaptureFacts, first: u32, last: u32) -> Vec<(u32, i64)> {
    let events = facts.events.iter().map(|event| (event.frame, event.at.0));
    let messages = facts.exchanges.iter().flat_map(|exchange| [&exchange.request, &exchange.response]);
    let messages = messages
        .flat_map(|message| [(message.first_frame, message.start.0), (message.last_frame, message.end.0)]);
    let ends = facts.flows.iter().flat_map(|flow| [flow.first, flow.last]).map(|(at, frame)| (frame, at.0));
    let is_between = |moment: &(u32, i64)| moment.0 > 0 && (first..=last).contains(&moment.0);
    let mut all: Vec<(u32, i64)> = events.chain(messages).chain(ends).filter(is_between).collect();
    all.sort_unstable();
    all.dedup_by_key(|moment| moment.0);
    all
}

/// The clocks with their steps.
fn finish(tracks: &[(usize, Track)], ties: &[Tie]) -> Vec<(usize, Clock)> {
    let told = told(tracks, ties);
    let mut clocks: Vec<(usize, Clock)> = Vec::with_capacity(tracks.len());
    for (at, track) in tracks {
        let mut clock = track.clock;
        for (slot, jump) in clock.steps.iter_mut().zip(&track.jumps) {
            // Of a clock that was set forward none of the times between are shown: any of them will do.
            let (from, to) = (jump.before.0, jump.after.0);
            let time = if jump.by < 0 { from.saturating_add(to.saturating_sub(from) / 2) } else { to };
            *slot = Some(ClockStep {
                at: CaptureTime(time),
                by_ns: jump.by,
                frame: jump.after.1,
                is_relative: is_relative(tracks, &told, track, jump),
            });
        }
        clocks.push((*at, clock));
    }
    if let [(first, _), (second, clock), ..] = clocks[..]
        && clock.against == Some(CaptureId(first as u16))
    {
        let own = &mut clocks[0].1;
        (own.method, own.compared, own.against) =
            (clock.method, clock.compared, Some(CaptureId(second as u16)));
    }
    clocks
}

/// The captures of a tie, and the session time over which it tells of them.
struct Told {
    ends: [usize; 2],
    from: i64,
    to: i64,
}

fn told(tracks: &[(usize, Track)], ties: &[Tie]) -> Vec<Told> {
    let told = |tie: &Tie| {
        let (_, track) = tracks.iter().find(|(at, _)| *at == tie.a)?;
        let times = || {
            let bounds = tie.bounds.to_server.iter().chain(&tie.bounds.to_client);
            bounds.map(|bound| bound.at.saturating_add(track.offset_at(bound.at, bound.frames[0])))
        };
        Some(Told { ends: [tie.a, tie.b], from: times().min()?, to: times().max()? })
    };
    ties.iter().filter_map(told).collect()
}

/// Whether the others may have been set in place of this clock: no more of them keep with the reference than jump with
/// it, and its own times show nothing.
fn is_relative(tracks: &[(usize, Track)], told: &[Told], track: &Track, jump: &Jump) -> bool {
    let span = |track: &Track, jump: &Jump| {
        let at = |(at, frame): (i64, u32)| at.saturating_add(track.offset_at(at, frame));
        (at(jump.before), at(jump.after))
    };
    let (from, to) = span(track, jump);
    let jumps_too = |other: &Track| {
        let band = other.clock.band_ns.unwrap_or_default();
        other.jumps.iter().any(|one| {
            let (first, last) = span(other, one);
            let is_then = first <= to.saturating_add(band) && from <= last.saturating_add(band);
            is_then && one.by.abs_diff(jump.by) <= jump.by.unsigned_abs() / 2
        })
    };
    // Who is not known so well, or not then, says nothing.
    let is_clear = |other: &&(usize, Track)| {
        let is_told = told.iter().any(|one| one.ends.contains(&other.0) && one.from <= from && to <= one.to);
        is_told && other.1.clock.band_ns.is_some_and(|band| band.saturating_mul(2) < jump.by.saturating_abs())
    };
    let (with, against): (Vec<bool>, Vec<bool>) =
        tracks.iter().filter(is_clear).map(|(_, other)| jumps_too(other)).partition(|jumps| *jumps);
    !jump.is_shown && against.len() <= with.len()
}
