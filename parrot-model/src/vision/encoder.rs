//! The transformer encoder of all towers: pre-norm attention and feed-forward, no mask.
//!
//! `x ← x + Attn(LN₁ x)`, `x ← x + W₂ act(W₁ LN₂ x)`

use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::activation::gelu_approximate;

use crate::config::{HiddenAct, VisionConfig};
use crate::linear::{self, INITIALIZER_RANGE, linear_with_bias};
use crate::norm::LayerNorm;
use crate::ops::{gelu, quick_gelu, unmasked_attention, unmasked_bias};

/// A stack of encoder layers.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    layers: Vec<EncoderLayer>,
}

impl Encoder {
    /// Builds as many layers as a Parrot checkpoint stores.
    pub(super) fn init(config: &VisionConfig, device: &Device) -> Self {
        Self { layers: (0..config.stored_layers()).map(|_| EncoderLayer::init(config, device)).collect() }
    }

    /// Runs the first `num_layers` layers.
    ///
    /// # Shapes
    ///
    /// - hidden_states and output: `[images, positions, vision_hidden]`
    pub(super) fn forward(&self, hidden_states: Tensor<3>, num_layers: usize) -> Tensor<3> {
        let bias = unmasked_bias(&hidden_states.device());
        self.layers.iter().take(num_layers).fold(hidden_states, |x, layer| layer.forward(x, bias.clone()))
    }

    /// What goes into the first layer, and what comes out of each.
    ///
    /// # Shapes
    ///
    /// - hidden_states and each output: `[images, positions, vision_hidden]`
    pub(super) fn hidden_states(&self, hidden_states: Tensor<3>) -> Vec<Tensor<3>> {
        let bias = unmasked_bias(&hidden_states.device());
        let mut all = vec![hidden_states.clone()];
        all.extend(self.layers.iter().scan(hidden_states, |x, layer| {
            *x = layer.forward(x.clone(), bias.clone());
            Some(x.clone())
        }));
        all
    }
}

/// One layer of an [`Encoder`].
#[derive(Module, Debug)]
struct EncoderLayer {
    layer_norm1: LayerNorm,
    self_attn: SelfAttention,
    layer_norm2: LayerNorm,
    mlp: FeedForward,
}

impl EncoderLayer {
    fn init(config: &VisionConfig, device: &Device) -> Self {
        let norm = || LayerNorm::init(config.hidden_size, config.layer_norm_eps, device);
        Self {
            layer_norm1: norm(),
            self_attn: SelfAttention::init(config, device),
            layer_norm2: norm(),
            mlp: FeedForward::init(config, device),
        }
    }

    fn forward(&self, hidden_states: Tensor<3>, bias: Tensor<4>) -> Tensor<3> {
        let attended = self.self_attn.forward(self.layer_norm1.forward(hidden_states.clone()), bias);
        let hidden_states = hidden_states + attended;
        hidden_states.clone() + self.mlp.forward(self.layer_norm2.forward(hidden_states))
    }
}

/// Multi-head attention of every position to every position.
#[derive(Module, Debug)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    num_heads: usize,
}

impl SelfAttention {
    fn init(config: &VisionConfig, device: &Device) -> Self {
        let hidden = config.hidden_size;
        Self {
            q_proj: linear_with_bias(hidden, hidden, INITIALIZER_RANGE, device),
            k_proj: linear_with_bias(hidden, hidden, INITIALIZER_RANGE, device),
            v_proj: linear_with_bias(hidden, hidden, INITIALIZER_RANGE, device),
            out_proj: linear_with_bias(hidden, hidden, INITIALIZER_RANGE, device),
            num_heads: config.num_attention_heads,
        }
    }

    fn forward(&self, hidden_states: Tensor<3>, bias: Tensor<4>) -> Tensor<3> {
        let [images, positions, hidden] = hidden_states.dims();
        let heads = |x: Tensor<3>| {
            x.reshape([images, positions, self.num_heads, hidden / self.num_heads]).swap_dims(1, 2)
        };
        let queries = heads(linear::forward(&self.q_proj, hidden_states.clone()));
        let keys = heads(linear::forward(&self.k_proj, hidden_states.clone()));
        let values = heads(linear::forward(&self.v_proj, hidden_states));
        let context = unmasked_attention(queries, keys, values, bias, linear::dtype(&self.q_proj));
        linear::forward(&self.out_proj, context.swap_dims(1, 2).reshape([images, positions, hidden]))
    }
}

/// `W₂ act(W₁ x)`
#[derive(Module, Debug)]
struct FeedForward {
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    act: HiddenAct,
}

impl FeedForward {
    fn init(config: &VisionConfig, device: &Device) -> Self {
        Self {
            fc1: linear_with_bias(config.hidden_size, config.intermediate_size, INITIALIZER_RANGE, device),
            fc2: linear_with_bias(config.intermediate_size, config.hidden_size, INITIALIZER_RANGE, device),
            act: config.hidden_act,
        }
    }

    fn forward(&self, hidden_states: Tensor<3>) -> Tensor<3> {
        let x = linear::forward(&self.fc1, hidden_states);
        let activated = match self.act {
            HiddenAct::QuickGelu => quick_gelu(x),
            HiddenAct::Gelu => gelu(x),
            HiddenAct::GeluPytorchTanh => gelu_approximate(x),
        };
        linear::forward(&self.fc2, activated)
    }
}
