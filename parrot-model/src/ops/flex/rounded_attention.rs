//! Attention in training with the operands of its products rounded to bf16, where a model's own are: one head's blocks of queries.
//!
//! All products are those of [`many_rows`]. (In f32 [`matrix`](super::matrix)'s are faster where a model is small.) What is packed
//! is padded to whole lanes with zeros, which add nothing.

use half::bf16;

use super::elementwise::{softmax, softmax_backward};
use super::flash_attention::operand;
use super::many_rows::{self, Element, Packed, Strips, stride};
use super::matrix::Matrix;
use super::simd::{Isa, Kernel, LANES, Lanes, bf16_bits, filled_up};
use super::team::Threads;
use super::weight::Weight;

const ROUNDED: Element = Element::PairOfBf16;

/// `P = softmax(Q Kᵀ / √head_dim + bias)` and `P V` for the queries of a head.
pub(super) struct RoundedForward {
    isa: Isa,
    /// `[keys, head_dim]`
    key: Packed,
    /// `[head_dim, keys]`
    value: Packed,
}

impl RoundedForward {
    /// # Shapes
    ///
    /// - key, value: `[keys, head_dim]`
    pub(super) fn new(isa: Isa, key: Matrix<'_>, value: Matrix<'_>) -> Self {
        let key = Packed::new(isa, key, ROUNDED, Threads::One);
        Self { isa, key, value: Packed::transposed(isa, value, ROUNDED, Threads::One) }
    }

    /// # Shapes
    ///
    /// - queries: `[queries, head_dim]`
    /// - visible: how many keys, from the first, they see
    /// - bias: `[visible]` for each of them
    /// - probabilities: P, `[queries, visible]`
    /// - context: `P V`, `[queries, head_dim]`
    pub(super) fn attend<'b>(
        &self,
        queries: Matrix<'_>,
        visible: usize,
        bias: impl Iterator<Item = &'b [f32]>,
        probabilities: &mut [f32],
        context: &mut [f32],
    ) {
        let [count, head_dim] = queries.dims();
        let mut rounded = Vec::new();
        let mut scores = vec![0.0; count * stride(visible)];
        let queries = scaled(queries);
        let query = operand(self.isa, ROUNDED, &queries, &mut rounded);
        multiply(self.key.all().some_rows(visible), query, &mut scores);
        let rows = scores.chunks_exact_mut(stride(visible)).zip(probabilities.chunks_exact_mut(visible));
        for ((scores, probabilities), bias) in rows.zip(bias) {
            softmax(&mut scores[..visible], bias);
            scores[visible..].fill(0.0);
            probabilities.copy_from_slice(&scores[..visible]);
        }
        let mut gathered = vec![0.0; count * stride(head_dim)];
        let weights = operand(self.isa, ROUNDED, &scores, &mut rounded);
        multiply(self.value.all().some_inner(stride(visible)), weights, &mut gathered);
        for (to, from) in context.chunks_exact_mut(head_dim).zip(gathered.chunks_exact(stride(head_dim))) {
            to.copy_from_slice(&from[..head_dim]);
        }
    }
}

/// The gradients of a head's query, and of the keys and values that several share.
pub(super) struct RoundedBackward {
    isa: Isa,
    /// `[head_dim, keys]`
    key: Packed,
    /// `[keys, head_dim]`
    value: Packed,
    keys: usize,
    /// `[head_dim, keys]`
    grad_key: Vec<f32>,
    /// `[head_dim, keys]`
    grad_value: Vec<f32>,
}

impl RoundedBackward {
    /// # Shapes
    ///
    /// - key, value: `[keys, head_dim]`
    pub(super) fn new(isa: Isa, key: Matrix<'_>, value: Matrix<'_>) -> Self {
        let [keys, head_dim] = key.dims();
        Self {
            isa,
            key: Packed::transposed(isa, key, ROUNDED, Threads::One),
            value: Packed::new(isa, value, ROUNDED, Threads::One),
            keys,
            grad_key: vec![0.0; keys * head_dim],
            grad_value: vec![0.0; keys * head_dim],
        }
    }

