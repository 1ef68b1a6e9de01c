//! Tensors of a GGUF → what a network holds, row by row on all threads.
//!
//! | stored | held in f32, f16, bf16 | held in q8 | held in q4 |
//! |---|---|---|---|
//! | q8_0 | decoded | the same blocks | quantised anew |
//! | q4_0, q4_1 | decoded | quantised anew | the same blocks |
//! | q4_K, q6_K | decoded | quantised anew | quantised anew |
//!
//! “The same blocks” are packed differently, but stand for the same numbers to the last bit.

use burn::tensor::{Bytes, DType, Element, FloatDType, TensorData};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use super::stored_tensor::{GgufCoding, StoredTensor};
use crate::allocator::zeroed_weights;
use crate::gguf::{GgmlType, half};
use crate::quantization::{BLOCK, BlockFormat, PANEL};

/// A tensor as rows.
struct Rows<'a> {
    coding: GgufCoding,
    rows: usize,
    columns: usize,
    row_bytes: usize,
    bytes: &'a [u8],
}

impl<'a> Rows<'a> {
    fn new(tensor: StoredTensor<'a>, coding: GgufCoding) -> Self {
        let [rows, columns] = match *tensor.shape {
            // A bias whose numbers change places as rows do.
            [rows] if coding.paired_heads.is_some() => [rows, 1],
            [ref rows @ .., columns] => [rows.iter().product(), columns],
            [] => [1, 1],
        };
        let row_bytes = tensor.bytes.len().checked_div(rows).unwrap_or(0);
        Self { coding, rows, columns, row_bytes, bytes: tensor.bytes }
    }

    /// The bytes of what is row `row` in a network.
    fn get(&self, row: usize) -> &'a [u8] {
        let stored = match self.coding.paired_heads {
            None => row,
            Some(heads) => {
                let size = self.rows / heads;
                let (head, within) = (row / size, row % size);
                let (upper, at) = (within / (size / 2), within % (size / 2));
                head * size + 2 * at + upper
            }
        };
        &self.bytes[stored * self.row_bytes..][..self.row_bytes]
    }

    /// Its numbers.
    ///
    /// # Errors
    ///
    /// In words, one that is NaN or infinite.
    fn decode(&self, row: usize, output: &mut [f32]) -> Result<(), String> {
        self.coding.ggml_type.decode(self.get(row), output);
        match output.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(format!("holds {value}")),
            None => Ok(()),
        }
    }
}

/// Reads a tensor as `dtype`.
///
/// # Errors
///
/// As [`cast`](super::cast::cast).
pub(super) fn cast(
    tensor: StoredTensor<'_>,
    coding: GgufCoding,
    dtype: FloatDType,
) -> Result<TensorData, String> {
    let rows = Rows::new(tensor, coding);
    let bytes = match dtype {
        FloatDType::F32 => convert(&rows, dtype, |from, to: &mut [f32]| {
            to.copy_from_slice(from);
            None
        }),
        FloatDType::F16 => convert(&rows, dtype, |from, to: &mut [f16]| {
            to.convert_from_f32_slice(from);
            to.iter().position(|value| !value.is_finite())
        }),
        FloatDType::BF16 => convert(&rows, dtype, |from, to: &mut [bf16]| {
            to.convert_from_f32_slice(from);
            to.iter().position(|value| !value.is_finite())
        }),
        FloatDType::F64 | FloatDType::Flex32 => Err(format!("cannot be read as {dtype:?}")),
    };
    Ok(TensorData::from_bytes(bytes?, tensor.shape.to_vec(), DType::from(dtype)))
}

/// - round: converts a row, and says which number of it does not fit
fn convert<T: Element>(
    rows: &Rows<'_>,
    dtype: FloatDType,
    round: impl Fn(&[f32], &mut [T]) -> Option<usize> + Sync,
) -> Result<Bytes, String> {
    let mut values = zeroed_weights::<T>(rows.rows * rows.columns);
    let problem = values.par_chunks_mut(rows.columns.max(1)).enumerate().find_map_first(|(row, output)| {
        let mut floats = vec![0.0; rows.columns];
        if let Err(reason) = rows.decode(row, &mut floats) {
            return Some(reason);
        }
        let misfit = round(&floats, output)?;
        Some(format!("holds {}, which {dtype:?} cannot hold", floats[misfit]))
    });
    match problem {
        Some(problem) => Err(problem),
        None => Ok(TensorData::new(values, [rows.rows * rows.columns]).into_bytes()),
    }
}

/// Reads a matrix as blocks.
///
/// # Errors
///
/// As [`quantize`](super::quantize::quantize).
pub(super) fn quantize(
    tensor: StoredTensor<'_>,
    coding: GgufCoding,
    format: BlockFormat,
) -> Result<Vec<u8>, String> {
    let rows = Rows::new(tensor, coding);
    let mut bytes = vec![0; format.matrix_bytes([rows.rows, rows.columns])];
    let panel_bytes = format.panel_bytes(rows.columns).max(1);
    let problem = bytes.par_chunks_exact_mut(panel_bytes).enumerate().find_map_first(|(index, panel)| {
        let these = index * PANEL..rows.rows.min((index + 1) * PANEL);
        let is_same = match format {
            BlockFormat::Q8 => coding.ggml_type == GgmlType::Q8_0,
            BlockFormat::Q4 => matches!(coding.ggml_type, GgmlType::Q4_0 | GgmlType::Q4_1),
        };
        if is_same {
            return these.enumerate().find_map(|(at, row)| repack(&rows, row, format, at, panel).err());
        }
        let mut values = vec![0.0; these.len() * rows.columns];
        let mut filled = values.chunks_mut(rows.columns.max(1)).zip(these);
        let problem = filled.find_map(|(values, row)| rows.decode(row, values).err());
        problem.or_else(|| format.encode_panel(&values, rows.columns, panel).err())
    });
    problem.map_or(Ok(bytes), Err)
}

