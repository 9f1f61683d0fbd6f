//! Files that are let go over the window.

use std::path::PathBuf;

use egui::Context;

use super::state::{AppState, Modal};

impl AppState {
    /// Opens what was let go over the window. Where something is open it is asked whether to add it to that: while files
    /// are dragged the program that they come from has the keyboard, so that no key held down tells.
    pub(super) fn take_dropped(&mut self, ctx: &Context) {
        let dropped: Vec<PathBuf> =
            ctx.input(|i| i.raw.dropped_files.iter().map(|file| file.path().to_path_buf()).collect());
        if dropped.is_empty() {
            return;
        }
        // A snapshot is opened alone, and what only a snapshot holds is analysed with nothing else.
        let is_snapshot = dropped.iter().any(|path| path.extension().is_some_and(|end| end == "ron"));
        let can_add = !is_snapshot && self.document.as_ref().is_some_and(|document| document.held.is_none());
        if can_add {
            self.show_modal(Modal::Dropped(dropped));
        } else {
            self.open(dropped, false);
        }
    }
}
