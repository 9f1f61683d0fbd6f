//! How a connection ends: its FINs, a RST, and what is known of it when it is let go of.

use crate::capture::{ProblemKind, Problems, Segment};

use super::{Fin, Live, Sink};
use crate::tcp::events::MAX_EVENTS_OF_KIND;
use crate::tcp::seq::seq_diff;
use crate::tcp::tracker::Handler;
use crate::tcp::{Closing, EventKind, Flow, Opening, Side};

impl<H: Handler> Live<H> {
    pub(super) fn on_fin(&mut self, segment: &Segment<'_>, side: Side) {
        if self.fins[side as usize].is_some() {
            return;
        }
        let seq = segment.seq.wrapping_add(segment.wire_len + u32::from(segment.flags.syn()));
        self.fins[side as usize] =
            Some(Fin { seq, at: segment.at, frame: segment.frame, acked: false, delivered: false });
        if self.closing == Closing::Open {
            self.closing = Closing::Fin;
        }
        self.events.note(&Segment { seq, ..*segment }, EventKind::Fin, side);
    }

    /// Tells the handler of a FIN once all bytes before it were handed over.
    pub(super) fn deliver_fin(&mut self, side: Side, context: &mut H::Context) {
        let next = self.halves[side as usize].next;
        if let Some(fin) = &mut self.fins[side as usize]
            && !fin.delivered
            && next.is_none_or(|next| seq_diff(next, fin.seq) >= 0)
        {
            fin.delivered = true;
            self.handler.fin(side, fin.at, fin.frame, context);
        }
    }

    pub(super) fn on_rst(&mut self, segment: &Segment<'_>, side: Side, before: Option<u32>) {
        if segment.wire_len == 0 {
            self.weigh_rst(segment, side, before);
        }
        if self.opening == Opening::Unanswered && side == Side::Server {
            self.opening = Opening::Refused;
        }
        self.closing = Closing::Reset;
        self.events.note(segment, EventKind::Rst, side);
    }

    pub(in crate::tcp) fn close(mut self, context: &mut H::Context) {
        self.settle_doubt();
        for side in [Side::Client, Side::Server] {
            let acked = self.halves[side.peer() as usize].facts.acked;
            let end = self.fins[side as usize].map(|fin| fin.seq);
            let mut sink = Sink { handler: &mut self.handler, events: &mut self.events, from: side, context };
            self.halves[side as usize]
                .finish((acked, end), self.last.0, self.last.1, &mut |piece| sink.take(piece));
            self.deliver_fin(side, context);
        }
        // A packet or two of one side alone are leftovers of a connection that was over, not one of its own.
        let one_sided = self.halves.iter().any(|half| half.facts.packets == 0);
        let silent = self.halves.iter().all(|half| half.facts.bytes == 0);
        if self.opening == Opening::MidStream && one_sided && silent {
            return;
        }
        if self.events.dropped > 0 {
            let (client, server, dropped) = (self.client, self.server, self.events.dropped);
            context.report(
                ProblemKind::LimitReached,
                format_args!(
                    "{client} → {server} (first: packet {}) has more than {MAX_EVENTS_OF_KIND} events of one kind; \
                     {dropped} were not kept",
                    self.first.1
                ),
            );
        }
        let flow = Flow {
            client: self.client,
            server: self.server,
            meant_for: self.meant_for,
            opening: self.opening,
            closing: self.closing,
            protocol: Default::default(),
            wire: Default::default(),
            first: self.first,
            last: self.last,
            directions: [self.halves[0].facts, self.halves[1].facts],
            events: 0..0,
            exchanges: 0..0,
        };
        self.handler.close(flow, &self.events.list, context);
    }
}
