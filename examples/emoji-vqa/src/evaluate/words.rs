//! The second half of the report: held-out wordings and forms of asking, what the model says about pictures and
//! questions that it does not know, and in which language.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use parrot_infer::{AskOptions, Image, Parrot, Question};
use serde::Serialize;

use super::{Score, Words, progress, row, table, total};
use crate::catalogue::Style;
use crate::dataset::{Dataset, UnknownItem};
use crate::language::Language;
use crate::wording::grammar::{Grammar, Intent};
use crate::wording::phrasebook::Part;

/// What a score is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    intent: Intent,
    language: Language,
    part: Part,
    /// Drawn by Twemoji, which no training picture was.
    unseen: bool,
}

/// Answers where the right one is not to know.
#[derive(Debug, Default)]
struct Unknown {
    /// It says so.
    refused: Score,
    /// It names a thing instead.
    named: Score,
    /// It answers in another language than the question's.
    wrong_language: Score,
}

/// One question and what the model said, to read through.
#[derive(Debug, Serialize)]
pub struct Answered {
    /// What is asked for, or which picture it does not know.
    pub about: &'static str,
    /// The language's code.
    pub language: &'static str,
    /// Whose drawings.
    pub style: &'static str,
    /// What the user says.
    pub question: String,
    /// The right answer; `None` where it is not to know.
    pub expected: Option<String>,
    /// What the model says.
    pub answer: String,
    /// How sure it is ([`Answer::confidence`](parrot_infer::Answer::confidence)).
    pub confidence: f32,
}

/// Where one row of the table of confidences ends and the next begins.
const CONFIDENCES: [f32; 5] = [0.5, 0.7, 0.9, 0.97, f32::INFINITY];

/// Everything measured in people's own words.
#[derive(Debug, Default)]
pub struct OwnWords {
    right: BTreeMap<Key, Score>,
    wrong_language: BTreeMap<Language, Score>,
    /// Questions about what it knows, which it says it cannot answer.
    refused: BTreeMap<Language, Score>,
    unknown: BTreeMap<&'static str, Unknown>,
    outside: BTreeMap<Language, Unknown>,
    /// How many answers of which confidence are right, refusals among them where a refusal is right; by [`CONFIDENCES`].
    by_confidence: [Score; CONFIDENCES.len()],
    /// Every answer.
    pub answers: Vec<Answered>,
}

