//! `parrot-train bench`: how fast a stage of training is on a device, compared with what the device can do at best.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use burn::tensor::FloatDType;
use parrot_model::config::{ModelSize, ParrotConfig};
use parrot_model::device::{self, PartDtypes};
use parrot_model::image::Pixels;
use parrot_model::parrot::ParrotModel;
use parrot_model::quantization::BlockFormat;
use parrot_model::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};
use parrot_train::data::TrainingSample;
use parrot_train::flops::Workload;
use parrot_train::lora::LoraConfig;
use parrot_train::optim::Optimizer;
use parrot_train::step::MicroBatch;
use parrot_train::trainer::Stage;
use parrot_train::{Part, training_dtypes};
use serde::Serialize;

use super::{say, write_json, write_out};

/// What `parrot-train bench` takes on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// Shapes to train, weights at random: parrot-mini, parrot-0.5b, parrot-7b or parrot-14b
    #[arg(long, value_name = "SIZE", default_value = "parrot-mini")]
    model: ModelSize,
    /// The paper's stage: 1 trains the projector, 2 projector, experts and decoder
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    stage: u8,
    /// Where to train: auto, cpu, cuda:0, vulkan:discrete:0, …
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Micro-batches of a step
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    micro_batches: usize,
    /// Samples of a micro-batch, each a picture and its text
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    micro_batch_size: usize,
    /// Tokens of text of a sample, half of them learnt
    #[arg(long, value_name = "N", default_value_t = 96, value_parser = at_least_one)]
    tokens: usize,
    /// Micro-batches computed at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    threads: usize,
    /// Steps to time, after two to warm up
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    steps: usize,
    /// What weights are held in: f32, f16 or bf16; in less than f32 with f32 master weights of what learns. On the CPU f32 or
    /// bf16, which then is for what does not learn
    #[arg(long, value_name = "DTYPE", default_value = "f32", value_parser = device::parse_dtype)]
    dtype: FloatDType,
    /// Hold the decoder, which then is frozen, in q8 or q4; in stage 2 with --lora
    #[arg(long, value_name = "DTYPE", value_parser = block_format)]
    decoder_dtype: Option<BlockFormat>,
    /// In stage 2, train low-rank adapters of this rank in the decoder's place
    #[arg(long, value_name = "RANK", value_parser = at_least_one)]
    lora: Option<usize>,
    /// Compute the decoder's layers again in the backward pass
    #[arg(long)]
    activation_checkpointing: bool,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
}

/// Reads `q8` or `q4`.
fn block_format(name: &str) -> Result<BlockFormat, String> {
    let format = BlockFormat::ALL.into_iter().find(|format| format.name() == name);
    format.ok_or_else(|| "a frozen decoder is held in q8 or q4, or as all else".into())
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    device: String,
    dtype: String,
    stage: u8,
    samples_per_step: usize,
    /// Median.
    seconds_per_step: f64,
    fastest_seconds: f64,
    slowest_seconds: f64,
    samples_per_second: f64,
    tokens_per_second: f64,
    flop_per_second: f64,
    matmul_flop_per_second: f64,
    /// What a GPU's memory pools held after the steps; `None` on the CPU.
    device_memory_bytes: Option<u64>,
}

