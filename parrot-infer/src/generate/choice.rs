//! From the network's scores to the next token of every sequence: computed on the device, read from it, chosen.

use burn::prelude::*;
use burn::tensor::{DType, TensorReadError};

use super::sequence::{Chosen, Sequence};
use crate::{Error, Result};

/// Stands for an id that could not be chosen.
const NOT_FINITE: i64 = -1;

/// What has to be read to choose the next tokens of some sequences.
pub(super) struct OnDevice {
    needed: Needed,
    /// What the network computed in, for errors.
    dtype: DType,
}

enum Needed {
    /// The id with the highest score of each. `[sequences]`
    Best(Tensor<1, Int>),
    /// All scores. `[sequences, vocab]`
    Scores(Tensor<2>),
}

/// What was read.
pub(super) enum Scores {
    Best(Vec<i64>, DType),
    All { scores: Vec<f32>, vocab: usize, dtype: DType },
}

impl OnDevice {
    /// - logits: `[sequences, vocab]`
    /// - dtype: what the network computed in
    pub(super) fn new<'s, 't: 's>(
        logits: Tensor<2>,
        dtype: DType,
        mut sequences: impl Iterator<Item = &'s Sequence<'t>>,
    ) -> Self {
        let needed = if sequences.all(Sequence::needs_argmax_only) {
            let best = logits.clone().argmax(1).squeeze_dim::<1>(1);
            // One read gives the ids and tells whether the scores are finite: where one is not, their sum is not either.
            let broken = logits.sum_dim(1).squeeze_dim::<1>(1).is_finite().bool_not();
            Needed::Best(best.mask_fill(broken, NOT_FINITE))
        } else {
            Needed::Scores(logits)
        };
        Self { needed, dtype }
    }

    /// Waits for the device.
    ///
    /// # Errors
    ///
    /// [`Error::Compute`].
    pub(super) async fn read(self) -> Result<Scores> {
        let Self { needed, dtype } = self;
        Ok(match needed {
            Needed::Best(ids) => {
                let data = ids.into_data_async().await.map_err(TensorReadError::from)?;
                let ids = data.try_into_vec_as::<i64>().map_err(TensorReadError::from)?;
                Scores::Best(ids, dtype)
            }
            Needed::Scores(logits) => {
                let [_, vocab] = logits.dims();
                let data = logits.into_data_async().await.map_err(TensorReadError::from)?;
                let scores = data.try_into_vec_as::<f32>().map_err(TensorReadError::from)?;
                Scores::All { scores, vocab, dtype }
            }
        })
    }
}

impl Scores {
    /// Whether choosing takes no more than looking.
    pub(super) fn are_ids(&self) -> bool {
        matches!(self, Self::Best(..))
    }

    /// The next token of each of the sequences: [`Error::NotFinite`] where its scores are infinite or NaN,
    /// [`Error::Format`](crate::Error::Format) where the form that the answer must have cannot be followed any further.
    pub(super) fn choose<'s, 't: 's>(
        self,
        sequences: impl Iterator<Item = &'s mut Sequence<'t>>,
    ) -> Vec<Result<Chosen>> {
        let not_finite = |dtype| Error::NotFinite { dtype: format!("{dtype:?}").to_lowercase() };
        match self {
            Self::Best(ids, dtype) => {
                let chosen = |id| match id {
                    NOT_FINITE => Err(not_finite(dtype)),
                    id => Ok(Chosen { id: id as u32, logprob: None }),
                };
                ids.into_iter().map(chosen).collect()
            }
            Self::All { scores, vocab, dtype } => {
                let rows = sequences.zip(scores.chunks_exact(vocab));
                let choose = |(sequence, scores): (&mut Sequence<'_>, &[f32])| {
                    sequence.choose(scores)?.ok_or_else(|| not_finite(dtype))
                };
                rows.map(choose).collect()
            }
        }
    }
}
