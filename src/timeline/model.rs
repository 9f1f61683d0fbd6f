//! The timeline's own picture of an analysis, made once: lanes, links, rows, spans with their flags.

use super::facts::{LaneFact, lane_fact};
use super::minimap::Minimap;
use super::pack::pack;
use super::row::{ConnectionSpan, Look, Row, Span, SpanFlags, Tick, TickKind};
use super::scale::Limits;
use super::summary::MarkLists;
use super::times;
use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::SessionTime;
use crate::diagnose::{Outcome, Severity};
use crate::http::Protocol;
use crate::session::TimeView;
use crate::tcp::{Closing, EventKind, Opening};
use crate::topology::{ConnectionId, ExchangeId, LaneId, LinkId};

/// A lane's band: what stands in its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneBand {
    /// The lane.
    pub lane: LaneId,
    /// Its name.
    pub name: String,
    /// Its addresses, with the port where it listens: `10.88.3.2:8000`.
    pub addresses: String,
    /// What is worth knowing of it in a few words.
    pub fact: LaneFact,
}

/// A link with its connections packed into rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkRows {
    /// The link.
    pub link: LinkIndex,
    /// `ingress → uwsgi`.
    pub name: String,
    /// The rows, from top to bottom.
    pub rows: Vec<Row>,
    /// Failed and rejected spans and retries of all rows, by start.
    pub notable: Vec<Span>,
    pub(super) notable_marks: MarkLists,
    /// Requests.
    pub requests: u32,
    /// Failed exchanges, the rejected included.
    pub failures: u32,
    /// Rejected exchanges.
    pub rejected: u32,
    /// Connections.
    pub connections: u32,
    /// Connections with two requests or more.
    pub reused: u32,
    /// Connections that the server closed after exactly one answered request.
    pub closed_after_one: u32,
}

/// A link's place among the topology's links.
pub type LinkIndex = usize;

/// Where an exchange or connection lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into [`Model::links`].
    pub link: u16,
    /// Index into [`LinkRows::rows`].
    pub row: u32,
}

/// Everything that the timeline shows, in session time.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The lanes from the user's side to the application's.
    pub lanes: Vec<LaneBand>,
    /// The links, in the topology's order.
    pub links: Vec<LinkRows>,
    /// For each lane the links that are drawn below its band: those from it.
    pub links_below: Vec<Vec<LinkIndex>>,
    pub(super) overview: Minimap,
    places: Vec<Place>,
    range: Option<(SessionTime, SessionTime)>,
    /// First and last moment of anything that is drawn.
    drawn: Option<(SessionTime, SessionTime)>,
    /// One for each time at which was recorded, where there are several.
    times: Vec<TimeView>,
}

impl Model {
    /// Makes the model. Costs time in proportion to the exchanges; frames then do not.
    pub fn new(analysis: &Analysis) -> Self {
        let marks = Marks::of(analysis);
        let mut places = vec![Place { link: 0, row: 0 }; analysis.topology.connections.len()];
        let links: Vec<LinkRows> = (0..analysis.topology.links.len())
            .map(|at| link_rows(analysis, at, &marks, &mut places))
            .collect();
        let links_below = (0..analysis.topology.lanes.len())
            .map(|lane| {
                let from = |&at: &LinkIndex| usize::from(analysis.topology.links[at].from.0) == lane;
                (0..links.len()).filter(from).collect()
            })
            .collect();
        let lanes = (0..analysis.topology.lanes.len())
            .map(|at| {
                let id = LaneId(at as u16);
                let lane = analysis.lane(id);
                LaneBand {
                    lane: id,
                    name: lane.name.clone(),
                    addresses: addresses(lane),
                    fact: lane_fact(analysis, &links, id),
                }
            })
            .collect();
        let range = whole_range(analysis);
        let drawn = drawn_range(&links);
        let mut model = Self { lanes, links, links_below, places, range, drawn, ..Self::default() };
        model.overview = Minimap::finest(&model);
        let rows = model.links.iter().flat_map(|l| &l.rows);
        model.times = times::views(analysis, rows, model.whole());
        model
    }

