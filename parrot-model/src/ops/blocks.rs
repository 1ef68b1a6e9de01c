//! Weights in [blocks](crate::quantization) as tensors.
//!
//! Such a tensor has a quantised dtype and the shape of the matrix that it stands for, `[out, in]`, or of several; its bytes
//! are the blocks. It can be transposed and reshaped, as a layer's weight is, and used, transposed, as the right side of
//! [`matmul`](super::matmul()); [`table_rows`] reads rows of a table. Nothing else works on it.
//!
//! They do not learn, but what they are multiplied with may: `grad_input = grad_output · W`, of exactly the numbers that the
//! blocks stand for. Inference on the CPU rounds the activations of a product to 8 bits. On a device with autodiff none are
//! rounded, whether a gradient is wanted or not:
//!
//! - The gradient is then that of the loss. Rounding has none of its own, and to pass it straight through gives that of
//!   another function.
//! - What learns beside such weights is merged into weights that are numbers, which are multiplied without this rounding: to
//!   learn to live with it is of no use.
//! - An adapter begins as nothing. At first it changes an output by less than the rounding would.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, unary};
use burn::backend::tensor::{FloatTensor, IntTensor, QuantizedTensor};
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{Bytes, DType, TensorData};

use super::autodiff::record;
use crate::device::is_cpu;
use crate::quantization::BlockFormat;

/// One scale for all, as Burn sees it, so that it transposes and reshapes without looking at blocks of its own.
fn block_scheme(value: QuantValue) -> QuantScheme {
    QuantScheme::default().per_tensor(ScaleDtype::F32).with_value(value).with_store(QuantStore::Native)
}

/// The dtype of a tensor of blocks.
pub(crate) fn block_dtype(format: BlockFormat) -> DType {
    // Two of Burn's, only to be told apart. Values of four bits it does not take as they lie.
    let value = match format {
        BlockFormat::Q8 => QuantValue::Q8S,
        BlockFormat::Q4 => QuantValue::Q8F,
    };
    DType::QFloat(block_scheme(value))
}

/// The format of a tensor of this dtype, if it is one of blocks.
pub(crate) fn block_format(dtype: DType) -> Option<BlockFormat> {
    BlockFormat::ALL.into_iter().find(|format| block_dtype(*format) == dtype)
}

/// A tensor of blocks.
///
/// # Shapes
///
/// - bytes: of a matrix `[out, in]`, or of several one after the other, each a whole number of panels
///
/// # Panics
///
/// If there are more or fewer bytes than `dims` say.
pub(crate) fn blocks<const D: usize>(
    bytes: Bytes,
    format: BlockFormat,
    dims: [usize; D],
    device: &Device,
) -> Tensor<D> {
    let (matrices, [rows, columns]) = matrices(&dims);
    let expected = matrices * format.matrix_bytes([rows, columns]);
    assert_eq!(bytes.len(), expected, "the bytes of {dims:?} in {}", format.name());
    // GPUs read words. On the CPU bytes may lie anywhere in a file.
    let (count, dtype) =
        if is_cpu(device) { (expected, DType::U8) } else { (expected / size_of::<u32>(), DType::U32) };
    let bytes = Tensor::<1, Int>::from_data(TensorData::from_bytes(bytes, [count], dtype), (device, dtype));
    Tensor::from_dispatch(<Dispatch as Blocks>::blocks(bytes.into_dispatch(), format, dims.to_vec()))
}

/// How many matrices, and the shape of each.
pub(super) fn matrices(dims: &[usize]) -> (usize, [usize; 2]) {
    let (matrices, matrix) = dims.split_last_chunk().expect("a matrix, or several of them");
    (matrices.iter().product(), *matrix)
}

/// `lhs · rhs`, where the right side is of blocks and transposed.
///
/// # Shapes
///
/// As [`matmul`](super::matmul()).
pub(super) fn matmul_blocks<const D: usize>(lhs: Tensor<D>, rhs: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as Blocks>::matmul_blocks(lhs.into_dispatch(), rhs.into_dispatch()))
}

/// Rows of a table in blocks, in f32.
///
/// # Shapes
///
/// - table: `[rows, columns]`
/// - ids: `[count]`, each below `rows`
/// - output: `[count, columns]`
pub(crate) fn table_rows(table: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Blocks>::table_rows(table.into_dispatch(), ids.into_dispatch()))
}

