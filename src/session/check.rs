//! Whether a session file makes sense: every place it names must be there, so that no query can go astray later.

use super::SnapshotError;
use super::file::{File, FileConnection, FileExchange, FileFinding, FileMessage, FileTarget};

/// The latest time by a capture's clock, in nanoseconds: the year 2106, where pcap's seconds end. With offsets
/// up to the next limit no difference between two times overflows.
const MAX_TIME_NS: i64 = 4_300_000_000_000_000_000;
/// The largest clock offset in nanoseconds: 69 years, as between a clock never set and one that is right.
pub const MAX_OFFSET_NS: i64 = 2_200_000_000_000_000_000;
/// How deep a request tree may be; no chain of hops comes near.
const MAX_DEPTH: usize = 60;
/// How many captures, lanes or links a file may have.
const MAX_LISTED: usize = 4_096;

struct Counts {
    captures: usize,
    lanes: usize,
    links: usize,
    connections: usize,
    exchanges: usize,
}

/// Checks a file.
pub(super) fn file(file: &File) -> Result<(), SnapshotError> {
    let counts = Counts {
        captures: file.captures.len(),
        lanes: file.lanes.len(),
        links: file.links.len(),
        connections: file.connections.len(),
        exchanges: file.connections.iter().map(|c| c.exchanges.len()).sum(),
    };
    for (what, count) in [("captures", counts.captures), ("lanes", counts.lanes), ("links", counts.links)] {
        if count > MAX_LISTED {
            return Err(content(format!("{count} {what}; the limit is {MAX_LISTED}")));
        }
    }
    for capture in &file.captures {
        capture.first.into_iter().chain(capture.last).try_for_each(time)?;
        capture.clock.as_ref().map_or(Ok(()), |clock| offset(clock.offset_ns))?;
        capture.links.iter().try_for_each(|&link| place("link", link, counts.links))?;
    }
    for link in &file.links {
        place("lane", link.from, counts.lanes)?;
        place("lane", link.to, counts.lanes)?;
    }
    for connection in &file.connections {
        check_connection(connection, &counts)?;
    }
    trees(file)?;
    for found in &file.findings {
        finding(found, &counts)?;
    }
    for remark in &file.remarks {
        remark.captures.iter().try_for_each(|capture| place("capture", capture.0, counts.captures))?;
    }
    for retries in &file.retries {
        optional("lane", retries.lane, counts.lanes)?;
    }
    for &(link, _) in &file.failures.origin {
        place("link", link, counts.links)?;
    }
    if file.board.links.len() > counts.links {
        return Err(content("more link figures than links"));
    }
    optional("link", file.board.boundary.map(|link| link.0), counts.links)?;
    for coverage in file.board.links.iter().filter_map(|figures| figures.coverage.as_ref()) {
        optional("link", Some(coverage.beside.0), counts.links)?;
    }
    user_state(file, &counts)
}

fn user_state(file: &File, counts: &Counts) -> Result<(), SnapshotError> {
    for note in &file.annotations {
        match note.target {
            FileTarget::Exchange(at) => place("exchange", at, counts.exchanges)?,
            FileTarget::Connection(at) => place("connection", at, counts.connections)?,
            FileTarget::Moment(at) => session_time(at)?,
        }
    }
    if let Some((start, end)) = file.view {
        session_time(start)?;
        session_time(end)?;
        if start >= end {
            return Err(content("the view ends before it starts"));
        }
    }
    file.overrides.clock_ns.iter().try_for_each(|&(_, ns)| offset(ns))?;
    let selection = &file.selection;
    if let Some(at) = selection.finding {
        place("finding", u32::try_from(at).unwrap_or(u32::MAX), file.findings.len())?;
    }
    optional("exchange", selection.exchange, counts.exchanges)?;
    optional("connection", selection.connection, counts.connections)?;
    selection.cursor.map_or(Ok(()), session_time)
}

fn finding(finding: &FileFinding, counts: &Counts) -> Result<(), SnapshotError> {
    optional("link", finding.link, counts.links)?;
    for &at in &finding.exchanges {
        place("exchange", at, counts.exchanges)?;
    }
    for &at in &finding.connections {
        place("connection", at, counts.connections)?;
    }
    for proof in &finding.evidence {
        place("capture", proof.capture, counts.captures)?;
        optional("exchange", proof.exchange, counts.exchanges)?;
        optional("connection", proof.connection, counts.connections)?;
    }
    Ok(())
}

fn check_connection(connection: &FileConnection, counts: &Counts) -> Result<(), SnapshotError> {
    place("capture", connection.capture, counts.captures)?;
    place("link", connection.link, counts.links)?;
    time(connection.first.0)?;
    time(connection.last.0)?;
    connection.events.iter().try_for_each(|event| time(event.at))?;
    connection.wire.iter().flat_map(super::wire::FileWire::times).try_for_each(time)?;
    for exchange in &connection.exchanges {
        check_exchange(exchange, counts)?;
    }
    Ok(())
}

fn check_exchange(exchange: &FileExchange, counts: &Counts) -> Result<(), SnapshotError> {
    if exchange.request.is_none() && exchange.response.is_none() {
        return Err(content("an exchange without request and response"));
    }
    for FileMessage { start, end, .. } in exchange.request.iter().chain(&exchange.response) {
        time(*start)?;
        time(*end)?;
    }
    optional("exchange", exchange.origin, counts.exchanges)?;
    optional("exchange", exchange.parent.as_ref().map(|p| p.exchange), counts.exchanges)
}

/// No exchange may be its own forebear.
fn trees(file: &File) -> Result<(), SnapshotError> {
    let parents: Vec<Option<u32>> = file
        .connections
        .iter()
        .flat_map(|c| &c.exchanges)
        .map(|x| x.parent.as_ref().map(|p| p.exchange))
        .collect();
    for start in 0..parents.len() {
        let mut at = start;
        let mut depth = 0;
        while let Some(parent) = parents[at] {
            (at, depth) = (parent as usize, depth + 1);
            if depth > MAX_DEPTH {
                return Err(content(format!("the request tree of exchange {start} has no root")));
            }
        }
    }
    Ok(())
}

fn place(what: &str, at: impl Into<u32>, count: usize) -> Result<(), SnapshotError> {
    let at = at.into();
    if (at as usize) < count {
        return Ok(());
    }
    Err(content(format!("{what} {at} is named and there are {count}")))
}

fn optional(what: &str, at: Option<impl Into<u32>>, count: usize) -> Result<(), SnapshotError> {
    at.map_or(Ok(()), |at| place(what, at, count))
}

/// A time by a capture's clock.
fn time(at: i64) -> Result<(), SnapshotError> {
    within(at, 0, MAX_TIME_NS)
}

/// A time after clock alignment.
fn session_time(at: i64) -> Result<(), SnapshotError> {
    within(at, -MAX_OFFSET_NS, MAX_TIME_NS + MAX_OFFSET_NS)
}

fn offset(ns: i64) -> Result<(), SnapshotError> {
    within(ns, -MAX_OFFSET_NS, MAX_OFFSET_NS)
}

fn within(ns: i64, low: i64, high: i64) -> Result<(), SnapshotError> {
    if (low..=high).contains(&ns) {
        return Ok(());
    }
    Err(content(format!("a time of {ns} ns is out of reach")))
}

fn content(reason: impl Into<String>) -> SnapshotError {
    SnapshotError::Content(reason.into())
}