    /// The limits of zoom and pan.
    pub fn limits(&self) -> Limits {
        self.drawn.map_or(self.whole(), |(first, last)| self.whole().drawn(first, last))
    }

    /// All that was recorded.
    fn whole(&self) -> Limits {
        let (first, last) = self.range.unwrap_or((SessionTime(0), SessionTime(1_000_000_000)));
        Limits::new(first, last)
    }

    /// The view that shows what was recorded about a moment (`None`: first); `None` where all of it was at one time.
    pub fn view_at(&self, at: Option<SessionTime>) -> Option<TimeView> {
        let near = at.and_then(|at| self.times.iter().find(|view| at <= view.end));
        near.or(at.and(self.times.last())).or(self.times.first()).copied()
    }

    /// The view that shows all exchanges: idle time before the first and after the last is left out.
    pub fn fit(&self) -> TimeView {
        let rows = self.links.iter().flat_map(|l| &l.rows);
        let ends = rows.filter_map(|r| Some((r.spans.first()?.start, r.spans.last()?.end)));
        match ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) {
            Some((start, end)) => {
                let fit = Limits::new(SessionTime(start), SessionTime(end)).fit();
                self.limits().clamp(fit)
            }
            None => self.limits().fit(),
        }
    }

    /// Where a connection lies.
    pub fn place_of_connection(&self, id: ConnectionId) -> Option<Place> {
        self.places.get(id.0 as usize).copied()
    }

    /// Where an exchange lies, and its span.
    pub fn place_of(&self, analysis: &Analysis, id: ExchangeId) -> Option<(Place, Span)> {
        let connection = *analysis.topology.connection_of.get(id.0 as usize)?;
        let place = self.place_of_connection(connection)?;
        let row = self.row(place)?;
        // Spans of one connection are in the exchanges' order and those of a row one connection after the
        // other, so searching by the connection's own time finds the block to look through.
        let inner = &analysis.connection(connection).inner;
        let from = row.spans.partition_point(|s| s.end < inner.first.0);
        let block = row.spans.get(from..)?;
        let at = id.0.checked_sub(inner.exchanges.start)? as usize;
        let exact = block.get(at).filter(|s| s.exchange == id);
        exact.or_else(|| row.spans.iter().find(|s| s.exchange == id)).map(|&span| (place, span))
    }

    /// The row at a place.
    pub fn row(&self, place: Place) -> Option<&Row> {
        self.links.get(usize::from(place.link))?.rows.get(place.row as usize)
    }

    /// From the first to the last moment of the whole request that an exchange is part of.
    pub fn request_range(&self, analysis: &Analysis, id: ExchangeId) -> (SessionTime, SessionTime) {
        let tree = analysis.trees.tree(analysis.trees.root(id));
        let ends = tree.iter().filter_map(|&(id, _)| self.place_of(analysis, id));
        let whole = ends.map(|(_, s)| (s.start, s.end)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (start, end) = whole.unwrap_or((0, 0));
        (SessionTime(start), SessionTime(end))
    }
}

