//! Whether a RST can be the end, by its number: a receiver heeds only the very one that it awaits (RFC 5961, section 3). A
//! capture may lack what came before, so one that is ahead counts until both sides visibly go on.

use crate::capture::{CaptureTime, Segment};

use super::{Live, RST_REACH};
use crate::tcp::seq::seq_diff;
use crate::tcp::tracker::Handler;
use crate::tcp::{Closing, Opening, Side};

/// What is known of the first RST whose number is not the next one, and since.
#[derive(Debug)]
pub(super) struct Doubt {
    at: CaptureTime,
    /// The highest number of a RST of each side, which may tell of bytes that were not captured.
    resets: [Option<u32>; 2],
    /// Behind the last byte or FIN of each side before it.
    before: [Option<u32>; 2],
    /// As `before`, of what came behind it.
    since: [Option<u32>; 2],
}

fn furthest(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    a.zip(b).map_or(a.or(b), |(a, b)| Some(if seq_diff(a, b) > 0 { a } else { b }))
}

impl<H: Handler> Live<H> {
    /// RFC 9293, section 3.10.7: a RST counts if its number is in the window, and as the answer to a SYN if it
    /// acknowledges that. Far ahead only, since a capture may not show all that the receiver has had; what that
    /// acknowledged lies behind the window for certain.
    #[cold]
    pub(super) fn is_stray_rst(&self, segment: &Segment<'_>, side: Side) -> bool {
        let (half, peer) = (&self.halves[side as usize], &self.halves[side.peer() as usize]);
        if self.opening == Opening::Unanswered && side == Side::Server {
            let acknowledges = |isn: u32| {
                let end = peer.facts.end_seq.unwrap_or(isn.wrapping_add(1));
                seq_diff(segment.ack, isn) > 0 && seq_diff(end, segment.ack) >= 0
            };
            return !segment.flags.ack() || !peer.facts.isn.is_some_and(acknowledges);
        }
        let Some(next) = half.next else { return false };
        let acked = peer.facts.acked.unwrap_or(next);
        let near = |number: u32| seq_diff(segment.seq, number).unsigned_abs() <= RST_REACH.unsigned_abs();
        if !near(next) && !near(acked) {
            return true;
        }
        // What was sent and acknowledged; an acknowledgement of more than that may be forged. Systems take a RST with the
        // number of the FIN before it, as others send it.
        let fin = self.fins[side as usize].map(|fin| fin.seq);
        let is_behind = |number: u32| seq_diff(segment.seq, number) < 0;
        peer.facts.acked.is_some_and(is_behind)
            && [half.facts.end_seq, fin].into_iter().flatten().all(is_behind)
    }

    /// Behind the last byte or FIN that a side sent.
    fn sent(&self, side: Side) -> Option<u32> {
        let fin = self.fins[side as usize].map(|fin| fin.seq.wrapping_add(1));
        furthest(self.halves[side as usize].facts.end_seq, fin)
    }

    /// Begins to doubt a RST whose number is not the one that its receiver awaits, as far as the capture shows; `before`
    /// is what its sender had sent. One that is ends all doubt.
    #[cold]
    pub(super) fn weigh_rst(&mut self, segment: &Segment<'_>, side: Side, before: Option<u32>) {
        let half = &self.halves[side as usize];
        let fin = self.fins[side as usize].map(|fin| fin.seq);
        let awaited = [half.next, before, fin, fin.map(|seq| seq.wrapping_add(1))];
        if half.next.is_none() || awaited.contains(&Some(segment.seq)) {
            // It says where its sender is: one of the same side with another number says nothing.
            if let Some(doubt) = &mut self.doubt {
                doubt.resets[side as usize] = None;
            }
            return self.settle_doubt();
        }
        if self.doubt.is_none() {
            if self.closing == Closing::Reset {
                return;
            }
            self.halves[side as usize].facts.end_seq = before;
            let before = [self.sent(Side::Client), self.sent(Side::Server)];
            self.doubt =
                Some(Box::new(Doubt { at: segment.at, resets: [None; 2], before, since: [None; 2] }));
        }
        self.halves[side as usize].facts.end_seq = before;
        if let Some(doubt) = &mut self.doubt {
            let reset = &mut doubt.resets[side as usize];
            *reset = furthest(*reset, Some(segment.seq));
        }
    }

    /// A packet behind a RST that is in doubt: where a side sends something new and the other one acknowledges it, nobody
    /// heeded the RST.
    #[cold]
    pub(super) fn weigh_doubt(&mut self, segment: &Segment<'_>, side: Side) {
        let Some(doubt) = &mut self.doubt else { return };
        let flags = segment.flags;
        if flags.syn() || flags.rst() || segment.at <= doubt.at {
            return;
        }
        let had = doubt.since[side.peer() as usize];
        if flags.ack() && had.is_some_and(|end| seq_diff(segment.ack, end) >= 0) {
            self.doubt = None;
            self.quarantined = false;
            self.events.disown_resets();
            let is_ended = self.fins.iter().any(Option::is_some);
            self.closing = if is_ended { Closing::Fin } else { Closing::Open };
            return;
        }
        let end = segment.seq.wrapping_add(segment.wire_len + u32::from(flags.fin()));
        if doubt.before[side as usize].is_none_or(|before| seq_diff(end, before) > 0) {
            let since = &mut doubt.since[side as usize];
            *since = furthest(*since, Some(end));
        }
    }

    /// Nothing spoke against the RST: its number tells what its sender had sent.
    pub(super) fn settle_doubt(&mut self) {
        let Some(doubt) = self.doubt.take() else { return };
        for (half, reset) in self.halves.iter_mut().zip(doubt.resets) {
            half.facts.end_seq = furthest(half.facts.end_seq, reset);
        }
    }

    /// The two sides were taken one for the other.
    pub(super) fn swap_doubt(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.resets.swap(0, 1);
            doubt.before.swap(0, 1);
            doubt.since.swap(0, 1);
        }
    }
}
