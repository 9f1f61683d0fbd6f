//! Notes carried over to a new analysis: ids of exchanges and connections change when captures are added.

use hashbrown::HashMap;

use crate::analysis::Analysis;
use crate::session::{Annotation, Target};
use crate::topology::{ConnectionId, ExchangeId};

/// The notes with the ids of `new`; what a note was about and `new` no longer holds becomes its moment.
pub fn annotations(notes: &[Annotation], old: &Analysis, new: &Analysis) -> Vec<Annotation> {
    if notes.is_empty() {
        return Vec::new();
    }
    let flows: HashMap<_, _> = new
        .connections()
        .flat_map(|c| c.inner.sightings.iter().map(move |s| ((s.capture, s.flow), c.id)))
        .collect();
    let target = |target| match target {
        Target::Exchange(id) => exchange(id, old, new, &flows),
        Target::Connection(id) => connection(id, old, &flows),
        Target::Moment(at) => Target::Moment(at),
    };
    notes.iter().map(|note| Annotation { target: target(note.target), text: note.text.clone() }).collect()
}

type Flows = HashMap<(crate::capture::CaptureId, crate::tcp::FlowId), ConnectionId>;

fn exchange(id: ExchangeId, old: &Analysis, new: &Analysis, flows: &Flows) -> Target {
    let Some(key) = old.topology.exchanges.get(id.0 as usize).copied() else {
        return Target::Exchange(id);
    };
    let before = old.exchange(id);
    let now = flows.get(&(key.capture, before.raw.flow)).and_then(|&connection| {
        // Another capture may be the better sighting now: the ordinal is the same in both.
        new.connection(connection).exchanges().find(|x| x.raw.ordinal == before.raw.ordinal)
    });
    now.map_or(Target::Moment(before.started()), |x| Target::Exchange(x.id))
}

fn connection(id: ConnectionId, old: &Analysis, flows: &Flows) -> Target {
    let Some(before) = old.topology.connections.get(id.0 as usize) else { return Target::Connection(id) };
    let now = before.sightings.iter().find_map(|s| flows.get(&(s.capture, s.flow)));
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
        let notes = targets.map(|target| Annotation { target, text: "x".to_owned() });
        assert_eq!(annotations(&notes, &analysis, &analysis), notes);
        let gone = annotations(&notes, &analysis, &Analysis::default());
        assert!(gone.iter().all(|note| matches!(note.target, Target::Moment(_))));
    }
}
