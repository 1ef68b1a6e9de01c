//! A tensor of the golden data, in one representation whatever its dtype.

use burn::prelude::*;
use burn::tensor::DType;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A golden tensor. Every dtype that occurs (floats up to f64, token ids, bools stored as u8) fits into
/// f64 without loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Length of each dimension; the last one varies fastest.
    pub shape: Vec<usize>,
    /// All elements.
    pub values: Vec<f64>,
}

impl Array {
    /// Reads one tensor of a safetensors file; the error is the reason in words.
    pub(super) fn read(view: &TensorView<'_>) -> Result<Self, String> {
        let data = view.data();
        fn decode<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            data.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
        }
        let values = match view.dtype() {
            Dtype::F64 => decode(data, f64::from_le_bytes),
            Dtype::F32 => decode(data, |bytes| f32::from_le_bytes(bytes).into()),
            Dtype::F16 => decode(data, |bytes| f16::from_le_bytes(bytes).into()),
            Dtype::BF16 => decode(data, |bytes| bf16::from_le_bytes(bytes).into()),
            Dtype::I64 => decode(data, |bytes| i64::from_le_bytes(bytes) as f64),
            Dtype::I32 => decode(data, |bytes| i32::from_le_bytes(bytes).into()),
            Dtype::U8 | Dtype::BOOL => decode(data, |[byte]| f64::from(byte)),
            other => return Err(format!("dtype {other:?} is not part of the format")),
        };
        Ok(Self { shape: view.shape().to_vec(), values })
    }

    /// The elements as single precision.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        self.values.iter().map(|value| *value as f32).collect()
    }

    /// The elements as token ids.
    #[must_use]
    pub fn to_i64(&self) -> Vec<i64> {
        self.values.iter().map(|value| *value as i64).collect()
    }

    /// The elements as rows of token ids: the last dimension is a row.
    #[must_use]
    pub fn to_rows(&self) -> Vec<Vec<i64>> {
        let row = self.shape.last().copied().unwrap_or(1).max(1);
        self.to_i64().chunks(row).map(<[i64]>::to_vec).collect()
    }

    /// The elements as an f32 tensor of rank `D`: missing leading dimensions are 1.
    ///
    /// # Errors
    ///
    /// A golden tensor of higher rank, described in words.
    pub fn to_tensor<const D: usize>(&self, device: &Device) -> Result<Tensor<D>, String> {
        if self.shape.len() > D {
            return Err(format!("shape {:?} has more than {D} dimensions", self.shape));
        }
        let mut shape = [1; D];
        shape[D - self.shape.len()..].copy_from_slice(&self.shape);
        Ok(Tensor::from_data(TensorData::new(self.to_f32(), shape), (device, DType::F32)))
    }
}
