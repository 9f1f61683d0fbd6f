//! What one capture holds of one TCP connection: facts only, no judgement.

use std::net::SocketAddr;
use std::ops::Range;

use crate::capture::{CaptureTime, Passage};
use crate::http::{Protocol, WireFacts};

use super::seq_diff;

/// A connection as one capture saw it: its index in that capture's facts, in order of first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u32);

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end that opened the connection.
    Client = 0,
    /// The end that accepted it.
    Server = 1,
}

impl Side {
    /// The other end.
    #[inline]
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// How a connection began, as far as the capture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// SYN and SYN,ACK seen.
    Handshake,
    /// One or more SYNs, no answer.
    Unanswered,
    /// The SYN was answered by a RST.
    Refused,
    /// No SYN seen: the connection is older than the capture, or the capture lost its start.
    MidStream,
}

/// How a connection ended, as far as the capture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Still open at the end of the capture, or its end was not captured.
    Open,
    /// At least one side sent a FIN and no side a RST.
    Fin,
    /// A side sent a RST.
    Reset,
}

/// What happened at one packet of a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The client asks to open. Repeated SYNs each make an event.
    Syn,
    /// The server agrees.
    SynAck,
    /// The client's first acknowledgement: the handshake is complete.
    Established,
    /// The sender finishes sending. `seq` is the FIN's own sequence number (after any payload).
    Fin,
    /// The sender acknowledges the other side's FIN for the first time.
    FinAcked,
    /// The sender resets. [`Event::has_ack`] tells `RST,ACK` from a bare `RST`.
    Rst,
    /// Payload sent after the sender's own FIN.
    DataAfterFin,
    /// Bytes that the capture does not hold: `len` bytes from `seq` on, sent by `from`.
    Hole,
    /// The sender's receive window is closed (window 0) for the first time or again.
    ZeroWindow,
    /// The sender's receive window is open again after a [`EventKind::ZeroWindow`] of the same side.
    WindowOpened,
    /// A segment that repeats only bytes seen before, sent again by its sender (a second copy of one packet in the
    /// capture is none). `seq` and `len` are those of the segment.
    Retransmission,
    /// A keep-alive probe (RFC 9293, section 3.8.4): it repeats the last byte at most, to see whether the peer lives.
    KeepAlive,
    /// A probe of the peer's closed window (RFC 9293, section 3.8.6.1).
    WindowProbe,
    /// An ICMP or ICMPv6 error quotes a packet of this connection; `from` sent the quoted packet. `seq` is the quoted
    /// sequence number, `ack` is type × 256 + code (RFC 792, RFC 4443), `len` the MTU of the next hop where the error
    /// says that the packet was too big (RFC 1191, RFC 8201), else 0.
    Unreachable,
    /// A RST that the receiver cannot have believed, for its sequence number lies outside of the window (RFC 9293, section
    /// 3.10.7.4), or that neither side heeded: it ends nothing.
    StrayRst,
}

/// One event of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, by the capture's clock.
    pub at: CaptureTime,
    /// Packet number in the capture, from 1.
    pub frame: u32,
    /// What.
    pub kind: EventKind,
    /// Which end sent the packet (for a hole: whose bytes are missing).
    pub from: Side,
    /// Whether the packet's acknowledgement number counts.
    pub has_ack: bool,
    /// Absolute sequence number (see [`EventKind`]).
    pub seq: u32,
    /// Absolute acknowledgement number.
    pub ack: u32,
    /// Payload bytes of the packet; for a hole the missing bytes.
    pub len: u32,
    /// For a retransmission: microseconds for which its sender had sent no payload when it sent this. Else 0.
    pub quiet_us: u32,
}

impl Event {
    /// Type and code of the ICMP error, where the event is [`EventKind::Unreachable`].
    pub fn icmp(&self) -> Option<(u8, u8)> {
        (self.kind == EventKind::Unreachable).then_some(((self.ack >> 8) as u8, self.ack as u8))
    }
}

