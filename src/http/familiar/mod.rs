//! Heads by what is known of their lines: nearly every line of a capture was sent before, most often behind the same
//! line as now.
//!
//! Each header name is read by `httparse` when it is first met, and a line is read anew where its value changes. A
//! head with anything out of the ordinary (an unusual start line, a bare LF, a folded or malformed line) is left to
//! the reading of whole heads, which takes it from its first byte again.

#[cfg(test)]
mod tests;

use hashbrown::HashMap;
use memchr::memchr;

use super::head::{MAX_HEADERS, RequestHead, ResponseHead};
use super::load::Context;
use super::reading::{Reading, contains_token, is_endless, is_of_caches};
use super::{CaptureFacts, HeaderDigest, NameId, Version};

/// Most header names known of requests, and of responses.
const MAX_NAMES: usize = 512;
/// The longest line that is kept to compare the next with, in bytes.
const MAX_KEPT: usize = 1024;
/// A header whose value changed so often has another one each time: it is not kept to compare the next with.
const CHANGES: u8 = 8;
/// Values kept of such a header, to know them again: hosts, agents and types are few and alternate.
const VALUES: usize = 64;
/// The longest line kept among them, in bytes.
const MAX_VALUE: usize = 256;
/// So many values one after the other that were not known are of a header with values without number, such as a date:
/// none are kept any more.
const STRANGERS: u8 = 200;
/// Methods that a usual request begins with, the most common first (RFC 9110, section 9).
const METHODS: [&[u8]; 9] =
    [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"TRACE ", b"CONNECT "];

/// The lines known of requests and of responses.
#[derive(Debug, Default)]
pub(super) struct Familiar {
    requests: Lines,
    responses: Lines,
    /// The last status line, and what it says.
    status_line: Vec<u8>,
    status: (u16, Version),
}

/// A head and its length in bytes, the empty line included.
type Read<T> = Option<(T, usize)>;

/// Reads a usual request's head at the start of `bytes`; `None` when it is unusual, or its end is not there.
pub(super) fn request(bytes: &[u8], frame: u32, context: &mut Context) -> Read<RequestHead> {
    let method = *METHODS.iter().find(|method| bytes.starts_with(method))?;
    let behind = &bytes[method.len()..];
    let target = &behind[..memchr(b' ', behind)?];
    let version = match behind[target.len() + 1..].first_chunk()? {
        b"HTTP/1.1\r\n" => Version::Http11,
        b"HTTP/1.0\r\n" => Version::Http10,
        _ => return None,
    };
    let visible = target.iter().fold(true, |all, b| all & (b'!'..=b'~').contains(b));
    if target.is_empty() || !visible {
        return None;
    }
    let start = method.len() + target.len() + 1 + b"HTTP/1.1\r\n".len();
    let mut reading = Reading::start(context);
    let Context { facts, digests, familiar, .. } = context;
    let len = familiar.requests.read(&bytes[start..], &mut reading, facts, Some(digests))? + start;
    let name = &method[..method.len() - 1];
    Some((reading.end_request(name, target, version, frame, context), len))
}

/// Reads a usual response's head at the start of `bytes`; `None` when it is unusual, or its end is not there.
pub(super) fn response(bytes: &[u8], frame: u32, context: &mut Context) -> Read<ResponseHead> {
    let mut reading = Reading::default();
    let Context { facts, familiar, .. } = &mut *context;
    if familiar.status_line.is_empty() || !bytes.starts_with(&familiar.status_line) {
        let line = &bytes[..line_len(bytes)?];
        familiar.status = status_line(line)?;
        familiar.status_line.clear();
        familiar.status_line.extend_from_slice(line);
    }
    let ((status, version), start) = (familiar.status, familiar.status_line.len());
    let len = familiar.responses.read(&bytes[start..], &mut reading, facts, None)? + start;
    Some((reading.end_response(status, version, false, frame, context), len))
}

