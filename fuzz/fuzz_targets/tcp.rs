//! Bytes as segments of a few connections: streams come out in order, each byte once, and memory stays bounded.
//!
//! Each record of eleven bytes is a segment: who, flags, sequence and acknowledgement number, length, time,
//! identification, window and clock.
#![no_main]

use std::fmt;
use std::net::SocketAddr;

use hopscope::capture::{CaptureTime, Passage, ProblemKind, Problems, Segment, TcpFlags};
use hopscope::tcp::{Chunk, Event, Flow, Handler, Hole, Side, Tracker};
use libfuzzer_sys::fuzz_target;

const PAYLOAD: [u8; 4096] = [b'x'; 4096];

/// Checks the pieces of one connection as they come.
#[derive(Default)]
struct Checker {
    next: [Option<u32>; 2],
    bytes: [u64; 2],
    missing: [u64; 2],
    cut: [u64; 2],
}

#[derive(Default)]
struct Count {
    flows: usize,
}

impl Problems for Count {
    fn report(&mut self, _kind: ProblemKind, _detail: fmt::Arguments<'_>) {}
}

impl Checker {
    fn pass(&mut self, from: Side, seq: u32, len: u32) {
        let next = &mut self.next[from as usize];
        assert!(next.is_none_or(|next| next == seq), "a stream jumps from {next:?} to {seq}");
        *next = Some(seq.wrapping_add(len));
    }
}

impl Handler for Checker {
    type Context = Count;

    fn sender_of(_payload: &[u8]) -> Option<Side> {
        None
    }

    fn data(&mut self, from: Side, chunk: &Chunk<'_>, _context: &mut Count) {
        assert!(!chunk.data.is_empty());
        self.bytes[from as usize] += chunk.data.len() as u64;
        self.pass(from, chunk.seq, chunk.data.len() as u32);
    }

    fn hole(&mut self, from: Side, hole: Hole, _context: &mut Count) {
        assert!(hole.len > 0);
        let kind = if hole.cut { &mut self.cut } else { &mut self.missing };
        kind[from as usize] += u64::from(hole.len);
        self.pass(from, hole.seq, hole.len);
    }

    fn swap_sides(&mut self) {
        self.next.swap(0, 1);
        self.bytes.swap(0, 1);
        self.missing.swap(0, 1);
        self.cut.swap(0, 1);
    }

    fn fin(&mut self, _from: Side, _at: CaptureTime, _frame: u32, _context: &mut Count) {}

    fn close(self, flow: Flow, events: &[Event], context: &mut Count) {
        context.flows += 1;
        for (at, facts) in flow.directions.iter().enumerate() {
            assert_eq!((facts.bytes, facts.cut_bytes), (self.bytes[at], self.cut[at]));
            // A number missing at the very end may be a FIN, and is told to nobody.
            assert!(facts.missing_bytes - self.missing[at] <= 1);
            assert_eq!(facts.missing_bytes, facts.uncaptured_bytes + facts.unarrived_bytes);
        }
        assert!(events.len() <= 20 * 512);
        assert!(events.iter().all(|event| event.frame <= flow.last.1.max(event.frame)));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut tracker = Tracker::<Checker>::default();
    let mut count = Count::default();
    let ends: [SocketAddr; 2] = [([10, 0, 0, 1], 40_000).into(), ([10, 0, 0, 2], 80).into()];
    let (mut at, mut frame) = (0_i64, 0_u32);
    let records = data.chunks_exact(11);
    let segments = records.len();
    for record in records {
        let [who, flags, seq, more_seq, ack, more_ack, len, time, id, window, clock] = *record else {
            return;
        };
        frame += 1;
        at += i64::from(time) * i64::from(time) * 10_000;
        let (src, dst) = if who & 1 == 0 { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        // Near the wrap, in steps of bytes or of 16 MiB.
        let number = |fine: u8, coarse: u8| {
            (u32::MAX - 100).wrapping_add(u32::from(fine)).wrapping_add(u32::from(coarse) << 24)
        };
        let wire_len = u32::from(len) * if who & 2 == 0 { 1 } else { 16 };
        let held = if who & 4 == 0 { wire_len } else { wire_len / 2 };
        let is_icmp_error = who & 0xF8 == 0xF8;
        tracker.push(
            &Segment {
                frame,
                at: CaptureTime(at),
                src,
                dst,
                seq: number(seq, if who & 8 == 0 { 0 } else { more_seq }),
                ack: number(ack, if who & 8 == 0 { 0 } else { more_ack }),
                flags: TcpFlags(flags),
                window: u16::from(window),
                ip_id: u16::from(id),
                tsval: u32::from(clock),
                window_scale: Some(7),
                passage: Passage::UNKNOWN,
                is_icmp_error,
                payload: if is_icmp_error { &[] } else { &PAYLOAD[..held as usize] },
                wire_len,
                file_offset: u64::from(frame) * 5000,
            },
            &mut count,
        );
    }
    tracker.finish(&mut count);
    assert!(count.flows <= segments);
});
