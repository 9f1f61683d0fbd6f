//! The window before anything is open: what it does, and the ways in.

use std::path::PathBuf;

use egui::{RichText, ScrollArea, Ui};

use super::Actions;
use crate::app::Palette;
use crate::app::command::Command;
use crate::app::loader::Unread;
use crate::app::state::Action;
use crate::app::widgets::command_button;

/// Draws the welcome; `recent` are paths opened before, `unread` files that were to be opened and held nothing.
pub fn welcome_ui(ui: &mut Ui, recent: &[Vec<PathBuf>], unread: &[Unread], out: &mut Actions) {
    let palette = Palette::of(ui.ctx());
    ui.add_space((ui.available_height() * 0.22).min(180.0));
    ui.vertical_centered(|ui| {
        if unread.is_empty() {
            ui.label(RichText::new("Where did the 502 start?").size(26.0).strong());
            ui.add_space(6.0);
            let what = "Open packet captures from the hops of an HTTP chain, one or several at a time.\n\
                hopscope follows each request across them and shows where it failed, and why.";
            ui.label(RichText::new(what).size(14.0).color(palette.muted));
        } else {
            unread_ui(ui, &palette, unread);
        }
        ui.add_space(18.0);
        ui.horizontal(|ui| {
            // Centred by hand: a horizontal row in a centred column starts at the left.
            ui.add_space((ui.available_width() - 360.0).max(0.0) / 2.0);
            open_ui(ui, out);
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

/// The ways to open something.
fn open_ui(ui: &mut Ui, out: &mut Actions) {
    command_button(ui, Command::Open, "Open captures…", out);
    command_button(ui, Command::OpenFolder, "Open a folder…", out);
    command_button(ui, Command::OpenPath, "Type a path…", out);
}

/// What logs tell without a capture, as the report has it, and how to go on.
pub fn logs_ui(ui: &mut Ui, told: &str, out: &mut Actions) {
    let palette = Palette::of(ui.ctx());
    ui.add_space(10.0);
    ui.label(RichText::new("What these logs tell by themselves").size(20.0).strong());
    let how = "Why a connection failed only packets show: open the captures of the same time together with these logs, \
        which are then joined to their requests.";
    ui.label(RichText::new(how).size(14.0).color(palette.muted));
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        open_ui(ui, out);
    });
    ui.add_space(6.0);
    ScrollArea::both().id_salt("told by logs").auto_shrink(false).show(ui, |ui| {
        let text = RichText::new(told).monospace();
        ui.add(egui::Label::new(text).wrap_mode(egui::TextWrapMode::Extend).selectable(true));
    });
}

/// Files listed at most; a folder may hold thousands.
const LISTED: usize = 8;

/// Which files held nothing, why, and how to go on.
fn unread_ui(ui: &mut Ui, palette: &Palette, unread: &[Unread]) {
    ui.label(RichText::new("Nothing could be read").size(26.0).strong());
    ui.add_space(6.0);
    for file in unread.iter().take(LISTED) {
        let words = format!("✖ {}: {}", file.path.display(), file.why);
        ui.add(egui::Label::new(RichText::new(words).size(14.0).color(palette.failed)).wrap());
    }
    if unread.len() > LISTED {
        ui.weak(format!("and {} more files", unread.len() - LISTED));
    }
    ui.add_space(10.0);
    let how = "hopscope reads captures in pcap and pcapng, also packed with gzip or zstd, and its own snapshots (.ron).\n\
        Record one on each hop, for instance with";
    ui.label(RichText::new(how).size(14.0).color(palette.muted));
    ui.label(RichText::new("tcpdump -i any -s 0 -w hop.pcap tcp").monospace().color(palette.path));
    ui.label(RichText::new("and open it here.").size(14.0).color(palette.muted));
}
