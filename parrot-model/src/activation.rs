//! GELU with its own derivative.

use std::f64::consts::SQRT_2;

use burn::prelude::*;
use burn::tensor::activation;

/// `x · Φ(x)`, the exact GELU of PyTorch's `nn.GELU()`.
///
/// Where a gradient is wanted it is composed of Burn's operations: on the GPU backends, Burn 0.22 differentiates its own
/// exact GELU as if it were the tanh approximation, and the projector's gradients are up to a thousandth off.
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !x.is_tracked() {
        return activation::gelu(x);
    }
    let cdf = (x.clone() / SQRT_2).erf().add_scalar(1.0) * 0.5;
    x * cdf
}

#[cfg(test)]
mod tests {
    use super::*;

    /// φ(x) is the normal density, Φ(x) its integral: the derivative is Φ(x) + x φ(x). Values from their definitions.
    #[test]
    fn value_and_derivative_are_exact() {
        let x = [-3.0f32, -1.0, -0.2, 0.0, 0.5, 1.0, 2.5];
        let phi = [0.001_349_898, 0.158_655_25, 0.420_740_3, 0.5, 0.691_462_46, 0.841_344_7, 0.993_790_3];
        let tracked = Tensor::<1>::from_data(x, &Device::default().autodiff()).require_grad();
        let y = gelu(tracked.clone());
        let gradients = y.clone().sum().backward();
        let derivative: Vec<f32> = tracked.grad(&gradients).unwrap().into_data().iter().collect();
        let plain: Vec<f32> =
            gelu(Tensor::<1>::from_data(x, &Device::default())).into_data().iter().collect();
        let y: Vec<f32> = y.inner().into_data().iter().collect();
        for i in 0..x.len() {
            let density = (-x[i] * x[i] / 2.0).exp() / (2.0 * std::f32::consts::PI).sqrt();
            assert!((y[i] - x[i] * phi[i]).abs() < 1e-6 && (plain[i] - y[i]).abs() < 1e-6, "GELU({})", x[i]);
            let expected = phi[i] + x[i] * density;
            assert!((derivative[i] - expected).abs() < 1e-6, "{} should be {expected}", derivative[i]);
        }
    }
}
