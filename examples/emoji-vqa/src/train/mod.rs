//! What the default model's training needs besides [`parrot_train`]'s recipes: lessons, and what stands in for the
//! pretrained parts.
//!
//! | step | learns | from | by |
//! |---|---|---|---|
//! | begin | | a decoder whose attention looks for its own kind | [`begin`] |
//! | tower | vision tower | what stands in each patch | [`tower`] |
//! | language | decoder | pictures told in words | recipe |
//! | alignment | projector and the decoder's embeddings | the words for what stands in each patch | [`alignment`] |
//! | stage 1 | projector, mixture bypassed | captions | recipe |
//! | stage 2 | projector, mixture of experts, decoder | lists of colours, questions about colours, names to choose from, then everything | recipes |
//!
//! Every step reads the model that the one before has left, and the [`lessons`] that [`export`](crate::export) has
//! written.

pub mod alignment;
mod calibrate;
pub mod lessons;
pub mod mean;
mod mimetic;
mod patches;
pub mod tower;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::FloatDType;
use indicatif::{ProgressBar, ProgressStyle};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::device;
use parrot_model::image::ImageProcessorConfig;
use parrot_model::layout::{CONFIG_FILE, PROCESSOR_FILE, TOKENIZER_CONFIG_FILE, TOKENIZER_FILE};
use parrot_model::parrot::ParrotModel;
use parrot_model::text::Tokenizer;
use parrot_train::checkpoint::ModelDescription;
use serde_json::{Value, json};

use crate::dataset::{Dataset, DatasetConfig};
use crate::scene::Variation;
use lessons::{Encoder, Lessons, Subject};
use mimetic::with_mimetic_attention;

/// What all of training shares.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// The folder with emoji/ and parrot-mini/'s tokenizer
    #[arg(long, default_value = "assets")]
    pub assets: PathBuf,
    /// Micro-batches computed at the same time
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Seed of weights, data and its order
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// All concepts instead of the core
    #[arg(long)]
    pub all: bool,
    /// Where it computes; auto takes a GPU if this build has a backend for one
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

impl Common {
    /// The device, with a tape.
    ///
    /// # Errors
    ///
    /// When it is not there or does not work.
    pub fn device(&self) -> Result<Device> {
        Ok(device::open(&self.device)?.autodiff())
    }

    /// The pictures and questions of a subject.
    ///
    /// - language_weights: how often each language is drawn, in the order of `Language::ALL`
    /// - variation: of training pictures
    ///
    /// # Errors
    ///
    /// As [`Dataset::load`].
    pub fn data(
        &self,
        subject: Subject,
        language_weights: [f32; 6],
        variation: Variation,
    ) -> Result<Dataset> {
        let config = DatasetConfig { variation, ..subject.config(self.seed, !self.all, language_weights) };
        Dataset::load(&self.assets.join("emoji"), config)
    }
}

/// A step of the default model's training that saves in a folder of its own.
pub(crate) struct Run<'a> {
    common: &'a Common,
    folder: &'a Path,
    pub(crate) description: ModelDescription,
    pub(crate) encoder: Encoder,
    device: Device,
    /// How the pictures that it makes while it runs are varied.
    variation: Variation,
    pub(crate) stop: &'a AtomicBool,
}

impl<'a> Run<'a> {
    /// - variation: of the pictures that it makes while it runs
    /// - stop: set it to save and stop after the learning step in progress
    pub(crate) fn new(
        common: &'a Common,
        folder: &'a Path,
        variation: Variation,
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        let tokenizer = common.assets.join("parrot-mini");
        let vision = VisionConfig::clip_vit_mini();
        let processor = ImageProcessorConfig::clip(vision.image_size as u32);
        let source = prepare_source(&tokenizer, folder, &processor)?;
        require_same_beginning(common, folder)?;
        Ok(Self {
            common,
            folder,
            description: ModelDescription::new(ParrotConfig::parrot_mini(), vision, source),
            encoder: Encoder::new(Tokenizer::from_file(tokenizer.join(TOKENIZER_FILE))?, processor)?,
            device: common.device()?,
            variation,
            stop,
        })
    }

    /// A model that has learnt nothing, named by the seed.
    pub(crate) fn fresh_model(&self) -> Result<ParrotModel> {
        self.device.seed(self.common.seed);
        let model = ParrotModel::init(&self.description.config, &self.description.vision, &self.device)?;
        // A parameter draws its values when it is first used. Here all of them do, so that they do not depend on
        // where a run was interrupted.
        model.visit(&mut Initialise);
        Ok(model)
    }

