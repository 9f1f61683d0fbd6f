//! What went wrong with the files: in the way when data is missing, behind a button when it is a mere remark.

use egui::text::{LayoutJob, TextFormat};
use egui::{Color32, Frame, Panel, RichText, ScrollArea, Ui};

use super::Palette;
use super::format::{counted, grouped};
use super::panes::Actions;
use super::state::{Action, AppState};
use crate::capture::{CaptureId, CaptureInfo, Problem, ProblemKind};
use crate::topology::{Remark, RemarkKind};

/// Whether the problem cost data, so that the user has to know at once.
fn is_serious(problem: &Problem) -> bool {
    match problem.kind {
        ProblemKind::Unreadable
        | ProblemKind::EmptyFile
        | ProblemKind::NotACapture
        | ProblemKind::TruncatedFile
        | ProblemKind::BadRecord
        | ProblemKind::UnsupportedLinkType
        | ProblemKind::DroppedPackets
        | ProblemKind::LimitReached => true,
        ProblemKind::LookLimited
        | ProblemKind::JoinedFiles
        | ProblemKind::UnknownVersion
        | ProblemKind::UndecodablePacket
        | ProblemKind::CaptureLoss
        | ProblemKind::ConflictingBytes
        | ProblemKind::CutPacket
        | ProblemKind::TimeBackwards
        | ProblemKind::TimeMissing
        | ProblemKind::LenientHttp
        | ProblemKind::AmbiguousFraming => false,
    }
}

fn files(state: &AppState) -> impl Iterator<Item = &CaptureInfo> {
    named_files(state).map(|(_, info)| info)
}

/// The files that something is wrong with, and what tells each from the others.
fn named_files(state: &AppState) -> impl Iterator<Item = (CaptureId, &CaptureInfo)> {
    let captures = state.document.iter().flat_map(|document| &document.analysis.captures);
    let all = (0..).map(CaptureId).zip(captures.map(|capture| &capture.info));
    all.filter(|(_, info)| !info.problems.is_empty())
}

fn name_of(state: &AppState, id: CaptureId) -> String {
    state.document.as_ref().map_or_else(String::new, |document| document.analysis.capture_name(id))
}

/// What has to be said of the captures as a set.
fn on_set(state: &AppState) -> impl Iterator<Item = &Remark> {
    state.document.iter().flat_map(|document| &document.analysis.topology.remarks)
}

/// Whether who does not know of it would read the window wrongly: figures over several recordings, or lanes by a
/// mistyped address.
fn misleads(remark: &Remark) -> bool {
    matches!(remark.kind, RemarkKind::UnrelatedCaptures | RemarkKind::UnmatchedOverride)
}

/// How much of the list is in the window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    /// One line: what weighs most.
    Line,
    All,
}

fn shown(state: &AppState) -> Shown {
    // Of captures that are gone the remarks are old news; the button still has them.
    let held = state.document.as_ref().is_some_and(|document| document.held.is_some());
    let serious = || !held && files(state).any(|info| info.problems.iter().any(is_serious));
    let misled = || on_set(state).any(misleads);
    match state.ui.problems_shown {
        Some(true) => Shown::All,
        None if serious() || misled() => Shown::Line,
        Some(false) | None => Shown::Nothing,
    }
}

/// Problems of all files that cost data, and mere remarks.
fn counts(state: &AppState) -> (usize, usize) {
    let all = files(state).flat_map(|info| &info.problems);
    all.fold((0, on_set(state).count()), |(errors, remarks), problem| match is_serious(problem) {
        true => (errors + 1, remarks),
        false => (errors, remarks + 1),
    })
}

/// `1 error and 3 remarks on 2 files`.
fn words(state: &AppState) -> String {
    let (errors, remarks) = counts(state);
    let named = [(errors, "error"), (remarks, "remark")].into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = named.map(|(count, thing)| counted(count as u64, thing)).collect();
    let parts = parts.join(" and ");
    match files(state).count() {
        0 => format!("{parts} on the captures together"),
        number => format!("{parts} on {}", counted(number as u64, "file")),
    }
}

