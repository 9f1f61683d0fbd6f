//! Bands, tracks, bars and marks of what is in view.

use std::ops::ControlFlow;
use std::sync::Arc;

use egui::{
    Align2, Color32, FontId, Id, Mesh, Painter, Pos2, Rect, Response, Role, Sense, Shape, Stroke, Ui,
    WidgetInfo,
};

use super::arrange::{Arrangement, BAND, Entry, Placed};
use super::fills::{Covered, paint_bar};
use super::marks::{MarkNode, mark_nodes, paint_mark, small_mark};
use super::tracks::tracks;
use super::{Frame, LayoutKey, RowMode, RowSums, TimelineAction, TimelineState, labels, shapes};
use crate::app::Palette;
use crate::app::format::cut_middle;
use crate::capture::SessionTime;
use crate::timeline::{Item, Look, Mark, Place, Row, RowLayout, Span, layout_marks, layout_row};
use crate::topology::{ConnectionId, ExchangeId};

/// Bars that screen readers and tests can name, at most; the rest is reached by zooming in.
pub(super) const NODES: usize = 750;
/// Texts on bars in a frame, at most.
pub(super) const TEXTS: usize = 1_500;
/// Rows lower than this show where something went on, no single bars.
pub(super) const LOW: f32 = 4.0;
/// How much wider the gaps are that bars on such rows merge across.
const LOW_GRAIN: f32 = 4.0;
/// Rows at least this high carry text.
pub(super) const TEXT_ROW: f32 = 15.0;

/// What the body painted, for clicks on what is no node of its own.
#[derive(Default)]
pub(super) struct Shown {
    pub clicked: bool,
    /// Addresses and facts of the lanes: no line of a request may cross them, so they are painted after those.
    pub words: Vec<Shape>,
}

/// A bar that can be pointed at.
pub(super) struct BarNode {
    place: Place,
    /// Its place on its row.
    at: usize,
    rect: Rect,
    item: Item,
    span: Span,
}

/// Shapes by layer: what is added later lies on top.
pub(super) struct Layers {
    pub under: Vec<Shape>,
    pub fills: Mesh,
    pub over: Vec<Shape>,
    pub marks: Vec<Shape>,
    /// See [`Shown::words`].
    pub words: Vec<Shape>,
    /// What the rows before, as low as this one, have filled of its line.
    pub covered: Covered,
    pub texts: usize,
    /// Left edges of the port labels on the row being painted.
    pub port_labels: Vec<f32>,
    /// The bars, for pointing at them.
    nodes: Vec<BarNode>,
    /// The marks, for pointing at them.
    pub mark_nodes: Vec<MarkNode>,
    plain_nodes: usize,
    notable_nodes: usize,
}

impl Layers {
    fn new(frame: &Frame<'_>) -> Self {
        Self {
            under: vec![],
            fills: Mesh::default(),
            over: vec![],
            marks: vec![],
            words: vec![],
            covered: Covered::within(frame.regions.body.x_range()),
            texts: 0,
            port_labels: vec![],
            nodes: vec![],
            mark_nodes: vec![],
            plain_nodes: 0,
            notable_nodes: 0,
        }
    }

    /// Whether a bar becomes a node of its own. What failed has a budget apart, so that it is named even
    /// behind a thousand plain bars; plain bars too narrow to aim at are left to [`super::input`].
    fn takes_node(&mut self, item: &Item) -> bool {
        let notable = item.worst > Look::Unknown || item.retries > 0;
        let used = if notable { &mut self.notable_nodes } else { &mut self.plain_nodes };
        *used += 1;
        *used <= NODES && (notable || item.width() >= 4.0)
    }
}

/// Paints everything between axis and legend.
pub(super) fn body_ui(
    ui: &Ui,
    frame: &Frame<'_>,
    state: &mut TimelineState,
    arrangement: &Arrangement,
    actions: &mut Vec<TimelineAction>,
) -> Shown {
    let body = frame.regions.body;
    let painter = ui.painter_at(body);
    let mut layers = Layers::new(frame);
    let mut shown = Shown::default();
    let scroll = state.scroll;
    let low = low_rows(&painter, frame, state, arrangement);
    let band_marks = band_marks(frame, state);
    for placed in arrangement.between(scroll, scroll + body.height()) {
        let y = frame.y(placed, scroll);
        match placed.entry {
            Entry::Band(lane) => {
                band(ui, &painter, frame, (&mut layers, &band_marks), lane, (y, placed.height));
            }
            Entry::Link(link) => {
                let at = Pos2::new(frame.scale.left + 4.0, y + placed.height / 2.0);
                text(
                    &painter,
                    &mut layers.under,
                    at,
                    Align2::LEFT_CENTER,
                    &frame.input.model.links[link].name,
                    11.0,
                    frame.palette.muted,
                );
            }
            Entry::Row(place) if placed.height >= TEXT_ROW => {
                paint_row(&painter, frame, state, &mut layers, place, Placed { y, ..*placed });
            }
            Entry::Row(_) => {}
        }
    }
    let rings = bar_nodes(ui, frame, low.nodes.iter().chain(&layers.nodes), actions, &mut shown);
    layers.marks.extend(rings);
    // Behind all rows: a mark wins over the bars below and beside it.
    let nodes = low.mark_nodes.iter().chain(&layers.mark_nodes).collect();
    let rings = mark_nodes(ui, frame, nodes, actions, &mut shown);
    layers.marks.extend(rings);
    layers.under.push(Shape::mesh(layers.fills));
    for (low, own) in [(&low.under, layers.under), (&low.over, layers.over), (&low.marks, layers.marks)] {
        painter.extend(low.iter().cloned());
        painter.extend(own);
    }
    shown.words = layers.words;
    shown
}

