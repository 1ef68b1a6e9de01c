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
use crate::ops::blocks::{Blocks, block_dtype, block_format, matrices, product_shape};
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
        let shape = product_shape(lhs.layout().shape(), rhs.tensor().layout().shape());
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
        let shape = product_shape(lhs.layout().shape(), rhs.tensor().layout().shape());
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
}

fn format_of(tensor: &FlexQTensor) -> BlockFormat {
    block_format(tensor.dtype()).expect("a tensor of blocks")
}
