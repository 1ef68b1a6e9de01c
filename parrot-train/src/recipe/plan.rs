//! What a recipe would do: parameters, steps, operations, memory. Nothing is loaded.

use std::fmt;
use std::path::{Path, PathBuf};

use parrot_model::config::ParrotConfig;
use parrot_model::device::{PartDtypes, WeightDtype};

use super::{DecoderDtype, InitialModel, ModelRecipe, Recipe};
use crate::data::record::counted;
use crate::data::source;
use crate::distributed::World;
use crate::flops::{Cost, Workload};
use crate::optim::OptimizerConfig;
use crate::part::Part;
use crate::trainer::Stage;
use crate::{Error, Result};

/// Tokens of text that a sample is taken to have where nothing is known of it: about LLaVA's mean.
const TOKENS_OF_TEXT: usize = 200;

/// How many of them are taken to be learnt: those of the answers.
const TOKENS_LEARNT: usize = 100;

/// The numbers of a recipe.
#[derive(Debug)]
#[non_exhaustive]
pub struct Plan {
    recipe: Recipe,
    config: ParrotConfig,
    cost: Cost,
    stage: Stage,
    /// Samples of an epoch, and whether they were counted in the files rather than taken from the recipe.
    samples: usize,
    counted: bool,
    /// Records that cannot be used.
    left_out: usize,
    /// Records that were tokenised, those of them whose pictures were decoded, and those that there is nothing to learn from.
    looked_at: usize,
    decoded: usize,
    unusable: usize,
    /// Why records cannot be tokenised.
    unprepared: Option<String>,
    /// Folders of pictures that are not here.
    unseen: Vec<PathBuf>,
}

impl Plan {
    /// Computes the plan. Data files are counted if they exist, else the recipe's `records` are taken; of a model on
    /// the hub only the description is downloaded.
    ///
    /// # Errors
    ///
    /// What reading configurations and data files refuses; [`Error::Setting`] where neither `model.from` is there nor
    /// `model.size` says what it will be.
    pub fn new(recipe: &Recipe) -> Result<Self> {
        let ModelRecipe { from, size, .. } = &recipe.model;
        let is_here = from.as_ref().is_some_and(|from| Path::new(from).exists());
        let (mut preparation, mut unprepared) = (None, None);
        let (config, vision) = match (size, from) {
            // Known by name.
            (Some(size), _) if !is_here => size.configs(),
            _ => {
                let described = InitialModel::describe(recipe, None);
                let initial = described.map_err(|error| match from {
                    Some(from) if !is_here => Error::Setting {
                        key: "model.from",
                        expected: "there, or `model.size` beside it, to plan with until it is".into(),
                        found: format!("{from}: {error}"),
                    },
                    _ => error,
                })?;
                let max_length = recipe.max_length(&initial.description.config);
                match initial.preparation(max_length) {
                    Ok(prepared) => preparation = Some(prepared),
                    Err(error) => unprepared = Some(error.to_string()),
                }
                (initial.description.config, initial.description.vision)
            }
        };
        let config = ParrotConfig { use_moe: recipe.train.moe, ..config };
        let mut samples: usize = 0;
        let mut counted = true;
        let (mut left_out, mut looked_at, mut decoded, mut unusable) = (0, 0, 0, 0);
        let mut unseen = Vec::new();
        for (source, described) in recipe.sources().iter().zip(&recipe.data.sources) {
            source.check()?;
            let records = if source.file.is_file() {
                let count = source::count(source, preparation.as_ref())?;
                left_out += count.bad;
                looked_at += count.looked_at;
                decoded += count.decoded;
                unusable += count.unusable;
                unseen.extend((!source.images.is_dir()).then(|| source.images.clone()));
                count.usable
            } else {
                counted = false;
                described.records.unwrap_or(0)
            };
            samples = samples.saturating_add(source::visits(records, source.weight));
        }
        let stage = recipe.stage(samples, &config);
        stage.check(&World::default(), &config)?;
        let decoder = recipe.model.decoder_dtype.map(DecoderDtype::format);
        let cost = stage.cost(&config, &vision, decoder)?;
        Ok(Self {
            recipe: recipe.clone(),
            config,
            cost,
            stage,
            samples,
            counted,
            left_out,
            looked_at,
            decoded,
            unusable,
            unprepared,
            unseen,
        })
    }

    /// Parameters of the low-rank adapters.
    fn adapters(&self) -> usize {
        self.stage.lora.as_ref().map_or(0, |lora| lora.parameters(&self.config.decoder))
    }

    /// How many records cannot be used, as far as it has looked.
    #[must_use]
    pub fn unusable(&self) -> usize {
        self.left_out + self.unusable
    }

