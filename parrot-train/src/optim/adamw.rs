//! AdamW with moments in f32, and f32 master weights for parameters held in less.
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
//! p ← (1 − lr·λ) p − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
//! ```
//!
//! t counts a parameter's own updates, as torch does: one whose first gradient comes late starts as gently.
//!
//! State is kept under the parameters' names rather than Burn's parameter ids, so that a run resumes in
//! another process, from plain safetensors.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};

/// The constants of [`AdamW`]; the defaults are torch's and the paper's (no weight decay).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// β₁.
    pub beta1: f64,
    /// β₂.
    pub beta2: f64,
    /// ε.
    pub epsilon: f64,
    /// λ, applied to every parameter.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The optimizer and its state.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: AdamWConfig,
    /// Updates done, of whichever parameters.
    steps: usize,
    state: BTreeMap<String, Moments>,
}

/// One parameter's state, flattened from its stored layout.
#[derive(Debug, Clone)]
pub struct Moments {
    /// t: updates of this parameter.
    pub steps: usize,
    /// m. `[elements]`, f32
    pub first: Tensor<1>,
    /// v. `[elements]`, f32
    pub second: Tensor<1>,
    /// The exact parameter, where the model holds it in less than f32. `[elements]`
    pub master: Option<Tensor<1>>,
}

impl AdamW {
    /// An optimizer that has not seen any gradient.
    #[must_use]
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, steps: 0, state: BTreeMap::new() }
    }

    /// One that goes on from saved state.
    #[must_use]
    pub fn resume(config: AdamWConfig, steps: usize, state: BTreeMap<String, Moments>) -> Self {
        Self { config, steps, state }
    }

    /// Updates done so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The state of every parameter that has had a gradient, by its path in the module.
    #[must_use]
    pub fn state(&self) -> &BTreeMap<String, Moments> {
        &self.state
    }

    /// Moves every parameter that has a gradient. Parameters without one stay as they are.
    ///
    /// - gradient_scale: multiplied into every gradient, from
    ///   [`clip_factor`](super::GradientNorm::clip_factor). `[1]`
    #[must_use]
    pub fn step<M: Module>(
        &mut self,
        module: M,
        gradients: GradientsParams,
        learning_rate: f64,
        gradient_scale: Option<Tensor<1>>,
    ) -> M {
        self.steps += 1;
        let mut update = Update {
            config: self.config,
            state: &mut self.state,
            gradients,
            learning_rate,
            gradient_scale,
            path: Vec::new(),
        };
        module.map(&mut update)
    }
}

/// One step over all parameters.
struct Update<'a> {
    config: AdamWConfig,
    state: &'a mut BTreeMap<String, Moments>,
    gradients: GradientsParams,
    learning_rate: f64,
    gradient_scale: Option<Tensor<1>>,
    path: Vec<String>,
}

impl Update<'_> {
    /// The formulas at the top of this file, for one parameter.
    fn apply(
        &self,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<Moments>,
    ) -> (Tensor<1>, Moments) {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let dtype = parameter.dtype();
        let mut gradient = gradient.cast(FloatDType::F32);
        if let Some(scale) = &self.gradient_scale {
            gradient = gradient * scale.clone();
        }
        let squared = gradient.clone().square() * (1.0 - beta2);
        let scaled = gradient * (1.0 - beta1);
        let (steps, first, second, master) = match moments {
            Some(Moments { steps, first, second, master }) => {
                (steps + 1, first * beta1 + scaled, second * beta2 + squared, master)
            }
            None => (1, scaled, squared, None),
        };
        let bias_correction1 = 1.0 - beta1.powi(steps as i32);
        let bias_correction2 = 1.0 - beta2.powi(steps as i32);
        let exact = master.unwrap_or_else(|| parameter.cast(FloatDType::F32));
        let denominator = (second.clone() / bias_correction2).sqrt() + epsilon;
        let change = first.clone() / denominator * (self.learning_rate / bias_correction1);
        let decay = self.learning_rate * weight_decay;
        let exact = if decay == 0.0 { exact } else { exact * (1.0 - decay) } - change;
        let master = (dtype != DType::F32).then(|| exact.clone());
        (exact.cast(dtype), Moments { steps, first, second, master })
    }
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let name = self.path.join(".");
        let (id, tensor, mapper) = param.consume();
        // In the stored layout, so that neither the weights' layout nor the state's changes with a step.
        let tensor = mapper.on_save(tensor.inner());
        let gradient = mapper.on_save(gradient);
        let shape = tensor.dims();
        let moments = self.state.remove(&name);
        let (updated, moments) = self.apply(tensor.reshape([-1]), gradient.reshape([-1]), moments);
        self.state.insert(name, moments);
        let tensor = Tensor::from_inner(mapper.on_load(updated.reshape(shape))).require_grad();
        Param::from_mapped_value(id, tensor, mapper)
    }
}
