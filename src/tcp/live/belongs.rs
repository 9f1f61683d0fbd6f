//! Which connection a segment is of, where its ends do not tell: one follows another between the same two, some without
//! their SYN, and some of which the SYN comes late.

use crate::capture::Segment;

use super::{Live, STREAM_REACH};
use crate::tcp::held::Stray;
use crate::tcp::seq::seq_diff;
use crate::tcp::tracker::Handler;
use crate::tcp::{Closing, EventKind, Opening, Side};

/// As before behind a RST, where nothing goes on: more than what was under way when it was sent.
const RESET_REACH: u32 = 1 << 20;
/// A side that sent less than this has not come round to the numbers before its first one.
const SURE_BYTES: u64 = 1 << 30;
/// So many packets may stand before the SYN of their connection.
const LATE_SYN: u32 = 16;

impl<H: Handler> Live<H> {
    /// Whether the segment begins another connection between the same two ends.
    pub(in crate::tcp) fn is_replaced_by(&self, segment: &Segment<'_>, src_is_low: bool) -> bool {
        if !segment.flags.syn() {
            return false;
        }
        let side = self.side(src_is_low);
        match self.halves[side as usize].facts.isn {
            Some(isn) if isn == segment.seq => false,
            // A server that keeps no state for a SYN may answer the second one with another number (SYN cookies); so
            // may two servers that share an address.
            Some(_) if segment.flags.ack() => !self.answers_own_syn(segment, side),
            Some(_) => true,
            // A server's SYN,ACK may still belong to a connection whose start was not captured, if it stands before the
            // first byte.
            None if segment.flags.ack() => {
                let next = self.halves[side as usize].next;
                next.is_some_and(|next| seq_diff(segment.seq, next) >= 0)
            }
            // A SYN from the client of such a connection.
            None => side == Side::Client || self.opening == Opening::MidStream,
        }
    }

    /// Whether a SYN,ACK answers the SYN of this connection.
    fn answers_own_syn(&self, segment: &Segment<'_>, side: Side) -> bool {
        let peer_isn = self.halves[side.peer() as usize].facts.isn;
        peer_isn.is_some_and(|isn| segment.ack == isn.wrapping_add(1))
    }

    /// Of two SYN,ACKs with different numbers the client goes on with the one that it acknowledges.
    pub(super) fn choose_isn(&mut self, acknowledged: u32) {
        let half = &mut self.halves[Side::Server as usize];
        let wanted = self.other_isn.filter(|isn| isn.wrapping_add(1) == acknowledged);
        if let (Some(isn), Some(first), true) = (wanted, half.facts.isn, half.is_untouched()) {
            half.start_at(isn);
            self.other_isn = Some(first);
        }
    }

    /// Whether a SYN begins this very connection, of which later packets stand before it in the file.
    #[cold]
    pub(in crate::tcp) fn is_begun_late_by(&self, segment: &Segment<'_>, src_is_low: bool) -> bool {
        let side = self.side(src_is_low);
        let acked = self.halves[side.peer() as usize].facts.acked;
        self.opening == Opening::MidStream && self.halves[side as usize].begins_behind(segment.seq, acked)
    }

    /// Takes a SYN that stands in the file shortly behind the first packets of its connection, where the first bytes seen
    /// are those behind it.
    #[cold]
    pub(in crate::tcp) fn takes_late_syn(&mut self, segment: &Segment<'_>, src_is_low: bool) -> bool {
        let near = segment.frame.wrapping_sub(self.first.1) <= LATE_SYN;
        if !near || segment.flags.ack() || !self.is_begun_late_by(segment, src_is_low) {
            return false;
        }
        if self.side(src_is_low) == Side::Server {
            if self.roles_known {
                return false;
            }
            self.swap_roles();
        }
        let (client, server) = (&self.halves[Side::Client as usize], &self.halves[Side::Server as usize]);
        if !client.can_begin_at(segment.seq) {
            return false;
        }
        let answered = server.facts.packets > 0;
        self.opening = if answered { Opening::Handshake } else { Opening::Unanswered };
        self.settled = client.facts.packets > 0;
        self.roles_known = true;
        let half = &mut self.halves[Side::Client as usize];
        half.facts.packets += 1;
        half.facts.window_scale = segment.window_scale;
        half.begin_at(segment.seq);
        self.events.note(segment, EventKind::Syn, Side::Client);
        true
    }

    /// Whether a segment is of another connection: neither its own number nor the one that it acknowledges can be of
    /// this one. Where only one of them is far from its stream, the capture lost much of this connection.
    #[cold]
    pub(super) fn is_elsewhere(&self, segment: &Segment<'_>, side: Side) -> bool {
        let flags = segment.flags;
        !flags.syn()
            && flags.ack()
            && !flags.rst()
            && self.is_out_of_stream(side, segment.seq)
            && self.is_out_of_stream(side.peer(), segment.ack)
    }

    /// Whether a number can be none of what a side sends on this connection.
    fn is_out_of_stream(&self, side: Side, number: u32) -> bool {
        let half = &self.halves[side as usize];
        let Some(next) = half.next else { return false };
        let reach = if self.closing == Closing::Reset { RESET_REACH } else { STREAM_REACH };
        seq_diff(number, next).unsigned_abs() > reach
            || self.fins[side as usize].is_some_and(|fin| seq_diff(number, fin.seq) > 1)
            || half.facts.bytes < SURE_BYTES && half.facts.isn.is_some_and(|isn| seq_diff(number, isn) < 0)
    }

    /// Whether a segment that is elsewhere begins a connection whose SYN was not captured: this one is over, or two
    /// segments agree, of which the first is the stray one then. A single one may be a late packet of the connection
    /// before, or nonsense.
    #[cold]
    pub(in crate::tcp) fn gives_way_to(&mut self, segment: &Segment<'_>, src_is_low: bool) -> bool {
        let agrees = self.stray.as_ref().is_some_and(|stray| {
            let number = if stray.src_is_low == src_is_low { segment.seq } else { segment.ack };
            seq_diff(number, stray.seq()).unsigned_abs() <= STREAM_REACH
        });
        if agrees {
            return true;
        }
        let begins = self.is_over() && segment.wire_len > 0;
        self.stray = (!begins).then(|| Box::new(Stray::new(segment, src_is_low)));
        begins
    }

    /// Takes the first segment of a connection whose SYN was not captured, kept until it was known to be one.
    #[cold]
    pub(in crate::tcp) fn begin_with(&mut self, segment: &Segment<'_>, src_is_low: bool) {
        let side = self.side(src_is_low);
        let half = &mut self.halves[side as usize];
        half.facts.packets += 1;
        if segment.wire_len > 0 {
            half.push_first(segment);
        }
        self.note_ack(side, segment.ack);
    }
}
