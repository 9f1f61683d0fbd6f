//! Clocks show any time, also one that steps by centuries: nothing reckoned with times overflows.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use crate::analysis::analyse;
use crate::capture::testing::{Conversation, PcapBuilder};
use crate::capture::{Reader, TcpFlags};
use crate::http::load_from;
use crate::topology::Overrides;

const S: i64 = 1_000_000_000;
/// The builder of handshakes adds some milliseconds.
const LAST: i64 = i64::MAX - S;
const TIMES: [i64; 9] = [0, 1, S, 5 * S, 60 * S, LAST / 4, LAST / 2, LAST - S, LAST];

proptest! {
    #[test]
    fn times_at_the_ends_of_the_scale_are_reckoned_with(
        steps in prop::collection::vec((0..6_usize, 0..9_usize, 0..TIMES.len(), any::<bool>()), 1..60),
        in_order in any::<bool>(),
    ) {
        let mut file = PcapBuilder::new().pcapng().nanos();
        let mut ends: Vec<Conversation> = (0..3_u16)
            .flat_map(|n| {
                let outer = Conversation::new(&format!("10.0.0.1:{}", 4_000 + n), "10.0.0.2:80");
                [outer, Conversation::new(&format!("10.0.0.2:{}", 5_000 + n), "10.0.0.3:8000")]
            })
            .collect();
        let mut times: Vec<i64> = steps.iter().map(|step| TIMES[step.2]).collect();
        if in_order {
            times.sort_unstable();
        }
        for ((who, what, _, early), at) in steps.into_iter().zip(times) {
            let end = &mut ends[who];
            match what {
                0 => end.handshake(&mut file, at),
                1 => end.client(&mut file, at, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"),
                2 => end.server(&mut file, at, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
                3 => end.server(&mut file, at, b"HTTP/1.1 502 Bad\r\nContent-Length: 2000\r\n\r\nhi"),
                4 => end.client(&mut file, at, b"\x16\x03\x01\0\x2f\x01\0\0\x2b\x03\x03"),
                5 => {
                    let side = usize::from(early);
                    let back = end.next_seq[side].wrapping_sub(20);
                    let next = std::mem::replace(&mut end.next_seq[side], back);
                    end.send(&mut file, at, side, TcpFlags::ACK, &[b'x'; 20]);
                    end.next_seq[side] = next;
                }
                6 => end.send(&mut file, at, usize::from(early), TcpFlags::ACK, b""),
                7 => end.send(&mut file, at, usize::from(early), TcpFlags::FIN | TcpFlags::ACK, b""),
                _ => end.send(&mut file, at, usize::from(early), TcpFlags::RST, b""),
            }
        }
        let reader = Reader::new(Cursor::new(file.build()), None);
        let facts = load_from(reader, Path::new("any.pcapng"), &mut |_| true);
        let analysis = analyse(vec![Arc::new(facts)], &Overrides::default());
        let _ = crate::export::text(&analysis);
        for exchange in analysis.exchanges() {
            let _ = (exchange.latency_ns(), exchange.settled());
            let _ = super::steps(&analysis, exchange.connection_id());
        }
    }
}