/// Times steps and prints what they achieve.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let choice = device::choose(&arguments.device)?;
    if let Some(notice) = &choice.notice {
        say(&format!("note: {notice}"));
    }
    let dtype = device::training_dtype(&choice.device, arguments.dtype)?;
    let device = choice.device.clone().autodiff();
    let (config, vision) = arguments.model.configs();
    let samples = arguments.micro_batches.saturating_mul(arguments.micro_batch_size);
    // They are made beforehand, pictures and all.
    ensure!(
        samples <= 4096,
        "--micro-batches times --micro-batch-size should be at most 4096, found {samples}"
    );
    let tokens = samples.saturating_mul(arguments.tokens);
    ensure!(tokens <= 1 << 24, "--tokens of all samples should be at most {}, found {tokens}", 1 << 24);
    for (option, count, most) in
        [("--threads", arguments.threads, 1024), ("--steps", arguments.steps, 1_000_000)]
    {
        ensure!(count <= most, "{option} should be at most {most}, found {count}");
    }
    if let Some(rank) = arguments.lora {
        let most = config.decoder.hidden_size;
        ensure!(rank <= most, "--lora should be at most the decoder's hidden size of {most}, found {rank}");
    }
    let mut stage = if arguments.stage == 1 { Stage::stage1(1) } else { Stage::stage2(1) };
    stage.activation_checkpointing = arguments.activation_checkpointing;
    stage.threads = arguments.threads;
    // As long as the command line says.
    stage.max_length = None;

    let mut dtypes = PartDtypes::from(dtype);
    if let Some(format) = arguments.decoder_dtype {
        ensure!(
            arguments.stage == 1 || arguments.lora.is_some(),
            "--decoder-dtype in stage 2 is for --lora: weights in {} do not learn",
            format.name()
        );
        dtypes.decoder = device::weight_dtype(&choice.device, Some(format.into()))?;
    }
    if arguments.lora.is_some() {
        stage.trainable.remove(&Part::LanguageModel);
    }
    let dtypes = training_dtypes(&device, dtypes, &stage.trainable);
    let mut model = ParrotModel::random(&config, &vision, dtypes, &device)?;
    model.use_moe = arguments.stage == 2;
    if let Some(rank) = arguments.lora {
        ensure!(arguments.stage == 2, "--lora is for stage 2: in stage 1 the decoder does not learn");
        let lora = LoraConfig { rank, alpha: 2.0 * rank as f64, targets: LoraConfig::all() };
        model.language_model = lora.attach(model.language_model, 0);
        stage.lora = Some(lora);
    }
    let staged = ParrotConfig { use_moe: model.use_moe, ..config.clone() };
    let cost = stage.cost(&staged, &vision)?;
    let optimizer = Optimizer::new(stage.optimizer);
    let mut learner = stage.learner(model, optimizer);
    let sample =
        |number: usize| sample(number, arguments.tokens, config.decoder.vocab_size, vision.image_size);
    let micro_batches: Vec<MicroBatch> = (0..arguments.micro_batches)
        .map(|batch| {
            (0..arguments.micro_batch_size)
                .map(|at| sample(batch * arguments.micro_batch_size + at))
                .collect()
        })
        .map(|samples| MicroBatch::collate(samples, &device))
        .collect();

    let mut seconds = Vec::with_capacity(arguments.steps);
    let mut workload = Workload::default();
    for step in 0..arguments.steps + 2 {
        let started = Instant::now();
        // The learning rate is too small to change anything. A step reads its loss, so it waits for the device.
        let report = learner.step(&micro_batches, 1e-6, step + 1)?;
        workload = report.workload();
        if step >= 2 {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let device_memory_bytes = choice.device.memory_pool_usage().map(|usage| usage.bytes_reserved);
    let measured = Measured {
        device: choice.name,
        dtype: dtypes.to_string(),
        stage: arguments.stage,
        samples_per_step: workload.samples,
        seconds_per_step: median,
        fastest_seconds: seconds[0],
        slowest_seconds: seconds[seconds.len() - 1],
        samples_per_second: workload.samples as f64 / median,
        tokens_per_second: workload.tokens as f64 / median,
        flop_per_second: cost.step(workload) / median,
        matmul_flop_per_second: device::matmul_rate(&device, dtype)?.flops,
        device_memory_bytes,
    };
    if arguments.json {
        write_json(&measured)?;
    } else {
        write_out(&text(&measured))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(measured: &Measured) -> String {
    let share = 100.0 * measured.flop_per_second / measured.matmul_flop_per_second;
    let memory = measured.device_memory_bytes.map_or_else(String::new, |bytes| {
        format!("the device's memory pools held {:.2} GB\n", bytes as f64 / 1e9)
    });
    format!(
        "stage {} on {} in {}: {} samples a step in {:.3} s ({:.3} to {:.3})\n{:.1} samples/s, {:.0} tokens/s\n{:.1} GFLOP/s, \
         {share:.0} % of the device's matrix products at {:.1} GFLOP/s\n{memory}",
        measured.stage,
        measured.device,
        measured.dtype,
        measured.samples_per_step,
        measured.seconds_per_step,
        measured.fastest_seconds,
        measured.slowest_seconds,
        measured.samples_per_second,
        measured.tokens_per_second,
        measured.flop_per_second / 1e9,
        measured.matmul_flop_per_second / 1e9,
    )
}

/// A picture and text that mean nothing, and are the same at every call.
fn sample(number: usize, tokens: usize, vocab: usize, size: usize) -> TrainingSample {
    let mut input_ids: Vec<i64> =
        (0..tokens).map(|at| ((number * 7919 + at * 104_729) % (vocab - 8)) as i64).collect();
    let mut labels = input_ids.clone();
    labels[..tokens / 2].fill(IGNORE_INDEX);
    input_ids.insert(0, IMAGE_TOKEN_INDEX);
    labels.insert(0, IGNORE_INDEX);
    let data = (0..3 * size * size).map(|at| ((at * 31 + number) % 255) as f32 / 127.0 - 1.0).collect();
    TrainingSample::new(format!("#{number}"), input_ids, labels, vec![Pixels { data, size }])
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "should be a number from 1 up".into())
}
