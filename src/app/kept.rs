//! What the window keeps from one start to the next, apart from any session: the theme that the user chose.

use eframe::Storage;
use egui::{Context, Theme, ThemePreference};

const THEME: &str = "theme";

/// Takes the theme that was kept; without one the desktop's stays.
pub fn restore(ctx: &Context, storage: Option<&dyn Storage>) {
    match storage.and_then(|storage| storage.get_string(THEME)).as_deref() {
        Some("dark") => ctx.set_theme(Theme::Dark),
        Some("light") => ctx.set_theme(Theme::Light),
        _ => {}
    }
}

/// Keeps the theme once the user has chosen one. Written at once: whoever kills the window has chosen all the same.
pub fn keep(ctx: &Context, storage: &mut dyn Storage) {
    let chosen = match ctx.options(|options| options.theme_preference) {
        ThemePreference::Dark => "dark",
        ThemePreference::Light => "light",
        ThemePreference::System => return,
    };
    if storage.get_string(THEME).as_deref() != Some(chosen) {
        storage.set_string(THEME, chosen.to_owned());
        storage.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default)]
    struct Kept(BTreeMap<String, String>, usize);

    impl Storage for Kept {
        fn get_string(&self, key: &str) -> Option<String> {
            self.0.get(key).cloned()
        }
        fn set_string(&mut self, key: &str, value: String) {
            self.0.insert(key.to_owned(), value);
        }
        fn remove_string(&mut self, key: &str) {
            self.0.remove(key);
        }
        fn flush(&mut self) {
            self.1 += 1;
        }
    }

    #[test]
    fn the_chosen_theme_is_there_at_the_next_start() {
        let (ctx, mut kept) = (Context::default(), Kept::default());
        restore(&ctx, Some(&kept));
        keep(&ctx, &mut kept);
        assert_eq!(
            (ctx.options(|o| o.theme_preference), kept.1),
            (ThemePreference::System, 0),
            "nobody chose"
        );
        for (theme, written) in [(Theme::Light, 1), (Theme::Dark, 2)] {
            ctx.set_theme(theme);
            keep(&ctx, &mut kept);
            keep(&ctx, &mut kept);
            assert_eq!(kept.1, written, "only a change is written");
            let next = Context::default();
            restore(&next, Some(&kept));
            assert_eq!(next.options(|o| o.theme_preference), theme.into());
        }
        restore(&ctx, None);
    }
}
