//! Attention that no derivative is taken of. A thread computes some queries of every head at a time, and has the scores of one
//! head in memory.
//!
//! Both products are those of [`many_rows`]: its left side is `K`, and then `Vᵀ`, packed once for all queries, and the weight are
//! the queries, and then their probabilities. So they are computed in bf16 where a model's own are.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::prelude::*;
use burn::tensor::DType;
use half::bf16;

use super::aligned::Aligned;
use super::elementwise::exponentials;
use super::many_rows::{self, Element, Packed, Strips, stride};
use super::matrix::Matrix;
use super::simd::{Isa, Kernel, Lanes, bf16_bits};
use super::team::{Threads, for_each_chunk};
use super::weight::Weight;
use super::weight_product::FEW_OF_BF16;
use super::{PARALLEL_FROM, decode_attention, elements, matrix_at, tensor, with_contiguous_rows};

/// Which keys a query sees.
pub(super) enum Mask {
    /// All.
    Open,
    /// Those up to its own; the last query sees all.
    Causal,
    /// `[batch or 1, 1, seq, keys]`, contiguous
    Bias(FlexTensor),
}

impl Mask {
    /// The mask of a bias that may have to be broadcast.
    pub(super) fn of(bias: FlexTensor, seq: usize, keys: usize) -> Self {
        let [biases, ..] = bias.layout().shape().dims::<4>();
        Self::Bias(Flex::float_expand(bias, Shape::new([biases, 1, seq, keys])).to_contiguous())
    }

    /// What is added to a query's scores; empty for nothing.
    fn bias(&self, batch: usize, query: usize) -> &[f32] {
        let Self::Bias(bias) = self else { return &[] };
        let [biases, _, seq, keys] = bias.layout().shape().dims();
        let batch = if biases == 1 { 0 } else { batch };
        &elements(bias)[(batch * seq + query) * keys..][..keys]
    }

    /// How many of the keys, from the first, a query sees at most.
    fn visible(&self, batch: usize, query: usize, [seq, keys]: [usize; 2]) -> usize {
        match self {
            Self::Open => keys,
            Self::Causal => keys + query + 1 - seq,
            Self::Bias(_) => {
                let bias = self.bias(batch, query);
                bias.iter().rposition(|bias| *bias > f32::NEG_INFINITY).map_or(1, |last| last + 1)
            }
        }
    }
}

/// `softmax(Q Kᵀ / √head_dim + bias) V`
///
/// - operands: what those of the products are rounded to, if it is bf16 and the processor multiplies that
///
/// # Shapes
///
/// As [`attention()`](crate::ops::attention()); all f32.
pub(super) fn attend(
    isa: Isa,
    [query, key, value]: [FlexTensor; 3],
    mask: &Mask,
    operands: DType,
) -> FlexTensor {
    let [query, key, value] = [query, key, value].map(with_contiguous_rows);
    let [batch, heads, seq, head_dim] = query.layout().shape().dims();
    let [_, kv_heads, keys, _] = key.layout().shape().dims();
    if batch * heads * seq * head_dim * keys == 0 {
        return tensor(vec![0.0; batch * heads * seq * head_dim], [batch, heads, seq, head_dim]);
    }
    if seq == 1 {
        let context = decode_attention::attend(isa, &query, &key, &value, |batch| mask.bias(batch, 0));
        return tensor(context, [batch, heads, 1, head_dim]);
    }
    // As of linear layers: a few queries are multiplied exactly.
    let rounds = operands == DType::BF16 && isa.multiplies_bf16() && seq > FEW_OF_BF16;
    let element = if rounds { Element::PairOfBf16 } else { Element::F32 };
    let threads = Threads::for_work(batch * heads * seq * keys * head_dim, PARALLEL_FROM);
    let mut packed: Vec<_> = (0..batch * kv_heads).map(|_| None).collect();
    for_each_chunk(threads, &mut packed, 1, |at, packed| {
        let [key, value] = [&key, &value].map(|x| matrix_at(x, [at / kv_heads, at % kv_heads]));
        let key = Packed::new(isa, key, element, Threads::One);
        packed[0] = Some((key, Packed::transposed(isa, value, element, Threads::One)));
    });
    let packed: Vec<(Packed, Packed)> = packed.into_iter().flatten().collect();
    let at_a_time = packed[0].0.all().block(seq);
    // Heads side by side, as the layer behind reads them.
    let width = heads * head_dim;
    let mut context = vec![0.0; batch * seq * width];
    for (batch, context) in context.chunks_exact_mut(seq * width).enumerate() {
        for_each_chunk(threads, context, at_a_time * width, |block, context| {
            let queries = block * at_a_time..block * at_a_time + context.len() / width;
            let mut some = SomeQueries::new(isa, element, mask, batch, queries.clone(), [seq, keys]);
            for head in 0..heads {
                let (key, value) = &packed[batch * kv_heads + head / (heads / kv_heads)];
                let queries = matrix_at(&query, [batch, head]).some_rows(queries.clone());
                some.attend(queries, key.all(), value.all());
                let rows = context.chunks_exact_mut(width);
                some.write(rows.map(|row| &mut row[head * head_dim..][..head_dim]));
            }
        });
    }
    Flex::float_swap_dims(tensor(context, [batch, seq, heads, head_dim]), 1, 2)
}

