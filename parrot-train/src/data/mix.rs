//! Several LLaVA files as one data set.
//!
//! A source's weight says how often an epoch visits each of its records: 1 once, 2 twice, 0.25 a quarter of
//! them, drawn once and for all from the seed. Opening the mix finds
//! the records that cannot be used, as far as that is possible without decoding pictures; they are counted and, up to a
//! limit, left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use parrot_model::untrusted::{self, printable};
use sha2::{Digest, Sha256};

use super::language::language_of;
use super::preparation::Preparation;
use super::record::{BadRecord, counted};
use super::source::{LoadedSource, Source, add_visits};
use super::verdict::{Found, Refusal};
use super::{Dataset, LengthHint, TrainingSample};
use crate::{Error, Result};

/// Bytes of text to a token, roughly, over six languages.
const BYTES_PER_TOKEN: usize = 3;

/// Sources that have been read.
#[derive(Debug)]
pub struct Mix {
    sources: Vec<LoadedSource>,
    /// What an epoch visits: a source and one of its records.
    visits: Vec<(u32, u32)>,
    preparation: Preparation,
    fingerprint: String,
}

impl Mix {
    /// Reads the sources.
    ///
    /// - max_bad_records: how many unusable records are tolerated
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Data`] for a file that cannot be read; [`Error::BadRecords`] when more than
    /// `max_bad_records` cannot be used; [`Error::Setting`] for a weight that is no positive number, and when
    /// nothing is left to learn from, in all or of one source.
    pub fn open(
        sources: &[Source],
        preparation: Preparation,
        max_bad_records: usize,
        seed: u64,
    ) -> Result<Self> {
        let loaded_sources = read_all(sources)?;
        let bad: Vec<&BadRecord> = loaded_sources.iter().flat_map(|loaded| &loaded.bad).collect();
        let usable = loaded_sources.iter().map(|loaded| loaded.records.len()).sum();
        let found = Found { usable, bad: bad.len(), ..Found::default() };
        match found.refusal(max_bad_records) {
            None => {}
            Some(Refusal::TooMany { found, allowed }) => {
                let examples = bad.iter().take(5).map(ToString::to_string).collect();
                return Err(Error::BadRecords { found, allowed, examples });
            }
            Some(Refusal::NoneUsable) => return Err(none_usable(&bad)),
        }
        let mut visits = Vec::new();
        let mut hash = Sha256::new();
        for (number, loaded) in (0..).zip(&loaded_sources) {
            loaded.check()?;
            add_visits(visits.len(), loaded.records.len(), &loaded.source)?;
            visits.extend(loaded.visits(seed.wrapping_add(u64::from(number))).map(|record| (number, record)));
            loaded.fingerprint(&mut hash);
        }
        hash.update(seed.to_le_bytes());
        let fingerprint = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { sources: loaded_sources, visits, preparation, fingerprint })
    }

    /// The records that were left out.
    pub fn bad_records(&self) -> impl Iterator<Item = &BadRecord> {
        self.sources.iter().flat_map(|loaded| &loaded.bad)
    }

    /// Records of each source that are used, by the source's name.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        self.sources.iter().map(|loaded| (loaded.source.name.as_str(), loaded.records.len())).collect()
    }
}

impl Dataset for Mix {
    type Sample = TrainingSample;

    fn len(&self) -> usize {
        self.visits.len()
    }

    fn sample(&self, index: usize) -> Result<TrainingSample> {
        let (source, record) = self.visits[index];
        self.sources[source as usize].sample(record as usize, &self.preparation)
    }

    fn length_hint(&self, index: usize) -> LengthHint {
        let (source, record) = self.visits[index];
        let (_, record) = &self.sources[source as usize].records[record as usize];
        let bytes: usize = record.conversations.iter().map(|turn| turn.value.len()).sum();
        LengthHint { images: record.images.len(), tokens: bytes / BYTES_PER_TOKEN }
    }

    fn language(&self, index: usize) -> String {
        let (source, record) = self.visits[index];
        let LoadedSource { source, records, .. } = &self.sources[source as usize];
        let told = || language_of(&records[record as usize].1).into();
        source.language.clone().unwrap_or_else(told)
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

/// One line a source: how many records are used, how many are not.
impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for loaded in &self.sources {
            let Source { name, weight, .. } = &loaded.source;
            write!(f, "{name}: {}", counted(loaded.records.len()))?;
            if *weight != 1.0 {
                write!(f, " × {weight}")?;
            }
            match loaded.bad.len() {
                0 => writeln!(f)?,
                bad => writeln!(f, ", {bad} left out")?,
            }
            if let Some(keys) = not_read(&loaded.not_read) {
                writeln!(f, "  not read: {keys}")?;
            }
        }
        Ok(())
    }
}

/// The error of sources without a record that can be used, which says what is wrong with them.
fn none_usable(bad: &[&BadRecord]) -> Error {
    let reasons: BTreeSet<&str> = bad.iter().map(|bad| &*bad.reason).collect();
    let mut found = "none that can be used".to_string();
    for (number, reason) in reasons.iter().take(3).enumerate() {
        found += if number == 0 { ": " } else { "; " };
        found += &printable(reason);
    }
    Error::Setting { key: "data.source", expected: "records to learn from".into(), found }
}

/// Keys that are not known, the most frequent first; `None` where there is none.
pub(super) fn not_read(keys: &BTreeMap<String, usize>) -> Option<String> {
    let mut keys: Vec<(&String, &usize)> = keys.iter().collect();
    keys.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shown: Vec<String> = keys
        .iter()
        .take(5)
        .map(|(key, count)| format!("{} of {}", printable(key), counted(**count)))
        .collect();
    let more = keys.len().saturating_sub(5);
    let more = if more > 0 { format!(", and {more} more keys") } else { String::new() };
    (!keys.is_empty()).then(|| shown.join(", ") + &more)
}

/// Reads the sources, whose names tell them apart.
pub(super) fn read_all(sources: &[Source]) -> Result<Vec<LoadedSource>> {
    check_names(sources)?;
    sources.iter().map(LoadedSource::read).collect()
}

/// Refuses sources that their names do not tell apart.
pub(crate) fn check_names(sources: &[Source]) -> Result<()> {
    let names: BTreeSet<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    if names.len() < sources.len() {
        let named = |source: &Source| format!("{} ({})", source.name, source.file.display());
        let found = sources.iter().map(named).collect::<Vec<_>>().join(", ");
        return Err(Error::Setting { key: "data.source.name", expected: "different names".into(), found });
    }
    Ok(())
}

/// Every record of the sources that cannot be used: what [`Mix::open`] has counted when it refuses them.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::Data`] for a file that cannot be read.
pub fn bad_records(sources: &[Source]) -> Result<Vec<BadRecord>> {
    Ok(read_all(sources)?.into_iter().flat_map(|loaded| loaded.bad).collect())
}

