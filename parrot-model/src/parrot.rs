//! The join: pictures and tokens → embeddings → logits.
//!
//! A prompt is a list of token ids in which [`IMAGE_TOKEN_INDEX`] stands for a picture.
//! [`Parrot::encode_pictures`] computes what each picture contributes whatever is asked about it;
//! [`Parrot::prepare`] routes every picture by its own prompt's text, puts the visual tokens in the
//! placeholders' stead and pads the batch; [`Decoder::forward`] does the rest.

use burn::prelude::*;

use crate::config::{PaddingSide, ParrotConfig, VisionConfig};
use crate::language::{Decoder, DecoderInput};
use crate::ops::negative_log_likelihood;
use crate::projector::{Projector, ProjectorKind, Routing, TextGuidedMoe};
use crate::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};
use crate::vision::VisionTower;
use crate::{Error, Result};

/// The whole network.
#[derive(Module, Debug)]
pub struct Parrot {
    /// Pixels → features.
    pub vision_tower: VisionTower,
    /// Features → decoder width.
    pub mm_projector: Projector,
    /// Router and experts, where the checkpoint has them.
    pub moe_model: Option<TextGuidedMoe>,
    /// Embeddings → logits.
    pub language_model: Decoder,
    /// Whether visual tokens go through the mixture; off, they are the projected features (the paper's stage 1).
    pub use_moe: bool,
    /// Token ids that the router reads in the place of every question. `None`, as in the paper: the question
    /// itself. Our own addition, to measure what routing by the question is worth; no checkpoint holds it.
    pub routing_text: Option<Vec<i64>>,
}

/// What pictures contribute, whatever the question: compute once, ask often.
#[derive(Debug, Clone)]
pub struct PictureFeatures {
    /// Projected features `H_v`. `[pictures, tokens, hidden]`
    pub image_features: Tensor<3>,
    /// Every expert's output `Eₑ(H_v)`; `None` without a mixture. `[pictures, experts, tokens, hidden]`
    pub experts_output: Option<Tensor<4>>,
}

/// One prompt, or one training sample.
#[derive(Debug, Clone, Default, PartialEq, Eq, derive_new::new)]
pub struct Sample {
    /// Token ids; [`IMAGE_TOKEN_INDEX`] stands for a picture.
    pub input_ids: Vec<i64>,
    /// What the decoder should say at each position, [`IGNORE_INDEX`] where nothing is asked; `None` when
    /// answering. Only text that is *not* an answer guides the routing.
    #[new(default)]
    pub labels: Option<Vec<i64>>,
    /// For each placeholder in turn, a row of the [`PictureFeatures`]. Samples may share pictures.
    pub pictures: Vec<usize>,
}

/// How [`Parrot::prepare`] shapes a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepareOptions {
    /// Longest sequence, pictures counted; longer samples lose their end, with the whole pictures in it.
    pub max_length: Option<usize>,
    /// Where shorter samples are padded.
    pub padding_side: PaddingSide,
    /// Do as the reference does: only a sample's first picture is routed, every further one becomes rows
    /// of zeros, and truncation may cut a picture. Off, each picture is routed and a cut is an error.
    pub reference_pictures: bool,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self { max_length: None, padding_side: PaddingSide::Right, reference_pictures: false }
    }
}

/// A batch, ready for the decoder.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Embeddings; with a mask, and positions that count each sample's own tokens from 0, where something is padded.
    pub input: DecoderInput,
    /// Labels with [`IGNORE_INDEX`] at pictures and padding, `batch` rows of `seq`; `None` when answering.
    pub labels: Option<Vec<Vec<i64>>>,
    /// Tokens of each sample, pictures counted, padding not.
    pub lengths: Vec<usize>,
    /// What the router decided; one row per routed picture, in the order of the samples.
    pub routing: Option<Routing>,
}

impl Parrot {
    /// Builds the network; weights are made when first used, or loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the configuration describes no possible model.
    pub fn init(config: &ParrotConfig, vision: &VisionConfig, device: &Device) -> Result<Self> {
        config.validate()?;
        let projector = ProjectorKind::parse(&config.mm_projector_type)?;
        if projector == ProjectorKind::Identity && vision.hidden_size != config.decoder.hidden_size {
            let expected = format!("the vision tower's {} for an identity projector", vision.hidden_size);
            return Err(Error::config("hidden_size", expected, config.decoder.hidden_size));
        }
        if let Some(mm_hidden_size) = config.mm_hidden_size
            && mm_hidden_size != vision.hidden_size
        {
            let expected = format!("the vision tower's hidden_size = {}", vision.hidden_size);
            return Err(Error::config("mm_hidden_size", expected, mm_hidden_size));
        }
        Ok(Self {
            vision_tower: VisionTower::init(config, vision, device)?,
            mm_projector: Projector::init(projector, vision.hidden_size, config.decoder.hidden_size, device),
            moe_model: config.moe_hidden_size.map(|_| TextGuidedMoe::init(config, device)),
            language_model: Decoder::init(&config.decoder, device),
            use_moe: config.use_moe,
            routing_text: None,
        })
    }

