//! What a recipe would do: parameters, steps, operations, memory. Nothing is loaded.

use std::fmt;
use std::path::{Path, PathBuf};

use parrot_model::config::ParrotConfig;
use parrot_model::device::{PartDtypes, WeightDtype};

use super::{InitialModel, ModelRecipe, Recipe};
use crate::data::mix::check_names;
use crate::data::preparation::Preparation;
use crate::data::record::counted;
use crate::data::source::{self, Count, Sizes, add_visits};
use crate::data::verdict::{Found, Refusal};
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
    /// What decides whether a run trains on them.
    found: Found,
    /// Records that were tokenised, and those of them whose pictures were decoded.
    looked_at: usize,
    decoded: usize,
    /// What a sample is to the model, on average.
    mean: Mean,
    /// Samples of an epoch whose size is not known but taken to be about LLaVA's.
    assumed: usize,
    /// Files that are not here, and of which the recipe does not say how many records they have.
    uncounted: Vec<PathBuf>,
    /// Folders of pictures that are not here.
    unseen: Vec<PathBuf>,
}

impl Plan {
    /// Computes the plan. Data files are counted if they exist, else the recipe's `records` are taken; of a model on
    /// the hub only the description is downloaded.
    ///
    /// # Errors
    ///
    /// What [`Recipe::check_start`] refuses, and what is wrong with data files; [`Error::Setting`] where neither `model.from` is
    /// there nor `model.size` says what it will be.
    pub fn new(recipe: &Recipe) -> Result<Self> {
        let ModelRecipe { from, size, .. } = &recipe.model;
        let is_here = from.as_ref().is_some_and(|from| Path::new(from).exists());
        let mut preparation = None;
        let (config, vision) = match (size, from) {
            // Known by name.
            (Some(size), _) if !is_here => {
                let (config, vision) = size.configs();
                recipe.check_place(&config)?;
                (config, vision)
            }
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
                preparation = Some(recipe.check_start(&initial)?);
                (initial.description.config, initial.description.vision)
            }
        };
        let config = ParrotConfig { use_moe: recipe.train.moe, ..config };
        let cost = recipe.stage(1, &config).cost(&config, &vision)?;
        let assumed = Mean::assumed(cost.tokens_per_image(), recipe.max_length(&config));
        let mut plan = Self {
            recipe: recipe.clone(),
            stage: recipe.stage(1, &config),
            config,
            cost,
            samples: 0,
            counted: true,
            found: Found::default(),
            looked_at: 0,
            decoded: 0,
            mean: Mean::default(),
            assumed: 0,
            uncounted: Vec::new(),
            unseen: Vec::new(),
        };
        plan.look_at_data(preparation.as_ref(), assumed)?;
        plan.stage = recipe.check_stage(plan.samples, &plan.config)?;
        Ok(plan)
    }

    /// Counts the records of all sources, and takes the size of a sample from those that can be tokenised.
    fn look_at_data(&mut self, preparation: Option<&Preparation>, assumed: Mean) -> Result<()> {
        let sources = self.recipe.sources();
        check_names(&sources)?;
        for (source, described) in sources.iter().zip(&self.recipe.data.sources) {
            source.check()?;
            let count = if source.file.symlink_metadata().is_ok() {
                let count = source::count(source, preparation)?;
                self.unseen.extend((!source.images.is_dir()).then(|| source.images.clone()));
                count
            } else {
                self.counted = false;
                let usable = described.records.unwrap_or_else(|| {
                    self.uncounted.push(source.file.clone());
                    0
                });
                Count { found: Found { usable, ..Found::default() }, ..Count::default() }
            };
            self.found += count.found;
            self.looked_at += count.looked_at;
            self.decoded += count.decoded;
            let all = add_visits(self.samples, count.found.usable, source)?;
            let visits = all - self.samples;
            self.samples = all;
            let mean = Mean::of(count.sizes).unwrap_or_else(|| {
                self.assumed += visits;
                assumed
            });
            self.mean.add(mean, visits);
        }
        self.mean = if self.samples > 0 { self.mean.over(self.samples) } else { assumed };
        Ok(())
    }

    /// Parameters of the low-rank adapters.
    fn adapters(&self) -> usize {
        self.stage.lora.as_ref().map_or(0, |lora| lora.parameters(&self.config.decoder))
    }

    /// Why a run would not train on the records, as far as the plan has looked.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let refusal = self.found.refusal(self.recipe.data.max_bad_records);
        // Nobody knows what there will be in files that are not here.
        refusal.filter(|refusal| self.counted || *refusal != Refusal::NoneUsable)
    }

    /// Bytes of a part: weights, and where it learns gradients, optimizer state and masters.
    #[must_use]
    pub fn memory(&self, part: Part) -> f64 {
        let PartDtypes { decoder, others, .. } = self.recipe.model.dtypes();
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

    /// What a step works on: samples of the size of those that were tokenised, or else as they are taken to be.
    #[must_use]
    pub fn workload(&self) -> Workload {
        let samples = self.recipe.train.batch_size;
        let of_step = |mean: f64| (mean * samples as f64).round() as usize;
        let Mean { tokens, images, learnt } = self.mean;
        Workload { samples, tokens: of_step(tokens), images: of_step(images), learnt: of_step(learnt) }
    }

    /// How the size of a sample is known.
    fn origin_of_sizes(&self) -> String {
        let taken = format!("taken to have a picture and {TOKENS_OF_TEXT} tokens of text");
        match self.assumed {
            all if all >= self.samples => format!("each sample {taken}"),
            0 => "by what was tokenised".into(),
            some => format!("{} samples of an epoch {taken}", grouped(some)),
        }
    }
}

