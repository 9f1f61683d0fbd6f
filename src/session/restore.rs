//! A snapshot and its captures brought together again: where the files are, and what the notes are about now.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::file::{FileCapture, FileConnection, FileExchange, FileFinding};
use super::{Selection, Session, Snapshot, Target, reduced};
use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::{CaptureId, short_name};
use crate::http::CaptureFacts;
use crate::logs::{LogFile, LogFormat, read_log};
use crate::topology::{ConnectionId, ExchangeId, LaneOverride, Overrides, Remark, RemarkKind};

/// Whether a capture of a snapshot is still what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureState {
    /// Size and SHA-256 agree (the size alone, where the snapshot knows no SHA-256).
    Present,
    /// A file is there and differs.
    Changed,
    /// No file can be read there.
    Missing,
}

/// A capture of a snapshot, looked for on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// What was found.
    pub state: CaptureState,
    /// Where: the path given at the time, or the file beside the session file.
    pub path: PathBuf,
    /// The files behind it, where one recording was written to several.
    pub parts: Vec<PathBuf>,
    /// What to tell the user, file name first; empty when all is well.
    pub note: String,
}

/// Where an exchange of the snapshot was, in terms that outlive the analysis.
struct Sought<'a> {
    place: u32,
    connection: &'a FileConnection,
    exchange: &'a FileExchange,
}

/// A way to tell that a capture of the snapshot is the one loaded.
type SameCapture = fn(&FileCapture, &CaptureFacts) -> bool;

fn name(path: &Path) -> Option<&std::ffi::OsStr> {
    path.file_name()
}

impl Snapshot {
    /// Looks for the captures: at the paths given, then beside `base` (the session file's folder), as [`places`]
    /// tells. `fingerprint` reads a file's size and SHA-256; it is only asked where the size agrees.
    pub fn locate(
        &self,
        base: &Path,
        mut fingerprint: impl FnMut(&Path) -> io::Result<(u64, String)>,
    ) -> Vec<Located> {
        let all = || self.file.captures.iter();
        let name = |own: &FileCapture| {
            short_name(Path::new(&own.path), all().map(|capture| Path::new(capture.path.as_str())))
        };
        let located = |capture: &FileCapture| {
            let mut first = locate(capture, &name(capture), base, &mut fingerprint);
            for part in &capture.parts {
                let file = FileCapture { path: part.path.clone(), size: part.size, ..FileCapture::default() };
                let name = Path::new(&part.path).file_name().unwrap_or_default().to_string_lossy();
                let part = locate(&file, &name, base, &mut fingerprint);
                first.parts.push(part.path);
                // One that is not as it was is told: the others are of no use without it.
                if first.state == CaptureState::Present {
                    (first.state, first.note) = (part.state, part.note);
                }
            }
            first
        };
        all().map(located).collect()
    }

    /// Takes lanes for those it was saved with; none keep these.
    pub fn take_lanes(&mut self, lanes: &[LaneOverride]) {
        if !lanes.is_empty() {
            self.file.overrides.lanes = lanes.to_vec();
        }
    }

    /// What the user said about the chain, for captures loaded anew: their order may be another one now.
    pub fn overrides(&self, captures: &[Arc<CaptureFacts>]) -> Overrides {
        let matched = self.match_captures(captures);
        let mut overrides = self.file.overrides.clone();
        let moved = |&(at, ns): &(u16, i64)| Some((matched.get(usize::from(at)).copied().flatten()?.0, ns));
        overrides.clock_ns = self.file.overrides.clock_ns.iter().filter_map(moved).collect();
        overrides.clock_ns.sort_unstable();
        overrides
    }

    /// The session for an analysis of the captures loaded anew, and in words whatever no longer fits. A note whose
    /// target is not found stays in the session, at the moment where that was.
    pub fn restore(&self, analysis: &Analysis) -> (Session, Vec<String>) {
        let mut unresolved = Vec::new();
        let (old, old_session) = reduced::analysis(&self.file);
        let matched = self.match_captures(&analysis.captures);
        let exchanges = self.find_exchanges(analysis, &matched);
        let connections = self.find_connections(analysis, &matched);
        let mut session = old_session.clone();
        session.overrides = self.overrides(&analysis.captures);
        for note in &mut session.annotations {
            let (found, was, moment) = match note.target {
                Target::Exchange(id) => {
                    let view = old.exchange(id);
                    let found = exchanges[id.0 as usize].map(Target::Exchange);
                    (found, describe_exchange(view), view.started())
                }
                Target::Connection(id) => {
                    let view = old.connection(id);
                    let found = connections[id.0 as usize].map(Target::Connection);
                    (found, describe_connection(view), view.inner.first)
                }
                Target::Moment(_) => continue,
            };
            note.target = found.unwrap_or_else(|| {
                unresolved
                    .push(format!("the note {:?} is about {was}, which is not there any more", note.text));
                Target::Moment(moment)
            });
        }
        session.selection = self.selection(&old_session.selection, analysis, &exchanges, &connections);
        let kept = &session.selection;
        let lost = [
            ("finding", old_session.selection.finding.is_some() && kept.finding.is_none()),
            ("connection", old_session.selection.connection.is_some() && kept.connection.is_none()),
            ("exchange", old_session.selection.exchange.is_some() && kept.exchange.is_none()),
        ];
        let gone = lost.iter().filter(|(_, is_lost)| *is_lost);
        unresolved.extend(gone.map(|(what, _)| format!("the selected {what} is not there any more")));
        (session, unresolved)
    }