/// Some queries of a sequence, and what is computed of one head's at a time.
struct SomeQueries<'a> {
    isa: Isa,
    element: Element,
    /// Per query, how many keys it sees under a causal mask, or under none, and what is added to its first scores.
    masks: Vec<(usize, &'a [f32])>,
    /// How many keys, from the first, one of them sees.
    visible: usize,
    /// `[queries, stride(visible)]`: the scores, then the softmax before it is divided by its sums.
    scores: Aligned<f32>,
    /// The softmax's sums. `[queries]`
    sums: Vec<f32>,
    /// `[queries, stride(head_dim)]`, not divided by the sums yet.
    context: Vec<f32>,
    /// What is rounded of an operand.
    rounded: Vec<bf16>,
}

impl<'a> SomeQueries<'a> {
    fn new(
        isa: Isa,
        element: Element,
        mask: &'a Mask,
        batch: usize,
        queries: Range<usize>,
        [seq, keys]: [usize; 2],
    ) -> Self {
        let visible = queries.clone().map(|query| mask.visible(batch, query, [seq, keys])).max().unwrap_or(1);
        let of_query = |query: usize| match mask {
            Mask::Causal => (keys + query + 1 - seq, &[][..]),
            mask => (visible, mask.bias(batch, query).get(..visible).unwrap_or_default()),
        };
        Self {
            isa,
            element,
            masks: queries.clone().map(of_query).collect(),
            visible,
            scores: Aligned::new(0.0, queries.len() * stride(visible)),
            sums: vec![0.0; queries.len()],
            context: Vec::new(),
            rounded: Vec::new(),
        }
    }

    /// What these queries of a head gather.
    ///
    /// # Shapes
    ///
    /// - queries: `[queries, head_dim]`
    /// - key: `[keys, head_dim]`
    /// - value: `[head_dim, keys]`
    fn attend(&mut self, queries: Matrix<'_>, key: Strips<'_>, value: Strips<'_>) {
        let Self { isa, element, visible, .. } = *self;
        let [count, head_dim] = queries.dims();
        let scale = 1.0 / (head_dim as f32).sqrt();
        let mut scaled = Vec::with_capacity(count * head_dim);
        for row in 0..count {
            scaled.extend(queries.contiguous_row(row).iter().map(|x| x * scale));
        }
        let query = operand(isa, element, &scaled, &mut self.rounded);
        many_rows::multiply(key.some_rows(visible), query, &mut self.scores);
        let rows = self.scores.chunks_exact_mut(stride(visible)).zip(&self.masks);
        for ((scores, (seen, bias)), sum) in rows.zip(&mut self.sums) {
            // Whole lanes: what they add up to does not depend on how many of the keys are hidden.
            scores[*seen..].fill(f32::NEG_INFINITY);
            *sum = exponentials(scores, bias);
        }
        let probabilities = operand(isa, element, &self.scores, &mut self.rounded);
        self.context.resize(count * stride(head_dim), 0.0);
        many_rows::multiply(value.some_inner(stride(visible)), probabilities, &mut self.context);
    }

    /// Writes what was gathered, divided by the softmax's sums, into rows of `head_dim`.
    fn write<'r>(&self, rows: impl Iterator<Item = &'r mut [f32]>) {
        let gathered = self.context.chunks_exact(self.context.len() / self.sums.len());
        for ((to, from), sum) in rows.zip(gathered).zip(&self.sums) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from / sum);
        }
    }
}

