//! The text-guided mixture of experts: the question's text steers the visual tokens (paper §3.2).
//!
//! ```text
//! H'_v = softmax(H_v^cls · H_tᵀ / √C) · H_t          Eq. 2   cross-attention, no learned matrices
//! w    = softmax(Linear(H'_v))                       Eq. 3   router, one weight per expert
//! MoE  = Σₑ wₑ · Eₑ(H_v)                             Eq. 4   experts
//! G_v  = MoE(H_v) + α · H_v                          Eq. 5   residual
//! ```
//!
//! `H_v^cls` is row 0 of the *projected* features, `H_t` the raw embeddings of the prompt's text, without learnt answers.
//! Where the released code departs from the paper, this file follows the code, which the released
//! weights were trained with: all experts are summed whatever `moe_top_k` says (the paper sums k); an
//! expert is a SwiGLU of three matrices (the paper: two linear layers with SiLU); and α stands on the
//! residual (the paper: on the MoE term).
//!
//! `w` depends on the question, `Eₑ(H_v)` only on the picture. [`TextGuidedMoe::experts`] is therefore
//! separate from [`TextGuidedMoe::mix`]: a second question about the same picture, in any language,
//! costs a weighted sum.

use burn::module::Param;
use burn::nn::{Initializer, Linear};
use burn::prelude::*;
use burn::tensor::activation::softmax;

use crate::config::ParrotConfig;
use crate::linear::{INITIALIZER_RANGE, linear};
use crate::ops::{matmul, silu_product};

/// Stands for −∞ in a masked score: finite in every float type, so that a question without any token
/// gives a row of equal scores instead of NaN.
const MASKED: f32 = -65_504.0;

/// What the router decided, for one question and picture per row.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Routing {
    /// `H_v^cls · H_tᵀ / √C`, masked positions very negative. `[images, text]`
    pub attn_scores: Tensor<2>,
    /// Their softmax. `[images, text]`
    pub attn_weights: Tensor<2>,
    /// `H'_v`, the question as this picture sees it. `[images, hidden]`
    pub gating_embeds: Tensor<2>,
    /// The router's output before its softmax. `[images, experts]`
    pub router_logits: Tensor<2>,
    /// The weight of each expert. `[images, experts]`
    pub routing_weights: Tensor<2>,
}

/// Router and experts.
#[derive(Module, Debug)]
pub struct TextGuidedMoe {
    gate: Linear,
    experts: Experts,
    residual: bool,
    residual_weight: f64,
}

impl TextGuidedMoe {
    /// Builds the module that `config` describes.
    ///
    /// # Panics
    ///
    /// If `config` lacks `num_experts` or `moe_intermediate_size`; [`ParrotConfig::validate`] refuses that.
    #[must_use]
    pub fn init(config: &ParrotConfig, device: &Device) -> Self {
        let hidden = config.decoder.hidden_size;
        let num_experts = config.num_experts.expect("validated: num_experts is set");
        let intermediate = config.moe_intermediate_size.expect("validated: moe_intermediate_size is set");
        Self {
            gate: linear(hidden, num_experts, INITIALIZER_RANGE, device),
            experts: Experts::init([num_experts, hidden, intermediate], device),
            residual: config.use_moe_residual,
            residual_weight: config.moe_weight,
        }
    }

    /// How many experts there are.
    #[must_use]
    pub fn num_experts(&self) -> usize {
        self.experts.down_proj.lazy_shape()[0]
    }

    /// Eq. 2 and 3: which experts this question asks for.
    ///
    /// # Shapes
    ///
    /// - image_features: `[images, tokens, hidden]`, projected, class token in row 0
    /// - text_embeds: `[images, text, hidden]`, each picture's own question
    /// - text_mask: `[images, text]`, true where there is a token; `None`: everywhere
    ///
    /// A question without tokens attends to nothing: `H'_v` = 0 and, the router having no bias, every
    /// expert gets the same weight, as in the reference.
    #[must_use]
    pub fn route(
        &self,
        image_features: Tensor<3>,
        text_embeds: Tensor<3>,
        text_mask: Option<Tensor<2, Bool>>,
    ) -> Routing {
        let [images, text, hidden] = text_embeds.dims();
        let class = image_features.slice(s![.., 0..1, ..]);
        let scores = class.matmul(text_embeds.clone().swap_dims(1, 2)) / (hidden as f64).sqrt();
        let mut attn_scores = scores.reshape([images, text]);
        if let Some(mask) = &text_mask {
            attn_scores = attn_scores.mask_fill(mask.clone().bool_not(), MASKED);
        }
        let mut attn_weights = softmax(attn_scores.clone(), 1);
        if let Some(mask) = text_mask {
            attn_weights = attn_weights.mask_fill(mask.bool_not(), 0.0);
        }
        let gating_embeds =
            attn_weights.clone().unsqueeze_dim::<3>(1).matmul(text_embeds).reshape([images, hidden]);
        // So small that its activations need not be rounded, whatever it is held in.
        let gate = self.gate.weight.val().cast(gating_embeds.dtype());
        let router_logits = matmul(gating_embeds.clone(), gate);
        let routing_weights = softmax(router_logits.clone(), 1);
        Routing { attn_scores, attn_weights, gating_embeds, router_logits, routing_weights }
    }

