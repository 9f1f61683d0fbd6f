//! The table of connections: how each began and ended, and how many requests it carried.

use egui::{Align, Layout, RichText, Sense, Ui};
use egui_extras::{Column as Width, TableBuilder};

use super::table::{nothing_ui, sort_head};
use super::{Actions, Pane};
use crate::analysis::ConnectionView;
use crate::app::format::duration;
use crate::app::rows::{ConnectionColumn, Rows, Sort, protocol};
use crate::app::state::Action;
use crate::app::widgets::{is_remade, is_resized};
use crate::http::Protocol;
use crate::tcp::{Closing, Flow, Opening};

fn width(column: ConnectionColumn) -> f32 {
    match column {
        ConnectionColumn::Opened => 142.0,
        ConnectionColumn::Link => 122.0,
        ConnectionColumn::Client => 146.0,
        ConnectionColumn::Server => 136.0,
        ConnectionColumn::Protocol => 72.0,
        ConnectionColumn::Requests => 80.0,
        ConnectionColumn::Began => 104.0,
        ConnectionColumn::Ended => 90.0,
        ConnectionColumn::Lasted => 80.0,
    }
}

/// Room for the bar beside the rows, in points.
const SCROLL_BAR: f32 = 14.0;

/// Draws the table of those that pass the filter; `scroll` brings the selected row into sight.
pub fn connections_ui(
    ui: &mut Ui,
    pane: &Pane<'_>,
    rows: &Rows,
    sort: Sort<ConnectionColumn>,
    scroll: bool,
    out: &mut Actions,
) {
    let list = rows.connections();
    if list.is_empty() {
        return nothing_ui(ui, pane, rows, "connection", out);
    }
    let selected = pane.session.selection.connection;
    let remade = is_remade(ui, "connections", rows.connections_count());
    let scroll = is_resized(ui, "connections", ui.available_height()) || remade || scroll;
    let target = selected.filter(|_| scroll).and_then(|id| list.iter().position(|&row| row == id));
    // Other rows than before, and the selected one is none of them: the list starts at its start.
    let target = target.or(remade.then_some(0));
    let mut table = table(ui);
    if let Some(row) = target {
        table = table.scroll_to_row(row, None);
    }
    let head = |mut row: egui_extras::TableRow<'_, '_>, out: &mut Actions| {
        for column in ConnectionColumn::ALL {
            let zone = match column {
                ConnectionColumn::Opened => format!(" ({})", pane.clock.name()),
                _ => String::new(),
            };
            row.col(|ui| {
                if sort_head(ui, pane, column.name(), &zone, sort.descends(column)) {
                    out.push(Action::SortConnectionsBy(column));
                }
            });
        }
    };
    table.header(20.0, |row| head(row, out)).body(|body| {
        body.rows(22.0, list.len(), |mut row| {
            let Some(&id) = list.get(row.index()) else { return };
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
    let gaps = ui.spacing().item_spacing.x * (ConnectionColumn::ALL.len() - 1) as f32 + SCROLL_BAR;
    let needed: f32 = ConnectionColumn::ALL.into_iter().map(width).sum();
    let scale = ((ui.available_width() - gaps) / needed).clamp(0.5, 1.0);
    let mut table = TableBuilder::new(ui)
        .id_salt("connections")
        .sense(Sense::click())
        .auto_shrink(false)
        .min_scrolled_height(44.0)
        .animate_scrolling(false)
        .cell_layout(Layout::left_to_right(Align::Center));
    for column in ConnectionColumn::ALL {
        let width = width(column) * scale;
        let last = column == ConnectionColumn::Lasted;
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
    let requests = match &flow.wire.tls {
        Some(tls) if flow.protocol == Protocol::Tls => match tls.is_established() {
            Some(false) => "unfinished".to_owned(),
            _ => "encrypted".to_owned(),
        },
        _ => requests.to_string(),
    };
    (protocol(connection), requests)
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
