//! See `parrot_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: parrot_fuzz::begin("tokenizer"),
    |bytes: &[u8]| parrot_fuzz::run("tokenizer", bytes)
);
