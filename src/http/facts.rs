//! What one capture holds: its connections and their exchanges, compact enough for millions.
//!
//! Texts, headers and extents live in arenas of [`CaptureFacts`]; bodies stay in the file and are read
//! again through their extents when somebody looks.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU16;

use hashbrown::HashMap;

use crate::capture::{CaptureInfo, CaptureTime, Extent, Frame};
use crate::tcp::{Closing, Event, EventKind, Flow, FlowId, Side};

use super::ExchangeFlags;

/// What a connection carries, by its content and not by its port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.0 requests only.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// A TLS handshake opens it.
    Tls,
    /// An HTTP/2 preface opens it, or HTTP/1 handed over to it (`Upgrade: h2c`).
    Http2,
    /// HTTP/0.9: a line `GET target`, and raw bytes for an answer.
    Http09,
    /// HTTP/1 handed over to WebSocket (RFC 6455).
    WebSocket,
    /// HTTP/1 handed over to bytes of any kind: CONNECT, or an upgrade to another protocol.
    Tunnel,
    /// The uwsgi binary protocol.
    Uwsgi,
    /// FastCGI.
    FastCgi,
    /// No payload was seen.
    Empty,
    /// Something else.
    #[default]
    Unknown,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Http10,
        Self::Http11,
        Self::Tls,
        Self::Http2,
        Self::Http09,
        Self::WebSocket,
        Self::Tunnel,
        Self::Uwsgi,
        Self::FastCgi,
        Self::Empty,
        Self::Unknown,
    ];

    /// The one of this name; one that this program does not know is unknown.
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name).unwrap_or_default()
    }

    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Tls => "tls",
            Self::Http2 => "http/2",
            Self::Http09 => "http/0.9",
            Self::WebSocket => "websocket",
            Self::Tunnel => "tunnel",
            Self::Uwsgi => "uwsgi",
            Self::FastCgi => "fastcgi",
            Self::Empty => "empty",
            Self::Unknown => "unknown",
        }
    }
}

/// An interned name of one capture (a header name, a method, a host).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub u16);

/// A text in the capture's arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Byte position in the arena.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

/// A request method (RFC 9110, section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the methods' own names")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token, by its name in the capture's name table.
    Other(NameId),
    /// The capture holds a response whose request it does not hold.
    #[default]
    Missing,
}

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/0.9: no version on the wire.
    Http09,
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

impl Version {
    /// `1.0` or `1.1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http09 => "0.9",
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
        }
    }
}

/// How the end of a message's body is found (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the sender closes.
    UntilClose,
    /// The connection leaves HTTP here (CONNECT, 101).
    Tunnel,
}

/// How much of a message the capture holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageState {
    /// No byte of it was seen.
    #[default]
    Absent,
    /// It began and did not end by its framing.
    Partial,
    /// It ended by its framing. Bytes inside its body may be missing ([`ExchangeFlags::BODY_HOLE`]).
    Complete,
    /// The capture misses bytes of it, so its end is a guess.
    Lossy,
}

/// A request or a response.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message {
    /// Time of the packet with its first byte.
    pub start: CaptureTime,
    /// Time of the packet with its last byte seen.
    pub end: CaptureTime,
    /// Number of the packet with its first byte; 0 when absent.
    pub first_frame: u32,
    /// Number of the packet with its last byte; 0 when absent.
    pub last_frame: u32,
    /// Absolute TCP sequence number of its first byte.
    pub seq: u32,
    /// Absolute acknowledgement number of the packet with its first byte.
    pub ack: u32,
    /// Bytes of the head (start line, headers, empty line).
    pub head_bytes: u32,
    /// Number of header lines in the head.
    pub header_lines: u16,
    /// CRC-32 of the head's bytes as sent: equal heads have equal ones. For requests only; 0 for responses.
    pub head_crc: u32,
    /// CRC-32 of the body without chunk framing. For requests only; 0 for responses.
    pub body_crc: u32,
    /// Position of its extents in the capture's extent arena (see [`CaptureFacts::extents`]).
    pub extents: u32,
    /// Number of its extents.
    pub extent_count: u32,
    /// How much of it was seen.
    pub state: MessageState,
    /// Its version.
    pub version: Version,
    /// How its body ends.
    pub framing: Framing,
    /// Bytes seen on the wire, head and chunk framing included.
    pub wire_bytes: u64,
    /// Bytes of the body, without chunk framing; those that the capture misses inside it count.
    pub body_bytes: u64,
}

