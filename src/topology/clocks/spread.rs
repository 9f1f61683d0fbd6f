//! Clocks carried from a reference along the ties, and which of them were set.
//!
//! A tie tells that two clocks jumped apart, not which of them. A clock that was set differs so from all that it is
//! compared with, so the reference is the capture by which the fewest clocks were set; of these, one that shows the time
//! that most show.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::capture::{CaptureId, CaptureTime, SessionTime};
use crate::http::CaptureFacts;

use super::super::fit::{self, Bound};
use super::super::{Clock, ClockMethod, ClockStep, MOST_CLOCK_STEPS};
use super::{Tie, components, reference};

/// Captures tried as the reference.
const MOST_TRIED: usize = 16;
/// Captures up to which the one in their middle is looked for.
const MOST_IN_TREE: usize = 512;
/// Clocks that are no further apart than this show one time: first those whose hosts keep to no time server, then others.
const SAME_TIME_NS: [u64; 2] = [1_000_000_000, 10_000_000];
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
    /// The tie that it was told by, by its place.
    tie: Option<usize>,
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
    /// Clocks set, how many of these do not show in the capture's own times, and how many clocks show another time.
    rank: (usize, usize, [usize; 2]),
}

/// The band of a tie at the worst moment of the time that both captures recorded.
fn reach_ns(captures: &[Arc<CaptureFacts>], tie: &Tie) -> i64 {
    let fit = &tie.fit;
    let times = || tie.bounds.to_server.iter().chain(&tie.bounds.to_client).map(|bound| bound.at);
    let [one, other] = [tie.a, tie.b].map(|at| (captures[at].info.first, captures[at].info.last));
    let (Some(from), Some(to)) = (times().min(), times().max()) else { return fit.band_ns };
    let ((Some(first), Some(last)), (Some(b_first), Some(b_last))) = (one, other) else { return fit.band_ns };
    // By A's clock.
    let first = first.0.max(b_first.0.saturating_sub(fit.delta_ns));
    let last = last.0.min(b_last.0.saturating_sub(fit.delta_ns));
    let outside = from.saturating_sub(first).max(last.saturating_sub(to)).max(0);
    fit.band_ns.saturating_add((outside as f64 * fit.pace) as i64)
}

