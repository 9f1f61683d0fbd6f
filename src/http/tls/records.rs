//! Both streams of a TLS connection, record by record (RFC 8446, section 5.1).
//!
//! ```text
//! type (1) │ version (2) │ length (2) │ content: a part of one handshake message, or several of them, or an alert, …
//! ```

use super::hello::{self, CLIENT_HELLO, SERVER_HELLO};
use super::{ALERT_RECORD, TlsAlert, TlsFacts, TlsMessage, TlsStep};
use crate::capture::{CaptureTime, ProblemKind, Problems};
use crate::http::load::Context;
use crate::http::protocols::Wire;
use crate::http::{Exchange, Protocol};
use crate::tcp::{Chunk, Flow, Hole, Opening, Side};

/// The longest hello message that is read, in bytes.
const MAX_HELLO: usize = 64 << 10;
/// Most alerts kept of a connection.
const MAX_ALERTS: usize = 16;
/// Most steps of the handshake kept of a connection.
const MAX_STEPS: usize = 32;
/// The longest record that is allowed, encryption's overhead included (RFC 5246, section 6.2.3).
const MAX_RECORD: usize = (16 << 10) + 2048;
/// Bytes of a record's header.
const HEADER: usize = 5;
/// Bytes of a handshake message's header.
const MESSAGE_HEADER: usize = 4;

/// The record types.
mod kind {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const DATA: u8 = 23;
}

/// Whether these bytes, the first that the capture holds of a side, are records of application data and nothing else:
/// the connection is older than the capture.
pub(in crate::http) fn starts_data(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((header, behind)) = rest.split_first_chunk::<HEADER>() {
        let &[kind, major, minor, high, low] = header;
        let len = usize::from(u16::from_be_bytes([high, low]));
        if kind != kind::DATA || major != 3 || !(1..=3).contains(&minor) || !(17..=MAX_RECORD).contains(&len)
        {
            return false;
        }
        let Some((_, next)) = behind.split_at_checked(len) else { return false };
        rest = next;
    }
    rest.is_empty() && !bytes.is_empty()
}

/// The reader of a TLS connection.
#[derive(Debug, Default)]
pub(in crate::http) struct Tls {
    facts: TlsFacts,
    sides: [Records; 2],
    /// Steps or alerts came that were too many to keep.
    overfull: bool,
}

/// One direction, record by record.
#[derive(Debug, Default)]
struct Records {
    header: [u8; HEADER],
    header_len: usize,
    /// Bytes of the record to come.
    left: usize,
    /// The content of an alert, as far as it came.
    alert: Vec<u8>,
    message: Handshake,
    /// Its ChangeCipherSpec went by.
    encrypted: bool,
    /// Messages of the handshake can no longer be told apart.
    blind: bool,
    /// Records can no longer be told apart, until one begins with a packet.
    lost: bool,
    /// They could not for a while.
    stumbled: bool,
    /// Because the capture misses bytes.
    missed: bool,
}

/// The handshake message under way.
#[derive(Debug, Default)]
struct Handshake {
    head: [u8; MESSAGE_HEADER],
    head_len: usize,
    /// Bytes of its body to come.
    left: usize,
    /// The body of a hello.
    hello: Vec<u8>,
}

