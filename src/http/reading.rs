//! What the header fields of a head say of framing, of the connection's life, and of who speaks.

use super::head::{MAX_HEADERS, RequestHead, ResponseHead, method};
use super::load::Context;
use super::oddity::{Oddities, Oddity};
use super::{ExchangeFlags, Framing, HeaderDigest, NameId, Protocol, Version};

/// The header fields that decide framing and the connection's life.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub length: Option<u64>,
    pub chunked: bool,
    pub coded: bool,
    pub close: bool,
    pub keep_alive: bool,
    pub expects_continue: bool,
    pub upgrade: Option<Protocol>,
    /// A response's `Upgrade`, as it stands there.
    pub upgrade_name: Option<NameId>,
    pub connection_upgrade: bool,
    pub hosts: u32,
    pub host: Option<NameId>,
    pub server: Option<NameId>,
    pub via: Option<NameId>,
    /// The response says that it comes from a cache.
    pub cached: bool,
    /// The response is a stream that its client ends.
    pub endless: bool,
    pub lines: usize,
    pub oddities: Oddities,
}

impl Reading {
    pub fn start(context: &mut Context) -> Self {
        context.digests.clear();
        Self::default()
    }

    #[inline]
    pub fn request_header(&mut self, name: &str, value: &[u8], context: &mut Context) {
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
            self.host = self.host.or_else(|| Some(context.facts.intern_bytes(value)));
        } else {
            self.read(name, value);
        }
    }

    #[inline]
    pub fn response_header(&mut self, name: &str, value: &[u8], context: &mut Context) {
        self.lines += 1;
        if name.eq_ignore_ascii_case("server") {
            // Caddy writes its own before that of the server behind it.
            self.server = self.server.or_else(|| Some(context.facts.intern_bytes(value)));
        } else if name.eq_ignore_ascii_case("via") {
            self.via = Some(context.facts.intern_bytes(value));
        } else {
            if name.eq_ignore_ascii_case("upgrade") {
                self.upgrade_name = Some(context.facts.intern_bytes(value.trim_ascii()));
            }
            self.read(name, value);
        }
    }

    #[inline]
    pub fn read(&mut self, name: &str, value: &[u8]) {
        self.cached |= tells_cache(name, value);
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
            12 if name.eq_ignore_ascii_case("content-type") => self.endless |= is_endless(value),
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
            let signless = one.strip_prefix(b"+").unwrap_or(one);
            if signless.len() < one.len() {
                // No number by RFC 9110, section 8.6; those who read it with their language's own means take it for one.
                self.oddities.add(Oddity::LengthBroken);
            }
            let one = signless;
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
        // Framing that is not the last coding, or is applied more than once (RFC 9112, section 6.1).
        let before = value.rsplitn(2, |&b| b == b',').nth(1).unwrap_or_default();
        if value.iter().any(|&b| !(b' '..0x7f).contains(&b))
            || contains_token(if self.chunked { before } else { value }, "chunked")
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

    pub fn end_request(
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

    pub fn end_response(
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
        if self.cached {
            flags |= ExchangeFlags::FROM_CACHE;
        }
        if self.endless {
            flags |= ExchangeFlags::ENDLESS;
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
            upgrade_name: self.upgrade_name,
        }
    }
}

/// Headers in which a cache says whether it had the answer (RFC 9211; what caches call it).
const CACHES: [&str; 5] = ["x-cache", "cache-status", "x-proxy-cache", "x-cache-status", "cf-cache-status"];

/// Whether a header of this (lower-case) name may tell that a cache answered.
pub(super) fn is_of_caches(name: &str) -> bool {
    name == "age" || CACHES.contains(&name)
}

/// Whether a response header tells that a cache answered (RFC 9111, section 5.1).
#[inline]
fn tells_cache(name: &str, value: &[u8]) -> bool {
    match name.len() {
        3 if name.eq_ignore_ascii_case("age") => {
            let age = std::str::from_utf8(value.trim_ascii()).ok().and_then(|text| text.parse::<u64>().ok());
            age.is_some_and(|seconds| seconds > 0)
        }
        7 | 12..=15 if CACHES.iter().any(|known| name.eq_ignore_ascii_case(known)) => {
            let words = value.split(|byte| !byte.is_ascii_alphanumeric());
            words.into_iter().any(|word| {
                [&b"hit"[..], b"stale", b"updating"].iter().any(|known| word.eq_ignore_ascii_case(known))
            })
        }
        _ => false,
    }
}

/// Whether a media type is that of a stream without an end of its own, see [`ExchangeFlags::ENDLESS`].
pub(super) fn is_endless(media_type: &[u8]) -> bool {
    let essence = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    [&b"text/event-stream"[..], b"multipart/x-mixed-replace"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
}

/// Whether a comma-separated list holds a token, whatever its case.
pub(super) fn contains_token(list: &[u8], token: &str) -> bool {
    if list.len() <= token.len() {
        // Most lists are one token, and this one or a shorter one.
        return list.eq_ignore_ascii_case(token.as_bytes());
    }
    list.split(|&b| b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}
