//! "Where does it start?": the failures by link, and the boundary between the links that show them and the rest.

use egui::{Align2, RichText, Sense, Ui, vec2};

use super::{Actions, Pane};
use crate::app::format::grouped;
use crate::app::state::Action;
use crate::app::widgets::{card, share_row};
use crate::diagnose::words::{ambiguous, at_least_short, counted};
use crate::diagnose::{Board, LinkFigures};
use crate::topology::{LinkId, RemarkKind};

/// Draws the board.
pub fn board_ui(ui: &mut Ui, pane: &Pane<'_>, out: &mut Actions) {
    let board = &pane.analysis.diagnosis.board;
    let status = board.status.as_deref();
    let note = status.map_or("answers by hop".to_owned(), |status| format!("{status} by hop"));
    card(ui, &pane.palette, "Where does it start?", &note, |ui| {
        matrix_ui(ui, pane, board, out);
        ui.add_space(4.0);
        if let Some(words) = boundary_words(pane, board) {
            ui.add(egui::Label::new(RichText::new(words).small().color(pane.palette.muted)).wrap());
        }
        ambiguous_ui(ui, pane, board, out);
        for (at, figures) in board.links.iter().enumerate() {
            if let Some(unasked) = figures.unasked_words() {
                let words = format!("{} shows {unasked}", pane.analysis.link_name(LinkId(at as u16)));
                ui.add(egui::Label::new(RichText::new(words).small().color(pane.palette.muted)).wrap());
            }
        }
        for (at, figures) in board.links.iter().enumerate().filter(|(_, f)| f.refused_connections > 0) {
            let refused = counted(figures.refused_connections, "connection");
            let words = format!("{}: {refused} refused", pane.analysis.link_name(LinkId(at as u16)));
            ui.add(egui::Label::new(RichText::new(words).small().color(pane.palette.failed)).wrap());
        }
        for (at, figures) in board.links.iter().enumerate() {
            if let Some(coverage) = &figures.coverage {
                let words = crate::diagnose::coverage::words(pane.analysis, coverage);
                let words = format!("{} {words}", pane.analysis.link_name(LinkId(at as u16)));
                ui.add(egui::Label::new(RichText::new(words).small().color(pane.palette.attention)).wrap());
            }
        }
        if is_mixed(pane) {
            let words = "These captures are of separate recordings: each number is a sum over all of them, and a \
                recording without this failure looks as if it had it. Open one alone, or use Compare…";
            ui.add(egui::Label::new(RichText::new(words).small().color(pane.palette.attention)).wrap());
        }
        if let Some(link) = interesting_link(pane, board) {
            ordinals_ui(ui, pane, link, &board.links[usize::from(link.0)]);
        }
        methods_ui(ui, pane, out);
    });
}

/// For each link that has some, how many of its requests are ambiguous.
fn ambiguous_ui(ui: &mut Ui, pane: &Pane<'_>, board: &Board, out: &mut Actions) {
    for (at, figures) in board.links.iter().enumerate().filter(|(_, figures)| figures.ambiguous > 0) {
        let id = LinkId(at as u16);
        let words = ambiguous(figures.ambiguous, figures.requests);
        let text = format!("{}: {words}", pane.analysis.link_name(id));
        let text = RichText::new(text).small().color(pane.palette.attention);
        let label = ui.add(egui::Label::new(text).wrap().sense(Sense::click()));
        let help = "Equal requests ran at the same time, and nothing tells which of them caused these. Retries and \
            hidden failures are counted without them. Click to show them.";
        if label.on_hover_text(help).clicked() {
            out.push(Action::SetFilter(format!("{} confidence:ambiguous", link_filter(pane, id))));
        }
    }
}

/// The words of the filter for a link.
fn link_filter(pane: &Pane<'_>, id: LinkId) -> String {
    let link = pane.analysis.link(id);
    // Names with blanks cannot be one word of a filter; their last word is the best there is.
    let word = |lane| {
        let name: &str = &pane.analysis.lane(lane).name;
        name.split_whitespace().last().unwrap_or_default().to_lowercase()
    };
    format!("link:{} link:{}", word(link.from), word(link.to))
}

