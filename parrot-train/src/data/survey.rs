//! What a mix is made of: records, languages, lengths, pictures. For `parrot-train check-data`.

use std::collections::BTreeMap;
use std::fmt;

use parrot_model::untrusted::printable;
use serde::Serialize;

use super::language::{answers, language_of};
use super::mix::{not_read, read_all};
use super::preparation::{Preparation, SampleLimits};
use super::record::{BadRecord, BadRecordKind};
use super::source::{LoadedSource, Source, add_visits};
use super::verdict::Found;
use crate::{Error, Result};

/// The data of a stage, source by source.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Survey {
    /// One per source, in their order.
    pub sources: Vec<SourceSurvey>,
    /// The records that cannot be used, as far as their text tells.
    #[serde(skip)]
    pub bad_records: Vec<BadRecord>,
    #[serde(skip)]
    samples: usize,
}

/// What a source is made of.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct SourceSurvey {
    /// Its name.
    pub name: String,
    /// Records that can be used.
    pub records: usize,
    /// Those of them that have a picture.
    #[serde(rename = "with_picture")]
    pub with_image: usize,
    /// Answers to learn from.
    pub answers: usize,
    /// Records that cannot be used, by reason.
    pub bad: BTreeMap<String, usize>,
    /// The first record of each of these reasons.
    pub first_bad: BTreeMap<String, BadRecord>,
    /// Keys of records that are not known, and how many records have them.
    pub not_read: BTreeMap<String, usize>,
    /// What the recipe says of its language.
    pub language: Option<String>,
    /// Records by the language of their answers, as script and frequent words suggest it.
    pub languages: BTreeMap<&'static str, usize>,
    /// Records that were tokenised, their pictures decoded.
    pub sampled: usize,
    /// Of those, how many could not be made into a sample.
    pub unusable: Vec<BadRecord>,
    /// Tokens of a sample, pictures counted.
    pub tokens: Option<Lengths>,
    /// Samples that a stage would cut off.
    pub too_long: usize,
}

/// Lengths in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Lengths {
    /// The shortest.
    pub min: usize,
    /// The median.
    pub median: usize,
    /// The 95th percentile.
    pub p95: usize,
    /// The longest.
    pub max: usize,
}

/// Looks at every record, and makes samples of up to `samples` of each source, evenly spread, as a run does.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::Data`] for a file that cannot be read, [`Error::Setting`] for names and weights of sources that no
/// mix can have.
pub fn survey(sources: &[Source], preparation: &Preparation, samples: usize) -> Result<Survey> {
    let loaded_sources = read_all(sources)?;
    loaded_sources.iter().try_for_each(LoadedSource::check)?;
    let visits = loaded_sources
        .iter()
        .try_fold(0, |visits, loaded| add_visits(visits, loaded.records.len(), &loaded.source))?;
    let bad_records = loaded_sources.iter().flat_map(|loaded| loaded.bad.clone()).collect();
    Ok(Survey {
        sources: loaded_sources.iter().map(|loaded| look(loaded, preparation, samples)).collect(),
        bad_records,
        samples: visits,
    })
}

impl Survey {
    /// What decides whether a stage trains on the records.
    #[must_use]
    pub fn found(&self) -> Found {
        let mut found = Found { bad: self.bad_records.len(), ..Found::default() };
        for source in &self.sources {
            let (tried, unusable) = (source.sampled, source.unusable.len());
            found += Found { usable: source.records, bad: 0, unusable, tried, made: tried - unusable };
        }
        found
    }

    /// Samples of an epoch.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }
}

