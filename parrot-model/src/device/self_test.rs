//! Whether a device computes what it should.
//!
//! Some drivers compute garbage without an error, and some browsers refuse a kernel without the program noticing. So a small
//! Parrot runs here, with the default model's widths and with weights from a formula, and its scores are compared with those
//! that the processor computed once.

use std::sync::{Mutex, PoisonError};

use burn::module::{Module, ModuleMapper, Param};
use burn::prelude::*;
use burn::tensor::FloatDType;

use super::float_dtype::{default_of, dtype_name, parameter_dtype, supported};
use super::found::Found;
use super::precision::activation_dtype;
use crate::batch::{PrepareOptions, Sample};
use crate::config::{DecoderConfig, ParrotConfig, VisionConfig};
use crate::int_tensor;
use crate::language::{DecoderInput, KvCache};
use crate::parrot::ParrotModel;
use crate::text::IMAGE_TOKEN_INDEX;

const VOCAB: usize = 64;

/// The scores of the first tokens after a prompt with an image, and after one token more, as the CPU backend computes them in f32.
const EXPECTED: [[f32; 8]; 2] = [
    [-11.90089, -5.433286, 2.818892, 10.145199, 14.139295, 13.489309, 8.408732, 0.5662897],
    [-13.884458, -9.656895, -2.2575045, 5.8833675, 12.091835, 14.328714, 11.859298, 5.49467],
];

/// The devices that have passed. Only for as long as the program runs: the next start may have another driver.
static PASSED: Mutex<Vec<Device>> = Mutex::new(Vec::new());

/// Whether a device computes what it should in its default dtype; asked once of each.
///
/// # Errors
///
/// In words: what differs, or why it cannot be read.
pub(super) async fn self_test(found: &Found) -> Result<(), String> {
    let device = &found.device;
    if PASSED.lock().unwrap_or_else(PoisonError::into_inner).contains(device) {
        return Ok(());
    }
    let dtype = default_of(Some(found.backend), &supported(Some(found.backend), device));
    compare(&scores(device, dtype).await?, dtype)?;
    PASSED.lock().unwrap_or_else(PoisonError::into_inner).push(device.clone());
    Ok(())
}

/// Scores that were computed in this dtype with those that are expected.
fn compare(found: &[f32], dtype: FloatDType) -> Result<(), String> {
    // A few roundings of each format; what a wrong kernel computes is off by as much as the scores themselves.
    let tolerance = match dtype {
        FloatDType::F16 => 0.3,
        FloatDType::BF16 => 2.0,
        _ => 0.01,
    };
    let expected = EXPECTED.as_flattened();
    // One that is missing counts as no number.
    let found = found.iter().copied().chain(std::iter::repeat(f32::NAN));
    let is_off = |(found, expected): &(f32, &f32)| {
        let difference = (found - **expected).abs();
        difference.is_nan() || difference > tolerance
    };
    match found.zip(expected).find(is_off) {
        None => Ok(()),
        Some((found, expected)) => Err(format!(
            "it computes something else than it should in {}: its self-test has {found} instead of {expected}",
            dtype_name(dtype)
        )),
    }
}

