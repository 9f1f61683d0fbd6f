//! Bytes as the turns of one connection, for the targets of the wire protocols: each turn is a byte that says who
//! speaks and whether bytes were lost before, a length byte, and what is said.

use std::io::Cursor;
use std::path::Path;

use hopscope::capture::Reader;
use hopscope::capture::testing::{Conversation, PcapBuilder};
use hopscope::http::load_from;

/// Loads a capture whose client begins with `opening`.
pub fn load(opening: &[u8], mut data: &[u8]) {
    let mut file = PcapBuilder::new();
    let mut ends = Conversation::new("10.0.0.1:40000", "10.0.0.2:80");
    ends.handshake(&mut file, 0);
    let mut at = 1_000_000;
    if !opening.is_empty() {
        ends.client(&mut file, at, opening);
    }
    while let [control, len, rest @ ..] = data {
        let (said, behind) = rest.split_at(usize::from(*len).min(rest.len()));
        data = behind;
        at += 10_000;
        let side = usize::from(control & 1);
        if control & 6 == 6 {
            ends.next_seq[side] = ends.next_seq[side].wrapping_add(u32::from(control >> 3));
        }
        if side == 0 {
            ends.client(&mut file, at, said)
        } else {
            ends.server(&mut file, at, said)
        };
    }
    let facts = load_from(Reader::new(Cursor::new(file.build()), None), Path::new("fuzz"), &mut |_| true);
    for exchange in &facts.exchanges {
        for message in [&exchange.request, &exchange.response] {
            let held: u64 = facts.extents(message).iter().map(|extent| u64::from(extent.len)).sum();
            assert!(held <= message.wire_bytes);
        }
    }
}
