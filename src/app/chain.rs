//! Edits of the chain: what the user does to lanes and clocks, as overrides for the next analysis.

use std::net::{IpAddr, SocketAddr};

use crate::capture::CaptureId;
use crate::session::MAX_OFFSET_NS;
use crate::topology::{Lane, LaneId, LaneOverride, Overrides, Topology};

/// Something of a lane that can be moved to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Where it listens.
    Serves(SocketAddr),
    /// Where it connects from, and listens nowhere.
    Address(IpAddr),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Serves(at) => at.fmt(f),
            Self::Address(at) => at.fmt(f),
        }
    }
}

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainEdit {
    /// Gives a lane another name.
    Rename { lane: LaneId, name: String },
    /// Moves a lane to before the lane that stands at `to` (after the last one, when there is none).
    Move { lane: LaneId, to: usize },
    /// Makes one lane of two.
    Merge { lane: LaneId, into: LaneId },
    /// Gives a place a lane of its own.
    Split { lane: LaneId, place: Place },
    /// Moves a place to another lane.
    Assign { place: Place, to: LaneId },
    /// Says at which lane a capture was taken; `None` leaves it to the traffic.
    TakenAt { capture: CaptureId, lane: Option<LaneId> },
    /// The manual part of a capture's clock offset.
    Clock { capture: CaptureId, manual_ns: i64 },
    /// Takes all of it back.
    Reset,
}

/// Why an edit cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// A lane without a name could not be referred to.
    #[error("a lane needs a name")]
    NoName,
    /// Two lanes of one name could not be told apart.
    #[error("another lane is called {0:?} already")]
    NameTaken(String),
    /// The one calls the other, over however many hops: as one lane they would call themselves.
    #[error("requests of {0} lead to {1}: they are two hops, and no replicas of one")]
    Talking(String, String),
}

/// The overrides after an edit of the lanes that are shown.
pub fn edited(before: &Overrides, topology: &Topology, edit: &ChainEdit) -> Result<Overrides, EditError> {
    let mut after = before.clone();
    let lane = |id: LaneId| &topology.lanes[usize::from(id.0)];
    match edit {
        ChainEdit::Rename { lane: id, name } => rename(&mut after, topology, lane(*id), name.trim())?,
        ChainEdit::Move { lane: id, to } => {
            let mut order = names(topology);
            let name = order.remove(usize::from(id.0));
            let to = if *to > usize::from(id.0) { to - 1 } else { *to };
            order.insert(to.min(order.len()), name);
            after.order = order;
        }
        ChainEdit::Merge { lane: one, into } => {
            if let Some(error) = talking(topology, *one, *into) {
                return Err(error);
            }
            after.merged.push((lane(*one).name.clone(), lane(*into).name.clone()));
        }
        ChainEdit::Split { lane: id, place } => split(&mut after, topology, *id, *place),
        ChainEdit::Assign { place, to } => {
            let order = names(topology);
            pin(&mut after, topology);
            for place in with_its_own(topology, *place, Some(*to)) {
                take(&mut after, place);
                add(given(&mut after, topology, lane(*to)), place);
            }
            after.order = order;
        }
        ChainEdit::TakenAt { capture, lane: at } => {
            after.taken_at.retain(|(known, _)| *known != capture.0);
            after.taken_at.extend(at.map(|id| (capture.0, lane(id).name.clone())));
            after.taken_at.sort();
        }
        ChainEdit::Clock { capture, manual_ns } => {
            after.clock_ns.retain(|(known, _)| *known != capture.0);
            after.clock_ns.extend((*manual_ns != 0).then_some((capture.0, *manual_ns)));
            after.clock_ns.sort_unstable();
        }
        ChainEdit::Reset => after = Overrides::default(),
    }
    Ok(after)
}

fn names(topology: &Topology) -> Vec<String> {
    topology.lanes.iter().map(|lane| lane.name.clone()).collect()
}

fn rename(overrides: &mut Overrides, topology: &Topology, lane: &Lane, name: &str) -> Result<(), EditError> {
    if name.is_empty() {
        return Err(EditError::NoName);
    }
    if name == lane.name {
        return Ok(());
    }
    if topology.lanes.iter().any(|other| other.name == name) {
        return Err(EditError::NameTaken(name.to_owned()));
    }
    match overrides.lanes.iter_mut().find(|given| given.name == lane.name) {
        Some(given) => name.clone_into(&mut given.name),
        None => {
            let known = overrides.renamed.iter().rev().find(|(_, shown)| *shown == lane.name);
            let found = known.map_or_else(|| lane.name.clone(), |(found, _)| found.clone());
            overrides.renamed.retain(|(other, _)| *other != found);
            if found != name {
                overrides.renamed.push((found, name.to_owned()));
            }
        }
    }
    // What refers to the lane by the name that it showed until now.
    let merged = overrides.merged.iter_mut().map(|(_, into)| into);
    let taken = overrides.taken_at.iter_mut().map(|(_, at)| at);
    for reference in merged.chain(&mut overrides.order).chain(taken) {
        if *reference == lane.name {
            name.clone_into(reference);
        }
    }
    Ok(())
}

