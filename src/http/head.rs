//! The heads of messages: start line and headers, through `httparse`, to what framing and pairing need. What it
//! refuses is read leniently, line by line.

use std::mem::MaybeUninit;
use std::num::NonZeroU16;

use memchr::memchr;

use super::lenient::{self, LenientHead};
use super::load::Context;
use super::oddity::{Oddities, Oddity};
use super::sniff;
use super::{CaptureFacts, ExchangeFlags, Framing, HeaderDigest, Method, NameId, Protocol, Text, Version};

/// Most headers whose digests are kept of one head; further ones are read for framing only.
const MAX_HEADERS: usize = 256;

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
    if !sniff::resembles_request_line(lines.start_line) {
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
    RequestHead {
        method: method(&String::from_utf8_lossy(name), &mut context.facts),
        target: context.facts.add_text(target),
        host: reading.host,
        headers: context.facts.add_headers(&context.digests),
        header_lines: lines.lines as u16,
        version: version.unwrap_or_default(),
        ..RequestHead::default()
    }
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
    let mut reading = Reading::default();
    for (name, value) in &lines.fields {
        reading.response_header(&String::from_utf8_lossy(name), value, context);
    }
    reading.lines = lines.lines;
    let head = reading.end_response(
        digits.unwrap_or(200),
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

/// The header fields that decide framing and the connection's life.
#[derive(Debug, Default)]
struct Reading {
    length: Option<u64>,
    chunked: bool,
    coded: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    upgrade: Option<Protocol>,
    connection_upgrade: bool,
    hosts: u32,
    host: Option<NameId>,
    server: Option<NameId>,
    via: Option<NameId>,
    lines: usize,
    oddities: Oddities,
}

impl Reading {
    fn start(context: &mut Context) -> Self {
        context.digests.clear();
        Self::default()
    }

    #[inline]
    fn request_header(&mut self, name: &str, value: &[u8], context: &mut Context) {
        self.lines += 1;
        if context.digests.len() < MAX_HEADERS {
            let id = context.facts.intern_header(name);
            let digest = HeaderDigest::of(id, context.facts.name(id), value);
            context.digests.push(digest);
            match name.len() {
                10 if name.eq_ignore_ascii_case("user-agent") => context.note_caller(0, digest, value),
                3 if name.eq_ignore_ascii_case("via") => context.note_caller(1, digest, value),
                _ => {}
            }
        } else {
            self.oddities.add(Oddity::ManyHeaders);
        }
        if name.eq_ignore_ascii_case("host") {
            self.hosts += 1;
            self.host = self.host.or_else(|| Some(context.facts.intern(&String::from_utf8_lossy(value))));
        } else {
            self.read(name, value);
        }
    }

    #[inline]
    fn response_header(&mut self, name: &str, value: &[u8], context: &mut Context) {
        self.lines += 1;
        if name.eq_ignore_ascii_case("server") {
            self.server = Some(context.facts.intern(&String::from_utf8_lossy(value)));
        } else if name.eq_ignore_ascii_case("via") {
            self.via = Some(context.facts.intern(&String::from_utf8_lossy(value)));
        } else {
            self.read(name, value);
        }
    }

    #[inline]
    fn read(&mut self, name: &str, value: &[u8]) {
        // The length of the name rules out nearly all others at once.
        match name.len() {
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expects_continue |= contains_token(value, "100-continue");
            }
            7 if name.eq_ignore_ascii_case("upgrade") => {
                self.upgrade = Some(if contains_token(value, "websocket") {
                    Protocol::WebSocket
                } else if contains_token(value, "h2c") {
                    Protocol::Http2
                } else {
                    Protocol::Tunnel
                });
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                self.close |= contains_token(value, "close");
                self.keep_alive |= contains_token(value, "keep-alive");
                self.connection_upgrade |= contains_token(value, "upgrade");
            }
            14 if name.eq_ignore_ascii_case("content-length") => self.read_length(value),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.read_coding(value),
            _ => {}
        }
    }

    fn read_length(&mut self, value: &[u8]) {
        for one in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
            let digits = !one.is_empty() && one.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(one).ok().filter(|_| digits).and_then(|text| text.parse().ok());
            match (number, self.length) {
                (Some(number), None) => self.length = Some(number),
                (Some(number), Some(known)) if number == known => self.oddities.add(Oddity::LengthRepeated),
                (Some(_), Some(_)) => self.oddities.add(Oddity::LengthsDiffer),
                (None, _) => self.oddities.add(Oddity::LengthBroken),
            }
        }
    }

    /// Only a final `chunked` frames the body (RFC 9112, section 6.3); `identity` is the obsolete word for none.
    fn read_coding(&mut self, value: &[u8]) {
        if self.coded {
            self.oddities.add(Oddity::CodingOdd);
        }
        if value.trim_ascii().eq_ignore_ascii_case(b"identity") {
            self.oddities.add(Oddity::CodingOdd);
            return;
        }
        self.coded = true;
        let last = value.rsplit(|&b| b == b',').next().unwrap_or_default().trim_ascii();
        self.chunked = last.eq_ignore_ascii_case(b"chunked");
        if value.iter().any(|&b| !(b' '..0x7f).contains(&b))
            || !self.chunked && contains_token(value, "chunked")
        {
            self.oddities.add(Oddity::CodingOdd);
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

    fn flags(&mut self, version: Version, closes: u32) -> u32 {
        let mut flags = 0;
        if self.close || version == Version::Http10 && !self.keep_alive {
            flags |= closes;
        }
        if self.coded {
            if self.length.is_some() {
                self.oddities.add(Oddity::LengthAndCoding);
                flags |= ExchangeFlags::CONFLICTING_FRAMING;
            }
            if !self.chunked {
                self.oddities.add(Oddity::CodingNotChunked);
            }
            if version == Version::Http10 {
                self.oddities.add(Oddity::CodingOld);
            }
        }
        if !self.oddities.is_empty() && self.oddities.is_ambiguous() {
            flags |= ExchangeFlags::AMBIGUOUS_FRAMING;
        }
        flags
    }

    fn end_request(
        &mut self,
        name: &[u8],
        target: &[u8],
        version: Version,
        frame: u32,
        context: &mut Context,
    ) -> RequestHead {
        match self.hosts {
            0 if version == Version::Http11 => self.oddities.add(Oddity::NoHost),
            0 | 1 => {}
            _ => self.oddities.add(Oddity::Hosts),
        }
        let mut flags = self.flags(version, ExchangeFlags::CLIENT_CLOSES);
        if self.expects_continue {
            flags |= ExchangeFlags::EXPECTS_CONTINUE;
        }
        if self.upgrade.is_some() && self.connection_upgrade {
            flags |= ExchangeFlags::UPGRADE;
        }
        if !self.oddities.is_empty() {
            use Oddity::{
                CodingNotChunked, Hosts, LengthAndCoding, LengthBroken, LengthsDiffer, Method, NoHost,
            };
            let refused =
                [NoHost, Hosts, Method, LengthAndCoding, LengthsDiffer, LengthBroken, CodingNotChunked];
            if refused.into_iter().any(|oddity| self.oddities.has(oddity)) {
                flags |= ExchangeFlags::REQUEST_INVALID;
            }
            context.note(self.oddities, frame);
        }
        RequestHead {
            method: match std::str::from_utf8(name) {
                Ok(name) => method(name, &mut context.facts),
                Err(_) => method(&String::from_utf8_lossy(name), &mut context.facts),
            },
            target: context.facts.add_text(target),
            host: self.host,
            headers: context.facts.add_headers(&context.digests),
            header_lines: self.lines.min(usize::from(u16::MAX)) as u16,
            version,
            framing: self.framing().unwrap_or(Framing::None),
            flags,
        }
    }

    fn end_response(
        &mut self,
        status: u16,
        version: Version,
        invalid_line: bool,
        frame: u32,
        context: &mut Context,
    ) -> ResponseHead {
        let mut flags = self.flags(version, ExchangeFlags::SERVER_CLOSES);
        if flags & ExchangeFlags::CONFLICTING_FRAMING != 0 {
            flags |= ExchangeFlags::RESPONSE_CONFLICTING_FRAMING;
        }
        if version == Version::Http11 && !self.coded && self.length.is_none() && !self.close {
            flags |= ExchangeFlags::UNFRAMED;
        }
        if !self.oddities.is_empty() {
            if invalid_line
                || [Oddity::LengthsDiffer, Oddity::LengthBroken].into_iter().any(|o| self.oddities.has(o))
            {
                flags |= ExchangeFlags::INVALID_HEADER;
            }
            context.note(self.oddities, frame);
        }
        ResponseHead {
            status,
            version,
            framing: self.framing().unwrap_or(Framing::UntilClose),
            flags,
            header_lines: self.lines.min(usize::from(u16::MAX)) as u16,
            server: self.server,
            via: self.via,
            upgrade: self.upgrade,
        }
    }
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
    fn a_control_byte_in_a_response_header_costs_that_header_only() {
        let mut context = Context::default();
        let bytes = b"HTTP/1.1 200 OK\r\nX-Bad\0Name: 1\r\nContent-Length: 3\r\n\r\n";
        let head = response(bytes, true, 1, &mut context).unwrap();
        assert_eq!((head.status, head.framing), (200, Framing::Length(3)));
        assert_ne!(head.flags & ExchangeFlags::INVALID_HEADER, 0);
    }

    #[test]
    fn a_malformed_head_keeps_its_first_line() {
        let mut context = Context::default();
        let head = request(b"GET /x HTTP/9.9\r\n\r\n", true, 1, &mut context).unwrap();
        assert_eq!((head.method, &*context.facts.text(head.target)), (Method::Get, "/x"));
    }
}
