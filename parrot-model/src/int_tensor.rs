//! Integers that were computed on the host, as a tensor.

use burn::prelude::*;

/// Token ids, row numbers or a mask as a tensor; without autodiff even if `device` has it, for integers have no gradients.
///
/// # Shapes
///
/// - values and output: `[count]`
#[must_use]
pub fn int_tensor(values: &[i64], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(values, &device.clone().inner())
}