fn split(overrides: &mut Overrides, topology: &Topology, id: LaneId, place: Place) {
    let lane = &topology.lanes[usize::from(id.0)];
    let mut order = names(topology);
    let taken = |name: &String| order.contains(name) || overrides.merged.iter().any(|(old, _)| old == name);
    let name = (2..).map(|number| format!("{} {number}", lane.name)).find(|name| !taken(name));
    let Some(name) = name else { return };
    order.insert(usize::from(id.0) + 1, name.clone());
    pin(overrides, topology);
    let mut new = LaneOverride { name, addresses: Vec::new(), serves: Vec::new() };
    for place in with_its_own(topology, place, None) {
        take(overrides, place);
        add(&mut new, place);
    }
    overrides.lanes.push(new);
    overrides.order = order;
}

/// The place, and what goes with it: where nobody else lives at the address at which one of several replicas listens, what
/// connects from there is that replica too. But not `to` a lane that it talks to, which would then talk to itself.
fn with_its_own(topology: &Topology, place: Place, to: Option<LaneId>) -> Vec<Place> {
    let mut all = vec![place];
    if let Place::Serves(at) = place
        && let Some(own) = topology.lanes.iter().position(|lane| lane.serves.contains(&at))
        && let lane = &topology.lanes[own]
        && lane.serves.iter().any(|other| other.ip() != at.ip())
        && lane.serves.iter().all(|other| *other == at || other.ip() != at.ip())
        && !is_shared(topology, lane, at.ip())
        && to.is_none_or(|to| talking(topology, LaneId(own as u16), to).is_none())
    {
        all.push(Place::Address(at.ip()));
    }
    all
}

/// Makes every lane that listens one of the user's: when one place moves, no other lane must change its name. But those
/// whose only places are of other lanes too, which loopback addresses are (each machine has its own): the first of them
/// would be given all.
fn pin(overrides: &mut Overrides, topology: &Topology) {
    let has_own = |lane: &&Lane| lane.serves.iter().any(|at| !is_served_elsewhere(topology, lane, *at));
    for lane in topology.lanes.iter().filter(has_own) {
        given(overrides, topology, lane);
    }
}

/// Whether another lane listens at the same address and port, on a machine of its own.
fn is_served_elsewhere(topology: &Topology, lane: &Lane, at: SocketAddr) -> bool {
    topology.lanes.iter().any(|other| other.name != lane.name && other.serves.contains(&at))
}

/// The user's statement about a lane; made of what the lane is now, where there is none yet.
fn given<'a>(overrides: &'a mut Overrides, topology: &Topology, lane: &Lane) -> &'a mut LaneOverride {
    let at = overrides.lanes.iter().position(|given| given.name == lane.name).unwrap_or_else(|| {
        let own = lane.addresses.iter().copied().filter(|&ip| !is_shared(topology, lane, ip));
        let mut serves = lane.serves.clone();
        serves.retain(|&at| !is_served_elsewhere(topology, lane, at));
        overrides.lanes.push(LaneOverride {
            name: lane.name.clone(),
            addresses: own.collect(),
            serves: if serves.is_empty() { lane.serves.clone() } else { serves },
        });
        overrides.lanes.len() - 1
    });
    &mut overrides.lanes[at]
}

fn add(lane: &mut LaneOverride, place: Place) {
    match place {
        Place::Serves(at) => lane.serves.push(at),
        Place::Address(at) => lane.addresses.push(at),
    }
}

/// Takes a place away from the lanes that the user gave it to; a lane that is left with nothing goes.
fn take(overrides: &mut Overrides, place: Place) {
    for lane in &mut overrides.lanes {
        match place {
            Place::Serves(at) => lane.serves.retain(|known| *known != at),
            Place::Address(at) => lane.addresses.retain(|known| *known != at),
        }
    }
    overrides.lanes.retain(|lane| !lane.serves.is_empty() || !lane.addresses.is_empty());
}

/// Whether another lane lives at the same address, as on a single host.
fn is_shared(topology: &Topology, lane: &Lane, ip: IpAddr) -> bool {
    topology.lanes.iter().any(|other| other.name != lane.name && other.addresses.contains(&ip))
}

fn talking(topology: &Topology, a: LaneId, b: LaneId) -> Option<EditError> {
    let (from, to) = [(a, b), (b, a)].into_iter().find(|&(from, to)| topology.leads_to(from, to))?;
    let name = |id: LaneId| topology.lanes[usize::from(id.0)].name.clone();
    Some(EditError::Talking(name(from), name(to)))
}