    /// Vision tower, projector and experts: all that can be computed before a question is asked.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[pictures, 3, image_size, image_size]`
    #[must_use]
    pub fn encode_pictures(&self, pixel_values: Tensor<4>) -> PictureFeatures {
        self.project(self.vision_tower.forward(pixel_values))
    }

    /// [`encode_pictures`](Self::encode_pictures) from the tower's features on: in training the tower is
    /// frozen and runs outside the gradient's tape.
    ///
    /// # Shapes
    ///
    /// - features: `[pictures, tokens, vision_hidden]`
    #[must_use]
    pub fn project(&self, features: Tensor<3>) -> PictureFeatures {
        let image_features = self.mm_projector.forward(features);
        let experts_output = self.moe().map(|moe| moe.experts(image_features.clone()));
        PictureFeatures { image_features, experts_output }
    }

    /// Text and pictures → one batch of embeddings.
    ///
    /// # Errors
    ///
    /// [`Error::PictureCount`] when a sample's placeholders and pictures do not match;
    /// [`Error::CutsPicture`] when truncation would cut a picture in two; [`Error::Conversation`] for a batch
    /// without text or a token outside the vocabulary.
    ///
    /// # Panics
    ///
    /// If `samples` is empty, a sample's labels are not as long as its ids, or a picture is no row of
    /// `pictures`.
    pub fn prepare(
        &self,
        samples: &[Sample],
        pictures: Option<&PictureFeatures>,
        options: PrepareOptions,
    ) -> Result<Prepared> {
        let picture_tokens = pictures.map_or(0, |pictures| pictures.image_features.dims()[1]);
        let layout = Layout::new(samples, picture_tokens, options, self.routing_text.as_deref())?;
        let text_embeds = embed_text(&self.language_model, &layout)?;
        let routed = pictures.filter(|_| !layout.routed.is_empty());
        let routed = routed.map(|pictures| self.route_pictures(pictures, &layout, text_embeds.clone()));
        let (visual_tokens, routing) =
            routed.map_or((None, None), |(tokens, routing)| (Some(tokens), routing));
        Ok(layout.prepare(text_embeds, visual_tokens, routing))
    }

    /// The visual tokens of every routed picture, as its own prompt's text steers them.
    fn route_pictures(
        &self,
        pictures: &PictureFeatures,
        layout: &Layout,
        text_embeds: Tensor<2>,
    ) -> (Tensor<3>, Option<Routing>) {
        let index = index_on(&text_embeds.device());
        let chosen: Vec<i64> = layout.routed.iter().map(|routed| routed.picture as i64).collect();
        let image_features = pictures.image_features.clone().select(0, index(&chosen));
        let (Some(moe), Some(experts_output)) = (self.moe(), &pictures.experts_output) else {
            return (image_features, None);
        };
        let longest = layout.routed.iter().map(|routed| routed.text.len()).max().unwrap_or(0).max(1);
        let [count, hidden] = [chosen.len(), text_embeds.dims()[1]];
        let mut text_rows = Vec::with_capacity(count * longest);
        let mut text_mask = Vec::with_capacity(count * longest);
        for routed in &layout.routed {
            text_rows.extend(&routed.text);
            text_rows.resize(text_rows.len() + longest - routed.text.len(), 0);
            text_mask.extend((0..longest).map(|i| i64::from(i < routed.text.len())));
        }
        let padded = text_mask.contains(&0);
        let routing = moe.route(
            image_features.clone(),
            text_embeds.select(0, index(&text_rows)).reshape([count, longest, hidden]),
            padded.then(|| index(&text_mask).reshape([count, longest]).bool()),
        );
        let experts_output = experts_output.clone().select(0, index(&chosen));
        (moe.mix(image_features, experts_output, routing.routing_weights.clone()), Some(routing))
    }

    /// The mixture of experts, if the checkpoint has one and the configuration uses it.
    fn moe(&self) -> Option<&TextGuidedMoe> {
        self.moe_model.as_ref().filter(|_| self.use_moe)
    }

    /// Mean cross-entropy of the labelled tokens, over the whole batch as the reference averages it.
    ///
    /// Each position predicts the next one's label. Only positions that do pass the last layer's feed-forward and meet
    /// the vocabulary.
    ///
    /// # Shapes
    ///
    /// - output: `[1]`, f32
    ///
    /// # Errors
    ///
    /// As [`Prepared::targets`].
    pub fn loss(&self, prepared: Prepared) -> Result<Tensor<1>> {
        let targets = prepared.targets()?;
        let hidden_states = self.language_model.forward_rows(prepared.input, targets.rows.clone(), None);
        Ok(self.cross_entropy(hidden_states, targets))
    }