/// One row's blocks, as row `at` of a panel.
fn repack(
    rows: &Rows<'_>,
    row: usize,
    format: BlockFormat,
    at: usize,
    panel: &mut [u8],
) -> Result<(), String> {
    let ggml_type = rows.coding.ggml_type;
    let stored = rows.get(row).chunks_exact(ggml_type.block().1);
    for (stored, block) in stored.zip(panel.chunks_exact_mut(format.block_bytes())) {
        let scale = half(stored);
        let minimum = match ggml_type {
            GgmlType::Q4_0 => f16::from_f32(-8.0 * scale.to_f32()),
            GgmlType::Q4_1 => half(&stored[2..]),
            _ => f16::ZERO,
        };
        if !scale.is_finite() || !minimum.is_finite() {
            return Err(format!("has a block with the scale {scale} and the minimum {minimum}"));
        }
        let codes: [u8; BLOCK] = match format {
            // Signed in a GGUF.
            BlockFormat::Q8 => std::array::from_fn(|k| stored[2 + k] ^ 0x80),
            BlockFormat::Q4 => {
                let codes = &stored[stored.len() - BLOCK / 2..];
                std::array::from_fn(|k| codes[k % (BLOCK / 2)] >> (4 * (k / (BLOCK / 2))) & 15)
            }
        };
        format.pack(scale, minimum, codes, at, block);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::Dtype;

    use super::*;
    use crate::quantization::BlockMatrix;
    use crate::quantization::testing::normal;

    /// Two panels and a half of rows of 64 numbers: any codes, scales (and minima) that are numbers.
    fn stored(ggml_type: GgmlType) -> Vec<u8> {
        let (elements, size) = ggml_type.block();
        let blocks = 40 * 64 / elements;
        let mut bytes: Vec<u8> =
            normal(blocks * size, 3).iter().map(|value| (value * 80.0) as i8 as u8).collect();
        for (block, scale) in bytes.chunks_exact_mut(size).zip(normal(2 * blocks, 5).chunks(2)) {
            for (at, number) in scale.iter().enumerate().take(if ggml_type == GgmlType::Q4_1 { 2 } else { 1 })
            {
                block[2 * at..2 * at + 2].copy_from_slice(&f16::from_f32(number / 50.0).to_le_bytes());
            }
        }
        bytes
    }

    fn tensor<'a>(shape: &'a [usize], bytes: &'a [u8]) -> StoredTensor<'a> {
        StoredTensor::new(Dtype::U8, shape, bytes)
    }

    #[test]
    fn blocks_that_are_alike_stand_for_the_same_numbers_to_the_last_bit() {
        for (ggml_type, format) in [
            (GgmlType::Q8_0, BlockFormat::Q8),
            (GgmlType::Q4_0, BlockFormat::Q4),
            (GgmlType::Q4_1, BlockFormat::Q4),
        ] {
            let bytes = stored(ggml_type);
            for paired_heads in [None, Some(5)] {
                let coding = GgufCoding { ggml_type, paired_heads };
                let tensor = tensor(&[40, 64], &bytes);
                let wide = cast(tensor, coding, FloatDType::F32).unwrap();
                let wide = wide.as_slice::<f32>().unwrap().chunks(64);
                let blocks = quantize(tensor, coding, format).unwrap();
                let matrix = BlockMatrix::new(format, [40, 64], &blocks);
                let mut row = [0.0; 64];
                for (at, wide) in wide.enumerate() {
                    matrix.decode_row(at, &mut row);
                    assert_eq!(row, wide, "{ggml_type:?} {at}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_alike_is_quantised_anew() {
        let bytes = stored(GgmlType::Q8_0);
        let coding = GgufCoding { ggml_type: GgmlType::Q8_0, paired_heads: None };
        let tensor = tensor(&[40, 64], &bytes);
        let wide = cast(tensor, coding, FloatDType::F32).unwrap();
        let expected = BlockFormat::Q4.encode(wide.as_slice().unwrap(), [40, 64]).unwrap();
        assert_eq!(quantize(tensor, coding, BlockFormat::Q4).unwrap(), expected);
    }

    #[test]
    fn rows_that_a_rotation_pairs_are_set_half_a_head_apart() {
        let numbers: Vec<u8> = (0..12).flat_map(|value| (value as f32).to_le_bytes()).collect();
        let coding = GgufCoding { ggml_type: GgmlType::F32, paired_heads: Some(2) };
        let biases = cast(tensor(&[12], &numbers), coding, FloatDType::F16).unwrap();
        let expected = [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11].map(|value| f16::from_f32(value as f32));
        assert_eq!(biases.as_slice::<f16>().unwrap(), expected);
    }

    #[test]
    fn what_no_network_can_hold_is_refused() {
        let mut bytes = stored(GgmlType::Q8_0);
        bytes[34..36].copy_from_slice(&f16::NAN.to_le_bytes());
        let coding = GgufCoding { ggml_type: GgmlType::Q8_0, paired_heads: None };
        for format in BlockFormat::ALL {
            let error = quantize(tensor(&[40, 64], &bytes), coding, format).unwrap_err();
            assert!(error.contains("NaN"), "{error}");
        }
        assert_eq!(cast(tensor(&[40, 64], &bytes), coding, FloatDType::BF16).unwrap_err(), "holds NaN");
        bytes[34..36].copy_from_slice(&f16::MAX.to_le_bytes());
        let error = cast(tensor(&[40, 64], &bytes), coding, FloatDType::F16).unwrap_err();
        assert!(error.starts_with("holds ") && error.ends_with(", which F16 cannot hold"), "{error}");
    }
}
