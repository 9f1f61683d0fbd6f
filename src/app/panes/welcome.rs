//! The window before anything is open: what it does, and the ways in.

use egui::{RichText, Ui};

use super::Actions;
use crate::app::Palette;
use crate::app::command::Command;
use crate::app::state::Action;
use crate::app::widgets::command_button;

/// Draws the welcome; `recent` are paths opened before.
pub fn welcome_ui(ui: &mut Ui, recent: &[Vec<std::path::PathBuf>], out: &mut Actions) {
    let palette = Palette::of(ui.ctx());
    ui.add_space((ui.available_height() * 0.22).min(180.0));
    ui.vertical_centered(|ui| {
        ui.label(RichText::new("Where did the 502 begin?").size(26.0).strong());
        ui.add_space(6.0);
        let what = "Open packet captures from the hops of an HTTP chain, one or several at a time.\n\
            hopscope follows each request across them and shows where it failed, and why.";
        ui.label(RichText::new(what).size(14.0).color(palette.muted));
        ui.add_space(18.0);
        ui.horizontal(|ui| {
            // Centred by hand: a horizontal row in a centred column starts at the left.
            ui.add_space((ui.available_width() - 250.0).max(0.0) / 2.0);
            command_button(ui, Command::Open, "Open captures…", out);
            command_button(ui, Command::OpenPath, "Type a path…", out);
        });
        ui.add_space(14.0);
        ui.label(RichText::new("or drop files and folders here").color(palette.muted));
        ui.add_space(18.0);
        let sample = "For a first look, open the folder sample-captures/paas-502, or start";
        ui.label(RichText::new(sample).color(palette.muted));
        ui.label(RichText::new("hopscope sample-captures/paas-502").monospace().color(palette.path));
        ui.add_space(10.0);
        ui.label(
            RichText::new("pcap and pcapng, with microseconds or nanoseconds; nothing leaves this machine")
                .small()
                .color(palette.muted),
        );
        if !recent.is_empty() {
            ui.add_space(18.0);
            ui.label(RichText::new("Opened before").color(palette.muted));
        }
        for paths in recent {
            let Some(first) = paths.first() else { continue };
            let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
            if ui.link(format!("{}{more}", first.display())).clicked() {
                out.push(Action::Open { paths: paths.clone(), add: false });
            }
        }
    });
}
