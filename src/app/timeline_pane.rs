//! The swimlane timeline: hops as lanes, connections as tracks, exchanges as bars.
//!
//! The pane changes nothing that it is given: what the user asks for comes back as [`TimelineAction`]s.

mod arrange;
mod bars;
mod fills;
mod input;
mod labels;
mod legend;
mod marks;
mod notes;
mod overview;
mod request;
mod shapes;
#[cfg(test)]
mod tests;
mod tracks;

use std::sync::Arc;

use egui::{Pos2, Rect, Ui};

use self::arrange::{Arrangement, Placed};
use super::Palette;
use crate::analysis::Analysis;
use crate::capture::SessionTime;
use crate::session::{Annotation, Selection, TimeView};
use crate::timeline::{Item, Mark, Minimap, Model, RowLayout, Scale, Zone};
use crate::topology::{ConnectionId, ExchangeId};

/// What the pane shows.
#[derive(Clone, Copy)]
pub struct TimelineInput<'a> {
    /// Grows with each new analysis: cached layouts of an older one are dropped.
    pub generation: u64,
    /// The analysis.
    pub analysis: &'a Analysis,
    /// Its timeline model.
    pub model: &'a Model,
    /// What part of the session to show; `None` for all of it.
    pub view: Option<TimeView>,
    /// What is selected.
    pub selection: &'a Selection,
    /// Whether each exchange passes the filter, by id; `None` without a filter. The others are dimmed.
    pub filter: Option<&'a [bool]>,
    /// Grows with each change of the filter.
    pub filter_generation: u64,
    /// The user's notes.
    pub annotations: &'a [Annotation],
    /// In which zone times are printed.
    pub zone: Zone<'a>,
}

impl TimelineInput<'_> {
    fn matches(&self, id: ExchangeId) -> bool {
        self.filter.is_none_or(|f| f.get(id.0 as usize).copied().unwrap_or(true))
    }
}

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimelineAction {
    /// Select an exchange.
    Select(ExchangeId),
    /// Select a connection.
    SelectConnection(ConnectionId),
    /// Put the cursor.
    Cursor(SessionTime),
    /// Show this part.
    View(TimeView),
    /// Show everything, or one recording of several.
    Fit,
    /// Note something at a moment.
    AnnotateMoment(SessionTime),
}

/// Which rows are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowMode {
    /// Rows with something in the view; their height shrinks until they fit, as far as it goes.
    #[default]
    InView,
    /// All rows at full height.
    All,
    /// Only rows of the selected request.
    Request,
}

/// What layouts depend on; when one part changes they are made anew.
#[derive(Clone, Debug, PartialEq)]
struct LayoutKey {
    generation: u64,
    filter_generation: u64,
    view: TimeView,
    left: f32,
    width: f32,
}

impl LayoutKey {
    fn of(frame: &Frame<'_>) -> Self {
        Self {
            generation: frame.input.generation,
            filter_generation: frame.input.filter_generation,
            view: frame.scale.view,
            left: frame.scale.left,
            width: frame.scale.width,
        }
    }
}

/// Layouts by link and row, and whether the row is low.
type RowLayouts = hashbrown::HashMap<(u16, u32, bool), RowLayout>;
/// How many spans before each pass the filter, by link and row.
type RowSums = hashbrown::HashMap<(u16, u32), Vec<u32>>;

/// The pane's own state between frames; nothing of it needs saving.
#[derive(Default)]
pub struct TimelineState {
    /// Which rows are shown.
    pub rows: RowMode,
    scroll: f32,
    shown_exchange: Option<ExchangeId>,
    shown_connection: Option<ConnectionId>,
    scroll_to_request: bool,
    minimap: Option<((u64, usize), Minimap)>,
    layouts: Option<(LayoutKey, RowLayouts)>,
    band_marks: Option<(LayoutKey, Arc<Vec<Vec<Mark>>>)>,
    low: Option<(bars::LowKey, Arc<bars::LowRows>)>,
    matching: Option<((u64, u64), RowSums)>,
    /// Where the pointer was when what lies under it changed: until it moves, no tooltip speaks of things that came
    /// to lie there.
    quiet_at: Option<Pos2>,
    shown: Option<(TimeView, Selection)>,
    arrangement: Option<(arrange::Key, Arrangement)>,
    window_grab: Option<overview::Grab>,
    bar_grab: Option<f32>,
    body_height: f32,
}

/// Where the parts of the pane lie.
#[derive(Clone, Copy)]
struct Regions {
    overview: Rect,
    axis: Rect,
    body: Rect,
    legend: Rect,
    bar: Rect,
    labels: f32,
}

const LABELS_WIDTH: f32 = 118.0;
const BAR_WIDTH: f32 = 10.0;

impl Regions {
    fn of(rect: Rect) -> Self {
        let strip = |top: f32, bottom: f32| {
            Rect::from_min_max(Pos2::new(rect.left(), top), Pos2::new(rect.right() - BAR_WIDTH, bottom))
        };
        let (overview, axis) = (rect.top() + 38.0, rect.top() + 62.0);
        let legend = (rect.bottom() - 24.0).max(axis);
        Self {
            overview: strip(rect.top(), overview),
            axis: strip(overview, axis),
            body: strip(axis, legend),
            legend: strip(legend, rect.bottom()),
            bar: Rect::from_min_max(
                Pos2::new(rect.right() - BAR_WIDTH, axis),
                Pos2::new(rect.right(), legend),
            ),
            labels: LABELS_WIDTH.min(rect.width() / 3.0),
        }
    }

