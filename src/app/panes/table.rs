//! The exchange table: sorted, filtered, drawn only where it is seen, linked with all other panes.

use egui::{Align, Color32, Layout, RichText, Sense, Ui};
use egui_extras::{Column as Width, TableBuilder};

use super::tree::{confidence_words, first_reason, link_reasons, link_words};
use super::{Actions, Pane};
use crate::analysis::ExchangeView;
use crate::app::command::Command;
use crate::app::format::duration;
use crate::app::rows::{Column, Rows, Sort};
use crate::app::state::Action;
use crate::app::widgets::{
    attempt_badge, command_button, is_remade, is_resized, outcome_words, status_color,
};
use crate::correlate::Confidence;
use crate::diagnose::carried::unread;

/// Height of a row of both tables.
pub const ROW: f32 = 22.0;
/// Height of their heads.
pub const HEAD: f32 = 20.0;

/// Draws the table; `scroll` brings the selected row into sight.
pub fn table_ui(ui: &mut Ui, pane: &Pane<'_>, rows: &Rows, sort: Sort, scroll: bool, out: &mut Actions) {
    if rows.list().is_empty() {
        return nothing_ui(ui, pane, rows, "exchange", out);
    }
    let columns = columns(ui.available_width());
    let short = Short {
        connection: columns.contains(&(Column::Connection, PORTS)),
        time: columns.contains(&(Column::Time, SHORT_TIME)),
    };
    let left_out: Vec<Column> =
        Column::ALL.into_iter().filter(|column| columns.iter().all(|(known, _)| known != column)).collect();
    let selected = pane.session.selection.exchange;
    let remade = is_remade(ui, "exchanges", rows.count());
    let scroll = is_resized(ui, "exchanges", ui.available_height()) || remade || scroll;
    let target = selected.filter(|_| scroll).and_then(|id| rows.list().iter().position(|&row| row == id));
    // Other rows than before, and the selected one is none of them: the list starts at its start.
    let target = target.or((remade && !rows.list().is_empty()).then_some(0));
    ui.spacing_mut().item_spacing.y = 1.0;
    let ui_height = ui.available_height();
    let mut table = TableBuilder::new(ui)
        .id_salt("exchanges")
        .striped(false)
        .sense(Sense::click())
        .auto_shrink(false)
        .min_scrolled_height(44.0)
        .animate_scrolling(false)
        // Whole rows only: half a row at the edge would look like the last one.
        .max_scroll_height(whole_rows(ui_height))
        .cell_layout(Layout::left_to_right(Align::Center));
    if let Some(row) = target {
        table = table.scroll_to_row(row, None);
    }
    for &(column, width) in &columns {
        let width = match column {
            Column::Target => Width::remainder().at_least(width).clip(true),
            _ => Width::exact(width).clip(true),
        };
        table = table.column(width);
    }
    let head = |mut row: egui_extras::TableRow<'_, '_>, out: &mut Actions| {
        for &(column, _) in &columns {
            row.col(|ui| head_ui(ui, pane, column, sort, out));
        }
    };
    let list = rows.list();
    table.header(HEAD, |row| head(row, out)).body(|body| {
        body.rows(ROW, list.len(), |mut row| {
            let Some(&id) = list.get(row.index()) else { return };
            let exchange = pane.analysis.exchange(id);
            row.set_selected(selected == Some(id));
            for &(column, _) in &columns {
                row.col(|ui| cell_ui(ui, pane, &exchange, column, short));
            }
            let response = row.response();
            response.widget_info(|| {
                let name = format!("{} {} row {}", exchange.method(), exchange.target(), id.0);
                egui::WidgetInfo::selected(egui::Role::Row, true, selected == Some(id), name)
            });
            if response.clicked() {
                out.push(Action::SelectExchange(id));
            }
            if !left_out.is_empty() {
                response.on_hover_ui(|ui| {
                    for &column in &left_out {
                        let words = format!("{}: {}", column.name(), cell(pane, &exchange, column).0);
                        ui.add(egui::Label::new(RichText::new(words).monospace()).extend());
                    }
                });
            }
        });
    });
}

/// What is shortened for want of room.
#[derive(Clone, Copy)]
struct Short {
    connection: bool,
    time: bool,
}

/// Height of as many whole rows as there is room for below the head.
pub fn whole_rows(height: f32) -> f32 {
    let step = ROW + 1.0;
    (((height - HEAD - 1.0) / step).floor() * step - 1.0).max(44.0)
}

