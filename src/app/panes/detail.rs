//! The selected request: its tree, and headers, body, timing and frames of the selected exchange.

use egui::{RichText, ScrollArea, Ui};

use super::findings::{form_name, form_words};
use super::{Actions, Pane, connection, tree};
use crate::analysis::ExchangeView;
use crate::app::Palette;
use crate::app::contents::{Contents, ContentsCache, Part};
use crate::app::format::{bytes, duration};
use crate::app::state::{Action, DetailTab};
use crate::app::widgets::{tabs, title_row};
use crate::capture::ExtentError;
use crate::http::Message;
use crate::http::show::{Body, hex, hex_width};

/// Draws the pane.
pub fn detail_ui(
    ui: &mut Ui,
    pane: &Pane<'_>,
    shown: DetailTab,
    contents: &ContentsCache,
    out: &mut Actions,
) {
    let Some(id) = pane.session.selection.exchange else {
        // What is encrypted, or handed over, has no exchange that could be selected.
        if let Some(id) = pane.session.selection.connection {
            let (title, note) = connection::title(pane, id);
            title_row(ui, &pane.palette, &title, &note);
            return connection::connection_ui(ui, pane, id);
        }
        title_row(ui, &pane.palette, "Request", "");
        ui.weak("Select an exchange to see its way through the hops.");
        return;
    };
    let (title, note) = tree::title(pane, id);
    title_row(ui, &pane.palette, &title, &note);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        let all = [
            (DetailTab::Tree, "Tree"),
            (DetailTab::Headers, "Headers"),
            (DetailTab::Body, "Body"),
            (DetailTab::Timing, "Timing"),
            (DetailTab::Frames, "Frames"),
        ];
        tabs(ui, &pane.palette, shown, &all, |tab| out.push(Action::ShowDetail(tab)));
    });
    ui.add_space(4.0);
    let exchange = pane.analysis.exchange(id);
    match shown {
        DetailTab::Tree => tree::tree_ui(ui, pane, id, out),
        DetailTab::Headers | DetailTab::Body => contents_ui(ui, pane, &exchange, contents.get(), shown),
        DetailTab::Timing => timing_ui(ui, pane, &exchange),
        DetailTab::Frames => frames_ui(ui, pane, &exchange),
    }
}

fn contents_ui(
    ui: &mut Ui,
    pane: &Pane<'_>,
    exchange: &ExchangeView<'_>,
    contents: Option<&Contents>,
    shown: DetailTab,
) {
    let Some(contents) = contents else {
        ui.weak("Reading…");
        return;
    };
    // Values of headers are wrapped; lines of a body stay lines.
    let sideways = shown == DetailTab::Body;
    ScrollArea::new([sideways, true]).id_salt("contents").auto_shrink(false).show(ui, |ui| {
        for (name, part) in [("Request", &contents.request), ("Response", &contents.response)] {
            ui.label(RichText::new(name).small().color(pane.palette.muted));
            match part {
                None => drop(ui.weak("Not a byte of it was captured.")),
                Some(Err(error)) => error_ui(ui, pane, error),
                Some(Ok(part)) if shown == DetailTab::Headers => headers_ui(ui, pane, part),
                Some(Ok(part)) => body_ui(ui, pane, part),
            }
            ui.add_space(8.0);
        }
        for said in exchange.aside().filter(|_| shown == DetailTab::Body) {
            ui.label(RichText::new("STDERR, beside the response").small().color(pane.palette.muted));
            ui.label(RichText::new(said.text.trim_end()).monospace());
            let more = said.bytes.saturating_sub(said.text.len() as u64);
            if more > 0 {
                ui.weak(format!("and {} more", bytes(more)));
            }
        }
    });
}

fn error_ui(ui: &mut Ui, pane: &Pane<'_>, error: &ExtentError) {
    if pane.document.held.is_some() {
        let words = "A snapshot keeps no bytes of messages: they are read from its captures, and those are gone or changed. Open \
            them with it, or beside it in the same folders.";
        ui.add(egui::Label::new(RichText::new(words).color(pane.palette.muted)).wrap())
            .on_hover_text(error.to_string());
        return;
    }
    let text = RichText::new(format!("✖ {error}")).color(pane.palette.failed);
    ui.add(egui::Label::new(text).wrap());
}

/// Names in a column as wide as the widest, values whole behind them on as many lines as they need.
fn headers_ui(ui: &mut Ui, pane: &Pane<'_>, part: &Part) {
    ui.add(egui::Label::new(RichText::new(&part.start_line).monospace().strong()).wrap());
    let font = egui::TextStyle::Monospace.resolve(ui.style());
    let letter = ui.painter().layout_no_wrap("m".to_owned(), font, pane.palette.text).size().x;
    let longest = part.headers.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let column = (longest as f32 * letter + 4.0).min(ui.available_width() * 0.45);
    ui.spacing_mut().item_spacing.y = 2.0;
    for (name, value) in &part.headers {
        ui.horizontal_top(|ui| {
            ui.vertical(|ui| {
                ui.set_width(column);
                ui.add(
                    egui::Label::new(RichText::new(name).monospace().color(pane.palette.muted)).truncate(),
                );
            });
            ui.vertical(|ui| ui.add(egui::Label::new(RichText::new(value).monospace()).wrap()));
        });
    }
}

fn body_ui(ui: &mut Ui, pane: &Pane<'_>, part: &Part) {
    if !part.body_note.is_empty() {
        ui.label(RichText::new(&part.body_note).small().color(pane.palette.muted));
    }
    match &part.body {
        Body::Text(text) if text.is_empty() => drop(ui.weak("No body.")),
        Body::Text(text) => drop(ui.label(RichText::new(text).monospace())),
        Body::Bytes(bytes) => {
            let rows = RichText::new(hex(bytes, bytes_per_row(ui))).monospace();
            // Of what is narrower still a bar below shows the rest: a broken row could not be read.
            ui.add(egui::Label::new(rows).extend());
        }
    }
}

