//! Files of every form, read back; broken files, survived.

use std::io::Cursor;
use std::net::SocketAddr;

use super::testing::{Conversation, PcapBuilder};
use super::*;

mod broken;
mod compressed;
mod containers;
mod decoding;
mod encapsulation;
mod fragments;
mod resync;
mod sections;
mod variants;

type Seen = (u32, i64, SocketAddr, u32, Vec<u8>, u32, u64);

/// Reads a file to its end: segments, what is known of the file, and its problems.
fn read(file: &[u8]) -> (Vec<Seen>, CaptureInfo) {
    let mut log = ProblemLog::default();
    let mut reader = Reader::new(Cursor::new(file.to_vec()), Some(file.len() as u64)).unwrap();
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    while let Some(packet) = reader.next_packet(&mut log) {
        let mut take = |s: Segment<'_>| {
            seen.push((s.frame, s.at.0, s.src, s.seq, s.payload.to_vec(), s.wire_len, s.file_offset));
        };
        if let Some(segment) = decoder.segment(&packet, &mut log) {
            take(segment);
        }
        while let Some(piece) = decoder.piece() {
            take(piece);
        }
    }
    decoder.finish(&mut log);
    let info = CaptureInfo { problems: log.into_problems(), ..reader.info() };
    (seen, info)
}

const AT: i64 = 1_700_000_000_123_456_000;
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn fill(file: &mut PcapBuilder, v6: bool) {
    let ends = if v6 { ("[fd00::1]:40000", "[fd00::2]:80") } else { ("10.0.0.1:40000", "10.0.0.2:80") };
    let mut talk = Conversation::new(ends.0, ends.1);
    talk.handshake(file, AT);
    talk.client(file, AT + 5_000, GET);
}

fn kinds(info: &CaptureInfo) -> Vec<(ProblemKind, u64)> {
    info.problems.iter().map(|p| (p.kind, p.count)).collect()
}
