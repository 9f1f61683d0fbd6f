//! Which bands and rows stand where: rows with something to show, as high as there is room for.

use super::{Frame, RowMode, TimelineState};
use crate::session::TimeView;
use crate::timeline::{Place, Row};
use crate::topology::{ConnectionId, ExchangeId};

/// Height of a lane's band, in points.
pub(super) const BAND: f32 = 30.0;
/// The same where all lanes would not be in sight otherwise: name and words on one line.
const LOW_BAND: f32 = 21.0;
/// Height of a row at its best.
pub(super) const ROW: f32 = 23.0;
/// Height of a row when there are very many: all hops in one look matter more than single connections.
const LOW_ROW: f32 = 1.5;
/// The same of a row with a rejected request: its cross stays whole.
const LOW_NOTABLE: f32 = 4.0;
/// The least heights of both kinds of rows where even so not all lanes are in sight: bars lie over each other then.
const LEAST_ROWS: (f32, f32) = (0.25, 1.5);
/// Height of the rows of the selected request when there are many others: text still fits.
const LOW_FULL: f32 = 15.0;
/// Free space below the last row of a link.
const GAP: f32 = 6.0;

/// Something with a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A lane's band, by index.
    Band(usize),
    /// A link's name, where a lane has more than one link below it.
    Link(usize),
    /// A row.
    Row(Place),
}

/// An entry with its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Placed {
    pub entry: Entry,
    /// Top, from the top of everything.
    pub y: f32,
    pub height: f32,
}

/// All entries from top to bottom.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Arrangement {
    pub entries: Vec<Placed>,
    pub height: f32,
    /// Rows not shown because nothing of them lies in the view.
    pub hidden: usize,
}

/// What an arrangement depends on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    generation: u64,
    view: TimeView,
    selected: Option<ExchangeId>,
    connection: Option<ConnectionId>,
    mode: RowMode,
    height: f32,
}

/// The arrangement of this frame: the one before, when nothing that it depends on has changed.
pub(super) fn cached(frame: &Frame<'_>, state: &mut TimelineState) -> Arrangement {
    let key = Key {
        generation: frame.input.generation,
        view: frame.scale.view,
        selected: frame.input.selection.exchange,
        connection: frame.input.selection.connection,
        mode: state.rows,
        height: frame.regions.body.height(),
    };
    match state.arrangement.take() {
        Some((old, arrangement)) if old == key => {
            state.arrangement = Some((key, Arrangement::default()));
            arrangement
        }
        _ => {
            let made = arrange(frame, state.rows);
            state.arrangement = Some((key, Arrangement::default()));
            made
        }
    }
}

/// How much a row wants to be seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Hidden,
    Low,
    Notable,
    Full,
}

fn worth(frame: &Frame<'_>, mode: RowMode, row: &Row, lit: bool, idle: bool) -> Worth {
    let view = frame.scale.view;
    let is_open = || !row.connections_in(view.start.0, view.end.0).is_empty();
    match mode {
        _ if lit => Worth::Full,
        RowMode::Request => Worth::Hidden,
        RowMode::All => Worth::Full,
        RowMode::InView if idle && is_open() => Worth::Low,
        RowMode::InView => {
            let is_empty = || row.spans_in(view.start.0, view.end.0).is_empty();
            if row.has_rejected_in(view.start.0, view.end.0) {
                Worth::Notable
            } else if is_empty() && row.ticks_in(view.start.0, view.end.0).is_empty() {
                Worth::Hidden
            } else {
                Worth::Low
            }
        }
    }
}

fn arrange(frame: &Frame<'_>, mode: RowMode) -> Arrangement {
    let (model, view) = (frame.input.model, frame.scale.view);
    let place_of = |id: &ExchangeId| {
        let connection = frame.input.analysis.topology.connection_of.get(id.0 as usize)?;
        model.place_of_connection(*connection).map(|p| (p.link, p.row))
    };
    let mut lit: Vec<(u16, u32)> = frame.lit.iter().filter_map(place_of).collect();
    // A connection that carries no request, or of which none is selected, has its row and its label all the same.
    let connection = frame.input.selection.connection.and_then(|id| model.place_of_connection(id));
    lit.extend(connection.map(|place| (place.link, place.row)));
    lit.sort_unstable();
    let mode = if mode == RowMode::Request && lit.is_empty() { RowMode::InView } else { mode };
    // Where nothing happens the open connections are shown: an empty pane would look like an end of the data.
    let mut rows = model.links.iter().flat_map(|link| &link.rows);
    let happens = |row: &Row| {
        let (start, end) = (view.start.0, view.end.0);
        !row.spans_in(start, end).is_empty() || !row.ticks_in(start, end).is_empty()
    };
    let idle = mode == RowMode::InView && !rows.any(happens);
    let mut entries = Vec::new();
    let mut hidden = 0;
    for (lane, links) in model.links_below.iter().enumerate() {
        entries.push((Entry::Band(lane), Worth::Full));
        for &link in links {
            if links.len() > 1 {
                entries.push((Entry::Link(link), Worth::Full));
            }
            for (at, row) in model.links[link].rows.iter().enumerate() {
                let place = Place { link: link as u16, row: at as u32 };
                let is_lit = lit.binary_search(&(place.link, place.row)).is_ok();
                match worth(frame, mode, row, is_lit, idle) {
                    Worth::Hidden => hidden += 1,
                    worth => entries.push((Entry::Row(place), worth)),
                }
            }
        }
    }
    // Who wants each row at its full height scrolls.
    let levels = if mode == RowMode::All { &LEVELS[..1] } else { &LEVELS[..] };
    let available = frame.regions.body.height();
    let last = levels.len() - 1;
    let mut placed =
        levels.iter().enumerate().map(|(at, level)| (at, place(&entries, level, available, hidden)));
    placed
        .find(|(at, placed)| *at == last || placed.height <= available)
        .map_or_else(Arrangement::default, |p| p.1)
}

