//! A question with its pictures, and its answers.

use eframe::egui::{
    Align, Button, Frame, Image, Layout, Margin, RichText, Sense, Stroke, Ui, UiBuilder, WidgetInfo,
    accesskit::Role, pos2, vec2,
};
use eframe::egui::{Rect, Response};

use crate::answer::{Answer, State};
use crate::pictures::Picture;
use crate::text;
use crate::theme::palette;

/// What was asked at once.
pub(crate) struct Turn {
    pub(crate) pictures: Vec<Picture>,
    /// One, or six that have nothing to do with the conversation.
    pub(crate) answers: Vec<Answer>,
    /// Whether the conversation begins here, so that nothing of what was said before is known.
    pub(crate) begins: bool,
    /// What is said above it, of more pictures than the model has learnt to talk about; or nothing.
    pub(crate) notice: String,
}

/// What a click on an answer's buttons asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wish {
    Stop,
    Retry,
}

/// The narrowest that a column may be.
const COLUMN: f32 = 165.0;

impl Turn {
    pub(crate) fn is_six(&self) -> bool {
        self.answers.len() > 1
    }

    /// Draws it; returns the number of an answer of which something is wanted.
    pub(crate) fn show(&self, ui: &mut Ui) -> Option<(usize, Wish)> {
        let mut wished = None;
        if !self.notice.is_empty() {
            ui.label(RichText::new(&self.notice).small().weak());
        }
        if self.is_six() {
            self.show_pictures(ui);
            let width = ui.available_width();
            let columns =
                [6, 3, 2, 1].into_iter().find(|columns| COLUMN * *columns as f32 <= width).unwrap_or(1);
            for (row, answers) in self.answers.chunks(columns).enumerate() {
                ui.columns(columns, |uis| {
                    for (at, (answer, ui)) in answers.iter().zip(uis).enumerate() {
                        if let Some(wish) = show_answer(ui, answer) {
                            wished = Some((row * columns + at, wish));
                        }
                    }
                });
            }
        } else {
            ui.with_layout(Layout::top_down(Align::Max), |ui| {
                self.show_pictures(ui);
                let room = (ui.available_width() * 0.88).min(640.0);
                for answer in &self.answers {
                    bubble(ui).show(ui, |ui| {
                        ui.set_max_width(room - 28.0);
                        text::show(ui, &answer.question, 16.0, palette(ui).ink);
                    });
                }
            });
            for (at, answer) in self.answers.iter().enumerate() {
                let room = ui.available_width().min(736.0);
                let place = UiBuilder::new()
                    .max_rect(Rect::from_min_size(ui.cursor().min, vec2(room, f32::INFINITY)));
                ui.scope_builder(place, |ui| {
                    if let Some(wish) = show_answer(ui, answer) {
                        wished = Some((at, wish));
                    }
                });
            }
        }
        wished
    }

    fn show_pictures(&self, ui: &mut Ui) {
        for picture in &self.pictures {
            let image = Image::from_texture(&picture.texture).max_size(vec2(176.0, 176.0)).corner_radius(8);
            ui.add(image.alt_text(&picture.name));
        }
    }
}

fn bubble(ui: &Ui) -> Frame {
    Frame::new().fill(palette(ui).mine).corner_radius(12).inner_margin(Margin::symmetric(14, 9))
}

/// Draws an answer; returns what is wanted of it.
fn show_answer(ui: &mut Ui, answer: &Answer) -> Option<Wish> {
    let palette = palette(ui);
    let sheet = Frame::new().fill(palette.sheet).stroke(Stroke::new(1.0, palette.line)).corner_radius(12);
    let mut wish = None;
    sheet.inner_margin(Margin::symmetric(13, 11)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        if let Some(language) = answer.language {
            text::show(ui, language.name, 13.0, palette.soft);
            text::show(ui, &answer.question, 15.5, palette.ink);
        }
        if !answer.routing.is_empty() {
            router(ui, &answer.routing);
        }
        if !answer.text.is_empty() {
            text::show(ui, &answer.text, 17.0, palette.ink);
        }
        if let State::Failed(problem) = &answer.state {
            text::show(ui, problem, 14.0, palette.bad);
        }
        let facts = answer.facts();
        if !facts.is_empty() {
            ui.label(RichText::new(facts).small().color(palette.soft));
        }
        ui.horizontal(|ui| {
            ui.spacing_mut().button_padding = vec2(8.0, 3.0);
            if answer.is_under_way() {
                wish = ui.add(small_button("Stop")).clicked().then_some(Wish::Stop);
                return;
            }
            if !answer.text.is_empty() && ui.add(small_button("Copy")).clicked() {
                ui.ctx().copy_text(answer.text.clone());
            }
            wish = ui.add(small_button("Retry")).clicked().then_some(Wish::Retry);
        });
    });
    wish
}

fn small_button(name: &str) -> Button<'_> {
    Button::new(RichText::new(name).size(13.0))
}

/// Bars with the weights that the question gave the experts (Eq. 3).
fn router(ui: &mut Ui, weights: &[f32]) -> Response {
    let (height, gap, label) = (38.0, 4.0, 15.0);
    let width = ui.available_width().min(320.0);
    let (place, response) = ui.allocate_exact_size(vec2(width, height + label), Sense::hover());
    let step = (width + gap) / weights.len() as f32;
    let palette = palette(ui);
    for (at, weight) in weights.iter().enumerate() {
        let left = place.left() + at as f32 * step;
        let tube = Rect::from_min_size(pos2(left, place.top()), vec2(step - gap, height));
        ui.painter().rect_filled(tube, 4, palette.line);
        let level = Rect::from_min_max(pos2(left, tube.bottom() - height * weight.clamp(0.0, 1.0)), tube.max);
        ui.painter().rect_filled(level, 4, palette.leaf);
        let font = eframe::egui::FontId::proportional(11.5);
        let below = pos2(tube.center().x, tube.bottom() + 1.0);
        let center = eframe::egui::Align2::CENTER_TOP;
        ui.painter().text(below, center, at + 1, font, palette.soft);
    }
    let percent = |(at, weight): (usize, &f32)| format!("expert {} {:.0} percent", at + 1, weight * 100.0);
    let words: Vec<String> = weights.iter().enumerate().map(percent).collect();
    let words = format!("Router: {}", words.join(", "));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &words));
    let exact = |(at, weight): (usize, &f32)| format!("expert {}: {weight:.3}", at + 1);
    let exact: Vec<String> = weights.iter().enumerate().map(exact).collect();
    response.on_hover_text(exact.join("\n"))
}
