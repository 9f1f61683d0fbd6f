//! The events of one connection, bounded so that many of one kind never crowd out another.

use crate::capture::Segment;

use super::{Event, EventKind, Side};

/// Most events of one kind that are kept of one connection.
pub(super) const MAX_EVENTS_OF_KIND: u16 = 512;
/// Number of kinds.
const KINDS: usize = EventKind::StrayRst as usize + 1;
/// The same control segment again within this time is a second copy of one packet (`-i any` records a packet
/// on each interface it passes), not a retransmission, whose timers start at 200 ms.
const COPY_NS: i64 = 1_000_000;
/// As before for SYNs, which are sent again after a second (RFC 6298, section 2): overlays may delay a copy.
const SYN_COPY_NS: i64 = 50_000_000;
/// Room for the events of most connections: a handshake, two FINs, and a retransmission or two.
const USUAL_EVENTS: usize = 8;
/// How many events back a copy is looked for.
const COPY_REACH: usize = 4;

/// The events kept so far.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    pub(super) list: Vec<Event>,
    counts: [u16; KINDS],
    /// Events that the limit kept out.
    pub(super) dropped: u32,
}

impl EventLog {
    /// Keeps what a packet did, unless the packet is a second copy.
    pub(super) fn note(&mut self, segment: &Segment<'_>, kind: EventKind, from: Side) {
        self.note_after(0, segment, kind, from);
    }

    /// As [`Self::note`], of a sender that was quiet for so many microseconds.
    pub(super) fn note_after(&mut self, quiet_us: u32, segment: &Segment<'_>, kind: EventKind, from: Side) {
        let has_ack = segment.flags.ack();
        let within = if matches!(kind, EventKind::Syn | EventKind::SynAck) { SYN_COPY_NS } else { COPY_NS };
        let copy = self.list.iter().rev().take(COPY_REACH).any(|e| {
            e.kind == kind
                && e.from == from
                && (e.seq, e.ack, e.has_ack) == (segment.seq, segment.ack, has_ack)
                && segment.at.0.saturating_sub(e.at.0) < within
        });
        if !copy {
            let Segment { at, frame, seq, ack, wire_len: len, .. } = *segment;
            self.add(Event { at, frame, kind, from, has_ack, seq, ack, len, quiet_us });
        }
    }

    /// No RST was heeded.
    pub(super) fn disown_resets(&mut self) {
        for event in self.list.iter_mut().filter(|event| event.kind == EventKind::Rst) {
            event.kind = EventKind::StrayRst;
        }
    }

    /// Keeps an event, as far as there is room for its kind.
    pub(super) fn add(&mut self, event: Event) {
        let count = &mut self.counts[event.kind as usize];
        if *count == MAX_EVENTS_OF_KIND {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        *count += 1;
        if self.list.capacity() == 0 {
            self.list.reserve(USUAL_EVENTS);
        }
        self.list.push(event);
    }
}
