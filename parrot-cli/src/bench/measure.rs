//! How long each phase of an answer takes, and how near that is to the best that the device can do.
//!
//! A phase that multiplies matrices is compared with the device's own rate of matrix products; decoding,
//! which reads every weight once for each token, with the rate at which it reads memory ([`Peak`]). What is
//! timed is what [`Parrot::ask`](parrot_infer::Parrot::ask) does on the device, ids read back included, on made-up prompts:
//! speed does not depend on what is asked.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::prelude::*;
use image::RgbImage;
use parrot_infer::device;
use parrot_infer::generate::{Sequence, generate};
use parrot_model::batch::{PrepareOptions, Sample};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::device::WeightDtype;
use parrot_model::flops::{
    decoder_forward, decoder_step, head_parameters, layer_parameters, products, vision_forward,
};
use parrot_model::image::{AspectRatio, ImageProcessorConfig, Pixels};
use parrot_model::parrot::{ImageFeatures, ParrotModel};
use parrot_model::text::IMAGE_TOKEN_INDEX;
use serde::Serialize;

use super::peak::Peak;

/// What is measured: a network and all that decides its speed.
#[derive(Debug)]
pub(crate) struct BenchModel {
    /// The network with its weights, on [`device`](Self::device) in [`dtype`](Self::dtype).
    pub(crate) network: ParrotModel,
    /// Its configuration.
    pub(crate) config: ParrotConfig,
    /// Its tower's configuration.
    pub(crate) vision: VisionConfig,
    /// How its pictures are prepared.
    pub(crate) image_processor: ImageProcessorConfig,
    /// Where it computes.
    pub(crate) device: Device,
    /// What its weights are held in.
    pub(crate) dtype: WeightDtype,
}

impl BenchModel {
    /// A network of a given size with random weights: as fast as a trained one, and nothing to download.
    ///
    /// # Errors
    ///
    /// When the configuration describes no possible model, or one too large for the device's memory.
    pub(crate) fn random(
        config: ParrotConfig,
        vision: VisionConfig,
        device: Device,
        dtype: WeightDtype,
    ) -> Result<Self> {
        let network = ParrotModel::random(&config, &vision, dtype, &device)?;
        let image_processor = ImageProcessorConfig::clip(vision.image_size as u32);
        Ok(Self { network, config, vision, image_processor, device, dtype })
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BenchOptions {
    /// Width and height of the picture before it is prepared, in pixels.
    pub(crate) image: (u32, u32),
    /// Tokens of the prompt besides the picture's.
    pub(crate) prompt_tokens: usize,
    /// Tokens of the answer.
    pub(crate) new_tokens: usize,
    /// Runs that are not counted: kernels are compiled and chosen in them.
    pub(crate) warmup: usize,
    /// Runs that are.
    pub(crate) repeats: usize,
}

/// Tokens and runs at most.
const MOST: usize = 1_000_000;
/// Pixels of a picture's side at most: 300 MB for a square.
const LONGEST_SIDE: usize = 10_000;

impl Default for BenchOptions {
    fn default() -> Self {
        Self { image: (1024, 768), prompt_tokens: 60, new_tokens: 64, warmup: 3, repeats: 10 }
    }
}

/// Everything measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BenchReport {
    /// What computed.
    pub(crate) device: String,
    /// What weights were held in.
    pub(crate) dtype: String,
    /// Parameters of the whole network.
    pub(crate) parameters: usize,
    /// Their bytes.
    pub(crate) weight_bytes: usize,
    /// Tokens that the picture becomes.
    #[serde(rename = "picture_tokens")]
    pub(crate) image_tokens: usize,
    /// The rest of the prompt.
    pub(crate) prompt_tokens: usize,
    /// Tokens of each answer.
    pub(crate) new_tokens: usize,
    /// The device's best.
    pub(crate) peak: Peak,
    /// In the order of an answer.
    pub(crate) phases: Vec<Phase>,
    /// The most main memory that the process had held when the phases were over, in bytes, where the system says
    /// (Linux; a GPU's own memory is not part of it).
    pub(crate) peak_memory_bytes: Option<u64>,
    /// What the GPU's memory pools had taken by then, in bytes: weights, cache and the most that was needed beside them.
    /// `None` on the CPU.
    pub(crate) device_memory_bytes: Option<u64>,
}

/// One phase of an answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Phase {
    /// `preprocess`, `vision`, `projector + experts`, `prefill`, `first token` (all of these in one go) or `decode`.
    pub(crate) name: &'static str,
    /// Half of the runs took less. In seconds; of decoding, seconds per token.
    pub(crate) median_s: f64,
    /// The fastest run.
    pub(crate) fastest_s: f64,
    /// The slowest run.
    pub(crate) slowest_s: f64,
    /// Operations of one run (a multiply-add counts as two); 0 where nothing is multiplied.
    pub(crate) flops: f64,
    /// The share of the device's best that the median reaches, from 0 to 1: of its matrix products, or, for
    /// decoding, of its memory. `None` for work that the device has no part in.
    pub(crate) share_of_peak: Option<f64>,
}

