//! The join: images and tokens → embeddings → logits.
//!
//! A prompt is a list of token ids in which [`IMAGE_TOKEN_INDEX`](crate::text::IMAGE_TOKEN_INDEX) stands for an image.
//! [`ParrotModel::encode_images`] computes what does not depend on what is asked about an image;
//! [`ParrotModel::prepare`] routes every image by its own prompt's text, puts the visual tokens where the placeholders
//! stand and pads the batch; [`Decoder::forward`] does the rest.

use burn::prelude::*;

use crate::batch::{BatchLayout, PrepareOptions, Prepared, Sample, Targets};
use crate::config::{ParrotConfig, ProjectorKind, VisionConfig};
use crate::language::Decoder;
use crate::ops::cross_entropy;
use crate::projector::{Projector, Routing, TextGuidedMoe};
use crate::vision::VisionTower;
use crate::{Error, Result, int_tensor};

/// The whole network.
#[derive(Module, Debug)]
pub struct ParrotModel {
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
}

/// What images contribute, whatever the question: compute once, ask often.
#[derive(Debug, Clone)]
pub struct ImageFeatures {
    /// Projected features `H_v`. `[images, tokens, hidden]`
    pub image_features: Tensor<3>,
    /// Every expert's output `Eₑ(H_v)`; `None` without a mixture. `[images, experts, tokens, hidden]`
    pub experts_output: Option<Tensor<4>>,
}

impl ParrotModel {
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
        })
    }

    /// Vision tower, projector and experts: all that can be computed before a question is asked.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[images, 3, image_size, image_size]`
    #[must_use]
    pub fn encode_images(&self, pixel_values: Tensor<4>) -> ImageFeatures {
        self.project(self.vision_tower.forward(pixel_values))
    }

    /// [`encode_images`](Self::encode_images) from the tower's features on: in training the tower is
    /// frozen and runs outside the gradient's tape.
    ///
    /// # Shapes
    ///
    /// - features: `[images, tokens, vision_hidden]`
    #[must_use]
    pub fn project(&self, features: Tensor<3>) -> ImageFeatures {
        let image_features = self.mm_projector.forward(features);
        let experts_output = self.moe().map(|moe| moe.experts(image_features.clone()));
        ImageFeatures { image_features, experts_output }
    }

    /// Text and images → one batch of embeddings.
    ///
    /// # Errors
    ///
    /// [`Error::ImageCount`] when a sample's placeholders and images do not match;
    /// [`Error::CutsImage`] when truncation would cut an image in two; [`Error::Conversation`] for a batch
    /// without text or a token outside the vocabulary.
    ///
    /// # Panics
    ///
    /// If `samples` is empty, a sample's labels are not as long as its ids, or an image is no row of
    /// `images`.
    pub fn prepare(
        &self,
        samples: &[Sample],
        images: Option<&ImageFeatures>,
        options: PrepareOptions,
    ) -> Result<Prepared> {
        let image_tokens = images.map_or(0, |images| images.image_features.dims()[1]);
        let layout = BatchLayout::new(samples, image_tokens, options)?;
        let text_embeds = self.language_model.embed_text(&layout.text_ids)?;
        let routed = images.filter(|_| !layout.routed.is_empty());
        let routed = routed.map(|images| self.route_images(images, &layout, text_embeds.clone()));
        let (visual_tokens, routing) =
            routed.map_or((None, None), |(tokens, routing)| (Some(tokens), routing));
        Ok(layout.gather(text_embeds, visual_tokens, routing))
    }

    /// The visual tokens of every routed image, as its own prompt's text steers them.
    fn route_images(
        &self,
        images: &ImageFeatures,
        layout: &BatchLayout,
        text_embeds: Tensor<2>,
    ) -> (Tensor<3>, Option<Routing>) {
        let device = text_embeds.device();
        let chosen: Vec<i64> = layout.routed.iter().map(|routed| routed.image as i64).collect();
        let image_features = images.image_features.clone().select(0, int_tensor(&chosen, &device));
        let (Some(moe), Some(experts_output)) = (self.moe(), &images.experts_output) else {
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
            text_embeds.select(0, int_tensor(&text_rows, &device)).reshape([count, longest, hidden]),
            padded.then(|| int_tensor(&text_mask, &device).reshape([count, longest]).bool()),
        );
        let experts_output = experts_output.clone().select(0, int_tensor(&chosen, &device));
        (moe.mix(image_features, experts_output, routing.routing_weights.clone()), Some(routing))
    }

    /// The mixture of experts, if the checkpoint has one and the configuration uses it.
    fn moe(&self) -> Option<&TextGuidedMoe> {
        self.moe_model.as_ref().filter(|_| self.use_moe)
    }

    /// Mean cross-entropy of the labelled tokens, over the whole batch as the reference averages it.
    ///
    /// Each position predicts the next one's label. Only positions with a label to predict pass the last layer's feed-forward and
    /// the head.
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

    /// [`loss`](Self::loss) from the hidden states of the positions that predict.
    ///
    /// # Shapes
    ///
    /// - hidden_states: `[rows, hidden]`, from [`Decoder::forward_rows`]
    /// - output: `[1]`, f32
    #[must_use]
    pub fn cross_entropy(&self, hidden_states: Tensor<2>, targets: Targets) -> Tensor<1> {
        cross_entropy(self.language_model.logits(hidden_states), targets.ids.unsqueeze_dim(1)).mean()
    }
}

/// [`ParrotModel::prepare`] for a decoder alone, without images.
///
/// # Errors
///
/// As [`ParrotModel::prepare`]; any placeholder for an image is an [`Error::ImageCount`].
///
/// # Panics
///
/// As [`ParrotModel::prepare`].
pub fn prepare_text(decoder: &Decoder, samples: &[Sample], options: PrepareOptions) -> Result<Prepared> {
    let layout = BatchLayout::new(samples, 0, options)?;
    let text_embeds = decoder.embed_text(&layout.text_ids)?;
    Ok(layout.gather(text_embeds, None, None))
}
