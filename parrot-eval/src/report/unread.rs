//! Why most answers could not be read, or none was right, and what would help.

use std::collections::BTreeMap;

use crate::OpenSet;
use crate::benchmarks::benchmark::Benchmark as _;
use crate::benchmarks::verdict::{How, Judged};
use crate::dataset::Dataset;
use crate::predictions::Assigned;
use crate::protocol::Protocol;
use crate::report::score::Extraction;
use crate::report::wrong::clipped_to;

/// Said where more than half of the answers to questions with options, or with Yes and No, name none of them, and where no
/// answer is right though some were not understood.
pub(super) fn unread(
    dataset: &Dataset,
    judged: &[Judged<'_>],
    predictions: &Assigned,
    extraction: Extraction,
) -> Option<String> {
    let answered = judged.len() - extraction.missing;
    let is_nothing_right = !judged.iter().any(|answer| answer.verdict.right);
    if extraction.none == 0 || !(is_nothing_right || 2 * extraction.none > answered) {
        return None;
    }
    if let Some(set) = dataset.benchmark.open_set() {
        return is_nothing_right.then(|| nothing_expected(set, judged, predictions, answered));
    }
    let has_candidates =
        judged.first().is_some_and(|answer| !dataset.benchmark.candidates(answer.row).is_empty());
    has_candidates.then(|| no_option(judged, predictions, extraction.none, answered))
}

fn no_option(judged: &[Judged<'_>], predictions: &Assigned, none: usize, answered: usize) -> String {
    // What is said most often stands for them all.
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let texts = answers(judged, predictions).filter(|(answer, _)| answer.verdict.how == How::None);
    texts.for_each(|(_, text)| *counts.entry(text).or_default() += 1);
    let example = counts.into_iter().max_by_key(|(_, count)| *count).map_or("", |(text, _)| text);
    format!(
        "{none} of {answered} answers, such as “{}”, name no option, neither by its letter nor by its words (Yes or No \
         where that is asked), so they count as wrong. A model that answers in words of its own is read by `--method \
         likelihood`, which takes the option that it finds likeliest.",
        clipped(example)
    )
}

fn nothing_expected(set: OpenSet, judged: &[Judged<'_>], predictions: &Assigned, answered: usize) -> String {
    let found = match set {
        OpenSet::Contains => "contains",
        OpenSet::Exact => "is",
    };
    let mut text = format!("None of {answered} answers {found} an expected one");
    if let Some((answer, said)) = answers(judged, predictions)
        .find(|(answer, said)| !said.is_empty() && !answer.row.answer().is_empty())
    {
        text +=
            &format!(": one says “{}” where “{}” is expected", clipped(said), clipped(answer.row.answer()));
    }
    let is_contained = |(answer, said): &(&Judged<'_>, &str)| {
        OpenSet::Contains.judge(answer.row, said, Protocol::Kit2026_08).right
    };
    match answers(judged, predictions).filter(is_contained).count() {
        0 => {}
        count => text += &format!(". `--benchmark contains` would count {count} of them as right"),
    }
    text + ". Other words that are right as well can stand beside it, as the list `[\"cat\", \"kitten\"]`, and `--prompt TEXT` \
            asks for answers of another form."
}

/// The answers that were given, with what became of them.
fn answers<'a>(
    judged: &'a [Judged<'a>],
    predictions: &'a Assigned,
) -> impl Iterator<Item = (&'a Judged<'a>, &'a str)> {
    let rows = judged.iter().zip(&predictions.of_rows);
    rows.filter_map(|(answer, texts)| Some((answer, texts.last()?.trim())))
}

/// Backticks stand around options of the command line.
fn clipped(text: &str) -> String {
    clipped_to(40, text).replace('`', "'")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::report::score::score;
    use crate::{Benchmark, ImageStore, OwnChoice};

    const IMAGE: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    /// What is said of three answers to a French question whose options are a cat and a dog, and whose answer is `expected`.
    fn said(benchmark: impl Benchmark + 'static, expected: &str, answers: [&str; 3]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("animals_fr.tsv");
        let row = |index: usize| format!("{index}\t{IMAGE}\tQui ?\tun chat\tun chien\t{expected}\n");
        let rows: String = (1..4).map(row).collect();
        std::fs::write(&file, format!("index\timage\tquestion\tA\tB\tanswer\n{rows}")).unwrap();
        let dataset = Dataset::open_as(&file, Arc::new(benchmark), &mut ImageStore::default()).unwrap();
        let of_rows = answers.map(|text| vec![text.to_string()]).into();
        score(&dataset, &Assigned { of_rows, ..Assigned::default() }, Protocol::Kit2026_08).result.unread
    }

    #[test]
    fn answers_in_other_words_than_the_options_are_explained() {
        let most = said(OwnChoice, "A", ["`matou`", "`matou`", "A"]).unwrap();
        assert!(most.starts_with("2 of 3 answers, such as “'matou'”, name no option"), "{most}");
        assert!(most.contains("`--method likelihood`"), "{most}");
        assert_eq!(said(OwnChoice, "A", ["matou", "un chat", "A"]), None);
        // Fewer than half, but nothing else is right.
        let zero = said(OwnChoice, "A", ["matou", "B", "B"]).unwrap();
        assert!(zero.starts_with("1 of 3 answers, such as “matou”"), "{zero}");
        assert_eq!(said(OwnChoice, "A", ["B", "B", "B"]), None, "wrong, and understood");
    }

    #[test]
    fn a_set_without_options_of_which_nothing_is_right_says_what_was_expected() {
        let contains = said(OpenSet::Contains, "chat", ["matou", "", "chien"]).unwrap();
        assert!(
            contains
                .starts_with("None of 3 answers contains an expected one: one says “matou” where “chat” is")
        );
        assert!(contains.contains("`--prompt TEXT`") && !contains.contains("--benchmark"), "{contains}");
        assert_eq!(said(OpenSet::Contains, "chat", ["matou", "un chat", "chien"]), None);
        let exact = said(OpenSet::Exact, "chat", ["un chat", "le chat.", "chien"]).unwrap();
        assert!(
            exact.starts_with("None of 3 answers is an expected one: one says “un chat” where “chat” is")
        );
        assert!(exact.contains(". `--benchmark contains` would count 2 of them as right. "), "{exact}");
    }
}
