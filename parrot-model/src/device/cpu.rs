//! The network's costliest operations, written for Burn's CPU backend.
//!
//! Burn's own zero the output of a product before they fill it and then copy it elsewhere (`FlexTensor::empty` in 0.22),
//! go over attention's scores once for each elementary operation, and take exponentials one by one from the C library:
//! together, a fifth of a half-billion model's training step. These are for f32; for other types Burn's own serve.

mod attention;
mod elementwise;
mod matrix;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::prelude::*;
use burn::tensor::DType;
use rayon::prelude::*;

use super::derivatives::DerivedOps;
use super::kernels::{self, AttentionState, Kernels};
use matrix::Matrix;

/// Elements that one thread does at a time. What is less than that does not leave its thread: to hand work over from outside
/// the pool takes as long as some ten thousand elements.
const CHUNK: usize = 1 << 16;

/// From how many multiplications on products are shared among threads; Burn's threshold.
const PARALLEL_FROM: usize = 192 * 192 * 192;

impl DerivedOps for Flex {
    fn attention(query: FlexTensor, key: FlexTensor, value: FlexTensor, bias: FlexTensor) -> FlexTensor {
        match query.dtype() {
            DType::F32 => attention::forward(query, key, value, bias, false).context,
            _ => kernels::attention_forward::<Self>(query, key, value, bias).context,
        }
    }
}

impl Kernels for Flex {
    fn product(lhs: FlexTensor, rhs: FlexTensor) -> FlexTensor {
        if lhs.dtype() != DType::F32 {
            return Self::float_matmul(lhs, rhs);
        }
        let (lhs, rhs) = (readable(lhs), readable(rhs));
        if lhs.layout().num_dims() > 2 {
            return products(&lhs, &rhs);
        }
        let (lhs, rhs) = (matrix_at(&lhs, []), matrix_at(&rhs, []));
        tensor(matrix::product(lhs, rhs), [lhs.rows(), rhs.columns()])
    }

    fn attention_forward(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        bias: FlexTensor,
    ) -> AttentionState<Self> {
        match query.dtype() {
            DType::F32 => attention::forward(query, key, value, bias, true),
            _ => kernels::attention_forward(query, key, value, bias),
        }
    }

    fn attention_backward(state: AttentionState<Self>, grad: FlexTensor) -> [FlexTensor; 3] {
        match grad.dtype() {
            DType::F32 => attention::backward(&state, grad),
            _ => kernels::attention_backward(state, grad),
        }
    }

    fn silu_product_forward(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        if gate.dtype() != DType::F32 {
            return kernels::silu_product_forward::<Self>(gate, up);
        }
        let shape = gate.layout().shape().clone();
        let (gate, up) = (gate.to_contiguous(), up.to_contiguous());
        let inputs = [elements(&gate), elements(&up)];
        tensor(map(inputs, |[gate, up], output| elementwise::silu_product(gate, up, output)), shape)
    }

    fn silu_product_backward(gate: FlexTensor, up: FlexTensor, grad: FlexTensor) -> [FlexTensor; 2] {
        if gate.dtype() != DType::F32 {
            return kernels::silu_product_backward::<Self>(gate, up, grad);
        }
        let shape = gate.layout().shape().clone();
        let (gate, up, mut grad) = (gate.to_contiguous(), up.to_contiguous(), grad.to_contiguous());
        let mut of_gate = vec![0.0; shape.num_elements()];
        let begin = grad.layout().start_offset();
        let of_up: &mut [f32] = &mut grad.storage_mut()[begin..];
        let (gate, up) = (elements(&gate), elements(&up));
        if gate.len() <= CHUNK {
            elementwise::silu_product_backward(gate, up, of_up, &mut of_gate);
        } else {
            let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK));
            let outputs = of_gate.par_chunks_mut(CHUNK).zip(of_up.par_chunks_mut(CHUNK));
            outputs.zip(inputs).for_each(|((of_gate, of_up), (gate, up))| {
                elementwise::silu_product_backward(gate, up, of_up, of_gate);
            });
        }
        [tensor(of_gate, shape), grad]
    }

    fn quick_gelu(x: FlexTensor) -> FlexTensor {
        if x.dtype() != DType::F32 {
            return kernels::quick_gelu::<Self>(x);
        }
        let x = x.to_contiguous();
        let output = map([elements(&x)], |[x], output| elementwise::quick_gelu(x, output));
        tensor(output, x.layout().shape().clone())
    }
}

/// # Shapes
///
/// - lhs: `[products, rows, inner]`
/// - rhs: `[products, inner, columns]`
/// - output: `[products, rows, columns]`
fn products(lhs: &FlexTensor, rhs: &FlexTensor) -> FlexTensor {
    let [count, rows, inner] = lhs.layout().shape().dims();
    let [_, _, columns] = rhs.layout().shape().dims();
    let mut output = vec![0.0; count * rows * columns];
    let one = |(at, output): (usize, &mut [f32])| {
        matrix::multiply(matrix_at(lhs, [at]), matrix_at(rhs, [at]), 1.0, output);
    };
    match count * rows * inner * columns < PARALLEL_FROM {
        true => output.chunks_exact_mut(rows * columns).enumerate().for_each(one),
        false => output.par_chunks_exact_mut(rows * columns).enumerate().for_each(one),
    }
    tensor(output, [count, rows, columns])
}

/// What `fill` makes of inputs of the same length, piece by piece.
fn map<const N: usize>(inputs: [&[f32]; N], fill: impl Fn([&[f32]; N], &mut [f32]) + Sync) -> Vec<f32> {
    let mut output = vec![0.0; inputs[0].len()];
    let piece = |(at, output): (usize, &mut [f32])| {
        fill(inputs.map(|input| &input[at * CHUNK..][..output.len()]), output);
    };
    match output.len() <= CHUNK {
        true => piece((0, &mut output)),
        false => output.par_chunks_mut(CHUNK).enumerate().for_each(piece),
    }
    output
}

fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(data, shape.into()))
}

/// With strides that only count upwards.
fn readable(x: FlexTensor) -> FlexTensor {
    if x.layout().strides().iter().all(|stride| *stride >= 0) { x } else { x.to_contiguous() }
}

/// The elements of a contiguous tensor.
fn elements(x: &FlexTensor) -> &[f32] {
    &x.storage()[x.layout().start_offset()..][..x.layout().num_elements()]
}

/// One matrix of many: that of these leading indices.
///
/// # Shapes
///
/// - x: `[…, rows, columns]`, [readable]
fn matrix_at<const N: usize>(x: &FlexTensor, leading: [usize; N]) -> Matrix<'_> {
    let (sizes, strides) = (x.layout().shape(), x.layout().strides());
    let begin: usize = leading.iter().zip(strides).map(|(index, stride)| index * *stride as usize).sum();
    let strides = [strides[N] as usize, strides[N + 1] as usize];
    Matrix::new(&x.storage()[x.layout().start_offset() + begin..], [sizes[N], sizes[N + 1]], strides)
}
