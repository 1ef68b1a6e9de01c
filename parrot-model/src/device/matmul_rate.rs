//! How fast a device multiplies, to compare what a model reaches with.

use std::time::Duration;

use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use web_time::Instant;

use super::found::name_of;
use crate::{Error, Result};

/// The best rate of products, measured rather than taken from a data sheet, and with other code than the network's.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MatmulRate {
    /// Operations per second; a multiply-add counts as two.
    pub flops: f64,
    /// Rows and columns of the matrices; `None` where the processor's instructions alone were timed.
    pub size: Option<usize>,
}

/// A product that takes this long keeps every core of a processor, and of a GPU, busy.
const LONG_ENOUGH: Duration = Duration::from_millis(20);
const LARGEST: usize = 8192;
/// How many runs there are. The fastest counts: disturbances only ever make a run slower.
const RUNS: usize = 5;

/// Measures [`MatmulRate`] with Burn's own product, in about a second. Blocks until the device is done.
///
/// Of a CPU that product is in f32, for Burn has no other there. Where weights are in bf16 and the processor has instructions that
/// multiply it, these are timed instead, on all threads, with operands that lie in registers: an upper bound, which no product of
/// matrices reaches.
///
/// - dtype: what weights are held in
///
/// # Errors
///
/// [`Error::Device`] when the device fails.
pub fn matmul_rate(device: &Device, dtype: FloatDType) -> Result<MatmulRate> {
    #[cfg(feature = "flex")]
    if dtype == FloatDType::BF16
        && super::is_cpu(device)
        && let Some(flops) = crate::ops::bf16_rate()
    {
        return Ok(MatmulRate { flops, size: None });
    }
    let device = device.clone().inner();
    let dtype = super::activation_dtype(&device, dtype);
    let failed = |error: &dyn std::fmt::Display| Error::device(&name_of(&device), error.to_string());
    let mut size = 512;
    loop {
        let random =
            || Tensor::<2>::random([size, size], Distribution::Uniform(-1.0, 1.0), &device).cast(dtype);
        let (left, right) = (random(), random());
        let mut fastest = Duration::MAX;
        // The first run may compile a kernel.
        for run in 0..=RUNS {
            device.sync().map_err(|error| failed(&error))?;
            let started = Instant::now();
            let product = left.clone().matmul(right.clone());
            device.sync().map_err(|error| failed(&error))?;
            if run > 0 {
                fastest = fastest.min(started.elapsed());
            }
            drop(product);
        }
        if fastest >= LONG_ENOUGH || size == LARGEST {
            return Ok(MatmulRate {
                flops: 2.0 * (size as f64).powi(3) / fastest.as_secs_f64(),
                size: Some(size),
            });
        }
        size *= 2;
    }
}
