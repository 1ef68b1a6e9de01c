//! [`Parrot`]: a model together with everything else that an answer needs.

mod admission;
mod answers;
mod chat;
mod choose;
mod encoded_images;
mod image_cache;
mod load;
mod loaded_model;
mod prompt;
mod run;
mod steps;
#[cfg(test)]
pub(crate) mod tests;

use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::time::Duration;

use burn::prelude::*;
use parrot_model::config::DecoderConfig;
use parrot_model::device::WeightDtype;
use parrot_model::language::Decoder;
use parrot_model::text::{ChatTemplate, Conversation, Message, Role, Tokenizer};

pub(crate) use admission::{Admitted, BegunAnswer};
pub use chat::Chat;
pub use choose::Choice;
pub(crate) use encoded_images::EncodedImages;
pub use image_cache::ImageCacheUse;
pub use load::Loader;
pub(crate) use prompt::{Prompt, Prompts};
pub use steps::AnswerSteps;

use crate::answer::Answer;
use crate::generate::{AskOptions, Formats};
use crate::image::Image;
use crate::{Error, Result};
use image_cache::ImageCache;
use loaded_model::LoadedModel;

/// Bytes of images' features that are remembered unless [`Parrot::remember_image_bytes`] says otherwise.
///
/// One image of Parrot-7B takes 66 MB in f32: 577 tokens × 4096 × (projected + 6 experts).
pub const IMAGE_CACHE_BYTES: u64 = 512 << 20;

/// A loaded model, to be asked about pictures. A text model takes questions without pictures.
///
/// It is `Send` and `Sync` and is asked through `&self`, so one in an `Arc` serves all threads. A call blocks until its answer
/// is complete. Concurrent calls share the processor's cores, so more than one or two at a time only slow each other down: an
/// [`Engine`](crate::Engine) answers many at once, and asynchronously.
#[derive(Debug)]
pub struct Parrot {
    model: LoadedModel,
    pub(crate) config: DecoderConfig,
    pub(crate) tokenizer: Tokenizer,
    template: ChatTemplate,
    eos: Vec<u32>,
    device: Device,
    dtype: WeightDtype,
    pub(crate) remembered: ImageCache,
    /// Forms of answers, made when one is first asked for.
    formats: OnceLock<Formats>,
    /// What the router reads in the place of the question.
    routing_text: Option<Vec<i64>>,
    pub(crate) load: Duration,
}

/// A question of a batch.
#[derive(Debug, Clone, Copy, derive_new::new)]
pub struct Question<'a> {
    /// What it is about; may be empty.
    pub images: &'a [Image],
    /// The words.
    pub text: &'a str,
}

impl Parrot {
    /// Remembers the features of the images that were asked about last, in up to `budget` bytes.
    #[must_use]
    pub fn remember_image_bytes(mut self, budget: u64) -> Self {
        self.remembered = ImageCache::new(budget);
        self
    }

