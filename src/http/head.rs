//! The heads of messages: start line and headers, through `httparse`, to what framing and pairing need.

use std::mem::MaybeUninit;
use std::num::NonZeroU16;

use memchr::memchr;

use crate::capture::{ProblemKind, Problems};

use super::load::Context;
use super::{ExchangeFlags, Framing, HeaderDigest, Method, NameId, Text, Version};

/// Most headers read of one head; further ones make it malformed.
const MAX_HEADERS: usize = 256;

/// A request's head.
#[derive(Clone, Copy, Debug)]
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
}

/// The length of the head at the start of `bytes`, its empty line included; lines may end in a bare LF
/// (RFC 9112, section 2.2). Nothing before `from` can end it.
#[inline]
pub(super) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = memchr(b'\n', &bytes[at..]) {
        at += found + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Reads a request's head. A malformed one gives what its first line tells, and a problem.
pub(super) fn request(bytes: &[u8], frame: u32, context: &mut Context) -> RequestHead {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    config.allow_multiple_spaces_in_request_line_delimiters(true);
    config.ignore_invalid_headers_in_requests(true);
    let result = config.parse_request_with_uninit_headers(&mut parsed, bytes, &mut headers);
    if !matches!(result, Ok(httparse::Status::Complete(_))) {
        return malformed_request(bytes, frame, context);
    }
    let version = version(parsed.version);
    let mut fields = Fields::default();
    context.digests.clear();
    let mut host = None;
    for header in parsed.headers.iter() {
        let name = context.facts.intern_header(header.name);
        let spelt = context.facts.name(name);
        context.digests.push(HeaderDigest::of(name, spelt, header.value));
        if header.name.eq_ignore_ascii_case("host") {
            fields.hosts += 1;
            host = host.or_else(|| Some(context.facts.intern(&String::from_utf8_lossy(header.value))));
        } else {
            fields.read(header.name, header.value);
        }
    }
    let (facts, digests) = (&mut context.facts, &context.digests);
    let mut flags = fields.flags(version, ExchangeFlags::CLIENT_CLOSES);
    if fields.is_bad_request(version)
        || parsed.method.is_some_and(|m| m.bytes().any(|b| b.is_ascii_lowercase()))
    {
        flags |= ExchangeFlags::REQUEST_INVALID;
    }
    let head = RequestHead {
        method: method(parsed.method.unwrap_or_default(), facts),
        target: facts.add_text(parsed.path.unwrap_or_default().as_bytes()),
        host,
        headers: facts.add_headers(digests),
        version,
        framing: fields.framing().unwrap_or(Framing::None),
        header_lines: parsed.headers.len() as u16,
        flags,
    };
    fields.complain(frame, context);
    head
}

/// Reads a response's head; `None` when its status line cannot be read.
pub(super) fn response(bytes: &[u8], frame: u32, context: &mut Context) -> Option<ResponseHead> {
    let head = read_response(bytes, frame, context).or_else(|| {
        // Control bytes in a field stop the parser, and the fields around it are good all the same.
        let control = |&b: &u8| b < b' ' && !matches!(b, b'\r' | b'\n' | b'\t') || b == 0x7f;
        let cleaned: Vec<u8> = bytes.iter().map(|b| if control(b) { b'-' } else { *b }).collect();
        let mut head = read_response(&cleaned, frame, context)?;
        head.flags |= ExchangeFlags::INVALID_HEADER;
        Some(head)
    });
    if head.is_none() {
        context.report(
            ProblemKind::LenientHttp,
            format_args!(
                "packet {frame}: a response head that cannot be read; its connection is read on behind it"
            ),
        );
    }
    head
}

fn read_response(bytes: &[u8], frame: u32, context: &mut Context) -> Option<ResponseHead> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    config.allow_obsolete_multiline_headers_in_responses(true);
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    config.ignore_invalid_headers_in_responses(true);
    let result = config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers);
    let complete = matches!(result, Ok(httparse::Status::Complete(_)));
    let status = parsed.code.filter(|_| complete)?;
    let version = version(parsed.version);
    let mut fields = Fields::default();
    let mut server = None;
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("server") {
            server = Some(context.facts.intern(&String::from_utf8_lossy(header.value)));
        } else {
            fields.read(header.name, header.value);
        }
    }
    let head = ResponseHead {
        status,
        version,
        framing: fields.framing().unwrap_or(Framing::UntilClose),
        flags: fields.response_flags(version, has_invalid_line(bytes)),
        header_lines: parsed.headers.len() as u16,
        server,
    };
    fields.complain(frame, context);
    Some(head)
}