fn look(loaded: &LoadedSource, preparation: &Preparation, samples: usize) -> SourceSurvey {
    let limits = preparation.limits.as_ref();
    let tokens_per_image = limits.map_or(1, SampleLimits::tokens_per_image);
    let max_length = limits.and_then(|limits| limits.max_length);
    let records = loaded.records.iter().map(|(_, record)| record);
    let mut survey = SourceSurvey {
        name: loaded.source.name.clone(),
        records: loaded.records.len(),
        with_image: records.clone().filter(|record| !record.images.is_empty()).count(),
        not_read: loaded.not_read.clone(),
        language: loaded.source.language.clone(),
        ..SourceSurvey::default()
    };
    for bad in &loaded.bad {
        // Without names and places, so that equal problems are counted together.
        let reason = match bad.kind {
            BadRecordKind::MissingImage => "missing picture",
            BadRecordKind::ImageOutsideFolder => "picture outside its folder",
            BadRecordKind::NotJson => "no JSON",
            BadRecordKind::Other => &bad.reason,
        };
        *survey.bad.entry(reason.into()).or_default() += 1;
        survey.first_bad.entry(reason.into()).or_insert_with(|| bad.clone());
    }
    for record in records {
        survey.answers += answers(record).count();
        *survey.languages.entry(language_of(record)).or_default() += 1;
    }
    let count = samples.min(loaded.records.len());
    let mut lengths = Vec::with_capacity(count);
    for index in (0..count).map(|i| i * loaded.records.len() / count) {
        survey.sampled += 1;
        match loaded.sample(index, preparation) {
            Ok(sample) => {
                let images = sample.pixels.len();
                lengths.push(sample.input_ids.len() - images + images * tokens_per_image);
            }
            Err(Error::Sample { reason, .. }) => {
                let (number, record) = &loaded.records[index];
                let (source, id) = (loaded.source.name.clone(), record.id.clone());
                let kind = BadRecordKind::Other;
                survey.unusable.push(BadRecord { source, number: *number, id, reason, kind });
            }
            Err(error) => tracing::warn!("{}: {error}", loaded.source.name),
        }
    }
    survey.too_long = lengths.iter().filter(|length| max_length.is_some_and(|max| **length > max)).count();
    survey.tokens = Lengths::from_unsorted(lengths);
    survey
}

impl Lengths {
    fn from_unsorted(mut lengths: Vec<usize>) -> Option<Self> {
        lengths.sort_unstable();
        let at = |share: f64| lengths.get(((lengths.len() - 1) as f64 * share).round() as usize).copied();
        if lengths.is_empty() {
            return None;
        }
        Some(Self { min: at(0.0)?, median: at(0.5)?, p95: at(0.95)?, max: at(1.0)? })
    }
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for source in &self.sources {
            let SourceSurvey { name, records, with_image, answers, sampled, .. } = source;
            writeln!(f, "{name}")?;
            writeln!(f, "  records    {records}, {with_image} with a picture, {answers} answers")?;
            for (reason, count) in &source.bad {
                write!(f, "  left out   {count}: {}", printable(reason))?;
                match source.first_bad.get(reason) {
                    Some(first) => writeln!(f, "; the first: {first}")?,
                    None => writeln!(f)?,
                }
            }
            if let Some(keys) = not_read(&source.not_read) {
                writeln!(f, "  not read   {keys}")?;
            }
            if *records > 0 {
                let languages: Vec<String> = source
                    .languages
                    .iter()
                    .map(|(language, count)| {
                        format!("{language} {:.1} %", 100.0 * *count as f64 / (*records).max(1) as f64)
                    })
                    .collect();
                let said = source
                    .language
                    .as_ref()
                    .map_or_else(String::new, |said| format!(" (the recipe says {said})"));
                writeln!(f, "  languages  about {}{said}", languages.join(", "))?;
            }
            if let Some(Lengths { min, median, p95, max }) = source.tokens {
                write!(f, "  tokens     {min} to {max}, median {median}, 95 % up to {p95}")?;
                match source.too_long {
                    0 => writeln!(f)?,
                    cut => writeln!(f, "; {cut} of {sampled} would be cut off")?,
                }
            }
            if !source.unusable.is_empty() {
                writeln!(
                    f,
                    "  unusable   {} of {sampled} samples; the first: {}",
                    source.unusable.len(),
                    source.unusable[0]
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_quantiles() {
        let lengths = Lengths::from_unsorted((1..=101).rev().collect()).unwrap();
        assert_eq!(lengths, Lengths { min: 1, median: 51, p95: 96, max: 101 });
        assert_eq!(Lengths::from_unsorted(Vec::new()), None);
    }
}
