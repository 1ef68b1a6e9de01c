//! See `parrot_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: parrot_fuzz::begin("table"),
    |bytes: &[u8]| parrot_fuzz::run("table", bytes)
);
