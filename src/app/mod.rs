//! The window: panes, commands, theme, dialogs.

mod palette;
pub mod timeline_pane;

pub use palette::Palette;
