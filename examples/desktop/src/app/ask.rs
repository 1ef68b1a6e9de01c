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
        let (is_first, notice) = (self.begins || self.said().0.is_empty(), self.notice(pictures.len()));
        self.begins |= notice.is_some();
        let begins = std::mem::take(&mut self.begins);
        let (mut messages, mut shown) = if begins { Default::default() } else { self.said() };
        messages.push(Message::question(&question, pictures.len()));
        shown.extend(pictures.iter().cloned());
        let answer = self.answer(None, question, Conversation(messages), &shown);
        let start = if is_first { "This" } else { "A new conversation: this" };
        let notice = notice.map(|notice| format!("{start} {notice}")).unwrap_or_default();
        self.turns.push(Turn { pictures, answers: vec![answer], begins, notice });
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
        // Only the pictures of this question: six columns are no part of the conversation.
        let notice = self.most_images().filter(|most| pictures.len() > *most);
        let notice = notice.map(|most| format!("This {}", learnt(most))).unwrap_or_default();
        self.turns.push(Turn { pictures, answers, begins: false, notice });
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

    /// Why the conversation cannot go on with so many images more, if it cannot.
    fn notice(&self, images: usize) -> Option<String> {
        let before = if self.begins { 0 } else { self.said().1.len() };
        let most = self.most_images().filter(|most| images > 0 && before + images > *most)?;
        Some(learnt(most))
    }

    fn most_images(&self) -> Option<usize> {
        self.model.as_ref()?.engine.max_images_per_conversation()
    }
}

/// - most: images that a model has learnt to talk about at a time
fn learnt(most: usize) -> String {
    let pictures = if most == 1 { "one picture".to_owned() } else { format!("{most} pictures") };
    format!("model has learnt to talk about {pictures} at a time.")
}
