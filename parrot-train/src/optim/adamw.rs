//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), as torch computes it.
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
//! p ← (1 − lr·λ) p − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
//! ```

use std::collections::BTreeMap;

use burn::prelude::*;
use serde::{Deserialize, Serialize};

/// The constants; the defaults are torch's and the paper's (no weight decay).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

pub(super) fn parts(shape: &[usize]) -> Vec<(&'static str, usize)> {
    let elements = shape.iter().product();
    vec![("m", elements), ("v", elements)]
}

/// The formulas at the top of this file for one parameter, the `t`-th time.
pub(super) fn update(
    config: &AdamWConfig,
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    parts: &mut BTreeMap<&'static str, Tensor<1>>,
    t: usize,
    learning_rate: f64,
) -> Tensor<1> {
    let AdamWConfig { beta1, beta2, epsilon, weight_decay } = *config;
    let squared = gradient.clone().square() * (1.0 - beta2);
    let scaled = gradient * (1.0 - beta1);
    let (first, second) = match (parts.remove("m"), parts.remove("v")) {
        (Some(first), Some(second)) => (first * beta1 + scaled, second * beta2 + squared),
        _ => (scaled, squared),
    };
    let bias_correction1 = 1.0 - beta1.powi(t as i32);
    let bias_correction2 = 1.0 - beta2.powi(t as i32);
    let denominator = (second.clone() / bias_correction2).sqrt() + epsilon;
    let change = first.clone() / denominator * (learning_rate / bias_correction1);
    parts.insert("m", first);
    parts.insert("v", second);
    let decay = learning_rate * weight_decay;
    if decay == 0.0 { parameter - change } else { parameter * (1.0 - decay) - change }
}
