//! How the router weights the experts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The experts' mean weights over the pictures of samples of one language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExpertUse {
    /// The language, as [`Dataset::language`](crate::data::Dataset::language) tells it; empty where nothing does.
    #[serde(alias = "group")]
    pub language: String,
    /// One weight per expert; they sum to one.
    pub weights: Vec<f32>,
}

/// The mean weights of each group's rows.
pub(crate) fn mean_weights<'a>(rows: impl Iterator<Item = (&'a str, &'a [f32])>) -> Vec<ExpertUse> {
    let mut sums: BTreeMap<&str, (f32, Vec<f32>)> = BTreeMap::new();
    for (language, row) in rows {
        let (count, sum) = sums.entry(language).or_insert_with(|| (0.0, vec![0.0; row.len()]));
        *count += 1.0;
        sum.iter_mut().zip(row).for_each(|(sum, weight)| *sum += weight);
    }
    let mean = |(language, (count, sum)): (&str, (f32, Vec<f32>))| ExpertUse {
        language: language.into(),
        weights: sum.into_iter().map(|sum| sum / count).collect(),
    };
    sums.into_iter().map(mean).collect()
}
