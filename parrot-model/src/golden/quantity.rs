//! What is compared, and how far it may be off.

use std::fmt;

use serde::Serialize;

/// A kind of number that the reference and this build both compute, with its tolerance in f32.
///
/// | quantity | largest allowed difference | measured as |
/// |---|---|---|
/// | [`ResizedPicture`](Self::ResizedPicture) | 0 | 8-bit steps |
/// | [`PixelValues`](Self::PixelValues) | 0 | absolute |
/// | [`DecodedPicture`](Self::DecodedPicture) | none, only reported | 8-bit steps |
/// | [`Module`](Self::Module) | 5e-5 | absolute |
/// | [`Embeddings`](Self::Embeddings) | 5e-5 | absolute |
/// | [`Logits`](Self::Logits) | 1e-3 | absolute |
/// | [`Loss`](Self::Loss) | 1e-4 | absolute |
/// | [`Gradients`](Self::Gradients) | 1e-4 | of the tensor's largest magnitude |
/// | [`TrainedWeights`](Self::TrainedWeights) | 1e-3 | of the tensor's largest magnitude |
/// | [`LearningRate`](Self::LearningRate) | 1e-6 | relative |
/// | [`Bf16`](Self::Bf16) | 0.1 | of the tensor's largest magnitude |
///
/// Token ids, labels, masks and text have no tolerance: they must be equal.
///
/// The reference against itself in double precision, on models of a few layers, moves embeddings by
/// 6e-6, logits by 5e-5, the loss by 1e-6 and gradients by 1e-5 of their largest: the limits leave one
/// order of magnitude for another summation order, and are far below what a wrong formula does. Trained
/// weights get one more: AdamW divides a gradient by its own size, and so makes noise in a tiny gradient as
/// large as a real one. A tensor whose largest magnitude is below 1e-6 counts as if it were 1e-6, so that
/// rounding is not compared with rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// The 8-bit picture after padding, resizing and cropping, from the same decoded picture.
    ResizedPicture,
    /// Normalised pixels, from the same decoded picture.
    PixelValues,
    /// Our own decoder against the reference's: two JPEG decoders may differ by a few steps.
    DecodedPicture,
    /// What a part of the network computes: vision tower, projector, mixture of experts.
    Module,
    /// The decoder's input.
    Embeddings,
    /// The decoder's output.
    Logits,
    /// Cross-entropy.
    Loss,
    /// Gradients and their norms.
    Gradients,
    /// Weights after a few optimizer steps, and their norms.
    TrainedWeights,
    /// The learning rate of a step.
    LearningRate,
    /// Anything computed in bfloat16, where every sum may round differently.
    Bf16,
}

impl Quantity {
    /// The largest difference that passes; `None`: any, it is only reported.
    #[must_use]
    pub fn limit(self) -> Option<f64> {
        match self {
            Self::ResizedPicture | Self::PixelValues => Some(0.0),
            Self::DecodedPicture => None,
            Self::Module | Self::Embeddings => Some(5e-5),
            Self::Logits | Self::TrainedWeights => Some(1e-3),
            Self::Loss | Self::Gradients => Some(1e-4),
            Self::LearningRate => Some(1e-6),
            Self::Bf16 => Some(0.1),
        }
    }

    /// What differences are divided by: the expected tensor's largest magnitude where the table says so.
    #[must_use]
    pub fn scale(self, expected: &[f64]) -> f64 {
        match self.is_relative() {
            true => expected.iter().fold(1e-6, |largest, value| value.abs().max(largest)),
            false => 1.0,
        }
    }

    /// Whether differences count as a fraction of the expected tensor's largest magnitude.
    fn is_relative(self) -> bool {
        matches!(self, Self::Gradients | Self::TrainedWeights | Self::LearningRate | Self::Bf16)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResizedPicture => "resized picture",
            Self::PixelValues => "pixel values",
            Self::DecodedPicture => "decoded picture",
            Self::Module => "module",
            Self::Embeddings => "embeddings",
            Self::Logits => "logits",
            Self::Loss => "loss",
            Self::Gradients => "gradients",
            Self::TrainedWeights => "trained weights",
            Self::LearningRate => "learning rate",
            Self::Bf16 => "bf16",
        })
    }
}
