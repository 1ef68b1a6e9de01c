//! See `parrot_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: parrot_fuzz::begin("ollama_request"),
    |bytes: &[u8]| parrot_fuzz::run("ollama_request", bytes)
);
