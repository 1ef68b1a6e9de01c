//! Qwen2: a pre-norm decoder with RMS norms and a SwiGLU feed-forward.
//!
//! `x ← x + Attn(RMS(x))`, `x ← x + W_down (silu(W_gate RMS(x)) ⊙ W_up RMS(x))`, logits = W_lm RMS(x)

use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::FloatDType;

use super::attention::{Attention, Pass, Sight};
use super::cache::KvCache;
use super::rope::RotaryEmbedding;
use super::vocabulary::VocabularyTable;
use crate::config::ParrotConfig;
use crate::linear::{self, linear};
use crate::norm::RmsNorm;
use crate::ops::silu_product;

/// The language model. It knows nothing of pictures: their tokens arrive as embeddings.
#[derive(Module, Debug)]
pub struct Qwen2 {
    pub(crate) embed_tokens: VocabularyTable,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    /// `None` when tied: logits are then products with the embedding table.
    lm_head: Option<VocabularyTable>,
    rotary: RotaryEmbedding,
}

impl Qwen2 {
    /// Builds the decoder; weights are made when first used, or loaded.
    #[must_use]
    pub fn init(config: &ParrotConfig, device: &Device) -> Self {
        let table = || {
            let shape = [config.vocab_size, config.hidden_size];
            VocabularyTable::init(shape, config.initializer_range, device)
        };
        Self {
            embed_tokens: table(),
            layers: (0..config.num_hidden_layers).map(|_| DecoderLayer::init(config, device)).collect(),
            norm: rms_norm(config, device),
            lm_head: (!config.tie_word_embeddings).then(table),
            rotary: RotaryEmbedding::init(config.head_dim(), config.rope_theta, device),
        }
    }

    /// Fresh attention weights that begin with what trained ones come to: queries alike to the keys, so that a
    /// token looks for its own kind, and an output alike to the transposed values, so that it brings what it has
    /// found. The rest of the weights stays random.
    ///
    /// For training without pretrained weights, where to look back is what a small decoder learns last. After
    /// Trockman and Kolter, *Mimetic Initialization of Self-Attention Layers* ([arXiv 2305.09828]), with the
    /// transposes in the place of their factorisation.
    ///
    /// [arXiv 2305.09828]: https://arxiv.org/abs/2305.09828
    #[must_use]
    pub fn with_mimetic_attention(mut self) -> Self {
        for layer in &mut self.layers {
            layer.self_attn = layer.self_attn.clone().with_mimetic_weights();
        }
        self
    }

    /// With its tables in pieces of at most so many rows, as on a device that holds no more at once. Fresh weights.
    #[cfg(test)]
    pub(crate) fn with_tables_in_pieces(mut self, rows: usize) -> Self {
        let shape = self.embed_tokens.shape();
        let table = || VocabularyTable::in_pieces(shape, rows, 0.02, &Device::default());
        self.embed_tokens = table();
        self.lm_head = self.lm_head.map(|_| table());
        self
    }

    /// Rows of the embedding table.
    ///
    /// # Shapes
    ///
    /// - ids: `[tokens]`
    /// - output: `[tokens, hidden]`
    #[must_use]
    pub fn embed(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        self.embed_tokens.embed(ids)
    }

    /// Runs the layers and the final norm.
    ///
    /// # Shapes
    ///
    /// - inputs_embeds: `[batch, seq, hidden]`
    /// - attention_mask: `[batch, seq]`, true where there is a token; `None`: everywhere
    /// - position_ids: `[batch, seq]`; `None`: counting on from what the cache holds
    /// - output: `[batch, seq, hidden]`, ready for [`logits`](Self::logits)
    ///
    /// # Panics
    ///
    /// If the cache has no room for `seq` more positions.
    #[must_use]
    pub fn forward(
        &self,
        inputs_embeds: Tensor<3>,
        attention_mask: Option<Tensor<2, Bool>>,
        position_ids: Option<Tensor<2, Int>>,
        kv_cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        self.run(inputs_embeds, attention_mask, position_ids, kv_cache, None)
    }

    /// [`forward`](Self::forward) where only some positions are asked for: a prompt's last, or those that have something
    /// to learn. The last layer feeds forward no others.
    ///
    /// # Shapes
    ///
    /// - rows: `[rows]`, each `sequence · seq + position`
    /// - output: `[rows, hidden]`, ready for [`logits`](Self::logits)
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    #[must_use]
    pub fn forward_at(
        &self,
        inputs_embeds: Tensor<3>,
        attention_mask: Option<Tensor<2, Bool>>,
        position_ids: Option<Tensor<2, Int>>,
        kv_cache: Option<&mut KvCache>,
        rows: Tensor<1, Int>,
    ) -> Tensor<2> {
        self.run(inputs_embeds, attention_mask, position_ids, kv_cache, Some(rows)).squeeze_dim(0)
    }

    /// # Shapes
    ///
    /// - output: `[batch, seq, hidden]`, or of some rows `[1, rows, hidden]`
    fn run(
        &self,
        inputs_embeds: Tensor<3>,
        attention_mask: Option<Tensor<2, Bool>>,
        position_ids: Option<Tensor<2, Int>>,
        mut kv_cache: Option<&mut KvCache>,
        mut rows: Option<Tensor<1, Int>>,
    ) -> Tensor<3> {
        let [batch, seq, _] = inputs_embeds.dims();
        let device = inputs_embeds.device();
        let past = kv_cache.as_ref().map_or(0, |cache| cache.len());
        let attention_mask = match kv_cache.as_mut() {
            Some(cache) => cache.extend_mask(attention_mask, [batch, seq], &device),
            None => attention_mask,
        };
        let pass = self.pass(&inputs_embeds, attention_mask, position_ids, past);
        let mut hidden_states = inputs_embeds;
        for (index, layer) in self.layers.iter().enumerate() {
            let cache = kv_cache.as_mut().map(|cache| (&mut **cache, index));
            let rows = if index + 1 == self.layers.len() { rows.take() } else { None };
            hidden_states = layer.forward(hidden_states, &pass, cache, rows);
        }
        if let Some(cache) = kv_cache {
            cache.advance(seq);
        }
        self.norm.forward(hidden_states)
    }