impl Message {
    /// Whether any byte of it was seen.
    #[inline]
    pub fn is_present(&self) -> bool {
        self.state != MessageState::Absent
    }

    /// Whether it was seen whole.
    #[inline]
    pub fn is_complete(&self) -> bool {
        self.state == MessageState::Complete
    }

    /// Absolute TCP sequence number after its last byte seen.
    #[inline]
    pub fn end_seq(&self) -> u32 {
        self.seq.wrapping_add(self.wire_bytes as u32)
    }
}

/// A header of a request as a digest: its name, and 48 bits of a hash of its trimmed value.
///
/// Equal values have equal digests in all captures of one run; which name it is differs by capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderDigest(u64);

/// Seeds the header hash: fixed, so that all captures and runs agree.
const DIGEST_SEED: u64 = 0x5e_ed0f_4095_c09e;

impl HeaderDigest {
    /// The digest of a header of this (lower-case) name: of the part that names the same thing at every hop.
    pub fn of(id: NameId, name: &str, value: &[u8]) -> Self {
        Self::new(id, same_at_every_hop(name, value))
    }

    /// The digest of a value.
    pub fn new(name: NameId, value: &[u8]) -> Self {
        let mut hasher = foldhash::quality::FixedState::with_seed(DIGEST_SEED).build_hasher();
        hasher.write(value.trim_ascii());
        Self((hasher.finish() << 16) | u64::from(name.0))
    }

    /// The header's name.
    #[inline]
    pub fn name(self) -> NameId {
        NameId(self.0 as u16)
    }

    /// The hash of its value, comparable across captures.
    #[inline]
    pub fn value(self) -> u64 {
        self.0 >> 16
    }
}

/// The part of a header's value that hops pass on: a trace's id without the span that each of them makes anew (W3C
/// Trace Context, section 3.2; B3; Jaeger; X-Ray; Cloud Trace), and the client that the last hop appended.
fn same_at_every_hop<'a>(name: &str, value: &'a [u8]) -> &'a [u8] {
    let until = |stop: u8| value.split(|byte| *byte == stop).next().unwrap_or(value);
    match name {
        "traceparent" => {
            value.split(|byte| *byte == b'-').nth(1).filter(|id| id.len() == 32).unwrap_or(value)
        }
        "b3" => until(b'-'),
        "uber-trace-id" => until(b':'),
        "x-cloud-trace-context" => until(b'/'),
        "x-amzn-trace-id" => value
            .split(|byte| *byte == b';')
            .find(|part| part.trim_ascii().starts_with(b"Root="))
            .unwrap_or(value),
        "x-forwarded-for" => value.rsplit(|byte| *byte == b',').next().unwrap_or(value),
        _ => value,
    }
}

/// A request and what came back for it, on one connection of one capture.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// The connection.
    pub flow: FlowId,
    /// 1 for the first request seen on its connection, 2 for the second, …
    pub ordinal: u32,
    /// The request's method.
    pub method: Method,
    /// The status of the final response, where its head was seen.
    pub status: Option<NonZeroU16>,
    /// Yes-or-no facts.
    pub flags: ExchangeFlags,
    /// The request target as sent; one that the capture cut ends in `…`.
    pub target: Text,
    /// The `Host` header's value.
    pub host: Option<NameId>,
    /// Position of the request's header digests in the capture's arena.
    pub headers: u32,
    /// Number of the request's header digests.
    pub header_count: u16,
    /// The request.
    pub request: Message,
    /// The final response.
    pub response: Message,
}

/// A segment that this capture does not hold and another one lent: facts of its connection rest on that frame too.
/// Where they name a packet of this capture for it, that is the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LentBytes {
    /// Client of the connection.
    pub client: std::net::SocketAddr,
    /// Server of the connection.
    pub server: std::net::SocketAddr,
    /// Who sent the segment.
    pub from: Side,
    /// Its absolute sequence number.
    pub seq: u32,
    /// Its payload bytes.
    pub len: u32,
    /// The packet that holds it.
    pub frame: Frame,
}

