//! Measures a model on the held-out part of Emoji-VQA-6: accuracy per task, language and drawing style, the
//! same questions without their picture, and how often an answer is in another language than its question.

pub mod people;
mod vocabulary;
pub mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use parrot_infer::{AskOptions, Image, Parrot, Question};
use serde::Serialize;

use crate::catalogue::Style;
use crate::dataset::{Dataset, EvalItem};
use crate::language::{ByLanguage, Language};
use crate::question::{Fact, Task, Turn};
pub(crate) use vocabulary::Words;

/// Right answers and questions.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Score {
    /// Answers that are the expected one, word for word.
    pub right: usize,
    /// Questions asked.
    pub asked: usize,
}

impl Score {
    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.asked += 1;
    }

    /// The share of right answers in percent; 0 when nothing was asked.
    #[must_use]
    pub fn percent(&self) -> f64 {
        if self.asked == 0 { 0.0 } else { 100.0 * self.right as f64 / self.asked as f64 }
    }
}

/// How it is decided what a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answering {
    /// It takes the listed option that it finds likeliest; a guess is right one time in four.
    Choosing,
    /// It answers the same question in words: with an option, or anything else.
    Saying,
    /// What it says when no options are listed.
    Open,
}

/// What a score is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    task: Task,
    language: Language,
    answering: Answering,
    /// Drawn by Twemoji, which no training picture was.
    unseen: bool,
}

/// Everything measured on one model.
#[derive(Debug, Default)]
pub struct Evaluation {
    with_image: BTreeMap<Key, Score>,
    without_image: BTreeMap<Key, Score>,
    /// The picture told in words instead of shown: what the decoder could do if it saw perfectly.
    told: BTreeMap<Key, Score>,
    /// By task, the expected share of right answers of a guess among what the picture shows, over the items
    /// where that decides nothing by itself.
    guesses: BTreeMap<Task, Vec<f64>>,
    /// Open answers that are words of the data set in another language and not in the question's.
    wrong_language: BTreeMap<Language, Score>,
}

/// Asks every question of `scenes` held-out scenes in six languages and both forms, with the picture, without it
/// and with the picture told in words.
///
/// # Errors
///
/// What asking refuses.
pub fn evaluate(model: &Parrot, data: &Dataset, scenes: usize, image_size: u32) -> Result<Evaluation> {
    let items = data.evaluation(scenes);
    let words = Words::new(data.catalogue());
    let progress = progress(items.len());
    let mut evaluation = Evaluation::default();
    for item in &items {
        let image = Image::from_rgb(data.render(&item.scene, image_size));
        let told = ByLanguage::from_fn(|language| data.describe(&item.scene, language) + "\n");
        if let Some(share) = guess(item) {
            evaluation.guesses.entry(item.query.task).or_default().push(share);
        }
        evaluation.ask(model, item, Shown::Image(&image), &words)?;
        evaluation.ask(model, item, Shown::Nothing, &words)?;
        evaluation.ask(model, item, Shown::Words(&told), &words)?;
        progress.inc(1);
        progress.set_message(format!("{:.1} % right", total(evaluation.with_image.values()).percent()));
    }
    progress.finish_and_clear();
    Ok(evaluation)
}

/// A bar that counts pictures.
fn progress(images: usize) -> ProgressBar {
    let template = "{wide_bar} {pos}/{len} pictures  {msg}  ETA {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(images as u64).with_style(style)
}

