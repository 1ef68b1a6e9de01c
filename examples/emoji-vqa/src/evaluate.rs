//! Measures a model on the held-out part of Emoji-VQA-6: accuracy per task, language and drawing style, the
//! same questions without their picture, and how often an answer is in another language than its question.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use parrot_infer::{AskOptions, Parrot, Picture, Question};
use serde::Serialize;

use crate::catalogue::{Catalogue, Style};
use crate::colour::Colour;
use crate::dataset::{Dataset, EvalItem};
use crate::language::{ByLanguage, Language};
use crate::question::{Fact, Form, Task, Turn};
use crate::wording::Wording;

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

/// What a score is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    task: Task,
    language: Language,
    form: Form,
    /// Drawn by Twemoji, which no training picture was.
    unseen: bool,
}

/// Everything measured on one model.
#[derive(Debug, Default)]
pub struct Evaluation {
    with_picture: BTreeMap<Key, Score>,
    without_picture: BTreeMap<Key, Score>,
    /// The picture told in words instead of shown: what the decoder could do if it saw perfectly.
    told: BTreeMap<Key, Score>,
    /// By task, the expected share of right answers of a guess among what the picture shows, over the items
    /// where that decides nothing by itself.
    guesses: BTreeMap<Task, Vec<f64>>,
    /// Open answers that are words of the data set in another language and not in the question's.
    wrong_language: BTreeMap<Language, Score>,
}

/// Asks every question of `scenes` held-out scenes in six languages and both forms, with the picture and
/// without it.
///
/// # Errors
///
/// What asking refuses.
pub fn evaluate(model: &Parrot, data: &Dataset, scenes: usize, picture_size: u32) -> Result<Evaluation> {
    let items = data.evaluation(scenes);
    let words = Words::new(data.catalogue());
    let progress = ProgressBar::new(items.len() as u64);
    let template = "{wide_bar} {pos}/{len} scenes  {msg}  ETA {eta}";
    progress
        .set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut evaluation = Evaluation::default();
    for item in &items {
        let picture = Picture::from_rgb(data.render(&item.scene, picture_size));
        let told = ByLanguage::from_fn(|language| data.describe(&item.scene, language) + "\n");
        if let Some(share) = guess(item) {
            evaluation.guesses.entry(item.query.task).or_default().push(share);
        }
        evaluation.ask(model, item, Shown::Picture(&picture), &words)?;
        evaluation.ask(model, item, Shown::Nothing, &words)?;
        evaluation.ask(model, item, Shown::Words(&told), &words)?;
        progress.inc(1);
        progress.set_message(format!("{:.1} % right", total(evaluation.with_picture.values()).percent()));
    }
    progress.finish_and_clear();
    Ok(evaluation)
}

