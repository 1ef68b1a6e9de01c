//! Weights to start from. The σ = 0.02 that Qwen2 starts with fits a width of thousands; at a width of 160 it
//! leaves attention almost uniform and experts almost silent, and training first has to find its way out.
//!
//! - A linear layer starts with σ = 1/√fan_in, so that it keeps the size of what goes in; one that adds to the
//!   residual stream with 1/√(2·layers) of that, as in GPT-2.
//! - A query starts as its key. Equal tokens then look at each other from the first step on, which is what
//!   finding a name among options needs ("mimetic initialization", Trockman and Kolter 2023, arXiv 2305.09828).

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use parrot_model::config::ParrotConfig;
use parrot_model::parrot::Parrot;

/// What Parrot's linear layers are made with.
const DRAWN: f64 = 0.02;

/// How much louder a query starts than its key: enough for equal tokens to stand out among a few hundred.
const LOUDNESS: f64 = 2.0;

const GAIN: f64 = 0.6;

/// Louder linear layers, and queries that begin as their keys. For a model that [`Parrot::init`] has made.
pub(super) fn fresh(mut model: Parrot, config: &ParrotConfig) -> Parrot {
    model.moe_model = model.moe_model.map(|moe| moe.valid().map(&mut Scale::new(1)).train());
    let decoder = model.language_model.valid().map(&mut Scale::new(config.num_hidden_layers));
    let mut keys = Keys::default();
    decoder.visit(&mut keys);
    let heads_per_key = config.num_attention_heads / config.num_key_value_heads();
    let mut queries =
        Queries { path: Path::default(), keys: keys.weights, head_dim: config.head_dim(), heads_per_key };
    model.language_model = decoder.map(&mut queries).train();
    model
}

/// Where a walk through a module is: `layers.0.self_attn.q_proj`.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn ends_with(&self, name: &str) -> bool {
        self.0.iter().rev().nth(1).is_some_and(|part| part == name)
    }

    /// The layer's path, which its queries and keys have in common.
    fn layer(&self) -> String {
        self.0[..self.0.len().saturating_sub(2)].join(".")
    }
}

/// Brings linear layers to the size that their width asks for.
struct Scale {
    path: Path,
    layers: usize,
}

impl Scale {
    fn new(layers: usize) -> Self {
        Self { path: Path::default(), layers }
    }
}

impl ModuleMapper for Scale {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if D != 2 || self.path.ends_with("embed_tokens") {
            return param;
        }
        // `[in, out]`
        let fan_in = param.val().dims()[0] as f64;
        let adds = self.path.ends_with("o_proj") || self.path.ends_with("down_proj");
        let depth = if adds { 2.0 * self.layers as f64 } else { 1.0 };
        param.map(|weight| weight * (GAIN / (DRAWN * (fan_in * depth).sqrt())))
    }
}

/// Collects every layer's key weights, `[hidden, heads · head_dim]`.
#[derive(Default)]
struct Keys {
    path: Path,
    weights: BTreeMap<String, Tensor<2>>,
}

impl ModuleVisitor for Keys {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D == 2 && self.path.ends_with("k_proj") {
            let weight = param.val();
            let dims = [weight.dims()[0], weight.dims()[1]];
            self.weights.insert(self.path.layer(), weight.reshape(dims));
        }
    }
}

/// Gives every query head its key head's weights.
struct Queries {
    path: Path,
    keys: BTreeMap<String, Tensor<2>>,
    head_dim: usize,
    heads_per_key: usize,
}

impl ModuleMapper for Queries {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let keys = self.keys.get(&self.path.layer()).filter(|_| D == 2 && self.path.ends_with("q_proj"));
        let Some(keys) = keys.cloned() else { return param };
        let dims = param.val().dims();
        param.map(|queries| {
            let (hidden, width) = (keys.dims()[0], self.heads_per_key * self.head_dim);
            let first = keys.narrow(1, 0, self.head_dim).repeat_dim(1, self.heads_per_key) * LOUDNESS;
            let others = queries.reshape([hidden, dims[1]]).narrow(1, width, dims[1] - width);
            Tensor::cat(vec![first, others], 1).reshape(dims)
        })
    }
}
