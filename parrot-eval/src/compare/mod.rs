//! Two runs on the same files, compared answer by answer.
//!
//! Kits compare the totals of two runs. The same questions were asked in both, though, so that what counts is where the answers
//! differ: a difference comes with a test of the changed answers ([McNemar's](statistics::mcnemar)) and with an interval that
//! holds questions about one picture together. Both are our own addition.

mod page;
mod statistics;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::benchmarks::choice::units;
use crate::benchmarks::verdict::Judged;
use crate::dataset::Dataset;
use crate::language_code::LanguageCode;
use crate::predictions::Assigned;
use crate::protocol::{Grouping, Protocol};
use crate::report::results::collection_name;
use crate::report::score::{Scored, score};
use crate::report::wrong::{ShownQuestion, clipped};

/// For intervals, pictures are divided into this many blocks, or into one each where there are fewer.
const BLOCKS: usize = 100;

/// A dataset with the answers of two runs.
#[derive(Debug, Clone)]
pub struct Compared<'a> {
    /// The questions.
    pub dataset: &'a Dataset,
    /// Whose rules.
    pub protocol: Protocol,
    /// The answers of the first and of the second run.
    pub predictions: [Assigned; 2],
}

/// Two runs beside each other.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// What the first and the second run are called.
    pub runs: [String; 2],
    /// Per dataset and protocol.
    pub datasets: Vec<Difference>,
    /// Per collection of languages and protocol: the mean of its languages.
    pub means: Vec<Difference>,
    /// Answers that became right or wrong, under the first protocol of their dataset; not more than were asked for.
    pub changed: Vec<ChangedAnswer>,
    /// All of them.
    pub changed_in_all: usize,
}

/// How much the second run differs from the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The dataset, or a collection of several languages.
    pub name: String,
    /// Whose rules.
    pub protocol: Protocol,
    /// What is measured: `accuracy per row`, `F1`.
    pub measured: String,
    /// The numbers of the first and of the second run.
    pub values: [f64; 2],
    /// The second less the first.
    pub difference: f64,
    /// The difference lies between these with a probability of 95 %, as far as these pictures stand for all that there are;
    /// `None` of fewer than two pictures.
    pub interval: Option<[f64; 2]>,
    /// Rows or groups that the second run alone has right.
    pub gained: usize,
    /// Those that the first run alone has right.
    pub lost: usize,
    /// How likely so uneven a split of gains and losses is by chance.
    pub p_value: f64,
}

/// A row that one run has right and the other wrong.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ChangedAnswer {
    #[serde(flatten)]
    question: ShownQuestion,
    answers: [GivenAnswer; 2],
}

/// What a run answered.
#[derive(Debug, Clone, Serialize)]
struct GivenAnswer {
    prediction: Option<String>,
    said: Option<String>,
    right: bool,
}

impl Comparison {
    /// Compares two runs on these datasets; up to `shown` of the answers that changed are kept.
    #[must_use]
    pub fn new(runs: [String; 2], compared: &[Compared<'_>], shown: usize) -> Self {
        let blocks = Blocks::new(compared);
        let mut comparison =
            Self { runs, datasets: Vec::new(), means: Vec::new(), changed: Vec::new(), changed_in_all: 0 };
        let mut collections: BTreeMap<(String, Protocol, String), Vec<(LanguageCode, Measured)>> =
            BTreeMap::new();
        let mut first_protocol: HashMap<&str, Protocol> = HashMap::new();
        let mut changed = Vec::new();
        for this in compared {
            let scored = this.scored();
            let measured = Measured::new(this, &scored, &blocks);
            if *first_protocol.entry(&this.dataset.id).or_insert(this.protocol) == this.protocol {
                changed.extend(this.changed(&scored));
            }
            comparison.datasets.push(measured.difference(this.dataset.id.clone(), this.protocol));
            if let Some(language) = this.dataset.language {
                let key = (collection_name(&scored[0].result), this.protocol, measured.measured.clone());
                collections.entry(key).or_default().push((language, measured));
            }
        }
        for ((name, protocol, _), languages) in collections {
            if languages.len() > 1 {
                let measured = Measured::mean(languages.into_iter().map(|(_, measured)| measured).collect());
                comparison.means.push(measured.difference(name, protocol));
            }
        }
        comparison.changed_in_all = changed.len();
        let shown = shown.min(changed.len());
        comparison.changed = (0..shown).map(|at| changed[at * changed.len() / shown].clone()).collect();
        comparison
    }
}

impl<'a> Compared<'a> {
    fn scored(&self) -> [Scored<'a>; 2] {
        [0, 1].map(|run| score(self.dataset, &self.predictions[run], self.protocol))
    }

