//! Fonts and both themes, made from the palette.

use egui::{Color32, Context, CornerRadius, FontFamily, FontId, Stroke, TextStyle, Theme, Visuals};

use super::Palette;

/// Sets fonts and styles of a context: the window's creator and every UI test call it first.
pub fn install(ctx: &Context) {
    let mut fonts = egui::FontDefinitions::default();
    // Arrows, circled digits and geometric marks are only in the monospaced face.
    if let Some(family) = fonts.families.get_mut(&FontFamily::Proportional) {
        family.push("Hack".into());
    }
    ctx.set_fonts(fonts);
    ctx.all_styles_mut(|style| {
        style.text_styles = [
            (TextStyle::Heading, FontId::proportional(16.0)),
            (TextStyle::Body, FontId::proportional(13.0)),
            (TextStyle::Button, FontId::proportional(13.0)),
            (TextStyle::Monospace, FontId::monospace(12.0)),
            (TextStyle::Small, FontId::proportional(11.5)),
        ]
        .into();
        style.spacing.item_spacing = egui::vec2(8.0, 5.0);
        style.spacing.button_padding = egui::vec2(8.0, 3.0);
        style.spacing.interact_size.y = 22.0;
        style.spacing.menu_margin = egui::Margin::same(6);
        style.interaction.tooltip_delay = 0.3;
        style.url_in_tooltip = true;
        // A bar that shows only under the pointer would let a list look whole that goes on.
        style.spacing.scroll = egui::style::ScrollStyle {
            foreground_color: true,
            floating_width: 4.0,
            dormant_background_opacity: 0.0,
            dormant_handle_opacity: 0.45,
            ..egui::style::ScrollStyle::thin()
        };
        // Text under a full fade cannot be read, and the selected row often is the last one.
        style.spacing.scroll.fade.strength = 0.3;
        // A list that has just grown is scrolled to beyond the end that it had before: it must not spring back.
        style.spacing.scroll.kinetic.rubber_band = false;
    });
    ctx.set_visuals_of(Theme::Dark, visuals(Palette::DARK, Visuals::dark()));
    ctx.set_visuals_of(Theme::Light, visuals(Palette::LIGHT, Visuals::light()));
}

fn visuals(palette: Palette, mut visuals: Visuals) -> Visuals {
    visuals.panel_fill = palette.background;
    visuals.window_fill = palette.panel;
    visuals.window_stroke = Stroke::new(1.0, palette.line);
    visuals.extreme_bg_color =
        if visuals.dark_mode { Color32::from_rgb(0x0c, 0x0f, 0x13) } else { palette.panel };
    visuals.faint_bg_color = palette.raised.gamma_multiply(0.5);
    visuals.code_bg_color = palette.raised;
    visuals.hyperlink_color = palette.path;
    visuals.warn_fg_color = palette.attention;
    visuals.error_fg_color = palette.failed;
    visuals.weak_text_color = Some(palette.muted);
    visuals.selection.bg_fill = palette.path.gamma_multiply(0.25);
    visuals.selection.stroke = Stroke::new(1.5, palette.selection);
    let states = [
        (&mut visuals.widgets.noninteractive, palette.panel, palette.line, palette.text),
        (&mut visuals.widgets.inactive, palette.raised, palette.line, palette.text),
        (&mut visuals.widgets.hovered, palette.line, palette.muted, palette.text),
        (&mut visuals.widgets.active, palette.line, palette.selection, palette.text),
        (&mut visuals.widgets.open, palette.raised, palette.muted, palette.text),
    ];
    for (state, fill, stroke, text) in states {
        state.bg_fill = fill;
        state.weak_bg_fill = fill;
        state.bg_stroke = Stroke::new(1.0, stroke);
        state.fg_stroke = Stroke::new(1.0, text);
        state.corner_radius = CornerRadius::same(4);
        state.expansion = 0.0;
    }
    visuals
}
