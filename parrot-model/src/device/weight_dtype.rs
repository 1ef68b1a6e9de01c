//! What a network's weights are held in: numbers of a dtype, or blocks of 8 or 4 bits.

use std::fmt;

use burn::tensor::{DType, Device, FloatDType};

use super::float_dtype::{dtype_name, float_dtype, parse_dtype};
use crate::Result;
use crate::quantization::{BLOCK, BlockFormat, PANEL};

/// What the weights of products and the tables are held in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightDtype {
    /// Numbers: f32, f16 or bf16.
    Float(FloatDType),
    /// [Blocks](crate::quantization) of 8 or 4 bits.
    Blocks(BlockFormat),
}

impl From<FloatDType> for WeightDtype {
    fn from(dtype: FloatDType) -> Self {
        Self::Float(dtype)
    }
}

impl From<BlockFormat> for WeightDtype {
    fn from(format: BlockFormat) -> Self {
        Self::Blocks(format)
    }
}

/// Writes it as people do: `f32`, `bf16`, `q8`.
impl fmt::Display for WeightDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(dtype) => f.write_str(&dtype_name(*dtype)),
            Self::Blocks(format) => f.write_str(format.name()),
        }
    }
}

impl WeightDtype {
    /// Bits of a weight, with its share of what belongs to a block.
    #[must_use]
    pub fn bits(self) -> f64 {
        match self {
            Self::Float(dtype) => DType::from(dtype).size() as f64 * 8.0,
            Self::Blocks(format) => format.block_bytes() as f64 * 8.0 / (PANEL * BLOCK) as f64,
        }
    }

    /// The dtype of the weights that are no blocks; in a network of blocks that are few, and f32.
    #[must_use]
    pub fn float(self) -> FloatDType {
        match self {
            Self::Float(dtype) => dtype,
            Self::Blocks(_) => FloatDType::F32,
        }
    }
}

/// What the parts of a network are held in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartDtypes {
    /// The vision tower of a Parrot.
    pub vision_tower: WeightDtype,
    /// Its decoder.
    pub decoder: WeightDtype,
    /// Everything else; of a network that is no Parrot, all of it.
    pub others: WeightDtype,
}

/// All parts alike.
impl<T: Into<WeightDtype>> From<T> for PartDtypes {
    fn from(dtype: T) -> Self {
        let dtype = dtype.into();
        Self { vision_tower: dtype, decoder: dtype, others: dtype }
    }
}

impl PartDtypes {
    /// The dtype of a parameter at this path, whose first segment is the part's name.
    pub(crate) fn of(self, path: &[String]) -> WeightDtype {
        match path.first().map(String::as_str) {
            Some("vision_tower") => self.vision_tower,
            Some("language_model") => self.decoder,
            _ => self.others,
        }
    }
}

/// Writes it as people do: `f32`, or `f32, the decoder's in q4`.
impl fmt::Display for PartDtypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vision_tower, decoder, others } = self;
        write!(f, "{others}")?;
        for (part, dtype) in [("tower", vision_tower), ("decoder", decoder)] {
            if dtype != others {
                write!(f, ", the {part}'s in {dtype}")?;
            }
        }
        Ok(())
    }
}

/// What `device` holds weights in: `requested`, or what suits the device, as [`float_dtype`] says.
///
/// # Errors
///
/// [`Error::Device`](crate::Error::Device) when the device does not compute in `requested`. Blocks every device reads.
pub fn weight_dtype(device: &Device, requested: Option<WeightDtype>) -> Result<WeightDtype> {
    match requested {
        Some(WeightDtype::Blocks(format)) => Ok(format.into()),
        Some(WeightDtype::Float(dtype)) => Ok(float_dtype(device, Some(dtype))?.into()),
        None => Ok(float_dtype(device, None)?.into()),
    }
}

/// Reads `f32`, `f16`, `bf16`, `q8` or `q4`.
///
/// # Errors
///
/// A sentence that names the five, for anything else.
pub fn parse_weight_dtype(name: &str) -> Result<WeightDtype, String> {
    if let Some(format) = BlockFormat::ALL.into_iter().find(|format| format.name() == name) {
        return Ok(format.into());
    }
    let dtype = parse_dtype(name).map(WeightDtype::from);
    dtype.map_err(|_| "weights are held as f32, f16, bf16, q8 or q4".into())
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn what_weights_are_held_in_is_read_as_it_is_written() {
        for name in ["f32", "f16", "bf16", "q8", "q4"] {
            let dtype = parse_weight_dtype(name).unwrap();
            assert_eq!(dtype.to_string(), name);
            assert_eq!(weight_dtype(&Device::flex(), Some(dtype)).unwrap(), dtype);
        }
        for name in ["", "Q8", "q5", "q4_0", "f64"] {
            let error = parse_weight_dtype(name).unwrap_err();
            assert_eq!(error, "weights are held as f32, f16, bf16, q8 or q4");
        }
        assert_eq!(weight_dtype(&Device::flex(), None).unwrap(), FloatDType::F32.into());
    }
}
