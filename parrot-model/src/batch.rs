//! A batch of prompts or training samples, as integers and as embeddings.
//!
//! A [`Sample`] is a list of token ids in which [`IMAGE_TOKEN_INDEX`] stands for an image. A layout works out where every row
//! of the padded batch comes from before any tensor is touched; [`Prepared`] is the batch.

use burn::prelude::*;

use crate::config::PaddingSide;
use crate::language::DecoderInput;
use crate::projector::Routing;
use crate::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};
use crate::{Error, Result, int_tensor};

/// One prompt, or one training sample.
#[derive(Debug, Clone, Default, PartialEq, Eq, derive_new::new)]
pub struct Sample {
    /// Token ids; [`IMAGE_TOKEN_INDEX`] stands for an image.
    pub input_ids: Vec<i64>,
    /// The token to learn at each position, [`IGNORE_INDEX`] where there is none; `None` when
    /// answering. Only text that is *not* an answer guides the routing.
    #[new(default)]
    pub labels: Option<Vec<i64>>,
    /// For each placeholder in turn, a row of the [`ImageFeatures`](crate::parrot::ImageFeatures). Samples may share images.
    pub images: Vec<usize>,
    /// Token ids that guide the routing in the place of the sample's own text; `None`, as in the paper: the sample's own. Our
    /// addition, to measure what routing by the question is worth. It is here, not in an experiment, because
    /// [`prepare`](crate::parrot::ParrotModel::prepare) embeds and routes in one go, both when training and when answering: a
    /// hook outside would have to do all of that again.
    #[new(default)]
    pub routing_text: Option<Vec<i64>>,
}

impl Sample {
    /// Its length once images are expanded and an overlong end is cut.
    ///
    /// - tokens_per_image: positions that an image takes in a sequence
    /// - max_length: the longest sequence, images counted
    ///
    /// # Errors
    ///
    /// [`Error::ImageCount`] and [`Error::CutsImage`].
    ///
    /// # Panics
    ///
    /// If the labels are not as long as the ids.
    pub fn length(&self, tokens_per_image: usize, max_length: Option<usize>) -> Result<SampleLength> {
        let sequence = expand(self, tokens_per_image, max_length, &mut Vec::new(), &mut Vec::new())?;
        let learnt = sequence.iter().skip(1).filter(|(_, label)| *label != IGNORE_INDEX).count();
        Ok(SampleLength { tokens: sequence.len(), learnt })
    }
}

/// How long a [`Sample`] is as the decoder sees it, from [`Sample::length`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SampleLength {
    /// All its tokens, images counted.
    pub tokens: usize,
    /// Tokens that training learns from: those with a label, except the first of the sequence, which no position predicts.
    pub learnt: usize,
}

/// How [`ParrotModel::prepare`](crate::parrot::ParrotModel::prepare) shapes a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepareOptions {
    /// Longest sequence, images counted; longer samples lose their end, with the whole images in it.
    pub max_length: Option<usize>,
    /// Where shorter samples are padded.
    pub padding_side: PaddingSide,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self { max_length: None, padding_side: PaddingSide::Right }
    }
}

/// A batch, ready for the decoder.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Embeddings; if anything is padded, also a mask, and positions that count each sample's own tokens from 0.
    pub input: DecoderInput,
    /// Labels with [`IGNORE_INDEX`] at images and padding, `batch` rows of `seq`; `None` when answering.
    pub labels: Option<Vec<Vec<i64>>>,
    /// Tokens of each sample, including images and excluding padding.
    pub lengths: Vec<usize>,
    /// What the router decided; one row per routed image, in the order of the samples.
    pub routing: Option<Routing>,
}

/// What a batch has to learn from, made by [`Prepared::targets`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Targets {
    /// The positions that predict, each `sample · seq + position`. `[rows]`
    pub rows: Tensor<1, Int>,
    /// The token that each should predict. `[rows]`
    pub ids: Tensor<1, Int>,
}

