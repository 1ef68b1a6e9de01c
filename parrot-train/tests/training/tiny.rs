//! A model, samples and a stage as small as they can be with every part in use.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use parrot_model::config::{DecoderConfig, ParrotConfig, VisionConfig};
use parrot_model::image::Pixels;
use parrot_model::parrot::ParrotModel;
use parrot_model::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};
use parrot_train::Part;
use parrot_train::Result;
use parrot_train::checkpoint::ModelDescription;
use parrot_train::data::loader::LengthGrouping;
use parrot_train::data::{Dataset, TrainingSample};
use parrot_train::optim::AdamWConfig;
use parrot_train::step::{LossNormalisation, StepReport};
use parrot_train::trainer::{Run, Stage, StageOutcome};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub(crate) const VOCAB: i64 = 32;

pub(crate) fn device() -> Device {
    Device::flex().autodiff()
}

pub(crate) fn config() -> ParrotConfig {
    let mini = ParrotConfig::parrot_mini();
    let decoder = DecoderConfig {
        vocab_size: VOCAB as usize,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: Some(1),
        ..mini.decoder.clone()
    };
    ParrotConfig {
        mm_vision_tower: Some("towers/clip-vit-tiny".into()),
        mm_hidden_size: Some(12),
        moe_intermediate_size: Some(8),
        num_experts: Some(3),
        moe_top_k: Some(3),
        ..mini.with_decoder(decoder)
    }
}

/// 8 × 8 pixels in four patches.
pub(crate) fn vision() -> VisionConfig {
    VisionConfig {
        hidden_size: 12,
        intermediate_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        image_size: 8,
        patch_size: 4,
        ..VisionConfig::clip_vit_mini()
    }
}

/// The same weights at every call.
pub(crate) fn model() -> ParrotModel {
    random(ParrotModel::init(&config(), &vision(), &device()).unwrap())
}

/// Weights large enough to matter, the same at every call.
pub(crate) fn random(model: ParrotModel) -> ParrotModel {
    model.map(&mut Random(StdRng::seed_from_u64(1)))
}

struct Random(StdRng);

impl ModuleMapper for Random {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let range = if D == 1 { 0.4..1.0 } else { -0.5..0.5f32 };
        param.map(|tensor| {
            let shape = tensor.shape();
            let values = (0..shape.num_elements()).map(|_| self.0.random_range(range.clone())).collect();
            Tensor::from_data(TensorData::new(values, shape), &tensor.device())
        })
    }
}

/// Samples of different lengths, every third without a picture; the second half of each is to be learnt.
pub(crate) fn samples() -> Vec<TrainingSample> {
    (0..7).map(sample).collect()
}

pub(crate) fn sample(number: usize) -> TrainingSample {
    let mut rng = StdRng::seed_from_u64(number as u64);
    let length = 4 + number % 4;
    let mut input_ids: Vec<i64> = (0..length).map(|_| rng.random_range(0..VOCAB)).collect();
    let mut labels = input_ids.clone();
    labels[..length / 2].fill(IGNORE_INDEX);
    let mut pixels = Vec::new();
    if number % 3 != 2 {
        input_ids.insert(1, IMAGE_TOKEN_INDEX);
        labels.insert(1, IGNORE_INDEX);
        let size = vision().image_size;
        let data = (0..3 * size * size).map(|_| rng.random_range(-1.0..1.0)).collect();
        pixels.push(Pixels { data, size });
    }
    TrainingSample::new(format!("#{number}"), input_ids, labels, pixels)
}

/// Labels of a sample that a loss is taken of.
pub(crate) fn learnt_tokens(sample: &TrainingSample) -> usize {
    sample.labels.iter().filter(|label| **label != IGNORE_INDEX).count()
}

/// Stage 2 of the paper, for 8 steps.
pub(crate) fn stage() -> Stage {
    Stage {
        name: "stage2".into(),
        steps: 8,
        micro_batch_size: 2,
        accumulation: 2,
        threads: 1,
        learning_rate: 1e-2,
        warmup_ratio: 0.1,
        optimizer: AdamWConfig { weight_decay: 0.01, ..AdamWConfig::default() }.into(),
        max_grad_norm: Some(1.0),
        max_length: Some(64),
        trainable: [Part::Projector, Part::Moe, Part::LanguageModel].into(),
        lora: None,
        seed: 3,
        loss_normalisation: LossNormalisation::MicroBatch,
        activation_checkpointing: false,
        grouping: LengthGrouping::None,
        max_skipped: 0,
        workers: 2,
        save_every: 2,
        keep: 2,
    }
}

/// A folder for a run.
pub(crate) struct TestRun {
    pub(crate) folder: PathBuf,
    pub(crate) description: ModelDescription,
    pub(crate) stop: AtomicBool,
    _parent: Option<tempfile::TempDir>,
}

impl TestRun {
    pub(crate) fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let run = Self::at(parent.path().join("run"));
        Self { _parent: Some(parent), ..run }
    }

    pub(crate) fn at(folder: PathBuf) -> Self {
        // What is copied from the source is optional, and so is the source.
        let source = folder.with_file_name("source");
        let description = ModelDescription::new(config(), vision(), source);
        Self { folder, description, stop: AtomicBool::new(false), _parent: None }
    }

    pub(crate) fn train(&self, stage: &Stage) -> Result<StageOutcome> {
        self.train_with(stage, samples(), |_, _| {})
    }

    pub(crate) fn train_with(
        &self,
        stage: &Stage,
        dataset: impl Dataset<Sample = TrainingSample> + 'static,
        observe: impl FnMut(usize, &StepReport),
    ) -> Result<StageOutcome> {
        self.train_model(model(), stage, dataset, observe)
    }

    pub(crate) fn train_model(
        &self,
        model: ParrotModel,
        stage: &Stage,
        dataset: impl Dataset<Sample = TrainingSample> + 'static,
        observe: impl FnMut(usize, &StepReport),
    ) -> Result<StageOutcome> {
        let dataset: Arc<dyn Dataset<Sample = TrainingSample>> = Arc::new(dataset);
        let run = Run::new(&self.folder, &self.description, &self.stop);
        stage.train(model, &dataset, &run, observe)
    }

    pub(crate) fn step(&self, step: usize) -> PathBuf {
        self.folder.join(format!("step-{step:06}"))
    }

    /// Weights, optimizer and state as they lie on disk.
    pub(crate) fn bits(&self, step: usize) -> Vec<Vec<u8>> {
        ["model/model.safetensors", "model/config.json", "optimizer.safetensors", "state.json"]
            .map(|file| fs::read(self.step(step).join(file)).unwrap())
            .into()
    }

    /// Names in the run's folder, but for the lock.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.folder).into_iter().filter(|name| name != ".lock").collect()
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every parameter by its path.
pub(crate) fn weights(module: &impl Module) -> BTreeMap<String, TensorData> {
    let mut weights = Weights::default();
    module.visit(&mut weights);
    weights.found
}

#[derive(Default)]
struct Weights {
    path: Vec<String>,
    found: BTreeMap<String, TensorData>,
}

impl ModuleVisitor for Weights {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let former = self.found.insert(self.path.join("."), param.val().into_data());
        assert!(former.is_none(), "two parameters are called {}", self.path.join("."));
    }
}
