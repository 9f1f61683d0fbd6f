//! Files of every form, read back; broken files, survived.

use std::io::Cursor;
use std::net::SocketAddr;

use super::testing::{Conversation, PcapBuilder};
use super::*;

type Seen = (u32, i64, SocketAddr, u32, Vec<u8>, u32, u64);

/// Reads a file to its end: segments, what is known of the file, and its problems.
fn read(file: &[u8]) -> (Vec<Seen>, CaptureInfo) {
    let mut log = ProblemLog::default();
    let mut reader = Reader::new(Cursor::new(file.to_vec()), Some(file.len() as u64)).unwrap();
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    while let Some(packet) = reader.next_packet(&mut log) {
        if let Some(s) = decoder.segment(&packet, &mut log) {
            seen.push((s.frame, s.at.0, s.src, s.seq, s.payload.to_vec(), s.wire_len, s.file_offset));
        }
    }
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

#[test]
fn reads_every_container_and_byte_order() {
    let base = PcapBuilder::new;
    let all = [
        (base(), "pcap"),
        (base().big_endian(), "pcap"),
        (base().nanos(), "pcap"),
        (base().nanos().big_endian(), "pcap"),
        (base().pcapng(), "pcapng"),
        (base().pcapng().big_endian(), "pcapng"),
        (base().pcapng().nanos(), "pcapng"),
        (base().pcapng().nanos().big_endian(), "pcapng"),
    ];
    for (mut file, format) in all {
        fill(&mut file, false);
        let bytes = file.build();
        let (seen, info) = read(&bytes);
        assert_eq!(info.problems, [], "{file:?}");
        assert_eq!(
            (info.format.as_str(), info.packets, info.link_types.as_slice()),
            (format, 4, &["EN10MB".to_owned()][..])
        );
        assert_eq!((info.first, info.last), (Some(CaptureTime(AT)), Some(CaptureTime(AT + 5_000))));
        assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let (_, at, src, seq, payload, wire_len, offset) = &seen[3];
        assert_eq!((*at, src.to_string(), *seq), (AT + 5_000, "10.0.0.1:40000".to_owned(), 1_001));
        assert_eq!((payload.as_slice(), *wire_len as usize), (GET, GET.len()));
        assert_eq!(&bytes[*offset as usize..][..GET.len()], GET);
    }
}

#[test]
fn decodes_every_link_type() {
    let both = [
        LinkType::EN10MB,
        LinkType::LINUX_SLL,
        LinkType::LINUX_SLL2,
        LinkType::RAW,
        LinkType::DLT_RAW,
        LinkType::DLT_RAW_OPENBSD,
        LinkType::NULL,
        LinkType::LOOP,
    ];
    let cases = both.iter().flat_map(|link| [(*link, false), (*link, true)]);
    for (link, v6) in cases.chain([(LinkType::IPV4, false), (LinkType::IPV6, true)]) {
        for base in [PcapBuilder::new(), PcapBuilder::new().big_endian()] {
            let mut file = base.link_type(link);
            fill(&mut file, v6);
            let bytes = file.build();
            let (seen, info) = read(&bytes);
            assert_eq!((info.problems.as_slice(), seen.len()), (&[][..], 4), "{link} v6: {v6}");
            let (.., payload, _, offset) = &seen[3];
            assert_eq!(payload, GET);
            assert_eq!(&bytes[*offset as usize..][..GET.len()], GET);
            assert_eq!(info.link_types, [link.to_string()]);
        }
    }
}
