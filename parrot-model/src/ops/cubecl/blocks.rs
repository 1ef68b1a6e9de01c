//! Weights in [blocks](crate::quantization) on Burn's GPU backends: kernels that read them as they lie.
//!
//! Burn has quantised tensors of its own, but none with a minimum, which makes q4 as precise as it is, and none that lies as a file
//! of blocks does: these are uploaded as they are stored. Here, as on the CPU, it sees their shape alone.
//!
//! A product of a few rows, a step of decoding, unpacks blocks in registers. One of many rows unpacks the
//! matrix for the time of the product, which is then Burn's: its kernels are the ones that use matrix units. No other copy of the
//! weights is made, and activations are not rounded.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_elem_type;
use burn::backend::ops::FloatTensorOps;
use burn::backend::quantization::{QParamTensor, QParams};
use burn::cubecl::prelude::*;
use burn::cubecl::{self, calculate_cube_count_elemwise};
use burn::prelude::Shape;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use crate::ops::FEW_ROWS;
use crate::ops::blocks::{Blocks, block_dtype, block_format, matrices, product_shape};
use crate::quantization::{BLOCK, BlockFormat, PANEL};

/// Rows that share what is unpacked; the next ones read the weights once more. From how many rows on it is faster to unpack the
/// whole matrix has been measured on no GPU: it is [`FEW_ROWS`], as on the CPU.
const GROUP: usize = 8;
/// Units that share the blocks of a panel's row.
const SLICES: usize = 8;

impl Blocks for CubeBackend {
    fn blocks(bytes: CubeTensor, format: BlockFormat, dims: Vec<usize>) -> CubeTensor {
        // Burn's reshape asks for a scale and leaves it alone.
        let scales = QParamTensor {
            offset_start: 0,
            offset_end: size_of::<f32>(),
            metadata: (*bytes.meta).clone(),
            dtype: DType::F32,
        };
        let shape = Shape::from(dims);
        let mut tensor =
            CubeTensor::new_contiguous(bytes.client, bytes.device, shape, bytes.handle, block_dtype(format));
        tensor.qparams = Some(QParams { scales, global: None });
        tensor
    }

    fn matmul_blocks(lhs: CubeTensor, rhs: CubeTensor) -> CubeTensor {
        let shape = product_shape(&lhs.shape(), &rhs.shape());
        let rows = shape[shape.num_dims() - 2];
        let weights = Weights::of(&rhs);
        if weights.is_transposed && (1..=FEW_ROWS).contains(&rows) {
            weights.product_of_few_rows(into_contiguous(lhs), rows, shape)
        } else {
            Self::matmul_unpacked(lhs, rhs)
        }
    }

    fn matmul_unpacked(lhs: CubeTensor, rhs: CubeTensor) -> CubeTensor {
        let weights = Weights::of(&rhs);
        let mut shape = rhs.shape();
        let last = shape.num_dims() - 1;
        if !weights.is_transposed {
            return Self::float_matmul(lhs.clone(), weights.numbers(None, shape, lhs.dtype));
        }
        shape.swap(last - 1, last);
        let numbers = weights.numbers(None, shape, lhs.dtype);
        Self::float_matmul(lhs, Self::float_swap_dims(numbers, last - 1, last))
    }

    fn table_rows(table: CubeTensor, ids: CubeTensor) -> CubeTensor {
        let weights = Weights::of(&table);
        let shape = Shape::new([ids.shape().num_elements(), weights.columns]);
        weights.numbers(Some(into_contiguous(ids)), shape, DType::F32)
    }
}

/// The right side of a product, or a table. Several matrices are whole panels, and lie as one that is higher.
struct Weights {
    /// The blocks, word by word.
    words: CubeTensor,
    is_q4: bool,
    /// How many matrices, and the rows and columns of each as stored.
    count: usize,
    rows: usize,
    columns: usize,
    /// Whether the tensor is the other way round.
    is_transposed: bool,
}

