//! See `parrot_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: parrot_fuzz::begin("llava_records"),
    |bytes: &[u8]| parrot_fuzz::run("llava_records", bytes)
);
