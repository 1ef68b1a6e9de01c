//! The dialog that asks one question in all six languages.

use eframe::egui::{Button, ComboBox, Context, Id, Key, Modal, Modifiers, RichText, ScrollArea};

use crate::languages::{LANGUAGES, PRESETS, preset_of};
use crate::text;
use crate::theme::palette;

/// The dialog while it is open.
pub(crate) struct SixDialog {
    /// In the order of [`LANGUAGES`].
    wordings: [String; 6],
}

/// What became of the dialog.
pub(crate) enum Outcome {
    Open,
    Closed,
    Ask([String; 6]),
}

impl SixDialog {
    /// Opens on the question that stands in the window: in all languages if it is known in all, else for the user to translate.
    pub(crate) fn new(draft: &str) -> Self {
        let draft = draft.trim();
        let wordings = match preset_of(draft) {
            Some(preset) => preset.map(String::from),
            None if draft.is_empty() => PRESETS[0].map(String::from),
            None => std::array::from_fn(|_| draft.to_owned()),
        };
        Self { wordings }
    }

    pub(crate) fn show(&mut self, context: &Context) -> Outcome {
        let mut outcome = Outcome::Open;
        let shown = Modal::new(Id::unique("six")).show(context, |ui| {
            ui.set_width(520.0_f32.min(context.content_rect().width() - 60.0));
            ui.heading("Ask in all six languages");
            let known = preset_of(&self.wordings[0]);
            let title = known.map_or("a question of your own", |preset| preset[0]);
            ComboBox::new("preset", "").selected_text(title).width(260.0).show_ui(ui, |ui| {
                for preset in &PRESETS {
                    if ui.selectable_label(known == Some(preset), preset[0]).clicked() {
                        self.wordings = preset.map(String::from);
                    }
                }
            });
            // Before the fields take the key.
            let is_asked = ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Enter));
            ScrollArea::vertical().max_height(context.content_rect().height() - 190.0).show(ui, |ui| {
                for (language, wording) in LANGUAGES.iter().zip(&mut self.wordings) {
                    text::show(ui, language.name, 13.0, palette(ui).soft);
                    text::edit(ui, language.english, wording, "", 1);
                }
            });
            ui.add_space(4.0);
            ui.horizontal(|ui| {
                let palette = palette(ui);
                let can_ask = self.wordings.iter().all(|wording| !wording.trim().is_empty());
                let button =
                    Button::new(RichText::new("Ask all six").color(palette.on_leaf)).fill(palette.leaf);
                if ui.add_enabled(can_ask, button).clicked() || is_asked && can_ask {
                    outcome = Outcome::Ask(self.wordings.clone().map(|wording| wording.trim().to_owned()));
                }
                if ui.button("Cancel").clicked() {
                    outcome = Outcome::Closed;
                }
            });
        });
        match outcome {
            Outcome::Open if shown.should_close() => Outcome::Closed,
            outcome => outcome,
        }
    }
}
