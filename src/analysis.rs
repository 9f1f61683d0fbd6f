//! The analysis across captures: a pure function of the facts and of what the user said about them.
//!
//! Window, report and exports read through the queries here, so that no two of them disagree on a number.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::capture::{CaptureId, CaptureTime, Frame, SessionTime, short_name};
use crate::correlate::{Parentage, Trees};
use crate::diagnose::words::{counted, grouped};
use crate::diagnose::{Diagnosis, Outcome, Rejection};
use crate::http::{CaptureFacts, Exchange, HeaderDigest, Message, SaidAside};
use crate::logs::{LogFile, LogLine};
use crate::stop::{Stop, Stopped};
use crate::tcp::{Closing, Event, EventKind, Flow, Opening, Side};
use crate::topology::{
    Connection, ConnectionId, ExchangeId, Lane, LaneId, Link, LinkId, Overrides, Topology,
};

/// Most different comments told of one exchange.
pub const MAX_COMMENTS: usize = 16;

/// Facts of all captures, and what follows from them.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// The captures, in the order given.
    pub captures: Vec<Arc<CaptureFacts>>,
    /// Clocks, connections, lanes, links.
    pub topology: Topology,
    /// Parents, children, attempts.
    pub trees: Trees,
    /// Outcomes, findings, retries.
    pub diagnosis: Diagnosis,
    /// The servers' logs given beside the captures.
    pub logs: Vec<Arc<LogFile>>,
    /// What [`Self::outermost_links`] found: the window asks in each frame.
    pub(crate) outermost: OnceLock<Vec<bool>>,
}

impl Analysis {
    /// The capture behind an id.
    pub fn capture(&self, id: CaptureId) -> &CaptureFacts {
        &self.captures[id.index()]
    }

    /// The file name of a capture, with as much of its path as tells it from the others.
    pub fn capture_name(&self, id: CaptureId) -> String {
        self.file_name(&self.capture(id).info.path)
    }

    /// The name of a file, with as much of its path as tells it from the others.
    fn file_name(&self, path: &Path) -> String {
        let infos = || self.captures.iter().map(|capture| &capture.info);
        let parts = infos().flat_map(|info| info.parts().iter().map(|part| part.path.as_path()));
        short_name(path, infos().map(|info| info.path.as_path()).chain(parts))
    }

    /// The name of the file that holds a packet, and the packet's number there.
    pub fn place_of(&self, frame: Frame) -> (String, u32) {
        let (path, number) = self.capture(frame.capture).info.place_of(frame.number);
        (self.file_name(path), number)
    }

    /// The lines of the logs that a finding explains, by its place among the findings.
    pub fn log_lines(&self, finding: usize) -> &[LogLine] {
        self.diagnosis.log_lines.get(finding).map(Vec::as_slice).unwrap_or_default()
    }

    /// Of how many cases of a finding there are log lines at most, where those are not all.
    pub fn log_cases(&self, finding: usize) -> Option<usize> {
        let told = self.diagnosis.findings.get(finding).filter(|_| !self.log_lines(finding).is_empty());
        told.and_then(crate::diagnose::log_cases)
    }

    /// How many log lines a finding has: `20 lines, 20 of 223 cases`.
    pub fn log_lines_words(&self, finding: usize) -> String {
        let lines = counted(self.log_lines(finding).len() as u64, "line");
        match (self.log_cases(finding), self.diagnosis.findings.get(finding)) {
            (Some(shown), Some(all)) => {
                format!("{lines}, {shown} of {} cases", grouped(all.count))
            }
            _ => lines,
        }
    }

    /// The file name of a log, by its place among the logs, with as much of its path as tells it from the others.
    pub fn log_name(&self, at: usize) -> String {
        short_name(&self.logs[at].path, self.logs.iter().map(|log| log.path.as_path()))
    }

    /// A capture's time, that of this packet, in session time.
    #[inline]
    pub fn session_time(&self, capture: CaptureId, at: CaptureTime, frame: u32) -> SessionTime {
        self.topology.clocks[capture.index()].session(at, frame)
    }