    /// What the layers of one [`forward`](Self::forward) share, for a caller that runs them one by one: training
    /// with activation checkpointing does.
    ///
    /// # Shapes
    ///
    /// As [`forward`](Self::forward); `past` positions come before `inputs_embeds`, 0 without a cache.
    #[must_use]
    pub fn pass(
        &self,
        inputs_embeds: &Tensor<3>,
        attention_mask: Option<Tensor<2, Bool>>,
        position_ids: Option<Tensor<2, Int>>,
        past: usize,
    ) -> Pass {
        let [_, seq, _] = inputs_embeds.dims();
        let position_ids = position_ids.unwrap_or_else(|| {
            Tensor::<1, Int>::arange(past as i64..(past + seq) as i64, &inputs_embeds.device()).unsqueeze()
        });
        Pass {
            rotation: self.rotary.rotation(position_ids, inputs_embeds.dtype()),
            sight: Sight::new(attention_mask, inputs_embeds, past),
        }
    }

    /// Number of layers.
    #[must_use]
    pub fn num_layers(&self) -> usize {
        self.layers.len()
    }

    /// One layer, without a cache.
    ///
    /// # Shapes
    ///
    /// - hidden_states and output: `[batch, seq, hidden]`
    ///
    /// # Panics
    ///
    /// If there is no such layer.
    #[must_use]
    pub fn forward_layer(&self, layer: usize, hidden_states: Tensor<3>, pass: &Pass) -> Tensor<3> {
        self.layers[layer].forward(hidden_states, pass, None, None)
    }

    /// The last layer and the final norm, where only some positions are asked for.
    ///
    /// # Shapes
    ///
    /// - hidden_states: `[batch, seq, hidden]`
    /// - rows and output: as [`forward_at`](Self::forward_at)
    ///
    /// # Panics
    ///
    /// If there are no layers.
    #[must_use]
    pub fn forward_last(&self, hidden_states: Tensor<3>, pass: &Pass, rows: Tensor<1, Int>) -> Tensor<2> {
        let last = &self.layers[self.layers.len() - 1];
        self.norm.forward(last.forward(hidden_states, pass, None, Some(rows)).squeeze_dim(0))
    }

    /// Scores of every vocabulary entry, in f32 as the reference has them.
    ///
    /// # Shapes
    ///
    /// - hidden_states: `[…, hidden]`
    /// - output: `[…, vocab]`
    #[must_use]
    pub fn logits<const D: usize>(&self, hidden_states: Tensor<D>) -> Tensor<D> {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens).scores(hidden_states).cast(FloatDType::F32)
    }
}

/// One layer of [`Qwen2`].
#[derive(Module, Debug)]
struct DecoderLayer {
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: SwiGlu,
}

impl DecoderLayer {
    fn init(config: &ParrotConfig, device: &Device) -> Self {
        Self {
            input_layernorm: rms_norm(config, device),
            self_attn: Attention::init(config, device),
            post_attention_layernorm: rms_norm(config, device),
            mlp: SwiGlu::init(config, device),
        }
    }

    /// # Shapes
    ///
    /// - hidden_states: `[batch, seq, hidden]`
    /// - rows: `[rows]` of the `batch · seq` positions; `None`: all
    /// - output: `[batch, seq, hidden]`, or of some rows `[1, rows, hidden]`
    fn forward(
        &self,
        hidden_states: Tensor<3>,
        pass: &Pass,
        cache: Option<(&mut KvCache, usize)>,
        rows: Option<Tensor<1, Int>>,
    ) -> Tensor<3> {
        let [batch, seq, hidden] = hidden_states.dims();
        let context =
            self.self_attn.forward(self.input_layernorm.forward(hidden_states.clone()), pass, cache);
        let of_rows = |x: Tensor<3>| match &rows {
            Some(rows) => x.reshape([batch * seq, hidden]).select(0, rows.clone()).unsqueeze(),
            None => x,
        };
        let hidden_states = of_rows(hidden_states) + self.self_attn.output(of_rows(context));
        hidden_states.clone() + self.mlp.forward(self.post_attention_layernorm.forward(hidden_states))
    }
}

/// The feed-forward: `W_down (silu(W_gate x) ⊙ W_up x)`.
#[derive(Module, Debug)]
struct SwiGlu {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl SwiGlu {
    fn init(config: &ParrotConfig, device: &Device) -> Self {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let std = config.initializer_range;
        Self {
            gate_proj: linear(hidden, intermediate, false, std, device),
            up_proj: linear(hidden, intermediate, false, std, device),
            down_proj: linear(intermediate, hidden, false, std, device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = linear::forward(&self.gate_proj, x.clone());
        linear::forward(&self.down_proj, silu_product(gate, linear::forward(&self.up_proj, x)))
    }
}

fn rms_norm(config: &ParrotConfig, device: &Device) -> RmsNorm {
    RmsNorm::init(config.hidden_size, config.rms_norm_eps, device)
}