    /// `Eₑ(H_v)` of every expert: a property of the picture alone.
    ///
    /// # Shapes
    ///
    /// - image_features: `[images, tokens, hidden]`
    /// - output: `[images, experts, tokens, hidden]`
    #[must_use]
    pub fn experts(&self, image_features: Tensor<3>) -> Tensor<4> {
        self.experts.forward(image_features)
    }

    /// Eq. 4 and 5: the visual tokens that this question sees.
    ///
    /// # Shapes
    ///
    /// - image_features: `[images, tokens, hidden]`
    /// - experts_output: `[images, experts, tokens, hidden]`, from [`experts`](Self::experts)
    /// - routing_weights: `[images, experts]`, from [`route`](Self::route)
    /// - output: `[images, tokens, hidden]`
    #[must_use]
    pub fn mix(
        &self,
        image_features: Tensor<3>,
        experts_output: Tensor<4>,
        routing_weights: Tensor<2>,
    ) -> Tensor<3> {
        let [images, experts, tokens, hidden] = experts_output.dims();
        // Σₑ wₑ · Eₑ as one product: [images, 1, experts] × [images, experts, tokens · hidden].
        let mixed = routing_weights
            .unsqueeze_dim::<3>(1)
            .matmul(experts_output.reshape([images, experts, tokens * hidden]))
            .reshape([images, tokens, hidden]);
        if self.residual { mixed + image_features * self.residual_weight } else { mixed }
    }
}

/// The language-specific experts, `W_down (silu(W_gate x) ⊙ W_up x)` each.
///
/// A checkpoint has three matrices per expert, `experts.<e>.{gate,up,down}_proj`. Here those of all experts are one tensor,
/// so that there are three products instead of eighteen.
#[derive(Module, Debug)]
struct Experts {
    /// `[experts, intermediate, hidden]`
    gate_proj: Param<Tensor<3>>,
    /// `[experts, intermediate, hidden]`
    up_proj: Param<Tensor<3>>,
    /// `[experts, hidden, intermediate]`
    down_proj: Param<Tensor<3>>,
}

impl Experts {
    fn init([experts, hidden, intermediate]: [usize; 3], device: &Device) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std: INITIALIZER_RANGE };
        Self {
            gate_proj: normal.init([experts, intermediate, hidden], device),
            up_proj: normal.init([experts, intermediate, hidden], device),
            down_proj: normal.init([experts, hidden, intermediate], device),
        }
    }

    /// # Shapes
    ///
    /// - x: `[images, tokens, hidden]`
    /// - output: `[images, experts, tokens, hidden]`
    fn forward(&self, x: Tensor<3>) -> Tensor<4> {
        let [images, tokens, hidden] = x.dims();
        let [experts, _, intermediate] = self.down_proj.lazy_shape().dims();
        let positions = images * tokens;
        let x = x.reshape([positions, hidden]);
        // All experts read the same: their rows side by side are one matrix.
        let widen = |weight: &Param<Tensor<3>>| {
            let weight = weight.val().reshape([experts * intermediate, hidden]);
            matmul(x.clone(), weight.transpose())
        };
        let inner = silu_product(widen(&self.gate_proj), widen(&self.up_proj));
        let inner = inner.reshape([positions, experts, intermediate]).swap_dims(0, 1);
        let outputs = matmul(inner, self.down_proj.val().swap_dims(1, 2));
        outputs.reshape([experts, images, tokens, hidden]).swap_dims(0, 1)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, Tolerance};

    use super::*;
    use crate::config::DecoderConfig;

    fn moe(device: &Device) -> TextGuidedMoe {
        let config = ParrotConfig {
            decoder: DecoderConfig { hidden_size: 16, num_attention_heads: 2, ..DecoderConfig::default() },
            moe_hidden_size: Some(16),
            moe_intermediate_size: Some(24),
            num_experts: Some(6),
            ..ParrotConfig::parrot_mini()
        };
        TextGuidedMoe::init(&config, device)
    }

    fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
    }

    #[test]
    fn padding_the_question_changes_nothing() {
        let device = Device::default();
        let moe = moe(&device);
        let features = random([1, 5, 16], &device);
        let text = random([1, 4, 16], &device);
        let alone = moe.route(features.clone(), text.clone(), None).routing_weights;
        let padded = Tensor::cat(vec![text, random([1, 3, 16], &device)], 1);
        let mask = Tensor::<2, Int>::from_data([[1, 1, 1, 1, 0, 0, 0]], &device).bool();
        let masked = moe.route(features, padded, Some(mask)).routing_weights;
        masked.into_data().assert_approx_eq::<f32>(&alone.into_data(), Tolerance::absolute(1e-6));
    }

    #[test]
    fn a_question_without_tokens_weighs_all_experts_alike() {
        let device = Device::default();
        let moe = moe(&device);
        let mask = Tensor::<2, Int>::from_data([[0, 0]], &device).bool();
        let routing = moe.route(random([1, 5, 16], &device), random([1, 2, 16], &device), Some(mask));
        let uniform = Tensor::<2>::full([1, 6], 1.0 / 6.0, &device);
        routing
            .routing_weights
            .into_data()
            .assert_approx_eq::<f32>(&uniform.into_data(), Tolerance::absolute(1e-7));
    }
}
