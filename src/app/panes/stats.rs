//! Statistics: answers of one link over time, and the spread of its latencies.

use egui::{Color32, RichText, Stroke, Ui};
use egui_plot::{Bar, BarChart, GridMark, MarkerShape, Plot, PlotPoints, Points};

use super::figures::link_choice_ui;
use super::{Actions, Pane};
use crate::app::format::{counted, duration, grouped};
use crate::app::series::{BUCKETS, Kind, LinkSeries, latency_of};
use crate::capture::SessionTime;
use crate::topology::LinkId;

/// Draws both plots of the chosen link, or of the one where failures begin; all links are a click away.
pub fn stats_ui(ui: &mut Ui, pane: &Pane<'_>, chosen: Option<LinkId>, out: &mut Actions) {
    if pane.document.series.links.is_empty() {
        ui.weak("No link between two hops was found.");
        return;
    }
    let head = ui.horizontal_wrapped(|ui| {
        let shown = link_choice_ui(ui, pane, chosen, out);
        figures_ui(ui, pane, shown);
        shown
    });
    let shown = head.inner;
    if let Some(series) = pane.document.series.links.get(usize::from(shown.0)) {
        held_ui(ui, pane, shown);
        plots_ui(ui, pane, shown, series);
    }
}

fn figures_ui(ui: &mut Ui, pane: &Pane<'_>, id: LinkId) {
    let Some(figures) = pane.analysis.diagnosis.board.links.get(usize::from(id.0)) else { return };
    let mut words = format!("{} requests", grouped(figures.requests));
    if let Some([p50, p95, p99, max]) = figures.latency_ns {
        let [p50, p95, p99, max] = [p50, p95, p99, max].map(duration);
        words.push_str(&format!(" · latency p50 {p50}, p95 {p95}, p99 {p99}, max {max}"));
    }
    ui.label(RichText::new(words).small().monospace().color(pane.palette.muted));
}

/// Of a snapshot without its captures: that the plots draw only what it holds, which is mostly what failed.
fn held_ui(ui: &mut Ui, pane: &Pane<'_>, id: LinkId) {
    if pane.document.held.is_none() {
        return;
    }
    let ids = &pane.analysis.link(id).connections;
    let drawn: u64 = ids.iter().map(|&id| pane.analysis.connection(id).exchanges().len() as u64).sum();
    let words = format!(
        "The plots draw only the {} of this link that the snapshot holds, mostly those around failures; the figures above are those of the whole captures.",
        counted(drawn, "exchange")
    );
    ui.add(egui::Label::new(RichText::new(words).small().color(pane.palette.attention)).wrap());
}

fn plots_ui(ui: &mut Ui, pane: &Pane<'_>, id: LinkId, series: &LinkSeries) {
    let room = ui.available_size();
    ui.horizontal_top(|ui| {
        // Higher than the pane it would push the pane's edge up.
        let height = room.y - TITLE - ui.spacing().item_spacing.y;
        let part = |share: f32| egui::vec2((room.x - 12.0) * share, height.max(60.0));
        let titled = |ui: &mut Ui, share: f32, title: &str, signs: &[(Kind, u64)]| {
            let size = egui::vec2(part(share).x, TITLE);
            let (row, response) = ui.allocate_exact_size(size, egui::Sense::hover());
            let mut words = title.to_owned();
            for (kind, count) in signs {
                words.push_str(&format!(", {} {}", kind.name(), grouped(*count)));
            }
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, &words));
            title_ui(ui, pane, row, title, signs);
            part(share)
        };
        ui.vertical(|ui| {
            let all = Kind::ALL.into_iter().map(|kind| (kind, series.count(kind)));
            let kinds: Vec<_> = all.filter(|(_, count)| *count > 0).collect();
            let size = titled(ui, 0.6, "requests over time, by answer", &kinds);
            over_time_ui(ui, pane, id, series, size);
        });
        ui.vertical(|ui| {
            let size = titled(ui, 0.4, "requests by latency", &[]);
            latency_ui(ui, pane, id, series, size);
        });
    });
}

/// What a cross above a bar means.
const FAILURES: &str = "failures among them";
/// Height of a plot's title.
const TITLE: f32 = 18.0;

/// What a plot shows, and what its colours mean, with how many there are, for few among thousands are no bar that one
/// could see: beside the plot, where they cover none.
fn title_ui(ui: &Ui, pane: &Pane<'_>, row: egui::Rect, title: &str, signs: &[(Kind, u64)]) {
    let (palette, font) = (pane.palette, egui::FontId::proportional(11.5));
    let write = |x: f32, words: &str| {
        let at = egui::pos2(x, row.center().y);
        ui.painter().text(at, egui::Align2::LEFT_CENTER, words, font.clone(), palette.muted).right()
    };
    let mut x = write(row.left(), title) + 16.0;
    for &(kind, count) in signs {
        let sign = egui::Rect::from_center_size(egui::pos2(x + 5.0, row.center().y), egui::vec2(10.0, 9.0));
        ui.painter().rect_filled(sign, 1.0, kind_color(pane, kind));
        if kind == Kind::NoAnswer {
            let stroke = Stroke::new(1.0, palette.failed);
            ui.painter().rect_stroke(sign, 1.0, stroke, egui::StrokeKind::Inside);
        }
        x = write(sign.right() + 5.0, &format!("{} {}", kind.name(), grouped(count))) + 14.0;
    }
    if signs.iter().any(|(kind, _)| kind.is_failure()) {
        let at = egui::pos2(x, row.center().y);
        let sign = ui.painter().text(at, egui::Align2::LEFT_CENTER, "×", font.clone(), palette.failed);
        write(sign.right() + 5.0, FAILURES);
    }
}

