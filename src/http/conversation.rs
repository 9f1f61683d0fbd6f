//! One connection: finds out by its first bytes what it carries, and hands its streams to the reader of that
//! protocol.

use crate::capture::{CaptureTime, ProblemKind, Problems};
use crate::tcp::{Chunk, Event, Flow, Handler, Hole, Opening, Side};

use super::again::RepeatedBytes;
use super::http1::Http1;
use super::load::Context;
use super::protocols::{Wire, reader_of};
use super::proxy::{self, Parsed};
use super::sniff::{self, Sniffed};
use super::{Exchange, FirstBytes, ProxyHeader};

/// Most bytes kept while a stream's first message is not yet known by them: a PROXY header of version 2 may
/// be 64 KiB long, a request line that comes in pieces 16 KiB.
const MAX_OPENING: usize = (64 << 10) + 16;
/// The longest start of a stream that is waited for to end a request line, in bytes.
const MAX_UNDECIDED: usize = 16 << 10;

/// Most PROXY headers behind the first one that are read.
const MAX_FURTHER: usize = 4;

/// Most readers that are kept for connections to come.
const MAX_READERS: usize = 64;

/// How far the start of a stream is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Start {
    /// No byte was handed on yet.
    #[default]
    Unknown,
    /// A PROXY header went by; what follows is not known yet.
    BehindProxy,
    /// Known.
    Known,
}

/// The exchanges of one connection in the making.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Reads the streams, unless another protocol was found. Made for the first bytes: most connections of a scan, or of a
    /// flood of SYNs, have none, and a table of them is that much smaller.
    http: Option<Box<Http1>>,
    other: Option<Box<dyn Wire>>,
    starts: [Start; 2],
    first_bytes: [FirstBytes; 2],
    proxy: Option<Box<ProxyHeader>>,
    held: [Vec<HeldChunk>; 2],
    repeated: RepeatedBytes,
}

/// A chunk of a start that is not known yet.
#[derive(Debug)]
struct HeldChunk {
    data: Box<[u8]>,
    at: CaptureTime,
    frame: u32,
    seq: u32,
    ack: u32,
    file_offset: u64,
}

impl HeldChunk {
    fn of(chunk: &Chunk<'_>) -> Self {
        let Chunk { data, at, frame, seq, ack, file_offset } = *chunk;
        Self { data: data.into(), at, frame, seq, ack, file_offset }
    }

    fn chunk(&self) -> Chunk<'_> {
        let &Self { ref data, at, frame, seq, ack, file_offset } = self;
        Chunk { data, at, frame, seq, ack, file_offset }
    }
}

impl Handler for Conversation {
    type Context = Context;

    fn sender_of(payload: &[u8]) -> Option<Side> {
        sniff::sender_of(payload)
    }

    #[inline]
    fn data(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        if self.starts[from as usize] == Start::Known {
            self.feed(from, chunk, context);
        } else {
            self.open(from, chunk, context);
        }
    }

    fn hole(&mut self, from: Side, hole: Hole, context: &mut Context) {
        if self.starts[from as usize] != Start::Known {
            self.settle_held(from, context);
        }
        if self.first_bytes[from as usize] == FirstBytes::None {
            self.first_bytes[from as usize] = FirstBytes::Missing;
        }
        match &mut self.other {
            None => self.http1(context).hole(from, &hole, context),
            Some(other) => other.hole(from, &hole, context),
        }
    }

    #[cold]
    fn repeated(&mut self, from: Side, chunk: Chunk<'_>, is_copy: bool, context: &mut Context) {
        self.repeated.note(from, &chunk, is_copy, context);
    }

    #[cold]
    fn swap_sides(&mut self) {
        self.starts.swap(0, 1);
        self.first_bytes.swap(0, 1);
        self.held.swap(0, 1);
        if let Some(http) = &mut self.http {
            http.swap_sides();
        }
    }

    fn fin(&mut self, from: Side, at: CaptureTime, _frame: u32, context: &mut Context) {
        if self.starts[from as usize] != Start::Known {
            self.settle_held(from, context);
        }
        match &mut self.other {
            None => {
                if let Some(http) = &mut self.http {
                    http.fin(from, at, context);
                }
            }
            Some(other) => other.fin(from, at, context),
        }
    }

    fn close(mut self, mut flow: Flow, events: &[Event], context: &mut Context) {
        for side in [Side::Client, Side::Server] {
            self.settle_held(side, context);
        }
        if flow.opening == Opening::MidStream {
            for first in &mut self.first_bytes {
                if matches!(first, FirstBytes::Other | FirstBytes::TlsData) {
                    *first = FirstBytes::Missing;
                }
            }
        }
        flow.wire.first_bytes = self.first_bytes;
        flow.wire.proxy = self.proxy.take();
        let mut http = self.http.take();
        let mut exchanges = match (&mut self.other, &mut http) {
            (Some(other), _) => other.close(&mut flow, context),
            (None, Some(http)) => http.close(&mut flow, context),
            // Nothing was sent, which has a name too.
            (None, None) => Http1::default().close(&mut flow, context),
        };
        for (exchange, ordinal) in exchanges.iter_mut().zip(1..) {
            exchange.ordinal = ordinal;
        }
        self.repeated.settle(&flow, &exchanges, context);
        context.facts.add_flow(flow, events, &exchanges);
        if let Some(http) = http {
            context.readers.take_back(http, exchanges);
        }
    }
}

