//! Whether a window can open, and opening it.

use std::path::PathBuf;

use thiserror::Error;

use crate::logs::LogFormat;
use crate::topology::Overrides;

/// Why no window opened, with the way to get one.
#[derive(Debug, Error)]
pub(super) enum WindowError {
    /// There is none, or it would not open.
    #[cfg(feature = "gui")]
    #[error("{0}. To get it, run hopscope on a desktop, over `ssh -X`, or under `xvfb-run`")]
    App(String),
    /// The program was built without the window.
    #[cfg(not(feature = "gui"))]
    #[error("this build has none. To get it, build with the default features: `cargo build --release`")]
    Headless,
}

/// Opens the window and returns when it is closed.
#[cfg(feature = "gui")]
pub(super) fn open(
    paths: &[PathBuf],
    overrides: &Overrides,
    log_format: Option<&LogFormat>,
) -> Result<(), WindowError> {
    crate::app::run(paths.to_vec(), overrides.clone(), log_format.cloned())
        .map_err(|error| WindowError::App(plain(&error)))
}

/// Says that this build has no window.
#[cfg(not(feature = "gui"))]
pub(super) fn open(
    _paths: &[PathBuf],
    _overrides: &Overrides,
    _log_format: Option<&LogFormat>,
) -> Result<(), WindowError> {
    Err(WindowError::Headless)
}

/// A sentence for a person: the libraries below say where in their sources they failed.
#[cfg(feature = "gui")]
fn plain(error: &crate::app::AppError) -> String {
    use crate::app::AppError;
    match error {
        AppError::NoDisplay => error.to_string(),
        AppError::Window(eframe::Error::Winit(_) | eframe::Error::WinitEventLoop(_)) => {
            let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
            no_answer(set("WAYLAND_DISPLAY"), set("DISPLAY"))
        }
        AppError::Window(
            eframe::Error::Glutin(_) | eframe::Error::NoGlutinConfigs(..) | eframe::Error::OpenGL(_),
        ) => "the display gives no OpenGL to draw with".to_owned(),
        AppError::Window(_) => "the desktop gives no window".to_owned(),
    }
}

/// Which display does not answer.
#[cfg(any(feature = "gui", test))]
fn no_answer(wayland: Option<String>, x11: Option<String>) -> String {
    let wayland = wayland.map(|name| format!("no Wayland compositor answers at WAYLAND_DISPLAY={name}"));
    let x11 = x11.map(|name| format!("no X server answers at DISPLAY={name}"));
    let all: Vec<String> = wayland.into_iter().chain(x11).collect();
    if all.is_empty() { "the display does not answer".to_owned() } else { all.join(", and ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_that_does_not_answer_is_named() {
        assert_eq!(no_answer(None, Some(":99".to_owned())), "no X server answers at DISPLAY=:99");
        assert_eq!(no_answer(None, None), "the display does not answer");
    }
}