/// What the first line of a request tells, when the rest cannot be read (also of a head that was cut off).
pub(super) fn malformed_request(bytes: &[u8], frame: u32, context: &mut Context) -> RequestHead {
    context.report(
        ProblemKind::LenientHttp,
        format_args!("packet {frame}: a request head that cannot be read beyond its first line"),
    );
    let line = &bytes[..memchr(b'\n', bytes).unwrap_or(bytes.len())];
    let mut words = line.split(|&b| b == b' ');
    let name = String::from_utf8_lossy(words.next().unwrap_or_default()).trim().to_owned();
    RequestHead {
        method: method(&name, &mut context.facts),
        target: context.facts.add_text(words.next().unwrap_or_default().trim_ascii()),
        host: None,
        headers: (0, 0),
        version: Version::Http11,
        framing: Framing::None,
        header_lines: 0,
        flags: ExchangeFlags::REQUEST_INVALID,
    }
}

/// A status as the facts keep it.
pub(super) fn status(code: u16) -> Option<NonZeroU16> {
    NonZeroU16::new(code)
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::Http10 } else { Version::Http11 }
}

fn method(name: &str, facts: &mut super::CaptureFacts) -> Method {
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
        other => Method::Other(facts.intern(other)),
    }
}

/// The header fields that decide framing and the connection's life.
#[derive(Debug, Default)]
struct Fields {
    length: Option<u64>,
    bad_length: bool,
    chunked: bool,
    coded: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    upgrade: bool,
    connection_upgrade: bool,
    hosts: u32,
}

impl Fields {
    #[inline]
    fn read(&mut self, name: &str, value: &[u8]) {
        // The length of the name rules out nearly all others at once.
        match name.len() {
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expects_continue |= contains_token(value, "100-continue");
            }
            7 if name.eq_ignore_ascii_case("upgrade") => self.upgrade = true,
            10 if name.eq_ignore_ascii_case("connection") => {
                self.close |= contains_token(value, "close");
                self.keep_alive |= contains_token(value, "keep-alive");
                self.connection_upgrade |= contains_token(value, "upgrade");
            }
            14 if name.eq_ignore_ascii_case("content-length") => self.read_length(value),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.coded = true;
                // Only a final `chunked` frames the body (RFC 9112, section 6.3).
                let last = value.rsplit(|&b| b == b',').next().unwrap_or_default().trim_ascii();
                self.chunked = last.eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
    }

    fn read_length(&mut self, value: &[u8]) {
        for one in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
            let number = if one.is_empty() || !one.iter().all(u8::is_ascii_digit) {
                None
            } else {
                std::str::from_utf8(one).ok().and_then(|digits| digits.parse().ok())
            };
            match (number, self.length) {
                (Some(number), None) => self.length = Some(number),
                (Some(number), Some(known)) if number == known => {}
                _ => self.bad_length = true,
            }
        }
    }

    /// The framing that the headers ask for; `None` when they ask for none.
    fn framing(&self) -> Option<Framing> {
        match (self.coded, self.chunked, self.length) {
            (true, true, _) => Some(Framing::Chunked),
            (false, _, Some(length)) => Some(Framing::Length(length)),
            _ => None,
        }
    }

    fn flags(&self, version: Version, closes: u32) -> u32 {
        let mut flags = 0;
        if self.close || version == Version::Http10 && !self.keep_alive {
            flags |= closes;
        }
        if self.expects_continue {
            flags |= ExchangeFlags::EXPECTS_CONTINUE;
        }
        if self.upgrade && self.connection_upgrade {
            flags |= ExchangeFlags::UPGRADE;
        }
        if self.coded && self.length.is_some() {
            flags |= ExchangeFlags::CONFLICTING_FRAMING | ExchangeFlags::AMBIGUOUS_FRAMING;
        }
        if self.bad_length {
            flags |= ExchangeFlags::AMBIGUOUS_FRAMING;
        }
        flags
    }

    /// What a response's fields say. That it offers an upgrade is no request for one.
    fn response_flags(&self, version: Version, invalid_line: bool) -> u32 {
        let mut flags = self.flags(version, ExchangeFlags::SERVER_CLOSES) & !ExchangeFlags::UPGRADE;
        if flags & ExchangeFlags::CONFLICTING_FRAMING != 0 {
            flags |= ExchangeFlags::RESPONSE_CONFLICTING_FRAMING;
        }
        if self.bad_length || invalid_line {
            flags |= ExchangeFlags::INVALID_HEADER;
        }
        if version == Version::Http11 && !self.coded && self.length.is_none() && !self.close {
            flags |= ExchangeFlags::UNFRAMED;
        }
        flags
    }

    /// Whether servers refuse such a request (RFC 9112, sections 3.2 and 6.1).
    fn is_bad_request(&self, version: Version) -> bool {
        let host = match version {
            Version::Http11 => self.hosts != 1,
            Version::Http10 => self.hosts > 1,
        };
        host || self.bad_length || self.coded && self.length.is_some()
    }

    fn complain(&self, frame: u32, context: &mut Context) {
        if self.bad_length {
            context.report(
                ProblemKind::LenientHttp,
                format_args!(
                    "packet {frame}: a Content-Length that is no single number; the first was taken"
                ),
            );
        }
    }
}

