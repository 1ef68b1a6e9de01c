//! Tensors whose bytes are blocks.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::{FlexQTensor, FlexTensor, Layout};
use burn::prelude::*;
use burn::tensor::DType;
use rayon::prelude::*;

use super::block_product::product;
use super::matmul::wide;
use super::{elements, tensor};
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
        let format = format_of(&rhs);
        let rhs = rhs.tensor();
        let (count, [inner, columns]) = matrices(rhs.layout().shape());
        let strides = rhs.layout().strides();
        assert_eq!(
            strides[strides.len() - 2..],
            [1, inner as isize],
            "blocks are multiplied with transposed"
        );
        let lhs = wide(lhs).to_contiguous();
        let mut shape = lhs.layout().shape().clone();
        let last = shape.num_dims() - 1;
        shape[last] = columns;
        let (x, bytes) = (elements(&lhs), rhs.bytes());
        let bytes_each = format.matrix_bytes([columns, inner]);
        assert_eq!(bytes.len(), count * bytes_each, "the bytes of {count} matrices");
        let x_each = x.len() / count.max(1);
        let one = |at: usize| {
            let weight = BlockMatrix::new(format, [columns, inner], &bytes[at * bytes_each..][..bytes_each]);
            product(&x[at * x_each..][..x_each], weight)
        };
        let output = if count == 1 { one(0) } else { (0..count).flat_map(one).collect() };
        tensor(output, shape)
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

fn format_of(tensor: &FlexQTensor) -> BlockFormat {
    block_format(tensor.dtype()).expect("a tensor of blocks")
}
