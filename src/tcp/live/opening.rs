//! How a connection begins: its SYNs, and the handshake.

use crate::capture::Segment;

use super::{Live, STREAM_REACH, Taken};
use crate::tcp::seq::seq_diff;
use crate::tcp::tracker::Handler;
use crate::tcp::{Closing, EventKind, Opening, Side};

impl<H: Handler> Live<H> {
    /// Whether its client has sent the SYN that a SYN,ACK acknowledges, and no answer was seen.
    pub(in crate::tcp) fn awaits_answer(&self, answer: &Segment<'_>) -> bool {
        let isn = self.halves[Side::Client as usize].facts.isn;
        self.opening == Opening::Unanswered
            && self.client == answer.dst
            && isn.is_some_and(|isn| isn.wrapping_add(1) == answer.ack)
    }

    /// A segment before the handshake is complete.
    #[cold]
    pub(super) fn on_handshake(&mut self, segment: &Segment<'_>, side: Side) {
        if !segment.flags.ack() {
            return;
        }
        let (half, peer) = (&self.halves[side as usize], &self.halves[side.peer() as usize]);
        let acknowledges_syn = peer
            .facts
            .isn
            .is_some_and(|isn| (1..=STREAM_REACH.cast_signed()).contains(&seq_diff(segment.ack, isn)));
        if self.opening == Opening::Unanswered {
            // Who goes on has had the SYN,ACK, or sent it, and the capture does not hold it.
            match (side, half.facts.isn) {
                (Side::Client, Some(isn)) if segment.seq == isn.wrapping_add(1) && peer.next.is_none() => {
                    self.halves[Side::Server as usize].start_hint = Some(segment.ack);
                }
                (Side::Server, _) if !acknowledges_syn => return,
                _ => {}
            }
            self.opening = Opening::Handshake;
        }
        if side == Side::Client {
            self.choose_isn(segment.ack);
            self.settled = true;
            self.events.note(segment, EventKind::Established, side);
        }
    }

    pub(super) fn on_syn(&mut self, segment: &Segment<'_>, side: Side) {
        let acked = self.halves[side.peer() as usize].facts.acked;
        let half = &mut self.halves[side as usize];
        self.disordered |= half.facts.isn.is_none() && (half.facts.packets > 1 || acked.is_some());
        let is_chosen = half.facts.isn.is_some() && acked == half.next;
        if half.next.is_none() || half.facts.isn.is_some() && half.is_untouched() && !is_chosen {
            self.other_isn = half.facts.isn.filter(|isn| *isn != segment.seq).or(self.other_isn);
            half.start_at(segment.seq);
            // What ended this side before it began was no part of the connection.
            self.fins[side as usize] = None;
        } else if half.facts.isn.is_none() && half.can_begin_at(segment.seq) {
            half.begin_at(segment.seq);
        }
        half.facts.window_scale = segment.window_scale;
        self.roles_known = true;
        if segment.flags.ack() {
            if matches!(self.opening, Opening::Unanswered | Opening::Refused) {
                self.opening = Opening::Handshake;
            }
            if self.fins.iter().all(Option::is_none)
                && self.halves.iter().all(|half| half.facts.segments == 0)
            {
                // After a refusal this is the answer to the same SYN, sent again; or the refusal was not the server's.
                self.closing = Closing::Open;
            }
            self.note_ack(side, segment.ack);
            self.events.note(segment, EventKind::SynAck, side);
        } else {
            self.events.note(segment, EventKind::Syn, side);
        }
    }

    /// A SYN may carry data already (TCP Fast Open, RFC 7413); its own number comes before them.
    #[cold]
    pub(super) fn on_syn_payload(
        &mut self,
        segment: &Segment<'_>,
        side: Side,
        context: &mut H::Context,
    ) -> Taken {
        let data = Segment { seq: segment.seq.wrapping_add(1), ..*segment };
        self.on_payload(&data, side, false, context)
    }
}
