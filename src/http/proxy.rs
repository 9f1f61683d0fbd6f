//! The PROXY protocol, versions 1 and 2: a header before the first byte that names the connection which a
//! proxy accepted (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use memchr::memchr;

/// What version 2 starts with.
pub(super) const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, its line end included.
const V1_MAX: usize = 107;

/// A PROXY header at the start of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// It is whole: its length in bytes, source and destination where it names TCP addresses.
    Header { len: usize, addresses: Option<(SocketAddr, SocketAddr)> },
    /// More bytes are needed.
    More,
    /// It breaks the format.
    Broken,
}

/// Reads the header at the start of the bytes, which begin as one of either version does.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    if bytes.starts_with(V2_SIGNATURE) { version_2(bytes) } else { version_1(bytes) }
}

fn version_1(bytes: &[u8]) -> Parsed {
    let Some(end) = memchr(b'\n', &bytes[..bytes.len().min(V1_MAX)]) else {
        return if bytes.len() < V1_MAX { Parsed::More } else { Parsed::Broken };
    };
    let Some(line) = std::str::from_utf8(&bytes[..end]).ok().and_then(|line| line.strip_suffix('\r')) else {
        return Parsed::Broken;
    };
    let words: Vec<&str> = line.split(' ').collect();
    let addresses = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4" | "TCP6", source, destination, from, to] => {
            let address =
                |ip: &str, port: &str| Some(SocketAddr::new(ip.parse::<IpAddr>().ok()?, port.parse().ok()?));
            match (address(source, from), address(destination, to)) {
                (Some(source), Some(destination)) => Some((source, destination)),
                _ => return Parsed::Broken,
            }
        }
        _ => return Parsed::Broken,
    };
    Parsed::Header { len: end + 1, addresses }
}

fn version_2(bytes: &[u8]) -> Parsed {
    let Some(&[version, family, high, low]) = bytes.get(12..16) else { return Parsed::More };
    // Command 0 is LOCAL: the proxy's own connection, its addresses mean nothing.
    if version >> 4 != 2 || version & 15 > 1 {
        return Parsed::Broken;
    }
    let len = 16 + usize::from(u16::from_be_bytes([high, low]));
    let Some(body) = bytes.get(16..len) else { return Parsed::More };
    let addresses = match (version & 15, family) {
        (1, 0x11) => addresses_v4(body),
        (1, 0x21) => addresses_v6(body),
        _ => None,
    };
    Parsed::Header { len, addresses }
}

fn addresses_v4(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = body.split_first_chunk::<4>()?;
    let (destination, ports) = rest.split_first_chunk::<4>()?;
    let (from, to) = ports_of(ports)?;
    let address = |ip: [u8; 4], port| SocketAddr::new(Ipv4Addr::from(ip).into(), port);
    Some((address(*source, from), address(*destination, to)))
}

fn addresses_v6(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (destination, ports) = rest.split_first_chunk::<16>()?;
    let (from, to) = ports_of(ports)?;
    // A mapped IPv4 address is that address (RFC 4291, section 2.5.5.2).
    let address = |ip: [u8; 16], port| SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), port);
    Some((address(*source, from), address(*destination, to)))
}

fn ports_of(bytes: &[u8]) -> Option<(u16, u16)> {
    let &[a, b, c, d] = bytes.first_chunk::<4>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(source: &str, destination: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((source.parse().unwrap(), destination.parse().unwrap()))
    }

    #[test]
    fn reads_version_1() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\nGET /";
        let expected = addresses("192.0.2.1:51234", "198.51.100.2:443");
        assert_eq!(parse(line), Parsed::Header { len: 45, addresses: expected });
        assert_eq!(parse(&line[..30]), Parsed::More);
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Parsed::Header { len: 15, addresses: None });
        assert_eq!(parse(b"PROXY TCP4 192.0.2.1 198.51.100.2 512345 443\r\n"), Parsed::Broken);
        assert_eq!(parse(&[b"PROXY ".as_slice(), &[b'x'; 200]].concat()), Parsed::Broken);
    }

    #[test]
    fn reads_version_2_with_what_follows_the_addresses() {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([0x21, 0x11, 0, 15, 192, 0, 2, 1, 198, 51, 100, 2, 0xc8, 0x22, 1, 0xbb, 4, 0, 0]);
        let expected = addresses("192.0.2.1:51234", "198.51.100.2:443");
        assert_eq!(parse(&bytes), Parsed::Header { len: 31, addresses: expected });
        for cut in 12..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Parsed::More);
        }
        bytes[12] = 0x20;
        assert_eq!(parse(&bytes), Parsed::Header { len: 31, addresses: None });
        bytes[12] = 0x31;
        assert_eq!(parse(&bytes), Parsed::Broken);
    }
}
