//! The uwsgi protocol, as between nginx (`uwsgi_pass`) and uWSGI: a packet of variables and the body, then an
//! HTTP or CGI response (uwsgi-docs, "The uwsgi (lowercase!) Protocol").
//!
//! ```text
//! modifier1 (1) │ size (2, little-endian) │ modifier2 (1) │ size bytes: { length (2) name, length (2) value }*
//! ```

use crate::capture::CaptureTime;
use crate::tcp::{Chunk, Flow, Hole, Side};

use super::head::RequestHead;
use super::http1::Http1;
use super::load::Context;
use super::protocols::Wire;
use super::stream::Stage;
use super::{Exchange, Protocol, vars};

/// Bytes before the variables.
pub(super) const HEADER: usize = 4;
/// The shortest and the longest first variable's name that is believed.
const NAME: std::ops::RangeInclusive<usize> = 3..=64;

/// The reader of a uwsgi connection. Responses, and pairing, are those of HTTP/1.
#[derive(Debug)]
pub(super) struct Uwsgi {
    http: Http1,
}

impl Uwsgi {
    /// A reader that goes on where `http` is, which has read the server's side if that came first.
    pub fn new(mut http: Http1) -> Self {
        http.gateway = true;
        Self { http }
    }

    /// Takes bytes of a packet from the start of the chunk: how many.
    fn packet(&mut self, chunk: &Chunk<'_>, context: &mut Context) -> usize {
        let stream = &mut self.http.requests;
        if stream.stage != Stage::Head {
            if starts_packet(chunk.data) == Some(false) {
                stream.stage = Stage::Lost;
                return chunk.data.len();
            }
            stream.begin(chunk);
        }
        let known = stream.carry.len();
        let missing = match packet_len(&stream.carry, chunk.data) {
            Some(len) => len.saturating_sub(known),
            None => chunk.data.len(),
        };
        let used = missing.min(chunk.data.len());
        stream.account(chunk, used);
        if known == 0 && used == missing && packet_len(&[], chunk.data).is_some() {
            self.on_packet(&chunk.data[..used], context);
            return used;
        }
        stream.carry.extend_from_slice(&chunk.data[..used]);
        if packet_len(&stream.carry, &[]).is_some_and(|len| stream.carry.len() >= len) {
            let packet = std::mem::take(&mut stream.carry);
            self.on_packet(&packet, context);
        }
        used
    }

    fn on_packet(&mut self, packet: &[u8], context: &mut Context) {
        let message = &mut self.http.requests.message;
        message.head_bytes = packet.len() as u32;
        message.head_crc = crc32fast::hash(packet);
        let head = head_of(packet, context);
        self.http.on_request(&head, context);
    }

    /// The capture misses the rest of a packet: the variables before that are kept.
    fn cut_packet(&mut self, context: &mut Context) {
        if self.http.requests.stage == Stage::Head {
            let packet = std::mem::take(&mut self.http.requests.carry);
            let head = head_of(&packet, context);
            self.http.cut_request(&head, context);
        }
    }
}

impl Wire for Uwsgi {
    fn data(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context) {
        if from == Side::Server {
            return self.http.data(from, chunk, context);
        }
        let mut rest = *chunk;
        while !rest.data.is_empty() {
            let used = match self.http.requests.stage {
                Stage::Idle | Stage::Head | Stage::Lost => self.packet(&rest, context),
                _ => self.http.step(from, &rest, context),
            };
            rest = rest.behind(used.clamp(1, rest.data.len()));
        }
        self.http.requests.next_seq = Some(rest.seq);
    }

    fn hole(&mut self, from: Side, hole: &Hole, context: &mut Context) {
        if from == Side::Client {
            // What the capture lacks of a packet, its sender may have sent.
            self.http.requests.lossy |= self.http.requests.stage == Stage::Head;
            self.cut_packet(context);
        }
        self.http.hole(from, hole, context);
    }

    fn fin(&mut self, from: Side, at: CaptureTime, context: &mut Context) {
        self.http.fin(from, at, context);
    }

    fn close(&mut self, flow: &mut Flow, context: &mut Context) -> Vec<Exchange> {
        self.cut_packet(context);
        let exchanges = self.http.close(flow, context);
        flow.protocol = Protocol::Uwsgi;
        exchanges
    }
}