    /// The connection behind an id.
    #[inline]
    pub fn connection(&self, id: ConnectionId) -> ConnectionView<'_> {
        ConnectionView { analysis: self, id, inner: &self.topology.connections[id.0 as usize] }
    }

    /// The exchange behind an id.
    #[inline]
    pub fn exchange(&self, id: ExchangeId) -> ExchangeView<'_> {
        let key = self.topology.exchanges[id.0 as usize];
        let facts = &*self.captures[key.capture.index()];
        ExchangeView {
            analysis: self,
            id,
            capture: key.capture,
            facts,
            raw: &facts.exchanges[key.index as usize],
        }
    }

    /// All exchanges, grouped by connection.
    pub fn exchanges(&self) -> impl ExactSizeIterator<Item = ExchangeView<'_>> {
        (0..self.topology.exchanges.len() as u32).map(|i| self.exchange(ExchangeId(i)))
    }

    /// All connections.
    pub fn connections(&self) -> impl ExactSizeIterator<Item = ConnectionView<'_>> {
        (0..self.topology.connections.len() as u32).map(|i| self.connection(ConnectionId(i)))
    }

    /// The lane behind an id.
    pub fn lane(&self, id: LaneId) -> &Lane {
        &self.topology.lanes[usize::from(id.0)]
    }

    /// The link behind an id.
    pub fn link(&self, id: LinkId) -> &Link {
        &self.topology.links[usize::from(id.0)]
    }

    /// `ingress → uwsgi`.
    pub fn link_name(&self, id: LinkId) -> String {
        let link = self.link(id);
        format!("{} → {}", self.lane(link.from).name, self.lane(link.to).name)
    }

    /// By link: whether it is the first on the way from the users, as far as one can read. What reaches the lane that
    /// asks there carries no request that can be read (it is encrypted), or nothing reaches it.
    pub fn outermost_links(&self) -> &[bool] {
        self.outermost.get_or_init(|| self.find_outermost_links())
    }

    fn find_outermost_links(&self) -> Vec<bool> {
        let links = &self.topology.links;
        let any = |link: &Link, has: fn(&ConnectionView<'_>) -> bool| {
            link.connections.iter().any(|&id| has(&self.connection(id)))
        };
        let reads = |link: &Link| any(link, |connection| !connection.inner.exchanges.is_empty());
        let speaks = |link: &Link| {
            any(link, |connection| connection.flow().directions.iter().any(|direction| direction.bytes > 0))
        };
        let unread: Vec<bool> = links.iter().map(|link| !reads(link) && speaks(link)).collect();
        // Along unread links only, from the lanes that nobody calls.
        let mut outer: Vec<bool> = self.topology.lanes.iter().map(|lane| lane.depth == 0).collect();
        for _ in 0..links.len() {
            let before = outer.clone();
            for (at, outer) in outer.iter_mut().enumerate().filter(|(_, outer)| !**outer) {
                let mut into = links.iter().zip(&unread).filter(|(link, _)| usize::from(link.to.0) == at);
                *outer = into.all(|(link, unread)| *unread && before[usize::from(link.from.0)]);
            }
            if outer == before {
                break;
            }
        }
        links.iter().zip(unread).map(|(link, unread)| !unread && outer[usize::from(link.from.0)]).collect()
    }

    /// Who asks on the outermost links, for words such as "users saw 502": `users`, or `clients` where the lane that
    /// asks is a proxy by its requests, or one that passes hops by.
    pub fn askers(&self) -> &'static str {
        let asks =
            |link: &Link| link.connections.iter().any(|&id| !self.connection(id).inner.exchanges.is_empty());
        let links = self.topology.links.iter().zip(self.outermost_links());
        // Who only looks whether a port is open asks for nothing.
        let asking = links.filter(|(link, outermost)| **outermost && asks(link));
        let mut lanes = asking.map(|(link, _)| self.lane(link.from));
        if lanes.all(|lane| lane.users) { "users" } else { "clients" }
    }

    /// Requests on the outermost links.
    pub fn outermost_requests(&self) -> u64 {
        let links = self.outermost_links().iter().zip(&self.diagnosis.board.links);
        links.filter(|(outermost, _)| **outermost).map(|(_, figures)| figures.requests).sum()
    }

    /// What a capture says of a packet, in the order of the file: its comments.
    pub fn comments(&self, frame: Frame) -> impl Iterator<Item = &str> {
        let capture = self.captures.get(frame.capture.index());
        capture.into_iter().flat_map(move |capture| capture.info.comments.of(frame.number))
    }

    /// The host names that captures give an address, each once.
    pub fn host_names(&self, address: IpAddr) -> Vec<&str> {
        let of_capture = |capture: &'_ Arc<CaptureFacts>| {
            let names = &capture.info.host_names;
            let start = names.partition_point(|(known, _)| *known < address);
            start..start + names[start..].partition_point(|(known, _)| *known == address)
        };
        let mut names: Vec<&str> = Vec::new();
        for capture in &self.captures {
            for (_, name) in &capture.info.host_names[of_capture(capture)] {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// First and last packet of all captures in session time; `None` when there is no packet.
    pub fn time_range(&self) -> Option<(SessionTime, SessionTime)> {
        self.capture_spans().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// First and last packet, in session time, of each capture that has some.
    pub fn capture_spans(&self) -> impl Iterator<Item = (SessionTime, SessionTime)> + '_ {
        (0..self.captures.len() as u16).filter_map(|at| self.capture_span(CaptureId(at)))
    }

    /// How many connections the servers behind a lane refused, in words; `None` where they refused none.
    pub fn refused_behind(&self, lane: LaneId) -> Option<String> {
        let links = self.topology.links.iter().zip(&self.diagnosis.board.links);
        let behind = links.filter(|(link, _)| link.from == lane);
        let refused: u64 = behind.map(|(_, figures)| figures.refused_connections).sum();
        let were = if refused == 1 { "was" } else { "were" };
        let name = &self.lane(lane).name;
        (refused > 0).then(|| format!("Behind {name} {} {were} refused.", counted(refused, "connection")))
    }

    /// First and last packet of a capture in session time; `None` when there is no packet.
    pub fn capture_span(&self, id: CaptureId) -> Option<(SessionTime, SessionTime)> {
        if let Some(&Some(span)) = self.topology.spans.get(id.index()) {
            return Some(span);
        }
        let info = &self.capture(id).info;
        Some((self.session_time(id, info.first?, 1), self.session_time(id, info.last?, u32::MAX)))
    }
}

/// A connection with everything known about it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionView<'a> {
    /// The analysis that it is part of.
    pub analysis: &'a Analysis,
    /// Its id.
    pub id: ConnectionId,
    /// The connection itself.
    pub inner: &'a Connection,
}

