//! Stored elements → the dtype that is asked for, one chunk at a time.
//!
//! Every element passes through f32, which holds each value of f16 and bf16 exactly, so a cast to the
//! stored dtype changes no bit. NaN and infinities are refused: a network with one of them answers nonsense
//! without saying so.

use burn::tensor::{DType, Element, FloatDType, TensorData};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use safetensors::tensor::Dtype;

use super::weights::StoredTensor;

/// Elements converted at once; the two buffers stay in the first-level cache.
const CHUNK: usize = 2048;

/// Reads a tensor as `dtype`.
///
/// # Errors
///
/// In words, what is wrong with the elements: not floats, NaN, infinite, or too large for `dtype`.
pub(super) fn cast(tensor: StoredTensor<'_>, dtype: FloatDType) -> Result<TensorData, String> {
    let count: usize = tensor.shape.iter().product();
    match dtype {
        FloatDType::F32 => {
            let mut values = Vec::with_capacity(count);
            for_each_chunk(tensor, |chunk| {
                values.extend_from_slice(chunk);
                Ok(())
            })?;
            Ok(TensorData::new(values, tensor.shape.to_vec()))
        }
        FloatDType::F16 => {
            narrow(tensor, count, f16::ZERO, |from, to| to.convert_from_f32_slice(from), f16::is_finite)
        }
        FloatDType::BF16 => {
            narrow(tensor, count, bf16::ZERO, |from, to| to.convert_from_f32_slice(from), bf16::is_finite)
        }
        FloatDType::F64 | FloatDType::Flex32 => Err(format!("cannot be read as {dtype:?}")),
    }
}

fn narrow<T: Element>(
    tensor: StoredTensor<'_>,
    count: usize,
    zero: T,
    convert: impl Fn(&[f32], &mut [T]),
    is_finite: impl Fn(T) -> bool,
) -> Result<TensorData, String> {
    let mut values = vec![zero; count];
    let mut rest = values.as_mut_slice();
    for_each_chunk(tensor, |chunk| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(chunk.len());
        rest = after;
        convert(chunk, part);
        match part.iter().position(|value| !is_finite(*value)) {
            Some(i) => Err(format!("holds {}, which {:?} cannot hold", chunk[i], T::dtype())),
            None => Ok(()),
        }
    })?;
    Ok(TensorData::new(values, tensor.shape.to_vec()))
}

/// Hands out the elements as f32, all of them finite.
fn for_each_chunk(
    tensor: StoredTensor<'_>,
    mut f: impl FnMut(&[f32]) -> Result<(), String>,
) -> Result<(), String> {
    let element = match tensor.dtype {
        Dtype::F32 => 4,
        Dtype::F16 | Dtype::BF16 => 2,
        other => return Err(format!("is stored as {other:?}; f32, f16 and bf16 are supported")),
    };
    let mut floats = [0.0_f32; CHUNK];
    let mut bits = [0_u16; CHUNK];
    for bytes in tensor.bytes.chunks(CHUNK * element) {
        let count = bytes.len() / element;
        let (floats, bits) = (&mut floats[..count], &mut bits[..count]);
        if element == 4 {
            for (float, bytes) in floats.iter_mut().zip(bytes.as_chunks().0) {
                *float = f32::from_le_bytes(*bytes);
            }
        } else {
            for (bits, bytes) in bits.iter_mut().zip(bytes.as_chunks().0) {
                *bits = u16::from_le_bytes(*bytes);
            }
            match tensor.dtype {
                Dtype::F16 => bits.reinterpret_cast::<f16>().convert_to_f32_slice(floats),
                _ => bits.reinterpret_cast::<bf16>().convert_to_f32_slice(floats),
            }
        }
        if let Some(value) = floats.iter().find(|value| !value.is_finite()) {
            return Err(format!("holds {value}"));
        }
        f(floats)?;
    }
    Ok(())
}

/// The safetensors name of a dtype that [`cast`] produces.
pub(super) fn stored_dtype(dtype: DType) -> Result<Dtype, String> {
    match dtype {
        DType::F32 => Ok(Dtype::F32),
        DType::F16 => Ok(Dtype::F16),
        DType::BF16 => Ok(Dtype::BF16),
        other => Err(format!("is held as {other:?}; f32, f16 and bf16 can be stored")),
    }
}
