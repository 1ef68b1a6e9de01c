//! The model, the device, what weights are held in, and how answers are made.

use std::sync::mpsc::{self, Receiver};
use std::thread;

use eframe::egui::{
    Button, ComboBox, Context, DragValue, Grid, Id, Modal, ProgressBar, RichText, TextEdit, Ui,
};
use parrot_infer::device::{self, DeviceInfo, dtype_name};

use crate::model::{Loading, Setup};
use crate::theme::palette;

/// The dialog, and what is set in it.
pub(crate) struct Settings {
    pub(crate) is_open: bool,
    /// What is chosen and not yet loaded.
    chosen: Setup,
    /// 0 always takes the likeliest word.
    pub(crate) temperature: f32,
    /// Tokens of an answer, at most.
    pub(crate) max_new_tokens: usize,
    devices: Devices,
    folder: Option<Receiver<Option<String>>>,
}

/// The devices of this machine. To know whether they work each has to compute something, which may take seconds.
enum Devices {
    Unknown,
    Asked(Receiver<Vec<DeviceInfo>>),
    Known(Vec<DeviceInfo>),
}

impl Settings {
    pub(crate) fn new(setup: &Setup) -> Self {
        let (chosen, devices) = (setup.clone(), Devices::Unknown);
        Self { is_open: false, chosen, temperature: 0.0, max_new_tokens: 512, devices, folder: None }
    }

    /// Opens the dialog on what is used.
    pub(crate) fn open(&mut self, setup: &Setup) {
        (self.is_open, self.chosen) = (true, setup.clone());
    }

    /// What is chosen.
    pub(crate) fn chosen(&self) -> &Setup {
        &self.chosen
    }

    /// Shows the dialog; returns what is to be loaded, if that was asked for.
    ///
    /// - problem: why the last model could not be loaded
    pub(crate) fn show(
        &mut self,
        context: &Context,
        loading: Option<&Loading>,
        problem: Option<&str>,
    ) -> Option<Setup> {
        if !self.is_open {
            return None;
        }
        self.listen(context);
        let mut load = None;
        let shown = Modal::new(Id::unique("settings")).show(context, |ui| {
            ui.set_width(440.0_f32.min(context.content_rect().width() - 60.0));
            ui.heading("Settings");
            ui.add_space(4.0);
            Grid::new("settings").num_columns(2).spacing([12.0, 10.0]).show(ui, |ui| {
                self.model(ui);
                self.device(ui);
                self.dtype(ui);
                ui.label("Longest answer");
                ui.add(DragValue::new(&mut self.max_new_tokens).range(1..=8192).suffix(" tokens"));
                ui.end_row();
                ui.label("Temperature");
                ui.add(DragValue::new(&mut self.temperature).range(0.0..=2.0).speed(0.02))
                    .on_hover_text("0 always takes the likeliest word");
                ui.end_row();
            });
            ui.add_space(4.0);
            if let Some(loading) = loading {
                progress(ui, loading);
            }
            if let Some(problem) = problem {
                ui.label(RichText::new(problem).color(palette(ui).bad));
            }
            ui.horizontal(|ui| {
                let palette = palette(ui);
                let name = RichText::new("Load the model").color(palette.on_leaf);
                let has_model = !self.chosen.model.trim().is_empty();
                if ui.add_enabled(has_model, Button::new(name).fill(palette.leaf)).clicked() {
                    let model = self.chosen.model.trim().to_owned();
                    load = Some(Setup { model, ..self.chosen.clone() });
                }
                if ui.button("Done").clicked() {
                    self.is_open = false;
                }
            });
        });
        self.is_open &= !shown.should_close();
        load
    }

