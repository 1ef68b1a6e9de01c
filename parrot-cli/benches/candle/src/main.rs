//! The phases that `parrot bench` times, in candle (https://github.com/huggingface/candle), on the CPU, at the shapes of Parrot-0.5B:
//!
//! ```sh
//! export RUSTFLAGS="-C target-cpu=native"        # as candle's own benchmarks have it
//! cargo build --release --locked --manifest-path parrot-cli/benches/candle/Cargo.toml --target-dir target/candle
//! target/candle/release/candle-bench --dtype f32
//! target/candle/release/candle-bench --gguf q8_0.gguf     # a decoder that llama_cpp_model.py made
//! parrot bench --model parrot-0.5b --dtype f32 --vs 'target/candle/release/candle-bench --dtype f32'
//! ```
//!
//! Tower and decoder are candle-transformers' own. Weights are random. The decoder takes token ids alone, so a prompt is as many ids
//! as Parrot's has positions, and the router is left out: both take no time beside the rest.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use candle_core::quantized::gguf_file::Content;
use candle_core::{D, DType, Device, Tensor};
use candle_nn::{Activation, Linear, Module, VarBuilder, VarMap, linear, linear_no_bias};
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};
use candle_transformers::models::{quantized_qwen2, qwen2};
use clap::Parser;

/// The picture's patches and its class token.
const IMAGE_TOKENS: usize = 577;
const HIDDEN: usize = 1024;
const EXPERTS: usize = 6;

#[derive(Parser)]
struct Args {
    /// What everything is held and computed in
    #[arg(long, default_value = "f32", value_parser = dtype)]
    dtype: DType,
    /// A decoder's file, in the place of random weights; alone, without the tower
    #[arg(long)]
    gguf: Option<PathBuf>,
    #[arg(long, default_value_t = 60)]
    prompt_tokens: usize,
    #[arg(long, default_value_t = 64)]
    new_tokens: usize,
    #[arg(long, default_value_t = 3)]
    warmup: usize,
    #[arg(long, default_value_t = 10)]
    repeats: usize,
}

fn dtype(name: &str) -> Result<DType> {
    Ok(match name {
        "f32" => DType::F32,
        "f16" => DType::F16,
        "bf16" => DType::BF16,
        other => bail!("f32, f16 or bf16, not {other}"),
    })
}

fn main() -> Result<()> {
    let args = Args::parse();
    println!("| phase | median | fastest | slowest |\n|---|--:|--:|--:|");
    let device = Device::Cpu;
    if let Some(path) = &args.gguf {
        let mut file = File::open(path)?;
        let content = Content::read(&mut file)?;
        let mut model = quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &device)?;
        return decode(&args, |ids, position| {
            if position == 0 {
                model.clear_kv_cache();
            }
            model.forward(ids, position)
        });
    }

    let weights = VarMap::new();
    let builder = VarBuilder::from_varmap(&weights, args.dtype, &device);
    // The layers up to the one whose output is used.
    let config = ClipVisionConfig { num_hidden_layers: 23, ..ClipVisionConfig::clip_vit_large_patch14_336() };
    let tower = ClipVisionTransformer::new(builder.pp("tower"), &config)?;
    let pixels = Tensor::randn(0f32, 1f32, (1, 3, 336, 336), &device)?.to_dtype(args.dtype)?;
    let see = || Ok(tower.output_hidden_states(&pixels)?.swap_remove(config.num_hidden_layers - 1));
    time(&args, "vision", || see().map(drop))?;

    let encoder = Encoder::new(builder.pp("encoder"))?;
    let features = see()?;
    time(&args, "projector + experts", || encoder.forward(&features).map(drop))?;

    let config = qwen2::Config {
        vocab_size: 151_936,
        hidden_size: HIDDEN,
        intermediate_size: 2816,
        num_hidden_layers: 24,
        num_attention_heads: 16,
        num_key_value_heads: 16,
        max_position_embeddings: 4096,
        sliding_window: 4096,
        max_window_layers: 24,
        tie_word_embeddings: true,
        rope_theta: 1e6,
        rms_norm_eps: 1e-6,
        use_sliding_window: false,
        hidden_act: Activation::Silu,
    };
    let mut decoder = qwen2::ModelForCausalLM::new(&config, builder.pp("decoder"))?;
    decode(&args, |ids, position| {
        if position == 0 {
            decoder.clear_kv_cache();
        }
        decoder.forward(ids, position)
    })
}

/// Projector and experts.
struct Encoder {
    projector: [Linear; 2],
    experts: Vec<[Linear; 3]>,
}

impl Encoder {
    fn new(builder: VarBuilder) -> Result<Self> {
        let layer = |name: &str| linear(HIDDEN, HIDDEN, builder.pp(name));
        let expert = |expert: usize| -> candle_core::Result<[Linear; 3]> {
            let layer = |name: &str| linear_no_bias(HIDDEN, HIDDEN, builder.pp(expert).pp(name));
            Ok([layer("gate")?, layer("up")?, layer("down")?])
        };
        let experts = (0..EXPERTS).map(expert).collect::<candle_core::Result<_>>()?;
        Ok(Self { projector: [layer("first")?, layer("second")?], experts })
    }

    fn forward(&self, features: &Tensor) -> Result<Tensor> {
        let [first, second] = &self.projector;
        let visual = second.forward(&first.forward(features)?.gelu_erf()?)?;
        let output = |[gate, up, down]: &[Linear; 3]| {
            down.forward(&(gate.forward(&visual)?.silu()? * up.forward(&visual)?)?)
        };
        let outputs = self.experts.iter().map(output).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::stack(&outputs, 1)?)
    }
}

/// A prompt of as many positions as Parrot's, and a greedy answer.
///
/// - forward: the last position's logits, of ids from a position on
fn decode(args: &Args, mut forward: impl FnMut(&Tensor, usize) -> candle_core::Result<Tensor>) -> Result<()> {
    let positions = IMAGE_TOKENS + args.prompt_tokens;
    let ids = Tensor::arange(0u32, positions as u32, &Device::Cpu)?.unsqueeze(0)?;
    let mut next = |ids: &Tensor, position: usize| -> Result<Tensor> {
        let logits = forward(ids, position)?.flatten_all()?;
        Ok(logits.argmax_keepdim(D::Minus1)?.unsqueeze(0)?)
    };
    let (mut prefill, mut decoding) = (Vec::new(), Vec::new());
    for run in 0..args.warmup + args.repeats {
        let started = Instant::now();
        let mut id = next(&ids, 0)?;
        let prefilled = started.elapsed();
        let started = Instant::now();
        for new in 0..args.new_tokens - 1 {
            id = next(&id, positions + new)?;
        }
        let a_token = started.elapsed().as_secs_f64() / (args.new_tokens - 1).max(1) as f64;
        if run >= args.warmup {
            prefill.push(prefilled.as_secs_f64());
            decoding.push(a_token);
        }
    }
    report("prefill", prefill);
    report("decode", decoding);
    Ok(())
}

fn time(args: &Args, name: &str, mut work: impl FnMut() -> Result<()>) -> Result<()> {
    let mut seconds = Vec::new();
    for run in 0..args.warmup + args.repeats {
        let started = Instant::now();
        work()?;
        if run >= args.warmup {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    report(name, seconds);
    Ok(())
}

fn report(name: &str, mut seconds: Vec<f64>) {
    seconds.sort_by(f64::total_cmp);
    let ms = |at: usize| 1e3 * seconds[at];
    let last = seconds.len() - 1;
    println!("| {name} | {:.2} ms | {:.2} ms | {:.2} ms |", ms(last / 2), ms(0), ms(last));
}
