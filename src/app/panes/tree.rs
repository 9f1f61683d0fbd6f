//! The tree of the selected request: who called whom, attempt by attempt, and why the program links them.

use egui::{Align, Layout, RichText, ScrollArea, Ui};

use super::{Actions, Pane};
use crate::analysis::{Analysis, ExchangeView};
use crate::app::format::duration;
use crate::app::state::Action;
use crate::app::widgets::{attempt_badge, is_remade, is_resized, outcome_name, padded_row, status_color};
use crate::correlate::{Confidence, Orphan};
use crate::topology::ExchangeId;

/// No tree is drawn beyond this many exchanges.
const LIMIT: usize = 200;
/// Height of a row with two lines.
const HIGH_ROW: f32 = 37.0;
/// Share of the pane that the reasons of the selected link may take from the tree; longer ones are scrolled.
const MOST_OF_WORDS: f32 = 0.55;

/// Draws the tree that the exchange is part of.
pub fn tree_ui(ui: &mut Ui, pane: &Pane<'_>, selected: ExchangeId, out: &mut Actions) {
    let trees = &pane.analysis.trees;
    let tree = trees.tree(trees.root(selected));
    let is_new = is_remade(ui, "tree", u64::from(selected.0));
    let is_new = is_resized(ui, "tree", ui.available_height()) || is_new;
    // Why the selected one is linked stands below the tree, whole and always in sight: the rows have no room for it.
    let words = RichText::new(link_words(pane, selected)).small().color(pane.palette.muted);
    let words = egui::WidgetText::from(words);
    let galley = words.clone().into_galley(
        ui,
        Some(egui::TextWrapMode::Wrap),
        ui.available_width() - 1.0,
        egui::TextStyle::Small,
    );
    let words_room = (galley.size().y + 1.0).min(ui.available_height() * MOST_OF_WORDS);
    let room = ui.available_height() - words_room - 2.0 * ui.spacing().item_spacing.y;
    // Where not all of it fits, the rows are low, so that the last attempt is in sight; why each is linked says its
    // tooltip.
    let low = tree.len() as f32 * HIGH_ROW > room;
    ScrollArea::vertical().id_salt("tree").auto_shrink([false, true]).max_height(room).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        sent_ui(ui, pane, trees.root(selected), out);
        for &(id, depth) in tree.iter().take(LIMIT) {
            let row = node_ui(ui, pane, pane.analysis.exchange(id), depth, (id == selected, low), out);
            if is_new && id == selected {
                row.scroll_to_me(None);
            }
        }
        if tree.len() > LIMIT {
            ui.weak(format!("and {} more", tree.len() - LIMIT));
        }
    });
    let area = ScrollArea::vertical().id_salt("why linked").auto_shrink([false, true]);
    area.show(ui, |ui| ui.add(egui::Label::new(words).wrap()));
}

/// Where the client sent the request again by itself: what it sent, each with a tree of its own.
fn sent_ui(ui: &mut Ui, pane: &Pane<'_>, root: ExchangeId, out: &mut Actions) {
    let sent = pane.analysis.trees.sent(root);
    if sent.len() < 2 {
        return;
    }
    let palette = pane.palette;
    let title = format!("{} sent this {} times: a client's retry", asks(pane, root).name, sent.len());
    ui.label(RichText::new(title).small().color(palette.muted));
    for (number, &id) in (1..).zip(&sent) {
        let (ending, color) = ending(pane, &pane.analysis.exchange(id));
        let wait = wait_words(pane.analysis, id);
        let label = format!("sent {number} of {}{wait}: {ending}", sent.len());
        let row = padded_row(ui, &palette, id == root, &label, 2, |ui| {
            ui.horizontal(|ui| {
                ui.label(RichText::new(format!("{number}.")).small().color(palette.muted));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    ui.label(RichText::new(&ending).monospace().color(color));
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        let words = format!("sent{wait}");
                        ui.add(egui::Label::new(RichText::new(words).small()).truncate());
                    });
                });
            });
        });
        let row = row.on_hover_text(format!("{label}\n{}", link_words(pane, id)));
        if row.clicked() {
            out.push(Action::SelectExchange(id));
        }
    }
    ui.add_space(4.0);
}

/// How long after the failure before it a request was sent again.
fn wait_words(analysis: &Analysis, id: ExchangeId) -> String {
    let Some(again) = analysis.trees.again(id) else { return String::new() };
    let failed = analysis.exchange(again.of).settled();
    let wait = analysis.exchange(id).started().since_ns(failed).max(0);
    format!(" again {} after the failure", duration(wait))
}

