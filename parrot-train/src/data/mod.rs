//! What training reads: a [`Dataset`] of tokenised samples, and the [loader] that turns it into batches.

pub mod llava;
pub mod loader;
pub mod python_random;

use parrot_model::vision::preprocess::Pixels;

use crate::Result;

/// One sample, tokenised, its pictures preprocessed.
#[derive(Debug, Clone)]
pub struct TrainingSample {
    /// Names the sample in reports.
    pub id: String,
    /// Token ids, [`IMAGE_TOKEN_INDEX`](parrot_model::text::IMAGE_TOKEN_INDEX) for pictures.
    pub input_ids: Vec<i64>,
    /// What to learn at each position, [`IGNORE_INDEX`](parrot_model::text::IGNORE_INDEX) elsewhere.
    pub labels: Vec<i64>,
    /// One per placeholder.
    pub pixels: Vec<Pixels>,
}

/// Samples by number. Workers ask for them from several threads, in any order: the answer may depend on
/// nothing but the number.
pub trait Dataset: Send + Sync {
    /// What a batch is made of: [`TrainingSample`] for a whole model.
    type Sample: Send + 'static;

    /// Samples in an epoch.
    fn len(&self) -> usize;

    /// Whether there is nothing to learn from.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sample with a number below [`len`](Self::len).
    ///
    /// # Errors
    ///
    /// Whatever keeps the sample from being used: a missing picture, no answer, …
    fn sample(&self, index: usize) -> Result<Self::Sample>;
}