/// Carries the offsets from a reference along the narrowest ties, one tree for each group of captures.
pub(super) fn spread(captures: &[Arc<CaptureFacts>], ties: &[Tie], clocks: &mut [Clock]) {
    let reaches: Vec<i64> = ties.iter().map(|tie| reach_ns(captures, tie)).collect();
    let grow = |start: usize| grow(captures, ties, &reaches, start);
    let weight =
        |at: usize| -> usize { ties.iter().filter(|t| t.a == at || t.b == at).map(|t| t.fit.weight).sum() };
    // A clock that runs at a pace of its own differs so from each that it is compared with.
    let unsteady = |at: usize| ties.iter().filter(|t| (t.a == at || t.b == at) && !t.fit.is_steady()).count();
    let name = |at: usize| (captures[at].info.first, &captures[at].info.path);
    // Session time is that of the most captures.
    let root = components(captures.len(), ties);
    let mut members = vec![0usize; captures.len()];
    root.iter().for_each(|&root| members[root] += 1);
    let mut order: Vec<usize> = (0..captures.len()).collect();
    // Not by index: the order in which files are given must not choose the clock.
    order.sort_by(|&a, &b| {
        let rank = |at: usize| (Reverse(members[root[at]]), unsteady(at), Reverse(weight(at)));
        rank(a).cmp(&rank(b)).then_with(|| name(a).cmp(&name(b))).then(a.cmp(&b))
    });
    let mut done = vec![false; captures.len()];
    let mut group = 0;
    for &start in &order {
        if done[start] {
            continue;
        }
        let mut tree = grow(start);
        if tree.rank.0 > 0 {
            let is_member = |at: &usize| tree.tracks.iter().any(|(member, _)| member == at);
            let others = order.iter().copied().filter(is_member).take(MOST_TRIED).filter(|&at| at != start);
            let others: Vec<Tree> = others.map(grow).collect();
            tree =
                others.into_iter().fold(tree, |best, next| if next.rank < best.rank { next } else { best });
        } else if let Some(middle) = middle(&tree) {
            tree = grow(middle);
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
/// way. Of those that run at the pace of most and show the time that most show, else all of them would seem to drift, or to
/// be off.
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
    let shows = |at: usize| tracks[at].1.clock.offset_ns;
    let with = |at: usize, most: u64| {
        (0..tracks.len()).filter(|&other| shows(at).abs_diff(shows(other)) <= most).count()
    };
    let common = |at: usize| (in_step(at), SAME_TIME_NS.map(|most| with(at, most)));
    let most = (0..tracks.len()).map(common).max()?;
    let widest = |at: usize| apart[at].iter().copied().max().unwrap_or_default();
    let best = (0..tracks.len()).filter(|&at| common(at) == most).min_by_key(|&at| (widest(at), at))?;
    (best != 0).then_some(tracks[best].0)
}

/// The clocks that ties lead to from this capture, against its own.
fn grow(captures: &[Arc<CaptureFacts>], ties: &[Tie], reaches: &[i64], start: usize) -> Tree {
    let name = |at: usize| (captures[at].info.first, &captures[at].info.path);
    let mut known: Vec<Option<Track>> = vec![None; captures.len()];
    known[start] = Some(Track { clock: reference(), ..Track::default() });
    let mut order = vec![start];
    loop {
        let edge = (0..ties.len())
            .filter(|&at| known[ties[at].a].is_some() != known[ties[at].b].is_some())
            .min_by(|&x, &y| {
                let far = |tie: &Tie| if known[tie.a].is_some() { tie.b } else { tie.a };
                let name = |tie: usize| name(far(&ties[tie]));
                reaches[x].cmp(&reaches[y]).then_with(|| name(x).cmp(&name(y)))
            });
        let Some(edge) = edge else { break };
        let tie = &ties[edge];
        let (from, to, near) = if known[tie.a].is_some() { (tie.a, tie.b, 0) } else { (tie.b, tie.a, 1) };
        let Some(origin) = &known[from] else { break };
        let mut track = Track { tie: Some(edge), ..carry(origin, tie, near) };
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
    let off =
        |most: u64| tracks.iter().filter(|(_, track)| track.clock.offset_ns.unsigned_abs() > most).count();
    let unshown = jumps().filter(|jump| !jump.is_shown).count();
    let rank = (jumps().count(), unshown, SAME_TIME_NS.map(off));
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
    // Then they are off what the bounds are the middle of.
    let plain_ns = if is_plain { fit.delta_ns.saturating_abs() } else { 0 };
    let own_ns = fit.band_ns.saturating_add(plain_ns);
    let far_slope = if far == 1 { -fit.drift / (1.0 + fit.drift) } else { fit.drift };
    let drift = far_slope + from.clock.drift_ppb as f64 / 1e9 * (1.0 + far_slope);
    let clock = Clock {
        band_ns: from.clock.band_ns.map(|band| band.saturating_add(own_ns)),
        method: tie.method,
        pivot: CaptureTime(shown[far]),
        drift_ppb: (drift * 1e9).round() as i64,
        compared: u32::try_from(fit.weight).unwrap_or(u32::MAX),
        ..Clock::default()
    };
    let mut track = Track { clock, tie: None, jumps: jumps(from, tie, near) };
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
        if let Some(tie) = track.tie {
            let against = clocks.iter().find(|(near, _)| clock.against == Some(CaptureId(*near as u16)));
            let near = against.map(|(_, near)| *near).unwrap_or_default();
            let own = told[tie].as_ref().map(|told| [SessionTime(told.from), SessionTime(told.to)]);
            clock.compared_in = match (near.compared_in, own) {
                (Some(one), Some(other)) => Some([one[0].max(other[0]), one[1].min(other[1])]),
                (one, other) => one.or(other),
            };
            // Each is off by no more than by both outside what both hold.
            let pace = (ties[tie].fit.pace * 1e9).ceil() as i64;
            clock.outside_ppb = near.outside_ppb.saturating_add(pace);
        }
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

/// For each tie; `None` without a packet or outside the group.
fn told(tracks: &[(usize, Track)], ties: &[Tie]) -> Vec<Option<Told>> {
    let told = |tie: &Tie| {
        let (_, track) = tracks.iter().find(|(at, _)| *at == tie.a)?;
        let times = || {
            let bounds = tie.bounds.to_server.iter().chain(&tie.bounds.to_client);
            bounds.map(|bound| bound.at.saturating_add(track.offset_at(bound.at, bound.frames[0])))
        };
        Some(Told { ends: [tie.a, tie.b], from: times().min()?, to: times().max()? })
    };
    ties.iter().map(told).collect()
}

/// Whether the others may have been set in place of this clock: no more of them keep with the reference than jump with
/// it, and its own times show nothing.
fn is_relative(tracks: &[(usize, Track)], told: &[Option<Told>], track: &Track, jump: &Jump) -> bool {
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
        let is_told =
            told.iter().flatten().any(|one| one.ends.contains(&other.0) && one.from <= from && to <= one.to);
        is_told && other.1.clock.band_ns.is_some_and(|band| band.saturating_mul(2) < jump.by.saturating_abs())
    };
    let (with, against): (Vec<bool>, Vec<bool>) =
        tracks.iter().filter(is_clear).map(|(_, other)| jumps_too(other)).partition(|jumps| *jumps);
    !jump.is_shown && against.len() <= with.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Script;
    use crate::topology::{Overrides, build};

    const US: i64 = 1_000;
    const MS: i64 = 1_000_000;
    const S: i64 = 1_000_000_000;

    /// Captures of the first hops of a chain, by clocks that are off by `clock` of the true time. Each hop asks the next one
    /// so often.
    fn chain(links: &[i64], hops: usize, clock: impl Fn(usize, i64) -> i64) -> Vec<Arc<CaptureFacts>> {
        let capture = |hop: usize| {
            let mut script = Script::new(&format!("{hop}.pcap"));
            let shown = |at: i64| at + clock(hop, at);
            for (link, &count) in
                links.iter().enumerate().filter(|(link, _)| hop == *link || hop == *link + 1)
            {
                let delay = 30 * US * i64::from(link < hop);
                let (client, server) = (format!("10.0.{link}.1:3000"), format!("10.0.{}.2:80", link + 1));
                let start = link as i64 * MS + delay;
                let conn = script.connection(shown(start), &client, &server, 100 * link as u32);
                for n in 0..count {
                    let at = start + MS + n * 40 * MS;
                    script.request(conn, shown(at), "GET", &format!("/{n}"), &[], "");
                    script.response(conn, shown(at + 20 * MS - 2 * delay), 200, 20);
                }
            }
            script.finish()
        };
        (0..hops).map(capture).collect()
    }

    #[test]
    fn the_reference_is_a_clock_that_most_agree_with() {
        // The one in the middle, from which bands are narrowest, is an hour off.
        let captures = chain(&[200, 200], 3, |hop, _| if hop == 1 { 3_600 * S } else { 0 });
        let clocks = build(&captures, &Overrides::default()).clocks;
        let off: Vec<i64> = clocks.iter().map(|clock| clock.offset_ns / (60 * S)).collect();
        assert_eq!(off, [0, -60, 0], "{clocks:?}");
    }

    #[test]
    fn one_that_nothing_ties_is_not_the_reference_where_the_others_drift() {
        let mut captures = chain(&[200], 2, |hop, at| hop as i64 * at / 20_000);
        let mut alone = Script::new("alone.pcap");
        let conn = alone.connection(0, "10.9.1.1:3000", "10.9.1.2:80", 100);
        alone.request(conn, MS, "GET", "/other", &[], "");
        alone.response(conn, 2 * MS, 200, 20);
        captures.push(alone.finish());
        let clocks = build(&captures, &Overrides::default()).clocks;
        let known: Vec<bool> = clocks.iter().map(|clock| clock.band_ns.is_some()).collect();
        assert_eq!(known, [true, true, false], "{clocks:?}");
    }

    #[test]
    fn what_is_shown_as_it_was_recorded_is_inside_the_band_where_the_clocks_differ_by_little() {
        for by in [0, 10 * US, 25 * US, -25 * US] {
            let captures = chain(&[200], 2, |hop, _| hop as i64 * by);
            let clocks = build(&captures, &Overrides::default()).clocks;
            let (told, band) =
                (clocks[1].offset_ns - clocks[0].offset_ns, clocks[0].band_ns.max(clocks[1].band_ns));
            assert!((told + by).abs() <= band.unwrap(), "{by} {clocks:?}");
        }
    }

    #[test]
    fn behind_the_packets_that_both_hold_the_band_grows_with_the_drift_that_may_be() {
        for (ppm, shared) in [(20, 50), (-40, 25), (0, 50), (20, 200)] {
            let captures = chain(&[shared, 200], 2, |hop, at| hop as i64 * at / 1_000_000 * ppm);
            let clocks = build(&captures, &Overrides::default()).clocks;
            let of = |hop: usize, at: i64| {
                let (shown, clock) = (at + hop as i64 * at / 1_000_000 * ppm, clocks[hop]);
                let session = clock.session(CaptureTime(shown), u32::MAX);
                (session.0, clock.band_at(session).unwrap())
            };
            for at in [0, 4 * S, 8 * S] {
                let ((one, own), (other, band)) = (of(0, at), of(1, at));
                assert!((one - other).abs() <= own.max(band), "{ppm} {at} {clocks:?}");
            }
            let band = clocks.iter().filter_map(|clock| clock.band_ns).max().unwrap();
            assert!(band < 100 * US && (shared < 200 || of(1, 8 * S).1 < 80 * US), "{clocks:?}");
        }
    }
}
