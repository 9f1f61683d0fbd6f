//! The table of connections: how each began and ended, and how many requests it carried.

use egui::{Align, Layout, RichText, Sense, Ui};
use egui_extras::{Column as Width, TableBuilder};

use super::table::{HEAD, ROW, nothing_ui, sort_head, whole_rows};
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
        ConnectionColumn::Requests | ConnectionColumn::Lasted => 80.0,
        ConnectionColumn::Began => 104.0,
        ConnectionColumn::Ended => 90.0,
    }
}

/// Space between two columns, in points.
const SPACING: f32 = 8.0;
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
    let columns = columns(ui.available_width());
    let left_out: Vec<ConnectionColumn> = missing(&columns).collect();
    let ports = columns.iter().any(|&(column, width)| column == ConnectionColumn::Client && width <= PORT);
    let mut table = table(ui, &columns);
    if let Some(row) = target {
        table = table.scroll_to_row(row, None);
    }
    let head = |mut row: egui_extras::TableRow<'_, '_>, out: &mut Actions| {
        for &(column, _) in &columns {
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
    table.header(HEAD, |row| head(row, out)).body(|body| {
        body.rows(ROW, list.len(), |mut row| {
            let Some(&id) = list.get(row.index()) else { return };
            let connection = pane.analysis.connection(id);
            row.set_selected(selected == Some(id));
            for &(column, _) in &columns {
                row.col(|ui| {
                    let text = match column {
                        ConnectionColumn::Client if ports => format!(":{}", connection.inner.client.port()),
                        column => cell(pane, &connection, column),
                    };
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
            if !left_out.is_empty() || ports {
                response.on_hover_ui(|ui| {
                    let client = ports.then_some(ConnectionColumn::Client);
                    for column in client.into_iter().chain(left_out.iter().copied()) {
                        let words = format!("{}: {}", column.name(), cell(pane, &connection, column));
                        ui.add(egui::Label::new(RichText::new(words).monospace()).extend());
                    }
                });
            }
        });
    });
}

/// The columns that there is no room for, by name.
pub fn left_out(room: f32) -> Vec<&'static str> {
    missing(&columns(room)).map(ConnectionColumn::name).collect()
}

fn missing(shown: &[(ConnectionColumn, f32)]) -> impl Iterator<Item = ConnectionColumn> {
    ConnectionColumn::ALL.into_iter().filter(|column| shown.iter().all(|(known, _)| known != column))
}

/// Width of the client as its port only.
const PORT: f32 = 62.0;
/// How much all columns give way before one of them is left out.
const GIVE_WAY: f32 = 0.88;

/// The columns that fit, with their widths: what tells least goes first.
fn columns(room: f32) -> Vec<(ConnectionColumn, f32)> {
    let mut all: Vec<_> = ConnectionColumn::ALL.iter().map(|&column| (column, width(column))).collect();
    let scale = |all: &[(ConnectionColumn, f32)]| {
        let needed: f32 = all.iter().map(|(_, width)| width).sum();
        (room - SPACING * (all.len() - 1) as f32 - SCROLL_BAR) / needed
    };
    for spare in [
        ConnectionColumn::Protocol,
        ConnectionColumn::Server,
        ConnectionColumn::Began,
        ConnectionColumn::Client,
    ] {
        if scale(&all) >= GIVE_WAY {
            break;
        }
        match all.iter_mut().find(|(column, _)| *column == spare) {
            Some((ConnectionColumn::Client, width)) => *width = PORT,
            _ => all.retain(|(column, _)| *column != spare),
        }
    }
    let scale = scale(&all).clamp(0.5, 1.0);
    all.iter_mut().for_each(|(_, width)| *width *= scale);
    all
}

/// The empty table.
fn table<'a>(ui: &'a mut Ui, columns: &[(ConnectionColumn, f32)]) -> TableBuilder<'a> {
    ui.spacing_mut().item_spacing = egui::vec2(SPACING, 1.0);
    let height = whole_rows(ui.available_height());
    let mut table = TableBuilder::new(ui)
        .id_salt("connections")
        .sense(Sense::click())
        .auto_shrink(false)
        .min_scrolled_height(44.0)
        .animate_scrolling(false)
        .max_scroll_height(height)
        .cell_layout(Layout::left_to_right(Align::Center));
    for &(column, width) in columns {
        let last = column == ConnectionColumn::Lasted;
        let column = if last { Width::remainder().at_least(width) } else { Width::exact(width) };
        table = table.column(column.clip(true));
    }
    table
}

fn cell(pane: &Pane<'_>, connection: &ConnectionView<'_>, column: ConnectionColumn) -> String {
    let (flow, inner) = (connection.flow(), connection.inner);
    match column {
        ConnectionColumn::Opened => pane.clock.time(inner.first),
        ConnectionColumn::Link => pane.analysis.link_name(inner.link),
        ConnectionColumn::Client => inner.client.to_string(),
        ConnectionColumn::Server => inner.server.to_string(),
        ConnectionColumn::Protocol => protocol(connection),
        ConnectionColumn::Requests => carries(connection).1,
        ConnectionColumn::Began => began(flow.opening).to_owned(),
        ConnectionColumn::Ended => ended(flow),
        ConnectionColumn::Lasted => duration(inner.last.since_ns(inner.first)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_tables_name_what_they_leave_out() {
        assert!(left_out(1400.0).is_empty() && left_out(960.0).is_empty());
        let least = columns(590.0);
        let needed = least.iter().map(|(_, width)| width + SPACING).sum::<f32>() - SPACING + SCROLL_BAR;
        assert!(needed <= 591.0, "{least:?}");
        assert_eq!(left_out(590.0), ["server", "protocol", "began"]);
        // Whole times: cut, all of one second would read alike.
        assert!(least[0].0 == ConnectionColumn::Opened && least[0].1 > 128.0, "{least:?}");
    }
}
