//! Tensors whose bytes are blocks.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::{FlexQTensor, FlexTensor, Layout};
use burn::prelude::*;
use burn::tensor::DType;
use rayon::prelude::*;

use super::matmul::wide;
use super::unpacked_product::Side;
use super::{block_product, elements, matrix_at, readable, tensor, unpacked_product};
use crate::ops::blocks::{Blocks, block_dtype, block_format, matrices};
use crate::quantization::{BlockFormat, BlockMatrix};

impl Blocks for Flex {
    fn blocks(bytes: FlexTensor, format: BlockFormat, dims: Vec<usize>) -> FlexQTensor {
        let DType::QFloat(scheme) = block_dtype(format) else { unreachable!("the dtype of blocks") };
        // Burn reads neither the elements nor the scale unless it is asked for numbers, which nobody does.
        let bytes = FlexTensor::from_arc(bytes.data_arc(), Layout::contiguous(Shape::from(dims)), DType::I8);
        FlexQTensor::new(bytes, scheme, vec![1.0], None)
    }

    fn matmul_blocks(lhs: FlexTensor, rhs: FlexQTensor) -> FlexTensor {
        let weights = Weights::of(&rhs);
        assert_eq!(weights.side, Side::Transposed, "blocks are multiplied with transposed");
        let lhs = wide(lhs).to_contiguous();
        let shape = weights.output_shape(&lhs);
        let (x, count) = (elements(&lhs), weights.matrices.len());
        let x_each = x.len() / count.max(1);
        let output = match weights.matrices.as_slice() {
            [weight] => block_product::product(x, *weight),
            several => {
                let lhs = x.chunks(x_each.max(1));
                lhs.zip(several).flat_map(|(x, weight)| block_product::product(x, *weight)).collect()
            }
        };
        tensor(output, shape)
    }

    fn matmul_unpacked(lhs: FlexTensor, rhs: FlexQTensor) -> FlexTensor {
        let weights = Weights::of(&rhs);
        let lhs = readable(wide(lhs));
        let shape = weights.output_shape(&lhs);
        let matrices: Vec<_> = match lhs.layout().num_dims() {
            2 => vec![matrix_at(&lhs, [])],
            _ => (0..weights.matrices.len()).map(|at| matrix_at(&lhs, [at])).collect(),
        };
        tensor(unpacked_product::product(&matrices, &weights.matrices, weights.side), shape)
    }

    fn table_rows(table: FlexQTensor, ids: FlexTensor) -> FlexTensor {
        let format = format_of(&table);
        let table = table.tensor();
        let [rows, columns] = table.layout().shape().dims();
        let table = BlockMatrix::new(format, [rows, columns], table.bytes());
        let ids = ids.to_contiguous().into_data().convert::<i64>();
        let ids = ids.as_slice::<i64>().expect("converted");
        let mut output = vec![0.0; ids.len() * columns];
        output.par_chunks_exact_mut(columns.max(1)).zip(ids).for_each(|(output, id)| {
            table.decode_row(*id as usize, output);
        });
        tensor(output, [ids.len(), columns])
    }
}

/// The right side of a product.
struct Weights<'a> {
    /// Each `[outputs, inputs]`.
    matrices: Vec<BlockMatrix<'a>>,
    side: Side,
}

impl<'a> Weights<'a> {
    fn of(rhs: &'a FlexQTensor) -> Self {
        let format = format_of(rhs);
        let rhs = rhs.tensor();
        let (count, [inner, columns]) = matrices(rhs.layout().shape());
        let strides = rhs.layout().strides();
        let (dims, side) = match strides[strides.len() - 2..] {
            [1, stride] if stride == inner as isize => ([columns, inner], Side::Transposed),
            [stride, 1] if stride == columns as isize => ([inner, columns], Side::AsStored),
            _ => panic!("blocks are multiplied with as they lie, or transposed"),
        };
        let bytes_each = format.matrix_bytes(dims);
        assert_eq!(rhs.bytes().len(), count * bytes_each, "the bytes of {count} matrices");
        let matrix =
            |at: usize| BlockMatrix::new(format, dims, &rhs.bytes()[at * bytes_each..][..bytes_each]);
        Self { matrices: (0..count).map(matrix).collect(), side }
    }

    /// The left side's shape with as many columns as the product has.
    fn output_shape(&self, lhs: &FlexTensor) -> Shape {
        let mut shape = lhs.layout().shape().clone();
        let last = shape.num_dims() - 1;
        let [outputs, inputs] = self.matrices.first().map_or([0, 0], BlockMatrix::dims);
        shape[last] = if self.side == Side::Transposed { outputs } else { inputs };
        shape
    }
}

fn format_of(tensor: &FlexQTensor) -> BlockFormat {
    block_format(tensor.dtype()).expect("a tensor of blocks")
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Bytes, Distribution, Tolerance};

    use super::*;
    use crate::ops::testing::{check, random};
    use crate::ops::{blocks, matmul, table_rows};

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
        let device = Device::flex();
        for format in BlockFormat::ALL {
            let [blocks, numbers] = weights(format, [40, 70], &device);
            for rows in [1, 5, 50] {
                let x = Tensor::<2>::random([rows, 70], Distribution::Normal(0.0, 1.0), &device);
                let found = matmul(x.clone(), blocks.clone().transpose());
                assert_near(found, matmul(x, numbers.clone().transpose()));
            }
        }
    }

    /// Output and gradient, to rounding in another order.
    #[test]
    fn a_layer_that_trains_is_its_formula() {
        let device = Device::flex().autodiff();
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

    #[test]
    fn what_needs_no_gradient_is_as_exact_on_the_tape() {
        let device = Device::flex().autodiff();
        let [blocks, _] = weights(BlockFormat::Q4, [40, 70], &device);
        let x = random::<2>([9, 70], &device);
        let plain = matmul(x.clone(), blocks.clone().transpose());
        let tracked = matmul(x.require_grad(), blocks.transpose());
        plain.into_data().assert_eq(&tracked.into_data(), true);
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
}
