//! Shares a product's columns out among threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which threads take part in a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    /// The calling one.
    One,
    /// All of rayon's.
    All,
}

impl Threads {
    /// All for `work` that is at least `least`: less than that is done before the others wake up.
    pub(super) fn for_work(work: usize, least: usize) -> Self {
        if work >= least { Self::All } else { Self::One }
    }
}

/// `[matrices, rows, columns]`, computed by blocks of one matrix's columns, transposed.
///
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
    let work = || {
        let mut block = vec![0.0; width.min(columns) * stride];
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= blocks {
                return;
            }
            let (matrix, first) = (at / per_matrix, at % per_matrix * width);
            let range = first..(first + width).min(columns);
            let block = &mut block[..range.len() * stride];
            fill(matrix, range.clone(), block);
            // SAFETY: the block's columns lie within this matrix, and no other block has them.
            #[allow(unsafe_code)]
            unsafe {
                target.write_transposed(block, matrix * rows * columns, [rows, columns], range);
            }
        }
    };
    let helpers = match threads {
        Threads::All => rayon::current_num_threads().min(blocks).saturating_sub(1),
        Threads::One => 0,
    };
    if helpers == 0 {
        work();
    } else {
        // This thread begins at once, while the others wake up.
        rayon::in_place_scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|_| work());
            }
            work();
        });
    }
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
    /// # Safety
    ///
    /// There must be room for `[rows, columns]` behind `begin`, the range lie within the columns, and nobody else use them.
    #[allow(unsafe_code)]
    unsafe fn write_transposed(
        &self,
        block: &[f32],
        begin: usize,
        [rows, columns]: [usize; 2],
        range: Range<usize>,
    ) {
        /// Rows whose elements are written together, as wide as a line of the cache is in the block.
        const ROWS: usize = 16;
        let stride = block.len() / range.len();
        for first in (0..rows).step_by(ROWS) {
            for row in first..(first + ROWS).min(rows) {
                for (column, values) in range.clone().zip(block.chunks_exact(stride)) {
                    // SAFETY: `row < rows`, `column < columns`.
                    unsafe {
                        self.0.add(begin + row * columns + column).write(values[row]);
                    }
                }
            }
        }
    }
}