    /// The logs that were given beside the captures, where they were or beside the session file, and in words those
    /// that are not there any more.
    pub fn read_logs(&self, base: &Path) -> (Vec<Arc<LogFile>>, Vec<String>) {
        let (mut logs, mut lost) = (Vec::new(), Vec::new());
        for (at, given) in self.file.logs.iter().map(Path::new).enumerate() {
            let format = self.file.log_formats.get(at).and_then(|text| LogFormat::new(text));
            match places(given, base)
                .into_iter()
                .filter(|path| path.is_file())
                .find_map(|path| read_log(&path, format.as_ref()).ok())
            {
                Some(log) => logs.push(Arc::new(log)),
                None => lost.push(format!("the log {} cannot be read any more", given.display())),
            }
        }
        (logs, lost)
    }

    /// Gives the findings of captures loaded anew the log lines that the snapshot holds for them, where no log of
    /// today has one.
    pub fn keep_log_lines(&self, analysis: &mut Analysis) {
        let mut lines = std::mem::take(&mut analysis.diagnosis.log_lines);
        lines.resize_with(analysis.diagnosis.findings.len(), Vec::new);
        for (at, sought) in self.file.findings.iter().enumerate().filter(|(_, f)| !f.log_lines.is_empty()) {
            if let Some(own) = self.find_finding(sought, at, analysis).and_then(|at| lines.get_mut(at))
                && own.is_empty()
            {
                own.clone_from(&sought.log_lines);
            }
        }
        analysis.diagnosis.log_lines = lines;
    }

    fn selection(
        &self,
        old: &Selection,
        analysis: &Analysis,
        exchanges: &[Option<ExchangeId>],
        connections: &[Option<ConnectionId>],
    ) -> Selection {
        let connection = old.connection.and_then(|id| connections[id.0 as usize]);
        Selection {
            finding: old.finding.and_then(|at| self.find_finding(&self.file.findings[at], at, analysis)),
            connection,
            exchange: old.exchange.and_then(|id| exchanges[id.0 as usize]),
            step: old.step.filter(|_| connection.is_some()),
            cursor: old.cursor,
        }
    }

    fn find_finding(&self, sought: &FileFinding, at: usize, analysis: &Analysis) -> Option<usize> {
        let old_link = sought.link.map(|link| {
            let link = &self.file.links[usize::from(link)];
            let name = |lane: u16| &self.file.lanes[usize::from(lane)].name;
            format!("{} → {}", name(link.from), name(link.to))
        });
        let findings = &analysis.diagnosis.findings;
        let same = |&at: &usize| {
            let found = &findings[at];
            found.kind == sought.kind
                && found.cause == sought.cause
                && found.link.map(|link| analysis.link_name(link)) == old_link
        };
        // Several findings may agree in all that; the one at the same place is then the likeliest.
        Some(at).filter(|&at| at < findings.len()).into_iter().chain(0..findings.len()).find(same)
    }

    /// The capture now loaded for each of the snapshot: the same path, else the same name and size, else the name.
    fn match_captures(&self, captures: &[Arc<CaptureFacts>]) -> Vec<Option<CaptureId>> {
        let mut matched = vec![None; self.file.captures.len()];
        let mut taken = vec![false; captures.len()];
        let same: [SameCapture; 3] = [
            |old, new| Path::new(&old.path) == new.info.path,
            |old, new| {
                name(Path::new(&old.path)) == name(&new.info.path) && old.size == new.info.first_bytes()
            },
            |old, new| name(Path::new(&old.path)) == name(&new.info.path),
        ];
        for same in same {
            for (old, found) in self.file.captures.iter().zip(&mut matched).filter(|(_, m)| m.is_none()) {
                let at = (0..captures.len()).find(|&at| !taken[at] && same(old, &captures[at]));
                if let Some(at) = at {
                    taken[at] = true;
                    *found = Some(CaptureId(at as u16));
                }
            }
        }
        matched
    }