/// The button that shows or hides the list; nothing when all files are well.
pub fn button_ui(ui: &mut Ui, state: &AppState, out: &mut Actions) {
    let (errors, remarks) = counts(state);
    if errors + remarks == 0 {
        return;
    }
    let palette = Palette::of(ui.ctx());
    let shown = shown(state) != Shown::Nothing;
    let mut text = LayoutJob::default();
    for (count, mark, color) in [(errors, "✖", palette.failed), (remarks, "ℹ", palette.note)] {
        if count > 0 {
            let space = if text.is_empty() { 0.0 } else { 8.0 };
            let format = TextFormat::simple(egui::TextStyle::Button.resolve(ui.style()), color);
            text.append(&format!("{mark} {}", grouped(count as u64)), space, format);
        }
    }
    let button = ui.add(egui::Button::new(text).selected(shown));
    button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Remarks on files"));
    if button.on_hover_text(words(state)).clicked() {
        out.push(Action::ShowProblems(!shown));
    }
}

/// Height of the list, in points; what is more than that is scrolled to.
const LIST: f32 = 128.0;

/// The list, one line a problem.
pub fn problems_ui(ui: &mut Ui, state: &AppState, frame: Frame, out: &mut Actions) {
    let (errors, remarks) = counts(state);
    let shown = shown(state);
    if errors + remarks == 0 || shown == Shown::Nothing {
        return;
    }
    let palette = Palette::of(ui.ctx());
    Panel::top("problems").frame(frame).show(ui, |ui| {
        ui.horizontal(|ui| {
            let (mark, color) = if errors > 0 { ("✖", palette.failed) } else { ("ℹ", palette.note) };
            ui.label(RichText::new(mark).color(color));
            ui.strong(words(state));
            let hint = "Hide this list; the button with the same marks brings it back";
            if ui.small_button("Hide").on_hover_text(hint).clicked() {
                out.push(Action::ShowProblems(false));
            }
            if shown == Shown::Line {
                if ui.small_button("Show all").on_hover_text("List them, one line each").clicked() {
                    out.push(Action::ShowProblems(true));
                }
                let (text, color) = worst(state, &palette);
                let text = RichText::new(text).color(color);
                ui.add(egui::Label::new(text).truncate());
            } else {
                ui.weak("What could be read is shown.");
            }
        });
        if shown == Shown::Line {
            return;
        }
        ScrollArea::vertical()
            .id_salt("problems")
            .max_height(LIST)
            .min_scrolled_height(LIST)
            .auto_shrink([false, true])
            .show(ui, |ui| {
                // What cost data comes first.
                for serious in [true, false] {
                    if !serious {
                        for remark in on_set(state) {
                            let text = format!("ℹ {}", remark.detail);
                            ui.add(egui::Label::new(RichText::new(text).color(palette.text)).wrap());
                        }
                    }
                    for (id, info) in named_files(state) {
                        let name = name_of(state, id);
                        let all = info.problems.iter().filter(|problem| is_serious(problem) == serious);
                        all.for_each(|problem| problem_ui(ui, &palette, (&name, info), problem));
                    }
                }
            });
    });
}

/// What weighs most: a file of which data is missing, else what is to be said of all captures.
fn worst(state: &AppState, palette: &Palette) -> (String, Color32) {
    let mut all =
        named_files(state).flat_map(|(id, info)| info.problems.iter().map(move |problem| (id, problem)));
    match all.find(|(_, problem)| is_serious(problem)) {
        Some((id, problem)) => (problem_words(&name_of(state, id), problem), palette.failed),
        None => {
            let worst = on_set(state).find(|remark| misleads(remark)).or_else(|| on_set(state).next());
            (worst.map_or_else(String::new, |remark| remark.detail.clone()), palette.text)
        }
    }
}

fn problem_words(name: &str, problem: &Problem) -> String {
    let times = problem.in_all();
    let kind = problem.kind.to_string().replace('-', " ");
    format!("{name}: {kind} — {}{times}", problem.detail)
}

fn problem_ui(ui: &mut Ui, palette: &Palette, (name, info): (&str, &CaptureInfo), problem: &Problem) {
    let (mark, color) = if is_serious(problem) { ("✖", palette.failed) } else { ("ℹ", palette.text) };
    let text = format!("{mark} {}", problem_words(name, problem));
    ui.add(egui::Label::new(RichText::new(text).color(color)).wrap())
        .on_hover_text(info.path.display().to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_left_all_traffic_read_is_a_remark() {
        let of = |kind| Problem { kind, detail: String::new(), count: 1 };
        assert!(is_serious(&of(ProblemKind::LimitReached)));
        assert!(!is_serious(&of(ProblemKind::LookLimited)));
    }
}
