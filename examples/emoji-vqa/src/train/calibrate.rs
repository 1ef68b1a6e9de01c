//! A fresh projector, fitted to what comes in and to what is to come out.

use burn::prelude::*;
use burn::tensor::activation::gelu;
use parrot_model::projector::Projector;

/// Scales and shifts freshly made layers so that typical features become what a decoder is used to: zero on average, with
/// the root mean square of its token embeddings; between layers, zero and one. A tower's features have a large common part
/// and any size; without this a small decoder first has to unlearn both. (Our own decision; the reference starts from
/// PyTorch's initialisation.)
///
/// # Shapes
///
/// - features: `[images, tokens, vision_hidden]`, of a few images, without autodiff as the projector is
pub(crate) fn calibrated(mut projector: Projector, features: Tensor<3>, embedding_rms: f64) -> Projector {
    let last = projector.layers.len().saturating_sub(1);
    let mut x: Tensor<2> = features.flatten(0, 1);
    for (index, layer) in projector.layers.iter_mut().enumerate() {
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
    projector
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;
    use parrot_model::config::ProjectorKind;

    use super::*;

    /// Features with a large common part come out centred and as large as asked for, whatever the depth.
    #[test]
    fn calibration_centres_and_scales() {
        let device = Device::default();
        let features = Tensor::<3>::random([4, 32, 12], Distribution::Normal(9.0, 3.0), &device);
        for kind in [ProjectorKind::Linear, ProjectorKind::Mlp(2), ProjectorKind::Mlp(3)] {
            let projector = calibrated(Projector::init(kind, 12, 20, &device), features.clone(), 0.25);
            let output = projector.forward(features.clone()).flatten::<2>(0, 1);
            let largest_mean = output.clone().mean_dim(0).abs().max().into_scalar::<f64>();
            let rms = output.square().mean().sqrt().into_scalar::<f64>();
            assert!(largest_mean < 1e-4, "{kind:?}: {largest_mean}");
            assert!((rms - 0.25).abs() < 1e-4, "{kind:?}: {rms}");
        }
        let identity = Projector::init(ProjectorKind::Identity, 12, 12, &device);
        let unchanged = calibrated(identity, features.clone(), 0.25).forward(features.clone());
        assert_eq!(unchanged.into_data(), features.into_data());
    }
}