    fn plot(&self, strip: Rect) -> Rect {
        Rect::from_min_max(Pos2::new(strip.left() + self.labels, strip.top()), strip.max)
    }
}

/// One frame's view of everything: what painting functions share.
struct Frame<'a> {
    input: TimelineInput<'a>,
    palette: Palette,
    regions: Regions,
    scale: Scale,
    /// The selected request's exchanges, sorted.
    lit: Vec<ExchangeId>,
    /// Where they lie: link, row and start, sorted.
    lit_starts: Vec<(u16, u32, i64)>,
    /// Whether tooltips wait for the pointer to move.
    quiet: bool,
}

impl Frame<'_> {
    fn is_lit(&self, id: ExchangeId) -> bool {
        self.lit.binary_search(&id).is_ok()
    }

    /// Whether a run of bars stands for one of the selected request, among others.
    fn holds_lit(&self, view: &bars::RowView<'_>, item: &Item) -> bool {
        if self.lit.is_empty() {
            return false;
        }
        let spans = &view.row.spans;
        let last = (item.first + item.count as usize).min(spans.len()).checked_sub(1);
        let Some((first, last)) = spans.get(item.first).zip(last.map(|at| &spans[at])) else { return false };
        let (link, row) = (view.place.link, view.place.row);
        let at = self.lit_starts.partition_point(|lit| *lit < (link, row, first.start));
        self.lit_starts.get(at).is_some_and(|lit| *lit <= (link, row, last.start))
    }

    /// Top of an entry on the screen.
    fn y(&self, placed: &Placed, scroll: f32) -> f32 {
        self.regions.body.top() + placed.y - scroll
    }
}

/// Draws the timeline into the space that is left and returns what the user asked for.
pub fn timeline_ui(ui: &mut Ui, input: TimelineInput<'_>, state: &mut TimelineState) -> Vec<TimelineAction> {
    let rect = ui.available_rect_before_wrap();
    ui.allocate_rect(rect, egui::Sense::hover());
    let regions = Regions::of(rect);
    let limits = input.model.limits();
    let view = limits.clamp(input.view.unwrap_or_else(|| input.model.fit()));
    let plot = regions.plot(regions.body);
    let lit = request::lit(&input);
    let frame = Frame {
        input,
        palette: Palette::of(ui.ctx()),
        regions,
        scale: Scale::new(view, plot.left(), plot.width()),
        lit_starts: request::starts(&input, &lit),
        lit,
        quiet: is_quiet(ui, state, view, *input.selection),
    };
    let mut actions = Vec::new();
    if plot.width() < 40.0 || regions.body.height() < 20.0 {
        return actions;
    }
    follow_selection(&frame, state, &mut actions);
    // What was in sight may lie below the edge of a lower pane.
    let height = std::mem::replace(&mut state.body_height, regions.body.height());
    state.scroll_to_request |= regions.body.height() < height;
    let arrangement = arrange::cached(&frame, state);
    if std::mem::take(&mut state.scroll_to_request) {
        state.scroll = arrangement.scroll_to_show(&frame, state.scroll);
    }
    let canvas = input::canvas(ui, &frame, state, &mut actions);
    state.scroll = state.scroll.clamp(0.0, (arrangement.height - regions.body.height()).max(0.0));
    overview::overview_ui(ui, &frame, state, &mut actions);
    overview::axis_ui(ui, &frame);
    let shown = bars::body_ui(ui, &frame, state, &arrangement, &mut actions);
    input::empty_clicks(&canvas, &frame, &shown, state, &arrangement, &mut actions);
    request::request_ui(ui, &frame, state.scroll, &arrangement);
    overview::cursor_ui(ui, &frame);
    ui.painter_at(regions.body).extend(shown.words);
    overview::cursor_time_ui(ui, &frame);
    notes::notes_ui(ui, &frame, state.scroll, &arrangement);
    input::scroll_bar_ui(ui, &frame, state, &arrangement);
    legend::legend_ui(ui, &frame, state);
    state.arrangement = state.arrangement.take().map(|(key, _)| (key, arrangement));
    actions
}

/// Whether the pointer has not moved since view or selection changed: a tooltip that opens or stays then would cover
/// what the user has just gone to.
fn is_quiet(ui: &Ui, state: &mut TimelineState, view: TimeView, selection: Selection) -> bool {
    let pointer = ui.input(|i| i.pointer.hover_pos());
    let shown = Some((view, selection));
    if state.shown != shown {
        state.shown = shown;
        state.quiet_at = pointer;
    }
    pointer == state.quiet_at
}

/// When another pane selected an exchange that is not in view, brings it into view.
fn follow_selection(frame: &Frame<'_>, state: &mut TimelineState, actions: &mut Vec<TimelineAction>) {
    let (selected, connection) = (frame.input.selection.exchange, frame.input.selection.connection);
    if selected == state.shown_exchange && connection == state.shown_connection {
        return;
    }
    (state.shown_exchange, state.shown_connection) = (selected, connection);
    state.scroll_to_request = selected.is_some() || connection.is_some();
    let Some(id) = selected else { return };
    let Some((_, span)) = frame.input.model.place_of(frame.input.analysis, id) else { return };
    let view = frame.scale.view;
    if span.end < view.start.0 || span.start > view.end.0 {
        let half = frame.scale.span_ns() / 2;
        let start = SessionTime(span.start.saturating_sub(half));
        let end = SessionTime(start.0.saturating_add(frame.scale.span_ns()));
        actions.push(TimelineAction::View(frame.input.model.limits().clamp(TimeView { start, end })));
    }
}