/// Whether the captures are of recordings that have nothing to do with each other.
fn is_mixed(pane: &Pane<'_>) -> bool {
    pane.analysis.topology.remarks.iter().any(|remark| remark.kind == RemarkKind::UnrelatedCaptures)
}

/// Right edges of the number columns, from the right border, in points, where the numbers are not wider.
const COLUMNS: [f32; 4] = [102.0, 72.0, 42.0, 0.0];
/// Least space between two columns.
const COLUMN_GAP: f32 = 10.0;
const ROW: f32 = 20.0;
/// Height of the line above the numbers that holds a name for which there is no room beside them.
const NAME_LINE: f32 = 16.0;

/// Where the numbers stand: no two run into each other, however large they are.
struct Columns {
    /// Right edges, from the right border.
    edges: [f32; 4],
    /// What the numbers take from the right border on.
    width: f32,
}

impl Columns {
    /// For rows of numbers.
    fn of<'a>(rows: impl Iterator<Item = &'a [String; 4]>, width: impl Fn(&str) -> f32) -> Self {
        let mut widest = [0.0f32; 4];
        for cells in rows {
            for (widest, cell) in widest.iter_mut().zip(cells) {
                *widest = widest.max(width(cell));
            }
        }
        let mut edges = [0.0; 4];
        for at in (0..3).rev() {
            edges[at] = edges[at + 1] + (COLUMNS[at] - COLUMNS[at + 1]).max(widest[at + 1] + COLUMN_GAP);
        }
        Self { edges, width: edges[0] + widest[0] + 6.0 }
    }
}

fn matrix_ui(ui: &mut Ui, pane: &Pane<'_>, board: &Board, out: &mut Actions) {
    let palette = pane.palette;
    let status = board.status.as_deref().unwrap_or("5xx");
    let small = egui::FontId::proportional(11.5);
    let (head, response) = ui.allocate_exact_size(vec2(ui.available_width(), 16.0), Sense::hover());
    response.on_hover_text("none: no answer was seen, as of rejected requests");
    let cells: Vec<[String; 4]> = board.links.iter().map(|figures| cells(figures, board)).collect();
    let mono = egui::FontId::monospace(12.0);
    let width =
        |text: &str| ui.painter().layout_no_wrap(text.to_owned(), mono.clone(), palette.text).size().x;
    let columns = Columns::of(cells.iter(), width);
    for (edge, text) in columns.edges.iter().zip(["requests", status, "none", "retried"]) {
        let at = egui::pos2(head.right() - edge, head.center().y);
        ui.painter().text(at, Align2::RIGHT_CENTER, text, small.clone(), palette.muted);
    }
    ui.spacing_mut().item_spacing.y = 0.0;
    for (at, (figures, cells)) in board.links.iter().zip(&cells).enumerate() {
        let id = LinkId(at as u16);
        let failed = failures_of(figures, board) > 0;
        let rejected = !figures.rejected_by_method.is_empty();
        link_row(ui, pane, id, (cells, [failed, rejected]), &columns, out);
        if board.boundary == Some(id) {
            let (line, _) = ui.allocate_exact_size(vec2(ui.available_width(), 7.0), Sense::hover());
            let ends = [line.left_center(), line.right_center()];
            let stroke = egui::Stroke::new(1.5, palette.failed);
            ui.painter().extend(egui::Shape::dashed_line(&ends, stroke, 6.0, 3.0));
        }
    }
}

/// The numbers of a link: requests, failures, those without an answer, retried ones.
fn cells(figures: &LinkFigures, board: &Board) -> [String; 4] {
    let requests = figures.requests_words();
    if figures.requests == 0 && requests == "encrypted" {
        // What nobody could read has no number.
        return [requests, "?".to_owned(), "?".to_owned(), "?".to_owned()];
    }
    let none = match figures.with_status("none") {
        0 => "–".to_owned(),
        none => grouped(none),
    };
    [requests, grouped(failures_of(figures, board)), none, retried_words(figures)]
}

