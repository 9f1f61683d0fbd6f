//! TLS: what can be seen of it without its keys (RFC 8446, RFC 5246): the handshake's offers and choices, alerts,
//! record sizes. There are no exchanges: they are encrypted.

use crate::capture::CaptureTime;
use crate::tcp::{Chunk, Flow, Hole, Side};

use super::load::Context;
use super::protocols::Wire;
use super::{Exchange, Protocol};

/// The longest hello message that is read, in bytes.
const MAX_HELLO: usize = 64 << 10;
/// Most alerts kept of a connection.
const MAX_ALERTS: usize = 16;
/// Bytes of a record's header.
const HEADER: usize = 5;

/// What TLS leaves to see of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The server's name that the client asked for (RFC 6066, section 3).
    pub server_name: Option<Box<str>>,
    /// The protocols that the client offers (RFC 7301), separated by commas.
    pub alpn_offered: Option<Box<str>>,
    /// The protocol that the server chose; TLS 1.3 encrypts it.
    pub alpn: Option<Box<str>>,
    /// The version chosen, as on the wire (0x0303 is TLS 1.2), where the server's hello was seen.
    pub version: Option<u16>,
    /// The cipher suite chosen, as on the wire.
    pub cipher: Option<u16>,
    /// Records sent by each side, of any kind.
    pub records: [u32; 2],
    /// Bytes in records of application data sent by each side, as encrypted.
    pub data_bytes: [u64; 2],
    /// Size of the last record of each side. In TLS 1.3 alerts look like data: 19 bytes is one, mostly `close_notify`.
    pub last_record: [u16; 2],
    /// Alerts that were sent in the clear, in order.
    pub alerts: Vec<TlsAlert>,
}

/// An alert (RFC 8446, section 6), or that there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsAlert {
    /// Who sent it.
    pub from: Side,
    /// When.
    pub at: CaptureTime,
    /// In which packet.
    pub frame: u32,
    /// 1 warning, 2 fatal; 0 when encrypted.
    pub level: u8,
    /// What: 0 `close_notify`, 40 `handshake_failure`, 70 `protocol_version`, …; `None` when encrypted.
    pub description: Option<u8>,
}

impl TlsFacts {
    /// The name of the version chosen.
    pub fn version_name(&self) -> Option<&'static str> {
        Some(match self.version? {
            0x0300 => "SSL 3.0",
            0x0301 => "TLS 1.0",
            0x0302 => "TLS 1.1",
            0x0303 => "TLS 1.2",
            0x0304 => "TLS 1.3",
            _ => "an unknown version",
        })
    }

    /// Whether a side said that it sends no more, in the clear or by what looks like it.
    pub fn closed(&self, side: Side) -> bool {
        let said = self.alerts.iter().any(|a| a.from == side && matches!(a.description, Some(0) | None));
        said || self.version == Some(0x0304) && self.last_record[side as usize] == 19
    }
}

/// The reader of a TLS connection.
#[derive(Debug, Default)]
pub(super) struct Tls {
    facts: TlsFacts,
    sides: [Records; 2],
}

/// One direction, record by record.
#[derive(Debug, Default)]
struct Records {
    header: [u8; HEADER],
    header_len: usize,
    /// Bytes of the record to come.
    left: usize,
    /// The hello message as far as it came; its record's content otherwise (an alert).
    content: Vec<u8>,
    hello_done: bool,
    encrypted: bool,
    lost: bool,
}

impl Tls {
    /// What was seen; `None` when no byte was TLS.
    pub fn into_facts(self) -> Option<Box<TlsFacts>> {
        (self.facts.records != [0, 0]).then(|| Box::new(self.facts))
    }