/// Stands for the file position of bytes that another capture lent: they cannot be read from this file.
pub(super) const LENT_OFFSET: u64 = 1 << 62;

/// Everything that one capture file holds, immutable once loaded.
#[derive(Clone, Debug, Default)]
pub struct CaptureFacts {
    /// The file.
    pub info: CaptureInfo,
    /// Its connections, in order of their first packet.
    pub flows: Vec<Flow>,
    /// The events of all connections; [`Flow::events`] points here.
    pub events: Vec<Event>,
    /// The exchanges of all connections; [`Flow::exchanges`] points here.
    pub exchanges: Vec<Exchange>,
    /// The `Server` header first seen from each server address, sorted by address, as names.
    pub server_headers: Vec<(std::net::SocketAddr, NameId)>,
    /// The `Via` header first seen in answers of each server address (RFC 9110, section 7.6.3), in the same way.
    pub via_headers: Vec<(std::net::SocketAddr, NameId)>,
    /// Values of `User-Agent` and `Via` in requests, by the digest's value: the first ones that differ.
    pub(crate) callers: Vec<(u64, Box<str>)>,
    /// What other captures lent of connections that this one holds with gaps.
    pub lent: Vec<LentBytes>,
    names: Vec<Box<str>>,
    name_index: HashMap<Box<str>, NameId, foldhash::fast::FixedState>,
    texts: Vec<u8>,
    headers: Vec<HeaderDigest>,
    extents: Vec<u8>,
}

/// Values of `User-Agent` and `Via` kept of a capture.
const MOST_CALLERS: usize = 256;
/// Bytes kept of one of them.
const MOST_CALLER_BYTES: usize = 256;

/// The name that stands for all further names once a capture holds 65,535 of them.
const OVERFULL: &str = "(too many names)";

impl CaptureFacts {
    /// The id of a name, made on first use. Case counts: callers lower header names.
    pub fn intern(&mut self, name: &str) -> NameId {
        if let Some(&id) = self.name_index.get(name) {
            return id;
        }
        let name = if self.names.len() < usize::from(u16::MAX) { name } else { OVERFULL };
        let id = NameId(self.names.len().min(usize::from(u16::MAX)) as u16);
        if self.names.len() <= usize::from(u16::MAX) {
            self.names.push(name.into());
            self.name_index.insert(name.into(), id);
        }
        id
    }

    /// The id of a name that may be no UTF-8.
    pub(super) fn intern_bytes(&mut self, name: &[u8]) -> NameId {
        match std::str::from_utf8(name) {
            Ok(name) => self.intern(name),
            Err(_) => self.intern(&String::from_utf8_lossy(name)),
        }
    }

    /// The id of a header name, which is kept in lower case; each spelling is looked up once.
    pub fn intern_header(&mut self, name: &str) -> NameId {
        if let Some(&id) = self.name_index.get(name) {
            return id;
        }
        let id = self.intern(&name.to_ascii_lowercase());
        if self.name_index.len() < 2 * usize::from(u16::MAX) {
            self.name_index.insert(name.into(), id);
        }
        id
    }

    /// The name behind an id of this capture.
    pub fn name(&self, id: NameId) -> &str {
        self.names.get(usize::from(id.0)).map_or("", |n| n)
    }

    /// The id of a name, where this capture holds it.
    pub fn find_name(&self, name: &str) -> Option<NameId> {
        self.name_index.get(name).copied()
    }

    /// Keeps a text; what no longer fits the 4 GiB arena is kept as empty.
    pub fn add_text(&mut self, text: &[u8]) -> Text {
        let (Ok(start), Ok(len)) = (u32::try_from(self.texts.len()), u32::try_from(text.len())) else {
            return Text::default();
        };
        self.texts.extend_from_slice(text);
        Text { start, len }
    }

    /// The bytes of a text.
    pub fn text_bytes(&self, text: Text) -> &[u8] {
        let start = text.start as usize;
        self.texts.get(start..start + text.len as usize).unwrap_or_default()
    }

