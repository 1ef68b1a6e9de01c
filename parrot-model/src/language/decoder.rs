//! A pre-norm decoder with RMS norms and a SwiGLU feed-forward: Qwen2, Qwen3, Llama and Mistral, as
//! [`DecoderConfig`] says.
//!
//! `x ← x + Attn(RMS(x))`, `x ← x + W_down (silu(W_gate RMS(x)) ⊙ W_up RMS(x))`, logits = W_lm RMS(x)

use burn::module::LoraAdapter;
use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};

use super::attention::Attention;
use super::cache::KvCache;
use super::context::{AttentionMask, ForwardContext, StepContext};
use super::rope::RotaryEmbedding;
use super::vocabulary::VocabularyTable;
use crate::config::DecoderConfig;
use crate::linear::{self, linear};
use crate::norm::RmsNorm;
use crate::ops::silu_product;
use crate::quantization::BlockFormat;
use crate::{Error, Result, int_tensor};

/// The language model. It knows nothing of pictures: their tokens arrive as embeddings.
#[derive(Module, Debug)]
pub struct Decoder {
    pub(crate) embed_tokens: VocabularyTable,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    /// `None` when tied: logits are then products with the embedding table.
    lm_head: Option<VocabularyTable>,
    rotary: RotaryEmbedding,
    /// The sliding window of the layers that have one.
    window: Option<usize>,
}

/// Sequences of a [`step`](Decoder::step) at most, if each is to be what it is alone.
pub const STEP_ROWS: usize = crate::ops::FEW_ROWS;

/// The input of one forward pass: a batch of sequences, or the continuation of those in a cache.
#[derive(Debug, Clone)]
pub struct DecoderInput {
    /// `[batch, seq, hidden]`
    pub inputs_embeds: Tensor<3>,
    /// Covers all positions, those in the cache first: `[batch, past + seq]`, true where there is a token;
    /// `None`: everywhere.
    pub attention_mask: Option<Tensor<2, Bool>>,
    /// `[batch, seq]`; `None`: counting on from what the cache holds.
    pub position_ids: Option<Tensor<2, Int>>,
}

impl DecoderInput {
    /// Sequences without padding.
    ///
    /// # Shapes
    ///
    /// - inputs_embeds: `[batch, seq, hidden]`
    #[must_use]
    pub fn unpadded(inputs_embeds: Tensor<3>) -> Self {
        Self { inputs_embeds, attention_mask: None, position_ids: None }
    }
}

impl Decoder {
    /// Builds the decoder; weights are made when first used, or loaded.
    #[must_use]
    pub fn init(config: &DecoderConfig, device: &Device) -> Self {
        let shape = [config.vocab_size, config.hidden_size];
        let table = || VocabularyTable::init(shape, config.initializer_range, device);
        let layers = 0..config.num_hidden_layers;
        Self {
            embed_tokens: table(),
            layers: layers.clone().map(|layer| DecoderLayer::init(config, layer, device)).collect(),
            norm: rms_norm(config, device),
            lm_head: (!config.tie_word_embeddings).then(table),
            rotary: RotaryEmbedding::init(config.head_dim(), config.rope_theta, config.rope_scaling, device),
            window: layers.into_iter().find_map(|layer| config.window(layer)),
        }
    }

