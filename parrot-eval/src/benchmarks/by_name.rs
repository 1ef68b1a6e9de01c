//! A file's name → its benchmark.

use std::sync::Arc;

use crate::benchmarks::benchmark::Benchmark;
use crate::{
    Ai2d, Circular, HallusionBench, LlavaBench, MmBench, MmStar, Mme, Mmmb, Mmmu, MtVqa, OcrBench, Pope,
    RealWorldQa, ScienceQa, SeedBench, TextVqa,
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
    } else if has("mmstar") {
        Arc::new(MmStar)
    } else if has("scienceqa") {
        Arc::new(ScienceQa)
    } else if has("seedbench") {
        Arc::new(SeedBench)
    } else if has("realworldqa") {
        Arc::new(RealWorldQa)
    } else if has("ai2d") {
        Arc::new(Ai2d)
    } else {
        return None;
    })
}
