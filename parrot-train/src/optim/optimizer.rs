//! What all rules share: state by parameter, f32 masters, the walk through a module.
//!
//! State is kept under the parameters' names rather than Burn's parameter ids, so that a run resumes in another
//! process, from plain safetensors. Updates are counted per parameter, as in torch, so that one whose first gradient
//! comes late starts just as gently.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};

use super::{OptimizerConfig, adafactor, adamw};

/// An optimizer and its state.
#[derive(Debug, Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// Updates done, of whichever parameters.
    steps: usize,
    state: BTreeMap<String, ParameterState>,
}

/// One parameter's state, flattened from its stored layout.
#[derive(Debug, Clone)]
pub struct ParameterState {
    /// t: updates of this parameter.
    pub steps: usize,
    /// What the rule keeps, by the names of [`OptimizerConfig::parts`]. `[elements]`, f32
    pub parts: BTreeMap<&'static str, Tensor<1>>,
    /// The exact parameter, where the model holds it in less than f32. `[elements]`
    pub master: Option<Tensor<1>>,
}

impl Optimizer {
    /// One that has not seen any gradient.
    #[must_use]
    pub fn new(config: impl Into<OptimizerConfig>) -> Self {
        Self { config: config.into(), steps: 0, state: BTreeMap::new() }
    }

    /// One that goes on from saved state.
    #[must_use]
    pub fn resume(config: OptimizerConfig, steps: usize, state: BTreeMap<String, ParameterState>) -> Self {
        Self { config, steps, state }
    }

    /// Its rule and constants.
    #[must_use]
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Updates done so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The state of every parameter that has had a gradient, by its path in the module.
    #[must_use]
    pub fn state(&self) -> &BTreeMap<String, ParameterState> {
        &self.state
    }

    /// Forgets all state but that of these parameters.
    pub fn retain(&mut self, parameters: &BTreeSet<String>) {
        self.state.retain(|name, _| parameters.contains(name));
    }

    /// Moves every parameter that has a gradient. Parameters without one stay as they are.
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
        self.step_only(module, gradients, learning_rate, gradient_scale, None)
    }

    /// [`step`](Self::step) for some of the parameters: the others, whoever moves them, stay as they are.
    #[must_use]
    pub(crate) fn step_only<M: Module>(
        &mut self,
        module: M,
        gradients: GradientsParams,
        learning_rate: f64,
        gradient_scale: Option<Tensor<1>>,
        only: Option<&BTreeSet<String>>,
    ) -> M {
        self.steps += 1;
        let mut update = Update {
            only,
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
    only: Option<&'a BTreeSet<String>>,
    config: OptimizerConfig,
    state: &'a mut BTreeMap<String, ParameterState>,
    gradients: GradientsParams,
    learning_rate: f64,
    gradient_scale: Option<Tensor<1>>,
    path: Vec<String>,
}

impl Update<'_> {
    /// Updates one parameter, taken and returned flat; `shape` is that of its stored layout.
    fn apply(
        &self,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        shape: &[usize],
        state: Option<ParameterState>,
    ) -> (Tensor<1>, ParameterState) {
        let dtype = parameter.dtype();
        let mut gradient = gradient.cast(FloatDType::F32);
        if let Some(scale) = &self.gradient_scale {
            gradient = gradient * scale.clone();
        }
        let ParameterState { steps, mut parts, master } =
            state.unwrap_or_else(|| ParameterState { steps: 0, parts: BTreeMap::new(), master: None });
        let steps = steps + 1;
        let exact = master.unwrap_or_else(|| parameter.cast(FloatDType::F32));
        let rate = self.learning_rate;
        let exact = match &self.config {
            OptimizerConfig::AdamW(config) => adamw::update(config, exact, gradient, &mut parts, steps, rate),
            OptimizerConfig::Adafactor(config) => {
                adafactor::update(config, exact, gradient, shape, &mut parts, steps, rate)
            }
        };
        let master = (dtype != DType::F32).then(|| exact.clone());
        (exact.cast(dtype), ParameterState { steps, parts, master })
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
        if self.only.is_some_and(|only| !only.contains(&name)) {
            return param;
        }
        let (id, tensor, mapper) = param.consume();
        // In the stored layout, so that neither the weights' layout nor the state's changes with a step.
        let tensor = mapper.on_save(tensor.inner());
        let gradient = mapper.on_save(gradient);
        let shape = tensor.dims();
        let state = self.state.remove(&name);
        let (updated, state) = self.apply(tensor.reshape([-1]), gradient.reshape([-1]), &shape, state);
        self.state.insert(name, state);
        let tensor = Tensor::from_inner(mapper.on_load(updated.reshape(shape))).require_grad();
        Param::from_mapped_value(id, tensor, mapper)
    }
}
