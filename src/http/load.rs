//! One capture file to its facts: the single pass that runs through capture, tcp and http.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use hashbrown::HashSet;

use crate::capture::{
    Backing, CaptureError, CaptureInfo, Decoder, Problem, ProblemKind, ProblemLog, Problems, Reader, STDIN,
};
use crate::tcp::{EventKind, Flow, Tracker};

use super::again::{self, Doubt};
use super::conversation::{Conversation, Readers};
use super::familiar::Familiar;
use super::oddity::{Oddities, OddityLog};
use super::reload;
use super::{CaptureFacts, HeaderDigest, NameId};

/// How often a load says how far it is and asks whether to stop, in packets.
const STRIDE: u64 = 4096;

/// Most bytes kept of what applications write beside their answers, of a whole capture.
const MAX_ASIDE: usize = 16 << 20;

/// What all connections of a capture share while it is read.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(super) facts: CaptureFacts,
    /// Scratch space for the header digests of one request.
    pub(super) digests: Vec<HeaderDigest>,
    /// Lines of heads that were read before.
    pub(super) familiar: Familiar,
    pub(super) problems: ProblemLog,
    pub(super) readers: Readers,
    oddities: OddityLog,
    servers: HashSet<SocketAddr, foldhash::fast::FixedState>,
    vias: HashSet<SocketAddr, foldhash::fast::FixedState>,
    /// The last value of each kind given to [`CaptureFacts::note_caller`]: most clients say the same all the time.
    last_callers: [u64; 2],
    /// Bytes kept of what applications wrote beside their answers.
    aside: usize,
    /// Segments that repeat bytes.
    pub(super) repeated: usize,
    /// Bytes that came again, and where those lie that were taken.
    pub(super) doubts: Vec<Doubt>,
}

impl Problems for Context {
    fn report(&mut self, kind: ProblemKind, detail: fmt::Arguments<'_>) {
        self.problems.report(kind, detail);
    }

    fn report_many(&mut self, kind: ProblemKind, count: u64, detail: fmt::Arguments<'_>) {
        self.problems.report_many(kind, count, detail);
    }
}

impl Context {
    /// Counts what is odd about the message that begins in packet `frame`.
    #[cold]
    pub(super) fn note(&mut self, oddities: Oddities, frame: u32) {
        self.oddities.note(oddities, frame);
    }

    /// Whether so many more bytes that an application wrote beside its answer may be kept; says where not.
    pub(super) fn has_room_aside(&mut self, bytes: usize, frame: u32) -> bool {
        self.aside += bytes;
        if self.aside > MAX_ASIDE {
            self.report(
                ProblemKind::LookLimited,
                format_args!(
                    "packet {frame}: more than {MAX_ASIDE} bytes of FastCGI's STDERR; the rest was not kept"
                ),
            );
        }
        self.aside <= MAX_ASIDE
    }

    /// Goes on with the facts of a capture that was read before.
    pub(super) fn of(facts: CaptureFacts) -> Self {
        let servers = facts.server_headers.iter().map(|(server, _)| *server).collect();
        let vias = facts.via_headers.iter().map(|(server, _)| *server).collect();
        Self { facts, servers, vias, ..Self::default() }
    }

    /// The facts, with only some of the connections.
    pub(super) fn into_facts(mut self, keep: &[bool]) -> CaptureFacts {
        self.facts.keep_flows(keep);
        self.facts
    }

    /// Notes the `Server` header of an address, once.
    pub(super) fn note_server(&mut self, server: SocketAddr, name: NameId) {
        if self.servers.insert(server) {
            self.facts.server_headers.push((server, name));
        }
    }

    /// Notes the `Via` header in an answer of an address, once.
    pub(super) fn note_via(&mut self, server: SocketAddr, name: NameId) {
        if self.vias.insert(server) {
            self.facts.via_headers.push((server, name));
        }
    }

    /// Notes a `User-Agent` (0) or `Via` (1) of a request.
    #[inline]
    pub(super) fn note_caller(&mut self, kind: usize, digest: HeaderDigest, value: &[u8]) {
        if self.last_callers[kind] != digest.value() {
            self.last_callers[kind] = digest.value();
            self.facts.note_caller(digest, value);
        }
    }
}

/// Reads a capture file. What could be read is kept whatever happens; `problems` of the facts say the rest.
///
/// `go_on` is called now and then with the bytes read so far, and ends the reading by returning false.
pub fn load_file(path: &Path, go_on: &mut dyn FnMut(u64) -> bool) -> CaptureFacts {
    load_from(Reader::open(path), path, go_on)
}