/// A sample's size, on average.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    tokens: f64,
    images: f64,
    learnt: f64,
}

impl Mean {
    /// What is taken where no sample has been seen.
    fn assumed(tokens_per_image: usize, max_length: Option<usize>) -> Self {
        let longest = max_length.unwrap_or(usize::MAX);
        let tokens = tokens_per_image.saturating_add(TOKENS_OF_TEXT).min(longest);
        Self { tokens: tokens as f64, images: 1.0, learnt: TOKENS_LEARNT.min(longest) as f64 }
    }

    fn of(sizes: Sizes) -> Option<Self> {
        let Sizes { samples, tokens, images, learnt } = sizes;
        let sum = Self { tokens: tokens as f64, images: images as f64, learnt: learnt as f64 };
        (samples > 0).then(|| sum.over(samples))
    }

    fn add(&mut self, other: Self, times: usize) {
        self.tokens += other.tokens * times as f64;
        self.images += other.images * times as f64;
        self.learnt += other.learnt * times as f64;
    }

    fn over(self, count: usize) -> Self {
        let count = count as f64;
        Self { tokens: self.tokens / count, images: self.images / count, learnt: self.learnt / count }
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
        let left_out = match self.found.bad + self.found.unusable {
            0 => String::new(),
            bad => format!("; {} cannot be used", counted(bad)),
        };
        writeln!(f, "\nsamples         {} an epoch, {origin}{left_out}", grouped(self.samples))?;
        if self.looked_at > 0 {
            let (looked_at, decoded) = (grouped(self.looked_at), grouped(self.decoded));
            let unusable = match self.found.unusable {
                0 => String::new(),
                unusable => format!(", and {unusable} of them cannot be used"),
            };
            writeln!(
                f,
                "looked at       {looked_at} were tokenised, the pictures of {decoded} decoded{unusable}; check-data says more"
            )?;
        }
        for file in &self.uncounted {
            let file = file.display();
            writeln!(
                f,
                "not counted     {file} is not here, and the recipe does not say how many `records` it has"
            )?;
        }
        for folder in &self.unseen {
            writeln!(f, "pictures        {} is not here, and taken to have them all", folder.display())?;
        }
        writeln!(f, "steps           {} of {accumulation} × {micro_batch_size} samples", grouped(*steps))?;
        writeln!(
            f,
            "tokens          about {} a step, {} in all, {}",
            grouped(workload.tokens),
            grouped(workload.tokens.saturating_mul(*steps)),
            self.origin_of_sizes()
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