/// Whether a head holds a line that is no header field: no colon, an empty name, whitespace before the colon, or
/// a control byte.
fn has_invalid_line(head: &[u8]) -> bool {
    let mut lines =
        head.split(|&b| b == b'\n').skip(1).map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty());
    lines.any(|line| {
        // A line that starts with whitespace goes on with the field before it (RFC 9112, section 5.2).
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        let control = line.iter().any(|&b| b < b' ' && b != b'\t' || b == 0x7f);
        let name = memchr(b':', line).map_or(&b""[..], |colon| &line[..colon]);
        control || !folded && (name.is_empty() || name.ends_with(b" ") || name.ends_with(b"\t"))
    })
}

/// Whether a comma-separated list holds a token, whatever its case.
fn contains_token(list: &[u8], token: &str) -> bool {
    list.split(|&b| b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_a_head_with_either_line_end() {
        assert_eq!(head_end(b"A: b\r\n\r\nbody", 0), Some(8));
        assert_eq!(head_end(b"A: b\n\nbody", 0), Some(6));
        assert_eq!(head_end(b"A: b\r\n\r", 0), None);
    }

    #[test]
    fn reads_framing_and_flags() {
        let mut context = Context::default();
        let head = request(
            b"POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length: 5, 5\r\nConnection: Close\r\nExpect: 100-continue\r\n\r\n",
            1,
            &mut context,
        );
        assert_eq!((head.method, head.framing), (Method::Post, Framing::Length(5)));
        assert_eq!(head.flags, ExchangeFlags::CLIENT_CLOSES | ExchangeFlags::EXPECTS_CONTINUE);
        assert_eq!(context.facts.name(head.host.unwrap()), "shop");
        let head = response(
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\nServer: nginx\r\n\r\n",
            1,
            &mut context,
        )
        .unwrap();
        assert_eq!((head.status, head.framing), (200, Framing::Chunked));
        let conflicting = ExchangeFlags::CONFLICTING_FRAMING | ExchangeFlags::RESPONSE_CONFLICTING_FRAMING;
        assert_eq!(head.flags, ExchangeFlags::SERVER_CLOSES | conflicting | ExchangeFlags::AMBIGUOUS_FRAMING);
    }

    #[test]
    fn a_control_byte_in_a_response_header_costs_that_header_only() {
        let mut context = Context::default();
        let bytes = b"HTTP/1.1 200 OK\r\nX-Bad\0Name: 1\r\nContent-Length: 3\r\n\r\n";
        let head = response(bytes, 1, &mut context).unwrap();
        assert_eq!((head.status, head.framing), (200, Framing::Length(3)));
        assert_ne!(head.flags & ExchangeFlags::INVALID_HEADER, 0);
    }

    #[test]
    fn a_malformed_head_keeps_its_first_line() {
        let mut context = Context::default();
        let head = request(b"GET /x HTTP/9.9\r\n\r\n", 1, &mut context);
        assert_eq!((head.method, &*context.facts.text(head.target)), (Method::Get, "/x"));
    }
}