/// What the rows without text look like depends on.
#[derive(Clone, PartialEq)]
pub(super) struct LowKey {
    layout: LayoutKey,
    selected: (Option<ExchangeId>, Option<ConnectionId>),
    rows: RowMode,
    scroll: f32,
    body: Rect,
    palette: Palette,
}

/// Rows too low for text, painted: kept while nothing changes. With very many exchanges in view these are thousands of
/// rows, and to paint them took most of a frame.
pub(super) struct LowRows {
    under: Vec<Shape>,
    over: Vec<Shape>,
    marks: Vec<Shape>,
    nodes: Vec<BarNode>,
    mark_nodes: Vec<MarkNode>,
}

/// The rows without text: as they were painted before, where they look the same.
fn low_rows(
    painter: &Painter,
    frame: &Frame<'_>,
    state: &mut TimelineState,
    arrangement: &Arrangement,
) -> Arc<LowRows> {
    let key = LowKey {
        layout: LayoutKey::of(frame),
        selected: (frame.input.selection.exchange, frame.input.selection.connection),
        rows: state.rows,
        scroll: state.scroll,
        body: frame.regions.body,
        palette: frame.palette,
    };
    if let Some((known, low)) = &state.low
        && *known == key
    {
        return Arc::clone(low);
    }
    let (mut layers, scroll) = (Layers::new(frame), state.scroll);
    for placed in arrangement.between(scroll, scroll + frame.regions.body.height()) {
        if let (Entry::Row(place), true) = (placed.entry, placed.height < TEXT_ROW) {
            let placed = Placed { y: frame.y(placed, scroll), ..*placed };
            paint_row(painter, frame, state, &mut layers, place, placed);
        }
    }
    let Layers { mut under, fills, over, marks, nodes, mark_nodes, .. } = layers;
    under.push(Shape::mesh(fills));
    let low = Arc::new(LowRows { under, over, marks, nodes, mark_nodes });
    state.low = Some((key, Arc::clone(&low)));
    low
}

/// The marks of each link for its lane's band: as they were laid out before, while nothing that they depend on has changed.
fn band_marks(frame: &Frame<'_>, state: &mut TimelineState) -> Arc<Vec<Vec<Mark>>> {
    let key = LayoutKey::of(frame);
    if let Some((known, marks)) = &state.band_marks
        && *known == key
    {
        return Arc::clone(marks);
    }
    let links = frame.input.model.links.iter();
    let marks = Arc::new(links.map(|link| layout_marks(link, &frame.scale)).collect());
    state.band_marks = Some((key, Arc::clone(&marks)));
    marks
}

/// The layout of a row: from the cache while nothing that it depends on has changed.
fn layout<'s>(
    frame: &Frame<'_>,
    state: &'s mut TimelineState,
    (place, low): (Place, bool),
    row: &Row,
) -> &'s RowLayout {
    let key = LayoutKey::of(frame);
    let (known, layouts) = state.layouts.get_or_insert_with(|| (key.clone(), hashbrown::HashMap::new()));
    if *known != key {
        *known = key;
        layouts.clear();
    }
    let sums = &mut state.matching;
    layouts.entry((place.link, place.row, low)).or_insert_with(|| {
        let matching = frame.input.filter.map(|_| matching(frame, sums, place, row));
        layout_row(row, &frame.scale, if low { LOW_GRAIN } else { 1.0 }, matching)
    })
}

/// How many spans of a row pass the filter, up to each: counted once for each filter.
fn matching<'s>(
    frame: &Frame<'_>,
    sums: &'s mut Option<((u64, u64), RowSums)>,
    place: Place,
    row: &Row,
) -> &'s [u32] {
    let key = (frame.input.generation, frame.input.filter_generation);
    let (known, rows) = sums.get_or_insert_with(|| (key, RowSums::default()));
    if *known != key {
        *known = key;
        rows.clear();
    }
    rows.entry((place.link, place.row)).or_insert_with(|| row.matching(|id| frame.input.matches(id)))
}

