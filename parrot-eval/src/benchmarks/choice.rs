//! Scores of questions with options, as MMMB and MMBench share them.

use std::collections::{BTreeMap, BTreeSet};

use crate::answers::extract::extract;
use crate::benchmarks::candidate::Candidate;
use crate::benchmarks::verdict::{Judged, Level, Score, Verdict};
use crate::data::problem::ProblemKind;
use crate::data::row::{Row, whole_number};
use crate::protocol::{Grouping, Protocol};

/// The verdict on an answer to a question with options.
pub(crate) fn judge(row: &Row, prediction: &str, protocol: Protocol) -> Verdict {
    Verdict::of_letter(extract(prediction, &row.scored_options(), protocol.extractor()), row.answer())
}

/// The options' words, which stand for their letters.
pub(crate) fn candidates(row: &Row) -> Vec<Candidate> {
    let options = row.options().into_iter();
    options.map(|(letter, words)| Candidate { words: words.into(), prediction: letter.into() }).collect()
}

/// `[hint\n]question`.
pub(crate) fn question_alone(row: &Row) -> String {
    let hint = row.get("hint").map(|hint| format!("{hint}\n")).unwrap_or_default();
    hint + row.question()
}

/// A row whose index is no number belongs to no group; one whose answer is none of its options can never be right.
pub(crate) fn check(row: &Row) -> Option<(ProblemKind, String)> {
    // That there is no index at all is said for every benchmark.
    if !row.index.is_empty() && row.number().is_none() {
        return Some((ProblemKind::BadIndex, "expected a whole number".into()));
    }
    check_answer(row)
}

/// An answer that is none of the options can never be right.
pub(crate) fn check_answer(row: &Row) -> Option<(ProblemKind, String)> {
    let options = row.options();
    let is_option = |answer: &str| options.iter().any(|(letter, _)| answer == letter.to_string());
    if is_option(row.answer()) {
        return None;
    }
    let letters: Vec<String> = options.iter().map(|(letter, _)| letter.to_string()).collect();
    let found = if row.answer().is_empty() { "nothing in the column `answer`" } else { row.answer() };
    let detail = if letters.is_empty() {
        format!("there is no option in the columns A, B, …; found {found}")
    } else if let Some((letter, _)) = options.iter().find(|(_, text)| is_same_text(text, row.answer())) {
        format!(
            "expected one of {}, found {found}, the words of {letter}: write its letter",
            letters.join(", ")
        )
    } else if is_option(&row.answer().trim().to_uppercase()) {
        let letter = row.answer().trim().to_uppercase();
        format!("expected one of {}, found `{}`: write `{letter}`", letters.join(", "), row.answer())
    } else {
        format!("expected one of {}, found {found}", letters.join(", "))
    };
    Some((ProblemKind::BadAnswer, detail))
}

/// Whether an answer is an option's text, which may be a number that is shown as another: `1` as `1.0`.
fn is_same_text(option: &str, answer: &str) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    option == answer || number(option).is_some_and(|option| number(answer) == Some(option))
}

/// What is counted: a row, or a group with the row that stands for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit<'a> {
    row: &'a Row,
    pub(crate) right: bool,
}

/// Overall, counted the other way, per `l2-category` and per `category`: plain means over the units,
/// per split where there are several.
pub(crate) fn scores(judged: &[Judged<'_>], grouping: Grouping, protocol: Protocol) -> Vec<Score> {
    let units = units(judged, grouping, protocol);
    let mut scores = vec![mean(Level::Overall, grouping_name(grouping), &units)];
    let other = match grouping {
        Grouping::PerRow => Grouping::Circular,
        Grouping::Circular => Grouping::PerRow,
    };
    scores.push(mean(Level::Alternative, grouping_name(other), &self::units(judged, other, protocol)));
    let splits = values(&units, "split");
    for split in &splits {
        let several = splits.len() > 1;
        let in_split: Vec<Unit<'_>> =
            units.iter().copied().filter(|unit| unit.row.get("split") == *split).collect();
        let split = several.then(|| split.unwrap_or("none").to_string());
        if several {
            let overall = mean(Level::Overall, grouping_name(grouping), &in_split);
            scores.push(Score { split: split.clone(), ..overall });
        }
        for (level, column) in [(Level::L2Category, "l2-category"), (Level::Category, "category")] {
            for value in values(&in_split, column).into_iter().flatten() {
                let of_value: Vec<Unit<'_>> =
                    in_split.iter().copied().filter(|unit| unit.row.get(column) == Some(value)).collect();
                scores.push(Score { split: split.clone(), ..mean(level, abbreviation(value), &of_value) });
            }
        }
    }
    scores
}

fn grouping_name(grouping: Grouping) -> &'static str {
    match grouping {
        Grouping::PerRow => "per row",
        Grouping::Circular => "per group",
    }
}