    fn find_exchanges(&self, analysis: &Analysis, captures: &[Option<CaptureId>]) -> Vec<Option<ExchangeId>> {
        let mut sought: HashMap<(SocketAddr, SocketAddr, u32), Vec<Sought<'_>>> = HashMap::new();
        let mut place = 0;
        for connection in &self.file.connections {
            for exchange in &connection.exchanges {
                let seq = exchange.request.or(exchange.response).map_or(0, |m| m.seq);
                let key = (connection.client, connection.server, seq);
                sought.entry(key).or_default().push(Sought { place, connection, exchange });
                place += 1;
            }
        }
        let mut found: Vec<(u8, Option<ExchangeId>)> = vec![(0, None); place as usize];
        for view in analysis.exchanges() {
            let connection = view.connection().inner;
            let first = if view.raw.request.is_present() { &view.raw.request } else { &view.raw.response };
            for candidate in
                sought.get(&(connection.client, connection.server, first.seq)).into_iter().flatten()
            {
                let likeness = candidate.likeness(view, captures);
                let best = &mut found[candidate.place as usize];
                if likeness > best.0 {
                    *best = (likeness, Some(view.id));
                }
            }
        }
        found.into_iter().map(|(_, id)| id).collect()
    }

    fn find_connections(
        &self,
        analysis: &Analysis,
        captures: &[Option<CaptureId>],
    ) -> Vec<Option<ConnectionId>> {
        let mut sought: HashMap<(SocketAddr, SocketAddr), Vec<(usize, &FileConnection)>> = HashMap::new();
        for (place, connection) in self.file.connections.iter().enumerate() {
            sought.entry((connection.client, connection.server)).or_default().push((place, connection));
        }
        let mut found = vec![(0, None); self.file.connections.len()];
        for view in analysis.connections() {
            let key = (view.inner.client, view.inner.server);
            for &(place, connection) in sought.get(&key).into_iter().flatten() {
                let likeness = connection_likeness(connection, view, captures);
                if likeness > found[place].0 {
                    found[place] = (likeness, Some(view.id));
                }
            }
        }
        found.into_iter().map(|(_, id)| id).collect()
    }
}

impl Sought<'_> {
    /// How well an exchange of the same addresses and sequence number fits: 0 not at all. Ports and sequence
    /// numbers come again in time, so its packet or its time must agree too.
    fn likeness(&self, view: ExchangeView<'_>, captures: &[Option<CaptureId>]) -> u8 {
        let (message, other) = if view.raw.request.is_present() {
            (&view.raw.request, self.exchange.request)
        } else {
            (&view.raw.response, self.exchange.response)
        };
        let Some(other) = other else { return 0 };
        let same_capture = captures[usize::from(self.connection.capture)] == Some(view.capture);
        let frame = same_capture && message.first_frame == other.frames.0;
        let time = same_capture && message.start.0 == other.start;
        // Another capture of the same packet, when the first one is not loaded: its clock may be a little off.
        let near = !same_capture && message.start.0.abs_diff(other.start) < NEAR_NS;
        u8::from(frame) * 4 + u8::from(time) * 2 + u8::from(near)
    }
}

/// Two sightings of one packet by different captures lie this close, in nanoseconds.
const NEAR_NS: u64 = 5_000_000_000;

fn connection_likeness(old: &FileConnection, new: ConnectionView<'_>, captures: &[Option<CaptureId>]) -> u8 {
    let flow = new.flow();
    let isn = old.from_client.isn;
    if isn.is_some() && flow.directions[0].isn.is_some() && isn != flow.directions[0].isn {
        return 0;
    }
    let same_capture = captures[usize::from(old.capture)] == Some(new.capture());
    let frame = same_capture && flow.first.1 == old.first.1;
    let time = same_capture && flow.first.0.0 == old.first.0;
    let near =
        isn.is_some() && isn == flow.directions[0].isn && flow.first.0.0.abs_diff(old.first.0) < NEAR_NS;
    u8::from(frame) * 4 + u8::from(time) * 2 + u8::from(near)
}

fn describe_exchange(view: ExchangeView<'_>) -> String {
    let mut target: String = view.target().chars().take(80).collect();
    if target.len() < view.target().len() {
        target.push('…');
    }
    format!(
        "{} {target} of {} (frame {} of {})",
        view.method(),
        view.connection().inner.client,
        if view.raw.request.is_present() {
            view.raw.request.first_frame
        } else {
            view.raw.response.first_frame
        },
        view.analysis.capture_name(view.capture),
    )
}

