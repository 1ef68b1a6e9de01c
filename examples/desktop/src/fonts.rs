//! Fonts for six languages: egui's own has Latin and Cyrillic, the system's have the rest.

use std::sync::Arc;

use eframe::egui::text::FontDefinitions;
use eframe::egui::{Context, FallbackRequest, FontFamily, FontId, FontProvider};
use egui_system_font_provider::SystemFontProvider;
use parrot_model::untrusted::contained;

/// The family of text that runs from right to left: the fonts of [`FontFamily::Proportional`] with one for Arabic before them.
/// egui shapes as one what is in one font, so Arabic's spaces and marks have to come from the font that its letters come from.
const RIGHT_TO_LEFT: &str = "right-to-left";

/// Scripts that egui's own fonts lack: a letter, what to call them, and packages of Debian's that have them.
const SCRIPTS: [(&str, &str, &str); 2] =
    [("ع", "Arabic", "fonts-noto-core"), ("这", "Chinese", "fonts-noto-cjk")];

/// The font of a size for text that runs from right to left.
pub(crate) fn right_to_left(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(RIGHT_TO_LEFT.into()))
}

/// The thread on which the system's fonts are looked through. It panics where there are none (fontconfig's reader does).
pub(crate) const READER: &str = "egui_system_font_provider";

/// Takes the system's fonts for Arabic and Chinese; what else is lacking, egui asks the system for when it is first shown.
///
/// Returns a sentence if there is none for one of them.
pub(crate) fn install(context: &Context) -> Option<String> {
    let system = SystemFontProvider::new().with_locale(Some("zh-Hans"));
    let mut fonts = FontDefinitions::default();
    let proportional = fonts.families.entry(FontFamily::Proportional).or_default();
    let mut right_to_left = proportional.clone();
    let mut missing = Vec::new();
    let mut has_fonts = true;
    for (letter, script, package) in SCRIPTS {
        let request = FallbackRequest { cluster: letter, family: &FontFamily::Proportional };
        let found = contained(|| system.font_for(&request));
        has_fonts &= found.is_ok();
        let Ok(Some(found)) = found else {
            missing.push((script, package));
            continue;
        };
        fonts.font_data.insert(found.name.clone(), Arc::new(found.data));
        if script == "Arabic" {
            right_to_left.insert(0, found.name.clone());
        }
        proportional.push(found.name);
    }
    fonts.families.insert(FontFamily::Name(RIGHT_TO_LEFT.into()), right_to_left);
    context.set_fonts(fonts);
    if has_fonts {
        context.add_font_provider(Arc::new(system));
    }
    let what = |(script, package): &(&str, &str)| format!("{script} (on Debian: {package})");
    let missing: Vec<String> = missing.iter().map(what).collect();
    (!missing.is_empty())
        .then(|| format!("No font was found for {}; install one to read it.", missing.join(" and ")))
}
