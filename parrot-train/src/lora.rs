//! Low-rank adapters on the decoder (Hu et al. 2021, arXiv 2106.09685): a weight is `W + alpha / rank · A·B`, of which
//! only the small A and B learn.
//!
//! The adapters are Burn's own: whatever runs the decoder also runs the adapted one. Burn composes the dense weight where it is
//! used, and so does its gradient; with [activation checkpointing](crate::activation_checkpointing) one layer's at a
//! time, which is what makes the adapters save memory.
//!
//! The decoder may be held in blocks of 8 or 4 bits (QLoRA: Dettmers et al. 2023, arXiv 2305.14314). Its products are then
//! `x·W + alpha / rank · (x·A)·B`, and neither a dense weight nor its gradient is ever made.
//!
//! A training checkpoint holds the merged model, to be run, and the adapters alone, to be trained on; the base comes from
//! where the stage started. Merging adds what the forward pass adds: a merged model computes the same bits. Where the decoder is
//! held in blocks, the adapters are merged into the weights that it was quantised from, as they are stored: what is written
//! has lost nothing to blocks, and computes what has been trained but for the rounding of the blocks.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Lora, LoraAdapter, Module, ModuleMapper, ModuleVisitor, Param, ParamGroup};
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};
use parrot_model::checkpoint::{Weights, names};
use parrot_model::config::DecoderConfig;
use parrot_model::language::Decoder;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The file in a training checkpoint.
pub(crate) const ADAPTERS_FILE: &str = "adapters.safetensors";

/// Which adapters a stage trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Columns of A and rows of B.
    pub rank: usize,
    /// The adapters' output is scaled by `alpha / rank`.
    pub alpha: f64,
    /// The linear layers that get one, in every decoder layer; all seven where the key is missing.
    #[serde(default = "LoraConfig::all")]
    pub targets: Vec<Target>,
}

/// A linear layer of a decoder layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the checkpoint's")]
pub enum Target {
    QProj,
    KProj,
    VProj,
    OProj,
    GateProj,
    UpProj,
    DownProj,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::QProj => "q_proj",
            Self::KProj => "k_proj",
            Self::VProj => "v_proj",
            Self::OProj => "o_proj",
            Self::GateProj => "gate_proj",
            Self::UpProj => "up_proj",
            Self::DownProj => "down_proj",
        }
    }
}

impl LoraConfig {
    /// All seven linear layers.
    #[must_use]
    pub fn all() -> Vec<Target> {
        use Target::{DownProj, GateProj, KProj, OProj, QProj, UpProj, VProj};
        vec![QProj, KProj, VProj, OProj, GateProj, UpProj, DownProj]
    }

    /// Refuses ranks and targets that do not fit the decoder. A rank above the hidden size is useless, and memory may have
    /// no room for it.
    pub(crate) fn check(&self, decoder: &DecoderConfig) -> Result<()> {
        let most = decoder.hidden_size;
        let refuse = |key, expected: &str, found: String| {
            Err(Error::Setting { key, expected: expected.into(), found })
        };
        if !(1..=most).contains(&self.rank) {
            let expected = format!("from 1 to the decoder's hidden size of {most}");
            return refuse("lora.rank", &expected, self.rank.to_string());
        }
        if !self.alpha.is_finite() || self.alpha <= 0.0 {
            return refuse("lora.alpha", "a number above 0", self.alpha.to_string());
        }
        if self.targets.is_empty() {
            return refuse("lora.targets", "at least one layer", "none".into());
        }
        Ok(())
    }

    /// Parameters of all adapters of a decoder.
    #[must_use]
    pub fn parameters(&self, config: &DecoderConfig) -> usize {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let queries = config.num_attention_heads * config.head_dim();
        let keys = config.num_key_value_heads() * config.head_dim();
        let ends = |target: &Target| match target {
            Target::QProj | Target::OProj => hidden + queries,
            Target::KProj | Target::VProj => hidden + keys,
            Target::GateProj | Target::UpProj | Target::DownProj => hidden + inner,
        };
        self.targets.iter().map(ends).sum::<usize>() * self.rank * config.num_hidden_layers
    }

    /// Freezes a decoder and gives it adapters that change nothing yet: B is 0, and A is drawn evenly from
    /// ±1/√in, as PEFT does.
    #[must_use]
    pub fn attach(&self, decoder: Decoder, seed: u64) -> Decoder {
        let weights = self.targets.iter().map(|target| format!("{}.weight", target.name())).collect();
        let group = ParamGroup::from_any_predicates(weights);
        // That of the weights, unless they are blocks.
        let dtype = FloatDType::from(decoder.activation_dtype());
        let lora = Lora::new(self.rank, self.alpha).set_param_group(group).set_dtype(dtype);
        let decoder = decoder.apply_lora(lora);
        decoder.map(&mut Drawn { path: Vec::new(), random: StdRng::seed_from_u64(seed) })
    }
}

/// Whether a decoder has adapters.
pub(crate) fn is_adapted(decoder: &Decoder) -> bool {
    !collect(decoder).is_empty()
}

