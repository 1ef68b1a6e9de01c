//! Where a question is written: its pictures, its words, and the buttons.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use eframe::egui::{
    Align, Button, Event, Image, Key, Layout, Modifiers, RichText, ScrollArea, Stroke, StrokeKind, Ui, vec2,
};

use crate::pictures::{ENDINGS, Picture, Reader};
use crate::text;
use crate::theme::palette;

/// What an empty field asks about a picture.
pub(crate) const HINT: &str = "What is this?";

/// The longest side of a picture, in points.
const SIDE: f32 = 64.0;

/// What is to be asked next.
#[derive(Default)]
pub(crate) struct Composer {
    pub(crate) draft: String,
    pub(crate) pictures: Vec<Picture>,
    /// Whether the field is to have the keyboard.
    pub(crate) wants_focus: bool,
    files: Option<Receiver<Vec<PathBuf>>>,
}

/// What a click or a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Ask,
    AskSix,
    Stop,
}

impl Composer {
    /// Draws it.
    ///
    /// - is_answering: an answer is under way
    pub(crate) fn show(&mut self, ui: &mut Ui, reader: &mut Reader, is_answering: bool) -> Option<Action> {
        self.listen(reader);
        self.show_pictures(ui, reader);
        let output = text::edit(ui, "Question", &mut self.draft, HINT, 2);
        let field = &output.response;
        if ui.input(|input| !input.raw.hovered_files.is_empty()) {
            let line = Stroke::new(3.0, palette(ui).leaf);
            ui.painter().rect_stroke(field.rect.expand(2.0), 10, line, StrokeKind::Outside);
        }
        if std::mem::take(&mut self.wants_focus) {
            field.request_focus();
        }
        let mut action = None;
        if field.has_focus()
            && let Some(modifiers) = ui.input(|input| input.events.iter().find_map(return_key))
            && !modifiers.shift
        {
            action = Some(if modifiers.command { Action::AskSix } else { Action::Ask });
        }
        ui.horizontal(|ui| {
            if ui.add_enabled(self.files.is_none(), Button::new("Picture …")).clicked() {
                self.choose(ui);
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let palette = palette(ui);
                let ask = Button::new(RichText::new("Ask").color(palette.on_leaf)).fill(palette.leaf);
                if ui.add_enabled(!is_answering, ask).clicked() {
                    action = Some(Action::Ask);
                }
                let six = ui.add_enabled(!is_answering, Button::new("In all six languages …"));
                if six.on_hover_text("Ctrl+Enter").clicked() {
                    action = Some(Action::AskSix);
                }
                if is_answering && ui.button("Stop").on_hover_text("Esc").clicked() {
                    action = Some(Action::Stop);
                }
            });
        });
        // One at a time: what is under way is stopped first.
        action.filter(|action| !is_answering || *action == Action::Stop)
    }

    fn show_pictures(&mut self, ui: &mut Ui, reader: &Reader) {
        if self.pictures.is_empty() && !reader.is_busy() {
            return;
        }
        let mut removed = None;
        // Two rows are to be seen; the buttons below stay where they are however many pictures there are.
        let cell = vec2(SIDE + 36.0, SIDE);
        let most = 2.0 * SIDE + ui.spacing().item_spacing.y;
        let area = ScrollArea::vertical().max_height(most).min_scrolled_height(most);
        area.auto_shrink([false, true]).show(ui, |ui| {
            ui.horizontal_wrapped(|ui| {
                for (at, picture) in self.pictures.iter().enumerate() {
                    ui.allocate_ui_with_layout(cell, Layout::left_to_right(Align::Center), |ui| {
                        ui.set_min_size(cell);
                        let image = Image::from_texture(&picture.texture).max_size(vec2(SIDE, SIDE));
                        ui.add(image.corner_radius(8).alt_text(&picture.name));
                        let remove = ui.small_button("×").on_hover_text(format!("Remove {}", picture.name));
                        removed = if remove.clicked() { Some(at) } else { removed };
                    });
                }
                if reader.is_busy() {
                    ui.spinner();
                }
            });
        });
        if let Some(at) = removed {
            self.pictures.remove(at);
        }
    }

    /// Opens the system's dialog, on a thread: it returns when the user has chosen.
    fn choose(&mut self, ui: &Ui) {
        let (sender, receiver) = mpsc::channel();
        let context = ui.ctx().clone();
        thread::spawn(move || {
            let dialog = rfd::FileDialog::new().set_title("A picture to ask about");
            let dialog = dialog.add_filter("Pictures", &ENDINGS);
            let _ = sender.send(dialog.pick_files().unwrap_or_default());
            context.request_repaint();
        });
        self.files = Some(receiver);
    }

    fn listen(&mut self, reader: &mut Reader) {
        if let Some(files) = self.files.as_ref().and_then(|files| files.try_recv().ok()) {
            self.files = None;
            files.into_iter().for_each(|file| reader.open(file));
        }
    }
}

/// What is held down while the return key is pressed.
fn return_key(event: &Event) -> Option<Modifiers> {
    match event {
        Event::Key { key: Key::Enter, pressed: true, modifiers, .. } => Some(*modifiers),
        _ => None,
    }
}
