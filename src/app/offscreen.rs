//! The window without a screen: what a frame costs, measured by `cargo bench`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::background::Background;
use super::chain::ChainEdit;
use super::command::Command;
use super::dialogs::SystemDialog;
use super::state::{Action, AppState};
use super::{chrome, theme};
use crate::capture::CaptureId;
use crate::topology::Overrides;

/// A window of a fixed size that is drawn to nowhere.
pub struct Offscreen {
    ctx: egui::Context,
    state: AppState,
    size: egui::Vec2,
    time: f64,
}

impl Offscreen {
    /// Begins to load `paths`.
    pub fn open(paths: Vec<PathBuf>, size: [f32; 2]) -> Self {
        let ctx = egui::Context::default();
        theme::install(&ctx);
        let mut state = AppState::new(Background::waking(&ctx), Arc::new(SystemDialog));
        state.open_with(paths, Overrides::default());
        Self { ctx, state, size: size.into(), time: 0.0 }
    }

    /// Sets the manual part of the first capture's clock offset: all is analysed anew.
    pub fn set_clock(&mut self, manual_ns: i64) {
        let edit = ChainEdit::Clock { capture: CaptureId(0), manual_ns };
        self.state.apply(&self.ctx.clone(), vec![Action::EditChain(edit)]);
    }

    /// Draws a frame every 16 ms until nothing is read or analysed any more, and says how long each took; the last of
    /// them took over what was made.
    pub fn frames_while_busy(&mut self) -> Vec<Duration> {
        let mut all = Vec::new();
        while self.state.loader.progress().is_some() {
            let took = self.frame();
            all.push(took);
            std::thread::sleep(Duration::from_millis(16).saturating_sub(took));
        }
        all
    }

    /// Draws until threads have brought what the frame needs.
    pub fn settle(&mut self) {
        for _ in 0..4 {
            self.frame();
        }
        while self.state.rows.is_busy() {
            std::thread::sleep(Duration::from_millis(1));
            self.frame();
        }
    }

    /// Exchanges that are open.
    pub fn exchanges(&self) -> usize {
        self.state.document.as_ref().map_or(0, |document| document.analysis.topology.exchanges.len())
    }

    /// Runs a command by its name in the palette; `false` when there is none of that name.
    pub fn run(&mut self, name: &str) -> bool {
        let command = Command::ALL.into_iter().find(|command| command.info().name == name);
        let actions = command.map(Action::Run).into_iter().collect();
        self.state.apply(&self.ctx.clone(), actions);
        command.is_some()
    }

    /// Sets the filter.
    pub fn filter(&mut self, text: &str) {
        self.state.apply(&self.ctx.clone(), vec![Action::SetFilter(text.to_owned())]);
    }

    /// Draws a frame, and says how long that took: panes, and the triangles that a graphics card would get.
    pub fn frame(&mut self) -> Duration {
        self.time += 1.0 / 60.0;
        let input = egui::RawInput {
            screen_rect: Some(egui::Rect::from_min_size(egui::Pos2::ZERO, self.size)),
            time: Some(self.time),
            ..Default::default()
        };
        let state = &mut self.state;
        let began = Instant::now();
        let mut output = self.ctx.run_ui(input, |ui| {
            state.poll(ui.ctx());
            chrome::root_ui(ui, state);
        });
        let shapes = std::mem::take(&mut output.shapes);
        std::hint::black_box(self.ctx.tessellate(shapes, output.pixels_per_point));
        let took = began.elapsed();
        // Textures that nobody uploads would count as lost.
        output.textures_delta.clear();
        took
    }
}
