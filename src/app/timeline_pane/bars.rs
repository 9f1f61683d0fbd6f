//! Bands, tracks, bars and marks of what is in view.

use std::ops::ControlFlow;

use egui::{
    Align2, Color32, FontId, Id, Mesh, Painter, Pos2, Rect, Response, Role, Sense, Shape, Stroke, Ui,
    WidgetInfo,
};

use super::arrange::{Arrangement, Entry, Placed};
use super::{Frame, LayoutKey, TimelineAction, TimelineState, labels, shapes};
use crate::capture::SessionTime;
use crate::tcp::Side;
use crate::timeline::{
    ConnectionSpan, EventTick, Item, Look, Mark, MarkKind, Place, Row, RowLayout, Span, TickKind,
    layout_marks, layout_row,
};

/// Bars that screen readers and tests can name, at most; the rest is reached by zooming in.
const NODES: usize = 750;
/// Texts on bars in a frame, at most.
const TEXTS: usize = 1_500;
/// Rows at least this high carry text.
const TEXT_ROW: f32 = 15.0;

/// What the body painted, for clicks on what is no node of its own.
#[derive(Default)]
pub(super) struct Shown {
    pub clicked: bool,
}

/// Shapes by layer: what is added later lies on top.
struct Layers {
    under: Vec<Shape>,
    fills: Mesh,
    over: Vec<Shape>,
    marks: Vec<Shape>,
    texts: usize,
    plain_nodes: usize,
    notable_nodes: usize,
}

impl Layers {
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
    let mut layers = Layers {
        under: vec![],
        fills: Mesh::default(),
        over: vec![],
        marks: vec![],
        texts: 0,
        plain_nodes: 0,
        notable_nodes: 0,
    };
    let mut shown = Shown::default();
    let scroll = state.scroll;
    for placed in arrangement.between(scroll, scroll + body.height()) {
        let y = frame.y(placed, scroll);
        match placed.entry {
            Entry::Band(lane) => band(&painter, frame, &mut layers, lane, y, placed.height),
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
            Entry::Row(place) => {
                let Some(row) = frame.input.model.row(place) else { continue };
                let layout = layout(frame, state, place, row);
                let placed = Placed { y, ..*placed };
                row_ui(
                    ui,
                    &painter,
                    frame,
                    &mut layers,
                    &RowView { row, layout, placed, place },
                    actions,
                    &mut shown,
                );
            }
        }
    }
    painter.extend(layers.under);
    painter.add(layers.fills);
    painter.extend(layers.over);
    painter.extend(layers.marks);
    shown
}

