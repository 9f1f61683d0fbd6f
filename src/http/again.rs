//! Segments that repeat bytes of a stream, compared with the bytes that were taken: these are gone by then, and are read
//! again from the file.

use std::net::SocketAddr;

use crate::capture::{Backing, CaptureInfo, Extent, ExtentReader, ProblemKind, Problems};
use crate::tcp::{Chunk, Flow, Side, seq_diff};

use super::load::Context;
use super::{CaptureFacts, Exchange};

/// Most segments of a capture that are compared.
const MAX_REPEATED: usize = 4_096;

/// Bytes that came again.
#[derive(Clone, Copy, Debug)]
struct Repeated {
    from: Side,
    seq: u32,
    len: u32,
    frame: u32,
    offset: u64,
}

/// Those of one connection.
#[derive(Debug, Default)]
pub(super) struct RepeatedBytes(Vec<Repeated>);

/// Two places of the file that should hold the same bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    frame: u32,
    ends: (SocketAddr, SocketAddr),
    taken: Extent,
    repeated: u64,
}

impl RepeatedBytes {
    #[cold]
    pub(super) fn note(&mut self, from: Side, chunk: &Chunk<'_>, is_copy: bool, context: &mut Context) {
        // Where every packet is there several times, the first ones tell.
        if is_copy && context.repeated >= MAX_REPEATED {
            return;
        }
        context.repeated += 1;
        if context.repeated > MAX_REPEATED {
            context.report(
                ProblemKind::LookLimited,
                format_args!(
                    "packet {}: more than {MAX_REPEATED} segments repeat bytes; whether these differ from the first ones \
                     was not looked at",
                    chunk.frame
                ),
            );
            return;
        }
        let Chunk { seq, frame, file_offset: offset, .. } = *chunk;
        self.0.push(Repeated { from, seq, len: chunk.data.len() as u32, frame, offset });
    }

    /// Where the bytes lie that were taken, as far as they are of a message without holes.
    pub(super) fn settle(self, flow: &Flow, exchanges: &[Exchange], context: &mut Context) {
        for from in [Side::Client, Side::Server] {
            let own: Vec<Repeated> = self.0.iter().filter(|one| one.from == from).copied().collect();
            if own.is_empty() {
                continue;
            }
            let ends = match from {
                Side::Client => (flow.client, flow.server),
                Side::Server => (flow.server, flow.client),
            };
            let mut taken = Taken::of(from, exchanges);
            for one in own {
                taken.find(one, &context.facts, |extent, repeated| {
                    context.doubts.push(Doubt { frame: one.frame, ends, taken: extent, repeated });
                });
            }
        }
    }
}

/// The messages of one side, in the order of the stream.
struct Taken<'a> {
    messages: Vec<&'a super::Message>,
    /// Of the message looked at last: its place, and its extents, each with the bytes of the message before it.
    open: Option<(usize, Vec<(u64, Extent)>)>,
}

impl<'a> Taken<'a> {
    fn of(from: Side, exchanges: &'a [Exchange]) -> Self {
        let all = exchanges.iter().map(|x| if from == Side::Client { &x.request } else { &x.response });
        let mut messages: Vec<_> = all.filter(|message| message.is_present()).collect();
        let first = messages.first().map_or(0, |message| message.seq);
        messages.sort_by_key(|message| seq_diff(message.seq, first));
        Self { messages, open: None }
    }

    /// Gives each run of the file that holds bytes of the segment, with the place of the same bytes in the segment.
    fn find(&mut self, one: Repeated, facts: &CaptureFacts, mut give: impl FnMut(Extent, u64)) {
        let behind = self.messages.partition_point(|message| seq_diff(message.seq, one.seq) <= 0);
        for at in behind.saturating_sub(1)..self.messages.len() {
            let message = self.messages[at];
            let shift = i64::from(seq_diff(one.seq, message.seq));
            if shift + i64::from(one.len) <= 0 {
                return;
            }
            if self.open.as_ref().is_none_or(|(place, _)| *place != at) {
                self.open = Some((at, placed(facts, message)));
            }
            let Some((_, extents)) = &self.open else { return };
            for &(before, extent) in extents {
                let start = shift.max(before as i64);
                let end = (shift + i64::from(one.len)).min(before as i64 + i64::from(extent.len));
                if start < end {
                    let offset = extent.offset + (start - before as i64) as u64;
                    let taken = Extent { offset, len: (end - start) as u32, ..extent };
                    give(taken, one.offset + (start - shift) as u64);
                }
            }
        }
    }
}

/// The extents of a message, each with the bytes before it; none where some of its bytes are missing.
fn placed(facts: &CaptureFacts, message: &super::Message) -> Vec<(u64, Extent)> {
    let mut before = 0;
    let place = |extent: Extent| {
        let placed = (before, extent);
        before += u64::from(extent.len);
        placed
    };
    let all = facts.extents(message).into_iter().map(place).collect();
    if before == message.wire_bytes { all } else { Vec::new() }
}

/// Compares what came again with what was taken, and reports where the two differ. Only what lies in the file as it is
/// can be read again at little cost.
#[cold]
pub(super) fn compare(context: &mut Context, info: &CaptureInfo) {
    let mut doubts = std::mem::take(&mut context.doubts);
    if doubts.is_empty() || !matches!(info.backing, Backing::File) {
        return;
    }
    let Ok(mut file) = ExtentReader::of(info) else { return };
    doubts.sort_by_key(|doubt| (doubt.frame, doubt.repeated));
    let (mut last, mut first, mut second) = (0, Vec::new(), Vec::new());
    for Doubt { frame, ends: (src, dst), taken, repeated } in doubts {
        let again = Extent { offset: repeated, ..taken };
        let both = file.read_into(taken, &mut first).and_then(|()| file.read_into(again, &mut second));
        let differs = both.is_ok() && first != second;
        if differs && frame != last {
            last = frame;
            context.report(
                ProblemKind::ConflictingBytes,
                format_args!(
                    "packet {frame}: bytes of {src} → {dst} differ from those sent first, which were taken"
                ),
            );
        }
    }
}
