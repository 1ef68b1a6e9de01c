//! Attention, in training by blocks of queries. Each block is computed with the keys up to the last one that any of its queries
//! sees: under a causal mask, that is little more than half of all pairs. Where no derivative is taken,
//! [`flash_attention`](super::flash_attention) computes it.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::prelude::*;
use burn::tensor::DType;
use rayon::prelude::*;

use super::elementwise::{softmax, softmax_backward};
use super::flash_attention::{Mask, attend};
use super::matrix::{Matrix, multiply, multiply_add};
use super::rounded_attention::{RoundedBackward, RoundedForward};
use super::simd::Isa;
use super::team::{Threads, for_each_pair_of_chunks};
use super::weight_product::FEW_OF_BF16;
use super::{PARALLEL_FROM, elements, matrix_at, tensor, with_contiguous_rows};
use crate::ops::attention::{self, AttentionOps, AttentionState};

/// Queries of a block: enough for large products, few enough that few masked scores are computed.
const BLOCK: usize = 128;

impl AttentionOps for Flex {
    fn attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        bias: FlexTensor,
        operands: DType,
    ) -> FlexTensor {
        if query.dtype() != DType::F32 {
            return attention::composed::<Self>(query, key, value, bias).context;
        }
        let [seq, keys] = [&query, &key].map(|x| x.layout().shape()[2]);
        attend(Isa::best(), [query, key, value], &Mask::of(bias, seq, keys), operands)
    }

    fn flash_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        bias: FlexTensor,
        is_causal: bool,
        operands: DType,
    ) -> FlexTensor {
        if query.dtype() != DType::F32 {
            return attention::composed::<Self>(query, key, value, bias).context;
        }
        let mask = if is_causal { Mask::Causal } else { Mask::Open };
        attend(Isa::best(), [query, key, value], &mask, operands)
    }

    fn attention_forward(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        bias: FlexTensor,
        operands: DType,
    ) -> AttentionState<Self> {
        match query.dtype() {
            DType::F32 => forward(query, key, value, bias, operands),
            _ => attention::composed(query, key, value, bias),
        }
    }

    fn attention_backward(
        state: AttentionState<Self>,
        grad: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        match grad.dtype() {
            DType::F32 => backward(&state, grad),
            _ => attention::composed_backward(state, grad),
        }
    }
}

/// Some queries, the same of every head, and the keys that they see.
struct Block {
    queries: Range<usize>,
    /// How many keys, from the first, the block sees.
    visible: usize,
    /// Where the block's probabilities are in those of a head.
    probabilities: Range<usize>,
}

impl Block {
    /// All blocks of a head, from the number of keys that each sees.
    fn all(visible: &[usize], seq: usize) -> Vec<Self> {
        let mut begin = 0;
        let block = |(at, visible): (usize, &usize)| {
            let queries = at * BLOCK..((at + 1) * BLOCK).min(seq);
            let end = begin + queries.len() * visible;
            Self { queries, visible: *visible, probabilities: std::mem::replace(&mut begin, end)..end }
        };
        visible.iter().enumerate().map(block).collect()
    }
}

/// How many keys, from the first, each block of queries sees at most, in any sequence of the batch.
fn visible_keys(bias: &[f32], seq: usize, keys: usize) -> Vec<usize> {
    let mut visible = vec![1; seq.div_ceil(BLOCK)];
    for (row, bias) in bias.chunks_exact(keys).enumerate() {
        let last = bias.iter().rposition(|bias| *bias > f32::NEG_INFINITY).unwrap_or(0);
        let block = &mut visible[row % seq / BLOCK];
        *block = (*block).max(last + 1);
    }
    visible
}

/// [`AttentionOps::attention_forward`] in f32. Of the probabilities those of the visible keys alone are kept, head by head.
///
/// # Shapes
///
/// As [`attention()`](attention::attention()); all f32.
fn forward(
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    bias: FlexTensor,
    operands: DType,
) -> AttentionState<Flex> {
    let [query, key, value] = [query, key, value].map(with_contiguous_rows);
    let [batch, heads, seq, head_dim] = query.layout().shape().dims();
    let [_, kv_heads, keys, _] = key.layout().shape().dims();
    let [biases, ..] = bias.layout().shape().dims::<4>();
    let bias = Flex::float_expand(bias, Shape::new([biases, 1, seq, keys])).to_contiguous();
    let bias = elements(&bias);
    let bias_rows = |batch: usize| &bias[if biases == 1 { 0 } else { batch * seq * keys }..];
    let visible = visible_keys(bias, seq, keys);
    let blocks = Block::all(&visible, seq);
    // How many probabilities are kept of a head.
    let head_len = blocks.last().map_or(0, |block| block.probabilities.end);
    let scale = 1.0 / (head_dim as f32).sqrt();
    let isa = Isa::best();
    // As of linear layers: few are multiplied exactly.
    let rounds = operands == DType::BF16 && isa.multiplies_bf16() && seq > FEW_OF_BF16;

    let mut probabilities = vec![0.0; batch * heads * head_len];
    let mut kept = probabilities.as_mut_slice();
    let mut kept: Vec<&mut [f32]> =
        (0..batch * heads).map_while(|_| kept.split_off_mut(..head_len)).collect();
    let mut context = vec![0.0; batch * heads * seq * head_dim];
    let one_head = |at: usize, context: &mut [f32], kept: &mut [&mut [f32]]| {
        let kept = &mut *kept[0];
        let (batch, head) = (at / heads, at % heads);
        let kv_head = head / (heads / kv_heads);
        let (query, bias) = (matrix_at(&query, [batch, head]), bias_rows(batch));
        let (key, value) = (matrix_at(&key, [batch, kv_head]), matrix_at(&value, [batch, kv_head]));
        let rounded = rounds.then(|| RoundedForward::new(isa, key, value));
        for Block { queries, visible, probabilities: range } in &blocks {
            if let Some(head) = &rounded {
                let bias = queries.clone().map(|row| &bias[row * keys..][..*visible]);
                let context = &mut context[queries.start * head_dim..queries.end * head_dim];
                head.attend(
                    query.some_rows(queries.clone()),
                    *visible,
                    bias,
                    &mut kept[range.clone()],
                    context,
                );
                continue;
            }
            let query = query.some_rows(queries.clone());
            let [key, value] = [key, value].map(|matrix| matrix.some_rows(0..*visible));
            let scores = &mut kept[range.clone()];
            multiply(query, key.transposed(), scale, scores);
            for (row, scores) in queries.clone().zip(scores.chunks_exact_mut(*visible)) {
                softmax(scores, &bias[row * keys..][..*visible]);
            }
            let context = &mut context[queries.start * head_dim..queries.end * head_dim];
            multiply(Matrix::contiguous(scores, *visible), value, 1.0, context);
        }
    };
    if seq * head_dim > 0 {
        let threads = Threads::for_work(batch * heads * seq * keys * head_dim, PARALLEL_FROM);
        for_each_pair_of_chunks(threads, (&mut context, seq * head_dim), (&mut kept, 1), one_head);
    }
    AttentionState {
        query,
        key,
        value,
        probabilities: tensor(probabilities, [batch, heads, head_len]),
        context: tensor(context, [batch, heads, seq, head_dim]),
        visible,
        rounds,
    }
}

