//! Where the network runs: the one place that knows which backends this build has.
//!
//! Everything else takes Burn's [`Device`] and never asks what is behind it.

use burn::tensor::{Device, FloatDType};

use crate::{Error, Result};

/// The names that [`open`] takes.
pub const NAMES: &[&str] = &["auto", "cpu"];

/// The device called `name`; `auto` is the fastest that this build has.
///
/// # Errors
///
/// [`Error::Device`] for an unknown name or a backend that this build was compiled without.
pub fn open(name: &str) -> Result<Device> {
    match name {
        "auto" | "cpu" => {
            cpu().ok_or_else(|| no_device(name, "this build has no CPU backend (feature `flex`)"))
        }
        _ => Err(no_device(name, &format!("there is no such device; this build knows {}", NAMES.join(", ")))),
    }
}

/// The dtype in which `device` holds weights: `requested`, or what suits the device.
///
/// A CPU computes in f32, or in f16 for half the memory. It has no bf16 arithmetic: every product would
/// first be converted, element by element.
///
/// # Errors
///
/// [`Error::Device`] when the device cannot compute in `requested`.
pub fn float_dtype(device: &Device, requested: Option<FloatDType>) -> Result<FloatDType> {
    let dtype = requested.unwrap_or(FloatDType::F32);
    if is_cpu(device) && !matches!(dtype, FloatDType::F32 | FloatDType::F16) {
        return Err(no_device("cpu", &format!("weights are held as f32 or f16, not as {}", name_of(dtype))));
    }
    if !device.supports_dtype(dtype) {
        let reason = format!("it cannot compute in {}", name_of(dtype));
        return Err(no_device(&format!("{device:?}"), &reason));
    }
    Ok(dtype)
}

/// A dtype as people write it: `f32`, `bf16`.
#[must_use]
pub fn name_of(dtype: FloatDType) -> String {
    format!("{dtype:?}").to_lowercase()
}

fn no_device(name: &str, reason: &str) -> Error {
    Error::Device { name: name.into(), reason: reason.into() }
}

fn is_cpu(device: &Device) -> bool {
    cpu().is_some_and(|cpu| cpu == *device)
}

#[cfg(feature = "flex")]
fn cpu() -> Option<Device> {
    Some(Device::flex())
}

#[cfg(not(feature = "flex"))]
fn cpu() -> Option<Device> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_device_is_named_with_those_there_are() {
        let error = open("gpu:7").unwrap_err().to_string();
        assert_eq!(error, "device gpu:7: there is no such device; this build knows auto, cpu");
    }

    #[cfg(feature = "flex")]
    #[test]
    fn a_cpu_holds_f32_or_f16_but_never_bf16() {
        let cpu = open("auto").unwrap();
        assert_eq!(float_dtype(&cpu, None).unwrap(), FloatDType::F32);
        assert_eq!(float_dtype(&cpu, Some(FloatDType::F16)).unwrap(), FloatDType::F16);
        let error = float_dtype(&cpu, Some(FloatDType::BF16)).unwrap_err().to_string();
        assert_eq!(error, "device cpu: weights are held as f32 or f16, not as bf16");
    }
}
