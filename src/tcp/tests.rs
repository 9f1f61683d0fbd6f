//! Lives of connections, from packets to events.

use std::io::Cursor;
use std::net::SocketAddr;
use std::path::Path;

use crate::capture::testing::{PcapBuilder, ip_packet};
use crate::capture::{ProblemKind, Reader, TcpFlags};
use crate::http::{CaptureFacts, load_from};

use super::*;

mod resets;
mod table;

const SYN: u8 = TcpFlags::SYN;
const ACK: u8 = TcpFlags::ACK;
const RST: u8 = TcpFlags::RST;
const FIN_ACK: u8 = TcpFlags::FIN | TcpFlags::ACK;
const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;
const MS: i64 = 1_000_000;
const GET: &[u8] = b"GET /one HTTP/1.1\r\nHost: shop\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Initial sequence numbers of client and server; both streams wrap soon.
const C: u32 = u32::MAX - 20;
const S: u32 = u32::MAX - 50;
const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];

/// A capture under construction, between one client and one server.
struct Tape {
    file: PcapBuilder,
    at: i64,
    id: u16,
    window: u16,
}

impl Tape {
    fn new() -> Self {
        Self { file: PcapBuilder::new().nanos(), at: 0, id: 0, window: 500 }
    }

    /// A connection after its handshake.
    fn open() -> Self {
        let mut tape = Self::new();
        tape.client(SYN, C, 0, b"").server(SYN_ACK, S, C.wrapping_add(1), b"");
        tape.client(ACK, C.wrapping_add(1), S.wrapping_add(1), b"");
        tape
    }

    fn wait(&mut self, ns: i64) -> &mut Self {
        self.at += ns;
        self
    }

    fn client(&mut self, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> &mut Self {
        self.send(true, flags, (seq, ack), payload)
    }

    fn server(&mut self, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> &mut Self {
        self.send(false, flags, (seq, ack), payload)
    }

    /// Sends a packet 10 ms after the last one, with the next identification.
    fn send(&mut self, from_client: bool, flags: u8, numbers: (u32, u32), payload: &[u8]) -> &mut Self {
        self.at += 10 * MS;
        self.id += 1;
        let packet = self.packet(from_client, flags, numbers, payload);
        self.file.packet(self.at, &packet);
        self
    }

    fn packet(&self, from_client: bool, flags: u8, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
        let ends: [SocketAddr; 2] = [([10, 0, 0, 1], 40_000).into(), ([10, 0, 0, 2], 80).into()];
        let (from, to) = if from_client { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        let mut packet = [&ETHERNET[..], &ip_packet(from, to, numbers, flags, payload)].concat();
        packet[18..20].copy_from_slice(&self.id.to_be_bytes());
        packet[48..50].copy_from_slice(&self.window.to_be_bytes());
        packet
    }

    /// The last packet once more, as another interface shows it.
    fn copied(&mut self, from_client: bool, flags: u8, numbers: (u32, u32), payload: &[u8]) -> &mut Self {
        self.at += MS / 10;
        let packet = self.packet(from_client, flags, numbers, payload);
        self.file.packet(self.at, &packet);
        self
    }

    fn facts(&self) -> CaptureFacts {
        let reader = Reader::new(Cursor::new(self.file.build()), None);
        load_from(reader, Path::new("test.pcap"), &mut |_| true)
    }

    /// Each connection in words: how it began and ended, then its events.
    fn lives(&self) -> Vec<String> {
        let facts = self.facts();
        let life = |flow: &Flow| {
            let events = facts.events_of(flow).iter().map(|event| {
                let len = if event.len > 0 { format!("({})", event.len) } else { String::new() };
                let from = if event.from == Side::Client { '>' } else { '<' };
                format!(" {from}{:?}{len}", event.kind)
            });
            format!("{:?} {:?}{}", flow.opening, flow.closing, events.collect::<String>())
        };
        facts.flows.iter().map(life).collect()
    }
}

const OPEN: &str = ">Syn <SynAck >Established";

fn c(offset: u32) -> u32 {
    C.wrapping_add(1 + offset)
}

fn s(offset: u32) -> u32 {
    S.wrapping_add(1 + offset)
}

#[test]
fn a_connection_with_request_answer_and_close() {
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), OK);
    tape.server(FIN_ACK, s(40), c(33), b"").client(FIN_ACK, c(33), s(41), b"").server(ACK, s(41), c(34), b"");
    assert_eq!(tape.lives(), [format!("Handshake Fin {OPEN} <Fin >FinAcked >Fin <FinAcked")]);
    let facts = tape.facts();
    let [client, server] = facts.flows[0].directions;
    assert_eq!((client.bytes, client.segments, client.largest_acked, client.largest_unacked), (33, 1, 33, 0));
    assert_eq!((server.bytes, server.missing_bytes, server.largest_unacked), (40, 0, 0));
    assert!(facts.info.problems.is_empty());
}

#[test]
fn a_side_of_which_no_payload_was_captured_lost_what_its_numbers_say() {
    // The SYN,ACK and the whole answer are missing; with and without the server's FIN.
    for fin in [FIN_ACK, ACK] {
        let mut tape = Tape::new();
        tape.client(SYN, C, 0, b"").client(ACK, c(0), s(0), b"").client(ACK, c(0), s(0), GET);
        tape.server(ACK, s(0), c(33), b"").client(ACK, c(33), s(40), b"").server(fin, s(40), c(33), b"");
        let facts = tape.facts();
        assert_eq!(facts.flows[0].directions[1].missing_bytes, 40);
        assert!(facts.flows[0].is_lossy());
    }
    // A server that only acknowledges and resets has sent nothing.
    let mut tape = Tape::new();
    tape.client(SYN, C, 0, b"").client(ACK, c(0), s(0), b"").client(ACK, c(0), s(0), GET);
    tape.server(ACK, s(0), c(33), b"").server(RST | ACK, s(0), c(33), b"");
    assert!(!tape.facts().flows[0].is_lossy());
}

#[test]
fn what_is_sent_again_and_what_is_only_seen_again() {
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET).copied(true, ACK, (c(0), s(0)), GET);
    tape.copied(true, ACK, (c(0), s(0)), GET);
    tape.client(ACK, c(0), s(0), GET);
    tape.server(ACK, s(0), c(33), OK).copied(false, ACK, (s(0), c(33)), OK);
    assert_eq!(tape.lives(), [format!("Handshake Open {OPEN} >Retransmission(33)")]);
    let facts = tape.facts();
    let again = facts.events.iter().find(|event| event.kind == EventKind::Retransmission).unwrap();
    let first = facts.exchanges[0].request.start;
    assert_eq!(i64::from(again.quiet_us), (again.at.0 - first.0) / 1_000);
    let [client, server] = facts.flows[0].directions;
    assert_eq!((client.segments, client.copies, client.retransmitted), (2, 2, 1));
    assert_eq!((server.segments, server.copies, server.retransmitted), (1, 1, 0));
}

