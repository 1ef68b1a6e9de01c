//! Weights in [blocks](crate::quantization) as tensors.
//!
//! Such a tensor has a quantised dtype and the shape of the matrix that it stands for, `[out, in]`, or of several; its bytes
//! are the blocks. It can be transposed and reshaped, as a layer's weight is, and used, transposed, as the right side of
//! [`matmul`](super::matmul()); [`table_rows`] reads rows of a table. Nothing else works on it. Only the CPU makes such
//! tensors.
//!
//! They do not learn, but what they are multiplied with may: `grad_input = grad_output · W`, of exactly the numbers that the
//! blocks stand for. Inference rounds the activations of a product to 8 bits. On a device with autodiff none are rounded,
//! whether a gradient is wanted or not:
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
use crate::quantization::BlockFormat;

/// One scale for all, as Burn sees it, so that it transposes and reshapes without looking at blocks of its own.
fn block_scheme(value: QuantValue) -> QuantScheme {
    QuantScheme::default().per_tensor(ScaleDtype::F32).with_value(value).with_store(QuantStore::Native)
}

/// The dtype of a tensor of blocks.
pub(crate) fn block_dtype(format: BlockFormat) -> DType {
    let value = match format {
        BlockFormat::Q8 => QuantValue::Q8S,
        BlockFormat::Q4 => QuantValue::Q4F,
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
/// If there are more or fewer bytes than `dims` say, or the device is not the CPU.
pub(crate) fn blocks<const D: usize>(
    bytes: Bytes,
    format: BlockFormat,
    dims: [usize; D],
    device: &Device,
) -> Tensor<D> {
    let (matrices, [rows, columns]) = matrices(&dims);
    let expected = matrices * format.matrix_bytes([rows, columns]);
    assert_eq!(bytes.len(), expected, "the bytes of {dims:?} in {}", format.name());
    let data = TensorData::from_bytes(bytes, [expected], DType::U8);
    let bytes = Tensor::<1, Int>::from_data(data, (device, DType::U8));
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

/// Why the others need nothing: `device::weight_dtype` refuses blocks there.
const CPU_ALONE: &str = "only the CPU holds weights in blocks";

/// The operations on a backend.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "tuning")
)]
pub(super) trait Blocks: Backend {
    /// See [`blocks()`].
    #[fusion(default)]
    fn blocks(_bytes: IntTensor<Self>, _format: BlockFormat, _dims: Vec<usize>) -> QuantizedTensor<Self> {
        unreachable!("{CPU_ALONE}")
    }

    /// See [`matmul_blocks`].
    #[fusion(default)]
    fn matmul_blocks(_lhs: FloatTensor<Self>, _rhs: QuantizedTensor<Self>) -> FloatTensor<Self> {
        unreachable!("{CPU_ALONE}")
    }

    /// `lhs · rhs` without any rounding of the left side; the right side may be transposed or not.
    #[fusion(default)]
    fn matmul_unpacked(_lhs: FloatTensor<Self>, _rhs: QuantizedTensor<Self>) -> FloatTensor<Self> {
        unreachable!("{CPU_ALONE}")
    }

    /// See [`table_rows`].
    #[fusion(default)]
    fn table_rows(_table: QuantizedTensor<Self>, _ids: IntTensor<Self>) -> FloatTensor<Self> {
        unreachable!("{CPU_ALONE}")
    }
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
    use super::*;

    #[test]
    fn the_dtype_says_the_format() {
        for format in BlockFormat::ALL {
            assert_eq!(block_format(block_dtype(format)), Some(format));
        }
        assert_eq!(block_format(DType::F32), None);
    }
}
