//! SmolLM2-135M-Instruct, a real text model, beside transformers and llama.cpp with the same weights.
//!
//! tests/reference/smollm2.py makes the folder that `PARROT_SMOLLM2` names, and says how.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use parrot_infer::{AskOptions, Parrot, device};
use serde::Deserialize;

#[derive(Deserialize)]
struct Asked {
    question: String,
    answer: String,
}

fn read(file: &Path) -> Vec<Asked> {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
#[ignore = "needs a folder of 0.5 GB, named by PARROT_SMOLLM2"]
fn answers_are_those_of_transformers_and_begin_as_those_of_llama_cpp() {
    let folder = PathBuf::from(std::env::var_os("PARROT_SMOLLM2").expect("PARROT_SMOLLM2 names the folder"));
    let parrot = Parrot::load(&folder, &device::open("cpu").unwrap()).unwrap();
    let [exact, rounded] = ["transformers.json", "llama_cpp.json"].map(|file| read(&folder.join(file)));
    let options = AskOptions { max_new_tokens: 32, ..AskOptions::default() };
    let mut agreeing = 0;
    for (Asked { question, answer }, Asked { answer: theirs, .. }) in exact.iter().zip(&rounded) {
        let ours = parrot.ask_streaming(&[], question, &options, |_| ControlFlow::Continue(())).unwrap().text;
        println!("{question}\n  ours      {ours:?}\n  llama.cpp {theirs:?}");
        assert_eq!(ours, *answer);
        let words = |text: &str| text.split_whitespace().take(4).map(String::from).collect::<Vec<_>>();
        agreeing += usize::from(words(&ours) == words(theirs));
    }
    assert!(agreeing * 2 > exact.len(), "{agreeing} of {} answers begin alike", exact.len());
}
