//! The table of connections: how each began and ended, and how many requests it carried.

use egui::{Align, Layout, RichText, Sense, Ui};
use egui_extras::{Column as Width, TableBuilder};

use super::table::nothing_ui;
use super::{Actions, Pane};
use crate::analysis::ConnectionView;
use crate::app::format::duration;
use crate::app::rows::Rows;
use crate::app::state::Action;
use crate::app::widgets::{is_remade, is_resized};
use crate::http::Protocol;
use crate::tcp::{Closing, Flow, Opening};
use crate::topology::ConnectionId;

const HEADS: [(&str, f32); 9] = [
    ("opened", 142.0),
    ("link", 122.0),
    ("client", 146.0),
    ("server", 136.0),
    ("protocol", 68.0),
    ("requests", 78.0),
    ("began", 104.0),
    ("ended", 90.0),
    ("lasted", 80.0),
];

/// Room for the bar beside the rows, in points.
const SCROLL_BAR: f32 = 14.0;

/// Draws the table of those that pass the filter; `scroll` brings the selected row into sight.
pub fn connections_ui(ui: &mut Ui, pane: &Pane<'_>, rows: &Rows, scroll: bool, out: &mut Actions) {
    let shown = rows.connections();
    if shown.is_some_and(<[_]>::is_empty) {
        return nothing_ui(ui, pane, rows, "connection", out);
    }
    let count = shown.map_or(pane.analysis.topology.connections.len(), <[_]>::len);
    // Without a filter the row is the id.
    let id_of = |row: usize| shown.map_or(Some(ConnectionId(row as u32)), |shown| shown.get(row).copied());
    let row_of = |id: ConnectionId| shown.map_or(Some(id.0 as usize), |shown| shown.binary_search(&id).ok());
    let selected = pane.session.selection.connection;
    let remade = is_remade(ui, "connections", rows.count());
    let scroll = is_resized(ui, "connections", ui.available_height()) || remade || scroll;
    // Other rows than before, and the selected one is none of them: the list starts at its start.
    let target = selected.filter(|_| scroll).and_then(row_of).or((remade && count > 0).then_some(0));
    let mut table = table(ui);
    if let Some(row) = target {
        table = table.scroll_to_row(row, None);
    }
    let head = |mut row: egui_extras::TableRow<'_, '_>| {
        for (name, _) in HEADS {
            row.col(|ui| {
                ui.label(RichText::new(name).small().color(pane.palette.muted));
            });
        }
    };
    table.header(20.0, head).body(|body| {
        body.rows(22.0, count, |mut row| {
            let Some(id) = id_of(row.index()) else { return };
            let connection = pane.analysis.connection(id);
            row.set_selected(selected == Some(id));
            for text in cells(pane, &connection) {
                row.col(|ui| {
                    ui.add(egui::Label::new(RichText::new(text).monospace()).truncate().selectable(false));
                });
            }
            let response = row.response();
            response.widget_info(|| {
                let name = format!("Connection {} to {}", connection.inner.client, connection.inner.server);
                egui::WidgetInfo::selected(egui::Role::Row, true, selected == Some(id), name)
            });
            if response.clicked() {
                out.push(Action::SelectConnection(id));
            }
        });
    });
}

/// The empty table. In a narrow window all columns give way alike: what is cut then is on hover.
fn table(ui: &mut Ui) -> TableBuilder<'_> {
    ui.spacing_mut().item_spacing.y = 1.0;
    let gaps = ui.spacing().item_spacing.x * (HEADS.len() - 1) as f32 + SCROLL_BAR;
    let needed: f32 = HEADS.iter().map(|head| head.1).sum();
    let scale = ((ui.available_width() - gaps) / needed).clamp(0.5, 1.0);
    let mut table = TableBuilder::new(ui)
        .id_salt("connections")
        .sense(Sense::click())
        .auto_shrink(false)
        .min_scrolled_height(44.0)
        .animate_scrolling(false)
        .cell_layout(Layout::left_to_right(Align::Center));
    for (at, &(_, width)) in HEADS.iter().enumerate() {
        let width = width * scale;
        let last = at + 1 == HEADS.len();
        let column = if last { Width::remainder().at_least(width) } else { Width::exact(width) };
        table = table.column(column.clip(true));
    }
    table
}

fn cells(pane: &Pane<'_>, connection: &ConnectionView<'_>) -> [String; 9] {
    let flow = connection.flow();
    let inner = connection.inner;
    let (protocol, requests) = carries(connection);
    [
        pane.clock.time(inner.first),
        pane.analysis.link_name(inner.link),
        inner.client.to_string(),
        inner.server.to_string(),
        protocol,
        requests,
        began(flow.opening).to_owned(),
        ended(flow),
        duration(inner.last.since_ns(inner.first)),
    ]
}

/// The protocol, and how many requests it carried, or that they are encrypted.
pub fn carries(connection: &ConnectionView<'_>) -> (String, String) {
    let flow = connection.flow();
    let requests = connection.inner.exchanges.len();
    match &flow.wire.tls {
        Some(tls) if flow.protocol == Protocol::Tls => {
            let protocol = tls.version_name().unwrap_or_else(|| flow.protocol.name().to_owned());
            let requests = if tls.is_established() == Some(false) { "unfinished" } else { "encrypted" };
            (protocol, requests.to_owned())
        }
        _ => (flow.protocol.name().to_owned(), requests.to_string()),
    }
}

/// How a connection began.
pub fn began(opening: Opening) -> &'static str {
    match opening {
        Opening::Handshake => "handshake",
        Opening::Unanswered => "✖ unanswered",
        Opening::Refused => "✖ refused",
        Opening::MidStream => "before capture",
    }
}

/// How it ended, and whether bytes of it are missing.
pub fn ended(flow: &Flow) -> String {
    let ended = match flow.closing {
        Closing::Open => "still open",
        Closing::Fin => "FIN",
        Closing::Reset => "✖ RST",
    };
    let loss = if flow.is_lossy() { ", bytes lost" } else { "" };
    format!("{ended}{loss}")
}