    /// A text for display; bytes that are no UTF-8 become U+FFFD.
    pub fn text(&self, text: Text) -> Cow<'_, str> {
        String::from_utf8_lossy(self.text_bytes(text))
    }

    /// A method for display.
    pub fn method(&self, method: Method) -> &str {
        match method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other(name) => self.name(name),
            Method::Missing => "?",
        }
    }

    /// Keeps the header digests of a request: position and number for [`Exchange::headers`].
    pub fn add_headers(&mut self, digests: &[HeaderDigest]) -> (u32, u16) {
        let start = self.headers.len() as u32;
        let count = digests.len().min(usize::from(u16::MAX));
        self.headers.extend_from_slice(&digests[..count]);
        (start, count as u16)
    }

    /// The request headers of an exchange, in the order sent.
    pub fn headers(&self, exchange: &Exchange) -> &[HeaderDigest] {
        let start = exchange.headers as usize;
        self.headers.get(start..start + usize::from(exchange.header_count)).unwrap_or_default()
    }

    /// Keeps the delta-coded extents of a message (see [`encode_extent`]): the position for [`Message::extents`].
    pub fn add_extents(&mut self, encoded: &[u8]) -> u32 {
        let start = self.extents.len() as u32;
        self.extents.extend_from_slice(encoded);
        start
    }

    /// Where the bytes of a message lie in the file, in stream order. Bytes that another capture lent are not in it.
    pub fn extents(&self, message: &Message) -> Vec<Extent> {
        let mut rest = self.extents.get(message.extents as usize..).unwrap_or_default();
        let mut last = Extent { frame: 0, offset: 0, len: 0 };
        let mut all = Vec::new();
        for _ in 0..message.extent_count {
            let (Some(frame), Some(offset), Some(len)) =
                (read_signed(&mut rest), read_signed(&mut rest), read_varint(&mut rest))
            else {
                break;
            };
            last = Extent {
                frame: (i64::from(last.frame) + frame) as u32,
                offset: (last.offset as i64 + offset) as u64,
                len: len as u32,
            };
            if last.offset < LENT_OFFSET {
                all.push(last);
            }
            last.offset += u64::from(last.len);
        }
        all
    }

    /// The events of a connection, in capture order.
    pub fn events_of(&self, flow: &Flow) -> &[Event] {
        self.events.get(flow.events.start as usize..flow.events.end as usize).unwrap_or_default()
    }

    /// The exchanges of a connection, in order.
    pub fn exchanges_of(&self, flow: &Flow) -> &[Exchange] {
        self.exchanges.get(flow.exchanges.start as usize..flow.exchanges.end as usize).unwrap_or_default()
    }

    /// The client's FIN or RST, where it came before the response, and the response was then reset unread. (A client
    /// that only closed its sending side acknowledges the response.)
    pub fn left_before_response(&self, flow: &Flow, exchange: &Exchange) -> Option<&Event> {
        let last = self.exchanges_of(flow).last().is_some_and(|last| last.ordinal == exchange.ordinal);
        if !last || !exchange.response.is_present() || flow.closing != Closing::Reset {
            return None;
        }
        let end = self.client_end(flow, exchange)?;
        let is_reset = |event: &Event| event.from == Side::Client && event.kind == EventKind::Rst;
        let reset = self.events_of(flow).iter().any(is_reset);
        (reset && end.frame < exchange.response.first_frame).then_some(end)
    }

    /// The client's first FIN or RST behind the request.
    pub fn client_end(&self, flow: &Flow, exchange: &Exchange) -> Option<&Event> {
        self.events_of(flow).iter().find(|event| {
            event.from == Side::Client
                && matches!(event.kind, EventKind::Fin | EventKind::Rst)
                && event.frame > exchange.request.last_frame
        })
    }

    /// The first FIN or RST of either side behind the request.
    pub fn first_end(&self, flow: &Flow, exchange: &Exchange) -> Option<&Event> {
        let is_end = |event: &&Event| matches!(event.kind, EventKind::Fin | EventKind::Rst);
        self.events_of(flow).iter().filter(is_end).find(|event| event.frame > exchange.request.last_frame)
    }

    /// The connection behind an id of this capture.
    pub fn flow(&self, id: FlowId) -> &Flow {
        &self.flows[id.0 as usize]
    }

    /// Puts connections and server names into their order, once all are there. Connections come in as they
    /// end, which depends on when others do; they are kept by their first packet.
    pub fn settle(&mut self) {
        let mut order: Vec<(u32, u32)> = self.flows.iter().map(|flow| flow.first.1).zip(0..).collect();
        order.sort_unstable();
        // In place, for they are large: along each circle of connections that stand in each other's places.
        for start in 0..order.len() {
            let mut at = start;
            loop {
                let from = std::mem::replace(&mut order[at].1, at as u32) as usize;
                if from == at || from == start {
                    break;
                }
                self.flows.swap(at, from);
                at = from;
            }
        }
        for (id, flow) in self.flows.iter().enumerate() {
            for exchange in &mut self.exchanges[flow.exchanges.start as usize..flow.exchanges.end as usize] {
                exchange.flow = FlowId(id as u32);
            }
        }
        self.server_headers.sort_unstable();
        self.via_headers.sort_unstable();
        self.exchanges.shrink_to_fit();
        self.events.shrink_to_fit();
    }

    /// Forgets connections, by a mark for each whether to keep it.
    pub(super) fn keep_flows(&mut self, keep: &[bool]) {
        let (flows, events, exchanges) = (
            std::mem::take(&mut self.flows),
            std::mem::take(&mut self.events),
            std::mem::take(&mut self.exchanges),
        );
        for (flow, _) in flows.into_iter().zip(keep).filter(|(_, keep)| **keep) {
            let own_events = flow.events.start as usize..flow.events.end as usize;
            let own = flow.exchanges.start as usize..flow.exchanges.end as usize;
            self.add_flow(flow, &events[own_events], &exchanges[own]);
        }
        self.settle();
    }

    /// Keeps what a client calls itself; what is beyond the limit only names no lane.
    #[cold]
    pub(crate) fn note_caller(&mut self, digest: HeaderDigest, value: &[u8]) {
        let value_is_known = self.callers.iter().any(|(known, _)| *known == digest.value());
        if self.callers.len() < MOST_CALLERS && !value_is_known {
            let value = &value[..value.len().min(MOST_CALLER_BYTES)];
            self.callers.push((digest.value(), String::from_utf8_lossy(value).into()));
        }
    }

    /// The text of a `User-Agent` or `Via` header of a request, where it was kept.
    pub fn caller(&self, digest: HeaderDigest) -> Option<&str> {
        let known = self.callers.iter().find(|(known, _)| *known == digest.value());
        known.map(|(_, text)| text.as_ref())
    }

    /// Adds a finished connection with its events and exchanges, and sets the ids and ranges in them.
    pub fn add_flow(&mut self, mut flow: Flow, events: &[Event], exchanges: &[Exchange]) -> FlowId {
        let id = FlowId(self.flows.len() as u32);
        let (first_event, first_exchange) = (self.events.len() as u32, self.exchanges.len() as u32);
        self.events.extend_from_slice(events);
        self.exchanges.extend(exchanges.iter().map(|x| Exchange { flow: id, ..*x }));
        flow.events = first_event..self.events.len() as u32;
        flow.exchanges = first_exchange..self.exchanges.len() as u32;
        self.flows.push(flow);
        id
    }
}