/// The shape of a product with these sides.
pub(super) fn product_shape(lhs: &Shape, rhs: &Shape) -> Shape {
    let mut shape = lhs.clone();
    let last = shape.num_dims() - 1;
    shape[last] = rhs[last];
    shape
}

/// The operations on a backend.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "tuning")
)]
pub(super) trait Blocks: Backend {
    /// See [`blocks()`].
    #[fusion(dtype = block_dtype(*format), shape = Shape::from(dims.clone()))]
    fn blocks(bytes: IntTensor<Self>, format: BlockFormat, dims: Vec<usize>) -> QuantizedTensor<Self>;

    /// See [`matmul_blocks`].
    #[fusion(dtype = lhs, shape = product_shape(lhs, rhs))]
    fn matmul_blocks(lhs: FloatTensor<Self>, rhs: QuantizedTensor<Self>) -> FloatTensor<Self>;

    /// `lhs · rhs` without any rounding of the left side; the right side may be transposed or not.
    #[fusion(dtype = lhs, shape = product_shape(lhs, rhs))]
    fn matmul_unpacked(lhs: FloatTensor<Self>, rhs: QuantizedTensor<Self>) -> FloatTensor<Self>;

    /// See [`table_rows`].
    #[fusion(dtype = DType::F32, shape = Shape::new([ids.num_elements(), table[1]]))]
    fn table_rows(table: QuantizedTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self>;
}

impl<B: Blocks, C: CheckpointStrategy> Blocks for Autodiff<B, C> {
    fn blocks(bytes: IntTensor<Self>, format: BlockFormat, dims: Vec<usize>) -> QuantizedTensor<Self> {
        B::blocks(bytes, format, dims)
    }

    fn matmul_blocks(lhs: FloatTensor<Self>, rhs: QuantizedTensor<Self>) -> FloatTensor<Self> {
        let inputs = [lhs.node()];
        let output = B::matmul_unpacked(lhs.into_primitive(), rhs.clone());
        record::<B, C, _, 1>(BlocksStep, inputs, rhs, output)
    }

    fn matmul_unpacked(lhs: FloatTensor<Self>, rhs: QuantizedTensor<Self>) -> FloatTensor<Self> {
        Self::matmul_blocks(lhs, rhs)
    }

    fn table_rows(table: QuantizedTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::table_rows(table, ids))
    }
}

#[derive(Debug)]
struct BlocksStep;

impl<B: Blocks> Backward<B, 1> for BlocksStep {
    /// The right side, as it lies in memory.
    type State = QuantizedTensor<B>;