/// Asks in held-out words about `scenes` scenes of the evaluation, about a quarter as many pictures that show nothing
/// known, and an eighth as many questions that no picture answers, all openly and in six languages.
///
/// # Errors
///
/// What asking refuses.
///
/// # Panics
///
/// If the data were loaded without the drawings of strangers.
pub fn measure(model: &Parrot, data: &Dataset, scenes: usize, image_size: u32) -> Result<OwnWords> {
    let words = Words::new(data.catalogue());
    let (items, unknown, outside) =
        (data.evaluation(scenes), data.unknown(scenes / 4), data.outside(scenes / 8));
    let bar = progress(items.len() + unknown.len() + outside.len());
    let mut measured = OwnWords::default();
    for (index, item) in items.iter().enumerate() {
        let image = Image::from_rgb(data.render(&item.scene, image_size));
        let asked = data.in_own_words(item, index);
        let questions: Vec<&str> = asked.iter().map(|worded| worded.question.as_str()).collect();
        for (worded, answer) in asked.iter().zip(answers(model, &image, &questions)?) {
            let (answer, confidence) = answer;
            let (intent, language, part) = (worded.intent, worded.language, worded.part);
            let key = Key { intent, language, part, unseen: item.scene.style == Style::Twemoji };
            measured.right.entry(key).or_default().add(answer == worded.answer);
            measured.count_confidence(confidence, answer == worded.answer);
            let wrong = words.is_another_language(&answer, language);
            measured.wrong_language.entry(language).or_default().add(wrong);
            measured.refused.entry(language).or_default().add(is_refusal(&answer, language));
            measured.answers.push(Answered {
                about: intent.name(),
                language: language.code(),
                style: item.scene.style.name(),
                question: worded.question.clone(),
                expected: Some(worded.answer.clone()),
                answer,
                confidence,
            });
        }
        bar.inc(1);
    }
    for item in &unknown {
        measured.ask(model, data, item, image_size, &words)?;
        bar.inc(1);
    }
    for item in &outside {
        measured.ask(model, data, item, image_size, &words)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(measured)
}

/// What the model says to each question about one picture, and how sure it is.
pub(super) fn answers(model: &Parrot, image: &Image, questions: &[&str]) -> Result<Vec<(String, f32)>> {
    let images = std::slice::from_ref(image);
    let questions: Vec<Question<'_>> = questions.iter().map(|text| Question::new(images, text)).collect();
    let options = AskOptions { max_new_tokens: 64, top_logprobs: Some(0), ..AskOptions::default() };
    let answers = model.ask_batch(&questions, &options)?;
    Ok(answers
        .into_iter()
        .map(|answer| (answer.text.trim().to_owned(), answer.confidence().unwrap_or_default()))
        .collect())
}

/// Whether an answer is one of the two sentences that say that the model does not know, in the question's language.
pub(super) fn is_refusal(answer: &str, language: Language) -> bool {
    let grammar = Grammar::of(language);
    [grammar.unknown, grammar.outside_answer].contains(&answer)
}

impl OwnWords {
    fn ask(
        &mut self,
        model: &Parrot,
        data: &Dataset,
        item: &UnknownItem,
        image_size: u32,
        words: &Words,
    ) -> Result<()> {
        let image = Image::from_rgb(data.render(&item.scene, image_size));
        let questions: Vec<&str> = item.questions.iter().map(|(_, question)| question.as_str()).collect();
        for (language, (answer, confidence)) in
            Language::ALL.into_iter().zip(answers(model, &image, &questions)?)
        {
            self.count_confidence(confidence, is_refusal(&answer, language));
            let tally = match item.kind {
                "outside" => self.outside.entry(language).or_default(),
                kind => self.unknown.entry(kind).or_default(),
            };
            tally.refused.add(is_refusal(&answer, language));
            tally.named.add(words.begins_with_a_name(&answer));
            tally.wrong_language.add(words.is_another_language(&answer, language));
            self.answers.push(Answered {
                about: item.kind,
                language: language.code(),
                style: item.scene.style.name(),
                question: item.questions.get(language).clone(),
                expected: None,
                answer,
                confidence,
            });
        }
        Ok(())
    }

    fn count_confidence(&mut self, confidence: f32, right: bool) {
        let row = CONFIDENCES.iter().position(|end| confidence < *end);
        self.by_confidence[row.unwrap_or(CONFIDENCES.len() - 1)].add(right);
    }

    /// The tables of the model card, as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "\nIn people's own words, asked openly; no wording and no form of asking was learnt from. Right answers in \
             percent, mean over six languages:\n\n",
        );
        let intents = Intent::ALL.into_iter().filter(|intent| *intent != Intent::Outside);
        let share = |chosen: &dyn Fn(&Key) -> bool| {
            let of_interest = self.right.iter().filter(|(key, _)| chosen(key)).map(|(_, score)| score);
            format!("{:.1}", total(of_interest).percent())
        };
        let parts = [Part::HeldOutWording, Part::HeldOutForm];
        let cells = |intent: Intent| {
            let column = |(unseen, part): (bool, Part)| {
                share(&move |key| key.intent == intent && key.unseen == unseen && key.part == part)
            };
            [(false, parts[0]), (false, parts[1]), (true, parts[0]), (true, parts[1])].map(column).to_vec()
        };
        let rows: Vec<Vec<String>> =
            intents.clone().map(|intent| row(intent.name(), cells(intent))).collect();
        let columns = ["task", "seen, wordings", "seen, forms", "Twemoji, wordings", "Twemoji, forms"];
        text += &table(&columns, &rows);

        text += "\nBy language and task, seen styles / Twemoji, wordings and forms together:\n\n";
        let columns: Vec<&str> = ["language"].into_iter().chain(intents.clone().map(Intent::name)).collect();
        let rows = Language::ALL.map(|language| {
            let cell = |intent: Intent| {
                let score = |unseen: bool| {
                    share(&move |key| (key.intent, key.language, key.unseen) == (intent, language, unseen))
                };
                format!("{} / {}", score(false), score(true))
            };
            row(language.code(), intents.clone().map(cell).collect())
        });
        text += &table(&columns, &rows);

        text += "\nBy language, all tasks:\n\n";
        let percent = |scores: &BTreeMap<Language, Score>, language: Language| {
            format!("{:.2}", scores.get(&language).copied().unwrap_or_default().percent())
        };
        let rows = Language::ALL.map(|language| {
            let score = |unseen: bool| share(&move |key| (key.language, key.unseen) == (language, unseen));
            let wrong = percent(&self.wrong_language, language);
            row(language.code(), vec![score(false), score(true), wrong, percent(&self.refused, language)])
        });
        text +=
            &table(&["language", "seen", "Twemoji", "in another language", "refused though known"], &rows);

        text += "\nPictures that show nothing known, asked what they show; none was learnt from:\n\n";
        let columns = ["picture", "refused", "named a thing", "in another language", "of"];
        text += &table(&columns, &rows_of(self.unknown.iter().map(|(kind, tally)| (*kind, tally))));
        text += "\nQuestions that no picture answers:\n\n";
        let columns = ["language", "refused", "named a thing", "in another language", "of"];
        text +=
            &table(&columns, &rows_of(self.outside.iter().map(|(language, tally)| (language.code(), tally))));
        text += "\nHow many answers of which confidence are right, or refuse where nothing is known:\n\n";
        let rows = CONFIDENCES.iter().zip(&self.by_confidence).enumerate().map(|(index, (end, score))| {
            let from = index.checked_sub(1).map_or(0.0, |before| CONFIDENCES[before]);
            let name = if end.is_finite() { format!("{from} to {end}") } else { format!("{from} and more") };
            row(&name, vec![format!("{:.1}", score.percent()), score.asked.to_string()])
        });
        text += &table(&["confidence", "right", "of"], &rows.collect::<Vec<_>>());
        let _ = writeln!(text, "\n{} answers in people's own words.", total(self.right.values()).asked);
        text
    }
}

fn rows_of<'a>(tallies: impl Iterator<Item = (&'a str, &'a Unknown)>) -> Vec<Vec<String>> {
    let cells = |(name, tally): (&str, &Unknown)| {
        let shares =
            [tally.refused, tally.named, tally.wrong_language].map(|score| format!("{:.1}", score.percent()));
        row(name, [&shares[..], &[tally.refused.asked.to_string()]].concat())
    };
    tallies.map(cells).collect()
}
