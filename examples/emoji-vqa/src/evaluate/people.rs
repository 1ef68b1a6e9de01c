//! Questions as people type them, written without a look at the grammar that training's questions are made from: `people.tsv`.
//!
//! Held-out readings of a grammar are still that grammar's. These were written by hand for the repository's sample pictures, a
//! dozen of each kind in each language, and are only ever measured with.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use parrot_infer::{Image, Parrot};

use super::words::{answers, is_refusal};
use super::{Score, Words, progress, row, table, total};
use crate::catalogue::Catalogue;
use crate::language::Language;
use crate::wording::grammar::Intent;

/// The columns of the file.
const COLUMNS: &str = "picture\tlanguage\tabout\tquestion\tanswer";

/// What stands for the answer to a question that no picture answers.
const NOTHING: &str = "-";

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    picture: String,
    language: Language,
    intent: Intent,
    question: String,
    /// `None` where the right answer is not to know.
    answer: Option<String>,
}

/// Everything measured on people's questions.
#[derive(Debug, Default)]
pub struct People {
    right: BTreeMap<(Intent, Language), Score>,
    wrong_language: BTreeMap<Language, Score>,
    /// Questions that the picture answers, which the model says it cannot answer.
    refused: BTreeMap<Language, Score>,
    /// What was answered wrongly: a line per question with the right answer and the model's.
    pub wrong: Vec<String>,
}

/// Asks every question of the file about its picture.
///
/// # Errors
///
/// When the file or a picture cannot be read, or what asking refuses.
pub fn measure(model: &Parrot, catalogue: &Catalogue, file: &Path, pictures: &Path) -> Result<People> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut of_pictures: BTreeMap<String, Vec<Asked>> = BTreeMap::new();
    for asked in read(&text).with_context(|| file.display().to_string())? {
        of_pictures.entry(asked.picture.clone()).or_default().push(asked);
    }
    let words = Words::new(catalogue);
    let bar = progress(of_pictures.len());
    let mut people = People::default();
    for (picture, all) in &of_pictures {
        let image = Image::open(pictures.join(picture))?;
        let questions: Vec<&str> = all.iter().map(|asked| asked.question.as_str()).collect();
        for (asked, (answer, _)) in all.iter().zip(answers(model, &image, &questions)?) {
            people.count(asked, &answer, &words);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(people)
}

fn read(text: &str) -> Result<Vec<Asked>> {
    let mut lines = text.lines();
    ensure!(lines.next() == Some(COLUMNS), "the first line should be {COLUMNS:?}");
    let asked = |line: &str| {
        let [picture, language, about, question, answer] =
            line.split('\t').collect::<Vec<_>>().try_into().ok()?;
        Some(Asked {
            picture: picture.into(),
            language: Language::ALL.into_iter().find(|known| known.code() == language)?,
            intent: Intent::ALL.into_iter().find(|known| known.name() == about)?,
            question: question.into(),
            answer: Some(answer).filter(|answer| *answer != NOTHING).map(Into::into),
        })
    };
    let numbered = lines.zip(2..);
    let read = |(line, number)| asked(line).with_context(|| format!("line {number} is not understood"));
    numbered.map(read).collect()
}

impl People {
    fn count(&mut self, asked: &Asked, answer: &str, words: &Words) {
        let Asked { language, intent, .. } = *asked;
        let refused = is_refusal(answer, language);
        let is_right = asked.answer.as_ref().map_or(refused, |right| right == answer);
        self.right.entry((intent, language)).or_default().add(is_right);
        self.wrong_language.entry(language).or_default().add(words.is_another_language(answer, language));
        if asked.answer.is_some() {
            self.refused.entry(language).or_default().add(refused);
        }
        if !is_right {
            let right = asked.answer.as_deref().unwrap_or("not to know");
            let about = intent.name();
            self.wrong.push(format!(
                "{}\t{}\t{about}\t{}\t{right}\t{}",
                asked.picture,
                language.code(),
                asked.question,
                answer.replace('\n', " | "),
            ));
        }
    }

    /// The table of the model card, as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let share = |chosen: &dyn Fn(&(Intent, Language)) -> bool| {
            let scores = self.right.iter().filter(|(key, _)| chosen(key)).map(|(_, score)| score);
            format!("{:.0}", total(scores).percent())
        };
        let intents: Vec<Intent> = Intent::ALL
            .into_iter()
            .filter(|intent| self.right.keys().any(|(measured, _)| measured == intent))
            .collect();
        let mut columns = vec!["language"];
        columns.extend(intents.iter().map(|intent| intent.name()));
        columns.extend(["all", "in another language", "refused though known"]);
        let percent = |scores: &BTreeMap<Language, Score>, language: Language| {
            format!("{:.1}", scores.get(&language).copied().unwrap_or_default().percent())
        };
        let mut rows: Vec<Vec<String>> = Vec::new();
        for language in Language::ALL {
            let mut cells: Vec<String> =
                intents.iter().map(|intent| share(&|key| *key == (*intent, language))).collect();
            cells.push(share(&|(_, asked)| *asked == language));
            cells.push(percent(&self.wrong_language, language));
            cells.push(percent(&self.refused, language));
            rows.push(row(language.code(), cells));
        }
        let mut cells: Vec<String> =
            intents.iter().map(|intent| share(&|(asked, _)| asked == intent)).collect();
        cells.push(share(&|_| true));
        for scores in [&self.wrong_language, &self.refused] {
            cells.push(format!("{:.1}", total(scores.values()).percent()));
        }
        rows.push(row("all", cells));
        let asked = total(self.right.values()).asked;
        format!(
            "Questions in people's own words about the sample pictures, {asked} in all; right answers in percent:\n\n{}",
            table(&columns, &rows)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many questions of each kind in each language, few of them readings of the grammar, all about pictures that are there.
    #[test]
    fn people_s_questions_are_their_own() {
        use crate::wording::phrasebook::Phrasebook;

        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(folder.join("people.tsv")).unwrap();
        let all = read(&text).unwrap();
        let mut counts: BTreeMap<(Intent, Language), usize> = BTreeMap::new();
        for asked in &all {
            *counts.entry((asked.intent, asked.language)).or_default() += 1;
            assert!(folder.join("../../assets/pictures").join(&asked.picture).is_file(), "{asked:?}");
            assert_eq!(asked.answer.is_none(), asked.intent == Intent::Outside, "{asked:?}");
        }
        assert_eq!(counts.len(), 60);
        assert!(counts.values().all(|count| *count == 12), "{counts:?}");
        let bare =
            |text: &str| text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        let same = all.iter().filter(|asked| {
            let readings = Phrasebook::of(asked.language).readings(asked.intent);
            readings.into_iter().any(|reading| bare(&reading.text) == bare(&asked.question))
        });
        // Two people may well say the same in a few words.
        let same: Vec<&str> = same.map(|asked| asked.question.as_str()).collect();
        assert!(10 * same.len() < all.len(), "{same:?}");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let line = "monkey.png\ten\tnaming\twhat?\tmonkey";
        assert_eq!(read(&format!("{COLUMNS}\n{line}\n")).unwrap().len(), 1);
        let broken = format!("{COLUMNS}\n{line}\n{}\n", line.replace("naming", "nothing"));
        assert_eq!(read(&broken).unwrap_err().to_string(), "line 3 is not understood");
        assert!(read("picture\n").is_err());
    }
}