/// What the device has to do in a phase.
#[derive(Clone, Copy)]
enum Work {
    /// Nothing, or of several kinds.
    Other,
    /// Products; how many operations.
    Products(f64),
    /// Reading memory for products; how many bytes, and how many operations.
    Reading(f64, f64),
}

impl Phase {
    fn new(name: &'static str, mut seconds: Vec<f64>, work: Work, peak: &Peak) -> Self {
        seconds.sort_by(f64::total_cmp);
        let (below, above) = (seconds[(seconds.len() - 1) / 2], seconds[seconds.len() / 2]);
        let median_s = (below + above) / 2.0;
        let (flops, best_s) = match work {
            Work::Other => (0.0, None),
            Work::Products(flops) => (flops, Some(flops / peak.matmul_flops)),
            Work::Reading(bytes, flops) => (flops, Some(bytes / peak.memory_bytes_per_s)),
        };
        Self {
            name,
            median_s,
            fastest_s: seconds[0],
            slowest_s: seconds[seconds.len() - 1],
            flops,
            share_of_peak: best_s.map(|best_s| best_s / median_s),
        }
    }
}

/// Times every phase. Calls `progress` with the name of what comes next.
///
/// # Errors
///
/// For a count of 0 or beyond all use, a prompt and an answer that exceed the context, a device that fails, out of memory for instance.
pub(crate) fn bench(
    subject: &BenchModel,
    options: &BenchOptions,
    mut progress: impl FnMut(&str),
) -> Result<BenchReport> {
    let counts = [
        ("prompt_tokens", options.prompt_tokens, 0, MOST),
        ("new_tokens", options.new_tokens, 1, MOST),
        ("warmup", options.warmup, 0, MOST),
        ("repeats", options.repeats, 1, MOST),
        ("width", options.image.0 as usize, 1, LONGEST_SIDE),
        ("height", options.image.1 as usize, 1, LONGEST_SIDE),
    ];
    for (option, count, least, most) in counts {
        ensure!(count >= least, "{option} should be at least {least}, found {count}");
        ensure!(count <= most, "{option} should be at most {most}, found {count}");
    }
    let BenchModel { network, config, vision, image_processor, device, dtype } = subject;
    let image_tokens = vision.tokens_per_image(config.mm_vision_select_feature);
    let found = image_tokens + options.prompt_tokens + options.new_tokens - 1;
    if found > config.decoder.max_position_embeddings {
        let limit = config.decoder.max_position_embeddings;
        return Err(parrot_model::Error::TooLong { found, limit }.into());
    }

    let size = dtype.bits() / 8.0;
    let mut phases: Vec<(&'static str, Vec<f64>, Work)> = Vec::new();
    let run = |name: &'static str, progress: &mut dyn FnMut(&str), work: &mut dyn FnMut() -> Result<()>| {
        progress(name);
        let mut seconds = Vec::with_capacity(options.repeats);
        for run in 0..options.warmup + options.repeats {
            device.sync()?;
            let started = Instant::now();
            work()?;
            device.sync()?;
            if run >= options.warmup {
                seconds.push(started.elapsed().as_secs_f64());
            }
        }
        Ok::<_, anyhow::Error>(seconds)
    };

    let image = stripes(options.image);
    let seconds = run("preprocess", &mut progress, &mut || {
        image_processor.preprocess(&image, AspectRatio::Pad);
        Ok(())
    })?;
    phases.push(("preprocess", seconds, Work::Other));

    let pixels = image_processor.preprocess(&image, AspectRatio::Pad);
    let pixel_values = Pixels::to_tensor(&[pixels], device);
    let seconds = run("vision", &mut progress, &mut || {
        let _ = network.vision_tower.forward(pixel_values.clone());
        Ok(())
    })?;
    let features = network.vision_tower.forward(pixel_values);
    phases.push((
        "vision",
        seconds,
        Work::Products(vision_forward(vision, network.vision_tower.num_layers())),
    ));

    let seconds = run("projector + experts", &mut progress, &mut || {
        let _ = network.project(features.clone());
        Ok(())
    })?;
    let encoded = network.project(features);
    let experts = if network.use_moe { network.moe_model.num_params() } else { 0 };
    let flops = products(network.mm_projector.num_params() + experts, image_tokens);
    phases.push(("projector + experts", seconds, Work::Products(flops)));

    let sample = prompt(options.prompt_tokens, config.decoder.vocab_size);
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    progress("prefill and decode");
    for run in 0..options.warmup + options.repeats {
        let (first, rest) = answer(subject, &sample, &encoded, options.new_tokens)?;
        if run >= options.warmup {
            prefill.push(first);
            decode.push(rest);
        }
    }
    let decoder = &config.decoder;
    let of_decoder = network.language_model.num_params();
    let seq = image_tokens + options.prompt_tokens;
    // The last position alone is scored.
    let flops = decoder_forward(decoder, of_decoder, 1, seq, 1);
    phases.push(("prefill", prefill, Work::Products(flops)));

    let seconds = run("first token", &mut progress, &mut || {
        let pixels = image_processor.preprocess(&image, AspectRatio::Pad);
        let pixel_values = Pixels::to_tensor(&[pixels], device);
        let encoded = network.project(network.vision_tower.forward(pixel_values));
        answer(subject, &sample, &encoded, 1).map(|_| ())
    })?;
    phases.push(("first token", seconds, Work::Other));
    if options.new_tokens > 1 {
        let context = seq + options.new_tokens / 2;
        let cache =
            2 * decoder.num_hidden_layers * decoder.num_key_value_heads() * decoder.head_dim() * context;
        let weights = layer_parameters(decoder, of_decoder) + head_parameters(decoder);
        let activations = WeightDtype::from(device::activation_dtype(device, *dtype));
        let read = weights as f64 * size + cache as f64 * activations.bits() / 8.0;
        let flops = decoder_step(decoder, of_decoder, context);
        phases.push(("decode", decode, Work::Reading(read, flops)));
    }

    let (peak_memory_bytes, device_memory_bytes) = (peak_memory(), device.memory_pool_usage());
    progress("the device's best");
    let peak = Peak::measure(device, dtype.float())?;
    let phases =
        phases.into_iter().map(|(name, seconds, work)| Phase::new(name, seconds, work, &peak)).collect();
    let parameters = network.num_params();
    Ok(BenchReport {
        device: device::name_of(device),
        dtype: dtype.to_string(),
        parameters,
        weight_bytes: (parameters as f64 * size) as usize,
        image_tokens,
        prompt_tokens: options.prompt_tokens,
        new_tokens: options.new_tokens,
        peak,
        phases,
        peak_memory_bytes,
        device_memory_bytes: device_memory_bytes.map(|usage| usage.bytes_reserved),
    })
}

