//! Notes and selection carried over to a new analysis: ids change when captures are added, which may complete those that
//! were there, or lanes and clocks edited.

use hashbrown::HashMap;

use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::Frame;
use crate::diagnose::Finding;
use crate::http::Exchange;
use crate::session::{Selection, Target};
use crate::topology::{ConnectionId, ExchangeId, Sighting};

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
            Target::Moment(at) => Target::Moment(at),
        }
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
        Selection { finding, connection, exchange, step, cursor: before.cursor }
    }
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
    use crate::capture::SessionTime;

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
