//! `--lane NAME=ADDR[:PORT],…` to a lane override.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::topology::LaneOverride;

/// What is wrong with a `--lane` argument.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LaneError {
    /// There is no `=`, or nothing before it.
    #[error("expected NAME=ADDR[:PORT],… such as ingress=10.88.2.2:8080")]
    Form,
    /// No address stands after the `=`.
    #[error("lane {0} has no address")]
    Empty(String),
    /// Not an IP address with or without a port.
    #[error("'{0}' is no IP address; write 10.88.2.2, 10.88.2.2:8080, fd00::2 or [fd00::2]:8080")]
    Address(String),
    /// Two lanes claim one address.
    #[error(
        "lanes {0} and {1} both claim {2}: an address is of one lane; tell two services of one host apart by port, as in \
         {0}=10.88.2.2:8080"
    )]
    Twice(String, String, String),
}

/// Refuses lanes that contradict each other: which of two holds an address would be chance.
pub fn check(lanes: &[LaneOverride]) -> Result<(), LaneError> {
    let places = |lane: &LaneOverride| -> Vec<String> {
        let addresses = lane.addresses.iter().map(ToString::to_string);
        addresses.chain(lane.serves.iter().map(ToString::to_string)).collect()
    };
    for (at, lane) in lanes.iter().enumerate() {
        for other in &lanes[at + 1..] {
            let theirs = places(other);
            if let Some(place) = places(lane).into_iter().find(|place| theirs.contains(place)) {
                return Err(LaneError::Twice(lane.name.clone(), other.name.clone(), place));
            }
        }
    }
    Ok(())
}

/// Reads one `--lane` argument.
pub fn parse_lane(text: &str) -> Result<LaneOverride, LaneError> {
    let (name, list) = text.split_once('=').ok_or(LaneError::Form)?;
    let name = name.trim();
    if name.is_empty() {
        return Err(LaneError::Form);
    }
    let mut lane = LaneOverride { name: name.to_owned(), addresses: Vec::new(), serves: Vec::new() };
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let bare = part.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(part);
        if let Ok(address) = bare.parse::<IpAddr>() {
            lane.addresses.push(address);
        } else if let Ok(address) = part.parse::<SocketAddr>() {
            lane.serves.push(address);
        } else {
            return Err(LaneError::Address(part.to_owned()));
        }
    }
    if lane.addresses.is_empty() && lane.serves.is_empty() {
        return Err(LaneError::Empty(name.to_owned()));
    }
    Ok(lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_take_addresses_with_and_without_port_of_both_families() {
        let lane = parse_lane("ingress=10.0.0.2, 10.0.0.3:8080,[::1]:80,fd00::2,[fd00::3]").unwrap();
        assert_eq!(lane.name, "ingress");
        assert_eq!(lane.addresses, ["10.0.0.2", "fd00::2", "fd00::3"].map(|a| a.parse::<IpAddr>().unwrap()));
        assert_eq!(lane.serves, ["10.0.0.3:8080", "[::1]:80"].map(|a| a.parse::<SocketAddr>().unwrap()));
    }

    #[test]
    fn one_address_in_two_lanes_is_refused_and_both_are_named() {
        let lanes =
            |all: &[&str]| -> Vec<LaneOverride> { all.iter().map(|l| parse_lane(l).unwrap()).collect() };
        let error = check(&lanes(&["a=10.0.0.1", "ingress=10.0.0.2,10.0.0.3", "app=10.0.0.3"])).unwrap_err();
        let words = "lanes ingress and app both claim 10.0.0.3: an address is of one lane";
        assert!(error.to_string().starts_with(words), "{error}");
        assert!(check(&lanes(&["a=10.0.0.1:80", "b=10.0.0.1:80"])).is_err());
        assert!(check(&lanes(&["a=fd00::2", "b=[fd00:0::2]"])).is_err());
        let sound = ["a=10.0.0.1:80,10.0.0.1:80", "b=10.0.0.1:81", "c=10.0.0.1", "d=10.0.0.2"];
        assert_eq!(check(&lanes(&sound)), Ok(()), "services of one host, and one that connects from it");
    }

    #[test]
    fn lanes_that_name_no_address_are_refused() {
        assert_eq!(parse_lane("10.0.0.2"), Err(LaneError::Form));
        assert_eq!(parse_lane("=10.0.0.2"), Err(LaneError::Form));
        assert_eq!(parse_lane("a= ,"), Err(LaneError::Empty("a".to_owned())));
        assert_eq!(parse_lane("a=host:80"), Err(LaneError::Address("host:80".to_owned())));
    }
}
