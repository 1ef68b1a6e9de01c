//! mini-MMMB and mini-MMBench: evaluation items in the files of the benchmarks that Parrot is measured on, so that
//! `parrot eval` and VLMEvalKit can run on the default model.
//!
//! Six parallel files each. In `mini_mmmb_*.tsv` a yes/no question has a partner about the same picture with the
//! opposite answer, at its index plus a million; in `mini_mmbench_*.tsv` every question stands four times, its
//! options moved on by one each time. A picture is stored once per file, as a PNG in base64.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use image::ImageFormat;
use parrot_eval::{EncodedImage, GROUP, Table, TableRecord};

use crate::dataset::{Dataset, EvalItem};
use crate::language::{ByLanguage, Language};
use crate::question::{Fact, Form, Query, Task, Turn};
use crate::random::Random;

const COLUMNS: [&str; 11] =
    ["index", "image", "question", "A", "B", "C", "D", "answer", "category", "l2-category", "source"];

/// A stream of random numbers that no sample is drawn from.
const PARTNERS: u64 = 100;

/// Writes both benchmarks with questions about this many pictures, 12 files.
///
/// # Errors
///
/// When a picture cannot be encoded or a file not be written.
pub fn write(data: &Dataset, scenes: usize, image_size: u32, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let items = data.evaluation(scenes);
    let mut images = Vec::with_capacity(items.len());
    for item in &items {
        let mut png = Cursor::new(Vec::new());
        data.render(&item.scene, image_size).write_to(&mut png, ImageFormat::Png)?;
        images.push(EncodedImage::new(png.into_inner()).to_base64());
    }
    let partners: Vec<Option<ByLanguage<Turn>>> =
        items.iter().enumerate().map(|(at, item)| partner(data, item, at)).collect();
    for language in Language::ALL {
        let mut mmmb = Vec::new();
        let mut mmbench = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let index = at as i64 + 1;
            let turn = item.choice.get(language);
            mmmb.push(record(index, &images[at], turn, item));
            if item.query.task == Task::Exist {
                let partner = partners[at].as_ref().map(|partner| partner.get(language));
                mmmb.extend(partner.map(|turn| record(index + GROUP, &index.to_string(), turn, item)));
                continue;
            }
            mmbench.push(record(index, &images[at], turn, item));
            for by in 1..turn.options.len() {
                let copy = index + by as i64 * GROUP;
                mmbench.push(record(copy, &index.to_string(), &turn.rotated(by), item));
            }
        }
        // As the benchmarks' own files are called.
        let code = if language == Language::Zh { "cn" } else { language.code() };
        for (name, records) in [("mini_mmmb", mmmb), ("mini_mmbench", mmbench)] {
            let file = out.join(format!("{name}_{code}.tsv"));
            Table { file, columns: COLUMNS.map(Into::into).into(), records }.write()?;
        }
    }
    Ok(())
}

/// The opposite question about the same picture: a thing that is there instead of one that is not, or the
/// reverse; about a held-out composition if the picture has another one.
fn partner(data: &Dataset, item: &EvalItem, at: usize) -> Option<ByLanguage<Turn>> {
    let Fact::Truth(truth) = item.query.answer else { return None };
    let catalogue = data.catalogue();
    let drawn = |concept: &usize| catalogue.concepts[*concept].styles.contains(&item.scene.style);
    let pool: Vec<usize> = (0..catalogue.core_count()).filter(drawn).collect();
    let mut random = Random::new(0, PARTNERS, at as u64);
    let draws = (0..200).filter_map(|_| Query::draw(Task::Exist, &item.scene, catalogue, &pool, &mut random));
    let opposite: Vec<Query> = draws.filter(|query| query.answer == Fact::Truth(!truth)).collect();
    let held_out = |query: &&Query| query.composition.is_some_and(|it| it.held_out(catalogue));
    let query = opposite.iter().find(held_out).or(opposite.first())?;
    // The first has Yes at this letter; so has the second, and the right letters differ.
    let first = item.choice.get(Language::En);
    let place = first.options.iter().position(|option| *option != first.text)?;
    let query = Query { paraphrase: item.query.paraphrase, ..query.clone() };
    Some(ByLanguage::from_fn(|language| query.turn(catalogue, language, Form::Choice, place)))
}

