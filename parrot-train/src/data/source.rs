//! One LLaVA file of a mix: its records, and how often an epoch visits them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use parrot_model::image::{DecodeOptions, open_rgb};
use parrot_model::text::Role;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use super::TrainingSample;
use super::preparation::Preparation;
use super::record::{self, BadRecord, BadRecordKind, Record, Records, counted};
use super::verdict::Found;
use crate::{Error, Result};

/// How often an epoch may visit a record: a weight beyond that is a slip.
const MOST_WEIGHT: f64 = 1000.0;
/// Visits of an epoch at most, of all sources: their order takes a hundred bytes each.
const MOST_VISITS: usize = 50_000_000;

/// A LLaVA file, `.json` or `.jsonl`, with its folder of pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Names it in reports and in the ids of its samples.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// The folder that its pictures are named in.
    pub images: PathBuf,
    /// How often an epoch visits each of its records.
    pub weight: f64,
    /// Language of its answers, for reports; told from the answers themselves where it is missing.
    pub language: Option<String>,
    /// Whether its records may name pictures outside that folder, by whole paths or by `..`.
    pub images_anywhere: bool,
}

impl Source {
    /// A source that is visited once an epoch and called as its file is.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, images: impl Into<PathBuf>) -> Self {
        let file = file.into();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, file, images: images.into(), weight: 1.0, language: None, images_anywhere: false }
    }

    /// Refuses a weight that no records can have.
    pub(crate) fn check(&self) -> Result<()> {
        let expected = match self.weight {
            weight if !weight.is_finite() || weight <= 0.0 => "a number above 0",
            weight if weight > MOST_WEIGHT => "at most 1000",
            _ => return Ok(()),
        };
        let found = format!("{} for {}", self.weight, self.name);
        Err(Error::Setting { key: "data.source.weight", expected: expected.into(), found })
    }
}

/// A source and its usable records with their numbers in the file.
#[derive(Debug)]
pub(super) struct LoadedSource {
    pub(super) source: Source,
    pub(super) records: Vec<(usize, Record)>,
    pub(super) bad: Vec<BadRecord>,
    /// Keys of records that are not known, and how many have them.
    pub(super) not_read: BTreeMap<String, usize>,
}

/// Whether a record's pictures are looked for when its file is read; a missing one then makes it unusable.
#[derive(Debug, Clone, Copy)]
enum ImageFiles {
    LookedFor,
    TakenToBeThere,
}

impl LoadedSource {
    pub(super) fn read(source: &Source) -> Result<Self> {
        let loaded = Self::read_records(source, ImageFiles::LookedFor)?;
        let shows = loaded.bad.iter().any(|bad| bad.kind == BadRecordKind::MissingImage);
        if shows && !source.images.is_dir() {
            let reason = format!("no such folder, in which {} has its pictures", source.name);
            return Err(Error::Data { path: source.images.clone(), reason });
        }
        Ok(loaded)
    }

    fn read_records(source: &Source, image_files: ImageFiles) -> Result<Self> {
        let Records { good: records, mut bad, not_read } = record::read(&source.file, &source.name)?;
        let mut seen: BTreeMap<String, bool> = BTreeMap::new();
        let mut problem = |record: &Record| {
            let outside = || record.images.iter().find(|image| !source.images_anywhere && leaves(image));
            let outside = outside().map(|image| {
                let folder = source.images.display();
                let reason = format!("picture outside {folder}: {image}; `images_anywhere = true` allows it");
                (BadRecordKind::ImageOutsideFolder, reason)
            });
            let mut missing = || {
                let missing = record.images.iter().find(|image| {
                    let exists = || match image_files {
                        ImageFiles::LookedFor => source.images.join(image).is_file(),
                        ImageFiles::TakenToBeThere => true,
                    };
                    !*seen.entry((*image).clone()).or_insert_with(exists)
                });
                missing.map(|image| {
                    let reason = format!("no picture {}", source.images.join(image).display());
                    (BadRecordKind::MissingImage, reason)
                })
            };
            let in_text = record.problem().map(|reason| (BadRecordKind::Other, reason));
            in_text.or(outside).or_else(&mut missing)
        };
        let mut good = Vec::with_capacity(records.len());
        for (number, record) in records {
            match problem(&record) {
                None => good.push((number, record)),
                Some((kind, reason)) => {
                    bad.push(BadRecord { source: source.name.clone(), number, id: record.id, reason, kind });
                }
            }
        }
        bad.sort_by_key(|bad| bad.number);
        Ok(Self { source: source.clone(), records: good, bad, not_read })
    }

    pub(super) fn check(&self) -> Result<()> {
        let Source { weight, name, .. } = &self.source;
        self.source.check()?;
        let count = self.records.len();
        if count > 0 && (weight * count as f64).round() < 1.0 {
            let found = format!("{weight} for the {} of {name}", counted(count));
            let expected = "at least one visit an epoch".into();
            return Err(Error::Setting { key: "data.source.weight", expected, found });
        }
        Ok(())
    }

    /// Records of an epoch: all of them as often as the weight's whole part, and a share for its fraction.
    pub(super) fn visits(&self, seed: u64) -> impl Iterator<Item = u32> {
        let count = self.records.len() as u32;
        let (whole, share) = whole_and_share(self.records.len(), self.source.weight);
        let mut drawn: Vec<u32> = (0..count).collect();
        drawn.shuffle(&mut StdRng::seed_from_u64(seed));
        drawn.truncate(share);
        drawn.sort_unstable();
        (0..whole).flat_map(move |_| 0..count).chain(drawn)
    }