async fn scores(device: &Device, dtype: FloatDType) -> Result<Vec<f32>, String> {
    let mini = ParrotConfig::parrot_mini();
    let decoder = DecoderConfig { vocab_size: VOCAB, num_hidden_layers: 2, ..mini.decoder.clone() };
    let config = ParrotConfig { decoder, ..mini };
    let vision = VisionConfig { num_hidden_layers: 2, ..VisionConfig::clip_vit_mini() };
    let network = ParrotModel::init(&config, &vision, device).map_err(|error| error.to_string())?;
    let network = network.map(&mut Waves { dtype, tensors: 0 });

    let side = vision.image_size;
    let pixels = wave(3 * side * side, 0.37, 1.0);
    let pixels = Tensor::from_data(
        TensorData::new(pixels, [1, 3, side, side]),
        (device, activation_dtype(device, dtype).into()),
    );
    let features = network.encode_images(pixels);
    let sample = Sample::new(vec![IMAGE_TOKEN_INDEX, 3, 14, 15, 9, 26], vec![0]);
    let prompt = network.prepare(&[sample], Some(&features), PrepareOptions::default());
    let prompt = prompt.map_err(|error| error.to_string())?.input.inputs_embeds;
    let decoder = &network.language_model;
    let [_, seq, _] = prompt.dims();
    let mut kv_cache = KvCache::new(&config.decoder, seq + 1);
    let first = decoder.forward_rows(
        DecoderInput::unpadded(prompt),
        int_tensor(&[seq as i64 - 1], device),
        Some(&mut kv_cache),
    );
    let second = decoder.step(decoder.embed(int_tensor(&[5], device)), &mut [&mut kv_cache]);
    let logits: Tensor<2> = decoder.logits(Tensor::cat(vec![first, second], 0));
    let data = logits.narrow(1, 0, EXPECTED[0].len()).into_data_async().await;
    let data = data.map_err(|error| one_line(&error.to_string()))?;
    data.try_into_vec_as::<f32>().map_err(|error| one_line(&error.to_string()))
}

/// A driver's message may have several lines; errors have one.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn wave(count: usize, frequency: f64, height: f32) -> Vec<f32> {
    // In f64, as the arguments become large: every platform has the same sines then, to f32's precision.
    (0..count).map(|at| height * (frequency * at as f64).sin() as f32).collect()
}

/// Weights by a formula.
struct Waves {
    dtype: FloatDType,
    tensors: usize,
}

impl ModuleMapper for Waves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape();
        let device = param.lazy_device();
        // What a weight reads keeps its size.
        let inner = shape[D.saturating_sub(2).min(D - 1)].max(1);
        let frequency = 0.61 + 0.013 * self.tensors as f64;
        self.tensors += 1;
        let values = match D {
            // Norms' factors and biases.
            1 => wave(shape.num_elements(), frequency, 0.3).into_iter().map(|value| 0.7 + value).collect(),
            _ => wave(shape.num_elements(), frequency, (3.0 / inner as f32).sqrt()),
        };
        let dtype = parameter_dtype(D, self.dtype, activation_dtype(&device, self.dtype));
        let id = param.id;
        let tensor = Tensor::from_data(TensorData::new(values, shape), (&device, dtype.into()));
        param.transform_for_load(tensor, id)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device::wait;

    #[test]
    fn the_processor_computes_what_is_expected() {
        let device = Device::flex();
        for dtype in [FloatDType::F32, FloatDType::F16, FloatDType::BF16] {
            let found = wait(scores(&device, dtype)).unwrap();
            assert!(found.iter().all(|score| score.abs() < 30.0), "{found:?}");
            assert_eq!(compare(&found, dtype), Ok(()), "{found:?}");
        }
    }

    #[test]
    fn a_device_that_computes_something_else_is_refused() {
        let right = EXPECTED.as_flattened();
        let with = |at: usize, value: f32| {
            let mut scores = right.to_vec();
            scores[at] = value;
            scores
        };
        assert_eq!(compare(right, FloatDType::F32), Ok(()));
        assert_eq!(compare(&with(4, 14.147), FloatDType::F32), Ok(()));
        let refused = compare(&with(4, 14.16), FloatDType::F32).unwrap_err();
        assert_eq!(
            refused,
            "it computes something else than it should in f32: its self-test has 14.16 instead of 14.139295"
        );
        for dtype in [FloatDType::F32, FloatDType::F16, FloatDType::BF16] {
            let zeros = vec![0.0; right.len()];
            let backwards: Vec<f32> = right.iter().rev().copied().collect();
            let infinite = with(15, f32::INFINITY);
            let no_number = with(0, f32::NAN);
            for wrong in [&zeros, &backwards, &infinite, &no_number, &right[..15].to_vec(), &Vec::new()] {
                assert!(compare(wrong, dtype).is_err(), "{dtype:?} {wrong:?}");
            }
        }
    }

    #[test]
    fn scores_tell_tokens_apart() {
        let [first, second] = EXPECTED;
        assert!(first.iter().zip(second).any(|(first, second)| (first - second).abs() > 0.5));
    }
}
