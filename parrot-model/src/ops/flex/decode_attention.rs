//! Attention of a single query, in a step of decoding. All threads together read the keys and values once, straight from the
//! cache.

use burn::backend::flex::FlexTensor;

use super::columns::by_columns;
use super::elementwise::softmax;
use super::simd::{Isa, Kernel, LANES, Lanes};
use super::team::Threads;
use super::weight::Weight;
use super::{few_rows, matrix_at};

/// Keys and values of at least this many bytes are read by all threads.
const SHARED_FROM: usize = 1 << 18;

/// `softmax(Q Kᵀ / √head_dim + bias) V`
///
/// - bias: that of a sequence of the batch
///
/// # Shapes
///
/// - query: `[batch, heads, 1, head_dim]`
/// - key, value: `[batch, kv_heads, keys, head_dim]`; as query, readable
/// - bias: `[keys]` each
/// - output: `[batch, heads, 1, head_dim]`
pub(super) fn attend<'b>(
    isa: Isa,
    query: &FlexTensor,
    key: &FlexTensor,
    value: &FlexTensor,
    bias: impl Fn(usize) -> &'b [f32] + Sync,
) -> Vec<f32> {
    let [batch, heads, _, head_dim] = query.layout().shape().dims();
    let [_, kv_heads, keys, _] = key.layout().shape().dims();
    let scale = 1.0 / (head_dim as f32).sqrt();
    let bytes = 2 * batch * kv_heads * keys * head_dim * size_of::<f32>();
    let threads = Threads::for_work(bytes, SHARED_FROM);
    by_columns([batch, 1, heads * head_dim], &[], head_dim, 1, threads, |batch, columns, context| {
        let head = columns.start / head_dim;
        let kv_head = head / (heads / kv_heads);
        let query: Vec<f32> = matrix_at(query, [batch, head]).row(0).map(|x| x * scale).collect();
        let [key, value] = [key, value].map(|x| matrix_at(x, [batch, kv_head]).to_contiguous());
        let mut probabilities = vec![0.0; keys];
        few_rows::multiply(isa, &query, 1, Weight::F32(&key), &mut probabilities);
        softmax(&mut probabilities, bias(batch));
        isa.run(WeightedSum { weights: &probabilities, rows: &value, output: context });
    })
}

/// `output = Σ weights[i] · rows[i]`
struct WeightedSum<'a> {
    weights: &'a [f32],
    /// `[weights.len(), output.len()]`
    rows: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for WeightedSum<'_> {
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let width = self.output.len();
        let mut column = 0;
        while column + 4 * LANES <= width {
            self.lanes::<V, 4>(width, column);
            column += 4 * LANES;
        }
        while column + 2 * LANES <= width {
            self.lanes::<V, 2>(width, column);
            column += 2 * LANES;
        }
        while column + LANES <= width {
            self.lanes::<V, 1>(width, column);
            column += LANES;
        }
        if column < width && width >= LANES {
            // The last columns, some of them once more: that is faster than one after the other.
            self.lanes::<V, 1>(width, width - LANES);
            return;
        }
        for (column, output) in self.output.iter_mut().enumerate().skip(column) {
            *output = 0.0;
            for (weight, row) in self.weights.iter().zip(self.rows.chunks_exact(width)) {
                *output += weight * row[column];
            }
        }
    }
}

impl WeightedSum<'_> {
    /// `N` lanes of the output.
    #[inline(always)]
    fn lanes<V: Lanes, const N: usize>(&mut self, width: usize, column: usize) {
        let mut sums = [V::splat(0.0); N];
        for (weight, row) in self.weights.iter().zip(self.rows.chunks_exact(width)) {
            let weight = V::splat(*weight);
            let lanes = row[column..].as_chunks::<LANES>().0;
            let Some((lanes, _)) = lanes.split_first_chunk::<N>() else { return };
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                *sum = sum.add_product(weight, V::load(lanes));
            }
        }
        let to = self.output[column..].as_chunks_mut::<LANES>().0;
        for (sum, to) in sums.iter().zip(to) {
            sum.store(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighted_sums_of_every_width_are_their_formula() {
        for width in [1, 16, 24, 64, 80, 100] {
            let weights: Vec<f32> = (0..33).map(|i| (i % 7) as f32 - 3.0).collect();
            let rows: Vec<f32> = (0..33 * width).map(|i| (i % 11) as f32).collect();
            let expected: Vec<f32> =
                (0..width).map(|c| (0..33).map(|r| weights[r] * rows[r * width + c]).sum()).collect();
            for isa in Isa::all() {
                let mut output = vec![f32::NAN; width];
                isa.run(WeightedSum { weights: &weights, rows: &rows, output: &mut output });
                assert_eq!(output, expected, "{isa:?}");
            }
        }
    }
}