#[test]
fn syns_sent_again_are_events_and_copies_of_them_are_none() {
    let mut tape = Tape::new();
    tape.client(SYN, C, 0, b"").copied(true, SYN, (C, 0), b"").wait(1_000 * MS).client(SYN, C, 0, b"");
    assert_eq!(tape.lives(), ["Unanswered Open >Syn >Syn"]);
}

#[test]
fn another_syn_begins_another_connection_and_the_same_one_does_not() {
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET).wait(1_000 * MS).client(SYN, C, 0, b"");
    // Mid-stream, with another number: the client has forgotten the old one.
    tape.client(SYN, C ^ 0x5555_5555, 0, b"").server(SYN_ACK, S ^ 0x5555_5555, (C ^ 0x5555_5555) + 1, b"");
    assert_eq!(
        tape.lives(),
        [format!("Handshake Open {OPEN} >Syn"), "Handshake Open >Syn <SynAck".to_owned()]
    );
}

#[test]
fn what_is_sent_again_for_long_after_a_close_is_no_connection_of_its_own() {
    let mut tape = Tape::open();
    tape.server(FIN_ACK, s(0), c(0), b"").client(ACK, c(0), s(1), GET).client(FIN_ACK, c(33), s(1), b"");
    for seconds in [1, 2, 4, 8, 16] {
        tape.wait(seconds * 1_000 * MS).client(FIN_ACK, c(0), s(1), GET);
    }
    let facts = tape.facts();
    assert_eq!((facts.flows.len(), facts.exchanges.len()), (1, 1));
}

#[test]
fn probes_of_an_idle_peer_and_of_a_closed_window() {
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), OK);
    tape.client(ACK, c(32), s(40), b"").client(ACK, c(32), s(40), b"\n");
    tape.window = 0;
    tape.client(ACK, c(33), s(40), b"");
    tape.window = 500;
    tape.server(ACK, s(39), c(33), b"").client(ACK, c(33), s(40), b"");
    assert_eq!(
        tape.lives(),
        [format!("Handshake Open {OPEN} >KeepAlive >KeepAlive(1) >ZeroWindow <WindowProbe >WindowOpened")]
    );
    assert!(tape.facts().flows[0].directions.iter().all(|side| side.retransmitted == 0));
}

