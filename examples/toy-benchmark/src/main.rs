//! Asks the default model the toy benchmark and prints its table.
//!
//! `cargo run --release -p toy-benchmark`

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use parrot_infer::eval::{Asker, Assigned, Dataset, ModelInfo, PictureStore, Protocol, Report, RunAs, score};
use parrot_infer::{Parrot, Question, device};
use toy_benchmark::Naming;

fn main() -> Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parrot = Parrot::load(example.join("../../assets/parrot-mini"), &device::open("auto")?)?;
    let mut pictures = PictureStore::default();
    let (mut results, mut problems) = (Vec::new(), Vec::new());
    for code in ["en", "ar", "tr"] {
        let file = example.join(format!("data/naming_{code}.tsv"));
        let dataset = Dataset::open_as(&file, Arc::new(Naming), &mut pictures)?;
        let mut predictions = Assigned::default();
        for row in &dataset.rows {
            let Some(picture) = &row.picture else {
                predictions.of_rows.push(Vec::new());
                continue;
            };
            let picture = [picture.decode(&dataset.file_name(), false)?];
            let prompt = dataset.prompt(row, RunAs::Dataset, Asker::Parrot);
            // One at a time; `generate` asks in batches and goes on where it was interrupted.
            let answers = parrot.ask_batch(&[Question::new(&picture, &prompt)], &Default::default())?;
            predictions.of_rows.push(answers.into_iter().map(|answer| answer.text).collect());
        }
        results.push(score(&dataset, &predictions, Protocol::Kit2026_08).result);
        problems.extend(dataset.problems);
    }
    let model = ModelInfo { name: "parrot-mini".into(), ..ModelInfo::default() };
    print!("{}", Report::new(model, None, results, problems).to_markdown());
    Ok(())
}
