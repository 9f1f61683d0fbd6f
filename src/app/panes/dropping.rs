//! What letting go would do while files are dragged over the window.

use egui::{Align2, Area, Id, LayerId, Order, RichText, Ui};

use crate::app::Palette;
use crate::app::widgets::card_frame;

/// Shows over everything that files may be let go here; nothing while none are dragged.
pub fn dropping_ui(ui: &Ui, something_is_open: bool) {
    let (count, shift) = ui.input(|i| (i.raw.hovered_files.len(), i.modifiers.shift));
    if count == 0 {
        return;
    }
    let ctx = ui.ctx();
    let palette = Palette::of(ctx);
    let layer = LayerId::new(Order::Foreground, Id::unique("dimmed"));
    ctx.layer_painter(layer).rect_filled(ctx.content_rect(), 0.0, palette.background.gamma_multiply(0.7));
    Area::new(Id::unique("dropping")).order(Order::Tooltip).anchor(Align2::CENTER_CENTER, [0.0, 0.0]).show(
        ctx,
        |ui| {
            card_frame(&palette).show(ui, |ui| {
                let files = if count == 1 { "it".to_owned() } else { format!("the {count} files") };
                let what = match (something_is_open, shift) {
                    (true, true) => format!("Let go to add {files} to what is open"),
                    _ => format!("Let go to open {files}"),
                };
                ui.label(RichText::new(what).size(18.0).strong());
                if something_is_open && !shift {
                    ui.label(RichText::new("With Shift: add to what is open").color(palette.muted));
                }
            });
        },
    );
}