/// Why two lanes cannot be merged, for people; `None` where they can.
pub fn why_not_merged(topology: &Topology, a: LaneId, b: LaneId) -> Option<String> {
    talking(topology, a, b).map(|error| error.to_string())
}

/// The places of a lane that can be moved: where it listens, then where it only connects from.
pub fn places(lane: &Lane) -> Vec<Place> {
    let listens = |ip: &IpAddr| lane.serves.iter().any(|at| at.ip() == *ip);
    let serves = lane.serves.iter().copied().map(Place::Serves);
    let rest = lane.addresses.iter().copied().filter(|ip| !listens(ip)).map(Place::Address);
    serves.chain(rest).collect()
}

/// The manual part of a capture's clock offset, in nanoseconds.
pub fn manual_ns(overrides: &Overrides, capture: CaptureId) -> i64 {
    overrides.clock_ns.iter().filter(|(at, _)| *at == capture.0).map(|(_, ns)| ns).sum()
}

/// Reads `12.5 ms`, `-1h`, `+3 s`, `250 us`: a number with a unit; without one it is milliseconds. `None` where it is no
/// offset, or one larger than a session file may have.
pub fn parse_offset(text: &str) -> Option<i64> {
    let text = text.trim().replace(['−', '–'], "-").replace(',', "");
    let unit_at = text.find(|c: char| c.is_alphabetic() || c == 'µ').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_ns: i128 = match unit.trim() {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "" | "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    let ns = scaled(&number.replace(' ', ""), unit_ns)?;
    i64::try_from(ns).ok().filter(|ns| ns.saturating_abs() <= MAX_OFFSET_NS)
}

/// Digits behind the point that count: more than a nanosecond of a day needs.
const MOST_DECIMALS: usize = 15;

/// A decimal number times a unit, to the nearest whole: exact, so that what is shown with all its digits reads back as
/// it was.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || whole.len() > 19 || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(MOST_DECIMALS)];
    let one = 10_i128.pow(fraction.len() as u32);
    let value = format!("{whole}{fraction}").parse::<i128>().ok()? * unit;
    Some(sign * ((value + one / 2) / one))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::app::fixture;

    fn lane(topology: &Topology, name: &str) -> LaneId {
        LaneId(topology.lanes.iter().position(|lane| lane.name == name).unwrap() as u16)
    }

    #[test]
    fn a_renamed_lane_keeps_its_place_and_can_be_renamed_back() {
        let topology = fixture::analysis().topology;
        let ingress = lane(&topology, "ingress");
        let moved =
            edited(&Overrides::default(), &topology, &ChainEdit::Move { lane: ingress, to: 0 }).unwrap();
        assert_eq!(moved.order[0], "ingress");
        let rename = |name: &str| ChainEdit::Rename { lane: ingress, name: name.to_owned() };
        let renamed = edited(&moved, &topology, &rename(" edge ")).unwrap();
        assert_eq!(renamed.renamed, [("ingress".to_owned(), "edge".to_owned())]);
        assert_eq!(renamed.order[0], "edge");
        let mut shown = topology.clone();
        shown.lanes[usize::from(ingress.0)].name = "edge".to_owned();
        let back = edited(&renamed, &shown, &rename("ingress")).unwrap();
        assert_eq!(back, moved);
        assert_eq!(edited(&moved, &topology, &rename("user")), Err(EditError::NameTaken("user".to_owned())));
        assert_eq!(edited(&moved, &topology, &rename(" ")), Err(EditError::NoName));
    }

    #[test]
    fn what_two_machines_serve_at_one_loopback_address_is_not_given_to_one_of_them() {
        let mut topology = fixture::analysis().topology;
        let [nginx, ingress, uwsgi] = ["nginx", "ingress", "uwsgi"].map(|name| lane(&topology, name));
        let local: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        topology.lanes[usize::from(nginx.0)].serves.push(local);
        topology.lanes[usize::from(uwsgi.0)].serves = vec![local];
        let place = Place::Serves("10.9.9.9:80".parse().unwrap());
        let edit = ChainEdit::Assign { place, to: ingress };
        let lanes = edited(&Overrides::default(), &topology, &edit).unwrap().lanes;
        let names: Vec<&str> = lanes.iter().map(|lane| &*lane.name).collect();
        assert!(
            names.contains(&"nginx") && names.contains(&"ingress") && !names.contains(&"uwsgi"),
            "{names:?}"
        );
        assert!(lanes.iter().all(|lane| !lane.serves.contains(&local)), "{lanes:?}");
    }

    #[test]
    fn where_a_capture_was_taken_does_not_depend_on_the_order_of_the_lanes() {
        let found = |order: &[&str]| -> Vec<String> {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-captures/paas-502");
            let captures = crate::load::load(&crate::load::expand(&[folder]), &Default::default());
            let order = order.iter().map(|name| (*name).to_owned()).collect();
            let overrides = Overrides { order, ..Overrides::default() };
            let analysis = crate::analysis::analyse(crate::topology::heal(captures), &overrides);
            let name =
                |lane: &Option<LaneId>| lane.map_or(String::new(), |id| analysis.lane(id).name.clone());
            analysis.topology.taken_at(analysis.captures.len()).iter().map(name).collect()
        };
        let usual = found(&[]);
        assert_eq!(usual, ["ingress", "nginx", "uwsgi"]);
        assert_eq!(found(&["uwsgi", "ingress", "nginx", "user"]), usual);
        assert_eq!(found(&["nginx", "uwsgi", "user", "ingress"]), usual);
    }

    #[test]
    fn lanes_that_talk_are_never_merged() {
        let topology = fixture::analysis().topology;
        let merge = ChainEdit::Merge { lane: lane(&topology, "uwsgi"), into: lane(&topology, "nginx") };
        assert!(matches!(edited(&Overrides::default(), &topology, &merge), Err(EditError::Talking(..))));
    }

    #[test]
    fn a_place_is_given_to_one_lane_only() {
        let topology = fixture::analysis().topology;
        let (ingress, uwsgi) = (lane(&topology, "ingress"), lane(&topology, "uwsgi"));
        let place = places(&topology.lanes[usize::from(ingress.0)])[0];
        let split =
            edited(&Overrides::default(), &topology, &ChainEdit::Split { lane: ingress, place }).unwrap();
        let last = split.lanes.last().unwrap();
        assert_eq!((last.name.as_str(), split.lanes.len()), ("ingress 2", 4), "{split:?}");
        let after = usize::from(ingress.0) + 1;
        assert_eq!(split.order[after], "ingress 2");
        let assigned = edited(&split, &topology, &ChainEdit::Assign { place, to: uwsgi }).unwrap();
        let holders = assigned.lanes.iter().filter(|lane| match place {
            Place::Serves(at) => lane.serves.contains(&at),
            Place::Address(at) => lane.addresses.contains(&at),
        });
        assert_eq!(holders.map(|lane| lane.name.as_str()).collect::<Vec<_>>(), ["uwsgi"]);
    }

    #[test]
    fn what_a_replica_connects_from_goes_where_it_goes() {
        let mut topology = fixture::analysis().topology;
        let other = SocketAddr::from(([10, 9, 9, 8], 8080));
        let own = topology.lanes.iter().find(|lane| lane.name == "ingress").unwrap();
        let (name, addresses, serves) = ("canary".to_owned(), vec![other.ip()], vec![other]);
        topology.lanes.push(Lane { name, addresses, serves, ..own.clone() });
        let [canary, ingress, uwsgi] = ["canary", "ingress", "uwsgi"].map(|name| lane(&topology, name));
        let at = SocketAddr::from(([10, 9, 9, 9], 8080));
        let own = &mut topology.lanes[usize::from(ingress.0)];
        own.serves.push(at);
        own.addresses.push(at.ip());
        let place = Place::Serves(at);
        let edits = [
            (ChainEdit::Split { lane: ingress, place }, "ingress 2", "ingress 2"),
            (ChainEdit::Assign { place, to: canary }, "canary", "canary"),
            // It asks that one.
            (ChainEdit::Assign { place, to: uwsgi }, "uwsgi", "ingress"),
        ];
        for (edit, listens, connects) in &edits {
            let after = edited(&Overrides::default(), &topology, edit).unwrap();
            let holding = |holds: &dyn Fn(&LaneOverride) -> bool| -> Vec<String> {
                after.lanes.iter().filter(|lane| holds(lane)).map(|lane| lane.name.clone()).collect()
            };
            assert_eq!(holding(&|lane| lane.serves.contains(&at)), [*listens]);
            assert_eq!(holding(&|lane| lane.addresses.contains(&at.ip())), [*connects]);
        }
    }

    #[test]
    fn offsets_are_read_with_their_units() {
        let all = ["12.5", "-1 h", "+3s", "250 µs", "−7 ns", "1,000 ms"].map(parse_offset);
        let expected = [12_500_000, -3_600_000_000_000, 3_000_000_000, 250_000, -7, 1_000_000_000];
        assert_eq!(all, expected.map(Some));
        let none = ["", "x", "1 week", "1e30 d", "abc", "-", "1.2.3", "--1", "inf", "70 years", "26000 d"];
        assert_eq!(none.map(parse_offset), [None; 11]);
        assert_eq!(parse_offset("−86,400.000000001 s"), Some(-86_400_000_000_001), "as it is shown");
        assert_eq!(parse_offset("1000000000000.000001 ms"), Some(1_000_000_000_000_000_001));
    }
}
