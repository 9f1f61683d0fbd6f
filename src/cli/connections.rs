//! `--connections=ADDR[:PORT]` to the connections that are asked for.

use std::net::{IpAddr, SocketAddr};

use crate::export::Wanted;

/// Reads the argument; without one all are meant.
pub(super) fn parse_wanted(text: &str) -> Result<Wanted, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if text.is_empty() {
        Ok(Wanted::All)
    } else if let Ok(ip) = bare.parse::<IpAddr>() {
        Ok(Wanted::With(ip, None))
    } else if let Ok(end) = text.parse::<SocketAddr>() {
        Ok(Wanted::With(end.ip(), Some(end.port())))
    } else {
        Err("expected an IP address, with a port or without, such as 10.88.2.1:49760".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_with_a_port_or_without() {
        assert_eq!(parse_wanted(""), Ok(Wanted::All));
        assert_eq!(parse_wanted("10.0.0.1:80"), Ok(Wanted::With([10, 0, 0, 1].into(), Some(80))));
        assert_eq!(parse_wanted("[fd00::2]"), parse_wanted("fd00::2"));
        assert!(parse_wanted("app:80").is_err());
    }
}
