//! The PROXY protocol, versions 1 and 2: a header before the first byte that names the connection which a
//! proxy accepted (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use memchr::memchr;

use super::ProxyHeader;

/// What version 2 starts with.
pub(super) const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, its line end included.
const V1_MAX: usize = 107;

/// What the additions of a header are called.
pub const PROXY_EXTRAS: [&str; 8] = [
    "alpn",
    "authority",
    "unique id",
    "tls version",
    "client certificate",
    "tls cipher",
    "network namespace",
    "vpc endpoint",
];
/// Most additions of a header that are kept, and most bytes of one of them.
const MAX_EXTRAS: usize = 16;
const MAX_EXTRA_BYTES: usize = 512;

/// A PROXY header at the start of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// It is whole: its length in bytes, and what it says.
    Header { len: usize, header: ProxyHeader },
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
    let header = ProxyHeader { version: 1, own: addresses.is_none(), addresses, ..ProxyHeader::default() };
    Parsed::Header { len: end + 1, header }
}

fn version_2(bytes: &[u8]) -> Parsed {
    let Some(&[version, family, high, low]) = bytes.get(12..16) else { return Parsed::More };
    // Command 0 is LOCAL: the proxy's own connection, its addresses mean nothing.
    if version >> 4 != 2 || version & 15 > 1 {
        return Parsed::Broken;
    }
    let len = 16 + usize::from(u16::from_be_bytes([high, low]));
    let Some(body) = bytes.get(16..len) else { return Parsed::More };
    let own = version & 15 == 0;
    let (addresses, address_bytes) = match family {
        0x11 => (addresses_v4(body), 12),
        0x21 => (addresses_v6(body), 36),
        0x12 => (None, 12),
        0x22 => (None, 36),
        0x31 | 0x32 => (None, 216),
        _ => (None, 0),
    };
    let extras = body.get(address_bytes..).map(extras).unwrap_or_default();
    let addresses = addresses.filter(|_| !own);
    Parsed::Header {
        len,
        header: ProxyHeader { version: 2, own, addresses, extras, ..ProxyHeader::default() },
    }
}

/// What stands behind the addresses (section 2.2.1 to 2.2.9): type, length and value, those that name something.
fn extras(mut bytes: &[u8]) -> Box<[(&'static str, Box<str>)]> {
    let mut all = Vec::new();
    while let Some((kind, value)) = next_extra(&mut bytes) {
        match kind {
            0x01 => all.push(("alpn", text(value))),
            0x02 => all.push(("authority", text(value))),
            0x05 => all.push(("unique id", text(value))),
            0x20 => tls_extras(value, &mut all),
            0x30 => all.push(("network namespace", text(value))),
            // AWS's own: the endpoint of a private link.
            0xea if value.first() == Some(&1) => all.push(("vpc endpoint", text(&value[1..]))),
            _ => {}
        }
        if all.len() >= MAX_EXTRAS {
            break;
        }
    }
    all.into()
}

fn next_extra<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk::<3>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    *bytes = rest;
    Some((kind, value))
}

/// The TLS that the sender took off (section 2.2.6): a byte of flags, 4 of the check's result, and more additions.
fn tls_extras(value: &[u8], all: &mut Vec<(&'static str, Box<str>)>) {
    let mut rest = value.get(5..).unwrap_or_default();
    while let Some((kind, value)) = next_extra(&mut rest) {
        let name = match kind {
            0x21 => "tls version",
            0x22 => "client certificate",
            0x23 => "tls cipher",
            _ => continue,
        };
        all.push((name, text(value)));
    }
}

fn text(bytes: &[u8]) -> Box<str> {
    bytes[..bytes.len().min(MAX_EXTRA_BYTES)].escape_ascii().to_string().into()
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

    fn header(version: u8, len: usize, addresses: Option<(SocketAddr, SocketAddr)>) -> Parsed {
        let header = ProxyHeader { version, own: addresses.is_none(), addresses, ..ProxyHeader::default() };
        Parsed::Header { len, header }
    }

    #[test]
    fn reads_version_1() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\nGET /";
        let expected = addresses("192.0.2.1:51234", "198.51.100.2:443");
        assert_eq!(parse(line), header(1, 45, expected));
        assert_eq!(parse(&line[..30]), Parsed::More);
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), header(1, 15, None));
        assert_eq!(parse(b"PROXY TCP4 192.0.2.1 198.51.100.2 512345 443\r\n"), Parsed::Broken);
        assert_eq!(parse(&[b"PROXY ".as_slice(), &[b'x'; 200]].concat()), Parsed::Broken);
    }

    #[test]
    fn reads_version_2_with_what_follows_the_addresses() {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([0x21, 0x11, 0, 15, 192, 0, 2, 1, 198, 51, 100, 2, 0xc8, 0x22, 1, 0xbb, 4, 0, 0]);
        let expected = addresses("192.0.2.1:51234", "198.51.100.2:443");
        assert_eq!(parse(&bytes), header(2, 31, expected));
        for cut in 12..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Parsed::More);
        }
        bytes[12] = 0x20;
        assert_eq!(parse(&bytes), header(2, 31, None));
        bytes[12] = 0x31;
        assert_eq!(parse(&bytes), Parsed::Broken);
    }
    #[test]
    fn reads_what_version_2_adds() {
        let extra = |kind: u8, value: &[u8]| [&[kind, 0, value.len() as u8], value].concat();
        let tls = [&[7, 0, 0, 0, 0][..], &extra(0x21, b"TLSv1.3"), &extra(0x23, b"TLS_AES_128_GCM_SHA256")]
            .concat();
        let body = [
            &[192, 0, 2, 1, 198, 51, 100, 2, 0xc8, 0x22, 1, 0xbb][..],
            &extra(1, b"h2"),
            &extra(2, b"shop.example"),
            &extra(4, &[0; 5]),
            &extra(0x20, &tls),
            // The last one is longer than the header: it is no longer told.
            &[5, 0, 9, b'x'],
        ]
        .concat();
        let bytes = [V2_SIGNATURE, &[0x21, 0x11, 0, body.len() as u8], &body].concat();
        let Parsed::Header { header, .. } = parse(&bytes) else { panic!("no header") };
        let told: Vec<(&str, &str)> = header.extras.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(
            told,
            [
                ("alpn", "h2"),
                ("authority", "shop.example"),
                ("tls version", "TLSv1.3"),
                ("tls cipher", "TLS_AES_128_GCM_SHA256")
            ]
        );
    }
}