/// Writes bad records, one JSON object a line; when there are none, a list of an earlier call is removed.
///
/// # Errors
///
/// [`Error::Io`].
pub fn write_bad_records<'a>(bad: impl IntoIterator<Item = &'a BadRecord>, file: &Path) -> Result<()> {
    let lines: Vec<String> =
        bad.into_iter().map(|bad| serde_json::to_string(bad).unwrap_or_default() + "\n").collect();
    if !lines.is_empty() {
        return Ok(untrusted::replace_file(file, lines.concat().as_bytes())?);
    }
    // An empty file, as `mktemp` makes it, is a list of none.
    if file.metadata().is_ok_and(|found| found.len() == 0) {
        return Ok(());
    }
    Ok(untrusted::remove_file(file)?)
}

/// Refuses a file that is no list of bad records, as [`write_bad_records`] would replace or remove it. A terminal or a pipe is
/// none that it could.
///
/// # Errors
///
/// [`Error::Data`], and [`Error::Io`] for what cannot be read.
pub fn check_list_of_bad_records(file: &Path) -> Result<()> {
    if file.symlink_metadata().is_err() || untrusted::is_stream(file) {
        return Ok(());
    }
    let mut lines = BufReader::new(untrusted::open(file)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        if read.map_err(Error::io("read", file))? == 0 {
            return Ok(());
        }
        if untrusted::from_json::<BadRecord>(&line).is_err() {
            let reason = "the list of bad records would replace this file, which is no such list; move it away, or name another";
            return Err(Error::Data { path: file.into(), reason: reason.into() });
        }
    }
}

