//! The answer first: the worst finding in a sentence, the figures that prove it, the change to make.

use egui::{Align, Color32, Frame, Layout, Margin, RichText, Stroke, Ui};

use super::{Actions, Pane};
use crate::analysis::Analysis;
use crate::app::command::Command;
use crate::app::format::{counted, grouped};
use crate::app::state::Action;
use crate::app::widgets::severity_mark;
use crate::diagnose::Severity;
use crate::diagnose::beyond::{self, Beyond};
use crate::diagnose::carried::unread;

/// Draws the banner of the worst finding, or of its absence.
pub fn verdict_ui(ui: &mut Ui, pane: &Pane<'_>, out: &mut Actions) {
    match leading(pane.analysis) {
        Some(Leading::Finding(at)) => {
            let finding = &pane.analysis.diagnosis.findings[at];
            let color = severity_mark(&pane.palette, finding.severity);
            finding_ui(ui, pane, color, (at, &finding.summary, &finding.explanation), out);
        }
        Some(Leading::Beyond(beyond)) => {
            let told = (beyond.finding, &*beyond.summary, &*beyond.explanation);
            finding_ui(ui, pane, ("?", pane.palette.attention), told, out);
        }
        None => all_well_ui(ui, pane),
    }
}

/// What the banner names.
pub enum Leading {
    /// A finding, by its place.
    Finding(usize),
    /// Failures from behind what was captured.
    Beyond(Beyond),
}

impl Leading {
    /// The place of the finding whose evidence is shown first.
    pub fn finding(&self) -> usize {
        match self {
            Self::Finding(at) => *at,
            Self::Beyond(beyond) => beyond.finding,
        }
    }
}

/// What the banner names, in the same order of ideas as the report: warnings lead where there is no error, but for those on
/// what retries hid where what users saw came from behind what was captured. `None` where
/// nothing failed of which anything is known.
pub fn leading(analysis: &Analysis) -> Option<Leading> {
    if let Some(beyond) = beyond::leading(analysis) {
        return Some(Leading::Beyond(beyond));
    }
    let worst = analysis.diagnosis.findings.first();
    worst.filter(|finding| finding.severity >= Severity::Warning).map(|_| Leading::Finding(0))
}

fn banner<R>(ui: &mut Ui, pane: &Pane<'_>, color: Color32, contents: impl FnOnce(&mut Ui) -> R) {
    let fill = pane.palette.panel.lerp_to_gamma(color, 0.10);
    let frame = Frame::new()
        .fill(fill)
        .stroke(Stroke::new(1.0, color))
        .corner_radius(6)
        .inner_margin(Margin { left: 16, right: 12, top: 8, bottom: 8 });
    let rect = frame
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            contents(ui);
        })
        .response
        .rect;
    let edge = egui::Rect::from_min_max(rect.min, egui::pos2(rect.min.x + 5.0, rect.max.y));
    ui.painter().rect_filled(edge, egui::CornerRadius { nw: 6, sw: 6, ne: 0, se: 0 }, color);
}

/// The banner of a finding: its place among all, and what is said of it.
fn finding_ui(
    ui: &mut Ui,
    pane: &Pane<'_>,
    (mark, color): (&str, Color32),
    (index, summary, explanation): (usize, &str, &str),
    out: &mut Actions,
) {
    let palette = pane.palette;
    let fix = pane.analysis.diagnosis.findings.get(index).and_then(|finding| finding.fixes.first());
    banner(ui, pane, color, |ui| {
        ui.horizontal_top(|ui| {
            let wide = ui.available_width() > 1000.0;
            let words = (ui.available_width() - if wide { BUTTONS_IN_A_ROW } else { BUTTONS }).max(200.0);
            ui.vertical(|ui| {
                ui.set_width(words);
                ui.add(egui::Label::new(headline(ui, mark, color, summary)).wrap());
                ui.add(egui::Label::new(first_sentences(explanation, 260)).wrap());
                if let Some(fix) = fix {
                    let text = match fix.product.as_str() {
                        "" => format!("Change: {}", fix.change),
                        product => format!("Change ({product}): {}", fix.change),
                    };
                    ui.add(egui::Label::new(RichText::new(text).monospace().color(palette.path)).wrap());
                }
            });
            // From the right edge: a finding without a fix leaves no gap there.
            ui.with_layout(Layout::top_down(Align::Max), |ui| {
                ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
                    if fix.is_some() && wide {
                        button(ui, pane, index, Command::CopyFix, out);
                    }
                    button(ui, pane, index, Command::WhySure, out);
                    button(ui, pane, index, Command::ShowEvidence, out);
                });
                if fix.is_some() && !wide {
                    button(ui, pane, index, Command::CopyFix, out);
                }
            });
        });
    });
}