    /// What decides which sample has which number.
    pub(super) fn fingerprint(&self, hash: &mut Sha256) {
        // With their lengths, so that no two data sets run together into the same bytes.
        let mut text = |text: &str| {
            hash.update(text.len().to_le_bytes());
            hash.update(text.as_bytes());
        };
        text(&self.source.name);
        text(&self.source.weight.to_string());
        for (number, record) in &self.records {
            text(&number.to_string());
            text(&record.id);
            record.images.iter().for_each(|image| text(image));
            for turn in &record.conversations {
                // The role names of earlier versions, so that the fingerprints in their checkpoints still match.
                text(match turn.from {
                    Role::System => "System",
                    Role::User => "Human",
                    Role::Assistant => "Gpt",
                });
                text(&turn.value);
            }
        }
    }

    fn open_image(&self, image: &str) -> parrot_model::Result<image::RgbImage> {
        open_rgb(&self.source.images.join(image), &DecodeOptions::default())
    }

    /// The sample of a record, named after source and record.
    pub(super) fn sample(&self, index: usize, preparation: &Preparation) -> Result<TrainingSample> {
        let (number, record) = &self.records[index];
        let name = match record.id.as_str() {
            "" => format!("{}/#{number}", self.source.name),
            id => format!("{}/{id}", self.source.name),
        };
        let sample = preparation.sample(record, |image| self.open_image(image));
        match sample {
            Ok(sample) => Ok(TrainingSample { id: name, ..sample }),
            Err(Error::Sample { reason, .. }) => Err(Error::Sample { id: name, reason }),
            Err(error) => Err(error),
        }
    }
}

/// Whether a picture's name leads out of its folder.
fn leaves(image: &str) -> bool {
    let mut depth = 0_i32;
    Path::new(image).components().any(|component| {
        depth += match component {
            Component::Normal(_) => 1,
            Component::CurDir => 0,
            Component::ParentDir => -1,
            Component::RootDir | Component::Prefix(_) => return true,
        };
        depth < 0
    })
}

/// How often an epoch visits every record, and how many of them it visits once more.
fn whole_and_share(records: usize, weight: f64) -> (usize, usize) {
    (weight.floor() as usize, ((weight - weight.floor()) * records as f64).round() as usize)
}

/// Samples of an epoch over `records` records of this weight.
pub(super) fn visits(records: usize, weight: f64) -> usize {
    let (whole, share) = whole_and_share(records, weight);
    whole.saturating_mul(records).saturating_add(share)
}

/// Samples of an epoch of which `before` are of other sources and the rest of `records` records of this one.
///
/// # Errors
///
/// [`Error::Setting`] for more than an epoch may have.
pub(crate) fn add_visits(before: usize, records: usize, source: &Source) -> Result<usize> {
    let all = before.saturating_add(visits(records, source.weight));
    if all > MOST_VISITS {
        let expected = "so that an epoch has at most 50 million visits".into();
        let found = format!("{} for {}", source.weight, source.name);
        return Err(Error::Setting { key: "data.source.weight", expected, found });
    }
    Ok(all)
}

/// What a plan says of a source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// What decides whether a mix would use it.
    pub(crate) found: Found,
    /// Usable records that were tokenised.
    pub(crate) looked_at: usize,
    /// Those of them whose pictures were decoded.
    pub(crate) decoded: usize,
    /// Those that can be used, taken together.
    pub(crate) sizes: Sizes,
}

/// How much samples are to a model, taken together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Samples.
    pub(crate) samples: usize,
    /// Their tokens, pictures counted, as far as a stage takes them.
    pub(crate) tokens: usize,
    /// Their pictures.
    pub(crate) images: usize,
    /// Their tokens that are learnt.
    pub(crate) learnt: usize,
}

/// Counts a source's records. Where its pictures are not on this machine at all they are taken to be there.
///
/// - preparation: where the model's tokenizer is at hand, up to `MOST_LOOKED_AT` records are tokenised, and of up to
///   `MOST_DECODED` of them samples made as a run makes them, pictures decoded; both evenly spread
///
/// # Errors
///
/// [`Error::Io`] and [`Error::Data`] for a file that cannot be read.
pub(crate) fn count(source: &Source, preparation: Option<&Preparation>) -> Result<Count> {
    const MOST_LOOKED_AT: usize = 1000;
    // Seconds of a processor, as pictures usually are.
    const MOST_DECODED: usize = 100;
    let image_files = if source.images.is_dir() { ImageFiles::LookedFor } else { ImageFiles::TakenToBeThere };
    let loaded = LoadedSource::read_records(source, image_files)?;
    loaded.check()?;
    let usable = loaded.records.len();
    let found = Found { usable, bad: loaded.bad.len(), ..Found::default() };
    let mut count = Count { found, ..Count::default() };
    let Some(preparation) = preparation else { return Ok(count) };
    count.looked_at = usable.min(MOST_LOOKED_AT);
    if matches!(image_files, ImageFiles::LookedFor) {
        count.decoded = count.looked_at.min(MOST_DECODED);
    }
    for at in 0..count.looked_at {
        let index = at * usable / count.looked_at;
        let record = &loaded.records[index].1;
        let is_decoded = at * count.decoded / count.looked_at < (at + 1) * count.decoded / count.looked_at;
        let sample = if is_decoded { loaded.sample(index, preparation) } else { preparation.text(record) };
        // Pictures that are not on this machine are taken to be whole.
        let is_tried = is_decoded || record.images.is_empty() || count.decoded == 0;
        count.found.tried += usize::from(is_tried);
        match sample.and_then(|sample| preparation.length(&sample)) {
            Ok(length) => {
                count.found.made += usize::from(is_tried);
                count.sizes.samples += 1;
                count.sizes.tokens += length.tokens;
                count.sizes.images += record.images.len();
                count.sizes.learnt += length.learnt;
            }
            Err(_) => count.found.unusable += 1,
        }
    }
    Ok(count)
}