/// Bytes of a line in a list of bad records at most: far more than an id and a reason have.
const LONGEST_LINE: u64 = 16 << 20;

#[cfg(test)]
mod tests {

    use serde_json::json;

    use super::super::preparation::tests::{GOLDEN, preparation};
    use super::super::source::{Count, count, visits};
    use super::*;

    /// A file of `count` records about a picture.
    fn source(folder: &Path, name: &str, count: usize, image: &str) -> Source {
        let record = |id: usize| {
            let record = json!({"id": id, "image": image, "conversations": [
                {"from": "human", "value": "<image>\nWhich?"}, {"from": "gpt", "value": id.to_string()}]});
            format!("{record}\n")
        };
        let lines: Vec<String> = (0..count).map(record).collect();
        let file = folder.join(format!("{name}.jsonl"));
        std::fs::write(&file, lines.concat()).unwrap();
        Source::new(file, format!("{GOLDEN}/images"))
    }

    #[test]
    fn weights_say_how_often_an_epoch_visits_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let half = Source { weight: 0.5, ..source(folder.path(), "half", 8, "wide.png") };
        let twice = Source { weight: 2.25, ..source(folder.path(), "twice", 4, "wide.png") };
        let mix = Mix::open(&[half, twice], preparation(), 0, 1).unwrap();
        assert_eq!(mix.len(), 4 + 9);
        assert_eq!((visits(8, 0.5), visits(4, 2.25)), (4, 9));
        let ids: Vec<String> = (0..mix.len()).map(|index| mix.sample(index).unwrap().id).collect();
        let visits = |id: &str| ids.iter().filter(|other| *other == id).count();
        assert!((0..8).all(|id| visits(&format!("half/{id}")) <= 1));
        assert_eq!((0..4).filter(|id| visits(&format!("twice/{id}")) == 3).count(), 1);
        assert_eq!(mix.to_string(), "half: 8 records × 0.5\ntwice: 4 records × 2.25\n");
    }

    #[test]
    fn a_language_is_the_recipes_or_else_the_answers_own() {
        let folder = tempfile::tempdir().unwrap();
        let told = Source { language: Some("zh".into()), ..source(folder.path(), "told", 1, "wide.png") };
        let file = folder.path().join("untold.jsonl");
        let record = json!({"id": 1, "conversations": [
            {"from": "human", "value": "What is this?"}, {"from": "gpt", "value": "Это кошка."}]});
        std::fs::write(&file, record.to_string()).unwrap();
        let mix = Mix::open(&[told, Source::new(file, folder.path())], preparation(), 0, 1).unwrap();
        assert_eq!((mix.language(0), mix.language(1)), ("zh".into(), "ru".into()));
    }

    #[test]
    fn other_data_or_another_weight_has_another_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let first = source(folder.path(), "a", 3, "wide.png");
        let fingerprint =
            |sources: &[Source], seed| Mix::open(sources, preparation(), 0, seed).unwrap().fingerprint();
        let one = fingerprint(std::slice::from_ref(&first), 1);
        assert_eq!(one, fingerprint(std::slice::from_ref(&first), 1));
        assert_ne!(one, fingerprint(std::slice::from_ref(&first), 2));
        assert_ne!(one, fingerprint(&[Source { weight: 0.5, ..first.clone() }], 1));
        assert_ne!(one, fingerprint(&[source(folder.path(), "a", 4, "wide.png")], 1));
        assert_ne!(one, fingerprint(&[source(folder.path(), "a", 3, "tall.png")], 1));
    }

    #[test]
    fn weights_that_visit_nothing_or_too_much_are_refused_and_so_are_equal_names() {
        let folder = tempfile::tempdir().unwrap();
        let first = source(folder.path(), "a", 2, "wide.png");
        let refused = |sources: &[Source]| Mix::open(sources, preparation(), 0, 1).unwrap_err().to_string();
        for (weight, expected) in [
            (0.1, "at least one visit an epoch, found 0.1 for the 2 records of a"),
            (1e12, "at most 1000"),
            (-1.0, "a number above 0"),
            (f64::NAN, "a number above 0"),
        ] {
            let said = refused(&[Source { weight, ..first.clone() }]);
            assert!(said.contains(expected), "{said}");
        }
        let [here, there] = ["data/a.json", "more/a.json"];
        let said = refused(&[Source::new(here, "."), Source::new(there, ".")]);
        assert!(said.contains("different names, found a (data/a.json), a (more/a.json)"), "{said}");
    }

    #[test]
    fn missing_images_are_left_out_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let good = source(folder.path(), "good", 2, "wide.png");
        let bad = source(folder.path(), "bad", 3, "no such.png");
        let sources = [good, bad];
        let mix = Mix::open(&sources, preparation(), 3, 0).unwrap();
        assert_eq!((mix.len(), mix.bad_records().count()), (2, 3));
        assert_eq!(mix.bad_records().cloned().collect::<Vec<_>>(), bad_records(&sources).unwrap());
        let counted = |source: &Source| {
            let Count { found, looked_at, decoded, sizes } = count(source, Some(&preparation())).unwrap();
            assert_eq!(sizes.samples, looked_at - found.unusable);
            (found.usable, found.bad, looked_at, decoded, found.unusable)
        };
        assert_eq!((counted(&sources[0]), counted(&sources[1])), ((2, 0, 2, 2, 0), (0, 3, 0, 0, 0)));
        let elsewhere = Source { images: "no such folder".into(), ..sources[1].clone() };
        assert_eq!(counted(&elsewhere), (3, 0, 3, 0, 0));
        let broken = source(folder.path(), "broken", 250, "corrupt_garbage.png");
        assert_eq!(counted(&broken), (250, 0, 250, 100, 100));
        let found = count(&broken, Some(&preparation())).unwrap().found;
        assert_eq!((found.tried, found.made), (100, 0), "of the other pictures nothing is known");
        let list = folder.path().join("bad-records.jsonl");
        write_bad_records(mix.bad_records(), &list).unwrap();
        let text = std::fs::read_to_string(&list).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains(r#""source":"bad","number":1,"id":"0","reason":"no picture "#), "{text}");
        write_bad_records([], &list).unwrap();
        write_bad_records([], &list).unwrap();
        assert!(!list.exists(), "a list of an earlier call is left");
        let error = Mix::open(&sources, preparation(), 2, 0).unwrap_err().to_string();
        assert!(
            error.contains("3 records cannot be used, 2 may") && error.contains("bad record 1 (id 0)"),
            "{error}"
        );
        let error = Mix::open(&sources[1..], preparation(), 3, 0).unwrap_err().to_string();
        assert!(error.contains("none that can be used: no picture "), "{error}");
        let error = Mix::open(&[elsewhere], preparation(), 3, 0).unwrap_err().to_string();
        assert_eq!(error, "no such folder: no such folder, in which bad has its pictures");
    }

    #[test]
    fn images_outside_their_folder_are_read_where_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let whole = format!("{GOLDEN}/images/wide.png");
        for (number, image) in
            [whole.as_str(), "../images/wide.png", "a/../../images/wide.png"].into_iter().enumerate()
        {
            let closed = source(folder.path(), &format!("s{number}"), 1, image);
            let error =
                Mix::open(std::slice::from_ref(&closed), preparation(), 0, 0).unwrap_err().to_string();
            assert!(error.contains("picture outside ") && error.contains("images_anywhere"), "{error}");
            let mix = Mix::open(&[Source { images_anywhere: true, ..closed }], preparation(), 1, 0);
            assert_eq!(mix.is_ok(), !image.starts_with('a'), "{image}");
        }
        let inside = source(folder.path(), "inside", 1, "../images/wide.png");
        let inside = Source { images: GOLDEN.into(), ..inside };
        assert!(Mix::open(&[inside], preparation(), 0, 0).is_err());
        let inside = source(folder.path(), "here", 1, "images/../images/wide.png");
        Mix::open(&[Source { images: GOLDEN.into(), ..inside }], preparation(), 0, 0).unwrap();
    }
}