/// Numbers as a product takes them for its weight.
pub(super) fn operand<'a>(
    isa: Isa,
    element: Element,
    numbers: &'a [f32],
    rounded: &'a mut Vec<bf16>,
) -> Weight<'a> {
    match element {
        Element::F32 => Weight::F32(numbers),
        Element::PairOfBf16 => {
            rounded.resize(numbers.len(), bf16::ZERO);
            isa.run(Rounding { from: numbers, to: rounded });
            Weight::Bf16(rounded)
        }
    }
}

/// Rounds to bf16.
struct Rounding<'a> {
    from: &'a [f32],
    to: &'a mut [bf16],
}

impl Kernel for Rounding<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = bf16::from_bits(bf16_bits(*from) as u16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(shape: [usize; 4], frequency: f32) -> FlexTensor {
        let count = shape.iter().product();
        tensor((0..count).map(|at| (frequency * at as f32).sin()).collect(), shape)
    }

    /// In f64; `sees` takes a sequence, a query and a key.
    fn expected(
        [query, key, value]: &[FlexTensor; 3],
        sees: impl Fn(usize, usize, usize) -> bool,
    ) -> Vec<f64> {
        let [batch, heads, seq, head_dim] = query.layout().shape().dims();
        let [_, kv_heads, keys, _] = key.layout().shape().dims();
        let mut context = Vec::new();
        for (batch, head) in (0..batch).flat_map(|batch| (0..heads).map(move |head| (batch, head))) {
            let kv_head = head * kv_heads / heads;
            let query = matrix_at(query, [batch, head]);
            let [key, value] = [key, value].map(|x| matrix_at(x, [batch, kv_head]));
            for row in 0..seq {
                let dot = |other: usize| {
                    let pairs = query.row(row).zip(key.row(other));
                    pairs.map(|(a, b)| f64::from(a) * f64::from(b)).sum::<f64>() / (head_dim as f64).sqrt()
                };
                let weight = |other: usize| if sees(batch, row, other) { dot(other).exp() } else { 0.0 };
                let weights: Vec<f64> = (0..keys).map(weight).collect();
                let sum: f64 = weights.iter().sum();
                for column in 0..head_dim {
                    let rows = weights.iter().enumerate();
                    let value = |other: usize| f64::from(value.row(other).nth(column).unwrap());
                    context.push(rows.map(|(other, weight)| weight * value(other)).sum::<f64>() / sum);
                }
            }
        }
        context
    }

    #[test]
    fn attention_of_every_shape_mask_and_instruction_set_is_its_formula() {
        // One query; fewer than are rounded; blocks that are not full; more keys than queries, which are no whole lanes.
        for ([batch, heads, kv_heads], [seq, keys, head_dim]) in [
            ([1, 2, 1], [1, 9, 16]),
            ([2, 2, 2], [5, 5, 8]),
            ([2, 4, 2], [37, 53, 24]),
            ([1, 1, 1], [150, 150, 64]),
        ] {
            let inputs = [
                waves([batch, heads, seq, head_dim], 0.7),
                waves([batch, kv_heads, keys, head_dim], 1.1),
                waves([batch, kv_heads, keys, head_dim], 1.9),
            ];
            let sees_bias = |batch: usize, query: usize, key: usize| (key + batch + query) % 3 != 1;
            let bias = (0..batch * seq * keys)
                .map(|at| {
                    if sees_bias(at / keys / seq, at / keys % seq, at % keys) {
                        0.0
                    } else {
                        f32::NEG_INFINITY
                    }
                })
                .collect();
            let bias = Mask::of(tensor(bias, [batch, 1, seq, keys]), seq, keys);
            let causal = |_, query: usize, key: usize| key <= keys - seq + query;
            for isa in Isa::all() {
                for operands in [DType::F32, DType::BF16] {
                    // Numbers up to 1, rounded three times.
                    let limit = if operands == DType::BF16 { 0.02 } else { 1e-5 };
                    let check = |mask: &Mask, expected: Vec<f64>| {
                        let found = attend(isa, inputs.clone(), mask, operands).to_contiguous();
                        for (found, expected) in elements(&found).iter().zip(&expected) {
                            let error = (f64::from(*found) - expected).abs();
                            assert!(
                                error < limit,
                                "{isa:?} {operands:?} [{seq}, {keys}]: {found} {expected}"
                            );
                        }
                    };
                    check(&Mask::Open, expected(&inputs, |_, _, _| true));
                    check(&Mask::Causal, expected(&inputs, causal));
                    check(&bias, expected(&inputs, sees_bias));
                }
            }
        }
    }
}
