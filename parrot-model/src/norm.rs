//! Norms whose statistics are f32 whatever the weights are held in, as in PyTorch and the reference.
//!
//! Burn's norms are less precise: its layer norm in bf16 has mean and variance in bf16, and its RMS norm divides by a root that
//! was rounded to the input's dtype. In f32 there is no difference.

use burn::module::Param;
use burn::nn::Initializer;
use burn::prelude::*;
use burn::tensor::module::layer_norm;
use burn::tensor::{DType, assert_shape};

use crate::ops::rms_norm;

/// `(x − mean) / √(variance + ε) · γ + β`, all of it in f32, then rounded.
#[derive(Module, Debug)]
pub(crate) struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    eps: f64,
}

impl LayerNorm {
    /// γ = 1, β = 0.
    pub(crate) fn init(features: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([features], device),
            bias: Initializer::Zeros.init([features], device),
            eps,
        }
    }

    /// Each row of the last axis normalized on its own.
    ///
    /// # Shapes
    ///
    /// - x and output: `[…, features]`
    ///
    /// # Panics
    ///
    /// If x has another number of features.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        assert_shape!(x, [.., self.weight.lazy_shape()[0]]);
        let dtype = x.dtype();
        let wide = |parameter: &Param<Tensor<1>>| parameter.val().cast(DType::F32);
        layer_norm(x.cast(DType::F32), wide(&self.weight), Some(wide(&self.bias)), self.eps).cast(dtype)
    }
}

/// `x / √(mean(x²) + ε) · γ`, in f32 but for the product with γ.
#[derive(Module, Debug)]
pub(crate) struct RmsNorm {
    weight: Param<Tensor<1>>,
    eps: f64,
}

impl RmsNorm {
    /// γ = 1.
    pub(crate) fn init(features: usize, eps: f64, device: &Device) -> Self {
        Self { weight: Initializer::Ones.init([features], device), eps }
    }

    /// What it is held in, and with it the activations that it reads.
    pub(crate) fn dtype(&self) -> DType {
        self.weight.val().dtype()
    }

    /// Each row of the last axis normalized on its own.
    ///
    /// # Shapes
    ///
    /// - x and output: `[…, features]`
    ///
    /// # Panics
    ///
    /// If x has another number of features.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        assert_shape!(x, [.., self.weight.lazy_shape()[0]]);
        let (dtype, weight) = (x.dtype(), self.weight.val());
        if [dtype, weight.dtype()] == [DType::F32; 2] {
            return rms_norm(x, weight, self.eps);
        }
        let x = x.cast(DType::F32);
        let root = (x.clone().square().mean_dim(D - 1) + self.eps).sqrt();
        (x / root).cast(dtype) * weight.unsqueeze()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    #[test]
    fn in_half_precision_only_the_result_is_rounded() {
        let device = Device::default();
        let narrow = |x: Tensor<2>| x.cast(DType::BF16);
        let narrowed = |parameter: Param<Tensor<1>>| parameter.map(|values| values.cast(DType::BF16));
        let wide = |x: Tensor<2>| x.cast(DType::F32);
        // Far from zero, so that a mean that was rounded shows.
        let x: Tensor<2> = Tensor::random([4, 257], Distribution::Normal(60.0, 1.0), &device);
        let x = wide(narrow(x));
        let layer = LayerNorm::init(257, 1e-5, &device);
        let rms = RmsNorm::init(257, 1e-6, &device);
        let expected = [layer.forward(x.clone()), rms.forward(x.clone())].map(narrow);
        let layer = LayerNorm { weight: narrowed(layer.weight), bias: narrowed(layer.bias), eps: layer.eps };
        let rms = RmsNorm { weight: narrowed(rms.weight), eps: rms.eps };
        let found = [layer.forward(narrow(x.clone())), rms.forward(narrow(x))];
        for (found, expected) in found.into_iter().zip(expected) {
            assert_eq!(found.dtype(), DType::BF16);
            assert_eq!(wide(found).into_data(), wide(expected).into_data());
        }
    }
}
