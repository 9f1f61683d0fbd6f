//! What went wrong with the files: in the way when data is missing, behind a button when it is a mere remark.

use egui::{Frame, Panel, RichText, ScrollArea, Ui};

use super::Palette;
use super::format::{counted, grouped};
use super::panes::Actions;
use super::state::{Action, AppState};
use crate::capture::{CaptureInfo, Problem, ProblemKind};

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
        ProblemKind::UndecodablePacket
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
    let captures = state.document.iter().flat_map(|document| &document.analysis.captures);
    captures.map(|capture| &capture.info).filter(|info| !info.problems.is_empty())
}

fn is_shown(state: &AppState) -> bool {
    // Of captures that are gone the remarks are old news; the button still has them.
    let held = state.document.as_ref().is_some_and(|document| document.held.is_some());
    let serious = || !held && files(state).any(|info| info.problems.iter().any(is_serious));
    state.ui.problems_shown.unwrap_or_else(serious)
}

/// The button that shows or hides the list; nothing when all files are well.
pub fn button_ui(ui: &mut Ui, state: &AppState, out: &mut Actions) {
    let count = files(state).count();
    if count == 0 {
        return;
    }
    let shown = is_shown(state);
    let text = RichText::new(format!("⚠ {count}")).color(Palette::of(ui.ctx()).attention);
    let button = ui.add(egui::Button::new(text).selected(shown));
    button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Remarks on files"));
    let words = format!("Remarks on {}", counted(count as u64, "file"));
    if button.on_hover_text(words).clicked() {
        out.push(Action::ShowProblems(!shown));
    }
}

/// The list, one line a problem.
pub fn problems_ui(ui: &mut Ui, state: &AppState, frame: Frame, out: &mut Actions) {
    let count = files(state).count();
    if count == 0 || !is_shown(state) {
        return;
    }
    let palette = Palette::of(ui.ctx());
    Panel::top("problems").frame(frame).max_size(150.0).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.label(RichText::new("⚠").color(palette.attention));
            ui.strong(format!("Remarks on {}; what could be read is shown", counted(count as u64, "file")));
            if ui.small_button("Hide").on_hover_text("Hide this list; the ⚠ button brings it back").clicked()
            {
                out.push(Action::ShowProblems(false));
            }
        });
        ScrollArea::vertical().id_salt("problems").max_height(90.0).auto_shrink([false, true]).show(
            ui,
            |ui| {
                // What cost data comes first: the list shows four lines.
                for serious in [true, false] {
                    for info in files(state) {
                        let all = info.problems.iter().filter(|problem| is_serious(problem) == serious);
                        all.for_each(|problem| problem_ui(ui, &palette, info, problem));
                    }
                }
            },
        );
    });
}

fn problem_ui(ui: &mut Ui, palette: &Palette, info: &CaptureInfo, problem: &Problem) {
    let times =
        if problem.count > 1 { format!(" ({} in all)", grouped(problem.count)) } else { String::new() };
    let name = info.path.file_name().unwrap_or(info.path.as_os_str()).to_string_lossy();
    let kind = problem.kind.to_string().replace('-', " ");
    let text = format!("{name}: {kind} — {}{times}", problem.detail);
    let color = if is_serious(problem) { palette.failed } else { palette.text };
    ui.add(egui::Label::new(RichText::new(text).color(color)).wrap())
        .on_hover_text(info.path.display().to_string());
}