    /// [`loss`](Self::loss) from what the decoder makes of the positions that predict.
    ///
    /// # Shapes
    ///
    /// - hidden_states: `[rows, hidden]`, from [`Decoder::forward_rows`]
    /// - output: `[1]`, f32
    #[must_use]
    pub fn cross_entropy(&self, hidden_states: Tensor<2>, targets: Targets) -> Tensor<1> {
        negative_log_likelihood(self.language_model.logits(hidden_states), targets.ids.unsqueeze_dim(1))
            .mean()
    }
}

/// A batch of text, for a decoder by itself: [`Parrot::prepare`] where there are no pictures.
///
/// # Errors
///
/// As [`Parrot::prepare`]; a placeholder for a picture is one too many.
///
/// # Panics
///
/// As [`Parrot::prepare`].
pub fn prepare_text(decoder: &Decoder, samples: &[Sample], options: PrepareOptions) -> Result<Prepared> {
    let layout = Layout::new(samples, 0, options, None)?;
    let text_embeds = embed_text(decoder, &layout)?;
    Ok(layout.prepare(text_embeds, None, None))
}

/// The rows of all text tokens, if there are any and the embedding table has a row for each. `[text, hidden]`
fn embed_text(decoder: &Decoder, layout: &Layout) -> Result<Tensor<2>> {
    let vocab = decoder.vocab_size() as i64;
    let reason = match layout.text_ids.iter().find(|id| !(0..vocab).contains(*id)) {
        Some(id) => format!("the token id {id} is outside the vocabulary of {vocab}"),
        None if layout.text_ids.is_empty() => "there is no text beside the pictures".into(),
        None => return Ok(decoder.embed(index_on(&decoder.device())(&layout.text_ids))),
    };
    Err(Error::Conversation { reason })
}

/// Numbers → a tensor of indices, off the tape.
fn index_on(device: &Device) -> impl Fn(&[i64]) -> Tensor<1, Int> + use<> {
    let device = device.clone().inner();
    move |ids| Tensor::from_data(TensorData::new(ids.to_vec(), [ids.len()]), &device)
}

/// What there is to learn in a batch; from [`Prepared::targets`].
#[derive(Debug, Clone)]
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
        Ok(Targets { rows: self.index(rows), ids: self.index(ids) })
    }

    /// The last position of every sample, whose prediction begins the answer; padding has to stand on the left.
    /// `[batch]`
    #[must_use]
    pub fn last_rows(&self) -> Tensor<1, Int> {
        let [batch, seq, _] = self.input.inputs_embeds.dims();
        self.index((1..=batch).map(|end| (end * seq - 1) as i64).collect())
    }

    fn index(&self, rows: Vec<i64>) -> Tensor<1, Int> {
        let count = rows.len();
        Tensor::from_data(TensorData::new(rows, [count]), &self.input.inputs_embeds.device().inner())
    }
}

/// Where every row of a batch comes from, worked out before any tensor is touched.
///
/// Rows are numbered over the concatenation of all text tokens, the routed pictures' tokens and one row
/// of zeros; a single gather then builds the batch.
struct Layout {
    /// Text tokens of all samples, one after the other.
    text_ids: Vec<i64>,
    /// Pictures to route, in the order of the samples.
    routed: Vec<Routed>,
    /// `batch · seq` row numbers.
    rows: Vec<i64>,
    attention_mask: Vec<i64>,
    position_ids: Vec<i64>,
    labels: Option<Vec<Vec<i64>>>,
    lengths: Vec<usize>,
    seq: usize,
}

/// A picture and the text that steers it.
struct Routed {
    picture: usize,
    /// Indices into [`Layout::text_ids`].
    text: Vec<i64>,
}

/// What stands at one position of a sample.
#[derive(Clone, Copy)]
enum Source {
    Text(usize),
    Visual(usize),
    Zero,
}

