//! The board at length: for one link its requests by ordinal, idle gap, method and server address.

use egui::{Align, Grid, Layout, RichText, ScrollArea, Ui};

use super::{Actions, Pane, board};
use crate::app::format::{duration, grouped};
use crate::app::state::Action;
use crate::app::widgets::share_row;
use crate::diagnose::words::{ambiguous, at_least, idle_words, listed};
use crate::diagnose::{LinkFigures, Retries};
use crate::topology::LinkId;

/// Addresses listed at most; the ones that failed most come first.
const SERVERS: usize = 50;

const ORDINALS: &str = "ordinal on the connection × answered";
const IDLE: &str = "idle before the request × answered";

/// Draws the figures of the chosen link, or of the one where failures begin.
pub fn figures_ui(ui: &mut Ui, pane: &Pane<'_>, chosen: Option<LinkId>, out: &mut Actions) {
    let all = &pane.analysis.diagnosis.board;
    let count = all.links.len();
    if count == 0 {
        ui.weak("No link between two hops was found.");
        return;
    }
    let shown = ui.horizontal_wrapped(|ui| link_choice_ui(ui, pane, chosen, out)).inner;
    ui.add_space(2.0);
    let figures = &all.links[usize::from(shown.0)];
    // One below the other, where the four are not to be seen side by side.
    let narrow = ui.available_width() < 1210.0;
    ScrollArea::both().id_salt("figures").auto_shrink(false).show(ui, |ui| {
        ui.horizontal_top(|ui| {
            let ordinals = |ui: &mut Ui| {
                column(ui, pane, ORDINALS, 205.0, |ui| ordinals_ui(ui, pane, figures));
            };
            let idle = |ui: &mut Ui| {
                column(ui, pane, IDLE, if narrow { 205.0 } else { 235.0 }, |ui| idle_ui(ui, pane, figures));
            };
            if narrow {
                ui.vertical(|ui| {
                    ordinals(ui);
                    idle(ui);
                });
                ui.add_space(10.0);
            } else {
                ordinals(ui);
                idle(ui);
            }
            column(ui, pane, "attempts and failures by method", 310.0, |ui| {
                methods_ui(ui, pane, shown, figures);
            });
            column(ui, pane, "by server address", 340.0, |ui| servers_ui(ui, pane, figures));
        });
    });
}

/// A button for each link; the one shown is the chosen one, or the one where failures begin.
pub fn link_choice_ui(ui: &mut Ui, pane: &Pane<'_>, chosen: Option<LinkId>, out: &mut Actions) -> LinkId {
    let all = &pane.analysis.diagnosis.board;
    let count = pane.analysis.topology.links.len();
    let shown = chosen.filter(|id| usize::from(id.0) < count).or_else(|| board::interesting_link(pane, all));
    let shown = shown.or(all.boundary).unwrap_or(LinkId(0));
    for at in 0..count {
        let id = LinkId(at as u16);
        let response = ui.add(egui::Button::selectable(id == shown, pane.analysis.link_name(id)));
        if response.on_hover_text("Show the figures of this link").clicked() {
            out.push(Action::ShowFigures(id));
        }
    }
    shown
}

fn column(ui: &mut Ui, pane: &Pane<'_>, title: &str, width: f32, contents: impl FnOnce(&mut Ui)) {
    ui.vertical(|ui| {
        ui.set_width(width);
        ui.label(RichText::new(title).small().color(pane.palette.muted));
        ui.add_space(2.0);
        contents(ui);
    });
    ui.add_space(12.0);
}

fn ordinals_ui(ui: &mut Ui, pane: &Pane<'_>, figures: &LinkFigures) {
    for (name, (requests, answered)) in ["1st", "2nd", "3rd and on"].iter().zip(figures.ordinals) {
        share_row(ui, &pane.palette, name, 62.0, answered, requests);
    }
}

fn idle_ui(ui: &mut Ui, pane: &Pane<'_>, figures: &LinkFigures) {
    if figures.idle_gaps.iter().all(|gap| gap.0 == 0) {
        ui.weak("No connection carried a second request.");
    }
    for (at, &(requests, answered)) in figures.idle_gaps.iter().enumerate() {
        if requests > 0 {
            share_row(ui, &pane.palette, &idle_words(at), 84.0, answered, requests);
        }
    }
}

