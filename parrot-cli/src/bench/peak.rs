//! The best that a device does at the two things that an answer consists of.

use std::time::Instant;

use anyhow::Result;
use burn::prelude::*;
use burn::tensor::{Distribution, FloatDType};
use parrot_infer::device;
use serde::Serialize;

/// Measured, not taken from a data sheet, and with other code than the network's.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Peak {
    /// Operations per second of products, a multiply-add counted as two: see [`device::matmul_rate`].
    pub(crate) matmul_flops: f64,
    /// Edge of the matrices that were multiplied; none where the processor's instructions alone were timed.
    pub(crate) matmul_size: Option<usize>,
    /// Bytes per second: on the CPU, of reading memory from end to end with all threads; elsewhere the faster of doubling
    /// a long vector (read and written) and of a matrix times a vector (read).
    pub(crate) memory_bytes_per_s: f64,
    /// On the CPU, how memory was read: `2 threads, huge pages`.
    pub(crate) memory_reading: Option<String>,
}

/// Runs, of which the fastest counts: disturbances only ever make a run slower.
const RUNS: usize = 5;

impl Peak {
    /// Measures for about a second.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub(crate) fn measure(device: &Device, dtype: FloatDType) -> Result<Self> {
        let is_cpu = device::is_cpu(device);
        let random = |rows: usize, columns: usize| {
            Tensor::<2>::random([rows, columns], Distribution::Uniform(-1.0, 1.0), device).cast(dtype)
        };
        let product = device::matmul_rate(device, dtype)?;
        let (memory_bytes_per_s, memory_reading) = if is_cpu {
            let (rate, how) = main_memory();
            (rate, Some(how))
        } else {
            // Larger than any cache, smaller than any limit of a shader's binding.
            let (rows, columns) = (8192, 4096);
            let bytes = (rows * columns * if dtype == FloatDType::F32 { 4 } else { 2 }) as f64;
            let matrix = random(rows, columns);
            let vector = random(1, columns);
            let vector_product = fastest(device, || vector.clone().matmul(matrix.clone().transpose()))?;
            let doubling = fastest(device, || matrix.clone() * 2.0)?;
            ((bytes / vector_product).max(2.0 * bytes / doubling), None)
        };
        Ok(Self {
            matmul_flops: product.flops,
            matmul_size: product.size,
            memory_bytes_per_s,
            memory_reading,
        })
    }
}

/// How fast all threads read main memory, in bytes per second, and in what pages.
fn main_memory() -> (f64, String) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // Several times the last-level cache; virtual machines tell of caches that they share.
    let len = 4 * last_level_cache().unwrap_or(32 << 20).clamp(64 << 20, 512 << 20);
    let mut memory = vec![0_u64; len / size_of::<u64>()];
    parrot_model::allocator::use_huge_pages(&memory);
    let share = memory.len().div_ceil(threads);
    std::thread::scope(|scope| {
        for part in memory.chunks_mut(share) {
            scope.spawn(|| part.fill(1));
        }
    });
    let mut best = f64::INFINITY;
    for _ in 0..=RUNS {
        let started = Instant::now();
        let total: u64 = std::thread::scope(|scope| {
            let sums: Vec<_> = memory.chunks(share).map(|part| scope.spawn(|| sum(part))).collect();
            sums.into_iter().map(|sum| sum.join().unwrap_or(0)).sum()
        });
        best = best.min(started.elapsed().as_secs_f64());
        std::hint::black_box(total);
    }
    let has_huge_pages = huge_pages().is_some_and(|bytes| bytes >= len / 2);
    let pages = if has_huge_pages { "huge pages" } else { "small pages" };
    let threads = if threads == 1 { "1 thread".into() } else { format!("{threads} threads") };
    (len as f64 / best, format!("{threads}, {pages}"))
}

/// Adds up several sums at a time, which the compiler keeps in vector registers.
fn sum(part: &[u64]) -> u64 {
    let mut sums = [0_u64; 32];
    let (chunks, rest) = part.as_chunks();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk as &[u64; 32]) {
            *sum = sum.wrapping_add(*x);
        }
    }
    sums.iter().chain(rest).fold(0, |sum, x| sum.wrapping_add(*x))
}

/// Bytes that the process holds in huge pages, where Linux tells it.
fn huge_pages() -> Option<usize> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("AnonHugePages:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? << 10)
}

/// The size of the last-level cache in bytes, where Linux tells it.
fn last_level_cache() -> Option<usize> {
    let size = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size").ok()?;
    Some(size.trim().strip_suffix('K')?.parse::<usize>().ok()? << 10)
}

/// Seconds of the fastest run, after one that does not count.
fn fastest(device: &Device, work: impl Fn() -> Tensor<2>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for run in 0..=RUNS {
        device.sync()?;
        let started = Instant::now();
        let result = work();
        device.sync()?;
        if run > 0 {
            best = best.min(started.elapsed().as_secs_f64());
        }
        drop(result);
    }
    Ok(best)
}