/// A button about the finding that the banner names, whichever is selected. Its keys are told only where they would do
/// the same.
fn button(ui: &mut Ui, pane: &Pane<'_>, index: usize, command: Command, out: &mut Actions) {
    let (name, help, action) = match command {
        Command::CopyFix => ("Copy fix", "Copy the change that mends this", Action::CopyFixOf(index)),
        Command::WhySure => ("Why so sure?", "The reasons, doubts and fixes", Action::ExplainFinding(index)),
        _ => ("Show evidence", "Go to the packet that proves this", Action::SelectFinding(index)),
    };
    let keys = command.keys(ui.ctx());
    let is_same = pane.session.selection.finding.unwrap_or(0) == index && !keys.is_empty();
    let help = if is_same { format!("{help} ({keys})") } else { help.to_owned() };
    if ui.button(name).on_hover_text(help).clicked() {
        out.push(action);
    }
}

/// Width kept for the buttons at the right.
const BUTTONS: f32 = 232.0;
/// The same, where all three stand side by side.
const BUTTONS_IN_A_ROW: f32 = 310.0;

/// Mark and sentence as one text, so that a second line starts under the first.
fn headline(ui: &Ui, mark: &str, color: Color32, sentence: &str) -> egui::text::LayoutJob {
    let format = |color| egui::TextFormat::simple(egui::FontId::proportional(17.0), color);
    let mut job = egui::text::LayoutJob::default();
    job.append(mark, 0.0, format(color));
    job.append(sentence, 8.0, format(ui.visuals().strong_text_color()));
    job
}

/// As many whole sentences as fit into `limit` bytes, at least one: the banner is for the answer, the rest
/// is behind "Why so sure?".
fn first_sentences(text: &str, limit: usize) -> &str {
    let text = text.split("\n\n").next().unwrap_or(text);
    let ends = text.match_indices(". ").map(|(at, _)| at + 1).chain([text.len()]);
    let mut best = None;
    for end in ends {
        if best.is_none() || end <= limit {
            best = Some(end);
        }
    }
    &text[..best.unwrap_or(text.len())]
}

fn all_well_ui(ui: &mut Ui, pane: &Pane<'_>) {
    let analysis = pane.analysis;
    let requests = analysis.diagnosis.board.requests();
    let responses: u64 = analysis.diagnosis.board.links.iter().map(|link| link.responses).sum();
    let others = analysis.diagnosis.findings.len();
    let unread = unread(analysis);
    let left = analysis.diagnosis.failures.only_left();
    let (mark, color, text) = if requests == 0 && unread.is_some() {
        ("?", pane.palette.attention, "No HTTP request can be read in these captures".to_owned())
    } else if requests == 0 {
        ("?", pane.palette.attention, "No HTTP request found in these captures".to_owned())
    } else if left.is_none() {
        ("?", pane.palette.attention, "Requests failed, and these captures do not show why".to_owned())
    } else {
        ("✔", pane.palette.answered, "No fault found".to_owned())
    };
    banner(ui, pane, color, |ui| {
        ui.add(egui::Label::new(headline(ui, mark, color, &text)).wrap());
        let mut words = format!(
            "{} and {} on {}.",
            counted(requests, "request"),
            counted(responses, "response"),
            counted(analysis.topology.links.len() as u64, "link")
        );
        if let Some(left @ 1..) = left {
            words.push_str(&format!(
                " Given up by their clients before the answer was whole: {}.",
                grouped(left)
            ));
        }
        if others > 0 {
            words.push_str(&format!(" {} of lesser weight on the left.", counted(others as u64, "finding")));
        }
        match &unread {
            Some(unread) => {
                words.push_str(&format!(" Not read: {unread}; they are in the table of connections."));
            }
            None if requests == 0 => {
                words.push_str(" The traffic may be another protocol: the connections are in the table.");
            }
            None => {}
        }
        ui.add(egui::Label::new(words).wrap());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_keeps_whole_sentences() {
        assert_eq!(first_sentences("One. Two. Three.", 10), "One. Two.");
        assert_eq!(first_sentences("A single long sentence", 5), "A single long sentence");
        assert_eq!(first_sentences("", 5), "");
    }
}
