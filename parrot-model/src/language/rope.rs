//! Rotary position embedding, the rotate-half form of Qwen2 and Llama.
//!
//! `x ← x ⊙ cos(pθ) + rotate_half(x) ⊙ sin(pθ)`, `θᵢ = base^(−2i/d)`, `rotate_half([a, b]) = [−b, a]`
//!
//! Llama 3.1 slows down low frequencies. With `w = context · θ / 2π`, the turns within the context of pretraining:
//! `θ ← θ / factor` where `w < low`, `θ` where `w > high`, and between them `(1 − s) θ / factor + s θ` with
//! `s = (w − low) / (high − low)`.

use burn::prelude::*;
use burn::tensor::{DType, FloatDType};

use crate::config::RopeScaling;
use crate::ops::rotate;

/// The frequencies θ; angles are computed in f32 whatever the model's dtype, as the reference does.
#[derive(Module, Debug)]
pub(crate) struct RotaryEmbedding {
    /// `[head_dim / 2]`, f32.
    inv_freq: Tensor<1>,
}

/// Cosines and sines of every position of a batch, shared by all layers. `[batch, 1, seq, head_dim]`
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl RotaryEmbedding {
    /// Frequencies for heads of width `head_dim`.
    #[must_use]
    pub(crate) fn init(head_dim: usize, base: f64, scaling: Option<RopeScaling>, device: &Device) -> Self {
        let frequency = |i: usize| 1.0 / (base as f32).powf((2 * i) as f32 / head_dim as f32);
        let scaled = |frequency: f32| scaling.map_or(frequency, |scaling| scale(frequency, scaling));
        let inv_freq: Vec<f32> = (0..head_dim / 2).map(frequency).map(scaled).collect();
        let inv_freq = TensorData::new(inv_freq, [head_dim / 2]);
        Self { inv_freq: Tensor::from_data(inv_freq, (&device.clone().inner(), DType::F32)) }
    }

    /// The rotation of each position.
    ///
    /// # Shapes
    ///
    /// - position_ids: `[batch, seq]`
    #[must_use]
    pub(crate) fn rotation(&self, position_ids: Tensor<2, Int>, dtype: DType) -> Rotation {
        let positions = position_ids.cast(FloatDType::F32).unsqueeze_dim::<3>(2);
        let half: Tensor<3> = positions * self.inv_freq.clone().unsqueeze();
        let angles = Tensor::cat(vec![half.clone(), half], 2).unsqueeze_dim::<4>(1);
        Rotation { cos: angles.clone().cos().cast(dtype), sin: angles.sin().cast(dtype) }
    }
}

fn scale(frequency: f32, scaling: RopeScaling) -> f32 {
    let RopeScaling::Llama3 {
        factor,
        low_freq_factor: low,
        high_freq_factor: high,
        original_max_position_embeddings: context,
    } = scaling;
    let turns = context as f64 * f64::from(frequency) / std::f64::consts::TAU;
    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
    let frequency = f64::from(frequency);
    ((1.0 - kept) * frequency / factor + kept * frequency) as f32
}

impl Rotation {
    /// Rotates queries or keys.
    ///
    /// # Shapes
    ///
    /// - x and output: `[batch, heads, seq, head_dim]`
    #[must_use]
    pub(crate) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        rotate(x, self.cos.clone(), self.sin.clone())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tolerance;

    use super::*;

    #[test]
    fn rotates_pairs_half_a_head_apart() {
        let device = Device::default();
        let rope = RotaryEmbedding::init(4, 100.0, None, &device);
        let positions = Tensor::<2, Int>::from_data([[0, 3]], &device);
        let x = Tensor::<4>::from_data([[[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]]], &device);
        let (s1, c1) = 3.0f32.sin_cos();
        let (s2, c2) = 0.3f32.sin_cos();
        let expected = Tensor::<4>::from_data(
            [[[
                [1.0, 2.0, 3.0, 4.0],
                [c1 - 3.0 * s1, 2.0 * c2 - 4.0 * s2, 3.0 * c1 + s1, 4.0 * c2 + 2.0 * s2],
            ]]],
            &device,
        );
        rope.rotation(positions, DType::F32)
            .apply(x)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-6));
    }

    #[test]
    fn llama_3_slows_down_what_turns_rarely() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        // So often a frequency turns in the original context.
        let scaled = |turns: f32| scale(turns * std::f32::consts::TAU / 8192.0, scaling);
        let expected = |turns: f32, times: f32| turns * times * std::f32::consts::TAU / 8192.0;
        for (turns, times) in [(0.5, 0.125), (1.0, 0.125), (2.5, 0.5625), (4.0, 1.0), (100.0, 1.0)] {
            let (found, expected) = (scaled(turns), expected(turns, times));
            assert!((found / expected - 1.0).abs() < 1e-5, "{turns}: {found} {expected}");
        }
    }
}