/// Nanoseconds from the only event that `is_start` names to the acknowledgement that completes the handshake; `None` where
/// it came several times, so that nothing tells which of them was acknowledged.
pub(crate) fn until_established_ns(events: &[Event], is_start: impl Fn(&Event) -> bool) -> Option<i64> {
    let mut starts = events.iter().filter(|event| is_start(event));
    let start = starts.next().filter(|_| starts.next().is_none())?;
    let done = events.iter().find(|event| event.kind == EventKind::Established)?;
    Some(done.at.0.saturating_sub(start.at.0)).filter(|ns| *ns >= 0)
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionFacts {
    /// Initial sequence number, where the SYN was seen.
    pub isn: Option<u32>,
    /// Packets sent by this side.
    pub packets: u32,
    /// Which ways they passed the capturing machine.
    pub passage: Passage,
    /// Payload bytes in order, each once.
    pub bytes: u64,
    /// Segments with payload; second copies of a packet are left out.
    pub segments: u32,
    /// Segments with payload that are second copies of a packet of this capture (`-i any`, a mirror port); they count
    /// nowhere else.
    pub copies: u32,
    /// Segments that carried only bytes seen before (keep-alive probes not counted).
    pub retransmitted: u32,
    /// Segments that came ahead of a byte not yet seen.
    pub out_of_order: u32,
    /// Bytes that the capture does not hold but that later bytes or acknowledgements prove to exist.
    pub missing_bytes: u64,
    /// Those of `missing_bytes` that the peer acknowledged: they arrived, and only the capture lacks them.
    pub uncaptured_bytes: u64,
    /// Those of `missing_bytes` that the peer never acknowledged: lost on the wire, or still under way at the end.
    pub unarrived_bytes: u64,
    /// Bytes that the snap length cut off; their packets were captured, so they are no loss.
    pub cut_bytes: u64,
    /// Most payload bytes in a segment that the peer acknowledged.
    pub largest_acked: u32,
    /// Most payload bytes in a segment that the peer never acknowledged; 0 when all were.
    pub largest_unacked: u32,
    /// Shift of this side's window, as its SYN said (RFC 7323, section 2.2).
    pub window_scale: Option<u8>,
    /// Highest acknowledgement number that this side *sent*, where it sent any.
    pub acked: Option<u32>,
    /// Sequence number after the last byte (or FIN) seen from this side, where any was.
    pub end_seq: Option<u32>,
}

impl DirectionFacts {
    /// Payload bytes that this side is known to have sent, each once, whether the capture holds them or not.
    pub fn sent_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.cut_bytes).saturating_add(self.missing_bytes)
    }
}

/// One TCP connection as one capture saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The end that opened it (without a SYN: the end that sends requests, or the one with the higher port).
    pub client: SocketAddr,
    /// The end that accepted it.
    pub server: SocketAddr,
    /// The address that its answers come from, where that is another one: what the client had asked for before it was
    /// redirected.
    pub meant_for: Option<SocketAddr>,
    /// How it began.
    pub opening: Opening,
    /// How it ended.
    pub closing: Closing,
    /// What it carries, by content.
    pub protocol: Protocol,
    /// What else its bytes show: what each side began with, a PROXY header.
    pub wire: WireFacts,
    /// First packet: time and number.
    pub first: (CaptureTime, u32),
    /// Last packet: time and number.
    pub last: (CaptureTime, u32),
    /// The two directions, indexed by [`Side`] as the sender.
    pub directions: [DirectionFacts; 2],
    /// Its events in capture order, as a range of the capture's event list.
    pub events: Range<u32>,
    /// Its exchanges in order, as a range of the capture's exchange list.
    pub exchanges: Range<u32>,
}

impl Flow {
    /// What the given side sent.
    #[inline]
    pub fn direction(&self, side: Side) -> &DirectionFacts {
        &self.directions[side as usize]
    }

    /// How many bytes of a hole the receiver acknowledged: it had them, and only the capture lacks them. The others never
    /// arrived, as far as the capture shows. `None` where it holds no acknowledgement of the receiver's.
    pub fn arrived_of(&self, hole: &Event) -> Option<u32> {
        let acked = self.direction(hole.from.peer()).acked?;
        Some(seq_diff(acked, hole.seq).clamp(0, hole.len.min(i32::MAX as u32).cast_signed()).cast_unsigned())
    }

    /// Whether the capture misses bytes of either direction: verdicts on this connection are then unknown.
    pub fn is_lossy(&self) -> bool {
        self.directions.iter().any(|d| d.missing_bytes > 0)
    }
}
