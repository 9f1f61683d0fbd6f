//! The colours of the window, dark and light, by what they mean.

use egui::Color32;

/// One colour for each meaning; every meaning also has a mark or a word, so that none rests on hue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are named by their meaning")]
pub struct Palette {
    pub background: Color32,
    pub panel: Color32,
    pub raised: Color32,
    pub line: Color32,
    pub text: Color32,
    pub muted: Color32,
    pub answered: Color32,
    pub failed: Color32,
    pub attention: Color32,
    pub note: Color32,
    pub path: Color32,
    pub selection: Color32,
    /// `answered` as text: darker than the bars where the ground is light.
    pub answered_text: Color32,
    /// Text on a filled bar.
    pub on_bar: Color32,
    /// Text on the bar of a failure.
    pub on_failed: Color32,
    /// The lower edge of the bar of a failure: seen beside the bar and beside the ground.
    pub failed_edge: Color32,
    /// The number on the disc of an attempt.
    pub on_attention: Color32,
}

impl Palette {
    /// The dark colours.
    pub const DARK: Self = Self {
        background: Color32::from_rgb(0x13, 0x16, 0x1b),
        panel: Color32::from_rgb(0x1a, 0x1e, 0x25),
        raised: Color32::from_rgb(0x21, 0x26, 0x2f),
        line: Color32::from_rgb(0x2c, 0x33, 0x3e),
        text: Color32::from_rgb(0xdb, 0xe1, 0xe9),
        muted: Color32::from_rgb(0x87, 0x92, 0xa2),
        answered: Color32::from_rgb(0x3f, 0xae, 0x87),
        failed: Color32::from_rgb(0xef, 0x5b, 0x5b),
        attention: Color32::from_rgb(0xf0, 0xa8, 0x3c),
        note: Color32::from_rgb(0x5b, 0xa7, 0xe6),
        path: Color32::from_rgb(0x7f, 0xd6, 0xff),
        selection: Color32::from_rgb(0xff, 0xff, 0xff),
        answered_text: Color32::from_rgb(0x4f, 0xc0, 0x97),
        on_bar: Color32::from_rgb(0x0b, 0x12, 0x10),
        on_failed: Color32::from_rgb(0x0b, 0x12, 0x10),
        failed_edge: Color32::from_rgb(0xff, 0xd9, 0xd9),
        on_attention: Color32::from_rgb(0x0b, 0x12, 0x10),
    };

    /// The light colours, of the same order and with the same contrast.
    pub const LIGHT: Self = Self {
        background: Color32::from_rgb(0xf1, 0xf3, 0xf6),
        panel: Color32::from_rgb(0xff, 0xff, 0xff),
        raised: Color32::from_rgb(0xe7, 0xeb, 0xf0),
        line: Color32::from_rgb(0xc9, 0xd0, 0xda),
        text: Color32::from_rgb(0x1b, 0x22, 0x2c),
        muted: Color32::from_rgb(0x5a, 0x66, 0x76),
        answered: Color32::from_rgb(0x4f, 0xb3, 0x90),
        failed: Color32::from_rgb(0xd2, 0x36, 0x36),
        attention: Color32::from_rgb(0xa8, 0x66, 0x00),
        note: Color32::from_rgb(0x1f, 0x6f, 0xb8),
        path: Color32::from_rgb(0x00, 0x77, 0xb3),
        selection: Color32::from_rgb(0x0b, 0x12, 0x1c),
        answered_text: Color32::from_rgb(0x14, 0x75, 0x55),
        on_bar: Color32::from_rgb(0x0b, 0x12, 0x10),
        on_failed: Color32::from_rgb(0xff, 0xff, 0xff),
        failed_edge: Color32::from_rgb(0x0b, 0x12, 0x10),
        on_attention: Color32::from_rgb(0xff, 0xff, 0xff),
    };

    /// The palette of the theme that `ctx` shows.
    pub fn of(ctx: &egui::Context) -> Self {
        if ctx.theme() == egui::Theme::Dark { Self::DARK } else { Self::LIGHT }
    }
}
