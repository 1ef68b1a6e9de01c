//! What the window is: what it holds, and what happens in a frame.

mod ask;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Waker;

use eframe::egui::{
    Align, Button, CentralPanel, Context, Event, Frame, Image, Key, Layout, Margin, Panel, RichText,
    ScrollArea, Ui, vec2,
};
use parrot_infer::Error;
use parrot_infer::device::Backend;

use crate::answer::{Answer, Repaint};
use crate::composer::{Action, Composer};
use crate::model::{Loaded, Loading, Setup};
use crate::pictures::{self, MOST_DROPPED, Picture, Reader, SAMPLES};
use crate::settings::{self, Settings};
use crate::six::{Outcome, SixDialog};
use crate::theme::palette;
use crate::turn::{Turn, Wish};
use crate::{fonts, theme};

/// Everything that the window holds.
pub struct App {
    context: Context,
    waker: Waker,
    model: Option<Loaded>,
    loading: Option<Loading>,
    reader: Reader,
    samples: Reader,
    sample_pictures: Vec<Picture>,
    composer: Composer,
    turns: Vec<Turn>,
    /// Whether the next question begins a conversation.
    begins: bool,
    /// What is to be done once the pictures are read.
    asked: Option<Action>,
    settings: Settings,
    six: Option<SixDialog>,
    /// What went wrong, until it is clicked away.
    problems: Vec<String>,
    missing_font: Option<String>,
    transcript: Option<File>,
    /// Whether an answer failed because the device did.
    pub(crate) has_device_failed: bool,
}

impl App {
    /// A window without a conversation, which loads a model.
    #[must_use]
    pub fn new(context: &Context, setup: Setup) -> Self {
        let mut app = Self {
            context: context.clone(),
            waker: Waker::noop().clone(),
            model: None,
            loading: None,
            reader: Reader::new(context),
            samples: Reader::new(context),
            sample_pictures: Vec::new(),
            composer: Composer::default(),
            turns: Vec::new(),
            begins: true,
            asked: None,
            settings: Settings::new(&setup),
            six: None,
            problems: Vec::new(),
            missing_font: None,
            transcript: None,
            has_device_failed: false,
        };
        app.move_to(context);
        app.load(setup);
        app
    }

    /// Writes questions and answers to a file, one pair a line with a tab between them.
    #[must_use]
    pub fn with_transcript(mut self, file: File) -> Self {
        self.transcript = Some(file);
        self
    }

    /// Goes on in another window.
    pub(crate) fn move_to(&mut self, context: &Context) {
        theme::install(context);
        self.missing_font = fonts::install(context);
        self.context = context.clone();
        self.waker = Arc::new(Repaint(context.clone())).into();
        (self.reader, self.samples) = (Reader::new(context), Reader::new(context));
        self.sample_pictures.clear();
        SAMPLES.into_iter().for_each(|sample| self.samples.sample(sample));
        let shown = self.turns.iter_mut().flat_map(|turn| &mut turn.pictures);
        shown.chain(&mut self.composer.pictures).for_each(|picture| picture.draw_in(context));
        self.composer.wants_focus = true;
    }

    /// Goes on in another window, because the device that drew the last one and computed the answers is lost.
    pub(crate) fn recover(&mut self, context: &Context) {
        self.move_to(context);
        let lost = self.setup();
        self.model = None;
        let device = if Backend::Cpu.is_built() { "cpu".to_owned() } else { lost.device.clone() };
        let problem = format!(
            "The GPU {} is gone: its driver was reset, or the computer slept. This is a new window; answers are now computed on {device}. \
             To use the GPU again, start the program anew.",
            lost.device
        );
        self.load(Setup { device, dtype: None, ..lost });
        self.problems = vec![problem];
    }

    /// Reads a picture to be asked about next.
    pub fn open_picture(&mut self, path: impl Into<PathBuf>) {
        self.reader.open(path.into());
    }

    /// Loads a model; the one before answers until it is there.
    pub fn load(&mut self, setup: Setup) {
        let context = self.context.clone();
        self.problems.clear();
        self.loading = Some(Loading::start(setup, move || context.request_repaint()));
    }