fn link_row(
    ui: &mut Ui,
    pane: &Pane<'_>,
    id: LinkId,
    (cells, [has_failures, has_rejected]): (&[String; 4], [bool; 2]),
    columns: &Columns,
    out: &mut Actions,
) {
    let palette = pane.palette;
    let name = pane.analysis.link_name(id);
    let [requests, failures, none, retried] = cells;
    // Names that differ at their ends only must not be cut to the same words.
    let room = ui.available_width() - columns.width;
    let text = |name: &str, mode, room| {
        let text = egui::WidgetText::from(RichText::new(name).color(palette.text));
        text.into_galley(ui, Some(mode), room, egui::TextStyle::Body)
    };
    let whole = text(&name, egui::TextWrapMode::Extend, f32::INFINITY);
    let above = if whole.size().x > room { NAME_LINE } else { 0.0 };
    let text = if whole.size().x > ui.available_width() {
        text(&pane.link_in_short(id), egui::TextWrapMode::Truncate, ui.available_width())
    } else {
        whole
    };
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW + above), Sense::click());
    let label = format!(
        "{name}: {requests} requests, {failures} failures, {none} without an answer, {retried} retried"
    );
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &label));
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, 3.0, palette.raised);
    }
    let mono = egui::FontId::monospace(12.0);
    let (first, last) = (rect.top() + ROW / 2.0, rect.bottom() - ROW / 2.0);
    ui.painter().galley(egui::pos2(rect.left(), first - text.size().y / 2.0), text, palette.text);
    let alarm = |alarming: bool| if alarming { palette.failed } else { palette.muted };
    let colors = [palette.text, alarm(has_failures), alarm(has_rejected), palette.muted];
    for ((edge, text), color) in columns.edges.iter().zip(cells).zip(colors) {
        let at = egui::pos2(rect.right() - edge, last);
        ui.painter().text(at, Align2::RIGHT_CENTER, text, mono.clone(), color);
    }
    if response.on_hover_text(format!("{name}: show its failures in the table")).clicked() {
        out.push(Action::SetFilter(format!("{} failed", link_filter(pane, id))));
    }
}

fn failures_of(figures: &LinkFigures, board: &Board) -> u64 {
    match &board.status {
        Some(status) => figures.with_status(status),
        None => figures
            .status
            .values()
            .flatten()
            .filter(|(status, _)| status.starts_with('5'))
            .map(|(_, count)| count)
            .sum(),
    }
}

fn retried_words(figures: &LinkFigures) -> String {
    let all: Vec<_> =
        figures.retried.iter().map(|(method, count)| format!("{} {method}", grouped(*count))).collect();
    let sum = || at_least_short(figures.retried.values().sum(), figures.unsure);
    match (all.len(), figures.unsure) {
        (0, 0) => "–".to_owned(),
        (1, 0) => all[0].clone(),
        (1, _) => format!("≥ {}", all[0]),
        _ => sum(),
    }
}

fn boundary_words(pane: &Pane<'_>, board: &Board) -> Option<String> {
    let (Some(status), Some(boundary)) = (&board.status, board.boundary) else { return None };
    let analysis = pane.analysis;
    let maker = &analysis.lane(analysis.link(boundary).to).name;
    let below = analysis.topology.links.iter().find(|link| link.from == analysis.link(boundary).to);
    let refused = analysis.refused_behind(analysis.link(boundary).to);
    let refused = refused.map(|words| format!(" {words}")).unwrap_or_default();
    Some(match below {
        Some(link) => {
            let server = &analysis.lane(link.to).name;
            format!(
                "{status}s start at the dashed line: {server} never answered {status}, {maker} made them.{refused}"
            )
        }
        None => format!("{maker} itself answers {status}."),
    })
}

/// The link whose later requests fail: the selected finding's, or the first with rejected requests. A link on which
/// every request was answered has nothing to show, whatever the answers said: the failure came from behind it.
pub fn interesting_link(pane: &Pane<'_>, board: &Board) -> Option<LinkId> {
    let finding = pane.session.selection.finding.and_then(|at| pane.analysis.diagnosis.findings.get(at));
    let chosen = finding.and_then(|finding| finding.link);
    let unequal = |id: &LinkId| {
        let [first, second, later] = board.links.get(usize::from(id.0)).map_or([(0, 0); 3], |f| f.ordinals);
        let unanswered = [first, second, later].iter().any(|(requests, answered)| answered < requests);
        first.0 > 0 && second.0 + later.0 > 0 && unanswered
    };
    let rejecting = board.links.iter().position(|figures| !figures.rejected_by_method.is_empty());
    chosen.filter(unequal).or_else(|| rejecting.map(|at| LinkId(at as u16))).filter(unequal)
}