/// The weights of a decoder that is held in blocks, by their names in a checkpoint: those that it was quantised from, with its
/// adapters merged.
pub(crate) fn merged<'a>(
    decoder: &'a Decoder,
    stored: &'a Weights,
) -> impl Fn(&str) -> std::result::Result<TensorData, String> + 'a {
    let adapters: BTreeMap<String, &LoraAdapter> =
        decoder.adapters().map(|(path, adapter)| (names::decoder(&path), adapter)).collect();
    move |name| {
        let weight = stored.numbers(name).map_err(|error| error.to_string())?;
        let Some(adapter) = adapters.get(name) else { return Ok(weight) };
        let delta = adapter.delta().inner();
        let weight = Tensor::<2>::from_data(weight, &delta.device());
        if weight.dims() != [delta.dims()[1], delta.dims()[0]] {
            return Err(format!("should be as its adapter, {:?}, found {:?}", delta.dims(), weight.dims()));
        }
        (weight + delta.transpose()).try_into_data().map_err(|error| error.to_string())
    }
}

/// Writes a decoder's adapters, `<weight>.lora.a` and `.b`, in the dtype that they are held in.
pub(crate) fn write(path: &Path, decoder: &Decoder) -> Result<()> {
    let broken = |reason: String| Error::Checkpoint { path: path.into(), reason };
    let mut tensors = BTreeMap::new();
    for (name, tensor) in collect(decoder) {
        let data = tensor.inner().try_into_data().map_err(|error| broken(error.to_string()))?;
        tensors.insert(name, data);
    }
    let views: std::result::Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, data)| {
            let dtype = match data.dtype() {
                DType::F16 => Dtype::F16,
                DType::BF16 => Dtype::BF16,
                _ => Dtype::F32,
            };
            TensorView::new(dtype, data.shape().to_vec(), data.as_bytes()).map(|view| (name, view))
        })
        .collect();
    let views = views.map_err(|error| broken(error.to_string()))?;
    safetensors::serialize_to_file(views, None, path).map_err(|error| broken(error.to_string()))
}

/// Reads the adapters of a decoder that has some back into it.
pub(crate) fn read(path: &Path, decoder: Decoder) -> Result<Decoder> {
    let weights = Weights::from_file(path)?;
    let mut reader = Reader { path: Vec::new(), weights: &weights, problem: None };
    let decoder = decoder.map(&mut reader);
    match reader.problem {
        Some(reason) => Err(Error::Checkpoint { path: path.into(), reason }),
        None => Ok(decoder),
    }
}

fn collect(decoder: &Decoder) -> BTreeMap<String, Tensor<2>> {
    let mut adapters = Adapters::default();
    decoder.visit(&mut adapters);
    adapters.found
}

/// Adapters by their path.
#[derive(Default)]
struct Adapters {
    path: Vec<String>,
    found: BTreeMap<String, Tensor<2>>,
}

fn is_adapter(path: &[String]) -> bool {
    path.iter().any(|part| part == "lora")
}

impl ModuleVisitor for Adapters {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D == 2 && is_adapter(&self.path) {
            let tensor = param.val();
            let shape = [tensor.dims()[0], tensor.dims()[1]];
            self.found.insert(self.path.join("."), tensor.reshape(shape));
        }
    }
}

/// Draws every A from a seed: the device's own random numbers belong to whoever else uses it as well.
struct Drawn {
    path: Vec<String>,
    random: StdRng,
}

impl ModuleMapper for Drawn {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !is_adapter(&self.path) || self.path.last().is_none_or(|name| name != "a") {
            return param;
        }
        param.map(|tensor| {
            let shape = tensor.shape();
            let bound = 1.0 / (shape[0] as f32).sqrt();
            let values: Vec<f32> =
                (0..shape.num_elements()).map(|_| self.random.random_range(-bound..bound)).collect();
            let (device, dtype) = (tensor.device().inner(), tensor.dtype());
            let drawn = Tensor::<D>::from_data(TensorData::new(values, shape), (&device, DType::F32));
            Tensor::from_inner(drawn.cast(dtype)).require_grad()
        })
    }
}

struct Reader<'a> {
    path: Vec<String>,
    weights: &'a Weights,
    problem: Option<String>,
}

impl ModuleMapper for Reader<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !is_adapter(&self.path) {
            return param;
        }
        let name = self.path.join(".");
        let dims = param.val().dims();
        let dtype = param.val().dtype();
        let stored = self.weights.get(&name).filter(|stored| stored.shape == dims.as_slice());
        let Some(stored) = stored else {
            self.problem.get_or_insert(format!("`{name}` should be there as {dims:?}"));
            return param;
        };
        let bytes = burn::tensor::Bytes::from_bytes_vec(stored.bytes.to_vec());
        param.map(|tensor| {
            let data = TensorData::from_bytes(bytes, dims, dtype);
            Tensor::from_inner(Tensor::from_data(data, (&tensor.device().inner(), dtype))).require_grad()
        })
    }
}
