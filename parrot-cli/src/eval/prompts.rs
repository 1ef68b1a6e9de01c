//! `--prompts-only`: what would be asked.

use std::io::{self, Write};

use anyhow::Result;
use parrot_eval::{Asker, Dataset, Problem};
use parrot_model::untrusted::printable_json;

use super::{Args, AskerName, say_problems};

impl Args {
    /// Each row's prompt under each name that the protocols run datasets under.
    pub(super) fn print_prompts(&self, datasets: &[Dataset], skipped: &[Problem]) -> Result<()> {
        let names = self.names();
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        for dataset in datasets {
            for row in &dataset.rows {
                let id = serde_json::json!({"dataset": dataset.id, "index": row.index});
                match self.prompts_for {
                    AskerName::Parrot => {
                        for run_as in &names {
                            let mut line = id.clone();
                            line["run_as"] = serde_json::to_value(run_as)?;
                            line["prompt"] = dataset.prompt(row, *run_as, Asker::Parrot).into();
                            writeln!(stdout, "{}", printable_json(&line.to_string()))?;
                        }
                    }
                    // These are the same under every name.
                    AskerName::Other => {
                        let mut line = id;
                        line["prompt"] = dataset.prompt(row, names[0], Asker::Other).into();
                        writeln!(stdout, "{}", printable_json(&line.to_string()))?;
                    }
                }
            }
        }
        stdout.flush()?;
        say_problems(skipped.iter().chain(datasets.iter().flat_map(|dataset| &dataset.problems)));
        Ok(())
    }
}