fn record(index: i64, image: &str, turn: &Turn, item: &EvalItem) -> TableRecord {
    let option = |at: usize| turn.options.get(at).cloned();
    let (category, group) = names(turn.task);
    let cells = vec![
        Some(index.to_string()),
        Some(image.into()),
        Some(turn.question.clone()),
        option(0),
        option(1),
        option(2),
        option(3),
        turn.letter.map(String::from),
        Some(category.into()),
        Some(group.into()),
        Some(item.scene.style.name().into()),
    ];
    TableRecord { line: 0, cells }
}

/// A task as category and group of categories.
fn names(task: Task) -> (&'static str, &'static str) {
    match task {
        Task::Naming => ("naming", "identity"),
        Task::Category => ("category", "identity"),
        Task::Exist => ("existence", "existence"),
        Task::Count => ("count", "attribute"),
        Task::Colour => ("colour", "attribute"),
        Task::Corner => ("corner", "position"),
        Task::RightOf => ("right of", "position"),
        Task::Above => ("above", "position"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use parrot_eval::ImageStore;

    use super::*;
    use crate::dataset::DatasetConfig;

    fn written(scenes: usize) -> (tempfile::TempDir, Vec<parrot_eval::Dataset>) {
        let assets = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../assets/emoji");
        let data = Dataset::load(&assets, DatasetConfig::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        write(&data, scenes, 72, folder.path()).unwrap();
        let mut images = ImageStore::default();
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let datasets =
            files.iter().map(|file| parrot_eval::Dataset::open(file, &mut images).unwrap()).collect();
        assert_eq!(images.len(), scenes, "all files share their pictures");
        (folder, datasets)
    }

    #[test]
    fn files_are_whole_and_parallel() {
        let (_folder, datasets) = written(48);
        assert_eq!(datasets.len(), 12);
        for dataset in &datasets {
            assert!(dataset.problems.is_empty(), "{:?}", dataset.problems);
            assert!(dataset.language.is_some());
            let same = datasets.iter().filter(|other| other.benchmark.name() == dataset.benchmark.name());
            for other in same {
                let questions = |dataset: &parrot_eval::Dataset| -> Vec<(String, String)> {
                    dataset.rows.iter().map(|row| (row.index.clone(), row.answer().into())).collect()
                };
                assert_eq!(questions(dataset), questions(other));
            }
        }
    }

    #[test]
    fn pairs_are_opposite_and_copies_are_rotated() {
        let (_folder, datasets) = written(48);
        let mut pairs = 0;
        for dataset in &datasets {
            let mut groups: BTreeMap<i64, Vec<&parrot_eval::Row>> = BTreeMap::new();
            for row in &dataset.rows {
                groups.entry(row.group().unwrap()).or_default().push(row);
            }
            for rows in groups.values() {
                let right = |row: &parrot_eval::Row| {
                    let options = row.options();
                    let found = options.iter().find(|(letter, _)| letter.to_string() == row.answer());
                    found.map(|(_, text)| (*text).to_string())
                };
                match (dataset.benchmark.name(), rows.len()) {
                    ("MMMB", 1) => assert_eq!(rows[0].options().len(), 4),
                    ("MMMB", 2) => {
                        assert_eq!(rows[0].options(), rows[1].options(), "Yes has one letter");
                        assert_ne!(rows[0].answer(), rows[1].answer());
                        assert_ne!(rows[0].question(), rows[1].question());
                        pairs += 1;
                    }
                    ("MMBench", 4) => {
                        assert!(rows.iter().all(|row| right(row) == right(rows[0])));
                        let letters: String = rows.iter().map(|row| row.answer()).collect();
                        assert!(["ABCD", "BCDA", "CDAB", "DABC"].contains(&letters.as_str()), "{letters}");
                    }
                    (name, count) => panic!("{count} rows of one group in {name}"),
                }
                assert!(rows.iter().all(|row| row.images == rows[0].images));
            }
        }
        assert_eq!(pairs, 6 * 6);
    }
}
