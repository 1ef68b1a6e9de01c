//! Adafactor (Shazeer and Stern 2018, arXiv 1804.04235), which keeps only the means of rows and columns of a matrix's
//! second moment.
//!
//! ```text
//! β ← 1 − t^decay
//! R ← β R + (1 − β) rowmean(g² + ε)        C ← β C + (1 − β) colmean(g² + ε)
//! u ← g / √(R C / mean(R))                 (vectors: V ← β V + (1 − β)(g² + ε), u ← g / √V)
//! u ← u / max(1, rms(u) / clip_threshold)
//! p ← (1 − lr·λ) p − lr · u
//! ```
//!
//! The learning rate is the schedule's, without the paper's relative steps and parameter scaling, and there is no
//! first moment: transformers' `Adafactor(scale_parameter=False, relative_step=False, beta1=None)`.

use std::collections::BTreeMap;

use burn::prelude::*;
use serde::{Deserialize, Serialize};

/// The constants; the defaults are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdafactorConfig {
    /// Exponent of t in `β = 1 − t^decay`; negative.
    pub decay: f64,
    /// ε₁, added to squared gradients.
    pub epsilon: f64,
    /// d: an update whose root mean square is above it is scaled down to it.
    pub clip_threshold: f64,
    /// λ, applied to every parameter.
    pub weight_decay: f64,
}

impl Default for AdafactorConfig {
    fn default() -> Self {
        Self { decay: -0.8, epsilon: 1e-30, clip_threshold: 1.0, weight_decay: 0.0 }
    }
}

pub(super) fn parts(shape: &[usize]) -> Vec<(&'static str, usize)> {
    match matrices(shape) {
        Some([count, rows, columns]) => vec![("row", count * rows), ("col", count * columns)],
        None => vec![("v", shape.iter().product())],
    }
}

/// `[count, rows, columns]` of a matrix, or of several that are held as one parameter, as those of the experts.
fn matrices(shape: &[usize]) -> Option<[usize; 3]> {
    match *shape {
        [rows, columns] => Some([1, rows, columns]),
        [count, rows, columns] => Some([count, rows, columns]),
        _ => None,
    }
}

/// The formulas at the top of this file for one parameter, the `t`-th time.
pub(super) fn update(
    config: &AdafactorConfig,
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    shape: &[usize],
    parts: &mut BTreeMap<&'static str, Tensor<1>>,
    t: usize,
    learning_rate: f64,
) -> Tensor<1> {
    let beta = 1.0 - (t as f64).powf(config.decay);
    let mut average = |name: &'static str, new: Tensor<1>| {
        let mean = match parts.remove(name) {
            Some(old) => old * beta + new * (1.0 - beta),
            // β is 0 the first time.
            None => new,
        };
        parts.insert(name, mean.clone());
        mean
    };
    let squared = gradient.clone().square() + config.epsilon;
    let (change, count) = match matrices(shape) {
        Some([count, rows, columns]) => {
            let squared = squared.reshape([count, rows, columns]);
            let row = average("row", squared.clone().mean_dim(2).reshape([count * rows]));
            let column = average("col", squared.mean_dim(1).reshape([count * columns]));
            let row = row.reshape([count, rows, 1]);
            // Two roots instead of one of the product, which f32 cannot hold for the smallest gradients.
            let row = (row.clone() / row.mean_dim(1)).sqrt().recip();
            let column = column.sqrt().recip().reshape([count, 1, columns]);
            ((gradient.reshape([count, rows, columns]) * row * column).reshape([count as i64, -1]), count)
        }
        None => ((gradient / average("v", squared).sqrt()).reshape([1, -1]), 1),
    };
    let rms = change.clone().square().mean_dim(1).reshape([count, 1]).sqrt();
    let change = (change / (rms / config.clip_threshold).clamp_min(1.0)).reshape([-1]);
    let decay = learning_rate * config.weight_decay;
    let parameter = if decay == 0.0 { parameter } else { parameter * (1.0 - decay) };
    parameter - change * learning_rate
}