fn text(
    painter: &Painter,
    out: &mut Vec<Shape>,
    at: Pos2,
    anchor: Align2,
    words: &str,
    size: f32,
    colour: Color32,
) -> Rect {
    let galley = painter.layout_no_wrap(words.to_owned(), FontId::proportional(size), colour);
    let rect = anchor.anchor_size(at, galley.size());
    out.push(Shape::galley(rect.min, galley, colour));
    rect
}

/// Width of a letter of a lane's words, in points: the mean of what they are made of.
const FACT_LETTER: f32 = 5.4;

fn band(
    ui: &Ui,
    painter: &Painter,
    frame: &Frame<'_>,
    (layers, band_marks): (&mut Layers, &[Vec<Mark>]),
    lane: usize,
    (y, height): (f32, f32),
) {
    let (palette, body) = (&frame.palette, frame.regions.body);
    let rect = Rect::from_min_max(Pos2::new(body.left(), y), Pos2::new(body.right(), y + height));
    // Name and addresses may be cut: the tooltip has all, and lies over no bar as long as the words are pointed at.
    let words = Rect::from_min_max(rect.min, Pos2::new(frame.scale.left, rect.bottom())).intersect(body);
    if words.is_positive() && !frame.quiet {
        let response = ui.interact(words, Id::unique("timeline lane").with(lane), Sense::hover());
        response.on_hover_ui(|ui| {
            labels::lane(frame.input.analysis, &frame.input.model.lanes[lane]).into_iter().for_each(|line| {
                ui.label(line);
            });
        });
    }
    layers.under.push(Shape::rect_filled(rect, 0.0, palette.raised));
    let band = &frame.input.model.lanes[lane];
    if frame.input.analysis.lane(band.lane).inferred {
        shapes::dashed_outline(&mut layers.under, rect.shrink(1.0), Stroke::new(1.0, palette.muted));
    }
    let left = rect.left() + 10.0;
    // The upper half of the band right of the name belongs to the marks, the lower half to the words.
    let low = height < BAND;
    let name = cut_middle(&band.name, 15);
    let at = Pos2::new(left, y + if low { height / 2.0 } else { 10.0 });
    let named = text(painter, &mut layers.under, at, Align2::LEFT_CENTER, &name, 13.5, palette.text);
    let mut write = |at: Pos2, anchor: Align2, words: &str, size: f32, colour: Color32| {
        let backdrop = layers.words.len();
        layers.words.push(Shape::Noop);
        let rect = text(painter, &mut layers.words, at, anchor, words, size, colour);
        layers.words[backdrop] = Shape::rect_filled(rect.expand2(egui::vec2(3.0, 0.0)), 0.0, palette.raised);
        rect
    };
    let colour = if band.fact.alarming { palette.failed } else { palette.muted };
    let at = Pos2::new(rect.right() - 8.0, if low { rect.bottom() - 6.5 } else { y + 21.5 });
    // On a low band name and words share a line; what is cut is in the tooltip.
    let free = at.x - 8.0 - if low { named.right() } else { left };
    let words = labels::cut(&band.fact.text, (free / FACT_LETTER).max(0.0) as usize);
    let fact = write(at, Align2::RIGHT_CENTER, &words, 10.5, colour);
    if !low {
        let letters = ((fact.left() - 12.0 - left) / FACT_LETTER).max(0.0) as usize;
        let addresses = labels::cut(&band.addresses, letters);
        write(Pos2::new(left, y + 22.5), Align2::LEFT_CENTER, &addresses, 9.5, palette.muted);
    }
    // It shows the marks of all rows below, so that none is out of sight when its row is.
    let marks_y = y + if low { 5.0 } else { 8.0 };
    if !frame.input.model.links_below[lane].is_empty() {
        let line = Stroke::new(1.0, palette.line);
        layers.under.push(Shape::hline(frame.scale.left..=rect.right() - 8.0, marks_y, line));
    }
    for &link in &frame.input.model.links_below[lane] {
        for mark in &band_marks[link] {
            small_mark(layers, frame, mark, marks_y, low);
        }
    }
}

/// A row with everything that its painting needs.
pub(super) struct RowView<'a> {
    pub row: &'a Row,
    pub layout: &'a RowLayout,
    /// With `y` on the screen.
    pub placed: Placed,
    pub place: Place,
}