#[test]
fn data_after_fin_and_data_in_the_syn() {
    let mut tape = Tape::new();
    tape.client(SYN, C, 0, GET).server(SYN_ACK, S, c(33), b"").client(ACK, c(33), s(0), b"");
    tape.client(FIN_ACK, c(33), s(0), b"").client(ACK, c(34), s(0), GET);
    assert_eq!(tape.lives(), ["Handshake Fin >Syn(33) <SynAck >Established >Fin >DataAfterFin(33)"]);
    let facts = tape.facts();
    assert_eq!((facts.exchanges.len(), facts.flows[0].directions[0].bytes), (1, 33));
}

#[test]
fn a_simultaneous_open_is_one_connection() {
    let mut tape = Tape::new();
    tape.client(SYN, C, 0, b"").server(SYN, S, 0, b"");
    tape.client(SYN_ACK, C, s(0), b"").server(SYN_ACK, S, c(0), b"").client(ACK, c(0), s(0), GET);
    assert_eq!(tape.lives(), ["Handshake Open >Syn <Syn >SynAck <SynAck >Established(33)"]);
}

#[test]
fn a_lost_syn_or_answer_still_tells_the_start() {
    let mut tape = Tape::new();
    tape.server(SYN_ACK, S, c(0), b"").client(ACK, c(0), s(0), GET);
    assert_eq!(tape.lives(), ["Handshake Open <SynAck >Established(33)"]);
    let mut tape = Tape::new();
    tape.client(SYN, C, 0, b"").client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), OK);
    tape.server(RST | ACK, s(40), c(33), b"");
    assert_eq!(tape.lives(), ["Handshake Reset >Syn >Established(33) <Rst"]);
    assert!(!tape.facts().flows[0].is_lossy());
}

#[test]
fn of_a_side_that_was_not_captured_nothing_is_missing() {
    let mut tape = Tape::new();
    tape.client(SYN, C, 0, b"").client(ACK, c(0), s(0), GET).client(ACK, c(33), s(40), GET);
    tape.client(ACK, c(66), s(80), b"").client(FIN_ACK, c(66), s(80), b"");
    let facts = tape.facts();
    assert!(!facts.flows[0].is_lossy(), "{:?}", facts.flows);
    // Its first answer seen tells that the one before it was lost.
    tape.server(ACK, s(80), c(67), OK);
    assert_eq!(tape.facts().flows[0].directions[1].uncaptured_bytes, 80);
}

#[test]
fn a_connection_whose_syn_was_lost_follows_one_with_the_same_addresses() {
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), OK);
    // One packet elsewhere is a late one; a second beside it is a connection.
    let (far_c, far_s) = (c(0x4000_0000), s(0x5000_0000));
    tape.server(ACK, far_s, far_c, b"").client(ACK, far_c, far_s, GET);
    tape.server(ACK, far_s, far_c.wrapping_add(33), OK);
    assert_eq!(tape.lives(), [format!("Handshake Open {OPEN}"), "MidStream Open".to_owned()]);
    assert_eq!(tape.facts().exchanges.len(), 2);
}

#[test]
fn an_answer_to_a_syn_behind_bytes_of_its_sender_begins_another_connection() {
    let mut tape = Tape::new();
    // Its own SYN,ACK is missing, and so are its end and the next SYN.
    tape.client(SYN, C, 0, b"").client(ACK, c(0), s(0), b"").client(ACK, c(0), s(0), GET);
    tape.server(ACK, s(0), c(33), OK).client(ACK, c(33), s(40), b"");
    let (client, server) = (c(28_000_000), s(65_000));
    tape.server(SYN_ACK, server, client.wrapping_add(1), b"");
    tape.client(ACK, client.wrapping_add(1), server.wrapping_add(1), GET);
    tape.server(ACK, server.wrapping_add(1), client.wrapping_add(34), OK);
    let facts = tape.facts();
    assert_eq!(facts.flows.len(), 2);
    assert!(facts.exchanges.iter().all(|x| x.response.is_complete()));
    assert!(facts.flows.iter().flat_map(|flow| &flow.directions).all(|sent| sent.missing_bytes == 0));
}

