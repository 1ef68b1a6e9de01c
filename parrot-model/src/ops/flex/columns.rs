//! Shares a product's columns out among threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::aligned::Aligned;
use super::simd::{Isa, Kernel, LANES, Lanes};
use super::team::{Threads, together};

/// `[matrices, rows, columns]`, computed by blocks of one matrix's columns, transposed.
///
/// - bias: what is added to each row, `[columns]`, or empty
/// - width: columns of a block; a matrix's last may have fewer
/// - stride: the distance between two columns of a block
/// - fill: computes some columns of a matrix, `[columns, stride]`; the first `rows` of each go into the output. The
///   memory that it gets may hold anything
///
/// # Panics
///
/// If `stride` is less than `rows`, or `width` is 0.
pub(super) fn by_columns(
    [matrices, rows, columns]: [usize; 3],
    bias: &[f32],
    width: usize,
    stride: usize,
    threads: Threads,
    fill: impl Fn(usize, Range<usize>, &mut [f32]) + Sync,
) -> Vec<f32> {
    assert!(stride >= rows, "a column has to hold its rows");
    let len = matrices * rows * columns;
    let mut output = Vec::with_capacity(len);
    let target = Target(output.as_mut_ptr());
    let per_matrix = columns.div_ceil(width);
    let blocks = if len == 0 { 0 } else { matrices * per_matrix };
    let next = AtomicUsize::new(0);
    // Not task by task: a thread has one block of memory for all that it computes.
    together(threads.others(blocks), || {
        let mut block = Aligned::new(0.0, width.min(columns) * stride);
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= blocks {
                return;
            }
            let (matrix, first) = (at / per_matrix, at % per_matrix * width);
            let range = first..(first + width).min(columns);
            let block = &mut block[..range.len() * stride];
            fill(matrix, range.clone(), block);
            let bias = if bias.is_empty() { bias } else { &bias[range.clone()] };
            // SAFETY: the block's columns lie within this matrix, and no other block has them.
            #[allow(unsafe_code)]
            unsafe {
                target.write_transposed(block, matrix * rows * columns, [rows, columns], bias, range);
            }
        }
    });
    // SAFETY: all blocks, which are all columns, have been written, each with every row.
    #[allow(unsafe_code)]
    unsafe {
        output.set_len(len);
    }
    output
}

/// Where the output begins.
struct Target(*mut f32);

// SAFETY: threads write to different elements of it, see above, and nobody reads.
#[allow(unsafe_code)]
unsafe impl Sync for Target {}

impl Target {
    /// Writes a block's columns, `[columns, stride]`, where they belong.
    ///
    /// # Safety
    ///
    /// There must be room for `[rows, columns]` behind `begin`, the range lie within the columns, and nobody else use them.
    #[allow(unsafe_code)]
    unsafe fn write_transposed(
        &self,
        block: &[f32],
        begin: usize,
        [rows, columns]: [usize; 2],
        bias: &[f32],
        range: Range<usize>,
    ) {
        let to = Self(self.0.wrapping_add(begin + range.start));
        // SAFETY: as of this function.
        unsafe { Transposition::new(block, bias, to, [rows, columns], range.len()) }.run_on_this_processor();
    }
}

/// A block's way into the output.
struct Transposition<'a> {
    /// `[width, stride]`
    block: &'a [f32],
    /// `[width]`, or empty
    bias: &'a [f32],
    /// The block's first element in the output.
    to: Target,
    rows: usize,
    /// The distance between two rows of the output.
    columns: usize,
    width: usize,
}

impl<'a> Transposition<'a> {
    /// # Safety
    ///
    /// Behind `to` there must be room for `rows` rows of `width`, `columns` apart, which nobody else uses.
    #[allow(unsafe_code)]
    unsafe fn new(
        block: &'a [f32],
        bias: &'a [f32],
        to: Target,
        [rows, columns]: [usize; 2],
        width: usize,
    ) -> Self {
        Self { block, bias, to, rows, columns, width }
    }

    fn run_on_this_processor(self) {
        Isa::best().run(self);
    }
}

impl Kernel for Transposition<'_> {
    // Indices, as iterators over arrays of registers are not inlined.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { block, bias, to, rows, columns, width } = self;
        let stride = block.len() / width;
        // Where rows fill up whole lanes, squares of them are turned in registers.
        let turned = if stride.is_multiple_of(LANES) { width / LANES * LANES } else { 0 };
        for first in (0..rows).step_by(LANES) {
            for column in (0..turned).step_by(LANES) {
                let square = &block[column * stride + first..][..(LANES - 1) * stride + LANES];
                let mut lanes = [V::splat(0.0); LANES];
                for i in 0..LANES {
                    lanes[i] = V::load(&square[i * stride..].as_chunks().0[0]);
                }
                let lanes = V::transpose(lanes);
                let bias = match bias[column.min(bias.len())..].first_chunk() {
                    Some(bias) => V::load(bias),
                    None => V::splat(0.0),
                };
                let to = to.0.wrapping_add(first * columns + column).cast::<[f32; LANES]>();
                for i in 0..LANES.min(rows - first) {
                    // SAFETY: as `new` asks, and `column + LANES <= width`.
                    #[allow(unsafe_code)]
                    lanes[i].add(bias).store(unsafe { &mut *to.byte_add(i * columns * size_of::<f32>()) });
                }
            }
            for row in first..(first + LANES).min(rows) {
                let rest = block[turned * stride..].chunks_exact(stride);
                for (column, values) in (turned..).zip(rest) {
                    let value = values[row] + bias.get(column).copied().unwrap_or_default();
                    // SAFETY: as `new` asks.
                    #[allow(unsafe_code)]
                    unsafe {
                        to.0.add(row * columns + column).write(value);
                    }
                }
            }
        }
    }
}
