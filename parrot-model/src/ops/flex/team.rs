//! Threads that compute together.
//!
//! A step of decoding is a few hundred products of a fraction of a millisecond. rayon's threads sleep between two of them, and
//! to wake one takes as long as a product: half of the time one thread computed alone. These look out for more work for a
//! while before they sleep, as OpenMP's do, and one that comes too late is not waited for.
//!
//! There are as many as rayon has, the calling thread counted. Where they are at work for another thread already, or there are
//! no threads but rayon's (in a browser), rayon's compute.

#[cfg(not(target_family = "wasm"))]
mod awake;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which threads take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    /// The calling one.
    One,
    /// All.
    All,
}

impl Threads {
    /// All for `work` that is at least `least`: less than that is done before the others have begun.
    pub(super) fn for_work(work: usize, least: usize) -> Self {
        if work >= least { Self::All } else { Self::One }
    }

    /// How many there are besides the calling one, and something to do for each.
    pub(super) fn others(self, tasks: usize) -> usize {
        match self {
            Self::One => 0,
            Self::All => rayon::current_num_threads().min(tasks).saturating_sub(1),
        }
    }
}

/// Does `work` on this thread and at most so many others at once. The others may come too late for it, or not at all.
///
/// # Panics
///
/// If it panics on one of them.
pub(super) fn together(others: usize, work: impl Fn() + Sync) {
    if others == 0 {
        return work();
    }
    #[cfg(not(target_family = "wasm"))]
    if awake::together(others, &work) {
        return;
    }
    // This thread begins at once, while the others wake up.
    rayon::in_place_scope(|scope| {
        for _ in 0..others {
            scope.spawn(|_| work());
        }
        work();
    });
}

/// Does `task` for each number below `count`, each once, on whichever thread is free.
pub(super) fn for_each(threads: Threads, count: usize, task: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    together(threads.others(count), || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            task(at);
        }
    });
}

/// [`for_each`] of the chunks of `size` that `data` has; the last may be smaller.
///
/// # Panics
///
/// If `size` is 0.
pub(super) fn for_each_chunk<T: Send>(
    threads: Threads,
    data: &mut [T],
    size: usize,
    task: impl Fn(usize, &mut [T]) + Sync,
) {
    let chunks = Chunks::new(data, size);
    for_each(threads, chunks.count(), |at| {
        // SAFETY: each number comes once.
        #[allow(unsafe_code)]
        let chunk = unsafe { chunks.get(at) };
        task(at, chunk);
    });
}

/// [`for_each_chunk`] of two slices together, as far as both have chunks.
///
/// # Panics
///
/// If a size is 0.
pub(super) fn for_each_pair_of_chunks<T: Send, U: Send>(
    threads: Threads,
    (data, size): (&mut [T], usize),
    (other, other_size): (&mut [U], usize),
    task: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    let (chunks, others) = (Chunks::new(data, size), Chunks::new(other, other_size));
    for_each(threads, chunks.count().min(others.count()), |at| {
        // SAFETY: each number comes once.
        #[allow(unsafe_code)]
        let (chunk, other) = unsafe { (chunks.get(at), others.get(at)) };
        task(at, chunk, other);
    });
}

/// The chunks of a slice, for several threads.
struct Chunks<'a, T> {
    begin: *mut T,
    len: usize,
    size: usize,
    data: PhantomData<&'a mut [T]>,
}

// SAFETY: a thread gets chunks that no other has, and may have them.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Chunks<'_, T> {}

impl<'a, T> Chunks<'a, T> {
    fn new(data: &'a mut [T], size: usize) -> Self {
        assert!(size > 0, "chunks of something");
        Self { begin: data.as_mut_ptr(), len: data.len(), size, data: PhantomData }
    }

    fn count(&self) -> usize {
        self.len.div_ceil(self.size)
    }

    /// # Safety
    ///
    /// Nobody else may have this chunk.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    unsafe fn get(&self, at: usize) -> &mut [T] {
        assert!(at < self.count(), "one of the chunks");
        let begin = at * self.size;
        // SAFETY: it lies within the slice, which is borrowed as long as this is, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.begin.add(begin), self.size.min(self.len - begin)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chunk_comes_once() {
        for (len, size) in [(0, 3), (1, 3), (3, 3), (1000, 7)] {
            for threads in [Threads::One, Threads::All] {
                let mut data = vec![0; len];
                for_each_chunk(threads, &mut data, size, |at, chunk| {
                    chunk.iter_mut().zip(at * size..).for_each(|(x, at)| *x += at + 1);
                });
                assert!(data.iter().zip(1..).all(|(found, expected)| *found == expected), "{len} {size}");
                let mut other = vec![0_u8; len.div_ceil(size)];
                for_each_pair_of_chunks(threads, (&mut data, size), (&mut other, 1), |_, chunk, other| {
                    other[0] = chunk.len() as u8;
                });
                assert_eq!(other.iter().map(|len| usize::from(*len)).sum::<usize>(), len);
            }
        }
    }

    /// Several threads ask at once, and some of what they ask for asks again.
    #[test]
    fn threads_that_ask_at_once_all_get_their_work_done() {
        let work = || {
            for round in 0..300 {
                let sum = AtomicUsize::new(0);
                for_each(Threads::All, 20, |at| {
                    if round % 50 == 0 {
                        for_each(Threads::All, 3, |_| _ = sum.fetch_add(0, Ordering::Relaxed));
                    }
                    sum.fetch_add(at, Ordering::Relaxed);
                });
                assert_eq!(sum.into_inner(), 190);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(work);
            }
        });
    }

    #[test]
    fn a_panic_of_one_task_is_one_of_all() {
        for _ in 0..20 {
            let panics = std::panic::catch_unwind(|| {
                for_each(Threads::All, 50, |at| assert!(at != 40, "the fortieth"));
            });
            assert_eq!(panics.unwrap_err().downcast_ref(), Some(&"the fortieth"));
            // On every thread.
            let panics = std::panic::catch_unwind(|| for_each(Threads::All, 50, |_| panic!("all")));
            assert!(panics.is_err());
            for_each(Threads::All, 50, |_| ());
        }
    }
}