#[test]
fn a_jump_of_hundreds_of_megabytes_is_a_hole_and_no_memory() {
    const JUMP: u32 = 700 << 20;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", JUMP + 2);
    let len = head.len() as u32;
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), head.as_bytes());
    tape.server(ACK, s(len + JUMP), c(33), b"ok").client(ACK, c(33), s(len + JUMP + 2), b"");
    tape.client(ACK, c(33), s(len + JUMP + 2), GET);
    assert_eq!(tape.lives(), [format!("Handshake Open {OPEN} <Hole({JUMP})")]);
    let facts = tape.facts();
    let server = facts.flows[0].directions[1];
    assert_eq!((server.uncaptured_bytes, server.unarrived_bytes), (u64::from(JUMP), 0));
    assert_eq!(facts.exchanges.len(), 2);
    assert_eq!(facts.info.problems[0].kind, ProblemKind::CaptureLoss);
}

#[test]
fn what_never_arrived_is_told_from_what_was_not_captured() {
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), OK);
    tape.server(ACK, s(140), c(33), b"later").client(ACK, c(33), s(40), b"").client(ACK, c(33), s(40), b"");
    let server = tape.facts().flows[0].directions[1];
    assert_eq!((server.missing_bytes, server.uncaptured_bytes, server.unarrived_bytes), (100, 0, 100));
    assert!(tape.facts().info.problems.is_empty());
}

#[test]
fn the_first_copy_of_conflicting_bytes_wins_and_is_reported() {
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), OK);
    tape.server(ACK, s(0), c(33), &OK.to_ascii_uppercase().iter().rev().copied().collect::<Vec<u8>>());
    let facts = tape.facts();
    assert_eq!(facts.exchanges[0].status.map(u16::from), Some(200));
    assert_eq!(facts.info.problems[0].kind, ProblemKind::ConflictingBytes);
    assert!(facts.info.problems[0].detail.starts_with("packet 6:"), "{}", facts.info.problems[0].detail);
}

#[test]
fn an_icmp_error_is_told_to_the_connection_that_it_quotes() {
    let mut tape = Tape::new();
    tape.client(SYN, C, 0, b"");
    let quoted = tape.packet(true, SYN, (C, 0), b"");
    for (kind, code, mtu) in [(3u8, 1u8, 0u16), (3, 4, 1400)] {
        let [high, low] = mtu.to_be_bytes();
        let message = [&[kind, code, 0, 0, 0, 0, high, low][..], &quoted[14..14 + 28]].concat();
        let mut packet = quoted[..34].to_vec();
        packet[16..18].copy_from_slice(&(20 + message.len() as u16).to_be_bytes());
        packet[23] = 1;
        packet.extend_from_slice(&message);
        tape.at += 10 * MS;
        tape.file.packet(tape.at, &packet);
    }
    assert_eq!(tape.lives(), ["Unanswered Open >Syn >Unreachable >Unreachable(1400)"]);
    let facts = tape.facts();
    assert_eq!(facts.events[1].icmp(), Some((3, 1)));
    assert_eq!((facts.events[2].icmp(), facts.events[2].seq), (Some((3, 4)), C));
}

#[test]
fn a_body_that_the_snap_length_cut_is_whole_and_no_loss() {
    let body = "x".repeat(500);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{body}");
    let len = answer.len() as u32;
    let mut tape = Tape::new();
    tape.file = PcapBuilder::new().nanos().snap_len(200);
    tape.client(SYN, C, 0, b"").server(SYN_ACK, S, c(0), b"");
    for turn in 0..2 {
        tape.client(ACK, c(33 * turn), s(len * turn), GET);
        tape.server(ACK, s(len * turn), c(33 * turn + 33), answer.as_bytes());
    }
    let facts = tape.facts();
    assert!(!facts.flows[0].is_lossy());
    assert_eq!(facts.exchanges.len(), 2);
    assert!(facts.exchanges.iter().all(|x| x.response.is_complete()), "{:?}", facts.exchanges);
    assert_eq!(facts.flows[0].directions[1].cut_bytes, 2 * (u64::from(len) - 146));
}

#[test]
fn no_event_crowds_out_the_end() {
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET);
    for _ in 0..1000 {
        tape.client(ACK, c(0), s(0), GET);
    }
    tape.server(RST | ACK, s(0), c(0), b"");
    let facts = tape.facts();
    assert_eq!(facts.events.last().map(|event| event.kind), Some(EventKind::Rst));
    assert_eq!(facts.flows[0].directions[0].retransmitted, 1000);
    assert_eq!(facts.info.problems[0].kind, ProblemKind::LimitReached);
}