/// Above a table: what is wrong with the filter, and which rows stand there meanwhile.
pub fn not_understood_ui(ui: &mut Ui, pane: &Pane<'_>, rows: &Rows) {
    let Some(error) = rows.error() else { return };
    let below = match rows.applied() {
        "" => "Below: all rows, unfiltered.".to_owned(),
        applied => format!("Below: the rows of “{applied}”, the last that could be read."),
    };
    // The reason last but whole: cut off, it would not tell which fields there are.
    let words = format!("✖ Filter not understood. {below} Reason: {error}");
    ui.add(egui::Label::new(RichText::new(words).color(pane.palette.failed)).wrap());
}

/// Says why a table is empty; where that is the filter's doing, takes it away on request.
pub fn nothing_ui(ui: &mut Ui, pane: &Pane<'_>, rows: &Rows, thing: &str, out: &mut Actions) {
    ui.add_space(8.0);
    if rows.mask().is_none() {
        if !rows.is_busy() {
            ui.add(egui::Label::new(RichText::new(none_read(pane)).color(pane.palette.muted)).wrap());
        }
        return;
    }
    let words = format!("No {thing} matches the filter “{}”.", rows.applied());
    ui.add(egui::Label::new(RichText::new(words).color(pane.palette.attention)).wrap());
    command_button(ui, Command::ClearFilter, "Clear the filter", out);
}

/// Why there is no exchange at all.
fn none_read(pane: &Pane<'_>) -> String {
    match unread(pane.analysis) {
        Some(unread) => format!(
            "No request can be read in these captures: {unread}. The connections have a table of their own."
        ),
        None => "No HTTP request was found in these captures. The connections have a table of their own."
            .to_owned(),
    }
}

/// Width of the connection as its two ports only.
const PORTS: f32 = 108.0;
/// Characters of a time to the microsecond: `04:19:11.041773`.
const MICROS: usize = 15;
/// Width of a time without its nanoseconds.
const SHORT_TIME: f32 = 112.0;

/// The columns that there is no room for, by name.
pub fn left_out(room: f32) -> Vec<&'static str> {
    let shown = columns(room);
    let missing = Column::ALL.into_iter().filter(|column| shown.iter().all(|(known, _)| known != column));
    missing.map(Column::name).collect()
}

/// The columns that fit, with their widths: what tells least goes first. Of a connection the ports are left at last.
fn columns(room: f32) -> Vec<(Column, f32)> {
    let mut all: Vec<_> = Column::ALL.iter().map(|&column| (column, width(column))).collect();
    // The bar beside the rows takes a little.
    let fits = |all: &[(Column, f32)]| all.iter().map(|(_, width)| width + 8.0).sum::<f32>() + 10.0 <= room;
    for spare in [Column::Reason, Column::Connection, Column::Attempt, Column::Ordinal, Column::Latency] {
        if fits(&all) {
            return all;
        }
        match all.iter_mut().find(|(column, _)| *column == spare) {
            Some((Column::Connection, width)) => *width = PORTS,
            _ => all.retain(|(column, _)| *column != spare),
        }
    }
    if !fits(&all) {
        all.retain(|(column, _)| *column != Column::Connection);
    }
    if !fits(&all) {
        for (column, width) in &mut all {
            *width = match column {
                Column::Time => SHORT_TIME,
                Column::Link => 104.0,
                Column::Outcome => 98.0,
                _ => *width,
            };
        }
    }
    all
}

fn width(column: Column) -> f32 {
    match column {
        Column::Time => 134.0,
        Column::Link => 130.0,
        Column::Connection => 186.0,
        Column::Ordinal => 40.0,
        Column::Method => 62.0,
        Column::Target => 100.0,
        Column::Status => 50.0,
        Column::Outcome => 112.0,
        Column::Latency => 78.0,
        Column::Attempt => 58.0,
        Column::Reason => 140.0,
    }
}

fn head_ui(ui: &mut Ui, pane: &Pane<'_>, column: Column, sort: Sort, out: &mut Actions) {
    let zone = if column == Column::Time { format!(" ({})", pane.clock.name()) } else { String::new() };
    if sort_head(ui, pane, column.name(), &zone, sort.descends(column)) {
        out.push(Action::SortBy(column));
    }
}

/// The head of a column that sorts, and whether it was clicked; `descends` is set where the rows are in its order.
pub fn sort_head(ui: &mut Ui, pane: &Pane<'_>, name: &str, unit: &str, descends: Option<bool>) -> bool {
    let arrow = match descends {
        Some(false) => " ▲",
        Some(true) => " ▼",
        None => "",
    };
    let text = RichText::new(format!("{name}{unit}{arrow}")).small().color(pane.palette.muted);
    let head = ui.add(egui::Button::new(text).frame(false));
    let words = format!("Sort by {name}");
    head.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &words));
    head.on_hover_text(words).clicked()
}