fn methods_ui(ui: &mut Ui, pane: &Pane<'_>, id: LinkId, figures: &LinkFigures) {
    let diagnosis = &pane.analysis.diagnosis;
    let from = pane.analysis.link(id).from;
    let none = Retries::default();
    // The hop above this link's caller may be the one that retries: what users saw holds for the whole chain.
    let retries: Vec<&Retries> = diagnosis.retries.iter().collect();
    let own = retries.iter().find(|r| r.lane == Some(from)).copied().unwrap_or(&none);
    let of = |map: &crate::diagnose::ByMethod, method: &str| map.get(method).copied().unwrap_or(0);
    let saw = format!("{} saw", pane.analysis.askers());
    let heads = ["method", "requests", "failed", "retried", "saved", "hidden", &saw];
    Grid::new("methods").num_columns(heads.len()).spacing([10.0, 3.0]).show(ui, |ui| {
        for head in heads {
            ui.label(RichText::new(head).small().color(pane.palette.muted));
        }
        ui.end_row();
        for (method, statuses) in &figures.status {
            let requests: u64 = statuses.values().sum();
            let bad = |status: &str| status == "none" || status.starts_with('5');
            let failed: u64 = statuses.iter().filter(|(status, _)| bad(status)).map(|(_, count)| count).sum();
            let saw: u64 = diagnosis.failures.visible.get(method).map_or(0, |all| all.values().sum());
            ui.label(RichText::new(method).monospace());
            let cells = [
                (requests, pane.palette.text),
                (failed, pane.palette.failed),
                (of(&figures.retried, method), pane.palette.attention),
                (of(&own.saved, method), pane.palette.text),
                (of(&diagnosis.failures.masked, method), pane.palette.attention),
                (saw, pane.palette.failed),
            ];
            for (count, color) in cells {
                number(ui, count, if count == 0 { pane.palette.muted } else { color });
            }
            ui.end_row();
        }
    });
    if let Some(words) = hidden_words(pane) {
        ui.add_space(4.0);
        ui.add(egui::Label::new(RichText::new(words).small().color(pane.palette.muted)).wrap());
    }
}

/// Why the logs show failures of some methods only.
fn hidden_words(pane: &Pane<'_>) -> Option<String> {
    let failures = &pane.analysis.diagnosis.failures;
    let words = |(method, count): (&String, u64)| format!("{} of {method}", grouped(count));
    let about = at_least(failures.unsure);
    let hidden = failures.masked.iter().map(|(method, count)| (method, *count));
    let hidden: Vec<String> = hidden.filter(|(_, count)| *count > 0).map(words).collect();
    if hidden.is_empty() {
        return None;
    }
    let seen = failures.visible.iter().map(|(method, by_status)| (method, by_status.values().sum()));
    let seen: Vec<String> = seen.map(words).collect();
    let seen = if seen.is_empty() { "none".to_owned() } else { listed(&seen) };
    Some(format!(
        "Of the failures retries hid {about}{}: {}, and the log of the first hop, see {seen}.",
        listed(&hidden),
        pane.analysis.askers()
    ))
}

fn servers_ui(ui: &mut Ui, pane: &Pane<'_>, figures: &LinkFigures) {
    let mut all: Vec<_> = figures.servers.iter().collect();
    all.sort_by_key(|(_, f)| std::cmp::Reverse((f.failed, f.requests)));
    let heads = ["address", "connections", "requests", "failed", "rejected"];
    Grid::new("servers").num_columns(heads.len()).spacing([9.0, 3.0]).show(ui, |ui| {
        for head in heads {
            ui.label(RichText::new(head).small().color(pane.palette.muted));
        }
        ui.end_row();
        for (address, f) in all.iter().take(SERVERS) {
            ui.label(RichText::new(*address).monospace());
            number(ui, f.connections, pane.palette.text);
            number(ui, f.requests, pane.palette.text);
            for count in [f.failed, f.rejected] {
                number(ui, count, if count == 0 { pane.palette.muted } else { pane.palette.failed });
            }
            ui.end_row();
        }
    });
    if all.len() > SERVERS {
        ui.weak(format!("and {} more", grouped((all.len() - SERVERS) as u64)));
    }
    if let Some([p50, p95, p99, max]) = figures.latency_ns.map(|all| all.map(duration)) {
        let words = format!("latency p50 {p50}, p95 {p95}, p99 {p99}, max {max}");
        ui.label(RichText::new(words).small().color(pane.palette.muted));
    }
    if let Some([p50, _, p99, max]) = figures.handshake_ns.map(|all| all.map(duration)) {
        let words = format!("handshake p50 {p50}, p99 {p99}, max {max}");
        ui.label(RichText::new(words).small().color(pane.palette.muted)).on_hover_text(
            "From SYN to ACK: the round trip of the path, and what the server needs to accept",
        );
    }
    if let Some(words) = figures.unasked_words() {
        ui.label(RichText::new(words).small().color(pane.palette.muted));
    }
    if figures.ambiguous > 0 {
        let words = ambiguous(figures.ambiguous, figures.requests);
        ui.label(RichText::new(words).small().color(pane.palette.attention));
    }
}

fn number(ui: &mut Ui, count: u64, color: egui::Color32) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.label(RichText::new(grouped(count)).monospace().color(color));
    });
}
