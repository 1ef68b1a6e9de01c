//! Attention that begins with what trained attention comes to, for training without pretrained weights, where to look
//! back is what a small decoder learns last.
//!
//! `W_q ← W_q + W_k`: queries alike to the keys, so that a token looks for its own kind. `W_o ← W_o + W_vᵀ`: an output
//! alike to the transposed values, so that it brings what it has found. The rest of the weights stays random. After
//! Trockman and Kolter, *Mimetic Initialization of Self-Attention Layers* (arXiv 2305.09828), with the transposes in the
//! place of their factorisation.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use parrot_model::config::DecoderConfig;
use parrot_model::language::Decoder;

/// The decoder with such attention in every layer.
///
/// # Panics
///
/// If the decoder has another shape than `config`.
#[must_use]
pub(crate) fn with_mimetic_attention(decoder: Decoder, config: &DecoderConfig) -> Decoder {
    let mut sources = Sources::default();
    decoder.visit(&mut sources);
    let kv_heads = config.num_key_value_heads();
    let shape = [kv_heads, config.num_attention_heads / kv_heads, config.head_dim(), config.hidden_size];
    decoder.map(&mut Mimetic { path: Vec::new(), sources: sources.weights, shape })
}

/// The weights of all key and value projections by their path, `[kv_heads · head_dim, hidden]`.
#[derive(Default)]
struct Sources {
    path: Vec<String>,
    weights: BTreeMap<String, Tensor<2>>,
}

impl ModuleVisitor for Sources {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        if path.ends_with("k_proj.weight") || path.ends_with("v_proj.weight") {
            self.weights.insert(path, matrix(param.val()).transpose().detach());
        }
    }
}

/// Adds them to the queries' and outputs' weights.
struct Mimetic {
    path: Vec<String>,
    sources: BTreeMap<String, Tensor<2>>,
    /// Key/value heads, query heads for each, width of a head, width of the hidden states.
    shape: [usize; 4],
}

impl Mimetic {
    /// A source's weight, each head's rows repeated for the query heads that share it. `[heads · head_dim, hidden]`
    fn repeated(&self, path: &str) -> Tensor<2> {
        let [kv_heads, groups, head_dim, hidden] = self.shape;
        let heads = self.sources[path].clone().reshape([kv_heads, 1, head_dim, hidden]);
        heads.expand(self.shape).reshape([kv_heads * groups * head_dim, hidden])
    }
}

impl ModuleMapper for Mimetic {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        // As `[out, in]`, the layout in which weights are held.
        let added = if path.ends_with("q_proj.weight") {
            self.repeated(&path.replace("q_proj", "k_proj"))
        } else if path.ends_with("o_proj.weight") {
            self.repeated(&path.replace("o_proj", "v_proj")).transpose()
        } else {
            return param;
        };
        param.map(|weight| {
            let shape = weight.dims();
            (matrix(weight).transpose() + added).transpose().reshape(shape)
        })
    }
}

/// A projection's weight, which has two dimensions.
fn matrix<const D: usize>(weight: Tensor<D>) -> Tensor<2> {
    let dims = weight.dims();
    weight.reshape([dims[0], dims[1]])
}

#[cfg(test)]
mod tests {
    use parrot_model::config::ParrotConfig;
    use parrot_model::language::DecoderInput;

    use super::*;

    #[test]
    fn it_looks_for_its_own_kind() {
        let config = DecoderConfig {
            vocab_size: 64,
            hidden_size: 32,
            intermediate_size: 48,
            num_hidden_layers: 2,
            initializer_range: 0.2,
            ..ParrotConfig::parrot_mini().decoder
        };
        // Far apart, so that causal attention of one layer has to choose: token 7 comes twice.
        let ids = Tensor::<1, Int>::from_data([7, 20, 31, 42, 53, 7], &Device::default());
        let share = |decoder: &Decoder| {
            let input = DecoderInput::unpadded(decoder.embed(ids.clone()).unsqueeze());
            let logits = decoder.logits(decoder.forward(input, None)).slice(s![0, 5..6, ..]);
            let probabilities = burn::tensor::activation::softmax(logits.flatten::<1>(0, 2), 0);
            probabilities.slice(s![7..8]).into_scalar::<f32>()
        };
        // A single draw of weights proves nothing.
        let draws = (0..20).map(|_| {
            let plain = Decoder::init(&config, &Device::default());
            let mimetic = with_mimetic_attention(plain.clone(), &config);
            [share(&mimetic), share(&plain)]
        });
        let draws: Vec<[f32; 2]> = draws.collect();
        let mean = |which: usize| draws.iter().map(|shares| shares[which]).sum::<f32>() / draws.len() as f32;
        assert!(mean(0) > 1.5 * mean(1), "{draws:?}");
    }
}