impl Handshake {
    /// Takes what it can from the start of `bytes`: how much.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let in_head = bytes.len().min(MESSAGE_HEADER - self.head_len);
        self.head[self.head_len..][..in_head].copy_from_slice(&bytes[..in_head]);
        self.head_len += in_head;
        if self.head_len < MESSAGE_HEADER {
            return in_head;
        }
        if in_head > 0 {
            self.left = self.len();
        }
        let in_body = (bytes.len() - in_head).min(self.left);
        self.left -= in_body;
        // Behind bytes that were too many to keep, the others make no sense.
        let joins = || self.len() - self.left - in_body == self.hello.len();
        if self.is_hello() && joins() && self.hello.len() + in_body <= MAX_HELLO {
            self.hello.extend_from_slice(&bytes[in_head..in_head + in_body]);
        }
        in_head + in_body
    }

    fn len(&self) -> usize {
        u32::from_be_bytes([0, self.head[1], self.head[2], self.head[3]]) as usize
    }

    fn is_hello(&self) -> bool {
        matches!(self.head[0], CLIENT_HELLO | SERVER_HELLO)
    }

    fn is_whole(&self) -> bool {
        self.head_len == MESSAGE_HEADER && self.left == 0
    }

    /// What it is; `None` when there is no such message.
    fn name(&self) -> Option<TlsMessage> {
        Some(match self.head[0] {
            0 => TlsMessage::HelloRequest,
            CLIENT_HELLO => TlsMessage::ClientHello,
            SERVER_HELLO if hello::asks_again(&self.hello) => TlsMessage::HelloRetryRequest,
            SERVER_HELLO => TlsMessage::ServerHello,
            4 => TlsMessage::NewSessionTicket,
            11 => TlsMessage::Certificate,
            12 => TlsMessage::ServerKeyExchange,
            13 => TlsMessage::CertificateRequest,
            14 => TlsMessage::ServerHelloDone,
            15 => TlsMessage::CertificateVerify,
            16 => TlsMessage::ClientKeyExchange,
            20 => TlsMessage::Finished,
            22 => TlsMessage::CertificateStatus,
            // Rare ones, such as of compressed certificates (RFC 8879) or the next protocol of old.
            3..=31 | 67 => TlsMessage::Other,
            _ => return None,
        })
    }
}

impl Tls {
    /// What was seen of the connection, or of a tunnel in it from its start on; `None` when no byte was TLS.
    pub fn into_facts(mut self, flow: &Flow, tunnel: bool, context: &mut Context) -> Option<Box<TlsFacts>> {
        if self.overfull {
            let (client, server, frame) = (flow.client, flow.server, flow.first.1);
            context.report(
                ProblemKind::LimitReached,
                format_args!(
                    "{client} → {server} (first: packet {frame}) has more than {MAX_STEPS} messages of a TLS handshake, or \
                     more than {MAX_ALERTS} alerts; the rest was not kept"
                ),
            );
        }
        // What is no record where one should begin is another protocol, unless the start is missing.
        let unseen = flow.opening == Opening::MidStream && !tunnel;
        for (lost, side) in self.facts.lost.iter_mut().zip(&self.sides) {
            *lost = side.missed || side.stumbled && unseen;
        }
        self.facts.steps.shrink_to_fit();
        self.facts.blind = unseen || self.sides.iter().any(|side| side.blind || side.missed);
        (self.facts.records != [0, 0]).then(|| Box::new(self.facts))
    }

    /// Out of step: whether a record of data begins here.
    fn resumes(&mut self, from: Side, bytes: &[u8]) -> bool {
        let side = &mut self.sides[from as usize];
        if !matches!(*bytes, [kind::DATA, 3, 1..=3, high, low, ..]
            if (17..=MAX_RECORD).contains(&usize::from(u16::from_be_bytes([high, low]))))
        {
            return false;
        }
        (side.lost, side.header_len, side.left, side.blind) = (false, 0, 0, true);
        true
    }

    fn on_header(&mut self, from: Side, chunk: &Chunk<'_>) {
        let side = &mut self.sides[from as usize];
        let [kind, major, _, high, low] = side.header;
        let len = u16::from_be_bytes([high, low]);
        if !(20..=24).contains(&kind) || major != 3 || usize::from(len) > MAX_RECORD {
            (side.lost, side.stumbled) = (true, true);
            return;
        }
        side.left = usize::from(len);
        side.alert.clear();
        if side.encrypted && !matches!(side.message.head_len, 0) {
            side.message = Handshake::default();
        }
        let (facts, at) = (&mut self.facts, from as usize);
        facts.records[at] = facts.records[at].saturating_add(1);
        facts.last_record[at] = len;
        facts.last_at[at] = (chunk.at, chunk.frame);
        if kind == kind::DATA {
            facts.data_start[at].get_or_insert((chunk.at, chunk.frame));
            facts.client_went_on |= from == Side::Client && facts.is_1_3() && len > ALERT_RECORD;
        }
        if side.left == 0 {
            side.header_len = 0;
        }
    }

