//! See `parrot_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: parrot_fuzz::begin("chat_text"),
    |bytes: &[u8]| parrot_fuzz::run("chat_text", bytes)
);