/// Bytes that a row of the pane has room for.
fn bytes_per_row(ui: &Ui) -> usize {
    let font = egui::TextStyle::Monospace.resolve(ui.style());
    let letter = ui.ctx().fonts_mut(|fonts| fonts.glyph_width(&font, '0'));
    let fits = |per_row: &usize| hex_width(*per_row) as f32 * letter <= ui.available_width();
    [16, 8].into_iter().find(fits).unwrap_or(4)
}

fn timing_ui(ui: &mut Ui, pane: &Pane<'_>, exchange: &ExchangeView<'_>) {
    let raw = exchange.raw;
    let at = |time, frame| pane.analysis.session_time(exchange.capture, time, frame);
    let mut rows = Vec::new();
    if raw.request.is_present() {
        rows.push(("request, first byte", pane.clock.time(at(raw.request.start, raw.request.first_frame))));
        let took = raw.request.end.0.saturating_sub(raw.request.start.0);
        rows.push(("request sent in", duration(took)));
    }
    if raw.response.is_seen() {
        if raw.request.is_seen() {
            let wait = raw.response.start.0.saturating_sub(raw.request.end.0);
            rows.push(("waited for the answer", duration(wait)));
        }
        rows.push((
            "response, first byte",
            pane.clock.time(at(raw.response.start, raw.response.first_frame)),
        ));
        rows.push(("response sent in", duration(raw.response.end.0.saturating_sub(raw.response.start.0))));
    } else {
        let waits = exchange.waits_until().is_some();
        let what = if waits { "still waits at the capture's end" } else { "settled" };
        rows.push((what, pane.clock.time(exchange.settled())));
        rows.push((
            "after the request",
            duration(exchange.settled().since_ns(at(raw.request.end, raw.request.last_frame))),
        ));
    }
    if let Some(ns) = exchange.latency_ns() {
        rows.push(("latency in all", duration(ns)));
    }
    if let Some(rejection) = exchange.rejection() {
        rows.push(("connection was idle for", duration(rejection.idle_ns)));
    }
    rows.push(("request", bytes(raw.request.wire_bytes)));
    rows.push(("response", bytes(raw.response.wire_bytes)));
    facts_ui(ui, pane, "timing", &rows);
    let clock = pane.analysis.topology.clocks[exchange.capture.index()];
    if clock.offset_ns != 0 {
        let band =
            clock.band_at(exchange.started()).map_or(String::new(), |ns| format!(" ± {}", duration(ns)));
        let words = format!("This capture's clock is shifted by {}{band}.", duration(clock.offset_ns));
        ui.add(egui::Label::new(RichText::new(words).small().color(pane.palette.muted)).wrap());
    }
}

fn facts_ui(ui: &mut Ui, pane: &Pane<'_>, id: &str, rows: &[(&str, String)]) {
    ScrollArea::vertical().id_salt(id).auto_shrink([false, true]).show(ui, |ui| {
        pairs_ui(ui, &pane.palette, rows);
    });
}

/// Names in a column as wide as the widest, values behind them on as many lines as they need: none is cut.
pub(super) fn pairs_ui(ui: &mut Ui, palette: &Palette, rows: &[(&str, String)]) {
    let font = egui::TextStyle::Body.resolve(ui.style());
    let width =
        |name: &str| ui.painter().layout_no_wrap(name.to_owned(), font.clone(), palette.muted).size().x;
    let widest = rows.iter().map(|(name, _)| width(name)).fold(0.0, f32::max);
    let column = widest.min(ui.available_width() * 0.45).ceil() + 1.0;
    ui.spacing_mut().item_spacing.y = 2.0;
    for (name, value) in rows {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 12.0;
            ui.vertical(|ui| {
                ui.set_width(column);
                ui.add(egui::Label::new(RichText::new(*name).color(palette.muted)).truncate());
            });
            ui.vertical(|ui| ui.add(egui::Label::new(RichText::new(value).monospace()).wrap()));
        });
    }
}

fn frames_ui(ui: &mut Ui, pane: &Pane<'_>, exchange: &ExchangeView<'_>) {
    let span = |message: &Message| match exchange.frames(message) {
        Some((first, last)) if first == last => first.number.to_string(),
        Some((first, last)) => format!("{} – {}", first.number, last.number),
        None => "not seen".to_owned(),
    };
    let mut rows = vec![
        ("capture", pane.analysis.capture_name(exchange.capture)),
        ("request", span(&exchange.raw.request)),
        ("response", span(&exchange.raw.response)),
    ];
    if let Some(rejection) = exchange.rejection() {
        rows.extend(rejection.fin.map(|frame| ("server's FIN", frame.number.to_string())));
        rows.extend(rejection.rst.map(|frame| ("server's RST", frame.number.to_string())));
        rows.push(("form", form_name(rejection.form)));
        rows.push(("that is", form_words(rejection.form).to_owned()));
    }
    let connection = exchange.connection();
    rows.push(("client", connection.inner.client.to_string()));
    rows.push(("server", connection.inner.server.to_string()));
    let others = connection.inner.sightings.iter().skip(1);
    rows.extend(others.map(|s| ("also seen in", pane.analysis.capture_name(s.capture))));
    rows.extend(connection::carried(connection));
    let comments = exchange.comments();
    rows.extend(comments.iter().map(|(frame, text)| ("comment", format!("{}: {text}", frame.number))));
    facts_ui(ui, pane, "frames", &rows);
}
