//! Weights in [blocks](crate::quantization) as tensors.
//!
//! Such a tensor has the shape of the matrix that it stands for, `[out, in]`, or of several, and a quantised dtype; what it
//! holds are the blocks' bytes. It can be transposed and reshaped, as a layer's weight is, and be the right side of
//! [`matmul`](super::matmul()), transposed; of a table, [`table_rows`] gives rows. Nothing else works on it. Only the CPU makes
//! one, and nothing differentiates through it.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor, QuantizedTensor};
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::prelude::*;
use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{Bytes, DType, TensorData};

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
///
/// # Panics
///
/// If a gradient is wanted of the left side.
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
    Cube: cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu"))
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
        assert!(!lhs.is_tracked(), "weights in blocks give no gradient to what they are multiplied with");
        Self::from_inner(B::matmul_blocks(lhs.into_primitive(), rhs))
    }

    fn table_rows(table: QuantizedTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::table_rows(table, ids))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Distribution, Tolerance};

    use super::*;
    use crate::ops::matmul;
    use crate::quantization::BlockMatrix;

    /// Random weights, as blocks and as the numbers that those stand for.
    fn weights<const D: usize>(format: BlockFormat, dims: [usize; D], device: &Device) -> [Tensor<D>; 2] {
        let random = Tensor::<D>::random(dims, Distribution::Normal(0.0, 1.0), device).into_data();
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

    fn assert_near<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
        // The activations are rounded to 8 bits.
        let scale = expected.clone().abs().max().into_scalar::<f32>();
        found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(0.02 * scale));
    }

    #[test]
    fn a_layer_multiplies_with_blocks_as_with_numbers() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            for format in BlockFormat::ALL {
                let [blocks, numbers] = weights(format, [40, 70], &device);
                for rows in [1, 5, 50] {
                    let x = Tensor::<2>::random([rows, 70], Distribution::Normal(0.0, 1.0), &device);
                    let found = matmul(x.clone(), blocks.clone().transpose());
                    assert_near(found, matmul(x, numbers.clone().transpose()));
                }
            }
        }
    }

    #[test]
    fn several_matrices_are_multiplied_one_by_one_or_as_one() {
        let device = Device::flex();
        let [blocks, numbers] = weights(BlockFormat::Q8, [3, 32, 64], &device);
        let x = Tensor::<3>::random([3, 7, 64], Distribution::Normal(0.0, 1.0), &device);
        let found = matmul(x.clone(), blocks.clone().swap_dims(1, 2));
        assert_near(found, matmul(x.clone(), numbers.clone().swap_dims(1, 2)));
        let x = x.slice(s![0..1]).reshape([7, 64]);
        let found = matmul(x.clone(), blocks.reshape([96, 64]).transpose());
        assert_near(found, matmul(x, numbers.reshape([96, 64]).transpose()));
    }

    #[test]
    fn a_table_gives_its_rows_exactly() {
        let device = Device::flex();
        for format in BlockFormat::ALL {
            let [blocks, numbers] = weights(format, [20, 48], &device);
            let ids = Tensor::<1, Int>::from_data([19, 0, 7, 7], &device);
            let found = table_rows(blocks, ids.clone());
            found.into_data().assert_eq(&numbers.select(0, ids).into_data(), true);
        }
    }

    #[test]
    fn the_dtype_says_the_format() {
        for format in BlockFormat::ALL {
            assert_eq!(block_format(block_dtype(format)), Some(format));
        }
        assert_eq!(block_format(DType::F32), None);
    }
}
