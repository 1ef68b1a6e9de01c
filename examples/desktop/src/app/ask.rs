//! What is asked: a question of the conversation, or one in six languages.

use parrot_infer::{AskOptions, Request, Sampling};
use parrot_model::text::{Conversation, Message, Role};

use super::App;
use crate::answer::Answer;
use crate::composer::HINT;
use crate::languages::{LANGUAGES, Language};
use crate::pictures::Picture;
use crate::turn::Turn;

impl App {
    /// Asks what stands in the field, as the next question of the conversation.
    pub(super) fn ask(&mut self) {
        let draft = self.composer.draft.trim();
        let question = if draft.is_empty() { HINT.to_owned() } else { draft.to_owned() };
        if draft.is_empty() && self.composer.pictures.is_empty() {
            return;
        }
        self.composer.draft.clear();
        let pictures = std::mem::take(&mut self.composer.pictures);
        self.begins |= !self.has_room_for(pictures.len());
        let begins = std::mem::take(&mut self.begins);
        let (mut messages, mut shown) = if begins { Default::default() } else { self.said() };
        messages.push(Message::question(&question, pictures.len()));
        shown.extend(pictures.iter().cloned());
        let answer = self.answer(None, question, Conversation(messages), &shown);
        self.turns.push(Turn { pictures, answers: vec![answer], begins });
        self.composer.wants_focus = true;
    }

    /// Asks in six languages, which has nothing to do with the conversation, about the pictures in the field or the last ones.
    pub(super) fn ask_six(&mut self, wordings: [String; 6]) {
        let pictures = if self.composer.pictures.is_empty() {
            let last = self.turns.iter().rev().find(|turn| !turn.pictures.is_empty());
            last.map(|turn| turn.pictures.clone()).unwrap_or_default()
        } else {
            self.composer.pictures.clone()
        };
        let answers = LANGUAGES.iter().zip(wordings).map(|(language, question)| {
            let conversation = Conversation::question(&question, pictures.len());
            self.answer(Some(language), question, conversation, &pictures)
        });
        let answers = answers.collect();
        self.turns.push(Turn { pictures, answers, begins: false });
    }

    fn answer(
        &self,
        language: Option<&'static Language>,
        question: String,
        conversation: Conversation,
        pictures: &[Picture],
    ) -> Answer {
        let images = pictures.iter().map(|picture| picture.image.clone()).collect();
        let sampling = Sampling { temperature: Some(self.settings.temperature), ..Sampling::default() };
        let max_new_tokens = self.settings.max_new_tokens;
        let options = AskOptions { max_new_tokens, sampling, ..AskOptions::default() };
        let mut answer = Answer::new(language, question, Request { conversation, images, options });
        // A model that is being loaded is waited for.
        if self.model.is_some() || self.loading.is_none() {
            answer.ask(self.model.as_ref().map(|model| &model.engine));
        }
        answer
    }

    /// The conversation so far, without what was not answered.
    fn said(&self) -> (Vec<Message>, Vec<Picture>) {
        let first = self.turns.iter().rposition(|turn| turn.begins).unwrap_or(0);
        let (mut messages, mut pictures) = (Vec::new(), Vec::new());
        for turn in self.turns[first..].iter().filter(|turn| !turn.is_six()) {
            for answer in turn.answers.iter().filter(|answer| !answer.text.is_empty()) {
                messages.push(Message::question(&answer.question, turn.pictures.len()));
                messages.push(Message::text(Role::Assistant, &answer.text));
                pictures.extend(turn.pictures.iter().cloned());
            }
        }
        (messages, pictures)
    }

    /// Whether the model has learnt to talk about so many images more than the conversation has.
    fn has_room_for(&self, images: usize) -> bool {
        let most = self.model.as_ref().and_then(|model| model.engine.max_images_per_conversation());
        images == 0 || most.is_none_or(|most| self.said().1.len() + images <= most)
    }
}