/// What comes with a question.
#[derive(Clone, Copy)]
enum Shown<'a> {
    Image(&'a Image),
    Nothing,
    Words(&'a ByLanguage<String>),
}

impl Evaluation {
    /// One scene's question in all languages and forms, as one batch.
    fn ask(&mut self, model: &Parrot, item: &EvalItem, shown: Shown<'_>, words: &Words) -> Result<()> {
        let turns: Vec<(Language, Answering, &Turn)> =
            (item.choice.iter().map(|(language, turn)| (language, Answering::Saying, turn)))
                .chain(item.open.iter().map(|(language, turn)| (language, Answering::Open, turn)))
                .collect();
        let (images, scores) = match shown {
            Shown::Image(image) => (std::slice::from_ref(image), &mut self.with_image),
            Shown::Nothing => (&[] as &[Image], &mut self.without_image),
            Shown::Words(_) => (&[] as &[Image], &mut self.told),
        };
        let prompt = |(language, _, turn): &(Language, Answering, &Turn)| match shown {
            Shown::Words(told) => told.get(*language).clone() + &turn.prompt(),
            _ => turn.prompt(),
        };
        let prompts: Vec<String> = turns.iter().map(prompt).collect();
        let questions: Vec<Question<'_>> = prompts.iter().map(|text| Question::new(images, text)).collect();
        let options = AskOptions { max_new_tokens: 24, ..AskOptions::default() };
        let answers = model.ask_batch(&questions, &options)?;
        // Those with options come first.
        let with_options = questions.iter().zip(item.choice.iter());
        let with_options: Vec<(Question<'_>, &[String])> =
            with_options.map(|(question, (_, turn))| (*question, &turn.options[..])).collect();
        let choices = model.choose_batch(&with_options, &AskOptions::default())?;

        let unseen = item.scene.style == Style::Twemoji;
        let mut count = |language: Language, answering: Answering, right: bool| {
            let key = Key { task: item.query.task, language, answering, unseen };
            scores.entry(key).or_default().add(right);
        };
        for ((language, turn), choice) in item.choice.iter().zip(choices) {
            count(language, Answering::Choosing, turn.options[choice.index] == turn.text);
        }
        for ((language, answering, turn), answer) in turns.into_iter().zip(answers) {
            let text = answer.text.trim();
            count(language, answering, text == turn.text);
            if answering == Answering::Open && !images.is_empty() {
                let confused = words.in_another_language(text, language);
                self.wrong_language.entry(language).or_default().add(confused);
            }
        }
        Ok(())
    }

    /// The tables of the model card, as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let asked = total(self.with_image.values()).asked;
        let mut text = String::from(
            "Right answers in percent, mean over six languages. 4-way: the likeliest of options A to D (two for \
             exist); said: what the model itself answers to the same question; open: what it answers where no options \
             are listed.\n\n",
        );
        let rows = Task::ALL.map(|task| {
            let seen = three(&self.with_image, |key| key.task == task && !key.unseen);
            let unseen = three(&self.with_image, |key| key.task == task && key.unseen);
            row(name(task), [seen, unseen].concat())
        });
        text += &table(&[&["task"], &SEEN[..], &TWEMOJI].concat(), &rows);

        text += "\nWhat is right without seeing:\n\n";
        let rows = Task::ALL.map(|task| {
            let nothing = three(&self.without_image, |key| key.task == task);
            let told = three(&self.told, |key| key.task == task);
            let guess = self.guesses.get(&task).map_or_else(
                || "–".into(),
                |shares| format!("{:.1}", 100.0 * shares.iter().sum::<f64>() / shares.len() as f64),
            );
            row(name(task), [&nothing[..], &told, &[guess]].concat())
        });
        let columns = [&["task"], &NO_IMAGE[..], &TOLD, &["a guess among what is shown"]].concat();
        text += &table(&columns, &rows);

        text += "\nBy language, all tasks:\n\n";
        let rows = Language::ALL.map(|language| {
            let seen = three(&self.with_image, |key| key.language == language && !key.unseen);
            let unseen = three(&self.with_image, |key| key.language == language && key.unseen);
            let wrong = self.wrong_language.get(&language).copied().unwrap_or_default();
            row(language.code(), [&seen[..], &unseen, &[format!("{:.2}", wrong.percent())]].concat())
        });
        let columns = [&["language"], &SEEN[..], &TWEMOJI, &["in another language"]].concat();
        text += &table(&columns, &rows);

        let columns: Vec<&str> = ["language"].into_iter().chain(Task::ALL.map(name)).collect();
        for (unseen, styles) in [(false, "Seen styles"), (true, "Twemoji")] {
            let _ = writeln!(text, "\n{styles}, by language and task, 4-way / open:\n");
            let rows = Language::ALL.map(|language| {
                let cell = |task: Task| {
                    let [choosing, _, open] = three(&self.with_image, |key| {
                        key.task == task && key.language == language && key.unseen == unseen
                    });
                    format!("{choosing} / {open}")
                };
                row(language.code(), Task::ALL.map(cell).to_vec())
            });
            text += &table(&columns, &rows);
        }
        let _ =
            writeln!(text, "\n{asked} answers with their picture, as many without, as many told in words.");
        text
    }
}

const SEEN: [&str; 3] = ["seen, 4-way", "seen, said", "seen, open"];
const TWEMOJI: [&str; 3] = ["Twemoji, 4-way", "Twemoji, said", "Twemoji, open"];
const NO_IMAGE: [&str; 3] = ["no picture, 4-way", "no picture, said", "no picture, open"];
const TOLD: [&str; 3] = ["told, 4-way", "told, said", "told, open"];

/// The share of right answers among the `chosen`, for each way of answering.
fn three(scores: &BTreeMap<Key, Score>, chosen: impl Fn(&Key) -> bool) -> [String; 3] {
    [Answering::Choosing, Answering::Saying, Answering::Open].map(|answering| {
        let of_interest = scores.iter().filter(|(key, _)| key.answering == answering && chosen(key));
        format!("{:.1}", total(of_interest.map(|(_, score)| score)).percent())
    })
}

/// What a model scores on a question that knows which things and colours are shown, but not where: one in as
/// many as the options have of them. `None` where knowing them is knowing the answer.
fn guess(item: &EvalItem) -> Option<f64> {
    let query = &item.query;
    let is_shown = |fact: &Fact| match fact {
        Fact::Concept(concept) => item.scene.count(*concept) > 0,
        Fact::Colour(colour) => item.scene.tiles.iter().any(|tile| tile.ground.colour() == Some(*colour)),
        _ => false,
    };
    let options = || query.distractors.iter().chain([&query.answer]);
    matches!(query.task, Task::Colour | Task::Corner | Task::RightOf | Task::Above)
        .then(|| 1.0 / options().filter(|fact| is_shown(fact)).count().max(1) as f64)
}

fn row(name: &str, cells: Vec<String>) -> Vec<String> {
    [vec![name.to_owned()], cells].concat()
}

/// Rows of cells as Markdown; numbers are aligned to the right.
fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|---{}|\n", columns.join(" | "), "|--:".repeat(columns.len() - 1));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

fn total<'a>(scores: impl Iterator<Item = &'a Score>) -> Score {
    scores.fold(Score::default(), |sum, score| Score {
        right: sum.right + score.right,
        asked: sum.asked + score.asked,
    })
}

fn name(task: Task) -> &'static str {
    match task {
        Task::Naming => "naming",
        Task::Category => "category",
        Task::Exist => "exist",
        Task::Count => "count",
        Task::Colour => "colour",
        Task::Corner => "corner",
        Task::RightOf => "right of",
        Task::Above => "above",
    }
}
