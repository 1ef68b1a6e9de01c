//! What Parrot reads from outside, one function per parser, for a fuzzer to break.
//!
//! Each of [`TARGETS`] takes any bytes and must come back: with a value or an error, in a moment, in memory that is in
//! proportion to the bytes. `tests/smoke.rs` runs them over their [seeds](Target::seeds) and some hundred changes of each;
//! `fuzz/run.sh` gives them to libFuzzer, which follows the branches that its changes take. docs/fuzzing.md says how.
//!
//! ```
//! for target in parrot_fuzz::TARGETS {
//!     (target.run)(b"not what it expects");
//! }
//! ```

mod parsers;
mod seeds;

use std::panic;
use std::path::Path;

use parrot_model::untrusted::is_contained;

/// A parser and what it should be able to read.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its program in `fuzz_targets/`.
    pub name: &'static str,
    /// Reads the bytes; panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Small inputs that are right, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All parsers.
pub const TARGETS: [Target; 17] = [
    Target { name: "chat_text", run: parsers::chat_text, seeds: seeds::chat_text },
    Target { name: "golden_manifest", run: parsers::golden_manifest, seeds: seeds::golden_manifest },
    Target { name: "gguf", run: parsers::gguf, seeds: seeds::gguf },
    Target { name: "image", run: parsers::image, seeds: seeds::image },
    Target { name: "llava_records", run: parsers::llava_records, seeds: seeds::llava_records },
    Target { name: "model_config", run: parsers::model_config, seeds: seeds::model_config },
    Target { name: "ollama_request", run: parsers::ollama_request, seeds: seeds::ollama_request },
    Target { name: "openai_request", run: parsers::openai_request, seeds: seeds::openai_request },
    Target { name: "predictions_jsonl", run: parsers::predictions_jsonl, seeds: seeds::predictions_jsonl },
    Target { name: "predictions_xlsx", run: parsers::predictions_xlsx, seeds: seeds::predictions_xlsx },
    Target { name: "processor_config", run: parsers::processor_config, seeds: seeds::processor_config },
    Target { name: "recipe", run: parsers::recipe, seeds: seeds::recipe },
    Target { name: "run_folder", run: parsers::run_folder, seeds: seeds::run_folder },
    Target { name: "table", run: parsers::table, seeds: seeds::table },
    Target { name: "tokenizer", run: parsers::tokenizer, seeds: seeds::tokenizer },
    Target { name: "weights", run: parsers::weights, seeds: seeds::weights },
    Target { name: "weights_index", run: parsers::weights_index, seeds: seeds::weights_index },
];

/// Runs the target of this name, for the programs in `fuzz_targets/`.
///
/// # Panics
///
/// If there is none.
pub fn run(name: &str, bytes: &[u8]) {
    (target(name).run)(bytes);
}

/// Begins a program in `fuzz_targets/`: a panic that Parrot turns into an error does not end the run, as libFuzzer's hook would
/// have it, and the target's seeds are written into the folder that the environment's `PARROT_FUZZ_SEEDS` names, if it names one.
///
/// # Panics
///
/// If there is no such target, or the folder cannot be written.
pub fn begin(name: &str) {
    let end_the_run = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !is_contained() {
            end_the_run(panic);
        }
    }));
    let Some(folder) = std::env::var_os("PARROT_FUZZ_SEEDS") else { return };
    for (number, seed) in (target(name).seeds)().iter().enumerate() {
        let file = Path::new(&folder).join(format!("seed-{number:03}"));
        std::fs::write(file, seed).expect("the folder of seeds can be written");
    }
}

fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).expect("a target of this name")
}
