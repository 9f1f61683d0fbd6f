//! What one capture holds: its connections and their exchanges, compact enough for millions.
//!
//! Texts, headers and extents live in arenas of [`CaptureFacts`]; bodies stay in the file and are read
//! again through their extents when somebody looks.

use std::borrow::Cow;
use std::num::NonZeroU16;

use hashbrown::HashMap;

use crate::capture::{CaptureInfo, Extent, Frame};
use crate::tcp::{Closing, Event, EventKind, Flow, FlowId, Side};

use super::ExchangeFlags;
use super::digest::HeaderDigest;
use super::extents;
use super::message::{Message, Method, NameId, Text};

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
        let coded = self.extents.get(message.extents as usize..).unwrap_or_default();
        let mut all = Vec::with_capacity(coded.len().min(message.extent_count as usize));
        let decoded = extents::decode(coded, message.extent_count);
        all.extend(decoded.filter(|extent| extent.offset < LENT_OFFSET));
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

    /// Whether an answer came of which the capture cut the head, as behind a small snap length: where it ended is not told,
    /// but that was not before what was seen of it.
    pub fn is_answer_cut(&self, flow: &Flow, exchange: &Exchange) -> bool {
        exchange.response.is_seen()
            && !exchange.response.is_complete()
            && exchange.flags.has(ExchangeFlags::HEAD_CUT)
            && self.left_before_response(flow, exchange).is_none()
    }

    /// The client's FIN or RST, where it came before the response, and the response was then reset unread. (A client
    /// that only closed its sending side acknowledges the response.)
    pub fn left_before_response(&self, flow: &Flow, exchange: &Exchange) -> Option<&Event> {
        self.left_unheard(flow, exchange).filter(|end| end.frame < exchange.response.first_frame)
    }

    /// The client's FIN or RST, where it came before the response's last packet, which the client had not got, and what
    /// came then was reset.
    pub fn left_unheard(&self, flow: &Flow, exchange: &Exchange) -> Option<&Event> {
        let last = self.exchanges_of(flow).last().is_some_and(|last| last.ordinal == exchange.ordinal);
        if !last || !exchange.response.is_present() || flow.closing != Closing::Reset {
            return None;
        }
        let end = self.client_end(flow, exchange)?;
        let is_reset = |event: &Event| event.from == Side::Client && event.kind == EventKind::Rst;
        let reset = self.events_of(flow).iter().any(is_reset);
        // Packets may pass the place of capture in another order.
        let has_all = end.has_ack && end.ack.wrapping_sub(exchange.response.end_seq()) as i32 >= 0;
        (reset && !has_all && end.frame < exchange.response.last_frame).then_some(end)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_come_back_as_they_went_in() {
        let mut facts = CaptureFacts::default();
        let (a, b) = (facts.intern("host"), facts.intern("x-request-id"));
        assert_eq!(facts.intern("host"), a);
        assert_eq!((facts.name(a), facts.name(b)), ("host", "x-request-id"));
        let text = facts.add_text(b"/api/\xff");
        assert_eq!(facts.text(text), "/api/\u{fffd}");
    }
}