fn node_ui(
    ui: &mut Ui,
    pane: &Pane<'_>,
    exchange: ExchangeView<'_>,
    depth: usize,
    (selected, low): (bool, bool),
    out: &mut Actions,
) -> egui::Response {
    let palette = pane.palette;
    let link = pane.analysis.link_name(exchange.link_id());
    let (ending, color) = ending(pane, &exchange);
    let attempts = exchange.attempts();
    let attempt = if attempts > 1 { format!("attempt {}, ", exchange.attempt()) } else { String::new() };
    let label = format!("{attempt}{link}: {ending}");
    let place = format!("#{} :{}", exchange.raw.ordinal, exchange.connection().inner.client.port());
    let parent = pane.analysis.trees.parent(exchange.id);
    // Where the first line has no room for the place, it stands in the second, so that names stay whole.
    let indent = if ui.available_width() > 340.0 { 14.0 } else { 9.0 };
    let width = |text: &str, font: egui::FontId| {
        ui.painter().layout_no_wrap(text.to_owned(), font, palette.text).size().x
    };
    let (body, mono) = (egui::TextStyle::Body.resolve(ui.style()), egui::FontId::monospace(12.0));
    let words = width(&link, body) + width(&ending, mono.clone()) + width(&place, mono);
    let badge = if attempts > 1 { 24.0 } else { 0.0 };
    let wide = depth.min(8) as f32 * indent + words + badge + 62.0 < ui.available_width();
    let row = padded_row(ui, &palette, selected, &label, if low { 2 } else { 3 }, |ui| {
        ui.spacing_mut().interact_size.y = 15.0;
        ui.spacing_mut().item_spacing.y = 1.0;
        ui.horizontal(|ui| {
            ui.add_space(depth.min(8) as f32 * indent);
            let (bar, _) = ui.allocate_exact_size(egui::vec2(4.0, 14.0), egui::Sense::hover());
            ui.painter().rect_filled(bar, 1.0, color);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if wide {
                    ui.label(RichText::new(&place).small().monospace().color(palette.muted));
                }
                ui.label(RichText::new(&ending).monospace().color(color));
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    if attempts > 1 {
                        attempt_badge(ui, &palette, exchange.attempt());
                    }
                    ui.add(egui::Label::new(&link).truncate());
                });
            });
        });
        if parent.is_none() && wide || low {
            return;
        }
        ui.horizontal(|ui| {
            ui.add_space(depth.min(8) as f32 * indent + 12.0);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if !wide {
                    ui.label(RichText::new(&place).small().monospace().color(palette.muted));
                }
                let Some(parent) = parent else { return };
                let color = match parent.confidence {
                    Confidence::Ambiguous => palette.attention,
                    _ => palette.muted,
                };
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let reasons = first_reason(&parent.evidence.names());
                    let words = format!("{}: {reasons}", confidence_words(parent.confidence));
                    ui.add(egui::Label::new(RichText::new(words).small().color(color)).truncate());
                });
            });
        });
    });
    // Some of it may be cut: the tooltip has all.
    let row = row.on_hover_text(format!("{label}, request {place}\n{}", link_words(pane, exchange.id)));
    if row.clicked() {
        out.push(Action::SelectExchange(exchange.id));
    }
    row
}

fn ending(pane: &Pane<'_>, exchange: &ExchangeView<'_>) -> (String, egui::Color32) {
    let outcome = exchange.outcome();
    match (exchange.status(), exchange.latency_ns()) {
        (Some(status), latency) if !outcome.is_failure() => {
            let latency = latency.map_or(String::new(), |ns| format!(" · {}", duration(ns)));
            (format!("{status}{latency}"), status_color(&pane.palette, Some(status)))
        }
        (Some(status), _) => (format!("{status} {}", outcome_name(outcome)), pane.palette.failed),
        (None, _) if outcome.is_failure() => (format!("✖ {}", outcome_name(outcome)), pane.palette.failed),
        (None, _) => (outcome_name(outcome), pane.palette.muted),
    }
}

/// The lane that sent a request.
fn asks<'a>(pane: &Pane<'a>, id: ExchangeId) -> &'a crate::topology::Lane {
    pane.analysis.lane(pane.analysis.link(pane.analysis.exchange(id).link_id()).from)
}

pub(super) fn link_words(pane: &Pane<'_>, id: ExchangeId) -> String {
    let words = parent_words(pane, id);
    let Some(again) = pane.analysis.trees.again(id) else { return words };
    let sure = match again.confidence {
        Confidence::Certain => "it has the id of the one that failed",
        _ => "its client does not ask for the same so soon after a good answer",
    };
    let wait = wait_words(pane.analysis, id);
    format!("A client's retry, sent{wait}: {sure}. No proxy made it. {words}")
}