/// Reads a capture from an open reader, or says why there is none; see [`load_file`].
pub fn load_from(
    reader: Result<Reader, CaptureError>,
    path: &Path,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> CaptureFacts {
    let mut read_once = ReadOnce::default();
    match reader {
        Ok(reader) => read(reader, &mut read_once, go_on),
        Err(error) => read_once.context.report(error.kind(), format_args!("{error}")),
    }
    read_once.info.path = path.to_owned();
    let ReadOnce { mut context, info, .. } = read_once.or_in_order(go_on);
    again::compare(&mut context, &info);
    let Context { mut facts, problems, oddities, .. } = context;
    let mut problems = problems.into_problems();
    if info.by_time
        && let Some(backwards) = problems.iter_mut().find(|one| one.kind == ProblemKind::TimeBackwards)
    {
        backwards.detail.push_str("; packets near each other were taken in the order of their times");
    }
    problems.extend(oddities.into_problems());
    problems.extend(capture_loss(&facts));
    problems.sort_by_key(|problem| problem.kind);
    facts.info = CaptureInfo { path: path.to_owned(), problems, ..info };
    facts.settle();
    facts
}

/// What share of the acknowledged bytes the capture does not hold; the count is that of the connections concerned.
fn capture_loss(facts: &CaptureFacts) -> Option<Problem> {
    let (mut lost, mut had, mut lossy) = (0_u64, 0_u64, 0);
    let mut first: Option<(u32, &Flow)> = None;
    for flow in &facts.flows {
        let lost_here: u64 = flow.directions.iter().map(|d| d.uncaptured_bytes).sum();
        had = had.saturating_add(flow.directions.iter().map(|d| d.bytes).sum());
        lost = lost.saturating_add(lost_here);
        if lost_here > 0 {
            lossy += 1;
            let shown_by = facts.events_of(flow).iter().find(|event| event.kind == EventKind::Hole);
            let packet = shown_by.map_or(flow.first.1, |event| event.frame);
            first = first.filter(|known| known.0 <= packet).or(Some((packet, flow)));
        }
    }
    let (packet, first) = first?;
    let all = had.saturating_add(lost);
    let share = 100.0 * lost as f64 / all as f64;
    let detail = format!(
        "{lost} of {all} bytes that the receivers had ({share:.3} %) are not in the capture (first: {} → {}, before \
         packet {packet})",
        first.client, first.server
    );
    Some(Problem { kind: ProblemKind::CaptureLoss, detail, count: lossy })
}

/// Takes the segment that the last packet may have completed, piece by piece.
#[cold]
fn push_pieces(decoder: &mut Decoder, tracker: &mut Tracker<Conversation>, context: &mut Context) {
    while let Some(piece) = decoder.piece() {
        tracker.push(&piece, context);
    }
}

/// What one pass over a file gave.
#[derive(Default)]
pub(super) struct ReadOnce {
    pub context: Context,
    pub info: CaptureInfo,
    /// Connections that packets out of order may have spoilt.
    pub disordered: u32,
}

impl ReadOnce {
    /// This, or what the packets give by the order of their times, where that of the file spoils connections.
    fn or_in_order(self, go_on: &mut dyn FnMut(u64) -> bool) -> Self {
        let is_gone = self.info.path == Path::new(STDIN) || matches!(self.info.backing, Backing::Nowhere);
        if self.disordered == 0 || is_gone {
            return self;
        }
        match reload::read_in_order(&self.info, go_on) {
            Some(sorted) if sorted.is_better_than(&self) => sorted,
            _ => self,
        }
    }

    fn is_better_than(&self, other: &Self) -> bool {
        let missing = |one: &Self| -> u64 {
            one.context.facts.flows.iter().flat_map(|flow| &flow.directions).map(|d| d.missing_bytes).sum()
        };
        // A file that is gone or half read tells less.
        self.info.packets >= other.info.packets
            && (missing(self), self.disordered) < (missing(other), other.disordered)
    }
}

fn read(mut reader: Reader, read_once: &mut ReadOnce, go_on: &mut dyn FnMut(u64) -> bool) {
    let context = &mut read_once.context;
    let mut decoder = Decoder::default();
    let mut tracker = Tracker::<Conversation>::default();
    let mut countdown = STRIDE;
    while let Some(packet) = reader.next_packet(&mut context.problems) {
        // By reference, or it is moved once more.
        match &decoder.segment(&packet, &mut context.problems) {
            Some(segment) => tracker.push(segment, context),
            None => push_pieces(&mut decoder, &mut tracker, context),
        }
        countdown -= 1;
        if countdown == 0 {
            countdown = STRIDE;
            if !go_on(reader.position()) {
                break;
            }
        }
    }
    decoder.finish(&mut context.problems);
    read_once.disordered = tracker.finish(context);
    read_once.info = reader.info();
}
