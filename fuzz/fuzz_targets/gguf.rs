//! See `parrot_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: parrot_fuzz::write_seeds("gguf"),
    |bytes: &[u8]| parrot_fuzz::run("gguf", bytes)
);
