//! How fast the processor multiplies bf16 when nothing else is to be done: what no product with weights in bf16 exceeds.

use std::hint::black_box;
use std::time::Duration;

use web_time::Instant;

use super::{Isa, Kernel, LANES, Lanes};

/// How many runs there are. The fastest counts: disturbances only ever make a run slower.
const RUNS: usize = 5;
/// What a run takes at least.
const LONG_ENOUGH: Duration = Duration::from_millis(20);
/// Sums of a round: so many that none waits for the one before.
const SUMS: usize = 16;

/// Operations per second, a multiply-add counted as two, of all threads' instructions that multiply bf16. What they multiply and
/// add to lies in registers. `None` where the processor has no such instructions.
pub(crate) fn bf16_rate() -> Option<f64> {
    let isa = Isa::best();
    if !isa.multiplies_bf16() {
        return None;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut rounds = 1 << 12;
    loop {
        let mut fastest = Duration::MAX;
        for _ in 0..RUNS {
            let started = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| multiply(isa, rounds));
                }
            });
            fastest = fastest.min(started.elapsed());
        }
        if fastest >= LONG_ENOUGH {
            let operations = (threads * rounds) as f64 * operations_of_round(isa);
            return Some(operations / fastest.as_secs_f64());
        }
        rounds *= 2;
    }
}

fn operations_of_round(isa: Isa) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if isa.has_tiles() {
        return super::tiles::OPERATIONS_OF_ROUND;
    }
    let _ = isa;
    // Two products and two sums in each lane.
    (SUMS * LANES * 4) as f64
}

fn multiply(isa: Isa, rounds: usize) {
    #[cfg(target_arch = "x86_64")]
    if isa.has_tiles() {
        return super::tiles::Tiles::of_processor().multiply_in_registers(rounds);
    }
    isa.run(Rounds(rounds));
}

/// So many rounds of products of pairs.
struct Rounds(usize);

impl Kernel for Rounds {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let (pairs, pair) = black_box(([0_u32; LANES], 0));
        let mut sums = [V::splat(0.0); SUMS];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = sum.add_pair_products(&pairs, pair);
            }
        }
        let mut left = [0.0; LANES];
        for sum in sums {
            sum.store(&mut left);
            black_box(&left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_there_where_bf16_is_multiplied() {
        let rate = bf16_rate();
        assert_eq!(rate.is_some(), Isa::best().multiplies_bf16());
        assert!(rate.is_none_or(|rate| rate > 1e9 && rate.is_finite()));
    }
}
