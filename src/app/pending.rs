//! The lanes as the user has edited them, until the analysis that follows from the edits is there: what was dragged
//! stays where it was dropped, and the next edit goes on from it.

use super::chain::{ChainEdit, Place};
use crate::topology::{Lane, LaneId, Link, Overrides, Topology};

/// Lanes to come.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The lanes, and which of them talk; nothing else of it is set.
    pub topology: Topology,
    /// Which lane of the analysis that is shown each of them was; `None` for one that is new.
    origin: Vec<Option<LaneId>>,
}

impl Pending {
    fn of(shown: &Topology) -> Self {
        let links = shown.links.iter().map(|link| bare(link.from, link.to)).collect();
        let topology = Topology { lanes: shown.lanes.clone(), links, ..Topology::default() };
        let origin = (0..shown.lanes.len()).map(|at| Some(LaneId(at as u16))).collect();
        Self { topology, origin }
    }

    /// The lanes after an edit of those of `before` (else of `shown`) that led to `overrides`; `None` where only the
    /// traffic tells what they will be.
    pub fn after(
        before: Option<Self>,
        shown: &Topology,
        edit: &ChainEdit,
        overrides: &Overrides,
    ) -> Option<Self> {
        let mut pending = before.unwrap_or_else(|| Self::of(shown));
        let lanes = &mut pending.topology.lanes;
        match edit {
            ChainEdit::Rename { lane, name } => name.trim().clone_into(&mut at(lanes, *lane)?.name),
            ChainEdit::Move { .. } => pending.arrange(&overrides.order),
            ChainEdit::Merge { lane, into } => pending.merge(*lane, *into)?,
            ChainEdit::Split { lane, place } => {
                let name = overrides.lanes.last()?.name.clone();
                let mut new = at(lanes, *lane)?.clone();
                (new.name, new.serves, new.addresses) = (name, Vec::new(), Vec::new());
                take(lanes, *place);
                add(&mut new, *place);
                lanes.push(new);
                pending.origin.push(None);
                pending.arrange(&overrides.order);
            }
            ChainEdit::Assign { place, to } => {
                take(lanes, *place);
                add(at(lanes, *to)?, *place);
            }
            ChainEdit::TakenAt { .. } | ChainEdit::Clock { .. } => {}
            ChainEdit::Reset => return None,
        }
        Some(pending)
    }

    /// What has become of a lane of the analysis that is shown.
    pub fn now(&self, shown: LaneId) -> Option<LaneId> {
        self.origin.iter().position(|origin| *origin == Some(shown)).map(|at| LaneId(at as u16))
    }

    fn arrange(&mut self, order: &[String]) {
        let place = |at: &usize| order.iter().position(|name| *name == self.topology.lanes[*at].name);
        let mut from: Vec<usize> = (0..self.topology.lanes.len()).collect();
        from.sort_by_key(|at| place(at).unwrap_or(usize::MAX));
        let pick = |at: &usize| (self.topology.lanes[*at].clone(), self.origin[*at]);
        let (lanes, origin): (Vec<Lane>, Vec<_>) = from.iter().map(pick).unzip();
        (self.topology.lanes, self.origin) = (lanes, origin);
        self.rename_ends(|old| from.iter().position(|at| *at == usize::from(old.0)));
    }

    fn merge(&mut self, lane: LaneId, into: LaneId) -> Option<()> {
        let gone = at(&mut self.topology.lanes, lane)?.clone();
        let taker = at(&mut self.topology.lanes, into)?;
        taker.addresses.extend(gone.addresses);
        taker.serves.extend(gone.serves);
        taker.addresses.sort_unstable();
        taker.addresses.dedup();
        taker.serves.sort_unstable();
        let out = usize::from(lane.0);
        self.topology.lanes.remove(out);
        self.origin.remove(out);
        self.rename_ends(|old| {
            let old = usize::from(if old == lane { into.0 } else { old.0 });
            Some(if old > out { old - 1 } else { old })
        });
        Some(())
    }

    fn rename_ends(&mut self, now: impl Fn(LaneId) -> Option<usize>) {
        let now = |old| now(old).map(|at| LaneId(at as u16));
        self.topology.links = std::mem::take(&mut self.topology.links)
            .into_iter()
            .filter_map(|link| Some(bare(now(link.from)?, now(link.to)?)))
            .collect();
    }
}

fn bare(from: LaneId, to: LaneId) -> Link {
    Link { from, to, servers: Vec::new(), connections: Vec::new() }
}

fn at(lanes: &mut [Lane], id: LaneId) -> Option<&mut Lane> {
    lanes.get_mut(usize::from(id.0))
}