impl Prepared {
    /// The positions that have something to learn.
    ///
    /// # Errors
    ///
    /// [`Error::Conversation`] when no label is left (the reference's loss is then NaN).
    pub fn targets(&self) -> Result<Targets> {
        let [_, seq, _] = self.input.inputs_embeds.dims();
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for (sample, labels) in self.labels.iter().flatten().enumerate() {
            for (position, label) in labels.iter().enumerate().skip(1) {
                if *label != IGNORE_INDEX {
                    rows.push((sample * seq + position - 1) as i64);
                    ids.push(*label);
                }
            }
        }
        if rows.is_empty() {
            return Err(Error::Conversation { reason: "no labelled token is left to learn from".into() });
        }
        let device = self.input.inputs_embeds.device();
        Ok(Targets { rows: int_tensor(&rows, &device), ids: int_tensor(&ids, &device) })
    }

    /// The last position of every sample, which predicts the first token of the answer; padding must be on the left.
    /// `[batch]`
    #[must_use]
    pub fn last_rows(&self) -> Tensor<1, Int> {
        let [batch, seq, _] = self.input.inputs_embeds.dims();
        let rows: Vec<i64> = (1..=batch).map(|end| (end * seq - 1) as i64).collect();
        int_tensor(&rows, &self.input.inputs_embeds.device())
    }
}

/// Where every row of a batch comes from, worked out before any tensor is touched.
///
/// Rows are numbered over the concatenation of all text tokens, the routed images' tokens and one row
/// of zeros; a single gather then builds the batch.
pub(crate) struct BatchLayout {
    /// Text tokens of all samples, one after the other.
    pub(crate) text_ids: Vec<i64>,
    /// Images to route, in the order of the samples.
    pub(crate) routed: Vec<Routed>,
    /// `batch · seq` row numbers.
    rows: Vec<i64>,
    attention_mask: Vec<i64>,
    position_ids: Vec<i64>,
    labels: Option<Vec<Vec<i64>>>,
    lengths: Vec<usize>,
    seq: usize,
}

/// An image and the text that steers it.
pub(crate) struct Routed {
    pub(crate) image: usize,
    /// Indices into [`BatchLayout::text_ids`].
    pub(crate) text: Vec<i64>,
}

/// What stands at one position of a sample.
#[derive(Clone, Copy)]
enum Source {
    Text(usize),
    Visual(usize),
    Padding,
}

impl BatchLayout {
    /// Lays the samples out.
    ///
    /// - image_tokens: positions that an image takes in a sequence; 0 if there are no images
    ///
    /// # Errors
    ///
    /// [`Error::ImageCount`] and [`Error::CutsImage`]; [`Error::Conversation`] for a batch without text.
    ///
    /// # Panics
    ///
    /// If there are no samples, or a sample's labels are not as long as its ids.
    pub(crate) fn new(samples: &[Sample], image_tokens: usize, options: PrepareOptions) -> Result<Self> {
        assert!(!samples.is_empty(), "a batch needs at least one sample");
        let mut text_ids = Vec::new();
        let mut routed = Vec::new();
        let mut sequences = Vec::with_capacity(samples.len());
        for sample in samples {
            sequences.push(expand(sample, image_tokens, options.max_length, &mut text_ids, &mut routed)?);
        }
        if text_ids.is_empty() {
            return Err(Error::Conversation { reason: "there is no text beside the images".into() });
        }
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        let seq = lengths.iter().copied().max().unwrap_or(0);
        let padding_row = text_ids.len() + routed.len() * image_tokens;
        let row = |source: Source| match source {
            Source::Text(token) => token,
            Source::Visual(token) => text_ids.len() + token,
            Source::Padding => padding_row,
        } as i64;

        let labelled = samples.iter().any(|sample| sample.labels.is_some());
        let mut labels = Vec::new();
        let (mut rows, mut attention_mask, mut position_ids) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in sequences {
            let missing = seq - sequence.len();
            let before = if options.padding_side == PaddingSide::Left { missing } else { 0 };
            let padding = |count| std::iter::repeat_n((Source::Padding, IGNORE_INDEX), count);
            let (tokens, length) = (before..before + sequence.len(), sequence.len());
            for column in 0..seq {
                attention_mask.push(i64::from(tokens.contains(&column)));
                position_ids.push(if tokens.contains(&column) { (column - before) as i64 } else { 0 });
            }
            let padded = padding(before).chain(sequence).chain(padding(seq - before - length));
            let (sources, sample_labels): (Vec<Source>, Vec<i64>) = padded.unzip();
            rows.extend(sources.into_iter().map(row));
            labels.push(sample_labels);
        }
        let labels = labelled.then_some(labels);
        Ok(Self { text_ids, routed, rows, attention_mask, position_ids, labels, lengths, seq })
    }