/// Heights of bands, and the least ones of rows, from the best to those that show the most lanes.
const LEVELS: [(f32, f32, f32); 4] = [
    (BAND, LOW_ROW, LOW_NOTABLE),
    (LOW_BAND, LOW_ROW, LOW_NOTABLE),
    (LOW_BAND, LEAST_ROWS.0, LOW_NOTABLE),
    (LOW_BAND, LEAST_ROWS.0, LEAST_ROWS.1),
];

/// Gives each entry its height, so that all lanes are in sight if that is possible: rows of little worth shrink first,
/// then the notable ones, at last those of the selected request.
fn place(
    entries: &[(Entry, Worth)],
    &(band, low_row, low_notable): &(f32, f32, f32),
    available: f32,
    hidden: usize,
) -> Arrangement {
    let count =
        |worth| entries.iter().filter(|e| matches!(e.0, Entry::Row(_)) && e.1 == worth).count() as f32;
    let (low, notable, full) = (count(Worth::Low), count(Worth::Notable), count(Worth::Full));
    let bands = entries.len() as f32 - low - notable - full;
    let rest = available - bands * (band + GAP) - GAP;
    let share = |room: f32, rows: f32, least: f32, most: f32| whole(room / rows.max(1.0)).clamp(least, most);
    let full_height = share(rest - notable * low_notable - low * low_row.min(2.0), full, LOW_FULL, ROW);
    let rest = rest - full * full_height;
    let notable_height = share(rest - low * low_row.min(2.0), notable, low_notable, ROW);
    let low_height = share(rest - notable * notable_height, low, low_row, notable_height.min(ROW));
    let mut out = Arrangement { hidden, ..Arrangement::default() };
    let mut previous_row = false;
    for &(entry, worth) in entries {
        let height = match entry {
            Entry::Band(_) => band,
            Entry::Link(_) => 18.0,
            Entry::Row(_) if worth == Worth::Full => full_height,
            Entry::Row(_) if worth == Worth::Notable => notable_height,
            Entry::Row(_) => low_height,
        };
        let is_row = matches!(entry, Entry::Row(_));
        if is_row != previous_row && !out.entries.is_empty() {
            out.height += GAP / 2.0;
        }
        previous_row = is_row;
        out.entries.push(Placed { entry, y: out.height, height });
        out.height += height;
    }
    out.height += GAP;
    out
}

/// Down to whole points while that costs little: rows of one height look even.
fn whole(height: f32) -> f32 {
    if height >= 4.0 { height.floor() } else { (height * 4.0).floor() / 4.0 }
}

impl Arrangement {
    /// The entries between two heights.
    pub(super) fn between(&self, top: f32, bottom: f32) -> &[Placed] {
        let from = self.entries.partition_point(|e| e.y + e.height < top);
        let to = self.entries.partition_point(|e| e.y <= bottom);
        self.entries.get(from..to).unwrap_or_default()
    }

    /// The entry at a height.
    pub(super) fn at(&self, y: f32) -> Option<&Placed> {
        self.between(y, y).first()
    }

    /// Where a row stands.
    pub(super) fn find(&self, place: Place) -> Option<&Placed> {
        let key = |e: &Placed| match e.entry {
            Entry::Row(p) => Some((p.link, p.row)),
            _ => None,
        };
        self.entries.iter().find(|e| key(e) == Some((place.link, place.row)))
    }

    /// The scroll offset nearest to `scroll` that shows the rows of the selected request with the lanes around them; of
    /// a request that is higher than the pane, that of the selected exchange.
    pub(super) fn scroll_to_show(&self, frame: &Frame<'_>, scroll: f32) -> f32 {
        let model = frame.input.model;
        let row_of = |id: ExchangeId| {
            let connection = *frame.input.analysis.topology.connection_of.get(id.0 as usize)?;
            let placed = self.find(model.place_of_connection(connection)?)?;
            Some((placed.y - BAND, placed.y + placed.height + BAND))
        };
        let all = frame.lit.iter().filter_map(|&id| row_of(id)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let height = frame.regions.body.height();
        let whole = all.filter(|(top, bottom)| bottom - top <= height);
        let connection = || {
            let placed = self.find(model.place_of_connection(frame.input.selection.connection?)?)?;
            Some((placed.y - BAND, placed.y + placed.height + BAND))
        };
        let own = || frame.input.selection.exchange.and_then(row_of).or_else(connection);
        let Some((top, bottom)) = whole.or_else(own) else { return scroll };
        if top >= scroll && bottom <= scroll + height {
            return scroll;
        }
        let nearest = if top < scroll { top } else { bottom - height };
        nearest.min(top).clamp(0.0, (self.height - height).max(0.0))
    }
}
