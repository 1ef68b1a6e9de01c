//! Opens the window; opens it anew where the GPU that draws it is lost.

use std::cell::RefCell;
use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;
use std::{panic, thread};

use clap::{Parser, ValueEnum};
use eframe::egui::{ThemePreference, Ui, ViewportBuilder, ViewportCommand, vec2};
use eframe::egui_wgpu::RenderState;
use eframe::wgpu::{Buffer, BufferDescriptor, BufferUsages};
use eframe::{Frame, NativeOptions};
use parrot_infer::device;
use parrot_model::device::parse_weight_dtype;

use crate::app::App;
use crate::fonts;
use crate::model::Setup;

/// Ask Parrot about pictures, in a window
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Options {
    /// Pictures to begin with
    pub pictures: Vec<PathBuf>,
    /// A model's folder, a text model's GGUF, or an id on the Hugging Face hub [default: $PARROT_MODEL, or assets/parrot-mini]
    #[arg(long)]
    pub model: Option<String>,
    /// Where to compute
    #[arg(long, default_value = "auto", long_help = device::SYNTAX)]
    pub device: String,
    /// What weights are held in: f32, f16, bf16, q8, q4, or auto for the widest that fits [default: what suits the device]
    #[arg(long, value_parser = dtype)]
    pub dtype: Option<String>,
    /// Colours
    #[arg(long, value_enum, default_value_t)]
    pub theme: ThemeChoice,
    /// Append questions and answers to this file, a line for each pair with a tab between them
    #[arg(long)]
    pub transcript: Option<PathBuf>,
}

/// Light, dark, or what the system has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ThemeChoice {
    /// The system's; light where it does not say.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// Windows in all: where one GPU after the other is lost, drawing is given up.
const MOST_WINDOWS: usize = 4;

/// Prints each panic as one line. Not those of the system's fonts: a line in the window says which are lacking.
pub fn panics_in_one_line() {
    device::panics_in_one_line();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if thread::current().name() != Some(fonts::READER) {
            hook(panic);
        }
    }));
}

/// Shows the window until it is closed.
///
/// # Errors
///
/// In one line, with what to do: there is no screen, no graphics driver, or the transcript cannot be written.
pub fn run(options: Options) -> Result<(), String> {
    let transcript = options.transcript.as_ref().map(|path| {
        let file = File::options().create(true).append(true).open(path);
        file.map_err(|error| format!("cannot write {}: {error}", path.display()))
    });
    let transcript = transcript.transpose()?;
    let model = options.model.clone().or_else(|| std::env::var("PARROT_MODEL").ok());
    let mut setup = Setup {
        model: model.unwrap_or_else(|| "assets/parrot-mini".into()),
        device: options.device.clone(),
        dtype: options.dtype.clone(),
    };
    let mut native = native_options();
    let shared = share(&mut setup, &mut native);
    let theme = options.theme;
    let app: Rc<RefCell<Option<App>>> = Rc::default();
    let is_lost = Rc::new(RefCell::new(false));
    let window = Window { app: Rc::clone(&app), shared, probe: None, is_lost: Rc::clone(&is_lost) };
    show(native, theme, move |context| {
        let mut app = App::new(context, setup);
        if let Some(file) = transcript {
            app = app.with_transcript(file);
        }
        options.pictures.into_iter().for_each(|path| app.open_picture(path));
        *window.app.borrow_mut() = Some(app);
        window
    })?;
    for _ in 1..MOST_WINDOWS {
        if !is_lost.take() {
            return Ok(());
        }
        // The conversation goes on in a window with a device of its own.
        let window = Window { app: Rc::clone(&app), shared: None, probe: None, is_lost: Rc::clone(&is_lost) };
        show(native_options(), theme, move |context| {
            if let Some(app) = window.app.borrow_mut().as_mut() {
                app.recover(context);
            }
            window
        })?;
    }
    if is_lost.take() { Err("the GPU that draws the window is lost again and again".into()) } else { Ok(()) }
}

