//! The floating-point dtypes that a device holds weights in; [`WeightDtype`](super::WeightDtype) adds blocks to them.

use burn::tensor::{Device, FloatDType};

use super::backend::Backend;
use super::found::{found, name_of};
use super::quiet::quietly;
use crate::{Error, Result};

/// What weights may be held in, the most precise first.
const DTYPES: [FloatDType; 3] = [FloatDType::F32, FloatDType::F16, FloatDType::BF16];

/// The dtype in which `device` holds weights: `requested`, or what suits the device.
///
/// | device | default | why |
/// |---|---|---|
/// | CPU | f32 | the most precise, and what has always been computed; bf16 and f16 halve the memory and decode faster |
/// | CUDA | bf16, else as below | what the released weights are stored in, and nothing overflows |
/// | any other | f16, else f32 | half the memory, and no tensor outgrows what a shader may bind |
///
/// On the CPU this is the dtype of weights alone: see [`activation_dtype`](super::activation_dtype). ROCm is not given bf16 unasked, for its drivers
/// have failed in it.
///
/// # Errors
///
/// [`Error::Device`] when the device does not compute in `requested`, naming what it
/// does compute in.
pub fn float_dtype(device: &Device, requested: Option<FloatDType>) -> Result<FloatDType> {
    let found = found(device);
    let backend = found.map(|found| found.backend);
    let supported = supported(backend, device);
    let Some(dtype) = requested else {
        return Ok(default_of(backend, &supported));
    };
    if supported.contains(&dtype) {
        return Ok(dtype);
    }
    Err(Error::device(&name_of(device), refusal(dtype, &supported)))
}

/// Whether the processor computes.
#[must_use]
pub fn is_cpu(device: &Device) -> bool {
    found(device).is_some_and(|found| found.backend == Backend::Cpu)
}

/// The dtype of a parameter with this number of dimensions. Weights of products and tables have two or three, and are in
/// `dtype`; norms, biases and convolutions have other numbers, and are in the dtype of activations.
#[must_use]
pub fn parameter_dtype(dimensions: usize, dtype: FloatDType, activation_dtype: FloatDType) -> FloatDType {
    if matches!(dimensions, 2 | 3) { dtype } else { activation_dtype }
}

/// The dtype in which `device` trains: `requested`. On the CPU bf16 is what frozen weights are held in; what learns is in f32.
///
/// # Errors
///
/// [`Error::Device`] when the device does not compute in `requested`, and on the CPU for f16, which holds too few numbers for
/// gradients.
pub fn training_dtype(device: &Device, requested: FloatDType) -> Result<FloatDType> {
    let dtype = float_dtype(device, Some(requested))?;
    if matches!(dtype, FloatDType::F32 | FloatDType::BF16) || !is_cpu(device) {
        return Ok(dtype);
    }
    Err(Error::device(&name_of(device), format!("it trains in f32 or bf16, not in {}", dtype_name(dtype))))
}

/// Reads `f32`, `f16` or `bf16`.
///
/// # Errors
///
/// A sentence that names the three, for anything else.
pub fn parse_dtype(name: &str) -> Result<FloatDType, String> {
    let dtype = DTYPES.into_iter().find(|dtype| dtype_name(*dtype) == name);
    dtype.ok_or_else(|| format!("weights are held as {}", names(&DTYPES)))
}

/// A dtype as people write it: `f32`, `bf16`.
#[must_use]
pub fn dtype_name(dtype: FloatDType) -> String {
    format!("{dtype:?}").to_lowercase()
}

/// The dtypes that `device` computes in, the most precise first.
pub(super) fn supported(backend: Option<Backend>, device: &Device) -> Vec<FloatDType> {
    match backend {
        Some(Backend::Cpu) => DTYPES.to_vec(),
        _ => {
            let can = || DTYPES.into_iter().filter(|dtype| device.supports_dtype(*dtype)).collect();
            quietly(can).unwrap_or_default()
        }
    }
}

pub(super) fn default_of(backend: Option<Backend>, supported: &[FloatDType]) -> FloatDType {
    match backend {
        Some(Backend::Cpu) => FloatDType::F32,
        Some(Backend::Cuda) if supported.contains(&FloatDType::BF16) => FloatDType::BF16,
        _ if supported.contains(&FloatDType::F16) => FloatDType::F16,
        _ => FloatDType::F32,
    }
}

fn refusal(dtype: FloatDType, supported: &[FloatDType]) -> String {
    format!("it computes in {}, not in {}", names(supported), dtype_name(dtype))
}

/// `f32, f16 or bf16`
fn names(dtypes: &[FloatDType]) -> String {
    let names: Vec<String> = dtypes.iter().map(|dtype| dtype_name(*dtype)).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "no floating-point dtype".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[FloatDType] = &DTYPES;
    const NO_BF16: &[FloatDType] = &[FloatDType::F32, FloatDType::F16];
    const F32: &[FloatDType] = &[FloatDType::F32];

    #[test]
    fn the_default_is_what_suits_the_device() {
        for (backend, supported, expected) in [
            (Some(Backend::Cpu), ALL, FloatDType::F32),
            (Some(Backend::Cuda), ALL, FloatDType::BF16),
            (Some(Backend::Cuda), NO_BF16, FloatDType::F16),
            (Some(Backend::Rocm), ALL, FloatDType::F16),
            (Some(Backend::Vulkan), ALL, FloatDType::F16),
            (Some(Backend::Wgpu), NO_BF16, FloatDType::F16),
            (Some(Backend::Wgpu), F32, FloatDType::F32),
            (Some(Backend::Metal), F32, FloatDType::F32),
            (None, ALL, FloatDType::F16),
            (None, &[], FloatDType::F32),
        ] {
            assert_eq!(default_of(backend, supported), expected, "{backend:?} with {supported:?}");
        }
    }

    #[test]
    fn a_refusal_names_what_there_is() {
        let refusal = |supported| refusal(FloatDType::BF16, supported);
        assert_eq!(refusal(NO_BF16), "it computes in f32 or f16, not in bf16");
        assert_eq!(refusal(F32), "it computes in f32, not in bf16");
        assert_eq!(names(ALL), "f32, f16 or bf16");
    }

    #[test]
    fn dtypes_are_read_as_they_are_written() {
        for dtype in DTYPES {
            assert_eq!(parse_dtype(&dtype_name(dtype)), Ok(dtype));
        }
        for name in ["", "F32", "f64", "float16", "flex32"] {
            assert_eq!(parse_dtype(name).unwrap_err(), "weights are held as f32, f16 or bf16", "{name}");
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn a_cpu_holds_weights_of_any_width_and_trains_in_f32_or_bf16() {
        let cpu = Device::flex();
        for device in [cpu.clone(), cpu.autodiff()] {
            assert_eq!(float_dtype(&device, None).unwrap(), FloatDType::F32);
            for dtype in DTYPES {
                assert_eq!(float_dtype(&device, Some(dtype)).unwrap(), dtype);
            }
            for dtype in [FloatDType::F32, FloatDType::BF16] {
                assert_eq!(training_dtype(&device, dtype).unwrap(), dtype);
            }
            let error = training_dtype(&device, FloatDType::F16).unwrap_err().to_string();
            assert_eq!(error, "device cpu: it trains in f32 or bf16, not in f16");
        }
    }
}