    fn on_header(&mut self, from: Side) {
        let side = &mut self.sides[from as usize];
        let [kind, major, _, high, low] = side.header;
        if !(20..=24).contains(&kind) || major != 3 {
            side.lost = true;
            return;
        }
        let len = u16::from_be_bytes([high, low]);
        side.left = usize::from(len);
        if kind != 22 {
            side.content.clear();
        }
        self.facts.records[from as usize] += 1;
        self.facts.last_record[from as usize] = len;
        if kind == 23 {
            self.facts.data_bytes[from as usize] += u64::from(len);
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
        }
        match kind {
            // After ChangeCipherSpec all that TLS 1.2 sends is encrypted.
            20 => side.encrypted = true,
            21 if side.content.len() < 8 => {
                side.content.extend_from_slice(bytes);
                if ends && self.facts.alerts.len() < MAX_ALERTS {
                    let clear = (side.content.len() == 2 && !side.encrypted)
                        .then(|| (side.content[0], side.content[1]));
                    self.facts.alerts.push(TlsAlert {
                        from,
                        at: chunk.at,
                        frame: chunk.frame,
                        level: clear.map_or(0, |(level, _)| level),
                        description: clear.map(|(_, description)| description),
                    });
                }
            }
            22 if !side.hello_done && !side.encrypted => {
                side.content.extend_from_slice(bytes);
                if let Some(&[kind, a, b, c]) = side.content.first_chunk::<4>() {
                    let len = 4 + u32::from_be_bytes([0, a, b, c]) as usize;
                    if side.content.len() >= len {
                        let hello = std::mem::take(&mut side.content);
                        side.hello_done = true;
                        let _ = read_hello(kind, &hello[4..len], &mut self.facts);
                    } else if len > MAX_HELLO {
                        side.hello_done = true;
                        side.content = Vec::new();
                    }
                }
            }
            _ => {}
        }
    }
}

impl Wire for Tls {
    fn data(&mut self, from: Side, chunk: &Chunk<'_>, _context: &mut Context) {
        let mut rest = *chunk;
        while !rest.data.is_empty() && !self.sides[from as usize].lost {
            let side = &mut self.sides[from as usize];
            let used = if side.header_len < HEADER {
                let used = rest.data.len().min(HEADER - side.header_len);
                side.header[side.header_len..side.header_len + used].copy_from_slice(&rest.data[..used]);
                side.header_len += used;
                if side.header_len == HEADER {
                    self.on_header(from);
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
        let side = &mut self.sides[from as usize];
        let len = hole.len as usize;
        side.hello_done = true;
        // Records lie behind each other: one that is longer than the hole leads on.
        if side.header_len < HEADER || len > side.left {
            side.lost = true;
            return;
        }
        side.left -= len;
        if side.left == 0 {
            side.header_len = 0;
        }
    }

    fn fin(&mut self, _: Side, _: CaptureTime, _: &mut Context) {}

    fn close(&mut self, flow: &mut Flow, _: &mut Context) -> Vec<Exchange> {
        flow.protocol = Protocol::Tls;
        flow.wire.tls = std::mem::take(self).into_facts();
        Vec::new()
    }
}

/// Reads big-endian fields one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |all, &b| all << 8 | usize::from(b)))
    }

    /// A vector behind its length of so many bytes.
    fn vector(&mut self, length_bytes: usize) -> Option<Fields<'a>> {
        let len = self.number(length_bytes)?;
        self.take(len).map(Fields)
    }
}

/// Reads a ClientHello (kind 1) or ServerHello (2); `None` when it ends early.
fn read_hello(kind: u8, body: &[u8], facts: &mut TlsFacts) -> Option<()> {
    let mut fields = Fields(body);
    let version = fields.number(2)? as u16;
    fields.take(32)?;
    fields.vector(1)?;
    match kind {
        1 => {
            fields.vector(2)?;
            fields.vector(1)?;
        }
        2 => {
            facts.version = Some(version);
            facts.cipher = Some(fields.number(2)? as u16);
            fields.take(1)?;
        }
        _ => return None,
    }
    let mut extensions = fields.vector(2)?;
    while !extensions.0.is_empty() {
        let number = extensions.number(2)?;
        let mut extension = extensions.vector(2)?;
        match (number, kind) {
            (0, 1) => {
                let mut list = extension.vector(2)?;
                list.take(1)?;
                facts.server_name = Some(text(list.vector(2)?.0));
            }
            (16, _) => {
                let mut list = extension.vector(2)?;
                let mut names = Vec::new();
                while !list.0.is_empty() {
                    names.push(text(list.vector(1)?.0));
                }
                let names = Some(names.join(",").into());
                if kind == 1 { facts.alpn_offered = names } else { facts.alpn = names }
            }
            (43, 2) => facts.version = Some(extension.number(2)? as u16),
            _ => {}
        }
    }
    Some(())
}

fn text(bytes: &[u8]) -> Box<str> {
    bytes.escape_ascii().to_string().into()
}