/// First to last moment, wide enough for everything that is drawn.
fn whole_range(analysis: &Analysis) -> Option<(SessionTime, SessionTime)> {
    let connections = analysis.connections().map(|c| (c.inner.first, c.inner.last));
    let all = analysis.time_range().into_iter().chain(connections);
    all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// From the first to the last moment in which a connection is drawn.
fn drawn_range(links: &[LinkRows]) -> Option<(SessionTime, SessionTime)> {
    let rows = links.iter().flat_map(|link| &link.rows);
    // Those of a row stand one after the other.
    let ends = rows.filter_map(|row| Some((row.connections.first()?.start, row.connections.last()?.end)));
    let (start, end) = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    Some((SessionTime(start), SessionTime(end)))
}

fn addresses(lane: &crate::topology::Lane) -> String {
    const SHOWN: usize = 3;
    let mut all: Vec<String> = lane.serves.iter().map(ToString::to_string).collect();
    let unserved = lane.addresses.iter().filter(|ip| !lane.serves.iter().any(|s| s.ip() == **ip));
    all.extend(unserved.map(ToString::to_string));
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    let text = all.join(" · ");
    if more > 0 { format!("{text} +{more}") } else { text }
}

/// Flags that need a look at the whole analysis.
struct Marks {
    finding: Vec<bool>,
}

impl Marks {
    fn of(analysis: &Analysis) -> Self {
        let mut finding = vec![false; analysis.topology.exchanges.len()];
        let errors = analysis.diagnosis.findings.iter().filter(|f| f.severity == Severity::Error);
        for id in errors.flat_map(|f| &f.exchanges) {
            if let Some(flag) = finding.get_mut(id.0 as usize) {
                *flag = true;
            }
        }
        Self { finding }
    }

    fn flags(&self, exchange: &ExchangeView<'_>) -> (SpanFlags, u16) {
        let mut flags = SpanFlags::default();
        let attempt = exchange.attempt();
        if attempt > 1 {
            flags.set(SpanFlags::RETRY);
        } else if exchange.attempts() > 1 {
            flags.set(SpanFlags::RETRIED);
        }
        if self.finding.get(exchange.id.0 as usize).copied().unwrap_or(false) {
            flags.set(SpanFlags::FINDING);
        }
        if exchange.raw.ordinal > 1 {
            flags.set(SpanFlags::REUSED);
        }
        (flags, attempt)
    }
}

/// How an exchange is drawn.
fn look(exchange: &ExchangeView<'_>) -> Look {
    match exchange.outcome() {
        Outcome::Rejected => Look::Rejected,
        Outcome::NoResponse => Look::NoResponse,
        Outcome::Aborted | Outcome::TimedOut if exchange.status().is_none() => Look::NoResponse,
        Outcome::Truncated | Outcome::Aborted | Outcome::TimedOut => Look::Failed,
        _ if exchange.status().is_some_and(|s| s >= 500) => Look::Failed,
        Outcome::Complete => Look::Answered,
        Outcome::Unknown => Look::Unknown,
    }
}

fn link_rows(analysis: &Analysis, at: LinkIndex, marks: &Marks, places: &mut [Place]) -> LinkRows {
    let id = LinkId(at as u16);
    let mut connections: Vec<ConnectionView<'_>> =
        analysis.link(id).connections.iter().map(|&c| analysis.connection(c)).collect();
    connections.sort_by_key(|c| (c.inner.first, c.id));
    let intervals: Vec<_> = connections.iter().map(extent).collect();
    let (row_of, count) = pack(&intervals);
    let mut out = LinkRows {
        link: at,
        name: analysis.link_name(id),
        rows: vec![Row::default(); count],
        connections: connections.len() as u32,
        ..LinkRows::default()
    };
    for (connection, &row) in connections.iter().zip(&row_of) {
        if let Some(place) = places.get_mut(connection.id.0 as usize) {
            *place = Place { link: at as u16, row: row as u32 };
        }
        add_connection(&mut out, row, connection, marks);
    }
    for row in &mut out.rows {
        row.settle();
    }
    let notable = |s: &&Span| {
        !matches!(s.look, Look::Answered | Look::Unknown)
            || s.flags.has(SpanFlags::RETRY)
            || s.flags.has(SpanFlags::RETRIED)
    };
    let notable = out.rows.iter().flat_map(|r| &r.spans).filter(notable).copied().collect();
    out.with_notable(notable)
}

impl LinkRows {
    /// With these notable spans, in any order.
    pub(super) fn with_notable(mut self, mut notable: Vec<Span>) -> Self {
        notable.sort_by_key(|s| (s.start, s.exchange));
        self.notable_marks = MarkLists::of(&notable);
        self.notable = notable;
        self
    }
}

fn add_connection(out: &mut LinkRows, row: usize, view: &ConnectionView<'_>, marks: &Marks) {
    let flow = view.flow();
    let row = &mut out.rows[row];
    let (start, end) = extent(view);
    row.connections.push(ConnectionSpan {
        id: view.id,
        start,
        end,
        port: view.inner.client.port(),
        opened: flow.opening != Opening::MidStream,
        closed: flow.closing != Closing::Open,
        refused: flow.opening == Opening::Refused,
        carries: match flow.protocol {
            Protocol::Tls => match flow.wire.tls.as_ref().and_then(|tls| tls.is_established()) {
                Some(false) => Some("TLS, unfinished"),
                Some(true) | None => Some("encrypted"),
            },
            Protocol::Http2 if view.inner.exchanges.is_empty() => Some("HTTP/2"),
            _ => None,
        },
    });
    let mut closers = Vec::new();
    for event in view.events() {
        let kind = match event.kind {
            EventKind::Fin => TickKind::Fin(event.from),
            EventKind::Rst => TickKind::Rst(event.from),
            _ => continue,
        };
        let at = view.time(event.at, event.frame);
        closers.push((event.frame, at));
        row.ticks.push(Tick { at: at.0, kind });
    }
    let closed_after = |frame: u32| closers.get(closers.partition_point(|c| c.0 <= frame)).map(|&(_, at)| at);
    let mut answered = 0;
    for exchange in view.exchanges() {
        let look = look(&exchange);
        let (flags, attempt) = marks.flags(&exchange);
        // As the board counts: an answer alone, whose request was not captured, is no request.
        out.requests += u32::from(exchange.raw.request.is_present());
        out.rejected += u32::from(look == Look::Rejected);
        out.failures += u32::from(exchange.is_failure());
        answered += u32::from(exchange.raw.response.is_present());
        let start = exchange.started().0;
        row.spans.push(Span {
            exchange: exchange.id,
            ordinal: exchange.raw.ordinal,
            start,
            end: exchange.settled_by(closed_after).0.max(start),
            look,
            flags,
            attempt,
        });
    }
    out.reused += u32::from(view.inner.exchanges.len() > 1);
    out.closed_after_one += u32::from(answered == 1 && view.is_closed_by_server());
}

/// From its first to its last packet, or to the capture's end where its last request still waits then.
fn extent(view: &ConnectionView<'_>) -> (i64, i64) {
    let exchanges = &view.inner.exchanges;
    let last = (!exchanges.is_empty()).then(|| view.analysis.exchange(ExchangeId(exchanges.end - 1)));
    let waits = last.and_then(|last| last.waits_until());
    (view.inner.first.0, waits.map_or(view.inner.last, |end| end.max(view.inner.last)).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::analyse;
    use crate::capture::Reader;
    use crate::capture::testing::{Conversation, PcapBuilder};
    use crate::http::load_from;
    use crate::timeline::sample;
    use crate::topology::Overrides;

    #[test]
    fn lanes_links_and_rows_come_in_the_topologys_order() {
        let model = Model::new(&sample::analysis(30, 10));
        let names: Vec<_> = model.lanes.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["user", "nginx", "ingress", "uwsgi"]);
        assert_eq!(model.links[2].name, "ingress → uwsgi");
        assert_eq!(model.links_below, [vec![0], vec![1], vec![2], vec![]]);
    }

    #[test]
    fn rejections_and_retries_are_flagged_on_their_spans() {
        let analysis = sample::analysis(30, 10);
        let model = Model::new(&analysis);
        let of = |link: usize| model.links[link].rows.iter().flat_map(|r| &r.spans).collect::<Vec<_>>();
        assert_eq!(of(2).iter().filter(|s| s.look == Look::Rejected).count(), 3);
        assert!(of(2).iter().filter(|s| s.look == Look::Rejected).all(|s| s.ordinal == 2));
        let retries = of(1).iter().filter(|s| s.flags.has(SpanFlags::RETRY)).count();
        let retried = of(1).iter().filter(|s| s.flags.has(SpanFlags::RETRIED)).count();
        assert!(retries > 0 && retries == retried);
        assert_eq!(model.links[2].notable.len(), 3);
    }

    #[test]
    fn every_exchange_is_found_at_its_place() {
        let analysis = sample::analysis(120, 10);
        let model = Model::new(&analysis);
        for exchange in analysis.exchanges() {
            let (place, span) = model.place_of(&analysis, exchange.id).unwrap();
            assert_eq!(span.exchange, exchange.id);
            assert!(model.row(place).unwrap().spans.contains(&span));
        }
    }

    #[test]
    fn a_rejected_span_lasts_until_the_reset() {
        let analysis = sample::analysis(30, 10);
        let model = Model::new(&analysis);
        let span = model.links[2].notable[0];
        assert!(span.end > span.start);
        assert_eq!(span.end, analysis.exchange(span.exchange).settled().0);
    }

    #[test]
    fn a_line_without_exchanges_says_what_it_carries() {
        let mut file = PcapBuilder::new();
        let hellos: [&[u8]; 3] = [
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ];
        for (hello, n) in hellos.into_iter().zip(0..) {
            let mut end = Conversation::new(&format!("10.0.0.1:{}", 4_000 + n), "10.0.0.2:80");
            end.handshake(&mut file, n * 1_000_000_000);
            end.client(&mut file, n * 1_000_000_000 + 50_000_000, hello);
        }
        let reader = Reader::new(std::io::Cursor::new(file.build()), None);
        let facts = load_from(reader, std::path::Path::new("mixed.pcap"), &mut |_| true);
        let model = Model::new(&analyse(vec![std::sync::Arc::new(facts)], &Overrides::default()));
        let mut lines: Vec<_> = model.links[0].rows.iter().flat_map(|row| &row.connections).collect();
        lines.sort_by_key(|line| line.port);
        let words: Vec<_> = lines.iter().map(|line| line.carries).collect();
        assert_eq!(words, [Some("TLS, unfinished"), Some("HTTP/2"), None]);
    }

    #[test]
    fn what_waits_when_the_capture_ends_is_drawn_until_then_and_alone_in_its_row() {
        const CONNECTIONS: i64 = 40;
        let mut file = PcapBuilder::new();
        for n in 0..CONNECTIONS {
            let mut end = Conversation::new(&format!("10.0.0.1:{}", 4_000 + n), "10.0.0.2:80");
            let at = n * 1_000_000_000;
            end.handshake(&mut file, at);
            end.client(&mut file, at + 50_000_000, b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let reader = Reader::new(std::io::Cursor::new(file.build()), None);
        let facts = load_from(reader, std::path::Path::new("waits.pcap"), &mut |_| true);
        let analysis = analyse(vec![std::sync::Arc::new(facts)], &Overrides::default());
        let end = analysis.time_range().unwrap().1.0;
        let model = Model::new(&analysis);
        assert_eq!(model.links[0].rows.len(), CONNECTIONS as usize);
        for row in &model.links[0].rows {
            assert_eq!((row.spans[0].end, row.connections[0].end), (end, end));
        }
    }

    #[test]
    fn everything_fits_without_the_idle_time_around_it() {
        let analysis = sample::analysis(30, 10);
        let mut model = Model::new(&analysis);
        let (first, last) = model.range.unwrap();
        model.range = Some((first, SessionTime(last.0 + 60_000_000_000)));
        let fit = model.fit();
        assert!(fit.end.since_ns(fit.start) < 1_000_000_000);
        assert!(analysis.exchanges().all(|x| x.started() >= fit.start && x.ended() <= fit.end));
    }

    #[test]
    fn an_analysis_of_nothing_makes_an_empty_model() {
        let model = Model::new(&Analysis::default());
        assert!(model.lanes.is_empty() && model.links.is_empty());
        assert!(model.limits().fit().end > model.limits().fit().start);
    }
}
