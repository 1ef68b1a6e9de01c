//! The projector: vision width → decoder width, `H_v = W₂ GELU(W₁ Z_v)` for `mlp2x_gelu`.

use burn::nn::Linear;
use burn::prelude::*;

use crate::config::ProjectorKind;
use crate::linear::{self, INITIALIZER_RANGE, linear_with_bias};
use crate::ops::gelu;

/// A chain of linear layers with GELU between them; empty for `identity`.
#[derive(Module, Debug)]
pub struct Projector {
    /// The linear layers, first to last.
    pub layers: Vec<Linear>,
    /// Only to name the weights as the checkpoint does: `mm_projector.weight` or `mm_projector.0.weight`.
    #[module(skip)]
    pub(crate) kind: ProjectorKind,
}

impl Projector {
    /// Builds a projector from `vision_hidden` to `hidden` wide features.
    #[must_use]
    pub fn init(kind: ProjectorKind, vision_hidden: usize, hidden: usize, device: &Device) -> Self {
        let layers = (0..kind.depth())
            .map(|i| if i == 0 { vision_hidden } else { hidden })
            .map(|d_input| linear_with_bias(d_input, hidden, INITIALIZER_RANGE, device))
            .collect();
        Self { layers, kind }
    }

    /// # Shapes
    ///
    /// - features: `[images, tokens, vision_hidden]`
    /// - output: `[images, tokens, hidden]`
    #[must_use]
    pub fn forward(&self, features: Tensor<3>) -> Tensor<3> {
        let mut layers = self.layers.iter();
        let Some(first) = layers.next() else { return features };
        layers.fold(linear::forward(first, features), |x, layer| linear::forward(layer, gelu(x)))
    }
}