/// Status and version of a whole status line (RFC 9112, section 4) that is as usual, its reason phrase there.
fn status_line(line: &[u8]) -> Option<(u16, Version)> {
    let (start, rest) = line.split_first_chunk::<9>()?;
    let version = match start {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        _ => return None,
    };
    let (digits, rest) = rest.split_first_chunk::<3>()?;
    let reason = rest.strip_suffix(b"\r\n")?.strip_prefix(b" ")?;
    let usual = digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0' && is_field_value(reason);
    let status = digits.iter().fold(0, |sum, digit| 10 * sum + u16::from(digit & 0xf));
    // 101 is rare, and its `Upgrade` has to be read for what it names.
    (usual && status != 101).then_some((status, version))
}

/// Whether all bytes may stand in a field value: visible ones, spaces and tabs (RFC 9110, section 5.5).
fn is_field_value(value: &[u8]) -> bool {
    let usual = |bytes: &[u8; 16]| {
        bytes.iter().fold(true, |all, &b| all & ((b >= b' ') | (b == b'\t')) & (b != 0x7f))
    };
    let (blocks, rest) = value.as_chunks();
    // The bytes behind the last whole block are looked at together with some before them.
    let end = value.last_chunk().copied().unwrap_or_else(|| {
        let mut end = [b' '; 16];
        end[..rest.len()].copy_from_slice(rest);
        end
    });
    blocks.iter().all(usual) && usual(&end)
}

/// Header lines by their names, each with the value it had last.
#[derive(Debug, Default)]
struct Lines {
    lines: Vec<Line>,
    /// Places in `lines`, by name and colon as sent.
    places: HashMap<Box<[u8]>, usize, foldhash::fast::FixedState>,
    /// Place of the line that stood first in the last head.
    first: usize,
}

#[derive(Debug)]
struct Line {
    /// Name and colon, as sent.
    name: Box<str>,
    id: NameId,
    role: Role,
    /// The whole line with its CRLF, as it was last; empty when it has another value each time.
    bytes: Vec<u8>,
    /// Length of the line as it was last, whether it was kept or not.
    len: usize,
    /// How often the value was another one than before, up to [`CHANGES`].
    changes: u8,
    digest: HeaderDigest,
    tells: Tells,
    /// Lines with other values, each at the place that [`place_of`] gives it; none before the value changed often.
    values: Box<[Value]>,
    /// How many values were not among them since one was.
    strangers: u8,
    /// Place of the line that followed it last.
    next: usize,
}

/// A line that was read before.
#[derive(Debug)]
struct Value {
    bytes: Vec<u8>,
    digest: HeaderDigest,
    tells: Tells,
}

/// What a header is to the reading of its head, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Plain,
    Host,
    Server,
    Via,
    /// It names who sends requests.
    Caller,
    Connection,
    Length,
    ContentType,
    /// It is seldom met, and read each time.
    Other,
}

/// What a line says to the reading of its head, other than that it is there.
#[derive(Clone, Copy, Debug)]
enum Tells {
    Nothing,
    Host(NameId),
    Server(NameId),
    Via(NameId),
    Connection {
        close: bool,
        keep_alive: bool,
        upgrade: bool,
    },
    Length(u64),
    Endless,
    /// What has to be read each time.
    More,
}

impl Lines {
    /// Reads header lines up to the empty line: the length of them all. Digests are kept of requests only.
    fn read(
        &mut self,
        bytes: &[u8],
        reading: &mut Reading,
        facts: &mut CaptureFacts,
        mut digests: Option<&mut Vec<HeaderDigest>>,
    ) -> Option<usize> {
        let (mut rest, mut before) = (bytes, None);
        while !rest.starts_with(b"\r\n") {
            let mut place = before.map_or(self.first, |before: usize| self.lines[before].next);
            let mut len = self.lines.get(place).map_or(0, |line| line.known_at_start_of(rest));
            if len == 0
                && let Some(line) = self.lines.get_mut(place)
            {
                len = line.take_as_long_as_before(rest, facts, digests.is_some());
            }
            if len == 0 {
                len = line_len(rest)?;
                place = self.read_line(place, &rest[..len], facts, digests.is_some())?;
                match before {
                    Some(before) => self.lines[before].next = place,
                    None => self.first = place,
                }
            }
            let line = &self.lines[place];
            if let Some(digests) = &mut digests {
                digests.push(line.digest);
            }
            reading.lines += 1;
            if reading.lines > MAX_HEADERS {
                return None;
            }
            line.tell(&rest[..len], reading);
            rest = &rest[len..];
            before = Some(place);
        }
        Some(bytes.len() - rest.len() + 2)
    }

