//! The projector: vision width → decoder width, `H_v = W₂ GELU(W₁ Z_v)` for `mlp2x_gelu`.

use burn::nn::Linear;
use burn::prelude::*;

use crate::linear::{self, INITIALIZER_RANGE, linear};
use crate::ops::gelu;
use crate::{Error, Result};

/// What `mm_projector_type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectorKind {
    /// The features as they are.
    Identity,
    /// One linear layer.
    Linear,
    /// `N` linear layers with exact GELU between them.
    Mlp(usize),
}

impl ProjectorKind {
    /// Reads `identity`, `linear` or `mlp<N>x_gelu`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for anything else.
    pub fn parse(name: &str) -> Result<Self> {
        let depth = |name: &str| {
            let digits = name.strip_prefix("mlp")?.strip_suffix("x_gelu")?;
            digits.parse().ok().filter(|depth| (1..=16).contains(depth))
        };
        match name {
            "identity" => Ok(Self::Identity),
            "linear" => Ok(Self::Linear),
            name => depth(name).map(Self::Mlp).ok_or_else(|| {
                Error::config("mm_projector_type", "identity, linear or mlp<N>x_gelu (N from 1 to 16)", name)
            }),
        }
    }

    fn depth(self) -> usize {
        match self {
            Self::Identity => 0,
            Self::Linear => 1,
            Self::Mlp(depth) => depth,
        }
    }
}

/// A chain of linear layers with GELU between them; empty for `identity`.
#[derive(Module, Debug)]
pub struct Projector {
    layers: Vec<Linear>,
    /// Only to name the weights as the checkpoint does: `mm_projector.weight` or `mm_projector.0.weight`.
    #[module(skip)]
    pub(crate) kind: ProjectorKind,
}

impl Projector {
    /// Builds a projector from `vision_hidden` to `hidden` wide features.
    #[must_use]
    pub fn init(kind: ProjectorKind, vision_hidden: usize, hidden: usize, device: &Device) -> Self {
        let layers = (0..kind.depth())
            .map(|i| {
                linear(if i == 0 { vision_hidden } else { hidden }, hidden, true, INITIALIZER_RANGE, device)
            })
            .collect();
        Self { layers, kind }
    }

    /// Scales and shifts freshly made layers so that typical features become what a decoder is used to: zero on
    /// average, with the root mean square of its token embeddings; between layers, zero and one. A tower's
    /// features have a large common part and any size; without this a small decoder first has to unlearn both
    /// (our own decision; the reference starts from PyTorch's initialisation).
    ///
    /// # Shapes
    ///
    /// - features: `[pictures, tokens, vision_hidden]`, of a few pictures, without autodiff as the projector is
    #[must_use]
    pub fn calibrated(mut self, features: Tensor<3>, embedding_rms: f64) -> Self {
        let last = self.layers.len().saturating_sub(1);
        let mut x: Tensor<2> = features.flatten(0, 1);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let input = if index == 0 { x } else { gelu(x) };
            let output = layer.forward(input);
            let mean = output.clone().mean_dim(0);
            let centered = output - mean.clone();
            let target = if index == last { embedding_rms } else { 1.0 };
            let scale = target / centered.clone().square().mean().sqrt().into_scalar::<f64>().max(1e-6);
            layer.weight = layer.weight.clone().map(|weight| weight * scale);
            layer.bias = layer.bias.take().map(|bias| bias.map(|bias| (bias - mean.squeeze_dim(0)) * scale));
            x = centered * scale;
        }
        self
    }

    /// # Shapes
    ///
    /// - features: `[pictures, tokens, vision_hidden]`
    /// - output: `[pictures, tokens, hidden]`
    #[must_use]
    pub fn forward(&self, features: Tensor<3>) -> Tensor<3> {
        let mut layers = self.layers.iter();
        let Some(first) = layers.next() else { return features };
        layers.fold(linear::forward(first, features), |x, layer| linear::forward(layer, gelu(x)))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    /// Features with a large common part come out centred and as large as asked for, whatever the depth.
    #[test]
    fn calibration_centres_and_scales() {
        let device = Device::default();
        let features = Tensor::<3>::random([4, 32, 12], Distribution::Normal(9.0, 3.0), &device);
        for kind in [ProjectorKind::Linear, ProjectorKind::Mlp(2), ProjectorKind::Mlp(3)] {
            let projector = Projector::init(kind, 12, 20, &device).calibrated(features.clone(), 0.25);
            let output = projector.forward(features.clone()).flatten::<2>(0, 1);
            let largest_mean = output.clone().mean_dim(0).abs().max().into_scalar::<f64>();
            let rms = output.square().mean().sqrt().into_scalar::<f64>();
            assert!(largest_mean < 1e-4, "{kind:?}: {largest_mean}");
            assert!((rms - 0.25).abs() < 1e-4, "{kind:?}: {rms}");
        }
        let identity = Projector::init(ProjectorKind::Identity, 12, 12, &device);
        let unchanged = identity.calibrated(features.clone(), 0.25).forward(features.clone());
        assert_eq!(unchanged.into_data(), features.into_data());
    }
}
