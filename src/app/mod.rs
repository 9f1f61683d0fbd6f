//! The window: panes, commands, theme, dialogs.

mod palette;

pub use palette::Palette;
