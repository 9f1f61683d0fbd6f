//! Whether a window can open, and opening it.

use std::path::PathBuf;

use thiserror::Error;

use crate::topology::Overrides;

/// Why no window opened, with the way to get one.
#[derive(Debug, Error)]
pub(super) enum WindowError {
    /// There is none, or it would not open.
    #[cfg(feature = "gui")]
    #[error("{0}. To get it, run hopscope on a desktop, over `ssh -X`, or under `xvfb-run`")]
    App(#[from] crate::app::AppError),
    /// The program was built without the window.
    #[cfg(not(feature = "gui"))]
    #[error("this build has none. To get it, build with the default features: `cargo build --release`")]
    Headless,
}

/// Opens the window and returns when it is closed.
#[cfg(feature = "gui")]
pub(super) fn open(paths: &[PathBuf], overrides: &Overrides) -> Result<(), WindowError> {
    Ok(crate::app::run(paths.to_vec(), overrides.clone())?)
}

/// Says that this build has no window.
#[cfg(not(feature = "gui"))]
pub(super) fn open(_paths: &[PathBuf], _overrides: &Overrides) -> Result<(), WindowError> {
    Err(WindowError::Headless)
}
