//! Clipping by the global norm: `g ← g · min(1, max_norm / (‖g‖ + 10⁻⁶))` with one norm over all
//! gradients, as `torch.nn.utils.clip_grad_norm_` does. (Burn's own clipping takes each tensor's norm.)

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::FloatDType;

/// The norm of all gradients, still on the device: nothing is read back until somebody wants it.
#[derive(Debug, Clone)]
pub struct GradientNorm {
    /// `[1]`, f32.
    pub norm: Tensor<1>,
}

impl GradientNorm {
    /// Measures the gradients of a module's parameters; `None` when there are none.
    #[must_use]
    pub fn measure<M: Module>(module: &M, gradients: &GradientsParams) -> Option<Self> {
        let mut visitor = SumOfSquares { gradients, sum: None };
        module.visit(&mut visitor);
        visitor.sum.map(|sum| Self { norm: sum.sqrt() })
    }

    /// The factor that brings the norm down to `max_norm`, or 1. `[1]`, f32
    #[must_use]
    pub fn clip_factor(&self, max_norm: f64) -> Tensor<1> {
        (self.norm.clone() + 1e-6).recip().mul_scalar(max_norm).clamp_max(1.0)
    }
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let squares = gradient.cast(FloatDType::F32).square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + squares,
                None => squares,
            });
        }
    }
}
