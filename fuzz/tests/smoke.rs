//! Every parser over its seeds and changes of them: what a fuzzer does, for some seconds and always alike.

use parrot_fuzz::{TARGETS, Target};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Changed inputs of each target.
const CHANGES: usize = 300;

/// Bytes that parsers treat in a way of their own.
const PROMISING: [&[u8]; 12] = [
    b"\0",
    b"\xff",
    b"\n",
    b"\"",
    b"{",
    b"[",
    b"-1",
    b"1e309",
    b"null",
    b"\xff\xff\xff\xff",
    b"\xed\xa0\x80",
    b"NaN",
];

#[test]
fn no_parser_panics_on_changed_seeds() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has nothing to begin with", target.name);
        (target.run)(b"");
        seeds.iter().for_each(|seed| (target.run)(seed));
        let mut random = StdRng::seed_from_u64(0);
        for number in 0..CHANGES {
            let bytes = changed(&seeds, &mut random);
            run_or_say(&target, number, &bytes);
        }
    }
}

/// A panic alone would not tell which bytes made it.
fn run_or_say(target: &Target, number: usize, bytes: &[u8]) {
    let ended = std::panic::catch_unwind(|| (target.run)(bytes));
    let shown: String =
        bytes.iter().take(300).map(|byte| std::ascii::escape_default(*byte).to_string()).collect();
    assert!(ended.is_ok(), "{}, change {number}: {shown}", target.name);
}

/// A seed with some bytes set, cut out, doubled, or put in.
fn changed(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(0..16)).min(bytes.len());
        match random.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.truncate(at),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let put_in = PROMISING[random.random_range(0..PROMISING.len())];
                bytes.splice(at..at, put_in.iter().copied());
            }
        }
    }
    bytes
}