    fn on_content(&mut self, from: Side, bytes: &[u8], chunk: &Chunk<'_>) {
        let side = &mut self.sides[from as usize];
        let kind = side.header[0];
        side.left -= bytes.len();
        let ends = side.left == 0;
        if ends {
            side.header_len = 0;
            self.facts.last_at[from as usize] = (chunk.at, chunk.frame);
        }
        match kind {
            kind::CHANGE_CIPHER_SPEC if ends => self.on_change(from, chunk),
            kind::ALERT => self.on_alert(from, bytes, ends, chunk),
            kind::HANDSHAKE => self.on_handshake(from, bytes, chunk),
            // The record's own length would count bytes too that never came.
            kind::DATA => self.facts.data_bytes[from as usize] += bytes.len() as u64,
            _ => {}
        }
    }

    fn add_step(&mut self, from: Side, message: TlsMessage, chunk: &Chunk<'_>) {
        self.add_step_at(from, message, (chunk.at, chunk.frame));
    }

    fn add_step_at(&mut self, from: Side, message: TlsMessage, (at, frame): (CaptureTime, u32)) {
        self.overfull |= self.facts.steps.len() >= MAX_STEPS;
        if !self.overfull {
            self.facts.steps.push(TlsStep { from, at, frame, message });
        }
    }

    /// After it all that TLS 1.2 sends is encrypted; in TLS 1.3 it means nothing (RFC 8446, appendix D.4).
    fn on_change(&mut self, from: Side, chunk: &Chunk<'_>) {
        let greeted = self.facts.steps.iter().any(|step| step.from == Side::Server);
        let certified = self.facts.steps.iter().any(|step| step.message == TlsMessage::ServerHelloDone);
        if from == Side::Server && greeted && !certified && !self.facts.is_1_3() && !self.sides[1].blind {
            self.facts.resumed = true;
        }
        self.add_step(from, TlsMessage::ChangeCipherSpec, chunk);
        self.sides[from as usize].encrypted = true;
    }

    fn on_alert(&mut self, from: Side, bytes: &[u8], ends: bool, chunk: &Chunk<'_>) {
        let side = &mut self.sides[from as usize];
        if side.alert.len() < 8 {
            side.alert.extend_from_slice(bytes);
        }
        if !ends {
            return;
        }
        if self.facts.alerts.len() >= MAX_ALERTS {
            self.overfull = true;
            return;
        }
        // An encrypted one is longer than these two bytes.
        let clear = match side.alert[..] {
            [level, description] => Some((level, description)),
            _ => None,
        };
        self.facts.alerts.push(TlsAlert {
            from,
            at: chunk.at,
            frame: chunk.frame,
            level: clear.map_or(0, |(level, _)| level),
            description: clear.map(|(_, description)| description),
        });
    }

