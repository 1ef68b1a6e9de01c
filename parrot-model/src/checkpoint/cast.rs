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

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(dtype: Dtype, bytes: &[u8]) -> StoredTensor<'_> {
        let shape: &'static [usize] = Box::leak(vec![bytes.len() * 8 / dtype.bitsize()].into_boxed_slice());
        StoredTensor { dtype, shape, bytes }
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn a_cast_to_the_stored_dtype_changes_no_bit() {
        for (stored_as, dtype) in [(Dtype::F16, FloatDType::F16), (Dtype::BF16, FloatDType::BF16)] {
            // Every bit pattern, subnormals and −0 included, but for infinities and NaN; at an odd address.
            let is_finite = |bits: &u16| match dtype {
                FloatDType::F16 => f16::from_bits(*bits).is_finite(),
                _ => bf16::from_bits(*bits).is_finite(),
            };
            let mut bytes = vec![0];
            bytes.extend((0..=u16::MAX).filter(is_finite).flat_map(u16::to_le_bytes));
            let data = cast(stored(stored_as, &bytes[1..]), dtype).unwrap();
            assert_eq!(data.as_bytes(), &bytes[1..]);
            let wide = cast(stored(stored_as, &bytes[1..]), FloatDType::F32).unwrap();
            let back = cast(stored(Dtype::F32, wide.as_bytes()), dtype).unwrap();
            assert_eq!(back.as_bytes(), &bytes[1..]);
        }
    }

    #[test]
    fn casts_round_to_nearest_even() {
        let bytes = floats(&[1.0, 1.0 + 2_f32.powi(-9), 1.0 + 3.0 * 2_f32.powi(-9), -65_504.0]);
        let data = cast(stored(Dtype::F32, &bytes), FloatDType::BF16).unwrap();
        let expected = [1.0, 1.0, 1.0078125, -65_536.0].map(bf16::from_f32);
        assert_eq!(data.as_slice::<bf16>().unwrap(), expected);
        let data = cast(stored(Dtype::F32, &bytes[12..]), FloatDType::F16).unwrap();
        assert_eq!(data.as_slice::<f16>().unwrap(), [f16::MIN]);
    }

    #[test]
    fn what_cannot_be_held_is_refused() {
        let mut many = vec![1.0; 3 * CHUNK + 5];
        many[2 * CHUNK + 7] = f32::NAN;
        let large = bf16::from_f32(1e5).to_le_bytes();
        for (dtype, bytes, target, expected) in [
            (Dtype::F32, floats(&many), FloatDType::F32, "holds NaN"),
            (Dtype::F32, floats(&[f32::NEG_INFINITY]), FloatDType::BF16, "holds -inf"),
            (Dtype::F16, f16::NAN.to_le_bytes().to_vec(), FloatDType::F32, "holds NaN"),
            (Dtype::BF16, bf16::INFINITY.to_le_bytes().to_vec(), FloatDType::BF16, "holds inf"),
            (Dtype::BF16, large.to_vec(), FloatDType::F16, "holds 99840, which F16 cannot hold"),
            (Dtype::F32, floats(&[f32::MAX]), FloatDType::BF16, "which BF16 cannot hold"),
            (Dtype::I64, vec![0; 8], FloatDType::F32, "is stored as I64"),
            (Dtype::F32, floats(&[1.0]), FloatDType::F64, "cannot be read as F64"),
        ] {
            let error = cast(stored(dtype, &bytes), target).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