fn cell_ui(ui: &mut Ui, pane: &Pane<'_>, exchange: &ExchangeView<'_>, column: Column, short: Short) {
    if column == Column::Attempt {
        return attempt_ui(ui, pane, exchange);
    }
    let (text, color) = cell(pane, exchange, column);
    let ports = short.connection && column == Column::Connection;
    let micros = short.time && column == Column::Time;
    let ends = exchange.connection().inner;
    let whole = text.clone();
    let text = match text {
        _ if ports => format!(":{} → :{}", ends.client.port(), ends.server.port()),
        time if micros => time.get(..MICROS).map_or_else(|| time.clone(), str::to_owned),
        text => text,
    };
    let text = RichText::new(text).color(color);
    let text = if matches!(column, Column::Link | Column::Outcome | Column::Reason) {
        text
    } else {
        text.monospace()
    };
    let cell = ui.add(egui::Label::new(text).truncate().selectable(false));
    if ports {
        cell.on_hover_text(format!("{} → {}", ends.client, ends.server));
    } else if micros {
        cell.on_hover_text(whole);
    } else if column == Column::Reason
        && let Some(parent) = pane.analysis.trees.parent(exchange.id)
    {
        cell.on_hover_text(format!(
            "{}: {}",
            confidence_words(parent.confidence),
            link_reasons(pane, exchange.id)
        ));
    }
}

/// The attempt, and a question mark where another request may have caused this one as well.
fn attempt_ui(ui: &mut Ui, pane: &Pane<'_>, exchange: &ExchangeView<'_>) {
    if exchange.attempts() > 1 {
        attempt_badge(ui, &pane.palette, exchange.attempt());
    } else {
        let text = RichText::new(exchange.attempt().to_string()).monospace().color(pane.palette.muted);
        ui.add(egui::Label::new(text).selectable(false));
    }
    let parent = exchange.parentage().filter(|parent| parent.confidence == Confidence::Ambiguous);
    if parent.is_some() {
        let mark = RichText::new("?").monospace().strong().color(pane.palette.attention);
        let mark = ui.add(egui::Label::new(mark).selectable(false));
        mark.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, "ambiguous"));
        mark.on_hover_text(link_words(pane, exchange.id));
    }
}

fn cell(pane: &Pane<'_>, exchange: &ExchangeView<'_>, column: Column) -> (String, Color32) {
    let palette = pane.palette;
    let plain = |text: String| (text, palette.text);
    match column {
        Column::Time => plain(pane.clock.time(exchange.started())),
        Column::Link => plain(pane.analysis.link_name(exchange.link_id())),
        Column::Connection => {
            let connection = exchange.connection().inner;
            plain(format!("{} → :{}", connection.client, connection.server.port()))
        }
        Column::Ordinal => plain(exchange.raw.ordinal.to_string()),
        Column::Method => plain(exchange.method().to_owned()),
        Column::Target => plain(exchange.target().into_owned()),
        Column::Status => {
            let status = exchange.status();
            (status.map_or("–".to_owned(), |s| s.to_string()), status_color(&palette, status))
        }
        Column::Outcome => outcome_words(&palette, exchange),
        Column::Latency => plain(exchange.latency_ns().map_or("–".to_owned(), duration)),
        Column::Attempt => (exchange.attempt().to_string(), palette.muted),
        Column::Reason => {
            let parent = pane.analysis.trees.parent(exchange.id);
            match parent {
                Some(p) if p.confidence == Confidence::Ambiguous => {
                    (format!("? {}", first_reason(&p.evidence.names())), palette.attention)
                }
                Some(p) => (first_reason(&p.evidence.names()), palette.muted),
                None => ("–".to_owned(), palette.muted),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_tables_drop_what_tells_least() {
        assert_eq!(columns(2000.0).len(), Column::ALL.len());
        // The smallest laptop's window: which connection it was still shows, by its ports.
        let laptop = columns(970.0);
        assert!(laptop.iter().all(|(column, _)| *column != Column::Reason));
        assert!(laptop.contains(&(Column::Connection, PORTS)) && laptop.len() == Column::ALL.len() - 1);
        let narrow = columns(600.0);
        assert!(narrow.iter().all(|(column, _)| *column != Column::Connection && *column != Column::Attempt));
        assert!(narrow.iter().any(|(column, _)| *column == Column::Status));
        // The least window: nothing stands beyond the edge, and what is left out is named.
        let least = columns(590.0);
        assert!(least.iter().map(|(_, width)| width + 8.0).sum::<f32>() + 10.0 <= 590.0, "{least:?}");
        assert_eq!(left_out(590.0), ["connection", "#", "latency", "attempt", "linked by"]);
        assert!(left_out(2000.0).is_empty());
    }
}