    /// The memory that the features of one image take; 0 for a text model.
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        let Ok((parrot, images)) = self.model.parrot() else { return 0 };
        let experts = parrot.moe_model.as_ref().filter(|_| parrot.use_moe).map_or(0, |moe| moe.num_experts());
        let elements = (1 + experts) * images.tokens * self.config.hidden_size;
        (elements * self.decoder().activation_dtype().size()) as u64
    }

    /// Makes the router read this text instead of every question, to measure what routing by the question is worth
    /// ([`routing_text`](parrot_model::batch::Sample::routing_text)).
    ///
    /// # Errors
    ///
    /// [`Error::EmptyQuestion`] when there is nothing to read, [`Error::TextOnly`] when nothing is routed.
    pub fn route_by(mut self, text: &str) -> Result<Self> {
        let ids = self.tokenizer.encode_text(text)?;
        if ids.is_empty() {
            return Err(Error::EmptyQuestion);
        }
        self.model.parrot()?;
        self.routing_text = Some(ids.into_iter().map(i64::from).collect());
        Ok(self)
    }

    /// The decoder's configuration.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// How its prompts are laid out.
    #[must_use]
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The network; `None` for a text model, which is a [`decoder`](Self::decoder) alone.
    #[must_use]
    pub fn model(&self) -> Option<&parrot_model::parrot::ParrotModel> {
        self.model.parrot().ok().map(|(parrot, _)| parrot)
    }

    /// The language model.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        self.model.decoder()
    }

    /// The most images that it has learnt to talk about in one conversation; `None` where its checkpoint does not say
    /// ([`max_images_per_conversation`](parrot_model::config::ParrotConfig::max_images_per_conversation)). More are not refused,
    /// but what it says about them means little.
    #[must_use]
    pub fn max_images_per_conversation(&self) -> Option<usize> {
        self.model.parrot().ok().and_then(|(_, images)| images.per_conversation)
    }

    /// The device that it computes on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The dtype of its weights.
    #[must_use]
    pub fn dtype(&self) -> WeightDtype {
        self.dtype
    }

    /// Asks about one picture.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), and [`Error::EmptyQuestion`].
    pub fn ask(&self, image: &Image, question: &str) -> Result<Answer> {
        self.ask_many(std::slice::from_ref(image), question)
    }

    /// Asks one question about several pictures, or about none.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), and [`Error::EmptyQuestion`].
    pub fn ask_many(&self, images: &[Image], question: &str) -> Result<Answer> {
        self.ask_streaming(images, question, &AskOptions::default(), |_| ControlFlow::Continue(()))
    }

    /// [`ask_many`](Self::ask_many) with options; `on_text` gets the answer piece by piece, whole characters
    /// only, and ends it with `Break`.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), and [`Error::EmptyQuestion`].
    pub fn ask_streaming(
        &self,
        images: &[Image],
        question: &str,
        options: &AskOptions,
        on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer> {
        let conversation = ask(Question::new(images, question), options)?;
        self.answer(&conversation, images, options, on_text)
    }

    /// Asks several questions at once; the answers are those that [`ask_streaming`](Self::ask_streaming) gives to each alone:
    /// on the CPU bit for bit, on other devices up to the rounding of a differently shaped product.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), and [`Error::EmptyQuestion`]; one bad question fails the batch.
    pub fn ask_batch(&self, questions: &[Question<'_>], options: &AskOptions) -> Result<Vec<Answer>> {
        let conversations: Vec<Conversation> =
            questions.iter().map(|question| ask(*question, options)).collect::<Result<_>>()?;
        let prompts = conversations.iter().zip(questions.iter().map(|question| question.images));
        self.run(&prompts.collect::<Vec<_>>(), options, None, |_, _| ControlFlow::Continue(()))
    }

    /// Begins a conversation of several turns.
    #[must_use]
    pub fn chat(&self, options: AskOptions) -> Chat<'_> {
        Chat::new(self, options)
    }

    /// Continues a conversation, whose [`Content::Image`](parrot_model::text::Content::Image)s stand
    /// for `images` in order. [`AskOptions::system`] does not apply.
    ///
    /// # Errors
    ///
    /// [`parrot_model::Error::TooLong`] when the prompt does not fit the context, any other
    /// [`parrot_model::Error`] of a conversation that cannot be encoded, [`Error::TextOnly`] for a picture shown to a text
    /// model, [`Error::Option`], [`Error::NotFinite`] and [`Error::Compute`].
    pub fn answer(
        &self,
        conversation: &Conversation,
        images: &[Image],
        options: &AskOptions,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer> {
        let mut answers = self.run(&[(conversation, images)], options, None, |_, text| on_text(text))?;
        Ok(answers.swap_remove(0))
    }
}

/// A question as a conversation.
fn ask(question: Question<'_>, options: &AskOptions) -> Result<Conversation> {
    if question.text.trim().is_empty() {
        return Err(Error::EmptyQuestion);
    }
    let mut messages = opening(options);
    messages.push(Message::question(question.text, question.images.len()));
    Ok(Conversation(messages))
}

/// The messages before the first question: the system message, if the options have one.
fn opening(options: &AskOptions) -> Vec<Message> {
    options.system.iter().map(|system| Message::text(Role::System, system)).collect()
}