    /// The rows that one run has right and the other wrong.
    fn changed(&self, scored: &[Scored<'a>; 2]) -> Vec<ChangedAnswer> {
        let [first, second] = scored;
        let pairs = first.judged.iter().zip(&second.judged).enumerate();
        let changed = pairs.filter(|(_, (first, second))| first.verdict.right != second.verdict.right);
        let answer = |run: usize, at: usize, judged: &Judged<'_>| GivenAnswer {
            prediction: self.predictions[run].of_rows[at].last().map(|text| clipped(text)),
            said: judged.verdict.said.clone(),
            right: judged.verdict.right,
        };
        changed
            .map(|(at, (first_judged, second_judged))| ChangedAnswer {
                question: ShownQuestion::new(&first.result, first_judged.row),
                answers: [answer(0, at, first_judged), answer(1, at, second_judged)],
            })
            .collect()
    }
}

/// Which block of the data a row belongs to: questions about one picture, and the rows of a group, share one, in every language.
struct Blocks {
    /// Each picture's block, by the picture's hash.
    of_images: HashMap<[u8; 32], usize>,
    count: usize,
}

impl Blocks {
    fn new(compared: &[Compared<'_>]) -> Self {
        let mut of_images = HashMap::new();
        for row in compared.iter().flat_map(|this| &this.dataset.rows).filter(|row| !row.images.is_empty()) {
            let next = of_images.len();
            of_images.entry(row.images_hash()).or_insert(next);
        }
        let count = of_images.len().clamp(1, BLOCKS);
        of_images.values_mut().for_each(|block| *block %= count);
        Self { of_images, count }
    }

    /// The block of each row.
    fn of_rows(&self, dataset: &Dataset, protocol: Protocol) -> Vec<usize> {
        let is_grouped = dataset.benchmark.grouping(protocol) == Grouping::Circular;
        let mut of_groups: HashMap<i64, usize> = HashMap::new();
        let rows = dataset.rows.iter().map(|row| {
            let own = self.of_images.get(&row.images_hash()).copied().unwrap_or(0);
            match row.group_in(protocol).filter(|_| is_grouped) {
                Some(group) => *of_groups.entry(group).or_insert(own),
                None => own,
            }
        });
        rows.collect()
    }
}

/// What two runs reach, and how that depends on the data.
struct Measured {
    measured: String,
    values: [f64; 2],
    gained: usize,
    lost: usize,
    /// The difference where one block is left out.
    without_block: Vec<f64>,
}

impl Measured {
    fn new(compared: &Compared<'_>, scored: &[Scored<'_>; 2], blocks: &Blocks) -> Self {
        let Compared { dataset, protocol, .. } = compared;
        let grouping = dataset.benchmark.grouping(*protocol);
        let [first, second] = scored.each_ref().map(|scored| units(&scored.judged, grouping, *protocol));
        let pairs = || first.iter().zip(&second).map(|(first, second)| (first.right, second.right));
        let of_rows = blocks.of_rows(dataset, *protocol);
        let value_without = |scored: &Scored<'_>, block: usize| {
            let rest = scored.judged.iter().zip(&of_rows).filter(|(_, of_row)| **of_row != block);
            let rest: Vec<Judged<'_>> = rest.map(|(judged, _)| judged.clone()).collect();
            dataset.benchmark.scores(&rest, *protocol).first().map_or(0.0, |score| score.value)
        };
        let without_block = (0..blocks.count)
            .map(|block| value_without(&scored[1], block) - value_without(&scored[0], block));
        Self {
            measured: scored[0].result.scores.first().map(crate::report::markdown::named).unwrap_or_default(),
            values: scored.each_ref().map(|scored| scored.result.headline()),
            gained: pairs().filter(|pair| *pair == (false, true)).count(),
            lost: pairs().filter(|pair| *pair == (true, false)).count(),
            without_block: without_block.collect(),
        }
    }

    /// The mean over languages, whose blocks are the same pictures.
    fn mean(languages: Vec<Self>) -> Self {
        let count = languages.len() as f64;
        let mean = |value: &dyn Fn(&Self) -> f64| languages.iter().map(value).sum::<f64>() / count;
        let blocks = languages[0].without_block.len();
        Self {
            measured: format!("{}, mean of {} languages", languages[0].measured, languages.len()),
            values: [0, 1].map(|run| mean(&|language| language.values[run])),
            gained: languages.iter().map(|language| language.gained).sum(),
            lost: languages.iter().map(|language| language.lost).sum(),
            without_block: (0..blocks).map(|block| mean(&|language| language.without_block[block])).collect(),
        }
    }