fn take(lanes: &mut [Lane], place: Place) {
    for lane in lanes {
        match place {
            Place::Serves(at) => lane.serves.retain(|known| *known != at),
            Place::Address(at) => lane.addresses.retain(|known| *known != at),
        }
    }
}

fn add(lane: &mut Lane, place: Place) {
    match place {
        Place::Serves(at) => lane.serves.push(at),
        Place::Address(at) => lane.addresses.push(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::chain::{edited, places};
    use crate::app::fixture;

    fn names(pending: &Pending) -> Vec<&str> {
        pending.topology.lanes.iter().map(|lane| &*lane.name).collect()
    }

    /// Makes edits one upon the other, as the window does before an analysis comes between.
    fn made(edits: &[fn(&Topology) -> ChainEdit]) -> (Pending, Overrides) {
        let shown = fixture::analysis().topology;
        let (mut pending, mut overrides) = (None, Overrides::default());
        for edit in edits {
            let topology = pending.as_ref().map_or(&shown, |pending: &Pending| &pending.topology);
            let edit = edit(topology);
            overrides = edited(&overrides, topology, &edit).unwrap();
            pending = Pending::after(pending, &shown, &edit, &overrides);
        }
        (pending.unwrap(), overrides)
    }

    fn lane(topology: &Topology, name: &str) -> LaneId {
        LaneId(topology.lanes.iter().position(|lane| lane.name == name).unwrap() as u16)
    }

    #[test]
    fn edits_made_while_the_analysis_is_under_way_go_on_from_each_other() {
        let (pending, overrides) = made(&[
            |t| ChainEdit::Rename { lane: lane(t, "uwsgi"), name: " app ".into() },
            |t| ChainEdit::Move { lane: lane(t, "app"), to: 0 },
            |t| ChainEdit::Move { lane: lane(t, "ingress"), to: 1 },
        ]);
        assert_eq!(names(&pending), ["app", "ingress", "user", "nginx"]);
        assert_eq!(overrides.order, names(&pending));
        assert_eq!(overrides.renamed, [("uwsgi".to_owned(), "app".to_owned())]);
        // The lane that was the last one is the first, and whom requests lead to is still known.
        assert_eq!(pending.now(LaneId(3)), Some(LaneId(0)));
        let leads = |from, to| {
            let topology = &pending.topology;
            topology.leads_to(lane(topology, from), lane(topology, to))
        };
        assert!(leads("user", "app") && leads("ingress", "app") && !leads("app", "ingress"));
    }

    #[test]
    fn split_places_stand_in_the_lane_that_was_made_and_moved_ones_where_they_were_let_go() {
        let (pending, _) = made(&[
            |t| {
                let ingress = lane(t, "ingress");
                let place = places(&t.lanes[usize::from(ingress.0)])[0];
                ChainEdit::Split { lane: ingress, place }
            },
            |t| {
                let place = places(&t.lanes[usize::from(lane(t, "uwsgi").0)])[0];
                ChainEdit::Assign { place, to: lane(t, "nginx") }
            },
        ]);
        assert_eq!(names(&pending), ["user", "nginx", "ingress", "ingress 2", "uwsgi"]);
        let lanes = &pending.topology.lanes;
        assert_eq!((lanes[3].serves.len(), pending.now(LaneId(3))), (1, Some(LaneId(4))));
        assert!(lanes[1].serves.len() == 2 && lanes[4].serves.is_empty());
    }

    #[test]
    fn a_merged_lane_is_gone_and_its_links_are_of_the_one_that_took_it() {
        let mut shown = fixture::analysis().topology;
        let mut twin = shown.lanes[3].clone();
        twin.name = "uwsgi 2".into();
        shown.lanes.insert(1, twin);
        for link in &mut shown.links {
            (link.from.0, link.to.0) =
                (link.from.0 + u16::from(link.from.0 > 0), link.to.0 + u16::from(link.to.0 > 0));
        }
        shown.links.push(bare(LaneId(3), LaneId(1)));
        let edit = ChainEdit::Merge { lane: LaneId(1), into: LaneId(4) };
        let overrides = edited(&Overrides::default(), &shown, &edit).unwrap();
        let pending = Pending::after(None, &shown, &edit, &overrides).unwrap();
        assert_eq!(names(&pending), ["user", "nginx", "ingress", "uwsgi"]);
        assert!(pending.topology.links.iter().all(|link| link.from.0 + 1 == link.to.0));
        assert_eq!((pending.now(LaneId(1)), pending.now(LaneId(4))), (None, Some(LaneId(3))));
        assert!(Pending::after(Some(pending), &shown, &ChainEdit::Reset, &overrides).is_none());
    }
}
