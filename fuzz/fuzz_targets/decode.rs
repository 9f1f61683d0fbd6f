//! Bytes as packets of a link type: decoding them gives segments that lie in them, or nothing.
//!
//! The first two bytes choose the link type; the rest is cut into packets by a length byte pair before each.
#![no_main]

use hopscope::capture::{CaptureTime, Decoder, LinkType, Packet, ProblemLog, Segment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((link_type, mut rest)) = data.split_first_chunk::<2>() else { return };
    let link_type = LinkType(u16::from_be_bytes(*link_type));
    let (mut decoder, mut log) = (Decoder::default(), ProblemLog::default());
    let mut frame = 0;
    while let Some((len, behind)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(behind.len());
        let (packet, behind) = behind.split_at(len);
        rest = behind;
        frame += 1;
        let packet = Packet {
            frame,
            at: CaptureTime(i64::from(frame) * 1_000_000),
            link_type,
            data: packet,
            wire_len: packet.len() as u32,
            file_offset: (data.len() - rest.len() - len) as u64,
        };
        let check = |segment: Segment<'_>| {
            assert!(segment.wire_len as usize >= segment.payload.len());
            if !segment.payload.is_empty() {
                let place = segment.file_offset as usize;
                assert_eq!(&data[place..place + segment.payload.len()], segment.payload);
            }
        };
        if let Some(segment) = decoder.segment(&packet, &mut log) {
            check(segment);
        }
        while let Some(piece) = decoder.piece() {
            check(piece);
        }
    }
    decoder.finish(&mut log);
});
