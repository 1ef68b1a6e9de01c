//! Causal self-attention with rotary positions and grouped queries.
//!
//! `softmax(Q Kᵀ / √d + causal) V`, where each key/value head serves `heads / kv_heads` query heads.

use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::DType;

use super::cache::KvCache;
use super::rope::Rotation;
use crate::config::ParrotConfig;
use crate::linear::{self, linear};
use crate::ops::{attention, flash_attention, unmasked_bias};

/// What every layer of one forward pass shares; from [`Qwen2::pass`](super::Qwen2::pass).
#[derive(Debug)]
pub struct Pass {
    pub(crate) rotation: Rotation,
    pub(crate) sight: Sight,
}

/// Which keys a query looks at.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// `[batch or 1, 1, seq or 1, keys or 1]`, f32, added to the scores: −∞ where a query must not look.
    bias: Tensor<4>,
    /// Whether that is what comes after it, in a sequence of which nothing has been read before.
    is_causal: bool,
}

/// Attention of one decoder layer. Queries, keys and values have biases in Qwen2, the output has none.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    num_heads: usize,
    num_kv_heads: usize,
}

impl Attention {
    pub(crate) fn init(config: &ParrotConfig, device: &Device) -> Self {
        let hidden = config.hidden_size;
        let kv_hidden = config.num_key_value_heads() * config.head_dim();
        let std = config.initializer_range;
        Self {
            q_proj: linear(hidden, hidden, true, std, device),
            k_proj: linear(hidden, kv_hidden, true, std, device),
            v_proj: linear(hidden, kv_hidden, true, std, device),
            o_proj: linear(hidden, hidden, false, std, device),
            num_heads: config.num_attention_heads,
            num_kv_heads: config.num_key_value_heads(),
        }
    }

    /// See [`Qwen2::with_mimetic_attention`](super::Qwen2::with_mimetic_attention).
    pub(crate) fn with_mimetic_weights(mut self) -> Self {
        let groups = self.num_heads / self.num_kv_heads;
        // Both as `[out, in]`, the layout in which weights are held.
        let keys = repeat_heads(self.k_proj.weight.val().transpose(), self.num_kv_heads, groups);
        let values = repeat_heads(self.v_proj.weight.val().transpose(), self.num_kv_heads, groups);
        let (keys, values) = (keys.detach(), values.detach());
        self.q_proj.weight = self.q_proj.weight.map(|weight| (weight.transpose() + keys).transpose());
        let values = values.transpose();
        self.o_proj.weight = self.o_proj.weight.map(|weight| (weight.transpose() + values).transpose());
        self
    }

    /// What the heads gather, side by side, before [`output`](Self::output).
    ///
    /// # Shapes
    ///
    /// - hidden_states and output: `[batch, seq, hidden]`
    pub(crate) fn forward(
        &self,
        hidden_states: Tensor<3>,
        pass: &Pass,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Tensor<3> {
        let [batch, seq, hidden] = hidden_states.dims();
        let head_dim = hidden / self.num_heads;
        let heads = |x: Tensor<3>, count: usize| x.reshape([batch, seq, count, head_dim]).swap_dims(1, 2);
        let queries = heads(linear::forward(&self.q_proj, hidden_states.clone()), self.num_heads);
        let keys = heads(linear::forward(&self.k_proj, hidden_states.clone()), self.num_kv_heads);
        let values = heads(linear::forward(&self.v_proj, hidden_states), self.num_kv_heads);
        let queries = pass.rotation.apply(queries);
        let mut keys = pass.rotation.apply(keys);
        let mut values = values;
        if let Some((cache, layer)) = cache {
            let (past, capacity) = (cache.len(), cache.capacity());
            (keys, values) = cache.layer(layer).append(keys, values, past, capacity);
        }
        let Sight { bias, is_causal } = pass.sight.clone();
        let context = match is_causal {
            true => flash_attention(queries, keys, values, bias, true),
            false => attention(queries, keys, values, bias),
        };
        context.swap_dims(1, 2).reshape([batch, seq, hidden])
    }

    /// # Shapes
    ///
    /// - context and output: `[batch, seq, hidden]`
    pub(crate) fn output(&self, context: Tensor<3>) -> Tensor<3> {
        linear::forward(&self.o_proj, context)
    }
}

/// The weight of a key or value projection, each head's rows repeated for the query heads that share it.
///
/// # Shapes
///
/// - weight: `[kv_heads · head_dim, hidden]`
/// - output: `[heads · head_dim, hidden]`
fn repeat_heads(weight: Tensor<2>, kv_heads: usize, groups: usize) -> Tensor<2> {
    let [rows, hidden] = weight.dims();
    let heads = weight.reshape([kv_heads, 1, rows / kv_heads, hidden]);
    heads.expand([kv_heads, groups, rows / kv_heads, hidden]).reshape([rows * groups, hidden])
}

impl Sight {
    /// For what a pass takes in.
    ///
    /// # Shapes
    ///
    /// - attention_mask: `[batch, past + seq]`, true where there is a token; `None`: everywhere
    /// - inputs_embeds: `[batch, seq, hidden]`
    pub(crate) fn new(
        attention_mask: Option<Tensor<2, Bool>>,
        inputs_embeds: &Tensor<3>,
        past: usize,
    ) -> Self {
        let (device, [_, seq, _]) = (inputs_embeds.device(), inputs_embeds.dims());
        if attention_mask.is_none() && seq == 1 {
            return Self { bias: unmasked_bias(&device), is_causal: false };
        }
        let is_causal = attention_mask.is_none() && past == 0;
        let attention_mask = attention_mask.unwrap_or_else(|| Tensor::full([1, past + seq], true, &device));
        let mask = padding_mask(attention_mask, seq);
        let bias = Tensor::zeros(mask.dims(), (&device, DType::F32)).mask_fill(mask, f32::NEG_INFINITY);
        Self { bias, is_causal }
    }
}

/// Which keys each query must not see: those after it, and padding.
///
/// A position before the first token still sees itself, so that no row of the softmax is empty (it would be
/// NaN, and NaN times a weight of zero would reach the real positions).
///
/// # Shapes
///
/// - attention_mask: `[batch, past + seq]`, true where there is a token
/// - output: `[batch, 1, seq, past + seq]`, true = masked
pub(crate) fn padding_mask(attention_mask: Tensor<2, Bool>, seq: usize) -> Tensor<4, Bool> {
    let [_, keys] = attention_mask.dims();
    let device = attention_mask.device();
    let past = (keys - seq) as i64;
    let query = Tensor::<1, Int>::arange(past..keys as i64, &device).reshape([1, 1, seq, 1]);
    let key = Tensor::<1, Int>::arange(0..keys as i64, &device).reshape([1, 1, 1, keys]);
    let (query, key) = (query.expand([1, 1, seq, keys]), key.expand([1, 1, seq, keys]));
    let [batch, _] = attention_mask.dims();
    let shape = [batch, 1, seq, keys];
    let padding = attention_mask.clone().bool_not().reshape([batch, 1, 1, keys]).expand(shape);
    let tokens_so_far = attention_mask.int().cumsum(1).slice(s![.., keys - seq..]);
    let alone = tokens_so_far.equal_elem(0).reshape([batch, 1, seq, 1]).expand(shape);
    let itself = key.clone().equal(query.clone()).expand(shape).bool_and(alone);
    let later = key.greater(query).expand(shape);
    later.bool_or(padding.bool_and(itself.bool_not()))
}