/// Has window and model share a device, if it is to be one of wgpu's; returns its name.
#[cfg(feature = "wgpu")]
fn share(setup: &mut Setup, native: &mut NativeOptions) -> Option<String> {
    let shared = crate::shared::open(&setup.device)?;
    setup.device.clone_from(&shared.name);
    native.wgpu_options.wgpu_setup = shared.setup;
    Some(shared.name)
}

#[cfg(not(feature = "wgpu"))]
fn share(_: &mut Setup, _: &mut NativeOptions) -> Option<String> {
    None
}

fn native_options() -> NativeOptions {
    let viewport = ViewportBuilder::default().with_title("Parrot").with_app_id("parrot-desktop");
    let viewport = viewport.with_inner_size(vec2(1100.0, 780.0)).with_min_inner_size(vec2(420.0, 420.0));
    // The app has a provider of its own, which gets along without any font.
    NativeOptions { viewport, system_font_fallback: false, ..NativeOptions::default() }
}

fn show(
    options: NativeOptions,
    theme: ThemeChoice,
    make: impl FnOnce(&eframe::egui::Context) -> Window,
) -> Result<(), String> {
    let shown = eframe::run_native(
        "Parrot",
        options,
        Box::new(move |creation| {
            let context = &creation.egui_ctx;
            context.options_mut(|options| options.fallback_theme = eframe::egui::Theme::Light);
            context.set_theme(match theme {
                ThemeChoice::System => ThemePreference::System,
                ThemeChoice::Light => ThemePreference::Light,
                ThemeChoice::Dark => ThemePreference::Dark,
            });
            Ok(Box::new(make(context)))
        }),
    );
    shown.map_err(|error| {
        format!(
            "no window: {}. It needs a screen, and a driver for Vulkan, Direct3D 12, Metal or OpenGL; on Debian, \
             mesa-vulkan-drivers has one for every processor",
            reason(&error.to_string())
        )
    })
}

/// Checks a name as the loader takes it.
fn dtype(name: &str) -> Result<String, String> {
    if name != "auto" {
        parse_weight_dtype(name).map_err(|reason| format!("{reason}, or auto"))?;
    }
    Ok(name.to_owned())
}

/// What winit and wgpu say, without the place in their source and an empty list.
fn reason(error: &str) -> &str {
    let reason = error.rsplit_once(".rs:").and_then(|(_, place)| place.split_once(": "));
    reason.map_or(error, |(_, reason)| reason).trim_end_matches(['.', ' ', ':', '{', '}'])
}

/// The app in a window.
struct Window {
    app: Rc<RefCell<Option<App>>>,
    /// The device that the model and the window share.
    shared: Option<String>,
    /// Something to write to, which tells whether there is a device to draw with.
    probe: Option<Buffer>,
    /// Whether it was closed because that device was lost.
    is_lost: Rc<RefCell<bool>>,
}

impl Window {
    /// Whether the device still takes what is to be drawn; egui panics where it does not.
    fn can_draw(&mut self, state: &RenderState) -> bool {
        const BYTES: u64 = 4;
        let usage = BufferUsages::COPY_DST;
        let description = BufferDescriptor { label: None, size: BYTES, usage, mapped_at_creation: false };
        let probe = self.probe.get_or_insert_with(|| state.device.create_buffer(&description));
        std::num::NonZero::new(BYTES)
            .is_some_and(|size| state.queue.write_buffer_with(probe, 0, size).is_some())
    }

    fn lose(&mut self, ui: &Ui) {
        *self.is_lost.borrow_mut() = true;
        self.shared = None;
        ui.ctx().send_viewport_cmd(ViewportCommand::Close);
    }
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, frame: &mut Frame) {
        if frame.wgpu_render_state().is_some_and(|state| !self.can_draw(state)) {
            return self.lose(ui);
        }
        let mut has_failed = false;
        if let Some(app) = self.app.borrow_mut().as_mut() {
            app.ui(ui);
            has_failed = std::mem::take(&mut app.has_device_failed);
        }
        // Opening a device has it compute something.
        if has_failed && self.shared.as_ref().is_some_and(|name| device::open(name).is_err()) {
            self.lose(ui);
        }
    }
}
