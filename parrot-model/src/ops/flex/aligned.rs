//! Memory that begins with a line of the cache.

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};

use super::simd::LANES;

/// Bytes of a line of the cache.
pub(super) const LINE: usize = 64;

/// Numbers of which the first begins a line of the cache. A register of 64 bytes that lies across two lines takes twice as long
/// to load.
pub(super) struct Aligned<T> {
    values: Vec<T>,
    begin: usize,
}

impl<T: Copy> Aligned<T> {
    /// `count` times `value`.
    pub(super) fn new(value: T, count: usize) -> Self {
        let values = vec![value; count + LINE / size_of::<T>()];
        let begin = values.as_ptr().align_offset(LINE);
        Self { begin: begin.min(values.len() - count), values }
    }

    fn range(&self) -> std::ops::Range<usize> {
        self.begin..self.begin + self.values.len() - LINE / size_of::<T>()
    }
}

impl Aligned<u32> {
    /// Lines of the cache, memory that nobody has written before.
    ///
    /// - fill: writes all of them
    pub(super) fn lines(count: usize, fill: impl FnOnce(&mut [[MaybeUninit<u32>; LANES]])) -> Self {
        let len = (count + 1) * LANES;
        let mut values: Vec<u32> = Vec::with_capacity(len);
        let begin = values.as_ptr().align_offset(LINE).min(LANES);
        let spare = &mut values.spare_capacity_mut()[..len];
        let (before, lines) = spare.split_at_mut(begin);
        let (lines, after) = lines.split_at_mut(count * LANES);
        before.iter_mut().chain(after).for_each(|value| _ = value.write(0));
        fill(lines.as_chunks_mut().0);
        // SAFETY: `fill` has written the lines, and what is before and behind them has been written above.
        #[allow(unsafe_code)]
        unsafe {
            values.set_len(len);
        }
        Self { values, begin }
    }
}

impl<T: Copy> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.range()]
    }
}

impl<T: Copy> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let range = self.range();
        &mut self.values[range]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_a_line() {
        for count in [0, 1, 16, 1000] {
            let mut values = Aligned::new(2.5_f32, count);
            assert_eq!((values.len(), values.as_ptr() as usize % LINE), (count, 0));
            values.fill(1.0);
            assert!(values.iter().all(|value| *value == 1.0));
            let lines = Aligned::lines(count, |lines| {
                lines.as_flattened_mut().iter_mut().for_each(|value| _ = value.write(7));
            });
            assert_eq!((lines.len(), lines.as_ptr() as usize % LINE), (count * LANES, 0));
            assert!(lines.iter().all(|value| *value == 7));
        }
    }
}
