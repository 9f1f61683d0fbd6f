//! The clock table: for each capture the computed offset, the user's own part, the total, its band and its method.

use egui::{ComboBox, Grid, RichText, ScrollArea, TextEdit, Ui};

use super::lanes::{Draft, quiet};
use super::{Actions, Pane};
use crate::app::chain::{ChainEdit, manual_ns, parse_offset};
use crate::app::format::cut_middle;
use crate::app::state::Action;
use crate::capture::CaptureId;
use crate::diagnose::words::{band, drift, offset};
use crate::export::clocks::{band_words, contradiction, digits, method_name, over_time};
use crate::topology::{Clock, ClockMethod, LaneId, RemarkKind};

/// Most characters of a capture's name; the whole path is in the tooltip.
const NAME: usize = 44;

const HEADS: [(&str, &str); 8] = [
    ("capture", "The file"),
    ("taken at", "The lane at which it was recorded; choose it where the traffic does not tell"),
    ("computed", "What hopscope adds to its timestamps, found from the traffic"),
    ("manual", "What you add: 12.5 ms, -1 h, 250 us; a number alone is milliseconds"),
    ("total", "Computed and manual together"),
    ("band", "The truth lies this far from the computed offset at most"),
    ("method", "How the offset was found"),
    ("over time", "How the clock went while it recorded: its drift, and where it was set"),
];

/// Draws the table.
pub fn clocks_ui(ui: &mut Ui, pane: &Pane<'_>, draft: &mut Draft, out: &mut Actions) {
    let palette = pane.palette;
    ui.add_space(12.0);
    ui.label(RichText::new("Clocks").strong().size(14.0));
    let hint = "Session time is the time of the reference capture. Within the bands no order between captures is claimed.";
    ui.add(egui::Label::new(RichText::new(hint).small().color(palette.muted)).wrap());
    if let Some(refused) = &draft.refused {
        ui.label(RichText::new(format!("✖ {refused}")).color(palette.failed));
    }
    ui.add_space(4.0);
    // Long names and large offsets need more than a small screen has.
    ScrollArea::horizontal().id_salt("clocks").auto_shrink(true).show(ui, |ui| {
        Grid::new("clocks").num_columns(HEADS.len()).striped(true).spacing([18.0, 5.0]).show(ui, |ui| {
            for (name, help) in HEADS {
                ui.label(RichText::new(name).small().color(palette.muted)).on_hover_text(help);
            }
            ui.end_row();
            for (at, &clock) in pane.analysis.topology.clocks.iter().enumerate() {
                clock_row(ui, pane, CaptureId(at as u16), clock, draft, out);
                ui.end_row();
            }
        });
    });
    contradictions_ui(ui, pane);
}

/// Below the table: whose clock the user set to what the traffic rules out, and what else that was said fits nothing.
fn contradictions_ui(ui: &mut Ui, pane: &Pane<'_>) {
    let remarks = pane.analysis.topology.remarks.iter();
    for remark in remarks.filter(|remark| remark.kind == RemarkKind::UnmatchedOverride) {
        let words = RichText::new(format!("⚠ {}", remark.detail)).color(pane.palette.attention);
        ui.add(egui::Label::new(words).wrap());
    }
    for (clock, id) in pane.analysis.topology.clocks.iter().zip(0..) {
        let id = CaptureId(id);
        if let Some(words) = contradiction(clock, &pane.analysis.capture(id).info) {
            let words = format!("⚠ {}: {words}", pane.analysis.capture_name(id));
            ui.add(egui::Label::new(RichText::new(words).color(pane.palette.attention)).wrap());
        }
    }
}

