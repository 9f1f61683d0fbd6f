//! Bytes as a file: whatever the container, reading and decoding it ends, and what is said of packets is true.
#![no_main]

use std::io::Cursor;

use hopscope::capture::{Decoder, ProblemLog, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(mut reader) = Reader::new(Cursor::new(data.to_vec()), Some(data.len() as u64)) else { return };
    let mut log = ProblemLog::default();
    let mut decoder = Decoder::default();
    let (mut packets, mut frame) = (0, 0);
    while let Some(packet) = reader.next_packet(&mut log) {
        packets += 1;
        assert!(packet.frame > frame, "blocks of other kinds are counted between packets");
        frame = packet.frame;
        assert!(packet.wire_len as usize >= packet.data.len());
        if let Some(segment) = decoder.segment(&packet, &mut log) {
            assert!(segment.wire_len as usize >= segment.payload.len());
        }
        while let Some(piece) = decoder.piece() {
            assert!(piece.wire_len as usize >= piece.payload.len());
        }
    }
    decoder.finish(&mut log);
    let info = reader.info();
    assert_eq!(info.packets, packets);
});