impl Layout {
    fn new(
        samples: &[Sample],
        picture_tokens: usize,
        options: PrepareOptions,
        routing_text: Option<&[i64]>,
    ) -> Result<Self> {
        assert!(!samples.is_empty(), "a batch needs at least one sample");
        let mut text_ids = Vec::new();
        let mut routed = Vec::new();
        let mut sequences = Vec::with_capacity(samples.len());
        for sample in samples {
            sequences.push(expand(sample, picture_tokens, options, &mut text_ids, &mut routed)?);
        }
        if let Some(text) = routing_text {
            let first = text_ids.len() as i64;
            text_ids.extend(text);
            for picture in &mut routed {
                picture.text = (first..text_ids.len() as i64).collect();
            }
        }
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        let seq = lengths.iter().copied().max().unwrap_or(0);
        let zero_row = text_ids.len() + routed.len() * picture_tokens;
        let row = |source: Source| match source {
            Source::Text(token) => token,
            Source::Visual(token) => text_ids.len() + token,
            Source::Zero => zero_row,
        } as i64;

        let labelled = samples.iter().any(|sample| sample.labels.is_some());
        let mut labels = Vec::new();
        let (mut rows, mut attention_mask, mut position_ids) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in sequences {
            let padding = seq - sequence.len();
            let pad = |values: &mut Vec<i64>, value: i64| values.resize(values.len() + padding, value);
            let mut sample_labels = Vec::with_capacity(seq);
            if options.padding_side == PaddingSide::Left {
                pad(&mut rows, zero_row as i64);
                pad(&mut attention_mask, 0);
                pad(&mut position_ids, 0);
                pad(&mut sample_labels, IGNORE_INDEX);
            }
            for (position, (source, label)) in sequence.iter().enumerate() {
                rows.push(row(*source));
                attention_mask.push(1);
                position_ids.push(position as i64);
                sample_labels.push(*label);
            }
            if options.padding_side == PaddingSide::Right {
                pad(&mut rows, zero_row as i64);
                pad(&mut attention_mask, 0);
                pad(&mut position_ids, 0);
                pad(&mut sample_labels, IGNORE_INDEX);
            }
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
    /// - visual_tokens: `[routed pictures, tokens, hidden]`
    fn prepare(
        self,
        text_embeds: Tensor<2>,
        visual_tokens: Option<Tensor<3>>,
        routing: Option<Routing>,
    ) -> Prepared {
        let (device, [_, hidden]) = (text_embeds.device(), text_embeds.dims());
        let index = index_on(&device);
        let zeros = Tensor::zeros([1, hidden], (&device, text_embeds.dtype()));
        let mut rows = vec![text_embeds];
        rows.extend(visual_tokens.map(|tokens| tokens.reshape([-1, hidden as i64])));
        rows.push(zeros);
        let (batch, seq) = (self.lengths.len(), self.seq);
        let padded = self.lengths.iter().any(|length| *length < seq);
        let grid = |values: &[i64]| index(values).reshape([batch, seq]);
        Prepared {
            input: DecoderInput {
                inputs_embeds: Tensor::cat(rows, 0)
                    .select(0, index(&self.rows))
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

/// One sample's positions with their labels, pictures expanded, truncated to the allowed length.
fn expand(
    sample: &Sample,
    picture_tokens: usize,
    options: PrepareOptions,
    text_ids: &mut Vec<i64>,
    routed: &mut Vec<Routed>,
) -> Result<Vec<(Source, i64)>> {
    let placeholders = sample.input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count();
    let given = if picture_tokens == 0 { 0 } else { sample.pictures.len() };
    if placeholders != given {
        return Err(Error::PictureCount { placeholders, pictures: given });
    }
    if let Some(labels) = &sample.labels {
        assert_eq!(labels.len(), sample.input_ids.len(), "labels and input_ids differ in length");
    }
    let label = |i: usize| sample.labels.as_ref().map_or(IGNORE_INDEX, |labels| labels[i]);
    let mut guiding_text = Vec::new();
    let mut sequence = Vec::new();
    let mut picture_starts = Vec::new();
    let first_routed = routed.len();
    for (i, id) in sample.input_ids.iter().enumerate() {
        if *id != IMAGE_TOKEN_INDEX {
            if label(i) == IGNORE_INDEX {
                guiding_text.push(text_ids.len() as i64);
            }
            sequence.push((Source::Text(text_ids.len()), label(i)));
            text_ids.push(*id);
            continue;
        }
        let picture = picture_starts.len();
        picture_starts.push(sequence.len());
        if picture > 0 && options.reference_pictures {
            sequence.extend((0..picture_tokens).map(|_| (Source::Zero, IGNORE_INDEX)));
        } else {
            let first = routed.len() * picture_tokens;
            sequence.extend((first..first + picture_tokens).map(|row| (Source::Visual(row), IGNORE_INDEX)));
            routed.push(Routed { picture: sample.pictures[picture], text: Vec::new() });
        }
    }
    for routed in &mut routed[first_routed..] {
        routed.text.clone_from(&guiding_text);
    }
    if let Some(limit) = options.max_length.filter(|limit| *limit < sequence.len()) {
        let cut = picture_starts.iter().position(|start| (*start..start + picture_tokens).contains(&limit));
        if let (Some(picture), false) = (cut, options.reference_pictures) {
            let kept = limit - picture_starts[picture];
            if kept > 0 {
                return Err(Error::CutsPicture { picture, kept, picture_tokens, limit });
            }
        }
        sequence.truncate(limit);
    }
    Ok(sequence)
}