    /// Whether there is a model that answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.model.is_some() && self.loading.is_none()
    }

    /// Whether an answer is under way.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.turns.iter().flat_map(|turn| &turn.answers).any(Answer::is_under_way)
    }

    /// Ends all answers at their next token.
    pub fn stop(&mut self) {
        self.asked = None;
        self.turns.iter_mut().flat_map(|turn| &mut turn.answers).for_each(Answer::stop);
    }

    /// Each question and its answer, as far as it has come, oldest first.
    pub fn answers(&self) -> impl Iterator<Item = (&str, &str)> {
        let answers = self.turns.iter().flat_map(|turn| &turn.answers);
        answers.map(|answer| (answer.question.as_str(), answer.text.as_str()))
    }

    /// What last went wrong, until it is clicked away.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problems.last().map(String::as_str)
    }

    /// A frame: takes what has happened since the one before, then draws.
    pub fn ui(&mut self, ui: &mut Ui) {
        self.hear_of_model();
        self.hear_of_answers();
        self.take_input(ui);
        Panel::top("header").frame(strip(ui)).show(ui, |ui| self.header(ui));
        let action = Panel::bottom("composer").frame(strip(ui)).show(ui, |ui| self.bottom(ui)).inner;
        CentralPanel::default().frame(strip(ui)).show(ui, |ui| self.conversation(ui));
        self.asked = action.or(self.asked);
        if self.asked == Some(Action::Stop) || !self.reader.is_busy() {
            match self.asked.take() {
                Some(Action::Ask) => self.ask(),
                Some(Action::AskSix) => self.six = Some(SixDialog::new(&self.composer.draft)),
                Some(Action::Stop) => self.stop(),
                None => {}
            }
        }
        self.dialogs(ui.ctx());
    }

    fn hear_of_model(&mut self) {
        match self.loading.as_mut().and_then(Loading::update) {
            Some(Ok(loaded)) => {
                self.problems.extend(loaded.notice.clone());
                self.model = Some(*loaded);
                self.loading = None;
                self.settings.is_open = false;
            }
            Some(Err(problem)) => {
                self.problems.push(problem);
                self.loading = None;
            }
            None => return,
        }
        // Those that were asked meanwhile.
        let engine = self.model.as_ref().map(|model| &model.engine);
        let answers = self.turns.iter_mut().flat_map(|turn| &mut turn.answers);
        answers.filter(|answer| answer.is_waiting()).for_each(|answer| answer.ask(engine));
    }

    fn hear_of_answers(&mut self) {
        for answer in self.turns.iter_mut().flat_map(|turn| &mut turn.answers) {
            if !answer.is_under_way() {
                continue;
            }
            let failed = answer.update(&self.waker);
            self.has_device_failed |= matches!(failed, Some(Error::Compute(_) | Error::Panicked { .. }));
            if let Some(transcript) = &mut self.transcript
                && !answer.is_under_way()
            {
                let line = |text: &str| text.replace(['\n', '\t'], " ");
                // A full disk is no reason to stop talking.
                let _ = writeln!(transcript, "{}\t{}", line(&answer.question), line(&answer.text));
            }
        }
        for picture in self.reader.finished() {
            match picture {
                Ok(picture) => self.composer.pictures.push(picture),
                Err(problem) => self.problems.push(problem),
            }
            self.composer.wants_focus = true;
        }
        self.sample_pictures.extend(self.samples.finished().into_iter().flatten());
        let place = |picture: &Picture| SAMPLES.iter().position(|(name, _)| *name == picture.name);
        self.sample_pictures.sort_by_key(place);
    }

    /// Files that were dropped, pictures that were pasted, keys that mean something everywhere.
    fn take_input(&mut self, ui: &Ui) {
        let (dropped, pasted, stops) = ui.input(|input| {
            let pasted = input.events.iter().filter_map(|event| match event {
                Event::PasteImage(pixels) => Some(Arc::clone(pixels)),
                _ => None,
            });
            let dropped: Vec<PathBuf> =
                input.raw.dropped_files.iter().map(|file| file.path().into()).collect();
            (dropped, pasted.collect::<Vec<_>>(), input.key_pressed(Key::Escape))
        });
        self.take_dropped(dropped);
        pasted.into_iter().for_each(|pixels| self.reader.paste(pixels));
        if stops {
            self.stop();
        }
    }

    /// Pictures are asked about, those of a folder too; a model is loaded.
    fn take_dropped(&mut self, dropped: Vec<PathBuf>) {
        let (mut models, mut files) = (Vec::new(), Vec::new());
        for path in dropped {
            match pictures::of_folder(&path) {
                mut pictures if !pictures.is_empty() => {
                    if pictures.len() > MOST_DROPPED {
                        let (folder, count) = (path.display(), pictures.len());
                        self.problems.push(format!(
                            "{folder}: of {count} pictures the first {MOST_DROPPED} were taken"
                        ));
                        pictures.truncate(MOST_DROPPED);
                    }
                    files.extend(pictures);
                }
                _ if is_model(&path) => models.push(path.to_string_lossy().into_owned()),
                _ => files.push(path),
            }
        }
        match &models[..] {
            [] => {}
            [model] => {
                let current = self.setup();
                self.load(Setup { model: model.clone(), ..current });
            }
            several => {
                let names = several.join(", ");
                self.problems
                    .push(format!("{} models were dropped: {names}. Drop one at a time.", several.len()));
            }
        }
        files.into_iter().for_each(|file| self.reader.open(file));
    }

    /// What is loaded, or being loaded.
    fn setup(&self) -> Setup {
        let loading = self.loading.as_ref().map(|loading| &loading.setup);
        let setup = loading.or(self.model.as_ref().map(|model| &model.setup));
        setup.cloned().unwrap_or_else(|| self.settings.chosen().clone())
    }

    fn header(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            ui.heading("Parrot");
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                theme::choose(ui);
                if ui.button("Settings").clicked() {
                    self.settings.open(&self.setup());
                }
                if ui.button("New").on_hover_text("a new conversation").clicked() {
                    self.stop();
                    self.turns.clear();
                    self.composer.pictures.clear();
                    self.problems.clear();
                    (self.begins, self.composer.wants_focus) = (true, true);
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    match (&self.loading, &self.model) {
                        (Some(loading), _) => settings::progress(ui, loading),
                        (None, Some(model)) => {
                            let name = Path::new(&model.setup.model)
                                .file_name()
                                .unwrap_or_default()
                                .to_string_lossy();
                            let words = format!("{name}, {}, {}", model.device, model.dtype);
                            ui.add(eframe::egui::Label::new(RichText::new(words).weak()).truncate());
                        }
                        (None, None) => {
                            ui.label(RichText::new("no model").weak());
                        }
                    }
                });
            });
        });
    }

    fn bottom(&mut self, ui: &mut Ui) -> Option<Action> {
        let is_answering = self.is_answering();
        let action = self.composer.show(ui, &mut self.reader, is_answering);
        if !self.problems.is_empty() {
            self.show_problems(ui);
        }
        if let Some(missing) = &self.missing_font {
            ui.label(RichText::new(missing).small().weak());
        }
        action
    }

    fn show_problems(&mut self, ui: &mut Ui) {
        const MOST: f32 = 120.0;
        let mut dismissed = None;
        let area = ScrollArea::vertical().id_salt("problems").max_height(MOST).min_scrolled_height(MOST);
        // As wide as the window, so that its bar stands at the edge.
        area.auto_shrink([false, true]).show(ui, |ui| {
            for (at, problem) in self.problems.iter().enumerate() {
                ui.horizontal_wrapped(|ui| {
                    if ui.small_button("×").on_hover_text("Dismiss").clicked() {
                        dismissed = Some(at);
                    }
                    ui.label(RichText::new(problem).color(palette(ui).bad));
                });
            }
        });
        if let Some(at) = dismissed {
            self.problems.remove(at);
        }
    }

    fn conversation(&mut self, ui: &mut Ui) {
        if self.turns.is_empty() {
            return self.welcome(ui);
        }
        ScrollArea::vertical().auto_shrink(false).stick_to_bottom(true).show(ui, |ui| {
            // Room for the scroll bar, which floats above what it scrolls.
            ui.set_max_width(ui.available_width() - 12.0);
            let mut wished = None;
            for (at, turn) in self.turns.iter().enumerate() {
                if at > 0 && turn.begins && !turn.is_six() {
                    ui.separator();
                }
                ui.push_id(at, |ui| {
                    if let Some((answer, wish)) = turn.show(ui) {
                        wished = Some((at, answer, wish));
                    }
                });
                ui.add_space(10.0);
            }
            if let Some((turn, answer, wish)) = wished {
                let answer = &mut self.turns[turn].answers[answer];
                match wish {
                    Wish::Stop => answer.stop(),
                    Wish::Retry => answer.ask(self.model.as_ref().map(|model| &model.engine)),
                }
            }
        });
    }

    fn welcome(&mut self, ui: &mut Ui) {
        ui.vertical_centered(|ui| {
            ui.add_space(ui.available_height() * 0.12);
            ui.heading("Ask about a picture");
            ui.label(RichText::new("Drop one here, paste it, choose one, or take one of these:").weak());
            ui.add_space(10.0);
            // A button is wider than its picture, and there is a gap to the next one.
            let edge = 2.0 * ui.spacing().button_padding.x + ui.spacing().item_spacing.x;
            let side = (ui.available_width() / SAMPLES.len() as f32 - edge).min(108.0);
            let row = SAMPLES.len() as f32 * (side + edge);
            ui.horizontal(|ui| {
                ui.add_space(((ui.available_width() - row) / 2.0).max(0.0));
                for picture in &self.sample_pictures {
                    let image =
                        Image::from_texture(&picture.texture).max_size(vec2(side, side)).corner_radius(8);
                    let image = image.alt_text(format!("Sample: {}", picture.name));
                    if ui.add(Button::image(image)).clicked() {
                        self.composer.pictures.push(picture.clone());
                        self.composer.wants_focus = true;
                    }
                }
            });
        });
    }

    fn dialogs(&mut self, context: &Context) {
        match self.six.as_mut().map(|dialog| dialog.show(context)) {
            Some(Outcome::Ask(wordings)) => {
                self.six = None;
                self.ask_six(wordings);
            }
            Some(Outcome::Closed) => self.six = None,
            Some(Outcome::Open) | None => {}
        }
        let problem = self.problem().map(String::from);
        if let Some(setup) = self.settings.show(context, self.loading.as_ref(), problem.as_deref()) {
            self.load(setup);
        }
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("turns", &self.turns.len()).finish_non_exhaustive()
    }
}

/// The ground of a part of the window.
fn strip(ui: &Ui) -> Frame {
    Frame::new().fill(palette(ui).ground).inner_margin(Margin::symmetric(16, 9))
}

/// Whether a dropped path is a model rather than a picture.
fn is_model(path: &Path) -> bool {
    path.is_dir() || path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}
