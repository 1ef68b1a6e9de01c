//! A batch in the reference's form, and as samples.

use burn::prelude::*;
use parrot_model::batch::{Prepared, Sample};
use parrot_model::text::IMAGE_TOKEN_INDEX;

use super::{Array, Case, Directory, Fixture, Loaded, reference_batch};
use crate::Result;

/// The inputs that a case gives as `in_…` tensors.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Token ids, one row per sample, padding included.
    pub input_ids: Vec<Vec<i64>>,
    /// Labels of the same shape; `None` when answering.
    pub labels: Option<Vec<Vec<i64>>>,
    /// False at padding, of the same shape; `None`: no padding.
    pub attention_mask: Option<Vec<Vec<i64>>>,
    /// `[images, 3, size, size]`; `None` when the case gives pictures in another way, or none.
    pub images: Option<Array>,
}

impl Batch {
    /// Reads `in_input_ids`, `in_labels`, `in_attention_mask` and `in_images` of a case; `prefix` is `in_`,
    /// or `in0_`, `in1_`, … where a case has several batches. `None` when the case has no such ids.
    ///
    /// # Errors
    ///
    /// [`Error::Golden`](crate::Error::Golden) when a tensor cannot be read or the shapes differ.
    pub(crate) fn read(directory: &Directory, case: &Case, prefix: &str) -> Result<Option<Self>> {
        let tensor = |name: &str| directory.tensor(case, &format!("{prefix}{name}"));
        let Some(input_ids) = tensor("input_ids")? else { return Ok(None) };
        let (labels, attention_mask) = (tensor("labels")?, tensor("attention_mask")?);
        for other in [&labels, &attention_mask].into_iter().flatten() {
            if other.shape != input_ids.shape {
                let reason = format!("case {}: labels or mask differ from the ids in shape", case.id);
                return Err(directory.error(reason));
            }
        }
        Ok(Some(Self {
            input_ids: input_ids.to_rows(),
            labels: labels.map(|labels| labels.to_rows()),
            attention_mask: attention_mask.map(|mask| mask.to_rows()),
            images: tensor("images")?,
        }))
    }

    /// The batch as the reference [assembles](reference_batch::assemble) it.
    ///
    /// Pictures are the batch's own `in_images`; without them those of the data-set records called `samples`.
    ///
    /// # Errors
    ///
    /// As [`samples`](Self::samples), and [`Error::Golden`](crate::Error::Golden) when a picture cannot be made.
    pub(crate) fn prepare(
        &self,
        fixture: &Fixture,
        case: &Case,
        loaded: &Loaded,
        samples: &[String],
    ) -> Result<Prepared> {
        let pixel_values: Option<Tensor<4>> = match &self.images {
            Some(images) => Some(fixture.tensor::<4>(case, images)?),
            None if samples.is_empty() => None,
            None => Some(fixture.record_images(loaded, samples)?),
        };
        let count = pixel_values.as_ref().map_or(0, |pixel_values| pixel_values.dims()[0]);
        let samples = self.samples(count)?;
        let images = pixel_values.map(|pixel_values| loaded.model.encode_images(pixel_values));
        reference_batch::assemble(&loaded.model, &samples, images.as_ref(), loaded.prepare_options())
    }

    /// The batch as samples, with pictures dealt out as the reference does ([`reference_samples`]).
    ///
    /// # Errors
    ///
    /// As [`reference_samples`].
    pub(crate) fn samples(&self, images: usize) -> Result<Vec<Sample>> {
        let rows = self.input_ids.iter().enumerate().map(|(row, ids)| {
            let mask = self.attention_mask.as_ref().map(|mask| &mask[row]);
            let kept = |values: &[i64]| -> Vec<i64> {
                let keep = |i: &usize| mask.is_none_or(|mask| mask[*i] != 0);
                (0..values.len()).filter(keep).map(|i| values[i]).collect()
            };
            (kept(ids), self.labels.as_ref().map(|labels| kept(&labels[row])))
        });
        reference_samples(rows, images)
    }
}

/// Deals out a flat list of pictures as the reference does: a sample takes as many as it has placeholders,
/// but at least one, so that a sample without a placeholder uses one up unseen. Surplus pictures are
/// ignored, and no pictures at all are enough for samples without placeholders.
///
/// # Errors
///
/// [`ImageCount`](parrot_model::Error::ImageCount) when the pictures run out, where the reference fails with an `IndexError`.
pub(crate) fn reference_samples(
    rows: impl IntoIterator<Item = (Vec<i64>, Option<Vec<i64>>)>,
    images: usize,
) -> Result<Vec<Sample>> {
    let mut next = 0;
    let deal = |(input_ids, labels): (Vec<i64>, Option<Vec<i64>>)| {
        let placeholders = input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count();
        let taken = next..next + placeholders;
        next += placeholders.max(1);
        let needed = if images > 0 { next } else { placeholders };
        if needed > images {
            return Err(parrot_model::Error::ImageCount { placeholders: needed, images }.into());
        }
        Ok(Sample { labels, ..Sample::new(input_ids, taken.collect()) })
    };
    rows.into_iter().map(deal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_without_a_placeholder_uses_an_image_up() {
        let rows = [vec![-200, 7], vec![8], vec![-200, 9, -200]].map(|ids| (ids, None));
        let samples = reference_samples(rows.clone(), 5).unwrap();
        let images: Vec<_> = samples.iter().map(|sample| sample.images.clone()).collect();
        assert_eq!(images, [vec![0], vec![], vec![2, 3]]);
        let error = reference_samples(rows, 3).unwrap_err();
        assert!(
            matches!(
                error,
                crate::Error::Model(parrot_model::Error::ImageCount { placeholders: 4, images: 3 })
            ),
            "{error}"
        );
    }

    #[test]
    fn padding_is_removed_wherever_it_stands() {
        let batch = Batch {
            input_ids: vec![vec![0, 0, 5], vec![6, 7, 0]],
            labels: Some(vec![vec![-100, -100, 5], vec![-100, 7, -100]]),
            attention_mask: Some(vec![vec![0, 0, 1], vec![1, 1, 0]]),
            images: None,
        };
        let samples = batch.samples(0).unwrap();
        assert_eq!(samples[0].input_ids, [5]);
        assert_eq!(samples[1].input_ids, [6, 7]);
        assert_eq!(samples[1].labels.as_deref(), Some(&[-100, 7][..]));
    }
}
