//! What a benchmark adds to reading, asking and reporting: its prompt, its verdict on an answer, its scores.

use std::fmt;

use crate::OpenSet;
use crate::benchmarks::candidate::Candidate;
use crate::benchmarks::choice;
use crate::benchmarks::verdict::{Judged, Score, Verdict};
use crate::data::problem::ProblemKind;
use crate::data::row::Row;
use crate::prompt::{PromptStyle, multiple_choice};
use crate::protocol::{Grouping, Protocol};

/// A benchmark. Each stands in a file of its own, and [`catalogue`](crate::catalogue) lists them all.
///
/// The provided methods make one of questions with options `A`, `B`, …, whose rows each count by themselves, as most are. What a
/// benchmark's own file does not say is then:
///
/// | method | what it does |
/// |---|---|
/// | [`expected_column`](Self::expected_column) | the expected letter stands in `answer` |
/// | [`is_own`](Self::is_own), [`open_set`](Self::open_set) | a kit knows it, and expected answers are not all that it has |
/// | [`columns`](Self::columns) | the options stand in `A`, `B` and, where there are more, `C` and so on |
/// | [`grouping`](Self::grouping) | a row counts, not a group |
/// | [`check`](Self::check), [`check_groups`](Self::check_groups) | the index is a number, the answer one of the options; groups are not looked at |
/// | [`kits_fail`](Self::kits_fail), [`as_kits_count`](Self::as_kits_count) | a kit can score it, and counts what it counts of every file with options |
/// | [`reads_spreadsheet`](Self::reads_spreadsheet) | answers are read as they come back from the kits' spreadsheet |
/// | [`prompt`](Self::prompt) | hint, question, options and the request for a letter: [`multiple_choice`] |
/// | [`candidates`](Self::candidates), [`candidate_prompt`](Self::candidate_prompt) | by likelihood, the options' words are the answers to the question alone |
/// | [`judge`](Self::judge) | the letter that the answer says, or the option whose words it contains |
/// | [`scores`](Self::scores) | accuracy over all, counted the other way, per split, `l2-category` and `category` |
pub trait Benchmark: fmt::Debug + Send + Sync {
    /// Its name, e.g. `MMMB`.
    fn name(&self) -> &'static str;

    /// Whether it is a set of one's own, which no kit knows.
    fn is_own(&self) -> bool {
        false
    }

    /// What an answer has to do with the expected ones, where those are all that a set of one's own has.
    fn open_set(&self) -> Option<OpenSet> {
        None
    }

    /// The column of the expected answer.
    fn expected_column(&self) -> &'static str {
        "answer"
    }

    /// Columns that its files have besides `index`, `image`, `question` and that of the expected answer.
    fn columns(&self) -> &'static [&'static str] {
        &["A", "B"]
    }

    /// Whether its questions have options to choose from.
    fn has_options(&self) -> bool {
        self.columns().contains(&"A")
    }

    /// The unit that the first of the [`scores`](Self::scores) counts.
    fn grouping(&self, _protocol: Protocol) -> Grouping {
        Grouping::PerRow
    }

    /// What is wrong with a row, if anything: the row is asked and counted all the same.
    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        choice::check(row)
    }

    /// What is wrong with rows that belong together.
    fn check_groups(&self, _rows: &[Row]) -> Vec<(usize, String)> {
        Vec::new()
    }

    /// Why the kits cannot score these rows with these numbers of answers, if they cannot.
    fn kits_fail(&self, _rows: &[Row], _answers: &[usize]) -> Option<&'static str> {
        None
    }

    /// Which of the answered rows, each as often as it has answers, a kit's table counts: where there are no options, all.
    ///
    /// # Errors
    ///
    /// Why a kit prints no number for them.
    fn as_kits_count<'a>(
        &self,
        answered: Vec<Judged<'a>>,
        protocol: Protocol,
    ) -> Result<Vec<Judged<'a>>, &'static str> {
        if self.has_options() {
            choice::as_kits_count(answered, self.grouping(protocol), protocol)
        } else {
            Ok(answered)
        }
    }

    /// Whether answers are read as they come back from the spreadsheet that the kits write, which rewrites a few of them, or as the
    /// model wrote them. No kit has a set of one's own in a spreadsheet.
    fn reads_spreadsheet(&self) -> bool {
        !self.is_own()
    }

    /// What the model is asked.
    fn prompt(&self, row: &Row, style: PromptStyle) -> String {
        multiple_choice(row, style)
    }

    /// What the model chooses from if its likeliest answer counts; nothing for an open question.
    fn candidates(&self, row: &Row) -> Vec<Candidate> {
        choice::candidates(row)
    }

    /// What it is asked then, given what it is [asked](Self::prompt) otherwise: of questions with options the question
    /// alone, without the options and the request for a letter.
    fn candidate_prompt(&self, row: &Row, prompt: String) -> String {
        if self.has_options() { choice::question_alone(row) } else { prompt }
    }

    /// Reads an answer.
    fn judge(&self, row: &Row, prediction: &str, protocol: Protocol) -> Verdict {
        choice::judge(row, prediction, protocol)
    }

    /// All reported numbers; the one that is usually quoted comes first.
    fn scores(&self, judged: &[Judged<'_>], protocol: Protocol) -> Vec<Score> {
        choice::scores(judged, self.grouping(protocol), protocol)
    }
}
