//! Notes and selection carried over to a new analysis: ids change when captures are added, which may complete those that
//! were there, or lanes and clocks edited.

use hashbrown::HashMap;

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::{CaptureId, CaptureTime, Frame, SessionTime};
use crate::diagnose::Finding;
use crate::diagnose::words::{offset, offset_to};
use crate::http::Exchange;
use crate::session::{Selection, Target};
use crate::topology::{Clock, ConnectionId, ExchangeId, Sighting};

/// Finds what an older analysis knew by id in a newer one of the same captures, or more of them.
pub struct Remap<'a> {
    old: &'a Analysis,
    new: &'a Analysis,
    flows: Flows,
}

impl<'a> Remap<'a> {
    /// From the ids of `old` to those of `new`.
    pub fn new(old: &'a Analysis, new: &'a Analysis) -> Self {
        let sightings =
            |c: ConnectionView<'a>| c.inner.sightings.iter().map(move |s| (first_frame(new, *s), c.id));
        Self { old, new, flows: new.connections().flat_map(sightings).collect() }
    }

    /// The target with the ids of the new analysis; what that no longer holds becomes its moment.
    pub fn target(&self, target: Target) -> Target {
        match target {
            Target::Exchange(id) => exchange(id, self.old, self.new, &self.flows),
            Target::Connection(id) => connection(id, self.old, &self.flows),
            Target::Moment(at) => Target::Moment(self.moment(at)),
        }
    }

    /// A time by the clock that the new analysis tells times by.
    pub fn moment(&self, at: SessionTime) -> SessionTime {
        match self.moved() {
            Some((reference, _)) => {
                let clock = |analysis: &Analysis| analysis.topology.clocks[reference.index()];
                let own = CaptureTime(at.0.saturating_sub(clock(self.old).offset_ns));
                clock(self.new).session(own, 0)
            }
            None => at,
        }
    }

    /// That times are told by another clock now, and how far the one before is off; empty where nothing moved.
    pub fn moved_words(&self) -> String {
        let Some((before, now)) = self.moved() else { return String::new() };
        let clock = self.new.topology.clocks[before.index()];
        let [before, now_name] = [before, now].map(|id| self.new.capture_name(id));
        let by = clock
            .band_ns
            .map_or_else(|| offset(clock.offset_ns), |within| offset_to(clock.offset_ns, within));
        format!(
            "Times are those of {now_name} now: to those of {before}, as they were told before, {by} is added."
        )
    }

    /// The capture whose clock told the times before, and the one whose clock does now, where that moves times.
    fn moved(&self) -> Option<(CaptureId, CaptureId)> {
        let (before, now) = (reference(self.old)?, reference(self.new)?);
        let clock = |analysis: &'a Analysis| analysis.topology.clocks.get(before.index());
        let is_moved = clock(self.new)?.offset_ns != clock(self.old)?.offset_ns;
        (before != now && is_moved).then_some((before, now))
    }

    /// The selection with the ids of the new analysis. A finding has no id: it is the one of the same kind and link.
    pub fn selection(&self, before: Selection) -> Selection {
        let exchange = before.exchange.and_then(|id| match self.target(Target::Exchange(id)) {
            Target::Exchange(id) => Some(id),
            _ => None,
        });
        let connection = before.connection.and_then(|id| match self.target(Target::Connection(id)) {
            Target::Connection(id) => Some(id),
            _ => None,
        });
        let finding = before.finding.and_then(|at| self.old.diagnosis.findings.get(at)).and_then(|known| {
            let ends = |analysis: &Analysis, finding: &Finding| {
                finding.link.map(|link| analysis.link(link).servers.clone())
            };
            let all = &self.new.diagnosis.findings;
            let same = |f: &&Finding| f.kind == known.kind && f.cause == known.cause;
            all.iter()
                .position(|f| same(&f) && ends(self.new, f) == ends(self.old, known))
                .or_else(|| all.iter().position(|f| same(&f)))
        });
        let step = before.step.filter(|_| connection.is_some());
        Selection { finding, connection, exchange, step, cursor: before.cursor.map(|at| self.moment(at)) }
    }
}