/// The length of the packet whose bytes start in `carry` and go on in `data`, header included.
fn packet_len(carry: &[u8], data: &[u8]) -> Option<usize> {
    let mut bytes = carry.iter().chain(data);
    let (low, high) = (*bytes.nth(1)?, *bytes.next()?);
    bytes.next()?;
    Some(HEADER + usize::from(u16::from_le_bytes([low, high])))
}

fn head_of(packet: &[u8], context: &mut Context) -> RequestHead {
    vars::request(Vars(packet.get(HEADER..).unwrap_or_default()), context)
}

/// The variables of a packet, to its end or as far as they make sense.
pub(super) struct Vars<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Vars<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut field = || {
            let (len, rest) = self.0.split_first_chunk::<2>()?;
            let (field, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            self.0 = rest;
            Some(field)
        };
        Some((field()?, field()?))
    }
}

/// Whether the bytes start a request packet; `None` when more are needed. The protocol has no magic number: its
/// size must fit, and its first variable must have a name as CGI variables have.
pub(super) fn starts_packet(bytes: &[u8]) -> Option<bool> {
    let byte = |at: usize| bytes.get(at).copied();
    // Printable bytes start text protocols, 0x16 TLS; modifiers of applications are small (0 WSGI, 5 PSGI, 7 Rack).
    if byte(0)? > 31 || byte(0)? == 0x16 {
        return Some(false);
    }
    let size = usize::from(u16::from_le_bytes([byte(1)?, byte(2)?]));
    byte(3)?;
    let name_len = usize::from(u16::from_le_bytes([byte(4)?, byte(5)?]));
    if !NAME.contains(&name_len) || size < name_len + 4 {
        return Some(false);
    }
    let name = &bytes[6..bytes.len().min(6 + name_len)];
    if !name.iter().all(|&b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
        return Some(false);
    }
    (name.len() == name_len).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_packet_by_its_first_variable() {
        let packet = b"\0\x1f\0\0\x0e\0REQUEST_METHOD\x03\0GET";
        assert_eq!(starts_packet(packet), Some(true));
        for cut in 0..20 {
            assert_eq!(starts_packet(&packet[..cut]), None, "{cut} bytes");
        }
        assert_eq!(starts_packet(b"\0\x1f\0\0\x0e\0request_method"), Some(false));
        assert_eq!(starts_packet(b"GET / HTTP/1.1\r\n"), Some(false));
        assert_eq!(starts_packet(b"\0\x02\0\0\x0e\0REQUEST_METHOD"), Some(false));
        let vars: Vec<_> = Vars(&packet[4..]).collect();
        assert_eq!(vars, [(b"REQUEST_METHOD".as_slice(), b"GET".as_slice())]);
    }

    #[test]
    fn what_the_snap_length_cut_of_a_packet_may_have_been_sent() {
        use crate::capture::Reader;
        use crate::capture::testing::{Conversation, PcapBuilder};
        use crate::http::{MessageState, load_from};

        let mut packet = b"\0\x28\x01\0\x0e\0REQUEST_METHOD\x03\0GET\x0b\0REQUEST_URI\x04\x01".to_vec();
        packet.resize(4 + 0x128, b'/');
        let state = |snap_len: usize, sent: usize| {
            let mut file = PcapBuilder::new().nanos().snap_len(snap_len);
            let mut ends = Conversation::new("10.0.0.1:40000", "10.0.0.2:9000");
            ends.handshake(&mut file, 0);
            ends.client(&mut file, 1_000_000, &packet[..sent]);
            ends.send(&mut file, 2_000_000_000, 1, 0x11, b"");
            let reader = Reader::new(std::io::Cursor::new(file.build()), None);
            let facts = load_from(reader, std::path::Path::new("a.pcap"), &mut |_| true);
            facts.exchanges.first().map(|exchange| exchange.request.state)
        };
        assert_eq!(state(200, packet.len()), Some(MessageState::Lossy));
        assert_eq!(state(65_535, packet.len()), Some(MessageState::Complete));
        assert_ne!(state(65_535, 100), Some(MessageState::Lossy));
    }
}