    fn model(&mut self, ui: &mut Ui) {
        let label = ui.label("Model");
        ui.vertical(|ui| {
            let field = TextEdit::singleline(&mut self.chosen.model).desired_width(f32::INFINITY);
            ui.add(field.hint_text("a folder, a GGUF, or an id such as AIDC-AI/Parrot-7B"))
                .labelled_by(label.id);
            if ui.add_enabled(self.folder.is_none(), Button::new("Choose a folder …")).clicked() {
                let (sender, receiver) = mpsc::channel();
                let context = ui.ctx().clone();
                thread::spawn(move || {
                    let folder = rfd::FileDialog::new().set_title("A model's folder").pick_folder();
                    let _ = sender.send(folder.map(|folder| folder.to_string_lossy().into_owned()));
                    context.request_repaint();
                });
                self.folder = Some(receiver);
            }
        });
        ui.end_row();
    }

    fn device(&mut self, ui: &mut Ui) {
        ui.label("Device");
        let chosen = &mut self.chosen.device;
        ui.vertical(|ui| {
            ComboBox::new("device", "").selected_text(chosen.as_str()).width(230.0).show_ui(ui, |ui| {
                ui.selectable_value(chosen, "auto".into(), "auto: the best that there is");
                let known = if let Devices::Known(devices) = &self.devices { &devices[..] } else { &[] };
                for device in known {
                    let name = device
                        .adapter
                        .as_ref()
                        .map_or(device.name.clone(), |adapter| format!("{}: {adapter}", device.name));
                    let row = ui.add_enabled_ui(device.problem.is_none(), |ui| {
                        ui.selectable_value(chosen, device.name.clone(), name)
                    });
                    if let Some(problem) = &device.problem {
                        row.response.on_disabled_hover_text(problem);
                    }
                }
            });
            if matches!(self.devices, Devices::Asked(_)) {
                ui.horizontal(|ui| {
                    ui.spinner();
                    ui.label(RichText::new("trying out what is there").small().weak());
                });
            }
        });
        ui.end_row();
    }

    fn dtype(&mut self, ui: &mut Ui) {
        ui.label("Weights");
        let mut dtypes: Vec<String> = ["f32", "f16", "bf16"].map(String::from).into();
        if let Devices::Known(devices) = &self.devices
            && let Some(device) = devices.iter().find(|device| device.name == self.chosen.device)
            && device.name != "cpu"
        {
            dtypes = device.dtypes.iter().map(|dtype| dtype_name(*dtype)).collect();
        }
        dtypes.extend(["q8", "q4"].map(String::from));
        let chosen = &mut self.chosen.dtype;
        let words = |dtype: &Option<String>| match dtype.as_deref() {
            None => "what suits the device".to_owned(),
            Some("auto") => "the widest that fits".to_owned(),
            Some(dtype) => dtype.to_owned(),
        };
        ComboBox::new("dtype", "").selected_text(words(chosen)).width(230.0).show_ui(ui, |ui| {
            for dtype in [None, Some("auto".to_owned())].into_iter().chain(dtypes.into_iter().map(Some)) {
                let words = words(&dtype);
                ui.selectable_value(chosen, dtype, words);
            }
        });
        ui.end_row();
    }

    /// Hears from its threads.
    fn listen(&mut self, context: &Context) {
        match &self.devices {
            Devices::Unknown => {
                let (sender, receiver) = mpsc::channel();
                let context = context.clone();
                thread::spawn(move || {
                    let _ = sender.send(device::list());
                    context.request_repaint();
                });
                self.devices = Devices::Asked(receiver);
            }
            Devices::Asked(receiver) => {
                if let Ok(devices) = receiver.try_recv() {
                    self.devices = Devices::Known(devices);
                }
            }
            Devices::Known(_) => {}
        }
        if let Some(chosen) = self.folder.as_ref().and_then(|folder| folder.try_recv().ok()) {
            self.folder = None;
            if let Some(folder) = chosen {
                self.chosen.model = folder;
            }
        }
    }
}

/// How far loading has come.
pub(crate) fn progress(ui: &mut Ui, loading: &Loading) {
    let words = format!("{}: {}", loading.setup.model, loading.stage.words());
    match loading.stage.fraction() {
        Some(fraction) => {
            ui.add(ProgressBar::new(fraction).text(words).desired_width(ui.available_width().min(420.0)));
        }
        None => {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.label(words);
            });
        }
    }
}
