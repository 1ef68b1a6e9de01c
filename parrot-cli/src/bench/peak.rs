//! The best that a device does at the two things that an answer consists of.

use std::time::{Duration, Instant};

use anyhow::Result;
use burn::prelude::*;
use burn::tensor::{Distribution, FloatDType};
use serde::Serialize;

/// Measured, not taken from a data sheet.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Peak {
    /// Operations per second of a product of square matrices, a multiply-add counted as two.
    pub(crate) matmul_flops: f64,
    /// Edge of those matrices.
    pub(crate) matmul_size: usize,
    /// Bytes per second: the faster of doubling a long vector (read and written) and of a matrix times a
    /// vector (read).
    pub(crate) memory_bytes_per_s: f64,
}

/// A product that takes this long keeps every core and every SM busy.
const LONG_ENOUGH: Duration = Duration::from_millis(20);
const LARGEST: usize = 8192;
/// The best of so many counts: what disturbs a measurement only ever makes it slower.
const RUNS: usize = 5;

impl Peak {
    /// Measures for about a second.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub(crate) fn measure(device: &Device, dtype: FloatDType) -> Result<Self> {
        let random = |rows: usize, columns: usize| {
            Tensor::<2>::random([rows, columns], Distribution::Uniform(-1.0, 1.0), device).cast(dtype)
        };
        let mut size = 512;
        let matmul_flops = loop {
            let (left, right) = (random(size, size), random(size, size));
            let seconds = fastest(device, || left.clone().matmul(right.clone()))?;
            if seconds >= LONG_ENOUGH.as_secs_f64() || size == LARGEST {
                break 2.0 * (size as f64).powi(3) / seconds;
            }
            size *= 2;
        };
        // Larger than any cache, smaller than any limit of a shader's binding.
        let (rows, columns) = (8192, 4096);
        let bytes = (rows * columns * if dtype == FloatDType::F32 { 4 } else { 2 }) as f64;
        let matrix = random(rows, columns);
        let vector = random(1, columns);
        let product = fastest(device, || vector.clone().matmul(matrix.clone().transpose()))?;
        let doubling = fastest(device, || matrix.clone() * 2.0)?;
        let memory_bytes_per_s = (bytes / product).max(2.0 * bytes / doubling);
        Ok(Self { matmul_flops, matmul_size: size, memory_bytes_per_s })
    }
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
