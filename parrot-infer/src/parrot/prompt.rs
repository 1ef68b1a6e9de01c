//! A conversation → its token ids, which are checked against the context, and then their embeddings.

use parrot_model::batch::{PrepareOptions, Prepared, Sample};
use parrot_model::parrot::ImageFeatures;
use parrot_model::text::{Conversation, IMAGE_TOKEN_INDEX};

use super::Parrot;
use super::encoded_images::stack;
use crate::Result;
use crate::image::Image;

/// A conversation and the header of its answer, encoded.
#[derive(Debug)]
pub(crate) struct Prompt {
    /// Its ids; it refers to images by index.
    pub(crate) sample: Sample,
    /// How many tokens it has, those of its images counted.
    pub(crate) tokens: usize,
    /// How many tokens its answer may have.
    pub(crate) room: usize,
}

/// Prompts that are asked together.
#[derive(Debug)]
pub(crate) struct Prompts<'i> {
    pub(crate) prompts: Vec<Prompt>,
    /// Every image that is shown, once; the prompts refer to these.
    pub(crate) images: Vec<&'i Image>,
}

impl Parrot {
    /// Encodes the prompts, each followed by the header of its answer.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), for what can be known before anything is computed.
    pub(crate) fn encode<'i>(&self, prompts: &[(&Conversation, &'i [Image])]) -> Result<Prompts<'i>> {
        let mut encoded = Prompts { prompts: Vec::with_capacity(prompts.len()), images: Vec::new() };
        for (conversation, images) in prompts {
            if !images.is_empty() {
                self.model.parrot()?;
            }
            let rows = images.iter().map(|image| row_of(image, &mut encoded.images)).collect();
            let input_ids = self.template.encode_prompt(&self.tokenizer, conversation, "")?.input_ids;
            let tokens = self.count_tokens(&input_ids, images.len())?;
            // The last token of an answer is never read back, so it takes no position.
            let room = self.config.max_position_embeddings - tokens + 1;
            let routing_text = self.routing_text.clone();
            let sample = Sample { routing_text, ..Sample::new(input_ids, rows) };
            encoded.prompts.push(Prompt { sample, tokens, room });
        }
        Ok(encoded)
    }

    /// How many tokens a prompt has, those of its images counted.
    ///
    /// # Errors
    ///
    /// [`ImageCount`](parrot_model::Error::ImageCount) and [`TooLong`](parrot_model::Error::TooLong).
    fn count_tokens(&self, input_ids: &[i64], images: usize) -> Result<usize> {
        let placeholders = input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count();
        if placeholders != images {
            return Err(parrot_model::Error::ImageCount { placeholders, images }.into());
        }
        let found = input_ids.len() - placeholders + placeholders * self.model.image_tokens();
        let limit = self.config.max_position_embeddings;
        if found > limit {
            return Err(parrot_model::Error::TooLong { found, limit }.into());
        }
        Ok(found)
    }

    /// One prompt's embeddings.
    ///
    /// - features: those of every image that the sample may refer to
    pub(crate) fn embed(&self, sample: &Sample, features: &[ImageFeatures]) -> Result<Prepared> {
        let shown = stack(sample.images.iter().map(|image| features[*image].clone()).collect());
        let sample = Sample { images: (0..sample.images.len()).collect(), ..sample.clone() };
        Ok(self.model.prepare(&[sample], shown.as_ref(), PrepareOptions::default())?)
    }
}

/// The row of `image` among the `unique` ones, to which it is added if it is new.
fn row_of<'i>(image: &'i Image, unique: &mut Vec<&'i Image>) -> usize {
    let known = unique.iter().position(|known| known.content() == image.content());
    known.unwrap_or_else(|| {
        unique.push(image);
        unique.len() - 1
    })
}
