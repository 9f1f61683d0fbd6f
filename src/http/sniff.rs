//! Tells by content what a stream carries: ports lie (a proxy may listen on 22, a client may come from 5432).

use memchr::memchr;

use crate::tcp::Side;

use super::lenient::is_token_byte;
use super::{FirstBytes, fastcgi, proxy, tls, uwsgi};

/// A status is awaited in so many bytes.
const MAX_STATUS_LINE: usize = 32;
/// The longest method token that is believed; the longest that is registered has 17 bytes.
const MAX_METHOD: usize = 32;

/// Which side sends a segment that starts like this, where its bytes tell.
#[inline]
pub(super) fn sender_of(payload: &[u8]) -> Option<Side> {
    if is_status_line(payload) {
        return Some(Side::Server);
    }
    match payload.first()? {
        // The first handshake message: ClientHello or ServerHello (RFC 8446, section 4).
        0x16 if is_tls(payload) => match payload.get(5) {
            Some(1) => Some(Side::Client),
            Some(2) => Some(Side::Server),
            _ => None,
        },
        0..=31 => {
            let binary = payload.starts_with(proxy::V2_SIGNATURE)
                || fastcgi::starts_record(Side::Client, payload) == Some(true)
                || uwsgi::starts_packet(payload) == Some(true);
            binary.then_some(Side::Client)
        }
        _ => {
            let text = starts_request(payload) || is_http2_preface(payload) || payload.starts_with(V1_START);
            text.then_some(Side::Client)
        }
    }
}

/// What the start of a stream tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// What it is.
    Is(FirstBytes),
    /// More bytes are needed.
    More,
}

/// What the first bytes of a side are.
pub(super) fn first_bytes(from: Side, bytes: &[u8]) -> Sniffed {
    if let Some(kind) = binary(from, bytes) {
        return kind;
    }
    let text = [
        (V1_START, FirstBytes::ProxyV1),
        (proxy::V2_SIGNATURE, FirstBytes::ProxyV2),
        (H2_PREFACE, FirstBytes::Http2Preface),
    ];
    for (start, kind) in text {
        if bytes.starts_with(start) {
            return Sniffed::Is(kind);
        }
        if start.starts_with(bytes) {
            return Sniffed::More;
        }
    }
    if from == Side::Server {
        return if is_status_line(bytes) {
            Sniffed::Is(FirstBytes::HttpResponse)
        } else if bytes.len() < MAX_STATUS_LINE
            && memchr(b'\n', bytes).is_none()
            && may_become_response(bytes)
        {
            Sniffed::More
        } else {
            Sniffed::Is(FirstBytes::Other)
        };
    }
    // Empty lines before a request line are skipped (RFC 9112, section 2.2).
    let line = bytes.trim_ascii_start();
    if is_request_line(line) {
        Sniffed::Is(FirstBytes::HttpRequest)
    } else if memchr(b'\n', line).is_none() && may_become_request(line) {
        Sniffed::More
    } else {
        Sniffed::Is(FirstBytes::Other)
    }
}

/// What the first bytes are as far as they go, when no more can be waited for.
pub(super) fn guess(from: Side, bytes: &[u8]) -> FirstBytes {
    match first_bytes(from, bytes) {
        Sniffed::Is(kind) => kind,
        Sniffed::More if from == Side::Client && begins_request(bytes) => FirstBytes::HttpRequest,
        Sniffed::More => FirstBytes::Other,
    }
}