    /// Number of rows of the embedding table.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.embed_tokens.vocab()
    }

    /// The device that it computes on, with autodiff if the weights have it.
    #[must_use]
    pub fn device(&self) -> Device {
        self.embed_tokens.device()
    }

    /// The format of the weights of its products, if they are in blocks.
    #[must_use]
    pub fn block_format(&self) -> Option<BlockFormat> {
        self.embed_tokens.block_format()
    }

    /// The low-rank adapters that its linear layers have, by the path of the weight that each adapts.
    pub fn adapters(&self) -> impl Iterator<Item = (Vec<String>, &LoraAdapter)> {
        self.layers.iter().enumerate().flat_map(|(index, layer)| {
            layer.linear_layers().into_iter().filter_map(move |(module, name, linear)| {
                let path = ["layers", &index.to_string(), module, name, "weight"].map(String::from);
                Some((path.to_vec(), linear.weight.adapter()?))
            })
        })
    }

    /// What its activations are computed in, and with them keys and values.
    #[must_use]
    pub fn activation_dtype(&self) -> DType {
        self.norm.dtype()
    }

    /// Rows of the embedding table.
    ///
    /// # Shapes
    ///
    /// - ids: `[tokens]`
    /// - output: `[tokens, hidden]`
    #[must_use]
    pub fn embed(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        // The table may be held in less.
        self.embed_tokens.embed(ids).cast(self.norm.dtype())
    }

    /// The embeddings of a text's tokens.
    ///
    /// # Shapes
    ///
    /// - output: `[tokens, hidden]`
    ///
    /// # Errors
    ///
    /// [`Error::Conversation`] for an id outside the vocabulary.
    pub(crate) fn embed_text(&self, ids: &[i64]) -> Result<Tensor<2>> {
        let vocab = self.vocab_size() as i64;
        if let Some(id) = ids.iter().find(|id| !(0..vocab).contains(*id)) {
            let reason = format!("the token id {id} is outside the vocabulary of {vocab}");
            return Err(Error::Conversation { reason });
        }
        Ok(self.embed(int_tensor(ids, &self.device())))
    }

    /// Runs the layers and the final norm. A cache receives the keys and values of this input, and provides those of what was
    /// read before.
    ///
    /// # Shapes
    ///
    /// - output: `[batch, seq, hidden]`, ready for [`logits`](Self::logits)
    ///
    /// # Panics
    ///
    /// If the cache has no room for `seq` more positions, or the shapes of the input do not go together.
    #[must_use]
    pub fn forward(&self, input: DecoderInput, kv_cache: Option<&mut KvCache>) -> Tensor<3> {
        self.run(input, None, kv_cache)
    }

    /// [`forward`](Self::forward) for some positions only: a prompt's last, or those that have something
    /// to learn. The last layer's feed-forward computes no others.
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
    pub fn forward_rows(
        &self,
        input: DecoderInput,
        rows: Tensor<1, Int>,
        kv_cache: Option<&mut KvCache>,
    ) -> Tensor<2> {
        self.run(input, Some(rows), kv_cache).squeeze_dim(0)
    }

    /// # Shapes
    ///
    /// - output: `[batch, seq, hidden]`, or of some rows `[1, rows, hidden]`
    fn run(
        &self,
        input: DecoderInput,
        mut rows: Option<Tensor<1, Int>>,
        mut kv_cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let context = self.context(&input, kv_cache.as_ref().map_or(0, |cache| cache.len()));
        let mut hidden_states = input.inputs_embeds;
        let [_, seq, _] = hidden_states.dims();
        for (index, layer) in self.layers.iter().enumerate() {
            let cache = kv_cache.as_mut().map(|cache| (&mut **cache, index));
            let rows = if index + 1 == self.layers.len() { rows.take() } else { None };
            hidden_states = layer.forward(hidden_states, &context, cache, rows);
        }
        if let Some(cache) = kv_cache {
            cache.advance(seq);
        }
        self.norm.forward(hidden_states)
    }

    /// Reads one more token of each of several sequences that have nothing to do with each other: linear layers see all of
    /// them at once; attention takes each alone, with its own cache, which holds one sequence. Nothing is padded.
    ///
    /// On the CPU every row is, bit for bit, what it would be alone, as long as there are no more than [`STEP_ROWS`] and weights
    /// are in f32 or f16: products of that few rows sum each in the same order. With bf16 weights, and on other devices, kernels
    /// are chosen by the number of rows.
    ///
    /// # Shapes
    ///
    /// - inputs_embeds: `[sequences, hidden]`
    /// - output: `[sequences, hidden]`, ready for [`logits`](Self::logits)
    ///
    /// # Panics
    ///
    /// If there are not as many caches as rows, or one has no room for another position. The caches then hold what they held
    /// before, but for one whose write failed half-way: reading on with it panics again.
    #[must_use]
    pub fn step(&self, inputs_embeds: Tensor<2>, kv_caches: &mut [&mut KvCache]) -> Tensor<2> {
        let ([sequences, _], device) = (inputs_embeds.dims(), inputs_embeds.device());
        assert_eq!(sequences, kv_caches.len(), "a cache for each sequence");
        let past: Vec<usize> = kv_caches.iter().map(|cache| cache.len()).collect();
        let positions: Vec<i64> = past.iter().map(|past| *past as i64).collect();
        let positions = int_tensor(&positions, &device).unsqueeze_dim(1);
        let rotation = self.rotary.rotation(positions, inputs_embeds.dtype());
        let context = StepContext::new(rotation, &past, self.window, &device);
        let mut hidden_states: Tensor<3> = inputs_embeds.unsqueeze_dim(1);
        for (index, layer) in self.layers.iter().enumerate() {
            hidden_states = layer.step(hidden_states, &context, kv_caches, index);
        }
        for cache in kv_caches {
            cache.advance(1);
        }
        self.norm.forward(hidden_states.squeeze_dim::<2>(1))
    }

    /// What the layers of one [`forward`](Self::forward) share, for a caller that runs them one by one: training
    /// with activation checkpointing does.
    ///
    /// - past: positions before those of the input, 0 without a cache
    ///
    /// # Panics
    ///
    /// If the shapes of the input do not go together.
    #[must_use]
    pub fn context(&self, input: &DecoderInput, past: usize) -> ForwardContext {
        let DecoderInput { inputs_embeds, attention_mask, position_ids } = input;
        let ([batch, seq, _], device) = (inputs_embeds.dims(), inputs_embeds.device());
        if let Some(mask) = attention_mask {
            assert_eq!(mask.dims(), [batch, past + seq], "attention_mask is [batch, past + seq]");
        }
        let position_ids = position_ids.clone().unwrap_or_else(|| {
            Tensor::<1, Int>::arange(past as i64..(past + seq) as i64, &device).unsqueeze()
        });
        let mask = |window| AttentionMask::new(attention_mask.clone(), [past, seq], window, &device);
        ForwardContext {
            rotation: self.rotary.rotation(position_ids, inputs_embeds.dtype()),
            mask: mask(None),
            window_mask: self.window.filter(|window| *window < past + seq).map(|window| mask(Some(window))),
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
    pub fn forward_layer(
        &self,
        layer: usize,
        hidden_states: Tensor<3>,
        context: &ForwardContext,
    ) -> Tensor<3> {
        self.layers[layer].forward(hidden_states, context, None, None)
    }

    /// The last layer and the final norm, for some positions only.
    ///
    /// # Shapes
    ///
    /// - hidden_states: `[batch, seq, hidden]`
    /// - rows and output: as [`forward_rows`](Self::forward_rows)
    ///
    /// # Panics
    ///
    /// If there are no layers.
    #[must_use]
    pub fn forward_last_layer(
        &self,
        hidden_states: Tensor<3>,
        context: &ForwardContext,
        rows: Tensor<1, Int>,
    ) -> Tensor<2> {
        let last = &self.layers[self.layers.len() - 1];
        self.norm.forward(last.forward(hidden_states, context, None, Some(rows)).squeeze_dim(0))
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

/// One layer of a [`Decoder`].
#[derive(Module, Debug)]
struct DecoderLayer {
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: SwiGlu,
}

impl DecoderLayer {
    fn init(config: &DecoderConfig, layer: usize, device: &Device) -> Self {
        Self {
            input_layernorm: rms_norm(config, device),
            self_attn: Attention::init(config, layer, device),
            post_attention_layernorm: rms_norm(config, device),
            mlp: SwiGlu::init(config, device),
        }
    }

    /// Its linear layers, by the names of their module and their own.
    fn linear_layers(&self) -> [(&'static str, &'static str, &Linear); 7] {
        let Attention { q_proj, k_proj, v_proj, o_proj, .. } = &self.self_attn;
        let SwiGlu { gate_proj, up_proj, down_proj } = &self.mlp;
        [
            ("self_attn", "q_proj", q_proj),
            ("self_attn", "k_proj", k_proj),
            ("self_attn", "v_proj", v_proj),
            ("self_attn", "o_proj", o_proj),
            ("mlp", "gate_proj", gate_proj),
            ("mlp", "up_proj", up_proj),
            ("mlp", "down_proj", down_proj),
        ]
    }

    /// # Shapes
    ///
    /// - hidden_states: `[batch, seq, hidden]`
    /// - rows: `[rows]` of the `batch · seq` positions; `None`: all
    /// - output: `[batch, seq, hidden]`, or of some rows `[1, rows, hidden]`
    fn forward(
        &self,
        hidden_states: Tensor<3>,
        context: &ForwardContext,
        cache: Option<(&mut KvCache, usize)>,
        rows: Option<Tensor<1, Int>>,
    ) -> Tensor<3> {
        let gathered =
            self.self_attn.forward(self.input_layernorm.forward(hidden_states.clone()), context, cache);
        let asked_for = |x: Tensor<3>| {
            let Some(rows) = &rows else { return x };
            let [batch, seq, width] = x.dims();
            x.reshape([batch * seq, width]).select(0, rows.clone()).unsqueeze()
        };
        self.finish(asked_for(hidden_states), asked_for(gathered))
    }

    /// One token of each of several sequences, as [`Decoder::step`].
    ///
    /// # Shapes
    ///
    /// - hidden_states and output: `[sequences, 1, hidden]`
    fn step(
        &self,
        hidden_states: Tensor<3>,
        context: &StepContext,
        caches: &mut [&mut KvCache],
        index: usize,
    ) -> Tensor<3> {
        let normed = self.input_layernorm.forward(hidden_states.clone());
        let gathered = self.self_attn.step(normed, context, caches, index);
        self.finish(hidden_states, gathered)
    }

    /// What comes after the heads.
    fn finish(&self, hidden_states: Tensor<3>, gathered: Tensor<3>) -> Tensor<3> {
        let hidden_states = hidden_states + self.self_attn.output(gathered);
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
    fn init(config: &DecoderConfig, device: &Device) -> Self {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let std = config.initializer_range;
        Self {
            gate_proj: linear(hidden, intermediate, std, device),
            up_proj: linear(hidden, intermediate, std, device),
            down_proj: linear(intermediate, hidden, std, device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = linear::forward(&self.gate_proj, x.clone());
        linear::forward(&self.down_proj, silu_product(gate, linear::forward(&self.up_proj, x)))
    }
}

fn rms_norm(config: &DecoderConfig, device: &Device) -> RmsNorm {
    RmsNorm::init(config.hidden_size, config.rms_norm_eps, device)
}