/// The layout of a row: from the cache while nothing that it depends on has changed.
fn layout<'s>(frame: &Frame<'_>, state: &'s mut TimelineState, place: Place, row: &Row) -> &'s RowLayout {
    let key = LayoutKey {
        generation: frame.input.generation,
        filter_generation: frame.input.filter_generation,
        view: frame.scale.view,
        left: frame.scale.left,
        width: frame.scale.width,
    };
    let (known, layouts) = state.layouts.get_or_insert_with(|| (key.clone(), hashbrown::HashMap::new()));
    if *known != key {
        *known = key;
        layouts.clear();
    }
    layouts
        .entry((place.link, place.row))
        .or_insert_with(|| layout_row(&row.spans, &frame.scale, &|id| frame.input.matches(id)))
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

fn band(painter: &Painter, frame: &Frame<'_>, layers: &mut Layers, lane: usize, y: f32, height: f32) {
    let (palette, body) = (&frame.palette, frame.regions.body);
    let rect = Rect::from_min_max(Pos2::new(body.left(), y), Pos2::new(body.right(), y + height));
    layers.under.push(Shape::rect_filled(rect, 0.0, palette.raised));
    let band = &frame.input.model.lanes[lane];
    let left = rect.left() + 10.0;
    let name = text(
        painter,
        &mut layers.under,
        Pos2::new(left, y + 10.0),
        Align2::LEFT_CENTER,
        &labels::cut(&band.name, 28),
        13.5,
        palette.text,
    );
    let under = text(
        painter,
        &mut layers.under,
        Pos2::new(left, y + 22.5),
        Align2::LEFT_CENTER,
        &band.addresses,
        9.5,
        palette.muted,
    );
    let colour = if band.fact.alarming { palette.failed } else { palette.muted };
    let fact = text(
        painter,
        &mut layers.under,
        Pos2::new(rect.right() - 8.0, rect.center().y),
        Align2::RIGHT_CENTER,
        &band.fact.text,
        11.0,
        colour,
    );
    // The band shows the marks of all rows below it, so that none is out of sight when rows are.
    let from = name.right().max(under.right()).max(frame.scale.left) + 8.0;
    let to = fact.left() - 10.0;
    if to > from {
        layers.under.push(Shape::hline(from..=to, rect.center().y, Stroke::new(1.0, palette.line)));
    }
    for &link in &frame.input.model.links_below[lane] {
        for mark in layout_marks(&frame.input.model.links[link].notable, &frame.scale) {
            if mark.x > from && mark.x < to {
                small_mark(layers, frame, &mark, rect.center().y);
            }
        }
    }
}

/// A mark of a lane's band.
fn small_mark(layers: &mut Layers, frame: &Frame<'_>, mark: &Mark, y: f32) {
    let palette = &frame.palette;
    match mark.kind {
        MarkKind::Rejected => {
            shapes::cross(&mut layers.marks, Pos2::new(mark.x, y - 4.0), 3.2, palette.failed, palette.raised);
        }
        MarkKind::Failed => {
            let rect = Rect::from_center_size(Pos2::new(mark.x, y - 4.0), egui::vec2(2.5, 9.0));
            layers.under.push(Shape::rect_filled(rect, 0.0, palette.failed));
        }
        MarkKind::FirstAttempt => {}
        MarkKind::Retry(_) => {
            let stroke = Stroke::new(1.6, palette.attention);
            layers.under.push(Shape::circle_stroke(Pos2::new(mark.x, y + 7.0), 3.0, stroke));
        }
    }
}

/// A row with everything that its painting needs.
struct RowView<'a> {
    row: &'a Row,
    layout: &'a RowLayout,
    /// With `y` on the screen.
    placed: Placed,
    place: Place,
}

impl RowView<'_> {
    fn middle(&self) -> f32 {
        (self.placed.y + self.placed.height / 2.0).round()
    }

    fn bar(&self, item: &Item) -> Rect {
        let half =
            ((self.placed.height - if self.placed.height > 12.0 { 7.0 } else { 2.0 }) / 2.0).max(1.5).round();
        Rect::from_min_max(
            Pos2::new(item.x0.round(), self.middle() - half),
            Pos2::new(item.x1.round().max(item.x0.round() + 2.0), self.middle() + half),
        )
    }
}

