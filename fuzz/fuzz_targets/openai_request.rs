//! See `parrot_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: parrot_fuzz::begin("openai_request"),
    |bytes: &[u8]| parrot_fuzz::run("openai_request", bytes)
);
