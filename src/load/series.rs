//! Captures that go on in each other: one recording that its program wrote in several files.
//!
//! ```text
//!   ingress_00001.pcap   |--SYN---req 1---res 1--|
//!   ingress_00002.pcap                           |--req 2---res 2---FIN--|    the next byte of the same connections
//! ```
//!
//! Read apart, a connection that is in two of them would be two sightings of one, of which the better one counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::capture::{Backing, CaptureInfo, ProblemKind, STDIN};
use crate::http::CaptureFacts;
use crate::tcp::{Closing, Flow, Opening, Side, seq_diff};

/// How much earlier than the end of a file the next one may begin, in nanoseconds: packets that two processors took are
/// not always written in order.
const OVERLAP_NS: i64 = 1_000_000;
/// Bytes that were sent again, and so stand in both files, are no more than that.
const REPEATED: i32 = 1 << 16;

type ByEnds<'a> = HashMap<(SocketAddr, SocketAddr), &'a Flow, foldhash::fast::FixedState>;

/// Places of captures that go on in each other, each list in the order of time.
pub(super) fn find(captures: &[Arc<CaptureFacts>]) -> Vec<Vec<usize>> {
    let mut called_alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, facts) in captures.iter().enumerate().filter(|(_, facts)| may_be_part(&facts.info)) {
        let path = &facts.info.path;
        called_alike.entry((path.parent(), stem(path))).or_default().push(at);
    }
    let mut found = Vec::new();
    for mut places in called_alike.into_values().filter(|places| places.len() > 1) {
        places.sort_by_key(|&at| (captures[at].info.first, captures[at].info.last, at));
        // Several hops may be called by numbers too, and be recorded side by side.
        let mut series: Vec<Vec<usize>> = Vec::new();
        for at in places {
            let goes_on = |list: &&mut Vec<usize>| {
                list.last().is_some_and(|&last| goes_on(&captures[last], &captures[at]))
            };
            match series.iter_mut().find(goes_on) {
                Some(list) => list.push(at),
                None => series.push(vec![at]),
            }
        }
        found.extend(series.into_iter().filter(|list| list.len() > 1));
    }
    found
}

/// Whether it is a whole file that can be read again.
fn may_be_part(info: &CaptureInfo) -> bool {
    let broken = |kind| matches!(kind, ProblemKind::TruncatedFile | ProblemKind::Unreadable);
    info.packets > 0
        && info.first.is_some()
        && info.path != Path::new(STDIN)
        && matches!(info.backing, Backing::File | Backing::Spool(_))
        && !info.problems.iter().any(|problem| broken(problem.kind))
}

/// A file's name without what counts or dates it, and without the ending of a compression: the last file of a recording
/// that compresses the others is plain.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = [".gz", ".zst", ".zstd"].iter().find_map(|ending| name.strip_suffix(ending));
    plain.unwrap_or(&name).chars().filter(|c| !c.is_ascii_digit() && !"-_.:T ".contains(*c)).collect()
}

/// Whether the connections that are open at the end of a capture go on at the beginning of another one, without a byte
/// missing between.
fn goes_on(before: &CaptureFacts, after: &CaptureFacts) -> bool {
    let (Some(end), Some(start)) = (before.info.last, after.info.first) else { return false };
    if start.0 < end.0.saturating_sub(OVERLAP_NS) || before.info.link_types != after.info.link_types {
        return false;
    }
    let mut open = ByEnds::default();
    for flow in before.flows.iter().filter(|flow| flow.closing == Closing::Open) {
        open.insert((flow.client, flow.server), flow);
    }
    let (mut whole, mut torn) = (0, 0);
    for flow in after.flows.iter().filter(|flow| flow.opening == Opening::MidStream) {
        // Without its start, who is the client may have been guessed.
        let known = |one, other| open.get(&(one, other)).copied();
        let same = known(flow.client, flow.server).map(|before| (before, false));
        let same = same.or_else(|| known(flow.server, flow.client).map(|before| (before, true)));
        match same.and_then(|(before, is_turned)| is_next(before, flow, is_turned)) {
            Some(true) => whole += 1,
            Some(false) => torn += 1,
            None => {}
        }
    }
    whole > torn
}

