//! Whole conversations, from packets to exchanges.

mod framing;
mod gateway;
mod marks;
mod pairing;
mod requests;
mod wire;

use std::io::Cursor;
use std::path::Path;

use crate::capture::testing::{Conversation, PcapBuilder};
use crate::capture::{Reader, TcpFlags};

use super::*;

const FIN: u8 = TcpFlags::FIN | TcpFlags::ACK;
const RST: u8 = TcpFlags::RST | TcpFlags::ACK;

/// A capture under construction with one connection in it.
pub(super) struct Script {
    file: PcapBuilder,
    ends: Conversation,
    now: i64,
}

impl Script {
    pub(super) fn new() -> Self {
        let ends = Conversation::new("10.0.0.1:40000", "10.0.0.2:80");
        let mut script = Self { file: PcapBuilder::new().nanos(), ends, now: 0 };
        script.ends.handshake(&mut script.file, 0);
        script
    }

    /// A connection whose start was not captured.
    pub(super) fn midstream(client: &str, server: &str) -> Self {
        Self { file: PcapBuilder::new().nanos(), ends: Conversation::new(client, server), now: 0 }
    }

    pub(super) fn client(&mut self, bytes: &[u8]) -> &mut Self {
        self.now += 10_000;
        self.ends.client(&mut self.file, self.now, bytes);
        self
    }

    pub(super) fn server(&mut self, bytes: &[u8]) -> &mut Self {
        self.now += 10_000;
        self.ends.server(&mut self.file, self.now, bytes);
        self
    }

    pub(super) fn control(&mut self, side: usize, flags: u8) -> &mut Self {
        self.now += 10_000;
        self.ends.send(&mut self.file, self.now, side, flags, b"");
        self
    }

    /// Bytes that were sent and that the capture misses.
    pub(super) fn lost(&mut self, side: usize, len: u32) -> &mut Self {
        self.ends.next_seq[side] += len;
        self
    }

    pub(super) fn facts(&self) -> CaptureFacts {
        let reader = Reader::new(Cursor::new(self.file.build()), None);
        load_from(reader, Path::new("test.pcap"), &mut |_| true)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        lines(&self.facts())
    }
}

/// The exchanges of a capture in words: what a failing test shows.
pub(super) fn lines(facts: &CaptureFacts) -> Vec<String> {
    let line = |x: &Exchange| {
        let status = x.status.map_or_else(|| "-".to_owned(), |s| s.to_string());
        let (method, target) = (facts.method(x.method), facts.text(x.target));
        let (request, response) = (&x.request, &x.response);
        format!(
            "{} {method} {target} {:?} {} -> {status} {:?} {}",
            x.ordinal, request.state, request.body_bytes, response.state, response.body_bytes
        )
    };
    facts.exchanges.iter().map(line).collect()
}

pub(super) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n").into_bytes()
}

pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The flags of all exchanges that are among `watched`.
pub(super) fn flags(facts: &CaptureFacts, watched: u32) -> Vec<u32> {
    facts.exchanges.iter().map(|x| x.flags.0 & watched).collect()
}

pub(super) fn play(turns: &[(usize, Vec<u8>)], sizes: &[usize]) -> Script {
    let (mut script, mut sizes) = (Script::new(), sizes.iter().cycle());
    for (side, bytes) in turns {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            if *side == 0 {
                script.client(now)
            } else {
                script.server(now)
            };
            rest = later;
        }
    }
    script
}