fn clock_row(
    ui: &mut Ui,
    pane: &Pane<'_>,
    id: CaptureId,
    clock: Clock,
    draft: &mut Draft,
    out: &mut Actions,
) {
    let palette = pane.palette;
    let manual = manual_ns(&pane.session.overrides, id);
    let info = &pane.analysis.capture(id).info;
    let path = info.path.display().to_string();
    ui.label(cut_middle(&pane.analysis.capture_name(id), NAME)).on_hover_text(path);
    lane_ui(ui, pane, id, out);
    // The user's part as it is now, which the analysis may not have yet.
    let now = Clock { manual_ns: manual, ..clock };
    ui.label(quiet(digits(clock.offset_ns.saturating_sub(manual), &now, info), palette.text));
    manual_ui(ui, pane, id, manual, draft, out);
    ui.label(quiet(digits(clock.offset_ns, &now, info), palette.text));
    match contradiction(&clock, info) {
        Some(doubt) => {
            ui.label(quiet(format!("⚠ {}", band_words(&clock, info)), palette.attention))
                .on_hover_text(doubt);
        }
        None => {
            let color = if clock.band_ns.is_some() { palette.text } else { palette.attention };
            ui.label(quiet(band_words(&clock, info), color));
        }
    }
    ui.label(method_name(clock.method)).on_hover_text(format!(
        "{}. It rests on: {}",
        method_help(clock.method),
        clock.basis()
    ));
    over_time_ui(ui, pane, id, &clock);
}

/// Drift and steps in few words; all of it is in the tooltip.
fn over_time_ui(ui: &mut Ui, pane: &Pane<'_>, id: CaptureId, clock: &Clock) {
    let info = &pane.analysis.capture(id).info;
    let Some(help) = over_time(clock, info) else {
        // Of a clock that nothing was compared with nobody knows how it went.
        let is_known = clock.method != ClockMethod::None && clock.method != ClockMethod::Declared;
        ui.label(quiet(if is_known { "steady" } else { "not known" }, pane.palette.muted));
        return;
    };
    let mut parts = Vec::new();
    if clock.drifts() {
        parts.push(drift(clock.drift_ppb, clock.outside_ppb));
    }
    for step in clock.steps.iter().flatten() {
        let at = pane.clock.time(clock.moment_of(step));
        parts.push(format!("set by {}\nat {at}", offset(step.by_ns.saturating_neg())));
    }
    if !clock.changes() {
        parts.push("less sure at its ends".to_owned());
    } else if let (Some(first), Some(last)) = (info.first, info.last)
        && let Some(whole) = clock.whole_band_ns(first, last)
    {
        parts.push(format!("{} as one number", band(whole)));
    }
    // The band has it already; a clock that is known less well before and after is the rule, and calls for nothing.
    let color = if clock.changes() { pane.palette.attention } else { pane.palette.muted };
    let words = RichText::new(parts.join("\n")).small().color(color);
    ui.label(words).on_hover_text(help);
}

fn manual_ui(ui: &mut Ui, pane: &Pane<'_>, id: CaptureId, manual: i64, draft: &mut Draft, out: &mut Actions) {
    let shown = if manual == 0 { String::new() } else { exact_ms(manual) };
    let mut text = draft.offsets.get(&id.0).unwrap_or(&shown).clone();
    let wrong = !text.trim().is_empty() && parse_offset(&text).is_none();
    let color = if wrong { pane.palette.failed } else { pane.palette.text };
    let edit = TextEdit::singleline(&mut text)
        .font(egui::TextStyle::Monospace)
        .text_color(color)
        .hint_text("0")
        .desired_width(104.0);
    let edit = ui.add_sized([104.0, 20.0], edit);
    let name = format!("Manual offset of {}", pane.analysis.capture_name(id));
    edit.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, &name));
    if edit.changed() {
        draft.offsets.insert(id.0, text.clone());
    }
    let left = edit.lost_focus();
    edit.on_hover_text(if wrong { OFFSET_HELP } else { HEADS[3].1 });
    if !left || draft.offsets.remove(&id.0).is_none() || ui.input(|i| i.key_pressed(egui::Key::Escape)) {
        return;
    }
    if wrong {
        let kept = if manual == 0 { "none".to_owned() } else { offset(manual) };
        let file = pane.analysis.capture_name(id);
        draft.refused =
            Some(format!("\"{}\" is no offset of {file}; kept: {kept}. {OFFSET_HELP}", text.trim()));
        return;
    }
    draft.refused = None;
    let manual_ns = parse_offset(&text).unwrap_or(0);
    out.push(Action::EditChain(ChainEdit::Clock { capture: id, manual_ns }));
}