/// What users saw of the failures and what retries hid, by method: why a log may show POSTs only.
fn methods_ui(ui: &mut Ui, pane: &Pane<'_>, out: &mut Actions) {
    let failures = &pane.analysis.diagnosis.failures;
    let mut methods: Vec<&String> = failures.visible.keys().chain(failures.masked.keys()).collect();
    methods.sort();
    methods.dedup();
    if failures.masked.is_empty() {
        return;
    }
    let palette = pane.palette;
    ui.add_space(6.0);
    let small = egui::FontId::proportional(11.5);
    let (head, _) = ui.allocate_exact_size(vec2(ui.available_width(), 16.0), Sense::hover());
    let write = |at: egui::Pos2, align: Align2, text: &str| {
        ui.painter().text(at, align, text, small.clone(), palette.muted);
    };
    write(head.left_center(), Align2::LEFT_CENTER, "failures by method");
    write(head.right_center(), Align2::RIGHT_CENTER, "hidden by retries");
    write(head.right_center() - vec2(SEEN, 0.0), Align2::RIGHT_CENTER, "seen");
    for method in methods.into_iter().take(METHODS) {
        let seen: u64 = failures.visible.get(method).map_or(0, |all| all.values().sum());
        let hidden = failures.masked.get(method).copied().unwrap_or(0);
        let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 16.0), Sense::click());
        // Nothing tells the method of what nobody counted but its own attempts: all are said to be at least so many.
        let hidden_words = at_least_short(hidden, if hidden > 0 { failures.unsure } else { 0 });
        let label = format!("{method}: {} seen, {hidden_words} hidden by retries", grouped(seen));
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &label));
        if response.hovered() || response.has_focus() {
            ui.painter().rect_filled(rect, 3.0, palette.raised);
        }
        let mono = egui::FontId::monospace(11.5);
        ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, method, mono.clone(), palette.text);
        let cells =
            [(hidden, hidden_words, palette.attention, 0.0), (seen, grouped(seen), palette.failed, SEEN)];
        for (count, words, color, edge) in cells {
            let color = if count == 0 { palette.muted } else { color };
            let at = rect.right_center() - vec2(edge, 0.0);
            ui.painter().text(at, Align2::RIGHT_CENTER, words, mono.clone(), color);
        }
        let help = format!("{label}: show every failed {method} in the table, also those that a retry hid");
        if response.on_hover_text(help).clicked() {
            out.push(Action::SetFilter(format!("method:{} failed", method.to_lowercase())));
        }
    }
}

/// Right edge of the numbers that users saw, from the right border, in points.
const SEEN: f32 = 98.0;
/// Methods listed at most: a hostile capture may hold thousands.
const METHODS: usize = 8;

fn ordinals_ui(ui: &mut Ui, pane: &Pane<'_>, link: LinkId, figures: &LinkFigures) {
    let palette = pane.palette;
    ui.add_space(6.0);
    let head = format!("answered, by ordinal on the connection ({})", pane.analysis.link_name(link));
    ui.add(egui::Label::new(RichText::new(head).small().color(palette.muted)).wrap());
    for (name, (requests, answered)) in ["1st", "2nd", "3rd+"].iter().zip(figures.ordinals) {
        share_row(ui, &palette, name, 34.0, answered, requests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_stand_apart() {
        let rows = ["157,051 157,760 2,001 12 GET", "7 3 – –"].map(|row| {
            let mut cells = row.splitn(4, ' ').map(str::to_owned);
            [(); 4].map(|()| cells.next().unwrap())
        });
        let width = |text: &str| text.chars().count() as f32 * 7.2;
        let columns = Columns::of(rows.iter(), width);
        for row in &rows {
            for at in 0..3 {
                let left = columns.edges[at + 1] + width(&row[at + 1]);
                assert!(left + 5.0 < columns.edges[at], "{row:?}: {:?}", columns.edges);
            }
            assert!(columns.edges[0] + width(&row[0]) < columns.width);
        }
        let few = Columns::of(rows[1..].iter(), width);
        assert_eq!(few.edges, COLUMNS, "as they stand elsewhere");
    }
}