impl RowView<'_> {
    pub(super) fn middle(&self) -> f32 {
        (self.placed.y + self.placed.height / 2.0).round()
    }

    fn bar(&self, item: &Item, limits: egui::Rangef) -> Rect {
        let half = half_bar(self.placed.height);
        // Never narrower than two pixels, and never over the row's label.
        let left = nearest(item.x0).max(limits.min);
        let right = nearest(item.x1).max(left + 2.0).min(limits.max);
        Rect::from_min_max(Pos2::new(left, self.middle() - half), Pos2::new(right, self.middle() + half))
    }
}

/// The nearest whole number, of a place within or left of the pane: `round` is a call of a library, and this is asked for
/// each end of each bar.
fn nearest(x: f32) -> f32 {
    (x + 0.5) as i32 as f32
}

/// Half the height of a bar on a row. Where text fits on the row, it fits on the bar.
pub(super) fn half_bar(row: f32) -> f32 {
    let free = match row {
        h if h > 19.0 => 7.0,
        h if h > 12.0 => 3.0,
        h if h > 5.0 => 2.0,
        _ => 1.0,
    };
    ((row - free) / 2.0).max(1.0).floor()
}

/// Paints a row, and notes which of its bars and marks can be pointed at.
fn paint_row(
    painter: &Painter,
    frame: &Frame<'_>,
    state: &mut TimelineState,
    layers: &mut Layers,
    place: Place,
    placed: Placed,
) {
    let Some(row) = frame.input.model.row(place) else { return };
    let layout = layout(frame, state, (place, placed.height < LOW), row);
    let view = &RowView { row, layout, placed, place };
    tracks(painter, frame, layers, view);
    let plot = frame.regions.plot(frame.regions.body);
    for (at, item) in view.layout.items.iter().enumerate() {
        let Some(span) = view.row.spans.get(item.first) else { continue };
        let rect = view.bar(item, plot.x_range());
        paint_bar(painter, frame, layers, view, item, span, rect);
        if !layers.takes_node(item) {
            continue;
        }
        let seen = rect.expand2(egui::vec2(1.0, 2.0)).intersect(plot);
        if seen.is_positive() {
            layers.nodes.push(BarNode { place, at, rect: seen, item: *item, span: *span });
        }
    }
    for at in 0..view.layout.marks.len() {
        paint_mark(painter, frame, layers, view, at);
    }
}

/// Lets bars be pointed at; returns what shows where the keyboard is.
fn bar_nodes<'n>(
    ui: &Ui,
    frame: &Frame<'_>,
    nodes: impl Iterator<Item = &'n BarNode>,
    actions: &mut Vec<TimelineAction>,
    shown: &mut Shown,
) -> Option<Shape> {
    let mut ring = None;
    for BarNode { place, at, rect, item, span } in nodes {
        let id = Id::unique("timeline").with((place.link, place.row, *at, span.exchange));
        let response = ui.interact(*rect, id, Sense::click());
        if response.has_focus() {
            ring = Some(focus_ring(frame, *rect));
        }
        if let ControlFlow::Break(()) = node(frame, response, item, span, actions) {
            shown.clicked = true;
        }
    }
    ring
}

/// Around what the keyboard is at.
pub(super) fn focus_ring(frame: &Frame<'_>, rect: Rect) -> Shape {
    let stroke = Stroke::new(1.5, frame.palette.path);
    Shape::rect_stroke(rect.expand(1.5), 2.0, stroke, egui::StrokeKind::Outside)
}

/// Clicks and words of a bar.
fn node(
    frame: &Frame<'_>,
    response: Response,
    item: &Item,
    span: &Span,
    actions: &mut Vec<TimelineAction>,
) -> ControlFlow<()> {
    let analysis = frame.input.analysis;
    let limits = frame.input.model.limits();
    let selected = frame.input.selection.exchange == Some(span.exchange);
    response.widget_info(|| {
        let words = if item.is_single() { labels::node(analysis, span) } else { labels::run(item) };
        WidgetInfo::selected(Role::Button, true, item.is_single() && selected, words)
    });
    let (clicked, twice) = (response.clicked(), response.double_clicked());
    if !frame.quiet {
        response.on_hover_ui_at_pointer(|ui| {
            if item.is_single() {
                for line in labels::tooltip(analysis, span) {
                    ui.label(line);
                }
            } else {
                ui.label(labels::run(item));
            }
        });
    }
    if item.is_single() {
        if twice {
            let exchange = analysis.exchange(span.exchange);
            let view = limits.around(exchange.started(), SessionTime(span.end));
            actions.push(TimelineAction::View(view));
        } else if clicked {
            actions.push(TimelineAction::Select(span.exchange));
        }
    } else if clicked {
        let (x0, x1) = (frame.scale.time_from_x(item.x0), frame.scale.time_from_x(item.x1));
        actions.push(TimelineAction::View(limits.around(x0, x1)));
    }
    if clicked { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