    /// Writes the gradient of some queries, and adds to those of keys and values: `dV += Pᵀ dO`,
    /// `dS = P ⊙ (dO Vᵀ − rowsum(dO ⊙ O))`, `dQ = dS K / √d`, `dK += dSᵀ Q / √d`.
    ///
    /// # Shapes
    ///
    /// - queries, grad: Q and dO, `[queries, head_dim]`
    /// - visible: how many keys, from the first, they see
    /// - probabilities: P, `[queries, visible]`
    /// - row_sum: of `dO ⊙ O`, for each query
    /// - grad_query: dQ, `[queries, head_dim]`
    pub(super) fn add(
        &mut self,
        queries: Matrix<'_>,
        grad: Matrix<'_>,
        visible: usize,
        probabilities: &[f32],
        row_sum: impl Fn(usize) -> f32,
        grad_query: &mut [f32],
    ) {
        let isa = self.isa;
        let [count, head_dim] = queries.dims();
        let scale = 1.0 / (head_dim as f32).sqrt();
        let mut rounded = Vec::new();
        add_transposed(
            isa,
            Matrix::contiguous(probabilities, visible),
            grad,
            1.0,
            &mut self.grad_value,
            self.keys,
        );

        let mut grad_scores = vec![0.0; count * stride(visible)];
        let grad = grad.to_contiguous();
        let grad = operand(isa, ROUNDED, &grad, &mut rounded);
        multiply(self.value.all().some_rows(visible), grad, &mut grad_scores);
        let rows = grad_scores.chunks_exact_mut(stride(visible)).zip(probabilities.chunks_exact(visible));
        for (row, (scores, probabilities)) in rows.enumerate() {
            softmax_backward(&mut scores[..visible], probabilities, row_sum(row));
            scores[visible..].fill(0.0);
        }
        let mut gathered = vec![0.0; count * stride(head_dim)];
        let weights = operand(isa, ROUNDED, &grad_scores, &mut rounded);
        multiply(self.key.all().some_inner(stride(visible)), weights, &mut gathered);
        for (to, from) in grad_query.chunks_exact_mut(head_dim).zip(gathered.chunks_exact(stride(head_dim))) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = scale * from);
        }
        let grad_scores = Matrix::new(&grad_scores, [count, visible], [stride(visible), 1]);
        add_transposed(isa, grad_scores, queries, scale, &mut self.grad_key, self.keys);
    }

    /// Writes what was added up. `[keys, head_dim]` both
    pub(super) fn write(self, grad_key: &mut [f32], grad_value: &mut [f32]) {
        for (to, from) in [(grad_key, self.grad_key), (grad_value, self.grad_value)] {
            let head_dim = to.len() / self.keys;
            for (key, to) in to.chunks_exact_mut(head_dim).enumerate() {
                to.iter_mut().zip(from[key..].iter().step_by(self.keys)).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// [`many_rows::multiply`] of as many columns as there are.
fn multiply(left: Strips<'_>, weight: Weight<'_>, sums: &mut [f32]) {
    let (most, stride) = (left.most_columns(), stride(left.rows));
    for (at, sums) in sums.chunks_mut(most * stride).enumerate() {
        let first = at * most * left.inner;
        let count = sums.len() / stride * left.inner;
        many_rows::multiply(left, weight.slice(first..first + count), sums);
    }
}

/// `sums[column, key] += scale · Σ left[query, key] right[query, column]`
///
/// # Shapes
///
/// - left: `[queries, visible]`
/// - right: `[queries, columns]`
/// - sums: `[columns, keys]`, of which the first `visible` keys are added to
fn add_transposed(isa: Isa, left: Matrix<'_>, right: Matrix<'_>, scale: f32, sums: &mut [f32], keys: usize) {
    let [count, visible] = left.dims();
    let [_, columns] = right.dims();
    let left = Packed::transposed(isa, left, ROUNDED, Threads::One);
    let mut transposed = vec![bf16::ZERO; count * columns];
    isa.run(Transposed { from: right, scale, to: &mut transposed });
    let mut added = vec![0.0; columns * stride(visible)];
    multiply(left.all(), Weight::Bf16(&transposed), &mut added);
    for (sums, added) in sums.chunks_exact_mut(keys).zip(added.chunks_exact(stride(visible))) {
        sums.iter_mut().zip(&added[..visible]).for_each(|(to, sum)| *to += sum);
    }
}

/// Rounds a matrix times a number to bf16, transposed.
struct Transposed<'a> {
    /// `[rows, columns]`
    from: Matrix<'a>,
    scale: f32,
    /// `[columns, rows]`
    to: &'a mut [bf16],
}

impl Kernel for Transposed<'_> {
    // Indices, as iterators over arrays of registers are not inlined.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { from, scale, to } = self;
        let [rows, columns] = from.dims();
        let scale = V::splat(scale);
        for first in (0..rows).step_by(LANES) {
            let count = (rows - first).min(LANES);
            for column in (0..columns).step_by(LANES) {
                let mut square = [V::splat(0.0); LANES];
                for at in 0..count {
                    let row = &from.contiguous_row(first + at)[column..];
                    square[at] = V::load(&filled_up(row)).times(scale);
                }
                let square = V::transpose(square);
                for at in 0..(columns - column).min(LANES) {
                    let mut numbers = [0.0; LANES];
                    square[at].store(&mut numbers);
                    let to = &mut to[(column + at) * rows + first..][..count];
                    for (to, x) in to.iter_mut().zip(numbers) {
                        *to = bf16::from_bits(bf16_bits(x) as u16);
                    }
                }
            }
        }
    }
}

/// `Q / √head_dim`, row by row.
fn scaled(queries: Matrix<'_>) -> Vec<f32> {
    let [count, head_dim] = queries.dims();
    let scale = 1.0 / (head_dim as f32).sqrt();
    (0..count).flat_map(|row| queries.contiguous_row(row)).map(|x| x * scale).collect()
}
