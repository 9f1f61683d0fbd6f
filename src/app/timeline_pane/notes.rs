//! Flags where the user's notes are.

use egui::{Id, Pos2, Rect, Sense, Stroke, Ui, Vec2, WidgetInfo, vec2};

use super::arrange::Arrangement;
use super::bars::half_bar;
use super::{Frame, labels, shapes};
use crate::capture::SessionTime;
use crate::session::{Annotation, Target};
use crate::timeline::Place;

/// Size of a flag.
const FLAG: Vec2 = vec2(9.0, 9.0);
/// Notes that get a flag in a frame, at most.
const FLAGS: usize = 500;

/// Paints a flag at the bar or the beginning of the line that each note is about, also on rows too low for bars. The
/// words are in its tooltip. Notes on moments have their flag below the axis, where no label of the cursor covers it.
pub(super) fn notes_ui(ui: &Ui, frame: &Frame<'_>, scroll: f32, arrangement: &Arrangement) {
    let plot = frame.regions.plot(frame.regions.body);
    let painter = ui.painter_at(plot.expand2(vec2(0.0, 4.0)));
    for (at, note) in frame.input.annotations.iter().take(FLAGS).enumerate() {
        let Some(top) = place(frame, scroll, arrangement, note) else { continue };
        let area = Rect::from_min_size(top, FLAG);
        if !plot.intersects(area) {
            continue;
        }
        let (note_colour, rim) = (frame.palette.note, frame.palette.panel);
        painter.vline(top.x, top.y..=top.y + FLAG.y + 3.0, Stroke::new(1.6, note_colour));
        painter.add(shapes::flag(top, note_colour, rim));
        let response =
            ui.interact(area.intersect(plot), Id::unique("timeline note").with(at), Sense::hover());
        let words = format!("Note: {}", labels::cut(&note.text, 400));
        response.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, &words));
        response.on_hover_text(words);
    }
}

/// The upper left corner of the flag.
fn place(frame: &Frame<'_>, scroll: f32, arrangement: &Arrangement, note: &Annotation) -> Option<Pos2> {
    let (model, analysis) = (frame.input.model, frame.input.analysis);
    if let Target::Moment(at) = note.target {
        let inside = (frame.scale.view.start..=frame.scale.view.end).contains(&at);
        return inside.then(|| Pos2::new(frame.scale.x_from_time(at), frame.regions.body.top()));
    }
    let (place, start, end): (Place, i64, i64) = match note.target {
        Target::Exchange(id) if (id.0 as usize) < analysis.topology.exchanges.len() => {
            let (place, span) = model.place_of(analysis, id)?;
            (place, span.start, span.end)
        }
        Target::Connection(id) if (id.0 as usize) < analysis.topology.connections.len() => {
            let connection = analysis.connection(id).inner;
            (model.place_of_connection(id)?, connection.first.0, connection.last.0)
        }
        Target::Exchange(_) | Target::Connection(_) | Target::Moment(_) => return None,
    };
    let view = frame.scale.view;
    if end < view.start.0 || start > view.end.0 {
        return None;
    }
    let placed = arrangement.find(place)?;
    // Of what began before the view the flag stands at its edge.
    let x = frame.scale.x_from_time(SessionTime(start)).max(frame.scale.left);
    let middle = frame.y(placed, scroll) + placed.height / 2.0;
    // Above the bar, whose words and mark stay free.
    Some(Pos2::new(x, middle - half_bar(placed.height) - FLAG.y))
}
