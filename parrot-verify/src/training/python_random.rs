//! CPython's `random.Random`, as far as the order of the reference's data depends on it.
//!
//! The reference shuffles its records ten times with `random.Random(42)` before training. Which samples
//! meet in a batch, and so every number of its training log, follows from that order.

/// Length of the state, in words.
const N: usize = 624;
/// Offset of the recurrence.
const M: usize = 397;

/// The Mersenne Twister MT19937 with CPython's way of seeding and of drawing integers.
#[derive(Debug, Clone)]
pub(super) struct PythonRandom {
    state: [u32; N],
    index: usize,
}

impl PythonRandom {
    /// `random.Random(seed)` for a non-negative integer.
    #[must_use]
    pub(super) fn new(seed: u64) -> Self {
        // An integer seed is an array of its 32-bit digits, lowest first, without leading zeros.
        let digits = [seed as u32, (seed >> 32) as u32];
        let digits = if digits[1] == 0 { &digits[..1] } else { &digits[..] };
        Self::from_array(digits)
    }

    /// `init_by_array` of the original implementation.
    fn from_array(key: &[u32]) -> Self {
        let mut state = [0_u32; N];
        state[0] = 19_650_218;
        for i in 1..N {
            state[i] = mixed(state[i - 1]).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        let mut i = 1;
        let wrap = |state: &mut [u32; N], i: &mut usize| {
            *i += 1;
            if *i == N {
                state[0] = state[N - 1];
                *i = 1;
            }
        };
        for j in 0..N.max(key.len()) {
            let j = j % key.len();
            let previous = mixed(state[i - 1]).wrapping_mul(1_664_525);
            state[i] = (state[i] ^ previous).wrapping_add(key[j]).wrapping_add(j as u32);
            wrap(&mut state, &mut i);
        }
        for _ in 1..N {
            let previous = mixed(state[i - 1]).wrapping_mul(1_566_083_941);
            state[i] = (state[i] ^ previous).wrapping_sub(i as u32);
            wrap(&mut state, &mut i);
        }
        state[0] = 0x8000_0000;
        Self { state, index: N }
    }

    /// 32 random bits.
    pub(super) fn next_u32(&mut self) -> u32 {
        if self.index == N {
            self.refill();
        }
        let mut y = self.state[self.index];
        self.index += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn refill(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let twist = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ twist;
        }
        self.index = 0;
    }

    /// `randrange(n)`: draws as many bits as `n` has until they make a number below it.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "there is no number below 0");
        loop {
            let drawn = self.next_u32() >> n.leading_zeros();
            if drawn < n {
                return drawn;
            }
        }
    }

    /// `shuffle(list)`, for lists that a `u32` can count.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

fn mixed(word: u32) -> u32 {
    word ^ (word >> 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of CPython 3.11.
    #[test]
    fn draws_what_cpython_draws() {
        let mut random = PythonRandom::new(42);
        let drawn: Vec<u32> = (0..4).map(|_| random.next_u32()).collect();
        assert_eq!(drawn, [2746317213, 478163327, 107420369, 3184935163]);
        let mut random = PythonRandom::new(0x1_0000_0007);
        assert_eq!(random.next_u32(), 968553300);
        let mut random = PythonRandom::new(0);
        assert_eq!((0..700).map(|_| random.next_u32()).last(), Some(3579999110));
        let mut random = PythonRandom::new(1);
        assert_eq!((0..8).map(|_| random.below(10)).collect::<Vec<_>>(), [2, 9, 1, 4, 1, 7, 7, 7]);
    }

    #[test]
    fn shuffles_as_cpython_shuffles() {
        let mut list: Vec<u32> = (0..10).collect();
        let mut random = PythonRandom::new(42);
        random.shuffle(&mut list);
        assert_eq!(list, [7, 3, 2, 8, 5, 6, 9, 4, 0, 1]);
        for _ in 1..10 {
            random.shuffle(&mut list);
        }
        assert_eq!(list, [1, 8, 2, 5, 9, 6, 0, 3, 4, 7]);
    }
}
