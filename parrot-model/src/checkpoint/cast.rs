//! Stored elements → the dtype that is asked for, on all threads.
//!
//! Elements that are stored in that dtype are used where they lie, or copied. All others pass through f32, which holds every
//! value of f16 and bf16 exactly. NaN and infinities are refused: with one of them a network gives nonsense for an answer, and
//! no error.

use burn::tensor::{Bytes, DType, Element, FloatDType, TensorData};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::Dtype;

use super::cast_gguf;
use super::stored_tensor::StoredTensor;
use crate::allocator::zeroed_weights;

/// Elements converted at once; the two buffers stay in the first-level cache.
pub(super) const CAST_CHUNK: usize = 2048;
/// Chunks that a thread takes at a time.
const SHARE: usize = 64 * CAST_CHUNK;

/// Reads a tensor as `dtype`.
///
/// # Errors
///
/// In words, what is wrong with the first elements that are: not floats, NaN, infinite, or too large for `dtype`.
pub(super) fn cast(tensor: StoredTensor<'_>, dtype: FloatDType) -> Result<TensorData, String> {
    if let Some(coding) = tensor.coding {
        return cast_gguf::cast(tensor, coding, dtype);
    }
    let stored = tensor.dtype;
    let element = element_size(stored)?;
    // A tensor that is used where it lies is read here for the first time, at the rate of memory where the system has the file.
    if stored_dtype(dtype.into()) == Ok(stored)
        && tensor.bytes.par_chunks(SHARE * element).all(|share| is_finite(stored, share))
        && let Some(bytes) = tensor.in_place()
    {
        return Ok(TensorData::from_bytes(bytes, tensor.shape.to_vec(), DType::from(dtype)));
    }
    let bytes = match dtype {
        FloatDType::F32 => convert(tensor, element, |from, to| {
            read(stored, from, to);
            Ok(())
        }),
        FloatDType::F16 => narrow(tensor, element, Dtype::F16, |from, to| {
            to.reinterpret_cast_mut::<f16>().convert_from_f32_slice(from);
            to.iter().position(|bits| !f16::from_bits(*bits).is_finite())
        }),
        FloatDType::BF16 => narrow(tensor, element, Dtype::BF16, |from, to| {
            to.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(from);
            to.iter().position(|bits| !bf16::from_bits(*bits).is_finite())
        }),
        FloatDType::F64 | FloatDType::Flex32 => Err(format!("cannot be read as {dtype:?}")),
    };
    Ok(TensorData::from_bytes(bytes?, tensor.shape.to_vec(), DType::from(dtype)))
}

/// Bytes of a stored element.
///
/// # Errors
///
/// In words, a dtype that cannot be read.
pub(super) fn element_size(stored: Dtype) -> Result<usize, String> {
    match stored {
        Dtype::F32 => Ok(4),
        Dtype::F16 | Dtype::BF16 => Ok(2),
        other => Err(format!("is stored as {other:?}; f32, f16 and bf16 are supported")),
    }
}

/// Whether all of these stored elements are numbers. Without a branch for each: the compiler looks at several at a time.
fn is_finite(stored: Dtype, bytes: &[u8]) -> bool {
    // All exponent bits are set in what is not finite.
    const F32: u32 = 0x7f80_0000;
    let exponent = if stored == Dtype::F16 { 0x7c00 } else { 0x7f80 };
    match stored {
        Dtype::F32 => {
            let elements = bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
            elements.fold(true, |all, bits| all & (bits & F32 != F32))
        }
        _ => {
            let elements = bytes.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
            elements.fold(true, |all, bits| all & (bits & exponent != exponent))
        }
    }
}

/// Elements in 16 bits.
///
/// - round: converts floats, and says which of them does not fit
fn narrow(
    tensor: StoredTensor<'_>,
    element: usize,
    dtype: Dtype,
    round: impl Fn(&[f32], &mut [u16]) -> Option<usize> + Sync,
) -> Result<Bytes, String> {
    let stored = tensor.dtype;
    convert(tensor, element, |from, to: &mut [u16]| {
        if stored == dtype {
            read_bits(from, to);
            return Ok(());
        }
        let mut floats = [0.0; CAST_CHUNK];
        let floats = &mut floats[..to.len()];
        read(stored, from, floats);
        match round(floats, to) {
            Some(i) => Err(format!("holds {}, which {dtype:?} cannot hold", floats[i])),
            None => Ok(()),
        }
    })
}

/// Makes a vector of what `fill` makes of each chunk's bytes, all of them numbers.
fn convert<T: Element>(
    tensor: StoredTensor<'_>,
    element: usize,
    fill: impl Fn(&[u8], &mut [T]) -> Result<(), String> + Sync,
) -> Result<Bytes, String> {
    let (stored, count) = (tensor.dtype, tensor.shape.iter().product());
    let mut values = zeroed_weights::<T>(count);
    let share = |(from, to): (&[u8], &mut [T])| {
        let chunks = from.chunks(CAST_CHUNK * element).zip(to.chunks_mut(CAST_CHUNK));
        chunks
            .map(|(from, to)| check_finite(stored, from).and_then(|()| fill(from, to)))
            .find_map(Result::err)
    };
    let shares = tensor.bytes.par_chunks(SHARE * element).zip(values.par_chunks_mut(SHARE));
    match shares.map(share).find_map_first(|problem| problem) {
        Some(problem) => Err(problem),
        None => Ok(TensorData::new(values, [count]).into_bytes()),
    }
}

/// Reads at most [`CAST_CHUNK`] elements, as f32.
pub(super) fn read(stored: Dtype, from: &[u8], to: &mut [f32]) {
    match stored {
        Dtype::F32 => {
            for (to, bytes) in to.iter_mut().zip(from.as_chunks().0) {
                *to = f32::from_le_bytes(*bytes);
            }
        }
        Dtype::F16 => {
            let mut bits = [0; CAST_CHUNK];
            let bits = &mut bits[..to.len()];
            read_bits(from, bits);
            bits.reinterpret_cast::<f16>().convert_to_f32_slice(to);
        }
        _ => {
            for (to, bytes) in to.iter_mut().zip(from.as_chunks().0) {
                *to = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
            }
        }
    }
}

fn read_bits(from: &[u8], to: &mut [u16]) {
    for (to, bytes) in to.iter_mut().zip(from.as_chunks().0) {
        *to = u16::from_le_bytes(*bytes);
    }
}

/// Refuses a chunk with an element that is no number, naming the first.
fn check_finite(stored: Dtype, chunk: &[u8]) -> Result<(), String> {
    if is_finite(stored, chunk) {
        return Ok(());
    }
    let mut values = vec![0.0; chunk.len() * 8 / stored.bitsize()];
    read(stored, chunk, &mut values);
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(format!("holds {value}")),
        None => Ok(()),
    }
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
        StoredTensor::new(dtype, shape, bytes)
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
        let mut many = vec![1.0; 3 * SHARE + 5];
        many[2 * SHARE + CAST_CHUNK + 7] = f32::NAN;
        many[3 * SHARE + 1] = f32::INFINITY;
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
