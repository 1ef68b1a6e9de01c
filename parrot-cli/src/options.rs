//! Options that several subcommands share.

use std::env::{self, VarError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use clap::CommandFactory;
use parrot_infer::{AskOptions, Parrot, Sampling, device};
use parrot_model::checkpoint::{
    DecoderDescription, Description, DownloadProgress, resolve_description, resolve_with,
};
use parrot_model::config::ModelSize;
use parrot_model::device::WeightDtype;
use parrot_model::layout::{CONFIG_FILE, PROCESSOR_FILE};
use parrot_model::untrusted::printable;

use crate::progress::Bar;
use crate::terminal::print_notice;

/// Where the default model lies, relative to a folder that is looked at.
const DEFAULT_MODEL: &str = "assets/parrot-mini";

/// Which model, where, and how precise.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelOptions {
    /// The model's folder, a text model's GGUF, or an id on the Hugging Face hub [default: $PARROT_MODEL, or assets/parrot-mini]
    #[arg(long, value_name = "PATH_OR_ID", allow_hyphen_values = true, value_parser = free_text)]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) device: DeviceOptions,
}

/// A text of the user's own, which may begin with a hyphen. What is an option of this program is none: its own text was
/// forgotten then.
pub(crate) fn free_text(text: &str) -> Result<String, String> {
    let mut command = crate::Cli::command();
    command.build();
    let is_option = |argument: &clap::Arg| {
        argument.get_long().is_some_and(|long| text.strip_prefix("--") == Some(long))
            || argument.get_short().is_some_and(|short| text.strip_prefix('-') == Some(&*short.to_string()))
    };
    let mut commands = std::iter::once(&command).chain(command.get_subcommands());
    if text.starts_with('-') && commands.any(|command| command.get_arguments().any(is_option)) {
        return Err("that is an option itself; a text has to follow".into());
    }
    Ok(text.into())
}

/// Where to compute, and how precisely.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DeviceOptions {
    /// Where to compute: auto, cpu, cuda:0, vulkan:discrete:0, …; `parrot devices` shows what there is
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// What to hold weights in: f32, f16, bf16, q8, q4, or auto, the widest that fits memory [default: what suits
    /// the device; on the CPU bf16 if the model is stored in it]
    #[arg(long, value_name = "DTYPE", value_parser = parse_width)]
    dtype: Option<Width>,
}

/// What was asked to hold weights in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// The widest that fits.
    Auto,
    /// This.
    Given(WeightDtype),
}

fn parse_width(name: &str) -> Result<Width, String> {
    if name == "auto" {
        return Ok(Width::Auto);
    }
    device::parse_weight_dtype(name).map(Width::Given).map_err(|reason| format!("{reason}, or auto"))
}

impl DeviceOptions {
    /// The same, but on another device.
    #[cfg(feature = "serve")]
    pub(crate) fn on(&self, device: &str) -> Self {
        Self { device: device.into(), dtype: self.dtype }
    }

    /// The device, and what was asked to hold weights in, which it computes in; says so on stderr if the choice is
    /// not what the build is for.
    pub(crate) fn open(&self) -> Result<(Device, Option<Width>)> {
        let choice = device::choose(&self.device)?;
        if let Some(notice) = &choice.notice {
            print_notice(notice);
        }
        if let Some(Width::Given(dtype)) = self.dtype {
            device::weight_dtype(&choice.device, Some(dtype))?;
        }
        Ok((choice.device, self.dtype))
    }
}

impl ModelOptions {
    /// The same for a host's process of this number, which takes a device of its own where the name leaves that open.
    pub(crate) fn of_process(&self, rank: usize) -> Result<Self> {
        let device = device::name_of_process(&self.device.device, rank)?;
        Ok(Self { model: self.model.clone(), device: DeviceOptions { device, dtype: self.device.dtype } })
    }

    /// Loads the model, with a bar if that takes long.
    pub(crate) fn load(&self) -> Result<Parrot> {
        Ok(self.find_and_load()?.1)
    }

    /// The model's folder and the model.
    pub(crate) fn find_and_load(&self) -> Result<(PathBuf, Parrot)> {
        let (device, width) = self.device.open()?;
        let folder = find_model(self.model.as_deref())?;
        let bar = Bar::new("loading");
        let mut loader = Parrot::loader().on_progress(|done, total| bar.show(done, total));
        match width {
            Some(Width::Given(dtype)) => loader = loader.dtype(dtype),
            Some(Width::Auto) => loader = loader.widest_dtype(),
            None => {}
        }
        let parrot = loader.load(&folder, &device);
        drop(bar);
        let parrot = parrot.with_context(|| format!("cannot load the model {}", folder.display()))?;
        note_unknown_keys(&folder);
        Ok((folder, parrot))
    }
}