const V1_START: &[u8] = b"PROXY ";
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Binary protocols, each by its fixed bytes; `None` when it is none of them.
fn binary(from: Side, bytes: &[u8]) -> Option<Sniffed> {
    let is = |kind| Some(Sniffed::Is(kind));
    match bytes {
        [b' '..=b'~' | b'\r' | b'\n', ..] => None,
        [0x16] | [0x16, 3] => Some(Sniffed::More),
        [0x16, 3, 0..=4, ..] => is(FirstBytes::TlsHandshake),
        [0x15, 3, 0..=4, 0, 2, 1..=2, _, ..] => is(FirstBytes::TlsAlert),
        [0x15, 3, rest @ ..] if rest.len() < 5 => Some(Sniffed::More),
        [0x17, 3, ..] if tls::starts_data(bytes) => is(FirstBytes::TlsData),
        _ if is_http2_frame(bytes) => is(FirstBytes::Http2Frames),
        [1, ..] if from == Side::Client || bytes.len() < 8 => match fastcgi::starts_record(from, bytes) {
            Some(true) => is(FirstBytes::FastCgi),
            Some(false) => uwsgi_packet(from, bytes),
            None => Some(Sniffed::More),
        },
        [1, ..] if fastcgi::starts_record(from, bytes) == Some(true) => is(FirstBytes::FastCgi),
        _ => uwsgi_packet(from, bytes),
    }
}

