//! The heads of messages: start line and headers, through `httparse`, to what framing and pairing need. What it
//! refuses is read leniently, line by line.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::num::NonZeroU16;

use memchr::memchr;

use super::lenient::{self, LenientHead};
use super::load::Context;
use super::oddity::{Oddities, Oddity};
use super::reading::Reading;
use super::sniff;
use super::{CaptureFacts, ExchangeFlags, Framing, Method, NameId, Protocol, Text, Version};

/// Most headers whose digests are kept of one head; further ones are read for framing only.
pub(super) const MAX_HEADERS: usize = 256;
// The words of [`super::oddity::Oddity::ManyHeaders`] name it.
const _: () = assert!(MAX_HEADERS == 256);

/// A request's head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestHead {
    pub method: Method,
    pub target: Text,
    pub host: Option<NameId>,
    pub headers: (u32, u16),
    pub header_lines: u16,
    pub version: Version,
    pub framing: Framing,
    pub flags: u32,
}

/// A response's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseHead {
    pub status: u16,
    pub version: Version,
    /// As the headers say; method and status may overrule it.
    pub framing: Framing,
    pub flags: u32,
    pub header_lines: u16,
    pub server: Option<NameId>,
    pub via: Option<NameId>,
    /// What its `Upgrade` header leads to.
    pub upgrade: Option<Protocol>,
    /// The `Upgrade` header's value.
    pub upgrade_name: Option<NameId>,
}

/// The end of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadEnd {
    /// The head's length in bytes, its empty line included.
    pub len: usize,
    /// Whether all its lines end in CRLF.
    pub crlf: bool,
}

/// The end of the head at the start of `bytes`; lines may end in a bare LF (RFC 9112, section 2.2).
#[inline]
pub(super) fn head_end(bytes: &[u8]) -> Option<HeadEnd> {
    let (mut at, mut crlf) = (0, true);
    while let Some(found) = memchr(b'\n', &bytes[at..]) {
        at += found + 1;
        crlf &= at >= 2 && bytes[at - 2] == b'\r';
        match &bytes[at..] {
            [b'\n', ..] => return Some(HeadEnd { len: at + 1, crlf: false }),
            [b'\r', b'\n', ..] => return Some(HeadEnd { len: at + 2, crlf }),
            _ => {}
        }
    }
    None
}

/// Reads a request's head; `None` when its first line is no request's.
pub(super) fn request(bytes: &[u8], crlf: bool, frame: u32, context: &mut Context) -> Option<RequestHead> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let strict = httparse::ParserConfig::default();
    let result = strict.parse_request_with_uninit_headers(&mut parsed, bytes, &mut headers);
    if !matches!(result, Ok(httparse::Status::Complete(_))) {
        return lenient_request(&lenient::read(bytes, true), frame, context);
    }
    let mut reading = Reading::start(context);
    for header in parsed.headers.iter() {
        reading.request_header(header.name, header.value, context);
    }
    let (name, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    if name.bytes().any(|b| b.is_ascii_lowercase()) {
        reading.oddities.add(Oddity::Method);
    }
    if !crlf {
        reading.oddities.add(Oddity::BareLf);
    }
    Some(reading.end_request(name.as_bytes(), target.as_bytes(), version(parsed.version), frame, context))
}

/// Reads a request's head that breaks the grammar.
#[cold]
fn lenient_request(lines: &LenientHead<'_>, frame: u32, context: &mut Context) -> Option<RequestHead> {
    let names_host = || lines.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"host"));
    let is_request = sniff::resembles_request_line(lines.start_line)
        || sniff::is_bare_method(lines.start_line) && names_host();
    if !is_request {
        return None;
    }
    let mut reading = Reading::start(context);
    reading.oddities = lines.oddities;
    for (name, value) in &lines.fields {
        reading.request_header(&String::from_utf8_lossy(name), value, context);
    }
    reading.lines = lines.lines;
    let (method, target, version) = lenient::request_line(lines.start_line, &mut reading.oddities);
    // More spaces than one are common enough that servers take them; anything else they may refuse.
    let invalid = lines.has_invalid_line() || reading.oddities.has(Oddity::Version) || version.is_none();
    let mut head = reading.end_request(method, target, version.unwrap_or_default(), frame, context);
    if invalid || reading.oddities.has(Oddity::RequestLine) && target.iter().any(u8::is_ascii_whitespace) {
        head.flags |= ExchangeFlags::REQUEST_INVALID;
    }
    Some(head)
}