    fn difference(&self, name: String, protocol: Protocol) -> Difference {
        let difference = self.values[1] - self.values[0];
        let half_width = statistics::half_width(&self.without_block);
        Difference {
            name,
            protocol,
            measured: self.measured.clone(),
            values: self.values,
            difference,
            interval: half_width.map(|half| [difference - half, difference + half]),
            gained: self.gained,
            lost: self.lost,
            p_value: statistics::mcnemar(self.gained, self.lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;
    use crate::{ImageStore, assign};

    fn image(shade: u8) -> String {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let image = image::RgbImage::from_pixel(1, 1, image::Rgb([shade; 3]));
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        base64::engine::general_purpose::STANDARD.encode(bytes.into_inner())
    }

    fn dataset(folder: &std::path::Path, name: &str) -> Dataset {
        let row = |index: usize| format!("{index}\t{}\tQ{index}?\tone\ttwo\tA\n", image((index / 2) as u8));
        let rows: String = (0..40).map(row).collect();
        let file = folder.join(name);
        std::fs::write(&file, format!("index\timage\tquestion\tA\tB\tanswer\n{rows}")).unwrap();
        Dataset::open(&file, &mut ImageStore::default()).unwrap()
    }

    /// A run that is right where `is_right` says so.
    fn run(dataset: &Dataset, folder: &std::path::Path, is_right: impl Fn(usize) -> bool) -> Assigned {
        let file = folder.join("answers.jsonl");
        let line = |index| {
            let letter = if is_right(index) { "A" } else { "B" };
            format!("{{\"index\": {index}, \"prediction\": \"{letter}\"}}\n")
        };
        std::fs::write(&file, (0..40).map(line).collect::<String>()).unwrap();
        assign(dataset, &[crate::PredictionFile::read(&file).unwrap()])
    }

    #[test]
    fn what_changed_is_counted_and_shown() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset(folder.path(), "mmmb_tr.tsv");
        let first = run(&dataset, folder.path(), |index| index < 20);
        let second = run(&dataset, folder.path(), |index| (3..33).contains(&index));
        let protocol = Protocol::Kit2026_08;
        let compared = Compared { dataset: &dataset, protocol, predictions: [first.clone(), second] };
        let runs = ["old", "new"].map(String::from);
        let found = Comparison::new(runs.clone(), &[compared], 8);
        let difference = &found.datasets[0];
        assert_eq!((difference.values, difference.difference), ([50.0, 75.0], 25.0));
        assert_eq!((difference.gained, difference.lost), (13, 3));
        // scipy.stats.binomtest(3, 16).pvalue
        assert!((difference.p_value - 0.021_270_751_953_125).abs() < 1e-12);
        let [low, high] = difference.interval.unwrap();
        assert!(low < 25.0 && 25.0 < high);
        assert_eq!((found.changed.len(), found.changed_in_all), (8, 16));
        assert!(found.changed[0].answers[0].right && !found.changed[0].answers[1].right);

        // Nothing changes between a run and itself.
        let same = Compared { dataset: &dataset, protocol, predictions: [first.clone(), first] };
        let same = Comparison::new(runs, &[same], 8);
        assert_eq!((same.datasets[0].difference, same.datasets[0].p_value), (0.0, 1.0));
        assert_eq!(same.datasets[0].interval, Some([0.0, 0.0]));
        assert_eq!(same.changed_in_all, 0);
    }

    #[test]
    fn languages_have_a_mean_whose_interval_keeps_pictures_together() {
        let folder = tempfile::tempdir().unwrap();
        let datasets = ["mmmb_tr.tsv", "mmmb_ru.tsv"].map(|name| dataset(folder.path(), name));
        let compared: Vec<Compared<'_>> = datasets
            .iter()
            .map(|dataset| {
                let first = run(dataset, folder.path(), |index| index % 2 == 0);
                let second = run(dataset, folder.path(), |index| index % 4 != 1);
                Compared { dataset, protocol: Protocol::Kit2026_08, predictions: [first, second] }
            })
            .collect();
        let found = Comparison::new(["a", "b"].map(String::from), &compared, 0);
        let [mean] = &found.means[..] else { panic!("{:?}", found.means) };
        assert_eq!((mean.name.as_str(), mean.values), ("MMMB", [50.0, 75.0]));
        assert_eq!(mean.measured, "accuracy per row, mean of 2 languages");
        // The same questions in both languages tell no more than those of one.
        assert_eq!(mean.interval, found.datasets[0].interval);
        assert_eq!(found.changed.len(), 0);
    }
}