    /// Reads a line that is not as expected: its place.
    fn read_line(
        &mut self,
        expected: usize,
        bytes: &[u8],
        facts: &mut CaptureFacts,
        asks: bool,
    ) -> Option<usize> {
        if let Some(line) = self.lines.get_mut(expected)
            && bytes.starts_with(line.name.as_bytes())
        {
            line.take(bytes, facts, asks)?;
            return Some(expected);
        }
        let name = &bytes[..=memchr(b':', bytes)?];
        let place = match self.places.get(name) {
            Some(&place) => place,
            None => self.meet(bytes, facts, asks)?,
        };
        let line = &mut self.lines[place];
        if line.known_at_start_of(bytes) == 0 {
            line.take(bytes, facts, asks)?;
        }
        Some(place)
    }

    /// A line of a name that was not met yet.
    #[cold]
    fn meet(&mut self, bytes: &[u8], facts: &mut CaptureFacts, asks: bool) -> Option<usize> {
        let alone = [bytes, b"\r\n"].concat();
        let mut header = [httparse::EMPTY_HEADER];
        let read = httparse::parse_headers(&alone, &mut header);
        if !matches!(read, Ok(httparse::Status::Complete(_))) || self.lines.len() >= MAX_NAMES {
            return None;
        }
        let name = header[0].name;
        let id = if asks { facts.intern_header(name) } else { NameId(0) };
        let place = self.lines.len();
        let line = Line {
            name: format!("{name}:").into(),
            id,
            role: Role::of(name, asks),
            bytes: Vec::new(),
            len: 0,
            changes: 0,
            digest: HeaderDigest::new(id, b""),
            tells: Tells::Nothing,
            values: Box::default(),
            strangers: 0,
            next: place + 1,
        };
        self.places.insert(line.name.as_bytes().into(), place);
        self.lines.push(line);
        Some(place)
    }
}

/// Length of the line at the start of `bytes`, if it ends there in CRLF.
#[inline]
fn line_len(bytes: &[u8]) -> Option<usize> {
    let len = memchr(b'\n', bytes)? + 1;
    bytes[..len].ends_with(b"\r\n").then_some(len)
}

impl Role {
    /// `asks` tells that it stands in a request.
    fn of(name: &str, asks: bool) -> Self {
        match &*name.to_ascii_lowercase() {
            "host" if asks => Self::Host,
            "user-agent" | "via" if asks => Self::Caller,
            "server" if !asks => Self::Server,
            "via" => Self::Via,
            "connection" => Self::Connection,
            "content-length" => Self::Length,
            "content-type" if !asks => Self::ContentType,
            "expect" | "upgrade" | "transfer-encoding" => Self::Other,
            name if !asks && is_of_caches(name) => Self::Other,
            _ => Self::Plain,
        }
    }
}

/// The place of a line among [`VALUES`], by the start and the end of its value, which stands behind `name` bytes.
fn place_of(line: &[u8], name: usize) -> usize {
    let word =
        |at: usize| line.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word));
    let end = line.len().saturating_sub(8);
    let mixed = (word(name.min(end)) ^ word(end).rotate_left(29) ^ line.len() as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % VALUES
}

impl Line {
    /// Length of the line at the start of `bytes` if it is the same as last time, or 0.
    #[inline]
    fn known_at_start_of(&self, bytes: &[u8]) -> usize {
        // Not to be compared with nothing: that is a call for each line of which none is kept.
        if !self.bytes.is_empty() && bytes.starts_with(&self.bytes) { self.bytes.len() } else { 0 }
    }

    /// Takes the line at the start of `bytes` if it is as long as the last one, as ids and dates are: its end need not be
    /// looked for then, since no field value holds one. Its length, or 0.
    fn take_as_long_as_before(&mut self, bytes: &[u8], facts: &mut CaptureFacts, asks: bool) -> usize {
        let Some(line) = bytes.get(..self.len).filter(|line| line.ends_with(b"\r\n")) else { return 0 };
        let taken = line.starts_with(self.name.as_bytes()) && self.take(line, facts, asks).is_some();
        if taken { line.len() } else { 0 }
    }