#[test]
fn of_two_answers_to_one_syn_the_acknowledged_one_counts() {
    let bytes = |tape: &Tape| tape.facts().flows[0].directions.map(|side| (side.bytes, side.missing_bytes));
    let other = S.wrapping_add(700_000);
    // The other one comes before the client's acknowledgement, behind it, and behind the answer.
    let places: [&[usize]; 4] = [&[0], &[1], &[2], &[0, 1, 2]];
    for at in places {
        let mut tape = Tape::new();
        tape.client(SYN, C, 0, b"").server(SYN_ACK, S, c(0), b"");
        let stray = |tape: &mut Tape, place| {
            if at.contains(&place) {
                tape.server(SYN_ACK, other, c(0), b"");
            }
        };
        stray(&mut tape, 0);
        tape.client(ACK, c(0), s(0), b"");
        stray(&mut tape, 1);
        tape.client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), OK);
        stray(&mut tape, 2);
        tape.client(ACK, c(33), s(40), b"");
        assert_eq!(tape.facts().flows.len(), 1, "{at:?}");
        assert_eq!(bytes(&tape), [(33, 0), (40, 0)], "{at:?}");
    }
}

#[test]
fn a_jump_of_both_sides_loses_no_request() {
    let mut tape = Tape::open();
    tape.client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), OK).client(ACK, c(33), s(40), b"");
    let (far_c, far_s) = (c(800 << 20), s(900 << 20));
    tape.client(ACK, far_c, far_s, GET).server(ACK, far_s, far_c.wrapping_add(33), b"");
    tape.server(ACK, far_s, far_c.wrapping_add(33), OK);
    let facts = tape.facts();
    assert_eq!(tape.lives(), [format!("Handshake Open {OPEN}"), "MidStream Open".to_owned()]);
    assert!(facts.exchanges.iter().all(|x| x.request.is_present() && x.status.is_some()));
    assert_eq!((facts.exchanges.len(), facts.flows[1].client.port()), (2, 40_000));
}

#[test]
fn a_connection_without_syn_follows_one_that_is_over_or_has_higher_numbers() {
    let answered = |tape: &Tape| {
        let facts = tape.facts();
        (facts.flows.len(), facts.exchanges.iter().filter(|x| x.status.is_some()).count())
    };
    // Numbers not far behind the end of the one before, and not far before its start.
    for shift in [5_000_000, 0_u32.wrapping_sub(5_000_000)] {
        let (c2, s2) = (c(shift), s(shift.wrapping_add(shift / 2)));
        let ends: [&[(bool, u8)]; 3] = [&[(true, FIN_ACK), (false, FIN_ACK)], &[(false, RST | ACK)], &[]];
        for end in ends {
            let mut tape = Tape::open();
            tape.client(ACK, c(0), s(0), GET).server(ACK, s(0), c(33), OK);
            for &(from_client, flags) in end {
                tape.send(from_client, flags, if from_client { (c(33), s(40)) } else { (s(40), c(33)) }, b"");
            }
            tape.client(ACK, c2, s2, GET).server(ACK, s2, c2.wrapping_add(33), OK);
            // Behind an open one that goes on further ahead may only be loss.
            let flows = if end.is_empty() && shift == 5_000_000 { 1 } else { 2 };
            assert_eq!(answered(&tape), (flows, 2), "{shift} {end:?}");
        }
    }
}

#[test]
fn a_syn_behind_the_first_packets_of_its_connection_begins_it() {
    let mut tape = Tape::new();
    tape.client(ACK, c(0), s(0), GET).server(SYN_ACK, S, c(0), b"").client(SYN, C, 0, b"");
    tape.server(ACK, s(0), c(33), OK).client(ACK, c(33), s(40), b"");
    let facts = tape.facts();
    let [flow] = &facts.flows[..] else { panic!("{} connections", facts.flows.len()) };
    assert_eq!(
        (flow.opening, flow.directions.map(|side| side.isn)),
        (Opening::Handshake, [Some(C), Some(S)])
    );
    assert_eq!((facts.exchanges.len(), facts.exchanges[0].status.map(u16::from)), (1, Some(200)));
    // One that other bytes stand before is that of another connection.
    let mut tape = Tape::new();
    tape.client(ACK, c(5_000), s(0), GET).server(ACK, s(0), c(5_033), OK).client(SYN, C, 0, b"");
    assert_eq!(tape.facts().flows.len(), 2);
}
