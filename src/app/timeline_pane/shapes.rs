//! Crosses, hatches, badges and dashed lines, drawn rather than set in a font that may lack them.

use egui::{Color32, Painter, Pos2, Rect, Shape, Stroke, Vec2};

/// A cross with a rim in the background's colour, so that it stands out on any bar.
pub(super) fn cross(out: &mut Vec<Shape>, centre: Pos2, radius: f32, colour: Color32, rim: Color32) {
    let arms = [Vec2::splat(radius), Vec2::new(radius, -radius)];
    for (stroke, grow) in [(Stroke::new(4.5, rim), 1.0), (Stroke::new(2.2, colour), 0.0)] {
        for arm in arms {
            let arm = arm + arm.normalized() * grow;
            out.push(Shape::line_segment([centre - arm, centre + arm], stroke));
        }
    }
}

/// The flag of a note, to the right of its staff's upper end, with a rim in the background's colour.
pub(super) fn flag(top: Pos2, colour: Color32, rim: Color32) -> Shape {
    let corners = [top, top + Vec2::new(9.0, 4.5), top + Vec2::new(0.0, 9.0)];
    Shape::convex_polygon(corners.to_vec(), colour, Stroke::new(1.2, rim))
}

/// Diagonal lines inside a rectangle, with an outline.
pub(super) fn hatch(out: &mut Vec<Shape>, rect: Rect, colour: Color32) {
    let height = rect.height();
    let mut x = rect.left() - height;
    while x < rect.right() {
        // The line from (x, bottom) to (x + height, top), cut at the sides.
        let left = x.max(rect.left());
        let right = (x + height).min(rect.right());
        if right > left {
            let point = |at: f32| Pos2::new(at, rect.bottom() - (at - x));
            out.push(Shape::line_segment([point(left), point(right)], Stroke::new(1.2, colour)));
        }
        x += 5.0;
    }
    outline(out, rect, Stroke::new(1.0, colour));
}

/// An outline inside a rectangle.
pub(super) fn outline(out: &mut Vec<Shape>, rect: Rect, stroke: Stroke) {
    out.push(Shape::rect_stroke(rect, 2.0, stroke, egui::StrokeKind::Inside));
}

/// A dashed outline inside a rectangle.
pub(super) fn dashed_outline(out: &mut Vec<Shape>, rect: Rect, stroke: Stroke) {
    let rect = rect.shrink(0.5);
    let path = [rect.left_top(), rect.right_top(), rect.right_bottom(), rect.left_bottom(), rect.left_top()];
    out.extend(Shape::dashed_line(&path, stroke, 3.0, 2.5));
}

/// A disc with an attempt's number.
pub(super) fn badge(
    painter: &Painter,
    out: &mut Vec<Shape>,
    centre: Pos2,
    number: &str,
    fill: Color32,
    ink: Color32,
) {
    out.push(Shape::circle_filled(centre, 6.5, fill));
    let font = egui::FontId::proportional(10.0);
    let galley = painter.layout_no_wrap(number.to_owned(), font, ink);
    let at = centre - galley.size() / 2.0;
    out.push(Shape::galley(at, galley, ink));
}
