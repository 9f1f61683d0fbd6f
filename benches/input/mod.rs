//! The capture that benches read.

use hopscope::capture::TcpFlags;
use hopscope::capture::testing::{Conversation, PcapBuilder};

/// From one request of a connection to the next, in nanoseconds.
pub const EXCHANGE_NS: i64 = 150_000;

/// Kept connections of one link, each begun `apart_ns` after the one before, whose last request is answered by a RST.
pub fn capture(connections: u32, requests: u32, apart_ns: i64) -> Vec<u8> {
    let mut file = PcapBuilder::new();
    for n in 0..connections {
        let mut at = 1_700_000_000_000_000_000 + i64::from(n) * apart_ns;
        let client = format!("10.0.{}.{}:{}", n / 250, n % 250 + 1, 20_000 + n % 40_000);
        let mut talk = Conversation::new(&client, "10.1.0.1:8000");
        talk.handshake(&mut file, at);
        for i in 0..requests {
            let head = format!(
                "GET /api/item/{n}-{i} HTTP/1.1\r\nHost: shop.example\r\nX-Request-ID: {n:08x}{i:08x}\r\n\r\n"
            );
            talk.client(&mut file, at + 100_000, head.as_bytes());
            at += EXCHANGE_NS;
            if i + 1 < requests {
                talk.server(&mut file, at, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            } else {
                talk.send(&mut file, at, 1, TcpFlags::RST, b"");
            }
        }
    }
    file.build()
}