/// Seconds to the first token, and seconds for each further one.
fn answer(
    subject: &BenchModel,
    sample: &Sample,
    image: &ImageFeatures,
    new_tokens: usize,
) -> Result<(f64, f64)> {
    let BenchModel { network, config, .. } = subject;
    let started = Instant::now();
    let prepared = network.prepare(std::slice::from_ref(sample), Some(image), PrepareOptions::default())?;
    let preparing = started.elapsed();
    let sequence = Sequence::without_text(new_tokens);
    let goes_on = |_: &str| ControlFlow::Continue(());
    let prompt = prepared.input.inputs_embeds;
    let (_, phases) = generate(&network.language_model, &config.decoder, prompt, sequence, &[], goes_on)?;
    let rest = phases.decode.as_secs_f64() / phases.decode_steps.max(1) as f64;
    Ok(((preparing + phases.prefill).as_secs_f64(), rest))
}

/// A picture, then `tokens` made-up ids.
fn prompt(tokens: usize, vocab_size: usize) -> Sample {
    let ids = (0..tokens).map(|i| (i * 7919 % vocab_size) as i64);
    Sample::new([IMAGE_TOKEN_INDEX].into_iter().chain(ids).collect(), vec![0])
}

fn stripes((width, height): (u32, u32)) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]))
}

