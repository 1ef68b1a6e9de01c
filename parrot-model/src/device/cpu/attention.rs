//! Attention by blocks of queries, each against the keys up to the last that one of its queries sees: under a causal mask
//! little more than half of them.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::prelude::*;
use rayon::prelude::*;

use super::elementwise::{softmax, softmax_backward};
use super::matrix::{Matrix, multiply, multiply_add};
use super::{PARALLEL_FROM, elements, matrix_at, readable, tensor};
use crate::device::kernels::AttentionState;

/// Queries of a block: enough for large products, few enough that little is computed which nobody sees.
const BLOCK: usize = 128;

/// Some queries of every head, and what they see.
struct Block {
    queries: Range<usize>,
    /// So many keys, from the first.
    visible: usize,
    /// Where its probabilities are in those of a head.
    probabilities: Range<usize>,
}

impl Block {
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

/// The context, and what its derivative needs.
///
/// - keep: whether a derivative will be taken, and the state is to have the probabilities: those of the visible keys
///   alone, head by head
///
/// # Shapes
///
/// As [`derivatives::attention`](crate::device::derivatives::attention); all f32.
pub(super) fn forward(
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    bias: FlexTensor,
    keep: bool,
) -> AttentionState<Flex> {
    let [query, key, value] = [query, key, value].map(readable);
    let [batch, heads, seq, head_dim] = query.layout().shape().dims();
    let [_, kv_heads, keys, _] = key.layout().shape().dims();
    let [biases, ..] = bias.layout().shape().dims::<4>();
    let bias = Flex::float_expand(bias, Shape::new([biases, 1, seq, keys])).to_contiguous();
    let bias = elements(&bias);
    let bias_of = |batch: usize| &bias[if biases == 1 { 0 } else { batch * seq * keys }..];
    let visible = visible_keys(bias, seq, keys);
    let blocks = Block::all(&visible, seq);
    let of_head = if keep { blocks.last().map_or(0, |block| block.probabilities.end) } else { 0 };
    let scale = 1.0 / (head_dim as f32).sqrt();

    let mut probabilities = vec![0.0; batch * heads * of_head];
    let mut kept = probabilities.as_mut_slice();
    let kept: Vec<&mut [f32]> = (0..batch * heads).map_while(|_| kept.split_off_mut(..of_head)).collect();
    let mut context = vec![0.0; batch * heads * seq * head_dim];
    let of_one = |(at, (context, kept)): (usize, (&mut [f32], &mut [f32]))| {
        let (batch, head) = (at / heads, at % heads);
        let kv_head = head / (heads / kv_heads);
        let (query, bias) = (matrix_at(&query, [batch, head]), bias_of(batch));
        let (key, value) = (matrix_at(&key, [batch, kv_head]), matrix_at(&value, [batch, kv_head]));
        let mut dropped = vec![0.0; if keep { 0 } else { BLOCK.min(seq) * keys }];
        for Block { queries, visible, probabilities: range } in &blocks {
            let query = query.some_rows(queries.clone());
            let [key, value] = [key, value].map(|matrix| matrix.some_rows(0..*visible));
            let scores = if keep { &mut kept[range.clone()] } else { &mut dropped[..range.len()] };
            multiply(query, key.transposed(), scale, scores);
            for (row, scores) in queries.clone().zip(scores.chunks_exact_mut(*visible)) {
                softmax(scores, &bias[row * keys..][..*visible]);
            }
            let context = &mut context[queries.start * head_dim..queries.end * head_dim];
            multiply(Matrix::contiguous(scores, *visible), value, 1.0, context);
        }
    };
    match batch * heads * seq * keys * head_dim < PARALLEL_FROM {
        true => context.chunks_exact_mut(seq * head_dim).zip(kept).enumerate().for_each(of_one),
        false => context.par_chunks_exact_mut(seq * head_dim).zip(kept).enumerate().for_each(of_one),
    }
    AttentionState {
        query,
        key,
        value,
        probabilities: tensor(probabilities, [batch, heads, of_head]),
        context: tensor(context, [batch, heads, seq, head_dim]),
        visible,
    }
}

/// The gradients of query, key and value: with S the scores and O the context, `dV = Pᵀ dO`,
/// `dS = P ⊙ (dO Vᵀ − rowsum(dO ⊙ O))`, `dQ = dS K / √d`, `dK = dSᵀ Q / √d`.
pub(super) fn backward(state: &AttentionState<Flex>, grad: FlexTensor) -> [FlexTensor; 3] {
    let AttentionState { query, key, value, probabilities, context, visible } = state;
    let grad = readable(grad);
    let [batch, heads, seq, head_dim] = query.layout().shape().dims();
    let [_, kv_heads, keys, _] = key.layout().shape().dims();
    let groups = heads / kv_heads;
    let blocks = Block::all(visible, seq);
    let of_head = blocks.last().map_or(0, |block| block.probabilities.end);
    let probabilities: &[f32] = probabilities.storage();
    let scale = 1.0 / (head_dim as f32).sqrt();

    let mut of_query = vec![0.0; batch * heads * seq * head_dim];
    let mut of_key = vec![0.0; batch * kv_heads * keys * head_dim];
    let mut of_value = of_key.clone();
    // The heads that share keys and values add to the same gradients, one after the other.
    let each = of_query
        .par_chunks_exact_mut(groups * seq * head_dim)
        .zip(of_key.par_chunks_exact_mut(keys * head_dim))
        .zip(of_value.par_chunks_exact_mut(keys * head_dim));
    each.enumerate().for_each(|(at, ((of_query, of_key), of_value))| {
        let (batch, kv_head) = (at / kv_heads, at % kv_heads);
        let (key, value) = (matrix_at(key, [batch, kv_head]), matrix_at(value, [batch, kv_head]));
        let mut of_scores = vec![0.0; BLOCK.min(seq) * keys];
        for (group, of_query) in of_query.chunks_exact_mut(seq * head_dim).enumerate() {
            let head = kv_head * groups + group;
            let [query, grad, context] = [query, &grad, context].map(|x| matrix_at(x, [batch, head]));
            let probabilities = &probabilities[(batch * heads + head) * of_head..][..of_head];
            for Block { queries, visible, probabilities: range } in &blocks {
                let [query, grad] = [query, grad].map(|matrix| matrix.some_rows(queries.clone()));
                let [key, value] = [key, value].map(|matrix| matrix.some_rows(0..*visible));
                let (of_key, of_value) =
                    (&mut of_key[..visible * head_dim], &mut of_value[..visible * head_dim]);
                let probabilities = &probabilities[range.clone()];
                multiply_add(Matrix::contiguous(probabilities, *visible).transposed(), grad, 1.0, of_value);
                let of_scores = &mut of_scores[..range.len()];
                multiply(grad, value.transposed(), 1.0, of_scores);
                let scores = of_scores.chunks_exact_mut(*visible);
                for (row, (scores, probabilities)) in scores.zip(probabilities.chunks(*visible)).enumerate() {
                    let context = context.row(queries.start + row);
                    let of_row = grad.row(row).zip(context).map(|(grad, context)| grad * context).sum();
                    softmax_backward(scores, probabilities, of_row);
                }
                let of_scores = Matrix::contiguous(of_scores, *visible);
                let of_query = &mut of_query[queries.start * head_dim..queries.end * head_dim];
                multiply(of_scores, key, scale, of_query);
                multiply_add(of_scores.transposed(), query, scale, of_key);
            }
        }
    });
    [
        tensor(of_query, [batch, heads, seq, head_dim]),
        tensor(of_key, [batch, kv_heads, keys, head_dim]),
        tensor(of_value, [batch, kv_heads, keys, head_dim]),
    ]
}
