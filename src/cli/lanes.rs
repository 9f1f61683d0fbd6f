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
    fn lanes_that_name_no_address_are_refused() {
        assert_eq!(parse_lane("10.0.0.2"), Err(LaneError::Form));
        assert_eq!(parse_lane("=10.0.0.2"), Err(LaneError::Form));
        assert_eq!(parse_lane("a= ,"), Err(LaneError::Empty("a".to_owned())));
        assert_eq!(parse_lane("a=host:80"), Err(LaneError::Address("host:80".to_owned())));
    }
}
