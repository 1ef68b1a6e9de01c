//! What a model answers in each language to open questions about held-out scenes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use indicatif::ProgressBar;
use parrot_infer::{AskOptions, Image, Parrot, Question};
use parrot_model::config::VisionConfig;
use serde::{Deserialize, Serialize};

use super::Arm;
use crate::dataset::{Dataset, DatasetConfig};
use crate::evaluate::Words;
use crate::language::Language;

/// The measurement of one model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// How it was trained.
    pub arm: Arm,
    /// The seed of its experts and data.
    pub seed: u64,
    /// What it did in each language.
    pub languages: BTreeMap<Language, Tally>,
}

/// Counts over the questions of one language.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Questions.
    pub asked: usize,
    /// Answers that are the expected word, letter for letter.
    pub right: usize,
    /// Answers that are a word of the data set in another language and not in the question's.
    pub wrong_language: usize,
    /// The mean weight of each expert; empty without a mixture of experts.
    pub routing: Vec<f64>,
}

impl Tally {
    /// Right answers in percent.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        100.0 * self.right as f64 / self.asked.max(1) as f64
    }

    /// Answers in another language in percent.
    #[must_use]
    pub fn confusion(&self) -> f64 {
        100.0 * self.wrong_language as f64 / self.asked.max(1) as f64
    }
}

/// Asks one open question about each scene in six languages.
pub(super) fn measure(model: &Parrot, arm: Arm, seed: u64, assets: &Path, scenes: usize) -> Result<Measured> {
    let data = Dataset::load(&assets.join("emoji"), DatasetConfig::default())?;
    let words = Words::new(data.catalogue());
    let size = VisionConfig::clip_vit_mini().image_size as u32;
    let options = AskOptions { max_new_tokens: 16, ..AskOptions::default() };
    let mut languages: BTreeMap<Language, Tally> = BTreeMap::new();
    let progress = ProgressBar::new(scenes as u64);
    for item in data.evaluation(scenes) {
        let image = [Image::from_rgb(data.render(&item.scene, size))];
        let questions: Vec<Question<'_>> =
            item.open.iter().map(|(_, turn)| Question::new(&image, &turn.question)).collect();
        let answers = model.ask_batch(&questions, &options)?;
        for ((language, turn), answer) in item.open.iter().zip(answers) {
            let tally = languages.entry(language).or_default();
            let text = answer.text.trim();
            tally.asked += 1;
            tally.right += usize::from(text == turn.text);
            tally.wrong_language += usize::from(words.in_another_language(text, language));
            for weights in &answer.routing_weights {
                tally.routing.resize(weights.len(), 0.0);
                for (sum, weight) in tally.routing.iter_mut().zip(weights) {
                    *sum += f64::from(*weight);
                }
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    for tally in languages.values_mut() {
        let asked = tally.asked as f64;
        tally.routing.iter_mut().for_each(|sum| *sum /= asked);
    }
    Ok(Measured { arm, seed, languages })
}
