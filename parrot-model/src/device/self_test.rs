//! Whether a device computes what it should.
//!
//! Some drivers compute garbage without an error, and some browsers refuse a kernel without the program noticing. So a small
//! Parrot runs here, with the default model's widths and with weights from a formula, and its scores are compared with those
//! that the processor computed once.

use burn::module::{Module, ModuleMapper, Param};
use burn::prelude::*;
use burn::tensor::FloatDType;

use super::float_dtype::{dtype_name, parameter_dtype};
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

/// Computes those scores and compares them.
///
/// - dtype: what the device is to compute in
///
/// # Errors
///
/// In words: how they differ, or why they cannot be read.
pub(super) async fn self_test(device: &Device, dtype: FloatDType) -> Result<(), String> {
    let found = scores(device, dtype).await?;
    // A few roundings of each format; what a wrong kernel computes is off by as much as the scores themselves.
    let tolerance = match dtype {
        FloatDType::F16 => 0.3,
        FloatDType::BF16 => 2.0,
        _ => 0.01,
    };
    let expected = EXPECTED.as_flattened();
    let is_off = |(found, expected): &(&f32, &f32)| {
        let difference = (**found - **expected).abs();
        difference.is_nan() || difference > tolerance
    };
    match found.iter().zip(expected).find(is_off) {
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
        let found = wait(scores(&device, FloatDType::F32)).unwrap();
        assert!(found.iter().all(|score| score.abs() < 30.0), "{found:?}");
        assert_eq!(wait(self_test(&device, FloatDType::F32)), Ok(()), "{found:?}");
        for dtype in [FloatDType::F16, FloatDType::BF16] {
            assert_eq!(wait(self_test(&device, dtype)), Ok(()));
        }
    }

    #[test]
    fn scores_tell_tokens_apart() {
        let [first, second] = EXPECTED;
        assert!(first.iter().zip(second).any(|(first, second)| (first - second).abs() > 0.5));
    }
}