/// Appends an extent to a message's delta-coded list: frame and offset as differences to the end of the
/// extent before it, zigzag and LEB128 coded: about five bytes a segment.
#[inline]
pub fn encode_extent(out: &mut Vec<u8>, previous: Extent, next: Extent) {
    let frame = zigzag(i64::from(next.frame) - i64::from(previous.frame));
    let offset = zigzag(next.offset as i64 - (previous.offset as i64 + i64::from(previous.len)));
    let len = u64::from(next.len);
    // Put together in one number, which is copied once.
    if frame < 1 << 14 && offset < 1 << 28 && len < 1 << 14 {
        let (mut coded, mut bits) = (0, 0);
        for value in [frame, offset, len] {
            let (word, taken) = short_varint(value);
            coded |= word << bits;
            bits += taken;
        }
        let end = out.len() + bits as usize / 8;
        out.extend_from_slice(&coded.to_le_bytes());
        out.truncate(end);
        return;
    }
    // The first extent of a message, mostly. Three numbers of up to ten bytes.
    let (mut coded, mut at) = ([0; 30], 0);
    for mut value in [frame, offset, len] {
        while value >= 0x80 {
            coded[at] = value as u8 | 0x80;
            value >>= 7;
            at += 1;
        }
        coded[at] = value as u8;
        at += 1;
    }
    out.extend_from_slice(&coded[..at]);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// A number below 2^28 in LEB128, its first byte lowest, and how many bits that takes.
#[inline]
fn short_varint(value: u64) -> (u64, u32) {
    let two = value & 0x7f | (value << 1) & 0x7f00;
    if value < 0x80 {
        (value, 8)
    } else if value < 0x4000 {
        (two | 0x80, 16)
    } else {
        let four = two | (value << 2) & 0x7f_0000 | (value << 3) & 0x7f00_0000;
        if value < 1 << 21 { (four | 0x8080, 24) } else { (four | 0x80_8080, 32) }
    }
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    let raw = read_varint(bytes)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_survive_their_coding_in_any_order() {
        let mut list = vec![
            Extent { frame: 7, offset: 10_000, len: 1448 },
            Extent { frame: 9, offset: 13_000, len: 20 },
            Extent { frame: 3, offset: 500, len: 65_000 },
            Extent { frame: u32::MAX, offset: 5 << 40, len: 1 },
        ];
        // Differences on either side of each number of coded bytes.
        for bits in [6, 7, 13, 14, 20, 21, 27, 28, 31] {
            for value in [(1 << bits) - 1, 1 << bits] {
                list.push(Extent { frame: 1, offset: 0, len: 0 });
                list.push(Extent { frame: value, offset: u64::from(value), len: value });
            }
        }
        let mut facts = CaptureFacts::default();
        facts.add_extents(&[1, 2, 3]);
        let (mut coded, mut last) = (Vec::new(), Extent::default());
        for &extent in &list {
            encode_extent(&mut coded, last, extent);
            last = extent;
        }
        let extent_count = list.len() as u32;
        let message = Message { extents: facts.add_extents(&coded), extent_count, ..Message::default() };
        assert_eq!(facts.extents(&message), list);
    }

    #[test]
    fn names_and_texts_come_back_as_they_went_in() {
        let mut facts = CaptureFacts::default();
        let (a, b) = (facts.intern("host"), facts.intern("x-request-id"));
        assert_eq!(facts.intern("host"), a);
        assert_eq!((facts.name(a), facts.name(b)), ("host", "x-request-id"));
        let text = facts.add_text(b"/api/\xff");
        assert_eq!(facts.text(text), "/api/\u{fffd}");
    }

    #[test]
    fn a_digest_is_of_what_hops_pass_on() {
        let same = |name: &str, one: &str, other: &str| {
            let digest = |value: &str| HeaderDigest::of(NameId(1), name, value.as_bytes());
            digest(one) == digest(other)
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let span = |span: &str| format!("00-{trace}-{span}-01");
        assert!(same("traceparent", &span("b7ad6b7169203331"), &span("00f067aa0ba902b7")));
        assert!(!same("traceparent", "00-short-1", "00-short-2"));
        assert!(same("x-amzn-trace-id", "Root=1-67;Parent=a", "Self=2; Root=1-67"));
        assert!(same("x-forwarded-for", "10.0.0.9, 10.0.0.1", "10.0.0.1"));
        assert!(!same("x-other", "a, b", "b"));
    }

    #[test]
    fn a_digest_ignores_space_around_the_value_and_keeps_the_name() {
        let digest = HeaderDigest::new(NameId(7), b" abc\t");
        assert_eq!(digest.name(), NameId(7));
        assert_eq!(digest.value(), HeaderDigest::new(NameId(9), b"abc").value());
        assert_ne!(digest.value(), HeaderDigest::new(NameId(7), b"abd").value());
    }
}