/// Says which keys of the configurations of a model, its tower and its image processor nobody here knows: one of them could
/// change the numbers.
fn note_unknown_keys(folder: &Path) {
    // What cannot be read has been refused.
    let [model, tower, processor] = match Description::open(folder) {
        Ok(description) => {
            if let Some(notice) = &description.unread_processor {
                print_notice(notice);
            }
            let keys = description.config.unknown_keys().map(str::to_owned).collect();
            [keys, description.unknown_tower_keys, description.unknown_processor_keys]
        }
        Err(_) => {
            let decoder = DecoderDescription::open(folder);
            [decoder.map(|decoder| decoder.unknown_keys).unwrap_or_default(), Vec::new(), Vec::new()]
        }
    };
    let tower_file = format!("the vision tower's {CONFIG_FILE}");
    for (file, keys) in [(CONFIG_FILE, model), (&tower_file, tower), (PROCESSOR_FILE, processor)] {
        if !keys.is_empty() {
            let keys = keys.join(", ");
            print_notice(&format!("{file} has keys that are not known here and not used: {keys}"));
        }
    }
}

/// The size of this name, for commands that need no weights. A folder of the same name takes precedence.
pub(crate) fn named_size(model: Option<&str>) -> Option<ModelSize> {
    model.filter(|name| !Path::new(name).exists())?.parse().ok()
}

/// The folder of the model to use, downloaded first if `model` is an id that is not there yet.
pub(crate) fn find_model(model: Option<&str>) -> Result<PathBuf> {
    find(model, resolve_with)
}

/// As [`find_model`], but without downloading weights.
pub(crate) fn find_description(model: Option<&str>) -> Result<PathBuf> {
    find(model, resolve_description)
}

fn find(
    model: Option<&str>,
    resolve: impl Fn(&str, Option<DownloadProgress>) -> parrot_model::Result<PathBuf>,
) -> Result<PathBuf> {
    let model = locate(model)?;
    if let Some(size) = named_size(Some(&model)) {
        bail!(
            "{} is a size, for `parrot inspect` and `parrot bench`, and no model: name a model's folder, or an id of the hub \
             such as AIDC-AI/Parrot-7B",
            size.name()
        );
    }
    let bar = Bar::new("downloading");
    let progress: DownloadProgress = Arc::new(move |file, done, total| {
        bar.say(format!("downloading {}", printable(file)));
        bar.show(done, total);
    });
    resolve(&model, Some(progress)).with_context(|| format!("cannot find the model {model}"))
}

/// The model to use: the one asked for, or the default one, wherever it lies.
fn locate(model: Option<&str>) -> Result<String> {
    if let Some(model) = model {
        ensure!(!model.is_empty(), "--model: the path is empty");
        return Ok(model.into());
    }
    match env::var("PARROT_MODEL") {
        Ok(model) if !model.is_empty() => return Ok(model),
        Err(VarError::NotUnicode(name)) => bail!("PARROT_MODEL should be text in UTF-8, found {name:?}"),
        _ => {}
    }
    let executable = env::current_exe().unwrap_or_default();
    let beside_sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let places = [Path::new("")].into_iter().chain(executable.ancestors().skip(1)).chain([&*beside_sources]);
    let mut folders = places.map(|place| place.join(DEFAULT_MODEL));
    match folders.find(|folder: &PathBuf| folder.join(CONFIG_FILE).is_file()) {
        Some(folder) => Ok(folder.display().to_string()),
        None => bail!(
            "there is no model: no folder {DEFAULT_MODEL} here or near the program; name one with --model or \
             PARROT_MODEL, or get one with `git clone` of the repository, which holds {DEFAULT_MODEL}"
        ),
    }
}

/// What shapes an answer.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Answer")]
pub(crate) struct AnswerOptions {
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = AskOptions::default().max_new_tokens, allow_negative_numbers = true)]
    max_new_tokens: usize,
    /// Draw tokens instead of taking the best: below 1 careful, above 1 adventurous
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Draw from the K best tokens only
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    top_k: Option<usize>,
    /// Draw from the best tokens that together have probability P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Above 1: make tokens less likely that the answer already has
    #[arg(long, value_name = "R", default_value_t = Sampling::default().repetition_penalty, allow_negative_numbers = true)]
    repetition_penalty: f32,
    /// The same seed draws the same tokens
    #[arg(long, value_name = "N", default_value_t = Sampling::default().seed, allow_negative_numbers = true)]
    seed: u64,
    /// End the answer before this text; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = free_text)]
    stop: Vec<String>,
    /// Instructions above the conversation
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = free_text)]
    system: Option<String>,
}

impl AnswerOptions {
    /// Checked here, so that a mistyped number is told before a large model has been loaded.
    pub(crate) fn to_library(&self) -> Result<AskOptions> {
        let options = AskOptions {
            system: self.system.clone(),
            max_new_tokens: self.max_new_tokens,
            sampling: Sampling {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                repetition_penalty: self.repetition_penalty,
                seed: self.seed,
                ..Sampling::default()
            },
            stop: self.stop.clone(),
            ..AskOptions::default()
        };
        options.validate()?;
        Ok(options)
    }
}