/// The gradients of query, key and value, as [`attention::composed_backward`] has them.
fn backward(state: &AttentionState<Flex>, grad: FlexTensor) -> (FlexTensor, FlexTensor, FlexTensor) {
    let AttentionState { query, key, value, probabilities, context, visible, rounds } = state;
    let grad = with_contiguous_rows(grad);
    let [batch, heads, seq, head_dim] = query.layout().shape().dims();
    let [_, kv_heads, keys, _] = key.layout().shape().dims();
    let groups = heads / kv_heads;
    let blocks = Block::all(visible, seq);
    let head_len = blocks.last().map_or(0, |block| block.probabilities.end);
    let probabilities: &[f32] = probabilities.storage();
    let scale = 1.0 / (head_dim as f32).sqrt();

    let mut grad_query = vec![0.0; batch * heads * seq * head_dim];
    let mut grad_key = vec![0.0; batch * kv_heads * keys * head_dim];
    let mut grad_value = grad_key.clone();
    // The heads that share keys and values add to the same gradients, one after the other.
    let each = grad_query
        .par_chunks_exact_mut(groups * seq * head_dim)
        .zip(grad_key.par_chunks_exact_mut(keys * head_dim))
        .zip(grad_value.par_chunks_exact_mut(keys * head_dim));
    each.enumerate().for_each(|(at, ((grad_query, grad_key), grad_value))| {
        let (batch, kv_head) = (at / kv_heads, at % kv_heads);
        let (key, value) = (matrix_at(key, [batch, kv_head]), matrix_at(value, [batch, kv_head]));
        let mut rounded = rounds.then(|| RoundedBackward::new(Isa::best(), key, value));
        let mut grad_scores = vec![0.0; if *rounds { 0 } else { BLOCK.min(seq) * keys }];
        for (group, grad_query) in grad_query.chunks_exact_mut(seq * head_dim).enumerate() {
            let head = kv_head * groups + group;
            let [query, grad, context] = [query, &grad, context].map(|x| matrix_at(x, [batch, head]));
            let probabilities = &probabilities[(batch * heads + head) * head_len..][..head_len];
            for Block { queries, visible, probabilities: range } in &blocks {
                let [query, grad] = [query, grad].map(|matrix| matrix.some_rows(queries.clone()));
                let row_sum = |row: usize| -> f32 {
                    let context = context.row(queries.start + row);
                    grad.row(row).zip(context).map(|(grad, context)| grad * context).sum()
                };
                if let Some(head) = &mut rounded {
                    let grad_query = &mut grad_query[queries.start * head_dim..queries.end * head_dim];
                    head.add(query, grad, *visible, &probabilities[range.clone()], row_sum, grad_query);
                    continue;
                }
                let [key, value] = [key, value].map(|matrix| matrix.some_rows(0..*visible));
                let (grad_key, grad_value) =
                    (&mut grad_key[..visible * head_dim], &mut grad_value[..visible * head_dim]);
                let probabilities = &probabilities[range.clone()];
                multiply_add(Matrix::contiguous(probabilities, *visible).transposed(), grad, 1.0, grad_value);
                let grad_scores = &mut grad_scores[..range.len()];
                multiply(grad, value.transposed(), 1.0, grad_scores);
                let scores = grad_scores.chunks_exact_mut(*visible);
                for (row, (scores, probabilities)) in scores.zip(probabilities.chunks(*visible)).enumerate() {
                    softmax_backward(scores, probabilities, row_sum(row));
                }
                let grad_scores = Matrix::contiguous(grad_scores, *visible);
                let grad_query = &mut grad_query[queries.start * head_dim..queries.end * head_dim];
                multiply(grad_scores, key, scale, grad_query);
                multiply_add(grad_scores.transposed(), query, scale, grad_key);
            }
        }
        if let Some(head) = rounded {
            head.write(grad_key, grad_value);
        }
    });
    (
        tensor(grad_query, [batch, heads, seq, head_dim]),
        tensor(grad_key, [batch, kv_heads, keys, head_dim]),
        tensor(grad_value, [batch, kv_heads, keys, head_dim]),
    )
}