fn uwsgi_packet(from: Side, bytes: &[u8]) -> Option<Sniffed> {
    if from == Side::Server {
        // An HTTP/2 frame's header may come in pieces.
        return (bytes.len() < 9 && matches!(bytes, [0, ..])).then_some(Sniffed::More);
    }
    match uwsgi::starts_packet(bytes) {
        Some(true) => Some(Sniffed::Is(FirstBytes::Uwsgi)),
        Some(false) => None,
        None => Some(Sniffed::More),
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

/// Whether the bytes start with the head of an HTTP/1 status line (RFC 9112, section 4). More blanks than one are
/// let go, and any version's number.
#[inline]
pub(super) fn is_status_line(bytes: &[u8]) -> bool {
    bytes.len() >= 12 && bytes.starts_with(b"HTTP/") && bytes[8] == b' ' && has_status(&bytes[9..])
}

/// Whether a segment starts a response, by all that is there of it: fragments of IP may cut its first word short.
pub(super) fn starts_response(bytes: &[u8]) -> bool {
    is_status_line(bytes) || (4..12).contains(&bytes.len()) && may_become_response(bytes)
}

fn has_status(bytes: &[u8]) -> bool {
    let digits = bytes.trim_ascii_start();
    digits.len() >= 3 && digits[..3].iter().all(u8::is_ascii_digit)
}

/// Whether the bytes start with a request line of HTTP/1 (RFC 9112, section 3), or of HTTP/0.9, where it is all
/// there is. A line longer than the bytes is taken on the word of a well-known method.
#[inline]
pub(super) fn is_request_line(bytes: &[u8]) -> bool {
    let Some(blank) = method_len(bytes) else { return false };
    match memchr(b'\n', bytes) {
        Some(end) => {
            let line = bytes[..end].trim_ascii_end();
            has_version(line) && line.len() > blank + 9
                || is_simple_request(&bytes[..=end]) && bytes.len() == end + 1
        }
        None => bytes.len() > LONG_LINE && begins_request(bytes),
    }
}

/// Whether a segment starts a request, by all that is there of it. In capitals only: the rest of a body may stand right
/// before the next request, and make one word with its method.
#[inline]
pub(super) fn starts_request(bytes: &[u8]) -> bool {
    has_method_in_capitals(bytes) && is_request_line(bytes)
        || memchr(b'\n', bytes).is_none() && begins_request(bytes)
}

fn has_method_in_capitals(bytes: &[u8]) -> bool {
    method_len(bytes).is_some_and(|blank| !bytes[..blank].iter().any(u8::is_ascii_lowercase))
}

/// Whether the bytes begin as a request line, whose end is not there.
pub(super) fn begins_request(bytes: &[u8]) -> bool {
    let Some(blank) = method_len(bytes) else { return false };
    // Fragments of IP may end behind the blank.
    let Some(target) = bytes.get(blank + 1) else { return KNOWN_METHODS.contains(&&bytes[..blank]) };
    KNOWN_METHODS.contains(&&bytes[..blank])
        && (TARGET_STARTS.contains(target)
            || bytes.starts_with(b"CONNECT ") && (target.is_ascii_alphanumeric() || *target == b'['))
}

/// Whether the line is a whole request of HTTP/0.9: `GET`, a path and a line end, and no version.
pub(super) fn is_simple_request(line: &[u8]) -> bool {
    let text = line.trim_ascii_end();
    line.ends_with(b"\n") && text.starts_with(b"GET /") && text[5..].iter().all(u8::is_ascii_graphic)
}

/// Whether a line ends in ` HTTP/1.1`, in any version's numbers.
fn has_version(line: &[u8]) -> bool {
    let before = line.len().checked_sub(9).map(|at| line[at]);
    matches!(before, Some(b' ' | b'\t')) && ends_in_version(line)
}

fn ends_in_version(line: &[u8]) -> bool {
    let Some([name @ .., b'/', b'0'..=b'9', b'.', b'0'..=b'9']) = line.last_chunk::<8>() else {
        return false;
    };
    name.eq_ignore_ascii_case(b"HTTP")
}

/// Whether a line is a request's, if a broken one: it ends in a version, be that broken too (`HTTP/1.`), or begins as only
/// requests do. Lines of other text protocols (`EHLO mail.example`, `USER anonymous`) are none.
pub(super) fn resembles_request_line(line: &[u8]) -> bool {
    method_len(line).is_some() && ends_like_version(line.trim_ascii_end()) || begins_request(line)
}

/// Whether a line's last word is `HTTP/` with whatever stands behind.
fn ends_like_version(line: &[u8]) -> bool {
    let last = line.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
    last.len() <= 8 && last.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/"))
        || ends_in_version(line)
}

/// Whether a line is a well-known method and nothing else: no request, save above header fields that only requests have.
pub(super) fn is_bare_method(line: &[u8]) -> bool {
    KNOWN_METHODS.contains(&line.trim_ascii_end())
}

/// Whether bytes whose line goes on may be the start of a request line where requests are sent: any method in capitals,
/// and a target.
pub(super) fn has_method_and_target(bytes: &[u8]) -> bool {
    let target = method_len(bytes).and_then(|blank| bytes.get(blank + 1));
    target.is_some_and(|b| TARGET_STARTS.contains(b)) && has_method_in_capitals(bytes)
}

/// Whether more bytes could make these the start of a request line.
pub(super) fn may_become_request(bytes: &[u8]) -> bool {
    match method_len(bytes) {
        Some(blank) => bytes.get(blank + 1).is_none_or(|b| !matches!(b, b'\r' | b'\n')),
        None => {
            bytes.len() <= MAX_METHOD && bytes.iter().all(|&b| is_token_byte(b))
                || memchr(b'\n', bytes).is_some_and(|end| is_bare_method(&bytes[..end]))
        }
    }
}

/// Whether more bytes could make these the start of a status line.
pub(super) fn may_become_response(bytes: &[u8]) -> bool {
    let prefix = b"HTTP/";
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

/// The length of the method that a blank follows. Methods are tokens, and case-sensitive (RFC 9110, section 9.1): `get`
/// is none of the registered ones, and a request all the same. Some servers take a tab for the blank (RFC 9112,
/// section 3).
#[inline]
fn method_len(bytes: &[u8]) -> Option<usize> {
    let blank = bytes.iter().take(MAX_METHOD + 1).position(|&b| !is_token_byte(b))?;
    (blank > 0 && matches!(bytes[blank], b' ' | b'\t')).then_some(blank)
}

/// Methods that are believed before the line's end is there.
const KNOWN_METHODS: [&[u8]; 16] = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"REPORT",
];

/// What targets begin with: a path, `*`, or the scheme of an absolute URI (RFC 9112, section 3.2).
const TARGET_STARTS: &[u8] = b"/*h";

/// A start of a line that is longer than this is not waited for to end, where its method is known.
const LONG_LINE: usize = 200;

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