fn row_ui(
    ui: &Ui,
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    view: &RowView<'_>,
    actions: &mut Vec<TimelineAction>,
    shown: &mut Shown,
) {
    tracks(painter, frame, layers, view);
    let plot = frame.regions.plot(frame.regions.body);
    for (at, item) in view.layout.items.iter().enumerate() {
        let Some(span) = view.row.spans.get(item.first) else { continue };
        let rect = view.bar(item);
        paint_bar(painter, frame, layers, view, item, span, rect);
        let seen = rect.expand2(egui::vec2(1.0, 2.0)).intersect(plot);
        if seen.is_positive() && layers.takes_node(item) {
            let id = Id::unique("timeline").with((view.place.link, view.place.row, at, span.exchange));
            let response = ui.interact(seen, id, Sense::click());
            if let ControlFlow::Break(()) = node(frame, response, item, span, actions) {
                shown.clicked = true;
            }
        }
    }
    for (at, mark) in view.layout.marks.iter().enumerate() {
        paint_mark(painter, frame, layers, view, mark, view.layout.marks.get(at + 1));
    }
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
    response.on_hover_ui_at_pointer(|ui| {
        if item.is_single() {
            for line in labels::tooltip(analysis, span) {
                ui.label(line);
            }
        } else {
            ui.label(labels::run(item));
        }
    });
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

/// The connections of a row: a line from open to close, a circle where the SYN was seen, ticks for FIN and RST.
fn tracks(painter: &Painter, frame: &Frame<'_>, layers: &mut Layers, view: &RowView<'_>) {
    let (palette, scale, y) = (&frame.palette, &frame.scale, view.middle());
    let shown = scale.view;
    let (left, right) = (scale.left, scale.left + scale.width);
    let small = view.placed.height < TEXT_ROW;
    let connections = view.row.connections_in(shown.start.0, shown.end.0);
    let line = Stroke::new(if small { 1.0 } else { 1.4 }, palette.muted.gamma_multiply(0.55));
    let mut reached = f32::NEG_INFINITY;
    for connection in connections {
        let x0 = scale.x_from_time(SessionTime(connection.start)).clamp(left, right);
        let x1 = scale.x_from_time(SessionTime(connection.end)).clamp(left, right);
        if x1 - reached < 1.0 && x1 - x0 < 2.0 {
            continue;
        }
        layers.under.push(Shape::hline(x0..=x1.max(x0 + 1.0), y, line));
        let visible = connection.start >= shown.start.0;
        if connection.opened && visible && x1 - x0 > 12.0 && x0 - reached > 4.0 && !small {
            layers.under.push(Shape::circle_stroke(
                Pos2::new(x0 - 3.5, y),
                3.0,
                Stroke::new(1.4, palette.muted),
            ));
            port_label(painter, frame, layers, connection, connections.len(), (reached, x0 - 9.0, y));
        }
        reached = x1;
    }
    if !small {
        for tick in view.row.ticks_in(shown.start.0, shown.end.0).iter().take(400) {
            paint_tick(frame, layers, tick, y);
        }
        row_label(painter, frame, layers, connections, y);
    }
}

fn row_label(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    connections: &[ConnectionSpan],
    y: f32,
) {
    let words = match connections {
        [] => return,
        [one] => format!(":{}", one.port),
        many => format!("{} conn.", many.len()),
    };
    let at = Pos2::new(frame.scale.left - 8.0, y);
    let font = FontId::monospace(10.0);
    let galley = painter.layout_no_wrap(words, font, frame.palette.muted);
    let rect = Align2::RIGHT_CENTER.anchor_size(at, galley.size());
    layers.under.push(Shape::galley(rect.min, galley, frame.palette.muted));
}

/// The client's port left of the circle, where a row holds several connections and there is room.
fn port_label(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    connection: &ConnectionSpan,
    count: usize,
    (reached, right, y): (f32, f32, f32),
) {
    let free = right - reached.max(frame.scale.left);
    if count > 1 && free > 44.0 && layers.texts < TEXTS {
        layers.texts += 1;
        let words = format!(":{}", connection.port);
        let galley = painter.layout_no_wrap(words, FontId::monospace(9.0), frame.palette.muted);
        let rect = Align2::RIGHT_CENTER.anchor_size(Pos2::new(right, y), galley.size());
        layers.under.push(Shape::galley(rect.min, galley, frame.palette.muted));
    }
}

fn paint_tick(frame: &Frame<'_>, layers: &mut Layers, tick: &EventTick, y: f32) {
    let x = frame.scale.x_from_time(SessionTime(tick.at));
    let (colour, half) = match tick.kind {
        TickKind::Fin(Side::Server) => (frame.palette.muted, 5.5),
        TickKind::Fin(Side::Client) => (frame.palette.muted, 3.5),
        TickKind::Rst(_) => (frame.palette.failed, 6.5),
    };
    layers.under.push(Shape::vline(x, y - half..=y + half, Stroke::new(1.4, colour)));
}

/// The fill of a bar by its look; `dim` for what the filter or the selection leaves aside.
fn paint_bar(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    view: &RowView<'_>,
    item: &Item,
    span: &Span,
    rect: Rect,
) {
    let palette = &frame.palette;
    let lit = item.is_single() && frame.is_lit(span.exchange);
    let strength = match () {
        () if item.matching == 0 => 0.22,
        () if lit || frame.lit.is_empty() => 1.0,
        () => 0.62,
    };
    let paint = |colour: Color32| mix(palette.panel, colour, strength);
    let tall = rect.height() >= 8.0;
    if !item.is_single() {
        layers.fills.add_colored_rect(rect, paint(palette.answered));
        return;
    }
    match span.look {
        Look::Answered => layers.fills.add_colored_rect(rect, paint(palette.answered)),
        Look::Failed => {
            layers.fills.add_colored_rect(rect, paint(palette.failed));
            if tall {
                // A notched lower edge: failed bars differ from answered ones without their colour.
                let edge = Rect::from_min_max(Pos2::new(rect.left(), rect.bottom() - 2.0), rect.max);
                layers.fills.add_colored_rect(edge, paint(palette.on_bar));
            }
        }
        Look::Rejected => {
            layers.fills.add_colored_rect(rect, mix(palette.panel, palette.failed, 0.3 * strength));
            if rect.width() >= 4.0 {
                shapes::hatch(&mut layers.over, rect, paint(palette.failed));
            }
        }
        Look::NoResponse => shapes::outline(&mut layers.over, rect, Stroke::new(1.6, paint(palette.failed))),
        Look::Unknown => {
            shapes::dashed_outline(&mut layers.over, rect, Stroke::new(1.0, paint(palette.muted)))
        }
    }
    if view.placed.height >= TEXT_ROW {
        bar_text(painter, frame, layers, span, rect, strength);
    }
    if frame.input.selection.exchange == Some(span.exchange) {
        layers.marks.push(Shape::rect_stroke(
            rect,
            2.0,
            Stroke::new(2.0, palette.selection),
            egui::StrokeKind::Outside,
        ));
    } else if lit {
        layers.marks.push(Shape::rect_stroke(
            rect,
            2.0,
            Stroke::new(1.2, palette.selection),
            egui::StrokeKind::Outside,
        ));
    }
}

/// Between two colours.
fn mix(from: Color32, to: Color32, share: f32) -> Color32 {
    from.lerp_to_gamma(to, share.clamp(0.0, 1.0))
}

/// Ordinal, then method and status, then the target: as much as fits.
fn bar_text(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    span: &Span,
    rect: Rect,
    strength: f32,
) {
    // What is left of the view's edge cannot be read; text stays within it.
    let seen = rect.intersect(frame.regions.plot(frame.regions.body));
    if seen.width() < 13.0 || layers.texts >= TEXTS {
        return;
    }
    layers.texts += 1;
    let palette = &frame.palette;
    let filled = matches!(span.look, Look::Answered | Look::Failed);
    let ink = if filled { palette.on_bar } else { palette.text };
    let ink = if strength < 0.5 { palette.muted } else { ink };
    let ordinal = painter.layout_no_wrap(span.ordinal.to_string(), FontId::monospace(10.5), ink);
    let y = rect.center().y;
    if ordinal.size().x + 7.0 > seen.width() {
        return;
    }
    let at = Pos2::new(seen.left() + 4.0, y - ordinal.size().y / 2.0);
    let free_from = at.x + ordinal.size().x + 5.0;
    layers.over.push(Shape::galley(at, ordinal, ink));
    let exchange = frame.input.analysis.exchange(span.exchange);
    let short = labels::short(&exchange);
    let room = seen.right() - 4.0 - free_from;
    let letters = (room / 5.6) as usize;
    if letters < short.len() {
        return;
    }
    let words = if letters > short.len() + 8 {
        format!("{short} · {}", labels::cut(&exchange.target(), letters - short.len() - 3))
    } else {
        short.clone()
    };
    for words in [words, short] {
        let galley = painter.layout_no_wrap(words, FontId::proportional(10.5), ink);
        if galley.size().x <= room {
            let x = free_from + ((room - galley.size().x) / 2.0).clamp(0.0, 40.0);
            layers.over.push(Shape::galley(Pos2::new(x, y - galley.size().y / 2.0), galley, ink));
            return;
        }
    }
}

/// Crosses, stripes and numbered badges, at a fixed size whatever the zoom.
fn paint_mark(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    view: &RowView<'_>,
    mark: &Mark,
    next: Option<&Mark>,
) {
    let (palette, y) = (&frame.palette, view.middle());
    let dim = !frame.lit.is_empty() && !frame.is_lit(mark.exchange);
    match mark.kind {
        MarkKind::Failed => {
            let half = (view.placed.height / 2.0 - 1.0).max(2.0);
            let rect = Rect::from_center_size(Pos2::new(mark.x, y), egui::vec2(2.5, half * 2.0));
            layers.fills.add_colored_rect(rect, palette.failed);
        }
        MarkKind::Rejected => {
            let centre = Pos2::new(if mark.beside_bar { mark.x + 10.0 } else { mark.x }, y);
            let radius = (view.placed.height / 4.5).clamp(3.4, 5.0);
            shapes::cross(&mut layers.marks, centre, radius, palette.failed, palette.panel);
            if view.placed.height >= TEXT_ROW && mark.count == 1 {
                rejection_text(painter, frame, layers, view, mark, (centre.x + 10.0, y));
            }
        }
        MarkKind::FirstAttempt | MarkKind::Retry(_) => {
            let number = match mark.kind {
                MarkKind::Retry(number) if number < 10 => number.to_string(),
                MarkKind::Retry(_) => "+".to_owned(),
                _ => "1".to_owned(),
            };
            let crossed = next.is_some_and(|n| n.kind == MarkKind::Rejected && n.x - mark.x < 12.0);
            let beside = if mark.beside_bar { 8.0 } else { 0.0 } + if crossed { 14.0 } else { 0.0 };
            let fill = if dim { mix(palette.panel, palette.attention, 0.7) } else { palette.attention };
            if view.placed.height >= TEXT_ROW {
                shapes::badge(
                    painter,
                    &mut layers.marks,
                    Pos2::new(mark.x + beside, y),
                    &number,
                    fill,
                    palette.on_bar,
                );
            } else if matches!(mark.kind, MarkKind::Retry(_)) {
                layers.marks.push(Shape::circle_stroke(Pos2::new(mark.x, y), 2.8, Stroke::new(1.6, fill)));
            }
        }
    }
}

/// `RST · POST → 502` behind the cross, where nothing else stands.
fn rejection_text(
    painter: &Painter,
    frame: &Frame<'_>,
    layers: &mut Layers,
    view: &RowView<'_>,
    mark: &Mark,
    (x, y): (f32, f32),
) {
    let words = labels::rejection(frame.input.analysis, mark.exchange);
    let colour = mix(frame.palette.panel, frame.palette.failed, 0.95);
    let galley = painter.layout_no_wrap(words, FontId::proportional(10.5), colour);
    let right = x + galley.size().x + 4.0;
    let next = view.layout.items.partition_point(|i| i.x0 < mark.x + 1.0);
    let next_bar = view.layout.items.get(next).map_or(f32::INFINITY, |i| i.x0);
    let open = |c: &ConnectionSpan| frame.scale.x_from_time(SessionTime(c.start)) - 8.0;
    let at = frame.scale.time_from_x(mark.x + 1.0).0;
    let next_open = view.row.connections.get(view.row.connections.partition_point(|c| c.start <= at));
    let limit = next_bar.min(next_open.map_or(f32::INFINITY, open)).min(frame.regions.body.right());
    if right < limit && layers.texts < TEXTS {
        layers.texts += 1;
        layers.over.push(Shape::galley(Pos2::new(x, y - galley.size().y / 2.0), galley, colour));
    }
}