fn mean(level: Level, name: &str, units: &[Unit<'_>]) -> Score {
    Score::accuracy(level, name, units.iter().filter(|unit| unit.right).count(), units.len())
}

/// The values of a column, sorted; `None` where there is none.
fn values<'a>(units: &[Unit<'a>], column: &str) -> BTreeSet<Option<&'a str>> {
    units.iter().map(|unit| unit.row.get(column)).collect()
}

/// Rows or groups, whichever are counted, in an order that depends on the rows alone.
pub(crate) fn units<'a>(judged: &[Judged<'a>], grouping: Grouping, protocol: Protocol) -> Vec<Unit<'a>> {
    match grouping {
        Grouping::PerRow => {
            judged.iter().map(|judged| Unit { row: judged.row, right: judged.verdict.right }).collect()
        }
        Grouping::Circular => groups(judged, protocol),
    }
}

/// One unit per group, at the place of its main row, whose split and categories are the group's: that of
/// the group's own number or, where it is not there, of the lowest. Without a judge, a group is right if every
/// row of it is. Where the main row's index is there twice, the group counts twice, as the kits have it.
///
/// A row whose index is no number is a group of its own.
fn groups<'a>(judged: &[Judged<'a>], protocol: Protocol) -> Vec<Unit<'a>> {
    let mut groups: BTreeMap<i64, Vec<&Judged<'a>>> = BTreeMap::new();
    let mut units = Vec::new();
    for answer in judged {
        match answer.row.group_in(protocol) {
            Some(group) => groups.entry(group).or_default().push(answer),
            None => units.push(Unit { row: answer.row, right: answer.all_right }),
        }
    }
    for (group, rows) in &groups {
        let numbers = || rows.iter().map(|judged| judged.row.number());
        let main = numbers().find(|number| *number == Some(*group)).or_else(|| numbers().min());
        let right = rows.iter().all(|judged| judged.all_right);
        let first = rows.iter().filter(|judged| Some(judged.row.number()) == main);
        units.extend(first.map(|first| Unit { row: first.row, right }));
    }
    units
}

/// Rows whose group's main row, whose index is the group's number, is not there: the kits leave such groups out.
pub(crate) fn without_first_row(rows: &[Row], protocol: Protocol) -> Vec<usize> {
    let group = |row: &Row| row.group_in(protocol);
    let first: BTreeSet<i64> =
        rows.iter().filter_map(|row| group(row).filter(|_| row.number() == group(row))).collect();
    let is_orphan = |row: &Row| group(row).is_some_and(|group| !first.contains(&group));
    rows.iter().enumerate().filter(|(_, row)| is_orphan(row)).map(|(at, _)| at).collect()
}

/// The group that a kit puts a row in; `None` for a row that is in none. Upstream's column `g_index` decides alone
/// where a file has it: a row without is dropped.
fn kit_group(row: &Row, protocol: Protocol) -> Option<i64> {
    match protocol {
        Protocol::Kit2026_08 if row.has_column("g_index") => row.get("g_index").and_then(whole_number),
        _ => row.group(),
    }
}

/// Whether each row's group has its main row, whose index is the group's number, among these: the kits leave the others
/// out.
pub(crate) fn groups_kept<'r>(
    rows: impl IntoIterator<Item = &'r Row> + Clone,
    protocol: Protocol,
) -> Vec<bool> {
    let group = |row: &Row| kit_group(row, protocol);
    let is_main = |row: &Row| group(row).filter(|group| row.number() == Some(*group));
    let mains: BTreeSet<i64> = rows.clone().into_iter().filter_map(is_main).collect();
    rows.into_iter().map(|row| group(row).is_some_and(|group| mains.contains(&group))).collect()
}