/// Whether a connection goes on where it stopped; `None` where nothing tells.
fn is_next(before: &Flow, after: &Flow, is_turned: bool) -> Option<bool> {
    let mut known = None;
    for side in [Side::Client, Side::Server] {
        let there = if is_turned { side.peer() } else { side };
        if let (Some(end), Some(start)) = (end_of(before, side), start_of(after, there)) {
            let apart = seq_diff(start, end);
            // One number may be that of a FIN.
            known = Some(known.unwrap_or(true) && (-REPEATED..=1).contains(&apart));
        }
    }
    known
}

/// The number behind the last byte that a side sent.
fn end_of(flow: &Flow, side: Side) -> Option<u32> {
    flow.direction(side).end_seq.or(flow.direction(side.peer()).acked)
}

/// The number of the first byte that a side sent.
fn start_of(flow: &Flow, side: Side) -> Option<u32> {
    let sent = flow.direction(side);
    let len = sent.bytes.saturating_add(sent.missing_bytes).saturating_add(sent.cut_bytes);
    sent.end_seq.map(|end| end.wrapping_sub(len as u32))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::capture::testing::{Conversation, PcapBuilder};
    use crate::capture::{CaptureId, ExtentReader, Frame};
    use crate::load::{Progress, load};

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Writes one connection to several files: each gets what its part says, by the side that sends it.
    fn record(folder: &Path, files: &[File<'_>], pcapng: bool) -> Vec<std::path::PathBuf> {
        let mut ends = Conversation::new("10.0.0.1:40000", "10.0.0.2:80");
        let mut paths = Vec::new();
        for (place, (name, from, turns)) in files.iter().enumerate() {
            let mut file = if pcapng { PcapBuilder::new().pcapng() } else { PcapBuilder::new() };
            if place == 0 {
                ends.handshake(&mut file, *from);
            }
            for (turn, (side, text)) in turns.iter().enumerate() {
                let at = from + (1 + turn as i64) * SECOND / 1_000;
                match *side {
                    // Sent, and in no file.
                    2 => ends.next_seq[1] += text.len() as u32,
                    0 => ends.client(&mut file, at, text.as_bytes()),
                    _ => ends.server(&mut file, at, text.as_bytes()),
                }
            }
            paths.push(folder.join(name));
            std::fs::write(&paths[place], file.build()).unwrap();
        }
        paths
    }

    /// A side and what it sends.
    type Turn = (usize, &'static str);
    /// A file's name, when it begins, and what is in it.
    type File<'a> = (&'a str, i64, &'a [Turn]);

    const ASKED: Turn = (0, "GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
    const BEGUN: Turn = (1, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhalf-");
    const ENDED: Turn = (1, "and-the");

    #[test]
    fn what_one_recording_wrote_in_several_files_is_one_capture() {
        for pcapng in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let files: [File<'_>; 3] = [
                ("hop_00001_20261127.pcap", SECOND, &[ASKED, BEGUN]),
                ("hop_00002_20261127.pcap", 2 * SECOND, &[ENDED, ASKED, BEGUN]),
                ("hop_00003_20261128.pcap", 3 * SECOND, &[ENDED]),
            ];
            let mut paths = record(folder.path(), &files, pcapng);
            for path in &mut paths[..2] {
                let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                packed.write_all(&std::fs::read(&path).unwrap()).unwrap();
                std::fs::remove_file(&path).unwrap();
                path.as_mut_os_string().push(".gz");
                std::fs::write(path, packed.finish().unwrap()).unwrap();
            }
            paths.reverse();
            let captures = load(&paths, &Progress::default());
            let [facts] = &captures[..] else { panic!("{}", captures.len()) };
            paths.reverse();
            assert_eq!(facts.info.path, paths[0]);
            assert!(facts.exchanges.len() == 2 && facts.exchanges.iter().all(|x| x.response.is_complete()));
            assert_eq!((facts.info.packets, facts.flows.len()), (9, 1));
            let kinds: Vec<_> = facts.info.problems.iter().map(|p| (p.kind, p.count)).collect();
            assert_eq!(kinds, [(ProblemKind::JoinedFiles, 3)]);
            // Each packet has its number in its own file, and bytes are found there.
            let last = facts.exchanges[1].response.last_frame;
            assert_eq!((last, facts.info.place_of(last)), (9, (&*paths[2], 1)));
            assert_eq!(facts.info.place_of(5), (&*paths[0], 5));
            assert!(paths.iter().all(|path| facts.info.is_of(path)));
            let mut reader = ExtentReader::of(&facts.info).unwrap();
            for exchange in &facts.exchanges {
                let bytes = reader.read(&facts.extents(&exchange.response), 1_000).unwrap().bytes;
                assert!(bytes.ends_with(b"\r\n\r\nhalf-and-the"), "{}", bytes.escape_ascii());
            }
            let analysis = crate::analysis::analyse(captures, &crate::topology::Overrides::default());
            let place = analysis.place_of(Frame { capture: CaptureId(0), number: last });
            assert_eq!(place, ("hop_00003_20261128.pcap".to_owned(), 1));
            let report = crate::export::Report::new(&analysis, true);
            let frames = &report.exchanges.as_ref().unwrap()[1].response_frames;
            let frames: Vec<_> = frames.iter().map(|f| (&*f.capture, f.first, f.last)).collect();
            assert_eq!(frames, [("hop_00002_20261127.pcap.gz", 3, 3), ("hop_00003_20261128.pcap", 1, 1)]);
        }
    }

    #[test]
    fn a_snapshot_knows_all_files_of_a_recording() {
        use crate::session::{self, Session, Snapshot};
        let folder = tempfile::tempdir().unwrap();
        let files: [File<'_>; 2] =
            [("hop.pcap", SECOND, &[ASKED, BEGUN]), ("hop.pcap1", 2 * SECOND, &[ENDED])];
        let paths = record(folder.path(), &files, false);
        let captures = load(&paths, &Progress::default());
        let analysis = crate::analysis::analyse(captures, &crate::topology::Overrides::default());
        let saved = folder.path().join("night.ron");
        let open = || {
            let snapshot = Snapshot::of(&analysis, &Session::default(), &[]);
            session::open(snapshot, &saved, &[], crate::capture::Bodies::Kept, &Progress::default()).unwrap()
        };
        let opened = open();
        assert!(opened.held.is_none());
        assert_eq!(opened.analysis.captures[0].info.parts().len(), 2);
        std::fs::remove_file(&paths[1]).unwrap();
        let notes = open().held.unwrap().notes;
        assert!(
            notes.len() == 1 && notes[0].starts_with("hop.pcap1 (") && notes[0].contains("is gone, looked"),
            "{notes:?}"
        );
    }

    #[test]
    fn captures_that_do_not_go_on_in_each_other_stay_apart() {
        let apart = |files: [File<'_>; 2]| {
            let folder = tempfile::tempdir().unwrap();
            load(&record(folder.path(), &files, false), &Progress::default()).len()
        };
        let first: &[Turn] = &[ASKED, BEGUN];
        assert_eq!(apart([("hop1.pcap", SECOND, first), ("hop2.pcap", 2 * SECOND, &[ENDED])]), 1);
        // Another name, bytes missing between, at the same time, and nothing that goes on.
        assert_eq!(apart([("nginx.pcap", SECOND, first), ("uwsgi.pcap", 2 * SECOND, &[ENDED])]), 2);
        assert_eq!(
            apart([("hop1.pcap", SECOND, first), ("hop2.pcap", 2 * SECOND, &[(2, "and"), (1, "-the")])]),
            2
        );
        assert_eq!(apart([("hop1.pcap", 2 * SECOND, first), ("hop2.pcap", SECOND, &[ENDED])]), 2);
        assert_eq!(apart([("hop1.pcap", SECOND, first), ("hop2.pcap", 2 * SECOND, &[])]), 2);
    }
}
