//! `parrot eval`: benchmarks.

mod ask;
mod compare;
mod files;
mod judge;
mod list;
mod out;
mod predictions;
mod progress;
mod prompts;
mod scores;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use parrot_distributed::World;
use parrot_eval::{
    AskedAs, Benchmark, Dataset, GenerateOptions, Method, Problem, Protocol, ReportPage, RunAs,
};
use parrot_model::untrusted;

use crate::options::{ModelOptions, free_text};
use crate::terminal::{print_json, print_notice};

/// Measure a model on MMMB, MMBench and other benchmarks, or score answers that another program gave
///
/// Reads the published TSV files. Numbers on MMMB exist under three incompatible protocols, so each is computed under its
/// name: paper-2024-06 counts a yes/no pair as one question, kit-2024-08 and kit-2026-08 (VLMEvalKit) count rows. The
/// tables go to stdout; predictions, results.json, results.md and report.html to the folder --out, where an interrupted run
/// goes on.
///
/// In a build with the feature `mpi`, `mpirun -n 4 parrot eval …` shares the questions among four processes, on one host or several;
/// results are those of one.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Benchmark files, or folders of them
    #[arg(long, value_name = "TSV_OR_DIR", num_args = 1.., required_unless_present = "list")]
    data: Vec<PathBuf>,
    /// Show the benchmarks that are known by name, with their files, what they need and how they are scored
    #[arg(long, conflicts_with_all = ["data", "score", "prompts_only", "out"])]
    list: bool,
    /// Whose rules: paper-2024-06, kit-2024-08, kit-2026-08 or all [default: all; of files of one's own alone, which no kit
    /// knows, kit-2026-08]
    #[arg(long, value_name = "NAME", value_parser = parse_protocol)]
    protocol: Option<Protocols>,
    /// Prompts end as when files are run by their own names or as a collection [default: as the protocol's users did; of files
    /// of one's own alone, by their own names]
    #[arg(long, value_name = "NAME")]
    run_as: Option<RunAsName>,
    /// What the files are, where their names do not say so
    #[arg(long, value_name = "NAME", value_parser = parse_benchmark)]
    benchmark: Option<Arc<dyn Benchmark>>,
    /// Only print the prompts, a JSON object per line
    #[arg(long, conflicts_with_all = ["score", "out"])]
    prompts_only: bool,
    /// With --prompts-only: the prompts of Parrot, or of models that bring none of their own
    #[arg(long, value_name = "MODEL", default_value = "parrot", requires = "prompts_only")]
    prompts_for: AskerName,
    /// Score these answers (.tsv, .xlsx or .jsonl with index and prediction) instead of asking a model
    #[arg(long, value_name = "FILE", num_args = 1..)]
    score: Vec<PathBuf>,
    /// Compare two earlier runs on --data: folders that --out named, or files of predictions
    #[arg(long, value_names = ["RUN", "RUN"], num_args = 2, conflicts_with_all = ["list", "score", "prompts_only"])]
    compare: Vec<PathBuf>,
    /// Where results go: a new folder, or one of an earlier run [default: runs/eval/MODEL; with --score and --compare nowhere]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print results.json instead of the tables
    #[arg(long, conflicts_with = "prompts_only")]
    json: bool,
    /// Wrong answers in the report, or changed ones in a comparison
    #[arg(long, value_name = "N", default_value_t = 60)]
    wrong: usize,
    /// Questions computed at the same time
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = GenerateOptions::default().batch_size)]
    batch_size: usize,
    /// Pictures whose features are kept; more find longer runs of questions of equal length
    #[arg(long = "pictures", value_name = "N", value_parser = at_least_one(), default_value_t = GenerateOptions::default().images)]
    images: usize,
    /// Answers that the model writes, as every kit has it, or the options that it finds likeliest
    #[arg(long, value_name = "NAME", default_value = "generate", conflicts_with_all = ["score", "prompts_only"])]
    method: MethodName,
    /// What questions end with instead of the benchmark's own request, e.g. "Réponds par la lettre."
    #[arg(long = "prompt", value_name = "TEXT", allow_hyphen_values = true, value_parser = free_text, conflicts_with_all = ["score", "compare"])]
    request: Option<String>,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = GenerateOptions::default().max_new_tokens)]
    max_new_tokens: usize,
    /// Save pictures as JPEG and read them again first, where the protocol's kit does
    #[arg(long)]
    jpeg_roundtrip: bool,
    /// Have LLaVA-Bench's answers rated by a model behind this address, which speaks OpenAI's chat completions; a key is read from
    /// the variable PARROT_JUDGE_KEY
    #[arg(long, value_name = "URL", requires = "judge_model", conflicts_with_all = ["list", "compare", "prompts_only"])]
    judge: Option<String>,
    /// The judge's name
    #[arg(long, value_name = "NAME")]
    judge_model: Option<String>,
    /// Seconds that a judge may take for a rating
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400), default_value_t = 120, requires = "judge")]
    judge_patience: u64,
    #[command(flatten)]
    model: ModelOptions,
}