/// What a kit's table of answers is made of, given the rows that have a picture and an answer, once per answer.
///
/// # Errors
///
/// Why it prints no number, in words.
pub(crate) fn as_kits_count<'a>(
    answered: Vec<Judged<'a>>,
    grouping: Grouping,
    protocol: Protocol,
) -> Result<Vec<Judged<'a>>, &'static str> {
    let is_grouped = grouping == Grouping::Circular;
    let mut counted = answered;
    if is_grouped {
        let rows: Vec<&Row> = counted.iter().map(|judged| judged.row).collect();
        let mut kept = groups_kept(rows, protocol).into_iter();
        counted.retain(|_| kept.next().unwrap_or(false));
    }
    // Categories and splits of a group are those of its main row.
    let is_reported = |row: &Row| !is_grouped || row.number() == kit_group(row, protocol);
    let lacks =
        |column: &str, judged: &Judged<'_>| is_reported(judged.row) && judged.row.get(column).is_none();
    for column in ["l2-category", "category"] {
        let missing = counted.iter().filter(|judged| lacks(column, judged)).count();
        let reported = counted.iter().filter(|judged| is_reported(judged.row)).count();
        let is_there = counted.iter().any(|judged| judged.row.has_column(column));
        if is_there && missing > 0 && missing < reported {
            return Err("it stops at a row without a category");
        }
    }
    if counted.iter().any(|judged| judged.row.has_column("split")) {
        let without: BTreeSet<Option<i64>> = counted
            .iter()
            .filter(|judged| lacks("split", judged))
            .map(|judged| kit_group(judged.row, protocol))
            .collect();
        counted.retain(|judged| {
            if is_grouped {
                !without.contains(&kit_group(judged.row, protocol))
            } else {
                judged.row.get("split").is_some()
            }
        });
    }
    if counted.is_empty() {
        return Err("it has no row to count, and prints nan");
    }
    Ok(counted)
}

