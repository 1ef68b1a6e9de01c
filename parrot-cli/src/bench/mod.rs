//! `parrot bench`: how fast a model runs here.

mod measure;
mod peak;
mod peer;

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Context, Result};
use parrot_infer::device;
use parrot_model::checkpoint::Checkpoint;
use parrot_model::parrot::ParrotModel;

use crate::options::{ModelOptions, Width, find_model, named_size};
use crate::progress::{Bar, Spinner};
use crate::report::readable_bytes;
use crate::terminal::print_json;

use measure::{BenchModel, BenchOptions, BenchReport, Phase, bench};
use peer::Peer;

/// Time every phase of an answer, beside the best that the device can do
///
/// A size (parrot-mini, parrot-0.5b, parrot-7b, parrot-14b) gets random weights, made on the device: they are as
/// fast as trained ones, and nothing is downloaded.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelOptions,
    /// Width and height of the picture before it is prepared
    #[arg(long = "picture", value_names = ["W", "H"], num_args = 2, default_values_t = [1024, 768])]
    image: Vec<u32>,
    /// Tokens of the prompt besides the picture's
    #[arg(long, value_name = "N", default_value_t = BenchOptions::default().prompt_tokens)]
    prompt_tokens: usize,
    /// Tokens of the answer
    #[arg(long, value_name = "N", default_value_t = BenchOptions::default().new_tokens)]
    new_tokens: usize,
    /// Runs that are not counted
    #[arg(long, value_name = "N", default_value_t = BenchOptions::default().warmup)]
    warmup: usize,
    /// Runs that are counted
    #[arg(long, value_name = "N", default_value_t = BenchOptions::default().repeats)]
    repeats: usize,
    /// Run another program's benchmark by turns with this one, and compare; may be given several times
    ///
    /// The command goes to the shell and prints a row for each phase that is to be compared, as the scripts in parrot-cli/benches do:
    /// `| prefill | 12.3 ms |`.
    #[arg(long, value_name = "COMMAND")]
    vs: Vec<String>,
    /// Rounds by turns
    #[arg(long, value_name = "N", default_value_t = 2, requires = "vs", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  parrot bench
  parrot bench --model parrot-7b --device cuda:0 --dtype bf16
  parrot bench --model parrot-0.5b --dtype bf16 --repeats 3 --warmup 1 \\
    --vs 'python parrot-cli/benches/pytorch_answer.py --model parrot-0.5b --dtype bf16 --repeats 3 --warmup 1'
  parrot bench --device vulkan --json";

pub(crate) fn run(args: &Args) -> Result<()> {
    let subject = args.subject()?;
    let options = BenchOptions {
        image: (args.image[0], args.image[1]),
        prompt_tokens: args.prompt_tokens,
        new_tokens: args.new_tokens,
        warmup: args.warmup,
        repeats: args.repeats,
    };
    let rounds = if args.vs.is_empty() { 1 } else { args.rounds };
    let mut reports = Vec::new();
    let mut others = vec![Vec::new(); args.vs.len()];
    for _ in 0..rounds {
        let mut spinner = Spinner::start("measuring");
        let report = bench(&subject, &options, |phase| spinner.say(format!("measuring: {phase}")));
        spinner.stop();
        reports.push(report?);
        for (command, times) in args.vs.iter().zip(&mut others) {
            times.push(peer::run(command)?);
        }
    }
    let peers = args.vs.iter().zip(&others).map(|(command, times)| Peer::new(command, &reports, times));
    let peers = peers.collect::<Result<Vec<_>>>()?;
    let Some(report) = reports.pop() else { return Ok(()) };
    if args.json {
        print_json(&serde_json::to_string(&Compared { report, peers })?)?;
    } else {
        write!(io::stdout(), "{}", markdown(&report))?;
        peers.iter().try_for_each(|peer| write!(io::stdout(), "{}", peer.markdown()))?;
    }
    Ok(())
}

/// The last round's report, with what ran beside.
#[derive(serde::Serialize)]
struct Compared {
    #[serde(flatten)]
    report: BenchReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peers: Vec<Peer>,
}

impl Args {
    fn subject(&self) -> Result<BenchModel> {
        let (device, width) = self.model.device.open()?;
        if let Some(size) = named_size(self.model.model.as_deref()) {
            let (config, vision) = size.configs();
            let dtype = match width {
                None => device::weight_dtype(&device, None)?,
                Some(Width::Given(dtype)) => dtype,
                Some(Width::Auto) => {
                    device::widest_dtype(&ParrotModel::init(&config, &vision, &device)?, &device)?
                }
            };
            return BenchModel::random(config, vision, device, dtype);
        }
        let folder = find_model(self.model.model.as_deref())?;
        let checkpoint = Checkpoint::open(&folder)?;
        let dtype = match width {
            None => checkpoint.suited_dtype(&device)?,
            Some(Width::Given(dtype)) => dtype,
            Some(Width::Auto) => checkpoint.widest_dtype(&device)?,
        };
        let bar = Bar::new("loading");
        let network = checkpoint.load_with(dtype, &device, |done, total| bar.show(done, total));
        drop(bar);
        Ok(BenchModel {
            network: network.with_context(|| format!("cannot load the model {}", folder.display()))?,
            config: checkpoint.description.config,
            vision: checkpoint.description.vision,
            image_processor: checkpoint.description.image_processor,
            device,
            dtype,
        })
    }
}

/// A table that reads well in a terminal and in a document.
fn markdown(report: &BenchReport) -> String {
    let peak = &report.peak;
    let mut text = format!(
        "{} parameters in {}, {}; picture of {} tokens, prompt of {}, answer of {}\n\n",
        report.parameters,
        report.dtype,
        readable_bytes(report.weight_bytes as u64),
        report.image_tokens,
        report.prompt_tokens,
        report.new_tokens
    );
    text.push_str("| phase | median | fastest | slowest | share of the device's best |\n");
    text.push_str("|---|--:|--:|--:|--:|\n");
    for phase in &report.phases {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            phase.name,
            time(phase.median_s),
            time(phase.fastest_s),
            time(phase.slowest_s),
            share(phase)
        );
    }
    let products = match peak.matmul_size {
        Some(size) => format!("in a product of {size}×{size} matrices"),
        None => "of instructions that multiply bf16, from registers alone".into(),
    };
    let _ = writeln!(
        text,
        "\n{}: {:.1} GFLOP/s {products}, {:.1} GB/s from memory",
        report.device,
        peak.matmul_flops / 1e9,
        peak.memory_bytes_per_s / 1e9
    );
    if let Some(reading) = &peak.memory_reading {
        let in_f32 = if peak.matmul_size.is_some() { "; matrices were multiplied in f32" } else { "" };
        let _ = writeln!(text, "memory was read by {reading}{in_f32}");
    }
    if let Some(bytes) = report.peak_memory_bytes {
        let _ = writeln!(text, "the process held {} at most", readable_bytes(bytes));
    }
    if let Some(bytes) = report.device_memory_bytes {
        let _ = writeln!(text, "the device's memory pools held {}", readable_bytes(bytes));
    }
    text
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.2} ms", 1e3 * seconds) } else { format!("{seconds:.2} s") }
}

/// Decoding also as people speak of it: tokens per second.
fn share(phase: &Phase) -> String {
    let share = phase.share_of_peak.map_or_else(|| "–".into(), |share| format!("{:.0} %", 100.0 * share));
    match phase.name {
        "decode" => format!("{share} of its memory rate; {:.1} tokens/s", 1.0 / phase.median_s),
        _ => share,
    }
}