impl Weights {
    fn of(tensor: &CubeTensor) -> Self {
        let format = block_format(tensor.dtype).expect("a tensor of blocks");
        let (count, [inner, outer]) = matrices(&tensor.shape());
        let strides = tensor.meta.strides();
        let (is_transposed, [rows, columns]) = match strides[strides.len() - 2..] {
            [stride, 1] if stride == outer => (false, [inner, outer]),
            [1, stride] if stride == inner => (true, [outer, inner]),
            _ => panic!("blocks are multiplied with as they lie, or transposed"),
        };
        let words = Shape::new([count * format.matrix_bytes([rows, columns]) / size_of::<u32>()]);
        let (client, device) = (tensor.client.clone(), tensor.device.clone());
        let words = CubeTensor::new_contiguous(client, device, words, tensor.handle.clone(), DType::U32);
        Self { words, is_q4: format == BlockFormat::Q4, count, rows, columns, is_transposed }
    }

    fn empty(&self, shape: Shape, dtype: DType) -> CubeTensor {
        let (client, device) = (self.words.client.clone(), self.words.device.clone());
        empty_device_contiguous_dtype(client, device, shape, dtype)
    }

    /// `lhs · weightsᵀ`.
    ///
    /// - rows: of each matrix of the left side
    /// - shape: of the output
    fn product_of_few_rows(self, lhs: CubeTensor, rows: usize, shape: Shape) -> CubeTensor {
        let output = self.empty(shape, lhs.dtype);
        let group = rows.min(GROUP);
        let cubes = [self.rows.div_ceil(PANEL), rows.div_ceil(group), self.count];
        let [panels, groups, count] = cubes.map(|cubes| cubes as u32);
        let dtype = dtype_to_elem_type(lhs.dtype);
        few_rows::launch(
            &output.client,
            CubeCount::Static(panels, groups, count),
            CubeDim::new_2d(PANEL as u32, SLICES as u32),
            lhs.into_buffer_arg(),
            self.words.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            rows,
            self.rows,
            self.columns,
            group,
            self.is_q4,
            dtype,
        );
        output
    }

    /// The numbers that the blocks stand for.
    ///
    /// - ids: the rows that are wanted; else all of them
    /// - shape: of the output
    fn numbers(self, ids: Option<CubeTensor>, shape: Shape, dtype: DType) -> CubeTensor {
        let output = self.empty(shape, dtype);
        let elements = output.meta.num_elements();
        if elements == 0 {
            return output;
        }
        let cube_dim = CubeDim::new(&output.client, elements);
        let cubes = calculate_cube_count_elemwise(&output.client, elements, cube_dim);
        let has_ids = ids.is_some();
        // A kernel's arguments are all there: without ids, words that it does not read.
        let ids = ids.unwrap_or_else(|| self.words.clone());
        let dtypes = [dtype, ids.dtype].map(dtype_to_elem_type);
        numbers::launch(
            &output.client,
            cubes,
            cube_dim,
            self.words.into_buffer_arg(),
            ids.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            self.columns,
            has_ids,
            self.is_q4,
            dtypes,
        );
        output
    }
}

