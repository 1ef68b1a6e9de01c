//! `--list`: the benchmarks that are known by name.

use std::io::{self, Write};

use anyhow::Result;
use parrot_eval::{Listed, catalogue};

use super::Args;
use crate::terminal::print_json;

impl Args {
    /// A table for reading, or with `--json` everything that is known.
    pub(super) fn print_list(&self) -> Result<()> {
        let all = catalogue();
        if self.json {
            print_json(&serde_json::to_string_pretty(&all)?)?;
        } else {
            writeln!(io::stdout(), "{}", table(&all))?;
        }
        Ok(())
    }
}

fn table(all: &[Listed]) -> String {
    let mut text = String::new();
    for benchmark in all {
        let files: Vec<&str> = benchmark.files.iter().map(|file| file.name.as_str()).collect();
        let files = match (benchmark.name, &files[..]) {
            ("circular", _) => "names with circular or mmcr".into(),
            ("choice", _) => "any other name, with columns A and B".into(),
            ("contains", _) => "any other name, without such columns".into(),
            (name, []) => format!("with --benchmark {name}"),
            (_, files) => files.join(", "),
        };
        text += &format!("{}\n  files    {files}\n", benchmark.name);
        let columns: Vec<&str> = ["index", "image", "question", benchmark.expected]
            .iter()
            .chain(benchmark.columns)
            .copied()
            .collect();
        text += &format!("  needs    the columns {}; judge: {}\n", columns.join(", "), benchmark.judge);
        text += &format!(
            "  method   asks with {}; reads {}; counts {}\n  source   {}\n\n",
            benchmark.prompt, benchmark.reading, benchmark.score, benchmark.source
        );
    }
    text + "Files with these names are compared with their MD5 (--json shows them); nothing is downloaded. --benchmark NAME says \
            what a file is whose name does not."
}
