//! A conversation of several turns about the same pictures.

use std::ops::ControlFlow;

use parrot_model::text::{Content, Conversation, Message, Role};

use super::{Parrot, opening};
use crate::answer::Answer;
use crate::generate::{AskOptions, PREFILL_CHUNK};
use crate::image::Image;
use crate::prefix::PrefixCache;
use crate::{Error, Result};

/// The most that the pixels of a conversation's images may take: 1 GiB, five photos of 64 megapixels. Every turn needs them all.
const MAX_IMAGE_BYTES: usize = 1 << 30;

/// A conversation that remembers what was said. Made by [`Parrot::chat`].
///
/// A turn reads what is new since the turn before, as far as it may: the keys and values of all whole chunks of
/// [`PREFILL_CHUNK`](crate::generate::PREFILL_CHUNK) tokens before the first image, or of the whole conversation if there is none.
/// Behind an image they are of no use any more: its tokens depend on *all* the text of the conversation (Eq. 2), so a new
/// question changes them, and with them every key and value that follows. (Not with [`Parrot::route_by`], which fixes what the
/// router reads.) Answers are the same, bit for bit on the CPU, as if the whole conversation were read afresh.
#[derive(Debug)]
pub struct Chat<'p> {
    parrot: &'p Parrot,
    options: AskOptions,
    conversation: Conversation,
    images: Vec<Image>,
    /// Shown with the next question.
    pending: Vec<Image>,
    /// Keys and values of the turn before.
    prefixes: PrefixCache,
}

impl<'p> Chat<'p> {
    pub(super) fn new(parrot: &'p Parrot, options: AskOptions) -> Self {
        let conversation = Conversation(opening(&options));
        let (images, pending, prefixes) = (Vec::new(), Vec::new(), PrefixCache::new(PREFILL_CHUNK));
        Self { parrot, options, conversation, images, pending, prefixes }
    }

    /// Shows a picture together with the next question.
    pub fn show(&mut self, image: Image) {
        self.pending.push(image);
    }

    /// Whether the model has learnt to talk about one image more than this conversation has, those included that wait for
    /// the next question ([`Parrot::max_images_per_conversation`]).
    #[must_use]
    pub fn has_room_for_an_image(&self) -> bool {
        let shown = self.images.len() + self.pending.len();
        self.parrot.max_images_per_conversation().is_none_or(|most| shown < most)
    }

    /// Forgets everything that was said and shown.
    pub fn clear(&mut self) {
        *self = Self::new(self.parrot, self.options.clone());
    }

    /// What was said so far, the system message first if there is one.
    #[must_use]
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// Asks the next question; `on_text` gets the answer piece by piece.
    ///
    /// A question that fails leaves the conversation as it was.
    ///
    /// # Errors
    ///
    /// As [`Parrot::answer`], [`Error::EmptyQuestion`], and the model's error for images whose pixels take more than 1 GiB together.
    pub fn ask(
        &mut self,
        question: &str,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer> {
        if question.trim().is_empty() {
            return Err(Error::EmptyQuestion);
        }
        let mut conversation = self.conversation.clone();
        conversation.0.push(Message::question(question, self.pending.len()));
        let images: Vec<Image> = self.images.iter().chain(&self.pending).cloned().collect();
        check_size(&images)?;
        let prompt = (&conversation, &images[..]);
        let prefixes = Some(&mut self.prefixes);
        let mut answers = self.parrot.run(&[prompt], &self.options, prefixes, |_, text| on_text(text))?;
        let answer = answers.swap_remove(0);
        let said = Content::Text(answer.text.clone());
        conversation.0.push(Message { role: Role::Assistant, content: vec![said] });
        (self.conversation, self.images) = (conversation, images);
        self.pending.clear();
        Ok(answer)
    }
}

fn check_size(images: &[Image]) -> Result<()> {
    let bytes: usize = images.iter().map(|image| image.pixels().as_raw().len()).sum();
    if bytes <= MAX_IMAGE_BYTES {
        return Ok(());
    }
    let reason = format!("its images take {bytes} bytes, at most {MAX_IMAGE_BYTES} are held");
    Err(parrot_model::Error::Conversation { reason }.into())
}
