//! How precisely a network computes, given the dtype of its weights.

use burn::tensor::{Device, FloatDType};

use super::float_dtype::is_cpu;
use super::found::found;
use super::weight_dtype::WeightDtype;
use crate::quantization::BlockFormat;

/// What a device rounds the operands of its matrix products to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// No rounding: 24 binary digits.
    F32,
    /// 11 digits, of numbers held in f32: NVIDIA's matrix units since Ampere, whose kernels Burn measures along with
    /// others and takes where they are the fastest.
    Tf32,
    /// 11 digits.
    F16,
    /// 8 digits.
    Bf16,
    /// Weights in blocks of 8 bits. On the CPU activations as well; GPUs round none.
    Q8,
    /// Weights in blocks of 4 bits, and on the CPU activations in blocks of 8.
    Q4,
}

impl Precision {
    /// The precision of a network on `device` whose weights are held in `dtype`.
    #[must_use]
    pub fn for_weights(device: &Device, dtype: impl Into<WeightDtype>) -> Self {
        match dtype.into() {
            WeightDtype::Blocks(BlockFormat::Q8) => Self::Q8,
            WeightDtype::Blocks(BlockFormat::Q4) => Self::Q4,
            WeightDtype::Float(FloatDType::F16) => Self::F16,
            WeightDtype::Float(FloatDType::BF16) => Self::Bf16,
            _ if found(device).is_some_and(|found| found.rounds_to_tf32()) => Self::Tf32,
            _ => Self::F32,
        }
    }
}

/// The dtype of all that is no weight of a product in a network that `device` holds in `dtype`: activations, norms, biases.
///
/// On the CPU that is f32: its kernels multiply f32 with weights of any width, which are what takes memory and time to
/// read. Everywhere else it is `dtype`.
#[must_use]
pub fn activation_dtype(device: &Device, dtype: impl Into<WeightDtype>) -> FloatDType {
    if is_cpu(device) { FloatDType::F32 } else { dtype.into().float() }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_computes_in_f32() {
        let cpu = Device::flex();
        for dtype in [FloatDType::F32, FloatDType::F16, FloatDType::BF16] {
            assert_eq!(activation_dtype(&cpu, dtype), FloatDType::F32);
            assert_eq!(activation_dtype(&cpu.clone().autodiff(), dtype), FloatDType::F32);
        }
    }
}