impl<'a> ConnectionView<'a> {
    /// The capture of the best sighting.
    pub fn capture(&self) -> CaptureId {
        self.inner.sightings[0].capture
    }

    /// The best sighting.
    pub fn flow(&self) -> &'a Flow {
        let best = self.inner.sightings[0];
        self.analysis.captures[best.capture.index()].flow(best.flow)
    }

    /// The events of the best sighting, in capture order.
    pub fn events(&self) -> &'a [Event] {
        self.analysis.captures[self.capture().index()].events_of(self.flow())
    }

    /// Whether the first FIN or RST is a FIN of the server's.
    pub fn is_closed_by_server(&self) -> bool {
        let ends = |event: &&Event| matches!(event.kind, EventKind::Fin | EventKind::Rst);
        let first = self.events().iter().find(ends);
        first.is_some_and(|event| event.kind == EventKind::Fin && event.from == Side::Server)
    }

    /// Whether the client sent something, and no exchange of it can be read: it may have been any request.
    pub fn carries_unread(&self) -> bool {
        self.inner.exchanges.is_empty() && self.flow().direction(Side::Client).sent_bytes() > 0
    }

    /// From when to when it may have been open: one that began before its capture, or that nobody closed, also while no
    /// packet of it was seen.
    pub fn open_span(&self) -> (SessionTime, SessionTime) {
        let began = self.flow().opening == Opening::MidStream;
        let ends = |event: &Event| matches!(event.kind, EventKind::Fin | EventKind::Rst);
        let open = !self.events().iter().any(ends);
        let from = if began { SessionTime(i64::MIN) } else { self.inner.first };
        (from, if open { SessionTime(i64::MAX) } else { self.inner.last })
    }

    /// Whether the snap length left no request to read of what the client sent.
    pub fn is_cut_off(&self) -> bool {
        let flow = self.flow();
        let is_read = flow.wire.tls.is_some() || flow.wire.hand_over.is_some();
        let is_cut = flow.direction(Side::Client).cut_bytes > 0;
        is_cut && !is_read && self.exchanges().all(|exchange| !exchange.raw.request.is_present())
    }

    /// Its exchanges in order.
    pub fn exchanges(&self) -> impl ExactSizeIterator<Item = ExchangeView<'a>> + use<'a> {
        // They lie in one piece: none need be looked up by itself.
        let (analysis, capture, range) = (self.analysis, self.capture(), self.inner.exchanges.clone());
        let facts = analysis.capture(capture);
        let first = analysis.topology.exchanges.get(range.start as usize).map_or(0, |key| key.index as usize);
        let all = facts.exchanges.get(first..first + range.len()).unwrap_or_default();
        let view = move |(raw, id)| ExchangeView { analysis, id: ExchangeId(id), capture, facts, raw };
        all.iter().zip(range).map(view)
    }

    /// The exchange of this place on the connection, where it is known.
    pub fn exchange_at(&self, ordinal: u32) -> Option<ExchangeView<'a>> {
        let flow = self.flow();
        let all = self.analysis.capture(self.capture()).exchanges_of(flow);
        let at = all.partition_point(|exchange| exchange.ordinal < ordinal);
        all.get(at).filter(|exchange| exchange.ordinal == ordinal)?;
        Some(self.analysis.exchange(ExchangeId(self.inner.exchanges.start + at as u32)))
    }

    /// A packet of the best sighting.
    pub fn frame(&self, number: u32) -> Frame {
        Frame { capture: self.capture(), number }
    }

    /// A time of the best sighting, that of this packet, in session time.
    pub fn time(&self, at: CaptureTime, frame: u32) -> SessionTime {
        self.analysis.session_time(self.capture(), at, frame)
    }
}