const EXAMPLES: &str = "\
Examples:
  parrot eval --list
  parrot eval --data ~/LMUData --model AIDC-AI/Parrot-7B
  parrot eval --data mmmb_en.tsv mmmb_tr.tsv --protocol kit-2026-08
  parrot eval --data mmmb_tr.tsv --protocol paper-2024-06 --prompts-only > prompts.jsonl
  parrot eval --data animals_fr.tsv --model runs/french --method likelihood
  parrot eval --data LLaVABench.tsv --judge http://localhost:8000/v1 --judge-model qwen3-32b
  parrot eval --data ~/LMUData --compare runs/eval/before runs/eval/after --out runs/eval/difference
  parrot eval --data mmmb_tr.tsv --score InternVL_MMMB_tr.xlsx --json";

/// What `--protocol` names.
#[derive(Debug, Clone)]
struct Protocols(Vec<Protocol>);

fn parse_protocol(name: &str) -> Result<Protocols, String> {
    match name {
        "all" => Ok(Protocols(Protocol::ALL.into())),
        name => Ok(Protocols(vec![name.parse::<Protocol>().map_err(|error| format!("{error}, all"))?])),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RunAsName {
    Dataset,
    Collection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MethodName {
    Generate,
    Likelihood,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AskerName {
    Parrot,
    Other,
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn parse_benchmark(name: &str) -> Result<Arc<dyn Benchmark>, String> {
    parrot_eval::benchmark_named(name).ok_or_else(|| {
        let names: Vec<&str> = parrot_eval::catalogue().iter().map(|listed| listed.name).collect();
        format!("it is none of {}", names.join(", "))
    })
}

/// Runs the command; of several processes one that fails says which it is and ends all: the others would wait for it for ever.
pub(crate) fn run(args: &Args) -> Result<()> {
    let world = World::join()?;
    evaluate(args, &world).inspect_err(|error| {
        if world.size() > 1 {
            print_notice(&format!("{} has failed: {error:#}", world.name()));
            world.abort();
        }
    })
}

fn evaluate(args: &Args, world: &World) -> Result<()> {
    // Only asking is shared.
    let is_asked = !args.list && !args.prompts_only && args.compare.is_empty() && args.score.is_empty();
    if !world.is_first() && !is_asked {
        return Ok(());
    }
    if args.list {
        return args.print_list();
    }
    let (datasets, skipped) = args.datasets()?;
    let args = &args.settled(&datasets);
    // A mistake in its address is not to be told after hours of asking.
    args.open_judge()?;
    if args.prompts_only {
        return args.print_prompts(&datasets, &skipped);
    }
    if !args.compare.is_empty() {
        say_problems(&skipped);
        return args.compare_runs(&datasets, &args.compare);
    }
    let is_judged = args.judge.is_some() && datasets.iter().any(judge::needs_it);
    let finished = if args.score.is_empty() {
        args.ask(datasets, world)?
    } else {
        Some(args.read_predictions(datasets)?)
    };
    let Some(mut finished) = finished else { return Ok(()) };
    finished.report.problems.splice(0..0, skipped);
    say_problems(&finished.report.problems);
    // Names of categories and the like come from files; whoever shows the tables is to take no commands from them.
    let (json, markdown) =
        (finished.report.to_json()?, untrusted::printable(&finished.report.to_markdown()).into_owned());
    if let Some(out) = &finished.out {
        untrusted::create_folder(out)?;
        let page = ReportPage::new(&finished.report, &finished.wrong, finished.wrong_in_all).render()?;
        for (name, text) in out::RESULTS.into_iter().zip([&json, &markdown, &page]) {
            write(&out.join(name), text)?;
        }
        print_notice(&format!("results are in {}", out.display()));
    }
    if args.json {
        print_json(&json)?;
    } else {
        writeln!(io::stdout(), "{}", markdown.trim_end())?;
    }
    let is_rated = !is_judged || finished.report.judge.is_some();
    ensure!(is_rated, "the judge has rated no answer; the answers are kept where there is --out");
    Ok(())
}

impl Args {
    /// One protocol is enough where there are files of one's own alone: they all say the same of them, or nearly.
    fn settled(&self, datasets: &[Dataset]) -> Self {
        let mut args = self.clone();
        if datasets.iter().all(Dataset::is_own) && args.protocol.is_none() {
            args.protocol = Some(Protocols(vec![Protocol::Kit2026_08]));
            args.run_as.get_or_insert(RunAsName::Dataset);
        }
        args
    }

    fn protocols(&self) -> &[Protocol] {
        self.protocol.as_ref().map_or(&Protocol::ALL, |protocols| &protocols.0)
    }

    fn run_as(&self, protocol: Protocol) -> RunAs {
        match self.run_as {
            Some(RunAsName::Dataset) => RunAs::Dataset,
            Some(RunAsName::Collection) => RunAs::Collection,
            None => protocol.usual_run_as(),
        }
    }

    /// How a protocol asks.
    fn asked_as(&self, protocol: Protocol) -> AskedAs {
        let run_as = self.run_as(protocol);
        let asked_as = if self.jpeg_roundtrip { protocol.asked_as(run_as) } else { run_as.into() };
        AskedAs { method: self.method(), ..asked_as }
    }

    fn method(&self) -> Method {
        match self.method {
            MethodName::Generate => Method::Generate,
            MethodName::Likelihood => Method::Likelihood,
        }
    }

    /// The different ways in which the protocols ask.
    fn all_asked_as(&self) -> Vec<AskedAs> {
        let mut all: Vec<AskedAs> = Vec::new();
        for asked_as in self.protocols().iter().map(|protocol| self.asked_as(*protocol)) {
            if !all.contains(&asked_as) {
                all.push(asked_as);
            }
        }
        all
    }

    /// The different names that the protocols run datasets under.
    fn names(&self) -> Vec<RunAs> {
        let mut names: Vec<RunAs> = Vec::new();
        for protocol in self.protocols() {
            let name = self.run_as(*protocol);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// The first few problems on stderr, and how many there are of each kind.
fn say_problems<'p>(problems: impl IntoIterator<Item = &'p Problem>) {
    const SHOWN: usize = 10;
    let problems: Vec<&Problem> = problems.into_iter().collect();
    for problem in problems.iter().take(SHOWN) {
        print_notice(&problem.to_string());
    }
    if problems.len() > SHOWN {
        let counts: BTreeMap<_, _> = parrot_eval::count_problems(problems.iter().copied());
        let more = problems.len() - SHOWN;
        print_notice(&format!("and {more} more problems, in all {}", parrot_eval::problem_counts(&counts)));
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    Ok(untrusted::replace_file(file, text.as_bytes())?)
}