    /// The pictures and questions of a subject.
    fn data(&self, subject: Subject, language_weights: [f32; 6]) -> Result<Dataset> {
        self.common.data(subject, language_weights, self.variation)
    }

    /// The first lessons of a subject.
    pub(crate) fn lessons(
        &self,
        subject: Subject,
        language_weights: [f32; 6],
        len: usize,
    ) -> Result<Lessons> {
        let data = self.data(subject, language_weights)?;
        Ok(Lessons::new(subject, data, self.encoder.clone(), len))
    }

    /// Writes the model under its name only when it is whole.
    fn save(&self, model: &ParrotModel) -> Result<()> {
        let (unfinished, done) = (self.folder.join("model.unfinished"), self.folder.join("model"));
        self.description
            .save(model, &unfinished, Some(FloatDType::F32))
            .with_context(|| format!("cannot write {}", unfinished.display()))?;
        std::fs::rename(&unfinished, &done).with_context(|| format!("cannot write {}", done.display()))
    }
}

/// Writes a model that has learnt nothing to `folder/model`; one that is there already is kept.
///
/// # Errors
///
/// When the tokenizer cannot be read or the model cannot be written.
pub fn begin(common: &Common, folder: &Path) -> Result<()> {
    let stop = AtomicBool::new(false);
    let run = Run::new(common, folder, Variation::WIDE, &stop)?;
    if folder.join("model").exists() {
        return Ok(());
    }
    let mut model = run.fresh_model()?;
    model.language_model = with_mimetic_attention(model.language_model, &run.description.config.decoder);
    run.save(&model)
}

/// Uses every parameter once.
struct Initialise;

impl ModuleVisitor for Initialise {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}

/// A folder with all that a checkpoint has besides weights: tokenizer, picture processor.
fn prepare_source(tokenizer: &Path, folder: &Path, processor: &ImageProcessorConfig) -> Result<PathBuf> {
    let source = folder.join("source");
    let tower = source.join(ParrotConfig::parrot_mini().mm_vision_tower.unwrap_or_default());
    std::fs::create_dir_all(&tower).with_context(|| format!("cannot create {}", tower.display()))?;
    for name in [
        TOKENIZER_FILE,
        TOKENIZER_CONFIG_FILE,
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
    ] {
        let from = tokenizer.join(name);
        std::fs::copy(&from, source.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    VisionConfig::clip_vit_mini().save(tower.join(CONFIG_FILE))?;
    let text = serde_json::to_string_pretty(processor)?;
    std::fs::write(tower.join(PROCESSOR_FILE), text + "\n")?;
    Ok(source)
}

/// Refuses to go on in a folder that was begun with another seed or with other concepts; says to a new one what it is begun
/// with.
fn require_same_beginning(common: &Common, folder: &Path) -> Result<()> {
    let path = folder.join("begun.json");
    let asked = json!({ "seed": common.seed, "all": common.all });
    if !path.exists() {
        return std::fs::write(&path, format!("{asked}\n"))
            .with_context(|| format!("cannot write {}", path.display()));
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let begun: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    ensure!(
        begun == asked,
        "{} was begun with {begun}, not with {asked}; go on with the same options, or choose another folder",
        folder.display()
    );
    Ok(())
}

/// A bar on a terminal, nothing elsewhere; the curve's file has it all.
pub(crate) fn progress_bar(name: &str, steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64).with_prefix(name.to_string());
    let template = "{prefix:>9} {wide_bar} {pos}/{len}  {msg}  ETA {eta}";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// The loss of every step, one JSON object a line, appended to `metrics.jsonl` as a recipe's are.
pub(crate) struct Curve {
    file: std::fs::File,
    started: Instant,
}

impl Curve {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { file, started: Instant::now() })
    }

    pub(crate) fn write(&mut self, step: usize, loss: f64) {
        use std::io::Write;
        let seconds = self.started.elapsed().as_secs_f64();
        let line = format!("{{\"step\":{step},\"loss\":{loss:.5},\"seconds\":{seconds:.1}}}\n");
        // In one piece, so that a killed run leaves no half of a line. The curve is for people to look at;
        // training does not stop for it.
        let _ = self.file.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_on_only_with_what_it_was_begun_with() {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
        let folder = tempfile::tempdir().unwrap();
        let of_seed =
            |seed| Common { assets: assets.clone(), threads: 1, seed, all: false, device: "cpu".into() };
        begin(&of_seed(3), folder.path()).unwrap();
        begin(&of_seed(3), folder.path()).unwrap();
        let error = begin(&of_seed(4), folder.path()).unwrap_err().to_string();
        assert!(error.contains("\"seed\":3") && error.contains("\"seed\":4"), "{error}");
    }
}
