//! Causal self-attention with rotary positions and grouped queries.
//!
//! `softmax(Q Kᵀ / √d + causal) V`, where each key/value head serves `heads / kv_heads` query heads.

use burn::nn::Linear;
use burn::prelude::*;

use super::cache::KvCache;
use super::context::{AttentionMask, ForwardContext, StepContext};
use super::rope::Rotation;
use crate::config::DecoderConfig;
use crate::linear::{self, linear, linear_with_bias};
use crate::norm::RmsNorm;
use crate::ops::{attention, causal_attention};

/// Attention of one decoder layer.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    pub(super) q_proj: Linear,
    pub(super) k_proj: Linear,
    pub(super) v_proj: Linear,
    pub(super) o_proj: Linear,
    /// Norms over each head separately, which only Qwen3 has.
    q_norm: Option<RmsNorm>,
    k_norm: Option<RmsNorm>,
    num_heads: usize,
    num_kv_heads: usize,
    head_dim: usize,
    /// Whether its queries see only a sliding window.
    slides: bool,
}

impl Attention {
    /// The attention of this layer.
    pub(crate) fn init(config: &DecoderConfig, layer: usize, device: &Device) -> Self {
        let (hidden, head_dim, std) = (config.hidden_size, config.head_dim(), config.initializer_range);
        let queries = config.num_attention_heads * head_dim;
        let keys = config.num_key_value_heads() * head_dim;
        let project_in = if config.qkv_bias() { linear_with_bias } else { linear };
        let project_out = if config.output_bias() { linear_with_bias } else { linear };
        let head_norm = || config.qk_norm().then(|| RmsNorm::init(head_dim, config.rms_norm_eps, device));
        Self {
            q_proj: project_in(hidden, queries, std, device),
            k_proj: project_in(hidden, keys, std, device),
            v_proj: project_in(hidden, keys, std, device),
            o_proj: project_out(queries, hidden, std, device),
            q_norm: head_norm(),
            k_norm: head_norm(),
            num_heads: config.num_attention_heads,
            num_kv_heads: config.num_key_value_heads(),
            head_dim,
            slides: config.window(layer).is_some(),
        }
    }

    /// The heads' outputs side by side, before [`output`](Self::output).
    ///
    /// - cache: the keys and values of the positions before, and this layer's number
    ///
    /// # Shapes
    ///
    /// - hidden_states: `[batch, seq, hidden]`
    /// - output: `[batch, seq, heads · head_dim]`
    pub(crate) fn forward(
        &self,
        hidden_states: Tensor<3>,
        context: &ForwardContext,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Tensor<3> {
        let [queries, mut keys, mut values] = self.project(hidden_states, &context.rotation);
        if let Some((cache, layer)) = cache {
            (keys, values) = cache.append(layer, keys, values);
        }
        let mask = if self.slides { context.window_mask() } else { &context.mask };
        self.attend([queries, keys, values], mask)
    }

    /// [`forward`](Self::forward) for one token of each of several sequences, every one with a cache of its own.
    ///
    /// # Shapes
    ///
    /// - hidden_states: `[sequences, 1, hidden]`
    /// - output: `[sequences, 1, heads · head_dim]`
    pub(crate) fn step(
        &self,
        hidden_states: Tensor<3>,
        context: &StepContext,
        caches: &mut [&mut KvCache],
        layer: usize,
    ) -> Tensor<3> {
        let projected = self.project(hidden_states, &context.rotation);
        let gathered = caches.iter_mut().enumerate().map(|(row, cache)| {
            let [query, key, value] = projected.each_ref().map(|x| x.clone().narrow(0, row, 1));
            let (keys, values) = cache.append(layer, key, value);
            let mask = if self.slides { context.window_mask(row) } else { &context.mask };
            self.attend([query, keys, values], mask)
        });
        Tensor::cat(gathered.collect(), 0)
    }

    /// Queries, keys and values of all heads, turned to their positions.
    ///
    /// # Shapes
    ///
    /// - hidden_states: `[batch, seq, hidden]`
    /// - output: `[batch, heads, seq, head_dim]`, twice `[batch, kv_heads, seq, head_dim]`
    fn project(&self, hidden_states: Tensor<3>, rotation: &Rotation) -> [Tensor<4>; 3] {
        let [batch, seq, _] = hidden_states.dims();
        let heads = |projection: &Linear, count: usize, norm: &Option<RmsNorm>| {
            let x = linear::forward(projection, hidden_states.clone());
            let x = x.reshape([batch, seq, count, self.head_dim]);
            let x = if let Some(norm) = norm { norm.forward(x) } else { x };
            x.swap_dims(1, 2)
        };
        let queries = heads(&self.q_proj, self.num_heads, &self.q_norm);
        let keys = heads(&self.k_proj, self.num_kv_heads, &self.k_norm);
        let values = heads(&self.v_proj, self.num_kv_heads, &None);
        [rotation.apply(queries), rotation.apply(keys), values]
    }

    /// # Shapes
    ///
    /// - queries: `[batch, heads, seq, head_dim]`
    /// - keys, values: `[batch, kv_heads, past + seq, head_dim]`
    /// - output: `[batch, seq, heads · head_dim]`
    fn attend(&self, [queries, keys, values]: [Tensor<4>; 3], mask: &AttentionMask) -> Tensor<3> {
        let [batch, _, seq, _] = queries.dims();
        let AttentionMask { bias, is_causal } = mask.clone();
        let attention = if is_causal { causal_attention } else { attention };
        let gathered = attention(queries, keys, values, bias, linear::dtype(&self.q_proj));
        gathered.swap_dims(1, 2).reshape([batch, seq, self.num_heads * self.head_dim])
    }

    /// # Shapes
    ///
    /// - gathered: `[batch, seq, heads · head_dim]`
    /// - output: `[batch, seq, hidden]`
    pub(crate) fn output(&self, gathered: Tensor<3>) -> Tensor<3> {
        linear::forward(&self.o_proj, gathered)
    }
}