fn kind_color(pane: &Pane<'_>, kind: Kind) -> Color32 {
    match kind {
        Kind::Fine => pane.palette.answered,
        Kind::ClientError => pane.palette.attention,
        Kind::ServerError => pane.palette.failed,
        // A failure too: paler than an answer of 5xx, in an outline, as the timeline draws it.
        Kind::NoAnswer => pane.palette.panel.lerp_to_gamma(pane.palette.failed, 0.35),
    }
}

fn over_time_ui(ui: &mut Ui, pane: &Pane<'_>, id: LinkId, series: &LinkSeries, size: egui::Vec2) {
    let (start, step) = (pane.document.series.start, pane.document.series.step_ns);
    let clock = pane.clock.clone();
    let time = move |bucket: f64| {
        clock.time(SessionTime(start.0.saturating_add((bucket * step as f64) as i64 / 1000 * 1000)))
    };
    let label = time.clone();
    let mut charts: Vec<BarChart> = Vec::new();
    for kind in Kind::ALL {
        let counts = &series.answers[kind as usize];
        if counts.iter().all(|&count| count == 0) {
            continue;
        }
        let bars = counts.iter().enumerate().map(|(at, &count)| {
            let bar = Bar::new(at as f64 + 0.5, f64::from(count)).width(0.9).fill(kind_color(pane, kind));
            match kind {
                Kind::NoAnswer if count > 0 => bar.stroke(Stroke::new(1.0, pane.palette.failed)),
                _ => bar,
            }
        });
        let chart = BarChart::new(kind.name(), bars.collect()).color(kind_color(pane, kind));
        let below: Vec<&BarChart> = charts.iter().collect();
        let chart = chart.stack_on(&below);
        charts.push(chart);
    }
    // Among thousands of answers a few failures are thinner than a line: each bar that has some bears a cross.
    let marks: Vec<[f64; 2]> = series.failed().map(|(at, all)| [at as f64 + 0.5, f64::from(all)]).collect();
    let marks = Points::new(FAILURES, PlotPoints::from(marks))
        .shape(MarkerShape::Cross)
        .radius(4.0)
        .color(pane.palette.failed);
    plot(("answers", id.0), size)
        .include_x(0.0)
        .include_x(BUCKETS as f64)
        .x_axis_formatter(move |mark, _| {
            let time = time(mark.value);
            time.get(..12).unwrap_or(&time).to_owned()
        })
        .label_formatter(move |position| Some(label(position_x(position))))
        .show(ui, |ui| {
            for chart in charts {
                ui.bar_chart(chart);
            }
            ui.points(marks);
        });
}

fn position_x(position: &egui_plot::HoverPosition<'_>) -> f64 {
    match position {
        egui_plot::HoverPosition::NearDataPoint { position, .. }
        | egui_plot::HoverPosition::Elsewhere { position } => position.x,
    }
}

fn latency_ui(ui: &mut Ui, pane: &Pane<'_>, id: LinkId, series: &LinkSeries, size: egui::Vec2) {
    let used = |count: &u32| *count > 0;
    let first = series.latency.iter().position(used).unwrap_or(0);
    let last = series.latency.iter().rposition(used).unwrap_or(0);
    let bars = (first..=last)
        .map(|at| Bar::new(at as f64 + 0.5, f64::from(series.latency[at])).width(0.9))
        .collect();
    let chart = BarChart::new("latency", bars).color(pane.palette.note);
    plot(("latency", id.0), size)
        .include_x(first as f64)
        .include_x(last as f64 + 1.0)
        .x_grid_spacer(|input| latency_marks(input.bounds))
        .x_axis_formatter(|mark, _| round_latency(mark.value))
        .label_formatter(|position| Some(duration(latency_of(position_x(position)))))
        .show(ui, |ui| ui.bar_chart(chart));
}

/// 1, 2 and 5 of each decade of milliseconds, as positions on the axis.
fn latency_marks((first, last): (f64, f64)) -> Vec<GridMark> {
    let decades = (first / 10.0).floor() as i32..=(last / 10.0).ceil() as i32;
    let marks = decades.flat_map(|decade| {
        let mark = |value: f64, step_size| GridMark { value: f64::from(decade) * 10.0 + value, step_size };
        [mark(0.0, 10.0), mark(2f64.log10() * 10.0, 5.0), mark(5f64.log10() * 10.0, 5.0)]
    });
    marks.filter(|mark| (first..=last).contains(&mark.value)).collect()
}

/// `200 µs`, `5 ms`: the marks are round numbers, so no digit behind the point is needed.
fn round_latency(position: f64) -> String {
    let ns = latency_of(position + 1e-6);
    match ns {
        0..1_000_000 => format!("{} µs", (ns as f64 / 1e3).round()),
        1_000_000..1_000_000_000 => format!("{} ms", (ns as f64 / 1e6).round()),
        _ => format!("{} s", (ns as f64 / 1e9).round()),
    }
}

fn plot<'a>(id: (&str, u16), size: egui::Vec2) -> Plot<'a> {
    Plot::new(id)
        .width(size.x.max(120.0))
        .height(size.y)
        .allow_scroll(false)
        .allow_zoom([true, false])
        .show_grid([false, true])
        .include_y(0.0)
        .y_axis_formatter(
            |mark, _| if mark.value.fract() == 0.0 { grouped(mark.value as u64) } else { String::new() },
        )
}