const OFFSET_HELP: &str = "Write 12.5 ms, -1 h or 250 us, of at most 69 years";

fn lane_ui(ui: &mut Ui, pane: &Pane<'_>, id: CaptureId, out: &mut Actions) {
    let chosen = chosen_lane(pane, id);
    let found = found_lane(pane, id);
    let name = |lane: LaneId| pane.chain().lanes[usize::from(lane.0)].name.clone();
    let shown = chosen.or(found).map_or_else(|| "several hops".to_owned(), name);
    let combo = ComboBox::from_id_salt(("taken at", id.0)).selected_text(shown).width(110.0);
    let response = combo.show_ui(ui, |ui| {
        let by_traffic = found.map_or_else(|| "several hops".to_owned(), name);
        let mut choose = |ui: &mut Ui, lane: Option<LaneId>, words: String| {
            if ui.selectable_label(chosen == lane, words).clicked() {
                out.push(Action::EditChain(ChainEdit::TakenAt { capture: id, lane }));
            }
        };
        choose(ui, None, format!("by the traffic: {by_traffic}"));
        for at in 0..pane.chain().lanes.len() {
            let lane = LaneId(at as u16);
            choose(ui, Some(lane), name(lane));
        }
    });
    let name = format!("Lane of {}", pane.analysis.capture_name(id));
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, &name));
}

/// The lane that the user chose for a capture.
fn chosen_lane(pane: &Pane<'_>, id: CaptureId) -> Option<LaneId> {
    let (_, name) = pane.session.overrides.taken_at.iter().find(|(at, _)| *at == id.0)?;
    let at = pane.chain().lanes.iter().position(|lane| lane.name == *name)?;
    Some(LaneId(at as u16))
}

/// The lane at which a capture was taken: the user's word, else what the traffic says.
pub fn lane_of(pane: &Pane<'_>, id: CaptureId) -> Option<LaneId> {
    chosen_lane(pane, id).or_else(|| found_lane(pane, id))
}

/// The lane at which the traffic says that it was taken.
fn found_lane(pane: &Pane<'_>, id: CaptureId) -> Option<LaneId> {
    let shown = pane.document.taken_at.get(id.index()).copied().flatten()?;
    pane.chain_lane(shown)
}

fn method_help(method: ClockMethod) -> &'static str {
    match method {
        ClockMethod::SameSegment => {
            "The same TCP segments are in this capture and in one aligned before: they bound the offset from both sides"
        }
        ClockMethod::Containment => {
            "Requests must lie inside the requests that caused them: that bounds the offset from both sides"
        }
        ClockMethod::Declared => "You gave it; nothing in the traffic says otherwise",
        ClockMethod::SameHost => "There is only one clock: one capture, or captures of one host",
        ClockMethod::None => "Nothing ties this clock to the others: 0 is a guess",
    }
}

/// Milliseconds with every nanosecond: what was typed must come back unchanged.
fn exact_ms(ns: i64) -> String {
    let (sign, ns) = (if ns < 0 { "-" } else { "" }, ns.unsigned_abs());
    let fraction = format!("{:06}", ns % 1_000_000);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{dot}{fraction} ms", ns / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_comes_back_as_it_was_typed() {
        for ns in [1, -1, 12_500_000, -3_600_000_000_000, 1_000_000] {
            assert_eq!(parse_offset(&exact_ms(ns)), Some(ns), "{}", exact_ms(ns));
        }
        assert_eq!(exact_ms(12_500_000), "12.5 ms");
    }
}