fn describe_connection(view: ConnectionView<'_>) -> String {
    let name = view.analysis.capture_name(view.capture());
    format!(
        "the connection {} → {} (frame {} of {name})",
        view.inner.client,
        view.inner.server,
        view.flow().first.1
    )
}

/// How many folders of a path are looked for beside a session file.
const MAX_FOLDERS: usize = 16;

/// Where a file may be: at the path given, or as it lay beside the session file, with which it may have been sent to
/// somebody else: by the end of its path, as long as can be (captures of several hops often have one name), below
/// `base`, then below the folder of that, where a folder's name must agree.
fn places(given: &Path, base: &Path) -> Vec<PathBuf> {
    let mut places = vec![given.to_owned()];
    let names: Vec<_> = given.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
    let longest = names.len().min(MAX_FOLDERS);
    let below = |folder: &Path, least: usize| -> Vec<PathBuf> {
        let ends = (least..=longest).rev().map(|count| &names[names.len() - count..]);
        ends.map(|end| folder.join(end.iter().collect::<PathBuf>())).collect()
    };
    places.extend(below(&base, 1));
    places.extend(base.parent().into_iter().flat_map(|above| below(above, 2)));
    places
}

fn locate(
    capture: &FileCapture,
    name: &str,
    base: &Path,
    fingerprint: &mut impl FnMut(&Path) -> io::Result<(u64, String)>,
) -> Located {
    let given = PathBuf::from(&capture.path);
    let mut changed = None;
    for path in places(&given, base) {
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if !metadata.is_file() {
            continue;
        }
        let difference = if metadata.len() != capture.size {
            Some(size_change(capture.size, metadata.len()))
        } else if capture.sha256.is_empty() {
            None
        } else {
            match fingerprint(&path) {
                Ok((_, sha256)) if sha256 == capture.sha256 => None,
                Ok(_) => Some("has other content (its SHA-256 differs)".to_owned()),
                Err(error) => Some(format!("cannot be read: {error}")),
            }
        };
        match difference {
            None => {
                return Located {
                    state: CaptureState::Present,
                    path,
                    parts: Vec::new(),
                    note: String::new(),
                };
            }
            Some(text) => {
                changed.get_or_insert((path, text));
            }
        }
    }
    match changed {
        Some((path, text)) => {
            let note = format!("{name} {text}: {}", path.display());
            Located { state: CaptureState::Changed, path, parts: Vec::new(), note }
        }
        None => {
            let note = format!("{}, looked for at {}", gone(capture, name), given.display());
            Located { state: CaptureState::Missing, path: given, parts: Vec::new(), note }
        }
    }
}

fn gone(capture: &FileCapture, name: &str) -> String {
    let hash: String = capture.sha256.chars().take(12).collect();
    let hash = if hash.is_empty() { String::new() } else { format!(", sha256 {hash}…") };
    format!("{name} ({}{hash}) is gone", size(capture.size))
}

impl Snapshot {
    /// What to tell the user who opens the snapshot without its captures: a line for each that is not as it was,
    /// then how much is shown.
    pub fn missing(&self, located: &[Located]) -> Vec<String> {
        let mut lines: Vec<String> =
            located.iter().filter(|l| !l.note.is_empty()).map(|l| l.note.clone()).collect();
        let (all, held) = self.exchange_counts();
        lines.push(format!("showing {} of {} exchanges", grouped(held), grouped(all)));
        lines
    }
}

/// `was 2.1 MB and is now 3.4 MB`; in bytes where that looks the same.
fn size_change(was: u64, is: u64) -> String {
    let (mut before, mut after) = (size(was), size(is));
    if before == after {
        (before, after) = (format!("{} bytes", grouped(was)), format!("{} bytes", grouped(is)));
    }
    format!("was {before} and is now {after}")
}

impl Snapshot {
    /// The remark for a report on the snapshot alone: `None` where all captures are as they were.
    pub fn remark(&self, located: &[Located]) -> Option<Remark> {
        let off = located.iter().zip(0..).filter(|(located, _)| located.state != CaptureState::Present);
        let captures: Vec<CaptureId> = off.map(|(_, at)| CaptureId(at)).collect();
        if captures.is_empty() {
            return None;
        }
        let detail = format!(
            "This report is of the session file alone: {}. Figures and findings are those of the captures as they were.",
            self.missing(located).join("; ")
        );
        Some(Remark { kind: RemarkKind::CapturesMissing, detail, captures })
    }
}

/// A size for people: `2.1 MB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A number with its thousands set off: `11,543`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