    /// Takes the line as it is now.
    fn take(&mut self, bytes: &[u8], facts: &mut CaptureFacts, asks: bool) -> Option<()> {
        // What a line says that tells nothing need not be known again.
        let tells = asks || self.role != Role::Plain;
        let alternates =
            tells && self.changes == CHANGES && self.strangers < STRANGERS && bytes.len() <= MAX_VALUE;
        let place = if alternates { place_of(bytes, self.name.len()) } else { 0 };
        if alternates && let Some(known) = self.values.get(place).filter(|known| known.bytes == bytes) {
            (self.digest, self.tells) = (known.digest, known.tells);
            self.len = bytes.len();
            self.strangers = 0;
            self.bytes.clear();
            return Some(());
        }
        // With the name, which holds no other bytes either: few values are as long as a block.
        if !is_field_value(&bytes[..bytes.len() - 2]) {
            return None;
        }
        self.len = bytes.len();
        self.bytes.clear();
        if self.changes < CHANGES && bytes.len() <= MAX_KEPT {
            self.changes += 1;
            self.bytes.extend_from_slice(bytes);
        }
        if tells {
            let field = &bytes[self.name.len()..bytes.len() - 2];
            if asks {
                self.digest = HeaderDigest::of(self.id, facts.name(self.id), field);
            }
            if self.role != Role::Plain {
                self.tells = self.tells_of(field.trim_ascii(), facts);
            }
        }
        if alternates {
            self.keep(bytes, place);
        }
        Some(())
    }

    /// Keeps the line that was read to know it again.
    fn keep(&mut self, bytes: &[u8], place: usize) {
        self.strangers += 1;
        if self.strangers == STRANGERS {
            self.values = Box::default();
            return;
        }
        let Self { digest, tells, .. } = *self;
        if self.values.is_empty() {
            self.values = (0..VALUES).map(|_| Value { bytes: Vec::new(), digest, tells }).collect();
        }
        let value = &mut self.values[place];
        (value.digest, value.tells) = (digest, tells);
        value.bytes.clear();
        value.bytes.extend_from_slice(bytes);
    }

    fn tells_of(&self, value: &[u8], facts: &mut CaptureFacts) -> Tells {
        match self.role {
            Role::Plain => Tells::Nothing,
            Role::Caller => {
                facts.note_caller(self.digest, value);
                Tells::Nothing
            }
            Role::Host => Tells::Host(facts.intern_bytes(value)),
            Role::Server => Tells::Server(facts.intern_bytes(value)),
            Role::Via => Tells::Via(facts.intern_bytes(value)),
            Role::Connection => Tells::Connection {
                close: contains_token(value, "close"),
                keep_alive: contains_token(value, "keep-alive"),
                upgrade: contains_token(value, "upgrade"),
            },
            Role::ContentType => {
                if is_endless(value) {
                    Tells::Endless
                } else {
                    Tells::Nothing
                }
            }
            Role::Length => length(value).map_or(Tells::More, Tells::Length),
            Role::Other => Tells::More,
        }
    }

    /// `bytes` are the line's.
    #[inline]
    fn tell(&self, bytes: &[u8], reading: &mut Reading) {
        match self.tells {
            Tells::Nothing => {}
            Tells::Host(name) => {
                reading.hosts += 1;
                reading.host = reading.host.or(Some(name));
            }
            Tells::Server(name) => reading.server = reading.server.or(Some(name)),
            Tells::Via(name) => reading.via = Some(name),
            Tells::Connection { close, keep_alive, upgrade } => {
                reading.close |= close;
                reading.keep_alive |= keep_alive;
                reading.connection_upgrade |= upgrade;
            }
            Tells::Endless => reading.endless = true,
            Tells::Length(length) if reading.length.is_none() => reading.length = Some(length),
            Tells::Length(_) | Tells::More => {
                let name = self.name.strip_suffix(':').unwrap_or_default();
                reading.read(name, bytes[self.name.len()..].trim_ascii());
            }
        }
    }
}

/// A length that is nothing but digits, and few enough of them.
fn length(value: &[u8]) -> Option<u64> {
    let usual = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    usual.then(|| value.iter().fold(0, |sum, digit| 10 * sum + u64::from(digit & 0xf)))
}
