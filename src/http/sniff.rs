//! Tells by content what a stream carries: ports lie (a proxy may listen on 22, a client may come from 5432).

use memchr::memchr;

use crate::tcp::Side;

use super::FirstBytes;

/// The longest method token that is believed.
const MAX_METHOD: usize = 24;

/// Which side sends a segment that starts like this, where its bytes tell.
#[inline]
pub(super) fn sender_of(payload: &[u8]) -> Option<Side> {
    if is_status_line(payload) {
        Some(Side::Server)
    } else if is_request_line(payload) || is_http2_preface(payload) {
        Some(Side::Client)
    } else if is_tls(payload) {
        // The first handshake message: ClientHello or ServerHello (RFC 8446, section 4).
        match payload.get(5) {
            Some(1) => Some(Side::Client),
            Some(2) => Some(Side::Server),
            _ => None,
        }
    } else {
        None
    }
}

/// What the first bytes of a side are.
pub(super) fn first_bytes(bytes: &[u8]) -> FirstBytes {
    if is_status_line(bytes) {
        FirstBytes::HttpResponse
    } else if is_http2_preface(bytes) {
        FirstBytes::Http2Preface
    } else if bytes.starts_with(b"PROXY ") {
        FirstBytes::ProxyV1
    } else if bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        FirstBytes::ProxyV2
    } else if is_request_line(bytes) || may_become_request(bytes) && bytes.len() >= 3 {
        FirstBytes::HttpRequest
    } else if is_tls(bytes) {
        FirstBytes::TlsHandshake
    } else if matches!(bytes, [0x15, 3, 0..=4, 0, 2, 1..=2, _, ..]) {
        FirstBytes::TlsAlert
    } else if is_http2_frame(bytes) {
        FirstBytes::Http2Frames
    } else {
        FirstBytes::Other
    }
}

/// Whether the bytes start with an HTTP/2 SETTINGS frame (6 bytes a setting) or GOAWAY frame on stream 0
/// (RFC 9113, sections 6.5 and 6.8).
fn is_http2_frame(bytes: &[u8]) -> bool {
    let [a, b, c, kind, flags, 0, 0, 0, 0, ..] = *bytes else { return false };
    let len = u32::from_be_bytes([0, a, b, c]);
    match kind {
        4 => flags <= 1 && len.is_multiple_of(6) && len <= 600,
        7 => flags == 0 && (8..16_384).contains(&len),
        _ => false,
    }
}

/// Whether the bytes start with the head of an HTTP/1 status line (RFC 9112, section 4).
#[inline]
pub(super) fn is_status_line(bytes: &[u8]) -> bool {
    bytes.len() >= 12
        && bytes.starts_with(b"HTTP/1.")
        && bytes[8] == b' '
        && bytes[9..12].iter().all(u8::is_ascii_digit)
}

/// Whether the bytes start with a request line of HTTP/1 (RFC 9112, section 3). A line longer than the
/// bytes is taken on the word of a well-known method.
#[inline]
pub(super) fn is_request_line(bytes: &[u8]) -> bool {
    let Some(blank) = method_len(bytes) else { return false };
    match memchr(b'\n', bytes) {
        Some(end) => {
            let line = bytes[..end].trim_ascii_end();
            line.len() > blank + 10 && line[line.len() - 9..line.len() - 1] == *b" HTTP/1."
        }
        None => is_known_method(&bytes[..blank]) && bytes.get(blank + 1).is_some_and(|b| b"/*h".contains(b)),
    }
}

/// Whether more bytes could make these the start of a request line.
pub(super) fn may_become_request(bytes: &[u8]) -> bool {
    match method_len(bytes) {
        Some(blank) => bytes.get(blank + 1).is_none_or(|b| !b.is_ascii_whitespace()),
        None => bytes.len() <= MAX_METHOD && bytes.iter().all(|&b| is_method_byte(b)),
    }
}

/// Whether more bytes could make these the start of a status line.
pub(super) fn may_become_response(bytes: &[u8]) -> bool {
    let prefix = b"HTTP/1.";
    let known = bytes.len().min(prefix.len());
    bytes[..known] == prefix[..known]
}

/// Whether the bytes start with a TLS handshake record (RFC 8446, section 5.1).
#[inline]
pub(super) fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x16, 3, 0..=4, ..])
}

/// Whether the bytes start with the HTTP/2 connection preface (RFC 9113, section 3.4).
pub(super) fn is_http2_preface(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PRI * HTTP/2.0\r\n")
}

/// The length of the method token that a blank follows.
#[inline]
fn method_len(bytes: &[u8]) -> Option<usize> {
    let blank = bytes.iter().take(MAX_METHOD + 1).position(|&b| !is_method_byte(b))?;
    (blank >= 2 && bytes[blank] == b' ').then_some(blank)
}

/// Methods are tokens (RFC 9110, section 5.6.2); those in use are upper-case letters with `-` or `_`.
#[inline]
fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'-' || byte == b'_'
}

fn is_known_method(token: &[u8]) -> bool {
    const KNOWN: [&[u8]; 9] =
        [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];
    KNOWN.contains(&token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_sender_by_the_first_bytes() {
        let cases: [(&[u8], Option<Side>); 9] = [
            (b"GET / HTTP/1.1\r\n", Some(Side::Client)),
            (b"M-SEARCH * HTTP/1.1\r\n", Some(Side::Client)),
            (b"GET /a-target-that-goes-on", Some(Side::Client)),
            (b"HTTP/1.0 200 OK\r\n", Some(Side::Server)),
            (b"\x16\x03\x01\x02\x00\x01", Some(Side::Client)),
            (b"\x16\x03\x03\x00\x7a\x02", Some(Side::Server)),
            (b"SSH-2.0-OpenSSH_9.2\r\n", None),
            (b"HELO mail.example\r\n", None),
            (b"", None),
        ];
        for (bytes, sender) in cases {
            assert_eq!(sender_of(bytes), sender, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_start_may_come_in_pieces() {
        assert!(may_become_request(b"GE"));
        assert!(may_become_request(b"POST /x"));
        assert!(!may_become_request(b"{\"a\":1}"));
        assert!(may_become_response(b"HTT"));
        assert!(!may_become_response(b"HTTQ"));
    }
}
