//! The table of connections: too many of them, and answers from another address than the one asked.

use super::*;

/// Counts connections and problems.
#[derive(Default)]
struct Count(usize, usize);
#[derive(Default)]
struct Silent;

impl crate::capture::Problems for Count {
    fn report(&mut self, _: ProblemKind, _: std::fmt::Arguments<'_>) {
        self.1 += 1;
    }
}

impl Handler for Silent {
    type Context = Count;

    fn sender_of(_: &[u8]) -> Option<Side> {
        None
    }
    fn data(&mut self, _: Side, _: &Chunk<'_>, _: &mut Count) {}
    fn hole(&mut self, _: Side, _: Hole, _: &mut Count) {}
    fn swap_sides(&mut self) {}
    fn fin(&mut self, _: Side, _: crate::capture::CaptureTime, _: u32, _: &mut Count) {}
    fn close(self, _: Flow, _: &[Event], context: &mut Count) {
        context.0 += 1;
    }
}

#[test]
fn more_closed_connections_than_stay_known_are_said() {
    let said = |connections: u32| {
        let (mut tracker, mut count) = (Tracker::<Silent>::default(), Count::default());
        let server: SocketAddr = ([10, 0, 0, 2], 80).into();
        for n in 0..connections {
            let client: SocketAddr = ([10, 1, (n >> 8) as u8, n as u8], 40_000).into();
            let mut segment = crate::capture::Segment {
                frame: 2 * n + 1,
                src: client,
                dst: server,
                flags: TcpFlags(SYN),
                at: crate::capture::CaptureTime(0),
                seq: 0,
                ack: 0,
                window: 1,
                ip_id: 0,
                tsval: 0,
                window_scale: None,
                passage: crate::capture::Passage::UNKNOWN,
                is_icmp_error: false,
                payload: b"",
                wire_len: 0,
                file_offset: 0,
            };
            tracker.push(&segment, &mut count);
            (segment.src, segment.dst, segment.ack) = (server, client, 1);
            (segment.flags, segment.frame) = (TcpFlags(RST | ACK), 2 * n + 2);
            tracker.push(&segment, &mut count);
        }
        tracker.finish(&mut count);
        assert_eq!(count.0, connections as usize);
        count.1
    };
    assert_eq!((said(32_000), said(33_000)), (0, 231));
}

/// A packet: the server's address, whether the client is the sender, flags, numbers and payload.
type Sent<'a> = (&'a str, bool, u8, (u32, u32), &'a [u8]);

/// Server, start and exchanges of each connection when a client at 10.0.1.1:3000 and servers send this.
fn redirected(packets: &[Sent<'_>]) -> Vec<(String, Opening, usize)> {
    let mut file = PcapBuilder::new().nanos();
    let client: SocketAddr = ([10, 0, 1, 1], 3_000).into();
    for (n, &(server, from_client, flags, numbers, payload)) in packets.iter().enumerate() {
        let server: SocketAddr = server.parse().unwrap();
        let (from, to) = if from_client { (client, server) } else { (server, client) };
        let packet = [&ETHERNET[..], &ip_packet(from, to, numbers, flags, payload)].concat();
        file.packet((1 + n as i64) * MS, &packet);
    }
    let facts = load_from(Reader::new(Cursor::new(file.build()), None), Path::new("lo.pcap"), &mut |_| true);
    let server = |flow: &Flow| {
        flow.meant_for.map_or(flow.server.to_string(), |meant| format!("{} for {meant}", flow.server))
    };
    facts.flows.iter().map(|flow| (server(flow), flow.opening, flow.exchanges.len())).collect()
}

#[test]
fn answers_from_where_a_redirected_request_was_meant_for_are_of_its_connection() {
    const SIDECAR: &str = "127.0.0.1:15001";
    const MEANT: &str = "10.0.2.1:80";
    let syn = (SIDECAR, true, SYN, (C, 0), &b""[..]);
    let request = (SIDECAR, true, ACK, (c(0), s(0)), GET);
    let answers = |ack| {
        [
            syn,
            (MEANT, false, SYN_ACK, (S, ack), &b""[..]),
            (SIDECAR, true, ACK, (c(0), s(0)), b""),
            request,
            (MEANT, false, ACK, (s(0), c(GET.len() as u32)), OK),
        ]
    };
    let redirection = format!("{SIDECAR} for {MEANT}");
    assert_eq!(redirected(&answers(c(0))), [(redirection.clone(), Opening::Handshake, 1)]);
    // What acknowledges another number answers another SYN.
    assert_eq!(redirected(&answers(c(7))).len(), 2);
    let refused = [syn, (MEANT, false, RST | ACK, (0, c(0)), b"")];
    assert_eq!(redirected(&refused), [(redirection, Opening::Refused, 0)]);
    // The same port once more, with other numbers.
    let again = answers(c(0)).map(|(at, out, flags, (seq, ack), data)| {
        let by = |number: u32, is_zero| if is_zero { 0 } else { number.wrapping_add(1 << 30) };
        (at, out, flags, (by(seq, false), by(ack, flags == SYN)), data)
    });
    let both = redirected(&[answers(c(0)), again].concat());
    assert_eq!(both.iter().map(|one| one.2).collect::<Vec<_>>(), [1, 1], "{both:?}");
}

#[test]
fn of_connections_that_are_too_many_those_let_go_are_counted() {
    let mut file = PcapBuilder::new().nanos();
    for port in 0..400_001_u32 {
        let client = ([10, 1, (port >> 16) as u8, 1], port as u16).into();
        let packet = ip_packet(client, ([10, 0, 0, 2], 80).into(), (7, 0), SYN, b"");
        file.packet(i64::from(port + 1), &[&ETHERNET[..], &packet].concat());
    }
    let reader = Reader::new(Cursor::new(file.build()), None);
    let facts = load_from(reader, Path::new("test.pcap"), &mut |_| true);
    let told: Vec<_> = facts.info.problems.iter().map(|problem| (problem.kind, problem.count)).collect();
    assert_eq!(told, [(ProblemKind::LimitReached, 200_000)]);
    assert_eq!(facts.flows.len(), 400_001);
}