/// An exchange with everything known about it.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeView<'a> {
    /// The analysis that it is part of.
    pub analysis: &'a Analysis,
    /// Its id.
    pub id: ExchangeId,
    /// The capture that it is read from.
    pub capture: CaptureId,
    /// That capture's facts.
    pub facts: &'a CaptureFacts,
    /// The facts of the exchange.
    pub raw: &'a Exchange,
}

impl<'a> ExchangeView<'a> {
    /// The request's method; `?` when the request was not captured.
    pub fn method(&self) -> &'a str {
        self.facts.method(self.raw.method)
    }

    /// The request target as sent.
    pub fn target(&self) -> Cow<'a, str> {
        self.facts.text(self.raw.target)
    }

    /// The `Host` of the request.
    pub fn host(&self) -> Option<&'a str> {
        self.raw.host.map(|id| self.facts.name(id))
    }

    /// The response's status.
    pub fn status(&self) -> Option<u16> {
        self.raw.status.map(std::num::NonZeroU16::get)
    }

    /// The request's header digests.
    pub fn headers(&self) -> &'a [HeaderDigest] {
        self.facts.headers(self.raw)
    }

    /// The digest of the request header of this (lower-case) name, where there is one.
    pub fn header(&self, name: &str) -> Option<u64> {
        let id = self.facts.find_name(name)?;
        self.headers().iter().find(|digest| digest.name() == id).map(|digest| digest.value())
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.analysis.diagnosis.outcomes.get(self.id.0 as usize).copied().unwrap_or(Outcome::Unknown)
    }

    /// Whether it failed: no whole answer, or a status of 500 and above.
    pub fn is_failure(&self) -> bool {
        self.outcome().is_failure() || self.status().is_some_and(|status| status >= 500)
    }

    /// How it was rejected, when it was.
    pub fn rejection(&self) -> Option<&'a Rejection> {
        let all = &self.analysis.diagnosis.rejections;
        all.binary_search_by_key(&self.id, |r| r.exchange).ok().map(|at| &all[at])
    }

    /// Its connection's id.
    pub fn connection_id(&self) -> ConnectionId {
        self.analysis.topology.connection_of[self.id.0 as usize]
    }

    /// Its connection.
    pub fn connection(&self) -> ConnectionView<'a> {
        self.analysis.connection(self.connection_id())
    }

    /// Its link.
    pub fn link_id(&self) -> LinkId {
        self.connection().inner.link
    }

    /// First byte of the request (of the response, when the request was not captured).
    pub fn started(&self) -> SessionTime {
        let first = if self.raw.request.is_present() { &self.raw.request } else { &self.raw.response };
        self.analysis.session_time(self.capture, first.start, first.first_frame)
    }

    /// Last byte seen of the response, or of the request when there was no response.
    pub fn ended(&self) -> SessionTime {
        let last = if self.raw.response.is_seen() { &self.raw.response } else { &self.raw.request };
        self.analysis.session_time(self.capture, last.end, last.last_frame)
    }

    /// The client's FIN or RST, where it came before the response, and the response was then reset unread: the
    /// server answered nobody.
    pub fn left_before_response(&self) -> Option<&'a Event> {
        self.facts.left_before_response(self.connection().flow(), self.raw)
    }

    /// The client's FIN or RST, where it came before all of the response had.
    pub fn left_unheard(&self) -> Option<&'a Event> {
        self.facts.left_unheard(self.connection().flow(), self.raw)
    }

    /// The moment when its fate was known: when the client left, where it left before the response was whole; else the
    /// response's end, else its connection's FIN or RST after the request (where the response lies in a hole the end of what
    /// was seen), else the capture's end where it still waits then, else the request's end.
    pub fn settled(&self) -> SessionTime {
        self.settled_by(|request_end| {
            let after = |event: &&Event| {
                event.frame > request_end && matches!(event.kind, EventKind::Rst | EventKind::Fin)
            };
            let event = self.connection().events().iter().find(after)?;
            Some(self.analysis.session_time(self.capture, event.at, event.frame))
        })
    }

    /// [`settled`](Self::settled) for one that has its connection's FINs and RSTs at hand: `closed_after` gives the
    /// time of the first behind a frame.
    pub fn settled_by(&self, closed_after: impl FnOnce(u32) -> Option<SessionTime>) -> SessionTime {
        if let Some(end) = self.left_unheard() {
            return self.analysis.session_time(self.capture, end.at, end.frame);
        }
        if self.raw.response.is_seen() {
            return self.ended();
        }
        let closed = closed_after(self.raw.request.last_frame);
        if self.raw.response.is_present() {
            // It lay in a hole: whenever it came, the connection was there.
            return closed.unwrap_or_else(|| self.connection().inner.last).max(self.ended());
        }
        closed.or_else(|| self.waits_until()).unwrap_or_else(|| self.ended())
    }

    /// The end of the capture, where it still waited for its answer then.
    pub fn waits_until(&self) -> Option<SessionTime> {
        let connection = self.connection();
        let last = self.id.0 + 1 == connection.inner.exchanges.end;
        let waits = last && !self.raw.response.is_present() && connection.flow().closing == Closing::Open;
        self.analysis.capture_span(self.capture).filter(|_| waits).map(|(_, end)| end)
    }

    /// From the request's first byte to the response's last, in nanoseconds; `None` without a response.
    pub fn latency_ns(&self) -> Option<i64> {
        let whole = self.raw.request.is_seen() && self.raw.response.is_seen();
        whole.then(|| self.ended().since_ns(self.started()))
    }

    /// The request that caused it, where that was found.
    pub fn parentage(&self) -> Option<&'a Parentage> {
        self.analysis.trees.parent(self.id)
    }

    /// What the capture says of its packets: each text once, with the first packet that has it, up to
    /// [`MAX_COMMENTS`] of them.
    pub fn comments(&self) -> Vec<(Frame, &'a str)> {
        let mut found: Vec<(Frame, &'a str)> = Vec::new();
        let comments = &self.facts.info.comments;
        if comments.is_empty() {
            return found;
        }
        for message in [&self.raw.request, &self.raw.response] {
            for extent in self.facts.extents(message) {
                for text in comments.of(extent.frame) {
                    if found.len() < MAX_COMMENTS && found.iter().all(|(_, known)| *known != text) {
                        found.push((Frame { capture: self.capture, number: extent.frame }, text));
                    }
                }
            }
        }
        found
    }

    /// What the application wrote beside its answer (FastCGI's STDERR).
    pub fn aside(&self) -> impl Iterator<Item = &'a SaidAside> + use<'a> {
        let (ordinal, all) = (self.raw.ordinal, &self.facts.flow(self.raw.flow).wire.aside);
        let start = all.partition_point(|said| said.ordinal < ordinal);
        all[start..].iter().take_while(move |said| said.ordinal == ordinal)
    }

    /// First and last packet of a message of this exchange; `None` when it was not seen.
    pub fn frames(&self, message: &Message) -> Option<(Frame, Frame)> {
        let frame = |number| Frame { capture: self.capture, number };
        message.is_seen().then(|| (frame(message.first_frame), frame(message.last_frame)))
    }
}