fn parent_words(pane: &Pane<'_>, id: ExchangeId) -> String {
    match pane.analysis.trees.parent(id) {
        Some(parent) => why_linked(&parent.confidence, &link_reasons(pane, id)),
        None if pane.analysis.trees.orphan(id).is_some() => {
            let words = pane.analysis.trees.orphan(id).map_or("", Orphan::words);
            format!("No neighbouring hop shows this request: {words}.")
        }
        None if pane.analysis.trees.children(id).is_empty() => {
            "No neighbouring hop shows this request.".to_owned()
        }
        None if asks(pane, id).users => "The user's end of this request.".to_owned(),
        None => format!("{} asked; what made it ask is not known.", asks(pane, id).name),
    }
}

pub(super) fn confidence_words(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Ambiguous => "? ambiguous",
    }
}

/// What a reason says of the two requests, in words; a reason without words of its own is named.
fn reason(name: &str) -> String {
    match name {
        "request-id" => "same request id",
        "target" => "same method and target",
        "host" => "same Host",
        "body" => "same body",
        "containment" => "runs inside it",
        "status" => "same status",
        "headers" => "has all its headers",
        "retry" => "repeats the failed attempt byte for byte",
        "copy" => "a copy sent aside (mirrored): nobody waits for its answer",
        "hedge" => "sent byte for byte beside one that still waited; the first answer counts",
        "forwarded-for" => "names its client address",
        other => return other.replace('-', " "),
    }
    .to_owned()
}

/// All reasons for the parent of a request, in words.
pub(super) fn link_reasons(pane: &Pane<'_>, id: ExchangeId) -> String {
    let Some(parent) = pane.analysis.trees.parent(id) else { return String::new() };
    let words = |name: &str| match name {
        "containment" if is_moved_out(pane.analysis, id, parent.parent) => {
            "runs inside it in the capture that holds both, though not by the offset given by hand".to_owned()
        }
        name => reason(name),
    };
    listed(parent.evidence.names().into_iter().map(words))
}

/// Reasons one behind the other: what is the same is said to be that once.
fn listed(reasons: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    let mut was_same = false;
    for reason in reasons {
        let (is_same, rest) = match reason.strip_prefix("same ") {
            Some(rest) => (true, rest),
            None => (false, &*reason),
        };
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(if is_same && was_same { rest } else { &reason });
        was_same = is_same;
    }
    text
}

/// Whether a request is shown outside the one that caused it because the user moved a clock.
fn is_moved_out(analysis: &Analysis, child: ExchangeId, parent: ExchangeId) -> bool {
    let (child, parent) = (analysis.exchange(child), analysis.exchange(parent));
    let clocks = [child.capture, parent.capture].map(|capture| analysis.topology.clocks[capture.index()]);
    if clocks[0].manual_ns == clocks[1].manual_ns {
        return false;
    }
    let slack = clocks.iter().filter_map(|clock| clock.band_ns).fold(0i64, i64::saturating_add);
    child.started().0.saturating_add(slack) < parent.started().0
        || child.started().0.saturating_sub(slack) > parent.settled().0
        || child.status().is_some() && child.settled().0.saturating_sub(slack) > parent.settled().0
}

/// Why a request is taken for the cause of another one, in a sentence.
fn why_linked(confidence: &Confidence, reasons: &str) -> String {
    let sure = match confidence {
        Confidence::Certain => "Certain: nothing else fits, or an id says so.",
        Confidence::Likely => "Likely: other candidates fit worse.",
        Confidence::Ambiguous => "Ambiguous: another request fits as well, and nothing tells them apart.",
    };
    format!("Linked to the request above: {reasons}. {sure}")
}

/// The strongest reason, and how many more there are: `request id and 6 more`.
pub fn first_reason(names: &[&str]) -> String {
    let Some((first, rest)) = names.split_first() else { return String::new() };
    let first = first.replace('-', " ");
    if rest.is_empty() { first } else { format!("{first} and {} more", rest.len()) }
}

/// `GET /api/item/77`, and `200 after 2 attempts`: the title of the request that the exchange is part of.
pub fn title(pane: &Pane<'_>, id: ExchangeId) -> (String, String) {
    let root = pane.analysis.exchange(pane.analysis.trees.root(id));
    let children = pane.analysis.trees.children(root.id);
    let attempts = children.iter().map(|&child| pane.analysis.exchange(child).attempt()).max().unwrap_or(1);
    let answer = root.status().map_or(outcome_name(root.outcome()), |status| status.to_string());
    let note = if attempts > 1 { format!("{answer} after {attempts} attempts") } else { answer };
    (format!("{} {}", root.method(), root.target()), note)
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn what_is_the_same_is_said_to_be_that_once() {
        let reasons = ["same request id", "same Host", "runs inside it", "same status"].map(String::from);
        assert_eq!(listed(reasons.into_iter()), "same request id, Host, runs inside it, same status");
    }
}
