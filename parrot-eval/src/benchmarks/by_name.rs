//! A file's name → its benchmark.

use std::sync::Arc;

use crate::benchmarks::benchmark::Benchmark;
use crate::{
    ChoiceSet, Circular, HallusionBench, LlavaBench, MmBench, Mme, Mmmb, Mmmu, MtVqa, OcrBench, Pope, TextVqa,
};

/// The benchmark that a file's name without its ending says it is of, as the kits read it.
#[must_use]
pub fn benchmark_of_name(stem: &str) -> Option<Arc<dyn Benchmark>> {
    let stem = stem.to_ascii_lowercase();
    let has = |name: &str| stem.split(['_', '-', '.']).any(|part| part == name);
    Some(if stem.contains("mmbench") || stem.contains("ccbench") {
        Arc::new(MmBench)
    } else if stem.contains("circular") || stem.contains("mmcr") {
        Arc::new(Circular)
    } else if stem.contains("mmmb") {
        Arc::new(Mmmb)
    } else if has("mmmu") && !has("pro") {
        Arc::new(Mmmu)
    } else if has("llavabench") && !has("ko") {
        Arc::new(LlavaBench::default())
    } else if has("pope") {
        Arc::new(Pope)
    } else if has("mme") {
        Arc::new(Mme)
    } else if has("hallusionbench") {
        Arc::new(HallusionBench)
    } else if has("ocrbench") && !has("v2") {
        Arc::new(OcrBench)
    } else if has("textvqa") {
        Arc::new(TextVqa)
    } else if has("mtvqa") {
        Arc::new(MtVqa)
    } else {
        let is_named = |set: &ChoiceSet| has(&set.name().to_ascii_lowercase());
        Arc::new(ChoiceSet::ALL.into_iter().find(is_named)?)
    })
}
