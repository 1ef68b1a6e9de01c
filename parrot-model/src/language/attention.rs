//! Causal self-attention with rotary positions and grouped queries.
//!
//! `softmax(Q Kᵀ / √d + causal) V`, where each key/value head serves `heads / kv_heads` query heads.

use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;

use super::cache::KvCache;
use super::rope::Rotation;
use crate::config::ParrotConfig;
use crate::device::derivatives;
use crate::linear::{self, linear};

/// What every layer of one forward pass shares; from [`Qwen2::pass`](super::Qwen2::pass).
#[derive(Debug)]
pub struct Pass {
    pub(crate) rotation: Rotation,
    pub(crate) sight: Sight,
}

/// Which keys a query looks at.
#[derive(Debug, Clone)]
pub(crate) enum Sight {
    /// Those up to itself.
    Causal,
    /// `[batch or 1, 1, seq, keys]`, true where a query must not look.
    Mask(Tensor<4, Bool>),
    /// `[batch or 1, 1, seq, keys]`, f32, added to the scores: what training takes, and half precision.
    Bias(Tensor<4>),
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
        let context = match &pass.sight {
            Sight::Bias(bias) => derivatives::attention(queries, keys, values, bias.clone()),
            Sight::Mask(mask) => self.attend(queries, keys, values, Some(mask.clone())),
            Sight::Causal => self.attend(queries, keys, values, None),
        };
        context.swap_dims(1, 2).reshape([batch, seq, hidden])
    }

    /// # Shapes
    ///
    /// - context and output: `[batch, seq, hidden]`
    pub(crate) fn output(&self, context: Tensor<3>) -> Tensor<3> {
        linear::forward(&self.o_proj, context)
    }

    /// Without a derivative and in f32: the backend's own attention, which keeps no scores. Grouped queries do not rely on
    /// it: Burn's attention handles them on the CPU and computes something else, silently, on the GPU backends.
    fn attend(
        &self,
        queries: Tensor<4>,
        keys: Tensor<4>,
        values: Tensor<4>,
        mask: Option<Tensor<4, Bool>>,
    ) -> Tensor<4> {
        let [batch, heads, seq, head_dim] = queries.dims();
        let groups = heads / self.num_kv_heads;
        if seq == 1 && groups > 1 {
            // A single position sees every key, so the queries of a group can stand as rows of one head.
            let queries = queries.reshape([batch, self.num_kv_heads, groups, head_dim]);
            let mask = mask.map(|mask| {
                let [rows, _, _, keys] = mask.dims();
                mask.expand([rows, 1, groups, keys])
            });
            let context = attention(queries, keys, values, mask, None, Default::default());
            return context.reshape([batch, heads, 1, head_dim]);
        }
        let options = AttentionModuleOptions { is_causal: seq > 1 && mask.is_none(), ..Default::default() };
        attention(queries, repeat_kv(keys, groups), repeat_kv(values, groups), mask, None, options)
    }
}

/// Repeats each key/value head for the query heads that share it.
fn repeat_kv(x: Tensor<4>, groups: usize) -> Tensor<4> {
    if groups == 1 {
        return x;
    }
    let [batch, kv_heads, keys, head_dim] = x.dims();
    x.unsqueeze_dim::<5>(2).expand([batch, kv_heads, groups, keys, head_dim]).reshape([
        batch,
        kv_heads * groups,
        keys,
        head_dim,
    ])
}

/// The weight of a key or value projection, each head's rows repeated for the query heads that share it.
///
/// # Shapes
///
/// - weight: `[kv_heads · head_dim, hidden]`
/// - output: `[heads · head_dim, hidden]`
fn repeat_heads(weight: Tensor<2>, kv_heads: usize, groups: usize) -> Tensor<2> {
    let [rows, hidden] = weight.dims();
    let heads = weight.reshape([1, kv_heads, rows / kv_heads, hidden]);
    repeat_kv(heads, groups).reshape([rows * groups, hidden])
}

impl Sight {
    /// For what a pass takes in. The backend's own attention is for f32 alone: whichever of its kernels is chosen, in half
    /// precision one of them forms `Q Kᵀ` before it divides by √d, which Qwen2 drives beyond what f16 holds, and its
    /// softmax is not in f32, where the reference has it.
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
        let zeros = |shape: [usize; 4]| Tensor::zeros(shape, (&device, DType::F32));
        let built_in = !device.is_autodiff() && inputs_embeds.dtype() == DType::F32;
        // Not every kernel of a backend counts queries from the last key when there are more keys than queries.
        if attention_mask.is_none() && (seq == 1 || past == 0 && built_in) {
            return if built_in { Self::Causal } else { Self::Bias(zeros([1; 4])) };
        }
        let attention_mask = attention_mask.unwrap_or_else(|| Tensor::full([1, past + seq], true, &device));
        let mask = padding_mask(attention_mask, seq);
        match built_in {
            true => Self::Mask(mask),
            false => Self::Bias(zeros(mask.dims()).mask_fill(mask, f32::NEG_INFINITY)),
        }
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
