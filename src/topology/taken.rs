//! At which lane each capture was taken, and which lanes none was taken at.

use std::collections::BTreeSet;

use super::{LaneId, Role, Topology};

impl Topology {
    /// The lane at which each of so many captures seems to have been taken: the one that all its connections touch (of
    /// both ends of a single link, the accepting one); `None` where there is no such lane.
    pub fn taken_at(&self, captures: usize) -> Vec<Option<LaneId>> {
        let ends = |&link: &u16| {
            let link = &self.links[usize::from(link)];
            BTreeSet::from([link.from, link.to])
        };
        let common = |links: &BTreeSet<u16>| links.iter().map(ends).reduce(|a, b| &a & &b);
        // By the depth in the chain and not by the place on the screen, which the user may change.
        let accepting = |common: BTreeSet<LaneId>| {
            common.into_iter().max_by_key(|lane| {
                let lane = &self.lanes[usize::from(lane.0)];
                (lane.depth, lane.serves.first().copied())
            })
        };
        let links = self.links_of_captures(captures).into_iter().map(BTreeSet::from_iter);
        links.map(|links| accepting(common(&links)?)).collect()
    }

    /// Notes which hops between others were not captured themselves: no capture was taken there, as far as one can see
    /// or as the user says, and none holds connections of both sides.
    pub(super) fn mark_uncaptured(&mut self, captures: usize, told: &[(u16, String)]) {
        let links: Vec<BTreeSet<u16>> =
            self.links_of_captures(captures).into_iter().map(BTreeSet::from_iter).collect();
        let taken = self.taken_at(captures);
        for at in 0..self.lanes.len() {
            let id = LaneId(at as u16);
            let side = |links: &BTreeSet<u16>, is_it: fn(&super::Link, LaneId) -> bool| {
                links.iter().any(|&link| is_it(&self.links[usize::from(link)], id))
            };
            let both = |links: &BTreeSet<u16>| {
                side(links, |link, id| link.to == id) && side(links, |link, id| link.from == id)
            };
            let is_told = told.iter().any(|(_, name)| *name == self.lanes[at].name);
            let is_captured = is_told || taken.contains(&Some(id)) || links.iter().any(both);
            self.lanes[at].inferred |= self.lanes[at].role == Role::Proxy && !is_captured;
        }
    }

    /// The links of which each of so many captures holds connections, in order.
    pub(crate) fn links_of_captures(&self, captures: usize) -> Vec<Vec<u16>> {
        let mut links: Vec<BTreeSet<u16>> = vec![BTreeSet::new(); captures];
        for (links, held) in links.iter_mut().zip(&self.held_links) {
            links.extend(held);
        }
        for connection in &self.connections {
            for sighting in &connection.sightings {
                links[sighting.capture.index()].insert(connection.link.0);
            }
        }
        links.into_iter().map(Vec::from_iter).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Script;
    use crate::topology::{LaneId, Overrides, Topology, build};

    /// Captures of some of the links user → edge → mid → app, each of which a capture of this name holds.
    fn chain(captures: &[(&str, &[usize])], overrides: &Overrides) -> Topology {
        let ends = [
            ("10.0.0.1:3000", "10.0.0.2:80"),
            ("10.0.0.2:4000", "10.0.0.3:8080"),
            ("10.0.0.3:5000", "10.0.0.4:8000"),
        ];
        let script = |(name, links): &(&str, &[usize])| {
            let mut script = Script::new(name);
            for &link in *links {
                let at = link as i64 * 1_000_000;
                let id = script.connection(at, ends[link].0, ends[link].1, 100 * (1 + link as u32));
                script.request(id, at, "GET", "/a", &[], "");
                script.response(id, 10_000_000 - at, 200, 20);
            }
            script.finish()
        };
        build(&captures.iter().map(script).collect::<Vec<_>>(), overrides)
    }

    fn uncaptured(topology: &Topology) -> Vec<&str> {
        topology.lanes.iter().filter(|lane| lane.inferred).map(|lane| lane.name.as_str()).collect()
    }

    #[test]
    fn a_hop_that_only_its_neighbours_captured_was_not_captured() {
        let free = Overrides::default();
        let without = chain(&[("edge.pcap", &[0, 1]), ("app.pcap", &[2])], &free);
        assert_eq!(uncaptured(&without).len(), 1);
        assert!(without.lanes[2].inferred, "{:?}", uncaptured(&without));
        assert_eq!(without.taken_at(2), [Some(LaneId(1)), Some(LaneId(3))]);
        let told = Overrides { taken_at: vec![(1, without.lanes[2].name.clone())], ..Overrides::default() };
        assert!(uncaptured(&chain(&[("edge.pcap", &[0, 1]), ("app.pcap", &[2])], &told)).is_empty());
        assert!(uncaptured(&chain(&[("edge.pcap", &[0, 1]), ("mid.pcap", &[1, 2])], &free)).is_empty());
        // One capture of all that is on a host, and two of one hop's interfaces.
        assert!(uncaptured(&chain(&[("any.pcap", &[0, 1, 2])], &free)).is_empty());
        assert!(
            uncaptured(&chain(&[("in.pcap", &[0]), ("out.pcap", &[1]), ("app.pcap", &[2])], &free))
                .is_empty()
        );
    }
}
