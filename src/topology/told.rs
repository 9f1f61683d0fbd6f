//! What the user said of the chain that the captures know nothing of: a mistyped address would else go unnoticed.

use std::sync::Arc;

use crate::capture::CaptureId;
use crate::http::CaptureFacts;

use super::{LaneId, Overrides, Remark, RemarkKind, Topology};

/// Says which lanes were given addresses that no connection has, and which captures are said to have been taken where
/// they hold nothing of.
pub(super) fn remarks(
    topology: &Topology,
    captures: &[Arc<CaptureFacts>],
    overrides: &Overrides,
) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut add = |detail: String, captures: Vec<CaptureId>| {
        remarks.push(Remark { kind: RemarkKind::UnmatchedOverride, detail, captures });
    };
    for given in
        overrides.lanes.iter().filter(|given| !given.serves.is_empty() || !given.addresses.is_empty())
    {
        let is_met = topology.connections.iter().any(|connection| {
            given.serves.contains(&connection.server)
                || [connection.client, connection.server]
                    .iter()
                    .any(|end| given.addresses.contains(&end.ip()))
        });
        if !is_met {
            let places = given.serves.iter().map(ToString::to_string);
            let places: Vec<String> = places.chain(given.addresses.iter().map(ToString::to_string)).collect();
            let (name, places) = (&given.name, places.join(", "));
            add(
                format!("No connection in these captures has an address of the lane {name}: {places}."),
                vec![],
            );
        }
    }
    let links = topology.links_of_captures(captures.len());
    for (capture, name) in &overrides.taken_at {
        let Some((facts, links)) = captures.get(usize::from(*capture)).zip(links.get(usize::from(*capture)))
        else {
            continue;
        };
        let path = facts.info.path.display();
        let told = format!("{path} is said to have been taken at {name}");
        let why = match topology.lanes.iter().position(|lane| lane.name == *name) {
            None => "and no lane has that name",
            Some(at) => {
                let id = LaneId(at as u16);
                let touches = |&link: &u16| {
                    let link = &topology.links[usize::from(link)];
                    link.from == id || link.to == id
                };
                if links.is_empty() || links.iter().any(touches) {
                    continue;
                }
                "but holds no connection from or to it"
            }
        };
        add(format!("{told}, {why}."), vec![CaptureId(*capture)]);
    }
    remarks
}

#[cfg(test)]
mod tests {
    use crate::testing::Script;
    use crate::topology::{LaneOverride, Overrides, RemarkKind, build};

    fn told(overrides: &Overrides) -> Vec<String> {
        let script = |name: &str, client: &str, server: &str, seq: u32| {
            let mut script = Script::new(name);
            let id = script.connection(0, client, server, seq);
            script.request(id, 1_000_000, "GET", "/a", &[], "");
            script.response(id, 9_000_000, 200, 20);
            script.finish()
        };
        let captures = [
            script("edge.pcap", "10.0.0.1:3000", "10.0.0.2:80", 100),
            script("app.pcap", "10.0.0.3:5000", "10.0.0.4:8000", 200),
        ];
        let topology = build(&captures, overrides);
        let remarks = topology.remarks.into_iter();
        remarks
            .filter(|remark| remark.kind == RemarkKind::UnmatchedOverride)
            .map(|remark| remark.detail)
            .collect()
    }

    fn lane(name: &str, serves: &str) -> LaneOverride {
        LaneOverride { name: name.into(), addresses: vec![], serves: vec![serves.parse().unwrap()] }
    }

    #[test]
    fn a_lane_without_a_connection_is_told() {
        let lanes = vec![lane("app", "10.0.0.4:8000"), lane("edge", "10.0.0.2:8080")];
        let words = told(&Overrides { lanes, ..Overrides::default() });
        assert_eq!(
            words,
            ["No connection in these captures has an address of the lane edge: 10.0.0.2:8080."]
        );
    }

    #[test]
    fn a_capture_put_where_it_holds_nothing_of_is_told() {
        let lanes = vec![lane("edge", "10.0.0.2:80"), lane("app", "10.0.0.4:8000")];
        let taken = |at: u16, name: &str| Overrides {
            lanes: lanes.clone(),
            taken_at: vec![(at, name.into())],
            ..Overrides::default()
        };
        assert_eq!(told(&taken(0, "edge")), [""; 0]);
        assert!(told(&taken(0, "app"))[0].ends_with(" taken at app, but holds no connection from or to it."));
        assert!(told(&taken(1, "gone"))[0].ends_with(" taken at gone, and no lane has that name."));
    }
}