/// Readers of connections that are over, for those that come: the room of their lists is had anew for each otherwise, step
/// by step.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "they are handed out in their boxes, as connections keep them")]
pub(super) struct Readers(Vec<Box<Http1>>);

impl Readers {
    fn give(&mut self) -> Box<Http1> {
        self.0.pop().unwrap_or_default()
    }

    fn take_back(&mut self, mut reader: Box<Http1>, exchanges: Vec<Exchange>) {
        if self.0.len() < MAX_READERS && reader.renew(exchanges) {
            self.0.push(reader);
        }
    }
}

impl Conversation {
    #[inline]
    fn feed(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        match &mut self.other {
            None => self.http1(context).data(from, chunk, context),
            Some(other) => other.data(from, chunk, context),
        }
    }

    #[inline]
    fn http1(&mut self, context: &mut Context) -> &mut Http1 {
        self.http.get_or_insert_with(|| context.readers.give())
    }

    /// Takes bytes of a stream whose start is not known yet.
    #[cold]
    fn open(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        // Whoever answers has understood what there was.
        if !self.held[from.peer() as usize].is_empty() {
            self.settle_held(from.peer(), context);
        }
        let held = &mut self.held[from as usize];
        if !held.is_empty() {
            held.push(HeldChunk::of(chunk));
            let bytes: Vec<u8> = held.iter().flat_map(|chunk| &*chunk.data).copied().collect();
            if let Some(behind) = self.decide(from, &bytes, chunk, context) {
                self.replay(from, behind, context);
            }
            return;
        }
        match self.decide(from, chunk.data, chunk, context) {
            Some(0) => self.feed(from, chunk, context),
            Some(behind) => self.hand_on(from, chunk, behind, context),
            None => self.held[from as usize].push(HeldChunk::of(chunk)),
        }
    }

    /// Decides by all bytes of a start, of which `last` is the end: how many of them are a PROXY header and done with;
    /// `None` when more bytes are needed.
    fn decide(&mut self, from: Side, bytes: &[u8], last: &Chunk<'_>, context: &mut Context) -> Option<usize> {
        let mut kind = match sniff::first_bytes(from, bytes) {
            Sniffed::Is(kind) => kind,
            Sniffed::More if bytes.len() < MAX_UNDECIDED => return None,
            Sniffed::More => sniff::guess(from, bytes),
        };
        if matches!(kind, FirstBytes::ProxyV1 | FirstBytes::ProxyV2)
            && self.starts[from as usize] != Start::Known
            && self.proxy.as_ref().is_none_or(|first| first.further.len() < MAX_FURTHER)
        {
            match proxy::parse(bytes) {
                Parsed::Header { len, header } => {
                    self.note_first(from, kind);
                    let header = ProxyHeader { at: last.at, frame: last.frame, ..header };
                    match &mut self.proxy {
                        None => self.proxy = Some(Box::new(header)),
                        Some(first) => first.further.push(header),
                    }
                    self.starts[from as usize] = Start::BehindProxy;
                    return Some(len);
                }
                Parsed::More if bytes.len() <= MAX_OPENING => return None,
                Parsed::More | Parsed::Broken => {
                    context.report(
                        ProblemKind::LenientHttp,
                        format_args!("packet {}: a PROXY header that cannot be read", last.frame),
                    );
                    self.note_first(from, kind);
                    kind = FirstBytes::Other;
                }
            }
        }
        self.settle(from, kind, context);
        Some(0)
    }

    fn note_first(&mut self, from: Side, kind: FirstBytes) {
        let first = &mut self.first_bytes[from as usize];
        if *first == FirstBytes::None {
            *first = kind;
        }
    }

    /// The start is known: the reader is chosen.
    fn settle(&mut self, from: Side, kind: FirstBytes, context: &mut Context) {
        self.note_first(from, kind);
        self.starts[from as usize] = Start::Known;
        // A server that answers an HTTP request in another protocol has not changed what was asked.
        let asked = from == Side::Server
            && !matches!(self.first_bytes[Side::Client as usize], FirstBytes::None | FirstBytes::Missing);
        if self.other.is_none() && !asked {
            let unseen = self.first_bytes[from as usize] == FirstBytes::Missing;
            self.other = reader_of(kind, unseen, self.http1(context));
        }
    }

    /// No more bytes will come before the held ones must be understood.
    #[cold]
    fn settle_held(&mut self, from: Side, context: &mut Context) {
        let held = &self.held[from as usize];
        if held.is_empty() {
            return;
        }
        let bytes: Vec<u8> = held.iter().flat_map(|chunk| &*chunk.data).copied().collect();
        self.settle(from, sniff::guess(from, &bytes), context);
        self.replay(from, 0, context);
    }

    /// Hands on the held chunks without their first `behind` bytes.
    fn replay(&mut self, from: Side, mut behind: usize, context: &mut Context) {
        for held in std::mem::take(&mut self.held[from as usize]) {
            let skip = behind.min(held.data.len());
            behind -= skip;
            self.hand_on(from, &held.chunk(), skip, context);
        }
    }

    /// Hands on a chunk without its first `skip` bytes.
    fn hand_on(&mut self, from: Side, chunk: &Chunk<'_>, skip: usize, context: &mut Context) {
        if skip < chunk.data.len() {
            self.data(from, &chunk.behind(skip), context);
        }
    }
}
