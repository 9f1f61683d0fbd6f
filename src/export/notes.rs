//! The user's notes of a session, for the reports.

use std::fmt::Write;
use std::net::SocketAddr;

use serde::Serialize;

use super::report::rfc3339;
use super::text::{heading, one_line, paragraph};
use crate::analysis::{Analysis, ConnectionView, ExchangeView};
use crate::capture::{Frame, SessionTime};
use crate::session::{Annotation, Target};
use crate::topology::{ExchangeId, LaneId};

/// A note, and what it is about.
#[derive(Clone, Debug, Serialize)]
pub struct NoteReport {
    /// The user's words.
    pub text: String,
    /// `exchange`, `connection` or `moment`.
    pub about: &'static str,
    /// The same in words.
    pub target: String,
    /// When that began, RFC 3339.
    pub at: Option<String>,
    /// Its id, where it is an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangeId>,
    /// The lanes between which it is, and the connection's ends; not of a moment.
    #[serde(flatten)]
    pub place: Option<NotePlace>,
}

/// Where an exchange or a connection was seen.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct NotePlace {
    pub from: LaneId,
    pub to: LaneId,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub capture: String,
    pub frame: u32,
}

impl NoteReport {
    /// A note; `None` where what it is about is not in the analysis.
    fn new(analysis: &Analysis, note: &Annotation) -> Option<Self> {
        let (topology, text) = (&analysis.topology, note.text.clone());
        Some(match note.target {
            Target::Exchange(id) if (id.0 as usize) < topology.exchanges.len() => {
                let exchange = analysis.exchange(id);
                let frames =
                    exchange.frames(&exchange.raw.request).or(exchange.frames(&exchange.raw.response));
                let place = frames.map(|(first, _)| place(&exchange.connection(), first));
                let target = exchange_words(&exchange);
                Self {
                    text,
                    about: "exchange",
                    target,
                    at: time(exchange.started()),
                    exchange: Some(id),
                    place,
                }
            }
            Target::Connection(id) if (id.0 as usize) < topology.connections.len() => {
                let connection = analysis.connection(id);
                let place = Some(place(&connection, connection.frame(connection.flow().first.1)));
                let target = connection_words(&connection);
                let at = time(connection.inner.first);
                Self { text, about: "connection", target, at, exchange: None, place }
            }
            Target::Moment(moment) => {
                let (target, at) = ("a moment".to_owned(), time(moment));
                Self { text, about: "moment", target, at, exchange: None, place: None }
            }
            Target::Exchange(_) | Target::Connection(_) => return None,
        })
    }
}

/// The notes of a session, in the order they were made.
pub(super) fn notes(analysis: &Analysis, notes: &[Annotation]) -> Vec<NoteReport> {
    notes.iter().filter_map(|note| NoteReport::new(analysis, note)).collect()
}

/// The section of the text report.
pub(super) fn write_notes(analysis: &Analysis, all: &[Annotation], out: &mut String) {
    let all = notes(analysis, all);
    if all.is_empty() {
        return;
    }
    heading(out, &format!("Notes ({})", all.len()));
    for (at, note) in all.iter().enumerate() {
        paragraph(out, &format!("  {}. ", at + 1), &one_line(&note.text));
        let mut about = one_line(&note.target);
        if let Some(place) = &note.place {
            let _ = write!(about, ", {} frame {}", place.capture, place.frame);
        }
        if let Some(at) = &note.at {
            let _ = write!(about, ", {at}");
        }
        paragraph(out, "     ", &about);
    }
}

fn time(at: SessionTime) -> Option<String> {
    rfc3339(at.0)
}

fn place(connection: &ConnectionView<'_>, frame: Frame) -> NotePlace {
    let link = connection.analysis.link(connection.inner.link);
    let (capture, number) = connection.analysis.place_of(frame);
    NotePlace {
        from: link.from,
        to: link.to,
        client: connection.inner.client,
        server: connection.inner.server,
        capture,
        frame: number,
    }
}

/// `ingress → uwsgi, request 2 of :49760: POST /api/order/9668, rejected`.
fn exchange_words(exchange: &ExchangeView<'_>) -> String {
    let outcome = match exchange.status() {
        Some(status) if !exchange.outcome().is_failure() => status.to_string(),
        _ => exchange.outcome().name().to_owned(),
    };
    format!(
        "{}, request {} of :{}: {} {}, {outcome}",
        exchange.analysis.link_name(exchange.link_id()),
        exchange.raw.ordinal,
        exchange.connection().inner.client.port(),
        exchange.method(),
        exchange.target(),
    )
}

fn connection_words(connection: &ConnectionView<'_>) -> String {
    let inner = connection.inner;
    let link = connection.analysis.link_name(inner.link);
    format!("{link}, connection {} → {}", inner.client, inner.server)
}
