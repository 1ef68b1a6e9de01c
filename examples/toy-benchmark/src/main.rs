//! Asks the default model the toy benchmark and prints its table.
//!
//! `cargo run --release --bin toy-benchmark`

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use parrot_eval::{Dataset, GenerateOptions, ImageStore, Journal, ModelInfo, Protocol, Report, RunAs};
use parrot_infer::{Parrot, device};
use toy_benchmark::Naming;

fn main() -> Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parrot = Parrot::load(example.join("../../assets/parrot-mini"), &device::open("auto")?)?;
    let mut images = ImageStore::default();
    let mut datasets = Vec::new();
    for code in ["en", "ar", "tr"] {
        let file = example.join(format!("data/naming_{code}.tsv"));
        datasets.push(Dataset::open_as(&file, Arc::new(Naming), &mut images)?);
    }

    let jobs = parrot_eval::jobs(&datasets, &[RunAs::Dataset]);
    // `Journal::open` instead writes the answers to a file, from which an interrupted run goes on.
    let mut journal = Journal::in_memory();
    parrot_eval::generate(
        &parrot,
        &datasets,
        &jobs,
        &GenerateOptions::default(),
        &mut journal,
        |_, _, _| true,
    )?;

    let (mut results, mut problems) = (Vec::new(), Vec::new());
    for dataset in &datasets {
        let answers = parrot_eval::answers(dataset, RunAs::Dataset, &journal).assigned;
        results.push(parrot_eval::score(dataset, &answers, Protocol::Kit2026_08).result);
        problems.extend(dataset.problems.iter().chain(&answers.problems).cloned());
    }
    let model = ModelInfo { name: "parrot-mini".into(), ..ModelInfo::default() };
    print!("{}", Report::new(model, None, results, problems).to_markdown());
    Ok(())
}
