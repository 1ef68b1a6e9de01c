//! Random numbers that stay the same for ever: SplitMix64 (Steele, Lea, Flood 2014).
//!
//! Sample 123 of seed 7 has to be the same picture in every version of this crate, which the generators
//! of the `rand` crate do not promise. Every sample owns a generator, so samples can be drawn in any order
//! and by any number of threads.

/// A generator of one sample.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of sample `index` of one `stream` (training pictures, captions, evaluation, …).
    pub fn new(seed: u64, stream: u64, index: u64) -> Self {
        Self(mix(mix(mix(seed) ^ stream) ^ index))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in `0..n`.
    ///
    /// # Panics
    ///
    /// When `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "cannot draw from nothing");
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Uniform in `low..high`.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f32) -> bool {
        self.uniform(0.0, 1.0) < p
    }

    /// One element.
    ///
    /// # Panics
    ///
    /// When the slice is empty.
    pub fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// An index, with probability proportional to its weight.
    ///
    /// # Panics
    ///
    /// When no weight is positive.
    pub fn weighted(&mut self, weights: &[f32]) -> usize {
        let total: f32 = weights.iter().sum();
        assert!(total > 0.0, "no weight is positive");
        let mut rest = self.uniform(0.0, total);
        for (index, weight) in weights.iter().enumerate() {
            if rest < *weight {
                return index;
            }
            rest -= weight;
        }
        // Rounding may leave a crumb: the last possible index takes it.
        weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0)
    }
}

/// A hash of a text that stays the same for ever (FNV-1a, then mixed so that every bit counts).
pub fn stable_hash(text: &str) -> u64 {
    mix(text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// The output function of SplitMix64: a bijection in which every bit depends on every bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_split_mix_64() {
        // The published first outputs for state 1234567.
        let mut random = Random(1_234_567);
        assert_eq!(random.bits(), 6_457_827_717_110_365_317);
        assert_eq!(random.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn draws_are_even_and_in_range() {
        let mut random = Random::new(1, 2, 3);
        let mut counts = [0; 5];
        for _ in 0..10_000 {
            counts[random.below(5)] += 1;
        }
        assert!(counts.iter().all(|count| (1_800..2_200).contains(count)), "{counts:?}");
        assert!((0..1_000).all(|_| (2.0..3.0).contains(&random.uniform(2.0, 3.0))));
        assert!((0..1_000).all(|_| random.weighted(&[0.0, 1.0, 0.0]) == 1));
    }

    #[test]
    fn neighbouring_samples_differ() {
        let first: Vec<u64> = (0..100).map(|index| Random::new(0, 0, index).bits()).collect();
        let mut sorted = first.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 100);
        assert_eq!(first[7], Random::new(0, 0, 7).bits());
    }
}