/// Linux's `VmHWM`.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mini() -> BenchModel {
        let device = device::open("cpu").unwrap();
        let (config, vision) = (ParrotConfig::parrot_mini(), VisionConfig::clip_vit_mini());
        BenchModel::random(config, vision, device, burn::tensor::FloatDType::F32.into()).unwrap()
    }

    fn quick() -> BenchOptions {
        BenchOptions { image: (40, 30), prompt_tokens: 5, new_tokens: 3, warmup: 0, repeats: 2 }
    }

    #[test]
    fn every_phase_is_timed_and_its_work_is_counted() {
        let report = bench(&mini(), &quick(), |_| ()).unwrap();
        let names: Vec<_> = report.phases.iter().map(|phase| phase.name).collect();
        let expected = ["preprocess", "vision", "projector + experts", "prefill", "first token", "decode"];
        assert_eq!(names, expected);
        for phase in &report.phases {
            assert!(phase.fastest_s > 0.0 && phase.fastest_s <= phase.median_s, "{phase:?}");
            assert!(phase.median_s <= phase.slowest_s, "{phase:?}");
            assert_eq!(phase.share_of_peak.is_some(), phase.flops > 0.0, "{phase:?}");
        }
        assert_eq!(report.image_tokens, 37);
        assert_eq!(report.device_memory_bytes, None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let peak =
            Peak { matmul_flops: 100.0, matmul_size: Some(1), memory_bytes_per_s: 1.0, memory_reading: None };
        let phase = Phase::new("prefill", vec![4.0, 1.0, 2.0, 3.0], Work::Products(125.0), &peak);
        assert_eq!((phase.median_s, phase.fastest_s, phase.slowest_s), (2.5, 1.0, 4.0));
        assert_eq!(phase.share_of_peak, Some(0.5));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let subject = mini();
        for (options, expected) in [
            (BenchOptions { repeats: 0, ..quick() }, "repeats should be at least 1"),
            (BenchOptions { new_tokens: 0, ..quick() }, "new_tokens should be at least 1"),
            (BenchOptions { image: (0, 5), ..quick() }, "width should be at least 1"),
            (BenchOptions { prompt_tokens: 5000, ..quick() }, "5039"),
            (
                BenchOptions { prompt_tokens: usize::MAX, ..quick() },
                "prompt_tokens should be at most 1000000",
            ),
            (BenchOptions { new_tokens: usize::MAX, ..quick() }, "new_tokens should be at most 1000000"),
            (BenchOptions { repeats: usize::MAX, ..quick() }, "repeats should be at most 1000000"),
            (BenchOptions { image: (u32::MAX, 1), ..quick() }, "width should be at most 10000"),
        ] {
            let error = bench(&subject, &options, |_| ()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