/// What a request's head tells that was cut off in the capture or by its sender: nothing odd in that.
#[cold]
pub(super) fn cut_request(bytes: &[u8], context: &mut Context) -> RequestHead {
    let lines = lenient::read(bytes, false);
    let mut reading = Reading::start(context);
    for (name, value) in &lines.fields {
        reading.request_header(&String::from_utf8_lossy(name), value, context);
    }
    let (name, target, version) = lenient::request_line(lines.start_line, &mut Oddities::default());
    let is_line_cut = version.is_none() && memchr(b'\n', bytes).is_none();
    let target = if is_line_cut { cut_target(target, lines.start_line) } else { target.into() };
    RequestHead {
        method: method(&String::from_utf8_lossy(name), &mut context.facts),
        target: context.facts.add_text(&target),
        host: reading.host,
        headers: context.facts.add_headers(&context.digests),
        header_lines: lines.lines as u16,
        version: version.unwrap_or_default(),
        ..RequestHead::default()
    }
}

/// The target of a line that was cut before its version was whole: without the version's beginning, and with an ellipsis
/// where more of the target may have followed.
fn cut_target<'a>(target: &'a [u8], line: &[u8]) -> Cow<'a, [u8]> {
    if let Some(blank) = target.iter().rposition(u8::is_ascii_whitespace)
        && b"HTTP/".starts_with(&target[blank + 1..])
    {
        return target[..blank].trim_ascii_end().into();
    }
    let is_whole = target.is_empty() || line.ends_with(b" ");
    if is_whole { target.into() } else { [target, "…".as_bytes()].concat().into() }
}

/// A request of HTTP/0.9: its one line.
#[cold]
pub(super) fn simple_request(line: &[u8], context: &mut Context) -> RequestHead {
    let (_, target, _) = lenient::request_line(line, &mut Oddities::default());
    RequestHead {
        method: Method::Get,
        target: context.facts.add_text(target),
        version: Version::Http09,
        flags: ExchangeFlags::CLIENT_CLOSES,
        ..RequestHead::default()
    }
}

/// Reads a response's head; `None` when its status line cannot be read.
pub(super) fn response(bytes: &[u8], crlf: bool, frame: u32, context: &mut Context) -> Option<ResponseHead> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let strict = httparse::ParserConfig::default();
    let result = strict.parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers);
    let (Some(status), Ok(httparse::Status::Complete(_))) = (parsed.code, result) else {
        return lenient_response(bytes, frame, context);
    };
    let mut reading = Reading::default();
    for header in parsed.headers.iter() {
        reading.response_header(header.name, header.value, context);
    }
    if !crlf {
        reading.oddities.add(Oddity::BareLf);
    }
    if matches!(bytes.get(12), Some(b'\r' | b'\n')) {
        reading.oddities.add(Oddity::NoReason);
    }
    Some(reading.end_response(status, version(parsed.version), false, frame, context))
}

#[cold]
fn lenient_response(bytes: &[u8], frame: u32, context: &mut Context) -> Option<ResponseHead> {
    let lines = lenient::read(bytes, true);
    let mut reading = Reading { oddities: lines.oddities, ..Reading::default() };
    let (version, status) = lenient::status_line(lines.start_line, &mut reading.oddities)?;
    for (name, value) in &lines.fields {
        reading.response_header(&String::from_utf8_lossy(name), value, context);
    }
    reading.lines = lines.lines;
    Some(reading.end_response(status, version, lines.has_invalid_line(), frame, context))
}

/// Reads the head of a response through a gateway interface: header fields, among them `Status` (RFC 3875,
/// section 6.3), or a whole HTTP head.
pub(super) fn gateway_response(bytes: &[u8], frame: u32, context: &mut Context) -> Option<ResponseHead> {
    let ends = head_end(bytes);
    let crlf = ends.is_some_and(|end| end.crlf);
    if bytes.starts_with(b"HTTP/") {
        return response(bytes, crlf, frame, context);
    }
    let whole = [b"HTTP/1.1 200 OK\r\n", bytes].concat();
    let lines = lenient::read(&whole, true);
    let status = lines.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"status"));
    let digits = status.and_then(|(_, value)| std::str::from_utf8(value.get(..3)?).ok()?.parse().ok());
    // A redirect needs no status of its own (RFC 3875, section 6.2.3), and servers answer it with 302.
    let redirects = lines.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"location"));
    let mut reading = Reading::default();
    for (name, value) in &lines.fields {
        reading.response_header(&String::from_utf8_lossy(name), value, context);
    }
    reading.lines = lines.lines;
    let head = reading.end_response(
        digits.unwrap_or(if redirects { 302 } else { 200 }),
        Version::Http11,
        lines.has_invalid_line(),
        frame,
        context,
    );
    // Who speaks through a gateway closes when it is done.
    Some(ResponseHead { flags: head.flags & !ExchangeFlags::UNFRAMED, ..head })
}

