//! The window: panes, commands, theme, dialogs.

mod background;
mod chain;
mod chrome;
mod command;
mod comparing;
mod contents;
mod dialogs;
mod document;
mod dropped;
mod filter;
#[cfg(test)]
mod fixture;
mod format;
mod kept;
mod loader;
mod navigate;
mod offscreen;
mod palette;
mod panes;
mod pending;
mod problems;
mod rechained;
mod remap;
mod rows;
mod saver;
mod series;
mod state;
mod story;
#[cfg(test)]
mod tests;
mod theme;
mod timeline_pane;
mod update;
mod widgets;

pub use offscreen::Offscreen;
pub use palette::Palette;

use std::path::PathBuf;
use std::sync::Arc;

use background::Background;
use dialogs::SystemDialog;
use state::AppState;

use crate::logs::LogFormat;
use crate::topology::Overrides;

/// Why the window could not open.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Neither X11 nor Wayland is there.
    #[error("there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set")]
    NoDisplay,
    /// The desktop or its OpenGL would not give a window.
    #[error("the window cannot open: {0}")]
    Window(#[from] eframe::Error),
}

/// Opens the window and loads `paths`; returns when it is closed.
///
/// # Errors
/// When there is no display, or the desktop gives no window.
pub fn run(paths: Vec<PathBuf>, overrides: Overrides, log_format: Option<LogFormat>) -> Result<(), AppError> {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if cfg!(target_os = "linux") && !set("DISPLAY") && !set("WAYLAND_DISPLAY") && !set("WAYLAND_SOCKET") {
        return Err(AppError::NoDisplay);
    }
    let viewport = egui::ViewportBuilder::default()
        .with_title("hopscope")
        .with_app_id("hopscope")
        .with_inner_size([1600.0, 1000.0])
        .with_min_inner_size([900.0, 560.0])
        .with_drag_and_drop(true);
    let options = eframe::NativeOptions {
        viewport,
        // The default is another one as soon as a second renderer is compiled in.
        renderer: eframe::Renderer::Glow,
        // A window of the size of the last one may not fit the next screen.
        persist_window: false,
        ..Default::default()
    };
    eframe::run_native(
        "hopscope",
        options,
        Box::new(|creation| {
            theme::install(&creation.egui_ctx);
            kept::restore(&creation.egui_ctx, creation.storage);
            let background = Background::waking(&creation.egui_ctx);
            let mut state = AppState::new(background, Arc::new(SystemDialog));
            state.log_format = log_format;
            state.open_with(paths, overrides);
            Ok(Box::new(Window { state }))
        }),
    )?;
    Ok(())
}

struct Window {
    state: AppState,
}

impl eframe::App for Window {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.state.poll(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame) {
        chrome::root_ui(ui, &mut self.state);
        if let Some(storage) = frame.storage_mut() {
            kept::keep(ui.ctx(), storage);
        }
    }

    /// Sizes and places that panes had are of a session; only the theme is kept.
    fn persist_egui_memory(&self) -> bool {
        false
    }
}
