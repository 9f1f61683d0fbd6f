//! One capture file to its facts: the single pass that runs through capture, tcp and http.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use hashbrown::HashSet;

use crate::capture::{CaptureError, CaptureInfo, Decoder, ProblemKind, ProblemLog, Problems, Reader};
use crate::tcp::Tracker;

use super::conversation::Conversation;
use super::{CaptureFacts, HeaderDigest, NameId};

/// How often a load says how far it is and asks whether to stop, in packets.
const STRIDE: u64 = 4096;

/// What all connections of a capture share while it is read.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(super) facts: CaptureFacts,
    /// Scratch space for the header digests of one request.
    pub(super) digests: Vec<HeaderDigest>,
    problems: ProblemLog,
    servers: HashSet<SocketAddr, foldhash::fast::FixedState>,
}

impl Problems for Context {
    fn report(&mut self, kind: ProblemKind, detail: fmt::Arguments<'_>) {
        self.problems.report(kind, detail);
    }
}

impl Context {
    /// Notes the `Server` header of an address, once.
    pub(super) fn note_server(&mut self, server: SocketAddr, name: NameId) {
        if self.servers.insert(server) {
            self.facts.server_headers.push((server, name));
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
    let mut context = Context::default();
    let info = match reader {
        Ok(reader) => read(reader, &mut context, go_on),
        Err(error) => {
            context.report(error.kind(), format_args!("{error}"));
            CaptureInfo::default()
        }
    };
    let Context { mut facts, problems, .. } = context;
    facts.info = CaptureInfo { path: path.to_owned(), problems: problems.into_problems(), ..info };
    facts.settle();
    facts
}

fn read(mut reader: Reader, context: &mut Context, go_on: &mut dyn FnMut(u64) -> bool) -> CaptureInfo {
    let mut decoder = Decoder::default();
    let mut tracker = Tracker::<Conversation>::default();
    let mut countdown = STRIDE;
    while let Some(packet) = reader.next_packet(&mut context.problems) {
        if let Some(segment) = decoder.segment(&packet, &mut context.problems) {
            tracker.push(&segment, context);
        }
        while let Some(piece) = decoder.piece() {
            tracker.push(&piece, context);
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
    tracker.finish(context);
    reader.info()
}