    /// Gathers the batch.
    ///
    /// # Shapes
    ///
    /// - text_embeds: `[text, hidden]`
    /// - visual_tokens: `[routed images, tokens, hidden]`
    pub(crate) fn gather(
        self,
        text_embeds: Tensor<2>,
        visual_tokens: Option<Tensor<3>>,
        routing: Option<Routing>,
    ) -> Prepared {
        let (device, [_, hidden]) = (text_embeds.device(), text_embeds.dims());
        let zeros = Tensor::zeros([1, hidden], (&device, text_embeds.dtype()));
        let mut rows = vec![text_embeds];
        rows.extend(visual_tokens.map(|tokens| tokens.reshape([-1, hidden as i64])));
        rows.push(zeros);
        let (batch, seq) = (self.lengths.len(), self.seq);
        let padded = self.lengths.iter().any(|length| *length < seq);
        let grid = |values: &[i64]| int_tensor(values, &device).reshape([batch, seq]);
        Prepared {
            input: DecoderInput {
                inputs_embeds: Tensor::cat(rows, 0)
                    .select(0, int_tensor(&self.rows, &device))
                    .reshape([batch, seq, hidden]),
                attention_mask: padded.then(|| grid(&self.attention_mask).bool()),
                position_ids: padded.then(|| grid(&self.position_ids)),
            },
            labels: self.labels,
            lengths: self.lengths,
            routing,
        }
    }
}

/// One sample's positions with their labels, images expanded, truncated to the allowed length.
fn expand(
    sample: &Sample,
    image_tokens: usize,
    max_length: Option<usize>,
    text_ids: &mut Vec<i64>,
    routed: &mut Vec<Routed>,
) -> Result<Vec<(Source, i64)>> {
    let placeholders = sample.input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count();
    let given = if image_tokens == 0 { 0 } else { sample.images.len() };
    if placeholders != given {
        return Err(Error::ImageCount { placeholders, images: given });
    }
    if let Some(labels) = &sample.labels {
        assert_eq!(labels.len(), sample.input_ids.len(), "labels and input_ids differ in length");
    }
    let label = |i: usize| sample.labels.as_ref().map_or(IGNORE_INDEX, |labels| labels[i]);
    let mut guiding_text = Vec::new();
    let mut sequence = Vec::new();
    let mut image_starts = Vec::new();
    let first_routed = routed.len();
    for (i, id) in sample.input_ids.iter().enumerate() {
        if *id == IMAGE_TOKEN_INDEX {
            let first = routed.len() * image_tokens;
            routed.push(Routed { image: sample.images[image_starts.len()], text: Vec::new() });
            image_starts.push(sequence.len());
            sequence.extend((first..first + image_tokens).map(|row| (Source::Visual(row), IGNORE_INDEX)));
        } else {
            if label(i) == IGNORE_INDEX {
                guiding_text.push(text_ids.len() as i64);
            }
            sequence.push((Source::Text(text_ids.len()), label(i)));
            text_ids.push(*id);
        }
    }
    if let Some(text) = &sample.routing_text {
        let first = text_ids.len() as i64;
        text_ids.extend(text);
        guiding_text = (first..text_ids.len() as i64).collect();
    }
    for image in &mut routed[first_routed..] {
        image.text.clone_from(&guiding_text);
    }
    if let Some(limit) = max_length.filter(|limit| *limit < sequence.len()) {
        let cut = image_starts.iter().position(|start| (start + 1..start + image_tokens).contains(&limit));
        if let Some(image) = cut {
            return Err(Error::CutsImage { image, kept: limit - image_starts[image], image_tokens, limit });
        }
        sequence.truncate(limit);
    }
    Ok(sequence)
}