/// The capture whose clock the others are compared with.
fn reference(analysis: &Analysis) -> Option<CaptureId> {
    let is_reference =
        |clock: &Clock| clock.group == 0 && clock.band_ns == Some(0) && clock.against.is_none();
    let at = analysis.topology.clocks.iter().position(is_reference)?;
    Some(CaptureId(at as u16))
}

/// Connections by the first packet of each sighting: that stays when one is completed, and its id does not.
type Flows = HashMap<Frame, ConnectionId>;

fn first_frame(analysis: &Analysis, sighting: Sighting) -> Frame {
    let flow = analysis.capture(sighting.capture).flow(sighting.flow);
    Frame { capture: sighting.capture, number: flow.first.1 }
}

fn exchange(id: ExchangeId, old: &Analysis, new: &Analysis, flows: &Flows) -> Target {
    if id.0 as usize >= old.topology.exchanges.len() {
        return Target::Exchange(id);
    }
    let before = old.exchange(id);
    let sighting = Sighting { capture: before.capture, flow: before.raw.flow };
    let now = flows.get(&first_frame(old, sighting)).and_then(|&connection| {
        // Another capture may be the better sighting now, and requests that this one lost may count before it: sequence
        // numbers stay.
        let seq = |x: &Exchange| if x.request.is_present() { x.request.seq } else { x.response.seq };
        let same_seq = |x: &ExchangeView<'_>| seq(x.raw) == seq(before.raw);
        let same_place = |x: &ExchangeView<'_>| x.raw.ordinal == before.raw.ordinal;
        let all = || new.connection(connection).exchanges();
        // Numbers come again once they have wrapped round.
        let both = all().find(|x| same_seq(x) && same_place(x));
        both.or_else(|| all().find(same_seq)).or_else(|| all().find(same_place))
    });
    now.map_or(Target::Moment(before.started()), |x| Target::Exchange(x.id))
}

fn connection(id: ConnectionId, old: &Analysis, flows: &Flows) -> Target {
    let Some(before) = old.topology.connections.get(id.0 as usize) else { return Target::Connection(id) };
    let now = before.sightings.iter().find_map(|s| flows.get(&first_frame(old, *s)));
    now.map_or(Target::Moment(before.first), |&id| Target::Connection(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::fixture;

    #[test]
    fn notes_keep_what_they_are_about() {
        let analysis = fixture::analysis();
        let targets = [
            Target::Exchange(ExchangeId(5)),
            Target::Connection(ConnectionId(3)),
            Target::Moment(SessionTime(9)),
        ];
        let same = Remap::new(&analysis, &analysis);
        assert_eq!(targets.map(|target| same.target(target)), targets);
        let none = Analysis::default();
        let gone = Remap::new(&analysis, &none);
        assert!(targets.iter().all(|&target| matches!(gone.target(target), Target::Moment(_))));
    }

    #[test]
    fn a_moment_stays_the_same_one_where_another_clock_tells_the_times() {
        let reference = Clock { band_ns: Some(0), ..Clock::default() };
        let other =
            Clock { offset_ns: 5_000_000, band_ns: Some(2_000), against: Some(CaptureId(0)), ..reference };
        let with = |clocks: [Clock; 2]| {
            let mut analysis = fixture::analysis();
            analysis.captures = vec![analysis.captures[0].clone(); 2];
            analysis.topology.clocks = clocks.to_vec();
            analysis
        };
        let [old, new] = [with([reference, other]), with([other, reference])];
        let remap = Remap::new(&old, &new);
        assert_eq!(remap.target(Target::Moment(SessionTime(9))), Target::Moment(SessionTime(5_000_009)));
        let words = remap.moved_words();
        assert!(words.contains(" as they were told before, +5.00000 ms is added."), "{words}");
        assert_eq!(Remap::new(&old, &old).moved_words(), "");
    }

    #[test]
    fn the_selection_goes_on_with_what_it_was() {
        let analysis = fixture::analysis();
        let before = Selection {
            finding: Some(1),
            connection: Some(ConnectionId(3)),
            exchange: Some(ExchangeId(5)),
            step: Some(2),
            cursor: Some(SessionTime(9)),
        };
        assert_eq!(Remap::new(&analysis, &analysis).selection(before), before);
        let none = Analysis::default();
        let gone = Remap::new(&analysis, &none).selection(before);
        assert_eq!(gone, Selection { cursor: before.cursor, ..Selection::default() });
    }
}