/// Analyses the captures: topology, then correlation, then verdicts.
pub fn analyse(captures: Vec<Arc<CaptureFacts>>, overrides: &Overrides) -> Analysis {
    analyse_with_logs(captures, Vec::new(), overrides)
}

/// As [`analyse`], with logs of the servers beside the captures, or in place of them.
pub fn analyse_with_logs(
    captures: Vec<Arc<CaptureFacts>>,
    logs: Vec<Arc<LogFile>>,
    overrides: &Overrides,
) -> Analysis {
    analyse_unless(captures, logs, overrides, Stop::NEVER).unwrap_or_default()
}

/// As [`analyse_with_logs`], until it is stopped: it asks between any two of its passes over the exchanges.
///
/// # Errors
/// When it was stopped.
pub fn analyse_unless(
    captures: Vec<Arc<CaptureFacts>>,
    logs: Vec<Arc<LogFile>>,
    overrides: &Overrides,
    stop: Stop<'_>,
) -> Result<Analysis, Stopped> {
    let mut analysis = Analysis { captures, logs, ..Analysis::default() };
    analysis.topology = crate::topology::build_unless(&analysis.captures, overrides, stop)?;
    analysis.trees = crate::correlate::build_unless(&analysis, stop)?;
    analysis.diagnosis = crate::diagnose::build_unless(&analysis, stop)?;
    Ok(analysis)
}
