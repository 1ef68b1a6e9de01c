//! Colours and sizes: those of the server's page.

use eframe::egui::accesskit::Role;
use eframe::egui::style::{ScrollStyle, WidgetVisuals};
use eframe::egui::{
    Color32, ComboBox, Context, CornerRadius, FontId, Margin, Stroke, TextStyle, Theme, ThemePreference, Ui,
    WidgetInfo, vec2,
};

/// The colours of a theme.
#[derive(Debug)]
pub(crate) struct Palette {
    /// Behind everything.
    pub(crate) ground: Color32,
    /// What answers and the question stand on.
    pub(crate) sheet: Color32,
    pub(crate) ink: Color32,
    /// What matters less than ink.
    pub(crate) soft: Color32,
    pub(crate) line: Color32,
    pub(crate) leaf: Color32,
    pub(crate) on_leaf: Color32,
    /// Behind a question, and behind selected text.
    pub(crate) mine: Color32,
    pub(crate) bad: Color32,
}

const LIGHT: Palette = Palette {
    ground: rgb(0xf6f7f4),
    sheet: rgb(0xffffff),
    ink: rgb(0x1c211d),
    soft: rgb(0x5d675f),
    line: rgb(0xd7dcd5),
    leaf: rgb(0x1b7a43),
    on_leaf: rgb(0xffffff),
    mine: rgb(0xe4f1e6),
    bad: rgb(0xb3261e),
};

const DARK: Palette = Palette {
    ground: rgb(0x141815),
    sheet: rgb(0x1d231f),
    ink: rgb(0xe9eee9),
    soft: rgb(0x9dab9f),
    line: rgb(0x333c35),
    leaf: rgb(0x5cc487),
    on_leaf: rgb(0x08240f),
    mine: rgb(0x21382a),
    bad: rgb(0xff8f86),
};

const fn rgb(hex: u32) -> Color32 {
    let [_, red, green, blue] = hex.to_be_bytes();
    Color32::from_rgb(red, green, blue)
}

/// The colours that are in use.
pub(crate) fn palette(ui: &Ui) -> &'static Palette {
    if ui.visuals().dark_mode { &DARK } else { &LIGHT }
}

/// Chooses a theme by its name: egui's own buttons are emoji, for which not every system has a font.
pub(crate) fn choose(ui: &mut Ui) {
    let name = |theme| match theme {
        ThemePreference::Light => "Light",
        ThemePreference::Dark => "Dark",
        ThemePreference::System => "System",
    };
    let before = ui.ctx().options(|options| options.theme_preference);
    let mut theme = before;
    let shown = ComboBox::new("theme", "").selected_text(name(theme)).width(50.0).show_ui(ui, |ui| {
        for each in [ThemePreference::System, ThemePreference::Light, ThemePreference::Dark] {
            ui.selectable_value(&mut theme, each, name(each));
        }
    });
    let told = || WidgetInfo::labeled(Role::ComboBox, true, format!("Theme: {}", name(theme)));
    shown.response.widget_info(told);
    if theme != before {
        ui.ctx().set_theme(theme);
    }
}

/// Gives both of egui's themes their colours.
pub(crate) fn install(context: &Context) {
    for (theme, palette) in [(Theme::Light, &LIGHT), (Theme::Dark, &DARK)] {
        context.style_mut_of(theme, |style| {
            for (text, size) in [
                (TextStyle::Small, 12.5),
                (TextStyle::Body, 15.0),
                (TextStyle::Button, 14.5),
                (TextStyle::Heading, 19.0),
            ] {
                style.text_styles.insert(text, FontId::proportional(size));
            }
            style.spacing.item_spacing = vec2(8.0, 7.0);
            // Where something is cut off, its bar is to be seen also without a pointer above it.
            style.spacing.scroll = ScrollStyle::thin();
            style.spacing.button_padding = vec2(12.0, 6.0);
            // Of dialogs, too.
            style.spacing.menu_margin = Margin::same(14);
            let visuals = &mut style.visuals;
            visuals.panel_fill = palette.ground;
            visuals.window_fill = palette.sheet;
            visuals.window_stroke = Stroke::new(1.0, palette.line);
            visuals.extreme_bg_color = palette.sheet;
            visuals.error_fg_color = palette.bad;
            visuals.weak_text_color = Some(palette.soft);
            visuals.selection.bg_fill = palette.mine;
            visuals.selection.stroke = Stroke::new(2.0, palette.leaf);
            let widgets = &mut visuals.widgets;
            let states = [
                (&mut widgets.noninteractive, palette.line),
                (&mut widgets.inactive, palette.line),
                (&mut widgets.hovered, palette.leaf),
                (&mut widgets.active, palette.leaf),
                (&mut widgets.open, palette.leaf),
            ];
            for (state, edge) in states {
                recolour(state, palette, edge);
            }
        });
    }
}

fn recolour(state: &mut WidgetVisuals, palette: &Palette, edge: Color32) {
    state.bg_fill = palette.line;
    state.weak_bg_fill = palette.sheet;
    state.bg_stroke = Stroke::new(1.0, edge);
    state.fg_stroke = Stroke::new(1.0, palette.ink);
    state.corner_radius = CornerRadius::same(10);
}