    /// Bytes of a part: weights, and where it learns gradients, optimizer state and masters.
    #[must_use]
    pub fn memory(&self, part: Part) -> f64 {
        let PartDtypes { decoder, others } = self.recipe.model.dtypes();
        let dtype = if part == Part::LanguageModel { decoder } else { others };
        self.bytes(self.cost.parameters().in_part(part), dtype, self.stage.trainable.contains(&part))
    }

    fn bytes(&self, parameters: usize, dtype: WeightDtype, learns: bool) -> f64 {
        let weight = dtype.bits() / 8.0;
        let state = match self.stage.optimizer {
            OptimizerConfig::AdamW(_) => 8.0,
            // Rows and columns only.
            OptimizerConfig::Adafactor(_) => 0.0,
        };
        let master = if weight < 4.0 { 4.0 } else { 0.0 };
        let learning = if learns { weight + state + master } else { 0.0 };
        parameters as f64 * (weight + learning)
    }

    /// What a step works on, as far as it is known beforehand: one picture a sample.
    #[must_use]
    pub fn workload(&self) -> Workload {
        let samples = self.recipe.train.batch_size;
        let longest = self.stage.max_length.unwrap_or(usize::MAX);
        let tokens = (self.cost.tokens_per_image() + TOKENS_OF_TEXT).min(longest);
        Workload {
            samples,
            tokens: samples * tokens,
            images: samples,
            learnt: samples * TOKENS_LEARNT.min(longest),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters = self.cost.parameters();
        writeln!(f, "{}: {}", self.recipe.name, self.recipe.out.display())?;
        writeln!(f, "\n{:<15} {:>15} {:>8} {:>12}", "part", "parameters", "learns", "memory")?;
        for (part, name) in PARTS {
            let learns = if self.stage.trainable.contains(&part) { "yes" } else { "" };
            let count = grouped(parameters.in_part(part));
            writeln!(f, "{name:<15} {count:>15} {learns:>8} {:>12}", bytes(self.memory(part)))?;
        }
        let adapters = self.adapters();
        let adapter_bytes = self.bytes(adapters, self.recipe.model.dtypes().others, true);
        if adapters > 0 {
            let (count, memory) = (grouped(adapters), bytes(adapter_bytes));
            writeln!(f, "{:<15} {count:>15} {:>8} {memory:>12}", "adapters", "yes")?;
        }
        let learning =
            adapters + self.stage.trainable.iter().map(|part| parameters.in_part(*part)).sum::<usize>();
        let memory = adapter_bytes + PARTS.iter().map(|(part, _)| self.memory(*part)).sum::<f64>();
        let total = grouped(parameters.total() + adapters);
        writeln!(f, "{:<15} {total:>15} {:>8} {:>12}", "all", "", bytes(memory))?;
        writeln!(f, "{} parameters learn; activations come on top of the memory", grouped(learning))?;

        let origin = if self.counted { "counted in the files" } else { "as the recipe says" };
        let Stage { steps, micro_batch_size, accumulation, .. } = &self.stage;
        let workload = self.workload();
        let step = self.cost.step(workload);
        let left_out = match self.unusable() {
            0 => String::new(),
            bad => format!("; {} cannot be used", counted(bad)),
        };
        writeln!(f, "\nsamples         {} an epoch, {origin}{left_out}", grouped(self.samples))?;
        if let Some(reason) = &self.unprepared {
            writeln!(f, "looked at       none were tokenised, nor can they be: {reason}")?;
        } else if self.counted {
            let (looked_at, decoded) = (grouped(self.looked_at), grouped(self.decoded));
            let unusable = match self.unusable {
                0 => String::new(),
                unusable => format!(", and {unusable} of them cannot be used"),
            };
            writeln!(
                f,
                "looked at       {looked_at} were tokenised, the pictures of {decoded} decoded{unusable}; check-data says more"
            )?;
        }
        for folder in &self.unseen {
            writeln!(f, "pictures        {} is not here, and taken to have them all", folder.display())?;
        }
        writeln!(f, "steps           {} of {accumulation} × {micro_batch_size} samples", grouped(*steps))?;
        writeln!(
            f,
            "tokens          about {} a step, {} in all",
            grouped(workload.tokens),
            grouped(workload.tokens.saturating_mul(*steps))
        )?;
        writeln!(f, "operations      {step:.2e} a step, {:.2e} in all", step * *steps as f64)?;
        writeln!(
            f,
            "checkpoints     every {} steps, the newest {} stay",
            self.stage.save_every, self.stage.keep
        )
    }
}

const PARTS: [(Part, &str); 4] = [
    (Part::VisionTower, "vision_tower"),
    (Part::Projector, "projector"),
    (Part::Moe, "moe"),
    (Part::LanguageModel, "language_model"),
];

/// `1234567` → `1 234 567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn bytes(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} kB", bytes / 1e3),
    }
}