/// The abbreviations of MMBench's ability dimensions.
fn abbreviation(name: &str) -> &str {
    match name {
        "coarse_perception" => "CP",
        "finegrained_perception (instance-level)" => "FP-S",
        "finegrained_perception (cross-instance)" => "FP-C",
        "logic_reasoning" => "LR",
        "relation_reasoning" => "RR",
        "attribute_reasoning" => "AR",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: Protocol = Protocol::Kit2024_08;

    fn scores(judged: &[Judged<'_>], grouping: Grouping) -> Vec<Score> {
        super::scores(judged, grouping, PROTOCOL)
    }

    fn row(index: i64, answer: &str, l2: &str, category: &str) -> Row {
        Row::from_cells(&[
            ("index", &index.to_string()),
            ("question", "?"),
            ("A", "cat"),
            ("B", "dog"),
            ("answer", answer),
            ("l2-category", l2),
            ("category", category),
        ])
    }

    /// Rows with their predictions; `-` for none.
    fn judged<'a>(rows: &'a [Row], predictions: &[&str]) -> Vec<Judged<'a>> {
        let verdict = |(row, prediction): (&'a Row, &&str)| {
            let verdict = match *prediction {
                "-" => Verdict::missing(),
                prediction => judge(row, prediction, PROTOCOL),
            };
            Judged { row, all_right: verdict.right, verdict }
        };
        rows.iter().zip(predictions).map(verdict).collect()
    }

    fn value(scores: &[Score], level: Level, name: &str) -> (f64, usize) {
        let score = scores.iter().find(|score| score.level == level && score.name == name).unwrap();
        (score.value, score.of)
    }

    /// A group with a wrong row, or one that cannot be read, is wrong; a group of one is a row.
    #[test]
    fn a_group_is_right_if_each_of_its_rows_is() {
        let rows: Vec<Row> = [5, 1_000_005, 2_000_005, 3_000_005].map(|index| row(index, "A", "", "")).into();
        let overall = |predictions: &[&str]| scores(&judged(&rows, predictions), Grouping::Circular)[0].value;
        assert_eq!(overall(&["A", "A", "?", "B"]), 0.0);
        assert_eq!(overall(&["A", "A", "?", "A"]), 0.0);
        assert_eq!(overall(&["A", "A", "A", "B"]), 0.0);
        assert_eq!(overall(&["A", "A", "A", "-"]), 0.0);
        assert_eq!(overall(&["A", "cat", "(A)", "A."]), 100.0);
        for (prediction, value) in [("A", 100.0), ("B", 0.0), ("?", 0.0)] {
            let alone = judged(&rows[..1], &[prediction]);
            assert_eq!(scores(&alone, Grouping::Circular)[0].value, value);
            assert_eq!(scores(&alone, Grouping::PerRow)[0].value, value);
        }
    }

    /// Worked out by hand: rows 1 2 3 single, 4 a pair, 5 a pair; right are 1, 3, both of 4, one of 5.
    #[test]
    fn means_are_over_rows_or_groups_and_never_weighted() {
        let rows = [
            row(1, "A", "x", "p"),
            row(2, "A", "x", "q"),
            row(3, "B", "y", "r"),
            row(4, "A", "y", "r"),
            row(1_000_004, "B", "y", "r"),
            row(5, "A", "y", "s"),
            row(1_000_005, "B", "y", "s"),
        ];
        let judged = judged(&rows, &["A", "B", "B", "A", "B", "A", "-"]);
        let per_row = scores(&judged, Grouping::PerRow);
        assert_eq!((per_row[0].value, per_row[0].of), (500.0 / 7.0, 7));
        assert_eq!(value(&per_row, Level::Alternative, "per group"), (60.0, 5));
        assert_eq!(value(&per_row, Level::L2Category, "x"), (50.0, 2));
        assert_eq!(value(&per_row, Level::L2Category, "y"), (80.0, 5));
        assert_eq!(value(&per_row, Level::Category, "s"), (50.0, 2));

        let paired = scores(&judged, Grouping::Circular);
        assert_eq!((paired[0].value, paired[0].of), (60.0, 5));
        assert_eq!(value(&paired, Level::Alternative, "per row"), (500.0 / 7.0, 7));
        assert_eq!(value(&paired, Level::L2Category, "y"), (200.0 / 3.0, 3));
        assert_eq!(value(&paired, Level::Category, "s"), (0.0, 1));
        let names: Vec<&str> = paired.iter().map(|score| score.name.as_str()).collect();
        assert_eq!(names, ["per group", "per row", "x", "y", "p", "q", "r", "s"]);
    }

    #[test]
    fn splits_are_scored_apart_and_dimensions_abbreviated() {
        let cells = |index, split| {
            let l2 = ("l2-category", "logic_reasoning");
            Row::from_cells(&[
                ("index", index),
                ("A", "cat"),
                ("B", "dog"),
                ("answer", "A"),
                ("split", split),
                l2,
            ])
        };
        let rows = [cells("1", "dev"), cells("2", "dev"), cells("3", "test")];
        let scores = scores(&judged(&rows, &["A", "B", "A"]), Grouping::PerRow);
        let shown: Vec<_> = scores
            .iter()
            .map(|score| (score.split.as_deref(), score.name.as_str(), score.value.round()))
            .collect();
        assert_eq!(
            shown,
            [
                (None, "per row", 67.0),
                (None, "per group", 67.0),
                (Some("dev"), "per row", 50.0),
                (Some("dev"), "LR", 50.0),
                (Some("test"), "per row", 100.0),
                (Some("test"), "LR", 100.0),
            ]
        );
    }

    #[test]
    fn rows_that_make_no_sense_are_found() {
        assert_eq!(check(&row(1, "B", "", "")), None);
        let (kind, detail) = check(&row(1, "C", "", "")).unwrap();
        assert_eq!((kind, detail.as_str()), (ProblemKind::BadAnswer, "expected one of A, B, found C"));
        assert_eq!(
            check(&row(1, "", "", "")).unwrap().1,
            "expected one of A, B, found nothing in the column `answer`"
        );
        let numbers =
            |answer| Row::from_cells(&[("index", "1"), ("A", "1.0"), ("B", "1.5"), ("answer", answer)]);
        for (answer, said) in [
            ("1", "the words of A"),
            ("1.50", "the words of B"),
            ("2", "found 2"),
            ("a", "found `a`: write `A`"),
            (" B ", "found ` B `: write `B`"),
        ] {
            let (_, detail) = check(&numbers(answer)).unwrap();
            assert!(detail.contains(said), "{answer}: {detail}");
        }
        let rows = [row(1, "A", "", ""), row(1_000_001, "A", "", ""), row(1_000_002, "A", "", "")];
        assert_eq!(without_first_row(&rows, PROTOCOL), [2]);
    }

    #[test]
    fn a_row_whose_index_is_no_number_is_said_and_stands_alone() {
        let mut odd = row(7, "A", "", "");
        odd.index = "seven".into();
        assert_eq!(check(&odd).unwrap(), (ProblemKind::BadIndex, "expected a whole number".into()));
        let odd = [odd];
        for (prediction, value) in [("A", 100.0), ("B", 0.0), ("-", 0.0)] {
            assert_eq!(scores(&judged(&odd, &[prediction]), Grouping::Circular)[0].value, value);
        }
    }

    /// Two groups that their indices alone would not tell: 1 and 2 together, 3 alone.
    #[test]
    fn upstream_groups_by_g_index() {
        let row = |index, g_index| {
            Row::from_cells(&[
                ("index", index),
                ("g_index", g_index),
                ("A", "cat"),
                ("B", "dog"),
                ("answer", "A"),
            ])
        };
        let rows = [row("1", "2"), row("2", "2"), row("3", "3")];
        let judged = judged(&rows, &["B", "A", "A"]);
        let overall = |protocol| {
            let score = &super::scores(&judged, Grouping::Circular, protocol)[0];
            (score.value.round(), score.of)
        };
        assert_eq!((overall(Protocol::Kit2024_08), overall(Protocol::Kit2026_08)), ((67.0, 3), (50.0, 2)));
        assert_eq!(without_first_row(&rows[..1], Protocol::Kit2026_08), [0]);
        assert_eq!(without_first_row(&rows[..1], Protocol::Kit2024_08), [] as [usize; 0]);
    }
}