    /// `dL = dO Rᵀ`
    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let rhs = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad_output| {
            let last = grad_output.shape().num_dims() - 1;
            B::matmul_unpacked(grad_output, B::q_swap_dims(rhs, last - 1, last))
        });
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, Tolerance};

    use super::*;
    use crate::ops::matmul;
    use crate::ops::testing::{check, devices, random};
    use crate::quantization::BlockMatrix;

    #[test]
    fn the_dtype_says_the_format() {
        for format in BlockFormat::ALL {
            assert_eq!(block_format(block_dtype(format)), Some(format));
        }
        assert_eq!(block_format(DType::F32), None);
    }

    /// Random weights, as blocks and as the numbers that those stand for. So small that some scales are below f16's normal numbers.
    fn weights<const D: usize>(format: BlockFormat, dims: [usize; D], device: &Device) -> [Tensor<D>; 2] {
        let random = Tensor::<D>::random(dims, Distribution::Normal(0.0, 2e-3), device).into_data();
        let values = random.as_slice::<f32>().unwrap();
        let columns = dims[D - 1];
        let shape = [values.len() / columns, columns];
        let bytes = format.encode(values, shape).unwrap();
        let mut decoded = vec![0.0; values.len()];
        let matrix = BlockMatrix::new(format, shape, &bytes);
        for (row, values) in decoded.chunks_exact_mut(columns).enumerate() {
            matrix.decode_row(row, values);
        }
        [
            blocks(Bytes::from_bytes_vec(bytes), format, dims, device),
            Tensor::from_data(TensorData::new(decoded, dims), device),
        ]
    }

    /// - part: of the largest number, by which the two may differ
    fn assert_near<const D: usize>(found: Tensor<D>, expected: Tensor<D>, part: f32) {
        let largest = expected.clone().abs().max().into_scalar::<f32>();
        let tolerance = Tolerance::absolute(part * largest);
        found.into_data().assert_approx_eq::<f32>(&expected.into_data(), tolerance);
    }

    /// What a product's rounding allows: that of activations to 8 bits, or of sums in another order.
    fn rounding(device: &Device) -> f32 {
        if is_cpu(device) { 0.02 } else { 1e-5 }
    }

    #[test]
    fn a_layer_multiplies_with_blocks_as_with_numbers() {
        for device in devices() {
            for format in BlockFormat::ALL {
                for dims in [[1, 1], [40, 70], [33, 300]] {
                    let [blocks, numbers] = weights(format, dims, &device);
                    for rows in [1, 3, 5, 50] {
                        let x = random([rows, dims[1]], &device);
                        let found = matmul(x.clone(), blocks.clone().transpose());
                        assert_near(found, matmul(x, numbers.clone().transpose()), rounding(&device));
                    }
                }
            }
        }
    }

    /// Output and gradient, to rounding in another order.
    #[test]
    fn a_layer_that_trains_is_its_formula() {
        for device in devices().into_iter().map(Device::autodiff) {
            for format in BlockFormat::ALL {
                for [outputs, inputs] in [[1, 1], [16, 32], [40, 70], [33, 300], [300, 31], [530, 290]] {
                    let [blocks, numbers] = weights(format, [outputs, inputs], &device);
                    for rows in [1, 5, 50] {
                        check(
                            [random([rows, inputs], &device)],
                            |[x]| matmul(x, blocks.clone().transpose()),
                            |[x]| x.matmul(numbers.clone().transpose()),
                        );
                    }
                }
                let [blocks, numbers] = weights(format, [3, 32, 64], &device);
                check(
                    [random([3, 7, 64], &device)],
                    |[x]| matmul(x, blocks.clone().swap_dims(1, 2)),
                    |[x]| x.matmul(numbers.clone().swap_dims(1, 2)),
                );
            }
        }
    }

    #[test]
    fn what_needs_no_gradient_is_as_exact_on_the_tape() {
        for device in devices().into_iter().map(Device::autodiff) {
            let [blocks, _] = weights(BlockFormat::Q4, [40, 70], &device);
            let x = random::<2>([9, 70], &device);
            let plain = matmul(x.clone(), blocks.clone().transpose());
            let tracked = matmul(x.require_grad(), blocks.transpose());
            plain.into_data().assert_eq(&tracked.into_data(), true);
        }
    }

    #[test]
    fn several_matrices_are_multiplied_one_by_one_or_as_one() {
        for device in devices() {
            for format in BlockFormat::ALL {
                let [blocks, numbers] = weights(format, [3, 32, 64], &device);
                for rows in [7, 12] {
                    let x = random([3, rows, 64], &device);
                    let found = matmul(x.clone(), blocks.clone().swap_dims(1, 2));
                    let expected = matmul(x.clone(), numbers.clone().swap_dims(1, 2));
                    assert_near(found, expected, rounding(&device));
                    let x = x.slice(s![0..1]).reshape([rows, 64]);
                    let found = matmul(x.clone(), blocks.clone().reshape([96, 64]).transpose());
                    let expected = matmul(x, numbers.clone().reshape([96, 64]).transpose());
                    assert_near(found, expected, rounding(&device));
                }
            }
        }
    }

    #[test]
    fn a_table_gives_its_rows() {
        for device in devices() {
            for format in BlockFormat::ALL {
                let [blocks, numbers] = weights(format, [20, 48], &device);
                let ids = Tensor::<1, Int>::from_data([19, 0, 7, 7], &device);
                let found = table_rows(blocks, ids.clone());
                // A GPU may round a product and a sum as one.
                let part = if is_cpu(&device) { 0.0 } else { 1e-6 };
                assert_near(found, numbers.select(0, ids), part);
            }
        }
    }
}