/// Version and status at the start of a response head, which may be cut behind them.
pub(super) fn status_line(bytes: &[u8]) -> Option<(Version, u16)> {
    let line = &bytes[..memchr(b'\n', bytes).unwrap_or(bytes.len())];
    lenient::status_line(line.trim_ascii_end(), &mut Oddities::default())
}

/// A status as the facts keep it.
pub(super) fn status(code: u16) -> Option<NonZeroU16> {
    NonZeroU16::new(code)
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::Http10 } else { Version::Http11 }
}

/// A method by its token; a token that no one can mean (empty, or longer than 64 bytes) is `Missing`.
pub(super) fn method(name: &str, facts: &mut CaptureFacts) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other if other.is_empty() || other.len() > 64 => Method::Missing,
        other => Method::Other(facts.intern(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_a_head_with_either_line_end() {
        assert_eq!(head_end(b"A: b\r\n\r\nbody"), Some(HeadEnd { len: 8, crlf: true }));
        assert_eq!(head_end(b"A: b\n\nbody"), Some(HeadEnd { len: 6, crlf: false }));
        assert_eq!(head_end(b"A: b\r\n\r"), None);
    }

    #[test]
    fn reads_framing_and_flags() {
        let mut context = Context::default();
        let head = request(
            b"POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length: 5, 5\r\nConnection: Close\r\nExpect: 100-continue\r\n\r\n",
            true,
            1,
            &mut context,
        )
        .unwrap();
        assert_eq!((head.method, head.framing), (Method::Post, Framing::Length(5)));
        assert_eq!(head.flags, ExchangeFlags::CLIENT_CLOSES | ExchangeFlags::EXPECTS_CONTINUE);
        assert_eq!(context.facts.name(head.host.unwrap()), "shop");
        let head = response(
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\nServer: nginx\r\n\r\n",
            true,
            1,
            &mut context,
        )
        .unwrap();
        assert_eq!((head.status, head.framing), (200, Framing::Chunked));
        let conflicting = ExchangeFlags::CONFLICTING_FRAMING | ExchangeFlags::RESPONSE_CONFLICTING_FRAMING;
        assert_eq!(head.flags, ExchangeFlags::SERVER_CLOSES | conflicting | ExchangeFlags::AMBIGUOUS_FRAMING);
    }

    #[test]
    fn chunked_more_than_once_is_read_in_different_ways() {
        let ambiguous = |coding: &str| {
            let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n");
            let head = response(bytes.as_bytes(), true, 1, &mut Context::default()).unwrap();
            head.flags & ExchangeFlags::AMBIGUOUS_FRAMING != 0
        };
        assert!(ambiguous("chunked, chunked") && ambiguous("chunked, gzip"));
        assert!(!ambiguous("gzip, chunked") && !ambiguous("chunked"));
    }

    #[test]
    fn a_control_byte_in_a_response_header_costs_that_header_only() {
        let mut context = Context::default();
        let bytes = b"HTTP/1.1 200 OK\r\nX-Bad\0Name: 1\r\nContent-Length: 3\r\n\r\n";
        let head = response(bytes, true, 1, &mut context).unwrap();
        assert_eq!((head.status, head.framing), (200, Framing::Length(3)));
        assert_ne!(head.flags & ExchangeFlags::INVALID_HEADER, 0);
    }

    #[test]
    fn a_cut_target_holds_nothing_of_the_version_and_says_that_it_is_cut() {
        let mut context = Context::default();
        let mut target = |bytes: &[u8]| {
            let head = cut_request(bytes, &mut context);
            context.facts.text(head.target).into_owned()
        };
        for whole in
            ["GET /one ", "GET /one H", "GET /one HTTP/", "GET /one HTTP/1", "GET /one HTTP/1.1\r\nHo"]
        {
            assert_eq!(target(whole.as_bytes()), "/one", "{whole}");
        }
        assert_eq!(target(b"GET /o"), "/o…");
        assert_eq!(target(b"GET /one HTML"), "/one HTML…");
        assert_eq!(target(b"GET "), "");
    }

    #[test]
    fn a_redirect_through_a_gateway_needs_no_status() {
        let mut context = Context::default();
        let mut status = |bytes: &[u8]| gateway_response(bytes, 1, &mut context).unwrap().status;
        assert_eq!(status(b"Location: http://shop/a\r\n\r\n"), 302);
        assert_eq!(status(b"Status: 201 Created\r\nLocation: /a\r\n\r\n"), 201);
        assert_eq!(status(b"Content-Type: text/plain\r\n\r\n"), 200);
    }

    #[test]
    fn a_malformed_head_keeps_its_first_line() {
        let mut context = Context::default();
        let head = request(b"GET /x HTTP/9.9\r\n\r\n", true, 1, &mut context).unwrap();
        assert_eq!((head.method, &*context.facts.text(head.target)), (Method::Get, "/x"));
    }
}
