//! Stored elements → blocks, on all threads.

use rayon::prelude::*;

use super::cast::{CAST_CHUNK, element_size, read};
use super::cast_gguf;
use super::stored_tensor::StoredTensor;
use crate::quantization::{BlockFormat, PANEL};

/// Reads a matrix, or several that are whole panels, as blocks.
///
/// # Errors
///
/// In words, what is wrong with the first elements that are: not floats, NaN, infinite, or too large for a block.
///
/// # Panics
///
/// If the tensor is no matrix.
pub(super) fn quantize(tensor: StoredTensor<'_>, format: BlockFormat) -> Result<Vec<u8>, String> {
    if let Some(coding) = tensor.coding {
        return cast_gguf::quantize(tensor, coding, format);
    }
    let [rows, columns] = *tensor.shape else { panic!("a matrix is quantised, not {:?}", tensor.shape) };
    let size = element_size(tensor.dtype)?;
    let mut bytes = vec![0; format.matrix_bytes([rows, columns])];
    let panel_bytes = format.panel_bytes(columns).max(1);
    let problem = bytes.par_chunks_exact_mut(panel_bytes).enumerate().find_map_first(|(index, panel)| {
        let first = index * PANEL;
        let mut values = vec![0.0; PANEL.min(rows - first) * columns];
        let stored = tensor.bytes[first * columns * size..].chunks(CAST_CHUNK * size);
        for (values, stored) in values.chunks_mut(CAST_CHUNK).zip(stored) {
            read(tensor.dtype, &stored[..values.len() * size], values);
        }
        format.encode_panel(&values, columns, panel).err()
    });
    problem.map_or(Ok(bytes), Err)
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use safetensors::tensor::Dtype;

    use super::*;
    use crate::quantization::testing::{encode, normal};

    #[test]
    fn blocks_are_those_of_the_stored_numbers() {
        let shape = [37, 50];
        let values: Vec<f32> =
            normal(37 * 50, 9).into_iter().map(|value| bf16::from_f32(value).to_f32()).collect();
        let wide: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let narrow: Vec<u8> = values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
        for format in BlockFormat::ALL {
            for (dtype, bytes) in [(Dtype::F32, &wide), (Dtype::BF16, &narrow)] {
                let stored = StoredTensor::new(dtype, &shape, bytes);
                assert_eq!(quantize(stored, format).unwrap(), encode(format, &values, 50));
            }
        }
    }

    #[test]
    fn what_cannot_be_quantised_is_refused() {
        let mut values = normal(20 * 40, 9);
        values[19 * 40 + 3] = f32::NAN;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let stored = |dtype, bytes| StoredTensor::new(dtype, &[20, 40], bytes);
        assert_eq!(quantize(stored(Dtype::F32, &bytes), BlockFormat::Q4).unwrap_err(), "holds NaN");
        let error = quantize(stored(Dtype::I8, &bytes[..800]), BlockFormat::Q4).unwrap_err();
        assert!(error.contains("is stored as I8"), "{error}");
    }
}