    fn on_handshake(&mut self, from: Side, bytes: &[u8], chunk: &Chunk<'_>) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.sides[from as usize].blind {
            let side = &mut self.sides[from as usize];
            let fresh = side.message.head_len < MESSAGE_HEADER;
            let used = side.message.take(rest);
            rest = &rest[used..];
            if side.message.head_len < MESSAGE_HEADER {
                return;
            }
            if fresh && side.encrypted && !side.is_clear_hello() {
                return self.on_encrypted(from, chunk);
            }
            let whole = side.message.is_whole();
            match side.message.name() {
                None => side.blind = true,
                Some(name) if whole => {
                    let message = std::mem::take(&mut side.message);
                    self.add_step(from, name, chunk);
                    if message.is_hello() && message.hello.len() == message.len() {
                        hello::read(message.head[0], &message.hello, &mut self.facts);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// The capture misses the rest of a ClientHello: what came of it counts as far as it goes.
    fn cut_hello(&mut self, from: Side) {
        let side = &mut self.sides[from as usize];
        let in_hello = side.message.head_len == MESSAGE_HEADER && side.message.head[0] == CLIENT_HELLO;
        if !in_hello || side.blind || side.encrypted || side.message.left == 0 {
            return;
        }
        side.blind = true;
        let body = std::mem::take(&mut side.message).hello;
        hello::read(CLIENT_HELLO, &body, &mut self.facts);
        self.add_step_at(from, TlsMessage::ClientHello, self.facts.last_at[from as usize]);
    }

    /// A handshake record that is encrypted: the first is the side's Finished (RFC 5246, section 7.4.9).
    fn on_encrypted(&mut self, from: Side, chunk: &Chunk<'_>) {
        let known = |step: &TlsStep| step.from == from && step.message == TlsMessage::Finished;
        let message =
            if self.facts.steps.iter().any(known) { TlsMessage::Encrypted } else { TlsMessage::Finished };
        self.add_step(from, message, chunk);
        // The rest of the record makes no sense, and the next one begins anew.
        self.sides[from as usize].message = Handshake { left: usize::MAX, ..full_head() };
    }
}

/// A message head of no type: what follows it in its record is skipped.
fn full_head() -> Handshake {
    Handshake { head_len: MESSAGE_HEADER, ..Handshake::default() }
}

impl Records {
    /// Whether the handshake record under way holds a hello in the clear, behind a ChangeCipherSpec that meant nothing:
    /// where the server asked for another ClientHello. Its length tells.
    fn is_clear_hello(&self) -> bool {
        let record = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
        self.message.is_hello() && self.message.len() + MESSAGE_HEADER == record
    }
}

impl Wire for Tls {
    fn data(&mut self, from: Side, chunk: &Chunk<'_>, _context: &mut Context) {
        let mut rest = *chunk;
        if self.sides[from as usize].lost && !self.resumes(from, chunk.data) {
            return;
        }
        while !rest.data.is_empty() && !self.sides[from as usize].lost {
            let side = &mut self.sides[from as usize];
            let used = if side.header_len < HEADER {
                let used = rest.data.len().min(HEADER - side.header_len);
                side.header[side.header_len..side.header_len + used].copy_from_slice(&rest.data[..used]);
                side.header_len += used;
                if side.header_len == HEADER {
                    self.on_header(from, &rest);
                }
                used
            } else {
                let used = rest.data.len().min(side.left);
                self.on_content(from, &rest.data[..used], &rest);
                used
            };
            rest = rest.behind(used);
        }
    }

    fn hole(&mut self, from: Side, hole: &Hole, _context: &mut Context) {
        self.cut_hello(from);
        let side = &mut self.sides[from as usize];
        let len = hole.len as usize;
        // Records lie behind each other: one that is longer than the hole leads on.
        if side.header_len < HEADER || len > side.left {
            (side.lost, side.missed) = (true, true);
            return;
        }
        side.blind |= side.header[0] == kind::HANDSHAKE;
        if side.header[0] == kind::DATA {
            self.facts.data_bytes[from as usize] += len as u64;
        }
        side.left -= len;
        if side.left == 0 {
            side.header_len = 0;
        }
    }

    fn fin(&mut self, _: Side, _: CaptureTime, _: &mut Context) {}

    fn close(&mut self, flow: &mut Flow, context: &mut Context) -> Vec<Exchange> {
        flow.wire.tls = std::mem::take(self).into_facts(flow, false, context);
        // Without a handshake it takes more than one record to believe that it is TLS.
        let guessed = flow.opening == Opening::MidStream
            && flow
                .wire
                .tls
                .as_ref()
                .is_none_or(|tls| tls.steps.is_empty() && tls.records.iter().sum::<u32>() < 2);
        flow.protocol = if guessed { Protocol::Unknown } else { Protocol::Tls };
        if guessed {
            flow.wire.tls = None;
        }
        Vec::new()
    }
}
