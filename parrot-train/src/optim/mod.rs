//! How weights move: an [`Optimizer`] with the rule of [AdamW](adamw) or [Adafactor](adafactor), the
//! [learning rate's schedule](schedule) and [clipping by the global norm](clip).
//!
//! Memory beside the weights, in bytes a parameter: AdamW 8, Adafactor next to nothing for matrices, and 4 more for
//! the f32 master of a weight that is held in less. There is no AdamW with 8-bit moments: Burn 0.22 quantises
//! linearly, which rounds the small second moments of a block to zero and then divides by them; the published
//! optimizers need a non-linear code, and kernels of their own for it.

pub mod adafactor;
pub mod adamw;
pub mod clip;
mod optimizer;
pub mod schedule;

use serde::{Deserialize, Serialize};

pub use adafactor::AdafactorConfig;
pub use adamw::AdamWConfig;
pub use clip::GradientNorm;
pub use optimizer::{Optimizer, ParameterState};
pub use schedule::CosineSchedule;

/// Which rule, and its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Two moments per parameter; what the paper trains with.
    AdamW(AdamWConfig),
    /// Row and column means instead of a matrix's second moment: for models that barely fit.
    Adafactor(AdafactorConfig),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::AdamW(AdamWConfig::default())
    }
}

impl From<AdamWConfig> for OptimizerConfig {
    fn from(config: AdamWConfig) -> Self {
        Self::AdamW(config)
    }
}

impl From<AdafactorConfig> for OptimizerConfig {
    fn from(config: AdafactorConfig) -> Self {
        Self::Adafactor(config)
    }
}

impl OptimizerConfig {
    /// The name that recipes and checkpoints know it by.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::AdamW(_) => "adamw",
            Self::Adafactor(_) => "adafactor",
        }
    }

    /// The parts of a parameter's state and how many elements each has, masters left out.
    ///
    /// - shape: of the parameter as it is stored
    #[must_use]
    pub fn parts(&self, shape: &[usize]) -> Vec<(&'static str, usize)> {
        match self {
            Self::AdamW(_) => adamw::parts(shape),
            Self::Adafactor(_) => adafactor::parts(shape),
        }
    }

    /// The constants: name, value, what is allowed, and whether the value is.
    pub(crate) fn constants(&self) -> Vec<(&'static str, f64, &'static str, bool)> {
        let share = |key, value: f64| (key, value, "from 0 to below 1", (0.0..1.0).contains(&value));
        let of_epsilon = |value: f64| ("optimizer.epsilon", value, "a number from 0 up", value >= 0.0);
        // With a learning rate of 1e-3 a weight would be gone in one step.
        let of_decay = |value: f64| {
            let allowed = (0.0..=1000.0).contains(&value);
            ("optimizer.weight_decay", value, "a number from 0 to 1000", allowed)
        };
        match *self {
            Self::AdamW(AdamWConfig { beta1, beta2, epsilon, weight_decay }) => vec![
                share("optimizer.beta1", beta1),
                share("optimizer.beta2", beta2),
                of_epsilon(epsilon),
                of_decay(weight_decay),
            ],
            Self::Adafactor(AdafactorConfig { decay, epsilon, clip_threshold, weight_decay }) => vec![
                ("optimizer.decay", decay, "from -1 to below 0", (-1.0..0.0).contains(&decay)),
                of_epsilon(epsilon),
                ("optimizer.clip_threshold", clip_threshold, "a number above 0", clip_threshold > 0.0),
                of_decay(weight_decay),
            ],
        }
    }
}