/// What comes with a question.
#[derive(Clone, Copy)]
enum Shown<'a> {
    Picture(&'a Picture),
    Nothing,
    Words(&'a ByLanguage<String>),
}

impl Evaluation {
    /// One scene's question in all languages and forms, as one batch.
    fn ask(&mut self, model: &Parrot, item: &EvalItem, shown: Shown<'_>, words: &Words) -> Result<()> {
        let turns: Vec<(Language, Form, &Turn)> =
            (item.choice.iter().map(|(l, turn)| (l, Form::Choice, turn)))
                .chain(item.open.iter().map(|(l, turn)| (l, Form::Open, turn)))
                .collect();
        let (pictures, scores) = match shown {
            Shown::Picture(picture) => (std::slice::from_ref(picture), &mut self.with_picture),
            Shown::Nothing => (&[] as &[Picture], &mut self.without_picture),
            Shown::Words(_) => (&[] as &[Picture], &mut self.told),
        };
        let prompt = |(language, _, turn): &(Language, Form, &Turn)| match shown {
            Shown::Words(told) => told.get(*language).clone() + &turn.prompt(),
            _ => turn.prompt(),
        };
        let prompts: Vec<String> = turns.iter().map(prompt).collect();
        let questions: Vec<Question<'_>> = prompts.iter().map(|text| Question::new(pictures, text)).collect();
        let options = AskOptions { max_new_tokens: 24, ..AskOptions::default() };
        let answers = model.ask_batch(&questions, &options)?;
        for ((language, form, turn), answer) in turns.into_iter().zip(answers) {
            let text = answer.text.trim();
            let unseen = item.scene.style == Style::Twemoji;
            let key = Key { task: item.query.task, language, form, unseen };
            scores.entry(key).or_default().add(text == turn.text);
            if form == Form::Open && !pictures.is_empty() {
                self.wrong_language
                    .entry(language)
                    .or_default()
                    .add(words.in_another_language(text, language));
            }
        }
        Ok(())
    }

    /// The tables of the model card, as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "Right answers in percent, mean over six languages. 4-way: options A to D (two for exist); open: the \
             expected word.\n\n",
        );
        let columns = [
            "task",
            "seen, 4-way",
            "seen, open",
            "Twemoji, 4-way",
            "Twemoji, open",
            "no picture, 4-way",
            "no picture, open",
            "a guess among what is shown",
            "told, 4-way",
            "told, open",
        ];
        let by_task = Task::ALL.map(|task| {
            let share = |scores: &BTreeMap<Key, Score>, form: Form, unseen: Option<bool>| {
                let chosen = |key: &Key| {
                    key.task == task && key.form == form && unseen.is_none_or(|unseen| unseen == key.unseen)
                };
                percent(select(scores, chosen))
            };
            vec![
                name(task).to_owned(),
                share(&self.with_picture, Form::Choice, Some(false)),
                share(&self.with_picture, Form::Open, Some(false)),
                share(&self.with_picture, Form::Choice, Some(true)),
                share(&self.with_picture, Form::Open, Some(true)),
                share(&self.without_picture, Form::Choice, None),
                share(&self.without_picture, Form::Open, None),
                self.guesses.get(&task).map_or_else(
                    || "–".into(),
                    |shares| format!("{:.1}", 100.0 * shares.iter().sum::<f64>() / shares.len() as f64),
                ),
                share(&self.told, Form::Choice, None),
                share(&self.told, Form::Open, None),
            ]
        });
        text += &table(&columns, &by_task);

        text += "\nBy language, all tasks:\n\n";
        let columns = [
            "language",
            "seen, 4-way",
            "seen, open",
            "Twemoji, 4-way",
            "Twemoji, open",
            "in another language",
        ];
        let by_language = Language::ALL.map(|language| {
            let share = |form: Form, unseen: bool| {
                let chosen = |key: &Key| key.language == language && key.form == form && key.unseen == unseen;
                percent(select(&self.with_picture, chosen))
            };
            let wrong = self.wrong_language.get(&language).copied().unwrap_or_default();
            vec![
                language.code().to_owned(),
                share(Form::Choice, false),
                share(Form::Open, false),
                share(Form::Choice, true),
                share(Form::Open, true),
                format!("{:.2}", wrong.percent()),
            ]
        });
        text += &table(&columns, &by_language);

        let columns: Vec<&str> = ["language"].into_iter().chain(Task::ALL.map(name)).collect();
        for (unseen, styles) in [(false, "Seen styles"), (true, "Twemoji")] {
            let _ = writeln!(text, "\n{styles}, by language and task, 4-way / open:\n");
            let rows = Language::ALL.map(|language| {
                let cell = |task: Task| {
                    let share = |form: Form| {
                        let key = Key { task, language, form, unseen };
                        percent(self.with_picture.get(&key).copied().unwrap_or_default())
                    };
                    format!("{} / {}", share(Form::Choice), share(Form::Open))
                };
                [language.code().to_owned()].into_iter().chain(Task::ALL.map(cell)).collect()
            });
            text += &table(&columns, &rows);
        }
        let asked = total(self.with_picture.values()).asked;
        let _ =
            writeln!(text, "\n{asked} questions with their picture, as many without, as many told in words.");
        text
    }
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

/// Rows of cells as Markdown; numbers are aligned to the right.
fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|---{}|\n", columns.join(" | "), "|--:".repeat(columns.len() - 1));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

fn percent(score: Score) -> String {
    format!("{:.1}", score.percent())
}

fn select(scores: &BTreeMap<Key, Score>, chosen: impl Fn(&Key) -> bool) -> Score {
    total(scores.iter().filter(|(key, _)| chosen(key)).map(|(_, score)| score))
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

/// The words that answers are made of, by language.
pub(crate) struct Words(BTreeMap<Language, BTreeSet<String>>);

impl Words {
    pub(crate) fn new(catalogue: &Catalogue) -> Self {
        let words = |language: Language| {
            let names =
                (0..catalogue.concepts.len()).map(|concept| catalogue.name(concept, language).to_string());
            let colours = Colour::ALL.into_iter().map(|colour| colour.name(language).to_string());
            let truth = Wording::of(language).truth.into_iter().map(str::to_string);
            names.chain(colours).chain(truth).collect::<BTreeSet<_>>()
        };
        Self(Language::ALL.into_iter().map(|language| (language, words(language))).collect())
    }

    /// Whether `text` is a word of another language and none of `language`; words that two languages share
    /// tell nothing.
    pub(crate) fn in_another_language(&self, text: &str, language: Language) -> bool {
        let is_word_of = |language: &Language| self.0[language].contains(text);
        !is_word_of(&language) && self.0.keys().any(is_word_of)
    }
}
