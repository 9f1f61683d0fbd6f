//! Files dragged over the window, and what is to become of those that were let go over what is open.

use std::path::PathBuf;

use egui::{Align2, Area, Id, LayerId, Order, RichText, Ui};

use super::Actions;
use crate::app::Palette;
use crate::app::state::Action;
use crate::app::widgets::card_frame;

/// Shows over everything that files may be let go here; nothing while none are dragged.
pub fn dropping_ui(ui: &Ui, something_is_open: bool) {
    let (count, name) = ui.input(|i| {
        let name = i.raw.hovered_files.first().and_then(|file| file.path.as_ref()?.file_name());
        (i.raw.hovered_files.len(), name.map(|name| name.to_string_lossy().into_owned()))
    });
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
                let files =
                    if count == 1 { name.unwrap_or("it".to_owned()) } else { format!("the {count} files") };
                let what = if something_is_open { "open or to add" } else { "open" };
                ui.label(RichText::new(format!("Let go to {what} {files}")).size(18.0).strong());
            });
        },
    );
}

/// Asks what is to become of files that were let go over what is open.
pub fn dropped_ui(ui: &mut Ui, paths: &[PathBuf], focus: bool, out: &mut Actions) {
    ui.heading(if paths.len() == 1 {
        "One path was dropped here"
    } else {
        "Several paths were dropped here"
    });
    let shown = 6;
    for path in paths.iter().take(shown) {
        ui.add(egui::Label::new(RichText::new(path.display().to_string()).monospace()).truncate());
    }
    if paths.len() > shown {
        ui.weak(format!("and {} more", paths.len() - shown));
    }
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        let help = "Captures of other hops, or logs: all are analysed together";
        let add_to = ui.button("Add to what is open").on_hover_text(help);
        if focus {
            add_to.request_focus();
        }
        let instead = ui.button("Open instead").on_hover_text("They take the place of what is open");
        for (button, add) in [(add_to, true), (instead, false)] {
            if button.clicked() {
                out.push(Action::CloseModal);
                out.push(Action::Open { paths: paths.to_vec(), add });
            }
        }
    });
}
