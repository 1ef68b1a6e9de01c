//! What is compared, and how far it may be off.

use std::fmt;

use parrot_model::device::Precision;
use serde::Serialize;

/// A kind of number that the reference and this build both compute, with its tolerance.
///
/// In f32:
///
/// | quantity | largest allowed difference | measured as |
/// |---|---|---|
/// | [`ResizedImage`](Self::ResizedImage) | 0 | 8-bit steps |
/// | [`PixelValues`](Self::PixelValues) | 0 | absolute |
/// | [`DecodedImage`](Self::DecodedImage) | none, only reported | 8-bit steps |
/// | [`Module`](Self::Module) | 5e-5 | absolute |
/// | [`Embeddings`](Self::Embeddings) | 5e-5 | absolute |
/// | [`Logits`](Self::Logits) | 1e-3 | absolute |
/// | [`Loss`](Self::Loss) | 1e-4 | absolute |
/// | [`Gradients`](Self::Gradients) | 1e-4 | of the tensor's largest magnitude |
/// | [`TrainedWeights`](Self::TrainedWeights) | 1e-3 | of the tensor's largest magnitude |
/// | [`LearningRate`](Self::LearningRate) | 1e-6 | relative |
///
/// Token ids, labels, masks and text have no tolerance: they must be equal.
///
/// The reference against itself in double precision, on models of a few layers, moves embeddings by
/// 6e-6, logits by 5e-5, the loss by 1e-6 and gradients by 1e-5 of their largest: the limits leave one
/// order of magnitude for another summation order, and are far below what a wrong formula does. Trained
/// weights get one more: AdamW divides a gradient by its own size, and so makes noise in a tiny gradient as
/// large as a real one. A tensor whose largest magnitude is below 1e-6 counts as if it were 1e-6, so that
/// rounding is not compared with rounding.
///
/// Where the network is computed with fewer digits, what it computes is measured against the tensor's
/// largest magnitude, and the numbers still come from the reference in f32 (for cases of bf16: in bf16, in
/// another order of summation). A rounding is at most 2⁻¹¹ in f16 and 2⁻⁸ in bf16; twenty in a row that all
/// go the same way, which is what the golden models have in matrix products from picture to logits, are 0.01
/// and 0.08. In TF32 an operand of a product is rounded as in f16; in a network whose products all do so, the golden
/// cases are off by up to 0.002, their gradients by 0.006, and weights after some steps of AdamW by 0.009.
///
/// In blocks of 8 bits the rounding of a weight and of an activation is at most 2⁻⁸ of the largest in its block, as in bf16; of 4
/// bits a weight's is a thirtieth of its block's range.
///
/// | quantity | TF32 | f16 | bf16, q8 | q4 |
/// |---|---|---|---|---|
/// | module, embeddings, logits, loss | 0.01 | 0.01 | 0.1 | 0.6 |
/// | gradients | 0.01 | | | |
/// | trained weights | 0.03 | | | |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Quantity {
    /// The 8-bit picture after padding, resizing and cropping, from the same decoded picture.
    #[serde(rename = "resized_picture")]
    ResizedImage,
    /// Normalised pixels, from the same decoded picture.
    PixelValues,
    /// Our own decoder against the reference's: two JPEG decoders may differ by a few steps.
    #[serde(rename = "decoded_picture")]
    DecodedImage,
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
}

impl Quantity {
    /// The largest difference that passes where networks are computed in `precision`; `None`: any, it is only
    /// reported.
    #[must_use]
    pub fn limit(self, precision: Precision) -> Option<f64> {
        match self {
            Self::TrainedWeights if self.is_rounded(precision) => Some(0.03),
            _ if self.is_rounded(precision) => Some(match precision {
                Precision::Q4 => 0.6,
                Precision::Bf16 | Precision::Q8 => 0.1,
                _ => 0.01,
            }),
            Self::ResizedImage | Self::PixelValues => Some(0.0),
            Self::DecodedImage => None,
            Self::Module | Self::Embeddings => Some(5e-5),
            Self::Logits | Self::TrainedWeights => Some(1e-3),
            Self::Loss | Self::Gradients => Some(1e-4),
            Self::LearningRate => Some(1e-6),
        }
    }

    /// What differences are divided by: the expected tensor's largest magnitude where the table says so.
    #[must_use]
    pub fn scale(self, precision: Precision, expected: &[f64]) -> f64 {
        let is_relative = matches!(self, Self::Gradients | Self::TrainedWeights | Self::LearningRate);
        if is_relative || self.is_rounded(precision) {
            expected.iter().fold(1e-6, |largest, value| value.abs().max(largest))
        } else {
            1.0
        }
    }

    /// Whether the network computes it, with fewer digits than the golden numbers have.
    fn is_rounded(self, precision: Precision) -> bool {
        match self {
            Self::Module | Self::Embeddings | Self::Logits | Self::Loss => precision != Precision::F32,
            // Training is compared in f32 alone, which may be this.
            Self::Gradients | Self::TrainedWeights => precision == Precision::Tf32,
            _ => false,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResizedImage => "resized picture",
            Self::PixelValues => "pixel values",
            Self::DecodedImage => "decoded picture",
            Self::Module => "module",
            Self::Embeddings => "embeddings",
            Self::Logits => "logits",
            Self::Loss => "loss",
            Self::Gradients => "gradients",
            Self::TrainedWeights => "trained weights",
            Self::LearningRate => "learning rate",
        })
    }
}