/// Products of a few rows with a panel of 16: a cube. A unit has one row of the panel and every eighth block of it.
#[cube(launch)]
fn few_rows<F: Float>(
    x: &[F],
    words: &[u32],
    output: &mut [F],
    rows: usize,
    outputs: usize,
    columns: usize,
    #[comptime] group: usize,
    #[comptime] is_q4: bool,
    #[define(F)] _dtype: ElemType,
) {
    let (row, slice) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let matrix = CUBE_POS_Z as usize;
    let panel = matrix * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let first = CUBE_POS_Y as usize * group;
    let blocks = columns.div_ceil(BLOCK);
    let mut sums = Array::<f32>::new(group);
    #[unroll]
    for i in 0..group {
        sums[i] = 0.0f32;
    }
    let mut block = slice;
    while block < blocks {
        let at = (panel * blocks + block) * comptime!(block_words(is_q4));
        for column in 0..BLOCK {
            let weight = number(words, at, row, column, is_q4);
            // What a row's last block has beyond its end is not 0 in q4.
            let column = block * BLOCK + column;
            let weight = select(column < columns, weight, 0.0f32);
            let column = min(column, columns - 1);
            #[unroll]
            for i in 0..group {
                // What is beyond the last row is not written.
                let x_row = matrix * rows + min(first + i, rows - 1);
                sums[i] += weight * f32::cast_from(x[x_row * columns + column]);
            }
        }
        block += SLICES;
    }
    let mut shared = Shared::<[f32]>::new_slice(group * PANEL * SLICES);
    #[unroll]
    for i in 0..group {
        shared[(i * SLICES + slice) * PANEL + row] = sums[i];
    }
    sync_cube();
    let output_column = CUBE_POS_X as usize * PANEL + row;
    if slice == 0 && output_column < outputs {
        #[unroll]
        for i in 0..group {
            let mut sum = 0.0f32;
            for slice in 0..SLICES {
                sum += shared[(i * SLICES + slice) * PANEL + row];
            }
            if first + i < rows {
                output[(matrix * rows + first + i) * outputs + output_column] = F::cast_from(sum);
            }
        }
    }
}

/// Rows of a table, or all of it: a unit for each number.
#[cube(launch)]
fn numbers<F: Float, I: Int>(
    words: &[u32],
    ids: &[I],
    output: &mut [F],
    columns: usize,
    #[comptime] has_ids: bool,
    #[comptime] is_q4: bool,
    #[define(F, I)] _dtypes: [ElemType; 2],
) {
    if ABSOLUTE_POS >= output.len() {
        terminate!();
    }
    let column = ABSOLUTE_POS % columns;
    let mut row = ABSOLUTE_POS / columns;
    if has_ids {
        row = usize::cast_from(ids[row]);
    }
    let block = row / PANEL * columns.div_ceil(BLOCK) + column / BLOCK;
    let number = number(words, block * comptime!(block_words(is_q4)), row % PANEL, column % BLOCK, is_q4);
    output[ABSOLUTE_POS] = F::cast_from(number);
}

/// Words of a block of 16 rows.
fn block_words(is_q4: bool) -> usize {
    let format = if is_q4 { BlockFormat::Q4 } else { BlockFormat::Q8 };
    format.block_bytes() / size_of::<u32>()
}

/// A weight of a block; [`quantization`](crate::quantization) has the layout.
///
/// - at: the block's first word
/// - row: within the panel
/// - column: within the block
#[cube]
fn number(words: &[u32], at: usize, row: usize, column: usize, #[comptime] is_q4: bool) -> f32 {
    let scale = half(words, at, row);
    if is_q4 {
        let minimum = half(words, at + PANEL / 2, row);
        let word = words[at + PANEL + column % 16 / 4 * PANEL + row];
        let shift = 8 * (column % 4) + 4 * (column / 16);
        scale * f32::cast_from((word >> shift as u32) & 15u32) + minimum
    } else {
        let word = words[at + PANEL / 2 + column / 4 * PANEL + row];
        let code = (word >> (8 * (column % 4)) as u32) & 255u32;
        scale * (f32::cast_from(code) - 128.0f32)
    }
}

/// A number of f16, two of which are a word. By hand: not every device computes in f16, and some take what is below its normal
/// numbers for zero.
#[cube]
fn half(words: &[u32], at: usize, index: usize) -> f32 {
    let bits = words[at + index / 2] >> (16 * (index % 2)) as u32;
    let (exponent, mantissa) = ((bits >> 10u32) & 31u32, bits & 1023u32);
    let normal = f32::reinterpret(((exponent + 112u32) << 23u32) | (mantissa << 13u32));
    // 2⁻²⁴
    let subnormal = f32::cast_from(mantissa) * 5.960_464_5e-8f32;
    let magnitude = select(exponent == 0u32, subnormal, normal);
    select(bits & 0x8000u32 == 0u32, magnitude, -magnitude)
}
